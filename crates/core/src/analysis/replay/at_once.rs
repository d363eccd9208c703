//! A release that got all traffic at once, so that its two versions were never beside each other.

use crate::analysis::{Analysis, MinuteSample, Pair, Samples, Verdict, judge, learn};
use crate::recording::Line;
use crate::spec::RolloutSpec;
use crate::units::{Minute, Weight};

use super::intake::Intake;
use super::{History, plan};

/// The old version's last minutes, which the new one is held against.
const BEFORE: usize = 120;

/// The new one's first minutes; a watch at 100 % is rarely longer, and what is looked for shows at once or is none.
const AFTER: usize = 120;

/// What can be said of it: no comparison, but whether the new version did what no change of the traffic explains.
#[derive(Debug)]
pub struct AtOnce {
    /// As of the last minute.
    pub analysis: Analysis,
    /// The first minute that the new version had to itself.
    pub since: Minute,
    /// First minute at which a catastrophe was proven.
    pub worse_since: Option<Minute>,
    /// Minutes of the old version before, and of the new one after.
    pub minutes: (usize, usize),
}

/// Judges a recording as a rollout is watched at 100 %. `None` where one of the versions has no minute to itself.
#[must_use]
pub fn at_once(spec: &RolloutSpec, lines: &[Line]) -> Option<AtOnce> {
    let alone = |line: &&Line| line.canary.is_some() && line.baseline.is_none();
    let since = lines.iter().find(alone)?.minute.minute();
    let mut intake = Intake::new(plan(spec));
    let mut history = History::default();
    for line in lines.iter().filter(|line| line.baseline.is_some() && line.minute.minute() < since) {
        intake.take_edges(line);
        history.minutes.push(intake.history_minute(line));
    }
    let plan = learn(intake.plan(), &history);
    let mut intake = Intake::new(plan.clone());
    let before = history.minutes.iter().rev().take(BEFORE).rev();
    let mut samples: Vec<MinuteSample> = before
        .map(|minute| {
            let pair = |measured: &Option<_>| Pair { baseline: measured.clone(), canary: None };
            let pairs = minute.measured.iter().map(pair).collect();
            MinuteSample { minute: minute.minute, weight: Weight::ZERO, pairs }
        })
        .collect();
    let known = samples.len();
    let after = lines.iter().filter(|line| line.minute.minute() >= since).filter(alone).take(AFTER);
    samples.extend(after.map(|line| {
        let pairs = intake.pairs(line);
        MinuteSample { minute: line.minute.minute(), weight: Weight::FULL, pairs }
    }));
    if known == 0 {
        return None;
    }
    let of_first = |count: usize| {
        let minutes = samples.iter().take(count).cloned().collect();
        judge(&plan, &Samples { minutes, alone_since: Some(since), ..Samples::default() })
    };
    let failed = |count: &usize| of_first(*count).verdict == Verdict::Fail;
    let worse = (known + 1..=samples.len()).find(failed);
    let worse_since = worse.and_then(|count| samples.get(count - 1)).map(|sample| sample.minute);
    let analysis = of_first(samples.len());
    Some(AtOnce { analysis, since, worse_since, minutes: (known, samples.len() - known) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Arm, When};

    fn line(minute: i64, canary: bool, errors: f64) -> Line {
        let arm = Some(Arm { requests: Some(600.0), errors: Some(errors), ..Arm::default() });
        let (baseline, canary) = if canary { (None, arm) } else { (arm, None) };
        Line { case: None, minute: When::Number(minute), weight: None, baseline, canary }
    }

    #[test]
    fn an_outage_after_a_switch_is_found_and_a_quiet_switch_is_not_blamed() {
        let text = "{coalmine: v1, target: {lambda: {function: f, alias: live}}, checks: [errors: {}]}";
        let spec = crate::spec::parse(text).unwrap().spec;
        let of = |errors: f64| {
            let lines: Vec<Line> = (0..90).map(|m| line(m, m >= 60, if m >= 62 { errors } else { 2.0 })).collect();
            at_once(&spec, &lines).unwrap()
        };
        let quiet = of(2.0);
        assert_eq!((quiet.worse_since, quiet.since.index(), quiet.minutes), (None, 60, (60, 30)));
        let outage = of(300.0);
        assert!(outage.worse_since.is_some_and(|minute| (62..66).contains(&minute.index())), "{outage:?}");
        assert_eq!(outage.analysis.verdict, Verdict::Fail);
        // Nothing before it, or nothing after it, is nothing to hold against anything.
        let old: Vec<Line> = (0..60).map(|m| line(m, false, 2.0)).collect();
        let new: Vec<Line> = (0..60).map(|m| line(m, true, 2.0)).collect();
        assert!(at_once(&spec, &old).is_none() && at_once(&spec, &new).is_none());
    }
}
