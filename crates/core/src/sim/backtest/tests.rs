use std::collections::BTreeSet;

use super::*;
use crate::analysis::{Bins, Count, Measured};
use crate::recording::{Arm, Latency, When};
use crate::sim::rng::Rng;
use crate::units::Weight;

const DELAY: Delay = Delay { lag: Span::from_minutes(3), timeout: Span::from_seconds(3) };
const EDGES: [f64; 6] = [40.0, 80.0, 120.0, 200.0, 400.0, 1_000.0];

fn spec(more: &str) -> RolloutSpec {
    let text = format!("coalmine: v1\ntarget: {{ lambda: {{ function: shop, alias: live }} }}\n{more}");
    crate::spec::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}")).spec
}

/// Minutes of one version: failures come alone, or `together` at a time.
fn recorded(minutes: i64, requests: u64, failing: f64, together: u64, seed: u64) -> Vec<Line> {
    let mut rng = Rng::new(seed);
    let shares = [0.3, 0.35, 0.2, 0.1, 0.035, 0.01];
    (0..minutes)
        .map(|minute| {
            let served = rng.poisson(requests as f64);
            let errors = (rng.poisson(served as f64 * failing / together as f64) * together).min(served);
            let (mut left, mut share_left) = (served, 1.0);
            let mut counts: Vec<f64> = Vec::new();
            for share in shares {
                let found = rng.binomial(left, share / share_left);
                (left, share_left) = (left - found, share_left - share);
                counts.push(found as f64);
            }
            counts.push(left as f64);
            let arm = Arm {
                requests: Some(served as f64),
                errors: Some(errors as f64),
                latency: Some(Latency { edges: EDGES.to_vec(), counts }),
                ..Arm::default()
            };
            let minute = When::Number(minute);
            Line { case: None, minute, weight: None, baseline: Some(arm), canary: None }
        })
        .collect()
}

fn tried(backtest: &Backtest, runs: u64, change: Option<Change>) -> Tally {
    let trials: Vec<Trial> = (0..runs).flat_map(|number| backtest.tried(number, &[change])).collect();
    Tally::of(&trials)
}

fn splitter(change: Option<Change>, together: f64, seed: u64) -> Splitter {
    Splitter { together, change, chance: Rng::stream(seed, 1), harm: Rng::stream(seed, 2) }
}

#[test]
fn a_split_keeps_what_there_was() {
    let spec = spec("");
    let (plan, minutes) = crate::analysis::replay::past(plan(&spec), &recorded(200, 900, 0.02, 1, 5));
    let weight = Weight::from_basis_points(2_500).unwrap();
    let (mut canary, mut all) = (0.0, 0.0);
    let mut splitter = splitter(None, 1.0, 9);
    for minute in &minutes {
        let pairs = splitter.split(&plan, &minute.measured, weight);
        let (Some(old), Some(new)) = pairs[0].counts() else { panic!("both have requests") };
        let Some(Measured::Count(count)) = &minute.measured[0] else { panic!("errors are counted") };
        assert!((old.requests + new.requests - count.requests).abs() < 1e-9, "{count:?}");
        assert!((old.events + new.events - count.events).abs() < 1e-9, "{count:?}");
        (canary, all) = (canary + new.requests, all + count.requests);
        let both = [&pairs[1].baseline, &pairs[1].canary].map(|half| half.as_ref().unwrap().bins().unwrap().requests());
        let Some(Measured::Bins(bins)) = &minute.measured[1] else { panic!("latency is counted") };
        assert!((both[0] + both[1] - bins.requests()).abs() < 1e-6, "{bins:?}");
    }
    // Five standard errors.
    let off = (0.25 * 0.75 / all).sqrt() * 5.0;
    assert!((canary / all - 0.25).abs() < off, "{}", canary / all);
}

/// What CloudWatch interpolates is no whole number, and nothing gets lost by it.
#[test]
fn fractions_and_clusters_are_split_without_a_rest() {
    let spec = spec("checks: [errors: {}]\n");
    let plan = plan(&spec);
    let half = Weight::from_basis_points(5_000).unwrap();
    for together in [1.0, 7.0] {
        let mut splitter = splitter(None, together, 3);
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let all = Count::new(100.5, 14.25).unwrap();
            let pairs = splitter.split(&plan, &[Some(Measured::Count(all))], half);
            let (old, new) = pairs[0].counts();
            let (old, new) = (old.unwrap(), new.unwrap());
            assert!(
                (old.requests + new.requests - 100.5).abs() < 1e-9 && (old.events + new.events - 14.25).abs() < 1e-9
            );
            assert!(new.events >= 0.0 && new.events <= new.requests && old.events <= old.requests, "{new:?} {old:?}");
            seen.insert((new.events * 4.0).round() as i64);
        }
        // Two groups of seven, and a quarter: eight ways at most to share them, against dozens.
        assert_eq!(seen.len() <= 6, together > 1.0, "{together}: {seen:?}");
    }
}

#[test]
fn what_is_made_worse_is_as_much_worse_as_it_says() {
    let spec = spec("");
    let (plan, minutes) = crate::analysis::replay::past(plan(&spec), &recorded(400, 900, 0.02, 1, 6));
    let half = Weight::from_basis_points(5_000).unwrap();
    let rates = |change: Change| {
        let (mut old, mut new, mut slow) = ((0.0, 0.0), (0.0, 0.0), [(0.0, 0.0); 2]);
        let mut splitter = splitter(Some(change), 1.0, 4);
        for minute in &minutes {
            let pairs = splitter.split(&plan, &minute.measured, half);
            let (Some(one), Some(other)) = pairs[0].counts() else { panic!("both have requests") };
            old = (old.0 + one.events, old.1 + one.requests);
            new = (new.0 + other.events, new.1 + other.requests);
            for (sums, half) in slow.iter_mut().zip([&pairs[1].baseline, &pairs[1].canary]) {
                let bins: &Bins = half.as_ref().unwrap().bins().unwrap();
                *sums = (sums.0 + bins.counts[3..].iter().sum::<f64>(), sums.1 + bins.requests());
            }
        }
        (old.0 / old.1, new.0 / new.1, slow.map(|(above, all)| above / all))
    };
    let (old, new, _) = rates(Change::Times { check: 0, times: 2.5 });
    assert!((new / old - 2.5).abs() < 0.15, "{old} {new}");
    let (old, new, _) = rates(Change::Points { check: 0, points: 0.01 });
    assert!((new - old - 0.01).abs() < 0.001, "{old} {new}");
    // Half as slow again: more of its requests lie above the stretched edge than of the old one above the edge.
    let (old, new, [below, above]) = rates(Change::Slower { check: 1, times: 1.5 });
    assert!((new / old - 1.0).abs() < 0.05 && above > 1.5 * below, "{below} {above}");
    let (_, _, [below, above]) = rates(Change::Slower { check: 1, times: 1.0 });
    assert!(above < below, "no slower than tolerated: {below} {above}");
}

#[test]
fn versions_that_are_the_same_are_rolled_back_as_rarely_as_promised_whatever_comes_in_clusters() {
    let spec = spec("");
    for (together, split_together) in [(1, 1.0), (5, 1.0), (5, 5.0)] {
        let lines = recorded(3 * 1440, 1_200, 0.005, together, 21);
        let backtest = Backtest::new(&spec, [lines.as_slice()], DELAY, 1).unwrap();
        let backtest = backtest.with_failures_together(split_together);
        let tally = tried(&backtest, 60, None);
        assert!(tally.back().lower <= spec.analysis.false_rollback, "{together}: {tally:?}");
        assert!(tally.rolled_back <= 2, "{together}: {tally:?}");
        if together == 1 {
            assert!(tally.promoted >= 50, "{tally:?}");
        }
    }
}

#[test]
fn five_times_the_errors_are_caught_soon_and_the_more_it_is_the_sooner() {
    let spec = spec("");
    let lines = recorded(2 * 1440, 1_200, 0.01, 1, 22);
    let backtest = Backtest::new(&spec, [lines.as_slice()], DELAY, 1).unwrap();
    let change = |change| Some(change);
    let five = tried(&backtest, 20, change(Change::Times { check: 0, times: 5.0 }));
    assert_eq!(five.rolled_back, 20, "{five:?}");
    let points = tried(&backtest, 20, change(Change::Points { check: 0, points: 0.2 }));
    assert_eq!(points.rolled_back, 20, "{points:?}");
    assert!(points.back_after[10] <= five.back_after[10] && points.back_after[10] <= 6, "{points:?}");
    let slow = tried(&backtest, 20, change(Change::Slower { check: 1, times: 1.5 }));
    assert_eq!(slow.rolled_back, 20, "{slow:?}");
    // Two minutes are the least: the first minute has ended for as long as a minute is closed.
    assert!(five.back_after[0] >= 2 && five.requests_until_back[0] > 0.0, "{five:?}");
}

#[test]
fn the_same_seed_gives_the_same_answer_and_another_one_another() {
    let spec = spec("");
    let lines = recorded(2 * 1440, 600, 0.01, 1, 23);
    let of = |seed: u64| {
        let backtest = Backtest::new(&spec, [lines.as_slice()], DELAY, seed).unwrap();
        (0..6).flat_map(|number| backtest.tried(number, &[None])).collect::<Vec<Trial>>()
    };
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
    // What is made worse shares the start and the past with what is not.
    let backtest = Backtest::new(&spec, [lines.as_slice()], DELAY, 1).unwrap();
    let both = backtest.tried(3, &[None, Some(Change::Times { check: 0, times: 9.0 })]);
    assert_eq!(both[0], of(1)[3]);
    assert_eq!(both[1].start, both[0].start);
    assert_eq!(both[1].end, End::RolledBack);
}

/// A seed that only permuted the releases would say the same for all seeds.
#[test]
fn releases_of_another_seed_begin_at_other_times() {
    let lines = recorded(2 * 1440, 600, 0.01, 1, 23);
    let starts = |seed: u64| -> BTreeSet<i64> {
        let backtest = Backtest::new(&spec(""), [lines.as_slice()], DELAY, seed).unwrap();
        let of_one = |number: u64| {
            let (traffic, start) = backtest.start(number).unwrap();
            traffic.after(start, 0).0.index()
        };
        (0..64).map(of_one).collect()
    };
    // Of more than a thousand times, two sets of 64 share some by chance, and not half of them.
    let one = starts(1);
    assert!(one.len() > 48, "{one:?}");
    for seed in [0, 2, 3, 63, 64] {
        let other = starts(seed);
        assert!(one.intersection(&other).count() < 32, "{seed}: {other:?}");
    }
}

/// The clock of a trial is that of the real controller, on traffic like this.
#[test]
fn a_good_release_takes_as_long_as_the_controller_takes() {
    use crate::sim::durations::Latency as Durations;
    use crate::sim::rehearsal::{Habits, Release, Stage};
    let spec = spec("checks: [errors: {}]\n");
    let lines = recorded(3 * 1440, 2_400, 0.004, 1, 24);
    let backtest = Backtest::new(&spec, [lines.as_slice()], DELAY, 1).unwrap();
    let tried = tried(&backtest, 15, None);
    let latency = Durations::of(80.0, 323.0);
    let habits = Habits { per_second: 40.0, error_rate: 0.004, clusters: 1.0, latency, timeout: DELAY.timeout };
    let stage = Stage::new(&spec, habits, DELAY.lag, 1).unwrap();
    let mut rehearsed: Vec<i64> = (1..8)
        .filter_map(|seed| stage.rehearse(Release::Good, Span::ZERO, seed).unwrap().promoted())
        .map(Span::minutes_ceil)
        .collect();
    rehearsed.sort_unstable();
    let (ours, theirs) =
        (i64::from(tried.promoted_after[tried.promoted_after.len() / 2]), rehearsed[rehearsed.len() / 2]);
    assert!((ours - theirs).abs() <= 3, "{ours} minutes here, {theirs} by the controller");
}

#[test]
fn a_short_recording_is_gone_round_and_one_that_says_nothing_is_refused() {
    let spec = spec("");
    let short = recorded(59, 900, 0.01, 1, 25);
    let backtest = Backtest::new(&spec, [short.as_slice()], DELAY, 1).unwrap();
    let traffic = &backtest.traffic()[0];
    assert!(traffic.goes_round() && traffic.minutes() == (59, 59) && traffic.starts() == 59, "{traffic:?}");
    assert_eq!(tried(&backtest, 5, Some(Change::Points { check: 0, points: 0.3 })).rolled_back, 5);
    let long = recorded(1440, 900, 0.01, 1, 25);
    let backtest = Backtest::new(&spec, [long.as_slice()], DELAY, 1).unwrap();
    let traffic = &backtest.traffic()[0];
    // A release of two hours and its closing minutes fit behind a past of what is left of the day.
    assert_eq!((traffic.goes_round(), traffic.past(), traffic.starts()), (false, 1440 - 123, 1));
    assert!((traffic.total(0).0 / traffic.total(1).0 - 1.0).abs() < 1e-9);

    let none: &[Line] = &[];
    let of = |more: &str, lines: &[Line]| Backtest::new(&self::spec(more), [lines], DELAY, 1).err();
    assert_eq!(of("", none), Some(Refused::NoTraffic));
    assert_eq!(of("", &short[..5]), Some(Refused::NoTraffic));
    assert_eq!(of("strategy: { allAtOnce: {} }\n", &short), Some(Refused::NoSteps));
}

/// The weight follows what is proven: what a bad release costs is what `auto` is for.
#[test]
fn auto_promotes_what_is_no_worse_and_spends_less_on_what_is() {
    let long = recorded(2880, 2_400, 0.004, 1, 31);
    let runs = 20;
    let of = |strategy: &str, change: Option<Change>| {
        let spec = spec(&format!("{strategy}checks: [ errors: {{ tolerate: 0.5pt }} ]\n"));
        let backtest = Backtest::new(&spec, [long.as_slice()], DELAY, 7).unwrap();
        tried(&backtest, runs, change)
    };
    let (auto, half) =
        ("strategy: { auto: { harmBudget: 40 } }\n", "strategy: { canary: { weight: 50%, bake: 5m } }\n");
    let same = of(auto, None);
    assert!(same.rolled_back <= 1 && same.promoted >= 18, "{same:?}");
    let worse = |strategy: &str| of(strategy, Some(Change::Points { check: 0, points: 0.1 }));
    let (careful, careless) = (worse(auto), worse(half));
    assert_eq!((careful.rolled_back, careless.rolled_back), (runs, runs));
    // A tenth of them failed: about the budget, where half of all traffic costs many times as much.
    let failed = |tally: &Tally| tally.requests_until_back[tally.requests_until_back.len() / 2] * 0.1;
    assert!(failed(&careful) < 80.0 && failed(&careless) > 240.0, "{careful:?} {careless:?}");
}

/// A handful of lines may be weeks apart, and a recording may have thousands of such cases.
#[test]
fn cases_that_would_take_too_much_memory_together_are_refused() {
    let spec = spec("");
    let mut sparse = recorded(11, 900, 0.01, 1, 25);
    sparse[10].minute = When::Number(40_000);
    let of = |cases: usize| Backtest::new(&spec, std::iter::repeat_n(sparse.as_slice(), cases), DELAY, 1);
    assert_eq!(of(4).unwrap().traffic().len(), 4);
    assert_eq!(of(5).err(), Some(Refused::TooLong));
}

#[test]
fn a_step_by_the_clock_is_left_by_the_clock() {
    let spec = spec("strategy: { canary: { weight: 10%, bake: 10m } }\nadvance: unlessHarm\nchecks: [errors: {}]\n");
    let lines = recorded(2 * 1440, 30, 0.01, 1, 26);
    let backtest = Backtest::new(&spec, [lines.as_slice()], DELAY, 1).unwrap();
    let tally = tried(&backtest, 10, None);
    assert!(tally.promoted >= 9, "{tally:?}");
    assert!(tally.promoted_after.iter().all(|minutes| *minutes == 10), "{tally:?}");
    // With a proof to make, so few requests are not enough, and the spec says what follows.
    let proof = self::spec("strategy: { canary: { weight: 10%, bake: 10m } }\nchecks: [errors: {}]\n");
    let tally = tried(&Backtest::new(&proof, [lines.as_slice()], DELAY, 1).unwrap(), 6, None);
    assert!(tally.undecided() >= 5 && tally.then_paused > 0, "{tally:?}");
}

/// What makes an interval Clopper's and Pearson's: at its ends, as many or more, or as few or fewer, come in one of 40 cases.
#[test]
fn intervals_of_shares_are_exact() {
    let probability = |range: std::ops::RangeInclusive<u64>, trials: u64, share: f64| -> f64 {
        let one = |found: u64| {
            let ways: f64 = (1..=found).map(|k| ((trials - found + k) as f64 / k as f64).ln()).sum();
            (ways + found as f64 * share.ln() + (trials - found) as f64 * (1.0 - share).ln()).exp()
        };
        range.map(one).sum()
    };
    for (found, trials) in [(0, 10), (1, 10), (5, 10), (10, 10), (2, 300), (17, 300), (300, 300)] {
        let interval = exact_interval(found, trials);
        assert!((interval.share - found as f64 / trials as f64).abs() < 1e-12, "{interval:?}");
        match found {
            0 => assert!(interval.lower <= 0.0, "{interval:?}"),
            _ => assert!((probability(found..=trials, trials, interval.lower) - 0.025).abs() < 1e-9, "{interval:?}"),
        }
        match found {
            all if all == trials => assert!(interval.upper >= 1.0, "{interval:?}"),
            _ => assert!((probability(0..=found, trials, interval.upper) - 0.025).abs() < 1e-9, "{interval:?}"),
        }
    }
    assert_eq!(exact_interval(0, 0), Interval { share: 0.0, lower: 0.0, upper: 1.0 });
}

/// A check of which the recording says nothing would hold every release for ever.
#[test]
fn what_the_recording_does_not_have_is_left_out_and_named() {
    let spec = spec("");
    let mut lines = recorded(2 * 1440, 1_200, 0.004, 1, 27);
    lines.iter_mut().filter_map(|line| line.baseline.as_mut()).for_each(|arm| arm.latency = None);
    let backtest = Backtest::new(&spec, [lines.as_slice()], DELAY, 1).unwrap();
    assert_eq!(backtest.traffic()[0].left_out(), ["latency"]);
    assert!(tried(&backtest, 8, None).promoted >= 6);
}

/// An hour of a production service, whose arrivals are bursty and whose times are heavy-tailed. Skipped where the trace is
/// absent.
#[test]
fn real_traffic_split_by_chance_is_rolled_back_as_rarely_as_promised() {
    use std::io::Write;
    let folder = std::env::var_os("COALMINE_DATA").filter(|folder| !folder.is_empty());
    let Some(folder) = folder else {
        // Not `eprintln!`: the output of a test that passes is not shown.
        return std::io::stderr().write_all(b"SKIPPED, real traffic: COALMINE_DATA names no folder\n").unwrap();
    };
    let path = std::path::Path::new(&folder).join("azure-llm-conversation-2023.csv.gz");
    let unzipped = std::process::Command::new("gzip").arg("-dc").arg(&path).output().unwrap();
    let mut minutes: Vec<Vec<f64>> = Vec::new();
    for line in String::from_utf8(unzipped.stdout).unwrap().lines().skip(1) {
        let fields: Vec<f64> = line.split(',').map(|field| field.parse().unwrap()).collect();
        let minute = (fields[0] / 60.0) as usize;
        minutes.resize(minutes.len().max(minute + 1), Vec::new());
        minutes[minute].push(fields[1].max(1.0));
    }
    assert_eq!(minutes.iter().map(Vec::len).sum::<usize>(), 19_366);
    let edges = [20.0, 40.0, 80.0, 120.0, 200.0, 300.0, 400.0, 500.0, 700.0, 1_000.0];
    let lines: Vec<Line> = (0..)
        .zip(&minutes)
        .map(|(minute, took)| {
            let mut counts = vec![0.0; edges.len() + 1];
            took.iter().for_each(|time| counts[edges.partition_point(|edge| edge < time)] += 1.0);
            // One in a hundred fails, in the order of their coming.
            let errors = took.iter().filter(|time| (**time as u64).is_multiple_of(100)).count();
            let arm = Arm {
                requests: Some(took.len() as f64),
                errors: Some(errors as f64),
                latency: Some(Latency { edges: edges.to_vec(), counts }),
                ..Arm::default()
            };
            Line { case: None, minute: When::Number(minute), weight: None, baseline: Some(arm), canary: None }
        })
        .collect();
    let spec = spec("");
    let backtest = Backtest::new(&spec, [lines.as_slice()], DELAY, 1).unwrap();
    let same = tried(&backtest, 60, None);
    assert!(same.back().lower <= spec.analysis.false_rollback && same.rolled_back <= 2, "{same:?}");
    let failing = tried(&backtest, 10, Some(Change::Points { check: 0, points: 0.1 }));
    assert_eq!(failing.rolled_back, 10, "{failing:?}");
}
