//! From what was written to a [`RolloutSpec`]: defaults, and the rules that concern more than one field.

use super::checks::{self, Judged};
use super::decode::{At, Leaf, value};
use super::leaves::Name;
use super::problems::{Place, Problems, quoted};
use super::raw::{
    RawAfter, RawAnalysis, RawInvoke, RawLambda, RawPause, RawRelease, RawSpec, RawTarget, RawTest, RawUndecided,
};
use super::strategy::{self, BAKE_MIN, Plan};
use super::{
    Advance, After, Alarms, AlreadyRed, Ending, ErrorBudget, InvokeTest, LambdaTarget, Margins, Mode, Newer, Owner,
    PausePolicy, Release, RolloutSpec, Target, Test, Undecided, Version, balancer, http,
};
use crate::deployment::{Deployment, DeploymentRef};
use crate::units::Span;

const WATCH_DEFAULT: Span = Span::from_minutes(30);
/// What is left of a hook's time for the end of the watch to be seen.
const WATCH_WITHIN_HOOK: Span = Span::from_minutes(50);
const PAUSE_DEFAULT: Span = Span::from_hours(12);
const DEADLINE_DEFAULT: Span = Span::from_hours(2);
/// A deployment may wait for a hook for so long before its timetable begins.
const HOOKS_TAKE: Span = Span::from_hours(1);
/// Of a test's payload and of its expectation: ten tests with both stay well inside a stored rollout.
const PAYLOAD_BYTES_MAX: usize = 8 * 1024;

const NOBODYS_RULE: &str = "nothing points this URL at the new group; name a `testRule` under `target.alb`, which is made to \
                            forward to the new group before the tests, or see to it yourself";

/// Means nothing as long as there are problems: a hole is filled with a default only so that the rest can be looked at.
pub fn lower(mut raw: RawSpec, deployment: Option<&Deployment>, whole: &Place, problems: &mut Problems) -> RolloutSpec {
    let target = target(raw.target.take(), problems);
    if matches!(target, Target::Alb(_)) {
        require_identity(&raw, whole, problems);
    }
    let advance_place = raw.advance.as_ref().map(|at| at.place.clone());
    let plan = match deployment {
        Some(deployment) => strategy::timetable(deployment, raw.advance, problems),
        None => strategy::compile(raw.strategy, raw.advance, &target, problems),
    };
    let Judged { checks, place: checks_place } = checks::lower(raw.checks, &target, problems);
    let places = [checks_place, plan.place.clone(), advance_place];
    let place = places.into_iter().flatten().next().unwrap_or_else(|| whole.clone());
    require_provable(&plan, &checks, &place, problems);
    require_budgeted(&plan, &checks, &place, problems);
    let watch = watch(raw.after, deployment, problems);
    let takes = plan.bakes().plus(HOOKS_TAKE).plus(watch);
    let default = deployment.map_or(DEADLINE_DEFAULT, |_| DEADLINE_DEFAULT.max(takes));
    let deadline = deadline(raw.deadline, default, &plan, whole, problems);
    let tests = value(raw.tests).map(|tests| self::tests(tests.0, &target, problems)).unwrap_or_default();
    RolloutSpec {
        name: value(raw.name).map(|name| name.0),
        mode: value(raw.mode).unwrap_or(Mode::Enforce),
        target,
        version: value(raw.version).map(|version| Version(version.0)),
        release: value(raw.release).map(release).unwrap_or_default(),
        strategy: plan.name,
        steps: plan.steps,
        auto: plan.auto,
        margins: value(raw.margins).unwrap_or(Margins::PerWeight),
        settle: value(raw.settle).unwrap_or_default(),
        after: After { watch },
        tests,
        checks,
        alarms: alarms(raw.alarms, problems),
        analysis: analysis(value(raw.analysis)),
        undecided: undecided(value(raw.undecided)),
        pause: pause(value(raw.pause), problems),
        deadline,
        newer: value(raw.newer).unwrap_or(Newer::Supersede),
    }
}

fn watch(after: Option<At<RawAfter>>, deployment: Option<&Deployment>, problems: &mut Problems) -> Span {
    let Some(At { place, value: watch }) = value(after).and_then(|after| after.watch) else { return WATCH_DEFAULT };
    let watch = watch.unwrap_or(WATCH_DEFAULT);
    let has_limit = deployment.is_some_and(|one| matches!(one.reference, DeploymentRef::CodeDeploy(_)));
    if has_limit && watch > WATCH_WITHIN_HOOK {
        let (watch, most) = (watch.spec_form(), WATCH_WITHIN_HOOK.spec_form());
        let message = format!(
            "`{watch}` is too long beside CodeDeploy, whose hook after the traffic must have its answer within an hour; write at \
             most `{most}`"
        );
        problems.add(&place, message);
    }
    watch
}

/// Two target groups take turns, so a rollout is known by what is on the new one, or by a name of its own.
fn require_identity(raw: &RawSpec, whole: &Place, problems: &mut Problems) {
    if let Some(At { place, value: Some(_) }) = &raw.version {
        let message = "belongs to Lambda; which group is new is read from the rule. Say under `release` what is on it";
        problems.add(place, message);
    }
    if raw.name.is_some() {
        return;
    }
    let release = raw.release.as_ref().map_or_else(|| whole.field("release", whole.pos), |at| at.place.clone());
    let commit = raw.release.as_ref().and_then(|at| at.value.as_ref()?.commit.as_ref());
    let place = commit.map_or_else(|| release.field("commit", release.pos), |at| at.place.clone());
    match commit.map(|at| at.value.as_ref().map(|label| label.0.as_str())) {
        // Wrong in itself, which is already reported.
        Some(None) => {}
        // One for all of an account's releases names none of them.
        Some(Some(commit)) if !commit.is_empty() && !place.pos.is_in_defaults() => {
            if let Err(message) = Name::read(commit) {
                problems.add(&place, format!("{message}, or give the rollout a `name`"));
            }
        }
        Some(Some(_)) | None => problems.add(
            &place,
            "say what is on the new group, `release: { commit: ... }`, or give the rollout a `name`: the groups swap roles, \
             so nothing else tells two releases apart",
        ),
    }
}

/// A step that waits for a proof needs something that can be proven.
fn require_provable(plan: &Plan, checks: &[super::Check], place: &Place, problems: &mut Problems) {
    let waits = plan.steps.iter().any(|step| step.advance == Advance::OnProof);
    let proves = |check: &super::Check| check.mode != super::CheckMode::Observe && check.kind.can_prove();
    if waits && !checks.is_empty() && !checks.iter().any(proves) {
        let message = "every check is only observed, so no step could ever be proven; add `errors`, or go on without \
                       a proof with `advance: unlessHarm`";
        problems.add(place, message);
    }
}

/// What is budgeted must be counted, and be able to turn the rollout back.
fn require_budgeted(plan: &Plan, checks: &[super::Check], place: &Place, problems: &mut Problems) {
    let budgeted = |check: &super::Check| check.name == "errors" && check.mode == super::CheckMode::Enforce;
    if plan.auto.is_some() && !checks.iter().any(budgeted) {
        problems.add(place, "`auto` budgets failed requests, so it needs the `errors` check, enforced");
    }
}

fn target(raw: Option<At<RawTarget>>, problems: &mut Problems) -> Target {
    let (mut lambda, mut alb) = (None, None);
    if let Some(At { place, value: Some(raw) }) = raw {
        let fields =
            [("lambda", raw.lambda.as_ref().map(|at| &at.place)), ("alb", raw.alb.as_ref().map(|at| &at.place))];
        strategy::exactly_one(&place, "target", &fields, problems);
        lambda = value(raw.lambda);
        alb = raw.alb.map(|at| balancer::lower(at, problems));
    }
    if let Some(alb) = alb {
        return Target::Alb(alb);
    }
    let lambda = lambda.unwrap_or(RawLambda { function: None, alias: None, owner: None });
    Target::Lambda(LambdaTarget {
        function: value(lambda.function).map(|name| name.0).unwrap_or_default(),
        alias: value(lambda.alias).map(|name| name.0).unwrap_or_default(),
        owner: value(lambda.owner).unwrap_or(Owner::Coalmine),
    })
}

fn release(raw: RawRelease) -> Release {
    let label = |label: Option<At<super::leaves::Label>>| value(label).map(|label| label.0).unwrap_or_default();
    Release { commit: label(raw.commit), owner: label(raw.owner), ticket: label(raw.ticket) }
}

fn tests(raw: Vec<At<RawTest>>, target: &Target, problems: &mut Problems) -> Vec<Test> {
    let mut tests = Vec::new();
    for At { place, value: raw } in raw {
        let Some(raw) = raw else { continue };
        let (invoke, http) = (raw.invoke.as_ref().map(|at| &at.place), raw.http.as_ref().map(|at| &at.place));
        strategy::exactly_one(&place, "kind of test", &[("invoke", invoke), ("http", http)], problems);
        match (target, invoke, http) {
            (Target::Alb(_), Some(place), _) => problems.add(place, "invokes a Lambda function; use `http`"),
            (Target::Lambda(_), _, Some(place)) => {
                problems.add(place, "a new Lambda version has no URL of its own before it gets traffic; use `invoke`");
            }
            (Target::Alb(alb), None, Some(place)) if alb.test_rule.is_none() => problems.warn(place, NOBODYS_RULE),
            (Target::Lambda(_) | Target::Alb(_), _, _) => {}
        }
        if let Some(raw) = value(raw.invoke) {
            tests.push(Test::Invoke(self::invoke(raw, problems)));
        }
        if let Some(raw) = value(raw.http) {
            tests.push(Test::Http(http::lower(raw, problems)));
        }
    }
    tests
}

fn invoke(raw: RawInvoke, problems: &mut Problems) -> InvokeTest {
    for At { place, value } in [&raw.payload, &raw.expect].into_iter().flatten() {
        let bytes = value.as_ref().map_or(0, |value| value.to_string().len());
        if bytes > PAYLOAD_BYTES_MAX {
            problems.add(place, format!("has {bytes} bytes as JSON; at most {PAYLOAD_BYTES_MAX} are allowed"));
        }
    }
    InvokeTest {
        payload: value(raw.payload).unwrap_or_default(),
        expect: value(raw.expect),
        times: value(raw.times).map_or(1, |times| times.0),
    }
}

fn alarms(raw: Option<At<super::alarms::RawAlarms>>, problems: &mut Problems) -> Alarms {
    let mut alarms = Alarms { names: Vec::new(), already_red: AlreadyRed::Refuse };
    let Some(raw) = value(raw) else { return alarms };
    alarms.already_red = value(raw.0.already_red).unwrap_or(AlreadyRed::Refuse);
    for At { place, value } in value(raw.0.names).map(|names| names.0).unwrap_or_default() {
        let Some(name) = value else { continue };
        if alarms.names.contains(&name.0) {
            problems.add(&place, format!("the alarm {} is already in the list", quoted(&name.0)));
        }
        alarms.names.push(name.0);
    }
    alarms
}

fn analysis(raw: Option<RawAnalysis>) -> ErrorBudget {
    let nothing =
        RawAnalysis { false_rollback: None, false_promotion: None, guard: None, harm_ratio: None, independence: None };
    let raw = raw.unwrap_or(nothing);
    ErrorBudget {
        false_rollback: value(raw.false_rollback).map_or(0.01, |share| share.0),
        false_promotion: value(raw.false_promotion).map_or(0.05, |share| share.0),
        guard: value(raw.guard).unwrap_or_default(),
        harm_ratio: value(raw.harm_ratio).map_or(1.0, |ratio| ratio.0),
        independence: value(raw.independence).unwrap_or_default(),
    }
}

fn undecided(raw: Option<RawUndecided>) -> Undecided {
    let raw = raw.unwrap_or(RawUndecided { too_little_traffic: None, no_data: None, looks_worse: None });
    Undecided {
        too_little_traffic: value(raw.too_little_traffic).unwrap_or(Ending::Pause),
        no_data: value(raw.no_data).unwrap_or(Ending::RollBack),
        looks_worse: value(raw.looks_worse).unwrap_or(Ending::RollBack),
    }
}

fn pause(raw: Option<RawPause>, problems: &mut Problems) -> PausePolicy {
    let raw = raw.unwrap_or(RawPause { r#for: None, then: None });
    PausePolicy {
        length: strategy::duration(raw.r#for, PAUSE_DEFAULT, BAKE_MIN, problems),
        then: strategy::final_ending(raw.then, problems),
    }
}

fn deadline(raw: Option<At<Span>>, default: Span, plan: &Plan, whole: &Place, problems: &mut Problems) -> Span {
    let place = raw.as_ref().map(|at| at.place.clone()).or_else(|| plan.place.clone());
    let broken = raw.as_ref().is_some_and(|at| at.value.is_none());
    let deadline = strategy::duration(raw, default, BAKE_MIN, problems);
    let bakes = plan.bakes();
    if bakes > deadline && !broken {
        let message = format!(
            "the steps alone take {bakes}, longer than the deadline of {deadline}; write a longer `deadline` or \
             shorter steps"
        );
        problems.add(place.as_ref().unwrap_or(whole), message);
    }
    deadline
}
