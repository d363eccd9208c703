//! "did you mean".

/// Longer words are no typing mistakes, and comparing them would cost time.
const WORD_BYTES_MAX: usize = 64;

/// ``; did you mean `weight`?`` or, when nothing is near, ``; known here: `a`, `b` ``.
pub fn hint(word: &str, known: &[&str]) -> String {
    if let Some(near) = nearest(word, known) {
        return format!("; did you mean `{near}`?");
    }
    match known.is_empty() {
        true => "; there are no fields here, write `{}`".to_owned(),
        false => format!("; known here: {}", listed(known)),
    }
}

fn listed(known: &[&str]) -> String {
    known.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The known word that `word` was most likely meant to be.
pub fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_', ' '], "");
    let wanted = plain(word);
    let distance = |candidate: &str| strsim::damerau_levenshtein(&wanted, &plain(candidate));
    let (near, candidate) = known.iter().map(|candidate| (distance(candidate), *candidate)).min_by_key(|(d, _)| *d)?;
    // A third of the letters may be wrong: two of `weight`, none of `at`.
    (near <= wanted.len().max(candidate.len()) / 3).then_some(candidate)
}

/// The same for the words of an enum, which are few enough to be named always: ``; did you mean `rollBack`? Known here:
/// `pause`, `rollBack`, `promote` ``.
pub fn words(word: &str, known: &[&str]) -> String {
    let all = listed(known);
    match nearest(word, known) {
        Some(near) => format!("; did you mean `{near}`? Known here: {all}"),
        None => format!("; known here: {all}"),
    }
}
