//! Target groups behind an Application Load Balancer: rules that are written whole, one after the other, without
//! compare-and-swap; groups that are health-checked only while a rule forwards to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Call, Change, Refused, State, World, Write};
use crate::alb;
use crate::observation::{GroupHealth, Routing};
use crate::spec::{AlbTarget, RuleRef, Target, Version};
use crate::units::{Span, Timestamp, Weight};

/// Targets of a group, unless said otherwise.
pub const HOSTS: u32 = 10;

/// A target is healthy once it has passed its first check, which takes one interval: 30 s by default.
const FIRST_CHECK: Span = Span::from_seconds(30);

/// What was there before the world began was checked long ago.
const LONG_AGO: Span = Span::from_minutes(60);

/// A rule, or a listener's default action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Target groups with their weights, as they were written.
    pub groups: Vec<(Version, u16)>,
    /// For how long a client keeps its target group, where stickiness is on.
    pub sticky: Option<Span>,
    /// Actions before the forwarding one: a login, for example.
    pub actions_before: u32,
}

/// Primary and additional version.
type Route = (Version, Option<(Version, Weight)>);

impl Rule {
    #[must_use]
    pub fn weight(&self, group: &Version) -> Option<u16> {
        self.groups.iter().find(|(other, _)| other == group).map(|(_, weight)| *weight)
    }

    /// The same with another weight of a group, which is added where it is not there yet.
    #[must_use]
    pub fn with(&self, group: &Version, weight: u16) -> Self {
        let mut rule = self.clone();
        match rule.groups.iter_mut().find(|(other, _)| other == group) {
            Some((_, present)) => *present = weight,
            None => rule.groups.push((group.clone(), weight)),
        }
        rule
    }

    /// The same without a group that gets nothing.
    #[must_use]
    pub fn without(&self, group: &Version) -> Self {
        let mut rule = self.clone();
        rule.groups.retain(|(other, weight)| other != group || *weight > 0);
        rule
    }

    /// Whether a third group has some of its traffic.
    #[must_use]
    pub fn is_taken(&self, ours: &[&Version; 2]) -> bool {
        self.groups.iter().any(|(group, weight)| *weight > 0 && !ours.contains(&group))
    }

    /// How it splits between the two groups that are `ours`; a third one with any weight comes first. Nothing where no
    /// group has any.
    #[must_use]
    pub fn route(&self, ours: &[Version]) -> Option<Route> {
        let mut weighted: Vec<&(Version, u16)> = self.groups.iter().filter(|(_, weight)| *weight > 0).collect();
        weighted.sort_by_key(|(group, weight)| (!ours.contains(group), std::cmp::Reverse(*weight)));
        if weighted.iter().all(|(group, _)| ours.contains(group)) {
            weighted.sort();
        }
        let all: u16 = weighted.iter().map(|(_, weight)| *weight).sum();
        let primary = weighted.first()?.0.clone();
        let additional = weighted.get(1..)?.last().map(|(group, weight)| {
            let share = alb::weight_of(*weight, all - *weight);
            (group.clone(), share)
        });
        Some((primary, additional))
    }
}

/// A target group.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    healthy: u32,
    unhealthy: u32,
    /// Since when a rule forwards to it.
    checked_since: Option<Timestamp>,
}

impl Group {
    pub(super) fn health(&self, now: Timestamp) -> GroupHealth {
        let Self { healthy, unhealthy, checked_since } = *self;
        let none = GroupHealth::default();
        match checked_since {
            None => {
                let why = Some("Target group is not configured to receive traffic from the load balancer".to_owned());
                GroupHealth { not_checked: healthy + unhealthy, why, ..none }
            }
            Some(since) if now.since(since) < FIRST_CHECK => {
                let why = Some("Initial health checks in progress".to_owned());
                GroupHealth { waiting: healthy + unhealthy, why, ..none }
            }
            Some(_) => {
                let why = (unhealthy > 0).then(|| "Health checks failed with these codes: [503]".to_owned());
                GroupHealth { healthy, unhealthy, why, ..none }
            }
        }
    }

    pub(super) fn hosts(&self) -> u32 {
        self.healthy + self.unhealthy
    }
}

impl World {
    /// A target group with so many targets that pass their checks, once they are checked.
    pub fn register_group(&self, group: &Version, healthy: u32) {
        self.set_health(group, healthy, 0);
    }

    /// So many targets pass their health checks from now on, and so many do not.
    pub fn set_health(&self, group: &Version, healthy: u32, unhealthy: u32) {
        let mut state = self.lock();
        let group = state.groups.entry(group.clone()).or_default();
        (group.healthy, group.unhealthy) = (healthy, unhealthy);
    }

    /// A group's targets as health checks have found them by now.
    #[must_use]
    pub fn health_of(&self, group: &Version) -> GroupHealth {
        let state = self.lock();
        state.groups.get(group).map(|group| group.health(state.now)).unwrap_or_default()
    }

    /// Switches stickiness on or off in every rule of a target.
    pub fn hold_clients(&self, target: &Target, sticky: Option<Span>) {
        let Target::Alb(alb) = target else { return };
        let mut state = self.lock();
        for reference in &alb.rules {
            if let Some(rule) = state.rules.get_mut(reference) {
                rule.sticky = sticky;
            }
        }
    }

    /// A rule as it is now.
    #[must_use]
    pub fn rule(&self, reference: &RuleRef) -> Option<Rule> {
        self.lock().rules.get(reference).cloned()
    }

    /// Writes one rule of a target as somebody other than Coalmine would.
    pub fn write_rule(&self, target: &Target, reference: &RuleRef, rule: Rule) -> Result<(), Refused> {
        self.lock().modify_rule(target, reference, rule, false, Call::Set).map_err(Refused)
    }

    /// As Coalmine would if it were wrong.
    #[cfg(test)]
    pub fn write_rule_as_ours(&self, target: &Target, reference: &RuleRef, rule: Rule, by: Call) {
        self.lock().modify_rule(target, reference, rule, true, by).unwrap();
    }
}

impl State {
    pub(super) fn healthy(&self, group: &Version) -> u32 {
        self.groups.get(group).map_or(0, |group| group.health(self.now).healthy)
    }

    /// The two groups of a target that exist, by ARN.
    pub(super) fn groups_of(&self, alb: &AlbTarget) -> Vec<Version> {
        let names = alb.target_groups.each_ref().map(|spelled| alb::group_name(spelled));
        self.groups.keys().filter(|group| names.contains(&alb::group_name(&group.0))).cloned().collect()
    }

    /// The rules of a target, in its order.
    pub(super) fn rules_of(&self, alb: &AlbTarget) -> Result<Vec<Rule>, String> {
        let rule = |reference: &RuleRef| {
            let found = self.rules.get(reference).cloned();
            found.ok_or_else(|| format!("there is no rule {}", reference.arn()))
        };
        alb.rules.iter().map(rule).collect()
    }

    pub(super) fn routing_of(&self, alb: &AlbTarget) -> Result<Routing, String> {
        let (rules, ours) = (self.rules_of(alb)?, self.groups_of(alb));
        let route = |rule: &Rule| rule.route(&ours).ok_or_else(|| "gives no group any traffic".to_owned());
        let mut routes = rules.iter().map(route).collect::<Result<Vec<Route>, String>>()?;
        let (primary, additional) = routes.remove(0);
        routes.retain(|(other, with)| (other, with) != (&primary, &additional));
        let attached =
            ours.len() == 2 && rules.iter().all(|rule| ours.iter().all(|group| rule.weight(group).is_some()));
        let fingerprint = Some(fingerprint(&rules));
        let at_zero = ours.iter().filter(|group| rules.iter().any(|rule| rule.weight(group) == Some(0)));
        let at_zero = at_zero.cloned().collect();
        let sticky = rules.iter().filter_map(|rule| rule.sticky).max();
        Ok(Routing { others: routes, attached, at_zero, sticky, fingerprint, ..Routing::of(primary, additional) })
    }

    /// Every rule gets as many requests as any other.
    #[allow(clippy::cast_precision_loss, reason = "a handful of rules")]
    pub(super) fn shares_of(&self, alb: &AlbTarget) -> Vec<(Version, f64)> {
        let Ok(rules) = self.rules_of(alb) else { return Vec::new() };
        let mut shares: BTreeMap<Version, f64> = BTreeMap::new();
        for rule in &rules {
            let all: u16 = rule.groups.iter().map(|(_, weight)| *weight).sum();
            for (group, weight) in rule.groups.iter().filter(|(_, weight)| *weight > 0) {
                *shares.entry(group.clone()).or_default() += f64::from(*weight) / f64::from(all) / rules.len() as f64;
            }
        }
        shares.into_iter().collect()
    }

    /// What a person's own tools do: the groups they name, and nothing else.
    pub(super) fn write_all_rules(
        &mut self,
        alb: &AlbTarget,
        primary: &Version,
        additional: Option<(Version, Weight)>,
    ) -> Result<(), String> {
        let (second, first) = alb::pair(additional.as_ref().map_or(Weight::ZERO, |(_, weight)| *weight));
        let mut groups = vec![(primary.clone(), first)];
        groups.extend(additional.map(|(group, _)| (group, second)));
        let target = Target::Alb(alb.clone());
        for reference in &alb.rules {
            let before = self.rules.get(reference).cloned();
            let rule = before.unwrap_or(Rule { groups: Vec::new(), sticky: None, actions_before: 1 });
            self.modify_rule(&target, reference, Rule { groups: groups.clone(), ..rule }, false, Call::Set)?;
        }
        Ok(())
    }

    /// ModifyRule, or ModifyListener for a default action: the whole list is replaced, whatever it was.
    pub(super) fn modify_rule(
        &mut self,
        target: &Target,
        reference: &RuleRef,
        rule: Rule,
        ours: bool,
        by: Call,
    ) -> Result<(), String> {
        let Target::Alb(alb) = target else { return Err(target.key()) };
        if let Some((group, _)) = rule.groups.iter().find(|(group, _)| !self.groups.contains_key(group)) {
            return Err(format!("One or more target groups not found: {}", group.0));
        }
        if rule.groups.iter().any(|(_, weight)| *weight > 999) {
            return Err("Target group weights must be between 0 and 999".to_owned());
        }
        let whole = self.pairs.entry(target.key()).or_insert_with(|| alb.clone()).clone();
        let before = self.rules.insert(reference.clone(), rule.clone());
        let since = if before.is_some() { self.now } else { self.now - LONG_AGO };
        self.note_checks(since);
        if let Ok(routing) = self.routing_of(&whole) {
            let change = Change::Rule { before, after: rule, by };
            Arc::make_mut(&mut self.writes).push(Write {
                at: self.now,
                target: Target::Alb(whole),
                routing,
                change,
                ours,
            });
        }
        Ok(())
    }

    /// Health checks begin where a rule forwards to, and end where none does any more.
    fn note_checks(&mut self, since: Timestamp) {
        for (arn, group) in &mut self.groups {
            let attached = self.rules.values().any(|rule| rule.weight(arn).is_some());
            group.checked_since = attached.then(|| group.checked_since.unwrap_or(since));
        }
    }
}

/// All that is configured, as text.
pub(super) fn fingerprint(rules: &[Rule]) -> String {
    format!("{rules:?}")
}

#[cfg(test)]
mod tests;
