//! The page about a rollout: what was decided and why, and everything it rests on. One file that needs nothing else.

pub mod charts;
mod events;
pub mod html;
mod latency;
mod lead;
mod model;
mod page;
mod sections;
mod series;
pub mod words;

pub use events::{label, sentence_case};
pub use model::{Origin, Source};
pub use page::{many, one};
