//! Verdicts, doubts and sentences.

use proptest::prelude::*;

use crate::analysis::{Analysis, Count, Doubt, JudgePlan, Measure, MinuteSample, Pair, Samples, Verdict, judge, plan};
use crate::spec::{CheckMode, Margins, OnNoData, Tolerance};

use super::{errors, independent, latency, pair, points, rate, settled, spec, two_oclock, weight};

const MISSING: Pair = Pair { baseline: None, canary: None };

fn default_plan() -> JudgePlan {
    independent(&spec(vec![errors(points(0.5))]))
}

fn healthy(minutes: usize) -> Vec<Pair> {
    vec![pair(150.0, 1.0, 2850.0, 19.0); minutes]
}

fn broken(minutes: usize) -> Vec<Pair> {
    vec![pair(150.0, 6.0, 2850.0, 12.0); minutes]
}

fn sentence(plan: &JudgePlan, samples: &Samples) -> String {
    judge(plan, samples).comparisons[0].sentence.clone()
}

#[test]
fn what_is_proven_decides() {
    for (pairs, verdict, doubt) in [
        (healthy(30), Verdict::Pass, None),
        (broken(10), Verdict::Fail, None),
        (healthy(1), Verdict::Inconclusive, Some(Doubt::TooLittleTraffic)),
        (broken(2), Verdict::Inconclusive, Some(Doubt::LooksWorse)),
        (vec![MISSING; 9], Verdict::Inconclusive, Some(Doubt::NoData)),
        (Vec::new(), Verdict::Inconclusive, Some(Doubt::NoData)),
        // Thousands of requests, but fewer than two minutes at this weight.
        (vec![pair(15_000.0, 60.0, 15_000.0, 60.0); 1], Verdict::Inconclusive, Some(Doubt::TooLittleTraffic)),
        (vec![pair(15_000.0, 60.0, 15_000.0, 60.0); 2], Verdict::Pass, None),
        // Known, but nobody came.
        (vec![pair(0.0, 0.0, 28.0, 2.0); 9], Verdict::Inconclusive, Some(Doubt::TooLittleTraffic)),
        (vec![pair(0.0, 0.0, 2850.0, 12.0); 9], Verdict::Inconclusive, Some(Doubt::SplitUnexpected)),
        // Only the new version is known.
        (vec![Pair { baseline: None, ..pair(150.0, 1.0, 0.0, 0.0) }; 9], Verdict::Inconclusive, Some(Doubt::NoData)),
    ] {
        let analysis = judge(&default_plan(), &settled(pairs.clone()));
        assert_eq!(
            (analysis.verdict, analysis.doubt),
            (verdict, doubt),
            "{} minutes of {:?}",
            pairs.len(),
            pairs.first()
        );
    }
}

/// Which is more than the charts' lines being drawn: the verdict is the same, and what is full is proven.
#[test]
fn the_numbers_for_charts_are_full_when_it_is_proven() {
    for (pairs, harm, proof) in [(healthy(30), 0.0..1.0, 1.0..f64::MAX), (broken(10), 1.0..f64::MAX, 0.0..0.01)] {
        let analysis = judge(&default_plan(), &settled(pairs));
        let found = analysis.found();
        assert_eq!(found.verdict, analysis.verdict);
        assert!(harm.contains(&found.harm.unwrap()) && proof.contains(&found.proof.unwrap()), "{found:?}");
    }
    let nothing = judge(&default_plan(), &settled(vec![MISSING; 9])).found();
    assert_eq!((nothing.harm, nothing.proof), (None, None));
}

#[test]
fn sentences_have_both_numbers_then_the_ratio_then_how_sure() {
    let cases = [
        (
            broken(6),
            "4 % of new requests failed (36 of 900), 0.42 % of old: 9.5 times as often [4.0 to 21], 99 % sure; proven \
             worse",
        ),
        (
            healthy(30),
            "0.67 % of new requests failed (30 of 4,500), 0.67 % of old: 1.0 times as often [0.4 to 1.9], 99 % sure; no \
             worse than +2 points: proven",
        ),
        (
            healthy(2),
            "0.67 % of new requests failed (2 of 300), 0.67 % of old: 1.0 times as often [0.02 to 6.2], 99 % sure; no \
             worse than +2 points: not proven yet, so far 51 % of the evidence needed, about 170 more requests of the \
             new version to come",
        ),
        (
            vec![pair(150.0, 0.0, 2850.0, 0.0)],
            "none of 150 new requests failed, none of 2,850 old; no worse than +2 points: not proven yet, so far none \
             of the evidence needed, about 190 more requests of the new version to come",
        ),
        (
            broken(2),
            "4 % of new requests failed (12 of 300), 0.42 % of old: 9.5 times as often [2.1 to 35], 99 % sure; looks \
             worse, not proven: so far 74 % of the evidence needed",
        ),
        (
            vec![pair(150.0, 5.0, 2850.0, 36.0)],
            "3.3 % of new requests failed (5 of 150), 1.3 % of old: 2.6 times as often [0.3 to 10.9], 99 % sure; looks \
             worse, not proven: so far none of the evidence needed",
        ),
        (
            vec![pair(150.0, 75.0, 2850.0, 0.0)],
            "50 % of new requests failed (75 of 150), none of 2,850 old: at least 143 times as often, 99 % sure; proven \
             worse",
        ),
        (vec![Pair { canary: None, ..pair(0.0, 0.0, 2850.0, 12.0) }; 3], "no data of the new version since 14:00"),
        (vec![Pair { baseline: None, ..pair(150.0, 0.0, 0.0, 0.0) }; 3], "no data of the old version since 14:00"),
        (vec![MISSING; 3], "no data of either version since 14:00"),
        (Vec::new(), "no data of either version since 14:00"),
    ];
    let (said, expected): (Vec<String>, Vec<&str>) =
        cases.into_iter().map(|(pairs, expected)| (sentence(&default_plan(), &settled(pairs)), expected)).unzip();
    assert_eq!(said, expected);
    for said in said {
        assert!(!["p-value", "e-value", "score"].iter().any(|word| said.contains(word)), "{said}");
    }
}

/// What only a person may decide on says so, and what is so badly known is not given as a number.
#[test]
fn sentences_say_what_follows_in_each_mode() {
    let ends = |mode, ending: &str| {
        let mut plan = default_plan();
        plan.checks[0].mode = mode;
        let said = sentence(&plan, &settled(broken(12)));
        assert!(said.ends_with(ending), "{said}");
    };
    ends(CheckMode::Enforce, " % sure; proven worse");
    ends(CheckMode::Hold, "; proven worse, which holds but does not roll back (mode: hold)");
    ends(CheckMode::Observe, "; proven worse, which is only shown (mode: observe)");
    let rare = vec![pair(15_000.0, 150.0, 285_000.0, 1.0); 2];
    let said = sentence(&default_plan(), &settled(rare));
    assert!(said.contains(", 0.0004 % of old: at least 356 times as often, 99 % sure; "), "{said}");
    let better = vec![pair(1500.0, 0.0, 2850.0, 28.0); 5];
    let said = sentence(&default_plan(), &settled(better));
    assert!(said.starts_with("none of 7,500 new requests failed, 0.98 % of old: at most 0."), "{said}");
    let nobody = vec![pair(0.0, 0.0, 0.0, 0.0); 3];
    let said = sentence(&default_plan(), &settled(nobody));
    assert!(said.starts_with("no requests of both versions to compare yet; "), "{said}");
}

#[test]
fn no_share_is_below_none() {
    for (share, expected) in [(-0.0, "0 %"), (-1e-9, "0 %"), (f64::NAN, "0 %"), (0.0, "0 %"), (1e-4, "0.01 %")] {
        assert_eq!(crate::analysis::percent(share), expected);
    }
}

#[test]
fn checks_of_the_users_own_are_named() {
    let plan = independent(&spec(vec![rate("declined", points(2.0))]));
    let said = sentence(&plan, &settled(vec![pair(100.0, 30.0, 1000.0, 30.0); 5]));
    assert!(said.starts_with("declined: 30 % of new requests were bad (150 of 500), 3 % of old: 10.0 times"), "{said}");
}

#[test]
fn an_outage_fails_in_the_first_minute_of_data() {
    // 50 requests a second, 5 % of them on the new version, half of those fail.
    for checks in [vec![errors(points(0.5))], vec![errors(points(0.5)), rate("declined", points(2.0)), latency()]] {
        let plan = independent(&spec(checks));
        assert_eq!(judge(&plan, &settled([pair(150.0, 75.0, 2850.0, 12.0)])).verdict, Verdict::Fail);
    }
}

/// A Fail needs only closed minutes; a Pass needs settled ones.
#[test]
fn harm_is_seen_in_unsettled_minutes_and_proof_is_not() {
    let plan = default_plan();
    for settled_before in [None, Some(two_oclock())] {
        let judged = |pairs| judge(&plan, &Samples { settled_before, ..settled(pairs) });
        assert_eq!(judged(broken(10)).verdict, Verdict::Fail);
        let fine = judged(healthy(200));
        assert_eq!(fine.verdict, Verdict::Inconclusive);
        assert!(fine.comparisons[0].evidence.promotion.abs() < 1e-12);
    }
}

#[test]
fn a_proof_needs_minutes_of_the_present_step() {
    let plan = default_plan();
    let at = |step_since| judge(&plan, &Samples { step_since, ..settled(healthy(60)) });
    assert_eq!(at(Some(two_oclock().plus(58))).verdict, Verdict::Pass);
    let soon = at(Some(two_oclock().plus(59)));
    assert_eq!((soon.verdict, soon.doubt), (Verdict::Inconclusive, Some(Doubt::StillBaking)));
    assert!(soon.comparisons[0].sentence.ends_with("proven, once there are 2 minutes of data at this weight"));
    assert_eq!(at(Some(two_oclock().plus(60))).doubt, Some(Doubt::NoData));
    assert_eq!(at(None).verdict, Verdict::Inconclusive);
}

/// Each step proves its own tolerance; past the last one that one stays.
#[test]
fn the_step_chooses_the_tolerance() {
    let plan = default_plan();
    let shown = |step| judge(&plan, &Samples { step, ..settled(healthy(12)) }).comparisons[0].tolerance.to_string();
    assert_eq!([0, 1, 2, 3].map(shown), ["+2 points", "+1 point", "+0.5 points", "+0.5 points"]);
    assert_eq!(judge(&plan, &settled(healthy(12))).verdict, Verdict::Pass);
    assert_eq!(judge(&plan, &Samples { step: 2, ..settled(healthy(12)) }).verdict, Verdict::Inconclusive);
}

/// A later look must not un-prove what was proven, whatever comes after.
#[test]
fn once_proven_worse_stays_proven() {
    let plan = default_plan();
    let mut pairs = broken(10);
    let first = (1..=10).find(|&minutes| judge(&plan, &settled(broken(minutes))).verdict == Verdict::Fail).unwrap();
    for _ in 0..500 {
        pairs.push(pair(150.0, 0.0, 2850.0, 60.0));
    }
    for minutes in first..pairs.len() {
        let analysis = judge(&plan, &settled(pairs[..minutes].iter().cloned()));
        assert_eq!(analysis.verdict, Verdict::Fail, "after {minutes} minutes");
        let evidence = analysis.comparisons[0].evidence;
        assert!(evidence.harm >= evidence.harm_threshold && evidence.guard >= evidence.guard_threshold);
    }
}

#[test]
fn modes_decide_what_a_check_may_do() {
    let with_mode = |mode| {
        let mut plan = independent(&spec(vec![errors(points(0.5)), rate("declined", points(2.0))]));
        plan.checks[1].mode = mode;
        let mut samples = settled(healthy(40));
        samples.minutes.iter_mut().for_each(|sample| sample.pairs.push(pair(150.0, 30.0, 2850.0, 28.0)));
        judge(&plan, &samples)
    };
    let enforced = with_mode(CheckMode::Enforce);
    assert_eq!((enforced.verdict, enforced.comparisons[1].verdict), (Verdict::Fail, Verdict::Fail));
    let held = with_mode(CheckMode::Hold);
    assert_eq!((held.verdict, held.doubt), (Verdict::Inconclusive, Some(Doubt::LooksWorse)));
    assert_eq!(held.comparisons[1].verdict, Verdict::Inconclusive);
    assert!(held.comparisons[1].sentence.ends_with("; proven worse, which holds but does not roll back (mode: hold)"));
    let observed = with_mode(CheckMode::Observe);
    assert_eq!((observed.verdict, observed.comparisons[1].verdict), (Verdict::Pass, Verdict::Fail));
}

#[test]
fn on_no_data_says_what_silence_counts_as() {
    let verdict = |mode, on_no_data, silent_minutes: i64| {
        let mut plan = independent(&spec(vec![errors(points(0.5)), rate("declined", points(2.0))]));
        plan.checks[1].mode = mode;
        plan.checks[1].on_no_data = on_no_data;
        let mut samples = settled(healthy(40));
        samples.step_since = Some(two_oclock().plus(40 - silent_minutes));
        samples.minutes.iter_mut().for_each(|sample| sample.pairs.push(MISSING));
        let analysis = judge(&plan, &samples);
        (analysis.verdict, analysis.doubt)
    };
    let no_data = (Verdict::Inconclusive, Some(Doubt::NoData));
    for (mode, on_no_data, silent_minutes, expected) in [
        (CheckMode::Enforce, OnNoData::Hold, 40, no_data),
        (CheckMode::Enforce, OnNoData::Fail, 4, no_data),
        (CheckMode::Enforce, OnNoData::Fail, 5, (Verdict::Fail, None)),
        (CheckMode::Hold, OnNoData::Fail, 40, no_data),
        (CheckMode::Enforce, OnNoData::Ignore, 40, (Verdict::Pass, None)),
        (CheckMode::Observe, OnNoData::Fail, 40, (Verdict::Pass, None)),
    ] {
        assert_eq!(verdict(mode, on_no_data, silent_minutes), expected, "{mode:?} {on_no_data:?} {silent_minutes}");
    }
    let mut plan = default_plan();
    plan.checks[0].on_no_data = OnNoData::Fail;
    let said = sentence(&plan, &settled(vec![MISSING; 5]));
    assert_eq!(said, "no data of either version since 14:00, which fails this check (onNoData: fail)");
}

/// A read that failed says nothing about whether there is data; the next one may show all of it.
#[test]
fn a_failed_read_is_not_silence() {
    let mut plan = default_plan();
    plan.checks[0].on_no_data = OnNoData::Fail;
    let unread = vec!["GetMetricData was throttled".to_owned()];
    let analysis = judge(&plan, &Samples { unread, ..settled(vec![MISSING; 9]) });
    assert_eq!((analysis.verdict, analysis.doubt), (Verdict::Inconclusive, Some(Doubt::NoData)));
}

/// No data is never good news: a plan in which nothing is left that could prove anything does not pass.
#[test]
fn nothing_to_prove_with_is_no_pass() {
    let mut ignoring = default_plan();
    ignoring.checks[0].on_no_data = OnNoData::Ignore;
    let mut observing = default_plan();
    observing.checks[0].mode = CheckMode::Observe;
    for (plan, samples) in [
        (independent(&spec(Vec::new())), settled(healthy(60))),
        (independent(&spec(vec![latency()])), settled(healthy(60))),
        (ignoring, settled(vec![MISSING; 60])),
        (observing, settled(healthy(60))),
    ] {
        let analysis = judge(&plan, &samples);
        assert_eq!((analysis.verdict, analysis.doubt), (Verdict::Inconclusive, Some(Doubt::NoData)));
    }
    let said = sentence(&independent(&spec(vec![latency()])), &settled(healthy(3)));
    assert_eq!(said, "latency: no data of either version since 14:00");
}

#[test]
fn unreadable_numbers_are_missing() {
    for hostile in [
        Count { requests: f64::NAN, events: 0.0 },
        Count { requests: 100.0, events: f64::NAN },
        Count { requests: f64::INFINITY, events: 0.0 },
        Count { requests: -100.0, events: -200.0 },
        Count { requests: 100.0, events: 101.0 },
        Count { requests: 1e300, events: 1e300 },
    ] {
        let hostile = Pair { canary: Some(hostile.into()), ..pair(0.0, 0.0, 2850.0, 12.0) };
        let analysis = judge(&default_plan(), &settled(vec![hostile.clone(); 10]));
        assert_eq!((analysis.verdict, analysis.doubt), (Verdict::Inconclusive, Some(Doubt::NoData)), "{hostile:?}");
        let mut mixed = broken(10);
        mixed.insert(3, hostile);
        assert_eq!(judge(&default_plan(), &settled(mixed)).verdict, Verdict::Fail);
    }
}

#[test]
fn a_minute_counts_once() {
    let plan = default_plan();
    let once = settled(healthy(10));
    let mut twice = once.clone();
    twice.minutes = once.minutes.iter().flat_map(|sample| [sample.clone(), sample.clone()]).collect();
    twice.minutes.push(once.minutes[0].clone());
    assert_eq!(judge(&plan, &twice).comparisons, judge(&plan, &once).comparisons);
}

#[test]
fn the_digest_is_that_of_the_settled_counts() {
    let plan = independent(&spec(vec![errors(points(0.5)), latency()]));
    let digest = |samples: &Samples| judge(&plan, samples).settled_digest;
    let base = Samples { settled_before: Some(two_oclock().plus(8)), ..settled(healthy(10)) };
    let changed = |minute: usize, pair: Pair| {
        let mut samples = base.clone();
        samples.minutes[minute].pairs[0] = pair;
        digest(&samples)
    };
    assert_eq!(digest(&base.clone()), digest(&base));
    assert_eq!(changed(8, MISSING), digest(&base), "an unsettled minute");
    assert_eq!(changed(7, pair(150.0, 1.0, 2850.0, 19.0)), digest(&base), "the same counts");
    let others = [
        changed(7, MISSING),
        changed(7, pair(150.0, 0.0, 2850.0, 19.0)),
        changed(7, pair(150.0, 1.0, 2850.0, 18.0)),
        changed(7, pair(151.0, 1.0, 2850.0, 19.0)),
        changed(6, pair(150.0, 0.0, 2850.0, 19.0)),
        digest(&Samples { settled_before: Some(two_oclock().plus(7)), ..base.clone() }),
        digest(&Samples { minutes: base.minutes[1..].to_vec(), ..base.clone() }),
    ];
    let mut all = others.to_vec();
    all.push(digest(&base));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), others.len() + 1, "all different");
}

/// Weight steps together with a changing error rate mislead totals; the minutes do not.
#[test]
fn drift_with_weight_steps_is_not_harm() {
    let early = pair(150.0, 0.0, 2850.0, 10.0);
    let late = pair(1500.0, 60.0, 1500.0, 60.0);
    let samples = settled((0..40).map(|minute| if minute < 20 { early.clone() } else { late.clone() }));
    let analysis = judge(&default_plan(), &samples);
    assert_ne!(analysis.verdict, Verdict::Fail);
    let said = &analysis.comparisons[0].sentence;
    assert!(said.contains(": minute by minute 1.0 times as often"), "{said}");
}

#[test]
fn plans_share_the_budget_and_widen_early_tolerances() {
    let mut all = spec(vec![
        errors(points(0.5)),
        latency(),
        rate("a", points(2.0)),
        rate("b", Tolerance { factor: 1.5, points: 0.0 }),
    ]);
    all.checks[3].mode = CheckMode::Hold;
    let shares = |spec: &crate::spec::RolloutSpec| plan(spec).checks.iter().map(|c| c.alpha_share).collect::<Vec<_>>();
    assert_eq!(
        plan(&all).checks.iter().map(|c| c.measure).collect::<Vec<_>>(),
        [Measure::Counts, Measure::Distribution, Measure::Counts, Measure::Counts]
    );
    for (share, expected) in shares(&all).into_iter().zip([4.0 / 9.0, 4.0 / 9.0, 1.0 / 9.0, 0.0]) {
        assert!((share - expected).abs() < 1e-12, "{:?}", shares(&all));
    }
    all.checks[3].mode = CheckMode::Enforce;
    for (share, expected) in shares(&all).into_iter().zip([0.4, 0.4, 0.1, 0.1]) {
        assert!((share - expected).abs() < 1e-12, "{:?}", shares(&all));
    }
    let tolerances = |spec: &_, check: usize| {
        plan(spec).checks[check].tolerances.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(tolerances(&all, 0), ["+2 points", "+1 point", "+0.5 points"]);
    assert_eq!(tolerances(&all, 3), ["3 times", "2 times", "1.5 times"]);
    assert_eq!(tolerances(&all, 1), ["1.05 times"; 3], "how much slower is no harm depends on no weight");
    let margins = |spec: &_| {
        let distribution = plan(spec).checks[1].distribution.clone().unwrap();
        distribution.at.iter().flat_map(|at| at.margins.clone()).map(|m| (1e4 * m).round()).collect::<Vec<_>>()
    };
    // p50: 20, 10, 5 points; p99: 4, 2, 1.
    assert_eq!(margins(&all), [2000.0, 1000.0, 500.0, 398.0, 199.0, 99.0]);
    all.margins = Margins::Strict;
    assert_eq!(tolerances(&all, 0), ["+1 point", "+1 point", "+0.5 points"]);
    assert_eq!(margins(&all), [1000.0, 1000.0, 500.0, 199.0, 199.0, 99.0]);
    all.steps.clear();
    assert_eq!(tolerances(&all, 0), ["+0.5 points"]);
    assert_eq!(plan(&all).horizon_minutes, 14 * 60);
}

/// A check that only holds has no part of the budget, and is judged all the same.
#[test]
fn a_plan_without_enforced_checks_is_sound() {
    let mut only_held = spec(vec![errors(points(0.5))]);
    only_held.checks[0].mode = CheckMode::Hold;
    let plan = plan(&only_held);
    assert!(plan.checks[0].alpha_share.abs() < f64::EPSILON);
    assert_eq!(judge(&plan, &settled(broken(10))).doubt, Some(Doubt::LooksWorse));
    assert_eq!(judge(&plan, &settled(healthy(60))).verdict, Verdict::Pass);
}

/// Infinite ratios survive being stored.
#[test]
fn analyses_survive_json() {
    for pairs in [vec![pair(150.0, 75.0, 2850.0, 0.0)], healthy(5), Vec::new()] {
        let analysis = judge(&default_plan(), &settled(pairs));
        let text = serde_json::to_string(&analysis).unwrap();
        let back: Analysis = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (back.verdict, back.doubt, back.settled_digest),
            (analysis.verdict, analysis.doubt, analysis.settled_digest)
        );
        let unbounded = |analysis: &Analysis| analysis.comparisons[0].ratio.map(|ratio| ratio.upper.is_infinite());
        assert_eq!(unbounded(&back), unbounded(&analysis));
        assert_eq!(back.comparisons[0].sentence, analysis.comparisons[0].sentence);
    }
}

fn any_count() -> impl Strategy<Value = Option<Count>> {
    let number = prop_oneof![
        Just(0.0),
        Just(1.0),
        Just(1e9),
        Just(f64::MAX),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(-1.0),
        0.0..1000.0_f64
    ];
    prop::option::weighted(0.8, (number.clone(), number).prop_map(|(requests, events)| Count { requests, events }))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    /// Whatever comes in, a verdict comes out, without NaN, and never a Pass on fewer than two usable minutes.
    #[test]
    fn any_samples_get_a_sound_verdict(
        pairs in prop::collection::vec((any_count(), any_count(), -5..200_i64), 0..40),
        settled_before in prop::option::of(0..200_i64),
        step_since in prop::option::of(0..200_i64),
        step in 0..5_usize,
        alone_since in prop::option::of(0..200_i64),
    ) {
        let minutes = pairs.iter().map(|&(baseline, canary, minute)| MinuteSample {
            minute: two_oclock().plus(minute),
            weight: weight(5),
            pairs: vec![Pair::of(baseline, canary)],
        });
        let samples = Samples {
            minutes: minutes.collect(),
            settled_before: settled_before.map(|minute| two_oclock().plus(minute)),
            step_since: step_since.map(|minute| two_oclock().plus(minute)),
            step,
            alone_since: alone_since.map(|minute| two_oclock().plus(minute)),
            moving: Vec::new(),
            mixed: Vec::new(),
            unread: Vec::new(),
        };
        let analysis = judge(&default_plan(), &samples);
        let comparison = &analysis.comparisons[0];
        for value in [comparison.evidence.harm, comparison.evidence.guard, comparison.evidence.catastrophe, comparison.evidence.promotion] {
            prop_assert!(value.is_finite());
        }
        prop_assert!(!comparison.sentence.contains("NaN") && !comparison.sentence.contains("inf"), "{}", comparison.sentence);
        let usable = samples.minutes.iter().filter(|sample| {
            let pair = &sample.pairs[0];
            let (baseline, canary) = pair.counts();
            canary.is_some_and(|c| c.requests > 0.0) && baseline.is_some_and(|c| c.requests > 0.0)
        });
        if analysis.verdict == Verdict::Pass {
            prop_assert!(usable.count() >= 2);
            prop_assert!(samples.settled_before.is_some() && samples.step_since.is_some());
        }
        prop_assert_eq!(analysis.doubt.is_some(), analysis.verdict == Verdict::Inconclusive);
    }
}
