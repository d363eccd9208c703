//! Every file in `events/` through the real `bootstrap`.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::Stage;

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
    let stage = Stage::set_up(21);
    stage.cloud.create_alarm("checkout-5xx");
    for entry in std::fs::read_dir(folder()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let name = file.strip_suffix(".json").unwrap();
        let named = |handler: &&&str| name.split('-').next() == Some(**handler);
        let handler = ["tick", "command", "abort", "alarm", "hook"].iter().find(named).unwrap();
        let answer = stage.try_invoke(handler, &event(name));
        match (name, answer) {
            ("hook-codedeploy", answer) => assert_eq!(answer.unwrap_err()["errorType"], "HooksNotConfigured"),
            ("hook-ecs", answer) => assert_eq!(answer, Ok(json!({ "hookStatus": "FAILED" }))),
            (_, Ok(answer)) => assert!(answer.is_object(), "{name}: {answer}"),
            (_, Err(error)) => panic!("{name}: {error}"),
        }
    }
}
