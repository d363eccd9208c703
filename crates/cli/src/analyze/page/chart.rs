//! Charts as SVG.

use std::fmt::Write;

use coalmine_core::analysis::replay::{Point, Total, Trace};
use coalmine_core::analysis::{Interval, percent};
use coalmine_core::units::Minute;

use super::text;

/// The picture, and the part of it that has the curves.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = WIDTH - 130.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = HEIGHT - 26.0;

/// Evidence is shown as a share of what it must reach, from here to there.
const LOWEST: f64 = -1.0;
const HIGHEST: f64 = 1.25;

/// Intervals are shown between these ratios, on a logarithmic scale.
const RATIO_MOST: f64 = 20.0;

/// The evidence for harm and for "no worse than tolerated", each as a share of its threshold.
pub fn evidence(trace: &Trace, index: usize, name: &dyn Fn(Minute) -> String) -> String {
    let share =
        |ln_e: f64, threshold: f64| if threshold > 0.0 { (ln_e / threshold).clamp(LOWEST, HIGHEST) } else { 0.0 };
    let worse = |total: &Total| share(total.evidence.harm, total.evidence.harm_threshold);
    let fine = |total: &Total| share(total.evidence.promotion, total.evidence.promotion_threshold);
    let frame = Frame { trace, index, low: LOWEST, high: HIGHEST };
    let mut svg = frame.begin("Evidence, as a share of what a proof needs", name);
    frame.level(&mut svg, 1.0, "proven", "bar");
    frame.level(&mut svg, 0.0, "nothing yet", "axis");
    frame.curve(&mut svg, "new", "worse", &worse);
    frame.curve(&mut svg, "old", "fine", &fine);
    svg + "</svg>\n"
}

/// Events per request of both versions, between one point and the next.
pub fn rates(trace: &Trace, index: usize, name: &dyn Fn(Minute) -> String) -> String {
    let rate = |now: f64, before: f64, requests: f64, requests_before: f64| {
        let served = requests - requests_before;
        if served > 0.0 { ((now - before) / served).clamp(0.0, 1.0) } else { 0.0 }
    };
    let mut before: Option<Total> = None;
    let mut points = Vec::new();
    for point in &trace.points {
        let Some(now) = point.checks.get(index) else { continue };
        let was = before.map_or_else(Default::default, |total| (total.canary, total.baseline));
        let new = rate(now.canary.events, was.0.events, now.canary.requests, was.0.requests);
        let old = rate(now.baseline.events, was.1.events, now.baseline.requests, was.1.requests);
        points.push((new, old));
        before = Some(*now);
    }
    let high = points.iter().fold(0.0_f64, |high, (new, old)| high.max(*new).max(*old));
    if high <= 0.0 {
        return String::new();
    }
    let frame = Frame { trace, index, low: 0.0, high: high * 1.1 };
    let mut svg = frame.begin("How many of the requests, minute by minute", name);
    frame.level(&mut svg, high, &percent(high), "bar");
    frame.level(&mut svg, 0.0, "0 %", "axis");
    frame.line(&mut svg, "new", "new", points.iter().map(|(new, _)| *new));
    frame.line(&mut svg, "old", "old", points.iter().map(|(_, old)| *old));
    svg + "</svg>\n"
}

/// Where a ratio lies, with a mark for 1.
pub fn interval(ratio: Interval) -> String {
    const WIDTH: f64 = 160.0;
    let x = |value: f64| {
        let bounded = value.clamp(1.0 / RATIO_MOST, RATIO_MOST);
        WIDTH / 2.0 * (1.0 + bounded.ln() / RATIO_MOST.ln())
    };
    let (low, at, high) = (x(ratio.lower), x(ratio.estimate), x(ratio.upper));
    format!(
        "<svg viewBox=\"0 0 {WIDTH} 16\" width=\"{WIDTH}\" height=\"16\" role=\"img\" aria-label=\"interval\"><path \
         class=\"axis\" d=\"M0 8H{WIDTH}M{one} 1V15\"/><path class=\"new\" d=\"M{low:.1} 4V12M{low:.1} 8H{high:.1}M{high:.1} \
         4V12\"/><circle class=\"at\" cx=\"{at:.1}\" cy=\"8\" r=\"3\"/></svg>",
        one = WIDTH / 2.0,
    )
}

/// One check's chart, and what its height means.
struct Frame<'a> {
    trace: &'a Trace,
    index: usize,
    low: f64,
    high: f64,
}

impl Frame<'_> {
    /// Title and the first and last minute.
    fn begin(&self, title: &str, name: &dyn Fn(Minute) -> String) -> String {
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">\n<title>{}</title>\n\
             <text x=\"{LEFT}\" y=\"11\">{}</text>\n",
            text(title),
            text(title)
        );
        let ends = self.trace.points.first().zip(self.trace.points.last());
        if let Some((first, last)) = ends {
            let y = HEIGHT - 6.0;
            let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{y}\">{}</text>", text(&name(first.minute)));
            let last = text(&name(last.minute));
            let _ = writeln!(svg, "<text x=\"{RIGHT}\" y=\"{y}\" text-anchor=\"end\">{last}</text>");
        }
        svg
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        BOTTOM - (BOTTOM - TOP) * share.clamp(0.0, 1.0)
    }

    fn x(&self, minute: Minute) -> f64 {
        let Some((first, last)) = self.trace.points.first().zip(self.trace.points.last()) else { return LEFT };
        let span = minutes(last.minute, first.minute).max(1.0);
        LEFT + (RIGHT - LEFT) * minutes(minute, first.minute) / span
    }

    /// A named horizontal line.
    fn level(&self, svg: &mut String, value: f64, label: &str, class: &str) {
        let y = self.y(value);
        let _ = writeln!(svg, "<path class=\"{class}\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>");
        let (x, y) = (LEFT - 6.0, y + 4.0);
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", text(label));
    }

    fn curve(&self, svg: &mut String, class: &str, label: &str, value: &dyn Fn(&Total) -> f64) {
        let values = self.trace.points.iter().map(|point: &Point| point.checks.get(self.index).map_or(0.0, value));
        self.line(svg, class, label, values);
    }

    /// A curve with its name at its end.
    fn line(&self, svg: &mut String, class: &str, label: &str, values: impl Iterator<Item = f64>) {
        let (mut path, mut end) = (String::new(), (LEFT, BOTTOM));
        for (point, value) in self.trace.points.iter().zip(values) {
            let value = if value.is_finite() { value } else { self.low };
            end = (self.x(point.minute), self.y(value));
            let step = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{step}{:.1} {:.1}", end.0, end.1);
        }
        let _ = writeln!(svg, "<path class=\"{class}\" d=\"{path}\"/>");
        // One above, the other below, so that equal curves do not hide each other's names.
        let y = end.1 + if class == "new" { -2.0 } else { 12.0 };
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{y:.1}\">{}</text>", end.0 + 6.0, text(label));
    }
}

#[allow(clippy::cast_precision_loss, reason = "minutes are far below 2^52")]
fn minutes(later: Minute, earlier: Minute) -> f64 {
    later.minutes_since(earlier) as f64
}
