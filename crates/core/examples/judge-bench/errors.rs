//! Error rates: false rollbacks and detection.

use coalmine_core::analysis::stats::{Stratum, detection_bound};
use coalmine_core::sim::rng::Rng;

use crate::bench::Bench;
use crate::rules::{Alarm, Flagger, Kayenta, PeekedZ, PipeCd, Rule};
use crate::sheet::{Sheet, Times, percent, rate};
use crate::subject::{Subject, errors_plan, pair, plan_of, prepared};
use crate::world::{Burst, Drift, Incident, Noise, Onset, Past, Rollout, Texture, Weights};

const HOUR: usize = 60;

/// Traffic doubles and error rates double over the hour.
const HOUR_OF_DRIFT: Drift = Drift::Line { traffic: 2.0, errors: 2.0, minutes: 60.0 };

/// Traffic and base rates: small, middle, large.
const LOADS: [(f64, f64); 6] = [(5.0, 0.001), (5.0, 0.01), (50.0, 0.001), (50.0, 0.01), (500.0, 0.001), (500.0, 0.01)];

/// The minute, counted from 1, in which the judge proves harm; `None` within the horizon.
pub fn minutes_to_fail(
    plan: &coalmine_core::analysis::JudgePlan,
    rollout: &Rollout,
    horizon: usize,
    rng: &mut Rng,
) -> Option<usize> {
    let mut subject = Subject::new(plan);
    let mut player = rollout.play(rng);
    (1..=horizon).find(|_| {
        let (minute, weight) = player.next();
        subject.see(weight, vec![pair(&minute)])
    })
}

/// The same for another rule, on a traffic of its own.
fn rule_minutes(rule: &mut dyn Rule, rollout: &Rollout, horizon: usize, rng: &mut Rng) -> Option<usize> {
    let mut player = rollout.play(rng);
    (1..=horizon).find(|_| rule.see(&player.next().0))
}

/// The share of runs in which a rule rolls back within the horizon.
fn rule_share(
    bench: &Bench,
    row: &str,
    runs: u64,
    rollout: &Rollout,
    horizon: usize,
    rule: impl Fn() -> Box<dyn Rule> + Sync,
) -> f64 {
    bench.share(row, runs, |rng| rule_minutes(rule().as_mut(), rollout, horizon, rng).is_some())
}

fn subject_share(bench: &Bench, row: &str, runs: u64, rollout: &Rollout, past: Option<&Past>) -> f64 {
    let plan = errors_plan();
    bench.share(row, runs, |rng| {
        let plan = prepared(&plan, past, rollout, rng);
        minutes_to_fail(&plan, rollout, HOUR, rng).is_some()
    })
}

pub fn false_rollbacks(bench: &Bench) -> Vec<Sheet> {
    let runs = bench.size(1000);
    let others = (runs / 4).max(1);
    let mut sheet = Sheet::new(
        "Healthy releases that are rolled back: errors, 60 minutes",
        &[
            "traffic",
            "errors",
            "texture",
            "Coalmine",
            "aim",
            "no history",
            "peeked z 1 %",
            "Kayenta",
            "PipeCD-like",
            "alarm > 1 %, 2 of 2",
            "Flagger > 1 %, 5",
        ],
    )
    .about("Weights 5, 25 and 50 % for 20 minutes each; traffic and error rate double meanwhile; 24 hours of history.")
    .about(format!("{runs} runs a row, the other rules {others}."));
    let textures = [
        (Texture::CLEAN, 0.006, "0.6 %"),
        (Texture::clusters(3.0), 0.01, "1 %"),
        (Texture::clusters(10.0), 0.01, "1 %"),
        (Texture::noise(Noise::Gamma(0.2)), 0.01, "1 %"),
        (Texture::noise(Noise::Gamma(0.5)), 0.01, "1 %"),
        (Texture::noise(Noise::Lognormal(0.5, 0.0)), 0.01, "1 %"),
        (Texture { cluster: 3.0, noise: Noise::Gamma(0.2) }, 0.01, "1 %"),
        (Texture::noise(Noise::Lognormal(0.2, 0.5)), 0.025, "2.5 %"),
        (Texture::noise(Noise::Lognormal(0.2, 0.9)), 0.025, "2.5 %"),
        (Texture::noise(Noise::Lognormal(0.5, 0.9)), 0.025, "2.5 %"),
    ];
    for (per_second, base) in LOADS {
        for (texture, limit, shown) in textures {
            let healthy = Rollout::harmless(per_second, base, Weights::Steps(60.0)).textured(texture);
            let rollout = Rollout { drift: HOUR_OF_DRIFT, ..healthy };
            let row = format!("{per_second} rps, {}, {}", rate(base), texture.name());
            let ours = subject_share(bench, &row, runs, &rollout, Some(&Past::hours(24)));
            let without = subject_share(bench, &row, runs, &rollout, None);
            let other = |rule: fn() -> Box<dyn Rule>| percent(rule_share(bench, &row, others, &rollout, HOUR, rule));
            let aim = sheet.share_at_most(&row, ours, runs, limit, shown);
            sheet.row([
                format!("{per_second} rps"),
                rate(base),
                texture.name(),
                percent(ours),
                aim,
                percent(without),
                other(|| Box::new(PeekedZ::new(0.01))),
                other(|| Box::<Kayenta>::default()),
                other(|| Box::<PipeCd>::default()),
                other(|| Box::new(Alarm::above(0.01))),
                other(|| Box::new(Flagger::new(0.01, 5))),
            ]);
        }
    }
    vec![sheet]
}

pub fn long_horizon(bench: &Bench) -> Vec<Sheet> {
    let runs = bench.size(400);
    let mut sheet = Sheet::new(
        "Healthy releases that are rolled back: errors, 24 hours, looked at every minute",
        &["traffic", "errors", "weights", "by minute 60", "by minute 240", "by minute 1440", "aim", "peeked z 1 %"],
    )
    .about(
        "Independent requests, a day's curve of traffic and error rate, a deadline of 24 hours, 24 hours of history.",
    )
    .about(format!("{runs} runs a row."));
    let plan = plan_of("deadline: 24h\nchecks: [ errors: { tolerate: 0.5pt } ]");
    for (per_second, base) in [(5.0, 0.01), (50.0, 0.001), (50.0, 0.01)] {
        for (weights, name) in [(Weights::Constant(0.1), "10 %"), (Weights::Steps(1440.0), "5, 25, 50 %")] {
            let rollout = Rollout { drift: Drift::Daily, ..Rollout::harmless(per_second, base, weights) };
            let row = format!("{per_second} rps, {}, {name}, 24 h", rate(base));
            let times = bench.runs(&row, runs, |rng| {
                let plan = prepared(&plan, Some(&Past::hours(24)), &rollout, rng);
                minutes_to_fail(&plan, &rollout, 1440, rng)
            });
            let by = |minute| Times::of(times.iter().map(|time| time.filter(|at| *at <= minute)), 1440).share();
            let peeked = rule_share(bench, &row, runs, &rollout, 1440, || Box::new(PeekedZ::new(0.01)));
            let aim = sheet.share_at_most(&row, by(1440), runs, 0.006, "0.6 %");
            let cells = [by(60), by(240), by(1440)].map(percent);
            let [first, second, third] = cells;
            sheet.row([
                format!("{per_second} rps"),
                rate(base),
                name.to_owned(),
                first,
                second,
                third,
                aim,
                percent(peeked),
            ]);
        }
    }
    vec![sheet]
}

pub fn histories(bench: &Bench) -> Vec<Sheet> {
    let (runs, found) = (bench.size(400), bench.size(400) / 4 + 1);
    let incident = |before, minutes, rate| Incident { before, minutes, rate };
    let day = Past::hours(24);
    let disturbed = |incidents: Vec<Incident>| Past { incidents, ..day.clone() };
    let blips = (0..20).map(|number| incident(30 + number * 71, 1, 0.05)).collect();
    let pasts = [
        ("24 h", Some(day.clone())),
        ("3 h", Some(Past::hours(3))),
        ("1 h", Some(Past::hours(1))),
        ("none", None),
        ("24 h, a tenth of the traffic", Some(Past { traffic: 0.1, ..day.clone() })),
        ("3 h, a tenth of the traffic", Some(Past { traffic: 0.1, ..Past::hours(3) })),
        ("24 h, one incident: 20 min of 30 %", Some(disturbed(vec![incident(500, 20, 0.3)]))),
        ("24 h, two incidents", Some(disturbed(vec![incident(900, 20, 0.3), incident(300, 20, 0.3)]))),
        ("24 h, one of 3 h of 5 %", Some(disturbed(vec![incident(700, 180, 0.05)]))),
        ("24 h, 20 minutes of 5 % here and there", Some(disturbed(blips))),
    ];
    let textures = [
        Texture::CLEAN,
        Texture::clusters(3.0),
        Texture::clusters(10.0),
        Texture::noise(Noise::Gamma(0.2)),
        Texture::noise(Noise::Gamma(0.5)),
    ];
    let mut columns = vec!["history".to_owned()];
    columns.extend(textures.iter().map(Texture::name));
    columns.extend(["aim", "0.1 → 0.5 %, 50 rps", "1 → 3 %, 50 rps", "1 → 2 %, 500 rps"].map(str::to_owned));
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut sheet = Sheet::new("Short, quiet and disturbed histories", &columns)
        .about(
            "False rollbacks within 60 minutes as above, the worst of 50 rps with 0.1 % and 500 rps with 1 % errors;",
        )
        .about("mean / median minutes to roll back bad releases at 5 % weight.")
        .about(format!("{runs} runs each, {found} for the bad ones."));
    for (name, past) in pasts {
        let worst = textures.map(|texture| {
            let worst = [(50.0, 0.001), (500.0, 0.01)].map(|(per_second, base)| {
                let healthy = Rollout::harmless(per_second, base, Weights::Steps(60.0)).textured(texture);
                let rollout = Rollout { drift: HOUR_OF_DRIFT, ..healthy };
                let row = format!("history {name}, {per_second} rps, {}, {}", rate(base), texture.name());
                subject_share(bench, &row, runs, &rollout, past.as_ref())
            });
            worst[0].max(worst[1])
        });
        let all = worst.iter().copied().fold(0.0, f64::max);
        let aim = match past {
            Some(_) => sheet.share_at_most(&format!("history {name}"), all, runs, 0.01, "1 %"),
            None => "two-key rule".to_owned(),
        };
        let times = [(50.0, 0.001, 0.005), (50.0, 0.01, 0.03), (500.0, 0.01, 0.02)].map(|(per_second, from, to)| {
            found_in(bench, name, found, &Rollout { canary_rate: to, ..at_five(per_second, from) }, past.as_ref(), 120)
        });
        let cells = worst.map(percent).into_iter().chain([aim]).chain(times.iter().map(Times::shown));
        sheet.row([name.to_owned()].into_iter().chain(cells));
    }
    vec![sheet]
}

fn at_five(per_second: f64, base: f64) -> Rollout {
    Rollout::harmless(per_second, base, Weights::Constant(0.05))
}

/// How long the judge takes for a regression.
fn found_in(bench: &Bench, row: &str, runs: u64, rollout: &Rollout, past: Option<&Past>, horizon: usize) -> Times {
    let plan = errors_plan();
    let row = format!("{row}, {rollout:?}");
    let times = bench.runs(&row, runs, |rng| {
        let plan = prepared(&plan, past, rollout, rng);
        minutes_to_fail(&plan, rollout, horizon, rng)
    });
    Times::of(times, horizon)
}

pub fn noisier_and_bursts(bench: &Bench) -> Vec<Sheet> {
    vec![noisier(bench), bursts(bench)]
}

fn noisier(bench: &Bench) -> Sheet {
    let runs = bench.size(500);
    let mut sheet = Sheet::new(
        "A canary noisier than its history: healthy on average, rolled back within 60 minutes",
        &["canary", "traffic", "errors", "Coalmine", "no history", "Kayenta"],
    )
    .about("The old version and its history are clean, the new version is not: nothing before the rollout shows it.")
    .about(format!("A known weak spot, without an aim. {runs} runs a row."));
    let loads = [(5.0, 0.001), (5.0, 0.01), (50.0, 0.001), (50.0, 0.01), (500.0, 0.01)];
    let textures = [Texture::clusters(3.0), Texture::clusters(10.0), Texture::noise(Noise::Gamma(0.5))];
    for (canary, (per_second, base)) in textures.iter().flat_map(|texture| loads.map(|load| (*texture, load))) {
        let healthy = Rollout::harmless(per_second, base, Weights::Steps(60.0));
        let rollout = Rollout { drift: HOUR_OF_DRIFT, canary, ..healthy };
        let row = format!("noisier {}, {per_second} rps, {}", canary.name(), rate(base));
        let ours = subject_share(bench, &row, runs, &rollout, Some(&Past::hours(24)));
        let without = subject_share(bench, &row, runs, &rollout, None);
        let kayenta = rule_share(bench, &row, runs / 4 + 1, &rollout, HOUR, || Box::<Kayenta>::default());
        let cells = [percent(ours), percent(without), percent(kayenta)];
        sheet.row([canary.name(), format!("{per_second} rps"), rate(base)].into_iter().chain(cells));
    }
    sheet
}

fn bursts(bench: &Bench) -> Sheet {
    let runs = bench.size(300);
    let mut sheet = Sheet::new(
        "One burst in minute 26 of 60, at 25 %: rolled back",
        &["traffic", "errors", "burst", "Coalmine", "no history", "Kayenta"],
    )
    .about(
        "Healthy but for the burst; no burst in the history. More than five points and five times more on the canary",
    )
    .about("alone is a catastrophe by definition, even for one minute.")
    .about(format!("{runs} runs a row."));
    let kinds = [
        ("both, 2 min of 20 %", 2.0, 0.2, 0.2),
        ("both, 2 min, 20 against 30 %", 2.0, 0.2, 0.3),
        ("canary, 1 min of 2 %", 1.0, 0.0, 0.02),
        ("canary, 1 min of 20 %", 1.0, 0.0, 0.2),
        ("baseline, 1 min of 20 %", 1.0, 0.2, 0.0),
    ];
    for (per_second, base) in [(5.0, 0.01), (50.0, 0.001), (50.0, 0.01), (500.0, 0.001), (500.0, 0.01)] {
        for (name, minutes, baseline, canary) in kinds {
            let burst = Some(Burst { from: 25.0, minutes, baseline, canary });
            let rollout = Rollout { burst, ..Rollout::harmless(per_second, base, Weights::Steps(60.0)) };
            let row = format!("burst {name}, {per_second} rps, {}", rate(base));
            let ours = subject_share(bench, &row, runs, &rollout, Some(&Past::hours(24)));
            let without = subject_share(bench, &row, runs, &rollout, None);
            let kayenta = rule_share(bench, &row, runs / 4 + 1, &rollout, HOUR, || Box::<Kayenta>::default());
            let cells = [percent(ours), percent(without), percent(kayenta)];
            sheet.row([format!("{per_second} rps"), rate(base), name.to_owned()].into_iter().chain(cells));
        }
    }
    sheet
}

/// Rates before and after.
const REGRESSIONS: [(f64, f64); 5] = [(0.001, 0.005), (0.01, 0.02), (0.01, 0.03), (0.0, 0.01), (0.01, 0.5)];

pub fn detection(bench: &Bench) -> Vec<Sheet> {
    vec![found_beside_others(bench), late(bench), price_of_noise(bench)]
}

fn found_beside_others(bench: &Bench) -> Sheet {
    let runs = bench.size(200);
    let others = (runs / 4).max(1);
    let mut sheet = Sheet::new(
        "Regressions of errors: minutes to roll back",
        &[
            "traffic", "weight", "errors", "bound", "Coalmine", "requests / bound", "aim", "no history", "Kayenta",
            "alarm > 1 %", "Flagger > 1 %",
        ],
    )
    .about("Mean / median minutes of data, 24 hours of history, independent requests. The bound is what any test with 1 %")
    .about("false rollbacks needs on average, in minutes; `requests / bound` compares canary requests where the bound is at")
    .about(format!("least 5 minutes. Other rules: medians within 120 minutes. {runs} runs a row, other rules {others}."));
    let cells = [(5.0, 480), (50.0, 480), (500.0, 240)]
        .iter()
        .flat_map(|load| [0.01, 0.05, 0.1, 0.5].map(|weight| (*load, weight)))
        .flat_map(|(load, weight)| REGRESSIONS.map(|rates| (load, weight, rates)));
    for ((per_second, horizon), weight, (from, to)) in cells {
        let healthy = Rollout::harmless(per_second, from, Weights::Constant(weight));
        let rollout = Rollout { canary_rate: to, ..healthy };
        let bound = detection_bound(from, to, weight, 0.01) / (per_second * 60.0 * weight);
        let horizon = if bound > 60.0 { 1440 } else { horizon };
        let runs = if horizon > 480 { runs / 4 + 1 } else { runs };
        let row = format!("{per_second} rps, {} %, {} → {}", weight * 100.0, rate(from), rate(to));
        let ours = found_in(bench, &row, runs, &rollout, Some(&Past::hours(24)), horizon);
        let without = found_in(bench, &row, others, &rollout, None, horizon);
        let other = |rule: fn() -> Box<dyn Rule>| {
            let minutes = bench.runs(&row, others, |rng| rule_minutes(rule().as_mut(), &rollout, 120, rng));
            Times::of(minutes, 120).median_shown()
        };
        let ratio = ours.mean() / bound;
        let aim = detection_aim(&mut sheet, &row, (per_second, weight), (from, to), bound, &ours);
        sheet.row([
            format!("{per_second} rps"),
            format!("{} %", weight * 100.0),
            format!("{} → {}", rate(from), rate(to)),
            format!("{bound:.1}"),
            ours.shown(),
            if bound >= 5.0 { format!("{ratio:.2}") } else { String::new() },
            aim,
            without.median_shown(),
            other(|| Box::<Kayenta>::default()),
            other(|| Box::new(Alarm::above(0.01))),
            other(|| Box::new(Flagger::new(0.01, 5))),
        ]);
    }
    sheet
}

/// Medians at 50 requests a second and 5 %; elsewhere the ratio to the bound, where minutes do not round it up.
fn detection_aim(
    sheet: &mut Sheet,
    row: &str,
    (per_second, weight): (f64, f64),
    (from, to): (f64, f64),
    bound: f64,
    times: &Times,
) -> String {
    let median = match ((per_second * weight * 100.0).round() as i64, (from * 1e4, to * 1e4)) {
        (250, (a, b)) if near(per_second, 50.0) => match (a.round() as i64, b.round() as i64) {
            (100, 300) => Some(5.0),
            (0, 100) => Some(4.0),
            (100, 200) | (10, 50) => Some(14.0),
            (100, 5000) => Some(1.0),
            _ => None,
        },
        _ => None,
    };
    if let Some(limit) = median {
        return sheet.at_most(row, times.median(), limit, &format!("{limit:.0} min"));
    }
    if bound < 5.0 {
        return String::new();
    }
    let limit = if from > 0.0 { 1.7 } else { 2.2 };
    sheet.at_most(row, times.mean() / bound, limit, &format!("{limit} × bound"))
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

fn late(bench: &Bench) -> Sheet {
    let runs = bench.size(200);
    let mut sheet = Sheet::new(
        "A regression that begins late: minutes from its begin to the rollback",
        &["traffic", "errors", "from the first minute", "from minute 31"],
    )
    .about("At 50 % weight in both cases; in the second case half an hour at 5 and 25 % went well before.")
    .about(format!("Mean / median. {runs} runs each."));
    let (plan, past) = (errors_plan(), Past::hours(24));
    for (per_second, rates) in
        [5.0, 50.0, 500.0].into_iter().flat_map(|rps| [(0.001, 0.005), (0.01, 0.02)].map(|it| (rps, it)))
    {
        let (from, to) = rates;
        let healthy = Rollout::harmless(per_second, from, Weights::Constant(0.5));
        let early = Rollout { canary_rate: to, ..healthy };
        let row = format!("late {per_second} rps, {} → {}", rate(from), rate(to));
        let now = found_in(bench, &row, runs, &early, Some(&past), 240);
        let late = bench.runs(&row, runs, |rng| {
            let plan = prepared(&plan, Some(&past), &healthy, rng);
            let rollout = Rollout { onset: Onset::Minute(30.0), ..early };
            let mut subject = Subject::new(&plan);
            let mut player = rollout.play(rng);
            let mut play = |minute: usize, weight: f64, player: &mut crate::world::Player<'_>| {
                let _ = minute;
                let next: Stratum = player.next_at(weight);
                subject.see(weight, vec![pair(&next)])
            };
            // A false alarm before is no detection.
            if (0..30).any(|minute| play(minute, if minute < 15 { 0.05 } else { 0.25 }, &mut player)) {
                return None;
            }
            (1..=240).find(|minute| play(*minute, 0.5, &mut player))
        });
        let late = Times::of(late, 240);
        sheet.row([format!("{per_second} rps"), format!("{} → {}", rate(from), rate(to)), now.shown(), late.shown()]);
    }
    sheet
}

fn price_of_noise(bench: &Bench) -> Sheet {
    let runs = bench.size(100);
    let mut sheet = Sheet::new(
        "The price of real overdispersion: minutes to roll back",
        &["traffic", "weight", "errors", "texture", "Coalmine", "no history", "Kayenta"],
    )
    .about("Mean / median within 120 minutes; the history shows the same texture.")
    .about("Without a history the rule is faster in some rows, at false rollbacks that the first table shows.")
    .about(format!("{runs} runs a row."));
    let cases =
        [(50.0, 0.05, 0.01, 0.03), (500.0, 0.05, 0.01, 0.03), (500.0, 0.5, 0.01, 0.02), (50.0, 0.05, 0.001, 0.005)];
    let textures = [
        Texture::clusters(3.0),
        Texture::clusters(10.0),
        Texture::noise(Noise::Gamma(0.2)),
        Texture::noise(Noise::Gamma(0.5)),
        Texture::noise(Noise::Lognormal(0.2, 0.9)),
    ];
    for ((per_second, weight, from, to), texture) in cases.iter().flat_map(|case| textures.map(|it| (*case, it))) {
        let healthy = Rollout::harmless(per_second, from, Weights::Constant(weight)).textured(texture);
        let rollout = Rollout { canary_rate: to, ..healthy };
        let row = format!("price {per_second} rps, {weight}, {} → {}, {}", rate(from), rate(to), texture.name());
        let ours = found_in(bench, &row, runs, &rollout, Some(&Past::hours(24)), 120);
        let without = found_in(bench, &row, runs, &rollout, None, 120);
        let kayenta = bench.runs(&row, runs / 4 + 1, |rng| rule_minutes(&mut Kayenta::default(), &rollout, 120, rng));
        sheet.row([
            format!("{per_second} rps"),
            format!("{} %", weight * 100.0),
            format!("{} → {}", rate(from), rate(to)),
            texture.name(),
            ours.shown(),
            without.shown(),
            Times::of(kayenta, 120).median_shown(),
        ]);
    }
    sheet
}
