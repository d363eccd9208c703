//! Metrics and alarm states from CloudWatch.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    AlarmType, Dimension, MessageData, Metric, MetricDataQuery, MetricDataResult, MetricStat, ScanBy, StateValue,
};
use coalmine_core::metrics::{Period, Series, SeriesQuery, Stat};
use coalmine_core::observation::AlarmState;
use coalmine_core::ports::{AlarmSource, Fault, FaultKind, MetricSource};
use coalmine_core::spec::MetricRef;
use coalmine_core::units::Minute;
use futures_util::{StreamExt, stream};

use crate::Aws;
use crate::errors::{Call, copies};

const GET_METRIC_DATA: Call = Call::new("GetMetricData", "cloudwatch:GetMetricData");
const DESCRIBE_ALARMS: Call = Call::new("DescribeAlarms", "cloudwatch:DescribeAlarms");

/// GetMetricData's own limit.
const QUERIES_PER_CALL: usize = 500;

/// GetMetricData's own limit; 500 queries reach it at 201 minutes.
const DATAPOINTS_PER_CALL: usize = 100_800;

/// CloudWatch allows an account 50 of these calls a second, and others need some.
const CONCURRENT_CALLS: usize = 4;

/// Calls that are spent on finding the queries that made CloudWatch refuse a batch: to find one in 500 takes 19.
const SEARCH_CALLS: usize = 60;

/// DescribeAlarms' own limit.
const ALARMS_PER_CALL: usize = 100;

impl MetricSource for Aws {
    async fn fetch(&self, queries: &[SeriesQuery]) -> Vec<Result<Series, Fault>> {
        let calls: Vec<_> = batches(queries).into_iter().map(|batch| self.ask(batch)).collect();
        let answers: Vec<_> = stream::iter(calls).buffer_unordered(CONCURRENT_CALLS).collect().await;
        let mut results: Vec<Result<Series, Fault>> = queries.iter().map(|_| Ok(Series::new())).collect();
        for (question, answer) in answers.into_iter().flatten() {
            let answers: Vec<Result<Series, Fault>> = match answer {
                Ok(series) => question.places.iter().map(|_| Ok(series.clone())).collect(),
                Err(fault) => copies(fault, question.places.len()).into_iter().map(Err).collect(),
            };
            for (place, answer) in question.places.iter().zip(answers) {
                if let Some(result) = results.get_mut(*place) {
                    *result = answer;
                }
            }
        }
        results
    }
}

impl AlarmSource for Aws {
    /// A composite alarm in ALARM whose actions are suppressed tells neither danger nor its absence: its owner said that
    /// it means nothing at present. It is reported as INSUFFICIENT_DATA.
    async fn states(&self, names: &[String]) -> Result<BTreeMap<String, AlarmState>, Fault> {
        // Without names, CloudWatch would answer with all alarms of the account.
        let names: Vec<String> = names.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect();
        let mut states = BTreeMap::new();
        for chunk in names.chunks(ALARMS_PER_CALL) {
            let request = self
                .cloudwatch()
                .describe_alarms()
                .set_alarm_names(Some(chunk.to_vec()))
                .alarm_types(AlarmType::MetricAlarm)
                .alarm_types(AlarmType::CompositeAlarm);
            let mut pages = request.into_paginator().send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| DESCRIBE_ALARMS.fault(error))?;
                let metric = page.metric_alarms().iter().map(|a| (a.alarm_name(), a.state_value(), false));
                let composite = page.composite_alarms().iter();
                let composite =
                    composite.map(|a| (a.alarm_name(), a.state_value(), a.actions_suppressed_by().is_some()));
                for (name, state, suppressed) in metric.chain(composite) {
                    let Some(name) = name else { continue };
                    states.insert(name.to_owned(), alarm_state(name, state, suppressed)?);
                }
            }
        }
        Ok(states)
    }
}

fn alarm_state(name: &str, state: Option<&StateValue>, suppressed: bool) -> Result<AlarmState, Fault> {
    match state.map(StateValue::as_str) {
        Some("OK") => Ok(AlarmState::Ok),
        Some("ALARM") if suppressed => Ok(AlarmState::InsufficientData),
        Some("ALARM") => Ok(AlarmState::Alarm),
        Some("INSUFFICIENT_DATA") => Ok(AlarmState::InsufficientData),
        Some(other) => {
            Err(DESCRIBE_ALARMS.refusal(FaultKind::Failed, format!("{name} is in the unknown state {other}")))
        }
        None => Err(DESCRIBE_ALARMS.refusal(FaultKind::Failed, format!("{name} has no state"))),
    }
}

/// A distinct query, and the places in the caller's list where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Question<'a> {
    query: &'a SeriesQuery,
    places: Vec<usize>,
}

/// The distinct queries of one window and period.
type Window<'a> = BTreeMap<(&'a MetricRef, Stat), Question<'a>>;

type Answer<'a> = (Question<'a>, Result<Series, Fault>);

/// Distinct queries with the same window, as many as one call may carry. An empty window needs no call.
fn batches(queries: &[SeriesQuery]) -> Vec<Vec<Question<'_>>> {
    let mut windows: BTreeMap<(Minute, Minute, Period), Window<'_>> = BTreeMap::new();
    for (place, query) in queries.iter().enumerate().filter(|(_, query)| query.from < query.until) {
        let window = windows.entry((query.from, query.until, query.period)).or_default();
        let question = window.entry((&query.metric, query.stat));
        question.or_insert_with(|| Question { query, places: Vec::new() }).places.push(place);
    }
    let mut batches = Vec::new();
    for ((from, until, period), questions) in windows {
        let periods = (until.minutes_since(from) + period.minutes() - 1).div_euclid(period.minutes());
        let points = usize::try_from(periods).unwrap_or(usize::MAX).max(1);
        let size = (DATAPOINTS_PER_CALL / points).clamp(1, QUERIES_PER_CALL);
        let questions: Vec<Question<'_>> = questions.into_values().collect();
        batches.extend(questions.chunks(size).map(<[Question<'_>]>::to_vec));
    }
    batches
}

impl Aws {
    /// Asks one batch. CloudWatch refuses a call as a whole for one wrong query, which would blind every rollout in it:
    /// a refused batch is halved until the wrong ones are alone.
    async fn ask<'a>(&self, batch: Vec<Question<'a>>) -> Vec<Answer<'a>> {
        let mut answers = Vec::new();
        let mut left = vec![batch];
        let mut calls = 0;
        while let Some(mut part) = left.pop() {
            calls += 1;
            match self.ask_once(&part).await {
                Ok(results) => answers.extend(part.into_iter().zip(results)),
                Err(fault) if fault.kind == FaultKind::Rejected && part.len() > 1 && calls < SEARCH_CALLS => {
                    left.push(part.split_off(part.len() / 2));
                    left.push(part);
                }
                Err(fault) => {
                    let faults = copies(fault, part.len()).into_iter().map(Err);
                    answers.extend(part.into_iter().zip(faults));
                }
            }
        }
        answers
    }

    async fn ask_once(&self, batch: &[Question<'_>]) -> Result<Vec<Result<Series, Fault>>, Fault> {
        let Some(first) = batch.first() else { return Ok(Vec::new()) };
        let (from, until) = (first.query.from, first.query.until);
        let queries = batch.iter().enumerate().map(|(i, question)| data_query(i, question.query)).collect();
        let request = self
            .cloudwatch()
            .get_metric_data()
            .set_metric_data_queries(Some(queries))
            .start_time(DateTime::from_secs(from.start().epoch_seconds()))
            .end_time(DateTime::from_secs(until.start().epoch_seconds()))
            .scan_by(ScanBy::TimestampAscending);
        let mut gathered: Vec<Gathered> = batch.iter().map(|_| Gathered::default()).collect();
        let mut pages = request.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| GET_METRIC_DATA.fault(error))?;
            // CloudWatch tells here what it left out of the answer as a whole.
            if !page.messages().is_empty() {
                return Err(GET_METRIC_DATA.refusal(FaultKind::Failed, said(page.messages())));
            }
            for result in page.metric_data_results() {
                let place = result.id().and_then(|id| id.strip_prefix('m')).and_then(|id| id.parse::<usize>().ok());
                if let Some(gathered) = place.and_then(|place| gathered.get_mut(place)) {
                    gathered.add(result, from, until);
                }
            }
        }
        Ok(gathered.into_iter().map(Gathered::finish).collect())
    }
}

fn data_query(number: usize, query: &SeriesQuery) -> MetricDataQuery {
    let dimensions = query.metric.dimensions.iter();
    let dimensions = dimensions.map(|(name, value)| Dimension::builder().name(name).value(value).build()).collect();
    let metric = Metric::builder()
        .namespace(&query.metric.namespace)
        .metric_name(&query.metric.metric)
        .set_dimensions(Some(dimensions))
        .build();
    let seconds = match query.period {
        Period::Minute => 60,
        Period::Hour => 3600,
    };
    // No unit: one that differs from the stored one silently finds nothing. Lambda's durations have one unit only.
    MetricDataQuery::builder()
        .id(format!("m{number}"))
        .metric_stat(MetricStat::builder().metric(metric).period(seconds).stat(query.stat.to_string()).build())
        .return_data(true)
        .build()
}

/// One query's results so far, over all pages.
#[derive(Debug, Default)]
struct Gathered {
    series: Series,
    /// The last page's status: a page that is not the last says `PartialData`.
    status: Option<String>,
    messages: String,
    broken: Option<String>,
}

impl Gathered {
    fn add(&mut self, result: &MetricDataResult, from: Minute, until: Minute) {
        let failed = matches!(self.status.as_deref(), Some(status) if status != "Complete" && status != "PartialData");
        if !failed {
            self.status = result.status_code().map(|status| status.as_str().to_owned());
            self.messages = said(result.messages());
        }
        if result.timestamps().len() != result.values().len() {
            self.broken = Some(format!("{} times for {} values", result.timestamps().len(), result.values().len()));
        }
        for (time, value) in result.timestamps().iter().zip(result.values()) {
            let minute = Minute::from_index(time.secs().div_euclid(60));
            if minute < from || minute >= until {
                continue;
            }
            if !value.is_finite() || self.series.insert(minute, *value).is_some() {
                self.broken = Some(format!("two values, or none that is a number, for {minute:?}"));
            }
        }
    }

    fn finish(self) -> Result<Series, Fault> {
        let wrong = match (self.status.as_deref(), self.broken) {
            (Some("Complete"), None) => return Ok(self.series),
            (_, Some(broken)) => broken,
            (Some(status), None) if self.messages.is_empty() => format!("the answer is {status}"),
            (Some(status), None) => format!("the answer is {status}: {}", self.messages),
            (None, None) => "the answer does not have this metric's data".to_owned(),
        };
        let kind = if self.status.as_deref() == Some("Forbidden") { FaultKind::Denied } else { FaultKind::Failed };
        Err(GET_METRIC_DATA.refusal(kind, wrong))
    }
}

fn said(messages: &[MessageData]) -> String {
    let texts = messages.iter().filter_map(|message| message.value().or(message.code()));
    texts.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
