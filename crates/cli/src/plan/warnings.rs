//! What the numbers do not say by themselves: what hides inside a tolerance, quiet hours, costs.

use coalmine_core::analysis::percent;
use coalmine_core::sim::rehearsal::{Habits, Looks, Stage};
use coalmine_core::spec::{CheckKind, Mode, Owner, RolloutSpec, Target, Tolerance};
use coalmine_core::units::{Span, plain_number};
use serde::Serialize;

use super::Seen;
use super::numbers::{Effort, Numbers, Times, Unrehearsed, total};

/// Rehearsals of what is only proposed.
const PROPOSED_RUNS: usize = 20;

/// Tolerances that people write, in points.
const TOLERANCES: [f64; 7] = [0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005];

/// A quiet hour is worth a word where a proof takes so many times as long.
const WORTH_A_WORD: f64 = 1.25;

/// What `GetMetricData` costs, in dollars for each metric that is asked for: believed to be $0.01 per 1,000 metrics
/// requested. AWS's price list has the present price.
const DOLLARS_PER_METRIC: f64 = 0.01 / 1_000.0;

/// What a rollout asks of AWS, and what that costs.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Every minute, by Coalmine.
    pub calls_per_minute: usize,
    pub series_per_minute: usize,
    /// Of a good release, from its start to all traffic.
    pub minutes: u32,
    /// If every statistic of a metric is paid for.
    pub dollars_at_most: f64,
    /// If up to five statistics of a metric are paid for as one.
    pub dollars_at_least: f64,
}

impl Cost {
    pub fn of(numbers: &Numbers) -> Option<Self> {
        let Looks { calls, series, metrics } = numbers.looks;
        let minutes = numbers.total.usual?;
        let dollars = |asked: usize| asked as f64 * f64::from(minutes) * DOLLARS_PER_METRIC;
        Some(Self {
            calls_per_minute: calls,
            series_per_minute: series,
            minutes,
            dollars_at_most: dollars(series),
            dollars_at_least: dollars(metrics),
        })
    }
}

/// What follows from rehearsals.
pub fn all(
    spec: &RolloutSpec,
    habits: Habits,
    lag: Span,
    effort: Effort,
    numbers: &Numbers,
    seen: &Seen,
) -> Result<Vec<String>, String> {
    let few = Effort { runs: effort.runs.min(PROPOSED_RUNS), ..effort };
    let mut said = Vec::new();
    said.extend(hidden(spec, habits, lag, few, numbers)?);
    if let Some(quietest) = seen.quietest {
        let at_night = Habits { per_second: quietest.per_second, ..habits };
        let (hour, rate) = (quietest.hour, plain_number(rounded(quietest.per_second)));
        let begins = format!("between {hour:02}:00 and {:02}:00 UTC it has {rate} requests/s", (hour + 1) % 24);
        match total(spec, at_night, lag, few) {
            Ok(times) => said.extend(longer(times, numbers.total).map(|longer| format!("{begins}: {longer} then"))),
            Err(Unrehearsed::Refused(_)) => {
                said.push(format!("{begins}: a start is refused then, for want of traffic"))
            }
            Err(Unrehearsed::Broken(bug)) => return Err(bug),
        }
    }
    let slips = |ends: &&super::numbers::Ends| ends.undecided * 10 > numbers.runs;
    for ends in numbers.ends.iter().filter(slips) {
        let which = match ends.release.as_str() {
            "as good" => "that are as good".to_owned(),
            worse => format!("with {worse}"),
        };
        said.push(format!(
            "of releases {which}, {} in {} were neither promoted nor rolled back by the deadline: `undecided` says what then",
            ends.undecided, numbers.runs
        ));
    }
    Ok(said)
}

fn longer(then: Times, now: Times) -> Option<String> {
    match (then.usual, now.usual) {
        (Some(then), Some(now)) if f64::from(then) < f64::from(now) * WORTH_A_WORD => None,
        (Some(then), _) => Some(format!("a good release takes about {then} min")),
        (None, _) => Some("a good release is not proven by the deadline".to_owned()),
    }
}

/// The largest multiple of today's errors that the spec accepts and that mostly gets through, and what it would cost not to accept it.
/// What is inside the tolerance and is rolled back all the same, because it is proven to be worse, needs no word.
fn hidden(
    spec: &RolloutSpec,
    habits: Habits,
    lag: Span,
    effort: Effort,
    numbers: &Numbers,
) -> Result<Option<String>, String> {
    let base = habits.error_rate;
    let Some(tolerate) = errors_tolerance(spec).filter(|_| base > 0.0) else { return Ok(None) };
    let accepted = base * tolerate.factor + tolerate.points;
    let Some((times, promoted)) = gets_through(numbers, accepted / base) else { return Ok(None) };
    let written = format!("`tolerate: {}`", spec_form(tolerate));
    let inside = format!(
        "{}x errors ({} instead of {}) is inside {written}, and {promoted} in {} were promoted",
        tenths(times),
        percent(base * times),
        percent(base),
        numbers.runs
    );
    let Some(tighter) = TOLERANCES.into_iter().find(|points| *points < tolerate.points) else {
        return Ok(Some(inside));
    };
    let tighter = Tolerance { points: tighter, ..tolerate };
    let form = spec_form(tighter);
    let would = match total(&with_tolerance(spec, tighter), habits, lag, effort) {
        Ok(Times { usual: Some(minutes), runs, .. }) => match numbers.total.usual {
            Some(now) if now == minutes => format!("`{form}` would take no longer ({runs} runs)"),
            Some(now) => format!("`{form}` would take {minutes} min instead of {now} ({runs} runs)"),
            None => format!("`{form}` would take {minutes} min ({runs} runs)"),
        },
        Ok(_) | Err(Unrehearsed::Refused(_)) => {
            format!("`{form}` is not proven within {} on this traffic", spec.deadline)
        }
        Err(Unrehearsed::Broken(bug)) => return Err(bug),
    };
    Ok(Some(format!("{inside}; {would}")))
}

/// The largest multiple up to that one of which most were promoted, and how many of them.
fn gets_through(numbers: &Numbers, accepted: f64) -> Option<(f64, usize)> {
    let worse = numbers.ends.iter().filter_map(|ends| Some((ends.times.filter(|times| *times > 1.0)?, ends.promoted)));
    // A product of shares is not exact.
    let inside = worse.filter(|(times, promoted)| *times <= accepted * (1.0 + 1e-9) && 2 * promoted > numbers.runs);
    inside.max_by(|(one, _), (other, _)| one.total_cmp(other))
}

/// What cannot be rehearsed.
pub fn of_the_spec(spec: &RolloutSpec, left_out: &[String]) -> Vec<String> {
    let mut said = Vec::new();
    let names = left_out.join(", ");
    if Stage::proves_nothing(spec) {
        said.push(format!(
            "not rehearsed, for nobody knows how its metric behaves, and no other check can be proven: {names}"
        ));
    } else if !left_out.is_empty() {
        said.push(format!(
            "not in these numbers, for nobody knows how its metric behaves: {names}. It may take longer"
        ));
    }
    if spec.steps.iter().any(|step| step.approve.is_some()) {
        said.push("waiting for approvals is not in these numbers".to_owned());
    }
    if spec.mode == Mode::Observe {
        said.push("`mode: observe` moves nothing: these are the numbers of `mode: enforce`".to_owned());
    }
    if matches!(&spec.target, Target::Lambda(target) if target.owner == Owner::Codedeploy) {
        said.push(
            "CodeDeploy owns the weights and keeps its own timetable: these are the numbers of the spec's".to_owned(),
        );
    }
    if spec.steps.is_empty() {
        said.push("no step has both versions, so nothing is compared: alarms only".to_owned());
    } else if spec.alarms.names.is_empty() {
        said.push(
            "no alarm is named: at 100 % only a catastrophe is seen, for there is no old version to compare with"
                .to_owned(),
        );
    }
    said
}

/// Points that the errors check accepts.
pub fn tolerated(spec: &RolloutSpec) -> Option<f64> {
    errors_tolerance(spec).map(|tolerance| tolerance.points)
}

/// The same spec with so many.
pub fn with_points(spec: &RolloutSpec, points: f64) -> RolloutSpec {
    with_tolerance(spec, Tolerance { factor: 1.0, points })
}

fn errors_tolerance(spec: &RolloutSpec) -> Option<Tolerance> {
    spec.checks.iter().find_map(|check| match check.kind {
        CheckKind::Errors { tolerate } => Some(tolerate),
        CheckKind::Latency { .. }
        | CheckKind::Rate { .. }
        | CheckKind::Distribution { .. }
        | CheckKind::Mean { .. }
        | CheckKind::Gauge { .. } => None,
    })
}

fn with_tolerance(spec: &RolloutSpec, wanted: Tolerance) -> RolloutSpec {
    let mut spec = spec.clone();
    for check in &mut spec.checks {
        if let CheckKind::Errors { tolerate } = &mut check.kind {
            *tolerate = wanted;
        }
    }
    spec
}

fn spec_form(tolerance: Tolerance) -> String {
    match tolerance.points > 0.0 {
        true => format!("{}pt", plain_number(tolerance.points * 100.0)),
        false => format!("{}x", plain_number(tolerance.factor)),
    }
}

/// To two digits or whole: a rate is no exact thing.
pub fn rounded(value: f64) -> f64 {
    if value >= 10.0 { value.round() } else { (value * 100.0).round() / 100.0 }
}

/// How many times as often: `4.4`, `2`.
pub fn tenths(times: f64) -> String {
    plain_number((times * 10.0).round() / 10.0)
}
