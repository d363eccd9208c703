//! Do both versions get worse together? Then something else does it to them, or something that they share, and the
//! comparison holds nothing of it against the new version. What is said here decides nothing.

use std::collections::VecDeque;

use super::course::harm::MINUTES_OF_HISTORY;
use super::stats::Dispersion;
use super::{Count, Measure, Pair, PlannedCheck, percent};

/// How many times as often as before, and by how much more, both versions' events must come: what a person would call an
/// incident.
const TIMES: f64 = 2.0;
const POINTS: f64 = 0.002;

/// Events of each version without which it is not said.
const EVENTS: f64 = 5.0;

/// How unlikely it must be by the rate before: a thousand to one, for independent events.
const EVIDENCE: f64 = 6.9;

/// The newest minutes are looked at by themselves: an incident that began late is little of the whole rollout. And so
/// many of the first ones are what was before, where the old version has no history.
const MINUTES: usize = 10;

/// Both versions' counts of one check, as far as it takes to tell an incident.
#[derive(Debug, Default)]
pub(super) struct Together {
    all: Both,
    /// The first minutes, and how many.
    first: Both,
    began: usize,
    /// The newest ones that are none of the first.
    newest: VecDeque<Both>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Both {
    baseline: Count,
    canary: Count,
}

impl Both {
    fn add(&mut self, other: Self) {
        for (sum, count) in [(&mut self.baseline, other.baseline), (&mut self.canary, other.canary)] {
            sum.requests += count.requests;
            sum.events += count.events;
        }
    }

    fn rate(&self) -> f64 {
        (self.baseline.events + self.canary.events) / (self.baseline.requests + self.canary.requests)
    }
}

/// What was before: the old version alone.
#[derive(Debug, Clone, Copy)]
struct Before {
    count: Count,
    dispersion: f64,
    when: &'static str,
}

impl Together {
    /// Takes one minute in; only minutes with data of both versions tell anything.
    pub fn see(&mut self, pair: &Pair) {
        let (Some(baseline), Some(canary)) = pair.counts() else { return };
        let minute = Both { baseline, canary };
        self.all.add(minute);
        if self.began < MINUTES {
            self.began += 1;
            self.first.add(minute);
            return;
        }
        if self.newest.len() >= MINUTES {
            self.newest.pop_front();
        }
        self.newest.push_back(minute);
    }

    /// A clause for a check's sentence, where both versions have their events clearly more often than the old version had
    /// before.
    pub fn worse(&self, check: &PlannedCheck) -> Option<String> {
        if check.measure != Measure::Counts {
            return None;
        }
        let mut newest = Both::default();
        self.newest.iter().for_each(|minute| newest.add(*minute));
        let before = self.before(check);
        let recently = match self.newest.len() {
            1 => " in the last minute".to_owned(),
            minutes => format!(" in the last {minutes} minutes"),
        };
        let whole = if before.when == SINCE { None } else { Some((self.all, String::new())) };
        let (now, lately) =
            whole.into_iter().chain([(newest, recently)]).find(|(now, _)| now.are_both_worse(&before))?;
        let happen = if check.name == "errors" { "fail" } else { "are bad" };
        Some(format!(
            "; both versions {happen} more often than {}{lately} ({} against {}): an outside incident or something both \
             share, not held against the new version",
            before.when,
            percent(now.rate()),
            percent(before.count.events / before.count.requests),
        ))
    }

    fn before(&self, check: &PlannedCheck) -> Before {
        let learned = check.learned.as_ref().filter(|learned| learned.minutes >= MINUTES_OF_HISTORY);
        match learned.and_then(|learned| learned.events) {
            Some(past) => Before {
                count: Count { requests: past.requests, events: past.events },
                dispersion: past.dispersion.factor,
                when: "before the rollout",
            },
            None => Before { count: self.first.baseline, dispersion: Dispersion::UNKNOWN.factor, when: SINCE },
        }
    }
}

const SINCE: &str = "in the rollout's first minutes";

impl Both {
    fn are_both_worse(&self, before: &Before) -> bool {
        [self.baseline, self.canary].into_iter().all(|now| is_worse(now, before))
    }
}

/// By the Poisson likelihood ratio, divided by how much events scatter.
fn is_worse(now: Count, before: &Before) -> bool {
    let Before { count: past, dispersion, .. } = *before;
    if now.requests <= 0.0 || past.requests <= 0.0 || now.events < EVENTS {
        return false;
    }
    let rate = now.events / now.requests;
    // Half an event more than there were: a history without any does not make the first one impossible.
    let expected = now.requests * (past.events + 0.5) / past.requests;
    let evidence = now.events * (now.events / expected).ln() - (now.events - expected);
    let clearly = rate >= TIMES * past.events / past.requests && rate >= past.events / past.requests + POINTS;
    clearly && evidence >= EVIDENCE * dispersion.max(1.0)
}
