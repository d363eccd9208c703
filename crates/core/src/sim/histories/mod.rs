//! Small histories: a short release, minute by minute, and in each minute one thing that may happen and one call that may
//! go wrong. Either all of them, or long ones by chance; a broken promise is shown by the shortest history that breaks it.

mod chance;
mod explore;
mod releases;
mod stage;

use std::fmt;
use std::str::FromStr;

pub use chance::{at_random, shrunk};
pub use explore::{Explored, Limits, explore};
pub use releases::{RELEASES, Release};
pub use stage::{Stage, replay};

use super::faults::Way;
use super::invariants::Violation;
use crate::engine::OrderKind;
use crate::ports::FaultKind;

/// What may happen in a minute beside its tick, or instead of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// Nothing: the tick comes.
    Tick,
    /// The tick does not come.
    Lost,
    /// It comes twice.
    Twice,
    /// Two controllers tick at the same time, their calls interleaved.
    Rival,
    /// While a call of the tick is slow, a person aborts, and the next ticks come.
    Outlived,
    /// While a call of the tick is slow, a person promotes, and the next ticks come.
    Hurried,
    /// The tick says that it is two minutes earlier than it is.
    Late,
    /// It says that it is two minutes later.
    Early,
    /// No tick comes for 25 minutes: longer than the dead man's switch waits.
    Asleep,
    /// The alarm goes red, and its event arrives.
    Red,
    /// The alarm is quiet again.
    Quiet,
    Order(OrderKind),
    /// A newer version is to be released to the same target.
    Newer,
    /// Somebody writes the target: all to a third version, to the new one, to the old one; or a weight of their own.
    WritesThird,
    WritesNew,
    WritesOld,
    WritesSplit,
    /// The new version fails many requests from now on.
    Worse,
    /// It fails as few as the old one.
    Better,
    /// CloudWatch has nothing new from now on.
    Silent,
    /// The table is put back to what it was a minute ago.
    Restored,
    /// The switch that turns every writer off, and on again.
    Observe,
    Enforce,
}

impl Act {
    pub const ALL: [Self; 27] = [
        Self::Tick,
        Self::Lost,
        Self::Twice,
        Self::Rival,
        Self::Outlived,
        Self::Hurried,
        Self::Late,
        Self::Early,
        Self::Asleep,
        Self::Red,
        Self::Quiet,
        Self::Order(OrderKind::Pause),
        Self::Order(OrderKind::Resume),
        Self::Order(OrderKind::Approve),
        Self::Order(OrderKind::Promote),
        Self::Order(OrderKind::Abort),
        Self::Newer,
        Self::WritesThird,
        Self::WritesNew,
        Self::WritesOld,
        Self::WritesSplit,
        Self::Worse,
        Self::Better,
        Self::Silent,
        Self::Restored,
        Self::Observe,
        Self::Enforce,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Tick => "tick",
            Self::Lost => "lost",
            Self::Twice => "twice",
            Self::Rival => "rival",
            Self::Outlived => "outlived",
            Self::Hurried => "hurried",
            Self::Late => "late",
            Self::Early => "early",
            Self::Asleep => "asleep",
            Self::Red => "red",
            Self::Quiet => "quiet",
            Self::Order(OrderKind::Pause) => "pause",
            Self::Order(OrderKind::Resume) => "resume",
            Self::Order(OrderKind::Approve) => "approve",
            Self::Order(OrderKind::Promote) => "promote",
            Self::Order(OrderKind::Abort) => "abort",
            Self::Newer => "newer",
            Self::WritesThird => "writesThird",
            Self::WritesNew => "writesNew",
            Self::WritesOld => "writesOld",
            Self::WritesSplit => "writesSplit",
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Silent => "silent",
            Self::Restored => "restored",
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

/// What goes wrong with one call, counted from 0: in the invocation that the act itself causes, or else in the tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mishap {
    pub call: usize,
    pub way: Way,
}

/// The ways in which a call goes wrong, with their names.
pub const WAYS: [(Way, &str); 12] = [
    (Way::Fails(FaultKind::Throttled), "throttled"),
    (Way::Fails(FaultKind::Denied), "denied"),
    (Way::KilledAfter, "killedAfter"),
    (Way::AnswerLost, "answerLost"),
    (Way::Stale, "stale"),
    (Way::Half, "half"),
    (Way::Old, "old"),
    (Way::KilledBefore, "killedBefore"),
    (Way::Hangs, "hangs"),
    (Way::Panics, "panics"),
    (Way::Slow, "slow"),
    (Way::Stalls, "stalls"),
];

/// A minute that is not like the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Turn {
    pub minute: u64,
    pub act: Act,
    pub mishap: Option<Mishap>,
}

/// What happened, in rising minutes. Written as it is read: `3 abort, 4 tick killedAfter@7`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct History(pub Vec<Turn>);

/// A history that breaks promises.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{history}` breaks {} promises, first: {}", .violations.len(), .violations.first().map(ToString::to_string).unwrap_or_default())]
pub struct Counterexample {
    pub history: History,
    pub violations: Vec<Violation>,
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, Turn { minute, act, mishap }) in self.0.iter().enumerate() {
            write!(f, "{}{minute} {}", if place > 0 { ", " } else { "" }, act.name())?;
            if let Some(Mishap { call, way }) = mishap {
                let name = WAYS.iter().find(|(known, _)| known == way).map_or("fails", |(_, name)| name);
                write!(f, " {name}@{call}")?;
            }
        }
        Ok(())
    }
}

/// What in a history's text cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no turn of a history: it is a minute, what happens, and what goes wrong if anything, as in `4 tick killedAfter@7`"
)]
pub struct NoTurn(String);

impl FromStr for History {
    type Err = NoTurn;

    fn from_str(text: &str) -> Result<Self, NoTurn> {
        let turns = text.split(',').map(str::trim).filter(|turn| !turn.is_empty());
        turns.map(|turn| read(turn).ok_or_else(|| NoTurn(turn.to_owned()))).collect::<Result<_, _>>().map(Self)
    }
}

fn read(turn: &str) -> Option<Turn> {
    let mut words = turn.split_whitespace();
    let minute = words.next()?.parse().ok()?;
    let name = words.next()?;
    let act = Act::ALL.into_iter().find(|act| act.name() == name)?;
    let mishap = match words.next() {
        None => None,
        Some(mishap) => {
            let (name, call) = mishap.split_once('@')?;
            let (way, _) = WAYS.into_iter().find(|(_, known)| *known == name)?;
            Some(Mishap { call: call.parse().ok()?, way })
        }
    };
    words.next().is_none().then_some(Turn { minute, act, mishap })
}

#[cfg(test)]
mod tests;
