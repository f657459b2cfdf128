"""The coefficients of the Runge-Kutta method: those of an independent program, and of order 8."""

import numpy as np
from scipy.integrate import DOP853

from quotegrid.solver.dormand_prince import ERROR_WEIGHTS, STAGE_WEIGHTS, STAGES, STEP_WEIGHTS


def test_they_are_those_of_scipy() -> None:
    assert DOP853.n_stages == STAGES
    np.testing.assert_array_equal(STAGE_WEIGHTS, DOP853.A[1:])
    np.testing.assert_array_equal(STEP_WEIGHTS, DOP853.B)
    np.testing.assert_array_equal(ERROR_WEIGHTS, [DOP853.E5, DOP853.E3])


def test_quadrature_is_of_order_eight() -> None:
    """Σ b_i c_i^(n-1) = 1/n for n ≤ 8, where c are the sums of the stages' weights."""
    places = np.concatenate([[0.0], STAGE_WEIGHTS.sum(axis=1)])
    for n in range(1, 9):
        np.testing.assert_allclose(STEP_WEIGHTS @ places ** (n - 1), 1.0 / n, rtol=0.0, atol=1e-14)
