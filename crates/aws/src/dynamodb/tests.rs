use coalmine_core::analysis::{Count, Pair};
use coalmine_core::deployment::DeploymentRef;
use coalmine_core::rollout::{Behind, Fence, Guest, Phase, RollBackEnd, Why};
use coalmine_core::units::{Minute, Span, Timestamp, Weight};
use serde_json::{Value, json};

use super::*;
use crate::testing::{Asked, Reply, Script, rollout, scripted, scripted_with, target};

/// Each kind of standing: waiting, holding, ended with something to tell or to detach, and done.
fn standings() -> [(&'static str, Rollout); 5] {
    let at = rollout().now;
    let ended = Phase::RolledBack { at, why: Why::Ready };
    [
        ("waiting", Rollout { phase: waiting(), ..rollout() }),
        ("holding", rollout()),
        ("telling", Rollout { phase: ended.clone(), ..rollout() }),
        ("detaching", Rollout { phase: ended.clone(), outbox: Vec::new(), detach_at: Some(at), ..rollout() }),
        ("done", Rollout { phase: ended, outbox: Vec::new(), ..rollout() }),
    ]
}

/// As stored, so that it does not depend on what else a waiting rollout knows.
fn waiting() -> Phase {
    let behind = Behind { rollout: "other".to_owned(), supersedes: false };
    let phase = json!({ "name": "pending", "since": rollout().now, "behind": behind, "ready": false });
    serde_json::from_value(phase).unwrap()
}

fn next(rollout: Rollout) -> Rollout {
    Rollout { revision: 6, ..rollout }
}

pub(super) fn done() -> Reply {
    Reply::json(200, &json!({}))
}

/// `put STATE if rev`, one line per write.
pub(super) fn writes(asked: &Asked) -> Vec<String> {
    let items = asked.json()["TransactItems"].as_array().unwrap().clone();
    items.iter().map(write).collect()
}

fn write(item: &Value) -> String {
    let (verb, write) = match (item.get("Put"), item.get("Delete")) {
        (Some(put), None) => ("put", put),
        (None, Some(delete)) => ("delete", delete),
        other => panic!("{other:?}"),
    };
    assert_eq!(write["TableName"], "coalmine");
    let key = if verb == "put" { &write["Item"] } else { &write["Key"] };
    let at = format!("{} {}", key["pk"]["S"].as_str().unwrap(), key["sk"]["S"].as_str().unwrap());
    let condition = match write.get("ConditionExpression") {
        None => String::new(),
        Some(condition) => {
            assert_eq!(write["ReturnValuesOnConditionCheckFailure"], "ALL_OLD");
            let name = write["ExpressionAttributeNames"]["#n"].as_str().unwrap_or_default();
            let value = write["ExpressionAttributeValues"][":v"].as_object().and_then(|value| value.values().next());
            let value = value.and_then(Value::as_str).unwrap_or_default();
            format!(" if {}", condition.as_str().unwrap().replace("#n", name).replace(":v", value))
        }
    };
    format!("{verb} {at}{condition}")
}

const STATE: &str = "put ROLLOUT#checkout-42 STATE if";
const CLAIM: &str = "put TARGET#checkout:live CLAIM if attribute_not_exists(pk) OR rollout = checkout-42";
const FREE: &str = "delete TARGET#checkout:live CLAIM if attribute_not_exists(pk) OR rollout = checkout-42";
const ENDED: &str = "put ENDED 2026-11-21T14:09:00Z#checkout-42";
const LIST: [&str; 3] =
    ["put ACTIVE checkout-42", "put ALARM#checkout-5xx checkout-42", "put ALARM#checkout-slow checkout-42"];
const UNLIST: [&str; 3] =
    ["delete ACTIVE checkout-42", "delete ALARM#checkout-5xx checkout-42", "delete ALARM#checkout-slow checkout-42"];

#[tokio::test]
async fn creating_lists_the_rollout_and_claims_the_target_in_one_transaction() {
    let state = format!("{STATE} attribute_not_exists(pk)");
    for (name, rollout) in standings() {
        let (aws, script) = scripted([done()]);
        aws.create(&rollout).await.unwrap();
        let mut expected = vec![state.as_str()];
        match name {
            "waiting" | "telling" | "detaching" => expected.extend(LIST),
            "holding" => {
                expected.extend(LIST);
                expected.push(CLAIM);
            }
            _ => {}
        }
        if !["waiting", "holding"].contains(&name) {
            expected.push(ENDED);
        }
        assert_eq!(writes(&script.asked()[0]), expected, "{name}");
    }
}

#[tokio::test]
async fn saving_changes_exactly_the_pointers_that_change() {
    let state = format!("{STATE} rev = 5");
    for (from, before) in standings() {
        for (to, after) in standings() {
            let (aws, script) = scripted([done()]);
            aws.save(&before, &next(after), None).await.unwrap();
            let mut expected = vec![state.as_str()];
            match (from, to) {
                ("done", "done") => {}
                ("done", _) => expected.extend(LIST),
                (_, "done") => expected.extend(UNLIST),
                _ => {}
            }
            match (from, to) {
                ("holding", "holding") => {}
                ("holding", _) => expected.push(FREE),
                (_, "holding") => expected.push(CLAIM),
                _ => {}
            }
            let runs = |name: &str| ["waiting", "holding"].contains(&name);
            if runs(from) && !runs(to) {
                expected.push(ENDED);
            }
            assert_eq!(writes(&script.asked()[0]), expected, "{from} -> {to}");
        }
    }
}

/// Judges a deployment of CodeDeploy's.
fn guest(rollout: Rollout) -> Rollout {
    let deployment = DeploymentRef::CodeDeploy("d-3GSL8P2NK".to_owned());
    Rollout { guest: Some(Guest { deployment, may_leave: None }), ..rollout }
}

#[tokio::test]
async fn what_judges_another_services_deployment_is_listed_from_its_start_on() {
    let judged = |script: &Script, call: usize| -> Option<Value> {
        let items = script.asked()[call].json()["TransactItems"].as_array().unwrap().clone();
        let mut puts = items.iter().map(|item| item["Put"]["Item"].clone());
        puts.find(|item| item["pk"]["S"] == "JUDGED")
    };
    let until = rollout().now + Span::from_hours(120 * 24);
    let listed = json!({
        "pk": { "S": "JUDGED" },
        "sk": { "S": "checkout-42" },
        "rollout": { "S": "checkout-42" },
        "ttl": { "N": until.epoch_seconds().to_string() },
    });
    for (name, rollout) in standings() {
        let (aws, script) = scripted([done(), done()]);
        aws.create(&guest(rollout.clone())).await.unwrap();
        aws.create(&rollout).await.unwrap();
        assert_eq!([judged(&script, 0), judged(&script, 1)], [Some(listed.clone()), None], "{name}");
    }
    for (from, before) in standings() {
        for (to, after) in standings() {
            let (aws, script) = scripted([done()]);
            aws.save(&guest(before.clone()), &next(guest(after)), None).await.unwrap();
            assert!(!script.asked()[0].json().to_string().contains("JUDGED"), "{from} -> {to}");
        }
    }
}

#[tokio::test]
async fn what_was_judged_is_read_oldest_first_and_what_is_gone_is_not_missed() {
    let listed = found(&["a", "b", "c", "d"].map(|id| shape::pointer_item(&Key::judged(id), id)));
    let started = |id: &str, hours: u64| {
        let rollout = Rollout { id: id.to_owned(), ..rollout() };
        let started_at = rollout.started_at + Span::from_hours(hours);
        shape::state_item(&Rollout { started_at, ..rollout }).unwrap()
    };
    let mut newer = started("d", 0);
    newer.insert("v".to_owned(), shape::number(2));
    let (aws, script) = scripted([listed, got(&[started("c", 1), newer, started("a", 2)], &[])]);
    let judged = aws.judged().await.unwrap();
    let told = judged.into_iter().map(|read| read.map_or_else(|error| error.to_string(), |rollout| rollout.id));
    assert_eq!(told.collect::<Vec<_>>(), ["rollout d cannot be read", "c", "a"]);
    assert_eq!(script.asked()[0].json()["ExpressionAttributeValues"], json!({ ":pk": { "S": "JUDGED" } }));
    assert_eq!(script.unused(), 0);
}

#[tokio::test]
async fn what_has_ended_is_listed_by_when_for_as_long_as_it_is_kept() {
    let (aws, script) = scripted([done()]);
    let at = rollout().now;
    let over = Rollout { phase: Phase::Promoted { at }, outbox: Vec::new(), ..rollout() };
    aws.save(&rollout(), &next(over), None).await.unwrap();
    let asked = script.asked()[0].json();
    let mut puts = asked["TransactItems"].as_array().unwrap().iter().map(|item| &item["Put"]["Item"]);
    let ttl = |pk: &str| puts.find(|item| item["pk"]["S"] == pk).unwrap()["ttl"]["N"].clone();
    let kept = json!((at + Span::from_hours(90 * 24)).epoch_seconds().to_string());
    assert_eq!(["ROLLOUT#checkout-42", "ENDED"].map(ttl), [kept.clone(), kept]);
}

#[tokio::test]
async fn what_has_ended_is_read_by_pages_the_last_one_first_and_nothing_else_is() {
    let at = |minute: i64| Timestamp::from_epoch_seconds(1_795_269_600 + 60 * minute);
    let over = |minute: i64| {
        let id = format!("r{minute}");
        Rollout { id, phase: Phase::Promoted { at: at(minute) }, outbox: Vec::new(), ..rollout() }
    };
    // More than a page, as DynamoDB answers; of one nothing else is left.
    let listed: Vec<Item> = (0..=100).rev().map(|minute| shape::ended_item(&over(minute)).unwrap()).collect();
    let stored: Vec<Item> = (1..=100).filter(|it| *it != 7).map(|it| shape::state_item(&over(it)).unwrap()).collect();
    let (aws, script) = scripted([found(&listed), got(&stored, &[])]);
    let page = aws.ended(at(0), None).await.unwrap();
    let ids: Vec<String> = page.rollouts.into_iter().map(|read| read.unwrap().id).collect();
    let wanted: Vec<String> = (1..=100).rev().filter(|it| *it != 7).map(|it| format!("r{it}")).collect();
    assert_eq!((ids, page.next.as_deref()), (wanted, Some("2026-11-21T14:00:00Z#r0")));
    let asked = script.asked()[0].json();
    assert_eq!((&asked["ScanIndexForward"], &asked["Limit"]), (&json!(false), &json!(101)));
    assert_eq!(asked["KeyConditionExpression"], "pk = :pk AND sk >= :since");

    let (aws, script) = scripted([found(&listed[100..]), got(&[shape::state_item(&over(0)).unwrap()], &[])]);
    let page = aws.ended(at(0), page.next.as_deref()).await.unwrap();
    assert_eq!((page.rollouts.len(), page.next), (1, None));
    let asked = script.asked()[0].json();
    assert_eq!(asked["KeyConditionExpression"], "pk = :pk AND sk BETWEEN :since AND :place");
    let values = json!({ ":pk": { "S": "ENDED" }, ":since": { "S": "2026-11-21T14:00:00Z" }, ":place": { "S": "2026-11-21T14:00:00Z#r0" } });
    assert_eq!(asked["ExpressionAttributeValues"], values);
    // One that names no rollout hides none.
    let mut nameless = listed.clone();
    nameless[3].remove("rollout");
    let (aws, _) = scripted([found(&nameless), got(&stored, &[])]);
    let page = aws.ended(at(0), None).await.unwrap();
    assert_eq!((page.rollouts.len(), page.next.as_deref()), (98, Some("2026-11-21T14:00:00Z#r0")));
    // DynamoDB is not asked for what it would refuse.
    let (aws, script) = scripted([]);
    assert!(aws.ended(at(1), Some("2026-11-21T14:00:00Z#r0")).await.unwrap().rollouts.is_empty());
    assert!(script.asked().is_empty());
}

fn hook(execution: &str, minute: i64) -> Hook {
    let deployment = DeploymentRef::CodeDeploy("d-3GSL8P2NK".to_owned());
    let received = Timestamp::from_epoch_seconds(1_763_733_600 + 60 * minute);
    Hook { deployment, execution: execution.to_owned(), received }
}

#[tokio::test]
async fn a_hook_is_kept_once_and_under_a_key_of_bounded_length() {
    let long = "opaque".repeat(500);
    let (aws, script) = scripted([done()]);
    aws.keep_hook(&hook(&long, 0)).await.unwrap();
    let asked = script.asked()[0].clone();
    assert_eq!(asked.operation, "PutItem");
    let (item, asked) = (asked.json()["Item"].clone(), asked.json());
    assert_eq!(asked["ConditionExpression"], "attribute_not_exists(pk)");
    assert_eq!(item["pk"]["S"], "HOOK");
    let key = item["sk"]["S"].as_str().unwrap();
    assert!(key.starts_with("d-3GSL8P2NK#") && key.len() == "d-3GSL8P2NK#".len() + 16, "{key}");
    let day_after_the_hour = 1_763_733_600 + 25 * 3600;
    assert_eq!(item["ttl"]["N"], day_after_the_hour.to_string());
    assert_ne!(Key::hook(&hook("before", 0)), Key::hook(&hook("after", 0)));
    assert_eq!(Key::hook(&hook("before", 0)), Key::hook(&hook("before", 7)));

    // The one that came first counts: the hour began with it.
    let first = shape::hook_item(&hook("before", 0)).unwrap();
    let code = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
    let (aws, _) = scripted([Reply::json(400, &json!({ "__type": code, "Item": wire(&first) }))]);
    aws.keep_hook(&hook("before", 7)).await.unwrap();
}

#[tokio::test]
async fn hooks_are_read_oldest_first_and_one_that_cannot_be_read_does_not_hide_the_others() {
    let item = |execution: &str, minute| shape::hook_item(&hook(execution, minute)).unwrap();
    let broken = |name: &str, value| {
        let mut item = item("broken", 0);
        item.insert(name.to_owned(), value);
        item
    };
    let items = [
        item("b", 5),
        broken("v", shape::number(2)),
        broken("doc", AttributeValue::S("{}".to_owned())),
        broken("doc", shape::number(2)),
        item("a", 9),
        item("c", 1),
    ];
    let (aws, script) = scripted([found(&items)]);
    assert_eq!(aws.hooks().await.unwrap(), [hook("c", 1), hook("b", 5), hook("a", 9)]);
    let asked = script.asked()[0].json();
    assert_eq!(
        (&asked["ConsistentRead"], &asked["ExpressionAttributeValues"]),
        (&json!(true), &json!({ ":pk": { "S": "HOOK" } }))
    );
}

#[tokio::test]
async fn an_answered_hook_is_forgotten_and_one_that_is_not_there_is_no_error() {
    let (aws, script) = scripted([done()]);
    aws.drop_hook(&hook("a", 9)).await.unwrap();
    let asked = script.asked()[0].clone();
    assert_eq!(asked.operation, "DeleteItem");
    assert_eq!(asked.json(), json!({ "TableName": "coalmine", "Key": wire(&Key::hook(&hook("a", 0)).attributes()) }));
    let denied = || [Reply::error(400, "AccessDeniedException")];
    let told = "AccessDeniedException: because (it needs dynamodb:DeleteItem) (table coalmine)";
    let fault = scripted(denied()).0.drop_hook(&hook("a", 9)).await.unwrap_err();
    assert_eq!(fault.to_string(), format!("DeleteItem was denied: {told}"));
    let told = "AccessDeniedException: because (it needs dynamodb:PutItem) (table coalmine)";
    let fault = scripted(denied()).0.keep_hook(&hook("a", 9)).await.unwrap_err();
    assert_eq!(fault.to_string(), format!("PutItem was denied: {told}"));
    let told = "AccessDeniedException: because (it needs dynamodb:Query) (table coalmine)";
    let fault = scripted(denied()).0.hooks().await.unwrap_err();
    assert_eq!(fault.to_string(), format!("Query was denied: {told}"));
}

#[tokio::test]
async fn a_decision_is_kept_in_the_same_transaction() {
    let (aws, script) = scripted([done()]);
    let record = json!({ "at": rollout().now, "digest": 1, "verdict": "fail", "settledBefore": null, "tail": [] });
    let record: DecisionRecord = serde_json::from_value(record).unwrap();
    aws.save(&rollout(), &next(rollout()), Some(&record)).await.unwrap();
    let expected = [format!("{STATE} rev = 5"), "put ROLLOUT#checkout-42 DECISION#0000000006".to_owned()];
    assert_eq!(writes(&script.asked()[0]), expected);
}

#[tokio::test(start_paused = true)]
async fn a_repetition_after_a_lost_answer_has_the_same_token() {
    let (aws, script) = scripted([Reply::Broken, done()]);
    aws.save(&rollout(), &next(rollout()), None).await.unwrap();
    let tokens: Vec<Value> = script.asked().iter().map(|asked| asked.json()["ClientRequestToken"].clone()).collect();
    assert_eq!(tokens.len(), 2);
    assert_eq!(tokens[0], tokens[1]);
    assert!(tokens[0].as_str().is_some_and(|token| !token.is_empty()));
}

pub(super) fn canceled(codes: &[&str], holder: Option<&str>) -> Reply {
    let reasons: Vec<Value> = codes
        .iter()
        .map(|code| match (holder, *code) {
            (Some(holder), "ConditionalCheckFailed") => json!({ "Code": code, "Item": { "rollout": { "S": holder } } }),
            _ => json!({ "Code": code }),
        })
        .collect();
    let code = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    Reply::json(400, &json!({ "__type": code, "Message": "canceled", "CancellationReasons": reasons }))
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_says_who_was_first() {
    let (none, check) = ("None", "ConditionalCheckFailed");
    let held = || Reply::json(200, &json!({ "Item": { "rollout": { "S": "other" } } }));
    let free = || Reply::json(200, &json!({}));
    let taken = "the target is held by rollout other";
    for (replies, create, save) in [
        (
            vec![canceled(&[check, none, none, none, none], None)],
            "a rollout of this name exists",
            "the rollout was changed meanwhile",
        ),
        (vec![canceled(&[none, none, none, none, check], Some("other"))], taken, taken),
        (vec![canceled(&[none, none, none, none, check], None), held()], taken, taken),
        (
            vec![canceled(&[none, none, none, none, check], None), free()],
            "GetItem failed: the target was claimed and freed again meanwhile",
            "GetItem failed: the target was claimed and freed again meanwhile",
        ),
        (
            vec![Reply::error(400, "AccessDeniedException")],
            "TransactWriteItems was denied: AccessDeniedException: because (it needs dynamodb:PutItem) (table coalmine)",
            "TransactWriteItems was denied: AccessDeniedException: because (it needs dynamodb:PutItem) (table coalmine)",
        ),
    ] {
        let (aws, script) = scripted(replies.clone());
        assert_eq!(aws.create(&rollout()).await.unwrap_err().to_string(), create);
        assert_eq!(script.unused(), 0);
        let (aws, _) = scripted(replies);
        let before = Rollout {
            phase: Phase::Superseded { at: rollout().now, why: Why::Ready },
            outbox: Vec::new(),
            ..rollout()
        };
        assert_eq!(aws.save(&before, &next(rollout()), None).await.unwrap_err().to_string(), save);
    }
}

fn wire(item: &Item) -> Value {
    let attribute = |value: &AttributeValue| match (value.as_s(), value.as_n()) {
        (Ok(text), _) => json!({ "S": text }),
        (_, Ok(number)) => json!({ "N": number }),
        _ => json!({ "B": aws_smithy_types::base64::encode(value.as_b().unwrap().as_ref()) }),
    };
    item.iter().map(|(name, value)| (name.clone(), attribute(value))).collect::<serde_json::Map<_, _>>().into()
}

pub(super) fn found(items: &[Item]) -> Reply {
    Reply::json(200, &json!({ "Items": items.iter().map(wire).collect::<Vec<_>>() }))
}

fn pointers(ids: &[&str]) -> Reply {
    found(&ids.iter().map(|id| shape::pointer_item(&Key::active(id), id)).collect::<Vec<_>>())
}

fn got(items: &[Item], left: &[&str]) -> Reply {
    let mut body = json!({ "Responses": { "coalmine": items.iter().map(wire).collect::<Vec<_>>() } });
    if !left.is_empty() {
        let keys: Vec<Value> = left.iter().map(|id| wire(&Key::state(id).attributes())).collect();
        body["UnprocessedKeys"] = json!({ "coalmine": { "Keys": keys, "ConsistentRead": true } });
    }
    Reply::json(200, &body)
}

fn state(id: &str) -> Item {
    shape::state_item(&Rollout { id: id.to_owned(), ..rollout() }).unwrap()
}

#[tokio::test]
async fn a_rollout_that_cannot_be_read_does_not_hide_the_others() {
    let mut newer = state("b");
    newer.insert("v".to_owned(), shape::number(2));
    let (aws, script) = scripted([pointers(&["a", "b", "c", "d"]), got(&[state("d"), newer, state("a")], &[])]);
    let told: Vec<String> = aws
        .active()
        .await
        .unwrap()
        .into_iter()
        .map(|rollout| match rollout {
            Ok(rollout) => rollout.id,
            Err(unreadable) => format!("{unreadable}: {}", unreadable.fault.detail),
        })
        .collect();
    let newer = "it is stored in shape 2, and this version of Coalmine reads shape 1; deploy the newer version";
    let expected = [
        "a".to_owned(),
        format!("rollout b cannot be read: {newer}"),
        "rollout c cannot be read: it is listed as active and is not stored".to_owned(),
        "d".to_owned(),
    ];
    assert_eq!(told, expected);
    let asked = script.asked();
    assert_eq!(asked[0].json()["ConsistentRead"], true);
    assert_eq!(asked[1].json()["RequestItems"]["coalmine"]["ConsistentRead"], true);
}

#[tokio::test(start_paused = true)]
async fn what_dynamodb_leaves_out_is_asked_again_within_bounds() {
    let (aws, script) = scripted([pointers(&["a", "b"]), got(&[state("a")], &["b"]), got(&[state("b")], &[])]);
    assert_eq!(aws.active().await.unwrap().len(), 2);
    let keys = script.asked()[2].json()["RequestItems"]["coalmine"]["Keys"].clone();
    assert_eq!(keys, json!([wire(&Key::state("b").attributes())]));

    // What was answered is attended to; whoever wants to know of all is told that it is not all.
    let never = || [got(&[state("b")], &["a"])].into_iter().chain(std::iter::repeat_n(got(&[], &["a"]), 4));
    let throttled = "BatchGetItem was throttled: 1 rollouts were left out of 5 answers in a row";
    let (aws, script) = scripted([pointers(&["a", "b"])].into_iter().chain(never()));
    let read = aws.active().await.unwrap().into_iter();
    let told: Vec<String> =
        read.map(|read| read.map_or_else(|left| left.fault.to_string(), |rollout| rollout.id)).collect();
    assert_eq!(told, [throttled, "b"]);
    assert_eq!(script.unused(), 0);
    let (aws, _) = scripted([pointers(&["a", "b"])].into_iter().chain(never()));
    assert_eq!(aws.judged().await.unwrap_err().to_string(), throttled);
}

#[tokio::test]
async fn many_rollouts_are_read_a_hundred_at_a_time() {
    let ids: Vec<String> = (0..230).map(|i| format!("r{i:03}")).collect();
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    let batches = names.chunks(100).map(|chunk| got(&chunk.iter().map(|id| state(id)).collect::<Vec<_>>(), &[]));
    let (aws, script) = scripted([pointers(&names)].into_iter().chain(batches));
    let read: Vec<String> = aws.active().await.unwrap().into_iter().map(|rollout| rollout.unwrap().id).collect();
    assert_eq!(read, ids);
    assert_eq!(script.asked().len(), 4);
}

fn minutes(range: std::ops::Range<i64>, requests: f64) -> Vec<MinuteSample> {
    let pair = Pair::of(Count::new(requests, 0.0), None);
    let sample = |i| MinuteSample { minute: Minute::from_index(i), weight: Weight::ZERO, pairs: vec![pair.clone()] };
    range.map(sample).collect()
}

fn block(range: std::ops::Range<i64>, requests: f64) -> Item {
    shape::sealed_item("a", &minutes(range, requests)).unwrap().unwrap()
}

#[tokio::test]
async fn a_sealed_minute_stays_and_none_is_lost_between_two_writers() {
    let exists = |range| {
        let code = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
        Reply::json(400, &json!({ "__type": code, "Item": wire(&block(range, 1.0)) }))
    };
    let cases: [(Vec<Reply>, &[i64]); 5] = [
        (vec![done()], &[10]),
        (vec![exists(10..20)], &[10]),
        (vec![exists(10..30)], &[10]),
        (vec![exists(10..15), done()], &[10, 15]),
        (vec![exists(10..12), exists(12..13), done()], &[10, 12, 13]),
    ];
    for (replies, firsts) in cases {
        let (aws, script) = scripted(replies);
        aws.seal("a", &minutes(10..20, 2.0)).await.unwrap();
        assert_eq!(script.unused(), 0);
        let puts: Vec<String> = script
            .asked()
            .iter()
            .filter(|asked| asked.operation == "PutItem")
            .map(|asked| asked.json()["Item"]["sk"]["S"].as_str().unwrap().to_owned())
            .collect();
        let expected: Vec<String> = firsts.iter().map(|first| format!("SEALED#{first:010}")).collect();
        assert_eq!(puts, expected);
    }
    let (aws, script) = scripted([]);
    aws.seal("a", &[]).await.unwrap();
    assert!(script.asked().is_empty());
}

#[tokio::test]
async fn overlapping_blocks_are_read_as_one_rising_sequence() {
    let pages = [found(&[block(10..14, 1.0), block(12..16, 2.0), block(16..18, 3.0)])];
    let (aws, script) = scripted(pages);
    let expected: Vec<MinuteSample> =
        [minutes(10..14, 1.0), minutes(14..16, 2.0), minutes(16..18, 3.0)].into_iter().flatten().collect();
    assert_eq!(aws.sealed("a").await.unwrap(), expected);
    let asked = script.asked()[0].json();
    assert_eq!(asked["KeyConditionExpression"], "pk = :pk AND begins_with(sk, :sk)");
    assert_eq!(asked["ExpressionAttributeValues"], json!({ ":pk": { "S": "ROLLOUT#a" }, ":sk": { "S": "SEALED#" } }));
}

#[tokio::test]
async fn an_alarm_that_nobody_names_costs_one_read() {
    let (aws, script) = scripted([found(&[])]);
    assert_eq!(aws.named_by_alarm("other").await.unwrap(), Vec::<String>::new());
    assert_eq!(script.asked().len(), 1);
    let named = [shape::pointer_item(&Key::alarm("checkout-5xx", "a"), "a")];
    let (aws, _) = scripted([found(&named)]);
    assert_eq!(aws.named_by_alarm("checkout-5xx").await.unwrap(), ["a"]);
}

#[tokio::test]
async fn a_rollout_is_loaded_and_a_holder_told() {
    let (aws, script) = scripted([Reply::json(200, &json!({ "Item": wire(&state("a")) })), done()]);
    assert_eq!(aws.load("a").await.unwrap().unwrap().id, "a");
    assert_eq!(aws.load("b").await.unwrap(), None);
    assert_eq!(script.asked()[0].json()["ConsistentRead"], true);
    let claim = wire(&shape::pointer_item(&Key::claims(&target())[0], "a"));
    let (aws, _) = scripted([Reply::json(200, &json!({ "Item": claim })), done()]);
    assert_eq!(aws.holder(&target()).await.unwrap().as_deref(), Some("a"));
    assert_eq!(aws.holder(&target()).await.unwrap(), None);
    let (aws, _) = scripted([Reply::json(200, &json!({ "Item": { "v": { "N": "9" } } }))]);
    let told = aws.load("a").await.unwrap_err().to_string();
    let newer = "it is stored in shape 9, and this version of Coalmine reads shape 1; deploy the newer version";
    assert_eq!(told, format!("GetItem failed: rollout a: {newer}"));
}

#[tokio::test]
async fn without_a_table_every_use_says_what_to_set() {
    let (aws, _) = scripted_with(crate::AwsConfig::default(), []);
    let unset = "no table is configured: set COALMINE_TABLE";
    assert_eq!(aws.active().await.unwrap_err().detail, unset);
    assert_eq!(aws.load("a").await.unwrap_err().detail, unset);
    assert_eq!(aws.seal("a", &minutes(0..1, 1.0)).await.unwrap_err().detail, unset);
    assert_eq!(aws.hooks().await.unwrap_err().detail, unset);
    assert_eq!(aws.keep_hook(&hook("a", 0)).await.unwrap_err().detail, unset);
    assert_eq!(aws.drop_hook(&hook("a", 0)).await.unwrap_err().detail, unset);
    assert!(aws.create(&rollout()).await.unwrap_err().to_string().ends_with(unset));
}

#[tokio::test]
async fn a_transaction_that_dynamodb_would_refuse_is_not_sent() {
    let mut wide = rollout();
    wide.spec.alarms.names = (0..100).map(|i| i.to_string()).collect();
    let (aws, script) = scripted([]);
    let told = aws.create(&wide).await.unwrap_err().to_string();
    assert_eq!(told, "TransactWriteItems was rejected: 103 items would change, and DynamoDB takes 100");
    assert!(script.asked().is_empty());
}

/// As many alarms as a spec may have.
fn most_alarms() -> Vec<String> {
    let names = |count: usize| (0..count).map(|i| format!("alarm-{i}")).collect::<Vec<_>>();
    let spec = |count| {
        json!({ "coalmine": "v1", "alarms": names(count),
        "target": { "lambda": { "function": "checkout", "alias": "live" } } })
    };
    let allowed = |count: &usize| coalmine_core::spec::from_value(&spec(*count)).is_ok();
    names((1..=200).take_while(allowed).last().unwrap())
}

#[tokio::test]
async fn a_rollout_with_as_many_alarms_as_a_spec_may_have_fits_in_every_transaction() {
    // Two groups are two claims.
    let group = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/blue/1a2b3c4d5e6f7a8b";
    let rule = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:listener-rule/app/shop/9a8b7c6d5e4f3a2b/443/1a2b3c4d5e6f7a8b";
    let target = json!({ "alb": { "rule": rule, "targetGroups": ["green", group] } });
    let spec = json!({ "coalmine": "v1", "name": "shop-7", "target": target });
    let balancer = coalmine_core::spec::from_value(&spec).unwrap().spec.target;
    let wide = |mut rollout: Rollout| {
        rollout.spec.alarms.names = most_alarms();
        rollout.spec.target = balancer.clone();
        guest(rollout)
    };
    let record = json!({ "at": rollout().now, "digest": 1, "verdict": "fail", "settledBefore": null, "tail": [] });
    let record: DecisionRecord = serde_json::from_value(record).unwrap();
    for (from, before) in standings() {
        let (aws, _) = scripted([done()]);
        aws.create(&wide(before.clone())).await.unwrap_or_else(|error| panic!("{from}: {error}"));
        for (to, after) in standings() {
            let (aws, _) = scripted([done()]);
            let saved = aws.save(&wide(before.clone()), &wide(next(after)), Some(&record)).await;
            saved.unwrap_or_else(|error| panic!("{from} -> {to}: {error}"));
        }
    }
}

#[test]
fn a_rollback_still_holds_its_target() {
    let phase = Phase::RollingBack {
        since: rollout().now,
        why: Why::Ready,
        fence: Fence::Open,
        ends_as: RollBackEnd::RolledBack,
    };
    assert!(pointer_changes(Some(&rollout()), &Rollout { phase, ..rollout() }).is_empty());
}

/// Another pair may have one of the two groups.
#[tokio::test]
async fn either_target_group_is_claimed() {
    let alb = json!({ "alb": {
        "rules": [{ "rule": "r1" }], "targetGroups": ["green", "blue"], "stickiness": "refuse",
        "minHealthyShare": "100%", "testRule": null, "keepBaseline": "untilNextRollout",
    } });
    let mut rollout = rollout();
    rollout.spec.target = serde_json::from_value(alb).unwrap();
    let (aws, script) = scripted([done(), done()]);
    aws.create(&rollout).await.unwrap();
    let ended = Rollout { phase: Phase::Promoted { at: rollout.now }, ..next(rollout.clone()) };
    aws.save(&rollout, &ended, None).await.unwrap();
    let claims = |verb: &str| ["blue", "green"].map(|group| format!("{verb} TARGET#alb/{group} CLAIM"));
    for (asked, verb) in script.asked().iter().zip(["put", "delete"]) {
        let writes = writes(asked);
        let of_claims: Vec<_> = writes.iter().filter(|write| write.contains(" TARGET#")).collect();
        let guard = " if attribute_not_exists(pk) OR rollout = checkout-42";
        assert_eq!(of_claims, claims(verb).each_ref().map(|claim| format!("{claim}{guard}")).each_ref());
    }
    // Whoever has either of them is the holder.
    let claim = wire(&shape::pointer_item(&Key::claims(&rollout.spec.target)[1], "a"));
    let (aws, _) = scripted([done(), Reply::json(200, &json!({ "Item": claim }))]);
    assert_eq!(aws.holder(&rollout.spec.target).await.unwrap(), Some("a".to_owned()));
}
