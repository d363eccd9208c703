//! Recordings: what both versions' metrics were, minute by minute, as JSON Lines. Read and written here a line at a time.
//!
//! One line is one minute of one case. Whatever is wrong is said with its line, its path and what would be right;
//! nothing that is read is ever NaN, infinite, negative or more than can be.

mod json;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Serialize, Serializer};

use crate::spec::Problem;
use crate::units::{Minute, Timestamp, Weight};

use json::{At, Json};

/// Longest line. One with 200 edges for three metrics of both versions has about 20,000 bytes.
pub const LINE_BYTES_MAX: usize = 256 * 1024;

/// Edges of one distribution.
pub const EDGES_MAX: usize = 200;

/// Bytes of a case's name.
pub const CASE_BYTES_MAX: usize = 200;

/// Names of past cases that are remembered, so that one that comes back is noticed.
pub const CASES_REMEMBERED: usize = 16_384;

/// Requests of one version in one minute; the largest services of all have about 1e9.
const MOST: f64 = 1e12;

/// Minutes from 1970 or from a case's beginning, either way: about 1900 years.
const MINUTE_MOST: f64 = 1e9;

/// One minute of one case.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// `None` when the recording has one case without a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    pub minute: When,
    /// The canary's weight when the minute ended. `None`: to be told by the canary's share of the requests.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "spec_form")]
    pub weight: Option<Weight>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Arm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Arm>,
}

// Serde hands fields over by reference.
#[allow(clippy::trivially_copy_pass_by_ref, clippy::ref_option)]
fn spec_form<S: Serializer>(weight: &Option<Weight>, serializer: S) -> Result<S::Ok, S::Error> {
    weight.map(Weight::spec_form).serialize(serializer)
}

/// A minute, as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Counted from the case's beginning; negative is history from before the rollout.
    Number(i64),
    Time(Minute),
}

impl When {
    #[must_use]
    pub fn minute(self) -> Minute {
        match self {
            Self::Number(number) => Minute::from_index(number),
            Self::Time(minute) => minute,
        }
    }

    /// A minute in the same form.
    #[must_use]
    pub fn like(self, minute: Minute) -> Self {
        match self {
            Self::Number(_) => Self::Number(minute.index()),
            Self::Time(_) => Self::Time(minute),
        }
    }
}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => number.serialize(serializer),
            Self::Time(minute) => minute.start().to_string().serialize(serializer),
        }
    }
}

impl std::fmt::Display for When {
    /// `17`, `2026-11-21T14:02:00Z`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Time(minute) => write!(f, "{}", minute.start()),
        }
    }
}

/// What one version's minute brought. What is `None` or not in a map is missing, which is not zero.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Arm {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<f64>,
    /// At most `requests`, which are there when this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rates: BTreeMap<String, Rate>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub distributions: BTreeMap<String, Histogram>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub levels: BTreeMap<String, Readings>,
}

/// Requests by how long they took.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    #[serde(rename = "edgesMs")]
    pub edges: Vec<f64>,
    pub counts: Vec<f64>,
}

/// Anything by how large it was. Edges are above zero and rise; there is one count more than edges.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Histogram {
    pub edges: Vec<f64>,
    pub counts: Vec<f64>,
}

/// Events out of requests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    pub events: f64,
    pub requests: f64,
}

/// A level: the sum of so many readings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Readings {
    pub readings: f64,
    pub sum: f64,
}

/// Reads one recording, line by line, and sees to it that its lines fit together. Its memory does not grow with the
/// recording.
#[derive(Debug, Default)]
pub struct Reader {
    line: u32,
    /// The case of the line before, and its newest minute, if one was read; `None` before the first line.
    last: Option<(Option<String>, Option<When>)>,
    past: PastCases,
}

/// The outcome of one line.
#[derive(Debug, PartialEq)]
pub struct Read {
    /// The line begins a case; the one before it has ended.
    pub begins: bool,
    pub line: Line,
}

/// A line that is wrong.
#[derive(Debug, PartialEq)]
pub struct Refused {
    /// The first thing that is wrong with it.
    pub problem: Problem,
    /// It begins another case, as far as can be told.
    pub begins: Option<String>,
}

impl Reader {
    /// Takes the next line of the recording, without its line break; `None` for a blank one.
    ///
    /// # Errors
    ///
    /// The line counts as not there, and the next one may be read.
    pub fn read(&mut self, text: &[u8]) -> Result<Option<Read>, Refused> {
        self.line = self.line.saturating_add(1);
        let text = if self.line == 1 { text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text) } else { text };
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let found = parse(text).and_then(|line| self.fit(line));
        found.map(Some).map_err(|problem| {
            let problem = Problem { line: Some(self.line), ..problem };
            Refused { problem, begins: self.begun_by(text) }
        })
    }

    /// The case that a wrong line begins: without this, the case before would be blamed for it, and its own would be
    /// judged as if nothing was missing.
    fn begun_by(&mut self, text: &[u8]) -> Option<String> {
        let Ok(Json::Map(fields)) = serde_json::from_slice(text) else { return None };
        let case = fields.into_iter().find(|(field, _)| field == "case")?;
        let Json::Text(name) = case.1 else { return None };
        let another = self.last.as_ref().is_none_or(|(case, _)| case.as_ref() != Some(&name));
        if !another || !self.past.remember(&name) {
            return None;
        }
        self.last = Some((Some(name.clone()), None));
        Some(name)
    }

    /// The line after those before it.
    fn fit(&mut self, line: Line) -> Result<Read, Problem> {
        let begins = self.last.as_ref().is_none_or(|(case, _)| *case != line.case);
        if begins {
            self.begin(&line)?;
        } else if let Some((_, Some(last))) = &self.last {
            follows(*last, line.minute)?;
        }
        match &mut self.last {
            // The name is the same, and need not be copied.
            Some((_, last)) if !begins => *last = Some(line.minute),
            _ => self.last = Some((line.case.clone(), Some(line.minute))),
        }
        Ok(Read { begins, line })
    }

    fn begin(&mut self, line: &Line) -> Result<(), Problem> {
        let unnamed = self.last.as_ref().is_some_and(|(case, _)| case.is_none());
        match &line.case {
            None if self.last.is_some() => {
                let message = "is missing; write it in every line, because the lines before have one";
                Err(Problem::at("case", message))
            }
            Some(_) if unnamed => {
                Err(Problem::at("case", "is given, but the lines before have none; write it in every line or in none"))
            }
            None => Ok(()),
            Some(name) if self.past.remember(name) => Ok(()),
            Some(name) => {
                let message = format!("`{name}` comes back after another case; write a case's lines one after another");
                Err(Problem::at("case", message))
            }
        }
    }
}

/// A case's minutes are written in one way and rise.
fn follows(last: When, next: When) -> Result<(), Problem> {
    let same_form = matches!((last, next), (When::Number(_), When::Number(_)) | (When::Time(_), When::Time(_)));
    let message = if !same_form {
        format!("`{next}` is not written as the minute before it (`{last}`); use numbers or times within a case")
    } else if next.minute() == last.minute() {
        format!("`{next}` is there twice; one line is one whole minute of a case")
    } else if next.minute() < last.minute() {
        format!("`{next}` comes after `{last}`; write a case's lines in the order of time")
    } else {
        return Ok(());
    };
    Err(Problem::at("minute", message))
}

/// The newest names of cases, as hashes: of two different names, one in 10^15 pairs would be taken for equal.
#[derive(Debug, Default)]
struct PastCases {
    known: BTreeSet<u64>,
    order: VecDeque<u64>,
}

impl PastCases {
    /// Whether it is new.
    fn remember(&mut self, name: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let hash = hasher.finish();
        if !self.known.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > CASES_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// One line by itself.
fn parse(text: &[u8]) -> Result<Line, Problem> {
    if text.len() > LINE_BYTES_MAX {
        let message = format!("the line has {} bytes, more than the {LINE_BYTES_MAX} that are read", text.len());
        return Err(Problem::at("", message));
    }
    let json: Json = serde_json::from_slice(text).map_err(|error| not_json(text, &error))?;
    let [case, minute, weight, baseline, canary] =
        At::whole(&json).fields(["case", "minute", "weight", "baseline", "canary"])?;
    let line = Line {
        case: case.optional().map(|at| name(&at)).transpose()?,
        minute: when(&minute.required("a number such as 0, or a time such as \"2026-11-21T14:02:00Z\"")?)?,
        weight: weight.optional().map(|at| self::weight(&at)).transpose()?,
        baseline: baseline.optional().map(|at| arm(&at)).transpose()?,
        canary: canary.optional().map(|at| arm(&at)).transpose()?,
    };
    let past = matches!(line.minute, When::Number(number) if number < 0);
    if past && line.canary.is_some() {
        let message = "is there before the rollout; a minute below 0 is history and has the baseline alone";
        return Err(Problem::at("canary", message));
    }
    Ok(line)
}

fn not_json(text: &[u8], error: &serde_json::Error) -> Problem {
    let said = error.to_string();
    let what = said.split(" at line ").next().unwrap_or_default();
    let has = |word: &str| text.windows(word.len()).any(|window| window == word.as_bytes());
    let hint = match ["NaN", "Infinity", "nan", "inf"].into_iter().find(|word| has(word)) {
        Some(word) => format!("; `{word}` is not a JSON number: leave out what is not known"),
        None if has("'") => "; JSON's texts stand in double quotes".to_owned(),
        None => "; one line is one JSON object, a minute of a case".to_owned(),
    };
    let column = u32::try_from(error.column()).ok();
    Problem { column, ..Problem::at("", format!("is not JSON: {what}{hint}")) }
}

fn name(at: &At<'_>) -> Result<String, Problem> {
    let name = at.text("a text such as \"a\"")?;
    if name.is_empty() || name.len() > CASE_BYTES_MAX {
        return Err(at.wrong(&format!("a name has 1 to {CASE_BYTES_MAX} bytes; this one has {}", name.len())));
    }
    Ok(name.to_owned())
}

fn when(at: &At<'_>) -> Result<When, Problem> {
    let wanted = "a whole number such as 0, or a time such as \"2026-11-21T14:02:00Z\"";
    match at.json {
        Json::Number(number) => {
            let whole = number.fract().abs() <= 0.0 && number.abs() <= MINUTE_MOST;
            // Whole and far below 2^53.
            #[allow(clippy::cast_possible_truncation)]
            let found = whole.then_some(When::Number(*number as i64));
            found.ok_or_else(|| at.wrong(&format!("{number} is not a minute; write {wanted}")))
        }
        Json::Text(text) => {
            let time: Timestamp = text.parse().map_err(|error| at.wrong(&format!("{error}, or as a whole number")))?;
            Ok(When::Time(time.minute()))
        }
        Json::Null | Json::Bool(_) | Json::List(_) | Json::Map(_) => Err(at.unlike(wanted)),
    }
}

fn weight(at: &At<'_>) -> Result<Weight, Problem> {
    let text = at.text("a percentage in quotes such as \"5%\"")?;
    text.parse().map_err(|error| at.wrong(&format!("{error}")))
}

fn arm(at: &At<'_>) -> Result<Arm, Problem> {
    let [requests, errors, latency, rates, distributions, levels] =
        at.fields(["requests", "errors", "latency", "rates", "distributions", "levels"])?;
    let arm = Arm {
        requests: requests.optional().map(|at| count(&at)).transpose()?,
        errors: errors.optional().map(|at| count(&at)).transpose()?,
        latency: latency.optional().map(|at| self::latency(&at)).transpose()?,
        rates: rates.optional().map(|at| at.named(rate)).transpose()?.unwrap_or_default(),
        distributions: distributions.optional().map(|at| at.named(histogram)).transpose()?.unwrap_or_default(),
        levels: levels.optional().map(|at| at.named(readings)).transpose()?.unwrap_or_default(),
    };
    match (arm.errors, arm.requests) {
        (Some(_), None) => Err(at.wrong("has `errors` without `requests`; write out of how many they are")),
        (Some(errors), Some(requests)) if errors > requests => {
            Err(at.inside("errors", &format!("{errors} are more than the {requests} requests they are part of")))
        }
        _ => Ok(arm),
    }
}

fn count(at: &At<'_>) -> Result<f64, Problem> {
    let number = at.number("a number of requests such as 150")?;
    if number < 0.0 {
        return Err(at.wrong(&format!("{number} is negative; leave out what is not known")));
    }
    if number > MOST {
        return Err(at.wrong(&format!("{number} is more than the {MOST:.0} that anybody serves in a minute")));
    }
    // Minus zero is zero.
    Ok(number + 0.0)
}

fn latency(at: &At<'_>) -> Result<Latency, Problem> {
    let Histogram { edges, counts } = bins(at, "edgesMs")?;
    Ok(Latency { edges, counts })
}

fn histogram(at: &At<'_>) -> Result<Histogram, Problem> {
    bins(at, "edges")
}

fn bins(at: &At<'_>, edges_field: &'static str) -> Result<Histogram, Problem> {
    let [edges_at, counts_at] = at.fields([edges_field, "counts"])?;
    let edges_at = edges_at.required("a list of numbers that rise")?;
    let counts_at = counts_at.required("a list with one number more than edges")?;
    let edges = edges_at.list(|edge| edge.number("a number such as 250"))?;
    if edges.is_empty() || edges.len() > EDGES_MAX {
        return Err(edges_at.wrong(&format!("has {} edges; write 1 to {EDGES_MAX}", edges.len())));
    }
    if let Some(edge) = edges.iter().find(|edge| **edge <= 0.0 || **edge > MOST) {
        return Err(edges_at.wrong(&format!("{edge} cannot be an edge; edges lie above 0 and below {MOST:.0}")));
    }
    if let Some(pair) = edges.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(edges_at.wrong(&format!("{} comes after {}; write the edges in rising order", pair[1], pair[0])));
    }
    let counts = counts_at.list(count)?;
    if counts.len() != edges.len() + 1 {
        let (found, wanted) = (counts.len(), edges.len() + 1);
        let message = format!(
            "has {found} counts for {} edges; write {wanted}: one below each edge, and one above the last",
            edges.len()
        );
        return Err(counts_at.wrong(&message));
    }
    Ok(Histogram { edges, counts })
}

fn rate(at: &At<'_>) -> Result<Rate, Problem> {
    let [events, requests] = at.fields(["events", "requests"])?;
    let rate = Rate {
        events: count(&events.required("how many of the requests they are")?)?,
        requests: count(&requests.required("out of how many requests they are")?)?,
    };
    if rate.events > rate.requests {
        let message = format!("{} are more than the {} requests they are part of", rate.events, rate.requests);
        return Err(at.inside("events", &message));
    }
    Ok(rate)
}

fn readings(at: &At<'_>) -> Result<Readings, Problem> {
    let [readings, sum] = at.fields(["readings", "sum"])?;
    let sum = sum.required("the sum of all readings")?.number("a number")?;
    Ok(Readings { readings: count(&readings.required("how many readings there are")?)?, sum })
}

#[cfg(test)]
mod tests;
