//! What the driver needs, where there is no stack: AWS for the traffic and what is seen of it, a file for the rollouts, and
//! this process' own output for what is to be told.

use std::collections::BTreeMap;

use coalmine_aws::Aws;
use coalmine_core::analysis::MinuteSample;
use coalmine_core::deployment::{Deployment, DeploymentRef, FoundSpec, Hook, HookAnswer};
use coalmine_core::metrics::{Series, SeriesQuery};
use coalmine_core::observation::{AlarmState, Health, Routing, Surroundings, TestOutcome, VersionInfo};
use coalmine_core::ports::{
    AlarmSource, Attach, CreateError, DeadMansSwitch, Deployments, Detach, EndedPage, Fault, LookError, MetricSource,
    Notifier, RolloutStore, SaveError, SetError, SetWeight, Switch, TestRunner, TrafficRouter, Unreadable,
};
use coalmine_core::rollout::{DecisionRecord, Notice, Rollout};
use coalmine_core::spec::{Target, Test, Version};
use coalmine_core::units::Timestamp;

use super::store::FileStore;

pub struct Local {
    pub aws: Aws,
    pub store: FileStore,
}

/// What there is to tell is in the history, and every event of it becomes a line of this process.
impl Notifier for Local {
    async fn publish(&self, _: &Notice) -> Result<(), Fault> {
        Ok(())
    }

    async fn measure(&self, target: &Target, worse: bool) -> Result<(), Fault> {
        self.aws.measure(target, worse).await
    }
}

impl TrafficRouter for Local {
    async fn look(&self, target: &Target) -> Result<Routing, LookError> {
        self.aws.look(target).await
    }

    async fn version(&self, target: &Target, version: Option<&Version>) -> Result<VersionInfo, LookError> {
        self.aws.version(target, version).await
    }

    async fn set(&self, split: &SetWeight<'_>) -> Result<(), SetError> {
        self.aws.set(split).await
    }

    async fn attach(&self, attach: &Attach<'_>) -> Result<(), SetError> {
        self.aws.attach(attach).await
    }

    async fn detach(&self, detach: &Detach<'_>) -> Result<(), SetError> {
        self.aws.detach(detach).await
    }

    async fn health(&self, target: &Target, baseline: &Version, canary: &Version) -> Result<Health, LookError> {
        self.aws.health(target, baseline, canary).await
    }

    async fn survey(&self, target: &Target) -> Result<Surroundings, LookError> {
        self.aws.survey(target).await
    }
}

impl MetricSource for Local {
    async fn fetch(&self, queries: &[SeriesQuery]) -> Vec<Result<Series, Fault>> {
        self.aws.fetch(queries).await
    }
}

impl AlarmSource for Local {
    async fn states(&self, names: &[String]) -> Result<BTreeMap<String, AlarmState>, Fault> {
        self.aws.states(names).await
    }
}

impl TestRunner for Local {
    async fn run(&self, target: &Target, version: &Version, test: &Test) -> Result<TestOutcome, Fault> {
        self.aws.run(target, version, test).await
    }
}

impl Deployments for Local {
    async fn deployment(&self, deployment: &DeploymentRef) -> Result<Deployment, LookError> {
        self.aws.deployment(deployment).await
    }

    async fn stop(&self, deployment: &DeploymentRef) -> Result<(), Fault> {
        self.aws.stop(deployment).await
    }

    async fn answer(&self, hook: &Hook, answer: &HookAnswer) -> Result<(), Fault> {
        self.aws.answer(hook, answer).await
    }

    async fn spec_for(&self, deployment: &Deployment) -> Result<Option<FoundSpec>, Fault> {
        self.aws.spec_for(deployment).await
    }

    async fn shifting(&self, target: &Target) -> Result<Option<DeploymentRef>, Fault> {
        self.aws.shifting(target).await
    }
}

impl DeadMansSwitch for Local {
    async fn arm(&self, switch: &Switch<'_>) -> Result<(), Fault> {
        self.aws.arm(switch).await
    }

    async fn disarm(&self, rollout: &str, target: &Target) -> Result<(), Fault> {
        self.aws.disarm(rollout, target).await
    }
}

impl RolloutStore for Local {
    async fn active(&self) -> Result<Vec<Result<Rollout, Unreadable>>, Fault> {
        self.store.active().await
    }

    async fn load(&self, id: &str) -> Result<Option<Rollout>, Fault> {
        self.store.load(id).await
    }

    async fn holder(&self, target: &Target) -> Result<Option<String>, Fault> {
        self.store.holder(target).await
    }

    async fn named_by_alarm(&self, alarm: &str) -> Result<Vec<String>, Fault> {
        self.store.named_by_alarm(alarm).await
    }

    async fn create(&self, rollout: &Rollout) -> Result<(), CreateError> {
        self.store.create(rollout).await
    }

    async fn save(&self, before: &Rollout, next: &Rollout, record: Option<&DecisionRecord>) -> Result<(), SaveError> {
        self.store.save(before, next, record).await
    }

    async fn seal(&self, id: &str, minutes: &[MinuteSample]) -> Result<(), Fault> {
        self.store.seal(id, minutes).await
    }

    async fn sealed(&self, id: &str) -> Result<Vec<MinuteSample>, Fault> {
        self.store.sealed(id).await
    }

    async fn judged(&self) -> Result<Vec<Result<Rollout, Unreadable>>, Fault> {
        self.store.judged().await
    }

    async fn ended(&self, since: Timestamp, from: Option<&str>) -> Result<EndedPage, Fault> {
        self.store.ended(since, from).await
    }

    async fn keep_hook(&self, hook: &Hook) -> Result<(), Fault> {
        self.store.keep_hook(hook).await
    }

    async fn hooks(&self) -> Result<Vec<Hook>, Fault> {
        self.store.hooks().await
    }

    async fn drop_hook(&self, hook: &Hook) -> Result<(), Fault> {
        self.store.drop_hook(hook).await
    }
}
