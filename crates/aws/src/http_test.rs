//! Tests a version by asking it over HTTP, with the client that carries the SDK's own calls. It follows no redirect.

use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::HttpError;
use aws_smithy_types::byte_stream::ByteStream;
use coalmine_core::observation::TestOutcome;
use coalmine_core::ports::{Fault, FaultKind};
use coalmine_core::spec::HttpTest;

use crate::errors::innermost;
use crate::invoke::{LONGEST_TEST, quoted};
use crate::{Aws, TLS};

/// The call as failures name it.
const GET: &str = "GET";

/// Bytes of an answer that are read, to be quoted: what it says beyond its status decides nothing.
const LARGEST_BODY_BYTES: usize = 4 * 1024;

impl Aws {
    /// Never repeated by itself, as no test is. Whoever does not answer has not passed and not failed.
    pub(crate) async fn request(&self, test: &HttpTest) -> Result<TestOutcome, Fault> {
        let fault = |kind: FaultKind, detail: String| Fault::new(GET, kind, format!("{}: {detail}", test.url));
        let request = request(test).map_err(|error| fault(FaultKind::Rejected, innermost(&error)))?;
        let answer = async {
            let answer = self.http().call(request).await.map_err(|error| {
                let kind = if error.is_timeout() { FaultKind::TimedOut } else { FaultKind::Failed };
                let told = fault(kind, innermost(&error));
                Fault { source: Some(Box::new(error)), ..told }
            })?;
            Ok(outcome(test, answer).await)
        };
        let late = || fault(FaultKind::TimedOut, format!("no answer within {} s", LONGEST_TEST.as_secs()));
        tokio::time::timeout(LONGEST_TEST, answer).await.unwrap_or_else(|_| Err(late()))
    }

    pub(crate) fn http(&self) -> &Connector {
        self.http.get_or_init(|| Connector::builder().tls_provider(TLS).build())
    }
}

fn request(test: &HttpTest) -> Result<HttpRequest, HttpError> {
    let mut request = HttpRequest::get(&test.url)?;
    let headers = request.headers_mut();
    headers.try_insert("user-agent", "coalmine")?;
    for (name, value) in &test.headers {
        headers.try_insert(name.to_ascii_lowercase(), value.clone())?;
    }
    Ok(request)
}

async fn outcome(test: &HttpTest, answer: HttpResponse) -> TestOutcome {
    let (came, expected) = (answer.status().as_u16(), test.expect);
    if came == expected {
        return TestOutcome::Passed;
    }
    let redirect = (300..400).contains(&came).then(|| answer.headers().get("location")).flatten();
    let redirect = redirect.map(|place| format!(" (a redirect to {}, which is not followed)", quoted(place)));
    let body = beginning(answer).await;
    let says = if body.is_empty() { String::new() } else { format!(": {}", quoted(&body)) };
    let redirect = redirect.unwrap_or_default();
    TestOutcome::Failed(format!("{} answered {came}{redirect}, {expected} was expected{says}", test.url))
}

/// What there is of the beginning. An answer that breaks off has its status all the same.
pub(crate) async fn beginning(answer: HttpResponse) -> String {
    let mut body = ByteStream::new(answer.into_body());
    let mut beginning = Vec::new();
    while beginning.len() < LARGEST_BODY_BYTES
        && let Some(Ok(piece)) = body.next().await
    {
        let room = LARGEST_BODY_BYTES - beginning.len();
        beginning.extend(piece.iter().take(room));
    }
    String::from_utf8_lossy(&beginning).trim().to_owned()
}

#[cfg(test)]
mod tests;
