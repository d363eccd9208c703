use super::asked::{is_nothing, running, sentences};
use super::*;

/// A rollout as the table has it, in this phase.
fn rollout(phase: &Value) -> Rollout {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/rollout/golden.json");
    let mut stored: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    if !phase.is_null() {
        stored["phase"] = phase.clone();
    }
    serde_json::from_value(stored).unwrap()
}

const AT: &str = "2026-11-21T14:11:00Z";

#[test]
fn the_first_line_says_where_it_stands_and_a_script_sees_it_in_the_exit_status() {
    let why = json!({ "kind": "abortedBy", "by": "mara", "reason": "" });
    let paused = |why: Value| json!({ "name": "paused", "held": { "step": { "step": 0, "from": "0%" } }, "since": AT, "until": AT, "then": "rollBack", "why": why });
    for (phase, first, exit) in [
        (Value::Null, "BAKING  checkout:live  v41 -> v42 at 5 %  (checkout-42)", None),
        (
            json!({ "name": "promoting", "from": "50%", "since": AT, "liveSince": AT }),
            "WATCHED  checkout:live  v41 -> v42 at 5 %  (checkout-42)",
            None,
        ),
        (
            json!({ "name": "promoted", "at": AT }),
            "PROMOTED  checkout:live  v41 -> v42  (checkout-42)",
            Some(Exit::Fine),
        ),
        (
            json!({ "name": "rolledBack", "at": AT, "why": why }),
            "ROLLED BACK  checkout:live  v41 -> v42  (checkout-42)",
            Some(Exit::Failed),
        ),
        (
            paused(json!({ "undecided": "tooLittleTraffic" })),
            "NEEDS YOU  checkout:live  v41 -> v42 at 5 %  (checkout-42)",
            Some(Exit::Undecided),
        ),
        (
            paused(json!({ "asked": { "by": "mara", "reason": "" } })),
            "PAUSED  checkout:live  v41 -> v42 at 5 %  (checkout-42)",
            None,
        ),
    ] {
        let rollout = rollout(&phase);
        let said = words::status(&rollout, "because");
        assert_eq!(said.lines().next(), Some(first));
        assert_eq!(ended(&rollout), exit, "{first}");
        let decides = said.contains(&format!("Decide by {AT}, else it rolls back:"));
        assert_eq!(decides, phase["name"] == "paused", "{said}");
    }
}

#[test]
fn the_list_begins_with_what_needs_somebody() {
    let one = |id: &str, phase: &str, message: &str| json!({ "id": id, "target": format!("{id}:live"), "phase": phase, "weight": "5%", "message": format!("rollout {id} {message}") });
    let answer = json!({ "rollouts": [
        one("cart", "baking", "bakes in step 1"),
        { "id": "old", "message": "cannot be read: written by a newer version" },
        one("search", "paused", "is paused until noon \u{1b}[2J"),
        one("zoo", "rollingBack", "is rolling back"),
    ]});
    assert_eq!(
        words::list(&answer),
        "! search  search:live      5%  is paused until noon \\u{1b}[2J\n\
         ! zoo     zoo:live         5%  is rolling back\n\
         ! old                          cannot be read: written by a newer version\n\
         > cart    cart:live        5%  bakes in step 1"
    );
    assert_eq!(words::list(&json!({ "rollouts": [] })), "no rollout is running");
}

#[test]
fn every_event_of_a_history_is_a_line() {
    let rollout = rollout(&Value::Null);
    let said = words::history(&rollout);
    assert_eq!(said.lines().count(), rollout.history.len() + usize::from(said.starts_with('(')));
    for event in &rollout.history {
        assert!(said.contains(&event.at.to_string()), "{said}");
    }
}

#[test]
fn a_running_rollout_is_found_by_its_target_or_its_function() {
    let one = |id: &str, target: &str| json!({ "id": id, "target": target });
    let listed = json!({ "rollouts": [
        one("checkout-42", "checkout:live"), one("cart-7", "cart:live"), one("cart-8", "cart:beta"),
        one("web", "alb/blue+green"),
    ]});
    for (name, found) in [
        ("checkout", Some("checkout-42")),
        ("cart:beta", Some("cart-8")),
        ("alb/blue+green", Some("web")),
        ("check", None),
    ] {
        assert_eq!(running(&listed, name).unwrap().as_deref(), found);
    }
    let Err(Refused::Problems(several)) = running(&listed, "cart") else { panic!("one of two was taken") };
    assert_eq!(several, ["cart has several rollouts: cart-7, cart-8; name one of them"]);
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_without_control_characters() {
    let answer = json!({ "errors": [
        { "path": "checks[0].errors", "message": "too \u{1b}[31mred" }, { "path": "", "message": "no table" },
    ]});
    assert_eq!(sentences(&answer, "errors"), ["checks[0].errors: too \\u{1b}[31mred", "no table"]);
    assert!(sentences(&json!({ "message": "fine" }), "errors").is_empty());
}

#[test]
fn undo_prints_what_a_shell_runs() {
    let input = json!({ "FunctionName": "it's" });
    let calls = [coalmine_aws::CliCall { service: "lambda", command: "update-alias", input }];
    let said = words::undo(&rollout(&Value::Null), &calls);
    assert_eq!(
        said,
        "# all traffic of checkout:live back to v41, without Coalmine\n\
         aws lambda update-alias --cli-input-json '{\"FunctionName\":\"it'\\''s\"}'"
    );
}

/// Whoever waits for a promotion must not take an answer of another kind for one.
#[test]
fn nothing_to_roll_out_is_what_says_so_and_no_answer_that_cannot_be_read() {
    assert!(is_nothing(&json!({ "message": "v1 is live already" })));
    for other in [json!({}), json!(null), json!({ "message": "so", "id": "a", "phase": { "name": "new" } })] {
        assert!(!is_nothing(&other), "{other}");
    }
}
