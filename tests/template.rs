//! `template.yaml` is what SAM and CloudFormation accept, and what the functions expect.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::{python, support};

/// What the functions read.
const ENVIRONMENT: [&str; 10] = [
    "COALMINE_EVENT_BUS",
    "COALMINE_LOG",
    "COALMINE_METRIC_LAG",
    "COALMINE_MODE",
    "COALMINE_SPEC",
    "COALMINE_SWITCH",
    "COALMINE_SWITCH_GROUP",
    "COALMINE_SWITCH_ROLE_ARN",
    "COALMINE_TABLE",
    "COALMINE_TOPIC_ARN",
];

/// What only the macro reads.
const SERVICE_TOKEN: &str = "COALMINE_SERVICE_TOKEN";

const EXAMPLE_OF_SAM: &str = "examples/codedeploy-sam/template.yaml";
const EXAMPLE_OF_ECS: &str = "examples/ecs-hook/template.yaml";

/// A file of the repository.
pub fn repository(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn template() -> PathBuf {
    repository("template.yaml")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn translated(template: &Path) -> String {
    let output = Command::new(python()).arg(support("transform.py")).arg(template).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Plain CloudFormation, as SAM makes it of a template.
pub fn plain(template: &Path) -> Value {
    serde_json::from_str(&translated(template)).unwrap()
}

#[test]
fn cfn_lint_finds_nothing_in_the_templates_nor_in_what_sam_makes_of_them() {
    let mut files = vec![template(), repository(EXAMPLE_OF_SAM), repository(EXAMPLE_OF_ECS)];
    for place in 0..2 {
        let name = format!("template-{}-{place}.json", std::process::id());
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&file, translated(&files[place])).unwrap();
        files.push(file);
    }
    let lint =
        Command::new(python()).args(["-c", "from cfnlint.runner import main; main()"]).args(&files).output().unwrap();
    files[3..].iter().for_each(|file| std::fs::remove_file(file).unwrap());
    assert!(lint.status.success() && lint.stdout.is_empty(), "{}", text(&lint));
}

#[test]
fn the_stack_is_what_the_functions_expect() {
    let plain = plain(&template());
    let of_type = |kind: &str| -> Vec<&Value> {
        plain["Resources"].as_object().unwrap().values().filter(|resource| resource["Type"] == kind).collect()
    };
    let mut handlers: Vec<&str> = Vec::new();
    let policies = |function: &Value| -> Vec<String> {
        let role = function["Properties"]["Role"]["Fn::GetAtt"][0].as_str().unwrap();
        let policies = plain["Resources"][role]["Properties"]["ManagedPolicyArns"].as_array().unwrap().iter();
        policies.filter_map(|policy| Some(policy["Ref"].as_str()?.to_owned())).collect()
    };
    for function in of_type("AWS::Lambda::Function") {
        let properties = &function["Properties"];
        handlers.push(properties["Handler"].as_str().unwrap());
        assert_eq!(properties["Runtime"], "provided.al2023");
        let environment = properties["Environment"]["Variables"].as_object().unwrap();
        let read = environment.keys().map(String::as_str).filter(|name| *name != SERVICE_TOKEN);
        assert_eq!(read.collect::<Vec<_>>(), ENVIRONMENT);
        // The macro changes a text that CloudFormation gives it: it may do nothing else.
        if properties["Handler"] == "macro" {
            assert_eq!(policies(function), [] as [&str; 0]);
            assert_eq!(environment[SERVICE_TOKEN], json!({ "Fn::GetAtt": ["Resource", "Arn"] }));
            continue;
        }
        assert!(!environment.contains_key(SERVICE_TOKEN));
        // The hook judges what others shift: it can move nothing itself.
        let hook = properties["Handler"] == "hook";
        let wanted = ["KeepState", "Look", "Act", "Move"];
        let wanted = if hook { &wanted[..3] } else { &wanted[..] };
        assert_eq!(policies(function), wanted, "{}", properties["Handler"]);
        assert_eq!(environment["COALMINE_TABLE"], json!({ "Ref": "Table" }));
    }
    handlers.sort_unstable();
    assert_eq!(handlers, ["abort", "alarm", "command", "hook", "macro", "resource", "tick"]);

    let hook = &plain["Resources"]["Hook"]["Properties"];
    assert_eq!(hook["FunctionName"], json!({ "Fn::Sub": "CodeDeployHook_${AWS::StackName}" }));
    let news = &plain["Resources"]["HookDeploymentChange"]["Properties"];
    let heard = json!({
        "source": ["aws.codedeploy"],
        "detail-type": ["CodeDeploy Deployment State-change Notification"],
        "detail": { "application": [{ "wildcard": { "Ref": "TargetApplications" } }] },
    });
    assert_eq!(news["EventPattern"], heard);

    let tick = &plain["Resources"]["TickEveryMinute"]["Properties"];
    assert_eq!(tick["ScheduleExpression"], "rate(1 minute)");
    let once = json!({ "MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60 });
    assert_eq!(tick["Targets"][0]["RetryPolicy"], once);
    let asynchronous = &plain["Resources"]["TickEventInvokeConfig"]["Properties"];
    assert_eq!(
        (&asynchronous["MaximumRetryAttempts"], &asynchronous["MaximumEventAgeInSeconds"]),
        (&json!(0), &json!(60))
    );

    let table = &plain["Resources"]["Table"]["Properties"];
    let keys = json!([{ "AttributeName": "pk", "KeyType": "HASH" }, { "AttributeName": "sk", "KeyType": "RANGE" }]);
    assert_eq!(table["KeySchema"], keys);
    assert_eq!(table["TimeToLiveSpecification"], json!({ "AttributeName": "ttl", "Enabled": true }));
}

/// Whoever limits the stack to some functions, load balancers and deployments gets no permission to change others.
#[test]
fn whatever_changes_something_is_limited_by_parameters() {
    let plain = plain(&template());
    let statements = |policy: &str| -> Vec<Value> {
        plain["Resources"][policy]["Properties"]["PolicyDocument"]["Statement"].as_array().unwrap().clone()
    };
    let both = [statements("Act"), statements("Move")].concat();
    for (action, parameter, resources) in [
        ("lambda:UpdateAlias", "${TargetFunctions}", 2),
        ("lambda:InvokeFunction", "${TargetFunctions}", 1),
        ("elasticloadbalancing:ModifyListener", ":listener/app/${TargetLoadBalancers}/*", 2),
        ("elasticloadbalancing:ModifyRule", ":listener-rule/app/${TargetLoadBalancers}/*", 2),
        ("codedeploy:StopDeployment", ":deploymentgroup:${TargetApplications}/*", 1),
        ("codedeploy:PutLifecycleEventHookExecutionStatus", ":deploymentgroup:${TargetApplications}/*", 1),
        ("ecs:StopServiceDeployment", ":service-deployment/${TargetServices}/*", 1),
    ] {
        let allows = |statement: &&Value| statement["Action"].to_string().contains(&format!("\"{action}\""));
        let found: Vec<&Value> = both.iter().filter(allows).collect();
        assert_eq!(found.len(), 1, "{action}");
        let resource = &found[0]["Resource"];
        let all = resource.as_array().cloned().unwrap_or_else(|| vec![resource.clone()]);
        assert_eq!(all.len(), resources, "{action}");
        let name = parameter.split(['$', '}']).nth(1).unwrap();
        assert!(all.iter().all(|arn| arn.to_string().contains(name)), "{action}: {resource}");
        assert!(all.iter().any(|arn| arn.to_string().contains(parameter)), "{action}: {resource}");
    }
    // A metric has no resource; its namespace is what limits it.
    let metric = both.iter().find(|statement| statement["Action"] == "cloudwatch:PutMetricData").unwrap();
    assert_eq!(metric["Condition"], json!({ "StringEquals": { "cloudwatch:namespace": "Coalmine" } }));
    // What Amazon ECS may do with its role is to call the hook.
    let role = &plain["Resources"]["EcsHookRole"]["Properties"]["Policies"];
    assert_eq!(role.as_array().unwrap().len(), 1);
    let call = json!([{ "Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": { "Fn::GetAtt": ["Hook", "Arn"] } }]);
    assert_eq!(role[0]["PolicyDocument"]["Statement"], call);
}

/// Whoever moves traffic can have a schedule wait that puts it back, and nothing but that: the schedules are in a group of
/// their own, and the role that they get may do what the functions may.
#[test]
fn the_switch_may_do_what_the_functions_may_and_outlives_them() {
    let plain = plain(&template());
    let resources = &plain["Resources"];
    let moves = resources["Move"]["Properties"]["PolicyDocument"]["Statement"].as_array().unwrap();
    let role = &resources["SwitchRole"]["Properties"];
    let puts_back = role["Policies"][0]["PolicyDocument"]["Statement"].as_array().unwrap();
    assert_eq!(role["Policies"].as_array().unwrap().len(), 1);
    assert_eq!(puts_back[..], moves[..2], "what sets a weight");
    let trusted = json!([{
        "Effect": "Allow",
        "Principal": { "Service": "scheduler.amazonaws.com" },
        "Action": "sts:AssumeRole",
        "Condition": { "StringEquals": {
            "aws:SourceAccount": { "Ref": "AWS::AccountId" },
            "aws:SourceArn": { "Fn::GetAtt": ["Switches", "Arn"] },
        } },
    }]);
    assert_eq!(role["AssumeRolePolicyDocument"]["Statement"], trusted);
    let schedules = "arn:${AWS::Partition}:scheduler:${AWS::Region}:${AWS::AccountId}:schedule/${Switches}/*";
    let rest = json!([
        {
            "Effect": "Allow",
            "Action": ["scheduler:CreateSchedule", "scheduler:DeleteSchedule", "scheduler:UpdateSchedule"],
            "Resource": { "Fn::Sub": schedules },
        },
        {
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": { "Fn::GetAtt": ["SwitchRole", "Arn"] },
            "Condition": { "StringEquals": { "iam:PassedToService": "scheduler.amazonaws.com" } },
        },
    ]);
    assert_eq!(json!(moves[2..]), rest);
    // Traffic that is split while the stack is deleted is put back all the same.
    for kept in ["Switches", "SwitchRole"] {
        assert_eq!(resources[kept]["DeletionPolicy"], "RetainExceptOnCreate", "{kept}");
    }
    let environment = &plain["Resources"]["Tick"]["Properties"]["Environment"]["Variables"];
    assert_eq!(environment["COALMINE_SWITCH_GROUP"], json!({ "Ref": "Switches" }));
    assert_eq!(environment["COALMINE_SWITCH_ROLE_ARN"], json!({ "Fn::GetAtt": ["SwitchRole", "Arn"] }));
}

/// The permissions that the adapters' calls name are what their errors ask for when one is denied.
#[test]
fn the_roles_allow_every_call_that_the_adapters_make() {
    let plain = plain(&template());
    let policies =
        plain["Resources"].as_object().unwrap().values().filter(|one| one["Type"] == "AWS::IAM::ManagedPolicy");
    let statements = policies.flat_map(|policy| {
        let statements = policy["Properties"]["PolicyDocument"]["Statement"].as_array().unwrap();
        statements.iter().flat_map(|one| one["Fn::If"][1].as_object().map_or(one, |_| &one["Fn::If"][1]).get("Action"))
    });
    let allowed: BTreeSet<String> = statements
        .flat_map(|actions| actions.as_array().cloned().unwrap_or_else(|| vec![actions.clone()]))
        .map(|action| action.as_str().unwrap().to_owned())
        .collect();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/aws/src")];
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Ok(code) = std::fs::read_to_string(&path) else { continue };
            for call in code.split("Call::new(\"").skip(1) {
                let permission = call.split('"').nth(2).unwrap();
                assert!(allowed.contains(permission), "{}: no role allows {permission}: {allowed:?}", path.display());
                found += 1;
            }
        }
    }
    assert!(found >= 10, "the adapters' calls are written in another way now");
}
