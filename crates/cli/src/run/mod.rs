//! `coalmine run`: the controller in this process, for pipelines without a deployed stack. Killed at any moment, the same
//! command goes on where it was.

mod local;
mod store;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use coalmine_aws::{Aws, AwsConfig, SwitchConfig};
use coalmine_core::command::{Answer, Request};
use coalmine_core::driver::{self, Settings, TickReport};
use coalmine_core::engine::{Order, OrderKind};
use coalmine_core::ports::{Budget, RolloutStore};
use coalmine_core::rollout::{Phase, Rollout};
use coalmine_core::spec::{Mode, Problem, Validated, Version};
use coalmine_core::units::Span;
use coalmine_core::{report, text};
use serde_json::json;

use crate::Exit;
use crate::stack::{calls_to_undo, ended, words};
use crate::validate::{load_or_say, refuse, shown};
use local::Local;
use store::{FileStore, OpenError};

/// From one look to the next, as the deployed schedule has it.
const EVERY: Duration = Duration::from_secs(60);

/// What one look may take: the next one is due then.
const LOOK: Duration = Duration::from_secs(50);

/// How long the dead man's switch waits, where there is one.
const SWITCH: Span = Span::from_minutes(15);

/// What ended longer ago is forgotten.
const KEEP_ENDED: Span = Span::from_hours(30 * 24);

/// Roll out from here, without a deployed stack, until the rollout has ended.
///
/// What is known of it is in the state file: stopped or killed at any moment, the same command goes on where it was. While
/// nobody runs it, nobody looks after the traffic, unless there is a dead man's switch (--switch-role).
///
/// Exit status:
///   0  promoted, or nothing to roll out
///   1  rolled back, or superseded by a newer one
///   2  wrong use, an invalid spec, or something is in the way
///   3  stopped before the end
///   4  AWS or a file did not answer
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The spec, YAML or JSON.
    spec: PathBuf,
    /// Where the rollout is kept.
    #[arg(long, default_value = "coalmine.state", value_name = "FILE")]
    state: PathBuf,
    /// The published version to roll out, instead of what the spec says.
    #[arg(long)]
    version: Option<String>,
    /// Say this to the rollout first, then go on: how a pause ends, and how a rollout is stopped.
    #[arg(long, value_enum)]
    order: Option<Word>,
    /// Why, for the history.
    #[arg(long, default_value = "", requires = "order")]
    reason: String,
    /// Who starts it or says so, for the history.
    #[arg(long, env = "USER", default_value = "unknown")]
    by: String,
    /// How late metrics may be.
    #[arg(long, env = "COALMINE_METRIC_LAG", default_value = "3m")]
    metric_lag: Span,
    /// The role with which EventBridge Scheduler puts all traffic back when nobody has looked after it for 15 minutes.
    #[arg(long, value_name = "ARN")]
    switch_role: Option<String>,
    /// The schedule group for it.
    #[arg(long, value_name = "NAME", default_value = "default", requires = "switch_role")]
    switch_group: String,
    /// Print the rollout as one JSON document at the end, and what happens on standard error.
    #[arg(long)]
    json: bool,
}

/// What can be said to a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Word {
    Resume,
    Approve,
    Promote,
    Abort,
}

impl Word {
    fn kind(self) -> OrderKind {
        match self {
            Self::Resume => OrderKind::Resume,
            Self::Approve => OrderKind::Approve,
            Self::Promote => OrderKind::Promote,
            Self::Abort => OrderKind::Abort,
        }
    }
}

pub fn run(arguments: &Arguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    let json = arguments.json;
    let valid = match load_or_say(&arguments.spec, json, out, err)? {
        Ok(valid) => valid,
        Err(exit) => return Ok(exit),
    };
    let store = match FileStore::open(&arguments.state) {
        Ok(store) => store,
        Err(error) => {
            refuse(&[Problem::at("", format!("{}: {error}", shown(&arguments.state)))], json, out, err)?;
            return Ok(if matches!(error, OpenError::Broken(_)) { Exit::Io } else { Exit::Invalid });
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            refuse(&[Problem::at("", format!("cannot start: {error}"))], json, out, err)?;
            return Ok(Exit::Io);
        }
    };
    runtime.block_on(async {
        let role = arguments.switch_role.clone();
        let switch = role.map(|role_arn| SwitchConfig { group: arguments.switch_group.clone(), role_arn });
        let settings = Settings {
            mode: Mode::Enforce,
            metric_lag: arguments.metric_lag,
            switch: switch.is_some().then_some(SWITCH),
            deployment_spec: None,
        };
        let aws = Aws::new(AwsConfig { switch, ..AwsConfig::default() }).await;
        let here = Here { local: Local { aws, store }, settings, arguments };
        // Signals are heard from before the first call on, and cut whatever is under way: being killed is survived, too.
        let done = tokio::select! {
            biased;
            () = stop_signal() => None,
            done = here.work(valid, out, err) => Some(done),
        };
        match done {
            Some(done) => done,
            None => here.stopped(out, err).await,
        }
    })
}

/// All of them; what is wrong with what was asked is for whoever asked, and the rest is a failure of a service.
fn exit_of(problems: &[Problem]) -> Exit {
    if problems.iter().any(Problem::is_of_the_request) { Exit::Invalid } else { Exit::Io }
}

/// A reader that has gone is no reason to leave traffic alone.
fn tell(screen: &mut impl Write, line: &str) {
    let _ = writeln!(screen, "{}", text::shown(line, 4_000));
}

enum Begun {
    Rollout(String),
    /// The version is live already.
    Nothing(String),
}

/// The controller in this process.
struct Here<'a> {
    local: Local,
    settings: Settings,
    arguments: &'a Arguments,
}

impl Here<'_> {
    async fn work(&self, valid: Validated, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
        // A file that keeps more than it must is no reason to look after nothing.
        if let Err(fault) = self.local.store.forget(crate::now() - KEEP_ENDED) {
            tell(err, &format!("what ended long ago could not be removed: {fault}"));
        }
        let id = match self.begin(valid, err).await {
            Ok(Begun::Rollout(id)) => id,
            Ok(Begun::Nothing(message)) => {
                tell(err, &message);
                if self.arguments.json {
                    writeln!(out, "{}", text::json(&json!({ "message": message }).to_string()))?;
                }
                return Ok(Exit::Fine);
            }
            Err(problems) => {
                refuse(&problems, self.arguments.json, out, err)?;
                return Ok(exit_of(&problems));
            }
        };
        let Arguments { order, by, reason, .. } = self.arguments;
        if let Some(word) = order {
            let order = Order { kind: word.kind(), by: by.clone(), reason: reason.clone() };
            // Refused or not: the rollout is looked after.
            if let Err(problems) = self.ask(Request::Order { rollout: id.clone(), order }).await {
                problems.iter().for_each(|problem| tell(err, &problem.to_string()));
            }
        }
        self.conduct(&id, out, err).await
    }

    /// Goes on with what is in the file; only where there is nothing, it starts.
    async fn begin(&self, mut valid: Validated, err: &mut impl Write) -> Result<Begun, Vec<Problem>> {
        let Arguments { version, by, order, state, .. } = self.arguments;
        if let Some(version) = version {
            valid.spec.version = Some(Version(version.clone()));
        }
        let (target, version) = (&valid.spec.target, valid.spec.version.as_ref());
        let running = self.running().await.map_err(|fault| vec![Problem::at("", fault)])?;
        if let Some(other) = running.iter().find(|rollout| !rollout.spec.target.overlaps(target)) {
            let message = format!(
                "{} has {} of {}, which has not ended: go on with that one first, or name another file",
                shown(state),
                other.id,
                other.spec.target.key()
            );
            return Err(vec![Problem::at("--state", message)]);
        }
        let same = running.into_iter().filter(|rollout| version.is_none_or(|version| *version == rollout.canary));
        if let Some(rollout) = same.max_by_key(|rollout| rollout.started_at) {
            tell(err, &format!("goes on with {} as it was started", rollout.id));
            return Ok(Begun::Rollout(rollout.id));
        }
        if order.is_some() {
            let message = format!("{} has no rollout of {} to say this to", shown(state), target.key());
            return Err(vec![Problem::at("--order", message)]);
        }
        valid.warnings.iter().for_each(|warning| tell(err, &format!("warning: {warning}")));
        match self.ask(Request::Start { spec: Box::new(valid), by: by.clone() }).await? {
            Answer::Rollout(answer) => {
                answer.warnings.iter().for_each(|warning| tell(err, &format!("warning: {warning}")));
                Ok(Begun::Rollout(answer.rollout.id))
            }
            Answer::Nothing { message } => Ok(Begun::Nothing(message)),
            Answer::Minutes(_) | Answer::List(_) | Answer::Deployments { .. } => Ok(Begun::Nothing(String::new())),
        }
    }

    async fn ask(&self, request: Request) -> Result<Answer, Vec<Problem>> {
        let budget = UntilNext::new();
        // The futures of the SDK lie too deep in one another for the compiler to lay them out as one.
        Box::pin(driver::command(&self.local, request, crate::now(), &budget, &self.settings)).await
    }

    /// Those of the file that have not ended, and those that have and whose switch still stands ready.
    async fn running(&self) -> Result<Vec<Rollout>, String> {
        let active = self.local.active().await.map_err(|fault| fault.to_string())?;
        let mut running = Vec::new();
        for stored in active {
            let rollout = stored.map_err(|unreadable| format!("{unreadable}: {}", unreadable.fault))?;
            if !rollout.is_terminal() || rollout.switch.is_some() {
                running.push(rollout);
            }
        }
        Ok(running)
    }

    /// Looks every minute until nothing is left to do, and says what happens.
    async fn conduct(&self, id: &str, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
        let mut told = Told::default();
        loop {
            let began = Instant::now();
            let budget = UntilNext::new();
            let looked = Box::pin(driver::tick(&self.local, crate::now(), &budget, &self.settings)).await;
            match &looked {
                Ok(report) => faults(report).for_each(|fault| tell(err, fault)),
                Err(fault) => tell(err, &format!("cannot look: {fault}")),
            }
            match self.local.load(id).await {
                Ok(Some(rollout)) => {
                    for line in told.news(&rollout, looked.as_ref().ok()) {
                        if self.arguments.json { tell(err, &line) } else { tell(out, &line) }
                    }
                    let _ = out.flush();
                    let left = self.running().await;
                    if rollout.is_terminal() && left.is_ok_and(|left| left.is_empty()) {
                        return self.end(rollout, out, err);
                    }
                }
                Ok(None) => {
                    let gone = Problem::at("", format!("{id} is no longer in the state file"));
                    refuse(&[gone], self.arguments.json, out, err)?;
                    return Ok(Exit::Io);
                }
                Err(fault) => tell(err, &format!("{fault}; trying again")),
            }
            tokio::time::sleep(EVERY.saturating_sub(began.elapsed())).await;
        }
    }

    fn end(&self, rollout: Rollout, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
        let exit = ended(&rollout).unwrap_or(Exit::Undecided);
        if let Some(at) = rollout.detach_at {
            tell(
                err,
                &format!("the old target group stays attached until {at}; run this again after that to detach it"),
            );
        }
        self.document(rollout, out)?;
        Ok(exit)
    }

    /// The rollout for a program, where one wants it.
    fn document(&self, rollout: Rollout, out: &mut impl Write) -> io::Result<()> {
        if !self.arguments.json {
            return Ok(());
        }
        let answer = serde_json::to_string(&Answer::about(rollout, Vec::new()))?;
        writeln!(out, "{}", text::json(&answer))
    }

    /// Whoever stops this must know what stands, and the ways on.
    async fn stopped(&self, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
        let json = self.arguments.json;
        let running = match self.running().await {
            Ok(running) => running,
            Err(fault) => {
                let unknown = Problem::at("", format!("stopped; what stands cannot be told: {fault}"));
                refuse(&[unknown], json, out, err)?;
                return Ok(Exit::Io);
            }
        };
        if running.is_empty() {
            refuse(&[Problem::at("", "stopped: no rollout is under way")], json, out, err)?;
        }
        for rollout in &running {
            let (target, canary) = (rollout.spec.target.key(), &rollout.canary);
            let weight = rollout.weights.last().map_or_else(|| "nothing".to_owned(), |seen| seen.weight.to_string());
            let alone = match rollout.switch {
                Some(switch) => format!("AWS puts all traffic back about {} if this does not go on before", switch.at),
                None => "nobody looks after it until this goes on".to_owned(),
            };
            tell(err, &format!("stopped: {weight} of {target} goes to {canary}, and {alone}"));
            let again = self.again();
            tell(err, &format!("  go on:     {again}"));
            tell(err, &format!("  roll back: {again} --order abort"));
            tell(err, "  by hand:");
            match calls_to_undo(&self.local.aws, rollout).await {
                Ok(calls) => words::undo(rollout, &calls).lines().for_each(|line| tell(err, line)),
                Err(fault) => tell(err, &format!("  cannot be told now: {fault}")),
            }
        }
        if let Some(newest) = running.into_iter().max_by_key(|rollout| rollout.started_at) {
            self.document(newest, out)?;
        }
        Ok(Exit::Undecided)
    }

    /// The command that goes on, for a POSIX shell.
    fn again(&self) -> String {
        let Arguments { spec, state, version, switch_role, switch_group, metric_lag, .. } = self.arguments;
        let mut words = vec!["coalmine".to_owned(), "run".to_owned(), shown(spec), "--state".to_owned(), shown(state)];
        words.extend(version.iter().flat_map(|version| ["--version".to_owned(), version.clone()]));
        if let Some(role) = switch_role {
            words.extend(["--switch-role", role, "--switch-group", switch_group].map(str::to_owned));
        }
        words.extend(["--metric-lag".to_owned(), metric_lag.to_string()]);
        let plain = |word: &str| word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=+@,".contains(c));
        let word = |word: &String| if plain(word) { word.clone() } else { words::quoted(word) };
        words.iter().map(word).collect::<Vec<_>>().join(" ")
    }
}

/// What went wrong in a look; the next one tries again.
fn faults(report: &TickReport) -> impl Iterator<Item = &str> {
    let lines = report.lines.iter().flat_map(|line| &line.faults);
    report.faults.iter().chain(&report.unreadable).chain(lines).map(String::as_str)
}

/// What was said already.
#[derive(Debug, Default)]
struct Told {
    events: u64,
    holding: Vec<String>,
}

impl Told {
    /// Every event that is new, and what holds it now, if that is something else than before.
    fn news(&mut self, rollout: &Rollout, looked: Option<&TickReport>) -> Vec<String> {
        let new = usize::try_from(rollout.events_total.saturating_sub(self.events)).unwrap_or(usize::MAX);
        let first = rollout.history.len().saturating_sub(new);
        let mut news: Vec<String> = rollout.history[first..].iter().map(words::event).collect();
        self.events = rollout.events_total;
        let line = looked.and_then(|report| report.lines.iter().find(|line| line.rollout == rollout.id));
        let holding = line.map(|line| line.holding.clone()).unwrap_or_default();
        if holding != self.holding {
            news.extend(holding.iter().map(|why| format!("  holds: {}", text::shown(why, 2_000))));
            self.holding = holding;
        }
        if new > 0
            && let Phase::Paused { until, .. } = &rollout.phase
        {
            let standing = report::standing(&rollout.phase);
            news.push(format!(
                "NEEDS YOU  {standing}; decide by {until}: stop this (Ctrl-C), and run it again with --order promote, resume, \
                 approve or abort"
            ));
        }
        news
    }
}

/// Time until the next look is due.
struct UntilNext {
    ends: Instant,
}

impl UntilNext {
    fn new() -> Self {
        Self { ends: Instant::now() + LOOK }
    }
}

impl Budget for UntilNext {
    fn remaining(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }

    async fn sleep(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }
}

/// Ctrl-C, or what ends a job of a pipeline.
async fn stop_signal() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // Nothing can be heard: it runs until it is killed, which it survives.
        std::future::pending::<()>().await;
    }
}
