//! The dead man's switch: what waits in EventBridge Scheduler while traffic is split, and what it does when no tick comes
//! any more. No emulator makes the calls that schedules name; here the tests make them.

use std::process::Stdio;

use coalmine_aws::{Aws, AwsConfig, SwitchConfig};
use coalmine_core::ports::Switch;
use coalmine_core::sim::contract;
use coalmine_core::spec::{LambdaTarget, Owner, RuleRef, Target, Version};
use coalmine_core::units::{Span, Timestamp};
use serde_json::{Value, json};

use crate::contract_alb::{in_a_runtime, pair, target};
use crate::harness::{
    Elb, Emulator, Live, SWITCH_ROLE, SWITCHES, Scheduler, Served, Shop, Stage, StageAlb, Traffic, again, model,
};

const HEALTHY: Traffic = Traffic { requests: 2400, old_fails: 0.004, new_fails: 0.004 };
/// Longer than it waits, and than the moments to which it is pushed lie apart.
const DEAD_FOR_MINUTES: i64 = 25;

fn time_of(schedule: &Value) -> Timestamp {
    let expression = schedule["ScheduleExpression"].as_str().unwrap();
    let time = expression.strip_prefix("at(").and_then(|rest| rest.strip_suffix(')')).unwrap();
    format!("{time}Z").parse().unwrap()
}

/// What is wrong with a stored schedule, and with the call that it makes.
fn problems(schedule: &Value, service: &str, operation: &str) -> Vec<String> {
    let mut asked = schedule.as_object().unwrap().clone();
    asked.retain(|name, _| !["Arn", "CreationDate", "LastModificationDate"].contains(&name.as_str()));
    let input: Value = serde_json::from_str(schedule["Target"]["Input"].as_str().unwrap()).unwrap();
    [("scheduler", "UpdateSchedule", json!(asked)), (service, operation, input)]
        .iter()
        .flat_map(|(service, operation, request)| {
            model::problems(&json!({ "service": service, "operation": operation, "request": request }))
        })
        .collect()
}

fn fired(status: &Value) -> bool {
    let history = status["history"].as_array().unwrap();
    history.iter().any(|event| event["why"]["kind"] == "switchFired")
}

#[test]
fn an_alias_that_nobody_looks_after_any_more_is_put_back() {
    let mut stage = Stage::set_up(61);
    let scheduler = stage.cloud.scheduler();
    stage.start(&json!({}));
    assert_eq!(scheduler.schedule("it.0"), None, "there is no traffic to put back");
    stage.pass_until(&HEALTHY, 5, |phase| phase == "baking");
    assert_eq!(stage.live(), Live::with("1", "2", 0.05));
    for _ in 0..7 {
        let schedule = scheduler.schedule("it.0").unwrap();
        let waits = time_of(&schedule).since(stage.minute.start());
        assert!((Span::from_minutes(15)..=Span::from_minutes(21)).contains(&waits), "it is pushed on: {waits}");
        assert_eq!(problems(&schedule, "lambda", "UpdateAlias"), Vec::<String>::new());
        stage.pass(&HEALTHY);
    }
    assert_ne!(stage.live(), Live::only("1"));

    let (call, input) = scheduler.take("it.0");
    assert_eq!(call, "arn:aws:scheduler:::aws-sdk:lambda:updateAlias");
    stage.cloud.update_alias(&input);
    assert_eq!(stage.live(), Live::only("1"));
    stage.minute = stage.minute.plus(DEAD_FOR_MINUTES);
    stage.tick();
    let status = stage.status();
    assert!(stage.phase() == "rolledBack" && fired(&status), "{status:#}");
    assert_eq!(scheduler.schedule("it.0"), None);
}

#[test]
fn rules_that_nobody_looks_after_any_more_are_put_back() {
    let mut stage = StageAlb::set_up(62);
    stage.shop.open_to_all();
    let scheduler = stage.cloud.scheduler();
    let (rule, listener) = (stage.shop.rule.clone(), stage.shop.listener.clone());
    let spec = stage.spec_on(&json!({ "rule": rule, "listener": listener }), &json!({}));
    stage.start_spec(&spec);
    stage.pass_until(&HEALTHY, 8, |phase| phase == "baking");
    assert!(stage.new_percent() > 0 && stage.new_percent_of(&listener) > 0);
    for (name, operation, arn) in [("it.0", "ModifyRule", &rule), ("it.1", "ModifyListener", &listener)] {
        let schedule = scheduler.schedule(name).unwrap();
        assert_eq!(problems(&schedule, "elbv2", operation), Vec::<String>::new());
        let (call, input) = scheduler.take(name);
        assert_eq!(call.rsplit(':').next().unwrap().to_lowercase(), operation.to_lowercase());
        stage.shop.elb.call(operation, &input);
        assert_eq!(stage.new_percent_of(arn), 0);
    }
    stage.minute = stage.minute.plus(DEAD_FOR_MINUTES);
    stage.tick();
    (0..4).for_each(|_| {
        stage.next();
    });
    let status = stage.status();
    assert!(stage.phase() == "rolledBack" && fired(&status), "{status:#}");
}

#[test]
fn nothing_waits_any_more_once_a_rollout_is_over() {
    for (failing, end) in [(0.004, "promoted"), (0.2, "rolledBack")] {
        let mut stage = Stage::set_up(63);
        let fields = json!({ "strategy": { "canary": { "weight": "20%", "bake": "5m" } }, "after": { "watch": "5m" } });
        stage.start(&fields);
        assert_eq!(stage.pass_until_ended(&Traffic { new_fails: failing, ..HEALTHY }, 60), end);
        assert_eq!(stage.cloud.scheduler().schedule("it.0"), None, "{end}");
    }
}

/// Whoever upgraded without the new template must learn of it, and can still go back.
#[test]
fn without_a_role_no_traffic_is_given_and_the_log_says_why() {
    for (switch, share) in [("15m", 0.0), ("off", 0.05)] {
        let told = [("COALMINE_SWITCH_ROLE_ARN", ""), ("COALMINE_SWITCH", switch)];
        let mut stage = Stage::told(64, told.map(|(name, value)| (name, value.to_owned())).to_vec());
        stage.put_history(Served { requests: 2400, errors: 10 });
        stage.start(&json!({}));
        for _ in 0..3 {
            stage.pass(&HEALTHY);
        }
        assert!((stage.new_share() - share).abs() < f64::EPSILON, "{switch}: {}", stage.new_share());
        assert_eq!(stage.cloud.log("coalmine-tick").contains("set COALMINE_SWITCH_GROUP"), share == 0.0, "{switch}");
    }
}

/// Moto knows nothing of the other one.
#[test]
fn the_schedules_keep_their_contract() {
    if let Some(told) = again::told() {
        let (scheduler, shop): (u16, Option<Shop>) = serde_json::from_str(&told).unwrap();
        return in_a_runtime(keep(Scheduler::at(scheduler), shop));
    }
    let test = "switch::the_schedules_keep_their_contract";
    let stack = Emulator::ministack();
    let moto = Emulator::moto();
    let shop = Shop::open(Elb::of_moto(&moto));
    let endpoints = [("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", stack.port()))];
    Scheduler::at(stack.port()).create_group(SWITCHES);
    again::run(test, &json!([stack.port(), null]).to_string(), &endpoints, Stdio::null());
    Scheduler::at(moto.port()).create_group(SWITCHES);
    let endpoints = [("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", moto.port()))];
    again::run(test, &json!([moto.port(), shop]).to_string(), &endpoints, Stdio::null());
}

async fn keep(scheduler: Scheduler, shop: Option<Shop>) {
    let switch = SwitchConfig { group: SWITCHES.to_owned(), role_arn: SWITCH_ROLE.to_owned() };
    let aws = Aws::new(AwsConfig { switch: Some(switch), ..AwsConfig::default() }).await;
    let waits = |rollout: &str| -> Vec<Timestamp> {
        let parts = (0..2).filter_map(|place| scheduler.schedule(&format!("{rollout}.{place}")));
        parts.map(|schedule| time_of(&schedule)).collect()
    };
    let at = "2099-11-21T14:15:00Z".parse().unwrap();
    let (function, alias) = ("checkout".to_owned(), "live".to_owned());
    let lambda = Target::Lambda(LambdaTarget { function, alias, owner: Owner::Coalmine });
    let versions = (Version("41".to_owned()), Version("42".to_owned()));
    let mut targets = vec![(lambda, versions)];
    if let Some(shop) = shop {
        let rules = vec![RuleRef::Rule(shop.rule.clone()), RuleRef::DefaultOf(shop.listener.clone())];
        targets.push((Target::Alb(target(&shop, rules)), pair(&shop)));
    }
    for (target, (baseline, canary)) in &targets {
        let switch = Switch { rollout: "contract", target, baseline, canary, at };
        contract::switch(&aws, &switch, waits).await.unwrap_or_else(|broken| panic!("{}: {broken}", target.key()));
    }
}
