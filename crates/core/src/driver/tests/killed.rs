//! Faults at every call: the rollout ends where it would have ended without them.

use super::*;
use crate::ports::FaultKind;
use crate::rollout::{PhaseName, Why};
use crate::sim::budget::SimBudget;
use crate::sim::executor::run_now;
use crate::sim::faults::{Faulty, Operation, Rule, Way, When};
use crate::sim::scenario::FaultWindow;
use crate::sim::world::{World, Write};
use crate::units::{Timestamp, Weight};

const SEED: u64 = 7;

on_both!(
    a_good_release_survives_being_killed_at_every_call,
    a_bad_release_is_rolled_back_though_killed_at_every_call,
    an_alarm_rolls_back_though_killed_at_every_call,
    every_single_failed_lost_or_stale_answer_is_survived,
    with_the_table_failing_a_rollback_still_happens,
    with_the_table_failing_nothing_advances,
    with_any_one_service_failing_for_half_an_hour_nothing_is_lost,
    ticks_that_come_twice_change_nothing,
    two_controllers_at_once_equal_one,
    a_writer_that_stalls_and_writes_late_strands_nothing,
    a_controller_that_looks_late_strands_nothing,
    an_abort_works_though_its_record_fails,
);

fn at_minute(minute: u64, rule: Rule) -> FaultWindow {
    // The start command comes at the full minute, the tick 20 s later.
    let from = minutes(minute).plus(Span::from_seconds(10));
    FaultWindow { from, until: from.plus(minutes(1)), rule }
}

/// Runs the scenario once per minute, call and way, with that one fault; returns how many runs there were.
/// Every fault meets a call.
pub(super) fn with_each_fault(scenario: &Scenario, ways: &[Way]) -> usize {
    let undisturbed = clean_run(scenario, SEED);
    let length = undisturbed.stopped_at.since(undisturbed.started_at).minutes_ceil();
    let mut runs = 0;
    for minute in 0..u64::try_from(length).unwrap() {
        // Up to its fault a run is as undisturbed as the one without.
        let within = at_minute(minute, Rule { when: When::Always, way: Way::Panics });
        let after = |at: Timestamp| at.since(undisturbed.started_at);
        let ticks = undisturbed.calls.iter().filter(|(at, _)| within.from <= after(*at) && after(*at) < within.until);
        let calls = ticks.map(|(_, calls)| *calls).max().unwrap_or(0);
        for (call, way) in (0..calls).flat_map(|call| ways.iter().map(move |way| (call, *way))) {
            let fault = at_minute(minute, Rule { when: When::Call(call), way });
            let mut disturbed = scenario.clone();
            disturbed.faults.push(fault);
            let outcome = run(&disturbed, SEED).unwrap();
            let told = format!("{way:?} at call {call} of minute {minute}: {:#?}", outcome.rollout.history);
            assert_eq!(outcome.violations, [], "{told}");
            assert_eq!(outcome.ended(), undisturbed.ended(), "{told}");
            assert_eq!(outcome.weights().last().map(|last| last.1), undisturbed.weights().last().map(|last| last.1));
            assert_eq!(outcome.unserved(), 0, "{told}");
            runs += 1;
        }
    }
    runs
}

fn a_good_release_survives_being_killed_at_every_call(on: On) {
    assert!(with_each_fault(&on.of(good()), &[Way::KilledBefore, Way::KilledAfter]) > 200);
}

fn a_bad_release_is_rolled_back_though_killed_at_every_call(on: On) {
    assert!(with_each_fault(&on.of(bad()), &[Way::KilledBefore, Way::KilledAfter]) > 60);
}

fn an_alarm_rolls_back_though_killed_at_every_call(on: On) {
    assert!(with_each_fault(&on.of(alarmed()), &[Way::KilledBefore, Way::KilledAfter]) > 130);
}

fn every_single_failed_lost_or_stale_answer_is_survived(on: On) {
    let ways = [Way::Fails(FaultKind::Throttled), Way::AnswerLost, Way::Stale];
    assert!(with_each_fault(&on.of(bad()), &ways) > 90);
    assert!(with_each_fault(&on.of(alarmed()), &ways) > 190);
}

/// The one exception to saving before acting.
fn with_the_table_failing_a_rollback_still_happens(on: On) {
    let from = minutes(2);
    let rule = Rule { when: When::Every(Operation::Save), way: Way::Fails(FaultKind::Failed) };
    let mut scenario = bad();
    scenario.faults.push(FaultWindow { from, until: minutes(30), rule });
    let outcome = run(&on.of(scenario), SEED).unwrap();
    let back = outcome.turned_back().expect("the canary's traffic was taken away");
    assert!(back < outcome.started_at + minutes(12), "while the table was down: {back}");
    assert_eq!(outcome.ended(), Some(PhaseName::RolledBack));
}

/// The dead man's switch cannot be pushed then either: it fires, and its write is nobody's of ours.
fn with_the_table_failing_nothing_advances(on: On) {
    let rule = Rule { when: When::Every(Operation::Save), way: Way::Fails(FaultKind::Failed) };
    let mut scenario = on.of(good());
    scenario.faults.push(FaultWindow { from: minutes(3), until: minutes(30), rule });
    for (switch, end) in [(None, PhaseName::Promoted), (scenario.settings.switch, PhaseName::RolledBack)] {
        scenario.settings.switch = switch;
        let outcome = clean_run(&scenario, SEED);
        let during = |at: Timestamp| at >= outcome.started_at + minutes(3) && at < outcome.started_at + minutes(30);
        let mut written = outcome.writes.iter().filter(|write| during(write.at));
        let split = |write: &Write| write.routing.split(&on.baseline(), &on.canary());
        let back =
            |write: &Write| matches!(split(write), Split::Ours(low) | Split::Uneven { low, .. } if low == Weight::ZERO);
        assert!(written.all(|write| switch.is_some() && back(write)), "{:?}", outcome.writes);
        assert_eq!(outcome.ended(), Some(end));
    }
}

fn with_any_one_service_failing_for_half_an_hour_nothing_is_lost(on: On) {
    let scenario = on.of(good());
    // What keeps the switch from being pushed makes it fire: it cannot be told, or of its time be noted, or no decision is
    // come to at all.
    let fires = |operation: Operation, way: Way| {
        let untold = [Operation::Save, Operation::Arm].contains(&operation) && way != Way::AnswerLost;
        let undecided = operation == Operation::Look || operation == Operation::Health && on == On::Alb;
        operation == Operation::Active || untold || undecided && way == Way::Hangs
    };
    for operation in Operation::ALL {
        for way in [Way::Fails(FaultKind::Failed), Way::Hangs, Way::AnswerLost] {
            let rule = Rule { when: When::Every(operation), way };
            for switch in [None, scenario.settings.switch] {
                let mut scenario = scenario.clone();
                scenario.settings.switch = switch;
                scenario.faults.push(FaultWindow { from: minutes(3), until: minutes(20), rule });
                let outcome = run(&scenario, SEED).unwrap();
                let told = format!("{operation:?} {way:?} {switch:?}: {:#?}", outcome.rollout.history);
                assert_eq!(outcome.violations, [], "{told}");
                let fired = switch.is_some() && fires(operation, way);
                let end = if fired { PhaseName::RolledBack } else { PhaseName::Promoted };
                assert_eq!(outcome.ended(), Some(end), "{told}");
                let why = outcome.rollout.history.last().map(|event| &event.why);
                assert_eq!(matches!(why, Some(Why::SwitchFired)), fired, "{told}");
            }
        }
    }
}

fn ticks_that_come_twice_change_nothing(on: On) {
    for (scenario, end) in
        [(good(), PhaseName::Promoted), (bad(), PhaseName::RolledBack), (alarmed(), PhaseName::RolledBack)]
    {
        let outcome = clean_run(&on.of(Scenario { ticks_twice: true, ..scenario }), SEED);
        assert_eq!(outcome.ended(), Some(end));
    }
}

fn two_controllers_at_once_equal_one(on: On) {
    for seed in 0..40 {
        for (scenario, end) in
            [(good(), PhaseName::Promoted), (bad(), PhaseName::RolledBack), (alarmed(), PhaseName::RolledBack)]
        {
            let scenario = on.of(scenario);
            let alone = clean_run(&scenario, seed);
            let rivals = clean_run(&Scenario { rival: true, ..scenario }, seed);
            assert_eq!((alone.ended(), rivals.ended()), (Some(end), Some(end)), "seed {seed}");
            let steps = |outcome: &Outcome| outcome.weights().iter().map(|(_, weight)| *weight).collect::<Vec<_>>();
            assert_eq!(steps(&alone), steps(&rivals), "seed {seed}");
        }
    }
}

fn tick_at(world: &World, ports: &impl crate::ports::Ports, minute: u64) {
    let now = start() + minutes(minute);
    world.set_now(now);
    run_now(crate::driver::tick(ports, now, &SimBudget::plenty(), &settings())).unwrap().unwrap();
}

fn settings() -> crate::driver::Settings {
    crate::driver::Settings {
        mode: crate::spec::Mode::Enforce,
        metric_lag: minutes(3),
        switch: None,
        deployment_spec: None,
    }
}

fn start() -> Timestamp {
    "2026-11-21T14:00:00Z".parse().unwrap()
}

/// A world with a rollout of 42 that has just been started.
fn started(on: On) -> World {
    started_with(on, &spec_on(on))
}

/// Target groups are both attached and healthy.
fn started_with(on: On, spec: &Value) -> World {
    let world = World::new(start());
    for number in ["40", "41", "42"] {
        world.offer(&on.target(), &on.version(number));
    }
    world.write(&on.target(), &on.baseline(), Some((on.canary(), Weight::ZERO))).unwrap();
    world.set_alarm("red", crate::observation::AlarmState::Ok);
    let event = json!({ "command": "start", "spec": spec });
    let request = crate::command::Request::parse(&event).unwrap();
    run_now(crate::driver::command(&world, request, start(), &SimBudget::plenty(), &settings())).unwrap().unwrap();
    world
}

/// The phase of the one rollout there is.
fn phase(world: &World) -> PhaseName {
    world.rollouts()["checkout-42"].phase.name()
}

/// The controller that set the first weight stalls, and its write arrives when the rollout has long turned back. An alias
/// refuses it. Rules take it, and so the rollout does not end before it must have arrived.
fn a_writer_that_stalls_and_writes_late_strands_nothing(on: On) {
    let world = started(on);
    let stalled = Faulty::once(&world, When::Every(Operation::Set), Way::Stalls);
    tick_at(&world, &stalled, 1);
    assert_eq!(live(&world, on), Split::Ours(Weight::ZERO), "not there yet");
    world.set_alarm("red", crate::observation::AlarmState::Alarm);
    tick_at(&world, &world, 2);
    let ends = if on == On::Lambda { PhaseName::RolledBack } else { PhaseName::RollingBack };
    assert_eq!(phase(&world), ends);
    let answers = run_now(stalled.deliver_stalled()).unwrap();
    assert!(!answers.is_empty() && answers.iter().all(|answer| answer.is_err() == (on == On::Lambda)), "{answers:?}");
    let stranded = if on == On::Lambda { Weight::ZERO } else { "10%".parse().unwrap() };
    assert_eq!(live(&world, on), Split::Ours(stranded));
    (3..=6).for_each(|minute| tick_at(&world, &world, minute));
    assert_eq!((phase(&world), live(&world, on)), (PhaseName::RolledBack, Split::Ours(Weight::ZERO)));
}

/// A tick that read the rollout before another invocation rolled it back, and looks at the alias only afterwards: the
/// alias looks as it should before the first step, and the weight that is still wanted needs no save.
fn a_controller_that_looks_late_strands_nothing(on: On) {
    for steps in [json!({ "steps": [{ "weight": "10%", "bake": "3m" }] }), json!({ "allAtOnce": {} })] {
        let mut spec = spec_on(on);
        spec["strategy"] = steps;
        let world = started_with(on, &spec);
        let throttled = Faulty::once(&world, When::Every(Operation::Set), Way::Fails(FaultKind::Throttled));
        tick_at(&world, &throttled, 1);
        let read_early = world.rollouts()["checkout-42"].clone();
        assert_eq!(live(&world, on), Split::Ours(Weight::ZERO), "not there yet");
        world.set_alarm("red", crate::observation::AlarmState::Alarm);
        tick_at(&world, &world, 2);
        let ends = if on == On::Lambda { PhaseName::RolledBack } else { PhaseName::RollingBack };
        assert_eq!(phase(&world), ends);
        world.set_alarm("red", crate::observation::AlarmState::Ok);
        let (settings, budget) = (settings(), SimBudget::plenty());
        let now = start() + minutes(2);
        let late = crate::driver::Context { ports: &world, budget: &budget, settings: &settings, now };
        run_now(late.attend_all(
            vec![crate::rollout::Rollout::clone(&read_early)],
            true,
            &crate::driver::Visits::new(),
        ))
        .unwrap();
        assert_eq!(live(&world, on), Split::Ours(Weight::ZERO));
    }
}

/// One failed save is tried again; a table that stays down does not keep the traffic on the new version.
fn an_abort_works_though_its_record_fails(on: On) {
    let abort = |ports: &Faulty<'_, World>| {
        let event = json!({ "command": "abort", "rollout": "checkout-42", "by": "mara" });
        let request = crate::command::Request::parse(&event).unwrap();
        let now = start() + minutes(2);
        run_now(crate::driver::command(ports, request, now, &SimBudget::plenty(), &settings())).unwrap()
    };
    let world = started(on);
    tick_at(&world, &world, 1);
    let once = Faulty::once(&world, When::Nth(Operation::Save, 0), Way::Fails(FaultKind::Throttled));
    abort(&once).unwrap();
    (3..=6).for_each(|minute| tick_at(&world, &world, minute));
    assert_eq!((phase(&world), live(&world, on)), (PhaseName::RolledBack, Split::Ours(Weight::ZERO)));
    let world = started(on);
    tick_at(&world, &world, 1);
    let down = Faulty::once(&world, When::Every(Operation::Save), Way::Fails(FaultKind::Failed));
    let problems = abort(&down).unwrap_err();
    let done = format!("done all the same: set {} to 0 % of {}", on.canary(), on.target().key());
    assert!(problems[0].message.contains(&done), "{problems:?}");
    assert_eq!(live(&world, on), Split::Ours(Weight::ZERO));
}

/// The target rearranges itself: whatever would be written now would be lost or refused.
#[test]
fn nothing_is_written_while_provisioned_concurrency_moves() {
    let world = started(On::Lambda);
    let writes = world.writes(0).len();
    world.set_in_transition(&target(), true);
    for minute in 1..4 {
        tick_at(&world, &world, minute);
        assert_eq!(world.rollouts()["checkout-42"].phase.name(), PhaseName::Pending);
    }
    assert_eq!(world.writes(0).len(), writes);
    world.set_in_transition(&target(), false);
    tick_at(&world, &world, 4);
    assert_eq!(world.rollouts()["checkout-42"].phase.name(), PhaseName::Baking);
}
