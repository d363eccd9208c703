//! Answers to CloudFormation: a PUT to the place that it named, with the client that carries the SDK's own calls.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::http::HttpError;
use aws_smithy_types::body::SdkBody;
use coalmine_core::ports::{Fault, FaultKind};

use crate::Aws;
use crate::errors::innermost;

/// The call as failures name it. Its permission is in the place's own signature.
const PUT: &str = "PUT";

/// As long as an attempt of the SDK's own calls; the next tick tries again.
const LONGEST: Duration = Duration::from_secs(5);

impl Aws {
    /// Whoever knows `url` may answer in our place: failures name its host alone.
    pub(crate) async fn put_answer(&self, url: &str, body: String) -> Result<(), Fault> {
        let host = host(url);
        let fault = |kind: FaultKind, detail: String| Fault::new(PUT, kind, format!("{host}: {detail}"));
        let request =
            request(url, body).map_err(|_| fault(FaultKind::Rejected, "is no place to answer to".to_owned()))?;
        let sending = async {
            let answer = self.http().call(request).await.map_err(|error| {
                let kind = if error.is_timeout() { FaultKind::TimedOut } else { FaultKind::Failed };
                fault(kind, innermost(&error))
            })?;
            match answer.status().as_u16() {
                200..=299 => Ok(()),
                status @ (403 | 404 | 409) => Err(fault(FaultKind::Denied, format!("answered {status}"))),
                status => Err(fault(FaultKind::Failed, format!("answered {status}"))),
            }
        };
        let late = || fault(FaultKind::TimedOut, format!("no answer within {} s", LONGEST.as_secs()));
        tokio::time::timeout(LONGEST, sending).await.unwrap_or_else(|_| Err(late()))
    }
}

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

/// The place is signed for a request without a content type.
fn request(url: &str, body: String) -> Result<HttpRequest, HttpError> {
    let length = body.len();
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method("PUT")?;
    request.set_uri(url)?;
    let headers = request.headers_mut();
    headers.try_insert("user-agent", "coalmine")?;
    headers.try_insert("content-type", "")?;
    headers.try_insert("content-length", length.to_string())?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_place_is_its_host() {
        for url in
            ["https://bucket.s3.amazonaws.com/key?X-Amz-Signature=secret", "https://bucket.s3.amazonaws.com?a=secret"]
        {
            assert_eq!(host(url), "bucket.s3.amazonaws.com");
        }
    }

    #[test]
    fn it_is_put_without_a_content_type() {
        let request = request("https://bucket.s3.amazonaws.com/key?X-Amz-Signature=s", "{}".to_owned()).unwrap();
        assert_eq!((request.method(), request.uri()), ("PUT", "https://bucket.s3.amazonaws.com/key?X-Amz-Signature=s"));
        assert_eq!(request.headers().get("content-type"), Some(""));
        assert_eq!(request.headers().get("content-length"), Some("2"));
    }
}
