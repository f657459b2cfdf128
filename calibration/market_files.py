"""From the files somebody has to the quotes and trades of one market, whatever the format.

    csv          two files: best bid/ask, and trades; told by the names of their columns
    lobster      pairs of a message and an order book file, of one day or several
    binance      captures of Binance streams, one or several that follow each other
    hftbacktest  event arrays, .npz or .npy, one or several that follow each other

The format is told by the content of the files, not by their names; it may also be given.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from quotegrid.calibration.binance_stream import is_capture, read_binance
from quotegrid.calibration.csv_files import QUOTE_COLUMNS, TRADE_COLUMNS, read_quotes, read_trades
from quotegrid.calibration.hftbacktest_npz import read_hftbacktest
from quotegrid.calibration.lobster import read_lobster
from quotegrid.calibration.market_data import MarketDataError, Quotes, Trades, joined
from quotegrid.calibration.text_files import first_line

Format = Literal["csv", "lobster", "binance", "hftbacktest"]
ARRAYS = (b"PK\x03\x04", b"\x93NUM")


def read_market(
    paths: Sequence[str | Path], *, format: Format | None = None, instrument: str | None = None
) -> tuple[Quotes, Trades]:
    """Quotes and trades of one market.

    Args: paths: the files, in any order. format: what they are; None: told by their content. instrument:
    which one
        of a capture of several (binance).

    Raises: MarketDataError: files of different formats, a file that lacks its other half, recordings that
    overlap,
        and whatever is wrong inside a file.
    """
    files = [Path(path) for path in paths]
    if not files:
        raise MarketDataError("no file of market data was given; give one or more.")
    if format is None:
        told: dict[Path, Format] = {path: told_format(path) for path in files}
        format = told[files[0]]
        if odd := [path for path in files if told[path] != format]:
            raise MarketDataError(
                f"{files[0]} looks like {format} and {odd[0]} like {told[odd[0]]}; calibrate files of one "
                "format at a time."
            )
    if instrument is not None and format != "binance":
        raise MarketDataError(
            f"instrument is {instrument!r}, but {format} files hold one market each; leave it out."
        )
    if format == "binance":
        return joined([read_binance(path, instrument=instrument) for path in files])
    if format == "hftbacktest":
        return joined([read_hftbacktest(path) for path in files])
    if format == "lobster":
        return joined([read_lobster(*pair) for pair in _pairs(files)])
    if format == "csv":
        return _read_csv(files)
    raise MarketDataError(f"format is {format!r}; it is one of {', '.join(get_args(Format))}.")


def told_format(path: Path) -> Format:
    """The format of a file, by its content; raises MarketDataError for one that is none of them."""
    try:
        with open(path, "rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise MarketDataError(f"{path}: no such file.") from None
    except OSError as error:
        raise MarketDataError(f"{path}: cannot be read ({error.strerror}).") from None
    if magic in ARRAYS:
        return "hftbacktest"
    line = first_line(path)
    if not line:
        raise MarketDataError(f"{path}: the file is empty; record some data first.")
    if is_capture(line):
        return "binance"
    fields = line.split(",")
    if len(fields) >= 4 and all(map(_is_number, fields[:4])):
        return "lobster"
    if {name.strip() for name in fields} & {*QUOTE_COLUMNS, *TRADE_COLUMNS}:
        return "csv"
    raise MarketDataError(
        f"{path}: the first line reads {line[:80]!r}, which begins none of the formats known: CSV with the "
        f"columns {', '.join(QUOTE_COLUMNS)} or {', '.join(TRADE_COLUMNS)}; LOBSTER (numbers without a "
        "header); a capture of Binance streams (JSON messages); an event array of hftbacktest (.npz)."
    )


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _read_csv(files: list[Path]) -> tuple[Quotes, Trades]:
    """The two files, told apart by their columns."""
    quotes, trades = (
        [path for path in files if column in first_line(path)] for column in ("bid_px", "aggressor")
    )
    if len(files) != 2 or len(quotes) != 1 or len(trades) != 1:
        raise MarketDataError(
            f"{', '.join(map(str, files))}: {len(quotes)} of {len(files)} CSV files hold quotes (a column "
            f"bid_px) and {len(trades)} trades (a column aggressor); give one of each."
        )
    return read_quotes(quotes[0]), read_trades(trades[0])


def _pairs(files: list[Path]) -> list[tuple[Path, Path]]:
    """Each message file with its order book file: by their names, or the only two there are by their
    columns."""
    named = {path.name: path for path in files}
    messages = [path for path in files if "message" in path.name]
    pairs = [
        (path, named[path.name.replace("message", "orderbook")])
        for path in messages
        if path.name.replace("message", "orderbook") in named
    ]
    if pairs and 2 * len(pairs) == len(files):
        if len(tickers := {path.name.split("_")[0]: None for path in messages}) > 1:
            raise MarketDataError(
                f"{', '.join(map(str, messages))}: the names tell of {' and '.join(tickers)}; calibrate the "
                "files of one ticker at a time."
            )
        return pairs
    if len(files) == 2:
        columns = [len(first_line(path).rstrip(",").split(",")) for path in files]
        for message, book in ((0, 1), (1, 0)):
            if columns[message] == 6 and columns[book] % 4 == 0:
                return [(files[message], files[book])]
    raise MarketDataError(
        f"{', '.join(map(str, files))}: LOBSTER data come in pairs, …_message_….csv and …_orderbook_….csv; "
        "give both files of each day."
    )
