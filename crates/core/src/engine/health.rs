//! Whether the canary's target group can carry its weight. A rule sends a group its share of the requests however few of
//! its targets are healthy.

use super::Draft;
use crate::alb;
use crate::observation::{GroupHealth, Health, Seen};
use crate::rollout::Why;
use crate::spec::{AlbTarget, Target, Version};
use crate::units::Weight;

/// Why the canary must not get this weight now; nothing where it may, and for an alias. Unknown health is a reason, too.
pub(super) fn shortage(draft: &Draft<'_>, weight: Weight) -> Option<String> {
    let alb = target(draft)?;
    let health = match &draft.seen.health {
        Seen::Known(health) => health,
        Seen::Missing(why) => return Some(unread(why)),
        Seen::NotAsked => return Some("the targets' health was not looked at".to_owned()),
    };
    let served_all = carried_by(draft, health);
    if served_all == 0 {
        return Some(format!("{} has no healthy target: what a weight needs is not known", name(&draft.next.baseline)));
    }
    let needed = alb::needed(alb.min_healthy_share, weight, served_all);
    (health.canary.healthy < needed).then(|| too_few(draft, &health.canary, needed, weight))
}

/// Whether the canary's weight may be raised to this one, as far as its targets go; holds with the reason where not.
pub(super) fn carries(draft: &mut Draft<'_>, weight: Weight) -> bool {
    let short = shortage(draft, weight);
    let carries = short.is_none();
    let new = short.filter(|why| !draft.holding.contains(why));
    new.into_iter().for_each(|why| draft.hold(why));
    carries
}

pub(super) fn unread(why: &str) -> String {
    format!("the targets' health could not be read: {why}")
}

/// The canary's targets have failed under the weight that it has: none is healthy, or less than half of what the weight
/// needs. Targets that were taken away because there is less to do are missing from the needed ones, not failed.
pub(super) fn collapsed(draft: &Draft<'_>) -> Option<Why> {
    let (health, needed, weight) = under_weight(draft)?;
    let canary = &health.canary;
    let collapsed = canary.healthy == 0 || 2 * canary.healthy < needed.min(canary.registered());
    collapsed.then(|| Why::Unhealthy { sentence: too_few(draft, canary, needed, weight) })
}

/// Some of the canary's targets have failed, and the rest is fewer than its weight needs.
pub(super) fn ailing(draft: &Draft<'_>) -> Option<String> {
    let (health, needed, weight) = under_weight(draft)?;
    let canary = &health.canary;
    (canary.healthy < needed.min(canary.registered())).then(|| too_few(draft, canary, needed, weight))
}

/// Why all traffic on the baseline would be answered by nobody, while it has some on the canary. A new group that is proven
/// bad answers some requests all the same, unless it has no healthy target either. Not knowing is no reason.
pub(super) fn nobody_to_go_back_to(draft: &Draft<'_>) -> Option<String> {
    let (Health { baseline, canary }, ..) = under_weight(draft)?;
    let stays = baseline.healthy + baseline.not_checked == 0 && canary.healthy > 0;
    let (blue, green) = (name(&draft.next.baseline), name(&draft.next.canary));
    let why = baseline.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    stays.then(|| {
        format!(
            "the rollback waits: {blue} has no healthy target{why}, so nobody would answer what {green} answers now, if badly. \
             Start targets in {blue}; all traffic goes back as soon as one is healthy"
        )
    })
}

/// Whether the baseline could take all traffic back: said as long as it might have to, and a reason for nothing.
pub(super) fn warn_of_no_way_back(draft: &mut Draft<'_>) {
    let (Some(alb), Some(health)) = (target(draft), draft.seen.health.known()) else { return };
    let needed = alb::needed(alb.min_healthy_share, Weight::FULL, carried_by(draft, health));
    if health.baseline.healthy < needed {
        let (name, healthy) = (name(&draft.next.baseline), targets(health.baseline.healthy));
        draft.hold(format!("{name} has {healthy} of the {needed} that a rollback needs"));
    }
}

/// What is seen of the canary's targets, how many the live weight needs, and that weight.
fn under_weight<'a>(draft: &Draft<'a>) -> Option<(&'a Health, u32, Weight)> {
    let alb = target(draft)?;
    let health = draft.seen.health.known()?;
    let weight = draft.seen.routing.known()?.still_ours(&draft.next.baseline, &draft.next.canary)?;
    let needed = alb::needed(alb.min_healthy_share, weight, carried_by(draft, health));
    (weight > Weight::ZERO).then_some((health, needed, weight))
}

fn target<'a>(draft: &'a Draft<'_>) -> Option<&'a AlbTarget> {
    match &draft.before.spec.target {
        Target::Alb(alb) => Some(alb),
        Target::Lambda(_) => None,
    }
}

/// Before the first weight it is what carries everything now.
fn carried_by(draft: &Draft<'_>, health: &Health) -> u32 {
    draft.next.carried_by.unwrap_or(health.baseline.healthy)
}

/// `green has 2 healthy targets of the 5 that 25 % needs (blue served all with 20): Target.Timeout`
fn too_few(draft: &Draft<'_>, canary: &GroupHealth, needed: u32, weight: Weight) -> String {
    let served = draft.seen.health.known().map_or(0, |health| carried_by(draft, health));
    let (green, blue) = (name(&draft.next.canary), name(&draft.next.baseline));
    let why = canary.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    format!(
        "{green} has {} of the {needed} that {weight} needs ({blue} served all with {served}){why}",
        targets(canary.healthy)
    )
}

fn targets(healthy: u32) -> String {
    format!("{healthy} healthy target{}", if healthy == 1 { "" } else { "s" })
}

fn name(group: &Version) -> &str {
    alb::group_name(&group.0)
}
