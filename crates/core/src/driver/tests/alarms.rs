//! Alarms: what an event does, whatever it says, and what a tick sees without one.

use super::isolation::{FUNCTIONS, phases, settings, start, three_rollouts, tick_once};
use super::*;
use crate::driver::{TickReport, alarm};
use crate::observation::AlarmState;
use crate::ports::FaultKind;
use crate::rollout::PhaseName;
use crate::sim::budget::SimBudget;
use crate::sim::executor::run_now;
use crate::sim::faults::{Faulty, Operation, Way, When};

on_both!(
    an_event_acts_on_what_the_alarm_is_and_not_on_what_it_says,
    an_alarm_rolls_back_every_rollout_that_names_it,
    an_alarm_that_cannot_be_read_again_does_nothing_now,
    a_tick_notices_an_alarm_without_its_event,
    an_alarm_that_is_ok_again_turns_no_rollback_round,
    an_alarm_without_data_neither_stops_nor_holds_up_a_rollout,
    the_event_of_an_alarm_begins_nothing,
    an_alarm_is_not_forgotten_where_its_save_comes_second,
);

/// The event of the alarm in the third minute; a world whose rollouts all bake.
fn rung(on: On, state: Option<AlarmState>) -> (World, TickReport) {
    let world = baking(on);
    match state {
        Some(state) => world.set_alarm("red", state),
        None => world.delete_alarm("red"),
    }
    let now = start() + minutes(3);
    world.set_now(now);
    let report = run_now(alarm(&world, "red", now, &SimBudget::plenty(), &settings())).unwrap().unwrap();
    (world, report)
}

fn baking(on: On) -> World {
    let world = three_rollouts(on);
    for minute in 1..3 {
        tick_once(&world, &world, minute);
    }
    assert_eq!(phases(&world), [PhaseName::Baking; 3]);
    world
}

/// Rules have no revisions, and so a rollback there waits for writes in flight.
fn back(on: On) -> PhaseName {
    if on == On::Lambda { PhaseName::RolledBack } else { PhaseName::RollingBack }
}

fn an_event_acts_on_what_the_alarm_is_and_not_on_what_it_says(on: On) {
    for (state, after) in [
        (Some(AlarmState::Alarm), back(on)),
        (Some(AlarmState::Ok), PhaseName::Baking),
        (Some(AlarmState::InsufficientData), PhaseName::Baking),
        (None, PhaseName::Baking),
    ] {
        let (world, report) = rung(on, state);
        assert_eq!(phases(&world), [after; 3], "{state:?}: {report:?}");
        let told = report.lines.iter().any(|line| line.holding.iter().any(|why| why == "alarm red does not exist"));
        assert_eq!(told, state.is_none(), "{report:?}");
    }
}

fn an_alarm_rolls_back_every_rollout_that_names_it(on: On) {
    let (world, report) = rung(on, Some(AlarmState::Alarm));
    assert_eq!(report.lines.len(), FUNCTIONS.len());
    let red = "alarm red is in ALARM";
    assert!(report.lines.iter().all(|line| line.did.iter().any(|did| did.contains(red))), "{report:?}");
    // The event comes at least once. A second one finds nothing left to do.
    let before = world.rollouts();
    let now = world.rollouts().values().map(|rollout| rollout.now).max().unwrap();
    let again = run_now(alarm(&world, "red", now, &SimBudget::plenty(), &settings())).unwrap().unwrap();
    assert!(again.lines.iter().all(|line| line.did.is_empty()), "{again:?}");
    assert_eq!(world.rollouts(), before);
    // One that nobody names is nobody's business.
    let other = run_now(alarm(&world, "other", now, &SimBudget::plenty(), &settings())).unwrap().unwrap();
    assert_eq!(other.lines, []);
}

fn an_alarm_that_cannot_be_read_again_does_nothing_now(on: On) {
    let world = baking(on);
    world.set_alarm("red", AlarmState::Alarm);
    let now = start() + minutes(3);
    world.set_now(now);
    let faulty = Faulty::once(&world, When::Every(Operation::States), Way::Fails(FaultKind::Throttled));
    let report = run_now(alarm(&faulty, "red", now, &SimBudget::plenty(), &settings())).unwrap().unwrap();
    assert_eq!(phases(&world), [PhaseName::Baking; 3], "{report:?}");
    let told = |why: &String| why.starts_with("the alarms could not be read: ");
    assert!(report.lines.iter().all(|line| line.holding.iter().any(told)), "{report:?}");
    // The next tick makes up for it.
    tick_once(&world, &world, 4);
    assert_eq!(phases(&world), [back(on); 3]);
}

fn a_tick_notices_an_alarm_without_its_event(on: On) {
    let world = baking(on);
    world.set_alarm("red", AlarmState::Alarm);
    tick_once(&world, &world, 3);
    assert_eq!(phases(&world), [back(on); 3]);
}

fn an_alarm_that_is_ok_again_turns_no_rollback_round(on: On) {
    let (world, _) = rung(on, Some(AlarmState::Alarm));
    world.set_alarm("red", AlarmState::Ok);
    for minute in 4..8 {
        tick_once(&world, &world, minute);
    }
    assert_eq!(phases(&world), [PhaseName::RolledBack; 3]);
}

/// The same release, in the same minutes, as if the alarm were OK all along.
fn an_alarm_without_data_neither_stops_nor_holds_up_a_rollout(on: On) {
    let with = |state| {
        let quiet = Happening { when: Moment::After(minutes(0)), what: What::Alarm { name: "red".to_owned(), state } };
        let outcome = clean_run(&on.of(Scenario { events: vec![quiet], ..good() }), 5);
        let told = outcome.rollout.history.iter().map(|event| (event.at, event.why.clone())).collect::<Vec<_>>();
        (outcome.rollout.phase.name(), told)
    };
    let unknown = with(AlarmState::InsufficientData);
    assert_eq!(unknown.0, PhaseName::Promoted);
    assert_eq!(unknown, with(AlarmState::Ok));
    // And a bad one is rolled back as ever.
    let quiet = What::Alarm { name: "red".to_owned(), state: AlarmState::InsufficientData };
    let outcome = clean_run(&on.of(Scenario { events: vec![after(0, quiet)], ..bad() }), 5);
    assert_eq!(outcome.rollout.phase.name(), PhaseName::RolledBack);
}

/// Only a tick sees whether the dead man's switch of an earlier release is still to fire.
fn the_event_of_an_alarm_begins_nothing(on: On) {
    let world = three_rollouts(on);
    let now = start() + minutes(1);
    world.set_now(now);
    let report = run_now(alarm(&world, "red", now, &SimBudget::plenty(), &settings())).unwrap().unwrap();
    assert_eq!((phases(&world), report.lines), ([PhaseName::Pending; 3].to_vec(), Vec::new()));
    let begun = |rollout: &std::sync::Arc<crate::rollout::Rollout>| rollout.has_begun();
    tick_once(&world, &world, 1);
    assert!(world.rollouts().values().all(begun), "{:?}", phases(&world));
}

/// A tick may have been faster, and has perhaps not looked at the alarm; its event comes only once.
fn an_alarm_is_not_forgotten_where_its_save_comes_second(on: On) {
    for way in [Way::Stale, Way::Fails(FaultKind::Throttled)] {
        let world = baking(on);
        world.set_alarm("red", AlarmState::Alarm);
        let now = start() + minutes(3);
        world.set_now(now);
        let faulty = Faulty::once(&world, When::Nth(Operation::Save, 0), way);
        let report = run_now(alarm(&faulty, "red", now, &SimBudget::plenty(), &settings())).unwrap().unwrap();
        assert_eq!(phases(&world), [back(on); 3], "{way:?}: {report:?}");
    }
}
