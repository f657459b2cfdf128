"""Hostile files for the Python loader, led by the branches they take.

    hostile_inputs.py table RUNS SEED [FOLDER]      mutated table files, loaded and looked up
    hostile_inputs.py folder RUNS SEED [FOLDER]     mutated folders of published tables, followed
    hostile_inputs.py key RUNS SEED [FOLDER]        mutated files of keys

An input that takes a new branch, or takes a loop more often, is kept and mutated further (`branch_marks`).
What may be raised is what is documented; anything else, and any warning, is a defect, as is an input that
takes longer than ten seconds or 64 MB beyond what the program has (`RLIMIT_AS`, where the system has it).
Each kind of defect is shown once, and its input left in FOLDER, also after a crash of the interpreter
(`last`). The last line says what was run, also after an interrupt; the exit status is 1 if there were any.
"""

import base64
import faulthandler
import hashlib
import mmap
import os
import pickle
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from branch_marks import forget, marked_imports, marks
from hostile_files import mutated

with marked_imports("quotegrid.tables."):
    from quotegrid.tables.conformance.made_up_tables import PAIR, conformance_tables, made_up_table
    from quotegrid.tables.guarded_quoter import GuardedQuoter, Moment
    from quotegrid.tables.lookup import BETWEEN, OUTSIDE, Market, QuoteError
    from quotegrid.tables.policy_table import PolicyTable
    from quotegrid.tables.publication.generation_follower import GenerationFollower
    from quotegrid.tables.publication.signing import KeyFileError, PrivateKey, PublicKeys, write_key_pair
    from quotegrid.tables.quoter import Quoter
    from quotegrid.tables.safetensors_file import safetensors_bytes, table_of_bytes
    from quotegrid.tables.table_error import TableError
    from quotegrid.tables.table_interface import interface_changes

REFUSED = Path(__file__).resolve().parents[2] / "tables" / "conformance" / "refused"
SPARE = 64 * 2**20  # bytes that an input may take
PATIENCE = 10  # seconds an input may take
NOTICE = 60  # seconds between lines on how it goes

I = TypeVar("I")  # noqa: E741  an input


class Target(Protocol[I]):
    """Something that reads inputs."""

    def seeds(self) -> Sequence[I]: ...
    def mutant(self, parent: I, kept: Sequence[I], draw: random.Random) -> I: ...
    def try_input(self, given: I, draw: random.Random) -> str:
        """What came of it, in a word; any exception is a defect."""
        ...


ACCEPTED = ("read", "taken")  # what `try_input` says of an input that nothing is wrong with
DRIFT = 500  # accepted inputs at hand, which replace each other as new ones come


class TableFiles:
    """The bytes of a table, loaded, looked up and written again."""

    def seeds(self) -> list[bytes]:
        small = made_up_table(
            "hostile",
            [[-1, 0, 2]],
            PAIR,
            times=[0.0, 1.0],
            regimes=["calm", "wild"],
            factors={"alpha": [0.0, 1.0]},
            parameter_axes={"price.volatility": [0.1, 0.2]},
            controls=True,
            sensitivities=1,
        )
        good = [safetensors_bytes(table) for _, table in [*conformance_tables(), ("all", small)]]
        bad = [path.read_bytes() for path in sorted(REFUSED.glob("*.safetensors"))]
        return [file for file in good + bad if len(file) < 10_000]

    def mutant(self, parent: bytes, kept: Sequence[bytes], draw: random.Random) -> bytes:
        return mutated(parent, kept, draw)

    def try_input(self, given: bytes, draw: random.Random) -> str:
        try:
            table = table_of_bytes(memoryview(given), "hostile")
        except TableError as error:
            return error.rule
        self._look(table, draw)
        if draw.random() < 0.05:
            again = safetensors_bytes(table)
            assert table_of_bytes(memoryview(again), "again") == table
            assert not interface_changes(table, table)
        return "read"

    def _look(self, table: PolicyTable, draw: random.Random) -> None:
        between, outside = draw.choice(BETWEEN), draw.choice(OUTSIDE)
        quoter = Quoter(table, between, outside)
        ticks = [draw.choice((0.01, 1.0, 1e-6, 1e9, 1e-300)) for _ in table.symbols]
        guarded = GuardedQuoter(
            table,
            table.symbols,
            ticks,
            draw.choice(("outward", "inward")),
            draw.random() < 0.5,
            between,
            outside,
        )
        inventory = tuple(_coordinate(nodes.tolist(), draw) for nodes in table.inventories)
        times = None if table.times is None else _coordinate(table.times.tolist(), draw)
        groups = (table.factors, table.parameter_axes)
        factors, parameters = (
            {name: _coordinate(nodes.tolist(), draw) for name, nodes in axes} for axes in groups
        )
        regime = draw.randrange(-1, len(table.regimes) + 1) if table.regimes else None
        market = Market(regime, factors, parameters)
        shift = None
        if table.sensitivity is not None and table.sensitivity.parameters:
            shift = {draw.choice(table.sensitivity.parameters): draw.choice((0.0, 1.0, 1e300, "+10%"))}
        with suppress(QuoteError):
            quoter.quote(inventory, times, draw.choice((None, shift)), market).to_json()
        with suppress(QuoteError):
            changes = [1.0] * (0 if table.sensitivity is None else len(table.sensitivity.parameters))
            quoter.shifted_by(changes, inventory, times, market)
        reference = tuple(100.0 + draw.random() for _ in table.symbols)
        now = None if table.start is None else table.start + draw.choice((0.0, 1.0, -1.0, 1e9))
        book = [-float("inf"), float("inf")] if draw.random() < 0.5 else [99.0, 101.0]
        bids, asks = (tuple(number for _ in table.symbols) for number in book)
        with suppress(QuoteError):
            prices = guarded.prices(Moment(inventory, reference, bids, asks, now, times, market))
            assert all(price is None or abs(price.price) < float("inf") for price in prices.values())


def _coordinate(nodes: list[float], draw: random.Random) -> float:
    kind = draw.random()
    if kind < 0.6:
        return draw.choice(nodes)
    if kind < 0.9:
        return 0.5 * draw.choice(nodes) + 0.5 * draw.choice(nodes)
    return draw.choice(
        (float("nan"), float("inf"), -1e308, nodes[0] - 1.0, nodes[-1] + 1e-10, 0, True, 10**400)
    )


class Folder(NamedTuple):
    """A folder of published tables."""

    pointer: bytes
    name: bytes
    table: bytes
    signature: bytes


class Folders:
    """Folders as a quoter follows them, with signatures: what is held was signed by the key."""

    def __init__(self, place: Path) -> None:
        self._folder = place / "live"
        self._folder.mkdir()
        self._key = PrivateKey(write_key_pair(place / "key")[0])
        self._keys = PublicKeys([place / "key.pub"])
        self._stranger = PrivateKey(write_key_pair(place / "stranger")[0])
        self._signed: set[str] = set()
        self._there: list[bytes] = []
        self._follower: GenerationFollower[Quoter] | None = None

    def seeds(self) -> list[Folder]:
        found = []
        for number, (name, table) in enumerate(conformance_tables()):
            if name in ("ergodic", "no-flows", "regimes"):
                file = f"generation-{number:010d}.safetensors".encode()
                for key in (self._key, self._stranger):
                    found.append(Folder(file, file, safetensors_bytes(table), key.sign(table.content_hash)))
                self._signed.add(table.content_hash)
        return found

    def mutant(self, parent: Folder, kept: Sequence[Folder], draw: random.Random) -> Folder:
        new, other = parent, draw.choice(kept)
        match draw.randrange(7):
            case 0:
                return new._replace(pointer=_other_name(new.pointer, draw))
            case 1:
                name = _other_name(new.name, draw)
                return new._replace(name=name, pointer=name)
            case 2:
                return new._replace(table=mutated(new.table, [each.table for each in kept[:20]], draw))
            case 3:
                return new._replace(signature=_other_text(new.signature, draw))
            case 4:
                return new._replace(signature=other.signature)
            case 5:
                return new._replace(table=other.table, signature=other.signature)
            case _:
                return new._replace(pointer=other.name, name=other.name)

    def try_input(self, given: Folder, draw: random.Random) -> str:
        self._lay(given)
        in_memory = draw.random() < 0.5
        if self._follower is not None:
            self._follower.refresh()
            self._check(self._follower)
        try:
            follower = GenerationFollower(os.fspath(self._folder), Quoter, self._keys, in_memory)
        except TableError as error:
            return error.rule
        except OSError as error:
            return type(error).__name__
        self._check(follower)
        self._follower = follower
        return "taken"

    def _check(self, follower: "GenerationFollower[Quoter]") -> None:
        assert follower.held.table.content_hash in self._signed

    def _lay(self, given: Folder) -> None:
        """Put the files there, in place of those of the last input."""
        here = os.fsencode(self._folder)
        for name in self._there:
            os.unlink(os.path.join(here, name))
        self._there = []
        stem = os.path.splitext(given.name)[0]
        for name, content in ((given.name, given.table), (stem + b".signature", given.signature)):
            if name in (b"", b".", b"..") or b"/" in name or b"\0" in name or len(name) > 200:
                continue
            with open(os.path.join(here, name), "wb") as file:
                file.write(content)
            if name not in self._there:
                self._there.append(name)
        pointer = given.pointer.replace(b"\0", b"")[:4000]
        if pointer and b"current.safetensors" not in self._there:
            os.symlink(pointer, os.path.join(here, b"current.safetensors"))
            self._there.append(b"current.safetensors")


_PIECES = (
    *(
        b"generation-",
        b"withdrawn-",
        b"0000000042",
        b"00000000042",
        b"\xd9\xa4",
        b".safetensors",
        b".signature",
    ),
    *(b"../", b"/", b"/dev/null", b".", b"\xff", b"\n", b"current.safetensors", b"-1", b" ", b"x" * 300),
)


def _other_name(name: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.4:
        return b"generation-%010d.safetensors" % draw.choice((0, 1, 2, draw.randrange(10**10), 10**10))
    at, piece = draw.randrange(len(name) + 1), draw.choice(_PIECES)
    return name[:at] + piece + name[at + draw.choice((0, len(piece))) :]


def _other_text(text: bytes, draw: random.Random) -> bytes:
    new = bytearray(text)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(new) + 1)
        match draw.randrange(6):
            case 0 if at < len(new):
                new[at] ^= 1 << draw.randrange(8)
            case 1 if at < len(new):
                new[at] = draw.randrange(256)
            case 2:
                del new[at : at + draw.choice((1, 4, 64))]
            case 3:
                new[at:at] = bytes(draw.randrange(9))
            case 4:
                source = draw.randrange(len(new) + 1)
                new[at : at + 16] = new[source : source + 16]
            case _:
                new[at:at] = draw.choice(
                    (b"-----", b"BEGIN", b"PRIVATE KEY", b"=", b"\n", b"\xff" * 32, b"AAAA")
                )
    return bytes(new)


class Keys:
    """Files of keys, of Ed25519 and others."""

    def __init__(self, place: Path) -> None:
        self._path = place / "hostile.key"
        self._place = place

    def seeds(self) -> list[bytes]:
        from cryptography.hazmat.primitives import serialization as form
        from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa

        write_key_pair(self._place / "good")
        found = [(self._place / f"good.{end}").read_bytes() for end in ("key", "pub")]
        others = (ec.generate_private_key(ec.SECP256R1()), ed448.Ed448PrivateKey.generate())
        for key in (*others, rsa.generate_private_key(65537, 1024)):
            plain = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
            public = key.public_key()
            found += [plain, public.public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)]
        locked = form.BestAvailableEncryption(b"word")
        found.append(others[0].private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, locked))
        return found

    def mutant(self, parent: bytes, kept: Sequence[bytes], draw: random.Random) -> bytes:
        """Mostly of the key inside, which is base64."""
        lines = parent.split(b"\n")
        if draw.random() < 0.3 or len(lines) < 4:
            return _other_text(parent, draw)
        try:
            inside = base64.b64decode(b"".join(lines[1:-2]))
        except ValueError:
            return _other_text(parent, draw)
        new = base64.encodebytes(_other_text(inside, draw)).rstrip()
        return b"\n".join((lines[0], new, *lines[-2:]))

    def try_input(self, given: bytes, draw: random.Random) -> str:
        self._path.write_bytes(given)
        self._path.chmod(0o600)
        words = []
        for read in (PrivateKey, lambda path: PublicKeys([path])):
            try:
                words.append(type(read(self._path)).__name__)
            except KeyFileError:
                words.append("refused")
        return " ".join(words)


class Fuzzer:
    """Runs inputs against a target and keeps those that reach something new."""

    def __init__(self, target: Any, draw: random.Random, folder: Path | None) -> None:
        self._target, self._draw, self._folder = target, draw, folder
        self._seen = 0
        self._run = self._run_before = 0
        self._stopped = False
        self._last = None if folder is None else _shared_bytes(folder / "last")
        self.kept: list[Any] = []
        self._accepted: list[Any] = []
        self.words: Counter[str] = Counter()
        self.defects: dict[tuple[str, ...], Any] = {}

    @property
    def reached(self) -> int:
        """Branches, and doublings of loops."""
        return self._seen.bit_count()

    def fuzz(self, runs: int) -> None:
        """Try the seeds, then so many mutants."""
        started = noticed = time.monotonic()
        signal.signal(signal.SIGALRM, self._look_for_hang)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE, PATIENCE)
        for seed in self._target.seeds():
            self._try(seed)
            if seed not in self.kept:
                self.kept.append(seed)
        signal.signal(signal.SIGINT, self._stop)
        for self._run in range(1, runs + 1):
            if self._stopped:
                break
            parents = self._accepted if self._accepted and self._draw.random() < 0.6 else self.kept
            self._try(self._target.mutant(self._draw.choice(parents), self.kept, self._draw))
            if not self._run & 0xFF and time.monotonic() - noticed > NOTICE:
                noticed = time.monotonic()
                print(f"{noticed - started:.0f} s: {self}", flush=True)
        signal.setitimer(signal.ITIMER_REAL, 0)

    def __str__(self) -> str:
        read = sum(self.words[word] for word in ACCEPTED)
        return (
            f"{self._run} inputs, {read} accepted, {len(self.words)} outcomes, {len(self.kept)} kept, "
            f"{self.reached} branches, {len(self.defects)} defects, peak "
            f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB"
        )

    def _try(self, given: Any) -> None:
        if self._last is not None:
            content = given if isinstance(given, bytes) else pickle.dumps(given)
            self._last[: len(content)] = content
        forget()
        word = ""
        try:
            word = self._target.try_input(given, self._draw)
        except Exception as error:
            self._note(error, given)
        self.words[word] += 1
        found = marks()
        new = found & ~self._seen
        if new:
            self._seen |= found
            self.kept.append(given)
        if word in ACCEPTED:
            if len(self._accepted) < DRIFT:
                self._accepted.append(given)
            elif new or self._draw.random() < 0.1:
                self._accepted[self._draw.randrange(DRIFT)] = given

    def _note(self, error: BaseException, given: Any) -> None:
        """A defect, once for each place it shows at."""
        frames = traceback.extract_tb(error.__traceback__)
        place = (type(error).__name__, *(f"{frame.filename}:{frame.lineno}" for frame in frames[-1:]))
        if place in self.defects:
            return
        self.defects[place] = given
        traceback.print_exception(error, limit=-12, file=sys.stdout)
        if self._folder is not None:
            content = given if isinstance(given, bytes) else pickle.dumps(given)
            (self._folder / f"defect-{hashlib.sha256(content).hexdigest()[:12]}").write_bytes(content)

    def _stop(self, *_: object) -> None:
        self._stopped = True

    def _look_for_hang(self, *_: object) -> None:
        if self._run == self._run_before:
            raise TimeoutError(f"input {self._run} takes longer than {PATIENCE} s")
        self._run_before = self._run


def _shared_bytes(path: Path) -> mmap.mmap:
    """Memory that outlives the process as a file."""
    with open(path, "w+b") as file:
        file.truncate(2**20)
        return mmap.mmap(file.fileno(), 2**20)


def _limit_memory() -> None:
    """So much more than there is now, and MemoryError beyond; where the system says how much there is."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return
    most = pages * resource.getpagesize() + SPARE
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main(what: str, runs: str, seed: str, folder: str | None = None) -> int:
    warnings.simplefilter("error")
    faulthandler.enable()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as place:
        targets = {
            "table": TableFiles,
            "folder": lambda: Folders(Path(place)),
            "key": lambda: Keys(Path(place)),
        }
        fuzzer = Fuzzer(targets[what](), random.Random(int(seed)), None if folder is None else Path(folder))
        _limit_memory()
        fuzzer.fuzz(int(runs))
    for word, count in fuzzer.words.most_common():
        print(f"    {count:10} {word}")
    print(fuzzer)
    return bool(fuzzer.defects)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
