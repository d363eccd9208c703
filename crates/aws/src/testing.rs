//! A scripted AWS for tests: answers in order, and everything that was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_lambda::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use coalmine_core::rollout::Rollout;
use coalmine_core::spec::{LambdaTarget, Owner, Target, Version};

mod cbor;

use crate::{ATTEMPT_TIMEOUT, Aws, AwsConfig, MAX_ATTEMPTS, OPERATION_TIMEOUT, timeouts};

/// What the scripted AWS does with one request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Http {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// Comes after a while.
    Late(Duration, Box<Reply>),
    /// Nothing ever comes back.
    Silence,
    /// The connection breaks.
    Broken,
}

impl Reply {
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::Http { status, headers: Vec::new(), body: body.to_string().into_bytes() }
    }

    /// An answer of CloudWatch.
    pub fn cbor(status: u16, body: &serde_json::Value) -> Self {
        let reply = Self::Http { status, headers: Vec::new(), body: cbor::encode(body) };
        reply.with("smithy-protocol", "rpc-v2-cbor").with("content-type", "application/cbor")
    }

    /// An error answer of a JSON protocol.
    pub fn error(status: u16, code: &str) -> Self {
        let body = serde_json::json!({ "__type": code, "message": "because", "Message": "because" });
        Self::json(status, &body).with("x-amzn-errortype", code)
    }

    /// An answer of a query protocol, with what is inside of its result.
    pub fn xml(operation: &str, result: &str) -> Self {
        let body = format!(
            "<{operation}Response xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\">\
             <{operation}Result>{result}</{operation}Result></{operation}Response>"
        );
        Self::Http { status: 200, headers: Vec::new(), body: body.into_bytes() }
    }

    /// An error answer of a query protocol.
    pub fn xml_error(status: u16, code: &str) -> Self {
        let body = format!(
            "<ErrorResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\"><Error>\
             <Type>Sender</Type><Code>{code}</Code><Message>because</Message></Error></ErrorResponse>"
        );
        Self::Http { status, headers: Vec::new(), body: body.into_bytes() }
    }

    pub fn with(self, name: &'static str, value: &str) -> Self {
        match self {
            Self::Http { status, mut headers, body } => {
                headers.push((name, value.to_owned()));
                Self::Http { status, headers, body }
            }
            other @ (Self::Late(..) | Self::Silence | Self::Broken) => other,
        }
    }
}

/// A request as it went out.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub method: String,
    pub uri: String,
    pub operation: String,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn cbor(&self) -> serde_json::Value {
        cbor::decode(&self.body)
    }

    /// The parameters of a query protocol, without the operation.
    pub fn form(&self) -> Vec<(String, String)> {
        let body = str::from_utf8(&self.body).unwrap();
        let pairs = body.split('&').map(|pair| pair.split_once('=').unwrap());
        let pairs = pairs.map(|(name, value)| (unescaped(name), unescaped(value)));
        pairs.filter(|(name, _)| name != "Action" && name != "Version").collect()
    }

    /// `PUT /2015-03-31/functions/...`
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.uri.split_once("amazonaws.com").unwrap().1)
    }
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let code: Vec<u8> = rest.by_ref().take(2).collect();
            bytes.push(u8::from_str_radix(str::from_utf8(&code).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    /// What comes when nothing is left; a test that asks for more than it has answers for is wrong.
    otherwise: Option<Reply>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Script {
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn unused(&self) -> usize {
        self.replies.lock().unwrap().len()
    }
}

impl HttpConnector for Script {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = request.body().bytes().unwrap_or_default().to_vec();
        let queried = || {
            let body = str::from_utf8(&body).ok()?;
            body.split('&').find_map(|pair| pair.strip_prefix("Action="))
        };
        let operation = request.headers().get("x-amz-target").or_else(queried).unwrap_or_default().to_owned();
        self.asked.lock().unwrap().push(Asked {
            method: request.method().to_owned(),
            uri: request.uri().to_owned(),
            operation: operation.rsplit('.').next().unwrap_or_default().to_owned(),
            body,
        });
        let reply = self.replies.lock().unwrap().pop_front().or_else(|| self.otherwise.clone());
        HttpConnectorFuture::new(async move {
            let mut reply = reply.expect("more was asked than the script answers");
            while let Reply::Late(wait, later) = reply {
                tokio::time::sleep(wait).await;
                reply = *later;
            }
            match reply {
                Reply::Http { status, headers, body } => {
                    let mut response = HttpResponse::new(status.try_into().unwrap(), body.into());
                    for (name, value) in headers {
                        response.headers_mut().insert(name, value);
                    }
                    Ok(response)
                }
                Reply::Late(..) | Reply::Silence => std::future::pending().await,
                Reply::Broken => Err(ConnectorError::io("connection reset".into())),
            }
        })
    }
}

/// All ports on a scripted AWS, with the timeouts and retries of the real one.
pub(crate) fn scripted(replies: impl IntoIterator<Item = Reply>) -> (Aws, Script) {
    let config = AwsConfig { table: Some("coalmine".to_owned()), ..AwsConfig::default() };
    scripted_with(config, replies)
}

pub(crate) fn scripted_with(config: AwsConfig, replies: impl IntoIterator<Item = Reply>) -> (Aws, Script) {
    on(config, replies, Script::default())
}

/// Whatever is asked beyond the replies breaks off.
pub(crate) fn scripted_and_broken(replies: impl IntoIterator<Item = Reply>) -> Aws {
    let config = AwsConfig { table: Some("coalmine".to_owned()), ..AwsConfig::default() };
    on(config, replies, Script { otherwise: Some(Reply::Broken), ..Script::default() }).0
}

fn on(config: AwsConfig, replies: impl IntoIterator<Item = Reply>, script: Script) -> (Aws, Script) {
    script.replies.lock().unwrap().extend(replies);
    let connector = SharedHttpConnector::new(script.clone());
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("id", "key", None, None, "tests")))
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .timeout_config(timeouts(ATTEMPT_TIMEOUT, OPERATION_TIMEOUT))
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
        .build();
    (Aws::on(config, sdk), script)
}

pub(crate) fn target() -> Target {
    let (function, alias) = ("checkout".to_owned(), "live".to_owned());
    Target::Lambda(LambdaTarget { function, alias, owner: Owner::Coalmine })
}

pub(crate) fn version(number: u32) -> Version {
    Version(number.to_string())
}

/// The golden rollout: in mid-bake, holding its target, naming two alarms.
pub(crate) fn rollout() -> Rollout {
    serde_json::from_str(include_str!("dynamodb/golden/rollout-v1.json")).unwrap()
}
