//! Requests by how large something was, usually how long they took.
//!
//! Nothing here knows what the numbers are of: the bins of both versions are compared, the canary's at stretched edges.
//!
//! There is no lane for catastrophes. One minute in which most requests are slow is what a pause of one host looks like
//! when the canary has few environments, so harm takes two minutes here; what times out is an error, and seen as that.

use super::excess::Risk;
use super::harm::{Bet, Evident, Lane, Lanes, Second, Weighing, guard_bar};
use super::proof::{Exposure, Worth};
use super::thresholds::{Quantile, Threshold, edge_for};
use super::warming::Warming;
use super::{Asked, Harm, Look, Newest, Prospect, Reading, StepMinutes, Warmth};
use crate::analysis::bars::Bars;
use crate::analysis::edges::{logit, rebinned, stretched};
use crate::analysis::stats::{
    Dictionary, Dispersion, Guard, Pairing, RatioInterval, Reference, Scored, Stratum, ln_mean_exp, rate_ratio,
    request_contrast,
};
use crate::analysis::{
    Bins, Count, DistributionHistory, Interval, JudgePlan, Pair, PlannedCheck, PlannedDistribution, Slower, WarmUp,
};
use crate::units::{Minute, Weight, plain_number};

/// Requests of the baseline that must be known before thresholds are chosen by them, unless so many minutes have
/// brought fewer: a tail cannot be told from less.
const REQUESTS_TO_CHOOSE: f64 = 200.0;
const MINUTES_TO_CHOOSE: u32 = 5;

/// What the past counts for beside the newest minutes when thresholds are chosen.
const REQUESTS_OF_PAST: f64 = 10_000.0;

/// Places among the dictionary's thresholds: the t-test over minutes looks at the tail, and the canary's own scatter
/// counts at all three.
const P50: usize = 0;
const P95: usize = 3;
const P99: usize = 4;

/// Where harm was proven of a canary that may only be cold, nothing is proven fine until so many times as many of its
/// requests came after. Fewer do not tell a release that is warm now from one that has yet to be found out once more.
const REQUESTS_TO_CLEAR: f64 = 2.0;

/// Standard deviations of chance from which on a threshold tells more than the one that was asked for.
const TELLING: f64 = 2.5;

/// The evidence of a check on a distribution.
#[derive(Debug)]
pub struct DistributionCourse {
    planned: PlannedDistribution,
    history: Option<DistributionHistory>,
    independent: bool,
    /// The largest weight, where the judge chooses the weights.
    auto: Option<Weight>,
    asked: Asked,
    /// What is expected of the baseline's next minute, and how many minutes of this rollout taught it.
    reference: Reference,
    taught: u32,
    /// `None` until enough is known of the baseline to choose it.
    compared: Option<Compared>,
    lanes: Lanes,
    again: Option<Again>,
    fresh: Lanes,
    weighing: Option<Weighing>,
    step: StepMinutes,
    newest: Newest,
    exposure: Exposure,
    warming: Warming,
    /// Requests of the canary that were compared.
    judged: f64,
}

/// Harm was proven of a canary that may only be cold: the evidence of later requests.
#[derive(Debug)]
struct Again {
    lanes: Lanes,
    /// Requests of the canary by which it was proven first.
    requests: f64,
}

/// What the two versions are compared by.
#[derive(Debug)]
struct Compared {
    dictionary: Dictionary,
    /// Those of the dictionary and those of the quantiles, each once.
    thresholds: Vec<Threshold>,
    ranks: Option<Dispersion>,
    quantiles: Vec<Quantile>,
    /// Of the rank sum, of what exceeds p95, and of what exceeds p99.
    guards: [Guard; 3],
}

impl DistributionCourse {
    pub fn new(plan: &JudgePlan, check: &PlannedCheck, asked: Asked) -> Option<Self> {
        let planned = check.distribution.clone()?;
        let bins = planned.edges.len() + 1;
        let learned = check.learned.as_ref().and_then(|learned| learned.distribution.as_ref());
        let history = learned.filter(|history| history.fits(bins)).cloned();
        let weighing = history.as_ref().and_then(|_| Weighing::of(plan, check));
        let known = history.as_ref().map(|history| history.recent.clone());
        let bars = Bars::of(plan, check);
        let lanes = |bars: Bars, bar: f64| Lanes::new(plan, bars, Dictionary::BETS, weighing, bar);
        let mut course = Self {
            independent: plan.independent,
            auto: plan.auto.map(|auto| auto.largest),
            asked,
            reference: Reference::starting_from(known.unwrap_or_else(|| vec![0.0; bins])),
            taught: 0,
            compared: None,
            lanes: lanes(bars, guard_bar(None)),
            again: None,
            fresh: lanes(bars.again(), guard_bar(None)),
            weighing,
            step: StepMinutes::default(),
            newest: Newest::default(),
            exposure: Exposure::default(),
            warming: Warming::default(),
            judged: 0.0,
            planned,
            history,
        };
        course.choose();
        if let Some(compared) = course.compared.as_ref().filter(|_| weighing.is_some()) {
            let bar = compared.watched().map(|past| guard_bar(past.as_ref())).fold(0.0, f64::max);
            (course.lanes, course.fresh) = (lanes(bars, bar), lanes(bars.again(), bar));
        }
        Some(course)
    }

    pub fn bars(&self) -> &Bars {
        self.lanes.bars()
    }

    /// Harm of a canary that may only be cold is proven once it is proven again, by later requests.
    fn harm(&self) -> Harm {
        let first = self.lanes.harm(|| self.compared.as_ref().map_or(Second::NOTHING, Compared::second));
        Harm { proven: self.proven(), now: self.harm_now(), ..first }
    }

    fn proven(&self) -> Option<(Minute, Lane)> {
        self.again.as_ref().map_or(&self.lanes, |again| &again.lanes).proven()
    }

    pub fn proven_worse(&self) -> Option<Minute> {
        self.proven().map(|(minute, _)| minute)
    }

    pub fn harm_now(&self) -> f64 {
        if self.is_suspended() { self.lanes.most() } else { self.lanes.now() }
    }

    /// Whether harm that was proven once may still be proven again.
    fn is_suspended(&self) -> bool {
        let later = |again: &Again| self.judged - again.requests;
        self.again.as_ref().is_some_and(|again| later(again) < REQUESTS_TO_CLEAR * again.requests)
    }

    /// Of the quantile that allows the least. Before there is something to compare, nothing is proven.
    pub fn risk(&self) -> Option<Risk> {
        self.auto?;
        let nats = self.bars().promotion;
        let quantiles = self.compared.as_ref().map(|compared| compared.quantiles.as_slice()).unwrap_or_default();
        let risks = quantiles.iter().filter_map(|quantile| quantile.risk(nats));
        let least = risks.min_by(|a, b| (a.tolerated / a.excess).total_cmp(&(b.tolerated / b.excess)));
        Some(least.unwrap_or(Risk::UNKNOWN))
    }

    pub fn see(&mut self, look: Look, pair: &Pair) {
        if look.raised {
            self.step = StepMinutes::default();
            self.exposure = Exposure::default();
            self.warming = Warming::default();
            self.lanes.raise();
            self.again.iter_mut().for_each(|again| again.lanes.raise());
        }
        let warm = self.warming.is_over(self.planned.warm_up);
        let [baseline, canary] = self.bins(pair);
        let both = self.note(&look, baseline, canary);
        // The warm-up counts as time at this weight; nothing is proven of it.
        self.step.settled += usize::from(both.is_some() && look.in_step && look.settled);
        let minute = both.filter(|_| warm);
        if let Some(compared) = &mut self.compared {
            compared.prove(&look, minute.as_ref());
            if let Some(minute) = minute {
                let all = minute.above(0);
                self.exposure.add(&all);
                self.judged += all.n_c;
                let bets = compared.weigh(&minute, &self.reference, self.weighing.map(|weighing| weighing.z));
                let evident = Evident { minute: look.minute, bets: &bets, catastrophe: 0.0 };
                let was_proven = self.lanes.proven().is_some();
                self.lanes.observe(&evident, || compared.second());
                if let Some(again) = &mut self.again {
                    again.lanes.observe(&evident, || compared.second());
                } else if !was_proven && self.lanes.proven().is_some() && self.is_cold(look.weight) {
                    self.again = Some(Again { lanes: self.fresh.clone(), requests: self.judged });
                }
            }
        }
        if let Some(baseline) = baseline {
            self.teach(baseline);
        }
        self.warming.pass(!look.mixed, canary.map_or(0.0, Bins::requests));
    }

    fn is_cold(&self, weight: Weight) -> bool {
        self.planned.warm_up != WarmUp::default() && self.warming.is_cold(weight)
    }

    /// Both versions' bins, as far as they are there and are as many as there should be; the baseline's first.
    fn bins<'p>(&self, pair: &'p Pair) -> [Option<&'p Bins>; 2] {
        let bins = self.planned.edges.len() + 1;
        [&pair.baseline, &pair.canary].map(|measured| {
            let found = measured.as_ref()?.bins()?;
            (bins > 1 && found.counts.len() == bins).then_some(found)
        })
    }

    /// Books what is known of a minute; what there is to compare if both versions served requests in it.
    fn note<'p>(&mut self, look: &Look, baseline: Option<&'p Bins>, canary: Option<&'p Bins>) -> Option<Pairing<'p>> {
        let (baseline, canary) = self.newest.book(look, &mut self.step, baseline, canary)?;
        Pairing::new(&canary.counts, &baseline.counts)
    }

    /// Takes the baseline's newest minute in, after all else has seen it.
    fn teach(&mut self, baseline: &Bins) {
        self.reference.observe(&baseline.counts);
        self.taught += 1;
        match &mut self.compared {
            Some(compared) => compared.teach(&baseline.counts),
            None => self.choose(),
        }
    }

    /// Chooses what is compared, once enough is known. Until then nothing is bet and nothing proven.
    fn choose(&mut self) {
        let known = self.known();
        let enough = known.requests() >= REQUESTS_TO_CHOOSE || self.taught >= MINUTES_TO_CHOOSE;
        let Some(dictionary) = Dictionary::choose(&known).filter(|_| enough) else { return };
        let history = self.history.as_ref();
        let edges = &self.planned.edges;
        let shares: Vec<f64> = (0..edges.len()).map(|edge| known.share_above(edge)).collect();
        let shifts = self.shifts();
        let quantile = |at| {
            let edge = edge_for(at, edges, &shares);
            let past = edge.and_then(|edge| Some(history?.above(edge)));
            let worth = match past {
                _ if self.independent => Worth::Independent,
                Some(past) => Worth::Requests(past.dispersion),
                None => Worth::Unknown,
            };
            let shift = edge.and_then(|edge| shifts.get(edge).copied()).unwrap_or(0.0);
            Quantile::new(at, edge, shift, past.as_ref(), worth, self.asked, self.auto)
        };
        let quantiles: Vec<Quantile> = self.planned.at.iter().map(quantile).collect();
        let mut watched: Vec<usize> = quantiles.iter().filter_map(|quantile| quantile.edge).collect();
        watched.extend(dictionary.thresholds());
        watched.sort_unstable();
        watched.dedup();
        self.compared = Some(Compared {
            dictionary,
            thresholds: watched.into_iter().map(|edge| Threshold::new(edge, history)).collect(),
            ranks: history.map(|history| history.ranks),
            quantiles,
            guards: Default::default(),
        });
    }

    /// The newest minutes together with the whole past, which tells more of the tail and counts for so many requests at
    /// most.
    fn known(&self) -> Reference {
        let past = self.history.as_ref().map(|history| history.counts.as_slice()).unwrap_or_default();
        let requests: f64 = past.iter().sum();
        let weight = if requests > REQUESTS_OF_PAST { REQUESTS_OF_PAST / requests } else { 1.0 };
        let past = past.iter().copied().chain(std::iter::repeat(0.0));
        Reference::starting_from(self.reference.bins().iter().zip(past).map(|(new, old)| new + weight * old).collect())
    }

    /// For each edge, by how much a healthy canary's ln odds above the stretched edge differ from those above the edge.
    fn shifts(&self) -> Vec<f64> {
        let edges = &self.planned.edges;
        let known = self.history.as_ref().map(|history| (history.counts.clone(), history.stretched.clone()));
        let (plain, stretched) = known.unwrap_or_else(|| {
            let plain = self.reference.bins().to_vec();
            let higher = rebinned(&plain, edges, &stretched(edges, self.planned.stretch));
            (plain.clone(), higher.unwrap_or(plain))
        });
        let [plain, stretched] = [plain, stretched].map(Reference::starting_from);
        let odds = |reference: &Reference, edge: usize| logit(reference.share_above(edge));
        (0..edges.len()).map(|edge| odds(&stretched, edge) - odds(&plain, edge)).collect()
    }

    pub fn promotion(&self, step: usize) -> (f64, StepMinutes) {
        let proven = self.compared.as_ref().map_or(0.0, |compared| compared.ln_e(step));
        (if self.is_suspended() { proven.min(0.0) } else { proven }, self.step)
    }

    pub fn reading(&self, step: usize, alpha: f64) -> Reading {
        let (promotion, _) = self.promotion(step);
        let compared = self.compared.as_ref();
        let telling = compared.and_then(Compared::telling);
        let strata = telling.map(|threshold| threshold.strata.as_slice()).unwrap_or_default();
        let count = |of: &dyn Fn(&Stratum) -> (f64, f64)| {
            strata.iter().map(of).fold(Count::default(), |sum, (requests, events)| Count {
                requests: sum.requests + requests,
                events: sum.events + events,
            })
        };
        Reading {
            canary: count(&|stratum| (stratum.n_c, stratum.x_c)),
            baseline: count(&|stratum| (stratum.n_b, stratum.x_b)),
            events_over_tolerance: compared.map_or(0.0, |compared| compared.over_tolerance(step)),
            harm: self.harm(),
            promotion,
            requests_missing: self.requests_missing(step, self.bars().promotion - promotion),
            prospect: Prospect::Fine,
            step: self.step,
            newest: self.newest,
            ratio: compared.and_then(|compared| compared.ratio(telling?, alpha)),
            slower: telling.map(|threshold| self.slower(threshold.edge)),
            blind: compared.and_then(|compared| compared.blind(&self.planned)),
            warmth: self.warmth(),
        }
    }

    fn warmth(&self) -> Warmth {
        if self.is_suspended() && self.proven().is_none() {
            Warmth::Cold
        } else if self.warming.is_over(self.planned.warm_up) {
            Warmth::Warm
        } else {
            Warmth::WarmingUp { served: self.warming.requests(), needed: self.planned.warm_up.requests }
        }
    }

    fn slower(&self, edge: usize) -> Slower {
        let above = self.planned.edges.get(edge).copied().unwrap_or_default();
        let names: Vec<String> = self.planned.at.iter().map(|at| name_of(at.quantile)).collect();
        Slower {
            above,
            canary_above: above * (1.0 + self.planned.stretch),
            unit: self.planned.unit.clone(),
            quantiles: names.join(" and "),
        }
    }

    /// What the slowest of the quantiles needs; `None` if one can never be proven.
    fn requests_missing(&self, step: usize, nats: f64) -> Option<f64> {
        if nats <= 0.0 {
            return Some(0.0);
        }
        let target = self.bars().promotion;
        let missing =
            |quantile: &Quantile| quantile.requests_missing(step, target - quantile.ln_e(step), &self.exposure);
        let quantiles = &self.compared.as_ref()?.quantiles;
        quantiles.iter().try_fold(0.0_f64, |most, quantile| Some(most.max(missing(quantile)?)))
    }
}

impl Compared {
    fn threshold(&self, edge: usize) -> Option<&Threshold> {
        self.thresholds.iter().find(|threshold| threshold.edge == edge)
    }

    /// One of the dictionary's thresholds, by its place.
    fn at_place(&self, place: usize) -> Option<&Threshold> {
        self.threshold(*self.dictionary.thresholds().get(place)?)
    }

    /// The past of what the t-test over minutes rests on, and of the middle.
    fn watched(&self) -> impl Iterator<Item = Option<Dispersion>> {
        let places = [P50, P95, P99].map(|place| self.at_place(place).and_then(|threshold| threshold.dispersion));
        places.into_iter().chain([self.ranks])
    }

    /// Evidence for promotion. `minute` is `None` when it compares nothing, or comes too early.
    fn prove(&mut self, look: &Look, minute: Option<&Pairing<'_>>) {
        for quantile in &mut self.quantiles {
            let stratum = quantile.edge.and_then(|edge| Some(minute?.above(edge)));
            quantile.see(look, stratum.as_ref());
        }
    }

    /// Evidence for harm. The bets know the past minutes only; `z` is how careful the history is read, if there is one.
    fn weigh(&mut self, minute: &Pairing<'_>, reference: &Reference, z: Option<f64>) -> [Bet; Dictionary::BETS] {
        for threshold in &mut self.thresholds {
            threshold.observe(minute.above(threshold.edge), z);
        }
        let [ranks, p95, p99] = &mut self.guards;
        if let Some(score) = minute.rank_score() {
            ranks.add(score);
        }
        for (guard, place) in [(p95, P95), (p99, P99)] {
            if let Some(edge) = self.dictionary.thresholds().get(place) {
                guard.observe(&minute.above(*edge));
            }
        }
        let contrast = request_contrast(&minute.above(0));
        let of_ranks = self.ranks.zip(z).map_or(1.0, |(ranks, z)| ranks.of_contrast(contrast, z));
        let mut bets = self.dictionary.ln_e(minute, reference).map(|ln_e| Bet { ln_e, dispersion: of_ranks });
        for (bet, scored) in bets.iter_mut().zip(self.dictionary.scored()).filter(|_| z.is_some()) {
            if let Scored::Above(edge) = scored {
                bet.dispersion = self.threshold(edge).map_or(1.0, |threshold| threshold.worth);
            }
        }
        bets
    }

    /// What else the minutes so far say.
    fn second(&self) -> Second {
        let watched = [P50, P95, P99].into_iter().filter_map(|place| self.at_place(place));
        let excess = watched.map(|threshold| threshold.scatter.dispersion() / threshold.worth);
        Second {
            guard: ln_mean_exp(&self.guards.each_ref().map(Guard::ln_e)),
            dispersion: self.telling().map_or(1.0, |threshold| threshold.worth),
            excess: excess.fold(1.0, f64::max),
        }
    }

    fn teach(&mut self, baseline: &[f64]) {
        let requests: f64 = baseline.iter().sum();
        for quantile in &mut self.quantiles {
            let above = quantile.edge.map_or(0.0, |edge| baseline.iter().skip(edge + 1).sum());
            quantile.teach(requests, above);
        }
    }

    /// Every quantile must be proven, so the least evidence counts: none of them costs another anything.
    fn ln_e(&self, step: usize) -> f64 {
        self.quantiles.iter().map(|quantile| quantile.ln_e(step)).reduce(f64::min).unwrap_or(0.0)
    }

    /// The threshold above which the canary looks worst, if it does; else that of the last quantile that was asked for.
    fn telling(&self) -> Option<&Threshold> {
        let worst = self.thresholds.iter().max_by(|a, b| a.score().total_cmp(&b.score()))?;
        let asked = || self.quantiles.iter().rev().find_map(|quantile| self.threshold(quantile.edge?));
        if worst.score() >= TELLING { Some(worst) } else { asked().or(Some(worst)) }
    }

    /// Canary requests above any quantile's edge beyond what its margin allows: the most of them.
    fn over_tolerance(&self, step: usize) -> f64 {
        let over = |quantile: &Quantile| {
            let strata = &self.threshold(quantile.edge?)?.strata;
            let margin = quantile.margin(step);
            Some(strata.iter().map(|s| s.x_c - s.n_c * (s.x_b / s.n_b + margin)).sum::<f64>())
        };
        self.quantiles.iter().filter_map(over).fold(f64::NEG_INFINITY, f64::max).max(f64::MIN)
    }

    /// How many times as frequent the canary's requests above a threshold are. The threshold was chosen by what is seen,
    /// so the interval is that of all of them together.
    fn ratio(&self, threshold: &Threshold, alpha: f64) -> Option<Interval> {
        #[allow(clippy::cast_precision_loss, reason = "there are a handful of thresholds")]
        let all = self.thresholds.len() as f64;
        let RatioInterval { estimate, lower, upper } = rate_ratio(&threshold.strata, alpha / all)?;
        Some(Interval { estimate, lower, upper })
    }

    fn blind(&self, planned: &PlannedDistribution) -> Option<String> {
        let blind = self.quantiles.iter().filter(|quantile| quantile.edge.is_none());
        let names: Vec<String> = blind.map(|quantile| name_of(quantile.quantile)).collect();
        if names.is_empty() {
            return None;
        }
        let highest = planned.edges.last().copied().unwrap_or_default();
        Some(format!(
            "{} cannot be told from these bins: no edge is near (the highest is {} {})",
            names.join(" and "),
            plain_number(highest),
            planned.unit
        ))
    }
}

/// `p99`.
fn name_of(quantile: f64) -> String {
    format!("p{}", plain_number(100.0 * quantile))
}
