//! `coalmine schema`

use std::io::{self, Write};

use coalmine_core::sim::language;
use coalmine_core::spec;

use crate::Exit;

/// Print the JSON Schema of the spec language, for editors.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// That of scenarios for `coalmine simulate`, instead.
    #[arg(long)]
    scenario: bool,
}

pub fn run(arguments: &Arguments, out: &mut impl Write) -> io::Result<Exit> {
    let schema = if arguments.scenario { language::schema() } else { spec::schema() };
    serde_json::to_writer_pretty(&mut *out, &schema)?;
    writeln!(out)?;
    Ok(Exit::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_one_json_document() {
        for (scenario, expected) in [(false, spec::schema()), (true, language::schema())] {
            let mut out = Vec::new();
            assert_eq!(run(&Arguments { scenario }, &mut out).unwrap(), Exit::Fine);
            let printed: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(printed, expected);
        }
    }
}
