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

/// The same against "with some probability from `lower` to `upper`": the mixture over the likeliest of them, which is at
/// most the one over the true one. An e-value for each of them, so the product over stretches of time with shares of
/// their own is one, too.
///
/// `share` is what the alternative is centred at. All three lie between 0 and 1.
#[must_use]
pub fn ln_e_split_within(canary: f64, baseline: f64, share: f64, lower: f64, upper: f64) -> f64 {
    let seen = canary / (canary + baseline).max(f64::MIN_POSITIVE);
    let nearest = seen.clamp(lower, upper);
    let centred = ln_e_constant_split(canary, baseline, share);
    let likelihood = |share: f64| canary * share.ln() + baseline * (1.0 - share).ln();
    centred + likelihood(share) - likelihood(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tolerated_is_measured_from_its_nearest_end() {
        for (canary, baseline) in [(0.0, 100.0), (50.0, 950.0), (80.0, 920.0), (30.0, 970.0), (1e9, 1.9e10)] {
            let within = ln_e_split_within(canary, baseline, 0.05, 0.045, 0.055);
            let exact = ln_e_split_within(canary, baseline, 0.05, 0.05, 0.05);
            assert!((exact - ln_e_constant_split(canary, baseline, 0.05)).abs() < 1e-6 * exact.abs().max(1.0));
            assert!(within <= exact + 1e-6 && within.is_finite(), "{canary} {baseline}: {within} {exact}");
        }
        assert!(
            ln_e_split_within(80.0, 920.0, 0.05, 0.045, 0.055) < ln_e_split_within(240.0, 2760.0, 0.05, 0.045, 0.055)
        );
        assert!(ln_e_split_within(0.0, 0.0, 0.05, 0.045, 0.055).abs() < 1e-9);
    }
}
