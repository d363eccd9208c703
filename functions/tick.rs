//! The minute tick: an EventBridge scheduled event whose `time` is "now".

use coalmine_core::driver;
use coalmine_core::units::{Span, Timestamp};
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;

use crate::budget::LambdaBudget;
use crate::event::{EventError, Reader, answer, failed, wall_clock};
use crate::{App, log};

/// A tick that comes later than this would judge a world that has moved on; the next tick is there already.
const STALE_AFTER: Span = Span::from_minutes(2);

/// What a scheduled event asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    Now(Timestamp),
    /// Too old to act on; says how old.
    Dropped(String),
}

pub async fn handle(app: &App, event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    let now = match read(&event.payload, wall_clock())? {
        Due::Now(now) => now,
        Due::Dropped(why) => {
            tracing::warn!(%why, "tick dropped");
            return Ok(serde_json::json!({ "dropped": why }));
        }
    };
    let budget = LambdaBudget::of(&event.context);
    // Side by side: neither must wait for the other's time to be over.
    let ((report, listed), resources) = tokio::join!(
        driver::tick_told(&app.ports, now, &budget, &app.settings),
        driver::resources(&app.ports, now, &budget, &app.settings)
    );
    let unread = usize::from(resources.is_err());
    let resources = resources.unwrap_or_else(|fault| {
        tracing::warn!(error = %fault, "the resources of stacks could not be read; the next tick tries again");
        Vec::new()
    });
    let faulty = resources.iter().filter(|line| !line.faults.is_empty()).count() + unread;
    resources.iter().for_each(|line| log::resource(&event.context.request_id, line));
    // What was done about hooks was done, though nothing was about rollouts.
    log::report(&event.context, &report);
    listed.map_err(|fault| failed(&fault))?;
    log::tick(&event.context, &report, faulty);
    let mut done = answer(&report)?;
    if !resources.is_empty() {
        done["resources"] = answer(&resources)?;
    }
    Ok(done)
}

/// A rollout's time never runs backwards: a slip by years would end every deadline and pause at once, for good.
pub const FURTHEST_AHEAD: Span = Span::from_hours(24);

fn not_far_ahead(reader: &Reader<'_>, time: Timestamp, clock: Timestamp) -> Result<(), EventError> {
    if time > clock + FURTHEST_AHEAD {
        return Err(reader.wrong(format!("`time`: {time} is more than {FURTHEST_AHEAD} ahead of the clock, {clock}")));
    }
    Ok(())
}

/// A time in the near future is taken as it is: whoever may invoke this function may say what time it is, as simulations do.
pub fn read(event: &Value, clock: Timestamp) -> Result<Due, EventError> {
    let reader = Reader { takes: "an EventBridge scheduled event", event };
    reader.expect("source", "aws.events")?;
    reader.expect("detail-type", "Scheduled Event")?;
    let time = reader.time("time")?;
    not_far_ahead(&reader, time, clock)?;
    let age = clock.since(time);
    if age > STALE_AFTER {
        let why = format!("the event of {time} is {age} old; a tick is dropped after {STALE_AFTER}");
        return Ok(Due::Dropped(why));
    }
    Ok(Due::Now(time))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tick(time: &str) -> Value {
        json!({ "source": "aws.events", "detail-type": "Scheduled Event", "time": time, "detail": {} })
    }

    #[test]
    fn a_tick_is_dropped_only_when_it_is_more_than_two_minutes_old() {
        let clock: Timestamp = "2026-11-21T14:02:00Z".parse().unwrap();
        for (time, due) in [
            ("2026-11-21T14:02:00Z", true),
            ("2026-11-21T14:00:00Z", true),
            ("2026-11-21T13:59:59Z", false),
            ("2026-11-21T18:00:00Z", true),
        ] {
            assert_eq!(matches!(read(&tick(time), clock).unwrap(), Due::Now(_)), due, "{time}");
        }
        let why = "the event of 2026-11-21T13:52:00Z is 10m old; a tick is dropped after 2m".to_owned();
        assert_eq!(read(&tick("2026-11-21T13:52:00Z"), clock), Ok(Due::Dropped(why)));
    }

    #[test]
    fn a_time_far_ahead_is_refused() {
        let clock: Timestamp = "2026-11-21T14:02:00Z".parse().unwrap();
        assert!(matches!(read(&tick("2026-11-22T14:02:00Z"), clock), Ok(Due::Now(_))));
        let message = "this function takes an EventBridge scheduled event; in this event `time`: 9999-11-22T14:02:00Z is \
                       more than 1d ahead of the clock, 2026-11-21T14:02:00Z. Nothing was done";
        assert_eq!(read(&tick("9999-11-22T14:02:00Z"), clock).unwrap_err().to_string(), message);
    }

    #[test]
    fn an_unknown_shape_says_what_was_expected() {
        let clock = wall_clock();
        for (event, wrong) in [
            (json!({}), "`source` is missing"),
            (json!("tick"), "`source` is missing"),
            (json!({ "source": 7 }), "`source` is 7 where a text is expected"),
            (json!({ "source": "aws.s3" }), "`source` is `aws.s3` where `aws.events` is expected"),
            (json!({ "source": "aws.events", "detail-type": null }), "`detail-type` is missing"),
            (tick("today"), "`time`: `today` is not a time; write it as `2026-11-21T14:02:00Z`"),
        ] {
            let message =
                format!("this function takes an EventBridge scheduled event; in this event {wrong}. Nothing was done");
            assert_eq!(read(&event, clock).unwrap_err().to_string(), message);
        }
    }
}
