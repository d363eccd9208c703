//! `coalmine fit`

use std::collections::BTreeMap;
use std::io::{self, Write};

use coalmine_aws::{Aws, AwsConfig, FoundAlarm, FoundAlias, FoundRule};
use coalmine_core::alb::group_name;
use coalmine_core::analysis::{Load, forecast, percent, plan};
use coalmine_core::metrics::Series;
use coalmine_core::metrics::week::{Week, queries, week};
use coalmine_core::ports::{Fault, MetricSource};
use coalmine_core::spec::{self, Problem, RolloutSpec, Version};
use coalmine_core::text;
use coalmine_core::units::{Minute, Span, plain_number};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Exit;
use crate::validate::refuse;

/// How late metrics are taken to be, and how long a request may take.
const LAG: Span = Span::from_seconds(3 * 60 + 3);

/// Load balancers whose rules are looked at.
const BALANCERS_MAX: usize = 50;

/// Requests of a week in which somebody would expect an error.
const MANY_REQUESTS: f64 = 100_000.0;

const SHOWN_CHARS: usize = 200;
const TARGET_COLUMN: usize = 34;

/// What could be proven where in this account, and what guards it today. Reads only.
///
/// Every function with an alias and every rule with two target groups, in one table.
///
/// Exit status:
///   0  looked
///   4  AWS did not answer
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Functions that are looked at, in Lambda's order.
    #[arg(long, value_name = "N", default_value_t = 500)]
    most: usize,
    /// Print the spec that would fit below each.
    #[arg(long)]
    propose: bool,
    /// Print one JSON document and nothing else on standard output.
    #[arg(long)]
    json: bool,
}

/// What could be proven in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Fit {
    /// Nobody came in a week.
    NoTraffic,
    /// Not even with half of the traffic.
    AlarmsOnly,
    /// In one step of half of the traffic.
    NeedsHalf,
    /// By the default steps, from 5 % on.
    Provable,
}

impl Fit {
    fn words(self) -> &'static str {
        match self {
            Self::NoTraffic => "no traffic in a week",
            Self::AlarmsOnly => "alarms only",
            Self::NeedsHalf => "needs 50 %",
            Self::Provable => "provable from 5 %",
        }
    }
}

/// One target.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub target: String,
    pub requests_per_second: f64,
    pub error_rate: f64,
    pub fit: Fit,
    /// Until a good release has all traffic; of those that can be proven.
    pub minutes: Option<i64>,
    /// No request failed in a week of many.
    pub swallows: bool,
    /// Alarms that watch it; `None` where they could not be read.
    pub alarms: Option<usize>,
    pub notes: Vec<String>,
    pub propose: Value,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Table {
    functions_looked_at: usize,
    load_balancers_looked_at: usize,
    /// There are more.
    more: bool,
    rows: Vec<Row>,
    unread: Vec<String>,
}

/// A target that might be rolled out on.
struct Candidate {
    spec: RolloutSpec,
    document: Value,
    live: Vec<Version>,
    notes: Vec<String>,
    /// What alarms on it name.
    names: Vec<String>,
}

pub fn run(arguments: &Arguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    let now = crate::now().minute();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let cannot = |error| Problem::at("", format!("cannot start: {error}"));
    let found = runtime.map_err(cannot).and_then(|runtime| {
        runtime.block_on(async {
            let aws = Aws::new(AwsConfig::default()).await;
            let table = look(&aws, arguments.most, now).await;
            table.map_err(|fault| Problem::at("", fault.to_string()).because_of(fault.kind))
        })
    });
    match found {
        Ok(table) if arguments.json => {
            writeln!(out, "{}", text::json(&serde_json::to_string_pretty(&table)?))?;
            Ok(Exit::Fine)
        }
        Ok(table) => print(&table, arguments.propose, out).map(|()| Exit::Fine),
        Err(problem) => {
            refuse(&[problem], arguments.json, out, err)?;
            Ok(Exit::Io)
        }
    }
}

async fn look(aws: &Aws, functions_max: usize, now: Minute) -> Result<Table, Fault> {
    let aliases = aws.aliases(functions_max).await?;
    let mut unread = aliases.faults;
    let (mut balancers, mut more) = (0, aliases.more);
    let mut candidates: Vec<Candidate> = aliases.found.iter().filter_map(Candidate::of_alias).collect();
    match aws.rules_with_two_groups(BALANCERS_MAX).await {
        Ok(rules) => {
            (balancers, more) = (rules.looked_at, more || rules.more);
            unread.extend(rules.faults);
            candidates.extend(rules.found.iter().filter_map(Candidate::of_rule));
        }
        Err(fault) => unread.push(fault.to_string()),
    }
    let alarms = match aws.alarms().await {
        Ok(alarms) => Some(alarms),
        Err(fault) => {
            unread.push(fault.to_string());
            None
        }
    };
    // All at once: `fetch` puts as many series into a call as one may have.
    let asked: Vec<_> = candidates.iter().map(|one| queries(&one.spec.target, &one.live, now)).collect();
    let mut answers = aws.fetch(&asked.concat()).await.into_iter();
    let mut rows = Vec::new();
    for (candidate, asked) in candidates.iter().zip(&asked) {
        let own: Result<Vec<Series>, Fault> =
            answers.by_ref().take(asked.len()).collect::<Vec<_>>().into_iter().collect();
        match own {
            Ok(series) => {
                let week = week(&candidate.spec.target, &candidate.live, &series, now);
                rows.push(row(candidate, week, alarms.as_deref()));
            }
            Err(fault) => unread.push(format!("{}: {fault}", candidate.spec.target.key())),
        }
    }
    rows.sort_by(|one, other| attention(one).cmp(&attention(other)).then_with(|| one.target.cmp(&other.target)));
    unread.dedup();
    Ok(Table { functions_looked_at: aliases.looked_at, load_balancers_looked_at: balancers, more, rows, unread })
}

/// What has traffic and nothing that guards it comes first, what has no traffic last.
fn attention(row: &Row) -> (bool, bool, Fit, bool) {
    (row.fit == Fit::NoTraffic, row.alarms.is_none_or(|alarms| alarms > 0), row.fit, !row.swallows)
}

impl Candidate {
    fn of_alias(found: &FoundAlias) -> Option<Self> {
        let target = json!({ "lambda": { "function": found.function, "alias": found.alias } });
        let document = json!({ "coalmine": "v1", "target": target });
        let mut notes = Vec::new();
        if found.split {
            notes.push("its traffic is divided now".to_owned());
        }
        if found.version == "$LATEST" {
            notes.push("points to $LATEST: publish versions first".to_owned());
        }
        let spec = spec::from_value(&document).ok()?.spec;
        let names = vec![found.function.clone(), format!("{}:{}", found.function, found.alias)];
        Some(Self { spec, document, live: vec![Version(found.version.clone())], notes, names })
    }

    fn of_rule(found: &FoundRule) -> Option<Self> {
        let groups: Vec<&str> = found.groups.iter().map(|(arn, _)| arn.as_str()).collect();
        let place = if found.is_default { "listener" } else { "rule" };
        let names: Vec<&str> = groups.iter().map(|arn| group_name(arn)).collect();
        let document = json!({
            "coalmine": "v1", "name": names.join("-").chars().take(spec::NAME_CHARS_MAX).collect::<String>(),
            "target": { "alb": { place: found.arn, "targetGroups": names } },
        });
        let mut by_weight = found.groups.clone();
        by_weight.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
        let mut notes = Vec::new();
        if found.sticky {
            notes.push("sticky: clients stay, whatever the weights".to_owned());
        }
        if by_weight.iter().all(|(_, weight)| *weight > 0) {
            notes.push("its traffic is divided now".to_owned());
        }
        let spec = spec::from_value(&document).ok()?.spec;
        let live = by_weight.into_iter().map(|(arn, _)| Version(arn)).collect();
        let names = names.into_iter().map(str::to_owned).collect();
        Some(Self { spec, document, live, notes, names })
    }
}

fn row(candidate: &Candidate, week: Week, alarms: Option<&[FoundAlarm]>) -> Row {
    let per_second = week.requests / week_seconds();
    let load = Load { requests_per_minute: week.per_second * 60.0, error_rate: week.error_rate() };
    let takes = |spec: &RolloutSpec| {
        let total = forecast(&plan(spec), spec, &load, LAG).total()?;
        (total <= spec.deadline).then(|| total.minutes_ceil())
    };
    let (document, half) = (&candidate.document, with_half(&candidate.document));
    let half_spec = spec::from_value(&half).map(|valid| valid.spec).ok();
    let (fit, minutes, propose) = match (week.hours, takes(&candidate.spec), half_spec.as_ref().and_then(takes)) {
        (0, ..) => (Fit::NoTraffic, None, document.clone()),
        (_, Some(minutes), _) => (Fit::Provable, Some(minutes), document.clone()),
        (_, None, Some(minutes)) => (Fit::NeedsHalf, Some(minutes), half),
        (_, None, None) => (Fit::AlarmsOnly, None, with_alarms_only(document)),
    };
    let names = |value: &str| candidate.names.iter().any(|name| value == name || value.contains(&format!("/{name}/")));
    let watches = |alarm: &&FoundAlarm| alarm.dimensions.iter().any(|(_, value)| names(value));
    let watching = alarms.map(|alarms| alarms.iter().filter(watches).count());
    Row {
        target: candidate.spec.target.key(),
        requests_per_second: per_second,
        error_rate: week.error_rate(),
        fit,
        minutes,
        swallows: week.failed <= 0.0 && week.requests >= MANY_REQUESTS,
        alarms: watching,
        notes: candidate.notes.clone(),
        propose,
    }
}

fn week_seconds() -> f64 {
    7.0 * 24.0 * 3600.0
}

fn with_half(document: &Value) -> Value {
    let mut document = document.clone();
    document["strategy"] = json!({ "steps": [{ "weight": "50%", "bake": "5m" }] });
    document
}

/// Goes on without a proof, so that it ends; what guards it is alarms.
fn with_alarms_only(document: &Value) -> Value {
    let mut document = document.clone();
    document["advance"] = json!("unlessHarm");
    document["alarms"] = json!(["NAME-OF-AN-ALARM"]);
    document
}

fn print(table: &Table, propose: bool, out: &mut impl Write) -> io::Result<()> {
    let Table { functions_looked_at, load_balancers_looked_at, more, rows, unread } = table;
    let left = if *more { "; THERE ARE MORE (--most)" } else { "" };
    let looked =
        format!("{functions_looked_at} functions and {load_balancers_looked_at} load balancers looked at{left}");
    writeln!(out, "FIT  {} targets: {}     looked only\n", rows.len(), counted(rows))?;
    writeln!(
        out,
        "  {:<TARGET_COLUMN$}{:>10}  {:<9}{:<19}{:<8}NOTE",
        "TARGET", "REQUESTS/S", "FAIL", "PROOF", "ALARMS"
    )?;
    for row in rows {
        let mark = if row.alarms == Some(0) && row.fit != Fit::NoTraffic { "!" } else { " " };
        let takes = row.minutes.map(|minutes| format!(", {minutes} min")).unwrap_or_default();
        let proof = format!("{}{takes}", short(row.fit));
        let failing = if row.fit == Fit::NoTraffic { "-".to_owned() } else { percent(row.error_rate) };
        let mut notes = row.notes.clone();
        if row.swallows {
            notes.insert(0, "never fails: swallowed?".to_owned());
        }
        let rate = plain_number((row.requests_per_second * 100.0).round() / 100.0);
        let target = text::shown(&row.target, SHOWN_CHARS);
        let alarms = row.alarms.map_or_else(|| "?".to_owned(), |alarms| alarms.to_string());
        let begin = format!("{mark} {target:<TARGET_COLUMN$}{rate:>10}  {failing:<9}{proof:<19}{alarms:<8}");
        writeln!(out, "{}", format!("{begin}{}", notes.join("; ")).trim_end())?;
        if propose {
            for line in yaml(&row.propose).lines() {
                writeln!(out, "      {}", text::shown(line, SHOWN_CHARS))?;
            }
        }
    }
    writeln!(out, "\n{looked}.")?;
    let alarms = match rows.iter().any(|row| row.alarms.is_none()) {
        true => "? the alarms could not be read.",
        false => "! has no alarm that names it.",
    };
    writeln!(out, "{alarms} Minutes are a forecast; `coalmine plan` rehearses.")?;
    unread.iter().try_for_each(|fault| writeln!(out, "not read: {}", text::shown(fault, 600)))
}

fn short(fit: Fit) -> &'static str {
    match fit {
        Fit::NoTraffic => "no traffic",
        Fit::AlarmsOnly => "alarms only",
        Fit::NeedsHalf => "at 50 %",
        Fit::Provable => "at 5 %",
    }
}

fn counted(rows: &[Row]) -> String {
    let mut counts: BTreeMap<Fit, usize> = BTreeMap::new();
    rows.iter().for_each(|row| *counts.entry(row.fit).or_default() += 1);
    let said = counts.iter().rev().map(|(fit, count)| format!("{count} {}", fit.words()));
    said.collect::<Vec<_>>().join(", ")
}

/// Each field on a line of its own; what is inside as JSON, which YAML reads.
fn yaml(document: &Value) -> String {
    let fields = document.as_object().into_iter().flatten();
    let mut fields: Vec<(&String, &Value)> = fields.collect();
    fields.sort_by_key(|(name, _)| (*name != "coalmine", *name != "target"));
    fields
        .into_iter()
        .map(|(name, value)| format!("{name}: {}\n", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(function: &str) -> Candidate {
        let found = FoundAlias { function: function.into(), alias: "live".into(), version: "7".into(), split: false };
        Candidate::of_alias(&found).unwrap()
    }

    fn week_of(per_second: f64, error_rate: f64) -> Week {
        let requests = per_second * week_seconds();
        Week {
            requests,
            failed: requests * error_rate,
            per_second,
            per_second_now: per_second,
            hours: 168,
            ..Week::default()
        }
    }

    #[test]
    fn what_fits_depends_on_the_traffic_and_every_proposal_is_a_spec() {
        for (per_second, error_rate, fit) in
            [(40.0, 0.004, Fit::Provable), (1.5, 0.001, Fit::NeedsHalf), (0.05, 0.01, Fit::AlarmsOnly)]
        {
            let row = row(&alias("shop"), week_of(per_second, error_rate), Some(&[]));
            assert_eq!(row.fit, fit, "{per_second}: {row:?}");
            let text = yaml(&row.propose);
            assert!(spec::parse(&text).is_ok(), "{text}: {:?}", spec::parse(&text));
        }
        let nobody = row(&alias("shop"), Week::default(), None);
        assert_eq!((nobody.fit, nobody.minutes, nobody.alarms), (Fit::NoTraffic, None, None));
    }

    #[test]
    fn what_nothing_guards_comes_first() {
        let alarm = FoundAlarm {
            name: "red".into(),
            composite: false,
            state: "OK".into(),
            dimensions: vec![("FunctionName".into(), "guarded".into())],
            actions_enabled: true,
        };
        let mut rows: Vec<Row> = [("guarded", 40.0), ("idle", 0.0), ("bare", 40.0), ("quiet", 0.05)]
            .map(|(name, rate)| {
                let week = if rate > 0.0 { week_of(rate, 0.001) } else { Week::default() };
                row(&alias(name), week, Some(std::slice::from_ref(&alarm)))
            })
            .into();
        rows.sort_by_key(attention);
        let names: Vec<&str> = rows.iter().map(|row| row.target.as_str()).collect();
        assert_eq!(names, ["quiet:live", "bare:live", "guarded:live", "idle:live"]);
        let table = Table { functions_looked_at: 4, load_balancers_looked_at: 0, more: true, rows, unread: Vec::new() };
        let mut out = Vec::new();
        print(&table, true, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("THERE ARE MORE") && text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }

    #[test]
    fn a_rule_with_two_groups_is_a_target() {
        let arn = |name: &str| {
            format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/{name}/73e2d6bc24d8a067")
        };
        let rule = FoundRule {
            arn: "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/shop/50dc6c495c0c9188/f2f7dc8efc522ab2/\
                  9683b2d02a6cabee"
                .replace(' ', ""),
            is_default: false,
            groups: vec![(arn("green"), 0), (arn("blue"), 100)],
            sticky: true,
        };
        let candidate = Candidate::of_rule(&rule).unwrap();
        assert_eq!(candidate.live[0].0, arn("blue"));
        assert_eq!(candidate.notes.len(), 1, "{:?}", candidate.notes);
    }
}
