//! Coalmine's own functions where the account's concurrency is used up: events wait for room in Lambda's queue, and are
//! given up in the end.

use super::{Run, RunError, Step, blind};
use crate::driver;
use crate::sim::budget::SimBudget;
use crate::sim::environments::backoff;
use crate::sim::executor::run_now;
use crate::sim::invariants::Snapshot;
use crate::spec::Problem;
use crate::units::{Span, Timestamp};

/// What calls Coalmine by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Tick,
    /// Of this name.
    Alarm(String),
}

impl Event {
    /// How long Lambda keeps it: `MaximumEventAgeInSeconds` of the functions in `template.yaml`.
    fn kept(&self) -> Span {
        match self {
            Self::Tick => Span::from_seconds(60),
            Self::Alarm(_) => Span::from_minutes(10),
        }
    }
}

impl Step {
    /// Not the schedule's, which goes on for ever.
    pub(super) fn is_of_others(&self) -> bool {
        !matches!(self, Self::Tick | Self::Again(Event::Tick, ..))
    }
}

impl Run<'_> {
    /// An event of this time reaches its function, or waits for the next try.
    pub(super) fn deliver(&mut self, event: Event, since: Timestamp, tries: u32) -> Result<(), RunError> {
        if self.traffic.has_room() {
            return match &event {
                Event::Tick => self.tick(),
                Event::Alarm(name) => self.alarm(name),
            };
        }
        let next = self.world.now() + backoff(tries + 1);
        if next.since(since) > event.kept() {
            self.undelivered.push((since, event));
        } else {
            self.schedule(next, Step::Again(event, since, tries + 1));
        }
        Ok(())
    }

    fn alarm(&mut self, name: &str) -> Result<(), RunError> {
        let before = Snapshot::of(self.world);
        let (rules, now) = (self.rules(), self.world.now());
        let ports = self.ports(&rules, 4);
        let budget = SimBudget::plenty();
        let report = run_now(driver::alarm(&ports, name, now, &budget, &self.scenario.settings));
        self.calls.push((now, ports.calls().len()));
        self.keep(report, &rules)?;
        let after = Snapshot::of(self.world);
        self.check(&before, &after, blind(&rules));
        Ok(())
    }
}

/// What somebody who sends a command is told.
pub(super) fn refusal() -> Problem {
    Problem::at("", "Lambda throttles the function: TooManyRequestsException, rate exceeded")
}
