//! Whole rollouts in minutes of data: 5, 25 and 50 %, each step left as soon as it has passed.

use coalmine_core::analysis::{JudgePlan, Pair};

use coalmine_core::sim::rng::Rng;

use crate::bench::Bench;
use crate::latency::{NORMAL, Service, Wobble};
use crate::sheet::{Sheet, Times, percent, rate};
use crate::subject::{Subject, errors_plan, pair, prepared};
use crate::world::{Noise, Onset, Past, Rollout, Texture, Weights};

pub const STEPS: [f64; 3] = [0.05, 0.25, 0.5];

/// How a rollout ended, and after how many minutes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ending {
    Promoted(usize),
    RolledBack(usize),
    Undecided,
}

impl Ending {
    pub fn promoted(self) -> Option<usize> {
        match self {
            Self::Promoted(minutes) => Some(minutes),
            Self::RolledBack(_) | Self::Undecided => None,
        }
    }

    pub fn rolled_back(self) -> Option<usize> {
        match self {
            Self::RolledBack(minutes) => Some(minutes),
            Self::Promoted(_) | Self::Undecided => None,
        }
    }
}

/// Climbs the ladder. `traffic` is asked for each minute's pairs at a weight.
pub fn climb(plan: &JudgePlan, limit: usize, mut traffic: impl FnMut(f64) -> Vec<Pair>) -> Ending {
    let mut subject = Subject::new(plan);
    let mut step = 0;
    for minute in 1..=limit {
        let weight = STEPS[step];
        if subject.see(weight, traffic(weight)) {
            return Ending::RolledBack(minute);
        }
        if subject.passes(step) {
            step += 1;
            if step == STEPS.len() {
                return Ending::Promoted(minute);
            }
        }
    }
    Ending::Undecided
}

/// The share of the rollouts that ended so.
pub fn share(endings: &[Ending], of: impl Fn(Ending) -> Option<usize>) -> f64 {
    Times::of(endings.iter().map(|ending| of(*ending)), 0).share()
}

/// Rollouts with the error check alone, after a day of history.
fn climbs(bench: &Bench, row: &str, runs: u64, rollout: &Rollout, limit: usize) -> Vec<Ending> {
    let (plan, past) = (errors_plan(), Past::hours(24));
    bench.runs(row, runs, |rng| {
        let plan = prepared(&plan, Some(&past), rollout, rng);
        let mut player = rollout.play(rng);
        climb(&plan, limit, |weight| vec![pair(&player.next_at(weight))])
    })
}

pub fn ladders(bench: &Bench) -> Vec<Sheet> {
    vec![
        default_checks(bench),
        healthy_and_bad(bench),
        at_the_margin(bench),
        noise_that_lasts(bench),
        slower_by_the_margin(bench),
    ]
}

/// Errors and latency, as by default; made-up canaries are warm from the first request on.
fn default_checks(bench: &Bench) -> Sheet {
    let runs = bench.size(200);
    let mut sheet = Sheet::new(
        "Healthy rollouts over 5, 25 and 50 % with the default checks, in minutes of data",
        &["traffic", "errors", "latency noise", "promoted", "minutes", "aim", "rolled back"],
    )
    .about("Errors, and latency at p50 and p99, each version's durations with noise of their own where it says so. Mean / median")
    .about("of those promoted within 6 hours; 24 hours of history.")
    .about(format!("{runs} runs a row."));
    let plan = crate::real::default_plan();
    let loads = [5.0, 50.0, 500.0].into_iter().flat_map(|rps| [0.001, 0.01].map(|base| (rps, base)));
    for ((per_second, base), spread) in loads.flat_map(|load| [0.0, 0.02, 0.05].map(|spread| (load, spread))) {
        let service = Service::healthy(per_second, Weights::Constant(0.05)).wobbling(Wobble { spread, memory: 0.0 });
        let traffic = Rollout { baseline_rate: base, canary_rate: base, ..service.traffic };
        let service = Service { traffic, ..service };
        let row = format!("default {per_second} rps, {}, {spread}", rate(base));
        let endings = service_climbs(bench, &row, runs, &plan, &service, 360);
        let minutes = Times::of(endings.iter().filter_map(|it| it.promoted()).map(Some), 360);
        let limit = match (per_second as u32, base < 0.005 && spread <= 0.0) {
            (5, true) => Some(29.0),
            (50, true) => Some(6.0),
            _ => None,
        };
        let aim = limit.map(|limit| sheet.at_most(&row, minutes.median(), limit, &format!("{limit} min")));
        sheet.row([
            format!("{per_second} rps"),
            rate(base),
            format!("{} %", spread * 100.0),
            percent(share(&endings, Ending::promoted)),
            minutes.shown(),
            aim.unwrap_or_default(),
            percent(share(&endings, Ending::rolled_back)),
        ]);
    }
    sheet
}

fn service_climbs(
    bench: &Bench,
    row: &str,
    runs: u64,
    plan: &JudgePlan,
    service: &Service,
    limit: usize,
) -> Vec<Ending> {
    let past = Past::hours(24);
    bench.runs(row, runs, |rng| {
        let plan = service.prepared(plan, Some(&past), rng);
        let mut traffic = Rng::new(rng.next_u64());
        let mut show = service.play(&plan, rng, &mut traffic);
        climb(&plan, limit, |weight| show.next_at(weight))
    })
}

/// Noise of each version's own that is there for ten minutes and more, while a release has to be proven fine.
fn noise_that_lasts(bench: &Bench) -> Sheet {
    let runs = bench.size(400);
    let mut sheet = Sheet::new(
        "Whole rollouts under noise that lasts: promoted within 4 hours",
        &["traffic", "errors", "texture", "healthy", "minutes", "rolled back", "aim", "+0.5 pt from the start", "aim"],
    )
    .about("Errors only, 24 hours of history with the same noise. Minutes of data: mean / median of the healthy ones that were")
    .about("promoted. The others are worse by exactly the tolerance; 5 % is the aim that was set for noise that does not last.")
    .about(format!("{runs} runs for each number."));
    let loads = [5.0, 50.0, 500.0].into_iter().flat_map(|rps| [0.001, 0.01].map(|base| (rps, base)));
    for ((per_second, base), spread) in loads.flat_map(|load| [0.0, 0.2, 0.5].map(|spread| (load, spread))) {
        let texture = if spread > 0.0 { Texture::noise(Noise::Lognormal(spread, 0.9)) } else { Texture::CLEAN };
        let healthy = Rollout::harmless(per_second, base, Weights::Constant(0.05)).textured(texture);
        let row = format!("lasting {per_second} rps, {}, {}", rate(base), texture.name());
        let fine = climbs(bench, &row, runs, &healthy, 240);
        let worse = climbs(bench, &format!("{row}, worse"), runs, &Rollout { excess: 0.005, ..healthy }, 240);
        let (back, wrong) = (share(&fine, Ending::rolled_back), share(&worse, Ending::promoted));
        let (limit, shown) = if spread > 0.0 { (0.025, "2.5 %") } else { (0.01, "1 %") };
        let back_aim = sheet.share_at_most(&format!("{row}, rolled back"), back, runs, limit, shown);
        let aim = sheet.share_at_most(&format!("{row}, promoted"), wrong, runs, 0.05, "5 %");
        let minutes = Times::of(fine.iter().filter_map(|it| it.promoted()).map(Some), 240);
        sheet.row([
            format!("{per_second} rps"),
            rate(base),
            texture.name(),
            percent(share(&fine, Ending::promoted)),
            if minutes.share() > 0.0 { minutes.shown() } else { String::new() },
            percent(back),
            back_aim,
            percent(wrong),
            aim,
        ]);
    }
    sheet
}

/// Releases that are slower by exactly what latency may be.
fn slower_by_the_margin(bench: &Bench) -> Sheet {
    let runs = bench.size(200);
    let mut sheet = Sheet::new(
        "Whole rollouts slower by exactly the tolerance: promoted within 4 hours",
        &["traffic", "latency noise", "5 points more above p50", "aim", "1 point more above p99", "aim"],
    )
    .about("Latency alone, tolerance 5 %: so many more of the new version's requests lie above the stretched quantile, from the")
    .about("start. 24 hours of history, the harm side switched on.")
    .about(format!("{runs} runs for each number."));
    let plan = crate::slow::latency_plan(0.05);
    let (middle, tail) = (NORMAL.quantile(0.5, 0.0) * 1.05, NORMAL.quantile(0.99, 0.0) * 1.05);
    // By how much everything, or how large a part, has to be slower for that.
    let shifted = crate::latency::slower_until(&NORMAL, middle, 0.55);
    let heavier = crate::latency::slow_path_until(&NORMAL, tail, 0.02, 8.0);
    for (per_second, spread) in [5.0, 50.0, 500.0].into_iter().flat_map(|rps| [0.0, 0.05].map(|spread| (rps, spread))) {
        let promoted = |new| {
            let service = Service::healthy(per_second, Weights::Constant(0.05));
            let service = Service { new, ..service.wobbling(Wobble { spread, memory: 0.0 }) };
            let row = format!("slower {per_second} rps, {spread}, {new:?}");
            share(&service_climbs(bench, &row, runs, &plan, &service, 240), Ending::promoted)
        };
        let (p50, p99) = (promoted(shifted), promoted(heavier));
        let row = format!("slower {per_second} rps, noise {spread}");
        let first = sheet.share_at_most(&format!("{row}, p50"), p50, runs, 0.035, "3.5 %");
        let second = sheet.share_at_most(&format!("{row}, p99"), p99, runs, 0.035, "3.5 %");
        let cells = [format!("{} %", spread * 100.0), percent(p50), first, percent(p99), second];
        sheet.row([format!("{per_second} rps")].into_iter().chain(cells));
    }
    sheet
}

fn healthy_and_bad(bench: &Bench) -> Sheet {
    let runs = bench.size(300);
    let mut sheet = Sheet::new(
        "Whole rollouts over 5, 25 and 50 %, errors only, in minutes of data",
        &["traffic", "release", "promoted", "minutes", "rolled back", "minutes", "undecided", "failed requests"],
    )
    .about(
        "Mean / median minutes of those that were promoted or rolled back within 4 hours, after 24 hours of history.",
    )
    .about("Every minute counts as soon as it is over. Failed requests: beyond the old version's rate, on average.")
    .about(format!("{runs} runs a row."));
    let releases: [(&str, f64, f64, Texture, Onset); 8] = [
        ("healthy, 0 %", 0.0, 0.0, Texture::CLEAN, Onset::Start),
        ("healthy, 0.1 %", 0.001, 0.001, Texture::CLEAN, Onset::Start),
        ("healthy, 1 %", 0.01, 0.01, Texture::CLEAN, Onset::Start),
        ("healthy, 1 %, clusters of 3", 0.01, 0.01, Texture::clusters(3.0), Onset::Start),
        ("0.1 → 0.6 %", 0.001, 0.006, Texture::CLEAN, Onset::Start),
        ("1 → 3 %", 0.01, 0.03, Texture::CLEAN, Onset::Start),
        ("1 → 10 %", 0.01, 0.1, Texture::CLEAN, Onset::Start),
        ("1 → 3 % from 25 % on", 0.01, 0.03, Texture::CLEAN, Onset::Weight(0.25)),
    ];
    for (per_second, (name, base, canary_rate, texture, onset)) in
        [1.0, 5.0, 50.0, 500.0].into_iter().flat_map(|rps| releases.map(|release| (rps, release)))
    {
        let healthy = Rollout::harmless(per_second, base, Weights::Constant(0.05)).textured(texture);
        let rollout = Rollout { canary_rate, onset, ..healthy };
        let row = format!("ladder {per_second} rps, {name}");
        let (plan, past) = (errors_plan(), Past::hours(24));
        let endings = bench.runs(&row, runs, |rng| {
            let plan = prepared(&plan, Some(&past), &rollout, rng);
            let mut player = rollout.play(rng);
            let mut failed = 0.0;
            let ending = climb(&plan, 240, |weight| {
                let minute = player.next_at(weight);
                failed += minute.x_c - minute.n_c * base;
                vec![pair(&minute)]
            });
            (ending, failed)
        });
        let (endings, failed): (Vec<Ending>, Vec<f64>) = endings.into_iter().unzip();
        let promoted: Vec<_> = endings.iter().filter_map(|ending| ending.promoted()).collect();
        let rolled_back: Vec<_> = endings.iter().filter_map(|ending| ending.rolled_back()).collect();
        let of = |minutes: &[usize]| Times::of(minutes.iter().copied().map(Some), 240);
        let shown = |minutes: &[usize]| if minutes.is_empty() { String::new() } else { of(minutes).shown() };
        let (up, back) = (share(&endings, Ending::promoted), share(&endings, Ending::rolled_back));
        sheet.row([
            format!("{per_second} rps"),
            name.to_owned(),
            percent(up),
            shown(&promoted),
            percent(back),
            shown(&rolled_back),
            percent((1.0 - up - back).max(0.0)),
            crate::sheet::whole(crate::kayenta::mean(&failed)),
        ]);
    }
    sheet
}

fn at_the_margin(bench: &Bench) -> Sheet {
    let runs = bench.size(400);
    let mut sheet = Sheet::new(
        "Whole rollouts at the tolerance: promoted within 4 hours",
        &["traffic", "errors", "texture", "+0.5 pt from the start", "aim", "+0.5 pt only at 50 %", "aim", "+1 pt only at 50 %"],
    )
    .about("Errors only; the release is worse by exactly the tolerance, or by twice that, from the start or once it has half of")
    .about("the traffic. 24 hours of history, the harm side switched on.")
    .about(format!("{runs} runs for each number."));
    let textures = [
        (Texture::CLEAN, 0.035, "3.5 %"),
        (Texture::clusters(3.0), 0.05, "5 %"),
        (Texture::noise(Noise::Gamma(0.2)), 0.05, "5 %"),
        (Texture { cluster: 3.0, noise: Noise::Gamma(0.2) }, 0.05, "5 %"),
    ];
    let loads = [5.0, 50.0, 500.0].into_iter().flat_map(|rps| [0.001, 0.01].map(|base| (rps, base)));
    for ((per_second, base), (texture, limit, shown)) in loads.flat_map(|load| textures.map(|it| (load, it))) {
        let row = format!("margin {per_second} rps, {}, {}", rate(base), texture.name());
        let promoted = |more: f64, onset: Onset| {
            let healthy = Rollout::harmless(per_second, base, Weights::Constant(0.05)).textured(texture);
            let rollout = Rollout { excess: more, onset, ..healthy };
            share(&climbs(bench, &format!("{row} {more} {onset:?}"), runs, &rollout, 240), Ending::promoted)
        };
        let start = promoted(0.005, Onset::Start);
        let (late, twice) = (promoted(0.005, Onset::Weight(0.5)), promoted(0.01, Onset::Weight(0.5)));
        let aim = sheet.share_at_most(&format!("{row}, from the start"), start, runs, limit, shown);
        let late_aim = sheet.share_at_most(&format!("{row}, at 50 %"), late, runs, 0.07, "7 %");
        sheet.row([
            format!("{per_second} rps"),
            rate(base),
            texture.name(),
            percent(start),
            aim,
            percent(late),
            late_aim,
            percent(twice),
        ]);
    }
    sheet
}
