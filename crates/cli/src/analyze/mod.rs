//! `coalmine analyze`

mod document;
mod page;
pub(crate) mod screen;

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};

use coalmine_core::analysis::Verdict;
use coalmine_core::analysis::replay::{Judged, Replay, Replayer};
use coalmine_core::recording::{LINE_BYTES_MAX, Read, Reader, Refused};
use coalmine_core::spec::Problem;

use crate::Exit;
use crate::validate::{load_with_or_say, print_errors, print_problem, refuse, shown};
use page::Page;

/// Wrong lines after which nothing more is read.
const PROBLEMS_MAX: usize = 20;

/// Cases between two signs of life.
const PROGRESS_EVERY: usize = 250;

/// The judge alone, over recorded metrics: what would it have said, and when?
///
/// Exit status:
///   0  every case is proven fine
///   1  a case is proven worse
///   3  none is, but a case is not proven either way
///   2  a spec or a recording is wrong, whatever the cases say
///   4  a file cannot be read or written
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The rollout spec, YAML or JSON, by which is judged.
    #[arg(long)]
    spec: PathBuf,
    /// Recordings, JSON Lines: one minute of one case a line; `-` reads standard input.
    #[arg(required = true, value_name = "RECORDING")]
    recordings: Vec<PathBuf>,
    /// Print one JSON document for each case, a line each, and nothing else on standard output.
    #[arg(long)]
    json: bool,
    /// Write a page with the evidence and its charts, which needs nothing else to be looked at.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Defaults that are merged under the spec [default: `coalmine.defaults.yaml` here, if there is one].
    #[arg(long, value_name = "FILE")]
    defaults: Option<PathBuf>,
}

/// Verdicts go to `out`, what is wrong to `err`.
pub fn run(arguments: &Arguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    let input = arguments.recordings.iter().chain([&arguments.spec]).filter(|path| path.as_os_str() == "-").count();
    if input > 1 {
        let message = format!("`-` is given {input} times, and there is one standard input");
        refuse(&[Problem::at("", message)], arguments.json, out, err)?;
        return Ok(Exit::Invalid);
    }
    let defaults = arguments.defaults.as_deref();
    let spec = match load_with_or_say(&arguments.spec, defaults, arguments.json, out, err)? {
        Ok(valid) => valid.spec,
        Err(exit) => return Ok(exit),
    };
    let progress = io::stderr().is_terminal() && !io::stdout().is_terminal();
    let page = arguments.report.as_ref().map(|_| Page::default());
    let replayer = Replayer::new(&spec);
    let mut session = Session { replayer, json: arguments.json, progress, out, err, page, tally: Tally::default() };
    for path in &arguments.recordings {
        match session.recording(path) {
            Ok(()) => {}
            Err(Stop::Output(error)) => return Err(error),
            Err(Stop::Input(message)) => {
                refuse(&[Problem::at("", message)], arguments.json, session.out, session.err)?;
                return Ok(Exit::Io);
            }
            Err(Stop::TooManyProblems) => {
                writeln!(session.err, "{PROBLEMS_MAX} lines are wrong; the rest is not looked at")?;
                break;
            }
        }
    }
    session.finish(arguments.report.as_deref())
}

/// Why nothing more is read.
enum Stop {
    Output(io::Error),
    Input(String),
    TooManyProblems,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// How many cases ended how.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    fail: usize,
    pass: usize,
    inconclusive: usize,
    /// Cases with a wrong line, which are not judged.
    broken: usize,
    /// Wrong lines.
    problems: usize,
}

impl Tally {
    fn cases(&self) -> usize {
        self.fail + self.pass + self.inconclusive + self.broken
    }

    /// The worst case decides.
    fn exit(&self) -> Exit {
        match self {
            Self { problems: 1.., .. } => Exit::Invalid,
            Self { fail: 1.., .. } => Exit::Failed,
            Self { inconclusive: 1.., .. } => Exit::Undecided,
            Self { .. } => Exit::Fine,
        }
    }
}

struct Session<'w, O, E> {
    replayer: Replayer,
    json: bool,
    progress: bool,
    out: &'w mut O,
    err: &'w mut E,
    page: Option<Page>,
    tally: Tally,
}

/// The case that is being read.
enum Case {
    Judged(Box<Replay>),
    /// One of its lines is wrong, so a verdict would be about something else.
    Broken {
        name: Option<String>,
        why: String,
    },
}

impl<O: Write, E: Write> Session<'_, O, E> {
    fn recording(&mut self, path: &Path) -> Result<(), Stop> {
        if path.as_os_str() == "-" {
            return self.read(Path::new("standard input"), &mut io::stdin().lock());
        }
        let unreadable = |error| Stop::Input(format!("cannot read {}: {error}", shown(path)));
        self.read(path, &mut BufReader::with_capacity(1 << 16, File::open(path).map_err(unreadable)?))
    }

    fn read(&mut self, path: &Path, input: &mut impl BufRead) -> Result<(), Stop> {
        let (mut reader, mut text, mut case) = (Reader::default(), Vec::new(), None);
        let before = self.tally.cases();
        loop {
            let more = next_line(input, &mut text);
            let more = more.map_err(|error| Stop::Input(format!("cannot read {}: {error}", shown(path))))?;
            if !more {
                break;
            }
            match reader.read(&text) {
                Ok(None) => {}
                Ok(Some(Read { begins, line })) => {
                    if begins {
                        self.end(path, case.take())?;
                    }
                    let traced = self.page.as_ref().is_some_and(Page::has_room);
                    let begin = || Case::Judged(Box::new(self.replayer.begin(traced)));
                    if let Case::Judged(replay) = case.get_or_insert_with(begin) {
                        replay.see(line);
                    }
                }
                Err(refused) => case = Some(self.refuse(path, case, refused)?),
            }
        }
        self.end(path, case)?;
        if self.tally.cases() == before {
            let problem = Problem::at("", "has no line; a recording has one for each minute");
            self.problem(path, &problem)?;
            // There is no case to say it of.
            if self.json {
                print_errors(&[Problem::at("", format!("{} {}", shown(path), problem.message))], self.out)?;
            }
        }
        Ok(())
    }

    fn refuse(&mut self, path: &Path, case: Option<Case>, refused: Refused) -> Result<Case, Stop> {
        let Refused { problem, begins } = refused;
        let why = problem.to_string();
        let broken = match (begins, case) {
            (Some(name), case) => {
                self.end(path, case)?;
                Case::Broken { name: Some(name), why }
            }
            (None, Some(Case::Judged(replay))) => Case::Broken { name: replay.case().map(str::to_owned), why },
            (None, Some(broken @ Case::Broken { .. })) => broken,
            (None, None) => Case::Broken { name: None, why },
        };
        self.problem(path, &problem)?;
        if self.tally.problems >= PROBLEMS_MAX {
            self.end(path, Some(broken))?;
            return Err(Stop::TooManyProblems);
        }
        Ok(broken)
    }

    fn problem(&mut self, path: &Path, problem: &Problem) -> Result<(), Stop> {
        self.tally.problems += 1;
        Ok(print_problem(path, "", problem, self.err)?)
    }

    fn end(&mut self, path: &Path, case: Option<Case>) -> Result<(), Stop> {
        match case {
            None => return Ok(()),
            Some(Case::Broken { name, why }) => {
                self.tally.broken += 1;
                match self.json {
                    true => document::broken(self.out, name.as_deref(), &why)?,
                    false => screen::broken(self.out, &called(path, name.as_deref()), &why)?,
                }
            }
            Some(Case::Judged(replay)) => self.judged(path, replay.end())?,
        }
        if self.progress && self.tally.cases().is_multiple_of(PROGRESS_EVERY) {
            write!(self.err, "\r{:<30}\r", format!("{} cases", self.tally.cases()))?;
            self.err.flush()?;
        }
        Ok(())
    }

    fn judged(&mut self, path: &Path, judged: Judged) -> Result<(), Stop> {
        *match judged.verdict {
            Verdict::Fail => &mut self.tally.fail,
            Verdict::Pass => &mut self.tally.pass,
            Verdict::Inconclusive => &mut self.tally.inconclusive,
        } += 1;
        let name = called(path, judged.case.as_deref());
        match self.json {
            true => document::judged(self.out, &judged)?,
            false => screen::judged(self.out, &name, &judged)?,
        }
        if let Some(page) = &mut self.page {
            page.add(&name, &judged);
        }
        Ok(())
    }

    fn finish(self, report: Option<&Path>) -> io::Result<Exit> {
        if !self.json && self.tally.cases() > 1 {
            screen::summary(self.out, &self.tally)?;
        }
        self.out.flush()?;
        if let (Some(page), Some(path)) = (self.page, report)
            && let Err(error) = std::fs::write(path, page.end(&self.tally))
        {
            writeln!(self.err, "cannot write {}: {error}", shown(path))?;
            return Ok(Exit::Io);
        }
        Ok(self.tally.exit())
    }
}

/// Reads up to the next line's end, but not much more than the longest line that is taken: whatever is longer is wrong,
/// and need not be kept. Whether there was one.
pub(crate) fn next_line(input: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<bool> {
    text.clear();
    loop {
        let chunk = match input.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if chunk.is_empty() {
            return Ok(!text.is_empty());
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let (line, used) = end.map_or((chunk, chunk.len()), |end| (&chunk[..end], end + 1));
        let room = (LINE_BYTES_MAX + 1).saturating_sub(text.len());
        text.extend_from_slice(&line[..line.len().min(room)]);
        input.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// A case without a name is called by its file.
fn called(path: &Path, case: Option<&str>) -> String {
    case.map_or_else(|| path.display().to_string(), str::to_owned)
}

#[cfg(test)]
mod tests;
