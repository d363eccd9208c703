//! How fast the judge and the engine are: cases a second beside scipy's Mann-Whitney test on the same counts and beside a loop
//! that only reads the numbers; and what a tick costs a rollout.
//!
//! `cargo run --release --example speed [-- judge | ticks]`

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "it measures, and prints it"
)]

mod work;

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use work::{CHECKS, Case, crowd};

/// As long as each figure is measured for; the best of so many rounds is taken, for others may want the processor as well.
const ROUND: Duration = Duration::from_millis(300);
const ROUNDS: u32 = 5;

/// Ticks of a crowd that are looked at.
const TICKS: u64 = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let asked = std::env::args().nth(1);
    match asked.as_deref() {
        None => judge().and_then(|()| all_ticks()),
        Some("judge") => judge(),
        Some("ticks") => all_ticks(),
        Some(other) => Err(format!("there is no {other}; write judge, ticks or nothing").into()),
    }
}

fn judge() -> Result<(), Box<dyn Error>> {
    println!(
        "| case | judged, us | cases a second | allocations | the numbers read, us | scipy's test, us | scipy / judge |"
    );
    println!("|---|---|---|---|---|---|---|");
    for minutes in [60, 1_440] {
        for (name, checks) in CHECKS {
            let case = Case::new(checks, minutes)?;
            let (judged, read) = (time(|| case.judge()), time(|| case.read()));
            let allocations = allocation_counter::measure(|| case.judge()).count_total;
            let theirs = mann_whitney(&case)?;
            println!(
                "| {name}, {minutes} minutes | {judged:.1} | {:.0} | {allocations} | {read:.2} | {theirs:.1} | {:.1} |",
                1e6 / judged,
                theirs / judged
            );
        }
    }
    println!();
    Ok(())
}

fn all_ticks() -> Result<(), Box<dyn Error>> {
    println!(
        "| rollouts | attended in a tick | calls in a tick | for each rollout | the services' time, s | our own for each rollout, us |"
    );
    println!("|---|---|---|---|---|---|");
    for rollouts in [0, 1, 10, 100, 300, 1_000] {
        println!("{}", ticks(rollouts)?);
    }
    Ok(())
}

/// Microseconds that it takes.
fn time(work: impl Fn()) -> f64 {
    let round = || {
        let (since, mut times) = (Instant::now(), 0_u32);
        while since.elapsed() < ROUND {
            work();
            times += 1;
        }
        since.elapsed().as_secs_f64() * 1e6 / f64::from(times)
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

/// Ticks after all have begun.
fn ticks(rollouts: usize) -> Result<String, String> {
    let begun = 8 + u64::try_from(rollouts / 100).unwrap_or(0);
    let timed = |minutes: u64| {
        let since = Instant::now();
        crowd(rollouts, minutes).map(|fared| (since.elapsed(), fared))
    };
    let ((before, _), (after, fared)) = (timed(begun)?, timed(begun + TICKS)?);
    let skipped = usize::try_from(begun).map_err(|error| error.to_string())?;
    let mean = |figures: &mut dyn Iterator<Item = f64>| figures.skip(skipped).sum::<f64>() / TICKS as f64;
    let attended = mean(&mut fared.attended.iter().map(|count| *count as f64));
    let calls = mean(&mut fared.calls_in.iter().map(|count| *count as f64));
    let took = mean(&mut fared.took.iter().map(Duration::as_secs_f64));
    let each = |of: f64| if rollouts == 0 { 0.0 } else { of / attended };
    let ours = after.saturating_sub(before).as_secs_f64() * 1e6 / TICKS as f64;
    Ok(format!("| {rollouts} | {attended:.0} | {calls:.0} | {:.2} | {took:.2} | {:.0} |", each(calls), each(ours)))
}

/// Microseconds of one of scipy's tests over the error rates of the same minutes.
fn mann_whitney(case: &Case) -> Result<f64, Box<dyn Error>> {
    const SCRIPT: &str = "
import sys, timeit
from scipy.stats import mannwhitneyu
old, new = ([float(rate) for rate in line.split()] for line in sys.stdin)
test = lambda: mannwhitneyu(old, new, alternative='two-sided', method='asymptotic')
test()
print(min(timeit.repeat(test, number=50, repeat=5)) / 50 * 1e6)
";
    let mut rates = String::new();
    for version in case.rates() {
        for (requests, events) in version {
            write!(rates, "{} ", events / requests)?;
        }
        rates.push('\n');
    }
    let python = python().ok_or("scipy cannot be had: install Python with venv, and let pip reach PyPI")?;
    let mut running = Command::new(python).args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    running.stdin.take().ok_or("no standard input")?.write_all(rates.as_bytes())?;
    let printed = running.wait_with_output()?;
    Ok(String::from_utf8(printed.stdout)?.trim().parse()?)
}

/// A Python with scipy, made once below target/.
fn python() -> Option<PathBuf> {
    let target = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/bench/scipy"));
    let python = target.join("bin/python");
    let works = |command: &mut Command| command.status().is_ok_and(|status| status.success());
    let has_scipy = || works(Command::new(&python).args(["-c", "import scipy"]).stderr(Stdio::null()));
    let made = || {
        works(Command::new("python3").args(["-m", "venv"]).arg(&target))
            && works(Command::new(&python).args(["-m", "pip", "install", "--quiet", "scipy==1.16.3"]))
    };
    (has_scipy() || made()).then_some(python)
}
