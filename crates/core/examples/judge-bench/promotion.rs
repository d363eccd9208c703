//! Proofs that a release is fine: how many requests they take, and how often they are wrong.

use coalmine_core::analysis::JudgePlan;
use coalmine_core::sim::rng::Rng;

use crate::bench::Bench;
use crate::sheet::{Sheet, Times, percent, rate};
use crate::subject::{Subject, pair, plan_of, prepared};
use crate::world::{Drift, Noise, Past, Rollout, Texture, Weights};

/// A plan with one step, so that its margin is the tolerance itself.
fn one_step(tolerate: f64) -> JudgePlan {
    plan_of(&format!(
        "strategy: {{ canary: {{ weight: 50%, bake: 2m }} }}\ndeadline: 20h\nchecks: [ errors: {{ tolerate: {}pt }} ]",
        tolerate * 100.0
    ))
}

/// The minute, counted from 1, in which the step has passed.
fn minutes_to_pass(plan: &JudgePlan, rollout: &Rollout, horizon: usize, rng: &mut Rng) -> Option<usize> {
    let mut subject = Subject::new(plan);
    let mut player = rollout.play(rng);
    (1..=horizon).find(|_| {
        let (minute, weight) = player.next();
        subject.see(weight, vec![pair(&minute)]);
        subject.passes(0)
    })
}

/// Canary requests that any test needs on average to prove, with 5 % false promotions, that a release with the same rate
/// as the old version is not worse by `margin`: ln 20 over the least divergence to a pair of rates at the margin. Found
/// by search and not by the judge's own projection, which it is a check on.
pub fn proof_bound(rate: f64, margin: f64, weight: f64) -> f64 {
    let term = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    let divergence = |p: f64, q: f64| term(p, q) + term(1.0 - p, 1.0 - q);
    let cost = |s: f64| divergence(rate, s + margin) + (1.0 - weight) / weight * divergence(rate, s);
    let (mut low, mut high) = ((rate - margin).max(0.0), rate.min(1.0 - margin));
    for _ in 0..200 {
        let (a, b) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
        if cost(a) < cost(b) { high = b } else { low = a }
    }
    20_f64.ln() / cost(f64::midpoint(low, high))
}

pub fn promotion(bench: &Bench) -> Vec<Sheet> {
    vec![requests_to_proof(bench), proofs_of_textured_traffic(bench)]
}

const SHARES: [(f64, f64); 11] = [
    (0.0, 0.005),
    (0.0005, 0.005),
    (0.001, 0.005),
    (0.01, 0.005),
    (0.001, 0.002),
    (0.01, 0.002),
    (0.01, 0.01),
    (0.1, 0.02),
    (0.3, 0.05),
    (0.5, 0.05),
    (0.6, 0.05),
];

fn requests_to_proof(bench: &Bench) -> Sheet {
    let runs = bench.size(500);
    let mut sheet = Sheet::new(
        "Requests to a proof, and false proofs at the tolerance",
        &["share", "tolerance", "weight", "bound", "requests / bound", "aim", "false, steady", "false, drifting", "aim", "false, tempered", "aim"],
    )
    .about("One check, one step, independent requests (`independence: assumed`), an hour of history. The bound is in canary")
    .about("requests; traffic is such that it takes 40 minutes, so that whole minutes round nothing up. False: the canary is")
    .about("worse by exactly the tolerance and passes at any of 60 looks, with twice the traffic; drifting: the old version's")
    .about("share grows by half and traffic doubles meanwhile, the distance stays. Tempered: steady, by default settings, with")
    .about("a day of history.")
    .about(format!("{runs} runs a row; false proofs {}.", 2 * runs));
    for ((share, margin), weight) in SHARES.iter().flat_map(|case| [0.05, 0.25, 0.5].map(|weight| (*case, weight))) {
        let plan = JudgePlan { independent: true, ..one_step(margin) };
        let bound = proof_bound(share, margin, weight);
        let per_second = bound / weight / 40.0 / 60.0;
        let row = format!("proof {} + {}, {weight}", rate(share), rate(margin));
        let healthy = Rollout::harmless(per_second, share, Weights::Constant(weight));
        let taught = |rollout: &Rollout, rng: &mut Rng| prepared(&plan, Some(&Past::hours(1)), rollout, rng);
        let minutes = bench.runs(&row, runs, |rng| minutes_to_pass(&taught(&healthy, rng), &healthy, 1000, rng));
        let ratio = Times::of(minutes, 1000).mean() / 40.0;
        let at_margin = Rollout { per_second: per_second * 2.0, excess: margin, ..healthy };
        let wrong = |drift: Drift| {
            let rollout = Rollout { drift, ..at_margin };
            bench.share(&format!("{row} {drift:?}"), 2 * runs, |rng| {
                minutes_to_pass(&taught(&rollout, rng), &rollout, 60, rng).is_some()
            })
        };
        let drift = Drift::Line { traffic: 2.0, errors: if share < 0.6 { 1.5 } else { 1.0 }, minutes: 60.0 };
        let (steady, drifting) = (wrong(Drift::Still), wrong(drift));
        let aim = sheet.at_most(&format!("{row}: requests"), ratio, 1.2, "1.2");
        let usual = one_step(margin);
        let tempered = bench.share(&format!("{row} tempered"), 2 * runs, |rng| {
            minutes_to_pass(&prepared(&usual, Some(&Past::hours(24)), &at_margin, rng), &at_margin, 60, rng).is_some()
        });
        let wrong_aim = sheet.share_at_most(&format!("{row}: false"), steady.max(drifting), 2 * runs, 0.05, "5 %");
        let tempered_aim = sheet.share_at_most(&format!("{row}: tempered"), tempered, 2 * runs, 0.035, "3.5 %");
        sheet.row([
            rate(share),
            format!("{} pt", margin * 100.0),
            format!("{} %", weight * 100.0),
            format!("{bound:.0}"),
            format!("{ratio:.2}"),
            aim,
            percent(steady),
            percent(drifting),
            wrong_aim,
            percent(tempered),
            tempered_aim,
        ]);
    }
    sheet
}

fn proofs_of_textured_traffic(bench: &Bench) -> Sheet {
    let runs = bench.size(400);
    let mut sheet = Sheet::new(
        "Proofs on clustered and noisy traffic",
        &["traffic", "errors", "events in 24 h", "texture", "false, 5 %", "false, 50 %", "aim", "minutes, 5 %", "minutes, 50 %"],
    )
    .about("One check with 0.5 points, 24 hours of history of the same texture. False: worse by 0.5 points and passed at any")
    .about("of 60 looks. Minutes: mean / median for a healthy release within 10 hours. Without errors in the history nothing")
    .about("can be known about clusters, and no aim is set.")
    .about(format!("{runs} runs for each number, minutes a quarter."));
    let textures = [
        (Texture::CLEAN, 0.035, "3.5 %"),
        (Texture::clusters(3.0), 0.05, "5 %"),
        (Texture::noise(Noise::Gamma(0.2)), 0.05, "5 %"),
        (Texture { cluster: 3.0, noise: Noise::Gamma(0.2) }, 0.05, "5 %"),
        (Texture::clusters(10.0), f64::NAN, ""),
        (Texture::noise(Noise::Gamma(0.5)), f64::NAN, ""),
        (Texture::noise(Noise::Lognormal(0.2, 0.9)), f64::NAN, ""),
        (Texture::noise(Noise::Lognormal(0.5, 0.9)), f64::NAN, ""),
    ];
    let plan = one_step(0.005);
    let past = Past::hours(24);
    let loads = [5.0, 50.0, 500.0].into_iter().flat_map(|rps| [0.0, 0.0001, 0.001, 0.01].map(|base| (rps, base)));
    for ((per_second, base), (texture, limit, shown)) in loads.flat_map(|load| textures.map(|it| (load, it))) {
        let events = per_second * 86_400.0 * base;
        let row = format!("proof {per_second} rps, {}, {}", rate(base), texture.name());
        let at = |weight: f64, more: f64| {
            let healthy = Rollout::harmless(per_second, base, Weights::Constant(weight)).textured(texture);
            Rollout { excess: more, ..healthy }
        };
        let wrong = [0.05, 0.5].map(|weight| {
            let rollout = at(weight, 0.005);
            bench.share(&format!("{row}, {weight}, false"), runs, |rng| {
                minutes_to_pass(&prepared(&plan, Some(&past), &rollout, rng), &rollout, 60, rng).is_some()
            })
        });
        let minutes = [0.05, 0.5].map(|weight| {
            let rollout = at(weight, 0.0);
            let minutes = bench.runs(&format!("{row}, {weight}"), runs / 4 + 1, |rng| {
                minutes_to_pass(&prepared(&plan, Some(&past), &rollout, rng), &rollout, 600, rng)
            });
            Times::of(minutes, 600).shown()
        });
        let judged = events >= 40.0 && limit.is_finite();
        let aim =
            if judged { sheet.share_at_most(&row, wrong[0].max(wrong[1]), runs, limit, shown) } else { String::new() };
        let [few, half] = minutes;
        sheet.row([
            format!("{per_second} rps"),
            rate(base),
            format!("{events:.0}"),
            texture.name(),
            percent(wrong[0]),
            percent(wrong[1]),
            aim,
            few,
            half,
        ]);
    }
    sheet
}
