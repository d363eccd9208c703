//! The environments of one version.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::Environments;
use crate::units::Timestamp;

/// Microseconds since 1970: at thousands of requests a second, milliseconds would be coarse.
pub(super) type Micros = u64;

pub(super) const SECOND: Micros = 1_000_000;

pub(super) fn micros(at: Timestamp) -> Micros {
    u64::try_from(at.epoch_seconds()).unwrap_or(0) * SECOND
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a while, not below zero")]
pub(super) fn from_ms(ms: f64) -> Micros {
    (ms * 1000.0).round() as Micros
}

/// The first whole second that is not before.
pub(super) fn timestamp(at: Micros) -> Timestamp {
    Timestamp::from_epoch_seconds(i64::try_from(at.div_ceil(SECOND)).unwrap_or(i64::MAX))
}

#[derive(Debug)]
pub(super) struct Pool {
    pub of: Environments,
    provisioned_free: u64,
    /// Environments on demand that are free: since when, and how many requests each has served. The one that was used last
    /// is taken first, as Lambda does, so that those that nobody needs go.
    free: VecDeque<(Micros, u64)>,
    busy: BinaryHeap<Reverse<Busy>>,
    /// How many of the busy ones are on demand.
    pub on_demand: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Busy {
    until: Micros,
    /// `None` for a provisioned one.
    served: Option<u64>,
}

impl Pool {
    pub fn new(of: Environments) -> Self {
        let (free, busy) = (VecDeque::new(), BinaryHeap::new());
        Self { of, provisioned_free: of.provisioned, free, busy, on_demand: 0 }
    }

    /// Requests that run.
    pub fn busy(&self) -> u64 {
        self.busy.len() as u64
    }

    /// What has ended by now sets its environment free.
    pub fn release(&mut self, now: Micros) {
        while let Some(Reverse(ended)) = self.busy.peek().copied().filter(|Reverse(busy)| busy.until <= now) {
            self.busy.pop();
            match ended.served {
                None => self.provisioned_free += 1,
                Some(served) => {
                    self.on_demand -= 1;
                    self.free.push_back((ended.until, served));
                }
            }
        }
    }

    pub fn take_provisioned(&mut self) -> bool {
        let free = self.provisioned_free > 0;
        self.provisioned_free -= u64::from(free);
        free
    }

    /// A warm environment on demand: how many requests it has served.
    pub fn take_free(&mut self, now: Micros) -> Option<u64> {
        let idle = self.of.idle.seconds().saturating_mul(SECOND);
        while self.free.front().is_some_and(|(since, _)| since.saturating_add(idle) < now) {
            self.free.pop_front();
        }
        self.free.pop_back().map(|(_, served)| served)
    }

    /// A request runs in an environment that was taken.
    pub fn occupy(&mut self, until: Micros, served: Option<u64>) {
        self.on_demand += u64::from(served.is_some());
        self.busy.push(Reverse(Busy { until, served }));
    }
}
