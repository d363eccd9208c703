//! What is wrong with a command, as the caller gets it.

use crate::ports::{Fault, LookError};
use crate::spec::Problem;

pub(super) fn problem(path: &str, message: impl std::fmt::Display) -> Vec<Problem> {
    vec![Problem::at(path, message.to_string())]
}

pub(super) fn failed(fault: Fault) -> Vec<Problem> {
    failed_at("", &fault, &fault)
}

/// A service failed where this was looked at.
pub(super) fn failed_at(path: &str, fault: &Fault, message: impl std::fmt::Display) -> Vec<Problem> {
    vec![Problem::at(path, message.to_string()).because_of(fault.kind)]
}

/// What is not there was asked for; what cannot be looked at was not.
pub(super) fn unseen(path: &str, error: &LookError) -> Vec<Problem> {
    match error {
        LookError::NotFound(sentence) => problem(path, sentence),
        LookError::Fault(fault) => failed_at(path, fault, fault),
    }
}
