//! Levels, splits, incidents from outside, and a fix that goes out while production is red.

use super::super::stats::validity::Random;
use super::super::{
    Asked, Doubt, EventHistory, Judge, Learned, Level, Measured, PlannedCheck, Verdict, findings, judge, stats,
};
use super::*;

fn metric() -> MetricRef {
    let dimensions = [("Version".to_owned(), "{version}".to_owned())].into();
    MetricRef { namespace: "Shop".to_owned(), metric: "Memory".to_owned(), dimensions }
}

/// Errors, and a gauge or a mean beside them.
fn with_level(kind: CheckKind, mode: CheckMode) -> JudgePlan {
    let level = Check { mode, on_no_data: OnNoData::Ignore, ..check("memory", kind) };
    independent(&spec(vec![errors(points(0.5)), level]))
}

fn levels(minutes: usize, new: impl Fn(usize) -> f64) -> Samples {
    let level = |mean: f64, readings| Some(Measured::Level(Level { readings, sum: mean * readings }));
    let mut samples = settled((0..minutes).map(|_| pair(150.0, 0.0, 2850.0, 0.0)));
    for (minute, sample) in samples.minutes.iter_mut().enumerate() {
        let old = 60.0 + (minute % 3) as f64;
        sample.pairs.push(Pair { baseline: level(old, 20.0), canary: level(new(minute), 4.0) });
    }
    samples
}

#[test]
fn a_gauge_that_is_higher_holds_and_never_rolls_back() {
    let plan = with_level(CheckKind::Gauge { metric: metric(), tolerate: 0.1 }, CheckMode::Hold);
    let same = judge(&plan, &levels(60, |minute| 60.5 + (minute % 2) as f64));
    assert_eq!((same.verdict, same.comparisons[1].doubt), (Verdict::Pass, None));
    let said = &same.comparisons[1].sentence;
    assert!(said.starts_with("memory: 61.0 in the new version, 61.0 in the old ("), "{said}");
    assert!(said.ends_with("not found to be more than 10 % higher, which proves nothing"), "{said}");
    let leak = levels(60, |minute| 90.0 + (minute % 2) as f64);
    let held = judge(&plan, &leak);
    assert_eq!((held.verdict, held.doubt), (Verdict::Inconclusive, Some(Doubt::LooksWorse)));
    let said = &held.comparisons[1].sentence;
    assert!(said.ends_with("; more than 10 % higher, which holds and never rolls back"), "{said}");
    let enforced = JudgePlan {
        checks: plan.checks.iter().map(|c| PlannedCheck { mode: CheckMode::Enforce, ..c.clone() }).collect(),
        ..plan.clone()
    };
    assert_eq!(judge(&enforced, &leak).verdict, Verdict::Inconclusive, "whatever the mode");
    let observed = with_level(CheckKind::Gauge { metric: metric(), tolerate: 0.1 }, CheckMode::Observe);
    assert_eq!(judge(&observed, &leak).verdict, Verdict::Pass);
}

#[test]
fn a_mean_is_shown_and_decides_nothing() {
    let plan = with_level(CheckKind::Mean { metric: metric() }, CheckMode::Observe);
    let analysis = judge(&plan, &levels(60, |minute| 900.0 + (minute % 2) as f64));
    assert_eq!(analysis.verdict, Verdict::Pass);
    let said = &analysis.comparisons[1].sentence;
    assert!(said.starts_with("memory: 901 in the new version, 61.0 in the old (+8"), "{said}");
    assert!(said.ends_with("99 % sure); shown only, decides nothing"), "{said}");
    for broken in [f64::NAN, f64::INFINITY, -1e300] {
        let analysis = judge(&plan, &levels(30, |_| broken));
        assert_eq!(analysis.comparisons[1].level, None, "{broken}");
    }
}

/// Minutes of steps at 5, 25 and 50 % with this true share of each weight.
fn steps(random: &mut Random, minutes: usize, per_minute: f64, deviation: f64) -> Samples {
    let mut samples = settled((0..minutes).map(|_| MISSING));
    for (number, sample) in samples.minutes.iter_mut().enumerate() {
        let percent = [5, 25, 50][(number * 3 / minutes).min(2)];
        sample.weight = weight(percent);
        let share = f64::from(percent) / 100.0 * deviation;
        sample.pairs = vec![known(&random.minute(per_minute, share, 0.0, 0.0))];
    }
    samples
}

const MISSING: Pair = Pair { baseline: None, canary: None };

#[test]
fn a_split_as_stated_is_not_suspected_over_a_day() {
    let plan = independent(&spec(vec![errors(points(0.5))]));
    let mut random = Random::seeded(17);
    for per_minute in [30.0, 3000.0, 1e6] {
        for run in 0..20 {
            let samples = steps(&mut random, 1440, per_minute, 1.0);
            let mut watch = Judge::new(&plan, Asked::Step(0));
            for sample in &samples.minutes {
                watch.see(sample, true, true);
            }
            assert_eq!(watch.analysis(&samples).split, None, "{per_minute} {run}");
        }
    }
}

/// Lambda has no datapoint of a minute without a request, so a quiet canary's minutes are missing just when it got fewest.
#[test]
fn a_quiet_canary_is_no_split() {
    let plan = independent(&spec(vec![errors(points(0.5))]));
    let mut random = Random::seeded(23);
    for (per_minute, percent) in [(60.0, 1), (100.0, 5), (10.0, 50), (1000.0, 1), (30.0, 99)] {
        let mut samples = settled((0..1440).map(|_| {
            let seen = random.minute(per_minute, f64::from(percent) / 100.0, 0.0, 0.0);
            let count = |requests: f64| Count::new(requests, 0.0).filter(|_| requests > 0.0);
            Pair::of(count(seen.n_b), count(seen.n_c))
        }));
        samples.minutes.iter_mut().for_each(|sample| sample.weight = weight(percent));
        assert_eq!(judge(&plan, &samples).split.map(|split| split.sentence), None, "{per_minute} at {percent} %");
    }
}

#[test]
fn a_split_that_is_off_holds_and_says_so() {
    let plan = independent(&spec(vec![errors(points(0.5))]));
    let mut random = Random::seeded(19);
    for (per_minute, within) in [(3000.0, 6), (300.0, 20)] {
        let mut samples = steps(&mut random, 3 * within, per_minute, 1.6);
        samples.minutes.truncate(within);
        let analysis = judge(&plan, &samples);
        assert_eq!((analysis.verdict, analysis.doubt), (Verdict::Inconclusive, Some(Doubt::SplitUnexpected)));
        let found = analysis.split.unwrap();
        assert_eq!(found.weight, weight(5));
        assert!(found.sentence.contains(" of requests went to the new version ("), "{}", found.sentence);
        assert!(found.sentence.contains("), the weight says 5%") || found.sentence.contains("the weight says 5 %"));
        // Widened, it is borne.
        let wide = JudgePlan { split_tolerance: 1.0, ..plan.clone() };
        assert_eq!(judge(&wide, &samples).split, None);
        // What is on its way from one weight to another is not judged.
        let moving = Samples { moving: vec![(two_oclock(), two_oclock().plus(1000))], ..samples.clone() };
        assert_eq!(judge(&plan, &moving).split, None);
    }
    // Harm is proven all the same.
    let broken = settled(vec![pair(400.0, 200.0, 2600.0, 2.0); 10]);
    let analysis = judge(&plan, &broken);
    assert_eq!(analysis.verdict, Verdict::Fail);
    assert!(analysis.split.is_some());
}

/// Callers who are kept where they were make a share that follows the weight late or never.
#[test]
fn where_callers_may_be_sticky_the_split_says_nothing() {
    let mut samples = settled((0..60).map(|_| pair(30.0, 0.0, 2970.0, 3.0)));
    samples.minutes.iter_mut().for_each(|sample| sample.weight = weight(50));
    let found = |stickiness: Stickiness| {
        judge(&independent(&behind_balancer(stickiness, vec![errors(points(0.5))])), &samples).split
    };
    let sentence = found(Stickiness::Refuse).unwrap().sentence;
    assert!(sentence.starts_with("1 % of requests went to the new version (1,"), "{sentence}");
    assert!(sentence.contains("reach one of the versions in another way, are they sticky"), "{sentence}");
    assert_eq!(found(Stickiness::DisableOnRollback), None);
}

/// New targets get their share of the traffic little by little.
#[test]
fn a_slow_start_is_a_warm_up() {
    let of = |wished: Option<Span>, slow_start: u64| {
        let kind = CheckKind::Latency { tolerate: 0.05, at: vec![Quantile(0.5)], warm_up: wished };
        let plan = plan(&spec(vec![check("latency", kind)]));
        plan.started_slowly(Span::from_seconds(slow_start)).warm_up().minutes
    };
    assert_eq!([of(None, 0), of(None, 30), of(None, 90), of(None, 900)], [1, 1, 2, 15]);
    assert_eq!(of(Some(Span::from_minutes(5)), 90), 5, "the longer one");
    assert_eq!(of(Some(Span::ZERO), 900), 0, "the spec wants none");
}

/// A past of a day with this share of errors.
fn learned(events: f64) -> Option<Learned> {
    let past = EventHistory {
        requests: 4_320_000.0,
        events,
        recent_requests: 3000.0,
        recent_events: events / 1440.0,
        dispersion: stats::Dispersion { factor: 1.0, spread: 0.05, weight: 1000.0, ..stats::Dispersion::UNKNOWN },
    };
    Some(Learned { minutes: 1440, set_aside: Vec::new(), events: Some(past), distribution: None })
}

fn with_past(events: f64) -> JudgePlan {
    let mut plan = independent(&spec(vec![errors(points(0.5))]));
    plan.checks[0].learned = learned(events);
    plan
}

#[test]
fn what_happens_to_both_versions_is_not_held_against_the_new_one() {
    let plan = with_past(12_960.0);
    let analysis = judge(&plan, &settled(vec![pair(150.0, 3.0, 2850.0, 60.0); 30]));
    assert_ne!(analysis.verdict, Verdict::Fail);
    let said = &analysis.comparisons[0].sentence;
    let clause = "; both versions fail more often than before the rollout (2.1 % against 0.3 %): an outside incident or \
                  something both share, not held against the new version";
    assert!(said.ends_with(clause), "{said}");
    for pairs in [
        // As before; only the old one; only the new one.
        vec![pair(150.0, 0.0, 2850.0, 9.0); 30],
        vec![pair(150.0, 0.0, 2850.0, 60.0); 30],
        vec![pair(150.0, 15.0, 2850.0, 9.0); 30],
    ] {
        let said = judge(&plan, &settled(pairs)).comparisons[0].sentence.clone();
        assert!(!said.contains("both versions"), "{said}");
    }
}

/// Without a history the rollout's own first minutes are what was before; with one, an incident that began late is not
/// drowned by the hours before it.
#[test]
fn an_incident_that_begins_during_the_rollout_is_told_from_its_newest_minutes() {
    let minutes = |quiet: usize, loud: usize| {
        let quiet = vec![pair(500.0, 1.0, 2500.0, 5.0); quiet];
        settled(quiet.into_iter().chain(vec![pair(500.0, 10.0, 2500.0, 50.0); loud]))
    };
    let said = |plan: &JudgePlan, samples: &Samples| judge(plan, samples).comparisons[0].sentence.clone();
    let fresh = independent(&spec(vec![errors(points(0.5))]));
    let clause = |since: &str, rate: &str| {
        format!(
            "; both versions fail more often than {since} in the last 10 minutes ({rate} against 0.2 %): an outside \
             incident or something both share, not held against the new version"
        )
    };
    let found = said(&fresh, &minutes(20, 10));
    assert!(found.ends_with(&clause("in the rollout's first minutes", "2 %")), "{found}");
    // As bad from the first minute on: nothing tells what was before.
    assert!(!said(&fresh, &minutes(0, 30)).contains("both versions fail"));
    let learned = with_past(8640.0);
    let found = said(&learned, &minutes(400, 10));
    assert!(found.ends_with(&clause("before the rollout", "2 %")), "{found}");
    for plan in [fresh, learned] {
        assert!(!said(&plan, &minutes(40, 0)).contains("both versions fail"));
    }
}

/// The old version fails 30 % of its requests, the new one is the cure.
#[test]
fn a_fix_goes_out_while_production_is_red() {
    for plan in [with_past(4320.0), with_past(1_296_000.0), independent(&spec(vec![errors(points(0.5))]))] {
        let mut random = Random::seeded(23);
        let minutes = (0..10).map(|_| known(&random.minute(3000.0, 0.05, 0.001, 0.3)));
        let analysis = judge(&plan, &settled(minutes));
        assert_eq!(analysis.verdict, Verdict::Pass, "{}", analysis.comparisons[0].sentence);
    }
}

#[test]
fn a_handler_that_may_swallow_its_errors_is_named() {
    let warned = |plan: &JudgePlan| findings(plan).iter().any(|said| said.contains("docs/blind-spots.md"));
    assert!(warned(&with_past(0.0)));
    assert!(!warned(&with_past(5.0)));
    let mut short = with_past(0.0);
    if let Some(learned) = &mut short.checks[0].learned {
        learned.minutes = 120;
    }
    assert!(!warned(&short));
    assert!(!warned(&independent(&spec(vec![errors(points(0.5))]))));
    // A load balancer counts the status that callers get.
    let behind = plan(&behind_balancer(Stickiness::Refuse, vec![errors(points(0.5))]));
    assert!(!warned(&JudgePlan { checks: with_past(0.0).checks, ..behind }));
}
