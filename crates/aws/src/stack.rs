//! A deployed Coalmine, asked from outside; and the way back without it.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_sdk_lambda::primitives::Blob;
use coalmine_core::ports::{Fault, FaultKind, LookError, Switch};
use coalmine_core::spec::Target;
use coalmine_core::text;
use serde_json::Value;

use crate::errors::{Call, refused_as};
use crate::switch::put_back_alias;
use crate::{Aws, timeouts};

const GET_CONFIGURATION: Call = Call::new("GetFunctionConfiguration", "lambda:GetFunctionConfiguration");
const INVOKE: Call = Call::new("Invoke", "lambda:InvokeFunction");
const LIST_FUNCTIONS: Call = Call::new("ListFunctions", "lambda:ListFunctions");
const LIST_TAGS: Call = Call::new("ListTags", "lambda:ListTags");

/// The functions take a minute at most, and a cold start.
const LONGEST_ANSWER: Duration = Duration::from_secs(75);

/// Characters of an answer that a message quotes.
const QUOTED_CHARS: usize = 500;

/// Pages of fifty functions: 5,000 functions are looked through.
const PAGES_MAX: usize = 100;

/// Stacks of Coalmine in one region whose tags are read.
const ALIKE_MAX: usize = 30;

/// Every function of a stack has it.
const TABLE_VARIABLE: &str = "COALMINE_TABLE";

/// The handlers that take requests.
const ASKED_HANDLERS: [&str; 2] = ["command", "abort"];

/// Of a name or a handler that a message repeats.
const NAME_CHARS: usize = 200;

/// What CloudFormation says of whose a resource is.
const STACK_TAG: &str = "aws:cloudformation:stack-name";

/// Functions that were looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundFunctions {
    /// One, where it is clear.
    pub meant: Vec<String>,
    /// What looks like the same function of another stack.
    pub others: Vec<String>,
}

impl FoundFunctions {
    /// This one, by its name.
    #[must_use]
    pub fn only(name: &str) -> Self {
        Self { meant: vec![name.to_owned()], others: Vec::new() }
    }
}

/// A function that may be meant.
struct Alike {
    name: String,
    arn: String,
}

/// A call to AWS, as `aws SERVICE COMMAND --cli-input-json INPUT` makes it.
#[derive(Debug, Clone, PartialEq)]
pub struct CliCall {
    /// `lambda`, `elbv2`.
    pub service: &'static str,
    pub command: &'static str,
    pub input: Value,
}

impl Aws {
    /// The functions that may be one of a stack's, by how CloudFormation names what has no name:
    /// `STACK-LOGICALNAME-RANDOM`. More than one where another stack's name begins with this one's. Where there is not exactly
    /// one, tags decide: CloudFormation's own, for it shortens long names.
    ///
    /// # Errors
    /// When Lambda cannot be asked.
    pub async fn functions_of_stack(&self, stack: &str, logical: &str) -> Result<FoundFunctions, Fault> {
        let alike = self.functions_like(logical, Some(stack)).await?;
        let prefix = format!("{stack}-{logical}-");
        // CodeDeploy invokes functions of such names only.
        let hook = (logical == "Hook").then(|| format!("CodeDeployHook_{stack}"));
        let named = |function: &&Alike| function.name.starts_with(&prefix) || Some(&function.name) == hook.as_ref();
        let meant: Vec<String> = alike.iter().filter(named).map(|function| function.name.clone()).collect();
        if meant.len() == 1 {
            return Ok(FoundFunctions { meant, others: Vec::new() });
        }
        // Whoever may not read tags goes by the names.
        let tagged = self.tagged(&alike, STACK_TAG, stack).await.unwrap_or_default();
        let meant = if tagged.is_empty() { meant } else { tagged };
        let others = alike.into_iter().map(|function| function.name).filter(|name| !meant.contains(name)).collect();
        Ok(FoundFunctions { meant, others })
    }

    /// The same of any stack whose functions have a tag: whoever deploys a stack with tags has them on its functions, too.
    ///
    /// # Errors
    /// When Lambda cannot be asked, for tags either.
    pub async fn functions_with_tag(&self, tag: (&str, &str), logical: &str) -> Result<FoundFunctions, Fault> {
        let alike = self.functions_like(logical, None).await?;
        let meant = self.tagged(&alike, tag.0, tag.1).await?;
        let others = alike.into_iter().map(|function| function.name).filter(|name| !meant.contains(name)).collect();
        Ok(FoundFunctions { meant, others })
    }

    /// Those that are called as the stack's would be, and those that look like one of any Coalmine: its handler, and a table.
    async fn functions_like(&self, logical: &str, stack: Option<&str>) -> Result<Vec<Alike>, Fault> {
        let (prefix, handler) = (stack.map(|stack| format!("{stack}-{logical}-")), logical.to_lowercase());
        let mut found = Vec::new();
        let mut marker = None;
        for _ in 0..PAGES_MAX {
            let page = self.lambda().list_functions().set_marker(marker).send().await;
            let page = page.map_err(|error| LIST_FUNCTIONS.fault(error))?;
            found.extend(page.functions().iter().filter_map(|function| {
                let name = function.function_name()?;
                let variables = function.environment().and_then(|environment| environment.variables());
                let has_table = variables.is_some_and(|variables| variables.contains_key(TABLE_VARIABLE));
                let named = prefix.as_ref().is_some_and(|prefix| name.starts_with(prefix));
                let arn = function.function_arn().unwrap_or_default().to_owned();
                // Another stack's own function may be called the same, and must not be asked anything.
                let is_ours = function.handler() == Some(handler.as_str()) && (has_table || named);
                is_ours.then(|| Alike { name: name.to_owned(), arn })
            }));
            marker = page.next_marker().map(str::to_owned);
            if marker.is_none() {
                return Ok(found);
            }
        }
        let detail = format!("there are more than {} functions; name the one to ask", PAGES_MAX * 50);
        Err(LIST_FUNCTIONS.refusal(FaultKind::Rejected, detail))
    }

    /// Whether a function that was named takes requests. Before it is known nothing is sent to it: it might be anybody's, and
    /// would take the request for one of its own.
    ///
    /// # Errors
    /// What the function is instead; or when Lambda cannot be asked.
    pub async fn takes_requests(&self, function: &str) -> Result<(), LookError> {
        let shown = |text: &str| text::shown(text, NAME_CHARS);
        let name = shown(function);
        let configuration = match self.lambda().get_function_configuration().function_name(function).send().await {
            Ok(configuration) => configuration,
            Err(error) if refused_as(&error, |e| e.is_resource_not_found_exception()) => {
                return Err(LookError::NotFound(format!("there is no function {name} in this account and region")));
            }
            Err(error) => return Err(GET_CONFIGURATION.fault(error).into()),
        };
        let handler = configuration.handler().unwrap_or_default();
        let variables = configuration.environment().and_then(|environment| environment.variables());
        let has_table = variables.is_some_and(|variables| variables.contains_key(TABLE_VARIABLE));
        if has_table && ASKED_HANDLERS.contains(&handler) {
            return Ok(());
        }
        let what = match (ASKED_HANDLERS.contains(&handler), handler) {
            (true, _) => format!("it has no {TABLE_VARIABLE}"),
            (false, "") => "it has no handler".to_owned(),
            (false, handler) => format!("its handler is `{}`, not `{}`", shown(handler), ASKED_HANDLERS.join("` or `")),
        };
        Err(LookError::NotFound(format!(
            "function {name} is not one of Coalmine's that takes requests ({what}): nothing was sent to it"
        )))
    }

    /// Those of a few functions that have a tag.
    async fn tagged(&self, functions: &[Alike], key: &str, value: &str) -> Result<Vec<String>, Fault> {
        let mut tagged = Vec::new();
        for function in functions.iter().take(ALIKE_MAX) {
            let answer = self.lambda().list_tags().resource(&function.arn).send().await;
            let tags = answer.map_err(|error| LIST_TAGS.fault(error))?.tags.unwrap_or_default();
            if tags.get(key).is_some_and(|tagged| tagged == value) {
                tagged.push(function.name.clone());
            }
        }
        Ok(tagged)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Reply, scripted};

    const ARN: &str = "arn:aws:lambda:eu-west-1:123456789012:function:";

    fn function(name: &str, handler: &str, ours: bool) -> Value {
        let variables = if ours { json!({ "COALMINE_TABLE": "table" }) } else { json!({}) };
        json!({
            "FunctionName": name, "FunctionArn": format!("{ARN}{name}"), "Handler": handler,
            "Environment": { "Variables": variables },
        })
    }

    /// A Coalmine, one whose long name was shortened, another one's function, and what is none.
    fn account() -> [Reply; 2] {
        let first = [function("coalmine-Command-1A", "command", true), function("coalmine-Abort-2B", "abort", true)];
        let second = [
            function("coalmine-of-a-team-with-a-lo-Command-3C", "command", true),
            function("shop-api", "command", false),
        ];
        [
            Reply::json(200, &json!({ "Functions": first, "NextMarker": "more" })),
            Reply::json(200, &json!({ "Functions": second })),
        ]
    }

    fn tags(key: &str, value: &str) -> Reply {
        Reply::json(200, &json!({ "Tags": { key: value } }))
    }

    #[tokio::test]
    async fn a_stack_is_found_by_the_names_of_its_functions_and_else_by_its_own_tag() {
        let (aws, script) = scripted(account());
        let found = aws.functions_of_stack("coalmine", "Command").await.unwrap();
        assert_eq!((found.meant, found.others), (vec!["coalmine-Command-1A".to_owned()], Vec::new()));
        assert_eq!(script.asked().len(), 2);

        let long = "coalmine-of-a-team-with-a-long-name";
        let tagged = [tags(STACK_TAG, "coalmine"), tags(STACK_TAG, long)];
        let (aws, script) = scripted(account().into_iter().chain(tagged));
        let found = aws.functions_of_stack(long, "Command").await.unwrap();
        assert_eq!(found.meant, ["coalmine-of-a-team-with-a-lo-Command-3C"]);
        assert_eq!(script.unused(), 0);
    }

    #[tokio::test]
    async fn what_else_looks_like_it_is_told_where_it_is_not_found() {
        let others = ["coalmine-Command-1A", "coalmine-of-a-team-with-a-lo-Command-3C"];
        let denied = || Reply::error(403, "AccessDeniedException");
        for tagged in [vec![tags("a", "b"), tags("a", "b")], vec![denied()]] {
            let (aws, _) = scripted(account().into_iter().chain(tagged));
            let found = aws.functions_of_stack("canary", "Command").await.unwrap();
            assert_eq!((found.meant.len(), found.others), (0, others.map(str::to_owned).to_vec()));
        }
        // A tag was asked for: whoever may not read it is told so.
        let (aws, _) = scripted(account().into_iter().chain([denied()]));
        let fault = aws.functions_with_tag(("team", "shop"), "Command").await.unwrap_err();
        assert!(fault.to_string().contains("lambda:ListTags"), "{fault}");
    }

    /// A stack of somebody's own may have a function with the same logical name.
    #[tokio::test]
    async fn a_function_that_is_only_called_like_ours_is_not_meant() {
        let named = [function("shop-Command-1A", "app.handler", false), function("shop-Command-2B", "command", false)];
        let (aws, _) = scripted([Reply::json(200, &json!({ "Functions": named }))]);
        let found = aws.functions_of_stack("shop", "Command").await.unwrap();
        assert_eq!(found.meant, ["shop-Command-2B"]);
    }

    #[tokio::test]
    async fn a_function_that_is_named_is_asked_only_if_it_is_ours() {
        for (named, said) in [
            (function("coalmine-Command-1A", "command", true), None),
            (function("coalmine-Abort-2B", "abort", true), None),
            (
                function("checkout", "app.handler", false),
                Some(
                    "function checkout is not one of Coalmine's that takes requests (its handler is `app.handler`, not `command` or `abort`): nothing was sent to it",
                ),
            ),
            (function("checkout", "command", false), Some("(it has no COALMINE_TABLE)")),
            (function("coalmine-Tick-3C", "tick", true), Some("(its handler is `tick`, not `command` or `abort`)")),
        ] {
            let name = named["FunctionName"].as_str().unwrap().to_owned();
            let (aws, script) = scripted([Reply::json(200, &named)]);
            match (aws.takes_requests(&name).await, said) {
                (Ok(()), None) => {}
                (Err(LookError::NotFound(why)), Some(said)) => assert!(why.contains(said), "{why}"),
                (other, _) => panic!("{name}: {other:?}"),
            }
            assert!(script.asked().iter().all(|asked| asked.method == "GET"), "{:?}", script.asked());
        }
        let (aws, _) = scripted([Reply::error(404, "ResourceNotFoundException")]);
        let LookError::NotFound(why) = aws.takes_requests("nobody").await.unwrap_err() else { panic!("a fault") };
        assert_eq!(why, "there is no function nobody in this account and region");
        // Who may not look is not answered with a guess.
        let (aws, _) = scripted([Reply::error(403, "AccessDeniedException")]);
        let LookError::Fault(fault) = aws.takes_requests("checkout").await.unwrap_err() else { panic!("no fault") };
        assert!(fault.to_string().contains("lambda:GetFunctionConfiguration"), "{fault}");
    }

    #[tokio::test]
    async fn a_tag_finds_the_function_that_has_it() {
        let tagged = [tags("team", "cart"), tags("team", "shop")];
        let (aws, script) = scripted(account().into_iter().chain(tagged));
        let found = aws.functions_with_tag(("team", "shop"), "Command").await.unwrap();
        assert_eq!(found.meant, ["coalmine-of-a-team-with-a-lo-Command-3C"]);
        assert_eq!(found.others, ["coalmine-Command-1A"]);
        assert_eq!(script.unused(), 0);
    }
}
