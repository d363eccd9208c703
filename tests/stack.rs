//! The whole stack, deployed by CloudFormation into an emulated AWS: its own rule, functions, table and schedules.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Cloud, Live, Scheduler, Stage, Traffic, bootstrap, python, support};
use crate::template::{plain, repository};

/// That of the functions' code (`tests/support/stack.py`), which gets their reports, too.
const BUCKET: &str = "bucket";

/// A rule fires within its minute, so the first tick comes after one to two of them.
const PATIENCE: Duration = Duration::from_secs(150);

/// Creates, updates or deletes the stack; what it says are the stack's outputs and resources.
fn stack(action: &str, cloud: &Cloud, code_deploy: &Value, template: &Value) -> Value {
    let mut command = Command::new(python())
        .arg(support("stack.py"))
        .args([&cloud.port().to_string(), action, bootstrap().to_str().unwrap(), code_deploy.as_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    command.stdin.take().unwrap().write_all(template.to_string().as_bytes()).unwrap();
    let output = command.wait_with_output().unwrap();
    assert!(output.status.success(), "{action}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn function(stack: &Value, resource: &str) -> String {
    stack["resources"][resource].as_str().unwrap_or_else(|| panic!("no {resource} in {stack:#}")).to_owned()
}

/// Its name lets it start early: it waits for a real minute.
#[test]
fn a_stack_ticks_by_its_own_rule_is_upgraded_in_the_middle_of_a_rollout_and_leaves_nothing_behind() {
    let mut template = plain(&repository("template.yaml"));
    template["Parameters"]["ReportsBucket"]["Default"] = BUCKET.into();
    let mut stage = Stage::set_up(47);
    let code_deploy = stage.environment()["AWS_ENDPOINT_URL_CODEDEPLOY"].clone();
    let first = stack("create", &stage.cloud, &code_deploy, &template);
    stage.use_deployed(["tick", "command", "abort", "alarm"].map(|name| {
        let resource = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
        (name, function(&first, &resource))
    }));
    let group = function(&first, "Switches");

    stage.start(&json!({ "strategy": { "canary": { "weight": "20%", "bake": "5m" } }, "after": { "watch": "5m" } }));
    let since = Instant::now();
    while stage.live() == Live::only("1") {
        assert!(since.elapsed() < PATIENCE, "no tick in {PATIENCE:?}: {}", stage.status());
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(stage.live(), Live::with("1", "2", 0.2));
    assert_eq!(Scheduler::names(&stage.cloud.scheduler(), &group), ["it.0"], "a switch waits while traffic is split");
    // From here on minutes pass faster than the rule fires.
    stage.cloud.disable_rule(&function(&first, "TickEveryMinute"));
    let traffic = Traffic { requests: 2400, old_fails: 0.004, new_fails: 0.004 };
    stage.pass(&traffic);

    let mut newer = template.clone();
    newer["Parameters"]["LogLevel"]["Default"] = json!("debug");
    let (tick, before) = (function(&first, "Tick"), stage.cloud.code_sha256(&function(&first, "Tick")));
    let second = stack("update", &stage.cloud, &code_deploy, &newer);
    assert_ne!(stage.cloud.code_sha256(&tick), before, "another build");
    for kept in ["Table", "Tick", "Command", "Switches"] {
        assert_eq!(first["resources"][kept], second["resources"][kept], "{kept}");
    }
    assert_eq!(stage.live(), Live::with("1", "2", 0.2), "an upgrade moves nothing");

    assert_eq!(stage.pass_until_ended(&traffic, 60), "promoted");
    assert_eq!(stage.live(), Live::only("2"));
    // What docs/install.md asks before a stack is deleted.
    assert_eq!(stage.command(&json!({ "command": "list" }))["rollouts"], json!([]));
    assert_eq!(Scheduler::names(&stage.cloud.scheduler(), &group), [""; 0]);
    let since = Instant::now();
    let report = loop {
        if let Some((_, report)) = stage.cloud.object(BUCKET, "coalmine/it.html") {
            break report;
        }
        assert!(since.elapsed() < PATIENCE, "no report: {}", stage.cloud.log_group(&function(&first, "Logs")));
        std::thread::sleep(Duration::from_millis(500));
    };
    assert!(report.contains("<title>PROMOTED: checkout:live v1 to v2 - Coalmine</title>"), "{report}");
    numbers_are_in_the_log(&stage.cloud.log_group(&function(&first, "Logs")), &tick);

    stack("delete", &stage.cloud, &code_deploy, &Value::Null);
    assert!(!stage.cloud.has_function(&tick));
    assert_eq!(stage.live(), Live::only("2"));
}

/// The alarms and the dashboard name these.
fn numbers_are_in_the_log(log: &str, tick: &str) {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let numbers: Vec<Value> = lines.filter(|line| line.get("_aws").is_some()).collect();
    for (dimension, of, name) in [
        ("Target", "checkout:live", "Weight"),
        ("Target", "checkout:live", "Verdict"),
        ("Target", "checkout:live", "Evidence"),
        ("Target", "checkout:live", "Proof"),
        ("FunctionName", tick, "Rollouts"),
        ("FunctionName", tick, "Stuck"),
        ("FunctionName", tick, "Waiting"),
        ("FunctionName", tick, "Time"),
        ("FunctionName", tick, "ApiCalls"),
    ] {
        let found = numbers.iter().find(|line| line[dimension] == of && line[name].is_number());
        assert!(found.is_some(), "no {name} of {of} in the log:\n{log}");
    }
    let calls = numbers.iter().filter_map(|line| line["calls"]["UpdateAlias"].as_u64());
    assert!(calls.sum::<u64>() >= 1, "{log}");
}
