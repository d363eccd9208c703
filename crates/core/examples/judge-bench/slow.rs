//! Latency: false rollbacks and detection.

use coalmine_core::analysis::JudgePlan;
use coalmine_core::sim::rng::Rng;

use crate::bench::Bench;
use crate::kayenta::{self, Class};
use crate::latency::{Law, NORMAL, Percentiles, STEADY, Service, Wobble, latency_bound};
use crate::sheet::{Sheet, Times, percent};
use crate::subject::{Subject, plan_of};
use crate::world::{Drift, Past, Weights};

/// Latency alone, at p50 and p99, every minute counted: made-up canaries are warm from the first request on.
pub fn latency_plan(tolerate: f64) -> JudgePlan {
    tolerating(warm(plan_of("checks: [ latency: {} ]")), tolerate)
}

/// With another tolerated slowdown. Specs ask for more than none; none is the hardest case.
pub fn tolerating(mut plan: JudgePlan, tolerate: f64) -> JudgePlan {
    for distribution in plan.checks.iter_mut().filter_map(|check| check.distribution.as_mut()) {
        distribution.stretch = tolerate;
    }
    plan
}

/// Without warm-up.
pub fn warm(mut plan: JudgePlan) -> JudgePlan {
    for distribution in plan.checks.iter_mut().filter_map(|check| check.distribution.as_mut()) {
        distribution.warm_up.minutes = 0;
        distribution.warm_up.requests = 0.0;
    }
    plan
}

fn minutes_to_fail(plan: &JudgePlan, service: &Service, horizon: usize, rng: &mut Rng) -> Option<usize> {
    let mut subject = Subject::new(plan);
    let mut traffic = Rng::new(rng.next_u64());
    let mut show = service.play(plan, rng, &mut traffic);
    (1..=horizon).find(|_| {
        let (pairs, weight) = show.next();
        subject.see(weight, pairs)
    })
}

fn times(
    bench: &Bench,
    row: &str,
    runs: u64,
    plan: &JudgePlan,
    (service, past): (&Service, Option<&Past>),
    horizon: usize,
) -> Times {
    let minutes = bench.runs(row, runs, |rng| {
        let plan = service.prepared(plan, past, rng);
        minutes_to_fail(&plan, service, horizon, rng)
    });
    Times::of(minutes, horizon)
}

/// Kayenta on the minutes' p50 and p99, from the third minute on: either of them High.
fn kayenta_minutes(service: &Service, horizon: usize, rng: &mut Rng) -> Option<usize> {
    let mut traffic = Rng::new(rng.next_u64());
    let mut player = service.traffic.play(&mut traffic);
    let (mut old, mut new) = (Percentiles::new(service.baseline), Percentiles::new(service.canary));
    let mut seen: [Vec<f64>; 4] = Default::default();
    (1..=horizon).find(|minute| {
        let (counts, _) = player.next();
        #[allow(clippy::cast_precision_loss, reason = "minutes")]
        let drift = (1.0 + service.slower_per_hour * (*minute as f64 - 1.0) / 60.0).ln();
        let baseline = old.next(rng, &service.old, counts.n_b, drift);
        let canary = new.next(rng, &service.new, counts.n_c, drift);
        let [b50, b99, c50, c99] = &mut seen;
        b50.extend(baseline.map(|(p50, _)| p50));
        b99.extend(baseline.map(|(_, p99)| p99));
        c50.extend(canary.map(|(p50, _)| p50));
        c99.extend(canary.map(|(_, p99)| p99));
        let high = |canary: &[f64], baseline: &[f64]| kayenta::judge(canary, baseline) == Class::High;
        c50.len() >= 3 && (high(c50, b50) || high(c99, b99))
    })
}

/// An alarm on the canary's p99 above 500 ms in two of two minutes.
fn alarm_minutes(service: &Service, horizon: usize, rng: &mut Rng) -> Option<usize> {
    let mut traffic = Rng::new(rng.next_u64());
    let mut player = service.traffic.play(&mut traffic);
    let mut new = Percentiles::new(service.canary);
    let mut breaching = 0;
    (1..=horizon).find(|_| {
        let (counts, _) = player.next();
        let high = new.next(rng, &service.new, counts.n_c, 0.0).is_some_and(|(_, p99)| p99 > 500.0);
        breaching = if high { breaching + 1 } else { 0 };
        breaching >= 2
    })
}

pub fn false_rollbacks(bench: &Bench) -> Vec<Sheet> {
    let runs = bench.size(400);
    let mut sheet = Sheet::new(
        "Healthy releases that are rolled back: latency, 60 minutes",
        &["traffic", "noise of each version", "setting", "Coalmine", "aim", "no history", "Kayenta on p50 and p99"],
    )
    .about("Weights 5, 25 and 50 % for 20 minutes each, traffic doubles meanwhile. Durations lognormal, 100 ms in the middle,")
    .about("404 ms at p99; the noise is a factor on all durations of a version and minute. Tolerance 0 %, the hardest setting.")
    .about("24 hours of history with a day's curve of traffic.")
    .about(format!("{runs} runs a row, Kayenta a quarter."));
    let wobble = |spread, memory| Wobble { spread, memory };
    let settings: [(f64, Wobble, &str); 11] = [
        (5.0, STEADY, "steady"),
        (50.0, STEADY, "steady"),
        (500.0, STEADY, "steady"),
        (50.0, STEADY, "30 % slower over the hour"),
        (500.0, STEADY, "30 % slower over the hour"),
        (5.0, wobble(0.05, 0.0), "steady"),
        (50.0, wobble(0.02, 0.0), "steady"),
        (50.0, wobble(0.05, 0.0), "steady"),
        (500.0, wobble(0.02, 0.0), "steady"),
        (500.0, wobble(0.05, 0.0), "steady"),
        (50.0, wobble(0.2, 0.0), "steady"),
    ];
    let lasting = [(50.0, wobble(0.05, 0.5)), (50.0, wobble(0.05, 0.9)), (500.0, wobble(0.05, 0.9))];
    let lasting = lasting.map(|(rps, wobble)| (rps, wobble, "steady"));
    let plan = latency_plan(0.0);
    for (per_second, wobble, name) in settings.into_iter().chain(lasting) {
        let service = Service::healthy(per_second, Weights::Steps(60.0)).wobbling(wobble);
        let slower_per_hour = if name == "steady" { 0.0 } else { 0.3 };
        let service = Service { slower_per_hour, ..doubling(service) };
        row(bench, &mut sheet, (&plan, &service), runs, (&noise_name(wobble), name, 0.01));
    }
    let service = Service { canary: wobble(0.05, 0.0), ..doubling(Service::healthy(50.0, Weights::Steps(60.0))) };
    row(bench, &mut sheet, (&plan, &service), runs, ("canary alone 5 %", "history clean", f64::NAN));
    vec![sheet]
}

fn doubling(service: Service) -> Service {
    let mut service = service;
    service.traffic.drift = Drift::Line { traffic: 2.0, errors: 1.0, minutes: 60.0 };
    service
}

fn noise_name(wobble: Wobble) -> String {
    match (wobble.spread > 0.0, wobble.memory > 0.0) {
        (false, _) => "none".to_owned(),
        (true, false) => format!("{:.0} %", wobble.spread * 100.0),
        (true, true) => format!("{:.0} %, AR({})", wobble.spread * 100.0, wobble.memory),
    }
}

fn row(
    bench: &Bench,
    sheet: &mut Sheet,
    (plan, service): (&JudgePlan, &Service),
    runs: u64,
    (noise, name, limit): (&str, &str, f64),
) {
    let per_second = service.traffic.per_second;
    let row = format!("latency {per_second} rps, noise {noise}, {name}");
    let ours = times(bench, &row, runs, plan, (service, Some(&Past::hours(24))), 60).share();
    let without = times(bench, &row, runs, plan, (service, None), 60).share();
    let others = runs / 4 + 1;
    let kayenta = bench.share(&row, others, |rng| kayenta_minutes(service, 60, rng).is_some());
    let aim = if limit.is_finite() { sheet.share_at_most(&row, ours, runs, limit, "1 %") } else { String::new() };
    let cells = [percent(ours), aim, percent(without), percent(kayenta)];
    sheet.row([format!("{per_second} rps"), noise.to_owned(), name.to_owned()].into_iter().chain(cells));
}

/// What gets slower: everything by a tenth, p99 doubled, one request in twenty on a slow path.
pub const SLOWDOWNS: [(&str, Law); 3] = [
    ("p50 + 10 %", Law { median: 110.0, ..NORMAL }),
    ("p99 × 2", Law { slow_share: 0.02, slow_factor: 8.0, ..NORMAL }),
    ("5 % slow path", Law { slow_share: 0.05, slow_factor: 10.0, ..NORMAL }),
];

pub fn detection(bench: &Bench) -> Vec<Sheet> {
    vec![beside_others(bench), under_noise(bench)]
}

fn beside_others(bench: &Bench) -> Sheet {
    let runs = bench.size(100);
    let others = runs / 4 + 1;
    let mut sheet = Sheet::new(
        "Slowdowns: minutes to roll back",
        &[
            "traffic", "weight", "slowdown", "bound", "Coalmine, tolerance 0 %", "requests / bound", "aim",
            "Coalmine, tolerance 5 %", "Kayenta", "alarm p99 > 500 ms",
        ],
    )
    .about("Mean / median minutes, 24 hours of history. `p99 × 2`: one request in fifty takes eight times as long; `slow path`:")
    .about("one in twenty ten times. The bound is for the same laws in minutes and knows of no tolerance; with the default of 5 %,")
    .about("ten percent slower is hardly more than tolerated.")
    .about(format!("{runs} runs a row, within 240 minutes; other rules {others}, within 120, medians."));
    let past = Past::hours(24);
    let (strict, usual) = (latency_plan(0.0), latency_plan(0.05));
    let cells = [5.0, 50.0, 500.0].into_iter().flat_map(|rps| [0.01, 0.05, 0.1, 0.5].map(|weight| (rps, weight)));
    for ((per_second, weight), (name, new)) in cells.flat_map(|cell| SLOWDOWNS.map(|slow| (cell, slow))) {
        let service = Service { new, ..Service::healthy(per_second, Weights::Constant(weight)) };
        let bound = latency_bound(&NORMAL, &new, weight) / (per_second * 60.0 * weight);
        let row = format!("{per_second} rps, {} %, {name}", weight * 100.0);
        let ours = times(bench, &row, runs, &strict, (&service, Some(&past)), 240);
        let tolerant = times(bench, &row, others, &usual, (&service, Some(&past)), 240);
        let kayenta = bench.runs(&row, others, |rng| kayenta_minutes(&service, 120, rng));
        let alarm = bench.runs(&row, others, |rng| alarm_minutes(&service, 120, rng));
        let aim = aim(&mut sheet, &row, (per_second, weight, name), bound, &ours);
        sheet.row([
            format!("{per_second} rps"),
            format!("{} %", weight * 100.0),
            name.to_owned(),
            format!("{bound:.1}"),
            ours.shown(),
            if bound >= 2.0 { format!("{:.2}", ours.mean() / bound) } else { String::new() },
            aim,
            tolerant.shown(),
            Times::of(kayenta, 120).median_shown(),
            Times::of(alarm, 120).median_shown(),
        ]);
    }
    sheet
}

fn aim(sheet: &mut Sheet, row: &str, cell: (f64, f64, &str), bound: f64, times: &Times) -> String {
    let (per_second, weight, name) = cell;
    if (per_second * weight - 2.5).abs() < 1e-9 && per_second > 5.0 {
        let limit = match name {
            "p50 + 10 %" => 7.0,
            "p99 × 2" => 5.0,
            _ => 3.0,
        };
        return sheet.at_most(row, times.median(), limit, &format!("{limit} min"));
    }
    if bound < 5.0 || times.share() < 0.9 {
        return String::new();
    }
    let limit = if name == "p50 + 10 %" { 2.2 } else { 3.3 };
    sheet.at_most(row, times.mean() / bound, limit, &format!("{limit} × bound"))
}

fn under_noise(bench: &Bench) -> Sheet {
    let runs = bench.size(60);
    let mut sheet = Sheet::new(
        "Slowdowns under noise: minutes to roll back",
        &["traffic", "noise of each version", "slowdown", "Coalmine", "no history", "Kayenta"],
    )
    .about("At 5 % weight, tolerance 0 %, 24 hours of history with the same noise; mean / median within 120 minutes.")
    .about(format!("{runs} runs a row."));
    let plan = latency_plan(0.0);
    let past = Past::hours(24);
    let cells = [(50.0, 0.02), (50.0, 0.05), (500.0, 0.02), (500.0, 0.05)];
    for ((per_second, spread), (name, new)) in cells.into_iter().flat_map(|cell| SLOWDOWNS.map(|slow| (cell, slow))) {
        let wobble = Wobble { spread, memory: 0.0 };
        let service = Service { new, ..Service::healthy(per_second, Weights::Constant(0.05)).wobbling(wobble) };
        let row = format!("noise {spread}, {per_second} rps, {name}");
        let ours = times(bench, &row, runs, &plan, (&service, Some(&past)), 120);
        let without = times(bench, &row, runs / 2 + 1, &plan, (&service, None), 120);
        let kayenta = bench.runs(&row, runs / 2 + 1, |rng| kayenta_minutes(&service, 120, rng));
        sheet.row([
            format!("{per_second} rps"),
            noise_name(wobble),
            name.to_owned(),
            ours.shown(),
            without.shown(),
            Times::of(kayenta, 120).median_shown(),
        ]);
    }
    sheet
}
