//! The one place that says what kind of failure an answer of AWS is.

use std::error::Error;
use std::sync::Arc;

use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use coalmine_core::ports::{Fault, FaultKind};

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
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            (None, _) => innermost(&error),
        };
        Fault { source: Some(Box::new(error)), ..self.refusal(kind, detail) }
    }

    /// A failure that an answer tells in its body.
    pub(crate) fn refusal(self, kind: FaultKind, detail: impl Into<String>) -> Fault {
        let detail = detail.into();
        let unnamed = kind == FaultKind::Denied && !detail.contains(self.action);
        let detail = if unnamed { format!("{detail} (it needs {})", self.action) } else { detail };
        Fault::new(self.operation, kind, detail)
    }
}

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
fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
