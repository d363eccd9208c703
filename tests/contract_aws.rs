//! What every AWS, real or emulated, must do for the adapters. Each function takes a world that somebody else set up:
//!
//! - the function `World::function` with the published versions 1 and 2, both Active, and its alias `live` on version 1;
//! - the table of the `Aws`, empty, with the keys `pk` and `sk`;
//! - the alarms `World::alarm` (metric, in ALARM) and `World::composite` (composite, of the first one);
//! - `AWS/Lambda` Errors of version 2 (FunctionName, Resource, ExecutedVersion) in the minutes `World::minute` and two
//!   later: one invocation that failed and three that did not, each.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a contract that is broken fails its test")]

use coalmine_aws::Aws;
use coalmine_core::analysis::{Count, MinuteSample, Pair, Verdict};
use coalmine_core::cloudformation::{Asked, Caller, Kind, Resource, Wish};
use coalmine_core::metrics::{Period, SeriesQuery, Stat};
use coalmine_core::observation::{AlarmState, Readiness, Routing, Split, TestOutcome};
use coalmine_core::ports::{
    AlarmSource, CreateError, LookError, MetricSource, Notifier, RolloutStore, SaveError, SetError, SetWeight,
    TestRunner, TrafficRouter,
};
use coalmine_core::rollout::{DecisionRecord, Phase, Rollout, Why};
use coalmine_core::sim::contract as sim;
use coalmine_core::spec::{InvokeTest, LambdaTarget, MetricRef, Owner, Target, Test, Version};
use coalmine_core::units::{Minute, Weight};
use serde_json::json;

/// What was set up.
pub struct World {
    pub function: String,
    pub alarm: String,
    pub composite: String,
    pub minute: Minute,
}

fn lambda(function: &str, alias: &str) -> Target {
    Target::Lambda(LambdaTarget { function: function.to_owned(), alias: alias.to_owned(), owner: Owner::Coalmine })
}

fn version(number: u32) -> Version {
    Version(number.to_string())
}

pub async fn alias(aws: &Aws, world: &World) {
    let target = lambda(&world.function, "live");
    let (baseline, canary) = (version(1), version(2));
    let five = Weight::from_basis_points(500).unwrap();
    let mut seen: Routing = aws.look(&target).await.unwrap();
    assert_eq!(seen.split(&baseline, &canary), Split::Ours(Weight::ZERO));
    // Up, the same again, to all of it, and back; every write makes the look before it stale.
    for weight in [five, five, Weight::from_basis_points(3333).unwrap(), Weight::FULL, five, Weight::ZERO] {
        let set = SetWeight { target: &target, baseline: &baseline, canary: &canary, weight, seen: &seen };
        aws.set(&set).await.unwrap();
        assert!(matches!(aws.set(&set).await, Err(SetError::Stale)), "a used revision must not work again");
        let now = aws.look(&target).await.unwrap();
        assert_eq!(now.split(&baseline, &canary), Split::Ours(weight));
        assert_ne!(now.revision, seen.revision);
        assert!(!now.in_transition);
        assert!(now.additional.is_some() == (weight != Weight::ZERO && weight != Weight::FULL));
        seen = now;
    }
}

pub async fn versions(aws: &Aws, world: &World) {
    let function = &world.function;
    let target = lambda(function, "live");
    let newest = aws.version(&target, None).await.unwrap();
    assert_eq!((newest.version.clone(), &newest.readiness), (version(2), &Readiness::Active));
    assert!(!newest.code_hash.is_empty() && !newest.published.is_empty());
    assert_eq!(aws.version(&target, Some(&version(2))).await.unwrap(), newest);
    let missing = |error: LookError| match error {
        LookError::NotFound(sentence) => sentence,
        LookError::Fault(fault) => panic!("{fault}"),
    };
    let no_version = aws.version(&target, Some(&version(99))).await.unwrap_err();
    assert_eq!(missing(no_version), format!("function {function} has no version 99"));
    let no_alias = aws.look(&lambda(function, "other")).await.unwrap_err();
    assert_eq!(missing(no_alias), format!("function {function} has no alias other"));
    let nowhere = lambda("contract-nowhere", "live");
    let sentence = "function contract-nowhere does not exist";
    assert_eq!(missing(aws.look(&nowhere).await.unwrap_err()), sentence);
    assert_eq!(missing(aws.version(&nowhere, None).await.unwrap_err()), sentence);
    assert_eq!(missing(aws.version(&nowhere, Some(&version(1))).await.unwrap_err()), sentence);
}

pub async fn metrics(aws: &Aws, world: &World) {
    let query = |executed: &str, stat| {
        let dimensions = [("FunctionName", world.function.clone()), ("Resource", format!("{}:live", world.function))];
        let dimensions = dimensions.into_iter().chain([("ExecutedVersion", executed.to_owned())]);
        let dimensions = dimensions.map(|(name, value)| (name.to_owned(), value)).collect();
        let metric = MetricRef { namespace: "AWS/Lambda".to_owned(), metric: "Errors".to_owned(), dimensions };
        SeriesQuery { metric, stat, period: Period::Minute, from: world.minute, until: world.minute.plus(3) }
    };
    let inner = SeriesQuery { from: world.minute.plus(1), until: world.minute.plus(2), ..query("2", Stat::Sum) };
    let queries = [query("2", Stat::Sum), query("2", Stat::SampleCount), query("1", Stat::Sum), inner];
    let results: Vec<Vec<(i64, f64)>> = aws
        .fetch(&queries)
        .await
        .into_iter()
        .map(|result| result.unwrap().into_iter().map(|(m, v)| (m.minutes_since(world.minute), v)).collect())
        .collect();
    assert_eq!(results, [vec![(0, 1.0), (2, 1.0)], vec![(0, 4.0), (2, 4.0)], vec![], vec![]]);
}

pub async fn alarms(aws: &Aws, world: &World) {
    let names = [&world.alarm, &world.composite, &"contract-no-alarm".to_owned()].map(Clone::clone);
    let states = aws.states(&names).await.unwrap();
    assert_eq!(states.get(&world.alarm), Some(&AlarmState::Alarm));
    assert!(states.contains_key(&world.composite));
    assert_eq!(states.len(), 2);
}

fn rollout(id: &str, target: &str) -> Rollout {
    let golden = include_str!("../crates/aws/src/dynamodb/golden/rollout-v1.json");
    let mut rollout: Rollout = serde_json::from_str(golden).unwrap();
    rollout.id = id.to_owned();
    rollout.spec.target = lambda(target, "live");
    rollout
}

fn ended(rollout: &Rollout, outbox: bool) -> Rollout {
    let mut next = Rollout { revision: rollout.revision + 1, ..rollout.clone() };
    next.phase = Phase::RolledBack { at: next.now, why: Why::Ready };
    if !outbox {
        next.outbox.clear();
    }
    next
}

async fn active(aws: &Aws) -> Vec<Rollout> {
    aws.active().await.unwrap().into_iter().map(Result::unwrap).collect()
}

pub async fn store(aws: &Aws) {
    let (a, b) = (rollout("contract-a", "one"), rollout("contract-b", "one"));
    assert!(active(aws).await.is_empty());
    assert_eq!(aws.load("contract-a").await.unwrap(), None);
    aws.create(&a).await.unwrap();
    assert!(matches!(aws.create(&a).await, Err(CreateError::Exists)));
    assert!(matches!(aws.create(&b).await, Err(CreateError::TargetTaken { by }) if by == "contract-a"));
    assert_eq!(aws.load("contract-b").await.unwrap(), None, "all or nothing");
    let c = rollout("contract-c", "two");
    aws.create(&c).await.unwrap();
    assert_eq!(active(aws).await, [a.clone(), c.clone()]);
    assert_eq!(aws.named_by_alarm("checkout-5xx").await.unwrap(), ["contract-a", "contract-c"]);
    assert!(aws.named_by_alarm("another").await.unwrap().is_empty());
    assert_eq!(aws.holder(&a.spec.target).await.unwrap().as_deref(), Some("contract-a"));

    // The revision is the mutex.
    let next = Rollout { revision: a.revision + 1, events_total: 9, ..a.clone() };
    let record =
        DecisionRecord { at: a.now, digest: 7, verdict: Verdict::Pass, settled_before: None, tail: Vec::new() };
    aws.save(&a, &next, Some(&record)).await.unwrap();
    assert!(matches!(aws.save(&a, &next, None).await, Err(SaveError::Conflict)));
    assert_eq!(aws.load("contract-a").await.unwrap().as_ref(), Some(&next));

    // An end frees the target; while something is left to tell, the rollout stays listed.
    let telling = ended(&next, true);
    aws.save(&next, &telling, None).await.unwrap();
    assert_eq!(aws.holder(&a.spec.target).await.unwrap(), None);
    assert_eq!(active(aws).await, [telling.clone(), c.clone()]);
    aws.create(&b).await.unwrap();
    let back = Rollout { revision: telling.revision + 1, ..next.clone() };
    assert!(matches!(aws.save(&telling, &back, None).await, Err(SaveError::TargetTaken { by }) if by == "contract-b"));
    let done = ended(&telling, false);
    aws.save(&telling, &done, None).await.unwrap();
    assert_eq!(active(aws).await, [b.clone(), c.clone()]);
    assert_eq!(aws.named_by_alarm("checkout-5xx").await.unwrap(), ["contract-b", "contract-c"]);
    assert_eq!(aws.load("contract-a").await.unwrap(), Some(done));
    for rollout in [b, c] {
        aws.save(&rollout, &ended(&rollout, false), None).await.unwrap();
    }
    assert!(active(aws).await.is_empty());
}

pub async fn two_writers(aws: &Aws) {
    let before = rollout("contract-race", "three");
    aws.create(&before).await.unwrap();
    let next = |events_total| Rollout { revision: before.revision + 1, events_total, ..before.clone() };
    let (left, right) = (next(11), next(12));
    let (first, second) = tokio::join!(aws.save(&before, &left, None), aws.save(&before, &right, None));
    let winner = match (first, second) {
        (Ok(()), Err(SaveError::Conflict)) => left,
        (Err(SaveError::Conflict), Ok(())) => right,
        other => panic!("{other:?}"),
    };
    assert_eq!(aws.load("contract-race").await.unwrap().as_ref(), Some(&winner));
    aws.save(&winner, &ended(&winner, false), None).await.unwrap();
}

/// What the simulation's store keeps to, too.
pub async fn as_simulated(aws: &Aws) {
    for (kept, what) in [
        (sim::store(aws, &rollout("contract-simulated", "four")).await, "rollouts"),
        (sim::deployments(aws, &rollout("contract-elsewhere", "five")).await, "deployments"),
        (sim::stacks(aws, &resource()).await, "stacks"),
    ] {
        kept.unwrap_or_else(|broken| panic!("{what}: {broken}"));
    }
}

fn resource() -> Resource {
    let properties = json!({ "Function": "checkout", "Alias": "live", "Version": "2", "Spec": { "deadline": "1h" } });
    let caller = Caller {
        stack: "arn:aws:cloudformation:us-east-1:000000000000:stack/contract/51af3dc0".to_owned(),
        logical: "Rollout".to_owned(),
        physical: "coalmine/Rollout/checkout:live".to_owned(),
        request: "request-1".to_owned(),
        url: "https://bucket.s3.amazonaws.com/key".to_owned(),
    };
    let received = Minute::from_index(1000).start();
    let asked = Asked {
        kind: Kind::Create,
        caller,
        wish: Wish::read(&properties).unwrap(),
        received,
        signed: None,
        rewrites: false,
    };
    Resource::asked_of(None, asked).unwrap()
}

pub async fn sealed(aws: &Aws) {
    let minutes = |range: std::ops::Range<i64>, requests: f64| -> Vec<MinuteSample> {
        let pair = Pair::of(Count::new(requests, 0.1), None);
        let sample =
            |i| MinuteSample { minute: Minute::from_index(i), weight: Weight::ZERO, pairs: vec![pair.clone()] };
        range.map(sample).collect()
    };
    assert!(aws.sealed("contract-sealed").await.unwrap().is_empty());
    aws.seal("contract-sealed", &minutes(100..115, 1.0)).await.unwrap();
    aws.seal("contract-sealed", &minutes(100..117, 2.0)).await.unwrap();
    aws.seal("contract-sealed", &minutes(117..130, 3.0)).await.unwrap();
    let expected = [minutes(100..115, 1.0), minutes(115..117, 2.0), minutes(117..130, 3.0)].concat();
    assert_eq!(aws.sealed("contract-sealed").await.unwrap(), expected);
}

/// The `Aws` must have an event bus and a topic.
pub async fn notices(aws: &Aws) {
    let notice = rollout("contract-a", "one").outbox.remove(0);
    aws.publish(&notice).await.unwrap();
}

/// Version 2 must answer its payload.
pub async fn test_invocations(aws: &Aws, world: &World) {
    let payload = serde_json::json!({ "statusCode": 200, "path": "/health" });
    let run = |expect| {
        let test = Test::Invoke(InvokeTest { payload: payload.clone(), expect: Some(expect), times: 2 });
        async move { aws.run(&lambda(&world.function, "live"), &version(2), &test).await.unwrap() }
    };
    assert_eq!(run(serde_json::json!({ "statusCode": 200 })).await, TestOutcome::Passed);
    let TestOutcome::Failed(why) = run(serde_json::json!({ "statusCode": 500 })).await else { panic!("must fail") };
    assert!(why.starts_with("the answer.statusCode is 200, 500 was expected"), "{why}");
}
