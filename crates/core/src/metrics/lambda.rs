//! The metrics of a Lambda alias and its versions.

use std::collections::BTreeMap;

use super::bins::{Sampled, Told};
use super::{InMinute, Of, Series, Stat, Traffic};
use crate::analysis::{Count, grouped};
use crate::spec::{LambdaTarget, MetricRef, Target, Version};
use crate::units::Minute;

/// Versions published before the old one that may have shared the alias with it or with each other.
const VERSIONS_BEFORE: u64 = 4;

/// Versions looked at in all.
const VERSIONS_AT_MOST: usize = 12;

/// What a metric is about.
#[derive(Clone, Copy)]
enum Scope<'a> {
    Function,
    Alias,
    /// A version, as far as it is reached through the alias.
    Version(&'a Version),
}

impl<'a> Scope<'a> {
    fn of(of: Of<'a>) -> Self {
        match of {
            Of::Baseline(version) | Of::Canary(version) => Self::Version(version),
            Of::Alone(_) => Self::Alias,
        }
    }
}

fn metric(name: &str, lambda: &LambdaTarget, scope: Scope<'_>) -> MetricRef {
    let LambdaTarget { function, alias, .. } = lambda;
    let mut dimensions = BTreeMap::from([("FunctionName".to_owned(), function.clone())]);
    // The resource is `name:alias`; with an ARN the series would be empty.
    let resource = format!("{function}:{alias}");
    match scope {
        Scope::Function => {}
        Scope::Alias => {
            dimensions.insert("Resource".to_owned(), resource);
        }
        Scope::Version(version) => {
            dimensions.insert("Resource".to_owned(), resource);
            dimensions.insert("ExecutedVersion".to_owned(), version.0.clone());
        }
    }
    MetricRef { namespace: "AWS/Lambda".to_owned(), metric: name.to_owned(), dimensions }
}

/// What [`failed`] reads.
pub(super) fn errors(lambda: &LambdaTarget, of: Of<'_>) -> Vec<(MetricRef, Stat)> {
    let metric = |name: &str| metric(name, lambda, Scope::of(of));
    vec![(metric("Errors"), Stat::Sum), (metric("Errors"), Stat::SampleCount), (metric("Invocations"), Stat::Sum)]
}

/// Each invocation emits `Errors` as 0 or 1, so the exposure is that metric's SampleCount. While it falls short of
/// `Invocations`, the minute is not complete yet, and a late error must not be read as none.
pub(super) fn failed(seen: InMinute<'_>) -> Option<Count> {
    let (errors, samples, invocations) = (seen.value(0)?, seen.value(1)?, seen.value(2)?);
    // A NaN is not at least anything.
    if samples >= invocations { Count::new(samples, errors) } else { None }
}

/// Every invocation has a duration, sooner or later.
pub(super) fn durations(lambda: &LambdaTarget, of: Of<'_>) -> Sampled {
    let metric = |name: &str| metric(name, lambda, Scope::of(of));
    let told = Told { requests: metric("Invocations"), unsampled: Vec::new(), share: 1.0 };
    Sampled { metric: metric("Duration"), scale: 1.0, told: Some(told) }
}

pub(super) fn placeholders(lambda: &LambdaTarget, version: &Version) -> Vec<(&'static str, String)> {
    vec![("{version}", version.0.clone()), ("{function}", lambda.function.clone()), ("{alias}", lambda.alias.clone())]
}

/// Requests in all, through the alias, and how many of those failed.
pub(super) fn history(lambda: &LambdaTarget) -> Vec<MetricRef> {
    let metric = |name: &str, scope: Scope<'_>| metric(name, lambda, scope);
    vec![metric("Invocations", Scope::Function), metric("Invocations", Scope::Alias), metric("Errors", Scope::Alias)]
}

/// What a version got through the alias.
pub(super) fn invoked(lambda: &LambdaTarget, version: &Version) -> MetricRef {
    metric("Invocations", lambda, Scope::Version(version))
}

/// What [`undivided`] reads: of the alias, then of the versions that were near.
pub(super) fn sharing(lambda: &LambdaTarget, baseline: &Version, canary: &Version) -> Vec<MetricRef> {
    let near = near(baseline, canary);
    let scopes = [Scope::Alias].into_iter().chain(near.iter().map(Scope::Version));
    scopes.map(|scope| metric("Invocations", lambda, scope)).collect()
}

/// Whether one version alone had the alias in a minute.
pub(super) fn undivided(invocations: &[Series], minute: Minute) -> bool {
    let Some((alias, versions)) = invocations.split_first() else { return false };
    let Some(all) = alias.get(&minute) else { return false };
    versions.iter().filter_map(|version| version.get(&minute)).all(|own| own >= all)
}

/// The rollout's two versions and those published shortly before them or between them. Versions are counted from 1.
fn near(baseline: &Version, canary: &Version) -> Vec<Version> {
    let mut near = vec![baseline.clone(), canary.clone()];
    if let (Ok(old), Ok(new)) = (baseline.0.parse::<u64>(), canary.0.parse::<u64>()) {
        let (low, high) = (old.min(new).saturating_sub(VERSIONS_BEFORE).max(1), old.max(new));
        let others = (low..high).rev().map(|number| Version(number.to_string()));
        let others: Vec<Version> =
            others.filter(|version| !near.contains(version)).take(VERSIONS_AT_MOST - 2).collect();
        near.extend(others);
    }
    near
}

/// Traffic that does not pass through the alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bypass {
    /// All of it: a shift would move nothing.
    Refuse(String),
    /// More than half of it.
    Warn(String),
}

/// Whether the traffic goes around the alias that is to be shifted. No traffic at all is no problem here, and nobody
/// counts what goes around a load balancer.
#[must_use]
pub fn bypass_problem(target: &Target, traffic: &Traffic) -> Option<Bypass> {
    let Target::Lambda(LambdaTarget { function, alias, .. }) = target else { return None };
    let got = traffic.requests;
    let all = got + traffic.around?;
    if all <= 0.0 || got >= 0.5 * all {
        return None;
    }
    let period = if traffic.minutes == 60 { "hour".to_owned() } else { format!("{} minutes", traffic.minutes) };
    let seen = |got: &str| {
        format!("alias {alias} of {function} got {got} of the {} invocations of the last {period}", grouped(all))
    };
    Some(if got <= 0.0 {
        Bypass::Refuse(format!(
            "{}: they use another alias or the function's ARN without alias, so a shift would move nothing. Point the \
             callers at {function}:{alias}",
            seen("none")
        ))
    } else {
        Bypass::Warn(format!(
            "{}: the others use another alias or the function's ARN without alias, and are neither shifted nor judged. \
             Point those callers at {function}:{alias}, too",
            seen(&grouped(got))
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_were_near_are_few_and_are_numbers_from_one() {
        let version = |number: &str| Version(number.to_owned());
        let numbers = |old: &str, new: &str| -> Vec<String> {
            near(&version(old), &version(new)).into_iter().map(|version| version.0).collect()
        };
        assert_eq!(numbers("1", "2"), ["1", "2"]);
        assert_eq!(numbers("3", "2"), ["3", "2", "1"], "back to an older one");
        assert_eq!(numbers("$LATEST", "2"), ["$LATEST", "2"]);
        assert_eq!(numbers("10", "1000").len(), VERSIONS_AT_MOST);
        assert_eq!(numbers("0", "18446744073709551615").len(), VERSIONS_AT_MOST);
    }
}
