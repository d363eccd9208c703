//! A page of one rollout, or of several with a table of contents. What a reader needs first is on the first screen.

use std::fmt::Write;

use coalmine_core::analysis::{Interval, figure, grouped, percent};
use coalmine_core::report::worse_inside_tolerance;
use coalmine_core::rollout::Rollout;
use coalmine_core::spec::Release;
use coalmine_core::units::Timestamp;

use crate::charts::{Glyph, Shares, most_of};
use crate::events::{capitalised, sentence_case};
use crate::html::{page, state, text};
use crate::lead;
use crate::model::{Check, Origin, Source, Told};
use crate::sections;
use crate::words::{bounds, clock, exactly, times, verdict};

/// A page about one rollout.
pub fn one(source: Source<'_>) -> String {
    let told = Told::of(source);
    let rollout = source.rollout;
    let title = format!("{}: {} {} to {}", told.state, rollout.spec.target.key(), rollout.baseline, rollout.canary);
    page(&format!("{title} - Coalmine"), &Article { told: &told, number: 1, name: None, level: 1 }.html())
}

/// A page about several, each with a name of its own, below what is said of all.
pub fn many(title: &str, about: &str, rollouts: &[(String, Source<'_>)]) -> String {
    let told: Vec<(&str, Told<'_>)> =
        rollouts.iter().map(|(name, source)| (name.as_str(), Told::of(*source))).collect();
    let mut body = format!("<h1>{}</h1>\n<p class=\"made-up\">{}</p>\n", text(title), text(about));
    body.push_str(
        "<nav aria-label=\"Contents\"><table aria-label=\"releases\">\n<thead><tr><th>release</th><th>versions</th><th>how it ended</th><th>after</th></tr>\
         </thead>\n<tbody>\n",
    );
    for (index, (name, told)) in told.iter().enumerate() {
        let rollout = told.source.rollout;
        let _ = writeln!(
            body,
            "<tr><th scope=\"row\"><a href=\"#r{}\">{}</a></th><td>{} to {}</td><td class=\"{}\">{}</td><td>{}</td></tr>",
            index + 1,
            text(name),
            text(&rollout.baseline.to_string()),
            text(&rollout.canary.to_string()),
            told.tone.class(),
            text(&sentence_case(&told.state)),
            told.until().since(rollout.started_at)
        );
    }
    body.push_str("</tbody></table></nav>\n");
    for (index, (name, told)) in told.iter().enumerate() {
        body.push_str(&Article { told, number: index + 1, name: Some(name), level: 2 }.html());
    }
    page(&format!("{title} - Coalmine"), &body)
}

/// A rollout on its page.
pub struct Article<'a> {
    pub told: &'a Told<'a>,
    pub number: usize,
    pub name: Option<&'a str>,
    /// Of its heading.
    pub level: usize,
}

impl Article<'_> {
    fn html(&self) -> String {
        let mut html = format!("<article id=\"r{}\">\n<div class=\"first\">\n", self.number);
        self.top(&mut html);
        self.share(&mut html);
        self.checks(&mut html);
        if let Some((question, answer)) = &self.told.chance {
            let _ = writeln!(html, "<p><b>{question}</b> {}</p>", text(answer));
        }
        html.push_str("</div>\n");
        sections::all(self, &mut html);
        html + "</article>\n"
    }

    /// A heading below the article's own.
    pub fn heading(&self, below: usize, words: &str) -> String {
        let level = self.level + below;
        format!("<h{level}>{}</h{level}>\n", text(words))
    }

    /// The state, what of, when, and what a reader has to know.
    fn top(&self, html: &mut String) {
        let told = self.told;
        let rollout = told.source.rollout;
        let versions = format!("{} {} to {}", rollout.spec.target.key(), rollout.baseline, rollout.canary);
        let heading = self.name.map_or_else(|| versions.clone(), |name| format!("{}. {name}", self.number));
        html.push_str(&state(&told.state, told.tone));
        html.push_str(&self.heading(0, &heading));
        let versions = if self.name.is_some() { format!("{versions}, ") } else { String::new() };
        let _ = writeln!(html, "<p class=\"of\">{}{}</p>", text(&versions), text(&told.when));
        let labels = labels(rollout);
        if !labels.is_empty() {
            let _ = writeln!(html, "<p class=\"of\">{}</p>", text(&labels));
        }
        if let (Origin::Simulated { what, .. }, 1) = (told.source.origin, self.level) {
            let _ = writeln!(html, "<p class=\"made-up\">{}</p>", text(what));
        }
        html.push_str("<div class=\"lead\">\n");
        for sentence in &told.lead {
            let _ = writeln!(html, "<p>{}</p>", with_commands(sentence));
        }
        html.push_str("</div>\n");
    }

    fn share(&self, html: &mut String) {
        let told = self.told;
        let (from, until) = (told.source.rollout.started_at, told.until());
        let new = &told.source.rollout.canary;
        let steps = told
            .shares
            .iter()
            .map(|(from, until, weight)| (seconds(*from), seconds(*until), weight.share(), weight.to_string()));
        let marks = told.events.iter().filter_map(|event| Some((seconds(event.at), event.mark?)));
        let marks: Vec<(f64, usize)> = marks.collect();
        let numbers = if marks.is_empty() { "" } else { " The numbers are those of the list below." };
        let said: Vec<String> =
            told.shares.iter().map(|(from, _, weight)| format!("{weight} from {}", exactly(*from))).collect();
        let title = format!("Share of the traffic that {new} got");
        let about = format!("{}.{numbers}", said.join(", "));
        let ticks = [(from, from), (until, from)].map(|(at, beside)| (seconds(at), clock(at, beside))).to_vec();
        html.push_str(&Shares { title: &title, about: &about, steps: steps.collect(), marks, ticks }.figure());
    }

    fn checks(&self, html: &mut String) {
        let told = self.told;
        let rollout = told.source.rollout;
        if let Some(sentence) = lead::before_full(told) {
            let _ = writeln!(html, "<p>{}</p>", with_commands(sentence));
        }
        let sure = coalmine_core::units::plain_number(100.0 * (1.0 - rollout.plan.false_rollback));
        let _ = writeln!(
            html,
            "<table class=\"checks\" role=\"table\" aria-label=\"checks\">\n<thead role=\"rowgroup\"><tr role=\"row\"><th role=\"columnheader\">check</th><th \
             role=\"columnheader\">new: {}</th><th role=\"columnheader\">old: {}</th><th role=\"columnheader\" class=\"how\">times as often \
             ({sure} % sure)</th><th role=\"columnheader\">verdict</th></tr></thead>\n<tbody role=\"rowgroup\">",
            text(&rollout.canary.to_string()),
            text(&rollout.baseline.to_string())
        );
        let glyphs: Vec<Option<Glyph>> = told.checks.iter().map(Check::glyph).collect();
        let most = most_of(glyphs.iter().flatten());
        for (check, glyph) in told.checks.iter().zip(&glyphs) {
            row(html, check, glyph.as_ref(), most);
        }
        html.push_str("</tbody></table>\n");
        if glyphs.iter().any(Option::is_some) {
            let tolerated = glyphs.iter().flatten().any(|glyph| glyph.tolerated.is_some());
            let tolerated =
                if tolerated { "; the dashed one: as much more as the spec tolerates at this step" } else { "" };
            let _ = writeln!(
                html,
                "<p class=\"of\">The dot is what was seen, the bar around it where the truth lies. The upright line is \"as often as on the \
                 old version\", right of it is worse{tolerated}. Compared are whole minutes in which both versions had traffic.</p>"
            );
        }
        let inside = told.checks.iter().find_map(|check| worse_inside_tolerance(&rollout.plan, &check.comparison));
        if let Some(sentence) = inside {
            let _ = writeln!(html, "<p>{}.</p>", text(&capitalised(&sentence)));
        }
        for full in &told.at_full {
            let sentence = format!("{} A look at before and after, and no comparison.", lead::at_full(rollout, full));
            let _ = writeln!(html, "<p>{}</p>", with_commands(&sentence));
        }
        let _ = writeln!(html, "<p><b>Alarms:</b> {}.</p>", text(&told.alarms));
    }
}

/// `git 3f9c2ab | team-checkout | CHG-8812 | started by ci`: of a release that has labels.
fn labels(rollout: &Rollout) -> String {
    let Release { commit, owner, ticket } = &rollout.spec.release;
    if [commit, owner, ticket].iter().all(|label| label.is_empty()) {
        return String::new();
    }
    let commit = if commit.is_empty() { String::new() } else { format!("git {commit}") };
    let said = [commit, owner.clone(), ticket.clone(), format!("started by {}", rollout.started_by)];
    said.into_iter().filter(|label| !label.is_empty()).collect::<Vec<_>>().join(" | ")
}

fn row(html: &mut String, check: &Check<'_>, glyph: Option<&Glyph>, most: f64) {
    let comparison = &check.comparison;
    let (word, tone) = verdict(comparison);
    let [new, old] = [comparison.canary, comparison.baseline].map(|count| match count.requests > 0.0 {
        true => (
            percent(count.events / count.requests),
            format!("{} of {}", grouped(count.events), grouped(count.requests)),
        ),
        false => ("no data".to_owned(), String::new()),
    });
    let (new, old) = match comparison.level {
        Some(level) => ((figure(level.canary), "mean".to_owned()), (figure(level.baseline), "mean".to_owned())),
        None => (new, old),
    };
    let how = match (glyph, comparison.ratio) {
        (Some(glyph), Some(ratio)) => format!(
            "<div><span>{}</span>{}</div><small>{}</small>",
            often(ratio),
            glyph.svg(most, &format!("{} times as often, {}", times(ratio.estimate), bounds(ratio))),
            text(&bounds(ratio))
        ),
        _ => "<span class=\"soft\">nothing to compare</span>".to_owned(),
    };
    let _ = writeln!(
        html,
        "<tr role=\"row\"><th role=\"rowheader\" scope=\"row\">{}<small>{}</small></th><td role=\"cell\" class=\"n\" data-label=\"new\">{}\
         <small>{}</small></td><td role=\"cell\" class=\"n\" data-label=\"old\">{}<small>{}</small></td><td role=\"cell\" \
         class=\"how\">{how}</td><td role=\"cell\" class=\"verdict {}\">{}</td></tr>",
        text(&comparison.check),
        text(&asked(check)),
        text(&new.0),
        text(&new.1),
        text(&old.0),
        text(&old.1),
        tone.class(),
        text(&capitalised(word))
    );
}

fn often(ratio: Interval) -> String {
    if ratio.estimate >= 100.5 && ratio.estimate.is_finite() {
        return "100+ x".to_owned();
    }
    if ratio.estimate.is_finite() { format!("{} x", times(ratio.estimate)) } else { "new".to_owned() }
}

/// What is counted, and what of it is tolerated.
fn asked(check: &Check<'_>) -> String {
    let comparison = &check.comparison;
    match (&comparison.slower, check.is_level()) {
        (Some(slower), _) => {
            let value = |value: f64| format!("{} {}", sections::rounded(value), slower.unit).trim_end().to_owned();
            format!("slower than {} (new), {} (old)", value(slower.canary_above), value(slower.above))
        }
        (None, true) => "a level".to_owned(),
        (None, false) => format!("tolerated: {}", comparison.tolerance),
    }
}

/// What stands between backticks is a command.
fn with_commands(sentence: &str) -> String {
    // A number stays with its sign.
    let sentence = &sentence.replace(" %", "\u{a0}%");
    let parts: Vec<String> = sentence.split('`').map(text).collect();
    if parts.len().is_multiple_of(2) {
        return text(sentence);
    }
    let command = |(place, part): (usize, &String)| match place % 2 {
        0 => part.clone(),
        _ => format!("<code>{part}</code>"),
    };
    parts.iter().enumerate().map(command).collect()
}

#[allow(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
pub fn seconds(at: Timestamp) -> f64 {
    at.epoch_seconds() as f64
}
