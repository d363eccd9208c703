//! Rollouts between two target groups: no revisions, several rules, targets that must be healthy.

use super::fixtures::*;
use crate::analysis::{Advice, Analysis, AutoPlan, Verdict};
use crate::engine::{Effect, Order, OrderKind, begin, decide, needs, order};
use crate::observation::{AlarmState, GroupHealth, Health, Observation, Routing, Seen};
use crate::report;
use crate::rollout::{Phase, PhaseName, Rollout, Why};
use crate::spec::{Ending, Mode, RolloutSpec, Stickiness};
use crate::units::{Span, Timestamp, Weight};

/// Rules that do what they are told, and targets.
struct Stage {
    rollout: Rollout,
    /// The canary's weight of every rule.
    rules: Vec<Weight>,
    /// How many of the rules, from the first one on, a write reaches.
    reached: usize,
    attached: bool,
    sticky: Option<Span>,
    lost: Vec<String>,
    health: Seen<Health>,
    now: Timestamp,
    writes: Vec<Weight>,
    alarm: AlarmState,
    holding: Vec<String>,
}

impl Stage {
    fn new(spec: RolloutSpec) -> Self {
        let rollout = Rollout { baseline: group("blue"), canary: group("green"), ..rollout_of(spec) };
        Self {
            rollout,
            rules: vec![Weight::ZERO; 2],
            reached: 2,
            attached: true,
            sticky: None,
            lost: Vec::new(),
            health: healthy(20, 20),
            now: at(0),
            writes: Vec::new(),
            alarm: AlarmState::Ok,
            holding: Vec::new(),
        }
    }

    /// A rollout in its first bake.
    fn baking(spec: RolloutSpec) -> Self {
        let mut stage = Self::new(spec);
        assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Baking);
        stage
    }

    fn routing(&self) -> Routing {
        let route = |weight: Weight| match weight {
            Weight::ZERO => (group("blue"), None),
            Weight::FULL => (group("green"), None),
            between => (group("blue"), Some((group("green"), between))),
        };
        let first = route(self.rules[0]);
        let others = self.rules.iter().map(|weight| route(*weight)).filter(|other| *other != first).collect();
        Routing {
            others,
            attached: self.attached,
            sticky: self.sticky,
            lost: self.lost.clone(),
            ..Routing::of(first.0, first.1)
        }
    }

    fn seen(&self) -> Observation {
        Observation {
            health: self.health.clone(),
            alarms: alarms(self.alarm),
            ..observation(&self.rollout, self.now, self.routing())
        }
    }

    /// One look and what follows from it.
    fn pass(&mut self, verdict: Verdict) {
        let decision = decide(&self.rollout, &self.seen(), Some(&analysis(verdict)));
        for effect in &decision.effects {
            match effect {
                Effect::SetWeight { weight, .. } => {
                    self.writes.push(*weight);
                    self.rules.iter_mut().take(self.reached).for_each(|rule| *rule = *weight);
                }
                Effect::Attach { .. } => self.attached = true,
                Effect::Detach { .. } => self.attached = false,
                Effect::Stop { .. } => panic!("no deployment is judged"),
                Effect::Arm { .. } | Effect::Disarm => panic!("there is no switch"),
            }
        }
        self.holding = decision.holding;
        self.rollout = decision.next;
    }

    fn tick(&mut self, verdict: Verdict) -> PhaseName {
        self.now = self.now + Span::from_minutes(1);
        (0..4).for_each(|_| self.pass(verdict));
        self.rollout.phase.name()
    }

    fn ticks(&mut self, minutes: u32, verdict: Verdict) {
        (0..minutes).for_each(|_| {
            self.tick(verdict);
        });
    }

    fn ask(&mut self, kind: OrderKind) {
        let asked = Order { kind, by: "mara".to_owned(), reason: String::new() };
        self.rollout = order(&self.rollout, &asked, self.now).unwrap().next;
    }

    fn last_reason(&self) -> String {
        report::sentence(&self.rollout.history.last().unwrap().why)
    }
}

fn healthy(blue: u32, green: u32) -> Seen<Health> {
    let of = |healthy| GroupHealth { healthy, ..GroupHealth::default() };
    Seen::Known(Health { baseline: of(blue), canary: of(green) })
}

/// Green with so many targets that are healthy and unhealthy, beside twenty healthy ones of blue.
fn green(healthy: u32, unhealthy: u32) -> Seen<Health> {
    let baseline = GroupHealth { healthy: 20, ..GroupHealth::default() };
    let why = (unhealthy > 0).then(|| "Target.Timeout".to_owned());
    Seen::Known(Health { baseline, canary: GroupHealth { healthy, unhealthy, why, ..GroupHealth::default() } })
}

#[test]
fn a_proven_release_climbs_behind_every_rule() {
    let mut stage = Stage::new(alb_spec());
    while stage.tick(Verdict::Pass) != PhaseName::Promoted {
        assert!(stage.now < at(60), "{:?}", stage.rollout.phase);
    }
    assert_eq!(stage.writes, [percent(5), percent(25), percent(50), Weight::FULL]);
    assert_eq!(stage.rules, [Weight::FULL; 2]);
}

/// A group that nothing forwards to is not health-checked: it would never become healthy.
#[test]
fn the_new_group_is_attached_before_it_must_be_healthy() {
    let mut stage = Stage::new(alb_spec());
    (stage.attached, stage.health) = (false, healthy(20, 0));
    stage.pass(Verdict::Inconclusive);
    assert!(stage.attached && stage.writes.is_empty());
    assert_eq!(stage.holding, ["green is attached at weight 0; its health checks begin"]);
    stage.ticks(3, Verdict::Inconclusive);
    assert_eq!((stage.rollout.phase.name(), stage.writes.len()), (PhaseName::Pending, 0));
    assert_eq!(stage.holding, ["green has 0 healthy targets of the 1 that 5 % needs (blue served all with 20)"]);
    let attached = stage.rollout.history.iter().filter(|event| event.why == Why::Attached).count();
    assert_eq!(attached, 1);
    stage.health = healthy(20, 1);
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Baking);
    assert_eq!(stage.rollout.carried_by, Some(20));
}

#[test]
fn a_group_that_cannot_be_attached_is_tried_again_until_the_deadline() {
    let mut stage = Stage::new(alb_spec());
    let mut tries = 0;
    while stage.rollout.phase.name() == PhaseName::Pending {
        stage.attached = false;
        stage.now = stage.now + Span::from_minutes(1);
        tries += usize::from(!decide(&stage.rollout, &stage.seen(), None).effects.is_empty());
        stage.pass(Verdict::Inconclusive);
    }
    assert_eq!(tries, 119, "one a minute, and none at the deadline");
    assert_eq!((stage.rollout.phase.name(), stage.writes.len()), (PhaseName::RolledBack, 0));
}

/// Somebody takes it off the rules between the look that finds it healthy and the first weight: nobody would check it.
#[test]
fn a_group_that_is_taken_off_before_its_first_weight_is_attached_again() {
    let mut spec = alb_spec();
    spec.steps.clear();
    for spec in [alb_spec(), spec] {
        let mut stage = Stage::new(spec);
        stage.reached = 0;
        stage.tick(Verdict::Inconclusive);
        assert!(matches!(stage.rollout.phase.name(), PhaseName::Shifting | PhaseName::Promoting));
        (stage.attached, stage.reached, stage.health) = (false, 2, healthy(20, 0));
        let before = stage.writes.len();
        stage.tick(Verdict::Inconclusive);
        assert!(stage.attached, "{:?}", stage.holding);
        assert_eq!((stage.writes.len(), stage.rules.clone()), (before, vec![Weight::ZERO; 2]));
        stage.health = healthy(20, 20);
        stage.tick(Verdict::Inconclusive);
        assert!(stage.rules[0] > Weight::ZERO && stage.rules[0] == stage.rules[1]);
    }
}

#[test]
fn stickiness_holds_unless_the_spec_consents() {
    for (wish, weight) in [(Stickiness::Refuse, percent(5)), (Stickiness::DisableOnRollback, percent(25))] {
        let mut spec = alb_spec();
        alb_of(&mut spec).stickiness = wish;
        let mut stage = Stage::baking(spec);
        stage.sticky = Some(Span::from_hours(1));
        stage.ticks(10, Verdict::Pass);
        assert!(stage.rules[0] == weight || wish == Stickiness::DisableOnRollback && stage.rules[0] > weight);
    }
}

#[test]
fn observe_mode_says_that_failed_targets_would_roll_back() {
    let mut spec = alb_spec();
    spec.mode = Mode::Observe;
    let mut stage = Stage::new(spec);
    stage.tick(Verdict::Inconclusive);
    stage.rules = vec![percent(50); 2];
    stage.tick(Verdict::Inconclusive);
    assert_eq!(stage.rollout.carried_by, Some(20));
    // The old group shrinks as its traffic goes; what the new one needs does not.
    let Seen::Known(mut health) = green(4, 16) else { panic!("it is known") };
    health.baseline.healthy = 5;
    stage.health = Seen::Known(health);
    stage.ticks(3, Verdict::Inconclusive);
    let would: Vec<String> = stage.rollout.history.iter().map(|event| report::sentence(&event.why)).collect();
    let expected = "observe mode: would have rolled back: green has 4 healthy targets of the 10 that 50 % needs (blue served all \
                    with 20): Target.Timeout";
    assert_eq!(would.iter().filter(|sentence| *sentence == expected).count(), 1, "{would:?}");
    assert!(stage.writes.is_empty());
}

/// All at once needs as many as carry everything now.
#[test]
fn the_first_weight_says_how_many_targets_it_needs() {
    let mut spec = alb_spec();
    spec.steps.clear();
    let mut stage = Stage::new(spec);
    stage.health = healthy(20, 19);
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Pending);
    assert_eq!(stage.holding, ["green has 19 healthy targets of the 20 that 100 % needs (blue served all with 20)"]);
    stage.health = healthy(20, 20);
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Promoting);
}

#[test]
fn a_target_without_healthy_targets_of_the_old_group_is_no_base() {
    let mut stage = Stage::new(alb_spec());
    stage.health = healthy(0, 20);
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Pending);
    assert_eq!(stage.holding, ["blue has no healthy target: what a weight needs is not known"]);
}

/// Autoscaling takes targets from the old group while its traffic goes: what a weight needs must not shrink with them.
#[test]
fn what_a_weight_needs_is_counted_from_what_carried_all_traffic_at_first() {
    let mut stage = Stage::baking(alb_spec());
    stage.health = healthy(4, 4);
    stage.ticks(10, Verdict::Pass);
    assert_eq!((stage.rollout.desired_weight(), stage.rollout.phase.name()), (Some(percent(5)), PhaseName::Baking));
    assert_eq!(stage.holding, ["green has 4 healthy targets of the 5 that 25 % needs (blue served all with 20)"]);
    stage.health = healthy(4, 5);
    stage.tick(Verdict::Pass);
    assert_eq!(stage.rollout.desired_weight(), Some(percent(25)));
}

#[test]
fn a_share_of_the_needed_targets_is_enough_where_the_spec_says_so() {
    let mut spec = alb_spec();
    alb_of(&mut spec).min_healthy_share = percent(50);
    let mut stage = Stage::baking(spec);
    stage.health = healthy(20, 3);
    stage.ticks(10, Verdict::Pass);
    assert_eq!(stage.rollout.desired_weight(), Some(percent(25)), "half of 5, rounded up");
}

/// No way up is taken without targets: not by a proof, a person, the spec's consent, or the clock.
#[test]
fn no_weight_rises_without_the_targets_it_needs() {
    let few = || healthy(20, 1);
    let mut by_a_person = Stage::baking(alb_spec());
    by_a_person.health = few();
    by_a_person.ask(OrderKind::Promote);
    by_a_person.ticks(5, Verdict::Pass);
    assert_eq!((by_a_person.rollout.phase.name(), by_a_person.writes.len()), (PhaseName::Promoting, 1));
    by_a_person.health = healthy(20, 20);
    by_a_person.tick(Verdict::Pass);
    assert_eq!(by_a_person.rules, [Weight::FULL; 2]);

    let mut spec = alb_spec();
    spec.undecided.too_little_traffic = Ending::Promote;
    let mut at_the_deadline = Stage::baking(spec);
    at_the_deadline.health = few();
    at_the_deadline.ticks(125, Verdict::Inconclusive);
    assert_eq!((at_the_deadline.rollout.phase.name(), at_the_deadline.writes.len()), (PhaseName::Promoting, 1));

    let mut spec = alb_spec();
    spec.steps.iter_mut().for_each(|step| step.advance = crate::spec::Advance::UnlessHarm);
    let mut by_the_clock = Stage::baking(spec);
    by_the_clock.health = few();
    by_the_clock.ticks(30, Verdict::Inconclusive);
    assert_eq!((by_the_clock.rollout.phase.name(), by_the_clock.writes.len()), (PhaseName::Baking, 1));
}

/// Proven, but nothing there to carry more: at the deadline that is no lack of traffic.
#[test]
fn a_proven_release_without_targets_is_stuck() {
    let mut stage = Stage::baking(alb_spec());
    stage.health = healthy(20, 1);
    stage.ticks(121, Verdict::Pass);
    assert_eq!(stage.rules, [Weight::ZERO; 2]);
    assert_eq!(
        stage.last_reason(),
        "the wanted weight could not be brought about after 2h: rolled back, as the spec says"
    );
}

/// The balancer sends an unhealthy group its share all the same.
#[test]
fn a_group_that_collapses_under_its_weight_is_rolled_back() {
    let at_half = || {
        let mut stage = Stage::baking(alb_spec());
        while stage.rollout.desired_weight() != Some(percent(50)) {
            stage.tick(Verdict::Pass);
        }
        stage.tick(Verdict::Inconclusive);
        stage
    };
    let after = |health: Seen<Health>| {
        let mut stage = at_half();
        stage.health = health;
        stage.tick(Verdict::Inconclusive);
        (stage.rollout.phase.name(), stage.rules.clone(), stage.last_reason())
    };
    let back = |sentence: &str| (PhaseName::RollingBack, vec![Weight::ZERO; 2], sentence.to_owned());
    assert_eq!(
        after(green(4, 16)),
        back("green has 4 healthy targets of the 10 that 50 % needs (blue served all with 20): Target.Timeout")
    );
    assert_eq!(
        after(green(0, 0)),
        back("green has 0 healthy targets of the 10 that 50 % needs (blue served all with 20)")
    );
    assert_eq!(after(green(5, 15)).0, PhaseName::Baking, "half of it: the checks tell whether that is harm");
    assert_eq!(after(green(4, 0)).0, PhaseName::Baking, "scaled in: at night fewer are enough");
    assert_eq!(after(green(4, 1)).0, PhaseName::Baking, "scaled in, and one of them ill");
    assert_eq!(after(Seen::Missing("throttled".to_owned())).0, PhaseName::Baking, "not knowing is no collapse");
    let mut paused = at_half();
    paused.ask(OrderKind::Pause);
    paused.health = green(0, 20);
    assert_eq!(paused.tick(Verdict::Inconclusive), PhaseName::RollingBack);
    let mut promoted = at_half();
    promoted.ask(OrderKind::Promote);
    promoted.tick(Verdict::Inconclusive);
    assert_eq!(promoted.rules, [Weight::FULL; 2]);
    promoted.health = green(3, 17);
    assert_eq!(promoted.tick(Verdict::Inconclusive), PhaseName::RollingBack);
}

#[test]
fn the_end_of_the_watch_waits_for_targets_that_have_failed() {
    let mut spec = alb_spec();
    spec.steps.clear();
    let mut stage = Stage::new(spec);
    stage.tick(Verdict::Inconclusive);
    stage.health = green(15, 5);
    stage.ticks(40, Verdict::Inconclusive);
    assert_eq!(stage.rollout.phase.name(), PhaseName::Promoting);
    assert!(
        stage.holding[0].starts_with("green has 15 healthy targets of the 20 that 100 % needs"),
        "{:?}",
        stage.holding
    );
    stage.health = green(15, 0);
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Promoted, "scaled in");
}

#[test]
fn an_old_group_that_could_not_take_everything_back_is_said_and_holds_nothing() {
    let mut spec = alb_spec();
    spec.steps.clear();
    let mut stage = Stage::new(spec);
    stage.tick(Verdict::Inconclusive);
    stage.health = healthy(2, 20);
    stage.tick(Verdict::Inconclusive);
    assert!(stage.holding.contains(&"blue has 2 healthy targets of the 20 that a rollback needs".to_owned()));
    stage.ticks(30, Verdict::Inconclusive);
    assert_eq!(stage.rollout.phase.name(), PhaseName::Promoted);
}

/// Nothing makes a write stale that was begun before the rollback. The new release must not come back after it ended.
#[test]
fn a_rollback_without_revisions_outlasts_earlier_writes() {
    let mut stage = Stage::baking(alb_spec());
    stage.ask(OrderKind::Abort);
    let began = stage.now;
    (0..4).for_each(|_| stage.pass(Verdict::Inconclusive));
    assert_eq!((stage.rollout.phase.name(), stage.rules.clone()), (PhaseName::RollingBack, vec![Weight::ZERO; 2]));
    assert_eq!(stage.holding, ["all traffic is back; an earlier write could still arrive"]);
    assert_eq!(stage.writes, [percent(5), Weight::ZERO], "once is enough");
    let noted: Vec<Weight> = stage.rollout.weights.iter().map(|seen| seen.weight).collect();
    assert_eq!(noted, [percent(5), Weight::ZERO], "people are shown that nobody comes to it any more");
    // A raise that was begun before arrives now, behind one of the rules.
    stage.rules[1] = percent(5);
    stage.now = began + Span::from_seconds(239);
    stage.pass(Verdict::Inconclusive);
    assert_eq!((stage.rollout.phase.name(), stage.rules.clone()), (PhaseName::RollingBack, vec![Weight::ZERO; 2]));
    stage.pass(Verdict::Inconclusive);
    assert_eq!(stage.rollout.phase.name(), PhaseName::RollingBack);
    stage.now = began + Span::from_minutes(4);
    stage.pass(Verdict::Inconclusive);
    assert_eq!(stage.rollout.phase.name(), PhaseName::RolledBack);
}

/// A write of several rules is several calls: any of them may fail.
#[test]
fn a_half_written_weight_is_ours_and_counts_as_live_nowhere() {
    let mut stage = Stage::new(alb_spec());
    stage.reached = 1;
    stage.ticks(3, Verdict::Pass);
    assert_eq!(stage.rules, [percent(5), Weight::ZERO]);
    assert_eq!(stage.rollout.phase.name(), PhaseName::Shifting);
    assert_eq!(stage.rollout.first_minute(), Some(at(1).minute()), "what has traffic is judged");
    stage.reached = 2;
    assert_eq!(stage.tick(Verdict::Pass), PhaseName::Baking);
    assert_eq!(stage.rules, [percent(5); 2]);
    let weights: Vec<Weight> = stage.rollout.weights.iter().map(|seen| seen.weight).collect();
    assert_eq!(weights, [percent(5)], "once");
}

#[test]
fn harm_turns_a_half_written_weight_back_behind_every_rule() {
    let mut stage = Stage::new(alb_spec());
    stage.reached = 1;
    stage.ticks(2, Verdict::Inconclusive);
    assert_eq!(stage.rollout.phase.name(), PhaseName::Shifting);
    stage.alarm = AlarmState::Alarm;
    stage.reached = 0;
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::RollingBack);
    assert_eq!(stage.rules, [percent(5), Weight::ZERO], "the write failed");
    stage.reached = 2;
    stage.ticks(4, Verdict::Inconclusive);
    assert_eq!(stage.rollout.phase.name(), PhaseName::RolledBack);
    assert_eq!(stage.rules, [Weight::ZERO; 2]);
}

#[test]
fn a_half_written_weight_that_is_paused_is_judged() {
    let mut stage = Stage::new(alb_spec());
    stage.pass(Verdict::Inconclusive);
    assert_eq!(stage.rollout.phase.name(), PhaseName::Shifting);
    stage.rules = vec![percent(5), Weight::ZERO];
    stage.ask(OrderKind::Pause);
    stage.ticks(2, Verdict::Inconclusive);
    assert!(needs(&stage.rollout, at(10)).samples.is_some());
    assert_eq!(stage.rollout.weights.len(), 1, "once");
}

/// Rules that somebody else has set apart.
#[test]
fn weights_that_differ_and_are_not_ours_are_left_alone() {
    let mut stage = Stage::baking(alb_spec());
    stage.rules = vec![percent(5), percent(30)];
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Baking, "a single look may be an old one");
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Superseded);
    assert_eq!(stage.rules, [percent(5), percent(30)]);
    // But it is our release that does the harm.
    let mut harmful = Stage::baking(alb_spec());
    harmful.rules = vec![percent(5), percent(30)];
    assert_eq!(harmful.tick(Verdict::Fail), PhaseName::RollingBack);
    assert_eq!(harmful.rules, [Weight::ZERO; 2]);
    let mut before = Stage::new(alb_spec());
    before.rules = vec![Weight::ZERO, percent(30)];
    assert_eq!(before.tick(Verdict::Inconclusive), PhaseName::Superseded);
}

#[test]
fn whoever_moves_rules_one_by_one_is_still_observed() {
    let mut spec = alb_spec();
    spec.mode = Mode::Observe;
    let mut stage = Stage::new(spec);
    stage.rules = vec![percent(10), Weight::ZERO];
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Pending);
    stage.rules = vec![percent(10); 2];
    assert_eq!(stage.tick(Verdict::Inconclusive), PhaseName::Baking);
    assert!(stage.writes.is_empty());
}

#[test]
fn health_is_asked_for_wherever_a_weight_may_rise_or_fail() {
    for (name, phase) in every_phase() {
        let rollout = Rollout { spec: alb_spec(), ..rollout_in(phase.clone()) };
        let needs = needs(&rollout, at(20));
        let idle = matches!(phase, Phase::Pending { behind: Some(_), .. });
        assert_eq!(needs.health, needs.routing && !idle, "{name}");
        assert!(!crate::engine::needs(&rollout_in(phase), at(20)).health, "{name}: an alias has no targets");
    }
    let mut blind = Stage::baking(alb_spec());
    blind.health = Seen::Missing("DescribeTargetHealth was throttled".to_owned());
    blind.ticks(20, Verdict::Pass);
    assert_eq!(blind.rollout.desired_weight(), Some(percent(5)));
    assert!(
        blind.holding.contains(&"the targets' health could not be read: DescribeTargetHealth was throttled".to_owned())
    );
}

/// A weight that cannot be set is never seen live.
#[test]
fn chosen_weights_are_ones_that_can_be_set() {
    let alb = alb_spec().target;
    let auto = AutoPlan {
        harm_budget: 40.0,
        requests_per_minute: 40_000_000.0,
        error_rate: 0.0,
        lag_minutes: 4.0,
        largest: percent(50),
    };
    let first = auto.first();
    assert_ne!(alb.settable(first), first, "{first}: or this proves nothing");
    let mut start = start_of(alb_spec());
    start.plan.auto = Some(auto);
    start.spec.steps.truncate(1);
    let begun = begin(&start);
    assert_eq!(begun.weight_of_step(0), alb.settable(first));
    let mut rounded = 0;
    for points in 1_200..=2_100 {
        let weight = Weight::from_basis_points(points).unwrap();
        let advice = Advice { weight, brake: false, excess: 0.01, spent: 0.0 };
        let mut rollout = Rollout { baseline: group("blue"), canary: group("green"), ..begun.clone() };
        let before = percent(10);
        rollout.chosen = Some(before);
        rollout.phase = Phase::Baking { step: 0, since: at(10), proof: None, approved: false };
        rollout.carried_by = Some(20);
        let routing = Routing::of(group("blue"), Some((group("green"), before)));
        let seen = Observation { health: healthy(20, 20), ..observation(&rollout, at(20), routing) };
        let judged = Analysis { auto: Some(advice), ..analysis(Verdict::Inconclusive) };
        for effect in decide(&rollout, &seen, Some(&judged)).effects {
            let Effect::SetWeight { weight: set, .. } = effect else { panic!("{effect:?}") };
            assert_eq!(set, alb.settable(weight), "{points}");
            rounded += usize::from(set != weight);
        }
    }
    assert!(rounded > 0, "or this proves nothing");
}

/// A write that reached one rule alone, and a person who does not wait for the other one.
#[test]
fn a_promotion_in_the_middle_of_a_raise_is_not_taken_for_a_foreign_write() {
    let mut stage = Stage::baking(alb_spec());
    stage.reached = 1;
    while stage.rollout.phase.name() == PhaseName::Baking {
        stage.tick(Verdict::Pass);
    }
    stage.ticks(2, Verdict::Pass);
    assert_eq!((stage.rollout.phase.name(), &stage.rules[..]), (PhaseName::Shifting, &[percent(25), percent(5)][..]));
    stage.ask(OrderKind::Promote);
    stage.tick(Verdict::Pass);
    assert_eq!(stage.rollout.phase.name(), PhaseName::Promoting, "{}", stage.last_reason());
    stage.reached = 2;
    stage.ticks(2, Verdict::Pass);
    assert_eq!(stage.rules, [Weight::FULL; 2]);
}

/// What the remaining rules do with the traffic is known, and goes back; it does not rise.
#[test]
fn a_rule_that_is_gone_holds_every_raise_and_no_rollback() {
    let gone = || vec!["there is no rule r3".to_owned()];
    let said = "a rule cannot be shifted: there is no rule r3".to_owned();
    let mut before = Stage::new(alb_spec());
    before.lost = gone();
    assert_eq!((before.tick(Verdict::Pass), before.writes.len()), (PhaseName::Pending, 0));
    assert!(before.holding.contains(&said), "{:?}", before.holding);
    let mut stage = Stage::baking(alb_spec());
    stage.lost = gone();
    stage.ticks(20, Verdict::Pass);
    assert_eq!((stage.rollout.phase.name(), &stage.writes[..]), (PhaseName::Baking, &[percent(5)][..]));
    assert!(stage.holding.contains(&said), "{:?}", stage.holding);
    assert_eq!(stage.tick(Verdict::Fail), PhaseName::RollingBack);
    assert_eq!(stage.rules, [Weight::ZERO; 2]);
    assert!(stage.holding.contains(&said), "{:?}", stage.holding);
    stage.ticks(4, Verdict::Inconclusive);
    assert_eq!(stage.rollout.phase.name(), PhaseName::RolledBack);
}

/// A rule that is made anew has another ARN: the old one never comes back, and the groups must not be held for ever.
#[test]
fn a_rollback_ends_where_nothing_is_left_to_take_back() {
    let mut stage = Stage::baking(alb_spec());
    stage.ask(OrderKind::Abort);
    let after = |minutes: u64, target_gone: bool| {
        let now = stage.now + Span::from_minutes(minutes);
        let routing = Seen::Missing("there is no rule r1".to_owned());
        let decision = decide(&stage.rollout, &Observation { now, routing, target_gone, ..stage.seen() }, None);
        assert_eq!(decision.holding, ["the live weights could not be read: there is no rule r1"]);
        decision.next
    };
    for (minutes, gone) in [(9, true), (10, false), (600, false)] {
        assert_eq!(after(minutes, gone).phase.name(), PhaseName::RollingBack, "{minutes} {gone}");
    }
    let ended = after(10, true);
    assert_eq!(ended.phase.name(), PhaseName::Superseded);
    assert_eq!(
        report::sentence(&ended.history.last().unwrap().why),
        "somebody else changed the target, it is now on nothing: there is no rule r1; nothing was touched"
    );
}
