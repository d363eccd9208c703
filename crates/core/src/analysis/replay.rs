//! The judge over a recording: one case's minutes go in, one after the other, and a verdict comes out.
//!
//! The minutes are final: nothing is late, and every minute may be promoted on. Memory does not grow with the number of
//! cases.

mod at_once;
mod hindsight;
mod intake;
pub mod probe;
mod share;
mod trace;

use crate::recording::{Line, When};
use crate::spec::RolloutSpec;
use crate::units::{Minute, Weight};

use super::{
    Analysis, Asked, History, Judge, JudgePlan, MinuteSample, Samples, Verdict, learn, plan, plan_of_recording,
};

pub use at_once::{AtOnce, at_once};
pub use hindsight::{Hindsight, hindsight};
use intake::Intake;
pub use intake::{line_of, past};
use share::Told;
pub use trace::{Point, Total, Trace};

/// Minutes of history that are kept: as long as CloudWatch keeps minutes.
const HISTORY_MOST: usize = 15 * 24 * 60;

/// Minutes that are held back until every distribution has been seen once, because its edges are fixed before the first
/// of them is judged.
const WAIT_FOR_EDGES: usize = 10;

/// What came of one case.
#[derive(Debug)]
pub struct Judged {
    pub case: Option<String>,
    /// Fail if harm was ever proven; else Pass if all that counts is proven as of the last minute.
    pub verdict: Verdict,
    /// First minute at which harm was proven.
    pub decided: Option<When>,
    /// First minute at which every check that counts had proven the tolerance of the step in force.
    pub passed: Option<When>,
    /// Every check as of the last minute.
    pub analysis: Analysis,
    /// First and last minute that was judged; `None` without any.
    pub span: Option<(When, When)>,
    /// Minutes that were judged, and minutes of history.
    pub minutes: usize,
    pub history_minutes: usize,
    /// What a reader should know of the data.
    pub notes: Vec<String>,
    /// How the evidence grew; `None` unless it was asked for.
    pub trace: Option<Trace>,
}

/// Judges recordings by one spec.
#[derive(Debug)]
pub struct Replayer {
    plan: JudgePlan,
    /// Weights of the ladder, rising.
    ladder: Vec<Weight>,
}

impl Replayer {
    #[must_use]
    pub fn new(spec: &RolloutSpec) -> Self {
        Self { plan: plan_of_recording(spec), ladder: spec.steps.iter().map(|step| step.weight).collect() }
    }

    /// The same as it judges while a rollout runs, where a new version's first minutes after each raise do not count for its
    /// latency.
    #[must_use]
    pub fn live(spec: &RolloutSpec) -> Self {
        Self { plan: plan(spec), ..Self::new(spec) }
    }

    /// A case begins; `traced` keeps how its evidence grows.
    #[must_use]
    pub fn begin(&self, traced: bool) -> Replay {
        let intake = Intake::new(self.plan.clone());
        let stage = Stage::Before(Box::new(Before { intake, history: History::default(), waiting: Vec::new() }));
        let told = Told::new(&self.ladder);
        Replay { stage, ladder: self.ladder.clone(), told, seen: Seen::default(), traced }
    }
}

/// One case on its way.
#[derive(Debug)]
pub struct Replay {
    stage: Stage,
    ladder: Vec<Weight>,
    told: Told,
    seen: Seen,
    traced: bool,
}

#[derive(Debug)]
enum Stage {
    Before(Box<Before>),
    Judging(Box<Judging>),
}

/// Until the first minute is judged.
#[derive(Debug)]
struct Before {
    intake: Intake,
    history: History,
    waiting: Vec<Line>,
}

/// From then on: the plan is frozen.
#[derive(Debug)]
struct Judging {
    intake: Intake,
    judge: Judge<'static>,
    step: usize,
    /// First minute of the present step.
    step_since: Option<Minute>,
    passed: Option<Minute>,
    trace: Option<Trace>,
}

/// What is known of a case besides its numbers.
#[derive(Debug, Default)]
struct Seen {
    case: Option<String>,
    span: Option<(When, When)>,
    minutes: usize,
    history_minutes: usize,
    /// Minutes in which one version had all traffic.
    alone: usize,
    /// Minutes of history beyond those that are kept.
    forgotten: usize,
}

impl Replay {
    /// Takes the case's next line in. Lines come in rising order, as [`recording::Reader`](crate::recording::Reader)
    /// sees to.
    pub fn see(&mut self, line: Line) {
        self.seen.case.clone_from(&line.case);
        let Stage::Before(before) = &mut self.stage else { return self.judge(&line) };
        before.intake.take_edges(&line);
        if before.waiting.is_empty() && is_history(&line) {
            if before.history.minutes.len() < HISTORY_MOST {
                before.history.minutes.push(before.intake.history_minute(&line));
            } else {
                self.seen.forgotten += 1;
            }
            return;
        }
        before.waiting.push(line);
        if !before.intake.lacks_edges() || before.waiting.len() >= WAIT_FOR_EDGES {
            self.start();
        }
    }

    /// Its name, as far as it was read.
    #[must_use]
    pub fn case(&self) -> Option<&str> {
        self.seen.case.as_deref()
    }

    /// The case has ended.
    #[must_use]
    pub fn end(mut self) -> Judged {
        self.start();
        let Stage::Judging(judging) = self.stage else { return nothing(self.seen) };
        let analysis = judging.judge.analysis(&judging.samples());
        let like = |minute| self.seen.span.map_or(When::Number(0), |(first, _)| first).like(minute);
        let decided = judging.judge.failed_since().map(like);
        let verdict = if decided.is_some() { Verdict::Fail } else { analysis.verdict };
        let notes = notes(&self.seen, &judging.intake);
        let Seen { case, span, minutes, history_minutes, .. } = self.seen;
        let trace = judging.trace.map(|trace| trace.end(&analysis));
        Judged {
            case,
            verdict,
            decided,
            passed: judging.passed.map(like),
            analysis,
            span,
            minutes,
            history_minutes,
            notes,
            trace,
        }
    }

    /// The history is complete: freezes the plan, and judges what waited for it.
    fn start(&mut self) {
        let Stage::Before(before) = &mut self.stage else { return };
        let waiting = std::mem::take(&mut before.waiting);
        self.seen.history_minutes = before.history.minutes.len();
        let plan = learn(before.intake.plan(), &before.history);
        let trace = self.traced.then(|| Trace::new(plan.checks.len()));
        let judge = Judge::owning(plan.clone(), Asked::EveryStep);
        let intake = Intake::new(plan);
        let judging = Judging { intake, judge, step: 0, step_since: None, passed: None, trace };
        self.stage = Stage::Judging(Box::new(judging));
        waiting.iter().for_each(|line| self.judge(line));
    }

    fn judge(&mut self, line: &Line) {
        let Stage::Judging(judging) = &mut self.stage else { return };
        let weight = line.weight.unwrap_or_else(|| self.told.weight(line));
        if weight == Weight::FULL || weight == Weight::ZERO {
            self.seen.alone += 1;
            return;
        }
        let first = self.seen.span.map_or(line.minute, |(first, _)| first);
        self.seen.span = Some((first, line.minute));
        self.seen.minutes += 1;
        // Between two weights of the ladder, the lower one's step is the one that is not over yet.
        let step = self.ladder.iter().rposition(|rung| *rung <= weight).unwrap_or(0);
        judging.see(line, weight, step);
    }
}

impl Judging {
    fn see(&mut self, line: &Line, weight: Weight, step: usize) {
        let minute = line.minute.minute();
        if self.step_since.is_none() || step != self.step {
            self.step_since = Some(minute);
        }
        self.step = step;
        let sample = MinuteSample { minute, weight, pairs: self.intake.pairs(line) };
        self.judge.weight_is_told(line.weight.is_none());
        self.judge.see(&sample, true, true);
        if self.passed.is_none() && self.judge.passes(step) {
            self.passed = Some(minute);
        }
        let Some(mut trace) = self.trace.take() else { return };
        trace.minute(&sample);
        if trace.is_due() {
            trace.point(minute, &self.judge.analysis(&self.samples()));
        }
        self.trace = Some(trace);
    }

    fn samples(&self) -> Samples {
        Samples { step_since: self.step_since, step: self.step, ..Samples::default() }
    }
}

/// Before the rollout: by the minute's number, or because nothing says that the canary has any traffic. Times have no
/// sign, so there the first minute with a canary or a weight begins the rollout.
fn is_history(line: &Line) -> bool {
    match line.minute {
        When::Number(number) => number < 0,
        When::Time(_) => line.canary.is_none() && line.weight.is_none_or(|weight| weight == Weight::ZERO),
    }
}

fn notes(seen: &Seen, intake: &Intake) -> Vec<String> {
    let mut notes = Vec::new();
    if seen.forgotten > 0 {
        notes.push(format!("{} minutes of history beyond the first 15 days were not used", seen.forgotten));
    }
    if seen.alone > 0 {
        notes.push(format!("{} minutes at 0 % or 100 % were left out: there is nothing to compare", seen.alone));
    }
    notes.extend(intake.notes());
    notes
}

/// A case that was begun and got no line.
fn nothing(seen: Seen) -> Judged {
    let analysis = Analysis {
        comparisons: Vec::new(),
        verdict: Verdict::Inconclusive,
        doubt: None,
        split: None,
        newest: None,
        settled_digest: 0,
        auto: None,
    };
    Judged {
        case: seen.case,
        verdict: Verdict::Inconclusive,
        decided: None,
        passed: None,
        analysis,
        span: None,
        minutes: 0,
        history_minutes: 0,
        notes: Vec::new(),
        trace: None,
    }
}

#[cfg(test)]
mod tests;
