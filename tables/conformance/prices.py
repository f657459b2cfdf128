"""Moments with the prices that a guarded quoter must give for them, as files for readers in any language.

`prices_at` says FORMAT.md §9 word for word, on top of `answers`; it shares nothing with
`quotegrid.tables.guarded_quoter`. `vectors` writes the files.
"""

import math
import random
import struct
from collections.abc import Iterator
from typing import NamedTuple

from quotegrid.tables.conformance.answers import Question, Refusal, SlowTable
from quotegrid.tables.conformance.questions import BETWEEN, OUTSIDE, integer_word, number_word, questions
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.safetensors_file import safetensors_bytes

MAGIC = b"QGPRICES"
NOT_A_NUMBER, TOO_EARLY, EXPIRED, OUTSIDE_PRICE_BOX, CROSSED_MARKET, CROSSED_QUOTES = 1, 8, 9, 10, 11, 12
LIMITS = 1e-9  # lots
TABLES = ("ergodic", "box", "two-assets", "three-assets", "regimes", "everything")


class PriceQuestion(NamedTuple):
    """A moment, and the choices made when the quoter was loaded."""

    question: Question
    inward: bool
    post_only: bool
    now: float
    assets: tuple[tuple[float, float, float, float], ...]  # tick, reference price, best bid, best ask


def prices_at(slow: SlowTable, asked: PriceQuestion) -> Refusal | list[int | None]:
    """Whole ticks for each flow, None where it is off."""
    table = slow.table
    if table.start is not None:
        if not math.isfinite(asked.now):
            return Refusal(NOT_A_NUMBER)
        if asked.now < table.start:
            return Refusal(TOO_EARLY)
        if table.life is not None and asked.now - table.start > table.life:
            return Refusal(EXPIRED)
    for asset, (_, reference, bid, ask) in enumerate(asked.assets):
        if not math.isfinite(reference) or math.isnan(bid) or math.isnan(ask):
            return Refusal(NOT_A_NUMBER)
        if table.price_box is not None:
            low, high = table.price_box[asset].tolist()
            if not low <= reference <= high:
                return Refusal(OUTSIDE_PRICE_BOX)
        if bid >= ask:
            return Refusal(CROSSED_MARKET)
    coordinates = list(asked.question.coordinates)
    assets = len(asked.assets)
    banned = []  # (asset, sign) of flows that would lead further out
    for asset in range(assets):
        place = len(coordinates) - assets + asset
        x, (low, high) = coordinates[place], slow.box[len(slow.box) - assets + asset]
        if not math.isfinite(x):
            return Refusal(NOT_A_NUMBER)
        if low - x > LIMITS:
            coordinates[place] = low
            banned.append((asset, -1))
        elif x - high > LIMITS:
            coordinates[place] = high
            banned.append((asset, 1))
    answer = slow.answer(asked.question._replace(coordinates=tuple(coordinates)))
    if isinstance(answer, Refusal):
        return answer
    worth: list[float | None] = []
    for flow, offset in zip(table.flows, answer.offsets, strict=True):
        tick, reference, _, _ = asked.assets[flow.asset]
        if math.isnan(offset) or (flow.asset, flow.sign) in banned:
            worth.append(None)
            continue
        u = (reference - offset if flow.side == "bid" else reference + offset) / tick
        if not abs(u) <= 2.0**50:
            return Refusal(NOT_A_NUMBER)
        worth.append(u)
    ticks: list[int | None] = [None] * len(worth)
    for asset, (tick, _, best_bid, best_ask) in enumerate(asked.assets):
        mine = [n for n, flow in enumerate(table.flows) if flow.asset == asset and worth[n] is not None]
        inward = asked.inward
        rounded = {n: _on_ticks(worth[n], table.flows[n].side, inward) for n in mine}
        if inward and _meet(rounded, table):
            rounded = {n: _on_ticks(worth[n], table.flows[n].side, False) for n in mine}
        if _meet(rounded, table):
            return Refusal(CROSSED_QUOTES)
        a, b = best_ask / tick, best_bid / tick
        for n, k in rounded.items():
            if table.flows[n].side == "bid" and abs(a) <= 2.0**50:
                down, up = _on_ticks(a, "bid", False), _on_ticks(a, "ask", False)
                k = min(k, down - 1 if asked.post_only and down == up else down)
            if table.flows[n].side == "ask" and abs(b) <= 2.0**50:
                down, up = _on_ticks(b, "bid", False), _on_ticks(b, "ask", False)
                k = max(k, up + 1 if asked.post_only and down == up else up)
            ticks[n] = k
    return ticks


def _on_ticks(u: float | None, side: str, inward: bool) -> int:
    assert u is not None
    n = math.floor(u)
    if u - float(n) <= 1e-6:
        return n
    if float(n + 1) - u <= 1e-6:
        return n + 1
    return n if (side == "bid") != inward else n + 1


def _meet(rounded: dict[int, int], table: PolicyTable) -> bool:
    """Whether the highest bid is not below the lowest ask."""
    bids = [k for n, k in rounded.items() if table.flows[n].side == "bid"]
    asks = [k for n, k in rounded.items() if table.flows[n].side == "ask"]
    return bool(bids and asks) and max(bids) >= min(asks)


def moments(name: str, table: PolicyTable, rows: int) -> Iterator[PriceQuestion]:
    """States as for lookups, in markets that are quiet, tight, one-sided, crossed or no numbers at all."""
    draw = random.Random(f"moments of {name}")
    start = 0.0 if table.start is None else table.start
    life = 1e5 if table.life is None else table.life
    for row, question in enumerate(questions(f"prices of {name}", table, rows)):
        assets = []
        for asset in range(len(table.symbols)):
            tick = draw.choice((0.01, 0.1, 0.25, 1e-6, 3.0))
            low, high = (50.0, 150.0) if table.price_box is None else table.price_box[asset].tolist()
            reference = low + draw.random() * (high - low)
            if draw.random() < 0.3:
                reference = tick * round(reference / tick)
            width = draw.choice((0.5, 1.0, 3.0, 100.0)) * tick
            bid, ask = reference - width, reference + width * draw.random()
            if draw.random() < 0.5:
                bid, ask = tick * math.floor(bid / tick), tick * math.ceil(ask / tick)
            bid = -math.inf if draw.random() < 0.1 else bid
            ask = math.inf if draw.random() < 0.1 else ask
            fault = draw.random()
            if fault < 0.015:
                bid, ask = ask, bid
            elif fault < 0.03:
                reference, bid, ask = draw.choice(
                    (
                        (math.nan, bid, ask),
                        (math.inf, bid, ask),
                        (reference, math.nan, ask),
                        (1e17, bid, 1e18),
                    )
                )
            elif fault < 0.15:
                reference = draw.choice((low - 1e-6, high + 1e-6, low, high, 0.5 * low, 1.5 * high))
            assets.append((tick, reference, bid, ask))
        now = start + draw.random() * life
        if draw.random() < 0.1:
            now = draw.choice((math.nan, start - 1.0, start, start + life, start + life + 1.0))
        yield PriceQuestion(question, row // 8 % 2 == 1, row // 16 % 2 == 1, now, tuple(assets))


def prices_file(name: str, table: PolicyTable, rows: int) -> Iterator[bytes]:
    """The file of one table, piece by piece."""
    file, slow = safetensors_bytes(table), SlowTable(table)
    width = 4 + len(table.lattice_shape) + 1 + 4 * len(table.symbols) + 1 + 3 * len(table.flows)
    yield struct.pack("<8s7q", MAGIC, len(file) // 8, rows, width, 0, 0, 0, 0)
    yield file
    for asked in moments(name, table, rows):
        yield _row(table, asked, prices_at(slow, asked)).ljust(8 * width, b"\0")


def _row(table: PolicyTable, asked: PriceQuestion, answer: Refusal | list[int | None]) -> bytes:
    question = asked.question
    words = [BETWEEN.index(question.between), OUTSIDE.index(question.outside), asked.inward, asked.post_only]
    row = b"".join(map(integer_word, words))
    for place, x in enumerate(question.coordinates):
        row += integer_word(int(x)) if place == table.regime_axis else number_word(x)
    row += number_word(asked.now) + b"".join(number_word(x) for numbers in asked.assets for x in numbers)
    if isinstance(answer, Refusal):
        return row + integer_word(answer.number)
    row += integer_word(0)
    for flow, k in zip(table.flows, answer, strict=True):
        tick = asked.assets[flow.asset][0]
        row += integer_word(k is not None) + integer_word(0 if k is None else k)
        row += number_word(math.nan if k is None else k * tick)
    return row
