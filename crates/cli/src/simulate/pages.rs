//! `--report`: what was simulated, as a page with charts.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use coalmine_core::analysis::MinuteSample;
use coalmine_core::rollout::Rollout;
use coalmine_core::sim::scenario::Outcome;
use coalmine_core::text::shown;
use coalmine_core::units::Timestamp;
use coalmine_report::{self as report, Origin, Source};

use crate::Exit;

/// More make a page that no browser likes: each has some hundred kilobytes.
const ROLLOUTS_MAX: usize = 50;

/// The rollouts so far.
#[derive(Debug, Default)]
pub struct Pages {
    what: String,
    again: String,
    kept: Vec<Kept>,
    left_out: usize,
}

#[derive(Debug)]
struct Kept {
    name: String,
    rollout: Arc<Rollout>,
    minutes: Vec<MinuteSample>,
    now: Timestamp,
}

impl Kept {
    fn source<'a>(&'a self, origin: &'a Origin) -> Source<'a> {
        let Self { rollout, minutes, now, .. } = self;
        Source { rollout, minutes, unread: &[], alarms: None, now: *now, origin }
    }
}

impl Pages {
    /// What it is, and the command that does it again.
    pub fn new(what: String, again: String) -> Self {
        Self { what, again, kept: Vec::new(), left_out: 0 }
    }

    /// The rollout of a run, and whatever others there were.
    pub fn keep(&mut self, name: &str, outcome: &Outcome) {
        let own = (name.to_owned(), &outcome.rollout, &outcome.minutes);
        let others = outcome
            .others
            .iter()
            .filter_map(|(id, other)| Some((format!("{name}: {id}"), other, outcome.other_minutes.get(id)?)));
        for (name, rollout, minutes) in std::iter::once(own).chain(others) {
            if self.kept.len() >= ROLLOUTS_MAX {
                self.left_out += 1;
                continue;
            }
            let (rollout, minutes) = (Arc::clone(rollout), minutes.clone());
            self.kept.push(Kept { name, rollout, minutes, now: outcome.stopped_at });
        }
    }

    fn html(&self) -> String {
        let origin = Origin::Simulated { what: self.what.clone(), again: self.again.clone() };
        if let [kept] = self.kept.as_slice() {
            return report::one(kept.source(&origin));
        }
        let left_out = match self.left_out {
            0 => String::new(),
            more => format!(" {more} more are left out."),
        };
        let sources: Vec<(String, Source<'_>)> =
            self.kept.iter().map(|kept| (kept.name.clone(), kept.source(&origin))).collect();
        report::many(&format!("{} releases", self.kept.len()), &format!("{}{left_out}", self.what), &sources)
    }

    /// What is written is said on `err`, and what cannot be.
    pub fn write(&self, path: &Path, err: &mut impl Write) -> io::Result<Exit> {
        if self.kept.is_empty() {
            writeln!(err, "no release was begun, so {} is not written", shown(&path.to_string_lossy(), 4000))?;
            return Ok(Exit::Fine);
        }
        match std::fs::write(path, self.html()) {
            Ok(()) => Ok(Exit::Fine),
            Err(error) => {
                writeln!(err, "cannot write {}: {error}", shown(&path.to_string_lossy(), 4000))?;
                Ok(Exit::Io)
            }
        }
    }
}
