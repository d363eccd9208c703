//! What a plan rests on, read from the account: a start that is only looked at, and the target's last week.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coalmine_aws::{Aws, AwsConfig};
use coalmine_core::analysis::{JudgePlan, MinuteSample, findings};
use coalmine_core::deployment::{Deployment, DeploymentRef, FoundSpec, Hook, HookAnswer};
use coalmine_core::driver::{Settings, WouldStart, would_start};
use coalmine_core::metrics::week::{Week, queries, week};
use coalmine_core::metrics::{Series, SeriesQuery};
use coalmine_core::observation::{AlarmState, Health, Readiness, Routing, Surroundings, TestOutcome, VersionInfo};
use coalmine_core::ports::{
    AlarmSource, Attach, Budget, CreateError, DeadMansSwitch, Deployments, Detach, EndedPage, Fault, FaultKind,
    LookError, MetricSource, Notifier, RolloutStore, SaveError, SetError, SetWeight, Switch, TestRunner, TrafficRouter,
    Unreadable,
};
use coalmine_core::rollout::{DecisionRecord, Notice, Rollout};
use coalmine_core::sim::durations::Latency;
use coalmine_core::sim::rehearsal::Habits;
use coalmine_core::spec::{LambdaTarget, Mode, Owner, RolloutSpec, Target, Test, Validated, Version};
use coalmine_core::units::Timestamp;

use super::{Ground, LAG, Quietest, Seen, TIMEOUT};
use crate::Exit;

/// The longest that all looks together may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Below this, failures are as good as independent.
const HARDLY: f64 = 1.25;

pub fn ground(spec: &RolloutSpec, now: Timestamp) -> Result<Ground, (String, Exit)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| (format!("cannot start: {error}"), Exit::Io))?;
    runtime.block_on(async {
        let aws = Aws::new(AwsConfig::default()).await;
        look(&aws, spec, now).await
    })
}

async fn look(aws: &Aws, spec: &RolloutSpec, now: Timestamp) -> Result<Ground, (String, Exit)> {
    let target = &spec.target;
    let routing = aws.look(target).await.map_err(|error| match error {
        LookError::NotFound(sentence) => (sentence, Exit::Invalid),
        LookError::Fault(fault) => (fault.to_string(), Exit::Io),
    })?;
    let reader =
        Reader { aws, live: routing.primary.clone(), made_up: AtomicBool::new(false), active: AtomicBool::new(false) };
    let mut seen = Seen { asked: true, place: aws.place(target).await.ok(), ..Seen::default() };
    let learned = start(&reader, spec, now, &mut seen).await;
    let live: Vec<Version> = [&routing.primary]
        .into_iter()
        .chain(routing.additional.iter().map(|(version, _)| version))
        .chain(&routing.at_zero)
        .cloned()
        .collect();
    let week = past(aws, target, &live, now).await?;
    let timeout = aws.version(target, Some(&routing.primary)).await.map_or(TIMEOUT, |version| version.timeout);
    if week.hours > 0 {
        let (hour, per_second) = week.quietest;
        seen.quietest = Some(Quietest { hour, per_second });
    } else {
        seen.refused.push(format!("{} had no requests in a week: nothing can be proven without traffic", target.key()));
    }
    seen.on_average = week.per_second_now <= 0.0;
    seen.data_up_to = Some(coalmine_core::metrics::Period::Hour.start(now.minute()).start());
    let usual = Latency::default();
    let median = week.p50_ms.unwrap_or(usual.median_ms);
    let p99 = week.p99_ms.unwrap_or(median * usual.p99_factor()).max(median);
    let per_second = if week.per_second_now > 0.0 { week.per_second_now } else { week.per_second };
    let habits = Habits {
        per_second,
        error_rate: week.error_rate(),
        clusters: learned.as_ref().map_or(1.0, clusters),
        latency: Latency::of(median, p99),
        timeout,
    };
    Ok(Ground { habits, lag: LAG, seen })
}

/// Looks at what a start looks at, save the stack: its rollouts and settings. The plan with what the past says, where it
/// would begin.
async fn start(reader: &Reader<'_>, spec: &RolloutSpec, now: Timestamp, seen: &mut Seen) -> Option<JudgePlan> {
    let settings = Settings { mode: Mode::Enforce, metric_lag: LAG, switch: None, deployment_spec: None };
    let budget = Patience { ends: Instant::now() + PATIENCE };
    let validated = Validated { spec: spec.clone(), warnings: Vec::new() };
    match would_start(reader, validated, now, &budget, &settings).await {
        Ok(WouldStart::Begins(rollout, warnings)) => {
            seen.warned = warnings.iter().map(ToString::to_string).collect();
            let published = !reader.made_up.load(Ordering::Relaxed);
            let canary = if published { rollout.canary.to_string() } else { "the next version".to_owned() };
            seen.versions = Some(format!("{} -> {canary}", rollout.baseline));
            seen.new_version =
                Some(rollout.canary.0.clone()).filter(|_| published && matches!(spec.target, Target::Lambda(_)));
            seen.learned = findings(&rollout.plan);
            let alarms = spec.alarms.names.len();
            if alarms > 0 {
                seen.fine.push(format!("alarms {alarms} of {alarms} there"));
            }
            // A start asks for deployments of nobody else's.
            let is_own = matches!(&spec.target, Target::Lambda(LambdaTarget { owner: Owner::Coalmine, .. }));
            if is_own && spec.mode == Mode::Enforce {
                seen.fine.push("no deployment running".to_owned());
            }
            let active = published && reader.active.load(Ordering::Relaxed);
            if active && matches!(spec.target, Target::Lambda(_)) {
                seen.fine.push("version active".to_owned());
            }
            Some(rollout.plan)
        }
        Ok(WouldStart::Nothing(message)) => {
            seen.refused.push(message);
            None
        }
        Err(problems) => {
            seen.versions = Some(reader.live.to_string());
            seen.refused = problems.iter().map(ToString::to_string).collect();
            None
        }
    }
}

/// How many failures come together. Evidence is divided by the mean size of the cluster that a failure is in; of clusters
/// that are as long as they happen to be it is twice the mean size less one.
fn clusters(plan: &JudgePlan) -> f64 {
    let events =
        plan.checks.iter().find(|check| check.name == "errors").and_then(|check| check.learned.as_ref()?.events);
    let factor = events.filter(|events| events.events > 0.0).map_or(1.0, |events| events.dispersion.factor);
    if factor > HARDLY { f64::midpoint(factor, 1.0) } else { 1.0 }
}

async fn past(aws: &Aws, target: &Target, live: &[Version], now: Timestamp) -> Result<Week, (String, Exit)> {
    let minute = now.minute();
    let read: Result<Vec<Series>, Fault> = aws.fetch(&queries(target, live, minute)).await.into_iter().collect();
    let series = read.map_err(|fault| (format!("the last week cannot be read: {fault}"), Exit::Io))?;
    Ok(week(target, live, &series, minute))
}

/// The version that will be published next.
fn after(live: &Version) -> Version {
    Version(live.0.parse::<u64>().map_or_else(|_| format!("{}-next", live.0), |number| (number + 1).to_string()))
}

/// The time that looks may take.
struct Patience {
    ends: Instant,
}

impl Budget for Patience {
    fn remaining(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }

    async fn sleep(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }
}

/// The account, of which everything can be read and nothing be written. No table is needed: there is no rollout.
struct Reader<'a> {
    aws: &'a Aws,
    live: Version,
    /// The newest version is live already, and the one after it was made up.
    made_up: AtomicBool,
    /// The new version can serve.
    active: AtomicBool,
}

fn unwritten() -> Fault {
    Fault::new("plan", FaultKind::Rejected, "a plan changes nothing")
}

impl TrafficRouter for Reader<'_> {
    async fn look(&self, target: &Target) -> Result<Routing, LookError> {
        self.aws.look(target).await
    }

    /// Where the newest version is live already, it is looked at as the one that will come after it.
    async fn version(&self, target: &Target, version: Option<&Version>) -> Result<VersionInfo, LookError> {
        let info = self.aws.version(target, version).await?;
        if info.version != self.live {
            self.active.store(matches!(info.readiness, Readiness::Active), Ordering::Relaxed);
        }
        let newest_is_live = version.is_none() && info.version == self.live && matches!(target, Target::Lambda(_));
        if !newest_is_live {
            return Ok(info);
        }
        self.made_up.store(true, Ordering::Relaxed);
        Ok(VersionInfo { version: after(&self.live), ..info })
    }

    async fn set(&self, _: &SetWeight<'_>) -> Result<(), SetError> {
        Err(unwritten().into())
    }

    async fn attach(&self, _: &Attach<'_>) -> Result<(), SetError> {
        Err(unwritten().into())
    }

    async fn detach(&self, _: &Detach<'_>) -> Result<(), SetError> {
        Err(unwritten().into())
    }

    async fn health(&self, target: &Target, baseline: &Version, canary: &Version) -> Result<Health, LookError> {
        self.aws.health(target, baseline, canary).await
    }

    async fn survey(&self, target: &Target) -> Result<Surroundings, LookError> {
        self.aws.survey(target).await
    }
}

impl MetricSource for Reader<'_> {
    async fn fetch(&self, queries: &[SeriesQuery]) -> Vec<Result<Series, Fault>> {
        self.aws.fetch(queries).await
    }
}

impl AlarmSource for Reader<'_> {
    async fn states(&self, names: &[String]) -> Result<BTreeMap<String, AlarmState>, Fault> {
        self.aws.states(names).await
    }
}

impl RolloutStore for Reader<'_> {
    async fn active(&self) -> Result<Vec<Result<Rollout, Unreadable>>, Fault> {
        Ok(Vec::new())
    }

    async fn load(&self, _: &str) -> Result<Option<Rollout>, Fault> {
        Ok(None)
    }

    async fn holder(&self, _: &Target) -> Result<Option<String>, Fault> {
        Ok(None)
    }

    async fn named_by_alarm(&self, _: &str) -> Result<Vec<String>, Fault> {
        Ok(Vec::new())
    }

    async fn create(&self, _: &Rollout) -> Result<(), CreateError> {
        Err(unwritten().into())
    }

    async fn save(&self, _: &Rollout, _: &Rollout, _: Option<&DecisionRecord>) -> Result<(), SaveError> {
        Err(unwritten().into())
    }

    async fn seal(&self, _: &str, _: &[MinuteSample]) -> Result<(), Fault> {
        Err(unwritten())
    }

    async fn sealed(&self, _: &str) -> Result<Vec<MinuteSample>, Fault> {
        Ok(Vec::new())
    }

    async fn judged(&self) -> Result<Vec<Result<Rollout, Unreadable>>, Fault> {
        Ok(Vec::new())
    }

    async fn ended(&self, _: Timestamp, _: Option<&str>) -> Result<EndedPage, Fault> {
        Ok(EndedPage { rollouts: Vec::new(), next: None })
    }

    async fn keep_hook(&self, _: &Hook) -> Result<(), Fault> {
        Err(unwritten())
    }

    async fn hooks(&self) -> Result<Vec<Hook>, Fault> {
        Ok(Vec::new())
    }

    async fn drop_hook(&self, _: &Hook) -> Result<(), Fault> {
        Err(unwritten())
    }
}

impl Notifier for Reader<'_> {
    async fn publish(&self, _: &Notice) -> Result<(), Fault> {
        Err(unwritten())
    }

    async fn measure(&self, _: &Target, _: bool) -> Result<(), Fault> {
        Err(unwritten())
    }
}

impl Deployments for Reader<'_> {
    async fn deployment(&self, deployment: &DeploymentRef) -> Result<Deployment, LookError> {
        self.aws.deployment(deployment).await
    }

    async fn stop(&self, _: &DeploymentRef) -> Result<(), Fault> {
        Err(unwritten())
    }

    async fn answer(&self, _: &Hook, _: &HookAnswer) -> Result<(), Fault> {
        Err(unwritten())
    }

    async fn spec_for(&self, deployment: &Deployment) -> Result<Option<FoundSpec>, Fault> {
        self.aws.spec_for(deployment).await
    }

    async fn shifting(&self, target: &Target) -> Result<Option<DeploymentRef>, Fault> {
        self.aws.shifting(target).await
    }
}

impl DeadMansSwitch for Reader<'_> {
    async fn arm(&self, _: &Switch<'_>) -> Result<(), Fault> {
        Err(unwritten())
    }

    async fn disarm(&self, _: &str, _: &Target) -> Result<(), Fault> {
        Err(unwritten())
    }
}

impl TestRunner for Reader<'_> {
    async fn run(&self, _: &Target, _: &Version, _: &Test) -> Result<TestOutcome, Fault> {
        Err(unwritten())
    }
}
