//! From what was written to a [`Scenario`]: defaults, and the rules that concern more than one field.

use std::collections::BTreeSet;

use serde_json::Value;

use super::environments::Asked;
use super::expect::Expect;
use super::happens::{Known, fault};
use super::leaves::{CallsWord, LambdaHook, TellsWord};
use super::names::Names;
use super::raw::{InnerSpec, RawCodeDeploy, RawController, RawDeployed, RawEcs, RawScenario};
use super::trace::Trace;
use super::traffic::Lowered;
use super::{Written, traffic};
use crate::deployment::EcsStage;
use crate::driver::Settings;
use crate::sim::scenario::{Calls, Deployed, Scenario};
use crate::sim::traffic::Traffic;
use crate::sim::world::{CodeDeploy, Deploys, Ecs, Tells, Timetable};
use crate::spec::decode::{At, List, value};
use crate::spec::leaves::AlarmName;
use crate::spec::problems::{Place, Problems};
use crate::spec::raw::{ALARMS_MAX, RawCanary, RawLinear, RawNothing};
use crate::spec::{CheckKind, Mode, RolloutSpec, Target, Version, exactly_one};
use crate::units::{Span, Weight};

/// A week of ticks takes some seconds.
const LONGEST_MAX: Span = Span::from_hours(7 * 24);
const LONGEST_DEFAULT: Span = Span::from_hours(24);
/// Nobody looks at more of the past.
const PAST_MAX: Span = Span::from_hours(15 * 24);
const PAST_MIN: Span = Span::from_minutes(60);
const PAST_DEFAULT: Span = Span::from_hours(24);
/// What Lambda allows.
const TIMEOUT_MAX: Span = Span::from_minutes(15);
const TIMEOUT_DEFAULT: Span = Span::from_seconds(3);
const LAG_DEFAULT: Span = Span::from_minutes(3);
const LAG_MAX: Span = Span::from_hours(1);
/// Below a minute no tick comes in time.
const SWITCH_MIN: Span = Span::from_minutes(2);
const CALLS_BY_DEFAULT: Span = Span::from_seconds(30);

type AlarmNames = At<List<AlarmName, ALARMS_MAX>>;

/// Means nothing as long as there are problems.
pub fn lower(
    raw: RawScenario,
    inner: &InnerSpec,
    trace: Option<&Trace>,
    whole: &Place,
    problems: &mut Problems,
) -> Option<Written> {
    let spec = &inner.spec;
    let mut names = Names::of(spec);
    let places = [raw.spec.as_ref().map(|at| &at.place), raw.spec_file.as_ref().map(|at| &at.place)];
    let spec_place = places.into_iter().flatten().next().unwrap_or(whole).clone();
    let baseline = names.at(raw.baseline.as_ref(), problems);
    let baseline_place = raw.baseline.as_ref().map_or_else(|| whole.clone(), |at| at.place.clone());
    let longest = within(raw.longest, LONGEST_DEFAULT, Span::from_minutes(1), LONGEST_MAX, problems);
    let past = within(raw.past, PAST_DEFAULT, PAST_MIN, PAST_MAX, problems);
    let timeout = within(raw.timeout, TIMEOUT_DEFAULT, Span::from_seconds(1), TIMEOUT_MAX, problems);
    let sticky = sticky(raw.stickiness, &spec.target, problems);
    let mut traffic = raw.traffic.and_then(|at| traffic::lower(at, spec, trace, &names, problems));
    let asked = traffic.as_mut().map(|lowered| std::mem::take(&mut lowered.asked)).unwrap_or_default();
    let asked = Asked { account: raw.account, ..asked };
    let service = asked.lower(&spec.target, traffic.as_ref().map(|lowered| &lowered.traffic), timeout, problems);
    if let (None, Target::Lambda(_), Some(lowered)) = (&spec.version, &spec.target, &traffic) {
        // The newest one is the new one.
        names.named.extend(lowered.places.iter().map(|(version, _)| version.clone()));
    }
    let canary = baseline.as_ref().and_then(|baseline| canary(spec, baseline, &names, &baseline_place, problems));
    // Whatever else is wrong is said all the same.
    let new = canary.clone().unwrap_or_else(|| Version(String::new()));
    let deployed = raw.deployed.and_then(|at| deployed(at, spec, inner, &new, problems));
    let mut alarms = alarms(raw.alarms, spec);
    alarms.extend(deployed.iter().flat_map(|deployed| deployed.how.alarms().iter().cloned()));
    let known = Known { target: &spec.target, canary: &new, alarms: &alarms, longest };
    let events = value(raw.events).map(|list| list.0).unwrap_or_default();
    let events = events.into_iter().filter_map(|at| known.event(at, &mut names, problems)).collect::<Vec<_>>();
    let faults = value(raw.faults).map(|list| list.0).unwrap_or_default();
    let faults = faults.into_iter().filter_map(|at| fault(at, longest, problems)).collect();
    let (settings, rival, ticks_twice) = controller(value(raw.controller), problems);
    let (baseline, canary, Lowered { mut traffic, places, .. }) = (baseline?, canary?, traffic?);
    warn_of_metrics(spec, &traffic, &spec_place, problems);
    names.named.insert(canary.clone());
    places.iter().for_each(|(version, place)| names.must_be_named(version, place, problems));
    traffic::complete(&mut traffic, &names, trace, (&baseline, &canary));
    let mut scenario = Scenario {
        target: spec.target.clone(),
        baseline,
        spec: inner.value.clone(),
        traffic,
        past,
        timeout,
        alarms,
        events,
        faults,
        settings,
        longest,
        ticks_twice,
        rival,
        sticky,
        service,
        deployed: None,
    };
    if let Some(deployed) = deployed {
        scenario = scenario.shifted_by(deployed);
    }
    let expect = value(raw.expect).map(Expect::of);
    Some(Written { title: value(raw.title).map(|label| label.0), scenario, expect, warnings: Vec::new() })
}

fn within(at: Option<At<Span>>, default: Span, least: Span, most: Span, problems: &mut Problems) -> Span {
    let Some(At { place, value: Some(span) }) = at else { return default };
    if span < least || span > most {
        let (span, least, most) = (span.spec_form(), least.spec_form(), most.spec_form());
        problems.add(&place, format!("`{span}` is out of range; write `{least}` to `{most}`"));
    }
    span
}

fn sticky(at: Option<At<super::leaves::SpanOrOff>>, target: &Target, problems: &mut Problems) -> Option<Span> {
    let At { place, value: Some(kept) } = at? else { return None };
    if matches!(target, Target::Lambda(_)) {
        problems.add(&place, "`stickiness` is about target groups; the spec's target is an alias");
    }
    kept.0
}

/// The version that the spec names, or the newest that anything names; behind a load balancer the other group.
fn canary(
    spec: &RolloutSpec,
    baseline: &Version,
    names: &Names<'_>,
    place: &Place,
    problems: &mut Problems,
) -> Option<Version> {
    let found = match &spec.target {
        Target::Lambda(_) => spec.version.clone().or_else(|| {
            let number = |version: &Version| version.0.parse::<u64>().unwrap_or(0);
            names.named.iter().max_by_key(|version| number(version)).cloned()
        }),
        Target::Alb(alb) => {
            let ours: Vec<&str> = alb.target_groups.iter().map(|group| crate::alb::group_name(group)).collect();
            if !ours.contains(&crate::alb::group_name(&baseline.0)) {
                let listed = ours.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
                problems.add(place, format!("is none of the target's groups; write {listed}"));
                return None;
            }
            names.other_group(baseline)
        }
    };
    if found.is_none() {
        problems.add(place, "no version is new; name the new one as `version` in the spec");
    }
    found
}

/// All that the spec names, unless something else is said.
fn alarms(at: Option<AlarmNames>, spec: &RolloutSpec) -> Vec<String> {
    match value(at) {
        Some(list) => list.0.into_iter().filter_map(|at| at.value).map(|name| name.0).collect(),
        None => spec.alarms.names.clone(),
    }
}

/// The simulation makes what AWS makes by itself, and the rates that the scenario gives.
fn warn_of_metrics(spec: &RolloutSpec, traffic: &Traffic, place: &Place, problems: &mut Problems) {
    let given: BTreeSet<&str> =
        traffic.versions.values().flat_map(|behaviour| behaviour.own.iter().map(|own| own.name.as_str())).collect();
    for check in &spec.checks {
        let why = match &check.kind {
            CheckKind::Errors { .. } | CheckKind::Latency { .. } => continue,
            CheckKind::Rate { .. } if given.contains(check.name.as_str()) => continue,
            CheckKind::Rate { .. } => "give it under `rates` of each version",
            CheckKind::Distribution { .. } | CheckKind::Mean { .. } | CheckKind::Gauge { .. } => {
                "the made-up AWS has no metrics of this kind"
            }
        };
        problems.warn(place, format!("the check `{}` finds no data: {why}", check.name));
    }
}

fn controller(raw: Option<RawController>, problems: &mut Problems) -> (Settings, bool, bool) {
    let mut settings = Settings { mode: Mode::Enforce, metric_lag: LAG_DEFAULT, switch: None, deployment_spec: None };
    let Some(raw) = raw else { return (settings, false, false) };
    settings.mode = value(raw.mode).unwrap_or(Mode::Enforce);
    settings.metric_lag = within(raw.metric_lag, LAG_DEFAULT, Span::ZERO, LAG_MAX, problems);
    if let Some(At { place, value: Some(switch) }) = raw.switch {
        if switch.0.is_some_and(|span| span < SWITCH_MIN) {
            let least = SWITCH_MIN.spec_form();
            problems.add(&place, format!("is too short: ticks come once a minute; write `{least}` or more"));
        }
        settings.switch = switch.0;
    }
    (settings, value(raw.rival).unwrap_or(false), value(raw.ticks_twice).unwrap_or(false))
}

fn deployed(
    at: At<RawDeployed>,
    spec: &RolloutSpec,
    inner: &InnerSpec,
    canary: &Version,
    problems: &mut Problems,
) -> Option<Deployed> {
    let At { place, value: Some(raw) } = at else { return None };
    let fields =
        [("codedeploy", raw.codedeploy.as_ref().map(|at| &at.place)), ("ecs", raw.ecs.as_ref().map(|at| &at.place))];
    exactly_one(&place, "service", &fields, problems);
    if matches!(&inner.value, Value::Object(fields) if fields.contains_key("strategy")) {
        problems.add(&place, "the deployment has a timetable of its own; leave `strategy` out of the spec");
    }
    let canary = canary.clone();
    if let Some(at) = raw.codedeploy {
        if matches!(spec.target, Target::Alb(_)) {
            problems.add(&at.place, "CodeDeploy shifts an alias here; the spec's target is target groups");
        }
        let (how, calls) = code_deploy(at.value?, &at.place, problems)?;
        return Some(Deployed { how: Deploys::CodeDeploy(how), canary, calls });
    }
    let at = raw.ecs?;
    if matches!(spec.target, Target::Lambda(_)) {
        problems.add(&at.place, "Amazon ECS shifts target groups; the spec's target is an alias");
    }
    let how = ecs(at.value?, &at.place, problems)?;
    Some(Deployed { how: Deploys::Ecs(how), canary, calls: Calls::Once })
}

fn timetable(
    canary: Option<At<RawCanary>>,
    linear: Option<At<RawLinear>>,
    all_at_once: Option<&At<RawNothing>>,
    place: &Place,
    problems: &mut Problems,
) -> Option<Timetable> {
    let fields = [
        ("canary", canary.as_ref().map(|at| &at.place)),
        ("linear", linear.as_ref().map(|at| &at.place)),
        ("allAtOnce", all_at_once.map(|at| &at.place)),
    ];
    exactly_one(place, "timetable", &fields, problems);
    if let Some(at) = canary {
        let raw = at.value?;
        let first = partial(raw.weight, problems)?;
        return Some(Timetable::Canary { first, bake: value(raw.bake)? });
    }
    if let Some(at) = linear {
        let raw = at.value?;
        let by = partial(raw.increment, problems)?;
        return Some(Timetable::Linear { by, every: value(raw.every)? });
    }
    all_at_once.map(|_| Timetable::AllAtOnce)
}

/// A weight that is neither nothing nor everything.
fn partial(at: Option<At<Weight>>, problems: &mut Problems) -> Option<Weight> {
    let At { place, value: Some(weight) } = at? else { return None };
    let least = Weight::from_basis_points(100)?;
    if weight < least || weight >= Weight::FULL {
        problems.add(&place, format!("`{}` is out of range; write 1% to 99%", weight.spec_form()));
    }
    Some(weight)
}

fn code_deploy(raw: RawCodeDeploy, place: &Place, problems: &mut Problems) -> Option<(CodeDeploy, Calls)> {
    let timetable = timetable(raw.canary, raw.linear, raw.all_at_once.as_ref(), place, problems)?;
    let mut plan = CodeDeploy::new(timetable);
    if let Some(hooks) = value(raw.hooks) {
        let has = |hook: LambdaHook| hooks.0.iter().any(|at| at.value == Some(hook));
        plan.asks_before = has(LambdaHook::BeforeAllowTraffic);
        plan.asks_after = has(LambdaHook::AfterAllowTraffic);
    }
    plan.alarms = listed(raw.alarms);
    plan.rolls_back = value(raw.auto_rollback).unwrap_or(true);
    let by = value(raw.by).unwrap_or(CALLS_BY_DEFAULT);
    let calls = match value(raw.calls).unwrap_or(CallsWord::Once) {
        CallsWord::Once => Calls::Once,
        CallsWord::Twice => Calls::Twice(by),
        CallsWord::Late => Calls::Late(by),
        CallsWord::NoNews => Calls::NoNews,
        CallsWord::NoHooks => Calls::NoHooks,
    };
    Some((plan, calls))
}

fn ecs(raw: RawEcs, place: &Place, problems: &mut Problems) -> Option<Ecs> {
    let mut plan = Ecs::new(timetable(raw.canary, raw.linear, raw.all_at_once.as_ref(), place, problems)?);
    plan.bake = value(raw.bake).unwrap_or(plan.bake);
    plan.timeout = value(raw.timeout).unwrap_or(plan.timeout);
    plan.alarms = listed(raw.alarms);
    plan.hooks = vec![EcsStage::PreProductionTrafficShift, EcsStage::PostProductionTrafficShift];
    plan.tells = match value(raw.tells) {
        Some(TellsWord::Coming) => Tells::Coming,
        Some(TellsWord::Present) | None => Tells::Present,
    };
    Some(plan)
}

fn listed(at: Option<AlarmNames>) -> Vec<String> {
    value(at).map(|list| list.0.into_iter().filter_map(|at| at.value).map(|name| name.0).collect()).unwrap_or_default()
}
