//! Whether the canary scatters more than its history says: the dispersion of its own minutes.

/// Events of prior observation, without excess.
const PRIOR: f64 = 5.0;
/// How far below the estimate the lower end lies, in standard deviations.
const DOUBT: f64 = 0.5;

/// Dispersion of one version's minute counts, with the largest step left out: a late regression makes exactly one.
///
/// Each pair of neighbouring minutes gives `y = (x1 - m pi)^2 / (pi (1 - pi))` with m events and the first one's share pi
/// of the requests, whose mean is m for independent requests.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CanaryScatter {
    /// Requests and events of the minute before.
    before: Option<(f64, f64)>,
    squares: f64,
    events: f64,
    pairs: f64,
    /// The pair with the largest `y - m`: `(y, m)`.
    largest: Option<(f64, f64)>,
}

impl CanaryScatter {
    /// Takes a minute's requests and events in. Minutes without requests are passed over.
    pub fn observe(&mut self, requests: f64, events: f64) {
        if requests <= 0.0 {
            return;
        }
        if let Some((n, x)) = self.before.replace((requests, events)) {
            self.add(n / (n + requests), x, x + events);
        }
    }

    fn add(&mut self, share: f64, first: f64, events: f64) {
        let square = (first - events * share).powi(2) / (share * (1.0 - share));
        if !square.is_finite() {
            return;
        }
        self.squares += square;
        self.events += events;
        self.pairs += 1.0;
        if self.largest.is_none_or(|(y, m)| square - events > y - m) {
            self.largest = Some((square, events));
        }
    }

    /// Lower end of the dispersion, at least 1.
    #[must_use]
    pub fn dispersion(&self) -> f64 {
        let Some((square, events)) = self.largest else { return 1.0 };
        let (squares, events) = ((self.squares - square).max(0.0), (self.events - events).max(0.0));
        let pairs = self.pairs - 1.0;
        let f = ((squares + PRIOR) / (events + PRIOR)).max(1.0);
        let data = events / (events + PRIOR);
        let variance = (3.0 * f - 2.0 / f) / (0.5 * events).max(1.0) + 3.0 / pairs.max(1.0);
        let spread = (data * data * variance).ln_1p().sqrt();
        (f * (-DOUBT * spread).exp()).max(1.0)
    }
}
