//! The one `bootstrap` of all of Coalmine's Lambda functions. Fuzzing reads their events too, so they are a library.

use std::process::ExitCode;

fn main() -> ExitCode {
    coalmine_functions::main()
}
