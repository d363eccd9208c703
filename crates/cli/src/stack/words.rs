//! Rollouts as people read them, at most 100 columns where the words allow it. The first line says whether somebody has to
//! do something.

use coalmine_aws::CliCall;
use coalmine_core::report;
use coalmine_core::rollout::{Event, PauseReason, Phase, PhaseName, Rollout};
use coalmine_core::spec::{Ending, Release};
use coalmine_core::text;

use crate::watch::View;

/// No line is longer, where its words allow it.
const COLUMNS: usize = 100;

/// Of a release's labels.
const LABELS_CHARS: usize = 200;

/// `BAKING  checkout:live  v41 -> v42 at 25 %`, why, and what may be done.
pub fn status(rollout: &Rollout, message: &str) -> String {
    let weight = rollout.weights.last().map(|seen| format!(" at {}", seen.weight)).unwrap_or_default();
    let weight = if rollout.is_terminal() { String::new() } else { weight };
    let Rollout { id, baseline, canary, spec, .. } = rollout;
    let target = text::shown(&spec.target.key(), 200);
    let mut lines = vec![format!("{}  {target}  {baseline} -> {canary}{weight}  ({id})", state(&rollout.phase))];
    lines.push(format!("  {message}"));
    lines.extend(to_do(rollout).map(|line| format!("  {line}")));
    lines.join("\n")
}

/// The same as `watch` says it: the headline, what it is about, what there is to do.
pub fn seen(view: &View) -> String {
    let View { rollout, target, baseline, canary, headline, to_do, commands, phase, .. } = view;
    let mut lines = wrapped(&format!("{headline}  {target}  {baseline} -> {canary}  ({rollout})"), 0);
    lines.extend(wrapped(&to_do.join(" "), 2));
    // Whoever is to decide gets the words for it.
    if *phase == PhaseName::Paused && !commands.is_empty() {
        lines.push(format!("  {}", commands.join("   |   ")));
    }
    lines.iter().map(|line| text::shown(line, 2_000)).collect::<Vec<_>>().join("\n")
}

/// Words in lines of at most a hundred columns where they allow it, all indented; those after the first by two more.
fn wrapped(text: &str, indent: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= COLUMNS => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) => lines.push(format!("{}{word}", " ".repeat(indent + 2))),
            None => lines.push(format!("{}{word}", " ".repeat(indent))),
        }
    }
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

/// What a release is labelled with: `git 3f9c2ab, shop, CHG-8812`; nothing where it is not.
pub fn labels(release: &Release) -> Option<String> {
    let Release { commit, owner, ticket } = release;
    let commit = Some(commit).filter(|commit| !commit.is_empty()).map(|commit| format!("git {commit}"));
    let others = [owner, ticket].into_iter().filter(|label| !label.is_empty()).cloned();
    let labels: Vec<String> = commit.into_iter().chain(others).collect();
    (!labels.is_empty()).then(|| text::shown(&labels.join(", "), LABELS_CHARS))
}

fn state(phase: &Phase) -> &'static str {
    match phase {
        Phase::Pending { behind: Some(_), .. } => "WAITING",
        Phase::Pending { .. } => "PENDING",
        Phase::Shifting { .. } => "SHIFTING",
        Phase::Baking { .. } => "BAKING",
        Phase::Paused { why: PauseReason::Asked { .. }, .. } => "PAUSED",
        Phase::Paused { .. } => "NEEDS YOU",
        Phase::Promoting { live_since: None, .. } => "PROMOTING",
        Phase::Promoting { live_since: Some(_), .. } => "WATCHED",
        Phase::RollingBack { .. } => "ROLLING BACK",
        Phase::Promoted { .. } => "PROMOTED",
        Phase::RolledBack { .. } => "ROLLED BACK",
        Phase::Superseded { .. } => "SUPERSEDED",
    }
}

/// What a pause waits for, until when, and what happens then.
fn to_do(rollout: &Rollout) -> Option<String> {
    let Phase::Paused { until, then, why, .. } = &rollout.phase else { return None };
    let id = &rollout.id;
    let goes_on = match why {
        PauseReason::Asked { .. } => format!("coalmine resume {id}"),
        PauseReason::Approval => format!("coalmine approve {id}"),
        PauseReason::Undecided(_) => format!("coalmine promote {id}"),
    };
    let otherwise = match then {
        Ending::Promote => "goes on",
        Ending::RollBack | Ending::Pause => "rolls back",
    };
    Some(format!("Decide by {until}, else it {otherwise}:   {goes_on}   |   coalmine abort {id}"))
}

/// A line for everything that happened, oldest first.
pub fn history(rollout: &Rollout) -> String {
    let kept = u64::try_from(rollout.history.len()).unwrap_or(u64::MAX);
    let dropped = rollout.events_total.saturating_sub(kept);
    let mut lines = Vec::new();
    if dropped > 0 {
        lines.push(format!("({dropped} older events are no longer kept)"));
    }
    lines.extend(rollout.history.iter().map(event));
    lines.join("\n")
}

/// When, at which weight, what it entered, and why.
pub fn event(event: &Event) -> String {
    let entered = event.entered.map(report::phase_word).unwrap_or_default();
    let why = text::shown(&report::sentence(&event.why), 2_000);
    format!("{}  {:>6}  {entered:<12}  {why}", event.at, event.weight.to_string())
}

/// The commands of the AWS CLI, ready to be pasted into a shell.
pub fn undo(rollout: &Rollout, calls: &[CliCall]) -> String {
    let (baseline, target) = (&rollout.baseline, text::shown(&rollout.spec.target.key(), 200));
    if calls.is_empty() {
        return format!("# {target}: others have taken it; there is nothing of this rollout to put back");
    }
    let mut lines = vec![format!("# all traffic of {target} back to {baseline}, without Coalmine")];
    if rollout.is_terminal() {
        let ended = report::standing(&rollout.phase);
        lines.push(format!("# this rollout {ended}: look first whether a later one is live"));
    }
    for CliCall { service, command, input } in calls {
        lines.push(format!("aws {service} {command} --cli-input-json {}", quoted(&input.to_string())));
    }
    lines.join("\n")
}

/// For a POSIX shell.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
