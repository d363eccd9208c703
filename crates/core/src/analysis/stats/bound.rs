//! How fast any test could be.

use super::promotion::{LEAST_RATE, Margin, Rates};

/// Canary requests that no test which rolls back a harmless release with probability at most `alpha` can do without, on
/// average, to see a rate of `canary_rate` against `baseline_rate` when the canary gets the share `share` of the
/// requests. Infinite when the rates are equal.
#[must_use]
pub fn detection_bound(baseline_rate: f64, canary_rate: f64, share: f64, alpha: f64) -> f64 {
    (1.0 / alpha).ln() / nats_per_canary_request(baseline_rate, canary_rate, share)
}

/// Canary requests that no test which passes a release at the margin with probability at most `beta` can do without, on
/// average, to prove that rates like these keep the margin. Infinite where they do not.
#[must_use]
pub fn proof_bound(rates: Rates, margin: Margin, share: f64, beta: f64) -> f64 {
    (1.0 / beta).ln() / proof_nats_per_canary_request(rates, margin, share)
}

/// How much one canary request, and the baseline's that come with it, tell at best of rates that keep a margin. Zero
/// where they do not.
#[must_use]
pub fn proof_nats_per_canary_request(rates: Rates, margin: Margin, share: f64) -> f64 {
    let possible = |rate: f64| rate.max(LEAST_RATE);
    let rates = Rates { baseline: possible(rates.baseline), canary: possible(rates.canary) };
    let Some(null) = margin.closest(rates, share) else { return 0.0 };
    divergence(rates.canary, null.canary) + (1.0 - share) / share * divergence(rates.baseline, null.baseline)
}

/// The Jensen-Shannon divergence of the two versions' outcomes, per canary request.
pub(super) fn nats_per_canary_request(baseline_rate: f64, canary_rate: f64, share: f64) -> f64 {
    let mixed = share * canary_rate + (1.0 - share) * baseline_rate;
    divergence(canary_rate, mixed) + (1.0 - share) / share * divergence(baseline_rate, mixed)
}

/// Kullback-Leibler divergence of Bernoulli outcomes.
fn divergence(p: f64, q: f64) -> f64 {
    let term = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    term(p, q) + term(1.0 - p, 1.0 - q)
}
