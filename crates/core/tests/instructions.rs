//! How many instructions the judge and the engine take, counted by valgrind: unlike times, the same on a busy machine. Whoever
//! makes one of them dearer by a tenth sees it here, and writes down the new number with a reason, or finds a cheaper way.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a test")]

#[allow(dead_code, reason = "the example needs more of it")]
#[path = "../examples/speed/work.rs"]
mod work;

use std::process::Command;

use work::{CHECKS, Case, crowd};

/// Of unoptimised dependencies and a little optimised core, as tests are built; in millions.
const EXPECTED: [(&str, u64); 4] = [
    ("50 hours of errors are judged", 57),
    ("10 hours of errors and latency are judged", 48),
    ("a day of errors and latency is judged", 216),
    ("20 rollouts are looked after for 10 minutes", 664),
];

/// Names the work to a process that is counted.
const WORK: &str = "COALMINE_WORK";

/// So much more or less is another compiler's, or chance.
const TOLERANCE: f64 = 0.1;

fn work_of(name: &str) {
    let judge = |checks: usize, minutes, times: u32| {
        let case = Case::new(CHECKS[checks].1, minutes).unwrap();
        (0..times).for_each(|_| case.judge());
    };
    match EXPECTED.iter().position(|(known, _)| *known == name) {
        Some(0) => judge(0, 60, 50),
        Some(1) => judge(1, 60, 10),
        Some(2) => judge(1, 1_440, 1),
        Some(3) => drop(crowd(20, 10).unwrap()),
        _ => panic!("{name}"),
    }
}

/// Of this program, while it does nothing but this work.
fn instructions(name: &str) -> u64 {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(std::env::current_exe().unwrap());
    valgrind.args(["--exact", "what_is_counted", "--ignored", "--test-threads", "1"]);
    let run = valgrind.env(WORK, name).output();
    let run = run.expect("valgrind is there (Debian, Ubuntu: apt-get install valgrind)");
    let told = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{}{told}", String::from_utf8_lossy(&run.stdout));
    let collected = told.lines().find_map(|line| line.split("Collected :").nth(1));
    collected.unwrap_or_else(|| panic!("{told}")).trim().parse::<u64>().unwrap()
}

#[test]
#[ignore = "the work itself, which the other test runs under valgrind"]
fn what_is_counted() {
    work_of(&std::env::var(WORK).unwrap());
}

#[test]
fn the_judge_and_the_engine_take_no_more_instructions_than_they_did() {
    let counted: Vec<(&str, u64)> = EXPECTED.iter().map(|(name, _)| (*name, instructions(name) / 1_000_000)).collect();
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let differs = |expected: u64, found: u64| (found as f64 / expected as f64 - 1.0).abs() > TOLERANCE;
    let other = EXPECTED.iter().zip(&counted).any(|((_, expected), (_, found))| differs(*expected, *found));
    assert!(!other, "millions of instructions: {counted:?}, and were {EXPECTED:?}");
}
