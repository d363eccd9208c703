use std::slice::from_ref;

use coalmine_core::observation::Split;
use coalmine_core::ports::{Attach, Detach, SetError, SetWeight, TrafficRouter};
use coalmine_core::spec::{KeepBaseline, Stickiness, Target};

use super::*;
use crate::testing::{Asked, Reply, Script, scripted};

const ACCOUNT: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012";

pub(crate) fn group(name: &str) -> Version {
    Version(format!("{ACCOUNT}:targetgroup/{name}/1a2b"))
}

pub(crate) fn listener(port: &str) -> String {
    format!("{ACCOUNT}:listener/app/shop/9a8b/{port}")
}

pub(crate) fn rule(id: &str) -> String {
    format!("{ACCOUNT}:listener-rule/app/shop/9a8b/443/{id}")
}

pub(super) fn balancer() -> AlbTarget {
    AlbTarget {
        rules: vec![RuleRef::Rule(rule("r1"))],
        target_groups: ["blue".to_owned(), group("green").0],
        stickiness: Stickiness::Refuse,
        min_healthy_share: Weight::FULL,
        test_rule: None,
        keep_baseline: KeepBaseline::UntilNextRollout,
    }
}

pub(crate) fn two_rules() -> AlbTarget {
    AlbTarget { rules: vec![RuleRef::Rule(rule("r1")), RuleRef::DefaultOf(listener("80"))], ..balancer() }
}

/// The XML of an action that forwards so.
pub(crate) fn forward(groups: &[(&str, u16)]) -> String {
    forward_with(groups, "")
}

fn forward_with(groups: &[(&str, u16)], more: &str) -> String {
    let tuple = |(name, weight): &(&str, u16)| {
        format!("<member><TargetGroupArn>{}</TargetGroupArn><Weight>{weight}</Weight></member>", group(name).0)
    };
    let tuples: String = groups.iter().map(tuple).collect();
    format!(
        "<member><Type>forward</Type><Order>2</Order>\
         <ForwardConfig><TargetGroups>{tuples}</TargetGroups>{more}</ForwardConfig></member>"
    )
}

/// What a rule with one group looks like before anybody gave it two.
fn plain(name: &str) -> String {
    format!("<member><Type>forward</Type><TargetGroupArn>{}</TargetGroupArn></member>", group(name).0)
}

const STICKY: &str = "<TargetGroupStickinessConfig><Enabled>true</Enabled><DurationSeconds>3600</DurationSeconds>\
                      </TargetGroupStickinessConfig>";

pub(crate) fn rules(rules: &[(&str, &str)]) -> Reply {
    let one = |(id, actions): &(&str, &str)| {
        let (default, arn) = (id.starts_with("default"), rule(id));
        format!("<member><RuleArn>{arn}</RuleArn><IsDefault>{default}</IsDefault><Actions>{actions}</Actions></member>")
    };
    Reply::xml("DescribeRules", &format!("<Rules>{}</Rules>", rules.iter().map(one).collect::<String>()))
}

pub(crate) fn listeners(listeners: &[(&str, &str)]) -> Reply {
    let one = |(port, actions): &(&str, &str)| {
        let arn = listener(port);
        format!("<member><ListenerArn>{arn}</ListenerArn><DefaultActions>{actions}</DefaultActions></member>")
    };
    Reply::xml(
        "DescribeListeners",
        &format!("<Listeners>{}</Listeners>", listeners.iter().map(one).collect::<String>()),
    )
}

async fn look(target: AlbTarget, replies: Vec<Reply>) -> (Result<Routing, LookError>, Script) {
    let (aws, script) = scripted(replies);
    let routing = aws.look(&Target::Alb(target)).await;
    assert_eq!(script.unused(), 0);
    (routing, script)
}

fn operations(asked: &[Asked]) -> Vec<&str> {
    asked.iter().map(|asked| asked.operation.as_str()).collect()
}

/// Without the prefixes that all have in common.
fn written(asked: &Asked) -> Vec<String> {
    let short = |text: &str| {
        let text = text.replace("Actions.member.", "").replace("ForwardConfig.TargetGroups.member.", "group ");
        text.replace(&format!("{ACCOUNT}:"), "")
    };
    asked.form().iter().map(|(name, value)| format!("{}={}", short(name), short(value))).collect()
}

fn percent(weight: u16) -> Weight {
    Weight::from_basis_points(weight * 100).unwrap()
}

#[tokio::test]
async fn a_rule_is_told_as_the_routing_it_makes() {
    let ours = |basis_points| Split::Ours(Weight::from_basis_points(basis_points).unwrap());
    for (actions, split, shown, attached) in [
        (plain("blue"), ours(0), "blue", false),
        (plain("green"), ours(10_000), "green", false),
        (forward(&[("blue", 1)]), ours(0), "blue", false),
        (forward(&[("blue", 1), ("green", 0)]), ours(0), "blue", true),
        (forward(&[("green", 100), ("blue", 0)]), ours(10_000), "green", true),
        (forward(&[("blue", 19), ("green", 1)]), ours(500), "blue with 5 % on green", true),
        (forward(&[("green", 1), ("blue", 19)]), ours(500), "blue with 5 % on green", true),
        // As it may have been set by hand.
        (forward(&[("green", 50), ("blue", 950)]), ours(500), "blue with 5 % on green", true),
        (forward(&[("blue", 1), ("green", 3)]), ours(7_500), "green with 25 % on blue", true),
        // Half of a basis point: 3.125 % and 96.875 %.
        (forward(&[("blue", 31), ("green", 1)]), ours(312), "blue with 3.12 % on green", true),
        (forward(&[("blue", 1), ("green", 31)]), ours(9_688), "green with 3.12 % on blue", true),
        (forward(&[("blue", 1), ("purple", 0), ("green", 0)]), ours(0), "blue", true),
        (forward(&[("blue", 9), ("purple", 1), ("green", 0)]), Split::Foreign, "blue with 10 % on purple", true),
        (forward(&[("purple", 9), ("blue", 1)]), Split::Foreign, "blue with 90 % on purple", false),
        (forward(&[("purple", 1)]), Split::Foreign, "purple", false),
    ] {
        let answer = rules(&[("r1", &actions)]);
        // A name that is not behind the rule has to be asked for.
        let named = format!(
            "<TargetGroups><member><TargetGroupArn>{}</TargetGroupArn></member></TargetGroups>",
            group("blue").0
        );
        let unseen = !actions.contains("targetgroup/blue/");
        let asked = unseen.then(|| Reply::xml("DescribeTargetGroups", &named));
        let (routing, _) = look(balancer(), [answer].into_iter().chain(asked).collect()).await;
        let routing = routing.unwrap();
        assert_eq!(routing.split(&group("blue"), &group("green")), split, "{shown}");
        assert_eq!(routing.to_string(), shown);
        assert_eq!(routing.attached, attached, "{shown}");
        assert!(routing.revision.is_none() && routing.fingerprint.is_some() && !routing.in_transition);
    }
}

#[tokio::test]
async fn rules_that_differ_are_told_apart_and_one_that_only_spells_it_otherwise_is_not() {
    let behind = |first: &[(&str, u16)], other: &[(&str, u16)]| {
        vec![rules(&[("r1", &forward(first))]), listeners(&[("80", &forward(other))])]
    };
    let even = Split::Ours(percent(50));
    let uneven = |low, high| Split::Uneven { low: percent(low), high: percent(high) };
    for (first, other, split) in [
        ([("blue", 19), ("green", 1)], [("green", 50), ("blue", 950)], Split::Ours(percent(5))),
        ([("blue", 1), ("green", 1)], [("green", 2), ("blue", 2)], even),
        ([("blue", 1), ("green", 0)], [("blue", 19), ("green", 1)], uneven(0, 5)),
        ([("blue", 0), ("green", 1)], [("blue", 1), ("green", 0)], uneven(0, 100)),
        ([("blue", 1), ("green", 0)], [("blue", 1), ("purple", 1)], Split::Foreign),
    ] {
        let (routing, script) = look(two_rules(), behind(&first, &other)).await;
        let routing = routing.unwrap();
        assert_eq!(routing.split(&group("blue"), &group("green")), split);
        assert_eq!(routing.others.is_empty(), matches!(split, Split::Ours(_)));
        assert_eq!(operations(&script.asked()), ["DescribeRules", "DescribeListeners"]);
    }
}

#[tokio::test]
async fn what_cannot_be_shifted_is_an_error_that_says_so() {
    let action = |kind: &str| format!("<member><Type>{kind}</Type></member>");
    let (green, r1) = (plain("green"), rule("r1"));
    let blue = forward(&[("blue", 0), ("green", 0)]);
    for (actions, sentence) in [
        (action("redirect"), "redirects; there is nothing to shift"),
        (action("fixed-response"), "answers by itself; there is nothing to shift"),
        (action("authenticate-oidc"), "has no action that forwards; there is nothing to shift"),
        (blue, "gives no group any traffic"),
        (action("mirror") + &green, "has an action of the type mirror, which this version would lose"),
    ] {
        let target = AlbTarget { target_groups: [group("blue").0, group("green").0], ..balancer() };
        let (routing, _) = look(target, vec![rules(&[("r1", &actions)])]).await;
        assert_eq!(routing.unwrap_err().to_string(), format!("DescribeRules was rejected: {r1} {sentence}"));
    }
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let two = AlbTarget { rules: vec![RuleRef::Rule(rule("r1")), RuleRef::Rule(rule("r2"))], ..balancer() };
    let gone = |code| Reply::xml_error(400, code);
    let (one, no_rule) = (rules(&[("r1", &plain("blue"))]), gone("RuleNotFound"));
    let answers = vec![no_rule.clone(), one.clone(), no_rule];
    let (routing, _) = look(two.clone(), answers).await;
    assert_eq!(routing.unwrap().lost, [format!("there is no rule {} in this account and region", rule("r2"))]);
    // An answer without it is no better.
    let (routing, _) = look(two.clone(), vec![one.clone()]).await;
    assert_eq!(routing.unwrap().lost, [format!("there is no rule {} in this account and region", rule("r2"))]);
    let (routing, _) = look(two, vec![gone("RuleNotFound"), gone("RuleNotFound"), gone("RuleNotFound")]).await;
    assert_eq!(routing.unwrap_err().to_string(), format!("there is no rule {} in this account and region", rule("r1")));

    let default = AlbTarget { rules: vec![RuleRef::DefaultOf(listener("80"))], ..balancer() };
    let (routing, _) = look(default, vec![gone("ListenerNotFound"), gone("ListenerNotFound")]).await;
    assert_eq!(
        routing.unwrap_err().to_string(),
        format!("there is no listener {} in this account and region", listener("80"))
    );

    let named = AlbTarget { target_groups: ["blue".to_owned(), "green".to_owned()], ..balancer() };
    let (routing, _) = look(named, vec![one, gone("TargetGroupNotFound")]).await;
    assert_eq!(routing.unwrap_err().to_string(), "there is no target group green in this account and region");
}

/// The groups swap roles: what was new is old the next time, and stays attached.
#[tokio::test]
async fn the_rule_for_tests_must_forward_to_the_group_that_is_not_live() {
    let target = AlbTarget { test_rule: Some(rule("t1")), ..balancer() };
    let both = forward(&[("blue", 0), ("green", 1)]);
    for (actions, attached) in [
        (plain("blue"), true),
        (forward(&[("blue", 1)]), true),
        (plain("green"), false),
        (forward(&[("blue", 1), ("green", 1)]), false),
    ] {
        let (routing, _) = look(target.clone(), vec![rules(&[("t1", &actions), ("r1", &both)])]).await;
        assert_eq!(routing.unwrap().attached, attached, "{actions}");
    }
    let divided = forward(&[("blue", 1), ("green", 1)]);
    let (routing, _) = look(target, vec![rules(&[("r1", &divided), ("t1", &plain("blue"))])]).await;
    assert!(routing.unwrap().attached);
}

/// One write after a look at `before`. The answers are those to the write alone.
async fn set(
    target: &AlbTarget,
    weight: Weight,
    before: &[Reply],
    replies: Vec<Reply>,
) -> (Result<(), SetError>, Vec<Asked>) {
    let (aws, script) = scripted(before.iter().cloned().chain(replies));
    let target = Target::Alb(target.clone());
    let seen = aws.look(&target).await.unwrap();
    let (baseline, canary) = (group("blue"), group("green"));
    let split = SetWeight { target: &target, baseline: &baseline, canary: &canary, weight, seen: &seen };
    let result = aws.set(&split).await;
    (result, script.asked().split_off(before.len()))
}

fn done(operation: &str) -> Reply {
    Reply::xml(operation, "")
}

const OIDC: &str = "<member><Type>authenticate-oidc</Type><Order>1</Order><AuthenticateOidcConfig>\
    <Issuer>https://id.example/?a=1&amp;b=2</Issuer><AuthorizationEndpoint>https://id.example/a</AuthorizationEndpoint>\
    <TokenEndpoint>https://id.example/t</TokenEndpoint><UserInfoEndpoint>https://id.example/u</UserInfoEndpoint><ClientId>shop</ClientId><Scope>openid  email</Scope>\
    <SessionTimeout>604800</SessionTimeout><OnUnauthenticatedRequest>authenticate</OnUnauthenticatedRequest>\
    </AuthenticateOidcConfig></member>";

#[tokio::test]
async fn a_write_changes_the_two_weights_and_nothing_else() {
    let before = OIDC.to_owned() + &forward_with(&[("purple", 0), ("blue", 1), ("green", 0)], STICKY);
    let after = OIDC.to_owned() + &forward_with(&[("purple", 0), ("blue", 19), ("green", 1)], STICKY);
    let (before, after) = (rules(&[("r1", &before)]), rules(&[("r1", &after)]));
    let (result, asked) =
        set(&balancer(), percent(5), from_ref(&before), vec![before.clone(), done("ModifyRule"), after]).await;
    result.unwrap();
    assert_eq!(operations(&asked), ["DescribeRules", "ModifyRule", "DescribeRules"]);
    let sent = [
        "RuleArn=listener-rule/app/shop/9a8b/443/r1",
        "1.Type=authenticate-oidc",
        "1.AuthenticateOidcConfig.Issuer=https://id.example/?a=1&b=2",
        "1.AuthenticateOidcConfig.AuthorizationEndpoint=https://id.example/a",
        "1.AuthenticateOidcConfig.TokenEndpoint=https://id.example/t",
        "1.AuthenticateOidcConfig.UserInfoEndpoint=https://id.example/u",
        "1.AuthenticateOidcConfig.ClientId=shop",
        "1.AuthenticateOidcConfig.Scope=openid  email",
        "1.AuthenticateOidcConfig.SessionTimeout=604800",
        "1.AuthenticateOidcConfig.OnUnauthenticatedRequest=authenticate",
        // The secret is not told, and without this it would have to be.
        "1.AuthenticateOidcConfig.UseExistingClientSecret=true",
        "1.Order=1",
        "2.Type=forward",
        "2.Order=2",
        "2.group 1.TargetGroupArn=targetgroup/purple/1a2b",
        "2.group 1.Weight=0",
        "2.group 2.TargetGroupArn=targetgroup/blue/1a2b",
        "2.group 2.Weight=19",
        "2.group 3.TargetGroupArn=targetgroup/green/1a2b",
        "2.group 3.Weight=1",
        "2.ForwardConfig.TargetGroupStickinessConfig.Enabled=true",
        "2.ForwardConfig.TargetGroupStickinessConfig.DurationSeconds=3600",
    ];
    assert_eq!(written(&asked[1]), sent);
}

#[tokio::test]
async fn a_default_action_is_written_by_its_listener() {
    let target = AlbTarget { rules: vec![RuleRef::DefaultOf(listener("80"))], ..balancer() };
    let before = listeners(&[("80", &forward(&[("blue", 1), ("green", 0)]))]);
    let after = listeners(&[("80", &forward(&[("blue", 0), ("green", 1)]))]);
    let replies = vec![before.clone(), done("ModifyListener"), after];
    let (result, asked) = set(&target, Weight::FULL, &[before], replies).await;
    result.unwrap();
    assert_eq!(operations(&asked), ["DescribeListeners", "ModifyListener", "DescribeListeners"]);
    let sent = [
        "ListenerArn=listener/app/shop/9a8b/80",
        "Default1.Type=forward",
        "Default1.Order=2",
        "Default1.group 1.TargetGroupArn=targetgroup/blue/1a2b",
        "Default1.group 1.Weight=0",
        "Default1.group 2.TargetGroupArn=targetgroup/green/1a2b",
        "Default1.group 2.Weight=1",
    ];
    assert_eq!(written(&asked[1]), sent);
}

#[tokio::test]
async fn what_has_changed_since_the_look_is_not_written_over() {
    let before = rules(&[("r1", &forward(&[("blue", 1), ("green", 0)]))]);
    for now in [
        forward(&[("blue", 1), ("green", 1)]),
        forward(&[("blue", 2), ("green", 0)]),
        forward(&[("blue", 1), ("green", 0), ("purple", 0)]),
        forward_with(&[("blue", 1), ("green", 0)], STICKY),
        OIDC.to_owned() + &forward(&[("blue", 1), ("green", 0)]),
    ] {
        let (result, asked) = set(&balancer(), percent(5), from_ref(&before), vec![rules(&[("r1", &now)])]).await;
        assert!(matches!(result, Err(SetError::Stale)), "{now}");
        assert_eq!(operations(&asked), ["DescribeRules"]);
    }
    // Nor is anything without a look that says what was there.
    let (aws, script) = scripted([]);
    let (target, baseline, canary) = (Target::Alb(balancer()), group("blue"), group("green"));
    let seen = Routing::of(group("blue"), None);
    let split = SetWeight { target: &target, baseline: &baseline, canary: &canary, weight: percent(5), seen: &seen };
    let refused = aws.set(&split).await.unwrap_err().to_string();
    assert!(refused.ends_with("/r1 brought no fingerprint to compare with"), "{refused}");
    assert!(script.asked().is_empty());
}

#[tokio::test]
async fn a_write_that_is_not_found_afterwards_did_not_happen() {
    let before = rules(&[("r1", &forward(&[("blue", 1), ("green", 0)]))]);
    let foreign = rules(&[("r1", &forward(&[("blue", 3), ("green", 1)]))]);
    let replies = vec![before.clone(), done("ModifyRule"), foreign];
    let (result, _) = set(&balancer(), percent(5), &[before], replies).await;
    assert!(matches!(result, Err(SetError::Stale)));
}

#[tokio::test]
async fn a_rule_that_is_as_wished_for_is_not_written() {
    let (zero, five) = (forward(&[("blue", 1), ("green", 0)]), forward(&[("blue", 19), ("green", 1)]));
    let before = [rules(&[("r1", &five)]), listeners(&[("80", &zero)])];
    let after = listeners(&[("80", &five)]);
    let replies = [&before[..], &[done("ModifyListener"), after]].concat();
    let (result, asked) = set(&two_rules(), percent(5), &before, replies).await;
    result.unwrap();
    assert_eq!(operations(&asked)[2..], ["ModifyListener", "DescribeListeners"]);
    // A group that is not behind the rule has no weight already.
    let alone = [rules(&[("r1", &plain("blue"))])];
    let (result, asked) = set(&balancer(), Weight::ZERO, &alone, alone.to_vec()).await;
    result.unwrap();
    assert_eq!(operations(&asked), ["DescribeRules"]);
}

#[tokio::test(start_paused = true)]
async fn only_a_throttled_write_of_a_rule_is_repeated() {
    let before = rules(&[("r1", &forward(&[("blue", 1), ("green", 0)]))]);
    let after = || rules(&[("r1", &forward(&[("blue", 19), ("green", 1)]))]);
    let throttled = || Reply::xml_error(400, "Throttling");
    let fine = || done("ModifyRule");
    for (replies, attempts, outcome) in [
        (vec![throttled(), throttled(), fine(), after()], 3, "done"),
        (vec![throttled(), throttled(), throttled(), fine()], 3, "ModifyRule was throttled: Throttling: because"),
        (vec![Reply::Silence, fine()], 1, "ModifyRule timed out"),
        (vec![Reply::Broken, fine()], 1, "ModifyRule failed"),
        (vec![Reply::xml_error(500, "InternalFailure"), fine()], 1, "ModifyRule failed"),
        (vec![Reply::xml_error(400, "OperationNotPermitted"), fine()], 1, "ModifyRule was rejected"),
        (
            vec![Reply::xml_error(403, "AccessDenied"), fine()],
            1,
            "ModifyRule was denied: AccessDenied: because (it needs elasticloadbalancing:ModifyRule on load balancers that match the stack's parameter TargetLoadBalancers)",
        ),
    ] {
        let replies = [before.clone()].into_iter().chain(replies).collect();
        let (result, asked) = set(&balancer(), percent(5), from_ref(&before), replies).await;
        let said = result.map_or_else(|error| error.to_string(), |()| "done".to_owned());
        assert!(said.starts_with(outcome), "{said}");
        assert_eq!(operations(&asked).iter().filter(|name| **name == "ModifyRule").count(), attempts, "{outcome}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_among_several_rules_says_how_many_were_written() {
    let zero = forward(&[("blue", 1), ("green", 0)]);
    let before = [rules(&[("r1", &zero)]), listeners(&[("80", &zero)])];
    for (failure, sentence) in [
        (
            Reply::xml_error(400, "ValidationError"),
            "ModifyListener was rejected: ValidationError: because; 1 of 2 rules were written",
        ),
        (
            Reply::Silence,
            "ModifyListener timed out: operation attempt timeout (single attempt) occurred after 5s; 1 of 2 rules were written",
        ),
    ] {
        let replies = [&before[..], &[done("ModifyRule"), failure]].concat();
        let (result, _) = set(&two_rules(), percent(5), &before, replies).await;
        assert_eq!(result.unwrap_err().to_string(), sentence);
    }
}

/// Whoever takes traffic back takes back as much as can be.
#[tokio::test(start_paused = true)]
async fn a_rollback_writes_the_other_rules_where_one_fails() {
    let (half, zero) = (forward(&[("blue", 1), ("green", 1)]), forward(&[("blue", 1), ("green", 0)]));
    let before = [rules(&[("r1", &half)]), listeners(&[("80", &half)])];
    let throttled = vec![Reply::xml_error(400, "Throttling"); 3];
    for (failure, sentence) in [
        (throttled, "ModifyRule was throttled: Throttling: because; 1 of 2 rules were written"),
        (vec![Reply::xml_error(400, "OperationNotPermitted")], "ModifyRule was rejected: "),
        (vec![Reply::Silence], "ModifyRule timed out: "),
    ] {
        let replies = [&before[..], &failure, &[done("ModifyListener")]].concat();
        let (result, asked) = set(&two_rules(), Weight::ZERO, &before, replies).await;
        let said = result.unwrap_err().to_string();
        assert!(said.starts_with(sentence) && said.ends_with("; 1 of 2 rules were written"), "{said}");
        assert_eq!(asked.last().unwrap().operation, "ModifyListener", "{said}");
    }
    // What raises stops where it fails.
    let before = [rules(&[("r1", &zero)]), listeners(&[("80", &zero)])];
    let replies = [&before[..], &[Reply::xml_error(400, "OperationNotPermitted")]].concat();
    let (_, asked) = set(&two_rules(), percent(5), &before, replies).await;
    assert_eq!(asked.last().unwrap().operation, "ModifyRule");
}

/// Somebody deletes a rule, or puts a page for maintenance there: what the others send to the new group must come back.
#[tokio::test]
async fn a_rollback_goes_on_where_a_rule_cannot_be_shifted_any_more() {
    let (half, zero) = (forward(&[("blue", 1), ("green", 1)]), forward(&[("blue", 1), ("green", 0)]));
    let page = "<member><Type>fixed-response</Type></member>";
    let (gone, one) = (Reply::xml_error(400, "RuleNotFound"), rules(&[("r1", &half)]));
    let nothing = forward(&[("blue", 0), ("green", 0)]);
    let two = AlbTarget { rules: vec![RuleRef::Rule(rule("r1")), RuleRef::Rule(rule("r2"))], ..balancer() };
    let tested = AlbTarget { test_rule: Some(rule("t1")), ..balancer() };
    for (target, before) in [
        (&two, vec![gone.clone(), one.clone(), gone.clone()]),
        (&two, vec![one.clone()]),
        (&two, vec![rules(&[("r1", &half), ("r2", page)])]),
        (&two, vec![rules(&[("r1", &half), ("r2", &nothing)])]),
        (&tested, vec![gone.clone(), one.clone(), gone.clone()]),
        (&tested, vec![rules(&[("r1", &half), ("t1", page)])]),
    ] {
        let replies = [&before[..], &[done("ModifyRule"), rules(&[("r1", &zero)])]].concat();
        let (result, asked) = set(target, Weight::ZERO, &before, replies).await;
        result.unwrap();
        let sent = asked.iter().filter(|asked| asked.operation == "ModifyRule").map(written);
        assert_eq!(
            sent.map(|sent| sent[0].clone()).collect::<Vec<_>>(),
            ["RuleArn=listener-rule/app/shop/9a8b/443/r1"]
        );
    }
}

/// Five rules that each take four seconds would take a tick.
#[tokio::test(start_paused = true)]
async fn all_rules_together_have_one_limit() {
    let zero = forward(&[("blue", 1), ("green", 0)]);
    let ids = ["r1", "r2", "r3", "r4", "r5"];
    let target = AlbTarget { rules: ids.iter().map(|id| RuleRef::Rule(rule(id))).collect(), ..balancer() };
    let before = rules(&ids.map(|id| (id, zero.as_str())));
    let slow = || Reply::Late(std::time::Duration::from_millis(4_500), Box::new(done("ModifyRule")));
    let replies = vec![before.clone(), slow(), slow(), slow(), slow()];
    let began = tokio::time::Instant::now();
    let (result, asked) = set(&target, percent(5), &[before], replies).await;
    let said = result.unwrap_err().to_string();
    assert_eq!(said, "ModifyRule timed out: no end after 12 s; 2 of 5 rules were written");
    assert_eq!(operations(&asked)[1..], ["ModifyRule"; 3]);
    assert_eq!(began.elapsed().as_secs(), 12);
}

#[tokio::test]
async fn a_default_rule_is_never_written_as_a_rule() {
    let target = AlbTarget { rules: vec![RuleRef::Rule(rule("default"))], ..balancer() };
    let before = rules(&[("default", &plain("blue"))]);
    let (result, asked) = set(&target, percent(5), from_ref(&before), vec![before.clone()]).await;
    let refused = result.unwrap_err().to_string();
    assert!(
        refused.ends_with("is the default rule of its listener, which is changed by the listener's ARN"),
        "{refused}"
    );
    assert_eq!(operations(&asked), ["DescribeRules"]);
}

#[tokio::test]
async fn a_group_is_attached_at_0_and_the_rule_for_tests_forwards_to_it_alone() {
    let target = AlbTarget { test_rule: Some(rule("t1")), ..two_rules() };
    let zero = forward(&[("blue", 1), ("green", 0)]);
    let test = plain("green");
    let before = [rules(&[("r1", &plain("blue")), ("t1", &plain("blue"))]), listeners(&[("80", &zero)])];
    let after = rules(&[("r1", &zero), ("t1", &test)]);
    let replies = [&before[..], &[done("ModifyRule"), done("ModifyRule"), after]].concat();
    let (aws, script) = scripted(before.iter().cloned().chain(replies));
    let target = Target::Alb(target);
    let seen = aws.look(&target).await.unwrap();
    assert!(!seen.attached);
    aws.attach(&Attach { target: &target, canary: &group("green"), seen: &seen }).await.unwrap();
    let asked = script.asked();
    assert_eq!(operations(&asked)[4..], ["ModifyRule", "ModifyRule", "DescribeRules"]);
    // The group that stood alone is in the list now, and must not stand beside it.
    let sent = [
        "RuleArn=listener-rule/app/shop/9a8b/443/r1",
        "1.Type=forward",
        "1.group 1.TargetGroupArn=targetgroup/blue/1a2b",
        "1.group 1.Weight=1",
        "1.group 2.TargetGroupArn=targetgroup/green/1a2b",
        "1.group 2.Weight=0",
    ];
    assert_eq!(written(&asked[4]), sent);
    let sent = [
        "RuleArn=listener-rule/app/shop/9a8b/443/t1",
        "1.Type=forward",
        "1.group 1.TargetGroupArn=targetgroup/green/1a2b",
        "1.group 1.Weight=1",
    ];
    assert_eq!(written(&asked[5]), sent);
    assert_eq!(script.unused(), 0);
}

#[tokio::test]
async fn an_old_group_is_detached_behind_every_rule() {
    let (zero, alone) = (forward(&[("blue", 0), ("green", 1)]), forward(&[("green", 1)]));
    let before = [rules(&[("r1", &zero)]), listeners(&[("80", &zero)])];
    let after = [rules(&[("r1", &alone)]), listeners(&[("80", &alone)])];
    let writes = [done("ModifyRule"), done("ModifyListener")];
    let (aws, script) = scripted([&before[..], &before, &writes, &after, &after, &before].concat());
    let target_groups = ["blue", "green"].map(|name| group(name).0);
    let target = Target::Alb(AlbTarget { target_groups, ..two_rules() });
    let seen = aws.look(&target).await.unwrap();
    assert_eq!(seen.at_zero, [group("blue")]);
    let detach = Detach { target: &target, group: &group("blue"), seen: &seen };
    aws.detach(&detach).await.unwrap();
    let asked = script.asked();
    assert_eq!(operations(&asked)[4..6], ["ModifyRule", "ModifyListener"]);
    let sent = ["1.Type=forward", "1.Order=2", "1.group 1.TargetGroupArn=targetgroup/green/1a2b", "1.group 1.Weight=1"];
    assert_eq!(written(&asked[4])[1..], sent);
    // What has changed since is not written.
    let now = aws.look(&target).await.unwrap();
    assert_eq!(now.at_zero, []);
    let stale = aws.detach(&Detach { seen: &now, ..detach }).await;
    assert!(matches!(stale, Err(SetError::Stale)), "{stale:?}");
    assert_eq!(script.unused(), 0);
}

/// Somebody has given a rule to a third group: it is theirs, and the other one is still ours.
#[tokio::test]
async fn a_rule_that_somebody_else_has_taken_is_not_written() {
    let (half, zero) = (forward(&[("blue", 1), ("green", 1)]), forward(&[("blue", 1), ("green", 0)]));
    let theirs = forward(&[("blue", 5), ("green", 5), ("purple", 1)]);
    let before = [rules(&[("r1", &theirs)]), listeners(&[("80", &half)])];
    let replies = [&before[..], &[done("ModifyListener"), listeners(&[("80", &zero)])]].concat();
    let (result, asked) = set(&two_rules(), Weight::ZERO, &before, replies).await;
    result.unwrap();
    assert!(operations(&asked).iter().all(|operation| *operation != "ModifyRule"), "{:?}", operations(&asked));
}

#[tokio::test]
async fn stickiness_is_told_wherever_it_is_on() {
    let sticky = forward_with(&[("blue", 1), ("green", 1)], STICKY);
    let plain = forward(&[("blue", 1), ("green", 1)]);
    for (of_rule, of_listener, expected) in
        [(&plain, &plain, None), (&plain, &sticky, Some(3600)), (&sticky, &plain, Some(3600))]
    {
        let (seen, _) = look(two_rules(), vec![rules(&[("r1", of_rule)]), listeners(&[("80", of_listener)])]).await;
        assert_eq!(seen.unwrap().sticky.map(|kept| kept.seconds()), expected);
    }
}

/// Nothing there can be reached, and what AWS says of another region's ARN is of no help.
#[tokio::test]
async fn rules_of_another_region_are_refused_before_anything_is_asked() {
    let (aws, script) = scripted([]);
    let elsewhere = rule("r1").replace("eu-west-1", "us-east-1");
    let target = AlbTarget { rules: vec![RuleRef::Rule(elsewhere.clone())], ..balancer() };
    let told = aws.look(&Target::Alb(target)).await.unwrap_err().to_string();
    assert_eq!(told, format!("{elsewhere} is in us-east-1, and this Coalmine works in eu-west-1 alone"));
    assert!(script.asked().is_empty());
}
