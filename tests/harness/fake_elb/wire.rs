//! The query protocol: forms in, XML out.

use serde_json::{Map, Value, json};

use super::Refusal;
use crate::harness::serve::Answer;

const NAMESPACE: &str = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/";

/// `a.member.2.b=x` as `{"a": [null, {"b": "x"}]}`; every value is a text.
pub fn parse(form: &str) -> Value {
    let mut root = Value::Object(Map::new());
    for (name, value) in form.split('&').filter_map(|pair| pair.split_once('=')) {
        let mut place = &mut root;
        let mut parts = name.split('.');
        while let Some(part) = parts.next() {
            if part == "member" {
                let number: usize = parts.next().and_then(|number| number.parse().ok()).expect("members are numbered");
                assert!((1..=1000).contains(&number), "member {number} of {name}");
                if !place.is_array() {
                    *place = json!([]);
                }
                let items = place.as_array_mut().expect("made above");
                items.resize(items.len().max(number), Value::Null);
                place = &mut items[number - 1];
            } else {
                if !place.is_object() {
                    *place = json!({});
                }
                place = place.as_object_mut().expect("made above").entry(part).or_insert(Value::Null);
            }
        }
        *place = Value::String(decoded(value));
    }
    root
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).expect("hex") as u8;
                digit(rest.next()) * 16 + digit(rest.next())
            }
            other => other,
        });
    }
    String::from_utf8(bytes).expect("forms are UTF-8")
}

pub fn succeeded(action: &str, result: &Value, json: bool) -> Answer {
    let (response, inner) = (format!("{action}Response"), format!("{action}Result"));
    if json {
        let body = json!({ response: { inner: result } }).to_string();
        return Answer::Of { status: 200, content_type: "application/json", body };
    }
    let mut body = format!("<{response} xmlns=\"{NAMESPACE}\">");
    write(&mut body, &inner, result);
    body.push_str(&format!("<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{response}>"));
    Answer::Of { status: 200, content_type: "text/xml", body }
}

pub fn refused(status: u16, Refusal(code, message): &Refusal, json: bool) -> Answer {
    let kind = if status < 500 { "Sender" } else { "Receiver" };
    let error = json!({ "Type": kind, "Code": code, "Message": message });
    if json {
        let body = json!({ "Error": error }).to_string();
        return Answer::Of { status, content_type: "application/json", body };
    }
    let mut body = format!("<ErrorResponse xmlns=\"{NAMESPACE}\">");
    write(&mut body, "Error", &error);
    body.push_str("<RequestId>1</RequestId></ErrorResponse>");
    Answer::Of { status, content_type: "text/xml", body }
}

fn write(xml: &mut String, name: &str, value: &Value) {
    if value.is_null() {
        return;
    }
    xml.push_str(&format!("<{name}>"));
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| write(xml, name, value)),
        Value::Array(items) => items.iter().for_each(|item| write(xml, "member", item)),
        Value::String(text) => {
            let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            xml.push_str(&escaped);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => xml.push_str(&value.to_string()),
    }
    xml.push_str(&format!("</{name}>"));
}
