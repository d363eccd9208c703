//! What one look at a rollout tells: everything that a screen, a log or a script may want to know, from the stored rollout and
//! its minutes alone. It judges with the very code that decides.

use std::collections::BTreeMap;

use coalmine_core::analysis::{Analysis, Comparison, Count, Doubt, MinuteSample, Pair, judge};
use coalmine_core::driver::AtFull;
use coalmine_core::observation::AlarmState;
use coalmine_core::rollout::{PauseReason, Phase, PhaseName, Rollout, Why};
use coalmine_core::spec::{CheckMode, Mode, Version};
use coalmine_core::units::{Minute, Span, Timestamp, Weight};
use coalmine_core::way_out::WayOut;
use coalmine_core::{driver, engine, report};
use schemars::JsonSchema;
use serde::Serialize;

use super::checks::{self, CheckView, Side};
use super::headline::{self, Silence};
use super::keys::Order;
use super::outlook::{self, Outlook};
use super::timetable::{self, Stage};
use super::to_do;

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
    /// `observe`: nothing is moved, and what would have been done is told.
    #[schemars(with = "String")]
    pub mode: Mode,
    /// A person has to decide, or to see why nobody attends to it.
    pub needs_you: bool,
    /// Since when nobody has attended to it, where somebody should have.
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_controller_since: Option<Timestamp>,
    /// Is it on fire? The first line of every screen.
    pub headline: String,
    /// Whether somebody has to do something, and what happens when: a sentence each.
    pub to_do: Vec<String>,
    /// What can be said to it now, as commands; what is safest comes first where it looks worse.
    pub commands: Vec<String>,
    /// Everything that can be said to it now and is not refused: `pause`, `resume`, `approve`, `promote`, `abort`.
    pub orders: Vec<String>,
    /// The labels of its release, and who started it.
    pub release: Labels,
    pub weight: WeightView,
    /// The weights it has had, the one it has, and those to come.
    pub timetable: Vec<Stage>,
    /// All requests of the minutes that are judged.
    pub requests: Requests,
    /// How sure the intervals are, as a share: 0.99.
    pub sure: f64,
    pub checks: Vec<CheckView>,
    /// Once the new version has had all traffic: what it did there, beside what the old one did before. It is no comparison.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub at_full: Vec<FullView>,
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
    /// The way out without Coalmine, for a shell. Where rules must be read first, or nothing is to be put back, the command that
    /// prints what there is.
    pub by_hand: String,
    /// `None` where there is nothing to put back.
    #[serde(skip)]
    pub way_out: Option<WayOut>,
}

/// Labels of a release; each is empty where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Labels {
    pub commit: String,
    pub owner: String,
    pub ticket: String,
    pub started_by: String,
}

/// A check of counts at 100 %.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FullView {
    pub check: String,
    /// `enforce`, `hold` or `observe`.
    #[schemars(with = "String")]
    pub mode: CheckMode,
    /// The new version, in the newest minutes if those are worse than tolerated, else in all at 100 %.
    pub new: Side,
    /// The old version in this rollout, before.
    pub old: Side,
    #[schemars(with = "String")]
    pub from: Timestamp,
    #[schemars(with = "String")]
    pub until: Timestamp,
    /// More than the old version had and what is tolerated together.
    pub beyond: bool,
    pub why: String,
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
    /// The rollout was turned back for it.
    pub rang: bool,
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

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Impact {
    /// The check that it is counted by: the one that was proven worse, else that of failures.
    pub check: String,
    /// What these requests did: `failed`, `took more than 680 ms`.
    pub what: String,
    /// Requests to the new version, and how many of them did that.
    pub requests: f64,
    pub failed: f64,
    /// Of those, what would not have happened on the old version.
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
    pub at_full: &'a [AtFull],
    /// Series that could not be read.
    pub unread: &'a [String],
    pub silence: Option<Silence>,
    pub now: Timestamp,
}

impl View {
    #[must_use]
    pub fn of(rollout: &Rollout, minutes: &Minutes, now: Timestamp) -> Self {
        let now = now.max(rollout.now);
        let samples = driver::judged(rollout, &minutes.minutes, &minutes.unread, now);
        let analysis = (!samples.minutes.is_empty()).then(|| judge(&rollout.plan, &samples));
        let at_full = driver::at_full(rollout, &minutes.minutes, &minutes.unread, now);
        let silence = headline::silence(rollout, now);
        let look = Look {
            rollout,
            minutes: &minutes.minutes,
            analysis: analysis.as_ref(),
            at_full: &at_full,
            unread: &minutes.unread,
            silence,
            now,
        };
        let outlook = outlook::of(&look);
        let checks = checks::of(&look);
        let ended = rollout.is_terminal();
        let orders = orders(rollout, now);
        let way_out = WayOut::of(rollout);
        let print = || format!("coalmine undo {} --print", rollout.id);
        Self {
            rollout: rollout.id.clone(),
            target: rollout.spec.target.key(),
            baseline: rollout.baseline.clone(),
            canary: rollout.canary.clone(),
            looked_at: now,
            phase: rollout.phase.name(),
            ended,
            mode: rollout.spec.mode,
            needs_you: report::needs_you(rollout) || silence.is_some(),
            no_controller_since: silence.map(|silence| silence.since),
            headline: headline::of(&look, &checks),
            to_do: to_do::of(&look, &checks, &outlook),
            commands: commands(rollout, &orders, headline::doubted(&checks).is_some()),
            orders,
            release: labels(rollout),
            weight: look.weight(),
            timetable: timetable::of(&look),
            requests: look.requests(),
            sure: 1.0 - rollout.plan.false_rollback,
            checks,
            at_full: at_full.iter().map(FullView::of).collect(),
            alarms: alarms(rollout, minutes.alarms.as_ref()),
            data: look.data(),
            outlook,
            impact: look.impact(),
            events: events(rollout),
            events_total: rollout.events_total,
            by_hand: way_out.as_ref().map_or_else(print, |out| out.command().to_owned()),
            way_out,
        }
    }
}

impl FullView {
    fn of(full: &AtFull) -> Self {
        let AtFull { check, mode, from, until, new, old, beyond, sentence, .. } = full;
        let side = |count: &Count| Side { requests: count.requests, events: count.events };
        Self {
            check: check.clone(),
            mode: *mode,
            new: side(new),
            old: side(old),
            from: from.start(),
            until: until.start(),
            beyond: *beyond,
            why: sentence.clone(),
        }
    }
}

impl Look<'_> {
    /// The check that is worse at 100 % than is tolerated.
    pub fn beyond(&self) -> Option<&AtFull> {
        self.at_full.iter().find(|full| full.beyond && full.mode != CheckMode::Observe)
    }

    /// What it waits for is no matter of time.
    pub fn is_stuck(&self) -> bool {
        let doubt = self.analysis.and_then(|analysis| analysis.doubt);
        !self.unread.is_empty() || matches!(doubt, Some(Doubt::SplitUnexpected | Doubt::Blind))
    }

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

    fn data(&self) -> DataView {
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
            unread: self.unread.to_vec(),
            split: self.analysis.and_then(|analysis| analysis.split.as_ref()).map(|split| split.sentence.clone()),
        }
    }

    /// By the check that was proven worse, else by that of failures; only of a release that went back.
    fn impact(&self) -> Option<Impact> {
        let (Phase::RollingBack { why, .. } | Phase::RolledBack { why, .. }) = &self.rollout.phase else { return None };
        let all = &self.analysis?.comparisons;
        let proven = all.iter().find(|check| check.mode == CheckMode::Enforce && check.evidence.lane.is_some());
        if let (Why::Harm { .. }, None, Some(full)) = (why, proven, self.beyond()) {
            return Some(impact_at_full(full));
        }
        let failures = || all.iter().find(|check| check.check == "errors" && check.slower.is_none());
        let worst = proven.filter(|_| matches!(why, Why::Harm { .. })).or_else(failures)?;
        let Count { requests, events } = worst.canary;
        let from = self.rollout.weights.iter().find(|seen| seen.weight > Weight::ZERO)?.at;
        let until =
            self.rollout.weights.iter().rev().find(|seen| seen.weight == Weight::ZERO).map_or(self.now, |seen| seen.at);
        (requests > 0.0).then(|| Impact {
            check: worst.check.clone(),
            what: what_they_did(worst),
            requests,
            failed: events,
            due_to_release: more_than(worst.canary, worst.baseline),
            from,
            until,
        })
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

/// What of it would not have happened on the old version.
fn more_than(new: Count, old: Count) -> f64 {
    let expected = if old.requests > 0.0 { old.events / old.requests * new.requests } else { 0.0 };
    (new.events - expected).max(0.0)
}

fn impact_at_full(full: &AtFull) -> Impact {
    let Count { requests, events } = full.new;
    Impact {
        check: full.check.clone(),
        what: if full.check == "errors" { "failed".to_owned() } else { format!("were bad ({})", full.check) },
        requests,
        failed: events,
        due_to_release: more_than(full.new, full.old),
        from: full.from.start(),
        until: full.until.start(),
    }
}

/// `failed`, `took more than 680 ms`, `were bad (declined)`.
fn what_they_did(comparison: &Comparison) -> String {
    let check = &comparison.check;
    match &comparison.slower {
        Some(slower) => {
            let above = coalmine_core::analysis::figure(slower.canary_above);
            let above = format!("{above} {}", slower.unit);
            let above = above.trim_end();
            if slower.is_time() {
                format!("took more than {above}")
            } else {
                format!("had more than {above} ({check})")
            }
        }
        None if check == "errors" => "failed".to_owned(),
        None => format!("were bad ({check})"),
    }
}

/// As whoever carries them out would say now.
fn orders(rollout: &Rollout, now: Timestamp) -> Vec<String> {
    let does_something = |order: &Order| {
        let asked = engine::Order { kind: order.kind(), by: String::new(), reason: String::new() };
        engine::order(rollout, &asked, now).is_ok_and(|decision| decision.next != *rollout)
    };
    Order::ALL.into_iter().filter(does_something).map(|order| order.command().to_owned()).collect()
}

fn commands(rollout: &Rollout, orders: &[String], looks_worse: bool) -> Vec<String> {
    let words: &[&str] = match &rollout.phase {
        Phase::Paused { why: PauseReason::Asked { .. }, .. } => &["resume", "abort"],
        Phase::Paused { why: PauseReason::Approval, .. } => &["approve", "abort"],
        Phase::Paused { why: PauseReason::Undecided(_), .. } => &["promote", "abort"],
        Phase::Pending { .. } | Phase::Shifting { .. } | Phase::Baking { .. } => &["pause", "abort"],
        Phase::Promoting { .. } => &["abort"],
        Phase::RollingBack { .. } | Phase::Promoted { .. } | Phase::RolledBack { .. } | Phase::Superseded { .. } => &[],
    };
    let mut words: Vec<&str> = words.iter().copied().filter(|word| orders.iter().any(|order| order == word)).collect();
    if looks_worse {
        words.sort_by_key(|word| *word != "abort");
    }
    words.iter().map(|word| format!("coalmine {word} {}", rollout.id)).collect()
}

fn labels(rollout: &Rollout) -> Labels {
    let coalmine_core::spec::Release { commit, owner, ticket } = rollout.spec.release.clone();
    Labels { commit, owner, ticket, started_by: rollout.started_by.clone() }
}

fn alarms(rollout: &Rollout, states: Option<&BTreeMap<String, AlarmState>>) -> Vec<AlarmView> {
    let view = |name: &String| AlarmView {
        name: name.clone(),
        state: states.and_then(|states| states.get(name)).copied(),
        muted: rollout.alarms_muted.contains(name),
        rang: rollout.history.iter().any(|event| rang(name, &event.why)),
    };
    rollout.spec.alarms.names.iter().map(view).collect()
}

/// It was turned back for it, or would have been.
fn rang(name: &str, why: &Why) -> bool {
    if let Why::Alarm { names } = why {
        return names.iter().any(|one| one == name);
    }
    matches!(why, Why::WouldHave { what, .. } if what.contains(" in ALARM") && what.contains(name))
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
