use super::*;
use crate::observation::Split;
use crate::ports::{Attach, SetError, SetWeight, TrafficRouter};
use crate::sim::contract;
use crate::sim::executor::{run_now, yield_once};
use crate::sim::samples::{On, start};
use crate::spec::Stickiness;

const ON: On = On::Alb;

fn small() -> Weight {
    "5%".parse().unwrap()
}

/// Nothing forwards to the new group yet.
fn unattached() -> World {
    let world = ON.world();
    world.write(&ON.target(), &ON.baseline(), None).unwrap();
    world
}

fn rules() -> Vec<RuleRef> {
    let Target::Alb(alb) = ON.target() else { panic!("target groups") };
    alb.rules
}

fn live(world: &World) -> Split {
    world.routing(&ON.target()).unwrap().split(&ON.baseline(), &ON.canary())
}

fn set_as_seen(world: &World, target: &Target, weight: Weight, seen: &Routing) -> Result<(), SetError> {
    let (baseline, canary) = (ON.baseline(), ON.canary());
    run_now(world.set(&SetWeight { target, baseline: &baseline, canary: &canary, weight, seen })).unwrap()
}

fn set(world: &World, target: &Target, weight: Weight) -> Result<(), SetError> {
    set_as_seen(world, target, weight, &world.routing(target).unwrap())
}

#[test]
fn target_groups_keep_their_part_of_the_contract() {
    run_now(contract::groups(&unattached(), &ON.target(), &ON.baseline(), &ON.canary())).unwrap().unwrap();
}

#[test]
fn a_group_is_checked_once_a_rule_forwards_to_it() {
    let world = unattached();
    let canary = || world.health_of(&ON.canary());
    let counted = |health: &GroupHealth| (health.healthy, health.unhealthy, health.waiting, health.not_checked);
    world.set_health(&ON.canary(), 3, 1);
    assert_eq!(counted(&canary()), (0, 0, 0, 4));
    let seen = world.routing(&ON.target()).unwrap();
    let (target, group) = (ON.target(), ON.canary());
    run_now(world.attach(&Attach { target: &target, canary: &group, seen: &seen })).unwrap().unwrap();
    assert_eq!(counted(&canary()), (0, 0, 4, 0));
    assert!(!world.can_serve(&target, &group), "not yet");
    world.set_now(start() + FIRST_CHECK);
    assert_eq!(counted(&canary()), (3, 1, 0, 0));
    assert!(canary().why.is_some() && world.can_serve(&target, &group));
    world.write(&target, &ON.baseline(), None).unwrap();
    assert_eq!(counted(&canary()), (0, 0, 0, 4), "nothing forwards there any more");
    assert_eq!(counted(&world.health_of(&ON.baseline())), (HOSTS, 0, 0, 0), "that of the world's beginning");
}

/// Between the comparison and the write others may write, and what they wrote is lost.
#[test]
fn a_race_overwrites_and_nobody_is_told() {
    let (world, target) = (ON.world(), ON.target());
    let seen = world.routing(&target).unwrap();
    let (baseline, canary) = (ON.baseline(), ON.canary());
    let ours = SetWeight { target: &target, baseline: &baseline, canary: &canary, weight: small(), seen: &seen };
    let foreign = async {
        let first = world.rule(&rules()[0]).unwrap();
        world.write_rule(&target, &rules()[0], Rule { actions_before: 2, ..first }).unwrap();
        yield_once().await;
    };
    let (answer, ()) = run_now(futures_util::future::join(world.set(&ours), foreign)).unwrap();
    answer.unwrap();
    assert_eq!(live(&world), Split::Ours(small()));
    assert_eq!(world.rule(&rules()[0]).unwrap().actions_before, 1, "overwritten");
    assert!(matches!(set_as_seen(&world, &target, small(), &seen), Err(SetError::Stale)), "but not on an old look");
    let nothing = Routing { fingerprint: None, ..seen };
    assert!(matches!(set_as_seen(&world, &target, small(), &nothing), Err(SetError::Stale)));
}

/// Whoever writes after ours is seen by the last read.
#[test]
fn a_write_that_comes_after_ours_makes_it_stale() {
    let (world, target) = (ON.world(), ON.target());
    let seen = world.routing(&target).unwrap();
    let (baseline, canary) = (ON.baseline(), ON.canary());
    let ours = SetWeight { target: &target, baseline: &baseline, canary: &canary, weight: small(), seen: &seen };
    let foreign = async {
        yield_once().await;
        yield_once().await;
        world.write(&target, &baseline, None).unwrap();
    };
    let (answer, ()) = run_now(futures_util::future::join(world.set(&ours), foreign)).unwrap();
    assert!(matches!(answer, Err(SetError::Stale)), "{answer:?}");
}

#[test]
fn weights_are_set_in_every_rule_and_the_rest_survives() {
    let (world, target) = (ON.world(), ON.target());
    let third = ON.version("43");
    world.register_group(&third, 1);
    for reference in rules() {
        let rule = world.rule(&reference).unwrap();
        let mut groups = rule.groups.clone();
        groups.insert(0, (third.clone(), 0));
        world.write_rule(&target, &reference, Rule { groups, sticky: Some(Span::from_minutes(60)), ..rule }).unwrap();
    }
    let before = world.writes(0).len();
    set(&world, &target, small()).unwrap();
    let written = world.writes(before);
    let uneven = Split::Uneven { low: Weight::ZERO, high: small() };
    let splits: Vec<Split> = written.iter().map(|write| write.routing.split(&ON.baseline(), &ON.canary())).collect();
    assert_eq!(splits, [uneven, Split::Ours(small())], "one rule after the other");
    for reference in rules() {
        let rule = world.rule(&reference).unwrap();
        let expected = [(third.clone(), 0), (ON.baseline(), 19), (ON.canary(), 1)];
        assert_eq!(rule.groups, expected);
        assert_eq!((rule.sticky, rule.actions_before), (Some(Span::from_minutes(60)), 1));
    }
    set(&world, &target, small()).unwrap();
    assert_eq!(world.writes(before).len(), 2, "what is so already is not written");
    let Target::Alb(alb) = target.clone() else { panic!("target groups") };
    let consenting = Target::Alb(AlbTarget { stickiness: Stickiness::DisableOnRollback, ..alb });
    set(&world, &consenting, small()).unwrap();
    assert!(world.sticky(&target).is_some(), "only on a retreat");
    set(&world, &consenting, Weight::ZERO).unwrap();
    assert_eq!((world.sticky(&target), live(&world)), (None, Split::Ours(Weight::ZERO)));
}

#[test]
fn a_third_group_with_traffic_is_somebody_elses_split() {
    let (world, target) = (ON.world(), ON.target());
    let third = ON.version("43");
    world.register_group(&third, 1);
    for (weights, expected) in [
        ([6, 3, 1], (ON.baseline(), Some((third.clone(), "10%".parse().unwrap())))),
        ([0, 0, 1], (third.clone(), None)),
        ([0, 9, 1], (ON.canary(), Some((third.clone(), "10%".parse().unwrap())))),
        ([9, 1, 0], (ON.canary(), Some((ON.baseline(), "90%".parse().unwrap())))),
    ] {
        let groups: Vec<_> = [ON.baseline(), ON.canary(), third.clone()].into_iter().zip(weights).collect();
        let rule = Rule { groups, sticky: None, actions_before: 0 };
        assert_eq!(rule.route(&[ON.baseline(), ON.canary()]), Some(expected), "{weights:?}");
        world.write_rule(&target, &rules()[0], rule).unwrap();
        assert_eq!(live(&world) == Split::Foreign, weights[2] > 0, "{weights:?}");
    }
}

#[test]
fn what_is_no_rule_or_no_group_is_refused() {
    let (world, target) = (ON.world(), ON.target());
    let rule = world.rule(&rules()[0]).unwrap();
    let unknown = rule.with(&ON.version("44"), 0);
    let refused = world.write_rule(&target, &rules()[0], unknown).unwrap_err().to_string();
    assert!(refused.starts_with("One or more target groups not found"), "{refused}");
    let heavy = rule.with(&ON.canary(), 1000);
    assert!(world.write_rule(&target, &rules()[0], heavy).is_err());
    let Target::Alb(alb) = target else { panic!("target groups") };
    let elsewhere = Target::Alb(AlbTarget { rules: vec![RuleRef::Rule("arn:nowhere".to_owned())], ..alb });
    let missing = run_now(world.look(&elsewhere)).unwrap().unwrap_err().to_string();
    assert_eq!(missing, "there is no rule arn:nowhere");
    assert!(set_as_seen(&world, &elsewhere, small(), &Routing::of(ON.baseline(), None)).is_err());
}
