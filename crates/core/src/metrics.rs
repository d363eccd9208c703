//! What is read from CloudWatch, as data.

use std::collections::BTreeMap;

use crate::spec::MetricRef;
use crate::units::Minute;

/// A statistic of one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stat {
    Sum,
    SampleCount,
}

/// One series to read: one-minute periods from `from` up to, not including, `until`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesQuery {
    /// All placeholders filled in.
    pub metric: MetricRef,
    pub stat: Stat,
    pub from: Minute,
    pub until: Minute,
}

/// Values by minute; a minute without a datapoint is absent.
pub type Series = BTreeMap<Minute, f64>;
