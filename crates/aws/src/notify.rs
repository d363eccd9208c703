//! Tells transitions to an event bus and to a topic.

use aws_sdk_cloudwatch::types::{Dimension, MetricDatum};
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use coalmine_core::ports::{Fault, FaultKind, Notifier};
use coalmine_core::rollout::{Notice, PhaseName};
use coalmine_core::spec::{LambdaTarget, Target};
use coalmine_core::text;
use serde::Serialize;

use crate::Aws;
use crate::errors::{Call, kind_of_answer};

const PUT_EVENTS: Call = Call::new("PutEvents", "events:PutEvents");
const PUBLISH: Call = Call::new("Publish", "sns:Publish");
const PUT_METRIC: Call = Call::new("PutMetricData", "cloudwatch:PutMetricData");

const NAMESPACE: &str = "Coalmine";
const METRIC: &str = "Verdict";

const EVENT_SOURCE: &str = "coalmine";
const EVENT_TYPE: &str = "Coalmine Rollout State Change";

/// SNS's own limit for a subject.
const SUBJECT_LENGTH: usize = 100;

impl Notifier for Aws {
    /// Both places get the notice again when one of them failed: receivers know a repetition by its key.
    async fn publish(&self, notice: &Notice) -> Result<(), Fault> {
        // What is stored has no link: where reports are is the stack's own matter, and may change.
        let report = notice.phase.is_terminal().then(|| self.report_link(&notice.rollout)).flatten();
        let told = serde_json::to_string(&Told { notice, report });
        let message = told.map_err(|error| PUT_EVENTS.refusal(FaultKind::Rejected, error.to_string()))?;
        // In a mail or on a chat's page it stands as it is.
        let message = text::json(&message);
        if let Some(bus) = &self.config.event_bus {
            self.put_event(bus, &message).await?;
        }
        if let Some(topic) = &self.config.topic_arn {
            let request = self.sns().publish().topic_arn(topic).subject(subject(notice)).message(&message);
            request.send().await.map_err(|error| PUBLISH.fault(error))?;
        }
        Ok(())
    }

    async fn measure(&self, target: &Target, worse: bool) -> Result<(), Fault> {
        let names = match target {
            Target::Lambda(LambdaTarget { function, alias, .. }) => {
                vec![("Function", function.clone()), ("Alias", alias.clone())]
            }
            Target::Alb(_) => vec![("TargetKey", target.key())],
        };
        let dimension = |(name, value)| Dimension::builder().name(name).value(value).build();
        let datum = MetricDatum::builder()
            .metric_name(METRIC)
            .set_dimensions(Some(names.into_iter().map(dimension).collect()))
            .value(if worse { 1.0 } else { 0.0 })
            .build();
        let request = self.cloudwatch().put_metric_data().namespace(NAMESPACE).metric_data(datum);
        request.send().await.map(drop).map_err(|error| PUT_METRIC.fault(error))
    }
}

impl Aws {
    async fn put_event(&self, bus: &str, detail: &str) -> Result<(), Fault> {
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(bus)
            .source(EVENT_SOURCE)
            .detail_type(EVENT_TYPE)
            .detail(detail)
            .build();
        let answer = self.eventbridge().put_events().entries(entry).send().await;
        let answer = answer.map_err(|error| PUT_EVENTS.fault(error))?;
        if answer.failed_entry_count() == 0 {
            return Ok(());
        }
        // An entry fails inside of an answer that succeeds as a whole.
        let failed = answer.entries().iter().find(|entry| entry.error_code().is_some());
        let code = failed.and_then(|entry| entry.error_code()).unwrap_or("no reason given");
        let message = failed.and_then(|entry| entry.error_message()).unwrap_or_default();
        Err(PUT_EVENTS.refusal(kind_of_answer(Some(code), None), format!("{code}: {message}")))
    }
}

/// A notice as it goes out.
#[derive(Debug, Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    notice: &'a Notice,
    /// Of a rollout that has ended: where its report is, or will be.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<String>,
}

/// One line in an inbox: printable ASCII, because SNS takes nothing else.
fn subject(notice: &Notice) -> String {
    let what = match notice.phase {
        PhaseName::Pending => "waits to start",
        PhaseName::Shifting => "gets traffic",
        PhaseName::Baking => "is watched",
        PhaseName::Paused => "is paused",
        PhaseName::Promoting => "is being promoted",
        PhaseName::RollingBack => "is being rolled back",
        PhaseName::Promoted => "is promoted",
        PhaseName::RolledBack => "was rolled back",
        PhaseName::Superseded => "was superseded",
    };
    let text = format!("Coalmine: {} {} {what} ({})", notice.target, notice.canary, notice.weight.spec_form());
    let printable = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    text.chars().map(printable).take(SUBJECT_LENGTH).collect()
}

#[cfg(test)]
mod tests;
