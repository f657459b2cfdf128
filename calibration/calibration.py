"""`calibrate`: market data in, a calibration out, which reports itself and writes a problem file."""

import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from quotegrid.calibration.calibrated_problem import calibrated_problem, choose
from quotegrid.calibration.estimates import Estimates, estimate
from quotegrid.calibration.fit_figure import fit_figure
from quotegrid.calibration.intensity import Queue
from quotegrid.calibration.market_data import MarketDataError, Quotes, Trades
from quotegrid.calibration.market_files import Format, read_market
from quotegrid.calibration.problem_comments import comments
from quotegrid.calibration.recording import record
from quotegrid.calibration.report import summary
from quotegrid.calibration.side import Form
from quotegrid.calibration.sizes import Contract
from quotegrid.models.problem_file import ProblemFile, dumps


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was measured (`estimates`), and what can be made of it.

    The verbs that make a problem take the same choices, each with a default that the written file explains:

    form: "table", "exponential", "logistic", "power" or "linear"; None takes a parametric one if it describes
    both sides and the data hold its parameters, else the table.
    lot_size: units of the asset; None: the largest 1, 2, 5·10^n that half of the market orders reach.
    max_inventory: lots, the same long and short. risk_aversion: γ of ½γσ²q², per currency; None: holding half
    the limit while one fill is awaited costs what one lot's best fill earns. charge_markout: charge every
    fill what the mid does after it, `adverse = { on = "markout" }`.
    """

    estimates: Estimates

    def summary(
        self, *, form: Form | None = None, lot_size: float | None = None, charge_markout: bool = False
    ) -> str:
        """The fit on one screen: units on every number, repairs, which form fits, and cautions."""
        return summary(self.estimates, form=form, lot_size=lot_size, charge_markout=charge_markout)

    def figure(self, *, form: Form | None = None) -> Figure:
        """The fit as one picture; `figure().savefig("fit.png")`."""
        return fit_figure(self.estimates, form=form)

    def problem_file(
        self,
        *,
        form: Form | None = None,
        lot_size: float | None = None,
        max_inventory: int = 20,
        risk_aversion: float | None = None,
        charge_markout: bool = False,
    ) -> ProblemFile:
        """The problem, ready for `quotegrid.solve`.

        Raises MarketDataError or ProblemError for choices that make no problem.
        """
        choices = choose(
            self.estimates,
            form=form,
            lot_size=lot_size,
            max_inventory=max_inventory,
            risk_aversion=risk_aversion,
            charge_markout=charge_markout,
        )
        return calibrated_problem(self.estimates, choices)

    def problem_text(
        self,
        *,
        form: Form | None = None,
        lot_size: float | None = None,
        max_inventory: int = 20,
        risk_aversion: float | None = None,
        charge_markout: bool = False,
    ) -> str:
        """The same problem as the text of its file, with the reason of every number above it."""
        choices = choose(
            self.estimates,
            form=form,
            lot_size=lot_size,
            max_inventory=max_inventory,
            risk_aversion=risk_aversion,
            charge_markout=charge_markout,
        )
        return dumps(calibrated_problem(self.estimates, choices), comments(self.estimates, choices))


def calibrate(
    *data: str | Path | Quotes | Trades,
    format: Format | None = None,
    instrument: str | None = None,
    symbol: str | None = None,
    price_unit: str = "USD",
    asset_unit: str = "unit",
    contract_size: float = 1.0,
    inverse: bool = False,
    tick_size: float | None = None,
    pool_sides: bool = False,
    queue: Queue = "last",
    max_gap: float = 30.0,
    order_gap: float = 1e-3,
    horizon: float = 1.0,
) -> Calibration:
    """Volatility, fill intensities, order sizes and markouts from the market data of one market.

    Args:
        data: files of one format (see `quotegrid.calibration.market_files`), or a `Quotes` and a `Trades`.
            Local times
            must be those of one clock.
        format: "csv", "lobster", "binance" or "hftbacktest"; None: told by the content of the files.
        instrument: which one, in a capture of several.
        symbol: name in the problem file; from the file's name when None. No "." or "/".
        price_unit, asset_unit: words for reports and the problem file, e.g. "USD" and "ETH".
        contract_size: units of the asset in one of what quantities count; with `inverse`, its value in the
            price unit.
        inverse: the contract is worth `contract_size` of the price unit and settles in the asset.
        tick_size: smallest price step, price units; found from the prices when None.
        pool_sides: fit one intensity to both sides' orders instead of one each.
        queue: where a quote stands that joins the touch: "last", filled by orders that go through the touch,
            or
            "first", filled by all that reach it.
        max_gap: seconds without a quote after which the recorder counts as off.
        order_gap: seconds between two prints of one market order at most, where exchange times are unknown.
        horizon: seconds after a fill at which its markout is taken.

    Raises:
        MarketDataError: unreadable, empty or contradictory data, or too little of it; the text says what to
        do.
    """
    quotes, trades = _market(data, format, instrument)
    estimates = estimate(
        record(quotes, trades, tick_size=tick_size, max_gap=max_gap),
        symbol=symbol_of(quotes.source) if symbol is None else symbol,
        price_unit=price_unit,
        asset_unit=asset_unit,
        contract=Contract(contract_size, inverse),
        pool_sides=pool_sides,
        queue=queue,
        order_gap=order_gap,
        horizon=horizon,
    )
    return Calibration(estimates)


def _market(
    data: tuple[str | Path | Quotes | Trades, ...], format: Format | None, instrument: str | None
) -> tuple[Quotes, Trades]:
    """The quotes and trades that are given, or those in the files that are."""
    match data:
        case (Quotes() as quotes, Trades() as trades):
            return quotes, trades
    paths = [item for item in data if not isinstance(item, Quotes | Trades)]
    if len(paths) < len(data):
        raise MarketDataError("calibrate takes files, or one Quotes and one Trades, in this order.")
    return read_market(paths, format=format, instrument=instrument)


def symbol_of(source: str) -> str:
    """A symbol from a file's name: what stands before `_quotes`, with nothing a name may not hold."""
    stem = re.sub(r"(?i)(\.(csv|raw|txt|jsonl?|npz|npy))?(\.gz)?$", "", source.split(" and ")[0])
    stem = re.sub(r"(?i)([._-]*quotes?|_\d+_\d+_(message|orderbook)_\d+)$", "", stem)
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-") or "MARKET"


def write_problem(
    calibration: Calibration,
    path: str | Path,
    *,
    form: Form | None = None,
    lot_size: float | None = None,
    max_inventory: int = 20,
    risk_aversion: float | None = None,
    charge_markout: bool = False,
) -> None:
    """Write the commented problem file: whole, or not at all (temporary file, synced, renamed).

    Choices as for `Calibration`.
    """
    text = calibration.problem_text(
        form=form,
        lot_size=lot_size,
        max_inventory=max_inventory,
        risk_aversion=risk_aversion,
        charge_markout=charge_markout,
    )
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
