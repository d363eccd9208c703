//! What one look at a rollout tells: everything that a screen, a log or a script may want to know, from the stored rollout and
//! its minutes alone. It judges with the very code that decides.

use std::collections::BTreeMap;

use coalmine_core::analysis::{Analysis, Count, MinuteSample, Pair, judge};
use coalmine_core::observation::AlarmState;
use coalmine_core::rollout::{PauseReason, Phase, PhaseName, Rollout};
use coalmine_core::spec::{CheckMode, Version};
use coalmine_core::units::{Minute, Span, Timestamp, Weight};
use coalmine_core::{driver, engine, report};
use schemars::JsonSchema;
use serde::Serialize;

use super::checks::{self, CheckView};
use super::headline;
use super::outlook::{self, Outlook};
use super::timetable::{self, Stage};

/// Minutes at the present weight that the traffic's share is taken from.
const SHARE_MINUTES: usize = 60;

/// Events that a view has. A screen shows four.
const EVENTS: usize = 12;

/// What the command function answers to `minutes`, but for the rollout itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Minutes {
    /// In rising order, each minute once.
    pub minutes: Vec<MinuteSample>,
    /// Why a series could not be read.
    pub unread: Vec<String>,
    /// `None` where there are none, or they are not known.
    pub alarms: Option<BTreeMap<String, AlarmState>>,
}

/// A rollout, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// The rollout's name.
    pub rollout: String,
    /// What the traffic is shifted on: `checkout:live`.
    pub target: String,
    /// The old version.
    #[schemars(with = "String")]
    pub baseline: Version,
    /// The new version.
    #[schemars(with = "String")]
    pub canary: Version,
    /// When it was looked at.
    #[schemars(with = "String")]
    pub looked_at: Timestamp,
    /// `pending`, `shifting`, `baking`, `paused`, `promoting`, `rollingBack`, `promoted`, `rolledBack` or `superseded`.
    #[schemars(with = "String")]
    pub phase: PhaseName,
    /// Nothing happens to it any more.
    pub ended: bool,
    /// A person has to decide.
    pub needs_you: bool,
    /// Is it on fire? The first line of every screen.
    pub headline: String,
    /// Whether somebody has to do something, and what happens when: a sentence each.
    pub to_do: Vec<String>,
    /// What can be said to it now, as commands.
    pub commands: Vec<String>,
    pub weight: WeightView,
    /// The weights it has had, the one it has, and those to come.
    pub timetable: Vec<Stage>,
    /// All requests of the minutes that are judged.
    pub requests: Requests,
    /// How sure the intervals are, as a share: 0.99.
    pub sure: f64,
    pub checks: Vec<CheckView>,
    pub alarms: Vec<AlarmView>,
    pub data: DataView,
    pub outlook: Outlook,
    /// What a release that was rolled back has cost; nothing where failures are not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impact: Option<Impact>,
    /// Newest first.
    pub events: Vec<EventView>,
    /// All events ever, also those that are no longer kept.
    pub events_total: u64,
    /// What prints the way out without Coalmine.
    pub by_hand: String,
}

/// The new version's share of the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WeightView {
    /// What the rollout wants; nothing where it wants nothing.
    #[schemars(with = "Option<String>")]
    pub wanted: Option<Weight>,
    /// What was seen live last.
    #[schemars(with = "Option<String>")]
    pub live: Option<Weight>,
    /// What the requests at this weight say, as a share.
    pub told: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    pub new: f64,
    pub old: f64,
}

/// An alarm of the spec: one that rings rolls back at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlarmView {
    pub name: String,
    /// Nothing where it was not read or does not exist.
    pub state: Option<AlarmState>,
    /// It was red at the start, and counts once it has been OK.
    pub muted: bool,
}

/// How old the numbers are.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataView {
    /// When the newest minute ended that has data of both versions; at 100 %, of the new one.
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
    /// Up to when minutes are old enough to promote on.
    #[schemars(with = "Option<String>")]
    pub settled_until: Option<Timestamp>,
    /// How far behind that normally is.
    #[schemars(with = "String")]
    pub normally_behind: Span,
    /// Why something could not be read. While there is anything, no weight rises.
    pub unread: Vec<String>,
    /// Why the traffic is not split as the weights say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Impact {
    /// Requests to the new version, and how many of them failed.
    pub requests: f64,
    pub failed: f64,
    /// Of those, what the old version would not have failed.
    pub due_to_release: f64,
    #[schemars(with = "String")]
    pub from: Timestamp,
    #[schemars(with = "String")]
    pub until: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The phase that was entered, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entered: Option<String>,
    /// Wanted from then on.
    #[schemars(with = "String")]
    pub weight: Weight,
    pub why: String,
}

/// What everything else is made from.
pub(super) struct Look<'a> {
    pub rollout: &'a Rollout,
    pub minutes: &'a [MinuteSample],
    /// `None` before the first minute.
    pub analysis: Option<&'a Analysis>,
    pub now: Timestamp,
}

impl View {
    #[must_use]
    pub fn of(rollout: &Rollout, minutes: &Minutes, now: Timestamp) -> Self {
        let now = now.max(rollout.now);
        let samples = driver::judged(rollout, &minutes.minutes, &minutes.unread, now);
        let analysis = (!samples.minutes.is_empty()).then(|| judge(&rollout.plan, &samples));
        let look = Look { rollout, minutes: &minutes.minutes, analysis: analysis.as_ref(), now };
        let outlook = outlook::of(&look);
        let checks = checks::of(&look);
        let ended = rollout.is_terminal();
        Self {
            rollout: rollout.id.clone(),
            target: rollout.spec.target.key(),
            baseline: rollout.baseline.clone(),
            canary: rollout.canary.clone(),
            looked_at: now,
            phase: rollout.phase.name(),
            ended,
            needs_you: report::needs_you(rollout),
            headline: headline::of(&look, &checks),
            to_do: headline::to_do(&look, &checks, &outlook),
            commands: commands(rollout),
            weight: look.weight(),
            timetable: timetable::of(&look),
            requests: look.requests(),
            sure: 1.0 - rollout.plan.false_rollback,
            checks,
            alarms: alarms(rollout, minutes.alarms.as_ref()),
            data: look.data(&minutes.unread),
            outlook,
            impact: look.impact(),
            events: events(rollout),
            events_total: rollout.events_total,
            by_hand: format!("coalmine undo {} --print", rollout.id),
        }
    }
}

impl Look<'_> {
    fn weight(&self) -> WeightView {
        let Rollout { weights, .. } = self.rollout;
        let wanted = if self.rollout.follows() { None } else { self.rollout.desired_weight() };
        WeightView { wanted, live: weights.last().map(|seen| seen.weight), told: self.told() }
    }

    /// The new version's share of the requests since the weight was seen live.
    fn told(&self) -> Option<f64> {
        if self.rollout.is_terminal() {
            return None;
        }
        let present = self.at_present_weight().into_iter().rev().take(SHARE_MINUTES);
        let (new, old) = present.filter_map(both).fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (new + old > 0.0).then(|| new / (new + old))
    }

    /// The minutes that lie wholly at the present weight.
    pub fn at_present_weight(&self) -> Vec<&MinuteSample> {
        let Some(weight) = self.rollout.weights.last().map(|seen| seen.weight) else { return Vec::new() };
        let (mixed, moving) = (self.rollout.mixed(), self.rollout.moving());
        let is_moving = |minute: Minute| moving.iter().any(|(from, until)| (*from..=*until).contains(&minute));
        let present = self.minutes.iter().rev().take_while(|sample| sample.weight == weight);
        let mut present: Vec<&MinuteSample> =
            present.filter(|sample| !mixed.contains(&sample.minute) && !is_moving(sample.minute)).collect();
        present.reverse();
        present
    }

    fn requests(&self) -> Requests {
        let all = |of: fn(&Pair) -> Option<f64>| -> f64 {
            self.minutes.iter().filter_map(|m| m.pairs.iter().find_map(of)).sum()
        };
        Requests { new: all(|pair| requests(pair.canary.as_ref())), old: all(|pair| requests(pair.baseline.as_ref())) }
    }

    fn data(&self, unread: &[String]) -> DataView {
        let ended = self.rollout.is_terminal();
        let both = self.analysis.and_then(|analysis| analysis.newest);
        // At 100 % only the new version has any.
        let alone = self.minutes.iter().rev().find(|sample| sample.pairs.iter().any(|pair| pair.canary.is_some()));
        let newest =
            both.max(alone.filter(|_| engine::alone_since(self.rollout).is_some()).map(|sample| sample.minute));
        let settled = engine::settled_before(self.rollout, self.now).start();
        DataView {
            until: newest.map(|minute| minute.plus(1).start()),
            settled_until: newest.filter(|_| !ended).map(|minute| settled.min(minute.plus(1).start())),
            normally_behind: self.rollout.lag.plus(self.rollout.request_timeout),
            unread: unread.to_vec(),
            split: self.analysis.and_then(|analysis| analysis.split.as_ref()).map(|split| split.sentence.clone()),
        }
    }

    /// By the check that counts failures; only of a release that went back.
    fn impact(&self) -> Option<Impact> {
        let (Phase::RollingBack { .. } | Phase::RolledBack { .. }) = self.rollout.phase else { return None };
        let errors =
            self.analysis?.comparisons.iter().find(|check| check.check == "errors" && check.slower.is_none())?;
        let Count { requests, events } = errors.canary;
        let expected = match errors.baseline.requests > 0.0 {
            true => errors.baseline.events / errors.baseline.requests * requests,
            false => 0.0,
        };
        let from = self.rollout.weights.iter().find(|seen| seen.weight > Weight::ZERO)?.at;
        let until =
            self.rollout.weights.iter().rev().find(|seen| seen.weight == Weight::ZERO).map_or(self.now, |seen| seen.at);
        let counted = requests > 0.0;
        counted.then(|| Impact { requests, failed: events, due_to_release: (events - expected).max(0.0), from, until })
    }

    /// The weight came so lately that there can hardly be data of it.
    pub fn is_young(&self) -> bool {
        let Phase::Baking { since, .. } = self.rollout.phase else { return false };
        let behind = self.rollout.lag.plus(self.rollout.request_timeout).plus(Span::from_minutes(2));
        self.now.since(since) < behind
    }

    /// What a promotion waits for.
    pub fn needed(&self) -> impl Iterator<Item = &coalmine_core::analysis::Comparison> {
        let all = self.analysis.map(|analysis| analysis.comparisons.as_slice()).unwrap_or_default();
        all.iter().filter(|check| check.mode != CheckMode::Observe && check.evidence.promotion_threshold > 0.0)
    }
}

/// Both versions' requests in a minute, the new one's first.
pub(super) fn both(sample: &MinuteSample) -> Option<(f64, f64)> {
    sample.pairs.iter().find_map(|pair| requests(pair.canary.as_ref()).zip(requests(pair.baseline.as_ref())))
}

fn requests(measured: Option<&coalmine_core::analysis::Measured>) -> Option<f64> {
    let measured = measured?;
    measured
        .count()
        .map(|count| count.requests)
        .or_else(|| measured.bins().map(coalmine_core::analysis::Bins::requests))
}

fn commands(rollout: &Rollout) -> Vec<String> {
    let words: &[&str] = match &rollout.phase {
        Phase::Paused { why: PauseReason::Asked { .. }, .. } => &["resume", "abort"],
        Phase::Paused { why: PauseReason::Approval, .. } => &["approve", "abort"],
        Phase::Paused { why: PauseReason::Undecided(_), .. } => &["promote", "abort"],
        Phase::Pending { .. } | Phase::Shifting { .. } | Phase::Baking { .. } => &["pause", "abort"],
        Phase::Promoting { .. } => &["abort"],
        Phase::RollingBack { .. } | Phase::Promoted { .. } | Phase::RolledBack { .. } | Phase::Superseded { .. } => &[],
    };
    words.iter().map(|word| format!("coalmine {word} {}", rollout.id)).collect()
}

fn alarms(rollout: &Rollout, states: Option<&BTreeMap<String, AlarmState>>) -> Vec<AlarmView> {
    let view = |name: &String| AlarmView {
        name: name.clone(),
        state: states.and_then(|states| states.get(name)).copied(),
        muted: rollout.alarms_muted.contains(name),
    };
    rollout.spec.alarms.names.iter().map(view).collect()
}

fn events(rollout: &Rollout) -> Vec<EventView> {
    let newest = rollout.history.iter().rev().take(EVENTS);
    let view = |event: &coalmine_core::rollout::Event| EventView {
        at: event.at,
        entered: event.entered.map(|phase| report::phase_word(phase).to_owned()),
        weight: event.weight,
        why: report::sentence(&event.why),
    };
    newest.map(view).collect()
}
