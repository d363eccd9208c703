//! What must hold of the dead man's switch.

use std::sync::Arc;

use super::writes::CLOCKS_DIFFER;
use super::{Found, Snapshot, Violation, ends_of, live_split};
use crate::driver::Settings;
use crate::rollout::{Phase, Rollout};
use crate::sim::world::{Armed, World};
use crate::spec::Mode;
use crate::units::{Span, Timestamp, Weight};

/// After every invocation, whatever failed in it: no traffic of ours is split that nobody would put back.
#[must_use]
pub fn check_switches(after: &Snapshot, world: &World, settings: &Settings) -> Vec<Violation> {
    let mut found = Found { at: after.at, rollout: String::new(), violations: Vec::new() };
    let Some(waits) = settings.switch.filter(|_| settings.mode == Mode::Enforce) else { return Vec::new() };
    let switches = world.switches();
    for rollout in after.rollouts.values().filter(|rollout| moves_traffic(rollout) && is_split(rollout, after)) {
        found.rollout.clone_from(&rollout.id);
        is_armed(rollout, waits, after.at, switches.get(&rollout.id), &mut found);
    }
    for id in switches.into_keys() {
        if after.rollouts.get(&id).is_none_or(|rollout| rollout.switch.is_none()) {
            found.rollout = id;
            found.add("no switch is left that nobody will remove", "its rollout is over, and it would still fire");
        }
    }
    found.violations
}

/// Of a rollout that had ended before this tick none is left, where the last ticks had no faults.
pub(super) fn removed_in_time(before: &Snapshot, world: &World, found: &mut Found) {
    for (id, armed) in world.switches() {
        // A table from the past may not know of it; then it fires.
        let knows = |rollout: &Arc<Rollout>| rollout.is_terminal() && rollout.switch.is_some();
        if before.rollouts.get(&id).is_some_and(knows) {
            found.rollout = id;
            found
                .add("a switch is removed within two fault-free ticks of the end", format!("it fires at {}", armed.at));
        }
    }
    found.rollout.clear();
}

/// Coalmine's own, and it may have given the canary traffic.
fn moves_traffic(rollout: &Rollout) -> bool {
    let begun = !rollout.is_terminal() && !matches!(rollout.phase, Phase::Pending { .. });
    // What others have split is theirs; that it is so is said by the next look.
    let own = rollout.strange_since.is_none();
    begun && own && rollout.guest.is_none() && rollout.spec.mode == Mode::Enforce
}

fn is_split(rollout: &Rollout, after: &Snapshot) -> bool {
    let shares = live_split(rollout, after).and_then(ends_of);
    shares.is_some_and(|(low, high)| low < Weight::FULL && high > Weight::ZERO)
}

fn is_armed(rollout: &Rollout, waits: Span, now: Timestamp, armed: Option<&Armed>, found: &mut Found) {
    let invariant = "while traffic is split a switch would put all of it back in time";
    let Some(armed) = armed else {
        return found.add(invariant, "there is none");
    };
    // It is pushed to moments that lie a third of its time apart.
    let latest = now + waits.plus(Span::from_seconds((waits.seconds() / 3).max(60))).plus(CLOCKS_DIFFER);
    if armed.at > latest {
        found.add(invariant, format!("it fires at {}, and {latest} would be the latest", armed.at));
    }
    if (&armed.target, &armed.baseline) != (&rollout.spec.target, &rollout.baseline) {
        found.add(invariant, format!("it would give {} to {}", armed.target.key(), armed.baseline));
    }
}
