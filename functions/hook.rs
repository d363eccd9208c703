//! CodeDeploy's and ECS's lifecycle hooks. Not configured in this version, and nothing unjudged may count as judged.
//!
//! CodeDeploy learns a hook's result only from PutLifecycleEventHookExecutionStatus. Without it the deployment waits and
//! then fails, so an error, which shows in the function's own metrics, is the safe answer. ECS rolls back on `FAILED`,
//! as it does on an error; it would wait on `IN_PROGRESS` and go on, unjudged, on `SUCCEEDED`.

use lambda_runtime::Diagnostic;
use serde_json::{Value, json};

use crate::event::{EventError, Reader};

/// Who asks, and what for.
#[derive(Debug, PartialEq, Eq)]
pub enum Hook {
    CodeDeploy { deployment: String },
    Ecs { stage: String },
}

pub fn answer(event: &Value) -> Result<Value, Diagnostic> {
    match read(event)? {
        Hook::CodeDeploy { deployment } => Err(Diagnostic {
            error_type: "HooksNotConfigured".to_owned(),
            error_message: format!(
                "deployment hooks are not configured in this version of Coalmine: deployment {deployment} was not judged \
                 and no status was reported. Remove the hook from the deployment"
            ),
        }),
        Hook::Ecs { stage } => {
            tracing::error!(%stage, "deployment hooks are not configured in this version: the deployment is failed");
            Ok(json!({ "hookStatus": "FAILED" }))
        }
    }
}

pub fn read(event: &Value) -> Result<Hook, EventError> {
    let reader = Reader { takes: "a CodeDeploy or an Amazon ECS lifecycle hook", event };
    if reader.find("lifecycleStage").is_some() {
        return Ok(Hook::Ecs { stage: reader.text("lifecycleStage")?.to_owned() });
    }
    let deployment = reader.text("DeploymentId")?.to_owned();
    reader.text("LifecycleEventHookExecutionId")?;
    Ok(Hook::CodeDeploy { deployment })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_hook_is_ever_told_that_all_is_well() {
        let codedeploy = json!({ "DeploymentId": "d-1", "LifecycleEventHookExecutionId": "e" });
        let error = answer(&codedeploy).unwrap_err();
        assert_eq!(error.error_type, "HooksNotConfigured");
        assert!(error.error_message.contains("deployment d-1 was not judged"), "{}", error.error_message);
        assert_eq!(answer(&json!({ "lifecycleStage": "POST_SCALE_UP" })), Ok(json!({ "hookStatus": "FAILED" })));
        let unknown = answer(&json!({ "DeploymentId": "d-1" })).unwrap_err();
        assert_eq!(unknown.error_type, "UnknownEvent");
        assert!(unknown.error_message.contains("`LifecycleEventHookExecutionId` is missing"));
    }
}
