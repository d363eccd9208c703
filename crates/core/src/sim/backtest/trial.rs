//! One release of the pretended new version, from its first weight to its end.

use crate::analysis::{Asked, AutoPlan, Doubt, Judge, JudgePlan, Measured, MinuteSample, Samples, Verdict};
use crate::engine::CLOSED_AFTER;
use crate::spec::{Advance, Ending, RolloutSpec, Step};
use crate::units::{Minute, Span, Weight};

use super::Delay;
use super::split::Splitter;

/// When in its minute the controller looks.
const LOOKS_AT: Span = Span::from_seconds(20);

/// A version may go this long without data before a step that asks for no proof holds.
const SILENCE_MINUTES: i64 = 15;

/// Minutes without data of both versions with which a chosen weight may still rise.
const QUIET_MINUTES: i64 = 3;

/// How a release ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It got all traffic.
    Promoted,
    /// It was proven worse.
    RolledBack,
    /// Neither in time; the spec says what happens then.
    Undecided(Ending),
}

/// One release.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// Its first minute.
    pub start: Minute,
    pub end: End,
    /// From its first weight to its end, by the clock.
    pub minutes: u32,
    /// What the new version had until then: requests, by whichever check counts most of them.
    pub requests: f64,
}

/// A release as it goes. Times are minutes since its first weight.
struct Release<'a> {
    spec: &'a RolloutSpec,
    delay: Delay,
    judge: Judge<'a>,
    start: Minute,
    step: usize,
    since: i64,
    /// When the proof of this step was first seen on settled minutes.
    proof: Option<i64>,
    /// For each minute that was judged, whether it was one that proves the step it is of.
    passes: Vec<bool>,
    /// The newest minute with data of both versions.
    newest: Option<i64>,
    auto: Option<Chooser>,
}

/// With `auto` the one step's weight is chosen minute by minute.
struct Chooser {
    plan: AutoPlan,
    /// The weight now.
    weight: Weight,
    /// The brake was pulled at a high weight.
    dropped: bool,
    /// Minutes from one raise to the next.
    rest: i64,
}

/// What happens to a step at a look.
enum Next {
    Stay,
    Leave,
    GiveUp,
}

/// Runs it over the minutes of a recording, which are `minutes` by their number since the start.
pub(super) fn run<'m>(
    spec: &RolloutSpec,
    plan: &JudgePlan,
    delay: Delay,
    minutes: &dyn Fn(i64) -> (Minute, &'m [Option<Measured>]),
    mut splitter: Splitter,
) -> Trial {
    let (start, _) = minutes(0);
    let judge = Judge::new(plan, Asked::EveryStep);
    let auto = plan.auto.map(|auto| Chooser {
        plan: auto,
        weight: spec.target.settable(auto.first()),
        dropped: false,
        rest: i64::try_from(plan.minutes_between_raises()).unwrap_or(i64::MAX),
    });
    let mut release =
        Release { spec, delay, judge, start, step: 0, since: 0, proof: None, passes: Vec::new(), newest: None, auto };
    let (mut waiting, mut requests) = (Vec::new(), 0.0);
    let deadline = spec.deadline.minutes_ceil();
    for now in 0.. {
        let closed = closed_before(now);
        waiting.retain(|sample: &MinuteSample| {
            let is_closed = sample.minute.minutes_since(start) < closed;
            if is_closed {
                release.see(sample);
            }
            !is_closed
        });
        let ended = |end| Trial { start, end, minutes: u32::try_from(now).unwrap_or(u32::MAX), requests };
        if release.judge.failed_since().is_some() {
            return ended(End::RolledBack);
        }
        match release.next(now) {
            Next::GiveUp => return ended(release.undecided()),
            _ if now >= deadline => return ended(release.undecided()),
            Next::Leave if release.step + 1 >= spec.steps.len() => return ended(End::Promoted),
            Next::Leave => (release.step, release.since, release.proof) = (release.step + 1, now, None),
            Next::Stay => {}
        }
        let (minute, measured) = minutes(now);
        let weight = release.weight();
        let pairs = splitter.split(plan, measured, weight);
        requests += pairs.iter().filter_map(|pair| served(pair.canary.as_ref()?)).fold(0.0, f64::max);
        waiting.push(MinuteSample { minute, weight, pairs });
    }
    // No release is longer than its deadline.
    Trial { start, end: End::Undecided(Ending::Pause), minutes: u32::MAX, requests }
}

impl Release<'_> {
    fn weight(&self) -> Weight {
        if let Some(Chooser { weight, .. }) = self.auto {
            return weight;
        }
        let step = self.spec.steps.get(self.step);
        self.spec.target.settable(step.map_or(Weight::ZERO, |step| step.weight))
    }

    fn see(&mut self, sample: &MinuteSample) {
        self.judge.see(sample, true, true);
        let minute = sample.minute.minutes_since(self.start);
        // What the minutes before the raise proved is proven of the step before.
        self.passes.push(minute >= self.since && self.judge.passes(self.step));
        if sample.pairs.iter().any(|pair| pair.baseline.is_some() && pair.canary.is_some()) {
            self.newest = Some(minute);
        }
    }

    fn next(&mut self, now: i64) -> Next {
        let Some(step) = self.spec.steps.get(self.step) else { return Next::Leave };
        let spent = Span::from_minutes(u64::try_from(now - self.since).unwrap_or(0));
        if self.auto.is_some() {
            return self.choose(now);
        }
        let may_leave = match step.advance {
            Advance::OnProof => self.is_proven(now),
            Advance::UnlessHarm => spent >= step.bake && !self.holds(now),
        };
        if may_leave && spent >= step.bake {
            return Next::Leave;
        }
        if is_over(step, spent) && !may_leave { Next::GiveUp } else { Next::Stay }
    }

    /// As `engine::auto` does: up when what is proven allows, down when it does not, and at the largest weight the proof.
    fn choose(&mut self, now: i64) -> Next {
        let proven = self.is_proven(now);
        let (advice, missing) = (self.judge.advice(), self.is_missing(now));
        let analysis = self.judge.analysis(&self.samples());
        let (Some(auto), Some(advice)) = (&mut self.auto, advice) else { return Next::Stay };
        let largest = self.spec.target.settable(auto.plan.largest);
        if auto.weight >= largest && (proven || analysis.verdict == Verdict::Pass && !advice.brake) {
            return if proven { Next::Leave } else { Next::Stay };
        }
        let wanted = auto.plan.next(&advice, auto.weight, auto.dropped).map(|weight| self.spec.target.settable(weight));
        let Some(next) = wanted.filter(|next| *next != auto.weight) else { return Next::Stay };
        let blind = matches!(analysis.doubt, Some(Doubt::Blind | Doubt::SplitUnexpected));
        let rests = now - self.since < if next > auto.weight { auto.rest } else { 1 };
        if rests || next > auto.weight && (missing || blind) {
            return Next::Stay;
        }
        auto.dropped |= AutoPlan::is_drop(auto.weight, next);
        auto.weight = next;
        (self.since, self.proof) = (now, None);
        Next::Stay
    }

    /// Whether the newest of the minutes whose metrics must have come have none of both versions.
    fn is_missing(&self, now: i64) -> bool {
        self.newest.is_none_or(|newest| newest + QUIET_MINUTES < self.settled_before(now))
    }

    /// Whether settled minutes prove the step, and, where much more traffic follows, those that had passed when they first
    /// did, too.
    fn is_proven(&mut self, now: i64) -> bool {
        let before = self.settled_before(now);
        let newest = usize::try_from(before - 1).ok();
        let passes = before > self.since && newest.and_then(|newest| self.passes.get(newest)).copied().unwrap_or(false);
        if !passes {
            self.proof = None;
            return false;
        }
        let first = *self.proof.get_or_insert(now);
        !self.spec.settles(self.step) || before >= first
    }

    /// Without a proof, a step is left only where harm would show.
    fn holds(&self, now: i64) -> bool {
        let before = self.settled_before(now);
        let silent = before > 0 && self.newest.is_none_or(|newest| newest + SILENCE_MINUTES < before);
        let analysis = self.judge.analysis(&self.samples());
        silent || analysis.split.is_some() || analysis.comparisons.iter().any(|check| check.holds_for_harm())
    }

    fn undecided(&self) -> End {
        let undecided = self.spec.undecided;
        End::Undecided(match self.judge.analysis(&self.samples()).doubt {
            Some(Doubt::LooksWorse) => undecided.looks_worse,
            Some(Doubt::TooLittleTraffic | Doubt::StillBaking) | None => undecided.too_little_traffic,
            Some(Doubt::NoData | Doubt::Blind | Doubt::SplitUnexpected) => undecided.no_data,
        })
    }

    fn samples(&self) -> Samples {
        Samples { step_since: Some(self.start.plus(self.since)), step: self.step, ..Samples::default() }
    }

    fn settled_before(&self, now: i64) -> i64 {
        before(now, self.delay.lag.plus(self.delay.timeout))
    }
}

fn is_over(step: &Step, spent: Span) -> bool {
    step.at_most.is_some_and(|at_most| spent >= at_most)
}

fn closed_before(now: i64) -> i64 {
    before(now, CLOSED_AFTER)
}

/// The minutes before this one have ended for as long, at the look of a minute.
fn before(now: i64, delay: Span) -> i64 {
    let seconds = |span: Span| i64::try_from(span.seconds()).unwrap_or(i64::MAX);
    now.saturating_mul(60).saturating_add(seconds(LOOKS_AT)).saturating_sub(seconds(delay)).div_euclid(60)
}

fn served(measured: &Measured) -> Option<f64> {
    match measured {
        Measured::Count(count) => Some(count.requests),
        Measured::Bins(bins) => Some(bins.requests()),
        Measured::Level(_) => None,
    }
}
