"""Numbers with their errors: both end at the same decimal, whatever their size."""

import math

import pytest

from quotegrid.calibration.error_text import with_error


@pytest.mark.parametrize(
    ("number", "error", "digits", "text"),
    [
        (29.04, 0.953, 2, "29.04 ± 0.95"),
        (102.0, 214.0, 2, "102 ± 214"),
        (0.4881, 0.0996, 2, "0.49 ± 0.10"),
        (-0.0001, 0.003, 1, "0.000 ± 0.003"),
        (-0.0021, 0.001, 1, "-0.002 ± 0.001"),
        (2.13e-6, 4e-7, 1, "(2.1 ± 0.4)e-06"),
        (-4e-7, 2.13e-6, 2, "(-0.4 ± 2.1)e-06"),
        (2.13, 4.4e-7, 2, "2.13000000 ± 0.00000044"),
        (3.0, 0.0, 2, "3 ± 0"),
        (0.5, math.nan, 2, "0.5 ± unknown"),
        (102.0, math.inf, 2, "102 ± unknown"),
        (math.nan, 0.3, 1, "unknown"),
    ],
)
def test_both_end_at_one_decimal(number: float, error: float, digits: int, text: str) -> None:
    assert with_error(number, error, digits) == text
