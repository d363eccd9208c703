//! What must come of a scenario, and what came.

use super::leaves::{End, OneOf};
use super::raw::RawExpect;
use crate::report;
use crate::rollout::{Phase, PhaseName, Why};
use crate::sim::scenario::{Outcome, RunError};
use crate::spec::decode::value;
use crate::units::{Span, Weight};

/// What a user expects of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expect {
    pub ended: Option<End>,
    /// Texts that the last reason must have.
    pub reason: Vec<String>,
    pub within: Option<Span>,
    pub at_most: Option<Weight>,
    /// Requests of the new version.
    pub failed: Option<u64>,
    /// Commands.
    pub refused: Option<u64>,
}

impl Expect {
    pub(super) fn of(raw: RawExpect) -> Self {
        let reason = value(raw.reason).map(|reason| match reason {
            OneOf::Short(label) => vec![label.0],
            OneOf::Long(list) => list.0.into_iter().filter_map(|at| at.value).map(|label| label.0).collect(),
        });
        Self {
            ended: value(raw.ended),
            reason: reason.unwrap_or_default(),
            within: value(raw.within),
            at_most: value(raw.at_most),
            failed: value(raw.failed).map(|count| count.0),
            refused: value(raw.refused).map(|count| count.0),
        }
    }

    /// What came otherwise, a sentence each.
    #[must_use]
    pub fn missed(&self, run: &Result<Outcome, RunError>) -> Vec<String> {
        let mut missed = Vec::new();
        if let Some(ended) = self.ended.filter(|ended| *ended != end_of(run)) {
            missed.push(format!("expected {}, and it {}", ended.word(), end_of(run).sentence()));
        }
        let reason = reason_of(run);
        for text in self.reason.iter().filter(|text| !reason.contains(text.as_str())) {
            missed.push(format!("expected `{text}` in the reason, which is: {reason}"));
        }
        let Ok(outcome) = run else { return missed };
        let took = outcome.rollout.ended_at().map(|at| at.since(outcome.started_at));
        match (self.within, took) {
            (Some(within), Some(took)) if took > within => {
                missed.push(format!("expected the end within {within}, and it took {took}"));
            }
            (Some(within), None) => missed.push(format!("expected the end within {within}, and it has not ended")),
            (Some(_) | None, _) => {}
        }
        let highest = outcome.weights().into_iter().map(|(_, weight)| weight).max().unwrap_or(Weight::ZERO);
        if let Some(most) = self.at_most.filter(|most| highest > *most) {
            missed.push(format!("expected at most {most} on the new version, and it had {highest}"));
        }
        let failed = outcome.tally(&outcome.rollout.canary).failed;
        if let Some(most) = self.failed.filter(|most| failed > *most) {
            missed.push(format!("expected at most {most} failed requests of the new version, and {failed} failed"));
        }
        let refused = outcome.refused.len() as u64;
        if let Some(expected) = self.refused.filter(|expected| *expected != refused) {
            missed.push(format!("expected {expected} refused commands, and {refused} were"));
        }
        missed
    }
}

impl End {
    /// As the language writes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::RolledBack => "rolledBack",
            Self::Superseded => "superseded",
            Self::Paused => "paused",
            Self::Running => "running",
            Self::Refused => "refused",
            Self::Nothing => "nothing",
        }
    }

    /// To complete "the rollout".
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Promoted => "was promoted",
            Self::RolledBack => "was rolled back",
            Self::Superseded => "was superseded",
            Self::Paused => "was paused when the run stopped",
            Self::Running => "had not ended when the run stopped",
            Self::Refused => "was refused",
            Self::Nothing => "had nothing to roll out",
        }
    }
}

/// How a run ended.
#[must_use]
pub fn end_of(run: &Result<Outcome, RunError>) -> End {
    match run {
        Ok(outcome) => match outcome.rollout.phase.name() {
            PhaseName::Promoted => End::Promoted,
            PhaseName::RolledBack => End::RolledBack,
            PhaseName::Superseded => End::Superseded,
            PhaseName::Paused => End::Paused,
            PhaseName::Pending
            | PhaseName::Shifting
            | PhaseName::Baking
            | PhaseName::Promoting
            | PhaseName::RollingBack => End::Running,
        },
        Err(RunError::Nothing) => End::Nothing,
        Err(RunError::Refused(_) | RunError::Impossible(_) | RunError::Stalled(_)) => End::Refused,
    }
}

/// Why it ended, or why it waits, in the controller's own words.
#[must_use]
pub fn reason_of(run: &Result<Outcome, RunError>) -> String {
    let outcome = match run {
        Ok(outcome) => outcome,
        Err(error) => return error.to_string(),
    };
    let history = &outcome.rollout.history;
    let last = |wanted: &dyn Fn(&Why) -> bool| history.iter().rfind(|event| wanted(&event.why));
    match &outcome.rollout.phase {
        Phase::RolledBack { why, .. } | Phase::Superseded { why, .. } => report::sentence(why),
        Phase::Promoted { .. } => {
            let proof = last(&|why| matches!(why, Why::Proven { .. }));
            let entered = history.iter().rfind(|event| event.entered == Some(PhaseName::Promoted));
            let said = proof.into_iter().chain(entered).map(|event| report::sentence(&event.why));
            said.collect::<Vec<_>>().join("; ")
        }
        phase @ (Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Paused { .. }
        | Phase::Promoting { .. }
        | Phase::RollingBack { .. }) => {
            let mut said = vec![report::standing(phase)];
            said.extend(last(&|_| true).map(|event| report::sentence(&event.why)));
            let of_it = |line: &&crate::driver::Line| line.rollout == outcome.rollout.id;
            let lines = outcome.reports.iter().rev().flat_map(|report| &report.lines);
            said.extend(lines.filter(of_it).take(1).flat_map(|line| line.holding.iter().cloned()));
            said.join("; ")
        }
    }
}
