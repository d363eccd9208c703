//! People's and pipelines' commands. `abort` is the same function with only the commands that stop something, so that
//! IAM can let many stop a rollout and few promote one.

use coalmine_core::command::{COMMANDS, Request};
use coalmine_core::driver;
use coalmine_core::spec::Problem;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::{Value, json};

use crate::App;
use crate::budget::LambdaBudget;
use crate::event::{answer, wall_clock};

/// Which commands a function carries out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    Everything,
    /// Abort and pause.
    Stopping,
}

/// Problems are an answer, not a function error: whoever asked must get all of them, and nothing is to be retried.
pub async fn handle(app: &App, allowed: Allowed, event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    let budget = LambdaBudget::of(&event.context);
    let outcome = match read(&event.payload, allowed) {
        Ok(request) => driver::command(&app.ports, request, wall_clock(), &budget, &app.settings).await,
        Err(problems) => Err(problems),
    };
    match outcome {
        Ok(done) => answer(&done.with_report(|rollout| app.ports.report_link(rollout))),
        Err(problems) => {
            tracing::warn!(problems = %problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; "), "command refused");
            Ok(json!({ "errors": problems }))
        }
    }
}

pub fn read(event: &Value, allowed: Allowed) -> Result<Request, Vec<Problem>> {
    let command = event.get("command").and_then(Value::as_str).unwrap_or_default();
    let stops = ["abort", "pause"].contains(&command);
    // Before anything else of the request is looked at: what it says does not matter here.
    if allowed == Allowed::Stopping && COMMANDS.contains(&command) && !stops {
        let message =
            format!("`{command}` is not for this function, which only aborts and pauses; ask the command function");
        return Err(vec![Problem::at("command", message)]);
    }
    Request::parse(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `<function>-<version>`, with the longest of each.
    #[test]
    fn a_rollout_with_the_longest_name_by_default_can_be_stopped() {
        let id = format!("{}-{}", "f".repeat(64), "9".repeat(18));
        for (command, allowed) in
            [("abort", Allowed::Stopping), ("pause", Allowed::Stopping), ("status", Allowed::Everything)]
        {
            let request = read(&json!({ "command": command, "rollout": id }), allowed).unwrap();
            assert_eq!(request.kind(), command);
        }
    }
}
