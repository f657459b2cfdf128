"""Loading a table of 3 MB: the runtime file, mapped and checked, against NetCDF through xarray.

    taskset -c 0 python benchmarks/loading.py [--rounds 51] [--output FILE.md]

101 inventories at 1238 times, two flows: 3.0 MB in either format. The files are in the page cache.

    header      map the file; check header, shapes, axes, names: all that a lookup relies on
    everything  the same, every number and the SHA-256 of the file
    xarray      open_dataset by h5netcdf, without times decoded: opened alone, which reads no number; the
                offsets read; everything read. It checks no hash
    archive     read_archive of this project, with the same checks as the runtime file

The Python loader always checks everything. C and Rust: as in lookups.py, a hundred loads in one go.
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray
from contest_libraries import compilers, contest_libraries
from contest_tables import contest_table
from side_by_side import Contestant, markdown_table, provenance, publish, spread, take_turns

from quotegrid.tables.archive import read_archive, write_archive
from quotegrid.tables.safetensors_file import read_safetensors, write_safetensors

LOTS, TIMES = 50, 1238
AT_ONCE = {"header": 100, "everything": 1}  # loads in one run
TARGETS = {"header": "≥ 50", "everything": "≥ 5"}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=51)
    arguments.add_argument("--output", type=Path, default=None, help="a Markdown file")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runtime, archive = folder / "table.safetensors", folder / "table.nc"
        table = contest_table(LOTS, TIMES)
        write_safetensors(table, runtime)
        write_archive(table, archive)
        sizes = f"{runtime.stat().st_size / 1e6:.2f} and {archive.stat().st_size / 1e6:.2f} MB"

        def dataset(read: Callable[[xarray.Dataset], Any]) -> None:
            with xarray.open_dataset(archive, engine="h5netcdf", decode_timedelta=False) as opened:
                read(opened)

        contestants: dict[str, Contestant] = {}
        for language, library in zip(
            ("C", "Rust"), contest_libraries("loading_contest", folder), strict=True
        ):
            for check, count in AT_ONCE.items():
                load = partial(library.load, str(runtime).encode(), check == "header", count)
                if load() != 0:
                    raise SystemExit(f"{language} does not load the table")
                contestants[f"{language}, {check}"] = Contestant(load, count)
        contestants["Python, everything"] = Contestant(partial(read_safetensors, runtime))
        contestants["archive, everything"] = Contestant(partial(read_archive, archive))
        contestants["xarray, opened"] = Contestant(partial(dataset, lambda opened: None))
        contestants["xarray, offsets"] = Contestant(partial(dataset, lambda opened: opened["offset"].values))
        contestants["xarray, everything"] = Contestant(partial(dataset, lambda opened: opened.load()))
        seconds = take_turns(contestants, chosen.rounds)
    opponents = ("xarray, opened", "xarray, offsets", "xarray, everything")
    rows = []
    for each, taken in seconds.items():
        _, check = each.split(", ")
        ratios = [f"{spread(seconds[opponent] / taken)} ×" for opponent in opponents]
        ours = each not in opponents
        rows.append(
            (
                each,
                f"{1e6 * float(np.median(taken)):.3g}",
                *(ratios if ours else ("", "", "")),
                TARGETS[check] if ours and not each.startswith("archive") else "",
            )
        )
    command = f"taskset -c 0 python benchmarks/loading.py --rounds {chosen.rounds}"
    publish(
        chosen.output,
        "# Loading a table",
        f"{provenance(command, ('numpy', 'xarray', 'h5netcdf', 'h5py'))} {compilers()}. Files of {sizes}. "
        "Medians, quartiles in brackets. What each contestant does stands on top of the script.",
        markdown_table(
            ("contestant", "µs", *(f"faster than {opponent} by" for opponent in opponents), "target"), rows
        ),
    )


if __name__ == "__main__":
    main()
