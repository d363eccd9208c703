//! What a start refuses, and in which words.

use super::*;
use crate::command::{Answer, Request};
use crate::driver::start::check_size;
use crate::driver::{Settings, command};
use crate::observation::{AlarmState, Readiness, VersionInfo};
use crate::ports::{EndedPage, RolloutStore};
use crate::rollout::{Phase, Rollout};
use crate::sim::budget::SimBudget;
use crate::sim::executor::run_now;
use crate::sim::traffic::Generator;
use crate::sim::world::World;
use crate::spec::Mode;
use crate::units::{Timestamp, Weight};

fn start() -> Timestamp {
    "2026-11-21T14:00:00Z".parse().unwrap()
}

/// Versions 41 (live) and 42 active, an hour of traffic at `per_second`.
fn world(per_second: f64) -> World {
    let world = World::new(start() - minutes(60));
    for number in ["40", "41", "42"] {
        world.publish_active("checkout", number);
    }
    world.write(&target(), &version("41"), None).unwrap();
    world.set_alarm("red", AlarmState::Ok);
    let traffic = Traffic { per_second, ..traffic(0.004) };
    Generator::new(&world, &target(), &traffic, 1, start() - minutes(60), start()).run_until(start());
    world.set_now(start());
    world
}

fn ask(world: &World, spec: &Value) -> Result<Answer, Vec<String>> {
    said(world, &json!({ "command": "start", "spec": spec, "by": "ci" }))
}

fn said(world: &World, request: &Value) -> Result<Answer, Vec<String>> {
    let told = |problems: Vec<crate::spec::Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    let request = Request::parse(request).map_err(told)?;
    let settings = Settings { mode: Mode::Enforce, metric_lag: minutes(3), switch: None, deployment_spec: None };
    run_now(command(world, request, start(), &SimBudget::plenty(), &settings)).unwrap().map_err(told)
}

fn refused(world: &World, spec: &Value) -> Vec<String> {
    let before = (world.rollouts().len(), world.routing(&target()));
    let problems = ask(world, spec).unwrap_err();
    assert_eq!((world.rollouts().len(), world.routing(&target())), before, "nothing is written and no weight moves");
    problems
}

fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = spec();
    change(&mut spec);
    spec
}

#[test]
fn what_does_not_exist_is_named() {
    let world = world(40.0);
    let unknown = changed(|spec| spec["target"]["lambda"]["function"] = "chekout".into());
    assert_eq!(refused(&world, &unknown), ["target: function chekout does not exist"]);
    let alias = changed(|spec| spec["target"]["lambda"]["alias"] = "prod".into());
    assert_eq!(refused(&world, &alias), ["target: function checkout has no alias prod"]);
    let number = changed(|spec| spec["version"] = "99".into());
    assert_eq!(refused(&world, &number), ["version: function checkout has no version 99"]);
    let alarms = changed(|spec| spec["alarms"] = json!(["red", "blue"]));
    assert_eq!(
        refused(&world, &alarms),
        ["alarms.names[1]: there is no alarm blue in this account and region, neither metric nor composite"]
    );
}

#[test]
fn a_target_in_the_wrong_state_is_refused() {
    let red = world(40.0);
    red.set_alarm("red", AlarmState::Alarm);
    assert_eq!(
        refused(&red, &spec()),
        [
            "alarms.names[0]: alarm red is in ALARM already, so it could not tell whether this release does harm; wait until \
          it is OK, or set `alarms.alreadyRed: judge` to let it count only once it has been OK"
        ]
    );
    let weighted = world(40.0);
    let ten = Weight::from_basis_points(1_000).unwrap();
    weighted.write(&target(), &version("41"), Some((version("40"), ten))).unwrap();
    assert_eq!(
        refused(&weighted, &spec()),
        [
            "target.lambda.alias: alias checkout:live is already weighted (v41 with 10 % on v40) and no rollout did that; put \
          it on one version first: aws lambda update-alias --function-name checkout --name live --function-version 41 \
          --routing-config AdditionalVersionWeights={}"
        ]
    );
    let inactive = world(40.0);
    let readiness = Readiness::Never("its state is Failed".to_owned());
    let info = VersionInfo {
        version: version("42"),
        readiness,
        timeout: Span::from_seconds(3),
        code_hash: String::new(),
        published: String::new(),
        slow_start: Span::ZERO,
    };
    inactive.publish_version("checkout", info);
    assert_eq!(refused(&inactive, &spec()), ["version: v42 can take no traffic: its state is Failed"]);
}

#[test]
fn a_deadline_that_the_proof_cannot_meet_is_said_with_the_numbers() {
    let world = world(0.1);
    let problems = refused(&world, &spec());
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("deadline: at "), "{problems:?}");
    assert!(problems[0].contains("longer than the deadline of 1h"), "{problems:?}");
}

#[test]
fn what_is_only_looked_at_gets_the_same_answer_and_nothing_is_written() {
    let look = |world: &World, spec: &Value| said(world, &json!({ "command": "check", "spec": spec }));
    let fine = world(40.0);
    let Answer::Rollout(answer) = look(&fine, &spec()).unwrap() else { panic!("not a rollout") };
    assert_eq!(answer.message, "rollout checkout-42 would begin: v41 -> v42. It was only looked at");
    assert!(fine.rollouts().is_empty());
    let red = world(40.0);
    red.set_alarm("red", AlarmState::Alarm);
    assert_eq!(look(&red, &spec()).unwrap_err(), refused(&red, &spec()));
    let live = changed(|spec| spec["version"] = "41".into());
    assert_eq!(look(&fine, &live), ask(&fine, &live));
}

#[test]
fn what_has_ended_is_listed_where_it_is_asked_for() {
    let world = world(40.0);
    let Answer::Rollout(answer) = ask(&world, &spec()).unwrap() else { panic!("not a rollout") };
    let begun = answer.rollout;
    let at = start() + minutes(1);
    let over =
        Rollout { phase: Phase::Promoted { at }, outbox: Vec::new(), revision: begun.revision + 1, ..begun.clone() };
    run_now(world.save(&begun, &over, None)).unwrap().unwrap();
    let listed = |more: &Value| {
        let mut request = json!({ "command": "list" });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let Answer::List(list) = said(&world, &request).unwrap() else { panic!("no list") };
        let told = list.rollouts.iter().map(|one| (one.id.clone(), one.stand.as_ref().map(|stand| stand.active)));
        (told.collect::<Vec<_>>(), list.ended_since)
    };
    let one = vec![("checkout-42".to_owned(), Some(false))];
    assert_eq!(listed(&json!({})), (vec![], None));
    assert_eq!(listed(&json!({ "since": "1h" })), (one.clone(), Some(start() - minutes(60))));
    assert_eq!(listed(&json!({ "since": "2026-11-21T14:01:00Z" })), (one.clone(), Some(at)));
    assert_eq!(listed(&json!({ "since": "2026-11-21T14:01:01Z" })), (vec![], Some(at + Span::from_seconds(1))));
    let place = EndedPage::place(at, "checkout-42");
    assert_eq!(listed(&json!({ "since": "1h", "from": place })).0, one);
    for (request, path) in [
        (json!({ "command": "list", "since": "yesterday" }), "since: "),
        (json!({ "command": "list", "since": 24 }), "since: "),
        (json!({ "command": "list", "from": "2026" }), "since: "),
        (json!({ "command": "list", "since": "1h", "from": "\u{1b}" }), "from: "),
    ] {
        assert!(said(&world, &request).unwrap_err()[0].starts_with(path), "{request}");
    }
}

#[test]
fn a_version_that_is_live_already_is_nothing_to_roll_out() {
    let world = world(40.0);
    let answer = ask(&world, &changed(|spec| spec["version"] = "41".into())).unwrap();
    let message = "v41 is live on checkout:live already: nothing to roll out".to_owned();
    assert_eq!(answer, Answer::Nothing { message });
    assert!(world.rollouts().is_empty());
}

#[test]
fn a_start_that_is_retried_is_the_same_start() {
    let world = world(40.0);
    let first = ask(&world, &spec()).unwrap();
    let Answer::Rollout(first) = first else { panic!("{first:?}") };
    let Answer::Rollout(second) = ask(&world, &spec()).unwrap() else { panic!("not a rollout") };
    assert_eq!((first.rollout.id.as_str(), &first.rollout), ("checkout-42", &second.rollout));
    assert_eq!(world.rollouts().len(), 1);
    let other = changed(|spec| spec["deadline"] = "3h".into());
    assert_eq!(
        refused(&world, &other),
        ["name: a rollout checkout-42 exists with another spec or version (v41 to v42); give this one another name"]
    );
}

/// Whoever waits for the release must not be told that it was promoted once.
#[test]
fn an_end_that_somebody_has_undone_since_is_no_answer() {
    let world = world(40.0);
    let Answer::Rollout(first) = ask(&world, &spec()).unwrap() else { panic!("not a rollout") };
    let went_on = |phase: Phase| {
        let stored = Rollout::clone(&world.rollouts()[&first.rollout.id]);
        let next = Rollout { phase, revision: stored.revision + 1, ..stored.clone() };
        run_now(world.save(&stored, &next, None)).unwrap().unwrap();
    };
    world.write(&target(), &version("42"), None).unwrap();
    went_on(Phase::Promoted { at: start() });
    let Answer::Rollout(again) = ask(&world, &spec()).unwrap() else { panic!("not a rollout") };
    assert_eq!(again.rollout.phase, Phase::Promoted { at: start() });
    world.write(&target(), &version("41"), None).unwrap();
    let said = [
        "name: rollout checkout-42 of this release has ended with v42 live, and now it is v41; give this one another name",
    ];
    assert_eq!(refused(&world, &spec()), said);
}

#[test]
fn without_traffic_it_starts_and_says_what_that_means() {
    let world = world(0.0);
    let Answer::Rollout(answer) = ask(&world, &spec()).unwrap() else { panic!("not a rollout") };
    let warnings: Vec<String> = answer.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["target: checkout:live had no invocations in the last hour: nothing can be proven without traffic"]
    );
}

#[test]
fn a_rollout_that_could_not_be_saved_for_long_is_refused() {
    let world = world(40.0);
    let metric = |name: String| {
        let dimensions: serde_json::Map<String, Value> =
            (0..29).map(|n| (format!("{n:03}{}", "d".repeat(120)), json!("v".repeat(80)))).collect();
        let mut dimensions = dimensions;
        dimensions.insert("Version".to_owned(), json!("{version}"));
        json!({ "namespace": "Shop", "metric": name, "dimensions": dimensions })
    };
    let huge = changed(|spec| {
        spec["checks"] = (0..20)
            .map(|n| {
                json!({ "rate": {
                    "name": format!("r{n}"), "events": metric(format!("e{n}")), "requests": metric(format!("q{n}")), "tolerate": "2pt",
                } })
            })
            .collect();
    });
    let problems = refused(&world, &huge);
    assert!(problems[0].starts_with("spec: the rollout would have "), "{problems:?}");
}

/// A rollout that outgrows its item can neither advance nor end: one that might is not begun.
#[test]
fn a_new_rollout_has_room_to_grow() {
    let Answer::Rollout(answer) = ask(&world(40.0), &spec()).unwrap() else { panic!("not a rollout") };
    let of = |kilobytes: usize| crate::rollout::Rollout {
        started_by: "x".repeat(kilobytes * 1024),
        ..answer.rollout.clone()
    };
    assert_eq!(check_size(&of(200)), Ok(()));
    let problems = check_size(&of(240)).unwrap_err();
    assert!(problems[0].to_string().starts_with("spec: the rollout would have 24"), "{problems:?}");
    assert!(problems[0].message.contains("at most 245760 can be kept with its history"), "{problems:?}");
}

/// What goes beyond provisioned concurrency need not be split as the weights say.
#[test]
fn provisioned_concurrency_widens_the_split_check_and_says_so() {
    let started = |world: &World| match ask(world, &spec()).unwrap() {
        Answer::Rollout(answer) => {
            let warnings = answer.warnings.iter().map(ToString::to_string).collect::<Vec<_>>();
            (answer.rollout.plan.split_tolerance, warnings)
        }
        other @ (Answer::Minutes(_) | Answer::Nothing { .. } | Answer::List(_) | Answer::Deployments { .. }) => {
            panic!("{other:?}")
        }
    };
    let (usual, warnings) = started(&world(40.0));
    assert_eq!((usual < 0.5, warnings.len()), (true, 0), "{warnings:?}");
    let provisioned = world(40.0);
    provisioned.provision(&target());
    let (wider, warnings) = started(&provisioned);
    assert_eq!(
        (wider > 0.4, warnings),
        (
            true,
            vec![
                "target.lambda.alias: alias checkout:live has provisioned concurrency: calls beyond it need not be split as \
                 the weights say, so a split that is off by up to half of the weight is accepted"
                    .to_owned()
            ]
        )
    );
}
