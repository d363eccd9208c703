//! A deployed Coalmine, asked from outside; and the way back without it.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_sdk_lambda::primitives::Blob;
use coalmine_core::ports::{Fault, FaultKind, Switch};
use coalmine_core::spec::Target;
use coalmine_core::text;
use serde_json::Value;

use crate::errors::Call;
use crate::switch::put_back_alias;
use crate::{Aws, timeouts};

const INVOKE: Call = Call::new("Invoke", "lambda:InvokeFunction");
const LIST_FUNCTIONS: Call = Call::new("ListFunctions", "lambda:ListFunctions");

/// The functions take a minute at most, and a cold start.
const LONGEST_ANSWER: Duration = Duration::from_secs(75);

/// Characters of an answer that a message quotes.
const QUOTED_CHARS: usize = 500;

/// Pages of fifty functions: 5,000 functions are looked through.
const PAGES_MAX: usize = 100;

/// A call to AWS, as `aws SERVICE COMMAND --cli-input-json INPUT` makes it.
#[derive(Debug, Clone, PartialEq)]
pub struct CliCall {
    /// `lambda`, `elbv2`.
    pub service: &'static str,
    pub command: &'static str,
    pub input: Value,
}

impl Aws {
    /// The functions that a stack has for one of its logical names, by how CloudFormation names what has no name:
    /// `STACK-LOGICALNAME-RANDOM`. More than one where another stack's name begins with this one's.
    ///
    /// # Errors
    /// When Lambda cannot be asked.
    pub async fn functions_of_stack(&self, stack: &str, logical: &str) -> Result<Vec<String>, Fault> {
        let prefix = format!("{stack}-{logical}-");
        let mut found = Vec::new();
        let mut marker = None;
        for _ in 0..PAGES_MAX {
            let page = self.lambda().list_functions().set_marker(marker).send().await;
            let page = page.map_err(|error| LIST_FUNCTIONS.fault(error))?;
            let names = page.functions().iter().filter_map(|function| function.function_name());
            found.extend(names.filter(|name| name.starts_with(&prefix)).map(str::to_owned));
            marker = page.next_marker().map(str::to_owned);
            if marker.is_none() {
                return Ok(found);
            }
        }
        let detail = format!("there are more than {} functions; name the one to ask", PAGES_MAX * 50);
        Err(LIST_FUNCTIONS.refusal(FaultKind::Rejected, detail))
    }

    /// The region that is asked, where one is configured.
    #[must_use]
    pub fn region(&self) -> Option<String> {
        self.sdk.region().map(ToString::to_string)
    }

    /// Sends a function of the stack a request, once: what became of one that failed is asked for.
    ///
    /// # Errors
    /// When Lambda cannot be asked, or the function ended with an error instead of an answer.
    pub async fn ask_function(&self, function: &str, request: &Value) -> Result<Value, Fault> {
        let once = aws_sdk_lambda::config::Builder::new()
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts(LONGEST_ANSWER, LONGEST_ANSWER));
        let call = self.lambda().invoke().function_name(function).payload(Blob::new(request.to_string()));
        let answer = call.customize().config_override(once).send().await.map_err(|error| INVOKE.fault(error))?;
        let body = answer.payload().map(Blob::as_ref).unwrap_or_default();
        let shown = || text::shown(&String::from_utf8_lossy(body), QUOTED_CHARS);
        if answer.function_error().is_some() {
            return Err(INVOKE.refusal(FaultKind::Failed, format!("{function} ended with an error: {}", shown())));
        }
        serde_json::from_slice(body)
            .map_err(|_| INVOKE.refusal(FaultKind::Failed, format!("{function} answered what is no JSON: {}", shown())))
    }

    /// What gives all traffic back to the baseline, as calls that anybody may make who has the permission. Nothing else is
    /// changed by them.
    ///
    /// # Errors
    /// When a load balancer's rules cannot be read: what else they do must stay as it is.
    pub async fn calls_to_undo(&self, switch: &Switch<'_>) -> Result<Vec<CliCall>, Fault> {
        match switch.target {
            Target::Lambda(alias) => {
                let input = put_back_alias(alias, switch);
                Ok(vec![CliCall { service: "lambda", command: "update-alias", input }])
            }
            Target::Alb(balancer) => {
                let rules = self.put_back_rules(balancer, switch).await?;
                let call = |rule: crate::elb::PutBack| {
                    let command = if rule.action == "modifyRule" { "modify-rule" } else { "modify-listener" };
                    CliCall { service: "elbv2", command, input: rule.input }
                };
                Ok(rules.into_iter().flatten().map(call).collect())
            }
        }
    }
}
