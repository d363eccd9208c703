//! The judge beside other rules, on made-up and on real traffic.
//!
//! `cargo run --release --example judge-bench [TABLE...] [--runs N] [--seed N] [--list]`. Without a table's name it runs
//! all of them, in minutes. The same seed prints the same numbers on every machine, whatever tables are asked for.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::panic,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a program at a terminal: it reads its arguments and files, prints, and ends when something is wrong"
)]

mod bench;
mod chance;
mod cold;
mod errors;
mod kayenta;
mod ladder;
mod late;
mod latency;
mod promotion;
mod real;
mod rules;
mod several;
mod sheet;
mod slow;
mod subject;
mod wall;
mod world;

use bench::Bench;
use sheet::Sheet;

/// A name on the command line, what it shows, and how.
struct Table {
    name: &'static str,
    shows: &'static str,
    run: fn(&Bench) -> Vec<Sheet>,
}

const TABLES: &[Table] = &[
    Table {
        name: "false-errors",
        shows: "healthy releases rolled back, errors, 60 minutes",
        run: errors::false_rollbacks,
    },
    Table { name: "long", shows: "healthy releases rolled back, errors, 24 hours", run: errors::long_horizon },
    Table { name: "histories", shows: "short, quiet and disturbed histories", run: errors::histories },
    Table {
        name: "noisier",
        shows: "a canary noisier than its history; single bursts",
        run: errors::noisier_and_bursts,
    },
    Table { name: "detect-errors", shows: "regressions of errors found, beside other rules", run: errors::detection },
    Table { name: "false-latency", shows: "healthy releases rolled back, latency", run: slow::false_rollbacks },
    Table { name: "detect-latency", shows: "slowdowns found, beside other rules", run: slow::detection },
    Table { name: "promotion", shows: "requests to a proof, false proofs", run: promotion::promotion },
    Table { name: "ladders", shows: "whole rollouts of errors, in minutes of data", run: ladder::ladders },
    Table { name: "wall", shows: "whole rollouts on the wall clock, ladder and auto", run: wall::wall_clock },
    Table { name: "several", shows: "six metrics in one rollout", run: several::several },
    Table { name: "cold", shows: "equal versions, cold environments", run: cold::cold },
    Table { name: "real", shows: "real traffic, split at random", run: real::real },
    Table { name: "late", shows: "late datapoints", run: late::late },
];

const SEED: u64 = 20_261_121;

fn main() {
    let mut bench = Bench { seed: SEED, runs: None };
    let mut asked: Vec<String> = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = |what: &str| match arguments.next().and_then(|text| text.parse::<u64>().ok()) {
            Some(number) => number,
            None => refuse(&format!("{what} takes a whole number")),
        };
        match argument.as_str() {
            "--runs" => bench.runs = Some(number("--runs")),
            "--seed" => bench.seed = number("--seed"),
            "--list" => return TABLES.iter().for_each(|table| println!("{:<14} {}", table.name, table.shows)),
            name if TABLES.iter().any(|table| table.name == name) => asked.push(name.to_owned()),
            other => refuse(&format!("there is no table {other}; --list names them")),
        }
    }
    let runs = bench.runs.map(|runs| format!(" --runs {runs}")).unwrap_or_default();
    for table in TABLES.iter().filter(|table| asked.is_empty() || asked.iter().any(|name| name == table.name)) {
        println!("`cargo run --release --example judge-bench {} --seed {}{runs}`\n", table.name, bench.seed);
        for sheet in (table.run)(&bench) {
            println!("{sheet}");
        }
    }
}

fn refuse(why: &str) -> ! {
    eprintln!("judge-bench: {why}");
    std::process::exit(2);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is committed has every table, once, under the command that prints it.
    #[test]
    fn the_committed_output_has_every_table() {
        let text = include_str!("../../../../docs/statistics.md");
        let output = text.split("<!-- judge-bench: begin -->").nth(1).unwrap();
        let output = output.split("<!-- judge-bench: end -->").next().unwrap();
        let command = "`cargo run --release --example judge-bench ";
        let found: Vec<&str> = output.split(command).skip(1).map(|rest| rest.split(' ').next().unwrap()).collect();
        let known: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
        assert_eq!(found, known);
        let seeded = output.matches(&format!("--seed {SEED}")).count();
        assert_eq!(seeded, known.len(), "every table by the default seed");
        assert!(!output.contains("SKIPPED"), "with the trace of real traffic");
    }
}
