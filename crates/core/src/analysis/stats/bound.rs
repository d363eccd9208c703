//! How fast any test could be.

/// Canary requests that no test which rolls back a harmless release with probability at most `alpha` can do without, on
/// average, to see a rate of `canary_rate` against `baseline_rate` when the canary gets the share `share` of the
/// requests. Infinite when the rates are equal.
#[must_use]
pub fn detection_bound(baseline_rate: f64, canary_rate: f64, share: f64, alpha: f64) -> f64 {
    (1.0 / alpha).ln() / nats_per_canary_request(baseline_rate, canary_rate, share)
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
