//! What around two target groups is in the way of a rollout, judged before it starts.

use super::group_name;
use crate::observation::{SeenGroup, SeenRule, Surroundings};
use crate::spec::{AlbTarget, Mode, Problem, RuleRef, Stickiness, Version};

const RULE: &str = "target.alb.rule";
const LISTENER: &str = "target.alb.listener";
const TEST_RULE: &str = "target.alb.testRule";
const GROUPS: &str = "target.alb.targetGroups";
const STICKINESS: &str = "target.alb.stickiness";

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// What keeps the rollout from starting.
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

impl Found {
    fn problem(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem::at(path, message));
    }

    fn warn(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Problem::at(path, message));
    }

    /// What is in the way only of whoever moves weights.
    fn of_moving(&mut self, mode: Mode, path: &str, message: String) {
        match mode {
            Mode::Enforce => self.problem(path, message),
            Mode::Observe => self.warn(path, message),
        }
    }
}

/// What is in the way. `moved` says that a rollout in progress may have set the weights as they are.
#[must_use]
pub fn problems(target: &AlbTarget, around: &Surroundings, mode: Mode, moved: bool) -> Found {
    let mut found = Found::default();
    let groups = check_groups(target, around, &mut found);
    // Without both groups nothing can be said of what forwards to them.
    if let Some(groups) = groups {
        let shares: Vec<Option<Share>> =
            around.rules.iter().map(|rule| check_rule(rule, &groups, mode, moved, &mut found)).collect();
        if !moved {
            check_agreement(&around.rules, &shares, &mut found);
        }
        check_others(target, around, &groups, mode, &mut found);
        check_owners(target, around, &groups, mode, &mut found);
    }
    around.rules.iter().for_each(|rule| check_stickiness(rule, target.stickiness, mode, &mut found));
    around.unread.iter().for_each(|why| found.warn("target.alb", why.clone()));
    found
}

/// The group of the two that has no traffic: what is new is on it. Nothing where both or none have some.
#[must_use]
pub fn idle(around: &Surroundings) -> Option<&Version> {
    let used = |group: &Version| {
        let weights = around.rules.iter().flat_map(|rule| &rule.groups);
        weights.clone().any(|(seen, weight)| seen == group && *weight > 0)
    };
    match around.groups.as_slice() {
        [one, other] if used(&one.arn) && !used(&other.arn) => Some(&other.arn),
        [one, other] if used(&other.arn) && !used(&one.arn) => Some(&one.arn),
        _ => None,
    }
}

/// The two groups of a target.
struct Groups<'a>([&'a SeenGroup; 2]);

impl Groups<'_> {
    fn has(&self, arn: &Version) -> bool {
        self.0.iter().any(|group| group.arn == *arn)
    }

    fn names(&self, between: &str) -> String {
        self.0.map(|group| group_name(&group.arn.0)).join(between)
    }
}

/// Which of the two groups a rule gives traffic to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Share<'a> {
    One(&'a Version),
    Both,
}

fn check_groups<'a>(target: &AlbTarget, around: &'a Surroundings, found: &mut Found) -> Option<Groups<'a>> {
    let mut both = Vec::new();
    for (place, spelled) in target.target_groups.iter().enumerate() {
        let path = format!("{GROUPS}[{place}]");
        match around.groups.iter().find(|group| group.spelled == *spelled) {
            Some(group) => {
                check_group(&path, group, around, found);
                both.push(group);
            }
            None => {
                let name = group_name(spelled);
                found.problem(path, format!("there is no target group {name} in this account and region"));
            }
        }
    }
    let groups = Groups(both.try_into().ok()?);
    let [one, other] = &groups.0;
    if one.arn == other.arn {
        found.problem(GROUPS, format!("both are {}; the two groups must differ", one.arn));
        return None;
    }
    Some(groups)
}

fn check_group(path: &str, group: &SeenGroup, around: &Surroundings, found: &mut Found) {
    let name = group_name(&group.arn.0);
    let is_http = group.protocol.as_deref().is_none_or(|protocol| matches!(protocol, "HTTP" | "HTTPS"));
    if group.kind == "alb" || !is_http {
        let what = group.protocol.as_deref().unwrap_or("the target type alb");
        found.problem(path, format!("{name} has {what}; an Application Load Balancer forwards to HTTP and HTTPS only"));
    }
    let Some(rule) = around.rules.first() else { return };
    if let Some(vpc) = group.vpc.as_deref().filter(|vpc| *vpc != rule.vpc) {
        found.problem(path, format!("{name} is in {vpc}, the load balancer in {}", rule.vpc));
    }
    let ours = super::balancer_dimension(rule.reference.arn());
    let names = group.balancers.iter().map(|arn| balancer(arn));
    if let Some(other) = names.clone().find(|name| Some(*name) != ours.as_deref()) {
        let message =
            format!("{name} belongs to load balancer {other}; a target group works with one load balancer only");
        found.problem(path, message);
    }
    if !group.checked && group.kind != "lambda" {
        found.warn(path, format!("the health checks of {name} are off: nobody knows whether its targets answer"));
    }
}

/// `app/shop/9a8b` of a load balancer's ARN.
fn balancer(arn: &str) -> &str {
    arn.split_once(":loadbalancer/").map_or(arn, |(_, name)| name)
}

fn check_rule<'a>(
    rule: &'a SeenRule,
    groups: &Groups<'_>,
    mode: Mode,
    moved: bool,
    found: &mut Found,
) -> Option<Share<'a>> {
    let (path, name) = place(&rule.reference);
    if let Some(listener) = &rule.default_of {
        let message = format!(
            "{name} is the default rule of its listener, which ModifyRule cannot change; write `listener: {listener}`"
        );
        found.problem(path, message);
        return None;
    }
    if !rule.forwards {
        found.problem(path, format!("{name} does not forward to target groups; there is nothing to shift"));
        return None;
    }
    let weighted: Vec<&(Version, u16)> = rule.groups.iter().filter(|(_, weight)| *weight > 0).collect();
    let (ours, foreign): (Vec<_>, Vec<_>) = weighted.into_iter().partition(|(group, _)| groups.has(group));
    match (ours.as_slice(), foreign.as_slice()) {
        ([], []) => found.problem(path, format!("{name} gives no group any traffic: all its weights are 0")),
        ([], foreign) => {
            let names: Vec<&str> = foreign.iter().map(|(group, _)| group_name(&group.0)).collect();
            let message =
                format!("{name} forwards to {}, and to neither {}", names.join(" and "), groups.names(" nor "));
            found.problem(GROUPS, message);
        }
        (_, [(third, weight), ..]) => {
            let message = format!(
                "{name} also forwards to {third} (weight {weight}); only two groups can be compared. Give it weight 0, or a rule \
                 of its own"
            );
            found.problem(path, message);
        }
        ([(live, _)], []) => return Some(Share::One(live)),
        (both, []) => {
            if !moved {
                found.of_moving(mode, path, already_weighted(&rule.reference, &name, both));
            }
            return Some(Share::Both);
        }
    }
    None
}

/// Which field of the spec names a rule, and how it is called.
fn place(rule: &RuleRef) -> (&'static str, String) {
    match rule {
        RuleRef::Rule(arn) => (RULE, format!("rule {arn}")),
        RuleRef::DefaultOf(arn) => (LISTENER, format!("the default action of {arn}")),
    }
}

fn already_weighted(rule: &RuleRef, name: &str, both: &[&(Version, u16)]) -> String {
    let weights: Vec<String> = both.iter().map(|(group, weight)| format!("{group} {weight}")).collect();
    let heavier = both.iter().max_by_key(|(_, weight)| *weight).map_or("", |(group, _)| group.0.as_str());
    let command = match rule {
        RuleRef::Rule(arn) => format!("modify-rule --rule-arn {arn} --actions"),
        RuleRef::DefaultOf(arn) => format!("modify-listener --listener-arn {arn} --default-actions"),
    };
    format!(
        "{name} is already weighted ({}) and no rollout did that; put it on one group first, with the actions that it has \
         before the forward, if any: aws elbv2 {command} Type=forward,TargetGroupArn={heavier}",
        weights.join(", ")
    )
}

fn check_agreement(rules: &[SeenRule], shares: &[Option<Share<'_>>], found: &mut Found) {
    let mut alone = rules.iter().zip(shares).filter_map(|(rule, share)| match share {
        Some(Share::One(live)) => Some((rule, *live)),
        Some(Share::Both) | None => None,
    });
    let Some((first, live)) = alone.next() else { return };
    if let Some((other, differs)) = alone.find(|(_, other)| *other != live) {
        let ((path, first), (_, other)) = (place(&first.reference), place(&other.reference));
        found.problem(path, format!("the rules differ: {live} is live behind {first}, {differs} behind {other}"));
    }
}

fn check_stickiness(rule: &SeenRule, wish: Stickiness, mode: Mode, found: &mut Found) {
    let Some(kept) = rule.sticky else { return };
    let (_, name) = place(&rule.reference);
    let stays = format!("target-group stickiness is on ({kept}) in {name}");
    match (wish, mode) {
        (Stickiness::Refuse, Mode::Enforce) => found.problem(
            STICKINESS,
            format!(
                "{stays}: clients stay on the new group after a rollback, whatever the weights. Switch it off, or consent with \
                 `stickiness: disableOnRollback` to its being switched off on a rollback"
            ),
        ),
        (Stickiness::DisableOnRollback, Mode::Enforce) => found.warn(
            STICKINESS,
            format!(
                "{stays}: the new group's share of the requests follows its weight only as clients come anew, so it is not \
                 checked. A rollback switches stickiness off and leaves it off"
            ),
        ),
        (_, Mode::Observe) => {
            found.warn(STICKINESS, format!("{stays}: the new group's share of the requests is not its weight"));
        }
    }
}

/// Metrics are counted per group, whatever rule a request came through.
fn check_others(target: &AlbTarget, around: &Surroundings, groups: &Groups<'_>, mode: Mode, found: &mut Found) {
    let others = around.others.iter().filter(|other| target.test_rule.as_ref() != Some(&other.rule));
    for other in others.filter(|other| groups.has(&other.group)) {
        let (rule, group, weight) = (&other.rule, &other.group, other.weight);
        if weight > 0 {
            let message = format!(
                "rule {rule} forwards to {group}, too (weight {weight}): it is not shifted, and its requests would be counted \
                 for both groups' versions. Name it under `rule` or `listener` as well, or give it a group of its own"
            );
            found.of_moving(mode, RULE, message);
        } else {
            found.warn(RULE, format!("rule {rule} forwards to {group}, too, at weight 0: leave it there meanwhile"));
        }
    }
}

fn check_owners(target: &AlbTarget, around: &Surroundings, groups: &Groups<'_>, mode: Mode, found: &mut Found) {
    for owner in &around.owners {
        let rules = around.rules.iter().filter(|rule| owner.rules.iter().any(|arn| arn == rule.reference.arn()));
        let of_groups = owner.groups.iter().any(|arn| groups.has(&Version(arn.clone())));
        let tests = target.test_rule.as_ref().filter(|arn| owner.rules.contains(arn));
        let what = match (rules.map(|rule| place(&rule.reference)).next(), of_groups, tests) {
            (Some((path, name)), ..) => (path, name),
            (None, true, _) => (GROUPS, groups.names(" and ")),
            (None, false, Some(arn)) => (TEST_RULE, format!("the rule for tests {arn}")),
            (None, false, None) => continue,
        };
        // Whoever only watches may watch it.
        if mode == Mode::Enforce {
            let message = format!(
                "{} ({}) owns {} and sets weights itself; let it shift, or use the rolling deployment with two services",
                owner.service, owner.by, what.1
            );
            found.problem(what.0, message);
        }
    }
}
