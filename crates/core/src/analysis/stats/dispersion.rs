//! How much less than independent requests' evidence is worth, from a history's minute-to-minute scatter.
//!
//! The scatter is measured by second differences of the rates of three neighbouring blocks of minutes, in which a linear
//! drift cancels, against what independent requests would show; over blocks of 1, 5, 15 and 30 minutes, because noise
//! that lasts shows only in longer ones. Hours that scatter unlike all others are past incidents and set aside. Where
//! the traffic changes over the day, clusters can be told from noise: the scatter of noise grows with the traffic.

use serde::{Deserialize, Serialize};

use super::regression::{self, Group};

/// Events of prior observation, and their dispersion: with little history evidence is divided by 3.
const PRIOR_EVENTS: f64 = 10.0;
const PRIOR_DISPERSION: f64 = 3.0;
/// Minutes per block.
const SCALES: [usize; 4] = [1, 5, 15, 30];
/// The upper end at which evidence for harm is divided, in standard deviations.
pub const Z_HARM: f64 = 0.25;
/// A longer scale is used when it is larger by so many standard deviations.
const Z_SCALE: f64 = 2.0;
const GROUP_MINUTES: usize = 60;
/// No hour counts for more than so many median hours, from so many hours on.
const LARGEST_HOUR: f64 = 3.0;
const GROUPS: usize = 6;
/// Events at the scale of a minute before clusters are told from noise.
const EVENTS_TO_REGRESS: f64 = 200.0;
/// Hours of history before any is set aside, and one in how many at most.
const HOURS_TO_JUDGE: usize = 6;
const HOURS_PER_INCIDENT: usize = 8;
/// An hour is an incident when the excess dispersion with it is above this much times the excess without it, plus this.
const INCIDENT_RATIO: f64 = 1.5;
const INCIDENT_SLACK: f64 = 0.5;
/// Variance of the mean of overlapping Gaussian second differences, squared and scaled: 2 (1 + 2 (16 + 1) / 36).
const OVERLAP: f64 = 3.89;

/// More than any minute compares; keeps hostile numbers finite.
const MOST_CONTRAST: f64 = 1e15;

/// A model of the dispersion of one kind of event: 1 for independent requests, the mean size of what comes together
/// for clusters, more with the traffic for noise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dispersion {
    /// The estimate at the chosen scale, shrunk to its prior and not yet raised to 1.
    pub factor: f64,
    /// Standard deviation of its logarithm.
    pub spread: f64,
    /// Events per minute that the estimate refers to; requests per minute for thresholds and scores.
    pub events_per_minute: f64,
    /// Minutes per block of the chosen scale.
    pub scale_minutes: u32,
    /// Expected squares at the scale of a minute: how many events the history has for the purpose.
    pub weight: f64,
    /// Clusters told from noise by the daily curve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regression: Option<Regression>,
}

/// Dispersion as `clusters + noise * h` at `h` events per minute, with the estimates' covariance: of clusters, of both,
/// of noise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Regression {
    pub clusters: f64,
    pub noise: f64,
    pub covariance: [f64; 3],
}

/// One minute of the past, with its requests, and a score summed and summed in squares over them: events out of
/// requests have scores of 0 and 1. A minute without data has no requests.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PastMinute {
    pub requests: f64,
    pub sum: f64,
    pub squares: f64,
}

impl PastMinute {
    #[must_use]
    pub fn events(requests: f64, events: f64) -> Self {
        Self { requests, sum: events, squares: events }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares,
        }
    }

    /// Numbers that cannot be are no data.
    fn sane(self) -> Self {
        let sane = |value: f64| value.is_finite() && value >= 0.0;
        let all = sane(self.requests) && sane(self.sum) && sane(self.squares);
        if all && self.sum <= self.requests { self } else { Self::default() }
    }
}

/// What the traffic is counted in, to which dispersion is related.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// For events that are rare, like errors.
    Events,
    /// For requests above a threshold, and for ranks.
    Requests,
}

impl Dispersion {
    /// What is assumed of a history without any event.
    pub const UNKNOWN: Self = Self {
        factor: PRIOR_DISPERSION,
        spread: 0.0,
        events_per_minute: 0.0,
        scale_minutes: 1,
        weight: 0.0,
        regression: None,
    };

    /// From the past, minute by minute without gaps, oldest first; also the index of the first minute of each hour that
    /// was set aside as an incident, in rising order.
    #[must_use]
    pub fn learn(minutes: &[PastMinute], exposure: Exposure) -> (Self, Vec<usize>) {
        let mut minutes: Vec<PastMinute> = minutes.iter().map(|minute| minute.sane()).collect();
        let aside = set_incidents_aside(&mut minutes, exposure);
        let learned = estimate(&minutes, exposure);
        (if learned.is_finite() { learned } else { Self::UNKNOWN }, aside)
    }

    /// The dispersion of the contrast of two versions in one minute, never below 1: `h` is the exposure of the
    /// contrast (see `contrast.rs`), `z` how many standard deviations of doubt are added.
    #[must_use]
    pub fn of_contrast(&self, h: f64, z: f64) -> f64 {
        let h = if h.is_nan() { 0.0 } else { h.clamp(0.0, MOST_CONTRAST) };
        // All of it read as clusters: the safe reading at the same traffic, and noise where there is more.
        let conservative = 1.0 + (self.upper(z) - 1.0) * (h / self.events_per_minute.max(1.0)).max(1.0);
        let split = self.regression.map_or(f64::INFINITY, |regression| regression.upper(h, z));
        conservative.min(split).max(1.0)
    }

    /// Upper end of the estimate, never below 1.
    #[must_use]
    pub fn upper(&self, z: f64) -> f64 {
        (self.factor * (z * self.spread).exp()).max(1.0)
    }

    fn is_finite(&self) -> bool {
        let numbers = [self.factor, self.spread, self.events_per_minute, self.weight];
        numbers.into_iter().all(f64::is_finite)
    }
}

/// One second difference: the square that came, what independent requests would have brought, and the exposure.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Difference {
    pub square: f64,
    pub expected: f64,
    pub exposure: f64,
}

impl Difference {
    /// Of three neighbouring blocks; `None` unless all have requests.
    pub fn of([first, second, third]: [PastMinute; 3], exposure: Exposure) -> Option<Self> {
        if first.requests <= 0.0 || second.requests <= 0.0 || third.requests <= 0.0 {
            return None;
        }
        let effective = 6.0 / (1.0 / first.requests + 4.0 / second.requests + 1.0 / third.requests);
        let rate = |block: PastMinute| block.sum / block.requests;
        let difference = rate(first) - 2.0 * rate(second) + rate(third);
        let all = first.plus(second).plus(third);
        let mean = all.sum / all.requests;
        Some(Self {
            square: (effective * difference).powi(2) / 6.0,
            expected: (effective * (all.squares / all.requests - mean * mean)).max(0.0),
            exposure: match exposure {
                Exposure::Events => effective * mean,
                Exposure::Requests => effective,
            },
        })
    }
}

/// The second differences at one scale, oldest first; `None` where a block is not complete. With each the index of its
/// first minute.
fn differences(minutes: &[PastMinute], scale: usize, exposure: Exposure) -> Vec<(usize, Option<Difference>)> {
    let oldest = minutes.len() % scale;
    let blocks: Vec<PastMinute> = minutes[oldest..].chunks_exact(scale).map(block).collect();
    let difference = |(at, window): (usize, &[PastMinute])| match window {
        [first, second, third] => Some((oldest + at * scale, Difference::of([*first, *second, *third], exposure))),
        _ => None,
    };
    blocks.windows(3).enumerate().filter_map(difference).collect()
}

/// Without requests unless every minute has some.
fn block(minutes: &[PastMinute]) -> PastMinute {
    if minutes.iter().any(|minute| minute.requests <= 0.0) {
        return PastMinute::default();
    }
    minutes.iter().copied().fold(PastMinute::default(), PastMinute::plus)
}

/// Empties the hours that scatter unlike all others; the index of each one's first minute, in rising order. One incident
/// would otherwise make evidence worth little for a day.
fn set_incidents_aside(minutes: &mut [PastMinute], exposure: Exposure) -> Vec<usize> {
    let hours = Hours { minutes: minutes.len(), count: minutes.len() / GROUP_MINUTES };
    let mut aside = Vec::new();
    if hours.count < HOURS_TO_JUDGE {
        return aside;
    }
    for scale in [1, 15] {
        while aside.len() < hours.count / HOURS_PER_INCIDENT {
            let Some(hour) = incident(minutes, scale, exposure, hours) else { break };
            let range = hours.range(hour);
            aside.push(range.start);
            minutes[range].fill(PastMinute::default());
        }
    }
    aside.sort_unstable();
    aside
}

/// Whole hours counted back from the newest minute, 0 the newest; the oldest takes the remainder.
#[derive(Debug, Clone, Copy)]
struct Hours {
    minutes: usize,
    count: usize,
}

impl Hours {
    fn of(self, minute: usize) -> usize {
        ((self.minutes - 1 - minute) / GROUP_MINUTES).min(self.count - 1)
    }

    fn range(self, hour: usize) -> std::ops::Range<usize> {
        let end = self.minutes - hour * GROUP_MINUTES;
        let start = if hour + 1 == self.count { 0 } else { end - GROUP_MINUTES };
        start..end
    }
}

/// The hour without which the scatter is least, if it is much less.
fn incident(minutes: &[PastMinute], scale: usize, exposure: Exposure, hours: Hours) -> Option<usize> {
    let mut total = (0.0, 0.0);
    let mut touching = vec![(0.0, 0.0); hours.count];
    for (first, difference) in differences(minutes, scale, exposure) {
        let Some(Difference { square, expected, .. }) = difference else { continue };
        total = (total.0 + square, total.1 + expected);
        for touched in &mut touching[hours.of(first + 3 * scale - 1)..=hours.of(first)] {
            *touched = (touched.0 + square, touched.1 + expected);
        }
    }
    let factor = |(square, expected): (f64, f64)| shrunk(square.max(0.0), expected.max(0.0));
    let without = |touched: &(f64, f64)| factor((total.0 - touched.0, total.1 - touched.1));
    let (hour, least) = touching.iter().map(without).enumerate().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let tolerated = INCIDENT_RATIO * (least.max(1.0) - 1.0) + INCIDENT_SLACK;
    (factor(total) - 1.0 > tolerated).then_some(hour)
}

/// With the prior's events.
fn shrunk(square: f64, expected: f64) -> f64 {
    (square + PRIOR_EVENTS * PRIOR_DISPERSION) / (expected + PRIOR_EVENTS)
}

/// Variance of a mean square at dispersion `f`: what geometric clusters have, and what Gaussian differences have.
pub(super) fn variance(f: f64, expected: f64, differences: f64) -> f64 {
    (3.0 * f - 2.0 / f) / expected + OVERLAP / differences
}

/// The dispersion at one scale.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    minutes: usize,
    groups: Vec<Group>,
    pub factor: f64,
    pub spread: f64,
    pub exposure: f64,
    pub expected: f64,
}

impl Scale {
    pub fn of(past: &[PastMinute], minutes: usize, exposure: Exposure) -> Self {
        let differences = differences(past, minutes, exposure);
        let groups = grouped(&differences, minutes);
        let cap = largest_group(&groups);
        let (mut square, mut expected, mut count) = (0.0, 0.0, 0.0);
        for group in &groups {
            let share = if group.expected > cap { cap / group.expected } else { 1.0 };
            square += share * group.square;
            expected += share * group.expected;
            count += share * group.differences;
        }
        let exposures = || differences.iter().filter_map(|(_, difference)| Some((*difference)?.exposure));
        let sum: f64 = exposures().sum();
        let factor = shrunk(square, expected);
        Self {
            minutes,
            groups,
            factor,
            spread: spread(factor.max(1.0), expected, count),
            exposure: if sum > 0.0 { exposures().map(|m| m * m).sum::<f64>() / sum / as_f64(minutes) } else { 0.0 },
            expected,
        }
    }
}

/// Standard deviation of ln of the shrunk estimate.
fn spread(factor: f64, expected: f64, differences: f64) -> f64 {
    if expected <= 0.0 {
        return 0.0;
    }
    let data = expected / (expected + PRIOR_EVENTS);
    (data * data * variance(factor, expected, differences)).ln_1p().sqrt()
}

/// Sums over an hour's differences each, oldest first; the oldest group takes the remainder.
fn grouped(differences: &[(usize, Option<Difference>)], scale: usize) -> Vec<Group> {
    let size = (GROUP_MINUTES / scale).max(1);
    let groups = (differences.len() / size).max(1);
    let first = differences.len().saturating_sub((groups - 1) * size);
    let (oldest, rest) = differences.split_at(first);
    let sum = |part: &[(usize, Option<Difference>)]| {
        part.iter().filter_map(|(_, difference)| *difference).fold(Group::default(), Group::plus)
    };
    std::iter::once(oldest).chain(rest.chunks(size)).map(sum).collect()
}

/// What no group may exceed: from six groups on three times the median one.
fn largest_group(groups: &[Group]) -> f64 {
    let mut expected: Vec<f64> = groups.iter().map(|group| group.expected).filter(|w| *w > 0.0).collect();
    if groups.len() < GROUPS || expected.is_empty() {
        return f64::INFINITY;
    }
    expected.sort_by(f64::total_cmp);
    let (low, high) = (expected[(expected.len() - 1) / 2], expected[expected.len() / 2]);
    LARGEST_HOUR * 0.5 * (low + high)
}

fn estimate(minutes: &[PastMinute], exposure: Exposure) -> Dispersion {
    let finest = Scale::of(minutes, SCALES[0], exposure);
    let weight = finest.expected;
    let mut top = finest.factor.max(1.0) * (Z_HARM * finest.spread).exp();
    let mut chosen = finest;
    for scale in SCALES.into_iter().skip(1) {
        let scale = Scale::of(minutes, scale, exposure);
        let low = scale.factor.max(1.0) * (-Z_SCALE * scale.spread).exp();
        // Only where it is surely larger: it costs clean traffic nothing, and is what sees noise that lasts. Where gaps
        // leave hardly a complete block, what is larger is the prior.
        if low > top && scale.expected >= PRIOR_EVENTS {
            top = low;
            chosen = scale;
        }
    }
    let told_apart = weight >= EVENTS_TO_REGRESS && chosen.groups.len() >= GROUPS;
    let regression =
        told_apart.then(|| regression::fit(&chosen.groups, as_f64(chosen.minutes), chosen.factor.max(1.0))).flatten();
    Dispersion {
        factor: chosen.factor,
        spread: chosen.spread,
        events_per_minute: chosen.exposure,
        scale_minutes: u32::try_from(chosen.minutes).unwrap_or(u32::MAX),
        weight,
        regression,
    }
}

/// Minutes of a block, which are few.
#[allow(clippy::cast_precision_loss)]
fn as_f64(count: usize) -> f64 {
    count as f64
}
