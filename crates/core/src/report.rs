//! Typed reasons as sentences, and the line a tick reports per rollout.

/// A number without needless digits: `0.5`, `2`, `12.25`.
#[must_use]
pub fn plain_number(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
