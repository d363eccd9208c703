use super::*;

fn reasons(codes: &[&str]) -> Vec<CancellationReason> {
    codes.iter().map(|code| CancellationReason::builder().code(*code).message("because").build()).collect()
}

fn told(reasons: &[CancellationReason], guards: &[Guard]) -> String {
    match refusal_of(reasons, guards) {
        None => "nothing".to_owned(),
        Some(Refusal::Changed) => "changed".to_owned(),
        Some(Refusal::Claimed { by }) => format!("claimed by {by:?}"),
        Some(Refusal::Fault(fault)) => fault.to_string(),
    }
}

#[test]
fn the_gravest_reason_counts() {
    let me = || Guard::Claim { id: "me".to_owned() };
    let guards = [Guard::Revision(4), Guard::Always, me()];
    let (none, check, conflict) = ("None", "ConditionalCheckFailed", "TransactionConflict");
    for (codes, outcome) in [
        ([none, none, none], "nothing"),
        ([check, none, none], "changed"),
        ([conflict, none, none], "changed"),
        ([check, none, check], "changed"),
        ([none, conflict, check], "claimed by None"),
        ([none, none, conflict], "TransactWriteItems failed: TransactionConflict: because"),
        ([none, "ThrottlingError", none], "TransactWriteItems was throttled: ThrottlingError: because"),
        (
            [none, "ProvisionedThroughputExceeded", none],
            "TransactWriteItems was throttled: ProvisionedThroughputExceeded: because",
        ),
        (["ValidationError", none, none], "TransactWriteItems was rejected: ValidationError: because"),
    ] {
        assert_eq!(told(&reasons(&codes), &guards), outcome, "{codes:?}");
    }
    assert_eq!(told(&reasons(&[check]), &[Guard::Absent]), "changed");
    assert_eq!(told(&[], &guards), "nothing");
    let holder = [("rollout".to_owned(), AttributeValue::S("other".to_owned()))].into();
    let reason = CancellationReason::builder().code(check).set_item(Some(holder)).build();
    assert_eq!(told(&[reason], &[me()]), "claimed by Some(\"other\")");
}
