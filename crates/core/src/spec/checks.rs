//! Checks: their defaults, unique names, and metrics that can tell the two versions apart.

use std::collections::BTreeMap;

use super::decode::{At, List, value};
use super::leaves::MetricText;
use super::problems::{Place, Pos, Problems, quoted};
use super::raw::{CHECKS_MAX, RawCheck, RawDistribution, RawErrors, RawGauge, RawLatency, RawMean, RawMetric, RawRate};
use super::strategy::exactly_one;
use super::{Check, CheckKind, CheckMode, MetricRef, OnNoData, Quantile, RateCounts, Target, Tolerance, suggest};
use crate::text::is_harmful;

/// What came of the list of checks.
pub struct Judged {
    pub checks: Vec<Check>,
    /// Where it was written, if it was.
    pub place: Option<Place>,
}

/// As shares: 0.5 points, 5 %, p50 and p99.
const ERRORS_DEFAULT: Tolerance = Tolerance { factor: 1.0, points: 0.005 };
const SLOWER_DEFAULT: f64 = 0.05;
const QUANTILES_DEFAULT: [Quantile; 2] = [Quantile(0.5), Quantile(0.99)];

/// How much higher a gauge may be: levels of two versions are never quite the same.
const HIGHER_DEFAULT: f64 = 0.1;

const GAUGE_WARNING: &str = "a gauge never rolls back, for two versions' levels may differ for a while by themselves: \
                             it is read as `mode: hold`, which keeps the weight while the new version looks worse";

/// The placeholders of a dimension's value that a target can fill. The first one tells its two versions apart.
struct Placeholders {
    words: &'static [&'static str],
    /// ``a Lambda target``.
    whose: &'static str,
    /// The dimension that most metrics have the first one in.
    dimension: &'static str,
}

const LAMBDA: Placeholders =
    Placeholders { words: &["version", "function", "alias"], whose: "a Lambda target", dimension: "Version" };
const ALB: Placeholders =
    Placeholders { words: &["targetGroup", "loadBalancer"], whose: "a load balancer", dimension: "TargetGroup" };

impl Placeholders {
    fn of(target: &Target) -> &'static Self {
        match target {
            Target::Lambda(_) => &LAMBDA,
            Target::Alb(_) => &ALB,
        }
    }

    fn listed(&self) -> String {
        self.words.iter().map(|word| format!("`{{{word}}}`")).collect::<Vec<_>>().join(", ")
    }

    /// What is wrong with a word in braces.
    fn problem(&self, word: &str) -> Option<String> {
        if self.words.contains(&word) {
            return None;
        }
        let listed = self.listed();
        if let Some(other) = [&LAMBDA, &ALB].into_iter().find(|other| other.words.contains(&word)) {
            return Some(format!("`{{{word}}}` belongs to {}; {} has {listed}", other.whose, self.whose));
        }
        let hint = match suggest::nearest(word, self.words) {
            Some(near) => format!("did you mean `{{{near}}}`?"),
            None => format!("known here: {listed}"),
        };
        Some(format!("unknown placeholder {}; {hint}", quoted(&format!("{{{word}}}"))))
    }
}

/// Reads the list, or takes the default: errors and latency.
pub fn lower(raw: Option<At<List<RawCheck, CHECKS_MAX>>>, target: &Target, problems: &mut Problems) -> Judged {
    let mut reader = Reader { seen: BTreeMap::new(), placeholders: Placeholders::of(target), problems };
    let place = raw.as_ref().map(|at| at.place.clone());
    let checks = match raw {
        None => reader.defaults(),
        Some(At { value: None, .. }) => Vec::new(),
        Some(At { place, value: Some(list) }) => reader.list(list.0, &place),
    };
    Judged { checks, place }
}

struct Reader<'p> {
    /// Names of the checks so far, and where each was written.
    seen: BTreeMap<String, Pos>,
    placeholders: &'static Placeholders,
    problems: &'p mut Problems,
}

impl Reader<'_> {
    fn defaults(&mut self) -> Vec<Check> {
        let errors = CheckKind::Errors { tolerate: ERRORS_DEFAULT };
        let latency = RawLatency { tolerate: None, at: None, warm_up: None, mode: None, on_no_data: None };
        vec![
            Check { name: "errors".to_owned(), kind: errors, mode: CheckMode::Enforce, on_no_data: OnNoData::Hold },
            self.latency(latency, CheckMode::Enforce, OnNoData::Hold),
        ]
    }

    fn list(&mut self, raw: Vec<At<RawCheck>>, place: &Place) -> Vec<Check> {
        if raw.is_empty() {
            let message = "is empty, so nothing would be compared; leave `checks` out for the default (errors and \
                           latency), or write `mode: observe` in a check";
            self.problems.add(place, message);
        }
        raw.into_iter().filter_map(|raw| self.check(raw.value?, &raw.place)).collect()
    }

    fn check(&mut self, raw: RawCheck, place: &Place) -> Option<Check> {
        let fields = [
            ("errors", raw.errors.as_ref().map(|at| &at.place)),
            ("latency", raw.latency.as_ref().map(|at| &at.place)),
            ("rate", raw.rate.as_ref().map(|at| &at.place)),
            ("distribution", raw.distribution.as_ref().map(|at| &at.place)),
            ("mean", raw.mean.as_ref().map(|at| &at.place)),
            ("gauge", raw.gauge.as_ref().map(|at| &at.place)),
        ];
        exactly_one(place, "kind of check", &fields, self.problems);
        let mut found = None;
        if let Some(At { place, value: Some(RawErrors { tolerate, mode, on_no_data }) }) = raw.errors {
            let (mode, on_no_data) =
                self.common("errors", (raw.mode.clone(), mode), (raw.on_no_data.clone(), on_no_data));
            self.unique("errors", place.pos, &place);
            let kind = CheckKind::Errors { tolerate: value(tolerate).unwrap_or(ERRORS_DEFAULT) };
            found = Some(Check { name: "errors".to_owned(), kind, mode, on_no_data });
        }
        if let Some(At { place, value: Some(latency) }) = raw.latency {
            let inside = (latency.mode.clone(), latency.on_no_data.clone());
            let (mode, on_no_data) =
                self.common("latency", (raw.mode.clone(), inside.0), (raw.on_no_data.clone(), inside.1));
            self.unique("latency", place.pos, &place);
            found = Some(self.latency(latency, mode, on_no_data));
        }
        if let Some(At { place, value: Some(rate) }) = raw.rate {
            found = Some(self.rate(rate, &place, raw.mode.clone(), raw.on_no_data.clone()));
        }
        if let Some(At { value: Some(distribution), .. }) = raw.distribution {
            found = Some(self.distribution(distribution, raw.mode.clone(), raw.on_no_data.clone()));
        }
        if let Some(At { value: Some(mean), .. }) = raw.mean {
            found = Some(self.mean(mean, raw.mode.as_ref(), raw.on_no_data.as_ref()));
        }
        if let Some(At { place, value: Some(gauge) }) = raw.gauge {
            found = Some(self.gauge(gauge, &place, raw.mode, raw.on_no_data));
        }
        found
    }

    /// `mode` and `onNoData` may stand in the check or beside it, but not in both.
    fn common(
        &mut self,
        kind: &str,
        mode: (Option<At<CheckMode>>, Option<At<CheckMode>>),
        on_no_data: (Option<At<OnNoData>>, Option<At<OnNoData>>),
    ) -> (CheckMode, OnNoData) {
        let mode = self.either(kind, "mode", mode).unwrap_or(CheckMode::Enforce);
        let on_no_data = self.either(kind, "onNoData", on_no_data).unwrap_or(OnNoData::Hold);
        (mode, on_no_data)
    }

    fn either<T>(&mut self, kind: &str, field: &str, (beside, inside): (Option<At<T>>, Option<At<T>>)) -> Option<T> {
        if let (Some(beside), Some(_)) = (&beside, &inside) {
            let message = format!("`{field}` is given twice, here and inside `{kind}`; leave out one of the two");
            self.problems.add(&beside.place, message);
        }
        value(inside.or(beside))
    }

    fn unique(&mut self, name: &str, pos: Pos, place: &Place) {
        if let Some(before) = self.seen.insert(name.to_owned(), pos) {
            let message =
                format!("a check named {} is already given{}; names are unique", quoted(name), before.suffix());
            self.problems.add(place, message);
        }
    }

    fn latency(&mut self, raw: RawLatency, mode: CheckMode, on_no_data: OnNoData) -> Check {
        let kind = CheckKind::Latency {
            tolerate: value(raw.tolerate).map_or(SLOWER_DEFAULT, |slower| slower.0),
            at: self.quantiles(raw.at),
            warm_up: value(raw.warm_up).and_then(|warm_up| warm_up.0),
        };
        Check { name: "latency".to_owned(), kind, mode, on_no_data }
    }

    fn quantiles<const MAX: usize>(&mut self, raw: Option<At<List<Quantile, MAX>>>) -> Vec<Quantile> {
        let Some(At { place, value }) = raw else { return QUANTILES_DEFAULT.to_vec() };
        let Some(list) = value else { return Vec::new() };
        if list.0.is_empty() {
            self.problems.add(&place, "is empty; write percentiles such as `[p50, p99]`");
        }
        let mut quantiles: Vec<Quantile> = Vec::new();
        for At { place, value } in list.0 {
            let Some(quantile) = value else { continue };
            if quantiles.contains(&quantile) {
                self.problems.add(&place, "this percentile is already in the list");
            }
            quantiles.push(quantile);
        }
        quantiles
    }

    fn rate(
        &mut self,
        raw: RawRate,
        place: &Place,
        mode: Option<At<CheckMode>>,
        on_no_data: Option<At<OnNoData>>,
    ) -> Check {
        let (mode, on_no_data) = self.common("rate", (mode, raw.mode), (on_no_data, raw.on_no_data));
        let fields = [
            ("events", raw.events.as_ref().map(|at| &at.place)),
            ("goodEvents", raw.good_events.as_ref().map(|at| &at.place)),
        ];
        // Written as a problem of its own: `requests` and `name` being there must not make it look complete.
        exactly_one(place, "of the counts", &fields, self.problems);
        if let Some(At { place, value: Some(true) }) = raw.absent_is_zero.as_ref().filter(|_| raw.good_events.is_some())
        {
            let message = "is for `events` only: good events whose datapoint is merely late would read as none, and a \
                           healthy version would be rolled back; publish zeros, or count the bad ones as `events`";
            self.problems.add(place, message);
        }
        let name = self.own_name(raw.name);
        let events = raw.events.map(|metric| RateCounts::Events(self.metric(metric)));
        let good = raw.good_events.map(|metric| RateCounts::GoodEvents(self.metric(metric)));
        let kind = CheckKind::Rate {
            counts: events.or(good).unwrap_or_else(|| RateCounts::Events(nothing())),
            requests: self.required_metric(raw.requests),
            tolerate: value(raw.tolerate).unwrap_or(ERRORS_DEFAULT),
            absent_is_zero: value(raw.absent_is_zero).unwrap_or(false),
        };
        Check { name, kind, mode, on_no_data }
    }

    fn distribution(
        &mut self,
        raw: RawDistribution,
        mode: Option<At<CheckMode>>,
        on_no_data: Option<At<OnNoData>>,
    ) -> Check {
        let (mode, on_no_data) = self.common("distribution", (mode, raw.mode), (on_no_data, raw.on_no_data));
        let name = self.own_name(raw.name);
        let kind = CheckKind::Distribution {
            metric: self.required_metric(raw.metric),
            unit: value(raw.unit).map(|unit| unit.0).unwrap_or_default(),
            tolerate: value(raw.tolerate).map_or(SLOWER_DEFAULT, |larger| larger.0),
            at: self.quantiles(raw.at),
        };
        Check { name, kind, mode, on_no_data }
    }

    /// Nothing can be asked of it, so that nobody takes it for a check that does something.
    fn mean(&mut self, raw: RawMean, mode: Option<&At<CheckMode>>, on_no_data: Option<&At<OnNoData>>) -> Check {
        for place in [mode.map(|at| &at.place), on_no_data.map(|at| &at.place)].into_iter().flatten() {
            let message = "a `mean` is only shown, so it has no such field; leave it out, or judge the same metric as \
                           `distribution` or `gauge`";
            self.problems.add(place, message);
        }
        let kind = CheckKind::Mean { metric: self.required_metric(raw.metric) };
        Check { name: self.own_name(raw.name), kind, mode: CheckMode::Observe, on_no_data: OnNoData::Ignore }
    }

    /// `enforce` is read as `hold`, and worth a warning.
    fn gauge(
        &mut self,
        raw: RawGauge,
        place: &Place,
        mode: Option<At<CheckMode>>,
        on_no_data: Option<At<OnNoData>>,
    ) -> Check {
        let mode = self.either("gauge", "mode", (mode, raw.mode)).unwrap_or(CheckMode::Hold);
        let mode = if mode == CheckMode::Enforce {
            self.problems.warn(place, GAUGE_WARNING);
            CheckMode::Hold
        } else {
            mode
        };
        if let Some(At { place, value: Some(OnNoData::Fail) }) = raw.on_no_data.as_ref().or(on_no_data.as_ref()) {
            let message = "a gauge never rolls back, so missing data cannot count as worse; write `hold` or `ignore`";
            self.problems.add(place, message);
        }
        let on_no_data = self.either("gauge", "onNoData", (on_no_data, raw.on_no_data)).unwrap_or(OnNoData::Hold);
        let kind = CheckKind::Gauge {
            metric: self.required_metric(raw.metric),
            tolerate: value(raw.tolerate).map_or(HIGHER_DEFAULT, |higher| higher.0),
        };
        Check { name: self.own_name(raw.name), kind, mode, on_no_data }
    }

    fn required_metric(&mut self, raw: Option<At<RawMetric>>) -> MetricRef {
        raw.map_or_else(nothing, |metric| self.metric(metric))
    }

    fn own_name(&mut self, raw: Option<At<super::leaves::Name>>) -> String {
        let Some(At { place, value: Some(name) }) = raw else { return String::new() };
        if ["errors", "latency"].contains(&name.0.as_str()) {
            let message = format!("{} is the name of a check that exists already; choose another", quoted(&name.0));
            self.problems.add(&place, message);
        } else {
            self.unique(&name.0, place.pos, &place);
        }
        name.0
    }

    fn metric(&mut self, raw: At<RawMetric>) -> MetricRef {
        let At { place, value: raw } = raw;
        let mut metric = nothing();
        let Some(raw) = raw else { return metric };
        let text = |text: Option<At<MetricText>>| value(text).map(|text| text.0).unwrap_or_default();
        metric.namespace = text(raw.namespace);
        metric.metric = text(raw.metric);
        let Some(At { place: dimensions_place, value: Some(table) }) = raw.dimensions else { return metric };
        let mut complete = true;
        for (name, at) in table.0 {
            self.dimension_name(&name, &at.place);
            complete &= at.value.is_some();
            if let Some(text) = at.value {
                self.placeholders(&text.0, &at.place);
                metric.dimensions.insert(name, text.0);
            }
        }
        let Placeholders { words, dimension, .. } = self.placeholders;
        let telling = words.first().map(|word| format!("{{{word}}}")).unwrap_or_default();
        if complete && !metric.dimensions.values().any(|value| value.contains(&telling)) {
            let message = format!(
                "no dimension has `{telling}`, so both versions would be read from the same metric {}; write the \
                 dimension that tells them apart, such as `{dimension}: \"{telling}\"`",
                quoted(&metric.metric)
            );
            let place = if dimensions_place.path.is_empty() { place } else { dimensions_place };
            self.problems.add(&place, message);
        }
        metric
    }

    fn dimension_name(&mut self, name: &str, place: &Place) {
        if name.is_empty() || name.chars().any(is_harmful) || name.starts_with(':') {
            self.problems.add(place, format!("{} is not a dimension's name", quoted(name)));
        }
    }

    fn placeholders(&mut self, text: &str, place: &Place) {
        let mut rest = text;
        while let Some((_, after)) = rest.split_once('{') {
            let Some((word, after)) = after.split_once('}') else {
                self.problems.add(place, format!("{} has a `{{` without its `}}`", quoted(text)));
                return;
            };
            if let Some(message) = self.placeholders.problem(word) {
                self.problems.add(place, message);
            }
            rest = after;
        }
    }
}

/// In place of a metric that is missing, which is then already reported.
fn nothing() -> MetricRef {
    MetricRef { namespace: String::new(), metric: String::new(), dimensions: BTreeMap::new() }
}
