//! `coalmine schema`

use std::io::{self, Write};

use crate::Exit;

/// Print the JSON Schema of the spec language, for editors.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

pub fn run(out: &mut impl Write) -> io::Result<Exit> {
    serde_json::to_writer_pretty(&mut *out, &coalmine_core::spec::schema())?;
    writeln!(out)?;
    Ok(Exit::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_one_json_document() {
        let mut out = Vec::new();
        assert_eq!(run(&mut out).unwrap(), Exit::Fine);
        let printed: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(printed, coalmine_core::spec::schema());
    }
}
