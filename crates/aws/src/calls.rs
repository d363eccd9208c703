//! How often AWS was asked, and what: every attempt counts, because every attempt counts against AWS' limits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// Requests by operation, since they were last taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<BTreeMap<String, u64>>>);

impl Calls {
    /// An attempt of a call that no SDK makes.
    pub(crate) fn count(&self, operation: &str) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *calls.entry(operation.to_owned()).or_default() += 1;
    }

    pub(crate) fn take(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Intercept for Calls {
    fn name(&self) -> &'static str {
        "Calls"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = config.load::<Metadata>().map_or("unknown", Metadata::name);
        self.count(operation);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use coalmine_core::ports::TrafficRouter;
    use serde_json::json;

    use crate::testing::{Reply, scripted, target};

    #[tokio::test(start_paused = true)]
    async fn every_attempt_is_counted_once_until_it_is_taken() {
        let alias = json!({ "FunctionVersion": "41", "RevisionId": "r" });
        let (aws, _) = scripted([Reply::error(429, "TooManyRequestsException"), Reply::json(200, &alias)]);
        aws.look(&target()).await.unwrap();
        let calls = aws.take_calls();
        assert_eq!(calls.get("GetAlias"), Some(&2), "{calls:?}");
        assert!(aws.take_calls().is_empty());
    }
}
