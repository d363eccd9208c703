//! Is traffic really split as the weight says?

use statrs::function::gamma::ln_gamma;

/// How close to the stated share the alternative is centred.
pub(super) const CONCENTRATION: f64 = 100.0;

/// Lindon and Malek's e-value against "each request went to the canary with probability `share`", two-sided, for a
/// share that has not changed since counting began.
#[must_use]
pub fn ln_e_constant_split(canary_requests: f64, baseline_requests: f64, share: f64) -> f64 {
    ln_e_with(canary_requests, baseline_requests, share, CONCENTRATION)
}

pub(super) fn ln_e_with(canary: f64, baseline: f64, share: f64, concentration: f64) -> f64 {
    let (a, b) = (concentration * share, concentration * (1.0 - share));
    let ln_beta = |a: f64, b: f64| ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
    ln_beta(a + canary, b + baseline) - ln_beta(a, b) - canary * share.ln() - baseline * (1.0 - share).ln()
}
