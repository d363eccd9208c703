//! Past deployments, found from nothing but what each version got: a version begins to have traffic while another one
//! leaves it.

use std::collections::BTreeMap;

use super::{Period, Series, SeriesQuery, Stat, lambda};
use crate::spec::{LambdaTarget, Version};
use crate::units::Minute;

/// A quiet version may be without a request for so many minutes in the middle of a deployment.
const QUIET: i64 = 15;

/// So many minutes before and after a deployment tell which of its versions was there and which one stayed.
const AROUND: i64 = 60;

/// A switch of all traffic comes in the middle of a minute, and takes seconds to be everywhere.
const SWITCH: i64 = 2;

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shift {
    pub old: Version,
    pub new: Version,
    /// From the new version's first minute up to, not including, this one.
    pub from: Minute,
    pub until: Minute,
    pub how: How,
    pub ended: Ended,
}

/// How its traffic was shifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// For a while both versions had traffic.
    Beside,
    /// In one moment.
    AtOnce,
}

/// Who has the traffic after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    New,
    /// It was taken back.
    Old,
    /// Nobody had any, or the series of versions end with their being two.
    Unknown,
}

/// What tells of these versions' deployments.
#[must_use]
pub fn queries(lambda: &LambdaTarget, versions: &[Version], from: Minute, until: Minute) -> Vec<SeriesQuery> {
    let query = |version: &Version| SeriesQuery {
        metric: lambda::invoked(lambda, version),
        stat: Stat::Sum,
        period: Period::Minute,
        from,
        until,
    };
    versions.iter().map(query).collect()
}

/// The deployments, oldest first, from the series of [`queries`] in the same order.
#[must_use]
pub fn shifts(versions: &[Version], series: &[Series]) -> Vec<Shift> {
    let served = Served::of(series);
    let mut found: Vec<Stretch> = served.beside();
    found.extend(served.switches(&found));
    found.sort_by_key(|stretch| (stretch.from, stretch.until));
    let shift = |stretch: Stretch| {
        let (old, new) = served.in_order(&stretch, versions);
        Some(Shift {
            old: versions.get(old)?.clone(),
            new: versions.get(new)?.clone(),
            from: stretch.from,
            until: stretch.until,
            how: served.how(&stretch, old, new),
            ended: served.ended(&stretch, old, new),
        })
    };
    found.into_iter().filter_map(shift).collect()
}

/// Minutes in which two versions had traffic, or between which it went from one to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    versions: (usize, usize),
    from: Minute,
    until: Minute,
}

/// For each minute, what each version got, by its place; only versions that got something.
struct Served(BTreeMap<Minute, BTreeMap<usize, f64>>);

impl Served {
    fn of(series: &[Series]) -> Self {
        let mut minutes: BTreeMap<Minute, BTreeMap<usize, f64>> = BTreeMap::new();
        for (place, series) in series.iter().enumerate() {
            for (minute, requests) in series.iter().filter(|(_, requests)| **requests > 0.0 && requests.is_finite()) {
                minutes.entry(*minute).or_default().insert(place, *requests);
            }
        }
        Self(minutes)
    }

    /// Stretches of the same two versions, those that had most in each minute.
    fn beside(&self) -> Vec<Stretch> {
        let mut found: Vec<Stretch> = Vec::new();
        for (minute, served) in self.0.iter().filter(|(_, served)| served.len() > 1) {
            let mut most: Vec<(&usize, &f64)> = served.iter().collect();
            most.sort_by(|one, other| other.1.total_cmp(one.1));
            let [(one, _), (other, _), ..] = most.as_slice() else { continue };
            let versions = (**one.min(other), **one.max(other));
            let until = minute.plus(1);
            match found.last_mut() {
                Some(last) if last.versions == versions && minute.minutes_since(last.until) <= QUIET => {
                    last.until = until;
                }
                Some(_) | None => found.push(Stretch { versions, from: *minute, until }),
            }
        }
        found
    }

    /// Where a version that was alone is followed by another one that is, and they were never beside each other.
    fn switches(&self, beside: &[Stretch]) -> Vec<Stretch> {
        let alone = |(minute, served): (&Minute, &BTreeMap<usize, f64>)| match served.len() {
            1 => served.keys().next().map(|version| (*minute, *version)),
            _ => None,
        };
        let alone: Vec<(Minute, usize)> = self.0.iter().filter_map(alone).collect();
        let switched = alone.windows(2).filter_map(|pair| {
            let [(left, one), (from, other)] = pair else { return None };
            let versions = (*one.min(other), *one.max(other));
            let shared = |stretch: &Stretch| {
                let near = stretch.until.plus(QUIET) >= *left && stretch.from <= from.plus(QUIET);
                stretch.versions == versions && near
            };
            let lately = from.minutes_since(*left) <= AROUND;
            let is_switch = one != other && lately && !beside.iter().any(shared);
            is_switch.then_some(Stretch { versions, from: *from, until: from.plus(1) })
        });
        switched.collect()
    }

    /// What a version got from one minute up to another.
    fn got(&self, version: usize, from: Minute, until: Minute) -> f64 {
        self.0.range(from..until.max(from)).filter_map(|(_, served)| served.get(&version)).sum()
    }

    /// The old version and the new one. Where nothing tells which one was there before, the one that begins with less is
    /// the new one.
    fn in_order(&self, stretch: &Stretch, versions: &[Version]) -> (usize, usize) {
        let (one, other) = stretch.versions;
        let compared =
            |from: Minute, until: Minute| self.got(one, from, until).total_cmp(&self.got(other, from, until));
        let number = |place: usize| versions.get(place).and_then(|version| version.0.parse::<u64>().ok());
        let order = compared(stretch.from.plus(-AROUND), stretch.from)
            .then(compared(stretch.from, stretch.from.plus(SWITCH + 1)))
            .then(number(other).cmp(&number(one)));
        if order.is_lt() { (other, one) } else { (one, other) }
    }

    fn how(&self, stretch: &Stretch, old: usize, new: usize) -> How {
        let short = stretch.until.minutes_since(stretch.from) <= SWITCH;
        let was_there = self.got(old, stretch.from.plus(-AROUND), stretch.from) > 0.0;
        let stays = self.got(new, stretch.until, stretch.until.plus(AROUND)) > 0.0;
        if short && was_there && stays { How::AtOnce } else { How::Beside }
    }

    fn ended(&self, stretch: &Stretch, old: usize, new: usize) -> Ended {
        let after = |version: usize| self.got(version, stretch.until, stretch.until.plus(AROUND)) > 0.0;
        match (after(old), after(new)) {
            (false, true) => Ended::New,
            (true, false) => Ended::Old,
            (true, true) | (false, false) => Ended::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSIONS: [&str; 4] = ["41", "42", "43", "44"];

    fn versions() -> Vec<Version> {
        VERSIONS.map(|version| Version(version.to_owned())).to_vec()
    }

    fn at(minute: i64) -> Minute {
        Minute::from_index(29_921_160 + minute)
    }

    /// What each version got in each minute.
    fn found(minutes: i64, got: impl Fn(i64) -> [f64; 4]) -> Vec<(String, String, i64, i64, How, Ended)> {
        let mut series = vec![Series::new(); VERSIONS.len()];
        for minute in 0..minutes {
            for (series, got) in series.iter_mut().zip(got(minute)).filter(|(_, got)| *got > 0.0) {
                series.insert(at(minute), got);
            }
        }
        let shifts = shifts(&versions(), &series);
        let told = |shift: Shift| {
            let minute = |minute: Minute| minute.minutes_since(at(0));
            (shift.old.0, shift.new.0, minute(shift.from), minute(shift.until), shift.how, shift.ended)
        };
        shifts.into_iter().map(told).collect()
    }

    fn shift(
        old: &str,
        new: &str,
        from: i64,
        until: i64,
        how: How,
        ended: Ended,
    ) -> (String, String, i64, i64, How, Ended) {
        (old.to_owned(), new.to_owned(), from, until, how, ended)
    }

    #[test]
    fn deployments_are_found_however_they_were_shifted() {
        // 10 % for ten minutes, and then all; all at once; in steps, and taken back; a version that nobody calls any more.
        let seen = found(600, |minute| match minute {
            0..100 => [100.0, 0.0, 0.0, 0.0],
            100..110 => [90.0, 10.0, 0.0, 0.0],
            110..300 => [0.0, 100.0, 0.0, 0.0],
            // The switch is in the middle of a minute.
            300 => [0.0, 40.0, 60.0, 0.0],
            301..500 => [0.0, 0.0, 100.0, 0.0],
            500..506 => [0.0, 0.0, 95.0, 5.0],
            506..512 => [0.0, 0.0, 75.0, 25.0],
            _ => [0.0, 0.0, 100.0, 0.0],
        });
        assert_eq!(
            seen,
            [
                shift("41", "42", 100, 110, How::Beside, Ended::New),
                shift("42", "43", 300, 301, How::AtOnce, Ended::New),
                shift("43", "44", 500, 512, How::Beside, Ended::Old),
            ]
        );
    }

    #[test]
    fn a_switch_between_two_minutes_and_the_way_back_are_deployments_too() {
        let seen = found(300, |minute| match minute {
            100..200 => [0.0, 100.0, 0.0, 0.0],
            _ => [100.0, 0.0, 0.0, 0.0],
        });
        assert_eq!(
            seen,
            [
                shift("41", "42", 100, 101, How::AtOnce, Ended::New),
                shift("42", "41", 200, 201, How::AtOnce, Ended::New)
            ]
        );
    }

    /// Lambda may tell of versions only while two share an alias.
    #[test]
    fn what_is_told_only_of_the_split_is_enough_to_find_it() {
        let split = |minute: i64| match minute {
            50..56 => [0.0, 95.0, 5.0, 0.0],
            // A quiet minute of the new version, which is then unshared.
            56 => [0.0, 75.0, 0.0, 0.0],
            57..62 => [0.0, 75.0, 25.0, 0.0],
            _ => [0.0; 4],
        };
        assert_eq!(found(200, split), [shift("42", "43", 50, 62, How::Beside, Ended::Unknown)]);
        // The new one may begin with half of it: the higher number is newer.
        let half = |minute: i64| if (50..60).contains(&minute) { [0.0, 0.0, 50.0, 50.0] } else { [0.0; 4] };
        assert_eq!(found(200, half), [shift("43", "44", 50, 60, How::Beside, Ended::Unknown)]);
    }

    #[test]
    fn nothing_is_found_where_nothing_happened() {
        assert!(found(200, |_| [0.0, 100.0, 0.0, 0.0]).is_empty());
        assert!(found(200, |_| [0.0; 4]).is_empty());
        // A night of silence in between is no switch.
        let night = |minute: i64| match minute {
            0..50 => [100.0, 0.0, 0.0, 0.0],
            150.. => [0.0, 100.0, 0.0, 0.0],
            _ => [0.0; 4],
        };
        assert!(found(200, night).is_empty());
    }
}
