"""The strict environment every test runs in.

Mixed dtypes and silent broadcasting between ranks are errors in JAX, warnings are errors (pyproject.toml),
random numbers are seeded. Double precision is *not* switched on: a function that forgets to ask for it must
fail here as it would for a user. A test that calls JAX itself takes the fixture `x64`.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import jax
import matplotlib
import numpy as np
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
matplotlib.use("agg")

# The same examples on every run, and no deadline: no test may fail because a machine is busy.
hypothesis.settings.register_profile("reproducible", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("reproducible")

SEED = 20130507


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
