//! Rollouts that judge another service's deployment: every state that can be reached, against everything that can be seen
//! there.

use std::collections::{BTreeMap, VecDeque};

use super::fixtures::*;
use crate::analysis::{Analysis, Verdict};
use crate::deployment::{Asked, DeploymentRef, DeploymentState, HookAnswer, Reply};
use crate::engine::{Decision, Effect, Order, OrderKind, answer, decide, order};
use crate::observation::{AlarmState, Observation, Routing, Seen, Split, TestOutcome};
use crate::rollout::{Event, Phase, PhaseName, Rollout, Why};
use crate::spec::{Advance, Ending, InvokeTest, Mode, RolloutSpec, Test};
use crate::units::{Span, Timestamp, Weight};

/// What can be seen in one look.
struct Look {
    name: String,
    seen: Observation,
    analysis: Option<Analysis>,
}

impl Look {
    fn live(&self, rollout: &Rollout) -> Option<Split> {
        Some(self.seen.routing.known()?.split(&rollout.baseline, &rollout.canary))
    }

    fn has_ended(&self) -> bool {
        self.seen.deployment.known().is_some_and(|deployment| deployment.state.has_ended())
    }

    fn is_red(&self) -> bool {
        self.seen.alarms == alarms(AlarmState::Alarm)
    }

    fn failed(&self) -> bool {
        self.analysis.as_ref().is_some_and(|analysis| analysis.verdict == Verdict::Fail)
    }

    /// The deployment waits for the answer of a hook where it is.
    fn is_told(&self, rollout: &Rollout) -> bool {
        let live = self.live(rollout);
        self.seen.asked.is_some_and(|asked| live == Some(Split::Ours(asked.at)))
    }

    fn decide(&self, rollout: &Rollout) -> Decision {
        decide(rollout, &self.seen, self.analysis.as_ref())
    }
}

fn states() -> [(&'static str, Option<DeploymentState>); 4] {
    let why = "somebody stopped it".to_owned();
    [
        ("in progress", Some(DeploymentState::InProgress)),
        ("succeeded", Some(DeploymentState::Succeeded)),
        ("stopped", Some(DeploymentState::Stopped { why })),
        ("unread", None),
    ]
}

fn routings() -> [(&'static str, Seen<Routing>); 6] {
    [
        ("0", Seen::Known(live(0))),
        ("10", Seen::Known(live(10))),
        ("50", Seen::Known(live(50))),
        ("100", Seen::Known(live(100))),
        ("v40", Seen::Known(routing("40", None, "r2"))),
        ("unread", Seen::Missing("GetAlias was throttled".to_owned())),
    ]
}

/// Nobody asks; before traffic, after it, and with no time left at the live weight.
fn questions(now: Timestamp, live: &Seen<Routing>) -> Vec<Option<Asked>> {
    let later = now + Span::from_minutes(30);
    let asked = |at, until| Some(Asked { at, until });
    let mut questions = vec![None, asked(Weight::ZERO, Some(later)), asked(Weight::FULL, Some(later))];
    let live = live.known().and_then(|routing| match routing.split(&version("41"), &version("42")) {
        Split::Ours(weight) => Some(weight),
        Split::Uneven { .. } | Split::Foreign => None,
    });
    questions.extend(live.map(|at| asked(at, Some(now))));
    questions
}

/// 4 states of the deployment × 6 routings × 3 verdicts × up to 4 questions × 2 alarm states × 2 outcomes of the tests.
fn looks(rollout: &Rollout, now: Timestamp, mode: Mode) -> Vec<Look> {
    let mut looks = Vec::new();
    let verdicts = [Verdict::Pass, Verdict::Inconclusive, Verdict::Fail].map(analysis);
    for (state_name, state) in states() {
        for (live_name, live) in routings() {
            for judged in &verdicts {
                for asked in questions(now, &live) {
                    for alarm in [AlarmState::Ok, AlarmState::Alarm] {
                        let mut seen = observation(rollout, now, super::fixtures::live(0));
                        (seen.mode, seen.asked, seen.alarms) = (mode, asked, alarms(alarm));
                        seen.routing = live.clone();
                        let unread = || Seen::Missing("GetDeployment was throttled".to_owned());
                        seen.deployment =
                            state.clone().map_or_else(unread, |state| Seen::Known(deployment(rollout, state)));
                        // Proven before 100 %, where the verdict is a Pass.
                        let proven = judged.verdict == Verdict::Pass;
                        seen.passes_before = crate::engine::alone_since(rollout).filter(|_| proven);
                        seen.tests = Seen::Known(vec![if judged.verdict == Verdict::Fail {
                            TestOutcome::Failed("the answer is 500".to_owned())
                        } else {
                            TestOutcome::Passed
                        }]);
                        let name = format!(
                            "{state_name}, live {live_name}, {:?}, asked {asked:?}, alarm {alarm:?}",
                            judged.verdict
                        );
                        looks.push(Look { name, seen, analysis: Some(judged.clone()) });
                    }
                }
            }
        }
    }
    looks
}

/// What makes two rollouts different for the engine, as far as these looks go.
fn key(rollout: &Rollout, now: Timestamp) -> String {
    let spent = rollout.clock.spent_at(now).seconds() / rollout.spec.deadline.seconds();
    let over = |since: Timestamp, span: Span| now.since(since) >= span;
    let shape = match &rollout.phase {
        Phase::Pending { ready, .. } => format!("{ready}"),
        Phase::Baking { step, proof, since, .. } => {
            format!("{step} {} {}", proof.is_some(), over(*since, Span::from_minutes(5)))
        }
        Phase::Paused { held, why, until, .. } => format!("{held:?} {why:?} {}", now >= *until),
        Phase::Promoting { live_since, .. } => format!("{:?}", live_since.map(|at| over(at, Span::from_minutes(5)))),
        Phase::RollingBack { fence, since, .. } => format!("{fence:?} {}", over(*since, rollout.spec.deadline)),
        Phase::Shifting { .. } => panic!("a guest never shifts"),
        Phase::Promoted { .. } | Phase::RolledBack { .. } | Phase::Superseded { .. } => String::new(),
    };
    let weight = rollout.weights.last().map(|seen| seen.weight);
    format!("{:?} {shape} {:?} {weight:?} {}", rollout.phase.name(), may_leave(rollout), spent.min(2))
}

/// A step that was taken.
struct Taken<'a> {
    before: &'a Rollout,
    look: &'a Look,
    decision: &'a Decision,
}

impl Taken<'_> {
    fn name(&self) -> String {
        format!("{:?}, {:?}, {}", self.before.phase, may_leave(self.before), self.look.name)
    }

    fn news(&self) -> Vec<&Event> {
        let new = usize::try_from(self.decision.next.events_total - self.before.events_total).unwrap();
        self.decision.next.history.iter().rev().take(new).collect()
    }
}

/// Every state that can be reached, with the moment it was reached, and `check` for every step between two.
fn explore(
    spec: &RolloutSpec,
    of: DeploymentRef,
    mode: Mode,
    mut check: impl FnMut(&Taken<'_>),
) -> Vec<(Rollout, u64)> {
    let first = guest_of(spec.clone(), of);
    let mut found = BTreeMap::from([(key(&first, at(0)), (first.clone(), 0))]);
    let mut open = VecDeque::from([(first, 0)]);
    while let Some((before, minute)) = open.pop_front() {
        let mut followers: Vec<(Rollout, u64)> = Vec::new();
        for later in [1, 30] {
            for look in looks(&before, at(minute + later), mode) {
                let decision = look.decide(&before);
                check(&Taken { before: &before, look: &look, decision: &decision });
                followers.push((decision.next, minute + later));
            }
        }
        for kind in [OrderKind::Pause, OrderKind::Resume, OrderKind::Promote, OrderKind::Abort] {
            let asked = Order { kind, by: "mara".to_owned(), reason: String::new() };
            let ordered = order(&before, &asked, at(minute + 1));
            followers.extend(ordered.ok().map(|decision| (decision.next, minute + 1)));
        }
        for (mut next, minute) in followers.into_iter().filter(|(next, _)| !next.is_terminal()) {
            let surplus = next.history.len().saturating_sub(3);
            next.history.drain(..surplus);
            next.outbox.clear();
            found.entry(key(&next, at(minute))).or_insert_with(|| {
                open.push_back((next.clone(), minute));
                (next, minute)
            });
        }
    }
    found.into_values().collect()
}

fn tested(spec: RolloutSpec) -> RolloutSpec {
    let invoke = InvokeTest { payload: serde_json::json!({}), expect: None, times: 1 };
    RolloutSpec { tests: vec![Test::Invoke(invoke)], ..spec }
}

/// What was checked, so that no check holds for want of cases.
#[derive(Debug, Default)]
struct Checked {
    steps: usize,
    dangers: usize,
    turned: usize,
    raised: usize,
    kept: usize,
    answered: usize,
}

/// Every property, of every step that can be taken.
fn check_world(spec: &RolloutSpec, of: DeploymentRef) {
    let mut checked = Checked::default();
    explore(spec, of, Mode::Enforce, |taken| {
        checked.steps += 1;
        never_sets_a_weight(taken);
        checked.dangers += usize::from(harm_and_alarms_stop_the_deployment_at_once(taken));
        checked.turned += usize::from(turning_back_leads_nowhere_but_to_an_end(taken));
        checked.raised += usize::from(goes_on_only_for_a_recorded_reason(taken));
        checked.kept += an_answer_that_was_given_stays(taken);
        // The driver looks up to four times; of these steps every seventh.
        if checked.steps.is_multiple_of(7) {
            the_same_look_again_changes_nothing_more(taken);
            checked.answered += usize::from(has_its_answer_in_time(taken));
        }
    });
    let Checked { steps, dangers, turned, raised, kept, answered } = checked;
    let enough = steps > 20_000 && dangers > 1000 && turned > 1000 && raised > 50 && kept > 1000 && answered > 100;
    assert!(enough, "{checked:?}");
}

#[test]
fn code_deploy_unless_harm() {
    check_world(&guest_spec(Advance::UnlessHarm), code_deploy());
}

#[test]
fn code_deploy_on_proof_with_tests() {
    check_world(&tested(undecided(guest_spec(Advance::OnProof), Ending::Promote)), code_deploy());
}

#[test]
fn ecs_on_proof_with_pauses() {
    check_world(&undecided(guest_spec(Advance::OnProof), Ending::Pause), ecs());
}

#[test]
fn ecs_unless_harm_with_tests() {
    check_world(&tested(undecided(guest_spec(Advance::UnlessHarm), Ending::Promote)), ecs());
}

fn goes_on(rollout: &Rollout, at: Weight) -> Option<bool> {
    match answer(rollout, &Asked { at, until: None }, Mode::Enforce) {
        Reply::Answer(HookAnswer { goes_on, .. }) => Some(goes_on),
        Reply::Wait(_) => None,
    }
}

fn weight(rollout: &Rollout) -> Weight {
    rollout.weights.last().map_or(Weight::ZERO, |seen| seen.weight)
}

fn never_sets_a_weight(taken: &Taken<'_>) {
    let Taken { before, decision, .. } = taken;
    let stops = decision.effects.iter().filter(|effect| matches!(effect, Effect::Stop { .. })).count();
    assert_eq!(stops, decision.effects.len(), "{}", taken.name());
    // Where the stop comes with the end, the end is one that leaves the rest to others.
    let turned_back = matches!(decision.next.phase, Phase::RollingBack { .. } | Phase::Superseded { .. })
        || matches!(before.phase, Phase::RollingBack { .. });
    assert!(stops <= 1 && (stops == 0 || turned_back), "{}", taken.name());
    let bug = taken.news().into_iter().find(|event| matches!(event.why, Why::IllegalTransition { .. }));
    assert_eq!(bug, None, "{}", taken.name());
}

/// Whether the deployment is stopped, and if so, whether only where that cannot be recorded.
fn told(decision: &Decision) -> Option<bool> {
    decision.effects.first().map(Effect::is_only_unsaved)
}

/// Where traffic is ours, and the deployment goes on as far as is known.
fn harm_and_alarms_stop_the_deployment_at_once(taken: &Taken<'_>) -> bool {
    let Taken { before, look, decision } = taken;
    let live = look.live(before);
    let had_traffic = !before.weights.is_empty() || matches!(live, Some(Split::Ours(weight)) if weight > Weight::ZERO);
    let judged = matches!(before.phase.name(), PhaseName::Baking | PhaseName::Promoting | PhaseName::Paused);
    let danger = look.failed() || look.is_red();
    if !judged || !had_traffic || !danger || look.has_ended() || live == Some(Split::Foreign) {
        return false;
    }
    assert_eq!(decision.next.phase.name(), PhaseName::RollingBack, "{}", taken.name());
    assert_eq!(told(decision), Some(look.is_told(before)), "{}", taken.name());
    for at in [0, 10, 50, 100] {
        assert_eq!(goes_on(&decision.next, percent(at)), Some(false), "{}", taken.name());
    }
    true
}

fn turning_back_leads_nowhere_but_to_an_end(taken: &Taken<'_>) -> bool {
    let Taken { before, look, decision } = taken;
    let Phase::RollingBack { since, .. } = &before.phase else { return false };
    let next = decision.next.phase.name();
    let end = matches!(next, PhaseName::RollingBack | PhaseName::RolledBack | PhaseName::Superseded);
    assert!(end, "{}: {next:?}", taken.name());
    // Until it is seen ended, it is told again, unless its hook is about to be.
    let fresh = look.seen.now.since(*since) < Span::from_minutes(2);
    let stops = (!look.has_ended()).then(|| fresh && look.is_told(before));
    assert_eq!(told(decision), stops, "{}", taken.name());
    if next == PhaseName::RolledBack {
        assert_eq!(look.live(before), Some(Split::Ours(Weight::ZERO)), "{}", taken.name());
    }
    true
}

fn goes_on_only_for_a_recorded_reason(taken: &Taken<'_>) -> bool {
    let Taken { before, look, decision } = taken;
    let (allowed, after) = (may_leave(before), may_leave(&decision.next));
    if after <= allowed {
        assert_eq!(after, allowed, "{}: it fell", taken.name());
        return false;
    }
    let proven = look.analysis.as_ref().is_some_and(|analysis| analysis.verdict == Verdict::Pass);
    let unless_harm = before.spec.steps.iter().all(|step| step.advance == Advance::UnlessHarm);
    let tested = after == Some(Weight::ZERO) && (before.spec.tests.is_empty() || !look.failed());
    let undecided = before.spec.undecided.too_little_traffic == Ending::Promote;
    let unpaused = before.spec.pause.then == Ending::Promote;
    let watched = |why: &Why| matches!(why, Why::WatchOver { watched } if *watched >= before.spec.after.watch);
    let allows = |why: &Why| {
        tested && matches!(why, Why::Cleared)
            || proven && matches!(why, Why::Proven { .. })
            || unless_harm && (watched(why) || matches!(why, Why::NoHarm { .. }))
            || undecided && matches!(why, Why::Undecided { then: Ending::Promote, .. })
            || unpaused && matches!(why, Why::PauseOver { then: Ending::Promote })
    };
    let news = taken.news();
    assert!(news.iter().any(|event| allows(&event.why)), "{}: {news:?}", taken.name());
    assert!(!look.is_red() && (!look.failed() || after == Some(Weight::ZERO)), "{}", taken.name());
    // Nothing goes on what was not seen, and never further than what was judged, but on the spec's own word for that.
    let by_the_spec = news.iter().any(|event| matches!(event.why, Why::Undecided { .. }));
    let seen = look.seen.routing.known().is_some() && look.seen.deployment.known().is_some();
    let judged = decision.next.weights.last().map_or(Weight::ZERO, |seen| seen.weight);
    assert!(seen && after <= Some(judged) || by_the_spec, "{}", taken.name());
    true
}

/// Asked again, a hook is told the same: a stop stays one, and what may go on may do so until it is turned back, or until
/// there is more traffic than it was asked for.
fn an_answer_that_was_given_stays(taken: &Taken<'_>) -> usize {
    let name = taken.decision.next.phase.name();
    let turned_back = matches!(name, PhaseName::RollingBack | PhaseName::RolledBack | PhaseName::Superseded);
    let stays = |at| {
        let after = goes_on(&taken.decision.next, percent(at));
        match goes_on(taken.before, percent(at)) {
            Some(false) => assert_eq!(after, Some(false), "{at}: {}", taken.name()),
            Some(true) if turned_back => assert_eq!(after, Some(false), "{at}: {}", taken.name()),
            Some(true) if name == PhaseName::Paused || weight(&taken.decision.next) > percent(at) => {
                assert_ne!(after, Some(false), "{at}: {}", taken.name());
            }
            Some(true) => assert_eq!(after, Some(true), "{at}: {}", taken.name()),
            None => return false,
        }
        true
    };
    [0, 10, 50, 100].into_iter().filter(|at| stays(*at)).count()
}

/// A hook without any time left has its answer in the same tick.
fn has_its_answer_in_time(taken: &Taken<'_>) -> bool {
    let Some(asked) = taken.look.seen.asked.filter(|asked| asked.until == Some(taken.look.seen.now)) else {
        return false;
    };
    let mut current = taken.decision.next.clone();
    for _ in 0..3 {
        current = taken.look.decide(&current).next;
    }
    assert!(goes_on(&current, asked.at).is_some(), "{}: {:?}", taken.name(), current.phase);
    true
}

fn the_same_look_again_changes_nothing_more(taken: &Taken<'_>) {
    let (mut current, mut passes) = (taken.decision.next.clone(), 0);
    let changed = current != *taken.before;
    assert_eq!(current.revision, taken.before.revision + u64::from(changed), "{}", taken.name());
    loop {
        let again = taken.look.decide(&current);
        if again.next == current && again.effects.iter().all(Effect::is_only_unsaved) {
            return;
        }
        (current, passes) = (again.next, passes + 1);
        assert!(passes <= 4, "{}: still moving at {:?}", taken.name(), current.phase);
    }
}

/// Whatever has happened, once nothing more does a guest ends: within its deadlines, and those of a pause.
#[test]
fn every_guest_ends() {
    for (spec, of) in [
        (guest_spec(Advance::UnlessHarm), code_deploy()),
        (undecided(guest_spec(Advance::OnProof), Ending::Pause), ecs()),
        (RolloutSpec { mode: Mode::Observe, ..guest_spec(Advance::OnProof) }, code_deploy()),
    ] {
        for (reached, minute) in explore(&spec, of, Mode::Enforce, |_| {}) {
            for live in [live(0), live(10), live(100)] {
                ends(&reached, minute, &live);
            }
        }
    }
}

/// The deployment hangs where it is.
fn ends(reached: &Rollout, minute: u64, live: &Routing) {
    let most = 3 * 60 + reached.spec.pause.length.seconds() / 60;
    let mut current = reached.clone();
    for later in (1..=most).step_by(20) {
        let mut seen = observation(&current, at(minute + later), live.clone());
        seen.deployment = Seen::Known(deployment(&current, DeploymentState::InProgress));
        current = decide(&current, &seen, Some(&analysis(Verdict::Inconclusive))).next;
        if current.is_terminal() {
            return;
        }
    }
    panic!("{:?} {:?} at {live}: still {:?}", reached.phase, may_leave(reached), current.phase);
}

#[test]
fn in_observe_mode_nothing_is_stopped_and_every_hook_goes_on() {
    let observed = RolloutSpec { mode: Mode::Observe, ..guest_spec(Advance::OnProof) };
    let mut steps = 0;
    explore(&observed, code_deploy(), Mode::Enforce, |taken| {
        assert_eq!(taken.decision.effects, [], "{}", taken.name());
        assert_eq!(goes_on(&taken.decision.next, Weight::FULL), Some(true), "{}", taken.name());
        steps += 1;
    });
    assert!(steps > 10_000, "{steps}");
}

/// The switch for everything.
#[test]
fn the_switch_turns_every_stop_off() {
    let mut steps = 0;
    explore(&guest_spec(Advance::UnlessHarm), code_deploy(), Mode::Observe, |taken| {
        assert_eq!(taken.decision.effects, [], "{}", taken.name());
        steps += 1;
    });
    assert!(steps > 10_000, "{steps}");
}
