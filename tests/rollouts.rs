//! Whole rollouts, from the start command to the end, an hour in seconds.

use coalmine_core::units::Timestamp;
use serde_json::json;

use crate::harness::{Live, Served, Stage, Traffic};

const HEALTHY: Traffic = Traffic { requests: 2400, old_fails: 0.004, new_fails: 0.004 };
/// One percent of the requests fails, and five percent of the new version's.
const BROKEN: Traffic = Traffic { requests: 2400, old_fails: 0.01, new_fails: 0.05 };

#[test]
fn a_good_release_is_promoted() {
    let mut stage = Stage::set_up(1);
    stage.start(&json!({}));
    assert_eq!(stage.live(), Live::only("1"), "start moves nothing by itself");
    let mut shares = vec![stage.new_share()];
    while *shares.last().unwrap() < 1.0 {
        assert!(shares.len() < 90, "not at 100 % in 90 minutes: {shares:?} {:#}", stage.status());
        stage.pass(&HEALTHY);
        shares.push(stage.new_share());
    }
    shares.dedup();
    assert_eq!(shares, [0.0, 0.05, 0.25, 0.5, 1.0]);
    assert_eq!(stage.live(), Live::only("2"), "promotion leaves no weights");
    assert_eq!(stage.phase(), "promoting", "100 % is watched");
    assert_eq!(stage.pass_until_ended(&HEALTHY, 40), "promoted");
    assert_eq!(stage.live(), Live::only("2"));
}

#[test]
fn a_release_that_fails_five_times_as_often_is_rolled_back() {
    let mut stage = Stage::set_up(2);
    stage.start(&json!({}));
    assert_eq!(stage.pass_until_ended(&BROKEN, 60), "rolledBack");
    assert_eq!(stage.live(), Live::only("1"));
    let ended = stage.status();
    assert_eq!(ended["phase"]["why"]["kind"], "harm", "{ended:#}");
    // Once it has ended, ticks leave everything as it is.
    let revision = stage.alias_revision();
    stage.pass(&HEALTHY);
    assert_eq!((stage.status(), stage.alias_revision()), (ended, revision));
}

#[test]
fn an_alarm_rolls_back_in_the_invocation_that_brings_it() {
    for (file, name) in
        [("alarm-eventbridge-metric-fires", "checkout-5xx"), ("alarm-direct-composite-fires", "checkout")]
    {
        let mut stage = Stage::set_up(3);
        stage.cloud.create_alarm("checkout-5xx");
        stage.cloud.create_composite_alarm("checkout", "ALARM(checkout-5xx)");
        stage.start(&json!({ "alarms": [name] }));
        stage.pass_until(&HEALTHY, 5, |phase| phase == "baking");
        stage.pass(&HEALTHY);
        assert_eq!(stage.live(), Live::with("1", "2", 0.05));

        let mut event = crate::events::event(file);
        event["time"] = Timestamp::from_epoch_seconds(stage.minute.start().epoch_seconds() + 40).to_string().into();
        let ignored = stage.invoke("alarm", &event);
        assert_eq!(stage.live(), Live::with("1", "2", 0.05), "the alarm is OK, whatever the event says: {ignored}");

        stage.cloud.set_alarm("checkout-5xx", "ALARM");
        let answer = stage.invoke("alarm", &event);
        assert_eq!(stage.live(), Live::only("1"), "{answer}");
        assert_eq!(stage.phase(), "rolledBack", "{answer}");
        assert_eq!(stage.status()["phase"]["why"], json!({ "kind": "alarm", "names": [name] }));
    }
}

#[test]
fn a_tick_notices_an_alarm_whose_event_was_lost() {
    let mut stage = Stage::set_up(4);
    stage.cloud.create_alarm("checkout-5xx");
    stage.start(&json!({ "alarms": ["checkout-5xx"] }));
    stage.pass_until(&HEALTHY, 5, |phase| phase == "baking");
    stage.cloud.set_alarm("checkout-5xx", "ALARM");
    stage.tick();
    assert_eq!(stage.live(), Live::only("1"));
}

#[test]
fn without_metrics_it_holds_and_then_does_what_the_spec_says() {
    for (otherwise, phase, live) in [
        ("rollBack", "rolledBack", Live::only("1")),
        ("pause", "paused", Live::with("1", "2", 0.1)),
        ("promote", "promoting", Live::only("2")),
    ] {
        let mut stage = Stage::without_history(5);
        stage.start(&json!({
            "strategy": { "canary": { "weight": "10%", "bake": "5m" } },
            "deadline": "30m",
            "undecided": { "noData": otherwise },
        }));
        for _ in 0..28 {
            stage.next();
            assert_eq!(stage.live(), Live::with("1", "2", 0.1), "blind, it neither advances nor gives up");
        }
        for _ in 0..4 {
            stage.next();
        }
        assert_eq!((stage.phase().as_str(), stage.live()), (phase, live));
    }
}

#[test]
fn a_canary_without_metrics_is_not_a_canary_without_errors() {
    let mut stage = Stage::set_up(6);
    stage.start(&json!({ "strategy": { "canary": { "weight": "10%", "bake": "5m" } }, "deadline": "1h" }));
    stage.next();
    for _ in 0..40 {
        stage.serve(Served { requests: 2160, errors: 9 }, Served::default());
        stage.next();
        assert_eq!(stage.live(), Live::with("1", "2", 0.1));
    }
}

#[test]
fn a_tick_delivered_twice_changes_nothing() {
    let mut stage = Stage::set_up(7);
    stage.start(&json!({}));
    for _ in 0..12 {
        stage.pass(&HEALTHY);
        let before = (stage.status(), stage.alias_revision());
        stage.tick();
        assert_eq!((stage.status(), stage.alias_revision()), before);
    }
}

#[test]
fn two_controllers_at_once_equal_one() {
    let shares = |together: usize| {
        let mut stage = Stage::set_up(7);
        stage.start(&json!({}));
        let mut shares = Vec::new();
        for _ in 0..15 {
            stage.serve_as_routed(&HEALTHY);
            stage.minute = stage.minute.plus(1);
            stage.tick_together(together);
            shares.push(stage.new_share());
        }
        shares
    };
    assert_eq!(shares(2), shares(1));
}

#[test]
fn somebody_elses_weights_end_it_and_are_left_alone() {
    for (taken, running) in [(Live::only("3"), true), (Live::with("1", "3", 0.5), true), (Live::only("3"), false)] {
        let mut stage = Stage::set_up(8);
        stage.cloud.publish("checkout", "somebody else's");
        stage.start(&json!({}));
        if running {
            stage.pass_until(&HEALTHY, 5, |phase| phase == "baking");
        }
        stage.cloud.set_alias("checkout", "live", &taken);
        let revision = stage.alias_revision();
        for _ in 0..3 {
            stage.next();
        }
        assert_eq!((stage.phase().as_str(), stage.live()), ("superseded", taken));
        assert_eq!(stage.alias_revision(), revision, "nothing was written");
    }
}

#[test]
fn one_switch_turns_every_writer_off() {
    let mut stage = Stage::set_up(10);
    let mut environment = stage.environment();
    environment["COALMINE_MODE"] = "observe".into();
    stage.cloud.create_bootstrap("observing-tick", "tick", &environment);
    stage.start(&json!({}));
    let revision = stage.alias_revision();
    stage.minute = stage.minute.plus(1);
    stage.cloud.invoke("observing-tick", &stage.tick_event()).unwrap();
    assert_eq!((stage.live(), stage.alias_revision()), (Live::only("1"), revision));
}

#[test]
fn observe_mode_decides_and_moves_nothing() {
    let mut stage = Stage::set_up(9);
    let revision = stage.alias_revision();
    stage.start(&json!({ "mode": "observe" }));
    for _ in 0..5 {
        stage.pass(&BROKEN);
    }
    assert_eq!((stage.live(), stage.alias_revision()), (Live::only("1"), revision));
}
