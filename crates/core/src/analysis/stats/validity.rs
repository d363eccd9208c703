//! Is the evidence worth what it says? By exact enumeration where that is possible, by seeded simulation elsewhere.

use proptest::prelude::*;

use super::cancelling::Cancelling;
use super::cmh::SequentialCmh;
use super::harm::THETAS;
use super::{
    Begins, Guard, HarmNull, HarmProcess, Margin, NonInferiority, PredictedShare, Rates, RecentRate, Stratum,
    proof_bound, rate_ratio,
};

/// A small deterministic generator, so that every run of the tests sees the same worlds.
pub(crate) struct Random(u64);

impl Random {
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In 0.0..1.0.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    pub fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 200.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        if mean > 20.0 {
            return self.poisson(0.5 * mean) + self.poisson(0.5 * mean);
        }
        let (mut count, mut product, floor) = (0.0, self.uniform(), (-mean).exp());
        while product > floor {
            count += 1.0;
            product *= self.uniform();
        }
        count
    }

    /// Of `n` trials with a probability of `p` each, those that succeed; by the normal law where there are many.
    pub fn binomial(&mut self, n: f64, p: f64) -> f64 {
        let variance = n * p * (1.0 - p);
        if variance > 100.0 {
            return (n * p + variance.sqrt() * self.normal()).round().clamp(0.0, n);
        }
        if p > 0.5 {
            return n - self.binomial(n, 1.0 - p);
        }
        let (mut at, mut count) = (0.0, -1.0);
        while at <= n {
            at += ((1.0 - self.uniform()).ln() / (-p).ln_1p()).floor() + 1.0;
            count += 1.0;
        }
        count
    }

    /// Like [`Self::minute`], where many requests have the event and Poisson's law would scatter too much.
    pub fn frequent(&mut self, rate: f64, share: f64, p_c: f64, p_b: f64) -> Stratum {
        let (n_c, n_b) = (self.poisson(rate * share), self.poisson(rate * (1.0 - share)));
        Stratum { n_c, x_c: self.binomial(n_c, p_c), n_b, x_b: self.binomial(n_b, p_b) }
    }

    /// One minute of `rate` requests a minute, split by `share`, failing with these probabilities.
    pub fn minute(&mut self, rate: f64, share: f64, p_c: f64, p_b: f64) -> Stratum {
        let (n_c, n_b) = (self.poisson(rate * share), self.poisson(rate * (1.0 - share)));
        Stratum { n_c, x_c: self.poisson(n_c * p_c).min(n_c), n_b, x_b: self.poisson(n_b * p_b).min(n_b) }
    }
}

/// Steps of 5, 25 and 50 %, with an error rate that grows fivefold and traffic that doubles: what fools tests that pool.
fn drifting_minute(random: &mut Random, minute: u32, rate: f64, p: f64) -> Stratum {
    let share = [0.05, 0.25, 0.5][(minute / 20).min(2) as usize];
    let progress = f64::from(minute) / 60.0;
    let p = p * (1.0 + 4.0 * progress);
    random.minute(rate * (1.0 + progress), share, p, p)
}

/// E[e] of one minute under binomial counts, exactly.
pub(super) fn expectation(n_c: u32, n_b: u32, p_c: f64, p_b: f64, ln_e: impl Fn(&Stratum) -> f64) -> f64 {
    let (canary, baseline) = (binomial(n_c, p_c), binomial(n_b, p_b));
    let mut sum = 0.0;
    for (x_c, weight_c) in canary.iter().enumerate() {
        for (x_b, weight_b) in baseline.iter().enumerate() {
            let minute = Stratum { n_c: f64::from(n_c), x_c: x_c as f64, n_b: f64::from(n_b), x_b: x_b as f64 };
            sum += weight_c * weight_b * ln_e(&minute).exp();
        }
    }
    sum
}

/// Probabilities of 0..=n successes.
fn binomial(n: u32, p: f64) -> Vec<f64> {
    let mut row = vec![1.0];
    for _ in 0..n {
        let mut next = vec![0.0; row.len() + 1];
        for (k, weight) in row.iter().enumerate() {
            next[k] += weight * (1.0 - p);
            next[k + 1] += weight * p;
        }
        row = next;
    }
    row
}

#[test]
fn harm_evidence_of_a_minute_has_mean_at_most_one_under_its_null() {
    let mut largest: f64 = 0.0;
    for (n_c, n_b) in [(1, 1), (1, 20), (3, 12), (8, 8), (12, 3), (20, 1)] {
        for p_b in [0.0, 0.01, 0.1, 0.3, 0.5, 0.9, 1.0] {
            for null in [
                HarmNull::NO_WORSE,
                HarmNull { factor: 1.5, points: 0.02, cluster: 1.0 },
                HarmNull::NO_CATASTROPHE,
                HarmNull { cluster: 3.0, ..HarmNull::NO_WORSE },
            ] {
                let limit: f64 = (null.factor * p_b + null.points).min(1.0);
                for p_c in [limit, 0.5 * limit] {
                    for theta in THETAS {
                        let mean =
                            expectation(n_c, n_b, p_c, p_b, |minute| null.ln_e(minute, &[theta], &[theta.ln()])[0]);
                        assert!(mean <= 1.0 + 1e-12, "{null:?} theta {theta} n {n_c} {n_b} p {p_c} {p_b}: {mean}");
                        largest = largest.max(mean);
                    }
                }
            }
        }
    }
    assert!(largest > 0.999, "the bound is tight somewhere, or this test cannot fail: {largest}");
}

#[test]
fn harm_evidence_exceeds_one_on_average_where_the_canary_is_worse() {
    let null = HarmNull::NO_WORSE;
    assert!(expectation(8, 8, 0.3, 0.1, |minute| null.ln_e(minute, &[2.0], &[2_f64.ln()])[0]) > 1.0);
}

/// Whatever is guessed, the mean is at most 1 at the margin and beyond it, also where every request fails.
#[test]
fn promotion_evidence_of_a_minute_has_mean_at_most_one_at_and_beyond_the_margin() {
    let mut largest: f64 = 0.0;
    for (n_c, n_b) in [(1, 1), (1, 20), (3, 12), (8, 8), (12, 3), (20, 1)] {
        for (baseline, canary) in [(0.001, 0.001), (0.01, 0.02), (0.3, 0.3), (0.5, 0.46), (0.9, 0.9)] {
            for (factor, points) in [(1.0, 0.005), (1.0, 0.1), (1.5, 0.0005), (2.0, 0.0), (0.8, 0.3), (1.0, 1.0)] {
                let (margin, guess) = (Margin::new(factor, points), Rates { baseline, canary });
                for p_b in [0.0, 0.01, 0.1, 0.3, 0.5, 0.9] {
                    let limit: f64 = factor * p_b + points;
                    for p_c in [limit, 0.5 * (1.0 + limit), 1.0].into_iter().filter(|p_c| *p_c <= 1.0 && limit <= *p_c)
                    {
                        let mean = expectation(n_c, n_b, p_c, p_b, |minute| margin.ln_e(minute, [guess])[0]);
                        assert!(mean <= 1.0 + 1e-12, "{margin:?} {guess:?} n {n_c} {n_b} p {p_c} {p_b}: {mean}");
                        largest = largest.max(mean);
                    }
                }
            }
        }
    }
    assert!(largest > 0.999, "the bound is tight somewhere, or this test cannot fail: {largest}");
}

/// The mixture of four bets is valid as each of them is.
#[test]
fn the_mixture_of_a_minute_has_mean_at_most_one_at_the_margin() {
    for (share, points) in [(0.0, 0.05), (0.1, 0.02)] {
        let guess = Rates { baseline: 0.02, canary: 0.02 };
        let mean = expectation(10, 30, share + points, share, |minute| {
            let mut process = NonInferiority::new(Margin::new(1.0, points));
            process.observe(minute, guess, 1.0);
            process.ln_e()
        });
        assert!((0.5..=1.0 + 1e-12).contains(&mean), "{mean}");
    }
}

/// Clusters that hit one version as a whole: what is divided by their size is worth no more than independent requests.
#[test]
fn divided_evidence_is_valid_for_clusters() {
    let (margin, guess) = (Margin::new(1.0, 0.1), Rates { baseline: 0.05, canary: 0.05 });
    for size in [1.0, 3.0] {
        let clustered = |minute: &Stratum, divisor: f64| {
            let all = |n: f64, x: f64| (3.0 * n, 3.0 * x);
            let ((n_c, x_c), (n_b, x_b)) = (all(minute.n_c, minute.x_c), all(minute.n_b, minute.x_b));
            margin.ln_e(&Stratum { n_c, x_c, n_b, x_b }, [guess])[0] / divisor
        };
        let mean = expectation(10, 20, 0.15, 0.05, |minute| clustered(minute, size));
        assert_eq!(mean <= 1.0, size >= 3.0, "divided by {size}: {mean}");
    }
}

/// Ville: over 60 looks, with weight steps and drift, a harmless release crosses the 5 % line in well under 5 % of
/// worlds (measured elsewhere: 2 % at most); so does the independent sequential CMH test. The lower limit shows that
/// the test is not merely asleep.
#[test]
fn a_harmless_release_rarely_looks_proven_worse_at_any_look() {
    for (rate, p) in [(300.0, 0.01), (3000.0, 0.001)] {
        let mut random = Random::seeded(1);
        let (mut crossed, mut crossed_cmh) = (0, 0);
        for _ in 0..1500 {
            let mut process = HarmProcess::new(HarmNull::NO_WORSE, Begins::evenly(60));
            let mut cmh = SequentialCmh::default();
            let (mut most, mut most_cmh) = (0.0_f64, 0.0_f64);
            for minute in 0..60 {
                let stratum = drifting_minute(&mut random, minute, rate, p);
                process.observe(&stratum);
                most = most.max(process.ln_e());
                if stratum.events() > 0.0 {
                    cmh.observe(&stratum);
                    most_cmh = most_cmh.max(cmh.ln_e());
                }
            }
            crossed += u32::from(most >= 20_f64.ln());
            crossed_cmh += u32::from(most_cmh >= 20_f64.ln());
        }
        assert!((5..=50).contains(&crossed), "rate {rate}: {crossed} of 1500");
        assert!(crossed_cmh <= 50, "rate {rate}: {crossed_cmh} of 1500 by the cross-check");
    }
}

/// Two tests built on different inequalities must see the same regression.
#[test]
fn the_independent_test_agrees_about_clear_cases() {
    for (p_c, worse) in [(0.03, true), (0.01, false)] {
        let mut random = Random::seeded(2);
        let mut process = HarmProcess::new(HarmNull::NO_WORSE, Begins::evenly(60));
        let mut cmh = SequentialCmh::default();
        for _ in 0..40 {
            let stratum = random.minute(3000.0, 0.1, p_c, 0.01);
            process.observe(&stratum);
            cmh.observe(&stratum);
        }
        assert_eq!((process.ln_e() > 5.0, cmh.ln_e() > 5.0), (worse, worse), "p_c {p_c}");
    }
}

/// Minutes until the proof, at most so many.
fn proof(random: &mut Random, minutes: u32, rate: f64, share: f64, p_c: f64, p_b: f64, points: f64) -> Option<u32> {
    let mut process = NonInferiority::new(Margin::new(1.0, points));
    // A day of history at the same rate.
    let (past, recent) = (1440.0 * rate, 10.0 * rate);
    let mut predicted = PredictedShare::new(past, past * p_b, RecentRate::from(recent, recent * p_b));
    (1..=minutes).find(|_| {
        let minute = random.frequent(rate, share, p_c, p_b);
        let share = predicted.share().unwrap();
        process.observe(&minute, Rates { baseline: share, canary: share }, 1.0);
        predicted.observe(minute.n_b, minute.x_b);
        process.ln_e() >= 20_f64.ln()
    })
}

/// At its margin a release is promoted in at most 5 % of worlds, however often one looks (measured elsewhere: 1 to 3.8 %).
#[test]
fn a_release_at_the_margin_is_rarely_proven_fine() {
    for (rate, share, p, points) in [(3000.0, 0.1, 0.001, 0.005), (300.0, 0.5, 0.01, 0.02), (600.0, 0.25, 0.3, 0.05)] {
        let mut random = Random::seeded(3);
        let promoted =
            (0..800).filter(|_| proof(&mut random, 60, rate, share, p + points, p, points).is_some()).count();
        assert!((4..=40).contains(&promoted), "{p}: {promoted} of 800");
    }
}

/// Requests that a healthy release needs, over what any test needs, where minutes do not round it up.
#[test]
fn a_proof_needs_hardly_more_requests_than_any_test_must() {
    for (p, points, share, runs) in [
        (0.0005, 0.005, 0.05, 300),
        (0.001, 0.005, 0.5, 300),
        (0.01, 0.005, 0.05, 150),
        (0.1, 0.02, 0.25, 150),
        (0.3, 0.05, 0.5, 300),
        (0.6, 0.05, 0.05, 300),
    ] {
        let bound = proof_bound(Rates { baseline: p, canary: p }, Margin::new(1.0, points), share, 0.05);
        // Thirty minutes' worth, so that the last minute's surplus is small.
        let rate = bound / share / 30.0;
        let mut random = Random::seeded(31);
        let total: u32 = (0..runs).map(|_| proof(&mut random, 600, rate, share, p, p, points).unwrap_or(600)).sum();
        let ratio = f64::from(total) / f64::from(runs) * rate * share / bound;
        assert!((0.9..=1.2).contains(&ratio), "{p} within {points} at {share}: {ratio}");
    }
}

/// Two tests built on different inequalities must agree about clear cases, and ours must be the faster one.
#[test]
fn the_independent_test_of_promotion_agrees_about_clear_cases() {
    for (p_c, fine) in [(0.01, true), (0.03, false)] {
        let mut random = Random::seeded(32);
        let mut ours = NonInferiority::new(Margin::new(1.0, 0.01));
        let mut other = Cancelling::new(1.0, 0.01);
        for _ in 0..40 {
            let minute = random.minute(3000.0, 0.25, p_c, 0.01);
            ours.observe(&minute, Rates { baseline: 0.01, canary: 0.01 }, 1.0);
            other.observe(&minute);
        }
        assert_eq!((ours.ln_e() > 3.0, other.ln_e() > 3.0), (fine, fine), "p_c {p_c}");
        assert!(!fine || ours.ln_e() > other.ln_e());
    }
}

#[test]
fn less_evidence_is_kept_than_the_cap_and_never_more() {
    let mut process = NonInferiority::new(Margin::new(1.0, 0.02));
    process.cap(2_f64.ln());
    assert!(process.ln_e().abs() < 1e-12, "nothing to give up");
    process.observe(
        &Stratum { n_c: 1000.0, x_c: 0.0, n_b: 9000.0, x_b: 9.0 },
        Rates { baseline: 0.001, canary: 0.001 },
        1.0,
    );
    assert!(process.ln_e() > 10.0);
    process.cap(2_f64.ln());
    assert!((process.ln_e() - 2_f64.ln()).abs() < 1e-12);
}

/// Where the canary has the larger share, the score is skewed to the left, and a guard that believes in small scatter
/// opens by itself: 23 % instead of 10 %, or nearly always with one event a minute. Ours must not.
#[test]
fn the_guard_rarely_opens_by_itself_whatever_the_share() {
    for (share, events) in [(0.05, 3.0), (0.5, 1.0), (0.75, 1.0), (0.9, 1.0), (0.9, 10.0), (0.99, 2.0)] {
        let mut random = Random::seeded(4);
        let mut opened = 0;
        for _ in 0..2000 {
            let mut guard = Guard::default();
            let open = (0..60).any(|_| {
                guard.observe(&random.minute(6000.0, share, events / 6000.0, events / 6000.0));
                guard.ln_e() >= 10_f64.ln()
            });
            opened += u32::from(open);
        }
        assert!(opened <= 200, "share {share}, {events} events a minute: {opened} of 2000");
    }
}

#[test]
fn the_guard_opens_for_steady_harm_and_stays_shut_for_bursts() {
    let open_after = |minutes: &mut dyn FnMut(u32) -> Stratum| {
        let mut guard = Guard::default();
        (0..60).find(|&minute| {
            guard.observe(&minutes(minute));
            guard.ln_e() >= 10_f64.ln()
        })
    };
    let mut random = Random::seeded(5);
    let steady = open_after(&mut |_| random.minute(3000.0, 0.1, 0.05, 0.01));
    assert!(steady.is_some_and(|minute| minute <= 5), "{steady:?}");
    // All of the canary's events in one minute of sixty: a likelihood is sure, the guard is not.
    let burst =
        |minute: u32| Stratum { n_c: 300.0, x_c: if minute == 30 { 60.0 } else { 2.0 }, n_b: 2700.0, x_b: 27.0 };
    assert_eq!(open_after(&mut { burst }), None);
}

/// The interval contains the truth at every one of 60 looks in at least 95 % of worlds.
#[test]
fn the_ratio_interval_covers_the_truth_at_all_looks() {
    let mut random = Random::seeded(6);
    let mut missed = 0;
    for _ in 0..150 {
        let mut strata = Vec::new();
        let covered = (0..60).all(|minute| {
            let share = if minute < 30 { 0.1 } else { 0.5 };
            strata.push(random.minute(3000.0, share, 0.012, 0.004));
            rate_ratio(&strata, 0.05).is_none_or(|ratio| (ratio.lower..=ratio.upper).contains(&3.0))
        });
        missed += u32::from(!covered);
        let last = rate_ratio(&strata, 0.05).unwrap();
        assert!(last.lower <= last.estimate && last.estimate <= last.upper);
        assert!(!covered || last.lower > 1.5 && last.upper < 6.0, "narrow after an hour: {last:?}");
    }
    assert!(missed <= 7, "{missed} of 150");
}

#[test]
fn one_sided_events_bound_the_ratio_from_one_side_only() {
    let only_canary = [Stratum { n_c: 100.0, x_c: 30.0, n_b: 1000.0, x_b: 0.0 }];
    let ratio = rate_ratio(&only_canary, 0.01).unwrap();
    assert!(ratio.estimate.is_infinite() && ratio.upper.is_infinite() && ratio.lower > 10.0, "{ratio:?}");
    let only_baseline = [Stratum { n_c: 1000.0, x_c: 0.0, n_b: 1000.0, x_b: 30.0 }];
    let ratio = rate_ratio(&only_baseline, 0.01).unwrap();
    assert!(ratio.estimate == 0.0 && ratio.lower == 0.0 && ratio.upper < 0.7, "{ratio:?}");
    assert_eq!(rate_ratio(&[Stratum { n_c: 10.0, x_c: 0.0, n_b: 10.0, x_b: 0.0 }], 0.01), None);
}

/// With no events at all the proof needs about ln(20) / points requests, the rule of three.
#[test]
fn the_bound_matches_the_rule_of_three() {
    let none = Rates { baseline: 0.0, canary: 0.0 };
    let bound = proof_bound(none, Margin::new(1.0, 0.005), 0.05, 0.05);
    assert!((bound / 598.0 - 1.0).abs() < 0.01, "{bound}");
    let too_bad = Rates { baseline: 0.5, canary: 0.52 };
    assert!(proof_bound(too_bad, Margin::new(1.0, 0.02), 0.5, 0.05).is_infinite());
}

#[test]
fn what_is_no_guess_proves_nothing() {
    let minute = Stratum { n_c: 1000.0, x_c: 0.0, n_b: 1000.0, x_b: 10.0 };
    let margin = Margin::new(1.0, 0.01);
    for bad in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1.0, 2.0] {
        for guess in [Rates { baseline: bad, canary: 0.01 }, Rates { baseline: 0.01, canary: bad }] {
            assert!(margin.ln_e(&minute, [guess])[0].abs() < f64::EPSILON, "{guess:?}");
        }
        assert!(
            PredictedShare::new(bad, 1.0, RecentRate::from(bad, 1.0))
                .share()
                .is_none_or(|share| (0.0..1.0).contains(&share))
        );
    }
    for (factor, points) in [(f64::NAN, f64::NAN), (-1.0, -1.0), (1.0, 0.0), (0.0, f64::INFINITY)] {
        let guess = Rates { baseline: 0.01, canary: 0.01 };
        assert!(Margin::new(factor, points).ln_e(&minute, [guess])[0].is_finite());
    }
    assert_eq!(PredictedShare::unknown().share(), None);
}

/// Counts as hostile as the judge lets through: nothing, fractions, everything fails, a billion requests.
fn any_minute() -> impl Strategy<Value = Stratum> {
    let requests = prop_oneof![Just(0.0), Just(1.0), Just(1e9), Just(1e12), 0.0..5.0_f64, 0.0..1e5_f64];
    let share = prop_oneof![Just(0.0), Just(1.0), 0.0..=1.0_f64, 0.0..=0.01_f64];
    (requests.clone(), share.clone(), requests, share).prop_map(|(n_c, p_c, n_b, p_b)| Stratum {
        n_c,
        x_c: n_c * p_c,
        n_b,
        x_b: n_b * p_b,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_counts_make_nonsense(minutes in prop::collection::vec(any_minute(), 1..40), horizon in 0..50_u32) {
        let mut harm = HarmProcess::new(HarmNull::NO_WORSE, Begins::evenly(horizon));
        let mut catastrophe = HarmProcess::new(HarmNull::NO_CATASTROPHE, Begins::evenly(horizon));
        let mut promotion = NonInferiority::new(Margin::new(1.5, 0.01));
        let mut predicted = PredictedShare::unknown();
        let mut guard = Guard::default();
        for minute in &minutes {
            harm.observe(minute);
            catastrophe.observe(minute);
            if let Some(share) = predicted.share() {
                prop_assert!((0.0..=1.0).contains(&share), "{share}");
                promotion.observe(minute, Rates { baseline: share, canary: share }, 1.0);
            }
            predicted.observe(minute.n_b, minute.x_b);
            guard.observe(minute);
            for ln_e in [harm.ln_e(), catastrophe.ln_e(), promotion.ln_e(), guard.ln_e()] {
                prop_assert!(ln_e.is_finite(), "{ln_e}");
            }
        }
        if let Some(ratio) = rate_ratio(&minutes, 0.01) {
            prop_assert!(ratio.lower >= 0.0 && ratio.lower <= ratio.upper && !ratio.estimate.is_nan(), "{ratio:?}");
        }
    }

    /// More events of the canary never lower the evidence for harm, and never raise the evidence for promotion; a
    /// whole minute of them neither.
    #[test]
    fn evidence_is_monotone_in_the_canarys_events(
        minutes in prop::collection::vec(any_minute(), 1..20),
        which in any::<prop::sample::Index>(),
        more in 0.0..=1.0_f64,
    ) {
        let mut worse = minutes.clone();
        let changed = &mut worse[which.index(minutes.len())];
        changed.x_c += more * (changed.n_c - changed.x_c);
        let run = |minutes: &[Stratum]| {
            let mut harm = HarmProcess::new(HarmNull::NO_WORSE, Begins::evenly(30));
            let mut promotion = NonInferiority::new(Margin::new(1.0, 0.005));
            for minute in minutes {
                harm.observe(minute);
                promotion.observe(minute, Rates { baseline: 0.01, canary: 0.01 }, 1.0);
            }
            (harm.ln_e(), promotion.ln_e())
        };
        let (before, after) = (run(&minutes), run(&worse));
        let slack = |value: f64| 1e-9 * value.abs().max(1.0);
        prop_assert!(after.0 >= before.0 - slack(before.0), "harm {before:?} {after:?}");
        prop_assert!(after.1 <= before.1 + slack(before.1), "promotion {before:?} {after:?}");
    }

    /// Only shares and ratios matter to the guard's sign: with fewer events than its share the canary never opens it.
    #[test]
    fn a_better_canary_never_opens_the_guard(shares in prop::collection::vec((0.01..0.99_f64, 0.0..1.0_f64), 2..60)) {
        let mut guard = Guard::default();
        for (share, fewer) in shares {
            let (n_c, n_b) = (1000.0 * share, 1000.0 * (1.0 - share));
            guard.observe(&Stratum { n_c, x_c: 20.0 * share * fewer, n_b, x_b: 20.0 * (1.0 - share) });
        }
        prop_assert!(guard.ln_e() <= 1e-9, "{}", guard.ln_e());
    }
}
