//! What every single write must keep to, whatever the phase: one to an alias, or to one of several rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Blind, Found, Snapshot, numbered};
use crate::observation::{Routing, Split};
use crate::rollout::{PhaseName, Rollout};
use crate::sim::world::{Call, Change, Rule, World, Write};
use crate::spec::{AlbTarget, Stickiness, Target, Version};
use crate::units::{Span, Weight};

/// The clock of whoever wrote may be fast.
pub(super) const CLOCKS_DIFFER: Span = Span::from_minutes(2);

/// Everything Coalmine has written between two snapshots.
pub(super) fn check(before: &Snapshot, after: &Snapshot, world: &World, blind: Blind, found: &mut Found) {
    let writes = world.writes(before.writes);
    if writes.is_empty() {
        return;
    }
    let ended = |id: &String| before.rollouts.get(id).is_some_and(|rollout| rollout.is_terminal());
    let mut by_target: BTreeMap<String, Vec<&Arc<Rollout>>> = BTreeMap::new();
    for rollout in after.rollouts.values().filter(|rollout| !ended(&rollout.id)) {
        by_target.entry(rollout.spec.target.key()).or_default().push(rollout);
    }
    for write in writes.iter().filter(|write| write.ours) {
        let key = write.target.key();
        let on_target = by_target.get(&key).map(Vec::as_slice).unwrap_or_default();
        found.rollout.clear();
        if let Change::Rule { before: Some(rule), after: new, by: Call::Detach } = &write.change {
            detached_when_due(before, write, rule, new, found);
            continue;
        }
        if !on_target.iter().any(|rollout| intended(before, rollout, write)) {
            found.add(
                "the weight never rises while paused or rolling back",
                format!("{key} was set to {}, which no recorded phase wanted", write.routing),
            );
        }
        for rollout in on_target {
            found.rollout.clone_from(&rollout.id);
            if rollout.guest.is_some() {
                found.add("a guest never writes a weight", format!("{key} was set to {}", write.routing));
            }
            let Some((from, to)) = weights(rollout, write) else { continue };
            if to > from {
                raised_with_open_eyes(rollout, from, to, blind, found);
            }
            if to > from && intended(before, rollout, write) {
                carried(rollout, to, world, found);
            }
            if let (Target::Alb(alb), Change::Rule { before: Some(before), after, by }) = (&write.target, &write.change)
            {
                the_rest_survives(rollout, alb, before, after, found);
                if *by == Call::Attach {
                    attached_at_zero(rollout, before, after, found);
                }
            }
        }
    }
}

/// The canary's weight before and after, of the one alias or rule that was written. What others had there before could
/// have been all of it.
fn weights(rollout: &Rollout, write: &Write) -> Option<(Weight, Weight)> {
    let ours = [rollout.baseline.clone(), rollout.canary.clone()];
    let of_rule = |rule: &Rule| rule.route(&ours).map(|(primary, additional)| Routing::of(primary, additional));
    let (before, after) = match &write.change {
        Change::Alias { before, after } => (before.clone(), Some(after.clone())),
        Change::Rule { before, after, .. } => (before.as_ref().and_then(of_rule), of_rule(after)),
    };
    let weight = |routing: &Routing| match routing.split(&rollout.baseline, &rollout.canary) {
        Split::Ours(weight) | Split::Uneven { low: weight, .. } => Some(weight),
        Split::Foreign => None,
    };
    Some((before.as_ref().and_then(weight).unwrap_or(Weight::FULL), after.as_ref().and_then(weight)?))
}

/// Every weight that is set was wanted by a recorded phase that sets weights, or is 0.
fn intended(before: &Snapshot, rollout: &Rollout, write: &Write) -> bool {
    let wanted = |weight| {
        weight == Weight::ZERO || raised_to(before.rollouts.get(&rollout.id).map(AsRef::as_ref), rollout, weight)
    };
    weights(rollout, write).is_some_and(|(_, to)| wanted(to))
}

/// Whether a phase that sets weights wanted this one, before or since.
fn raised_to(then: Option<&Rollout>, now: &Rollout, weight: Weight) -> bool {
    let sets = |phase: PhaseName| matches!(phase, PhaseName::Shifting | PhaseName::Promoting);
    let before = then.is_some_and(|then| sets(then.phase.name()) && then.desired_weight() == Some(weight));
    let since = numbered(now)
        .filter(|(number, _)| then.is_none_or(|then| *number > then.events_total))
        .any(|(_, event)| event.entered.is_some_and(sets) && event.weight == weight);
    before || since
}

fn raised_with_open_eyes(rollout: &Rollout, from: Weight, to: Weight, blind: Blind, found: &mut Found) {
    let first_step = rollout.spec.steps.first().is_none_or(|step| step.weight == to);
    let first = if rollout.chosen.is_some() { from == Weight::ZERO } else { first_step };
    let unseen = blind.metrics || blind.sealed && rollout.sealed_before.is_some();
    if blind.target || unseen && !first {
        found.add("the weight never rises while blind", format!("from {from} to {to}"));
    }
}

/// Of the healthy targets that carried all traffic before the rollout, the weight's part must be there, or so much of it
/// as the spec demands; one in any case.
fn carried(rollout: &Rollout, to: Weight, world: &World, found: &mut Found) {
    let Target::Alb(alb) = &rollout.spec.target else { return };
    let healthy = world.health_of(&rollout.canary).healthy;
    let (new, old) = crate::alb::pair(to);
    let (new, both) = (u64::from(new), u64::from(new) + u64::from(old));
    let demanded = u64::from(alb.min_healthy_share.basis_points());
    let wanted = rollout.carried_by.map(|hosts| (u64::from(hosts) * new * demanded).div_ceil(both * 10_000).max(1));
    if wanted.is_none_or(|wanted| u64::from(healthy) < wanted) {
        let detail = format!("{to} with {healthy} healthy targets of {wanted:?}");
        found.add("no group gets a weight above what its healthy targets carry", detail);
    }
}

/// Third groups, their order, stickiness and all actions before the forwarding one.
fn the_rest_survives(rollout: &Rollout, alb: &AlbTarget, before: &Rule, after: &Rule, found: &mut Found) {
    let ours = |group: &Version| *group == rollout.baseline || *group == rollout.canary;
    let others = |rule: &Rule| rule.groups.iter().filter(|(group, _)| !ours(group)).cloned().collect::<Vec<_>>();
    let retreat = after.weight(&rollout.canary) == Some(0);
    let released = retreat && alb.stickiness == Stickiness::DisableOnRollback && after.sticky.is_none();
    let sticky_survives = before.sticky == after.sticky || released;
    if others(before) != others(after) || before.actions_before != after.actions_before || !sticky_survives {
        found.add("everything else on the action survives", format!("{before:?} became {after:?}"));
    }
}

fn attached_at_zero(rollout: &Rollout, before: &Rule, after: &Rule, found: &mut Found) {
    if *after != before.with(&rollout.canary, 0) || before.weight(&rollout.canary).is_some() {
        found.add("attaching writes weight 0 and nothing else", format!("{before:?} became {after:?}"));
    }
}

/// A promoted rollout, whose time has come and whose target nobody holds, takes the old group off, which gets nothing.
fn detached_when_due(before: &Snapshot, write: &Write, rule: &Rule, after: &Rule, found: &mut Found) {
    let held = before.rollouts.values().any(|other| !other.is_terminal() && other.spec.target.overlaps(&write.target));
    let is_right = |rollout: &Arc<Rollout>| {
        let due = rollout.detach_at.is_some_and(|at| at <= write.at + CLOCKS_DIFFER);
        let old = &rollout.baseline;
        due && rollout.spec.target.key() == write.target.key()
            // Two controllers may write the same one after the other.
            && rule.weight(old).unwrap_or(0) == 0
            && *after == rule.without(old)
    };
    if held || !before.rollouts.values().any(is_right) {
        let detail = format!("{rule:?} became {after:?}, held: {held}");
        found.add("detaching takes off the old group at weight 0, when it is due, and nothing else", detail);
    }
}
