"""How often the 95 % intervals of `quotegrid.calibration` hold the truth: 400 synthetic markets of each kind.

    nice -n 10 python benchmarks/interval_coverage.py  # interval_coverage.md; 10 minutes on one core

Each market is drawn from known parameters with orders in bursts (their rate is half or one and a half times
its mean, anew every 5 s) and an adverse move after each order; the recording lasts 20 minutes. Calibration
sees the quotes and trades alone. Seeds are 0 to 399. With 400 runs the share itself is known to ±2.2 % (two
standard errors); it should be 95 % ± 3 %.
"""

import argparse
import math
import platform
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from quotegrid.calibration.blocks import cut_into_blocks
from quotegrid.calibration.copies import make_copies
from quotegrid.calibration.families import FAMILIES
from quotegrid.calibration.intensity import measure_reach
from quotegrid.calibration.market_orders import market_orders
from quotegrid.calibration.markout import horizons, measure_markout
from quotegrid.calibration.recording import record
from quotegrid.calibration.seasonality import measure_day
from quotegrid.calibration.side import describe_side
from quotegrid.calibration.sizes import OrderSizes
from quotegrid.calibration.synthetic import BEGIN, DAY, SyntheticMarket
from quotegrid.calibration.volatility import block_variances, estimate_volatility

REPORT = Path(__file__).with_suffix(".md")
COMMON = SyntheticMarket(bursts=0.5, adverse_move=0.02, duration=1200.0)
MARKETS = {
    "exponential": replace(COMMON, parameters=(2.0, 10.0)),
    "exponential, spreads of 1, 3 and 9 ticks": replace(COMMON, parameters=(2.0, 10.0), spreads=(1, 3, 9)),
    "logistic": replace(COMMON, family="logistic", parameters=(2.0, -2.0, 15.0)),
    "power": replace(COMMON, family="power", parameters=(4.0, 0.1, 3.0)),
    "linear": replace(COMMON, family="linear", parameters=(2.0, 0.4)),
}
DAY_MARKET = SyntheticMarket(
    duration=14_400.0,
    quotes_per_second=2.0,
    parameters=(0.6, 10.0),
    bursts=0.5,
    day_swing=0.6,
    begin_ns=BEGIN + 9 * 3_600_000_000_000,
)
Row = tuple[str, float, float, float, float]  # what, truth, estimate, low, high


def one_run(market: SyntheticMarket, seed: int) -> Iterator[Row]:
    """Each estimate of one draw with its interval and the truth."""
    if market.family == "linear":  # its end lies anywhere between two ticks
        rate, end = market.parameters
        anywhere = end + market.tick * np.random.default_rng(seed).uniform()
        market = replace(market, parameters=(rate, anywhere))
    recording = record(*market.draw(seed), tick_size=market.tick)
    orders = market_orders(recording)
    terms = horizons(recording.duration, recording.stretch, 1.0)
    blocks = cut_into_blocks(recording, 3.0 * terms[-1])
    volatility = estimate_volatility(recording)
    variance = block_variances(recording, volatility.bandwidth, blocks)
    sides = []
    for side in ("bid", "ask"):
        found = describe_side(
            recording,
            orders,
            measure_reach(recording, orders, side, blocks),
            pooled=False,
            queue="last",
            horizon=1.0,
        )
        sides.append(replace(found, fits={market.family: found.fits[market.family]}))
    markouts = tuple(measure_markout(recording, orders, 0.05, term) for term in terms)
    ladder = OrderSizes.measure(orders.size, 1.0).ladder()[:3]
    copies = make_copies(
        recording, orders, blocks, variance, (sides[0], sides[1]), markouts, markouts, ladder
    )

    def row(what: str, name: str, truth: float, value: float, positive: bool = True) -> Row:
        return what, truth, value, *copies.interval(name, value, positive=positive)

    yield row("σ", "volatility", market.total_volatility, volatility.sigma)
    for markout in markouts:
        if markout.horizon >= 0.3:  # shorter than a few quotes, the mid has not been quoted anew
            what = f"markout after {markout.horizon:g} s"
            yield row(what, f"markout.{markout.horizon:g}", market.adverse_move, markout.move, False)
    family = FAMILIES[market.family]
    for side in sides:
        name, fitted = side.reach.side, side.fits[market.family]
        if fitted.limit:
            continue
        for i, parameter in enumerate(family.parameters):
            key = f"{name}.{market.family}.{parameter}"
            yield row(parameter, key, market.parameters[i], fitted.values[i], family.positive[i])
        for vertex, offset in enumerate(side.table.vertices.tolist()):
            truth = float(market.rate(np.array([offset]))[0])
            value = float(side.measured(np.array([offset]))[0])
            yield row("Λ measured, at the vertices", f"{name}.measured.{vertex}", truth, value)
        for knot, (offset, log_rate) in enumerate(zip(side.table.offset, side.table.log_rate, strict=True)):
            truth = float(market.rate(np.array([offset]))[0])
            yield row("Λ of the table, at its knots", f"{name}.table.{knot}", truth, math.exp(log_rate))
        mine = orders.size[side.filled_by(orders)]
        for rung, size in enumerate(ladder):
            truth = market.order_rate * float(
                norm.sf(math.log(size / market.median_size) / market.size_spread)
            )
            value = float((mine >= size).sum()) / recording.duration
            yield row("orders per s, by size", f"{name}.size.{rung}", truth, value)


def one_day(market: SyntheticMarket, seed: int) -> Iterator[Row]:
    """The factors of half-hours over four hours."""
    recording = record(*market.draw(seed), tick_size=market.tick)
    orders, blocks = market_orders(recording), cut_into_blocks(recording)
    variance = block_variances(recording, estimate_volatility(recording).bandwidth, blocks)
    day = measure_day(recording, orders, blocks, variance)
    assert not isinstance(day, str)
    instants = market.begin_ns / 1e9 + np.arange(0.5, market.duration)
    pace = 1.0 + market.day_swing * np.cos(2.0 * np.pi * instants / DAY)
    half_hour = ((instants % DAY) / 1800.0).astype(int)
    quantile = student.ppf(0.975, day.blocks - 1)
    for i, begin in enumerate(day.begin):
        truth = float(pace[half_hour == round(begin / day.width)].mean() / pace.mean())
        for what, factor, error, true in (
            ("factor of the rate, by half-hour", day.rate[i], day.rate_error[i], truth),
            ("factor of σ, by half-hour", day.volatility[i], day.volatility_error[i], 1.0),
        ):
            wide = math.exp(quantile[i] * error / factor)
            yield what, true, float(factor), float(factor / wide), float(factor * wide)


def coverage(rows: list[Row]) -> tuple[int, float, float, float]:
    """How many intervals, the share that holds the truth, and bias and width relative to the truth."""
    held = np.array([low <= truth <= high for _, truth, _, low, high in rows])
    scale = np.array([abs(truth) for _, truth, _, _, _ in rows])
    bias = np.array([value - truth for _, truth, value, _, _ in rows]) / scale
    width = np.array([high - low for *_, low, high in rows]) / scale
    return len(rows), float(held.mean()), float(bias.mean()), float(np.median(width))


def section(title: str, market: SyntheticMarket, runs: int) -> list[str]:
    """The lines of the page about one market."""
    rows: dict[str, list[Row]] = defaultdict(list)
    run = one_day if market is DAY_MARKET else one_run
    for seed in range(runs):
        for found in run(market, seed):
            rows[found[0]].append(found)
    lines = [
        f"## {title}",
        "",
        f"{market.family}, parameters {', '.join(map(str, market.parameters))}; "
        f"{market.duration:.0f} s, σ {market.total_volatility:.3g}.",
        "",
        "| estimate | intervals | hold the truth | mean error | median width |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for what, found in rows.items():
        count, share, bias, width = coverage(found)
        lines.append(
            f"| {what} | {count:,} | {100 * share:.1f} % | {100 * bias:+.1f} % | {100 * width:.0f} % |"
        )
    return [*lines, ""]


def head(runs: int) -> list[str]:
    """What the page is about."""
    return [
        "# Do the 95 % intervals of a calibration hold the truth in 95 % of the cases?",
        "",
        (__doc__ or "").split("\n\n")[2].replace("\n", " "),
        "",
        "Errors and widths are relative to the truth. A table is a smooth and fair curve near the measured "
        "rates, and",
        "its intervals are those of the measured rates: where the truth bends sharply (a line that ends) "
        "smoothing costs",
        "some coverage between the vertices. The end of the line lies anywhere between two ticks, anew in "
        "each run.",
        "",
        f"{date.today():%Y-%m-%d}, {runs} runs of each market (seeds 0 to {runs - 1}), NumPy "
        f"{np.__version__}, Python {platform.python_version()}. "
        "`nice -n 10 python benchmarks/interval_coverage.py` takes 10 to 12 minutes of one core.",
        "",
    ]


def main() -> None:
    """Run all markets and write the page."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=400)
    options.add_argument("--output", type=Path, default=REPORT)
    chosen = options.parse_args()
    lines = head(chosen.runs)
    for title, market in (*MARKETS.items(), ("over the day", DAY_MARKET)):
        found = section(title, market, chosen.runs)
        print("\n".join(found), flush=True)
        lines += found
    chosen.output.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
