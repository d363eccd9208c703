//! What another service's deployment came to, beside what Coalmine did or would have done about it, and when.

use serde::Serialize;

use crate::ports::Unreadable;
use crate::report;
use crate::rollout::{Event, Phase, PhaseName, Rollout, Why};
use crate::spec::{Mode, Version};
use crate::units::Timestamp;

/// One deployment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// `d-3GSL8P2NK`, which is also the rollout's name.
    pub deployment: String,
    /// All of it in a sentence.
    pub message: String,
    /// Unknown where the rollout cannot be read.
    #[serde(flatten)]
    pub seen: Option<Compared>,
}

/// What is known of a deployment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    pub target: String,
    pub baseline: Version,
    pub canary: Version,
    /// Whether Coalmine only watched.
    pub mode: Mode,
    pub started: Timestamp,
    /// How it ended; nothing while it goes on, and where Coalmine had ended before: its last hook was told to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Happened>,
    /// What Coalmine did or would have done; nothing without a verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coalmine: Option<Happened>,
    /// How many minutes before the end that was; less than 0 for after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minutes_earlier: Option<i64>,
}

/// Something, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Happened {
    pub at: Timestamp,
    /// A sentence.
    pub what: String,
}

impl Happened {
    fn of(event: &Event) -> Self {
        Self { at: event.at, what: report::sentence(&event.why) }
    }
}

impl Evidence {
    #[must_use]
    pub fn of_stored(stored: &Result<Rollout, Unreadable>) -> Self {
        match stored {
            Ok(rollout) => Self::of(rollout),
            Err(error) => {
                let message = format!("{error}: {}", error.fault);
                Self { deployment: error.id.clone(), message, seen: None }
            }
        }
    }

    #[must_use]
    pub fn of(rollout: &Rollout) -> Self {
        let ended = rollout.history.iter().rev().find(|event| matches!(event.why, Why::DeploymentEnded { .. }));
        let ended = ended.map(Happened::of);
        let coalmine = verdict(rollout).map(Happened::of);
        let both = ended.as_ref().zip(coalmine.as_ref());
        let seen = Compared {
            target: rollout.spec.target.key(),
            baseline: rollout.baseline.clone(),
            canary: rollout.canary.clone(),
            mode: rollout.spec.mode,
            started: rollout.started_at,
            minutes_earlier: both.map(|(ended, coalmine)| minutes_between(coalmine.at, ended.at)),
            ended,
            coalmine,
        };
        Self { deployment: rollout.id.clone(), message: message(rollout, &seen), seen: Some(seen) }
    }
}

/// The event that tells best what Coalmine made of it: the first that would turn back, or else the first that would go on.
fn verdict(rollout: &Rollout) -> Option<&Event> {
    let history = || rollout.history.iter();
    history().find(|event| turns_back(event)).or_else(|| history().find(|event| goes_on(&event.why)))
}

fn turns_back(event: &Event) -> bool {
    let own = !matches!(event.why, Why::DeploymentEnded { .. } | Why::MovedByOthers { .. });
    match (&event.why, event.entered) {
        (Why::WouldHave { what, .. }, _) => what.starts_with("rolled back"),
        (_, Some(PhaseName::RollingBack | PhaseName::RolledBack)) => own,
        _ => false,
    }
}

fn goes_on(why: &Why) -> bool {
    matches!(why, Why::WouldHave { .. } | Why::Proven { .. } | Why::NoHarm { .. } | Why::WatchOver { .. })
}

fn minutes_between(earlier: Timestamp, later: Timestamp) -> i64 {
    let minutes = |seconds: u64| i64::try_from(seconds / 60).unwrap_or(i64::MAX);
    // One of the two is 0: time spans do not go below it.
    minutes(later.since(earlier).seconds()) - minutes(earlier.since(later).seconds())
}

/// `v41 to v42 on checkout:live: CodeDeploy deployment d-3GSL8P2NK has succeeded (2026-11-21T14:20:00Z); Coalmine: observe
/// mode: would have rolled back: proven worse (2026-11-21T14:08:00Z), 12 minutes earlier`
fn message(rollout: &Rollout, seen: &Compared) -> String {
    let said = |happened: &Happened| format!("{} ({})", happened.what, happened.at);
    let ended = match &seen.ended {
        Some(ended) => said(ended),
        None if matches!(rollout.phase, Phase::Promoted { .. }) => "the deployment was let through".to_owned(),
        None if rollout.is_terminal() => "nobody saw how the deployment ended".to_owned(),
        None => "the deployment goes on".to_owned(),
    };
    let coalmine = seen.coalmine.as_ref().map_or_else(|| "no verdict".to_owned(), said);
    let when = match seen.minutes_earlier {
        Some(1) => ", 1 minute earlier".to_owned(),
        Some(minutes @ 2..) => format!(", {minutes} minutes earlier"),
        Some(-1) => ", 1 minute later".to_owned(),
        Some(minutes @ ..0) => format!(", {} minutes later", minutes.unsigned_abs()),
        Some(0) | None => String::new(),
    };
    format!("{} to {} on {}: {ended}; Coalmine: {coalmine}{when}", seen.baseline, seen.canary, seen.target)
}
