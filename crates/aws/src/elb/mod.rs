//! Target groups behind an Application Load Balancer.
//!
//! A load balancer has no revision that a write could be conditional on: what is there is read, compared with what was
//! looked at, written, and read again ([`mod@write`]). What somebody else writes in the instant between the comparison and
//! the write is written over, and nobody can tell afterwards.

use aws_sdk_elasticloadbalancingv2::types::{Action, Listener, Rule as SdkRule, TargetGroup};
use coalmine_core::alb;
use coalmine_core::observation::Routing;
use coalmine_core::ports::{Fault, FaultKind, LookError};
use coalmine_core::spec::{AlbTarget, RuleRef, Version};
use coalmine_core::units::Weight;
use futures_util::future::try_join;

use self::actions::{Weights, Wish};
use crate::Aws;
use crate::errors::{Call, refused_as};

mod actions;
mod groups;
mod owners;
mod put_back;
mod survey;
mod write;

pub(crate) use owners::DESCRIBE_SERVICES;
pub(crate) use put_back::PutBack;

const DESCRIBE_RULES: Call = Call::new("DescribeRules", "elasticloadbalancing:DescribeRules");
const DESCRIBE_LISTENERS: Call = Call::new("DescribeListeners", "elasticloadbalancing:DescribeListeners");
const DESCRIBE_GROUPS: Call = Call::new("DescribeTargetGroups", "elasticloadbalancing:DescribeTargetGroups");

/// A rule, or a listener's default action, as it is configured.
#[derive(Debug, Clone)]
struct Rule {
    reference: RuleRef,
    /// It is its listener's default rule, named as a rule.
    is_default: bool,
    actions: Vec<Action>,
}

/// The rules of a target as they are, and which groups the spec means.
#[derive(Debug)]
struct Configured {
    /// In the spec's order, without those of which there is nothing to shift.
    rules: Vec<Rule>,
    /// Why a rule is not among them, a sentence each.
    lost: Vec<String>,
    /// Or why it cannot be written.
    test_rule: Option<Result<Rule, String>>,
    /// In the spec's order.
    pair: [Version; 2],
}

/// What one rule does: the group with the largest share, and another one with its share.
type Route = (Version, Option<(Version, Weight)>);

impl Aws {
    pub(crate) async fn look_at_rules(&self, target: &AlbTarget) -> Result<Routing, LookError> {
        let configured = self.configured(target).await?;
        routing(&configured).map_err(|detail| DESCRIBE_RULES.refusal(FaultKind::Rejected, detail).into())
    }

    async fn configured(&self, target: &AlbTarget) -> Result<Configured, LookError> {
        let test_rule = target.test_rule.iter().map(|arn| RuleRef::Rule(arn.clone()));
        let references: Vec<RuleRef> = target.rules.iter().cloned().chain(test_rule).collect();
        let mut found = self.found(&references).await?;
        let test_rule = if target.test_rule.is_some() { found.pop() } else { None };
        let test_rule = test_rule.map(|rule| rule.map_err(|error| error.to_string()));
        // What goes through one rule is shifted, and taken back, whatever has become of another.
        let (mut rules, mut lost) = (Vec::new(), Vec::new());
        for rule in found {
            match rule.and_then(with_traffic) {
                Ok(rule) => rules.push(rule),
                Err(error) => lost.push(error),
            }
        }
        if rules.is_empty() && !lost.is_empty() {
            return Err(lost.swap_remove(0));
        }
        let lost = lost.iter().map(LookError::to_string).collect();
        let pair = self.pair(target, &rules).await?;
        Ok(Configured { rules, lost, test_rule, pair })
    }

    /// An ARN of another region is not found here, or denied, and neither says why. Of another account it is denied by its
    /// ARN, which AWS names.
    fn is_here(&self, arn: &str) -> Result<(), LookError> {
        let (ours, theirs) = (self.sdk.region().map(aws_config::Region::as_ref), arn.split(':').nth(3));
        match (ours, theirs) {
            (Some(ours), Some(theirs)) if ours != theirs => {
                Err(LookError::NotFound(format!("{arn} is in {theirs}, and this Coalmine works in {ours} alone")))
            }
            _ => Ok(()),
        }
    }

    /// As they are now, in the order of the question.
    async fn rules(&self, references: &[RuleRef]) -> Result<Vec<Rule>, LookError> {
        self.found(references).await?.into_iter().collect()
    }

    /// Each as it is now, or that there is none, in the order of the question.
    async fn found(&self, references: &[RuleRef]) -> Result<Vec<Result<Rule, LookError>>, LookError> {
        references.iter().try_for_each(|rule| self.is_here(rule.arn()))?;
        let arns = |wanted: fn(&RuleRef) -> bool| -> Vec<String> {
            references.iter().filter(|rule| wanted(rule)).map(|rule| rule.arn().to_owned()).collect()
        };
        let (rules, listeners) =
            (arns(|rule| matches!(rule, RuleRef::Rule(_))), arns(|rule| matches!(rule, RuleRef::DefaultOf(_))));
        let (rules, listeners) = try_join(self.described_rules(rules), self.described_listeners(listeners)).await?;
        let found = |reference: &RuleRef| match reference {
            RuleRef::Rule(arn) => {
                let rule = rules.iter().find(|rule| rule.rule_arn() == Some(arn)).ok_or_else(|| no_rule(arn))?;
                let actions = rule.actions().to_vec();
                Ok(Rule { reference: reference.clone(), is_default: rule.is_default().unwrap_or(false), actions })
            }
            RuleRef::DefaultOf(arn) => {
                let mut all = listeners.iter();
                let listener =
                    all.find(|listener| listener.listener_arn() == Some(arn)).ok_or_else(|| no_listener(arn))?;
                let actions = listener.default_actions().to_vec();
                Ok(Rule { reference: reference.clone(), is_default: false, actions })
            }
        };
        Ok(references.iter().map(found).collect())
    }

    /// Those that there are. One that is not there hides the others in an answer about all.
    async fn described_rules(&self, arns: Vec<String>) -> Result<Vec<SdkRule>, LookError> {
        if arns.is_empty() {
            return Ok(Vec::new());
        }
        match self.elb().describe_rules().set_rule_arns(Some(arns.clone())).send().await {
            Ok(answer) => Ok(answer.rules.unwrap_or_default()),
            Err(error) if refused_as(&error, |e| e.is_rule_not_found_exception()) => {
                let mut found = Vec::new();
                for arn in arns {
                    match self.elb().describe_rules().rule_arns(arn).send().await {
                        Ok(answer) => found.extend(answer.rules.unwrap_or_default()),
                        Err(error) if refused_as(&error, |e| e.is_rule_not_found_exception()) => {}
                        Err(error) => return Err(DESCRIBE_RULES.fault(error).into()),
                    }
                }
                Ok(found)
            }
            Err(error) => Err(DESCRIBE_RULES.fault(error).into()),
        }
    }

    /// The same of listeners.
    async fn described_listeners(&self, arns: Vec<String>) -> Result<Vec<Listener>, LookError> {
        if arns.is_empty() {
            return Ok(Vec::new());
        }
        match self.elb().describe_listeners().set_listener_arns(Some(arns.clone())).send().await {
            Ok(answer) => Ok(answer.listeners.unwrap_or_default()),
            Err(error) if refused_as(&error, |e| e.is_listener_not_found_exception()) => {
                let mut found = Vec::new();
                for arn in arns {
                    match self.elb().describe_listeners().listener_arns(arn).send().await {
                        Ok(answer) => found.extend(answer.listeners.unwrap_or_default()),
                        Err(error) if refused_as(&error, |e| e.is_listener_not_found_exception()) => {}
                        Err(error) => return Err(DESCRIBE_LISTENERS.fault(error).into()),
                    }
                }
                Ok(found)
            }
            Err(error) => Err(DESCRIBE_LISTENERS.fault(error).into()),
        }
    }

    /// The two groups by ARN. A name is unique in an account and region, so a group of that name behind the rule is it,
    /// and nothing need be asked.
    async fn pair(&self, target: &AlbTarget, rules: &[Rule]) -> Result<[Version; 2], LookError> {
        let known: Weights = rules.iter().flat_map(|rule| actions::weights(&rule.actions)).collect();
        let resolved = target.target_groups.each_ref().map(|spelled| {
            let named = || known.iter().map(|(group, _)| group).find(|group| alb::group_name(&group.0) == spelled);
            if spelled.starts_with("arn:") { Some(Version(spelled.clone())) } else { named().cloned() }
        });
        let ask = |(spelled, group): (String, Option<Version>)| async move {
            match group {
                Some(group) => Ok(group),
                None => {
                    let arn = self.group(&spelled).await?.target_group_arn.unwrap_or_default();
                    Ok::<_, LookError>(Version(arn))
                }
            }
        };
        let [first, second] = resolved;
        let [one, other] = target.target_groups.clone();
        let (first, second) = try_join(ask((one, first)), ask((other, second))).await?;
        Ok([first, second])
    }

    /// A target group by its ARN or its name.
    async fn group(&self, spelled: &str) -> Result<TargetGroup, LookError> {
        let request = self.elb().describe_target_groups();
        let request =
            if spelled.starts_with("arn:") { request.target_group_arns(spelled) } else { request.names(spelled) };
        match request.send().await {
            Ok(answer) => answer.target_groups.unwrap_or_default().pop().ok_or_else(|| no_group(spelled)),
            Err(error) if refused_as(&error, |e| e.is_target_group_not_found_exception()) => Err(no_group(spelled)),
            Err(error) => Err(DESCRIBE_GROUPS.fault(error).into()),
        }
    }
}

fn no_rule(arn: &str) -> LookError {
    LookError::NotFound(format!("there is no rule {arn} in this account and region"))
}

fn no_listener(arn: &str) -> LookError {
    LookError::NotFound(format!("there is no listener {arn} in this account and region"))
}

fn no_group(spelled: &str) -> LookError {
    LookError::NotFound(format!("there is no target group {} in this account and region", alb::group_name(spelled)))
}

/// The load balancer that the rules are of; a rule's ARN has its name: `arn:...:loadbalancer/app/shop/9a8b`.
fn balancer_arn(target: &AlbTarget) -> Result<String, Fault> {
    let arn = target.rules.first().map_or("", RuleRef::arn);
    let parts = arn.split_once(":listener").zip(alb::balancer_dimension(arn));
    let unnamed = || DESCRIBE_RULES.refusal(FaultKind::Rejected, format!("`{arn}` names no Application Load Balancer"));
    let ((start, _), balancer) = parts.ok_or_else(unnamed)?;
    Ok(format!("{start}:loadbalancer/{balancer}"))
}

/// What the rules do together, or in words why they cannot be shifted.
fn routing(configured: &Configured) -> Result<Routing, String> {
    let Configured { rules, lost, test_rule, pair } = configured;
    let mut lost = lost.clone();
    lost.extend(rules.iter().filter_map(unwritable));
    if rules.iter().all(|rule| unwritable(rule).is_some()) {
        return Err(lost.pop().unwrap_or_else(|| "there are no rules".to_owned()));
    }
    let routes = rules.iter().filter_map(|rule| route(&actions::weights(&rule.actions), pair));
    let routes: Vec<Route> = routes.collect();
    let Some((first, others)) = routes.split_first() else { return Err("there are no rules".to_owned()) };
    let others = others.iter().filter(|route| *route != first).cloned().collect();
    let (primary, additional) = first.clone();
    let behind_all = rules.iter().all(|rule| actions::fulfilled(&rule.actions, Wish::Attach(pair)));
    let tested = match test_rule {
        Some(Ok(test)) => tests_the_new(test, pair, &primary, additional.is_some()),
        Some(Err(_)) => additional.is_some(),
        None => true,
    };
    let gets_nothing =
        |group: &&Version| rules.iter().any(|rule| actions::weights(&rule.actions).contains(&((*group).clone(), 0)));
    let at_zero = pair.iter().filter(gets_nothing).cloned().collect();
    let fingerprint = Some(fingerprint(rules));
    let sticky = rules.iter().filter_map(|rule| actions::stickiness(&rule.actions)).max();
    let attached = behind_all && tested;
    Ok(Routing { others, lost, attached, at_zero, sticky, fingerprint, ..Routing::of(primary, additional) })
}

/// A rule that gives somebody traffic. Of another one there is nothing to shift.
fn with_traffic(rule: Rule) -> Result<Rule, LookError> {
    let weights = actions::weights(&rule.actions);
    let why = match weights.iter().all(|(_, weight)| *weight == 0) {
        false => return Ok(rule),
        true if weights.is_empty() => format!("{}; there is nothing to shift", actions::instead(&rule.actions)),
        true => "gives no group any traffic".to_owned(),
    };
    Err(DESCRIBE_RULES.refusal(FaultKind::Rejected, format!("{} {why}", rule.reference.arn())).into())
}

/// Why a rule that forwards cannot be written.
fn unwritable(rule: &Rule) -> Option<String> {
    let kind = actions::unknown(&rule.actions)?;
    Some(format!("{} has an action of the type {kind}, which this version would lose", rule.reference.arn()))
}

fn fingerprint(rules: &[Rule]) -> String {
    rules.iter().map(|rule| actions::fingerprint(&rule.actions)).collect::<Vec<_>>().join("\n\n")
}

/// While one group has all the traffic, the rule for tests must forward to the other one. The groups swap roles, so it
/// still forwards to the old one after a promotion.
fn tests_the_new(test: &Rule, pair: &[Version; 2], live: &Version, divided: bool) -> bool {
    let mut new = pair.iter().filter(|group| *group != live);
    divided || new.next().is_none_or(|new| actions::fulfilled(&test.actions, Wish::Alone(new)))
}

/// `None` where no group has a weight.
fn route(groups: &Weights, pair: &[Version; 2]) -> Option<Route> {
    let mut live: Vec<&(Version, u16)> = groups.iter().filter(|(_, weight)| *weight > 0).collect();
    // The largest first; of equals the same one behind every rule.
    live.sort_by(|(a, of_a), (b, of_b)| of_b.cmp(of_a).then_with(|| a.cmp(b)));
    let sum: u32 = live.iter().map(|(_, weight)| u32::from(*weight)).sum();
    let share = |weight: u16| {
        let rest = u16::try_from(sum - u32::from(weight)).unwrap_or(u16::MAX);
        alb::weight_of(weight, rest)
    };
    let with_share = |(group, weight): &(Version, u16)| (group.clone(), share(*weight));
    let (ours, foreign): (Vec<_>, Vec<_>) = live.into_iter().partition(|(group, _)| pair.contains(group));
    let route = match (ours.as_slice(), foreign.first()) {
        ([], None) => return None,
        ([], Some((group, _))) => (group.clone(), None),
        ([(group, _), ..], Some(foreign)) => (group.clone(), Some(with_share(foreign))),
        ([(group, _), rest @ ..], None) => (group.clone(), rest.first().map(|other| with_share(other))),
    };
    Some(route)
}

#[cfg(test)]
pub(crate) mod tests;
