use coalmine_core::deployment::{DeploymentState, Shift};
use coalmine_core::ports::Deployments;
use serde_json::json;

use super::*;
use crate::testing::{Reply, Script, scripted, target, version};

const FUNCTION: &str = "arn:aws:lambda:eu-west-1:111122223333:function:checkout";

fn code_deploy() -> Deployment {
    Deployment {
        reference: DeploymentRef::CodeDeploy("d-1".to_owned()),
        state: DeploymentState::InProgress,
        rolls_back: false,
        shift: Some(Shift { target: target(), baseline: version(41), canary: version(42) }),
        unjudged: None,
        strategy: "CodeDeployDefault.LambdaAllAtOnce".to_owned(),
        steps: Vec::new(),
        awaits: None,
        owner: "checkout-app/checkout-group".to_owned(),
    }
}

fn ecs() -> Deployment {
    Deployment {
        reference: DeploymentRef::Ecs("arn:aws:ecs:eu-west-1:1:service-deployment/prod/cart/x".to_owned()),
        shift: None,
        owner: "prod/cart".to_owned(),
        ..code_deploy()
    }
}

fn alias() -> Reply {
    Reply::json(200, &json!({ "AliasArn": format!("{FUNCTION}:live"), "FunctionVersion": "41" }))
}

fn tags(spec: Option<&str>) -> Reply {
    let mut tags = json!({ "team": "shop" });
    if let Some(name) = spec {
        tags[TAG] = json!(name);
    }
    Reply::json(200, &json!({ "Tags": tags }))
}

fn service(spec: Option<&str>) -> Reply {
    let spec = spec.map(|name| json!({ "key": TAG, "value": name }));
    let tags: Vec<_> = [Some(json!({ "key": "team", "value": "shop" })), spec].into_iter().flatten().collect();
    Reply::json(200, &json!({ "services": [{ "serviceName": "cart", "tags": tags }] }))
}

fn parameter(text: &str) -> Reply {
    Reply::json(200, &json!({ "Parameter": { "Name": "x", "Type": "SecureString", "Value": text } }))
}

fn absent() -> Reply {
    Reply::error(400, "ParameterNotFound")
}

async fn find(deployment: &Deployment, replies: Vec<Reply>) -> (Result<Option<FoundSpec>, Fault>, Script) {
    let (aws, script) = scripted(replies);
    let found = aws.spec_for(deployment).await;
    assert_eq!(script.unused(), 0);
    (found, script)
}

#[tokio::test]
async fn a_tag_goes_before_the_conventional_name() {
    for (deployment, replies, name, place) in [
        (
            code_deploy(),
            vec![alias(), tags(None), parameter("coalmine: v1")],
            "/coalmine/checkout/live",
            "SSM parameter /coalmine/checkout/live",
        ),
        (
            code_deploy(),
            vec![alias(), tags(Some("/shop/careful")), parameter("coalmine: v1")],
            "/shop/careful",
            "SSM parameter /shop/careful (tag coalmine:spec of function checkout)",
        ),
        (
            ecs(),
            vec![service(None), parameter("coalmine: v1")],
            "/coalmine/prod/cart",
            "SSM parameter /coalmine/prod/cart",
        ),
        (
            ecs(),
            vec![service(Some("/shop/careful")), parameter("coalmine: v1")],
            "/shop/careful",
            "SSM parameter /shop/careful (tag coalmine:spec of ECS service prod/cart)",
        ),
    ] {
        let (found, script) = find(&deployment, replies).await;
        let expected = FoundSpec { place: place.to_owned(), text: "coalmine: v1".to_owned() };
        assert_eq!(found.unwrap(), Some(expected));
        let asked = script.asked();
        let last = asked.last().unwrap();
        assert_eq!(last.operation, "GetParameter");
        assert_eq!(last.json(), json!({ "Name": name, "WithDecryption": true }));
    }
}

#[tokio::test]
async fn tags_are_those_of_the_function_and_of_the_service() {
    let (_, script) = find(&code_deploy(), vec![alias(), tags(None), absent()]).await;
    let lines: Vec<String> = script.asked().iter().map(|asked| asked.line()).collect();
    assert_eq!(lines[0], "GET /2015-03-31/functions/checkout/aliases/live");
    assert_eq!(lines[1], format!("GET /2017-03-31/tags/{}", FUNCTION.replace(':', "%3A")));
    let (_, script) = find(&ecs(), vec![service(None), absent()]).await;
    let asked = json!({ "cluster": "prod", "services": ["cart"], "include": ["TAGS"] });
    assert_eq!(script.asked()[0].json(), asked);
}

#[tokio::test]
async fn nobody_need_leave_a_spec_but_a_tag_must_lead_to_one() {
    for (deployment, replies) in
        [(code_deploy(), vec![alias(), tags(None), absent()]), (ecs(), vec![service(None), absent()])]
    {
        assert_eq!(find(&deployment, replies).await.0.unwrap(), None);
    }
    // A function without any tag.
    assert_eq!(find(&code_deploy(), vec![alias(), Reply::json(200, &json!({})), absent()]).await.0.unwrap(), None);
    let told = "GetParameter was rejected: there is no SSM parameter /gone (tag coalmine:spec of function checkout)";
    let (found, _) = find(&code_deploy(), vec![alias(), tags(Some("/gone")), absent()]).await;
    assert_eq!(found.unwrap_err().to_string(), told);
}

#[tokio::test]
async fn a_place_that_cannot_be_read_is_a_fault_and_not_an_absent_spec() {
    let denied = || Reply::error(400, "AccessDeniedException");
    let silent = || Reply::json(200, &json!({ "Parameter": { "Name": "x" } }));
    for (deployment, replies, told) in [
        (
            code_deploy(),
            vec![denied()],
            "GetAlias was denied: AccessDeniedException: because (it needs lambda:GetAlias on functions that match the stack's parameter TargetFunctions)",
        ),
        (
            code_deploy(),
            vec![alias(), denied()],
            "ListTags was denied: AccessDeniedException: because (it needs lambda:ListTags on functions that match the stack's parameter TargetFunctions)",
        ),
        (
            code_deploy(),
            vec![alias(), tags(None), denied()],
            "GetParameter was denied: AccessDeniedException: because (it needs ssm:GetParameter on parameters below /coalmine/)",
        ),
        (
            code_deploy(),
            vec![alias(), tags(Some("/x y")), Reply::error(400, "ValidationException")],
            "GetParameter was rejected: SSM parameter /x y (tag coalmine:spec of function checkout): ValidationException: \
             because",
        ),
        (
            code_deploy(),
            vec![alias(), tags(None), silent()],
            "GetParameter failed: the answer has no value of /coalmine/checkout/live",
        ),
        (
            code_deploy(),
            vec![Reply::json(200, &json!({ "FunctionVersion": "41" }))],
            "GetAlias failed: the answer has no AliasArn",
        ),
        (
            ecs(),
            vec![denied()],
            "DescribeServices was denied: AccessDeniedException: because (it needs ecs:DescribeServices)",
        ),
        (
            ecs(),
            vec![Reply::json(200, &json!({ "services": [], "failures": [{ "reason": "MISSING" }] }))],
            "DescribeServices was rejected: there is no ECS service prod/cart",
        ),
    ] {
        assert_eq!(find(&deployment, replies).await.0.unwrap_err().to_string(), told);
    }
    let untold = Deployment { shift: None, ..code_deploy() };
    let told = "GetParameter failed: CodeDeploy deployment d-1 does not tell what it deploys";
    assert_eq!(find(&untold, vec![]).await.0.unwrap_err().to_string(), told);
    let unnamed = Deployment { owner: "cart".to_owned(), ..ecs() };
    let told = "GetParameter failed: Amazon ECS deployment x does not tell what it deploys";
    assert_eq!(find(&unnamed, vec![]).await.0.unwrap_err().to_string(), told);
}
