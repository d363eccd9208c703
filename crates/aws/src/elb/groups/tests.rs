use aws_sdk_elasticloadbalancingv2::types::TargetDescription;
use coalmine_core::ports::TrafficRouter;
use coalmine_core::spec::Target;

use super::*;
use crate::elb::tests::{balancer, forward, group, rules};
use crate::testing::{Reply, scripted};

fn target(id: &str, state: &str, reason: Option<&str>) -> TargetHealthDescription {
    let description = reason.map(|reason| format!("about {reason}"));
    let health = TargetHealth::builder()
        .state(TargetHealthStateEnum::from(state))
        .set_reason(reason.map(TargetHealthReasonEnum::from))
        .set_description(description)
        .build();
    TargetHealthDescription::builder().target(TargetDescription::builder().id(id).build()).target_health(health).build()
}

#[test]
fn targets_are_counted_by_what_they_can_do() {
    let function = "arn:aws:lambda:eu-west-1:123456789012:function:checkout:live";
    for (id, state, reason, counts) in [
        ("10.0.0.1", "healthy", None, [1, 0, 0, 0]),
        ("10.0.0.1", "unhealthy", Some("Target.Timeout"), [0, 1, 0, 0]),
        ("10.0.0.1", "unhealthy", Some("Target.ResponseCodeMismatch"), [0, 1, 0, 0]),
        ("10.0.0.1", "unhealthy", Some("Elb.InternalError"), [0, 1, 0, 0]),
        ("10.0.0.1", "unhealthy.draining", None, [0, 1, 0, 0]),
        ("10.0.0.1", "initial", Some("Elb.RegistrationInProgress"), [0, 0, 1, 0]),
        ("10.0.0.1", "initial", Some("Elb.InitialHealthChecking"), [0, 0, 1, 0]),
        ("10.0.0.1", "draining", Some("Target.DeregistrationInProgress"), [0, 0, 0, 0]),
        ("10.0.0.1", "unused", Some("Target.NotInUse"), [0, 0, 0, 1]),
        ("i-1", "unused", Some("Target.InvalidState"), [0, 1, 0, 0]),
        ("i-1", "unused", Some("Target.NotRegistered"), [0, 1, 0, 0]),
        ("10.0.0.1", "unused", Some("Target.IpUnusable"), [0, 1, 0, 0]),
        ("10.0.0.1", "unused", None, [0, 1, 0, 0]),
        ("10.0.0.1", "unavailable", Some("Target.HealthCheckDisabled"), [0, 0, 0, 1]),
        ("10.0.0.1", "unavailable", Some("Elb.InternalError"), [0, 1, 0, 0]),
        // A function is not checked unless somebody asked for it.
        (function, "unavailable", Some("Target.HealthCheckDisabled"), [1, 0, 0, 0]),
        (function, "unavailable", Some("Elb.InternalError"), [0, 1, 0, 0]),
        (function, "unhealthy", Some("Target.FailedHealthChecks"), [0, 1, 0, 0]),
        ("10.0.0.1", "something new", None, [0, 1, 0, 0]),
    ] {
        let seen = health(&[target(id, state, reason)]);
        assert_eq!([seen.healthy, seen.unhealthy, seen.waiting, seen.not_checked], counts, "{state} {reason:?}");
    }
    let untold = TargetHealthDescription::builder().build();
    assert_eq!(health(&[untold]), GroupHealth { unhealthy: 1, ..GroupHealth::default() });
    assert_eq!(health(&[]), GroupHealth::default());
}

#[test]
fn why_targets_are_not_healthy_is_told_in_the_services_words() {
    let targets = [
        target("1", "healthy", None),
        target("2", "initial", Some("Elb.InitialHealthChecking")),
        target("3", "unhealthy", Some("Target.Timeout")),
        target("4", "unhealthy", Some("Target.Timeout")),
        target("5", "something new", None),
    ];
    let told = "2 x Target.Timeout (about Target.Timeout), \
                1 x Elb.InitialHealthChecking (about Elb.InitialHealthChecking), 1 x something new";
    assert_eq!(health(&targets).why.as_deref(), Some(told));
    assert_eq!(health(&targets[..1]).why, None);
}

fn healths(states: &[&str]) -> Reply {
    let one = |state: &&str| {
        format!(
            "<member><Target><Id>10.0.0.1</Id><Port>80</Port></Target>\
             <TargetHealth><State>{state}</State></TargetHealth></member>"
        )
    };
    let targets: String = states.iter().map(one).collect();
    Reply::xml("DescribeTargetHealth", &format!("<TargetHealthDescriptions>{targets}</TargetHealthDescriptions>"))
}

fn attributes(operation: &str, attributes: &[(&str, &str)]) -> Reply {
    let one = |(key, value): &(&str, &str)| format!("<member><Key>{key}</Key><Value>{value}</Value></member>");
    let attributes: String = attributes.iter().map(one).collect();
    Reply::xml(operation, &format!("<Attributes>{attributes}</Attributes>"))
}

fn known(name: &str) -> Reply {
    let arn = group(name).0;
    let group = format!("<TargetGroups><member><TargetGroupArn>{arn}</TargetGroupArn></member></TargetGroups>");
    Reply::xml("DescribeTargetGroups", &group)
}

#[tokio::test]
async fn both_groups_are_counted_each_for_itself() {
    let (aws, script) = scripted([healths(&["healthy", "healthy", "unhealthy"]), healths(&["initial"])]);
    let health = aws.health(&Target::Alb(balancer()), &group("blue"), &group("green")).await.unwrap();
    assert_eq!((health.baseline.healthy, health.baseline.unhealthy), (2, 1));
    assert_eq!((health.canary.healthy, health.canary.waiting), (0, 1));
    let asked: Vec<_> = script.asked().iter().flat_map(|asked| asked.form()).map(|(_, value)| value).collect();
    assert_eq!(asked, [group("blue").0, group("green").0]);
}

#[tokio::test]
async fn the_new_group_is_the_one_that_is_not_live() {
    for (live, new) in
        [(forward(&[("blue", 1), ("green", 0)]), "green"), (forward(&[("green", 3), ("blue", 0)]), "blue")]
    {
        let (aws, script) = scripted([
            rules(&[("r1", &live)]),
            known(new),
            healths(&["healthy"]),
            attributes("DescribeTargetGroupAttributes", &[("slow_start.duration_seconds", "120")]),
            attributes("DescribeLoadBalancerAttributes", &[("idle_timeout.timeout_seconds", "90")]),
        ]);
        let info = aws.version(&Target::Alb(balancer()), None).await.unwrap();
        let expected = VersionInfo {
            version: group(new),
            readiness: Readiness::Active,
            timeout: Span::from_seconds(90),
            code_hash: String::new(),
            published: String::new(),
            slow_start: Span::from_seconds(120),
        };
        assert_eq!(info, expected);
        let last = script.asked().pop().unwrap();
        let balancer = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/shop/9a8b";
        assert_eq!(last.form(), [("LoadBalancerArn".to_owned(), balancer.to_owned())]);
    }
    let elsewhere = rules(&[("r1", &forward(&[("purple", 1), ("blue", 0)]))]);
    let (aws, _) = scripted([elsewhere]);
    let error = aws.version(&Target::Alb(balancer()), None).await.unwrap_err();
    assert_eq!(error.to_string(), "all traffic is on purple, so neither blue nor green is the new one");
}

#[tokio::test]
async fn a_group_without_targets_is_not_ready_and_what_is_not_configured_has_its_default() {
    let answers = [
        known("green"),
        healths(&[]),
        attributes("DescribeTargetGroupAttributes", &[("stickiness.enabled", "false")]),
        attributes("DescribeLoadBalancerAttributes", &[]),
    ];
    let (aws, _) = scripted(answers.clone());
    let info = aws.version(&Target::Alb(balancer()), Some(&group("green"))).await.unwrap();
    assert_eq!(info.readiness, Readiness::NotYet("it has no registered target".to_owned()));
    assert_eq!((info.timeout, info.slow_start), (Span::from_seconds(60), Span::ZERO));

    let gone = "there is no target group green in this account and region";
    for place in 0..3 {
        let mut answers = answers.clone();
        answers[place] = Reply::xml_error(400, "TargetGroupNotFound");
        let (aws, _) = scripted(answers);
        let error = aws.version(&Target::Alb(balancer()), Some(&group("green"))).await.unwrap_err();
        assert_eq!(error.to_string(), gone);
    }
    let mut answers = answers.clone();
    answers[3] = Reply::xml_error(400, "LoadBalancerNotFound");
    let (aws, _) = scripted(answers);
    let error = aws.version(&Target::Alb(balancer()), Some(&group("green"))).await.unwrap_err();
    assert!(error.to_string().ends_with(":loadbalancer/app/shop/9a8b"), "{error}");
}
