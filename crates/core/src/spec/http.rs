//! Tests over HTTP: what a request may be.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::HttpTest;
use super::decode::{At, Leaf, value};
use super::leaves::{text_leaf, text_schema};
use super::problems::{Problems, quoted};
use super::raw::RawHttp;

/// Longer URLs are not safe everywhere.
const URL_CHARS_MAX: usize = 2048;
/// Of a header's value.
const VALUE_CHARS_MAX: usize = 1024;
const STATUS_DEFAULT: u16 = 200;

/// What the connection says by itself.
const OF_THE_CONNECTION: [&str; 5] = ["connection", "content-length", "te", "transfer-encoding", "upgrade"];

text_leaf!(
    /// An `http` or `https` URL.
    HttpUrl(String)
);
text_leaf!(
    /// What a header says.
    HeaderValue(String)
);
text_leaf!(
    /// An HTTP status.
    Status(u16)
);

impl Leaf for HttpUrl {
    const WHAT: &'static str = "a URL such as `https://test.example.com/health`";

    fn read(text: &str) -> Result<Self, String> {
        if text.len() > URL_CHARS_MAX {
            return Err(format!("has {} characters; at most {URL_CHARS_MAX} are allowed", text.chars().count()));
        }
        let wrong = || format!("{} is not {}", quoted(text), Self::WHAT);
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or_else(wrong)?;
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err("has a name or password before the `@`, which would be stored; leave it out".to_owned());
        }
        let allowed = |b: u8| b.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&b);
        match is_authority(authority) && rest.bytes().all(allowed) {
            true => Ok(Self(text.to_owned())),
            false => Err(wrong()),
        }
    }
}

/// A host's name or address, and a port where there is one.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) if address.parse::<std::net::Ipv6Addr>().is_ok() => (address, rest),
        Some(_) => return false,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let host_byte = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    let port_number = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|n| n > 0);
    let port = port.is_empty() || port.strip_prefix(':').is_some_and(port_number);
    !host.is_empty() && host.bytes().all(host_byte) && port
}

impl Leaf for HeaderValue {
    const WHAT: &'static str = "a text";

    fn read(text: &str) -> Result<Self, String> {
        if text.len() > VALUE_CHARS_MAX {
            return Err(format!("has {} characters; at most {VALUE_CHARS_MAX} are allowed", text.chars().count()));
        }
        match text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) && text.trim() == text {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("{} cannot be sent; use printable ASCII without spaces around it", quoted(text))),
        }
    }
}

impl Leaf for Status {
    const TAKES_NUMBERS: bool = true;
    const WHAT: &'static str = "an HTTP status such as 200";

    fn read(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(status @ 100..=599) => Ok(Self(status)),
            Ok(_) | Err(_) => Err(format!("{} is not an HTTP status from 100 to 599", quoted(text))),
        }
    }
}

text_schema! {
    HttpUrl: {"type": "string", "pattern": "^https?://[^@]+$", "maxLength": URL_CHARS_MAX};
    HeaderValue: {"type": "string", "maxLength": VALUE_CHARS_MAX};
    Status: {"type": "integer", "minimum": 100, "maximum": 599};
}

pub fn lower(raw: RawHttp, problems: &mut Problems) -> HttpTest {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, At { place, value }) in value(raw.headers).map(|headers| headers.0).unwrap_or_default() {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            problems.add(&place, format!("{} is not a header's name", quoted(&name)));
        } else if headers.keys().any(|other| other.eq_ignore_ascii_case(&name)) {
            problems.add(&place, format!("the header {} is given twice; letter case does not matter", quoted(&name)));
        } else if OF_THE_CONNECTION.iter().any(|other| other.eq_ignore_ascii_case(&name)) {
            problems.add(&place, "is what the connection says by itself; leave it out");
        }
        headers.insert(name, value.map(|value| value.0).unwrap_or_default());
    }
    HttpTest {
        url: value(raw.url).map(|url| url.0).unwrap_or_default(),
        headers,
        expect: value(raw.expect).map_or(STATUS_DEFAULT, |status| status.0),
        times: value(raw.times).map_or(1, |times| times.0),
    }
}
