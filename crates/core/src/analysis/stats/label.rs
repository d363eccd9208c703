//! Evidence from whole distributions: a bet on which version served each request, given how slow it was.

use std::f64::consts::LN_2;

use super::Stratum;
use super::many::{exp_all, ln_1p_all};

/// At the edges of which quantiles is bet, and how many times the baseline's odds of a request above them the canary's
/// are bet to be. The middle cannot become much worse without the tail showing it, so most bets are on the tail: there a
/// few requests decide, and the farther out, the more each of them is worth.
const BETS_ABOVE: [(f64, &[f64]); 8] = [
    (0.5, &[1.5, 3.0]),
    (0.75, &[1.5, 3.0]),
    (0.9, &[1.5, 4.0]),
    (0.95, &[2.0, 6.0]),
    (0.99, &[2.0, 6.0]),
    (0.995, &[4.0, 12.0]),
    (0.999, &[4.0, 12.0, 40.0]),
    (0.9997, &[8.0, 30.0, 100.0]),
];

/// How strongly the canary's requests are bet to rank higher, all over.
const TILTS: [f64; 3] = [0.3, 0.7, 1.5];

/// e to each of the tilts, from e to a tenth: a multiplication is a tenth of an exponential.
fn tilts_from_a_tenth(tenth: f64) -> [f64; TILTS.len()] {
    let third = tenth * tenth * tenth;
    let fourth = third * tenth;
    [third, third * fourth, third * (fourth * fourth) * fourth]
}

/// The quantiles of [`Dictionary::thresholds`].
pub const THRESHOLD_QUANTILES: [f64; BETS_ABOVE.len()] = {
    let mut quantiles = [0.0; BETS_ABOVE.len()];
    let mut place = 0;
    while place < BETS_ABOVE.len() {
        quantiles[place] = BETS_ABOVE[place].0;
        place += 1;
    }
    quantiles
};

/// Half-life of what is known of the baseline, in minutes.
const HALF_LIFE_MINUTES: f64 = 10.0;

/// Both versions' requests of one minute by bin.
///
/// The caller sees to it that both have the same number of bins and that all counts are finite, not negative, and below
/// about 1e12. Fractions are fine: an interpolated count is a request with a fixed part in either bin, and the
/// inequality that the bets rest on goes through term by term.
#[derive(Debug, Clone)]
pub struct Pairing<'a> {
    canary: &'a [f64],
    baseline: &'a [f64],
    /// Requests in each bin and those above it, the canary's first.
    from: Vec<[f64; 2]>,
    n_c: f64,
    n_b: f64,
}

impl<'a> Pairing<'a> {
    /// `None` when there is nothing to compare: a version without requests, or bins that do not match.
    #[must_use]
    pub fn new(canary: &'a [f64], baseline: &'a [f64]) -> Option<Self> {
        if canary.len() != baseline.len() {
            return None;
        }
        let mut from = vec![[0.0; 2]; canary.len()];
        let mut sums = [0.0; 2];
        for ((place, c), b) in from.iter_mut().zip(canary).zip(baseline).rev() {
            sums = [sums[0] + c, sums[1] + b];
            *place = sums;
        }
        let [n_c, n_b] = sums;
        (n_c > 0.0 && n_b > 0.0).then_some(Self { canary, baseline, from, n_c, n_b })
    }

    /// Requests above an edge as events.
    #[must_use]
    pub fn above(&self, edge: usize) -> Stratum {
        let [x_c, x_b] = self.from.get(edge + 1).copied().unwrap_or_default();
        Stratum { n_c: self.n_c, x_c, n_b: self.n_b, x_b }
    }

    /// The score of the rank sum: how far the canary's requests rank above the baseline's, in standard deviations of
    /// chance, ties included (Wilcoxon's statistic given the pooled bins). `None` when all requests are in one bin.
    #[must_use]
    pub fn rank_score(&self) -> Option<f64> {
        let n = self.n_c + self.n_b;
        // Mid-ranks, less half of all, which is what they are on average whatever the bins are.
        let (mut scatter, mut sum, mut below) = (0.0, 0.0, -0.5 * n);
        for (c, b) in self.canary.iter().zip(self.baseline) {
            let pooled = c + b;
            let rank = below + 0.5 * pooled;
            scatter += pooled * rank * rank;
            sum += c * rank;
            below += pooled;
        }
        let variance = self.n_c * self.n_b * scatter / (n * (n - 1.0));
        (n > 1.0 && variance > 0.0).then(|| sum / variance.sqrt())
    }

    /// ln e of one minute for bets on density ratios `r` of the bins, which are given with their logarithms, must not fall
    /// from bin to bin and must have been chosen before the minute. Leaves something else in their place.
    ///
    /// Given the pooled bins, each request was served by the canary with probability `rho = n_c / n` if both
    /// versions have the same distribution; the bet says `rho r / (1 - rho + rho r)` instead. For any common
    /// distribution, with A and B the means of one canary and one baseline factor, `rho A + (1 - rho) B = 1`, so the
    /// mean of e is `A^n_c B^n_b <= 1` (weighted arithmetic and geometric means; Turner, Ly and Grünwald,
    /// arXiv:2106.02693). Because r does not fall, a canary that is stochastically no slower only lowers it.
    pub(super) fn ln_e<const BETS: usize>(
        &self,
        ratios: &mut [[f64; BETS]],
        ln_r: impl Iterator<Item = [f64; BETS]>,
    ) -> [f64; BETS] {
        let rho = self.n_c / (self.n_c + self.n_b);
        ratios.as_flattened_mut().iter_mut().for_each(|r| *r = rho * (*r - 1.0));
        ln_1p_all(ratios.as_flattened_mut());
        let mut all = [0.0; BETS];
        for (((c, b), factors), ln_r) in self.canary.iter().zip(self.baseline).zip(ratios).zip(ln_r) {
            all = std::array::from_fn(|bet| all[bet] + (c * ln_r[bet] - (c + b) * factors[bet]));
        }
        all
    }

    /// The same for bets on the ranks of all requests.
    fn ln_e_of_ranks(&self, reference: &Reference) -> [f64; TILTS.len()] {
        let ranks: Vec<f64> = reference.mid_ranks().map(|rank| rank - 0.5).collect();
        let mut tenths: Vec<f64> = ranks.iter().map(|rank| 0.1 * rank).collect();
        exp_all(&mut tenths);
        let mut ratios: Vec<[f64; TILTS.len()]> = tenths.into_iter().map(tilts_from_a_tenth).collect();
        // Normalised so that the baseline gains nothing on average.
        let mut sums = [0.0; TILTS.len()];
        for (ratios, known) in ratios.iter().zip(reference.bins()) {
            sums = std::array::from_fn(|bet| sums[bet] + known * ratios[bet]);
        }
        let norms = sums.map(|sum| if sum > 0.0 { reference.requests() / sum } else { 1.0 });
        for ratios in &mut ratios {
            *ratios = std::array::from_fn(|bet| ratios[bet] * norms[bet]);
        }
        let ln_norms = norms.map(f64::ln);
        let ln_r = |rank: &f64| std::array::from_fn(|bet| TILTS[bet] * rank + ln_norms[bet]);
        self.ln_e(&mut ratios, ranks.iter().map(ln_r))
    }
}

/// What is expected of the baseline's bins: its past minutes, decayed.
#[derive(Debug, Clone)]
pub struct Reference {
    bins: Vec<f64>,
    /// Requests in each bin and those above it.
    from: Vec<f64>,
}

impl Reference {
    /// Starts from decayed bins of the past; from zeros if there is none.
    #[must_use]
    pub fn starting_from(bins: Vec<f64>) -> Self {
        let mut reference = Self { from: vec![0.0; bins.len()], bins };
        reference.sum();
        reference
    }

    /// The decayed sum of minutes in rising order, given with their number.
    #[must_use]
    pub fn of<'a>(bins: usize, minutes: impl Iterator<Item = (i64, &'a [f64])>) -> Self {
        let mut reference = Self::starting_from(vec![0.0; bins]);
        let mut last = None;
        for (minute, counts) in minutes {
            // A minute without data ages what is known all the same.
            let silent = last.map_or(0, |last: i64| minute.saturating_sub(last).saturating_sub(1));
            reference.age(silent);
            reference.observe(counts);
            last = Some(minute);
        }
        reference
    }

    /// Takes one more minute of the baseline in.
    pub fn observe(&mut self, baseline: &[f64]) {
        self.age(1);
        self.bins.iter_mut().zip(baseline).for_each(|(sum, count)| *sum += count);
        self.sum();
    }

    fn sum(&mut self) {
        let mut sum = 0.0;
        for (from, bin) in self.from.iter_mut().zip(&self.bins).rev() {
            sum += bin;
            *from = sum;
        }
    }

    fn age(&mut self, minutes: i64) {
        #[allow(clippy::cast_precision_loss, reason = "beyond 2^53 minutes nothing is left anyway")]
        let kept = (-LN_2 * minutes as f64 / HALF_LIFE_MINUTES).exp();
        self.bins.iter_mut().chain(&mut self.from).for_each(|sum| *sum *= kept);
    }

    #[must_use]
    pub fn bins(&self) -> &[f64] {
        &self.bins
    }

    /// Decayed requests.
    #[must_use]
    pub fn requests(&self) -> f64 {
        self.from.first().copied().unwrap_or_default()
    }

    /// For each bin the share of requests below it and half of those in it; one half everywhere without requests.
    fn mid_ranks(&self) -> impl Iterator<Item = f64> {
        let all = self.requests();
        let rank = move |(from, bin): (&f64, &f64)| if all > 0.0 { (all - from + 0.5 * bin) / all } else { 0.5 };
        self.from.iter().zip(&self.bins).map(rank)
    }

    /// The share of requests above an edge, a little shrunk, so that it is never 0 or 1.
    #[must_use]
    pub fn share_above(&self, edge: usize) -> f64 {
        let above = self.from.get(edge + 1).copied().unwrap_or_default();
        (above + 0.5) / (self.requests() + 1.0)
    }

    /// For each quantile the edge above which about that many requests lie, measured in odds. Empty without any edge
    /// or request.
    #[must_use]
    pub fn edges_at(&self, quantiles: &[f64]) -> Vec<usize> {
        if self.requests() <= 0.0 {
            return Vec::new();
        }
        let edges = 0..self.bins.len().saturating_sub(1);
        let shares: Vec<f64> = edges.map(|edge| logit(self.share_above(edge))).collect();
        let nearest = |quantile: f64| {
            let distance = |edge: &usize| (shares[*edge] - logit(1.0 - quantile)).abs();
            (0..shares.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)))
        };
        quantiles.iter().filter_map(|quantile| nearest(*quantile)).collect()
    }
}

fn logit(share: f64) -> f64 {
    (share / (1.0 - share)).ln()
}

/// What a bet looks at, and with it whose dispersion says what the bet is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scored {
    /// Requests above the edge with this number.
    Above(usize),
    /// The ranks of all requests.
    Ranks,
}

/// The bets that are made side by side: on each threshold, then on all ranks.
#[derive(Debug, Clone)]
pub struct Dictionary {
    thresholds: Vec<usize>,
    /// Logarithms of the odds that are bet on.
    ln_odds: [f64; Self::ABOVE],
}

impl Dictionary {
    /// How many bets there are.
    pub const BETS: usize = Self::ABOVE + TILTS.len();

    /// How many of them are on thresholds.
    const ABOVE: usize = {
        let (mut bets, mut place) = (0, 0);
        while place < BETS_ABOVE.len() {
            bets += BETS_ABOVE[place].1.len();
            place += 1;
        }
        bets
    };

    /// By what is known of the baseline: at each of [`THRESHOLD_QUANTILES`] the edge nearest to it. An edge that stands
    /// for two of them is bet on twice. `None` while nothing is known.
    #[must_use]
    pub fn choose(reference: &Reference) -> Option<Self> {
        let thresholds = reference.edges_at(&THRESHOLD_QUANTILES);
        (thresholds.len() == THRESHOLD_QUANTILES.len()).then(|| {
            let mut ln_odds = [0.0; Self::ABOVE];
            let odds = BETS_ABOVE.iter().flat_map(|(_, odds)| *odds);
            ln_odds.iter_mut().zip(odds).for_each(|(ln, odds)| *ln = odds.ln());
            Self { thresholds, ln_odds }
        })
    }

    /// Numbers of edges, by quantile.
    #[must_use]
    pub fn thresholds(&self) -> &[usize] {
        &self.thresholds
    }

    /// What each bet looks at.
    pub fn scored(&self) -> impl Iterator<Item = Scored> {
        let of_threshold =
            |(edge, (_, odds)): (&usize, (f64, &'static [f64]))| std::iter::repeat_n(Scored::Above(*edge), odds.len());
        let above = self.thresholds.iter().zip(BETS_ABOVE).flat_map(of_threshold);
        above.chain([Scored::Ranks; TILTS.len()])
    }

    /// ln e of every bet for one minute, by what was known of the baseline before it.
    #[must_use]
    pub fn ln_e(&self, minute: &Pairing<'_>, reference: &Reference) -> [f64; Self::BETS] {
        let mut all = [0.0; Self::BETS];
        let (above, ranks) = all.split_at_mut(Self::ABOVE);
        above.copy_from_slice(&self.ln_e_above(minute, reference));
        ranks.copy_from_slice(&minute.ln_e_of_ranks(reference));
        all
    }

    /// ln e of every bet on a threshold: two bins, below and above, by [`Pairing::ln_e`] with
    /// `r = odds / (1 + norm)` above and `1 / (1 + norm)` below, the logarithms of `1 + norm` put together.
    fn ln_e_above(&self, minute: &Pairing<'_>, reference: &Reference) -> [f64; Self::ABOVE] {
        let of_threshold = |(edge, (_, odds)): (&usize, (f64, &'static [f64]))| {
            let edge = *edge;
            odds.iter().map(move |odds| (edge, *odds))
        };
        let bets = || self.thresholds.iter().zip(BETS_ABOVE).flat_map(of_threshold);
        let rho = minute.n_c / (minute.n_c + minute.n_b);
        let mut lns = [[0.0; 3]; Self::ABOVE];
        for (ln, (edge, odds)) in lns.iter_mut().zip(bets()) {
            // A baseline with that share gains nothing on average.
            let norm = reference.share_above(edge) * (odds - 1.0);
            let below = (1.0 - rho) * norm;
            *ln = [norm, below + rho * (odds - 1.0), below];
        }
        ln_1p_all(lns.as_flattened_mut());
        let mut all = [0.0; Self::ABOVE];
        for (((ln_e, ln), ln_odds), (edge, _)) in all.iter_mut().zip(lns).zip(self.ln_odds).zip(bets()) {
            let Stratum { n_c, x_c, n_b, x_b } = minute.above(edge);
            let ([norm, above, below], events) = (ln, x_c + x_b);
            *ln_e = x_c * ln_odds - events * (above - norm) - (n_c + n_b - events) * (below - norm) - n_c * norm;
        }
        all
    }
}

/// For each bin the share of requests below it and half of those in it: 0..1, not falling. One half everywhere
/// without requests.
#[must_use]
pub fn mid_ranks(bins: &[f64]) -> Vec<f64> {
    let total: f64 = bins.iter().sum();
    let mut below = 0.0;
    let rank = |bin: &f64| {
        let rank = if total > 0.0 { (below + 0.5 * bin) / total } else { 0.5 };
        below += bin;
        rank
    };
    bins.iter().map(rank).collect()
}
