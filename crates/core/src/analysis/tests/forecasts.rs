//! How long a proof will take, before the start.

use crate::analysis::stats::Dispersion;
use crate::analysis::{EventHistory, Learned};
use crate::analysis::{JudgePlan, Load, WarmUp, deadline_problem, forecast, percent, plan, unknown_clusters};
use crate::spec::{Advance, RolloutSpec, Settle, Tolerance};
use crate::units::Span;

use super::{errors, independent, latency, points, rate, spec, step};

const LATE: Span = Span::from_minutes(3);

fn load(per_second: f64, error_rate: f64) -> Load {
    Load { requests_per_minute: per_second * 60.0, error_rate }
}

fn total(spec: &RolloutSpec, load: &Load) -> Option<i64> {
    forecast(&independent(spec), spec, load, LATE).total().map(Span::minutes_ceil)
}

fn problem(spec: &RolloutSpec, load: &Load) -> Option<String> {
    deadline_problem(spec, &independent(spec), load, LATE)
}

/// Measured for whole rollouts, without lag: 9 minutes at 50 a second and more, 21 to 23 at 5 a second.
#[test]
fn forecasts_are_near_what_was_measured() {
    let spec = spec(vec![errors(points(0.5))]);
    let lags = 3 * 4;
    for (per_second, error_rate, least, most) in [
        (500.0, 0.0, 9, 15),
        (50.0, 0.0, 9, 15),
        (50.0, 0.01, 9, 20),
        (5.0, 0.0, 18, 34),
        (5.0, 0.001, 18, 36),
        (1.0, 0.0, 80, 140),
    ] {
        let total = total(&spec, &load(per_second, error_rate)).unwrap() - lags;
        assert!((least..=most).contains(&total), "{per_second} a second, {error_rate}: {total} minutes");
    }
}

#[test]
fn more_traffic_and_wider_tolerances_are_never_slower() {
    let mut last = i64::MAX;
    for per_second in [0.1, 0.5, 1.0, 5.0, 20.0, 100.0] {
        let now = total(&spec(vec![errors(points(0.5))]), &load(per_second, 0.002)).unwrap();
        assert!(now <= last);
        last = now;
    }
    let mut last = i64::MAX;
    for tolerated in [0.1, 0.2, 0.5, 1.0, 5.0] {
        let now = total(&spec(vec![errors(points(tolerated))]), &load(5.0, 0.002)).unwrap();
        assert!(now <= last);
        last = now;
    }
}

#[test]
fn a_step_takes_at_least_its_bake_and_without_proof_no_more() {
    let mut spec = spec(vec![errors(points(0.5))]);
    spec.steps.iter_mut().for_each(|step| step.bake = Span::from_minutes(20));
    assert_eq!(total(&spec, &load(500.0, 0.0)), Some(60));
    spec.steps.iter_mut().for_each(|step| step.advance = Advance::UnlessHarm);
    assert_eq!(total(&spec, &load(0.01, 0.5)), Some(60));
    spec.checks = vec![rate("declined", points(2.0))];
    spec.steps.iter_mut().for_each(|step| step.advance = Advance::OnProof);
    assert_eq!(total(&spec, &load(0.01, 0.5)), Some(60), "the rate of other checks is not known");
}

#[test]
fn a_deadline_that_cannot_be_met_is_said_with_what_would_do() {
    let mut spec = spec(vec![errors(points(0.5))]);
    assert_eq!(problem(&spec, &load(40.0, 0.004)), None);
    assert_eq!(problem(&spec, &load(0.0, 0.0)), None, "no traffic to forecast with");
    let said = |spec: &RolloutSpec, load| problem(spec, &load).unwrap_or_default();
    assert_eq!(
        said(&spec, load(1.0, 0.004)),
        "at 60 requests a minute, 0.4 % of them failing, the proof takes about 3h 35m (5 %: 1h 40m, 25 %: 43m, 50 %: 1h \
         12m), longer than the deadline of 2h. What would do: a deadline of at least 3h 35m; a larger weight, such as a \
         single step of 50 % (about 1h 33m); a larger tolerance of the errors check, +1 point (about 1h 31m)"
    );
    let no_points = super::spec(vec![errors(Tolerance { factor: 1.5, points: 0.0 })]);
    assert_eq!(
        said(&no_points, load(50.0, 0.0)),
        "the step of 5 % can never be proven at 3,000 requests a minute, 0 % of them failing: the tolerance is too small \
         for that. What would do: a larger tolerance of the errors check, 1.5 times +0.5 points (about 21m)"
    );
    spec.steps[0].at_most = Some(Span::from_minutes(6));
    assert_eq!(
        said(&spec, load(20.0, 0.001)),
        "at 1,200 requests a minute, 0.1 % of them failing, the step of 5 % takes about 11m, longer than its `atMost` of \
         6m. What would do: an `atMost` of at least 11m; a larger weight, such as a single step of 50 % (about 7m); \
         `advance: unlessHarm`, which goes on without a proof (no tolerance up to 5 points can be proven in time)"
    );
    spec.steps = vec![step(50)];
    spec.deadline = Span::from_minutes(20);
    assert_eq!(
        said(&spec, load(0.5, 0.0)),
        "at 30 requests a minute, 0 % of them failing, the proof takes about 52m (50 %: 52m), longer than the deadline \
         of 20m. What would do: a deadline of at least 52m; a larger tolerance of the errors check, +2 points (about \
         16m)"
    );
    spec.steps.clear();
    assert_eq!(problem(&spec, &load(0.5, 0.0)), None, "nothing is proven without steps");
}

/// What is not read yet is waited for where the weight rises steeply, unless the spec says otherwise; and dispersed events
/// take that much longer.
#[test]
fn what_must_settle_and_what_is_dispersed_takes_longer() {
    let mut spec = spec(vec![errors(points(0.5))]);
    let load = load(500.0, 0.001);
    let steps = |plan: &JudgePlan, spec: &RolloutSpec| -> Vec<i64> {
        forecast(plan, spec, &load, LATE).steps.iter().map(|step| step.takes.unwrap().minutes_ceil()).collect()
    };
    spec.steps.iter_mut().for_each(|step| step.bake = Span::from_minutes(1));
    assert_eq!(steps(&independent(&spec), &spec), [9, 6, 6]);
    spec.settle = Settle::None;
    assert_eq!(steps(&independent(&spec), &spec), [6, 6, 6]);
    // Two minutes of warm-up and two of data take longer than the errors' two.
    spec.checks.push(latency());
    let mut warm = independent(&spec);
    let warm_up = |warm: &mut JudgePlan, minutes, requests| {
        warm.checks[1].distribution.as_mut().unwrap().warm_up = WarmUp { minutes, requests };
    };
    warm_up(&mut warm, 2, 0.0);
    assert_eq!(steps(&warm, &spec), [8, 8, 8]);
    // 1,500 requests a minute at 5 %.
    warm_up(&mut warm, 0, 12_000.0);
    assert_eq!(steps(&warm, &spec), [14, 8, 7]);
    spec.checks.pop();
    let quiet = Load { requests_per_minute: 60.0, error_rate: 0.0 };
    let first = |plan: &JudgePlan| forecast(plan, &spec, &quiet, LATE).steps[0].takes.unwrap().minutes_ceil() - 4;
    let (independent, unknown) = (first(&independent(&spec)), first(&plan(&spec)));
    assert!(
        (3 * independent - unknown).abs() <= 3,
        "nobody knows whether events cluster: {unknown}, not {independent}"
    );
}

/// What the sentence proposes does: the proposed deadline meets the forecast.
#[test]
fn the_proposed_deadline_would_do() {
    for (per_second, error_rate) in [(0.1, 0.0), (0.5, 0.01), (1.0, 0.004), (2.0, 0.02)] {
        let mut spec = spec(vec![errors(points(0.5))]);
        let load = load(per_second, error_rate);
        assert!(problem(&spec, &load).is_some());
        spec.deadline = forecast(&independent(&spec), &spec, &load, LATE).total().unwrap();
        assert_eq!(problem(&spec, &load), None);
    }
}

/// Only a past without any error leaves open how the first ones will come; that is said where it costs time.
#[test]
fn a_past_without_errors_is_said_to_take_longer_and_what_would_do() {
    let mut spec = spec(vec![errors(points(0.5))]);
    let taught = |events: f64| {
        let mut plan = plan(&spec);
        let (requests, dispersion) = (432_000.0, Dispersion::UNKNOWN);
        let events = EventHistory { requests, events, recent_requests: requests, recent_events: events, dispersion };
        plan.checks[0].learned =
            Some(Learned { minutes: 1440, set_aside: Vec::new(), events: Some(events), distribution: None });
        plan
    };
    let (quiet, busy) = (load(5.0, 0.0), load(500.0, 0.0));
    let told = unknown_clusters(&spec, &taught(0.0), &quiet, LATE).unwrap();
    assert!(
        told.starts_with("no request of the old version failed") && told.contains("independence: assumed"),
        "{told}"
    );
    assert!(!told.contains("  "), "{told}");
    let instead = forecast(&independent(&spec), &spec, &quiet, LATE).total().unwrap();
    assert!(told.contains(&format!("instead of {instead} where all goes well")), "{told}");
    assert_eq!(unknown_clusters(&spec, &taught(1.0), &quiet, LATE), None, "its history says how errors come");
    assert_eq!(unknown_clusters(&spec, &taught(0.0), &busy, LATE), None, "it makes no difference");
    assert_eq!(unknown_clusters(&spec, &independent(&spec), &quiet, LATE), None, "they are taken as independent");
    assert_eq!(unknown_clusters(&spec, &plan(&spec), &quiet, LATE), None, "nothing is known of the past yet");
    let plan = taught(0.0);
    spec.deadline = instead.plus(Span::from_minutes(1));
    let problem = deadline_problem(&spec, &plan, &quiet, LATE).unwrap();
    assert!(problem.contains("`analysis: {independence: assumed}`"), "{problem}");
    assert!(problem.contains(", 0 % of them failing"), "{problem}");
}

/// A sum of nothing is -0 in floating point.
#[test]
fn no_share_is_less_than_nothing() {
    for share in [-0.0, 0.0, -1e-12, -0.3] {
        assert_eq!(percent(share), "0 %");
    }
    let none: f64 = [0.0_f64; 0].iter().sum();
    let problem = problem(&spec(vec![errors(points(0.5))]), &load(0.001, none)).unwrap();
    assert!(problem.contains(", 0 % of them failing"), "{problem}");
}
