//! Specs that were left for deployments: in a parameter that a tag names, or in one whose name tells what it is for.

use aws_sdk_ecs::types::ServiceField;
use coalmine_core::deployment::{Deployment, DeploymentRef, FoundSpec};
use coalmine_core::ports::{Fault, FaultKind};
use coalmine_core::spec::{LambdaTarget, Target};

use crate::Aws;
use crate::elb::DESCRIBE_SERVICES;
use crate::errors::{Call, refused_as};
use crate::lambda_alias::GET_ALIAS;

const LIST_TAGS: Call = Call::new("ListTags", "lambda:ListTags");
const GET_PARAMETER: Call = Call::new("GetParameter", "ssm:GetParameter");

/// Its value is a parameter's name. On a function or an ECS service: neither aliases nor versions can have tags.
const TAG: &str = "coalmine:spec";

/// What a deployment deploys.
enum Deployed<'a> {
    Alias(&'a LambdaTarget),
    Service { cluster: &'a str, service: &'a str },
}

impl<'a> Deployed<'a> {
    fn of(deployment: &'a Deployment) -> Option<Self> {
        match (&deployment.reference, deployment.shift.as_ref().map(|shift| &shift.target)) {
            (DeploymentRef::CodeDeploy(_), Some(Target::Lambda(alias))) => Some(Self::Alias(alias)),
            (DeploymentRef::CodeDeploy(_), Some(Target::Alb(_)) | None) => None,
            (DeploymentRef::Ecs(_), _) => {
                let (cluster, service) = deployment.owner.split_once('/')?;
                Some(Self::Service { cluster, service })
            }
        }
    }

    /// Of the parameter that nothing need name.
    fn parameter(&self) -> String {
        match self {
            Self::Alias(LambdaTarget { function, alias, .. }) => format!("/coalmine/{function}/{alias}"),
            Self::Service { cluster, service } => format!("/coalmine/{cluster}/{service}"),
        }
    }
}

impl std::fmt::Display for Deployed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Alias(alias) => write!(f, "function {}", alias.function),
            Self::Service { cluster, service } => write!(f, "ECS service {cluster}/{service}"),
        }
    }
}

impl Aws {
    pub(super) async fn left_spec(&self, deployment: &Deployment) -> Result<Option<FoundSpec>, Fault> {
        let untold = || {
            let detail = format!("{} does not tell what it deploys", deployment.reference);
            GET_PARAMETER.refusal(FaultKind::Failed, detail)
        };
        let deployed = Deployed::of(deployment).ok_or_else(untold)?;
        if let Some(name) = self.tag(&deployed).await? {
            return self.tagged_spec(&name, &deployed).await.map(Some);
        }
        let name = deployed.parameter();
        let text = self.parameter(&name).await?;
        Ok(text.map(|text| FoundSpec { place: format!("SSM parameter {name}"), text }))
    }

    /// Somebody wanted a spec there: that there is none, or that it cannot be read, is told with the tag.
    async fn tagged_spec(&self, name: &str, deployed: &Deployed<'_>) -> Result<FoundSpec, Fault> {
        let named = format!("SSM parameter {name} (tag {TAG} of {deployed})");
        match self.parameter(name).await {
            Ok(Some(text)) => Ok(FoundSpec { place: named, text }),
            Ok(None) => Err(GET_PARAMETER.refusal(FaultKind::Rejected, format!("there is no {named}"))),
            Err(fault) => {
                let detail = format!("{named}: {}", fault.detail);
                Err(Fault { detail, ..fault })
            }
        }
    }

    async fn parameter(&self, name: &str) -> Result<Option<String>, Fault> {
        match self.ssm().get_parameter().name(name).with_decryption(true).send().await {
            Ok(answer) => {
                let text = answer.parameter.and_then(|parameter| parameter.value);
                let silent = || GET_PARAMETER.refusal(FaultKind::Failed, format!("the answer has no value of {name}"));
                text.map(Some).ok_or_else(silent)
            }
            Err(error) if refused_as(&error, |e| e.is_parameter_not_found()) => Ok(None),
            Err(error) => Err(GET_PARAMETER.fault(error)),
        }
    }

    async fn tag(&self, deployed: &Deployed<'_>) -> Result<Option<String>, Fault> {
        match deployed {
            Deployed::Alias(alias) => self.tag_of_function(alias).await,
            Deployed::Service { cluster, service } => self.tag_of_service(cluster, service).await,
        }
    }

    /// Tags are asked for by ARN, which an alias tells of its function.
    async fn tag_of_function(
        &self,
        LambdaTarget { function, alias, .. }: &LambdaTarget,
    ) -> Result<Option<String>, Fault> {
        let answer = self.lambda().get_alias().function_name(function).name(alias).send().await;
        let answer = answer.map_err(|error| GET_ALIAS.fault(error))?;
        let arn = answer.alias_arn().and_then(|arn| arn.strip_suffix(&format!(":{alias}")));
        let silent = || GET_ALIAS.refusal(FaultKind::Failed, "the answer has no AliasArn");
        let answer = self.lambda().list_tags().resource(arn.ok_or_else(silent)?).send().await;
        let tags = answer.map_err(|error| LIST_TAGS.fault(error))?.tags.unwrap_or_default();
        Ok(tags.get(TAG).cloned())
    }

    async fn tag_of_service(&self, cluster: &str, service: &str) -> Result<Option<String>, Fault> {
        let request = self.ecs().describe_services().cluster(cluster).services(service).include(ServiceField::Tags);
        let answer = request.send().await.map_err(|error| DESCRIBE_SERVICES.fault(error))?;
        let unknown = || {
            let detail = format!("there is no ECS service {cluster}/{service}");
            DESCRIBE_SERVICES.refusal(FaultKind::Rejected, detail)
        };
        let found = answer.services().first().ok_or_else(unknown)?;
        let tag = found.tags().iter().find(|tag| tag.key() == Some(TAG));
        Ok(tag.and_then(|tag| tag.value()).map(str::to_owned))
    }
}

#[cfg(test)]
mod tests;
