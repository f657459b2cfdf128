"""A number with its standard error in words: both to the digits that the error leaves meaningful.

    with_error(29.04, 0.953)        29.04 ± 0.95
    with_error(102.0, 214.0)        102 ± 214
    with_error(2.1e-6, 4e-7, 1)     (2.1 ± 0.4)e-06
    with_error(0.5, nan)            0.5 ± unknown
    with_error(nan, nan)            unknown

So the eye sees at once which digits of an estimate to believe.
"""

import math

_SMALL = 1e-3, 1e-4  # a smaller number with a smaller error would be all zeros: both get a power of ten


def with_error(number: float, error: float, digits: int = 2) -> str:
    """`number ± error`, the error to so many significant digits and the number to the same decimal."""
    if math.isnan(number):
        return "unknown"
    if not math.isfinite(error):
        return f"{number:.3g} ± unknown"
    if error == 0.0 or not math.isfinite(number):
        return f"{number:.3g} ± {error:.{digits}g}"
    power = math.floor(math.log10(float(f"{error:.{digits - 1}e}")))  # of the error as it is rounded
    if abs(number) < _SMALL[0] and error < _SMALL[1]:
        tens = power if abs(number) < error else math.floor(math.log10(abs(number)))
        decimals = max(0, digits - 1 - power + tens)
        return f"({number / 10.0**tens:.{decimals}f} ± {error / 10.0**tens:.{decimals}f})e{tens:+03d}"
    decimals = max(0, digits - 1 - power)
    return f"{round(number, decimals) + 0.0:.{decimals}f} ± {error:.{decimals}f}"
