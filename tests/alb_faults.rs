//! What a load balancer refuses, and what can go wrong between reading and writing it, on a fake that does so on cue.

use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;

use coalmine_aws::Aws;
use coalmine_core::observation::Split;
use coalmine_core::ports::{Attach, Fault, FaultKind, SetError, TrafficRouter};
use coalmine_core::spec::{AlbTarget, RuleRef, Target};
use coalmine_core::units::Weight;
use serde_json::json;

use crate::contract_alb::{authenticated, aws, in_a_runtime, look, pair, percent, rule, set, target};
use crate::harness::{Elb, FakeElb, Shop, Trouble, again};

struct World {
    fake: FakeElb,
    shop: Shop,
    aws: Aws,
}

/// Runs a case in a process whose SDK finds the fake; the fake is in it, too, so that the case can reach it.
fn on_the_fake(test: &str, case: impl AsyncFnOnce(World)) {
    if again::told().is_none() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let endpoints = Elb::at(listener.local_addr().unwrap().port()).endpoints();
        let inherited = Stdio::from(OwnedFd::from(listener));
        return again::run(&format!("alb_faults::{test}"), "", &endpoints, inherited);
    }
    let listener = TcpListener::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let fake = FakeElb::on(listener);
    let shop = Shop::open(Elb::at(fake.port()));
    in_a_runtime(async { case(World { fake, shop, aws: aws().await }).await });
}

impl World {
    /// A target on as many new rules, all with the traffic on blue.
    fn target(&self, rules: u16) -> AlbTarget {
        let blue = json!([Shop::forward(&[(&self.shop.groups[0], 1)])]);
        target(&self.shop, (0..rules).map(|number| RuleRef::Rule(rule(&self.shop, 100 + number, &blue))).collect())
    }

    /// Sets a weight on what is there now.
    async fn set(&self, target: &AlbTarget, weight: Weight) -> Result<(), SetError> {
        let seen = look(&self.aws, target).await;
        self.fake.take_calls();
        set(&self.aws, &self.shop, target, weight, &seen).await
    }

    async fn split(&self, target: &AlbTarget) -> Split {
        let (blue, green) = pair(&self.shop);
        look(&self.aws, target).await.split(&blue, &green)
    }

    /// How many writes there were.
    fn writes(&self) -> usize {
        self.fake.take_calls().iter().filter(|call| call.starts_with("Modify")).count()
    }

    /// Somebody else gives green half of it.
    fn foreign(&self, arn: &str) -> impl FnOnce(&mut crate::harness::FakeState) + Send + use<> {
        let actions = json!([Shop::forward(&[(&self.shop.groups[0], 1), (&self.shop.groups[1], 1)])]);
        let arn = arn.to_owned();
        move |state| state.set_actions(&arn, &actions)
    }
}

fn fault(error: Result<(), SetError>) -> Fault {
    match error {
        Err(SetError::Fault(fault)) => fault,
        other => panic!("{other:?} is no fault"),
    }
}

#[test]
fn every_weight_is_one_that_a_load_balancer_takes() {
    on_the_fake("every_weight_is_one_that_a_load_balancer_takes", async |world: World| {
        let target = world.target(1);
        for points in (1..10_000).step_by(333).chain([9_990, 9_999]) {
            let weight = Weight::from_basis_points(points).unwrap();
            world.set(&target, weight).await.unwrap();
            let settable = Target::Alb(target.clone()).settable(weight);
            assert_eq!(world.split(&target).await, Split::Ours(settable), "{weight}");
        }
    });
}

#[test]
fn a_secret_that_is_never_shown_survives_every_write() {
    on_the_fake("a_secret_that_is_never_shown_survives_every_write", async |world: World| {
        let purple = world.shop.elb.create_group("purple", &json!({}));
        let arn = rule(&world.shop, 200, &authenticated(&world.shop, &purple));
        let target = target(&world.shop, vec![RuleRef::Rule(arn.clone())]);
        for weight in [percent(10), Weight::FULL, Weight::ZERO] {
            world.set(&target, weight).await.unwrap();
            assert_eq!(world.fake.state().secrets.get(&arn).map(String::as_str), Some("s3cret"));
        }
    });
}

#[test]
fn a_default_rule_is_not_written_as_a_rule() {
    on_the_fake("a_default_rule_is_not_written_as_a_rule", async |world: World| {
        world.shop.open_to_all();
        let arn = world.fake.state().rules[0]["RuleArn"].as_str().unwrap().to_owned();
        world.fake.state().rules[0]["Actions"] = json!([Shop::forward(&[(&world.shop.groups[0], 1)])]);
        let target = target(&world.shop, vec![RuleRef::Rule(arn)]);
        let refused = fault(world.set(&target, percent(5)).await);
        assert_eq!((refused.kind, world.writes()), (FaultKind::Rejected, 0));
        assert!(refused.detail.contains("is the default rule of its listener"), "{refused}");
    });
}

#[test]
fn a_group_that_is_gone_or_of_another_load_balancer_is_a_fault_and_moves_nothing() {
    on_the_fake(
        "a_group_that_is_gone_or_of_another_load_balancer_is_a_fault_and_moves_nothing",
        async |world: World| {
            let (green, elb) = (world.shop.groups[1].clone(), &world.shop.elb);
            let target = world.target(1);
            let other = elb.create_balancer("other");
            let listener = elb.create_listener(&other, 80, &json!([Shop::forward(&[(&green, 1)])]));
            let limit = fault(world.set(&target, percent(5)).await);
            assert_eq!(limit.kind, FaultKind::Rejected, "{limit}");
            assert!(limit.to_string().contains("more than one load balancer"), "{limit}");

            world.fake.state().rules.retain(|rule| rule["Default"] != listener.as_str());
            let seen = look(&world.aws, &target).await;
            world.fake.state().groups.retain(|group| group["TargetGroupArn"] != green.as_str());
            let gone = fault(set(&world.aws, &world.shop, &target, percent(5), &seen).await);
            assert_eq!(gone.kind, FaultKind::Rejected, "{gone}");
            assert_eq!(elb.weights(target.rules[0].arn()).get("blue"), Some(&1));
        },
    );
}

#[test]
fn a_write_after_the_look_is_not_written_over() {
    on_the_fake("a_write_after_the_look_is_not_written_over", async |world: World| {
        let target = world.target(2);
        let seen = look(&world.aws, &target).await;
        world.foreign(target.rules[1].arn())(&mut world.fake.state());
        world.fake.take_calls();
        let stale = set(&world.aws, &world.shop, &target, percent(5), &seen).await;
        assert!(matches!(stale, Err(SetError::Stale)), "{stale:?}");
        assert_eq!(world.writes(), 0);
    });
}

/// Nothing makes a write conditional, so this one is lost; what comes right after ours is noticed.
#[test]
fn a_write_between_reading_and_writing_is_lost_and_one_after_it_is_seen() {
    on_the_fake("a_write_between_reading_and_writing_is_lost_and_one_after_it_is_seen", async |world: World| {
        let target = world.target(1);
        let arn = target.rules[0].arn();
        world.fake.trouble("ModifyRule", [Trouble::Before(Box::new(world.foreign(arn)))]);
        world.set(&target, percent(5)).await.unwrap();
        assert_eq!(world.split(&target).await, Split::Ours(percent(5)));

        world.fake.trouble("ModifyRule", [Trouble::After(Box::new(world.foreign(arn)))]);
        let noticed = world.set(&target, percent(10)).await;
        assert!(matches!(noticed, Err(SetError::Stale)), "{noticed:?}");
        assert_eq!(world.split(&target).await, Split::Ours(percent(50)));
    });
}

#[test]
fn a_throttled_write_is_repeated_but_not_for_ever() {
    on_the_fake("a_throttled_write_is_repeated_but_not_for_ever", async |world: World| {
        let target = world.target(1);
        world.fake.trouble("ModifyRule", [Trouble::Throttled, Trouble::Throttled]);
        world.set(&target, percent(5)).await.unwrap();
        assert_eq!(world.writes(), 3);
        world.fake.trouble("ModifyRule", (0..100).map(|_| Trouble::Throttled));
        assert_eq!(fault(world.set(&target, percent(10)).await).kind, FaultKind::Throttled);
        assert!(world.writes() < 10);
        assert_eq!(world.split(&target).await, Split::Ours(percent(5)));
    });
}

#[test]
fn a_write_whose_answer_is_lost_is_not_repeated_and_the_next_look_sees_it() {
    on_the_fake("a_write_whose_answer_is_lost_is_not_repeated_and_the_next_look_sees_it", async |world: World| {
        let target = world.target(1);
        for trouble in [Trouble::Lost, Trouble::Failed] {
            let weight = if matches!(trouble, Trouble::Lost) { percent(5) } else { percent(10) };
            world.fake.trouble("ModifyRule", [trouble]);
            let lost = fault(world.set(&target, weight).await);
            assert_eq!(world.writes(), 1, "{lost}");
            assert_eq!(world.split(&target).await, Split::Ours(percent(5)), "{lost}");
        }
        world.set(&target, percent(5)).await.unwrap();
        assert_eq!(world.writes(), 0, "it is so already");
    });
}

#[test]
fn rules_half_written_are_seen_as_uneven_and_brought_back() {
    on_the_fake("rules_half_written_are_seen_as_uneven_and_brought_back", async |world: World| {
        let target = world.target(3);
        world.fake.trouble("ModifyRule", [Trouble::None, Trouble::Failed]);
        let half = fault(world.set(&target, percent(25)).await);
        assert!(half.to_string().contains("1 of 3 rules were written"), "{half}");
        assert_eq!(world.split(&target).await, Split::Uneven { low: Weight::ZERO, high: percent(25) });
        world.set(&target, Weight::ZERO).await.unwrap();
        assert_eq!((world.writes(), world.split(&target).await), (1, Split::Ours(Weight::ZERO)));
    });
}

#[test]
fn a_look_that_fails_once_is_repeated() {
    on_the_fake("a_look_that_fails_once_is_repeated", async |world: World| {
        let target = world.target(1);
        world.fake.trouble("DescribeRules", [Trouble::Failed]);
        assert_eq!(world.split(&target).await, Split::Ours(Weight::ZERO));
    });
}

#[test]
fn targets_are_checked_once_a_rule_forwards_to_them() {
    on_the_fake("targets_are_checked_once_a_rule_forwards_to_them", async |world: World| {
        let (blue, green) = pair(&world.shop);
        let target = world.target(1);
        let alb = Target::Alb(target.clone());
        for registered in world.fake.state().targets.get_mut(&green.0).unwrap() {
            registered.checks_left = 1;
        }
        let canary = async || world.aws.health(&alb, &blue, &green).await.unwrap().canary;
        assert_eq!((canary().await.not_checked, canary().await.healthy), (4, 0));
        let seen = look(&world.aws, &target).await;
        world.aws.attach(&Attach { target: &alb, canary: &green, seen: &seen }).await.unwrap();
        assert_eq!((canary().await.waiting, canary().await.healthy), (4, 4));
        for registered in world.fake.state().targets.get_mut(&green.0).unwrap().iter_mut().take(3) {
            registered.says = Some(("unhealthy", "Target.ResponseCodeMismatch"));
        }
        let found = canary().await;
        assert_eq!((found.healthy, found.unhealthy), (1, 3));
        assert!(found.why.unwrap().contains("Target.ResponseCodeMismatch"));
    });
}
