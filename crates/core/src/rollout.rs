//! The persisted aggregate: one release of one target, from its start to its end.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::analysis::{JudgePlan, MinuteSample, Verdict};
use crate::deployment::{DeploymentRef, DeploymentState};
use crate::spec::{Ending, Mode, RolloutSpec, Version};
use crate::units::{Minute, Span, Timestamp, Weight};

/// Events kept with a rollout. 200 × about 300 bytes are 60 KB of DynamoDB's 400 KB for an item; an ordinary rollout
/// has about 15.
pub const HISTORY_LIMIT: usize = 200;

/// What the history, and what is still to be told, may take as JSON, each. An event with 20 checks' sentences or a
/// person's words has up to 4 KB. Twice this and [`LARGEST_START_BYTES`] stay below DynamoDB's 400 KB: a rollout that
/// cannot be saved could never end. Of more, the oldest is dropped.
pub const EVENTS_BYTES: usize = 64 * 1024;

/// The largest rollout that is started, as JSON: its spec is most of it.
pub const LARGEST_START_BYTES: usize = 240 * 1024;

/// One rollout, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Its name; unique in the table.
    pub id: String,
    pub spec: RolloutSpec,
    pub plan: JudgePlan,
    pub baseline: Version,
    pub canary: Version,
    pub code_hash: String,
    /// Metric lag of this target, frozen at the start.
    pub lag: Span,
    /// Longest time one request of the canary may take.
    pub request_timeout: Span,
    pub started_at: Timestamp,
    pub started_by: String,
    /// When the old version's past was read, and what it says was frozen into the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned_at: Option<Timestamp>,
    pub phase: Phase,
    pub clock: DeadlineClock,
    /// The weight that is wanted now where weights are chosen as one goes (`auto`), in place of the step's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Weight>,
    /// Every weight that was seen live, oldest first.
    pub weights: Vec<WeightSeen>,
    /// The deployment of another service that it judges. That service then sets the weights, never this rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<Guest>,
    /// Healthy targets of the old group before the first weight: what carried all traffic then. What a weight needs is
    /// counted from it; later the old group may shrink, because it gets less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried_by: Option<u32>,
    /// When the old target group, which stays attached at weight 0 after a promotion, is to be detached. A duty of the ended
    /// rollout: it holds no target for it, and the next rollout puts an end to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detach_at: Option<Timestamp>,
    /// Since when there have been weights between our two versions that we did not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strange_since: Option<Timestamp>,
    /// The dead man's switch, saved before it is armed; `None` once it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<PutBack>,
    /// Minutes before this one are stored with the rollout and never read from CloudWatch again.
    pub sealed_before: Option<Minute>,
    /// Alarms that were red at the start and are judged only once they have been OK (`alreadyRed: judge`).
    pub alarms_muted: BTreeSet<String>,
    /// Transitions still to be told.
    pub outbox: Vec<Notice>,
    /// Newest last; the oldest are dropped beyond [`HISTORY_LIMIT`].
    pub history: Vec<Event>,
    /// All events ever, so that keys stay unique when old ones are dropped.
    #[serde(deserialize_with = "counted")]
    pub events_total: u64,
    /// Newest moment acted on. Time never runs backwards for a rollout.
    pub now: Timestamp,
    /// Compare-and-swap token: the only mutex.
    #[serde(deserialize_with = "counted")]
    pub revision: u64,
}

/// One a second for a century: whoever counts on from more would come to an end of numbers.
const MOST_COUNTED: u64 = 100 * 366 * 24 * 3_600;

fn counted<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let count = u64::deserialize(deserializer)?;
    let refused = || serde::de::Error::custom(format!("{count} is more than can have been counted"));
    if count <= MOST_COUNTED { Ok(count) } else { Err(refused()) }
}

fn step<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    usize::try_from(counted(deserializer)?).map_err(serde::de::Error::custom)
}

/// What a rollout knows of the deployment that it judges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Guest {
    pub deployment: DeploymentRef,
    /// The highest weight that the deployment may leave for a higher one: what its hooks are told. 0 once the tests before
    /// any traffic are passed.
    pub may_leave: Option<Weight>,
}

/// Where a rollout stands. Data lives inside the variant it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Phase {
    /// No traffic yet: waiting for the target, for the version to become active (`ready`), then for its tests.
    Pending {
        since: Timestamp,
        behind: Option<Behind>,
        ready: bool,
    },
    /// The step's weight is wanted and has not been seen live yet. `from` is the weight before.
    Shifting {
        #[serde(deserialize_with = "step")]
        step: usize,
        from: Weight,
        since: Timestamp,
    },
    /// The step's weight was seen live at `since`.
    Baking {
        #[serde(deserialize_with = "step")]
        step: usize,
        since: Timestamp,
        proof: Option<Proof>,
        approved: bool,
    },
    /// The weight is held until somebody decides or `until` has come.
    Paused {
        held: Held,
        since: Timestamp,
        until: Timestamp,
        then: Ending,
        why: PauseReason,
    },
    /// All traffic is wanted on the canary; seen there at `live_since`, and watched from then on.
    Promoting {
        from: Weight,
        since: Timestamp,
        live_since: Option<Timestamp>,
    },
    /// All traffic is wanted on the baseline.
    RollingBack {
        since: Timestamp,
        why: Why,
        fence: Fence,
        ends_as: RollBackEnd,
    },
    Promoted {
        at: Timestamp,
    },
    RolledBack {
        at: Timestamp,
        why: Why,
    },
    Superseded {
        at: Timestamp,
        why: Why,
    },
}

/// A rollout that must end before this one may begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Behind {
    pub rollout: String,
    /// The other one is asked to give way.
    pub supersedes: bool,
}

/// A Pass that was seen once, or that was in sight: for want of nothing but the minutes that settle next. It counts when
/// the same totals are seen again by a later tick: late datapoints would change them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    pub seen: Timestamp,
    /// The minutes it was based on, which are settled when it counts.
    pub settled_before: Minute,
    pub digest: u64,
}

/// What a pause interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Held {
    Pending,
    /// A step; `from` is the weight before it, which may still be the live one.
    Step {
        #[serde(deserialize_with = "step")]
        step: usize,
        from: Weight,
    },
}

/// Why a rollout waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum PauseReason {
    Asked {
        by: String,
        reason: String,
    },
    /// The step has passed and needs an approval.
    Approval,
    Undecided(UndecidedWhy),
}

/// How far a rollback has got. A write begun before the rollback may still be in flight: it must be made stale by a
/// write of our own, so weight 0 alone does not end a rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Fence {
    /// The target has not been read since the rollback began.
    Open,
    /// Read with this revision. Done when weight 0 is seen with another one.
    Read { revision: Option<String> },
}

/// What a finished rollback ends as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RollBackEnd {
    RolledBack,
    Superseded,
}

/// A phase's name, for tables and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PhaseName {
    Pending,
    Shifting,
    Baking,
    Paused,
    Promoting,
    RollingBack,
    Promoted,
    RolledBack,
    Superseded,
}

/// The deadline clock, which stands still while a person is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadlineClock {
    pub spent: Span,
    pub running_since: Option<Timestamp>,
}

impl DeadlineClock {
    /// Time spent so far.
    #[must_use]
    pub fn spent_at(&self, now: Timestamp) -> Span {
        let spent = self.running_since.map_or(self.spent, |since| self.spent.plus(now.since(since)));
        // A clock that shows more could not be read again, and its rollout not be saved, not even to end it.
        spent.min(Span::LONGEST)
    }

    /// The same clock, standing still from `now`.
    #[must_use]
    pub fn stopped(&self, now: Timestamp) -> Self {
        Self { spent: self.spent_at(now), running_since: None }
    }

    /// The same clock, running from `now`.
    #[must_use]
    pub fn running(&self, now: Timestamp) -> Self {
        Self { spent: self.spent_at(now), running_since: Some(now) }
    }
}

/// A weight seen live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightSeen {
    pub at: Timestamp,
    pub weight: Weight,
}

/// Something that happened, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub at: Timestamp,
    /// The phase that was entered; `None` for a fact that changed none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub entered: Option<PhaseName>,
    /// The weight wanted from then on.
    pub weight: Weight,
    pub why: Why,
    /// Digest of the samples it was based on: the [`DecisionRecord`] with the same one holds them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<u64>,
}

/// Why something was done. Renders to a sentence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Why {
    Started {
        by: String,
    },
    /// The old version's past was read: what it says about each check, a sentence each.
    Learned {
        sentences: Vec<String>,
    },
    /// The target is free and the version active.
    Ready,
    /// The new target group is attached to every rule, at weight 0.
    Attached,
    /// The old target group was kept as long as the spec says, and no rule forwards to it any more.
    Detached,
    /// Nobody pushed the dead man's switch any more, and it put all traffic back.
    SwitchFired,
    /// The old target group is not detached.
    StaysAttached {
        why: String,
    },
    /// The wanted weight was seen live.
    SeenLive,
    /// Every check is proven not worse than tolerated.
    Proven {
        sentences: Vec<String>,
    },
    /// The budget of failed requests allows, or demands, another weight.
    Chosen {
        from: Weight,
        to: Weight,
        /// How many more of the canary's requests may fail, as far as is proven, as a share.
        excess: f64,
        /// Failed requests so far that a healthy canary would not have had.
        spent: f64,
        budget: f64,
        /// It looks worse.
        brake: bool,
    },
    /// The step's time is over and no harm was proven, which the spec consents to.
    NoHarm {
        sentences: Vec<String>,
    },
    /// The strategy has no (further) step.
    NoSteps,
    Approved {
        by: String,
        reason: String,
    },
    /// A person gave the consent to promote without a proof.
    PromotedBy {
        by: String,
        reason: String,
    },
    PausedBy {
        by: String,
        reason: String,
    },
    ResumedBy {
        by: String,
        reason: String,
    },
    AbortedBy {
        by: String,
        reason: String,
    },
    /// The step has passed; a person must agree to the next.
    ApprovalNeeded,
    Harm {
        sentences: Vec<String>,
    },
    Alarm {
        names: Vec<String>,
    },
    /// The new target group cannot carry its weight any more.
    Unhealthy {
        sentence: String,
    },
    TestFailed {
        what: String,
    },
    /// The version can never take traffic.
    VersionUnusable {
        why: String,
    },
    /// No verdict in time.
    Undecided {
        why: UndecidedWhy,
        after: Span,
        then: Ending,
    },
    /// Nobody ended the pause.
    PauseOver {
        then: Ending,
    },
    /// The watch at 100 % is over.
    WatchOver {
        watched: Span,
    },
    /// A newer rollout takes the target.
    NewerRollout {
        rollout: String,
    },
    /// Somebody else changed the target.
    TakenOver {
        found: String,
    },
    /// What is live is not what is on record: others took a part of it, a write of this rollout's own came late, or the table was
    /// put back. What of it is this rollout's own goes back.
    PartlyTaken {
        found: String,
    },
    /// The rollback waits: nobody would answer.
    NobodyToGoBackTo {
        sentence: String,
    },
    /// In observe mode: what would have been done.
    WouldHave {
        verdict: Verdict,
        what: String,
    },
    /// In observe mode: others moved the traffic.
    MovedByOthers {
        found: String,
    },
    /// The tests before any traffic have passed, or there are none: the deployment may begin to shift.
    Cleared,
    /// The deployment that is judged has ended.
    DeploymentEnded {
        deployment: DeploymentRef,
        state: DeploymentState,
    },
    /// The deployment was to be rolled back, and its service has left traffic on the new version.
    NotPutBack {
        deployment: DeploymentRef,
        found: String,
        /// What a person can do: a command, or a sentence.
        by_hand: String,
    },
    /// A bug of ours: the phase change is not in the table. Holds.
    IllegalTransition {
        from: PhaseName,
        to: PhaseName,
    },
}

/// What the judge was missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UndecidedWhy {
    TooLittleTraffic,
    NoData,
    LooksWorse,
    /// The wanted weight could not be brought about or verified.
    Stuck,
}

/// A transition to tell the world. Told at least once, always under the same key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// `<rollout>/<number of the event>`.
    pub key: String,
    pub at: Timestamp,
    pub rollout: String,
    pub target: String,
    pub baseline: Version,
    pub canary: Version,
    pub phase: PhaseName,
    pub weight: Weight,
    /// One sentence.
    pub why: String,
    /// What puts all traffic back without Coalmine; nothing where there is none to put back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
}

/// What a decision saw, kept so that it can be replayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionRecord {
    pub at: Timestamp,
    pub digest: u64,
    pub verdict: Verdict,
    pub settled_before: Option<Minute>,
    /// The minutes that were not sealed yet.
    pub tail: Vec<MinuteSample>,
}

impl Phase {
    #[must_use]
    pub fn name(&self) -> PhaseName {
        match self {
            Self::Pending { .. } => PhaseName::Pending,
            Self::Shifting { .. } => PhaseName::Shifting,
            Self::Baking { .. } => PhaseName::Baking,
            Self::Paused { .. } => PhaseName::Paused,
            Self::Promoting { .. } => PhaseName::Promoting,
            Self::RollingBack { .. } => PhaseName::RollingBack,
            Self::Promoted { .. } => PhaseName::Promoted,
            Self::RolledBack { .. } => PhaseName::RolledBack,
            Self::Superseded { .. } => PhaseName::Superseded,
        }
    }
}

impl PhaseName {
    /// Nothing follows a terminal phase.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Promoted | Self::RolledBack | Self::Superseded => true,
            Self::Pending | Self::Shifting | Self::Baking | Self::Paused | Self::Promoting | Self::RollingBack => false,
        }
    }
}

/// When the dead man's switch puts all traffic back, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutBack {
    /// What it was told last.
    pub at: Timestamp,
    /// What is known to have reached it.
    pub earliest: Timestamp,
    /// It could not be told, when no tick had time for the rollout, and is told again by the next one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untold: bool,
}

impl Rollout {
    /// Whether it has ended. An ended rollout may still have something to tell, or a group to detach.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.phase.name().is_terminal()
    }

    /// When it was over; `None` while it goes on.
    #[must_use]
    pub fn ended_at(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Promoted { at } | Phase::RolledBack { at, .. } | Phase::Superseded { at, .. } => Some(*at),
            Phase::Pending { .. }
            | Phase::Shifting { .. }
            | Phase::Baking { .. }
            | Phase::Paused { .. }
            | Phase::Promoting { .. }
            | Phase::RollingBack { .. } => None,
        }
    }

    /// Whether a tick has anything to do with it.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.is_terminal() || !self.outbox.is_empty() || self.detach_at.is_some() || self.switch.is_some()
    }

    /// The version that it left with all the traffic; nothing while it goes on, and where others took the target.
    #[must_use]
    pub fn left_live(&self) -> Option<&Version> {
        match &self.phase {
            Phase::Promoted { .. } => Some(&self.canary),
            Phase::RolledBack { .. } => Some(&self.baseline),
            Phase::Pending { .. }
            | Phase::Shifting { .. }
            | Phase::Baking { .. }
            | Phase::Paused { .. }
            | Phase::Promoting { .. }
            | Phase::RollingBack { .. }
            | Phase::Superseded { .. } => None,
        }
    }

    /// Whether others move the traffic, and the phase follows what is live.
    #[must_use]
    pub fn follows(&self) -> bool {
        self.guest.is_some() || self.spec.mode == Mode::Observe
    }

    /// Whether it owns its target: at most one rollout does at any time. One that waits behind another does not.
    #[must_use]
    pub fn holds_target(&self) -> bool {
        let waiting = matches!(self.phase, Phase::Pending { behind: Some(_), .. });
        !self.is_terminal() && !waiting
    }

    /// Whether it may have touched its target.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        !matches!(self.phase, Phase::Pending { .. } | Phase::Paused { held: Held::Pending, .. })
    }

    /// Whether it waits for a target whose holder it wants to give way.
    #[must_use]
    pub fn asks_to_give_way(&self) -> bool {
        matches!(&self.phase, Phase::Pending { behind: Some(behind), .. } if behind.supersedes)
    }

    /// The steps' weight, or 100 % past the last one.
    #[must_use]
    pub fn weight_of_step(&self, step: usize) -> Weight {
        self.spec.steps.get(step).map_or(Weight::FULL, |step| self.chosen.unwrap_or(step.weight))
    }

    /// The weight that should be live; `None` when this rollout wants nothing (any more).
    #[must_use]
    pub fn desired_weight(&self) -> Option<Weight> {
        match &self.phase {
            Phase::Pending { .. } | Phase::Paused { held: Held::Pending, .. } => None,
            Phase::Shifting { step, .. } | Phase::Baking { step, .. } => Some(self.weight_of_step(*step)),
            Phase::Paused { held: Held::Step { step, .. }, .. } => Some(self.weight_of_step(*step)),
            Phase::Promoting { .. } => Some(Weight::FULL),
            Phase::RollingBack { .. } => Some(Weight::ZERO),
            Phase::Promoted { .. } | Phase::RolledBack { .. } | Phase::Superseded { .. } => None,
        }
    }

    /// When the canary first got traffic: the first minute that is judged.
    #[must_use]
    pub fn first_minute(&self) -> Option<Minute> {
        self.weights.iter().find(|seen| seen.weight > Weight::ZERO).map(|seen| seen.at.minute())
    }

    /// From each weight's being asked for to its being seen live, which takes long where calls fail.
    #[must_use]
    pub fn moving(&self) -> Vec<(Minute, Minute)> {
        self.moves().map(|(asked, seen)| (asked.at.minute(), seen.minute())).collect()
    }

    /// Each weight that was asked for, and when it was seen live.
    fn moves(&self) -> impl Iterator<Item = (&WeightSeen, Timestamp)> {
        let seen_live = self.history.iter().filter(|event| event.why == Why::SeenLive).map(|event| event.at);
        seen_live.filter_map(|seen| Some((self.weights.iter().rev().find(|weight| weight.at <= seen)?, seen)))
    }

    /// Minutes in which the weight changed and that are not surely mostly at the new one: it was there for less than half
    /// of the minute, or less than three quarters of the canary's requests came at it, or nobody saw when it came.
    #[must_use]
    pub fn mixed(&self) -> Vec<Minute> {
        let sure: Vec<Minute> = self
            .moves()
            .filter(|(asked, seen)| self.is_mostly_at(asked, *seen))
            .map(|(_, seen)| seen.minute())
            .collect();
        let slow =
            self.moving().into_iter().flat_map(|(from, until)| (from.index()..=until.index()).map(Minute::from_index));
        let changed = self.weights.iter().map(|seen| seen.at.minute());
        let mut mixed: Vec<Minute> = changed.chain(slow).filter(|minute| !sure.contains(minute)).collect();
        mixed.sort_unstable();
        mixed.dedup();
        mixed
    }

    fn is_mostly_at(&self, asked: &WeightSeen, seen: Timestamp) -> bool {
        let minute = seen.minute();
        let changes = self.weights.iter().filter(|weight| weight.at.minute() == minute).count();
        let (before, after) = (seen.since(minute.start()), minute.plus(1).start().since(seen));
        let sent = |weight: Weight, time: Span| u64::from(weight.basis_points()) * time.seconds();
        let (old, new) = (sent(self.weight_in(minute.plus(-1)), before), sent(asked.weight, after));
        asked.at.minute() == minute && changes == 1 && before <= after && new >= 3 * old
    }

    /// The weight in force when a minute ended.
    #[must_use]
    pub fn weight_in(&self, minute: Minute) -> Weight {
        let end = minute.plus(1).start();
        self.weights.iter().rev().find(|seen| seen.at < end).map_or(Weight::ZERO, |seen| seen.weight)
    }
}
