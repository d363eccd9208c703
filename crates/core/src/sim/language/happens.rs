//! What happens meanwhile, and what goes wrong.

use serde_json::json;

use super::leaves::{CommandWord, Count, WayWord};
use super::names::Names;
use super::raw::{RawAfterWeight, RawEvent, RawFault, RawWrite, RawWriteRule};
use crate::observation::TestOutcome;
use crate::ports::FaultKind;
use crate::sim::faults::{Rule, Way, When};
use crate::sim::scenario::{FaultWindow, Happening, Moment, What};
use crate::spec::decode::{At, value};
use crate::spec::problems::{Place, Problems, quoted};
use crate::spec::{AlbTarget, Target, Version, exactly_one, suggest};
use crate::units::{Span, Weight};

/// The start itself gets through.
const FAULTS_FROM: Span = Span::from_seconds(1);

/// Targets of one group; Elastic Load Balancing has at most 1000.
const TARGETS_MAX: u64 = 1_000;

/// What events may name.
#[derive(Debug)]
pub struct Known<'a> {
    pub target: &'a Target,
    pub canary: &'a Version,
    pub alarms: &'a [String],
    pub longest: Span,
}

impl Known<'_> {
    pub fn event(&self, at: At<RawEvent>, names: &mut Names<'_>, problems: &mut Problems) -> Option<Happening> {
        let At { place, value: Some(mut raw) } = at else { return None };
        one_of_each(&place, &raw, problems);
        let when = self.moment(&mut raw, problems);
        let what = self.what(raw, &place, names, problems);
        Some(Happening { when: when?, what: what? })
    }

    fn moment(&self, raw: &mut RawEvent, problems: &mut Problems) -> Option<Moment> {
        if let Some(At { place, value: Some(RawAfterWeight { weight, by }) }) = raw.after.take() {
            let by = value(by).unwrap_or(Span::ZERO);
            self.in_time(by, &place, problems);
            let At { place, value: Some(weight) } = weight? else { return None };
            if weight == Weight::ZERO {
                problems.add(&place, "`0%` is what there is at first; write a weight that is set later");
            }
            return Some(Moment::AfterWeight(weight, by));
        }
        let At { place, value: Some(at) } = raw.at.take()? else { return None };
        match at.0 {
            None => {
                let asks = raw.command.is_some() || raw.alarm_event.is_some();
                if asks {
                    problems.add(&place, "before the start nobody listens; commands and alarms' events have a time");
                }
                Some(Moment::Before)
            }
            Some(span) => {
                self.in_time(span, &place, problems);
                Some(Moment::After(span))
            }
        }
    }

    fn in_time(&self, span: Span, place: &Place, problems: &mut Problems) {
        if span > self.longest {
            let (span, longest) = (span.spec_form(), self.longest.spec_form());
            problems.add(place, format!("`{span}` is after the run has stopped (`longest`: `{longest}`)"));
        }
    }

    fn what(&self, mut raw: RawEvent, place: &Place, names: &mut Names<'_>, problems: &mut Problems) -> Option<What> {
        if raw.command.is_some() {
            return command(raw, place, names, problems);
        }
        for (field, given) in [
            ("by", raw.by.as_ref().map(|at| &at.place)),
            ("reason", raw.reason.as_ref().map(|at| &at.place)),
            ("rollout", raw.rollout.as_ref().map(|at| &at.place)),
            ("spec", raw.spec.as_ref().map(|at| &at.place)),
        ] {
            if let Some(given) = given {
                problems.add(given, format!("`{field}` belongs to a `command`"));
            }
        }
        if let Some(at) = raw.alarm {
            let change = at.value?;
            let name = self.alarm(change.name, problems);
            return Some(What::Alarm { name: name?, state: value(change.state)? });
        }
        if raw.alarm_event.is_some() {
            return Some(What::AlarmEvent { name: self.alarm(raw.alarm_event.take(), problems)? });
        }
        if let Some(at) = raw.write {
            return written(at.value?, &at.place, names, problems);
        }
        if let Some(at) = raw.write_rule {
            let alb = self.balancer(&at.place, "writeRule", problems)?;
            return rule_written(at.value?, alb, names, problems);
        }
        if let Some(at) = raw.health {
            self.balancer(&at.place, "health", problems)?;
            let health = at.value?;
            let group = names.at(health.group.as_ref(), problems);
            let healthy = targets(health.healthy, problems);
            let unhealthy = health.unhealthy.map_or(Some(0), |at| targets(Some(at), problems));
            return Some(What::Health { group: group?, healthy: healthy?, unhealthy: unhealthy? });
        }
        if let Some(at) = raw.stickiness {
            self.balancer(&at.place, "stickiness", problems)?;
            return Some(What::Sticky(at.value?.0));
        }
        let tests = value(raw.tests)?;
        let version = match &tests.version {
            Some(at) => names.at(Some(at), problems)?,
            None => self.canary.clone(),
        };
        let outcome = value(tests.fails).map_or(TestOutcome::Passed, |label| TestOutcome::Failed(label.0));
        Some(What::Tests { version, outcome })
    }

    fn alarm(&self, at: Option<At<crate::spec::leaves::AlarmName>>, problems: &mut Problems) -> Option<String> {
        let At { place, value: Some(name) } = at? else { return None };
        if !self.alarms.contains(&name.0) {
            let known: Vec<&str> = self.alarms.iter().map(String::as_str).collect();
            let hint = match known.is_empty() {
                true => "; neither the spec nor `alarms` names one".to_owned(),
                false => suggest::words(&name.0, &known),
            };
            problems.add(&place, format!("there is no alarm {}{hint}", quoted(&name.0)));
        }
        Some(name.0)
    }

    fn balancer(&self, place: &Place, field: &str, problems: &mut Problems) -> Option<&AlbTarget> {
        match self.target {
            Target::Alb(alb) => Some(alb),
            Target::Lambda(_) => {
                problems.add(place, format!("`{field}` is about target groups; the spec's target is an alias"));
                None
            }
        }
    }
}

fn one_of_each(place: &Place, raw: &RawEvent, problems: &mut Problems) {
    let moments = [("at", raw.at.as_ref().map(|at| &at.place)), ("after", raw.after.as_ref().map(|at| &at.place))];
    exactly_one(place, "moment", &moments, problems);
    let things = [
        ("alarm", raw.alarm.as_ref().map(|at| &at.place)),
        ("alarmEvent", raw.alarm_event.as_ref().map(|at| &at.place)),
        ("command", raw.command.as_ref().map(|at| &at.place)),
        ("write", raw.write.as_ref().map(|at| &at.place)),
        ("writeRule", raw.write_rule.as_ref().map(|at| &at.place)),
        ("health", raw.health.as_ref().map(|at| &at.place)),
        ("stickiness", raw.stickiness.as_ref().map(|at| &at.place)),
        ("tests", raw.tests.as_ref().map(|at| &at.place)),
    ];
    exactly_one(place, "thing that happens", &things, problems);
}

fn targets(at: Option<At<Count>>, problems: &mut Problems) -> Option<u32> {
    let At { place, value: Some(Count(count)) } = at? else { return None };
    if count > TARGETS_MAX {
        problems.add(&place, format!("{count} targets are more than the {TARGETS_MAX} that a group can have"));
    }
    u32::try_from(count).ok()
}

/// The rollout is filled in where it is started, unless another one is meant.
fn command(raw: RawEvent, place: &Place, names: &mut Names<'_>, problems: &mut Problems) -> Option<What> {
    let word = value(raw.command)?;
    let by = value(raw.by).map_or_else(|| "somebody".to_owned(), |label| label.0);
    let mut event = json!({ "command": word.name(), "by": by });
    match (word, raw.spec) {
        (CommandWord::Start, None) => problems.add(place, "a `start` needs the `spec` that it sends"),
        (CommandWord::Start, Some(at)) => {
            let inner = at.value?;
            names.named.extend(inner.spec.version.clone());
            event["spec"] = inner.value;
        }
        (_, Some(at)) => problems.add(&at.place, format!("only a `start` sends a spec, a `{}` does not", word.name())),
        (_, None) => {}
    }
    if let Some(reason) = value(raw.reason) {
        event["reason"] = json!(reason.0);
    }
    match (word, raw.rollout) {
        (CommandWord::Start, Some(at)) => problems.add(&at.place, "a `start` has its name in the spec"),
        (_, Some(at)) => event["rollout"] = json!(at.value?.0),
        (_, None) => {}
    }
    Some(What::Command(event))
}

fn written(raw: RawWrite, place: &Place, names: &mut Names<'_>, problems: &mut Problems) -> Option<What> {
    let primary = names.at(raw.version.as_ref(), problems);
    let additional = match value(raw.additional) {
        None => None,
        Some(additional) => {
            let version = names.at(additional.version.as_ref(), problems)?;
            Some((version, value(additional.weight)?))
        }
    };
    let primary = primary?;
    if additional.as_ref().is_some_and(|(version, _)| *version == primary) {
        problems.add(place, format!("{primary} is there twice; a weight is shared with another version"));
    }
    Some(What::Written { primary, additional })
}

fn rule_written(raw: RawWriteRule, alb: &AlbTarget, names: &mut Names<'_>, problems: &mut Problems) -> Option<What> {
    let At { place, value: Some(Count(number)) } = raw.rule? else { return None };
    let rules = alb.rules.len();
    let rule = usize::try_from(number).ok().filter(|number| (1..=rules).contains(number));
    if rule.is_none() {
        problems.add(&place, format!("there is no rule {number}; the spec's target has {rules}"));
    }
    let mut groups = Vec::new();
    for (name, at) in value(raw.groups)?.0 {
        let group = names.version(&name, &at.place, problems);
        groups.push((group?, at.value?.0));
    }
    Some(What::RuleWritten { rule: rule? - 1, groups })
}

pub fn fault(at: At<RawFault>, longest: Span, problems: &mut Problems) -> Option<FaultWindow> {
    let At { place, value: Some(raw) } = at else { return None };
    let from = value(raw.from).unwrap_or(FAULTS_FROM);
    let until = value(raw.until).unwrap_or_else(|| longest.plus(Span::from_seconds(1)));
    if until <= from {
        let (from, until) = (from.spec_form(), until.spec_form());
        problems.add(&place, format!("ends at `{until}`, before it begins (`{from}`)"));
    }
    let call = match raw.call {
        None => None,
        Some(At { place, value: Some(Count(0)) }) => {
            problems.add(&place, "calls are counted from 1");
            return None;
        }
        Some(at) => usize::try_from(at.value?.0 - 1).ok(),
    };
    let when = match (value(raw.operation), call) {
        (None, None) => When::Always,
        (None, Some(call)) => When::Call(call),
        (Some(operation), None) => When::Every(operation),
        (Some(operation), Some(call)) => When::Nth(operation, call),
    };
    Some(FaultWindow { from, until, rule: Rule { when, way: way(value(raw.way)?) } })
}

fn way(word: WayWord) -> Way {
    match word {
        WayWord::Throttled => Way::Fails(FaultKind::Throttled),
        WayWord::Denied => Way::Fails(FaultKind::Denied),
        WayWord::TimedOut => Way::Fails(FaultKind::TimedOut),
        WayWord::Rejected => Way::Fails(FaultKind::Rejected),
        WayWord::Failed => Way::Fails(FaultKind::Failed),
        WayWord::AnswerLost => Way::AnswerLost,
        WayWord::Stale => Way::Stale,
        WayWord::Half => Way::Half,
        WayWord::Hangs => Way::Hangs,
        WayWord::Panics => Way::Panics,
        WayWord::KilledBefore => Way::KilledBefore,
        WayWord::KilledAfter => Way::KilledAfter,
    }
}
