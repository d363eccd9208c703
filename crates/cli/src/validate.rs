//! `coalmine validate`

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use coalmine_core::spec::{self, Problem, RolloutSpec, Validated};
use coalmine_core::text;

use crate::Exit;

/// Merged under every spec that is validated beside it.
const DEFAULTS_FILE: &str = "coalmine.defaults.yaml";

/// Characters of a path that are shown; no file system has longer ones.
const PATH_CHARS: usize = 4096;

/// Check a rollout spec offline: all its problems at once, each with its line.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The spec, YAML or JSON; `-` reads standard input.
    spec: PathBuf,
    /// Print the spec with every default written out.
    #[arg(long)]
    show_effective: bool,
    /// Print one JSON document and nothing else on standard output.
    #[arg(long)]
    json: bool,
    /// Defaults that are merged under the spec [default: `coalmine.defaults.yaml` here, if there is one].
    #[arg(long, value_name = "FILE")]
    defaults: Option<PathBuf>,
}

/// Problems and warnings go to `err` for people; with `--json` everything goes to `out`.
pub fn run(arguments: &Arguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    let validated = match load(&arguments.spec, arguments.defaults.as_deref()) {
        Ok(validated) => validated,
        Err(Unread::NotText(message)) => Err(vec![Problem::at("", message)]),
        Err(Unread::Io(message)) => {
            match arguments.json {
                true => print_json(out, Err(&[Problem::at("", message)]), None)?,
                false => writeln!(err, "{message}")?,
            }
            return Ok(Exit::Io);
        }
    };
    let effective = |spec: &RolloutSpec| arguments.show_effective.then(|| spec::effective(spec));
    match (&validated, arguments.json) {
        (Ok(valid), true) => print_json(out, Ok(&valid.warnings), effective(&valid.spec))?,
        (Err(problems), true) => print_json(out, Err(problems), None)?,
        (Ok(valid), false) => print_valid(&arguments.spec, valid, effective(&valid.spec), out, err)?,
        (Err(problems), false) => {
            for problem in problems {
                print_problem(&arguments.spec, "", problem, err)?;
            }
        }
    }
    Ok(if validated.is_ok() { Exit::Fine } else { Exit::Invalid })
}

/// A spec by its path, with the defaults that are merged under it.
pub(crate) fn load(spec: &Path, defaults: Option<&Path>) -> Result<Result<Validated, Vec<Problem>>, Unread> {
    let (text, defaults) = read_both(spec, defaults)?;
    Ok(spec::parse_with_defaults(&text, defaults.as_deref()))
}

/// The same, with everything that is wrong said, and what that is to a script.
pub(crate) fn load_or_say(
    spec: &Path,
    json: bool,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<Result<Validated, Exit>> {
    load_with_or_say(spec, None, json, out, err)
}

/// The same, with other defaults than those of this folder.
pub(crate) fn load_with_or_say(
    spec: &Path,
    defaults: Option<&Path>,
    json: bool,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<Result<Validated, Exit>> {
    let (message, exit) = match load(spec, defaults) {
        Ok(Ok(valid)) => return Ok(Ok(valid)),
        Ok(Err(problems)) => {
            problems.iter().try_for_each(|problem| print_problem(spec, "", problem, err))?;
            if json {
                print_errors(&problems, out)?;
            }
            return Ok(Err(Exit::Invalid));
        }
        Err(Unread::NotText(message)) => (message, Exit::Invalid),
        Err(Unread::Io(message)) => (message, Exit::Io),
    };
    refuse(&[Problem::at("", message)], json, out, err)?;
    Ok(Err(exit))
}

/// Says why there is no answer: a line each for people, and for programs the document that comes in its place.
pub(crate) fn refuse(problems: &[Problem], json: bool, out: &mut impl Write, err: &mut impl Write) -> io::Result<()> {
    problems.iter().try_for_each(|problem| writeln!(err, "{problem}"))?;
    if json { print_errors(problems, out) } else { Ok(()) }
}

/// `{"errors":[...]}`, on one line.
pub(crate) fn print_errors(problems: &[Problem], out: &mut impl Write) -> io::Result<()> {
    let document = serde_json::json!({ "errors": problems });
    writeln!(out, "{}", text::json(&document.to_string()))
}

/// Why there is no text to parse.
#[derive(Debug)]
pub(crate) enum Unread {
    Io(String),
    NotText(String),
}

fn read_both(spec: &Path, defaults: Option<&Path>) -> Result<(String, Option<String>), Unread> {
    let text = match spec.as_os_str() == "-" {
        true => read(Path::new("standard input"), io::stdin().lock(), spec::DOCUMENT_BYTES_MAX, "a spec")?,
        false => read_file(spec)?,
    };
    let defaults = match defaults {
        Some(path) => Some(read_file(path)?),
        None if Path::new(DEFAULTS_FILE).exists() => Some(read_file(Path::new(DEFAULTS_FILE))?),
        None => None,
    };
    Ok((text, defaults))
}

pub(crate) fn read_file(path: &Path) -> Result<String, Unread> {
    read_file_up_to(path, spec::DOCUMENT_BYTES_MAX, "a spec")
}

/// The same of another kind of file.
pub(crate) fn read_file_up_to(path: &Path, most: usize, what: &str) -> Result<String, Unread> {
    let file = File::open(path).map_err(|error| Unread::Io(format!("cannot read {}: {error}", shown(path))))?;
    read(path, file, most, what)
}

fn read(path: &Path, source: impl Read, most: usize, what: &str) -> Result<String, Unread> {
    let mut bytes = Vec::new();
    source
        .take(most as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Unread::Io(format!("cannot read {}: {error}", shown(path))))?;
    if bytes.len() > most {
        let message = format!("{} has more than {most} bytes, too many for {what}", shown(path));
        return Err(Unread::NotText(message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Unread::NotText(format!("{} is not UTF-8 text: byte {} is wrong", shown(path), at + 1))
    })
}

fn print_valid(
    path: &Path,
    valid: &Validated,
    effective: Option<String>,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<()> {
    for warning in &valid.warnings {
        print_problem(path, "warning: ", warning, err)?;
    }
    match effective {
        Some(effective) => out.write_all(effective.as_bytes()),
        None => {
            let weights = valid.spec.steps.iter().map(|step| step.weight.spec_form());
            let ladder: Vec<String> = weights.chain(["100%".to_owned()]).collect();
            writeln!(out, "{}: valid: {} to {}", shown(path), valid.spec.target.key(), ladder.join(", "))
        }
    }
}

/// A file's name on a terminal. Whoever sends a pull request may have chosen it.
pub(crate) fn shown(path: &Path) -> String {
    text::shown(&path.display().to_string(), PATH_CHARS)
}

/// `checkout.yaml:3:5: strategy.canary.weight: message`: editors and CI logs make a link of it.
pub(crate) fn print_problem(path: &Path, kind: &str, problem: &Problem, err: &mut impl Write) -> io::Result<()> {
    write!(err, "{}:", shown(path))?;
    for place in [problem.line, problem.line.and(problem.column)].into_iter().flatten() {
        write!(err, "{place}:")?;
    }
    write!(err, " {kind}")?;
    if !problem.path.is_empty() {
        write!(err, "{}: ", problem.path)?;
    }
    writeln!(err, "{}", problem.message)
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Report<'a> {
    valid: bool,
    errors: &'a [Problem],
    warnings: &'a [Problem],
    #[serde(skip_serializing_if = "Option::is_none")]
    effective: Option<String>,
}

fn print_json(
    out: &mut impl Write,
    result: Result<&[Problem], &[Problem]>,
    effective: Option<String>,
) -> io::Result<()> {
    let report = match result {
        Ok(warnings) => Report { valid: true, errors: &[], warnings, effective },
        Err(errors) => Report { valid: false, errors, warnings: &[], effective },
    };
    // Scripts read the same, and a terminal that shows it does nothing else.
    writeln!(out, "{}", text::json(&serde_json::to_string_pretty(&report)?))
}

#[cfg(test)]
mod tests;
