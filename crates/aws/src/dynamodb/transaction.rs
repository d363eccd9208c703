//! Writes that happen all or not at all.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use coalmine_core::ports::{Fault, FaultKind};

use super::keys::Key;
use super::shape::{Item, number, text};
use crate::Aws;
use crate::errors::{Call, kind_of_answer};

const WRITE: Call = Call::new("TransactWriteItems", "dynamodb:PutItem");

/// DynamoDB's own limit.
pub(super) const WRITES_PER_TRANSACTION: usize = 100;

/// A write and the condition under which it is allowed.
#[derive(Debug)]
pub(super) struct Write {
    kind: WriteKind,
    guard: Guard,
}

#[derive(Debug)]
enum WriteKind {
    Put(Item),
    Delete(Key),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Guard {
    Always,
    Absent,
    /// The stored revision is this one.
    Revision(u64),
    /// Absent, or this rollout's own.
    Claim {
        id: String,
    },
}

/// Why nothing was written.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The rollout's own item is not as expected, or somebody is writing it at this moment.
    Changed,
    /// Another rollout holds the target; its id, when DynamoDB told it.
    Claimed { by: Option<String> },
    /// It may have been written.
    Fault(Fault),
}

impl Write {
    pub fn put(item: Item) -> Self {
        Self { kind: WriteKind::Put(item), guard: Guard::Always }
    }

    pub fn put_new(item: Item) -> Self {
        Self { kind: WriteKind::Put(item), guard: Guard::Absent }
    }

    pub fn replace(item: Item, revision: u64) -> Self {
        Self { kind: WriteKind::Put(item), guard: Guard::Revision(revision) }
    }

    pub fn claim(item: Item, id: &str) -> Self {
        Self { kind: WriteKind::Put(item), guard: Guard::Claim { id: id.to_owned() } }
    }

    pub fn delete(key: Key) -> Self {
        Self { kind: WriteKind::Delete(key), guard: Guard::Always }
    }

    pub fn free(key: Key, id: &str) -> Self {
        Self { kind: WriteKind::Delete(key), guard: Guard::Claim { id: id.to_owned() } }
    }

    fn into_item(self, table: &str) -> Result<TransactWriteItem, Fault> {
        let (condition, name, value) = match self.guard {
            Guard::Always => (None, None, None),
            Guard::Absent => (Some("attribute_not_exists(pk)"), None, None),
            Guard::Revision(revision) => (Some("#n = :v"), Some("rev"), Some(number(revision))),
            Guard::Claim { id } => {
                (Some("attribute_not_exists(pk) OR #n = :v"), Some("rollout"), Some(AttributeValue::S(id)))
            }
        };
        let condition = condition.map(str::to_owned);
        let names = name.map(|name| [("#n".to_owned(), name.to_owned())].into());
        let values = value.map(|value| [(":v".to_owned(), value)].into());
        let tell = condition.as_ref().map(|_| ReturnValuesOnConditionCheckFailure::AllOld);
        let broken = |error: aws_sdk_dynamodb::error::BuildError| WRITE.refusal(FaultKind::Rejected, error.to_string());
        Ok(match self.kind {
            WriteKind::Put(item) => {
                let put = Put::builder()
                    .table_name(table)
                    .set_item(Some(item))
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .set_return_values_on_condition_check_failure(tell);
                TransactWriteItem::builder().put(put.build().map_err(broken)?).build()
            }
            WriteKind::Delete(key) => {
                let delete = Delete::builder()
                    .table_name(table)
                    .set_key(Some(key.attributes()))
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .set_return_values_on_condition_check_failure(tell);
                TransactWriteItem::builder().delete(delete.build().map_err(broken)?).build()
            }
        })
    }
}

impl Aws {
    /// The SDK gives every call a token and repeats it with the same one, so that a repetition after a lost answer
    /// finds its own effect and succeeds instead of conflicting with itself. That is why the store writes in
    /// transactions even where one item would do: a conditional PutItem has no such token.
    pub(super) async fn write(&self, writes: Vec<Write>) -> Result<(), Refusal> {
        let table = self.table(WRITE).map_err(Refusal::Fault)?;
        if writes.len() > WRITES_PER_TRANSACTION {
            let detail = format!("{} items would change, and DynamoDB takes {WRITES_PER_TRANSACTION}", writes.len());
            return Err(Refusal::Fault(WRITE.refusal(FaultKind::Rejected, detail)));
        }
        let guards: Vec<Guard> = writes.iter().map(|write| write.guard.clone()).collect();
        let items = writes.into_iter().map(|write| write.into_item(table)).collect::<Result<Vec<_>, Fault>>();
        let items = items.map_err(Refusal::Fault)?;
        let answer = self.dynamodb().transact_write_items().set_transact_items(Some(items)).send().await;
        answer.map(|_| ()).map_err(|error| self.refusal(error, &guards))
    }

    fn refusal(&self, error: SdkError<TransactWriteItemsError>, guards: &[Guard]) -> Refusal {
        let reasons = match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => canceled.cancellation_reasons(),
            Some(_) | None => &[],
        };
        refusal_of(reasons, guards).unwrap_or_else(|| Refusal::Fault(self.store_fault(WRITE, error)))
    }
}

/// The gravest of the reasons, which come in the order of the writes. The rollout's own item goes first: when it has
/// changed, whatever else was to be written was decided on old knowledge.
fn refusal_of(reasons: &[CancellationReason], guards: &[Guard]) -> Option<Refusal> {
    let reasons: Vec<(&str, &CancellationReason, &Guard)> = reasons
        .iter()
        .zip(guards)
        .filter_map(|(reason, guard)| Some((reason.code().filter(|code| *code != "None")?, reason, guard)))
        .collect();
    let own = |guard: &Guard| matches!(guard, Guard::Absent | Guard::Revision(_));
    let lost = |code: &str| code == "ConditionalCheckFailed" || code == "TransactionConflict";
    if reasons.iter().any(|(code, _, guard)| lost(code) && own(guard)) {
        return Some(Refusal::Changed);
    }
    let claimed = reasons
        .iter()
        .find(|(code, _, guard)| *code == "ConditionalCheckFailed" && matches!(guard, Guard::Claim { .. }));
    if let Some((_, reason, _)) = claimed {
        let by = reason.item().and_then(|item| text(item, "rollout").ok()).map(str::to_owned);
        return Some(Refusal::Claimed { by });
    }
    let (code, reason, _) = reasons.first()?;
    let kind = match *code {
        "ValidationError" => FaultKind::Rejected,
        code => kind_of_answer(Some(code), None),
    };
    Some(Refusal::Fault(WRITE.refusal(kind, format!("{code}: {}", reason.message().unwrap_or_default()))))
}

#[cfg(test)]
mod tests;
