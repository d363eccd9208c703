//! What the handlers have in common: reading fields of an event, and saying what is wrong with it.

use std::time::{SystemTime, UNIX_EPOCH};

use coalmine_core::ports::Fault;
use coalmine_core::text;
use coalmine_core::units::Timestamp;
use lambda_runtime::Diagnostic;
use serde_json::Value;

/// Characters of what is said to be wrong with an event, which may quote it; an event may have 6 MB.
const LONGEST_COMPLAINT: usize = 400;

/// Characters of what is said of a failed call, with everything that caused it.
const LONGEST_FAILURE: usize = 2000;

/// Bytes of a name, an ARN or a time in an event: no service has longer ones.
const LONGEST_TEXT: usize = 2048;

/// An event of a shape that the function does not know. Nothing was touched.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("this function takes {takes}; in this event {wrong}. Nothing was done")]
pub struct EventError {
    pub takes: &'static str,
    pub wrong: String,
}

impl From<EventError> for Diagnostic {
    fn from(error: EventError) -> Self {
        Self { error_type: "UnknownEvent".to_owned(), error_message: error.to_string() }
    }
}

/// A failed service call as the function's error, with everything that caused it.
pub fn failed(fault: &Fault) -> Diagnostic {
    let mut message = fault.to_string();
    let mut source = std::error::Error::source(fault);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    // What a service said is repeated.
    let message = text::shown(&message, LONGEST_FAILURE);
    tracing::error!(error = %message, "a service call failed");
    Diagnostic { error_type: "ServiceFault".to_owned(), error_message: message }
}

/// An answer as JSON.
pub fn answer(value: &impl serde::Serialize) -> Result<Value, Diagnostic> {
    serde_json::to_value(value)
        .map_err(|error| Diagnostic { error_type: "Answer".to_owned(), error_message: error.to_string() })
}

/// The present moment.
pub fn wall_clock() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Timestamp::from_epoch_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// An event being read on behalf of a function that takes one kind of events.
pub struct Reader<'a> {
    pub takes: &'static str,
    pub event: &'a Value,
}

impl Reader<'_> {
    /// The text at a path such as `detail.state.value`.
    pub fn text(&self, path: &str) -> Result<&str, EventError> {
        match self.find(path) {
            Some(Value::String(text)) if text.len() > LONGEST_TEXT => {
                Err(self.wrong(format!("`{path}` has {} bytes; at most {LONGEST_TEXT} are read", text.len())))
            }
            Some(Value::String(text)) if text.chars().any(text::is_harmful) => {
                Err(self.wrong(format!("`{path}` is `{text}`, with characters that no name has")))
            }
            Some(Value::String(text)) if !text.is_empty() => Ok(text),
            Some(other) => Err(self.wrong(format!("`{path}` is {other} where a text is expected"))),
            None => Err(self.wrong(format!("`{path}` is missing"))),
        }
    }

    /// Checks that a field has the one value that makes the event this function's.
    pub fn expect(&self, path: &str, wanted: &str) -> Result<(), EventError> {
        match self.text(path)? {
            found if found == wanted => Ok(()),
            found => Err(self.wrong(format!("`{path}` is `{found}` where `{wanted}` is expected"))),
        }
    }

    pub fn time(&self, path: &str) -> Result<Timestamp, EventError> {
        self.text(path)?.parse().map_err(|error| self.wrong(format!("`{path}`: {error}")))
    }

    pub fn find(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(self.event, |value, key| value.get(key)).filter(|value| !value.is_null())
    }

    /// The event's own words are in it, and it ends up in logs, answers and terminals: one short line.
    pub fn wrong(&self, wrong: String) -> EventError {
        EventError { takes: self.takes, wrong: text::shown(&wrong, LONGEST_COMPLAINT) }
    }
}
