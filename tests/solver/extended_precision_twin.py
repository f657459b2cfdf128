"""An extended-precision twin of the equations, written from the problem file's meaning and sharing no code.

    ∂θ/∂τ = ℓ(q) - ρθ + Σ_f a_f H_f(p_f),   H = sup_δ Λ(δ)(1 - e^{-ξ z m (δ - p)})/ξ

in NumPy's long double (64 bits of mantissa where the machine has them). Best offsets by Newton's method kept
in a bracket, time by the Gragg-Bulirsch-Stoer method with error control (Hairer, Norsett & Wanner, Solving
ODEs I, §II.9), stationary values by iterative refinement: Newton's matrix in double, residuals in long
double. Where the equation is linear in v = exp(κθ), `linear_twin` takes the matrix exponential in 40 digits.
"""

from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np

REAL = np.longdouble
DIGITS = 40
TINY = 1e-100  # distance from the end of an intensity's domain
COLUMNS = 8  # of the extrapolation table: order 16
Tree = dict[str, Any]


def real(numbers: Any) -> Any:
    return np.asarray(numbers, REAL)


class Shape:
    """ln Λ, the hazard h = -(ln Λ)' and h' of an intensity, with the offsets where it is defined."""

    def __init__(self, stated: Tree) -> None:
        self.kind, self.low, self.high = stated["kind"], -np.inf, np.inf
        if self.kind == "table":
            self._through_knots(real(stated["offset"]), real(stated["log_rate"]))
            return
        self.A, self.k, self.d, self.a, self.b = (
            real(stated.get(key, 0.0)) for key in ("A", "k", "d", "a", "b")
        )
        if self.kind == "power":
            self.low = -self.d
        if self.kind == "linear":
            self.high = self.d

    def _through_knots(self, x: Any, y: Any) -> None:
        """Fritsch and Butland's monotone cubics as their values and slopes at the knots."""
        w, chord = np.diff(x), np.diff(y) / np.diff(x)
        slopes = np.empty_like(y)
        for i in range(1, len(x) - 1):
            a, b = 2 * w[i] + w[i - 1], w[i] + 2 * w[i - 1]
            slopes[i] = (a + b) / (a / chord[i - 1] + b / chord[i])
        slopes[0] = chord[0] + (chord[0] - chord[1]) * w[0] / (w[0] + w[1])
        slopes[-1] = chord[-1] + (chord[-1] - chord[-2]) * w[-1] / (w[-1] + w[-2])
        self.x, self.y, self.slopes = x, y, slopes

    def _place(self, d: Any) -> tuple[Any, ...]:
        """Where d is: s in [0, 1] of a segment, its width, rise, slopes times the width, and number."""
        inside = np.clip(d, self.x[0], self.x[-1])
        i = np.clip(np.searchsorted(self.x, inside, side="right") - 1, 0, len(self.x) - 2)
        w = self.x[i + 1] - self.x[i]
        return (
            (inside - self.x[i]) / w,
            w,
            self.y[i + 1] - self.y[i],
            w * self.slopes[i],
            w * self.slopes[i + 1],
            i,
        )

    def log_rate(self, d: Any) -> Any:
        if self.kind == "table":
            s, _, rise, left, right, i = self._place(d)
            bump = (left * (1 - s) - right * s) * s * (1 - s)
            beyond = np.where(d < self.x[0], (d - self.x[0]) * self.slopes[0], 0)
            beyond = np.where(d > self.x[-1], (d - self.x[-1]) * self.slopes[-1], beyond)
            return self.y[i] + rise * s * s * (3 - 2 * s) + bump + beyond
        if self.kind == "exponential":
            return np.log(self.A) - self.k * d
        if self.kind == "logistic":
            return np.log(self.A) - np.logaddexp(0, self.a + self.b * d)
        if self.kind == "power":
            return np.log(self.A) - self.k * np.log1p(d / self.d)
        return np.log(self.A) + np.log1p(-d / self.d)

    def hazard(self, d: Any) -> tuple[Any, Any]:
        """h and h'."""
        if self.kind == "table":
            s, w, rise, left, right, _ = self._place(d)
            first = 6 * rise * s * (1 - s) + left * (1 - s) * (1 - 3 * s) + right * s * (3 * s - 2)
            second = 6 * rise * (1 - 2 * s) + left * (6 * s - 4) + right * (6 * s - 2)
            return -first / w, np.where((d < self.x[0]) | (d > self.x[-1]), 0, -second / w**2)
        if self.kind == "exponential":
            return self.k + 0 * d, 0 * d
        if self.kind == "logistic":
            filled = 1 / (1 + np.exp(self.a + self.b * d))
            return self.b * (1 - filled), self.b**2 * filled * (1 - filled)
        if self.kind == "power":
            left = np.maximum(self.d + d, TINY)
            return self.k / left, -self.k / left**2
        left = np.maximum(self.d - d, TINY)
        return 1 / left, 1 / left**2


class Side:
    """One flow on one side."""

    def __init__(self, flow: Tree, side: str, tree: Tree, xi: Any) -> None:
        self.s, self.lots = (1 if side == "bid" else -1), flow.get("size", 1)
        self.z = self.lots * real(tree["market"]["lot_size"])
        f = real(flow.get("proportional_fee", 0.0))
        self.m = 1 + self.s * f
        self.fee = real(flow.get("fee", 0.0)) + f * real(tree["price"].get("reference", 0.0))
        adverse = flow.get("adverse") or {"on": "nothing", "jump": 0.0}
        self.on, self.jump, self.xi = adverse["on"], real(adverse["jump"]), xi
        self.shape = Shape(flow["intensity"])
        default = 0.0 if self.shape.kind == "power" else -np.inf
        self.low, self.high = real(flow.get("min_offset", default)), real(flow.get("max_offset", np.inf))
        self.tick = flow.get("tick")
        at_zero = self.shape.A if self.shape.kind == "logistic" else np.exp(self.shape.log_rate(real(0.0)))
        self.orders = real(adverse.get("arrival_rate", at_zero))
        self.guess: Any = None
        self.held: Any = None  # offsets that stay put, on ticks

    def cost(self, q: Any) -> Any:
        """Fee and adverse move of a fill, price per unit."""
        if self.on == "fills":
            return self.fee + self.jump * self.s * (q + self.s * self.z) / self.z
        return self.fee + self.jump + 0 * q

    def order_gain(self, q: Any) -> Any:
        """What the inventory gains when an order arrives."""
        return -self.s * self.jump * q if self.on == "market_orders" else 0 * q

    def worth(self, d: Any, p: Any) -> Any:
        """Λ(1 - e^{-ξzm(δ-p)})/ξ; 0 where nothing fills."""
        live = d < self.shape.high
        x = self.z * self.m * (d - p)
        rate = np.exp(self.shape.log_rate(np.where(live, d, 0)))
        return np.where(live, rate * (x if self.xi == 0 else -np.expm1(-self.xi * x) / self.xi), 0)

    def best(self, p: Any) -> Any:
        """The best offset at reservation offsets p, or the one that is held."""
        if self.held is not None:
            return self.held
        free = self._unbounded(p)
        if self.tick is None:
            return np.clip(free, self.low, self.high)
        tick = real(self.tick)
        first, last = np.ceil(self.low / tick - 1e-9), np.floor(self.high / tick + 1e-9)
        below = np.clip(np.floor(free / tick), first, last)
        above = np.clip(below + 1, first, last)
        better = self.worth(above * tick, p) > self.worth(below * tick, p)
        return np.where(better, above, below) * tick

    def _unbounded(self, p: Any) -> Any:
        """The root of F(δ) = δ - p - ln(1 + c/h)/c, c = ξzm (1/h at ξ = 0): Newton within a bracket."""
        c = self.xi * self.z * self.m
        if self.shape.kind == "power":  # at or below -d a lower offset is always better
            p = np.maximum(p, -self.shape.d * (1 - real(1e-9)))
        off = p >= self.shape.high
        p = np.where(off, self.shape.high - 1, p)

        def residual(d: Any) -> tuple[Any, Any]:
            h, turn = self.shape.hazard(d)
            markup = 1 / h if c == 0 else np.log1p(c / h) / c
            return d - p - markup, 1 + turn / (h * (h + c))

        low, width = p + 0, real(np.ones_like(p))
        high = np.minimum(p + width, self.shape.high)
        while np.any(short := (high < self.shape.high) & (residual(np.minimum(high, p + width))[0] < 0)):
            width = np.where(short, 2 * width, width)
            high = np.minimum(p + width, self.shape.high)
        d = 0.5 * (low + high) if self.guess is None or self.guess.shape != p.shape else self.guess
        found = np.zeros(p.shape, dtype=bool)
        while not np.all(found):
            d = np.where(found | ((d > low) & (d < high)), d, 0.5 * (low + high))
            value, slope = residual(d)
            low, high = np.where(value < 0, d, low), np.where(value < 0, high, d)
            after = np.where(found, d, d - value / slope)
            # Newton's error is squared: 1e-12 is followed by rounding
            found |= (np.abs(after - d) <= 1e-12 * (1 + np.abs(d))) | (high - low <= 1e-18 * (1 + np.abs(d)))
            d = after
        self.guess = d
        return np.where(off, self.shape.high, d)


class ExtendedTwin:
    """The chain of a problem with one asset."""

    def __init__(self, tree: Tree) -> None:
        inventory, price, preferences = tree["inventory"], tree["price"], tree["preferences"]
        self.lots = np.arange(inventory.get("min", -inventory["max"]), inventory["max"] + 1)
        self.target = int(np.flatnonzero(self.lots == inventory.get("target", 0))[0])
        self.q = self.lots * real(tree["market"]["lot_size"])
        gamma = real(preferences.get("risk_aversion", 0.0))
        neutral = preferences["kind"] == "mean-variance"
        self.xi = real(preferences.get("hamiltonian_risk_aversion", 0.0 if neutral else gamma))
        penalty = preferences.get("running_penalty")
        half = gamma * real(price.get("volatility", 0.0)) ** 2 / 2
        excess = self.q - self.q[self.target]
        self.reward = (real(price.get("drift", 0.0)) - real(price.get("carry", 0.0))) * self.q
        self.reward = self.reward - (half if penalty is None else real(penalty)) * excess**2
        self.sides = [
            Side(flow, side, tree, self.xi)
            for flow in tree["flow"]
            for side in (("bid", "ask") if flow["side"] == "both" else (flow["side"],))
        ]
        for side in self.sides:
            gain = side.order_gain(self.q)
            if np.any(gain != 0):
                self.reward = self.reward + side.orders * (
                    gain if self.xi == 0 else -np.expm1(-self.xi * gain) / self.xi
                )
        terminal = tree["horizon"].get("terminal", {})
        self.ticked = all(side.tick is not None for side in self.sides)
        self.rho = real(tree["horizon"].get("rate", 0.0))
        self.terminal = -real(terminal.get("quadratic", 0.0)) * self.q**2
        self.terminal = self.terminal - real(terminal.get("absolute", 0.0)) * np.abs(self.q)

    def evaluate(self, theta: Any) -> SimpleNamespace:
        """B(θ) - ρθ, the offsets [state, flow] and the rates of the chain [flow] as (from, to, rate)."""
        total, moves = self.reward - self.rho * theta, []
        offset = np.full((len(theta), len(self.sides)), np.nan, REAL)
        for column, side in enumerate(self.sides):
            here = np.arange(len(theta))
            there = here + side.s * side.lots
            inside = (there >= 0) & (there < len(theta))
            here, there = here[inside], there[inside]
            q = self.q[here]
            p = ((theta[here] - theta[there]) / side.z + side.cost(q)) / side.m
            d = side.best(p)
            weight = np.exp(-self.xi * side.order_gain(q))
            total[here] += weight * side.worth(d, p)
            live = d < side.shape.high
            rate = np.exp(side.shape.log_rate(np.where(live, d, 0)) - self.xi * side.z * side.m * (d - p))
            moves.append((here, there, np.where(live, weight * rate, 0)))
            offset[here, column] = np.where(live, d, np.nan)
        return SimpleNamespace(total=total, offset=offset, moves=moves)

    def march(self, to_go: Any, tolerance: float = 1e-15) -> tuple[Any, Any]:
        """θ [time, state] and offsets [time, state, flow] at increasing times to go.

        Quotes on ticks are held until others are better; those moments are found by bisection, so that no
        step crosses one. (Missed by τ it costs a multiple of τ², both ticks being equally good there.)
        """
        theta, now, step = self.terminal, real(0.0), real(0.01)
        values, offsets = [], []
        for until in real(to_go):
            while now < until:
                last = now + step >= until
                length = until - now if last else step
                if self.ticked:
                    ticks = self._hold(theta)
                    after, error = self._big_step(theta, length)
                    if error <= tolerance and not self._same(after, ticks):
                        length, last = self._first_change(theta, ticks, length), False
                        after, error = self._big_step(theta, length)
                    self._release()
                else:
                    after, error = self._big_step(theta, length)
                factor = np.clip(0.8 * (tolerance / max(error, 1e-30)) ** (1 / (2 * COLUMNS - 1)), 0.1, 4.0)
                if error <= tolerance:
                    theta, now = after, until if last else now + length
                    step = max(step, length * factor) if last else length * factor
                else:
                    step = length * factor
            values.append(theta)
            offsets.append(self.evaluate(theta).offset)
        return np.stack(values), np.stack(offsets)

    def _hold(self, theta: Any) -> list[Any]:
        """Let the flows on ticks keep the offsets that are best now."""
        ticks = self._best_ticks(theta)
        for side, held in zip(self.sides, ticks, strict=True):
            side.held = held
        return ticks

    def _release(self) -> None:
        for side in self.sides:
            side.held = None

    def _best_ticks(self, theta: Any) -> list[Any]:
        self._release()
        offset = self.evaluate(theta).offset
        return [offset[np.isfinite(offset[:, column]), column] for column in range(len(self.sides))]

    def _same(self, theta: Any, ticks: list[Any]) -> bool:
        best = self._best_ticks(theta)
        for side, held in zip(self.sides, ticks, strict=True):
            side.held = held
        return all(np.array_equal(one, other) for one, other in zip(best, ticks, strict=True))

    def _first_change(self, theta: Any, ticks: list[Any], length: Any) -> Any:
        """The time, to 1e-9, after which other ticks are best; just beyond it."""
        before, beyond = 0 * length, length
        while beyond - before > 1e-9:
            middle = (before + beyond) / 2
            if self._same(self._big_step(theta, middle)[0], ticks):
                before = middle
            else:
                beyond = middle
        return beyond

    def _big_step(self, theta: Any, length: Any) -> tuple[Any, float]:
        """Gragg's midpoint rule with 2, 4, … substeps, extrapolated in their squares; and its error."""
        slope = self.evaluate(theta).total
        table: list[Any] = []
        error = np.inf
        for column in range(COLUMNS):
            count = 2 * (column + 1)
            h = length / count
            before, now = theta, theta + h * slope
            for _ in range(count - 1):
                before, now = now, before + 2 * h * self.evaluate(now).total
            row = [now]
            for j, coarser in enumerate(table):
                ratio = real(count / (2 * (column - j))) ** 2
                row.append(row[j] + (row[j] - coarser) / (ratio - 1))
            if column:
                error = float(np.max(np.abs(row[-1] - row[-2])))
            table = row
        return table[-1], error if np.isfinite(error) else 1e30

    def stationary(self, after: float) -> tuple[Any, Any, Any]:
        """The bias, gain and offsets of an ergodic problem; θ, 0 and offsets of a discounted one.

        A march of length `after` comes near, and Newton's method on the residuals does the rest.
        """
        ergodic = self.rho == 0
        theta = self.march([after], 1e-6)[0][0]
        theta = theta - (theta[self.target] if ergodic else 0)
        level, size, stalled = real(0.0), np.inf, 0
        while stalled < 3:
            found = self.evaluate(theta)
            matrix = -float(self.rho) * np.eye(len(theta))
            for here, there, rate in found.moves:
                np.add.at(matrix, (here, there), rate.astype(float))
                np.add.at(matrix, (here, here), -rate.astype(float))
            if ergodic:  # the unknown at the target is the gain
                matrix[:, self.target] = -1.0
            step = real(np.linalg.solve(matrix, -(found.total - level).astype(float)))
            stalled += float(np.max(np.abs(step))) >= 0.5 * size
            size = float(np.max(np.abs(step)))
            if ergodic:
                level, step[self.target] = level + step[self.target], 0
            theta = theta + step
        return theta, level, self.evaluate(theta).offset


def linear_twin(tree: Tree, to_go: Any) -> Any:
    """θ [time, state] where all flows are exponential with one κ = k/(z m) and no bounds: ln(e^{τM} v)/κ."""
    twin = ExtendedTwin(tree)
    with mpmath.workdps(DIGITS):

        def exact(number: Any) -> Any:
            high = float(number)
            return mpmath.mpf(high) + mpmath.mpf(float(number - high))

        xi, size = exact(twin.xi), len(twin.q)
        kappas = [exact(side.shape.k) / exact(side.z * side.m) for side in twin.sides]
        kappa = kappas[0]
        assert all(abs(other / kappa - 1) < mpmath.mpf("1e-15") for other in kappas)
        matrix = mpmath.diag([kappa * exact(reward) for reward in twin.reward])
        for side in twin.sides:
            z, k = exact(side.z * side.m), exact(side.shape.k)
            top = exact(side.shape.A) * (
                mpmath.exp(-1) * z / k if xi == 0 else (1 + xi * z / k) ** (-k / (xi * z)) * z / (k + xi * z)
            )
            for here in range(size):
                there = here + side.s * side.lots
                if 0 <= there < size:
                    cost = exact(side.cost(twin.q)[here] / side.m)
                    weight = mpmath.exp(-xi * exact(side.order_gain(twin.q)[here]))
                    matrix[here, there] += kappa * weight * top * mpmath.exp(-k * cost)
        start = mpmath.matrix([mpmath.exp(kappa * exact(value)) for value in twin.terminal])
        paths = [mpmath.expm(matrix * exact(real(tau))) * start for tau in to_go]
        return np.array([[float(mpmath.log(v) / kappa) for v in path] for path in paths])
