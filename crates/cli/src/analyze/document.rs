//! What `--json` prints: a line a case. What is not known, or infinite, is null.

use std::io::{self, Write};

use coalmine_core::analysis::replay::Judged;
use coalmine_core::analysis::{Comparison, Doubt, Evidence, Interval, Lane, Verdict};
use coalmine_core::recording::When;
use coalmine_core::text;
use serde::Serialize;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Case<'a> {
    case: Option<&'a str>,
    verdict: Verdict,
    decided_minute: Option<When>,
    passed_minute: Option<When>,
    checks: Vec<Check<'a>>,
    /// Of an inconclusive verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    doubt: Option<Doubt>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
    /// Why the case was not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Check<'a> {
    check: &'a str,
    verdict: Verdict,
    #[serde(flatten)]
    harm: LnE,
    promotion: LnE,
    ratio: Option<Interval>,
    reason: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LnE {
    ln_e: Option<f64>,
    ln_threshold: Option<f64>,
}

impl LnE {
    fn new(ln_e: f64, ln_threshold: f64) -> Self {
        let known = |value: f64| value.is_finite().then_some(value);
        Self { ln_e: known(ln_e), ln_threshold: known(ln_threshold) }
    }

    /// Of the lane that proved harm; of the standard one, where none did.
    fn of_harm(evidence: &Evidence) -> Self {
        let Evidence { harm, harm_threshold, catastrophe, catastrophe_threshold, .. } = *evidence;
        match evidence.lane {
            Some(Lane::Catastrophe) => Self::new(catastrophe, catastrophe_threshold),
            Some(Lane::History | Lane::Minutes) | None => Self::new(harm, harm_threshold),
        }
    }
}

impl<'a> Check<'a> {
    fn of(comparison: &'a Comparison) -> Self {
        let evidence = &comparison.evidence;
        Self {
            check: &comparison.check,
            verdict: comparison.verdict,
            harm: LnE::of_harm(evidence),
            promotion: LnE::new(evidence.promotion, evidence.promotion_threshold),
            ratio: comparison.ratio,
            reason: &comparison.sentence,
        }
    }
}

pub fn judged(out: &mut impl Write, judged: &Judged) -> io::Result<()> {
    let case = Case {
        case: judged.case.as_deref(),
        verdict: judged.verdict,
        decided_minute: judged.decided,
        passed_minute: judged.passed,
        checks: judged.analysis.comparisons.iter().map(Check::of).collect(),
        doubt: judged.analysis.doubt.filter(|_| judged.verdict == Verdict::Inconclusive),
        notes: &judged.notes,
        problem: None,
    };
    line(out, &case)
}

/// A case that was not judged is never a Pass.
pub fn broken(out: &mut impl Write, name: Option<&str>, why: &str) -> io::Result<()> {
    let case = Case {
        case: name,
        verdict: Verdict::Inconclusive,
        decided_minute: None,
        passed_minute: None,
        checks: Vec::new(),
        doubt: None,
        notes: &[],
        problem: Some(why),
    };
    line(out, &case)
}

fn line(out: &mut impl Write, case: &Case<'_>) -> io::Result<()> {
    // Scripts read the same, and a terminal that shows it does nothing else.
    writeln!(out, "{}", text::json(&serde_json::to_string(case)?))
}
