//! Who tries again what has failed or found no room, and when.

use super::Running;
use super::pool::{Micros, SECOND};
use crate::sim::durations::Latency;
use crate::sim::rng::Rng;
use crate::units::{Minute, Span};

/// How a function is called, which says what becomes of what fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Invoked {
    /// The caller has the answer, and nobody tries again.
    #[default]
    Synchronously,
    /// Lambda keeps the event: what fails is tried again after one and after two minutes, what is throttled with growing
    /// pauses for six hours.
    Asynchronously,
    /// The queue keeps the batch: what fails or is throttled is visible again so long after it was received, so many times in
    /// all; then it goes to the dead-letter queue.
    FromQueue { visibility: Span, receives: u32 },
}

/// Pauses of Lambda's before it tries again what has failed: two, so there are three tries.
const AFTER_FAILURES: [Span; 2] = [Span::from_minutes(1), Span::from_minutes(2)];

/// The longest that Lambda keeps an event, by default and at most.
const KEPT: Span = Span::from_hours(6);

/// How long Lambda waits after so many tries of an event that found no room: one second, twice as long each time, five
/// minutes at most.
#[must_use]
pub fn backoff(tries: u32) -> Span {
    Span::from_seconds(1_u64.checked_shl(tries.saturating_sub(1)).unwrap_or(u64::MAX).min(300))
}

/// A request, or an event that may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Event {
    since: Micros,
    failures: u32,
    throttles: u32,
    /// No version can deal with it.
    pub poison: bool,
}

impl Event {
    pub fn new(since: Micros, poison: bool) -> Self {
        Self { since, failures: 0, throttles: 0, poison }
    }

    pub fn failed(self) -> Self {
        Self { failures: self.failures + 1, ..self }
    }

    pub fn throttled(self) -> Self {
        Self { throttles: self.throttles + 1, ..self }
    }
}

/// An event that waits for its next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Waiting {
    pub at: Micros,
    pub event: Event,
}

/// What becomes of an event after a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The caller knows.
    Over,
    /// There was no other try.
    Lost,
    Again(Micros),
}

impl Invoked {
    /// Failed in a try from `began` to `ended`.
    pub(super) fn after_failure(self, event: &Event, began: Micros, ended: Micros) -> Fate {
        match self {
            Self::Synchronously => Fate::Over,
            Self::Asynchronously => match AFTER_FAILURES.get(event.failures as usize) {
                Some(pause) => kept(event, ended + micros(*pause)),
                None => Fate::Lost,
            },
            Self::FromQueue { visibility, receives } => {
                received(event, receives, (began + micros(visibility)).max(ended))
            }
        }
    }

    /// Found no room.
    pub(super) fn after_throttle(self, event: &Event, at: Micros) -> Fate {
        match self {
            Self::Synchronously => Fate::Over,
            Self::Asynchronously => kept(event, at + micros(backoff(event.throttles + 1))),
            Self::FromQueue { visibility, receives } => received(event, receives, at + micros(visibility)),
        }
    }

    /// After how many minutes what failed in its first try, its second and so on, is tried again.
    fn pauses(self) -> Vec<i64> {
        match self {
            Self::Synchronously => Vec::new(),
            Self::Asynchronously => AFTER_FAILURES.iter().map(|pause| pause.minutes_ceil()).collect(),
            Self::FromQueue { visibility, receives } => vec![visibility.minutes_ceil().max(1); receives as usize - 1],
        }
    }
}

fn kept(event: &Event, next: Micros) -> Fate {
    if next - event.since > micros(KEPT) { Fate::Lost } else { Fate::Again(next) }
}

/// A try that found no room was a receive, too.
fn received(event: &Event, receives: u32, next: Micros) -> Fate {
    if event.failures + event.throttles + 1 >= receives { Fate::Lost } else { Fate::Again(next) }
}

fn micros(span: Span) -> Micros {
    span.seconds().saturating_mul(SECOND)
}

impl Running<'_> {
    /// How likely a request of the past failed: by itself, or because it was cut off.
    pub fn failing(&self, failing: f64, latency: Latency) -> f64 {
        1.0 - (1.0 - failing) * latency.up_to(self.service.timeout_ms())
    }

    /// Tries of the past, which is told by whole minutes: of the requests of a minute so many failed by themselves. Gives
    /// all tries of the minute, and how many of them failed.
    pub fn with_echoes(
        &mut self,
        minute: Minute,
        (fresh, failed): (u64, u64),
        failing: f64,
        rng: &mut Rng,
    ) -> (u64, u64) {
        let poison_failed = rng.binomial(failed, self.service.poison);
        let poison_fine = rng.binomial(fresh - failed, self.service.poison);
        let failed = failed + poison_fine;
        let mut tried = vec![(fresh, failed, poison_failed + poison_fine, 0)];
        for (count, poison, tries) in self.echoes.remove(&minute.index()).unwrap_or_default() {
            tried.push((count, poison + rng.binomial(count - poison, failing), poison, tries));
        }
        let pauses = self.service.invoked.pauses();
        for (_, failed, poison, tries) in &tried {
            if let Some(pause) = pauses.get(*tries as usize).filter(|_| *failed > 0) {
                self.echoes.entry(minute.index() + pause).or_default().push((*failed, *poison, tries + 1));
            }
        }
        tried.iter().fold((0, 0), |(all, some), (count, failed, ..)| (all + count, some + failed))
    }
}
