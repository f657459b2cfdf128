"""How a problem is solved: the controlled chain, its Bellman operator, and the algorithms on it."""

from quotegrid.solver.hamiltonians import hamiltonian
from quotegrid.solver.many import solve_many
from quotegrid.solver.solution import FlowLabel, Solution
from quotegrid.solver.solve import solve
from quotegrid.solver.status import SolveError, Status
from quotegrid.solver.traced import TracedSolution, solve_traced

__all__ = [
    "FlowLabel",
    "Solution",
    "SolveError",
    "Status",
    "TracedSolution",
    "hamiltonian",
    "solve",
    "solve_many",
    "solve_traced",
]
