//! Quantities with their units: weights, moments, minutes and spans of time.
//!
//! Nothing here reads a clock. A moment always comes in as an argument.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The canary's share of the traffic, in basis points (hundredths of a percent), 0..=10 000.
///
/// Absolute, never relative; the adapters convert it to what their service wants.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u16);

impl Weight {
    /// All traffic on the baseline.
    pub const ZERO: Self = Self(0);
    /// All traffic on the canary.
    pub const FULL: Self = Self(10_000);
    /// 0.01 %.
    pub const SMALLEST: Self = Self(1);

    /// `None` above 10 000.
    #[must_use]
    pub fn from_basis_points(basis_points: u16) -> Option<Self> {
        (basis_points <= 10_000).then_some(Self(basis_points))
    }

    /// The nearest weight to a share in 0.0..=1.0; `None` outside of it and for NaN.
    #[must_use]
    pub fn from_share(share: f64) -> Option<Self> {
        // The range check makes the cast exact: the product is within 0..=10 000.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (0.0..=1.0).contains(&share).then(|| Self((share * 10_000.0).round() as u16))
    }

    /// Hundredths of a percent.
    #[must_use]
    pub fn basis_points(self) -> u16 {
        self.0
    }

    /// 0.0..=1.0.
    #[must_use]
    pub fn share(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// The share that is left for the other version.
    #[must_use]
    pub fn complement(self) -> Self {
        Self(10_000 - self.0)
    }

    /// As the spec writes it: `5%`, `2.5%`.
    #[must_use]
    pub fn spec_form(self) -> String {
        format!("{}%", self.percent())
    }

    fn percent(self) -> String {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        match rest {
            0 => whole.to_string(),
            rest if rest % 10 == 0 => format!("{whole}.{}", rest / 10),
            rest => format!("{whole}.{rest:02}"),
        }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.percent())
    }
}

impl fmt::Debug for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spec_form())
    }
}

/// Why a text is not the quantity it should be. The message says what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(String);

impl FromStr for Weight {
    type Err = UnitError;

    /// `5%`, `2.5 %`; at most two decimals, because a weight is stored in hundredths of a percent.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError(format!("`{text}` is not a weight; write a percentage such as `5%`"));
        let number = text.trim().strip_suffix('%').ok_or_else(wrong)?.trim();
        let percent = parse_decimal(number).ok_or_else(wrong)?;
        if percent > 100.0 {
            return Err(UnitError(format!("`{text}` is more than 100%; a weight is between 0% and 100%")));
        }
        let basis_points = percent * 100.0;
        if (basis_points - basis_points.round()).abs() > 1e-6 {
            return Err(UnitError(format!("`{text}` is finer than 0.01%, the smallest step of a weight")));
        }
        Self::from_share(percent / 100.0).ok_or_else(wrong)
    }
}

/// A plain non-negative decimal number: no sign, exponent, infinity or NaN.
pub(crate) fn parse_decimal(text: &str) -> Option<f64> {
    let plain = !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

/// A number without needless digits: `0.5`, `2`, `12.25`.
#[must_use]
pub fn plain_number(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A moment, in whole seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// 9999-12-31T23:59:59Z: beyond it RFC 3339 has no form.
const LATEST_SECONDS: i64 = 253_402_300_799;

impl Timestamp {
    /// Clamped to the years that RFC 3339 can write (1970 to 9999).
    #[must_use]
    pub fn from_epoch_seconds(seconds: i64) -> Self {
        Self(seconds.clamp(0, LATEST_SECONDS))
    }

    /// Whole seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn epoch_seconds(self) -> i64 {
        self.0
    }

    /// The minute this moment lies in.
    #[must_use]
    pub fn minute(self) -> Minute {
        Minute(self.0.div_euclid(60))
    }

    /// The time since `earlier`; zero when `earlier` is later, and never longer than what can be stored.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        Span::from_seconds(u64::try_from(self.0 - earlier.0).unwrap_or(0)).min(Span::LONGEST)
    }

    /// `14:02`, UTC.
    #[must_use]
    pub fn hour_minute(self) -> String {
        let text = self.to_string();
        text.get(11..16).unwrap_or_default().to_owned()
    }
}

impl std::ops::Add<Span> for Timestamp {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self::from_epoch_seconds(self.0.saturating_add_unsigned(span.seconds()))
    }
}

impl std::ops::Sub<Span> for Timestamp {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self::from_epoch_seconds(self.0.saturating_sub_unsigned(span.seconds()))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339, UTC: `2026-11-21T14:02:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = jiff::Timestamp::from_second(self.0).map(|t| t.to_string()).unwrap_or_default();
        f.write_str(&text)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = UnitError;

    /// RFC 3339, and CloudWatch's `2026-11-21T14:02:00.123+0000`. Fractions of a second are dropped.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        text.parse::<jiff::Timestamp>()
            .map(|t| Self::from_epoch_seconds(t.as_second()))
            .map_err(|_| UnitError(format!("`{text}` is not a time; write it as `2026-11-21T14:02:00Z`")))
    }
}

/// A whole minute of UTC time, counted from 1970-01-01T00:00Z: the grain of every metric.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Minute(i64);

impl Minute {
    /// Minutes since 1970-01-01T00:00Z.
    #[must_use]
    pub fn from_index(index: i64) -> Self {
        Self(index)
    }

    /// Minutes since 1970-01-01T00:00Z.
    #[must_use]
    pub fn index(self) -> i64 {
        self.0
    }

    /// The minute's first second.
    #[must_use]
    pub fn start(self) -> Timestamp {
        Timestamp::from_epoch_seconds(self.0.saturating_mul(60))
    }

    /// `self` moved by a number of minutes.
    #[must_use]
    pub fn plus(self, minutes: i64) -> Self {
        Self(self.0.saturating_add(minutes))
    }

    /// Minutes from `earlier` to `self`; negative when `earlier` is later.
    #[must_use]
    pub fn minutes_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Debug for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "minute {}", self.start())
    }
}

/// A length of time in whole seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(u64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// The longest that is read, from a spec or from the table.
    pub const LONGEST: Self = Self(LONGEST_SECONDS);

    /// `const`, so that limits can be constants.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// `const`, so that limits can be constants.
    #[must_use]
    pub const fn from_minutes(minutes: u64) -> Self {
        Self(minutes.saturating_mul(60))
    }

    /// `const`, so that limits can be constants.
    #[must_use]
    pub const fn from_hours(hours: u64) -> Self {
        Self(hours.saturating_mul(3600))
    }

    /// Whole seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// Whole minutes, rounded up: a bake of 90 s needs two minutes of data.
    #[must_use]
    pub fn minutes_ceil(self) -> i64 {
        i64::try_from(self.0.div_ceil(60)).unwrap_or(i64::MAX)
    }

    /// The longer one.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// `self - other`, not below zero.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    fn render(self, gap: &str) -> String {
        let parts = [(self.0 / 86_400, "d"), (self.0 / 3600 % 24, "h"), (self.0 / 60 % 60, "m"), (self.0 % 60, "s")];
        let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
        if parts.is_empty() { "0s".to_owned() } else { parts.join(gap) }
    }

    /// As the spec writes it: `1h30m`.
    #[must_use]
    pub fn spec_form(self) -> String {
        self.render("")
    }
}

impl fmt::Display for Span {
    /// `1h 30m`, `45s`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(" "))
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spec_form())
    }
}

/// A year: no rollout, pause or watch is longer. Keeps all time arithmetic far from overflow.
const LONGEST_SECONDS: u64 = 366 * 86_400;

impl FromStr for Span {
    type Err = UnitError;

    /// `30s`, `5m`, `1h30m`, `2d`; units may be separated by spaces, each at most once, the largest first.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError(format!("`{text}` is not a duration; write it as `90s`, `5m`, `1h30m` or `2d`"));
        let mut total: u64 = 0;
        let mut last_unit = u64::MAX;
        let mut digits = String::new();
        for c in text.trim().chars() {
            if c.is_ascii_digit() {
                digits.push(c);
                continue;
            }
            if c == ' ' && digits.is_empty() {
                continue;
            }
            let unit = match c {
                's' => 1,
                'm' => 60,
                'h' => 3600,
                'd' => 86_400,
                _ => return Err(wrong()),
            };
            let amount: u64 = digits.parse().map_err(|_| wrong())?;
            if unit >= last_unit {
                return Err(wrong());
            }
            total = amount.checked_mul(unit).and_then(|n| n.checked_add(total)).ok_or_else(wrong)?;
            last_unit = unit;
            digits.clear();
        }
        if last_unit == u64::MAX || !digits.is_empty() {
            return Err(wrong());
        }
        if total > LONGEST_SECONDS {
            return Err(UnitError(format!("`{text}` is longer than 366d, the longest that is allowed")));
        }
        Ok(Self(total))
    }
}

/// Serialised as the text people write, so that stored items and answers can be read.
macro_rules! serde_as_text {
    ($type:ty, $form:expr) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&$form(*self))
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

serde_as_text!(Weight, Weight::spec_form);
serde_as_text!(Span, Span::spec_form);
serde_as_text!(Timestamp, |t: Timestamp| t.to_string());

/// A time, or how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    At(Timestamp),
    Ago(Span),
}

impl Since {
    #[must_use]
    pub fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(span) => now - span,
        }
    }
}

impl FromStr for Since {
    type Err = UnitError;

    /// `24h`, `2026-11-21T14:02:00Z`.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong =
            |_| UnitError(format!("`{text}` is no length of time and no time; write `24h` or `2026-11-21T14:02:00Z`"));
        text.parse().map(Self::Ago).or_else(|_| text.parse().map(Self::At)).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_read_and_print_as_people_write_them() {
        for (text, basis_points, shown) in [
            ("5%", 500, "5 %"),
            ("2.5 %", 250, "2.5 %"),
            ("0.05%", 5, "0.05 %"),
            ("100%", 10_000, "100 %"),
            ("0%", 0, "0 %"),
        ] {
            let weight: Weight = text.parse().unwrap();
            assert_eq!((weight.basis_points(), weight.to_string().as_str()), (basis_points, shown));
            assert_eq!(weight.spec_form().parse(), Ok(weight));
        }
    }

    #[test]
    fn wrong_weights_say_what_would_be_right() {
        let message = |text: &str| text.parse::<Weight>().unwrap_err().to_string();
        assert_eq!(message("101%"), "`101%` is more than 100%; a weight is between 0% and 100%");
        assert_eq!(message("0.001%"), "`0.001%` is finer than 0.01%, the smallest step of a weight");
        for text in ["5", "%", "-5%", "5e1%", "NaN%", "five", ""] {
            assert_eq!(message(text), format!("`{text}` is not a weight; write a percentage such as `5%`"));
        }
    }

    #[test]
    fn spans_read_and_print_as_people_write_them() {
        for (text, seconds, shown) in [
            ("90s", 90, "1m 30s"),
            ("5m", 300, "5m"),
            ("1h30m", 5400, "1h 30m"),
            ("2d", 172_800, "2d"),
            ("1h 5s", 3605, "1h 5s"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.seconds(), span.to_string().as_str()), (seconds, shown));
            assert_eq!(span.spec_form().parse(), Ok(span));
        }
        for text in ["", "5", "m", "5m1h", "5m5m", "-5m", "5 m", "1.5h", "999999999999d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_written_as_such_or_by_how_long_ago_it_was() {
        let now: Timestamp = "2026-11-21T14:00:00Z".parse().unwrap();
        for (text, at) in [("24h", "2026-11-20T14:00:00Z"), ("2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z")] {
            assert_eq!(text.parse::<Since>().unwrap().before(now).to_string(), at);
        }
        let wrong = "yesterday".parse::<Since>().unwrap_err().to_string();
        assert_eq!(wrong, "`yesterday` is no length of time and no time; write `24h` or `2026-11-21T14:02:00Z`");
    }

    #[test]
    fn moments_print_as_rfc_3339_and_read_what_cloudwatch_writes() {
        let moment: Timestamp = "2019-10-02T17:04:40.989+0000".parse().unwrap();
        assert_eq!(moment.to_string(), "2019-10-02T17:04:40Z");
        assert_eq!(moment.hour_minute(), "17:04");
        assert_eq!(moment.minute().start().to_string(), "2019-10-02T17:04:00Z");
        assert_eq!((moment + Span::from_hours(1)).since(moment), Span::from_hours(1));
        assert_eq!(moment.since(moment + Span::from_hours(1)), Span::ZERO);
    }
}
