use super::*;

#[test]
fn debug_dump() {
    let text = std::fs::read_to_string("../../tests/scenarios/bad-from-the-second-step.yaml").unwrap();
    let written = parse(&text, &mut |_| Err(String::new())).unwrap();
    let outcome = crate::sim::scenario::run(&written.scenario, 1).unwrap();
    for report in &outcome.reports {
        println!("{} {:#?}", report.now.since(outcome.started_at), report.lines);
    }
}
