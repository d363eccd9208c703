use std::collections::BTreeSet;

use coalmine_core::engine::{Start, begin};
use coalmine_core::sim::contract;
use coalmine_core::sim::executor::run_now;
use coalmine_core::spec;
use coalmine_core::units::Timestamp;

use super::*;

/// Pending, with its target free; it names an alarm.
fn rollout() -> Rollout {
    let text = "{coalmine: v1, target: {lambda: {function: checkout, alias: live}}, alarms: [checkout-5xx]}";
    let spec = spec::parse(text).unwrap().spec;
    begin(&Start {
        id: "checkout-42".to_owned(),
        plan: coalmine_core::analysis::plan(&spec),
        learned: false,
        guest: None,
        spec,
        baseline: Version("41".to_owned()),
        canary: Version("42".to_owned()),
        code_hash: String::new(),
        lag: Span::from_minutes(3),
        request_timeout: Span::from_seconds(3),
        behind: None,
        alarms_muted: BTreeSet::new(),
        by: "ada".to_owned(),
        now: Timestamp::from_epoch_seconds(1_795_000_020),
    })
}

/// A folder of its own for each test.
fn state(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("coalmine-run-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("state");
    drop(std::fs::remove_file(&path));
    path
}

#[test]
fn the_file_keeps_what_every_store_promises() {
    let store = FileStore::open(&state("contract")).unwrap();
    run_now(contract::store(&store, &rollout())).unwrap().unwrap();
}

#[test]
fn what_was_saved_is_there_after_the_file_was_opened_again() {
    let path = state("again");
    let (first, rollout) = (FileStore::open(&path).unwrap(), rollout());
    run_now(first.create(&rollout)).unwrap().unwrap();
    drop(first);
    let second = FileStore::open(&path).unwrap();
    assert_eq!(run_now(second.load("checkout-42")).unwrap().unwrap(), Some(rollout.clone()));
    assert_eq!(run_now(second.holder(&rollout.spec.target)).unwrap().unwrap().as_deref(), Some("checkout-42"));
}

#[test]
fn what_ended_long_ago_is_forgotten_and_nothing_that_has_anything_left_to_do() {
    let path = state("forgets");
    let store = FileStore::open(&path).unwrap();
    let at = |minutes| rollout().now + Span::from_minutes(minutes);
    let over = |id: &str, minutes| Rollout {
        id: id.to_owned(),
        phase: Phase::Promoted { at: at(minutes) },
        outbox: Vec::new(),
        ..rollout()
    };
    let telling = Rollout { outbox: rollout().outbox, detach_at: Some(at(0)), ..over("telling", 0) };
    let runs = Rollout { id: "runs".to_owned(), ..rollout() };
    for kept in [over("old", 0), over("older", 1), over("new", 10), telling, runs] {
        run_now(store.create(&kept)).unwrap().unwrap();
        let minute = coalmine_core::analysis::MinuteSample {
            minute: coalmine_core::units::Minute::from_index(7),
            weight: coalmine_core::units::Weight::ZERO,
            pairs: Vec::new(),
        };
        run_now(store.seal(&kept.id, &[minute])).unwrap().unwrap();
    }
    assert_eq!((store.forget(at(5)).unwrap(), store.forget(at(5)).unwrap()), (2, 0));
    drop(store);
    let store = FileStore::open(&path).unwrap();
    for (id, kept) in [("old", false), ("older", false), ("new", true), ("telling", true), ("runs", true)] {
        assert_eq!(run_now(store.load(id)).unwrap().unwrap().is_some(), kept, "{id}");
        assert_eq!(run_now(store.sealed(id)).unwrap().unwrap().len(), usize::from(kept), "{id}");
    }
    // The target is still held by the one that runs.
    assert_eq!(run_now(store.holder(&rollout().spec.target)).unwrap().unwrap().as_deref(), Some("runs"));
}

#[test]
fn two_processes_do_not_share_a_file() {
    let path = state("shared");
    let _held = FileStore::open(&path).unwrap();
    let refused = FileStore::open(&path).unwrap_err();
    assert!(refused.to_string().starts_with("another `coalmine run` has it open"), "{refused}");
}

#[test]
fn a_file_that_is_no_state_is_left_as_it_is() {
    let path = state("foreign");
    std::fs::write(&path, "coalmine: v1\n".repeat(1_000)).unwrap();
    assert!(matches!(FileStore::open(&path).unwrap_err(), OpenError::Broken(_)));
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("coalmine: v1\n"));
}

/// Whoever watches a pipeline's log must not read the same twice.
#[test]
fn every_event_is_said_once() {
    let (mut told, mut rollout) = (Told::default(), rollout());
    let first = told.news(&rollout, None);
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(first[0].contains("started by ada"), "{first:?}");
    assert_eq!(told.news(&rollout, None), Vec::<String>::new());
    rollout.history.push(rollout.history[0].clone());
    rollout.events_total += 1;
    assert_eq!(told.news(&rollout, None), first);
}
