use coalmine_core::analysis::{Count, Pair, Verdict};
use coalmine_core::rollout::{Phase, Why};
use coalmine_core::units::{Minute, Weight};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::testing::rollout;

const GOLDEN: &str = include_str!("../golden/rollout-v1.json");

fn sample(minute: i64, count: Count) -> MinuteSample {
    let pair = Pair::of(Some(count), None);
    MinuteSample { minute: Minute::from_index(minute), weight: Weight::ZERO, pairs: vec![pair] }
}

fn stored(version: &str, doc: &str) -> Item {
    let mut item = Key::state("checkout-42").attributes();
    item.insert("v".to_owned(), AttributeValue::N(version.to_owned()));
    item.insert("doc".to_owned(), AttributeValue::S(doc.to_owned()));
    item
}

/// What of the first is not in the second, by path. Lists must be of the same length; objects may have more fields.
fn lost(stored: &Value, written: &Value, path: &str, found: &mut Vec<String>) {
    match (stored, written) {
        (Value::Object(stored), Value::Object(written)) => {
            for (name, value) in stored {
                lost(value, written.get(name).unwrap_or(&Value::Null), &format!("{path}.{name}"), found);
            }
        }
        (Value::Array(stored), Value::Array(written)) if stored.len() == written.len() => {
            for (place, (stored, written)) in stored.iter().zip(written).enumerate() {
                lost(stored, written, &format!("{path}[{place}]"), found);
            }
        }
        (stored, written) if stored == written => {}
        (stored, written) => found.push(format!("{path}: {stored} became {written}")),
    }
}

/// Rollouts that are under way when Coalmine is updated are stored like this. A field that is added later must have a
/// default, which is written from then on; anything else needs a new shape version, a golden file of its own, and code
/// that still reads this one.
#[test]
fn what_the_first_version_stored_is_read_and_nothing_of_it_is_lost() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let rollout = read_state(&stored("1", GOLDEN)).unwrap();
    assert_eq!(rollout.id, "checkout-42");
    assert!(matches!(rollout.phase, Phase::Baking { step: 0, proof: Some(_), .. }));
    let written = serde_json::to_value(&rollout).unwrap();
    let mut found = Vec::new();
    lost(&golden, &written, "rollout", &mut found);
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(read_state(&stored("1", &written.to_string())).unwrap(), rollout);
}

/// Two builds work side by side while one replaces the other, and a newer one may have to be replaced by an older one. A new kind of
/// something is no field: it raises the shape's version.
#[test]
fn a_field_that_a_newer_version_adds_is_read_over_and_left_out_again() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let rollout = read_state(&stored("1", GOLDEN)).unwrap();
    for place in [
        "",
        "/spec",
        "/spec/after",
        "/spec/alarms",
        "/spec/analysis",
        "/spec/undecided",
        "/plan",
        "/phase",
        "/history/0",
    ] {
        let mut newer = golden.clone();
        newer.pointer_mut(place).unwrap().as_object_mut().unwrap().insert("ofTomorrow".to_owned(), Value::from(1));
        let read = read_state(&stored("1", &newer.to_string())).unwrap_or_else(|error| panic!("{place}: {error}"));
        assert_eq!(read, rollout, "{place}");
    }
}

#[test]
fn an_item_is_read_back_as_it_was_written() {
    let rollout = rollout();
    let item = state_item(&rollout).unwrap();
    assert_eq!(read_state(&item).unwrap(), rollout);
    let texts = ["pk", "sk", "updated"].map(|name| item[name].as_s().unwrap().as_str());
    assert_eq!(texts, ["ROLLOUT#checkout-42", "STATE", "2026-11-21T14:09:00Z"]);
    let numbers = ["v", "rev"].map(|name| item[name].as_n().unwrap().as_str());
    assert_eq!(numbers, ["1", "5"]);
    assert!(!item.contains_key("ttl"));
}

#[test]
fn only_what_nothing_is_left_to_do_for_is_deleted_some_day() {
    let at = rollout().now;
    let ended = Phase::RolledBack { at, why: Why::Ready };
    let telling = Rollout { phase: ended.clone(), ..rollout() };
    assert!(!state_item(&telling).unwrap().contains_key("ttl"), "it has something to tell");
    let ended = Rollout { phase: ended, outbox: Vec::new(), ..rollout() };
    let ttl: i64 = state_item(&ended).unwrap()["ttl"].as_n().unwrap().parse().unwrap();
    assert_eq!(ttl - at.epoch_seconds(), 90 * 86_400);
}

#[test]
fn an_item_that_cannot_be_read_says_why() {
    let newer = "it is stored in shape 2, and this version of Coalmine reads shape 1; deploy the newer version";
    for (item, told) in [
        (stored("2", GOLDEN), newer),
        (
            stored("x", GOLDEN),
            "it is stored in shape x, and this version of Coalmine reads shape 1; deploy the newer version",
        ),
        (stored("1", "{}"), "its text cannot be read: missing field `id` at line 1 column 2"),
        (Item::new(), "attribute `v` is missing or of another type"),
        (Item::from([("v".to_owned(), number(1))]), "attribute `doc` is missing or of another type"),
    ] {
        assert_eq!(read_state(&item).unwrap_err().to_string(), told);
        if item.contains_key("doc") && told == newer {
            assert_eq!(read_sealed(&item).unwrap_err().to_string(), told);
        }
    }
    let mut broken = Item::from([("v".to_owned(), number(1))]);
    assert_eq!(read_sealed(&broken).unwrap_err().to_string(), "attribute `zip` is missing or of another type");
    broken.insert("zip".to_owned(), AttributeValue::B(Blob::new([1, 2, 3])));
    assert_eq!(read_sealed(&broken).unwrap_err().to_string(), "its minutes cannot be unpacked");
}

#[test]
fn what_could_not_be_read_again_or_does_not_fit_is_not_written() {
    let mut unreadable = rollout();
    unreadable.plan.false_rollback = f64::NAN;
    assert!(matches!(state_item(&unreadable), Err(ShapeError::Json(_))));
    let mut large = rollout();
    large.started_by = "x".repeat(LARGEST_ITEM_BYTES);
    let told = state_item(&large).unwrap_err().to_string();
    assert!(told.ends_with(" bytes, and DynamoDB takes 409600"), "{told}");
}

#[test]
fn a_day_of_minutes_fits_many_times_over() {
    let minutes: Vec<MinuteSample> =
        (0..1440).map(|i| sample(i, Count::new(1000.0 + i as f64 * 7.3, i as f64 / 3.0).unwrap())).collect();
    let item = sealed_item("a", &minutes).unwrap().unwrap();
    assert!(item["zip"].as_b().unwrap().as_ref().len() < LARGEST_ITEM_BYTES / 10);
    assert_eq!(item["sk"].as_s().unwrap(), "SEALED#0000000000");
    assert_eq!(read_sealed(&item).unwrap(), minutes);
    assert!(sealed_item("a", &[]).unwrap().is_none());
}

#[test]
fn a_decision_is_kept_under_its_revision() {
    let at = rollout().now;
    let record = DecisionRecord { at, digest: 1, verdict: Verdict::Fail, settled_before: None, tail: Vec::new() };
    let item = decision_item("a", 6, &record).unwrap();
    assert_eq!(item["sk"].as_s().unwrap(), "DECISION#0000000006");
    assert_eq!(read_zipped::<DecisionRecord>(&item).unwrap(), record);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// To the last bit: a Pass is confirmed by a digest of counts, some of which come from the store by then.
    #[test]
    fn counts_come_back_exactly(requests in 0.0..1e12_f64, share in 0.0..1.0_f64) {
        let minutes = vec![sample(7, Count::new(requests, requests * share).unwrap())];
        let item = sealed_item("a", &minutes).unwrap().unwrap();
        prop_assert_eq!(read_sealed(&item).unwrap(), minutes);
    }
}

/// Whoever may write the table may write anything: what is read of it is bounded, and its refusal is one short line.
#[test]
fn hostile_items_are_refused_in_bounded_memory_and_few_words() {
    let zip = |bytes: &[u8]| {
        let mut item = Key::state("a").attributes();
        item.insert("v".to_owned(), number(1));
        item.insert(
            "zip".to_owned(),
            AttributeValue::B(Blob::new(miniz_oxide::deflate::compress_to_vec_zlib(bytes, 9))),
        );
        item
    };
    let bomb = zip(&vec![b' '; LARGEST_UNZIPPED_BYTES + 1]);
    assert!(bytes(&bomb) < LARGEST_ITEM_BYTES, "a bomb fits into an item: {}", bytes(&bomb));
    let deep = "[".repeat(100_000);
    let evil = format!("{{\"id\": \"\u{1b}[2J\", \"{}\": 1}}", "k\u{202e}".repeat(500_000));
    for (item, said) in [
        (bomb, "its minutes cannot be unpacked"),
        (zip(deep.as_bytes()), "its text cannot be read: "),
        (stored("1", &deep), "its text cannot be read: "),
        (stored("1", &evil), "its text cannot be read: "),
        (stored(&"9".repeat(1_000_000), "{}"), "it is stored in shape 999"),
        (stored("\u{1b}[2J", "{}"), "it is stored in shape \\u{1b}[2J"),
    ] {
        let began = std::time::Instant::now();
        let error = if item.contains_key("zip") { read_sealed(&item).err() } else { read_state(&item).err() };
        let fault = crate::dynamodb::shaped(crate::dynamodb::GET_ITEM, "rollout a", error.unwrap());
        let told = fault.to_string();
        assert!(told.contains(said), "{told}");
        coalmine_core::probe::told(&told, 1000).unwrap();
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "{said}: {:?}", began.elapsed());
    }
}
