//! What happened to a rollout, line by line, and who did it.

use coalmine_core::report;
use coalmine_core::rollout::{Event, PhaseName, Rollout, Why};
use coalmine_core::units::{Timestamp, Weight};

/// Marks on the chart; of more, nobody could tell which is which.
const MARKS_MAX: usize = 12;

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Happened {
    pub at: Timestamp,
    pub label: String,
    pub weight: Weight,
    pub who: String,
    pub text: String,
    /// Where it is on the chart.
    pub mark: Option<usize>,
}

/// Everything that is kept, oldest first.
pub fn happened(rollout: &Rollout) -> Vec<Happened> {
    let (mut lines, mut marks): (Vec<Happened>, usize) = (Vec::new(), 0);
    let mut turned_back = None;
    let mut before: Option<&Event> = None;
    for event in &rollout.history {
        let last = before.replace(event);
        if event.entered == Some(PhaseName::RollingBack) {
            turned_back = Some(&event.why);
        }
        // The line before says so.
        if event.why == Why::SeenLive && last.is_some_and(|last| last.at == event.at) {
            continue;
        }
        let ended = matches!(event.entered, Some(PhaseName::RolledBack | PhaseName::Superseded));
        let text = match ended && turned_back == Some(&event.why) {
            true => format!("all traffic is on {}", rollout.baseline),
            false => report::sentence(&event.why),
        };
        let marked = is_marked(event) && marks < MARKS_MAX;
        marks += usize::from(marked);
        lines.push(Happened {
            at: event.at,
            label: sentence_case(&label(event)),
            weight: event.weight,
            who: who(&event.why),
            text,
            mark: marked.then_some(marks),
        });
    }
    lines
}

/// What a line of history is about, in capitals.
pub fn label(event: &Event) -> String {
    match (event.entered, &event.why) {
        (Some(PhaseName::Shifting | PhaseName::Baking | PhaseName::Promoting) | None, Why::MovedByOthers { .. }) => {
            "FOLLOWS".to_owned()
        }
        (None, Why::Learned { .. }) => "LEARNED".to_owned(),
        (None, Why::Proven { .. }) => "PROVEN".to_owned(),
        (None, Why::Harm { .. }) => "HARM".to_owned(),
        (None, Why::WouldHave { .. }) => "WOULD HAVE".to_owned(),
        (None, Why::Attached) => "ATTACHED".to_owned(),
        (None, Why::Detached) => "DETACHED".to_owned(),
        (None, Why::Cleared) => "CLEARED".to_owned(),
        (None, Why::Chosen { to, .. }) => format!("TO {to}"),
        (None, Why::DeploymentEnded { .. }) => "DEPLOYMENT".to_owned(),
        (Some(PhaseName::Pending), Why::Started { .. }) => "STARTED".to_owned(),
        (Some(PhaseName::Pending), _) => "READY".to_owned(),
        (Some(PhaseName::Shifting), _) => format!("TO {}", event.weight),
        (Some(PhaseName::Baking), _) | (None, Why::SeenLive) => format!("AT {}", event.weight),
        (Some(PhaseName::Paused), _) => "PAUSED".to_owned(),
        (Some(PhaseName::Promoting), _) => format!("TO {}", event.weight),
        (Some(PhaseName::RollingBack), _) => "TURNS BACK".to_owned(),
        (Some(PhaseName::Promoted), _) => "PROMOTED".to_owned(),
        (Some(PhaseName::RolledBack), _) => "ROLLED BACK".to_owned(),
        (Some(PhaseName::Superseded), _) => "SUPERSEDED".to_owned(),
        (None, _) => "NOTED".to_owned(),
    }
}

/// Steps show on the chart by themselves; what people, alarms and others did does not, nor why it stopped.
fn is_marked(event: &Event) -> bool {
    let stopped = matches!(event.entered, Some(PhaseName::Paused | PhaseName::RollingBack));
    stopped || (who(&event.why) != COALMINE && !matches!(event.why, Why::Started { .. }))
}

const COALMINE: &str = "Coalmine";

fn who(why: &Why) -> String {
    match why {
        Why::Started { by }
        | Why::Approved { by, .. }
        | Why::PromotedBy { by, .. }
        | Why::PausedBy { by, .. }
        | Why::ResumedBy { by, .. }
        | Why::AbortedBy { by, .. } => by.clone(),
        Why::Alarm { .. } => "alarm".to_owned(),
        Why::SwitchFired => "dead man's switch".to_owned(),
        Why::NewerRollout { .. } => "newer rollout".to_owned(),
        Why::TakenOver { .. } | Why::PartlyTaken { .. } | Why::MovedByOthers { .. } => "somebody else".to_owned(),
        Why::Learned { .. }
        | Why::Ready
        | Why::Attached
        | Why::Detached
        | Why::StaysAttached { .. }
        | Why::SeenLive
        | Why::Proven { .. }
        | Why::Chosen { .. }
        | Why::NoHarm { .. }
        | Why::NoSteps
        | Why::ApprovalNeeded
        | Why::Harm { .. }
        | Why::Unhealthy { .. }
        | Why::TestFailed { .. }
        | Why::VersionUnusable { .. }
        | Why::Undecided { .. }
        | Why::PauseOver { .. }
        | Why::WatchOver { .. }
        | Why::NobodyToGoBackTo { .. }
        | Why::WouldHave { .. }
        | Why::Cleared
        | Why::DeploymentEnded { .. }
        | Why::NotPutBack { .. }
        | Why::IllegalTransition { .. } => COALMINE.to_owned(),
    }
}

/// `Rolled back`, as a sentence begins.
pub fn sentence_case(text: &str) -> String {
    capitalised(&text.to_lowercase())
}

/// The same words, the first with a capital letter, unless it is a name.
pub fn capitalised(text: &str) -> String {
    if !text.split(' ').next().is_some_and(|word| word.chars().all(char::is_alphabetic)) {
        return text.to_owned();
    }
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
