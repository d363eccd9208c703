//! A check's minutes as a page shows them: so many rows, however long the rollout was.

use coalmine_core::analysis::{Bins, Measured, MinuteSample, PlannedCheck, PlannedDistribution, stretched};
use coalmine_core::units::{Minute, Weight};

/// Rows of a table, and points of a curve. A rollout of an hour has one a minute; of a longer one, minutes are added up, so
/// that a page of ten checks has about a megabyte.
const ROWS_MAX: usize = 180;

/// So many of one version, and in how many of them it happened; of a level, readings and their sum.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Part {
    pub all: f64,
    pub some: f64,
}

impl Part {
    /// Their share, or their mean.
    pub fn rate(self) -> Option<f64> {
        (self.all > 0.0).then(|| self.some / self.all)
    }

    fn add(&mut self, other: Self) {
        self.all += other.all;
        self.some += other.some;
    }
}

/// Some minutes together; `None` where a version brought nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    pub from: Minute,
    pub until: Minute,
    /// At the end.
    pub weight: Weight,
    pub new: Option<Part>,
    pub old: Option<Part>,
}

/// How many minutes a row has, of so many.
pub fn stride(minutes: usize) -> usize {
    minutes.div_ceil(ROWS_MAX).max(1)
}

/// The rows of one check of the plan. Of a distribution, those requests happened that were above the edge.
pub fn rows(check: &PlannedCheck, index: usize, above: Option<f64>, minutes: &[MinuteSample]) -> Vec<Row> {
    let edge = check.distribution.as_ref().and_then(|planned| edge_at(planned, above?));
    let part = |measured: &Option<Measured>| match measured.as_ref()? {
        Measured::Count(_) => measured.as_ref()?.count().map(|count| Part { all: count.requests, some: count.events }),
        Measured::Level(_) => measured.as_ref()?.level().map(|level| Part { all: level.readings, some: level.sum }),
        Measured::Bins(_) => measured.as_ref()?.bins().map(|bins| Part {
            all: bins.requests(),
            some: edge.map_or(0.0, |edge| bins.counts.iter().skip(edge + 1).sum()),
        }),
    };
    let mut rows: Vec<Row> = Vec::new();
    for group in minutes.chunks(stride(minutes.len())) {
        let Some((first, last)) = group.first().zip(group.last()) else { continue };
        let mut row = Row { from: first.minute, until: last.minute.plus(1), weight: last.weight, new: None, old: None };
        for pair in group.iter().filter_map(|sample| sample.pairs.get(index)) {
            for (total, measured) in [(&mut row.new, &pair.canary), (&mut row.old, &pair.baseline)] {
                if let Some(part) = part(measured) {
                    total.get_or_insert_default().add(part);
                }
            }
        }
        rows.push(row);
    }
    rows
}

/// Points of a curve: of more, chance is all that one sees.
const POINTS_MAX: usize = 48;

/// Rows added up until they are few enough for a curve.
pub fn together(rows: &[Row]) -> Vec<Row> {
    let groups = rows.chunks(rows.len().div_ceil(POINTS_MAX).max(1));
    let sum = |group: &[Row], of: fn(&Row) -> Option<Part>| {
        group.iter().filter_map(of).reduce(|mut total, part| {
            total.add(part);
            total
        })
    };
    let row = |group: &[Row]| {
        let (first, last) = group.first().zip(group.last())?;
        Some(Row { from: first.from, new: sum(group, |row| row.new), old: sum(group, |row| row.old), ..*last })
    };
    groups.filter_map(row).collect()
}

fn edge_at(planned: &PlannedDistribution, above: f64) -> Option<usize> {
    planned.edges.iter().position(|edge| (edge - above).abs() <= 1e-4 * above.abs())
}

/// Both versions' requests by how large something was. The old version's minutes weigh as much as the new one's, so that
/// neither the hour nor the weight of the traffic looks like a difference.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    pub new: Vec<Bin>,
    pub old: Vec<Bin>,
    /// Requests of the new version that are in it.
    pub requests: f64,
}

/// Requests above one value, up to another, as a share of all; the last one has no end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    pub above: f64,
    pub up_to: Option<f64>,
    pub share: f64,
}

/// `None` where no minute has bins of both versions.
pub fn distribution(check: &PlannedCheck, index: usize, minutes: &[MinuteSample]) -> Option<Distribution> {
    let planned = check.distribution.as_ref().filter(|planned| !planned.edges.is_empty())?;
    let (mut new, mut old) = (vec![0.0; planned.edges.len() + 1], vec![0.0; planned.edges.len() + 1]);
    for pair in minutes.iter().filter_map(|sample| sample.pairs.get(index)) {
        let bins = |measured: &'_ Option<Measured>| measured.as_ref().and_then(Measured::bins).cloned();
        let Some((theirs, ours)) = bins(&pair.canary).zip(bins(&pair.baseline)) else { continue };
        if theirs.counts.len() != new.len() || ours.counts.len() != old.len() || ours.requests() <= 0.0 {
            continue;
        }
        add(&mut new, &theirs, 1.0);
        add(&mut old, &ours, theirs.requests() / ours.requests());
    }
    let requests: f64 = new.iter().sum();
    (requests > 0.0).then(|| Distribution {
        new: shares(&new, &stretched(&planned.edges, planned.stretch)),
        old: shares(&old, &planned.edges),
        requests,
    })
}

fn add(total: &mut [f64], bins: &Bins, times: f64) {
    total.iter_mut().zip(&bins.counts).for_each(|(total, count)| *total += times * count);
}

fn shares(counts: &[f64], edges: &[f64]) -> Vec<Bin> {
    let all: f64 = counts.iter().sum();
    let above = std::iter::once(0.0).chain(edges.iter().copied());
    let up_to = edges.iter().copied().map(Some).chain([None]);
    let bins = counts.iter().zip(above.zip(up_to));
    bins.map(|(count, (above, up_to))| Bin { above, up_to, share: if all > 0.0 { count / all } else { 0.0 } }).collect()
}

/// The value below which so large a share lies, as evenly as a logarithm inside its bin; `None` in the one without an end.
pub fn quantile(bins: &[Bin], share: f64) -> Option<f64> {
    let mut below = 0.0;
    for bin in bins {
        if bin.share > 0.0 && below + bin.share >= share {
            let part = ((share - below) / bin.share).clamp(0.0, 1.0);
            let up_to = bin.up_to?;
            return Some(if bin.above > 0.0 { bin.above * (up_to / bin.above).powf(part) } else { up_to * part });
        }
        below += bin.share;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use coalmine_core::analysis::{Count, Pair, plan_of_recording};
    use coalmine_core::spec::parse;

    fn errors() -> PlannedCheck {
        let spec =
            parse("{coalmine: v1, target: {lambda: {function: f, alias: live}}, checks: [errors: {}]}").unwrap().spec;
        plan_of_recording(&spec).checks.remove(0)
    }

    fn minute(number: i64, pair: Pair) -> MinuteSample {
        MinuteSample { minute: Minute::from_index(number), weight: Weight::FULL, pairs: vec![pair] }
    }

    /// However long a rollout was, its table stays a table, and nothing is lost by it.
    #[test]
    fn minutes_of_days_are_added_up() {
        for count in [0_usize, 1, 179, 181, 4_321] {
            let counted = |number: usize| if number.is_multiple_of(7) { None } else { Count::new(10.0, 1.0) };
            let minutes: Vec<MinuteSample> = (0..count)
                .map(|number| minute(number as i64, Pair::of(Count::new(90.0, 0.0), counted(number))))
                .collect();
            let rows = rows(&errors(), 0, None, &minutes);
            assert!(rows.len() <= ROWS_MAX, "{} rows of {count} minutes", rows.len());
            let all: f64 = rows.iter().filter_map(|row| Some(row.new?.all)).sum();
            let seen = (0..count).filter(|number| !number.is_multiple_of(7)).count();
            assert!((all - 10.0 * seen as f64).abs() < 1e-6, "{all} of {count}");
            assert!(rows.windows(2).all(|pair| pair[0].until == pair[1].from));
        }
    }

    #[test]
    fn a_minute_without_data_is_missing_and_not_zero() {
        let rows = rows(&errors(), 0, None, &[minute(0, Pair::of(Count::new(9.0, 0.0), None))]);
        assert_eq!((rows[0].new, rows[0].old.and_then(Part::rate)), (None, Some(0.0)));
    }

    #[test]
    fn quantiles_lie_inside_their_bins() {
        let bins = shares(&[50.0, 40.0, 10.0], &[100.0, 400.0]);
        assert_eq!(quantile(&bins, 0.25), Some(50.0));
        assert_eq!(quantile(&bins, 0.5), Some(100.0));
        assert!((quantile(&bins, 0.7).unwrap() - 200.0).abs() < 1e-9);
        assert_eq!(quantile(&bins, 0.95), None);
    }
}
