//! A spec, tried on past traffic: one version's own requests are split by chance into a pretended old and new version, and
//! the judge goes through them minute by minute, with the weights that the controller would set.
//!
//! Both halves are the same version, so every rollback is a false one; and what is made worse in the pretended new one should
//! be rolled back. Nothing here moves traffic or asks anybody: the same recording, spec and seed give the same answer.

mod split;
mod tally;
mod traffic;
mod trial;

#[cfg(test)]
mod tests;

pub use split::Change;
pub use tally::{Interval, Tally, exact_interval};
pub use traffic::{Start, Traffic};
pub use trial::{End, Trial};

use crate::analysis::{History, JudgePlan, learn, plan, plan_auto};
use crate::metrics::past::{preceded, tells_little};
use crate::recording::Line;
use crate::spec::{CheckKind, RolloutSpec};
use crate::units::Span;

use super::rng::Rng;
use split::Splitter;
use traffic::LONGEST;

/// Streams of chance, so that what is made worse changes nothing about how the requests are split.
const SEEDS: u64 = 0x5345_4544;
const STARTS: u64 = 0x5354_4152;
const SPLITS: u64 = 0x5350_4C49;
const HARMS: u64 = 0x4841_524D;

/// A case keeps a place for each minute between its first and its last. All cases together keep no more than four of the
/// longest do, because many that have little in them could take all memory.
const MINUTES_MOST: i64 = 4 * LONGEST;

/// How late what is counted becomes known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delay {
    /// Of the metrics.
    pub lag: Span,
    /// The longest time one request may take.
    pub timeout: Span,
}

/// Why a spec cannot be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it has no step at which both versions have traffic, so there is nothing to compare")]
    NoSteps,
    #[error("no check has data of the old version, so there is no traffic to split")]
    NoTraffic,
    #[error(
        "its cases last longer than {} minutes in all, each from its first minute to its last, which is too much to be gone \
         through; try fewer of them at a time",
        MINUTES_MOST
    )]
    TooLong,
}

/// A spec and the traffic that it is tried on.
#[derive(Debug)]
pub struct Backtest {
    spec: RolloutSpec,
    delay: Delay,
    traffic: Vec<Traffic>,
    /// How many failures come together and go to one version: 1 for requests that fail by themselves.
    together: f64,
    /// Mixed, so that releases of neighbouring seeds are not the same ones in another order.
    seed: u64,
}

impl Backtest {
    /// `cases` are the recorded cases, of which the old version's minutes are taken.
    ///
    /// # Errors
    /// When there is nothing to compare, nothing to split, or too much to be kept.
    pub fn new<'l, C>(spec: &RolloutSpec, cases: C, delay: Delay, seed: u64) -> Result<Self, Refused>
    where
        C: IntoIterator<Item = &'l [Line]>,
    {
        if spec.steps.is_empty() {
            return Err(Refused::NoSteps);
        }
        let longest = spec.deadline.minutes_ceil();
        let (mut traffic, mut kept) = (Vec::new(), 0_i64);
        for of_case in cases.into_iter().filter_map(|lines| Traffic::of(plan(spec), lines, longest)) {
            let (_, length) = of_case.minutes();
            kept = kept.saturating_add(i64::try_from(length).unwrap_or(i64::MAX));
            if kept > MINUTES_MOST {
                return Err(Refused::TooLong);
            }
            traffic.push(of_case);
        }
        if traffic.is_empty() {
            return Err(Refused::NoTraffic);
        }
        let seed = Rng::stream(seed, SEEDS).next_u64();
        Ok(Self { spec: spec.clone(), delay, traffic, together: 1.0, seed })
    }

    /// The same where so many failures come together: all of them hit one version, as they do where an environment fails.
    #[must_use]
    pub fn with_failures_together(mut self, together: f64) -> Self {
        self.together = together.max(1.0);
        self
    }

    /// What it is tried on, one for each case that has something to split.
    #[must_use]
    pub fn traffic(&self) -> &[Traffic] {
        &self.traffic
    }

    /// One release at a time of the recording, once for each change: as often as there are changes, the same requests are
    /// split in the same way, and what is learned of the past is the same.
    #[must_use]
    pub fn tried(&self, number: u64, changes: &[Option<Change>]) -> Vec<Trial> {
        let Some((traffic, start)) = self.start(number) else { return Vec::new() };
        let plan = self.learned(traffic, start);
        let try_one = |change: &Option<Change>| {
            let splitter = Splitter {
                together: self.together,
                change: *change,
                chance: self.chance(number, SPLITS),
                harm: self.chance(number, HARMS),
            };
            trial::run(&self.spec, &plan, self.delay, &|minute| traffic.after(start, minute), splitter)
        };
        changes.iter().map(try_one).collect()
    }

    fn chance(&self, number: u64, purpose: u64) -> Rng {
        Rng::stream(self.seed.wrapping_add(number), purpose)
    }

    /// All times at which a release may begin are equally likely.
    fn start(&self, number: u64) -> Option<(&Traffic, Start)> {
        let mut rng = self.chance(number, STARTS);
        let all: u64 = self.traffic.iter().map(Traffic::starts).sum();
        let mut place = rng.below(all);
        self.traffic.iter().find_map(|traffic| {
            if place < traffic.starts() {
                return Some((traffic, traffic.start(place)));
            }
            place -= traffic.starts();
            None
        })
    }

    fn learned(&self, traffic: &Traffic, start: Start) -> JudgePlan {
        let mut plan = self.learned_of_past(traffic, start);
        let errors = self.spec.checks.iter().position(|check| matches!(check.kind, CheckKind::Errors { .. }));
        let load = errors.and_then(|errors| traffic.load_before(start, errors));
        // A budget that is too small for this traffic is refused by a start. Here it is seen what comes of it.
        let _ = plan_auto(&mut plan, &self.spec, load.as_ref(), self.delay.lag.plus(self.delay.timeout));
        plan
    }

    /// As before a rollout: a day, and more where that tells too little.
    fn learned_of_past(&self, traffic: &Traffic, start: Start) -> JudgePlan {
        let plan = traffic.plan();
        let day = History { minutes: traffic.day_before(start), stretched: vec![None; plan.checks.len()] };
        let places = tells_little(plan, &day);
        if places.is_empty() {
            return learn(plan, &day);
        }
        let earlier = traffic.earlier(start, &places);
        learn(plan, &preceded(day, History { minutes: earlier, stretched: Vec::new() }))
    }
}
