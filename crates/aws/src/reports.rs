//! Reports in a bucket: where each of them is, which is known before there is one, and the one request that puts it there.

use std::time::{Duration, SystemTime};

use aws_sdk_lambda::config::ProvideCredentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::base64;
use aws_smithy_types::body::SdkBody;
use aws_smithy_xml::decode::{Document, try_data};
use aws_types::service_config::ServiceConfigKey;
use coalmine_core::ports::{Fault, FaultKind};

use crate::Aws;
use crate::errors::{Call, innermost, kind_of_answer, quotes_the_request};
use crate::http_test::beginning;

const PUT_OBJECT: Call = Call::new("PutObject", "s3:PutObject");

/// A page has some hundred kilobytes; Lambda calls the function again when this was too short.
const LONGEST: Duration = Duration::from_secs(10);

const CONTENT_TYPE: &str = "text/html; charset=utf-8";

type Wrong = Box<dyn std::error::Error + Send + Sync>;

/// Where reports are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportsConfig {
    /// In the region of everything else.
    pub bucket: String,
    /// Without a slash at either end.
    pub prefix: String,
    /// What addresses begin with, in place of the bucket's own and the prefix: what stands before a bucket that nobody may
    /// read from.
    pub url: Option<String>,
}

impl Aws {
    /// The address of a rollout's report, whether it is there yet or not; `None` where there are none.
    #[must_use]
    pub fn report_link(&self, rollout: &str) -> Option<String> {
        let reports = self.config.reports.as_ref()?;
        let base = match &reports.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("{}/{}", self.bucket(reports).ok()?, reports.prefix),
        };
        Some(format!("{base}/{}", in_address(&file(rollout))))
    }

    /// Puts a rollout's report where its link says, in place of an older one, and returns the link. Asked once: whoever calls
    /// calls again.
    ///
    /// # Errors
    /// When it cannot be put there, or it is not known whether it is.
    pub async fn put_report(&self, rollout: &str, page: String) -> Result<String, Fault> {
        let rejected = |detail: String| PUT_OBJECT.refusal(FaultKind::Rejected, detail);
        let reports =
            self.config.reports.as_ref().ok_or_else(|| rejected("there is no bucket for reports".to_owned()))?;
        let bucket = self.bucket(reports).map_err(|wrong| rejected(wrong.to_owned()))?;
        let link = self.report_link(rollout).ok_or_else(|| rejected("there is no link".to_owned()))?;
        let url = format!("{bucket}/{}/{}", reports.prefix, in_address(&file(rollout)));
        let putting = async {
            let request = self.signed(&url, page).await.map_err(|wrong| rejected(innermost(wrong.as_ref())))?;
            self.calls.count(PUT_OBJECT.operation);
            let answer = self.http().call(request).await.map_err(|error| {
                let kind = if error.is_timeout() { FaultKind::TimedOut } else { FaultKind::Failed };
                PUT_OBJECT.refusal(kind, innermost(&error))
            })?;
            if answer.status().is_success() { Ok(()) } else { Err(refused(answer).await) }
        };
        let late = |_| PUT_OBJECT.refusal(FaultKind::TimedOut, format!("no answer within {} s", LONGEST.as_secs()));
        tokio::time::timeout(LONGEST, putting).await.map_err(late)??;
        Ok(link)
    }

    /// The bucket's own address. A name with dots has no certificate of its own, and an emulator has no names at all.
    fn bucket(&self, reports: &ReportsConfig) -> Result<String, &'static str> {
        let bucket = &reports.bucket;
        if let Some(endpoint) = self.endpoint_of_s3() {
            return Ok(format!("{}/{bucket}", endpoint.trim_end_matches('/')));
        }
        let region = self.sdk.region().ok_or(NO_REGION)?.as_ref();
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        Ok(match bucket.contains('.') {
            true => format!("https://s3.{region}.{suffix}/{bucket}"),
            false => format!("https://{bucket}.s3.{region}.{suffix}"),
        })
    }

    /// As for every other service: `AWS_ENDPOINT_URL_S3` before `AWS_ENDPOINT_URL`, and the configuration files.
    fn endpoint_of_s3(&self) -> Option<String> {
        let key = ServiceConfigKey::builder().service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
        let own = key.ok().and_then(|key| self.sdk.service_config()?.load_config(key));
        own.or_else(|| self.sdk.endpoint_url().map(str::to_owned))
    }

    async fn signed(&self, url: &str, page: String) -> Result<HttpRequest, Wrong> {
        let provider = self.sdk.credentials_provider().ok_or("there are no credentials")?;
        let identity = provider.provide_credentials().await?.into();
        let region = self.sdk.region().ok_or(NO_REGION)?.as_ref();
        let checksum = base64::encode(crc32fast::hash(page.as_bytes()).to_be_bytes());
        let headers = [("content-type", CONTENT_TYPE), ("x-amz-checksum-crc32", &checksum)];
        let signer = Signer { identity: &identity, region, at: SystemTime::now() };
        let mut request = signer.put(url, &headers, page)?;
        request.headers_mut().try_insert("user-agent", "coalmine")?;
        Ok(request)
    }
}

const NO_REGION: &str = "the region is not known";

/// Who signs, and when.
struct Signer<'a> {
    identity: &'a Identity,
    region: &'a str,
    at: SystemTime,
}

impl Signer<'_> {
    /// A PUT in which everything that is sent is signed.
    fn put(&self, url: &str, headers: &[(&'static str, &str)], body: String) -> Result<HttpRequest, Wrong> {
        let mut settings = SigningSettings::default();
        // As S3 wants it: a path as it is sent, and the digest of the body beside it.
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let params = v4::SigningParams::builder().identity(self.identity).region(self.region).name("s3").time(self.at);
        let params = params.settings(settings).build()?.into();
        let whole = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new("PUT", url, headers.iter().copied(), whole)?;
        let (added, _) = sign(signable, &params)?.into_parts().0.into_parts();
        let length = body.len();
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method("PUT")?;
        request.set_uri(url)?;
        let all = request.headers_mut();
        for (name, value) in headers {
            all.try_insert(*name, (*value).to_owned())?;
        }
        for header in added {
            all.try_insert(header.name(), header.value().to_owned())?;
        }
        all.try_insert("content-length", length.to_string())?;
        Ok(request)
    }
}

/// What S3 says of a request that it does not take. It may repeat what was signed: of all that it says its code and its sentence
/// are told.
async fn refused(answer: HttpResponse) -> Fault {
    let status = answer.status().as_u16();
    let place = answer.headers().get("x-amz-bucket-region").map(str::to_owned);
    let (code, message) = reason(&beginning(answer).await);
    let moved = (300..400).contains(&status);
    // The bucket is somewhere else.
    let kind = if moved { FaultKind::Rejected } else { kind_of_answer(code.as_deref(), Some(status)) };
    let said = match (code, message) {
        (Some(code), _) if quotes_the_request(&code) => format!("{code}: the signature was refused"),
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code,
        (None, _) => format!("answered {status}"),
    };
    let elsewhere = place.filter(|_| moved || status == 400);
    let said = elsewhere.map_or(said.clone(), |region| format!("{said} (the bucket is in {region})"));
    // Whoever encrypts with a key of their own has to let the function use it, too: that is not S3's permission.
    if said.contains("kms:") { Fault::new(PUT_OBJECT.operation, kind, said) } else { PUT_OBJECT.refusal(kind, said) }
}

/// Code and sentence of an error in S3's words.
fn reason(body: &str) -> (Option<String>, Option<String>) {
    let (mut code, mut message) = (None, None);
    let mut document = Document::new(body);
    let Ok(mut root) = document.root_element() else { return (None, None) };
    while let Some(mut tag) = root.next_tag() {
        let said = match tag.start_el().local() {
            "Code" => &mut code,
            "Message" => &mut message,
            _ => continue,
        };
        *said = try_data(&mut tag).ok().filter(|text| !text.is_empty()).map(std::borrow::Cow::into_owned);
    }
    (code, message)
}

/// A file's name, whatever the rollout is called: in it there is nothing that leads elsewhere.
fn file(rollout: &str) -> String {
    format!("{}.html", in_address(rollout))
}

/// As a part of an address.
fn in_address(text: &str) -> String {
    let part = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(part).collect()
}

#[cfg(test)]
mod tests;
