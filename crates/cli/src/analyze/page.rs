//! The report: one page that needs nothing else, readable on a phone and on paper. What it is drawn with is that of the page
//! about a rollout.

use std::fmt::Write;

use coalmine_core::analysis::replay::{Judged, Total, Trace};
use coalmine_core::analysis::{Comparison, Count, figure, grouped, percent};
use coalmine_core::units::{Minute, plain_number};
use coalmine_report::charts::{Chart, Glyph, Scale, most_of, ticks};
use coalmine_report::html::{page, text};
use coalmine_report::words::{bounds, times, verdict};

use super::Tally;
use super::screen::{data, headline, number};

/// Cases that are shown in full; of more, the others are counted.
const CASES_MAX: usize = 100;

/// The cases so far, as they will stand on the page. A hundred of them have a few megabytes.
#[derive(Debug, Default)]
pub struct Page {
    cases: usize,
    articles: String,
}

impl Page {
    pub fn has_room(&self) -> bool {
        self.cases < CASES_MAX
    }

    pub fn add(&mut self, name: &str, judged: &Judged) {
        if self.has_room() {
            self.articles.push_str(&article(name, judged));
        }
        self.cases += 1;
    }

    pub fn end(self, tally: &Tally) -> String {
        let title = match (tally.cases(), tally.fail, tally.inconclusive + tally.broken) {
            (1, 1, _) => "Proven worse".to_owned(),
            (1, _, 1) => "Not proven".to_owned(),
            (1, _, _) => "Proven fine".to_owned(),
            (cases, fail, open) => format!(
                "{} cases: {} proven worse, {} proven fine, {} not proven or not judged",
                number(cases),
                number(fail),
                number(tally.pass),
                number(open)
            ),
        };
        let rest = match self.cases.saturating_sub(CASES_MAX) {
            0 => String::new(),
            rest => format!(
                "<p>The first {CASES_MAX} cases are shown; {} more are only counted. <code>--json</code> has all of \
                 them.</p>\n",
                number(rest)
            ),
        };
        page(&format!("Coalmine: {title}"), &format!("<h1>{}</h1>\n{}{rest}{ABOUT}", text(&title), self.articles))
    }
}

const ABOUT: &str = "<article>
<h2>How to read this</h2>
<p>Evidence may be looked at every minute without becoming wrong more often: of all harmless releases at most the share that the
spec allows (1 % unless it says otherwise) is ever proven worse. Where a line
reaches \"proven\", it is: that the new version is worse, or that it is no worse than tolerated. An interval holds at every minute at once.</p>
<p>The rank test is another matter: it compares the versions' minutes once, at the end, and would be wrong far too often if it
were looked at every minute. It decides nothing.</p>
</article>
";

/// One case. Writing to a string cannot fail, so its results are dropped.
fn article(name: &str, judged: &Judged) -> String {
    let mut html = String::new();
    let _ = writeln!(html, "<article>\n<h2>{}: {}</h2>", text(name), text(&headline(judged)));
    let _ = writeln!(html, "<p class=\"of\">{}</p>", text(&data(judged)));
    if judged.analysis.comparisons.is_empty() {
        return html + "</article>\n";
    }
    html.push_str(
        "<table class=\"checks\" role=\"table\" aria-label=\"checks\">\n<thead role=\"rowgroup\"><tr role=\"row\"><th role=\"columnheader\">check</th><th \
         role=\"columnheader\">new</th><th role=\"columnheader\">old</th><th role=\"columnheader\" class=\"how\">times as \
         often</th><th role=\"columnheader\">verdict</th></tr></thead>\n<tbody role=\"rowgroup\">\n",
    );
    let glyphs: Vec<Option<Glyph>> = judged.analysis.comparisons.iter().map(glyph).collect();
    let most = most_of(glyphs.iter().flatten());
    for (comparison, glyph) in judged.analysis.comparisons.iter().zip(glyphs) {
        row(&mut html, comparison, glyph, most);
    }
    html.push_str("</tbody></table>\n<ul>\n");
    let sentences = judged.analysis.comparisons.iter().map(|comparison| &comparison.sentence);
    for sentence in sentences.chain(&judged.notes) {
        let _ = writeln!(html, "<li>{}</li>", text(sentence));
    }
    html.push_str("</ul>\n");
    if let Some(trace) = &judged.trace {
        for (index, comparison) in judged.analysis.comparisons.iter().enumerate() {
            charts(&mut html, index, comparison, judged, trace);
        }
    }
    html + "</article>\n"
}

fn glyph(comparison: &Comparison) -> Option<Glyph> {
    let ratio = comparison.ratio?;
    Some(Glyph { low: ratio.lower, at: ratio.estimate, high: ratio.upper, tolerated: None })
}

fn row(html: &mut String, comparison: &Comparison, glyph: Option<Glyph>, most: f64) {
    let rate = |count: Count| match count.requests > 0.0 {
        true => percent(count.events / count.requests),
        false => "no data".to_owned(),
    };
    let how = comparison.ratio.zip(glyph).map(|(ratio, glyph)| {
        let words = format!("{} times as often, {}", times(ratio.estimate), bounds(ratio));
        let (estimate, bounds) = (times(ratio.estimate), bounds(ratio));
        format!("<div><span>{estimate}</span>{}</div><small>{bounds}</small>", glyph.svg(most, &words))
    });
    let (word, tone) = verdict(comparison);
    let _ = writeln!(
        html,
        "<tr role=\"row\"><th role=\"rowheader\" scope=\"row\">{}</th><td role=\"cell\" data-label=\"new\">{}</td><td role=\"cell\" \
         data-label=\"old\">{}</td><td role=\"cell\" class=\"how\">{}</td><td role=\"cell\" class=\"verdict {}\">{word}</td></tr>",
        text(&comparison.check),
        comparison.level.map_or_else(|| rate(comparison.canary), |level| figure(level.canary)),
        comparison.level.map_or_else(|| rate(comparison.baseline), |level| figure(level.baseline)),
        how.unwrap_or_default(),
        tone.class()
    );
}

fn charts(html: &mut String, index: usize, comparison: &Comparison, judged: &Judged, trace: &Trace) {
    let Some((first, _)) = judged.span else { return };
    let like = |minute| first.like(minute).to_string();
    let _ = writeln!(html, "<h3>{}</h3>\n<div class=\"pair\">", text(&comparison.check));
    html.push_str(&rates(trace, index, &like));
    html.push_str(&evidence(trace, index, &like));
    html.push_str("</div>\n");
    if let Some((test, shift)) = trace.ranks.get(index).copied().flatten() {
        let points = |share: f64| format!("{} points", plain_number(share * 100.0));
        let _ = writeln!(
            html,
            "<p class=\"of\">One look at the end, by ranks of the minutes' rates (Mann-Whitney): the new version's are \
             {} apart [{}, {}] (98 % sure); between equal versions chance alone would put them as far apart in {} of \
             10,000 comparisons.</p>",
            points(shift.estimate),
            points(shift.lower),
            points(shift.upper),
            if test.two_sided < 0.0001 { "less than 1".to_owned() } else { grouped(10_000.0 * test.two_sided) }
        );
    }
}

/// The evidence for harm and for "no worse than tolerated", each as a share of what it must reach.
fn evidence(trace: &Trace, index: usize, name: &dyn Fn(Minute) -> String) -> String {
    let about = "Where a line reaches \"proven\", it is proven that the new version is worse, or that it is fine.";
    let mut chart = Chart::new("How much of a proof there is", about, time(trace), Scale::new(0.0, 1.25));
    for (at, label) in [(0.0, "0 %"), (0.5, "50 %"), (1.0, "proven")] {
        chart.y_tick(at, label);
    }
    chart.level(1.0, "");
    let of = |total: fn(&Total) -> f64| {
        let points = trace.points.iter();
        points.map(move |point| (at(point.minute), point.checks.get(index).map(total))).collect::<Vec<_>>()
    };
    chart.line("fine", "fine", of(|total| total.evidence.towards_proof()));
    chart.line("worse", "worse", of(|total| total.evidence.towards_rollback()));
    named(chart, trace, name)
}

/// Events per request of both versions, between one point and the next.
fn rates(trace: &Trace, index: usize, name: &dyn Fn(Minute) -> String) -> String {
    let rate = |now: Count, before: Count| {
        let served = now.requests - before.requests;
        (served > 0.0).then(|| ((now.events - before.events) / served).clamp(0.0, 1.0))
    };
    let (mut new, mut old, mut before) = (Vec::new(), Vec::new(), (Count::default(), Count::default()));
    for point in &trace.points {
        let Some(total) = point.checks.get(index) else { continue };
        new.push((at(point.minute), rate(total.canary, before.0)));
        old.push((at(point.minute), rate(total.baseline, before.1)));
        before = (total.canary, total.baseline);
    }
    let high = new.iter().chain(&old).filter_map(|(_, rate)| *rate).fold(0.0, f64::max);
    if high <= 0.0 {
        return String::new();
    }
    let about = "Minute by minute, or as many minutes together as a curve has room for.";
    let mut chart = Chart::new("How many of the requests", about, time(trace), Scale::new(0.0, high * 1.08));
    ticks(high).into_iter().for_each(|tick| chart.y_tick(tick, &percent(tick)));
    chart.line("old", "old", old);
    chart.line("new", "new", new);
    named(chart, trace, name)
}

fn named(mut chart: Chart, trace: &Trace, name: &dyn Fn(Minute) -> String) -> String {
    if let Some((first, last)) = trace.points.first().zip(trace.points.last()) {
        chart.x_tick(at(first.minute), &name(first.minute));
        if last.minute > first.minute {
            chart.x_tick(at(last.minute), &name(last.minute));
        }
    }
    chart.figure()
}

fn time(trace: &Trace) -> Scale {
    let ends = trace.points.first().zip(trace.points.last());
    ends.map_or(Scale::new(0.0, 1.0), |(first, last)| Scale::new(at(first.minute), at(last.minute)))
}

#[allow(clippy::cast_precision_loss, reason = "minutes are far below 2^52")]
fn at(minute: Minute) -> f64 {
    minute.index() as f64
}
