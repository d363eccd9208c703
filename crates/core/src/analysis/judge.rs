//! Verdicts from evidence.

use std::borrow::Cow;

use crate::spec::{CheckMode, OnNoData};
use crate::units::{Minute, Weight};

use super::aftermath::Aftermath;
use super::auto::{BRAKE, is_budgeted};
use super::bars::{Bars, MINUTES_TO_MISS, MINUTES_TO_PASS, Outcome, Reason};
use super::course::{Asked, Course, LevelCourse, Look, Reading, tolerance};
use super::digest::settled_digest;
use super::outside::Together;
use super::split::SplitWatch;
use super::{
    Advice, Analysis, Comparison, Doubt, Evidence, JudgePlan, MinuteSample, Pair, PlannedCheck, Samples, Verdict, words,
};

/// Evidence for harm, as a factor, from which a canary that is not proven worse *looks* worse. Three times as likely
/// as not: chance alone brings a harmless release there in at most one of three rollouts, which is fit for a word and
/// for `undecided: looksWorse`, but for nothing else.
const SUSPICION: f64 = 3.0;

/// Judges the whole window afresh.
///
/// * **Fail**: an enforced check has, at *any* minute of the window, proven harm. What was proven once stays proven,
///   and because the evidence may be looked at as often as one likes, a harmless release fails with probability at
///   most [`JudgePlan::false_rollback`] over its whole life.
///   At 100 % ([`Samples::alone_since`]) it is catastrophes that are looked for, before against after.
/// * **Pass**: every enforced or holding check has proven, on settled minutes, that the canary is not worse than its
///   tolerance for this step. A plan in which nothing can prove anything never passes.
/// * **Inconclusive**: everything else, with a [`Doubt`]. A canary *looks worse* when it has had more events than the
///   tolerance allows, counted minute by minute, or when the evidence for harm is above a threshold of suspicion.
///
/// While no step is baking ([`Samples::step_since`] is `None`) nothing passes.
pub fn judge(plan: &JudgePlan, samples: &Samples) -> Analysis {
    having_seen(plan, samples, samples.settled_before).analysis(samples)
}

fn having_seen<'p>(plan: &'p JudgePlan, samples: &Samples, settled_before: Option<Minute>) -> Judge<'p> {
    let mut judge = Judge::new(plan, Asked::Step(samples.step));
    for sample in &samples.minutes {
        let in_step = samples.step_since.is_none_or(|since| sample.minute >= since);
        judge.known_of_next(samples, sample.minute);
        judge.see(sample, in_step, settled_before.is_some_and(|before| sample.minute < before));
    }
    judge
}

/// Up to where a Pass is in sight that is not there yet: it wants nothing but the minute that settles next, as it is
/// now. A late datapoint may still change it. At 100 % it is in sight where the minutes before, once they are settled,
/// are one: the last step is proven then, if late.
#[must_use]
pub fn passes_before(plan: &JudgePlan, samples: &Samples, now: &Analysis) -> Option<Minute> {
    if let Some(alone) = samples.alone_since {
        return passed_before(plan, samples, alone).then_some(alone).filter(|_| now.verdict != Verdict::Fail);
    }
    let next = samples.settled_before?;
    let waits = match now.doubt? {
        Doubt::TooLittleTraffic | Doubt::StillBaking | Doubt::LooksWorse => samples.step_since.is_some(),
        Doubt::NoData | Doubt::Blind | Doubt::SplitUnexpected => false,
    };
    if !waits || !samples.minutes.iter().any(|sample| sample.minute == next) {
        return None;
    }
    let settled_before = next.plus(1);
    having_seen(plan, samples, Some(settled_before)).passes(samples.step).then_some(settled_before)
}

/// What the minutes prove in which both versions had traffic.
fn passed_before(plan: &JudgePlan, samples: &Samples, alone: Minute) -> bool {
    let mut judge = Judge::new(plan, Asked::Step(samples.step));
    let both = |sample: &&MinuteSample| sample.minute < alone && sample.weight < Weight::FULL;
    for sample in samples.minutes.iter().filter(both) {
        judge.known_of_next(samples, sample.minute);
        judge.see(sample, true, true);
    }
    judge.passes(samples.step)
}

/// The judge as it sees one minute after the other.
#[derive(Debug)]
pub struct Judge<'p> {
    plan: Cow<'p, JudgePlan>,
    /// One per check; `None` for those that are not judged.
    courses: Vec<Option<Course>>,
    /// One per check; `None` for those that are no levels.
    levels: Vec<Option<LevelCourse>>,
    /// One per check.
    together: Vec<Together>,
    split: SplitWatch,
    /// The weight of the minute that is seen next is not known.
    moving: bool,
    /// The minute that is seen next is mostly at the weight before.
    mixed: bool,
    last: Option<(Minute, Weight)>,
}

impl<'p> Judge<'p> {
    #[must_use]
    pub fn new(plan: &'p JudgePlan, asked: Asked) -> Self {
        Self::of(Cow::Borrowed(plan), asked)
    }

    /// A judge that keeps its plan.
    #[must_use]
    pub fn owning(plan: JudgePlan, asked: Asked) -> Judge<'static> {
        Judge::of(Cow::Owned(plan), asked)
    }

    fn of(plan: Cow<'p, JudgePlan>, asked: Asked) -> Self {
        let courses = plan.checks.iter().map(|check| Course::new(&plan, check, asked)).collect();
        let levels = plan.checks.iter().map(|check| LevelCourse::new(&plan, check)).collect();
        let together = plan.checks.iter().map(|_| Together::default()).collect();
        let split = SplitWatch::new(&plan);
        Self { plan, courses, levels, together, split, moving: false, mixed: false, last: None }
    }

    /// Takes one minute in. Evidence counts each minute once, whatever the caller hands in: a minute that is not newer
    /// than the last one is left out.
    pub fn see(&mut self, sample: &MinuteSample, in_step: bool, settled: bool) {
        if self.last.is_some_and(|(last, _)| sample.minute <= last) {
            return;
        }
        let before = self.last.map_or(Weight::ZERO, |(_, weight)| weight);
        self.last = Some((sample.minute, sample.weight));
        let raised = sample.weight > before;
        let look = Look { minute: sample.minute, weight: sample.weight, raised, mixed: self.mixed, in_step, settled };
        self.split.see(sample, self.moving);
        for (index, (course, level)) in self.courses.iter_mut().zip(&mut self.levels).enumerate() {
            let pair = sample.pairs.get(index).unwrap_or(&Pair::NOTHING);
            if let Some(course) = course {
                course.see(look, pair);
            }
            if let Some(level) = level {
                level.see(look, pair);
            }
            self.together[index].see(pair);
        }
    }

    /// What is known of the weight of the minute that is seen next.
    pub(super) fn known_of_next(&mut self, samples: &Samples, minute: Minute) {
        self.moving = samples.moving.iter().any(|(from, until)| (*from..=*until).contains(&minute));
        self.mixed = samples.mixed.contains(&minute);
    }

    /// The weight of the minute that is seen next is told by its requests: whether they are split as it says cannot be
    /// asked.
    pub(super) fn weight_is_told(&mut self, told: bool) {
        self.moving = told;
    }

    /// First minute at which an enforced check had proven harm.
    #[must_use]
    pub fn failed_since(&self) -> Option<Minute> {
        let enforced = self.plan.checks.iter().zip(&self.courses).filter(|(check, _)| check.mode == CheckMode::Enforce);
        enforced.filter_map(|(_, course)| course.as_ref()?.proven_worse()).min()
    }

    /// Whether all checks that count have proven, now, that a step's tolerance is kept.
    #[must_use]
    pub fn passes(&self, step: usize) -> bool {
        let mut counting = self.plan.checks.iter().zip(&self.courses).filter(|(check, course)| {
            let ignored = || {
                check.on_no_data == OnNoData::Ignore && course.as_ref().is_some_and(|c| c.promotion(step).1.seen == 0)
            };
            check.mode != CheckMode::Observe && course.is_some() && !ignored()
        });
        let proven = |course: &Course| {
            let (evidence, minutes) = course.promotion(step);
            course.proven_worse().is_none() && evidence >= course.bars().promotion && minutes.settled >= MINUTES_TO_PASS
        };
        let mut any = false;
        let proven = counting.all(|(_, course)| {
            any = true;
            course.as_ref().is_some_and(proven)
        });
        proven && any && !self.split.is_unexpected() && !self.levels_hold()
    }

    /// Whether a gauge that counts looks worse, or has no data.
    fn levels_hold(&self) -> bool {
        self.plan
            .checks
            .iter()
            .zip(&self.levels)
            .any(|(check, level)| level.as_ref().and_then(level_doubt).is_some_and(|doubt| counts(check, Some(doubt))))
    }

    /// The verdicts as of now. Of the samples it needs all but the minutes, except at 100 %, where it looks back at them.
    pub fn analysis(&self, samples: &Samples) -> Analysis {
        let judged: Vec<(Comparison, bool)> =
            (0..self.plan.checks.len()).map(|index| self.compare(index, samples)).collect();
        let counting = || judged.iter().filter(|(_, counts)| *counts).map(|(comparison, _)| comparison);
        let verdict = counting().map(|comparison| comparison.verdict).max().unwrap_or(Verdict::Inconclusive);
        let gravest = counting().filter_map(|comparison| comparison.doubt).max();
        let doubt = (verdict == Verdict::Inconclusive).then(|| gravest.unwrap_or(Doubt::NoData));
        // Harm is proven from the requests that came, whatever the weights say.
        let split = self.split.found();
        let (verdict, doubt) = match &split {
            Some(_) if verdict != Verdict::Fail => (Verdict::Inconclusive, doubt.max(Some(Doubt::SplitUnexpected))),
            Some(_) | None => (verdict, doubt),
        };
        let newest = judged.iter().filter_map(|(comparison, _)| comparison.newest).max();
        let comparisons = judged.into_iter().map(|(comparison, _)| comparison).collect();
        // Without a settled minute nothing passes, and any number names the empty set.
        let settled_digest = samples.settled_before.map_or(0, |before| settled_digest(&self.plan, samples, before));
        Analysis { comparisons, verdict, doubt, split, newest, settled_digest, auto: self.advice() }
    }

    /// The weight that is affordable now; `None` unless the plan lets the judge choose. A check that does not count has no
    /// say.
    #[must_use]
    pub fn advice(&self) -> Option<Advice> {
        let auto = self.plan.auto?;
        let counting = || {
            let pairs = self.plan.checks.iter().zip(&self.courses);
            pairs
                .filter(|(check, _)| check.mode != CheckMode::Observe)
                .filter_map(|(c, course)| Some((c, course.as_ref()?)))
        };
        let risk = |(_, course): (&PlannedCheck, &Course)| course.risk();
        let budgeted = counting().find(|(check, _)| is_budgeted(check)).and_then(risk)?;
        let others: Vec<_> = counting().filter(|(check, _)| !is_budgeted(check)).filter_map(risk).collect();
        let brake = counting().any(|(_, course)| course.harm_now() >= BRAKE.ln());
        Some(auto.advice(&budgeted, &others, brake))
    }

    /// One check; the last value says whether it counts for the overall verdict.
    fn compare(&self, index: usize, samples: &Samples) -> (Comparison, bool) {
        let check = &self.plan.checks[index];
        if let Some(level) = &self.levels[index] {
            return self.compare_level(check, level, samples);
        }
        let Some(course) = &self.courses[index] else { return (not_judged(check, samples.step), false) };
        let reading = course.reading(samples.step, self.plan.false_rollback);
        let bars = course.bars();
        let after = Aftermath::take(&self.plan, index, samples, bars);
        let outcome = outcome(check, samples, &reading, bars, after.as_ref());
        let counts = counts(check, outcome.doubt);
        let mut comparison = comparison(&self.plan, check, samples, &reading, bars, &outcome);
        if let Some(after) = after.filter(|_| outcome.why != Reason::ProvenWorse) {
            comparison.sentence = words::after_sentence(&check.name, &after);
            comparison.evidence.catastrophe = after.evidence;
        } else if outcome.why != Reason::ProvenWorse {
            comparison.sentence.extend(self.together[index].worse(check));
        }
        (comparison, counts)
    }
}

impl Judge<'_> {
    /// A gauge counts while there is something to hold for: it proves nothing, so without that it is not asked.
    fn compare_level(&self, check: &PlannedCheck, level: &LevelCourse, samples: &Samples) -> (Comparison, bool) {
        let doubt = level_doubt(level);
        let counts = doubt.is_some() && counts(check, doubt);
        let (harm, harm_threshold) = level.evidence();
        let (canary, baseline) = level.readings();
        let mut comparison = Comparison {
            doubt,
            canary,
            baseline,
            newest: level.newest.both,
            level: level.compared(self.plan.false_rollback),
            evidence: Evidence { harm, harm_threshold, ..Evidence::default() },
            ..not_judged(check, samples.step)
        };
        comparison.sentence =
            words::level_sentence(&comparison, check.measure, &level.newest, samples, self.plan.false_rollback);
        (comparison, counts)
    }
}

/// Whether a check counts for the overall verdict.
fn counts(check: &PlannedCheck, doubt: Option<Doubt>) -> bool {
    let ignored = check.on_no_data == OnNoData::Ignore && doubt == Some(Doubt::NoData);
    check.mode != CheckMode::Observe && !ignored
}

/// A mean is in nobody's way.
fn level_doubt(level: &LevelCourse) -> Option<Doubt> {
    if level.looks_worse() {
        Some(Doubt::LooksWorse)
    } else {
        (level.is_gauge() && level.step.seen == 0).then_some(Doubt::NoData)
    }
}

fn outcome(
    check: &PlannedCheck,
    samples: &Samples,
    reading: &Reading,
    bars: &Bars,
    after: Option<&Aftermath>,
) -> Outcome {
    if reading.harm.proven.is_some() {
        return match check.mode {
            CheckMode::Enforce | CheckMode::Observe => Outcome::fail(Reason::ProvenWorse),
            CheckMode::Hold => Outcome::doubt(Doubt::LooksWorse, Reason::ProvenWorse),
        };
    }
    if let Some(after) = after {
        return match check.mode {
            CheckMode::Enforce | CheckMode::Observe if after.proven => Outcome::fail(Reason::After),
            CheckMode::Hold if after.proven => Outcome::doubt(Doubt::LooksWorse, Reason::After),
            CheckMode::Enforce | CheckMode::Observe | CheckMode::Hold => {
                Outcome::doubt(doubt_before(reading), Reason::After)
            }
        };
    }
    if reading.step.seen == 0 {
        // What could not be read is not known to be missing.
        let looked = samples.unread.is_empty();
        let failing = looked && check.on_no_data == OnNoData::Fail && check.mode == CheckMode::Enforce;
        return if failing && reading.step.unseen >= MINUTES_TO_MISS {
            Outcome { doubt: Some(Doubt::NoData), ..Outcome::fail(Reason::NoData) }
        } else {
            Outcome::doubt(Doubt::NoData, Reason::NoData)
        };
    }
    let proven = reading.promotion >= bars.promotion;
    let seen_enough = samples.step_since.is_some() && reading.step.settled >= MINUTES_TO_PASS;
    if proven && seen_enough {
        Outcome { verdict: Verdict::Pass, doubt: None, why: Reason::ProvenFine }
    } else if looks_worse(reading) {
        Outcome::doubt(Doubt::LooksWorse, Reason::LooksWorse)
    } else if reading.blind.is_some() {
        Outcome::doubt(Doubt::Blind, Reason::Blind)
    } else {
        let why = if proven { Reason::TooSoon } else { Reason::NotEnough };
        Outcome::doubt(if proven { Doubt::StillBaking } else { Doubt::TooLittleTraffic }, why)
    }
}

/// What the minutes before 100 % left open.
fn doubt_before(reading: &Reading) -> Doubt {
    if reading.step.seen == 0 {
        Doubt::NoData
    } else if looks_worse(reading) {
        Doubt::LooksWorse
    } else {
        Doubt::TooLittleTraffic
    }
}

fn looks_worse(reading: &Reading) -> bool {
    reading.events_over_tolerance > 0.0 || reading.harm.now > SUSPICION.ln()
}

fn comparison(
    plan: &JudgePlan,
    check: &PlannedCheck,
    samples: &Samples,
    reading: &Reading,
    bars: &Bars,
    outcome: &Outcome,
) -> Comparison {
    let evidence = Evidence {
        harm: reading.harm.most,
        harm_threshold: bars.harm,
        guard: reading.harm.guard,
        guard_threshold: reading.harm.guard_bar,
        tempered: reading.harm.tempered,
        tempered_threshold: reading.harm.tempered_bar,
        dispersion: reading.harm.dispersion,
        lane: reading.harm.proven.map(|(_, lane)| lane),
        catastrophe: reading.harm.catastrophe_most,
        catastrophe_threshold: bars.catastrophe,
        promotion: reading.promotion,
        promotion_threshold: bars.promotion,
        requests_missing: reading.requests_missing,
    };
    let mut comparison = Comparison {
        check: check.name.clone(),
        mode: check.mode,
        verdict: outcome.verdict,
        doubt: outcome.doubt,
        canary: reading.canary,
        baseline: reading.baseline,
        newest: reading.newest.both,
        ratio: reading.ratio,
        slower: reading.slower.clone(),
        level: None,
        evidence,
        tolerance: tolerance(check, samples.step),
        sentence: String::new(),
    };
    comparison.sentence = words::sentence(&comparison, outcome.why, reading, samples, plan.false_rollback);
    comparison
}

fn not_judged(check: &PlannedCheck, step: usize) -> Comparison {
    Comparison {
        check: check.name.clone(),
        mode: check.mode,
        verdict: Verdict::Inconclusive,
        doubt: None,
        canary: super::Count::default(),
        baseline: super::Count::default(),
        newest: None,
        ratio: None,
        slower: None,
        level: None,
        evidence: Evidence::default(),
        tolerance: tolerance(check, step),
        sentence: format!("{}: not judged by this version", check.name),
    }
}
