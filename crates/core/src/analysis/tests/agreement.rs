//! However the judge is asked, it says the same; and whatever it is given, what it says can be stored and read again.

use crate::analysis::stats::validity::Random;
use crate::analysis::{
    Analysis, Asked, Bins, Doubt, History, HistoryMinute, Judge, Level, Measured, SplitFound, Verdict, choose_edges,
    judge, learn,
};

use super::*;

const EDGES: [(f64, f64); 5] = [(0.05, 20.0), (0.5, 100.0), (0.9, 300.0), (0.99, 900.0), (0.999, 2000.0)];

/// Every kind of check, in the modes that make a difference.
fn every_kind(random: &mut Random) -> JudgePlan {
    let metric = || MetricRef { namespace: "Shop".to_owned(), metric: "Level".to_owned(), dimensions: [].into() };
    let gauge = CheckKind::Gauge { metric: metric(), tolerate: 0.1 };
    let quiet =
        |name: &str, kind| Check { mode: CheckMode::Observe, on_no_data: OnNoData::Ignore, ..check(name, kind) };
    let mut checks = vec![
        errors(points(0.5)),
        latency(),
        rate("lost", points(1.0)),
        Check { mode: CheckMode::Hold, ..check("memory", gauge) },
        quiet("mean", CheckKind::Mean { metric: metric() }),
    ];
    for check in checks.iter_mut().take(3) {
        check.mode = [CheckMode::Enforce, CheckMode::Enforce, CheckMode::Hold, CheckMode::Observe][any(random, 4)];
        check.on_no_data = [OnNoData::Hold, OnNoData::Fail, OnNoData::Ignore][any(random, 3)];
    }
    checks.truncate(1 + any(random, 5));
    let plan = plan(&spec(checks));
    let plan = choose_edges(&plan, 1, &EDGES);
    JudgePlan { independent: any(random, 2) == 0, ..plan }
}

fn any(random: &mut Random, below: usize) -> usize {
    ((random.uniform() * below as f64) as usize).min(below - 1)
}

/// One version's minute of each check.
type Minute = dyn Fn(&mut Random, usize, f64) -> Option<Measured>;

fn believable(random: &mut Random, check: usize, requests: f64) -> Option<Measured> {
    if any(random, 12) == 0 {
        return None;
    }
    let n = random.poisson(requests);
    Some(match check {
        1 => {
            let shares = [0.05, 0.45, 0.4, 0.09, 0.009, 0.0009, 0.0001];
            Bins::new(shares.map(|share| random.poisson(requests * share)).to_vec()).unwrap().into()
        }
        3 | 4 => Level { readings: n.max(1.0), sum: 60.0 * n.max(1.0) }.into(),
        _ => Count::new(n, random.poisson(0.004 * n).min(n)).unwrap().into(),
    })
}

/// What no CloudWatch would say.
fn hostile(random: &mut Random, check: usize, requests: f64) -> Option<Measured> {
    const NUMBERS: [f64; 12] =
        [f64::NAN, f64::INFINITY, -1.0, -0.0, 0.0, 1e-300, 0.5, 1e9, 1e12, 1e300, f64::MAX, f64::NEG_INFINITY];
    let mut number = || NUMBERS[any(random, NUMBERS.len())];
    match any_of(&mut number, check) {
        Some(measured) => Some(measured),
        None => believable(random, check, requests),
    }
}

fn any_of(number: &mut impl FnMut() -> f64, check: usize) -> Option<Measured> {
    if number() > 0.9 {
        return None;
    }
    Some(match check {
        1 => Bins { counts: (0..7).map(|_| number()).collect() }.into(),
        3 | 4 => Level { readings: number(), sum: number() }.into(),
        _ => Count { requests: number(), events: number() }.into(),
    })
}

/// A rollout that rises and falls and rises again, with steps of its own length.
fn rollout(random: &mut Random, plan: &JudgePlan, minute: &Minute) -> Samples {
    let (mut now, mut minutes) = (weight(5), Vec::new());
    for at in 0..40 + any(random, 40) as i64 {
        if any(random, 12) == 0 {
            now = weight([1, 5, 25, 50][any(random, 4)]);
        }
        let share = now.share();
        let mut of = |check: usize, share: f64| minute(random, check, 3000.0 * share);
        let pairs = (0..plan.checks.len())
            .map(|check| Pair { baseline: of(check, 1.0 - share), canary: of(check, share) })
            .collect();
        minutes.push(MinuteSample { minute: two_oclock().plus(at), weight: now, pairs });
    }
    let end = two_oclock().plus(minutes.len() as i64);
    Samples {
        settled_before: Some(end.plus(-(any(random, 6) as i64))),
        step_since: Some(two_oclock().plus(any(random, 30) as i64)),
        minutes,
        ..Samples::default()
    }
}

#[test]
fn online_and_afresh_and_for_every_step_the_verdict_is_the_same() {
    let mut random = Random::seeded(91);
    let (mut passed, mut failed) = (0, 0);
    for run in 0..150 {
        let plan = every_kind(&mut random);
        let mut samples = rollout(&mut random, &plan, &believable);
        let mut online = Judge::new(&plan, Asked::EveryStep);
        for sample in &samples.minutes {
            let in_step = samples.step_since.is_none_or(|since| sample.minute >= since);
            online.see(sample, in_step, samples.settled_before.is_some_and(|before| sample.minute < before));
        }
        for step in 0..4 {
            samples.step = step;
            let afresh = judge(&plan, &samples);
            assert_eq!(online.analysis(&samples), afresh, "{run} {step}");
            assert_eq!(online.passes(step), afresh.verdict == Verdict::Pass, "{run} {step}: {afresh:?}");
            passed += usize::from(afresh.verdict == Verdict::Pass);
            failed += usize::from(afresh.verdict == Verdict::Fail);
        }
    }
    assert!(passed > 20, "{passed} passed, {failed} failed: these rollouts tell nothing");
}

fn reads_back(analysis: &Analysis) {
    let text = serde_json::to_string(analysis).unwrap();
    let again: Analysis = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(serde_json::to_string(&again).unwrap(), text);
    for bad in ["NaN", "inf"] {
        let said = analysis.comparisons.iter().map(|comparison| comparison.sentence.as_str());
        let split = analysis.split.iter().map(|split: &SplitFound| split.sentence.as_str());
        assert!(said.chain(split).all(|sentence| !sentence.contains(bad)), "{text}");
    }
}

#[test]
fn hostile_minutes_and_histories_are_stored_and_read_again() {
    let mut random = Random::seeded(92);
    for run in 0..150 {
        let plan = every_kind(&mut random);
        let checks = plan.checks.len();
        let minutes = (-200..0).map(|at| HistoryMinute {
            minute: two_oclock().plus(at),
            measured: (0..checks).map(|check| hostile(&mut random, check, 3000.0)).collect(),
        });
        let history = History { minutes: minutes.collect(), stretched: vec![None; checks] };
        let plan = learn(&plan, &history);
        let text = serde_json::to_string(&plan).unwrap();
        let read: JudgePlan = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{run} {error}: {text}"));
        assert_eq!(serde_json::to_string(&read).unwrap(), text, "{run}");
        let mut samples = rollout(&mut random, &read, &hostile);
        for alone in [None, Some(two_oclock().plus(30))] {
            samples.alone_since = alone;
            reads_back(&judge(&read, &samples));
        }
    }
}

/// A minute of which one version is missing in every check proves nothing, however much came before the step.
#[test]
fn nothing_passes_in_a_step_without_data() {
    let mut random = Random::seeded(93);
    for run in 0..60 {
        let mut plan = every_kind(&mut random);
        plan.checks.iter_mut().for_each(|check| check.on_no_data = OnNoData::Hold);
        let mut samples = rollout(&mut random, &plan, &believable);
        let since = samples.step_since.unwrap();
        for sample in samples.minutes.iter_mut().filter(|sample| sample.minute >= since) {
            let canary = any(&mut random, 2) == 0;
            sample.pairs.iter_mut().for_each(|pair| if canary { pair.canary = None } else { pair.baseline = None });
        }
        let judged = judge(&plan, &samples);
        assert_ne!(judged.verdict, Verdict::Pass, "{run}");
        assert!(judged.verdict == Verdict::Fail || judged.doubt >= Some(Doubt::NoData), "{run}: {:?}", judged.doubt);
    }
}
