"""Words as numbers: there and back, and what is none."""

import numpy as np
import pytest

from quotegrid.tables.table_error import TableError
from quotegrid.tables.words import is_word, read_words, words_tensor


@pytest.mark.parametrize("words", [[], ["a"], ["bid", "größer als ☃ 🎲"], ["x" * 255], ["eight888"]])
def test_there_and_back(words: list[str]) -> None:
    tensor = words_tensor(words)
    assert tensor.dtype == np.int64
    assert tensor.shape == (len(words), max((len(word.encode()) for word in words), default=0) // 8 + 1)
    assert read_words(tensor, "w") == tuple(words)


@pytest.mark.parametrize("word", ["", "a\nb", "\ud800", "x" * 256, "\x1f"])
def test_what_is_no_word(word: str) -> None:
    assert not is_word(word)


@pytest.mark.parametrize(
    "row",
    [
        b"\0" * 8,
        b"eight888",
        b"a\0b\0\0\0\0\0",
        b"a\n\0\0\0\0\0\0",
        b"\xed\xa0\x80\0\0\0\0\0",  # half a surrogate pair
        b"\xc0\x80\0\0\0\0\0\0",  # overlong
        b"\xf4\x90\x80\x80\0\0\0\0",  # above U+10FFFF
        b"\xe2\x98\0\0\0\0\0\0",
        b"a" * 8 * 32 + b"\0" * 8,
    ],
)
def test_rows_that_are_refused(row: bytes) -> None:
    with pytest.raises(TableError) as caught:
        read_words(np.frombuffer(row, dtype="<i8").reshape(1, -1), "symbol")
    assert caught.value.rule == "word-form"
