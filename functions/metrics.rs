//! Numbers for CloudWatch inside of log lines: what `_aws` describes becomes metrics where the log is read, without a call
//! and without a permission.

use std::collections::BTreeMap;

use coalmine_core::analysis::Verdict;
use coalmine_core::driver::{Line, TickReport};
use coalmine_core::rollout::PhaseName;
use coalmine_core::units::Span;
use serde_json::{Map, Value, json};

use crate::event::wall_clock;

const NAMESPACE: &str = "Coalmine";

/// Of a rollout, by the target's name. Rollouts come and go, and a metric that is new costs as much as one that stays.
const TARGET: &str = "Target";
/// Of an invocation, by the function's name, which tells one stack from another.
const FUNCTION: &str = "FunctionName";

/// How an idle tick asks whether there is anything to do.
const QUERY: &str = "Query";

/// Longer than any tick takes.
const A_TICK: Span = Span::from_minutes(5);

/// A number with its name and CloudWatch's word for its unit.
type Metric = (&'static str, &'static str, f64);

/// What a rollout came to in this invocation.
pub fn of_rollout(line: &Line) -> Map<String, Value> {
    let percent = |share: f64| 100.0 * share;
    let found = line.found;
    let metrics = [
        line.weight.map(|weight| ("Weight", "Percent", percent(weight.share()))),
        found.map(|found| ("Verdict", "None", sign(found.verdict))),
        found.and_then(|found| found.harm).map(|harm| ("Evidence", "Percent", percent(harm))),
        found.and_then(|found| found.proof).map(|proof| ("Proof", "Percent", percent(proof))),
    ];
    fields(TARGET, &line.target, &metrics.into_iter().flatten().collect::<Vec<_>>())
}

/// What a tick came to, with the resources of stacks that met faults: a deployment and a stack wait for their answers.
/// Nothing of one that had nothing to do: a metric that is sent every hour costs more than all that an idle Coalmine does.
pub fn of_tick(function: &str, report: &TickReport, faulty_resources: usize) -> Map<String, Value> {
    let TickReport { now: _, lines, hooks, unreadable, waiting, faults } = report;
    let told = [lines.len(), hooks.len(), unreadable.len(), *waiting, faults.len(), faulty_resources];
    if told == [0; 6] {
        return Map::new();
    }
    let rollouts = report.lines.iter().filter(|line| is_stuck(line)).count() + report.unreadable.len();
    let hooks = report.hooks.iter().filter(|line| !line.faults.is_empty() || !line.problems.is_empty()).count();
    let metrics = [
        ("Rollouts", "Count", count(report.lines.len())),
        ("Stuck", "Count", count(rollouts + hooks + faulty_resources + report.faults.len())),
        ("Waiting", "Count", count(report.waiting)),
    ];
    let mut fields = fields(FUNCTION, function, &metrics);
    // Of the minute that it is about: one that takes long would else leave a minute out, and have two in the next.
    if wall_clock().since(report.now) < A_TICK {
        fields["_aws"]["Timestamp"] = report.now.epoch_seconds().saturating_mul(1000).into();
    }
    fields
}

/// What an invocation took, of whatever it came to; nothing of one that only found the table empty.
pub fn of_invocation(function: &str, seconds: f64, calls: &BTreeMap<String, u64>) -> Map<String, Value> {
    if calls.keys().all(|operation| operation == QUERY) {
        return Map::new();
    }
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    let calls = calls.values().sum::<u64>() as f64;
    fields(FUNCTION, function, &[("Time", "Seconds", seconds), ("ApiCalls", "Count", calls)])
}

/// Either may be so in one minute; ten on end are worth an alarm. Being rolled back takes two.
fn is_stuck(line: &Line) -> bool {
    !line.faults.is_empty() || line.phase == PhaseName::RollingBack
}

/// As what is measured of deployments of others: 1 is proven worse.
fn sign(verdict: Verdict) -> f64 {
    match verdict {
        Verdict::Pass => -1.0,
        Verdict::Inconclusive => 0.0,
        Verdict::Fail => 1.0,
    }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn count(count: usize) -> f64 {
    count as f64
}

/// Nothing where there is no number: CloudWatch takes such a line for a broken one.
fn fields(dimension: &str, of: &str, metrics: &[Metric]) -> Map<String, Value> {
    let mut fields = Map::new();
    if metrics.is_empty() {
        return fields;
    }
    let described: Vec<Value> = metrics.iter().map(|(name, unit, _)| json!({ "Name": name, "Unit": unit })).collect();
    let directive = json!({ "Namespace": NAMESPACE, "Dimensions": [[dimension]], "Metrics": described });
    let milliseconds = wall_clock().epoch_seconds().saturating_mul(1000);
    fields.insert("_aws".to_owned(), json!({ "Timestamp": milliseconds, "CloudWatchMetrics": [directive] }));
    fields.insert(dimension.to_owned(), of.into());
    fields.extend(metrics.iter().map(|(name, _, value)| ((*name).to_owned(), json!(value))));
    fields
}

#[cfg(test)]
mod tests {
    use coalmine_core::analysis::Found;
    use coalmine_core::driver::HookLine;
    use coalmine_core::units::{Timestamp, Weight};

    use super::*;

    fn line() -> Line {
        Line {
            rollout: "checkout-42".to_owned(),
            target: "checkout:live".to_owned(),
            phase: PhaseName::Baking,
            weight: Weight::from_basis_points(550),
            live: None,
            targets: None,
            checks: Vec::new(),
            did: Vec::new(),
            holding: Vec::new(),
            faults: Vec::new(),
            found: Some(Found { verdict: Verdict::Inconclusive, harm: Some(0.25), proof: None }),
            unsaved: false,
        }
    }

    fn hook(faults: &[&str]) -> HookLine {
        HookLine {
            deployment: "d-3GSL8P2NK".to_owned(),
            answer: None,
            waiting: None,
            did: Vec::new(),
            warnings: Vec::new(),
            problems: Vec::new(),
            faults: faults.iter().map(|fault| (*fault).to_owned()).collect(),
        }
    }

    /// The numbers by name, once every one of them is described and nothing else is.
    fn numbers(fields: &Map<String, Value>, dimension: &str) -> Vec<(String, f64)> {
        let directive = &fields["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Dimensions"], json!([[dimension]]));
        assert_eq!(directive["Namespace"], "Coalmine");
        assert!(fields["_aws"]["Timestamp"].as_i64().unwrap() > 1_700_000_000_000);
        let names = directive["Metrics"].as_array().unwrap().iter().map(|metric| metric["Name"].as_str().unwrap());
        let described: Vec<_> = names.map(|name| (name.to_owned(), fields[name].as_f64().unwrap())).collect();
        assert_eq!(fields.len(), described.len() + 2);
        described
    }

    fn named(expected: &[(&str, f64)]) -> Vec<(String, f64)> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn a_rollout_has_the_numbers_that_are_known() {
        let fields = of_rollout(&line());
        assert_eq!(fields["Target"], "checkout:live");
        let expected = named(&[("Weight", 5.5), ("Verdict", 0.0), ("Evidence", 25.0)]);
        assert_eq!(numbers(&fields, "Target"), expected);
        for (verdict, value) in [(Verdict::Pass, -1.0), (Verdict::Fail, 1.0)] {
            let found = Some(Found { verdict, harm: None, proof: Some(1.5) });
            let fields = of_rollout(&Line { weight: None, found, ..line() });
            assert_eq!(numbers(&fields, "Target"), named(&[("Verdict", value), ("Proof", 150.0)]));
        }
        assert!(of_rollout(&Line { weight: None, found: None, ..line() }).is_empty());
    }

    #[test]
    fn a_tick_counts_what_does_not_get_on() {
        let faulty = Line { faults: vec!["GetAlias was throttled".to_owned()], ..line() };
        let back = Line { phase: PhaseName::RollingBack, ..line() };
        let report = TickReport {
            now: Timestamp::from_epoch_seconds(0),
            lines: vec![line(), faulty, back],
            hooks: vec![hook(&[]), hook(&["PutLifecycleEventHookExecutionStatus was denied"])],
            unreadable: vec!["checkout-7".to_owned()],
            waiting: 4,
            faults: Vec::new(),
        };
        let expected = named(&[("Rollouts", 3.0), ("Stuck", 6.0), ("Waiting", 4.0)]);
        assert_eq!(numbers(&of_tick("coalmine-tick", &report, 2), "FunctionName"), expected);
    }

    #[test]
    fn an_invocation_has_its_time_and_its_calls() {
        let calls = |of: &[(&str, u64)]| of.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let expected = named(&[("Time", 1.5), ("ApiCalls", 12.0)]);
        let made: BTreeMap<String, u64> = calls(&[(QUERY, 3), ("GetAlias", 9)]);
        assert_eq!(numbers(&of_invocation("coalmine-tick", 1.5, &made), "FunctionName"), expected);
    }

    /// Five metrics of a function that has nothing to do would be a dollar and a half a month.
    #[test]
    fn nothing_to_do_has_no_metrics() {
        let idle = TickReport {
            now: Timestamp::from_epoch_seconds(0),
            lines: Vec::new(),
            hooks: Vec::new(),
            unreadable: Vec::new(),
            waiting: 0,
            faults: Vec::new(),
        };
        assert_eq!(of_tick("coalmine-tick", &idle, 0), Map::new());
        assert!(!of_tick("coalmine-tick", &TickReport { lines: vec![line()], ..idle.clone() }, 0).is_empty());
        assert!(!of_tick("coalmine-tick", &idle, 1).is_empty(), "a stack's resource");
        assert_eq!(of_invocation("coalmine-tick", 0.1, &[(QUERY.to_owned(), 3)].into()), Map::new());
    }
}
