//! Recorded minutes as traffic: as many requests as came then, and both versions fail and take as long as they did.

use std::collections::BTreeMap;

use crate::recording::{Arm, Latency as Bins, Line, Reader, When};
use crate::sim::durations::Latency;
use crate::spec::Problem;
use crate::units::{Minute, Span};

/// A week of minutes with some hundred bins each.
pub const TRACE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Of fewer requests nobody knows the p99.
const MEASURED: f64 = 200.0;

/// Of so many requests, or so many that failed, the share is known well enough.
const COUNTED: f64 = 1_000.0;
const FAILED: f64 = 10.0;

/// So many failed requests in a minute, so many times as many as the minutes before would have had, are something new.
const JUMP: f64 = 5.0;
const JUMP_FACTOR: f64 = 4.0;

/// The longest bins of a recording are open: they are taken to be this much wider than their edge.
const OPEN_BIN: f64 = 1.5;

/// What a recording says, counted from the start of the release. What was before it comes first, at 0 seconds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trace {
    /// Requests a second.
    pub rates: Vec<(Span, f64)>,
    pub baseline: Recorded,
    pub canary: Recorded,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recorded {
    pub failing: Vec<(Span, f64)>,
    pub latency: Vec<(Span, Latency)>,
}

/// Reads a recording of one case, as `coalmine record` writes them.
///
/// # Errors
/// The first line that is wrong.
pub fn read(text: &str) -> Result<Trace, Problem> {
    let mut reader = Reader::default();
    let mut lines: Vec<Line> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let read = reader.read(line.as_bytes()).map_err(|refused| refused.problem)?;
        let Some(read) = read else { continue };
        if read.begins && !lines.is_empty() {
            let message = "a second case begins here; a trace is one";
            return Err(Problem { line: Some(number), ..Problem::at("case", message) });
        }
        lines.push(read.line);
    }
    let Some(start) = start(&lines) else { return Err(Problem::at("", "the trace is empty")) };
    Ok(of(&lines, start))
}

/// Minute 0; where minutes are times, the first with requests to the new version.
fn start(lines: &[Line]) -> Option<Minute> {
    let served = |line: &&Line| line.canary.as_ref().is_some_and(|arm| arm.requests.is_some_and(|count| count > 0.0));
    let first = lines.first()?;
    match first.minute {
        When::Number(_) => Some(Minute::from_index(0)),
        When::Time(minute) => Some(lines.iter().find(served).map_or(minute, |line| line.minute.minute())),
    }
}

fn of(lines: &[Line], start: Minute) -> Trace {
    let mut rates: BTreeMap<Option<Span>, (f64, u32)> = BTreeMap::new();
    for line in lines {
        let counted: Vec<f64> =
            [&line.baseline, &line.canary].into_iter().flatten().filter_map(|arm| arm.requests).collect();
        if !counted.is_empty() {
            let (sum, minutes) = rates.entry(place(line, start)).or_default();
            (*sum, *minutes) = (*sum + counted.iter().sum::<f64>(), *minutes + 1);
        }
    }
    let rates = rates.into_iter().map(|(at, (sum, minutes))| (at, sum / f64::from(minutes.max(1)) / 60.0));
    Trace {
        rates: in_order(rates),
        baseline: recorded(lines.iter().filter_map(|line| Some((place(line, start), line.baseline.as_ref()?)))),
        canary: recorded(lines.iter().filter_map(|line| Some((place(line, start), line.canary.as_ref()?)))),
    }
}

/// How long after the start a minute begins; `None` before it.
fn place(line: &Line, start: Minute) -> Option<Span> {
    u64::try_from(line.minute.minute().minutes_since(start)).ok().map(Span::from_minutes)
}

/// What was before the start holds at 0 s, and minute 0 from the next second on, so that the past is the past's.
fn in_order<T>(values: impl Iterator<Item = (Option<Span>, T)>) -> Vec<(Span, T)> {
    values.map(|(at, value)| (at.map_or(Span::ZERO, |at| at.max(Span::from_seconds(1))), value)).collect()
}

fn recorded<'a>(arms: impl Iterator<Item = (Option<Span>, &'a Arm)>) -> Recorded {
    let mut shares = Shares::default();
    let mut latency: BTreeMap<Option<Span>, (f64, f64, f64)> = BTreeMap::new();
    let mut gathered: Option<(Option<Span>, Bins)> = None;
    for (at, arm) in arms {
        if let (Some(requests), Some(errors)) = (arm.requests.filter(|count| *count > 0.0), arm.errors) {
            shares.add(at, requests, errors);
        }
        let Some(bins) = &arm.latency else { continue };
        let (since, whole) = gather(gathered.take(), at, bins);
        if whole.counts.iter().sum::<f64>() < MEASURED {
            gathered = Some((since, whole));
        } else if let (Some(median), Some(p99)) = (quantile(&whole, 0.5), quantile(&whole, 0.99)) {
            let (times, medians, p99s) = latency.entry(since).or_default();
            (*times, *medians, *p99s) = (*times + 1.0, *medians + median.ln(), *p99s + p99.ln());
        }
    }
    let law = |(times, medians, p99s): (f64, f64, f64)| {
        let (median, p99) = ((medians / times).exp(), (p99s / times).exp());
        Latency::of(median, p99.max(median))
    };
    Recorded {
        failing: in_order(shares.done().into_iter().map(|(at, (all, failed))| (at, (failed / all).min(1.0)))),
        latency: in_order(latency.into_iter().map(|(at, sums)| (at, law(sums)))),
    }
}

/// Which share failed when. What is counted in few requests scatters, and would scatter once more when it is drawn again, so
/// as many minutes are taken together as tell a share.
#[derive(Debug, Default)]
struct Shares {
    told: BTreeMap<Option<Span>, (f64, f64)>,
    open: Option<(Option<Span>, f64, f64)>,
}

impl Shares {
    fn add(&mut self, at: Option<Span>, requests: f64, errors: f64) {
        let begins = |(since, all, failed): (Option<Span>, f64, f64)| {
            let usual = (failed / all).max(1.0 / COUNTED) * requests;
            since.is_some() != at.is_some() || errors >= JUMP && errors > JUMP_FACTOR * usual
        };
        if self.open.is_some_and(begins) {
            self.close();
        }
        let (since, all, failed) = self.open.unwrap_or((at, 0.0, 0.0));
        let (all, failed) = (all + requests, failed + errors);
        self.open = Some((since, all, failed));
        if all >= COUNTED || failed >= FAILED {
            self.close();
        }
    }

    fn close(&mut self) {
        if let Some((since, all, failed)) = self.open.take() {
            let (requests, errors) = self.told.entry(since).or_default();
            (*requests, *errors) = (*requests + all, *errors + failed);
        }
    }

    fn done(mut self) -> BTreeMap<Option<Span>, (f64, f64)> {
        self.close();
        self.told
    }
}

/// A minute's bins with those of the minutes before it that were too few by themselves, and since when. Nothing goes from
/// the past into the release, nor from bins into others.
fn gather(before: Option<(Option<Span>, Bins)>, at: Option<Span>, bins: &Bins) -> (Option<Span>, Bins) {
    match before {
        Some((since, mut sum)) if since.is_some() == at.is_some() && sum.edges == bins.edges => {
            sum.counts.iter_mut().zip(&bins.counts).for_each(|(sum, count)| *sum += count);
            (since, sum)
        }
        Some(_) | None => (at, bins.clone()),
    }
}

/// Between the edges of its bin, evenly in the logarithm.
fn quantile(bins: &Bins, share: f64) -> Option<f64> {
    let (first, last) = (*bins.edges.first()?, *bins.edges.last()?);
    let wanted = share * bins.counts.iter().sum::<f64>();
    let uppers = bins.edges.iter().copied().chain([last * OPEN_BIN]);
    let lowers = std::iter::once(first / 2.0).chain(bins.edges.iter().copied());
    let mut below = 0.0;
    for ((lower, upper), count) in lowers.zip(uppers).zip(&bins.counts) {
        if *count > 0.0 && below + count >= wanted {
            let inside = ((wanted - below) / count).clamp(0.0, 1.0);
            return Some((lower.ln() + inside * (upper.ln() - lower.ln())).exp());
        }
        below += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) -> bool {
        (found / expected - 1.0).abs() < 0.02
    }

    #[test]
    fn a_recording_becomes_traffic() {
        let trace = read(
            r#"{"minute":-2,"baseline":{"requests":600,"errors":6}}
{"minute":-1,"baseline":{"requests":1800,"errors":6}}
{"minute":0,"weight":"5%","baseline":{"requests":2280,"errors":0},"canary":{"requests":120,"errors":12}}

{"minute":2,"canary":{"requests":60}}
"#,
        )
        .unwrap();
        let (zero, one, two) = (Span::ZERO, Span::from_seconds(1), Span::from_minutes(2));
        assert_eq!(trace.rates, [(zero, 20.0), (one, 40.0), (two, 1.0)]);
        assert_eq!(trace.baseline.failing, [(zero, 0.005), (one, 0.0)]);
        assert_eq!(trace.canary.failing, [(one, 0.1)]);
        assert_eq!(trace.baseline.latency, []);
    }

    #[test]
    fn few_requests_are_counted_together() {
        let minute = |minute: u32, errors: u32| {
            format!("{{\"minute\":{minute},\"canary\":{{\"requests\":400,\"errors\":{errors}}}}}\n")
        };
        let lines: String =
            [0, 2, 40, 0, 1, 2, 20].iter().zip(0..).map(|(errors, number)| minute(number, *errors)).collect();
        let failing = read(&lines).unwrap().canary.failing;
        let at = Span::from_minutes;
        assert_eq!(failing, [(Span::from_seconds(1), 0.0025), (at(2), 0.1), (at(3), 0.0025), (at(6), 0.05)]);
    }

    #[test]
    fn times_count_from_the_first_request_of_the_new_version() {
        let trace = read(
            r#"{"minute":"2026-11-21T14:00:00Z","baseline":{"requests":600,"errors":6}}
{"minute":"2026-11-21T14:01:00Z","baseline":{"requests":600,"errors":0},"canary":{"requests":60,"errors":0}}"#,
        )
        .unwrap();
        assert_eq!(trace.rates, [(Span::ZERO, 10.0), (Span::from_seconds(1), 11.0)]);
    }

    #[test]
    fn percentiles_are_read_off_the_bins() {
        let bins = r#""latency":{"edgesMs":[50,100,200],"counts":[500,400,90,10]}"#;
        let trace = read(&format!(r#"{{"minute":0,"baseline":{{"requests":1000,"errors":0,{bins}}}}}"#)).unwrap();
        let law = trace.baseline.latency[0].1;
        assert!(near(law.median_ms, 50.0) && near(law.median_ms * law.p99_factor(), 200.0), "{law:?}");
        let few = bins.replace("500,400,90,10", "50,40,9,1");
        let trace = read(&format!(r#"{{"minute":0,"baseline":{{"requests":100,"errors":0,{few}}}}}"#)).unwrap();
        assert_eq!(trace.baseline.latency, [], "too few to tell");
        let minutes: Vec<String> = (0..5)
            .map(|minute| format!(r#"{{"minute":{minute},"canary":{{"requests":100,"errors":0,{few}}}}}"#))
            .collect();
        let trace = read(&minutes.join("\n")).unwrap();
        let since: Vec<u64> = trace.canary.latency.iter().map(|(at, _)| at.seconds()).collect();
        assert_eq!(since, [1, 120], "two minutes together, and the fifth has none to wait for");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let said = |text: &str| read(text).unwrap_err().to_string();
        assert_eq!(said(""), "the trace is empty");
        assert!(said("{\"minute\":0}\n{\"minute\":0}").starts_with("line 2: minute: `0` is there twice"));
        let two = "{\"case\":\"a\",\"minute\":0}\n{\"case\":\"b\",\"minute\":0}";
        assert_eq!(said(two), "line 2: case: a second case begins here; a trace is one");
    }
}
