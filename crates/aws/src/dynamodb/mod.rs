//! Rollouts in one DynamoDB table: the only place that knows the stored shape.
//!
//! All reads are consistent. A write that failed with a [`Fault`] may have happened; nobody guesses: the next tick reads
//! what is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnValuesOnConditionCheckFailure};
use coalmine_core::analysis::MinuteSample;
use coalmine_core::deployment::Hook;
use coalmine_core::ports::{
    CreateError, ENDED_A_PAGE, EndedPage, Fault, FaultKind, RolloutStore, SaveError, Unreadable,
};
use coalmine_core::rollout::{DecisionRecord, Rollout};
use coalmine_core::spec::Target;
use coalmine_core::units::Timestamp;

use crate::Aws;
use crate::errors::Call;
use keys::Key;
use shape::{Item, ShapeError, text};
use transaction::{Refusal, Write};

mod keys;
#[cfg(any(test, feature = "probe"))]
pub(crate) mod probe;
mod shape;
mod stacks;
mod transaction;

const GET_ITEM: Call = Call::new("GetItem", "dynamodb:GetItem");
const BATCH_GET: Call = Call::new("BatchGetItem", "dynamodb:BatchGetItem");
const QUERY: Call = Call::new("Query", "dynamodb:Query");
const PUT_ITEM: Call = Call::new("PutItem", "dynamodb:PutItem");
const DELETE_ITEM: Call = Call::new("DeleteItem", "dynamodb:DeleteItem");

/// BatchGetItem's own limit.
const ITEMS_PER_BATCH: usize = 100;

/// BatchGetItem leaves out what does not fit in 16 MB, or is throttled. Rounds with growing waits, 0.75 s in all.
const BATCH_ROUNDS: u32 = 5;
const FIRST_BATCH_WAIT: Duration = Duration::from_millis(50);

/// Two writers that seal from the same minute differ in how far; more than this many blocks in a row are a mistake.
const SEALED_BLOCKS_PASSED: usize = 16;

/// Places with the rollouts there, and the next page's first place.
type EndedPlaces = (Vec<(String, String)>, Option<String>);

impl RolloutStore for Aws {
    async fn active(&self) -> Result<Vec<Result<Rollout, Unreadable>>, Fault> {
        let ids = self.pointed_at(keys::ACTIVE).await?;
        // One that was left out must not keep the others from being attended to.
        let (mut states, left) = self.states(&ids).await?;
        let read = |id: String| match (states.remove(&id), &left) {
            (Some(item), _) => shape::read_state(&item).map_err(|error| unreadable(id, &error)),
            (None, Some(left)) => Err(Unreadable { id, fault: BATCH_GET.refusal(FaultKind::Throttled, left) }),
            (None, None) => {
                let detail = "it is listed as active and is not stored";
                Err(Unreadable { id, fault: BATCH_GET.refusal(FaultKind::Failed, detail) })
            }
        };
        Ok(ids.into_iter().map(read).collect())
    }

    async fn load(&self, id: &str) -> Result<Option<Rollout>, Fault> {
        let item = self.get(&Key::state(id)).await?;
        let rollout = item.map(|item| shape::read_state(&item)).transpose();
        rollout.map_err(|error| shaped(GET_ITEM, &format!("rollout {id}"), error))
    }

    async fn holder(&self, target: &Target) -> Result<Option<String>, Fault> {
        for claim in Key::claims(target) {
            if let Some(item) = self.get(&claim).await? {
                let id = text(&item, "rollout").map(str::to_owned);
                return id
                    .map(Some)
                    .map_err(|error| shaped(GET_ITEM, &format!("the claim on {}", target.key()), error));
            }
        }
        Ok(None)
    }

    async fn named_by_alarm(&self, alarm: &str) -> Result<Vec<String>, Fault> {
        Ok(self.pointed_at(&keys::alarm(alarm)).await?.into_iter().collect())
    }

    async fn create(&self, rollout: &Rollout) -> Result<(), CreateError> {
        let state = shape::state_item(rollout).map_err(|error| unwritable(rollout, error))?;
        let mut writes = vec![Write::put_new(state)];
        writes.extend(pointer_changes(None, rollout));
        list_end(None, rollout, &mut writes);
        match self.write(writes).await {
            Ok(()) => Ok(()),
            Err(Refusal::Changed) => Err(CreateError::Exists),
            Err(Refusal::Claimed { by }) => Err(CreateError::TargetTaken { by: self.claimant(by, rollout).await? }),
            Err(Refusal::Fault(fault)) => Err(fault.into()),
        }
    }

    async fn save(&self, before: &Rollout, next: &Rollout, record: Option<&DecisionRecord>) -> Result<(), SaveError> {
        let state = shape::state_item(next).map_err(|error| unwritable(next, error))?;
        let mut writes = vec![Write::replace(state, before.revision)];
        writes.extend(pointer_changes(Some(before), next));
        if let Some(record) = record {
            let item = shape::decision_item(&next.id, next.revision, record);
            writes.push(Write::put(item.map_err(|error| unwritable(next, error))?));
        }
        list_end(Some(before), next, &mut writes);
        match self.write(writes).await {
            Ok(()) => Ok(()),
            Err(Refusal::Changed) => Err(SaveError::Conflict),
            Err(Refusal::Claimed { by }) => Err(SaveError::TargetTaken { by: self.claimant(by, next).await? }),
            Err(Refusal::Fault(fault)) => Err(fault.into()),
        }
    }

    /// Minutes that are stored stay as they are. What a shorter block of another writer leaves over is stored after it,
    /// so that no minute is lost between the two.
    async fn seal(&self, id: &str, minutes: &[MinuteSample]) -> Result<(), Fault> {
        let mut left = minutes;
        for _ in 0..SEALED_BLOCKS_PASSED {
            let item =
                shape::sealed_item(id, left).map_err(|error| shaped(PUT_ITEM, &format!("rollout {id}"), error))?;
            let Some(item) = item else { return Ok(()) };
            let Some(stored) = self.put_if_absent(item).await? else { return Ok(()) };
            let stored =
                shape::read_sealed(&stored).map_err(|error| shaped(PUT_ITEM, &format!("rollout {id}"), error))?;
            let last = stored.last().map(|sample| sample.minute);
            let known = left.iter().take_while(|sample| Some(sample.minute) <= last).count();
            left = left.get(known.max(1)..).unwrap_or_default();
        }
        let detail = format!("rollout {id} has too many sealed blocks that begin alike");
        Err(PUT_ITEM.refusal(FaultKind::Failed, detail))
    }

    async fn sealed(&self, id: &str) -> Result<Vec<MinuteSample>, Fault> {
        let mut minutes: Vec<MinuteSample> = Vec::new();
        for item in self.query(&keys::rollout(id), Some(keys::SEALED)).await? {
            let block = shape::read_sealed(&item).map_err(|error| shaped(QUERY, &format!("rollout {id}"), error))?;
            // Where blocks of two writers overlap, the one that begins earlier counts.
            let last = minutes.last().map(|sample| sample.minute);
            minutes.extend(block.into_iter().filter(|sample| Some(sample.minute) > last));
        }
        Ok(minutes)
    }

    async fn judged(&self) -> Result<Vec<Result<Rollout, Unreadable>>, Fault> {
        let ids = self.pointed_at(keys::JUDGED).await?;
        // What lists a rollout outlives it.
        let states = self.all_states(&ids).await?;
        let read = |(id, item)| shape::read_state(&item).map_err(|error| unreadable(id, &error));
        let mut judged: Vec<Result<Rollout, Unreadable>> = states.into_iter().map(read).collect();
        // What nobody can read comes first.
        judged.sort_by_key(|read| read.as_ref().ok().map(|rollout| rollout.started_at));
        Ok(judged)
    }

    async fn ended(&self, since: Timestamp, from: Option<&str>) -> Result<EndedPage, Fault> {
        let since = since.to_string();
        // DynamoDB refuses what lies between a later and an earlier place, instead of finding nothing there.
        if from.is_some_and(|from| from < since.as_str()) {
            return Ok(EndedPage { rollouts: Vec::new(), next: None });
        }
        let (listed, next) = self.ended_places(&since, from).await?;
        let mut states = self.all_states(&listed.iter().map(|(_, id)| id.clone()).collect()).await?;
        // What lists a rollout may outlive it.
        let read = |(_, id): (String, String)| {
            let item = states.remove(&id)?;
            Some(shape::read_state(&item).map_err(|error| unreadable(id, &error)))
        };
        Ok(EndedPage { rollouts: listed.into_iter().filter_map(read).collect(), next })
    }

    async fn keep_hook(&self, hook: &Hook) -> Result<(), Fault> {
        let item = shape::hook_item(hook).map_err(|error| shaped(PUT_ITEM, "a hook", error))?;
        self.put_if_absent(item).await.map(drop)
    }

    /// One that cannot be read must not keep the others from being answered.
    async fn hooks(&self) -> Result<Vec<Hook>, Fault> {
        let mut hooks = Vec::new();
        for item in self.query(keys::HOOK, None).await? {
            match shape::read_hook(&item) {
                Ok(hook) => hooks.push(hook),
                Err(error) => {
                    let key = text(&item, "sk").unwrap_or_default();
                    tracing::error!(hook = key, error = %error, "a hook cannot be read and is not answered");
                }
            }
        }
        hooks.sort_by_key(|hook| hook.received);
        Ok(hooks)
    }

    async fn drop_hook(&self, hook: &Hook) -> Result<(), Fault> {
        let table = self.table(DELETE_ITEM)?;
        let request = self.dynamodb().delete_item().table_name(table).set_key(Some(Key::hook(hook).attributes()));
        request.send().await.map(drop).map_err(|error| self.store_fault(DELETE_ITEM, error))
    }
}

impl Aws {
    fn table(&self, call: Call) -> Result<&str, Fault> {
        let unset = || call.refusal(FaultKind::Rejected, "no table is configured: set COALMINE_TABLE");
        self.config.table.as_deref().ok_or_else(unset)
    }

    async fn get(&self, key: &Key) -> Result<Option<Item>, Fault> {
        let table = self.table(GET_ITEM)?;
        let request =
            self.dynamodb().get_item().table_name(table).set_key(Some(key.attributes())).consistent_read(true);
        Ok(request.send().await.map_err(|error| self.store_fault(GET_ITEM, error))?.item)
    }

    /// All items of a partition, in the order of their sort keys.
    async fn query(&self, pk: &str, sk_begins_with: Option<&str>) -> Result<Vec<Item>, Fault> {
        let table = self.table(QUERY)?;
        let condition = if sk_begins_with.is_some() { "pk = :pk AND begins_with(sk, :sk)" } else { "pk = :pk" };
        let mut request = self
            .dynamodb()
            .query()
            .table_name(table)
            .consistent_read(true)
            .key_condition_expression(condition)
            .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()));
        if let Some(start) = sk_begins_with {
            request = request.expression_attribute_values(":sk", AttributeValue::S(start.to_owned()));
        }
        let mut pages = request.into_paginator().send();
        let mut items = Vec::new();
        while let Some(page) = pages.next().await {
            items.extend(page.map_err(|error| self.store_fault(QUERY, error))?.items.unwrap_or_default());
        }
        Ok(items)
    }

    /// A page of the rollouts that have ended, with their places, the last one first; and the place at which the next begins.
    async fn ended_places(&self, since: &str, from: Option<&str>) -> Result<EndedPlaces, Fault> {
        let condition =
            if from.is_some() { "pk = :pk AND sk BETWEEN :since AND :place" } else { "pk = :pk AND sk >= :since" };
        let value = |text: &str| AttributeValue::S(text.to_owned());
        let mut request = self
            .dynamodb()
            .query()
            .table_name(self.table(QUERY)?)
            .consistent_read(true)
            .scan_index_forward(false)
            .limit(i32::try_from(ENDED_A_PAGE + 1).unwrap_or(i32::MAX))
            .key_condition_expression(condition)
            .expression_attribute_values(":pk", value(keys::ENDED))
            .expression_attribute_values(":since", value(since));
        if let Some(from) = from {
            request = request.expression_attribute_values(":place", value(from));
        }
        let answer = request.send().await.map_err(|error| self.store_fault(QUERY, error))?;
        let items = answer.items.unwrap_or_default();
        let place = |item: &Item| text(item, "sk").ok().map(str::to_owned);
        let next = items.get(ENDED_A_PAGE).and_then(place);
        // One that names no rollout must not hide those before it.
        let listed = items.iter().take(ENDED_A_PAGE);
        let listed = listed.filter_map(|item| place(item).zip(text(item, "rollout").ok().map(str::to_owned)));
        Ok((listed.collect(), next))
    }

    /// The rollouts that a partition lists.
    async fn pointed_at(&self, pk: &str) -> Result<BTreeSet<String>, Fault> {
        let items = self.query(pk, None).await?;
        Ok(items.iter().filter_map(|item| text(item, "sk").ok()).map(str::to_owned).collect())
    }

    /// The stored items of rollouts, by id.
    async fn all_states(&self, ids: &BTreeSet<String>) -> Result<BTreeMap<String, Item>, Fault> {
        match self.states(ids).await? {
            (states, None) => Ok(states),
            (_, Some(left)) => Err(BATCH_GET.refusal(FaultKind::Throttled, left)),
        }
    }

    /// The stored items of rollouts, by id, and why some of them were left out, if any were.
    async fn states(&self, ids: &BTreeSet<String>) -> Result<(BTreeMap<String, Item>, Option<String>), Fault> {
        let table = self.table(BATCH_GET)?;
        let keys: Vec<Item> = ids.iter().map(|id| Key::state(id).attributes()).collect();
        let (mut states, mut left_out) = (BTreeMap::new(), 0);
        for chunk in keys.chunks(ITEMS_PER_BATCH) {
            let (items, left) = self.batch(table, chunk.to_vec()).await?;
            left_out += left;
            for item in items {
                let id = text(&item, "pk").ok().and_then(|pk| pk.strip_prefix(&keys::rollout("")));
                if let Some(id) = id.map(str::to_owned) {
                    states.insert(id, item);
                }
            }
        }
        let left = format!("{left_out} rollouts were left out of {BATCH_ROUNDS} answers in a row");
        Ok((states, (left_out > 0).then_some(left)))
    }

    /// What was answered, and how many items were not.
    async fn batch(&self, table: &str, mut keys: Vec<Item>) -> Result<(Vec<Item>, usize), Fault> {
        let mut items = Vec::new();
        for round in 0..BATCH_ROUNDS {
            if keys.is_empty() {
                break;
            }
            if round > 0 {
                tokio::time::sleep(FIRST_BATCH_WAIT * (1 << (round - 1))).await;
            }
            let wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
            let wanted = wanted.map_err(|error| BATCH_GET.refusal(FaultKind::Rejected, error.to_string()))?;
            let answer = self.dynamodb().batch_get_item().request_items(table, wanted).send().await;
            let answer = answer.map_err(|error| self.store_fault(BATCH_GET, error))?;
            items.extend(answer.responses.unwrap_or_default().into_values().flatten());
            keys = answer.unprocessed_keys.unwrap_or_default().into_values().flat_map(|left| left.keys).collect();
        }
        Ok((items, keys.len()))
    }

    /// Stores an item unless there is one of the same key, which it returns.
    async fn put_if_absent(&self, item: Item) -> Result<Option<Item>, Fault> {
        let table = self.table(PUT_ITEM)?;
        let request = self
            .dynamodb()
            .put_item()
            .table_name(table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let error = match request.send().await {
            Ok(_) => return Ok(None),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) if failed.item.is_some() => {
                Ok(failed.item.clone())
            }
            Some(_) | None => Err(self.store_fault(PUT_ITEM, error)),
        }
    }

    /// DynamoDB does not say which table it means.
    fn store_fault<E>(&self, call: Call, error: SdkError<E>) -> Fault
    where
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let fault = call.fault(error);
        let detail = format!("{} (table {})", fault.detail, self.config.table.as_deref().unwrap_or_default());
        Fault { detail, ..fault }
    }

    /// Who holds the target that a rollout wanted, asked again when DynamoDB did not tell.
    async fn claimant(&self, told: Option<String>, rollout: &Rollout) -> Result<String, Fault> {
        if let Some(by) = told {
            return Ok(by);
        }
        let freed = || GET_ITEM.refusal(FaultKind::Failed, "the target was claimed and freed again meanwhile");
        self.holder(&rollout.spec.target).await?.ok_or_else(freed)
    }
}

/// The pointers to a rollout that a change of it adds and removes.
fn pointer_changes(before: Option<&Rollout>, next: &Rollout) -> Vec<Write> {
    let id = &next.id;
    let (old, new) = (before.map(indices).unwrap_or_default(), indices(next));
    let mut writes: Vec<Write> = new.difference(&old).map(|key| Write::put(shape::pointer_item(key, id))).collect();
    writes.extend(old.difference(&new).cloned().map(Write::delete));
    let claims = Key::claims(&next.spec.target).into_iter();
    match (before.is_some_and(Rollout::holds_target), next.holds_target()) {
        (false, true) => writes.extend(claims.map(|claim| Write::claim(shape::pointer_item(&claim, id), id))),
        (true, false) => writes.extend(claims.map(|claim| Write::free(claim, id))),
        (true, true) | (false, false) => {}
    }
    let begins_to_judge = before.is_none() && next.guest.is_some();
    writes.extend(begins_to_judge.then(|| Write::put(shape::judged_item(next))));
    writes
}

/// The last of a transaction's writes. However many alarms a rollout names it must be able to end: what a list of the past shows
/// it can do without.
fn list_end(before: Option<&Rollout>, next: &Rollout, writes: &mut Vec<Write>) {
    let ends = before.is_none_or(|before| !before.is_terminal());
    if ends && writes.len() < transaction::WRITES_PER_TRANSACTION {
        writes.extend(shape::ended_item(next).map(Write::put));
    }
}

/// The places where a rollout is listed. One that still has something to tell is active; its target is free already.
fn indices(rollout: &Rollout) -> BTreeSet<Key> {
    if !rollout.is_active() {
        return BTreeSet::new();
    }
    let alarms = rollout.spec.alarms.names.iter().map(|name| Key::alarm(name, &rollout.id));
    alarms.chain([Key::active(&rollout.id)]).collect()
}

fn shaped(call: Call, what: &str, error: ShapeError) -> Fault {
    let detail = format!("{what}: {error}");
    Fault { source: Some(Box::new(error)), ..call.refusal(FaultKind::Failed, detail) }
}

fn unwritable(rollout: &Rollout, error: ShapeError) -> Fault {
    shaped(PUT_ITEM, &format!("rollout {} was not written", rollout.id), error)
}

fn unreadable(id: String, error: &ShapeError) -> Unreadable {
    let fault = BATCH_GET.refusal(FaultKind::Failed, error.to_string());
    Unreadable { id, fault }
}

#[cfg(test)]
mod tests;
