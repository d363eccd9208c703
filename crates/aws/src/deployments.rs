//! Deployments that CodeDeploy and Amazon ECS run.

use coalmine_core::deployment::{Deployment, DeploymentRef, FoundSpec, Hook, HookAnswer};
use coalmine_core::ports::{Deployments, Fault, FaultKind, LookError};
use coalmine_core::spec::Target;

use crate::Aws;

fn unbuilt<T>(operation: &'static str) -> Result<T, Fault> {
    Err(Fault::new(operation, FaultKind::Rejected, "not in this version"))
}

impl Deployments for Aws {
    async fn deployment(&self, _: &DeploymentRef) -> Result<Deployment, LookError> {
        Ok(unbuilt("GetDeployment")?)
    }

    async fn stop(&self, _: &DeploymentRef) -> Result<(), Fault> {
        unbuilt("StopDeployment")
    }

    async fn answer(&self, _: &Hook, _: &HookAnswer) -> Result<(), Fault> {
        unbuilt("PutLifecycleEventHookExecutionStatus")
    }

    async fn spec_for(&self, _: &Deployment) -> Result<Option<FoundSpec>, Fault> {
        Ok(None)
    }

    async fn shifting(&self, _: &Target) -> Result<Option<DeploymentRef>, Fault> {
        Ok(None)
    }
}
