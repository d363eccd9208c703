//! The weights that a rollout has had, the one it has, and those to come.

use coalmine_core::rollout::{Held, Phase};
use coalmine_core::spec::Step;
use coalmine_core::units::{Span, Timestamp, Weight};
use schemars::JsonSchema;
use serde::Serialize;

use super::view::Look;

/// A weight and its time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    #[schemars(with = "String")]
    pub weight: Weight,
    pub stands: Stands,
    /// When the weight was asked for.
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// How long it was there, or has been.
    #[schemars(with = "Option<String>")]
    pub took: Option<Span>,
    /// Of the last one: how long all traffic is watched.
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch: Option<Span>,
    /// A person must agree before it is left.
    pub approval: bool,
}

/// Where in the timetable a weight is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Stands {
    /// Left for a higher one.
    Passed,
    /// Left for a lower one.
    TurnedBack,
    Present,
    ToCome,
}

pub(super) fn of(look: &Look<'_>) -> Vec<Stage> {
    let rollout = look.rollout;
    let weights = &rollout.weights;
    let mut stages: Vec<Stage> = Vec::new();
    for (place, seen) in weights.iter().enumerate() {
        let next = weights.get(place + 1);
        let until = next.map(|next| next.at).or(rollout.ended_at()).unwrap_or(look.now);
        let stands = match next {
            Some(next) if next.weight > seen.weight => Stands::Passed,
            Some(_) => Stands::TurnedBack,
            None => Stands::Present,
        };
        // Nothing had traffic at 0 %, and after an end nobody counts how long it has been there.
        let took = (seen.weight > Weight::ZERO).then(|| until.since(seen.at));
        let watch = (seen.weight == Weight::FULL).then_some(rollout.spec.after.watch);
        stages.push(Stage { weight: seen.weight, stands, since: Some(seen.at), took, watch, approval: false });
    }
    // Each once, as the spec has it: a weight that was paused at is not left by that.
    stages.dedup_by(|later, earlier| {
        let same = later.weight == earlier.weight;
        if same {
            earlier.stands = later.stands;
            earlier.took = earlier.took.zip(later.took).map(|(one, other)| one.plus(other));
        }
        same
    });
    if !rollout.is_terminal() && !matches!(rollout.phase, Phase::RollingBack { .. }) {
        stages.extend(to_come(look));
    }
    stages
}

/// What follows the weight that was seen live last.
fn to_come(look: &Look<'_>) -> Vec<Stage> {
    let rollout = look.rollout;
    let live = rollout.weights.last().map_or(Weight::ZERO, |seen| seen.weight);
    let stage = |weight: Weight, approval: bool| {
        let watch = (weight == Weight::FULL).then_some(rollout.spec.after.watch);
        Stage { weight, stands: Stands::ToCome, since: None, took: None, watch, approval }
    };
    let higher = |step: &&Step| step.weight > live;
    let mut stages: Vec<Stage> =
        rollout.spec.steps.iter().filter(higher).map(|step| stage(step.weight, step.approve.is_some())).collect();
    let promoting = matches!(rollout.phase, Phase::Promoting { .. });
    if promoting {
        stages.clear();
    }
    if live < Weight::FULL {
        stages.push(stage(Weight::FULL, false));
    }
    stages
}

/// The step that a rollout is in, or is to be in when its pause ends.
pub(super) fn step(look: &Look<'_>) -> Option<usize> {
    match &look.rollout.phase {
        Phase::Shifting { step, .. }
        | Phase::Baking { step, .. }
        | Phase::Paused { held: Held::Step { step, .. }, .. } => Some(*step),
        Phase::Pending { .. }
        | Phase::Paused { held: Held::Pending, .. }
        | Phase::Promoting { .. }
        | Phase::RollingBack { .. }
        | Phase::Promoted { .. }
        | Phase::RolledBack { .. }
        | Phase::Superseded { .. } => None,
    }
}
