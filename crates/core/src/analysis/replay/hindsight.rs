//! A rollout's minutes once more, all of them as they are known now: what stands on a page about it. No decision is made
//! of this.

use crate::analysis::{Analysis, Asked, Judge, JudgePlan, Samples};
use crate::units::{Minute, Weight};

use super::trace::Trace;

/// What a rollout's minutes say, and how they came to say it.
#[derive(Debug)]
pub struct Hindsight {
    /// Every check as of the last minute in which both versions had traffic, asked for the step that was in force then.
    pub analysis: Analysis,
    pub trace: Trace,
    /// First minute at which harm was proven.
    pub worse_since: Option<Minute>,
}

/// Of the samples it takes the minutes, and what is known of their weights. The ladder has the steps' weights, rising.
#[must_use]
pub fn hindsight(plan: &JudgePlan, ladder: &[Weight], samples: &Samples) -> Hindsight {
    let asked = if plan.auto.is_some() || ladder.is_empty() { Asked::Step(0) } else { Asked::EveryStep };
    let mut judge = Judge::new(plan, asked);
    // Ranks are compared of recordings only.
    let mut trace = Trace::new(0);
    let mut now = Samples::default();
    for sample in &samples.minutes {
        let beside = Weight::ZERO < sample.weight && sample.weight < Weight::FULL;
        let step = ladder.iter().rposition(|rung| *rung <= sample.weight).filter(|_| beside);
        if let Some(step) = step.filter(|step| now.step_since.is_none() || *step != now.step) {
            (now.step, now.step_since) = (step, Some(sample.minute));
        }
        judge.known_of_next(samples, sample.minute);
        judge.see(sample, true, true);
        trace.minute(sample);
        if trace.is_due() {
            trace.point(sample.minute, &judge.analysis(&now));
        }
    }
    let analysis = judge.analysis(&now);
    Hindsight { trace: trace.end(&analysis), worse_since: judge.failed_since(), analysis }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{Count, MinuteSample, Pair, Verdict, judge, plan_of_recording};

    /// Half an hour at 5 % and 25 %, and the last minute back at 0.
    fn minutes(failing: f64) -> Vec<MinuteSample> {
        let weight = |minute| match minute {
            0..15 => 500,
            15..30 => 2_500,
            _ => 0,
        };
        let sample = |minute: i64| {
            let share = f64::from(weight(minute.min(29))) / 10_000.0;
            let (new, old) = (6_000.0 * share, 6_000.0 * (1.0 - share));
            MinuteSample {
                minute: Minute::from_index(29_000_000 + minute),
                weight: Weight::from_basis_points(weight(minute)).unwrap(),
                pairs: vec![Pair::of(Count::new(old, (0.004 * old).round()), Count::new(new, (failing * new).round()))],
            }
        };
        (0..31).map(sample).collect()
    }

    #[test]
    fn what_is_seen_afterwards_is_what_the_judge_decided_on() {
        let text = "{coalmine: v1, target: {lambda: {function: f, alias: live}}, checks: [errors: {}]}";
        let spec = crate::spec::parse(text).unwrap().spec;
        let ladder: Vec<Weight> = spec.steps.iter().map(|step| step.weight).collect();
        for (failing, verdict) in [(0.004, Verdict::Pass), (0.04, Verdict::Fail)] {
            let plan = plan_of_recording(&spec);
            let samples = Samples { minutes: minutes(failing), ..Samples::default() };
            let seen = hindsight(&plan, &ladder, &samples);
            assert_eq!(seen.analysis.verdict, verdict);
            assert_eq!(seen.worse_since.is_some(), verdict == Verdict::Fail);
            assert_eq!(seen.trace.points.len(), samples.minutes.len());
            let decided = judge(&plan, &Samples { step: 1, ..samples });
            let (seen, decided) = (&seen.analysis.comparisons[0], &decided.comparisons[0]);
            assert_eq!((seen.canary, seen.baseline, seen.ratio), (decided.canary, decided.baseline, decided.ratio));
            assert_eq!(seen.evidence.harm.to_bits(), decided.evidence.harm.to_bits());
        }
    }
}
