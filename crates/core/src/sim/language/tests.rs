use super::*;
use crate::observation::AlarmState;
use crate::ports::FaultKind;
use crate::rollout::PhaseName;
use crate::sim::environments::{Account, Environments, Invoked, Spillover};
use crate::sim::faults::{Operation, Way, When};
use crate::sim::scenario::{Moment, RunError, What, run};
use crate::spec::{Target, Version};
use crate::units::{Span, Weight};

const SPEC: &str =
    "spec: { coalmine: v1, target: { lambda: { function: f, alias: live } }, version: '42', alarms: [red] }";
const ALB: &str = "spec:
  coalmine: v1
  name: shop-7
  target:
    alb:
      rule: arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/shop/50dc6c495c0c9188/f2f7/9683
      targetGroups: [blue, green]
";
const REST: &str = "baseline: '41'\ntraffic: { perSecond: 40 }\n";

fn nothing(_: &str, _: usize) -> Result<String, String> {
    Err("no such file".to_owned())
}

fn read(text: &str) -> Result<Written, Vec<Wrong>> {
    parse(text, &mut nothing)
}

/// A scenario for an alias with these lines more.
fn lambda(more: &str) -> String {
    format!("scenario: v1\n{SPEC}\n{REST}{more}\n")
}

fn alb(more: &str) -> String {
    format!("scenario: v1\n{ALB}baseline: green\ntraffic: {{ perSecond: 40 }}\n{more}\n")
}

fn said(text: &str) -> Vec<String> {
    let wrong = read(text).err().unwrap_or_default();
    wrong.iter().map(|wrong| wrong.problem.to_string()).collect()
}

#[test]
fn what_is_left_out_has_its_default() {
    let written = read(&lambda("")).unwrap();
    let scenario = &written.scenario;
    assert_eq!((scenario.past, scenario.longest), (Span::from_hours(24), Span::from_hours(24)));
    assert_eq!((scenario.timeout, scenario.settings.switch), (Span::from_seconds(3), None));
    assert_eq!(scenario.alarms, ["red"]);
    assert_eq!(scenario.traffic.versions.keys().map(|version| version.0.as_str()).collect::<Vec<_>>(), ["41", "42"]);
    assert!(written.expect.is_none() && written.title.is_none() && !scenario.rival && !scenario.ticks_twice);
}

#[test]
fn everything_that_is_written_arrives() {
    let text = lambda(
        "title: all of it
past: 2h
timeout: 10s
longest: 6h
alarms: [red, blue]
controller: { mode: enforce, metricLag: 5m, switch: 15m, rival: true, ticksTwice: true }
events:
  - { at: before, alarm: { name: blue, state: INSUFFICIENT_DATA } }
  - { at: 12m, command: pause, by: mara, reason: why }
  - { after: { weight: 25%, by: 3m }, write: { version: 40, additional: { version: 42, weight: 10% } } }
faults:
  - { from: 2m, until: 9m, operation: namedByAlarm, call: 2, way: timedOut }
  - { way: killedAfter }
expect: { ended: rolledBack, reason: [a, b], within: 30m, atMost: 25%, failed: 9, refused: 1 }",
    );
    let Written { title, scenario, expect, .. } = read(&text).unwrap();
    assert_eq!(title.as_deref(), Some("all of it"));
    assert_eq!((scenario.past, scenario.timeout), (Span::from_hours(2), Span::from_seconds(10)));
    assert_eq!(scenario.settings.switch, Some(Span::from_minutes(15)));
    assert_eq!(scenario.settings.metric_lag, Span::from_minutes(5));
    assert!(scenario.rival && scenario.ticks_twice);
    let [before, paused, written] = scenario.events.as_slice() else { panic!("{:?}", scenario.events) };
    assert_eq!(before.when, Moment::Before);
    assert_eq!(before.what, What::Alarm { name: "blue".to_owned(), state: AlarmState::InsufficientData });
    assert_eq!(paused.when, Moment::After(Span::from_minutes(12)));
    let pause = serde_json::json!({ "command": "pause", "by": "mara", "reason": "why" });
    assert_eq!(paused.what, What::Command(pause));
    let quarter = Weight::from_basis_points(2_500).unwrap();
    assert_eq!(written.when, Moment::AfterWeight(quarter, Span::from_minutes(3)));
    let (primary, tenth) = (Version("40".to_owned()), Weight::from_basis_points(1_000).unwrap());
    assert_eq!(written.what, What::Written { primary, additional: Some((Version("42".to_owned()), tenth)) });
    let [second, always] = scenario.faults.as_slice() else { panic!("{:?}", scenario.faults) };
    assert_eq!(second.rule.when, When::Nth(Operation::NamedByAlarm, 1));
    assert_eq!((second.from, second.rule.way), (Span::from_minutes(2), Way::Fails(FaultKind::TimedOut)));
    assert_eq!((always.rule.when, always.rule.way), (When::Always, Way::KilledAfter));
    assert!(always.until > scenario.longest, "to the end");
    let expect = expect.unwrap();
    assert_eq!((expect.ended, expect.failed, expect.refused), (Some(End::RolledBack), Some(9), Some(1)));
    assert_eq!((expect.reason, expect.at_most), (vec!["a".to_owned(), "b".to_owned()], Some(quarter)));
}

/// What a line about a fault calls a call is what one writes.
#[test]
fn calls_are_called_as_they_are_written() {
    for operation in Operation::ALL {
        assert_eq!(serde_json::to_value(operation).unwrap(), operation.word());
    }
}

#[test]
fn traffic_is_what_was_written() {
    let text = format!(
        "scenario: v1
{SPEC}
baseline: 41
traffic:
  perSecond: 0.5
  daily: {{ swing: 50% }}
  bursts: {{ chance: 2%, factor: 5x }}
  versions:
    41: {{ errors: 0.4%, latency: {{ median: 100ms, p99: 1s }} }}
    42:
      errors: [ {{ share: 1% }}, {{ from: 20m, share: 5% }} ]
      clusters: 3
      latency: [ {{ slow: {{ share: 5%, factor: 10x }} }}, {{ from: 5m, p99: 808ms }} ]
      noise: {{ errors: 20%, memory: 90% }}
      coldStarts: {{ requests: 3, factor: 40x }}
  metrics: {{ delay: 2m, errors: 10m, lateShare: 1.5% }}
"
    );
    let traffic = read(&text).unwrap().scenario.traffic;
    assert!((traffic.per_second - 0.5).abs() < 1e-9);
    assert_eq!(traffic.daily.map(|daily| (daily.swing, daily.peak_hour)), Some((0.5, 14.0)));
    let new = &traffic.versions[&Version("42".to_owned())];
    assert_eq!(new.failing, [(Span::ZERO, 0.01), (Span::from_minutes(20), 0.05)]);
    assert_eq!((new.clusters, new.noise.failing, new.noise.memory), (3.0, 0.2, 0.9));
    assert!((new.latency[0].1.slow_factor - 10.0).abs() < 1e-9);
    assert!((new.latency[1].1.median_ms - 200.0).abs() < 1.0, "as wide as by default: {:?}", new.latency[1]);
    let old = traffic.versions[&Version("41".to_owned())].latency[0].1;
    assert!((old.p99_factor() - 10.0).abs() < 1e-9 && (old.median_ms - 100.0).abs() < 1e-9);
    let delivery = traffic.delivery;
    assert_eq!((delivery.invocations, delivery.durations), (Span::from_minutes(2), Span::from_minutes(2)));
    assert_eq!((delivery.errors, delivery.late_per_mille), (Span::from_minutes(10), 15));
}

#[test]
fn a_trace_is_the_traffic_where_nothing_else_is_written() {
    let recording = "{\"minute\":-1,\"baseline\":{\"requests\":600,\"errors\":6}}
{\"minute\":0,\"baseline\":{\"requests\":1200,\"errors\":0},\"canary\":{\"requests\":60,\"errors\":6}}";
    let text = |more: &str| lambda("").replace("perSecond: 40", &format!("trace: day.jsonl{more}"));
    let read = |more: &str, recording: &str| parse(&text(more), &mut |_, _| Ok(recording.to_owned()));
    let traffic = read("", recording).unwrap().scenario.traffic;
    assert_eq!(traffic.changes, [(Span::ZERO, 10.0), (Span::from_seconds(1), 21.0)]);
    let failing = |traffic: &crate::sim::traffic::Traffic, version: &str| {
        traffic.versions[&Version(version.to_owned())].failing.clone()
    };
    assert_eq!(failing(&traffic, "41"), [(Span::ZERO, 0.01), (Span::from_seconds(1), 0.0)]);
    assert_eq!(failing(&traffic, "42"), [(Span::from_seconds(1), 0.1)]);
    let written = read(", perSecond: 5, versions: { '42': { errors: 1% } }", recording).unwrap().scenario.traffic;
    assert_eq!(
        (written.changes.as_slice(), failing(&written, "42")),
        (&[(Span::ZERO, 5.0)][..], vec![(Span::ZERO, 0.01)])
    );
    let wrong = read("", "{}").unwrap_err();
    assert_eq!((wrong[0].file.as_deref(), wrong[0].problem.line), (Some("day.jsonl"), Some(1)));
}

#[test]
fn target_groups_are_known_by_name_or_arn() {
    let arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/green/0123456789abcdef";
    let more = "events:
  - { at: 3m, health: { group: blue, healthy: 1, unhealthy: 9 } }
  - { at: 4m, writeRule: { rule: 1, groups: { green: 70, purple: 30 } } }
stickiness: 1h";
    let named = read(&alb(more)).unwrap().scenario;
    assert_eq!(named.baseline.to_string(), "green");
    assert_eq!(named.sticky, Some(Span::from_hours(1)));
    let What::Health { group, .. } = &named.events[0].what else { panic!("{:?}", named.events) };
    assert!(matches!(&named.target, Target::Alb(_)) && group.to_string() == "blue" && group.0.starts_with("arn:"));
    assert_eq!(named.traffic.versions.len(), 3, "purple is there, too");
    let spelled = alb("").replace("[blue, green]", &format!("[blue, '{arn}']"));
    assert_eq!(read(&spelled).unwrap().scenario.baseline.0, arn);
}

/// One wrong thing each, and what is said of it.
#[test]
fn what_is_wrong_is_said_with_its_place_and_what_would_be_right() {
    let rows = [
        ("evnts: []", "line 5, column 1: evnts: unknown field `evnts`; did you mean `events`?"),
        ("strategy: {}", "line 5, column 1: strategy: belongs under `spec`"),
        ("rival: true", "line 5, column 1: rival: belongs under `controller`"),
        ("seed: 4", "line 5, column 1: seed: is an argument of the command: `coalmine simulate FILE --seed 7`"),
        ("longest: 8d", "line 5, column 10: longest: `8d` is out of range; write `1m` to `7d`"),
        ("past: 30m", "line 5, column 7: past: `30m` is out of range; write `1h` to `15d`"),
        (
            "stickiness: 1h",
            "line 5, column 13: stickiness: `stickiness` is about target groups; the spec's target is an alias",
        ),
        (
            "controller: { switch: 60s }",
            "line 5, column 23: controller.switch: is too short: ticks come once a minute; write `2m` or more",
        ),
        (
            "deployed: { codedeploy: {} }",
            "line 5, column 13: deployed.codedeploy: write exactly one timetable: `canary`, `linear`, `allAtOnce`",
        ),
        (
            "deployed: { ecs: { allAtOnce: {} } }",
            "line 5, column 13: deployed.ecs: Amazon ECS shifts target groups; the spec's target is an alias",
        ),
        (
            "expect: { ended: fine }",
            "line 5, column 18: expect.ended: unknown word `fine`; known here: `promoted`, `rolledBack`, `superseded`, `paused`, `running`, `refused`, `nothing`",
        ),
    ];
    all_are_said(rows.map(|(more, message)| (lambda(more), message)));
}

#[test]
fn what_is_wrong_with_what_happens_is_said_so_too() {
    let rows = [
        (
            "events: [ { at: 1m } ]",
            "line 5, column 11: events[0]: write exactly one thing that happens: `alarm`, `alarmEvent`, `command`, `write`, `writeRule`, `health`, `stickiness`, `tests`",
        ),
        ("events: [ { command: pause } ]", "line 5, column 11: events[0]: write exactly one moment: `at`, `after`"),
        (
            "events: [ { at: 25h, command: pause } ]",
            "line 5, column 17: events[0].at: `1d1h` is after the run has stopped (`longest`: `1d`)",
        ),
        (
            "events: [ { at: before, command: pause } ]",
            "line 5, column 17: events[0].at: before the start nobody listens; commands and alarms' events have a time",
        ),
        (
            "events: [ { at: 1m, command: pauze } ]",
            "line 5, column 30: events[0].command: unknown word `pauze`; did you mean `pause`? Known here: `start`, `pause`, `resume`, `approve`, `promote`, `abort`",
        ),
        (
            "events: [ { at: 1m, command: start } ]",
            "line 5, column 11: events[0]: a `start` needs the `spec` that it sends",
        ),
        (
            "events: [ { at: 1m, alarmEvent: red, by: mara } ]",
            "line 5, column 42: events[0].by: `by` belongs to a `command`",
        ),
        (
            "events: [ { at: 1m, alarm: { name: read, state: OK } } ]",
            "line 5, column 36: events[0].alarm.name: there is no alarm `read`; did you mean `red`? Known here: `red`",
        ),
        (
            "events: [ { at: 1m, alarm: { name: red, state: Red } } ]",
            "line 5, column 48: events[0].alarm.state: unknown word `Red`; known here: `OK`, `ALARM`, `INSUFFICIENT_DATA`",
        ),
        (
            "events: [ { at: 1m, write: { version: forty } } ]",
            "line 5, column 39: events[0].write.version: `forty` is not a published version; write its number, such as `\"42\"`",
        ),
        (
            "events: [ { at: 1m, health: { group: blue, healthy: 1 } } ]",
            "line 5, column 21: events[0].health: `health` is about target groups; the spec's target is an alias",
        ),
        (
            "events: [ { after: { weight: 0% }, command: pause } ]",
            "line 5, column 30: events[0].after.weight: `0%` is what there is at first; write a weight that is set later",
        ),
    ];
    all_are_said(rows.map(|(more, message)| (lambda(more), message)));
}

#[test]
fn wrong_faults_services_and_expectations_are_said_likewise() {
    let rows = [
        (
            "faults: [ { way: slow } ]",
            "line 5, column 18: faults[0].way: unknown word `slow`; known here: `throttled`, `denied`, `timedOut`, `rejected`, `failed`, `answerLost`, `stale`, `half`, `hangs`, `panics`, `killedBefore`, `killedAfter`",
        ),
        (
            "faults: [ { way: failed, from: 9m, until: 5m } ]",
            "line 5, column 11: faults[0]: ends at `5m`, before it begins (`9m`)",
        ),
        ("faults: [ { way: failed, call: 0 } ]", "line 5, column 32: faults[0].call: calls are counted from 1"),
    ];
    all_are_said(rows.map(|(more, message)| (lambda(more), message)));
}

fn all_are_said<const N: usize>(rows: [(String, &str); N]) {
    let differ: Vec<String> = rows
        .iter()
        .filter(|(text, message)| said(text) != [*message])
        .map(|(text, message)| format!("{text}\n  said     {:#?}\n  expected {message}", said(text)))
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn wrong_traffic_is_said_likewise() {
    let traffic = |inside: &str| format!("scenario: v1\n{SPEC}\nbaseline: '41'\ntraffic: {{ {inside} }}\n");
    let rows = [
        ("", "line 4, column 1: traffic: the field `perSecond` is missing"),
        ("perSecond: 1000000", "line 4, column 23: traffic.perSecond: `1000000` is out of range; write 0 to 100000"),
        (
            "perSecond: 1, versions: { '43': { errors: 1% } }",
            "line 4, column 44: traffic.versions.43: v43 gets no traffic: it is neither the old nor the new version; known \
             here: `41`, `42`",
        ),
        (
            "perSecond: 1, versions: { '42': { errors: 0.4 } }",
            "line 4, column 54: traffic.versions.42.errors: `0.4` is not a percentage such as `0.4%`",
        ),
        (
            "perSecond: 1, versions: { '42': { errors: [ { from: 5m, share: 1% }, { from: 5m, share: 2% } ] } }",
            "line 4, column 81: traffic.versions.42.errors[1]: begins at `5m`, not after the one before (`5m`); write them \
             in order",
        ),
        (
            "perSecond: 1, versions: { '42': { latency: { median: 80, p99: 200ms } } }",
            "line 4, column 65: traffic.versions.42.latency.median: `80` is not a duration such as `80ms` or `1.2s`",
        ),
        (
            "perSecond: 1, versions: { '42': { latency: { median: 80ms, p99: 20ms } } }",
            "line 4, column 46: traffic.versions.42.latency: the p99 of 20 ms is below the median of 80 ms",
        ),
        (
            "perSecond: 1, metrics: { lateShare: 0.25% }",
            "line 4, column 48: traffic.metrics.lateShare: is finer than a tenth of a percent; write `0.2%`",
        ),
        (
            "perSecond: 1, versions: { '42': { rates: { declined: 4% } } }",
            "line 4, column 65: traffic.versions.42.rates.declined: the spec has no `rate` check `declined`; it has none",
        ),
        (
            "perSecond: 50000, bursts: { chance: 1%, factor: 5x }",
            "line 4, column 1: traffic: comes to 250000 requests a second at its peak; at most 100000",
        ),
        (
            "perSecond: 1500, daily: { swing: 50% }, versions: { '42': { clusters: 3 } }",
            "line 4, column 1: traffic: comes to 2250 requests a second at its peak, and clusters are drawn one by one; at \
             most 2000 with `clusters`",
        ),
        (
            "perSecond: 1, metrics: { delay: 7h }",
            "line 4, column 44: traffic.metrics.delay: `7h` is too long; at most 6h",
        ),
    ];
    all_are_said(rows.map(|(inside, message)| (traffic(inside), message)));
}

#[test]
fn all_problems_come_at_once_those_of_the_spec_included() {
    let text = "scenario: v1
spec:
  coalmine: v1
  target: { lambda: { function: f, alias: live } }
  strategy: { canary: { wieght: 10%, bake: 10m } }
baseline: '41'
traffic: { perSecond: many }
faults: [ { way: slow } ]
";
    let said = said(text);
    // A hole in one part keeps no other from being looked at.
    let begins = [
        "line 5, column 15: spec.strategy.canary: the field `weight` is missing",
        "line 5, column 25: spec.strategy.canary.wieght: unknown field `wieght`; did you mean `weight`?",
        "line 7, column 23: traffic.perSecond: `many` is not a number of requests a second",
        "line 8, column 18: faults[0].way: unknown word `slow`",
    ];
    assert_eq!(said.len(), begins.len(), "{said:#?}");
    for (said, begins) in said.iter().zip(begins) {
        assert!(said.starts_with(begins), "{said}");
    }
}

#[test]
fn a_document_of_another_kind_is_told_so() {
    assert_eq!(said("# nothing\n"), ["line 1, column 1: the scenario is empty; it begins with `scenario: v1`"]);
    let spec = said("coalmine: v1\ntarget: { lambda: { function: f, alias: live } }\n");
    assert!(spec[0].contains("this looks like a rollout spec"), "{spec:#?}");
    let many = format!("faults: [ {} ]", "{ way: failed }, ".repeat(raw::FAULTS_MAX + 1));
    assert_eq!(said(&lambda(&many)), ["line 5, column 1: faults: has 101 items; at most 100 are allowed"]);
}

#[test]
fn a_spec_of_its_own_file_has_problems_of_its_own() {
    let text = lambda("").replace(SPEC, "specFile: specs/checkout.yaml");
    let spec = "coalmine: v1\ntarget: { lambda: { function: f, alias: live } }\nversion: '42'\n";
    let mut asked = Vec::new();
    let mut files = |name: &str, _: usize| {
        asked.push(name.to_owned());
        Ok(spec.to_owned())
    };
    let written = parse(&text, &mut files).unwrap();
    assert_eq!(written.scenario.spec["version"], "42");
    assert_eq!(asked, ["specs/checkout.yaml"]);
    let wrong = parse(&text, &mut |_, _| Ok(spec.replace("version", "versoin"))).unwrap_err();
    assert_eq!(wrong.len(), 1);
    assert_eq!(wrong[0].file.as_deref(), Some("specs/checkout.yaml"));
    assert_eq!(wrong[0].problem.line, Some(3));
    let missing = parse(&text, &mut nothing).unwrap_err();
    assert_eq!((missing[0].file.as_ref(), missing[0].problem.message.as_str()), (None, "no such file"));
    assert_eq!(said(&lambda("specFile: a.yaml")).len(), 1, "one of the two");
}

#[test]
fn what_is_expected_is_held_against_what_came() {
    let bad = lambda("longest: 1h").replace("perSecond: 40", "perSecond: 40, versions: { '42': { errors: 10% } }");
    let outcome = run(&read(&bad).unwrap().scenario, 1);
    assert_eq!(end_of(&outcome), End::RolledBack);
    let missed = |expect: Expect| expect.missed(&outcome).len();
    let expect = Expect::default;
    assert_eq!(missed(expect()), 0);
    assert_eq!(missed(Expect { ended: Some(End::RolledBack), reason: vec!["proven worse".into()], ..expect() }), 0);
    assert_eq!(missed(Expect { ended: Some(End::Promoted), ..expect() }), 1);
    assert_eq!(missed(Expect { reason: vec!["alarm".into()], ..expect() }), 1);
    assert_eq!(missed(Expect { within: Some(Span::from_minutes(1)), ..expect() }), 1);
    assert_eq!(missed(Expect { at_most: Some(Weight::ZERO), ..expect() }), 1);
    assert_eq!(missed(Expect { failed: Some(0), ..expect() }), 1);
    assert_eq!(missed(Expect { refused: Some(1), ..expect() }), 1);
}

#[test]
fn a_refused_start_is_an_end_like_another() {
    let run = run(&read(&lambda("alarms: []")).unwrap().scenario, 1);
    assert!(matches!(run, Err(RunError::Refused(_))));
    assert_eq!(end_of(&run), End::Refused);
    assert!(reason_of(&run).contains("there is no alarm red"), "{}", reason_of(&run));
}

/// What depends on the weight that is set last of all.
#[test]
fn something_may_happen_after_the_promotion() {
    let more = "events: [ { after: { weight: 100%, by: 5m }, alarm: { name: red, state: ALARM } } ]";
    let outcome = run(&read(&lambda(more)).unwrap().scenario, 1).unwrap();
    assert_eq!(outcome.ended(), Some(PhaseName::RolledBack));
    assert_eq!(outcome.violations, []);
}

#[test]
fn environments_are_what_was_written() {
    let text = format!(
        "scenario: v1
{SPEC}
baseline: '41'
timeout: 20s
account: {{ concurrency: 100, others: 30, reserved: 50 }}
traffic:
  kind: queue
  queue: {{ visibility: 2m, receives: 5 }}
  poison: 0.2%
  perSecond: 40
  versions: {{ '42': {{ environments: {{ init: 1.2s, idle: 10m, provisioned: 5, spillover: other }} }} }}
"
    );
    let service = read(&text).unwrap().scenario.service.unwrap();
    assert_eq!(service.account, Account { concurrency: Some(100), others: 30, reserved: Some(50) });
    assert_eq!(service.invoked, Invoked::FromQueue { visibility: Span::from_minutes(2), receives: 5 });
    assert_eq!((service.poison, service.timeout), (0.002, Span::from_seconds(20)));
    let (idle, spillover) = (Span::from_minutes(10), Spillover::Other);
    let environments = Environments { init_ms: 1_200.0, idle, provisioned: 5, spillover };
    assert_eq!(service.environments, [(Version("42".to_owned()), environments)].into());
    let plain =
        |more: &str| read(&lambda("").replace("perSecond: 40", &format!("perSecond: 40{more}"))).unwrap().scenario;
    assert_eq!(plain("").service, None, "nothing is asked for");
    assert_eq!(plain(", kind: async").service.unwrap().invoked, Invoked::Asynchronously);
    let queue = Invoked::FromQueue { visibility: Span::from_seconds(30), receives: 3 };
    assert_eq!(plain(", kind: queue").service.unwrap().invoked, queue);
    let defaults = plain(", versions: { '41': { environments: {} } }").service.unwrap();
    assert_eq!(defaults.environments.into_values().collect::<Vec<_>>(), [Environments::default()]);
}

#[test]
fn wrong_environments_are_said_with_what_would_be_right() {
    let traffic = |more: &str| lambda("").replace("perSecond: 40", &format!("perSecond: 40, {more}"));
    let of = |environments: &str| traffic(&format!("versions: {{ '42': {{ environments: {{ {environments} }} }} }}"));
    for (text, expected) in [
        (traffic("kind: stream"), "traffic.kind: unknown word `stream`; known here: `sync`, `async`, `queue`"),
        (traffic("queue: {}"), "traffic.queue: there is no queue; write `kind: queue` beside it"),
        (
            traffic("kind: queue, queue: { visibility: 2s }"),
            "traffic.queue.visibility: `2s` is shorter than the function's timeout (`3s`), which Lambda refuses",
        ),
        (
            traffic("kind: queue, queue: { receives: 0 }"),
            "traffic.queue.receives: `0` is out of range; write 1 to 1000",
        ),
        (
            traffic("kind: queue, queue: { visibility: 13h }"),
            "traffic.queue.visibility: `13h` is too long; at most 12h",
        ),
        (of("idle: 3h"), "traffic.versions.42.environments.idle: `3h` is out of range; write `1s` to `2h`"),
        (
            of("spillover: other"),
            "traffic.versions.42.environments.spillover: nothing spills over where nothing is provisioned; write \
             `provisioned` beside it",
        ),
        (
            traffic("kind: async, bursts: { chance: 1%, factor: 60x }"),
            "traffic.kind: traffic comes to 2400 requests a second at its peak, and with this each is run by itself; at most \
             2000",
        ),
        (
            traffic("kind: async, versions: { '42': { clusters: 5 } }"),
            "traffic.kind: with this each request fails for itself; leave `clusters` out",
        ),
        (
            lambda("account: { concurrency: 100, others: 60, reserved: 40 }"),
            "account: of 100 nothing is left: `others`, and what is reserved or provisioned, come to 100; Coalmine's own \
             functions need some, too",
        ),
        (
            of("provisioned: 9") + "account: { reserved: 5 }\n",
            "account: 9 environments are provisioned, and 5 are reserved for all of them",
        ),
        (alb("account: {}"), "account: is about a function's environments; the spec's target is target groups"),
        (lambda("concurrency: 100"), "concurrency: belongs under `account`"),
    ] {
        let said: Vec<String> =
            said(&text).into_iter().map(|said| said.split_once(": ").unwrap().1.to_owned()).collect();
        assert!(said.iter().any(|said| said.ends_with(expected)), "{text}\n{said:#?}\n{expected}");
    }
}
