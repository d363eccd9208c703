//! Evidence from whole distributions: a bet on which version served each request, given how slow it was.

use std::f64::consts::LN_2;

use super::Stratum;

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
#[derive(Debug, Clone, Copy)]
pub struct Pairing<'a> {
    canary: &'a [f64],
    baseline: &'a [f64],
    n_c: f64,
    n_b: f64,
}

impl<'a> Pairing<'a> {
    /// `None` when there is nothing to compare: a version without requests, or bins that do not match.
    #[must_use]
    pub fn new(canary: &'a [f64], baseline: &'a [f64]) -> Option<Self> {
        let (n_c, n_b) = (canary.iter().sum(), baseline.iter().sum());
        (canary.len() == baseline.len() && n_c > 0.0 && n_b > 0.0).then_some(Self { canary, baseline, n_c, n_b })
    }

    /// Requests above an edge as events.
    #[must_use]
    pub fn above(&self, edge: usize) -> Stratum {
        let above = |bins: &[f64], n: f64| bins.iter().skip(edge + 1).sum::<f64>().min(n);
        let (x_c, x_b) = (above(self.canary, self.n_c), above(self.baseline, self.n_b));
        Stratum { n_c: self.n_c, x_c, n_b: self.n_b, x_b }
    }

    /// The score of the rank sum: how far the canary's requests rank above the baseline's, in standard deviations of
    /// chance, ties included (Wilcoxon's statistic given the pooled bins). `None` when all requests are in one bin.
    #[must_use]
    pub fn rank_score(&self) -> Option<f64> {
        let n = self.n_c + self.n_b;
        let pooled: Vec<f64> = self.canary.iter().zip(self.baseline).map(|(c, b)| c + b).collect();
        let ranks = mid_ranks(&pooled);
        let mean: f64 = ranks.iter().zip(&pooled).map(|(rank, m)| rank * m).sum::<f64>() / n;
        let scatter: f64 = ranks.iter().zip(&pooled).map(|(rank, m)| m * (rank - mean).powi(2)).sum();
        let sum: f64 = ranks.iter().zip(self.canary).map(|(rank, c)| c * (rank - mean)).sum();
        let variance = self.n_c * self.n_b * scatter / (n * (n - 1.0));
        (n > 1.0 && variance > 0.0).then(|| sum / variance.sqrt())
    }

    /// ln e of one minute for density ratios `ln r` of the bins, which must not fall from bin to bin and must have
    /// been chosen before the minute.
    ///
    /// Given the pooled bins, each request was served by the canary with probability `rho = n_c / n` if both
    /// versions have the same distribution; the bet says `rho r / (1 - rho + rho r)` instead. For any common
    /// distribution, with A and B the means of one canary and one baseline factor, `rho A + (1 - rho) B = 1`, so the
    /// mean of e is `A^n_c B^n_b <= 1` (weighted arithmetic and geometric means; Turner, Ly and Grünwald,
    /// arXiv:2106.02693). Because r does not fall, a canary that is stochastically no slower only lowers it.
    #[must_use]
    pub fn ln_e(&self, ln_r: impl Iterator<Item = f64>) -> f64 {
        let rho = self.n_c / (self.n_c + self.n_b);
        let bins = self.canary.iter().zip(self.baseline).zip(ln_r);
        bins.map(|((c, b), ln_r)| c * ln_r - (c + b) * (rho * ln_r.exp_m1()).ln_1p()).sum()
    }
}

/// ln e of one minute for a bet on a threshold: two bins, below and above.
fn ln_e_above(minute: &Stratum, odds: f64, share: f64) -> f64 {
    // Normalised so that a baseline with that share gains nothing on average.
    let ln_below = -(share * (odds - 1.0)).ln_1p();
    let rho = minute.canary_share();
    let side = |c: f64, b: f64, ln_r: f64| c * ln_r - (c + b) * (rho * ln_r.exp_m1()).ln_1p();
    side(minute.x_c, minute.x_b, ln_below + odds.ln())
        + side(minute.n_c - minute.x_c, minute.n_b - minute.x_b, ln_below)
}

/// What is expected of the baseline's bins: its past minutes, decayed.
#[derive(Debug, Clone)]
pub struct Reference {
    bins: Vec<f64>,
}

impl Reference {
    /// Starts from decayed bins of the past; from zeros if there is none.
    #[must_use]
    pub fn starting_from(bins: Vec<f64>) -> Self {
        Self { bins }
    }

    /// The decayed sum of minutes in rising order, given with their number.
    #[must_use]
    pub fn of<'a>(bins: usize, minutes: impl Iterator<Item = (i64, &'a [f64])>) -> Self {
        let mut reference = Self { bins: vec![0.0; bins] };
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
    }

    fn age(&mut self, minutes: i64) {
        #[allow(clippy::cast_precision_loss, reason = "beyond 2^53 minutes nothing is left anyway")]
        let kept = (-LN_2 * minutes as f64 / HALF_LIFE_MINUTES).exp();
        self.bins.iter_mut().for_each(|sum| *sum *= kept);
    }

    #[must_use]
    pub fn bins(&self) -> &[f64] {
        &self.bins
    }

    /// Decayed requests.
    #[must_use]
    pub fn requests(&self) -> f64 {
        self.bins.iter().sum()
    }

    /// The share of requests above an edge, a little shrunk, so that it is never 0 or 1.
    #[must_use]
    pub fn share_above(&self, edge: usize) -> f64 {
        let above: f64 = self.bins.iter().skip(edge + 1).sum();
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
}

impl Dictionary {
    /// How many bets there are.
    pub const BETS: usize = {
        let (mut bets, mut place) = (TILTS.len(), 0);
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
        (thresholds.len() == THRESHOLD_QUANTILES.len()).then_some(Self { thresholds })
    }

    /// Numbers of edges, by quantile.
    #[must_use]
    pub fn thresholds(&self) -> &[usize] {
        &self.thresholds
    }

    /// What each bet looks at.
    pub fn scored(&self) -> impl Iterator<Item = Scored> {
        let of_threshold = |(edge, (_, odds)): (&usize, (f64, &[f64]))| vec![Scored::Above(*edge); odds.len()];
        let above = self.thresholds.iter().zip(BETS_ABOVE).flat_map(of_threshold);
        above.chain([Scored::Ranks; TILTS.len()])
    }

    /// ln e of every bet for one minute, by what was known of the baseline before it.
    #[must_use]
    pub fn ln_e(&self, minute: &Pairing<'_>, reference: &Reference) -> Vec<f64> {
        let mut all = Vec::with_capacity(Self::BETS);
        for (edge, (_, odds)) in self.thresholds.iter().zip(BETS_ABOVE) {
            let (stratum, share) = (minute.above(*edge), reference.share_above(*edge));
            all.extend(odds.iter().map(|odds| ln_e_above(&stratum, *odds, share)));
        }
        let (ranks, requests) = (mid_ranks(reference.bins()), reference.requests());
        all.extend(TILTS.map(|tilt| {
            let weighed = ranks.iter().zip(reference.bins()).map(|(rank, h)| h * (tilt * (rank - 0.5)).exp());
            let norm: f64 = weighed.sum::<f64>() / requests;
            let ln_norm = if norm > 0.0 { norm.ln() } else { 0.0 };
            minute.ln_e(ranks.iter().map(|rank| tilt * (rank - 0.5) - ln_norm))
        }));
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
