//! Any item of the table.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use coalmine_core::cloudformation::{Resource, Step};
use coalmine_core::probe::{Broken, told};
use coalmine_core::units::{Span, Timestamp};
use serde_json::Value;

use super::shape::{self, Item, ShapeError};
use super::{GET_ITEM, shaped};

/// Any bytes as an item: `{"doc": {"S": "..."}, "v": {"N": "1"}, "zip": {"zip": ...}}`, where `zip` packs what is in it,
/// and a text of another attribute may stand there as the JSON that it holds.
///
/// # Errors
///
/// The promise that was broken.
pub fn stored(bytes: &[u8]) -> Result<(), Broken> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(bytes) else { return Ok(()) };
    let item: Item = fields.iter().filter_map(|(name, value)| Some((name.clone(), attribute(value)?))).collect();
    let again = |what: &str, item: Result<Item, ShapeError>| match item {
        Ok(item) => Ok(Some(item)),
        // What was read from a small item may be too large written out: it is refused, which is told.
        Err(error @ ShapeError::TooLarge { .. }) => refused(error).map(|()| None),
        Err(error) => Err(Broken(format!("{what} was read and cannot be written: {error}"))),
    };
    let differs = |what: &str| Broken(format!("{what} is not what it was: {item:?}"));
    match shape::read_state(&item) {
        Ok(rollout) => {
            let written = again("a rollout", shape::state_item(&rollout))?;
            if written.is_some_and(|item| shape::read_state(&item).ok().as_ref() != Some(&rollout)) {
                return Err(differs("a rollout"));
            }
            let _ = super::indices(&rollout);
        }
        Err(error) => refused(error)?,
    }
    match shape::read_hook(&item) {
        Ok(hook) => {
            let written = again("a hook", shape::hook_item(&hook))?;
            if written.is_some_and(|item| shape::read_hook(&item).ok().as_ref() != Some(&hook)) {
                return Err(differs("a hook"));
            }
        }
        Err(error) => refused(error)?,
    }
    match shape::read_resource(&item) {
        Ok(resource) => {
            let written = again("a stack's resource", shape::resource_item(&resource))?;
            if written.is_some_and(|item| shape::read_resource(&item).ok().as_ref() != Some(&resource)) {
                return Err(differs("a stack's resource"));
            }
            followed(&resource)?;
        }
        Err(error) => refused(error)?,
    }
    match shape::read_sealed(&item) {
        Ok(minutes) => {
            let written = shape::sealed_item("a", &minutes).transpose().map(|item| again("minutes", item));
            let written = written.transpose()?.flatten();
            if written.is_some_and(|item| shape::read_sealed(&item).ok().as_ref() != Some(&minutes)) {
                return Err(differs("a block of minutes"));
            }
        }
        Err(error) => refused(error)?,
    }
    Ok(())
}

/// Whatever was kept of a request has a next step at any time, and an answer is told in time or not at all.
fn followed(resource: &Resource) -> Result<(), Broken> {
    let asked = resource.asked.received;
    for now in [asked, resource.asked.answer_by(), asked + Span::from_hours(24), Timestamp::from_epoch_seconds(0)] {
        let step = resource.unseen("nobody knows", now);
        if matches!(step, Step::Send(_)) && resource.asked.is_over(now) {
            return Err(Broken(format!("{step:?} is late at {now}")));
        }
    }
    // Whoever has the address may answer.
    let caller = &resource.asked.caller;
    let named = [&caller.stack, &caller.physical, &caller.request].iter().any(|name| name.contains(&caller.url));
    if caller.url.len() > 20 && !named && format!("{caller:?}").contains(&caller.url) {
        return Err(Broken("the address of an answer is shown".to_owned()));
    }
    Ok(())
}

fn refused(error: ShapeError) -> Result<(), Broken> {
    told(&shaped(GET_ITEM, "rollout a", error).to_string(), 1000)
}

fn attribute(value: &Value) -> Option<AttributeValue> {
    let (kind, value) = value.as_object()?.iter().next()?;
    let text = || value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Some(match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "B" => AttributeValue::B(Blob::new(text())),
        "zip" => AttributeValue::B(Blob::new(miniz_oxide::deflate::compress_to_vec_zlib(text().as_bytes(), 1))),
        "M" => AttributeValue::M(HashMap::new()),
        _ => AttributeValue::Null(true),
    })
}

#[cfg(test)]
mod tests {
    use coalmine_core::probe::mutated;

    use super::*;

    /// As many as a second allows; a fuzzer goes on from here.
    const RUNS: u64 = 500;

    #[test]
    fn mutated_items_break_no_promise() {
        for document in [
            &include_bytes!("../../../../fuzz/seeds/stored/rollout.json")[..],
            include_bytes!("../../../../fuzz/seeds/stored/hook.json"),
            include_bytes!("../../../../fuzz/seeds/stored/resource.json"),
            include_bytes!("../../../../fuzz/seeds/stored/sealed.json"),
        ] {
            stored(document).unwrap();
            for seed in 0..RUNS {
                stored(&mutated(document, seed, 40_000)).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
            }
        }
    }
}
