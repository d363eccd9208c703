//! What CloudFormation asks: the custom resource `Custom::Rollout`, and the macro that puts one before every alias that SAM
//! makes.
//!
//! CloudFormation only ever writes the version that is live already. The alias takes its version from the resource's answer,
//! and the answer is what is live when it is given, or, where the stack waits for the verdict, what the rollout made live.

pub mod answer;
pub mod macros;
pub mod resource;
pub mod wish;

#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use resource::{Asked, Caller, Kind, Look, Resource, Step};
pub use wish::Wish;
