//! Long histories by chance, and how the shortest of what breaks a promise is found.

use super::{Act, Counterexample, History, Mishap, Turn, WAYS, replay};
use crate::sim::rng::Rng;
use crate::sim::scenario::Scenario;

/// How likely a minute is disturbed, and a call of it goes wrong.
const DISTURBED: f64 = 0.3;
const MISHAP: f64 = 0.5;

/// A tick makes about so many calls; a mishap beyond the last one does nothing.
const CALLS: u64 = 24;

/// A history of so many minutes. The same seed gives the same one.
#[must_use]
pub fn at_random(seed: u64, minutes: u64) -> History {
    let mut rng = Rng::stream(seed, 11);
    let mut turns = Vec::new();
    for minute in 1..=minutes {
        if !rng.chance(DISTURBED) {
            continue;
        }
        let act = pick(&mut rng, &Act::ALL, Act::Tick);
        let mishap = rng.chance(MISHAP).then(|| {
            let call = usize::try_from(rng.below(CALLS)).unwrap_or(0);
            Mishap { call, way: pick(&mut rng, &WAYS, WAYS[0]).0 }
        });
        turns.push(Turn { minute, act, mishap });
    }
    History(turns)
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T], otherwise: T) -> T {
    let place = rng.below(u64::try_from(from.len()).unwrap_or(0));
    usize::try_from(place).ok().and_then(|place| from.get(place)).copied().unwrap_or(otherwise)
}

/// A shortest history that still breaks a promise: nothing can be left out of it.
#[must_use]
pub fn shrunk(scenario: &Scenario, found: Counterexample) -> Counterexample {
    let mut shortest = found;
    'again: loop {
        for left_out in (0..shortest.history.0.len()).rev() {
            for less in
                [without(&shortest.history, left_out), calmer(&shortest.history, left_out)].into_iter().flatten()
            {
                if let Err(still) = replay(scenario, &less) {
                    shortest = *still;
                    continue 'again;
                }
            }
        }
        return shortest;
    }
}

fn without(history: &History, place: usize) -> Option<History> {
    let mut turns = history.0.clone();
    (place < turns.len()).then(|| turns.remove(place))?;
    Some(History(turns))
}

/// The same without what goes wrong in this turn.
fn calmer(history: &History, place: usize) -> Option<History> {
    let mut turns = history.0.clone();
    let turn = turns.get_mut(place)?;
    turn.mishap.take()?;
    Some(History(turns))
}
