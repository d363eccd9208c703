//! Numbers, times and verdicts as people read them on a page.

use coalmine_core::analysis::{Comparison, Doubt, Interval, Verdict};
use coalmine_core::units::{Timestamp, plain_number};

use crate::html::Tone;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `21 Nov 2026`.
pub fn day(at: Timestamp) -> String {
    let text = at.to_string();
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    let month = part(5..7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    format!("{} {} {}", part(8..10).trim_start_matches('0'), month.unwrap_or(&"?"), part(0..4))
}

/// `14:11:04`.
pub fn exactly(at: Timestamp) -> String {
    at.to_string().get(11..19).unwrap_or_default().to_owned()
}

/// `14:11`, with its day where it is not that of `beside`.
pub fn clock(at: Timestamp, beside: Timestamp) -> String {
    if day(at) == day(beside) { at.hour_minute() } else { format!("{}, {}", day(at), at.hour_minute()) }
}

/// `9.6`, `0.95`, `22`.
pub fn times(ratio: f64) -> String {
    match ratio {
        ratio if !ratio.is_finite() => "more than can be told".to_owned(),
        ratio if ratio >= 100.5 => "more than 100".to_owned(),
        ratio if ratio >= 9.95 => format!("{ratio:.0}"),
        ratio if ratio >= 0.095 => plain_number((ratio * 10.0).round() / 10.0),
        ratio => plain_number((ratio * 100.0).round() / 100.0),
    }
}

/// `between 1.9 and 5.2 times`.
pub fn bounds(ratio: Interval) -> String {
    match (ratio.lower > 0.0, ratio.upper.is_finite()) {
        (true, true) => format!("between {} and {} times", times(ratio.lower), times(ratio.upper)),
        (true, false) => format!("at least {} times", times(ratio.lower)),
        (false, true) => format!("at most {} times", times(ratio.upper)),
        (false, false) => "nothing known yet".to_owned(),
    }
}

/// `at most 1 good release in 100`: of a probability.
pub fn one_in(probability: f64) -> String {
    plain_number((1.0 / probability.max(1e-6)).round())
}

/// A check's verdict, in the words that there are for it.
pub fn verdict(comparison: &Comparison) -> (&'static str, Tone) {
    match (comparison.verdict, comparison.doubt) {
        (Verdict::Fail, Some(Doubt::NoData)) => ("no data, which fails", Tone::Bad),
        (Verdict::Fail, _) => ("proven worse", Tone::Bad),
        (Verdict::Pass, _) => ("proven fine", Tone::Good),
        (Verdict::Inconclusive, Some(Doubt::LooksWorse)) => ("looks worse, not proven", Tone::Warn),
        (Verdict::Inconclusive, Some(Doubt::NoData)) => ("no data", Tone::Warn),
        (Verdict::Inconclusive, Some(Doubt::Blind)) => ("cannot be told", Tone::Warn),
        (Verdict::Inconclusive, None) if comparison.level.is_some() => ("shown only", Tone::Plain),
        (Verdict::Inconclusive, Some(Doubt::StillBaking | Doubt::TooLittleTraffic | Doubt::SplitUnexpected) | None) => {
            ("looks fine, not proven", Tone::Plain)
        }
    }
}

/// A word for the shell.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// In a part of an address.
pub fn in_address(raw: &str) -> String {
    let part = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    raw.bytes().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_a_calendar() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (noon, night) = (at("2026-11-21T14:11:04Z"), at("2027-01-02T00:05:00Z"));
        assert_eq!(
            (day(noon), exactly(noon), clock(noon, noon)),
            ("21 Nov 2026".into(), "14:11:04".into(), "14:11".into())
        );
        assert_eq!(clock(night, noon), "2 Jan 2027, 00:05");
    }

    #[test]
    fn ratios_have_as_many_digits_as_they_are_worth() {
        let written: Vec<String> = [22.4, 9.62, 1.0, 0.948, 0.052, f64::INFINITY].map(times).to_vec();
        assert_eq!(written, ["22", "9.6", "1", "0.9", "0.05", "more than can be told"]);
        let interval = |lower, upper| bounds(Interval { estimate: 1.0, lower, upper });
        assert_eq!(interval(0.0, f64::INFINITY), "nothing known yet");
        assert_eq!(interval(1.25, 4.0), "between 1.3 and 4 times");
        assert_eq!(
            (interval(2.0, f64::INFINITY), interval(0.0, 3.0)),
            ("at least 2 times".into(), "at most 3 times".into())
        );
    }

    #[test]
    fn names_stay_in_their_place_in_shells_and_addresses() {
        assert_eq!(
            (quoted("checkout:live"), quoted("it's; rm"), quoted("")),
            ("checkout:live".into(), "'it'\\''s; rm'".into(), "''".into())
        );
        assert_eq!(in_address("a/b c\"é"), "a%2Fb%20c%22%C3%A9");
    }
}
