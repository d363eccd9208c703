use coalmine_core::observation::Split;
use coalmine_core::ports::TrafficRouter;
use serde_json::{Value, json};

use super::*;
use crate::testing::{Asked, Reply, scripted, target, version};

fn seen(revision: Option<&str>) -> Routing {
    let revision = revision.map(str::to_owned);
    Routing { revision, ..Routing::of(version(41), None) }
}

fn alias(version: &str, weights: &Value) -> Reply {
    let body = json!({
        "Name": "live",
        "FunctionVersion": version,
        "RoutingConfig": { "AdditionalVersionWeights": weights },
        "RevisionId": "r1",
    });
    Reply::json(200, &body)
}

async fn set(weight: Weight, revision: Option<&str>, replies: Vec<Reply>) -> (Result<(), SetError>, Vec<Asked>) {
    let (aws, script) = scripted(replies);
    let (target, baseline, canary, seen) = (target(), version(41), version(42), seen(revision));
    let split = SetWeight { target: &target, baseline: &baseline, canary: &canary, weight, seen: &seen };
    let result = aws.set(&split).await;
    (result, script.asked())
}

#[test]
fn every_weight_is_read_back_as_it_was_written_and_none_is_written_as_one() {
    let (target, baseline, canary, seen) = (target(), version(41), version(42), seen(Some("r0")));
    for weight in (0..=10_000).filter_map(Weight::from_basis_points) {
        let (primary, weights) =
            alias_shape(&SetWeight { target: &target, baseline: &baseline, canary: &canary, weight, seen: &seen });
        assert!(weights.len() <= 1);
        for (version, share) in &weights {
            assert_eq!((version.as_str(), primary.as_str()), ("42", "41"));
            assert!(*share > 0.0 && *share < 1.0, "{share}");
            let sent: f64 = serde_json::from_str(&share.to_string()).unwrap();
            assert_eq!(sent.to_string(), share.to_string());
            assert!(share.to_string().len() <= "0.1234".len(), "{share}");
        }
        let routing = routing(Some(&primary), Some(&weights), Some("r1")).unwrap();
        assert_eq!(routing.split(&baseline, &canary), Split::Ours(weight));
    }
}

#[test]
fn an_alias_is_told_as_the_routing_it_makes() {
    let ours = |basis_points| Split::Ours(Weight::from_basis_points(basis_points).unwrap());
    for (primary, weights, split, shown) in [
        ("41", json!({}), ours(0), "v41"),
        ("42", json!({}), ours(10_000), "v42"),
        ("41", json!({"42": 0.05}), ours(500), "v41 with 5 % on v42"),
        ("42", json!({"41": 0.95}), ours(500), "v42 with 95 % on v41"),
        // What Lambda writes while it moves provisioned concurrency: all traffic is still on the old version.
        ("42", json!({"41": 1.0}), ours(0), "v42 with 100 % on v41"),
        ("41", json!({"42": 0.0}), ours(0), "v41"),
        // Some is not none, most is not all.
        ("41", json!({"42": 0.000001}), ours(1), "v41 with 0.01 % on v42"),
        ("41", json!({"42": 0.999999}), ours(9_999), "v41 with 99.99 % on v42"),
        ("41", json!({"42": 0.03000000001}), ours(300), "v41 with 3 % on v42"),
        ("41", json!({"43": 0.1}), Split::Foreign, "v41 with 10 % on v43"),
        ("40", json!({"42": 0.1}), Split::Foreign, "v40 with 10 % on v42"),
        ("41", json!({"42": 0.1, "7": 0.2}), Split::Foreign, "v41 with 30 % on 42 and 7"),
        ("$LATEST", json!({}), Split::Foreign, "$LATEST"),
        ("$LATEST.PUBLISHED", json!({}), Split::Foreign, "$LATEST.PUBLISHED"),
    ] {
        let weights: HashMap<String, f64> = serde_json::from_value(weights).unwrap();
        let routing = routing(Some(primary), Some(&weights), Some("r")).unwrap();
        assert_eq!(routing.split(&version(41), &version(42)), split, "{shown}");
        assert_eq!(routing.to_string(), shown);
        assert_eq!(routing.revision.as_deref(), Some("r"));
    }
    assert_eq!(routing(Some("41"), None, None).unwrap().additional, None);
    for (primary, share) in [(None, 0.1), (Some("41"), 1.5), (Some("41"), -0.1), (Some("41"), f64::NAN)] {
        let weights = HashMap::from([("42".to_owned(), share)]);
        assert!(routing(primary, Some(&weights), None).is_err(), "{primary:?} {share}");
    }
}

#[test]
fn only_a_version_that_is_active_and_up_to_date_is_ready() {
    let not_yet = |text: &str| Readiness::NotYet(text.to_owned());
    let never = |text: &str| Readiness::Never(text.to_owned());
    let ok = (Some("Successful"), None);
    for (state, update, expected) in [
        ((Some("Active"), None), ok, Readiness::Active),
        ((Some("Active"), None), (None, None), Readiness::Active),
        ((Some("Active"), None), (Some("InProgress"), Some("")), not_yet("its last update is InProgress")),
        ((Some("Active"), None), (Some("Failed"), Some("disk")), never("its last update failed: disk")),
        ((Some("Pending"), Some("creating")), ok, not_yet("its state is Pending: creating")),
        (
            (Some("Inactive"), Some("idle")),
            ok,
            never("its state is Inactive, and nothing but an invocation wakes it; invoke it, then start again: idle"),
        ),
        ((Some("ActiveNonInvocable"), None), ok, not_yet("its state is ActiveNonInvocable")),
        ((Some("Failed"), Some("no subnet")), ok, never("its state is Failed: no subnet")),
        ((Some("Deactivated"), None), ok, never("its state is Deactivated")),
        ((Some("Deactivating"), None), ok, never("its state is Deactivating")),
        ((Some("Deleting"), None), ok, never("its state is Deleting")),
        ((Some("SomethingNew"), None), ok, not_yet("its state is SomethingNew")),
        ((None, None), ok, not_yet("Lambda does not tell its state")),
    ] {
        assert_eq!(readiness(state, update), expected);
    }
}

#[tokio::test]
async fn a_write_carries_the_shape_and_the_revision() {
    let five = Weight::from_basis_points(500).unwrap();
    for (weight, version, weights) in
        [(Weight::ZERO, "41", json!({})), (five, "41", json!({"42": 0.05})), (Weight::FULL, "42", json!({}))]
    {
        let (result, asked) = set(weight, Some("r0"), vec![alias("41", &json!({}))]).await;
        result.unwrap();
        assert_eq!(asked[0].line(), "PUT /2015-03-31/functions/checkout/aliases/live");
        let sent = json!({
            "FunctionVersion": version,
            "RoutingConfig": { "AdditionalVersionWeights": weights },
            "RevisionId": "r0",
        });
        assert_eq!(asked[0].json(), sent);
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_throttled_write_is_repeated() {
    let throttled = || Reply::error(429, "TooManyRequestsException");
    let fine = || alias("41", &json!({}));
    for (replies, attempts, outcome) in [
        (vec![throttled(), throttled(), fine()], 3, "done"),
        (vec![throttled(), throttled(), throttled(), fine()], 3, "UpdateAlias was throttled"),
        (vec![Reply::Silence, fine()], 1, "UpdateAlias timed out"),
        (vec![Reply::Broken, fine()], 1, "UpdateAlias failed"),
        (vec![Reply::error(500, "ServiceException"), fine()], 1, "UpdateAlias failed"),
        (vec![Reply::error(409, "ResourceConflictException"), fine()], 1, "UpdateAlias was rejected"),
        (vec![Reply::error(412, "PreconditionFailedException"), fine()], 1, "the target has changed"),
        (vec![throttled(), Reply::error(412, "PreconditionFailedException")], 2, "the target has changed"),
    ] {
        let (result, asked) = set(Weight::ZERO, Some("r0"), replies).await;
        let told = result.map_or_else(|error| error.to_string(), |()| "done".to_owned());
        assert!(told.starts_with(outcome), "{told}");
        assert_eq!(asked.len(), attempts, "{told}");
    }
}

#[tokio::test]
async fn without_a_revision_nothing_is_written() {
    let (result, asked) = set(Weight::ZERO, None, Vec::new()).await;
    let message =
        "UpdateAlias was rejected: the look at checkout:live brought no revision to make the write conditional";
    assert_eq!(result.unwrap_err().to_string(), message);
    assert!(asked.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_alias_without_weights_costs_one_call_and_a_weighted_one_is_asked_about_once() {
    let none = Reply::error(404, "ProvisionedConcurrencyConfigNotFoundException");
    let (weighted, plain) = (alias("41", &json!({"42": 0.05})), alias("41", &json!({})));
    let (aws, script) =
        scripted([plain.clone(), weighted.clone(), none.clone(), weighted.clone(), plain, weighted, none]);
    for calls in [1, 3, 4, 5, 7] {
        let routing = aws.look(&target()).await.unwrap();
        assert!(!routing.in_transition);
        assert_eq!(script.asked().len(), calls);
    }
    let line = "GET /2019-09-30/functions/checkout/provisioned-concurrency?Qualifier=live";
    assert_eq!(script.asked()[2].line(), line);
}

#[tokio::test(start_paused = true)]
async fn weights_that_lambda_rearranges_are_in_transition() {
    let status = |status: &str| vec![Reply::json(202, &json!({ "Status": status }))];
    let (ours, lambdas) = (json!({"42": 0.05}), json!({"41": 1}));
    let none = vec![Reply::error(404, "ProvisionedConcurrencyConfigNotFoundException")];
    let denied = vec![Reply::error(403, "AccessDeniedException")];
    let broken = vec![Reply::error(500, "ServiceException"); 3];
    for (weights, answer, in_transition) in [
        (&ours, status("IN_PROGRESS"), true),
        (&ours, status("READY"), false),
        (&ours, status("FAILED"), false),
        (&ours, none.clone(), false),
        (&ours, denied.clone(), false),
        (&ours, broken.clone(), true),
        (&lambdas, status("IN_PROGRESS"), true),
        (&lambdas, status("READY"), false),
        (&lambdas, none, false),
        (&lambdas, denied, true),
        (&lambdas, broken, true),
    ] {
        let (aws, script) = scripted([alias("42", weights)].into_iter().chain(answer));
        assert_eq!(aws.look(&target()).await.unwrap().in_transition, in_transition, "{weights}");
        assert_eq!(script.unused(), 0);
    }
}

fn configuration(version: &str) -> Reply {
    let body = json!({
        "FunctionName": "checkout", "Version": version, "Timeout": 30, "State": "Active",
        "LastUpdateStatus": "Successful", "CodeSha256": "hash", "LastModified": "2026-11-21T14:00:00.000+0000",
    });
    Reply::json(200, &body)
}

fn versions(names: &[&str], next: Option<&str>) -> Reply {
    let versions: Vec<Value> = names.iter().map(|name| json!({ "Version": name })).collect();
    Reply::json(200, &json!({ "Versions": versions, "NextMarker": next }))
}

#[tokio::test]
async fn the_newest_version_is_the_largest_number_on_any_page() {
    let pages = [versions(&["$LATEST", "9", "10"], Some("more")), versions(&["2"], None), configuration("10")];
    let (aws, script) = scripted(pages);
    let info = aws.version(&target(), None).await.unwrap();
    let expected = VersionInfo {
        version: version(10),
        readiness: Readiness::Active,
        timeout: Span::from_seconds(30),
        code_hash: "hash".to_owned(),
        published: "2026-11-21T14:00:00.000+0000".to_owned(),
        slow_start: Span::ZERO,
    };
    assert_eq!(info, expected);
    assert!(script.asked()[1].uri.contains("Marker=more"));
    assert!(script.asked()[2].uri.contains("Qualifier=10"));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_exist_is_named() {
    let gone = || Reply::error(404, "ResourceNotFoundException");
    let there = || configuration("$LATEST");
    let cases: [(&str, Vec<Reply>, &str); 8] = [
        ("live", vec![configuration("41")], "function checkout has no version live"),
        ("alias", vec![gone(), there()], "function checkout has no alias live"),
        ("alias", vec![gone(), gone()], "function checkout does not exist"),
        ("41", vec![gone(), there()], "function checkout has no version 41"),
        ("41", vec![gone(), gone()], "function checkout does not exist"),
        ("newest", vec![gone()], "function checkout does not exist"),
        ("newest", vec![versions(&["$LATEST"], None)], "function checkout has no published version"),
        (
            "alias",
            vec![gone(), Reply::error(403, "AccessDeniedException")],
            "GetFunctionConfiguration was denied: AccessDeniedException: because (it needs lambda:GetFunctionConfiguration on functions that match the stack's parameter TargetFunctions)",
        ),
    ];
    for (what, replies, sentence) in cases {
        let (aws, script) = scripted(replies);
        let error = match what {
            "alias" => aws.look(&target()).await.unwrap_err(),
            "newest" => aws.version(&target(), None).await.unwrap_err(),
            number => aws.version(&target(), Some(&Version(number.to_owned()))).await.unwrap_err(),
        };
        assert_eq!(error.to_string(), sentence);
        assert_eq!(script.unused(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn provisioned_concurrency_is_told_at_the_start() {
    let none = || Reply::error(404, "ProvisionedConcurrencyConfigNotFoundException");
    let some = Reply::json(200, &json!({ "Status": "READY", "RequestedProvisionedConcurrentExecutions": 5 }));
    for (reply, provisioned) in [(some, true), (none(), false)] {
        let (aws, script) = scripted([reply]);
        assert_eq!(aws.survey(&target()).await.unwrap().provisioned, provisioned);
        assert!(script.asked()[0].uri.contains("Qualifier=live"), "{}", script.asked()[0].uri);
    }
    let (aws, _) = scripted([Reply::error(403, "AccessDeniedException")]);
    let error = aws.survey(&target()).await.unwrap_err().to_string();
    assert!(error.contains("lambda:GetProvisionedConcurrencyConfig"), "{error}");
}
