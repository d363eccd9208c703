//! What must hold for any input from outside, for fuzzing: written once, run by `fuzz/` for as long as one likes and by
//! `cargo test` for a second, over documents that were damaged by a seed.
//!
//! Nothing panics, what was read reads back to the same, and what is refused is refused in few words that do nothing to
//! the terminal they are shown on. Of recordings and of the judge: [`crate::analysis::replay::probe`].

mod mutation;
mod rollout;
mod spec;

pub use mutation::mutated;
pub use rollout::rollout;
pub use spec::{problems, spec};

use crate::text::is_harmful;

/// A promise that was broken.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub String);

/// What is told to people: one line, no longer than it may be, without anything that is not text.
///
/// # Errors
///
/// How it is not.
pub fn told(text: &str, chars_max: usize) -> Result<(), Broken> {
    let chars = text.chars().count();
    if chars > chars_max {
        let start: String = text.chars().take(200).collect();
        return Err(Broken(format!("{chars} characters are told, more than {chars_max}: {start}")));
    }
    match text.chars().find(|c| is_harmful(*c)) {
        Some(c) => Err(Broken(format!("{c:?} is told in {text:?}"))),
        None => Ok(()),
    }
}

/// The same, or what differs.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(what: &str, before: &T, after: &T) -> Result<(), Broken> {
    if before == after { Ok(()) } else { Err(Broken(format!("{what} is not what it was: {before:?}, then {after:?}"))) }
}
