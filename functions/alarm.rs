//! A CloudWatch alarm's state change, from EventBridge or as a direct alarm action, metric or composite.

use coalmine_core::driver;
use coalmine_core::text;
use coalmine_core::units::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;

use crate::budget::LambdaBudget;
use crate::event::{EventError, Reader, answer, failed, wall_clock};
use crate::tick::FURTHEST_AHEAD;
use crate::{App, log};

/// Characters of the word that says what suppresses an alarm's actions.
const LONGEST_WORD: usize = 100;

/// What a state change asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// The alarm went off: its rollouts are looked at now.
    Fired { alarm: String, at: Timestamp },
    /// Nothing to do; says why.
    Ignored { alarm: String, why: String },
}

pub async fn handle(app: &App, event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    let (alarm, at) = match read(&event.payload)? {
        Heard::Fired { alarm, at } => (alarm, at),
        Heard::Ignored { alarm, why } => {
            tracing::info!(%alarm, %why, "alarm event ignored");
            return Ok(serde_json::json!({ "alarm": alarm, "ignored": why }));
        }
    };
    // Events arrive late, never early: the later of the two is now, unless it is no time at all. The driver reads the
    // alarm's state again.
    let clock = wall_clock();
    let now = if at > clock + FURTHEST_AHEAD { clock } else { at.max(clock) };
    let budget = LambdaBudget::of(&event.context);
    let report =
        driver::alarm(&app.ports, &alarm, now, &budget, &app.settings).await.map_err(|fault| failed(&fault))?;
    log::report(&event.context, &report);
    answer(&report)
}

pub fn read(event: &Value) -> Result<Heard, EventError> {
    let reader = Reader { takes: "a CloudWatch alarm's state change, from EventBridge or as an alarm action", event };
    reader.expect("source", "aws.cloudwatch")?;
    let change = if reader.find("alarmData").is_some() {
        "alarmData"
    } else {
        reader.expect("detail-type", "CloudWatch Alarm State Change")?;
        "detail"
    };
    let alarm = reader.text(&format!("{change}.alarmName"))?.to_owned();
    let at = reader.time("time")?;
    let state = State::read(&reader, &format!("{change}.state"))?;
    // The first event of a new alarm has no previous state.
    let before = match reader.find(&format!("{change}.previousState")) {
        Some(_) => Some(State::read(&reader, &format!("{change}.previousState"))?),
        None => None,
    };
    Ok(match reason_to_ignore(&state, before.as_ref()) {
        Some(why) => Heard::Ignored { alarm, why },
        None => Heard::Fired { alarm, at },
    })
}

struct State {
    value: String,
    suppressed_by: Option<String>,
}

impl State {
    fn read(reader: &Reader<'_>, path: &str) -> Result<Self, EventError> {
        let value = reader.text(&format!("{path}.value"))?;
        if !["OK", "ALARM", "INSUFFICIENT_DATA"].contains(&value) {
            let states = "OK, ALARM or INSUFFICIENT_DATA is expected";
            return Err(reader.wrong(format!("`{path}.value` is `{value}` where {states}")));
        }
        let suppressed_by = reader.find(&format!("{path}.actionsSuppressedBy")).and_then(Value::as_str);
        Ok(Self { value: value.to_owned(), suppressed_by: suppressed_by.map(|by| text::words(by, LONGEST_WORD)) })
    }

    fn acts(&self) -> bool {
        self.value == "ALARM" && self.suppressed_by.is_none()
    }
}

/// ALARM after ALARM is news only where the suppression has ended: then the alarm acts for the first time.
fn reason_to_ignore(state: &State, before: Option<&State>) -> Option<String> {
    if state.value != "ALARM" {
        return Some(format!("it is {}, and only an alarm that goes into ALARM stops a rollout", state.value));
    }
    if let Some(by) = &state.suppressed_by {
        return Some(format!("its actions are suppressed ({by})"));
    }
    before.is_some_and(State::acts).then(|| "it was in ALARM before".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(state: Value, before: Value) -> Value {
        let detail = json!({ "alarmName": "checkout-5xx", "state": state, "previousState": before });
        let time = "2026-11-21T14:02:00Z";
        json!({ "source": "aws.cloudwatch", "detail-type": "CloudWatch Alarm State Change", "time": time, "detail": detail })
    }

    /// The same as an alarm's own action sends it, with CloudWatch's own way to write a time.
    fn direct(state: Value, before: Value) -> Value {
        let data = json!({ "alarmName": "checkout-5xx", "state": state, "previousState": before });
        json!({ "source": "aws.cloudwatch", "time": "2026-11-21T14:02:00.412+0000", "alarmData": data })
    }

    /// What follows from every state after every other, whichever way it is told. `none`: the alarm is new.
    const TABLE: &str = "
        now \\ before      none    OK      INSUFFICIENT_DATA  ALARM   suppressed
        OK                -       -       -                  -       -
        INSUFFICIENT_DATA -       -       -                  -       -
        ALARM             acts    acts    acts               -       acts
        suppressed        -       -       -                  -       -";

    #[test]
    fn only_the_moment_in_which_an_alarm_begins_to_act_counts() {
        let state = |word: &str| match word {
            "none" => Value::Null,
            "suppressed" => json!({ "value": "ALARM", "actionsSuppressedBy": "WaitPeriod" }),
            value => json!({ "value": value }),
        };
        let mut rows = TABLE.trim().lines().map(str::split_whitespace);
        let befores: Vec<&str> = rows.next().unwrap().skip(3).collect();
        let mut cells = 0;
        for mut row in rows {
            let now = row.next().unwrap();
            for (before, wanted) in befores.iter().zip(row) {
                for envelope in [change, direct] {
                    let alarm = "checkout-5xx".to_owned();
                    let heard = read(&envelope(state(now), state(before))).unwrap();
                    let fired = Heard::Fired { alarm, at: "2026-11-21T14:02:00Z".parse().unwrap() };
                    assert_eq!(heard == fired, wanted == "acts", "{now} after {before}: {heard:?}");
                    cells += 1;
                }
            }
        }
        assert_eq!(cells, 4 * 5 * 2);
    }

    #[test]
    fn what_is_ignored_says_why() {
        let suppressed = || json!({ "value": "ALARM", "actionsSuppressedBy": "WaitPeriod" });
        let is = |value: &str| json!({ "value": value });
        for (state, before, why) in [
            (is("ALARM"), is("ALARM"), "it was in ALARM before"),
            (suppressed(), is("OK"), "its actions are suppressed (WaitPeriod)"),
            (is("OK"), is("ALARM"), "it is OK, and only an alarm that goes into ALARM stops a rollout"),
            (
                is("INSUFFICIENT_DATA"),
                is("ALARM"),
                "it is INSUFFICIENT_DATA, and only an alarm that goes into ALARM stops a rollout",
            ),
        ] {
            let ignored = Heard::Ignored { alarm: "checkout-5xx".to_owned(), why: why.to_owned() };
            assert_eq!(read(&change(state, before)), Ok(ignored));
        }
    }

    #[test]
    fn every_way_in_which_cloudwatch_writes_a_time_is_read() {
        for (time, seconds) in [
            ("2019-10-02T17:04:40Z", 0),
            ("2019-10-02T17:04:40.989+0000", 0),
            ("2019-10-02T17:04:40+0000", 0),
            ("2019-10-02T17:04:40.989Z", 0),
            ("2019-10-02T17:04:40.989+00:00", 0),
            ("2019-10-02T19:04:41.000+0200", 1),
        ] {
            for envelope in [change, direct] {
                let mut event = envelope(json!({ "value": "ALARM" }), json!({ "value": "OK" }));
                event["time"] = time.into();
                let at = Timestamp::from_epoch_seconds(1_570_035_880 + seconds);
                assert_eq!(read(&event), Ok(Heard::Fired { alarm: "checkout-5xx".to_owned(), at }), "{time}");
            }
        }
    }

    #[test]
    fn an_unknown_shape_says_what_was_expected() {
        let red = || change(json!({ "value": "ALARM" }), Value::Null);
        let without = |key: &str| {
            let mut event = red();
            event.as_object_mut().unwrap().remove(key);
            event
        };
        for (event, wrong) in [
            (json!([]), "`source` is missing"),
            (without("detail-type"), "`detail-type` is missing"),
            (without("time"), "`time` is missing"),
            (without("detail"), "`detail.alarmName` is missing"),
            (
                change(json!({ "value": "RED" }), Value::Null),
                "`detail.state.value` is `RED` where OK, ALARM or INSUFFICIENT_DATA is expected",
            ),
            (change(json!({ "value": "ALARM" }), json!({})), "`detail.previousState.value` is missing"),
        ] {
            assert_eq!(read(&event).unwrap_err().wrong, wrong);
        }
    }
}
