//! A `Custom::Rollout` from request to request, and what follows of what is seen.
//!
//! A request is kept before anything is done about it, and so is its answer before it is told: whoever is killed meanwhile
//! leaves it to the next tick, and whoever asks again gets the same answer.

use serde::{Deserialize, Serialize};

use super::{Answer, Wish};
use crate::observation::Routing;
use crate::report;
use crate::rollout::{Phase, Rollout};
use crate::spec::Version;
use crate::units::{Span, Timestamp};

/// What is in the way of a start may be a call that failed: it is tried again for so long before the stack is told.
const PATIENCE: Span = Span::from_minutes(2);

/// Where nothing can be seen for so long, the stack is told.
const SEEN_WITHIN: Span = Span::from_minutes(10);

/// CloudFormation writes the version that it was told a few seconds after the answer. An alias that was not written for so
/// long is not going to be.
const WRITTEN_WITHIN: Span = Span::from_minutes(5);

/// The last moment for an answer: one more tick may send it.
const LAST_MOMENT: Span = Span::from_minutes(1);

/// A start that is refused after the stack was answered is tried again for so long, and is told of all the while: an alarm that
/// takes ten minutes goes off, and what it needs may be mended.
const STARTED_WITHIN: Span = Span::from_hours(1);

/// Requests that are remembered: Lambda may repeat one after the next one came.
const REQUESTS_REMEMBERED: usize = 8;

/// A request of CloudFormation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    pub kind: Kind,
    pub caller: Caller,
    pub wish: Wish,
    pub received: Timestamp,
    /// When CloudFormation asked, where that is known: Lambda may bring a request late, and after a later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Timestamp>,
    /// Something else of the alias changes, so that CloudFormation writes it whatever is answered.
    #[serde(default)]
    pub rewrites: bool,
}

/// Who asked, and where the answer is sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    /// The stack's ARN.
    pub stack: String,
    /// The resource's name in the template.
    pub logical: String,
    /// Names the resource for CloudFormation. With another one the former would be deleted.
    pub physical: String,
    /// The request's own name.
    pub request: String,
    /// Where the answer is sent. Whoever has it may answer, so it is in no log.
    pub url: String,
}

impl Caller {
    /// `shop`, of the stack's ARN.
    #[must_use]
    pub fn stack_name(&self) -> &str {
        self.stack.split('/').nth(1).unwrap_or(&self.stack)
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}, request {}", self.physical, self.stack, self.request)
    }
}

/// What happens to the resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Create,
    /// From the version that the stack had before; `None` where that cannot be read.
    Update {
        from: Option<Version>,
    },
    Delete,
}

impl Asked {
    /// CloudFormation waits no longer.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.since() + self.wish.timeout
    }

    /// When it has to be answered, with a verdict or without.
    #[must_use]
    pub fn answer_by(&self) -> Timestamp {
        self.since() + self.wish.waited()
    }

    /// Since when CloudFormation waits.
    fn since(&self) -> Timestamp {
        self.signed.unwrap_or(self.received).min(self.received)
    }

    /// CloudFormation does one thing at a time: it does not wait any more for what it asked before.
    fn is_older_than(&self, other: &Self) -> bool {
        self.signed.zip(other.signed).is_some_and(|(this, other)| this < other)
    }

    /// The version that the stack had before.
    fn came_from(&self) -> Option<&Version> {
        match &self.kind {
            Kind::Update { from } => from.as_ref(),
            Kind::Create | Kind::Delete => None,
        }
    }

    /// Whether the stack wants another version than before, or for the first time.
    fn changes_version(&self) -> bool {
        self.kind != Kind::Delete && self.came_from() != Some(&self.wish.version)
    }
}

/// A resource: what was asked last, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Counts the writes: the condition of the next one.
    pub revision: u64,
    pub asked: Asked,
    /// The rollout that was started for the request, or is to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// The rollouts that were started for it, the last one last: others' are not its to end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub started: Vec<String>,
    /// The rollout runs, and the stack waits for it.
    #[serde(default)]
    pub waits: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// The answer has reached CloudFormation, or nobody waits for it any more.
    #[serde(default)]
    pub sent: bool,
    /// A start that waits until CloudFormation has written what it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin: Option<Begin>,
    /// The version that the alias has for CloudFormation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Version>,
    /// The last change of version: the other way round it is the stack's rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// What else the alias had before the last change of that: the other way round it is the stack's rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewritten_from: Option<String>,
    /// Earlier requests, the last one last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<String>,
}

/// From one version to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    pub from: Version,
    pub to: Version,
}

/// A start that waits. CloudFormation may take weights for its own to remove when it writes the alias, so there must be none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Begin {
    pub rollout: String,
    pub wish: Wish,
    /// The alias' revision at the answer: another one says that it was written.
    pub revision: Option<String>,
    /// It begins by then all the same.
    pub by: Timestamp,
}

impl Begin {
    /// What is in the way may be a call that failed.
    #[must_use]
    pub fn is_young(&self, now: Timestamp) -> bool {
        now < self.by + PATIENCE
    }

    /// It is not tried any more.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.by + STARTED_WITHIN
    }
}

/// What a look saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// `None` for an alias that does not exist.
    pub live: Option<Routing>,
    /// The rollouts that have the alias or wait for it, oldest first, but for those that judge deployments of others.
    pub running: Vec<Rollout>,
    /// The one that was started for the request.
    pub started: Option<Rollout>,
    /// Every writer is switched off: the stack writes its versions as it would without Coalmine.
    pub observes: bool,
}

impl Look {
    /// The version that has the traffic, or gets it back.
    fn live_version(&self) -> Option<&Version> {
        let back = self.running.iter().find(|one| matches!(one.phase, Phase::RollingBack { .. }) && one.has_begun());
        back.map(|one| &one.baseline).or_else(|| self.live.as_ref().map(|live| &live.primary))
    }

    /// Whether all traffic goes to a version.
    fn is_wholly_on(&self, version: &Version) -> bool {
        self.live.as_ref().is_some_and(|live| live.primary == *version && live.additional.is_none())
    }
}

/// What is to be done next. Each is done, and what came of it is kept, before the next look.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing now.
    Wait(String),
    /// Nothing any more.
    Done,
    /// The answer is to be kept.
    Keep(Answer),
    /// The answer is to be sent.
    Send(Answer),
    /// Nobody waits for the answer any more.
    GiveUp,
    /// The rollout is to be started now, and the stack waits for it or gets this answer.
    Start {
        answer: Option<Answer>,
    },
    /// Everything that a start checks is to be checked. If nothing is in the way the answer is given and the start waits.
    Check {
        answer: Answer,
        begin_by: Timestamp,
    },
    /// The start that waited.
    Begin,
    /// It waits no more, and why.
    Forget(String),
    Abort {
        rollout: String,
        reason: String,
    },
}

impl Resource {
    /// With its answer, which is yet to be sent.
    #[must_use]
    pub fn answered(&self, answer: Answer) -> Self {
        let told = match &answer {
            Answer::Succeeded { version: Some(version), .. } => Some(version.clone()),
            Answer::Succeeded { version: None, .. } | Answer::Failed { .. } => self.told.clone(),
        };
        Self { waits: false, told, answer: Some(answer), ..self.clone() }
    }

    /// Its answer has arrived. Only from now on CloudFormation writes the alias.
    #[must_use]
    pub fn delivered(&self, now: Timestamp) -> Self {
        let mut next = Self { sent: true, ..self.clone() };
        if let Some(begin) = &mut next.begin {
            begin.by = now + WRITTEN_WITHIN;
        }
        next
    }

    /// With what is live now, where the answer waited for so long that it says something else: CloudFormation would write that.
    /// Nobody knows whether it had the former answer after all.
    #[must_use]
    pub fn brought_up_to_date(&self, look: &Look) -> Option<Self> {
        let Some(Answer::Succeeded { version: Some(said), rollout }) = &self.answer else { return None };
        let live = look.live_version().filter(|live| *live != said && !look.observes && !self.sent)?;
        let revision = look.live.as_ref().and_then(|live| live.revision.clone());
        let begin = self.begin.clone().map(|begin| Begin { revision, ..begin });
        let answer = if self.asked.wish.waits && self.asked.changes_version() && *said == self.asked.wish.version {
            Answer::Failed { reason: format!("{said} was promoted, and is not live any more: {live} is") }
        } else {
            Answer::of(live.clone(), rollout.clone())
        };
        Some(Self { told: None, answer: Some(answer), begin, ..self.clone() })
    }

    /// What was started for the same resource under another name: CloudFormation makes one up where it had no answer to a creation.
    #[must_use]
    pub fn is_creation_of(&self, asked: &Asked) -> bool {
        let (this, that) = (&self.asked.caller, &asked.caller);
        asked.kind == Kind::Delete
            && self.asked.kind == Kind::Create
            && (&this.stack, &this.logical) == (&that.stack, &that.logical)
            && self.asked.wish.target() == asked.wish.target()
            && !asked.is_older_than(&self.asked)
    }

    /// Nobody waits for it any more, and nothing of it is to begin.
    #[must_use]
    pub fn closed(&self) -> Self {
        Self { sent: true, waits: false, begin: None, ..self.clone() }
    }

    /// Whether a tick has anything to do with it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.sent || self.begin.is_some()
    }

    /// CloudFormation will not wait for a better answer.
    #[must_use]
    pub fn is_at_its_last_moment(&self, now: Timestamp) -> bool {
        now >= self.asked.since() + self.asked.wish.timeout.minus(LAST_MOMENT)
    }

    /// What is known once a request came in. `None` for one that is no news.
    #[must_use]
    pub fn asked_of(before: Option<Self>, mut asked: Asked) -> Option<Self> {
        let Some(before) = before else {
            return Some(Self::new(asked));
        };
        // What is on record was understood. The old properties may be those of a request that was not.
        if let Kind::Update { from } = &mut asked.kind {
            *from = Some(before.asked.wish.version.clone());
        }
        if before.asked.caller.request == asked.caller.request || before.earlier.contains(&asked.caller.request) {
            return None;
        }
        if asked.is_older_than(&before.asked) {
            return None;
        }
        let mut next = Self { revision: before.revision, ..Self::new(asked) };
        if next.asked.kind != Kind::Create {
            next.told = before.told.clone();
        }
        if !next.asked.changes_version() && next.asked.kind != Kind::Delete {
            // What was begun for this version goes on.
            next.begin = before.begin;
            next.change = before.change.clone();
        }
        if next.is_reversal_of(before.change.as_ref()) {
            next.change = before.change;
        }
        next.note_rewrite(before.rewritten_from, before.asked.wish.triggers);
        next.started = before.started;
        next.earlier = before.earlier;
        next.earlier.push(before.asked.caller.request);
        let forgotten = next.earlier.len().saturating_sub(REQUESTS_REMEMBERED);
        next.earlier.drain(..forgotten);
        Some(next)
    }

    fn new(asked: Asked) -> Self {
        let to = asked.wish.version.clone();
        let from = asked.came_from().filter(|from| **from != to).cloned();
        let change = from.map(|from| Change { from, to });
        Self {
            revision: 0,
            asked,
            rollout: None,
            started: Vec::new(),
            waits: false,
            answer: None,
            sent: false,
            begin: None,
            told: None,
            change,
            rewritten_from: None,
            earlier: Vec::new(),
        }
    }

    /// A stack that goes back is not to wait for what runs, and may not have written the alias at all.
    fn note_rewrite(&mut self, from: Option<String>, to: String) {
        let back =
            self.asked.rewrites && !self.asked.changes_version() && from.as_ref() == Some(&self.asked.wish.triggers);
        self.rewritten_from = if self.asked.rewrites && !back { Some(to) } else { from };
        self.asked.rewrites &= !back;
    }

    /// The stack rolls back: it goes the way back that it came.
    fn is_reversal_of(&self, change: Option<&Change>) -> bool {
        change
            .is_some_and(|change| change.from == self.asked.wish.version && Some(&change.to) == self.asked.came_from())
    }

    fn goes_back(&self) -> bool {
        self.asked.changes_version() && self.is_reversal_of(self.change.as_ref())
    }

    /// With the name of the rollout that is to be started.
    #[must_use]
    pub fn named(&self, rollout: String) -> Self {
        let mut started = self.started.clone();
        started.push(rollout.clone());
        started.drain(..started.len().saturating_sub(REQUESTS_REMEMBERED));
        Self { rollout: Some(rollout), started, ..self.clone() }
    }

    /// What follows where the answer is known; nothing where it takes a look.
    #[must_use]
    pub fn without_looking(&self, now: Timestamp) -> Option<Step> {
        match &self.answer {
            Some(_) if !self.sent && self.asked.is_over(now) => Some(Step::GiveUp),
            Some(answer) if !self.sent => Some(Step::Send(answer.clone())),
            Some(_) if self.begin.is_none() => Some(Step::Done),
            Some(_) | None => None,
        }
    }

    /// What follows of a look.
    #[must_use]
    pub fn next(&self, look: &Look, now: Timestamp) -> Step {
        if let Some(step) = self.without_looking(now) {
            return step;
        }
        if let (Some(_), Some(begin)) = (&self.answer, &self.begin) {
            return self.waiting_to_begin(begin, look, now);
        }
        match &self.asked.kind {
            Kind::Delete => self.deleted(look),
            Kind::Create | Kind::Update { .. } => self.wanted(look, now),
        }
    }

    /// What follows where nothing could be seen.
    #[must_use]
    pub fn unseen(&self, why: &str, now: Timestamp) -> Step {
        self.without_looking(now).unwrap_or_else(|| match self.given_up(why, now) {
            Some(answer) => Step::Keep(answer),
            None => Step::Wait(why.to_owned()),
        })
    }

    /// The answer to a request about which nothing could be seen or done for long; nothing while it is worth another try.
    #[must_use]
    pub fn given_up(&self, why: &str, now: Timestamp) -> Option<Answer> {
        let since = self.asked.received + SEEN_WITHIN;
        let late = if self.waits { self.is_at_its_last_moment(now) } else { now >= since.min(self.asked.answer_by()) };
        if self.answer.is_some() || !late {
            return None;
        }
        let back = self.goes_back() || !self.asked.changes_version();
        Some(match (&self.asked.kind, &self.told) {
            // A stack that cannot be deleted helps nobody; what runs is looked after all the same.
            (Kind::Delete, _) => Answer::Succeeded { version: None, rollout: None },
            // Nor does one that cannot go back: what it was told last was live.
            (Kind::Update { .. }, Some(told)) if back => Answer::of(told.clone(), None),
            (Kind::Create | Kind::Update { .. }, _) => Answer::Failed { reason: why.to_owned() },
        })
    }

    /// The answer where something is in the way of the start; nothing while it is worth another try.
    #[must_use]
    pub fn refused(&self, why: &str, now: Timestamp) -> Option<Answer> {
        (now >= self.asked.received + PATIENCE).then(|| Answer::Failed { reason: why.to_owned() })
    }

    fn waiting_to_begin(&self, begin: &Begin, look: &Look, now: Timestamp) -> Step {
        if let Some(why) = self.overtaken(begin, look) {
            return Step::Forget(why);
        }
        let is_written = |live: &Routing| live.revision != begin.revision;
        match now >= begin.by || look.live.as_ref().is_some_and(is_written) {
            true => Step::Begin,
            false => Step::Wait("CloudFormation is yet to write the alias".to_owned()),
        }
    }

    /// A start that was refused for a while must not bring an older version over what somebody has released meanwhile.
    fn overtaken(&self, begin: &Begin, look: &Look) -> Option<String> {
        let Some(Answer::Succeeded { version: Some(told), .. }) = &self.answer else { return None };
        let delivered = begin.by - WRITTEN_WITHIN;
        let is_newer = |one: &&Rollout| one.started_at > delivered && one.canary != begin.wish.version;
        let newer = look.running.iter().find(is_newer).map(|one| format!("rollout {} was started meanwhile", one.id));
        let other = look.live_version().filter(|live| *live != told && **live != begin.wish.version);
        newer.or_else(|| other.map(|live| format!("{live} is live, where the stack was told {told}")))
    }

    fn wanted(&self, look: &Look, now: Timestamp) -> Step {
        let version = &self.asked.wish.version;
        if self.waits {
            return self.awaited(look, now);
        }
        let Some(live) = look.live_version() else {
            return self.without_alias(now);
        };
        let stays = |rollout| Answer::of(live.clone(), rollout);
        if !self.asked.changes_version() {
            return match look.running.first().filter(|_| self.asked.rewrites && !look.observes) {
                Some(rollout) => self.rewritten_after(rollout, now),
                None => Step::Keep(stays(look.running.last().map(|rollout| rollout.id.clone()))),
            };
        }
        if look.observes {
            // As without Coalmine, on the way back, too.
            return Step::Keep(Answer::of(version.clone(), None));
        }
        if self.goes_back() || live == version {
            let leaves = |one: &&Rollout| self.asked.came_from() == Some(&one.canary) && self.is_to_end(one);
            return match look.running.iter().find(leaves) {
                Some(rollout) => Step::Abort {
                    rollout: rollout.id.clone(),
                    reason: format!("the stack goes back to version {}", version.0),
                },
                None => Step::Keep(stays(None)),
            };
        }
        let answer = stays(self.rollout.clone());
        if self.asked.wish.waits {
            Step::Start { answer: None }
        } else if self.told.as_ref() == Some(live) && !self.asked.rewrites {
            Step::Start { answer: Some(answer) }
        } else {
            Step::Check { answer, begin_by: now + WRITTEN_WITHIN }
        }
    }

    /// The answer has CloudFormation write the alias, which may take the weights of a rollout away.
    fn rewritten_after(&self, rollout: &Rollout, now: Timestamp) -> Step {
        let (id, target, standing) = (&rollout.id, self.asked.wish.target(), report::standing(&rollout.phase));
        if now < self.asked.answer_by() {
            return Step::Wait(format!("{target} is not to be written while rollout {id} {standing}"));
        }
        let reason = format!(
            "rollout {id} has {target} and {standing}: CloudFormation would take its weights away; deploy this change once it \
             has ended"
        );
        Step::Keep(Answer::Failed { reason })
    }

    /// At first there is nothing to compare with. Later the name is wrong, or somebody has deleted the alias: whatever is
    /// answered gets all the traffic.
    fn without_alias(&self, now: Timestamp) -> Step {
        let Wish { function, alias, version, .. } = &self.asked.wish;
        if self.asked.came_from().is_none() || self.goes_back() || !self.asked.changes_version() {
            return Step::Keep(Answer::of(version.clone(), None));
        }
        let why = format!("{function} has no alias {alias}");
        self.refused(&why, now).map_or(Step::Wait(why), Step::Keep)
    }

    /// Whether a rollout is this resource's, and does not turn back already.
    fn is_to_end(&self, rollout: &Rollout) -> bool {
        self.started.contains(&rollout.id) && !matches!(rollout.phase, Phase::RollingBack { .. })
    }

    /// A stack that is deleted, or has given the resource up, leaves no weights behind. What has all the traffic is nobody's
    /// weight: to take it back would undo what the stack itself has written perhaps.
    fn deleted(&self, look: &Look) -> Step {
        match look.running.iter().find(|one| self.is_to_end(one) && !look.is_wholly_on(&one.canary)) {
            Some(rollout) => Step::Abort {
                rollout: rollout.id.clone(),
                reason: "the stack has given its Custom::Rollout up".to_owned(),
            },
            None => Step::Keep(Answer::Succeeded { version: None, rollout: None }),
        }
    }

    /// The rollout that the stack waits for.
    fn awaited(&self, look: &Look, now: Timestamp) -> Step {
        let Some(rollout) = &look.started else {
            return Step::Keep(Answer::Failed { reason: "the rollout is not there any more".to_owned() });
        };
        let promoted = || Step::Keep(Answer::of(rollout.canary.clone(), Some(rollout.id.clone())));
        let last = rollout.history.last().map(|event| report::sentence(&event.why)).unwrap_or_default();
        let standing = report::standing(&rollout.phase);
        let failed = |how: String| Step::Keep(Answer::Failed { reason: format!("rollout {} {how}", rollout.id) });
        match &rollout.phase {
            Phase::Promoted { .. } => promoted(),
            Phase::RolledBack { .. } | Phase::Superseded { .. } => failed(format!("{standing}: {last}")),
            // It is watched on, and its verdict is there.
            Phase::Promoting { .. } if now >= self.asked.answer_by() && look.is_wholly_on(&rollout.canary) => {
                promoted()
            }
            Phase::Pending { .. }
            | Phase::Shifting { .. }
            | Phase::Baking { .. }
            | Phase::Paused { .. }
            | Phase::Promoting { .. }
            | Phase::RollingBack { .. }
                if now >= self.asked.answer_by() =>
            {
                let waited = self.asked.wish.waited();
                failed(format!("was not promoted within {waited}; it {standing}: {last}"))
            }
            Phase::Pending { .. }
            | Phase::Shifting { .. }
            | Phase::Baking { .. }
            | Phase::Paused { .. }
            | Phase::Promoting { .. }
            | Phase::RollingBack { .. } => Step::Wait(format!("rollout {} {standing}", rollout.id)),
        }
    }
}
