//! What must hold for any input, for fuzzing: nothing panics, no NaN comes out, impossible numbers never pass.

use crate::analysis::{
    Analysis, Bins, Comparison, Count, History, HistoryMinute, JudgePlan, Level, Measured, MinuteSample, Pair, Samples,
    Verdict, judge as judged, learn, plan, take_edges,
};
use crate::recording::Reader;
use crate::spec::{RolloutSpec, parse};
use crate::units::{Minute, Weight};

use super::{Replay, Replayer};

/// A promise that was broken.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Broken(String);

/// The default checks, and a rate of one's own.
const SPEC: &str = "coalmine: v1\ntarget: { lambda: { function: f, alias: live } }\nchecks:\n  - errors: {}\n  - latency: {}\n  \
                    - rate: { name: declined, events: { namespace: Shop, metric: A, dimensions: { V: \"{version}\" } }, \
                    requests: { namespace: Shop, metric: B, dimensions: { V: \"{version}\" } }, tolerate: 1pt }\n";

fn spec() -> Result<RolloutSpec, Broken> {
    parse(SPEC).map(|valid| valid.spec).map_err(|problems| Broken(format!("{problems:?}")))
}

/// Any bytes as a recording.
///
/// # Errors
///
/// The promise that was broken.
pub fn recording(bytes: &[u8]) -> Result<(), Broken> {
    let replayer = Replayer::new(&spec()?);
    let mut reader = Reader::default();
    let mut case: Option<Replay> = None;
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(Some(read)) = reader.read(line) else { continue };
        let text = serde_json::to_string(&read.line).map_err(|error| Broken(error.to_string()))?;
        let again = Reader::default().read(text.as_bytes());
        if again.as_ref().ok().and_then(Option::as_ref).map(|again| &again.line) != Some(&read.line) {
            return Err(Broken(format!("{text} is not read as it was written: {again:?}")));
        }
        if read.begins
            && let Some(ended) = case.take()
        {
            sound(&ended.end().analysis)?;
        }
        case.get_or_insert_with(|| replayer.begin(true)).see(read.line);
    }
    case.map_or(Ok(()), |case| sound(&case.end().analysis))
}

/// Any numbers for the judge.
///
/// # Errors
///
/// The promise that was broken.
pub fn judge(bytes: &[u8]) -> Result<(), Broken> {
    let mut dice = Dice { bytes, place: 0 };
    let spec = spec()?;
    let mut frozen = plan(&spec);
    if let Some(place) = frozen.checks.iter().position(|check| check.distribution.is_some()) {
        frozen = take_edges(&frozen, place, &[50.0, 100.0, 200.0, 400.0]);
    }
    let hostile = dice.byte().is_multiple_of(2);
    let history = history(&mut dice, &frozen, hostile);
    let frozen = learn(&frozen, &history);
    let mut minute = Minute::from_index(i64::from(dice.byte()));
    let mut minutes = Vec::new();
    while !dice.is_empty() && minutes.len() < 120 {
        // Clocks jump, also backwards.
        minute = minute.plus(i64::from(dice.byte() % 8) - 1);
        let weight = Weight::from_basis_points(u16::from(dice.byte()) * 39).unwrap_or(Weight::FULL);
        let pairs = frozen.checks.iter().map(|check| Pair {
            baseline: dice.measured(check.distribution.is_some(), hostile),
            canary: dice.measured(check.distribution.is_some(), hostile),
        });
        minutes.push(MinuteSample { minute, weight, pairs: pairs.collect() });
    }
    let first = minutes.first().map(|sample| sample.minute);
    let alone_since = (dice.byte() == 7).then(|| minute.plus(-3));
    let samples = Samples {
        minutes,
        settled_before: Some(minute.plus(1)),
        step_since: first,
        step: usize::from(dice.byte() % 5),
        alone_since,
        unread: Vec::new(),
        moving: Vec::new(),
        mixed: Vec::new(),
    };
    let analysis = judged(&frozen, &samples);
    sound(&analysis)?;
    if analysis.verdict == Verdict::Pass && impossible(&samples) {
        return Err(Broken(format!("impossible numbers pass: {analysis:?}")));
    }
    Ok(())
}

/// A past of up to two hours.
fn history(dice: &mut Dice<'_>, frozen: &JudgePlan, hostile: bool) -> History {
    let minutes = (0..i64::from(dice.byte() % 120)).map(|minute| HistoryMinute {
        minute: Minute::from_index(minute - 200),
        measured: frozen.checks.iter().map(|check| dice.measured(check.distribution.is_some(), hostile)).collect(),
    });
    History { minutes: minutes.collect(), stretched: vec![None; frozen.checks.len()] }
}

/// No minute has possible numbers of both versions for every check, so nothing can have been proven.
fn impossible(samples: &Samples) -> bool {
    let possible = |measured: &Option<Measured>| {
        measured.as_ref().is_some_and(|measured| measured.count().is_some() || measured.bins().is_some())
    };
    let checks = samples.minutes.iter().map(|sample| sample.pairs.len()).max().unwrap_or(0);
    let seen = |check: usize| {
        let pairs = samples.minutes.iter().filter_map(|sample| sample.pairs.get(check));
        pairs.filter(|pair| possible(&pair.baseline) && possible(&pair.canary)).count()
    };
    (0..checks).any(|check| seen(check) == 0)
}

/// Every number that comes out.
fn sound(analysis: &Analysis) -> Result<(), Broken> {
    for comparison in &analysis.comparisons {
        let Comparison { evidence, ratio, canary, baseline, sentence, .. } = comparison;
        let interval = ratio.map_or([0.0; 3], |ratio| [ratio.estimate, ratio.lower, ratio.upper]);
        let numbers = [
            evidence.harm,
            evidence.guard,
            evidence.catastrophe,
            evidence.promotion,
            evidence.harm_threshold,
            evidence.requests_missing.unwrap_or(0.0),
            canary.requests,
            canary.events,
            baseline.requests,
            baseline.events,
        ];
        if numbers.into_iter().chain(interval).any(f64::is_nan) || sentence.contains("NaN") {
            return Err(Broken(format!("NaN in {comparison:?}")));
        }
    }
    Ok(())
}

/// Numbers from bytes.
struct Dice<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl Dice<'_> {
    fn is_empty(&self) -> bool {
        self.place >= self.bytes.len()
    }

    /// 0 when there is nothing left.
    fn byte(&mut self) -> u8 {
        let byte = self.bytes.get(self.place).copied().unwrap_or(0);
        self.place += 1;
        byte
    }

    fn number(&mut self, hostile: bool) -> f64 {
        let small = f64::from(self.byte());
        match (self.byte() % 16, hostile) {
            (0, true) => f64::NAN,
            (1, true) => f64::INFINITY,
            (2, true) => f64::NEG_INFINITY,
            (3, true) => -small,
            (4, true) => 1e300,
            (5, true) => f64::MIN_POSITIVE,
            (6, _) => 1e9 + small,
            (7, _) => 0.0,
            (8, _) => small / 7.0,
            _ => small,
        }
    }

    fn measured(&mut self, distribution: bool, hostile: bool) -> Option<Measured> {
        match (self.byte() % 12, distribution) {
            (0, _) => None,
            (1, _) => Some(Measured::Level(Level { readings: self.number(hostile), sum: self.number(hostile) })),
            (2, _) if hostile => Some(Measured::Bins(Bins { counts: Vec::new() })),
            (_, true) => {
                let bins = if hostile { self.byte() % 8 } else { 5 };
                Some(Measured::Bins(Bins { counts: (0..bins).map(|_| self.number(hostile)).collect() }))
            }
            (_, false) => {
                let (requests, events) = (self.number(hostile), self.number(hostile));
                let events = if hostile { events } else { events.min(requests) };
                Some(Measured::Count(Count { requests, events }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::rng::Rng;

    /// As many as a few seconds allow; a fuzzer goes on from here.
    const RUNS: u64 = 150;

    #[test]
    fn random_numbers_break_no_promise() {
        for seed in 0..RUNS {
            let mut rng = Rng::new(seed);
            let length = rng.below(3000);
            let bytes: Vec<u8> = (0..length).map(|_| rng.below(256).to_le_bytes()[0]).collect();
            judge(&bytes).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        }
    }

    #[test]
    fn mutated_recordings_break_no_promise() {
        let words: [&[u8]; 14] = [
            b"NaN",
            b"-1",
            b"1e308",
            b"1e999",
            b"0",
            b"null",
            b"[]",
            b"{}",
            b"\n",
            b"\"",
            b"1e9",
            b"-0.0",
            b"canary",
            b"\"minute\":-",
        ];
        let mut read = 0;
        for seed in 0..RUNS {
            let mut rng = Rng::new(seed);
            let mut bytes = whole(&mut rng);
            for _ in 0..rng.below(12) {
                let at = usize::try_from(rng.below(bytes.len() as u64)).unwrap();
                match rng.below(3) {
                    0 => bytes[at] = rng.below(256).to_le_bytes()[0],
                    1 => drop(bytes.drain(at..(at + 9).min(bytes.len()))),
                    _ => {
                        let word = words[usize::try_from(rng.below(14)).unwrap()];
                        bytes.splice(at..at, word.iter().copied());
                    }
                }
            }
            read += usize::from(Reader::default().read(bytes.split(|byte| *byte == b'\n').next().unwrap()).is_ok());
            recording(&bytes).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        }
        assert!(read > 75, "most first lines are still read: {read}");
    }

    /// Two cases with all a line may have.
    fn whole(rng: &mut Rng) -> Vec<u8> {
        let mut text = String::new();
        for case in ["a", "b"] {
            for minute in -3..20 {
                let arm = |rng: &mut Rng| {
                    let (fast, slow) = (rng.below(900), rng.below(100));
                    format!(
                        r#"{{"requests":{n},"errors":{},"latency":{{"edgesMs":[50,100.5],"counts":[{fast},{slow},0]}},"rates":{{"declined":{{"events":1,"requests":{}}}}}}}"#,
                        rng.below(2).min(slow),
                        1 + rng.below(9),
                        n = fast + slow
                    )
                };
                let (old, new) = (arm(rng), arm(rng));
                let canary = if minute < 0 { String::new() } else { format!(r#","weight":"5%","canary":{new}"#) };
                text.push_str(&format!("{{\"case\":\"{case}\",\"minute\":{minute},\"baseline\":{old}{canary}}}\n"));
            }
        }
        text.into_bytes()
    }

    /// The list of what must never pass, one by one: every minute has it.
    #[test]
    fn impossible_numbers_never_pass() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300];
        let counts = odd.iter().flat_map(|odd| [(*odd, 0.0), (1000.0, *odd), (*odd, *odd)]);
        let spec = parse("coalmine: v1\ntarget: { lambda: { function: f, alias: live } }\nchecks: [errors: {}]\n")
            .unwrap()
            .spec;
        for (requests, events) in counts.chain([(10.0, 11.0), (0.0, 1.0)]) {
            let bad = Some(Measured::Count(Count { requests, events }));
            let good = Some(Measured::Count(Count { requests: 1e5, events: 1.0 }));
            for (baseline, canary) in [(bad.clone(), good.clone()), (good, bad.clone()), (bad.clone(), bad)] {
                let sample = |minute| MinuteSample {
                    minute: Minute::from_index(minute),
                    weight: Weight::from_share(0.5).unwrap(),
                    pairs: vec![Pair { baseline: baseline.clone(), canary: canary.clone() }],
                };
                let samples = Samples {
                    minutes: (0..60).map(sample).collect(),
                    settled_before: Some(Minute::from_index(60)),
                    step_since: Some(Minute::from_index(0)),
                    step: 2,
                    ..Samples::default()
                };
                let analysis = judged(&plan(&spec), &samples);
                assert_eq!(analysis.verdict, Verdict::Inconclusive, "{requests} {events}");
                sound(&analysis).unwrap();
            }
        }
    }

    /// The largest service of all, and one request an hour.
    #[test]
    fn extremes_are_judged() {
        for (requests, step) in [(1_000_000_000_u64, 1), (1, 60)] {
            let lines = (0..60).map(|at| {
                format!(
                    r#"{{"minute":{},"weight":"50%","baseline":{{"requests":{requests},"errors":0}},"canary":{{"requests":{requests},"errors":0}}}}"#,
                    at * step
                )
            });
            recording(lines.collect::<Vec<_>>().join("\n").as_bytes()).unwrap();
        }
    }
}
