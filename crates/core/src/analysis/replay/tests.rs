//! Whole cases: what is proven when, and what is left out.

use crate::analysis::Verdict;
use crate::recording::Reader;
use crate::sim::rng::Rng;
use crate::spec::{self, CheckMode};

use super::*;

const ERRORS: &str = "coalmine: v1\ntarget: { lambda: { function: f, alias: live } }\nchecks: [errors: {}]\n";

fn replayer(spec: &str) -> Replayer {
    Replayer::new(&spec::parse(spec).unwrap().spec)
}

fn judged(spec: &str, lines: &[String]) -> Judged {
    let mut replayer = replayer(spec);
    // Every check counts, whatever the spec makes of it.
    let checks = replayer.plan.checks.len();
    for check in &mut replayer.plan.checks {
        (check.mode, check.alpha_share) = (CheckMode::Enforce, if checks > 1 { 0.5 } else { 1.0 });
    }
    let mut reader = Reader::default();
    let mut replay = replayer.begin(true);
    for line in lines {
        replay.see(reader.read(line.as_bytes()).unwrap().unwrap().line);
    }
    replay.end()
}

/// A minute of errors: weight in percent, requests and error rates of both versions.
fn minute(rng: &mut Rng, minute: i64, percent: u64, rates: [f64; 2]) -> String {
    let canary = 3000 * percent / 100;
    let [old, new] = [(3000 - canary, rates[0]), (canary, rates[1])].map(|(n, rate)| (n, rng.binomial(n, rate)));
    format!(
        r#"{{"minute":{minute},"weight":"{percent}%","baseline":{{"requests":{},"errors":{}}},"canary":{{"requests":{},"errors":{}}}}}"#,
        old.0, old.1, new.0, new.1
    )
}

fn ladder(at: i64) -> u64 {
    match at {
        ..10 => 5,
        10..20 => 25,
        20.. => 50,
    }
}

fn rollout(seed: u64, minutes: i64, rates: [f64; 2]) -> Vec<String> {
    let mut rng = Rng::new(seed);
    (0..minutes).map(|at| minute(&mut rng, at, ladder(at), rates)).collect()
}

fn without_weights(lines: &[String]) -> Vec<String> {
    let cut = |line: &String| {
        let (before, rest) = line.split_once(r#""weight":""#).unwrap();
        format!("{before}{}", rest.split_once("\",").unwrap().1)
    };
    lines.iter().map(cut).collect()
}

#[test]
fn a_healthy_release_passes_and_a_bad_one_fails() {
    let good = judged(ERRORS, &rollout(1, 40, [0.001, 0.001]));
    assert_eq!((good.verdict, good.decided), (Verdict::Pass, None), "{good:?}");
    assert!(matches!(good.passed, Some(When::Number(2..=9))), "in the first step: {:?}", good.passed);
    assert_eq!(good.span, Some((When::Number(0), When::Number(39))));
    let bad = judged(ERRORS, &rollout(1, 40, [0.001, 0.05]));
    assert_eq!(bad.verdict, Verdict::Fail);
    assert!(matches!(bad.decided, Some(When::Number(0..=9))), "{:?}", bad.decided);
    assert_eq!(bad.passed, None);
    let short = judged(ERRORS, &rollout(1, 2, [0.001, 0.001]));
    assert_eq!((short.verdict, short.passed), (Verdict::Inconclusive, None));
}

/// A step has its own tolerance: what is enough at 5 % is not at 50 %, and the verdict is as of the end.
#[test]
fn the_step_in_force_says_what_must_be_proven() {
    let lines = rollout(3, 21, [0.001, 0.001]);
    let judged = judged(ERRORS, &lines);
    assert!(judged.passed.is_some());
    assert_eq!(judged.verdict, Verdict::Inconclusive, "a minute at 50 % is not enough");
}

/// Without weights the canary's share of the requests tells the step.
#[test]
fn the_share_of_requests_tells_the_step() {
    for seed in 0..20 {
        let lines = rollout(seed, 40, [0.001, 0.001]);
        let (told, given) = (judged(ERRORS, &without_weights(&lines)), judged(ERRORS, &lines));
        assert_eq!((told.verdict, told.passed), (given.verdict, given.passed), "seed {seed}");
    }
}

/// A weight that was told by the requests cannot be at odds with them, even where no step has it.
#[test]
fn a_share_that_is_no_step_is_no_wrong_split() {
    let mut rng = Rng::new(6);
    let lines: Vec<String> = (0..120).map(|at| minute(&mut rng, at, 10, [0.001, 0.001])).collect();
    let told = judged(ERRORS, &without_weights(&lines));
    assert_eq!((told.verdict, told.analysis.split), (Verdict::Pass, None));
}

/// At 60 requests a minute chance alone moves the share from 5 % to 10 % and back; the step stays.
#[test]
fn a_share_by_chance_is_not_a_step() {
    let ladder = [500, 2500, 5000].map(|points| Weight::from_basis_points(points).unwrap());
    let (mut rng, mut changes) = (Rng::new(5), 0);
    for _ in 0..100 {
        let mut told = Told::new(&ladder);
        for at in 0..60 {
            let canary = rng.binomial(60, 0.05);
            let line = format!(
                r#"{{"minute":{at},"baseline":{{"requests":{}}},"canary":{{"requests":{canary}}}}}"#,
                60 - canary
            );
            let line = Reader::default().read(line.as_bytes()).unwrap().unwrap().line;
            changes += usize::from(told.weight(&line) != ladder[0]);
        }
    }
    assert!(changes <= 20, "{changes} of 6000 minutes");
}

#[test]
fn history_teaches_and_is_not_judged() {
    let mut rng = Rng::new(7);
    let past = (-600..0).map(|at| {
        // Errors in clusters of ten.
        let errors = 10 * rng.poisson(3.0);
        format!(r#"{{"minute":{at},"baseline":{{"requests":3000,"errors":{errors}}}}}"#)
    });
    let lines: Vec<String> = past.chain(rollout(7, 30, [0.01, 0.01])).collect();
    let judged = judged(ERRORS, &lines);
    assert_eq!((judged.history_minutes, judged.minutes), (600, 30));
    let Stage::Judging(judging) = ({
        let mut reader = Reader::default();
        let mut replay = replayer(ERRORS).begin(false);
        lines.iter().for_each(|line| replay.see(reader.read(line.as_bytes()).unwrap().unwrap().line));
        replay.start();
        replay.stage
    }) else {
        panic!("it is judging")
    };
    let learned = judging.intake.plan().checks[0].learned.clone().expect("there is a history");
    assert_eq!(learned.minutes, 600);
}

/// Times have no sign: what lies before the first canary is the past.
#[test]
fn times_are_told_from_numbers() {
    let line = |at: i64, canary: &str| {
        let time = Minute::from_index(30_000_000 + at).start();
        format!(r#"{{"minute":"{time}","baseline":{{"requests":2850,"errors":3}}{canary}}}"#)
    };
    let canary = r#","weight":"5%","canary":{"requests":150,"errors":90}"#;
    let lines: Vec<String> = (0..90).map(|at| line(at, if at < 60 { "" } else { canary })).collect();
    let judged = judged(ERRORS, &lines);
    assert_eq!((judged.history_minutes, judged.minutes), (60, 30));
    assert_eq!(judged.decided, Some(When::Time(Minute::from_index(30_000_060))));
}

#[test]
fn no_data_is_never_a_pass() {
    let none = |at: i64| format!(r#"{{"minute":{at},"weight":"5%"}}"#);
    let baseline = |at: i64| format!(r#"{{"minute":{at},"weight":"5%","baseline":{{"requests":900,"errors":1}}}}"#);
    let canary = |at: i64| format!(r#"{{"minute":{at},"weight":"5%","canary":{{"requests":900,"errors":0}}}}"#);
    let zero = |at: i64| {
        format!(
            r#"{{"minute":{at},"weight":"5%","baseline":{{"requests":0,"errors":0}},"canary":{{"requests":0,"errors":0}}}}"#
        )
    };
    let kinds: [&dyn Fn(i64) -> String; 4] = [&none, &baseline, &canary, &zero];
    for (kind, line) in kinds.into_iter().enumerate() {
        let judged = judged(ERRORS, &(0..60).map(line).collect::<Vec<_>>());
        assert_eq!((judged.verdict, judged.passed), (Verdict::Inconclusive, None), "{kind}");
    }
    let empty = replayer(ERRORS).begin(true).end();
    assert_eq!((empty.verdict, empty.minutes), (Verdict::Inconclusive, 0));
}

/// At 100 % there is nothing to compare: what was proven before stands.
#[test]
fn minutes_with_one_version_alone_are_left_out() {
    let mut lines = rollout(1, 40, [0.001, 0.001]);
    lines.extend(
        (40..60).map(|at| format!(r#"{{"minute":{at},"weight":"100%","canary":{{"requests":3000,"errors":3}}}}"#)),
    );
    let judged = judged(ERRORS, &lines);
    assert_eq!((judged.verdict, judged.minutes), (Verdict::Pass, 40));
    assert_eq!(judged.notes, ["20 minutes at 0 % or 100 % were left out: there is nothing to compare"]);
}

/// A chart has so many points at most, and the last one is the last minute.
#[test]
fn a_trace_stays_small() {
    let judged = judged(ERRORS, &rollout(1, 2000, [0.001, 0.001]));
    let trace = judged.trace.unwrap();
    assert!((200..=500).contains(&trace.points.len()), "{}", trace.points.len());
    assert_eq!(trace.points.last().unwrap().minute, Minute::from_index(1999));
    assert!(trace.points.windows(2).all(|pair| pair[0].minute < pair[1].minute));
    let (test, shift) = trace.ranks[0].unwrap();
    assert!(test.two_sided > 0.001 && shift.lower <= 0.0 && shift.upper >= 0.0, "{test:?} {shift:?}");
}

/// Half an hour of latency at 50 %: the new version takes as many times as long.
fn latencies(seed: u64, slower: f64, drop: f64) -> Vec<String> {
    let mut rng = Rng::new(seed);
    let mut arm = |slower: f64, drop: f64| {
        let mut counts = [0_u32; 6];
        for _ in 0..600 {
            // Exponential with a mean of 100 ms.
            let took = -100.0 * slower * (1.0 - rng.uniform()).ln();
            let bin = [25.0, 50.0, 100.0, 200.0, 400.0].iter().filter(|edge| took > **edge).count();
            counts[bin] += 1;
        }
        let requests = 600.0 * (1.0 + drop);
        format!(
            r#"{{"requests":{requests},"errors":0,"latency":{{"edgesMs":[25,50,100,200,400],"counts":{counts:?}}}}}"#
        )
    };
    (-120..30)
        .map(|minute| {
            let old = arm(1.0, 0.0);
            let canary =
                if minute < 0 { String::new() } else { format!(r#","weight":"50%","canary":{}"#, arm(slower, drop)) };
            format!(r#"{{"minute":{minute},"baseline":{old}{canary}}}"#)
        })
        .collect()
}

const BOTH: &str = "coalmine: v1\ntarget: { lambda: { function: f, alias: live } }\n\
                    checks: [errors: {}, latency: { at: [p50] }]\n";

#[test]
fn latency_is_judged_by_the_recorded_edges() {
    let same = judged(BOTH, &latencies(1, 1.0, 0.0));
    assert_eq!(same.verdict, Verdict::Pass, "{same:?}");
    let slow = judged(BOTH, &latencies(1, 1.5, 0.0));
    assert_eq!(slow.verdict, Verdict::Fail, "{slow:?}");
    assert!(slow.decided.is_some_and(|when| when.minute().index() < 10), "{:?}", slow.decided);
    // Of latency there is nothing; errors are fine, and that is not enough.
    let none = judged(BOTH, &rollout(1, 40, [0.001, 0.001]));
    assert_eq!((none.verdict, none.passed), (Verdict::Inconclusive, None));
}

/// Requests that are not in the histogram are late, and what is late is slow.
#[test]
fn histograms_that_do_not_add_up_are_left_out_and_told() {
    let judged = judged(BOTH, &latencies(1, 1.0, 0.1));
    assert_eq!((judged.verdict, judged.passed), (Verdict::Inconclusive, None));
    let note = "latency: 30 minutes were left out because their counts do not add up to the requests";
    assert_eq!(judged.notes, [note]);
}
