//! A Lambda alias with two weighted versions.
//!
//! The shape is CodeDeploy's: the alias points to the baseline, and the canary is its additional version. The inverse
//! shape makes Lambda fail, and a weight of 1.0 is something that Lambda itself writes while it moves provisioned
//! concurrency; so the promotion is one call that points the alias to the canary and empties the weights.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use aws_sdk_lambda::operation::get_provisioned_concurrency_config::GetProvisionedConcurrencyConfigOutput;
use aws_sdk_lambda::types::AliasRoutingConfiguration;
use coalmine_core::observation::{Readiness, Routing, Surroundings, VersionInfo};
use coalmine_core::ports::{Fault, FaultKind, LookError, SetError, SetWeight};
use coalmine_core::spec::{LambdaTarget, Version};
use coalmine_core::text::shown;
use coalmine_core::units::{Span, Weight};

use crate::Aws;
use crate::errors::{Call, REASON_CHARS, refused_as};

pub(crate) const GET_ALIAS: Call = Call::new("GetAlias", "lambda:GetAlias");
const UPDATE_ALIAS: Call = Call::new("UpdateAlias", "lambda:UpdateAlias");
const GET_CONFIGURATION: Call = Call::new("GetFunctionConfiguration", "lambda:GetFunctionConfiguration");
const LIST_VERSIONS: Call = Call::new("ListVersionsByFunction", "lambda:ListVersionsByFunction");
const GET_PROVISIONED: Call = Call::new("GetProvisionedConcurrencyConfig", "lambda:GetProvisionedConcurrencyConfig");

/// Waits before a throttled write is tried again: Lambda's control plane allows the whole account 15 calls a second.
pub(crate) const THROTTLE_WAITS: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(900)];

impl Aws {
    pub(crate) async fn look_at_alias(&self, target: &LambdaTarget) -> Result<Routing, LookError> {
        let LambdaTarget { function, alias, .. } = target;
        let answer = match self.lambda().get_alias().function_name(function).name(alias).send().await {
            Ok(answer) => answer,
            Err(error) if refused_as(&error, |e| e.is_resource_not_found_exception()) => {
                return Err(self.missing(function, format!("function {function} has no alias {alias}")).await);
            }
            Err(error) => return Err(GET_ALIAS.fault(error).into()),
        };
        let weights = answer.routing_config().and_then(AliasRoutingConfiguration::additional_version_weights);
        let routing = routing(answer.function_version(), weights, answer.revision_id())?;
        let in_transition = self.in_transition(target, &routing).await;
        Ok(Routing { in_transition, ..routing })
    }

    pub(crate) async fn version_of_function(
        &self,
        LambdaTarget { function, .. }: &LambdaTarget,
        version: Option<&Version>,
    ) -> Result<VersionInfo, LookError> {
        let version = match version {
            Some(version) => version.clone(),
            None => self.newest(function).await?,
        };
        let request = self.lambda().get_function_configuration().function_name(function).qualifier(&version.0);
        let no_version = format!("function {function} has no version {}", version.0);
        match request.send().await {
            // An alias of this name has been found.
            Ok(answer) if answer.version() != Some(&version.0) => Err(LookError::NotFound(no_version)),
            Ok(answer) => Ok(version_info(version, &answer)?),
            Err(error) if refused_as(&error, |e| e.is_resource_not_found_exception()) => {
                Err(self.missing(function, no_version).await)
            }
            Err(error) => Err(GET_CONFIGURATION.fault(error).into()),
        }
    }

    /// Only a throttled attempt is repeated, because then it is certain that nothing was written. After a timeout the
    /// write may still arrive; a repetition would be one write more that may arrive late. The revision makes a late
    /// one harmless as soon as anything else has been written, and the next tick looks before it writes again.
    pub(crate) async fn set_alias(&self, target: &LambdaTarget, split: &SetWeight<'_>) -> Result<(), SetError> {
        for wait in THROTTLE_WAITS {
            match self.update_alias(target, split).await {
                Err(SetError::Fault(fault)) if fault.kind == FaultKind::Throttled => tokio::time::sleep(wait).await,
                done => return done,
            }
        }
        self.update_alias(target, split).await
    }

    async fn update_alias(&self, target: &LambdaTarget, split: &SetWeight<'_>) -> Result<(), SetError> {
        let LambdaTarget { function, alias, .. } = target;
        let Some(revision) = &split.seen.revision else {
            let detail =
                format!("the look at {} brought no revision to make the write conditional", split.target.key());
            return Err(UPDATE_ALIAS.refusal(FaultKind::Rejected, detail).into());
        };
        let (version, weights) = alias_shape(split);
        let request = self
            .lambda()
            .update_alias()
            .function_name(function)
            .name(alias)
            .function_version(version)
            .routing_config(AliasRoutingConfiguration::builder().set_additional_version_weights(Some(weights)).build())
            .revision_id(revision)
            .customize()
            .config_override(aws_sdk_lambda::config::Builder::new().retry_config(RetryConfig::disabled()));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if refused_as(&error, |e| e.is_precondition_failed_exception()) => Err(SetError::Stale),
            Err(error) => Err(UPDATE_ALIAS.fault(error).into()),
        }
    }

    /// Whether Lambda is moving provisioned concurrency and may rearrange the weights meanwhile. Only a weighted alias
    /// is asked about, and once it was found to have none it is not asked about again until its weights are gone:
    /// Lambda refuses to give provisioned concurrency to a weighted alias.
    async fn in_transition(&self, target: &LambdaTarget, routing: &Routing) -> bool {
        let LambdaTarget { function, alias, .. } = target;
        let key = format!("{function}:{alias}");
        let Some((_, weight)) = &routing.additional else {
            self.unprovisioned.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            return false;
        };
        // Nobody but Lambda writes it.
        let lambdas_own = *weight == Weight::FULL;
        let known = self.unprovisioned.lock().unwrap_or_else(PoisonError::into_inner).contains(&key);
        if known && !lambdas_own {
            return false;
        }
        match self.provisioned(target).await {
            Ok(Some(config)) => config.status().is_some_and(|status| status.as_str() == "IN_PROGRESS"),
            Ok(None) => {
                self.unprovisioned.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
                false
            }
            Err(fault) => {
                tracing::warn!(target = key, error = %fault, "provisioned concurrency is not known");
                // Not knowing holds for a tick. A permission that is missing would hold for ever.
                lambdas_own || fault.kind != FaultKind::Denied
            }
        }
    }

    pub(crate) async fn around_alias(&self, target: &LambdaTarget) -> Result<Surroundings, LookError> {
        let provisioned = self.provisioned(target).await?.is_some();
        Ok(Surroundings { provisioned, ..Surroundings::default() })
    }

    /// The alias' provisioned concurrency; `None` where it has none.
    async fn provisioned(
        &self,
        LambdaTarget { function, alias, .. }: &LambdaTarget,
    ) -> Result<Option<GetProvisionedConcurrencyConfigOutput>, Fault> {
        let request = self.lambda().get_provisioned_concurrency_config().function_name(function).qualifier(alias);
        match request.send().await {
            Ok(config) => Ok(Some(config)),
            Err(error) if refused_as(&error, |e| e.is_provisioned_concurrency_config_not_found_exception()) => Ok(None),
            Err(error) => Err(GET_PROVISIONED.fault(error)),
        }
    }

    async fn newest(&self, function: &str) -> Result<Version, LookError> {
        let mut newest: Option<u64> = None;
        let mut pages = self.lambda().list_versions_by_function().function_name(function).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                Err(error) if refused_as(&error, |e| e.is_resource_not_found_exception()) => {
                    return Err(LookError::NotFound(format!("function {function} does not exist")));
                }
                Err(error) => return Err(LIST_VERSIONS.fault(error).into()),
            };
            let numbers = page.versions().iter().filter_map(|version| version.version()?.parse().ok());
            newest = newest.max(numbers.max());
        }
        let none = || LookError::NotFound(format!("function {function} has no published version"));
        newest.map(|number| Version(number.to_string())).ok_or_else(none)
    }

    /// Lambda's answer does not tell whether the function or only its part is missing: asked on the error path only.
    async fn missing(&self, function: &str, part: String) -> LookError {
        match self.lambda().get_function_configuration().function_name(function).send().await {
            Ok(_) => LookError::NotFound(part),
            Err(error) if refused_as(&error, |e| e.is_resource_not_found_exception()) => {
                LookError::NotFound(format!("function {function} does not exist"))
            }
            Err(error) => GET_CONFIGURATION.fault(error).into(),
        }
    }
}

/// What an alias must look like for a weight.
fn alias_shape(split: &SetWeight<'_>) -> (String, HashMap<String, f64>) {
    let (primary, weights) = match split.weight {
        Weight::ZERO => (split.baseline, HashMap::new()),
        Weight::FULL => (split.canary, HashMap::new()),
        weight => (split.baseline, HashMap::from([(split.canary.0.clone(), weight.share())])),
    };
    (primary.0.clone(), weights)
}

/// An alias as the routing it makes. An alias of `$LATEST` is told as it is: it is nobody's baseline.
fn routing(
    version: Option<&str>,
    weights: Option<&HashMap<String, f64>>,
    revision: Option<&str>,
) -> Result<Routing, Fault> {
    let broken = |detail: String| GET_ALIAS.refusal(FaultKind::Failed, detail);
    let primary = version.ok_or_else(|| broken("the answer has no FunctionVersion".to_owned()))?;
    let mut parts: Vec<(&str, f64)> = Vec::new();
    for (version, share) in weights.into_iter().flatten() {
        if !(0.0..=1.0).contains(share) {
            return Err(broken(format!("the weight of version {version} is {share}, not between 0 and 1")));
        }
        if *share > 0.0 {
            parts.push((version, *share));
        }
    }
    parts.sort_by_key(|(version, _)| *version);
    let revision = revision.map(str::to_owned);
    Ok(Routing { revision, ..Routing::of(Version(primary.to_owned()), additional(&parts)) })
}

/// Lambda allows one additional version. Should it ever allow more, none of the versions in the answer is ours alone,
/// so they are named together, which makes the split foreign to every rollout.
fn additional(parts: &[(&str, f64)]) -> Option<(Version, Weight)> {
    let names: Vec<&str> = parts.iter().map(|(version, _)| *version).collect();
    let share: f64 = parts.iter().map(|(_, share)| share).sum();
    // Some traffic is not none, and most of it is not all.
    let weight = match Weight::from_share(share.min(1.0))? {
        Weight::ZERO => Weight::from_basis_points(1)?,
        Weight::FULL if share < 1.0 => Weight::from_basis_points(9_999)?,
        weight => weight,
    };
    (!parts.is_empty()).then(|| (Version(names.join(" and ")), weight))
}

fn version_info(version: Version, answer: &GetFunctionConfigurationOutput) -> Result<VersionInfo, Fault> {
    let seconds = answer.timeout().and_then(|seconds| u64::try_from(seconds).ok());
    let timeout = seconds
        .map(Span::from_seconds)
        .ok_or_else(|| GET_CONFIGURATION.refusal(FaultKind::Failed, "the answer has no Timeout"))?;
    Ok(VersionInfo {
        version,
        readiness: readiness(
            (answer.state().map(|state| state.as_str()), answer.state_reason()),
            (answer.last_update_status().map(|status| status.as_str()), answer.last_update_status_reason()),
        ),
        timeout,
        code_hash: answer.code_sha256().unwrap_or_default().to_owned(),
        published: answer.last_modified().unwrap_or_default().to_owned(),
        slow_start: Span::ZERO,
    })
}

/// State and last update, each with Lambda's reason for it. What this code does not know is waited for, not guessed.
fn readiness(state: (Option<&str>, Option<&str>), update: (Option<&str>, Option<&str>)) -> Readiness {
    let say = |text: String, reason: Option<&str>| match reason {
        Some(reason) if !reason.is_empty() => format!("{text}: {}", shown(reason, REASON_CHARS)),
        Some(_) | None => text,
    };
    match state.0 {
        Some("Active") => {}
        Some(name @ ("Failed" | "Deactivated" | "Deactivating" | "Deleting")) => {
            return Readiness::Never(say(format!("its state is {name}"), state.1));
        }
        // Lambda took an idle version's resources away. Nobody invokes a version that waits for its first traffic.
        Some("Inactive") => {
            let what = "its state is Inactive, and nothing but an invocation wakes it; invoke it, then start again";
            return Readiness::Never(say(what.to_owned(), state.1));
        }
        Some(name) => return Readiness::NotYet(say(format!("its state is {name}"), state.1)),
        None => return Readiness::NotYet("Lambda does not tell its state".to_owned()),
    }
    match update.0 {
        Some("Successful") | None => Readiness::Active,
        Some("Failed") => Readiness::Never(say("its last update failed".to_owned(), update.1)),
        Some(name) => Readiness::NotYet(say(format!("its last update is {name}"), update.1)),
    }
}

#[cfg(test)]
mod tests;
