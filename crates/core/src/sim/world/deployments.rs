//! Deployments that another service runs.

use super::World;
use crate::deployment::{Deployment, DeploymentRef, FoundSpec, Hook, HookAnswer};
use crate::ports::{Deployments, Fault, LookError};
use crate::spec::Target;

impl Deployments for World {
    async fn deployment(&self, deployment: &DeploymentRef) -> Result<Deployment, LookError> {
        Err(LookError::NotFound(format!("there is no {deployment}")))
    }

    async fn stop(&self, _: &DeploymentRef) -> Result<(), Fault> {
        Ok(())
    }

    async fn answer(&self, _: &Hook, _: &HookAnswer) -> Result<(), Fault> {
        Ok(())
    }

    async fn spec_for(&self, _: &Deployment) -> Result<Option<FoundSpec>, Fault> {
        Ok(None)
    }

    async fn shifting(&self, _: &Target) -> Result<Option<DeploymentRef>, Fault> {
        Ok(None)
    }
}
