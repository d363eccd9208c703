//! A spec with every default written out.

use serde::Serialize;
use serde_json::Value;

use super::{
    Advance, AlbTarget, Check, CheckKind, HttpTest, InvokeTest, KeepBaseline, MetricRef, Quantile, RateCounts,
    RolloutSpec, RuleRef, Step, Target, Test, Tolerance,
};
use crate::text::is_harmful;

/// YAML that [`parse`](super::parse) reads back to an equal spec.
#[must_use]
pub fn effective(spec: &RolloutSpec) -> String {
    let mut lines = vec!["coalmine: v1".to_owned()];
    lines.extend(spec.name.iter().map(|name| format!("name: {}", text(name))));
    lines.push(format!("mode: {}", word(spec.mode)));
    lines.push("target:".to_owned());
    lines.extend(target(&spec.target));
    lines.extend(spec.version.iter().map(|version| format!("version: {}", text(&version.0))));
    let release = &spec.release;
    let (commit, owner, ticket) = (text(&release.commit), text(&release.owner), text(&release.ticket));
    lines.push(format!("release: {{ commit: {commit}, owner: {owner}, ticket: {ticket} }}"));
    lines.extend(strategy(spec));
    lines.push(format!("margins: {}", word(spec.margins)));
    lines.push(format!("settle: {}", word(spec.settle)));
    lines.push(format!("after: {{ watch: {} }}", spec.after.watch.spec_form()));
    lines.extend(list("tests", spec.tests.iter().map(test)));
    lines.extend(list("checks", spec.checks.iter().map(check)));
    lines.push(format!(
        "alarms: {{ names: [{}], alreadyRed: {} }}",
        joined(spec.alarms.names.iter().map(|name| text(name))),
        word(spec.alarms.already_red)
    ));
    lines.extend(endings(spec));
    lines.join("\n") + "\n"
}

fn endings(spec: &RolloutSpec) -> [String; 5] {
    let (analysis, undecided, pause) = (spec.analysis, spec.undecided, spec.pause);
    [
        format!(
            "analysis: {{ falseRollback: {}%, falsePromotion: {}%, guard: {}, harmRatio: {}, independence: {} }}",
            hundredfold(analysis.false_rollback),
            hundredfold(analysis.false_promotion),
            word(analysis.guard),
            times(analysis.harm_ratio),
            word(analysis.independence)
        ),
        format!(
            "undecided: {{ tooLittleTraffic: {}, noData: {}, looksWorse: {} }}",
            word(undecided.too_little_traffic),
            word(undecided.no_data),
            word(undecided.looks_worse)
        ),
        format!("pause: {{ for: {}, then: {} }}", pause.length.spec_form(), word(pause.then)),
        format!("deadline: {}", spec.deadline.spec_form()),
        format!("newer: {}", word(spec.newer)),
    ]
}

/// In the words in which it was asked for, with the settings that its steps show.
fn strategy(spec: &RolloutSpec) -> Vec<String> {
    let advance = |step: &Step| format!("advance: {}", word(step.advance));
    match (spec.strategy.as_str(), spec.steps.first()) {
        ("auto", _) => {
            let budget = spec.auto.and_then(|auto| auto.harm_budget);
            let budget = budget.map(|requests| format!(" harmBudget: {requests} ")).unwrap_or_default();
            vec![format!("strategy: {{ auto: {{{budget}}} }}")]
        }
        ("canary", Some(step)) => {
            let (weight, bake) = (step.weight.spec_form(), step.bake.spec_form());
            vec![format!("strategy:\n  canary: {{ weight: {weight}, bake: {bake} }}"), advance(step)]
        }
        ("linear", Some(step)) => {
            let (increment, every) = (step.weight.spec_form(), step.bake.spec_form());
            vec![format!("strategy:\n  linear: {{ increment: {increment}, every: {every} }}"), advance(step)]
        }
        ("steps", _) => {
            let steps = spec.steps.iter().map(|step| format!("    - {{ {} }}", self::step(step)));
            ["strategy:".to_owned(), "  steps:".to_owned()].into_iter().chain(steps).collect()
        }
        (nothing @ ("blueGreen" | "allAtOnce"), _) => vec![format!("strategy: {{ {nothing}: {{}} }}")],
        (preset, _) => {
            let consent = format!("advance: {}", word(Advance::UnlessHarm));
            vec![format!("strategy: {{ preset: {} }}", text(preset)), consent]
        }
    }
}

fn step(step: &Step) -> String {
    let mut fields = vec![format!("weight: {}", step.weight.spec_form()), format!("bake: {}", step.bake.spec_form())];
    fields.extend(step.at_most.map(|at_most| format!("atMost: {}", at_most.spec_form())));
    fields.push(format!("advance: {}", word(step.advance)));
    fields.extend(step.approve.map(|approve| {
        format!("approve: {{ within: {}, otherwise: {} }}", approve.within.spec_form(), word(approve.otherwise))
    }));
    fields.join(", ")
}

fn list(name: &str, items: impl Iterator<Item = String>) -> Vec<String> {
    let items: Vec<String> = items.map(|item| format!("  - {item}")).collect();
    match items.is_empty() {
        true => vec![format!("{name}: []")],
        false => [vec![format!("{name}:")], items].concat(),
    }
}

fn target(target: &Target) -> Vec<String> {
    match target {
        Target::Lambda(lambda) => {
            let (function, alias) = (text(&lambda.function), text(&lambda.alias));
            vec![format!("  lambda: {{ function: {function}, alias: {alias}, owner: {} }}", word(lambda.owner))]
        }
        Target::Alb(alb) => balancer(alb),
    }
}

fn balancer(alb: &AlbTarget) -> Vec<String> {
    let (mut rules, mut listeners) = (Vec::new(), Vec::new());
    for rule in &alb.rules {
        match rule {
            RuleRef::Rule(arn) => rules.push(text(arn)),
            RuleRef::DefaultOf(arn) => listeners.push(text(arn)),
        }
    }
    let arns = |field: &str, arns: Vec<String>| {
        let arns = (!arns.is_empty()).then(|| arns.join(", "));
        arns.map(|arns| format!("    {field}: [{arns}]"))
    };
    let keep = match alb.keep_baseline {
        KeepBaseline::UntilNextRollout => "untilNextRollout".to_owned(),
        KeepBaseline::For(span) => span.spec_form(),
    };
    let mut lines = vec!["  alb:".to_owned()];
    lines.extend(arns("rule", rules));
    lines.extend(arns("listener", listeners));
    lines.push(format!("    targetGroups: [{}]", joined(alb.target_groups.iter().map(|group| text(group)))));
    lines.push(format!("    stickiness: {}", word(alb.stickiness)));
    lines.push(format!("    minHealthyShare: {}", alb.min_healthy_share.spec_form()));
    lines.extend(alb.test_rule.iter().map(|arn| format!("    testRule: {}", text(arn))));
    lines.push(format!("    keepBaseline: {keep}"));
    lines
}

fn test(test: &Test) -> String {
    match test {
        Test::Invoke(test) => invoke(test),
        Test::Http(test) => http(test),
    }
}

fn http(test: &HttpTest) -> String {
    let headers = joined(test.headers.iter().map(|(name, value)| format!("{}: {}", text(name), text(value))));
    let headers = if headers.is_empty() { headers } else { format!(", headers: {{ {headers} }}") };
    format!("http: {{ url: {}{headers}, expect: {}, times: {} }}", text(&test.url), test.expect, test.times)
}

fn invoke(test: &InvokeTest) -> String {
    let expect = test.expect.as_ref().map(|expect| format!(", expect: {}", json(expect))).unwrap_or_default();
    format!("invoke: {{ payload: {}{expect}, times: {} }}", json(&test.payload), test.times)
}

fn warm_up(warm_up: Option<crate::units::Span>) -> String {
    format!("warmUp: {}", warm_up.map_or_else(|| "auto".to_owned(), |span| span.spec_form()))
}

fn check(check: &Check) -> String {
    let common = [format!("mode: {}", word(check.mode)), format!("onNoData: {}", word(check.on_no_data))];
    let name = format!("name: {}", text(&check.name));
    let more = |share: f64| format!("tolerate: {}%", hundredfold(share));
    let at = |at: &[Quantile]| {
        let at = joined(at.iter().map(|Quantile(share)| format!("p{}", hundredfold(*share))));
        format!("at: [{at}]")
    };
    let (kind, fields) = match &check.kind {
        CheckKind::Errors { tolerate } => {
            return in_one_line("errors", [format!("tolerate: {}", tolerance(*tolerate))].into_iter().chain(common));
        }
        CheckKind::Latency { tolerate, at: quantiles, warm_up: warm_up_time } => {
            return in_one_line(
                "latency",
                [more(*tolerate), at(quantiles), warm_up(*warm_up_time)].into_iter().chain(common),
            );
        }
        CheckKind::Rate { counts, requests, tolerate, absent_is_zero } => {
            let (kind, events) = match counts {
                RateCounts::Events(events) => ("events", events),
                RateCounts::GoodEvents(events) => ("goodEvents", events),
            };
            let fields = [
                format!("{kind}: {}", metric(events)),
                format!("requests: {}", metric(requests)),
                format!("tolerate: {}", tolerance(*tolerate)),
                format!("absentIsZero: {absent_is_zero}"),
            ];
            ("rate", [fields.to_vec(), common.to_vec()].concat())
        }
        CheckKind::Distribution { metric: values, unit, tolerate, at: quantiles } => {
            let unit = (!unit.is_empty()).then(|| format!("unit: {}", text(unit)));
            let fields =
                [Some(format!("metric: {}", metric(values))), unit, Some(more(*tolerate)), Some(at(quantiles))];
            ("distribution", fields.into_iter().flatten().chain(common).collect())
        }
        CheckKind::Mean { metric: values } => ("mean", vec![format!("metric: {}", metric(values))]),
        CheckKind::Gauge { metric: values, tolerate } => {
            let fields = [format!("metric: {}", metric(values)), more(*tolerate)];
            ("gauge", [fields, common].concat())
        }
    };
    format!("{kind}:\n      {name}\n      {}", fields.join("\n      "))
}

fn in_one_line(kind: &str, fields: impl Iterator<Item = String>) -> String {
    format!("{kind}: {{ {} }}", joined(fields))
}

fn metric(metric: &MetricRef) -> String {
    let dimensions = joined(metric.dimensions.iter().map(|(name, value)| format!("{}: {}", text(name), text(value))));
    format!(
        "{{ namespace: {}, metric: {}, dimensions: {{ {dimensions} }} }}",
        text(&metric.namespace),
        text(&metric.metric)
    )
}

fn tolerance(tolerance: Tolerance) -> String {
    let factor = (tolerance.factor > 1.0).then(|| times(tolerance.factor));
    let points = (tolerance.points > 0.0).then(|| format!("{}pt", hundredfold(tolerance.points)));
    factor.into_iter().chain(points).collect::<Vec<_>>().join(" + ")
}

fn times(factor: f64) -> String {
    format!("{}x", shortest(|text| text.parse() == Ok(factor), factor))
}

/// A share as the percentage that reads back to exactly the same share.
fn hundredfold(share: f64) -> String {
    let same = |text: &str| text.parse::<f64>().is_ok_and(|percent| (percent / 100.0).to_bits() == share.to_bits());
    shortest(same, share * 100.0)
}

/// The fewest decimals that still say the same; what was parsed has at most four.
fn shortest(same: impl Fn(&str) -> bool, value: f64) -> String {
    let texts = (0..=4).map(|decimals| format!("{value:.decimals$}"));
    let mut last = String::new();
    for text in texts {
        if same(&text) {
            return text;
        }
        last = text;
    }
    last
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

/// The spec's word for an enum's value is its stored form.
fn word(value: impl Serialize) -> String {
    serde_json::to_value(value).ok().as_ref().and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Quoted unless it is plainly a word: JSON's quoting is YAML's too.
fn text(text: &str) -> String {
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        && !reserved.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { json(&Value::from(text)) }
}

/// JSON is YAML but for a few characters, which only stand in its strings and which YAML wants escaped; so do terminals.
fn json(value: &Value) -> String {
    let mut escaped = String::new();
    for c in value.to_string().chars() {
        match c {
            c if is_harmful(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => escaped.push(c),
        }
    }
    escaped
}
