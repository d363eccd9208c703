//! The `coalmine` command: arguments, files and exit codes. Everything that decides is in `coalmine_core`.

mod analyze;
mod backtest;
#[cfg(test)]
mod docs;
#[cfg(feature = "aws")]
mod doctor;
#[cfg(feature = "aws")]
mod fit;
#[cfg(test)]
mod hostile;
mod plan;
#[cfg(feature = "aws")]
mod record;
mod report;
#[cfg(feature = "aws")]
mod run;
mod schema;
mod shapes;
mod shell_help;
mod simulate;
#[cfg(feature = "aws")]
mod stack;
mod validate;
#[cfg(feature = "aws")]
mod watch;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use coalmine_core::units::Timestamp;

/// Progressive delivery for AWS: shifts traffic to a new version step by step, and back when it is worse.
#[derive(Debug, Parser)]
#[command(name = "coalmine", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Simulate(simulate::Arguments),
    Validate(validate::Arguments),
    Analyze(analyze::Arguments),
    Plan(plan::Arguments),
    Backtest(backtest::Arguments),
    #[cfg(feature = "aws")]
    Fit(fit::Arguments),
    #[cfg(feature = "aws")]
    Doctor(doctor::Arguments),
    #[cfg(feature = "aws")]
    Record(record::Arguments),
    Report(report::Arguments),
    #[cfg(feature = "aws")]
    Run(run::Arguments),
    Schema(schema::Arguments),
    #[cfg(feature = "aws")]
    #[command(flatten)]
    Stack(stack::Command),
    Completions(shell_help::CompletionsArguments),
    Man(shell_help::ManArguments),
}

fn main() -> ExitCode {
    let (out, err) = (&mut std::io::stdout().lock(), &mut std::io::stderr().lock());
    let exit = match Arguments::parse().command {
        Command::Simulate(arguments) => simulate::run(&arguments, out, err),
        Command::Validate(arguments) => validate::run(&arguments, out, err),
        Command::Analyze(arguments) => analyze::run(&arguments, out, err),
        Command::Plan(arguments) => plan::run(&arguments, out, err),
        Command::Backtest(arguments) => backtest::run(&arguments, out, err),
        #[cfg(feature = "aws")]
        Command::Fit(arguments) => fit::run(&arguments, out, err),
        #[cfg(feature = "aws")]
        Command::Doctor(arguments) => doctor::run(&arguments, out, err),
        #[cfg(feature = "aws")]
        Command::Record(arguments) => record::run(&arguments, out, err),
        Command::Report(arguments) => report::run(&arguments, out, err),
        #[cfg(feature = "aws")]
        Command::Run(arguments) => run::run(&arguments, out, err),
        Command::Schema(arguments) => schema::run(&arguments, out),
        #[cfg(feature = "aws")]
        Command::Stack(command) => stack::run(&command, out, err),
        Command::Completions(arguments) => shell_help::completions(&arguments, out),
        Command::Man(arguments) => shell_help::man(&arguments, out, err),
    };
    match exit {
        Ok(exit) => exit.into(),
        // Whoever reads the output has gone (`coalmine schema | head`), or cannot be written to: nobody to tell.
        Err(_) => Exit::Io.into(),
    }
}

/// The time here, for what looks at an account.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_epoch_seconds(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// What a script sees. 1 and 3 are verdicts: rolled back, undecided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Fine,
    Failed,
    Invalid,
    Undecided,
    Io,
}

impl Exit {
    /// The one that a script has to hear of first.
    fn worse(self, other: Self) -> Self {
        let order = [Self::Fine, Self::Undecided, Self::Failed, Self::Invalid, Self::Io];
        let place = |exit: Self| order.iter().position(|other| *other == exit);
        if place(other) > place(self) { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Fine => 0,
            Exit::Failed => 1,
            Exit::Invalid => 2,
            Exit::Undecided => 3,
            Exit::Io => 4,
        })
    }
}
