//! What every page has: its frame, and how text gets onto it. A page is one file that asks for nothing: its policy forbids
//! whatever is not in it, and it has no script.

use coalmine_core::text::is_harmful;

const STYLE: &str = include_str!("style.css");

/// Nothing is loaded, sent or run, whatever a name on the page says.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// A whole page.
pub fn page(title: &str, body: &str) -> String {
    let title = text(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"referrer\" content=\"no-referrer\"/>\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// As text between tags, or in an attribute.
pub fn text(raw: &str) -> String {
    let mut escaped = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Not allowed in a document; a name may have them.
            c if is_harmful(c) => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The same of several lines.
pub fn lines(raw: &str) -> String {
    raw.lines().map(text).collect::<Vec<_>>().join("\n")
}

/// How good news are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Good,
    Bad,
    Warn,
    Plain,
}

impl Tone {
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Warn => "warn",
            Self::Plain => "plain",
        }
    }

    /// A sign that says the same without its colour.
    fn sign(self) -> &'static str {
        match self {
            Self::Good => "M3 9l4 4 8-10",
            Self::Bad => "M4 4l10 10M14 4L4 14",
            Self::Warn => "M9 2v9M9 15.5v.5",
            Self::Plain => "M3 9h12M10 4l5 5-5 5",
        }
    }
}

/// The word that a reader sees first.
pub fn state(word: &str, tone: Tone) -> String {
    format!(
        "<p class=\"state {}\"><svg viewBox=\"0 0 18 18\" aria-hidden=\"true\"><path d=\"{}\"/></svg>{}</p>\n",
        tone.class(),
        tone.sign(),
        text(word)
    )
}
