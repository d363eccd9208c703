//! Looking back at the old version's past, before the first weight.

use std::time::Duration;

use super::Context;
use crate::analysis::{History, JudgePlan, ReadBy, learn};
use crate::engine;
use crate::metrics::past::{DAY, FARTHEST, Past, preceded, tells_little};
use crate::metrics::{Series, SeriesQuery};
use crate::ports::{Budget, Fault, Ports};
use crate::rollout::Rollout;
use crate::spec::{RolloutSpec, Version};
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

impl<'a> Whose<'a> {
    /// Minutes counted from the end.
    fn past(self, plan: &'a JudgePlan, from: i64, until: i64) -> Past<'a> {
        let (from, until) = (self.until.plus(from), self.until.plus(until));
        Past { spec: self.spec, plan, baseline: self.baseline, canary: self.canary, from, until }
    }
}

fn by_percentiles(plan: &JudgePlan, places: &[usize]) -> JudgePlan {
    let mut plan = plan.clone();
    for (place, check) in plan.checks.iter_mut().enumerate() {
        if let Some(distribution) = check.distribution.as_mut().filter(|_| places.contains(&place)) {
            distribution.read = ReadBy::Percentiles;
        }
    }
    plan
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
    ///
    /// A distribution is read in two steps: first its quantiles, which tell where the edges go, then its bins at those
    /// edges; and once more by percentiles where CloudWatch turns out not to count between edges.
    pub(super) async fn look_back(&self, whose: Whose<'_>) -> Result<JudgePlan, Fault> {
        let day = whose.past(whose.plan, -DAY, 0);
        let plan = day.with_edges(&self.read_all(&day.quantile_queries()).await?);
        let (plan, mut history) = self.read_day(whose, plan).await?;
        let quiet = tells_little(&plan, &history);
        let long_ago = whose.past(&plan, -FARTHEST, -DAY);
        if !quiet.is_empty()
            && let Ok(series) = self.read_all(&long_ago.queries(&quiet)).await
        {
            history = preceded(history, long_ago.history(&quiet, &series));
        }
        Ok(learn(&plan, &history))
    }

    async fn read_day(&self, whose: Whose<'_>, plan: JudgePlan) -> Result<(JudgePlan, History), Fault> {
        let all: Vec<usize> = (0..plan.checks.len()).collect();
        let day = whose.past(&plan, -DAY, 0);
        let series = self.read_all(&day.queries(&all)).await?;
        let uncountable = day.uncountable(&all, &series);
        if uncountable.is_empty() {
            let history = day.history(&all, &series);
            return Ok((plan, history));
        }
        let plan = by_percentiles(&plan, &uncountable);
        let day = whose.past(&plan, -DAY, 0);
        let history = day.history(&all, &self.read_all(&day.queries(&all)).await?);
        Ok((plan, history))
    }

    /// Every series, or what kept one from being read.
    async fn read_all(&self, queries: &[SeriesQuery]) -> Result<Vec<Series>, Fault> {
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let wait = PATIENCE.min(self.budget.remaining() / 4);
        let fetched = self.guarded(wait, self.ports.fetch(queries)).await;
        fetched.unwrap_or_else(|cut| vec![Err(cut.fault("fetch"))]).into_iter().collect()
    }
}
