use coalmine_core::probe::mutated;

use super::*;

/// As many as a second allows; a fuzzer goes on from here.
const RUNS: u64 = 100;

const DOCUMENTS: [&[u8]; 9] = [
    include_bytes!("../../../../fuzz/seeds/answers/alias.json"),
    include_bytes!("../../../../fuzz/seeds/answers/alb.json"),
    include_bytes!("../../../../fuzz/seeds/answers/alarms.json"),
    include_bytes!("../../../../fuzz/seeds/answers/codedeploy.json"),
    include_bytes!("../../../../fuzz/seeds/answers/ecs.json"),
    include_bytes!("../../../../fuzz/seeds/answers/health.json"),
    include_bytes!("../../../../fuzz/seeds/answers/hooks.json"),
    include_bytes!("../../../../fuzz/seeds/answers/metrics.json"),
    include_bytes!("../../../../fuzz/seeds/answers/refusal.json"),
];

#[test]
fn mutated_answers_break_no_promise() {
    for document in DOCUMENTS {
        answers(document).unwrap();
        for seed in 0..RUNS {
            let bytes = mutated(document, seed, 20_000);
            answers(&bytes).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        }
    }
}
