//! At 100 %: before against after, and only catastrophes count.

use crate::analysis::stats::validity::Random;
use crate::analysis::{Analysis, Count, JudgePlan, MinuteSample, Pair, Samples, Verdict, judge, passes_before, plan};
use crate::spec::{CheckMode, OnNoData};
use crate::units::Weight;

use super::{errors, known, points, rate, settled, spec, two_oclock};

/// Minutes of the rollout before all traffic went to the new version.
const BEFORE: i64 = 15;

fn default_plan() -> JudgePlan {
    plan(&spec(vec![errors(points(0.5))]))
}

fn only_new(requests: f64, events: f64) -> Pair {
    Pair::of(None, Count::new(requests, events))
}

/// `before` as both versions served it, then the new one alone.
fn watched(before: Vec<Pair>, alone: impl IntoIterator<Item = Pair>) -> Samples {
    let mut samples = settled(before);
    let since = samples.minutes.last().map_or(two_oclock(), |sample| sample.minute.plus(1));
    samples.minutes.extend((0..).zip(alone).map(|(minute, pair)| MinuteSample {
        minute: since.plus(minute),
        weight: Weight::FULL,
        pairs: vec![pair],
    }));
    Samples { step_since: None, alone_since: Some(since), ..samples }
}

fn quiet_before() -> Vec<Pair> {
    vec![super::pair(1500.0, 6.0, 1500.0, 6.0); 15]
}

fn judged(samples: &Samples) -> Analysis {
    judge(&default_plan(), samples)
}

/// Half an hour alone, with three times the errors and twice the traffic of before, and every minute's own noise: no
/// comparison is possible, and nothing of that is a catastrophe.
#[test]
fn what_a_change_of_traffic_explains_is_no_catastrophe() {
    let (mut random, plan) = (Random::seeded(21), default_plan());
    for run in 0..3000 {
        let rate = [20.0, 300.0, 3000.0][run % 3];
        let p = [0.0, 0.004, 0.02, 0.1][run % 4];
        let before: Vec<Pair> = (0..BEFORE).map(|_| known(&random.minute(rate, 0.25, p, p))).collect();
        let alone: Vec<Pair> = (0..30)
            .map(|_| {
                let noisy = (3.0 * p * (1.0 + 0.3 * random.normal()).max(0.0)).min(1.0);
                let minute = random.minute(2.0 * rate, 0.999, noisy, p);
                only_new(minute.n_c, minute.x_c)
            })
            .collect();
        let analysis = judge(&plan, &watched(before, alone));
        assert_ne!(analysis.verdict, Verdict::Fail, "{run}: {}", analysis.comparisons[0].sentence);
    }
}

/// Requests a minute, the rates before, and from which minute on how many fail: minutes until it is seen, at most.
#[test]
fn an_outage_that_begins_at_100_percent_is_seen_within_minutes() {
    let mut random = Random::seeded(22);
    for (rate, p, begins, failing, within) in
        [(3000.0, 0.004, 0, 0.5, 1), (3000.0, 0.004, 20, 0.5, 1), (3000.0, 0.01, 5, 0.2, 2), (120.0, 0.01, 10, 0.9, 3)]
    {
        for run in 0..50 {
            let before: Vec<Pair> = (0..BEFORE).map(|_| known(&random.minute(rate, 0.25, p, p))).collect();
            let mut alone = Vec::new();
            let seen = (0..30).find(|minute| {
                let rate_now = if *minute < begins { p } else { failing };
                let minute = random.minute(rate, 0.999, rate_now, p);
                alone.push(only_new(minute.n_c, minute.x_c));
                judged(&watched(before.clone(), alone.clone())).verdict == Verdict::Fail
            });
            let late = seen.map(|seen| seen + 1 - begins);
            assert!(late.is_some_and(|late| late <= within), "{rate} {p} {failing} {run}: {late:?}");
        }
    }
}

#[test]
fn it_says_that_it_is_no_comparison() {
    let sentence = |samples: &Samples| judged(samples).comparisons[0].sentence.clone();
    assert_eq!(
        sentence(&watched(quiet_before(), vec![only_new(3000.0, 1500.0); 2])),
        "50 % of new requests failed (3,000 of 6,000) since 14:15, when it got all traffic, 0.4 % of old before: a \
         catastrophe by a look at before and after, which is not a comparison"
    );
    assert_eq!(
        sentence(&watched(quiet_before(), vec![only_new(3000.0, 12.0); 2])),
        "0.4 % of new requests failed (24 of 6,000) since 14:15, when it got all traffic, 0.4 % of old before: no \
         catastrophe; a look at before and after, not a comparison"
    );
    assert_eq!(
        sentence(&watched(quiet_before(), vec![only_new(0.0, 0.0); 2])),
        "no data of the new version since 14:15, when it got all traffic"
    );
    assert_eq!(
        sentence(&watched(vec![super::pair(5.0, 0.0, 5.0, 0.0)], vec![only_new(3000.0, 3000.0); 9])),
        "100 % of new requests failed (27,000 of 27,000) since 14:01, when it got all traffic, none of 5 old before: \
         too few requests of the old version to tell a catastrophe by; only the alarms guard"
    );
}

/// `allAtOnce` has no data of the old version, and silence is not the new version's fault then.
#[test]
fn without_a_before_it_uses_nothing_and_says_so() {
    let mut plan = default_plan();
    plan.checks[0].on_no_data = OnNoData::Fail;
    let analysis = judge(&plan, &watched(Vec::new(), vec![only_new(3000.0, 3000.0); 20]));
    assert_eq!(analysis.verdict, Verdict::Inconclusive);
    assert_eq!(
        analysis.comparisons[0].sentence,
        "no data of the old version in this rollout: since 14:00 the new version has all traffic, there is nothing to \
         look back at, and only the alarms guard"
    );
}

#[test]
fn only_what_may_roll_back_does() {
    let outage = watched(quiet_before(), vec![only_new(3000.0, 1500.0); 5]);
    for (mode, verdict) in [
        (CheckMode::Enforce, Verdict::Fail),
        (CheckMode::Hold, Verdict::Inconclusive),
        (CheckMode::Observe, Verdict::Inconclusive),
    ] {
        let mut plan = default_plan();
        plan.checks[0].mode = mode;
        assert_eq!(judge(&plan, &outage).verdict, verdict, "{mode:?}");
    }
    let declined = plan(&spec(vec![rate("declined", points(2.0))]));
    assert!(judge(&declined, &outage).comparisons[0].sentence.starts_with("declined: 50 % of new requests were bad"));
    // Before it is alone, the same minutes compare nothing.
    let not_alone = Samples { alone_since: None, ..outage };
    assert_eq!(judged(&not_alone).verdict, Verdict::Inconclusive);
}

/// Where others go to 100 % before a proof is there, the minutes before that may still bring it, once all of them are read.
/// Those at 100 % prove nothing, and take nothing back but by harm.
#[test]
fn what_the_minutes_before_prove_is_told_at_full_traffic() {
    let plan = default_plan();
    let told = |before: Vec<Pair>, alone: Pair| {
        let samples = watched(before, vec![alone; 5]);
        let analysis = judge(&plan, &samples);
        assert_ne!(analysis.verdict, Verdict::Pass);
        (passes_before(&plan, &samples, &analysis), samples.alone_since)
    };
    // 5 % of the traffic each, as the weight says: where it goes elsewhere nothing passes.
    let fine = || vec![super::pair(7_500.0, 30.0, 142_500.0, 570.0); 15];
    let (ahead, alone) = told(fine(), only_new(3000.0, 12.0));
    assert_eq!((ahead, ahead.is_some()), (alone, true));
    assert_eq!(told(quiet_before(), only_new(3000.0, 12.0)).0, None, "half of the traffic");
    let too_few = vec![super::pair(15.0, 0.0, 285.0, 0.0); 15];
    assert_eq!(told(too_few, only_new(300.0, 0.0)).0, None);
    let worse = vec![super::pair(7_500.0, 300.0, 142_500.0, 570.0); 15];
    assert_eq!(told(worse, only_new(3000.0, 12.0)).0, None);
    assert_eq!(told(fine(), only_new(150_000.0, 145_000.0)).0, None, "a catastrophe");
}
