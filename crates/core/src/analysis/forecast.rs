//! How long the proof will take, before anything is started.

use crate::spec::{Advance, Check, CheckKind, CheckMode, RolloutSpec, Settle, Step, Tolerance};
use crate::units::{Span, Weight};

use super::auto::minutes_to_promotion;
use super::bars::MINUTES_TO_PASS;
use super::course::{Exposure, Worth, tolerance};
use super::stats::{Margin, Rates};
use super::{JudgePlan, Measure, PROPOSED_POINTS, PlannedCheck, WarmUp, grouped, percent, plan};

/// What earlier steps' evidence saves a later one: at most ln 2 of ln 20 is carried.
const CARRIED: f64 = 0.23;

const LEAST_MINUTES: u64 = MINUTES_TO_PASS as u64;

/// A proof that takes this much longer for want of a single error in the past is worth a word, in percent.
const WORTH_A_WORD: u64 = 125;

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

/// Forecasts the proof of the `errors` check, the only one whose rate is known before the start; of latency, its warm-up.
/// `lag` is the age from which minutes may be promoted on.
#[must_use]
pub fn forecast(plan: &JudgePlan, spec: &RolloutSpec, load: &Load, lag: Span) -> Forecast {
    let check = plan
        .checks
        .iter()
        .find(|check| check.name == "errors" && check.measure == Measure::Counts && check.mode != CheckMode::Observe);
    let steps = spec.steps.iter().enumerate().map(|(index, step)| {
        let takes = match (step.advance, check) {
            (Advance::OnProof, Some(_)) if plan.auto.is_some() => {
                let cold = Span::from_minutes(cold_minutes(plan, step.weight, load));
                minutes_to_promotion(plan, load).map(|minutes| Span::from_minutes(minutes.into()).plus(cold))
            }
            (Advance::OnProof, Some(check)) => minutes_to_proof(plan, check, index, step.weight, load).map(|minutes| {
                // The first minute at a weight is shared with the weight before. A pass that must settle waits for the
                // minutes that passed meanwhile.
                let waits = if spec.settles(index) { lag } else { Span::ZERO };
                let warm = cold_minutes(plan, step.weight, load) + LEAST_MINUTES;
                let data = Span::from_minutes(minutes_up(minutes).max(warm) + 1);
                data.plus(lag).plus(waits).max(step.bake)
            }),
            (Advance::UnlessHarm, _) | (Advance::OnProof, None) => Some(step.bake),
        };
        StepForecast { weight: step.weight, takes }
    });
    Forecast { steps: steps.collect() }
}

/// Why the spec's deadline (or a step's `atMost`) cannot be met on this traffic, and what would do. Silent when there
/// is no traffic to forecast with.
#[must_use]
pub fn deadline_problem(spec: &RolloutSpec, judge_plan: &JudgePlan, load: &Load, lag: Span) -> Option<String> {
    if load.requests_per_minute <= 0.0 || spec.steps.is_empty() {
        return None;
    }
    let forecast = forecast(judge_plan, spec, load, lag);
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

/// Minutes of data at `weight` until the expected evidence suffices; `None` if it never does.
fn minutes_to_proof(plan: &JudgePlan, check: &PlannedCheck, step: usize, weight: Weight, load: &Load) -> Option<f64> {
    let history = check.learned.as_ref().and_then(|learned| learned.events.as_ref());
    let worth = Worth::of_events(plan, history);
    let share = weight.share();
    let canary = share * load.requests_per_minute;
    let a_minute = Exposure { canary, baseline: load.requests_per_minute - canary, minutes: 1.0 };
    let rates = Rates { baseline: load.error_rate, canary: load.error_rate };
    let carried = if step > 0 { CARRIED } else { 0.0 };
    let nats = -plan.false_promotion.ln() * (1.0 - carried);
    let requests = a_minute.requests_for(nats, Margin::from(tolerance(check, step)), rates, &worth)?;
    #[allow(clippy::cast_precision_loss)]
    let least = LEAST_MINUTES as f64;
    Some((requests / canary).max(least)).filter(|minutes| *minutes < CENTURY_MINUTES)
}

/// Minutes after a raise in which latency does not count. Of the minute of the raise, half is at the new weight.
fn cold_minutes(plan: &JudgePlan, weight: Weight, load: &Load) -> u64 {
    let WarmUp { minutes, requests } = plan.warm_up();
    let canary = weight.share() * load.requests_per_minute;
    let served = if requests > 0.0 && canary > 0.0 { minutes_up(requests / canary - 0.5) } else { 0 };
    served.max(minutes.into())
}

/// That a proof takes longer because nobody can tell how the first errors will come, and what would do. Silent where
/// the past has errors or it makes little difference.
#[must_use]
pub fn unknown_clusters(spec: &RolloutSpec, plan: &JudgePlan, load: &Load, lag: Span) -> Option<String> {
    let independent = of_independent(plan)?;
    let total = |plan: &JudgePlan| forecast(plan, spec, load, lag).total();
    let sooner = total(&independent)?;
    let takes = match total(plan) {
        Some(total) if total.seconds() * 100 < WORTH_A_WORD * sooner.seconds() => return None,
        Some(total) => format!("about {total} instead of {sooner}"),
        None => format!("for ever instead of about {sooner}"),
    };
    Some(format!(
        "no request of the old version failed in its history, so nobody knows whether errors come one by one or in clusters; \
         a proof takes three times the requests: {takes} where all goes well. If they come one by one, write \
         `analysis: {{independence: assumed}}`"
    ))
}

/// The plan in which requests fail one by one; `None` unless the past, without any error, leaves that open.
fn of_independent(plan: &JudgePlan) -> Option<JudgePlan> {
    let events = |check: &PlannedCheck| check.learned.as_ref()?.events.as_ref().map(|past| past.events);
    let errors = plan.checks.iter().find(|check| check.name == "errors" && check.mode != CheckMode::Observe)?;
    let open = !plan.independent && events(errors)? <= 0.0;
    open.then(|| JudgePlan { independent: true, ..plan.clone() })
}

fn step_in_words(step: &StepForecast) -> Option<String> {
    step.takes.map(|takes| format!("{}: {takes}", step.weight))
}

/// What would make the proof fit, each with its number. Proposed, never chosen.
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
    let in_time = |spec: &RolloutSpec, plan: &JudgePlan| {
        let forecast = self::forecast(plan, spec, load, lag);
        forecast.total().filter(|_| forecast.fits(&spec.steps, spec.deadline))
    };
    let at_once = RolloutSpec { settle: Settle::None, ..spec.clone() };
    if let Some(total) = in_time(&at_once, judge_plan) {
        remedies.push(format!("`settle: none`, which goes on before the newest minutes are read (about {total})"));
    }
    if let Some(independent) = of_independent(judge_plan)
        && let Some(total) = in_time(spec, &independent)
    {
        remedies.push(format!(
            "`analysis: {{independence: assumed}}`, for without an error in the history it is not known whether they come in \
             clusters (about {total})"
        ));
    }
    if let Some(single) = larger_weight(spec)
        && let Some(total) = in_time(&single, &with_the_history_of(judge_plan, plan(&single)))
        && let Some(step) = single.steps.first()
    {
        remedies.push(format!("a larger weight, such as a single step of {} (about {total})", step.weight));
    }
    let Some(asked) = errors_tolerance(spec) else { return remedies };
    let wider = PROPOSED_POINTS.into_iter().filter(|points| *points > asked.points).find_map(|points| {
        let tolerate = Tolerance { points, ..asked };
        let wider = with_errors_tolerance(spec, tolerate);
        in_time(&wider, &with_the_history_of(judge_plan, plan(&wider))).map(|total| (tolerate, total))
    });
    remedies.push(match wider {
        Some((tolerate, total)) => {
            format!("a larger tolerance of the errors check, {tolerate} (about {total})")
        }
        None => {
            "`advance: unlessHarm`, which goes on without a proof (no tolerance up to 5 points can be proven in time)"
                .to_owned()
        }
    });
    remedies
}

/// The same rollout in one step of half the traffic, where evidence comes in fastest; `None` if it is one already.
fn larger_weight(spec: &RolloutSpec) -> Option<RolloutSpec> {
    let half = Weight::from_basis_points(5000)?;
    let last = spec.steps.last()?;
    if spec.steps.len() == 1 && last.weight >= half {
        return None;
    }
    Some(RolloutSpec { steps: vec![Step { weight: half, ..last.clone() }], ..spec.clone() })
}

fn with_errors_tolerance(spec: &RolloutSpec, wanted: Tolerance) -> RolloutSpec {
    let mut wider = spec.clone();
    for check in &mut wider.checks {
        if let CheckKind::Errors { tolerate } = &mut check.kind {
            *tolerate = wanted;
        }
    }
    wider
}

/// Another spec's plan, with what was learned for the plan of the one that is asked.
fn with_the_history_of(learned: &JudgePlan, mut plan: JudgePlan) -> JudgePlan {
    for (check, known) in plan.checks.iter_mut().zip(&learned.checks) {
        check.learned.clone_from(&known.learned);
    }
    plan.independent = learned.independent;
    plan
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

/// What takes longer is never in time.
const CENTURY_MINUTES: f64 = 52_560_000.0;

fn minutes_up(minutes: f64) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = minutes.clamp(0.0, CENTURY_MINUTES).ceil() as u64;
    whole
}
