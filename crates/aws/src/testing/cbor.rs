//! CBOR to JSON and back, as far as CloudWatch's protocol needs it. A moment is `{"$time": seconds}` in JSON.

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_smithy_cbor::data::Type;
use aws_smithy_cbor::{Decoder, Encoder};
use serde_json::{Map, Value, json};

pub(crate) fn encode(value: &Value) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    write(&mut encoder, value);
    encoder.into_writer()
}

pub(crate) fn decode(bytes: &[u8]) -> Value {
    read(&mut Decoder::new(bytes))
}

fn write(encoder: &mut Encoder, value: &Value) {
    match value {
        Value::Null => drop(encoder.null()),
        Value::Bool(value) => drop(encoder.boolean(*value)),
        Value::Number(number) => drop(encoder.double(number.as_f64().unwrap())),
        Value::String(text) => drop(encoder.str(text)),
        Value::Array(values) => {
            encoder.array(values.len());
            values.iter().for_each(|value| write(encoder, value));
        }
        Value::Object(fields) => match fields.get("$time").and_then(Value::as_i64) {
            Some(seconds) => drop(encoder.timestamp(&DateTime::from_secs(seconds))),
            None => {
                encoder.map(fields.len());
                for (name, value) in fields {
                    encoder.str(name);
                    write(encoder, value);
                }
            }
        },
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "what is left are numbers of many widths")]
fn read(decoder: &mut Decoder<'_>) -> Value {
    match decoder.datatype().unwrap() {
        Type::Bool => json!(decoder.boolean().unwrap()),
        Type::F32 => json!(decoder.float().unwrap()),
        Type::F64 => json!(decoder.double().unwrap()),
        Type::String | Type::StringIndef => json!(decoder.string().unwrap()),
        Type::Tag => json!({ "$time": decoder.timestamp().unwrap().secs() }),
        Type::Array | Type::ArrayIndef => {
            let length = decoder.list().unwrap();
            let mut values = Vec::new();
            while more(decoder, length, values.len()) {
                values.push(read(decoder));
            }
            Value::Array(values)
        }
        Type::Map | Type::MapIndef => {
            let length = decoder.map().unwrap();
            let mut fields = Map::new();
            while more(decoder, length, fields.len()) {
                let name = decoder.string().unwrap();
                fields.insert(name, read(decoder));
            }
            Value::Object(fields)
        }
        _ => json!(decoder.long().unwrap()),
    }
}

fn more(decoder: &mut Decoder<'_>, length: Option<u64>, read: usize) -> bool {
    if let Some(length) = length {
        return (read as u64) < length;
    }
    let ended = decoder.datatype().unwrap() == Type::Break;
    if ended {
        decoder.skip().unwrap();
    }
    !ended
}
