//! Traffic of a function whose requests are run one by one, in environments.

use std::collections::BTreeMap;

use super::{Datapoint, Generator, Piece, Served, Tally, Told, series};
use crate::sim::durations::Durations;
use crate::sim::environments::{Call, Law, Running, Service};
use crate::spec::Version;
use crate::units::{Minute, Span, Timestamp};

/// As long as the first environments matter, and most of what comes again.
const SETTLES: Span = Span::from_minutes(15);

impl<'a> Generator<'a> {
    /// The same, run one by one where it says in what.
    #[must_use]
    pub fn in_environments(mut self, service: Option<&'a Service>) -> Self {
        self.running = service.map(|service| Running::new(service, self.seed));
        self
    }

    /// Whether the account has concurrency left for another function, at the moment up to which traffic was made.
    pub fn has_room(&mut self) -> bool {
        let now = self.done;
        self.running.as_mut().is_none_or(|running| running.has_room(now))
    }

    /// A piece of one minute.
    pub(super) fn run_piece_one_by_one(&mut self, minute: Minute, from: Timestamp, until: Timestamp) {
        let per_second = self.rate(minute);
        let shares = self.world.shares(&self.target);
        let laws: Vec<Law> =
            shares.into_iter().map(|(version, share)| self.law(version, share, minute, from)).collect();
        let Some(running) = &mut self.running else { return };
        if self.pieces.is_empty() {
            // What was there before traffic is looked at has started its environments, and has failed before.
            running.run(from - SETTLES, from, per_second, &laws);
        }
        let ran = running.run(from, until, per_second, &laws);
        let alone = ran.versions.iter().filter(|(calls, _)| !calls.is_empty()).count() <= 1;
        let mut versions = BTreeMap::new();
        for (law, (calls, unserved)) in laws.iter().zip(&ran.versions) {
            self.tell_calls(&law.version, minute, until, calls, alone);
            let failed = calls.iter().filter(|call| call.failed).count() as u64;
            let requests = calls.len() as u64 + unserved;
            if requests > 0 {
                versions
                    .insert(law.version.clone(), Tally { requests, failed: failed + unserved, unserved: *unserved });
            }
        }
        let arrives = until + self.traffic.delivery.invocations;
        series::tell_used(self.world, &self.target, minute, &ran.used, arrives);
        self.pieces.push(Piece { from, until, versions, used: ran.used });
    }

    fn law(&mut self, version: Version, share: f64, minute: Minute, at: Timestamp) -> Law {
        let serves = self.world.can_serve(&self.target, &version);
        let behaviour = self.traffic.versions.get(&version).cloned().unwrap_or_default();
        let after = at.since(self.release);
        let mood = self.mood(&version, behaviour.noise, minute);
        let failing = (behaviour.failing_at(after) * mood.failing.exp()).min(1.0);
        let latency = behaviour.latency_at(after).times(mood.latency.exp());
        Law { version, share, serves, failing, latency, cold: behaviour.cold_starts }
    }

    /// A datapoint belongs to the minute in which the request began, and comes when it has ended.
    fn tell_calls(&mut self, version: &Version, minute: Minute, until: Timestamp, calls: &[Call], alone: bool) {
        let late_share = f64::from(self.traffic.delivery.late_per_mille) / 1000.0;
        let late_by = self.traffic.delivery.late_by;
        let mut ended: BTreeMap<Timestamp, Vec<&Call>> = BTreeMap::new();
        for call in calls {
            let told = if call.ended <= until { until } else { minute_after(call.ended) };
            let late = if self.delivery.chance(late_share) { late_by } else { Span::ZERO };
            ended.entry(told + late).or_default().push(call);
        }
        let parts: Vec<_> = ended.into_iter().map(|(at, calls)| (minute, self.told_of(&calls, at))).collect();
        if !parts.is_empty() {
            self.tell_own(version, &parts);
            self.put(version, &parts, alone);
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "no minute has 2^53 requests")]
    fn told_of(&mut self, calls: &[&Call], ended: Timestamp) -> Told {
        let delivery = self.traffic.delivery;
        let mut arrives =
            |lag: Span| ended + lag.plus(Span::from_seconds(self.delivery.below(delivery.jitter.seconds() + 1)));
        let samples = calls.len() as f64;
        let failed = calls.iter().filter(|call| call.failed).count() as f64;
        let requests = Datapoint { sum: samples, samples, arrives: arrives(delivery.invocations) };
        let failed = Datapoint { sum: failed, samples, arrives: arrives(delivery.errors) };
        let took = Durations::measured(calls.iter().map(|call| call.took_ms), arrives(delivery.durations));
        Told { requests, failed, refused: 0.0, took: vec![took] }
    }

    /// A minute of the past, with what came again in it.
    pub(super) fn echo(&mut self, minute: Minute, served: &mut Served) {
        let Some(running) = &mut self.running else { return };
        let (requests, failed) = (served.tally.requests, served.tally.failed);
        let (requests, failed) = running.with_echoes(minute, (requests, failed), served.failing, &mut self.failures);
        served.tally = Tally { requests, failed, ..served.tally };
    }
}

fn minute_after(at: Timestamp) -> Timestamp {
    (at - Span::from_seconds(1)).minute().plus(1).start()
}
