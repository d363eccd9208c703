//! The router of the made-up AWS: aliases with their revisions, rules without.

use std::collections::BTreeMap;

use super::alb::{Rule, fingerprint};
use super::{Call, State, World};
use crate::alb;
use crate::observation::{Health, Readiness, Routing, SeenGroup, SeenRule, Surroundings, VersionInfo};
use crate::ports::{Attach, Detach, Fault, FaultKind, LookError, SetError, SetWeight, TrafficRouter};
use crate::sim::executor::yield_once;
use crate::spec::{AlbTarget, LambdaTarget, Stickiness, Target, Version};
use crate::units::{Span, Weight};

/// A load balancer's idle timeout, by default.
const IDLE_TIMEOUT: Span = Span::from_seconds(60);

impl TrafficRouter for World {
    async fn look(&self, target: &Target) -> Result<Routing, LookError> {
        let state = self.lock();
        match target {
            Target::Lambda(lambda) => {
                let alias = state.aliases.get(&target.key()).cloned();
                alias.ok_or_else(|| match state.functions.get(&lambda.function) {
                    Some(_) => not_found(format!("function {} has no alias {}", lambda.function, lambda.alias)),
                    None => not_found(format!("function {} does not exist", lambda.function)),
                })
            }
            Target::Alb(alb) => state.routing_of(alb).map_err(not_found),
        }
    }

    async fn version(&self, target: &Target, version: Option<&Version>) -> Result<VersionInfo, LookError> {
        let state = self.lock();
        match target {
            Target::Lambda(lambda) => state.published(lambda, version),
            Target::Alb(alb) => state.group(alb, version),
        }
    }

    async fn set(&self, split: &SetWeight<'_>) -> Result<(), SetError> {
        let SetWeight { target, baseline, canary, weight, seen } = split;
        match target {
            Target::Lambda(_) => self.lock().update_alias(split),
            Target::Alb(alb) => {
                let (new, old) = alb::pair(*weight);
                let release = *weight == Weight::ZERO && alb.stickiness == Stickiness::DisableOnRollback;
                let change = |rule: &Rule| {
                    if rule.is_taken(&[baseline, canary]) {
                        return rule.clone();
                    }
                    let sticky = rule.sticky.filter(|_| !release);
                    Rule { sticky, ..rule.with(baseline, old).with(canary, new) }
                };
                self.write_rules(target, alb, seen, &change, Call::Set).await
            }
        }
    }

    async fn attach(&self, attach: &Attach<'_>) -> Result<(), SetError> {
        let Attach { target, canary, seen } = attach;
        let Target::Alb(alb) = target else { return Ok(()) };
        let change = |rule: &Rule| rule.with(canary, rule.weight(canary).unwrap_or(0));
        self.write_rules(target, alb, seen, &change, Call::Attach).await
    }

    async fn detach(&self, detach: &Detach<'_>) -> Result<(), SetError> {
        let Detach { target, group, seen } = detach;
        let Target::Alb(alb) = target else { return Ok(()) };
        self.write_rules(target, alb, seen, &|rule: &Rule| rule.without(group), Call::Detach).await
    }

    async fn health(&self, target: &Target, baseline: &Version, canary: &Version) -> Result<Health, LookError> {
        let state = self.lock();
        let of = |group: &Version| {
            let found = state.groups.get(group).map(|group| group.health(state.now));
            found.ok_or_else(|| not_found(format!("there is no target group {group} of {}", target.key())))
        };
        Ok(Health { baseline: of(baseline)?, canary: of(canary)? })
    }

    async fn survey(&self, target: &Target) -> Result<Surroundings, LookError> {
        match target {
            Target::Lambda(_) => {
                let provisioned = self.lock().provisioned.contains(&target.key());
                Ok(Surroundings { provisioned, ..Surroundings::default() })
            }
            Target::Alb(alb) => self.lock().surroundings(alb),
        }
    }
}

fn not_found(what: String) -> LookError {
    LookError::NotFound(what)
}

fn rejected(operation: &'static str, detail: String) -> SetError {
    SetError::Fault(Fault::new(operation, FaultKind::Rejected, detail))
}

/// Versions are numbers as text: 10 is newer than 9.
fn newest(versions: &BTreeMap<Version, VersionInfo>) -> Option<&VersionInfo> {
    versions.values().max_by_key(|info| info.version.0.parse::<u64>().ok())
}

impl World {
    /// Reads, compares, writes one rule after the other, reads again. Between any two of these others may write, and what
    /// they have written since the comparison is overwritten.
    async fn write_rules(
        &self,
        target: &Target,
        alb: &AlbTarget,
        seen: &Routing,
        change: &(dyn Fn(&Rule) -> Rule + Sync),
        by: Call,
    ) -> Result<(), SetError> {
        let read = self.lock().rules_of(alb).map_err(|detail| rejected("DescribeRules", detail))?;
        if seen.fingerprint.as_deref() != Some(&fingerprint(&read)) {
            return Err(SetError::Stale);
        }
        let wanted: Vec<Rule> = read.iter().map(change).collect();
        for ((reference, before), after) in alb.rules.iter().zip(&read).zip(&wanted) {
            yield_once().await;
            if before != after {
                let written = self.lock().modify_rule(target, reference, after.clone(), true, by);
                written.map_err(|detail| rejected("ModifyRule", detail))?;
            }
        }
        yield_once().await;
        let live = self.lock().rules_of(alb).map_err(|detail| rejected("DescribeRules", detail))?;
        if live == wanted { Ok(()) } else { Err(SetError::Stale) }
    }
}

impl State {
    fn published(&self, lambda: &LambdaTarget, version: Option<&Version>) -> Result<VersionInfo, LookError> {
        let function = lambda.function.as_str();
        let versions =
            self.functions.get(function).ok_or_else(|| not_found(format!("function {function} does not exist")))?;
        let found = match version {
            Some(version) => versions.get(version),
            None => newest(versions),
        };
        found.cloned().ok_or_else(|| {
            not_found(match version {
                Some(version) => format!("function {function} has no version {}", version.0),
                None => format!("function {function} has no published version"),
            })
        })
    }

    fn update_alias(&mut self, split: &SetWeight<'_>) -> Result<(), SetError> {
        let rejected = |detail: String| rejected("UpdateAlias", detail);
        let live = self
            .aliases
            .get(&split.target.key())
            .ok_or_else(|| rejected(format!("Cannot find alias {}", split.target.key())))?;
        if split.seen.revision.is_none() || live.revision != split.seen.revision {
            return Err(SetError::Stale);
        }
        let (primary, additional) = match split.weight {
            Weight::ZERO => (split.baseline, None),
            Weight::FULL => (split.canary, None),
            weight => (split.baseline, Some((split.canary.clone(), weight))),
        };
        self.write_alias(split.target, primary, additional, true).map_err(rejected)
    }

    /// A target group; the new one is that which has the smaller part of the traffic.
    fn group(&self, alb: &AlbTarget, version: Option<&Version>) -> Result<VersionInfo, LookError> {
        let first = self.rules_of(alb).map_err(not_found)?.into_iter().next();
        let weight = |group: &Version| first.as_ref().and_then(|rule| rule.weight(group)).unwrap_or(0);
        let ours = self.groups_of(alb);
        let arn = match version {
            Some(version) => Some(version),
            None if ours.len() == 2 => ours.iter().min_by_key(|group| weight(group)),
            None => None,
        };
        let missing = || not_found(format!("there are no target groups {}", alb.target_groups.join(" and ")));
        let (arn, group) = arn.and_then(|arn| self.groups.get_key_value(arn)).ok_or_else(missing)?;
        let readiness = match group.hosts() {
            0 => Readiness::NotYet("no target is registered".to_owned()),
            _ => Readiness::Active,
        };
        Ok(VersionInfo {
            version: arn.clone(),
            readiness,
            timeout: IDLE_TIMEOUT,
            code_hash: String::new(),
            published: String::new(),
            slow_start: Span::ZERO,
        })
    }

    fn surroundings(&self, alb: &AlbTarget) -> Result<Surroundings, LookError> {
        let rules = self.rules_of(alb).map_err(not_found)?;
        let seen_rule = |(reference, rule): (&crate::spec::RuleRef, Rule)| SeenRule {
            reference: reference.clone(),
            default_of: None,
            forwards: true,
            groups: rule.groups,
            sticky: rule.sticky,
            vpc: "vpc-1".to_owned(),
        };
        let seen_group = |spelled: &String| {
            let arn = self.groups.keys().find(|group| alb::group_name(&group.0) == alb::group_name(spelled))?;
            Some(SeenGroup {
                spelled: spelled.clone(),
                arn: arn.clone(),
                vpc: Some("vpc-1".to_owned()),
                balancers: Vec::new(),
                kind: "ip".to_owned(),
                protocol: Some("HTTP".to_owned()),
                checked: true,
            })
        };
        Ok(Surroundings {
            rules: alb.rules.iter().zip(rules).map(seen_rule).collect(),
            groups: alb.target_groups.iter().filter_map(seen_group).collect(),
            ..Surroundings::default()
        })
    }
}
