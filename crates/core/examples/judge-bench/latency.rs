//! Made-up durations: requests of both versions by bin, minute by minute, and the plan that fits them.

use coalmine_core::analysis::stats::Stratum;
use coalmine_core::analysis::{
    Bins, Count, History, HistoryMinute, JudgePlan, Measure, Measured, Pair, choose_edges, edge_quantiles, learn,
    stretched,
};
use coalmine_core::sim::rng::Rng;
use coalmine_core::units::Minute;

use crate::chance::{binomial, gamma_of_mean_one, normal, normal_tail};
use crate::subject::START;
use crate::world::{Past, Player, Rollout, Weights};

/// How long requests take: lognormal, and a share of them so many times as long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Law {
    pub median: f64,
    pub sigma: f64,
    pub slow_share: f64,
    pub slow_factor: f64,
}

/// 100 ms in the middle, 404 ms at p99.
pub const NORMAL: Law = Law { median: 100.0, sigma: 0.6, slow_share: 0.0, slow_factor: 1.0 };

impl Law {
    /// The share above `edge` when everything takes `e^shift` times as long.
    pub fn above(&self, edge: f64, shift: f64) -> f64 {
        let z = ((edge / self.median).ln() - shift) / self.sigma;
        let usual = normal_tail(z);
        if self.slow_share <= 0.0 {
            return usual;
        }
        let slow = normal_tail(z - self.slow_factor.ln() / self.sigma);
        (1.0 - self.slow_share) * usual + self.slow_share * slow
    }

    /// The duration that this share of the requests stays below.
    pub fn quantile(&self, share: f64, shift: f64) -> f64 {
        let (mut low, mut high) = (1e-6 * self.median, 1e6 * self.median);
        for _ in 0..60 {
            let middle = (low * high).sqrt();
            if 1.0 - self.above(middle, shift) < share { low = middle } else { high = middle }
        }
        (low * high).sqrt()
    }
}

/// The law, slower by a factor on everything, of which this share lies above `edge`.
pub fn slower_until(law: &Law, edge: f64, share: f64) -> Law {
    let (mut low, mut high) = (1.0, 10.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        let slower = Law { median: law.median * middle, ..*law };
        if slower.above(edge, 0.0) < share { low = middle } else { high = middle }
    }
    Law { median: law.median * low, ..*law }
}

/// The law with so large a part that takes `factor` times as long that this share lies above `edge`.
pub fn slow_path_until(law: &Law, edge: f64, share: f64, factor: f64) -> Law {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        let slower = Law { slow_share: middle, slow_factor: factor, ..*law };
        if slower.above(edge, 0.0) < share { low = middle } else { high = middle }
    }
    Law { slow_share: low, slow_factor: factor, ..*law }
}

/// What no test with 1 % false rollbacks can do without, in canary requests: ln 100 over the Jensen-Shannon divergence of
/// the two laws, seen finely.
pub fn latency_bound(old: &Law, new: &Law, weight: f64) -> f64 {
    const CELLS: u32 = 4000;
    let edge = |cell: u32| old.median * (-6.0 + 14.0 * f64::from(cell) / f64::from(CELLS)).exp();
    let term = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    let mut nats = 0.0;
    let (mut above_old, mut above_new) = (1.0, 1.0);
    for cell in 0..=CELLS {
        let (next_old, next_new) =
            if cell < CELLS { (old.above(edge(cell), 0.0), new.above(edge(cell), 0.0)) } else { (0.0, 0.0) };
        let (b, c) = (above_old - next_old, above_new - next_new);
        let mixed = weight * c + (1.0 - weight) * b;
        if mixed > 0.0 {
            nats += term(c, mixed) + (1.0 - weight) / weight * term(b, mixed);
        }
        (above_old, above_new) = (next_old, next_new);
    }
    100_f64.ln() / nats
}

/// A factor on all durations of one version in one minute: how far it scatters, on the logarithmic scale, and how much of
/// a minute's deviation is still there in the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wobble {
    pub spread: f64,
    pub memory: f64,
}

pub const STEADY: Wobble = Wobble { spread: 0.0, memory: 0.0 };

#[derive(Debug, Clone, Copy)]
struct Arm {
    wobble: Wobble,
    z: Option<f64>,
}

impl Arm {
    fn shift(&mut self, rng: &mut Rng) -> f64 {
        let Wobble { spread, memory } = self.wobble;
        if spread <= 0.0 {
            return 0.0;
        }
        let fresh = normal(rng);
        let z = self.z.map_or(fresh, |z| memory * z + (1.0 - memory * memory).sqrt() * fresh);
        self.z = Some(z);
        spread * z
    }
}

/// Requests, failures and durations of a rollout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Service {
    pub traffic: Rollout,
    pub old: Law,
    pub new: Law,
    pub baseline: Wobble,
    pub canary: Wobble,
    /// How much slower everything gets over an hour, as a share.
    pub slower_per_hour: f64,
}

impl Service {
    /// Both versions alike, without failures.
    pub fn healthy(per_second: f64, weights: Weights) -> Self {
        Self {
            traffic: Rollout::harmless(per_second, 0.0, weights),
            old: NORMAL,
            new: NORMAL,
            baseline: STEADY,
            canary: STEADY,
            slower_per_hour: 0.0,
        }
    }

    pub fn wobbling(self, wobble: Wobble) -> Self {
        Self { baseline: wobble, canary: wobble, ..self }
    }

    /// Minute by minute, counted at the plan's edges.
    pub fn play<'r>(&self, plan: &JudgePlan, rng: &'r mut Rng, traffic: &'r mut Rng) -> Show<'r> {
        let (edges, higher) = edges_of(plan);
        let arm = |wobble| Arm { wobble, z: None };
        Show {
            service: *self,
            measures: plan.checks.iter().map(|check| check.measure).collect(),
            edges,
            higher,
            player: self.traffic.play(traffic),
            rng,
            minute: 0.0,
            baseline: arm(self.baseline),
            canary: arm(self.canary),
        }
    }

    /// The plan with the edges that fit the old version, and with what its past says.
    pub fn prepared(&self, plan: &JudgePlan, past: Option<&Past>, rng: &mut Rng) -> JudgePlan {
        let mut plan = with_edges(plan, |share| self.old.quantile(share, 0.0));
        let Some(past) = past else { return plan };
        let (edges, _) = edges_of(&plan);
        let counts = past.play(&self.traffic, rng);
        let mut arm = Arm { wobble: self.baseline, z: None };
        let first = START - i64::try_from(counts.len()).unwrap_or(0);
        let minutes = (first..).zip(&counts).map(|(minute, (requests, failures))| {
            let shift = arm.shift(rng);
            let measured = plan.checks.iter().map(|check| match check.measure {
                Measure::Distribution => bins(rng, &self.old, &edges, *requests, shift).map(Measured::Bins),
                Measure::Counts | Measure::Latency | Measure::Mean | Measure::Gauge => {
                    Count::new(*requests, *failures).map(Measured::Count)
                }
            });
            HistoryMinute { minute: Minute::from_index(minute), measured: measured.collect() }
        });
        let history = History { minutes: minutes.collect(), stretched: vec![None; plan.checks.len()] };
        plan = learn(&plan, &history);
        plan
    }
}

/// The traffic with durations as it goes on.
#[derive(Debug)]
pub struct Show<'r> {
    service: Service,
    measures: Vec<Measure>,
    edges: Vec<f64>,
    higher: Vec<f64>,
    player: Player<'r>,
    rng: &'r mut Rng,
    minute: f64,
    baseline: Arm,
    canary: Arm,
}

impl Show<'_> {
    /// The next minute at the setting's weight: a pair for each check, the weight, and the counts.
    pub fn next(&mut self) -> (Vec<Pair>, f64) {
        let (stratum, weight) = self.player.next();
        (self.pairs(&stratum), weight)
    }

    /// The next minute at this weight.
    pub fn next_at(&mut self, weight: f64) -> Vec<Pair> {
        let stratum = self.player.next_at(weight);
        self.pairs(&stratum)
    }

    fn pairs(&mut self, minute: &Stratum) -> Vec<Pair> {
        let drift = (1.0 + self.service.slower_per_hour * self.minute / 60.0).ln();
        self.minute += 1.0;
        let (old, new) = (drift + self.baseline.shift(self.rng), drift + self.canary.shift(self.rng));
        let Self { service, measures, edges, higher, rng, .. } = self;
        let pairs = measures.iter().map(|measure| match measure {
            Measure::Distribution => Pair {
                baseline: bins(rng, &service.old, edges, minute.n_b, old).map(Measured::Bins),
                canary: bins(rng, &service.new, higher, minute.n_c, new).map(Measured::Bins),
            },
            Measure::Counts | Measure::Latency | Measure::Mean | Measure::Gauge => {
                Pair::of(Count::new(minute.n_b, minute.x_b), Count::new(minute.n_c, minute.x_c))
            }
        });
        pairs.collect()
    }
}

/// The edges of the plan's distribution, and the stretched ones; none where it has no distribution.
pub fn edges_of(plan: &JudgePlan) -> (Vec<f64>, Vec<f64>) {
    let distribution = plan.checks.iter().find_map(|check| check.distribution.as_ref());
    distribution.map_or_else(Default::default, |it| (it.edges.clone(), stretched(&it.edges, it.stretch)))
}

/// Edges from quantiles, as they are chosen before a rollout.
pub fn with_edges(plan: &JudgePlan, quantile: impl Fn(f64) -> f64) -> JudgePlan {
    let mut chosen = plan.clone();
    for (index, check) in plan.checks.iter().enumerate().filter(|(_, check)| check.distribution.is_some()) {
        let quantiles: Vec<(f64, f64)> = edge_quantiles(check).iter().map(|share| (*share, quantile(*share))).collect();
        chosen = choose_edges(&chosen, index, &quantiles);
    }
    chosen
}

/// So many requests by bin.
pub fn bins(rng: &mut Rng, law: &Law, edges: &[f64], requests: f64, shift: f64) -> Option<Bins> {
    let (mut left, mut above) = (requests, 1.0);
    let mut counts = Vec::with_capacity(edges.len() + 1);
    for edge in edges {
        let next = law.above(*edge, shift);
        let share = if above > 0.0 { ((above - next) / above).clamp(0.0, 1.0) } else { 0.0 };
        let inside = binomial(rng, left, share);
        counts.push(inside);
        left -= inside;
        above = next;
    }
    counts.push(left);
    Bins::new(counts)
}

/// The minute's p50 and p99 of so many requests, as CloudWatch would show them; `None` without requests.
pub fn percentiles(rng: &mut Rng, law: &Law, requests: f64, shift: f64) -> Option<(f64, f64)> {
    if requests < 1.0 {
        return None;
    }
    // Order statistics of uniform draws are ratios of sums of exponential ones.
    let (half, most) = ((requests * 0.5).ceil(), (requests * 0.99).ceil());
    let mut sum = |terms: f64| if terms > 0.0 { terms * gamma_of_mean_one(rng, terms) } else { 0.0 };
    let (first, second, third) = (sum(half), sum(most - half), sum(requests + 1.0 - most));
    let all = first + second + third;
    Some((law.quantile(first / all, shift), law.quantile((first + second) / all, shift)))
}

/// A wobbling version's percentiles, for the rules that look at those.
#[derive(Debug)]
pub struct Percentiles {
    arm: Arm,
}

impl Percentiles {
    pub fn new(wobble: Wobble) -> Self {
        Self { arm: Arm { wobble, z: None } }
    }

    pub fn next(&mut self, rng: &mut Rng, law: &Law, requests: f64, drift: f64) -> Option<(f64, f64)> {
        let shift = drift + self.arm.shift(rng);
        percentiles(rng, law, requests, shift)
    }
}
