//! What stands around the rules, at the start.

use aws_sdk_elasticloadbalancingv2::types::{Rule as SdkRule, TargetGroup};
use coalmine_core::observation::{OtherUse, SeenGroup, SeenRule, Surroundings};
use coalmine_core::ports::{FaultKind, LookError};
use coalmine_core::spec::{AlbTarget, RuleRef, Version};
use futures_util::future::{try_join, try_join4};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::actions::Wish;
use super::owners::Claimed;
use super::{DESCRIBE_LISTENERS, DESCRIBE_RULES, Rule, actions, balancer_arn, no_rule};
use crate::Aws;
use crate::errors::{Call, refused_as};

const DESCRIBE_BALANCERS: Call = Call::new("DescribeLoadBalancers", "elasticloadbalancing:DescribeLoadBalancers");

/// As many as a load balancer has unless its owner asked for more.
const LISTENERS_MAX: usize = 50;

/// Listeners whose rules are read at the same time.
const CONCURRENT_LISTENERS: usize = 4;

/// A rule of the load balancer, with the listener that it is of.
type Placed = (String, SdkRule);

impl Aws {
    pub(crate) async fn surroundings(&self, target: &AlbTarget) -> Result<Surroundings, LookError> {
        let balancer = balancer_arn(target)?;
        let [one, other] = &target.target_groups;
        let groups = try_join(self.existing(one), self.existing(other));
        let (rules, vpc, groups, (placed, mut unread)) =
            try_join4(self.rules(&target.rules), self.vpc(&balancer), groups, self.all_rules(&balancer)).await?;
        if let Some(arn) = target.test_rule.as_ref().filter(|_| unread.is_empty()) {
            check_test_rule(arn, &placed)?;
        }
        let groups: Vec<SeenGroup> = [(one, groups.0), (other, groups.1)]
            .into_iter()
            .filter_map(|(spelled, group)| Some(seen_group(spelled, &group?)))
            .collect();
        let claimed = Claimed {
            groups: groups.iter().map(|group| group.arn.0.clone()).collect(),
            rules: own_rules(target, &placed),
        };
        let (owners, unsearched) = self.owners(&claimed).await?;
        unread.extend(unsearched);
        let others = other_uses(target, &groups, &placed);
        let rules = rules.iter().map(|rule| seen_rule(rule, &vpc)).collect();
        Ok(Surroundings { rules, groups, others, owners, unread })
    }

    /// `None` where there is no such group.
    async fn existing(&self, spelled: &str) -> Result<Option<TargetGroup>, LookError> {
        match self.group(spelled).await {
            Ok(group) => Ok(Some(group)),
            Err(LookError::NotFound(_)) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    async fn vpc(&self, balancer: &str) -> Result<String, LookError> {
        let none = || LookError::NotFound(format!("there is no load balancer {balancer}"));
        match self.elb().describe_load_balancers().load_balancer_arns(balancer).send().await {
            Ok(answer) => {
                let balancer = answer.load_balancers.unwrap_or_default().pop().ok_or_else(none)?;
                Ok(balancer.vpc_id.unwrap_or_default())
            }
            Err(error) if refused_as(&error, |e| e.is_load_balancer_not_found_exception()) => Err(none()),
            Err(error) => Err(DESCRIBE_BALANCERS.fault(error).into()),
        }
    }

    /// Every rule of a load balancer, the listeners' default rules among them, and what was left out.
    async fn all_rules(&self, balancer: &str) -> Result<(Vec<Placed>, Vec<String>), LookError> {
        let mut pages = self.elb().describe_listeners().load_balancer_arn(balancer).into_paginator().items().send();
        let mut listeners = Vec::new();
        while let Some(listener) = pages.next().await {
            let listener = listener.map_err(|error| DESCRIBE_LISTENERS.fault(error))?;
            listeners.extend(listener.listener_arn);
        }
        let mut unread = Vec::new();
        if listeners.len() > LISTENERS_MAX {
            let all = listeners.len();
            unread.push(format!(
                "only {LISTENERS_MAX} of the {all} listeners were looked at for other uses of the groups"
            ));
            listeners.truncate(LISTENERS_MAX);
        }
        let rules = stream::iter(listeners).map(|listener| self.rules_of(listener)).buffered(CONCURRENT_LISTENERS);
        Ok((rules.try_concat().await?, unread))
    }

    async fn rules_of(&self, listener: String) -> Result<Vec<Placed>, LookError> {
        let mut pages = self.elb().describe_rules().listener_arn(&listener).into_paginator().items().send();
        let mut rules = Vec::new();
        while let Some(rule) = pages.next().await {
            match rule {
                Ok(rule) => rules.push((listener.clone(), rule)),
                // It was there a moment ago.
                Err(error) if refused_as(&error, |e| e.is_listener_not_found_exception()) => return Ok(Vec::new()),
                Err(error) => return Err(DESCRIBE_RULES.fault(error).into()),
            }
        }
        Ok(rules)
    }
}

fn seen_rule(rule: &Rule, vpc: &str) -> SeenRule {
    // `listener-rule/app/NAME/ID/LISTENER/RULE` is of `listener/app/NAME/ID/LISTENER`.
    let listener = || rule.reference.arn().replace(":listener-rule/", ":listener/");
    let default_of = rule.is_default.then(|| listener().rsplit_once('/').map(|(listener, _)| listener.to_owned()));
    SeenRule {
        reference: rule.reference.clone(),
        default_of: default_of.flatten(),
        forwards: actions::forward(&rule.actions).is_some(),
        groups: actions::weights(&rule.actions),
        sticky: actions::stickiness(&rule.actions),
        vpc: vpc.to_owned(),
    }
}

fn seen_group(spelled: &str, group: &TargetGroup) -> SeenGroup {
    SeenGroup {
        spelled: spelled.to_owned(),
        arn: Version(group.target_group_arn().unwrap_or_default().to_owned()),
        vpc: group.vpc_id().map(str::to_owned),
        balancers: group.load_balancer_arns().to_vec(),
        kind: group.target_type().map_or("instance", |kind| kind.as_str()).to_owned(),
        protocol: group.protocol().map(|protocol| protocol.as_str().to_owned()),
        checked: group.health_check_enabled().unwrap_or(true),
    }
}

/// The rule for tests is written before the first weight. What will not let that happen is better said at the start.
fn check_test_rule(arn: &str, placed: &[Placed]) -> Result<(), LookError> {
    let (_, rule) = placed.iter().find(|(_, rule)| rule.rule_arn() == Some(arn)).ok_or_else(|| no_rule(arn))?;
    let refused = |why: String| DESCRIBE_RULES.refusal(FaultKind::Rejected, format!("testRule {arn} {why}"));
    if rule.is_default().unwrap_or(false) {
        let why = "is the default rule of its listener, which ModifyRule cannot change; add a rule with a condition, such as the path *";
        return Err(refused(why.to_owned()).into());
    }
    actions::rewritten(rule.actions(), Wish::Alone(&Version(String::new()))).map_err(refused)?;
    Ok(())
}

/// How the target names a rule: a default rule by its listener. `None` for a rule that is not its own.
fn own<'a>(target: &'a AlbTarget, (listener, rule): &Placed) -> Option<&'a str> {
    let by_default = rule.is_default().unwrap_or(false).then_some(listener.as_str());
    let named = target.rules.iter().find(|reference| match reference {
        RuleRef::Rule(arn) => rule.rule_arn() == Some(arn),
        RuleRef::DefaultOf(arn) => by_default == Some(arn),
    });
    let test_rule = target.test_rule.as_deref().filter(|arn| rule.rule_arn() == Some(*arn));
    named.map(RuleRef::arn).or(test_rule)
}

/// The target's rules by their own ARNs, each with how the target names it.
fn own_rules(target: &AlbTarget, placed: &[Placed]) -> Vec<(String, String)> {
    let named = |placed: &Placed| Some((placed.1.rule_arn()?.to_owned(), own(target, placed)?.to_owned()));
    placed.iter().filter_map(named).collect()
}

fn other_uses(target: &AlbTarget, groups: &[SeenGroup], placed: &[Placed]) -> Vec<OtherUse> {
    let others = placed.iter().filter(|rule| own(target, rule).is_none());
    others
        .flat_map(|(listener, rule)| {
            let arn = if rule.is_default().unwrap_or(false) { Some(listener.as_str()) } else { rule.rule_arn() };
            let arn = arn.unwrap_or_default().to_owned();
            let used = actions::weights(rule.actions()).into_iter();
            let used = used.filter(|(group, _)| groups.iter().any(|ours| ours.arn == *group));
            used.map(move |(group, weight)| OtherUse { rule: arn.clone(), group, weight })
        })
        .collect()
}

#[cfg(test)]
mod tests;
