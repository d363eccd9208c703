//! What one version did, minute by minute, and where in it a release may begin.

use crate::analysis::replay::past;
use crate::analysis::{HistoryMinute, JudgePlan, Load, Measured};
use crate::metrics::past::{DAY, FARTHEST};
use crate::recording::{Line, When};
use crate::spec::CheckMode;
use crate::units::Minute;

/// With less than that before a release, what is learned of the past says little, and the recording is gone round.
const ENOUGH_PAST: i64 = 6 * 60;

/// After the deadline, until its last minute is closed.
const AFTER_DEADLINE: i64 = 3;

/// Minutes that are kept of a case, from its first one on: a recording with a hole of years is no recording of minutes that
/// would have to be kept.
pub(super) const LONGEST: i64 = FARTHEST + DAY;

/// What a start looks at to know the traffic.
const HOUR: i64 = 60;

/// Fewer minutes with data are no traffic.
const MINUTES_LEAST: usize = 10;

/// What one version did.
#[derive(Debug)]
pub struct Traffic {
    plan: JudgePlan,
    /// As the recording writes them.
    first: When,
    last: When,
    /// One per minute, one value per check; a minute of which nothing is known has none.
    minutes: Vec<Vec<Option<Measured>>>,
    with_data: usize,
    left_out: Vec<String>,
    /// Minutes before a start that are its past, and minutes after it.
    past: i64,
    longest: i64,
    round: bool,
}

/// Where a release begins: this minute of the recording is its first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start(i64);

impl Traffic {
    /// `None` without the old version's minutes.
    pub(super) fn of(plan: JudgePlan, lines: &[Line], deadline: i64) -> Option<Self> {
        let (mut plan, found) = past(plan, lines);
        let known = |minute: &&HistoryMinute| minute.measured.iter().any(Option::is_some);
        let (first, last) = (found.iter().find(known)?.minute, found.iter().rev().find(known)?.minute);
        let length = last.minutes_since(first).saturating_add(1).min(LONGEST);
        let mut minutes = vec![Vec::new(); usize::try_from(length).ok()?];
        let mut with_data = 0;
        for minute in found.into_iter().filter(|minute| known(&minute)) {
            let place =
                usize::try_from(minute.minute.minutes_since(first)).ok().and_then(|place| minutes.get_mut(place));
            if let Some(place) = place {
                *place = minute.measured;
                with_data += 1;
            }
        }
        if with_data < MINUTES_LEAST {
            return None;
        }
        // What has no data at all would hold every release.
        let mut left_out = Vec::new();
        for (place, check) in plan.checks.iter_mut().enumerate() {
            let is_known =
                minutes.iter().any(|minute: &Vec<Option<Measured>>| matches!(minute.get(place), Some(Some(_))));
            if !is_known && check.mode != CheckMode::Observe {
                check.mode = CheckMode::Observe;
                left_out.push(check.name.clone());
            }
        }
        let like = |minute| lines.first().map_or(When::Time(minute), |line| line.minute.like(minute));
        let longest = deadline.saturating_add(AFTER_DEADLINE);
        let round = length < longest.saturating_add(ENOUGH_PAST);
        let past = if round { length.min(DAY) } else { (length - longest).min(DAY) };
        Some(Self { plan, first: like(first), last: like(last), minutes, with_data, left_out, past, longest, round })
    }

    /// By which it is judged: with the edges that the recording has, and nothing learned.
    pub(super) fn plan(&self) -> &JudgePlan {
        &self.plan
    }

    /// The first and the last minute with data.
    #[must_use]
    pub fn span(&self) -> (When, When) {
        (self.first, self.last)
    }

    /// Minutes with data, of all those between the first and the last.
    #[must_use]
    pub fn minutes(&self) -> (usize, usize) {
        (self.with_data, self.minutes.len())
    }

    /// The checks that it has no data of: releases are judged without them.
    #[must_use]
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Minutes of the past that a release has before it.
    #[must_use]
    pub fn past(&self) -> i64 {
        self.past
    }

    /// Whether it is too short for a past and a release: then its minutes are gone round, and are the past as well.
    #[must_use]
    pub fn goes_round(&self) -> bool {
        self.round
    }

    /// Requests and events of a check, of those that count events; requests of a distribution.
    #[must_use]
    pub fn total(&self, check: usize) -> (f64, f64) {
        let of_check = self.minutes.iter().filter_map(|minute| minute.get(check)?.as_ref());
        of_check.fold((0.0, 0.0), |(requests, events), measured| match measured {
            Measured::Count(count) => (requests + count.requests, events + count.events),
            Measured::Bins(bins) => (requests + bins.requests(), events),
            Measured::Level(_) => (requests, events),
        })
    }

    /// Times at which a release may begin.
    pub(super) fn starts(&self) -> u64 {
        let length = i64::try_from(self.minutes.len()).unwrap_or(0);
        let starts = if self.round { length } else { length - self.past - self.longest + 1 };
        u64::try_from(starts).unwrap_or(0)
    }

    pub(super) fn start(&self, place: u64) -> Start {
        let place = i64::try_from(place).unwrap_or(0);
        Start(if self.round { place } else { self.past + place })
    }

    /// What came in a minute of a release, counted from its start; nothing where nothing is known.
    pub(super) fn after(&self, start: Start, minute: i64) -> (Minute, &[Option<Measured>]) {
        let place = start.0 + minute;
        let length = i64::try_from(self.minutes.len()).unwrap_or(1).max(1);
        let place_in = if self.round { place.rem_euclid(length) } else { place };
        let found = usize::try_from(place_in).ok().and_then(|place| self.minutes.get(place));
        (self.first.minute().plus(place), found.map_or(&[], Vec::as_slice))
    }

    pub(super) fn day_before(&self, start: Start) -> Vec<HistoryMinute> {
        self.before(start, self.past, |_, measured| measured.clone())
    }

    /// What a start knows of the traffic: the hour before it, of a check that counts events.
    pub(super) fn load_before(&self, start: Start, check: usize) -> Option<Load> {
        let hour = self.before(start, HOUR.min(self.past), |_, measured| measured.clone());
        let counts = hour.iter().filter_map(|minute| match minute.measured.get(check)? {
            Some(Measured::Count(count)) => Some((1.0, count.requests, count.events)),
            Some(Measured::Bins(_) | Measured::Level(_)) | None => None,
        });
        let (minutes, requests, events) = counts.fold((0.0, 0.0, 0.0), |(minutes, requests, events), one| {
            (minutes + one.0, requests + one.1, events + one.2)
        });
        (requests > 0.0).then(|| Load { requests_per_minute: requests / minutes, error_rate: events / requests })
    }

    /// What was before that day, of some checks.
    pub(super) fn earlier(&self, start: Start, places: &[usize]) -> Vec<HistoryMinute> {
        if self.round {
            return Vec::new();
        }
        let mut earlier = self.before(start, start.0.min(FARTHEST), |place, measured| {
            measured.clone().filter(|_| places.contains(&place))
        });
        let day = usize::try_from(self.past).unwrap_or(0);
        earlier.retain(|minute| minute.minute < self.first.minute().plus(start.0 - self.past));
        earlier.truncate(self.minutes.len().saturating_sub(day));
        earlier
    }

    fn before(
        &self,
        start: Start,
        minutes: i64,
        kept: impl Fn(usize, &Option<Measured>) -> Option<Measured>,
    ) -> Vec<HistoryMinute> {
        let all = (-minutes..0).map(|minute| self.after(start, minute)).filter(|(_, measured)| !measured.is_empty());
        let of_minute = |(minute, measured): (Minute, &[Option<Measured>])| {
            let measured = measured.iter().enumerate().map(|(place, one)| kept(place, one)).collect();
            HistoryMinute { minute, measured }
        };
        all.map(of_minute).collect()
    }
}
