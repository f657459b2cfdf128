"""Draw the pictures of the README anew: `python docs/make_pictures.py`."""

from pathlib import Path

import quotegrid as qg

DOCS = Path(__file__).resolve().parent


def main() -> None:
    """Solve the shipped perpetual future and draw its quotes over inventory."""
    file = qg.read_problem_file(DOCS.parent / "examples" / "eth-perpetual.toml")
    table = qg.PolicyTable.from_solution(qg.solve(file.problem, numerics=file.numerics, table=file.table))
    qg.policy_figure(table).savefig(DOCS / "eth-perpetual.png", metadata={"Software": None})


if __name__ == "__main__":
    main()
