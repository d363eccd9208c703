use super::*;
use crate::metrics::{SeriesQuery, Stat};
use crate::observation::Readiness;
use crate::ports::{
    AlarmSource, LookError, MetricSource, Ports, RolloutStore, SetError, SetWeight, Switch, TestRunner, TrafficRouter,
};
use crate::rollout::Rollout;
use crate::sim::contract::{self, Guard};
use crate::sim::executor::run_now;
use crate::sim::faults::Faulty;
use crate::sim::samples::{On, baseline, canary, on_both, rollout, start, target, world};
use crate::spec::{InvokeTest, Test};

on_both!(the_world_keeps_the_contract_of_the_ports, a_wrapper_without_rules_keeps_it_too);

fn guard(on: On) -> Guard {
    match on {
        On::Lambda => Guard::Revision,
        On::Alb => Guard::Content,
    }
}

fn keep(ports: &impl Ports, world: &World, on: On) {
    let (target, baseline, canary) = (on.target(), on.baseline(), on.canary());
    run_now(contract::router(ports, &target, &baseline, &canary, guard(on))).unwrap().unwrap();
    run_now(contract::store(ports, &on.rollout())).unwrap().unwrap();
    let mut elsewhere = Rollout { id: "elsewhere".to_owned(), ..on.rollout() };
    elsewhere.spec.target = on.target_of("elsewhere");
    run_now(contract::deployments(ports, &elsewhere)).unwrap().unwrap();
    let (rollout, at) = ("checkout-42", world.now() + Span::from_minutes(15));
    let switch = Switch { rollout, target: &target, baseline: &baseline, canary: &canary, at };
    let waits = |rollout: &str| world.switches().get(rollout).map(|armed| armed.at).into_iter().collect();
    run_now(contract::switch(ports, &switch, waits)).unwrap().unwrap();
}

fn the_world_keeps_the_contract_of_the_ports(on: On) {
    let world = on.world();
    keep(&world, &world, on);
}

fn a_wrapper_without_rules_keeps_it_too(on: On) {
    let world = on.world();
    keep(&Faulty::healthy(&world), &world, on);
}

fn set(world: &World, baseline: &str, canary: &str, weight: Weight) -> Result<(), SetError> {
    let seen = world.routing(&target()).unwrap();
    let (baseline, canary) = (Version(baseline.to_owned()), Version(canary.to_owned()));
    run_now(world.set(&SetWeight { target: &target(), baseline: &baseline, canary: &canary, weight, seen: &seen }))
        .unwrap()
}

#[test]
fn lambda_refuses_impossible_splits_and_keeps_the_alias() {
    let small = Weight::from_basis_points(500).unwrap();
    for (old, new, weight, message) in [
        ("41", "43", small, "UpdateAlias was rejected: Function not found: checkout:43"),
        ("40", "42", Weight::ZERO, "UpdateAlias was rejected: Function not found: checkout:40"),
        (
            "41",
            "41",
            small,
            "UpdateAlias was rejected: Function version 41 is already included in routing configuration.",
        ),
        (
            "41",
            "$LATEST",
            small,
            "UpdateAlias was rejected: $LATEST is not supported for an alias pointing to more than 1 version",
        ),
    ] {
        let world = world();
        let before = world.routing(&target());
        assert_eq!(set(&world, old, new, weight).unwrap_err().to_string(), message);
        assert_eq!(world.routing(&target()), before);
    }
    let world = world();
    let full = world.write(&target(), &baseline(), Some((canary(), Weight::FULL)));
    assert_eq!(full, Err(Refused("a weight must be less than 1.0".to_owned())));
}

#[test]
fn writes_by_others_make_an_earlier_look_stale_and_are_on_record() {
    let world = world();
    let seen = world.routing(&target()).unwrap();
    world.write(&target(), &baseline(), None).unwrap();
    let (baseline, canary) = (baseline(), canary());
    let split =
        SetWeight { target: &target(), baseline: &baseline, canary: &canary, weight: Weight::FULL, seen: &seen };
    assert!(matches!(run_now(world.set(&split)).unwrap(), Err(SetError::Stale)), "even a write that changed nothing");
    let none = Routing { revision: None, ..seen.clone() };
    let split = SetWeight { seen: &none, ..split };
    assert!(matches!(run_now(world.set(&split)).unwrap(), Err(SetError::Stale)), "a write needs a revision");
    assert_eq!(world.writes(0).len(), 2);
}

#[test]
fn what_does_not_exist_is_not_found_by_name() {
    let world = world();
    let elsewhere = |function: &str, alias: &str| {
        let Target::Lambda(lambda) = target() else { panic!("an alias") };
        Target::Lambda(LambdaTarget { function: function.to_owned(), alias: alias.to_owned(), ..lambda })
    };
    let look = |target: &Target| run_now(world.look(target)).unwrap().unwrap_err().to_string();
    assert_eq!(look(&elsewhere("chekout", "live")), "function chekout does not exist");
    assert_eq!(look(&elsewhere("checkout", "prod")), "function checkout has no alias prod");
    let version = |version: &str| run_now(world.version(&target(), Some(&Version(version.to_owned())))).unwrap();
    assert!(matches!(version("7"), Err(LookError::NotFound(what)) if what == "function checkout has no version 7"));
    world.publish_active("checkout", "9");
    world.publish_active("checkout", "100");
    let newest = run_now(world.version(&target(), None)).unwrap().unwrap();
    assert_eq!(newest.version, Version("100".to_owned()), "by number, not by text");
    world.delete_version("checkout", &newest.version).unwrap();
    assert!(matches!(version("100"), Err(LookError::NotFound(_))));
    let in_use = world.delete_version("checkout", &baseline());
    assert_eq!(in_use, Err(Refused("v41 is in use by checkout:live".to_owned())));
}

#[test]
fn only_active_versions_serve() {
    let world = world();
    assert!(world.can_serve(&target(), &canary()));
    let mut info = run_now(world.version(&target(), Some(&canary()))).unwrap().unwrap();
    info.readiness = Readiness::NotYet("Pending".to_owned());
    world.publish_version("checkout", info);
    assert!(!world.can_serve(&target(), &canary()));
    assert!(!world.can_serve(&target(), &Version("7".to_owned())));
}

#[test]
fn datapoints_arrive_when_they_arrive_and_add_up() {
    let world = world();
    let metric = |name: &str| MetricRef {
        namespace: "AWS/Lambda".to_owned(),
        metric: name.to_owned(),
        dimensions: BTreeMap::from([("FunctionName".to_owned(), "checkout".to_owned())]),
    };
    let minute = start().minute();
    let point = |sum, samples, seconds| Datapoint { sum, samples, arrives: start() + Span::from_seconds(seconds) };
    world.put_datapoint(&metric("Errors"), minute, point(1.0, 50.0, 90));
    world.put_datapoint(&metric("Errors"), minute, point(3.0, 4.0, 240));
    world.put_datapoint(&metric("Errors"), minute.plus(1), point(0.0, 60.0, 150));
    let fetch = |name: &str, stat, from: i64, until: i64| {
        let query = SeriesQuery {
            metric: metric(name),
            stat,
            period: crate::metrics::Period::Minute,
            from: minute.plus(from),
            until: minute.plus(until),
        };
        let answer = run_now(world.fetch(std::slice::from_ref(&query))).unwrap().remove(0);
        answer.map(|series| series.into_iter().map(|(at, value)| (at.minutes_since(minute), value)).collect::<Vec<_>>())
    };
    assert_eq!(fetch("Errors", Stat::Sum, 0, 9).unwrap(), [], "nothing has arrived");
    world.set_now(start() + Span::from_seconds(150));
    assert_eq!(fetch("Errors", Stat::Sum, 0, 9).unwrap(), [(0, 1.0), (1, 0.0)], "zero is a datapoint, too");
    assert_eq!(fetch("Errors", Stat::SampleCount, 0, 1).unwrap(), [(0, 50.0)], "the end is not included");
    world.set_now(start() + Span::from_seconds(240));
    assert_eq!(fetch("Errors", Stat::Sum, 0, 9).unwrap(), [(0, 4.0), (1, 0.0)], "late data heal");
    assert_eq!(fetch("Invocations", Stat::Sum, 0, 9).unwrap(), [], "an unknown metric has no datapoints");
    assert!(fetch("Errors", Stat::Sum, 3, 3).is_err(), "an empty range is refused");
    world.break_metric("Errors", Some(FaultKind::Failed));
    assert!(fetch("Errors", Stat::Sum, 0, 9).is_err() && fetch("Invocations", Stat::Sum, 0, 9).is_ok());
    world.break_metric("Errors", None);
    world.set_now(start());
    assert_eq!(fetch("Errors", Stat::Sum, 0, 1).unwrap(), [(0, 4.0)], "time does not run backwards");
}

#[test]
fn absent_alarms_are_absent() {
    let world = world();
    world.set_alarm("b", AlarmState::Alarm);
    let names = ["a".to_owned(), "b".to_owned()];
    let states = run_now(world.states(&names)).unwrap().unwrap();
    assert_eq!(states, BTreeMap::from([("b".to_owned(), AlarmState::Alarm)]));
    world.delete_alarm("b");
    assert!(run_now(world.states(&names)).unwrap().unwrap().is_empty());
}

#[test]
fn tests_bring_their_outcomes_in_turn() {
    let world = world();
    let test = Test::Invoke(InvokeTest { payload: serde_json::Value::Null, expect: None, times: 1 });
    let run = || run_now(world.run(&target(), &canary(), &test)).unwrap().unwrap();
    assert_eq!(run(), TestOutcome::Passed);
    let failed = TestOutcome::Failed("wanted 200, got 500".to_owned());
    world.set_test_outcomes(&canary(), vec![failed.clone(), TestOutcome::Passed]);
    assert_eq!([run(), run(), run()], [failed, TestOutcome::Passed, TestOutcome::Passed]);
    assert_eq!(world.tests_run(), BTreeMap::from([(canary(), TestOutcome::Passed)]));
}

#[test]
fn a_damaged_rollout_does_not_hide_the_others() {
    let world = world();
    let damaged = rollout();
    let Target::Lambda(lambda) = target() else { panic!("an alias") };
    let mut whole = rollout();
    whole.id = "search-7".to_owned();
    whole.spec.target = Target::Lambda(LambdaTarget { function: "search".to_owned(), ..lambda });
    for rollout in [&damaged, &whole] {
        run_now(world.create(rollout)).unwrap().unwrap();
    }
    world.damage_rollout(&damaged.id);
    let active = run_now(world.active()).unwrap().unwrap();
    let ids: Vec<_> = active.into_iter().map(|read| read.map(|rollout| rollout.id).map_err(|error| error.id)).collect();
    assert_eq!(ids, [Err(damaged.id.clone()), Ok(whole.id.clone())]);
    assert!(run_now(world.load(&damaged.id)).unwrap().is_err());
    assert_eq!(run_now(world.load(&whole.id)).unwrap().unwrap(), Some(whole));
}
