//! How long the proof will take, before anything is started.

use crate::spec::{Advance, Check, CheckKind, CheckMode, RolloutSpec, Step, Tolerance};
use crate::units::{Span, Weight};

use super::bars::MINUTES_TO_PASS;
use super::stats::growth_per_request;
use super::{JudgePlan, Measure, grouped, percent, plan};

/// Requests beyond what an oracle that knows the best bet would need: measured 1.2 to 1.5, 1.3 in the middle.
const MIXTURE_COST: f64 = 1.3;

/// What is known of the target's traffic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Of both versions together.
    pub requests_per_minute: f64,
    /// Share of the requests that fail today.
    pub error_rate: f64,
}

/// When a healthy release is expected to have passed each step.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    pub steps: Vec<StepForecast>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepForecast {
    pub weight: Weight,
    /// `None`: never, the tolerance is too small for the error rate, or no request comes.
    pub takes: Option<Span>,
}

impl Forecast {
    /// Time until the last step is passed; `None` if one never is.
    #[must_use]
    pub fn total(&self) -> Option<Span> {
        self.steps.iter().try_fold(Span::ZERO, |total, step| Some(total.plus(step.takes?)))
    }

    fn fits(&self, steps: &[Step], deadline: Span) -> bool {
        let in_time = self.total().is_some_and(|total| total <= deadline);
        in_time
            && steps
                .iter()
                .zip(&self.steps)
                .all(|(step, forecast)| step.at_most.is_none_or(|most| forecast.takes <= Some(most)))
    }
}

/// Forecasts the proof of the `errors` check, the only one whose rate is known before the start. `lag` is the age from
/// which minutes may be promoted on. Evidence of earlier steps counts for later ones, as it does in the judge.
#[must_use]
pub fn forecast(plan: &JudgePlan, steps: &[Step], load: &Load, lag: Span) -> Forecast {
    let check = plan
        .checks
        .iter()
        .find(|check| check.name == "errors" && check.measure == Measure::Counts && check.mode != CheckMode::Observe);
    let target = -plan.false_promotion.ln() * MIXTURE_COST;
    let mut past: Vec<(Weight, f64)> = Vec::new();
    let mut forecasts = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let tolerance = check.and_then(|check| check.tolerances.get(index).or(check.tolerances.last()));
        let takes = match (step.advance, tolerance) {
            (Advance::OnProof, Some(tolerance)) => {
                minutes_to_proof(*tolerance, step.weight, load, &past, target).map(|minutes| {
                    // The first minute at a weight is shared with the weight before.
                    let whole = Span::from_minutes(minutes_up(minutes) + 1);
                    whole.plus(lag).max(step.bake)
                })
            }
            (Advance::UnlessHarm, _) | (Advance::OnProof, None) => Some(step.bake),
        };
        if let Some(takes) = takes {
            past.push((step.weight, minutes_of(takes)));
        }
        forecasts.push(StepForecast { weight: step.weight, takes });
    }
    Forecast { steps: forecasts }
}

/// Why the spec's deadline (or a step's `atMost`) cannot be met on this traffic, and what would do. Silent when there
/// is no traffic to forecast with.
#[must_use]
pub fn deadline_problem(spec: &RolloutSpec, judge_plan: &JudgePlan, load: &Load, lag: Span) -> Option<String> {
    if load.requests_per_minute <= 0.0 || spec.steps.is_empty() {
        return None;
    }
    let forecast = forecast(judge_plan, &spec.steps, load, lag);
    let traffic = format!(
        "at {} requests a minute, {} of them failing",
        grouped(load.requests_per_minute),
        percent(load.error_rate)
    );
    let problem = match forecast.total() {
        None => {
            let step = forecast.steps.iter().find(|step| step.takes.is_none())?;
            format!("the step of {} can never be proven {traffic}: the tolerance is too small for that", step.weight)
        }
        Some(total) if total > spec.deadline => {
            let steps: Vec<String> = forecast.steps.iter().filter_map(step_in_words).collect();
            format!(
                "{traffic}, the proof takes about {total} ({}), longer than the deadline of {}",
                steps.join(", "),
                spec.deadline
            )
        }
        Some(_) => {
            let (step, longest, takes) = spec.steps.iter().zip(&forecast.steps).find_map(|(step, forecast)| {
                let (longest, takes) = (step.at_most?, forecast.takes?);
                (takes > longest).then_some((step, longest, takes))
            })?;
            format!("{traffic}, the step of {} takes about {takes}, longer than its `atMost` of {longest}", step.weight)
        }
    };
    let remedies = remedies(spec, judge_plan, load, lag, &forecast);
    if remedies.is_empty() { Some(problem) } else { Some(format!("{problem}. What would do: {}", remedies.join("; "))) }
}

/// Minutes of data at `weight` until the expected evidence suffices; `None` if it never does. Each bet is followed on
/// its own, for the evidence of the past belongs to the bet that made it.
fn minutes_to_proof(
    tolerance: Tolerance,
    weight: Weight,
    load: &Load,
    past: &[(Weight, f64)],
    target: f64,
) -> Option<f64> {
    let mut needed: Vec<f64> = growth_per_minute(tolerance, weight, load).map(|_| target).to_vec();
    for (weight, minutes) in past {
        for (needed, growth) in needed.iter_mut().zip(growth_per_minute(tolerance, *weight, load)) {
            *needed -= growth * minutes;
        }
    }
    let growth = growth_per_minute(tolerance, weight, load);
    let minutes = needed.iter().zip(growth).filter_map(|(&needed, growth)| match growth {
        _ if needed <= 0.0 => Some(0.0),
        growth if growth > 0.0 => Some(needed / growth),
        _ => None,
    });
    #[allow(clippy::cast_precision_loss)]
    let least = MINUTES_TO_PASS as f64;
    minutes.min_by(f64::total_cmp).map(|minutes| minutes.max(least))
}

fn growth_per_minute(tolerance: Tolerance, weight: Weight, load: &Load) -> [f64; 10] {
    let share = weight.share();
    if share <= 0.0 || share >= 1.0 {
        return [0.0; 10];
    }
    let growth = growth_per_request(load.error_rate, share / (1.0 - share), tolerance.factor, tolerance.points);
    growth.map(|growth| growth * share * load.requests_per_minute)
}

fn step_in_words(step: &StepForecast) -> Option<String> {
    step.takes.map(|takes| format!("{}: {takes}", step.weight))
}

/// What would make the proof fit, each with its number.
fn remedies(spec: &RolloutSpec, judge_plan: &JudgePlan, load: &Load, lag: Span, forecast: &Forecast) -> Vec<String> {
    let mut remedies = Vec::new();
    match forecast.total() {
        Some(total) if total > spec.deadline => remedies.push(format!("a deadline of at least {total}")),
        Some(_) => {
            let longest = forecast.steps.iter().filter_map(|step| step.takes).max();
            remedies.extend(longest.map(|longest| format!("an `atMost` of at least {longest}")));
        }
        None => {}
    }
    if let Some((weight, total)) = larger_weight(spec, load, lag) {
        remedies.push(format!("a larger weight, such as a single step of {weight} (about {total})"));
    }
    let factors = [1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 100.0];
    let enough = factors.into_iter().find(|&by| {
        let wider = wider_plan(judge_plan, by);
        self::forecast(&wider, &spec.steps, load, lag).fits(&spec.steps, spec.deadline)
    });
    if let (Some(by), Some(tolerate)) = (enough, errors_tolerance(spec)) {
        remedies.push(format!("a larger tolerance of the errors check, {}", widened(tolerate, by)));
    }
    remedies
}

/// The same rollout in one step of half the traffic, where evidence comes in fastest; `None` if that is no help.
fn larger_weight(spec: &RolloutSpec, load: &Load, lag: Span) -> Option<(Weight, Span)> {
    let half = Weight::from_basis_points(5000)?;
    let last = spec.steps.last()?;
    if spec.steps.len() == 1 && last.weight >= half {
        return None;
    }
    let mut single = spec.clone();
    single.steps = vec![Step { weight: half, ..last.clone() }];
    let forecast = forecast(&plan(&single), &single.steps, load, lag);
    forecast.total().filter(|_| forecast.fits(&single.steps, spec.deadline)).map(|total| (half, total))
}

fn wider_plan(judge_plan: &JudgePlan, by: f64) -> JudgePlan {
    let mut wider = judge_plan.clone();
    for tolerance in wider.checks.iter_mut().flat_map(|check| &mut check.tolerances) {
        *tolerance = widened(*tolerance, by);
    }
    wider
}

fn widened(tolerance: Tolerance, by: f64) -> Tolerance {
    Tolerance { factor: 1.0 + (tolerance.factor - 1.0) * by, points: (tolerance.points * by).min(1.0) }
}

fn errors_tolerance(spec: &RolloutSpec) -> Option<Tolerance> {
    spec.checks.iter().find_map(|Check { kind, .. }| match kind {
        CheckKind::Errors { tolerate } => Some(*tolerate),
        CheckKind::Latency { .. }
        | CheckKind::Rate { .. }
        | CheckKind::Distribution { .. }
        | CheckKind::Mean { .. }
        | CheckKind::Gauge { .. } => None,
    })
}

/// Whole minutes, at most a century: what takes longer is never in time.
fn minutes_up(minutes: f64) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = minutes.clamp(0.0, 52_560_000.0).ceil() as u64;
    whole
}

fn minutes_of(span: Span) -> f64 {
    // Spans are at most a century of seconds, far below 2^53.
    #[allow(clippy::cast_precision_loss)]
    let seconds = span.seconds() as f64;
    seconds / 60.0
}
