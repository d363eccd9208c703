//! Real traffic: an hour of one production service, request by request, split at random between two versions.

use std::path::Path;
use std::process::Command;

use coalmine_core::analysis::{Bins, Count, History, HistoryMinute, JudgePlan, Measure, Measured, Pair, learn};
use coalmine_core::sim::rng::Rng;
use coalmine_core::units::Minute;

use crate::bench::Bench;
use crate::latency::{edges_of, with_edges};
use crate::sheet::{Sheet, Times, percent};
use crate::slow::{tolerating, warm};
use crate::subject::{START, Subject, plan_of};

const FILE: &str = "azure-llm-conversation-2023.csv.gz";

/// The trace: for each minute, how long its requests took.
#[derive(Debug, Clone)]
pub struct Trace {
    pub minutes: Vec<Vec<f64>>,
}

impl Trace {
    /// `None`, with the reason, where it is not to be had.
    pub fn read() -> Result<Self, String> {
        let folder = std::env::var_os("COALMINE_DATA").filter(|folder| !folder.is_empty());
        let folder = folder.ok_or("COALMINE_DATA names no folder with the trace")?;
        let path = Path::new(&folder).join(FILE);
        let unzipped = Command::new("gzip").arg("-dc").arg(&path).output().map_err(|error| format!("gzip: {error}"))?;
        if !unzipped.status.success() {
            return Err(format!("{}: {}", path.display(), String::from_utf8_lossy(&unzipped.stderr)));
        }
        let mut minutes: Vec<Vec<f64>> = Vec::new();
        for line in String::from_utf8_lossy(&unzipped.stdout).lines().skip(1) {
            let mut fields = line.split(',').map(str::parse::<f64>);
            let (Some(Ok(second)), Some(Ok(work))) = (fields.next(), fields.next()) else {
                return Err(format!("{}: not a request: {line}", path.display()));
            };
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of an hour")]
            let minute = (second / 60.0) as usize;
            minutes.resize(minutes.len().max(minute + 1), Vec::new());
            minutes[minute].push(work.max(1.0));
        }
        Ok(Self { minutes })
    }

    fn quantile(&self, share: f64) -> f64 {
        let mut all: Vec<f64> = self.minutes.iter().flatten().copied().collect();
        all.sort_by(f64::total_cmp);
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank"
        )]
        let rank = (share * (all.len() - 1) as f64) as usize;
        all.get(rank).copied().unwrap_or(1.0)
    }

    /// The plan with edges from the trace, and with the hour before: the trace once more, `hours` times, and a share of its
    /// requests failing.
    pub fn prepared(&self, plan: &JudgePlan, hours: usize, failing: f64, rng: &mut Rng) -> JudgePlan {
        let plan = with_edges(plan, |share| self.quantile(share));
        if hours == 0 {
            return plan;
        }
        let (edges, _) = edges_of(&plan);
        let past: Vec<&Vec<f64>> = (0..hours).flat_map(|_| &self.minutes).collect();
        let first = START - i64::try_from(past.len()).unwrap_or(0);
        let minutes = (first..).zip(past).map(|(minute, took)| {
            let measured = plan.checks.iter().map(|check| match check.measure {
                Measure::Distribution => Bins::new(binned(took, &edges)).map(Measured::Bins),
                Measure::Counts | Measure::Latency | Measure::Mean | Measure::Gauge => {
                    failures(took.len(), failing, rng).map(Measured::Count)
                }
            });
            HistoryMinute { minute: Minute::from_index(minute), measured: measured.collect() }
        });
        let history = History { minutes: minutes.collect(), stretched: vec![None; plan.checks.len()] };
        learn(&plan, &history)
    }
}

/// What becomes of the new version's requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    Nothing,
    /// All take so many times as long.
    Slower(f64),
    /// This share takes so many times as long.
    SlowPath(f64, f64),
    /// This share fails.
    Failing(f64),
}

/// The minute in which harm is proven when the trace is split at random.
pub fn minutes_to_fail(trace: &Trace, plan: &JudgePlan, weight: f64, change: Change, rng: &mut Rng) -> Option<usize> {
    const OLD_FAILS: f64 = 0.001;
    let mut subject = Subject::new(plan);
    let (edges, higher) = edges_of(plan);
    (1..).zip(&trace.minutes).find_map(|(number, all)| {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for took in all {
            if rng.chance(weight) {
                new.push(match change {
                    Change::Slower(factor) => took * factor,
                    Change::SlowPath(share, factor) if rng.chance(share) => took * factor,
                    Change::Nothing | Change::SlowPath(..) | Change::Failing(_) => *took,
                });
            } else {
                old.push(*took);
            }
        }
        let new_fails = if let Change::Failing(share) = change { share } else { OLD_FAILS };
        let pairs = plan.checks.iter().map(|check| match check.measure {
            Measure::Distribution => Pair {
                baseline: Bins::new(binned(&old, &edges)).map(Measured::Bins),
                canary: Bins::new(binned(&new, &higher)).map(Measured::Bins),
            },
            Measure::Counts | Measure::Latency | Measure::Mean | Measure::Gauge => {
                Pair::of(failures(old.len(), OLD_FAILS, rng), failures(new.len(), new_fails, rng))
            }
        });
        let pairs = pairs.collect();
        subject.see(weight, pairs).then_some(number)
    })
}

/// Upper-inclusive, the last bin open.
fn binned(took: &[f64], edges: &[f64]) -> Vec<f64> {
    let mut counts = vec![0.0; edges.len() + 1];
    for time in took {
        counts[edges.partition_point(|edge| edge < time)] += 1.0;
    }
    counts
}

#[allow(clippy::cast_precision_loss, reason = "requests of a minute")]
fn failures(requests: usize, share: f64, rng: &mut Rng) -> Option<Count> {
    Count::new(requests as f64, rng.binomial(requests as u64, share) as f64)
}

pub fn default_plan() -> JudgePlan {
    warm(plan_of("checks: [ errors: {}, latency: {} ]"))
}

pub fn real(bench: &Bench) -> Vec<Sheet> {
    let runs = bench.size(1000);
    let bad = (runs / 5).max(1);
    let mut sheet = Sheet::new(
        "Real traffic: 19,366 requests of an hour, split at random",
        &["history", "weight", "new version", "rolled back", "aim", "minutes", "with tolerance 0 %"],
    );
    let trace = match Trace::read() {
        Ok(trace) => trace,
        Err(why) => return vec![sheet.about(format!("SKIPPED: {why}."))],
    };
    sheet = sheet
        .about("Arrivals and work of a production service (Azure LLM inference trace 2023, conversations; CC-BY 4.0; Patel et al.,")
        .about("Splitwise, ISCA 2024): bursty, heavy-tailed, 330 requests a minute. The default checks; 0.1 % of requests made to")
        .about("fail. The history is the same hour three times over, or none. Mean / median minutes of 59.")
        .about(format!("{runs} splits of equal versions a row, {bad} of others."));
    let plan = default_plan();
    let strict = tolerating(default_plan(), 0.0);
    let changes = [
        ("the same", Change::Nothing),
        ("times × 1.1", Change::Slower(1.1)),
        ("times × 1.5", Change::Slower(1.5)),
        ("5 % slow path, × 10", Change::SlowPath(0.05, 10.0)),
        ("2 % fail", Change::Failing(0.02)),
    ];
    for (hours, past) in [(3, "3 h"), (0, "none")] {
        for (weight, (name, change)) in
            [0.05, 0.1, 0.5].into_iter().flat_map(|weight| changes.map(|change| (weight, change)))
        {
            let runs = if change == Change::Nothing { runs } else { bad };
            let row = format!("real, {past}, {weight}, {name}");
            let times = |plan: &JudgePlan, runs: u64| {
                // What is learned of the past is the same for every split.
                let plan = trace.prepared(plan, hours, 0.001, &mut Rng::new(bench.seed));
                let minutes = bench.runs(&row, runs, |rng| minutes_to_fail(&trace, &plan, weight, change, rng));
                Times::of(minutes, trace.minutes.len())
            };
            let ours = times(&plan, runs);
            let aim = match change {
                Change::Nothing => sheet.share_at_most(&row, ours.share(), runs, 0.01, "1 %"),
                Change::Slower(_) | Change::SlowPath(..) | Change::Failing(_) => String::new(),
            };
            let minutes = if change == Change::Nothing { String::new() } else { ours.shown() };
            let strictly = times(&strict, runs.min(bad));
            let strictly = if change == Change::Nothing { percent(strictly.share()) } else { strictly.shown() };
            let weight = format!("{} %", weight * 100.0);
            let cells = [percent(ours.share()), aim, minutes, strictly];
            sheet.row([past.to_owned(), weight, name.to_owned()].into_iter().chain(cells));
        }
    }
    vec![sheet]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits of real traffic between equal versions are rolled back as rarely as promised; a slow path and failures are
    /// found. Skipped where the trace is absent.
    #[test]
    fn real_traffic_is_judged_as_it_should_be() {
        use std::io::Write;
        let trace = match Trace::read() {
            Ok(trace) => trace,
            Err(why) => {
                // Not `eprintln!`: the output of a test that passes is not shown.
                return std::io::stderr().write_all(format!("SKIPPED, real traffic: {why}\n").as_bytes()).unwrap();
            }
        };
        let plan = trace.prepared(&default_plan(), 3, 0.001, &mut Rng::new(1));
        let failed = |runs: u64, weight: f64, change: Change| {
            let fails = |run| minutes_to_fail(&trace, &plan, weight, change, &mut Rng::stream(77, run)).is_some();
            (0..runs).filter(|run| fails(*run)).count()
        };
        for weight in [0.05, 0.5] {
            assert!(failed(60, weight, Change::Nothing) <= 2, "equal versions at {weight}");
        }
        assert_eq!(failed(10, 0.5, Change::Failing(0.1)), 10, "one in ten fails");
    }
}
