//! What arrives, and how the versions deal with it.

use std::collections::BTreeMap;

use super::environments::Asked;
use super::leaves::{Count, OneOf, PER_SECOND_MAX, PerSecond, Share};
use super::names::Names;
use super::raw::{
    CHANGES_MAX, RawBehaviour, RawDelivery, RawDurations, RawLatencies, RawNoise, RawRequests, RawTraffic, Shares,
};
use super::trace::{Recorded, Trace};
use crate::metrics::filled_in;
use crate::sim::durations::{ColdStarts, Latency};
use crate::sim::traffic::{Behaviour, Bursts, Daily, Delivery, Noise, OwnRate, Traffic};
use crate::spec::Version;
use crate::spec::decode::{At, List, value};
use crate::spec::problems::{Place, Problems, quoted};
use crate::spec::{CheckKind, MetricRef, RateCounts, RolloutSpec, suggest};
use crate::units::Span;

/// Where each cluster of failures is drawn: 170 million in a day at most, which takes some seconds.
const CLUSTERED_PER_SECOND_MAX: f64 = 2_000.0;
/// Early afternoon.
const PEAK_HOUR_DEFAULT: f64 = 14.0;
/// Where metrics are later than that, nothing could be told within the longest deadline that anybody writes.
const DELAY_MAX: Span = Span::from_hours(6);
const COLD_REQUESTS_MAX: u64 = 1_000;

/// What was written of traffic.
#[derive(Debug)]
pub struct Lowered {
    pub traffic: Traffic,
    /// Where each version's behaviour is written.
    pub places: Vec<(Version, Place)>,
    /// What is said of environments.
    pub asked: Asked,
}

pub fn lower(
    at: At<RawTraffic>,
    spec: &RolloutSpec,
    recorded: Option<&Trace>,
    names: &Names<'_>,
    problems: &mut Problems,
) -> Option<Lowered> {
    let At { place, value: Some(raw) } = at else { return None };
    let mut asked = Asked { kind: raw.kind, queue: raw.queue, poison: raw.poison, ..Asked::default() };
    if raw.per_second.is_none() && raw.trace.is_none() {
        problems.add(&place, "the field `perSecond` is missing");
    }
    let changes = match raw.per_second {
        Some(at) => requests(at.value?, problems),
        None => recorded.map(|trace| trace.rates.clone()).unwrap_or_default(),
    };
    let daily = value(raw.daily).and_then(|daily| {
        let peak_hour = value(daily.peak_hour).map_or(PEAK_HOUR_DEFAULT, |hour| hour.0);
        Some(Daily { swing: value(daily.swing)?.0, peak_hour })
    });
    let bursts = value(raw.bursts)
        .and_then(|bursts| Some(Bursts { chance: value(bursts.chance)?.0, factor: value(bursts.factor)?.0 }));
    let (mut versions, mut places) = (BTreeMap::new(), Vec::new());
    for (name, at) in value(raw.versions).map(|table| table.0).unwrap_or_default() {
        let version = names.meant(&name, &at.place, problems);
        if let (Some(version), Some(mut raw)) = (version, at.value) {
            places.push((version.clone(), at.place));
            asked.environments.extend(raw.environments.take().map(|at| (version.clone(), at)));
            let behaviour = behaviour(raw, spec, &version, problems);
            versions.insert(version, behaviour);
        }
    }
    let delivery = value(raw.metrics).map_or_else(Delivery::default, |raw| delivery(raw, problems));
    let per_second = changes.first().map(|(_, rate)| *rate)?;
    let traffic = Traffic { per_second, changes, daily, bursts, versions, delivery };
    require_bounded(&traffic, &place, problems);
    Some(Lowered { traffic, places, asked })
}

fn requests(written: OneOf<PerSecond, List<RawRequests, CHANGES_MAX>>, problems: &mut Problems) -> Vec<(Span, f64)> {
    let list = match written {
        OneOf::Short(rate) => return vec![(Span::ZERO, rate.0)],
        OneOf::Long(list) => list.0,
    };
    let mut changes = Vec::new();
    for At { place, value: raw } in list {
        let Some(raw) = raw else { continue };
        let from = value(raw.from).unwrap_or(Span::ZERO);
        rises(&changes, from, &place, problems);
        changes.extend(value(raw.rate).map(|rate| (from, rate.0)));
    }
    changes
}

/// Reports more requests than can be drawn in reasonable time.
fn require_bounded(traffic: &Traffic, place: &Place, problems: &mut Problems) {
    let peak = traffic.peak();
    if peak > PER_SECOND_MAX {
        let message = format!("comes to {peak:.0} requests a second at its peak; at most {PER_SECOND_MAX}");
        problems.add(place, message);
    }
    let clustered = traffic.versions.values().any(|behaviour| behaviour.clusters > 1.0);
    if clustered && peak > CLUSTERED_PER_SECOND_MAX {
        let message = format!(
            "comes to {peak:.0} requests a second at its peak, and clusters are drawn one by one; at most \
             {CLUSTERED_PER_SECOND_MAX} with `clusters`"
        );
        problems.add(place, message);
    }
}

/// Every version that is named behaves in some way: as written, as recorded, or as any other.
pub fn complete(traffic: &mut Traffic, names: &Names<'_>, trace: Option<&Trace>, (old, new): (&Version, &Version)) {
    for version in &names.named {
        let behaviour = traffic.versions.entry(version.clone()).or_default();
        match trace {
            Some(trace) if version == old => replay(behaviour, &trace.baseline),
            Some(trace) if version == new => replay(behaviour, &trace.canary),
            Some(_) | None => {}
        }
    }
}

/// What was recorded of a version, where nothing else is written of it.
fn replay(behaviour: &mut Behaviour, recorded: &Recorded) {
    if behaviour.failing.is_empty() {
        behaviour.failing.clone_from(&recorded.failing);
    }
    if behaviour.latency.is_empty() {
        behaviour.latency.clone_from(&recorded.latency);
    }
}

fn behaviour(raw: RawBehaviour, spec: &RolloutSpec, version: &Version, problems: &mut Problems) -> Behaviour {
    let mut own = Vec::new();
    for (name, at) in value(raw.rates).map(|table| table.0).unwrap_or_default() {
        own.extend(own_rate(&name, at, spec, version, problems));
    }
    let cold = raw.cold_starts.and_then(|at| {
        let (place, cold) = (at.place, at.value?);
        let Count(requests) = value(cold.requests)?;
        if requests > COLD_REQUESTS_MAX {
            problems.add(&place, format!("{requests} slow requests of one environment; at most {COLD_REQUESTS_MAX}"));
        }
        Some(ColdStarts { requests, factor: value(cold.factor)?.0 })
    });
    Behaviour {
        failing: value(raw.errors).map(|errors| shares(errors, problems)).unwrap_or_default(),
        clusters: value(raw.clusters).map_or(1.0, |mean| mean.0),
        latency: value(raw.latency).map(|list| latency(list, problems)).unwrap_or_default(),
        noise: value(raw.noise).map(noise).unwrap_or_default(),
        cold_starts: cold,
        own,
    }
}

fn shares(written: Shares, problems: &mut Problems) -> Vec<(Span, f64)> {
    let list = match written {
        OneOf::Short(share) => return vec![(Span::ZERO, share.0)],
        OneOf::Long(list) => list.0,
    };
    let mut changes = Vec::new();
    for At { place, value: raw } in list {
        let Some(raw) = raw else { continue };
        let from = value(raw.from).unwrap_or(Span::ZERO);
        rises(&changes, from, &place, problems);
        changes.extend(value(raw.share).map(|share| (from, share.0)));
    }
    changes
}

/// The metrics of one of the spec's checks.
fn own_rate(
    name: &str,
    at: At<Shares>,
    spec: &RolloutSpec,
    version: &Version,
    problems: &mut Problems,
) -> Option<OwnRate> {
    let rates = spec.checks.iter().filter_map(|check| match &check.kind {
        CheckKind::Rate { counts, requests, absent_is_zero, .. } => {
            Some((check.name.as_str(), counts, requests, *absent_is_zero))
        }
        CheckKind::Errors { .. }
        | CheckKind::Latency { .. }
        | CheckKind::Distribution { .. }
        | CheckKind::Mean { .. }
        | CheckKind::Gauge { .. } => None,
    });
    let rates: Vec<_> = rates.collect();
    let Some((_, counts, requests, absent_is_zero)) = rates.iter().find(|(of, ..)| *of == name) else {
        let known: Vec<&str> = rates.iter().map(|(of, ..)| *of).collect();
        let hint = match known.is_empty() {
            true => "; it has none".to_owned(),
            false => suggest::words(name, &known),
        };
        problems.add(&at.place, format!("the spec has no `rate` check {}{hint}", quoted(name)));
        return None;
    };
    let (RateCounts::Events(events) | RateCounts::GoodEvents(events)) = counts;
    let named = |metric: &MetricRef| filled_in(metric, &spec.target, version);
    let shares = shares(at.value?, problems);
    Some(OwnRate {
        name: name.to_owned(),
        events: named(events)?,
        requests: named(requests)?,
        shares,
        absent_is_zero: *absent_is_zero,
    })
}

/// Reports a change that does not come after the one before.
fn rises<T>(changes: &[(Span, T)], from: Span, place: &Place, problems: &mut Problems) {
    if let Some((before, _)) = changes.last().filter(|(before, _)| *before >= from) {
        let (from, before) = (from.spec_form(), before.spec_form());
        problems.add(place, format!("begins at `{from}`, not after the one before (`{before}`); write them in order"));
    }
}

fn latency(list: RawLatencies, problems: &mut Problems) -> Vec<(Span, Latency)> {
    let mut changes = Vec::new();
    for At { place, value: raw } in list.0 {
        let Some(mut raw) = raw else { continue };
        let from = value(raw.from.take()).unwrap_or(Span::ZERO);
        rises(&changes, from, &place, problems);
        changes.extend(durations(raw, &place, problems).map(|latency| (from, latency)));
    }
    changes
}

fn durations(raw: RawDurations, place: &Place, problems: &mut Problems) -> Option<Latency> {
    let usual = Latency::default();
    let (median, p99) = (value(raw.median), value(raw.p99).map(|p99| p99.0));
    let median_ms = match (median, p99) {
        (Some(median), _) => median.0,
        (None, None) => usual.median_ms,
        // As wide as by default.
        (None, Some(p99)) => p99 / usual.p99_factor(),
    };
    if let Some(p99) = p99.filter(|p99| *p99 < median_ms) {
        problems.add(place, format!("the p99 of {p99} ms is below the median of {median_ms} ms"));
        return None;
    }
    let law = Latency::of(median_ms, p99.unwrap_or(median_ms * usual.p99_factor()));
    let slow = value(raw.slow).and_then(|slow| Some((value(slow.share)?.0, value(slow.factor)?.0)));
    Some(slow.map_or(law, |(share, factor)| law.with_slow_path(share, factor)))
}

fn noise(raw: RawNoise) -> Noise {
    Noise {
        failing: value(raw.errors).map_or(0.0, |noise| noise.0),
        latency: value(raw.latency).map_or(0.0, |noise| noise.0),
        memory: value(raw.memory).map_or(0.0, |share| share.0),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 1000")]
fn delivery(raw: RawDelivery, problems: &mut Problems) -> Delivery {
    let usual = Delivery::default();
    let mut time = |at: Option<At<Span>>, default: Span| {
        let Some(At { place, value: Some(span) }) = at else { return default };
        if span > DELAY_MAX {
            problems.add(&place, format!("`{}` is too long; at most {DELAY_MAX}", span.spec_form()));
        }
        span
    };
    let delay = time(raw.delay, usual.invocations);
    let mut delivery = Delivery {
        invocations: time(raw.requests, delay),
        errors: time(raw.errors, delay),
        durations: time(raw.durations, delay),
        jitter: time(raw.jitter, usual.jitter),
        late_by: time(raw.late_by, usual.late_by),
        late_per_mille: usual.late_per_mille,
        versions_alone: value(raw.versions_alone).unwrap_or(usual.versions_alone),
    };
    if let Some(At { place, value: Some(Share(share)) }) = raw.late_share {
        let per_mille = share * 1000.0;
        if (per_mille - per_mille.round()).abs() > 1e-6 {
            problems.add(&place, "is finer than a tenth of a percent; write `0.2%`");
        }
        delivery.late_per_mille = per_mille.round() as u32;
    }
    delivery
}
