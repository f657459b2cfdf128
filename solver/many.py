"""Many problems: those of one structure in one compiled call, their numbers in its lanes.

Stationary problems go through policy iteration and its certificate side by side. Finite horizons whose
equation is linear march in lockstep. The others, and what a lane cannot do, are solved one after the other by
the same compiled code. As many threads as there are processors share the work.
"""

import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple

import jax
import numpy as np

from quotegrid.models.problem import Numerics, Problem, ProblemError, TableRequest
from quotegrid.solver.linear_lanes import solve_linear_lanes
from quotegrid.solver.methods import UNIFORMISATION, choose_method, linear_choice, obstacle_to_linearity
from quotegrid.solver.solution import Solution
from quotegrid.solver.solve import assemble, check_requests, check_table, solve
from quotegrid.solver.stationary import solve_stationary_lanes

LANES = 32  # of a compiled call: its vectors stay near the processor
_FEW = 8  # lanes of a call when there are no more problems than that


class Job(NamedTuple):
    """A problem with what is asked beside it."""

    problem: Problem
    numerics: Numerics
    table: TableRequest


class Member(NamedTuple):
    """A job of a group."""

    place: int  # in the list
    job: Job
    leaves: list[Any]  # the numbers of the problem's essence


class Group(NamedTuple):
    """Jobs of one structure, which share compiled code."""

    members: list[Member]
    structure: Any  # of the essences of the problems
    lanes: bool  # side by side, or one after the other


def solve_many(
    problems: Sequence[Problem],
    *,
    numerics: Numerics | Sequence[Numerics] | None = None,
    table: TableRequest | Sequence[TableRequest] | None = None,
    progress: Callable[[float], None] | None = None,
) -> list[Solution]:
    """Solve many problems; those of one structure (flows, sizes, limits, kinds) share compiled calls.

    Args:
        problems: concrete numbers; any mixture of structures.
        numerics, table: as for `solve`; one for all, or one for each.
        progress: called with the fraction done, now and then.

    Returns:
        The solutions in the order of the problems. A solve that does not converge raises nothing: look at
        each one's `status`.

    Raises:
        ProblemError: a method or table that does not fit its problem; nothing is solved.
        ValueError: another number of requests than of problems.
    """
    count = len(problems)
    jobs = list(map(Job, problems, _each(numerics, Numerics(), count), _each(table, TableRequest(), count)))
    solutions: list[Any] = [None] * count
    done = 0
    with ThreadPoolExecutor(_processors()) as pool:
        futures = [pool.submit(_solve_part, part, lanes) for part, lanes in _parts(_groups(jobs))]
        for future in as_completed(futures):
            for place, solution in future.result():
                solutions[place] = solution
                done += 1
            if progress is not None:
                progress(done / count)
    return solutions


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _each(given: Any, otherwise: Any, count: int) -> Sequence[Any]:
    """One request for every problem."""
    if given is None or not isinstance(given, Sequence):
        return [otherwise if given is None else given] * count
    if len(given) != count:
        raise ValueError(
            f"solve_many: got {len(given)} requests for {count} problems; give one for all, or one for each."
        )
    return given


def _groups(jobs: list[Job]) -> list[Group]:
    """Jobs by structure and request; requests are checked on the way."""
    groups: dict[Hashable, Group] = {}
    requests = {id(request): request for job in jobs for request in (job.numerics, job.table)}
    texts = {key: repr(request) for key, request in requests.items()}
    for place, job in enumerate(jobs):
        leaves, structure = jax.tree.flatten(job.problem.essence())
        shapes = tuple(() if isinstance(leaf, float) else np.shape(leaf) for leaf in leaves)
        key = (structure, shapes, texts[id(job.numerics)], texts[id(job.table)])
        group = groups.get(key)
        try:
            # what a request asks may fit the numbers of one problem and not those of the next
            if group is None or job.numerics.method is not None:
                check_requests(*job)
            elif isinstance(job.table.times, tuple):
                check_table(job.problem, job.table)
        except ProblemError as error:
            raise ProblemError(error.faults, source=f"problem {place}") from None
        if group is None:
            group = groups[key] = Group([], structure, _fit_lanes(job))
        group.members.append(Member(place, job, leaves))
    return list(groups.values())


def _fit_lanes(job: Job) -> bool:
    """Is there a kernel that takes problems of this structure side by side?"""
    if job.problem.horizon.kind != "finite":
        return True
    return (
        job.numerics.method in (None, UNIFORMISATION)
        and obstacle_to_linearity(job.problem) is None
        and len(job.problem.assets) == 1
        and job.table.max_lookup_error is None
    )


def _parts(groups: list[Group]) -> Iterator[tuple[Group, int]]:
    """Pieces of work for one thread, with their number of lanes: 0 for one after the other."""
    for group in groups:
        count = len(group.members)
        lanes = (LANES if count > _FEW else _FEW) if group.lanes and count > 1 else 0
        step = lanes or max(1, -(-count // _processors()))
        for begin in range(0, count, step):
            yield group._replace(members=group.members[begin : begin + step]), lanes


def _solve_part(part: Group, lanes: int) -> list[tuple[int, Solution]]:
    members = part.members
    if not lanes:
        return [(member.place, _solve_alone(member.job)) for member in members]
    problems, (_, numerics, table) = [member.job.problem for member in members], members[0].job
    finite = problems[0].horizon.kind == "finite"
    choice = linear_choice(numerics.method) if finite else choose_method(problems[0], numerics.method)
    with jax.enable_x64(True):
        padded = [member.leaves for member in members] + [members[-1].leaves] * (lanes - len(members))
        columns = [np.array(numbers, float) for numbers in zip(*padded, strict=True)]
        stacked = jax.tree.unflatten(part.structure, columns)
        results: Sequence[Any]
        if finite:
            results = solve_linear_lanes(stacked, problems, choice, table)
        else:
            results = solve_stationary_lanes(stacked, problems, numerics)
        return [
            (place, _solve_alone(job) if result is None else assemble(job.problem, choice, result))
            for (place, job, _), result in zip(members, results, strict=True)
        ]


def _solve_alone(job: Job) -> Solution:
    return solve(job.problem, numerics=job.numerics, table=job.table, throw=False)
