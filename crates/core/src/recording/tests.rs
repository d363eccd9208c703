//! What is read, what is refused and in which words.

use super::*;

/// The example of the format's description.
const EXAMPLE: &str = r#"{"case":"a","minute":0,"weight":"5%",
 "baseline":{"requests":2850,"errors":3,"latency":{"edgesMs":[50,100,200,400],"counts":[1000,1200,500,120,30]}},
 "canary":  {"requests":150, "errors":1,"latency":{"edgesMs":[50,100,200,400],"counts":[50,70,20,8,2]}}}"#;

fn read_all(lines: &[&str]) -> Result<Vec<Read>, Refused> {
    let mut reader = Reader::default();
    lines.iter().filter_map(|line| reader.read(line.as_bytes()).transpose()).collect()
}

/// The problem with the last line, as people see it.
fn problem(lines: &[&str]) -> String {
    let Refused { problem, .. } = read_all(lines).expect_err("there is something wrong");
    assert_eq!(problem.line, Some(u32::try_from(lines.len()).unwrap()), "{problem:?}");
    let path = if problem.path.is_empty() { String::new() } else { format!("{}: ", problem.path) };
    format!("{path}{}", problem.message)
}

#[test]
fn the_documented_example_is_read() {
    let read = read_all(&[&EXAMPLE.replace('\n', " ")]).unwrap();
    let latency = |counts: [f64; 5]| Some(Latency { edges: vec![50.0, 100.0, 200.0, 400.0], counts: counts.into() });
    let arm = |requests, errors, counts| {
        Some(Arm { requests: Some(requests), errors: Some(errors), latency: latency(counts), ..Arm::default() })
    };
    let line = Line {
        case: Some("a".to_owned()),
        minute: When::Number(0),
        weight: Weight::from_basis_points(500),
        baseline: arm(2850.0, 3.0, [1000.0, 1200.0, 500.0, 120.0, 30.0]),
        canary: arm(150.0, 1.0, [50.0, 70.0, 20.0, 8.0, 2.0]),
    };
    assert_eq!(read, [Read { begins: true, line }]);
}

#[test]
fn what_is_written_is_read_again() {
    let lines = [
        r#"{"minute":-3,"baseline":{"requests":2850.0,"errors":3.0}}"#,
        r#"{"minute":0,"weight":"2.5%","canary":{"rates":{"declined":{"events":0.5,"requests":7.25}}}}"#,
        r#"{"minute":1,"baseline":{"distributions":{"size":{"edges":[1.5],"counts":[3.0,0.1]}}}}"#,
        r#"{"minute":2,"canary":{"levels":{"memory":{"readings":2.0,"sum":-1.0}}}}"#,
    ];
    for (read, written) in read_all(&lines).unwrap().iter().zip(lines) {
        assert_eq!(serde_json::to_string(&read.line).unwrap(), written);
    }
    let timed = read_all(&[r#"{"case":"ü","minute":"2026-11-21T14:02:59+01:00"}"#]).unwrap();
    let written = r#"{"case":"ü","minute":"2026-11-21T13:02:00Z"}"#;
    assert_eq!(serde_json::to_string(&timed[0].line).unwrap(), written);
}

#[test]
fn missing_is_missing_and_not_zero() {
    let empty = Arm::default();
    for (written, expected) in [
        (r#"{"minute":0,"baseline":{}}"#, Some(empty.clone())),
        (r#"{"minute":0,"baseline":null}"#, None),
        (r#"{"minute":0,"baseline":{"requests":null,"errors":null,"latency":null,"rates":null}}"#, Some(empty)),
        (r#"{"minute":0}"#, None),
    ] {
        assert_eq!(read_all(&[written]).unwrap()[0].line.baseline, expected, "{written}");
    }
}

#[test]
fn cases_follow_one_another() {
    let lines = [r#"{"case":"a","minute":0}"#, "", r#"{"case":"a","minute":7}"#, "  ", r#"{"case":"b","minute":-1}"#];
    let begins: Vec<bool> = read_all(&lines).unwrap().iter().map(|read| read.begins).collect();
    assert_eq!(begins, [true, false, true]);
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_read() {
    assert_eq!(read_all(&["\u{feff}{\"minute\":0}\r", "{\"minute\":1}\r"]).unwrap().len(), 2);
}

#[test]
fn lines_that_do_not_fit_together_are_refused() {
    for (lines, said) in [
        (
            vec![r#"{"minute":3}"#, r#"{"minute":3}"#],
            "minute: `3` is there twice; one line is one whole minute of a case",
        ),
        (
            vec![r#"{"minute":3}"#, r#"{"minute":2}"#],
            "minute: `2` comes after `3`; write a case's lines in the order of time",
        ),
        (
            vec![r#"{"minute":3}"#, r#"{"minute":"2026-11-21T14:02:00Z"}"#],
            "minute: `2026-11-21T14:02:00Z` is not written as the minute before it (`3`); use numbers or times within a case",
        ),
        (
            vec![r#"{"case":"a","minute":0}"#, r#"{"case":"b","minute":0}"#, r#"{"case":"a","minute":1}"#],
            "case: `a` comes back after another case; write a case's lines one after another",
        ),
        (
            vec![r#"{"case":"a","minute":0}"#, r#"{"minute":1}"#],
            "case: is missing; write it in every line, because the lines before have one",
        ),
        (
            vec![r#"{"minute":0}"#, r#"{"case":"a","minute":1}"#],
            "case: is given, but the lines before have none; write it in every line or in none",
        ),
    ] {
        assert_eq!(problem(&lines), said);
    }
}

/// Lines that are no minute of a case.
const LINES: [(&str, &str); 17] = [
    ("{", "is not JSON: EOF while parsing an object; one line is one JSON object, a minute of a case"),
    (
        r#"{"minute":0,"canary":{"requests":NaN}}"#,
        "is not JSON: expected value; `NaN` is not a JSON number: leave out what is not known",
    ),
    (
        r#"{"minute":0,"canary":{"requests":-Infinity}}"#,
        "is not JSON: invalid number; `Infinity` is not a JSON number: leave out what is not known",
    ),
    (
        r#"{"minute":0,"canary":{"requests":1e999}}"#,
        "is not JSON: number out of range; one line is one JSON object, a minute of a case",
    ),
    ("{'minute':0}", "is not JSON: key must be a string; JSON's texts stand in double quotes"),
    ("[1]", "expected an object, {...}, found a list"),
    ("7", "expected an object, {...}, found 7"),
    ("{}", "minute: is missing; write a number such as 0, or a time such as \"2026-11-21T14:02:00Z\""),
    (
        r#"{"minute":0.5}"#,
        "minute: 0.5 is not a minute; write a whole number such as 0, or a time such as \"2026-11-21T14:02:00Z\"",
    ),
    (r#"{"minute":"noon"}"#, "minute: `noon` is not a time; write it as `2026-11-21T14:02:00Z`, or as a whole number"),
    (r#"{"minute":0,"case":7}"#, "case: expected a text such as \"a\", found 7"),
    (r#"{"minute":0,"case":""}"#, "case: a name has 1 to 200 bytes; this one has 0"),
    (r#"{"minute":0,"weight":5}"#, "weight: expected a percentage in quotes such as \"5%\", found 5"),
    (r#"{"minute":0,"weight":"105%"}"#, "weight: `105%` is more than 100%; a weight is between 0% and 100%"),
    (r#"{"minute":0,"canry":{}}"#, "canry: is no field of a recording; did you mean `canary`?"),
    (r#"{"minute":0,"minute":1}"#, "minute: is there twice; write it once"),
    (r#"{"minute":0,"canary":{"erors":1}}"#, "canary.erors: is no field of a recording; did you mean `errors`?"),
];

/// Numbers that cannot be.
const NUMBERS: [(&str, &str); 14] = [
    (
        r#"{"minute":-1,"canary":{"requests":1}}"#,
        "canary: is there before the rollout; a minute below 0 is history and has the baseline alone",
    ),
    (
        r#"{"minute":0,"canary":{"errors":1}}"#,
        "canary: has `errors` without `requests`; write out of how many they are",
    ),
    (
        r#"{"minute":0,"canary":{"requests":150,"errors":151}}"#,
        "canary.errors: 151 are more than the 150 requests they are part of",
    ),
    (r#"{"minute":0,"canary":{"requests":-1}}"#, "canary.requests: -1 is negative; leave out what is not known"),
    (
        r#"{"minute":0,"canary":{"requests":1e13}}"#,
        "canary.requests: 10000000000000 is more than the 1000000000000 that anybody serves in a minute",
    ),
    (
        r#"{"minute":0,"canary":{"requests":"150"}}"#,
        "canary.requests: expected a number of requests such as 150, found the text \"150\"",
    ),
    (
        r#"{"minute":0,"canary":{"latency":{"edgesMs":[50,50],"counts":[1,2,3]}}}"#,
        "canary.latency.edgesMs: 50 comes after 50; write the edges in rising order",
    ),
    (
        r#"{"minute":0,"canary":{"latency":{"edgesMs":[0,50],"counts":[1,2,3]}}}"#,
        "canary.latency.edgesMs: 0 cannot be an edge; edges lie above 0 and below 1000000000000",
    ),
    (
        r#"{"minute":0,"canary":{"latency":{"edgesMs":[],"counts":[1]}}}"#,
        "canary.latency.edgesMs: has 0 edges; write 1 to 200",
    ),
    (
        r#"{"minute":0,"canary":{"latency":{"edgesMs":[50,100],"counts":[1,2]}}}"#,
        "canary.latency.counts: has 2 counts for 2 edges; write 3: one below each edge, and one above the last",
    ),
    (
        r#"{"minute":0,"canary":{"latency":{"edgesMs":[50,100],"counts":[1,2,-3]}}}"#,
        "canary.latency.counts: -3 is negative; leave out what is not known",
    ),
    (
        r#"{"minute":0,"canary":{"latency":{"edgesMs":[50,100]}}}"#,
        "canary.latency.counts: is missing; write a list with one number more than edges",
    ),
    (
        r#"{"minute":0,"canary":{"rates":{"declined":{"events":3,"requests":2}}}}"#,
        "canary.rates.declined.events: 3 are more than the 2 requests they are part of",
    ),
    (
        r#"{"minute":0,"canary":{"rates":{"declined":{"event":3}}}}"#,
        "canary.rates.declined.event: is no field of a recording; did you mean `events`?",
    ),
];

#[test]
fn what_is_wrong_is_said_with_what_would_be_right() {
    for (line, said) in LINES.into_iter().chain(NUMBERS) {
        assert_eq!(problem(&[line]), said, "{line}");
    }
}

#[test]
fn bounds_are_kept() {
    let long = format!(r#"{{"minute":0,"case":"{}"}}"#, "x".repeat(LINE_BYTES_MAX));
    assert_eq!(
        problem(&[&long]),
        format!("the line has {} bytes, more than the {LINE_BYTES_MAX} that are read", long.len())
    );
    let edges: Vec<String> = (1..=201).map(|edge| edge.to_string()).collect();
    let many = format!(r#"{{"minute":0,"canary":{{"latency":{{"edgesMs":[{}],"counts":[]}}}}}}"#, edges.join(","));
    assert_eq!(problem(&[&many]), "canary.latency.edgesMs: has 201 edges; write 1 to 200");
    let fields: Vec<String> = (0..65).map(|field| format!(r#""f{field}":0"#)).collect();
    assert_eq!(problem(&[&format!("{{{}}}", fields.join(","))]), "has 65 fields; at most 64 are read");
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(problem(&[&deep]).starts_with("is not JSON: recursion limit exceeded"));
    assert!(Reader::default().read(b"{\"minute\":0,\"case\":\"\xff\"}").is_err(), "UTF-8 only");
}

/// However many cases there are, what is remembered of them stays small; the newest are known.
#[test]
fn memory_does_not_grow_with_the_number_of_cases() {
    let mut reader = Reader::default();
    let line = |case: usize| format!(r#"{{"case":"{case}","minute":0}}"#).into_bytes();
    for case in 0..2 * CASES_REMEMBERED {
        reader.read(&line(case)).unwrap();
    }
    assert_eq!((reader.past.known.len(), reader.past.order.len()), (CASES_REMEMBERED, CASES_REMEMBERED));
    assert!(reader.read(&line(2 * CASES_REMEMBERED - 2)).is_err(), "one of the newest comes back");
}

/// A line that is wrong counts as not there: the next one follows the one before it.
#[test]
fn reading_goes_on_after_a_wrong_line() {
    let mut reader = Reader::default();
    reader.read(br#"{"case":"a","minute":0}"#).unwrap();
    reader.read(br#"{"case":"a","minute":1,"#).unwrap_err();
    assert!(!reader.read(br#"{"case":"a","minute":2}"#).unwrap().unwrap().begins);
}

/// The first line of a case is wrong: the case before is not to blame, and what follows is the same case.
#[test]
fn a_wrong_line_is_held_against_its_own_case() {
    let mut reader = Reader::default();
    reader.read(br#"{"case":"a","minute":0}"#).unwrap();
    let refused = reader.read(br#"{"case":"b","minute":0,"weight":"all"}"#).unwrap_err();
    assert_eq!(refused.begins, Some("b".to_owned()));
    let refused = reader.read(br#"{"case":"b","minute":1,"weight":"all"}"#).unwrap_err();
    assert_eq!(refused.begins, None);
    assert!(!reader.read(br#"{"case":"b","minute":2}"#).unwrap().unwrap().begins);
    // What cannot be read belongs to the case it stands in; a case that comes back begins nothing.
    for line in [&b"{"[..], br#"{"case":"a","minute":3}"#] {
        assert_eq!(reader.read(line).unwrap_err().begins, None);
    }
}
