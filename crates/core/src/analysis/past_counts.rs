//! What the past of a check that counts events says.

use crate::units::Minute;

use super::history::{EventHistory, History, Learned};
use super::stats::{Dispersion, Exposure, PastMinute, RecentRate};

/// How long CloudWatch keeps minutes; what is older than this before the newest one is left out.
const MOST_MINUTES: i64 = 15 * 24 * 60;

/// Minutes of the past that say what is expected of the rollout's first ones.
const RECENT_MINUTES: usize = 60;

/// `None` without any minute with requests.
pub(super) fn learn(index: usize, history: &History) -> Option<Learned> {
    let (first, minutes) = gapless(index, history)?;
    let (dispersion, set_aside) = Dispersion::learn(&minutes, Exposure::Events);
    let mut recent = RecentRate::default();
    for minute in minutes.iter().rev().take(RECENT_MINUTES).rev() {
        recent.observe(minute.requests, minute.sum);
    }
    let since = |offset: usize| i64::try_from(offset).map_or(first, |offset| first.plus(offset));
    let with_data = minutes.iter().filter(|minute| minute.requests > 0.0).count();
    Some(Learned {
        minutes: u32::try_from(with_data).unwrap_or(u32::MAX),
        set_aside: set_aside.into_iter().map(since).collect(),
        events: Some(EventHistory {
            requests: minutes.iter().map(|minute| minute.requests).sum(),
            events: minutes.iter().map(|minute| minute.sum).sum(),
            recent_requests: recent.requests,
            recent_events: recent.events,
            dispersion,
        }),
        distribution: None,
    })
}

/// Every minute from the first to the last one with requests, oldest first; those without data have no requests.
fn gapless(index: usize, history: &History) -> Option<(Minute, Vec<PastMinute>)> {
    let counts = || {
        let counts = history.minutes.iter().filter_map(|minute| {
            let count = minute.measured.get(index)?.as_ref()?.count()?;
            Some((minute.minute, count))
        });
        counts.filter(|(_, count)| count.requests > 0.0)
    };
    let last = counts().map(|(minute, _)| minute).max()?;
    let first = counts().map(|(minute, _)| minute).min()?.max(last.plus(1 - MOST_MINUTES));
    let length = usize::try_from(last.minutes_since(first).saturating_add(1)).ok()?;
    let mut minutes = vec![PastMinute::default(); length];
    for (minute, count) in counts() {
        let place = usize::try_from(minute.minutes_since(first)).ok().and_then(|place| minutes.get_mut(place));
        if let Some(place) = place {
            *place = PastMinute::events(count.requests, count.events);
        }
    }
    Some((first, minutes))
}
