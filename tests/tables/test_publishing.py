"""Publishing: killed anywhere, the old table is live or the new one; two publishers wait; errors change
nothing.
"""

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quotegrid.tables import PolicyTable, Quoter, TableError, read_safetensors, write_safetensors
from quotegrid.tables.guarded_quoter import GuardedQuoter, Moment, Price
from quotegrid.tables.lookup import QuoteError
from quotegrid.tables.publication.generation_follower import GenerationFollower
from quotegrid.tables.publication.generations import POINTER, signature_path, table_name
from quotegrid.tables.publication.publishing import PublishingError, publisher

# In a child a trace function counts the executed lines of the publisher and kills the process at the n-th,
# for every n that there is; after each the parent looks at the folder. (Syncing is left out: a killed process
# does not lose what it wrote.)
KILLED_AT_EACH_LINE = """
import os, signal, sys
from quotegrid.tables import atomic_file, read_safetensors
from quotegrid.tables.publication import generations, publishing
from quotegrid.tables.publication.generation_follower import GenerationFollower
from quotegrid.tables.quoter import Quoter

folder, tables = sys.argv[1], [read_safetensors(name) for name in sys.argv[2:4]]
os.fsync = lambda handle: None
watched = {atomic_file.__file__, publishing.__file__}

def publish(table, kill_at):
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
    with publishing.publisher(folder, wait=0.0) as at_work:
        at_work.publish(table, signature=b"s", keep=2)
    sys.settrace(None)

publish(tables[0], 0)
follower = GenerationFollower(folder, Quoter)
line, killed = 0, True
while killed:
    line += 1
    new = tables[line % 2]
    before = follower.held.table
    child = os.fork()
    if child == 0:
        publish(new, line)
        os._exit(0)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    follower.refresh()
    now = follower.held.table
    assert follower.refusal is None, follower.refusal
    print("new" if now == new else "old" if now == before else "broken")
    publish(tables[line % 2], 0)      # whatever was left behind, the next publisher gets through
    follower.refresh()
    assert follower.held.table == tables[line % 2] and follower.refusal is None
    names = sorted(os.listdir(folder))
    assert not any(name.endswith(".tmp") for name in names), names
    assert sum(name.startswith("generation") for name in names) == 4, names  # two tables with signatures
"""


@pytest.fixture
def make(table_by_hand: Callable[..., PolicyTable]) -> Callable[[float], PolicyTable]:
    """A table whose gain is the number given."""
    return lambda number: table_by_hand(gain=float(number))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "live"
    path.mkdir()
    return path


def publish(folder: Path, table: PolicyTable, keep: int = 5) -> int:
    with publisher(folder, wait=0.0) as at_work:
        return at_work.publish(table, keep=keep)


def test_generations_follow_one_another(folder: Path, make) -> None:
    for number in range(1, 6):
        assert publish(folder, make(number), keep=3) == number
    assert os.readlink(folder / POINTER) == table_name(5) == "generation-0000000005.safetensors"
    assert read_safetensors(folder / POINTER).gain == 5.0
    kept = [table_name(number) for number in (3, 4, 5)]
    assert sorted(os.listdir(folder)) == [POINTER, *kept, "lock"]


def test_rollback_returns_to_what_was_live_before(folder: Path, make) -> None:
    for number in (1, 2, 3):
        publish(folder, make(number))
    with publisher(folder) as at_work:
        assert at_work.rollback() == (3, 2)
    assert read_safetensors(folder / POINTER).gain == 2.0
    assert (folder / "withdrawn-0000000003.safetensors").exists()
    assert publish(folder, make(4)) == 4  # 3 was live once: its number is not used again
    with publisher(folder) as at_work:
        assert at_work.rollback() == (4, 2)
        assert at_work.rollback() == (2, 1)
        with pytest.raises(
            PublishingError,
            match=r"generation 1 is the oldest here, so there is none to return to; publish the",
        ):
            at_work.rollback()
        assert at_work.live == 1


def test_rollback_of_nothing(folder: Path) -> None:
    with publisher(folder) as at_work, pytest.raises(PublishingError, match="nothing is published here"):
        at_work.rollback()


def test_rollback_to_a_damaged_table_changes_nothing(folder: Path, make) -> None:
    publish(folder, make(1))
    publish(folder, make(2))
    earlier = folder / table_name(1)
    earlier.write_bytes(earlier.read_bytes()[:-1] + b"\1")
    with publisher(folder) as at_work:
        with pytest.raises(TableError, match="content-hash"):
            at_work.rollback()
        assert at_work.live == 2


def test_too_few_kept(folder: Path, make) -> None:
    with pytest.raises(PublishingError, match="1 generations would be kept; at least 2 are needed"):
        publish(folder, make(1), keep=1)
    assert os.listdir(folder) == ["lock"]


def test_killed_at_each_line_of_the_publisher(folder: Path, tmp_path: Path, make) -> None:
    for number in (1, 2):
        write_safetensors(make(number), tmp_path / f"{number}.safetensors")
    command = [sys.executable, "-c", KILLED_AT_EACH_LINE, str(folder)]
    done = subprocess.run(
        [*command, str(tmp_path / "1.safetensors"), str(tmp_path / "2.safetensors")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    seen = done.stdout.split()
    assert len(seen) > 60 and set(seen) == {"old", "new"}, seen
    first = seen.index("new")
    assert set(seen[first:]) == {"new"}  # one instant parts the two


def test_a_second_publisher_waits_and_says_for_whom(folder: Path, make) -> None:
    with publisher(folder):
        with pytest.raises(PublishingError) as caught, publisher(folder, wait=0.05):
            pass
        assert f"process {os.getpid()} on {os.uname().nodename} is publishing here" in str(caught.value)
        assert "end it: its lock goes with it" in str(caught.value)
    publish(folder, make(1))


def test_a_dead_publisher_holds_no_lock(folder: Path, make) -> None:
    code = (
        "import os, signal, sys\nfrom quotegrid.tables.publication.publishing import publisher\n"
        "with publisher(sys.argv[1]):\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)])
    assert done.returncode < 0
    assert publish(folder, make(1)) == 1


def test_a_full_disk_changes_nothing(folder: Path, make, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(folder, make(1))
    before = sorted(os.listdir(folder))

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("quotegrid.tables.atomic_file.os.fsync", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        publish(folder, make(2))
    assert caught.value.filename == str(folder / table_name(2))
    monkeypatch.undo()
    assert sorted(os.listdir(folder)) == before
    assert publish(folder, make(2)) == 2


def test_a_pointer_that_cannot_be_renamed_changes_nothing(folder: Path, make, monkeypatch) -> None:
    publish(folder, make(1))

    def refused(source: object, target: object) -> None:
        raise PermissionError(errno.EROFS, os.strerror(errno.EROFS), str(target))

    whole = os.replace
    monkeypatch.setattr(
        "quotegrid.tables.publication.publishing.os.replace",
        lambda source, target: (refused if str(target).endswith(POINTER) else whole)(source, target),
    )
    with pytest.raises(OSError, match="Read-only file system"):
        publish(folder, make(2))
    monkeypatch.undo()
    assert read_safetensors(folder / POINTER).gain == 1.0
    assert publish(folder, make(3)) == 3  # what number 2 left is withdrawn
    assert (folder / "withdrawn-0000000002.safetensors").exists()


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"No such folder; `quotegrid publish` makes one: '.*none'"):
        publisher(tmp_path / "none").__enter__()
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"No folder; name the one that quoters follow: '.*file'"):
        publisher(tmp_path / "file").__enter__()


def test_the_number_of_a_deleted_generation_is_not_used_again(folder: Path, make) -> None:
    os.symlink(table_name(41), folder / POINTER)
    with publisher(folder) as at_work:
        assert at_work.publish(make(1)) == 42


def test_a_pointer_that_is_no_link_is_refused(folder: Path, make) -> None:
    write_safetensors(make(1), folder / POINTER)
    with pytest.raises(
        TableError, match=r"is no link; delete it, if nothing reads it, and publish again \[pointer-form\]"
    ):
        publish(folder, make(2))


def test_a_follower_takes_what_is_published(folder: Path, make) -> None:
    publish(folder, make(1))
    for follower in (GenerationFollower(folder, Quoter), GenerationFollower(folder, Quoter, in_memory=True)):
        held = follower.held
        assert (held.generation, held.quoter.quote(3).gain) == (1, 1.0)
        assert repr(held) == f"<Held generation 1 in a Quoter, from\n {held.table!r}>"
        assert not follower.refresh()
        assert follower.held is held
    publish(folder, make(2), keep=2)
    publish(folder, make(3), keep=2)
    assert not (folder / table_name(1)).exists()
    assert held.quoter.quote(3).gain == 1.0  # still held, though its name is gone
    assert follower.refresh() and follower.held.generation == 3 and follower.refusal is None
    with publisher(folder) as at_work:
        at_work.rollback()
    assert follower.refresh() and follower.held.quoter.quote(3).gain == 2.0


def test_a_follower_keeps_its_table_where_the_new_one_is_bad(folder: Path, make, table_by_hand) -> None:
    publish(folder, make(1))
    follower = GenerationFollower(folder, Quoter)
    publish(folder, make(2))
    path = folder / table_name(2)
    whole = path.read_bytes()
    for content, rule in ((whole[:-1] + b"\1", "content-hash"), (whole[:-8], "data-too-short")):
        path.unlink()  # never in place: it may be mapped
        path.write_bytes(content)
        fresh = GenerationFollower.__new__(GenerationFollower)
        fresh.__dict__ |= follower.__dict__
        assert not fresh.refresh()
        assert fresh.refusal is not None and fresh.refusal[:2] == (table_name(2), rule)
        assert fresh.held.generation == 1 and not fresh.refresh()
    publish(folder, table_by_hand(price_unit="EUR"))
    assert not follower.refresh()
    assert follower.refusal is not None and follower.refusal.rule == "interface-changed"
    assert "price unit changed from USD to EUR; publish it in another folder" in follower.refusal.sentence
    publish(folder, make(4))
    assert follower.refresh() and follower.refusal is None


def test_a_follower_keeps_its_table_where_the_guards_refuse_the_new_one(folder: Path, make) -> None:
    def guarded(table: PolicyTable) -> GuardedQuoter:
        if table.gain == 2.0:
            raise QuoteError("not with this tick", "wrong-tick")
        return GuardedQuoter(table, symbols=("XYZ",), ticks=(0.01,))

    publish(folder, make(1))
    follower = GenerationFollower(folder, guarded)
    moment = Moment(inventory=0, reference=100.0)
    assert follower.held.quoter.prices(moment)["size1/ask"] == Price(10051, 100.51)
    publish(folder, make(2))
    assert not follower.refresh()
    assert follower.refusal is not None and follower.refusal.rule == "wrong-tick"
    assert follower.held.generation == 1 and follower.held.quoter.prices(moment)


def test_a_follower_of_a_pointer_to_nowhere(folder: Path, make) -> None:
    with pytest.raises(FileNotFoundError):
        GenerationFollower(folder, Quoter)
    publish(folder, make(1))
    follower = GenerationFollower(folder, Quoter)
    os.mkfifo(folder / table_name(8))  # opened to read, it would wait for who writes
    for target, rule in (
        ("../generation-0000000009.safetensors", "pointer-form"),
        (table_name(8), "unreadable"),
        (table_name(9), "unreadable"),
    ):
        (folder / POINTER).unlink()
        os.symlink(target, folder / POINTER)
        assert not follower.refresh()
        assert follower.refusal is not None and follower.refusal.rule == rule
        assert follower.held.generation == 1
    (folder / POINTER).unlink()
    assert not follower.refresh()
    assert follower.refusal is not None and "No such file" in follower.refusal.sentence
    os.symlink(table_name(1), folder / POINTER)  # the one that is held
    assert not follower.refresh() and follower.refusal is None


def test_a_generation_deleted_while_it_is_opened(folder: Path, make, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(folder, make(1), keep=2)
    follower = GenerationFollower(folder, Quoter)
    publish(folder, make(2), keep=2)
    calls = []

    def slow(path: str) -> PolicyTable:
        calls.append(path)
        if len(calls) == 1:
            for number in (3, 4, 5):
                publish(folder, make(number), keep=2)
        return read_safetensors(path)

    monkeypatch.setattr("quotegrid.tables.publication.generation_follower.read_safetensors", slow)
    assert follower.refresh() and follower.held.generation == 5
    assert [Path(path).name for path in calls] == [table_name(2), table_name(5)]


def test_reading_needs_no_lock_and_writes_nothing(folder: Path, make) -> None:
    publish(folder, make(1))
    os.chmod(folder, 0o555)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    with open(folder / "lock", "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not GenerationFollower(folder, Quoter).refresh()
        assert np.isfinite(Quoter.load(folder / POINTER).quote(0).value)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    os.chmod(folder, 0o755)


def test_a_signed_folder_stays_signed_unless_told_otherwise(folder: Path, make) -> None:
    """Quoters that ask for signatures would keep a table that was rolled back, and nobody would notice."""
    with publisher(folder) as at_work:
        at_work.publish(make(1))
        at_work.publish(make(2), signature=b"signed")
        assert (at_work.is_signed(1), at_work.is_signed(2)) == (False, True)
        before = sorted(os.listdir(folder))
        with pytest.raises(PublishingError, match=r"generation 1 is not signed and the live generation 2 is"):
            at_work.rollback()
        with pytest.raises(
            PublishingError, match=r"generation 2 is signed and this table is not, so quoters"
        ):
            at_work.publish(make(3))
        assert at_work.live == 2 and sorted(os.listdir(folder)) == before
        assert at_work.publish(make(3), unsigned=True) == 3
        assert at_work.rollback() == (3, 2)  # to a signed one
        assert at_work.rollback(unsigned=True) == (2, 1)
        at_work.publish(make(4))  # an unsigned one is live: none is asked for


def test_signatures_lie_beside_generations(folder: Path, make) -> None:
    with publisher(folder) as at_work:
        at_work.publish(make(1), signature=b"signed")
        at_work.publish(make(2), signature=b"too")
        assert signature_path(folder / POINTER).read_bytes() == b"too"
        at_work.rollback()
    assert signature_path(folder / POINTER).read_bytes() == b"signed"
    assert not (folder / "generation-0000000002.signature").exists()
