//! Documents that were damaged: most of them still lead deep into a parser, where random bytes would not.

use serde_json::{Value, json};

use crate::sim::rng::Rng;

/// Words that mean something somewhere, and texts of somebody who means harm.
const WORDS: [&str; 40] = [
    "",
    "0",
    "-1",
    "1e308",
    "-1e999",
    "NaN",
    ".inf",
    "0x7fffffff",
    "18446744073709551616",
    "9007199254740993",
    "true",
    "null",
    "~",
    "5%",
    "0%",
    "100%",
    "100.01%",
    "5m",
    "0s",
    "99999d",
    "p99",
    "p100",
    "1.5x",
    "0.5pt",
    "auto",
    "pause",
    "$LATEST",
    "{version}",
    "2026-11-21T14:02:00Z",
    "+999999999-12-31T23:59:60Z",
    "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/a/b",
    "\u{1b}[2J\u{1b}]0;x\u{7}",
    "a\r\nb",
    "\u{202e}evil\u{2066}",
    "<script>alert(1)</script>",
    "\u{0}",
    "\u{9b}31m",
    "\u{2028}",
    "\u{feff}",
    "👩\u{200d}🚀",
];

/// What YAML has beyond JSON, and what JSON has not.
const MARKS: [&str; 20] = [
    "&a ",
    "*a",
    "<<: *a\n",
    "!Ref ",
    "!!binary ",
    "? ",
    "- ",
    "| \n",
    ">-\n",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "# ",
    "\t",
    "{",
    "]",
    "'",
    "\"",
    "\\u0000",
    "\u{85}",
];

/// The document with one to four changes, and at most so many bytes. The same seed makes the same of it.
#[must_use]
pub fn mutated(document: &[u8], seed: u64, bytes_max: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut bytes = document.to_vec();
    for _ in 0..=rng.below(8).saturating_sub(4) {
        let tree = serde_json::from_slice::<Value>(&bytes).ok().filter(|_| rng.below(4) > 0);
        bytes = match tree {
            Some(mut tree) => {
                change(&mut tree, &mut rng);
                tree.to_string().into_bytes()
            }
            None => edited(&bytes, &mut rng),
        };
    }
    bytes.truncate(bytes_max);
    bytes
}

fn pick<'a, T>(items: &'a [T], rng: &mut Rng) -> Option<&'a T> {
    items.get(place(items.len(), rng))
}

fn place(length: usize, rng: &mut Rng) -> usize {
    usize::try_from(rng.below(length as u64)).unwrap_or(0)
}

/// One node of a tree: taken away, doubled, moved, wrapped, or replaced.
fn change(tree: &mut Value, rng: &mut Rng) {
    let mut paths = Vec::new();
    collect(tree, String::new(), &mut paths);
    let Some(path) = pick(&paths, rng).cloned() else { return };
    let other = pick(&paths, rng).and_then(|path| tree.pointer(path)).cloned().unwrap_or_default();
    match rng.below(8) {
        0 => remove(tree, &path),
        1 => double(tree, &path, rng),
        2 => {
            if let Some(Value::Object(fields)) = tree.pointer_mut(&path) {
                fields.insert(word(rng), other);
            }
        }
        3 | 4 => replace(tree, &path, |_| other),
        5 => {
            let depth = [1, 2, 40, 200][place(4, rng)];
            replace(tree, &path, |node| {
                (0..depth).fold(node, |inner, n| if n % 2 == 0 { json!([inner]) } else { json!({ "a": inner }) })
            });
        }
        6 => {
            let number = number(rng);
            replace(tree, &path, |_| number);
        }
        _ => {
            let text = Value::from(word(rng));
            replace(tree, &path, |_| text);
        }
    }
}

fn collect(node: &Value, path: String, paths: &mut Vec<String>) {
    match node {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| collect(item, format!("{path}/{index}"), paths));
        }
        Value::Object(fields) => fields.iter().for_each(|(key, field)| {
            collect(field, format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")), paths);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    paths.push(path);
}

fn replace(tree: &mut Value, path: &str, by: impl FnOnce(Value) -> Value) {
    if let Some(node) = tree.pointer_mut(path) {
        *node = by(node.take());
    }
}

/// The mapping or list that a node is in, and its name there.
fn around<'a>(tree: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let (above, name) = path.rsplit_once('/')?;
    Some((tree.pointer_mut(above)?, name.replace("~1", "/").replace("~0", "~")))
}

fn remove(tree: &mut Value, path: &str) {
    match around(tree, path) {
        Some((Value::Object(fields), name)) => drop(fields.remove(&name)),
        Some((Value::Array(items), name)) => {
            if let Some(index) = name.parse().ok().filter(|index| *index < items.len()) {
                items.remove(index);
            }
        }
        Some(_) | None => {}
    }
}

/// Once more, or a hundred times, as long as it stays small.
fn double(tree: &mut Value, path: &str, rng: &mut Rng) {
    let Some(node) = tree.pointer(path).cloned() else { return };
    let times = if node.to_string().len() < 100 { [1, 2, 100][place(3, rng)] } else { 1 };
    match around(tree, path) {
        Some((Value::Object(fields), name)) => {
            for n in 0..times {
                fields.insert(format!("{name}{n}"), node.clone());
            }
        }
        Some((Value::Array(items), _)) => items.extend(std::iter::repeat_n(node, times)),
        Some(_) | None => {}
    }
}

fn number(rng: &mut Rng) -> Value {
    match rng.below(7) {
        0 => json!(u64::MAX),
        1 => json!(i64::MIN),
        2 => json!(f64::MAX),
        3 => json!(f64::MIN_POSITIVE),
        4 => json!(-0.0),
        5 => json!(rng.uniform()),
        _ => json!(rng.below(300)),
    }
}

fn word(rng: &mut Rng) -> String {
    let word = pick(&WORDS, rng).copied().unwrap_or_default();
    match rng.below(6) {
        0 => word.repeat(300),
        1 => format!("{word}{}", pick(&WORDS, rng).copied().unwrap_or_default()),
        _ => word.to_owned(),
    }
}

/// Lines, words and bytes of any text.
fn edited(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut edited = bytes.to_vec();
    let at = place(bytes.len(), rng);
    match rng.below(9) {
        0 => {
            if let Some(byte) = edited.get_mut(at) {
                *byte = rng.below(256).to_le_bytes()[0];
            }
        }
        1 => drop(edited.drain(at..(at + place(20, rng)).min(bytes.len()))),
        2 => edited = [bytes, b"\0", bytes].concat(),
        3 => insert(&mut edited, at, &word(rng)),
        4 | 5 => insert(&mut edited, at, pick(&MARKS, rng).copied().unwrap_or_default()),
        6 => edited = values_replaced(bytes, rng),
        _ => edited = lines_changed(bytes, rng),
    }
    edited
}

fn insert(bytes: &mut Vec<u8>, at: usize, text: &str) {
    bytes.splice(at..at, text.bytes());
}

/// What stands behind a colon, up to the end of the line or the next comma.
fn values_replaced(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let colons: Vec<usize> =
        bytes.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at + 1).collect();
    let Some(from) = pick(&colons, rng).copied() else { return bytes.to_vec() };
    let ends = |byte: &u8| matches!(byte, b'\n' | b',' | b'}' | b']');
    let until = bytes[from..].iter().position(ends).map_or(bytes.len(), |length| from + length);
    let word = word(rng);
    let word = if rng.below(2) == 0 { word } else { Value::from(word).to_string() };
    [&bytes[..from], b" ", word.as_bytes(), &bytes[until..]].concat()
}

/// A line taken away, doubled, moved, or indented otherwise.
fn lines_changed(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let (one, other) = (place(lines.len(), rng), place(lines.len(), rng));
    match rng.below(5) {
        0 => drop(lines.remove(one)),
        1 => lines.insert(other, lines[one].clone()),
        2 => lines.swap(one, other),
        3 => lines[one].splice(0..0, [b' '; 2]).for_each(drop),
        _ => {
            let line = lines[one].clone();
            lines[one] = line.strip_prefix(b"  ").map_or(line.clone(), <[u8]>::to_vec);
        }
    }
    lines.join(&b'\n')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_does_the_same_and_others_do_not() {
        let document = br#"{"a":[1,{"b":"c"}],"d":null}"#;
        let all: BTreeSet<Vec<u8>> = (0..200).map(|seed| mutated(document, seed, 10_000)).collect();
        assert!(all.len() > 120, "{}", all.len());
        assert!((0..200).all(|seed| mutated(document, seed, 10_000) == mutated(document, seed, 10_000)));
        assert!((0..200).all(|seed| mutated(document, seed, 7).len() <= 7));
        for nothing in [&b""[..], b"\xff", b"\n"] {
            (0..200).for_each(|seed| drop(mutated(nothing, seed, 100)));
        }
    }
}
