//! What kind of failure an answer of a service is.

use serde::{Deserialize, Serialize};

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultKind {
    Throttled,
    /// Not allowed: a missing permission. The detail names it.
    Denied,
    /// No answer in time: the effect may or may not have happened.
    TimedOut,
    /// The service refused the request as wrong.
    Rejected,
    /// Everything else, 5xx answers among them.
    Failed,
}

impl FaultKind {
    /// Whether whoever asked has asked for something wrong: the same again is refused again.
    #[must_use]
    pub fn is_of_the_request(self) -> bool {
        match self {
            Self::Rejected => true,
            Self::Throttled | Self::Denied | Self::TimedOut | Self::Failed => false,
        }
    }
}

impl std::fmt::Display for FaultKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Throttled => "was throttled",
            Self::Denied => "was denied",
            Self::TimedOut => "timed out",
            Self::Rejected => "was rejected",
            Self::Failed => "failed",
        })
    }
}
