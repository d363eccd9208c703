//! Evidence for harm, of any kind of check, and the ways it leads to a rollback.
//!
//! Every way but the catastrophic one needs the *plain key*: evidence that takes requests as independent, against
//! 0.9 of the check's budget. So on independent requests a harmless release is rolled back with probability at most the
//! budget, whatever the history says; the rest can only make the rule stricter.
//!
//! * **By history**: the same bets once more, each minute's evidence divided by the dispersion that the old version's
//!   past gives its contrast, and no minute worth more than three quarters of what is needed: one burst alone is not
//!   harm. If the canary's own minutes scatter more than that, the bar is as much higher.
//! * **By minutes**: the t-test over minutes, which needs no history: at 10 where there is little of it, and at 100
//!   where there is. Noise that lasts for many minutes fools it, so it is off where the history shows such noise.
//! * **Catastrophes** need nothing else. Their evidence is divided by three, and by more where the history says so: one
//!   cluster of ten among few errors would be one.

use serde::{Deserialize, Serialize};

use crate::analysis::bars::Bars;
use crate::analysis::stats::{Dispersion, Restarts, Z_HARM};
use crate::analysis::{GuardMode, JudgePlan, Learned, PlannedCheck};
use crate::units::Minute;

/// Minutes with data that a history needs before evidence is weighed by it.
pub(in crate::analysis) const MINUTES_OF_HISTORY: u32 = 60;
/// What one minute may be worth at most at alpha = 1 %: three quarters of what is needed. In proportion at others.
const CAP_AT_ONE_PERCENT: f64 = 3.45;
/// What the t-test over minutes must reach, as a factor.
const GUARD: f64 = 10.0;
/// From so many events in the history on it must reach more, and from so many the square.
const GUARD_RISES: f64 = 20.0;
const GUARD_HAS_RISEN: f64 = 100.0;
/// The strict mode divides by this upper end.
const Z_STRICT: f64 = 1.0;

/// The way by which harm was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Lane {
    /// Evidence divided by what the old version's history says it is worth.
    History,
    /// The new version is worse in most minutes.
    Minutes,
    /// So much worse that nothing else explains it.
    Catastrophe,
}

/// Evidence for harm, as natural logarithms, with what it must reach.
#[derive(Debug, Clone, Copy)]
pub(in crate::analysis) struct Harm {
    /// ln E: now, and at most so far.
    pub now: f64,
    pub most: f64,
    /// The t-test over minutes now; once harm is proven, as it was then.
    pub guard: f64,
    /// Infinite where it is off.
    pub guard_bar: f64,
    /// The evidence by history, likewise; 0 without one.
    pub tempered: f64,
    /// Infinite without history.
    pub tempered_bar: f64,
    /// By what the newest minute's evidence was divided.
    pub dispersion: f64,
    pub catastrophe_most: f64,
    /// First minute at which harm was proven, and how.
    pub proven: Option<(Minute, Lane)>,
}

/// What one comparable minute says.
#[derive(Debug, Clone, Copy)]
pub(in crate::analysis) struct Evident<'b> {
    pub minute: Minute,
    /// One per bet, always in the same order.
    pub bets: &'b [Bet],
    /// ln E against a catastrophe, this minute included; 0 where nothing could be one.
    pub catastrophe: f64,
}

/// What else there is to know after a minute. Nothing is decided by it without the plain key, so it is only worked out
/// for minutes that have that, and for people.
#[derive(Debug, Clone, Copy)]
pub(in crate::analysis) struct Second {
    /// ln G of the t-test over minutes.
    pub guard: f64,
    /// The newest minute's dispersion that is shown.
    pub dispersion: f64,
    /// How much more the canary scatters than that, as a factor; at most 1 where it does not.
    pub excess: f64,
}

impl Second {
    /// Before there is anything to compare.
    pub const NOTHING: Self = Self { guard: 0.0, dispersion: 1.0, excess: 1.0 };
}

/// One bet's minute.
#[derive(Debug, Clone, Copy)]
pub(in crate::analysis) struct Bet {
    /// ln e, for independent requests.
    pub ln_e: f64,
    /// What it is divided by.
    pub dispersion: f64,
}

/// How evidence is weighed by history: `None` where there is not enough of it, or it is not to be used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::analysis) struct Weighing {
    /// Standard deviations of doubt in the dispersion.
    pub z: f64,
    /// Whether one minute's worth is limited and the canary's own scatter counts.
    careful: bool,
}

impl Weighing {
    pub fn of(plan: &JudgePlan, check: &PlannedCheck) -> Option<Self> {
        let enough = |learned: &Learned| learned.minutes >= MINUTES_OF_HISTORY;
        check.learned.as_ref().filter(|learned| enough(learned))?;
        match plan.guard {
            GuardMode::Standard => Some(Self { z: Z_HARM, careful: true }),
            GuardMode::Fast => Some(Self { z: Z_HARM, careful: false }),
            GuardMode::Strict => Some(Self { z: Z_STRICT, careful: true }),
            GuardMode::Off => None,
        }
    }
}

/// What the t-test over minutes must reach beside a history with this dispersion, as a logarithm. The t-test takes
/// minutes as independent.
pub(in crate::analysis) fn guard_bar(past: Option<&Dispersion>) -> f64 {
    let Some(past) = past else { return GUARD.ln() };
    if past.scale_minutes > 1 {
        return f64::INFINITY;
    }
    let ramp = GUARD_HAS_RISEN - GUARD_RISES;
    GUARD.ln() * (1.0 + (past.weight - GUARD_RISES).clamp(0.0, ramp) / ramp)
}

/// The harm side of a check.
#[derive(Debug, Clone)]
pub(in crate::analysis) struct Lanes {
    bars: Bars,
    weighing: Option<Weighing>,
    /// What a minute may be worth at most.
    cap: f64,
    plain: Restarts,
    tempered: Restarts,
    harm: Harm,
}

impl Lanes {
    /// `guard_bar` is what the t-test over minutes must reach.
    pub fn new(plan: &JudgePlan, bars: Bars, bets: usize, weighing: Option<Weighing>, guard_bar: f64) -> Self {
        let careful = weighing.is_none_or(|weighing| weighing.careful);
        Self {
            bars,
            weighing,
            cap: if careful { CAP_AT_ONE_PERCENT * (bars.alpha.ln() / 0.01_f64.ln()) } else { f64::INFINITY },
            plain: Restarts::new(bets, plan.begins()),
            tempered: Restarts::new(bets, plan.begins()),
            harm: Harm {
                now: 0.0,
                most: 0.0,
                guard: 0.0,
                guard_bar,
                tempered: 0.0,
                tempered_bar: if weighing.is_some() { bars.harm } else { f64::INFINITY },
                dispersion: 1.0,
                catastrophe_most: 0.0,
                proven: None,
            },
        }
    }

    /// All of it, as of now.
    pub fn harm(&self, second: impl FnOnce() -> Second) -> Harm {
        let mut harm = self.harm;
        if harm.proven.is_none() {
            self.weigh(&mut harm, &second());
        }
        harm
    }

    /// First minute at which harm was proven, and how.
    pub fn proven(&self) -> Option<(Minute, Lane)> {
        self.harm.proven
    }

    /// ln E: now, and at most so far.
    pub fn now(&self) -> f64 {
        self.harm.now
    }

    pub fn most(&self) -> f64 {
        self.harm.most
    }

    pub fn bars(&self) -> &Bars {
        &self.bars
    }

    /// The next minute is the first to be compared since the weight was raised.
    pub fn raise(&mut self) {
        self.plain.raise();
        // Noise that lasts shows more at a larger weight: a fresh stake would be one on the noise.
        if self.harm.guard_bar.is_finite() {
            self.tempered.raise();
        }
    }

    /// Takes one comparable minute in. `second` is as of after it.
    pub fn observe(&mut self, seen: &Evident<'_>, second: impl FnOnce() -> Second) {
        let Self { bars, weighing, cap, plain, tempered, harm } = self;
        plain.observe(|bet| seen.bets.get(bet).map_or(0.0, |bet| bet.ln_e));
        harm.now = plain.ln_e();
        harm.most = harm.most.max(harm.now);
        harm.catastrophe_most = harm.catastrophe_most.max(seen.catastrophe);
        if harm.proven.is_some() {
            return;
        }
        if weighing.is_some() {
            let worth = |bet: &Bet| (bet.ln_e / bet.dispersion.max(1.0)).min(*cap);
            tempered.observe(|bet| seen.bets.get(bet).map_or(0.0, worth));
        }
        let is_catastrophe = seen.catastrophe >= bars.catastrophe;
        if is_catastrophe || harm.most >= bars.harm {
            let mut harm = self.harm;
            self.weigh(&mut harm, &second());
            harm.proven = harm.lane(&self.bars, seen.catastrophe).map(|lane| (seen.minute, lane));
            self.harm = harm;
        }
    }

    fn weigh(&self, harm: &mut Harm, second: &Second) {
        harm.guard = second.guard;
        if let Some(weighing) = &self.weighing {
            harm.tempered = self.tempered.ln_e();
            harm.tempered_bar = self.bars.harm * if weighing.careful { second.excess.max(1.0) } else { 1.0 };
            harm.dispersion = second.dispersion;
        }
    }
}

impl Harm {
    fn lane(&self, bars: &Bars, catastrophe: f64) -> Option<Lane> {
        let plain = self.most >= bars.harm;
        if catastrophe >= bars.catastrophe {
            Some(Lane::Catastrophe)
        } else if plain && self.tempered >= self.tempered_bar {
            Some(Lane::History)
        } else if plain && self.guard >= self.guard_bar {
            Some(Lane::Minutes)
        } else {
            None
        }
    }
}
