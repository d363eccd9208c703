//! What is new behind a load balancer, and what a start between target groups refuses.

use super::*;
use crate::command::{Answer, Request, RolloutAnswer};
use crate::driver::{Settings, command};
use crate::observation::AlarmState;
use crate::ports::RolloutStore;
use crate::rollout::{Phase, Rollout};
use crate::sim::budget::SimBudget;
use crate::sim::executor::run_now;
use crate::sim::samples::On;
use crate::sim::traffic::Generator;
use crate::sim::world::World;
use crate::spec::{Mode, Problem};
use crate::units::{Timestamp, Weight};

const COMMIT: &str = "3f9c2e1";

fn start() -> Timestamp {
    "2026-11-21T14:00:00Z".parse().unwrap()
}

fn old() -> Version {
    On::Alb.baseline()
}

fn new() -> Version {
    On::Alb.canary()
}

/// All is on the old group, both have targets, and an hour of traffic lies behind.
fn world() -> World {
    let release = good().on_alb();
    let world = World::new(start() - minutes(60));
    [old(), new()].iter().for_each(|group| world.offer(&release.target, group));
    world.write(&release.target, &old(), None).unwrap();
    world.set_alarm("red", AlarmState::Ok);
    Generator::new(&world, &release.target, &release.traffic, 1, start() - minutes(60), start()).run_until(start());
    world.set_now(start());
    world
}

/// A release that is known by its commit.
fn of_commit(commit: &str) -> Value {
    let mut spec = good().on_alb().spec;
    spec.as_object_mut().unwrap().remove("name");
    spec["release"] = json!({ "commit": commit });
    spec
}

fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = of_commit(COMMIT);
    change(&mut spec);
    spec
}

fn ask(world: &World, spec: &Value) -> Result<RolloutAnswer, Vec<String>> {
    let told = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    let request = Request::parse(&json!({ "command": "start", "spec": spec, "by": "ci" })).map_err(told)?;
    let settings = Settings { mode: Mode::Enforce, metric_lag: minutes(3), switch: None, deployment_spec: None };
    match run_now(command(world, request, start(), &SimBudget::plenty(), &settings)).unwrap().map_err(told)? {
        Answer::Rollout(answer) => Ok(*answer),
        other @ (Answer::Minutes(_) | Answer::Nothing { .. } | Answer::List(_) | Answer::Deployments { .. }) => {
            panic!("{other:?}")
        }
    }
}

fn refused(world: &World, spec: &Value) -> Vec<String> {
    let before = world.rollouts().len();
    let problems = ask(world, spec).unwrap_err();
    assert_eq!(world.rollouts().len(), before, "nothing is written");
    problems
}

/// As if the rollout had gone on to this phase.
fn went_on(world: &World, rollout: &Rollout, phase: Phase) {
    let stored = run_now(world.load(&rollout.id)).unwrap().unwrap().unwrap();
    let next = Rollout { phase, revision: stored.revision + 1, ..stored.clone() };
    run_now(world.save(&stored, &next, None)).unwrap().unwrap();
}

fn put_all_on(world: &World, group: &Version) {
    world.write(&On::Alb.target(), group, None).unwrap();
}

#[test]
fn the_group_without_traffic_is_the_new_one() {
    let answer = ask(&world(), &of_commit(COMMIT)).unwrap();
    let Rollout { id, baseline, canary, request_timeout, .. } = answer.rollout;
    assert_eq!((baseline, canary), (old(), new()));
    assert_eq!(id, "checkout-blue.checkout-green-3f9c2e1");
    assert_eq!(request_timeout, Span::from_seconds(60), "how long the load balancer waits for an answer");
    let swapped = world();
    put_all_on(&swapped, &new());
    let back = ask(&swapped, &of_commit(COMMIT)).unwrap().rollout;
    assert_eq!((back.baseline, back.canary), (new(), old()));
}

/// A pipeline that lost the answer asks again. By then the groups may have swapped roles, and the old group must not be
/// taken for the new one.
#[test]
fn a_start_that_is_retried_is_the_same_start_at_any_time() {
    let world = world();
    let first = ask(&world, &of_commit(COMMIT)).unwrap().rollout;
    assert_eq!(ask(&world, &of_commit(COMMIT)).unwrap().rollout.id, first.id);
    let half = Weight::from_basis_points(5_000).unwrap();
    world.write(&On::Alb.target(), &old(), Some((new(), half))).unwrap();
    went_on(&world, &first, Phase::Shifting { step: 1, from: Weight::ZERO, since: start() });
    assert_eq!(ask(&world, &of_commit(COMMIT)).unwrap().rollout.id, first.id, "half way");
    put_all_on(&world, &new());
    went_on(&world, &first, Phase::Promoted { at: start() });
    let after = ask(&world, &of_commit(COMMIT)).unwrap().rollout;
    assert_eq!((after.id, after.canary), (first.id, new()), "after its promotion");
    assert_eq!(world.rollouts().len(), 1);
    let other = changed(|spec| spec["deadline"] = "3h".into());
    assert_eq!(
        refused(&world, &other),
        [
            "name: a rollout checkout-blue.checkout-green-3f9c2e1 exists with another spec (checkout-green to checkout-blue); give \
          this one another name"
        ]
    );
}

/// The groups swap roles with every release: blue is new at every second one.
#[test]
fn the_next_release_is_another_rollout() {
    let world = world();
    let first = ask(&world, &of_commit(COMMIT)).unwrap().rollout;
    put_all_on(&world, &new());
    went_on(&world, &first, Phase::Promoted { at: start() });
    let second = ask(&world, &of_commit("77aa01b")).unwrap().rollout;
    assert_eq!((&second.baseline, &second.canary), (&new(), &old()));
    put_all_on(&world, &old());
    went_on(&world, &second, Phase::Promoted { at: start() });
    let third = ask(&world, &of_commit("c0ffee1")).unwrap().rollout;
    assert_eq!((third.baseline, third.canary), (old(), new()));
    assert_eq!(world.rollouts().len(), 3);
    // The first one's commit again: to say that it was rolled out long ago would be true, and no answer.
    let said = refused(&world, &of_commit(COMMIT));
    assert_eq!(
        said,
        [
            "name: rollout checkout-blue.checkout-green-3f9c2e1 of this release has ended with checkout-blue live, and now it is \
          checkout-green; give this one another name"
        ]
    );
}

#[test]
fn weights_by_hand_are_refused() {
    let world = world();
    let ten = Weight::from_basis_points(1_000).unwrap();
    world.write(&On::Alb.target(), &old(), Some((new(), ten))).unwrap();
    let problems = refused(&world, &of_commit(COMMIT));
    assert_eq!(problems.len(), 2, "of both rules: {problems:#?}");
    assert!(problems[0].starts_with("target.alb.rule: rule arn:"), "{problems:#?}");
    assert!(problems[0].contains("is already weighted (checkout-green 9, checkout-blue 1) and no rollout did that"));
    assert!(problems.iter().all(|problem| !problem.contains("aws lambda")), "{problems:#?}");
}

/// There are two groups: a newer release can only be where the one before is being rolled out.
#[test]
fn a_newer_release_takes_the_place_of_the_one_in_progress() {
    let world = world();
    let first = ask(&world, &of_commit(COMMIT)).unwrap().rollout;
    let half = Weight::from_basis_points(5_000).unwrap();
    went_on(&world, &first, Phase::Shifting { step: 1, from: Weight::ZERO, since: start() });
    world.write(&On::Alb.target(), &old(), Some((new(), half))).unwrap();
    let second = ask(&world, &of_commit("77aa01b")).unwrap().rollout;
    assert_eq!(second.canary, new());
    assert!(second.asks_to_give_way());
    let mut waits = of_commit("c0ffee1");
    waits["newer"] = "queue".into();
    let said = refused(&world, &waits);
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("two target groups have no room for a third release to wait"), "{said:?}");
}

#[test]
fn a_group_without_targets_is_waited_for() {
    let world = world();
    world.set_health(&new(), 0, 0);
    let started = ask(&world, &of_commit(COMMIT)).unwrap().rollout;
    assert_eq!(started.canary, new());
}

#[test]
fn without_an_alarm_nothing_sees_what_the_balancer_answers_itself() {
    let spec = changed(|spec| spec["alarms"] = json!([]));
    let warnings: Vec<String> = ask(&world(), &spec).unwrap().warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("alarms: none is named") && warnings[0].contains("HTTPCode_ELB_5XX_Count"));
}

#[test]
fn what_does_not_exist_is_named() {
    let world = world();
    let group = changed(|spec| spec["target"]["alb"]["targetGroups"][1] = "purple".into());
    assert_eq!(
        refused(&world, &group)[0],
        "target.alb.targetGroups[1]: there is no target group purple in this account and region"
    );
    let arn = On::Alb.target();
    let crate::spec::Target::Alb(alb) = arn else { panic!("{arn:?}") };
    let unknown = alb.rules[0].arn().replace("/f2f7dc8efc522ab2/", "/f2f7dc8efc522ab3/");
    let rule = changed(|spec| spec["target"]["alb"]["rule"] = unknown.clone().into());
    assert_eq!(refused(&world, &rule), [format!("target.alb: there is no rule {unknown}")]);
}
