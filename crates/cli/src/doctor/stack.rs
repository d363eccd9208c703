//! What is examined of a deployed Coalmine.

use std::collections::BTreeMap;

use coalmine_aws::Aws;
use coalmine_core::metrics::{Period, SeriesQuery, Stat};
use coalmine_core::ports::{Fault, MetricSource};
use coalmine_core::spec::MetricRef;
use coalmine_core::units::Timestamp;

use super::Findings;

/// The functions that every stack has, by their logical names.
const FUNCTIONS: [&str; 5] = ["Tick", "Alarm", "Command", "Abort", "Hook"];

/// A tick comes every minute, and its metric some minutes later.
const LOOKED_BACK_MINUTES: i64 = 10;
const TICKS_LEAST: f64 = 5.0;

pub async fn examine(aws: &Aws, stack: &str, now: Timestamp, findings: &mut Findings) {
    let (mut tick, mut missing) = (None, false);
    for logical in FUNCTIONS {
        let Some(found) = findings.of("stack", aws.functions_of_stack(stack, logical).await) else { return };
        match found.as_slice() {
            [] => {
                missing = true;
                findings.wrong(
                    "stack",
                    format!("stack {stack} has no function {logical}"),
                    "deploy it (docs/install.md), or name the stack that is: --stack NAME",
                );
            }
            [one] if logical == "Tick" => tick = Some(one.clone()),
            [_] => {}
            several => findings.note(
                "stack",
                format!("{} functions may be {logical} of stack {stack}: {}", several.len(), several.join(", ")),
                "nothing need be done, unless one of them is left over",
            ),
        }
    }
    let Some(tick) = tick else { return };
    if !missing {
        findings.fine("stack", format!("stack {stack} has its functions; {tick} ticks"));
    }
    schedule(aws, &tick, findings).await;
    if let Some(Some(reserved)) = findings.of("stack", aws.reserved_concurrency(&tick).await) {
        match reserved {
            0 => findings.wrong(
                "stack",
                format!("{tick} has no concurrency: it cannot run"),
                "remove its reserved concurrency of 0",
            ),
            reserved => findings.fine("stack", format!("{tick} has {reserved} of the account's concurrency to itself")),
        }
    }
    alive(aws, &tick, now, findings).await;
}

async fn schedule(aws: &Aws, tick: &str, findings: &mut Findings) {
    let Some(schedules) = findings.of("schedule", aws.schedules_of(tick).await) else { return };
    if schedules.is_empty() {
        findings.wrong("schedule", format!("no rule calls {tick}"), "deploy the stack again: its rule is gone");
    }
    for schedule in schedules {
        let said = format!("rule {}: {}", schedule.rule, schedule.expression);
        match schedule.enabled {
            true => findings.fine("schedule", said),
            false => {
                findings.wrong("schedule", format!("{said}, which is disabled: nothing is judged"), "enable the rule")
            }
        }
    }
}

async fn alive(aws: &Aws, tick: &str, now: Timestamp, findings: &mut Findings) {
    let until = now.minute();
    let query = |name: &str| SeriesQuery {
        metric: MetricRef {
            namespace: "AWS/Lambda".to_owned(),
            metric: name.to_owned(),
            dimensions: BTreeMap::from([("FunctionName".to_owned(), tick.to_owned())]),
        },
        stat: Stat::Sum,
        period: Period::Minute,
        from: until.plus(-LOOKED_BACK_MINUTES),
        until,
    };
    let asked = [query("Invocations"), query("Errors")];
    let answers: Result<Vec<_>, Fault> = aws.fetch(&asked).await.into_iter().collect();
    let Some(series) = findings.of("schedule", answers) else { return };
    let sum = |place: usize| series.get(place).map_or(0.0, |series| series.values().sum::<f64>());
    let (ticks, failed) = (sum(0), sum(1));
    let said = format!("{ticks} ticks in the last {LOOKED_BACK_MINUTES} minutes, {failed} of them failed");
    match (ticks >= TICKS_LEAST, failed > 0.0) {
        (true, false) => findings.fine("schedule", said),
        (true, true) => findings.wrong("schedule", said, "see the log of the function"),
        (false, _) => {
            findings.wrong("schedule", said, "a tick comes every minute: see the rule, and the account's concurrency")
        }
    }
}
