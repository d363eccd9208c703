use aws_sdk_elasticloadbalancingv2::types::{
    AuthenticateCognitoActionConfig, AuthenticateOidcActionConfig, JwtValidationActionConfig,
};

use super::*;
use crate::elb::tests::group;

fn forwarding_to(groups: &[(&str, i32)]) -> Action {
    let tuple = |(name, weight): &(&str, i32)| {
        TargetGroupTuple::builder().target_group_arn(group(name).0).weight(*weight).build()
    };
    let config = ForwardActionConfig::builder().set_target_groups(Some(groups.iter().map(tuple).collect())).build();
    Action::builder().r#type(ActionTypeEnum::Forward).forward_config(config).build()
}

fn ordered(mut action: Action, order: i32) -> Action {
    action.order = Some(order);
    action
}

fn with_stickiness(mut action: Action, enabled: bool, seconds: Option<i32>) -> Action {
    let sticky = TargetGroupStickinessConfig::builder().enabled(enabled).set_duration_seconds(seconds).build();
    action.forward_config.as_mut().unwrap().target_group_stickiness_config = Some(sticky);
    action
}

fn split<'a>(pair: &'a [Version; 2], weight: Weight, unstick: bool) -> Wish<'a> {
    Wish::Split { baseline: &pair[0], canary: &pair[1], weight, unstick }
}

fn pair() -> [Version; 2] {
    [group("blue"), group("green")]
}

#[test]
fn every_weight_that_can_be_set_is_read_back_whichever_group_is_called_new() {
    let (pair, before) = (pair(), [forwarding_to(&[("blue", 1), ("green", 0)])]);
    for weight in (0..=10_000).filter_map(Weight::from_basis_points) {
        let set = alb::settable(weight);
        let after = rewritten(&before, split(&pair, weight, false)).unwrap();
        assert!(fulfilled(&after, split(&pair, weight, false)), "{weight}");
        let [(_, baseline), (_, canary)] = weights(&after)[..] else { panic!("{after:?}") };
        assert!(baseline <= 999 && canary <= 999);
        assert_eq!(alb::weight_of(canary, baseline), set);
        assert_eq!(alb::weight_of(baseline, canary), set.complement(), "{weight}: {canary} and {baseline}");
    }
}

#[test]
fn an_absent_weight_is_1_and_the_list_goes_before_the_group_beside_it() {
    let tuple = TargetGroupTuple::builder().target_group_arn(group("green").0).build();
    let config = ForwardActionConfig::builder().target_groups(tuple).build();
    let action = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(group("blue").0);
    assert_eq!(weights(&[action.clone().build()]), [(group("blue"), 1)]);
    assert_eq!(weights(&[action.clone().forward_config(config).build()]), [(group("green"), 1)]);
    let empty = ForwardActionConfig::builder().build();
    assert_eq!(weights(&[action.forward_config(empty).build()]), [(group("blue"), 1)]);
    assert_eq!(weights(&[]), []);
}

#[test]
fn stickiness_is_left_alone_unless_all_traffic_is_put_back_with_consent() {
    let (pair, plain) = (pair(), forwarding_to(&[("blue", 1), ("green", 1)]));
    let sticky = with_stickiness(plain.clone(), true, Some(3600));
    let off = with_stickiness(plain.clone(), false, None);
    let after = |action: &Action, unstick| {
        let after = rewritten(std::slice::from_ref(action), split(&pair, Weight::ZERO, unstick)).unwrap();
        let config = after[0].forward_config().unwrap().target_group_stickiness_config().cloned();
        config.map(|config| (config.enabled(), config.duration_seconds()))
    };
    assert_eq!(after(&plain, false), None);
    assert_eq!(after(&plain, true), None);
    assert_eq!(after(&sticky, false), Some((Some(true), Some(3600))));
    assert_eq!(after(&sticky, true), Some((Some(false), None)));
    assert_eq!(after(&off, true), Some((Some(false), None)));
    assert_eq!(stickiness(std::slice::from_ref(&sticky)), Some(Span::from_hours(1)));
    assert_eq!((stickiness(std::slice::from_ref(&off)), stickiness(&[plain])), (None, None));
    // Weights alone do not fulfil it.
    let zero = |enabled| [with_stickiness(forwarding_to(&[("blue", 1), ("green", 0)]), enabled, Some(60))];
    assert!(!fulfilled(&zero(true), split(&pair, Weight::ZERO, true)));
    assert!(fulfilled(&zero(true), split(&pair, Weight::ZERO, false)));
    assert!(fulfilled(&zero(false), split(&pair, Weight::ZERO, true)));
}

#[test]
fn other_actions_come_back_as_they_were() {
    let cognito = AuthenticateCognitoActionConfig::builder()
        .user_pool_arn("pool")
        .user_pool_client_id("client")
        .user_pool_domain("domain")
        .authentication_request_extra_params("prompt", "login")
        .build();
    let oidc = AuthenticateOidcActionConfig::builder()
        .issuer("i")
        .authorization_endpoint("a")
        .token_endpoint("t")
        .user_info_endpoint("u")
        .client_id("c");
    let jwt = JwtValidationActionConfig::builder().issuer("i").jwks_endpoint("j").build();
    let of = |kind| Action::builder().r#type(kind).order(1);
    let cognito = of(ActionTypeEnum::AuthenticateCognito).authenticate_cognito_config(cognito).build();
    let jwt = of(ActionTypeEnum::JwtValidation).jwt_validation_config(jwt).build();
    let named = |oidc| of(ActionTypeEnum::AuthenticateOidc).authenticate_oidc_config(oidc).build();
    let told = named(oidc.clone().client_secret("never seen in an answer").build());
    let kept = named(oidc.use_existing_client_secret(true).build());
    for (before, after) in [(cognito.clone(), cognito), (jwt.clone(), jwt), (told, kept)] {
        let list = [before, forwarding_to(&[("blue", 1), ("green", 0)])];
        let written = rewritten(&list, split(&pair(), Weight::FULL, true)).unwrap();
        assert_eq!(written[0], after);
        assert_eq!(weights(&written), [(group("blue"), 0), (group("green"), 1)]);
    }
    let forward = ordered(forwarding_to(&[("blue", 1)]), 7);
    let written = rewritten(&[forward], split(&pair(), Weight::FULL, false)).unwrap();
    assert_eq!(written[0].order, Some(7));
}

#[test]
fn what_this_code_does_not_know_it_does_not_write() {
    let strange = Action::builder().r#type(ActionTypeEnum::from("mirror")).build();
    let list = [strange, forwarding_to(&[("blue", 1)])];
    let refused = rewritten(&list, split(&pair(), Weight::ZERO, false)).unwrap_err();
    assert_eq!(refused, "has an action of the type mirror, which this version would lose");
    let refused = rewritten(&[], split(&pair(), Weight::ZERO, false)).unwrap_err();
    assert_eq!(refused, "has no action that forwards; there is nothing to shift");
}

#[test]
fn equal_lists_have_equal_fingerprints_and_others_do_not() {
    let with = |parameters: &[(&str, &str)]| {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let config = AuthenticateOidcActionConfig::builder()
            .issuer("i")
            .set_authentication_request_extra_params(Some(parameters))
            .build();
        let oidc = Action::builder().r#type(ActionTypeEnum::AuthenticateOidc).authenticate_oidc_config(config).build();
        fingerprint(&[oidc, forwarding_to(&[("blue", 1)])])
    };
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|name| (name, name));
    let mut backwards = names;
    backwards.reverse();
    for _ in 0..20 {
        assert_eq!(with(&names), with(&backwards));
    }
    assert_ne!(with(&names), with(&names[1..]));
    let one = forwarding_to(&[("blue", 1), ("green", 0)]);
    let others = [
        forwarding_to(&[("blue", 1)]),
        forwarding_to(&[("blue", 2), ("green", 0)]),
        forwarding_to(&[("green", 0), ("blue", 1)]),
        with_stickiness(one.clone(), true, Some(60)),
        ordered(one.clone(), 1),
    ];
    for other in others {
        assert_ne!(fingerprint(std::slice::from_ref(&one)), fingerprint(&[other]));
    }
}

#[test]
fn attaching_adds_what_is_missing_and_moves_no_traffic() {
    for (before, after) in [
        (vec![("blue", 5)], vec![("blue", 5), ("green", 0)]),
        (vec![("green", 1)], vec![("green", 1), ("blue", 0)]),
        (vec![("purple", 2), ("blue", 1)], vec![("purple", 2), ("blue", 1), ("green", 0)]),
        (vec![("blue", 19), ("green", 1)], vec![("blue", 19), ("green", 1)]),
    ] {
        let pair = pair();
        let written = rewritten(&[forwarding_to(&before)], Wish::Attach(&pair)).unwrap();
        assert_eq!(written, [forwarding_to(&after)]);
        assert!(fulfilled(&written, Wish::Attach(&pair)));
    }
}

#[test]
fn detaching_takes_off_what_gets_nothing_and_moves_no_traffic() {
    let [blue, green] = pair();
    for (before, after) in [
        (vec![("blue", 0), ("green", 1)], vec![("green", 1)]),
        (vec![("purple", 0), ("blue", 0), ("green", 7)], vec![("purple", 0), ("green", 7)]),
        (vec![("green", 1)], vec![("green", 1)]),
        (vec![("blue", 1), ("green", 99)], vec![("blue", 1), ("green", 99)]),
    ] {
        let before = with_stickiness(ordered(forwarding_to(&before), 2), true, Some(60));
        let written = rewritten(std::slice::from_ref(&before), Wish::Detach(&blue)).unwrap();
        assert_eq!(written, [with_stickiness(ordered(forwarding_to(&after), 2), true, Some(60))]);
        assert!(fulfilled(&written, Wish::Detach(&blue)));
        assert_eq!(fulfilled(std::slice::from_ref(&before), Wish::Detach(&blue)), written == [before]);
        assert!(!taken(&written, [&blue, &green]));
    }
    let shared = forwarding_to(&[("blue", 1), ("purple", 1)]);
    assert!(taken(&[shared], [&blue, &green]));
}

#[test]
fn no_secret_of_an_identity_provider_gets_into_a_fingerprint() {
    let oidc = |secret: &str| {
        let config = aws_sdk_elasticloadbalancingv2::types::AuthenticateOidcActionConfig::builder()
            .issuer("https://id.test")
            .client_secret(secret)
            .build();
        Action::builder().r#type(ActionTypeEnum::AuthenticateOidc).authenticate_oidc_config(config).build()
    };
    let seen = fingerprint(&[oidc("hush")]);
    assert!(seen.contains("https://id.test") && !seen.contains("hush"), "{seen}");
    let written =
        rewritten(&[oidc("hush"), forwarding_to(&[("blue", 1)])], Wish::Alone(&Version("blue".to_owned()))).unwrap();
    assert!(!format!("{written:?}").contains("hush"), "{written:?}");
}
