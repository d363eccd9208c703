//! The page about a rollout: what was decided and why, and everything it rests on. One file that needs nothing else.

pub mod charts;
mod command;
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

pub use command::{Arguments, run};
pub use events::{label, sentence_case};
pub use model::{Origin, Source};
pub use page::{many, one};
#[cfg(test)]
pub use tests::counted_of_the_tour;
