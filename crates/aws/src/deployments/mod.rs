//! Deployments that CodeDeploy and Amazon ECS run.

use coalmine_core::deployment::{Deployment, DeploymentRef, FoundSpec, Hook, HookAnswer};
use coalmine_core::ports::{Deployments, Fault, FaultKind, LookError};
use coalmine_core::spec::Target;
use coalmine_core::units::{Span, Weight};

use crate::Aws;
use crate::errors::Call;

mod code_deploy;
mod ecs;
mod specs;

impl Deployments for Aws {
    async fn deployment(&self, deployment: &DeploymentRef) -> Result<Deployment, LookError> {
        match deployment {
            DeploymentRef::CodeDeploy(id) => self.code_deployment(id).await,
            DeploymentRef::Ecs(arn) => self.service_deployment(arn).await,
        }
    }

    async fn stop(&self, deployment: &DeploymentRef) -> Result<(), Fault> {
        match deployment {
            DeploymentRef::CodeDeploy(id) => self.stop_code_deployment(id).await,
            DeploymentRef::Ecs(arn) => self.stop_service_deployment(arn).await,
        }
    }

    async fn answer(&self, hook: &Hook, answer: &HookAnswer) -> Result<(), Fault> {
        self.answer_hook(hook, answer).await
    }

    async fn spec_for(&self, deployment: &Deployment) -> Result<Option<FoundSpec>, Fault> {
        self.left_spec(deployment).await
    }

    /// Rules that ECS or CodeDeploy moves for a service are found by a [survey](coalmine_core::ports::TrafficRouter::survey)
    /// at any time, deployment or not.
    async fn shifting(&self, target: &Target) -> Result<Option<DeploymentRef>, Fault> {
        match target {
            Target::Lambda(alias) => self.shifting_alias(alias).await,
            Target::Alb(_) => Ok(None),
        }
    }
}

/// A share that a service tells in percent.
fn weight(call: Call, what: &str, percent: f64) -> Result<Weight, Fault> {
    let odd = || call.refusal(FaultKind::Failed, format!("{what} is {percent} %"));
    Weight::from_share(percent / 100.0).ok_or_else(odd)
}

/// A time that a service tells in minutes.
fn minutes(call: Call, what: &str, count: i32) -> Result<Span, Fault> {
    let odd = |_| call.refusal(FaultKind::Failed, format!("{what} is {count} minutes"));
    u64::try_from(count).map(Span::from_minutes).map_err(odd)
}
