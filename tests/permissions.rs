//! What the functions ask of AWS that no other test has them ask: `tests/permissions.txt` names these.

use coalmine_core::units::Timestamp;
use serde_json::{Value, json};

use crate::events::event;
use crate::harness::{CANARY, Live, Mishap, Served, Stage, StageCodeDeploy};
use crate::hooks::{HEALTHY, succeeded};

/// The bucket that reports are put into, where a test makes one.
pub const REPORTS: &str = "reports-of-releases";

fn told() -> Vec<(&'static str, String)> {
    let topic = "arn:aws:sns:us-east-1:000000000000:releases";
    let told = [("COALMINE_EVENT_BUS", "default"), ("COALMINE_TOPIC_ARN", topic), ("COALMINE_REPORTS_BUCKET", REPORTS)];
    told.map(|(name, value)| (name, value.to_owned())).into()
}

/// A release that has run for so long that minutes of it are sealed, whose transitions are told to a bus and a topic.
pub fn long_release(seed: u64, alarm: &str) -> Stage {
    let mut stage = Stage::told(seed, told());
    stage.cloud.create_topic("releases");
    stage.cloud.create_alarm(alarm);
    stage.put_history(Served { requests: 2400, errors: 10 });
    let canary = json!({ "weight": "10%", "bake": "2h" });
    stage.start(&json!({ "alarms": [alarm], "strategy": { "canary": canary }, "deadline": "6h" }));
    for _ in 0..40 {
        stage.pass(&HEALTHY);
    }
    assert_eq!(stage.phase(), "baking");
    stage
}

pub fn fires(stage: &Stage, alarm: &str) -> Value {
    stage.cloud.set_alarm(alarm, "ALARM");
    let mut fires = event("alarm-eventbridge-metric-fires");
    fires["time"] = Timestamp::from_epoch_seconds(stage.minute.start().epoch_seconds() + 40).to_string().into();
    fires["detail"]["alarmName"] = alarm.into();
    stage.invoke("alarm", &fires)
}

#[test]
fn an_alarm_after_a_long_time_takes_the_traffic_back_and_tells_it() {
    let mut stage = long_release(71, "checkout-5xx");
    let answer = fires(&stage, "checkout-5xx");
    assert_eq!(answer["lines"][0]["faults"], Value::Null, "{answer:#}");
    assert_eq!(stage.live(), Live::only("1"));
    assert_eq!(stage.pass_until_ended(&HEALTHY, 3), "rolledBack");
}

#[test]
fn a_pause_and_an_abort_after_a_long_time_are_done_at_once_and_told() {
    let mut stage = long_release(72, "checkout-5xx");
    let asked = |command: &str| json!({ "command": command, "rollout": "it", "by": "ada", "reason": "a test" });
    let pause = stage.invoke("abort", &asked("pause"));
    assert_eq!(pause["phase"]["name"], "paused", "{pause:#}");
    stage.pass(&HEALTHY);
    let resumed = stage.command(&asked("resume"));
    assert_eq!(resumed["phase"]["name"], "baking", "{resumed:#}");
    let aborted = stage.invoke("abort", &asked("abort"));
    assert!(aborted.get("errors").is_none(), "{aborted:#}");
    assert_eq!(stage.live(), Live::only("1"));
    assert_eq!(stage.pass_until_ended(&HEALTHY, 3), "rolledBack");
}

#[test]
fn the_newest_version_is_found_and_tested_by_the_tick_before_it_gets_traffic() {
    let mut stage = Stage::set_up(73);
    let mut spec = stage.spec(&json!({ "tests": [{ "invoke": { "payload": { "ping": 1 } } }] }));
    spec.as_object_mut().unwrap().remove("version");
    let started = stage.start_spec(&spec);
    assert_eq!(started["canary"], "2", "{started:#}");
    assert_eq!(stage.pass_until(&HEALTHY, 3, |phase| phase == "baking"), "baking");
}

/// The hook is kept before anything else is done about it; what could not be asked then the next tick asks.
#[test]
fn a_deployment_that_could_not_be_read_is_taken_up_by_the_tick() {
    let mut stage = StageCodeDeploy::set_up(74);
    stage.tells_news = false;
    stage.codedeploy.break_down("GetDeployment", Mishap::Dropped);
    let id = stage.release(CANARY, [true, false]);
    assert_eq!(stage.answers(&id), []);
    stage.codedeploy.mend();
    stage.pass(&HEALTHY);
    assert_eq!(stage.answers(&id), [succeeded("BeforeAllowTraffic")]);
}
