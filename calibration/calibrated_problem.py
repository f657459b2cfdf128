"""Estimates into a problem: what was measured, and the choices that data cannot make.

Measured: σ, Λ per side, the tick, the touch, and, if asked for, the markout. Chosen, each by a rule that the
file states:

 form           the parametric form that describes both sides and whose parameters the data hold, else the
                table
 lot            the largest 1, 2, 5·10^n that half of the market orders reach
 limit          20 lots
 preferences    mean-variance: data say nothing about ξ, and at ξ = 0 quotes see γ only through the cost
                ½γσ²q², which is what CARA charges too
 risk aversion  one lot's best earnings pay for holding half the limit while one fill is awaited. With δ0 the
                offset that maximises δΛ(δ), z the lot and n lots half the limit,

                    ½γσ²(nz)² / Λ(δ0) = δ0 z,    so    γ = 2 δ0 Λ(δ0) / (σ² n² z).

                For the exponential this is the γ at which n lots move the reservation price by one quote
                scale 1/k: stationary quotes lean by z√(γσ²e/(2kAz)) per lot (Guéant, Lehalle &
                Fernandez-Tapia 2013, ξ → 0)
 bounds         offsets from the touch outwards: nothing nearer to the mid was observed, and it keeps quotes
                passive
 horizon        ergodic: no closing time
 adverse        left out, or the markout of the fills of the best quote against it
                (`quotegrid.calibration.side`)

`[uncertainty]` holds the standard errors of the measured parameters that the file contains, and their
correlation, from the block bootstrap (`quotegrid.calibration.blocks`).
"""

import math
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from jaxtyping import Float

from quotegrid.calibration.estimates import Estimates
from quotegrid.calibration.families import FAMILIES
from quotegrid.calibration.market_data import MarketDataError
from quotegrid.calibration.side import Form, SideIntensity
from quotegrid.models.problem_file import ProblemFile, parse_problem

FORMS: tuple[Form, ...] = get_args(Form)


@dataclass(frozen=True)
class Choices:
    """What data cannot say: the form of Λ, the lot (asset units), the limit (lots), γ (per price unit).

    charge_markout: whether fills are charged what the mid does after them.
    """

    form: Form
    lot_size: float
    max_inventory: int
    risk_aversion: float
    charge_markout: bool


def choose(
    estimates: Estimates,
    *,
    form: Form | None = None,
    lot_size: float | None = None,
    max_inventory: int = 20,
    risk_aversion: float | None = None,
    charge_markout: bool = False,
) -> Choices:
    """The choices above, where they are not given."""
    if form is not None and form not in FORMS:
        named = ", ".join(map(repr, FORMS))
        raise MarketDataError(f"form is {form!r}; it is {named}, or None for the one that fits.")
    if max_inventory < 2:
        raise MarketDataError(f"max_inventory is {max_inventory!r}; it is a number of lots, 2 or more.")
    if lot_size is not None and not (math.isfinite(lot_size) and lot_size > 0.0):
        raise MarketDataError(f"lot_size is {lot_size!r}; it is a size in units of the asset, above 0.")
    form = form or estimates.recommended
    for side in estimates.sides:
        if form != "table" and not math.isfinite(side.best_quote(form)[0]):
            k = side.fits[form]["k"]
            raise MarketDataError(
                f"the {form} fitted to the {side.reach.side} has k = {k:.3g}, and with k ≤ 1 the further a "
                "quote, the more it earns: no quote is best. Choose another form."
            )
        if charge_markout and not math.isfinite(side.adverse.move):
            raise MarketDataError(
                f"no markout of the {side.reach.side} side could be measured, so none can be charged. Record "
                "for longer."
            )
    lot = estimates.sizes.lot() if lot_size is None else float(lot_size)
    gain = 0.5 * (estimates.bid.best_quote(form)[1] + estimates.ask.best_quote(form)[1])
    aversion = 2.0 * gain / (estimates.volatility.sigma**2 * (0.5 * max_inventory) ** 2 * lot)
    if risk_aversion is None:
        risk_aversion = significant(aversion, 3)
    return Choices(form, lot, max_inventory, risk_aversion, charge_markout)


def significant(number: float, digits: int) -> float:
    """Rounded to significant digits: no file should claim more than the data gave."""
    return float(f"{number:.{digits}g}")


def calibrated_problem(estimates: Estimates, choices: Choices) -> ProblemFile:
    """The problem. Raises quotegrid.models.ProblemError for choices that no problem allows."""
    recording, (begin, end) = estimates.recording, estimates.window
    sources = dict.fromkeys((recording.quotes.source, recording.trades.source))
    return parse_problem(
        {
            "format": 1,
            "units": {"price": estimates.price_unit, "time": "s"},
            "market": {
                "symbol": estimates.symbol,
                "lot_size": choices.lot_size,
                "tick_size": recording.tick_size,
                "reference": "mid",
            },
            "inventory": {"max": choices.max_inventory},
            "price": {"kind": "brownian", "volatility": significant(estimates.volatility.sigma, 3)},
            "preferences": {"kind": "mean-variance", "risk_aversion": choices.risk_aversion},
            "flow": [_flow(estimates, side, choices) for side in estimates.sides],
            "horizon": {"kind": "ergodic"},
            "uncertainty": uncertainty(estimates, choices),
            "provenance": {
                "source": ", ".join(sources),
                "date": f"{begin:%Y-%m-%d}",
                "begin": f"{begin:%Y-%m-%d %H:%M:%S} {recording.quotes.clock}",
                "end": f"{end:%Y-%m-%d %H:%M:%S} {recording.quotes.clock}",
                "recorded": f"{recording.duration:.0f} s",
                "quotes": f"{len(recording.quotes.time_ns):,}",
                "trades": f"{len(recording.trades.time_ns):,} in {len(estimates.orders):,} market orders",
                "errors": f"bootstrap of {len(estimates.copies.blocks)} blocks of "
                f"{np.median(estimates.copies.blocks.seconds):.3g} s",
                "repairs": "; ".join(map(str, recording.repairs)) or "none",
            },
        },
        source=f"the problem made from {recording.quotes.source}",
    )


def _flow(estimates: Estimates, side: SideIntensity, choices: Choices) -> dict[str, Any]:
    flow: dict[str, Any] = {
        "name": "book",
        "side": "both" if estimates.sides_pooled else side.reach.side,
        "size": 1,
        "intensity": _intensity(side, choices.form),
        "min_offset": significant(side.reach.touch_offset, 12),
    }
    if choices.charge_markout:
        flow["adverse"] = {"on": "markout", "jump": significant(side.adverse.move, 3)}
    return flow


def _intensity(side: SideIntensity, form: Form) -> dict[str, Any]:
    if form == "table":
        return {
            "kind": "table",
            "offset": [float(offset) for offset in side.table.offset],
            "rate": [significant(float(rate), 5) for rate in np.exp(side.table.log_rate)],
        }
    fitted = side.fits[form]
    named = zip(FAMILIES[fitted.name].parameters, fitted.values, strict=True)
    return {"kind": form, **{name: significant(value, 4) for name, value in named}}


@dataclass(frozen=True)
class Known:
    """A parameter of the file: its path, the name among the copies, the value, and whether it is positive."""

    path: str
    name: str
    value: float
    positive: bool = True


def flow_path(estimates: Estimates, side: SideIntensity) -> str:
    """Where a side stands in the problem."""
    return "flow.book" if estimates.sides_pooled else f"flow.book/{side.reach.side}"


def measured_parameters(estimates: Estimates, choices: Choices) -> tuple[Known, ...]:
    """The parameters of the file that were measured."""
    found = [Known("price.volatility", "volatility", estimates.volatility.sigma)]
    for side in estimates.sides:
        path, name = flow_path(estimates, side), side.reach.side
        if choices.form == "table":
            rates = np.exp(side.table.log_rate).tolist()
            found += [
                Known(f"{path}.intensity.rate.{i}", f"{name}.table.{i}", rate) for i, rate in enumerate(rates)
            ]
        elif not side.fits[choices.form].limit:
            fitted = side.fits[choices.form]
            family = FAMILIES[fitted.name]
            for key, value, positive in zip(family.parameters, fitted.values, family.positive, strict=True):
                found.append(Known(f"{path}.intensity.{key}", f"{name}.{fitted.name}.{key}", value, positive))
        if choices.charge_markout:
            found.append(Known(f"{path}.adverse.jump", f"{name}.adverse", side.adverse.move, positive=False))
    return tuple(found)


def uncertainty(estimates: Estimates, choices: Choices) -> dict[str, Any]:
    """The block of standard errors and their correlation."""
    known, copies = measured_parameters(estimates, choices), estimates.copies
    return {
        "parameters": [each.path for each in known],
        "standard_error": [
            significant(copies.standard_error(each.name, each.value, positive=each.positive), 3)
            for each in known
        ],
        "correlation": rounded_correlation(copies.correlation(tuple(each.name for each in known))).tolist(),
    }


def rounded_correlation(matrix: Float[np.ndarray, "row row"]) -> Float[np.ndarray, "row row"]:
    """To three digits, and still positive semidefinite: what rounding may take away is given back to the
    diagonal.

    Rounding moves an n × n matrix by less than n·0.0005 in its spectral norm; mixed with that much of the
    identity, relative to the whole, it is semidefinite again. Nothing is done where it is so already.
    """
    for slack in (0.0, 1e-3, 0.0005 * len(matrix), 0.001 * len(matrix)):
        mixed = np.round((matrix + slack * np.eye(len(matrix))) / (1.0 + slack), 3) + 0.0
        np.fill_diagonal(mixed, 1.0)
        if np.linalg.eigvalsh(mixed)[0] >= 0.0:
            return mixed
    return np.eye(len(matrix))
