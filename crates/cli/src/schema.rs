//! `coalmine schema`

use std::io::{self, Write};

use coalmine_core::sim::language;
use coalmine_core::spec;

use crate::Exit;
use crate::shapes::{self, Output};

/// Print the JSON Schema of the spec language, for editors; or of what a command prints with --json, for scripts.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What is printed with --json (docs/json.md).
    #[arg(value_name = "OUTPUT", conflicts_with = "scenario")]
    output: Option<Output>,
    /// That of scenarios for `coalmine simulate`, instead.
    #[arg(long)]
    scenario: bool,
}

pub fn run(arguments: &Arguments, out: &mut impl Write) -> io::Result<Exit> {
    let schema = match arguments.output {
        Some(output) => shapes::schema(output),
        None if arguments.scenario => language::schema(),
        None => spec::schema(),
    };
    serde_json::to_writer_pretty(&mut *out, &schema)?;
    writeln!(out)?;
    Ok(Exit::Fine)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn prints_one_json_document() {
        for (scenario, expected) in [(false, spec::schema()), (true, language::schema())] {
            let mut out = Vec::new();
            assert_eq!(run(&Arguments { output: None, scenario }, &mut out).unwrap(), Exit::Fine);
            let printed: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(printed, expected);
        }
    }

    #[test]
    fn every_output_has_a_schema_whose_fields_are_explained() {
        let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/json.md")).unwrap();
        for output in Output::value_variants() {
            let name = output.to_possible_value().unwrap().get_name().to_owned();
            let mut out = Vec::new();
            assert_eq!(run(&Arguments { output: Some(*output), scenario: false }, &mut out).unwrap(), Exit::Fine);
            let schema: serde_json::Value = serde_json::from_slice(&out).unwrap();
            let section = document.split(&format!("\n## `coalmine schema {name}`\n")).nth(1);
            let section = section.unwrap_or_else(|| panic!("docs/json.md has nothing about {name}"));
            let section = section.split("\n## ").next().unwrap();
            for field in schema["properties"].as_object().unwrap().keys() {
                assert!(section.contains(&format!("`{field}`")), "docs/json.md says nothing of {name}'s {field}");
            }
        }
    }
}
