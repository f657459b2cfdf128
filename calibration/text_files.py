"""Text as it lies on disk, plain or gzipped, line by line: a day of it may not fit into memory."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from quotegrid.calibration.market_data import MarketDataError

GZIP = b"\x1f\x8b"
CUT_OFF = (EOFError, zlib.error, gzip.BadGzipFile)


@contextmanager
def text_lines(path: Path) -> Iterator[TextIO]:
    """The lines of a file, without a byte order mark; MarketDataError where it is cut off or no text."""
    try:
        with _opened(path) as lines:
            yield lines
    except FileNotFoundError:
        raise MarketDataError(f"{path}: no such file.") from None
    except UnicodeDecodeError:
        raise _no_text(path) from None
    except CUT_OFF as error:
        raise MarketDataError(
            f"{path}: cannot be read to its end, it may be cut off or damaged ({error})."
        ) from None
    except OSError as error:
        raise MarketDataError(f"{path}: cannot be read ({error.strerror}).") from None


def available_lines(path: Path) -> Iterator[str | None]:
    """The lines as far as they can be decompressed; a last None says that the end is missing."""
    with text_lines(path) as lines:
        try:
            yield from lines
        except CUT_OFF:
            yield None


def first_line(path: Path) -> str:
    """The first line that is not blank; "" for an empty file."""
    with text_lines(path) as lines:
        return next((line.strip() for line in lines if line.strip()), "")


def _opened(path: Path) -> TextIO:
    with open(path, "rb") as file:
        packed = file.read(2) == GZIP
    if packed:
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return open(path, encoding="utf-8-sig")


def _no_text(path: Path) -> MarketDataError:
    """Where a file stops being text."""
    with open(path, "rb") as file:
        packed = file.read(2) == GZIP
    begin = 0
    with gzip.open(path, "rb") if packed else open(path, "rb") as rows:
        for line, row in enumerate(rows, start=1):
            try:
                row.decode("utf-8")
            except UnicodeDecodeError as error:
                return MarketDataError(
                    f"{path}: byte {begin + error.start:,} is not text (line {line:,}); expected text in "
                    "UTF-8, plain or gzipped."
                )
            begin += len(row)
    return MarketDataError(f"{path}: is not text; expected text in UTF-8, plain or gzipped.")
