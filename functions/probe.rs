//! What must hold for any event, for fuzzing: every function reads it, or refuses it in one short line.

use coalmine_core::cloudformation::Caller;
use coalmine_core::command::Request;
use coalmine_core::probe::{Broken, problems, told};
use coalmine_core::units::Timestamp;
use serde_json::Value;

use crate::command::Allowed;
use crate::{alarm, command, hook, macros, report, resource, tick};

/// A refusal quotes at most 400 characters of the event, each at most ten when it is written out.
const REFUSAL_CHARS_MAX: usize = 1500;

/// A name from an event ends up in logs and queries.
const NAME_CHARS_MAX: usize = 2048;

/// Any bytes as an event.
///
/// # Errors
///
/// The promise that was broken.
pub fn event(bytes: &[u8]) -> Result<(), Broken> {
    let Ok(event) = serde_json::from_slice::<Value>(bytes) else { return Ok(()) };
    let clock = Timestamp::from_epoch_seconds(1_795_269_730);
    match alarm::read(&event) {
        Ok(alarm::Heard::Fired { alarm, .. }) => told(&alarm, NAME_CHARS_MAX)?,
        Ok(alarm::Heard::Ignored { alarm, why }) => {
            told(&alarm, NAME_CHARS_MAX)?;
            told(&why, REFUSAL_CHARS_MAX)?;
        }
        Err(error) => told(&error.to_string(), REFUSAL_CHARS_MAX)?,
    }
    match tick::read(&event, clock) {
        Ok(tick::Due::Now(_)) => {}
        Ok(tick::Due::Dropped(why)) => told(&why, REFUSAL_CHARS_MAX)?,
        Err(error) => told(&error.to_string(), REFUSAL_CHARS_MAX)?,
    }
    match report::read(&event) {
        Ok(ended) => told(&ended.rollout, NAME_CHARS_MAX)?,
        Err(error) => told(&error.to_string(), REFUSAL_CHARS_MAX)?,
    }
    hooked(&event, clock)?;
    stacked(&event, clock)?;
    [Allowed::Everything, Allowed::Stopping].into_iter().try_for_each(|allowed| commanded(&event, allowed))
}

/// A call by ECS is never refused, and gets its details back: no more than it sent.
fn hooked(event: &Value, clock: Timestamp) -> Result<(), Broken> {
    match hook::read(event, clock) {
        Ok(hook::Heard::CodeDeploy(hook)) => {
            told(&hook.execution, NAME_CHARS_MAX)?;
            told(&hook.deployment.to_string(), 2 * NAME_CHARS_MAX)
        }
        Ok(hook::Heard::News(deployment)) => told(&deployment.to_string(), 2 * NAME_CHARS_MAX),
        Ok(hook::Heard::Ecs(call)) => {
            let wait = coalmine_core::deployment::Reply::Wait(String::new());
            let (answer, came) = (call.answered(&wait).to_string().len(), event.to_string().len());
            if answer > came + 500 {
                return Err(Broken(format!("{answer} bytes are answered to {came}")));
            }
            match call.question {
                Ok(question) => told(&question.deployment.to_string(), 2 * NAME_CHARS_MAX),
                Err(error) => told(&error.to_string(), REFUSAL_CHARS_MAX),
            }
        }
        Err(error) => told(&error.to_string(), REFUSAL_CHARS_MAX),
    }
}

/// A template comes back whole, and nobody has this function call where Amazon does not answer.
fn stacked(event: &Value, clock: Timestamp) -> Result<(), Broken> {
    match resource::read(event, clock, false) {
        Ok(resource::Heard::Asked(asked)) => called(&asked.caller)?,
        Ok(resource::Heard::Decided(caller, answer)) => {
            called(&caller)?;
            let body = answer.body(&caller).len();
            let name = caller.physical.len() + caller.logical.len() + caller.stack.len() + caller.request.len();
            if body > 4096 && name < 2048 {
                return Err(Broken(format!("an answer of {body} bytes")));
            }
        }
        Err(error) => told(&error.to_string(), REFUSAL_CHARS_MAX)?,
    }
    match macros::answered("arn:aws:lambda:eu-west-1:111122223333:function:r", event) {
        Ok(answer) if answer["status"] == "failure" => {
            told(answer["errorMessage"].as_str().unwrap_or_default(), REFUSAL_CHARS_MAX)
        }
        Ok(answer) => {
            let kept = |name: &str| answer["fragment"].get(name) == event["fragment"].get(name);
            match ["Parameters", "Outputs", "Conditions", "Metadata"].into_iter().all(kept) {
                true => Ok(()),
                false => Err(Broken("more than the resources of a template has changed".to_owned())),
            }
        }
        Err(error) => told(&error.to_string(), REFUSAL_CHARS_MAX),
    }
}

fn called(caller: &Caller) -> Result<(), Broken> {
    told(&caller.physical, 2 * NAME_CHARS_MAX)?;
    told(&caller.stack, NAME_CHARS_MAX)?;
    let host = caller.url.strip_prefix("https://").and_then(|rest| rest.split(['/', '?', '#', ':']).next());
    match host.is_some_and(|host| host.to_ascii_lowercase().contains(".amazonaws.")) {
        true => Ok(()),
        false => Err(Broken(format!("an answer is sent to {host:?}"))),
    }
}

fn commanded(event: &Value, allowed: Allowed) -> Result<(), Broken> {
    let request = match command::read(event, allowed) {
        Ok(request) => request,
        Err(found) => return problems(&found),
    };
    if allowed == Allowed::Stopping && !["abort", "pause"].contains(&request.kind()) {
        return Err(Broken(format!("the abort function may {}", request.kind())));
    }
    match request {
        Request::Start { by, .. } => told(&by, 500),
        Request::Order { rollout, order } => {
            told(&rollout, 100)?;
            told(&order.by, 500)?;
            told(&order.reason, 500)
        }
        Request::Status { rollout } | Request::Minutes { rollout, .. } => told(&rollout, 100),
        Request::List { ended } => ended.and_then(|ended| ended.from).map_or(Ok(()), |from| told(&from, 200)),
        Request::Check { .. } | Request::Deployments => Ok(()),
    }
}
