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
pub fn queries(
    _: &crate::spec::Check,
    _: &crate::spec::Target,
    _: &crate::spec::Version,
    _: Minute,
    _: Minute,
) -> Vec<SeriesQuery> {
    Vec::new()
}
pub fn count(_: &crate::spec::Check, _: &[Option<&Series>], _: Minute) -> Option<crate::analysis::Count> {
    None
}
pub fn history_queries(_: &crate::spec::Target, _: Minute, _: Minute) -> Vec<SeriesQuery> {
    Vec::new()
}
#[derive(Debug)]
pub struct Traffic {
    pub alias_invocations: f64,
}
impl Traffic {
    pub fn read(_: &[Series]) -> Self {
        Self { alias_invocations: 0.0 }
    }
}
pub fn bypass_problem(_: &crate::spec::Target, _: &Traffic) -> Option<String> {
    None
}
pub fn bypass_warning(_: &crate::spec::Target, _: &Traffic) -> Option<String> {
    None
}
