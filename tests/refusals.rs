//! Bad input: every message word for word, nothing written, no weight moved.

use serde_json::{Value, json};

use crate::harness::{Live, Served, Stage};

/// Path and message of every error of an answer.
fn errors(answer: &Value) -> Vec<(&str, &str)> {
    let errors = answer["errors"].as_array().unwrap_or_else(|| panic!("no errors in {answer:#}"));
    errors.iter().map(|error| (error["path"].as_str().unwrap(), error["message"].as_str().unwrap())).collect()
}

/// Starts rollouts that must be refused.
fn refused(stage: &Stage, rows: &[(Value, &[(&str, &str)])]) {
    let before = (stage.items(), stage.alias_revision());
    for (fields, expected) in rows {
        let answer = stage.command(&json!({ "command": "start", "spec": stage.spec(fields) }));
        assert_eq!(errors(&answer), *expected, "{fields}");
        assert_eq!((stage.items(), stage.alias_revision()), before, "something was written for {fields}");
    }
}

#[test]
fn a_spec_that_cannot_be_is_refused_with_all_its_problems() {
    let stage = Stage::set_up(51);
    refused(
        &stage,
        &[
            (json!({ "deadlin": "2h" }), &[("deadlin", "unknown field `deadlin`; did you mean `deadline`?")]),
            (
                json!({ "checks": [] }),
                &[(
                    "checks",
                    "is empty, so nothing would be compared; leave `checks` out for the default (errors and latency), or \
                     write `mode: observe` in a check",
                )],
            ),
            (
                json!({ "strategy": { "steps": [{ "weight": "50%", "bake": "5m" }, { "weight": "25%", "bake": "5m" }] } }),
                &[(
                    "strategy.steps[1].weight",
                    "`25%` is not more than the step before it (`50%`); weights rise from step to step",
                )],
            ),
            (
                json!({ "strategy": { "canary": { "weight": "150%", "bake": "5m" } }, "deadline": "soon" }),
                &[
                    ("strategy.canary.weight", "`150%` is more than 100%; a weight is between 0% and 100%"),
                    ("deadline", "`soon` is not a duration; write it as `90s`, `5m`, `1h30m` or `2d`"),
                ],
            ),
        ],
    );
}

#[test]
fn a_target_that_is_not_there_or_not_ready_is_refused() {
    let stage = Stage::set_up(52);
    let broken = stage.cloud.publish_broken("checkout");
    let target =
        |function: &str, alias: &str| json!({ "target": { "lambda": { "function": function, "alias": alias } } });
    refused(
        &stage,
        &[
            (target("chekout", "live"), &[("target", "function chekout does not exist")]),
            (target("checkout", "prod"), &[("target", "function checkout has no alias prod")]),
            (json!({ "version": "9" }), &[("version", "function checkout has no version 9")]),
            (
                json!({ "version": broken }),
                &[(
                    "version",
                    "v3 can take no traffic: its state is Failed: Worker init failed: No module named 'gone'",
                )],
            ),
            (
                json!({ "target": { "lambda": { "function": "checkout", "alias": "live", "owner": "codedeploy" } } }),
                &[(
                    "target.lambda.owner",
                    "CodeDeploy owns the weights: its deployment's rollout opens by itself, with the deployment's hook or \
                     event. Start nothing, or use `mode: observe` to watch an alias without either",
                )],
            ),
        ],
    );
}

#[test]
fn an_alias_without_a_number_is_refused() {
    let stage = Stage::set_up(62);
    stage.cloud.set_alias("checkout", "live", &Live::only("$LATEST"));
    let message = "alias checkout:live points to $LATEST; weights need published versions on both sides: point it to a \
                   number first";
    refused(&stage, &[(json!({}), &[("target.lambda.alias", message)])]);
}

#[test]
fn an_alias_with_somebody_elses_weights_is_refused() {
    let stage = Stage::set_up(53);
    stage.cloud.set_alias("checkout", "live", &Live::with("1", "2", 0.1));
    refused(
        &stage,
        &[(
            json!({}),
            &[(
                "target.lambda.alias",
                "alias checkout:live is already weighted (v1 with 10 % on v2) and no rollout did that; put \
           it on one version first: aws lambda update-alias --function-name checkout --name live --function-version 1 \
           --routing-config AdditionalVersionWeights={}",
            )],
        )],
    );
}

#[test]
fn an_alarm_that_is_red_or_unknown_before_the_start_is_refused() {
    let stage = Stage::set_up(54);
    stage.cloud.create_alarm("checkout-5xx");
    stage.cloud.create_alarm("checkout-slow");
    stage.cloud.set_alarm("checkout-5xx", "ALARM");
    refused(
        &stage,
        &[(
            json!({ "alarms": ["checkout-slow", "checkout-5xx", "chekout-slow"] }),
            &[
                (
                    "alarms.names[1]",
                    "alarm checkout-5xx is in ALARM already, so it could not tell whether this release does harm; \
              wait until it is OK, or set `alarms.alreadyRed: judge` to let it count only once it has been OK",
                ),
                (
                    "alarms.names[2]",
                    "there is no alarm chekout-slow in this account and region, neither metric nor composite",
                ),
            ],
        )],
    );
    let judged = json!({ "alarms": { "names": ["checkout-5xx"], "alreadyRed": "judge" } });
    assert_eq!(stage.start(&judged)["alarmsMuted"], json!(["checkout-5xx"]));
}

#[test]
fn a_deadline_that_the_proof_cannot_meet_is_refused() {
    let stage = Stage::set_up(55);
    refused(
        &stage,
        &[(
            json!({ "deadline": "20m" }),
            &[(
                "deadline",
                "at 2,400 requests a minute, 0.42 % of them failing, the proof takes about 22m 40s (5 %: 10m 20s, 25 %: 6m 10s, \
             50 %: 6m 10s), longer than the deadline of 20m. What would do: a deadline of at least 22m 40s; `settle: none`, \
             which goes on before the newest minutes are read (about 19m 30s); a larger weight, such as a single step of \
             50 % (about 7m 10s); `advance: unlessHarm`, which goes on without a proof (no tolerance up to 5 points can be \
             proven in time)",
            )],
        )],
    );
}

#[test]
fn an_alias_that_the_traffic_bypasses_is_refused() {
    let stage = Stage::without_history(56);
    for ago in 1..=62 {
        stage.put_bypassing(stage.minute.plus(-ago), Served { requests: 100, errors: 0 });
    }
    refused(
        &stage,
        &[(
            json!({}),
            &[(
                "target.lambda.alias",
                "alias live of checkout got none of the 6,000 invocations of the last hour: they use another alias or the \
                 function's ARN without alias, so a shift would move nothing. Point the callers at checkout:live",
            )],
        )],
    );
}

#[test]
fn a_second_rollout_is_refused_where_the_spec_says_so() {
    let stage = Stage::set_up(57);
    stage.start(&json!({ "newer": "refuse" }));
    stage.cloud.publish("checkout", "newer still");
    refused(
        &stage,
        &[
            (
                json!({ "name": "other", "version": "3" }),
                &[(
                    "newer",
                    "rollout it (v1 to v2) is in progress on checkout:live, and `newer: refuse` allows no second one; \
               abort it first",
                )],
            ),
            (
                json!({ "name": "other" }),
                &[("version", "rollout it (v1 to v2) is in progress on checkout:live: it rolls out the same version")],
            ),
            (
                json!({ "deadline": "3h" }),
                &[("name", "a rollout it exists with another spec or version (v1 to v2); give this one another name")],
            ),
        ],
    );
}

#[test]
fn a_command_that_makes_no_sense_is_refused() {
    let stage = Stage::set_up(58);
    let before = (stage.items(), stage.alias_revision());
    let list = "start, check, pause, resume, approve, promote, abort, status, minutes, list, deployments";
    for (function, event, path, message) in [
        ("command", json!([]), "", "the request is not a JSON object; send {\"command\": ..., ...}".to_owned()),
        ("command", json!({}), "command", format!("missing; it is one of {list}")),
        (
            "command",
            json!({ "command": "abbort" }),
            "command",
            "unknown command `abbort`; did you mean `abort`?".to_owned(),
        ),
        ("command", json!({ "command": "fly" }), "command", format!("unknown command `fly`; it is one of {list}")),
        ("command", json!({ "command": "start" }), "spec", "missing; start needs the rollout spec".to_owned()),
        (
            "command",
            json!({ "command": "abort" }),
            "rollout",
            "missing; name the rollout, as `list` shows it".to_owned(),
        ),
        (
            "command",
            json!({ "command": "status", "rollout": "none" }),
            "rollout",
            "there is no rollout none; `list` shows the active ones".to_owned(),
        ),
        (
            "abort",
            json!({ "command": "promote", "rollout": "it" }),
            "command",
            "`promote` is not for this function, which only aborts and pauses; ask the command function".to_owned(),
        ),
        (
            "abort",
            json!({ "command": "start", "spec": stage.spec(&json!({})) }),
            "command",
            "`start` is not for this function, which only aborts and pauses; ask the command function".to_owned(),
        ),
    ] {
        let answer = stage.invoke(function, &event);
        assert_eq!(errors(&answer), [(path, message.as_str())], "{function} {event}");
    }
    assert_eq!((stage.items(), stage.alias_revision()), before);
}

#[test]
fn an_event_of_an_unknown_shape_is_an_error_and_touches_nothing() {
    let mut stage = Stage::set_up(59);
    stage.start(&json!({}));
    stage.next();
    let before = (stage.items(), stage.alias_revision());
    let takes_tick = "this function takes an EventBridge scheduled event";
    let takes_alarm = "this function takes a CloudWatch alarm's state change, from EventBridge or as an alarm action";
    for (function, event, message) in [
        ("tick", json!({}), format!("{takes_tick}; in this event `source` is missing. Nothing was done")),
        (
            "tick",
            json!({ "source": "aws.s3" }),
            format!(
                "{takes_tick}; in this event `source` is `aws.s3` where `aws.events` is expected. Nothing was done"
            ),
        ),
        ("alarm", json!("red"), format!("{takes_alarm}; in this event `source` is missing. Nothing was done")),
        (
            "alarm",
            stage.tick_event(),
            format!(
                "{takes_alarm}; in this event `source` is `aws.events` where `aws.cloudwatch` is expected. Nothing was done"
            ),
        ),
    ] {
        let error = stage.try_invoke(function, &event).unwrap_err();
        assert_eq!(error, json!({ "errorType": "UnknownEvent", "errorMessage": message }));
    }
    assert_eq!((stage.items(), stage.alias_revision()), before);
}

#[test]
fn a_tick_that_comes_too_late_is_dropped_and_says_so() {
    let stage = Stage::set_up(60);
    stage.start(&json!({}));
    let before = stage.items();
    let mut event = stage.tick_event();
    event["time"] = "2026-01-01T00:00:00Z".into();
    let answer = stage.invoke("tick", &event);
    let why = answer["dropped"].as_str().unwrap();
    assert!(why.starts_with("the event of 2026-01-01T00:00:00Z is ") && why.ends_with("dropped after 2m"), "{why}");
    assert_eq!((stage.items(), stage.live()), (before, Live::only("1")));
}

#[test]
fn a_function_that_is_set_up_wrongly_does_not_start() {
    let stage = Stage::set_up(61);
    for (name, handler, environment) in [
        ("no-table", "tick", json!({})),
        ("no-such-handler", "tock", json!({ "COALMINE_TABLE": "coalmine" })),
        ("no-such-mode", "command", json!({ "COALMINE_TABLE": "coalmine", "COALMINE_MODE": "dry-run" })),
    ] {
        stage.cloud.create_bootstrap(name, handler, &environment);
        let error = stage.cloud.invoke(name, &stage.tick_event()).unwrap_err();
        assert!(error["errorType"].as_str().is_some_and(|kind| kind.starts_with("Runtime.")), "{name}: {error}");
    }
}
