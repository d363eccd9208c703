//! Several metrics in one rollout: one budget for all of them.

use coalmine_core::analysis::JudgePlan;
use coalmine_core::analysis::{Count, History, HistoryMinute, Measured, Pair, learn};
use coalmine_core::sim::rng::Rng;
use coalmine_core::units::Minute;

use crate::bench::Bench;
use crate::sheet::{Sheet, Times, percent, rate};
use crate::subject::{START, Subject, errors_plan, pair, plan_of};
use crate::world::{Past, Rollout, Weights};

/// Errors, and so many counts of one's own.
fn plan(more: usize) -> JudgePlan {
    let own = (0..more).map(|number| {
        let metric =
            |name: &str| format!("{{ namespace: Shop, metric: {name}, dimensions: {{ Version: \"{{version}}\" }} }}");
        let (events, requests) = (metric(&format!("Declined{number}")), metric("Payments"));
        format!(", rate: {{ name: declined{number}, events: {events}, requests: {requests}, tolerate: 0.5pt }}")
    });
    plan_of(&format!("checks: [ errors: {{ tolerate: 0.5pt }}{} ]", own.collect::<String>()))
}

fn minutes_to_fail(plan: &JudgePlan, rollouts: &[Rollout], horizon: usize, rng: &mut Rng) -> Option<usize> {
    let past: Vec<Vec<(f64, f64)>> = rollouts.iter().map(|rollout| Past::hours(24).play(rollout, rng)).collect();
    let minutes = (0..24 * 60_usize).map(|index| HistoryMinute {
        minute: Minute::from_index(START - 24 * 60 + i64::try_from(index).unwrap_or(0)),
        measured: past.iter().map(|of| Count::new(of[index].0, of[index].1).map(Measured::Count)).collect(),
    });
    let plan = learn(plan, &History { minutes: minutes.collect(), stretched: vec![None; rollouts.len()] });
    let mut streams: Vec<Rng> = rollouts.iter().map(|_| Rng::new(rng.next_u64())).collect();
    let mut players: Vec<_> = rollouts.iter().zip(&mut streams).map(|(rollout, rng)| rollout.play(rng)).collect();
    let mut subject = Subject::new(&plan);
    (1..=horizon).find(|_| {
        let minutes: Vec<_> = players.iter_mut().map(|player| player.next()).collect();
        let weight = minutes[0].1;
        let pairs: Vec<Pair> = minutes.iter().map(|(minute, _)| pair(minute)).collect();
        subject.see(weight, pairs)
    })
}

pub fn several(bench: &Bench) -> Vec<Sheet> {
    let runs = bench.size(300);
    let mut sheet = Sheet::new(
        "Six metrics in one rollout",
        &["traffic", "counts", "six, all healthy: rolled back", "aim", "one alone, bad: minutes", "six, errors bad", "six, three bad"],
    )
    .about("Errors, and five counts of one's own with the same rates; independent of each other, 5 % weight, 24 hours of history.")
    .about("Healthy ones within 120 minutes; mean / median minutes of bad ones.")
    .about(format!("{runs} runs a row, bad ones a third."));
    let (six, one) = (plan(5), errors_plan());
    for (per_second, from, to) in [(50.0, 0.01, 0.03), (50.0, 0.001, 0.005), (500.0, 0.01, 0.02)] {
        let healthy = Rollout::harmless(per_second, from, Weights::Constant(0.05));
        let bad = Rollout { canary_rate: to, ..healthy };
        let row = format!("six, {per_second} rps, {} → {}", rate(from), rate(to));
        let fails = bench.runs(&row, runs, |rng| minutes_to_fail(&six, &[healthy; 6], 120, rng));
        let share = Times::of(fails, 120).share();
        let aim = sheet.share_at_most(&row, share, runs, 0.01, "1 %");
        let times = |plan: &JudgePlan, rollouts: &[Rollout]| {
            let minutes = bench.runs(&row, runs / 3 + 1, |rng| minutes_to_fail(plan, rollouts, 240, rng));
            Times::of(minutes, 240).shown()
        };
        let first_bad = [bad, healthy, healthy, healthy, healthy, healthy];
        let three_bad = [bad, bad, bad, healthy, healthy, healthy];
        sheet.row([
            format!("{per_second} rps"),
            format!("{} → {}", rate(from), rate(to)),
            percent(share),
            aim,
            times(&one, &[bad]),
            times(&six, &first_bad),
            times(&six, &three_bad),
        ]);
    }
    vec![sheet]
}
