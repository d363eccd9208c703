//! Every strategy becomes rising steps. `auto` has one, of the largest weight; the engine chooses the weights before it.

use super::decode::{At, value};
use super::problems::{Place, Problems};
use super::raw::{RawApprove, RawCanary, RawLinear, RawStep, RawStrategy, STEPS_MAX};
use super::{Advance, Approval, Auto, Ending, Step, Target};
use crate::deployment::{Deployment, Stage};
use crate::units::{Span, Weight};

/// The engine looks once a minute, and metrics are by the minute.
pub const BAKE_MIN: Span = Span::from_minutes(1);
const BAKE_DEFAULT: Span = Span::from_minutes(5);
/// In basis points: more than half of the traffic tells less, not more.
const AUTO_LARGEST: u16 = 5000;
/// In basis points: 5 %, 25 %, 50 %.
const WEIGHTS_DEFAULT: [u16; 3] = [500, 2500, 5000];

/// A strategy, compiled.
pub struct Plan {
    pub auto: Option<Auto>,
    /// How it was asked for, in the spec's words.
    pub name: String,
    pub steps: Vec<Step>,
    /// Where it was written, if it was.
    pub place: Option<Place>,
}

impl Plan {
    /// The shortest time that all steps take.
    pub fn bakes(&self) -> Span {
        self.steps.iter().fold(Span::ZERO, |sum, step| sum.plus(step.bake))
    }
}

/// The timetable of another service's deployment.
pub fn timetable(deployment: &Deployment, advance: Option<At<Advance>>, problems: &mut Problems) -> Plan {
    if deployment.steps.is_empty() {
        refuse(advance.as_ref(), Advance::OnProof, MOVES_ALL, problems);
    }
    let advance = value(advance).unwrap_or(Advance::OnProof);
    let step = |stage: &Stage| Step { weight: stage.weight, bake: stage.bake, at_most: None, advance, approve: None };
    let steps = deployment.steps.iter().map(step).collect();
    Plan { auto: None, name: deployment.strategy.clone(), steps, place: None }
}

/// Compiles what the spec asks for. What is wrong is added to `problems`, and the plan then is of no use.
pub fn compile(
    strategy: Option<At<RawStrategy>>,
    advance: Option<At<Advance>>,
    target: &Target,
    problems: &mut Problems,
) -> Plan {
    let place = strategy.as_ref().map(|at| at.place.clone());
    let default_advance = advance.as_ref().and_then(|at| at.value).unwrap_or(Advance::OnProof);
    let auto = strategy.as_ref().and_then(|at| at.value.as_ref()?.auto.as_ref()?.value.as_ref()).map(|raw| Auto {
        harm_budget: raw.harm_budget.as_ref().and_then(|at| at.value.as_ref()).map(|requests| requests.0),
    });
    let (name, steps) = match strategy {
        None => ("steps".to_owned(), default_steps(default_advance)),
        Some(At { value: None, .. }) => (String::new(), Vec::new()),
        Some(At { place, value: Some(raw) }) => {
            chosen(raw, &place, default_advance, advance.as_ref(), target, problems)
        }
    };
    Plan { auto, name, steps, place }
}

/// `increment`, twice `increment` and so on, below 100 %.
pub fn rising(increment: Weight) -> Vec<Weight> {
    let by = increment.basis_points().max(1);
    (1..).map_while(|n: u16| by.checked_mul(n).filter(|points| *points < 10_000)).filter_map(weight).collect()
}

/// Reports everything but exactly one of the fields; each is given with its place if it was written.
pub fn exactly_one(place: &Place, what: &str, fields: &[(&str, Option<&Place>)], problems: &mut Problems) {
    let mut written: Vec<(&str, &Place)> = fields.iter().filter_map(|(name, place)| Some((*name, (*place)?))).collect();
    written.sort_by_key(|(_, place)| place.pos);
    let names: Vec<String> = fields.iter().map(|(name, _)| format!("`{name}`")).collect();
    match written.as_slice() {
        [_] => {}
        [] if problems.has_stray(place) => {}
        [] => problems.add(place, format!("write exactly one {what}: {}", names.join(", "))),
        [first, others @ ..] => {
            for other in others {
                let message = format!(
                    "only one {what} is possible, and `{}` is already given{}; leave out one of the two",
                    first.0,
                    first.1.pos.suffix()
                );
                problems.add(other.1, message);
            }
        }
    }
}

fn weight(basis_points: u16) -> Option<Weight> {
    Weight::from_basis_points(basis_points)
}

fn default_steps(advance: Advance) -> Vec<Step> {
    plain_steps(WEIGHTS_DEFAULT.into_iter().filter_map(weight), BAKE_DEFAULT, advance)
}

fn plain_steps(weights: impl IntoIterator<Item = Weight>, bake: Span, advance: Advance) -> Vec<Step> {
    let step = |weight| Step { weight, bake, at_most: None, advance, approve: None };
    weights.into_iter().map(step).collect()
}

fn chosen(
    raw: RawStrategy,
    place: &Place,
    advance: Advance,
    written_advance: Option<&At<Advance>>,
    target: &Target,
    problems: &mut Problems,
) -> (String, Vec<Step>) {
    let RawStrategy { steps, auto, canary, linear, blue_green, all_at_once, preset } = raw;
    let fields = [
        ("steps", steps.as_ref().map(|at| &at.place)),
        ("auto", auto.as_ref().map(|at| &at.place)),
        ("canary", canary.as_ref().map(|at| &at.place)),
        ("linear", linear.as_ref().map(|at| &at.place)),
        ("blueGreen", blue_green.as_ref().map(|at| &at.place)),
        ("allAtOnce", all_at_once.as_ref().map(|at| &at.place)),
        ("preset", preset.as_ref().map(|at| &at.place)),
    ];
    exactly_one(place, "strategy", &fields, problems);
    let name = fields.iter().find(|(_, place)| place.is_some()).map_or("", |(name, _)| name);
    if let Some(preset) = preset {
        refuse(written_advance, Advance::OnProof, KEEPS_ITS_CLOCK, problems);
        return preset.value.map_or_else(Default::default, |preset| (preset.name(), preset.steps()));
    }
    if auto.is_some() {
        refuse(written_advance, Advance::UnlessHarm, GOES_BY_PROOF, problems);
        let proving = plain_steps(weight(AUTO_LARGEST), BAKE_MIN, Advance::OnProof);
        return (name.to_owned(), proving);
    }
    // With several strategies at once each is still looked through, so that all problems are seen.
    let mut compiled = Vec::new();
    if let Some(At { place, value: Some(list) }) = steps {
        compiled = written_steps(list.0, &place, advance, target, problems);
    }
    if let Some(canary) = value(canary) {
        compiled = one_step(canary, advance, target, problems);
    }
    if let Some(linear) = value(linear) {
        compiled = equal_steps(linear, advance, target, problems);
    }
    (name.to_owned(), compiled)
}

const KEEPS_ITS_CLOCK: &str = "a preset keeps its own clock and does not wait for a proof; leave `advance` out, or write \
                               the steps with `steps`, `canary` or `linear`";
const MOVES_ALL: &str = "this deployment moves all traffic at once, so no minute has both versions and nothing can be proven; \
                         leave `advance` out, or give the deployment a canary or linear configuration";
const GOES_BY_PROOF: &str = "`auto` raises the weight by what is proven; leave `advance` out, or write the steps with \
                             `steps`, `canary` or `linear`";

/// The defaults of an account may say otherwise for all its other rollouts; a spec that says both contradicts itself.
fn refuse(advance: Option<&At<Advance>>, wrong: Advance, message: &str, problems: &mut Problems) {
    let Some(At { place, value: Some(written) }) = advance else { return };
    if *written == wrong && !place.pos.is_in_defaults() {
        problems.add(place, message);
    }
}

fn written_steps(
    steps: Vec<At<RawStep>>,
    place: &Place,
    advance: Advance,
    target: &Target,
    problems: &mut Problems,
) -> Vec<Step> {
    if steps.is_empty() {
        problems.add(place, "is empty; write at least one step, or `allAtOnce: {}` for none");
    }
    let mut compiled = Vec::new();
    let mut before: Option<(Weight, Place)> = None;
    for raw in steps.into_iter().filter_map(|step| step.value) {
        let written = raw.weight.clone();
        let Some(step) = step(raw, advance, target, problems) else { continue };
        let Some(At { place: at, value: Some(written) }) = written else { continue };
        if let Some((weight, place)) = &before
            && step.weight <= *weight
        {
            let message = format!(
                "`{}`{} is not more than the step before it (`{}`{}); weights rise from step to step",
                written.spec_form(),
                if written == step.weight { "" } else { ", to the nearest weight that can be set," },
                weight.spec_form(),
                place.pos.suffix()
            );
            problems.add(&at, message);
        }
        before = Some((step.weight, at));
        compiled.push(step);
    }
    compiled
}

/// `None` when the weight is missing or wrong, which is then reported.
fn step(raw: RawStep, advance: Advance, target: &Target, problems: &mut Problems) -> Option<Step> {
    let bake = duration(raw.bake, BAKE_DEFAULT, BAKE_MIN, problems);
    if let Some(At { place, value: Some(at_most) }) = &raw.at_most
        && *at_most < bake
    {
        let message =
            format!("`atMost` is {}, shorter than the step's `bake` of {}", at_most.spec_form(), bake.spec_form());
        problems.add(place, message);
    }
    let approve = value(raw.approve).map(|raw| approval(raw, problems));
    let weight = part_of_traffic(raw.weight?, target, problems)?;
    let advance = value(raw.advance).unwrap_or(advance);
    Some(Step { weight, bake, at_most: value(raw.at_most), advance, approve })
}

fn approval(raw: RawApprove, problems: &mut Problems) -> Approval {
    Approval {
        within: duration(raw.within, BAKE_MIN, BAKE_MIN, problems),
        otherwise: final_ending(raw.otherwise, problems),
    }
}

/// What ends a wait for a person cannot be another wait.
pub fn final_ending(ending: Option<At<Ending>>, problems: &mut Problems) -> Ending {
    if let Some(At { place, value: Some(Ending::Pause) }) = &ending {
        problems.add(place, "`pause` would wait again, and no pause is for ever; write `rollBack` or `promote`");
    }
    value(ending).unwrap_or(Ending::RollBack)
}

/// A duration of at least `least`; `default` when it is left out.
pub fn duration(written: Option<At<Span>>, default: Span, least: Span, problems: &mut Problems) -> Span {
    if let Some(At { place, value: Some(span) }) = &written
        && *span < least
    {
        let (span, least) = (span.spec_form(), least.spec_form());
        problems.add(place, format!("`{span}` is too short; metrics come by the minute, so write at least `{least}`"));
    }
    value(written).unwrap_or(default)
}

fn one_step(raw: RawCanary, advance: Advance, target: &Target, problems: &mut Problems) -> Vec<Step> {
    let bake = duration(raw.bake, BAKE_DEFAULT, BAKE_MIN, problems);
    let weight = raw.weight.and_then(|weight| part_of_traffic(weight, target, problems));
    plain_steps(weight, bake, advance)
}

fn equal_steps(raw: RawLinear, advance: Advance, target: &Target, problems: &mut Problems) -> Vec<Step> {
    let bake = duration(raw.every, BAKE_DEFAULT, BAKE_MIN, problems);
    let Some(at) = raw.increment else { return Vec::new() };
    let place = at.place.clone();
    let Some(increment) = part_of_traffic(at, target, problems) else { return Vec::new() };
    let weights = rising(increment);
    if weights.len() > STEPS_MAX {
        let message = format!(
            "steps of {} would be {} steps; at most {STEPS_MAX} are allowed, so write at least `2%`",
            increment.spec_form(),
            weights.len()
        );
        problems.add(&place, message);
    }
    plain_steps(weights.into_iter().map(|weight| target.settable(weight)), bake, advance)
}

/// A step's weight, as the target can have it: above 0 % and below 100 %.
fn part_of_traffic(weight: At<Weight>, target: &Target, problems: &mut Problems) -> Option<Weight> {
    let At { place, value } = weight;
    let message = match value? {
        Weight::ZERO => "a step at 0% sends the new version nothing, so there is nothing to judge; write more than 0%",
        Weight::FULL => "promotion to 100% follows the last step by itself; leave this step out",
        weight => return settable(weight, target, &place, problems),
    };
    problems.add(&place, message);
    None
}

/// The nearest weight that the target can have. A load balancer's are ratios of whole numbers.
fn settable(weight: Weight, target: &Target, place: &Place, problems: &mut Problems) -> Option<Weight> {
    let (least, most) = (target.settable(Weight::SMALLEST), target.settable(Weight::SMALLEST.complement()));
    let only = |which: &str, share: Weight| {
        format!(
            "an Application Load Balancer's weights are 0 to 999, so the {which} share beside another group is {}",
            share.spec_form()
        )
    };
    if weight < least {
        problems.add(place, only("smallest", least));
        return None;
    }
    if weight > most {
        problems.add(place, only("largest", most));
        return None;
    }
    let nearest = target.settable(weight);
    if nearest != weight {
        let (weight, nearest) = (weight.spec_form(), nearest.spec_form());
        problems.warn(place, format!("{weight} cannot be set with weights of 0 to 999; {nearest} is"));
    }
    Some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_steps_stay_below_all_traffic() {
        for increment in 1..=10_000 {
            let weights: Vec<u16> = rising(weight(increment).unwrap()).into_iter().map(Weight::basis_points).collect();
            let wanted: Vec<u16> = (1..10_000).filter(|points| points % increment == 0).collect();
            assert_eq!(weights, wanted);
        }
    }
}
