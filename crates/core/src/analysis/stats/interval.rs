//! The rate ratio with an anytime-valid interval, for people to look at.

use super::Stratum;
use super::harm::THETAS;
use super::many::ln_1p_all;
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
    let mut likelihood = Likelihood::of(strata)?;
    let floor = likelihood.mixed() - (1.0 / alpha).ln();
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
    /// One number for each minute; kept so that no place needs new memory.
    scratch: Vec<f64>,
}

impl Likelihood {
    fn of(strata: &[Stratum]) -> Option<Self> {
        let telling = || strata.iter().filter(|minute| minute.is_comparable() && minute.events() > 0.0);
        let mut minutes = Vec::with_capacity(strata.len());
        minutes.extend(telling().map(|minute| (minute.events(), minute.canary_share())));
        (!minutes.is_empty()).then(|| Self {
            scratch: vec![0.0; minutes.len()],
            minutes,
            canary_events: telling().map(|minute| minute.x_c).sum(),
            baseline_events: telling().map(|minute| minute.x_b).sum(),
        })
    }

    fn at(&mut self, ln_theta: f64) -> f64 {
        let odds = ln_theta.exp() - 1.0;
        self.scratch.iter_mut().zip(&self.minutes).for_each(|(scratch, (_, share))| *scratch = share * odds);
        ln_1p_all(&mut self.scratch);
        let start = self.canary_events * ln_theta;
        self.scratch.iter().zip(&self.minutes).fold(start, |value, (ln, (events, _))| value - events * ln)
    }

    /// How steeply it rises, and how fast that becomes less.
    fn slope(&self, ln_theta: f64) -> (f64, f64) {
        let theta = ln_theta.exp();
        let start = (self.canary_events, 0.0);
        self.minutes.iter().fold(start, |(slope, bend), &(events, share)| {
            let canary = share * theta / (1.0 + share * (theta - 1.0));
            (slope - events * canary, bend + events * canary * (1.0 - canary))
        })
    }

    /// The mean over the grid and its mirror image. A concave function that has fallen so far that it adds nothing falls
    /// on, so what lies beyond is left out.
    fn mixed(&mut self) -> f64 {
        let mut grid = [f64::NEG_INFINITY; 2 * THETAS.len()];
        let mut most = f64::NEG_INFINITY;
        for (first, sign) in [(0, 1.0), (1, -1.0)] {
            let mut before = f64::NEG_INFINITY;
            for (place, theta) in grid.iter_mut().skip(first).step_by(2).zip(THETAS) {
                let value = self.at(sign * theta.ln());
                *place = value;
                if value < before && value < most - NOTHING {
                    break;
                }
                before = value;
                most = most.max(value);
            }
        }
        ln_mean_exp(&grid)
    }

    /// Where it is largest; `None` when it rises or falls for ever.
    fn peak(&self) -> Option<f64> {
        if self.canary_events <= 0.0 || self.baseline_events <= 0.0 {
            return None;
        }
        let mut near = 0.0;
        for _ in 0..STEPS {
            let (slope, bend) = self.slope(near);
            let step = (slope / bend).clamp(-1.0, 1.0);
            near = (near + step).clamp(-LN_RATIO_LIMIT, LN_RATIO_LIMIT);
            if step.abs() < 0.01 * NEAR {
                break;
            }
        }
        Some(bisect(-LN_RATIO_LIMIT, LN_RATIO_LIMIT, near, |ln_theta| self.slope(ln_theta).0 > 0.0))
    }

    /// Where it falls to `floor` on the way from its peak to `limit`; `None` if it does not.
    fn crossing(&mut self, floor: f64, peak: Option<f64>, limit: f64) -> Option<f64> {
        if self.at(limit) > floor {
            return None;
        }
        let inside = peak.unwrap_or(-limit);
        let near = self.near_crossing(floor, peak, limit);
        Some(bisect(inside, limit, near, |ln_theta| self.at(ln_theta) > floor))
    }

    /// By Newton's method. It begins where a parabola would cross, and from outside it never passes by: a concave
    /// function lies below its tangents.
    fn near_crossing(&mut self, floor: f64, peak: Option<f64>, limit: f64) -> f64 {
        let parabola = |peak: f64| {
            let above = (self.at(peak) - floor).max(0.0);
            peak + (2.0 * above / self.slope(peak).1).sqrt().copysign(limit)
        };
        let start = peak.map_or(limit, parabola);
        let mut near = if start.is_finite() { start.clamp(-LN_RATIO_LIMIT, LN_RATIO_LIMIT) } else { limit };
        for _ in 0..STEPS {
            let step = (self.at(near) - floor) / self.slope(near).0;
            if !step.is_finite() {
                break;
            }
            near = (near - step).clamp(-LN_RATIO_LIMIT, LN_RATIO_LIMIT);
            if step.abs() < 0.01 * NEAR {
                break;
            }
        }
        near
    }
}

/// e^-60 of a sum changes none of its digits.
const NOTHING: f64 = 60.0;

/// Of Newton's method, which takes three to six; a bad start costs time and nothing else.
const STEPS: usize = 12;

/// How near a place is said to be.
const NEAR: f64 = 1e-6;

/// Halves the way from a place where `here` holds to one where it does not, to five digits: enough for people.
///
/// It changes `near` a place that is said; on either side of it `here` is asked once, and what is further off needs no
/// asking. A wrong place costs time and changes nothing.
fn bisect(mut inside: f64, mut outside: f64, near: f64, mut here: impl FnMut(f64) -> bool) -> f64 {
    let towards = (outside - inside).signum();
    // Distances from one to the other: up to where it is known to hold, and from where on not to.
    let start = inside;
    let (mut holds, mut ends) = (0.0, (outside - inside).abs());
    let mut ask = |place: f64, holds: &mut f64, ends: &mut f64| {
        let distance = towards * (place - start);
        if distance > *holds && distance < *ends {
            *if here(place) { &mut *holds } else { &mut *ends } = distance;
        }
        distance <= *holds
    };
    for place in [near - NEAR, near + NEAR] {
        ask(place, &mut holds, &mut ends);
    }
    while (outside - inside).abs() > 1e-5 {
        let middle = 0.5 * (inside + outside);
        if ask(middle, &mut holds, &mut ends) { inside = middle } else { outside = middle }
    }
    // The outer end, so that rounding never makes the interval too narrow.
    outside
}
