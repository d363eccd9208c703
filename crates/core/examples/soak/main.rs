//! The controller in made-up releases for as long as there is time: every small history first, then long ones by chance.
//!
//! `cargo run --release --example soak -- --hours 1 [--seed N] [--ticks N]` ends with status 1 at the first broken promise,
//! and prints its seed and the shortest history that breaks it.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program at a terminal: it reads its arguments, takes time, and prints"
)]

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coalmine_core::sim::histories::{Counterexample, Limits, RELEASES, Release, at_random, explore, replay, shrunk};

/// Minutes of a history by chance.
const MINUTES: u64 = 60;

/// What is looked at in full before anything by chance.
const WITHIN: [Limits; 3] = [
    Limits { minutes: 10, disturbed: 1, mishaps: 1 },
    Limits { minutes: 10, disturbed: 2, mishaps: 0 },
    Limits { minutes: 6, disturbed: 2, mishaps: 1 },
];

struct Arguments {
    hours: f64,
    /// Ends sooner, once there were so many.
    invocations: u64,
    seed: u64,
    exhaustive: bool,
}

fn main() -> ExitCode {
    let arguments = match read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(wrong) => {
            eprintln!("{wrong}\nsoak [--hours N] [--ticks N] [--seed N] [--only-random]");
            return ExitCode::from(2);
        }
    };
    let started = Instant::now();
    let done = (!arguments.exhaustive || every_history()) && by_chance(&arguments, started);
    if done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments { hours: 1.0, invocations: u64::MAX, seed: 1, exhaustive: true };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a number"));
        let wrong = |error: &dyn std::fmt::Display| format!("{word}: {error}");
        match word.as_str() {
            "--hours" => arguments.hours = value()?.parse().map_err(|error| wrong(&error))?,
            "--ticks" => arguments.invocations = value()?.parse().map_err(|error| wrong(&error))?,
            "--seed" => arguments.seed = value()?.parse().map_err(|error| wrong(&error))?,
            "--only-random" => arguments.exhaustive = false,
            _ => return Err(format!("unknown: {word}")),
        }
    }
    Ok(arguments)
}

/// Whether nothing is broken.
fn every_history() -> bool {
    println!(
        "{:<32} {:>8} {:>9} {:>8} {:>14} {:>10} {:>11}",
        "release", "minutes", "disturbed", "mishaps", "histories", "stages", "invocations"
    );
    for limits in WITHIN {
        for release in RELEASES {
            let scenario = release.scenario();
            match explore(&scenario, limits) {
                Ok(explored) => println!(
                    "{:<32} {:>8} {:>9} {:>8} {:>14} {:>10} {:>11}",
                    release.name,
                    limits.minutes,
                    limits.disturbed,
                    limits.mishaps,
                    explored.histories,
                    explored.stages,
                    explored.invocations
                ),
                Err(found) => return broken(&release, None, *found),
            }
        }
    }
    true
}

/// Whether nothing is broken. One seed after the other, on as many threads as there are cores.
fn by_chance(arguments: &Arguments, started: Instant) -> bool {
    let next = AtomicU64::new(arguments.seed);
    let (invocations, histories) = (AtomicU64::new(0), AtomicU64::new(0));
    let failed = AtomicBool::new(false);
    let until = started + Duration::from_secs_f64(arguments.hours.max(0.0) * 3_600.0);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while Instant::now() < until
                    && invocations.load(Ordering::Relaxed) < arguments.invocations
                    && !failed.load(Ordering::Relaxed)
                {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    for release in RELEASES {
                        match replay(&release.scenario(), &at_random(seed, MINUTES)) {
                            Ok(ticks) => {
                                invocations.fetch_add(ticks, Ordering::Relaxed);
                                histories.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(found) => {
                                failed.store(true, Ordering::Relaxed);
                                broken(&release, Some(seed), *found);
                            }
                        }
                    }
                }
            });
        }
    });
    let (ticks, seconds) = (invocations.into_inner(), begun.elapsed().as_secs_f64());
    #[allow(clippy::cast_precision_loss, reason = "a rate")]
    let rate = ticks as f64 / seconds / threads as f64;
    println!(
        "seeds {} to {}: {ticks} invocations in {} histories of {MINUTES} minutes, {rate:.0} a second and thread, {threads} threads",
        arguments.seed,
        next.into_inner().saturating_sub(1),
        histories.into_inner(),
    );
    !failed.into_inner()
}

fn broken(release: &Release, seed: Option<u64>, found: Counterexample) -> bool {
    let seed = seed.map(|seed| format!(", seed {seed}")).unwrap_or_default();
    println!("BROKEN: {}{seed}: {}", release.name, shrunk(&release.scenario(), found));
    false
}
