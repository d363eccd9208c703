//! What must hold for anything that AWS stores or answers, for fuzzing: nothing panics, what is told of it is short and
//! harmless, and no number that comes of it is nonsense.

use coalmine_core::deployment::DeploymentRef;
use coalmine_core::metrics::{Period, SeriesQuery, Stat};
use coalmine_core::observation::Routing;
use coalmine_core::ports::{AlarmSource, Deployments, LookError, MetricSource, RolloutStore, TrafficRouter};
use coalmine_core::probe::{Broken, told};
use coalmine_core::spec::{AlbTarget, KeepBaseline, MetricRef, RuleRef, Stickiness, Target, Version};
use coalmine_core::units::{Minute, Weight};
use serde_json::Value;

pub use crate::dynamodb::probe::stored;
use crate::testing::{Reply, scripted_and_broken, target};

/// A fault has 800 characters of its service's words, and says what was asked.
const TOLD_CHARS_MAX: usize = 1200;

/// Any bytes as answers: `{"ask": "alb", "replies": [{"status": 200, "xml": {"DescribeRules": ...}}]}`, each with a `json`,
/// `cbor` or `text` instead. When they are used up, the connection breaks.
///
/// # Errors
///
/// The promise that was broken.
pub fn answers(bytes: &[u8]) -> Result<(), Broken> {
    let Ok(script) = serde_json::from_slice::<Value>(bytes) else { return Ok(()) };
    let replies: Vec<Reply> = script["replies"].as_array().into_iter().flatten().take(20).map(reply).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.map_err(|error| Broken(error.to_string()))?;
    runtime.block_on(asked(script["ask"].as_str().unwrap_or_default(), replies))
}

async fn asked(ask: &str, replies: Vec<Reply>) -> Result<(), Broken> {
    let aws = scripted_and_broken(replies);
    let (alias, alb) = (target(), alb());
    match ask {
        "version" => looked(aws.version(&alias, None).await.map(drop)),
        "alb" => routed(aws.look(&alb).await),
        "survey" => looked(aws.survey(&alb).await.map(drop)),
        "health" => looked(aws.health(&alb, &group("blue"), &group("green")).await.map(drop)),
        "metrics" => measured(&aws.fetch(&queries()).await.into_iter().flatten().collect::<Vec<_>>()),
        "alarms" => failed(aws.states(&["checkout-5xx".to_owned()]).await.map(drop).err()),
        "active" => {
            let found = aws.active().await;
            let unreadable = found.iter().flatten().filter_map(|read| read.as_ref().err());
            unreadable.into_iter().try_for_each(|error| told(&error.fault.to_string(), TOLD_CHARS_MAX))?;
            failed(found.map(drop).err())
        }
        "sealed" => failed(aws.sealed("checkout-42").await.map(drop).err()),
        "hooks" => failed(aws.hooks().await.map(drop).err()),
        "codedeploy" => deployed(&aws, DeploymentRef::CodeDeploy("d-3GSL8P2NK".to_owned())).await,
        "ecs" => {
            let arn = "arn:aws:ecs:eu-west-1:111122223333:service-deployment/prod/cart/NCWGC2ZR";
            deployed(&aws, DeploymentRef::Ecs(arn.to_owned())).await
        }
        "shifting" => failed(aws.shifting(&alias).await.map(drop).err()),
        _ => routed(aws.look(&alias).await),
    }
}

fn failed(fault: Option<impl std::fmt::Display>) -> Result<(), Broken> {
    fault.map_or(Ok(()), |fault| told(&fault.to_string(), TOLD_CHARS_MAX))
}

fn looked(found: Result<(), LookError>) -> Result<(), Broken> {
    failed(found.err())
}

fn routed(found: Result<Routing, LookError>) -> Result<(), Broken> {
    let routing = match found {
        Ok(routing) => routing,
        Err(error) => return failed(Some(error)),
    };
    routing.lost.iter().try_for_each(|sentence| told(sentence, TOLD_CHARS_MAX))?;
    let text = serde_json::to_string(&routing).map_err(|error| Broken(error.to_string()))?;
    match serde_json::from_str::<Routing>(&text) {
        Ok(again) if again == routing => Ok(()),
        other => Err(Broken(format!("{routing:?} reads back as {other:?}"))),
    }
}

/// Every value is a number, in the minutes that were asked for.
fn measured(series: &[coalmine_core::metrics::Series]) -> Result<(), Broken> {
    let asked = Minute::from_index(START)..Minute::from_index(START + 60);
    let wrong = series.iter().flatten().find(|(minute, value)| !value.is_finite() || !asked.contains(minute));
    wrong.map_or(Ok(()), |wrong| Err(Broken(format!("{wrong:?} was measured"))))
}

async fn deployed(aws: &crate::Aws, reference: DeploymentRef) -> Result<(), Broken> {
    let deployment = match aws.deployment(&reference).await {
        Ok(deployment) => deployment,
        Err(error) => return failed(Some(error)),
    };
    let weights: Vec<Weight> = deployment.steps.iter().map(|stage| stage.weight).collect();
    if weights.windows(2).any(|pair| pair[0] >= pair[1]) || weights.contains(&Weight::FULL) {
        return Err(Broken(format!("its weights are {weights:?}")));
    }
    failed(aws.spec_for(&deployment).await.map(drop).err())
}

/// A whole minute.
const START: i64 = 29_921_160;

fn queries() -> Vec<SeriesQuery> {
    let query = |stat, period| SeriesQuery {
        metric: MetricRef { namespace: "Shop".to_owned(), metric: "Rows".to_owned(), dimensions: [].into() },
        stat,
        period,
        from: Minute::from_index(START),
        until: Minute::from_index(START + 60),
    };
    vec![query(Stat::Sum, Period::Minute), query(Stat::SampleCount, Period::Minute), query(Stat::Average, Period::Hour)]
}

fn group(name: &str) -> Version {
    Version(format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/{name}/1a2b"))
}

fn alb() -> Target {
    let rule = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/shop/9a8b/443/r1";
    Target::Alb(AlbTarget {
        rules: vec![RuleRef::Rule(rule.to_owned())],
        target_groups: ["blue".to_owned(), group("green").0],
        stickiness: Stickiness::Refuse,
        min_healthy_share: Weight::FULL,
        test_rule: None,
        keep_baseline: KeepBaseline::UntilNextRollout,
    })
}

fn reply(value: &Value) -> Reply {
    let status = value["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    let status = status.filter(|status| (100..1000).contains(status)).unwrap_or(200);
    if let Some(body) = value.get("cbor") {
        return Reply::cbor(status, body);
    }
    let body = match (value.get("json"), value.get("xml"), value.get("text")) {
        (Some(body), _, _) => body.to_string(),
        (None, Some(body), _) => xml(body),
        (None, None, Some(body)) => body.as_str().unwrap_or_default().to_owned(),
        (None, None, None) => return Reply::Broken,
    };
    Reply::Http { status, headers: Vec::new(), body: body.into_bytes() }
}

/// `{"a": [{"b": 1}]}` is `<a><member><b>1</b></member></a>`. Names are what they are; texts are escaped but for `<!`, so
/// that what XML has beyond elements may be there, too.
fn xml(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.starts_with("<!") => text.clone(),
        Value::String(text) => text.replace('&', "&amp;").replace('<', "&lt;"),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => items.iter().map(|item| format!("<member>{}</member>", xml(item))).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| format!("<{name}>{}</{name}>", xml(field))).collect()
        }
    }
}

#[cfg(test)]
mod tests;
