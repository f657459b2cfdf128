//! The square root of a number that is not negative, rounded to nearest as IEEE 754 asks: the machine's where
//! `std` offers it, else by whole numbers, as `core` has none.

#[cfg(feature = "std")]
pub(crate) fn square_root(x: f64) -> f64 {
    x.sqrt()
}

#[cfg(not(feature = "std"))]
pub(crate) use by_whole_numbers as square_root;

/// With x = m·2ᵉ, m of 106 to 108 bits and e even, √x = √m·2^(e/2): √m has a whole part of 53 or 54 bits, and is
/// never half way between two doubles that it could be rounded to, unless it is exact.
#[cfg(any(test, not(feature = "std")))]
pub(crate) fn by_whole_numbers(x: f64) -> f64 {
    if !(x > 0.0 && x.is_finite()) {
        return x; // 0, infinity, NaN
    }
    let (shift, scale) = if x < f64::MIN_POSITIVE { (54, 27) } else { (0, 0) };
    let bits = (x * (1u64 << shift) as f64).to_bits(); // subnormal numbers become normal, exactly
    let exponent = (bits >> 52) as i64 - 1075;
    let digits = (bits & ((1 << 52) - 1)) | 1 << 52;
    let more = 54 + exponent.rem_euclid(2); // so that what is left of the exponent is even
    let m = u128::from(digits) << more;
    let root = m.isqrt(); // 54 bits: 53 and one for rounding
    let exact = root * root == m;
    let up = root & 1 == 1 && (!exact || root & 2 == 2);
    let rounded = (root >> 1) + u128::from(up);
    let half = (exponent - more) / 2 + 1 - scale;
    rounded as f64 * f64::from_bits(((half + 1023) as u64) << 52) // roots are normal numbers: exact
}

#[cfg(test)]
mod tests {
    use super::by_whole_numbers;

    #[test]
    fn agrees_with_the_machine_to_the_last_bit() {
        let mut dice = 88172645463325252u64;
        let check = |x: f64| {
            let x = x.abs();
            if !x.is_nan() {
                assert_eq!(by_whole_numbers(x).to_bits(), x.sqrt().to_bits(), "{x:e}");
            }
        };
        for bits in [0, 1, 2, 3, 1 << 52, (1 << 52) - 1, 0x7fef_ffff_ffff_ffff, 0x7ff0 << 48] {
            check(f64::from_bits(bits));
        }
        for _ in 0..200_000 {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            let x = f64::from_bits(dice);
            check(x); // of any size
            check(f64::from_bits(dice >> 12)); // subnormal
            check(1.0 + (dice >> 11) as f64 / (1u64 << 53) as f64);
            let whole = (dice >> 38) as f64;
            check(whole * whole); // exact
            check((whole * whole).next_up());
            check((whole * whole).next_down());
        }
    }
}
