"""Text as it lies on disk, plain or gzipped: whole, or as far as a recorder came before it was stopped."""

import gzip
import zlib
from pathlib import Path

from quotegrid.calibration.market_data import MarketDataError

GZIP = b"\x1f\x8b"


def read_text(path: Path) -> str:
    """The whole text; raises MarketDataError where it is damaged, cut off, or no text."""
    text, whole = read_available_text(path)
    if not whole:
        raise MarketDataError(
            f"{path}: cannot be read to its end, it may be cut off or damaged (the compressed data break off "
            f"after {len(text):,} characters)."
        )
    return text


def read_available_text(path: Path) -> tuple[str, bool]:
    """The text as far as it can be decompressed, and whether that is all of it."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise MarketDataError(f"{path}: no such file.") from None
    except OSError as error:
        raise MarketDataError(f"{path}: cannot be read ({error.strerror}).") from None
    whole = True
    if data[:2] == GZIP:
        data, whole = _decompressed(data)
    try:
        return data.decode("utf-8"), whole
    except UnicodeDecodeError as error:
        raise MarketDataError(
            f"{path}: byte {error.start:,} is not text; expected text, plain or gzipped."
        ) from None


def first_line(path: Path) -> str:
    """The first line that is not blank, of a text file, plain or gzipped; "" for an empty one."""
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == GZIP
        with gzip.open(path, "rt", encoding="utf-8") if packed else open(path, encoding="utf-8") as lines:
            return next((line.strip() for line in lines if line.strip()), "")
    except FileNotFoundError:
        raise MarketDataError(f"{path}: no such file.") from None
    except UnicodeDecodeError as error:
        raise MarketDataError(
            f"{path}: byte {error.start:,} is not text; expected text, plain or gzipped."
        ) from None
    except (EOFError, OSError, zlib.error) as error:
        raise MarketDataError(f"{path}: cannot be read, it may be cut off or damaged ({error}).") from None


def _decompressed(data: bytes) -> tuple[bytes, bool]:
    """All members of a gzip file, and whether the last one is complete."""
    parts: list[bytes] = []
    while data:
        member = zlib.decompressobj(wbits=31)
        try:
            parts.append(member.decompress(data))
        except zlib.error:
            return b"".join(parts), False
        if not member.eof:
            return b"".join(parts), False
        data = member.unused_data.lstrip(b"\0")
    return b"".join(parts), True
