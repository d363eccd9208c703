//! The rate ratio with an anytime-valid interval, for people to look at.

use super::Stratum;
use super::harm::THETAS;
use super::special::ln_mean_exp;

/// Ratios beyond a million, and below a millionth, are shown as unbounded.
const LN_RATIO_LIMIT: f64 = 13.815_510_557_964_274;

/// Canary's rate over the baseline's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatioInterval {
    /// The most likely ratio, minute by minute, so that neither drift nor a change of weights biases it.
    pub estimate: f64,
    pub lower: f64,
    /// Infinite when nothing bounds it.
    pub upper: f64,
}

/// All ratios that a two-sided mixture over the grid does not rule out at level `alpha`; at any time, however often
/// one looks, the true ratio is among them with probability at least 1 - alpha. `None` without events.
#[must_use]
pub fn rate_ratio(strata: &[Stratum], alpha: f64) -> Option<RatioInterval> {
    let likelihood = Likelihood::of(strata)?;
    let ln_thetas = THETAS.map(f64::ln);
    let grid: Vec<f64> =
        ln_thetas.iter().flat_map(|&ln_theta| [likelihood.at(ln_theta).0, likelihood.at(-ln_theta).0]).collect();
    let floor = ln_mean_exp(&grid) - (1.0 / alpha).ln();
    let peak = likelihood.peak();
    let lower = if likelihood.canary_events > 0.0 {
        likelihood.crossing(floor, peak, -LN_RATIO_LIMIT).map_or(0.0, f64::exp)
    } else {
        0.0
    };
    let upper = if likelihood.baseline_events > 0.0 {
        likelihood.crossing(floor, peak, LN_RATIO_LIMIT).map_or(f64::INFINITY, f64::exp)
    } else {
        f64::INFINITY
    };
    let estimate = match peak {
        Some(peak) => peak.exp(),
        None if likelihood.canary_events > 0.0 => f64::INFINITY,
        None => 0.0,
    };
    Some(RatioInterval { estimate, lower, upper })
}

/// The conditional likelihood of a common rate ratio, a concave function of its logarithm.
struct Likelihood {
    /// Events of both versions, and the canary's share of the requests, of each minute that had events.
    minutes: Vec<(f64, f64)>,
    canary_events: f64,
    baseline_events: f64,
}

impl Likelihood {
    fn of(strata: &[Stratum]) -> Option<Self> {
        let telling = || strata.iter().filter(|minute| minute.is_comparable() && minute.events() > 0.0);
        let minutes: Vec<(f64, f64)> = telling().map(|minute| (minute.events(), minute.canary_share())).collect();
        (!minutes.is_empty()).then(|| Self {
            minutes,
            canary_events: telling().map(|minute| minute.x_c).sum(),
            baseline_events: telling().map(|minute| minute.x_b).sum(),
        })
    }

    /// Value and slope at a ln ratio.
    fn at(&self, ln_theta: f64) -> (f64, f64) {
        let theta = ln_theta.exp();
        let (mut value, mut slope) = (self.canary_events * ln_theta, self.canary_events);
        for &(events, share) in &self.minutes {
            let odds = share * (theta - 1.0);
            value -= events * odds.ln_1p();
            slope -= events * share * theta / (1.0 + odds);
        }
        (value, slope)
    }

    /// Where it is largest; `None` when it rises or falls for ever.
    fn peak(&self) -> Option<f64> {
        if self.canary_events <= 0.0 || self.baseline_events <= 0.0 {
            return None;
        }
        Some(bisect(-LN_RATIO_LIMIT, LN_RATIO_LIMIT, |ln_theta| self.at(ln_theta).1 > 0.0))
    }

    /// Where it falls to `floor` on the way from its peak to `limit`; `None` if it does not.
    fn crossing(&self, floor: f64, peak: Option<f64>, limit: f64) -> Option<f64> {
        if self.at(limit).0 > floor {
            return None;
        }
        let inside = peak.unwrap_or(-limit);
        Some(bisect(inside, limit, |ln_theta| self.at(ln_theta).0 > floor))
    }
}

/// Halves the way from a place where `here` holds to one where it does not, to five digits: enough for people.
fn bisect(mut inside: f64, mut outside: f64, here: impl Fn(f64) -> bool) -> f64 {
    while (outside - inside).abs() > 1e-5 {
        let middle = 0.5 * (inside + outside);
        if here(middle) { inside = middle } else { outside = middle }
    }
    // The outer end, so that rounding never makes the interval too narrow.
    outside
}
