"""Optimal quotes for market makers: a problem file in, a lookup table out.

    import quotegrid as qg

    file = qg.read_problem_file("problem.toml")
    table = qg.PolicyTable.from_solution(qg.solve(file.problem))
    qg.write_table(table, "table.safetensors")
    qg.Quoter(table).quote(inventory=3).offsets

Names are loaded when they are first used: whoever only reads tables never waits for JAX.
"""

import importlib
from typing import Any

# public name -> the module it is loaded from; __init__.pyi tells type checkers the same
_HOME = {
    "AbstractIntensity": "models.contract",
    "Asset": "models.assets",
    "Audit": "analysis.audit",
    "Brownian": "models.prices",
    "Cara": "models.preferences",
    "Difference": "tables.documents.difference",
    "Discounted": "models.horizons",
    "Ergodic": "models.horizons",
    "Evaluation": "analysis.evaluation_result",
    "ExplainedQuote": "analysis.explained_quote",
    "Exponential": "models.intensities",
    "FillJump": "models.flows",
    "Finite": "models.horizons",
    "Flow": "models.flows",
    "GenerationFollower": "tables.publication.generation_follower",
    "InfeasibleTarget": "analysis.preference_choice",
    "Inventory": "models.assets",
    "Linear": "models.intensities",
    "Logistic": "models.intensities",
    "Market": "models.assets",
    "MarketOrderJump": "models.flows",
    "Markout": "models.flows",
    "MeanVariance": "models.preferences",
    "Numerics": "models.requests",
    "Policy": "analysis.policies",
    "PolicyError": "analysis.policy_faults",
    "PolicyTable": "tables.policy_table",
    "Power": "models.intensities",
    "PreferenceChoice": "analysis.preference_choice",
    "Problem": "models.problem",
    "ProblemError": "models.faults",
    "ProblemFile": "models.problem_file",
    "Quote": "tables.quoter",
    "QuoteError": "tables.lookup",
    "Quoter": "tables.quoter",
    "Sensitivities": "analysis.sensitivities",
    "Solution": "solver.solution",
    "SolveError": "solver.status",
    "Status": "solver.status",
    "TableError": "tables.table_error",
    "TableRequest": "models.requests",
    "Tabulated": "models.tabulated",
    "Terminal": "models.horizons",
    "UncertainQuotes": "analysis.uncertain_quotes",
    "Units": "models.problem",
    "as_float32": "analysis.policies",
    "audit": "analysis.audit",
    "choose_preference": "analysis.preference_choice",
    "clamped": "analysis.policies",
    "compare": "tables.documents.difference",
    "difference_figure": "analysis.difference_figure",
    "evaluate": "analysis.evaluation",
    "explain_quote": "analysis.explained_quote",
    "interpolated": "analysis.policies",
    "losses_figure": "analysis.losses_figure",
    "policy_figure": "analysis.figures",
    "policy_of": "analysis.policies",
    "preference_frontier": "analysis.preference_frontier",
    "read_problem_file": "models.problem_file",
    "read_table": "table_files",
    "resolved_errors": "analysis.uncertain_quotes",
    "rounded_to_ticks": "analysis.policies",
    "sensitivities": "analysis.sensitivities",
    "sensitivity_figure": "analysis.sensitivity_figure",
    "shift_figure": "analysis.shift_figure",
    "solve": "solver.solve",
    "solve_file": "pipeline",
    "solve_files": "pipeline",
    "solve_many": "solver.many",
    "solve_table": "pipeline",
    "stale": "analysis.policies",
    "tick_costs": "analysis.tick_costs",
    "to_xarray": "tables.dataset",
    "uncertain_quotes": "analysis.uncertain_quotes",
    "uncertainty_figure": "analysis.uncertainty_figure",
    "write_table": "table_files",
}

__all__ = ["__version__", *_HOME]  # pyright: ignore[reportUnsupportedDunderAll] (it reads the stub)


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name == "__version__":
        value = importlib.import_module("importlib.metadata").version("quotegrid")
    elif name in _HOME:
        value = getattr(importlib.import_module(f"quotegrid.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not, beside what is loaded."""
    return sorted({*globals(), *__all__})
