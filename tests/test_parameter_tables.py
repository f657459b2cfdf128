"""Tables over parameters, from problem file to quote: against single solves, and verified point by point."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quotegrid as qg
from quotegrid.analysis.explained_quote import ExplanationError
from quotegrid.command_line import run
from quotegrid.models.paths import replace as with_values
from quotegrid.models.problem import canonical_json, problem_hash
from quotegrid.pipeline import WarmStartError, solve_file
from quotegrid.tables.lookup import Market
from quotegrid.tables.parameter_stack import StackError, middle_point, points
from quotegrid.tables.verifier import verify, verify_table

STATIONARY = """
format = 1
units = { price = "USD", time = "s" }
market = { symbol = "X", lot_size = 1.0 }
inventory = { max = 4 }
price = { volatility = 0.5 }
preferences = { kind = "cara", risk_aversion = 0.1 }
horizon = { kind = "ergodic" }

[[flow]]
name = "book"
side = "both"
intensity = { kind = "exponential", A = 0.9, k = 1.5 }
"""
FINITE = STATIONARY.replace('kind = "ergodic"', 'kind = "finite", duration = 20.0')
TWO = """
[table]
parameters = { "price.volatility" = [0.4, 0.5, 0.7], "flow.book/bid.intensity.A" = [0.5, 0.9] }
"""
ONE = '[table]\ntimes = 9\nparameters = { "price.volatility" = [0.4, 0.5, 0.7] }\n'


def solved(text: str) -> qg.PolicyTable:
    file = qg.read_problem_file(text)
    return qg.solve_table(file.problem, table=file.table)


def in_lanes(problems: list[qg.Problem]) -> list[qg.Solution]:
    """The solutions of up to 15 problems, by the code that is compiled already."""
    return qg.solve_many(problems + problems[:1] * (15 - len(problems)))[: len(problems)]


@pytest.fixture(scope="module")
def ergodic() -> qg.PolicyTable:
    return solved(STATIONARY + TWO)


@pytest.fixture(scope="module")
def finite() -> qg.PolicyTable:
    return solved(FINITE + ONE)


def failures(table: qg.PolicyTable) -> str:
    return " ".join(f"{check.name}: {check.sentence}" for check in verify_table(table).failures)


def changed(table: qg.PolicyTable, place: int, **claims: Any) -> qg.PolicyTable:
    """The table with other claims of one of its points."""
    listed = [dict(claim) for claim in table.certificate["points"]]
    listed[place] |= claims
    return replace(table, certificate={**table.certificate, "points": listed})


def test_each_point_is_the_solution_of_its_problem(ergodic: qg.PolicyTable) -> None:
    problem = qg.read_problem_file(STATIONARY).problem
    assert ergodic.value.shape == (3, 2, 9) and ergodic.gain is None
    assert ergodic.problem_hash == problem_hash(problem)
    found = list(points(ergodic))
    assert [list(point.numbers.values()) for point in found] == [
        [sigma, rate] for sigma in (0.4, 0.5, 0.7) for rate in (0.5, 0.9)
    ]
    problems = [with_values(problem, point.numbers) for point in found]
    for point, alone, solution in zip(found, problems, in_lanes(problems), strict=True):
        assert point.table.problem_json == canonical_json(alone)
        np.testing.assert_array_equal(point.table.offset, solution.offset)
        assert point.table.gain == solution.gain and point.table.times is None
    claims = [point.table.certificate for point in found]
    for name in ("value_error", "quote_error", "regret"):
        assert ergodic.certificate[name] == max(claim[name] for claim in claims)
    assert ergodic.certificate["statement"].startswith(
        "Holds at each of the 6 points of the parameter axes, not"
    )


def test_between_the_points_lookup_errs_as_stated(ergodic: qg.PolicyTable) -> None:
    problem, quoter = qg.read_problem_file(STATIONARY).problem, qg.Quoter(ergodic)
    stated, worst = ergodic.lookup_error, 0.0
    assert stated is not None
    between = [
        {"price.volatility": sigma, "flow.book/bid.intensity.A": rate}
        for sigma in (0.4, 0.45, 0.5, 0.6, 0.7)
        for rate in (0.5, 0.7, 0.9)
    ]
    for numbers, solution in zip(
        between, in_lanes([with_values(problem, numbers) for numbers in between]), strict=True
    ):
        for row, lots in enumerate(range(-4, 5)):
            quoted = quoter.offsets(lots, market=Market(parameters=numbers))
            worst = max(worst, float(np.nanmax(np.abs(quoted - solution.offset[row]))))
    assert worst == pytest.approx(stated["offset"], rel=1e-9) and worst > 1e-4
    assert any("measured at 9 midpoints; nothing is proved there" in note for note in ergodic.notes)


def test_all_points_of_a_finite_horizon_have_the_same_times(finite: qg.PolicyTable) -> None:
    assert finite.value.shape == (9, 3, 9) and finite.times is not None
    problem = qg.read_problem_file(FINITE).problem
    alone = qg.solve(problem, table=qg.TableRequest(times=9))
    np.testing.assert_array_equal(alone.times, finite.times)  # those of the middle of the axis
    middle = middle_point(finite)
    assert middle.numbers == {"price.volatility": 0.5}
    np.testing.assert_allclose(middle.table.offset, alone.offset, rtol=0.0, atol=1e-9)
    found, stated = list(points(finite)), finite.lookup_error
    assert stated is not None
    in_time = max(point.table.lookup_error["offset"] for point in found if point.table.lookup_error)
    assert stated["offset"] > in_time > 0.0  # that in time, and the one along the parameter on top


def test_the_lookup_error_in_time_is_that_of_the_stored_times() -> None:
    table = solved(FINITE + ONE.replace("times = 9", "times = [0.0, 15.0, 20.0]"))
    assert table.times is not None and table.times.tolist() == [0.0, 15.0, 20.0]
    found = verify_table(table)  # finds the values in the middle of the intervals by its own scheme
    assert found.passed, str(found)
    assert {check.name: check.outcome for check in found.checks}["lookup between times"] == "pass"


def test_both_containers_and_the_dataset(
    ergodic: qg.PolicyTable, finite: qg.PolicyTable, tmp_path: Path
) -> None:
    for table in (ergodic, finite):
        for name in ("t.safetensors", "t.nc"):
            qg.write_table(table, tmp_path / name)
            assert qg.read_table(tmp_path / name) == table
    data = qg.to_xarray(finite)
    assert data["offset"].dims == ("time", "parameter_axis_0", "inventory", "flow")
    axis = data["parameter_axis_0"]
    assert axis.attrs["description"] == "price.volatility" and axis.values.tolist() == [0.4, 0.5, 0.7]


@pytest.mark.parametrize("name", ["ergodic", "finite"])
def test_verified_point_by_point(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    table = request.getfixturevalue(name)
    qg.write_table(table, tmp_path / "t.safetensors")
    found = verify(tmp_path / "t.safetensors")
    assert found.passed, str(found)
    outcomes = {check.name: check.outcome for check in found.checks}
    for check in ("points", "hashes of points", "best quotes", "certificate"):
        assert outcomes[check] == "pass"
    text = str(found)
    count = 6 if name == "ergodic" else 3
    assert re.search(rf"at all {count} points; at the first: (what the table )?claims (is )?proved", text)
    assert f"Proved, of the {count} problems at the points of the parameter axes" in text


def test_a_wrong_number_at_one_point_is_found(ergodic: qg.PolicyTable) -> None:
    offset = ergodic.offset.copy()
    offset[2, 1, 4, 0] += 1e-6
    found = failures(replace(ergodic, offset=offset))
    assert (
        "best quotes: at price.volatility = 0.7, flow.book/bid.intensity.A = 0.9: book/bid at inventory 0"
        in found
    )
    value = ergodic.value.copy()
    value[0, 0, 3] += 1e-6
    assert "at price.volatility = 0.4, flow.book/bid.intensity.A = 0.5" in failures(
        replace(ergodic, value=value)
    )


def test_points_in_the_wrong_order_are_found(ergodic: qg.PolicyTable) -> None:
    swapped = replace(ergodic, value=ergodic.value[::-1].copy(), offset=ergodic.offset[::-1].copy())
    assert "Bellman equation: at price.volatility = 0.4" in failures(swapped)


def test_another_problem_at_a_point_is_found(ergodic: qg.PolicyTable) -> None:
    axis = ergodic.parameter_axes[0]._replace(nodes=np.array([0.4, 0.5, 0.8]))
    found = failures(replace(ergodic, parameter_axes=(axis, ergodic.parameter_axes[1])))
    assert (
        "hashes of points: at price.volatility = 0.8, flow.book/bid.intensity.A = 0.5 and 1 other points"
        in found
    )


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"quote_error": 1e-30}, "certificate: at price.volatility = 0.4"),
        ({"quote_error": 1.0}, "points: the quote_error is stated as "),
        ({"residual": 1.0}, "points: the residual of a point is larger than that of the table"),
        ({"gain": 0.3}, "the gain is between"),
        ({"gain": None}, "axes: at price.volatility = 0.4"),
        ({"gain": "0.3"}, "not verifiable: the certificate's gain of a point is '0.3', not a number"),
        ({"problem_hash": "x"}, "not verifiable: at price.volatility = 0.4"),
        ({"value_error": None}, "points: the value_error is stated as "),
        (
            {"more": 1},
            "not verifiable: what the certificate says of a point is not gain, gain_interval, lookup",
        ),
    ],
)
def test_false_claims_of_a_point_are_found(
    ergodic: qg.PolicyTable, claims: dict[str, Any], said: str
) -> None:
    assert said in failures(changed(ergodic, 0, **claims))


def test_false_claims_of_the_table_are_found(ergodic: qg.PolicyTable) -> None:
    certificate = {name: part for name, part in ergodic.certificate.items() if name != "points"}
    bare = replace(ergodic, certificate=certificate)
    assert failures(bare) == (
        "points: not verifiable: the certificate says what holds at none of the 6 points"
    )
    with pytest.raises(StackError):
        next(points(bare))
    assert "the value_error is stated as 0.0" in failures(
        replace(ergodic, certificate={**ergodic.certificate, "value_error": 0.0})
    )
    assert "points: the gain is 0.1, but each point has one of its own" in failures(
        replace(ergodic, gain=0.1)
    )
    assert "points: the error of linear lookup between the points is not stated" in failures(
        replace(ergodic, lookup_error=None)
    )
    unknown = replace(
        ergodic,
        parameter_axes=(ergodic.parameter_axes[0]._replace(name="price.no"), ergodic.parameter_axes[1]),
    )
    assert failures(unknown) == "points: not verifiable: the problem has no number 'price.no'"


def test_a_point_without_solution_or_certificate_is_named(tmp_path: Path) -> None:
    path = tmp_path / "problem.toml"
    path.write_text(STATIONARY + '[table]\nparameters = { "price.volatility" = [-0.1, 0.5] }\n', "utf-8")
    with pytest.raises(qg.ProblemError) as refused:
        solve_file(path, tmp_path / "t.nc")
    assert str(refused.value) == (
        f"{path}: table.parameters: at price.volatility = -0.1 there is no valid problem: "
        "price.volatility: expected a number that is not negative, got -0.1."
    )
    path.write_text(STATIONARY + '[table]\nparameters = { "price.volatility" = [0.5, 1e200] }\n', "utf-8")
    with pytest.raises(
        qg.SolveError, match=r"^at price\.volatility = 5e\+199: .*needs all its points and midpoints"
    ):
        solve_file(path, tmp_path / "t.nc")
    entries = qg.solve_files([path], tmp_path / "folder")
    assert "table" not in entries[0] and entries[0]["status"] not in ("converged", "refused")
    assert not list(tmp_path.rglob("*.nc")) and not list(tmp_path.rglob("*.safetensors"))


def test_refused_where_one_problem_is_needed(ergodic: qg.PolicyTable, tmp_path: Path) -> None:
    qg.write_table(ergodic, tmp_path / "t.nc")
    with pytest.raises(
        qg.PolicyError, match=r"the table holds quotes for several values of price\.volatility, flow"
    ):
        qg.evaluate(ergodic, qg.read_problem_file(STATIONARY).problem)
    with pytest.raises(ExplanationError, match="the table holds the quotes of several problems"):
        qg.explain_quote(ergodic, 3)
    path = tmp_path / "problem.toml"
    path.write_text(STATIONARY, "utf-8")
    with pytest.raises(WarmStartError, match="a table over parameters has many values"):
        solve_file(path, tmp_path / "new.nc", warm_start=tmp_path / "t.nc")
    path.write_text(STATIONARY + TWO, "utf-8")
    with pytest.raises(
        qg.ProblemError, match=r"table\.parameters: a table over parameters takes no warm start"
    ):
        solve_file(path, tmp_path / "new.nc", warm_start=tmp_path / "t.nc")
    with pytest.raises(
        qg.ProblemError, match=r"table\.parameters: a table over parameters takes no sensitivities"
    ):
        solve_file(path, tmp_path / "new.nc", with_sensitivities=True)


def test_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("quotegrid.compiler_cache.set_up_jax", lambda: None)  # pytest has its own cache
    monkeypatch.setenv("COLUMNS", "120")
    problem, table = tmp_path / "problem.toml", str(tmp_path / "t.safetensors")
    problem.write_text(STATIONARY + TWO, encoding="utf-8")
    assert run(["solve", str(problem), "-o", table]) == 0
    assert "parameter     price.volatility: 0.4, 0.5, 0.7" in capsys.readouterr().out
    assert run(["show", table, "--plot", str(tmp_path / "t.png")]) == 0
    shown = capsys.readouterr().out
    for words in (
        "X: cara, ergodic, at price.volatility = 0.5, flow.book/bid.intensity.A = 0.9",
        "parameter     flow.book/bid.intensity.A: 0.5, 0.9",
        "between nodes of the axes",
    ):
        assert words in shown
    at = ["--parameter", "price.volatility=0.45", "--parameter", "flow.book/bid.intensity.A=0.7"]
    assert run(["quote", table, "--inventory", "3", "--json", *at]) == 0
    quoted = json.loads(capsys.readouterr().out)
    numbers = {"price.volatility": 0.45, "flow.book/bid.intensity.A": 0.7}
    assert (
        quoted["offsets"]
        == qg.Quoter(qg.read_table(table)).quote(3, market=Market(parameters=numbers)).offsets
    )
    for words, said in (
        (at[:2], "this table needs the parameter flow.book/bid.intensity.A"),
        (
            [*at[2:], "--parameter", "price.volatility=0.9"],
            "price.volatility 0.9 is outside the table, which runs",
        ),
        (
            [*at, "--parameter", "price.drift=0"],
            "parameter 'price.drift' was given; this table has price.vol",
        ),
        ([*at, *at[:2]], "price.volatility is given twice"),
        (["--parameter", "price.volatility"], "'price.volatility': expected PATH=VALUE"),
        ([*at, "--explain"], "leave out --parameter"),
    ):
        assert run(["quote", table, "--inventory", "3", *words]) == 2
        assert said in capsys.readouterr().err
    assert run(["verify", table]) == 0
    assert "6 problems, 3 of price.volatility × 2 of flow.book/bid.intensity.A" in capsys.readouterr().out
    assert run(["solve", str(problem), "-o", str(tmp_path)]) == 0
    assert (
        json.loads((tmp_path / "manifest.json").read_text("utf-8"))["tables"][0]["table"]
        == "problem.safetensors"
    )
    assert qg.read_table(tmp_path / "problem.safetensors") == qg.read_table(table)


def test_a_table_over_parameters_is_published(ergodic, finite, tmp_path: Path, capsys) -> None:
    """Verified point by point, compared with the live one, rolled back; its page shows the axes."""
    limits = ["--max-quote-error", "0.1", "--max-quote-change", "0.2"]
    for name, table in (("ergodic", ergodic), ("finite", finite)):
        path, live = str(tmp_path / f"{name}.safetensors"), tmp_path / name
        qg.write_table(table, path)
        assert run(["publish", path, str(live), *limits]) == 0
        assert "pass            certified quotes       level A" in capsys.readouterr().out
        words = ["--life", "8h", "--box", "price.volatility=0.45:0.6"]
        assert run(["publish", path, str(live), *limits, *words]) == 0
        assert "pass            change of quotes" in capsys.readouterr().out
    current = str(tmp_path / "ergodic" / "current.safetensors")
    at = ["--parameter", "flow.book/bid.intensity.A=0.7", "--parameter"]
    assert run(["quote", current, "--inventory", "1", *at, "price.volatility=0.47"]) == 0
    assert run(["quote", current, "--inventory", "1", *at, "price.volatility=0.65"]) == 2
    assert "price.volatility 0.65 is outside" in capsys.readouterr().err
    assert run(["document", current, "-o", str(tmp_path / "page.md")]) == 0
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| price.volatility | 0.4, 0.5, 0.7 (axis) | USD per √s | told at each lookup |" in page
    assert "for every inventory, price.volatility and flow.book/bid.intensity.A, at which" in page
    assert run(["rollback", str(tmp_path / "ergodic")]) == 0
    assert qg.read_table(current) == ergodic
