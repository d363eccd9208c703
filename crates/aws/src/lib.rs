//! Coalmine's ports on AWS.
//!
//! Architecture Invariant: this is the only crate that names an SDK, and no SDK type is in its public signatures. It
//! carries, it does not decide: a call per question, a [`Fault`](coalmine_core::ports::Fault) per failure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use coalmine_core::deployment::Stage;

use crate::calls::Calls;

mod calls;
mod cloudwatch;
mod deployments;
mod dynamodb;
mod elb;
mod errors;
mod http_test;
mod invoke;
mod lambda_alias;
mod notify;
#[cfg(any(test, feature = "probe"))]
pub mod probe;
mod reports;
mod respond;
mod router;
mod stack;
mod survey;
mod switch;
#[cfg(any(test, feature = "probe"))]
#[cfg_attr(not(test), allow(dead_code, reason = "the probe needs less of it than the tests"))]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "clippy does not see that nothing else has it")]
mod testing;

pub use reports::ReportsConfig;
pub use stack::{CliCall, FoundFunctions};
pub use survey::{Found, FoundAlarm, FoundAlias, FoundRule, FoundSchedule};
pub use switch::is_switch_of;

/// What is ours in this account. Whoever needs a part that is absent gets an error that names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwsConfig {
    /// The DynamoDB table with the rollouts.
    pub table: Option<String>,
    /// Where transitions are put as events; nowhere when absent.
    pub event_bus: Option<String>,
    /// Where transitions are published for people; nowhere when absent.
    pub topic_arn: Option<String>,
    /// Where the reports of rollouts that have ended are; nowhere when absent.
    pub reports: Option<ReportsConfig>,
    /// What the dead man's switch needs.
    pub switch: Option<SwitchConfig>,
}

/// What schedules need to put traffic back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchConfig {
    /// The schedule group that they are in.
    pub group: String,
    /// The role that EventBridge Scheduler takes on for it.
    pub role_arn: String,
}

/// All ports on the real services. Made once per process; a service's client is made when it is first needed.
#[derive(Debug)]
pub struct Aws {
    config: AwsConfig,
    sdk: SdkConfig,
    calls: Calls,
    cloudwatch: OnceLock<aws_sdk_cloudwatch::Client>,
    code_deploy: OnceLock<aws_sdk_codedeploy::Client>,
    dynamodb: OnceLock<aws_sdk_dynamodb::Client>,
    ecs: OnceLock<aws_sdk_ecs::Client>,
    elb: OnceLock<aws_sdk_elasticloadbalancingv2::Client>,
    eventbridge: OnceLock<aws_sdk_eventbridge::Client>,
    /// Carries the spec's own requests, answers to CloudFormation, and reports.
    http: OnceLock<aws_smithy_http_client::Connector>,
    lambda: OnceLock<aws_sdk_lambda::Client>,
    scheduler: OnceLock<aws_sdk_scheduler::Client>,
    sns: OnceLock<aws_sdk_sns::Client>,
    ssm: OnceLock<aws_sdk_ssm::Client>,
    /// CodeDeploy's timetables that are the user's own, by configuration.
    timetables: Mutex<BTreeMap<String, Vec<Stage>>>,
    /// Weighted aliases that are known to have no provisioned concurrency, by target key.
    unprovisioned: Mutex<BTreeSet<String>>,
}

/// From AWS's own network a connection takes milliseconds, and the TLS handshake longer on a small function's share of a
/// processor: after three seconds it will not come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// An attempt that takes longer is more likely lost than slow.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// All attempts of one call: two silent ones, or three that are answered. A tick has a minute for everything.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

const MAX_ATTEMPTS: u32 = 3;

/// The SDK's own choice gathers entropy before its first connection, for longer than all the rest of a cold start takes:
/// docs/performance.md.
pub(crate) const TLS: Provider = Provider::Rustls(CryptoMode::Ring);

/// What the SDK itself would make, proxies of the environment included, but for its TLS.
fn https() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = ConnectorBuilder::default().tls_provider(TLS);
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.build()
    })
}

/// A client whose requests are counted.
macro_rules! client {
    ($sdk:ident, $aws:expr) => {
        $sdk::Client::from_conf($sdk::config::Builder::from(&$aws.sdk).interceptor($aws.calls.clone()).build())
    };
}

impl Aws {
    /// Region, credentials and endpoints come from where the SDK always looks for them: the environment
    /// (`AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_<SERVICE>` among it), then the shared configuration files.
    pub async fn new(config: AwsConfig) -> Self {
        let sdk = aws_config::defaults(BehaviorVersion::latest())
            .http_client(https())
            .timeout_config(timeouts(ATTEMPT_TIMEOUT, OPERATION_TIMEOUT))
            .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
            .load()
            .await;
        Self::on(config, sdk)
    }

    fn on(config: AwsConfig, sdk: SdkConfig) -> Self {
        Self {
            config,
            sdk,
            calls: Calls::default(),
            cloudwatch: OnceLock::new(),
            code_deploy: OnceLock::new(),
            dynamodb: OnceLock::new(),
            ecs: OnceLock::new(),
            elb: OnceLock::new(),
            eventbridge: OnceLock::new(),
            http: OnceLock::new(),
            lambda: OnceLock::new(),
            scheduler: OnceLock::new(),
            sns: OnceLock::new(),
            ssm: OnceLock::new(),
            timetables: Mutex::default(),
            unprovisioned: Mutex::default(),
        }
    }

    /// Requests to AWS by operation, attempts counted one by one, since this was last asked.
    pub fn take_calls(&self) -> BTreeMap<String, u64> {
        self.calls.take()
    }

    fn cloudwatch(&self) -> &aws_sdk_cloudwatch::Client {
        self.cloudwatch.get_or_init(|| client!(aws_sdk_cloudwatch, self))
    }

    fn code_deploy(&self) -> &aws_sdk_codedeploy::Client {
        self.code_deploy.get_or_init(|| client!(aws_sdk_codedeploy, self))
    }

    fn dynamodb(&self) -> &aws_sdk_dynamodb::Client {
        self.dynamodb.get_or_init(|| client!(aws_sdk_dynamodb, self))
    }

    fn ecs(&self) -> &aws_sdk_ecs::Client {
        self.ecs.get_or_init(|| client!(aws_sdk_ecs, self))
    }

    fn elb(&self) -> &aws_sdk_elasticloadbalancingv2::Client {
        self.elb.get_or_init(|| client!(aws_sdk_elasticloadbalancingv2, self))
    }

    fn eventbridge(&self) -> &aws_sdk_eventbridge::Client {
        self.eventbridge.get_or_init(|| client!(aws_sdk_eventbridge, self))
    }

    fn lambda(&self) -> &aws_sdk_lambda::Client {
        self.lambda.get_or_init(|| client!(aws_sdk_lambda, self))
    }

    fn scheduler(&self) -> &aws_sdk_scheduler::Client {
        self.scheduler.get_or_init(|| client!(aws_sdk_scheduler, self))
    }

    fn sns(&self) -> &aws_sdk_sns::Client {
        self.sns.get_or_init(|| client!(aws_sdk_sns, self))
    }

    fn ssm(&self) -> &aws_sdk_ssm::Client {
        self.ssm.get_or_init(|| client!(aws_sdk_ssm, self))
    }
}

/// 64-bit FNV-1a, where what is named need only differ from a few others.
fn digest(text: &str) -> u64 {
    let add = |digest: u64, byte: u8| (digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, add)
}

fn timeouts(attempt: Duration, operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_is_all_the_ports() {
        fn ports<T: coalmine_core::ports::Ports + Send>() {}
        ports::<Aws>();
    }
}
