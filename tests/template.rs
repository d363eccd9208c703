//! `template.yaml` is what SAM and CloudFormation accept, and what the functions expect.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::harness::{allowed, handlers, needed, python, support};

/// What the functions read.
const ENVIRONMENT: [&str; 13] = [
    "COALMINE_EVENT_BUS",
    "COALMINE_LOG",
    "COALMINE_METRIC_LAG",
    "COALMINE_MODE",
    "COALMINE_REPORTS_BUCKET",
    "COALMINE_REPORTS_PREFIX",
    "COALMINE_REPORTS_URL",
    "COALMINE_SPEC",
    "COALMINE_SWITCH",
    "COALMINE_SWITCH_GROUP",
    "COALMINE_SWITCH_ROLE_ARN",
    "COALMINE_TABLE",
    "COALMINE_TOPIC_ARN",
];

/// What is released is made without the emulators' environment.
const PYTHON: &str = "python3";

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
    let mut handlers = BTreeSet::new();
    let mut roles = BTreeSet::new();
    for function in of_type("AWS::Lambda::Function") {
        let properties = &function["Properties"];
        handlers.insert(properties["Handler"].as_str().unwrap());
        // What one function may do, no other may for its sake.
        assert!(roles.insert(properties["Role"].to_string()), "{} has a role of its own", properties["Handler"]);
        assert_eq!(properties["Runtime"], "provided.al2023");
        let environment = properties["Environment"]["Variables"].as_object().unwrap();
        let read = environment.keys().map(String::as_str).filter(|name| *name != SERVICE_TOKEN);
        assert_eq!(read.collect::<Vec<_>>(), ENVIRONMENT);
        let token = (properties["Handler"] == "macro").then(|| json!({ "Fn::GetAtt": ["Resource", "Arn"] }));
        assert_eq!(environment.get(SERVICE_TOKEN), token.as_ref(), "only the macro is told of it");
        assert_eq!(environment["COALMINE_TABLE"], json!({ "Ref": "Table" }));
        let reserved =
            json!({ "Fn::If": ["HasReserved", { "Ref": "ReservedConcurrency" }, { "Ref": "AWS::NoValue" }] });
        assert_eq!(properties["ReservedConcurrentExecutions"], reserved, "off by default");
    }
    let config = std::fs::read_to_string(repository("functions/config.rs")).unwrap();
    let (_, known) = config.split_once("fn handler(").unwrap();
    let (known, _) = known.split_once("other =>").unwrap();
    let known: BTreeSet<&str> =
        known.split("Some(\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0)).collect();
    assert_eq!(handlers, known, "the functions that there are, and those that the program can be");
    for role in of_type("AWS::IAM::Role") {
        let boundary = &role["Properties"]["PermissionsBoundary"]["Fn::If"];
        assert_eq!(boundary[1], json!({ "Ref": "PermissionsBoundaryArn" }), "{role}");
    }

    // The documents deploy with CAPABILITY_IAM, which is not enough for what has a name of its own.
    let of_iam = plain["Resources"]
        .as_object()
        .unwrap()
        .values()
        .filter(|one| one["Type"].as_str().unwrap().starts_with("AWS::IAM::"));
    for one in of_iam {
        let named = ["RoleName", "ManagedPolicyName"].iter().any(|name| one["Properties"].get(*name).is_some());
        assert!(!named, "{one}");
    }

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
    assert_eq!(table["PointInTimeRecoverySpecification"], json!({ "PointInTimeRecoveryEnabled": true }));
    assert_eq!(table["SSESpecification"], json!({ "SSEEnabled": true }));
}

/// Whoever limits the stack to some functions, load balancers and deployments gets no permission to change others.
#[test]
fn whatever_changes_something_is_limited_by_parameters() {
    let plain = plain(&template());
    let statements = |policy: &str| -> Vec<Value> {
        plain["Resources"][policy]["Properties"]["PolicyDocument"]["Statement"].as_array().unwrap().clone()
    };
    let both = ["Prepare", "Answer", "Act", "Move"].map(statements).concat();
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
    // The resource has a part of what the others have, as it stands there.
    let own = plain["Resources"]["ResourceRole"]["Properties"]["Policies"].as_array().unwrap();
    let own = own.iter().find(|policy| policy["PolicyName"] == "RollOutAliases").unwrap();
    let everything = [both.clone(), statements("Look")].concat();
    for statement in own["PolicyDocument"]["Statement"].as_array().unwrap() {
        let reads_all = statement["Resource"] == "*" && statement["Action"].to_string().contains("codedeploy:List");
        assert!(reads_all || everything.contains(statement), "{statement}");
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

/// Whoever has no bucket for reports has nothing of them; whoever has one has what hears of an end on the bus that ends are told to,
/// and may write there and nowhere else.
#[test]
fn reports_are_there_with_a_bucket_and_written_to_it_alone() {
    let plain = plain(&template());
    let resources = plain["Resources"].as_object().unwrap();
    let reports: Vec<&str> =
        resources.iter().filter(|(_, one)| one["Condition"] == "HasReports").map(|(name, _)| name.as_str()).collect();
    let parts =
        ["Report", "ReportEventInvokeConfig", "ReportRole", "ReportRolloutEnded", "ReportRolloutEndedPermission"];
    assert_eq!(reports, parts);
    let rule = &resources["ReportRolloutEnded"]["Properties"];
    let bus = json!({ "Fn::If": ["HasEventBus", { "Ref": "EventBusName" }, "default"] });
    assert_eq!(rule["EventBusName"], bus);
    let heard = json!({
        "source": ["coalmine"],
        "detail-type": ["Coalmine Rollout State Change"],
        "detail": { "phase": ["promoted", "rolledBack", "superseded"] },
    });
    assert_eq!(rule["EventPattern"], heard);
    let asynchronous = &resources["ReportEventInvokeConfig"]["Properties"];
    assert_eq!(asynchronous["MaximumRetryAttempts"], 2);
    let kept = json!({ "Fn::GetAtt": ["Undelivered", "Arn"] });
    assert_eq!(
        (
            &asynchronous["DestinationConfig"]["OnFailure"]["Destination"],
            &rule["Targets"][0]["DeadLetterConfig"]["Arn"]
        ),
        (&kept, &kept)
    );
    let policies = resources["ReportRole"]["Properties"]["Policies"].as_array().unwrap();
    let statements = policies.iter().flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap());
    let writes: Vec<&Value> = statements.filter(|one| one["Action"].to_string().contains("s3:")).collect();
    let below = json!({ "Fn::Sub": "arn:${AWS::Partition}:s3:::${ReportsBucket}/${ReportsPrefix}/*" });
    assert_eq!(writes, [&json!({ "Effect": "Allow", "Action": "s3:PutObject", "Resource": below })]);
}

/// Stands for a test in `tests/permissions.txt`.
const ATTENDS: &str = "attend_all";

/// So does this: whoever starts a rollout does so by the command's code.
const STARTS: &str = "start";

/// The rollouts that the resource starts and aborts are of aliases, and judge nobody's deployments.
const NOT_OF_ALIASES: [&str; 6] = [
    "cloudwatch:PutMetricData",
    "codedeploy:GetDeployment",
    "codedeploy:GetDeploymentConfig",
    "codedeploy:StopDeployment",
    "ecs:",
    "elasticloadbalancing:",
];

/// Neither less than a function needs, which the gate before it would refuse in the test that is named, nor more.
#[test]
fn every_role_has_what_its_function_needs_and_nothing_else() {
    let tests: String = files("tests").iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let mut shown: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (handler, action, test) in needed() {
        // Whoever attends to a rollout does so by the same code, and the tick shows what that asks.
        let as_the_tick = |(of, same, by): &(&str, &str, &str)| (*of, *same) == ("tick", action) && *by != ATTENDS;
        let as_the_command = |(of, same, by): &(&str, &str, &str)| (*of, *same) == ("command", action) && *by != STARTS;
        let known = match test {
            ATTENDS if handler == "resource" && NOT_OF_ALIASES.iter().any(|part| action.starts_with(part)) => false,
            ATTENDS => handler != "tick" && needed().iter().any(as_the_tick),
            STARTS => handler != "command" && needed().iter().any(as_the_command),
            test => tests.contains(&format!("fn {test}(")),
        };
        assert!(known, "nothing shows that {handler} needs {action}: {test}");
        assert!(shown.entry(handler).or_default().insert(action.to_owned()), "{handler} {action} is there twice");
    }
    // What Lambda itself does in the function's name.
    let of_lambda = ["logs:CreateLogStream", "logs:PutLogEvents", "sqs:SendMessage"];
    // The macro asks nobody for anything, and is in no line.
    assert!(shown.keys().all(|handler| handlers().any(|known| known == *handler)), "{:?}", shown.keys());
    for handler in handlers() {
        let mut shown = shown.remove(handler).unwrap_or_default();
        let receives = ["alarm", "hook", "report", "resource"].contains(&handler);
        shown.extend(of_lambda[..if receives { 3 } else { 2 }].iter().map(|action| (*action).to_owned()));
        let granted = allowed(handler);
        let unneeded: Vec<_> = granted.difference(&shown).collect();
        let missing: Vec<_> = shown.difference(&granted).collect();
        assert!(unneeded.is_empty() && missing.is_empty(), "{handler}: not needed {unneeded:?}, missing {missing:?}");
    }
}

/// Rust files below a folder of the repository.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut folders = vec![repository(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// What is watched is what the functions write: a metric with another name has no data, and an alarm on it never goes off.
#[test]
fn alarms_and_the_dashboard_watch_what_the_functions_write() {
    let plain = plain(&template());
    let resources = plain["Resources"].as_object().unwrap();
    let source = std::fs::read_to_string(repository("functions/metrics.rs")).unwrap();
    let is_written = |metric: &str| source.contains(&format!("(\"{metric}\", \""));
    let alarms: Vec<_> = resources.iter().filter(|(_, one)| one["Type"] == "AWS::CloudWatch::Alarm").collect();
    let names: Vec<&str> = alarms.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["EventsUndelivered", "RolloutsStuck", "RolloutsWaiting", "TickErrors", "TickNotRunning"]);
    let told = json!({ "Fn::If": ["HasAlarmTopic", [{ "Ref": "AlarmTopicArn" }], { "Ref": "AWS::NoValue" }] });
    for (name, alarm) in alarms {
        let properties = &alarm["Properties"];
        assert_eq!((&properties["AlarmActions"], &properties["OKActions"]), (&told, &told), "{name}");
        if properties["Namespace"] == "Coalmine" {
            assert!(is_written(properties["MetricName"].as_str().unwrap()), "{name}");
            assert_eq!(properties["Dimensions"][0]["Name"], "FunctionName", "{name}");
        }
    }
    // No tick at all is the one thing that has no datapoint.
    assert_eq!(resources["TickNotRunning"]["Properties"]["TreatMissingData"], "breaching");
    let body = resources["Overview"]["Properties"]["DashboardBody"]["Fn::Sub"].as_str().unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    let mut ours = 0;
    for metric in
        body["widgets"].as_array().unwrap().iter().flat_map(|one| one["properties"]["metrics"].as_array().unwrap())
    {
        let searched = metric[0]["expression"].as_str().and_then(|text| text.split('"').nth(1));
        let name = searched.or_else(|| metric[1].as_str().filter(|_| metric[0] == "Coalmine"));
        assert!(name.is_none_or(is_written), "{metric}");
        ours += usize::from(name.is_some());
    }
    assert_eq!(ours, 9);
}

/// For whoever has no Rust: the same stack, whose code is a zip that lies beside the template.
#[test]
fn what_is_released_needs_no_build_and_is_the_same_stack() {
    let source = std::fs::read_to_string(template()).unwrap();
    let mut expected = plain(&template());
    let mut made_files = Vec::new();
    for architecture in ["arm64", "x86_64"] {
        let made = piped(Command::new(PYTHON).arg(repository(".ci/prebuilt")).arg(architecture), &source);
        assert!(
            made.contains(&format!("\n    CodeUri: coalmine-{architecture}.zip\n")) && !made.contains("BuildMethod")
        );
        let name = format!("prebuilt-{architecture}-{}.yaml", std::process::id());
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&file, made).unwrap();
        let found = plain(&file);
        made_files.push(file);
        let only = &mut expected["Parameters"]["Architecture"];
        (only["Default"], only["AllowedValues"]) = (json!(architecture), json!([architecture]));
        assert_eq!(found["Parameters"], expected["Parameters"]);
        let mut wanted = expected["Resources"].clone();
        for resource in wanted.as_object_mut().unwrap().values_mut() {
            resource.as_object_mut().unwrap().remove("Metadata");
        }
        assert_eq!(found["Resources"], wanted);
    }
    let mut lint = Command::new(python());
    let lint = lint.args(["-c", "from cfnlint.runner import main; main()"]).args(&made_files).output().unwrap();
    made_files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    assert!(lint.status.success() && lint.stdout.is_empty(), "{}", text(&lint));
    let broken = source.replace("    CodeUri: .\n", "    CodeUri: ./\n");
    let refused =
        std::panic::catch_unwind(|| piped(Command::new(PYTHON).arg(repository(".ci/prebuilt")).arg("arm64"), &broken));
    assert!(refused.is_err(), "a template that it does not know is no template");
}

/// What is in the zip, from Cargo.lock.
#[test]
fn what_is_released_says_what_it_is_made_of() {
    let target = "x86_64-unknown-linux-gnu";
    let output = Command::new(PYTHON).arg(repository(".ci/sbom")).arg(target).current_dir(repository("")).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&document["bomFormat"], &document["metadata"]["component"]["name"]),
        (&json!("CycloneDX"), &json!("coalmine"))
    );
    let components = document["components"].as_array().unwrap();
    let names: BTreeSet<&str> = components.iter().map(|one| one["name"].as_str().unwrap()).collect();
    for inside in ["coalmine-core", "coalmine-aws", "lambda_runtime", "aws-sdk-lambda", "rustls", "tokio"] {
        assert!(names.contains(inside), "{inside}");
    }
    // The command line, and what only tests have.
    for outside in ["coalmine-cli", "clap", "proptest"] {
        assert!(!names.contains(outside), "{outside}");
    }
    let ours = |one: &&Value| one["name"].as_str().unwrap().starts_with("coalmine-");
    for other in components.iter().filter(|one| !ours(one)) {
        assert_eq!(other["hashes"][0]["content"].as_str().unwrap().len(), 64, "{other}");
        assert!(other["licenses"][0]["expression"].is_string(), "{other}");
    }
}

#[test]
fn a_release_is_of_the_version_that_the_source_says() {
    let tag =
        |name: &str| Command::new(PYTHON).arg(repository(".ci/version")).arg(name).current_dir(repository("")).output();
    let version = env!("CARGO_PKG_VERSION");
    let right = tag(&format!("v{version}")).unwrap();
    assert!(right.status.success(), "{}", text(&right));
    for (wrong, said) in [
        (
            "v0.0.9",
            format!(
                "the tag is v0.0.9, and Cargo.toml says {version}, template.yaml says {version}, CHANGELOG.md says {version}"
            ),
        ),
        (version, format!("the tag is {version}, and a tag begins with v")),
    ] {
        let refused = tag(wrong).unwrap();
        assert_eq!((refused.status.code(), text(&refused).trim()), (Some(1), said.as_str()));
    }
    // Nothing is published that was not tested, and nothing that is not attested.
    let workflow = std::fs::read_to_string(repository(".github/workflows/release.yml")).unwrap();
    for step in ["run: .ci/version \"$GITHUB_REF_NAME\"", "run: .ci/run", "needs: [test, build]"] {
        assert!(workflow.contains(step), "{step}");
    }
    for made in ["zip", "yaml", "cdx.json"] {
        let files =
            [format!("release/coalmine-${{{{ matrix.architecture }}}}.{made}"), format!("release/coalmine-*.{made}")];
        assert!(files.iter().all(|file| workflow.contains(file.as_str())), "{made}");
    }
}

/// What a tag names may be another thing tomorrow.
#[test]
fn workflows_name_what_they_use_by_its_digest() {
    let mut uses = 0;
    for workflow in ["ci.yml", "release.yml"] {
        let text = std::fs::read_to_string(repository(".github/workflows").join(workflow)).unwrap();
        for action in text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("uses: ")) {
            let digest = action.split('@').nth(1).unwrap_or_default();
            assert!(digest.len() == 40 && digest.chars().all(|c| c.is_ascii_hexdigit()), "{workflow}: {action}");
            uses += 1;
        }
    }
    assert_eq!(uses, 7);
}

fn piped(command: &mut Command, input: &str) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}
