//! `coalmine simulate`

mod pages;
mod play;
mod screen;
mod story;
mod throttled;
mod transcript;

#[cfg(feature = "aws")]
pub use screen::wants_colours;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use coalmine_core::sim::invariants::Violation;
use coalmine_core::sim::scenario::{RunError, run as run_scenario};
use coalmine_core::sim::tour::{self, Ends};
use coalmine_report::{sentence_case, words::quoted};
use serde::Serialize;

use crate::Exit;
use pages::Pages;
use screen::Screen;
use story::Story;

/// Reruns of each kind of release. 300 are enough to tell 1 % from 3 %, and take about three seconds.
const RERUNS: u32 = 300;

/// See the real controller at work in a made-up AWS: what would it have done?
///
/// Without a file: a good release, a bad one, an alarm, a slow one, failing targets.
///
/// Exit status, the worst of several files:
///   0  promoted; with `expect` in the file: it came as expected
///   1  rolled back; not as expected; a promise of the controller was broken
///   3  neither: superseded, paused or still going on
///   2  a scenario or its spec is wrong, or the start was refused
///   4  a file cannot be read
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Scenarios: releases with a spec and traffic of your own (docs/simulate.md).
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<PathBuf>,
    /// Where all chance comes from: the same seed gives the same run.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How often each release of the tour is run once more, with other seeds.
    #[arg(long, value_name = "N", default_value_t = RERUNS, conflicts_with = "scenarios")]
    reruns: u32,
    /// Print one JSON document, of scenarios a line each, and nothing else on standard output.
    #[arg(long)]
    json: bool,
    /// Write a page with charts, which needs nothing else, to this file.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

/// Runs the scenarios, or the tour. What is shown while it runs goes to `err`, and only to a terminal.
pub fn run(arguments: &Arguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    let screen = Screen { terminal: io::stdout().is_terminal(), colours: screen::wants_colours() };
    run_on(&screen, arguments, out, err)
}

/// The same as into a file, wherever it is.
#[cfg(test)]
pub fn run_plain(arguments: &Arguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    run_on(&Screen { terminal: false, colours: false }, arguments, out, err)
}

fn run_on(screen: &Screen, arguments: &Arguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    let mut pages = pages(arguments);
    let exit = match arguments.scenarios.is_empty() {
        true => tour(arguments, screen, &mut pages, out, err)?,
        false => play::play(&arguments.scenarios, arguments.seed, arguments.json, screen, &mut pages, out, err)?,
    };
    match &arguments.report {
        Some(path) => Ok(exit.worse(pages.write(path, err)?)),
        None => Ok(exit),
    }
}

/// What the page says of all that was simulated.
fn pages(arguments: &Arguments) -> Pages {
    let seed = arguments.seed;
    let files: Vec<String> = arguments.scenarios.iter().map(|file| quoted(&file.to_string_lossy())).collect();
    let what = format!("Simulated: the real controller in a made-up AWS, with made-up requests. Seed {seed}.");
    let again = ["coalmine simulate".to_owned()].into_iter().chain(files).chain([format!("--seed {seed}")]);
    Pages::new(what, again.collect::<Vec<_>>().join(" "))
}

fn tour(
    arguments: &Arguments,
    screen: &Screen,
    pages: &mut Pages,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<Exit> {
    let progress = io::stderr().is_terminal() && !arguments.json;
    let result = match arguments.json {
        true => document(arguments.seed, arguments.reruns, pages, out),
        false => show(arguments.seed, arguments.reruns, screen, pages, out, &mut |done| {
            if progress { screen::progress(err, done, arguments.reruns.saturating_mul(3)) } else { Ok(()) }
        }),
    };
    match result {
        Ok(exit) => Ok(exit),
        Err(Failed::Output(error)) => Err(error),
        Err(Failed::Run(error)) => {
            writeln!(err, "the simulation could not go on, which is a bug: {error}")?;
            Ok(Exit::Failed)
        }
    }
}

/// What a run of a scenario prints, without its last line's end.
#[cfg(test)]
pub fn printed(file: &str, written: &coalmine_core::sim::language::Written, seed: u64) -> String {
    let mut pages = Pages::default();
    let told = play::transcript(std::path::Path::new(file), written, seed, &mut pages);
    let mut text = Vec::new();
    Screen { terminal: false, colours: false }.transcript(&mut text, &told).unwrap();
    String::from_utf8(text).unwrap().trim_end().to_owned()
}

/// Runs files as the command does, without colours.
#[cfg(test)]
pub fn play_files(files: &[PathBuf], out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    let mut pages = Pages::default();
    play::play(files, 1, false, &Screen { terminal: false, colours: false }, &mut pages, out, err)
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Output(#[from] io::Error),
    #[error(transparent)]
    Run(#[from] RunError),
}

/// The tour as a document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tour {
    seed: u64,
    requests_per_second: f64,
    old_version: String,
    old_failing: f64,
    releases: Vec<Story>,
    reruns: Reruns,
    requests_failed_because_of_coalmine: u64,
    broken_promises: Vec<BrokenPromise>,
    as_announced: bool,
}

/// Every kind of release again, with the seeds after the tour's own.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reruns {
    of_each: u32,
    good: Ends,
    ten_times: Ends,
    twice: Ends,
}

/// An invariant that did not hold, and how to see it again.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct BrokenPromise {
    seed: u64,
    #[serde(flatten)]
    violation: Violation,
}

fn document(seed: u64, reruns: u32, pages: &mut Pages, out: &mut impl Write) -> Result<Exit, Failed> {
    let releases = tour::stops().iter().map(|stop| tell(stop, seed, pages)).collect::<Result<Vec<_>, _>>()?;
    let tour = Tour::of(seed, releases, rerun(seed, reruns, &mut |_| Ok(()))?);
    serde_json::to_writer_pretty(&mut *out, &tour).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(tour.exit())
}

fn show(
    seed: u64,
    reruns: u32,
    screen: &Screen,
    pages: &mut Pages,
    out: &mut impl Write,
    progress: &mut dyn FnMut(u32) -> io::Result<()>,
) -> Result<Exit, Failed> {
    screen.title(out, seed)?;
    let mut releases = Vec::new();
    for (place, stop) in tour::stops().iter().enumerate() {
        let story = tell(stop, seed, pages)?;
        screen.story(out, place + 1, stop, &story)?;
        releases.push(story);
    }
    let reruns = rerun(seed, reruns, progress)?;
    let tour = Tour::of(seed, releases, reruns);
    screen.result(out, &tour)?;
    Ok(tour.exit())
}

fn tell(stop: &tour::Stop, seed: u64, pages: &mut Pages) -> Result<Story, RunError> {
    let outcome = run_scenario(&stop.scenario, seed)?;
    pages.keep(&sentence_case(stop.title), &outcome);
    Ok(Story::of(stop, &outcome))
}

/// `progress` is told how many reruns are done.
fn rerun(seed: u64, of_each: u32, progress: &mut dyn FnMut(u32) -> io::Result<()>) -> Result<Reruns, Failed> {
    let mut reruns = Reruns { of_each, ..Reruns::default() };
    let mut done = 0;
    for number in 1..=of_each {
        let seed = seed.wrapping_add(u64::from(number));
        for (times, ends) in [(1.0, &mut reruns.good), (10.0, &mut reruns.ten_times), (2.0, &mut reruns.twice)] {
            ends.count(&tour::rerun(times * tour::OLD_FAILING, seed)?);
            done += 1;
        }
        progress(done)?;
    }
    Ok(reruns)
}

impl Tour {
    fn of(seed: u64, releases: Vec<Story>, reruns: Reruns) -> Self {
        let ends = [&reruns.good, &reruns.ten_times, &reruns.twice];
        let of_reruns = ends.iter().flat_map(|ends| &ends.violations);
        let of_reruns = of_reruns.map(|(seed, violation)| BrokenPromise { seed: *seed, violation: violation.clone() });
        let of_tour = releases.iter().flat_map(|story| &story.violations);
        let of_tour = of_tour.map(|violation| BrokenPromise { seed, violation: violation.clone() });
        let broken_promises: Vec<BrokenPromise> = of_tour.chain(of_reruns).collect();
        let unserved = releases.iter().map(|story| story.unserved).chain(ends.map(|ends| ends.unserved)).sum();
        let as_announced =
            releases.iter().all(|story| story.as_announced) && broken_promises.is_empty() && unserved == 0;
        Self {
            seed,
            requests_per_second: tour::PER_SECOND,
            old_version: tour::old().0,
            old_failing: tour::OLD_FAILING,
            requests_failed_because_of_coalmine: unserved,
            as_announced,
            broken_promises,
            releases,
            reruns,
        }
    }

    fn exit(&self) -> Exit {
        let kept = self.broken_promises.is_empty() && self.requests_failed_because_of_coalmine == 0;
        let otherwise = self.releases.iter().any(|story| !story.as_announced && story.ended.is_some());
        match (self.as_announced, kept && !otherwise) {
            (true, _) => Exit::Fine,
            (false, true) => Exit::Undecided,
            (false, false) => Exit::Failed,
        }
    }
}

#[cfg(test)]
mod goldens;
#[cfg(test)]
mod tests;
