"""Stationary problems: Howard's policy iteration on the controlled chain.

    ergodic      B(θ)(i) = g,  θ(target) = 0          discounted   B(θ)(i) = ρ θ(i)

One iteration takes the greedy policy of θ and evaluates it, in the form of a correction: L e - ρe = -(B(θ) -
ρθ - g). With ξ = 0 this is Howard's iteration for a Markov decision process; with ξ > 0 it is Newton's method
on B, whose linearisation is again a generator. Three safeguards make it work from any start:

- *a compact set of quotes*: offsets are kept above a floor, so no Hamiltonian overflows; the floor is lowered
  until it does not bind at the solution, and the answer is that of the problem's own quotes;
- *damping*: where H is not convex (possible for ξ > 0) plain iteration may cycle. If it has not settled in
  time it starts anew with care: a step that worsens the residual is taken back and repeated with a killing
  rate, which is one implicit Euler step in time; the rate fades as steps succeed (pseudo-transient
  continuation);
- *a relative stopping rule*: the last correction, per unit, is small against the quote scale (that of a
  discounted level: against the level), or the residual is rounding.

B does not see a constant added to θ, so the *bias* (0 at the target) and the level are carried apart: offsets
keep their digits however small the discount rate, and with it however large the level.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from quotegrid.solver.bellman import GreedyPolicy, greedy_policy
from quotegrid.solver.chain import ControlledChain, destination, in_problem_order
from quotegrid.solver.linear_systems import solve_with_reference, well_visited
from quotegrid.solver.starting_values import asinh_start

ITERATION_LIMIT = 5000
_FLOOR_MARGIN = 30.0  # the floor's first distance below the lowest cost of a fill, in quote scales
_ROUNDING = 4e-15  # residuals below this fraction of the terms they are made of are rounding
_PLAIN_ITERATIONS = 60  # undamped ones: Newton on a convex B needs about ten
_HOPELESS_DAMPING = 1e12  # no step of any length is accepted
_SETTLED_DAMPING = 1e-3  # a killing rate below this fraction of the fastest fills is dropped


class StationarySolution(NamedTuple):
    """What policy iteration found; arrays on the lattice."""

    bias: Float[Array, "*state"]  # θ less its value at the target, currency
    level: Float[Array, ""]  # θ at the target, currency; 0 when ergodic
    gain: Float[Array, ""]  # g, currency per time; 0 when discounted
    policy: GreedyPolicy  # greedy for the bias
    residual: Float[Array, ""]  # max |B(θ) - ρθ - g|, currency per time
    iterations: Int[Array, ""]
    converged: Bool[Array, ""]


class _Theta(NamedTuple):
    bias: Array
    level: Array


class _State(NamedTuple):
    theta: _Theta  # accepted
    policy: GreedyPolicy  # of θ
    merit: Array  # of θ
    candidate: _Theta  # θ and its correction
    step: Array  # the size of the correction, relative
    killing: Array  # damping, per time
    careful: Array  # True once the plain iteration has failed
    floor: Array  # lowest offset allowed, price units
    margin: Array  # by how much the floor goes down when it binds
    iterations: Array
    converged: Array


def policy_iteration(
    chain: ControlledChain,
    ergodic: bool,
    tolerance: Float[Array, ""] | float,
    start: Float[Array, "*state"] | None = None,
) -> StationarySolution:
    """Solve a stationary chain; `tolerance` is relative to the quote scale. Traceable; never raises."""
    zero, far = jnp.zeros(()), jnp.asarray(jnp.inf)
    discount = zero if ergodic else chain.discount
    first = asinh_start(chain) if start is None else start
    level = zero if ergodic else first[chain.target]
    beginning = _Theta(first - first[chain.target], level)

    def residual(theta: _Theta, policy: GreedyPolicy) -> Array:
        excess = policy.operator - discount * theta.bias - discount * theta.level
        return excess - excess[chain.target] if ergodic else excess

    def merit(theta: _Theta, policy: GreedyPolicy) -> Array:
        """The spread of the residual (discounted: its size), per time: it does not grow as time goes by."""
        excess = residual(theta, policy)
        return jnp.max(excess) - jnp.min(excess) if ergodic else jnp.max(jnp.abs(excess))

    def correction(theta: _Theta, policy: GreedyPolicy, damping: Array) -> _Theta:
        killing = jnp.broadcast_to(damping + discount, chain.shape)
        right, reference = residual(theta, policy), well_visited(policy.rates, chain.shifts)
        step, average = solve_with_reference(policy.rates, chain.shifts, killing, right, reference)
        level = zero if ergodic else step[chain.target] + average / (damping + discount)
        return _Theta(step - step[chain.target], level)

    def size_of(step: _Theta, theta: _Theta) -> Array:
        """Of a correction: of the bias in quote scales, of the level against θ."""
        largest = jnp.maximum(jnp.abs(theta.level), chain.value_scale)
        return jnp.maximum(_step_in_scales(chain, step.bias), jnp.abs(step.level) / largest)

    def improve(state: _State) -> _State:
        policy = greedy_policy(chain, state.candidate.bias, state.floor)
        new_merit = merit(state.candidate, policy)
        negligible = new_merit <= 1e-9 * chain.value_scale * (discount + _activity(policy))
        better = ~state.careful | (new_merit <= state.merit) | negligible
        known = jnp.all(jnp.isfinite(state.candidate.bias)) & jnp.isfinite(state.candidate.level)
        taken = (state.iterations == 0) | (better & known & jnp.all(jnp.isfinite(policy.operator)))
        theta, policy, new_merit = _either(
            taken, (state.candidate, policy, new_merit), (state.theta, state.policy, state.merit)
        )
        activity = _activity(policy)
        faded = jnp.where(state.killing < _SETTLED_DAMPING * activity, 0.0, 0.1 * state.killing)
        raised = jnp.maximum(10.0 * state.killing, 10.0 * _SETTLED_DAMPING * activity)
        damping = jnp.where(taken, faded, jnp.where(activity > 0.0, raised, jnp.inf))
        settled = (state.step <= tolerance) & (state.killing == 0.0)
        rounding = jnp.all(
            jnp.abs(residual(theta, policy)) <= _ROUNDING * _terms(chain, theta, policy, discount)
        )
        # (the first θ is taken as it is: ∞ ≤ ∞ is no rounding)
        done = taken & jnp.all(jnp.isfinite(policy.operator)) & (settled | rounding)
        lower = done & _binds(chain, policy, state.floor)
        step = correction(theta, policy, damping)
        improved = _Theta(theta.bias + step.bias, theta.level + step.level)
        anew = ~state.careful & ~done & (~taken | (state.iterations == _PLAIN_ITERATIONS))
        again = lower | anew
        return _State(
            theta=theta,
            policy=policy,
            merit=jnp.where(again, jnp.inf, new_merit),
            candidate=_either(anew, beginning, _either(lower, theta, improved)),
            step=jnp.where(again, jnp.inf, size_of(step, theta)),
            killing=jnp.where(anew, 0.0, damping),
            careful=state.careful | anew,
            floor=jnp.where(lower, state.floor - state.margin, state.floor),
            margin=jnp.where(lower, 2.0 * state.margin, state.margin),
            iterations=state.iterations + 1,
            converged=done & ~lower,
        )

    def unfinished(state: _State) -> Array:
        hopeless = state.killing > _HOPELESS_DAMPING * _activity(state.policy)
        sound = jnp.all(jnp.isfinite(state.policy.operator)) & ~hopeless
        return ~state.converged & (state.iterations < ITERATION_LIMIT) & sound

    margin = _FLOOR_MARGIN * _largest_scale(chain)
    flows = jnp.zeros((len(chain.shifts), *chain.shape))
    nothing = GreedyPolicy(jnp.zeros(chain.shape), flows, flows, flows, flows > 0.0)
    no = jnp.zeros((), bool)
    floor = _lowest_reservation(chain, beginning.bias) - margin
    state = _State(beginning, nothing, far, beginning, far, zero, no, floor, margin, jnp.zeros((), int), no)
    state = jax.lax.while_loop(unfinished, improve, state)
    theta, policy = state.theta, state.policy
    gain = policy.operator[chain.target] if ergodic else zero
    worst = jnp.max(jnp.abs(residual(theta, policy)))
    return StationarySolution(*theta, gain, policy, worst, state.iterations, state.converged)


def _activity(policy: GreedyPolicy) -> Array:
    """The fastest fills of any state, per time."""
    return jnp.max(jnp.sum(policy.rates, axis=0), initial=0.0)


def _either(which: Array, first: Any, second: Any) -> Any:
    """One of two trees."""
    return jax.tree.map(lambda x, y: jnp.where(which, x, y), first, second)


def to_stationary(chain: ControlledChain, policy: GreedyPolicy) -> Float[Array, "*state"]:
    """What one ergodic iteration adds to the bias that `policy` is greedy for, currency.

    NaN where the chain does not communicate.
    """
    right = policy.operator - policy.operator[chain.target]
    reference = well_visited(policy.rates, chain.shifts)
    step, _ = solve_with_reference(policy.rates, chain.shifts, jnp.zeros(chain.shape), right, reference)
    return step - step[chain.target]


def _largest_scale(chain: ControlledChain) -> Array:
    scales = [jnp.max(jnp.where(jnp.isfinite(c.scale), c.scale, 0.0)) for c in chain.channels]
    largest = jnp.max(jnp.stack(scales)) if scales else jnp.zeros(())
    return jnp.where(largest > 0.0, largest, 1.0)


def _lowest_reservation(chain: ControlledChain, theta: Array) -> Array:
    """The least reservation offset p of θ; the best offset is never below it."""
    wide = (slice(None),) + (None,) * len(chain.shape)
    lowest = [jnp.zeros(())]
    for channel in chain.channels:
        after = jnp.stack([destination(theta, shift) for shift in channel.shifts])
        p = ((theta[None] - after) / channel.size[wide] + channel.cost) / channel.multiplier[wide]
        lowest.append(jnp.min(p))
    return jnp.min(jnp.stack(lowest))


def _binds(chain: ControlledChain, policy: GreedyPolicy, floor: Array) -> Bool[Array, ""]:
    """Does the floor, rather than the problem's own bound, hold an offset up?"""
    tick = [c.tick if c.tick is not None else jnp.zeros(len(c.shifts)) for c in chain.channels]
    if not tick:
        return jnp.zeros((), bool)
    wide = (slice(None),) + (None,) * len(chain.shape)
    ticks = in_problem_order(chain.channels, tick)[wide]
    low = in_problem_order(chain.channels, [c.low for c in chain.channels])[wide]
    return jnp.any(policy.quoted & (policy.offsets <= floor + ticks) & (policy.offsets > low))


def _step_in_scales(chain: ControlledChain, step: Array) -> Array:
    """The largest change of a reservation offset, in quote scales, that a change of θ makes."""
    changes = [jnp.zeros(())]
    for channel in chain.channels:
        for flow, shift in enumerate(channel.shifts):
            moved = jnp.max(jnp.abs(step - destination(step, shift)))
            changes.append(moved / (channel.size[flow] * channel.multiplier[flow] * channel.scale[flow]))
    return jnp.max(jnp.stack(changes))


def _terms(chain: ControlledChain, theta: _Theta, policy: GreedyPolicy, discount: Array) -> Array:
    """What the residual adds up at each state: rewards, fills, the bias times the rates that read it, ρθ."""
    per_flow = jnp.max(jnp.abs(theta.bias)) * jnp.sum(policy.rates, axis=0)
    own = discount * (jnp.abs(theta.bias) + jnp.abs(theta.level))
    return jnp.abs(chain.reward) + jnp.abs(policy.operator) + per_flow + own
