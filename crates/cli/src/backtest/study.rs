//! How good a spec is on past traffic: how often it rolls back what is fine, and how soon what is not.

use coalmine_core::analysis::percent;
use coalmine_core::recording::When;
use coalmine_core::sim::backtest::{Backtest, Change, Delay, End, Tally, Traffic, Trial};
use coalmine_core::spec::{CheckKind, CheckMode, RolloutSpec};
use coalmine_core::units::{Span, plain_number};
use serde::Serialize;

use super::{Arguments, Case, Timeout, Tried};
use crate::Exit;
use crate::plan::LAG;
use crate::plan::numbers::{Times, each};

/// What is made worse, one at a time.
const TIMES: [f64; 2] = [2.0, 5.0];
const POINTS: [f64; 2] = [0.01, 0.05];
const SLOWER: [f64; 2] = [1.1, 1.5];

/// Checks of which that is done; a spec has a handful.
const CHECKS_MAX: usize = 6;

/// How much is tried.
pub struct Effort {
    runs: usize,
    seed: u64,
    together: f64,
}

impl Effort {
    pub fn of(arguments: &Arguments) -> Self {
        let together = arguments.together.map_or(1.0, f64::from);
        Self { runs: arguments.runs, seed: arguments.seed, together }
    }
}

/// What was tried, and what became of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Study {
    /// Releases of each kind.
    pub runs: usize,
    pub seed: u64,
    /// How many failures came together.
    pub failures_together: f64,
    /// The longest time that one request may take, and whether nobody said so.
    pub timeout_seconds: u64,
    pub timeout_assumed: bool,
    pub traffic: Vec<Seen>,
    /// Of releases that are no worse, the share that the spec's `falseRollback` allows to be rolled back.
    pub promised: f64,
    /// Whether what was seen can be under that promise.
    pub keeps_its_promise: bool,
    /// The old version against itself.
    pub same: Row,
    pub worse: Vec<Row>,
}

/// The traffic of a case.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    pub from: When,
    pub until: When,
    /// With data of the old version.
    pub minutes: usize,
    pub minutes_without: usize,
    pub requests: f64,
    /// Of the first check that counts events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Events>,
    /// Minutes of the past that each release has before it.
    pub past_minutes: i64,
    /// Too short: its minutes come again and again, as the past and as traffic.
    pub goes_round: bool,
    pub left_out: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Events {
    pub check: String,
    pub share: f64,
}

/// Releases of one kind.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub release: String,
    /// The same in two: the check that is made worse, and how.
    #[serde(skip)]
    pub check: String,
    #[serde(skip)]
    pub how: String,
    /// Proven worse.
    pub rolled_back: u64,
    /// The share that was, and where it lies with 95 % certainty.
    pub share: Share,
    pub promoted: u64,
    /// By the deadline neither, and what the spec does then.
    pub undecided: Undecided,
    pub until_rolled_back: Times,
    pub until_promoted: Times,
    /// What the new version got before it was rolled back: half of those that were got no more.
    pub requests_until_rolled_back: Option<f64>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    pub seen: f64,
    pub lower: f64,
    pub upper: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Undecided {
    pub pauses: u64,
    pub rolls_back: u64,
    pub promotes: u64,
}

impl Undecided {
    pub fn all(self) -> u64 {
        self.pauses + self.rolls_back + self.promotes
    }
}

/// Tries the spec on the old version's minutes of every case.
pub fn study(spec: &RolloutSpec, cases: &[Case], timeout: Timeout, effort: &Effort) -> Tried {
    let delay = Delay { lag: LAG, timeout: timeout.span };
    let lines = cases.iter().map(|case| case.lines.as_slice());
    let backtest = Backtest::new(spec, lines, delay, effort.seed)?.with_failures_together(effort.together);
    let worse = changes(spec, backtest.traffic());
    let asked: Vec<Option<Change>> = [None].into_iter().chain(worse.iter().map(|one| Some(one.change))).collect();
    let tried = each(effort.runs, |number| backtest.tried(u64::try_from(number).unwrap_or(0), &asked));
    let row = |check: &str, how: &str, place: usize| {
        let trials: Vec<Trial> = tried.iter().filter_map(|of_one| of_one.get(place)).copied().collect();
        Row::of(check, how, &trials)
    };
    let same = row("the same version", "", 0);
    let promised = spec.analysis.false_rollback;
    Ok(Study {
        runs: effort.runs,
        seed: effort.seed,
        failures_together: effort.together,
        timeout_seconds: timeout.span.seconds(),
        timeout_assumed: timeout.is_assumed,
        traffic: seen(spec, cases, backtest.traffic()),
        promised,
        keeps_its_promise: same.share.lower <= promised,
        worse: (1..).zip(&worse).map(|(place, one)| row(&one.check, &one.how, place)).collect(),
        same,
    })
}

impl Study {
    pub fn exit(&self) -> Exit {
        let tried = u64::try_from(self.runs).unwrap_or(u64::MAX);
        if !self.keeps_its_promise {
            return Exit::Failed;
        }
        // A spec that comes to no end does nobody harm and nobody good.
        if 2 * self.same.undecided.all() > tried { Exit::Undecided } else { Exit::Fine }
    }
}

impl Row {
    fn of(check: &str, how: &str, trials: &[Trial]) -> Self {
        let tally = Tally::of(trials);
        let share = tally.back();
        let after = |end: End| {
            let spans: Vec<Option<Span>> = trials
                .iter()
                .map(|trial| (trial.end == end).then(|| Span::from_minutes(u64::from(trial.minutes))))
                .collect();
            Times::of(&spans)
        };
        let middle = tally.requests_until_back.len().saturating_sub(1) / 2;
        Self {
            release: format!("{check} {how}").trim_end().to_owned(),
            check: check.to_owned(),
            how: how.to_owned(),
            rolled_back: tally.rolled_back,
            share: Share { seen: share.share, lower: share.lower, upper: share.upper },
            promoted: tally.promoted,
            undecided: Undecided {
                pauses: tally.then_paused,
                rolls_back: tally.then_rolled_back,
                promotes: tally.then_promoted,
            },
            until_rolled_back: after(End::RolledBack),
            until_promoted: after(End::Promoted),
            requests_until_rolled_back: tally.requests_until_back.get(middle).copied(),
        }
    }
}

/// What is made worse in the new half, in words and in earnest.
struct Worse {
    check: String,
    /// `2x: 0.8 %`
    how: String,
    change: Change,
}

/// Of each check that can roll back and has data. What never happened cannot happen twice as often.
fn changes(spec: &RolloutSpec, traffic: &[Traffic]) -> Vec<Worse> {
    let mut changes = Vec::new();
    let checks = spec.checks.iter().enumerate().filter(|(_, check)| check.mode == CheckMode::Enforce);
    for (check, of) in checks.take(CHECKS_MAX) {
        let (requests, events) = total(traffic, check);
        if requests <= 0.0 {
            continue;
        }
        let share = events / requests;
        let mut worse = |how: String, change: Change| changes.push(Worse { check: of.name.clone(), how, change });
        match of.kind {
            CheckKind::Errors { .. } | CheckKind::Rate { .. } => {
                for times in TIMES.into_iter().filter(|times| share > 0.0 && share * times < 1.0) {
                    let how = format!("{}x: {}", plain_number(times), percent(share * times));
                    worse(how, Change::Times { check, times });
                }
                for points in POINTS.into_iter().filter(|points| share + points < 1.0) {
                    let unit = if points > 0.01 { "points" } else { "point" };
                    let how = format!("+{} {unit}: {}", plain_number(points * 100.0), percent(share + points));
                    worse(how, Change::Points { check, points });
                }
            }
            CheckKind::Latency { .. } | CheckKind::Distribution { .. } => {
                for times in SLOWER {
                    worse(format!("+{}", percent(times - 1.0)), Change::Slower { check, times });
                }
            }
            CheckKind::Mean { .. } | CheckKind::Gauge { .. } => {}
        }
    }
    changes
}

fn total(traffic: &[Traffic], check: usize) -> (f64, f64) {
    let totals = traffic.iter().map(|traffic| traffic.total(check));
    totals.fold((0.0, 0.0), |(requests, events), one| (requests + one.0, events + one.1))
}

fn seen(spec: &RolloutSpec, cases: &[Case], traffic: &[Traffic]) -> Vec<Seen> {
    let one = |traffic: &Traffic| {
        let (from, end) = traffic.span();
        let (minutes, length) = traffic.minutes();
        // Of a recording that is longer than CloudWatch keeps minutes, the first ones are used.
        let used = i64::try_from(length).map_or(end.minute(), |length| from.minute().plus(length - 1));
        let until = from.like(used.min(end.minute()));
        let totals = || (0..spec.checks.len()).map(|check| traffic.total(check));
        let counts = |kind: &CheckKind| matches!(kind, CheckKind::Errors { .. } | CheckKind::Rate { .. });
        let counting = spec.checks.iter().zip(totals()).find(|(check, (n, _))| counts(&check.kind) && *n > 0.0);
        // The lines of a case begin with the minute that its traffic begins with, or before it.
        let case = if cases.len() > 1 { case_of(cases, from, end) } else { None };
        Seen {
            case,
            from,
            until,
            minutes,
            minutes_without: length.saturating_sub(minutes),
            requests: totals().map(|(requests, _)| requests).fold(0.0, f64::max),
            events: counting.map(|(check, (n, x))| Events { check: check.name.clone(), share: x / n }),
            past_minutes: traffic.past(),
            goes_round: traffic.goes_round(),
            left_out: traffic.left_out().to_vec(),
        }
    };
    traffic.iter().map(one).collect()
}

fn case_of(cases: &[Case], from: When, until: When) -> Option<String> {
    let has = |case: &&Case, when: When| case.lines.iter().any(|line| line.minute == when);
    cases.iter().find(|case| has(case, from) && has(case, until))?.name.clone()
}
