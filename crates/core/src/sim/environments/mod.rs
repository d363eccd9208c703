//! Where a function's versions run, request by request: environments that start cold, are kept, and go when nobody uses
//! them; provisioned ones; the concurrency that all of the account share; and events that are tried again.
//!
//! Left out: how fast Lambda may start environments, which no limit of a few thousand ever meets, and what the functions of
//! others in the account do from second to second.

mod pool;
mod retries;
#[cfg(test)]
mod tests;

pub use retries::{Invoked, backoff};

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use pool::{Micros, Pool, SECOND};
use retries::{Event, Fate, Waiting};

use super::durations::{ColdStarts, Latency};
use super::rng::Rng;
use crate::spec::Version;
use crate::units::{Span, Timestamp};

/// What a function runs in, and how it is called.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// A version that is not named has [`Environments::default`].
    pub environments: BTreeMap<Version, Environments>,
    pub account: Account,
    pub invoked: Invoked,
    /// Share of the requests that fail on every version and in every try.
    pub poison: f64,
    /// A request that takes longer is cut off, and has failed.
    pub timeout: Span,
}

impl Service {
    /// Whether the alias has provisioned concurrency.
    #[must_use]
    pub fn is_provisioned(&self) -> bool {
        self.environments.values().any(|of| of.provisioned > 0)
    }

    #[allow(clippy::cast_precision_loss, reason = "a function's timeout")]
    fn timeout_ms(&self) -> f64 {
        self.timeout.seconds() as f64 * 1000.0
    }
}

/// A version's environments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Environments {
    /// How long a new one takes before its first request, which waits for it. No `Duration` has it.
    pub init_ms: f64,
    /// One that nobody used for so long is gone.
    pub idle: Span,
    /// These are there always, warm.
    pub provisioned: u64,
    pub spillover: Spillover,
}

/// What becomes of a request to a version whose provisioned environments are all busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spillover {
    /// It runs on demand.
    #[default]
    Own,
    /// It goes to the other version where that has a provisioned one free, against the weights. AWS says that spillover
    /// may move the split, and not how.
    Other,
}

impl Default for Environments {
    fn default() -> Self {
        Self { init_ms: 400.0, idle: Span::from_minutes(6), provisioned: 0, spillover: Spillover::Own }
    }
}

/// How many requests may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Account {
    /// In all functions together; `None` for more than anybody needs.
    pub concurrency: Option<u64>,
    /// Of these, what other functions use all the time.
    pub others: u64,
    /// Of these, what is reserved for the function, which then has no more than that.
    pub reserved: Option<u64>,
}

impl Account {
    /// What all functions without reserved concurrency have, where so much of it is provisioned.
    fn unreserved(self, provisioned: u64) -> u64 {
        let taken = self.others + self.reserved.unwrap_or(provisioned);
        self.concurrency.map_or(u64::MAX, |all| all.saturating_sub(taken))
    }

    /// What the function may use on demand.
    fn on_demand(self, provisioned: u64) -> u64 {
        self.reserved.map_or(self.unreserved(provisioned), |reserved| reserved.saturating_sub(provisioned))
    }
}

/// How one version deals with the requests of a piece of a minute.
#[derive(Debug, Clone)]
pub struct Law {
    pub version: Version,
    /// Of the requests; all shares come to 1.
    pub share: f64,
    /// Whether it exists and is active.
    pub serves: bool,
    pub failing: f64,
    pub latency: Latency,
    pub cold: Option<ColdStarts>,
}

/// A request that ran.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Call {
    /// The second in which it has ended, or the next one.
    pub ended: Timestamp,
    /// Without the start of its environment.
    pub took_ms: f64,
    pub failed: bool,
}

/// What became of a piece's requests, those that came again included.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ran {
    /// In the order of the laws: what ran, and how many found no version.
    pub versions: Vec<(Vec<Call>, u64)>,
    pub used: Used,
}

/// What a piece's requests needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Used {
    /// Environments that were started: cold starts.
    pub started: u64,
    /// Requests that ran on demand, because all provisioned environments of their version were busy.
    pub spilled: u64,
    /// Tries that found no concurrency left: they ran nowhere.
    pub throttled: u64,
    /// Tries of what had failed or been throttled before.
    pub tried_again: u64,
    /// Events that failed, or found no room, in all of their tries.
    pub lost: u64,
    /// Most requests at once.
    pub most_at_once: u64,
}

impl std::ops::AddAssign for Used {
    fn add_assign(&mut self, other: Self) {
        self.started += other.started;
        self.spilled += other.spilled;
        self.throttled += other.throttled;
        self.tried_again += other.tried_again;
        self.lost += other.lost;
        self.most_at_once = self.most_at_once.max(other.most_at_once);
    }
}

/// The environments of all versions, as they are now.
#[derive(Debug)]
pub struct Running<'a> {
    service: &'a Service,
    pools: Vec<(Version, Pool)>,
    /// What will be tried again.
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// By minute, of the past: how many come again, how many of them are poison, and how often they were tried.
    pub(super) echoes: BTreeMap<i64, Vec<(u64, u64, u32)>>,
    arrivals: Rng,
    routing: Rng,
    outcomes: Rng,
}

/// Where a request runs.
struct Place {
    pool: usize,
    /// How many requests the environment has served; `None` for a provisioned one.
    served: Option<u64>,
    new: bool,
}

impl<'a> Running<'a> {
    #[must_use]
    pub fn new(service: &'a Service, seed: u64) -> Self {
        let pools = service.environments.iter().map(|(version, of)| (version.clone(), Pool::new(*of))).collect();
        Self {
            service,
            pools,
            waiting: BinaryHeap::new(),
            echoes: BTreeMap::new(),
            arrivals: Rng::stream(seed, 11),
            routing: Rng::stream(seed, 12),
            outcomes: Rng::stream(seed, 13),
        }
    }

    /// Everything that arrives in a piece, at so many requests a second, and what comes again in it.
    pub fn run(&mut self, from: Timestamp, until: Timestamp, per_second: f64, laws: &[Law]) -> Ran {
        let pools: Vec<usize> = laws.iter().map(|law| self.pool_of(&law.version)).collect();
        let mut ran = Ran { versions: vec![(Vec::new(), 0); laws.len()], used: Used::default() };
        let until = pool::micros(until);
        // Arrivals remember nothing, so each piece may begin anew.
        let mut fresh = self.arrival(pool::micros(from), per_second);
        loop {
            let again = self.waiting.peek().map_or(Micros::MAX, |Reverse(waiting)| waiting.at);
            let at = fresh.min(again);
            if at >= until {
                return ran;
            }
            let event = if again <= fresh {
                ran.used.tried_again += 1;
                self.waiting.pop().map_or_else(|| Event::new(at, false), |Reverse(waiting)| waiting.event)
            } else {
                fresh = self.arrival(at, per_second);
                Event::new(at, self.service.poison > 0.0 && self.outcomes.chance(self.service.poison))
            };
            self.invoke(at, event, (laws, &pools), &mut ran);
        }
    }

    /// Whether a function without reserved concurrency, as Coalmine's are, could run now.
    pub fn has_room(&mut self, now: Timestamp) -> bool {
        self.release(pool::micros(now));
        let account = self.service.account;
        let used = if account.reserved.is_some() { 0 } else { self.on_demand() };
        used < account.unreserved(self.provisioned())
    }

    fn pool_of(&mut self, version: &Version) -> usize {
        self.pools.iter().position(|(of, _)| of == version).unwrap_or_else(|| {
            self.pools.push((version.clone(), Pool::new(Environments::default())));
            self.pools.len() - 1
        })
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a while")]
    fn arrival(&mut self, after: Micros, per_second: f64) -> Micros {
        if per_second <= 0.0 {
            return Micros::MAX;
        }
        let gap = -(1.0 - self.arrivals.uniform()).ln() / per_second * SECOND as f64;
        after.saturating_add(gap.round() as Micros)
    }

    fn invoke(&mut self, at: Micros, event: Event, (laws, pools): (&[Law], &[usize]), ran: &mut Ran) {
        self.release(at);
        let mut left = self.routing.uniform();
        let chosen = laws.iter().position(|law| {
            left -= law.share;
            left < 0.0
        });
        // What rounding leaves of the shares is the last one's.
        let Some(chosen) = chosen.or(laws.len().checked_sub(1)) else { return };
        if !laws[chosen].serves {
            ran.versions[chosen].1 += 1;
            return;
        }
        let Some(place) = self.place(pools[chosen], at, &mut ran.used) else {
            ran.used.throttled += 1;
            let fate = self.service.invoked.after_throttle(&event, at);
            return self.settle(fate, event.throttled(), ran);
        };
        let runs = pools.iter().position(|pool| *pool == place.pool).unwrap_or(chosen);
        let (ended, call) = self.serve(at, &laws[runs], &place, event.poison);
        ran.used.most_at_once = ran.used.most_at_once.max(self.pools.iter().map(|(_, pool)| pool.busy()).sum());
        ran.versions[runs].0.push(call);
        if call.failed {
            let fate = self.service.invoked.after_failure(&event, at, ended);
            self.settle(fate, event.failed(), ran);
        }
    }

    fn settle(&mut self, fate: Fate, event: Event, ran: &mut Ran) {
        match fate {
            Fate::Over => {}
            Fate::Lost => ran.used.lost += 1,
            Fate::Again(at) => self.waiting.push(Reverse(Waiting { at, event })),
        }
    }

    /// An environment for a request to a version; `None` where no concurrency is left.
    fn place(&mut self, chosen: usize, at: Micros, used: &mut Used) -> Option<Place> {
        if self.pools[chosen].1.take_provisioned() {
            return Some(Place { pool: chosen, served: None, new: false });
        }
        let of = self.pools[chosen].1.of;
        if of.provisioned > 0
            && of.spillover == Spillover::Other
            && let Some(other) = self.pools.iter_mut().position(|(_, pool)| pool.take_provisioned())
        {
            return Some(Place { pool: other, served: None, new: false });
        }
        if self.on_demand() >= self.service.account.on_demand(self.provisioned()) {
            return None;
        }
        used.spilled += u64::from(of.provisioned > 0);
        let warm = self.pools[chosen].1.take_free(at);
        used.started += u64::from(warm.is_none());
        Some(Place { pool: chosen, served: Some(warm.unwrap_or(0)), new: warm.is_none() })
    }

    /// Runs a request, and says when it will have ended.
    fn serve(&mut self, at: Micros, law: &Law, place: &Place, poison: bool) -> (Micros, Call) {
        let slow = law.cold.filter(|cold| place.served.is_some_and(|served| served < cold.requests));
        let timeout_ms = self.service.timeout_ms();
        let took_ms = law.latency.draw(&mut self.outcomes) * slow.map_or(1.0, |cold| cold.factor);
        let failed = poison || took_ms >= timeout_ms || self.outcomes.chance(law.failing);
        let took_ms = took_ms.min(timeout_ms);
        let (_, pool) = &mut self.pools[place.pool];
        let init_ms = if place.new { pool.of.init_ms } else { 0.0 };
        let ended = at + pool::from_ms(init_ms + took_ms);
        pool.occupy(ended, place.served.map(|served| served + 1));
        (ended, Call { ended: pool::timestamp(ended), took_ms, failed })
    }

    fn release(&mut self, now: Micros) {
        self.pools.iter_mut().for_each(|(_, pool)| pool.release(now));
    }

    fn on_demand(&self) -> u64 {
        self.pools.iter().map(|(_, pool)| pool.on_demand).sum()
    }

    fn provisioned(&self) -> u64 {
        self.pools.iter().map(|(_, pool)| pool.of.provisioned).sum()
    }
}
