use coalmine_core::spec::{AlbTarget, RuleRef, Version};
use serde_json::json;

use super::*;
use crate::AwsConfig;
use crate::elb::tests::{forward, group, listener, listeners, rule, rules, two_rules};
use crate::testing::{Asked, Reply, Script, scripted_with, target, version};

const ROLE: &str = "arn:aws:iam::123456789012:role/coalmine-switch";

fn aws_with(role_arn: &str, replies: impl IntoIterator<Item = Reply>) -> (Aws, Script) {
    let switch = SwitchConfig { group: "coalmine".to_owned(), role_arn: role_arn.to_owned() };
    scripted_with(AwsConfig { switch: Some(switch), ..AwsConfig::default() }, replies)
}

fn ok() -> Reply {
    Reply::json(
        200,
        &json!({ "ScheduleArn": "arn:aws:scheduler:eu-west-1:123456789012:schedule/coalmine/checkout-42.0" }),
    )
}

fn missing() -> Reply {
    Reply::error(404, "ResourceNotFoundException")
}

async fn arm(aws: &Aws, rollout: &str) -> Result<(), Fault> {
    let (target, baseline, canary) = (target(), version(41), version(42));
    let at = "2026-11-21T14:15:00Z".parse().unwrap();
    aws.arm(&Switch { rollout, target: &target, baseline: &baseline, canary: &canary, at }).await
}

fn lines(script: &Script) -> Vec<String> {
    script.asked().iter().map(line).collect()
}

/// Without the token that makes a repeated attempt the same call.
fn line(asked: &Asked) -> String {
    let line = asked.line();
    line.split_once("&clientToken=").map_or(line.clone(), |(line, _)| line.to_owned())
}

#[tokio::test]
async fn an_alias_is_put_back_by_one_call_without_a_revision() {
    let (aws, script) = aws_with(ROLE, [ok()]);
    arm(&aws, "checkout-42").await.unwrap();
    assert_eq!(lines(&script), ["PUT /schedules/checkout-42.0"]);
    let mut asked = script.asked()[0].json();
    let token = asked.as_object_mut().unwrap().remove("ClientToken");
    assert!(token.is_some(), "a repeated attempt is the same call");
    let input = asked["Target"].as_object_mut().unwrap().remove("Input").unwrap();
    let wanted = json!({
        "GroupName": "coalmine",
        "Description": "Coalmine's dead man's switch: gives all traffic of checkout:live back to v41 unless rollout \
                        checkout-42 pushes it on",
        "ScheduleExpression": "at(2026-11-21T14:15:00)",
        "FlexibleTimeWindow": { "Mode": "OFF" },
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": "arn:aws:scheduler:::aws-sdk:lambda:updateAlias",
            "RoleArn": ROLE,
            "RetryPolicy": { "MaximumEventAgeInSeconds": 300, "MaximumRetryAttempts": 20 },
        },
    });
    assert_eq!(asked, wanted);
    let call = json!({
        "FunctionName": "checkout",
        "Name": "live",
        "FunctionVersion": "41",
        "RoutingConfig": { "AdditionalVersionWeights": {} },
    });
    assert_eq!(serde_json::from_str::<Value>(input.as_str().unwrap()).unwrap(), call);
}

#[tokio::test]
async fn the_partition_is_the_roles() {
    for (partition, role) in [("aws-cn", "arn:aws-cn:iam::1:role/x"), ("aws-us-gov", "arn:aws-us-gov:iam::1:role/x")] {
        let (aws, script) = aws_with(role, [ok()]);
        arm(&aws, "checkout-42").await.unwrap();
        let arn = format!("arn:{partition}:scheduler:::aws-sdk:lambda:updateAlias");
        assert_eq!(script.asked()[0].json()["Target"]["Arn"], arn);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_made_and_what_another_made_is_pushed() {
    let conflict = || Reply::error(409, "ConflictException");
    let (put, post) = ("PUT /schedules/checkout-42.0", "POST /schedules/checkout-42.0");
    for (replies, asked, told) in [
        (vec![ok()], vec![put], Ok(())),
        (vec![missing(), ok()], vec![put, post], Ok(())),
        (vec![missing(), conflict(), ok()], vec![put, post, put], Ok(())),
        (
            vec![missing(), missing()],
            vec![put, post],
            Err("CreateSchedule was rejected: ResourceNotFoundException: because"),
        ),
        (
            vec![Reply::error(400, "ValidationException")],
            vec![put],
            Err("UpdateSchedule was rejected: ValidationException: because"),
        ),
        (
            vec![Reply::error(403, "AccessDeniedException")],
            vec![put],
            Err("UpdateSchedule was denied: AccessDeniedException: because (it needs scheduler:UpdateSchedule)"),
        ),
        (
            vec![missing(), Reply::error(403, "AccessDeniedException")],
            vec![put, post],
            Err("CreateSchedule was denied: AccessDeniedException: because (it needs scheduler:CreateSchedule)"),
        ),
    ] {
        let (aws, script) = aws_with(ROLE, replies);
        let done = arm(&aws, "checkout-42").await.map_err(|fault| fault.to_string());
        assert_eq!(done, told.map_err(str::to_owned));
        assert_eq!(lines(&script), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_need_not_be_removed() {
    for reply in [Reply::json(200, &json!({})), missing()] {
        let (aws, script) = aws_with(ROLE, [reply]);
        aws.disarm("checkout-42", &target()).await.unwrap();
        assert_eq!(lines(&script), ["DELETE /schedules/checkout-42.0?groupName=coalmine"]);
    }
    let (aws, _) = aws_with(ROLE, [Reply::error(403, "AccessDeniedException")]);
    let fault = aws.disarm("checkout-42", &target()).await.unwrap_err().to_string();
    assert_eq!(fault, "DeleteSchedule was denied: AccessDeniedException: because (it needs scheduler:DeleteSchedule)");
}

#[tokio::test]
async fn without_a_role_nothing_is_asked_and_the_error_says_what_is_missing() {
    let (aws, script) = scripted_with(AwsConfig::default(), []);
    let fault = arm(&aws, "checkout-42").await.unwrap_err().to_string();
    assert!(
        fault.ends_with("set COALMINE_SWITCH_GROUP and COALMINE_SWITCH_ROLE_ARN, or COALMINE_SWITCH to `off`"),
        "{fault}"
    );
    assert!(script.asked().is_empty());
}

#[test]
fn names_have_the_characters_and_the_length_that_schedules_allow_and_differ() {
    assert_eq!(name("checkout-42", 3), "checkout-42.3");
    let long = "x".repeat(61);
    let names = [name(&long, 0), name(&format!("{long}y"), 0), name("ümläut", 0), name("umlaut", 0), name("a/b", 12)];
    for (place, one) in names.iter().enumerate() {
        assert!(one.len() <= 64 && one.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)), "{one}");
        assert!(!names[..place].contains(one), "{one}");
    }
    assert_eq!(name(&"x".repeat(60), 0).len(), 62);
}

async fn arm_rules(target: &AlbTarget, replies: Vec<Reply>) -> (Result<(), Fault>, Vec<Asked>) {
    let (aws, script) = aws_with(ROLE, replies);
    let target = SpecTarget::Alb(target.clone());
    let (baseline, canary): (Version, Version) = (group("blue"), group("green"));
    let at = "2026-11-21T14:15:00Z".parse().unwrap();
    let switch = Switch { rollout: "shop-green", target: &target, baseline: &baseline, canary: &canary, at };
    let done = aws.arm(&switch).await;
    let calls = script.asked().into_iter().filter(|asked| asked.uri.contains("/schedules/")).collect();
    (done, calls)
}

fn input(asked: &Asked) -> Value {
    serde_json::from_str(asked.json()["Target"]["Input"].as_str().unwrap()).unwrap()
}

const LOGIN: &str = "<member><Type>authenticate-oidc</Type><Order>1</Order><AuthenticateOidcConfig>\
    <Issuer>https://id.example.com</Issuer><AuthorizationEndpoint>https://id.example.com/a</AuthorizationEndpoint>\
    <TokenEndpoint>https://id.example.com/t</TokenEndpoint><UserInfoEndpoint>https://id.example.com/u</UserInfoEndpoint>\
    <ClientId>shop</ClientId><SessionCookieName>c</SessionCookieName><Scope>openid</Scope>\
    <SessionTimeout>604800</SessionTimeout><AuthenticationRequestExtraParams><entry><key>p</key><value>v</value></entry>\
    </AuthenticationRequestExtraParams><OnUnauthenticatedRequest>authenticate</OnUnauthenticatedRequest>\
    </AuthenticateOidcConfig></member>";

/// Everything that a rule does but the weights is as it is now.
#[tokio::test]
async fn each_rule_has_a_schedule_of_its_own_with_its_whole_list_of_actions() {
    let split = forward(&[("blue", 19), ("green", 1)]);
    let (done, asked) = arm_rules(
        &two_rules(),
        vec![rules(&[("r1", &format!("{LOGIN}{split}"))]), listeners(&[("80", &split)]), ok(), ok()],
    )
    .await;
    done.unwrap();
    let lines: Vec<String> = asked.iter().map(line).collect();
    assert_eq!(lines, ["PUT /schedules/shop-green.0", "PUT /schedules/shop-green.1"]);
    let actions: Vec<Value> = asked.iter().map(|asked| asked.json()["Target"]["Arn"].clone()).collect();
    let service = "arn:aws:scheduler:::aws-sdk:elasticloadbalancingv2";
    assert_eq!(actions, [format!("{service}:modifyRule"), format!("{service}:modifyListener")]);
    let back = json!({
        "Type": "forward",
        "Order": 2,
        "ForwardConfig": { "TargetGroups": [
            { "TargetGroupArn": group("blue").0, "Weight": 1 },
            { "TargetGroupArn": group("green").0, "Weight": 0 },
        ] },
    });
    let login = json!({
        "Type": "authenticate-oidc",
        "Order": 1,
        "AuthenticateOidcConfig": {
            "Issuer": "https://id.example.com",
            "AuthorizationEndpoint": "https://id.example.com/a",
            "TokenEndpoint": "https://id.example.com/t",
            "UserInfoEndpoint": "https://id.example.com/u",
            "ClientId": "shop",
            "SessionCookieName": "c",
            "Scope": "openid",
            "SessionTimeout": 604_800,
            "AuthenticationRequestExtraParams": { "p": "v" },
            "OnUnauthenticatedRequest": "authenticate",
            "UseExistingClientSecret": true,
        },
    });
    assert_eq!(input(&asked[0]), json!({ "RuleArn": rule("r1"), "Actions": [login, back] }));
    assert_eq!(input(&asked[1]), json!({ "ListenerArn": listener("80"), "DefaultActions": [back] }));
}

/// What a person gave to a third group, or took away, is not to be written over.
#[tokio::test]
async fn a_rule_that_somebody_else_has_is_not_put_back() {
    let (ours, theirs) = (forward(&[("blue", 19), ("green", 1)]), forward(&[("other", 1)]));
    for listener in [listeners(&[("80", &theirs)]), Reply::xml_error(400, "ListenerNotFound")] {
        let again = Reply::xml_error(400, "ListenerNotFound");
        let gone = matches!(&listener, Reply::Http { status: 400, .. });
        let mut replies = vec![rules(&[("r1", &ours)]), listener];
        replies.extend(gone.then_some(again));
        replies.extend([ok(), missing()]);
        let (done, asked) = arm_rules(&two_rules(), replies).await;
        done.unwrap();
        let lines: Vec<String> = asked.iter().map(line).collect();
        assert_eq!(lines, ["PUT /schedules/shop-green.0", "DELETE /schedules/shop-green.1?groupName=coalmine"]);
    }
}

/// A page for maintenance, or an action of a type that came later, stays: and the switch of the other rule is armed.
#[tokio::test]
async fn a_rule_that_cannot_be_shifted_any_more_is_not_put_back() {
    let ours = forward(&[("blue", 19), ("green", 1)]);
    let page = "<member><Type>fixed-response</Type></member>";
    let unknown = format!("<member><Type>teleport</Type></member>{ours}");
    for listener in [page, &unknown] {
        let replies = vec![rules(&[("r1", &ours)]), listeners(&[("80", listener)]), ok(), missing()];
        let (done, asked) = arm_rules(&two_rules(), replies).await;
        done.unwrap();
        let lines: Vec<String> = asked.iter().map(line).collect();
        assert_eq!(lines, ["PUT /schedules/shop-green.0", "DELETE /schedules/shop-green.1?groupName=coalmine"]);
    }
}

#[tokio::test]
async fn all_rules_of_a_target_are_disarmed() {
    let (aws, script) = aws_with(ROLE, [ok(), missing()]);
    let target = two_rules();
    assert!(matches!(target.rules[1], RuleRef::DefaultOf(_)));
    aws.disarm("shop-green", &SpecTarget::Alb(target)).await.unwrap();
    let name = |place| format!("DELETE /schedules/shop-green.{place}?groupName=coalmine");
    assert_eq!(lines(&script), [name(0), name(1)]);
}

#[test]
fn a_schedule_is_told_to_be_a_rollouts() {
    let long = "a rollout / with a name that is longer than what a schedule may be called by everybody";
    for rollout in ["checkout-42", "a.b", long] {
        assert!(is_switch_of(&name(rollout, 0), rollout) && is_switch_of(&name(rollout, 4), rollout), "{rollout}");
        assert!(!is_switch_of(&name(rollout, 0), "checkout") && !is_switch_of(rollout, "checkout"));
    }
}
