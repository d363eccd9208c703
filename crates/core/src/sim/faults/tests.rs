use super::*;
use crate::deployment::Shift;
use crate::observation::Split;
use crate::ports::Budget;
use crate::sim::budget::SimBudget;
use crate::sim::executor::run_now;
use crate::sim::samples::{On, on_both, world};
use crate::sim::world::{CodeDeploy, Deploys, Timetable, World};
use crate::units::Weight;
use futures_util::future::{Either, select};
use std::time::Duration;

const SMALL: &str = "5%";

on_both!(
    each_way_answers_and_acts_as_it_says,
    rules_pick_the_calls_they_are_about,
    a_stalled_write_arrives_late,
    every_operation_can_fail,
);

/// Looks at the target and sets 5 % through `ports`.
fn shift(on: On, ports: &impl Ports) -> Result<(), String> {
    let (target, baseline, canary) = (on.target(), on.baseline(), on.canary());
    let weight = SMALL.parse().unwrap();
    run_now(async {
        let seen = ports.look(&target).await.map_err(|error| error.to_string())?;
        let split = SetWeight { target: &target, baseline: &baseline, canary: &canary, weight, seen: &seen };
        ports.set(&split).await.map_err(|error| error.to_string())
    })
    .unwrap()
}

fn live(on: On, world: &World) -> Split {
    world.routing(&on.target()).unwrap().split(&on.baseline(), &on.canary())
}

fn shifted(on: On, world: &World) -> bool {
    live(on, world) == Split::Ours(SMALL.parse().unwrap())
}

fn each_way_answers_and_acts_as_it_says(on: On) {
    let stale = "the target has changed since it was looked at";
    for (way, answer, acts) in [
        (Way::Fails(FaultKind::Throttled), "set was throttled: on purpose", false),
        (Way::AnswerLost, "set timed out: the answer was lost on purpose", true),
        (Way::Stale, stale, false),
        (Way::Stalls, "set timed out: stalled on purpose", false),
        (Way::KilledBefore, "set failed: the process is dead", false),
        (Way::KilledAfter, "set failed: the process is dead", true),
    ] {
        let world = on.world();
        let faulty = Faulty::once(&world, When::Nth(Operation::Set, 0), way);
        assert_eq!(shift(on, &faulty), Err(answer.to_owned()), "{way:?}");
        assert_eq!(shifted(on, &world), acts, "{way:?}");
        let dead = matches!(way, Way::KilledBefore | Way::KilledAfter);
        assert_eq!(faulty.is_dead(), dead, "{way:?}");
        // The rule is over; only the dead do not go on.
        assert_eq!(shift(on, &faulty).is_err(), dead, "{way:?}");
    }
}

fn rules_pick_the_calls_they_are_about(on: On) {
    let way = Way::Fails(FaultKind::Failed);
    for (when, outcomes) in [
        (When::Always, [false, false, false]),
        (When::Call(2), [true, false, true]),
        (When::Call(3), [true, false, true]),
        (When::Every(Operation::Set), [false, false, false]),
        (When::Nth(Operation::Look, 2), [true, true, false]),
        (When::Nth(Operation::Save, 0), [true, true, true]),
    ] {
        let world = on.world();
        let faulty = Faulty::once(&world, when, way);
        let seen: Vec<bool> = (0..3).map(|_| shift(on, &faulty).is_ok()).collect();
        assert_eq!(seen, outcomes, "{when:?}");
    }
    let world = on.world();
    let faulty = Faulty::healthy(&world);
    shift(on, &faulty).unwrap();
    assert_eq!(faulty.calls(), [Operation::Look, Operation::Set]);
}

/// On an alias only if it is as it was seen. Rules know of no comparison.
fn a_stalled_write_arrives_late(on: On) {
    for disturbed in [false, true] {
        let world = on.world();
        let faulty = Faulty::once(&world, When::Every(Operation::Set), Way::Stalls);
        shift(on, &faulty).unwrap_err();
        if disturbed {
            world.write(&on.target(), &on.baseline(), None).unwrap();
        }
        assert!(!shifted(on, &world));
        let answers = run_now(faulty.deliver_stalled()).unwrap();
        assert_eq!(answers.len(), 1);
        let refused = disturbed && on == On::Lambda;
        assert_eq!(matches!(answers[0], Err(SetError::Stale)), refused);
        assert_eq!(shifted(on, &world), !refused);
        assert!(run_now(faulty.deliver_stalled()).unwrap().is_empty(), "once");
    }
}

#[test]
fn half_a_write_leaves_the_rules_uneven() {
    let (on, low) = (On::Alb, Weight::ZERO);
    let world = on.world();
    let faulty = Faulty::once(&world, When::Nth(Operation::Set, 0), Way::Half);
    assert_eq!(shift(on, &faulty), Err("set timed out: the answer was lost on purpose".to_owned()));
    assert_eq!(live(on, &world), Split::Uneven { low, high: SMALL.parse().unwrap() });
    shift(on, &faulty).unwrap();
    assert!(shifted(on, &world), "the rest is made up for");
    // What somebody else has changed meanwhile is not written over, not even by half.
    let seen = world.routing(&on.target()).unwrap();
    world.write(&on.target(), &on.canary(), None).unwrap();
    let faulty = Faulty::once(&world, When::Every(Operation::Set), Way::Half);
    let (target, baseline, canary) = (on.target(), on.baseline(), on.canary());
    let split = SetWeight { target: &target, baseline: &baseline, canary: &canary, weight: Weight::ZERO, seen: &seen };
    assert!(matches!(run_now(faulty.set(&split)).unwrap(), Err(SetError::Stale)));
    assert_eq!(live(on, &world), Split::Ours(Weight::FULL));
}

#[test]
fn a_hanging_call_costs_its_slice_and_nothing_more() {
    let world = world();
    let faulty = Faulty::once(&world, When::Every(Operation::Active), Way::Hangs);
    let budget = SimBudget::plenty();
    let slice = Duration::from_secs(10);
    let (call, end) = (Box::pin(faulty.active()), Box::pin(budget.sleep(slice)));
    assert!(matches!(run_now(select(call, end)).unwrap(), Either::Right(_)));
    assert_eq!(budget.remaining(), Duration::from_secs(50));
}

fn every_operation_can_fail(on: On) {
    for operation in Operation::ALL {
        let world = on.world();
        let faulty = Faulty::once(&world, When::Every(operation), Way::Fails(FaultKind::Denied));
        let mut failed = run_now(call_router(on, &world, &faulty)).unwrap();
        failed.extend(run_now(call_store(on, &faulty)).unwrap());
        failed.extend(run_now(call_deployments(on, &world, &faulty)).unwrap());
        failed.extend(run_now(call_switch(on, &faulty)).unwrap());
        for (called, is_err) in failed {
            // A rollout whose creation failed cannot be saved, and an alias has no targets whose health could be asked for.
            let follows = operation == Operation::Create && called == Operation::Save;
            let never = on == On::Lambda && called == Operation::Health;
            assert_eq!(is_err, called == operation || follows || never, "{operation:?} made {called:?} fail");
        }
        assert_eq!(faulty.calls(), Operation::ALL);
    }
}

/// What was called, and whether it failed.
type Called = Vec<(Operation, bool)>;

async fn call_router(on: On, world: &World, ports: &impl Ports) -> Called {
    let (target, baseline, canary) = (on.target(), on.baseline(), on.canary());
    let minute = crate::units::Minute::from_index(0);
    let query = SeriesQuery {
        metric: crate::spec::MetricRef { namespace: String::new(), metric: String::new(), dimensions: BTreeMap::new() },
        stat: crate::metrics::Stat::Sum,
        period: crate::metrics::Period::Minute,
        from: minute,
        until: minute.plus(1),
    };
    let look = ports.look(&target).await.is_err();
    let looked = world.routing(&target).unwrap();
    let weight = Weight::ZERO;
    let split = SetWeight { target: &target, baseline: &baseline, canary: &canary, weight, seen: &looked };
    let attach = Attach { target: &target, canary: &canary, seen: &looked };
    let detach = Detach { target: &target, group: &canary, seen: &looked };
    vec![
        (Operation::Look, look),
        (Operation::Version, ports.version(&target, Some(&canary)).await.is_err()),
        (Operation::Set, ports.set(&split).await.is_err()),
        (Operation::Attach, ports.attach(&attach).await.is_err()),
        (Operation::Detach, ports.detach(&detach).await.is_err()),
        (Operation::Health, ports.health(&target, &canary, &canary).await.is_err()),
        (Operation::Survey, ports.survey(&target).await.is_err()),
        (Operation::Fetch, ports.fetch(&[query]).await[0].is_err()),
        (Operation::States, ports.states(&[]).await.is_err()),
    ]
}

async fn call_store(on: On, ports: &impl Ports) -> Called {
    let (rollout, target, canary) = (on.rollout(), on.target(), on.canary());
    let test = Test::Invoke(crate::spec::InvokeTest { payload: serde_json::Value::Null, expect: None, times: 1 });
    let next = Rollout { revision: 1, ..rollout.clone() };
    let notice = sample_notice(&rollout);
    vec![
        (Operation::Active, ports.active().await.is_err()),
        (Operation::Load, ports.load("a").await.is_err()),
        (Operation::Holder, ports.holder(&target).await.is_err()),
        (Operation::NamedByAlarm, ports.named_by_alarm("a").await.is_err()),
        (Operation::Create, ports.create(&rollout).await.is_err()),
        (Operation::Save, ports.save(&rollout, &next, None).await.is_err()),
        (Operation::Seal, ports.seal("a", &[]).await.is_err()),
        (Operation::Sealed, ports.sealed("a").await.is_err()),
        (Operation::Publish, ports.publish(&notice).await.is_err()),
        (Operation::RunTest, ports.run(&target, &canary, &test).await.is_err()),
    ]
}

async fn call_deployments(on: On, world: &World, ports: &impl Ports) -> Called {
    let shift = Shift { target: on.target(), baseline: on.baseline(), canary: on.canary() };
    let reference = world.deploy(Deploys::CodeDeploy(CodeDeploy::new(Timetable::AllAtOnce)), shift);
    let execution = format!("execution-{}-before", reference.id());
    let hook = Hook { deployment: reference.clone(), execution, received: on.rollout().now };
    let answer = HookAnswer { goes_on: true, why: String::new() };
    let deployment = world.deployments().remove(0);
    vec![
        (Operation::Judged, ports.judged().await.is_err()),
        (Operation::KeepHook, ports.keep_hook(&hook).await.is_err()),
        (Operation::Hooks, ports.hooks().await.is_err()),
        (Operation::DropHook, ports.drop_hook(&hook).await.is_err()),
        (Operation::Measure, ports.measure(&on.target(), true).await.is_err()),
        (Operation::Deployment, ports.deployment(&reference).await.is_err()),
        (Operation::Stop, ports.stop(&reference).await.is_err()),
        (Operation::Answer, ports.answer(&hook, &answer).await.is_err()),
        (Operation::SpecFor, ports.spec_for(&deployment).await.is_err()),
        (Operation::Shifting, ports.shifting(&on.target()).await.is_err()),
    ]
}

async fn call_switch(on: On, ports: &impl Ports) -> Called {
    let (target, baseline, canary, at) = (on.target(), on.baseline(), on.canary(), on.rollout().now);
    let switch = Switch { rollout: "a", target: &target, baseline: &baseline, canary: &canary, at };
    vec![
        (Operation::Arm, ports.arm(&switch).await.is_err()),
        (Operation::Disarm, ports.disarm("a", &target).await.is_err()),
    ]
}

fn sample_notice(rollout: &Rollout) -> Notice {
    Notice {
        key: "checkout-42/1".to_owned(),
        at: rollout.now,
        rollout: rollout.id.clone(),
        target: "checkout:live".to_owned(),
        baseline: rollout.baseline.clone(),
        canary: rollout.canary.clone(),
        phase: rollout.phase.name(),
        weight: Weight::ZERO,
        why: "started".to_owned(),
        undo: None,
    }
}
