//! What must hold of deployments that other services run.

use super::{Found, GRACE, Snapshot};
use crate::analysis::Verdict;
use crate::deployment::DeploymentRef;
use crate::observation::TestOutcome;
use crate::rollout::{DecisionRecord, Event, Guest, Rollout, Why};
use crate::sim::world::{Telling, Told, World};
use crate::spec::{Advance, Ending, Mode};
use crate::units::{Timestamp, Weight};

/// Everything that was said about deployments between two snapshots.
pub(super) fn check(before: &Snapshot, after: &Snapshot, world: &World, found: &mut Found) {
    let all = world.told(0);
    for told in &all[before.told.min(all.len())..] {
        found.rollout = told.deployment.id().to_owned();
        let rollout = after.rollouts.get(told.deployment.id());
        match &told.what {
            Telling::Answer { execution, at, goes_on, counts } => {
                consistent(told, execution, *goes_on, &all, found);
                if told.rolls_back && !goes_on {
                    found.add("nothing holds a rollback up", format!("{execution} was told to stop"));
                }
                let enforced = rollout.is_none_or(|rollout| rollout.spec.mode == Mode::Enforce);
                if !enforced && !goes_on {
                    found.add("observe mode stops nothing", execution.clone());
                }
                if *counts && *goes_on && enforced && !told.rolls_back {
                    let granted =
                        rollout.ok_or("no rollout judges it").and_then(|rollout| consent(rollout, *at, world));
                    if let Err(why) = granted {
                        found.add(
                            "a hook goes on only with a proof or a recorded consent",
                            format!("{execution}: {why}"),
                        );
                    }
                }
            }
            Telling::Stop { .. } if rollout.is_some_and(|rollout| rollout.spec.mode == Mode::Observe) => {
                found.add("observe mode stops nothing", "it was stopped");
            }
            // Of ECS it is the deployment itself that turns back; whoever could not see that may stop it again, to no effect.
            Telling::Stop { .. } if told.rolls_back && matches!(told.deployment, DeploymentRef::CodeDeploy(_)) => {
                found.add("nothing holds a rollback up", "it was stopped");
            }
            Telling::Stop { .. } | Telling::NoAnswer { .. } | Telling::Broke | Telling::GaveUp(_) => {}
        }
    }
    found.rollout.clear();
}

/// Two invocations may answer the same hook; never differently.
fn consistent(told: &Told, execution: &str, goes_on: bool, all: &[Told], found: &mut Found) {
    let differs = |other: &&Told| {
        other.deployment == told.deployment
            && matches!(&other.what, Telling::Answer { execution: same, goes_on: other, .. }
                if same == execution && *other != goes_on)
    };
    if let Some(other) = all.iter().find(differs) {
        found.add("a hook has one answer", format!("{execution} got both, at {} and at {}", other.at, told.at));
    }
}

/// What allows a weight to be left.
fn consent(rollout: &Rollout, at: Weight, world: &World) -> Result<(), &'static str> {
    let granted = rollout.history.iter().any(|event| grants(rollout, at, event, world));
    if granted { Ok(()) } else { Err("nothing in its history consents") }
}

fn grants(rollout: &Rollout, at: Weight, event: &Event, world: &World) -> bool {
    let spec = &rollout.spec;
    let judged = |wanted: &dyn Fn(&DecisionRecord) -> bool| {
        let records = world.records(&rollout.id);
        event.digest.is_some_and(|digest| records.iter().any(|record| record.digest == digest && wanted(record)))
    };
    let harmless = |record: &DecisionRecord| record.verdict != Verdict::Fail;
    // Every minute in which both versions had traffic was settled.
    let settled = |record: &DecisionRecord| {
        let alone = rollout.weights.iter().find(|seen| seen.weight == Weight::FULL).map(|seen| seen.at.minute());
        record.settled_before > alone && alone.is_some()
    };
    let lenient = spec.steps.last().is_none_or(|step| step.advance == Advance::UnlessHarm);
    if matches!(event.why, Why::Cleared) {
        let tested = world.tests_run().get(&rollout.canary) == Some(&TestOutcome::Passed);
        return at == Weight::ZERO && (spec.tests.is_empty() || tested);
    }
    if matches!(event.why, Why::Proven { .. }) {
        let proves = |record: &DecisionRecord| match at {
            Weight::FULL => harmless(record) && settled(record),
            _ => record.verdict == Verdict::Pass,
        };
        return event.weight >= at && judged(&proves);
    }
    let unharmed = matches!(event.why, Why::NoHarm { .. } | Why::WatchOver { .. });
    let by_word = matches!(
        event.why,
        Why::PromotedBy { .. }
            | Why::Undecided { then: Ending::Promote, .. }
            | Why::PauseOver { then: Ending::Promote }
    );
    by_word || unharmed && event.weight >= at && lenient && judged(&harmless)
}

/// Danger was there to be seen for long enough.
pub(super) fn stopped(guest: &Guest, world: &World, found: &mut Found) {
    let goes_on = world.deployments().iter().any(|deployment| {
        deployment.reference == guest.deployment && !deployment.state.has_ended() && !deployment.rolls_back
    });
    let told_to_stop = world.told(0).iter().any(|told| {
        told.deployment == guest.deployment
            && matches!(told.what, Telling::Stop { .. } | Telling::Answer { goes_on: false, counts: true, .. })
    });
    if goes_on && !told_to_stop {
        let invariant = "harm or an alarm stops a deployment within two fault-free ticks";
        found.add(invariant, format!("{} goes on", guest.deployment));
    }
}

/// Every hook that was kept has its answer by its limit, and is then forgotten.
pub(super) fn answered_in_time(now: Timestamp, world: &World, found: &mut Found) {
    for hook in world.kept_hooks().iter().filter(|hook| now > hook.answer_by() + GRACE) {
        found.rollout = hook.deployment.id().to_owned();
        found.add("every hook has its answer in time", format!("{} waits since {}", hook.execution, hook.received));
    }
    found.rollout.clear();
}
