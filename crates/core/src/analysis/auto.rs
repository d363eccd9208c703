//! `strategy: auto`: the weight follows what is proven, so that a bad release costs about as many failed requests as the
//! budget says, and a good one does not wait on steps.

use serde::{Deserialize, Serialize};

use crate::spec::{Auto, RolloutSpec};
use crate::units::{Span, Weight};

use super::course::{Exposure, Risk, Worth, bounds, tolerance, tolerated};
use super::stats::{AutoLimits, Margin, Rates, budget_weight};
use super::{JudgePlan, Load, PlannedCheck, grouped};

/// The check whose events are the harm that is budgeted.
const BUDGETED: &str = "errors";

/// A weight rises to at most this many times itself.
const RAMP: f64 = 3.0;

/// While the canary looks worse.
const BRAKED: u16 = 500;

/// From this weight on the brake is pulled only once in a rollout: a second drop would throw away what is known of a
/// regression that shows only under load.
const HIGH: u16 = 2500;

/// Evidence for harm, as a factor, that pulls the brake.
pub(super) const BRAKE: f64 = 2.0;

/// Where something else than the budgeted harm is not proven, no more than this, or what its tolerance allows.
const UNPROVEN_SHARE: f64 = 0.1;

/// Weights are changed for more than this only.
const RAISE: f64 = 1.05;
const LOWER: f64 = 1.3;

/// How weights are chosen; frozen when the rollout starts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoPlan {
    /// Failed requests that a bad release may cost, about.
    pub harm_budget: f64,
    /// Of both versions, before the rollout; 0 when not known.
    pub requests_per_minute: f64,
    /// Share of the requests that failed then.
    pub error_rate: f64,
    /// Minutes until a minute is read.
    pub lag_minutes: f64,
    /// Where the proof for 100 % is made.
    pub largest: Weight,
}

/// What the judge says about the weight.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Advice {
    /// The budget allows no more.
    pub weight: Weight,
    /// The canary looks worse.
    pub brake: bool,
    /// How many more of the canary's requests may fail, as far as is proven, as a share.
    pub excess: f64,
    /// Failed requests so far that a healthy canary would not have had.
    pub spent: f64,
}

impl AutoPlan {
    /// The default budget grows with traffic and with the time until anything is read.
    pub(super) fn of(spec: &RolloutSpec) -> Option<Self> {
        let auto = spec.auto?;
        let largest = spec.steps.last()?.weight;
        let plan = Self { harm_budget: 0.0, requests_per_minute: 0.0, error_rate: 0.0, lag_minutes: 0.0, largest };
        Some(plan.on(auto, None, Span::ZERO))
    }

    fn on(self, auto: Auto, load: Option<&Load>, lag: Span) -> Self {
        // Lags are minutes.
        #[allow(clippy::cast_precision_loss)]
        let lag_minutes = lag.minutes_ceil() as f64;
        let requests_per_minute = load.map_or(0.0, |load| load.requests_per_minute);
        let default = (requests_per_minute / 75.0).clamp(20.0, 40.0) * (1.0 + lag_minutes / 2.0);
        let harm_budget = auto.harm_budget.map_or(default, f64::from);
        Self {
            harm_budget,
            requests_per_minute,
            error_rate: load.map_or(0.0, |load| load.error_rate),
            lag_minutes,
            ..self
        }
    }

    /// The weight to begin with, when nothing is proven.
    #[must_use]
    pub fn first(&self) -> Weight {
        let share = budget_weight(&self.limits(self.error_rate, 0.0, None), self.harm_budget, 1.0);
        weight(share).min(self.largest)
    }

    fn limits(&self, rate: f64, tolerated: f64, requests_per_minute: Option<f64>) -> AutoLimits {
        AutoLimits {
            requests_per_minute: requests_per_minute.unwrap_or(self.requests_per_minute).max(1.0),
            rate,
            lag_minutes: self.lag_minutes,
            tolerated,
            largest_share: self.largest.share(),
        }
    }

    /// What the budget allows after what was spent, and what the other checks allow.
    pub(super) fn advice(&self, risk: &Risk, others: &[Risk], brake: bool) -> Advice {
        let Risk { tolerated, excess, rate, spent, requests_per_minute } = *risk;
        let limits = self.limits(rate, tolerated, requests_per_minute);
        let affordable = budget_weight(&limits, self.harm_budget - spent, excess);
        let allowed = |other: &Risk| UNPROVEN_SHARE.max(other.tolerated / other.excess);
        let share = others.iter().map(allowed).fold(affordable, f64::min);
        Advice { weight: weight(share).min(self.largest), brake, excess, spent }
    }

    /// The next weight, or `None` to stay. `dropped` says that the brake has been pulled at a high weight before.
    #[must_use]
    pub fn next(&self, advice: &Advice, now: Weight, dropped: bool) -> Option<Weight> {
        let braked = Weight::from_basis_points(BRAKED)?;
        let high = now.basis_points() >= HIGH;
        let brakes = advice.brake && !(dropped && high);
        let ramp = weight(now.share() * RAMP);
        let limits = [Some(advice.weight), Some(ramp), Some(self.largest), brakes.then_some(braked)];
        let next = limits.into_iter().flatten().min()?;
        let raises = next.share() > RAISE * now.share() || next == self.largest && next > now;
        let lowers = next.share() < now.share() / LOWER;
        (raises || lowers).then_some(next)
    }

    /// Whether a change of weights is the brake at a high weight.
    #[must_use]
    pub fn is_drop(from: Weight, to: Weight) -> bool {
        from.basis_points() >= HIGH && to.basis_points() <= BRAKED && to > Weight::ZERO
    }
}

impl JudgePlan {
    /// After a raise a minute of the whole weight must count before the next one, or what must warm up first would not be
    /// judged before the last weight.
    #[must_use]
    pub fn minutes_between_raises(&self) -> usize {
        usize::try_from(self.warm_up().minutes).unwrap_or(usize::MAX).saturating_add(1)
    }
}

/// Of the checks the budgeted one, and the others.
pub(super) fn is_budgeted(check: &PlannedCheck) -> bool {
    check.name == BUDGETED
}

/// Rounded down, so that no limit is passed, and never nothing.
fn weight(share: f64) -> Weight {
    // Shares are at most 1.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let points = (share.clamp(0.0, 1.0) * 10_000.0).floor() as u16;
    Weight::from_basis_points(points.max(1)).unwrap_or(Weight::FULL)
}

/// Freezes what is known of the traffic into an `auto` plan, and says if the budget is too small to get anywhere in time.
pub fn plan_auto(plan: &mut JudgePlan, spec: &RolloutSpec, load: Option<&Load>, lag: Span) -> Option<String> {
    let (auto, planned) = (spec.auto?, plan.auto?);
    let planned = planned.on(auto, load, lag);
    plan.auto = Some(planned);
    let (load, written) = (load?, auto.harm_budget?);
    if minutes_to_promotion(plan, load).is_some_and(|minutes| minutes <= plan.deadline_minutes) {
        return None;
    }
    let enough = [10, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000, 2000, 5000, 10_000];
    let enough = enough.into_iter().filter(|budget| *budget > written).find(|budget| {
        let more = AutoPlan { harm_budget: f64::from(*budget), ..planned };
        let richer = JudgePlan { auto: Some(more), ..plan.clone() };
        minutes_to_promotion(&richer, load).is_some_and(|minutes| minutes <= plan.deadline_minutes)
    });
    enough.map(|enough| {
        format!(
            "with {written} failed requests to spend at {} requests a minute, a good release would not be proven by the \
             deadline: the weight could not rise fast enough to learn anything; write at least `harmBudget: {enough}`, \
             or leave it out",
            grouped(load.requests_per_minute)
        )
    })
}

/// Minutes until a healthy release is expected to be proven, by going through the plan minute by minute; `None` if it takes
/// longer than a rollout may.
pub(super) fn minutes_to_promotion(plan: &JudgePlan, load: &Load) -> Option<u32> {
    let auto = plan.auto?;
    let check = plan.checks.iter().find(|check| is_budgeted(check))?;
    let history = check.learned.as_ref().and_then(|learned| learned.events.as_ref());
    let walk = Walk {
        auto,
        load: *load,
        worth: Worth::of_events(plan, history),
        margin: Margin::from(tolerance(check, 0)),
        rest: plan.minutes_between_raises(),
        nats: -plan.false_promotion.ln(),
    };
    walk.minutes(plan.deadline_minutes.clamp(1, LONGEST_WALK))
}

/// Two weeks.
const LONGEST_WALK: u32 = 20_160;

/// A healthy release on its way.
struct Walk {
    auto: AutoPlan,
    load: Load,
    worth: Worth,
    margin: Margin,
    /// Minutes between raises.
    rest: usize,
    /// What a proof needs.
    nats: f64,
}

impl Walk {
    fn minutes(&self, limit: u32) -> Option<u32> {
        let rate = self.load.error_rate;
        let bounds: Vec<f64> = bounds(self.margin, rate).collect();
        let mut known = vec![0.0; bounds.len()];
        let (mut below, mut top, mut minutes_at_top) = (0.0, 0.0, 0_u32);
        let (mut weights, mut minutes_at) = (vec![self.auto.first()], 1);
        // Lags are minutes.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let lag = self.auto.lag_minutes.clamp(0.0, 1e4) as usize + 1;
        for minute in 1..=limit {
            let now = *weights.last()?;
            let excess =
                bounds.iter().zip(&known).find(|(_, nats)| **nats >= self.nats).map_or(1.0, |(bound, _)| *bound);
            let risk = Risk {
                tolerated: tolerated(self.margin, rate),
                excess,
                rate,
                spent: 0.0,
                requests_per_minute: Some(self.load.requests_per_minute),
            };
            let next = self.auto.next(&self.auto.advice(&risk, &[], false), now, false);
            let next = next.filter(|next| *next < now || minutes_at >= self.rest).unwrap_or(now);
            minutes_at = if next == now { minutes_at + 1 } else { 1 };
            weights.push(next);
            let Some(read) = weights.len().checked_sub(lag + 1).and_then(|index| weights.get(index)) else { continue };
            for (bound, nats) in bounds.iter().zip(&mut known) {
                *nats += self.told(*read, Margin::new(1.0, *bound));
            }
            if *read < self.auto.largest {
                below += self.told(*read, self.margin);
            } else {
                top += self.told(*read, self.margin);
                minutes_at_top += 1;
            }
            if minutes_at_top >= 2 && f64::min(2_f64.ln(), below) + top >= self.nats {
                return Some(minute);
            }
        }
        None
    }

    /// Nats that a minute is expected to bring.
    fn told(&self, weight: Weight, margin: Margin) -> f64 {
        let canary = weight.share() * self.load.requests_per_minute;
        let minute = Exposure { canary, baseline: self.load.requests_per_minute - canary, minutes: 1.0 };
        let rates = Rates { baseline: self.load.error_rate, canary: self.load.error_rate };
        let for_one = minute.requests_for(1.0, margin, rates, &self.worth);
        for_one.map_or(0.0, |requests| canary / requests)
    }
}
