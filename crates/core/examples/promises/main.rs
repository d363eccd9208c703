//! Whether what `coalmine plan` promises is kept: numbers of a few rehearsals, as a plan counts them, held against many other
//! releases.
//!
//! `cargo run --release --example promises [-- RELEASES]`, 1,000 if no other number is given; two processors take some minutes.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a program at a terminal: it counts, and prints shares"
)]

use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use coalmine_core::sim::durations::Latency;
use coalmine_core::sim::rehearsal::{Habits, Rehearsed, Release, Stage};
use coalmine_core::spec::{self, RolloutSpec};
use coalmine_core::units::Span;

/// The three lines of the README, and a specification of errors alone.
const SPECS: [(&str, &str, f64, f64); 2] = [
    (
        "errors and latency, 40 requests/s, 0.4 % fail",
        "coalmine: v1\ntarget: { lambda: { function: checkout, alias: live } }\nalarms: [red]\n",
        40.0,
        0.004,
    ),
    (
        "errors, 100 requests/s, 0.1 % fail",
        "coalmine: v1\ntarget: { lambda: { function: orders, alias: live } }\nchecks: [ errors: { tolerate: 0.5pt } ]\nalarms: [red]\n",
        100.0,
        0.001,
    ),
];

/// As many as a plan rehearses, with its days before the start.
const REHEARSED: usize = 25;
const PASTS: u64 = 8;

/// Those that keep the promise, or do not, have seeds and days of their own.
const FIRST_SEED: u64 = 1_000_000;
const OTHER_PASTS: u64 = 100;

const LAG: Span = Span::from_minutes(3);

fn main() -> Result<(), Box<dyn Error>> {
    let releases = std::env::args().nth(1).map_or(Ok(1_000), |text| text.parse())?;
    for (name, text, per_second, error_rate) in SPECS {
        let spec = spec::parse(text).map_err(|problems| format!("{problems:?}"))?.spec;
        let latency = Latency { median_ms: 158.0, sigma: 0.6, slow_share: 0.0, slow_factor: 1.0 };
        let habits = Habits { per_second, error_rate, clusters: 1.0, latency, timeout: Span::from_seconds(3) };
        let plan = Releases::of(Stage::new(&spec, habits, LAG, PASTS)?, 1, REHEARSED)?;
        let many = Releases::of(Stage::new(&spec, habits, LAG, OTHER_PASTS)?, FIRST_SEED, releases)?;
        println!("{name}: promised by {REHEARSED} rehearsals, kept by {releases} releases\n");
        println!("| step | release | promised, min: half / 9 of 10 within | kept by, % | rolled back, % |");
        println!("|---|---|---|---|---|");
        steps(&spec, error_rate, &plan, &many)?;
        whole(&plan, &many);
    }
    Ok(())
}

/// Releases that are good until something is wrong with them.
struct Releases {
    stage: Stage,
    first_seed: u64,
    good: Vec<Rehearsed>,
}

impl Releases {
    fn of(stage: Stage, first_seed: u64, runs: usize) -> Result<Self, Box<dyn Error>> {
        let good = each(runs, |run| stage.rehearse(Release::Good, Span::ZERO, first_seed + run as u64))?;
        Ok(Self { stage, first_seed, good })
    }

    /// Minutes from the beginning of the harm, with this step, until it was rolled back.
    fn harmed(&self, release: Release, step: usize) -> Result<Vec<Option<u64>>, Box<dyn Error>> {
        let begun: Vec<(usize, Span)> =
            self.good.iter().enumerate().filter_map(|(run, good)| Some((run, *good.reached.get(step)?))).collect();
        let runs = each(begun.len(), |place| {
            let (run, from) = begun[place];
            self.stage.rehearse(release, from, self.first_seed + run as u64)
        })?;
        let back = runs.iter().zip(&begun).map(|(run, (_, from))| Some(minutes(run.rolled_back()?.minus(*from))));
        Ok(back.collect())
    }
}

fn minutes(span: Span) -> u64 {
    span.seconds().div_ceil(60)
}

fn steps(spec: &RolloutSpec, error_rate: f64, plan: &Releases, many: &Releases) -> Result<(), Box<dyn Error>> {
    for step in 0..spec.steps.len() {
        for (name, release) in [
            ("20 % fail".to_owned(), Release::Failing(0.2)),
            ("10x errors".to_owned(), Release::Failing(10.0 * error_rate)),
            ("5x errors".to_owned(), Release::Failing(5.0 * error_rate)),
            ("3x errors".to_owned(), Release::Failing(3.0 * error_rate)),
            ("2x the time".to_owned(), Release::Slower(2.0)),
        ] {
            let judged = spec.checks.iter().any(|check| matches!(check.kind, spec::CheckKind::Latency { .. }));
            if matches!(release, Release::Slower(_)) && !judged {
                continue;
            }
            let (promised, kept) = (plan.harmed(release, step)?, many.harmed(release, step)?);
            let back = share(&kept, |at| at.is_some());
            row(&format!("{} | {name}", step + 1), &promised, &kept, &format!("{back:.1}"));
        }
    }
    Ok(())
}

fn whole(plan: &Releases, many: &Releases) {
    let promoted = |releases: &Releases| -> Vec<Option<u64>> {
        releases.good.iter().map(|run| run.promoted().map(minutes)).collect()
    };
    let back = many.good.iter().filter(|run| run.rolled_back().is_some()).count();
    let back = format!("{:.1} ({back} of {})", 100.0 * back as f64 / many.good.len().max(1) as f64, many.good.len());
    row("all | as good: until all traffic", &promoted(plan), &promoted(many), &back);
    println!();
}

fn row(of: &str, promised: &[Option<u64>], kept: &[Option<u64>], back: &str) {
    let told = [0.5, 0.9].map(|part| quantile(promised, part));
    let shown = told.map(|at| at.map_or("-".to_owned(), |at| at.to_string()));
    let within = told.map(|promised| {
        let kept = promised.map(|most| share(kept, |at| at.is_some_and(|at| at <= most)));
        kept.map_or("-".to_owned(), |kept| format!("{kept:.1}"))
    });
    println!("| {of} | {} / {} | {} / {} | {back} |", shown[0], shown[1], within[0], within[1]);
}

fn share(of: &[Option<u64>], is: impl Fn(&Option<u64>) -> bool) -> f64 {
    100.0 * of.iter().filter(|at| is(at)).count() as f64 / of.len().max(1) as f64
}

/// What never happened comes after everything else.
fn quantile(of: &[Option<u64>], part: f64) -> Option<u64> {
    let mut sorted: Vec<u64> = of.iter().flatten().copied().collect();
    sorted.sort_unstable();
    sorted.get(((part * of.len() as f64).ceil() as usize).max(1) - 1).copied()
}

/// Runs by number, on all processors.
fn each<T: Send, E: Error + Send + 'static>(
    runs: usize,
    run: impl Fn(usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, Box<dyn Error>> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(runs)));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= runs {
                        break;
                    }
                    let result = run(number);
                    results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((number, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(number, _)| *number);
    Ok(results.into_iter().map(|(_, result)| result).collect::<Result<_, _>>()?)
}
