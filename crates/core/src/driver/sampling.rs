//! From a rollout to the metric queries it needs, and from their answers to what the judge takes.

use std::ops::Range;

use crate::analysis::{MinuteSample, Pair, Samples};
use crate::engine::{self, Needs, Window};
use crate::metrics::{self, Asked, Of, Series, SeriesQuery};
use crate::ports::Fault;
use crate::rollout::Rollout;
use crate::units::{Minute, Timestamp};

/// What one rollout needs to have looked at.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub needs: Needs,
    /// The minutes to read from CloudWatch: those that are not sealed.
    pub tail: Option<Window>,
    pub queries: Vec<SeriesQuery>,
}

pub(super) fn plan(rollout: &Rollout, now: Timestamp) -> Plan {
    planned(rollout, engine::needs(rollout, now))
}

/// The same to show a rollout, which may have ended.
pub(super) fn plan_to_show(rollout: &Rollout, now: Timestamp) -> Plan {
    let alarms = if rollout.is_terminal() { Vec::new() } else { rollout.spec.alarms.names.clone() };
    planned(rollout, Needs { alarms, samples: engine::judged_minutes(rollout, now), ..Needs::default() })
}

fn planned(rollout: &Rollout, needs: Needs) -> Plan {
    let tail = needs.samples.map(|window| Window { from: rollout.sealed_before.unwrap_or(window.from), ..window });
    let tail = tail.filter(|tail| tail.from < tail.until);
    let queries = tail.map(|tail| queries(rollout, tail)).unwrap_or_default();
    Plan { needs, tail, queries }
}

fn queries(rollout: &Rollout, tail: Window) -> Vec<SeriesQuery> {
    asked(rollout).flat_map(|check| whose(rollout, tail).into_iter().flat_map(move |of| of.queries(check))).collect()
}

/// Whose series are read, and for which minutes.
#[derive(Clone, Copy)]
struct Whose<'a> {
    of: Of<'a>,
    window: Window,
}

impl Whose<'_> {
    fn queries(&self, check: Asked<'_>) -> Vec<SeriesQuery> {
        let Window { from, until } = self.window;
        if from < until { metrics::queries(check, self.of, from, until) } else { Vec::new() }
    }
}

/// Both versions beside each other, then the new one alone, of which Lambda may tell by its alias only.
fn whose(rollout: &Rollout, tail: Window) -> [Whose<'_>; 3] {
    let alone = engine::alone_since(rollout).unwrap_or(tail.until).clamp(tail.from, tail.until);
    let (beside, after) = (Window { until: alone, ..tail }, Window { from: alone, ..tail });
    [
        Whose { of: Of::Baseline(&rollout.baseline), window: beside },
        Whose { of: Of::Canary(&rollout.canary), window: beside },
        Whose { of: Of::Alone(&rollout.canary), window: after },
    ]
}

/// Every check with its plan.
fn asked(rollout: &Rollout) -> impl Iterator<Item = Asked<'_>> {
    let checks = rollout.spec.checks.iter().zip(&rollout.plan.checks);
    checks.map(|(check, planned)| Asked { check, planned, target: &rollout.spec.target })
}

/// The tail as the judge takes it: a sample for every minute, pairs in the order of the checks.
pub(super) fn read_tail(
    rollout: &Rollout,
    tail: Window,
    answers: &[Result<Series, Fault>],
) -> (Vec<MinuteSample>, Vec<String>) {
    let mut unread: Vec<String> =
        answers.iter().filter_map(|answer| answer.as_ref().err().map(Fault::to_string)).collect();
    unread.sort();
    unread.dedup();
    let series: Vec<Option<&Series>> = answers.iter().map(|answer| answer.as_ref().ok()).collect();
    let (whose, layout) = (whose(rollout, tail), layout(rollout, tail));
    let minutes = tail.from.index()..tail.until.index();
    let samples = minutes.map(Minute::from_index).map(|minute| {
        let pairs = asked(rollout).zip(&layout).map(|(check, places)| {
            let [baseline, canary, alone] = [0, 1, 2].map(|one: usize| {
                let Whose { of, window } = whose[one];
                let within = (window.from..window.until).contains(&minute);
                let own = series.get(places[one].clone()).filter(|_| within)?;
                metrics::measured(check, of, own, minute)
            });
            Pair { baseline, canary: canary.or(alone) }
        });
        MinuteSample { minute, weight: rollout.weight_in(minute), pairs: pairs.collect() }
    });
    (samples.collect(), unread)
}

/// Where each check's series lie among the answers.
fn layout(rollout: &Rollout, tail: Window) -> Vec<[Range<usize>; 3]> {
    let mut next = 0;
    let mut take = |check: Asked<'_>, of: Whose<'_>| {
        let from = next;
        next += of.queries(check).len();
        from..next
    };
    asked(rollout).map(|check| whose(rollout, tail).map(|of| take(check, of))).collect()
}

/// Sealed minutes and tail together, with what the judge must know of the rollout.
pub(super) fn samples(
    rollout: &Rollout,
    sealed: &[MinuteSample],
    tail: &[MinuteSample],
    unread: &[String],
    now: Timestamp,
) -> Samples {
    let first_of_tail = tail.first().map(|sample| sample.minute);
    // Sealed minutes outlive an ended rollout, and another one of the same name finds them.
    let own = sealed.iter().filter(|sample| sample.minute >= rollout.started_at.minute());
    let before_tail = own.filter(|sample| first_of_tail.is_none_or(|first| sample.minute < first));
    Samples {
        minutes: before_tail.chain(tail).cloned().collect(),
        settled_before: Some(engine::settled_before(rollout, now)),
        step_since: engine::step_since(rollout),
        step: engine::judged_step(rollout),
        alone_since: engine::alone_since(rollout),
        moving: rollout.moving(),
        mixed: rollout.mixed(),
        unread: unread.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Start, begin};
    use crate::spec::Version;
    use crate::units::{Span, Weight};

    /// Sealed minutes are kept longer than an ended rollout, and its name may be used again.
    #[test]
    fn minutes_of_an_earlier_rollout_of_the_same_name_do_not_count() {
        let text = "{coalmine: v1, target: {lambda: {function: checkout, alias: live}}}";
        let spec = crate::spec::parse(text).unwrap().spec;
        let now = Timestamp::from_epoch_seconds(1_795_000_020);
        let rollout = begin(&Start {
            id: "checkout".to_owned(),
            plan: crate::analysis::plan(&spec),
            learned: false,
            guest: None,
            spec,
            baseline: Version("41".to_owned()),
            canary: Version("42".to_owned()),
            code_hash: String::new(),
            lag: Span::from_minutes(3),
            request_timeout: Span::from_seconds(3),
            behind: None,
            alarms_muted: std::collections::BTreeSet::new(),
            by: "mara".to_owned(),
            now,
        });
        let at = |minutes| MinuteSample { minute: now.minute().plus(minutes), weight: Weight::ZERO, pairs: Vec::new() };
        let sealed = [at(-144_000), at(-1), at(0), at(1)];
        let samples = samples(&rollout, &sealed, &[at(2)], &[], now);
        assert_eq!(samples.minutes, [at(0), at(1), at(2)]);
    }
}
