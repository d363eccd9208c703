//! What CloudFormation is told.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::resource::Caller;
use crate::spec::Version;
use crate::text;

/// CloudFormation takes no more than this, all fields together.
const BODY_BYTES_MAX: usize = 4096;

/// Characters of a reason to begin with: CloudFormation's console shows a few hundred, and a stack's ARN, which is 1,600
/// at most, and two names of 255 leave room for them.
const REASON_CHARS_MAX: usize = 1000;

/// What came of a request. Kept before it is told, so that it is the same however often it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// The version that the alias is to have.
    Succeeded { version: Option<Version>, rollout: Option<String> },
    /// The stack rolls back.
    Failed { reason: String },
}

impl Answer {
    /// The version that is live, or is to be.
    #[must_use]
    pub fn of(version: Version, rollout: Option<String>) -> Self {
        Self::Succeeded { version: Some(version), rollout }
    }

    /// The body of the answer, of 4,096 bytes at most.
    #[must_use]
    pub fn body(&self, caller: &Caller) -> String {
        let mut chars = REASON_CHARS_MAX;
        loop {
            let body = self.shortened(caller, chars).to_string();
            // A character may be written as six bytes twice over: half as many fit at last.
            if body.len() <= BODY_BYTES_MAX || chars == 0 {
                return body;
            }
            chars /= 2;
        }
    }

    fn shortened(&self, caller: &Caller, reason_chars: usize) -> Value {
        let mut body = json!({
            "PhysicalResourceId": caller.physical,
            "StackId": caller.stack,
            "RequestId": caller.request,
            "LogicalResourceId": caller.logical,
        });
        match self {
            Self::Succeeded { version, rollout } => {
                body["Status"] = "SUCCESS".into();
                // Both always have a value: a template that asks for an attribute that is missing fails.
                let version = version.as_ref().map_or("", |version| &version.0);
                body["Data"] = json!({ "Version": version, "Rollout": rollout.as_deref().unwrap_or_default() });
            }
            Self::Failed { reason } => {
                body["Status"] = "FAILED".into();
                body["Reason"] = text::shown(reason, reason_chars).into();
            }
        }
        body
    }
}
