//! Failures of what stacks ask and are told.

use super::{Faulty, Operation};
use crate::cloudformation::{Answer, Caller, Resource};
use crate::ports::{Fault, KeepError, Ports, Stacks};

impl<P: Ports + Stacks> Stacks for Faulty<'_, P> {
    async fn resources(&self) -> Result<Vec<Resource>, Fault> {
        self.read(Operation::Resources, |ports| ports.resources()).await
    }

    async fn keep_resource(&self, resource: &Resource) -> Result<(), KeepError> {
        self.call(Operation::KeepResource, self.inner.keep_resource(resource), Some(KeepError::Conflict)).await
    }

    async fn respond(&self, caller: &Caller, answer: &Answer) -> Result<(), Fault> {
        self.call(Operation::Respond, self.inner.respond(caller, answer), None).await
    }
}
