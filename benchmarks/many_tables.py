"""Tables of Guéant, Lehalle & Fernandez-Tapia 2013 per second, against SciPy and a C++ kernel.

    taskset -c 0 python benchmarks/many_tables.py [--tables 2048] [--rounds 7] [--output FILE.md]

One table: inventory limit 50, T = 600, 101 equal times, exponential fills, value and both offsets everywhere.
The contestants take turns on the same work, all on the one processor that taskset leaves them; ratios are
medians over the rounds. Each is checked in extended precision: the largest error of an offset is printed too.

    lockstep      `solve_linear_lanes` of this project, certificate and lookup error included
    solve_many    the same from a list of `Problem`s to a list of `Solution`s
    solve         one problem after the other
    C++           lockstep_kernel.cpp, g++ -O3 -march=native -ffast-math: arrays in, arrays out
    expm          scipy.linalg.expm of one interval, then 100 products
    eigh          scipy.linalg.eigh_tridiagonal of the symmetric generator
    DOP853, LSODA scipy.integrate.solve_ivp for θ, rtol = 1e-12; LSODA with its band
"""

import argparse
import ctypes
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from scipy.integrate import solve_ivp
from scipy.linalg import eigh_tridiagonal, expm

from quotegrid.models.problem import Problem, TableRequest
from quotegrid.models.problem_file import parse_problem
from quotegrid.solver import solve, solve_many
from quotegrid.solver.linear_lanes import solve_linear_lanes
from quotegrid.solver.many import LANES
from quotegrid.solver.solve import parameters

LIMIT, DURATION, COUNT = 50, 600.0, 101
TIMES = np.linspace(0.0, DURATION, COUNT)
TABLE = TableRequest(times=tuple(TIMES))
HERE = Path(__file__).parent


def draw(count: int) -> list[dict[str, float]]:
    """Numbers around those of the paper: per tick and second."""
    rng = np.random.default_rng(2013)
    around = {"A": 0.9, "k": 0.3, "gamma": 0.01, "sigma": 0.3}
    return [{name: x * rng.uniform(0.8, 1.25) for name, x in around.items()} for _ in range(count)]


def problem(A: float, k: float, gamma: float, sigma: float) -> Problem:
    return parse_problem(
        {
            "format": 1,
            "units": {"price": "tick", "time": "s"},
            "market": {"symbol": "X", "lot_size": 1.0},
            "inventory": {"max": LIMIT},
            "price": {"volatility": sigma},
            "preferences": {"kind": "cara", "risk_aversion": gamma},
            "flow": [{"name": "book", "side": "both", "intensity": {"kind": "exponential", "A": A, "k": k}}],
            "horizon": {"kind": "finite", "duration": DURATION},
        }
    ).problem


class Linear:
    """The linear equation v' = M v of one problem: diagonal, rate beside it, offset at equal θ."""

    def __init__(self, A: float, k: float, gamma: float, sigma: float) -> None:
        self.A, self.gamma, self.sigma = A, gamma, sigma
        q = np.arange(-LIMIT, LIMIT + 1.0)
        self.k = k
        self.diagonal = -0.5 * k * gamma * sigma**2 * q**2
        self.beside = A * (1.0 + gamma / k) ** -(1.0 + k / gamma)
        self.markup = np.log1p(gamma / k) / gamma

    def offsets(self, theta: np.ndarray, markup: Any = None) -> np.ndarray:
        """[time, state, side] from θ [time, state]."""
        markup = self.markup if markup is None else markup
        out = np.full((*theta.shape, 2), np.nan, dtype=theta.dtype)
        out[:, :-1, 0] = markup + theta[:, :-1] - theta[:, 1:]
        out[:, 1:, 1] = markup + theta[:, 1:] - theta[:, :-1]
        return out

    def matrix(self) -> np.ndarray:
        beside = np.full(len(self.diagonal) - 1, self.beside)
        return np.diag(self.diagonal) + np.diag(beside, 1) + np.diag(beside, -1)

    def by_expm(self) -> np.ndarray:
        step = expm(self.matrix() * (DURATION / (COUNT - 1)))
        v, theta, level = np.ones(len(self.diagonal)), [], 0.0
        for _ in range(COUNT):
            theta.append((np.log(v) + level) / self.k)
            v = step @ v
            level, v = level + np.log(v[LIMIT]), v / v[LIMIT]
        return np.array(theta[::-1])

    def by_eigh(self) -> np.ndarray:
        values, vectors = eigh_tridiagonal(self.diagonal, np.full(len(self.diagonal) - 1, self.beside))
        weights = np.exp((values - values[-1])[:, None] * (DURATION - TIMES)) * vectors.sum(axis=0)[:, None]
        v = np.maximum(vectors @ weights, 1e-300)
        return ((np.log(v) + values[-1] * (DURATION - TIMES)) / self.k).T

    def slope(self, _: float, theta: np.ndarray) -> np.ndarray:
        fall = np.diff(theta)
        up, down = np.exp(self.k * fall), np.exp(-self.k * fall)
        out = self.diagonal.copy()
        out[:-1] += self.beside * up
        out[1:] += self.beside * down
        return out / self.k

    def by_ivp(self, method: str) -> np.ndarray:
        band: dict[str, Any] = {"lband": 1, "uband": 1} if method == "LSODA" else {}
        found = solve_ivp(
            self.slope,
            (0.0, DURATION),
            np.zeros(len(self.diagonal)),
            method=method,
            t_eval=DURATION - TIMES[::-1],
            rtol=1e-12,
            atol=1e-12,
            **band,
        )
        return found.y.T[::-1]


def reference(linear: Linear, places: list[int]) -> list[np.ndarray]:
    """Offsets at some times, [state, side], by a positive series with 64 bits of mantissa."""
    q = np.arange(-LIMIT, LIMIT + 1).astype(np.longdouble)
    k, gamma = np.longdouble(linear.k), np.longdouble(linear.gamma)
    diagonal = -k * gamma * np.longdouble(linear.sigma) ** 2 * q**2 / 2
    beside = np.longdouble(linear.A) * (1 + gamma / k) ** -(1 + k / gamma)
    diagonal = diagonal - diagonal.min()
    length = np.longdouble(DURATION) / (COUNT - 1) / 8
    v, offsets = np.ones(len(q), dtype=np.longdouble), {}
    for step in range(8 * COUNT):
        if step % 8 == 0 and COUNT - 1 - step // 8 in places:
            theta = np.log(v)[None] / k
            offsets[COUNT - 1 - step // 8] = linear.offsets(theta, np.log1p(gamma / k) / gamma)[0].astype(
                float
            )
        term, total = v, v
        for n in range(1, 60):
            after = diagonal * term
            after[1:] += beside * term[:-1]
            after[:-1] += beside * term[1:]
            term = after * length / n
            total = total + term
        v = total / total[LIMIT]
    return [offsets[place] for place in places]


class Compiled:
    """The C++ kernel on vectors of eight problems."""

    def __init__(self, linears: list[Linear]) -> None:
        library = Path(tempfile.mkdtemp()) / "lockstep_kernel.so"
        flags = ["-O3", "-march=native", "-ffast-math", "-fno-finite-math-only", "-shared", "-fPIC"]
        subprocess.run(["g++", *flags, "-o", str(library), str(HERE / "lockstep_kernel.cpp")], check=True)
        self.run_kernel = ctypes.CDLL(str(library)).tables
        states, self.groups = 2 * LIMIT + 1, len(linears) // 8

        def aligned(*shape: int) -> np.ndarray:
            raw = np.zeros(int(np.prod(shape)) + 8)
            skip = (-raw.ctypes.data // 8) % 8
            return raw[skip : skip + int(np.prod(shape))].reshape(shape)

        def packed(rows: list[Any], *shape: int) -> np.ndarray:
            out = aligned(self.groups, *shape, 8)
            for lane, row in enumerate(rows):
                out[lane // 8, ..., lane % 8] = row
            return out

        shifts = [-x.diagonal.min() for x in linears]
        up, down = np.ones(states), np.ones(states)
        up[-1] = down[0] = 0.0
        self.arguments = [
            packed([x.diagonal + c for x, c in zip(linears, shifts, strict=True)], states),
            packed([x.beside * up for x in linears], states),
            packed([x.beside * down for x in linears], states),
            packed(shifts),
            packed([x.k for x in linears]),
            packed([1.0 for _ in linears]),
            packed([np.full(2, x.markup) for x in linears], 2),
        ]
        self.value, self.offset = (
            aligned(self.groups, COUNT, states, 8),
            aligned(self.groups, COUNT, 2, states, 8),
        )

    def __call__(self) -> None:
        states = 2 * LIMIT + 1
        pointers = [ctypes.c_void_p(x.ctypes.data) for x in self.arguments]
        outputs = [ctypes.c_void_p(x.ctypes.data) for x in (self.value, self.offset)]
        length = ctypes.c_double(DURATION / (COUNT - 1))
        self.run_kernel(self.groups, states, COUNT, *pointers, length, *outputs)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--tables", type=int, default=2048, help="a multiple of 32")
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--output", type=Path, default=None, help="a Markdown file")
    chosen = arguments.parse_args()
    numbers = draw(chosen.tables)
    problems, linears = [problem(**x) for x in numbers], [Linear(**x) for x in numbers]
    compiled = Compiled(linears)
    with jax.enable_x64(True):
        chunks = []
        for begin in range(0, len(problems), LANES):
            part = problems[begin : begin + LANES]
            leaves = [parameters(x) for x in part]
            chunks.append((jax.tree.map(lambda *x: jnp.stack(x), *leaves), part))

    def lockstep() -> None:
        with jax.enable_x64(True):
            for stacked, part in chunks:
                solve_linear_lanes(stacked, part, TABLE)

    def one_by_one(few: int) -> Any:
        return [solve(x, table=TABLE) for x in problems[:few]]

    few = {"solve": 24, "expm": 24, "eigh": 48, "DOP853": 2, "LSODA": 2}
    contestants: dict[str, tuple[int, Callable[[], Any]]] = {
        "lockstep": (chosen.tables, lockstep),
        "C++": (chosen.tables, compiled),
        "solve_many": (chosen.tables, lambda: solve_many(problems, table=TABLE)),
        "solve": (few["solve"], lambda: one_by_one(few["solve"])),
        "expm": (few["expm"], lambda: [x.by_expm() for x in linears[: few["expm"]]]),
        "eigh": (few["eigh"], lambda: [x.by_eigh() for x in linears[: few["eigh"]]]),
        "DOP853": (few["DOP853"], lambda: [x.by_ivp("DOP853") for x in linears[: few["DOP853"]]]),
        "LSODA": (few["LSODA"], lambda: [x.by_ivp("LSODA") for x in linears[: few["LSODA"]]]),
    }
    errors = {}
    places = [0, 50, 99]
    truth = reference(linears[0], places)
    compiled()
    first = {
        "lockstep": solve_many(problems[:LANES], table=TABLE)[0].offset,
        "C++": np.moveaxis(compiled.offset[0, ::-1, :, :, 0], 1, 2),
        "solve_many": solve_many(problems[:LANES], table=TABLE)[0].offset,
        "solve": solve(problems[0], table=TABLE).offset,
        "expm": linears[0].offsets(linears[0].by_expm()),
        "eigh": linears[0].offsets(linears[0].by_eigh()),
        "DOP853": linears[0].offsets(linears[0].by_ivp("DOP853")),
        "LSODA": linears[0].offsets(linears[0].by_ivp("LSODA")),
    }
    for name, offset in first.items():
        errors[name] = max(np.nanmax(np.abs(offset[p] - x)) for p, x in zip(places, truth, strict=True))
    lockstep()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(chosen.rounds):
        for name, (count, run) in contestants.items():
            start = time.perf_counter()
            run()
            seconds[name].append((time.perf_counter() - start) / count)
    lines = [
        "| contestant | ms per table | lockstep is faster by | largest error of an offset, ticks |",
        "|---|---|---|---|",
    ]
    for name, taken in seconds.items():
        ratio = median(theirs / ours for theirs, ours in zip(taken, seconds["lockstep"], strict=True))
        lines.append(f"| {name} | {1e3 * median(taken):.3g} | {ratio:.3g} × | {errors[name]:.1e} |")
    machine = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    text = "\n".join(
        [
            "# Many tables at once",
            "",
            "`taskset -c 0 python benchmarks/many_tables.py "
            f"--tables {chosen.tables} --rounds {chosen.rounds}`, {datetime.now(UTC):%Y-%m-%d}, "
            f"one processor of {machine}, Python {platform.python_version()}, JAX {jax.__version__}, "
            f"SciPy {scipy.__version__}. Medians over the rounds. What each contestant does stands on top of "
            "the script.",
            "",
            *lines,
            "",
        ]
    )
    print(text)
    if chosen.output is not None:
        chosen.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
