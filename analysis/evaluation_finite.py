"""Finite horizons, and distributions over time: a policy cut into pieces, marched, and reported."""

from functools import partial
from typing import Any

import jax
import numpy as np

from quotegrid.analysis.evaluation_march import Backward, Forward, Pieces, march_backward, march_forward
from quotegrid.analysis.evaluation_result import Evaluation, heading, in_order, remarks
from quotegrid.analysis.inventory_places import at_limits, flat_place, indicator, starting_place
from quotegrid.analysis.policies import Policy
from quotegrid.analysis.policy_faults import PolicyError
from quotegrid.models.problem import Problem
from quotegrid.solver.account import Account, account
from quotegrid.solver.chain import ControlledChain
from quotegrid.solver.discretise import discretise
from quotegrid.solver.kernels import kernel

TOLERANCE = 1e-11  # of a time step, relative to each expectation


@kernel()
def _built(leaves: Problem) -> tuple[ControlledChain, Account]:
    return discretise(leaves), account(leaves)


def evaluate_finite(policy: Policy, problem: Problem, leaves: Problem, begin: tuple[int, ...]) -> Evaluation:
    """A finite horizon, from one starting inventory."""
    duration = float(problem.duration())
    chain, money = _built(leaves)
    nodes = np.array([0.0, duration]) if policy.times is None else policy.times
    length, first, last = _pieces(policy, nodes)
    flat, begins = indicator(chain.shape, flat_place(problem)), indicator(chain.shape, begin)
    back = march_backward(chain, money, Pieces(length[::-1], last[::-1], first[::-1]), flat, TOLERANCE)
    ahead = march_forward(chain, money, Pieces(length, first, last), begins, TOLERANCE)
    if not (back.sound and ahead.sound):
        raise PolicyError(
            f"the policy {policy.name!r} could not be followed through the horizon: its quotes move too fast "
            "or its fill rates leave the range of double precision; bound its offsets (clamped)."
        )
    return _finite_evaluation(policy, problem, leaves, chain, back, ahead, begin, duration)


def _finite_evaluation(
    policy: Policy,
    problem: Problem,
    leaves: Problem,
    chain: ControlledChain,
    back: Backward,
    ahead: Forward,
    begin: tuple[int, ...],
    duration: float,
) -> Evaluation:
    final = np.maximum(ahead.distribution[-1], 0.0)
    terminal = np.asarray(chain.terminal)
    parts = {part: float(x) for part, x in ahead.earned.items()}
    if np.any(terminal != 0.0):
        parts["liquidation"] = float(np.sum(ahead.distribution[-1] * terminal))
    pnl, forward_pnl = float(back.wealth[begin]), sum(parts.values())
    occupation = ahead.occupation / duration
    limits = at_limits(problem, final.shape)
    worth = float(back.value[begin])
    error = max(abs(pnl - forward_pnl), float(back.error[0][begin]), float(back.error[1][begin]))
    return Evaluation(
        **heading(policy.name, problem, begin),
        duration=duration,
        pnl=pnl,
        pnl_variance=float(back.variance[begin]) if problem.volatility_is_known() else None,
        parts=in_order(parts),
        risk_cost=float(ahead.risk_cost),
        certainty_equivalent=worth,
        certainty_bounds=None,
        optimum=None,
        fills=dict(zip(policy.labels, (float(x) for x in ahead.fills), strict=True)),
        distribution=np.maximum(occupation, 0.0),
        final_distribution=final,
        time_at_limits=float(np.sum(occupation[limits])),
        time_to_flat=back.time_to_flat,
        half_life=(np.nan,) * len(begin),
        value=back.value,
        error=error,
        notes=(*policy.notes, *remarks(problem)),
        _over_time=partial(_finite_over_time, policy, problem, leaves),
        _rate=1.0 / duration,
    )


def _pieces(policy: Policy, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lengths, first and last offsets of the policy between increasing times; on ticks the quotes of the
    earlier time hold.
    """
    first = np.moveaxis(policy.at(nodes[:-1]), -1, 1)
    held = policy.times is None or policy.between_times == "previous"
    last = first if held else np.moveaxis(policy.at(nodes[1:]), -1, 1)
    return np.diff(nodes), first, last


def _finite_over_time(
    policy: Policy, problem: Problem, leaves: Problem, times: np.ndarray, start: Any
) -> np.ndarray:
    """p at some times of a finite horizon."""
    duration = float(problem.duration())
    known = np.array([0.0, duration]) if policy.times is None else policy.times
    _check_times(times, duration)
    return _distribution(policy, problem, leaves, times, np.union1d(known, times), start)


def distribution_over_time(
    policy: Policy, problem: Problem, leaves: Problem, times: np.ndarray, start: Any
) -> np.ndarray:
    """p at some times under a policy that does not depend on time."""
    if policy.mean_delay > 0.0:
        raise PolicyError("distribution_at: not for quotes that answer to an inventory seen some time ago.")
    _check_times(times, np.inf)
    return _distribution(policy, problem, leaves, times, np.union1d([0.0], times), start)


def _distribution(
    policy: Policy, problem: Problem, leaves: Problem, times: np.ndarray, nodes: np.ndarray, start: Any
) -> np.ndarray:
    with jax.enable_x64(True):
        chain, money = _built(leaves)
        begins = indicator(chain.shape, starting_place(problem, start))
        found = [begins]
        if len(nodes) > 1:
            ahead = march_forward(chain, money, Pieces(*_pieces(policy, nodes)), begins, TOLERANCE)
            found.extend(np.maximum(ahead.distribution, 0.0))
    return np.stack(found)[np.searchsorted(nodes, times)]


def _check_times(times: np.ndarray, last: float) -> None:
    if (
        times.ndim != 1
        or not len(times)
        or np.any(np.diff(times) <= 0.0)
        or times[0] < 0.0
        or times[-1] > last
    ):
        limit = "" if np.isinf(last) else f" up to the horizon's end {last:g}"
        raise PolicyError(
            f"distribution_at: expected increasing times from 0 on{limit}, got {times.tolist()}."
        )
