//! What is examined of a deployed Coalmine.

use std::collections::BTreeMap;

use coalmine_aws::{Aws, is_switch_of};
use coalmine_core::metrics::{Period, SeriesQuery, Stat};
use coalmine_core::ports::{Fault, MetricSource};
use coalmine_core::spec::{MetricRef, RolloutSpec};
use coalmine_core::text;
use coalmine_core::units::{Span, Timestamp};
use serde_json::{Value, json};

use super::Findings;
use crate::stack::Tag;
use crate::stack::asked::sentences;

/// How a denial reads, whatever was denied.
const DENIED: &str = " was denied: ";

/// The functions that every stack has, by their logical names; and those that the first ones did not have.
const FUNCTIONS: [(&str, bool); 7] = [
    ("Tick", true),
    ("Alarm", true),
    ("Command", true),
    ("Abort", true),
    ("Hook", true),
    ("Resource", false),
    ("Macro", false),
];

/// A tick comes every minute, and its metric some minutes later.
const LOOKED_BACK_MINUTES: i64 = 10;
const TICKS_LEAST: f64 = 5.0;

/// As long as what a rollout left is worth comparing with.
const ENDED_WITHIN: Span = Span::from_hours(30 * 24);

/// Of a name.
const NAME_CHARS: usize = 200;

/// Switches that are listed by name.
const NAMED_MAX: usize = 5;

/// Which stack is examined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    Named(String),
    Tagged(Tag),
}

impl Which {
    /// As people read it behind the word `stack`.
    pub fn shown(&self) -> String {
        match self {
            Self::Named(name) => text::shown(name, NAME_CHARS),
            Self::Tagged(Tag { key, value }) => {
                format!("with tag {}", text::shown(&format!("{key}={value}"), NAME_CHARS))
            }
        }
    }
}

/// What the stack told.
#[derive(Debug, Default)]
pub struct Told {
    /// The function that takes commands.
    pub command: Option<String>,
    /// The active rollouts, and those that have ended lately, as `list` answers; nothing where it did not answer.
    pub rollouts: Option<Vec<Value>>,
}

impl Told {
    /// The active rollout of a target.
    pub fn running(&self, target: &str) -> Option<&Value> {
        self.of(target).find(|rollout| !has_ended(rollout))
    }

    /// The one that ended last there, promoted or rolled back.
    pub fn ended_last(&self, target: &str) -> Option<&Value> {
        let left = self.of(target).filter(|rollout| ["promoted", "rolledBack"].contains(&of(rollout, "phase")));
        left.max_by_key(|rollout| of(rollout, "since").to_owned())
    }

    fn of(&self, target: &str) -> impl Iterator<Item = &Value> {
        self.rollouts.iter().flatten().filter(move |rollout| of(rollout, "target") == target)
    }
}

/// A field of a rollout's summary.
pub fn of<'a>(rollout: &'a Value, field: &str) -> &'a str {
    rollout.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn has_ended(rollout: &Value) -> bool {
    ["promoted", "rolledBack", "superseded"].contains(&of(rollout, "phase"))
}

pub async fn examine(aws: &Aws, stack: &Which, now: Timestamp, findings: &mut Findings) -> Told {
    let mut told = Told::default();
    let Some((tick, command)) = functions(aws, stack, findings).await else { return told };
    told.command = command;
    if let Some(command) = &told.command {
        told.rollouts = rollouts(aws, command, now, findings).await;
    }
    let Some(tick) = tick else { return told };
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
    if let Some(settings) = findings.of("stack", aws.settings_of(&tick).await) {
        settled(&settings, findings);
        switches(aws, &settings, &told, findings).await;
    }
    told
}

/// The functions that tick and that take commands, as far as they are there.
async fn functions(aws: &Aws, which: &Which, findings: &mut Findings) -> Option<(Option<String>, Option<String>)> {
    let (mut tick, mut command, mut missing) = (None, None, false);
    let stack = which.shown();
    for (logical, always) in FUNCTIONS {
        let found = match which {
            Which::Named(name) => aws.functions_of_stack(name, logical).await,
            Which::Tagged(Tag { key, value }) => aws.functions_with_tag((key.as_str(), value.as_str()), logical).await,
        };
        let found = findings.of("stack", found)?;
        match found.meant.as_slice() {
            [] if always => {
                missing = true;
                findings.wrong(
                    "stack",
                    format!("stack {stack} has no function {logical}"),
                    "deploy it (docs/install.md), or name the stack that is: --stack NAME",
                );
            }
            [] => findings.note(
                "stack",
                format!("stack {stack} has no function {logical}: its template is older than this coalmine"),
                "deploy the newer template, if you want what it brings (CHANGELOG.md)",
            ),
            [one] if logical == "Tick" => tick = Some(one.clone()),
            [one] if logical == "Command" => command = Some(one.clone()),
            [_] => {}
            several => findings.note(
                "stack",
                format!("{} functions may be {logical} of stack {stack}: {}", several.len(), several.join(", ")),
                "nothing need be done, unless one of them is left over",
            ),
        }
    }
    if let (Some(tick), false) = (&tick, missing) {
        findings.fine("stack", format!("stack {stack} has its functions; {tick} ticks"));
    }
    Some((tick, command))
}

/// Those that run, and those that have ended lately: of the newest a page, which is enough to know what was left.
async fn rollouts(aws: &Aws, command: &str, now: Timestamp, findings: &mut Findings) -> Option<Vec<Value>> {
    let request = json!({ "command": "list", "since": now - ENDED_WITHIN });
    let answer = findings.of("rollouts", aws.ask_function(command, &request).await)?;
    let Some(rollouts) = answer.get("rollouts").and_then(Value::as_array) else {
        let said = format!("{command} does not list rollouts: {}", sentences(&answer, "errors").join("; "));
        findings.wrong("rollouts", said, "see the log of the function");
        return None;
    };
    if answer.get("endedSince").is_none() {
        let said = "the stack's functions are older than this coalmine: they do not tell what has ended";
        findings.note("stack", said, "deploy the newer build over it (docs/install.md)");
    }
    let (active, ended): (Vec<&Value>, Vec<&Value>) = rollouts.iter().partition(|rollout| !has_ended(rollout));
    findings.fine("rollouts", format!("{} run, {} ended lately", active.len(), ended.len()));
    let needing = active.iter().filter(|rollout| rollout.get("needsYou").and_then(Value::as_bool) == Some(true));
    for rollout in needing {
        findings.note("rollouts", format!("{} needs you: {}", of(rollout, "id"), of(rollout, "message")), "decide");
    }
    Some(rollouts.clone())
}

/// What was chosen, and is easily forgotten.
fn settled(settings: &BTreeMap<String, String>, findings: &mut Findings) {
    if settings.get("COALMINE_MODE").is_some_and(|mode| mode == "observe") {
        let said = "COALMINE_MODE is observe: everything is decided and reported, and nothing is moved";
        findings.note("stack", said, "deploy with Mode=enforce when it is to move traffic");
    }
    if settings.get("COALMINE_SWITCH").is_some_and(|switch| switch == "off") {
        let said = "there is no dead man's switch: traffic stays split while no tick comes";
        findings.note("switch", said, "deploy with Switch=15m (docs/switch.md)");
    }
}

/// What waits to put traffic back, of rollouts that are no more.
async fn switches(aws: &Aws, settings: &BTreeMap<String, String>, told: &Told, findings: &mut Findings) {
    let group = settings.get("COALMINE_SWITCH_GROUP").filter(|group| !group.is_empty());
    let (Some(group), Some(rollouts)) = (group, &told.rollouts) else { return };
    let Some(waiting) = findings.of("switch", aws.switches_waiting(group).await) else { return };
    // One that has ended, and whose switch is not removed yet, is active.
    let active: Vec<&str> = rollouts
        .iter()
        .filter(|rollout| rollout.get("active").and_then(Value::as_bool).unwrap_or(!has_ended(rollout)))
        .map(|rollout| of(rollout, "id"))
        .collect();
    let left: Vec<&String> =
        waiting.iter().filter(|name| !active.iter().any(|rollout| is_switch_of(name, rollout))).collect();
    if left.is_empty() {
        return findings.fine("switch", format!("{} wait, each of a rollout that runs", waiting.len()));
    }
    let names: Vec<&str> = left.iter().take(NAMED_MAX).map(|name| name.as_str()).collect();
    let more = if left.len() > NAMED_MAX { ", ..." } else { "" };
    findings.wrong(
        "switch",
        format!("{} dead man's switches wait for rollouts that do not run: {}{more}", left.len(), names.join(", ")),
        &format!(
            "each puts all traffic back at its time: see `aws scheduler get-schedule --group-name {group} --name NAME`, and \
             delete it if that version is not to come back"
        ),
    );
}

/// Whether the deployed role may look at what a start looks at: the function is asked, and nothing is written.
pub async fn may(aws: &Aws, command: &str, spec: &RolloutSpec, findings: &mut Findings) {
    let request = json!({ "command": "check", "spec": coalmine_core::spec::effective(spec) });
    let Some(answer) = findings.of("role", aws.ask_function(command, &request).await) else { return };
    let problems = sentences(&answer, "errors");
    if problems.iter().any(|problem| problem.starts_with("command: ")) {
        let said = "the stack's functions are older than this coalmine: they cannot be asked what they may";
        return findings.note("role", said, "deploy the newer build over it (docs/install.md)");
    }
    let problems = [problems, sentences(&answer, "warnings")].concat();
    let denied: Vec<&String> = problems.iter().filter(|problem| problem.contains(DENIED)).collect();
    for problem in &denied {
        let right = "widen TargetFunctions or TargetLoadBalancers of the stack, or its permissions boundary";
        findings.wrong("role", format!("of {command}: {problem}"), right);
    }
    if denied.is_empty() {
        findings
            .fine("role", format!("{command} may read all that a start reads; what it may write shows when it does"));
    }
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
