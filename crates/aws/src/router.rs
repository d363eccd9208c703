//! Traffic, whatever it is shifted on.

use coalmine_core::observation::{Health, Routing, Surroundings, VersionInfo};
use coalmine_core::ports::{Attach, Detach, Fault, FaultKind, LookError, SetError, SetWeight, TrafficRouter};
use coalmine_core::spec::{Target, Version};

use crate::Aws;

impl TrafficRouter for Aws {
    async fn look(&self, target: &Target) -> Result<Routing, LookError> {
        match target {
            Target::Lambda(alias) => self.look_at_alias(alias).await,
            Target::Alb(balancer) => self.look_at_rules(balancer).await,
        }
    }

    async fn version(&self, target: &Target, version: Option<&Version>) -> Result<VersionInfo, LookError> {
        match target {
            Target::Lambda(alias) => self.version_of_function(alias, version).await,
            Target::Alb(balancer) => self.target_group(balancer, version).await,
        }
    }

    async fn set(&self, split: &SetWeight<'_>) -> Result<(), SetError> {
        match split.target {
            Target::Lambda(alias) => self.set_alias(alias, split).await,
            Target::Alb(balancer) => self.set_rules(balancer, split).await,
        }
    }

    async fn attach(&self, attach: &Attach<'_>) -> Result<(), SetError> {
        match attach.target {
            Target::Lambda(_) => Ok(()),
            Target::Alb(balancer) => self.attach_group(balancer, attach).await,
        }
    }

    async fn detach(&self, detach: &Detach<'_>) -> Result<(), SetError> {
        match detach.target {
            Target::Lambda(_) => Ok(()),
            Target::Alb(balancer) => self.detach_group(balancer, detach).await,
        }
    }

    async fn health(&self, target: &Target, baseline: &Version, canary: &Version) -> Result<Health, LookError> {
        match target {
            Target::Lambda(_) => {
                let detail = format!("{} is an alias; only target groups have health checks", target.key());
                Err(Fault::new("DescribeTargetHealth", FaultKind::Rejected, detail).into())
            }
            Target::Alb(_) => self.health_of_groups(baseline, canary).await,
        }
    }

    async fn survey(&self, target: &Target) -> Result<Surroundings, LookError> {
        match target {
            Target::Lambda(alias) => self.around_alias(alias).await,
            Target::Alb(balancer) => self.surroundings(balancer).await,
        }
    }
}
