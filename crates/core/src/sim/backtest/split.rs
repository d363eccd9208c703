//! One version's minute, split by chance into two; and what may be made worse in one half of it.

use crate::analysis::{Bins, Count, JudgePlan, Level, Measured, Pair, PlannedCheck, rebinned, stretched};
use crate::units::Weight;

use super::super::rng::Rng;

/// What is worse about the pretended new version.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// Its events come so many times as often, when they come.
    Times { check: usize, times: f64 },
    /// So much more of its requests are events, as a share: 0.01 is one point.
    Points { check: usize, points: f64 },
    /// All its requests take so many times as long.
    Slower { check: usize, times: f64 },
}

/// Splits minutes, one after the other.
#[derive(Debug)]
pub(super) struct Splitter {
    /// Events that come together and go to one version.
    pub together: f64,
    pub change: Option<Change>,
    pub chance: Rng,
    pub harm: Rng,
}

impl Splitter {
    /// Both halves of a minute, one pair per check of the plan. A half without a request is missing, as it is in CloudWatch.
    pub fn split(&mut self, plan: &JudgePlan, minute: &[Option<Measured>], weight: Weight) -> Vec<Pair> {
        let checks = plan.checks.iter().enumerate();
        checks
            .map(|(place, check)| match minute.get(place).and_then(Option::as_ref) {
                Some(Measured::Count(count)) => self.counts(place, *count, weight.share()),
                Some(Measured::Bins(bins)) => self.bins(place, check, bins, weight.share()),
                // A level says nothing of single requests: both halves have the same one.
                Some(Measured::Level(level)) => both(*level),
                None => Pair::default(),
            })
            .collect()
    }

    fn counts(&mut self, place: usize, all: Count, share: f64) -> Pair {
        let events = self.grouped(all.events, share);
        let others = self.drawn(all.requests - all.events, share);
        let canary = Count { requests: events + others, events };
        let baseline = Count { requests: all.requests - canary.requests, events: all.events - events };
        let canary = self.harmed(place, all, canary, share);
        let there = |count: Count| Some(count).filter(|count| count.requests > 0.0);
        Pair::of(there(baseline), there(canary))
    }

    fn bins(&mut self, place: usize, check: &PlannedCheck, all: &Bins, share: f64) -> Pair {
        let Some(distribution) = &check.distribution else { return Pair::default() };
        let canary: Vec<f64> = all.counts.iter().map(|count| self.drawn(*count, share)).collect();
        let baseline: Vec<f64> = all.counts.iter().zip(&canary).map(|(all, canary)| all - canary).collect();
        let times = match self.change {
            Some(Change::Slower { check, times }) if check == place => times,
            Some(Change::Slower { .. } | Change::Times { .. } | Change::Points { .. }) | None => 1.0,
        };
        let took: Vec<f64> = distribution.edges.iter().map(|edge| edge * times).collect();
        let counted = rebinned(&canary, &took, &stretched(&distribution.edges, distribution.stretch));
        let there = |counts: Vec<f64>| Bins::new(counts).filter(|bins| bins.requests() > 0.0).map(Measured::Bins);
        Pair { baseline: there(baseline), canary: counted.and_then(there) }
    }

    /// What happens more often happens when it happens anyway: what comes in clusters does so more often, too.
    fn harmed(&mut self, place: usize, all: Count, canary: Count, share: f64) -> Count {
        let healthy = canary.requests - canary.events;
        let more = match self.change {
            Some(Change::Times { check, times }) if check == place && times > 1.0 => {
                let whole = (times - 1.0).floor();
                let copies = std::iter::successors(Some(0.0), |copy| Some(copy + 1.0)).take_while(|copy| *copy < whole);
                let all_of_it: f64 = copies.map(|_| drawn(&mut self.harm, all.events, share)).sum();
                all_of_it + drawn(&mut self.harm, all.events, share * (times - 1.0 - whole))
            }
            Some(Change::Points { check, points }) if check == place => drawn(&mut self.harm, healthy, points),
            Some(Change::Times { .. } | Change::Points { .. } | Change::Slower { .. }) | None => 0.0,
        };
        Count { events: canary.events + more.min(healthy), ..canary }
    }

    fn grouped(&mut self, events: f64, share: f64) -> f64 {
        if self.together <= 1.0 {
            return self.drawn(events, share);
        }
        let groups = (events / self.together).floor();
        let rest = events - groups * self.together;
        let rest = if rest > 0.0 && self.chance.chance(share) { rest } else { 0.0 };
        drawn(&mut self.chance, groups, share) * self.together + rest
    }

    fn drawn(&mut self, count: f64, share: f64) -> f64 {
        drawn(&mut self.chance, count, share)
    }
}

/// How many of so many, each with the same probability. What was interpolated is not a whole number: the part beyond it is
/// one request that may be there or not, and never more than there is.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "requests of a minute, which are not negative and far below 2^52"
)]
fn drawn(rng: &mut Rng, count: f64, share: f64) -> f64 {
    let whole = count.max(0.0).floor();
    let part = count.max(0.0) - whole;
    let of_part = if part > 0.0 && rng.chance(share) { part } else { 0.0 };
    rng.binomial(whole as u64, share) as f64 + of_part
}

fn both(level: Level) -> Pair {
    Pair { baseline: Some(Measured::Level(level)), canary: Some(Measured::Level(level)) }
}
