//! Evidence for harm weighed by the old version's history.

use crate::analysis::course::harm::guard_bar;
use crate::analysis::stats::guard_vectors::{assert_close, file, number, numbers, past, rows};
use crate::analysis::stats::validity::Random;
use crate::analysis::stats::{Dispersion, Exposure, PastMinute, Stratum};
use crate::analysis::{
    Count, EventHistory, GuardMode, History, HistoryMinute, Judge, JudgePlan, Lane, Learned, Samples, findings, judge,
    learn, plan,
};

use super::{errors, known, points, settled, spec, two_oclock};

/// Judged for an hour, at 1 %, for errors alone.
pub(super) fn hour_plan() -> JudgePlan {
    JudgePlan { horizon_minutes: 60, ..plan(&spec(vec![errors(points(0.5))])) }
}

/// The minutes before two o'clock.
pub(super) fn history(minutes: &[PastMinute]) -> History {
    let first = two_oclock().plus(-i64::try_from(minutes.len()).unwrap());
    let minute = |(at, past): (i64, &PastMinute)| HistoryMinute {
        minute: first.plus(at),
        measured: vec![Count::new(past.requests, past.sum).map(Into::into)],
    };
    let with_data = (0..).zip(minutes).filter(|(_, minute)| minute.requests > 0.0);
    History { minutes: with_data.map(minute).collect(), stretched: vec![None] }
}

/// A plan whose past has this dispersion at any traffic.
fn known_dispersion(dispersion: f64) -> JudgePlan {
    let mut plan = hour_plan();
    plan.checks[0].learned = Some(Learned {
        minutes: 1440,
        set_aside: Vec::new(),
        events: Some(EventHistory {
            requests: 4e6,
            events: 4e3,
            recent_requests: 0.0,
            recent_events: 0.0,
            dispersion: Dispersion {
                factor: dispersion,
                spread: 0.0,
                events_per_minute: 1e9,
                scale_minutes: 1,
                weight: 4000.0,
                regression: None,
            },
        }),
        distribution: None,
    });
    plan
}

/// The judge after each minute.
fn after_each(plan: &JudgePlan, minutes: &[Stratum], mut look: impl FnMut(&Judge<'_>, &Samples)) {
    let samples = settled(minutes.iter().map(known));
    let mut judge = Judge::new(plan, crate::analysis::Asked::Step(0));
    for sample in &samples.minutes {
        judge.see(sample, true, true);
        look(&judge, &samples);
    }
}

#[test]
fn the_lane_by_history_agrees_with_its_golden_values() {
    let file = file();
    let cases = file["cases"].as_array().unwrap();
    let mut seen = 0;
    for case in cases.iter().filter(|case| case["group"] == "lane_a_decision") {
        let (input, expected) = (&case["input"], &case["expected"]);
        let before = cases.iter().find(|before| before["id"] == input["history"]);
        let plan = match before {
            Some(before) => learn(&hour_plan(), &history(&past(&before["input"]["n"], &before["input"]["x"]))),
            None => known_dispersion(number(&expected["D_first"])),
        };
        let (mut dispersions, mut tempered, mut plain) = (Vec::new(), Vec::new(), 0.0);
        let mut first = None;
        after_each(&plan, &rows(input), |judge, samples| {
            let evidence = judge.analysis(samples).comparisons[0].evidence;
            dispersions.push(evidence.dispersion);
            tempered.push(evidence.tempered);
            plain = evidence.harm;
            if first.is_none() && judge.failed_since().is_some() {
                first = Some((dispersions.len() as u64, evidence.lane));
            }
        });
        let expected_first = expected["first_minute"].as_u64().filter(|first| *first > 0);
        assert_eq!(first, expected_first.map(|first| (first, Some(Lane::History))), "{}", case["id"]);
        let mut pairs = vec![(dispersions[0], number(&expected["D_first"]))];
        pairs.extend(tempered.iter().copied().zip(numbers(&expected["lnE_first5"])));
        if first.is_none() {
            pairs.push((*dispersions.last().unwrap(), number(&expected["D_last"])));
            pairs.push((*tempered.last().unwrap(), number(&expected["lnE_last"])));
        } else {
            // At most so far is now, when it grows to the end.
            pairs.push((plain, number(&expected["lnE_plain_last"])));
        }
        assert_close(case, &pairs);
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn the_t_test_over_minutes_has_its_golden_bar() {
    let file = file();
    let mut seen = 0;
    for case in file["cases"].as_array().unwrap().iter().filter(|case| case["group"] == "lane_b") {
        let scale_minutes = u32::try_from(case["input"]["scale"].as_u64().unwrap()).unwrap();
        let past = Dispersion { weight: number(&case["input"]["W_1"]), scale_minutes, ..Dispersion::UNKNOWN };
        let bar = &case["expected"]["ln_guard_required"];
        if bar == "off" {
            assert!(guard_bar(Some(&past)).is_infinite());
        } else {
            assert_close(case, &vec![(guard_bar(Some(&past)), number(bar))]);
        }
        seen += 1;
    }
    assert_eq!(seen, 4);
    assert!((guard_bar(None) - 10_f64.ln()).abs() < 1e-12);
}

fn minutes(count: usize, requests: f64, mut events: impl FnMut(usize) -> f64) -> Vec<PastMinute> {
    (0..count).map(|at| PastMinute::events(requests, events(at))).collect()
}

/// Independent requests, 0.1 % of which fail.
fn scattered() -> impl FnMut(usize) -> f64 {
    let mut random = Random::seeded(17);
    move |_| random.poisson(3.0)
}

#[test]
fn what_was_learned_is_said() {
    let told = |minutes: &[PastMinute]| findings(&learn(&hour_plan(), &history(minutes))).join("\n");
    let burst = |at: usize| if at % 12 == 5 { 36.0 } else { 0.0 };
    for (minutes, sentence) in [
        (
            minutes(1440, 3000.0, scattered()),
            "errors: old version, 24 hours: 4,229 of 4,320,000 requests failed; they come independently, so evidence \
             counts in full",
        ),
        (
            minutes(1440, 3000.0, |_| 0.0),
            "errors: old version, 24 hours: none of 4,320,000 requests failed; how errors come is not known, so \
             evidence is divided by 3: the first ones count for less\nerrors: none of 4,320,000 requests of the old \
             version failed in 24 hours: if the handler catches its failures and answers with a status of 500, Lambda \
             counts no error, and this check never sees one; see docs/blind-spots.md for a `rate` check that does",
        ),
        (
            minutes(59, 3000.0, scattered()),
            "errors: old version, 59 minutes: 167 of 177,000 requests failed, too little to weigh evidence by: the \
             new version must be worse in most minutes",
        ),
        (
            minutes(1440, 3000.0, burst),
            "errors: old version, 24 hours: 4,320 of 4,320,000 requests failed; they come in bursts of about 19, so \
             evidence is divided by 38",
        ),
    ] {
        assert_eq!(told(&minutes), sentence);
    }
}

#[test]
fn a_past_incident_is_set_aside_and_named() {
    let mut past = minutes(1440, 3000.0, scattered());
    for (at, minute) in past[900..920].iter_mut().enumerate() {
        *minute = PastMinute::events(3000.0, if at % 2 == 0 { 900.0 } else { 700.0 });
    }
    let learned = learn(&hour_plan(), &history(&past)).checks[0].learned.clone().unwrap();
    // 1440 minutes end at 14:00, so the 901st is 05:00 of the day.
    assert_eq!(learned.set_aside, [two_oclock().plus(-540)]);
    let dispersion = learned.events.unwrap().dispersion;
    assert!(dispersion.upper(0.25) < 1.3, "{dispersion:?}");
    let said = findings(&learn(&hour_plan(), &history(&past))).join("");
    assert!(said.ends_with("; 11-21 05:00 to 06:00 set aside as an incident"), "{said}");
}

/// Quiet functions have minutes without requests, and hardly an hour of complete long blocks: what is found there is
/// the prior, which must not count as noise that lasts.
#[test]
fn gaps_do_not_make_noise_that_lasts() {
    let mut past = minutes(1440, 3000.0, scattered());
    past.iter_mut().skip(15).step_by(16).for_each(|minute| *minute = PastMinute::default());
    let (dispersion, _) = Dispersion::learn(&past, Exposure::Events);
    assert_eq!(dispersion.scale_minutes, 1, "{dispersion:?}");
    assert!(dispersion.upper(0.25) < 1.3, "{dispersion:?}");
}

#[test]
fn the_guards_modes_differ_as_they_say() {
    let outburst = Stratum { n_c: 150.0, x_c: 30.0, n_b: 2850.0, x_b: 28.0 };
    // No catastrophe: less than five points more than five times as many.
    let milder = Stratum { n_c: 1500.0, x_c: 60.0, n_b: 28_500.0, x_b: 57.0 };
    let quiet = Stratum { n_c: 150.0, x_c: 1.0, n_b: 2850.0, x_b: 28.0 };
    let mut random = Random::seeded(18);
    let mut past = learn(&hour_plan(), &history(&minutes(1440, 30_000.0, |_| random.poisson(30.0))));
    let fails = |plan: &JudgePlan, minutes: &[Stratum]| {
        let comparison = judge(plan, &settled(minutes.iter().map(known))).comparisons.remove(0);
        comparison.evidence.lane
    };
    // One burst in one minute is harm for the fast mode alone.
    for (mode, one, two) in [
        (GuardMode::Standard, None, Some(Lane::History)),
        (GuardMode::Strict, None, Some(Lane::History)),
        (GuardMode::Fast, Some(Lane::History), Some(Lane::History)),
        (GuardMode::Off, None, None),
    ] {
        past.guard = mode;
        assert_eq!(fails(&past, &[quiet, outburst]), one, "{mode:?}");
        assert_eq!(fails(&past, &[outburst, outburst]), two, "{mode:?}");
    }
    past.guard = GuardMode::Off;
    assert_eq!(fails(&past, &[outburst; 4]), Some(Lane::Minutes));
    // A ratio of 20 is harm where one of 10 is tolerated, and none where one of 25 is.
    past.guard = GuardMode::Standard;
    for (tolerated, lane) in [(10.0, Some(Lane::History)), (25.0, None)] {
        past.tolerated_ratio = tolerated;
        assert_eq!(fails(&past, &[milder; 6]), lane, "{tolerated}");
    }
}

/// Whatever the past is: no panic, no number that is none, nothing below 1.
#[test]
fn a_hostile_past_makes_no_nonsense() {
    let odd = [0.0, -1.0, 0.3, 1.0, 1e9, 1e12, 1e300, f64::MAX, f64::MIN_POSITIVE, f64::NAN, f64::INFINITY];
    let mut random = Random::seeded(19);
    let mut pick = || odd[(random.uniform() * 11.0) as usize];
    for length in [0, 1, 2, 3, 59, 60, 400, 1440] {
        for exposure in [Exposure::Events, Exposure::Requests] {
            let past: Vec<PastMinute> =
                (0..length).map(|_| PastMinute { requests: pick(), sum: pick(), squares: pick() }).collect();
            let (dispersion, aside) = Dispersion::learn(&past, exposure);
            assert!(aside.iter().all(|first| *first < length));
            for h in odd {
                for z in [0.25, 1.0] {
                    let found = dispersion.of_contrast(h, z);
                    assert!(found >= 1.0 && found.is_finite(), "{dispersion:?} at {h}: {found}");
                }
            }
            let text = serde_json::to_string(&dispersion).unwrap();
            assert_eq!(serde_json::from_str::<Dispersion>(&text).unwrap(), dispersion);
        }
        let counts = history(&(0..length).map(|_| PastMinute::events(pick(), pick())).collect::<Vec<_>>());
        let plan = learn(&hour_plan(), &counts);
        assert!(findings(&plan).iter().all(|said| !said.contains("NaN") && !said.contains("inf")), "{plan:?}");
        let burst = Stratum { n_c: 1e9, x_c: 1e9, n_b: 1.0, x_b: 0.0 };
        let verdict = judge(&plan, &settled([known(&burst), known(&burst)]));
        assert_ne!(verdict.verdict, crate::analysis::Verdict::Pass);
    }
}

/// Two minutes that lie far apart, and minutes in no order, are no reason to reserve a century of minutes.
#[test]
fn only_the_newest_days_of_a_past_count() {
    let measured = |n: f64| vec![Count::new(n, 1.0).map(Into::into)];
    let far = HistoryMinute { minute: crate::units::Minute::from_index(i64::MIN / 2), measured: measured(7.0) };
    let minutes = history(&minutes(100, 50.0, |_| 1.0)).minutes;
    let past = History { minutes: minutes.into_iter().rev().chain([far]).collect(), stretched: Vec::new() };
    let learned = learn(&hour_plan(), &past).checks[0].learned.clone().unwrap();
    assert_eq!((learned.minutes, learned.events.unwrap().requests), (100, 5000.0));
}

/// The same counts: more is staked on the first minute of a larger weight; by history only where noise does not last.
#[test]
fn a_regression_that_begins_with_a_raise_is_seen_sooner() {
    let good = Stratum { n_c: 150.0, x_c: 1.0, n_b: 150.0, x_b: 2.0 };
    let bad = Stratum { x_c: 8.0, ..good };
    let after = |before: u16, scale_minutes: u32| {
        let mut plan = JudgePlan { horizon_minutes: 840, ..known_dispersion(2.0) };
        let learned = plan.checks[0].learned.as_mut().unwrap();
        learned.events.as_mut().unwrap().dispersion.scale_minutes = scale_minutes;
        let mut samples = settled((0..40).map(|at| known(if at < 30 { &good } else { &bad })));
        for (at, sample) in samples.minutes.iter_mut().enumerate() {
            sample.weight = super::weight(if at < 30 { before } else { 50 });
        }
        judge(&plan, &samples).comparisons[0].evidence
    };
    for (scale_minutes, lasts) in [(1, false), (15, true)] {
        let (raised, level) = (after(25, scale_minutes), after(50, scale_minutes));
        assert!(raised.harm > level.harm + 1.0, "{} {}", raised.harm, level.harm);
        if lasts {
            assert!((raised.tempered - level.tempered).abs() < 1e-12, "{} {}", raised.tempered, level.tempered);
        } else {
            assert!(raised.tempered > level.tempered + 1.0, "{} {}", raised.tempered, level.tempered);
        }
    }
}
