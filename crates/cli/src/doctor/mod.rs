//! `coalmine doctor`

mod stack;
mod target;

use std::io::{self, Write};
use std::path::PathBuf;

use coalmine_aws::{Aws, AwsConfig};
use coalmine_core::ports::{Fault, FaultKind, LookError};
use coalmine_core::spec::{self, RolloutSpec};
use coalmine_core::text;
use serde::Serialize;

use crate::Exit;
use crate::validate::load_or_say;

const COLUMNS: usize = 100;

/// No sentence is longer.
const SAID_CHARS: usize = 900;

/// Whether everything is there that a rollout needs. Reads only.
///
/// Exit status:
///   0  nothing is wrong
///   1  something is
///   2  wrong use, or an invalid spec
///   4  AWS or a file did not answer
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The spec whose target and alarms are examined; `-` reads standard input.
    spec: Option<PathBuf>,
    /// A function without a spec.
    #[arg(long, conflicts_with = "spec", requires = "alias")]
    function: Option<String>,
    /// The alias of --function.
    #[arg(long, requires = "function")]
    alias: Option<String>,
    /// Examine the deployed Coalmine too, here the stack of this name; alone, only that.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "coalmine")]
    stack: Option<String>,
    /// Print one JSON document and nothing else on standard output.
    #[arg(long)]
    json: bool,
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Grade {
    /// As it should be.
    Fine,
    /// Worth knowing.
    Note,
    /// Not as it should be, or nobody knows.
    Wrong,
}

/// One line of the examination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub grade: Grade,
    /// What it is about: `alias`, `metrics`, `alarms`.
    pub about: &'static str,
    pub said: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub right: Option<String>,
}

/// Everything that was found, in order.
#[derive(Debug, Default)]
pub struct Findings {
    list: Vec<Finding>,
    /// Calls that got no answer at all, and those that got one.
    unanswered: usize,
    answered: usize,
}

impl Findings {
    fn add(&mut self, grade: Grade, about: &'static str, said: impl Into<String>, right: Option<&str>) {
        let said = text::shown(&said.into(), SAID_CHARS);
        self.list.push(Finding { grade, about, said, right: right.map(str::to_owned) });
    }

    pub fn fine(&mut self, about: &'static str, said: impl Into<String>) {
        self.add(Grade::Fine, about, said, None);
    }

    pub fn note(&mut self, about: &'static str, said: impl Into<String>, right: &str) {
        self.add(Grade::Note, about, said, Some(right));
    }

    pub fn wrong(&mut self, about: &'static str, said: impl Into<String>, right: &str) {
        self.add(Grade::Wrong, about, said, Some(right));
    }

    /// What a call brought. A refusal is a finding, and whoever asks goes on without.
    pub fn of<T>(&mut self, about: &'static str, answer: Result<T, Fault>) -> Option<T> {
        match answer {
            Ok(answer) => {
                self.answered += 1;
                Some(answer)
            }
            Err(fault) => {
                self.fault(about, &fault);
                None
            }
        }
    }

    /// The same of something that may not exist.
    pub fn look<T>(&mut self, about: &'static str, answer: Result<T, LookError>) -> Option<T> {
        match answer {
            Err(LookError::NotFound(sentence)) => {
                self.answered += 1;
                self.wrong(about, sentence, "name one that exists, in this account and region");
                None
            }
            Err(LookError::Fault(fault)) => self.of(about, Err(fault)),
            Ok(answer) => self.of(about, Ok(answer)),
        }
    }

    fn append(&mut self, other: Self) {
        self.list.extend(other.list);
        self.unanswered += other.unanswered;
        self.answered += other.answered;
    }

    fn fault(&mut self, about: &'static str, fault: &Fault) {
        let right = match fault.kind {
            FaultKind::Denied => {
                self.answered += 1;
                "let whoever asks do this; `coalmine plan`, `fit` and `doctor` need no permission to write"
            }
            FaultKind::Throttled => "ask again",
            FaultKind::Rejected => {
                self.answered += 1;
                "name what exists"
            }
            FaultKind::TimedOut | FaultKind::Failed => {
                self.unanswered += 1;
                "see that credentials, region and network are there, and ask again"
            }
        };
        self.wrong(about, fault.to_string(), right);
    }

    fn exit(&self) -> Exit {
        let wrong = self.list.iter().any(|finding| finding.grade == Grade::Wrong);
        match (self.answered, wrong) {
            (0, _) if self.unanswered > 0 => Exit::Io,
            (_, true) => Exit::Failed,
            (_, false) => Exit::Fine,
        }
    }
}

/// Examines, and prints what was found.
pub fn run(arguments: &Arguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    let spec = match subject(arguments, err)? {
        Ok(spec) => spec,
        Err(exit) => return Ok(exit),
    };
    if spec.is_none() && arguments.stack.is_none() {
        writeln!(err, "name what to examine: a spec, --function with --alias, or --stack")?;
        return Ok(Exit::Invalid);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            writeln!(err, "cannot start: {error}")?;
            return Ok(Exit::Io);
        }
    };
    let now = crate::now();
    let mut findings = Findings::default();
    runtime.block_on(async {
        let aws = Aws::new(AwsConfig::default()).await;
        match aws.region() {
            Some(region) => findings.fine("region", region),
            None => findings.wrong("region", "no region is set", "set AWS_REGION, or one in the profile"),
        }
        // What the stack tells is needed to understand what is seen of the target.
        let (mut of_stack, mut told) = (Findings::default(), stack::Told::default());
        if let Some(stack) = &arguments.stack {
            told = stack::examine(&aws, stack, now, &mut of_stack).await;
        }
        if let Some(spec) = &spec {
            target::examine(&aws, spec, &told, now, &mut findings).await;
            if let Some(command) = &told.command {
                stack::may(&aws, command, spec, &mut of_stack).await;
            }
        }
        findings.append(of_stack);
    });
    print(arguments, spec.as_ref(), &findings, out)?;
    Ok(findings.exit())
}

fn subject(arguments: &Arguments, err: &mut impl Write) -> io::Result<Result<Option<RolloutSpec>, Exit>> {
    if let (Some(function), Some(alias)) = (&arguments.function, &arguments.alias) {
        let target = serde_json::json!({ "lambda": { "function": function, "alias": alias } });
        return match spec::from_value(&serde_json::json!({ "coalmine": "v1", "target": target })) {
            Ok(valid) => Ok(Ok(Some(valid.spec))),
            Err(problems) => {
                problems.iter().try_for_each(|problem| writeln!(err, "{}", problem.message))?;
                Ok(Err(Exit::Invalid))
            }
        };
    }
    let Some(path) = arguments.spec.as_deref() else { return Ok(Ok(None)) };
    Ok(load_or_say(path, err)?.map(|valid| Some(valid.spec)))
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    target: Option<String>,
    stack: Option<&'a str>,
    findings: &'a [Finding],
}

fn print(
    arguments: &Arguments,
    spec: Option<&RolloutSpec>,
    findings: &Findings,
    out: &mut impl Write,
) -> io::Result<()> {
    let (target, stack) = (spec.map(|spec| spec.target.key()), arguments.stack.as_deref());
    if arguments.json {
        let document = Document { target, stack, findings: &findings.list };
        return writeln!(out, "{}", text::json(&serde_json::to_string_pretty(&document)?));
    }
    let count = |grade| findings.list.iter().filter(|finding| finding.grade == grade).count();
    let (wrong, notes) = (count(Grade::Wrong), count(Grade::Note));
    let target = target.map(|key| text::shown(&key, SAID_CHARS));
    let stack = stack.map(|stack| format!("stack {}", text::shown(stack, SAID_CHARS)));
    let of: Vec<String> = target.into_iter().chain(stack).collect();
    let found = match (wrong, notes) {
        (0, 0) => "NOTHING IS WRONG".to_owned(),
        (0, notes) => format!("NOTHING IS WRONG, {notes} WORTH KNOWING"),
        (wrong, notes) => format!("{wrong} WRONG, {notes} WORTH KNOWING"),
    };
    writeln!(out, "DOCTOR  {}: {found}     looked only", of.join(" and "))?;
    for grade in [Grade::Wrong, Grade::Note, Grade::Fine] {
        for finding in findings.list.iter().filter(|finding| finding.grade == grade) {
            let mark = match grade {
                Grade::Wrong => "x",
                Grade::Note => "!",
                Grade::Fine => "ok",
            };
            wrapped(out, &format!("{mark:<3}{:<12}", finding.about), &finding.said)?;
            if let Some(right) = &finding.right {
                wrapped(out, &format!("{:<15}right: ", ""), right)?;
            }
        }
    }
    Ok(())
}

/// Words over as many lines as they need.
fn wrapped(out: &mut impl Write, begin: &str, said: &str) -> io::Result<()> {
    let mut row = begin.to_owned();
    for (place, word) in said.split_whitespace().enumerate() {
        if place > 0 && row.chars().count() + 1 + word.chars().count() > COLUMNS {
            writeln!(out, "{}", row.trim_end())?;
            row = " ".repeat(15);
        } else if place > 0 {
            row.push(' ');
        }
        row.push_str(word);
    }
    writeln!(out, "{}", row.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(of: impl FnOnce(&mut Findings)) -> Findings {
        let mut findings = Findings::default();
        of(&mut findings);
        findings
    }

    #[test]
    fn a_refusal_is_a_finding_and_silence_is_no_answer() {
        let fault = |kind| Fault::new("GetAlias", kind, "because");
        let fine = findings(|it| assert!(it.of("alias", Ok(1)).is_some()));
        assert_eq!(fine.exit(), Exit::Fine);
        let denied = findings(|it| assert!(it.of::<()>("alias", Err(fault(FaultKind::Denied))).is_none()));
        assert_eq!((denied.exit(), denied.list[0].grade), (Exit::Failed, Grade::Wrong));
        let silent = findings(|it| assert!(it.of::<()>("alias", Err(fault(FaultKind::TimedOut))).is_none()));
        assert_eq!(silent.exit(), Exit::Io);
        let both = findings(|it| {
            it.of("alias", Ok(1));
            it.of::<()>("alarms", Err(fault(FaultKind::Failed)));
        });
        assert_eq!(both.exit(), Exit::Failed);
        let missing =
            findings(|it| assert!(it.look::<()>("alias", Err(LookError::NotFound("no alias".into()))).is_none()));
        assert_eq!(missing.exit(), Exit::Failed);
    }

    #[test]
    fn what_is_wrong_comes_first_and_no_line_is_long() {
        let found = findings(|it| {
            it.fine("region", "eu-west-1");
            it.wrong("alias", "word ".repeat(60), "another word");
            it.note("alarms", "none\u{1b}[2J", "name one");
        });
        use clap::Parser;
        let arguments = crate::Arguments::try_parse_from(["coalmine", "doctor", "--stack"]).unwrap();
        let crate::Command::Doctor(arguments) = arguments.command else { panic!("not doctor") };
        assert_eq!(arguments.stack.as_deref(), Some("coalmine"));
        let mut out = Vec::new();
        print(&arguments, None, &found, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS) && !text.contains('\u{1b}'), "{text}");
        let marks: Vec<&str> =
            text.lines().filter_map(|line| line.split(' ').next().filter(|mark| !mark.is_empty())).collect();
        assert_eq!(marks, ["DOCTOR", "x", "!", "ok"], "{text}");
    }
}
