//! The report: one page that needs nothing else, readable on a phone and on paper. Every curve is named where it is,
//! and no colour carries meaning alone.

mod chart;

use std::fmt::Write;

use coalmine_core::analysis::replay::{Judged, Trace};
use coalmine_core::analysis::{Comparison, Count, Doubt, Interval, Verdict, figure, grouped, percent};
use coalmine_core::text::is_harmful;
use coalmine_core::units::plain_number;

use super::Tally;
use super::screen::{data, headline, number};
use chart::{evidence, interval, rates};

/// Cases that are shown in full; of more, the others are counted.
const CASES_MAX: usize = 100;

const STYLE: &str = "
:root { color-scheme: light dark; --new: #b3261e; --old: #2b5fab; --line: #8885; }
@media (prefers-color-scheme: dark) { :root { --new: #ff8a80; --old: #8ab4f8; } }
body { font: 16px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 .5rem; } h2 { font-size: 1.15rem; margin: 0; } h3 { font-size: 1rem; margin: 1rem 0 0; }
article { border-top: 1px solid var(--line); padding: 1rem 0; }
.of { opacity: .75; margin: .1rem 0 .5rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .25rem .75rem .25rem 0; }
td, th { border-bottom: 1px solid var(--line); vertical-align: middle; }
.wide { overflow-x: auto; }
svg { max-width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: currentColor; } .axis { stroke: currentColor; opacity: .5; fill: none; }
.bar { stroke: currentColor; opacity: .6; stroke-dasharray: 2 3; fill: none; }
.new { stroke: var(--new); fill: none; stroke-width: 2; } .old { stroke: var(--old); fill: none; stroke-width: 2; stroke-dasharray: 6 3; }
.at { fill: var(--new); stroke: none; }
";

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
        let viewport = r#"<meta name="viewport" content="width=device-width, initial-scale=1"/>"#;
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n{viewport}\n<title>Coalmine: \
             {title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{}{rest}{ABOUT}</main>\n\
             </body>\n</html>\n",
            self.articles
        )
    }
}

const ABOUT: &str = "<article>
<h2>How to read this</h2>
<p>Evidence may be looked at every minute without becoming wrong more often: of all harmless releases at most the share that the
spec allows (1 % unless it says otherwise) is ever proven worse. The upper dotted line is where harm is proven, or that the new
version is no worse than tolerated. Below zero, the data speak against it. An interval holds at every minute at once.</p>
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
        "<div class=\"wide\"><table>\n<tr><th>check</th><th>new</th><th>old</th><th>times as often</th><th>verdict</th></tr>\n",
    );
    for comparison in &judged.analysis.comparisons {
        row(&mut html, comparison);
    }
    html.push_str("</table></div>\n<ul>\n");
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

fn row(html: &mut String, comparison: &Comparison) {
    let rate = |count: Count| match count.requests > 0.0 {
        true => percent(count.events / count.requests),
        false => "no data".to_owned(),
    };
    let _ = writeln!(
        html,
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        text(&comparison.check),
        comparison.level.map_or_else(|| rate(comparison.canary), |level| figure(level.canary)),
        comparison.level.map_or_else(|| rate(comparison.baseline), |level| figure(level.baseline)),
        comparison.ratio.map(|ratio| format!("{} {}", times(ratio), interval(ratio))).unwrap_or_default(),
        word(comparison)
    );
}

/// `3.1 [1.9, 5.2]`.
fn times(ratio: Interval) -> String {
    let number = |value: f64| match value {
        value if !value.is_finite() => "more than can be told".to_owned(),
        value if value >= 10.0 => format!("{value:.0}"),
        value => plain_number((value * 100.0).round() / 100.0),
    };
    format!("{} [{}, {}]", number(ratio.estimate), number(ratio.lower), number(ratio.upper))
}

fn word(comparison: &Comparison) -> &'static str {
    match (comparison.verdict, comparison.doubt) {
        (Verdict::Fail, Some(Doubt::NoData)) => "no data, which fails",
        (Verdict::Fail, _) => "proven worse",
        (Verdict::Pass, _) => "proven fine",
        (Verdict::Inconclusive, Some(Doubt::LooksWorse)) => "looks worse, not proven",
        (Verdict::Inconclusive, Some(Doubt::NoData)) => "no data",
        (Verdict::Inconclusive, Some(Doubt::Blind)) => "cannot be told",
        (Verdict::Inconclusive, None) if comparison.level.is_some() => "shown only",
        (Verdict::Inconclusive, Some(Doubt::StillBaking | Doubt::TooLittleTraffic | Doubt::SplitUnexpected) | None) => {
            "not proven"
        }
    }
}

fn charts(html: &mut String, index: usize, comparison: &Comparison, judged: &Judged, trace: &Trace) {
    let Some((first, _)) = judged.span else { return };
    let like = |minute| first.like(minute).to_string();
    let _ = writeln!(html, "<h3>{}</h3>", text(&comparison.check));
    html.push_str(&evidence(trace, index, &like));
    html.push_str(&rates(trace, index, &like));
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

/// As text between tags, or in an attribute.
fn text(raw: &str) -> String {
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
