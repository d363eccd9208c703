//! What stands on the page about a rollout: pure, of the rollout and its minutes.

use std::collections::BTreeMap;

use coalmine_core::analysis::replay::{Hindsight, hindsight};
use coalmine_core::analysis::{Comparison, Interval, MinuteSample, PlannedCheck, judge};
use coalmine_core::driver::{AtFull, at_full, judged};
use coalmine_core::observation::AlarmState;
use coalmine_core::report;
use coalmine_core::rollout::{PauseReason, Phase, PhaseName, Rollout, Why};
use coalmine_core::spec::{CheckKind, CheckMode};
use coalmine_core::units::{Minute, Timestamp, Weight};

use crate::charts::Glyph;
use crate::events::{Happened, happened};
use crate::html::Tone;
use crate::lead;
use crate::series::{Distribution, Part, Row, distribution, rows};
use crate::words::{clock, day};

/// A rollout, and all that is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub rollout: &'a Rollout,
    /// In rising order.
    pub minutes: &'a [MinuteSample],
    /// Series that could not be read.
    pub unread: &'a [String],
    /// The states of its alarms now, where somebody has looked.
    pub alarms: Option<&'a BTreeMap<String, AlarmState>>,
    pub now: Timestamp,
    pub origin: &'a Origin,
}

/// Where it comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// Nothing of it is real: what was simulated, and the command that does it again.
    Simulated { what: String, again: String },
    /// An account; the region where it is known.
    Deployed { region: Option<String> },
}

/// All that the page says, in words and numbers.
#[derive(Debug)]
pub struct Told<'a> {
    pub source: Source<'a>,
    pub state: String,
    pub tone: Tone,
    pub when: String,
    /// What was seen, where the traffic is, what it cost: a sentence each.
    pub lead: Vec<String>,
    pub checks: Vec<Check<'a>>,
    /// What it did with all traffic, beside what the old version did before; no comparison.
    pub at_full: Vec<AtFull>,
    pub alarms: String,
    /// How often chance alone does what was done here.
    pub chance: Option<(&'static str, String)>,
    pub events: Vec<Happened>,
    /// The new version's share: from, until, and how much.
    pub shares: Vec<(Timestamp, Timestamp, Weight)>,
    pub seen: Hindsight,
}

/// One check.
#[derive(Debug)]
pub struct Check<'a> {
    pub comparison: Comparison,
    pub planned: &'a PlannedCheck,
    pub index: usize,
    pub rows: Vec<Row>,
    pub distribution: Option<Distribution>,
}

/// What requests that failed there were.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Of the new version, all of them and those that failed.
    pub new: Part,
    /// Of the old one, in the minutes in which both had traffic.
    pub old: Part,
    /// How many would not have failed on the old version; negative where the new one is better.
    pub more: f64,
    pub until: Minute,
}

impl<'a> Told<'a> {
    pub fn of(source: Source<'a>) -> Self {
        let Source { rollout, minutes, .. } = source;
        let ladder: Vec<Weight> = rollout.spec.steps.iter().map(|step| step.weight).collect();
        let samples = judged(rollout, minutes, source.unread, source.now);
        let mut seen = hindsight(&rollout.plan, &ladder, &samples);
        // As the controller saw it. Only of what was given up, it has no opinion any more: no step is baking.
        match rollout.phase.name() {
            PhaseName::RolledBack | PhaseName::RollingBack | PhaseName::Superseded => {}
            PhaseName::Pending
            | PhaseName::Shifting
            | PhaseName::Baking
            | PhaseName::Paused
            | PhaseName::Promoting
            | PhaseName::Promoted => seen.analysis = judge(&rollout.plan, &samples),
        }
        let checks = rollout.plan.checks.iter().zip(&seen.analysis.comparisons).enumerate();
        let checks: Vec<Check<'a>> =
            checks.map(|(index, (planned, comparison))| Check::of(index, planned, comparison, minutes)).collect();
        let at_full = at_full(rollout, minutes, source.unread, source.now);
        let worse = beyond(rollout, &at_full).is_some();
        let (state, tone) = state(rollout);
        let state = match (worse, rollout.is_terminal()) {
            (true, true) => format!("{state}, LOOKS WORSE AT 100 %"),
            (true, false) => format!("{state}: LOOKS WORSE"),
            (false, _) => state,
        };
        let warns = worse || lead::would_have_turned_back(rollout).is_some();
        let tone = match tone {
            Tone::Good | Tone::Plain if warns => Tone::Warn,
            Tone::Good | Tone::Plain | Tone::Warn | Tone::Bad => tone,
        };
        let mut told = Self {
            source,
            state,
            tone,
            when: when(rollout, source.now),
            lead: Vec::new(),
            checks,
            at_full,
            alarms: alarms(rollout, source.alarms),
            chance: lead::chance(rollout),
            events: happened(rollout),
            shares: shares(rollout, source.now),
            seen,
        };
        told.lead = lead::sentences(&told);
        told
    }

    /// The check that is worse at 100 % than is tolerated, while the new version has all traffic.
    pub fn worse_at_full(&self) -> Option<&AtFull> {
        beyond(self.source.rollout, &self.at_full)
    }

    /// When it ended, or until when it is known.
    pub fn until(&self) -> Timestamp {
        self.source.rollout.ended_at().unwrap_or(self.source.now)
    }

    /// Of the check on failed requests, where there is one with data.
    pub fn cost(&self) -> Option<Cost> {
        let checks = &self.source.rollout.spec.checks;
        let index = checks.iter().position(|check| matches!(check.kind, CheckKind::Errors { .. }))?;
        let rows = &self.checks.get(index)?.rows;
        let (mut new, mut old) = (Part::default(), Part::default());
        let mut until = None;
        for row in rows {
            if let Some(part) = row.new {
                (new.all, new.some, until) = (new.all + part.all, new.some + part.some, Some(row.until));
            }
            // What the old version had while it was alone is no comparison.
            if let (Some(_), Some(part)) = (row.new, row.old) {
                (old.all, old.some) = (old.all + part.all, old.some + part.some);
            }
        }
        let more = new.some - new.all * old.rate()?;
        (new.all > 0.0).then_some(Cost { new, old, more, until: until? })
    }

    /// The last minute that has anything of both versions.
    pub fn known_until(&self) -> Option<Timestamp> {
        let rows = self.checks.iter().flat_map(|check| &check.rows);
        rows.filter(|row| row.new.is_some() || row.old.is_some()).map(|row| row.until.start()).max()
    }
}

impl<'a> Check<'a> {
    fn of(index: usize, planned: &'a PlannedCheck, comparison: &Comparison, minutes: &[MinuteSample]) -> Self {
        let above = comparison.slower.as_ref().map(|slower| slower.above);
        Self {
            comparison: comparison.clone(),
            planned,
            index,
            rows: rows(planned, index, above, minutes),
            distribution: distribution(planned, index, minutes),
        }
    }

    /// How it is drawn; nothing while nothing is known.
    pub fn glyph(&self) -> Option<Glyph> {
        let Interval { estimate, lower, upper } = self.comparison.ratio?;
        // Of a distribution the tolerance is how much slower, which is not how many more.
        let tolerated = report::tolerated_times(&self.comparison);
        Some(Glyph { low: lower, at: estimate, high: upper, tolerated })
    }

    pub fn is_level(&self) -> bool {
        self.comparison.level.is_some()
    }
}

fn beyond<'a>(rollout: &Rollout, at_full: &'a [AtFull]) -> Option<&'a AtFull> {
    let (Phase::Promoting { .. } | Phase::Promoted { .. }) = rollout.phase else { return None };
    at_full.iter().find(|full| full.beyond && full.mode != CheckMode::Observe)
}

fn state(rollout: &Rollout) -> (String, Tone) {
    let weight = rollout.weights.last().map_or(Weight::ZERO, |seen| seen.weight);
    match &rollout.phase {
        Phase::Pending { behind: Some(_), .. } => ("WAITING FOR ANOTHER ROLLOUT".to_owned(), Tone::Plain),
        Phase::Pending { .. } => ("NOT STARTED YET".to_owned(), Tone::Plain),
        Phase::Shifting { .. } | Phase::Baking { .. } => (format!("RUNNING AT {weight}"), Tone::Plain),
        Phase::Paused { why: PauseReason::Asked { .. }, .. } => (format!("PAUSED AT {weight}"), Tone::Warn),
        Phase::Paused { .. } => (format!("NEEDS YOU: PAUSED AT {weight}"), Tone::Warn),
        Phase::Promoting { live_since: None, .. } => ("GOING TO 100 %".to_owned(), Tone::Plain),
        Phase::Promoting { live_since: Some(_), .. } => ("WATCHED AT 100 %".to_owned(), Tone::Plain),
        Phase::RollingBack { .. } => ("ROLLING BACK".to_owned(), Tone::Bad),
        Phase::Promoted { .. } => ("PROMOTED".to_owned(), Tone::Good),
        Phase::RolledBack { .. } => ("ROLLED BACK".to_owned(), Tone::Bad),
        Phase::Superseded { .. } => ("SUPERSEDED".to_owned(), Tone::Warn),
    }
}

/// `21 Nov 2026, 14:03 to 14:11 UTC (8m)`.
fn when(rollout: &Rollout, now: Timestamp) -> String {
    let from = rollout.started_at;
    let (until, word) = match rollout.ended_at() {
        Some(ended) => (ended, ""),
        None => (now, "; still going on"),
    };
    format!("{}, {} to {} UTC ({}{word})", day(from), from.hour_minute(), clock(until, from), until.since(from))
}

fn alarms(rollout: &Rollout, now: Option<&BTreeMap<String, AlarmState>>) -> String {
    let names = &rollout.spec.alarms.names;
    let red = rollout.history.iter().find_map(|event| {
        if let Why::Alarm { names } = &event.why { Some((event.at, names.join(", "))) } else { None }
    });
    if let Some((at, red)) = red {
        return format!("{red} rang; seen at {} UTC", at.hour_minute());
    }
    let told = names.join(", ");
    if let Some(states) = now.filter(|states| !states.is_empty()) {
        let fine = states.values().filter(|state| **state == AlarmState::Ok).count();
        return format!("{fine} of {} OK: {told}", states.len());
    }
    match (names.as_slice(), rollout.alarms_muted.len()) {
        ([], _) => "none is named in the spec".to_owned(),
        ([_], 0) => format!("{told} was watched, and did not stop it"),
        (names, 0) => format!("{} were watched, and none of them stopped it: {told}", names.len()),
        (names, muted) => format!("{} watched, {muted} of them red from before the start: {told}", names.len()),
    }
}

/// As it was seen live.
fn shares(rollout: &Rollout, now: Timestamp) -> Vec<(Timestamp, Timestamp, Weight)> {
    let end = rollout.ended_at().unwrap_or(now).max(rollout.started_at);
    let before = std::iter::once((rollout.started_at, Weight::ZERO));
    let mut changes: Vec<(Timestamp, Weight)> = Vec::new();
    for (at, weight) in before.chain(rollout.weights.iter().map(|seen| (seen.at, seen.weight))) {
        if changes.last().is_none_or(|(_, last)| *last != weight) {
            changes.push((at, weight));
        }
    }
    let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([end]);
    changes.iter().zip(ends).map(|((from, weight), until)| (*from, until.max(*from), *weight)).collect()
}
