//! Latency: plans, histories and bins in, verdicts and sentences out.

use statrs::function::erf::erf;

use crate::analysis::stats::validity::Random;
use crate::analysis::{
    Asked, Bins, Comparison, Doubt, GuardMode, History, HistoryMinute, Judge, JudgePlan, MinuteSample, Pair, Samples,
    Verdict, WarmUp, choose_edges, edge_quantiles, judge, learn, plan, plan_of_recording, stretched, take_edges,
};
use crate::spec::{CheckKind, CheckMode};
use crate::units::{Span, Weight};

use super::{latency, spec, two_oclock};

/// Log-normal, with median 100 and sigma 0.6.
const MEDIAN: f64 = 100.0;
const SIGMA: f64 = 0.6;

/// How a version's requests differ from the old one's.
#[derive(Debug, Clone, Copy)]
enum Law {
    /// Takes so many times as long.
    Times(f64),
    /// A share of requests takes so many milliseconds more.
    Late(f64, f64),
}

const SAME: Law = Law::Times(1.0);
/// The p99 of 404 ms doubles.
const P99_DOUBLED: Law = Law::Late(0.0125, 750.0);
const SLOW_PATH: Law = Law::Late(0.05, 500.0);
/// A tenth beyond the tolerated twentieth.
const SLOWER: Law = Law::Times(1.05 * 1.1);

fn share_up_to(value: f64) -> f64 {
    if value <= 0.0 { 0.0 } else { 0.5 * (1.0 + erf((value / MEDIAN).ln() / SIGMA / std::f64::consts::SQRT_2)) }
}

impl Law {
    fn share_up_to(self, value: f64) -> f64 {
        match self {
            Self::Times(times) => share_up_to(value / times),
            Self::Late(share, late) => (1.0 - share) * share_up_to(value) + share * share_up_to(value - late),
        }
    }

    /// A minute's bins at these edges when everything takes `noise` times as long.
    fn bins(self, random: &mut Random, requests: f64, edges: &[f64], noise: f64) -> Bins {
        let up_to = edges.iter().map(|edge| self.share_up_to(edge / noise)).chain([1.0]);
        let mut below = 0.0;
        let shares = up_to.map(|up_to| up_to - std::mem::replace(&mut below, up_to));
        Bins::new(shares.map(|share| random.poisson(requests * share.max(0.0))).collect()).unwrap()
    }
}

/// Latency alone, enforced, with the edges of this law and all of the budget.
fn with_edges() -> JudgePlan {
    let mut plan = plan_of_recording(&spec(vec![latency()]));
    plan.checks[0].mode = CheckMode::Enforce;
    plan.checks[0].alpha_share = 1.0;
    let value = |quantile: f64| {
        let (mut low, mut high) = (1.0, 10_000.0);
        for _ in 0..60 {
            let middle: f64 = 0.5 * (low + high);
            if share_up_to(middle) < quantile { low = middle } else { high = middle }
        }
        high
    };
    let quantiles: Vec<(f64, f64)> =
        edge_quantiles(&plan.checks[0]).into_iter().map(|quantile| (quantile, value(quantile))).collect();
    choose_edges(&plan, 0, &quantiles)
}

/// What the rollouts of a test are like.
#[derive(Debug, Clone, Copy)]
struct World {
    per_minute: f64,
    /// Standard deviation of each version's own noise in each minute, and how much of it stays for the next.
    noise: f64,
    lasting: f64,
}

/// Noise of one version.
struct Noise(f64);

impl Noise {
    fn next(&mut self, random: &mut Random, world: World) -> f64 {
        let fresh = (1.0 - world.lasting * world.lasting).sqrt() * random.normal();
        self.0 = world.lasting * self.0 + fresh;
        (world.noise * self.0).exp()
    }
}

/// A day of the old version, with traffic that rises and falls by half.
fn learned(random: &mut Random, world: World, hours: i64) -> JudgePlan {
    let plan = with_edges();
    let edges = edges_of(&plan);
    let higher = stretched(&edges, 0.05);
    let mut noise = Noise(random.normal());
    let mut all = vec![0.0; edges.len() + 1];
    let minutes = (-60 * hours..0).map(|minute| {
        let requests = world.per_minute * (1.0 + 0.5 * (minute as f64 / 1440.0 * std::f64::consts::TAU).sin());
        let noise = noise.next(random, world);
        let stretched = SAME.bins(random, requests, &higher, noise);
        all.iter_mut().zip(&stretched.counts).for_each(|(sum, count)| *sum += count);
        let measured = vec![Some(SAME.bins(random, requests, &edges, noise).into())];
        HistoryMinute { minute: two_oclock().plus(minute), measured }
    });
    let minutes = minutes.collect();
    learn(&plan, &History { minutes, stretched: vec![Bins::new(all)] })
}

fn edges_of(plan: &JudgePlan) -> Vec<f64> {
    plan.checks[0].distribution.as_ref().unwrap().edges.clone()
}

/// One minute of both versions.
fn sample(random: &mut Random, plan: &JudgePlan, minute: i64, share: f64, requests: f64, canary: Law) -> MinuteSample {
    noisy_sample(random, plan, minute, share, requests, canary, (1.0, 1.0))
}

fn noisy_sample(
    random: &mut Random,
    plan: &JudgePlan,
    minute: i64,
    share: f64,
    requests: f64,
    canary: Law,
    noise: (f64, f64),
) -> MinuteSample {
    let edges = edges_of(plan);
    let baseline = SAME.bins(random, requests * (1.0 - share), &edges, noise.0);
    let canary = canary.bins(random, requests * share, &stretched(&edges, 0.05), noise.1);
    MinuteSample {
        minute: two_oclock().plus(minute),
        weight: Weight::from_share(share).unwrap(),
        pairs: vec![Pair { baseline: Some(baseline.into()), canary: Some(canary.into()) }],
    }
}

/// First minute at which harm is proven.
fn minutes_to_fail(random: &mut Random, plan: &JudgePlan, world: World, share: f64, canary: Law) -> Option<i64> {
    let mut judge = Judge::new(plan, Asked::Step(0));
    let (mut noise_b, mut noise_c) = (Noise(random.normal()), Noise(random.normal()));
    (0..60).find_map(|minute| {
        let share = if share > 0.0 { share } else { [0.05, 0.25, 0.5][minute as usize / 20] };
        let noise = (noise_b.next(random, world), noise_c.next(random, world));
        judge.see(&noisy_sample(random, plan, minute, share, world.per_minute, canary, noise), true, true);
        judge.failed_since().map(|_| minute + 1)
    })
}

const QUIET: World = World { per_minute: 3000.0, noise: 0.0, lasting: 0.0 };

/// 50 requests a second, 5 % on the new version, a day of history.
#[test]
fn slowness_is_found_in_time() {
    let mut random = Random::seeded(31);
    let plan = learned(&mut random, QUIET, 24);
    for (law, median, nine_tenths) in [(SLOWER, 7, 13), (P99_DOUBLED, 5, 9), (SLOW_PATH, 3, 4)] {
        let mut times: Vec<i64> =
            (0..40).map(|_| minutes_to_fail(&mut random, &plan, QUIET, 0.05, law).unwrap_or(61)).collect();
        times.sort_unstable();
        assert!(times[20] <= median && times[36] <= nine_tenths, "{law:?}: {times:?}");
    }
}

/// Weight steps, and every version with noise of its own, which would fool the bets alone in every world.
#[test]
fn noise_of_each_version_is_not_slowness() {
    for (seed, per_minute, noise, lasting) in
        [(32, 3000.0, 0.0, 0.0), (33, 30_000.0, 0.05, 0.0), (34, 3000.0, 0.05, 0.9)]
    {
        let world = World { per_minute, noise, lasting };
        let mut random = Random::seeded(seed);
        let plan = learned(&mut random, world, 24);
        let times = (0..80).filter_map(|_| minutes_to_fail(&mut random, &plan, world, 0.0, Law::Times(1.05))).count();
        assert!(times <= 2, "{world:?}: {times} of 80");
    }
}

/// Below an hour of history it takes the t-test over minutes, and a little longer.
#[test]
fn without_history_slowness_is_found_later() {
    let mut random = Random::seeded(35);
    for plan in [with_edges(), JudgePlan { guard: GuardMode::Off, ..learned(&mut random, QUIET, 2) }] {
        let mut times: Vec<i64> =
            (0..20).map(|_| minutes_to_fail(&mut random, &plan, QUIET, 0.05, SLOW_PATH).unwrap_or(61)).collect();
        times.sort_unstable();
        assert!((3..=6).contains(&times[10]) && times[18] <= 9, "{times:?}");
        let wrong = (0..40).filter_map(|_| minutes_to_fail(&mut random, &plan, QUIET, 0.05, Law::Times(1.05))).count();
        assert!(wrong <= 1, "{wrong} of 40");
    }
}

fn judged(plan: &JudgePlan, minutes: Vec<MinuteSample>) -> (Verdict, Option<Doubt>, Comparison) {
    let samples = Samples {
        settled_before: minutes.last().map(|sample| sample.minute.plus(1)),
        step_since: Some(two_oclock()),
        minutes,
        ..Samples::default()
    };
    let mut analysis = judge(plan, &samples);
    (analysis.verdict, analysis.doubt, analysis.comparisons.remove(0))
}

fn minutes(seed: u64, plan: &JudgePlan, count: i64, canary: Law) -> Vec<MinuteSample> {
    let mut random = Random::seeded(seed);
    (0..count).map(|minute| sample(&mut random, plan, minute, 0.05, 3000.0, canary)).collect()
}

#[test]
fn what_is_found_is_said_with_the_edge_and_the_ratio() {
    let mut random = Random::seeded(36);
    let plan = learned(&mut random, QUIET, 24);
    let (verdict, _, worse) = judged(&plan, minutes(1, &plan, 12, SLOW_PATH));
    assert_eq!(verdict, Verdict::Fail);
    let said = &worse.sentence;
    assert!(said.starts_with("latency: ") && said.contains(" of new requests took more than "), "{said}");
    assert!(said.contains(" of old more than ") && said.ends_with("], 99 % sure; proven worse"), "{said}");
    let slower = worse.slower.unwrap();
    assert!((slower.canary_above / slower.above - 1.05).abs() < 1e-9);
    assert!(worse.canary.events / worse.canary.requests > 2.0 * worse.baseline.events / worse.baseline.requests);

    let (verdict, _, fine) = judged(&plan, minutes(2, &plan, 12, SAME));
    assert_eq!(verdict, Verdict::Pass, "{}", fine.sentence);
    assert!(fine.sentence.ends_with("; at most 5 % slower at p50 and p99: proven"), "{}", fine.sentence);
    let few = vec![sample(&mut Random::seeded(3), &plan, 0, 0.05, 300.0, SAME)];
    let (verdict, doubt, soon) = judged(&plan, few);
    assert_eq!((verdict, doubt), (Verdict::Inconclusive, Some(Doubt::TooLittleTraffic)));
    assert!(soon.sentence.contains("; at most 5 % slower at p50 and p99: not proven yet"), "{}", soon.sentence);
}

#[test]
fn the_units_own_words_are_used() {
    let mut random = Random::seeded(37);
    let mut plan = learned(&mut random, QUIET, 2);
    plan.checks[0].name = "payload".to_owned();
    plan.checks[0].distribution.as_mut().unwrap().unit = "KB".to_owned();
    let (_, _, fine) = judged(&plan, minutes(4, &plan, 12, SAME));
    assert!(fine.sentence.starts_with("payload: 0.") || fine.sentence.starts_with("payload: 1."), "{}", fine.sentence);
    assert!(fine.sentence.contains("% of new requests were above 424 KB ("), "{}", fine.sentence);
    assert!(fine.sentence.contains("% of old above 404 KB") && fine.sentence.contains("at most 5 % above at p50"));
}

/// A little slower than tolerated at every quantile is not promoted, and not rolled back in an hour for a hundredth.
#[test]
fn what_is_worse_by_the_margin_is_not_promoted() {
    let mut random = Random::seeded(38);
    let plan = learned(&mut random, QUIET, 24);
    // 20 points more above the stretched median, which is the first step's margin.
    let slow = Law::Late(0.4, 60.0);
    let mut passed = 0;
    for _ in 0..60 {
        let mut judge = Judge::new(&plan, Asked::Step(0));
        let ever = (0..20).any(|minute| {
            judge.see(&sample(&mut random, &plan, minute, 0.05, 300.0, slow), true, true);
            judge.passes(0)
        });
        passed += u32::from(ever);
    }
    assert!(passed <= 3, "{passed} of 60");
}

#[test]
fn a_healthy_version_is_proven_fine_in_few_minutes() {
    let mut random = Random::seeded(39);
    let plan = learned(&mut random, QUIET, 24);
    for (step, share, most) in [(0, 0.05, 4), (1, 0.25, 3), (2, 0.5, 4)] {
        let mut times: Vec<i64> = (0..20)
            .map(|_| {
                let mut judge = Judge::new(&plan, Asked::Step(step));
                let passed = (0..60).find(|minute| {
                    judge.see(&sample(&mut random, &plan, *minute, share, 3000.0, SAME), true, true);
                    judge.passes(step)
                });
                passed.map_or(61, |minute| minute + 1)
            })
            .collect();
        times.sort_unstable();
        assert!(times[10] <= most, "step {step}: {times:?}");
    }
}

/// Edges of a recording that know no p99.
#[test]
fn a_quantile_without_an_edge_is_not_proven_and_said() {
    let plan = take_edges(&with_edges(), 0, &[50.0, 100.0, 150.0]);
    let (verdict, doubt, blind) = judged(&plan, minutes(5, &plan, 30, SAME));
    assert_eq!((verdict, doubt), (Verdict::Inconclusive, Some(Doubt::Blind)));
    let expected = "; p99 cannot be told from these bins: no edge is near (the highest is 150 ms)";
    assert!(blind.sentence.ends_with(expected), "{}", blind.sentence);
    // Harm is seen all the same.
    assert_eq!(judged(&plan, minutes(6, &plan, 30, Law::Times(1.5))).0, Verdict::Fail);
}

#[test]
fn bins_that_do_not_match_are_missing() {
    let plan = with_edges();
    let good = minutes(7, &plan, 30, SAME);
    let with_canary = |counts: Vec<f64>| {
        let broken = |mut sample: MinuteSample| {
            sample.pairs[0].canary = Some(Bins { counts: counts.clone() }.into());
            sample
        };
        judged(&plan, good.iter().cloned().map(broken).collect())
    };
    let bins = edges_of(&plan).len() + 1;
    for counts in [vec![], vec![5.0; bins - 1], vec![5.0; bins + 1], vec![f64::NAN; bins], vec![-1.0; bins]] {
        let (verdict, doubt, _) = with_canary(counts.clone());
        assert_eq!((verdict, doubt), (Verdict::Inconclusive, Some(Doubt::NoData)), "{counts:?}");
    }
    for counts in [vec![0.0; bins], vec![1e12; bins], vec![1e9; bins]] {
        let (verdict, _, comparison) = with_canary(counts.clone());
        assert_ne!(verdict, Verdict::Pass, "{counts:?}");
        assert!(
            !comparison.sentence.contains("NaN") && !comparison.sentence.contains("inf"),
            "{}",
            comparison.sentence
        );
    }
    let unchosen = take_edges(&plan, 0, &[]);
    assert_eq!(judged(&unchosen, good).1, Some(Doubt::NoData), "without edges there are no bins");
}

/// Every request of a cold canary is slow, until it has been raised for so long and served so many.
#[test]
fn warm_up_leaves_the_first_minutes_and_requests_out() {
    let mut plan = learned(&mut Random::seeded(46), QUIET, 6);
    let terrible = Law::Times(20.0);
    let fails = |plan: &JudgePlan, cold: i64, per_minute: f64| {
        let mut random = Random::seeded(40);
        let mut judge = Judge::new(plan, Asked::Step(0));
        for minute in 0..30 {
            // Raised in minute 0 and once more in minute 15.
            let (share, age) = if minute < 15 { (0.05, minute) } else { (0.25, minute - 15) };
            let law = if age < cold { terrible } else { SAME };
            judge.see(&sample(&mut random, plan, minute, share, per_minute, law), true, true);
        }
        judge.failed_since().is_some()
    };
    assert!(fails(&plan, 3, 3000.0));
    for (minutes, requests, cold, per_minute, expected) in [
        (2, 0.0, 3, 3000.0, false),
        (1, 0.0, 6, 3000.0, true),
        // 15 requests a minute at 5 %, and 75 at 25 %: six and two minutes.
        (0, 80.0, 2, 300.0, false),
        (0, 8.0, 6, 300.0, true),
    ] {
        plan.checks[0].distribution.as_mut().unwrap().warm_up = WarmUp { minutes, requests };
        assert_eq!(fails(&plan, cold, per_minute), expected, "{minutes} minutes and {requests} requests");
    }
}

/// Live, latency has a warm-up unless the spec says otherwise; in a recording only where the spec asks for it.
#[test]
fn who_warms_up() {
    for (wished, live, recorded) in [
        (None, (1, 200.0), (0, 0.0)),
        (Some(Span::ZERO), (0, 0.0), (0, 0.0)),
        (Some(Span::from_seconds(150)), (3, 200.0), (3, 200.0)),
    ] {
        let mut spec = spec(vec![latency()]);
        let CheckKind::Latency { warm_up, .. } = &mut spec.checks[0].kind else { unreachable!() };
        *warm_up = wished;
        let of = |plan: &JudgePlan| {
            let WarmUp { minutes, requests } = plan.checks[0].distribution.as_ref().unwrap().warm_up;
            (minutes, requests)
        };
        assert_eq!((of(&plan(&spec)), of(&plan_of_recording(&spec))), (live, recorded), "{wished:?}");
    }
}

/// Below a quarter of the traffic and 60 requests a minute a new version may be slow for want of requests alone: harm
/// is proven once it is proven again.
#[test]
fn a_cold_canary_fails_only_if_it_persists() {
    let mut random = Random::seeded(44);
    let mut plan = learned(&mut random, QUIET, 24);
    let fails_at = |plan: &JudgePlan, share: f64, per_minute: f64, slow_minutes: i64| {
        let mut random = Random::seeded(45);
        let mut judge = Judge::new(plan, Asked::Step(0));
        for minute in 0..60 {
            let law = if minute < slow_minutes { Law::Times(2.0) } else { SAME };
            judge.see(&sample(&mut random, plan, minute, share, per_minute, law), true, true);
        }
        judge.failed_since().map(|minute| minute.minutes_since(two_oclock()))
    };
    let first = |plan: &JudgePlan, share, per_minute| fails_at(plan, share, per_minute, 60).unwrap();
    let at_once = first(&plan, 0.05, 600.0);
    plan.checks[0].distribution.as_mut().unwrap().warm_up = WarmUp { minutes: 0, requests: 1.0 };
    let persisting = first(&plan, 0.05, 600.0);
    assert!(persisting >= 2 * at_once - 1, "{at_once}, then {persisting}");
    // Slow only until harm would have been proven.
    assert_eq!(fails_at(&plan, 0.05, 600.0, at_once + 2), None);
    // A canary with traffic of its own, or much of the whole, is not cold.
    assert!(first(&plan, 0.05, 3000.0) <= 4 && fails_at(&plan, 0.3, 150.0, 20).is_some());
}

/// Harm of a canary that may only be cold, in the middle of the distribution, where the spec asks for its tail alone, which
/// is proven in a few requests.
#[test]
fn nothing_passes_while_harm_may_still_be_proven_once_more() {
    let mut plan = learned(&mut Random::seeded(46), QUIET, 24);
    let distribution = plan.checks[0].distribution.as_mut().unwrap();
    distribution.warm_up = WarmUp { minutes: 0, requests: 1.0 };
    distribution.at.retain(|at| at.quantile > 0.9);
    let found_once = |evidence: &crate::analysis::Evidence| {
        evidence.harm >= evidence.harm_threshold && evidence.tempered >= evidence.tempered_threshold
    };
    let (mut held, mut failed, mut passed) = (0, 0, 0);
    for (seed, recovers) in [(60, false), (61, false), (62, false), (63, true), (64, true)] {
        let mut random = Random::seeded(seed);
        let (mut minutes, mut found, mut last) = (Vec::new(), None, Verdict::Inconclusive);
        for at in 0..60 {
            let law = if recovers && found.is_some() { SAME } else { Law::Times(1.35) };
            minutes.push(sample(&mut random, &plan, at, 0.05, 600.0, law));
            let (verdict, doubt, comparison) = judged(&plan, minutes.clone());
            found = found.or(found_once(&comparison.evidence).then_some(at));
            let Some(found) = found else { continue };
            let later = at - found;
            match verdict {
                Verdict::Pass => assert!(recovers && later > found, "{seed}: passed in {at}, found in {found}"),
                Verdict::Inconclusive => held += usize::from(doubt == Some(Doubt::LooksWorse)),
                Verdict::Fail => assert!(!recovers, "{seed}"),
            }
            last = verdict;
        }
        failed += usize::from(last == Verdict::Fail);
        passed += usize::from(last == Verdict::Pass);
    }
    assert!(held > 10 && failed == 3 && passed == 2, "{held} held, {failed} failed, {passed} passed");
}

/// Else on-call would wait for data that are there, or wonder why twice as slow is not rolled back.
#[test]
fn a_canary_that_may_be_cold_is_said_to_be() {
    let mut plan = learned(&mut Random::seeded(46), QUIET, 24);
    let said = |plan: &JudgePlan, count: i64, per_minute: f64, law: Law| {
        let mut random = Random::seeded(47);
        let minutes = (0..count).map(|minute| sample(&mut random, plan, minute, 0.05, per_minute, law)).collect();
        judged(plan, minutes).2.sentence
    };
    let warm_up = |requests| WarmUp { minutes: 1, requests };
    plan.checks[0].distribution.as_mut().unwrap().warm_up = warm_up(2000.0);
    let early = said(&plan, 4, 3000.0, SAME);
    assert!(
        early.starts_with("latency: no requests of both versions to compare yet; the new version still warms"),
        "{early}"
    );
    assert!(early.contains(" of 2,000 requests served), so this is not judged yet"), "{early}");
    plan.checks[0].distribution.as_mut().unwrap().warm_up = warm_up(1.0);
    let cold = (2..40).map(|count| said(&plan, count, 600.0, Law::Times(2.0)));
    let kinds: Vec<bool> =
        cold.map(|said| said.contains("; worse, but with so little traffic a new version may")).collect();
    let held = kinds.iter().filter(|held| **held).count();
    assert!(held > 0 && held < 20 && kinds.first() == Some(&false) && kinds.last() == Some(&false), "{kinds:?}");
}

#[test]
fn history_is_learned_by_bin() {
    let mut random = Random::seeded(41);
    let plan = learned(&mut random, QUIET, 24);
    let learned = plan.checks[0].learned.as_ref().unwrap();
    let past = learned.distribution.as_ref().unwrap();
    assert_eq!((learned.minutes, past.above.len(), past.counts.len()), (1440, 17, 18));
    assert!(past.above.iter().all(|past| past.factor < 1.3 && past.scale_minutes == 1), "{:?}", past.above);
    let share = |bins: &[f64], edge: usize| bins[edge + 1..].iter().sum::<f64>() / bins.iter().sum::<f64>();
    // At p50 a healthy canary has 46.8 % above the stretched edge.
    assert!((share(&past.counts, 5) - 0.5).abs() < 0.002 && (share(&past.stretched, 5) - 0.468).abs() < 0.002);
    assert!((share(&past.recent, 5) - 0.5).abs() < 0.02);

    // Without a look at the stretched edges they are told from the others.
    let minute = |at: i64, bins: Vec<f64>| HistoryMinute {
        minute: two_oclock().plus(at),
        measured: vec![Some(Bins { counts: bins }.into())],
    };
    let plan = take_edges(&with_edges(), 0, &[100.0, 200.0]);
    let learn_from = |minutes: Vec<HistoryMinute>| {
        let plan = learn(&plan, &History { minutes, ..History::default() });
        plan.checks[0].learned.clone()
    };
    let coarse = learn_from((-90..0).map(|at| minute(at, vec![50.0, 40.0, 10.0])).collect()).unwrap();
    let past = coarse.distribution.unwrap();
    assert!((past.stretched[0] / 90.0 - 50.0 - 40.0 * 1.05_f64.ln() / 2_f64.ln()).abs() < 1e-9, "{past:?}");
    let hostile = vec![minute(-3, vec![1.0; 4]), minute(-2, vec![f64::NAN; 3]), minute(-1, vec![0.0; 3])];
    assert_eq!(learn_from(hostile), None);
    assert_eq!(learn_from(Vec::new()), None);
    // Minutes that come twice, or late, count once.
    let twice = learn_from(vec![minute(-2, vec![5.0; 3]), minute(-2, vec![5.0; 3]), minute(-3, vec![5.0; 3])]).unwrap();
    assert_eq!(twice.minutes, 1);
}

/// Stored with the rollout, and a rollout that was stored before these fields came still reads.
#[test]
fn plans_survive_json() {
    let plan = learned(&mut Random::seeded(42), QUIET, 2);
    let text = serde_json::to_string(&plan).unwrap();
    assert!(text.len() < 12_000, "{} bytes", text.len());
    let back: JudgePlan = serde_json::from_str(&text).unwrap();
    assert_eq!(back.checks[0].distribution, plan.checks[0].distribution);
    let samples = minutes(8, &plan, 5, SAME);
    assert_eq!(judged(&back, samples.clone()).0, judged(&plan, samples).0);
    let old = r#"{"stretch": 0.05, "at": [{"quantile": 0.5, "margins": [0.2]}]}"#;
    let old: crate::analysis::PlannedDistribution = serde_json::from_str(old).unwrap();
    assert!(old.edges.is_empty() && old.warm_up == WarmUp::default() && old.at[0].edge.is_none());
}

#[test]
fn a_plan_with_a_history_of_other_bins_goes_without() {
    let mut plan = learned(&mut Random::seeded(43), QUIET, 2);
    let healthy = minutes(9, &plan, 8, SAME);
    plan.checks[0].learned.as_mut().unwrap().distribution.as_mut().unwrap().recent.pop();
    let (verdict, _, comparison) = judged(&plan, healthy);
    assert_ne!(verdict, Verdict::Fail);
    assert!(comparison.evidence.harm.is_finite() && comparison.newest.is_some());
}

/// The same of latency: the first minute of a larger weight has a larger stake.
#[test]
fn slowness_that_begins_with_a_raise_is_seen_sooner() {
    let mut plan = with_edges();
    plan.checks[0].distribution.as_mut().unwrap().warm_up = WarmUp::default();
    let evidence = |before: u16| {
        let mut random = Random::seeded(61);
        let mut judge = Judge::new(&plan, Asked::Step(0));
        for minute in 0..36 {
            let law = if minute < 30 { SAME } else { SLOW_PATH };
            let mut sample = sample(&mut random, &plan, minute, 0.5, 300.0, law);
            sample.weight = super::weight(if minute < 30 { before } else { 50 });
            judge.see(&sample, true, true);
        }
        judge.analysis(&Samples::default()).comparisons[0].evidence.harm
    };
    let (raised, level) = (evidence(25), evidence(50));
    assert!(raised > level + 1.0, "{raised} {level}");
}
