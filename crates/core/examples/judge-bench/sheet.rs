//! Tables as they are printed, in Markdown, with what was aimed at beside what was measured.

use std::fmt;

/// So many missed aims are named below a table.
const NAMED: usize = 12;

/// One table.
#[derive(Debug, Clone, Default)]
pub struct Sheet {
    pub title: String,
    /// What was simulated, in sentences.
    pub about: Vec<String>,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    met: usize,
    within: usize,
    missed: Vec<String>,
}

impl Sheet {
    pub fn new(title: &str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(ToString::to_string).collect();
        Self { title: title.to_owned(), columns, ..Self::default() }
    }

    #[must_use]
    pub fn about(mut self, sentence: impl Into<String>) -> Self {
        self.about.push(sentence.into());
        self
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.columns.len(), "a cell for every column of {}", self.title);
        self.rows.push(cells);
    }

    /// A measured value that must be at most `limit`, as a cell.
    pub fn at_most(&mut self, what: &str, value: f64, limit: f64, shown: &str) -> String {
        self.judged(what, value <= limit, &format!("≤ {shown}"))
    }

    /// As [`Self::at_most`] for a share of so many runs: up to two standard errors above is chance as likely as not.
    #[allow(clippy::cast_precision_loss, reason = "runs of a simulation")]
    pub fn share_at_most(&mut self, what: &str, value: f64, runs: u64, limit: f64, shown: &str) -> String {
        let error = (limit * (1.0 - limit) / runs.max(1) as f64).sqrt();
        if value > limit && value <= limit + 2.0 * error {
            self.within += 1;
            return format!("≤ {shown}: within the error");
        }
        self.at_most(what, value, limit, shown)
    }

    /// Whether an aim was met, as a cell.
    pub fn judged(&mut self, what: &str, met: bool, aim: &str) -> String {
        if met {
            self.met += 1;
            format!("{aim}: met")
        } else {
            self.missed.push(what.to_owned());
            format!("{aim}: **missed**")
        }
    }
}

impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        if !self.about.is_empty() {
            writeln!(f, "{}\n", self.about.join(" "))?;
        }
        writeln!(f, "| {} |", self.columns.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(self.columns.len()))?;
        for row in &self.rows {
            writeln!(f, "| {} |", row.join(" | "))?;
        }
        let within = if self.within > 0 { format!(", {} within the error", self.within) } else { String::new() };
        match (self.met + self.within, self.missed.as_slice()) {
            (0, []) => Ok(()),
            (all, []) if all == self.met => writeln!(f, "\nAll {all} aims met."),
            (_, missed) => {
                let met = self.met;
                let more = missed.len().saturating_sub(NAMED);
                let more = if more > 0 { format!("; and {more} more") } else { String::new() };
                let named: Vec<&str> = missed.iter().take(NAMED).map(String::as_str).collect();
                let named = if named.is_empty() { String::new() } else { format!(": {}{more}", named.join("; ")) };
                writeln!(f, "\n{met} aims met{within}, {} missed{named}.", missed.len())
            }
        }
    }
}

/// Without digits behind the point; what is nearly nothing is 0, not -0.
pub fn whole(value: f64) -> String {
    format!("{:.0}", value.round() + 0.0)
}

/// A share as a percentage.
pub fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.1 { format!("{:.2} %", share * 100.0) } else { format!("{:.1} %", share * 100.0) }
}

/// A rate of events with as few digits as it has.
pub fn rate(share: f64) -> String {
    format!("{} %", (share * 1e6).round() / 1e4)
}

/// How long something took in each run: `None` where it did not happen within the horizon.
#[derive(Debug, Clone)]
pub struct Times {
    sorted: Vec<f64>,
    runs: usize,
    horizon: f64,
}

impl Times {
    #[allow(clippy::cast_precision_loss, reason = "minutes of a simulation")]
    pub fn of(minutes: impl IntoIterator<Item = Option<usize>>, horizon: usize) -> Self {
        let all: Vec<Option<usize>> = minutes.into_iter().collect();
        let mut sorted: Vec<f64> = all.iter().flatten().map(|minutes| *minutes as f64).collect();
        sorted.sort_by(f64::total_cmp);
        Self { sorted, runs: all.len(), horizon: horizon as f64 }
    }

    /// How often it happened at all.
    #[allow(clippy::cast_precision_loss, reason = "runs of a simulation")]
    pub fn share(&self) -> f64 {
        self.sorted.len() as f64 / self.runs.max(1) as f64
    }

    /// Infinite where it happened in less than half of the runs.
    pub fn median(&self) -> f64 {
        self.sorted.get(self.runs / 2).copied().unwrap_or(f64::INFINITY)
    }

    /// With the horizon for those in which it did not happen.
    #[allow(clippy::cast_precision_loss, reason = "runs of a simulation")]
    pub fn mean(&self) -> f64 {
        let rest = (self.runs - self.sorted.len()) as f64 * self.horizon;
        (self.sorted.iter().sum::<f64>() + rest) / self.runs.max(1) as f64
    }

    /// `mean / median`, and how often it happened if that is not always.
    pub fn shown(&self) -> String {
        let median = self.median();
        let median = if median.is_finite() { format!("{median:.0}") } else { "never".to_owned() };
        if self.sorted.len() == self.runs {
            format!("{:.1} / {median}", self.mean())
        } else {
            format!("{:.1} / {median} ({:.0} %)", self.mean(), self.share() * 100.0)
        }
    }

    /// The median alone, and how often it happened if that is not always.
    pub fn median_shown(&self) -> String {
        let median = self.median();
        let median = if median.is_finite() { format!("{median:.0}") } else { "never".to_owned() };
        let share = format!(" ({:.0} %)", self.share() * 100.0);
        if self.sorted.len() == self.runs { median } else { median + &share }
    }
}
