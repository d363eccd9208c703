//! What evidence must reach, and what it amounts to: the words that verdicts and sentences share.

use crate::spec::CheckMode;

use super::{Doubt, JudgePlan, PlannedCheck, Verdict};

/// Settled minutes of the present step, with data of both versions, that a Pass needs at least: a single minute may be an
/// accident. The minute in which the weight was raised counts where it is mostly at the new weight.
pub const MINUTES_TO_PASS: usize = 2;

/// Closed minutes without any data of a check before `onNoData: fail` takes effect. CloudWatch may take three minutes
/// to show a datapoint; five in a row are no longer lateness.
pub const MINUTES_TO_MISS: usize = 5;

/// The part of a check's budget that a second proof has.
const AGAIN: f64 = 0.1;

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
        Self::at(plan.false_rollback * share, -plan.false_promotion.ln())
    }

    /// Of a second proof, by which a canary is told from one that only stays cold.
    pub fn again(&self) -> Self {
        Self::at(self.alpha * AGAIN, self.promotion)
    }

    fn at(alpha: f64, promotion: f64) -> Self {
        Self { alpha, harm: -(0.9 * alpha).ln(), catastrophe: -(0.1 * alpha).ln(), promotion }
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
