//! What a run has to tell of environments: requests and events that found no room, and what was needed.

use coalmine_core::sim::environments::Used;
use coalmine_core::sim::scenario::Event;
use coalmine_core::units::{Span, Timestamp};

use super::screen::grouped_count;
use super::transcript::{Entries, Transcript, Who, clock};

/// Room again for so long is the end of it.
const OVER_AFTER: Span = Span::from_minutes(3);

/// A while in which some requests found no room.
struct Shortage {
    from: Timestamp,
    until: Timestamp,
    throttled: u64,
}

impl Entries<'_> {
    /// When requests began to find no room, and when they all found some again.
    pub fn shortages(&mut self) {
        let mut shortages: Vec<Shortage> = Vec::new();
        for piece in self.outcome.pieces.iter().filter(|piece| piece.from >= self.outcome.started_at) {
            let throttled = piece.used.throttled;
            match shortages.last_mut().filter(|last| piece.from.since(last.until) < OVER_AFTER) {
                _ if throttled == 0 => {}
                Some(last) => (last.until, last.throttled) = (piece.until, last.throttled + throttled),
                None => shortages.push(Shortage { from: piece.until, until: piece.until, throttled }),
            }
        }
        for Shortage { from, until, throttled } in shortages {
            let text = "no concurrency is left: requests to both versions are throttled, and count for neither";
            self.add(from, Who::World, "THROTTLED", text);
            if self.outcome.stopped_at.since(until) >= OVER_AFTER {
                let text = format!("{} tries had found none", grouped_count(throttled));
                self.add(until, Who::World, "ROOM AGAIN", text);
            }
        }
    }

    /// Events for Coalmine that were given up. Ticks in a row are told as one.
    pub fn undelivered(&mut self) {
        let mut ticks: Vec<(Timestamp, Timestamp, u64)> = Vec::new();
        for (at, event) in &self.outcome.undelivered {
            match event {
                Event::Alarm(name) => {
                    let text = format!("no concurrency is left for the event about the alarm {name}: it is given up");
                    self.add(*at, Who::World, "EVENT LOST", text);
                }
                Event::Tick => match ticks.last_mut().filter(|(_, last, _)| at.since(*last) <= Span::from_minutes(1)) {
                    Some((_, last, count)) => (*last, *count) = (*at, *count + 1),
                    None => ticks.push((*at, *at, 1)),
                },
            }
        }
        for (from, last, count) in ticks {
            let rest = match count {
                1 => String::new(),
                count => {
                    let until = clock(last.since(self.outcome.started_at));
                    format!(", and {} more, until {until}", count - 1)
                }
            };
            let text = format!("no concurrency is left for Coalmine's own tick: it is given up{rest}");
            self.add(from, Who::World, "TICK LOST", text);
        }
    }
}

impl Transcript {
    /// What came of requests that did not run, or not at once.
    pub fn beside_what_ran(&self) -> Vec<String> {
        let Some(Used { throttled, lost, tried_again, .. }) = self.environments else { return Vec::new() };
        let said = match self.is_tried_again {
            false => vec![(throttled, "requests were throttled, which failed, too")],
            true => vec![
                (throttled, "tries were throttled"),
                (tried_again, "tries were not the first"),
                (lost, "events failed in every try"),
            ],
        };
        let some = said.into_iter().filter(|(count, _)| *count > 0);
        some.map(|(count, what)| format!("{} {what}", grouped_count(count))).collect()
    }

    /// What the requests needed.
    pub fn needed(&self) -> Option<String> {
        let Used { started, spilled, most_at_once, .. } = self.environments?;
        let spilled = match spilled {
            0 => String::new(),
            spilled => format!("; {} requests spilled over, beyond the provisioned ones", grouped_count(spilled)),
        };
        let (started, most) = (grouped_count(started), grouped_count(most_at_once));
        Some(format!("{started} started cold; at most {most} requests at once{spilled}"))
    }
}
