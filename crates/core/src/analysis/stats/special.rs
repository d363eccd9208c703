//! Logarithms of sums and of the normal distribution, stable far out in the tails.

use std::f64::consts::{PI, SQRT_2};

use statrs::function::erf::erfc;

/// ln(e^a + e^b) without overflow; minus infinity stands for zero.
pub(super) fn ln_add_exp(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    // So far below it adds nothing: e^-746 is zero.
    if low == f64::NEG_INFINITY || low - high < -746.0 { high } else { high + (low - high).exp().ln_1p() }
}

/// ln of the sum of e^x.
pub(super) fn ln_sum_exp(values: &[f64]) -> f64 {
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if high == f64::NEG_INFINITY {
        return high;
    }
    let sum: f64 = values.iter().map(|value| (value - high).exp()).sum();
    high + sum.ln()
}

/// ln of the mean of e^x.
pub fn ln_mean_exp(values: &[f64]) -> f64 {
    // Counts of grid points are tiny, so the cast is exact.
    #[allow(clippy::cast_precision_loss)]
    let count = values.len() as f64;
    ln_sum_exp(values) - count.ln()
}

/// ln of the standard normal distribution function.
pub(super) fn ln_normal_cdf(x: f64) -> f64 {
    if x > 0.0 {
        (-0.5 * erfc(x / SQRT_2)).ln_1p()
    } else if x > -5.0 {
        (0.5 * erfc(-x / SQRT_2)).ln()
    } else {
        // erfc loses digits and then underflows below -38. Mills' ratio as a continued fraction has converged to
        // machine precision after 60 terms wherever -x >= 5.
        let z = -x;
        let ratio = (1..=60).rev().fold(z, |tail, k| z + f64::from(k) / tail);
        -0.5 * z * z - 0.5 * (2.0 * PI).ln() - ratio.ln()
    }
}
