//! What people are shown of a rollout: the minutes that the judge takes now.

use futures_util::future::join;

use super::problems::{failed, problem};
use super::{Context, Settings, sampling};
use crate::analysis::{MinuteSample, Samples};
use crate::command::{Answer, MinutesAnswer, RolloutAnswer};
use crate::observation::Seen;
use crate::ports::{Budget, Fault, Ports};
use crate::rollout::Rollout;
use crate::spec::Problem;
use crate::units::{Minute, Timestamp, Weight};

/// Bytes of minutes in one answer, as JSON. With a rollout's 400 KB this stays below the 6 MB that a Lambda function may
/// answer. A minute with two checks has about 1 KB, so a release of two days comes at once.
const MINUTES_BYTES: usize = 4 * 1024 * 1024;

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
