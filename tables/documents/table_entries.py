"""What a table was solved for: the entries of its problem by their paths, and the nodes of parameter axes.

    problem_entries(problem)     but for a table over price.volatility, not the one number of the problem
    price.volatility → Nodes     that lookups never see, but the nodes of the axis

An axis of one side splits the entries of a flow of both sides in two.
"""

from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.problem_changes import NoSuchNumberError, with_numbers
from quotegrid.tables.problem_paths import problem_entries


class Nodes(tuple[float, ...]):
    """The nodes of a parameter axis, in place of a number."""

    __slots__ = ()

    def __str__(self) -> str:
        shown = self if len(self) <= 6 else (*self[:2], "…", *self[-2:])
        words = (part if isinstance(part, str) else f"{part:.10g}" for part in shown)
        return f"{', '.join(words)} (axis)"


def table_entries(table: PolicyTable) -> dict[str, object]:
    """path → number, word, list or `Nodes`, in the order of the problem; in a list, `Nodes` for one of them.

    Where an axis leads to no number of the problem, it is an entry of its own, by its name.
    """
    first = {axis.name: float(axis.nodes[0]) for axis in table.parameter_axes}
    try:
        problem = with_numbers(table.problem_json, first)
        before = problem_entries(problem)
        found = dict(before)
        for path, number in first.items():
            # the entries that belong to the axis are those that change with its number
            after = problem_entries(with_numbers(problem, {path: 2.0 if number == 1.0 else 1.0}))
            nodes = Nodes(next(axis for axis in table.parameter_axes if axis.name == path).nodes.tolist())
            for entry in before:
                found[entry] = _with_nodes(found[entry], before[entry], after[entry], nodes)
    except NoSuchNumberError:
        axes = {axis.name: Nodes(axis.nodes.tolist()) for axis in table.parameter_axes}
        return problem_entries(table.problem_json) | axes
    return found


def _with_nodes(found: object, before: object, after: object, nodes: Nodes) -> object:
    """The entry with nodes in place of what changed."""
    if isinstance(found, list) and isinstance(before, list) and isinstance(after, list):
        triples = zip(found, before, after, strict=True)
        return [each if old == new else nodes for each, old, new in triples]
    return found if before == after else nodes
