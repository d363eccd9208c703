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
