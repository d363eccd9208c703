//! One JSON object a line on standard output, where Lambda's log reads it.

use std::io::Write;

use coalmine_core::cloudformation::Answer;
use coalmine_core::driver::{HookLine, ResourceLine, TickReport};
use coalmine_core::text;
use serde::Serialize;
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

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
pub fn report(request_id: &str, report: &TickReport) {
    for line in &report.lines {
        let level = if line.faults.is_empty() { Level::INFO } else { Level::WARN };
        write(level, request_id, "rollout", line);
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

fn write(level: Level, request_id: &str, name: &str, value: &impl Serialize) {
    if level > LevelFilter::current() {
        return;
    }
    let line = serde_json::json!({ "level": level.as_str(), "requestId": request_id, name: value });
    // A log that cannot be written must not stop a rollback.
    let _ = writeln!(std::io::stdout().lock(), "{}", text::json(&line.to_string()));
}
