use coalmine_core::observation::Owning;
use coalmine_core::ports::TrafficRouter;
use coalmine_core::spec::Target;
use coalmine_core::units::Span;
use serde_json::{Value, json};

use super::*;
use crate::elb::tests::{balancer, forward, group, listener, listeners, rule, rules};
use crate::testing::{Reply, scripted};

const BALANCER: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/shop/9a8b";

fn a_balancer() -> Reply {
    let inside = "<LoadBalancers><member><VpcId>vpc-1</VpcId></member></LoadBalancers>";
    Reply::xml("DescribeLoadBalancers", inside)
}

fn a_group(name: &str, more: &str) -> Reply {
    let arn = group(name).0;
    let group = format!("<TargetGroups><member><TargetGroupArn>{arn}</TargetGroupArn>{more}</member></TargetGroups>");
    Reply::xml("DescribeTargetGroups", &group)
}

fn no_clusters() -> Reply {
    Reply::json(200, &json!({ "clusterArns": [] }))
}

/// The answers to all but what the rules are and who owns them.
fn around(placed: Vec<Reply>, ports: &[&str]) -> Vec<Reply> {
    let ports: Vec<(&str, &str)> = ports.iter().map(|port| (*port, "")).collect();
    let blue = "<VpcId>vpc-1</VpcId><TargetType>ip</TargetType><Protocol>HTTP</Protocol>\
                <HealthCheckEnabled>true</HealthCheckEnabled>";
    let green = format!(
        "<TargetType>lambda</TargetType><HealthCheckEnabled>false</HealthCheckEnabled>\
                         <LoadBalancerArns><member>{BALANCER}</member></LoadBalancerArns>"
    );
    let first = [a_balancer(), a_group("blue", blue), a_group("green", &green), listeners(&ports)];
    first.into_iter().chain(placed).collect()
}

async fn survey(target: AlbTarget, replies: Vec<Reply>) -> Surroundings {
    let (aws, script) = scripted(replies);
    let seen = aws.survey(&Target::Alb(target)).await.unwrap();
    assert_eq!(script.unused(), 0);
    seen
}

#[tokio::test]
async fn what_stands_around_is_told_as_it_is() {
    let ours = forward(&[("blue", 1), ("green", 0)]);
    let sticky = ours.replace(
        "</ForwardConfig>",
        "<TargetGroupStickinessConfig><Enabled>true</Enabled><DurationSeconds>60</DurationSeconds>\
         </TargetGroupStickinessConfig></ForwardConfig>",
    );
    let redirect = "<member><Type>redirect</Type></member>";
    let purple = forward(&[("purple", 1)]);
    let foreign = forward(&[("green", 7), ("purple", 1)]);
    let target = AlbTarget {
        rules: vec![
            RuleRef::Rule(rule("r1")),
            RuleRef::DefaultOf(listener("80")),
            RuleRef::Rule(rule("default-of-443")),
        ],
        test_rule: Some(rule("t1")),
        ..balancer()
    };
    let looked = [rules(&[("default-of-443", redirect), ("r1", &sticky)]), listeners(&[("80", &ours)])];
    let placed = vec![
        rules(&[("default-of-80", &ours), ("x1", &foreign), ("x2", &purple)]),
        rules(&[("r1", &sticky), ("t1", &ours), ("default-of-443", redirect)]),
        // The default action of a third listener forwards there, too.
        rules(&[("default-of-81", &ours)]),
    ];
    let replies = looked.into_iter().chain(around(placed, &["80", "443", "81"])).chain([no_clusters()]).collect();
    let seen = survey(target, replies).await;

    let both = vec![(group("blue"), 1), (group("green"), 0)];
    let told: Vec<_> =
        seen.rules.iter().map(|rule| (rule.reference.arn(), rule.forwards, &rule.groups, rule.sticky)).collect();
    let (r1, default, listener_80) = (rule("r1"), rule("default-of-443"), listener("80"));
    let expected = [
        (r1.as_str(), true, &both, Some(Span::from_minutes(1))),
        (listener_80.as_str(), true, &both, None),
        (default.as_str(), false, &vec![], None),
    ];
    assert_eq!(told, expected);
    let defaults: Vec<_> = seen.rules.iter().map(|rule| rule.default_of.clone()).collect();
    assert_eq!(defaults, [None, None, Some(listener("443"))]);
    assert!(seen.rules.iter().all(|rule| rule.vpc == "vpc-1"));

    let blue = SeenGroup {
        spelled: "blue".to_owned(),
        arn: group("blue"),
        vpc: Some("vpc-1".to_owned()),
        balancers: Vec::new(),
        kind: "ip".to_owned(),
        protocol: Some("HTTP".to_owned()),
        checked: true,
    };
    let green = SeenGroup {
        spelled: group("green").0,
        arn: group("green"),
        vpc: None,
        balancers: vec![BALANCER.to_owned()],
        kind: "lambda".to_owned(),
        protocol: None,
        checked: false,
    };
    assert_eq!(seen.groups, [blue, green]);

    let other = |rule: &str, name: &str, weight| OtherUse { rule: rule.to_owned(), group: group(name), weight };
    let (x1, listener_81) = (rule("x1"), listener("81"));
    let expected = [other(&x1, "green", 7), other(&listener_81, "blue", 1), other(&listener_81, "green", 0)];
    assert_eq!(seen.others, expected);
    assert!(seen.owners.is_empty() && seen.unread.is_empty());
}

#[tokio::test]
async fn a_group_that_is_not_there_is_left_out_and_a_failed_look_is_no_answer() {
    let ours = rules(&[("r1", &forward(&[("blue", 1)]))]);
    let mut replies = vec![ours.clone()];
    replies.extend(around(vec![ours.clone()], &["443"]));
    replies[3] = Reply::xml_error(400, "TargetGroupNotFound");
    let good: Vec<Reply> = replies.iter().cloned().chain([no_clusters()]).collect();
    let seen = survey(balancer(), good.clone()).await;
    assert_eq!(seen.groups.iter().map(|group| group.spelled.as_str()).collect::<Vec<_>>(), ["blue"]);

    for place in 0..good.len() {
        let mut replies = good.clone();
        replies[place] = Reply::xml_error(403, "AccessDenied");
        let (aws, _) = scripted(replies);
        let error = aws.survey(&Target::Alb(balancer())).await.unwrap_err().to_string();
        assert!(error.contains(" was denied: "), "{place}: {error}");
    }
}

fn clusters(names: &[String]) -> Reply {
    let arns: Vec<String> = names.iter().map(|name| format!("arn:aws:ecs:eu-west-1:1:cluster/{name}")).collect();
    Reply::json(200, &json!({ "clusterArns": arns }))
}

fn services(count: usize) -> Reply {
    let arns: Vec<String> = (0..count).map(|i| format!("arn:aws:ecs:eu-west-1:1:service/prod/s{i}")).collect();
    Reply::json(200, &json!({ "serviceArns": arns }))
}

fn described(services: &Value) -> Reply {
    Reply::json(200, &json!({ "services": services }))
}

fn claimed() -> Claimed {
    Claimed {
        groups: vec![group("blue").0, group("green").0],
        rules: vec![(rule("r1"), rule("r1")), (rule("default-of-80"), listener("80"))],
    }
}

async fn owners_of(service: Value) -> Vec<Owning> {
    let (aws, _) = scripted([clusters(&["prod".to_owned()]), services(1), described(&json!([service]))]);
    let (owners, unsearched) = aws.owners(&claimed()).await.unwrap();
    assert!(unsearched.is_empty());
    owners
}

fn service(balancers: &Value, more: &Value) -> Value {
    let mut service = json!({
        "serviceName": "cart",
        "clusterArn": "arn:aws:ecs:eu-west-1:1:cluster/prod",
        "loadBalancers": balancers,
    });
    service.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    service
}

#[tokio::test]
async fn services_that_shift_by_themselves_are_owners_and_those_that_only_register_are_not() {
    let (blue, purple) = (group("blue").0, group("purple").0);
    let blue_green = |own: &str, alternate: &str, rule: &str| {
        json!([{ "targetGroupArn": own, "advancedConfiguration": {
            "alternateTargetGroupArn": alternate, "productionListenerRule": rule, "roleArn": "role" } }])
    };
    let strategy = |strategy: &str| json!({ "deploymentConfiguration": { "strategy": strategy } });
    let code_deploy = json!({ "deploymentController": { "type": "CODE_DEPLOY" } });
    let task_sets = json!({ "deploymentController": { "type": "CODE_DEPLOY" }, "taskSets": [
        { "loadBalancers": [{ "targetGroupArn": blue }] }] });
    let with = |service: &Value, status: &str| {
        let mut service = service.clone();
        service["status"] = status.into();
        service
    };
    let one = json!([{ "targetGroupArn": blue }]);
    let (none, foreign) = (json!([]), json!([{ "targetGroupArn": purple }]));
    let owner = |by: &str, rules: Vec<String>, groups: &[&str]| {
        let groups = groups.iter().map(|name| group(name).0).collect();
        vec![Owning { service: "ECS service prod/cart".to_owned(), by: by.to_owned(), rules, groups }]
    };
    for (service, expected) in [
        (service(&one, &json!({})), vec![]),
        (service(&one, &strategy("ROLLING")), vec![]),
        (service(&foreign, &code_deploy), vec![]),
        (service(&blue_green(&purple, &purple, &rule("x1")), &json!({})), vec![]),
        (service(&one, &code_deploy), owner("CODE_DEPLOY", vec![], &["blue"])),
        (service(&none, &task_sets), owner("CODE_DEPLOY", vec![], &["blue"])),
        (service(&none, &with(&task_sets, "DRAINING")), owner("CODE_DEPLOY", vec![], &["blue"])),
        (service(&none, &with(&task_sets, "INACTIVE")), vec![]),
        (
            service(&blue_green(&blue, &group("green").0, &rule("r1")), &strategy("CANARY")),
            owner("CANARY", vec![rule("r1")], &["blue", "green"]),
        ),
        // It names the default rule by its own ARN, the spec by its listener's.
        (
            service(&blue_green(&purple, &purple, &rule("default-of-80")), &json!({})),
            owner("BLUE_GREEN", vec![listener("80")], &[]),
        ),
        (service(&blue_green(&purple, &blue, &rule("x1")), &json!({})), owner("BLUE_GREEN", vec![], &["blue"])),
    ] {
        assert_eq!(owners_of(service.clone()).await, expected, "{service}");
    }
}

#[tokio::test]
async fn not_everything_is_searched_and_what_was_not_is_said() {
    let many: Vec<String> = (0..25).map(|i| format!("c{i}")).collect();
    let (aws, script) = scripted([clusters(&many)].into_iter().chain((0..20).map(|_| services(0))));
    let (_, unsearched) = aws.owners(&claimed()).await.unwrap();
    assert_eq!(unsearched, ["only 20 ECS clusters were searched for services that own the rules"]);
    assert_eq!(script.unused(), 0);

    let empty = |_| described(&json!([]));
    let all = [clusters(&many[..2]), services(600), services(600)].into_iter().chain((0..100).map(empty));
    let (aws, script) = scripted(all);
    let (_, unsearched) = aws.owners(&claimed()).await.unwrap();
    assert_eq!(unsearched, ["only 1000 ECS services were searched for one that owns the rules"]);
    assert_eq!(script.unused(), 0);
    let asked: Vec<usize> =
        script.asked()[3..].iter().map(|asked| asked.json()["services"].as_array().unwrap().len()).collect();
    assert_eq!(asked, [10; 100]);

    // A cluster that is deleted meanwhile has no services.
    let gone = Reply::error(400, "ClusterNotFoundException");
    let (aws, _) = scripted([clusters(&many[..1]), gone]);
    assert!(aws.owners(&claimed()).await.unwrap().0.is_empty());
}

#[tokio::test]
async fn of_very_many_listeners_some_are_left_out() {
    let ports: Vec<String> = (0..60).map(|port| port.to_string()).collect();
    let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
    let ours = rules(&[("r1", &forward(&[("blue", 1)]))]);
    let placed = (0..50).map(|_| rules(&[])).collect();
    let replies = [ours].into_iter().chain(around(placed, &ports)).chain([no_clusters()]).collect();
    let seen = survey(balancer(), replies).await;
    assert_eq!(seen.unread, ["only 50 of the 60 listeners were looked at for other uses of the groups"]);
}

/// The default rule is the first that comes to mind of a listener made for tests.
#[tokio::test]
async fn a_rule_for_tests_that_cannot_be_written_is_refused_at_the_start() {
    let ours = forward(&[("blue", 1), ("green", 0)]);
    let page = "<member><Type>fixed-response</Type></member>";
    for (named, there, actions, why) in [
        ("default-of-8443", "default-of-8443", ours.as_str(), "is the default rule of its listener, which ModifyRule"),
        ("t1", "t1", page, "answers by itself; there is nothing to shift"),
        ("t2", "t1", ours.as_str(), "there is no rule"),
    ] {
        let target = AlbTarget { test_rule: Some(rule(named)), ..balancer() };
        let looked = rules(&[("r1", &ours)]);
        let placed = vec![looked.clone(), rules(&[(there, actions)])];
        let replies = [looked].into_iter().chain(around(placed, &["443", "8443"])).chain([no_clusters()]);
        let (aws, _) = scripted(replies);
        let refused = aws.survey(&Target::Alb(target)).await.unwrap_err().to_string();
        assert!(refused.contains(why) && refused.contains(&rule(named)), "{refused}");
    }
}
