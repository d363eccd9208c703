//! What evidence must reach, and what it amounts to: the words that verdicts and sentences share.

use crate::spec::CheckMode;
use crate::units::Minute;

use super::{Doubt, JudgePlan, PlannedCheck, Samples, Verdict};

/// Settled minutes of the present step, with data of both versions, that a Pass needs at least: a single minute may be an
/// accident. The minute in which the weight was raised does not count: it is partly still the weight before.
pub const MINUTES_TO_PASS: usize = 2;

/// Closed minutes without any data of a check before `onNoData: fail` takes effect. CloudWatch may take three minutes
/// to show a datapoint; five in a row are no longer lateness.
pub const MINUTES_TO_MISS: usize = 5;

/// What each kind of evidence must reach, as natural logarithms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bars {
    /// The check's part of the budget for false rollbacks.
    pub alpha: f64,
    pub harm: f64,
    pub catastrophe: f64,
    pub promotion: f64,
}

impl Bars {
    /// A check that cannot roll back spends nothing of the budget, so it is held to the whole of it.
    pub fn of(plan: &JudgePlan, check: &PlannedCheck) -> Self {
        let share = if check.mode == CheckMode::Enforce { check.alpha_share } else { 1.0 };
        let alpha = plan.false_rollback * share;
        Self {
            alpha,
            harm: -(0.9 * alpha).ln(),
            catastrophe: -(0.1 * alpha).ln(),
            promotion: -plan.false_promotion.ln(),
        }
    }
}

/// What one check's evidence amounts to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub verdict: Verdict,
    pub doubt: Option<Doubt>,
    pub why: Reason,
}

impl Outcome {
    pub fn doubt(doubt: Doubt, why: Reason) -> Self {
        Self { verdict: Verdict::Inconclusive, doubt: Some(doubt), why }
    }

    pub fn fail(why: Reason) -> Self {
        Self { verdict: Verdict::Fail, doubt: None, why }
    }
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
    /// There is data, but what the check asks cannot be told from it.
    Blind,
}

pub(super) fn is_settled(samples: &Samples, minute: Minute) -> bool {
    samples.settled_before.is_some_and(|before| minute < before)
}
