//! A row for every check: both numbers, the ratio, how far it is to either end.

use coalmine_core::analysis::{Comparison, Doubt, Interval, LevelComparison, Verdict, grouped};
use coalmine_core::report;
use coalmine_core::rollout::Phase;
use coalmine_core::spec::CheckMode;
use coalmine_core::units::plain_number;
use schemars::JsonSchema;
use serde::Serialize;

use super::view::Look;

/// One check, as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckView {
    /// Its name in the spec.
    pub check: String,
    /// What it counts, as a screen says it: `slower than 640 ms`.
    pub label: String,
    /// `enforce`, `hold` or `observe`.
    #[schemars(with = "String")]
    pub mode: CheckMode,
    pub found: Found,
    /// Both versions; nothing without data.
    pub new: Option<Side>,
    pub old: Option<Side>,
    /// The new version's share over the old one's.
    #[schemars(with = "Option<TimesShape>")]
    pub times: Option<Interval>,
    /// Of a mean or a gauge: both levels, and by how much the new one is higher.
    #[schemars(with = "Option<LevelShape>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<LevelComparison>,
    /// How much of the evidence that a rollback needs is there, as a share; nothing where the check cannot roll back or hold.
    pub towards_rollback: Option<f64>,
    /// How much of the evidence that a promotion needs is there, as a share; nothing where nothing is to be proven.
    pub towards_proof: Option<f64>,
    /// What it found, what a rollback takes, and what a promotion takes: a sentence each.
    pub why: Vec<String>,
}

/// What a check says of the new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Found {
    ProvenFine,
    LooksFine,
    LooksWorse,
    ProvenWorse,
    /// There are data, but what the check asks cannot be told from them.
    CannotTell,
    NoData,
    /// It decides nothing.
    ShownOnly,
}

impl Found {
    pub fn words(self) -> &'static str {
        match self {
            Self::ProvenFine => "proven fine",
            Self::LooksFine => "looks fine",
            Self::LooksWorse => "looks worse",
            Self::ProvenWorse => "proven worse",
            Self::CannotTell => "cannot tell",
            Self::NoData => "no data",
            Self::ShownOnly => "shown only",
        }
    }
}

/// One version.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    pub requests: f64,
    pub events: f64,
}

impl Side {
    pub fn share(&self) -> f64 {
        if self.requests > 0.0 { self.events / self.requests } else { 0.0 }
    }
}

/// How an [`Interval`] looks.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "a shape")]
struct TimesShape {
    /// Nothing when only the new version had events.
    estimate: Option<f64>,
    lower: f64,
    /// Nothing when nothing bounds it from above.
    upper: Option<f64>,
}

/// How a [`LevelComparison`] looks.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "a shape")]
struct LevelShape {
    canary: f64,
    baseline: f64,
    /// New minus old, from and to.
    difference: Option<(f64, f64)>,
}

pub(super) fn of(look: &Look<'_>) -> Vec<CheckView> {
    let comparisons = look.analysis.map(|analysis| analysis.comparisons.as_slice()).unwrap_or_default();
    let judged = comparisons.iter().map(|comparison| view(look, comparison));
    if look.analysis.is_some() {
        return judged.collect();
    }
    // Before the first minute it is known what will be looked at.
    look.rollout.plan.checks.iter().map(|check| unseen(&check.name, check.mode)).collect()
}

fn unseen(name: &str, mode: CheckMode) -> CheckView {
    CheckView {
        check: name.to_owned(),
        label: name.to_owned(),
        mode,
        found: Found::NoData,
        new: None,
        old: None,
        times: None,
        level: None,
        towards_rollback: None,
        towards_proof: None,
        why: vec![format!("{name}: no minute with data of both versions yet")],
    }
}

fn view(look: &Look<'_>, comparison: &Comparison) -> CheckView {
    let evidence = &comparison.evidence;
    let proves = evidence.promotion_threshold > 0.0;
    let weighs = evidence.harm_threshold > 0.0;
    let has_data = comparison.newest.is_some();
    let side = |count: coalmine_core::analysis::Count| {
        (count.requests > 0.0 && comparison.level.is_none())
            .then_some(Side { requests: count.requests, events: count.events })
    };
    let found = found(look, comparison);
    let towards_rollback = match found {
        Found::ProvenWorse => 1.0,
        // What is not proven never has all of it.
        Found::ProvenFine
        | Found::LooksFine
        | Found::LooksWorse
        | Found::CannotTell
        | Found::NoData
        | Found::ShownOnly => {
            let part = if comparison.level.is_some() { gauge_part(comparison) } else { evidence.towards_rollback() };
            part.clamp(0.0, 0.99)
        }
    };
    CheckView {
        check: comparison.check.clone(),
        label: label(comparison),
        mode: comparison.mode,
        found,
        new: side(comparison.canary),
        old: side(comparison.baseline),
        times: comparison.ratio,
        level: comparison.level,
        towards_rollback: (weighs && has_data).then_some(towards_rollback),
        towards_proof: (proves && has_data).then(|| match found {
            Found::ProvenFine => 1.0,
            Found::ProvenWorse => 0.0,
            Found::LooksFine | Found::LooksWorse | Found::CannotTell | Found::NoData | Found::ShownOnly => {
                evidence.towards_proof().clamp(0.0, 0.99)
            }
        }),
        why: why(look, comparison),
    }
}

fn gauge_part(comparison: &Comparison) -> f64 {
    let evidence = &comparison.evidence;
    if evidence.harm_threshold > 0.0 { evidence.harm / evidence.harm_threshold } else { 0.0 }
}

fn found(look: &Look<'_>, comparison: &Comparison) -> Found {
    // A step that is over, and a rollout that is, asks for no more minutes.
    let proven = comparison.evidence.towards_proof() >= 1.0 && !matches!(look.rollout.phase, Phase::Baking { .. });
    if comparison.evidence.lane.is_some() {
        return Found::ProvenWorse;
    }
    match (comparison.verdict, comparison.doubt) {
        (Verdict::Pass, _) => Found::ProvenFine,
        (Verdict::Inconclusive, Some(Doubt::NoData)) if look.is_young() && comparison.newest.is_some() => {
            Found::LooksFine
        }
        (_, Some(Doubt::NoData)) => Found::NoData,
        (Verdict::Fail, _) => Found::ProvenWorse,
        (Verdict::Inconclusive, Some(Doubt::LooksWorse)) => Found::LooksWorse,
        (Verdict::Inconclusive, Some(Doubt::Blind)) => Found::CannotTell,
        (Verdict::Inconclusive, _) if comparison.newest.is_none() => Found::NoData,
        (Verdict::Inconclusive, None) => Found::ShownOnly,
        (Verdict::Inconclusive, Some(_)) if proven => Found::ProvenFine,
        (Verdict::Inconclusive, Some(_)) => Found::LooksFine,
    }
}

/// `errors`, `slower than 640 ms`, `rows above 200`.
fn label(comparison: &Comparison) -> String {
    match &comparison.slower {
        Some(slower) if slower.is_time() && comparison.check == "latency" => format!("slower than {}", slower.edge()),
        Some(slower) => format!("{} > {}", comparison.check, slower.edge()),
        None => comparison.check.clone(),
    }
}

/// What `w` shows.
fn why(look: &Look<'_>, comparison: &Comparison) -> Vec<String> {
    let evidence = &comparison.evidence;
    let mut said = vec![comparison.sentence.clone()];
    if comparison.level.is_some() || evidence.harm_threshold <= 0.0 {
        return said;
    }
    let part = |share: f64| format!("{:.0} %", (100.0 * share).clamp(0.0, 99.0).floor());
    let once = match comparison.mode {
        CheckMode::Enforce => "It rolls back the minute it is proven worse",
        CheckMode::Hold => "It never rolls back; proven worse, it holds",
        CheckMode::Observe => "It is only shown",
    };
    said.push(match evidence.lane {
        Some(_) => match report::worse_inside_tolerance(&look.rollout.plan, comparison) {
            Some(inside) => format!("{once}, and it is: {inside}"),
            None => format!("{once}, and it is: all of the evidence is there"),
        },
        None => format!(
            "{once}: {} of the evidence for that is there; of 100 releases that are as good as the old version, at most {} \
             are rolled back",
            part(evidence.towards_rollback()),
            plain_number(100.0 * look.rollout.plan.false_rollback)
        ),
    });
    if comparison.mode != CheckMode::Observe && evidence.lane.is_none() {
        let missing = match evidence.requests_missing.filter(|missing| *missing >= 1.0) {
            Some(missing) => format!(", about {} requests of the new version to come", grouped(missing)),
            None => String::new(),
        };
        said.push(match evidence.towards_proof() >= 1.0 {
            true => format!("A promotion needs proof that it is no worse than {}: it is there", tolerated(comparison)),
            false => format!(
                "A promotion needs proof that it is no worse than {}: {} of it is there{missing}",
                tolerated(comparison),
                part(evidence.towards_proof())
            ),
        });
    }
    said
}

fn tolerated(comparison: &Comparison) -> String {
    match &comparison.slower {
        Some(slower) => {
            let percent = coalmine_core::analysis::percent(comparison.tolerance.factor - 1.0);
            format!("{percent} slower at {}", slower.quantiles)
        }
        None => comparison.tolerance.to_string(),
    }
}
