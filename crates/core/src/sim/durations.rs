//! How long made-up requests take, and what CloudWatch makes of it: fine logarithmic bins, from which counts between
//! bounds, percentiles and averages are interpolated.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use statrs::function::erf::erfc;

use super::rng::Rng;
use crate::metrics::{Bound, Stat};
use crate::units::{Span, Timestamp};

/// Width of a bin: 4 %.
const STEP: f64 = 0.04;

/// Standard deviations beyond which there is no request in any simulation.
const FARTHEST: f64 = 6.0;

/// Log-normal durations, of which some take a slow path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    pub median_ms: f64,
    /// Standard deviation of the logarithm.
    pub sigma: f64,
    /// Share of requests that take this many times as long.
    pub slow_share: f64,
    pub slow_factor: f64,
}

impl Default for Latency {
    /// 80 ms in the middle, 330 ms at the p99.
    fn default() -> Self {
        Self { median_ms: 80.0, sigma: 0.6, slow_share: 0.0, slow_factor: 1.0 }
    }
}

impl Latency {
    /// With this median and this p99, which is not below it.
    #[must_use]
    pub fn of(median_ms: f64, p99_ms: f64) -> Self {
        Self { median_ms, sigma: (p99_ms / median_ms).ln() / NORMAL_P99, ..Self::default() }
    }

    /// How many times the median the p99 is, without the slow path.
    #[must_use]
    pub fn p99_factor(self) -> f64 {
        (self.sigma * NORMAL_P99).exp()
    }

    /// All requests take this many times as long.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { median_ms: self.median_ms * factor, ..self }
    }

    /// The p99 is this many times as high, the median the same.
    #[must_use]
    pub fn with_tail(self, factor: f64) -> Self {
        Self { sigma: self.sigma + factor.ln() / NORMAL_P99, ..self }
    }

    /// This share of the requests takes so many times as long.
    #[must_use]
    pub fn with_slow_path(self, share: f64, factor: f64) -> Self {
        Self { slow_share: share, slow_factor: factor, ..self }
    }

    /// One request's.
    pub fn draw(self, rng: &mut Rng) -> f64 {
        let slow = self.slow_share > 0.0 && rng.chance(self.slow_share);
        let factor = if slow { self.slow_factor } else { 1.0 };
        self.median_ms * factor * (self.sigma * rng.normal()).exp()
    }

    /// Share of the requests that take at most this long.
    pub(super) fn up_to(self, ms: f64) -> f64 {
        let normal = |median: f64| 0.5 * erfc(-(ms / median).ln() / (self.sigma.max(1e-3) * std::f64::consts::SQRT_2));
        let usual = normal(self.median_ms);
        if self.slow_share <= 0.0 {
            return usual;
        }
        (1.0 - self.slow_share) * usual + self.slow_share * normal(self.median_ms * self.slow_factor)
    }

    /// First and last bin with any request.
    #[allow(clippy::cast_possible_truncation, reason = "a few hundred")]
    fn bins(self) -> (i64, i64) {
        let spread = FARTHEST * self.sigma.max(1e-3);
        let slow = if self.slow_share > 0.0 { self.slow_factor.ln() } else { 0.0 };
        let middle = self.median_ms.max(1e-3).ln();
        let low = (middle + slow.min(0.0) - spread) / STEP;
        let high = (middle + slow.max(0.0) + spread) / STEP;
        (low.floor() as i64, high.ceil() as i64)
    }
}

/// z of the p99.
const NORMAL_P99: f64 = 2.326_347_874_040_841;

/// The durations of some requests of one minute.
#[derive(Debug)]
pub struct Durations {
    /// What they are drawn from when somebody first asks; `None` where each is known.
    from: Option<(Latency, u64, u64)>,
    /// When those that took no time are told of; each of the others as much later as it took. Where each is known, all of
    /// them have ended and are told of together.
    arrives: Timestamp,
    drawn: OnceLock<Drawn>,
}

/// Requests up to the upper end of each bin.
#[derive(Debug, Default)]
struct Drawn {
    first: i64,
    up_to: Vec<u64>,
}

impl Durations {
    #[must_use]
    pub fn new(latency: Latency, requests: u64, seed: u64, arrives: Timestamp) -> Arc<Self> {
        Arc::new(Self { from: Some((latency, requests, seed)), arrives, drawn: OnceLock::new() })
    }

    /// Of requests that have ended.
    #[must_use]
    pub fn measured(ms: impl Iterator<Item = f64>, arrives: Timestamp) -> Arc<Self> {
        Arc::new(Self { from: None, arrives, drawn: OnceLock::from(binned(ms)) })
    }

    fn drawn(&self) -> &Drawn {
        self.drawn.get_or_init(|| match self.from {
            Some((latency, requests, seed)) => draw(latency, requests, &mut Rng::new(seed)),
            None => Drawn::default(),
        })
    }

    /// Everything that was told by `now` and took at most `ms`.
    #[allow(clippy::cast_precision_loss, reason = "no minute has 2^53 requests")]
    fn up_to(&self, ms: f64, now: Timestamp) -> f64 {
        if self.arrives > now {
            return 0.0;
        }
        // What takes longer than this has not ended and been told of.
        let waits = self.from.is_some();
        let longest = if waits { now.since(self.arrives).seconds() as f64 * 1000.0 } else { f64::MAX };
        let drawn = self.drawn();
        let last = drawn.first + i64::try_from(drawn.up_to.len()).unwrap_or(0);
        let ms = if longest < upper(last) { ms.min(longest) } else { ms };
        if ms <= 0.0 {
            return 0.0;
        }
        drawn.at(ms.ln() / STEP)
    }

    fn told(&self, now: Timestamp) -> f64 {
        self.up_to(f64::MAX, now)
    }
}

impl Drawn {
    /// Requests up to a place between two bins' ends.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "places of some hundred bins")]
    fn at(&self, place: f64) -> f64 {
        let inside = place - self.first as f64;
        if inside <= 0.0 {
            return 0.0;
        }
        let bin = inside.floor();
        let whole = |index: f64| if index < 0.0 { Some(0) } else { self.up_to.get(index as usize).copied() };
        let all = self.up_to.last().copied().unwrap_or(0);
        let (below, up_to) = (whole(bin - 1.0).unwrap_or(all) as f64, whole(bin).unwrap_or(all) as f64);
        below + (up_to - below) * (inside - bin)
    }
}

#[allow(clippy::cast_precision_loss, reason = "places of some hundred bins")]
fn upper(bin: i64) -> f64 {
    (bin as f64 * STEP).exp()
}

/// One binomial after the other, each of what is left.
fn draw(latency: Latency, requests: u64, rng: &mut Rng) -> Drawn {
    let (first, last) = latency.bins();
    let (mut left, mut share_left, mut below, mut told) = (requests, 1.0, 0.0, 0);
    let mut up_to = Vec::new();
    for bin in first..=last {
        if left == 0 {
            break;
        }
        let share_up_to = if bin == last { 1.0 } else { latency.up_to(upper(bin + 1)) };
        let share = (share_up_to - below).max(0.0);
        let inside = if bin == last { left } else { rng.binomial(left, (share / share_left).min(1.0)) };
        (left, share_left, below, told) = (left - inside, (share_left - share).max(1e-300), share_up_to, told + inside);
        up_to.push(told);
    }
    Drawn { first, up_to }
}

/// Each in its bin.
#[allow(clippy::cast_possible_truncation, reason = "places of some hundred bins")]
fn binned(ms: impl Iterator<Item = f64>) -> Drawn {
    let mut bins: BTreeMap<i64, u64> = BTreeMap::new();
    for ms in ms {
        *bins.entry((ms.max(1e-3).ln() / STEP).floor() as i64).or_default() += 1;
    }
    let (Some(first), Some(last)) = (bins.keys().next().copied(), bins.keys().last().copied()) else {
        return Drawn::default();
    };
    let mut told = 0;
    let up_to = (first..=last).map(|bin| {
        told += bins.get(&bin).copied().unwrap_or(0);
        told
    });
    Drawn { first, up_to: up_to.collect() }
}

/// A statistic of what was told by `now` of one period; `None` when nothing was. The metric's unit is so many
/// milliseconds.
#[must_use]
pub fn statistic(stat: Stat, parts: &[Arc<Durations>], now: Timestamp, unit_ms: f64) -> Option<f64> {
    let up_to = |ms: f64| parts.iter().map(|part| part.up_to(ms, now)).sum::<f64>();
    let samples: f64 = parts.iter().map(|part| part.told(now)).sum();
    if samples <= 0.0 {
        return None;
    }
    Some(match stat {
        Stat::SampleCount => samples,
        Stat::Sum => sum(parts, now) / unit_ms,
        Stat::Average => sum(parts, now) / samples / unit_ms,
        Stat::Between(above, below) => {
            let at = |bound: Option<Bound>, open: f64| bound.map_or(open, |bound| up_to(bound.value() * unit_ms));
            (at(below, samples) - at(above, 0.0)).max(0.0)
        }
        Stat::Percentile(percent) => percentile(percent.value() / 100.0 * samples, &up_to) / unit_ms,
    })
}

/// The duration that `wanted` requests do not exceed.
fn percentile(wanted: f64, up_to: &dyn Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (1e-3_f64.ln(), 1e8_f64.ln());
    // A millionth of the value is as good as exact.
    while high - low > 1e-6 {
        let middle = 0.5 * (low + high);
        if up_to(middle.exp()) < wanted { low = middle } else { high = middle }
    }
    high.exp()
}

/// Each request as long as the middle of its bin.
#[allow(clippy::cast_precision_loss, reason = "places of some hundred bins")]
fn sum(parts: &[Arc<Durations>], now: Timestamp) -> f64 {
    let of_part = |part: &Arc<Durations>| {
        let drawn = part.drawn();
        let ends = (drawn.first..).take(drawn.up_to.len());
        let mut before = 0.0;
        let values = ends.map(|bin| {
            let up_to = part.up_to(upper(bin + 1), now);
            let inside = up_to - before;
            before = up_to;
            inside * ((bin as f64 + 0.5) * STEP).exp()
        });
        values.sum::<f64>()
    };
    parts.iter().map(of_part).sum()
}

/// Environments that have to start, and how much slower their first requests are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColdStarts {
    /// Requests that a new environment serves slowly.
    pub requests: u64,
    /// How many times as long each of them takes.
    pub factor: f64,
}

/// An environment that nobody used for so long is gone.
const IDLE: Span = Span::from_minutes(6);

/// A version's environments.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pool {
    warm: u64,
    last_used: Option<Timestamp>,
}

impl Pool {
    /// How many of the requests, which come within `length`, meet a new environment.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn cold(&mut self, cold: ColdStarts, latency: Latency, requests: u64, at: Timestamp, length: Span) -> u64 {
        if requests == 0 {
            return 0;
        }
        if self.last_used.is_none_or(|last| at.since(last) > IDLE) {
            self.warm = 0;
        }
        self.last_used = Some(at);
        let busy = requests as f64 * latency.median_ms / 1000.0 / (length.seconds().max(1) as f64);
        let needed = (busy + 3.0 * busy.sqrt()).ceil().max(1.0) as u64;
        let new = needed.saturating_sub(self.warm);
        self.warm = self.warm.max(needed);
        (new * cold.requests).min(requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Timestamp {
        "2026-11-21T14:00:00Z".parse().unwrap()
    }

    fn later(seconds: u64) -> Timestamp {
        at() + Span::from_seconds(seconds)
    }

    fn between(above: Option<f64>, up_to: Option<f64>) -> Stat {
        let bound = |value: Option<f64>| value.map(|value| Bound::new(value).unwrap());
        Stat::Between(bound(above), bound(up_to))
    }

    fn percentile(percent: f64) -> Stat {
        Stat::Percentile(Bound::new(percent).unwrap())
    }

    #[test]
    fn statistics_are_those_of_the_law() {
        let law = Latency::default();
        let parts = [Durations::new(law, 60_000, 1, at()), Durations::new(law, 40_000, 2, at())];
        let ask = |stat| statistic(stat, &parts, later(600), 1.0).unwrap();
        assert!((ask(Stat::SampleCount) - 100_000.0).abs() < 1e-6);
        for (percent, z) in [(5.0, -1.644_854), (50.0, 0.0), (90.0, 1.281_552), (99.0, NORMAL_P99)] {
            let expected = 80.0 * (0.6_f64 * z).exp();
            let found = ask(percentile(percent));
            assert!((found / expected - 1.0).abs() < 0.02, "p{percent}: {found}, expected {expected}");
            let above = ask(between(Some(found), None));
            assert!((above - (100.0 - percent) * 1000.0).abs() < 1.0, "p{percent}: {above} above");
        }
        let mean = 80.0 * (0.18_f64).exp();
        assert!((ask(Stat::Average) / mean - 1.0).abs() < 0.01, "{}", ask(Stat::Average));
        let edges = [20.0, 60.0, 80.0, 81.0, 300.0];
        let bounds = [None].into_iter().chain(edges.map(Some)).zip(edges.map(Some).into_iter().chain([None]));
        let bins: Vec<f64> = bounds.map(|(above, up_to)| ask(between(above, up_to))).collect();
        assert!((bins.iter().sum::<f64>() - 100_000.0).abs() < 1e-6, "{bins:?}");
    }

    #[test]
    fn a_slow_path_and_a_longer_tail_are_where_they_should_be() {
        let share_above = |law: Latency, ms: f64| {
            let parts = [Durations::new(law, 100_000, 3, at())];
            statistic(between(Some(ms), None), &parts, later(600), 1.0).unwrap() / 100_000.0
        };
        let p99 = 80.0 * (0.6 * NORMAL_P99).exp();
        assert!((share_above(Latency::default(), p99) - 0.01).abs() < 0.001);
        assert!((share_above(Latency::default().with_tail(2.0), 2.0 * p99) - 0.01).abs() < 0.001);
        let slow = Latency::default().with_slow_path(0.05, 40.0);
        assert!((share_above(slow, 800.0) - 0.05).abs() < 0.004);
    }

    #[test]
    fn a_request_is_told_of_when_it_has_ended() {
        let slow = Latency { median_ms: 30_000.0, sigma: 0.01, slow_share: 0.5, slow_factor: 0.01 };
        let parts = [Durations::new(slow, 1000, 4, at())];
        let samples = |seconds| statistic(Stat::SampleCount, &parts, later(seconds), 1.0);
        assert_eq!(statistic(Stat::SampleCount, &parts, at() - Span::from_seconds(1), 1.0), None, "not told yet");
        assert!((samples(5).unwrap() - 500.0).abs() < 80.0, "only the fast ones: {:?}", samples(5));
        assert_eq!(samples(60), Some(1000.0));
    }

    #[test]
    fn what_was_measured_is_told_together() {
        let law = Latency::default();
        let mut rng = Rng::new(5);
        let parts = [Durations::measured((0..100_000).map(|_| law.draw(&mut rng)), at())];
        let ask = |stat, seconds| statistic(stat, &parts, later(seconds), 1.0);
        assert_eq!(ask(Stat::SampleCount, 0), Some(100_000.0), "all of them, however long they took");
        for (percent, z) in [(50.0, 0.0), (99.0, NORMAL_P99)] {
            let (found, expected) = (ask(percentile(percent), 0).unwrap(), 80.0 * (0.6_f64 * z).exp());
            assert!((found / expected - 1.0).abs() < 0.02, "p{percent}: {found}, expected {expected}");
        }
        assert_eq!(statistic(Stat::SampleCount, &parts, at() - Span::from_seconds(1), 1.0), None, "not told yet");
        assert_eq!(statistic(Stat::Sum, &[Durations::measured(std::iter::empty(), at())], later(9), 1.0), None);
    }

    #[test]
    fn new_environments_are_slow_for_a_while() {
        let (cold, law) = (ColdStarts { requests: 3, factor: 5.0 }, Latency::default());
        let minute = Span::from_minutes(1);
        let mut pool = Pool::default();
        assert_eq!(pool.cold(cold, law, 1, at(), minute), 1, "no more than there are");
        assert_eq!(pool.cold(cold, law, 10, later(60), minute), 0, "warm");
        assert_eq!(pool.cold(cold, law, 10, later(60 + 361), minute), 3, "idle for too long");
        assert!(pool.cold(cold, law, 30_000, later(480), minute) > 100, "many at once");
    }
}
