//! The services' own models, as judges of what was asked and answered.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use serde_json::Value;

use super::python::{python, support};

/// One for all tests: loading a model takes as long as a test. Ends with this process, whose end of the pipe it reads.
struct Judge {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _process: Child,
}

/// What is wrong with an exchange, in the form that `model.py` takes.
pub fn problems(exchange: &Value) -> Vec<String> {
    static JUDGE: OnceLock<Mutex<Judge>> = OnceLock::new();
    let judge = JUDGE.get_or_init(|| Mutex::new(start()));
    let mut judge = judge.lock().expect("no exchange broke it");
    writeln!(judge.input, "{exchange}").expect("it reads");
    let mut line = String::new();
    judge.output.read_line(&mut line).expect("it answers");
    serde_json::from_str(&line).unwrap_or_else(|_| panic!("it takes this exchange: {exchange}"))
}

fn start() -> Judge {
    let mut process = Command::new(python())
        .arg(support("model.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the environment's python runs");
    let input = process.stdin.take().expect("standard input is piped");
    let output = BufReader::new(process.stdout.take().expect("standard output is piped"));
    Judge { input, output, _process: process }
}
