//! Faults on the wire: the real `bootstrap` behind a proxy that refuses, loses, delays, repeats and falsifies, and SIGKILL at
//! any moment. No rollout may be lost, and none may leave traffic split after its end.
//!
//! `COALMINE_WIRE_MINUTES=5 cargo test --test it wire -- --nocapture` goes on for so long, world after world, each from the
//! next seed; `COALMINE_WIRE_SEED` is the first one's.

mod checks;
mod places;
mod storm;
mod watch;
mod world;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use storm::{Report, Storm};

use crate::harness::Way;

/// Worlds at a time: they mostly wait.
const AT_ONCE: usize = 2;
/// Minutes with faults in a world in which releases follow each other, and in one with a single release for each rule:
/// the one world of the suite, and each of those that go on for as long as is asked.
const FOLLOWING: [u64; 2] = [10, 30];
const SINGLE: [u64; 2] = [6, 12];

/// A number that whoever runs the tests may say.
fn told(variable: &str) -> Option<f64> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|error| panic!("{variable} is `{text}`, and must be a number: {error}")))
}

#[test]
fn no_rollout_is_lost_and_none_left_weighted() {
    soak(Storm::on_aliases, FOLLOWING, 5);
}

#[test]
fn nor_between_target_groups() {
    soak(Storm::on_target_groups, SINGLE, 5);
}

/// One world, or as many as there is time for.
fn soak(storm: fn(u64) -> Storm, [short, stormy]: [u64; 2], seed: u64) {
    let seed = told("COALMINE_WIRE_SEED").map_or(seed, |seed| seed as u64);
    let Some(minutes) = told("COALMINE_WIRE_MINUTES") else {
        let report = storm(seed).run(short);
        return say(&[report]);
    };
    let until = Instant::now() + Duration::from_secs_f64(60.0 * minutes);
    let (next, reports) = (AtomicU64::new(seed), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while Instant::now() < until {
                    let report = storm(next.fetch_add(1, Ordering::Relaxed)).run(stormy);
                    reports.lock().expect("no world panicked").push(report);
                }
            });
        }
    });
    say(&reports.into_inner().expect("no world panicked"));
}

fn say(reports: &[Report]) {
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let mut ways: BTreeMap<Way, u64> = BTreeMap::new();
    let mut ends: BTreeMap<&String, u64> = BTreeMap::new();
    for report in reports {
        report.tally.troubles.iter().for_each(|(way, count)| *ways.entry(*way).or_default() += count);
        report.ends.iter().for_each(|(end, count)| *ends.entry(end).or_default() += count);
    }
    let text = format!(
        "worlds {}, simulated minutes {}, ticks {}, requests {}, killed {}, switches fired {}, of them left by an overlap {}\nfaults: {ways:?}\n\
         rollouts {}: {ends:?}\nfault-free minutes until all had ended: {} at most\n",
        reports.len(),
        sum(|report| report.minutes),
        sum(|report| report.ticks),
        sum(|report| report.tally.requests),
        sum(|report| report.kills),
        sum(|report| report.switches_fired),
        sum(|report| report.left_armed),
        ends.values().sum::<u64>(),
        reports.iter().map(|report| report.settled_after).max().unwrap_or_default(),
    );
    std::io::stderr().write_all(text.as_bytes()).expect("it can be written");
}
