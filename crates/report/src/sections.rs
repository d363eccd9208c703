//! What stands below the first screen: what happened, each check over time, all numbers, the spec, and the ways on.

use std::fmt::Write;

use coalmine_core::analysis::{figure, grouped, percent};
use coalmine_core::spec::{self, Target};
use coalmine_core::units::Timestamp;
use coalmine_core::way_out::WayOut;

use crate::charts::{Chart, Scale, ticks};
use crate::html::{lines, text};
use crate::latency;
use crate::model::{Check, Origin, Told};
use crate::page::{Article, seconds};
use crate::series::{Part, together};
use crate::words::{clock, day, exactly, in_address, quoted};

/// Evidence beyond what is needed, and against, is not shown further than this.
const EVIDENCE_MOST: f64 = 1.25;

pub fn all(article: &Article<'_>, html: &mut String) {
    for check in &article.told.checks {
        one_check(article, check, html);
    }
    log(article, html);
    about(article, html);
}

/// Everything that happened, with who did it and why.
fn log(article: &Article<'_>, html: &mut String) {
    let told = article.told;
    let rollout = told.source.rollout;
    let _ = writeln!(html, "<section>\n{}", article.heading(1, "What happened"));
    let kept = u64::try_from(rollout.history.len()).unwrap_or(u64::MAX);
    if rollout.events_total > kept {
        let _ = writeln!(html, "<p class=\"of\">{} older lines are not kept.</p>", rollout.events_total - kept);
    }
    html.push_str(
        "<table class=\"log\" role=\"table\" aria-label=\"what happened\">\n<thead role=\"rowgroup\"><tr role=\"row\"><th role=\"columnheader\">UTC</th><th \
         role=\"columnheader\">what</th><th role=\"columnheader\">by</th><th role=\"columnheader\">why</th></tr></thead>\n<tbody \
         role=\"rowgroup\">\n",
    );
    let mut today = day(rollout.started_at);
    for event in &told.events {
        let date = Some(day(event.at)).filter(|date| *date != today);
        let date = date.inspect(|date| today.clone_from(date)).map(|date| format!("{date}, ")).unwrap_or_default();
        let mark = event.mark.map(|mark| format!("<span class=\"badge\">{mark}</span> ")).unwrap_or_default();
        let _ = writeln!(
            html,
            "<tr role=\"row\"><td role=\"cell\" class=\"n\">{date}{}</td><th role=\"rowheader\" scope=\"row\">{mark}{}</th><td \
             role=\"cell\">{}</td><td role=\"cell\">{}</td></tr>",
            exactly(event.at),
            text(&event.label),
            text(&event.who),
            text(&event.text)
        );
    }
    html.push_str("</tbody></table>\n</section>\n");
}

fn one_check(article: &Article<'_>, check: &Check<'_>, html: &mut String) {
    let told = article.told;
    let _ = writeln!(html, "<section>\n{}", article.heading(1, &format!("Check: {}", check.comparison.check)));
    let _ = writeln!(html, "<p class=\"of\">{}.</p>", text(&check.comparison.sentence));
    if check.rows.iter().all(|row| row.new.is_none() && row.old.is_none()) {
        html.push_str("<p>There is no data of it.</p>\n</section>\n");
        return;
    }
    html.push_str("<div class=\"pair\">\n");
    html.push_str(&rates(told, check));
    if !check.is_level() {
        html.push_str(&evidence(told, check));
    }
    html.push_str("</div>\n");
    if let Some(distribution) = &check.distribution {
        latency::section(article, check, distribution, html);
    }
    minutes(told, check, html);
    html.push_str("</section>\n");
}

/// From the first minute to the last, as the charts of one check have it.
fn time(told: &Told<'_>, check: &Check<'_>) -> (Timestamp, Timestamp, Scale) {
    let from = check.rows.first().map_or(told.source.rollout.started_at, |row| row.from.start());
    let until = check.rows.last().map_or(told.until(), |row| row.until.start());
    (from, until, Scale::new(seconds(from), seconds(until)))
}

fn with_time(mut chart: Chart, told: &Told<'_>, from: Timestamp, until: Timestamp) -> String {
    let started = told.source.rollout.started_at;
    for at in [from, until] {
        chart.x_tick(seconds(at), &clock(at, started));
    }
    for (at, ..) in told.shares.iter().skip(1).filter(|(at, ..)| from < *at && *at < until) {
        chart.moment(seconds(*at));
    }
    chart.figure()
}

/// Both versions minute by minute, and between which bounds the new one lies in truth.
fn rates(told: &Told<'_>, check: &Check<'_>) -> String {
    let rollout = told.source.rollout;
    let (from, until, x) = time(told, check);
    let drawn = together(&check.rows);
    let values = || drawn.iter().flat_map(|row| [row.new, row.old]).filter_map(|part| part?.rate());
    let (low, high) = values().fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    let high = if high > low { low + (high - low) * 1.08 } else { low + 1.0 };
    let written = |value: f64| if check.is_level() { figure(value) } else { percent(value) };
    let title = match (&check.comparison.slower, check.is_level()) {
        (Some(_), _) => "How many of the requests were slow",
        (None, true) => "Its level, minute by minute",
        (None, false) if check.comparison.check == "errors" => "How many of the requests failed",
        (None, false) => "How many of the requests",
    };
    let band = if check.is_level() { Vec::new() } else { band(told, check, high) };
    let each = match crate::series::stride(told.source.minutes.len()) * check.rows.len().div_ceil(drawn.len().max(1)) {
        1 => "Minute by minute".to_owned(),
        minutes => format!("{minutes} minutes a point"),
    };
    let about = match band.is_empty() {
        true => format!("{each}."),
        false => {
            format!("{each}. Shaded: where the true rate of {} lies, by all that is known until then.", rollout.canary)
        }
    };
    let mut chart = Chart::new(title, about, x, Scale::new(low, high));
    ticks(high).into_iter().filter(|tick| *tick >= low).for_each(|tick| chart.y_tick(tick, &written(tick)));
    chart.band("band", &band);
    let middle = |row: &crate::series::Row| 0.5 * (seconds(row.from.start()) + seconds(row.until.start()));
    let rate = |part: Option<Part>| part.and_then(Part::rate);
    chart.line("old", "old", drawn.iter().map(|row| (middle(row), rate(row.old))));
    chart.line("new", "new", drawn.iter().map(|row| (middle(row), rate(row.new))));
    for row in &drawn {
        let said = |name: &str, part: Option<Part>| match part.and_then(|part| Some((part, part.rate()?))) {
            Some((part, rate)) if check.is_level() => {
                format!("{name} {} ({} readings)", figure(rate), grouped(part.all))
            }
            Some((part, rate)) => format!("{name} {} ({} of {})", percent(rate), grouped(part.some), grouped(part.all)),
            None => format!("{name} no data"),
        };
        let at = row.from.start().hour_minute();
        let words = format!("{at}, {}: {}, {}", row.weight, said("new", row.new), said("old", row.old));
        chart.told(seconds(row.from.start()), seconds(row.until.start()), &words);
    }
    with_time(chart, told, from, until)
}

/// The old version's rate so far, times the bounds of the ratio.
fn band(told: &Told<'_>, check: &Check<'_>, high: f64) -> Vec<(f64, f64, f64)> {
    let points = told.seen.trace.points.iter().filter_map(|point| {
        let total = point.checks.get(check.index)?;
        let rate = (total.baseline.requests > 0.0).then(|| total.baseline.events / total.baseline.requests)?;
        let ratio = total.ratio?;
        let upper = if ratio.upper.is_finite() { rate * ratio.upper } else { high };
        Some((seconds(point.minute.plus(1).start()), rate * ratio.lower, upper))
    });
    points.collect()
}

/// How near it was to a rollback, and to a proof.
fn evidence(told: &Told<'_>, check: &Check<'_>) -> String {
    let (from, until, x) = time(told, check);
    let about = "Where a line reaches \"proven\", Coalmine acts: worse rolls back; fine, in every check, lets the next step begin, which \
                 asks for more. Upright dotted lines are changes of the weight.";
    let mut chart = Chart::new("How much of a proof there is", about, x, Scale::new(0.0, EVIDENCE_MOST));
    for (at, label) in [(0.0, "0 %"), (0.5, "50 %")] {
        chart.y_tick(at, label);
    }
    chart.level(1.0, "");
    chart.y_tick(1.0, "proven");
    let points = |part: &dyn Fn(&coalmine_core::analysis::Evidence) -> f64| -> Vec<(f64, Option<f64>)> {
        let points = told.seen.trace.points.iter();
        let point = |point: &coalmine_core::analysis::replay::Point| {
            let total = point.checks.get(check.index)?;
            Some((seconds(point.minute.plus(1).start()), Some(part(&total.evidence))))
        };
        points.filter_map(point).collect()
    };
    chart.line("fine", "fine", points(&|evidence| evidence.towards_proof()));
    chart.line("worse", "worse", points(&|evidence| evidence.towards_rollback()));
    with_time(chart, told, from, until)
}

/// The numbers behind the charts.
fn minutes(told: &Told<'_>, check: &Check<'_>, html: &mut String) {
    let stride = crate::series::stride(told.source.minutes.len());
    let each = if stride == 1 { "a row a minute".to_owned() } else { format!("{stride} minutes a row, added up") };
    let (all, some) = if check.is_level() { ("readings", "mean") } else { ("requests", "of them") };
    let _ = writeln!(
        html,
        "<details><summary>The numbers of {}, {each}</summary>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"numbers of \
         {}\"><table class=\"minutes\" aria-label=\"numbers\">\n<thead><tr><th>UTC</th><th class=\"n\">weight</th><th class=\"n\">new: {all}</th><th \
         class=\"n\">{some}</th><th class=\"n\">rate</th><th class=\"n\">old: {all}</th><th class=\"n\">{some}</th><th \
         class=\"n\">rate</th></tr></thead>\n<tbody>",
        text(&check.comparison.check),
        text(&check.comparison.check)
    );
    for row in &check.rows {
        let cells = |part: Option<Part>| match part {
            None => "<td class=\"n\">no data</td><td></td><td></td>".to_owned(),
            Some(part) if check.is_level() => {
                let mean = part.rate().map_or_else(String::new, figure);
                format!("<td class=\"n\">{}</td><td class=\"n\">{mean}</td><td></td>", grouped(part.all))
            }
            Some(part) => format!(
                "<td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>",
                grouped(part.all),
                grouped(part.some),
                part.rate().map_or_else(String::new, percent)
            ),
        };
        let at = clock(row.from.start(), told.source.rollout.started_at);
        let _ = writeln!(
            html,
            "<tr><td class=\"n\">{at}</td><td class=\"n\">{}</td>{}{}</tr>",
            row.weight,
            cells(row.new),
            cells(row.old)
        );
    }
    html.push_str("</tbody></table></div></details>\n");
}

/// Who and what, how fresh, the spec, and what to do with it.
fn about(article: &Article<'_>, html: &mut String) {
    let told = article.told;
    let (rollout, source) = (told.source.rollout, told.source);
    let _ = writeln!(html, "<section>\n{}<dl>", article.heading(1, "About this rollout"));
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(html, "<dt>{name}</dt><dd>{}</dd>", text(value));
        }
    };
    fact("name", &rollout.id);
    fact("started by", &rollout.started_by);
    fact("commit", &rollout.spec.release.commit);
    fact("owner", &rollout.spec.release.owner);
    fact("ticket", &rollout.spec.release.ticket);
    fact("code of the new version", &rollout.code_hash);
    fact("strategy", &rollout.spec.strategy);
    let known = told.known_until().map_or_else(
        || "no data came".to_owned(),
        |at| format!("counted up to {} UTC; CloudWatch is some minutes behind", clock(at, rollout.started_at)),
    );
    fact("data", &known);
    fact("could not be read", &source.unread.join("; "));
    html.push_str("</dl>\n");
    ways_on(told, html);
    let _ = writeln!(
        html,
        "<details><summary>The spec, with every default written out</summary>\n<pre tabindex=\"0\" aria-label=\"spec\">{}</pre></details>",
        lines(&spec::effective(&rollout.spec))
    );
    html.push_str("</section>\n");
}

/// Commands, and pages of the console.
fn ways_on(told: &Told<'_>, html: &mut String) {
    let rollout = told.source.rollout;
    let id = quoted(&rollout.id);
    let mut command = |about: &str, command: &str| {
        let _ = writeln!(html, "<p>{about}: <code>{}</code></p>", text(command));
    };
    match told.source.origin {
        Origin::Simulated { again, .. } => command("The same once more", again),
        Origin::Deployed { region } => {
            let ended = rollout.is_terminal();
            let back = format!("All traffic back to {}, without Coalmine", text(&rollout.baseline.to_string()));
            match WayOut::of(rollout) {
                Some(WayOut::Line(line)) => command(&back, &line),
                Some(WayOut::ReadFirst { command: reads, by_hand }) => {
                    command(&format!("{back}: {}. As commands", text(&by_hand)), &reads);
                }
                None => {}
            }
            if !ended {
                command("The same with Coalmine", &format!("coalmine abort {id}"));
            }
            let save = format!("coalmine report {id} --json > rollout.json; coalmine report --from rollout.json");
            command("This page once more, from its own numbers", &save);
            if let Target::Lambda(lambda) = &rollout.spec.target {
                let group = quoted(&format!("/aws/lambda/{}", lambda.function));
                let from = rollout.started_at;
                command("Logs", &format!("aws logs tail {group} --since {from}"));
            }
            html.push_str(&consoles(told, region.as_deref()));
        }
    }
}

/// Links to where AWS shows the same.
fn consoles(told: &Told<'_>, region: Option<&str>) -> String {
    let rollout = told.source.rollout;
    let Some(region) = region.map(in_address) else { return String::new() };
    let home = |service: &str| format!("https://{region}.console.aws.amazon.com/{service}/home?region={region}");
    let mut links: Vec<(String, String)> = Vec::new();
    if let Target::Lambda(lambda) = &rollout.spec.target {
        let function = in_address(&lambda.function);
        // The console writes a slash of a log group's name as `$252F`.
        let group = in_address(&format!("/aws/lambda/{}", lambda.function)).replace('%', "$25");
        for version in [&rollout.canary, &rollout.baseline] {
            let place = format!("#/functions/{function}/versions/{}?tab=monitoring", in_address(&version.0));
            links.push((format!("metrics of {version}"), home("lambda") + &place));
        }
        links.push(("logs".to_owned(), home("cloudwatch") + &format!("#logsV2:log-groups/log-group/{group}")));
    }
    for alarm in &rollout.spec.alarms.names {
        links.push((format!("alarm {alarm}"), home("cloudwatch") + &format!("#alarmsV2:alarm/{}", in_address(alarm))));
    }
    let link = |(name, address): &(String, String)| {
        format!("<a rel=\"noreferrer\" href=\"{}\">{}</a>", text(address), text(name))
    };
    let links: Vec<String> = links.iter().map(link).collect();
    if links.is_empty() { String::new() } else { format!("<p>In the console: {}</p>\n", links.join(" | ")) }
}

/// To three digits.
pub fn rounded(value: f64) -> String {
    if value <= 0.0 || !value.is_finite() {
        return "0".to_owned();
    }
    let unit = 10_f64.powf(value.log10().floor() - 2.0);
    let value = (value / unit).round() * unit;
    if value >= 1000.0 { grouped(value) } else { coalmine_core::units::plain_number((value * 1e6).round() / 1e6) }
}
