use super::{needed, pair, settable, weight_of};
use crate::units::Weight;

fn points(points: u16) -> Weight {
    Weight::from_basis_points(points).unwrap()
}

fn every_weight() -> impl Iterator<Item = Weight> {
    (0..=10_000).map(points)
}

/// Below 0.1 % and above 99.9 % there are no weights beside another group.
fn allowed(weight: Weight) -> bool {
    (10..=9_990).contains(&weight.basis_points())
}

#[test]
fn every_weight_becomes_the_nearest_pair() {
    let mut moved = 0;
    for weight in every_weight() {
        let (canary, baseline) = pair(weight);
        assert!(canary <= 999 && baseline <= 999, "{weight}: {canary}:{baseline}");
        assert_eq!((canary == 0, baseline == 0), (weight == Weight::ZERO, weight == Weight::FULL), "{weight}");
        let off = settable(weight).basis_points().abs_diff(weight.basis_points());
        assert!(off <= if allowed(weight) { 1 } else { 9 }, "{weight}: {canary}:{baseline} is {}", settable(weight));
        assert_eq!(settable(settable(weight)), settable(weight), "{weight}");
        moved += usize::from(off > 0 && allowed(weight));
        if weight.basis_points().is_multiple_of(10) {
            let (canary, sum) = (u32::from(canary), u32::from(canary) + u32::from(baseline));
            assert_eq!(
                canary * 10_000,
                u32::from(weight.basis_points()) * sum,
                "{weight}: tenths of a percent are exact"
            );
        }
    }
    assert_eq!(moved, 22, "of all basis points");
    assert!(every_weight().map(settable).is_sorted());
}

#[test]
fn pairs_are_as_small_as_they_can_be() {
    let of = |hundredths: u16| pair(points(hundredths));
    assert_eq!([of(500), of(2_500), of(1_000), of(10), of(5_000)], [(1, 19), (1, 3), (1, 9), (1, 999), (1, 1)]);
    assert_eq!([of(3_333), of(5_001), of(0), of(10_000), of(1)], [(1, 2), (1, 1), (0, 1), (1, 0), (1, 999)]);
}

/// Which of two groups is read as the canary must not matter: 1 and 31 are 3.125 % and 96.875 %, both exact halves.
#[test]
fn two_shares_are_a_whole() {
    for one in 0..=999 {
        for other in 0..=999 {
            let both = (weight_of(one, other), weight_of(other, one));
            assert!(both.0 == both.1.complement() || (one, other) == (0, 0), "{one}:{other} is {both:?}");
        }
    }
    assert_eq!((weight_of(1, 31), weight_of(31, 1)), (points(312), points(9_688)));
    assert_eq!((weight_of(0, 0), weight_of(50, 950)), (Weight::ZERO, points(500)));
}

#[test]
fn targets_are_needed_in_proportion() {
    let of = |share: u16, at: u16, carried_by: u32| needed(points(share * 100), points(at * 100), carried_by);
    assert_eq!([of(100, 25, 20), of(100, 100, 20), of(50, 25, 20), of(80, 50, 20)], [5, 20, 3, 8]);
    assert_eq!([of(100, 1, 20), of(1, 1, 0), of(100, 5, 0)], [1, 1, 1], "one in any case");
    let two_thirds = points(6_667);
    assert_eq!([3, 30, 31].map(|all| needed(Weight::FULL, two_thirds, all)), [2, 20, 21], "as it is set: 2 to 1");
    assert_eq!([of(100, 26, 20), of(100, 100, u32::MAX)], [6, u32::MAX], "rounded up");
}

mod starts {
    use crate::alb::{Found, idle, problems};
    use crate::observation::{OtherUse, Owning, SeenGroup, SeenRule, Surroundings};
    use crate::spec::{AlbTarget, KeepBaseline, Mode, RuleRef, Stickiness, Version};
    use crate::units::{Span, Weight};

    fn arn(rest: &str) -> String {
        format!("arn:aws:elasticloadbalancing:eu-west-1:1:{rest}")
    }

    fn group(name: &str) -> Version {
        Version(arn(&format!("targetgroup/{name}/50dc")))
    }

    fn rule() -> RuleRef {
        RuleRef::Rule(arn("listener-rule/app/shop/9a8b/80/1"))
    }

    fn listener() -> RuleRef {
        RuleRef::DefaultOf(arn("listener/app/shop/9a8b/443"))
    }

    fn target() -> AlbTarget {
        AlbTarget {
            rules: vec![rule(), listener()],
            target_groups: ["green".to_owned(), "blue".to_owned()],
            stickiness: Stickiness::Refuse,
            min_healthy_share: Weight::FULL,
            test_rule: None,
            keep_baseline: KeepBaseline::UntilNextRollout,
        }
    }

    fn seen_rule(reference: RuleRef, groups: &[(&str, u16)]) -> SeenRule {
        let groups = groups.iter().map(|(name, weight)| (group(name), *weight)).collect();
        SeenRule { reference, default_of: None, forwards: true, groups, sticky: None, vpc: "vpc-1".to_owned() }
    }

    fn seen_group(name: &str) -> SeenGroup {
        SeenGroup {
            spelled: name.to_owned(),
            arn: group(name),
            vpc: Some("vpc-1".to_owned()),
            balancers: Vec::new(),
            kind: "ip".to_owned(),
            protocol: Some("HTTP".to_owned()),
            checked: true,
        }
    }

    /// Blue is live behind both rules, and nothing is in the way.
    fn fine() -> Surroundings {
        Surroundings {
            rules: vec![seen_rule(rule(), &[("blue", 1)]), seen_rule(listener(), &[("blue", 1), ("green", 0)])],
            groups: vec![seen_group("green"), seen_group("blue")],
            ..Surroundings::default()
        }
    }

    fn found(around: &Surroundings) -> Found {
        problems(&target(), around, Mode::Enforce, false)
    }

    fn said(found: &Found) -> Vec<String> {
        found.problems.iter().map(ToString::to_string).collect()
    }

    /// The one problem that a change of what is fine makes.
    fn refused(change: impl FnOnce(&mut Surroundings)) -> String {
        let mut around = fine();
        change(&mut around);
        let said = said(&found(&around));
        assert_eq!(said.len(), 1, "{said:#?}");
        said.into_iter().next().unwrap()
    }

    #[test]
    fn nothing_is_in_the_way_of_an_ordinary_release() {
        assert_eq!(found(&fine()), Found::default());
        assert_eq!(idle(&fine()), Some(&group("green")));
        let mut third = fine();
        third.rules[0].groups.push((group("purple"), 0));
        third.groups[0].balancers = vec![arn("loadbalancer/app/shop/9a8b")];
        third.groups[1] =
            SeenGroup { kind: "lambda".to_owned(), protocol: None, vpc: None, checked: false, ..seen_group("blue") };
        assert_eq!(found(&third), Found::default(), "a third group at weight 0, a group of functions");
    }

    #[test]
    fn what_a_group_is_must_fit() {
        assert_eq!(
            refused(|around| drop(around.groups.remove(0))),
            "target.alb.targetGroups[0]: there is no target group green in this account and region"
        );
        assert_eq!(
            refused(|around| around.groups[0].balancers = vec![arn("loadbalancer/app/other/77")]),
            "target.alb.targetGroups[0]: green belongs to load balancer app/other/77; a target group works with one load balancer \
             only"
        );
        assert_eq!(
            refused(|around| around.groups[0].vpc = Some("vpc-2".to_owned())),
            "target.alb.targetGroups[0]: green is in vpc-2, the load balancer in vpc-1"
        );
        assert_eq!(
            refused(|around| around.groups[1].protocol = Some("TCP".to_owned())),
            "target.alb.targetGroups[1]: blue has TCP; an Application Load Balancer forwards to HTTP and HTTPS only"
        );
        assert_eq!(
            refused(|around| around.groups[0] = SeenGroup { spelled: "green".to_owned(), ..seen_group("blue") }),
            "target.alb.targetGroups: both are blue; the two groups must differ"
        );
        let mut unchecked = fine();
        unchecked.groups[0].checked = false;
        let found = found(&unchecked);
        assert_eq!((found.problems.len(), found.warnings.len()), (0, 1));
        assert_eq!(
            found.warnings[0].to_string(),
            "target.alb.targetGroups[0]: the health checks of green are off: nobody knows whether its targets answer"
        );
    }

    #[test]
    fn what_a_rule_does_must_be_shiftable() {
        let (rule_arn, listener_arn) = (rule().arn().to_owned(), listener().arn().to_owned());
        assert_eq!(
            refused(|around| around.rules[0].default_of = Some(arn("listener/app/shop/9a8b/80"))),
            format!(
                "target.alb.rule: rule {rule_arn} is the default rule of its listener, which ModifyRule cannot change; write \
                 `listener: {}`",
                arn("listener/app/shop/9a8b/80")
            )
        );
        assert_eq!(
            refused(|around| around.rules[1].forwards = false),
            format!(
                "target.alb.listener: the default action of {listener_arn} does not forward to target groups; there is nothing \
                 to shift"
            )
        );
        assert_eq!(
            refused(|around| around.rules[0] = seen_rule(rule(), &[("a", 1), ("b", 2)])),
            format!("target.alb.targetGroups: rule {rule_arn} forwards to a and b, and to neither green nor blue")
        );
        assert_eq!(
            refused(|around| around.rules[0] = seen_rule(rule(), &[("blue", 95), ("purple", 5)])),
            format!(
                "target.alb.rule: rule {rule_arn} also forwards to purple (weight 5); only two groups can be compared. Give it \
                 weight 0, or a rule of its own"
            )
        );
        assert_eq!(
            refused(|around| around.rules[0] = seen_rule(rule(), &[("blue", 0), ("green", 0)])),
            format!("target.alb.rule: rule {rule_arn} gives no group any traffic: all its weights are 0")
        );
        assert_eq!(
            refused(|around| around.rules[0] = seen_rule(rule(), &[("green", 1)])),
            format!(
                "target.alb.rule: the rules differ: green is live behind rule {rule_arn}, blue behind the default action of \
                 {listener_arn}"
            )
        );
    }

    #[test]
    fn weights_that_no_rollout_set_are_refused_with_the_way_out() {
        let weighted = |around: &mut Surroundings| around.rules[0] = seen_rule(rule(), &[("blue", 90), ("green", 10)]);
        let arn = rule().arn().to_owned();
        assert_eq!(
            refused(weighted),
            format!(
                "target.alb.rule: rule {arn} is already weighted (blue 90, green 10) and no rollout did that; put it on one group \
                 first, with the actions that it has before the forward, if any: aws elbv2 modify-rule --rule-arn {arn} \
                 --actions Type=forward,TargetGroupArn={}",
                group("blue").0
            )
        );
        let mut around = fine();
        weighted(&mut around);
        assert_eq!(
            problems(&target(), &around, Mode::Enforce, true),
            Found::default(),
            "a rollout in progress did that"
        );
        let observed = problems(&target(), &around, Mode::Observe, false);
        assert_eq!((observed.problems.len(), observed.warnings.len()), (0, 1), "whoever only watches may watch that");
        let default = refused(|around| around.rules[1] = seen_rule(listener(), &[("blue", 3), ("green", 7)]));
        let command = format!("modify-listener --listener-arn {} --default-actions", listener().arn());
        assert!(default.contains(&command) && default.ends_with(&group("green").0), "{default}");
    }

    #[test]
    fn stickiness_needs_consent() {
        let sticky = |around: &mut Surroundings| around.rules[0].sticky = Some(Span::from_hours(1));
        let arn = rule().arn().to_owned();
        assert_eq!(
            refused(sticky),
            format!(
                "target.alb.stickiness: target-group stickiness is on (1h) in rule {arn}: clients stay on the new group after a \
                 rollback, whatever the weights. Switch it off, or consent with `stickiness: disableOnRollback` to its being \
                 switched off on a rollback"
            )
        );
        let mut around = fine();
        sticky(&mut around);
        let consenting = AlbTarget { stickiness: Stickiness::DisableOnRollback, ..target() };
        let consented = problems(&consenting, &around, Mode::Enforce, false);
        assert_eq!((consented.problems.len(), consented.warnings.len()), (0, 1));
        assert!(consented.warnings[0].message.ends_with("A rollback switches stickiness off and leaves it off"));
        let observed = problems(&target(), &around, Mode::Observe, false);
        assert_eq!((observed.problems.len(), observed.warnings.len()), (0, 1));
    }

    #[test]
    fn others_that_use_the_groups_are_named() {
        let used = |group: Version, weight: u16| {
            let other = OtherUse { rule: "r-9".to_owned(), group, weight };
            move |around: &mut Surroundings| around.others.push(other)
        };
        assert_eq!(
            refused(used(group("blue"), 1)),
            "target.alb.rule: rule r-9 forwards to blue, too (weight 1): it is not shifted, and its requests would be counted for \
             both groups' versions. Name it under `rule` or `listener` as well, or give it a group of its own"
        );
        assert!(refused(used(group("green"), 7)).contains("rule r-9 forwards to green, too (weight 7)"));
        let mut at_zero = fine();
        used(group("green"), 0)(&mut at_zero);
        let found = found(&at_zero);
        assert_eq!((found.problems.len(), found.warnings.len()), (0, 1));
        let mut for_tests = fine();
        used(group("green"), 1)(&mut for_tests);
        let tested = AlbTarget { test_rule: Some("r-9".to_owned()), ..target() };
        assert_eq!(problems(&tested, &for_tests, Mode::Enforce, false), Found::default());
        let mut third = fine();
        used(group("purple"), 1)(&mut third);
        assert_eq!(super::starts::found(&third), Found::default());
    }

    #[test]
    fn whoever_shifts_by_itself_is_left_alone() {
        let owning = |rules: Vec<String>, groups: Vec<String>| Owning {
            service: "ECS service prod/cart".to_owned(),
            by: "BLUE_GREEN".to_owned(),
            rules,
            groups,
        };
        let arn = rule().arn().to_owned();
        assert_eq!(
            refused(|around| around.owners.push(owning(vec![arn.clone()], vec![group("green").0]))),
            format!(
                "target.alb.rule: ECS service prod/cart (BLUE_GREEN) owns rule {arn} and sets weights itself; let it shift, or \
                 use the rolling deployment with two services"
            )
        );
        let of_groups = refused(|around| around.owners.push(owning(Vec::new(), vec![group("green").0])));
        assert!(
            of_groups.starts_with("target.alb.targetGroups: ECS service prod/cart (BLUE_GREEN) owns green and blue")
        );
        // Before the first weight the rule for tests is written, too.
        let with_tests = AlbTarget { test_rule: Some("r-9".to_owned()), ..target() };
        let mut around = fine();
        around.owners.push(owning(vec!["r-9".to_owned()], Vec::new()));
        let of_tests = problems(&with_tests, &around, Mode::Enforce, false).problems;
        assert_eq!(
            of_tests[0].to_string(),
            "target.alb.testRule: ECS service prod/cart (BLUE_GREEN) owns the rule for tests r-9 and sets weights itself; let it \
             shift, or use the rolling deployment with two services"
        );
        assert_eq!(said(&found(&around)), Vec::<String>::new(), "nobody's here");
        let mut around = fine();
        around.owners.push(owning(vec!["elsewhere".to_owned()], vec![group("purple").0]));
        around.unread.push("only 20 of 31 clusters were looked at".to_owned());
        let elsewhere = found(&around);
        assert_eq!(said(&elsewhere), Vec::<String>::new());
        assert_eq!(elsewhere.warnings[0].to_string(), "target.alb: only 20 of 31 clusters were looked at");
        around.owners[0].rules = vec![arn];
        assert_eq!(problems(&target(), &around, Mode::Observe, false).problems, []);
    }
}
