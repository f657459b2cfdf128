"""The commands that hand tables to those who quote: `publish`, `rollback`, `keygen`."""

import math
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from quotegrid.command_arguments import DONE, NO, TableFile
from quotegrid.validity_arguments import Box, Life, PriceBox, Start, named_spans, spans, start_and_life

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where quoters follow tables.")]
UNSIGNED = "it is not signed, as generation {} was: quoters that ask for signatures do not take it"
Unsigned = Annotated[
    bool, typer.Option("--unsigned", help="Even if the table is not signed and the live one is.")
]
Wait = Annotated[float, typer.Option(help="Seconds to wait for another publisher.", min=0.0)]


def publish(
    table: TableFile,
    folder: Folder,
    max_quote_error: Annotated[
        float,
        typer.Option(help="Largest certified distance of a quote from the optimum, price units.", min=0.0),
    ],
    max_quote_change: Annotated[
        float,
        typer.Option(help="Largest change of a quote against the live table, price units; or inf.", min=0.0),
    ],
    keep: Annotated[int, typer.Option(help="Generations that stay, the live one among them.", min=2)] = 5,
    life: Life = None,
    start: Start = None,
    price_box: PriceBox = None,
    box: Box = None,
    sign: Annotated[Path | None, typer.Option(metavar="KEY", help="Sign it with this private key.")] = None,
    unsigned: Unsigned = False,
    wait: Wait = 10.0,
) -> int:
    """Check a table and make it the live one of a folder, in one step. Exit code 1 if a check fails.

    --life, --start, --price-box and --box say when and where it may be used, in place of what the file says.
    """
    from quotegrid.table_files import read_table
    from quotegrid.tables.publication.checks import certificate_limit, change_limit
    from quotegrid.tables.publication.publishing import PublishingError, publisher
    from quotegrid.tables.validity import life_check, with_validity
    from quotegrid.tables.verifier import Verification
    from quotegrid.tables.verifier import verify as verify_file

    begins, lasts = start_and_life(start, life)
    prices = None if price_box is None else spans(price_box, "--price-box")
    states = named_spans(box or [], "--box")
    key = None if sign is None else signing_module().PrivateKey(sign)
    before = identity(table)
    verified = verify_file(table)
    if not verified.passed:
        print(verified)
        print("not published")
        return NO
    found = read_table(table)
    if identity(table) != before:
        raise PublishingError(f"{table} was written again while it was checked; publish it again")
    found = with_validity(found, begins, lasts, prices, states)
    if folder.exists() and not folder.is_dir():
        raise PublishingError(f"{folder} is a file; name the folder that quoters follow")
    folder.mkdir(parents=True, exist_ok=True)
    with publisher(folder, wait) as at_work:
        live = at_work.live
        quoting = None if live is None else live_table(at_work, live, max_quote_change)
        limits = (
            certificate_limit(found, max_quote_error),
            change_limit(found, quoting, max_quote_change),
            life_check(found, time.time()),
        )
        checks = Verification(str(table), (*verified.checks, *limits), verified.proof)
        print(checks)
        if not checks.passed:
            print(f"not published; {'nothing' if live is None else f'generation {live}'} is live in {folder}")
            return NO
        signature = None if key is None else key.sign(found.content_hash)
        was_signed = live is not None and at_work.is_signed(live)
        number = at_work.publish(found, signature, keep, unsigned)
    signed = "" if key is None else f", signed by the key {signing_module().fingerprint(key.public_bytes)}"
    print(f"generation {number} is live in {folder}{signed}")
    if key is None and was_signed:
        print(UNSIGNED.format(live))
    return DONE


def identity(path: Path) -> tuple[int, int, int]:
    """What changes when a file is replaced, or written again."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def live_table(at_work: Any, live: int, max_quote_change: float) -> Any:
    """The live table; None where it is damaged and any change is allowed: then a good one may replace it."""
    from quotegrid.tables.publication.publishing import PublishingError
    from quotegrid.tables.table_error import TableError

    try:
        return at_work.read(live)
    except (OSError, TableError) as error:
        if math.isinf(max_quote_change):
            return None
        raise PublishingError(
            f"the live table cannot be compared with: {error}; return to the one before with `quotegrid "
            "rollback`, or publish over it with --max-quote-change inf"
        ) from error


def rollback(folder: Folder, unsigned: Unsigned = False, wait: Wait = 10.0) -> int:
    """Return to the table that was live before."""
    from quotegrid.tables.publication.publishing import PublishingError, publisher
    from quotegrid.tables.table_error import TableError

    with publisher(folder, wait) as at_work:
        before = at_work.live
        was_signed = before is not None and at_work.is_signed(before)
        try:
            withdrawn, live = at_work.rollback(unsigned)
        except TableError as error:
            raise PublishingError(
                f"the table before cannot be returned to: {error}; generation {before} is still live: "
                "publish the table that shall be (quotegrid publish)"
            ) from error
        signed = at_work.is_signed(live)
    print(f"generation {live} is live in {folder} again; {withdrawn} is withdrawn")
    if was_signed and not signed:
        print(UNSIGNED.format(withdrawn))
    return DONE


def keygen(
    name: Annotated[Path, typer.Argument(metavar="NAME", help="Writes NAME.key and NAME.pub.")],
) -> int:
    """Make a key pair to sign tables with: NAME.key, to be kept secret, and NAME.pub, to be given away."""
    signing = signing_module()
    private, public = signing.write_key_pair(name)
    print(f"private key {private}: keep it secret, it signs tables (`quotegrid publish … --sign {private}`)")
    print(f"public key {public}: give it to those who quote")
    print(f"fingerprint {signing.fingerprint(signing.PrivateKey(private).public_bytes)}")
    return DONE


def signature_check(table: Any, path: Path, public_keys: list[Path]) -> Any:
    """Is the table signed by one of the keys? Its signature lies beside it."""
    from quotegrid.tables.check import Check
    from quotegrid.tables.publication.generations import signature_path
    from quotegrid.tables.table_error import TableError

    keys = signing_module().PublicKeys(public_keys)
    try:
        keys.check(table.content_hash, signature_path(path))
    except TableError as error:
        return Check("signature", "fail", str(error))
    return Check("signature", "pass", "signed by a key that was given")


def signing_module() -> Any:
    """The module of signatures, if what it needs is installed."""
    try:
        from quotegrid.tables.publication import signing
    except ModuleNotFoundError as error:
        raise typer.BadParameter(
            f"signatures need the package {(error.name or 'cryptography').split('.')[0]}; install "
            "quotegrid[signing]"
        ) from None
    return signing
