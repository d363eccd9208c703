//! The macro `Coalmine`: a template in, the template with a `Custom::Rollout` before every alias out.

use coalmine_core::cloudformation::macros::Macro;
use coalmine_core::text;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::{Value, json};

use crate::event::EventError;

/// Characters of what is said to be wrong with a template. CloudFormation shows it as the reason of the change set's failure.
const LONGEST_COMPLAINT: usize = 1000;

pub fn handle(service_token: &str, event: &LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    Ok(answered(service_token, &event.payload)?)
}

/// What is wrong with a template is an answer: CloudFormation shows it to whoever deploys.
pub fn answered(service_token: &str, event: &Value) -> Result<Value, EventError> {
    let takes = "a template, as CloudFormation gives it to a macro";
    let wrong = |wrong: &str| EventError { takes, wrong: wrong.to_owned() };
    let request = event.get("requestId").and_then(Value::as_str).ok_or_else(|| wrong("`requestId` is missing"))?;
    let fragment = event.get("fragment").ok_or_else(|| wrong("`fragment` is missing"))?;
    let params = event.get("params").unwrap_or(&Value::Null);
    Ok(match (Macro { service_token, params }).apply(fragment) {
        Ok(done) => {
            tracing::info!(guarded = ?done.guarded, left = ?done.left, "template transformed");
            json!({ "requestId": request, "status": "success", "fragment": done.fragment })
        }
        Err(problems) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let message = text::shown(&problems.join("; "), LONGEST_COMPLAINT);
            tracing::warn!(error = %message, "template refused");
            json!({ "requestId": request, "status": "failure", "fragment": fragment, "errorMessage": message })
        }
    })
}
