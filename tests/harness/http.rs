//! As much HTTP as the emulators need. No SDK: what the tests see must not depend on what they test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

pub const JSON: &str = "application/x-amz-json-1.0";
/// No call takes longer, the invocation of a function with its 50 seconds included.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    /// Part of the credential's scope, by which the emulators tell their services apart.
    pub service: &'a str,
    pub content_type: &'a str,
    /// `X-Amz-Target` of the JSON protocols.
    pub target: Option<&'a str>,
    pub body: &'a str,
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub function_error: bool,
    pub content_type: String,
    pub body: Value,
}

pub fn send(port: u16, request: &Request<'_>) -> Response {
    let Request { method, path, service, content_type, target, body } = request;
    let target = target.map_or(String::new(), |target| format!("X-Amz-Target: {target}\r\n"));
    let credential = format!("test/20260101/us-east-1/{service}/aws4_request");
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {content_type}\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=none\r\n\
         {target}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the emulator listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).expect("the emulator reads");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the emulator answers in time");
    parse(&String::from_utf8(bytes).expect("JSON and XML are UTF-8"))
}

fn parse(text: &str) -> Response {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let content_type = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let content_type = content_type.map_or("", |(_, value)| value).to_owned();
    let function_error = head.to_ascii_lowercase().contains("\r\nx-amz-function-error:");
    let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap_or_else(|_| body.into()) };
    Response { status: status.unwrap_or_else(|| panic!("not HTTP: {text}")), function_error, content_type, body }
}

/// The status of an answer to a plain request, from a server of ours.
pub fn get(port: u16, path: &str) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let head = format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("not HTTP: {answer}"))
}
