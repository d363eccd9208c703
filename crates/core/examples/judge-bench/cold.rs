//! Equal versions whose environments are not equally warm: the new one has to start all of its own, and with little traffic
//! they are gone before the next request comes.

use coalmine_core::analysis::{Bins, History, HistoryMinute, JudgePlan, Measured, Pair, learn};
use coalmine_core::sim::rng::Rng;
use coalmine_core::units::Minute;

use crate::bench::Bench;
use crate::chance::normal;
use crate::ladder::{Ending, climb, share};
use crate::latency::{edges_of, with_edges};
use crate::sheet::{Sheet, Times, percent};
use crate::slow::{latency_plan, warm};
use crate::subject::{START, Subject, plan_of};

/// An environment that served nothing for so many seconds is gone.
const IDLE: f64 = 360.0;

/// An environment's first request takes so many times as long, and the next ones, while its caches fill, up to twice.
const FIRST: f64 = 10.0;
const WARMING: f64 = 100.0;

/// Histories of each fleet: a run draws one.
const PASTS: u64 = 20;

/// The second of its minute at which the weight is raised: the latest at which the minute counts as warm-up.
const RAISED_AT: f64 = 30.0;

/// The same in a ladder of 5, 25 and 50 %: the latest at which the minute of each raise counts for its step.
const CLIMBS_AT: f64 = 24.0;

/// Environments of one version.
#[derive(Debug, Clone, Default)]
struct Pool {
    /// When each is free again, and how many requests it has served; the one used last at the end.
    environments: Vec<(f64, f64)>,
}

impl Pool {
    /// How much slower than a warm one the request at `now` is, and the place that serves it.
    fn take(&mut self, now: f64) -> (f64, (f64, f64)) {
        // The most recently used free one; the oldest fall idle.
        self.environments.retain(|(free, _)| now - free <= IDLE);
        let free = self.environments.iter().rposition(|(free, _)| *free <= now);
        let environment = free.map_or((now, 0.0), |place| self.environments.remove(place));
        let factor = match environment.1 {
            served if served < 1.0 => FIRST,
            served if served < WARMING => 2.0 - served / WARMING,
            _ => 1.0,
        };
        (factor, environment)
    }

    fn serve(&mut self, now: f64, slower: f64, rng: &mut Rng) -> f64 {
        let (factor, (_, served)) = self.take(now);
        let seconds = 0.1 * (0.6 * normal(rng)).exp() * factor * slower;
        self.environments.push((now + seconds, served + 1.0));
        seconds * 1000.0
    }
}

/// The new version's part of a minute's requests: at first, and from this second on.
#[derive(Debug, Clone, Copy)]
struct Share {
    first: f64,
    raised_at: f64,
    then: f64,
}

impl Share {
    fn still(weight: f64) -> Self {
        Self { first: weight, raised_at: 0.0, then: weight }
    }
}

/// Both versions' environments as time goes by.
#[derive(Debug, Clone)]
struct Fleet {
    per_second: f64,
    now: f64,
    old: Pool,
    new: Pool,
}

impl Fleet {
    fn new(per_second: f64) -> Self {
        Self { per_second, now: 0.0, old: Pool::default(), new: Pool::default() }
    }

    /// The durations of a minute's requests, old and new. `slower` draws how much longer a request of the new version takes.
    fn minute(&mut self, weight: Share, slower: &impl Fn(&mut Rng) -> f64, rng: &mut Rng) -> (Vec<f64>, Vec<f64>) {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        let start = (self.now / 60.0).floor() * 60.0;
        let end = start + 60.0;
        loop {
            self.now += -(1.0 - rng.uniform()).ln() / self.per_second;
            if self.now >= end {
                self.now = end;
                return (old, new);
            }
            let share = if self.now >= start + weight.raised_at { weight.then } else { weight.first };
            if share > 0.0 && rng.chance(share) {
                let slower = slower(rng);
                new.push(self.new.serve(self.now, slower, rng));
            } else {
                old.push(self.old.serve(self.now, 1.0, rng));
            }
        }
    }
}

/// What is there before a rollout: the plan that knows the past, the old version's fleet, and how long its requests took.
struct Before {
    plan: JudgePlan,
    fleet: Fleet,
    took: Vec<f64>,
    /// The middle and p99 of the last hour.
    quantiles: [f64; 2],
}

/// Six hours of the old version alone.
fn before(plan: &JudgePlan, per_second: f64, rng: &mut Rng) -> Before {
    const MINUTES: i64 = 6 * 60;
    let mut fleet = Fleet::new(per_second);
    let past: Vec<Vec<f64>> = (0..MINUTES).map(|_| fleet.minute(Share::still(0.0), &|_| 1.0, rng).0).collect();
    let mut last: Vec<f64> = past.iter().rev().take(60).flatten().copied().collect();
    last.sort_by(f64::total_cmp);
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
    let quantile = |share: f64| last.get((share * (last.len().max(1) - 1) as f64) as usize).copied().unwrap_or(100.0);
    let plan = with_edges(plan, quantile);
    let (edges, _) = edges_of(&plan);
    let minutes = (START - MINUTES..).zip(&past).map(|(minute, took)| HistoryMinute {
        minute: Minute::from_index(minute),
        measured: vec![binned(took, &edges)],
    });
    let history = History { minutes: minutes.collect(), stretched: vec![None] };
    let quantiles = [quantile(0.5), quantile(0.99)];
    Before { plan: learn(&plan, &history), fleet, took: past.concat(), quantiles }
}

/// Some pasts, because what is learned from one of them is the same in all runs.
fn pasts(bench: &Bench, plan: &JudgePlan, per_second: f64) -> Vec<Before> {
    bench.runs(&format!("past {per_second}"), PASTS, |rng| before(plan, per_second, rng))
}

fn any<'p, T>(pasts: &'p [T], rng: &mut Rng) -> &'p T {
    &pasts[usize::try_from(rng.below(PASTS)).unwrap_or(0)]
}

fn binned(took: &[f64], edges: &[f64]) -> Option<Measured> {
    let mut counts = vec![0.0; edges.len() + 1];
    for time in took {
        counts[edges.partition_point(|edge| edge < time)] += 1.0;
    }
    Bins::new(counts).map(Measured::Bins)
}

fn minutes_to_fail(pasts: &[Before], weight: f64, slower: &impl Fn(&mut Rng) -> f64, rng: &mut Rng) -> Option<usize> {
    let before = any(pasts, rng);
    let (edges, higher) = edges_of(&before.plan);
    let mut fleet = before.fleet.clone();
    let mut subject = Subject::new(&before.plan);
    (1..=60).find(|minute| {
        let raised = Share { first: 0.0, raised_at: RAISED_AT, then: weight };
        let weight_now = if *minute == 1 { raised } else { Share::still(weight) };
        let (old, new) = fleet.minute(weight_now, slower, rng);
        let pair = Pair { baseline: binned(&old, &edges), canary: binned(&new, &higher) };
        subject.see(weight, vec![pair])
    })
}

/// Climbs the ladder; each raise in the middle of a minute.
fn climbs(before: &Before, minutes: usize, slower: &impl Fn(&mut Rng) -> f64, rng: &mut Rng) -> Ending {
    let (edges, higher) = edges_of(&before.plan);
    let mut fleet = before.fleet.clone();
    let mut weight = 0.0;
    climb(&before.plan, minutes, |asked| {
        let (old, new) = fleet.minute(Share { first: weight, raised_at: CLIMBS_AT, then: asked }, slower, rng);
        weight = asked;
        vec![Pair { baseline: binned(&old, &edges), canary: binned(&new, &higher) }]
    })
}

pub fn cold(bench: &Bench) -> Vec<Sheet> {
    let runs = bench.size(200);
    let mut sheet = Sheet::new(
        "Cold environments: equal versions, rolled back for latency within 60 minutes",
        &["traffic", "weight", "Coalmine", "aim", "without warm-up, tolerance 0 %"],
    )
    .about("Every request is simulated: an environment serves one at a time, its first request takes ten times as long, the next")
    .about("hundred up to twice, falling, and after six idle minutes it is gone. The new version starts with none, in the")
    .about("middle of a minute. Latency check alone, by default settings; six hours of history of the old version's own fleet,")
    .about(format!("one of {PASTS}."))
    .about(format!("{runs} runs a row, without warm-up a quarter."));
    let (usual, bare) = (plan_of("checks: [ latency: {} ]"), latency_plan(0.0));
    for per_second in [0.5, 1.0, 5.0, 50.0] {
        let (usual, bare) = (pasts(bench, &usual, per_second), pasts(bench, &bare, per_second));
        for weight in [0.01, 0.05, 0.5] {
            let row = format!("cold {per_second} rps, {weight}");
            let share = |pasts: &[Before], runs: u64| {
                bench.share(&row, runs, |rng| minutes_to_fail(pasts, weight, &|_| 1.0, rng).is_some())
            };
            let (ours, without) = (share(&usual, runs), share(&bare, runs / 4 + 1));
            let aim = sheet.share_at_most(&row, ours, runs, 0.02, "2 %");
            let weight = format!("{} %", weight * 100.0);
            sheet.row([format!("{per_second} rps"), weight, percent(ours), aim, percent(without)]);
        }
    }
    vec![sheet, found_all_the_same(bench), promoted_in_the_end(bench)]
}

fn found_all_the_same(bench: &Bench) -> Sheet {
    let runs = bench.size(60);
    let mut sheet = Sheet::new(
        "Cold environments: slowdowns found all the same, 50 requests a second, 5 %",
        &["slowdown", "by default", "without warm-up, tolerance 0 %"],
    )
    .about("The same fleets; minutes from the first one on, those of the warm-up included, mean / median within 60.")
    .about(format!("{runs} runs a row."));
    let (usual, bare) = (plan_of("checks: [ latency: {} ]"), warm(latency_plan(0.0)));
    let (usual, bare) = (pasts(bench, &usual, 50.0), pasts(bench, &bare, 50.0));
    let kinds = [("p99 × 2", 0.02, 8.0), ("5 % slow path", 0.05, 10.0), ("everything × 1.5", 1.0, 1.5)];
    for (name, share, factor) in kinds {
        let slower = |rng: &mut Rng| if rng.chance(share) { factor } else { 1.0 };
        let times =
            |pasts: &[Before]| Times::of(bench.runs(name, runs, |rng| minutes_to_fail(pasts, 0.05, &slower, rng)), 60);
        let (ours, without) = (times(&usual), times(&bare));
        sheet.row([name.to_owned(), ours.shown(), without.shown()]);
    }
    sheet
}

/// How large a part of these is above.
#[allow(clippy::cast_precision_loss, reason = "requests of a simulation")]
fn above(took: &[f64], edge: f64) -> f64 {
    took.iter().filter(|took| **took > edge).count() as f64 / took.len().max(1) as f64
}

/// A release as slow as the last step must just not let pass, if it were as warm as the old version.
#[derive(Debug, Clone, Copy)]
enum Slow {
    Not,
    /// So many times as long that 5 points more of the requests are above the stretched middle.
    All,
    /// So many of the requests eight times as long that 1 point more is above the stretched p99.
    Tail,
}

impl Slow {
    const STRETCH: f64 = 1.05;
    const TAIL: f64 = 8.0;

    /// The part of the requests that is slower, and the factor.
    fn against(self, before: &Before) -> (f64, f64) {
        let took = &before.took;
        let [middle, tail] = before.quantiles;
        match self {
            Self::Not => (0.0, 1.0),
            Self::All => {
                let enough = |factor: f64| above(took, middle * Self::STRETCH / factor) >= above(took, middle) + 0.05;
                let (mut low, mut high) = (1.0, 2.0);
                for _ in 0..30 {
                    let factor = f64::midpoint(low, high);
                    if enough(factor) { high = factor } else { low = factor }
                }
                (1.0, high)
            }
            Self::Tail => {
                let edge = tail * Self::STRETCH;
                let (usual, slow) = (above(took, edge), above(took, edge / Self::TAIL));
                ((above(took, tail) + 0.01 - usual) / (slow - usual), Self::TAIL)
            }
        }
    }
}

fn promoted_in_the_end(bench: &Bench) -> Sheet {
    const MINUTES: usize = 12 * 60;
    let runs = bench.size(100);
    let mut sheet = Sheet::new(
        "Cold environments: whole rollouts over 5, 25 and 50 %, promoted for latency within 12 hours",
        &["traffic", "release", "promoted", "aim", "minutes", "rolled back", "aim", "undecided"],
    )
    .about("The same fleets, each raise in second 24 of a minute; minutes of data. Latency alone, by default settings, the harm side")
    .about("switched on. The slow ones are slower by exactly what the last step must not let pass, if they were as warm as the old")
    .about("version.")
    .about(format!("{runs} runs a row."));
    let plan = plan_of("checks: [ latency: {} ]");
    let releases =
        [("healthy", Slow::Not), ("5 points more above p50", Slow::All), ("1 point more above p99", Slow::Tail)];
    for (per_second, (name, slow)) in [5.0, 50.0].into_iter().flat_map(|rps| releases.map(|it| (rps, it))) {
        let row = format!("climbs cold, {per_second} rps, {name}");
        let pasts = pasts(bench, &plan, per_second);
        let against: Vec<(&Before, (f64, f64))> = pasts.iter().map(|before| (before, slow.against(before))).collect();
        let endings = bench.runs(&row, runs, |rng| {
            let (before, (part, factor)) = *any(&against, rng);
            climbs(before, MINUTES, &|rng| if part > 0.0 && rng.chance(part) { factor } else { 1.0 }, rng)
        });
        let (up, back) = (share(&endings, Ending::promoted), share(&endings, Ending::rolled_back));
        let (aim, back_aim) = if matches!(slow, Slow::Not) {
            let aim = sheet.judged(&row, up >= 0.95, "≥ 95 %");
            (aim, sheet.share_at_most(&format!("{row}, rolled back"), back, runs, 0.02, "2 %"))
        } else {
            (sheet.share_at_most(&row, up, runs, 0.05, "5 %"), String::new())
        };
        let minutes = Times::of(endings.iter().filter_map(|it| it.promoted()).map(Some), MINUTES);
        let minutes = if minutes.share() > 0.0 { minutes.shown() } else { String::new() };
        let undecided = percent((1.0 - up - back).max(0.0));
        let cells = [name.to_owned(), percent(up), aim, minutes, percent(back), back_aim, undecided];
        sheet.row([format!("{per_second} rps")].into_iter().chain(cells));
    }
    sheet
}
