//! Tests a version before it gets any traffic. A function is invoked.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_sdk_lambda::operation::invoke::InvokeOutput;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use coalmine_core::observation::TestOutcome;
use coalmine_core::ports::{Fault, FaultKind, TestRunner};
use coalmine_core::spec::{InvokeTest, LambdaTarget, Target, Test, Version};
use coalmine_core::text;
use futures_util::{StreamExt, stream};
use serde_json::Value;

use crate::Aws;
use crate::errors::Call;
use crate::timeouts;

const INVOKE: Call = Call::new("Invoke", "lambda:InvokeFunction");

/// A synchronous invocation's own limit.
const LARGEST_PAYLOAD_BYTES: usize = 6 * 1024 * 1024;

/// A test may take this long, cold start included; a rollout has 20 s of a tick for everything, and would be cut off
/// there without saying why. A version that takes longer has not passed and not failed: the next tick tests again, and
/// the rollout's deadline ends it.
pub(crate) const LONGEST_TEST: Duration = Duration::from_secs(15);

/// Requests of one test at the same time.
const CONCURRENT_REQUESTS: usize = 4;

/// Characters of an answer that a message quotes.
const QUOTED_CHARS: usize = 300;

impl TestRunner for Aws {
    async fn run(&self, target: &Target, version: &Version, test: &Test) -> Result<TestOutcome, Fault> {
        let times = match test {
            Test::Invoke(test) => test.times,
            Test::Http(test) => test.times,
        };
        let once = |_| async move {
            match test {
                Test::Invoke(test) => self.invoke(target, version, test).await,
                Test::Http(test) => self.request(test).await,
            }
        };
        let mut outcomes = stream::iter(0..times.max(1)).map(once).buffered(CONCURRENT_REQUESTS);
        while let Some(outcome) = outcomes.next().await {
            match outcome? {
                TestOutcome::Passed => {}
                failed @ TestOutcome::Failed(_) => return Ok(failed),
            }
        }
        Ok(TestOutcome::Passed)
    }
}

impl Aws {
    /// Never repeated by itself: a test may have effects, and a second invocation would hide a flaw of the first.
    async fn invoke(&self, target: &Target, version: &Version, test: &InvokeTest) -> Result<TestOutcome, Fault> {
        let Target::Lambda(LambdaTarget { function, .. }) = target else {
            return Err(INVOKE.refusal(FaultKind::Rejected, "only a Lambda function can be invoked".to_owned()));
        };
        let payload = test.payload.to_string();
        if payload.len() > LARGEST_PAYLOAD_BYTES {
            let detail = format!("the payload has {} bytes; Lambda takes {LARGEST_PAYLOAD_BYTES}", payload.len());
            return Err(INVOKE.refusal(FaultKind::Rejected, detail));
        }
        let request = self
            .lambda()
            .invoke()
            .function_name(function)
            .qualifier(&version.0)
            .invocation_type(InvocationType::RequestResponse)
            .payload(Blob::new(payload))
            .customize()
            .config_override(
                aws_sdk_lambda::config::Builder::new()
                    .retry_config(RetryConfig::disabled())
                    .timeout_config(timeouts(LONGEST_TEST, LONGEST_TEST)),
            );
        let answer = request.send().await.map_err(|error| INVOKE.fault(error))?;
        Ok(outcome(version, test.expect.as_ref(), &answer))
    }
}

fn outcome(version: &Version, expect: Option<&Value>, answer: &InvokeOutput) -> TestOutcome {
    let body = answer.payload().map(|blob| String::from_utf8_lossy(blob.as_ref())).unwrap_or_default();
    let came = quoted(&body);
    if let Some(kind) = answer.function_error() {
        return TestOutcome::Failed(format!("{version} failed ({}): {came}", quoted(kind)));
    }
    if let Some(executed) = answer.executed_version().filter(|executed| *executed != version.0) {
        return TestOutcome::Failed(format!("{} answered in place of {version}", Version(executed.to_owned())));
    }
    let Some(expect) = expect else { return TestOutcome::Passed };
    // A function that returns nothing answers with nothing, or with null.
    let came_value = if body.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&body) };
    match came_value {
        Ok(value) => match difference("the answer", expect, &value) {
            None => TestOutcome::Passed,
            Some(difference) => TestOutcome::Failed(format!("{difference}; {version} answered {came}")),
        },
        Err(_) => TestOutcome::Failed(format!("{version} answered what is not JSON: {came}")),
    }
}

/// The first thing that was expected and did not come. Objects may have more than was expected; everything else must
/// be equal, numbers by value.
fn difference(path: &str, expect: &Value, came: &Value) -> Option<String> {
    match (expect, came) {
        (Value::Object(expect), Value::Object(came)) => expect.iter().find_map(|(key, expect)| {
            let path = format!("{path}.{}", quoted(key));
            match came.get(key) {
                Some(came) => difference(&path, expect, came),
                None => Some(format!("{path} is missing, {} was expected", quoted(&expect.to_string()))),
            }
        }),
        (Value::Array(expect), Value::Array(came)) if expect.len() == came.len() => {
            let pairs = expect.iter().zip(came).enumerate();
            pairs.into_iter().find_map(|(i, (expect, came))| difference(&format!("{path}[{i}]"), expect, came))
        }
        (Value::Number(expect), Value::Number(came)) if expect.as_f64() == came.as_f64() => None,
        (expect, came) if expect == came => None,
        (expect, came) => {
            let (expect, came) = (quoted(&expect.to_string()), quoted(&came.to_string()));
            Some(format!("{path} is {came}, {expect} was expected"))
        }
    }
}

/// What a user's function or server answered ends up in the history, in notices and on terminals.
pub(crate) fn quoted(text: &str) -> String {
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(QUOTED_CHARS).collect();
    let start = text::shown(&start, QUOTED_CHARS);
    match chars.next() {
        Some(_) => format!("{start} ..."),
        None => start,
    }
}

#[cfg(test)]
mod tests;
