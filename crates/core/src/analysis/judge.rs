//! Verdicts from evidence.

use crate::spec::{CheckMode, OnNoData, Tolerance};
use crate::units::Minute;

use super::aftermath::Aftermath;
use super::digest::settled_digest;
use super::evidence::Reading;
use super::{Analysis, Comparison, Doubt, Evidence, JudgePlan, Measure, PlannedCheck, Samples, Verdict, words};

/// Settled minutes of the present step, with data of both versions, that a Pass needs at least: the first minutes after
/// a change of weights are the least typical ones.
pub const MINUTES_TO_PASS: usize = 3;

/// Closed minutes without any data of a check before `onNoData: fail` takes effect. CloudWatch may take three minutes
/// to show a datapoint; five in a row are no longer lateness.
pub const MINUTES_TO_MISS: usize = 5;

/// Evidence for harm, as a factor, from which a canary that is not proven worse *looks* worse. Three times as likely
/// as not: chance alone brings a harmless release there in at most one of three rollouts, which is fit for a word and
/// for `undecided: looksWorse`, but for nothing else.
const SUSPICION: f64 = 3.0;

/// The guard must have seen this much, as a factor, before the standard lane may roll back.
const GUARD_THRESHOLD: f64 = 10.0;

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
    let judged: Vec<(Comparison, Option<Reading>, bool)> =
        plan.checks.iter().enumerate().map(|(index, check)| compare(plan, check, index, samples)).collect();
    let counting = || judged.iter().filter(|(_, _, counts)| *counts).map(|(comparison, _, _)| comparison);
    let verdict = counting().map(|comparison| comparison.verdict).max().unwrap_or(Verdict::Inconclusive);
    let gravest = counting().filter_map(|comparison| comparison.doubt).max();
    let doubt = (verdict == Verdict::Inconclusive).then(|| gravest.unwrap_or(Doubt::NoData));
    let newest = judged.iter().filter_map(|(_, reading, _)| reading.as_ref()?.newest).max();
    let comparisons = judged.into_iter().map(|(comparison, _, _)| comparison).collect();
    // Without a settled minute nothing passes, and any number names the empty set.
    let settled_digest = samples.settled_before.map_or(0, |before| settled_digest(plan, samples, before));
    Analysis { comparisons, verdict, doubt, newest, settled_digest }
}

/// One check; the last value says whether it counts for the overall verdict.
fn compare(
    plan: &JudgePlan,
    check: &PlannedCheck,
    index: usize,
    samples: &Samples,
) -> (Comparison, Option<Reading>, bool) {
    let tolerance = tolerance(check, samples.step);
    match check.measure {
        Measure::Latency => (not_judged(check, tolerance), None, false),
        Measure::Counts => {
            let bars = Bars::of(plan, check);
            let reading = Reading::take(plan, index, samples, tolerance, &bars);
            let after = Aftermath::take(plan, index, samples, &bars);
            let outcome = outcome(check, samples, &reading, &bars, after.as_ref());
            let ignored = check.on_no_data == OnNoData::Ignore && outcome.doubt == Some(Doubt::NoData);
            let counts = check.mode != CheckMode::Observe && !ignored;
            let mut comparison = comparison(plan, check, samples, tolerance, &reading, &bars, &outcome);
            if let Some(after) = after.filter(|_| outcome.why != Reason::ProvenWorse) {
                comparison.sentence = words::after_sentence(&check.name, &after);
                comparison.evidence.catastrophe = after.evidence;
            }
            (comparison, Some(reading), counts)
        }
    }
}

/// What each kind of evidence must reach, as natural logarithms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bars {
    pub harm: f64,
    pub guard: f64,
    pub catastrophe: f64,
    pub promotion: f64,
}

impl Bars {
    /// A check that cannot roll back spends nothing of the budget, so it is held to the whole of it.
    fn of(plan: &JudgePlan, check: &PlannedCheck) -> Self {
        let share = if check.mode == CheckMode::Enforce { check.alpha_share } else { 1.0 };
        let alpha = plan.false_rollback * share;
        Self {
            harm: -(0.9 * alpha).ln(),
            guard: GUARD_THRESHOLD.ln(),
            catastrophe: -(0.1 * alpha).ln(),
            promotion: -plan.false_promotion.ln(),
        }
    }
}

/// What one check's evidence amounts to.
pub(super) struct Outcome {
    pub verdict: Verdict,
    pub doubt: Option<Doubt>,
    pub why: Reason,
}

/// What the sentence has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    ProvenWorse,
    ProvenFine,
    LooksWorse,
    /// More requests are needed.
    NotEnough,
    /// Enough requests, but not enough minutes at this weight.
    TooSoon,
    NoData,
    /// Alone at 100 %: what was found is not a comparison.
    After,
}

fn outcome(
    check: &PlannedCheck,
    samples: &Samples,
    reading: &Reading,
    bars: &Bars,
    after: Option<&Aftermath>,
) -> Outcome {
    let doubt = |doubt, why| Outcome { verdict: Verdict::Inconclusive, doubt: Some(doubt), why };
    if reading.proven_worse {
        return match check.mode {
            CheckMode::Enforce | CheckMode::Observe => {
                Outcome { verdict: Verdict::Fail, doubt: None, why: Reason::ProvenWorse }
            }
            CheckMode::Hold => doubt(Doubt::LooksWorse, Reason::ProvenWorse),
        };
    }
    if let Some(after) = after {
        return match check.mode {
            CheckMode::Enforce | CheckMode::Observe if after.proven => {
                Outcome { verdict: Verdict::Fail, doubt: None, why: Reason::After }
            }
            CheckMode::Hold if after.proven => doubt(Doubt::LooksWorse, Reason::After),
            CheckMode::Enforce | CheckMode::Observe | CheckMode::Hold => doubt(Doubt::TooLittleTraffic, Reason::After),
        };
    }
    if reading.step.seen == 0 {
        // What could not be read is not known to be missing.
        let looked = samples.unread.is_empty();
        let failing = looked && check.on_no_data == OnNoData::Fail && check.mode == CheckMode::Enforce;
        return if failing && reading.step.unseen >= MINUTES_TO_MISS {
            Outcome { verdict: Verdict::Fail, doubt: Some(Doubt::NoData), why: Reason::NoData }
        } else {
            doubt(Doubt::NoData, Reason::NoData)
        };
    }
    let proven = reading.promotion >= bars.promotion;
    let seen_enough = samples.step_since.is_some() && reading.step.settled >= MINUTES_TO_PASS;
    if proven && seen_enough {
        Outcome { verdict: Verdict::Pass, doubt: None, why: Reason::ProvenFine }
    } else if reading.events_over_tolerance > 0.0 || reading.harm > SUSPICION.ln() {
        doubt(Doubt::LooksWorse, Reason::LooksWorse)
    } else {
        doubt(Doubt::TooLittleTraffic, if proven { Reason::TooSoon } else { Reason::NotEnough })
    }
}

fn comparison(
    plan: &JudgePlan,
    check: &PlannedCheck,
    samples: &Samples,
    tolerance: Tolerance,
    reading: &Reading,
    bars: &Bars,
    outcome: &Outcome,
) -> Comparison {
    let evidence = Evidence {
        harm: reading.harm_most,
        harm_threshold: bars.harm,
        guard: reading.guard,
        guard_threshold: bars.guard,
        catastrophe: reading.catastrophe_most,
        catastrophe_threshold: bars.catastrophe,
        promotion: reading.promotion,
        promotion_threshold: bars.promotion,
        requests_missing: reading.requests_missing(tolerance, bars.promotion),
    };
    let mut comparison = Comparison {
        check: check.name.clone(),
        mode: check.mode,
        verdict: outcome.verdict,
        doubt: outcome.doubt,
        canary: reading.canary,
        baseline: reading.baseline,
        newest: reading.newest,
        ratio: reading.ratio(plan.false_rollback),
        evidence,
        tolerance,
        sentence: String::new(),
    };
    comparison.sentence = words::sentence(&comparison, outcome.why, reading, samples, plan.false_rollback);
    comparison
}

fn not_judged(check: &PlannedCheck, tolerance: Tolerance) -> Comparison {
    Comparison {
        check: check.name.clone(),
        mode: check.mode,
        verdict: Verdict::Inconclusive,
        doubt: None,
        canary: super::Count::default(),
        baseline: super::Count::default(),
        newest: None,
        ratio: None,
        evidence: Evidence::default(),
        tolerance,
        sentence: format!("{}: not judged by this version", check.name),
    }
}

/// Past the last step its tolerance stays in force. A plan without any tolerance tolerates nothing.
fn tolerance(check: &PlannedCheck, step: usize) -> Tolerance {
    let tolerances = &check.tolerances;
    tolerances.get(step).or(tolerances.last()).copied().unwrap_or(Tolerance { factor: 1.0, points: 0.0 })
}

pub(super) fn is_settled(samples: &Samples, minute: Minute) -> bool {
    samples.settled_before.is_some_and(|before| minute < before)
}
