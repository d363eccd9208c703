//! A series to read: a metric, a statistic, a period and a span of time.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use crate::spec::MetricRef;
use crate::units::Minute;

/// One series to read: periods from `from` up to, not including, `until`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesQuery {
    /// All placeholders filled in.
    pub metric: MetricRef,
    pub stat: Stat,
    pub period: Period,
    /// For a longer period than a minute both are multiples of it.
    pub from: Minute,
    pub until: Minute,
}

/// Values by the first minute of their period; a period without a datapoint is absent.
pub type Series = BTreeMap<Minute, f64>;

/// What one value of a series sums up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    Minute,
    Hour,
}

impl Period {
    #[must_use]
    pub fn minutes(self) -> i64 {
        match self {
            Self::Minute => 1,
            Self::Hour => 60,
        }
    }

    /// The first minute of the period that has this one.
    #[must_use]
    pub fn start(self, minute: Minute) -> Minute {
        Minute::from_index(minute.index() - minute.index().rem_euclid(self.minutes()))
    }
}

/// A statistic of one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stat {
    Sum,
    SampleCount,
    Average,
    /// The value that so many percent of the samples do not exceed, interpolated.
    Percentile(Bound),
    /// How many samples lie above the lower bound and not above the upper one, interpolated. Without a bound: all.
    Between(Option<Bound>, Option<Bound>),
}

/// As CloudWatch wants it.
impl fmt::Display for Stat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = |bound: &Option<Bound>| bound.map(|bound| bound.to_string()).unwrap_or_default();
        match self {
            Self::Sum => f.write_str("Sum"),
            Self::SampleCount => f.write_str("SampleCount"),
            Self::Average => f.write_str("Average"),
            Self::Percentile(percent) => write!(f, "p{percent}"),
            Self::Between(above, up_to) => write!(f, "TC({}:{})", bound(above), bound(up_to)),
        }
    }
}

/// A number in a statistic's name: finite, not negative, and such that CloudWatch's ten decimals say it exactly.
#[derive(Debug, Clone, Copy)]
pub struct Bound(f64);

/// Larger numbers have no decimals to spare, and no duration or size is that large.
const LARGEST_BOUND: f64 = 1e15;

impl Bound {
    /// `None` for what cannot be a bound: negative, not finite, or larger than anything that is measured.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        if !(0.0..=LARGEST_BOUND).contains(&value) {
            return None;
        }
        // Rounded by way of its text, so that the number and what CloudWatch is asked are the same.
        let rounded: f64 = format!("{value:.10}").parse().ok()?;
        Some(Self(rounded.abs()))
    }

    #[must_use]
    pub fn value(self) -> f64 {
        self.0
    }
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Bound {}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bound {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.10}", self.0);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_written_as_cloudwatch_reads_them() {
        let bound = |value: f64| Bound::new(value);
        for (stat, text) in [
            (Stat::Sum, "Sum"),
            (Stat::SampleCount, "SampleCount"),
            (Stat::Average, "Average"),
            (Stat::Percentile(bound(99.9).unwrap()), "p99.9"),
            (Stat::Percentile(bound(50.0).unwrap()), "p50"),
            (Stat::Between(None, bound(0.05)), "TC(:0.05)"),
            (Stat::Between(bound(0.05), bound(84.0 * 1.05)), "TC(0.05:88.2)"),
            (Stat::Between(bound(1200.0), None), "TC(1200:)"),
            (Stat::Between(bound(1.0 / 3.0), bound(1e6)), "TC(0.3333333333:1000000)"),
        ] {
            assert_eq!(stat.to_string(), text);
        }
    }

    #[test]
    fn a_bound_is_the_number_that_it_says() {
        for value in [0.0, -0.0, 1e-10, 0.1 + 0.2, 1234.0 * 0.1, 5_400_000.0 / 7.0, LARGEST_BOUND] {
            let bound = Bound::new(value).unwrap();
            assert_eq!(bound.to_string().parse::<f64>().unwrap().to_bits(), bound.value().to_bits(), "{value}");
            assert!((bound.value() - value).abs() <= 1e-10 * value.max(1.0), "{value}");
        }
        for value in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e16] {
            assert_eq!(Bound::new(value), None, "{value}");
        }
    }

    #[test]
    fn an_hour_begins_with_its_first_minute() {
        let minute = |index| Minute::from_index(index);
        assert_eq!(Period::Hour.start(minute(119)), minute(60));
        assert_eq!(Period::Hour.start(minute(120)), minute(120));
        assert_eq!(Period::Hour.start(minute(-1)), minute(-60));
        assert_eq!(Period::Minute.start(minute(119)), minute(119));
    }
}
