//! The report of a rollout that has ended: read, drawn, and put into the bucket. It hears of the end as everybody does, and
//! whatever goes wrong here goes wrong for nobody else: Lambda calls twice more, and keeps the event then.

use coalmine_core::driver;
use coalmine_core::rollout::PhaseName;
use coalmine_core::text;
use coalmine_report::{Origin, Source, one};
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::App;
use crate::budget::LambdaBudget;
use crate::event::{EventError, Reader, failed, wall_clock};

/// A rollout has ended. What else the event says of it is looked up: whoever may write events could make it up.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    pub rollout: String,
}

pub async fn handle(app: &App, event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    let Ended { rollout: id } = read(&event.payload)?;
    let budget = LambdaBudget::of(&event.context);
    let counted = driver::ended(&app.ports, &id, wall_clock(), &budget, &app.settings).await;
    let Some(counted) = counted.map_err(|fault| failed(&fault))? else {
        // Of another stack, or forgotten long ago, or made up. To ask again would not help.
        let message = format!("no rollout {} has ended; no report was written", text::shown(&id, ID_CHARS));
        tracing::error!(error = %message, "no report");
        return Ok(json!({ "errors": [{ "path": "detail.rollout", "message": message }] }));
    };
    if !counted.unread.is_empty() {
        tracing::warn!(unread = ?counted.unread, rollout = %id, "the report is without the newest minutes of these");
    }
    let origin = Origin::Deployed { region: app.ports.region() };
    let page = one(Source {
        rollout: &counted.rollout.rollout,
        minutes: &counted.minutes,
        unread: &counted.unread,
        alarms: counted.alarms.as_ref(),
        now: counted.now,
        origin: &origin,
    });
    let bytes = page.len();
    let report = app.ports.put_report(&id, page).await.map_err(|fault| failed(&fault))?;
    tracing::info!(rollout = %id, %report, bytes, "report written");
    Ok(json!({ "rollout": id, "report": report, "bytes": bytes, "unread": counted.unread }))
}

/// A name has 83 characters at most; an event may have anything.
const ID_CHARS: usize = 200;

pub fn read(event: &Value) -> Result<Ended, EventError> {
    let reader = Reader { takes: "Coalmine's own event of a rollout that has ended", event };
    reader.expect("source", "coalmine")?;
    reader.expect("detail-type", "Coalmine Rollout State Change")?;
    let phase = reader.text("detail.phase")?;
    let known = PhaseName::deserialize(Value::from(phase)).ok();
    if !known.is_some_and(PhaseName::is_terminal) {
        return Err(
            reader.wrong(format!("`detail.phase` is `{phase}` where promoted, rolledBack or superseded is expected"))
        );
    }
    Ok(Ended { rollout: reader.text("detail.rollout")?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(phase: &str, rollout: Value) -> Value {
        json!({
            "source": "coalmine", "detail-type": "Coalmine Rollout State Change",
            "detail": { "phase": phase, "rollout": rollout, "report": "https://elsewhere.example/x.html" },
        })
    }

    #[test]
    fn only_an_end_has_a_report() {
        for (phase, ends) in [
            ("pending", false),
            ("shifting", false),
            ("baking", false),
            ("paused", false),
            ("promoting", false),
            ("rollingBack", false),
            ("promoted", true),
            ("rolledBack", true),
            ("superseded", true),
            ("ended", false),
        ] {
            assert_eq!(read(&event(phase, "checkout-42".into())).is_ok(), ends, "{phase}");
        }
    }

    #[test]
    fn an_unknown_shape_says_what_was_expected() {
        let without = |field: &str| {
            let mut event = event("promoted", "checkout-42".into());
            event.as_object_mut().unwrap().remove(field);
            event
        };
        for (event, wrong) in [
            (json!([]), "`source` is missing"),
            (json!({ "source": "aws.events" }), "`source` is `aws.events` where `coalmine` is expected"),
            (without("detail-type"), "`detail-type` is missing"),
            (without("detail"), "`detail.phase` is missing"),
            (
                event("baking", "checkout-42".into()),
                "`detail.phase` is `baking` where promoted, rolledBack or superseded is expected",
            ),
            (event("promoted", Value::Null), "`detail.rollout` is missing"),
            (event("promoted", json!(["a"])), "`detail.rollout` is [\"a\"] where a text is expected"),
        ] {
            assert_eq!(read(&event).unwrap_err().wrong, wrong);
        }
    }
}
