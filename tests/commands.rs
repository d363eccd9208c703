//! What people and pipelines ask for.

use serde_json::json;

use crate::harness::{Live, Stage, Traffic};

const HEALTHY: Traffic = Traffic { requests: 2400, old_fails: 0.004, new_fails: 0.004 };

#[test]
fn an_abort_takes_the_traffic_back_at_once() {
    for function in ["command", "abort"] {
        let mut stage = Stage::set_up(11);
        stage.start(&json!({}));
        stage.pass_until(&HEALTHY, 5, |phase| phase == "baking");
        let abort = json!({ "command": "abort", "rollout": "it", "by": "mara", "reason": "wrong totals" });
        let answer = stage.invoke(function, &abort);
        assert_eq!(stage.live(), Live::only("1"), "{answer}");
        stage.next();
        assert_eq!(stage.phase(), "rolledBack");
        let why = json!({ "kind": "abortedBy", "by": "mara", "reason": "wrong totals" });
        assert_eq!(stage.status()["phase"]["why"], why);
        // Asking for what is so already is no error.
        assert!(stage.invoke(function, &abort).get("errors").is_none());
    }
}

#[test]
fn a_pause_holds_the_weight_until_it_is_resumed() {
    let mut stage = Stage::set_up(12);
    stage.start(&json!({}));
    stage.pass_until(&HEALTHY, 5, |phase| phase == "baking");
    let paused = stage.invoke("abort", &json!({ "command": "pause", "rollout": "it", "reason": "wait" }));
    assert_eq!(paused["phase"]["name"], "paused", "{paused}");
    for _ in 0..30 {
        stage.pass(&HEALTHY);
        assert_eq!(stage.live(), Live::with("1", "2", 0.05));
    }
    let resumed = stage.command(&json!({ "command": "resume", "rollout": "it" }));
    assert!(resumed.get("errors").is_none(), "{resumed}");
    assert_eq!(stage.pass_until_ended(&HEALTHY, 120), "promoted");
}

#[test]
fn a_paused_rollout_still_goes_back_when_harm_is_proven() {
    let mut stage = Stage::set_up(13);
    stage.start(&json!({ "strategy": { "canary": { "weight": "25%", "bake": "10m" } } }));
    stage.pass_until(&HEALTHY, 5, |phase| phase == "baking");
    stage.command(&json!({ "command": "pause", "rollout": "it" }));
    let broken = Traffic { new_fails: 0.2, ..HEALTHY };
    assert_eq!(stage.pass_until_ended(&broken, 30), "rolledBack");
    assert_eq!(stage.live(), Live::only("1"));
}

#[test]
fn a_promotion_by_hand_needs_no_proof() {
    let mut stage = Stage::set_up(14);
    stage.start(&json!({ "after": { "watch": "5m" } }));
    stage.pass_until(&HEALTHY, 5, |phase| phase == "baking");
    stage.command(&json!({ "command": "promote", "rollout": "it", "by": "mara", "reason": "fixes the outage" }));
    assert_eq!(stage.live(), Live::only("2"));
    assert_eq!(stage.pass_until_ended(&HEALTHY, 10), "promoted");
    // Those that have ended are told where they are asked for, by when.
    let listed = |more: &str| stage.command(&json!({ "command": "list", "since": more }))["rollouts"].clone();
    assert_eq!((&listed("1h")[0]["id"], &listed("1h")[0]["phase"]), (&json!("it"), &json!("promoted")));
    assert_eq!(listed("2099-01-01T00:00:00Z"), json!([]));
    // What a start would come to is answered, and nothing is written.
    let items = stage.items().len();
    let next = stage.spec(&json!({ "name": "next", "version": "1" }));
    let would = stage.command(&json!({ "command": "check", "spec": next }));
    assert_eq!(would["message"], "rollout next would begin: v2 -> v1. It was only looked at");
    assert_eq!(stage.items().len(), items);
}

#[test]
fn the_list_shows_what_is_active_and_a_repeated_start_is_the_same_rollout() {
    let stage = Stage::set_up(15);
    let list = || stage.command(&json!({ "command": "list" }))["rollouts"].as_array().unwrap().clone();
    assert!(list().is_empty());
    let first = stage.start(&json!({}));
    let again = stage.start(&json!({}));
    assert_eq!((&first["revision"], &first["startedAt"]), (&again["revision"], &again["startedAt"]));
    assert_eq!(list().len(), 1);
    assert_eq!((&list()[0]["id"], &list()[0]["target"]), (&json!("it"), &json!("checkout:live")));
}

#[test]
fn the_version_that_is_live_already_is_nothing_to_roll_out() {
    let stage = Stage::set_up(16);
    let answer = stage.start(&json!({ "version": "1" }));
    assert_eq!(answer, json!({ "message": "v1 is live on checkout:live already: nothing to roll out" }));
    assert!(stage.items().is_empty());
}
