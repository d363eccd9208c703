//! Refusals in the protocol in which a service was asked.

use serde_json::json;

use super::Way;
use crate::harness::fake_elb::{Refusal, wire};
use crate::harness::serve::{Answer, Received};

/// A status and a code, as the service itself would say it.
pub fn answer(received: &Received, service: &str, way: Way) -> Answer {
    let (status, code) = match (way, service) {
        (Way::Throttled, "lambda") => (429, "TooManyRequestsException"),
        (Way::Throttled, "scheduler") => (429, "ThrottlingException"),
        (Way::Throttled, "elasticloadbalancing") => (400, "Throttling"),
        (Way::Throttled, _) => (400, "ThrottlingException"),
        (Way::Denied, "elasticloadbalancing") => (403, "AccessDenied"),
        (Way::Denied, "lambda" | "scheduler") => (403, "AccessDeniedException"),
        (Way::Denied, _) => (400, "AccessDeniedException"),
        (Way::Unavailable, _) => (503, "ServiceUnavailable"),
        (_, "lambda") => (500, "ServiceException"),
        (_, "scheduler" | "dynamodb") => (500, "InternalServerError"),
        _ => (500, "InternalFailure"),
    };
    let message = "on purpose";
    let asked_in = received.header("content-type").unwrap_or_default();
    if received.header("smithy-protocol") == Some("rpc-v2-cbor") {
        return whole(status, "application/cbor", "smithy-protocol: rpc-v2-cbor\r\n", &cbor(code, message));
    }
    if received.header("x-amz-target").is_some() {
        let body = json!({ "__type": code, "message": message }).to_string();
        return whole(status, asked_in, "", body.as_bytes());
    }
    if asked_in.starts_with("application/x-www-form-urlencoded") {
        return wire::refused(status, &Refusal(code, message.to_owned()), false);
    }
    let body = json!({ "Message": message }).to_string();
    whole(status, "application/json", &format!("x-amzn-ErrorType: {code}\r\n"), body.as_bytes())
}

fn whole(status: u16, content_type: &str, headers: &str, body: &[u8]) -> Answer {
    let head = format!(
        "HTTP/1.1 {status} .\r\nContent-Type: {content_type}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    Answer::Whole([head.as_bytes(), body].concat())
}

/// A map of two texts.
fn cbor(code: &str, message: &str) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).expect("a short text");
        [&[0x78, length], text.as_bytes()].concat()
    };
    let fields = [text("__type"), text(code), text("message"), text(message)];
    [vec![0xa2], fields.concat()].concat()
}
