//! The custom resources of stacks.

use coalmine_core::cloudformation::{Answer, Caller, Resource};
use coalmine_core::ports::{Fault, KeepError, Stacks};

use super::shape::{self, text};
use super::transaction::{Refusal, Write};
use super::{PUT_ITEM, keys, shaped};
use crate::Aws;

impl Stacks for Aws {
    /// One that cannot be read must not keep the others from being answered.
    async fn resources(&self) -> Result<Vec<Resource>, Fault> {
        let mut resources = Vec::new();
        for item in self.query(keys::RESOURCE, None).await? {
            match shape::read_resource(&item) {
                Ok(resource) => resources.push(resource),
                Err(error) => {
                    let key = text(&item, "sk").unwrap_or_default();
                    tracing::error!(resource = key, error = %error, "a stack's resource cannot be read and is not answered");
                }
            }
        }
        resources.sort_by_key(|resource| resource.asked.received);
        Ok(resources)
    }

    async fn keep_resource(&self, resource: &Resource) -> Result<(), KeepError> {
        let item = shape::resource_item(resource).map_err(|error| shaped(PUT_ITEM, "a stack's resource", error))?;
        let write = match resource.revision.checked_sub(1) {
            None | Some(0) => Write::put_new(item),
            Some(before) => Write::replace(item, before),
        };
        match self.write(vec![write]).await {
            Ok(()) => Ok(()),
            Err(Refusal::Changed | Refusal::Claimed { .. }) => Err(KeepError::Conflict),
            Err(Refusal::Fault(fault)) => Err(fault.into()),
        }
    }

    async fn respond(&self, caller: &Caller, answer: &Answer) -> Result<(), Fault> {
        self.put_answer(&caller.url, answer.body(caller)).await
    }
}

#[cfg(test)]
mod tests {
    use coalmine_core::units::Span;
    use serde_json::{Value, json};

    use super::*;
    use crate::dynamodb::tests::{canceled, done, found, writes};
    use crate::testing::{Reply, scripted};

    /// One that has its answer and waits to begin.
    fn resource() -> Resource {
        let item: Value = serde_json::from_str(include_str!("../../../../fuzz/seeds/stored/resource.json")).unwrap();
        serde_json::from_value(item["doc"]["S"].clone()).unwrap()
    }

    fn at(revision: u64) -> Resource {
        Resource { revision, ..resource() }
    }

    /// Asked so many minutes later, by another stack.
    fn later(minutes: u64) -> Resource {
        let mut later = resource();
        later.asked.received = later.asked.received + Span::from_minutes(minutes);
        later.asked.caller.stack = format!("{}-{minutes}", later.asked.caller.stack);
        later
    }

    #[tokio::test]
    async fn resources_are_read_oldest_first_and_one_that_cannot_be_read_hides_no_other() {
        let item = |resource: &Resource| shape::resource_item(resource).unwrap();
        let mut newer = item(&later(2));
        newer.insert("v".to_owned(), shape::number(2));
        let mut broken = item(&later(3));
        broken.remove("doc");
        let (aws, script) = scripted([found(&[item(&later(9)), newer, broken, item(&resource())])]);
        assert_eq!(aws.resources().await.unwrap(), [resource(), later(9)]);
        let asked = script.asked()[0].json();
        assert_eq!(
            (&asked["ConsistentRead"], &asked["ExpressionAttributeValues"]),
            (&json!(true), &json!({ ":pk": { "S": "RESOURCE" } }))
        );
    }

    #[tokio::test]
    async fn a_resource_is_written_on_what_was_read() {
        let sk = |asked: &str| asked.split(' ').nth(2).unwrap().to_owned();
        let mut keys = Vec::new();
        for (revision, condition) in [(1, "attribute_not_exists(pk)"), (3, "rev = 2")] {
            let (aws, script) = scripted([done()]);
            aws.keep_resource(&at(revision)).await.unwrap();
            let asked = script.asked()[0].clone();
            let [write] = writes(&asked).try_into().unwrap();
            assert_eq!(write, format!("put RESOURCE {} if {condition}", sk(&write)));
            keys.push(sk(&write));
            let body = asked.json();
            assert!(body["ClientRequestToken"].is_string(), "a repetition finds its own effect");
            let item = &body["TransactItems"][0]["Put"]["Item"];
            assert_eq!((&item["rev"], &item["v"]), (&json!({ "N": revision.to_string() }), &json!({ "N": "1" })));
            let week = resource().asked.received + Span::from_hours(7 * 24);
            assert_eq!(item["ttl"], json!({ "N": week.epoch_seconds().to_string() }));
        }
        assert_eq!(keys[0], keys[1], "one item of a resource");
        assert!(!keys[0].contains("shop"), "a digest: names may be longer than a key is");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_second_is_told_so_and_a_fault_is_no_conflict() {
        for reason in ["ConditionalCheckFailed", "TransactionConflict"] {
            let kept = scripted([canceled(&[reason], None)]).0.keep_resource(&at(3)).await;
            assert!(matches!(kept, Err(KeepError::Conflict)), "{reason}: {kept:?}");
        }
        for reply in [Reply::error(400, "AccessDeniedException"), canceled(&["ValidationError"], None)] {
            let kept = scripted([reply]).0.keep_resource(&at(3)).await;
            assert!(matches!(&kept, Err(KeepError::Fault(_))), "{kept:?}");
        }
        let mut large = resource();
        large.asked.caller.url = "x".repeat(400 * 1024);
        let (aws, script) = scripted([]);
        let kept = aws.keep_resource(&large).await;
        assert!(matches!(&kept, Err(KeepError::Fault(_))), "{kept:?}");
        assert!(script.asked().is_empty(), "what could not be read again is not written");
    }
}
