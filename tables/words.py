"""Words as numbers: names and units of a table, readable in place by a program that parses no JSON.

Words are an I64 tensor [n, w] whose bytes, in the order of the file, are n rows of UTF-8, each ended by a
zero byte and filled up with zeros (FORMAT.md §3).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.table_error import TableError

MAX_NAMES = 1000  # flows, regimes, parameters of a table
MAX_BYTES = 255  # of a word
_WIDTH = 8  # bytes of a number


def words_tensor(words: Sequence[str]) -> NDArray[np.int64]:
    """The tensor of some words, as narrow as the longest of them allows."""
    rows = [word.encode("utf-8", "surrogatepass") for word in words]
    width = max(map(len, rows), default=0) // _WIDTH + 1
    text = b"".join(row.ljust(_WIDTH * width, b"\0") for row in rows)
    return np.frombuffer(text, dtype="<i8").reshape(len(rows), width).astype(np.int64)


def read_words(tensor: NDArray[np.int64], name: str) -> tuple[str, ...]:
    """The words of a tensor.

    Raises:
        TableError: word-form, if a row is not of the form above, empty or holds a control character.
    """
    if tensor.ndim != 2 or not 1 <= tensor.shape[1] <= (MAX_BYTES + 1) // _WIDTH:
        raise TableError("word-form", f"{name} has shape {tensor.shape}, no rows of words")
    text, width = tensor.astype("<i8").tobytes(), _WIDTH * tensor.shape[1]
    found = []
    for place in range(tensor.shape[0]):
        row, zero, rest = text[place * width : (place + 1) * width].partition(b"\0")
        try:
            word = row.decode("utf-8")
        except UnicodeDecodeError:
            raise TableError("word-form", f"{name} {place} is not UTF-8") from None
        if not zero or rest.strip(b"\0"):
            raise TableError("word-form", f"{name} {place} does not end with zero bytes alone")
        if not is_word(word):
            raise TableError(
                "word-form", f"{name} {place} is {word!r}: empty, too long, or with a control character"
            )
        found.append(word)
    return tuple(found)


def is_word(word: str) -> bool:
    """Whether a text can stand in a table: 1 to 255 bytes of UTF-8, without control characters."""
    try:
        size = len(word.encode("utf-8"))
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return 1 <= size <= MAX_BYTES and min(word) >= " "
