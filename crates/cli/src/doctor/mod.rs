//! `coalmine doctor`

mod stack;
mod target;

use std::io::{self, Write};
use std::path::PathBuf;

use coalmine_aws::{Aws, AwsConfig};
use coalmine_core::ports::{Fault, FaultKind, LookError};
use coalmine_core::spec::{self, Problem, RolloutSpec};
use coalmine_core::text;
use serde::Serialize;
use stack::Which;

use crate::Exit;
use crate::stack::Tag;
use crate::validate::{load_or_say, refuse};

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
    /// Examine the deployed Coalmine too, the stack of this name [default: COALMINE_STACK, or COALMINE_TAG, or
    /// `coalmine`]; alone, only that. A spec goes before it.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "", value_parser = stack_name)]
    stack: Option<String>,
    /// The same of the stack that was deployed with this tag: `team=shop`.
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "stack")]
    tag: Option<Tag>,
    /// Print one JSON document and nothing else on standard output.
    #[arg(long)]
    json: bool,
}

/// What CloudFormation lets a stack be called; nothing where none is named. A spec that stands behind `--stack` is none.
fn stack_name(text: &str) -> Result<String, String> {
    match text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        true => Ok(text.to_owned()),
        false => {
            Err("is no name of a stack, which has letters, digits and hyphens; a spec goes before --stack".to_owned())
        }
    }
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
    let spec = match subject(arguments, out, err)? {
        Ok(spec) => spec,
        Err(exit) => return Ok(exit),
    };
    let variable = |name: &str| std::env::var(name).ok();
    let which = match which(arguments, &variable) {
        Ok(which) => which,
        Err(problem) => {
            refuse(&[problem], arguments.json, out, err)?;
            return Ok(Exit::Invalid);
        }
    };
    if spec.is_none() && which.is_none() {
        let message = "name what to examine: a spec, --function with --alias, or --stack";
        refuse(&[Problem::at("", message)], arguments.json, out, err)?;
        return Ok(Exit::Invalid);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            refuse(&[Problem::at("", format!("cannot start: {error}"))], arguments.json, out, err)?;
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
        if let Some(which) = &which {
            told = stack::examine(&aws, which, now, &mut of_stack).await;
        }
        if let Some(spec) = &spec {
            target::examine(&aws, spec, &told, now, &mut findings).await;
            if let Some(command) = &told.command {
                stack::may(&aws, command, spec, &mut of_stack).await;
            }
        }
        findings.append(of_stack);
    });
    print(arguments.json, spec.as_ref(), which.as_ref(), &findings, out)?;
    Ok(findings.exit())
}

/// Which stack is examined, if one is: the one that is named, or else the one that all other commands ask.
fn which(arguments: &Arguments, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Which>, Problem> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    match (&arguments.tag, arguments.stack.as_deref()) {
        (Some(tag), _) => Ok(Some(Which::Tagged(tag.clone()))),
        (None, None) => Ok(None),
        (None, Some("")) => match (set("COALMINE_TAG"), set("COALMINE_STACK")) {
            (Some(tag), _) => match tag.parse() {
                Ok(tag) => Ok(Some(Which::Tagged(tag))),
                Err(why) => Err(Problem::at("COALMINE_TAG", why)),
            },
            (None, Some(name)) => Ok(Some(Which::Named(name))),
            (None, None) => Ok(Some(Which::Named("coalmine".to_owned()))),
        },
        (None, Some(name)) => Ok(Some(Which::Named(name.to_owned()))),
    }
}

fn subject(
    arguments: &Arguments,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<Result<Option<RolloutSpec>, Exit>> {
    if let (Some(function), Some(alias)) = (&arguments.function, &arguments.alias) {
        let target = serde_json::json!({ "lambda": { "function": function, "alias": alias } });
        return match spec::from_value(&serde_json::json!({ "coalmine": "v1", "target": target })) {
            Ok(valid) => Ok(Ok(Some(valid.spec))),
            Err(problems) => {
                refuse(&problems, arguments.json, out, err)?;
                Ok(Err(Exit::Invalid))
            }
        };
    }
    let Some(path) = arguments.spec.as_deref() else { return Ok(Ok(None)) };
    Ok(load_or_say(path, arguments.json, out, err)?.map(|valid| Some(valid.spec)))
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    target: Option<String>,
    stack: Option<&'a str>,
    findings: &'a [Finding],
}

fn print(
    json: bool,
    spec: Option<&RolloutSpec>,
    which: Option<&Which>,
    findings: &Findings,
    out: &mut impl Write,
) -> io::Result<()> {
    let (target, stack) = (spec.map(|spec| spec.target.key()), which.map(Which::shown));
    if json {
        let document = Document { target, stack: stack.as_deref(), findings: &findings.list };
        return writeln!(out, "{}", text::json(&serde_json::to_string_pretty(&document)?));
    }
    let count = |grade| findings.list.iter().filter(|finding| finding.grade == grade).count();
    let (wrong, notes) = (count(Grade::Wrong), count(Grade::Note));
    let target = target.map(|key| text::shown(&key, SAID_CHARS));
    let stack = stack.map(|stack| format!("stack {stack}"));
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

    fn parsed(words: &[&str]) -> Result<Arguments, String> {
        use clap::Parser;
        let parsed = crate::Arguments::try_parse_from([&["coalmine", "doctor"], words].concat());
        let command = parsed.map_err(|error| error.to_string())?.command;
        let crate::Command::Doctor(arguments) = command else { panic!("not doctor: {command:?}") };
        Ok(arguments)
    }

    #[test]
    fn the_stack_is_the_one_that_is_named_or_the_one_that_every_command_asks() {
        let (named, tagged) =
            (|name: &str| Some(Which::Named(name.to_owned())), Some(Which::Tagged("a=b".parse().unwrap())));
        let (stack, tag) = (("COALMINE_STACK", "shop"), ("COALMINE_TAG", "a=b"));
        for (words, variables, expected) in [
            (&["spec.yaml"][..], &[stack, tag][..], None),
            (&["--stack"], &[], named("coalmine")),
            (&["spec.yaml", "--stack"], &[stack], named("shop")),
            (&["--stack"], &[stack, tag], tagged.clone()),
            (&["--stack", "canary"], &[stack, tag], named("canary")),
            (&["--tag", "a=b"], &[stack], tagged),
        ] {
            let set = |name: &str| variables.iter().find(|one| one.0 == name).map(|one| one.1.to_owned());
            assert_eq!(which(&parsed(words).unwrap(), &set), Ok(expected), "{words:?}");
        }
        let wrong = which(&parsed(&["--stack"]).unwrap(), &|_| Some("shop".to_owned()));
        assert_eq!(wrong.unwrap_err().path, "COALMINE_TAG");
        // The spec is not taken for a stack.
        let swallowed = parsed(&["--stack", "checkout.yaml"]).unwrap_err();
        assert!(swallowed.contains("a spec goes before --stack"), "{swallowed}");
    }

    #[test]
    fn what_is_wrong_comes_first_and_no_line_is_long() {
        let found = findings(|it| {
            it.fine("region", "eu-west-1");
            it.wrong("alias", "word ".repeat(60), "another word");
            it.note("alarms", "none\u{1b}[2J", "name one");
        });
        let mut out = Vec::new();
        print(false, None, Some(&Which::Named("coalmine".to_owned())), &found, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS) && !text.contains('\u{1b}'), "{text}");
        let marks: Vec<&str> =
            text.lines().filter_map(|line| line.split(' ').next().filter(|mark| !mark.is_empty())).collect();
        assert_eq!(marks, ["DOCTOR", "x", "!", "ok"], "{text}");
    }
}
