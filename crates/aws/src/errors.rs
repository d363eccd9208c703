//! The one place that says what kind of failure an answer of AWS is.

use std::error::Error;
use std::sync::Arc;

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
        let detail = match (error.code(), error.message()) {
            (Some(code), Some(_)) if quotes_the_request(code) => format!("{code}: the signature was refused"),
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            (None, _) => innermost(&error),
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
    use coalmine_core::ports::{LookError, TrafficRouter};

    use super::*;
    use crate::testing::{Reply, scripted, target};

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
