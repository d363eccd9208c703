//! The functions of a stack, and what they answer.

use coalmine_aws::{Aws, AwsConfig, CliCall};
use coalmine_core::ports::Switch;
use coalmine_core::rollout::Rollout;
use coalmine_core::text;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// What is wrong with what was asked, a sentence each.
    Problems(Vec<String>),
    /// AWS did not answer.
    Fault(String),
}

/// A deployed Coalmine.
pub struct Stack {
    runtime: Runtime,
    aws: Aws,
    function: String,
}

impl Stack {
    /// The function of the stack with this logical name, or the one that is named.
    pub fn find(stack: &str, function: Option<&str>, logical: &str) -> Result<Self, Refused> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Refused::Fault(format!("cannot start: {error}")))?;
        let (aws, found) = runtime.block_on(async {
            let aws = Aws::new(AwsConfig::default()).await;
            let found = match function {
                Some(name) => Ok(vec![name.to_owned()]),
                None => aws.functions_of_stack(stack, logical).await,
            };
            (aws, found)
        });
        let function = one_of(found.map_err(|fault| Refused::Fault(fault.to_string()))?, stack, logical)?;
        Ok(Self { runtime, aws, function })
    }

    pub fn ask(&self, request: &Value) -> Result<Value, Refused> {
        let answer = self.runtime.block_on(self.aws.ask_function(&self.function, request));
        let answer = answer.map_err(|fault| Refused::Fault(fault.to_string()))?;
        match problems(&answer) {
            problems if problems.is_empty() => Ok(answer),
            problems => Err(Refused::Problems(problems)),
        }
    }

    pub fn status(&self, id: &str) -> Result<(Value, Rollout), Refused> {
        let answer = self.ask(&json!({ "command": "status", "rollout": id }))?;
        let Some(rollout) = self.rollout_in(&answer) else {
            let message = format!("{} answered what this version of coalmine cannot read; update it", self.function);
            return Err(Refused::Fault(message));
        };
        Ok((answer, rollout))
    }

    pub fn rollout_in(&self, answer: &Value) -> Option<Rollout> {
        serde_json::from_value(answer.clone()).ok()
    }

    /// The rollout of this name, or the running one of this function or target.
    pub fn named(&self, name: &str) -> Result<String, Refused> {
        let listed = self.ask(&json!({ "command": "list" }))?;
        running(&listed, name)
    }

    pub fn calls_to_undo(&self, rollout: &Rollout) -> Result<Vec<CliCall>, Refused> {
        let Rollout { id, spec, baseline, canary, now, .. } = rollout;
        let switch = Switch { rollout: id, target: &spec.target, baseline, canary, at: *now };
        let calls = self.runtime.block_on(self.aws.calls_to_undo(&switch));
        calls.map_err(|fault| Refused::Fault(fault.to_string()))
    }
}

fn one_of(found: Vec<String>, stack: &str, logical: &str) -> Result<String, Refused> {
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Refused::Problems(vec![format!(
            "no function {stack}-{logical}-... is in this account and region: deploy the stack, or name another one with \
             --stack or its function with --function"
        )])),
        several => Err(Refused::Problems(vec![format!(
            "several functions may be meant: {}; name one with --function",
            several.join(", ")
        )])),
    }
}

/// Which rollout is meant. One that is not listed has ended, and is asked for by its name.
pub fn running(listed: &Value, name: &str) -> Result<String, Refused> {
    let rollouts = listed.get("rollouts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let of = |rollout: &Value, field: &str| rollout.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    if rollouts.iter().any(|rollout| of(rollout, "id") == name) {
        return Ok(name.to_owned());
    }
    let on_target = |rollout: &&Value| {
        let target = of(rollout, "target");
        target == name || target.split_once(':').is_some_and(|(function, _)| function == name)
    };
    let meant: Vec<String> = rollouts.iter().filter(on_target).map(|rollout| of(rollout, "id")).collect();
    match meant.as_slice() {
        [] => Ok(name.to_owned()),
        [one] => Ok(one.clone()),
        several => Err(Refused::Problems(vec![format!(
            "{name} has several rollouts: {}; name one of them",
            text::shown(&several.join(", "), 500)
        )])),
    }
}

/// `{"errors":[{"path":"spec.target","message":"..."}]}` as sentences.
pub fn problems(answer: &Value) -> Vec<String> {
    let errors = answer.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let sentence = |error: &Value| {
        let of = |field: &str| error.get(field).and_then(Value::as_str).unwrap_or_default();
        let path = Some(of("path")).filter(|path| !path.is_empty()).map(|path| format!("{path}: "));
        text::shown(&format!("{}{}", path.unwrap_or_default(), of("message")), 2_000)
    };
    errors.iter().map(sentence).collect()
}

/// Whether all that is wrong is the rollout's name.
pub fn is_unknown(problems: &[String]) -> bool {
    matches!(problems, [one] if one.starts_with("rollout: "))
}
