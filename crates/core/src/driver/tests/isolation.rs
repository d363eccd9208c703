//! Several rollouts in one tick: one's failure is not the others'.

use super::*;
use crate::command::Request;
use crate::driver::{Context, Line, Settings, TickReport, alarm, command, tick};
use crate::observation::AlarmState;
use crate::ports::{FaultKind, Ports};
use crate::rollout::{PhaseName, Rollout};
use crate::sim::budget::SimBudget;
use crate::sim::executor::run_now;
use crate::sim::faults::{Faulty, Operation, Way, When};
use crate::sim::world::World;
use crate::spec::Mode;
use crate::units::{Timestamp, Weight};

on_both!(
    one_rollout_that_fails_does_not_stop_the_others,
    a_bug_in_what_is_read_for_all_at_once_holds_them_all,
    a_rollout_that_cannot_be_read_does_not_hide_the_others,
    a_rollout_that_cannot_be_read_does_not_keep_an_alarm_from_the_others,
    every_minute_another_rollout_comes_first,
    what_there_is_no_time_to_do_is_not_put_on_record,
    a_push_that_failed_is_noted_for_the_next_tick,
    ticks_that_have_no_time_to_raise_push_the_switch_on,
    beside_a_rollout_that_was_left_out_none_begins,
);

pub const FUNCTIONS: [&str; 3] = ["basket", "checkout", "search"];

pub fn start() -> Timestamp {
    "2026-11-21T14:00:00Z".parse().unwrap()
}

pub fn settings() -> Settings {
    Settings { mode: Mode::Enforce, metric_lag: minutes(3), switch: None, deployment_spec: None }
}

/// Three functions, or pairs of attached target groups, each with a rollout of 42 that was just started.
pub fn three_rollouts(on: On) -> World {
    let world = World::new(start());
    world.set_alarm("red", AlarmState::Ok);
    for function in FUNCTIONS {
        let target = on.target_of(function);
        for number in ["41", "42"] {
            world.offer(&target, &on.version_of(function, number));
        }
        let beside = Some((on.version_of(function, "42"), Weight::ZERO));
        world.write(&target, &on.version_of(function, "41"), beside).unwrap();
        let mut scenario = good();
        scenario.target = On::Lambda.target_of(function);
        scenario.spec["target"]["lambda"]["function"] = function.into();
        let spec = on.of(scenario).spec;
        let request = Request::parse(&json!({ "command": "start", "spec": spec })).unwrap();
        run_now(command(&world, request, start(), &SimBudget::plenty(), &settings())).unwrap().unwrap();
    }
    world
}

pub fn tick_once(world: &World, ports: &impl Ports, minute: u64) -> TickReport {
    let now = start() + minutes(minute);
    world.set_now(now);
    run_now(tick(ports, now, &SimBudget::plenty(), &settings())).unwrap().unwrap()
}

pub fn phases(world: &World) -> Vec<PhaseName> {
    world.rollouts().values().map(|rollout| rollout.phase.name()).collect()
}

fn one_rollout_that_fails_does_not_stop_the_others(on: On) {
    let ways = [Way::Panics, Way::Hangs, Way::Fails(FaultKind::Denied), Way::AnswerLost];
    let looks = [Operation::Look, Operation::Version, Operation::Set, Operation::Save, Operation::Publish];
    for operation in looks.into_iter().chain((on == On::Alb).then_some(Operation::Health)) {
        for (nth, way) in (0..3).flat_map(|nth| ways.map(|way| (nth, way))) {
            let world = three_rollouts(on);
            let faulty = Faulty::once(&world, When::Nth(operation, nth), way);
            let report = tick_once(&world, &faulty, 1);
            let told = format!("{way:?} at {operation:?} {nth}: {report:?}");
            let says_why =
                |line: &&Line| !line.faults.is_empty() || line.holding.iter().any(|why| why.contains("on purpose"));
            assert_eq!(report.lines.iter().filter(says_why).count(), 1, "{told}");
            let baking = phases(&world).iter().filter(|phase| **phase == PhaseName::Baking).count();
            assert!(baking >= 2, "{told}");
            // The next tick makes up for it.
            tick_once(&world, &world, 2);
            assert_eq!(phases(&world), [PhaseName::Baking; 3], "{told}");
        }
    }
}

fn a_bug_in_what_is_read_for_all_at_once_holds_them_all(on: On) {
    for operation in [Operation::States, Operation::Fetch] {
        let world = three_rollouts(on);
        tick_once(&world, &world, 1);
        for minute in 2..6 {
            let faulty = Faulty::once(&world, When::Every(operation), Way::Panics);
            let report = tick_once(&world, &faulty, minute);
            assert_eq!(report.lines.len(), 3);
            let told =
                report.lines.iter().all(|line| line.holding.iter().any(|why| why.contains("a panic on purpose")));
            assert!(told || minute < 3, "{operation:?}: {report:?}");
        }
        assert_eq!(phases(&world), [PhaseName::Baking; 3]);
    }
}

fn a_rollout_that_cannot_be_read_does_not_hide_the_others(on: On) {
    let world = three_rollouts(on);
    world.damage_rollout("checkout-42");
    let report = tick_once(&world, &world, 1);
    assert_eq!((report.lines.len(), report.unreadable.len()), (2, 1), "{report:?}");
    assert!(report.unreadable[0].starts_with("rollout checkout-42 cannot be read"), "{report:?}");
}

fn a_rollout_that_cannot_be_read_does_not_keep_an_alarm_from_the_others(on: On) {
    let world = three_rollouts(on);
    for minute in 1..3 {
        tick_once(&world, &world, minute);
    }
    let ring = |world: &World| {
        world.set_alarm("red", AlarmState::Alarm);
        run_now(alarm(world, "red", start() + minutes(3), &SimBudget::plenty(), &settings())).unwrap()
    };
    world.damage_rollout("checkout-42");
    let report = ring(&world).unwrap();
    assert_eq!((report.lines.len(), report.unreadable.len()), (2, 1), "{report:?}");
    assert!(report.unreadable[0].starts_with("rollout checkout-42 cannot be read"), "{report:?}");
    // Rules have no revisions, and so a rollback waits for writes in flight.
    let end = if on == On::Lambda { PhaseName::RolledBack } else { PhaseName::RollingBack };
    let back = [end, PhaseName::Baking, end];
    assert_eq!(phases(&world), back);
    // Where none can be read it is a failure, which Lambda repeats and then keeps.
    let damaged = three_rollouts(on);
    FUNCTIONS.iter().for_each(|function| damaged.damage_rollout(&format!("{function}-42")));
    assert!(ring(&damaged).is_err());
}

fn every_minute_another_rollout_comes_first(on: On) {
    let world = three_rollouts(on);
    let mut firsts: Vec<String> =
        (1..4).map(|minute| tick_once(&world, &world, minute).lines[0].rollout.clone()).collect();
    firsts.sort();
    assert_eq!(firsts, ["basket-42", "checkout-42", "search-42"]);
}

/// Of what is on record and not done, a tick that has no time for the rollout would leave it undone.
fn what_there_is_no_time_to_do_is_not_put_on_record(on: On) {
    let world = three_rollouts(on);
    world.set_now(start() + minutes(1));
    let before = world.rollouts();
    // Where the target group is attached already, the first decision is a raise.
    let in_time = |seconds: u64, minute: u64| {
        let budget = SimBudget::new(std::time::Duration::from_secs(seconds));
        let now = start() + minutes(minute);
        world.set_now(now);
        run_now(tick(&world, now, &budget, &settings())).unwrap().unwrap()
    };
    let report = in_time(18, 1);
    let said = |line: &Line| line.holding.iter().any(|why| why.starts_with("too little time left"));
    assert!(report.lines.iter().all(said), "{report:?}");
    assert_eq!(world.rollouts(), before);
    in_time(21, 2);
    assert_eq!(phases(&world), [PhaseName::Baking; 3]);
    world.set_alarm("red", AlarmState::Alarm);
    in_time(1, 3);
    assert!(phases(&world).iter().all(|phase| matches!(phase, PhaseName::RollingBack | PhaseName::RolledBack)));
}

fn a_push_that_failed_is_noted_for_the_next_tick(on: On) {
    let world = three_rollouts(on);
    let settings = Settings { switch: Some(minutes(15)), ..settings() };
    let at = |minute| {
        let now = start() + minutes(minute);
        world.set_now(now);
        now
    };
    for minute in 1..3 {
        run_now(tick(&world, at(minute), &SimBudget::plenty(), &settings)).unwrap().unwrap();
    }
    let armed = || world.switches().values().next().unwrap().at;
    let before = armed();
    let push = |ports: &Faulty<'_, World>, minute: u64| {
        let now = at(minute);
        let context = Context { ports, budget: &SimBudget::plenty(), settings: &settings, now };
        let rollout = Rollout::clone(world.rollouts().values().next().unwrap());
        run_now(context.push_on(&rollout)).unwrap()
    };
    let failing = Faulty::once(&world, When::Every(Operation::Arm), Way::Fails(FaultKind::Throttled));
    assert!(push(&failing, 6).unwrap().faults[0].starts_with("arm was throttled"));
    assert_eq!(armed(), before);
    let sound = Faulty::new(&world, Vec::new());
    push(&sound, 7);
    assert!(armed() > before);
    assert_eq!(push(&sound, 8), None, "it is told");
}

/// AWS that is slow and works is no reason to put a healthy release back.
fn ticks_that_have_no_time_to_raise_push_the_switch_on(on: On) {
    let world = three_rollouts(on);
    let settings = Settings { switch: Some(minutes(15)), ..settings() };
    let at = |minute| {
        let now = start() + minutes(minute);
        world.set_now(now);
        now
    };
    for minute in 1..3 {
        run_now(tick(&world, at(minute), &SimBudget::plenty(), &settings)).unwrap().unwrap();
    }
    let little = || SimBudget::new(std::time::Duration::from_secs(18));
    for function in FUNCTIONS {
        let order = json!({ "command": "promote", "rollout": format!("{function}-42"), "by": "mara" });
        let order = Request::parse(&order).unwrap();
        run_now(command(&world, order, at(3), &little(), &settings)).unwrap().unwrap();
    }
    for minute in 4..=40 {
        let report = run_now(tick(&world, at(minute), &little(), &settings)).unwrap().unwrap();
        assert!(report.lines.iter().all(|line| line.unsaved), "{report:?}");
        for (rollout, armed) in world.switches() {
            assert!(armed.at >= start() + minutes(minute + 14), "{rollout}'s at minute {minute}: {}", armed.at);
        }
        assert_eq!((world.switches().len(), phases(&world)), (3, vec![PhaseName::Promoting; 3]));
    }
}

/// It may be one that has ended, and whose switch is still armed.
fn beside_a_rollout_that_was_left_out_none_begins(on: On) {
    let world = three_rollouts(on);
    world.leave_out("checkout-42");
    let report = tick_once(&world, &world, 1);
    assert!(
        report.unreadable[0].starts_with("rollout checkout-42 cannot be read: GetItem was throttled"),
        "{report:?}"
    );
    assert_eq!(phases(&world), [PhaseName::Pending; 3]);
    // What is under way is attended to.
    let world = three_rollouts(on);
    tick_once(&world, &world, 1);
    world.leave_out("checkout-42");
    world.set_alarm("red", AlarmState::Alarm);
    tick_once(&world, &world, 2);
    let baking = |phase: &PhaseName| *phase == PhaseName::Baking;
    assert_eq!(phases(&world).iter().map(baking).collect::<Vec<_>>(), [false, true, false]);
}

/// Those that wait would give whole stretches of the way round to the same one of those that have begun.
#[test]
fn those_that_wait_turn_nobody_elses_way_round() {
    let world = three_rollouts(On::Lambda);
    let pending = Rollout::clone(world.rollouts().values().next().unwrap());
    tick_once(&world, &world, 1);
    let begun = Rollout::clone(world.rollouts().values().next().unwrap());
    let (all, first, count, capacity) = (500, 100, 90_u64, 15);
    let one = |n: u64| if (first..first + count).contains(&n) { &begun } else { &pending };
    let mut rollouts: Vec<Rollout> = (0..all).map(|n| Rollout { id: format!("{n:03}"), ..one(n).clone() }).collect();
    let (mut last, mut longest) = (std::collections::BTreeMap::new(), 0);
    for tick in 1..=600 {
        crate::driver::rotate(&mut rollouts, start() + minutes(tick));
        for rollout in &rollouts[..capacity] {
            longest = longest.max(tick - last.insert(rollout.id.clone(), tick).unwrap_or(0));
        }
    }
    assert_eq!(last.len(), 90);
    assert!(longest <= 26 * 90 / (10 * 15) + 1, "{longest} ticks");
}

/// Steps of the golden ratio leave no gap that is much wider than the others.
#[test]
fn whoever_comes_first_everybody_is_reached_within_2_6_rounds() {
    let world = three_rollouts(On::Lambda);
    let one = Rollout::clone(world.rollouts().values().next().unwrap());
    for count in [2_usize, 3, 5, 8, 13, 50, 89] {
        let mut rollouts: Vec<Rollout> = (0..count).map(|n| Rollout { id: format!("{n:02}"), ..one.clone() }).collect();
        for capacity in [1, count.div_ceil(7), count.div_ceil(2)] {
            let mut last = vec![0; count];
            let mut longest = 0;
            for tick in 1..=600 {
                crate::driver::rotate(&mut rollouts, start() + minutes(tick));
                for rollout in &rollouts[..capacity] {
                    let place: usize = rollout.id.parse().unwrap();
                    longest = longest.max(tick - last[place]);
                    last[place] = tick;
                }
            }
            assert!(last.iter().all(|tick| *tick > 0), "{capacity} of {count}");
            let rounds = u64::try_from((26 * count).div_ceil(10 * capacity)).unwrap() + 1;
            assert!(longest <= rounds, "{capacity} of {count}: {longest} ticks, more than {rounds}");
        }
    }
}

/// Where there is no time for all, none begins before those are attended to that have traffic already.
#[test]
fn what_has_begun_comes_before_what_has_not() {
    let world = three_rollouts(On::Lambda);
    let pending = Rollout::clone(world.rollouts().values().next().unwrap());
    (1..=3).for_each(|minute| drop(tick_once(&world, &world, minute)));
    let begun = Rollout::clone(world.rollouts().values().next().unwrap());
    assert_eq!((pending.has_begun(), begun.has_begun()), (false, true));
    let named = |one: &Rollout, n: usize| Rollout { id: format!("{n:02}"), ..one.clone() };
    let mut rollouts: Vec<Rollout> =
        (0..20).map(|n| if n % 3 == 0 { named(&begun, n) } else { named(&pending, n) }).collect();
    for tick in 1..=60 {
        crate::driver::rotate(&mut rollouts, start() + minutes(tick));
        assert!(rollouts.is_sorted_by_key(|rollout| !rollout.has_begun()), "{tick}");
    }
}
