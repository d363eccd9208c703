//! What stored items look like, and back.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use coalmine_core::analysis::MinuteSample;
use coalmine_core::cloudformation::Resource;
use coalmine_core::deployment::Hook;
use coalmine_core::rollout::{DecisionRecord, Rollout};
use coalmine_core::units::{Span, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::keys::Key;

pub(super) type Item = HashMap<String, AttributeValue>;

/// Version of the stored shape. A change that old code cannot read raises it, and new code keeps reading the old one.
const SHAPE: u32 = 1;

/// An ended rollout is kept this long.
const KEEP_ENDED: Span = Span::from_hours(90 * 24);

/// What lists deployments is written when theirs begin. One that goes on for longer than this is listed for less than
/// [`KEEP_ENDED`] after its end.
const DEPLOYMENT_LASTS: Span = Span::from_hours(30 * 24);

/// What is written while nobody knows when the rollout will end: no rollout is longer than 366 days.
const KEEP_PARTS: Span = Span::from_hours((366 + 90) * 24);

/// CodeDeploy waits for an hour. The day after it is for people.
const KEEP_HOOK: Span = Span::from_hours(25);

/// A stack's operation, rollback and all, is over by then; nothing of the resource is needed after it.
const KEEP_RESOURCE: Span = Span::from_hours(7 * 24);

/// DynamoDB's own limit for an item, names included.
const LARGEST_ITEM_BYTES: usize = 400 * 1024;

/// A block of minutes is a few hundred kilobytes at most before it is compressed.
const LARGEST_UNZIPPED_BYTES: usize = 64 * 1024 * 1024;

const ZIP_LEVEL: u8 = 6;

/// An item that cannot be read, or not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShapeError {
    #[error("attribute `{0}` is missing or of another type")]
    Attribute(&'static str),
    #[error(
        "it is stored in shape {found}, and this version of Coalmine reads shape {SHAPE}; deploy the newer version"
    )]
    Newer { found: String },
    #[error("its text cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error("its minutes cannot be unpacked")]
    Zip,
    #[error("it has {bytes} bytes, and DynamoDB takes {LARGEST_ITEM_BYTES}")]
    TooLarge { bytes: usize },
}

/// Refuses to make what could not be read again: a rollout that nobody can read cannot be rolled back either.
pub(super) fn state_item(rollout: &Rollout) -> Result<Item, ShapeError> {
    let doc = serde_json::to_string(rollout)?;
    serde_json::from_str::<Rollout>(&doc)?;
    let mut item = new_item(&Key::state(&rollout.id));
    item.insert("rev".to_owned(), number(rollout.revision));
    item.insert("doc".to_owned(), AttributeValue::S(doc));
    item.insert("updated".to_owned(), AttributeValue::S(rollout.now.to_string()));
    if !rollout.is_active() {
        item.insert("ttl".to_owned(), number((rollout.now + KEEP_ENDED).epoch_seconds()));
    }
    fits(item)
}

/// Says that the rollout judges another service's deployment. It stays when the rollout ends.
pub(super) fn judged_item(rollout: &Rollout) -> Item {
    let mut item = pointer_item(&Key::judged(&rollout.id), &rollout.id);
    item.insert("ttl".to_owned(), number((rollout.now + KEEP_ENDED.plus(DEPLOYMENT_LASTS)).epoch_seconds()));
    item
}

/// Says when the rollout ended; `None` while it goes on. It is gone when the rollout is.
pub(super) fn ended_item(rollout: &Rollout) -> Option<Item> {
    let (key, at) = (Key::ended(rollout)?, rollout.ended_at()?);
    let mut item = pointer_item(&key, &rollout.id);
    item.insert("ttl".to_owned(), number((at + KEEP_ENDED).epoch_seconds()));
    Some(item)
}

pub(super) fn hook_item(hook: &Hook) -> Result<Item, ShapeError> {
    let mut item = new_item(&Key::hook(hook));
    item.insert("doc".to_owned(), AttributeValue::S(serde_json::to_string(hook)?));
    item.insert("ttl".to_owned(), number((hook.received + KEEP_HOOK).epoch_seconds()));
    fits(item)
}

pub(super) fn read_hook(item: &Item) -> Result<Hook, ShapeError> {
    check_shape(item)?;
    Ok(serde_json::from_str(text(item, "doc")?)?)
}

pub(super) fn resource_item(resource: &Resource) -> Result<Item, ShapeError> {
    let mut item = new_item(&Key::resource(&resource.asked.caller));
    item.insert("rev".to_owned(), number(resource.revision));
    item.insert("doc".to_owned(), AttributeValue::S(serde_json::to_string(resource)?));
    item.insert("ttl".to_owned(), number((resource.asked.received + KEEP_RESOURCE).epoch_seconds()));
    fits(item)
}

pub(super) fn read_resource(item: &Item) -> Result<Resource, ShapeError> {
    check_shape(item)?;
    Ok(serde_json::from_str(text(item, "doc")?)?)
}

pub(super) fn read_state(item: &Item) -> Result<Rollout, ShapeError> {
    check_shape(item)?;
    Ok(serde_json::from_str(text(item, "doc")?)?)
}

/// `None` for no minutes.
pub(super) fn sealed_item(id: &str, minutes: &[MinuteSample]) -> Result<Option<Item>, ShapeError> {
    let (Some(first), Some(last)) = (minutes.first(), minutes.last()) else { return Ok(None) };
    zipped_item(&Key::sealed(id, first.minute), minutes, last.minute.start()).map(Some)
}

pub(super) fn read_sealed(item: &Item) -> Result<Vec<MinuteSample>, ShapeError> {
    read_zipped(item)
}

pub(super) fn decision_item(id: &str, revision: u64, record: &DecisionRecord) -> Result<Item, ShapeError> {
    zipped_item(&Key::decision(id, revision), record, record.at)
}

/// An item that says which rollout it leads to.
pub(super) fn pointer_item(key: &Key, id: &str) -> Item {
    let mut item = key.attributes();
    item.insert("rollout".to_owned(), AttributeValue::S(id.to_owned()));
    item
}

pub(super) fn text<'a>(item: &'a Item, name: &'static str) -> Result<&'a str, ShapeError> {
    item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str).ok_or(ShapeError::Attribute(name))
}

pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn new_item(key: &Key) -> Item {
    let mut item = key.attributes();
    item.insert("v".to_owned(), number(SHAPE));
    item
}

fn zipped_item(key: &Key, value: &(impl Serialize + ?Sized), at: Timestamp) -> Result<Item, ShapeError> {
    let json = serde_json::to_vec(value)?;
    let mut item = new_item(key);
    let zip = miniz_oxide::deflate::compress_to_vec_zlib(&json, ZIP_LEVEL);
    item.insert("zip".to_owned(), AttributeValue::B(Blob::new(zip)));
    item.insert("ttl".to_owned(), number((at + KEEP_PARTS).epoch_seconds()));
    fits(item)
}

fn read_zipped<T: DeserializeOwned>(item: &Item) -> Result<T, ShapeError> {
    check_shape(item)?;
    let zip = item.get("zip").and_then(|value| value.as_b().ok()).ok_or(ShapeError::Attribute("zip"))?;
    let json = miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(zip.as_ref(), LARGEST_UNZIPPED_BYTES);
    Ok(serde_json::from_slice(&json.map_err(|_| ShapeError::Zip)?)?)
}

fn check_shape(item: &Item) -> Result<(), ShapeError> {
    let found = item.get("v").and_then(|value| value.as_n().ok()).ok_or(ShapeError::Attribute("v"))?;
    if found.parse() == Ok(SHAPE) { Ok(()) } else { Err(ShapeError::Newer { found: found.clone() }) }
}

fn fits(item: Item) -> Result<Item, ShapeError> {
    match bytes(&item) {
        bytes if bytes > LARGEST_ITEM_BYTES => Err(ShapeError::TooLarge { bytes }),
        _ => Ok(item),
    }
}

fn bytes(item: &Item) -> usize {
    let size = |value: &AttributeValue| {
        let text = value.as_s().or(value.as_n()).map(String::len);
        text.or(value.as_b().map(|blob| blob.as_ref().len())).unwrap_or_default()
    };
    item.iter().map(|(name, value)| name.len() + size(value)).sum()
}

#[cfg(test)]
mod tests;
