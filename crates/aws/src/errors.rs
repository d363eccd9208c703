//! The one place that says what kind of failure an answer of AWS is.

use std::error::Error;
use std::sync::Arc;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use coalmine_core::ports::{Fault, FaultKind};
use coalmine_core::text;

/// A call as its service names it, and the permission that it needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub operation: &'static str,
    pub action: &'static str,
}

impl Call {
    pub(crate) const fn new(operation: &'static str, action: &'static str) -> Self {
        Self { operation, action }
    }

    /// A failure of this call, as the SDK reports it.
    pub(crate) fn fault<E>(self, error: SdkError<E>) -> Fault
    where
        E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let kind = match &error {
            SdkError::TimeoutError(_) => FaultKind::TimedOut,
            SdkError::DispatchFailure(failure) if failure.is_timeout() => FaultKind::TimedOut,
            SdkError::ServiceError(_) => kind_of_answer(error.code(), status),
            SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) | _ => {
                FaultKind::Failed
            }
        };
        if let Some((code, right)) = error.code().and_then(|code| Some((code, right_credentials(code)?))) {
            let detail = format!("{code}: {right}");
            return Fault { source: Some(Box::new(error)), ..Fault::new(self.operation, kind, detail) };
        }
        let detail = match (error.code(), error.message()) {
            (Some(code), Some(_)) if quotes_the_request(code) => format!("{code}: the signature was refused"),
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            (None, _) => unsent(&error).unwrap_or_else(|| innermost(&error)),
        };
        Fault { source: Some(Box::new(error)), ..self.refusal(kind, detail) }
    }

    /// A failure that an answer tells in its body.
    pub(crate) fn refusal(self, kind: FaultKind, detail: impl Into<String>) -> Fault {
        let detail = detail.into();
        if kind != FaultKind::Denied {
            return Fault::new(self.operation, kind, detail);
        }
        let hint = match (detail.contains(self.action), self.within()) {
            (true, "") => String::new(),
            (true, within) => format!(" (it is granted{within})"),
            (false, within) => format!(" (it needs {}{within})", self.action),
        };
        // What AWS said is long, and the hint must not be cut off.
        Fault::new(self.operation, kind, format!("{}{hint}", text::shown(&detail, DENIAL_CHARS)))
    }

    /// What the template's parameters limit this permission to.
    fn within(self) -> &'static str {
        match self.action {
            "lambda:GetAlias"
            | "lambda:GetFunctionConfiguration"
            | "lambda:GetProvisionedConcurrencyConfig"
            | "lambda:InvokeFunction"
            | "lambda:ListTags"
            | "lambda:ListVersionsByFunction"
            | "lambda:UpdateAlias" => " on functions that match the stack's parameter TargetFunctions",
            "elasticloadbalancing:ModifyListener" | "elasticloadbalancing:ModifyRule" => {
                " on load balancers that match the stack's parameter TargetLoadBalancers"
            }
            "codedeploy:StopDeployment" | "codedeploy:PutLifecycleEventHookExecutionStatus" => {
                " in applications that match the stack's parameter TargetApplications"
            }
            "ecs:DescribeServiceDeployments" | "ecs:DescribeServiceRevisions" | "ecs:StopServiceDeployment" => {
                " on services that match the stack's parameter TargetServices"
            }
            "ssm:GetParameter" => " on parameters below /coalmine/",
            "s3:PutObject" => " below the stack's parameters ReportsBucket and ReportsPrefix",
            _ => "",
        }
    }
}

/// Where a signature is refused AWS says what it has signed itself, which is every header with its value: a session token among
/// them, and all of it would stand in the log.
pub(crate) fn quotes_the_request(code: &str) -> bool {
    ["InvalidSignature", "IncompleteSignature", "SignatureDoesNotMatch"].iter().any(|kind| code.starts_with(kind))
}

/// What to do where AWS does not take the credentials, whatever they would be allowed to do.
fn right_credentials(code: &str) -> Option<&'static str> {
    match code {
        "ExpiredToken" | "ExpiredTokenException" => {
            Some("the session has expired: sign in again (`aws sso login`), or set AWS_PROFILE to another profile")
        }
        "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "UnrecognizedClientException" => Some(
            "AWS does not know these credentials: see AWS_PROFILE, and that no old AWS_ACCESS_KEY_ID or AWS_SESSION_TOKEN is set",
        ),
        _ => None,
    }
}

/// What to do about a request that never reached AWS; nothing where that is not known.
fn unsent(error: &(dyn Error + 'static)) -> Option<String> {
    let (mut causes, mut deeper) = (vec![error], error.source());
    while let Some(cause) = deeper {
        causes.push(cause);
        deeper = cause.source();
    }
    // What is at the bottom of missing credentials are all the places where there were none, a line each.
    let last = causes.last().map(ToString::to_string).unwrap_or_default();
    let last = text::shown(last.lines().next().unwrap_or_default(), CAUSE_CHARS);
    if let Some(credentials) = causes.iter().find_map(|cause| cause.downcast_ref::<CredentialsError>()) {
        let none = matches!(credentials, CredentialsError::CredentialsNotLoaded(_));
        return Some(if none {
            "no credentials were found: set AWS_PROFILE, or sign in (`aws configure`, `aws sso login`)".to_owned()
        } else {
            format!("credentials could not be had ({last}): sign in again (`aws sso login`), or see AWS_PROFILE")
        });
    }
    if causes.iter().any(|cause| cause.to_string().contains("Missing Region")) {
        return Some("no region is set: set AWS_REGION, or AWS_PROFILE to a profile that has one".to_owned());
    }
    let never_connected = ["refused", "unreachable", "dns", "lookup address", "No route"];
    never_connected.iter().any(|sign| last.contains(sign)).then(|| {
        format!("AWS cannot be reached ({last}): see the network, a proxy, and AWS_ENDPOINT_URL where one is set")
    })
}

/// What is kept of why a request was not sent.
const CAUSE_CHARS: usize = 200;

/// What is kept of a denial: AWS names who, what and on which resource, each by its ARN.
const DENIAL_CHARS: usize = 600;

/// What is kept of a service's reason for something that failed.
pub(crate) const REASON_CHARS: usize = 500;

/// What an error code and an HTTP status mean. Codes first: throttling comes as 400, 429 and 503.
pub(crate) fn kind_of_answer(code: Option<&str>, status: Option<u16>) -> FaultKind {
    match code.unwrap_or_default() {
        "BandwidthLimitExceeded"
        | "PriorRequestNotComplete"
        | "ProvisionedThroughputExceeded"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "SlowDown"
        | "ThrottledException"
        | "Throttling"
        | "ThrottlingError"
        | "ThrottlingException"
        | "TooManyRequestsException" => return FaultKind::Throttled,
        "AccessDenied"
        | "AccessDeniedException"
        | "AuthorizationError"
        | "AuthorizationErrorException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "NotAuthorized"
        | "OptInRequired"
        | "SignatureDoesNotMatch"
        | "UnauthorizedOperation"
        | "UnrecognizedClientException" => return FaultKind::Denied,
        // An earlier attempt of the same transaction is still at work.
        "TransactionInProgressException" => return FaultKind::TimedOut,
        _ => {}
    }
    match status {
        Some(429) => FaultKind::Throttled,
        Some(401 | 403) => FaultKind::Denied,
        Some(400..=499) => FaultKind::Rejected,
        _ => FaultKind::Failed,
    }
}

/// Whether the service itself refused, and as what.
pub(crate) fn refused_as<E>(error: &SdkError<E>, is: impl Fn(&E) -> bool) -> bool {
    error.as_service_error().is_some_and(is)
}

/// The same fault for each of several questions that were asked in one call.
pub(crate) fn copies(fault: Fault, count: usize) -> Vec<Fault> {
    let Fault { operation, kind, detail, source } = fault;
    let source: Option<Arc<dyn Error + Send + Sync>> = source.map(Arc::from);
    let copy = || Fault {
        operation,
        kind,
        detail: detail.clone(),
        source: source.clone().map(|source| Box::new(source) as Box<dyn Error + Send + Sync>),
    };
    std::iter::repeat_with(copy).take(count).collect()
}

/// The SDK wraps what went wrong several times over; what people can act on is at the bottom.
pub(crate) fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use aws_config::retry::RetryConfig;
    use aws_config::{BehaviorVersion, Region, SdkConfig};
    use aws_credential_types::provider::SharedCredentialsProvider;
    use aws_credential_types::{Credentials, credential_fn::provide_credentials_fn};
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };
    use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use coalmine_core::ports::{LookError, TrafficRouter};

    use super::*;
    use crate::testing::{Reply, scripted, target};
    use crate::{Aws, AwsConfig};

    #[test]
    fn codes_go_before_statuses() {
        for (code, status, kind) in [
            (Some("ThrottlingException"), Some(400), FaultKind::Throttled),
            (Some("TooManyRequestsException"), Some(429), FaultKind::Throttled),
            (Some("ProvisionedThroughputExceededException"), Some(400), FaultKind::Throttled),
            (Some("SlowDown"), Some(503), FaultKind::Throttled),
            (Some("AccessDeniedException"), Some(400), FaultKind::Denied),
            (Some("ExpiredTokenException"), Some(400), FaultKind::Denied),
            (Some("TransactionInProgressException"), Some(400), FaultKind::TimedOut),
            (Some("ResourceConflictException"), Some(409), FaultKind::Rejected),
            (Some("ValidationException"), Some(400), FaultKind::Rejected),
            (Some("ServiceException"), Some(500), FaultKind::Failed),
            // Load balancers and ECS.
            (Some("Throttling"), Some(400), FaultKind::Throttled),
            (Some("AccessDenied"), Some(403), FaultKind::Denied),
            (Some("OperationNotPermitted"), Some(400), FaultKind::Rejected),
            (Some("TargetGroupNotFound"), Some(400), FaultKind::Rejected),
            (Some("InvalidLoadBalancerAction"), Some(400), FaultKind::Rejected),
            (Some("HealthUnavailable"), Some(500), FaultKind::Failed),
            (Some("ServiceUnavailable"), Some(503), FaultKind::Failed),
            (Some("ServerException"), Some(500), FaultKind::Failed),
            (Some("ClientException"), Some(400), FaultKind::Rejected),
            // CodeDeploy and Parameter Store.
            (Some("DeploymentLimitExceededException"), Some(400), FaultKind::Rejected),
            (Some("DeploymentAlreadyCompletedException"), Some(400), FaultKind::Rejected),
            (Some("ParameterNotFound"), Some(400), FaultKind::Rejected),
            (Some("InvalidKeyId"), Some(400), FaultKind::Rejected),
            (Some("InternalServerError"), Some(500), FaultKind::Failed),
            (Some("InternalFailure"), None, FaultKind::Failed),
            (None, Some(429), FaultKind::Throttled),
            (None, Some(401), FaultKind::Denied),
            (None, Some(403), FaultKind::Denied),
            (None, Some(404), FaultKind::Rejected),
            (None, Some(503), FaultKind::Failed),
            (None, None, FaultKind::Failed),
        ] {
            assert_eq!(kind_of_answer(code, status), kind, "{code:?} {status:?}");
        }
    }

    #[tokio::test]
    async fn what_aws_quotes_of_a_request_is_not_told() {
        for code in ["InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignatureException"] {
            let message = "The Canonical String should have been 'POST / x-amz-security-token:Unmistakable'";
            let body = serde_json::json!({ "__type": code, "message": message, "Message": message });
            let (aws, _) = scripted([Reply::json(403, &body).with("x-amzn-errortype", code)]);
            let LookError::Fault(fault) = aws.look(&target()).await.unwrap_err() else { panic!("{code}") };
            assert!(fault.to_string().contains(&format!("{code}: the signature was refused")), "{fault}");
            assert!(!fault.to_string().contains("Unmistakable"), "{fault}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_way_to_fail_is_told_as_a_sentence_and_tried_as_often_as_it_makes_sense() {
        let throttled = Reply::error(429, "TooManyRequestsException");
        let denied = Reply::error(403, "AccessDeniedException");
        for (reply, attempts, sentence) in [
            (throttled, 3, "GetAlias was throttled: TooManyRequestsException: because"),
            (
                denied,
                1,
                "GetAlias was denied: AccessDeniedException: because (it needs lambda:GetAlias on functions that match the stack's parameter TargetFunctions)",
            ),
            (
                Reply::Silence,
                2,
                "GetAlias timed out: operation timeout (all attempts including retries) occurred after 10s",
            ),
            (Reply::Broken, 3, "GetAlias failed: connection reset"),
            (
                Reply::error(400, "InvalidParameterValueException"),
                1,
                "GetAlias was rejected: InvalidParameterValueException: because",
            ),
            (Reply::error(500, "ServiceException"), 3, "GetAlias failed: ServiceException: because"),
        ] {
            let (aws, script) = scripted(std::iter::repeat_n(reply, 3));
            let error = aws.look(&target()).await.unwrap_err();
            assert_eq!(error.to_string(), sentence);
            assert_eq!(script.asked().len(), attempts, "{sentence}");
            let LookError::Fault(fault) = error else { panic!("{error:?}") };
            assert!(fault.source.is_some());
        }
    }

    /// Whoever has just set up a machine reads this.
    #[tokio::test(start_paused = true)]
    async fn what_never_reached_aws_is_told_with_what_to_do() {
        let none = "no credentials found in chain. Attempted:\n  Environment: not set\n  Profile: none";
        let region = Some("eu-west-1");
        for (credentials, region, network, sentence) in [
            (
                Err(CredentialsError::not_loaded(none)),
                region,
                "",
                "GetAlias failed: no credentials were found: set AWS_PROFILE, or sign in (`aws configure`, `aws sso login`)",
            ),
            (
                Err(CredentialsError::provider_error("the SSO session has expired\nor is invalid")),
                region,
                "",
                "GetAlias failed: credentials could not be had (the SSO session has expired): sign in again (`aws sso login`), \
                 or see AWS_PROFILE",
            ),
            (
                Ok(()),
                None,
                "",
                "GetAlias failed: no region is set: set AWS_REGION, or AWS_PROFILE to a profile that has one",
            ),
            (
                Ok(()),
                region,
                "Connection refused (os error 111)",
                "GetAlias failed: AWS cannot be reached (Connection refused (os error 111)): see the network, a proxy, and \
                 AWS_ENDPOINT_URL where one is set",
            ),
            (Ok(()), region, "connection reset", "GetAlias failed: connection reset"),
        ] {
            let known = || Credentials::new("id", "key", None, None, "tests");
            let credentials = Arc::new(std::sync::Mutex::new(Some(credentials)));
            let provider = provide_credentials_fn(move || {
                let answer = credentials.lock().unwrap().take().unwrap_or(Ok(()));
                async move { answer.map(|()| known()) }
            });
            let sdk = SdkConfig::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(region.map(Region::new))
                .credentials_provider(SharedCredentialsProvider::new(provider))
                .http_client(http_client_fn(move |_, _| SharedHttpConnector::new(Unreachable(network))))
                .retry_config(RetryConfig::disabled())
                .build();
            let error = Aws::on(AwsConfig::default(), sdk).look(&target()).await.unwrap_err();
            assert_eq!(error.to_string(), sentence);
        }
    }

    /// Gets nowhere.
    #[derive(Debug, Clone)]
    struct Unreachable(&'static str);

    impl HttpConnector for Unreachable {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            HttpConnectorFuture::ready(Err(ConnectorError::io(self.0.into())))
        }
    }

    #[tokio::test]
    async fn credentials_that_aws_does_not_take_are_no_missing_permission() {
        for (code, says) in [
            ("ExpiredTokenException", "ExpiredTokenException: the session has expired: sign in again"),
            ("UnrecognizedClientException", "UnrecognizedClientException: AWS does not know these credentials"),
        ] {
            let (aws, _) = scripted([Reply::error(403, code)]);
            let LookError::Fault(fault) = aws.look(&target()).await.unwrap_err() else { panic!("{code}") };
            assert!(fault.detail.starts_with(says), "{fault}");
            assert!(fault.kind == FaultKind::Denied && !fault.detail.contains("lambda:GetAlias"), "{fault}");
        }
    }

    /// As AWS words it: who, what, on what. What is missing is the stack's own name for the limit.
    #[test]
    fn a_denial_says_which_parameter_of_the_stack_limits_it() {
        let aws = "AccessDenied: User: arn:aws:sts::111122223333:assumed-role/coalmine/tick is not authorized to perform: \
                   lambda:UpdateAlias on resource: arn:aws:lambda:eu-west-1:999988887777:function:pay";
        for (call, said, hint) in [
            (
                Call::new("UpdateAlias", "lambda:UpdateAlias"),
                aws,
                "it is granted on functions that match the stack's parameter TargetFunctions",
            ),
            (
                Call::new("UpdateAlias", "lambda:UpdateAlias"),
                "no",
                "it needs lambda:UpdateAlias on functions that match the stack's parameter TargetFunctions",
            ),
            (
                Call::new("ModifyRule", "elasticloadbalancing:ModifyRule"),
                "no",
                "it needs elasticloadbalancing:ModifyRule on load balancers that match the stack's parameter TargetLoadBalancers",
            ),
            (
                Call::new("StopDeployment", "codedeploy:StopDeployment"),
                "no",
                "it needs codedeploy:StopDeployment in applications that match the stack's parameter TargetApplications",
            ),
            (
                Call::new("StopServiceDeployment", "ecs:StopServiceDeployment"),
                "no",
                "it needs ecs:StopServiceDeployment on services that match the stack's parameter TargetServices",
            ),
            (
                Call::new("GetParameter", "ssm:GetParameter"),
                "no",
                "it needs ssm:GetParameter on parameters below /coalmine/",
            ),
            (
                Call::new("PutObject", "s3:PutObject"),
                "no",
                "it needs s3:PutObject below the stack's parameters ReportsBucket and ReportsPrefix",
            ),
            (Call::new("PutItem", "dynamodb:PutItem"), "no", "it needs dynamodb:PutItem"),
        ] {
            assert_eq!(call.refusal(FaultKind::Denied, said).detail, format!("{said} ({hint})"));
        }
        let endless = Call::new("GetAlias", "lambda:GetAlias").refusal(FaultKind::Denied, "\u{1b}[2J".repeat(10_000));
        assert!(endless.detail.ends_with("TargetFunctions)") && endless.detail.len() < 800, "{}", endless.detail);
        assert!(!endless.detail.contains('\u{1b}'));
    }

    #[test]
    fn copies_tell_the_same_and_share_the_source() {
        let source = std::io::Error::other("deep");
        let fault = Fault { source: Some(Box::new(source)), ..Fault::new("Op", FaultKind::Failed, "why") };
        let copies = copies(fault, 2);
        assert_eq!(copies.len(), 2);
        for copy in copies {
            assert_eq!(copy.to_string(), "Op failed: why");
            assert_eq!(copy.source.unwrap().to_string(), "deep");
        }
    }
}
