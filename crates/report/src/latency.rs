//! A distribution: both versions over each other, and how far each quantile has moved.

use std::fmt::Write;

use coalmine_core::analysis::grouped;
use coalmine_core::units::plain_number;

use crate::charts::{Chart, Glyph, Scale, most_of};
use crate::html::text;
use crate::model::Check;
use crate::page::Article;
use crate::sections::rounded;
use crate::series::{Bin, Distribution, quantile};

/// The quantiles that are compared.
const QUANTILES: [f64; 8] = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999];

/// A quantile with fewer requests beyond it is nothing but chance.
const BEYOND: f64 = 20.0;

/// Both versions' values, and how many times as large the new one's is.
struct Shift {
    quantile: f64,
    new: f64,
    old: f64,
}

pub fn section(article: &Article<'_>, check: &Check<'_>, distribution: &Distribution, html: &mut String) {
    let planned = check.planned.distribution.as_ref();
    let unit = planned.map(|planned| planned.unit.as_str()).unwrap_or_default();
    let stretch = planned.map_or(0.0, |planned| planned.stretch);
    html.push_str("<div class=\"pair\">\n");
    html.push_str(&overlaid(article, distribution, unit));
    html.push_str(&shifts(distribution, unit, stretch));
    html.push_str("</div>\n");
}

/// How many requests take how long: the wider to the right, the slower.
fn overlaid(article: &Article<'_>, distribution: &Distribution, unit: &str) -> String {
    let ends = |bins: &[Bin]| {
        let edges: Vec<f64> = bins.iter().filter_map(|bin| bin.up_to).collect();
        Some((*edges.first()?, *edges.last()?))
    };
    let Some(((low_new, high_new), (low_old, high_old))) = ends(&distribution.new).zip(ends(&distribution.old)) else {
        return String::new();
    };
    let (low, high) = (low_new.min(low_old) / 2.0, high_new.max(high_old) * 2.0);
    let (new, old) = (heights(&distribution.new, low, high), heights(&distribution.old, low, high));
    let most = new.iter().chain(&old).fold(0.0_f64, |most, step| most.max(step.2));
    let rollout = article.told.source.rollout;
    let about = format!(
        "The higher, the more requests were about as slow as is written below. {} requests of {}, and as many of {} of the same minutes.",
        grouped(distribution.requests),
        rollout.canary,
        rollout.baseline
    );
    let mut chart =
        Chart::new("How slow the requests were", about, Scale::logarithmic(low, high), Scale::new(0.0, 1.18 * most));
    for tick in decades(low, high) {
        chart.x_tick(tick, format!("{} {unit}", rounded(tick)).trim_end());
    }
    chart.steps("old", "oldband", &old);
    chart.steps("new", "band", &new);
    chart.name(0.8 * most, "new", "new: solid");
    chart.name(0.65 * most, "old", "old: dashed");
    chart.figure()
}

/// From, until, and how many requests there are for each doubling.
fn heights(bins: &[Bin], low: f64, high: f64) -> Vec<(f64, f64, f64)> {
    let height = |bin: &Bin| {
        let (from, until) = (bin.above.max(low), bin.up_to.unwrap_or(high));
        (from, until, bin.share / (until / from).log2().max(1e-3))
    };
    bins.iter().map(height).collect()
}

/// 1, 2 and 5 of each power of ten, as many as fit.
fn decades(low: f64, high: f64) -> Vec<f64> {
    let first = low.log10().floor();
    let powers = (0..24).map(|power| 10_f64.powf(first + f64::from(power)));
    let all: Vec<f64> = powers.flat_map(|power| [power, 2.0 * power, 5.0 * power]).collect();
    let within: Vec<f64> = all.into_iter().filter(|tick| (low..=high).contains(tick)).collect();
    let every = within.len().div_ceil(5).max(1);
    within.into_iter().step_by(every).collect()
}

/// A table that is a chart, too.
fn shifts(distribution: &Distribution, unit: &str, stretch: f64) -> String {
    let shift = |of: &f64| {
        let (new, old) = (quantile(&distribution.new, *of)?, quantile(&distribution.old, *of)?);
        (old > 0.0).then_some(Shift { quantile: *of, new, old })
    };
    let known = |of: &&f64| (1.0 - **of) * distribution.requests >= BEYOND;
    let shifts: Vec<Shift> = QUANTILES.iter().filter(known).filter_map(shift).collect();
    let glyph = |shift: &Shift| {
        let at = shift.new / shift.old;
        Glyph { low: at.min(1.0), at, high: at.max(1.0), tolerated: Some(1.0 + stretch) }
    };
    let glyphs: Vec<Glyph> = shifts.iter().map(glyph).collect();
    let most = most_of(glyphs.iter()).max(1.0 + 3.0 * stretch);
    let mut html = format!(
        "<figure><figcaption><b>How much slower</b> <span>Of 100 requests, so many were faster than this. The dashed line is {} % slower, \
         which is tolerated.</span></figcaption>\n<table class=\"shifts\" aria-label=\"how much slower\"><thead><tr><th class=\"n\">of 100</th><th class=\"n\">new</th><th \
         class=\"n\">old</th><th>shift</th><th><span class=\"soft\">faster | slower</span></th></tr></thead>\n<tbody>\n",
        plain_number((stretch * 1000.0).round() / 10.0)
    );
    for (shift, glyph) in shifts.iter().zip(&glyphs) {
        let percent = 100.0 * (shift.new / shift.old - 1.0);
        let sign = if percent >= 0.05 { "+" } else { "" };
        let said = format!("{sign}{} %", plain_number((percent * 10.0).round() / 10.0 + 0.0));
        let value = |value: f64| text(format!("{} {unit}", rounded(value)).trim_end());
        let _ = writeln!(
            html,
            "<tr><th scope=\"row\" class=\"n\">{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{said}</td><td>{}</td></tr>",
            plain_number((1000.0 * shift.quantile).round() / 10.0),
            value(shift.new),
            value(shift.old),
            glyph.svg(most, &format!("{said}, {}", if percent > 0.0 { "slower" } else { "not slower" }))
        );
    }
    html + "</tbody></table></figure>\n"
}
