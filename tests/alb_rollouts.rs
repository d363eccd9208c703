//! Whole rollouts between target groups, from the start command to the end, an hour in seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coalmine_core::units::Timestamp;
use serde_json::{Value, json};

use crate::contract_alb::authenticated;
use crate::harness::{Answer, Elb, FakeElb, Served, Server, Shop, StageAlb, Traffic, Trouble, without_weights};

const HEALTHY: Traffic = Traffic { requests: 2400, old_fails: 0.004, new_fails: 0.004 };
/// One percent of the requests fails, and five percent of the new group's.
const BROKEN: Traffic = Traffic { requests: 2400, old_fails: 0.01, new_fails: 0.05 };

/// A rollout that is over soon.
fn short() -> Value {
    json!({ "strategy": { "canary": { "weight": "20%", "bake": "3m" } }, "after": { "watch": "5m" } })
}

/// Goes as far as the new group's first share of the requests.
fn until_baking(stage: &mut StageAlb) {
    stage.pass_until(&HEALTHY, 8, |phase| phase == "baking");
    assert!(stage.new_share() > 0.0, "{:#}", stage.status());
}

fn live(stage: &StageAlb) -> Vec<(&'static str, u64)> {
    let weights = stage.shop.elb.weights(&stage.shop.rule);
    ["blue", "green"].into_iter().filter_map(|name| Some((name, *weights.get(name)?))).collect()
}

/// Whose requests these are, where one group has them all.
fn alone(stage: &StageAlb) -> &'static str {
    let live: Vec<_> = live(stage).into_iter().filter(|(_, weight)| *weight > 0).collect();
    assert_eq!(live.len(), 1, "{live:?}");
    live[0].0
}

#[test]
fn a_good_release_is_promoted_and_the_next_one_finds_its_group_live() {
    let mut stage = StageAlb::set_up(101);
    let purple = stage.shop.elb.create_group("purple", &json!({}));
    stage.shop.elb.set_actions(&stage.shop.rule, &authenticated(&stage.shop, &purple));
    stage.shop.open_to_all();
    let (rule, listener) = (stage.shop.rule.clone(), stage.shop.listener.clone());
    let before = [&rule, &listener].map(|arn| without_weights(&stage.shop.elb.actions(arn)));
    for (name, new) in [("first", "green"), ("second", "blue")] {
        stage.rollout = name.to_owned();
        let spec = stage.spec_on(&json!({ "rule": rule, "listener": listener }), &short());
        stage.start_spec(&spec);
        assert_eq!(stage.new_percent(), 0, "start moves nothing by itself");
        let mut shares = vec![0.0];
        while !stage.has_ended() {
            assert!(shares.len() < 60, "not over in an hour: {shares:?} {:#}", stage.status());
            stage.pass(&HEALTHY);
            shares.push(stage.new_share());
            assert_eq!(stage.new_percent(), stage.new_percent_of(&listener), "both rules move together");
        }
        shares.dedup();
        assert_eq!((stage.phase().as_str(), shares.as_slice()), ("promoted", [0.0, 0.2, 1.0].as_slice()));
        assert_eq!((alone(&stage), live(&stage).len()), (new, 2), "the old group stays attached");
        let after = [&rule, &listener].map(|arn| without_weights(&stage.shop.elb.actions(arn)));
        assert_eq!(after.map(as_read), before.clone().map(as_read), "only weights have changed");
        assert_eq!(stage.shop.elb.weights(&rule)["purple"], 0);
        stage.new = 1 - stage.new;
    }
}

/// The rollout has ended long before, and the next tick finds nothing left to do.
#[test]
fn the_old_group_is_detached_when_it_was_kept_long_enough() {
    let mut stage = StageAlb::set_up(112);
    let purple = stage.shop.elb.create_group("purple", &json!({}));
    stage.shop.elb.set_actions(&stage.shop.rule, &authenticated(&stage.shop, &purple));
    stage.shop.open_to_all();
    let (rule, listener) = (stage.shop.rule.clone(), stage.shop.listener.clone());
    let before = [&rule, &listener].map(|arn| as_read(without_weights(&stage.shop.elb.actions(arn))));
    let on = json!({ "rule": rule, "listener": listener, "keepBaseline": "10m" });
    stage.start_spec(&stage.spec_on(&on, &short()));
    assert_eq!(stage.pass_until_ended(&HEALTHY, 60), "promoted");
    let listed = |stage: &StageAlb| stage.command(&json!({ "command": "list" })).to_string().contains("\"it\"");
    for minute in 0..10 {
        assert_eq!((live(&stage).len(), listed(&stage)), (2, true), "{minute}");
        stage.next();
    }
    assert_eq!((live(&stage), listed(&stage)), (vec![("green", 1)], false), "{:#}", stage.status());
    assert_eq!(stage.shop.elb.weights(&listener), [("green".to_owned(), 1)].into());
    assert_eq!(stage.shop.elb.weights(&rule)["purple"], 0);
    let after = [&rule, &listener].map(|arn| as_read(without_weights(&stage.shop.elb.actions(arn))));
    assert_eq!(after, before, "all else is as it was");
    let (ended, actions) = (stage.status(), stage.shop.elb.actions(&rule));
    assert_eq!(ended["phase"]["name"], "promoted");
    assert_eq!(ended["history"].as_array().unwrap().last().unwrap()["why"]["kind"], "detached", "{ended:#}");
    stage.next();
    assert_eq!((stage.status(), stage.shop.elb.actions(&rule)), (ended, actions));
}

#[test]
fn what_goes_through_the_other_rule_is_put_back_when_somebody_takes_one() {
    let mut stage = StageAlb::set_up(113);
    let purple = stage.shop.elb.create_group("purple", &json!({}));
    stage.shop.open_to_all();
    let (rule, listener) = (stage.shop.rule.clone(), stage.shop.listener.clone());
    stage.start_spec(&stage.spec_on(&json!({ "rule": rule, "listener": listener }), &json!({})));
    until_baking(&mut stage);
    stage.shop.elb.set_actions(&listener, &json!([Shop::forward(&[(&purple, 1)])]));
    stage.next();
    assert_eq!(alone(&stage), "blue");
    for _ in 0..4 {
        stage.next();
    }
    assert_eq!(stage.shop.elb.weights(&listener), [("purple".to_owned(), 1)].into());
    assert_eq!(stage.phase(), "superseded", "{:#}", stage.status());
    assert_eq!(stage.status()["phase"]["why"]["kind"], "partlyTaken");
}

/// Without what moto shows and the real one keeps to itself, or must be told with every write.
fn as_read(mut actions: Vec<Value>) -> Vec<Value> {
    for action in &mut actions {
        if let Some(oidc) = action["AuthenticateOidcConfig"].as_object_mut() {
            oidc.retain(|name, _| !["ClientSecret", "UseExistingClientSecret"].contains(&name.as_str()));
        }
        let fields = action.as_object_mut().unwrap();
        fields.retain(|_, value| !value.is_null());
        if let Some(config) = fields.get_mut("ForwardConfig").and_then(Value::as_object_mut) {
            // Off is what is so where nothing is said.
            config.retain(|_, value| !["null", "{\"Enabled\":false}", "[]"].contains(&value.to_string().as_str()));
        }
        if fields.get("ForwardConfig").is_some_and(|config| config.as_object().is_some_and(serde_json::Map::is_empty)) {
            fields.remove("ForwardConfig");
        }
    }
    actions
}

#[test]
fn a_linear_release_rises_by_steps_behind_a_default_action() {
    let mut stage = StageAlb::set_up(102);
    stage.shop.open_to_all();
    stage.shop.elb.set_actions(&stage.shop.rule, &Shop::answering());
    let listener = stage.shop.listener.clone();
    // What the stage routes by.
    stage.shop.rule.clone_from(&listener);
    let linear = json!({
        "strategy": { "linear": { "increment": "25%", "every": "2m" } }, "after": { "watch": "5m" },
        "checks": [{ "errors": { "tolerate": "2pt" } }],
    });
    stage.start_spec(&stage.spec_on(&json!({ "listener": listener }), &linear));
    let mut shares = vec![stage.new_share()];
    while !stage.has_ended() {
        assert!(shares.len() < 80, "not over: {shares:?} {:#}", stage.status());
        stage.pass(&HEALTHY);
        shares.push(stage.new_share());
    }
    shares.dedup();
    assert_eq!((stage.phase().as_str(), shares.as_slice()), ("promoted", [0.0, 0.25, 0.5, 0.75, 1.0].as_slice()));
}

#[test]
fn a_release_that_fails_five_times_as_often_is_rolled_back_and_leaves_the_list_as_it_was() {
    let mut stage = StageAlb::set_up(103);
    let purple = stage.shop.elb.create_group("purple", &json!({}));
    stage.shop.elb.set_actions(&stage.shop.rule, &authenticated(&stage.shop, &purple));
    let rule = stage.shop.rule.clone();
    let before = as_read(without_weights(&stage.shop.elb.actions(&rule)));
    stage.start(&json!({}));
    assert_eq!(stage.pass_until_ended(&BROKEN, 60), "rolledBack");
    assert_eq!(alone(&stage), "blue");
    let ended = stage.status();
    assert_eq!(ended["phase"]["why"]["kind"], "harm", "{ended:#}");
    assert_eq!(as_read(without_weights(&stage.shop.elb.actions(&rule))), before);
    // Once it has ended, ticks leave everything as it is.
    let actions = stage.shop.elb.actions(&rule);
    stage.pass(&HEALTHY);
    assert_eq!((stage.status(), stage.shop.elb.actions(&rule)), (ended, actions));
}

/// The emulator answers `TC` with an average, which the probe notices; its percentiles are right.
#[test]
fn a_release_that_is_twice_as_slow_is_rolled_back() {
    let spec = json!({
        "checks": [{ "errors": { "tolerate": "1pt" } }, { "latency": {} }],
        "strategy": { "steps": [{ "weight": "20%", "bake": "3m" }] },
        "after": { "watch": "5m" },
    });
    for (slower, end) in [(1.0, "promoted"), (2.0, "rolledBack")] {
        let mut stage = StageAlb::without_history(104);
        (1..=90).for_each(|ago| stage.put_past(ago, Served { requests: 600, errors: 2 }));
        stage.slower = Some(slower);
        stage.start(&spec);
        assert_eq!(stage.pass_until_ended(&Traffic { requests: 1200, ..HEALTHY }, 60), end, "{:#}", stage.status());
        let why = stage.status()["phase"]["why"].to_string();
        assert!(end == "promoted" || why.contains("latency: "), "{why}");
        assert_eq!(alone(&stage), if end == "promoted" { "green" } else { "blue" });
    }
}

#[test]
fn an_alarm_takes_the_requests_back_in_the_invocation_that_brings_it() {
    let mut stage = StageAlb::set_up(105);
    stage.cloud.create_alarm("checkout-5xx");
    stage.start(&json!({ "alarms": ["checkout-5xx"] }));
    until_baking(&mut stage);
    let mut event = crate::events::event("alarm-eventbridge-metric-fires");
    event["time"] = Timestamp::from_epoch_seconds(stage.minute.start().epoch_seconds() + 40).to_string().into();
    stage.cloud.set_alarm("checkout-5xx", "ALARM");
    let answer = stage.invoke("alarm", &event);
    assert_eq!(alone(&stage), "blue", "{answer}");
    for _ in 0..5 {
        stage.pass(&HEALTHY);
    }
    assert_eq!(stage.phase(), "rolledBack", "{:#}", stage.status());
    assert_eq!(stage.status()["phase"]["why"], json!({ "kind": "alarm", "names": ["checkout-5xx"] }));
}

#[test]
fn a_release_whose_targets_fail_is_rolled_back() {
    let mut stage = StageAlb::set_up(106);
    stage.start(&json!({}));
    until_baking(&mut stage);
    stage.shop.elb.deregister(&stage.shop.groups[1], &Shop::addresses(1));
    assert_eq!(stage.pass_until_ended(&HEALTHY, 5), "rolledBack");
    assert_eq!(alone(&stage), "blue");
    let why = stage.status()["phase"]["why"].clone();
    assert_eq!(why["kind"], "unhealthy", "{why}");
    assert!(
        why["sentence"].as_str().unwrap().starts_with("green has 0 healthy targets of the 1 that 5 % needs"),
        "{why}"
    );
}

#[test]
fn no_weight_is_given_to_more_requests_than_the_healthy_targets_carry() {
    let mut stage = StageAlb::set_up(107);
    stage.shop.elb.deregister(&stage.shop.groups[1], &Shop::addresses(1)[1..]);
    stage.start(&json!({
        "strategy": { "steps": [{ "weight": "25%", "bake": "2m" }, { "weight": "75%", "bake": "2m" }] },
        "checks": [{ "errors": { "tolerate": "2pt" } }], "after": { "watch": "5m" },
    }));
    for _ in 0..20 {
        stage.pass(&HEALTHY);
        assert!(stage.new_share() <= 0.25, "one target of four carries a quarter");
    }
    assert_eq!(stage.new_percent(), 25);
    stage.shop.elb.register(&stage.shop.groups[1], &Shop::addresses(1));
    assert_eq!(stage.pass_until_ended(&HEALTHY, 40), "promoted");
}

/// The new group answers behind a rule of its own before it gets anybody's requests.
#[test]
fn the_new_group_is_tested_before_it_gets_requests() {
    for (well, end) in [(true, "promoted"), (false, "rolledBack")] {
        let (asked, noted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (seen, header) = (Arc::clone(&asked), Arc::clone(&noted));
        let backend = Server::start(move |received| {
            seen.fetch_or(received.path == "/health", Ordering::Relaxed);
            header.fetch_or(received.header("x-canary") == Some("1"), Ordering::Relaxed);
            Answer::Of { status: if well { 204 } else { 503 }, content_type: "text/plain", body: String::new() }
        });
        let mut stage = StageAlb::set_up(108);
        let blue = json!([Shop::forward(&[(&stage.shop.groups[0], 1)])]);
        let testing = stage.shop.elb.create_rule(&stage.shop.listener, 9, "/test/*", &blue);
        let url = format!("http://127.0.0.1:{}/health", backend.port());
        let tests = json!([{ "http": { "url": url, "headers": { "x-canary": "1" }, "expect": 204, "times": 2 } }]);
        let mut spec = short();
        spec["tests"] = tests;
        stage.start_spec(&stage.spec_on(&json!({ "rule": stage.shop.rule, "testRule": testing }), &spec));
        let mut most = 0.0_f64;
        while !stage.has_ended() {
            stage.pass(&HEALTHY);
            most = most.max(stage.new_share());
            assert!(stage.minute.minutes_since(crate::harness::this_minute()) < 60, "{:#}", stage.status());
        }
        assert_eq!((stage.phase().as_str(), most > 0.0), (end, well), "{:#}", stage.status());
        assert!(asked.load(Ordering::Relaxed) && noted.load(Ordering::Relaxed));
        assert_eq!(stage.shop.elb.weights(&testing), [("green".to_owned(), 1)].into());
    }
}

#[test]
fn stickiness_that_was_consented_to_is_off_after_a_rollback() {
    let mut stage = StageAlb::set_up(109);
    let mut forward = Shop::forward(&[(&stage.shop.groups[0], 1), (&stage.shop.groups[1], 0)]);
    forward["ForwardConfig"]["TargetGroupStickinessConfig"] = json!({ "Enabled": true, "DurationSeconds": 3600 });
    stage.shop.elb.set_actions(&stage.shop.rule, &json!([forward]));
    let on = json!({ "rule": stage.shop.rule, "stickiness": "disableOnRollback" });
    stage.start_spec(&stage.spec_on(&on, &json!({})));
    until_baking(&mut stage);
    let sticky = |stage: &StageAlb| {
        let action = stage.shop.elb.actions(&stage.shop.rule)[0].clone();
        action["ForwardConfig"]["TargetGroupStickinessConfig"]["Enabled"].clone()
    };
    assert_eq!(sticky(&stage), true);
    stage.command(&json!({ "command": "abort", "rollout": "it", "reason": "no" }));
    assert_eq!((sticky(&stage), alone(&stage)), (json!(false), "blue"));
}

#[test]
fn somebody_elses_weights_end_it_and_are_left_alone() {
    for third in [true, false] {
        let mut stage = StageAlb::set_up(110);
        let purple = stage.shop.elb.create_group("purple", &json!({}));
        stage.start(&json!({}));
        until_baking(&mut stage);
        let groups = if third { [purple.as_str(), &stage.shop.groups[0]] } else { [purple.as_str(), &purple] };
        let taken = json!([Shop::forward(&groups.map(|group| (group, 7))[..1 + usize::from(third)])]);
        stage.shop.elb.set_actions(&stage.shop.rule, &taken);
        let actions = stage.shop.elb.actions(&stage.shop.rule);
        for _ in 0..3 {
            stage.next();
        }
        assert_eq!((stage.phase().as_str(), stage.shop.elb.actions(&stage.shop.rule)), ("superseded", actions));
    }
}

#[test]
fn throttles_lost_answers_and_half_written_rules_do_not_stop_a_release() {
    let fake = FakeElb::start();
    let mut stage = StageAlb::on(Elb::at(fake.port()), None, 111);
    let served = [Served { requests: 2400, errors: 10 }, Served::default()];
    (1..=62).for_each(|ago| stage.serve(stage.minute.plus(-ago), served));
    for registered in fake.state().targets.values_mut().flatten() {
        registered.checks_left = 2;
    }
    stage.shop.open_to_all();
    let on = json!({ "rule": stage.shop.rule, "listener": stage.shop.listener });
    stage.start_spec(&stage.spec_on(&on, &short()));
    // The attaching, the raise, and the promotion.
    fake.trouble("ModifyRule", [Trouble::Lost, Trouble::Throttled, Trouble::None, Trouble::Lost]);
    fake.trouble("ModifyListener", [Trouble::Failed, Trouble::None, Trouble::Failed, Trouble::Lost]);
    fake.trouble("DescribeTargetHealth", [Trouble::Failed, Trouble::Throttled]);
    let mut shares = vec![0.0];
    while !stage.has_ended() {
        assert!(shares.len() < 60, "not over in an hour: {shares:?} {:#}", stage.status());
        stage.pass(&HEALTHY);
        shares.push(stage.new_share());
    }
    shares.dedup();
    assert_eq!((stage.phase().as_str(), shares.as_slice()), ("promoted", [0.0, 0.2, 1.0].as_slice()));
    assert_eq!(stage.new_percent_of(&stage.shop.listener), 100);
}
