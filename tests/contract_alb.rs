//! The contract of load balancers, on two that know nothing of each other: moto, which takes almost anything, and a fake
//! of our own, which refuses what the real one refuses.

use std::process::Stdio;

use coalmine_aws::{Aws, AwsConfig};
use coalmine_core::alb;
use coalmine_core::observation::{Readiness, Routing, Split};
use coalmine_core::ports::{Attach, LookError, SetError, SetWeight, TrafficRouter};
use coalmine_core::spec::{AlbTarget, KeepBaseline, RuleRef, Stickiness, Target, Version};
use coalmine_core::units::{Span, Weight};
use serde_json::{Value, json};

use crate::harness::{Elb, Emulator, FakeElb, Shop, again, without_weights};

#[test]
fn the_contract_of_load_balancers_holds_on_moto() {
    if let Some(shop) = again::told() {
        return in_a_runtime(keep(serde_json::from_str(&shop).unwrap()));
    }
    let moto = Emulator::moto();
    keep_again("contract_alb::the_contract_of_load_balancers_holds_on_moto", &Shop::open(Elb::of_moto(&moto)));
}

#[test]
fn the_contract_of_load_balancers_holds_on_the_fake() {
    if let Some(shop) = again::told() {
        return in_a_runtime(keep(serde_json::from_str(&shop).unwrap()));
    }
    let fake = FakeElb::start();
    keep_again("contract_alb::the_contract_of_load_balancers_holds_on_the_fake", &Shop::open(Elb::at(fake.port())));
}

pub fn in_a_runtime(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

fn keep_again(test: &str, shop: &Shop) {
    again::run(test, &serde_json::to_string(shop).unwrap(), &shop.elb.endpoints(), Stdio::null());
}

async fn keep(shop: Shop) {
    let aws = aws().await;
    shop.open_to_all();
    weights(&aws, &shop).await;
    attaching(&aws, &shop).await;
    several_rules(&aws, &shop).await;
    the_whole_action_list(&aws, &shop).await;
    stickiness(&aws, &shop).await;
    other_groups(&aws, &shop).await;
    what_is_not_there(&aws, &shop).await;
    groups(&aws, &shop).await;
    surroundings(&aws, &shop).await;
}

pub async fn aws() -> Aws {
    Aws::new(AwsConfig::default()).await
}

/// A target on rules of the shop's groups.
pub fn target(shop: &Shop, rules: Vec<RuleRef>) -> AlbTarget {
    AlbTarget {
        rules,
        target_groups: shop.groups.clone(),
        stickiness: Stickiness::Refuse,
        min_healthy_share: Weight::FULL,
        test_rule: None,
        keep_baseline: KeepBaseline::UntilNextRollout,
    }
}

/// A new rule of the shop with these actions; its path is its priority's.
pub fn rule(shop: &Shop, priority: u16, actions: &Value) -> String {
    shop.elb.create_rule(&shop.listener, priority, &format!("/{priority}/*"), actions)
}

pub fn pair(shop: &Shop) -> (Version, Version) {
    let [blue, green] = shop.groups.clone().map(Version);
    (blue, green)
}

pub async fn look(aws: &Aws, target: &AlbTarget) -> Routing {
    aws.look(&Target::Alb(target.clone())).await.unwrap()
}

pub async fn set(aws: &Aws, shop: &Shop, target: &AlbTarget, weight: Weight, seen: &Routing) -> Result<(), SetError> {
    let ((baseline, canary), target) = (pair(shop), Target::Alb(target.clone()));
    aws.set(&SetWeight { target: &target, baseline: &baseline, canary: &canary, weight, seen }).await
}

pub fn percent(percent: u16) -> Weight {
    Weight::from_basis_points(percent * 100).unwrap()
}

fn only_blue(shop: &Shop) -> Value {
    json!([Shop::forward(&[(&shop.groups[0], 1)])])
}

/// Blue's and green's weight on the wire.
fn on_the_wire(shop: &Shop, arn: &str) -> (Option<u64>, Option<u64>) {
    let weights = shop.elb.weights(arn);
    (weights.get("blue").copied(), weights.get("green").copied())
}

async fn weights(aws: &Aws, shop: &Shop) {
    let (blue, green) = pair(shop);
    let rules = [RuleRef::Rule(rule(shop, 100, &only_blue(shop))), RuleRef::DefaultOf(shop.listener.clone())];
    for reference in rules {
        let target = target(shop, vec![reference.clone()]);
        let mut seen = look(aws, &target).await;
        assert_eq!(seen.split(&blue, &green), Split::Ours(Weight::ZERO));
        assert_eq!((&seen.revision, seen.in_transition), (&None, false));
        // Up, the same again, to all of it, and back; every write that changes something makes the look before it stale.
        let third = Weight::from_basis_points(3333).unwrap();
        let mut last = Weight::ZERO;
        for weight in [percent(5), percent(5), third, Weight::FULL, percent(5), Weight::ZERO] {
            set(aws, shop, &target, weight, &seen).await.unwrap();
            let now = look(aws, &target).await;
            assert_eq!(now.split(&blue, &green), Split::Ours(weight));
            let (of_green, of_blue) = alb::pair(weight);
            let expected = (Some(u64::from(of_blue)), Some(u64::from(of_green)));
            assert_eq!(on_the_wire(shop, reference.arn()), expected);
            assert_eq!(now.fingerprint == seen.fingerprint, weight == last);
            if weight != last {
                let again = set(aws, shop, &target, weight, &seen).await;
                assert!(matches!(again, Err(SetError::Stale)), "a used look must not work again: {again:?}");
            }
            (seen, last) = (now, weight);
        }
    }
}

async fn attaching(aws: &Aws, shop: &Shop) {
    let (blue, green) = pair(shop);
    let testing = rule(shop, 111, &only_blue(shop));
    let reference = RuleRef::Rule(rule(shop, 110, &only_blue(shop)));
    let target = AlbTarget { test_rule: Some(testing.clone()), ..target(shop, vec![reference.clone()]) };
    let seen = look(aws, &target).await;
    assert!(!seen.attached, "{seen:?}");
    let alb = Target::Alb(target.clone());
    let attach = Attach { target: &alb, canary: &green, seen: &seen };
    aws.attach(&attach).await.unwrap();
    let now = look(aws, &target).await;
    assert!(now.attached, "{now:?}");
    assert_eq!(now.split(&blue, &green), Split::Ours(Weight::ZERO));
    assert_eq!(on_the_wire(shop, reference.arn()), (Some(1), Some(0)));
    assert_eq!(on_the_wire(shop, &testing), (None, Some(1)), "the rule for tests forwards to the new group alone");
    assert!(matches!(aws.attach(&attach).await, Err(SetError::Stale)), "a used look must not work again");
    aws.attach(&Attach { seen: &now, ..attach }).await.unwrap();
}

async fn several_rules(aws: &Aws, shop: &Shop) {
    let (blue, green) = pair(shop);
    let arns = [120, 121].map(|priority| rule(shop, priority, &only_blue(shop)));
    let references = arns.clone().map(RuleRef::Rule).into_iter();
    let target = target(shop, references.chain([RuleRef::DefaultOf(shop.listener.clone())]).collect());
    let seen = look(aws, &target).await;
    set(aws, shop, &target, percent(25), &seen).await.unwrap();
    for reference in &target.rules {
        assert_eq!(on_the_wire(shop, reference.arn()), (Some(3), Some(1)));
    }
    // One is behind, as after a write that was cut off, and the next write brings all to one weight.
    shop.elb.set_actions(&arns[1], &json!([Shop::forward(&[(&shop.groups[0], 19), (&shop.groups[1], 1)])]));
    let uneven = look(aws, &target).await;
    assert_eq!(uneven.split(&blue, &green), Split::Uneven { low: percent(5), high: percent(25) });
    set(aws, shop, &target, Weight::ZERO, &uneven).await.unwrap();
    let now = look(aws, &target).await;
    assert_eq!(now.split(&blue, &green), Split::Ours(Weight::ZERO));
}

/// Authentication first, then the forward; a third group at weight 0.
pub fn authenticated(shop: &Shop, third: &str) -> Value {
    let mut forward = Shop::forward(&[(&shop.groups[0], 1), (third, 0)]);
    forward["Order"] = json!(2);
    json!([
        {
            "Type": "authenticate-oidc", "Order": 1,
            "AuthenticateOidcConfig": {
                "Issuer": "https://id.example.com", "AuthorizationEndpoint": "https://id.example.com/a",
                "TokenEndpoint": "https://id.example.com/t", "UserInfoEndpoint": "https://id.example.com/u",
                "ClientId": "shop", "ClientSecret": "s3cret", "Scope": "openid profile", "SessionTimeout": 3600,
                "OnUnauthenticatedRequest": "authenticate", "SessionCookieName": "shop",
            },
        },
        forward,
    ])
}

async fn the_whole_action_list(aws: &Aws, shop: &Shop) {
    let purple = shop.elb.create_group("purple", &json!({}));
    let arn = rule(shop, 130, &authenticated(shop, &purple));
    let before = without_weights(&shop.elb.actions(&arn));
    let target = target(shop, vec![RuleRef::Rule(arn.clone())]);
    for weight in [percent(10), Weight::FULL, Weight::ZERO] {
        let seen = look(aws, &target).await;
        set(aws, shop, &target, weight, &seen).await.unwrap();
        let mut after = without_weights(&shop.elb.actions(&arn));
        // It is what a write must say; moto shows what was said.
        if let Some(oidc) = after[0]["AuthenticateOidcConfig"].as_object_mut() {
            oidc.remove("UseExistingClientSecret");
        }
        let mut before = before.clone();
        if after[0]["AuthenticateOidcConfig"]["ClientSecret"].is_null() {
            before[0]["AuthenticateOidcConfig"].as_object_mut().unwrap().remove("ClientSecret");
        }
        assert_eq!(after, before, "at {weight}");
        assert_eq!(shop.elb.weights(&arn)["purple"], 0);
    }
}

async fn stickiness(aws: &Aws, shop: &Shop) {
    let mut forward = Shop::forward(&[(&shop.groups[0], 19), (&shop.groups[1], 1)]);
    forward["ForwardConfig"]["TargetGroupStickinessConfig"] = json!({ "Enabled": true, "DurationSeconds": 3600 });
    let sticky = |arn: &str| shop.elb.actions(arn)[0]["ForwardConfig"]["TargetGroupStickinessConfig"].clone();
    let is_on = |arn: &str| ["true", "True"].contains(&sticky(arn)["Enabled"].to_string().trim_matches('"'));
    for (priority, wish) in [(140, Stickiness::Refuse), (141, Stickiness::DisableOnRollback)] {
        let arn = rule(shop, priority, &json!([forward]));
        let target = AlbTarget { stickiness: wish, ..target(shop, vec![RuleRef::Rule(arn.clone())]) };
        let seen = look(aws, &target).await;
        set(aws, shop, &target, percent(25), &seen).await.unwrap();
        assert!(is_on(&arn), "a raise leaves it alone: {}", sticky(&arn));
        let seen = look(aws, &target).await;
        set(aws, shop, &target, Weight::ZERO, &seen).await.unwrap();
        assert_eq!(is_on(&arn), wish == Stickiness::Refuse, "{}", sticky(&arn));
    }
}

async fn other_groups(aws: &Aws, shop: &Shop) {
    let (blue, green) = pair(shop);
    let grey = shop.elb.create_group("grey", &json!({}));
    let arn = rule(shop, 150, &json!([Shop::forward(&[(&shop.groups[0], 19), (&shop.groups[1], 1), (&grey, 5)])]));
    let target = target(shop, vec![RuleRef::Rule(arn)]);
    let seen = look(aws, &target).await;
    assert_eq!(seen.split(&blue, &green), Split::Foreign, "{seen:?}");
}

async fn what_is_not_there(aws: &Aws, shop: &Shop) {
    let missing = |error: LookError| match error {
        LookError::NotFound(sentence) => sentence,
        LookError::Fault(fault) => panic!("{fault}"),
    };
    let (known, unknown) = (rule(shop, 160, &only_blue(shop)), format!("{}0", shop.rule));
    let no_rule = format!("there is no rule {unknown} in this account and region");
    let alone = Target::Alb(target(shop, vec![RuleRef::Rule(unknown.clone())]));
    assert_eq!(missing(aws.look(&alone).await.unwrap_err()), no_rule);
    // The others can still be taken back.
    let one_of_two = target(shop, vec![RuleRef::Rule(known.clone()), RuleRef::Rule(unknown)]);
    assert_eq!(look(aws, &one_of_two).await.lost, [no_rule]);
    let unknown = format!("{}0", shop.listener);
    let no_listener = Target::Alb(target(shop, vec![RuleRef::DefaultOf(unknown.clone())]));
    let sentence = format!("there is no listener {unknown} in this account and region");
    assert_eq!(missing(aws.look(&no_listener).await.unwrap_err()), sentence);
    let groups = ["blue".to_owned(), "gren".to_owned()];
    let no_group = Target::Alb(AlbTarget { target_groups: groups, ..target(shop, vec![RuleRef::Rule(known)]) });
    let sentence = "there is no target group gren in this account and region";
    assert_eq!(missing(aws.look(&no_group).await.unwrap_err()), sentence);
    let redirect =
        json!([{ "Type": "redirect", "RedirectConfig": { "StatusCode": "HTTP_301", "Host": "example.com" } }]);
    let redirecting = Target::Alb(target(shop, vec![RuleRef::Rule(rule(shop, 161, &redirect))]));
    let LookError::Fault(fault) = aws.look(&redirecting).await.unwrap_err() else { panic!("the rule is there") };
    assert!(fault.to_string().contains("redirects; there is nothing to shift"), "{fault}");
}

async fn groups(aws: &Aws, shop: &Shop) {
    let (blue, green) = pair(shop);
    let arn = rule(shop, 170, &json!([Shop::forward(&[(&shop.groups[0], 1), (&shop.groups[1], 0)])]));
    let names = ["green".to_owned(), "blue".to_owned()];
    let alb = Target::Alb(AlbTarget { target_groups: names, ..target(shop, vec![RuleRef::Rule(arn)]) });
    let slow = json!([{ "Key": "slow_start.duration_seconds", "Value": "45" }]);
    shop.elb.call("ModifyTargetGroupAttributes", &json!({ "TargetGroupArn": green.0, "Attributes": slow }));
    let newest = aws.version(&alb, None).await.unwrap();
    assert_eq!((&newest.version, &newest.readiness), (&green, &Readiness::Active), "the one that is not live");
    assert_eq!((newest.timeout, newest.slow_start), (Span::from_seconds(60), Span::from_seconds(45)));
    let healthy = async || {
        let health = aws.health(&alb, &blue, &green).await.unwrap();
        (health.baseline.healthy, health.canary.healthy, health.canary.unhealthy)
    };
    assert_eq!(healthy().await, (4, 4, 0));
    shop.elb.deregister(&green.0, &Shop::addresses(1)[..3]);
    assert_eq!(healthy().await, (4, 1, 0));
    shop.elb.deregister(&green.0, &Shop::addresses(1)[3..]);
    assert_eq!(healthy().await, (4, 0, 0));
    let empty = aws.version(&alb, Some(&green)).await.unwrap();
    assert_eq!(empty.readiness, Readiness::NotYet("it has no registered target".to_owned()));
    shop.elb.register(&green.0, &Shop::addresses(1));
    assert_eq!(healthy().await, (4, 4, 0));
}

async fn surroundings(aws: &Aws, shop: &Shop) {
    let (blue, green) = pair(shop);
    let arn = rule(shop, 180, &json!([Shop::forward(&[(&shop.groups[0], 9), (&shop.groups[1], 1)])]));
    let alb = Target::Alb(target(shop, vec![RuleRef::Rule(arn.clone())]));
    let seen = aws.survey(&alb).await.unwrap();
    assert_eq!((seen.unread.as_slice(), seen.owners.as_slice()), ([].as_slice(), [].as_slice()));
    let [found] = seen.rules.as_slice() else { panic!("{seen:?}") };
    assert_eq!((&found.reference, &found.default_of, found.forwards), (&RuleRef::Rule(arn.clone()), &None, true));
    assert_eq!((found.groups.as_slice(), found.sticky), ([(blue.clone(), 9), (green.clone(), 1)].as_slice(), None));
    let vpc = found.vpc.clone();
    for (group, arn) in seen.groups.iter().zip([&blue, &green]) {
        assert_eq!((&group.arn, group.vpc.as_ref(), group.kind.as_str()), (arn, Some(&vpc), "ip"));
        assert_eq!((group.protocol.as_deref(), group.checked), (Some("HTTP"), true));
    }
    // The listener's default rule, the shop's own, and those of the cases above; not the rule itself.
    assert!(seen.others.iter().all(|other| other.rule != arn));
    for (used, group) in [(&shop.rule, &blue), (&shop.listener, &blue)] {
        let named = |other: &&coalmine_core::observation::OtherUse| &other.rule == used && &other.group == group;
        assert_eq!(seen.others.iter().filter(named).count(), 1, "{used} in {:?}", seen.others);
    }
}
