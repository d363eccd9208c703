//! A second, independent way to the same conclusion as [`super::PairedT`], to check it against: the normal mixture
//! (Robbins; Howard et al. 2021), which takes the variance as known. Sums and numbers of readings do not tell it.

use std::f64::consts::LN_2;

use super::special::ln_normal_cdf;

/// ln E of the one-sided mixture at a sum `s` with variance `v`.
pub fn one_sided(s: f64, v: f64, kappa: f64) -> f64 {
    two_sided(s, v, kappa) + LN_2 + ln_normal_cdf(s / (v + kappa).sqrt())
}

/// ln E of the two-sided mixture.
pub fn two_sided(s: f64, v: f64, kappa: f64) -> f64 {
    0.5 * (kappa / (v + kappa)).ln() + s * s / (2.0 * (v + kappa))
}

/// How far the sum gets from its mean with probability of at most alpha, ever.
pub fn radius(v: f64, kappa: f64, alpha: f64) -> f64 {
    ((v + kappa) * ((v + kappa) / (kappa * alpha * alpha)).ln()).sqrt()
}
