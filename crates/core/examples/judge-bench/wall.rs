//! Whole rollouts on the wall clock: the production driver in the simulated AWS, with its ticks, the metrics' lateness, the
//! function's timeout, warm-up and the second looks.

use std::collections::BTreeMap;

use coalmine_core::rollout::PhaseName;
use coalmine_core::sim::rng::Rng;
use coalmine_core::sim::scenario::{Outcome, RunError, Scenario, run};
use coalmine_core::sim::traffic::{Behaviour, Delivery, Traffic};
use coalmine_core::spec::Version;
use coalmine_core::units::{Span, Weight};
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::sheet::{Sheet, Times, percent};

/// How a release fails, before and after.
const RELEASES: [(&str, f64, f64); 6] = [
    ("healthy, 0 %", 0.0, 0.0),
    ("healthy, 0.1 %", 0.001, 0.001),
    ("healthy, 1 %", 0.01, 0.01),
    ("1 → 3 %", 0.01, 0.03),
    ("1 → 10 %", 0.01, 0.1),
    ("outage, 50 %", 0.01, 0.5),
];

fn spec(more: &Value) -> Value {
    let mut spec = json!({
        "coalmine": "v1",
        "target": { "lambda": { "function": "checkout", "alias": "live" } },
        "version": "42",
        "deadline": "12h",
    });
    if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
        spec.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    spec
}

fn scenario(more: &Value, per_second: f64, old: f64, new: f64) -> Scenario {
    let (baseline, canary) = (Version("41".to_owned()), Version("42".to_owned()));
    let versions = [(baseline.clone(), Behaviour::steady(old)), (canary, Behaviour::steady(new))];
    let traffic = Traffic {
        per_second,
        changes: Vec::new(),
        daily: None,
        bursts: None,
        versions: BTreeMap::from(versions),
        delivery: Delivery::default(),
    };
    let scenario = Scenario::of("checkout", "live", &baseline, spec(more), traffic);
    Scenario { longest: Span::from_hours(12), ..scenario }
}

const COLUMNS: [&str; 11] = [
    "traffic",
    "strategy",
    "release",
    "promoted",
    "minutes",
    "aim",
    "from the first weight",
    "aim",
    "rolled back",
    "minutes",
    "failed requests",
];

/// How one ended: minutes to all traffic from the start and from the first weight, minutes to none, failed requests beyond
/// the old version's rate.
#[derive(Debug, Clone, Copy)]
struct Ended {
    promoted: Option<usize>,
    climbed: Option<usize>,
    rolled_back: Option<usize>,
    refused: bool,
    harm: f64,
}

#[allow(clippy::cast_precision_loss, reason = "counts of a simulation")]
fn ended(outcome: &Outcome, old: f64) -> Ended {
    let minutes = |at: Option<coalmine_core::units::Timestamp>| {
        at.and_then(|at| usize::try_from(at.since(outcome.started_at).seconds().div_ceil(60)).ok())
    };
    let full = minutes(outcome.reached(Weight::FULL));
    let back = minutes(outcome.turned_back()).filter(|_| outcome.ended() == Some(PhaseName::RolledBack));
    // Both by a tick, so up to the seconds that calls take the time between them is whole minutes.
    let first = outcome.weights().iter().find(|(_, weight)| *weight > Weight::ZERO).map(|(at, _)| *at);
    let climb = outcome.reached(Weight::FULL).zip(first).map(|(full, first)| full.since(first).seconds());
    let climbed = climb.and_then(|seconds| usize::try_from((seconds + 30) / 60).ok());
    let until = outcome.reached(Weight::FULL).unwrap_or(outcome.stopped_at);
    let canary = outcome.tally_between(&Version("42".to_owned()), outcome.started_at, until);
    let harm = canary.failed as f64 - canary.requests as f64 * old;
    let kept = |minutes: Option<usize>| minutes.filter(|_| back.is_none());
    Ended { promoted: kept(full), climbed: kept(climbed), rolled_back: back, refused: false, harm }
}

fn rollouts(bench: &Bench, row: &str, runs: u64, scenario: &Scenario, old: f64) -> Vec<Ended> {
    bench.runs(row, runs, |rng: &mut Rng| match run(scenario, rng.next_u64()) {
        Ok(outcome) => ended(&outcome, old),
        // At the start: the proof is expected to take longer than the deadline.
        Err(RunError::Refused(_)) => {
            Ended { promoted: None, climbed: None, rolled_back: None, refused: true, harm: 0.0 }
        }
        Err(error) => panic!("{row}: {error}"),
    })
}

pub fn wall_clock(bench: &Bench) -> Vec<Sheet> {
    let runs = bench.size(40);
    let mut sheet = Sheet::new(
        "Whole rollouts on the wall clock: the ladder and `auto`, errors only",
        &COLUMNS,
    )
    .about("The production driver in the simulated AWS, a tick a minute; metrics are complete after one to two minutes and")
    .about("settled after three, the function's timeout is 3 s. Minutes from the start command to all traffic, or to none, rounded")
    .about("up; mean / median. The schedule ticks in second 20 of the minute, and the start command comes 20 seconds before the first")
    .about("tick. Where the schedule ticks later than in second 30, the minute of a raise does not count and a step takes a minute")
    .about("more. From the first weight: to all traffic, which leaves out the wait for the first tick.")
    .about("Failed requests: of the new version beyond the old one's rate until it has all traffic, on average.")
    .about("`waiting`: the default, which waits for minutes in flight before a raise of more than three times;")
    .about("`pipelined`: `settle: none`, which does not. A day of history; steps bake for at least 1 minute.")
    .about("Refused: the start says that the proof takes longer than the deadline of 12 hours; everything else is of the rest.")
    .about(format!("{runs} runs a row, at 0.5 requests a second half."));
    let ladder = |settle: &str| {
        let mut spec = json!({ "strategy": steps(), "checks": errors() });
        if !settle.is_empty() {
            spec["settle"] = json!(settle);
        }
        spec
    };
    let strategies = [("ladder, waiting", ladder("")), ("ladder, pipelined", ladder("none")), ("auto", auto())];
    for per_second in [0.5, 5.0, 50.0, 500.0] {
        for (name, more) in &strategies {
            for (release, old, new) in RELEASES {
                let scenario = scenario(more, per_second, old, new);
                let row = format!("{per_second} rps, {name}, {release}");
                let runs = if per_second < 1.0 { runs / 2 + 1 } else { runs };
                let ended = rollouts(bench, &row, runs, &scenario, old);
                add(&mut sheet, &row, (per_second, name, release), false, &ended);
            }
        }
    }
    vec![sheet, by_default(bench)]
}

fn steps() -> Value {
    let step = |weight: &str| json!({ "weight": weight, "bake": "1m" });
    json!({ "steps": [step("5%"), step("25%"), step("50%")] })
}

fn errors() -> Value {
    json!([{ "errors": { "tolerate": "0.5pt" } }])
}

fn auto() -> Value {
    json!({ "strategy": { "auto": {} }, "checks": errors() })
}

/// With latency and its warm-up.
fn by_default(bench: &Bench) -> Sheet {
    let runs = bench.size(20);
    let mut sheet = Sheet::new(
        "Whole rollouts on the wall clock with the default checks",
        &COLUMNS,
    )
    .about("As above, with errors and latency at p50 and p99, the bins read from the simulated CloudWatch, and the warm-up that")
    .about("latency has by default. The aim was 15 minutes. Where it comes from it is counted from the first weight and without")
    .about("warm-up, of which one minute a weight made 16 there; so 15 is judged from the start command and 16 from the first weight.")
    .about(format!("{runs} runs a row."));
    let waiting = json!({ "strategy": steps() });
    let pipelined = json!({ "strategy": steps(), "settle": "none" });
    for (per_second, (name, more)) in [5.0, 50.0]
        .into_iter()
        .flat_map(|rps| [("ladder, waiting", &waiting), ("ladder, pipelined", &pipelined)].map(|it| (rps, it)))
    {
        for (release, old, new) in
            [("healthy, 0.1 %", 0.001, 0.001), ("healthy, 1 %", 0.01, 0.01), ("1 → 10 %", 0.01, 0.1)]
        {
            let scenario = scenario(more, per_second, old, new);
            let row = format!("default checks, {per_second} rps, {name}, {release}");
            let ended = rollouts(bench, &row, runs, &scenario, old);
            add(&mut sheet, &row, (per_second, name, release), true, &ended);
        }
    }
    sheet
}

/// The aims: of a healthy release at 50 requests a second, pipelined, minutes from the start and from the first weight.
fn aims(row: (f64, &str, &str), judged: bool) -> (Option<f64>, Option<f64>) {
    match (row == (50.0, "ladder, pipelined", "healthy, 0.1 %"), judged) {
        (true, true) => (Some(15.0), Some(16.0)),
        (true, false) => (None, Some(15.0)),
        (false, _) => (None, None),
    }
}

fn add(sheet: &mut Sheet, row: &str, place: (f64, &str, &str), judged: bool, ended: &[Ended]) {
    let refused = Times::of(ended.iter().map(|it| it.refused.then_some(0)), 0).share();
    let begun: Vec<Ended> = ended.iter().copied().filter(|it| !it.refused).collect();
    let ended = begun.as_slice();
    let of = |minutes: &[usize]| Times::of(minutes.iter().copied().map(Some), 720);
    let shown = |minutes: &[usize]| if minutes.is_empty() { String::new() } else { of(minutes).shown() };
    let all = |of: fn(&Ended) -> Option<usize>| ended.iter().filter_map(of).collect::<Vec<usize>>();
    let (up, climb, back) = (all(|it| it.promoted), all(|it| it.climbed), all(|it| it.rolled_back));
    let mut aimed = |what: &str, minutes: &[usize], limit: Option<f64>| {
        let judge =
            |limit| sheet.at_most(&format!("{row}, {what}"), of(minutes).median(), limit, &format!("{limit} min"));
        limit.map(judge).unwrap_or_default()
    };
    let (from_start, from_weight) = aims(place, judged);
    let aim = aimed("from the start", &up, from_start);
    let climb_aim = aimed("from the first weight", &climb, from_weight);
    let harm: Vec<f64> = ended.iter().map(|it| it.harm).collect();
    let share =
        |minutes: &[usize]| Times::of(ended.iter().enumerate().map(|(i, _)| minutes.get(i).copied()), 0).share();
    let (per_second, name, release) = place;
    sheet.row([
        format!("{per_second} rps"),
        name.to_owned(),
        release.to_owned(),
        if refused > 0.0 {
            format!("{}, {} refused", percent(share(&up)), percent(refused))
        } else {
            percent(share(&up))
        },
        shown(&up),
        aim,
        shown(&climb),
        climb_aim,
        percent(share(&back)),
        shown(&back),
        crate::sheet::whole(crate::kayenta::mean(&harm)),
    ]);
}
