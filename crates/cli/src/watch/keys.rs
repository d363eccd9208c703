//! What the keys of the screen do.

use coalmine_core::rollout::PhaseName;

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

    pub fn label(self) -> &'static str {
        match self {
            Self::Pause => "[p]ause",
            Self::Resume => "[r]esume",
            Self::Approve => "a[P]prove",
            Self::Promote => "[f]ull promote",
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
            Self::Abort => format!("Abort {rollout}? All traffic goes back to {baseline} now."),
        }
    }

    /// Whether there is anything to say it to.
    pub fn fits(self, view: &View) -> bool {
        match view.phase {
            PhaseName::Promoted | PhaseName::RolledBack | PhaseName::Superseded | PhaseName::RollingBack => false,
            PhaseName::Paused => self != Self::Pause,
            PhaseName::Pending => matches!(self, Self::Pause | Self::Abort),
            PhaseName::Promoting => self == Self::Abort,
            PhaseName::Shifting | PhaseName::Baking => self != Self::Resume,
        }
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
