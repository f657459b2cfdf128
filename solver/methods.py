"""Which algorithm solves a problem, and why: asked of the problem, or named by the user.

policy-iteration     ergodic and discounted horizons, any equation
uniformisation       finite; linear in exp(κθ): exponential, one κ = k/(z m), unbounded continuous offsets
runge-kutta          finite; smooth: continuous offsets, bounds that do not bind; not too stiff
extrapolated-euler   finite, any equation
implicit-euler       finite, any equation; first order, the reference
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from quotegrid.models.problem import Fault, OneSidedFlow, Problem, ProblemError

POLICY_ITERATION = "policy-iteration"
UNIFORMISATION = "uniformisation"
RUNGE_KUTTA = "runge-kutta"
EXTRAPOLATED_EULER = "extrapolated-euler"
IMPLICIT_EULER = "implicit-euler"
_STATIONARY, _FINITE = (POLICY_ITERATION,), (UNIFORMISATION, RUNGE_KUTTA, EXTRAPOLATED_EULER, IMPLICIT_EULER)
_NAMED = "named in numerics.method"
_SAME = 4e-16  # κ of two flows that differ by rounding only are one


class Choice(NamedTuple):
    """A method and the sentence that explains it."""

    method: str
    reason: str
    decay: float | None = None  # κ where the equation is linear, per currency


def choose_method(problem: Problem, requested: str | None) -> Choice:
    """The method for a problem with concrete numbers.

    Raises:
        ProblemError: the requested method does not fit the problem; says why and what would.
    """
    finite = problem.horizon.kind == "finite"
    allowed = _FINITE if finite else _STATIONARY
    if requested is not None and requested not in allowed:
        raise _unfit(
            f"{requested!r} does not solve a problem with horizon.kind = {problem.horizon.kind!r}; allowed "
            f"here: {', '.join(allowed)}. Leave the key out to let quotegrid choose."
        )
    if not finite:
        return Choice(POLICY_ITERATION, "stationary problems are solved by Howard's policy iteration")
    decay, obstacle = linear_decay(problem)
    if requested == UNIFORMISATION and decay is None:
        raise _unfit(
            f"{UNIFORMISATION!r} needs a linear equation, and here {obstacle}; use {EXTRAPOLATED_EULER!r} or "
            "leave the key out."
        )
    if decay is not None and requested in (None, UNIFORMISATION):
        return linear_choice(requested, decay)
    if requested is not None:
        return Choice(requested, _NAMED)
    if any(flow.tick is not None for flow in problem.one_sided_flows()):
        return Choice(EXTRAPOLATED_EULER, f"the equation is neither linear nor smooth: {obstacle}")
    return Choice(RUNGE_KUTTA, f"the equation is not linear: {obstacle}")


def linear_choice(requested: str | None, decay: float | None = None) -> Choice:
    """The method for a linear equation, which may have been asked for by name."""
    linear = "the equation is linear in exp(κθ): exponential fills with one k per unit of size"
    return Choice(UNIFORMISATION, linear if requested is None else _NAMED, decay)


def _unfit(sentence: str) -> ProblemError:
    return ProblemError([Fault("numerics.method", sentence)])


def obstacle_to_linearity(problem: Problem) -> str | None:
    """What in a problem's structure keeps its finite-horizon equation from being linear in exp(κθ).

    None: nothing does, and it is linear where all flows have the same κ.
    """
    return _obstacle(problem.one_sided_flows())


def _obstacle(flows: Sequence[OneSidedFlow]) -> str | None:
    for flow in flows:
        if flow.intensity.constant_hazard() is None:
            return f"the intensity of {flow.label} is not exponential"
        if flow.tick is not None:
            return f"{flow.label} quotes on ticks"
        if flow.min_offset is not None or flow.max_offset is not None:
            return f"the offsets of {flow.label} are bounded"
    return None if flows else "there are no fills"


def linear_decay(problem: Problem) -> tuple[float | None, str]:
    """κ = k/(z m) if the finite-horizon equation is linear in exp(κθ); otherwise None and what stands against
    it.
    """
    flows = problem.one_sided_flows()
    obstacle = _obstacle(flows)
    if obstacle is not None:
        return None, obstacle
    hazards = np.array([flow.intensity.constant_hazard() for flow in flows], float)
    decays = hazards / np.array([flow.units * flow.multiplier for flow in flows], float)
    if not same_decay(decays[None])[0]:
        return None, "the flows differ in k per unit of size"
    return float(decays[0]), ""


def same_decay(decays: Float[np.ndarray, "lane flow"]) -> Bool[np.ndarray, " lane"]:
    """Are the κ of all flows one, but for rounding?"""
    return np.ptp(decays, axis=-1) <= _SAME * np.max(decays, axis=-1)
