//! The ports of the made-up AWS, but for the router.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{State, World};
use crate::analysis::MinuteSample;
use crate::deployment::Hook;
use crate::metrics::{Series, SeriesQuery, Stat};
use crate::observation::{AlarmState, TestOutcome};
use crate::ports::{
    AlarmSource, CreateError, EndedPage, Fault, FaultKind, MetricSource, Notifier, RolloutStore, SaveError, TestRunner,
    Unreadable,
};
use crate::rollout::{DecisionRecord, Notice, Rollout};
use crate::sim::durations::{self, Durations};
use crate::spec::{Target, Test, Version};
use crate::units::{Minute, Timestamp};

/// CloudWatch refuses more queries than this in one GetMetricData call; the port takes any number and splits them, so
/// here it is only a limit on nonsense: 1 000 rollouts with 20 series each.
const MOST_QUERIES: usize = 20_000;

impl MetricSource for World {
    async fn fetch(&self, queries: &[SeriesQuery]) -> Vec<Result<Series, Fault>> {
        let state = self.lock();
        let too_many = queries.len() > MOST_QUERIES;
        queries
            .iter()
            .map(|query| if too_many { Err(rejected_query("too many queries")) } else { state.series(query) })
            .collect()
    }
}

fn rejected_query(detail: &str) -> Fault {
    Fault::new("GetMetricData", FaultKind::Rejected, detail)
}

/// What was told of the minutes that are asked for.
fn asked<'a, T>(told: &'a [(Minute, T)], query: &SeriesQuery) -> &'a [(Minute, T)] {
    let [from, until] = [query.from, query.until].map(|end| told.partition_point(|(minute, _)| *minute < end));
    told.get(from..until).unwrap_or_default()
}

impl State {
    fn series(&self, query: &SeriesQuery) -> Result<Series, Fault> {
        if let Some(kind) = self.broken_metrics.get(&query.metric.metric) {
            return Err(Fault::new("GetMetricData", *kind, format!("no complete data for {}", query.metric.metric)));
        }
        if query.from >= query.until {
            return Err(rejected_query("the start time must be before the end time"));
        }
        if query.period.start(query.from) != query.from || query.period.start(query.until) != query.until {
            return Err(rejected_query("the times are no multiples of the period"));
        }
        if let Some(told) = self.durations.get(&query.metric) {
            return Ok(self.durations_series(asked(told, query), query));
        }
        let Some(told) = self.metrics.get(&query.metric) else { return Ok(Series::new()) };
        let mut series: BTreeMap<Minute, (f64, f64)> = BTreeMap::new();
        for (minute, part) in asked(told, query).iter().filter(|(_, part)| part.arrives <= self.now) {
            let (sum, samples) = series.entry(query.period.start(*minute)).or_default();
            (*sum, *samples) = (*sum + part.sum, *samples + part.samples);
        }
        let value = |(sum, samples): (f64, f64)| match query.stat {
            Stat::Sum => Ok(sum),
            Stat::SampleCount => Ok(samples),
            Stat::Average => Ok(sum / samples),
            Stat::Percentile(_) | Stat::Between(..) => Err(rejected_query("these datapoints have no values")),
        };
        series.into_iter().map(|(minute, totals)| Ok((minute, value(totals)?))).collect()
    }

    fn durations_series(&self, told: &[(Minute, Arc<Durations>)], query: &SeriesQuery) -> Series {
        let mut periods: BTreeMap<Minute, Vec<Arc<Durations>>> = BTreeMap::new();
        for (minute, part) in told {
            periods.entry(query.period.start(*minute)).or_default().push(Arc::clone(part));
        }
        // Load balancers tell seconds, Lambda milliseconds.
        let unit_ms = if query.metric.namespace == "AWS/ApplicationELB" { 1000.0 } else { 1.0 };
        let value = |parts: Vec<Arc<Durations>>| durations::statistic(query.stat, &parts, self.now, unit_ms);
        periods.into_iter().filter_map(|(period, parts)| Some((period, value(parts)?))).collect()
    }
}

impl AlarmSource for World {
    async fn states(&self, names: &[String]) -> Result<BTreeMap<String, AlarmState>, Fault> {
        let state = self.lock();
        let known = names.iter().filter_map(|name| Some((name.clone(), *state.alarms.get(name)?)));
        Ok(known.collect())
    }
}

impl RolloutStore for World {
    async fn active(&self) -> Result<Vec<Result<Rollout, Unreadable>>, Fault> {
        let state = self.lock();
        let active = state.rollouts.values().filter(|rollout| rollout.is_active());
        Ok(active.map(|rollout| state.read(rollout)).collect())
    }

    async fn load(&self, id: &str) -> Result<Option<Rollout>, Fault> {
        let state = self.lock();
        state.check_readable(id).map(|()| state.rollouts.get(id).map(|stored| Rollout::clone(stored)))
    }

    async fn holder(&self, target: &Target) -> Result<Option<String>, Fault> {
        let state = self.lock();
        Ok(target.claims().iter().find_map(|claim| state.claims.get(claim)).cloned())
    }

    async fn named_by_alarm(&self, alarm: &str) -> Result<Vec<String>, Fault> {
        let state = self.lock();
        let naming = state
            .rollouts
            .values()
            .filter(|rollout| rollout.is_active() && rollout.spec.alarms.names.iter().any(|name| name == alarm));
        Ok(naming.map(|rollout| rollout.id.clone()).collect())
    }

    async fn create(&self, rollout: &Rollout) -> Result<(), CreateError> {
        let mut state = self.lock();
        if state.rollouts.contains_key(&rollout.id) {
            return Err(CreateError::Exists);
        }
        if let Some(by) = state.claimed_by_another(rollout) {
            return Err(CreateError::TargetTaken { by });
        }
        state.keep(rollout)?;
        Ok(())
    }

    async fn save(&self, before: &Rollout, next: &Rollout, record: Option<&DecisionRecord>) -> Result<(), SaveError> {
        let mut state = self.lock();
        if before.id != next.id || next.revision != before.revision + 1 {
            let detail = format!("{} at revision {} cannot follow {}", next.id, next.revision, before.revision);
            return Err(Fault::new("TransactWriteItems", FaultKind::Rejected, detail).into());
        }
        if state.rollouts.get(&before.id).map(|stored| stored.revision) != Some(before.revision) {
            return Err(SaveError::Conflict);
        }
        if let Some(by) = state.claimed_by_another(next) {
            return Err(SaveError::TargetTaken { by });
        }
        state.keep(next)?;
        if let Some(record) = record {
            state.records.entry(next.id.clone()).or_default().push(Arc::new(record.clone()));
        }
        Ok(())
    }

    async fn seal(&self, id: &str, minutes: &[MinuteSample]) -> Result<(), Fault> {
        if let Some(first) = minutes.first() {
            let mut state = self.lock();
            let blocks = state.sealed.entry(id.to_owned()).or_default();
            blocks.entry(first.minute).or_insert_with(|| Arc::new(minutes.to_vec()));
        }
        Ok(())
    }

    async fn sealed(&self, id: &str) -> Result<Vec<MinuteSample>, Fault> {
        let state = self.lock();
        Ok(state
            .sealed
            .get(id)
            .map(|blocks| blocks.values().flat_map(|block| block.iter().cloned()).collect())
            .unwrap_or_default())
    }

    async fn judged(&self) -> Result<Vec<Result<Rollout, Unreadable>>, Fault> {
        let state = self.lock();
        let mut judged: Vec<&Arc<Rollout>> =
            state.rollouts.values().filter(|rollout| rollout.guest.is_some()).collect();
        judged.sort_by_key(|rollout| (rollout.started_at, &rollout.id));
        Ok(judged.into_iter().map(|rollout| state.read(rollout)).collect())
    }

    async fn ended(&self, since: Timestamp, from: Option<&str>) -> Result<EndedPage, Fault> {
        let state = self.lock();
        Ok(EndedPage::of(state.rollouts.values().map(|rollout| state.read(rollout)), since, from))
    }

    async fn keep_hook(&self, hook: &Hook) -> Result<(), Fault> {
        self.lock().hooks.entry(hook.execution.clone()).or_insert_with(|| hook.clone());
        Ok(())
    }

    async fn hooks(&self) -> Result<Vec<Hook>, Fault> {
        let mut hooks: Vec<Hook> = self.lock().hooks.values().cloned().collect();
        hooks.sort_by_key(|hook| (hook.received, hook.execution.clone()));
        Ok(hooks)
    }

    async fn drop_hook(&self, hook: &Hook) -> Result<(), Fault> {
        self.lock().hooks.remove(&hook.execution);
        Ok(())
    }
}

impl State {
    fn check_readable(&self, id: &str) -> Result<(), Fault> {
        match self.damaged.get(id) {
            Some(kind) => Err(Fault::new("GetItem", *kind, "written by a newer version, or left out")),
            None => Ok(()),
        }
    }

    fn read(&self, rollout: &Rollout) -> Result<Rollout, Unreadable> {
        let whole = self.check_readable(&rollout.id).map(|()| rollout.clone());
        whole.map_err(|fault| Unreadable { id: rollout.id.clone(), fault })
    }

    fn claimed_by_another(&self, rollout: &Rollout) -> Option<String> {
        let claims = rollout.spec.target.claims();
        let mut holders = claims.iter().filter_map(|claim| self.claims.get(claim));
        holders.find(|holder| **holder != rollout.id).filter(|_| rollout.holds_target()).cloned()
    }

    /// Keeps what survives being written down, so that state which does not cannot hide in memory.
    fn keep(&mut self, rollout: &Rollout) -> Result<(), Fault> {
        let written = serde_json::to_string(rollout).and_then(|text| serde_json::from_str::<Rollout>(&text));
        let stored = written.map_err(|error| {
            Fault::new("TransactWriteItems", FaultKind::Rejected, format!("cannot be kept: {error}"))
        })?;
        for claim in stored.spec.target.claims() {
            if stored.holds_target() {
                self.claims.insert(claim, stored.id.clone());
            } else if self.claims.get(&claim) == Some(&stored.id) {
                self.claims.remove(&claim);
            }
        }
        self.rollouts.insert(stored.id.clone(), Arc::new(stored));
        Ok(())
    }
}

impl Notifier for World {
    async fn publish(&self, notice: &Notice) -> Result<(), Fault> {
        Arc::make_mut(&mut self.lock().notices).push(notice.clone());
        Ok(())
    }

    async fn measure(&self, target: &Target, worse: bool) -> Result<(), Fault> {
        let mut state = self.lock();
        let now = state.now;
        state.measured.push((now, target.clone(), worse));
        Ok(())
    }
}

impl TestRunner for World {
    async fn run(&self, target: &Target, version: &Version, _test: &Test) -> Result<TestOutcome, Fault> {
        let mut state = self.lock();
        let exists = match target {
            Target::Lambda(_) => state.version(target, version).is_some(),
            Target::Alb(_) => state.groups.contains_key(version),
        };
        if !exists {
            return Err(Fault::new("Invoke", FaultKind::Rejected, format!("Function not found: {}", version.0)));
        }
        let outcomes = state.test_outcomes.get_mut(version);
        let outcome =
            outcomes.and_then(|left| if left.len() > 1 { Some(left.remove(0)) } else { left.first().cloned() });
        let outcome = outcome.unwrap_or(TestOutcome::Passed);
        state.tests_run.insert(version.clone(), outcome.clone());
        Ok(outcome)
    }
}
