//! What people are shown of a rollout: the minutes that the judge takes now.

use futures_util::future::join;

use super::problems::{failed, problem};
use super::{Context, Settings, sampling};
use crate::analysis::{Count, Measure, MinuteSample, PlannedCheck, Samples, judge};
use crate::command::{Answer, MinutesAnswer, RolloutAnswer};
use crate::observation::Seen;
use crate::ports::{Budget, Fault, Ports};
use crate::rollout::Rollout;
use crate::spec::{CheckMode, Problem, Tolerance};
use crate::units::{Minute, Span, Timestamp, Weight};

/// Bytes of minutes in one answer, as JSON. With a rollout's 400 KB this stays below the 6 MB that a Lambda function may
/// answer. A minute with two checks has about 1 KB, so a release of two days comes at once.
const MINUTES_BYTES: usize = 4 * 1024 * 1024;

/// Minutes that are "now" at 100 %: what begins late must not be lost in what was good for long.
const NOW_MINUTES: usize = 10;

/// What the judge takes to compare the versions, from minutes as [`Answer::Minutes`] has them. Once the new version has all
/// traffic there is nothing to compare it with; then these are the minutes before, which it was promoted on.
#[must_use]
pub fn judged(rollout: &Rollout, minutes: &[MinuteSample], unread: &[String], now: Timestamp) -> Samples {
    let mut samples = sampling::samples(rollout, minutes, &[], unread, now);
    if let Some(alone) = samples.alone_since.take() {
        samples.minutes.retain(|sample| sample.minute < alone && sample.weight < Weight::FULL);
        samples.step_since =
            rollout.weights.iter().rev().find(|seen| seen.weight < Weight::FULL).map(|last| last.at.minute());
    }
    samples
}

/// A check of counts since the new version has had all traffic, beside what the old one did before: a look at before and after, which
/// is no comparison. Nothing is decided by it but what the judge calls a catastrophe.
#[derive(Debug, Clone, PartialEq)]
pub struct AtFull {
    /// Its place in the plan, and its name there.
    pub index: usize,
    pub check: String,
    pub mode: CheckMode,
    /// The minutes that are counted: the newest ones if those are worse than tolerated, else all at 100 %.
    pub from: Minute,
    pub until: Minute,
    pub new: Count,
    /// The old version in this rollout, before 100 %.
    pub old: Count,
    /// What the last step tolerates.
    pub tolerance: Tolerance,
    /// More than the old version had and the tolerance together, and more than chance adds to that.
    pub beyond: bool,
    /// What the judge says of it.
    pub sentence: String,
}

/// What became of the new version at 100 %; of a rollout that was not there, or has no data of then, nothing.
#[must_use]
pub fn at_full(rollout: &Rollout, minutes: &[MinuteSample], unread: &[String], now: Timestamp) -> Vec<AtFull> {
    let Some(place) = rollout.weights.iter().rposition(|seen| seen.weight == Weight::FULL) else { return Vec::new() };
    let Some(since) = rollout.weights.get(place).map(|seen| (seen.at + Span::from_seconds(59)).minute()) else {
        return Vec::new();
    };
    let left = rollout.weights.get(place + 1).map(|next| next.at.minute());
    let mut samples = sampling::samples(rollout, minutes, &[], unread, now);
    samples.minutes.retain(|sample| left.is_none_or(|left| sample.minute < left));
    samples.alone_since = Some(since);
    let judged = judge(&rollout.plan, &samples);
    let checks = rollout.plan.checks.iter().zip(judged.comparisons).enumerate();
    let counts = checks.filter(|(_, (check, _))| check.measure == Measure::Counts);
    counts
        .filter_map(|(index, (check, found))| look(index, check, since, &samples, found.tolerance, found.sentence))
        .collect()
}

fn look(
    index: usize,
    check: &PlannedCheck,
    since: Minute,
    samples: &Samples,
    tolerance: Tolerance,
    sentence: String,
) -> Option<AtFull> {
    let counts = |sample: &MinuteSample| sample.pairs.get(index).map(crate::analysis::Pair::counts).unwrap_or_default();
    let alone: Vec<(Minute, Count)> = samples
        .minutes
        .iter()
        .filter(|sample| sample.minute >= since)
        .filter_map(|sample| Some((sample.minute, counts(sample).1?)))
        .collect();
    let old = sum(samples.minutes.iter().filter(|sample| sample.minute < since).filter_map(|sample| counts(sample).0));
    let is_beyond = |new: Count| old.requests > 0.0 && beyond(new, old, tolerance);
    let newest = &alone[alone.len().saturating_sub(NOW_MINUTES)..];
    let total = |minutes: &[(Minute, Count)]| sum(minutes.iter().map(|(_, count)| *count));
    let counted = if is_beyond(total(newest)) { newest } else { alone.as_slice() };
    let (new, (from, _), (last, _)) = (total(counted), counted.first()?, counted.last()?);
    (new.requests > 0.0).then(|| AtFull {
        index,
        check: check.name.clone(),
        mode: check.mode,
        from: *from,
        until: last.plus(1),
        new,
        old,
        tolerance,
        beyond: is_beyond(new),
        sentence,
    })
}

fn sum(counts: impl Iterator<Item = Count>) -> Count {
    counts.fold(Count::default(), |total, count| Count {
        requests: total.requests + count.requests,
        events: total.events + count.events,
    })
}

/// Two deviations of a Poisson count above what is tolerated, so that one failure among few requests is no alarm.
fn beyond(new: Count, old: Count, Tolerance { factor, points }: Tolerance) -> bool {
    let tolerated = new.requests * (old.events / old.requests * factor + points);
    new.events > tolerated + 2.0 * tolerated.max(1.0).sqrt()
}

/// A rollout that has ended with everything that was counted of it, at once; `None` where there is none of this name, or it
/// goes on. Nothing is written.
///
/// # Errors
/// When the rollout or its sealed minutes cannot be read. What CloudWatch does not tell is named in the answer.
pub async fn ended(
    ports: &impl Ports,
    id: &str,
    now: Timestamp,
    budget: &impl Budget,
    settings: &Settings,
) -> Result<Option<MinutesAnswer>, Fault> {
    let context = Context { ports, budget, settings, now };
    let looking = async {
        match ports.load(id).await? {
            Some(rollout) if rollout.is_terminal() => looked_at(&context, rollout).await.map(Some),
            Some(_) | None => Ok(None),
        }
    };
    context.guarded(budget.remaining(), looking).await.unwrap_or_else(|cut| Err(cut.fault("minutes")))
}

/// As much of it as fits into an answer.
pub(super) async fn minutes<P: Ports, B: Budget>(
    context: &Context<'_, P, B>,
    rollout: Rollout,
    from: Option<Minute>,
) -> Result<Answer, Vec<Problem>> {
    let all = looked_at(context, rollout).await.map_err(failed)?;
    let wanted = all.minutes.into_iter().filter(|sample| from.is_none_or(|from| sample.minute >= from));
    let (minutes, next) = page(wanted).map_err(|error| problem("", error))?;
    Ok(Answer::Minutes(Box::new(MinutesAnswer { minutes, next, ..all })))
}

/// The sealed minutes, and those that are not, as CloudWatch has them now.
async fn looked_at<P: Ports, B: Budget>(context: &Context<'_, P, B>, rollout: Rollout) -> Result<MinutesAnswer, Fault> {
    let plan = sampling::plan_to_show(&rollout, context.now);
    let sealed = match rollout.sealed_before {
        Some(_) => context.ports.sealed(&rollout.id).await?,
        None => Vec::new(),
    };
    let planned = [(rollout, plan)];
    let (series, alarms) = join(context.fetch(&planned), context.alarm_states(&planned)).await;
    let [(rollout, plan)] = planned;
    let (tail, unread) = plan.tail.map_or_else(Default::default, |tail| sampling::read_tail(&rollout, tail, &series));
    let minutes = sampling::samples(&rollout, &sealed, &tail, &unread, context.now).minutes;
    let alarms = match alarms {
        Seen::Known(states) => Some(states),
        Seen::Missing(_) | Seen::NotAsked => None,
    };
    let rollout = RolloutAnswer::of(rollout, Vec::new());
    Ok(MinutesAnswer { rollout, now: context.now, minutes, unread, alarms, next: None })
}

/// As many as fit into an answer, and the first that does not.
fn page(minutes: impl Iterator<Item = MinuteSample>) -> Result<(Vec<MinuteSample>, Option<Minute>), serde_json::Error> {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    for sample in minutes {
        bytes += serde_json::to_vec(&sample)?.len();
        if bytes > MINUTES_BYTES && !taken.is_empty() {
            return Ok((taken, Some(sample.minute)));
        }
        taken.push(sample);
    }
    Ok((taken, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::scenario::{Outcome, run};
    use crate::sim::tour;

    fn promoted() -> Outcome {
        run(&tour::stops()[0].scenario, 1).unwrap()
    }

    fn looked(outcome: &Outcome, minutes: &[MinuteSample]) -> Vec<AtFull> {
        at_full(&outcome.rollout, minutes, &[], outcome.stopped_at)
    }

    #[test]
    fn a_version_that_begins_to_fail_at_100_percent_is_seen_there() {
        let outcome = promoted();
        let good = looked(&outcome, &outcome.minutes);
        let names: Vec<&str> = good.iter().map(|check| check.check.as_str()).collect();
        assert_eq!(names, ["errors"], "what is no count is not looked at");
        assert!(!good[0].beyond && good[0].sentence.contains("not a comparison"), "{good:?}");
        // In the last ten minutes one in twenty fails: hardly more than tolerated in all of them.
        let mut minutes = outcome.minutes.clone();
        let first = minutes.len() - NOW_MINUTES;
        for sample in &mut minutes[first..] {
            let requests = sample.pairs[0].counts().1.unwrap().requests;
            sample.pairs[0] = crate::analysis::Pair::of(None, Count::new(requests, (0.05 * requests).round()));
        }
        let bad = looked(&outcome, &minutes);
        assert!(bad[0].beyond, "{bad:?}");
        assert_eq!((bad[0].from, bad[0].until), (minutes[first].minute, minutes[minutes.len() - 1].minute.plus(1)));
        assert!((bad[0].new.events / bad[0].new.requests - 0.05).abs() < 0.001, "{bad:?}");
        assert_eq!(bad[0].old, good[0].old);
    }

    #[test]
    fn what_was_never_at_100_percent_has_no_look_at_it() {
        let back = run(&tour::stops()[1].scenario, 1).unwrap();
        assert_eq!(looked(&back, &back.minutes), []);
        let outcome = promoted();
        assert_eq!(looked(&outcome, &[]), []);
    }

    #[test]
    fn one_failure_among_few_requests_is_not_beyond_what_is_tolerated() {
        let (old, tolerance) = (Count { requests: 1_000.0, events: 4.0 }, Tolerance { factor: 1.0, points: 0.005 });
        let of = |requests, events| beyond(Count { requests, events }, old, tolerance);
        assert_eq!([of(20.0, 1.0), of(20.0, 3.0), of(1_000.0, 15.0), of(1_000.0, 16.0)], [false, true, false, true]);
    }

    /// The answer of a function has an end, and a rollout may last for weeks.
    #[test]
    fn what_does_not_fit_into_an_answer_begins_the_next_one() {
        let sample = |at| MinuteSample { minute: Minute::from_index(at), weight: Weight::ZERO, pairs: Vec::new() };
        let each = serde_json::to_vec(&sample(1_000_000)).unwrap().len();
        let last = 1_000_000 + i64::try_from(MINUTES_BYTES / each).unwrap() + 10;
        let (mut from, mut seen) = (1_000_000, Vec::new());
        for _ in 0..2 {
            let (taken, next) = page((from..=last).map(sample)).unwrap();
            assert!(serde_json::to_vec(&taken).unwrap().len() < MINUTES_BYTES + 2 * taken.len());
            seen.extend(taken.iter().map(|sample| sample.minute.index()));
            from = next.map_or(last + 1, Minute::index);
        }
        assert_eq!(seen, (1_000_000..=last).collect::<Vec<_>>());
    }
}
