//! One JSON object a line on standard output, where Lambda's log reads it.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use coalmine_core::cloudformation::Answer;
use coalmine_core::driver::{HookLine, ResourceLine, TickReport};
use coalmine_core::text;
use lambda_runtime::Context;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::metrics;

/// The level when nothing else is asked for.
pub const DEFAULT: Level = Level::INFO;

/// Starts logging. `level` is ours; what the SDK and the HTTP client say below info would bury it.
pub fn start(level: Level) {
    let ours = LevelFilter::from_level(level);
    let targets = Targets::new()
        .with_default(ours.min(LevelFilter::INFO))
        .with_target("coalmine_functions", ours)
        .with_target("coalmine_core", ours)
        .with_target("coalmine_aws", ours);
    let lines =
        tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
    tracing_subscriber::registry().with(targets).with(lines).init();
}

/// Writes what was done as objects, so that a log query can read their fields; as values of log events they would be
/// texts. What went wrong is a warning: the next tick tries again.
pub fn report(context: &Context, report: &TickReport) {
    let request_id = &context.request_id;
    for line in &report.lines {
        let level = if line.faults.is_empty() { Level::INFO } else { Level::WARN };
        write_with(level, request_id, "rollout", line, metrics::of_rollout(line));
    }
    for line in &report.hooks {
        write(level_of(line), request_id, "hook", line);
    }
    for unreadable in &report.unreadable {
        write(Level::ERROR, request_id, "unreadable", unreadable);
    }
    if report.waiting > 0 {
        write(
            Level::WARN,
            request_id,
            "no time was left for so many rollouts; the next ticks begin with others",
            &report.waiting,
        );
    }
    for fault in &report.faults {
        write(Level::WARN, request_id, "fault", fault);
    }
}

/// Writes what was done about a stack's resource. A stack that is told of a failure rolls back.
pub fn resource(request_id: &str, line: &ResourceLine) {
    let failed = matches!(line.answer, Some(Answer::Failed { .. }));
    let level = if failed || !line.faults.is_empty() { Level::WARN } else { Level::INFO };
    write(level, request_id, "resource", line);
}

/// Nobody judges a deployment whose spec is wrong until somebody mends it.
fn level_of(line: &HookLine) -> Level {
    let stopped = line.answer.as_ref().is_some_and(|answer| !answer.goes_on);
    match line {
        _ if !line.problems.is_empty() => Level::ERROR,
        _ if stopped || !line.faults.is_empty() => Level::WARN,
        _ => Level::INFO,
    }
}

/// What a tick came to as a whole. The other functions see only some of the rollouts.
pub fn tick(context: &Context, report: &TickReport, faulty_resources: usize) {
    let numbers = metrics::of_tick(&context.env_config.function_name, report, faulty_resources);
    write_with(Level::INFO, &context.request_id, "tick", &report.now, numbers);
}

/// What an invocation took, and what it asked of AWS.
pub fn invocation(context: &Context, took: Duration, calls: &BTreeMap<String, u64>) {
    let numbers = metrics::of_invocation(&context.env_config.function_name, took.as_secs_f64(), calls);
    write_with(Level::INFO, &context.request_id, "calls", calls, numbers);
}

fn write(level: Level, request_id: &str, name: &str, value: &impl Serialize) {
    write_with(level, request_id, name, value, Map::new());
}

/// A level that leaves out the words leaves the numbers: alarms wait for them.
fn write_with(level: Level, request_id: &str, name: &str, value: &impl Serialize, numbers: Map<String, Value>) {
    let said = level <= LevelFilter::current();
    if !said && numbers.is_empty() {
        return;
    }
    let mut line = json!({ "level": level.as_str(), "requestId": request_id });
    if let Some(fields) = line.as_object_mut() {
        if said {
            fields.insert(name.to_owned(), json!(value));
        }
        fields.extend(numbers);
    }
    // A log that cannot be written must not stop a rollback.
    let _ = writeln!(std::io::stdout().lock(), "{}", text::json(&line.to_string()));
}
