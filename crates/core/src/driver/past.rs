//! Looking back at the old version's past, before the first weight.

use std::time::Duration;

use super::Context;
use crate::analysis::{History, JudgePlan, learn};
use crate::engine;
use crate::metrics::past::{DAY, FARTHEST, Past, preceded, tells_little};
use crate::metrics::{Series, SeriesQuery};
use crate::ports::{Budget, Fault, Ports};
use crate::rollout::Rollout;
use crate::spec::{Check, RolloutSpec, Version};
use crate::units::Minute;

/// The longest that reading a past may keep the rest of an invocation waiting.
const PATIENCE: Duration = Duration::from_secs(8);

/// Whose past it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose<'a> {
    pub spec: &'a RolloutSpec,
    pub plan: &'a JudgePlan,
    pub baseline: &'a Version,
    pub canary: &'a Version,
    /// The minutes before this one are complete.
    pub until: Minute,
}

impl<P: Ports, B: Budget> Context<'_, P, B> {
    pub(super) async fn look_back_of(&self, rollout: &Rollout) -> Result<JudgePlan, Fault> {
        self.look_back(Whose {
            spec: &rollout.spec,
            plan: &rollout.plan,
            baseline: &rollout.baseline,
            canary: &rollout.canary,
            until: engine::settled_before(rollout, self.now),
        })
        .await
    }

    /// The plan with what the past says: a day of it, and more where a day tells too little. The day must be read; what
    /// lies before it is worth having and not worth waiting for.
    pub(super) async fn look_back(&self, whose: Whose<'_>) -> Result<JudgePlan, Fault> {
        let checks = &whose.spec.checks;
        let mut history = self.read_past(whose, checks, -DAY, 0).await?;
        let quiet = tells_little(checks, &history);
        if !quiet.is_empty()
            && let Ok(earlier) = self.read_past(whose, &quiet, -FARTHEST, -DAY).await
        {
            history = preceded(checks, history, earlier, &quiet);
        }
        Ok(learn(whose.plan, &history))
    }

    async fn read_past(&self, whose: Whose<'_>, checks: &[Check], from: i64, until: i64) -> Result<History, Fault> {
        let past = Past {
            target: &whose.spec.target,
            checks,
            baseline: whose.baseline,
            canary: whose.canary,
            from: whose.until.plus(from),
            until: whose.until.plus(until),
        };
        Ok(past.history(&self.read_all(&past.queries()).await?))
    }

    /// Every series, or what kept one from being read.
    async fn read_all(&self, queries: &[SeriesQuery]) -> Result<Vec<Series>, Fault> {
        let wait = PATIENCE.min(self.budget.remaining() / 4);
        let fetched = self.guarded(wait, self.ports.fetch(queries)).await;
        fetched.unwrap_or_else(|cut| vec![Err(cut.fault("fetch"))]).into_iter().collect()
    }
}
