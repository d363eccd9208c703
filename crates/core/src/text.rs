//! Texts from outside on their way to people. A name may hold what a terminal, a log viewer or a page takes for an
//! order: everything that is shown to people goes through here.

/// Whether a character does more than stand in its line: it moves the cursor, ends the line, starts an escape sequence,
/// or turns round what stands beside it.
#[must_use]
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Marks, embeddings, overrides and isolates of writing from right to left.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Line and paragraph separators.
            | '\u{2028}' | '\u{2029}'
            // Nothing is shown for these, so two different names look alike. Joiners are letters' own, and stay.
            | '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// In one line of at most about so many characters, with every harmful one written out (`\u{1b}`).
#[must_use]
pub fn shown(text: &str, chars_max: usize) -> String {
    let (mut shown, mut chars) = (String::new(), 0);
    for c in text.chars() {
        if chars >= chars_max {
            shown.push_str("...");
            break;
        }
        if is_harmful(c) {
            shown.extend(c.escape_default());
            chars += c.escape_default().count();
        } else {
            shown.push(c);
            chars += 1;
        }
    }
    shown
}

/// A person's words: harmful characters become spaces, and no more than so many characters are kept.
#[must_use]
pub fn words(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).map(|c| if is_harmful(c) { ' ' } else { c }).collect()
}

/// JSON that says the same and can be shown: of harmful characters, JSON itself escapes only some. Line breaks between
/// its parts stay.
#[must_use]
pub fn json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\n' => safe.push(c),
            // All of them have four digits.
            c if is_harmful(c) => safe.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2J\r\n\u{9b}31m\u{202e}b\u{2066}\u{2028}\u{feff}c";

    #[test]
    fn what_is_shown_does_nothing() {
        assert_eq!(shown(HOSTILE, 100), "a\\u{1b}[2J\\r\\n\\u{9b}31m\\u{202e}b\\u{2066}\\u{2028}\\u{feff}c");
        assert_eq!(shown("abcdef", 3), "abc...");
        assert_eq!(shown("abc", 3), "abc");
        assert_eq!(shown("\n\n\n", 3), "\\n\\n...");
        assert_eq!(words(HOSTILE, 100), "a [2J   31m b   c");
    }

    #[test]
    fn letters_of_all_scripts_stay() {
        for text in ["Jose\u{301}", "नमस्\u{200d}ते", "👩\u{200d}🚀", "العربية", "<b>&'\"\\"] {
            assert_eq!((shown(text, 100), words(text, 100), json(text)), (text.into(), text.into(), text.into()));
        }
    }

    #[test]
    fn json_says_the_same() {
        let value = serde_json::json!({ HOSTILE: [HOSTILE, 1] });
        let safe = json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!safe.chars().any(|c| c != '\n' && is_harmful(c)), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }
}
