//! The life of a `Custom::Rollout`: the real function, and a stand-in for the place where CloudFormation takes answers.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::{Answer, Live, Server, Stage, Traffic};

const HEALTHY: Traffic = Traffic { requests: 2400, old_fails: 0.004, new_fails: 0.004 };
const BROKEN: Traffic = Traffic { new_fails: 0.2, ..HEALTHY };

const ROLLOUT: &str = "arn:aws:lambda:us-east-1:000000000000:function:coalmine-resource";

/// CloudFormation with a stack of one resource.
struct Stack {
    stage: Stage,
    answers: Arc<Mutex<Vec<Value>>>,
    place: Server,
    requests: usize,
    properties: Value,
    physical: Value,
}

impl Stack {
    fn set_up(seed: u64) -> Self {
        let answers: Arc<Mutex<Vec<Value>>> = Arc::default();
        let taken = Arc::clone(&answers);
        let place = Server::start(move |received| {
            assert_eq!((received.method.as_str(), received.header("content-type")), ("PUT", Some("")));
            assert!(received.body.len() <= 4096, "{}", received.text());
            taken.lock().unwrap().push(serde_json::from_str(received.text()).unwrap());
            Answer::Of { status: 200, content_type: "application/xml", body: String::new() }
        });
        let mut stage = Stage::set_up(seed);
        stage.rollout = "checkout-2".to_owned();
        Self { stage, answers, place, requests: 0, properties: Value::Null, physical: Value::Null }
    }

    /// CloudFormation makes a text of every value.
    fn properties(version: &str, wait: bool) -> Value {
        json!({
            "ServiceToken": ROLLOUT,
            "Function": "checkout", "Alias": "live", "Version": version, "Wait": wait.to_string(),
            "Spec": {
                "checks": [{ "errors": { "tolerate": "0.5pt" } }], "after": { "watch": "5m" },
                "strategy": { "canary": { "weight": "20%", "bake": "5m" } },
            },
        })
    }

    fn event(&self, kind: &str, properties: &Value) -> Value {
        let mut event = json!({
            "RequestType": kind, "RequestId": format!("request-{}", self.requests), "ResourceType": "Custom::Rollout",
            "StackId": "arn:aws:cloudformation:us-east-1:000000000000:stack/shop/51af3dc0", "LogicalResourceId": "Rollout",
            "ResponseURL": format!("http://127.0.0.1:{}/key?X-Amz-Signature=secret", self.place.port()),
            "ResourceProperties": properties,
        });
        if kind != "Create" {
            event["PhysicalResourceId"] = self.physical.clone();
        }
        if kind == "Update" {
            event["OldResourceProperties"] = self.properties.clone();
        }
        event
    }

    /// Asks, and asks the same once more, as Lambda may.
    fn ask(&mut self, kind: &str, properties: Value) {
        self.requests += 1;
        let event = self.event(kind, &properties);
        for _ in 0..2 {
            self.stage.invoke("resource", &event);
        }
        self.properties = properties;
    }

    /// The only answer to the last request, if there is one.
    fn answer(&mut self) -> Option<Value> {
        let name = format!("request-{}", self.requests);
        let answers = self.answers.lock().unwrap().clone();
        let to_this: Vec<&Value> = answers.iter().filter(|answer| answer["RequestId"] == name).collect();
        assert!(to_this.len() <= 1, "{to_this:?}");
        let answer = (*to_this.first()?).clone();
        assert_eq!((&answer["LogicalResourceId"], answer["StackId"].is_string()), (&json!("Rollout"), true));
        if self.physical.is_null() {
            self.physical = answer["PhysicalResourceId"].clone();
        }
        assert_eq!(answer["PhysicalResourceId"], self.physical, "another name would have the former one deleted");
        Some(answer)
    }

    /// The version that it was answered with.
    fn version(&mut self) -> String {
        let answer = self.answer().expect("there is an answer");
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
        answer["Data"]["Version"].as_str().unwrap().to_owned()
    }

    fn pass_until_answered(&mut self, traffic: &Traffic) -> Value {
        for _ in 0..60 {
            if let Some(answer) = self.answer() {
                return answer;
            }
            self.stage.pass(traffic);
        }
        panic!("no answer: {:#}", self.stage.status());
    }
}

#[test]
fn a_stack_waits_for_a_good_version_and_then_has_it() {
    let mut stack = Stack::set_up(81);
    stack.ask("Create", Stack::properties("1", true));
    assert_eq!(stack.version(), "1");
    stack.ask("Update", Stack::properties("2", true));
    assert_eq!(stack.answer(), None);
    let answer = stack.pass_until_answered(&HEALTHY);
    assert_eq!(answer["Data"], json!({ "Version": "2", "Rollout": "checkout-2" }), "{answer}");
    assert_eq!((stack.stage.phase().as_str(), stack.stage.live()), ("promoted", Live::only("2")));
    let by = &stack.stage.status()["history"][0]["why"]["by"];
    assert_eq!(by, "CloudFormation stack shop");
    stack.ask("Delete", Stack::properties("2", true));
    assert_eq!(stack.version(), "");
}

#[test]
fn a_bad_version_fails_the_stack_and_its_rollback_shifts_nothing() {
    let mut stack = Stack::set_up(82);
    stack.ask("Create", Stack::properties("1", true));
    stack.ask("Update", Stack::properties("2", true));
    let answer = stack.pass_until_answered(&BROKEN);
    assert_eq!((&answer["Status"], stack.stage.live()), (&json!("FAILED"), Live::only("1")), "{answer}");
    let reason = answer["Reason"].as_str().unwrap();
    assert!(reason.starts_with("rollout checkout-2 ") && reason.contains("of new requests failed"), "{reason}");
    let revision = stack.stage.alias_revision();
    stack.ask("Update", Stack::properties("1", true));
    assert_eq!(stack.version(), "1");
    (0..8).for_each(|_| drop(stack.stage.pass(&HEALTHY)));
    assert_eq!(stack.stage.alias_revision(), revision, "no second shift");
}

#[test]
fn a_stack_that_does_not_wait_is_answered_at_once_and_its_deletion_takes_the_weights_away() {
    let mut stack = Stack::set_up(83);
    stack.ask("Create", Stack::properties("1", false));
    stack.ask("Update", Stack::properties("2", false));
    assert_eq!(stack.version(), "1");
    stack.stage.pass_until(&HEALTHY, 5, |phase| phase == "baking");
    assert_eq!(stack.stage.live(), Live::with("1", "2", 0.2));
    stack.ask("Delete", Stack::properties("2", false));
    assert_eq!((stack.version().as_str(), stack.stage.live()), ("", Live::only("1")));
    // The address that answers are sent to is signed: whoever has it may answer.
    for function in ["coalmine-resource", "coalmine-tick"] {
        let log = stack.stage.cloud.log(function);
        assert!(log.contains("shop/Rollout") || function == "coalmine-tick", "{log}");
        assert!(!log.contains("X-Amz-Signature"), "{log}");
    }
}

#[test]
fn wrong_properties_are_told_by_name_and_never_keep_a_stack_from_being_deleted() {
    let mut stack = Stack::set_up(84);
    stack.ask("Create", json!({ "ServiceToken": "x", "Function": "checkout", "Aliass": "live", "Version": "$LATEST" }));
    // Asked twice, it is answered twice: nothing was kept.
    let answers = stack.answers.lock().unwrap().clone();
    let expected = "Aliass: is no property of a Custom::Rollout; did you mean `Alias`?; Alias: is missing; it is the alias' \
                    name; Version: `$LATEST` is not the number of a published version; use the attribute `Version` of one";
    assert_eq!((answers.len(), &answers[0], &answers[0]["Reason"]), (2, &answers[1], &json!(expected)));
    stack.physical = answers[0]["PhysicalResourceId"].clone();
    stack.requests += 1;
    let event = stack.event("Delete", &stack.properties);
    stack.stage.invoke("resource", &event);
    assert_eq!(stack.version(), "");
    assert!(stack.stage.items().is_empty());
}

/// CloudFormation itself, as far as it is emulated: it asks the resource, takes its answer and writes the alias.
#[test]
fn cloudformation_only_ever_writes_what_is_live() {
    let mut stage = Stage::set_up(85);
    stage.rollout = "checkout-2".to_owned();
    stage.deploy("resource");
    stage.cloud.delete_alias("checkout", "live");
    let template = |version: &str| {
        let mut properties = Stack::properties(version, false);
        properties["Wait"] = json!(false);
        json!({ "Resources": {
            "Rollout": { "Type": "Custom::Rollout", "Properties": properties },
            "Live": { "Type": "AWS::Lambda::Alias", "Properties": {
                "Name": "live", "FunctionName": "checkout", "FunctionVersion": { "Fn::GetAtt": ["Rollout", "Version"] },
            } },
        } })
    };
    let ask = |stage: &Stage, action: &str, version: &str| stage.cloud.stack(action, "shop", &template(version));
    assert_eq!(ask(&stage, "CreateStack", "1").as_deref(), Some("CREATE_COMPLETE"));
    assert_eq!(stage.live(), Live::only("1"), "the first creation");

    assert_eq!(ask(&stage, "UpdateStack", "2").as_deref(), Some("UPDATE_COMPLETE"));
    assert_eq!(stage.live(), Live::only("1"), "not the version of the template");
    stage.pass_until(&HEALTHY, 5, |phase| phase == "baking");
    assert_eq!(stage.live(), Live::with("1", "2", 0.2));
    assert_eq!(stage.pass_until_ended(&HEALTHY, 60), "promoted");

    let newer = stage.cloud.publish("checkout", "newer");
    stage.cloud.wait_for_state("checkout", &newer, "Active");
    assert_eq!((newer.as_str(), stage.live()), ("3", Live::only("2")));
    let revision = stage.alias_revision();
    assert_eq!(ask(&stage, "UpdateStack", "3").as_deref(), Some("UPDATE_COMPLETE"));
    assert_ne!(stage.alias_revision(), revision, "for CloudFormation it had version 1");
    assert_eq!(stage.live(), Live::only("2"));
    stage.rollout = "checkout-3".to_owned();
    for _ in 0..3 {
        stage.next();
    }
    assert_eq!(stage.live(), Live::with("2", "3", 0.2), "it began when the alias was written");
    assert_eq!(ask(&stage, "DeleteStack", "3"), None);
}
