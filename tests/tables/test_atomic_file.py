"""Atomic writing: killed at any moment, the writer leaves the old file or the new one."""

import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quotegrid.tables import read_safetensors, write_safetensors
from quotegrid.tables.atomic_file import write_atomically
from quotegrid.tables.safetensors_file import safetensors_bytes

# In the child a trace function counts the executed lines of the writer, in atomic_file.py and in what it
# calls of
# tempfile, and kills the process at the n-th; n is chosen by the test. Without a kill the child prints the
# count.
KILLED_AT_A_LINE = """
import os, signal, sys, tempfile
from pathlib import Path
from quotegrid.tables import atomic_file

target, replacement, deadly = sys.argv[1], Path(sys.argv[2]).read_bytes(), [int(n) for n in sys.argv[3:]]
watched = {atomic_file.__file__, tempfile.__file__}
pieces = [replacement[at:at + 500] for at in range(0, len(replacement), 500)]

def write(kill_at):
    count = 0
    def trace(frame, event, argument):
        nonlocal count
        if frame.f_code.co_filename not in watched:
            return None
        if event == "line":
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
    sys.settrace(trace)
    atomic_file.write_atomically(target, pieces)
    sys.settrace(None)
    return count

original = Path(target).read_bytes()
for n in deadly or [0]:
    Path(target).write_bytes(original)
    child = os.fork()
    if child == 0:
        print(write(n), flush=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    now = Path(target).read_bytes()
    if deadly:
        print(n, os.WIFSIGNALED(status), {original: "old", replacement: "new"}.get(now, "broken"))
"""

# Writes two tables in turn, for ever, and says when it has begun.
WRITES_FOR_EVER = """
import sys
from pathlib import Path
from quotegrid.tables.atomic_file import write_atomically

contents = [Path(name).read_bytes() for name in sys.argv[2:]]
print("begun", flush=True)
while True:
    for content in contents:
        write_atomically(sys.argv[1], [content])
"""


def python(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def old_and_new(solved, tmp_path: Path) -> tuple[Path, Path, Path]:
    """A file with the old table, and files of the old and the new one."""
    target, old, new = (tmp_path / f"{name}.safetensors" for name in ("target", "old", "new"))
    write_safetensors(solved("glft"), old)
    write_safetensors(solved("ladder"), new)
    target.write_bytes(old.read_bytes())
    return target, old, new


@pytest.mark.skipif(os.name != "posix", reason="forks and kills")
def test_killed_at_every_line(old_and_new: tuple[Path, Path, Path]) -> None:
    target, old, new = old_and_new
    lines = int(python(KILLED_AT_A_LINE, target, new))
    target.write_bytes(old.read_bytes())
    assert lines > 40
    found = [row.split() for row in python(KILLED_AT_A_LINE, target, new, *range(1, lines + 1)).splitlines()]
    assert [int(n) for n, _, _ in found] == list(range(1, lines + 1))
    assert all(killed == "True" for _, killed, _ in found)
    states = [state for _, _, state in found]
    switch = states.index("new")
    assert 0 < switch < len(states)
    assert states == ["old"] * switch + ["new"] * (len(states) - switch)


@pytest.mark.skipif(os.name != "posix", reason="kills")
def test_killed_at_random_moments(old_and_new: tuple[Path, Path, Path], solved) -> None:
    target, old, new = old_and_new
    whole = {solved("glft"), solved("ladder")}
    for delay in (random.random() * 0.05 for _ in range(8)):
        command = [sys.executable, "-c", WRITES_FOR_EVER, str(target), str(old), str(new)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"begun\n"
            time.sleep(delay)
            writer.send_signal(signal.SIGKILL)
        assert read_safetensors(target) in whole


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "table"
    target.write_bytes(b"old")

    def failing():
        yield b"new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(target, failing())
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_file_and_folder_are_synced_before_and_after_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(handle: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        real_sync(handle)

    def replace(source: str, target: str) -> None:
        done.append("rename")
        assert Path(source).parent == Path(target).parent
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    write_atomically(tmp_path / "table", [b"a", b"b"])
    assert done == ["file", "rename", "folder"]
    assert (tmp_path / "table").read_bytes() == b"ab"


def test_permissions_are_those_of_any_new_file_or_of_the_old_one(tmp_path: Path) -> None:
    plain, target = tmp_path / "plain", tmp_path / "table"
    plain.touch()
    write_atomically(target, [b"x"])
    assert target.stat().st_mode == plain.stat().st_mode
    target.chmod(0o640)
    write_atomically(target, [b"y"])
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_link_is_followed(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"old")
    link.symlink_to(real)
    write_atomically(link, [b"new"])
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        write_atomically(tmp_path / "none" / "table", [b"x"])
    assert str(missing.value) == (
        f"cannot write {tmp_path / 'none' / 'table'}: there is no folder {tmp_path / 'none'}"
    )
    with pytest.raises(IsADirectoryError) as folder:
        write_atomically(tmp_path, [b"x"])
    assert str(folder.value) == f"cannot write {tmp_path}: it is a folder"


def test_tables_are_written_this_way(solved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object) -> None:
        raise OSError("no space left")

    path = tmp_path / "table.safetensors"
    write_safetensors(solved("glft"), path)
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_safetensors(solved("ladder"), path)
    assert path.read_bytes() == safetensors_bytes(solved("glft"))
    assert list(tmp_path.iterdir()) == [path]
