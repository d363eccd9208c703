//! A release as it happened: what the spec would have said of its two versions, minute by minute.

use coalmine_core::analysis::Verdict;
use coalmine_core::analysis::replay::{AtOnce, Judged, Point, Replayer, at_once};
use coalmine_core::recording::{Arm, Line, When};
use coalmine_core::spec::{CheckMode, RolloutSpec, Step};
use coalmine_core::units::Minute;
use serde::Serialize;

use crate::analyze::screen::headline;

/// A release that was judged.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Happened {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    pub how: How,
    /// Who had the traffic after it, where that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// First and last minute that was judged; nothing where there is none.
    pub from: Option<When>,
    pub until: Option<When>,
    pub verdict: Verdict,
    /// First minute at which it was proven worse, or proven fine.
    pub decided_minute: Option<When>,
    pub passed_minute: Option<When>,
    /// The new version's requests until it was proven worse.
    pub requests_until_decided: Option<f64>,
    pub headline: String,
    pub reasons: Vec<String>,
    pub notes: Vec<String>,
    pub minutes: Vec<At>,
}

/// How the traffic was shifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum How {
    /// Both versions had traffic, and were compared.
    Beside,
    /// The new version got all of it in one moment: no comparison, but whether it did what no change of traffic explains.
    AtOnce,
    /// There is nothing to judge.
    NotSeen,
}

/// Who had the traffic after it.
#[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "only of an account can it be asked"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Ended {
    New,
    Old,
    Unknown,
}

/// How much was known at a minute.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct At {
    pub minute: When,
    /// Of the evidence for a rollback, the share that was there, of the check that had most; 1 and a second key are enough.
    pub towards_rollback: f64,
    /// Of the evidence for a promotion, the share that was there, of the check that had least.
    pub towards_proof: f64,
    /// The new version's requests so far.
    pub requests: f64,
}

impl Happened {
    /// `None` where the recording has one version only.
    pub fn of(spec: &RolloutSpec, case: Option<String>, lines: &[Line]) -> Option<Self> {
        let served = |arm: &Option<Arm>| arm.is_some();
        if !lines.iter().any(|line| served(&line.canary)) {
            return None;
        }
        let beside = lines.iter().filter(|line| served(&line.canary) && served(&line.baseline)).count();
        let alone = if beside < MINUTES_LEAST { at_once(spec, lines) } else { None };
        if let Some(alone) = alone {
            let like = |minute| lines.first().map_or(When::Time(minute), |line| line.minute.like(minute));
            return Some(Self::of_one(case, lines, &alone, &like));
        }
        let mut replay = Replayer::live(spec).begin(true);
        lines.iter().cloned().for_each(|line| replay.see(line));
        Some(Self::of_two(case, spec, &replay.end()))
    }

    /// Whether it was proven worse, or proven fine; `None` where nobody can tell: harm that is not proven may be there all the
    /// same, and of what came all at once only a catastrophe can be told.
    pub fn is_caught(&self) -> Option<bool> {
        match (self.how, self.verdict) {
            (How::NotSeen, _) => None,
            (How::Beside | How::AtOnce, Verdict::Fail) => Some(true),
            (How::Beside, Verdict::Pass) => Some(false),
            (How::AtOnce, Verdict::Pass) | (How::Beside | How::AtOnce, Verdict::Inconclusive) => None,
        }
    }

    pub fn is_judged(&self) -> bool {
        self.how != How::NotSeen
    }

    /// Whether it was proven worse only when the steps had baked and it had been proven fine: the controller would have gone
    /// on before.
    pub fn is_caught_late(&self, steps: &[Step]) -> bool {
        let (Some(from), Some(passed), Some(decided)) = (self.from, self.passed_minute, self.decided_minute) else {
            return false;
        };
        let baked = steps.iter().fold(0_i64, |sum, step| sum.saturating_add(step.bake.minutes_ceil()));
        passed.minute().max(from.minute().plus(baked)) < decided.minute()
    }

    /// A release of which nothing is there to be judged.
    #[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "only of an account can it be asked"))]
    pub fn not_seen(old: String, new: String, why: String) -> Self {
        Self {
            case: None,
            old: Some(old),
            new: Some(new),
            how: How::NotSeen,
            ended: None,
            from: None,
            until: None,
            verdict: Verdict::Inconclusive,
            decided_minute: None,
            passed_minute: None,
            requests_until_decided: None,
            headline: "CANNOT BE JUDGED".to_owned(),
            reasons: vec![why],
            notes: Vec::new(),
            minutes: Vec::new(),
        }
    }

    /// The same with the names of its versions.
    #[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "only of an account can it be asked"))]
    pub fn between(mut self, old: &str, new: &str) -> Self {
        (self.old, self.new) = (Some(old.to_owned()), Some(new.to_owned()));
        self
    }

    fn of_two(case: Option<String>, spec: &RolloutSpec, judged: &Judged) -> Self {
        let like = |minute: Minute| judged.span.map_or(When::Time(minute), |(first, _)| first.like(minute));
        let points = judged.trace.as_ref().map(|trace| trace.points.as_slice()).unwrap_or_default();
        let minutes: Vec<At> = points.iter().map(|point| at(spec, point, like(point.minute))).collect();
        let decided = judged.decided.map(When::minute);
        let until = |decided: Minute| minutes.iter().find(|at| at.minute.minute() >= decided).map(|at| at.requests);
        Self {
            case,
            old: None,
            new: None,
            how: if judged.minutes > 0 { How::Beside } else { How::NotSeen },
            ended: None,
            from: judged.span.map(|(first, _)| first),
            until: judged.span.map(|(_, last)| last),
            verdict: judged.verdict,
            decided_minute: judged.decided,
            passed_minute: judged.passed,
            requests_until_decided: decided.and_then(until),
            headline: headline(judged),
            reasons: judged.analysis.comparisons.iter().map(|check| check.sentence.clone()).collect(),
            notes: judged.notes.clone(),
            minutes,
        }
    }

    fn of_one(case: Option<String>, lines: &[Line], alone: &AtOnce, like: &dyn Fn(Minute) -> When) -> Self {
        let served = |line: &Line| line.canary.as_ref().and_then(|arm| arm.requests).unwrap_or(0.0);
        let until = |decided: Minute| lines.iter().filter(|line| line.minute.minute() <= decided).map(served).sum();
        let worse = alone.worse_since;
        let headline = match worse {
            Some(minute) => format!("PROVEN WORSE at minute {}", like(minute)),
            None => "NO CATASTROPHE SEEN; SMALLER HARM CANNOT BE TOLD".to_owned(),
        };
        let (before, after) = alone.minutes;
        let note = format!(
            "the new version got all traffic at once: its first {after} minutes are held against the old one's last \
             {before}, which is not a comparison"
        );
        let last = lines.last().map(|line| line.minute);
        Self {
            case,
            old: None,
            new: None,
            how: How::AtOnce,
            ended: None,
            from: Some(like(alone.since)),
            until: last,
            // What was proven once is not taken back by what came after it.
            verdict: if worse.is_some() { Verdict::Fail } else { alone.analysis.verdict },
            decided_minute: worse.map(like),
            passed_minute: None,
            requests_until_decided: worse.map(until),
            headline,
            reasons: alone.analysis.comparisons.iter().map(|check| check.sentence.clone()).collect(),
            notes: vec![note],
            minutes: Vec::new(),
        }
    }
}

/// Fewer minutes with both versions are the minutes of a switch.
const MINUTES_LEAST: usize = 3;

fn at(spec: &RolloutSpec, point: &Point, minute: When) -> At {
    let checks = || spec.checks.iter().zip(&point.checks);
    let enforced = checks().filter(|(check, _)| check.mode == CheckMode::Enforce);
    let harm = enforced.map(|(_, total)| total.evidence.towards_rollback()).fold(0.0, f64::max);
    let counting = checks().filter(|(check, _)| check.mode != CheckMode::Observe && check.kind.can_prove());
    let proof = counting.map(|(_, total)| total.evidence.towards_proof()).reduce(f64::min);
    At {
        minute,
        towards_rollback: harm.clamp(0.0, 1.0),
        towards_proof: proof.unwrap_or(0.0).clamp(-1.0, 1.0),
        requests: point.checks.iter().map(|total| total.canary.requests).fold(0.0, f64::max),
    }
}
