//! What is wrong with a command, as the caller gets it.

use crate::ports::Fault;
use crate::spec::Problem;

pub(super) fn problem(path: &str, message: impl std::fmt::Display) -> Vec<Problem> {
    vec![Problem::at(path, message.to_string())]
}

pub(super) fn failed(fault: Fault) -> Vec<Problem> {
    problem("", fault)
}
