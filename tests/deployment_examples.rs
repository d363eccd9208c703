//! The examples beside CodeDeploy and Amazon ECS: what SAM makes of them is what Coalmine's functions expect.

use coalmine_core::deployment::{Deployment, DeploymentRef, DeploymentState, FoundSpec, Shift, Stage};
use coalmine_core::spec::{self, RolloutSpec, Version};
use coalmine_core::units::{Span, Weight};
use serde_json::{Value, json};

use crate::template::{plain, repository};

/// An example's template as plain CloudFormation.
fn example(name: &str) -> Value {
    plain(&repository(&format!("examples/{name}/template.yaml")))
}

/// The spec that a deployment of such a target is judged by, in steps of so many percent with so many minutes each.
fn judged_by(text: &str, reference: DeploymentRef, target: &Value, (percent, minutes): (u16, u64)) -> RolloutSpec {
    let whole = json!({ "coalmine": "v1", "name": "it", "target": target });
    let target = spec::from_value(&whole).unwrap().spec.target;
    let stage = |weight: u16| Stage {
        weight: Weight::from_basis_points(weight * 100).unwrap(),
        bake: Span::from_minutes(minutes),
    };
    let deployment = Deployment {
        reference,
        state: DeploymentState::InProgress,
        rolls_back: false,
        shift: Some(Shift { target, baseline: Version("1".to_owned()), canary: Version("2".to_owned()) }),
        unjudged: None,
        strategy: "LINEAR".to_owned(),
        steps: (1..100 / percent).map(|step| stage(step * percent)).collect(),
        awaits: None,
        owner: "shop".to_owned(),
    };
    let found = FoundSpec { place: "the example".to_owned(), text: text.to_owned() };
    let read = spec::for_deployment(Some(&found), &deployment).unwrap();
    assert_eq!(read.warnings, []);
    read.spec
}

fn properties<'a>(template: &'a Value, resource: &str) -> &'a Value {
    &template["Resources"][resource]["Properties"]
}

#[test]
fn codedeploy_asks_coalmine_before_and_after_and_watches_its_verdict() {
    let plain = example("codedeploy-sam");
    let alias = &plain["Resources"]["CheckoutAliaslive"];
    let update = &alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"];
    for hook in ["BeforeAllowTrafficHook", "AfterAllowTrafficHook"] {
        assert_eq!(update[hook], json!({ "Ref": "CoalmineHook" }));
    }
    // The role that SAM makes may invoke functions of such names only, and Coalmine's template gives its hook one.
    let hook = &plain["Parameters"]["CoalmineHook"];
    assert_eq!(hook["Default"], "CodeDeployHook_coalmine");
    let role = properties(&plain, "CodeDeployServiceRole")["ManagedPolicyArns"].to_string();
    assert!(role.contains("AWSCodeDeployRoleForLambda"), "{role}");

    let group = properties(&plain, "CheckoutDeploymentGroup");
    let alarms = json!([{ "Name": { "Ref": "Verdict" } }, { "Name": { "Ref": "Errors" } }]);
    assert_eq!(group["AlarmConfiguration"], json!({ "Enabled": true, "Alarms": alarms }));
    let rolls_back_on = json!(["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"]);
    assert_eq!(group["AutoRollbackConfiguration"], json!({ "Enabled": true, "Events": rolls_back_on }));
    assert_eq!(group["DeploymentConfigName"]["Fn::Sub"][1]["ConfigName"], "Linear10PercentEvery3Minutes");

    let verdict = properties(&plain, "Verdict");
    assert_eq!((&verdict["Namespace"], &verdict["MetricName"]), (&json!("Coalmine"), &json!("Verdict")));
    let function = &properties(&plain, "Checkout")["FunctionName"];
    let dimensions = json!([{ "Name": "Function", "Value": function }, { "Name": "Alias", "Value": "live" }]);
    assert_eq!(verdict["Dimensions"], dimensions);
    assert_eq!(verdict["TreatMissingData"], "notBreaching", "it must not stop the release that mends another");
}

#[test]
fn the_spec_of_the_sam_application_is_where_it_is_looked_for() {
    let plain = example("codedeploy-sam");
    let parameter = properties(&plain, "Spec");
    let function = properties(&plain, "Checkout")["FunctionName"]["Fn::Sub"].as_str().unwrap();
    let alias = properties(&plain, "CheckoutAliaslive")["Name"].as_str().unwrap();
    assert_eq!(parameter["Name"]["Fn::Sub"], format!("/coalmine/{function}/{alias}"));
    assert_eq!(plain["Resources"]["Checkout"]["DependsOn"], "Spec");
    let text = parameter["Value"].as_str().unwrap();
    let target = json!({ "lambda": { "function": "checkout", "alias": "live", "owner": "codedeploy" } });
    let spec = judged_by(text, DeploymentRef::CodeDeploy("d-3GSL8P2NK".to_owned()), &target, (10, 3));
    assert_eq!((spec.tests.len(), spec.checks.len(), spec.steps.len()), (1, 2, 9));
}

#[test]
fn amazon_ecs_asks_coalmine_before_every_step_and_after_the_last_one() {
    let plain = example("ecs-hook");
    let service = properties(&plain, "Service");
    let deployment = &service["DeploymentConfiguration"];
    assert_eq!(deployment["Strategy"], "LINEAR");
    let hook = &deployment["LifecycleHooks"][0];
    let stages = json!(["PRE_PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT"]);
    assert_eq!(hook["LifecycleStages"], stages);
    assert_eq!(hook["HookTargetArn"], json!({ "Ref": "CoalmineHookFunctionArn" }));
    assert_eq!(hook["RoleArn"], json!({ "Ref": "CoalmineEcsHookRoleArn" }));
    // The parameters are called after the outputs of Coalmine's stack that they take.
    let coalmine = std::fs::read_to_string(repository("template.yaml")).unwrap();
    for output in ["HookFunctionArn", "EcsHookRole"] {
        assert!(coalmine.contains(&format!("\n  {output}:\n    Description: ")), "{output}");
    }
    let rule = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/shop/50dc6c495c0c9188/0467ef3c8400ae65/\
                9683b2d02a6cabee";
    let target = json!({ "alb": { "rule": rule, "targetGroups": ["cart-blue", "cart-green"] } });
    let arn = "arn:aws:ecs:eu-west-1:111122223333:service-deployment/prod/cart/tTaQpXbE";
    let linear = &deployment["LinearConfiguration"];
    let steps = (linear["StepPercent"].as_u64().unwrap(), linear["StepBakeTimeInMinutes"].as_u64().unwrap());
    assert_eq!(steps, (20, 5));
    let inline = hook["HookDetails"]["coalmine"].to_string();
    let spec = judged_by(&inline, DeploymentRef::Ecs(arn.to_owned()), &target, (20, 5));
    assert_eq!((spec.checks.len(), spec.steps.len()), (2, 4));
}
