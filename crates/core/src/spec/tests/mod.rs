//! The language as a whole: documents in, specs or exact problems out.

mod balancer;
mod deployment;
mod hostile;
mod messages;
mod round_trip;
mod schema;

use super::*;

/// What every document needs; three lines.
const HEAD: &str = "coalmine: v1\ntarget: { lambda: { function: checkout, alias: live } }\nname: a\n";

fn valid(text: &str) -> RolloutSpec {
    parse(text).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}")).spec
}

fn steps_of(text: &str) -> Vec<(u16, u64)> {
    let steps = valid(text).steps;
    steps.iter().map(|step| (step.weight.basis_points() / 100, step.bake.seconds() / 60)).collect()
}

#[test]
fn the_shortest_spec_has_the_documented_defaults() {
    let validated =
        parse("coalmine: v1\ntarget: { lambda: { function: checkout, alias: live } }\nalarms: [checkout-5xx]\n")
            .unwrap();
    let step = |weight| Step {
        weight: Weight::from_basis_points(weight).unwrap(),
        bake: Span::from_minutes(5),
        at_most: None,
        advance: Advance::OnProof,
        approve: None,
    };
    let errors = CheckKind::Errors { tolerate: Tolerance { factor: 1.0, points: 0.005 } };
    let latency = CheckKind::Latency { tolerate: 0.05, at: vec![Quantile(0.5), Quantile(0.99)], warm_up: None };
    let check = |name: &str, kind, mode| Check { name: name.to_owned(), kind, mode, on_no_data: OnNoData::Hold };
    let target = LambdaTarget { function: "checkout".to_owned(), alias: "live".to_owned(), owner: Owner::Coalmine };
    let expected = RolloutSpec {
        name: None,
        mode: Mode::Enforce,
        target: Target::Lambda(target),
        version: None,
        release: Release::default(),
        strategy: "steps".to_owned(),
        steps: vec![step(500), step(2500), step(5000)],
        auto: None,
        margins: Margins::PerWeight,
        settle: Settle::Auto,
        after: After { watch: Span::from_minutes(30) },
        tests: Vec::new(),
        checks: vec![check("errors", errors, CheckMode::Enforce), check("latency", latency, CheckMode::Enforce)],
        alarms: Alarms { names: vec!["checkout-5xx".to_owned()], already_red: AlreadyRed::Refuse },
        analysis: ErrorBudget {
            false_rollback: 0.01,
            false_promotion: 0.05,
            guard: GuardMode::Standard,
            harm_ratio: 1.0,
            independence: Independence::Measured,
        },
        undecided: Undecided {
            too_little_traffic: Ending::Pause,
            no_data: Ending::RollBack,
            looks_worse: Ending::RollBack,
        },
        pause: PausePolicy { length: Span::from_hours(12), then: Ending::RollBack },
        deadline: Span::from_hours(2),
        newer: Newer::Supersede,
    };
    assert_eq!(validated.spec, expected);
}

#[test]
fn every_strategy_becomes_steps() {
    for (strategy, name, steps) in [
        ("steps: [{weight: 1%}, {weight: 2%, bake: 1h}]", "steps", vec![(1, 5), (2, 60)]),
        ("canary: {weight: 10%, bake: 10m}", "canary", vec![(10, 10)]),
        ("linear: {increment: 20%, every: 5m}", "linear", vec![(20, 5), (40, 5), (60, 5), (80, 5)]),
        ("linear: {increment: 30%, every: 2m}", "linear", vec![(30, 2), (60, 2), (90, 2)]),
        ("linear: {increment: 60%, every: 2m}", "linear", vec![(60, 2)]),
        ("blueGreen: {}", "blueGreen", vec![]),
        ("allAtOnce: {}", "allAtOnce", vec![]),
        ("preset: canary10percent15minutes", "CodeDeployDefault.LambdaCanary10Percent15Minutes", vec![(10, 15)]),
        ("preset: CodeDeployDefault.ECSAllAtOnce", "CodeDeployDefault.ECSAllAtOnce", vec![]),
    ] {
        let text = format!("{HEAD}strategy:\n  {strategy}\n");
        assert_eq!(steps_of(&text), steps, "{strategy}");
        assert_eq!(valid(&text).strategy, name);
    }
}

#[test]
fn steps_take_the_top_levels_advance_unless_they_say_otherwise() {
    let text = format!(
        "{HEAD}advance: unlessHarm\nstrategy:\n  steps:\n    - weight: 5%\n      atMost: 1h\n      approve: \
         {{within: 4h}}\n    - {{weight: 50%, advance: onProof}}\n"
    );
    let steps = valid(&text).steps;
    assert_eq!(steps.iter().map(|step| step.advance).collect::<Vec<_>>(), [Advance::UnlessHarm, Advance::OnProof]);
    assert_eq!(steps[0].at_most, Some(Span::from_hours(1)));
    assert_eq!(steps[0].approve, Some(Approval { within: Span::from_hours(4), otherwise: Ending::RollBack }));
    assert_eq!(valid(&format!("{HEAD}advance: unlessHarm\n")).steps[0].advance, Advance::UnlessHarm);
}

#[test]
fn what_may_be_written_in_two_ways_means_the_same() {
    for (one, other) in [
        ("alarms: [a, b]", "alarms: {names: [a, b]}"),
        ("version: 42", "version: \"42\""),
        ("release: {commit: 1234567}", "release: {commit: '1234567'}"),
        ("checks: [{errors: {mode: hold}}]", "checks: [{errors: {}, mode: hold}]"),
        ("strategy: {preset: AllAtOnce}", "{\"strategy\": {\"preset\": \"LAMBDAALLATONCE\"}}"),
        ("deadline: 90m", "deadline: 1h30m"),
    ] {
        let other = match other.strip_prefix('{') {
            Some(rest) => {
                let head =
                    "{\"coalmine\":\"v1\",\n\t\"target\":{\"lambda\":{\"function\":\"checkout\",\"alias\":\"live\"}}";
                format!("{head},\"name\":\"a\",{rest}")
            }
            None => format!("{HEAD}{other}\n"),
        };
        assert_eq!(valid(&format!("{HEAD}{one}\n")), valid(&other), "{one}");
    }
}

#[test]
fn tolerances_are_points_or_a_factor_or_both() {
    for (text, factor, points) in
        [("0.5pt", 1.0, 0.005), ("1.5x", 1.5, 0.0), ("1.2x + 0.1pt", 1.2, 0.001), ("0.1pt+1.2x", 1.2, 0.001)]
    {
        let spec = valid(&format!("{HEAD}checks: [errors: {{tolerate: {text}}}]\n"));
        assert_eq!(spec.checks[0].kind, CheckKind::Errors { tolerate: Tolerance { factor, points } }, "{text}");
    }
}

#[test]
fn latency_is_judged_as_it_asks() {
    for (written, mode, warm_up) in [
        ("{}", CheckMode::Enforce, None),
        ("{mode: hold, warmUp: auto}", CheckMode::Hold, None),
        ("{mode: observe, warmUp: 90s}", CheckMode::Observe, Some(Span::from_seconds(90))),
        ("{warmUp: 0s}", CheckMode::Enforce, Some(Span::ZERO)),
    ] {
        let validated = parse(&format!("{HEAD}checks: [errors: {{}}, latency: {written}]\n")).unwrap();
        assert!(validated.warnings.is_empty(), "{written}: {:?}", validated.warnings);
        let check = &validated.spec.checks[1];
        let kind = CheckKind::Latency { tolerate: 0.05, at: vec![Quantile(0.5), Quantile(0.99)], warm_up };
        assert_eq!((check.mode, &check.kind), (mode, &kind), "{written}");
    }
}

#[test]
fn defaults_are_merged_under_the_spec() {
    let defaults = "coalmine: v1\n\
                    target: { lambda: { alias: live, owner: codedeploy } }\n\
                    strategy: { canary: { weight: 10%, bake: 5m } }\n\
                    undecided: { noData: pause, looksWorse: pause }\n\
                    alarms: [all]\n";
    let spec = "coalmine: v1\n\
                target: { lambda: { function: checkout, owner: coalmine } }\n\
                strategy: { linear: { increment: 50%, every: 5m } }\n\
                undecided: { noData: promote }\n";
    let merged = parse_with_defaults(spec, Some(defaults)).unwrap().spec;
    let written = "coalmine: v1\n\
                   target: { lambda: { function: checkout, alias: live } }\n\
                   strategy: { linear: { increment: 50%, every: 5m } }\n\
                   undecided: { noData: promote, looksWorse: pause }\n\
                   alarms: [all]\n";
    assert_eq!(merged, valid(written));
    let preset = spec.replace("linear: { increment: 50%, every: 5m }", "preset: AllAtOnce");
    assert!(parse_with_defaults(&preset, Some(&format!("{defaults}advance: onProof\n"))).is_ok());
}

#[test]
fn a_stored_spec_reads_back() {
    let spec = valid(HEAD);
    let stored = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<RolloutSpec>(&stored).unwrap(), spec);
}

/// A dimension by which the two versions can be told apart.
const METRIC: &str = "metric: {namespace: Shop, metric: Rows, dimensions: {Version: '{version}'}}";

#[test]
fn checks_of_ones_own_have_the_documented_defaults() {
    let metric = MetricRef {
        namespace: "Shop".to_owned(),
        metric: "Rows".to_owned(),
        dimensions: [("Version".to_owned(), "{version}".to_owned())].into(),
    };
    let checks = format!(
        "checks:\n  - distribution: {{name: rows, {METRIC}}}\n  - mean: {{name: size, {METRIC}}}\n  - gauge: {{name: \
         memory, {METRIC}}}\n"
    );
    let validated = parse(&format!("{HEAD}{checks}")).unwrap();
    assert_eq!(validated.warnings, vec![]);
    let check = |name: &str, kind, mode, on_no_data| Check { name: name.to_owned(), kind, mode, on_no_data };
    let at = vec![Quantile(0.5), Quantile(0.99)];
    let distribution = CheckKind::Distribution { metric: metric.clone(), unit: String::new(), tolerate: 0.05, at };
    let gauge = CheckKind::Gauge { metric: metric.clone(), tolerate: 0.1 };
    assert_eq!(
        validated.spec.checks,
        [
            check("rows", distribution, CheckMode::Enforce, OnNoData::Hold),
            check("size", CheckKind::Mean { metric }, CheckMode::Observe, OnNoData::Ignore),
            check("memory", gauge, CheckMode::Hold, OnNoData::Hold),
        ]
    );
}

#[test]
fn a_gauge_that_is_to_be_enforced_holds_and_says_so() {
    for (mode, expected, warnings) in [
        (", mode: enforce}", CheckMode::Hold, vec![("checks[1].gauge", Some(4))]),
        ("}, mode: enforce", CheckMode::Hold, vec![("checks[1].gauge", Some(4))]),
        (", mode: hold}", CheckMode::Hold, vec![]),
        (", mode: observe}", CheckMode::Observe, vec![]),
    ] {
        let text = format!("{HEAD}checks: [errors: {{}}, {{gauge: {{name: memory, {METRIC}{mode}}}]\n");
        let validated = parse(&text).unwrap();
        let found: Vec<_> = validated.warnings.iter().map(|warning| (warning.path.as_str(), warning.line)).collect();
        assert_eq!(found, warnings, "{text}");
        assert_eq!(validated.spec.checks[1].mode, expected, "{text}");
    }
}

#[test]
fn analysis_says_what_the_judge_takes_for_granted() {
    let budget =
        valid(&format!("{HEAD}analysis: {{guard: strict, harmRatio: 1.25x, independence: assumed}}\n")).analysis;
    assert_eq!((budget.guard, budget.independence), (GuardMode::Strict, Independence::Assumed));
    assert_eq!((budget.false_rollback, budget.harm_ratio), (0.01, 1.25));
}

#[test]
fn a_spec_that_was_stored_before_these_options_reads_back() {
    let mut stored = serde_json::to_value(valid(HEAD)).unwrap();
    let budget = stored["analysis"].as_object_mut().unwrap();
    for option in ["guard", "harmRatio", "independence"] {
        budget.remove(option).unwrap();
    }
    assert_eq!(serde_json::from_value::<RolloutSpec>(stored).unwrap(), valid(HEAD));
}

/// One step of the largest weight; what comes before is chosen as one goes.
#[test]
fn auto_is_one_step_of_half_the_traffic_with_a_budget() {
    for (written, budget) in [("auto: {}", None), ("auto: {harmBudget: 40}", Some(40))] {
        let spec = valid(&format!("{HEAD}strategy: {{ {written} }}"));
        assert_eq!((spec.strategy.as_str(), spec.auto), ("auto", Some(Auto { harm_budget: budget })));
        let steps: Vec<(u16, Advance)> = spec.steps.iter().map(|s| (s.weight.basis_points(), s.advance)).collect();
        assert_eq!(steps, [(5000, Advance::OnProof)]);
        assert_eq!(valid(&effective(&spec)), spec);
    }
    assert_eq!(valid(HEAD).auto, None);
}

/// Steep rises settle: from 5 to 25 %, and from a last step of 10 % to all traffic.
#[test]
fn steep_rises_settle_unless_the_spec_says_otherwise() {
    let settles = |text: &str| {
        let spec = valid(&format!("{HEAD}{text}"));
        (0..spec.steps.len()).map(|step| spec.settles(step)).collect::<Vec<_>>()
    };
    assert_eq!(settles(""), [true, false, false]);
    assert_eq!(settles("settle: none"), [false, false, false]);
    assert_eq!(settles("strategy: {canary: {weight: 10%, bake: 5m}}"), [true]);
    assert_eq!(settles("strategy: {steps: [{weight: 10%}, {weight: 30%}, {weight: 33%}]}"), [false, false, true]);
}
