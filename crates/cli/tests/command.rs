//! The command as it is built. The tests of the whole (`tests/` of the workspace) run it, too: cargo builds it for them
//! together with this test, from what it has compiled already.

use std::process::Command;

#[test]
fn it_says_what_it_is_and_refuses_what_it_does_not_know() {
    let said = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_coalmine")).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (exit, out, _) = said(&["--version"]);
    assert_eq!((exit, out.as_str()), (Some(0), concat!("coalmine ", env!("CARGO_PKG_VERSION"), "\n")));
    let (exit, out, err) = said(&["lits"]);
    assert_eq!((exit, out.as_str()), (Some(2), ""));
    assert!(err.contains("list"), "{err}");
}
