"""Tables in files: `.safetensors` is the runtime form, `.nc` the NetCDF archive.

The archive's libraries are loaded only where an archive is read or written.
"""

from pathlib import Path

from quotegrid.tables.policy_table import PolicyTable

RUNTIME, ARCHIVE = ".safetensors", ".nc"


class UnknownTableFormatError(ValueError):
    """The suffix of a table's file is neither `.safetensors` nor `.nc`."""


def table_format(path: str | Path) -> str:
    """The suffix of a table's file, which is its format; raises `UnknownTableFormatError`."""
    suffix = Path(path).suffix
    if Path(path).is_dir():
        raise UnknownTableFormatError(
            f"{path} is a folder, not a table; where tables are published, the live one is "
            f"{Path(path) / 'current.safetensors'}."
        )
    if suffix == ".toml":
        raise UnknownTableFormatError(
            f"{path}: a problem file, not a table; name the table that was solved from it, or make one: "
            f"`quotegrid solve {path} -o {Path(path).with_suffix(RUNTIME)}`."
        )
    if suffix not in (RUNTIME, ARCHIVE):
        raise UnknownTableFormatError(
            f"{path}: a table's file ends in {RUNTIME} (the runtime form) or {ARCHIVE} (the NetCDF archive), "
            f"not in {suffix!r}."
        )
    return suffix


def read_table(path: str | Path) -> PolicyTable:
    """The table in a file, checked.

    Raises:
        UnknownTableFormatError: neither suffix.
        OSError: there is no such file, or it cannot be read.
        TableError: the file breaks a rule of its format.
    """
    if table_format(path) == ARCHIVE:
        from quotegrid.tables.archive import read_archive

        return read_archive(path)
    from quotegrid.tables.safetensors_file import read_safetensors

    return read_safetensors(path)


def write_table(table: PolicyTable, path: str | Path) -> None:
    """Write a table in the format its suffix names: all of it or, whatever happens, nothing.

    Raises:
        UnknownTableFormatError: neither suffix.
        OSError: the file cannot be written.
    """
    if table_format(path) == ARCHIVE:
        from quotegrid.tables.archive import write_archive

        write_archive(table, path)
        return
    from quotegrid.tables.safetensors_file import write_safetensors

    write_safetensors(table, path)
