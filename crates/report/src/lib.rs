//! The page about a rollout: what was decided and why, and everything it rests on. One file that needs nothing else.
//!
//! Architecture Invariant: a page is a function of the rollout and its minutes. It is the same page that the command line
//! writes and that the function puts into a bucket.

pub mod charts;
mod events;
pub mod html;
mod latency;
mod lead;
mod model;
mod page;
mod sections;
mod series;
#[cfg(test)]
mod tests;
pub mod words;

pub use events::{label, sentence_case};
pub use model::{Origin, Source};
pub use page::{many, one};
