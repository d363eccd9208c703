//! What the keys of the screen do.

use coalmine_core::engine::OrderKind;
use coalmine_core::rollout::PhaseName;
use coalmine_core::spec::Mode;

use super::view::View;

/// An order that a key gives, once it is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Pause,
    Resume,
    Approve,
    Promote,
    Abort,
}

impl Order {
    pub const ALL: [Self; 5] = [Self::Pause, Self::Resume, Self::Approve, Self::Promote, Self::Abort];

    pub fn key(self) -> char {
        match self {
            Self::Pause => 'p',
            Self::Resume => 'r',
            Self::Approve => 'P',
            Self::Promote => 'f',
            Self::Abort => 'a',
        }
    }

    /// In the words of a request.
    pub fn command(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Approve => "approve",
            Self::Promote => "promote",
            Self::Abort => "abort",
        }
    }

    pub fn kind(self) -> OrderKind {
        match self {
            Self::Pause => OrderKind::Pause,
            Self::Resume => OrderKind::Resume,
            Self::Approve => OrderKind::Approve,
            Self::Promote => OrderKind::Promote,
            Self::Abort => OrderKind::Abort,
        }
    }

    pub fn label(self, view: &View) -> &'static str {
        match self {
            Self::Pause => "[p]ause",
            Self::Resume => "[r]esume",
            Self::Approve => "a[P]prove",
            Self::Promote => "[f]ull promote",
            Self::Abort if view.mode == Mode::Observe => "[a] stop observing",
            Self::Abort => "[a]bort to 0 %",
        }
    }

    /// What is asked before it is done: what it does, to whom.
    pub fn question(self, view: &View) -> String {
        let View { rollout, baseline, canary, .. } = view;
        match self {
            Self::Pause => {
                format!("Pause {rollout}? It stays at its weight; alarms and proven harm still roll it back.")
            }
            Self::Resume => format!("Resume {rollout}? It goes on from where it was paused."),
            Self::Approve => format!("Approve {rollout}? It goes on to the next weight."),
            Self::Promote => format!("Promote {rollout} NOW, WITHOUT PROOF? {canary} gets all traffic."),
            Self::Abort if view.mode == Mode::Observe => {
                format!("Stop observing {rollout}? Nothing is moved: the traffic stays as it is.")
            }
            Self::Abort if view.phase == PhaseName::Pending => {
                format!("Abort {rollout}? It ends; all traffic stays on {baseline}.")
            }
            Self::Abort => format!("Abort {rollout}? All traffic goes back to {baseline} now."),
        }
    }

    /// Whether there is anything to say it to, and it is not refused.
    pub fn fits(self, view: &View) -> bool {
        view.orders.iter().any(|order| order == self.command())
    }
}

/// What a key means now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// To be confirmed.
    Ask(Order),
    Confirm(Order),
    Decline,
    /// The sentences of the next check.
    Why,
    /// Back to the whole.
    Back,
    Quit,
    Nothing,
}

/// While something is to be confirmed every key but `y` declines.
pub fn meaning(key: char, view: &View, asked: Option<Order>) -> Meaning {
    match (key, asked) {
        ('y' | 'Y', Some(order)) => Meaning::Confirm(order),
        (_, Some(_)) => Meaning::Decline,
        ('q', None) => Meaning::Quit,
        ('w', None) => Meaning::Why,
        ('\u{1b}', None) => Meaning::Back,
        (key, None) => match Order::ALL.into_iter().find(|order| order.key() == key && order.fits(view)) {
            Some(order) => Meaning::Ask(order),
            None => Meaning::Nothing,
        },
    }
}
