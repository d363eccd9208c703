//! What properties may say, and what is answered.

use serde_json::{Value, json};

use super::answer::Answer;
use super::macros::Macro;
use super::resource::{Caller, Kind, Resource, Step};
use super::wish::Wish;
use crate::sim::samples;
use crate::spec::{Target, Version};
use crate::units::Span;

fn with(more: &Value) -> Value {
    let mut properties = json!({ "ServiceToken": "arn:aws:lambda:eu-west-1:111122223333:function:coalmine-Resource",
        "Function": "checkout", "Alias": "live", "Version": "42" });
    for (name, value) in more.as_object().unwrap() {
        properties[name] = value.clone();
    }
    properties
}

fn read(more: &Value) -> Wish {
    Wish::read(&with(more)).unwrap()
}

fn refused(properties: &Value) -> Vec<String> {
    Wish::read(properties).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn names_and_arns_are_read_and_the_rest_has_defaults() {
    let arn = "arn:aws:lambda:eu-west-1:111122223333:function:checkout";
    for (more, waits) in [
        (json!({}), false),
        (json!({ "Function": arn, "Version": format!("{arn}:42") }), false),
        (json!({ "Function": format!("{arn}:live"), "Wait": "true", "Triggers": { "a": ["b"] } }), true),
        (json!({ "Wait": true, "Version": 42 }), true),
    ] {
        let wish = read(&more);
        assert_eq!((wish.target().as_str(), &wish.version), ("checkout:live", &Version("42".to_owned())), "{more}");
        assert_eq!((wish.waits, wish.timeout, wish.spec(None).is_ok()), (waits, Span::from_minutes(60), true));
    }
}

#[test]
fn everything_wrong_is_told_at_once_by_its_name() {
    assert_eq!(
        refused(&Value::Null),
        [
            "Function: is missing; it is the function's name or ARN",
            "Alias: is missing; it is the alias' name",
            "Version: is missing; it is the number of a published version",
        ]
    );
    for (more, wrong) in [
        (
            json!({ "Function": "check out" }),
            "Function: `check out` is not a function's name or ARN; use the Ref of the function",
        ),
        (json!({ "Function": ["checkout"] }), "Function: is a list where a text is expected"),
        (
            json!({ "Alias": "checkout:live" }),
            "Alias: `checkout:live` is not an alias' name; write it without the function: live",
        ),
        (json!({ "Alias": "42" }), "Alias: `42` is not an alias' name; write it without the function: live"),
        (
            json!({ "Version": "$LATEST" }),
            "Version: `$LATEST` is not the number of a published version; use the attribute `Version` of one",
        ),
        (
            json!({ "Version": "007" }),
            "Version: `007` is not the number of a published version; use the attribute `Version` of one",
        ),
        (json!({ "Version": null }), "Version: has no value"),
        (json!({ "Wait": "yes" }), "Wait: `yes` is neither true nor false"),
        (json!({ "ServiceTimeout": "3601" }), "ServiceTimeout: `3601` is not a number of seconds from 1 to 3600"),
        (
            json!({ "Wait": "true", "ServiceTimeout": "599" }),
            "ServiceTimeout: no verdict comes within 9m 59s; with `Wait` it is 10m at least",
        ),
        (json!({ "wait": "true" }), "wait: is no property of a Custom::Rollout; did you mean `Wait`?"),
        (
            json!({ "Weights": "5" }),
            "Weights: is no property of a Custom::Rollout; it has Function, Alias, Version, Wait, Spec, Triggers",
        ),
        (json!({ "Spec": ["errors"] }), "Spec: is neither the text of a spec nor its fields"),
        (json!({ "Spec": { "target": { "lambda": {} } } }), "Spec.target: `Function` and `Alias` say it; leave it out"),
        (json!({ "Spec": { "version": "41" } }), "Spec.version: `Version` says it; leave it out"),
        (
            json!({ "Spec": { "name": "it" } }),
            "Spec.name: a rollout of a stack is named after its function and version; leave it out",
        ),
        (
            json!({ "Spec": { "mode": "observe" } }),
            "Spec.mode: with `mode: observe` the new version would never go live; leave the Custom::Rollout out to watch a \
             stack's releases",
        ),
        (
            json!({ "Wait": "true", "Spec": { "strategy": { "linear": { "increment": "10%", "every": "10m" } }, "deadline": "4h" } }),
            "Wait: the steps take 1h 30m at least, and with this `ServiceTimeout` a stack waits for 55m; use shorter steps, or \
             `Wait: false`",
        ),
        (json!({ "Spec": "x".repeat(70_000) }), "Spec: has 70002 bytes; at most 65536 are read"),
    ] {
        assert_eq!(refused(&with(&more)), [wrong], "{more}");
    }
}

/// CloudFormation makes a text of every number and flag.
#[test]
fn a_spec_means_the_same_as_text_and_as_fields_of_texts() {
    let fields = json!({
        "alarms": ["red"], "deadline": "50m",
        "tests": [{ "invoke": { "payload": "hello", "times": "3" } }],
        "strategy": { "steps": [{ "weight": "5%", "bake": "5m" }] },
        "release": { "ticket": "1234" },
    });
    let text = "alarms: [red]\ndeadline: 50m\ntests: [{ invoke: { payload: hello, times: 3 } }]\n\
                strategy: { steps: [{ weight: 5%, bake: 5m }] }\nrelease: { ticket: \"1234\" }\n";
    let spec = |spec: Value| read(&json!({ "Spec": spec })).spec(Some("checkout-42")).unwrap().spec;
    assert_eq!(spec(fields.clone()), spec(json!(text)));
    let Target::Lambda(target) = spec(fields).target else { panic!("not a load balancer") };
    assert_eq!((target.function.as_str(), target.alias.as_str()), ("checkout", "live"));
    assert_eq!(refused(&with(&json!({ "Spec": "deadline: soon" })))[0].split(": ").nth(1).unwrap(), "Spec.deadline");
}

#[test]
fn a_rollouts_name_fits_however_long_the_functions_is() {
    assert_eq!(read(&json!({})).rollout_id(None), "checkout-42");
    let again = read(&json!({})).rollout_id(Some("request-1"));
    assert!(again.starts_with("checkout-42-") && again != read(&json!({})).rollout_id(Some("request-2")), "{again}");
    let longest = read(&json!({ "Function": "f".repeat(64), "Version": "9".repeat(18) }));
    for request in [None, Some("request-1")] {
        let id = longest.rollout_id(request);
        assert_eq!((id.len(), longest.spec(Some(&id)).is_ok()), (64, true), "{id}");
    }
}

fn caller() -> Caller {
    Caller {
        stack: format!("arn:aws:cloudformation:eu-west-1:111122223333:stack/{}/51af3dc0", "s".repeat(128)),
        logical: "R".repeat(255),
        physical: format!("coalmine/{}/checkout:live", "R".repeat(255)),
        request: "5f5d6cc1-9c2e-4a52-8d1c-5a3a3a1f2a10".to_owned(),
        url: "https://bucket.s3.amazonaws.com/key?X-Amz-Signature=secret".to_owned(),
    }
}

#[test]
fn an_answer_fits_whatever_it_says() {
    for reason in ["no".to_owned(), "x".repeat(100_000), "\u{1f4a3}\"\\\u{7}".repeat(10_000)] {
        let body = Answer::Failed { reason }.body(&caller());
        assert!(body.len() <= 4096, "{}", body.len());
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&body["Status"], &body["RequestId"]), (&json!("FAILED"), &json!(caller().request)));
        assert!(!body["Reason"].as_str().unwrap().is_empty());
    }
    let body: Value = serde_json::from_str(&Answer::of(Version("42".to_owned()), None).body(&caller())).unwrap();
    assert_eq!((&body["Status"], &body["Data"]), (&json!("SUCCESS"), &json!({ "Version": "42", "Rollout": "" })));
}

/// Whoever has the address may answer.
#[test]
fn the_address_of_the_answer_is_not_shown() {
    assert!(!format!("{:?}", caller()).contains("secret"));
    assert_eq!(caller().stack_name(), "s".repeat(128));
}

#[test]
fn what_cannot_be_seen_fails_a_stack_in_time_and_never_keeps_it_from_being_deleted() {
    let update = samples::resource();
    let mut delete = update.clone();
    delete.asked.kind = Kind::Delete;
    let waiting = Resource { waits: true, ..update.clone() };
    let failed = Answer::Failed { reason: "no answer".to_owned() };
    let gone = Answer::Succeeded { version: None, rollout: None };
    for (resource, minutes, answer) in [(update.clone(), 10, &failed), (delete, 10, &gone), (waiting, 59, &failed)] {
        let at = |minutes: u64| samples::start() + Span::from_minutes(minutes);
        assert_eq!(resource.unseen("no answer", at(minutes - 1)), Step::Wait("no answer".to_owned()));
        assert_eq!(resource.unseen("no answer", at(minutes)), Step::Keep(answer.clone()));
        let answered = resource.answered(answer.clone());
        assert_eq!(answered.unseen("no answer", at(minutes)), Step::Send(answer.clone()));
        assert_eq!(answered.unseen("no answer", at(60)), Step::GiveUp);
        assert_eq!(Resource { sent: true, ..answered }.unseen("no answer", at(60)), Step::Done);
    }
    assert_eq!(update.refused("throttled", samples::start() + Span::from_minutes(1)), None);
    let told = update.refused("throttled", samples::start() + Span::from_minutes(2));
    assert_eq!(told, Some(Answer::Failed { reason: "throttled".to_owned() }));
}

#[test]
fn whatever_the_alias_comes_after_its_rollout_comes_after() {
    let alias = json!({
        "Type": "AWS::Lambda::Alias", "Condition": "InProduction", "DependsOn": ["Orders", "Rights"],
        "DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain", "Metadata": { "Coalmine": "on" },
        "Properties": { "FunctionName": "checkout", "Name": "live", "FunctionVersion": "42" },
    });
    let template = json!({ "Resources": { "Live": alias } });
    let done = Macro { service_token: "arn", params: &Value::Null }.apply(&template).unwrap();
    let rollout = &done.fragment["Resources"]["LiveRollout"];
    assert_eq!((&rollout["Condition"], &rollout["DependsOn"]), (&alias["Condition"], &alias["DependsOn"]));
    // Without its stack nobody would end it.
    assert_eq!((rollout.get("DeletionPolicy"), rollout.get("UpdateReplacePolicy")), (None, None));
}
