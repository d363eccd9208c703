//! Specs, and the problems that are found with them.

use serde_json::Value;

use super::{Broken, same, told};
use crate::analysis::plan;
use crate::spec::{Problem, RolloutSpec, Validated, effective, from_value, parse, parse_with_defaults};
use crate::units::Weight;

/// A problem is a sentence or two, with a few pieces of the document.
const TOLD_CHARS_MAX: usize = 1500;

/// 50 problems, and one that counts the others.
const PROBLEMS_MAX: usize = 51;

/// What a default spec has when it is written out; anything beyond it was in the document.
const EFFECTIVE_BYTES_MAX: usize = 16 * 1024;

/// Any bytes as a spec, and after a zero byte as an account's defaults.
///
/// # Errors
///
/// The promise that was broken.
pub fn spec(bytes: &[u8]) -> Result<(), Broken> {
    let Ok(text) = str::from_utf8(bytes) else { return Ok(()) };
    let (text, defaults) = text.split_once('\0').map_or((text, None), |(text, under)| (text, Some(under)));
    match parse_with_defaults(text, defaults) {
        Ok(valid) => sound(&valid, text.len() + defaults.map_or(0, str::len))?,
        Err(found) => {
            problems(&found)?;
            found.iter().try_for_each(|problem| inside(problem, text))?;
        }
    }
    match serde_json::from_str::<Value>(text) {
        Ok(value) => judged_alike(text, &value),
        Err(_) => Ok(()),
    }
}

/// A command's spec is what its text would be.
fn judged_alike(text: &str, value: &Value) -> Result<(), Broken> {
    let of_value = from_value(value);
    if let Err(found) = &of_value {
        problems(found)?;
    }
    match (parse(text), of_value) {
        (Ok(of_text), Ok(of_value)) => same("a spec as a value", &of_text.spec, &of_value.spec),
        _ => Ok(()),
    }
}

/// Few, short, and each says what is wrong.
///
/// # Errors
///
/// How they are not.
pub fn problems(found: &[Problem]) -> Result<(), Broken> {
    if found.is_empty() || found.len() > PROBLEMS_MAX {
        return Err(Broken(format!("{} problems are told", found.len())));
    }
    for problem in found {
        told(&problem.to_string(), TOLD_CHARS_MAX)?;
        if problem.message.is_empty() {
            return Err(Broken(format!("{problem:?} says nothing")));
        }
    }
    Ok(())
}

/// Its place is one of the document's. What is missing at the end is missed behind it.
fn inside(problem: &Problem, text: &str) -> Result<(), Broken> {
    let Some(line) = problem.line else { return Ok(()) };
    // YAML's line breaks. A byte order mark is no character of it.
    let lines: Vec<&str> = text.trim_start_matches('\u{feff}').split('\n').flat_map(|line| line.split('\r')).collect();
    let place = usize::try_from(line).unwrap_or(usize::MAX);
    let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let column = usize::try_from(problem.column.unwrap_or(1)).unwrap_or(usize::MAX);
    if place == 0 || column == 0 || place > lines.len() + 1 || column > longest + 2 {
        return Err(Broken(format!("{problem:?} is outside of a document with {} lines", lines.len())));
    }
    Ok(())
}

fn sound(valid: &Validated, document_bytes: usize) -> Result<(), Broken> {
    let Validated { spec, warnings } = valid;
    if !warnings.is_empty() {
        problems(warnings)?;
    }
    let text = effective(spec);
    // At most six characters for one that is written out, as YAML and as JSON.
    let bytes_max = EFFECTIVE_BYTES_MAX + 6 * document_bytes;
    if text.len() > bytes_max {
        return Err(Broken(format!("{} bytes come of a spec of {document_bytes}", text.len())));
    }
    let again = parse(&text).map_err(|problems| Broken(format!("{text} is not read: {problems:?}")))?;
    same("an effective spec", spec, &again.spec)?;
    let stored = serde_json::to_string(spec).map_err(|error| Broken(error.to_string()))?;
    let read: RolloutSpec = serde_json::from_str(&stored).map_err(|error| Broken(format!("{stored}: {error}")))?;
    same("a stored spec", spec, &read)?;
    possible(spec)?;
    told(&spec.target.key(), 400)?;
    let plan = plan(spec);
    let stored = serde_json::to_string(&plan).map_err(|error| Broken(error.to_string()))?;
    let read = serde_json::from_str(&stored).map_err(|error| Broken(format!("{stored}: {error}")))?;
    same("a stored plan", &plan, &read)
}

/// Weights rise to less than all, and no budget or limit is nonsense.
fn possible(spec: &RolloutSpec) -> Result<(), Broken> {
    let weights: Vec<Weight> = spec.steps.iter().map(|step| step.weight).collect();
    let rise = weights.windows(2).all(|pair| pair[0] < pair[1]);
    let within = weights.iter().all(|weight| (Weight::ZERO..Weight::FULL).contains(weight));
    let first = weights.first().is_none_or(|weight| *weight > Weight::ZERO);
    let shares = [spec.analysis.false_rollback, spec.analysis.false_promotion];
    let budgets = shares.iter().all(|share| *share > 0.0 && *share < 0.5);
    if rise && within && first && budgets { Ok(()) } else { Err(Broken(format!("{spec:?} is impossible"))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::mutated;

    /// As many as a second allows; a fuzzer goes on from here.
    const RUNS: u64 = 300;

    pub const DOCUMENTS: [&str; 9] = [
        include_str!("../../../../examples/canary.yaml"),
        include_str!("../../../../examples/careful.yaml"),
        include_str!("../../../../examples/codedeploy-preset.yaml"),
        include_str!("../../../../examples/minimal.yaml"),
        include_str!("../../../../examples/observe-only.json"),
        include_str!("../../../../examples/quiet-function.yaml"),
        include_str!("../../../../examples/alb-ec2/spec.yaml"),
        include_str!("../../../../fuzz/seeds/spec/everything.yaml"),
        include_str!("../../../../fuzz/seeds/spec/everything.json"),
    ];

    #[test]
    fn mutated_specs_break_no_promise() {
        let mut valid = 0;
        for document in DOCUMENTS {
            spec(document.as_bytes()).unwrap();
            for seed in 0..RUNS {
                let bytes = mutated(document.as_bytes(), seed, 20_000);
                spec(&bytes).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
                valid += u64::from(str::from_utf8(&bytes).is_ok_and(|text| parse(text).is_ok()));
            }
        }
        let all = RUNS * DOCUMENTS.len() as u64;
        assert!(valid > all / 20 && valid < all / 2, "some are valid, and most are not: {valid} of {all}");
    }
}
