"""The strict environment every test runs in.

Mixed dtypes and silent broadcasting between ranks are errors in JAX, warnings are errors (pyproject.toml),
random numbers are seeded. Double precision is *not* switched on: a function that forgets to ask for it must
fail here as it would for a user. A test that calls JAX itself takes the fixture `x64`.
"""

import gc
import itertools
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import jax
import matplotlib
import numpy as np
import pytest
from jaxtyping import install_import_hook

from quotegrid.tables.policy_table import PolicyTable

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
matplotlib.use("agg")

# Shapes and types in the solver's signatures are checked whenever a test calls it; ints may be floats.
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
install_import_hook("quotegrid.solver", CHECKER)

# The same examples on every run, and no deadline: no test may fail because a machine is busy.
hypothesis.settings.register_profile("reproducible", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("reproducible")

SEED = 20130507


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled kernels beside pytest's own cache: most of a run is compiling, and workers share them."""
    if getattr(config, "cache", None) is None:  # switched off on the command line
        return
    jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("jax")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


MOST_MAPPINGS = 30_000  # of a process's memory; Linux allows 65,530, and every compiled kernel takes a dozen
_finished = itertools.count(1)


@pytest.fixture(autouse=True)
def _few_kernels() -> Iterator[None]:
    """Let go of compiled kernels before a process has too many, for XLA crashes at the limit. They are on
    disk.
    """
    yield
    maps = Path("/proc/self/maps")
    looked_at = next(_finished) % 10 == 0 and maps.exists()
    if looked_at and maps.read_bytes().count(b"\n") > MOST_MAPPINGS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Seed the global generators, for libraries that draw from them."""
    random.seed(SEED)
    np.random.seed(SEED)


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator of this test's own."""
    return np.random.default_rng(SEED)


@pytest.fixture
def x64() -> Iterator[None]:
    """Double precision for a test that calls JAX directly."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout the tests were started from."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def solved_example(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The table of a shipped example, and the run of the program that solved it with a cache of its own.

    In a process of its own, because the command line sets up JAX for itself.
    """
    folder = tmp_path_factory.mktemp("solved")
    table, problem = folder / "eth.safetensors", checkout / "examples" / "eth-perpetual.toml"
    done = subprocess.run(
        [sys.executable, "-m", "quotegrid", "solve", str(problem), "-o", str(table)],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
    )
    return table, done


@pytest.fixture
def table_by_hand() -> Callable[..., PolicyTable]:
    """Makes tables without a solver: value -c q², offset w plus the change of value a fill brings, per lot.

    sizes: a pair of flows each; times: a finite horizon, with c falling to 0; changes: fields to replace.
    """

    def make(
        limit: int = 4,
        sizes: tuple[int, ...] = (1,),
        times: tuple[float, ...] | None = None,
        tick: float | None = None,
        units: tuple[str, str] = ("USD", "s"),
        **changes: object,
    ) -> PolicyTable:
        lots = np.arange(-limit, limit + 1.0)
        flows = [
            SimpleNamespace(name=f"size{size}", side=side, size=size, asset=0, sign=sign)
            for size in sizes
            for side, sign in (("bid", 1), ("ask", -1))
        ]

        def at(curvature: float) -> tuple[np.ndarray, np.ndarray]:
            value = -curvature * lots**2
            offset = np.full((lots.size, len(flows)), np.nan)
            for column, flow in enumerate(flows):
                after = lots + flow.sign * flow.size
                inside = np.abs(after) <= limit
                offset[inside, column] = 0.5 + (value - -curvature * after**2)[inside] / flow.size
            return value, offset

        if times is None:
            value, offset = at(0.01)
        else:
            slices = [at(0.01 * (1 - t / times[-1])) for t in times]
            value, offset = np.stack([part[0] for part in slices]), np.stack([part[1] for part in slices])
        price_unit, time_unit = units
        problem = {
            "format": 1,
            "market": {"symbol": "XYZ", "lot_size": 0.1} | ({} if tick is None else {"tick_size": tick}),
            "preferences": {"kind": "cara", "risk_aversion": 0.1},
            "horizon": {"kind": "ergodic"} if times is None else {"kind": "finite", "duration": times[-1]},
        }
        fields = {
            "problem_json": json.dumps(problem, sort_keys=True, separators=(",", ":")),
            "problem_hash": "0" * 64,
            "package_version": "0",
            "price_unit": price_unit,
            "time_unit": time_unit,
            "symbols": ("XYZ",),
            "lot_sizes": (0.1,),
            "times": None if times is None else np.array(times),
            "inventories": (lots,),
            "flows": flows,
            "value": value,
            "offset": offset,
            "hedge_rate": None,
            "market_order": None,
            "gain": 0.25 if times is None else None,
            "status": "converged",
            "status_message": "Solved.",
            "method": "by hand",
            "method_reason": "a parabola",
            "residual": 0.0,
            "iterations": 0,
            "certificate": {"level": "none", "reason": "made by hand"},
            "lookup_error": None if times is None else {"offset": 0.001, "value": 0.002},
            "notes": (),
        }
        solution: Any = SimpleNamespace(**{**fields, **changes})
        return PolicyTable.from_solution(solution)

    return make
