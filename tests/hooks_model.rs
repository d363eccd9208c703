//! The fakes speak as the services' own models say, and a test in which anybody does not, fails.

use coalmine_core::units::Timestamp;
use serde_json::{Value, json};

use crate::harness::{CodeDeploy, FakeCodeDeploy, model};

/// A right exchange, with other fields.
fn exchange(fields: &Value) -> Value {
    let right = json!({
        "service": "codedeploy", "target": "CodeDeploy_20141006.GetDeployment",
        "contentType": "application/x-amz-json-1.1", "request": { "deploymentId": "d-1" },
        "status": 200, "answer": { "deploymentInfo": { "status": "InProgress", "createTime": 1.5, "startTime": null } },
    });
    crate::harness::with_fields(right, fields)
}

/// The same of another service's model.
fn of_ecs(fields: &Value) -> Value {
    let ecs = json!({ "service": "ecs", "target": "AmazonEC2ContainerServiceV20141113.DescribeServices" });
    crate::harness::with_fields(ecs, fields)
}

fn named(exchanges: &[(Value, Vec<&str>)]) {
    for (fields, wrong) in exchanges {
        assert_eq!(model::problems(&exchange(fields)), *wrong, "{fields}");
    }
}

#[test]
fn whatever_is_against_a_model_is_named_in_a_request() {
    let stop = "CodeDeploy_20141006.StopDeployment";
    named(&[
        (json!({}), vec![]),
        (json!({ "status": 400, "answer": { "__type": "ThrottlingException", "message": "Rate exceeded" } }), vec![]),
        (json!({ "status": 400, "answer": { "__type": "DeploymentDoesNotExistException", "message": "no" } }), vec![]),
        (json!({ "status": 0, "answer": null }), vec![]),
        (
            json!({ "contentType": "application/json", "target": "CodeDeploy_20141007.GetDeployment" }),
            vec![
                "GetDeployment: target: CodeDeploy_20141007 where CodeDeploy_20141006 is expected",
                "GetDeployment: content type: application/json where application/x-amz-json-1.1 is expected",
            ],
        ),
        (json!({ "target": "CodeDeploy_20141006.Get" }), vec!["codedeploy has no operation Get"]),
        (json!({ "request": {} }), vec!["GetDeployment: request: the required member deploymentId is missing"]),
        (json!({ "request": { "deploymentId": 1 } }), vec!["GetDeployment: request.deploymentId: 1 is no string"]),
        (
            json!({ "request": { "deploymentId": null } }),
            vec![
                "GetDeployment: request: the required member deploymentId is missing",
                "GetDeployment: request.deploymentId: null",
            ],
        ),
        (
            json!({ "request": { "deploymentId": "d-1", "DeploymentId": "d-1" } }),
            vec!["GetDeployment: request: there is no member DeploymentId of GetDeploymentInput"],
        ),
        (
            json!({ "target": stop, "request": { "deploymentId": "d-1", "autoRollbackEnabled": "true" }, "answer": {} }),
            vec!["StopDeployment: request.autoRollbackEnabled: 'true' is no boolean"],
        ),
        (
            json!({ "target": stop, "answer": { "status": "Stopped" } }),
            vec!["StopDeployment: answer.status: 'Stopped' is none of Pending, Succeeded"],
        ),
        (
            of_ecs(&json!({ "request": { "services": "cart", "include": [] }, "answer": {} })),
            vec!["DescribeServices: request.services: 'cart' is no list"],
        ),
    ]);
}

#[test]
fn whatever_is_against_a_model_is_named_in_an_answer() {
    named(&[
        (
            json!({ "answer": { "deploymentInfo": { "createTime": "2026-11-21T14:00:00Z", "creator": true } } }),
            vec![
                "GetDeployment: answer.deploymentInfo.createTime: '2026-11-21T14:00:00Z' is no timestamp",
                "GetDeployment: answer.deploymentInfo.creator: True is no string",
            ],
        ),
        (json!({ "answer": { "deploymentInfo": [] } }), vec!["GetDeployment: answer.deploymentInfo: [] is no object"]),
        (
            json!({ "answer": { "deploymentInfo": { "applicationName": "" } } }),
            vec!["GetDeployment: answer.deploymentInfo.applicationName: 0 characters where 1 to 100 are allowed"],
        ),
        (
            json!({ "answer": { "deploymentInfo": { "applicationName": "a b" } } }),
            vec!["GetDeployment: answer.deploymentInfo.applicationName: 'a b' does not match [A-Za-z0-9+=,.@_-]*"],
        ),
        (
            json!({ "status": 400, "answer": { "__type": "ClusterNotFoundException", "message": "no" } }),
            vec!["GetDeployment: answer: GetDeployment does not fail with 'ClusterNotFoundException' and status 400"],
        ),
        (
            json!({ "status": 500, "answer": { "__type": "DeploymentDoesNotExistException", "message": "no" } }),
            vec!["GetDeployment: answer: DeploymentDoesNotExistException with status 500"],
        ),
        (
            json!({ "status": 400, "answer": { "__type": "InvalidDeploymentIdException", "reason": "no" } }),
            vec!["GetDeployment: answer: there is no member reason of InvalidDeploymentIdException"],
        ),
        (
            of_ecs(
                &json!({ "request": { "services": [] }, "answer": { "services": [{ "deploymentController": {} }] } }),
            ),
            vec!["DescribeServices: answer.services[0].deploymentController: the required member type is missing"],
        ),
    ]);
}

#[test]
fn a_wrong_field_on_the_wire_fails_the_test() {
    let fake = FakeCodeDeploy::start(CodeDeploy::at(Timestamp::from_epoch_seconds(0)));
    fake.call("GetDeployment", &json!({ "deploymentId": "d-TEST00001" }));
    assert_eq!(fake.take_wrong(), Vec::<String>::new());
    fake.call("GetDeployment", &json!({ "deployment": "d-TEST00001" }));
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(fake)));
    let said = *failed.unwrap_err().downcast::<String>().unwrap();
    assert!(said.contains("codedeploy was spoken wrongly"), "{said}");
    assert!(said.contains("there is no member deployment of GetDeploymentInput"), "{said}");
}
