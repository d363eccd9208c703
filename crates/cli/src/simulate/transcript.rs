//! What a run of a scenario has to tell, line by line and in numbers.

use std::collections::{BTreeMap, BTreeSet};

use coalmine_core::observation::{AlarmState, Routing, TestOutcome};
use coalmine_core::report;
use coalmine_core::rollout::{Event, PhaseName, Rollout, Why};
use coalmine_core::sim::environments::{Invoked, Used};
use coalmine_core::sim::language::{End, Written, end_of, reason_of};
use coalmine_core::sim::scenario::{Happened, Outcome, RunError, Scenario, What};
use coalmine_core::sim::traffic::Tally;
use coalmine_core::spec::Version;
use coalmine_core::units::{Span, Timestamp, Weight};
use coalmine_report::label;
use serde::Serialize;

use super::story::Requests;

/// A run that says more is cut short: nobody reads on.
const LINES_MAX: usize = 400;

/// Ordinary steps take less.
const TOLD_AFTER: Span = Span::from_minutes(15);

/// The same of what ordinarily takes a tick or two.
const TOLD_AFTER_IN_PASSING: Span = Span::from_minutes(3);
const TOLD_EVERY: Span = Span::from_hours(2);

/// An alarm's own event comes within this time of its change.
const DELIVERY: Span = Span::from_seconds(10);

/// Who does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Who {
    World,
    Coalmine,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub after: Span,
    pub who: Who,
    /// In capitals, at most twelve characters.
    pub label: String,
    pub text: String,
}

/// One run, told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transcript {
    pub file: String,
    pub title: String,
    pub seed: u64,
    pub target: String,
    pub old_version: String,
    pub new_version: String,
    pub requests_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    pub entries: Vec<Entry>,
    /// Entries that are left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: usize,
    /// The new version's share from each moment on, as the target really had it.
    pub weights: Vec<(Span, Weight)>,
    pub ended: End,
    pub ended_after: Span,
    pub why: String,
    /// When Coalmine last reported anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heard_after: Option<Span>,
    /// Since the start.
    pub requests: BTreeMap<String, Requests>,
    /// Sent where nothing could answer when Coalmine set the weight.
    pub requests_failed_because_of_coalmine: u64,
    /// Met nothing that could answer, whoever is to blame.
    pub requests_unserved: u64,
    /// What the requests needed, where they were run one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environments: Option<Used>,
    /// Whoever calls keeps what has failed.
    #[serde(skip)]
    pub is_tried_again: bool,
    /// What came otherwise than expected; `None` where nothing is expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_as_expected: Option<Vec<String>>,
    pub broken_promises: Vec<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Transcript {
    pub fn of(file: &str, written: &Written, seed: u64, run: &Result<Outcome, RunError>) -> Self {
        let scenario = &written.scenario;
        let mut told = Self {
            file: file.to_owned(),
            title: written.title.clone().unwrap_or_else(|| file.to_owned()),
            seed,
            target: scenario.target.key(),
            old_version: scenario.baseline.to_string(),
            new_version: String::new(),
            requests_per_second: scenario.traffic.per_second,
            started_at: None,
            entries: Vec::new(),
            left_out: 0,
            weights: Vec::new(),
            ended: end_of(run),
            ended_after: Span::ZERO,
            why: reason_of(run),
            last_heard_after: None,
            requests: BTreeMap::new(),
            requests_failed_because_of_coalmine: 0,
            requests_unserved: 0,
            environments: None,
            is_tried_again: false,
            not_as_expected: written.expect.as_ref().map(|expect| expect.missed(run)),
            broken_promises: Vec::new(),
        };
        match run {
            Ok(outcome) => told.tell(scenario, outcome),
            Err(RunError::Stalled(stalled)) => told.broken_promises.push(stalled.to_string()),
            Err(RunError::Refused(_) | RunError::Nothing | RunError::Impossible(_)) => {}
        }
        told
    }

    fn tell(&mut self, scenario: &Scenario, outcome: &Outcome) {
        let after = |at: Timestamp| at.since(outcome.started_at);
        self.new_version = outcome.rollout.canary.to_string();
        self.started_at = Some(outcome.started_at);
        self.weights = outcome.weights().into_iter().map(|(at, weight)| (after(at), weight)).collect();
        self.ended_after = after(ended_at(outcome));
        self.last_heard_after =
            outcome.reports.iter().rfind(|report| !report.lines.is_empty()).map(|report| after(report.now));
        let named = [&outcome.rollout.canary, &outcome.rollout.baseline];
        let versions: Vec<&Version> =
            outcome.pieces.iter().flat_map(|piece| piece.versions.keys()).chain(named).collect();
        self.requests =
            versions.into_iter().map(|version| (version.to_string(), requests(outcome.tally(version)))).collect();
        self.requests_unserved = outcome.unserved();
        self.environments = scenario.service.as_ref().map(|_| outcome.used());
        self.is_tried_again =
            scenario.service.as_ref().is_some_and(|service| service.invoked != Invoked::Synchronously);
        self.requests_failed_because_of_coalmine = because_of_coalmine(outcome);
        self.broken_promises = outcome.violations.iter().map(ToString::to_string).collect();
        let mut entries = Entries { outcome, found: Vec::new() };
        entries.faults(scenario);
        outcome.happened.iter().for_each(|happened| entries.happened(happened));
        entries.shortages();
        entries.undelivered();
        entries.written_by_others();
        std::iter::once(&outcome.rollout).chain(outcome.others.values()).for_each(|rollout| entries.history(rollout));
        entries.written_again();
        entries.held();
        self.entries = entries.in_order();
        self.left_out = self.entries.len().saturating_sub(LINES_MAX);
        self.entries.truncate(LINES_MAX);
    }
}

fn requests(tally: Tally) -> Requests {
    Requests { requests: tally.requests, failed: tally.failed }
}

fn ended_at(outcome: &Outcome) -> Timestamp {
    let terminal = |event: &&Event| event.entered.is_some_and(PhaseName::is_terminal);
    outcome.rollout.history.iter().rfind(terminal).map_or(outcome.stopped_at, |event| event.at)
}

/// Requests that found nobody, from when a write of ours gave their version more than it had.
fn because_of_coalmine(outcome: &Outcome) -> u64 {
    let mut writes = outcome.writes.iter().peekable();
    let mut weights = BTreeMap::from([(outcome.rollout.baseline.clone(), 1.0)]);
    let mut to_blame: BTreeSet<Version> = BTreeSet::new();
    let mut failed = 0;
    for piece in outcome.pieces.iter().filter(|piece| piece.from >= outcome.started_at) {
        while let Some(write) = writes.next_if(|write| write.at <= piece.from) {
            let now = weights_of(&write.routing);
            let raised =
                now.iter().filter(|(version, weight)| weights.get(*version).copied().unwrap_or(0.0) < **weight);
            for (version, _) in raised {
                if write.ours {
                    to_blame.insert(version.clone())
                } else {
                    to_blame.remove(version)
                };
            }
            weights = now;
        }
        for (version, tally) in &piece.versions {
            match tally.unserved {
                0 => _ = to_blame.remove(version),
                unserved => failed += if to_blame.contains(version) { unserved } else { 0 },
            }
        }
    }
    failed
}

/// What each version gets, all rules together.
fn weights_of(routing: &Routing) -> BTreeMap<Version, f64> {
    let routes = std::iter::once((&routing.primary, &routing.additional));
    let mut weights = BTreeMap::new();
    for (primary, additional) in routes.chain(routing.others.iter().map(|(primary, additional)| (primary, additional)))
    {
        let rest = additional.as_ref().map_or(Weight::FULL, |(_, weight)| weight.complement());
        *weights.entry(primary.clone()).or_default() += rest.share();
        if let Some((version, weight)) = additional {
            *weights.entry(version.clone()).or_default() += weight.share();
        }
    }
    weights
}

/// What a run has to tell, as it is found.
pub struct Entries<'a> {
    pub outcome: &'a Outcome,
    /// With what comes first of what happens in the same second.
    found: Vec<(Timestamp, u8, Entry)>,
}

impl Entries<'_> {
    pub fn add(&mut self, at: Timestamp, who: Who, label: impl Into<String>, text: impl Into<String>) {
        let after = at.since(self.outcome.started_at);
        let order = match who {
            Who::World => 0,
            Who::Coalmine => 1,
        };
        self.found.push((at, order, Entry { after, who, label: label.into(), text: text.into() }));
    }

    fn in_order(mut self) -> Vec<Entry> {
        self.found.sort_by_key(|(at, order, _)| (*at, *order));
        self.found.into_iter().map(|(_, _, entry)| entry).collect()
    }

    /// What is said of another rollout than the one that the scenario starts has its name.
    fn named(&self, rollout: &str, text: &str) -> String {
        if rollout == self.outcome.rollout.id { text.to_owned() } else { format!("{rollout}: {text}") }
    }

    fn faults(&mut self, scenario: &Scenario) {
        for window in &scenario.faults {
            let (from, until) = (self.outcome.started_at + window.from, self.outcome.started_at + window.until);
            let rest = if window.until > scenario.longest {
                ", for good".to_owned()
            } else {
                format!(", until {}", clock(window.until))
            };
            if from > self.outcome.stopped_at {
                continue;
            }
            self.add(from, Who::World, "FAULT", format!("{}{rest}", window.rule));
            if until <= self.outcome.stopped_at {
                self.add(until, Who::World, "FAULT ENDS", window.rule.to_string());
            }
        }
    }

    fn happened(&mut self, happened: &Happened) {
        let at = happened.at;
        match &happened.what {
            What::Alarm { name, state } => {
                let label = match state {
                    AlarmState::Alarm => "ALARM",
                    AlarmState::Ok => "ALARM OK",
                    AlarmState::InsufficientData => "ALARM BLIND",
                };
                let text = match state {
                    AlarmState::Alarm => format!("{name} goes to ALARM"),
                    AlarmState::Ok => format!("{name} is OK"),
                    AlarmState::InsufficientData => format!("{name} has no data"),
                };
                self.add(at, Who::World, label, text);
            }
            What::AlarmEvent { name } => {
                let changes = &self.outcome.alarm_changes;
                let own = changes.iter().any(|(when, of, _)| of == name && *when <= at && at.since(*when) <= DELIVERY);
                if !own {
                    self.add(at, Who::World, "EVENT", format!("an event about the alarm {name} arrives"));
                }
            }
            What::Command(event) => self.command(at, event, happened.answer.as_ref()),
            // Told as what was written.
            What::Written { .. } | What::RuleWritten { .. } => {}
            What::Health { group, healthy, unhealthy } => {
                let text = format!("{group}: {healthy} of {} targets pass their health checks", healthy + unhealthy);
                self.add(at, Who::World, "TARGETS", text);
            }
            What::Sticky(Some(kept)) => {
                self.add(at, Who::World, "STICKINESS", format!("clients stay with their target group for {kept}"));
            }
            What::Sticky(None) => self.add(at, Who::World, "STICKINESS", "off"),
            What::Tests { version, outcome } => {
                let text = match outcome {
                    TestOutcome::Passed => format!("the tests of {version} pass from now on"),
                    TestOutcome::Failed(why) => format!("the tests of {version} fail from now on: {why}"),
                };
                self.add(at, Who::World, "TESTS", text);
            }
        }
    }

    fn command(
        &mut self,
        at: Timestamp,
        event: &serde_json::Value,
        answer: Option<&Result<String, Vec<coalmine_core::spec::Problem>>>,
    ) {
        let word = |field: &str| event.get(field).and_then(serde_json::Value::as_str).unwrap_or_default();
        let mut text = format!("{} asks to {}", word("by"), word("command"));
        if !word("reason").is_empty() {
            text.push_str(&format!(": {}", word("reason")));
        }
        self.add(at, Who::World, "COMMAND", text);
        let rollouts = || std::iter::once(&self.outcome.rollout).chain(self.outcome.others.values());
        let shows = rollouts().flat_map(|rollout| &rollout.history).any(|event| event.at == at);
        match answer {
            Some(Err(problems)) => {
                let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
                self.add(at, Who::Coalmine, "REFUSED", said.join("; "));
            }
            Some(Ok(message)) if !shows => self.add(at, Who::Coalmine, "ANSWERED", message.clone()),
            Some(Ok(_)) | None => {}
        }
    }

    fn written_by_others(&mut self) {
        let outcome = self.outcome;
        for (at, rollout) in &outcome.fired {
            self.add(
                *at,
                Who::World,
                "SWITCH FIRES",
                format!("the dead man's switch of {rollout} puts all traffic back"),
            );
        }
        for write in outcome.writes.iter().filter(|write| !write.ours) {
            let by_switch = outcome.fired.iter().any(|(at, _)| *at == write.at);
            let by_service = !outcome.deployments.is_empty();
            if !by_switch {
                let who = if by_service { "the service" } else { "somebody else" };
                self.add(write.at, Who::World, "WRITTEN", format!("{who}: {}", write.routing));
            }
        }
    }

    /// Our writes that no history tells of: the table could not be written, or somebody undid what was wanted.
    fn written_again(&mut self) {
        let outcome = self.outcome;
        let mut last = None;
        for write in &outcome.writes {
            let again = last.replace(&write.routing).is_some_and(|last| last.to_string() == write.routing.to_string());
            let told = std::iter::once(&outcome.rollout)
                .chain(outcome.others.values())
                .flat_map(|rollout| &rollout.history)
                .any(|event| event.at == write.at);
            if write.ours && !told && !again {
                self.add(write.at, Who::Coalmine, "SETS", write.routing.to_string());
            }
        }
    }

    fn history(&mut self, rollout: &Rollout) {
        let mut before: Option<&Event> = None;
        let mut turned_back = None;
        for event in &rollout.history {
            let last = before.replace(event);
            if event.entered == Some(PhaseName::RollingBack) {
                turned_back = Some(event.why.clone());
            }
            if event.why == Why::SeenLive && last.is_some_and(|last| last.at == event.at) {
                continue;
            }
            let label = label(event);
            let text = match event.entered {
                // Why is what the line before says.
                Some(PhaseName::RolledBack | PhaseName::Superseded) if turned_back.as_ref() == Some(&event.why) => {
                    format!("all traffic is on {}", rollout.baseline)
                }
                Some(_) | None => report::sentence(&event.why),
            };
            self.add(event.at, Who::Coalmine, label, self.named(&rollout.id, &text));
        }
    }

    /// What keeps a rollout where it is, once nothing has happened for a while, and what fails, each time that it is something
    /// else.
    fn held(&mut self) {
        let outcome = self.outcome;
        let mut kept: BTreeMap<&str, Kept> = BTreeMap::new();
        for report in &outcome.reports {
            for line in &report.lines {
                let kept = kept.entry(&line.rollout).or_default();
                let since = last_event(outcome, &line.rollout, report.now);
                if kept.since != since {
                    (kept.since, kept.told) = (since, None);
                }
                let failing: Vec<String> = line.faults.iter().map(|text| without_numbers(text)).collect();
                if failing != kept.failing && !line.faults.is_empty() {
                    let mut faults = line.faults.clone();
                    faults.dedup();
                    self.add(report.now, Who::Coalmine, "FAILS", self.named(&line.rollout, &faults.join("; ")));
                }
                kept.failing = failing;
                if kept.is_due(report.now, line.phase) && !line.holding.is_empty() {
                    kept.told = Some(report.now);
                    self.add(report.now, Who::Coalmine, "HOLDS", self.named(&line.rollout, &line.holding.join("; ")));
                }
            }
            for fault in &report.faults {
                self.add(report.now, Who::Coalmine, "FAILS", fault.clone());
            }
        }
    }
}

/// How long a rollout is where it is.
#[derive(Default)]
struct Kept {
    /// When something last happened to it.
    since: Option<Timestamp>,
    /// When it was last said what holds it.
    told: Option<Timestamp>,
    failing: Vec<String>,
}

impl Kept {
    fn is_due(&self, now: Timestamp, phase: PhaseName) -> bool {
        let after = match phase {
            PhaseName::Pending | PhaseName::Shifting | PhaseName::RollingBack => TOLD_AFTER_IN_PASSING,
            PhaseName::Baking | PhaseName::Paused | PhaseName::Promoting => TOLD_AFTER,
            PhaseName::Promoted | PhaseName::RolledBack | PhaseName::Superseded => TOLD_AFTER,
        };
        match self.told {
            None => self.since.is_some_and(|since| now.since(since) >= after),
            Some(told) => now.since(told) >= TOLD_EVERY,
        }
    }
}

/// When something last happened to a rollout.
fn last_event(outcome: &Outcome, id: &str, now: Timestamp) -> Option<Timestamp> {
    let rollout = if outcome.rollout.id == id { Some(&outcome.rollout) } else { outcome.others.get(id) };
    rollout?.history.iter().rev().map(|event| event.at).find(|at| *at <= now)
}

fn without_numbers(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// `01:05`: hours and minutes since the start.
pub fn clock(after: Span) -> String {
    format!("{:02}:{:02}", after.seconds() / 3600, after.seconds() / 60 % 60)
}
