//! `coalmine plan`

#[cfg(feature = "aws")]
mod account;
pub(crate) mod numbers;
pub(crate) mod screen;
#[cfg(test)]
mod tests;
mod warnings;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use coalmine_core::sim::durations::Latency;
use coalmine_core::sim::rehearsal::{Habits, Stage};
use coalmine_core::spec::{self, Advance, Problem, RolloutSpec, Step, Target};
use coalmine_core::text;
use coalmine_core::units::{Span, Timestamp};
use serde::Serialize;

use crate::Exit;
use crate::validate::{load_or_say, refuse, shown};
use numbers::{Effort, Numbers, Unrehearsed};

/// How late metrics are taken to be, as by default.
pub(crate) const LAG: Span = Span::from_minutes(3);

/// Where nothing else is known.
pub(crate) const TIMEOUT: Span = Span::from_seconds(3);

/// Where the proof takes longer than the deadline, what would do is rehearsed: fewer times, for every run is longer.
const RUNS_OF_LONG_ONES: usize = 10;

/// Tolerances that are tried then, in points.
const WIDER: [f64; 3] = [0.01, 0.02, 0.05];

/// More requests a second than any target has; the simulation draws no more.
const PER_SECOND_MAX: f64 = 100_000.0;

/// More runs than that say nothing more.
pub(crate) const RUNS_MAX: usize = 10_000;

/// What a rollout would catch on this traffic, how soon, and how long it takes. Reads only.
///
/// With --rps and --error-rate nothing is asked of AWS. Otherwise the target is looked at with your
/// credentials, and the numbers are of its last week.
///
/// Exit status:
///   0  a good release is proven in time
///   2  wrong use, an invalid spec, or something is in the way of a start
///   3  the proof takes longer than the deadline, or there is nothing to prove anything with
///   4  AWS or a file did not answer
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The spec, YAML or JSON; `-` reads standard input.
    #[arg(required_unless_present = "function")]
    spec: Option<PathBuf>,
    /// A function without a spec: everything by default.
    #[arg(long, conflicts_with = "spec", requires = "alias")]
    function: Option<String>,
    /// The alias of --function.
    #[arg(long, requires = "function")]
    alias: Option<String>,
    /// Requests a second that the target gets, instead of asking AWS.
    #[arg(long, value_name = "N", requires = "error_rate", value_parser = per_second)]
    rps: Option<f64>,
    /// The share of them that fails: `0.4%`, or `0.004`.
    #[arg(long, value_name = "P", requires = "rps", value_parser = share)]
    error_rate: Option<f64>,
    /// Half of the requests take longer than so many milliseconds [default: a quarter of the p99].
    #[arg(long, value_name = "MS", requires = "rps", value_parser = milliseconds)]
    latency_p50: Option<f64>,
    /// One of 100 requests takes longer than so many milliseconds [default: 323].
    #[arg(long, value_name = "MS", requires = "rps", value_parser = milliseconds)]
    latency_p99: Option<f64>,
    /// The function's timeout: the longer a request may take, the later a minute counts [default: 3s].
    #[arg(long, requires = "rps")]
    timeout: Option<Span>,
    /// How many releases of each kind are rehearsed.
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = runs)]
    runs: usize,
    /// Where all chance comes from: the same seed gives the same numbers.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print one JSON document and nothing else on standard output.
    #[arg(long)]
    json: bool,
}

fn per_second(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| *number > 0.0 && *number <= PER_SECOND_MAX);
    number.ok_or_else(|| format!("is no number of requests a second; write 0.1 to {PER_SECOND_MAX}"))
}

fn share(text: &str) -> Result<f64, String> {
    let (number, percent) = text.strip_suffix('%').map_or((text, false), |number| (number.trim(), true));
    let number = number.parse::<f64>().map_err(|_| "is no share; write `0.4%` or `0.004`".to_owned())?;
    // `1` may be meant as 1 %.
    let share = if percent { number / 100.0 } else { number };
    let plain = percent || share < 1.0;
    if plain && (0.0..=1.0).contains(&share) { Ok(share) } else { Err("is no share; write `1%` or `0.01`".to_owned()) }
}

fn milliseconds(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| *number > 0.0 && *number <= 900_000.0);
    number.ok_or_else(|| "is no duration in milliseconds; write 0.1 to 900000".to_owned())
}

pub(crate) fn runs(text: &str) -> Result<usize, String> {
    let number = text.parse::<usize>().ok().filter(|number| (1..=RUNS_MAX).contains(number));
    number.ok_or_else(|| format!("write 1 to {RUNS_MAX}"))
}

/// What is planned.
struct Subject {
    spec: RolloutSpec,
    /// The file it is in; `None` where there is none.
    file: Option<String>,
    /// What should be known of the spec and stops nothing.
    said: Vec<String>,
}

/// What a plan rests on.
struct Ground {
    habits: Habits,
    lag: Span,
    seen: Seen,
}

/// What was seen of the account.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    /// Whether AWS was asked at all.
    asked: bool,
    /// Account and region.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    /// What goes from which version to which.
    #[serde(skip_serializing_if = "Option::is_none")]
    versions: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_version: Option<String>,
    /// Until when the traffic was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_up_to: Option<Timestamp>,
    /// Nobody came in the last hour: the rate is that of the week's busy hours.
    #[serde(skip)]
    on_average: bool,
    /// The hour of the week with the fewest requests, and how many a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    quietest: Option<Quietest>,
    /// What the past says, in the judge's words.
    learned: Vec<String>,
    /// What is as it should be.
    fine: Vec<String>,
    /// What a start would be refused for.
    refused: Vec<String>,
    /// What a start would warn of.
    warned: Vec<String>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Quietest {
    per_second: f64,
    /// UTC.
    hour: u8,
}

/// A plan, as `--json` prints it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Plan {
    target: String,
    strategy: String,
    traffic: Traffic,
    seen: Seen,
    seed: u64,
    /// `None` where nothing could be rehearsed.
    numbers: Option<Numbers>,
    deadline: Span,
    /// What the numbers are of, where the spec's own steps cannot be proven by its deadline.
    #[serde(skip_serializing_if = "Option::is_none")]
    instead: Option<String>,
    in_time: bool,
    watch: Span,
    alarms: Vec<String>,
    warnings: Vec<String>,
    cost: Option<warnings::Cost>,
    planned_at: Timestamp,
    go: String,
    undo: String,
    /// The spec to be written, where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    write: Option<String>,
}

/// What the numbers are of.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Traffic {
    per_second: f64,
    error_rate: f64,
    errors_together: f64,
    p50_ms: f64,
    p99_ms: f64,
    timeout: Span,
}

/// Makes the plan and prints it.
pub fn run(arguments: &Arguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    run_at(arguments, crate::now(), out, err)
}

/// The same at a given time.
pub fn run_at(arguments: &Arguments, now: Timestamp, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    let subject = match subject(arguments, out, err)? {
        Ok(subject) => subject,
        Err(exit) => return Ok(exit),
    };
    of_subject(arguments, &subject, now, out, err)
}

fn of_subject(
    arguments: &Arguments,
    subject: &Subject,
    now: Timestamp,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<Exit> {
    let ground = match ground(arguments, subject, now) {
        Ok(ground) => ground,
        Err((message, exit)) => {
            refuse(&[Problem::at("", message)], arguments.json, out, err)?;
            return Ok(exit);
        }
    };
    let progress = io::stderr().is_terminal() && !arguments.json;
    let told = |done: f64| {
        if progress {
            // Nobody waits for it, and nothing is lost with it.
            let text = if done < 1.0 { format!("rehearsing: {:.0} %", done * 100.0) } else { String::new() };
            let _ = write!(io::stderr(), "\r{text:<30}\r");
        }
    };
    let effort = Effort { seed: arguments.seed, runs: arguments.runs };
    let plan = match Plan::of(subject, ground, effort, now, &told) {
        Ok(plan) => plan,
        Err(bug) => {
            told(1.0);
            let message = format!("the rehearsal could not go on, which is a bug: {bug}");
            refuse(&[Problem::at("", message)], arguments.json, out, err)?;
            return Ok(Exit::Failed);
        }
    };
    told(1.0);
    match arguments.json {
        true => writeln!(out, "{}", text::json(&serde_json::to_string_pretty(&plan)?))?,
        false => screen::print(&plan, &subject.spec, out)?,
    }
    Ok(plan.exit())
}

fn subject(arguments: &Arguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Result<Subject, Exit>> {
    if let (Some(function), Some(alias)) = (&arguments.function, &arguments.alias) {
        let document = serde_json::json!({
            "coalmine": "v1", "target": { "lambda": { "function": function, "alias": alias } }
        });
        return match spec::from_value(&document) {
            Ok(valid) => Ok(Ok(Subject { spec: valid.spec, file: None, said: Vec::new() })),
            Err(problems) => {
                refuse(&problems, arguments.json, out, err)?;
                Ok(Err(Exit::Invalid))
            }
        };
    }
    let Some(path) = arguments.spec.as_deref() else { return Ok(Err(Exit::Invalid)) };
    Ok(load_or_say(path, arguments.json, out, err)?.map(|valid| {
        let said = valid.warnings.iter().map(ToString::to_string).collect();
        Subject { spec: valid.spec, file: Some(shown(path)), said }
    }))
}

/// From what is given, or from the account.
fn ground(arguments: &Arguments, subject: &Subject, now: Timestamp) -> Result<Ground, (String, Exit)> {
    let (Some(per_second), Some(error_rate)) = (arguments.rps, arguments.error_rate) else {
        return asked(subject, now);
    };
    let usual = Latency::default();
    let p99 = arguments.latency_p99;
    let median = arguments.latency_p50.or(p99.map(|p99| p99 / usual.p99_factor())).unwrap_or(usual.median_ms);
    let p99 = p99.unwrap_or(median * usual.p99_factor());
    if p99 < median {
        return Err((format!("--latency-p99 {p99} is below --latency-p50 {median}"), Exit::Invalid));
    }
    let latency = Latency::of(median, p99);
    let timeout = arguments.timeout.unwrap_or(TIMEOUT);
    Ok(Ground {
        habits: Habits { per_second, error_rate, clusters: 1.0, latency, timeout },
        lag: LAG,
        seen: Seen::default(),
    })
}

#[cfg(feature = "aws")]
fn asked(subject: &Subject, now: Timestamp) -> Result<Ground, (String, Exit)> {
    account::ground(&subject.spec, now)
}

#[cfg(not(feature = "aws"))]
fn asked(_: &Subject, _: Timestamp) -> Result<Ground, (String, Exit)> {
    let message =
        "this `coalmine` was built without AWS: give --rps and --error-rate, or build it with its default features";
    Err((message.to_owned(), Exit::Invalid))
}

impl Plan {
    fn of(
        subject: &Subject,
        ground: Ground,
        effort: Effort,
        now: Timestamp,
        done: &(dyn Fn(f64) + Sync),
    ) -> Result<Self, String> {
        let Ground { habits, lag, mut seen } = ground;
        let spec = &subject.spec;
        let (rehearsed, refused) = rehearse(spec, habits, lag, effort, done)?;
        // Where the account was asked, a start has said it already, from more.
        let refused: Vec<String> = refused.into_iter().filter(|_| seen.refused.is_empty()).collect();
        seen.refused.extend(refused);
        let (numbers, instead) = rehearsed.map_or((None, None), |(numbers, instead)| (Some(numbers), instead));
        let mut said = subject.said.clone();
        if let Some(numbers) = &numbers {
            said.extend(warnings::all(spec, habits, lag, effort, numbers, &seen)?);
        }
        said.extend(warnings::of_the_spec(spec, &Stage::left_out(spec)));
        // A good release that is proven in half of the runs is proven by luck.
        let in_time = instead.is_none() && numbers.as_ref().is_some_and(|numbers| numbers.total.nine_of_ten.is_some());
        let version = seen.new_version.as_ref().map(|version| format!(" --version {version}")).unwrap_or_default();
        let file = subject.file.clone().unwrap_or_else(|| "coalmine.yaml".to_owned());
        Ok(Self {
            target: spec.target.key(),
            strategy: spec.strategy.clone(),
            traffic: Traffic {
                per_second: habits.per_second,
                error_rate: habits.error_rate,
                errors_together: habits.clusters,
                p50_ms: habits.latency.median_ms,
                p99_ms: habits.latency.median_ms * habits.latency.p99_factor(),
                timeout: habits.timeout,
            },
            seed: effort.seed,
            cost: numbers.as_ref().and_then(warnings::Cost::of),
            numbers,
            deadline: spec.deadline,
            instead,
            in_time,
            watch: spec.after.watch,
            alarms: spec.alarms.names.clone(),
            warnings: said,
            planned_at: now,
            go: format!("coalmine start {file}{version}"),
            undo: format!("coalmine undo {} --print", rollout(spec)),
            write: subject.file.is_none().then(|| minimal(spec)),
            seen,
        })
    }

    fn exit(&self) -> Exit {
        match (self.in_time, self.seen.refused.is_empty()) {
            (true, true) => Exit::Fine,
            (true, false) => Exit::Invalid,
            (false, _) => Exit::Undecided,
        }
    }
}

/// Numbers, and what they are of if it is not the spec as it is.
type Counted = Option<(Numbers, Option<String>)>;

/// The numbers, and what the start says where it refuses.
fn rehearse(
    spec: &RolloutSpec,
    habits: Habits,
    lag: Span,
    effort: Effort,
    done: &(dyn Fn(f64) + Sync),
) -> Result<(Counted, Vec<String>), String> {
    if spec.steps.is_empty() || habits.per_second <= 0.0 || Stage::proves_nothing(spec) {
        return Ok((None, Vec::new()));
    }
    let refused = match numbers::numbers(spec, habits, lag, effort, done) {
        Ok(numbers) => return Ok((Some((numbers, None)), Vec::new())),
        Err(Unrehearsed::Refused(problems)) => problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        Err(Unrehearsed::Broken(bug)) => return Err(bug),
    };
    let few = Effort { runs: effort.runs.min(RUNS_OF_LONG_ONES), ..effort };
    for (name, other) in what_would_do(spec) {
        match numbers::numbers(&other, habits, lag, few, done) {
            Ok(numbers) => return Ok((Some((numbers, Some(name))), refused)),
            Err(Unrehearsed::Refused(_)) => {}
            Err(Unrehearsed::Broken(bug)) => return Err(bug),
        }
    }
    Ok((None, refused))
}

/// A single step of half of the traffic, where evidence comes in fastest; then with wider tolerances.
fn what_would_do(spec: &RolloutSpec) -> Vec<(String, RolloutSpec)> {
    let (Some(last), Ok(half)) = (spec.steps.last(), "50%".parse()) else { return Vec::new() };
    let step = Step { weight: half, advance: Advance::OnProof, ..last.clone() };
    let single = RolloutSpec { steps: vec![step], auto: None, ..spec.clone() };
    let mut others = vec![("a single step of 50 %".to_owned(), single.clone())];
    for points in WIDER.into_iter().filter(|points| warnings::tolerated(spec).is_some_and(|now| now < *points)) {
        let name = format!("a single step of 50 % with `tolerate: {}pt` for errors", points * 100.0);
        others.push((name, warnings::with_points(&single, points)));
    }
    others
}

/// What the rollout will be called by whoever wants to undo it.
fn rollout(spec: &RolloutSpec) -> String {
    match (&spec.name, &spec.target) {
        (Some(name), _) => name.clone(),
        (None, Target::Lambda(target)) => target.function.clone(),
        (None, Target::Alb(_)) => spec.target.key(),
    }
}

/// The shortest spec of a target.
fn minimal(spec: &RolloutSpec) -> String {
    match &spec.target {
        Target::Lambda(target) => {
            format!(
                "coalmine: v1\ntarget: {{ lambda: {{ function: {}, alias: {} }} }}\n",
                target.function, target.alias
            )
        }
        Target::Alb(_) => String::new(),
    }
}

/// A plan as it is printed, at a time that is given.
#[cfg(test)]
pub fn printed(arguments: &Arguments, now: Timestamp) -> (String, Exit) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run_at(arguments, now, &mut out, &mut err).unwrap_or(Exit::Io);
    (String::from_utf8([out, err].concat()).unwrap_or_default(), exit)
}

/// What a document shows: the plan of a spec that is written there, by the command that is written there.
#[cfg(test)]
pub fn documented(spec: &str, command: &str) -> String {
    use clap::Parser;

    // 14:02 of some day.
    let now = Timestamp::from_epoch_seconds(1_795_356_120);
    let crate::Command::Plan(arguments) = crate::Arguments::parse_from(command.split_whitespace()).command else {
        return format!("`{command}` plans nothing");
    };
    let file = arguments.spec.as_deref().map(shown);
    let valid = spec::parse(spec).unwrap_or_else(|problems| panic!("{problems:?}"));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let subject = Subject { spec: valid.spec, file, said: Vec::new() };
    of_subject(&arguments, &subject, now, &mut out, &mut err).unwrap();
    String::from_utf8([out, err].concat()).unwrap().trim_end().to_owned()
}
