//! What is examined of a target.

use coalmine_aws::{Aws, FoundAlarm};
use coalmine_core::alb;
use coalmine_core::analysis::{grouped, percent};
use coalmine_core::metrics::week::{queries, week};
use coalmine_core::metrics::{self, Bypass, Series};
use coalmine_core::observation::{Readiness, Routing};
use coalmine_core::ports::{Deployments, Fault, MetricSource, TrafficRouter};
use coalmine_core::spec::{LambdaTarget, Owner, RolloutSpec, Target, Version};
use coalmine_core::units::Timestamp;

use super::Findings;
use super::stack::{Told, of};

/// CloudWatch is complete up to three minutes ago.
const LAG_MINUTES: i64 = 3;
const HOUR_MINUTES: i64 = 60;

/// Requests of a week in which somebody would expect an error.
const MANY_REQUESTS: f64 = 100_000.0;

/// Alarms that are listed by name.
const NAMED_MAX: usize = 5;

pub async fn examine(aws: &Aws, spec: &RolloutSpec, told: &Told, now: Timestamp, findings: &mut Findings) {
    let target = &spec.target;
    if let Some(place) = findings.of("credentials", aws.place(target).await) {
        findings.fine("credentials", format!("account and region {place}"));
    }
    let Some(routing) = findings.look("target", aws.look(target).await) else { return };
    routed(target, &routing, told, findings);
    match target {
        Target::Lambda(alias) => owners(aws, target, alias, findings).await,
        Target::Alb(balancer) => {
            if let Some(around) = findings.look("rules", aws.survey(target).await) {
                let found = alb::problems(balancer, &around, spec.mode, false);
                for problem in &found.problems {
                    findings.wrong("rules", problem.to_string(), "a start is refused until this is not so");
                }
                for warning in &found.warnings {
                    findings.note("rules", warning.to_string(), "a start says so, too, and goes on");
                }
                if found.problems.is_empty() && found.warnings.is_empty() {
                    findings.fine("rules", "nothing is in the way: no stickiness, no other owner, groups agree");
                }
            }
        }
    }
    traffic(aws, target, &routing, now, findings).await;
    alarms(aws, spec, findings).await;
}

fn routed(target: &Target, routing: &Routing, told: &Told, findings: &mut Findings) {
    let key = target.key();
    let is_alias = matches!(target, Target::Lambda(_));
    if is_alias && routing.primary.0 == "$LATEST" {
        let said = format!("{key} points to $LATEST, whose weights Lambda does not let anybody shift");
        findings.wrong("target", said, "publish a version, and point the alias to it");
        return;
    }
    if let Some((version, weight)) = &routing.additional {
        let said = format!("{key} is divided: {} with {weight} on {version}", routing.primary);
        match (is_codedeploys(target), told.running(&key)) {
            (true, _) => findings.note("target", said, "nothing need be done while CodeDeploy is shifting it"),
            (false, Some(rollout)) => findings.fine("target", format!("{said}, by rollout {}", of(rollout, "id"))),
            (false, None) if told.rollouts.is_some() => {
                let said = format!("{said}, and no rollout runs there: these weights are left over");
                findings.wrong("target", said, "give all traffic to one version");
            }
            (false, None) => findings.wrong(
                "target",
                said,
                "if no rollout runs (`coalmine list`), these weights are left over: give all traffic to one version",
            ),
        }
    } else {
        findings.fine("target", format!("{key} has all traffic on {}", routing.primary));
        drifted(&key, routing, told, findings);
    }
    for lost in &routing.lost {
        findings.wrong("target", lost.clone(), "make the rule forward to the two groups");
    }
}

/// Whether the target is as the last rollout left it.
fn drifted(key: &str, routing: &Routing, told: &Told, findings: &mut Findings) {
    let (None, Some(last)) = (told.running(key), told.ended_last(key)) else { return };
    let (did, left) = match of(last, "phase") {
        "promoted" => ("promoted", "canary"),
        _ => ("rolled back", "baseline"),
    };
    let (id, since, left) = (of(last, "id"), of(last, "since"), Version(of(last, left).to_owned()));
    if left == routing.primary {
        return findings.fine("target", format!("as rollout {id} left it, {did} at {since}"));
    }
    let said = format!(
        "rollout {id}, {did} at {since}, left {left} live on {key}; since then others made it {}",
        routing.primary
    );
    findings.note(
        "target",
        said,
        "nothing need be done if you know who did it; the next rollout begins from what is live",
    );
}

/// Whether CodeDeploy moves the weights, as the spec says.
fn is_codedeploys(target: &Target) -> bool {
    matches!(target, Target::Lambda(LambdaTarget { owner: Owner::Codedeploy, .. }))
}

async fn owners(aws: &Aws, target: &Target, alias: &LambdaTarget, findings: &mut Findings) {
    match findings.of("owners", aws.shifting(target).await) {
        Some(Some(deployment)) => {
            let said = format!("{deployment} is shifting {} now", target.key());
            match is_codedeploys(target) {
                true => findings.note("owners", said, "nothing need be done: CodeDeploy owns the weights"),
                false => findings.wrong("owners", said, "wait for its end"),
            }
        }
        Some(None) => findings.fine("owners", "CodeDeploy is shifting nothing here"),
        None => {}
    }
    if let Some(newest) = findings.look("versions", aws.version(target, None).await) {
        let version = &newest.version;
        match newest.readiness {
            Readiness::Active => findings.fine("versions", format!("newest {version}, timeout {}", newest.timeout)),
            Readiness::NotYet(why) | Readiness::Never(why) => {
                findings.wrong("versions", format!("version {version} cannot serve: {why}"), "publish one that can");
            }
        }
    }
    if findings.look("versions", aws.survey(target).await).is_some_and(|around| around.provisioned) {
        let alias = &alias.alias;
        findings.note(
            "versions",
            format!("alias {alias} has provisioned concurrency: calls beyond it need not be split as the weights say"),
            "nothing need be done: a split that is off by up to half of the weight is accepted",
        );
    }
}

async fn traffic(aws: &Aws, target: &Target, routing: &Routing, now: Timestamp, findings: &mut Findings) {
    let until = now.minute().plus(-LAG_MINUTES);
    let from = until.plus(-HOUR_MINUTES);
    let asked = metrics::history_queries(target, &routing.primary, from, until);
    if let Some(series) = read(aws, findings, &asked).await {
        let known: Vec<Option<&Series>> = series.iter().map(Some).collect();
        if let Some(traffic) = metrics::traffic(target, &known, from, until) {
            match metrics::bypass_problem(target, &traffic) {
                Some(Bypass::Refuse(message)) => findings.wrong("callers", message, "call the alias"),
                Some(Bypass::Warn(message)) => findings.note("callers", message, "call the alias"),
                None => {}
            }
        }
    }
    if let Target::Lambda(alias) = target {
        samples(aws, alias, routing, (from, until), findings).await;
    }
    let live = [routing.primary.clone()];
    let Some(series) = read(aws, findings, &queries(target, &live, now.minute())).await else { return };
    let week = week(target, &live, &series, now.minute());
    if week.hours == 0 {
        let said = format!("{} had no requests in a week", target.key());
        return findings.wrong("metrics", said, "nothing can be proven without traffic; see that callers use it");
    }
    let (requests, rate) = (grouped(week.requests), percent(week.error_rate()));
    findings.fine("metrics", format!("{requests} requests in the last week, {rate} failed"));
    if week.failed <= 0.0 && week.requests >= MANY_REQUESTS && matches!(target, Target::Lambda(_)) {
        findings.note(
            "errors",
            format!("not one of {requests} requests failed in a week: a handler that answers with a 500 fails for nobody but its callers"),
            "see docs/blind-spots.md for a `rate` check that sees it",
        );
    }
}

/// `Errors` must be told of every invocation, or an error that is late would be taken for none.
async fn samples(
    aws: &Aws,
    alias: &LambdaTarget,
    routing: &Routing,
    (from, until): (coalmine_core::units::Minute, coalmine_core::units::Minute),
    findings: &mut Findings,
) {
    let metric = |name: &str, version: Option<&Version>| {
        let mut dimensions = std::collections::BTreeMap::from([
            ("FunctionName".to_owned(), alias.function.clone()),
            ("Resource".to_owned(), format!("{}:{}", alias.function, alias.alias)),
        ]);
        if let Some(version) = version {
            dimensions.insert("ExecutedVersion".to_owned(), version.0.clone());
        }
        coalmine_core::spec::MetricRef { namespace: "AWS/Lambda".to_owned(), metric: name.to_owned(), dimensions }
    };
    let query = |metric, stat| metrics::SeriesQuery { metric, stat, period: metrics::Period::Minute, from, until };
    let asked = [
        query(metric("Invocations", None), metrics::Stat::Sum),
        query(metric("Errors", None), metrics::Stat::SampleCount),
        query(metric("Invocations", Some(&routing.primary)), metrics::Stat::Sum),
    ];
    let Some(series) = read(aws, findings, &asked).await else { return };
    let [invocations, samples, of_version] = series.as_slice() else { return };
    if invocations.is_empty() {
        let said = format!("{}:{} had no invocation in the last hour", alias.function, alias.alias);
        return findings.note("metrics", said, "a rollout holds while nobody comes");
    }
    let short =
        invocations.iter().filter(|(minute, count)| samples.get(minute).is_none_or(|told| told < count)).count();
    let minutes = invocations.len();
    match short {
        0 => findings.fine("metrics", format!("Errors is told of every invocation in {minutes} of {minutes} minutes")),
        short => findings.wrong(
            "metrics",
            format!("in {short} of {minutes} minutes Errors is told of fewer invocations than there were"),
            "minutes like this prove nothing; if it stays so, judge a `rate` of your own instead of `errors`",
        ),
    }
    if of_version.is_empty() {
        findings.note(
            "metrics",
            format!("Lambda tells nothing of {} by itself while it has all traffic", routing.primary),
            "nothing need be done: it does while two versions share the alias",
        );
    }
}

async fn read(aws: &Aws, findings: &mut Findings, asked: &[metrics::SeriesQuery]) -> Option<Vec<Series>> {
    let answers: Result<Vec<Series>, Fault> = aws.fetch(asked).await.into_iter().collect();
    findings.of("metrics", answers)
}

/// Those that the spec names, and those that it might.
async fn alarms(aws: &Aws, spec: &RolloutSpec, findings: &mut Findings) {
    let Some(all) = findings.of("alarms", aws.alarms().await) else { return };
    for name in &spec.alarms.names {
        match all.iter().find(|alarm| alarm.name == *name) {
            None => {
                findings.wrong("alarms", format!("there is no alarm {name}"), "create it, or leave it out of the spec")
            }
            Some(alarm) => examine_alarm(alarm, &spec.target, findings),
        }
    }
    let unnamed = all.iter().filter(|alarm| !spec.alarms.names.contains(&alarm.name) && watches(alarm, &spec.target));
    let unnamed: Vec<&str> = unnamed.map(|alarm| alarm.name.as_str()).collect();
    if !unnamed.is_empty() {
        let shown = unnamed.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
        let said = format!("{} alarms watch this target and are not named: {shown}", unnamed.len());
        findings.note("alarms", said, "name those under `alarms` that should roll a release back");
    } else if spec.alarms.names.is_empty() {
        findings.note("alarms", "no alarm watches this target", "at 100 % nothing else guards a release; create one");
    }
}

fn examine_alarm(alarm: &FoundAlarm, target: &Target, findings: &mut Findings) {
    let name = &alarm.name;
    match alarm.state.as_str() {
        "OK" => findings.fine("alarms", format!("{name} is OK")),
        "ALARM" => findings.wrong("alarms", format!("{name} is in ALARM"), "a start is refused until it is OK"),
        other => findings.wrong(
            "alarms",
            format!("{name} is {other}: it watches something that sends no data"),
            "see what it watches; `treat missing data: notBreaching` for errors that are rare",
        ),
    }
    if !alarm.composite && !watches(alarm, target) {
        let said = format!("{name} watches nothing that names {}", target.key());
        findings.note("alarms", said, "see that it would ring for this target");
    }
}

/// Whether any dimension names the function, or a target group of the pair.
fn watches(alarm: &FoundAlarm, target: &Target) -> bool {
    let group_in = |value: &str, group: &str| {
        let name = alb::group_name(group);
        value == name || value.contains(&format!("/{name}/"))
    };
    let names = |value: &str| match target {
        Target::Lambda(alias) => value == alias.function || value == format!("{}:{}", alias.function, alias.alias),
        Target::Alb(balancer) => balancer.target_groups.iter().any(|group| group_in(value, group)),
    };
    alarm.dimensions.iter().any(|(_, value)| names(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Grade;

    #[test]
    fn what_others_did_since_the_last_rollout_is_told() {
        let text = "coalmine: v1\ntarget: { lambda: { function: shop, alias: live } }\n";
        let target = coalmine_core::spec::parse(text).unwrap().spec.target;
        let one = |id: &str, phase: &str, since: &str| {
            serde_json::json!({
                "id": id, "target": "shop:live", "phase": phase, "since": since, "baseline": "41", "canary": "42",
            })
        };
        let (early, late) = ("2026-11-20T14:00:00Z", "2026-11-21T14:00:00Z");
        let on = |primary: &str, additional| Routing {
            primary: Version(primary.to_owned()),
            additional,
            revision: None,
            in_transition: false,
            others: Vec::new(),
            lost: Vec::new(),
            attached: true,
            at_zero: Vec::new(),
            sticky: None,
            fingerprint: None,
        };
        let ten = coalmine_core::units::Weight::from_basis_points(1_000).unwrap();
        let split = Some((Version("42".to_owned()), ten));
        for (rollouts, routing, grade, says) in [
            (vec![one("a", "promoted", late)], on("42", None), Grade::Fine, "as rollout a left it, promoted at"),
            (vec![one("a", "rolledBack", late)], on("41", None), Grade::Fine, "as rollout a left it, rolled back at"),
            (vec![one("a", "promoted", late)], on("43", None), Grade::Note, "left v42 live on shop:live; since then"),
            (vec![one("a", "promoted", early), one("b", "rolledBack", late)], on("42", None), Grade::Note, "left v41"),
            (vec![one("a", "baking", late)], on("41", split.clone()), Grade::Fine, "by rollout a"),
            (vec![one("a", "promoted", late)], on("41", split), Grade::Wrong, "these weights are left over"),
        ] {
            let mut findings = Findings::default();
            routed(&target, &routing, &Told { command: None, rollouts: Some(rollouts) }, &mut findings);
            let last = findings.list.last().unwrap();
            assert!(last.grade == grade && last.said.contains(says), "{last:?} is not {says}");
        }
    }

    #[test]
    fn an_alarm_watches_what_its_dimensions_name() {
        let alarm = |value: &str| FoundAlarm {
            name: "a".to_owned(),
            composite: false,
            state: "OK".to_owned(),
            dimensions: vec![("FunctionName".to_owned(), value.to_owned())],
            actions_enabled: true,
        };
        let text = "coalmine: v1\ntarget: { lambda: { function: shop, alias: live } }\n";
        let target = coalmine_core::spec::parse(text).unwrap().spec.target;
        for (value, is) in [("shop", true), ("shop:live", true), ("shop:test", false), ("shopping", false)] {
            assert_eq!(watches(&alarm(value), &target), is, "{value}");
        }
        let text = "coalmine: v1\nname: shop\ntarget: { alb: { targetGroups: [blue, green], rule: \
                    'arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/shop/50dc6c495c0c9188/\
                    f2f7dc8efc522ab2/9683b2d02a6cabee' } }\n";
        let target = coalmine_core::spec::parse(text).unwrap().spec.target;
        for (value, is) in [("targetgroup/blue/73e2d6bc24d8a067", true), ("targetgroup/blue-2/73e2d6bc24d8a067", false)]
        {
            assert_eq!(watches(&alarm(value), &target), is, "{value}");
        }
    }
}
