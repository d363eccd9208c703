//! Requests to a target, made from a seeded model: who serves them, which fail, and what CloudWatch shows of it when.

mod one_by_one;
mod series;

pub use series::tell;

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::sync::Arc;

use super::durations::{ColdStarts, Durations, Latency, Pool};
use super::environments::{Running, Used};
use super::rng::Rng;
use super::world::{Datapoint, World};
use crate::spec::{MetricRef, Target, Version};
use crate::units::{Minute, Span, Timestamp};

/// What arrives, and how the versions deal with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    pub per_second: f64,
    /// The same from a time after the release on, in rising order.
    pub changes: Vec<(Span, f64)>,
    /// The day's rise and fall; `None` keeps the rate steady.
    pub daily: Option<Daily>,
    pub bursts: Option<Bursts>,
    /// A version that is not named here never fails.
    pub versions: BTreeMap<Version, Behaviour>,
    pub delivery: Delivery,
}

impl Traffic {
    /// Most requests a second, on average, at any time.
    #[must_use]
    pub fn peak(&self) -> f64 {
        let swing = self.daily.map_or(0.0, |daily| daily.swing);
        let burst = self.bursts.map_or(1.0, |bursts| bursts.factor.max(1.0));
        self.changes.iter().map(|(_, rate)| *rate).fold(self.per_second, f64::max) * (1.0 + swing) * burst
    }
}

/// A rate that follows the time of day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Daily {
    /// 0.5: half as much again at the peak, half as much at the bottom.
    pub swing: f64,
    /// Hour of the day (UTC) with the most traffic.
    pub peak_hour: f64,
}

/// Single minutes with more traffic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bursts {
    /// How likely a minute is one.
    pub chance: f64,
    pub factor: f64,
}

/// How a version deals with requests. What changes does so at a time after the release began, in rising order; before
/// the first such time no request fails, and all take as long as [`Latency::default`] says.
#[derive(Debug, Clone, PartialEq)]
pub struct Behaviour {
    /// Share of requests that fail.
    pub failing: Vec<(Span, f64)>,
    /// How many requests fail together, on average: 1 for independent ones.
    pub clusters: f64,
    pub latency: Vec<(Span, Latency)>,
    pub noise: Noise,
    pub cold_starts: Option<ColdStarts>,
    /// What the version counts by itself.
    pub own: Vec<OwnRate>,
}

/// Events out of requests, in two metrics of a version's own.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnRate {
    /// Of the check that reads it.
    pub name: String,
    pub events: MetricRef,
    pub requests: MetricRef,
    /// Share of the requests, each from a time after the release began; none before the first.
    pub shares: Vec<(Span, f64)>,
    /// No datapoint is sent where nothing happened.
    pub absent_is_zero: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        let (failing, latency) = (Vec::new(), Vec::new());
        Self { failing, clusters: 1.0, latency, noise: Noise::default(), cold_starts: None, own: Vec::new() }
    }
}

/// What moves a version from minute to minute, beside chance: standard deviations of logarithms.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Noise {
    pub failing: f64,
    pub latency: f64,
    /// How much of a minute's noise the next one has: 0.9 lasts for some ten minutes.
    pub memory: f64,
}

impl Behaviour {
    /// The same share from long before the release.
    #[must_use]
    pub fn steady(failing: f64) -> Self {
        Self { failing: vec![(Span::ZERO, failing)], ..Self::default() }
    }

    /// The same, with durations of its own from a time on.
    #[must_use]
    pub fn taking(mut self, from: Span, latency: Latency) -> Self {
        self.latency.push((from, latency));
        self
    }

    fn latency_at(&self, after: Span) -> Latency {
        self.latency
            .iter()
            .rev()
            .find(|(from, _)| *from <= after)
            .map_or_else(Latency::default, |(_, latency)| *latency)
    }

    fn failing_at(&self, after: Span) -> f64 {
        share_at(&self.failing, after)
    }
}

/// What holds so long after the release began.
fn share_at(shares: &[(Span, f64)], after: Span) -> f64 {
    shares.iter().rev().find(|(from, _)| *from <= after).map_or(0.0, |(_, share)| *share)
}

/// When CloudWatch shows a datapoint, counted from the end of what it tells about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    pub invocations: Span,
    pub errors: Span,
    /// Each invocation's duration, from its own end.
    pub durations: Span,
    /// Each part of each series comes up to this much later.
    pub jitter: Span,
    /// How many in 1 000 requests are told `late_by` after the others.
    pub late_per_mille: u32,
    pub late_by: Span,
    /// There are series of a version while it has all the traffic, not only while two share it.
    pub versions_alone: bool,
}

impl Default for Delivery {
    /// As peers have seen it: about a minute, now and then two, and stragglers.
    fn default() -> Self {
        Self {
            invocations: Span::from_seconds(45),
            errors: Span::from_seconds(45),
            durations: Span::from_seconds(45),
            jitter: Span::from_seconds(30),
            late_per_mille: 2,
            late_by: Span::from_seconds(60),
            versions_alone: true,
        }
    }
}

/// What became of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub requests: u64,
    /// All that failed, `unserved` ones among them.
    pub failed: u64,
    /// Routed to a version that does not exist or is not active: whoever set the weights is to blame.
    pub unserved: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.unserved += other.unserved;
    }
}

/// Requests under one set of weights, within one minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub from: Timestamp,
    pub until: Timestamp,
    /// By the version that got them.
    pub versions: BTreeMap<Version, Tally>,
    /// Where they are run one by one: what they needed.
    pub used: Used,
}

/// Makes the traffic of one target as time goes by.
#[derive(Debug)]
pub struct Generator<'a> {
    world: &'a World,
    target: Target,
    traffic: &'a Traffic,
    seed: u64,
    release: Timestamp,
    done: Timestamp,
    arrivals: Rng,
    routing: Rng,
    failures: Rng,
    delivery: Rng,
    durations: Rng,
    noise: Rng,
    own: Rng,
    /// Where CloudWatch shows what each version did.
    series: BTreeMap<Version, series::Of>,
    /// Which part of the clients each version has, where clients stay with their version.
    clients: BTreeMap<Version, f64>,
    /// What each version is in, from minute to minute.
    moods: BTreeMap<Version, Mood>,
    pools: BTreeMap<Version, Pool>,
    /// The environments, where requests are run one by one.
    running: Option<Running<'a>>,
    /// What has been served so far, in order.
    pub pieces: Vec<Piece>,
}

impl<'a> Generator<'a> {
    /// Traffic begins at `from`; the release at `release`, from which [`Behaviour::failing`] counts.
    #[must_use]
    pub fn new(
        world: &'a World,
        target: &Target,
        traffic: &'a Traffic,
        seed: u64,
        from: Timestamp,
        release: Timestamp,
    ) -> Self {
        Self {
            world,
            target: target.clone(),
            traffic,
            seed,
            release,
            done: from,
            arrivals: Rng::stream(seed, 1),
            routing: Rng::stream(seed, 2),
            failures: Rng::stream(seed, 3),
            delivery: Rng::stream(seed, 4),
            durations: Rng::stream(seed, 8),
            noise: Rng::stream(seed, 9),
            own: Rng::stream(seed, 10),
            series: BTreeMap::new(),
            clients: BTreeMap::new(),
            moods: BTreeMap::new(),
            pools: BTreeMap::new(),
            running: None,
            pieces: Vec::new(),
        }
    }

    /// What lies before the first minute, under the weights that are live now: all of it has arrived long ago, and
    /// nobody asks who got which request.
    pub fn run_past(&mut self, minutes: i64) {
        let until = self.done.minute().index();
        let mut told: BTreeMap<Version, Vec<(Minute, Told)>> = BTreeMap::new();
        for minute in (until - minutes..until).map(Minute::from_index) {
            for (version, mut served) in self.serve_piece(minute, minute.start(), Span::from_minutes(1)) {
                self.echo(minute, &mut served);
                if let Some(part) = self.told(&served, served.tally, minute.plus(1).start()) {
                    told.entry(version).or_default().push((minute, part));
                }
            }
        }
        let alone = told.len() <= 1;
        for (version, parts) in told {
            self.tell_own(&version, &parts);
            self.put(&version, &parts, alone);
        }
    }

    /// What a version counts by itself of the same requests.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn tell_own(&mut self, version: &Version, parts: &[(Minute, Told)]) {
        let Some(behaviour) = self.traffic.versions.get(version) else { return };
        for own in &behaviour.own {
            let (mut events, mut requests) = (Vec::new(), Vec::new());
            for (minute, told) in parts {
                let share = share_at(&own.shares, minute.start().since(self.release));
                // A count of requests, made from a whole number.
                let count = self.own.binomial(told.requests.sum as u64, share) as f64;
                requests.push((*minute, told.requests));
                if count > 0.0 || !own.absent_is_zero {
                    events.push((*minute, Datapoint { sum: count, ..told.failed }));
                }
            }
            self.world.put_datapoints(&own.events, events);
            self.world.put_datapoints(&own.requests, requests);
        }
    }

    /// Everything up to a moment, under the weights that are live now: call it before each change of them.
    pub fn run_until(&mut self, until: Timestamp) {
        while self.done < until {
            let minute = self.done.minute();
            let end = until.min(minute.plus(1).start());
            self.run_piece(minute, self.done, end);
            self.done = end;
        }
    }

    /// A piece of one minute.
    fn run_piece(&mut self, minute: Minute, from: Timestamp, until: Timestamp) {
        if self.running.is_some() {
            return self.run_piece_one_by_one(minute, from, until);
        }
        let served = self.serve_piece(minute, from, until.since(from));
        let alone = served.len() <= 1;
        let mut versions = BTreeMap::new();
        for (version, served) in served {
            self.tell(&version, minute, until, &served, alone);
            versions.insert(version, served.tally);
        }
        self.pieces.push(Piece { from, until, versions, used: Used::default() });
    }

    /// Who got what, and what became of it.
    #[allow(clippy::cast_precision_loss, reason = "seconds of a minute")]
    fn serve_piece(&mut self, minute: Minute, from: Timestamp, length: Span) -> Vec<(Version, Served)> {
        let shares = self.shares(length);
        let Some(((first, _), others)) = shares.split_first() else { return Vec::new() };
        let mean = self.rate(minute) * length.seconds() as f64;
        let (mut requests, mut left) = (self.arrivals.poisson(mean), 1.0);
        let mut asked = Vec::new();
        for (version, share) in others {
            let rerouted = self.routing.binomial(requests, (share / left).min(1.0));
            (requests, left) = (requests - rerouted, left - share);
            asked.push((version.clone(), rerouted));
        }
        asked.insert(0, (first.clone(), requests));
        asked.retain(|(_, requests)| *requests > 0);
        let mut all = Vec::new();
        for (version, requests) in asked {
            let served = self.serve(&version, requests, minute, from, length);
            all.push((version, served));
        }
        all
    }

    /// Who gets which share: as the weights say, but where clients are held fast only those who come back after long do.
    #[allow(clippy::cast_precision_loss, reason = "seconds of a minute")]
    fn shares(&mut self, length: Span) -> Vec<(Version, f64)> {
        let shares = self.world.shares(&self.target);
        let Some(holds) = self.world.sticky(&self.target) else {
            self.clients = shares.iter().cloned().collect();
            return shares;
        };
        let fresh = (length.seconds() as f64 / holds.seconds().max(1) as f64).min(1.0);
        self.clients.values_mut().for_each(|part| *part *= 1.0 - fresh);
        for (version, share) in shares {
            *self.clients.entry(version).or_default() += fresh * share;
        }
        self.clients.clone().into_iter().collect()
    }

    /// Requests a second in a minute.
    #[allow(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "minutes of a day, and bits of a seed")]
    fn rate(&self, minute: Minute) -> f64 {
        let hour = minute.index().rem_euclid(24 * 60) as f64 / 60.0;
        let daily =
            self.traffic.daily.map_or(1.0, |daily| 1.0 + daily.swing * (TAU * (hour - daily.peak_hour) / 24.0).cos());
        // From a stream of the minute's own, so that a minute that is made in pieces bursts as a whole.
        let burst = self.traffic.bursts.map_or(1.0, |bursts| {
            let mut of_minute = Rng::stream(self.seed, minute.index() as u64);
            if of_minute.chance(bursts.chance) { bursts.factor } else { 1.0 }
        });
        let after = (minute.plus(1).start() - Span::from_seconds(1)).since(self.release);
        let changed = self.traffic.changes.iter().rev().find(|(from, _)| *from <= after && after > Span::ZERO);
        let steady = changed.map_or(self.traffic.per_second, |(_, rate)| *rate);
        (steady * daily * burst).max(0.0)
    }

    fn serve(&mut self, version: &Version, requests: u64, minute: Minute, at: Timestamp, length: Span) -> Served {
        let behaviour = self.traffic.versions.get(version);
        let after = at.since(self.release);
        let latency = behaviour.map_or_else(Latency::default, |behaviour| behaviour.latency_at(after));
        if !self.world.can_serve(&self.target, version) {
            let tally = Tally { requests, failed: requests, unserved: requests };
            return Served { tally, failing: 1.0, latency, cold: None };
        }
        let Some(behaviour) = behaviour else {
            return Served { tally: Tally { requests, failed: 0, unserved: 0 }, failing: 0.0, latency, cold: None };
        };
        let mood = self.mood(version, behaviour.noise, minute);
        let failing = (behaviour.failing_at(after) * mood.failing.exp()).min(1.0);
        let latency = latency.times(mood.latency.exp());
        let failing = self.running.as_ref().map_or(failing, |running| running.failing(failing, latency));
        let failed = self.failed(requests, failing, behaviour.clusters);
        let cold = behaviour.cold_starts.map(|cold| {
            let pool = self.pools.entry(version.clone()).or_default();
            (pool.cold(cold, latency, requests, at, length), latency.times(cold.factor))
        });
        Served { tally: Tally { requests, failed, unserved: 0 }, failing, latency, cold }
    }

    /// Each cluster is as long as it happens to be, and hits one version.
    #[allow(clippy::cast_precision_loss, reason = "no minute has 2^53 requests")]
    fn failed(&mut self, requests: u64, failing: f64, clusters: f64) -> u64 {
        if clusters <= 1.0 {
            return self.failures.binomial(requests, failing);
        }
        let mut failed = 0;
        for _ in 0..self.failures.poisson(requests as f64 * failing / clusters) {
            failed += 1;
            while failed < requests && self.failures.chance(1.0 - 1.0 / clusters) {
                failed += 1;
            }
        }
        failed.min(requests)
    }

    /// The version's noise in this minute, the same for all pieces of it.
    fn mood(&mut self, version: &Version, noise: Noise, minute: Minute) -> Mood {
        if noise == Noise::default() {
            return Mood::default();
        }
        let last = self.moods.get(version).copied();
        if let Some(last) = last.filter(|last| last.minute == Some(minute)) {
            return last;
        }
        let fresh = (1.0 - noise.memory * noise.memory).max(0.0).sqrt();
        let mut next = |before: f64, deviation: f64| {
            let old = if last.is_some() { noise.memory * before } else { 0.0 };
            let fresh = if last.is_some() { fresh } else { 1.0 };
            old + fresh * deviation * self.noise.normal()
        };
        let before = last.unwrap_or_default();
        let mood = Mood {
            failing: next(before.failing, noise.failing),
            latency: next(before.latency, noise.latency),
            minute: Some(minute),
        };
        self.moods.insert(version.clone(), mood);
        mood
    }

    /// Publishes what the service would. A request that no version served has no series: nothing ran.
    fn tell(&mut self, version: &Version, minute: Minute, ended: Timestamp, served: &Served, alone: bool) {
        let tally = served.tally;
        let (failed, fine) = (tally.failed - tally.unserved, tally.requests - tally.failed);
        let late_share = f64::from(self.traffic.delivery.late_per_mille) / 1000.0;
        let late_failed = self.delivery.binomial(failed, late_share);
        let late_fine = self.delivery.binomial(fine, late_share);
        let late = Tally { requests: late_failed + late_fine, failed: late_failed, unserved: 0 };
        let in_time = Tally { requests: failed + fine - late.requests, failed: failed - late_failed, unserved: 0 };
        let late_by = self.traffic.delivery.late_by;
        let parts = [(in_time, ended), (late, ended + late_by)];
        let parts = parts.map(|(part, ended)| self.told(served, part, ended).map(|part| (minute, part)));
        let parts = parts.into_iter().flatten().collect::<Vec<_>>();
        self.tell_own(version, &parts);
        self.put(version, &parts, alone);
    }

    /// A part of what a version served, told of after `ended`.
    #[allow(clippy::cast_precision_loss, reason = "no minute has 2^53 requests")]
    fn told(&mut self, served: &Served, part: Tally, ended: Timestamp) -> Option<Told> {
        let ran = part.requests - part.unserved;
        if ran == 0 {
            return None;
        }
        let Delivery { invocations, errors, durations, jitter, .. } = self.traffic.delivery;
        let arrives = |lag: Span, chance: &mut Rng| {
            let jitter = Span::from_seconds(chance.below(jitter.seconds() + 1));
            ended + lag.plus(jitter)
        };
        let failed = part.failed - part.unserved;
        let refused = series::refused(&self.target, failed);
        let (answered, requests, failed, refused) = (ran - refused, ran as f64, failed as f64, refused as f64);
        let invoked = Datapoint { sum: requests, samples: requests, arrives: arrives(invocations, &mut self.delivery) };
        let erred = Datapoint { sum: failed, samples: requests, arrives: arrives(errors, &mut self.delivery) };
        let ends = arrives(durations, &mut self.durations);
        let cold = served.cold.map(|(cold, latency)| (cold.min(answered), latency));
        let warm = (answered - cold.map_or(0, |(cold, _)| cold), served.latency);
        let took = [Some(warm), cold].into_iter().flatten().filter(|(requests, _)| *requests > 0);
        let took = took
            .map(|(requests, latency)| Durations::new(latency, requests, self.durations.next_u64(), ends))
            .collect();
        Some(Told { requests: invoked, failed: erred, refused, took })
    }

    fn put(&mut self, version: &Version, parts: &[(Minute, Told)], alone: bool) {
        let target = &self.target;
        let of = self.series.entry(version.clone()).or_insert_with(|| series::Of::version(target, version));
        of.put(self.world, parts, alone && !self.traffic.delivery.versions_alone);
    }
}

/// What CloudWatch gets of a piece.
#[derive(Debug)]
struct Told {
    /// As many samples as requests, each of them 1.
    requests: Datapoint,
    /// As many samples as requests, each of them 0 or 1.
    failed: Datapoint,
    /// Of the failed ones so many met no open port: nothing answered, so nothing took any time.
    refused: f64,
    took: Vec<Arc<Durations>>,
}

/// What a version did in a piece of a minute.
#[derive(Debug, Clone, Copy)]
struct Served {
    tally: Tally,
    /// How likely each was to fail.
    failing: f64,
    latency: Latency,
    /// How many of the requests met a new environment, and how long those take.
    cold: Option<(u64, Latency)>,
}

/// A version's noise in a minute, as logarithms.
#[derive(Debug, Clone, Copy, Default)]
struct Mood {
    failing: f64,
    latency: f64,
    minute: Option<Minute>,
}

#[cfg(test)]
mod tests;
