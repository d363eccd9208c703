//! Deployments that CodeDeploy and Amazon ECS run: their lifecycle hooks, and the news that one has begun or changed.
//!
//! CodeDeploy learns what a hook came to by a call of its own, now or from a later tick; an error here only shows in the
//! function's metrics. Amazon ECS learns it from the answer, and takes an error for a refusal that rolls back: once an
//! event is known to be its hook, whatever goes wrong is answered `IN_PROGRESS`, and ECS asks again.

use coalmine_core::deployment::{DeploymentRef, EcsQuestion, EcsStage, FoundSpec, Hook, Question, Reply};
use coalmine_core::driver;
use coalmine_core::units::{Timestamp, Weight};
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::{Value, json};

use crate::budget::LambdaBudget;
use crate::config::ConfigError;
use crate::event::{EventError, Reader, answer, failed, wall_clock};
use crate::{App, log};

/// Seconds until ECS asks again. It takes no less than its own 30 for granted, and looks are a minute apart.
const CALL_BACK_SECONDS: u32 = 30;

/// The field of a hook's details that says when its stage was first asked about: ECS hands the details back.
const SINCE: &str = "coalmineSince";

/// What came in.
#[derive(Debug, PartialEq)]
pub enum Heard {
    CodeDeploy(Hook),
    News(DeploymentRef),
    Ecs(EcsCall),
}

/// A call by ECS. What cannot be read of it is no error: an error would roll back.
#[derive(Debug, PartialEq)]
pub struct EcsCall {
    /// To be handed back.
    details: Value,
    pub question: Result<EcsQuestion, EventError>,
}

/// `app` is what is wrong with the configuration where it could not be made: then only ECS gets an answer.
pub async fn handle(app: Result<&App, &ConfigError>, event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    let now = wall_clock();
    let call = match read(&event.payload, now)? {
        Heard::CodeDeploy(hook) => return told(app, Question::CodeDeploy(hook), now, &event).await,
        Heard::News(deployment) => return told(app, Question::News(deployment), now, &event).await,
        Heard::Ecs(call) => call,
    };
    let reply = match (app, &call.question) {
        (Ok(app), Ok(question)) => asked(app, question.clone(), now, &event).await,
        (Err(error), _) => Err(format!("the function is not configured: {error}")),
        (Ok(_), Err(error)) => Err(error.to_string()),
    };
    let reply = reply.unwrap_or_else(|wrong| {
        tracing::error!(error = %wrong, "a hook of Amazon ECS could not be taken up; it is told to ask again");
        Reply::Wait(wrong)
    });
    Ok(call.answered(&reply))
}

async fn told(
    app: Result<&App, &ConfigError>,
    question: Question,
    now: Timestamp,
    event: &LambdaEvent<Value>,
) -> Result<Value, Diagnostic> {
    let app = app.map_err(|error| Diagnostic {
        error_type: "Configuration".to_owned(),
        error_message: format!("the function is not configured: {error}"),
    })?;
    let budget = LambdaBudget::of(&event.context);
    let report =
        driver::hook(&app.ports, question, now, &budget, &app.settings).await.map_err(|fault| failed(&fault))?;
    log::report(&event.context, &report.report);
    answer(&report)
}

async fn asked(app: &App, question: EcsQuestion, now: Timestamp, event: &LambdaEvent<Value>) -> Result<Reply, String> {
    let budget = LambdaBudget::of(&event.context);
    let asked = driver::hook(&app.ports, Question::Ecs(question), now, &budget, &app.settings).await;
    let report = asked.map_err(|fault| fault.to_string())?;
    log::report(&event.context, &report.report);
    report.reply.ok_or_else(|| "no reply came of it".to_owned())
}

impl EcsCall {
    pub fn answered(&self, reply: &Reply) -> Value {
        let mut answer = json!({ "hookDetails": self.details });
        answer["hookStatus"] = match reply {
            Reply::Answer(answer) if answer.goes_on => "SUCCEEDED",
            Reply::Answer(_) => "FAILED",
            Reply::Wait(_) => {
                answer["callBackDelay"] = CALL_BACK_SECONDS.into();
                "IN_PROGRESS"
            }
        }
        .into();
        answer
    }
}

/// Hooks have no time of their own: `now` is when they came in.
pub fn read(event: &Value, now: Timestamp) -> Result<Heard, EventError> {
    let takes = "a lifecycle hook of CodeDeploy or Amazon ECS, or news of a CodeDeploy deployment";
    let reader = Reader { takes, event };
    if ["lifecycleStage", "executionDetails", "targetServiceRevisionArn"].iter().any(|key| reader.find(key).is_some()) {
        return Ok(Heard::Ecs(ecs(&reader, now)));
    }
    if reader.find("source").is_some() {
        reader.expect("source", "aws.codedeploy")?;
        reader.expect("detail-type", "CodeDeploy Deployment State-change Notification")?;
        return Ok(Heard::News(DeploymentRef::CodeDeploy(reader.text("detail.deploymentId")?.to_owned())));
    }
    let deployment = DeploymentRef::CodeDeploy(reader.text("DeploymentId")?.to_owned());
    let execution = reader.text("LifecycleEventHookExecutionId")?.to_owned();
    Ok(Heard::CodeDeploy(Hook { deployment, execution, received: now }))
}

fn ecs(reader: &Reader<'_>, now: Timestamp) -> EcsCall {
    let mut details = reader.event.get("hookDetails").cloned().unwrap_or_default();
    let since = details.get(SINCE).and_then(Value::as_str).and_then(|text| text.parse().ok()).unwrap_or(now);
    if details.is_null() {
        details = json!({});
    }
    if let Some(fields) = details.as_object_mut() {
        fields.insert(SINCE.to_owned(), since.to_string().into());
    }
    let question = question(reader, since);
    EcsCall { details, question }
}

fn question(reader: &Reader<'_>, since: Timestamp) -> Result<EcsQuestion, EventError> {
    let name = reader.text("lifecycleStage")?;
    let stage = EcsStage::ALL.into_iter().find(|stage| stage.name() == name).ok_or_else(|| {
        let known = EcsStage::ALL.map(EcsStage::name).join(", ");
        reader.wrong(format!("`lifecycleStage` is `{name}` where one of {known} is expected"))
    })?;
    let deployment = DeploymentRef::Ecs(reader.text("resourceArn")?.to_owned());
    let spec = reader.find("hookDetails.coalmine").map(|spec| FoundSpec {
        place: "hookDetails.coalmine".to_owned(),
        // JSON is YAML, too.
        text: spec.as_str().map_or_else(|| spec.to_string(), str::to_owned),
    });
    Ok(EcsQuestion { deployment, stage, weight: weight(reader, stage), since, spec })
}

/// The new revision's share of the traffic that the stage is about. The details are an object of their own, and were
/// beside the others once.
fn weight(reader: &Reader<'_>, stage: EcsStage) -> Option<Weight> {
    let within = |key: &str| reader.find("executionDetails").and_then(|details| details.get(key));
    let detail = |key: &str| within(key).or_else(|| reader.event.get(key));
    let weights = match stage {
        EcsStage::TestTrafficShift => "testTrafficWeights",
        EcsStage::ReconcileService
        | EcsStage::PreScaleUp
        | EcsStage::PostScaleUp
        | EcsStage::PostTestTrafficShift
        | EcsStage::PreProductionTrafficShift
        | EcsStage::ProductionTrafficShift
        | EcsStage::PostProductionTrafficShift => "productionTrafficWeights",
    };
    let percent = detail(weights)?.get(detail("targetServiceRevisionArn")?.as_str()?)?.as_f64()?;
    let hundredths = (percent * 100.0).round();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    (0.0..=10_000.0).contains(&hundredths).then_some(hundredths as u16).and_then(Weight::from_basis_points)
}

#[cfg(test)]
mod tests {
    use coalmine_core::deployment::HookAnswer;

    use super::*;

    const ARN: &str = "arn:aws:ecs:eu-west-1:111122223333:service-deployment/prod/cart/tTaQpXbE";

    fn now() -> Timestamp {
        "2026-11-21T14:02:00Z".parse().unwrap()
    }

    fn call(event: &Value) -> EcsCall {
        match read(event, now()).unwrap() {
            Heard::Ecs(call) => call,
            other @ (Heard::CodeDeploy(_) | Heard::News(_)) => panic!("{other:?}"),
        }
    }

    fn asked(details: Value) -> EcsCall {
        call(&json!({ "lifecycleStage": "POST_SCALE_UP", "resourceArn": ARN, "hookDetails": details }))
    }

    #[test]
    fn ecs_is_told_in_its_own_words_and_gets_its_details_back() {
        let call = asked(json!({ "team": "cart", "coalmineSince": "2026-11-21T13:00:00Z" }));
        let details = json!({ "team": "cart", "coalmineSince": "2026-11-21T13:00:00Z" });
        let answer = |goes_on| Reply::Answer(HookAnswer { goes_on, why: String::new() });
        for (reply, expected) in [
            (answer(true), json!({ "hookStatus": "SUCCEEDED", "hookDetails": details })),
            (answer(false), json!({ "hookStatus": "FAILED", "hookDetails": details })),
            (
                Reply::Wait("not judged yet".to_owned()),
                json!({ "hookStatus": "IN_PROGRESS", "callBackDelay": 30, "hookDetails": details }),
            ),
        ] {
            assert_eq!(call.answered(&reply), expected);
        }
    }

    #[test]
    fn the_first_call_of_a_stage_says_when_it_was_and_later_ones_keep_that() {
        let wait = Reply::Wait(String::new());
        let since = json!({ "coalmineSince": "2026-11-21T14:02:00Z" });
        for details in [Value::Null, json!({}), json!({ "coalmineSince": "soon" }), json!({ "coalmineSince": 7 })] {
            let call = asked(details);
            assert_eq!(call.answered(&wait)["hookDetails"], since);
            assert_eq!(call.question.unwrap().since, now());
        }
        let again = asked(json!({ "coalmineSince": "2026-11-21T13:58:12Z" }));
        assert_eq!(again.question.unwrap().since, "2026-11-21T13:58:12Z".parse().unwrap());
        // Nothing can be added to what is no object; it is handed back all the same.
        assert_eq!(asked(json!(["a", 1])).answered(&wait)["hookDetails"], json!(["a", 1]));
    }

    /// An error would roll back.
    #[test]
    fn a_hook_of_ecs_that_cannot_be_read_is_no_error() {
        for (event, wrong) in [
            (json!({ "lifecycleStage": "POST_SCALE_UP" }), "`resourceArn` is missing"),
            (json!({ "lifecycleStage": 7 }), "`lifecycleStage` is 7 where a text is expected"),
            (json!({ "executionDetails": {} }), "`lifecycleStage` is missing"),
            (json!({ "targetServiceRevisionArn": ARN, "resourceArn": ARN }), "`lifecycleStage` is missing"),
            (
                json!({ "lifecycleStage": "LUNCH", "resourceArn": ARN }),
                "`lifecycleStage` is `LUNCH` where one of RECONCILE_SERVICE, PRE_SCALE_UP, POST_SCALE_UP, TEST_TRAFFIC_SHIFT, \
                 POST_TEST_TRAFFIC_SHIFT, PRE_PRODUCTION_TRAFFIC_SHIFT, PRODUCTION_TRAFFIC_SHIFT, \
                 POST_PRODUCTION_TRAFFIC_SHIFT is expected",
            ),
        ] {
            assert_eq!(call(&event).question.unwrap_err().wrong, wrong);
        }
    }

    #[test]
    fn a_function_that_is_not_configured_keeps_ecs_waiting_and_refuses_the_others() {
        let error = match crate::config::Config::read(|name| (name == "_HANDLER").then(|| "hook".to_owned())) {
            Ok(crate::config::Config { handler: crate::config::Handler::Hook(Err(error)), .. }) => error,
            other => panic!("{other:?}"),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ask = |event: Value| {
            let event = LambdaEvent::new(event, lambda_runtime::Context::default());
            runtime.block_on(handle(Err(&error), event))
        };
        let told =
            ask(json!({ "lifecycleStage": "POST_SCALE_UP", "resourceArn": ARN, "hookDetails": { "a": 1 } })).unwrap();
        assert_eq!((&told["hookStatus"], &told["hookDetails"]["a"]), (&json!("IN_PROGRESS"), &json!(1)));
        let refused = ask(json!({ "DeploymentId": "d-1", "LifecycleEventHookExecutionId": "e" })).unwrap_err();
        assert_eq!(refused.error_type, "Configuration");
        assert!(refused.error_message.contains("COALMINE_TABLE is not set"), "{}", refused.error_message);
        let unknown = ask(json!({ "DeploymentId": "d-1" })).unwrap_err();
        assert_eq!(unknown.error_type, "UnknownEvent");
        assert!(unknown.error_message.contains("`LifecycleEventHookExecutionId` is missing"));
    }
}
