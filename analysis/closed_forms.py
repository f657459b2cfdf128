"""Formulas that stand in for the equation, as policies for the user's own problem.

With κ = γσ² (or 2φ), μ the drift, z the size, c = ln(1 + ξz/k)/(ξz) (at ξ = 0: 1/k), q from the target and
s = +1 on the bid, -1 on the ask, an offset is the fill's cost plus

    Avellaneda-Stoikov (2008)   c + κ(T - t)(z/2 + s·q); without an end, under CARA, their infinite horizon
                                (§2.3, with ω for the limit Q): c - (s/ξz) ln(1 - (s + 2n)/((N + 1)² - n²)),
                                n = q/z, N = Q/z
    GLFT (Guéant, Lehalle & Fernandez-Tapia 2013, asymptotic)
                                c + a(z/2 + s(q - μ/κ)),  a² = κ/Σ A k z (1 + ξz/k)^{-(1 + k/ξz)}
    Riccati (Cartea & Jaimungal; Bergault, Evangelista, Guéant & Vieira 2021)
                                the best quote against θ = -½aq² - bq, every H replaced by its quadratic at
                                θ = 0: a' = κ - Sa² - ρa, S = ΣH''/m², with b' for drift and unequal flows
    linear skew                 δ₀·(1 + s·q/Q): the half-spread without risk, leaned until one side quotes the
                                reference price at the limit, as example strategies of hftbacktest and
                                hummingbot do; or tuned: the optimum's own offset and slope at flat inventory
    no skew                     δ₀ everywhere

All are then kept within the bounds and put on the ticks of the problem, as a desk has to.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.integrate

from quotegrid.analysis.inventory_places import flat_place
from quotegrid.analysis.policies import Policy, on_ticks
from quotegrid.analysis.policy_faults import flow_labels
from quotegrid.analysis.textbook import FlowNumbers, Textbook, greedy_offsets
from quotegrid.models.problem import Problem
from quotegrid.solver.chain import stays_inside
from quotegrid.solver.discretise import inventory_lattices

AVELLANEDA_STOIKOV = "Avellaneda-Stoikov"
GLFT = "GLFT, asymptotic"
RICCATI = "Riccati"
LINEAR_SKEW, TUNED_SKEW, NO_SKEW = "linear skew", "linear skew, tuned", "no skew"
_NODES = 129  # times at which a formula that depends on time is read; it is smooth, and linear for A-S


@dataclass(frozen=True)
class Formula:
    """A formula at the user's parameters: a policy, or the reason why there is none; and what was assumed."""

    name: str
    policy: Policy | None
    reason: str = ""  # where there is no policy
    assumed: tuple[str, ...] = ()


def formulas(
    problem: Problem,
    leaves: Problem,
    numbers: Textbook,
    best: np.ndarray,
    session: float | None,
) -> tuple[Formula, ...]:
    """All of them; `best` holds the optimal offsets [*state, flow] at the start, `session` what
    Avellaneda-Stoikov takes for the time to the end where there is none. Double precision must be on.
    """
    makers: tuple[Callable[[], Formula], ...] = (
        lambda: _avellaneda_stoikov(problem, numbers, session),
        lambda: _glft(problem, numbers),
        lambda: _riccati(problem, leaves, numbers),
        lambda: _linear_skew(problem, numbers),
        lambda: _tuned_skew(problem, numbers, best),
        lambda: _no_skew(problem, numbers),
    )
    return tuple(make() for make in makers)


def _duration(problem: Problem) -> float | None:
    return float(problem.duration()) if problem.horizon.kind == "finite" else None


def _fitted(numbers: Textbook) -> tuple[str, ...]:
    fitted = [flow.label for flow in numbers.flows if not flow.exponential]
    if not fitted:
        return ()
    return (
        f"{', '.join(fitted)}: not exponential; A and k are those of the exponential that touches ln Λ at "
        "the best quote at flat inventory",
    )


def _avellaneda_stoikov(problem: Problem, numbers: Textbook, session: float | None) -> Formula:
    duration, assumed = _duration(problem), _fitted(numbers)
    if duration is not None:
        times = np.linspace(0.0, duration, _NODES if on_ticks(problem) else 2)
        return Formula(
            AVELLANEDA_STOIKOV,
            _policy(
                AVELLANEDA_STOIKOV,
                problem,
                numbers,
                lambda flow, q: np.stack([_with_time_left(numbers, flow, q, duration - t) for t in times]),
                times,
            ),
            assumed=assumed,
        )
    if session is not None:
        policy = _policy(
            AVELLANEDA_STOIKOV,
            problem,
            numbers,
            lambda flow, q: _with_time_left(numbers, flow, q, session),
        )
        note = f"the time to the end is held at {session:g} {problem.units.time}"
        return Formula(AVELLANEDA_STOIKOV, policy, assumed=(*assumed, note))
    if numbers.xi <= 0.0:
        reason = (
            f"the formula needs the time to the end, and a horizon of kind {problem.horizon.kind!r} has none "
            "(the authors' version without an end is for CARA utility); say what the desk puts in: session= "
            "(quotegrid audit: --session)"
        )
        return Formula(AVELLANEDA_STOIKOV, None, reason)
    policy = _policy(AVELLANEDA_STOIKOV, problem, numbers, lambda flow, q: _without_end(numbers, flow, q))
    return Formula(AVELLANEDA_STOIKOV, policy, assumed=(*assumed, "the authors' version without an end"))


def _with_time_left(numbers: Textbook, flow: FlowNumbers, q: np.ndarray, left: float) -> np.ndarray:
    lean = numbers.risk[flow.asset] * left * (0.5 * flow.size + flow.sign * q)
    return flow.cost + flow.markup(numbers.xi) + lean


def _without_end(numbers: Textbook, flow: FlowNumbers, q: np.ndarray) -> np.ndarray:
    n, most, s = q / flow.size, numbers.limit[flow.asset] / flow.size, flow.sign
    inside = np.maximum((most + 1.0) ** 2 - n**2, 1.0)
    lean = np.log1p(np.maximum((-s - 2.0 * n) / inside, -1.0 + 1e-12)) / (numbers.xi * flow.size)
    return flow.cost + flow.markup(numbers.xi) - s * lean


def _glft(problem: Problem, numbers: Textbook) -> Formula:
    assumed = list(_fitted(numbers))
    skews = []
    for asset in range(len(problem.assets)):
        own = [flow for flow in numbers.flows if flow.asset == asset]
        risk = max(numbers.risk[asset], 0.0)
        skews.append(np.sqrt(risk / sum(flow.stiffness(numbers.xi) for flow in own)))
        if len({(flow.lots, flow.rate, flow.decay) for flow in own}) > 1:
            assumed.append("the flows differ: their stiffnesses are added up, each keeps its own constant")
    if problem.horizon.kind == "finite":
        assumed.append("the quotes far from the end are held to the end")

    def offsets(flow: FlowNumbers, q: np.ndarray) -> np.ndarray:
        risk, drift = numbers.risk[flow.asset], numbers.drift[flow.asset]
        lean = q - (drift / risk if risk > 0.0 else 0.0)
        return flow.cost + flow.markup(numbers.xi) + skews[flow.asset] * (0.5 * flow.size + flow.sign * lean)

    return Formula(GLFT, _policy(GLFT, problem, numbers, offsets), assumed=tuple(assumed))


def _riccati(problem: Problem, leaves: Problem, numbers: Textbook) -> Formula:
    duration = _duration(problem)
    times = np.zeros(1) if duration is None else np.linspace(0.0, duration, _NODES)
    theta = np.zeros((len(times), *(len(units) for units in numbers.units)))
    for asset, units in enumerate(numbers.units):
        own = [flow for flow in numbers.flows if flow.asset == asset]
        a, b = _quadratic(numbers, asset, own, None if duration is None else duration - times)
        part = -0.5 * a[:, None] * units**2 - b[:, None] * units
        view = [len(times), *(len(units) if axis == asset else 1 for axis in range(len(numbers.units)))]
        theta = theta + part.reshape(view)
    offset = greedy_offsets(leaves, theta)
    policy = Policy(
        name=RICCATI,
        labels=flow_labels(problem),
        inventories=_axes(problem),
        times=None if duration is None else times,
        offset=offset[0] if duration is None else offset,
        between_times="previous" if on_ticks(problem) else "linear",
    )
    return Formula(RICCATI, policy, assumed=("each Hamiltonian is the quadratic that touches it at θ = 0",))


def _quadratic(
    numbers: Textbook, asset: int, flows: list[FlowNumbers], to_go: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """a and b of θ = -½aq² - bq at some times to go, or at rest (None)."""
    risk, drift, rho = max(numbers.risk[asset], 0.0), numbers.drift[asset], numbers.discount
    stiff = sum(flow.curvature / flow.multiplier**2 for flow in flows)
    push = sum(flow.slope * flow.sign / flow.multiplier for flow in flows)
    uneven = sum(flow.sign * flow.size * flow.curvature / flow.multiplier**2 for flow in flows)

    def velocity(_: float, state: np.ndarray) -> np.ndarray:
        a, b = state
        return np.array(
            [
                risk - stiff * a**2 - rho * a,
                -drift - a * push - 0.5 * a**2 * uneven - stiff * a * b - rho * b,
            ]
        )

    if to_go is None:
        a = (np.sqrt(rho**2 + 4.0 * stiff * risk) - rho) / (2.0 * stiff)
        pull = stiff * a + rho
        b = -(drift + a * push + 0.5 * a**2 * uneven) / pull if pull > 0.0 else 0.0
        return np.array([a]), np.array([b])
    start = np.array([max(numbers.terminal[asset], 0.0), 0.0])
    run = scipy.integrate.solve_ivp(
        velocity, (0.0, float(to_go[0])), start, method="LSODA", t_eval=to_go[::-1], rtol=1e-10, atol=1e-14
    )
    return run.y[0][::-1], run.y[1][::-1]


def _linear_skew(problem: Problem, numbers: Textbook) -> Formula:
    def offsets(flow: FlowNumbers, q: np.ndarray) -> np.ndarray:
        return flow.offset * (1.0 + flow.sign * q / numbers.limit[flow.asset])

    note = "one side quotes the reference price at the limit"
    return Formula(LINEAR_SKEW, _policy(LINEAR_SKEW, problem, numbers, offsets), assumed=(note,))


def _tuned_skew(problem: Problem, numbers: Textbook, best: np.ndarray) -> Formula:
    place = flat_place(problem)

    def offsets(flow: FlowNumbers, q: np.ndarray) -> np.ndarray:
        column = best[..., numbers.flows.index(flow)]
        line = column[tuple(slice(None) if a == flow.asset else at for a, at in enumerate(place))]
        middle, known = place[flow.asset], np.flatnonzero(np.isfinite(line))
        near = known[np.argsort(np.abs(known - middle), kind="stable")[:3]]
        units = numbers.units[flow.asset]
        if len(near) < 2:
            return np.full(q.shape, line[near[0]] if len(near) else np.nan)
        slope, level = np.polyfit(units[near], line[near], 1)
        return level + slope * q

    note = "offset and slope are the optimum's own around flat inventory"
    return Formula(TUNED_SKEW, _policy(TUNED_SKEW, problem, numbers, offsets), assumed=(note,))


def _no_skew(problem: Problem, numbers: Textbook) -> Formula:
    policy = _policy(NO_SKEW, problem, numbers, lambda flow, q: np.full(q.shape, flow.offset))
    return Formula(NO_SKEW, policy, assumed=("the best quote without inventory risk, at any inventory",))


def _axes(problem: Problem) -> tuple[np.ndarray, ...]:
    return tuple(lattice.lots.astype(float) for lattice in inventory_lattices(problem))


def _policy(
    name: str,
    problem: Problem,
    numbers: Textbook,
    offsets: Callable[[FlowNumbers, np.ndarray], np.ndarray],
    times: np.ndarray | None = None,
) -> Policy:
    """Offsets of each flow by its own asset's inventory; within bounds, on ticks, inside the limits."""
    lattices = inventory_lattices(problem)
    shape = tuple(len(lattice.lots) for lattice in lattices)
    columns = []
    for flow, numeral in zip(problem.one_sided_flows(), numbers.flows, strict=True):
        found = np.asarray(offsets(numeral, numbers.units[flow.asset]), float)
        low = -np.inf if flow.min_offset is None else float(flow.min_offset)
        high = np.inf if flow.max_offset is None else float(flow.max_offset)
        if flow.tick is not None:
            tick = float(flow.tick)
            lowest, highest = np.ceil(low / tick - 1e-9), np.floor(high / tick + 1e-9)
            found = np.clip(np.rint(found / tick), lowest, highest) * tick
        else:
            found = np.clip(found, low, high)
        view = [*found.shape[:-1], *(shape[a] if a == flow.asset else 1 for a in range(len(shape)))]
        steps = flow.sign * flow.size // lattices[flow.asset].step
        inside = stays_inside(shape, tuple(steps if a == flow.asset else 0 for a in range(len(shape))))
        everywhere = np.broadcast_to(found.reshape(view), (*found.shape[:-1], *shape))
        columns.append(np.where(inside, everywhere, np.nan))
    offset = np.stack(columns, axis=-1)
    return Policy(
        name=name,
        labels=flow_labels(problem),
        inventories=_axes(problem),
        times=times,
        offset=offset,
        between_times="previous" if on_ticks(problem) else "linear",
    )
