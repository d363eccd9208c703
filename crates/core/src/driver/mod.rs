//! One tick: look at everything, let the engine decide, save the intent, act, verify.
//!
//! Architecture Invariant: the driver never matches on a phase and never judges. It carries what the engine and the
//! judge say to the ports, in this order: look, decide, save, act.

mod accompany;
mod ask;
mod attend;
mod hooks;
mod minutes;
mod order;
mod past;
mod problems;
mod record;
mod resources;
mod sampling;
mod start;
mod start_alb;

#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::future::{Either, join, select};
use futures_util::{FutureExt, StreamExt, pin_mut, stream};
use serde::Serialize;

use crate::engine;
use crate::metrics::{Series, SeriesQuery};
use crate::observation::{AlarmState, Seen, SwitchTold};
use crate::ports::{Budget, Fault, FaultKind, Ports, Unreadable};
use crate::rollout::Rollout;
use crate::spec::Mode;
use crate::units::{Span, Timestamp};

pub use ask::{WouldStart, would_start};
pub use attend::Line;
use attend::{Looked, Visits};
use hooks::{Attended, Calls};
pub use hooks::{HookLine, HookReport, hook};
pub use minutes::{AtFull, at_full, ended, judged};
pub use order::command;
pub use record::{Recorded, Window, record};
pub use resources::{ResourceLine, resource, resources};

/// Rollouts of a wave that are attended at the same time: sixteen in the two waves. Each makes a few calls at once against
/// 15 Lambda control-plane requests a second for the whole account, so more would only be throttled.
const CONCURRENT_ROLLOUTS: usize = 8;

/// Rollouts that are looked at together. Their metrics fit into one call or two, and what fails with such a call fails for
/// no more of them.
const WAVE: usize = 50;

/// Aliases that a tick looks at although nothing need be done: four seconds of Lambda's 15 control-plane requests. The rest is
/// for what is to be done, and for the account's other business.
const LOOKS: usize = 60;

/// Of very many, this part of them all the same.
const PART_LOOKED_AT: usize = 15;

/// Waves under way at the same time: one is attended to while the next one's metrics are read.
const CONCURRENT_WAVES: usize = 2;

/// Switches of waiting rollouts that are pushed on at the same time: EventBridge Scheduler allows hundreds a second.
const CONCURRENT_PUSHES: usize = 32;

/// This part of a tick's time is kept for the rollouts that wait: none is begun in it, and what is under way ends by the
/// middle of it.
const KEPT_FOR_WAITING: u32 = 4;

/// The longest that one rollout may keep the others waiting.
const SLICE: Duration = Duration::from_secs(20);

/// What holds for every rollout of this controller.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `observe` turns every writer off.
    pub mode: Mode,
    /// How late metrics may be.
    pub metric_lag: Span,
    /// How long the dead man's switch waits for a tick; `None` for no such switch.
    pub switch: Option<Span>,
    /// The spec's text for deployments of other services for which nobody left another one.
    pub deployment_spec: Option<String>,
}

/// What was done, a line per rollout.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TickReport {
    pub now: Timestamp,
    pub lines: Vec<Line>,
    /// What was done about the hooks of deployments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookLine>,
    /// Rollouts whose stored form this version cannot read: nobody attends to them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
    /// Rollouts for which there was no time. The next ticks begin with others.
    #[serde(skip_serializing_if = "is_zero")]
    pub waiting: usize,
    /// What could not be done for want of something that concerns no single rollout or hook.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

impl TickReport {
    /// Nothing was done.
    fn at(now: Timestamp) -> Self {
        Self { now, lines: Vec::new(), hooks: Vec::new(), unreadable: Vec::new(), waiting: 0, faults: Vec::new() }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What every part of a tick works with.
pub(crate) struct Context<'a, P, B> {
    pub ports: &'a P,
    pub budget: &'a B,
    pub settings: &'a Settings,
    pub now: Timestamp,
}

/// Attends to every active rollout. A repeated or late tick is a no-op.
///
/// # Errors
/// When the rollouts cannot be listed: then nothing is known, and nothing is done but about hooks.
pub async fn tick(
    ports: &impl Ports,
    now: Timestamp,
    budget: &impl Budget,
    settings: &Settings,
) -> Result<TickReport, Fault> {
    let (report, listed) = tick_told(ports, now, budget, settings).await;
    listed.map(|()| report)
}

/// The same, with what was done about hooks also where the rollouts cannot be listed.
pub async fn tick_told(
    ports: &impl Ports,
    now: Timestamp,
    budget: &impl Budget,
    settings: &Settings,
) -> (TickReport, Result<(), Fault>) {
    let context = Context { ports, budget, settings, now };
    let (hooks, faults) = context.kept_hooks().await;
    let (due, others) = Calls::due_first(hooks, now);
    let mut first = TickReport::at(now);
    // Before anything else, which may take all the time there is.
    context.settle_all(context.look_at(due).await, &Attended::new(), &mut first).await;
    let calls = context.look_at(others).await;
    let (mut rollouts, mut unreadable, mut all) = (Vec::new(), Vec::new(), true);
    let listed = context.guarded(budget.remaining(), ports.active()).await;
    let listed = listed.unwrap_or_else(|cut| Err(cut.fault("active"))).map(|stored| {
        for stored in stored {
            match stored {
                Ok(rollout) => rollouts.push(rollout),
                Err(error) => {
                    // It will be read again. What is damaged stays so, and nobody waits for that.
                    all &= error.fault.kind != FaultKind::Throttled;
                    unreadable.push(described(error));
                }
            }
        }
    });
    rotate(&mut rollouts, now);
    let attending = context.attend_all(rollouts, all, &hooks::visits(&calls)).await;
    let attended = attending.lines.iter().map(|line| (line.rollout.clone(), !line.unsaved)).collect();
    let lines = [first.lines, attending.lines].concat();
    let mut report = TickReport { unreadable, faults, hooks: first.hooks, lines, ..attending };
    // Also where the rollouts cannot be listed: a hook must have its answer in time.
    context.settle_all(calls, &attended, &mut report).await;
    (report, listed)
}

/// Attends to the rollouts that name an alarm, right after it changed. The alarm's state is read again: a forged event
/// does nothing.
///
/// # Errors
/// When the rollouts cannot be found, or none of them can be read.
pub async fn alarm(
    ports: &impl Ports,
    alarm_name: &str,
    now: Timestamp,
    budget: &impl Budget,
    settings: &Settings,
) -> Result<TickReport, Fault> {
    let context = Context { ports, budget, settings, now };
    let naming = async {
        let (mut rollouts, mut unreadable) = (Vec::new(), Vec::new());
        for id in ports.named_by_alarm(alarm_name).await? {
            match ports.load(&id).await {
                Ok(rollout) => rollouts.extend(rollout),
                Err(fault) => unreadable.push(Unreadable { id, fault }),
            }
        }
        match unreadable.pop() {
            Some(last) if rollouts.is_empty() => Err(last.fault),
            last => Ok((rollouts, unreadable.into_iter().chain(last).map(described).collect())),
        }
    };
    let named = context.guarded(budget.remaining(), naming).await;
    let (rollouts, unreadable) = named.unwrap_or_else(|cut| Err(cut.fault("named_by_alarm")))?;
    let mut report = context.attend_all(rollouts, false, &Visits::new()).await;
    // A tick may have been faster, and has perhaps not looked at the alarm; this event comes only once.
    for line in report.lines.iter_mut().filter(|line| line.unsaved) {
        let Ok(Ok(Some(rollout))) = context.guarded(budget.remaining(), ports.load(&line.rollout)).await else {
            continue;
        };
        let again = context.attend_all(vec![rollout], false, &Visits::new()).await.lines.pop();
        *line = again.unwrap_or_else(|| line.clone());
    }
    Ok(TickReport { unreadable, ..report })
}

fn described(unreadable: Unreadable) -> String {
    format!("{unreadable}: {}", unreadable.fault)
}

/// Those that have begun come first: where there is no time for all whose traffic is split, no more of them begin.
///
/// Among them, and among the others, each minute starts elsewhere, so that none starves when time runs out, and nothing need be
/// stored for it. Steps of the golden ratio spread the beginnings evenly, however many of the rollouts a tick gets round to;
/// they would not if it were among all, for those that wait give whole stretches of the way to the same one.
fn rotate(rollouts: &mut [Rollout], now: Timestamp) {
    /// 2^64 over the golden ratio.
    const STEP: u64 = 11_400_714_819_323_198_485;
    let waits = |rollout: &Rollout| !rollout.has_begun() && rollout.guest.is_none();
    rollouts.sort_by(|one, other| (waits(one), &one.id).cmp(&(waits(other), &other.id)));
    let begun = rollouts.partition_point(|rollout| !waits(rollout));
    let place = now.minute().index().cast_unsigned().wrapping_mul(STEP);
    let (begun, waiting) = rollouts.split_at_mut(begun);
    for part in [begun, waiting] {
        let first = (u128::from(place) * part.len() as u128) >> 64;
        part.rotate_left(usize::try_from(first).unwrap_or(0));
    }
}

/// A rollout in a tick.
enum Visited {
    Line(Box<Line>),
    /// There was no time for it.
    Waits(Box<Rollout>),
}

/// What the other rollouts mean for one of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Neighbours {
    pub target_held_by: Option<String>,
    pub newer: Option<String>,
}

/// Who waits for whom, among all active rollouts.
fn neighbours(rollouts: &[Rollout]) -> BTreeMap<String, Neighbours> {
    let mut by_target: BTreeMap<String, Vec<&Rollout>> = BTreeMap::new();
    for rollout in rollouts.iter().filter(|rollout| !rollout.is_terminal()) {
        by_target.entry(rollout.spec.target.key()).or_default().push(rollout);
    }
    let mut found = BTreeMap::new();
    for group in by_target.values_mut() {
        group.sort_by_key(|rollout| (rollout.started_at, rollout.id.clone()));
        let holder = group.iter().find(|rollout| rollout.holds_target());
        for (place, rollout) in group.iter().enumerate() {
            let before = group.iter().take(place).find(|other| !other.holds_target() && !superseding(other, group));
            let held_by = holder.or(before.filter(|_| !rollout.holds_target()));
            let newer = group.iter().skip(place + 1).rev().find(|other| other.asks_to_give_way());
            let neighbours = Neighbours {
                target_held_by: held_by.filter(|other| other.id != rollout.id).map(|other| other.id.clone()),
                newer: newer.map(|other| other.id.clone()),
            };
            found.insert(rollout.id.clone(), neighbours);
        }
    }
    let others = by_claim(rollouts);
    let beside = |ended: &Rollout| {
        let claims = ended.spec.target.claims();
        let beside: Vec<&Rollout> = claims.iter().filter_map(|claim| others.get(claim)).flatten().copied().collect();
        beside
    };
    // Its switch may still fire: what begins before that would be put back.
    for ended in rollouts.iter().filter(|rollout| rollout.is_terminal() && rollout.switch.is_some()) {
        for next in beside(ended) {
            if let Some(next) = found.get_mut(&next.id) {
                next.target_held_by.get_or_insert_with(|| ended.id.clone());
            }
        }
    }
    for ended in rollouts.iter().filter(|rollout| rollout.detach_at.is_some()) {
        let target_held_by = beside(ended).first().map(|newer| newer.id.clone());
        found.insert(ended.id.clone(), Neighbours { target_held_by, newer: None });
    }
    found
}

/// Those that have not ended, by each of their target's claims.
fn by_claim(rollouts: &[Rollout]) -> BTreeMap<String, Vec<&Rollout>> {
    let mut found: BTreeMap<String, Vec<&Rollout>> = BTreeMap::new();
    for rollout in rollouts.iter().filter(|rollout| !rollout.is_terminal()) {
        for claim in rollout.spec.target.claims() {
            found.entry(claim).or_default().push(rollout);
        }
    }
    found
}

/// Whether a waiting rollout will itself give way to a newer one, and so keeps nobody waiting.
fn superseding(rollout: &Rollout, group: &[&Rollout]) -> bool {
    group.iter().any(|other| other.started_at > rollout.started_at && other.asks_to_give_way())
}

impl<P: Ports, B: Budget> Context<'_, P, B> {
    /// `all` says whether these are all active rollouts: one that waits for another, or must not disturb one, can only be
    /// attended then.
    async fn attend_all(&self, rollouts: Vec<Rollout>, all: bool, visits: &Visits) -> TickReport {
        let neighbours = neighbours(&rollouts);
        // What has not begun must not before a tick has seen that nothing of an earlier release is left.
        let waits = |rollout: &Rollout| {
            let may_begin = rollout.holds_target() && (rollout.has_begun() || rollout.guest.is_some());
            rollout.detach_at.is_some() || !may_begin && !rollout.is_terminal()
        };
        let attended: Vec<Rollout> = rollouts.into_iter().filter(|rollout| all || !waits(rollout)).collect();
        let kept = self.budget.remaining() / KEPT_FOR_WAITING;
        // The first ones, for which there is time: the beginning goes round.
        let looks = LOOKS.max(attended.len().div_ceil(PART_LOOKED_AT));
        let waves = attended.chunks(WAVE).enumerate();
        let waves = waves.map(|(number, wave)| {
            let looks = looks.saturating_sub(number * WAVE);
            self.attend_wave(wave, &neighbours, visits, (kept, looks))
        });
        let (mut lines, mut waiting) = (Vec::new(), Vec::new());
        for visited in stream::iter(waves).buffered(CONCURRENT_WAVES).collect::<Vec<_>>().await.into_iter().flatten() {
            match visited {
                Visited::Line(line) => lines.push(*line),
                Visited::Waits(rollout) => waiting.push(*rollout),
            }
        }
        let report = TickReport { waiting: waiting.len(), ..TickReport::at(self.now) };
        let pushed = stream::iter(waiting).map(|rollout| self.pushed_on(rollout)).buffered(CONCURRENT_PUSHES);
        lines.extend(pushed.filter_map(std::future::ready).collect::<Vec<Line>>().await);
        TickReport { lines, ..report }
    }

    async fn attend_wave(
        &self,
        wave: &[Rollout],
        neighbours: &BTreeMap<String, Neighbours>,
        visits: &Visits,
        (kept, looks): (Duration, usize),
    ) -> Vec<Visited> {
        if self.budget.remaining() < kept {
            return wave.iter().map(|rollout| Visited::Waits(Box::new(rollout.clone()))).collect();
        }
        let mut visited = Vec::new();
        let mut planned = Vec::new();
        for rollout in wave {
            match catch_unwind(AssertUnwindSafe(|| sampling::plan(rollout, self.now))) {
                Ok(plan) => planned.push((rollout.clone(), plan)),
                Err(panic) => {
                    let line = Line::of_fault(rollout, Cut::panicked(panic.as_ref()).to_string());
                    visited.push(Visited::Line(Box::new(line)));
                }
            }
        }
        let (mut series, alarms) = join(self.fetch(&planned), self.alarm_states(&planned)).await;
        let mut work = Vec::new();
        for (place, (rollout, plan)) in planned.into_iter().enumerate() {
            let series = series.drain(..plan.queries.len().min(series.len())).collect();
            let neighbours = neighbours.get(&rollout.id).cloned().unwrap_or_default();
            let visit = visits.get(&rollout.id).cloned();
            let presumed = (place >= looks).then(|| engine::presumed(&rollout, self.now)).flatten();
            let (alarms, switch_told) = (alarms.clone(), SwitchTold::Nothing);
            let looked = Looked { plan, series, alarms, neighbours, visit, switch_told, presumed, live: None };
            work.push((rollout, looked));
        }
        let attending = stream::iter(work).map(|(rollout, looked)| async {
            if self.budget.remaining() < kept {
                return Visited::Waits(Box::new(rollout));
            }
            Visited::Line(Box::new(self.isolated(rollout, looked, kept / 2).await))
        });
        visited.extend(attending.buffered(CONCURRENT_ROLLOUTS).collect::<Vec<_>>().await);
        visited
    }

    async fn pushed_on(&self, rollout: Rollout) -> Option<Line> {
        // Hooks come after this.
        let pushed = self.guarded(self.budget.remaining() / 2, self.push_on(&rollout)).await;
        pushed.unwrap_or_else(|cut| Some(Line { faults: vec![cut.to_string()], ..Line::about(&rollout) }))
    }

    /// All alarms of a wave at once: DescribeAlarms allows nine calls a second.
    async fn alarm_states(&self, planned: &[(Rollout, sampling::Plan)]) -> Seen<BTreeMap<String, AlarmState>> {
        let names: BTreeSet<String> = planned.iter().flat_map(|(_, plan)| plan.needs.alarms.iter().cloned()).collect();
        if names.is_empty() {
            return Seen::NotAsked;
        }
        let names: Vec<String> = names.into_iter().collect();
        let wait = self.budget.remaining() / 2;
        match self.guarded(wait, self.ports.states(&names)).await {
            Ok(states) => Seen::from(states),
            Err(cut) => Seen::Missing(cut.to_string()),
        }
    }

    /// A wave's metrics in as few calls as the limits allow.
    async fn fetch(&self, planned: &[(Rollout, sampling::Plan)]) -> Vec<Result<Series, Fault>> {
        let queries: Vec<SeriesQuery> = planned.iter().flat_map(|(_, plan)| plan.queries.iter().cloned()).collect();
        if queries.is_empty() {
            return Vec::new();
        }
        let wait = self.budget.remaining() / 2;
        let fetched = self.guarded(wait, self.ports.fetch(&queries)).await;
        fetched.unwrap_or_else(|cut| queries.iter().map(|_| Err(cut.fault("fetch"))).collect())
    }

    /// One rollout's failure, panic or slowness is not the others'.
    async fn isolated(&self, rollout: Rollout, looked: Looked, kept: Duration) -> Line {
        let line = Line::about(&rollout);
        let wait = SLICE.min(self.budget.remaining().saturating_sub(kept));
        let attended = self.guarded(wait, self.attend(rollout, looked)).await;
        attended.unwrap_or_else(|cut| Line { faults: vec![format!("{cut}; the next tick goes on")], ..line })
    }

    /// Work of which neither slowness nor a bug may stop the rest.
    pub(crate) async fn guarded<T>(&self, wait: Duration, work: impl Future<Output = T>) -> Result<T, Cut> {
        let work = AssertUnwindSafe(work).catch_unwind();
        let sleep = self.budget.sleep(wait);
        pin_mut!(work, sleep);
        match select(work, sleep).await {
            Either::Left((done, _)) => done.map_err(|panic| Cut::panicked(panic.as_ref())),
            Either::Right(((), _)) => Err(Cut::Late),
        }
    }
}

/// Why work was not finished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Cut {
    #[error("no time left in this invocation")]
    Late,
    #[error("bug: {0}")]
    Panicked(String),
}

impl Cut {
    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Panicked(text.unwrap_or_else(|| "a panic".to_owned()))
    }

    fn fault(&self, operation: &'static str) -> Fault {
        let kind = match self {
            Self::Late => FaultKind::TimedOut,
            Self::Panicked(_) => FaultKind::Failed,
        };
        Fault::new(operation, kind, self.to_string())
    }
}
