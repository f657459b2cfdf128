"""One named check of a table, and how it went."""

from typing import Literal, NamedTuple

Outcome = Literal["pass", "fail", "not applicable"]


class Check(NamedTuple):
    """The name says what was looked at, the sentence what was found."""

    name: str
    outcome: Outcome
    sentence: str


def judged(name: str, good: bool, passed: str, failed: str) -> Check:
    """A check that passed or failed, with the sentence for either."""
    return Check(name, "pass", passed) if good else Check(name, "fail", failed)
