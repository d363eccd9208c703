//! Every file in `events/` through the real `bootstrap`.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Served, Stage};

const HANDLERS: [&str; 8] = ["tick", "command", "abort", "alarm", "hook", "resource", "report", "macro"];

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("events")
}

/// An event by its file's name.
pub fn event(name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(format!("{name}.json"))).expect("the event's file is there");
    serde_json::from_str(&text).expect("an event is JSON")
}

#[test]
fn every_event_gets_an_answer_from_the_function_it_is_for() {
    let token = "arn:aws:lambda:us-east-1:000000000000:function:coalmine-resource";
    let bucket = ("COALMINE_REPORTS_BUCKET", "releases".to_owned());
    let stage = Stage::told(21, vec![("COALMINE_SERVICE_TOKEN", token.to_owned()), bucket]);
    stage.put_history(Served { requests: 2400, errors: 10 });
    stage.cloud.create_alarm("checkout-5xx");
    for entry in std::fs::read_dir(folder()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let name = file.strip_suffix(".json").unwrap();
        let named = |handler: &&&str| name.split('-').next() == Some(**handler);
        let handler = HANDLERS.iter().find(named).unwrap();
        let mut event = event(name);
        if *handler == "resource" {
            // Nothing leaves this machine, and here nobody takes the answer: a later tick tries again.
            event["ResponseURL"] = "http://127.0.0.1:1/key".into();
        }
        let answer = stage.try_invoke(handler, &event);
        match (name, answer) {
            // Nobody in this AWS knows the deployments: what can be asked again is, and nothing is told that all is well.
            ("hook-codedeploy", answer) => {
                let answer = answer.unwrap();
                assert!(answer["hooks"][0]["waiting"].is_string(), "{answer:#}");
            }
            (news, answer) if news.starts_with("hook-news-") => {
                let answer = answer.unwrap();
                let did = answer["hooks"][0]["did"][0].as_str().unwrap_or_default();
                assert!(did.starts_with("not judged: there is no CodeDeploy deployment"), "{news}: {answer:#}");
            }
            (hook, answer) if hook.starts_with("hook-ecs-") => ecs_is_answered(hook, &answer.unwrap()),
            (_, Ok(answer)) => assert!(answer.is_object(), "{name}: {answer}"),
            (_, Err(error)) => panic!("{name}: {error}"),
        }
    }
}

/// Traffic that is put back is not held up. Whoever has asked for long about what is not there is told no.
fn ecs_is_answered(name: &str, answer: &Value) {
    let allowed: &[&str] = match name {
        "hook-ecs-rollback" | "hook-ecs-rollback-of-tests" => &["SUCCEEDED"],
        "hook-ecs-again" => &["FAILED", "IN_PROGRESS"],
        _ => &["IN_PROGRESS"],
    };
    assert!(allowed.iter().any(|status| answer["hookStatus"] == *status), "{name}: {answer:#}");
    for (field, value) in event(name)["hookDetails"].as_object().into_iter().flatten() {
        assert_eq!(answer["hookDetails"][field], *value, "{name} gives back what it got");
    }
}
