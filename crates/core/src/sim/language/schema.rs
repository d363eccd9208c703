//! The JSON Schema of the scenario language, for editors.

use serde_json::Value;

use super::raw::RawScenario;

/// Generated from the types that [`parse`](super::parse) fills, so the two know the same fields and words.
#[must_use]
pub fn schema() -> Value {
    crate::spec::schema::generated::<RawScenario>("Coalmine scenario")
}
