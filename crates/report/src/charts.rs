//! Charts as SVG, the only ones there are. Whatever is measured lies in percent of the width, so that a chart is as wide as
//! there is room while its letters and lines keep their size; what it looks like is the style's matter, so that it is
//! light, dark and on paper. Every curve has its name at its end.

use std::fmt::Write;

use crate::html::text;

/// Above the curves, of the curves, and below them.
const TOP: f64 = 8.0;
const PLOT: f64 = 150.0;
const BELOW: f64 = 20.0;

/// Letters need so much, one above the other.
const LETTERS: f64 = 14.0;

/// From one value to another.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Scale {
    pub fn new(low: f64, high: f64) -> Self {
        Self { low, high: if high > low { high } else { low + 1.0 }, logarithmic: false }
    }

    /// `low` is above zero.
    pub fn logarithmic(low: f64, high: f64) -> Self {
        Self { low: low.ln(), high: if high > low { high.ln() } else { low.ln() + 1.0 }, logarithmic: true }
    }

    /// Where a value lies, from 0 to 1. What is beyond an end is at the end.
    pub fn share(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.max(f64::MIN_POSITIVE).ln() } else { value };
        let share = (value - self.low) / (self.high - self.low);
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
    }
}

/// A chart on its way.
#[derive(Debug)]
pub struct Chart {
    title: String,
    about: String,
    x: Scale,
    y: Scale,
    /// In thousandths of the width and the height.
    curves: String,
    /// In percent of the width, and in pixels.
    over: String,
    /// The names of curves and levels, beside their ends.
    ends: Vec<(f64, String, &'static str)>,
}

impl Chart {
    /// The title stands above it; what it is about is for those who do not see it, too.
    pub fn new(title: impl Into<String>, about: impl Into<String>, x: Scale, y: Scale) -> Self {
        Self {
            title: title.into(),
            about: about.into(),
            x,
            y,
            curves: String::new(),
            over: String::new(),
            ends: Vec::new(),
        }
    }

    /// Writing to a string cannot fail, so its results are dropped, here and below.
    pub fn x_tick(&mut self, x: f64, label: &str) {
        let share = self.x.share(x);
        let anchor = match share {
            share if share < 0.04 => "start",
            share if share > 0.96 => "end",
            _ => "middle",
        };
        let _ = write!(
            self.over,
            "<text class=\"tick\" x=\"{:.2}%\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            100.0 * share,
            TOP + PLOT + 15.0,
            text(label)
        );
    }

    pub fn y_tick(&mut self, y: f64, label: &str) {
        let at = 1000.0 * (1.0 - self.y.share(y));
        let _ = write!(self.curves, "<path class=\"grid\" d=\"M0 {at:.0}H1000\"/>");
        let _ = write!(
            self.over,
            "<text class=\"tick\" x=\"0\" dx=\"-6\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            self.y_at(y) + 4.0,
            text(label)
        );
    }

    /// Something that must be reached, or that was usual.
    pub fn level(&mut self, y: f64, label: &str) {
        let at = 1000.0 * (1.0 - self.y.share(y));
        let _ = write!(self.curves, "<path class=\"bar\" d=\"M0 {at:.0}H1000\"/>");
        if !label.is_empty() {
            self.ends.push((self.y_at(y), label.to_owned(), "level"));
        }
    }

    /// Something that happened.
    pub fn moment(&mut self, x: f64) {
        let _ = write!(self.curves, "<path class=\"moment\" d=\"M{:.1} 0V1000\"/>", 1000.0 * self.x.share(x));
    }

    /// Points in rising order of x; where a value is missing, so is the line.
    pub fn line(&mut self, class: &'static str, label: &str, points: impl IntoIterator<Item = (f64, Option<f64>)>) {
        let (mut path, mut begins, mut end) = (String::new(), true, None);
        for (x, value) in points {
            let Some(value) = value.filter(|value| value.is_finite()) else {
                begins = true;
                continue;
            };
            let (x, y) = (1000.0 * self.x.share(x), 1000.0 * (1.0 - self.y.share(value)));
            // With no length, one point alone is a dot.
            let _ = if begins { write!(path, "M{x:.1} {y:.1}h0") } else { write!(path, "L{x:.1} {y:.1}") };
            (begins, end) = (false, Some(value));
        }
        if let Some(end) = end {
            let _ = write!(self.curves, "<path class=\"{class}\" d=\"{path}\"/>");
            self.ends.push((self.y_at(end), label.to_owned(), class));
        }
    }

    /// From one x to the next at a height, and the room below it.
    pub fn steps(&mut self, class: &'static str, filled: &str, steps: &[(f64, f64, f64)]) {
        let Some((first, last)) = steps.first().zip(steps.last()) else { return };
        let x = |value: f64| 1000.0 * self.x.share(value);
        let mut path = format!("M{:.1} 1000", x(first.0));
        for (from, until, value) in steps {
            let y = 1000.0 * (1.0 - self.y.share(*value));
            let _ = write!(path, "L{:.1} {y:.1}H{:.1}", x(*from), x(*until));
        }
        let _ = write!(path, "L{:.1} 1000", x(last.1));
        let _ = write!(self.curves, "<path class=\"{filled}\" d=\"{path}Z\"/><path class=\"{class}\" d=\"{path}\"/>");
    }

    /// A name beside the right end, of what has none there.
    pub fn name(&mut self, y: f64, class: &'static str, label: &str) {
        self.ends.push((self.y_at(y), label.to_owned(), class));
    }

    /// The room between two curves.
    pub fn band(&mut self, class: &str, points: &[(f64, f64, f64)]) {
        if points.len() < 2 {
            return;
        }
        let at = |x: f64, y: f64| format!("{:.1} {:.1}", 1000.0 * self.x.share(x), 1000.0 * (1.0 - self.y.share(y)));
        let upper: Vec<String> = points.iter().map(|(x, _, high)| at(*x, *high)).collect();
        let lower: Vec<String> = points.iter().rev().map(|(x, low, _)| at(*x, *low)).collect();
        let _ = write!(self.curves, "<path class=\"{class}\" d=\"M{}L{}Z\"/>", upper.join("L"), lower.join("L"));
    }

    /// What is said of a stretch when one points at it.
    pub fn told(&mut self, from: f64, until: f64, words: &str) {
        let (left, right) = (100.0 * self.x.share(from), 100.0 * self.x.share(until));
        let _ = write!(
            self.over,
            "<rect class=\"hit\" x=\"{left:.2}%\" y=\"{TOP}\" width=\"{:.2}%\" height=\"{PLOT}\"><title>{}</title></rect>",
            (right - left).max(0.01),
            text(words)
        );
    }

    /// The whole figure.
    pub fn figure(mut self) -> String {
        let names = self.names();
        let (title, about) = (text(&self.title), text(&self.about));
        format!(
            "<figure><figcaption><b>{title}</b> <span>{about}</span></figcaption>\n<svg class=\"chart\" height=\"{height}\" \
             role=\"img\" aria-label=\"{title}: {about}\"><svg y=\"{TOP}\" width=\"100%\" height=\"{PLOT}\" viewBox=\"0 0 1000 \
             1000\" preserveAspectRatio=\"none\"><path class=\"axis\" d=\"M0 0V1000H1000\"/>{curves}</svg>{over}{names}</svg>\
             </figure>\n",
            height = TOP + PLOT + BELOW,
            curves = self.curves,
            over = self.over,
        )
    }

    /// Beside the ends of the curves, moved apart where they would cover one another.
    fn names(&mut self) -> String {
        let mut ends = std::mem::take(&mut self.ends);
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        let lowest = TOP + PLOT + 2.0;
        let mut above = f64::NEG_INFINITY;
        for end in &mut ends {
            end.0 = end.0.max(above + LETTERS);
            above = end.0;
        }
        let mut below = lowest + LETTERS;
        for end in ends.iter_mut().rev() {
            end.0 = end.0.min(below - LETTERS);
            below = end.0;
        }
        let name = |(y, label, class): &(f64, String, &str)| {
            format!("<text class=\"{class}\" x=\"100%\" dx=\"6\" y=\"{:.1}\">{}</text>", y + 4.0, text(label))
        };
        ends.iter().map(name).collect()
    }

    fn y_at(&self, value: f64) -> f64 {
        TOP + PLOT * (1.0 - self.y.share(value))
    }
}

/// Where a ratio lies: what was seen, between which bounds the truth is, and how much is tolerated.
#[derive(Debug, Clone, Copy)]
pub struct Glyph {
    pub low: f64,
    pub at: f64,
    pub high: f64,
    pub tolerated: Option<f64>,
}

/// The largest ratio of a column of glyphs, which have the same scale so that they can be compared.
pub fn most_of<'a>(glyphs: impl Iterator<Item = &'a Glyph>) -> f64 {
    let outward = |value: f64| if value > 0.0 && value < 1.0 { 1.0 / value } else { value };
    let of = |glyph: &Glyph| {
        let ends = [glyph.low, glyph.at, glyph.high, glyph.tolerated.unwrap_or(1.0)].map(outward);
        ends.into_iter().filter(|value| value.is_finite()).fold(1.0, f64::max)
    };
    1.15 * glyphs.map(of).fold(1.0, f64::max).clamp(1.1, 50.0)
}

impl Glyph {
    pub fn svg(&self, most: f64, words: &str) -> String {
        let scale = Scale::logarithmic(1.0 / most, most);
        let x = |value: f64| 100.0 * scale.share(value);
        let (low, at, high) = (x(self.low), x(self.at), x(self.high));
        let tolerated = self.tolerated.map_or_else(String::new, |tolerated| {
            let at = x(tolerated);
            format!("<line class=\"tolerated\" x1=\"{at:.1}%\" x2=\"{at:.1}%\" y1=\"1\" y2=\"19\"/>")
        });
        format!(
            "<svg class=\"glyph\" height=\"20\" role=\"img\" aria-label=\"{}\"><line class=\"axis\" x1=\"0\" x2=\"100%\" \
             y1=\"10\" y2=\"10\"/><line class=\"truth\" x1=\"{low:.1}%\" x2=\"{high:.1}%\" y1=\"10\" y2=\"10\"/><line \
             class=\"same\" x1=\"50%\" x2=\"50%\" y1=\"1\" y2=\"19\"/>{tolerated}<circle cx=\"{at:.1}%\" cy=\"10\" r=\"4\"/>\
             </svg>",
            text(words)
        )
    }
}

/// The newly given share of the traffic over time, with what happened at the numbered marks.
#[derive(Debug)]
pub struct Shares<'a> {
    pub title: &'a str,
    pub about: &'a str,
    /// From, until, share of one, and how it is written; in any unit of time.
    pub steps: Vec<(f64, f64, f64, String)>,
    /// When, and the number that the list has.
    pub marks: Vec<(f64, usize)>,
    /// When, and how it is written.
    pub ticks: Vec<(f64, String)>,
}

impl Shares<'_> {
    pub fn figure(&self) -> String {
        const HIGH: f64 = 46.0;
        const FROM: f64 = 20.0;
        let from = self.steps.first().map_or(0.0, |step| step.0);
        let scale = Scale::new(from, self.steps.last().map_or(1.0, |step| step.1));
        let x = |at: f64| 100.0 * scale.share(at);
        let mut drawn = String::new();
        for (from, until, share, label) in &self.steps {
            let (left, width, high) =
                (x(*from), x(*until) - x(*from), (HIGH * share).max(if *share > 0.0 { 2.0 } else { 0.0 }));
            let _ = write!(
                drawn,
                "<rect class=\"rest\" x=\"{left:.2}%\" y=\"{FROM}\" width=\"{width:.2}%\" height=\"{HIGH}\"/><rect \
                 class=\"share\" x=\"{left:.2}%\" y=\"{:.1}\" width=\"{width:.2}%\" height=\"{high:.1}\"/>",
                FROM + HIGH - high
            );
            // Narrower ones are told by the list.
            if width > 9.0 || (width > 4.0 && label.len() < 5) {
                let inside = *share > 0.6;
                let y =
                    if inside { FROM + HIGH - 0.5 * HIGH + 4.0 } else { (FROM + HIGH - high - 4.0).max(FROM + 12.0) };
                let class = if inside { "on" } else { "tick" };
                let _ = write!(
                    drawn,
                    "<text class=\"{class}\" x=\"{left:.2}%\" dx=\"4\" y=\"{y:.1}\">{}</text>",
                    text(label)
                );
            }
        }
        for (at, number) in &self.marks {
            let _ = write!(
                drawn,
                "<line class=\"axis\" x1=\"{0:.2}%\" x2=\"{0:.2}%\" y1=\"16\" y2=\"{1}\"/><circle class=\"mark\" cx=\"{0:.2}%\" \
                 cy=\"9\" r=\"8\"/><text class=\"mark\" x=\"{0:.2}%\" y=\"13\" text-anchor=\"middle\">{number}</text>",
                x(*at),
                FROM + HIGH
            );
        }
        for (at, label) in &self.ticks {
            let share = x(*at);
            let anchor = if share < 4.0 {
                "start"
            } else if share > 96.0 {
                "end"
            } else {
                "middle"
            };
            let _ = write!(
                drawn,
                "<text class=\"tick\" x=\"{share:.2}%\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
                FROM + HIGH + 15.0,
                text(label)
            );
        }
        format!(
            "<figure><figcaption><b>{title}</b> <span>{about}</span></figcaption>\n<svg class=\"chart wide\" height=\"{}\" \
             role=\"img\" aria-label=\"{title}: {about}\">{drawn}</svg></figure>\n",
            FROM + HIGH + 20.0,
            title = text(self.title),
            about = text(self.about),
        )
    }
}

/// Round numbers from 0 up to `high`, four or so.
pub fn ticks(high: f64) -> Vec<f64> {
    if high.is_nan() || high <= 0.0 {
        return vec![0.0];
    }
    let unit = 10_f64.powf((high / 3.0).log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|factor| factor * unit).find(|step| high / step <= 4.5);
    let step = step.unwrap_or(high);
    (0..6).map(|number| f64::from(number) * step).take_while(|value| *value <= high * 1.0001).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(1.0), [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(ticks(0.043), [0.0, 0.01, 0.02, 0.03, 0.04]);
        assert_eq!(ticks(7.0), [0.0, 2.0, 4.0, 6.0]);
        assert_eq!(ticks(0.0), [0.0]);
        for high in [1e-9, 0.3, 17.0, 99.0, 1e12] {
            assert!((3..=6).contains(&ticks(high).len()), "{high}: {:?}", ticks(high));
        }
    }

    /// A line that is missing somewhere is not drawn there, and one point alone is a dot.
    #[test]
    fn what_is_missing_is_a_gap() {
        let path = |points: &[(f64, Option<f64>)]| {
            let mut chart = Chart::new("t", "a", Scale::new(0.0, 4.0), Scale::new(0.0, 1.0));
            chart.line("new", "new", points.iter().copied());
            chart.curves.split("d=\"").nth(1).map(|rest| rest.split('"').next().unwrap().to_owned())
        };
        let gap = path(&[(0.0, Some(0.0)), (1.0, Some(0.5)), (2.0, None), (3.0, Some(1.0)), (4.0, Some(f64::NAN))]);
        assert_eq!(gap.as_deref(), Some("M0.0 1000.0h0L250.0 500.0M750.0 0.0h0"));
        assert_eq!(path(&[(2.0, Some(0.5))]).as_deref(), Some("M500.0 500.0h0"));
        assert_eq!(path(&[(2.0, None)]), None);
    }

    #[test]
    fn names_do_not_cover_one_another() {
        let mut chart = Chart::new("t", "a", Scale::new(0.0, 1.0), Scale::new(0.0, 1.0));
        for value in [0.0, 0.01, 0.02, 0.5, 1.0, 1.0] {
            chart.line("new", "n", [(0.0, Some(value)), (1.0, Some(value))]);
        }
        let names = chart.names();
        let mut heights: Vec<f64> =
            names.split("y=\"").skip(1).map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect();
        heights.sort_by(f64::total_cmp);
        assert!(heights.windows(2).all(|pair| pair[1] - pair[0] >= LETTERS - 0.2), "{heights:?}");
    }
}
