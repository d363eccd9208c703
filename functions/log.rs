//! One JSON object a line on standard output, where Lambda's log reads it.

use std::io::Write;

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
        .with_target("bootstrap", ours)
        .with_target("coalmine_core", ours)
        .with_target("coalmine_aws", ours);
    let lines =
        tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
    tracing_subscriber::registry().with(targets).with(lines).init();
}

/// Writes a report as an object, so that a log query can read its fields; as a value of a log event it would be a text.
pub fn report(name: &str, request_id: &str, report: &impl Serialize) {
    if !tracing::enabled!(Level::INFO) {
        return;
    }
    let line = serde_json::json!({ "level": "INFO", "requestId": request_id, name: report });
    // A log that cannot be written must not stop a rollback.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
