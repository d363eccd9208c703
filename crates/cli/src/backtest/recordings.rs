//! Recordings as files: read as a whole, because they are gone through many times.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use coalmine_core::recording::{Read, Reader};
use coalmine_core::spec::Problem;

use super::{Case, Nothing};
use crate::Exit;
use crate::analyze::next_line;
use crate::validate::{print_problem, shown};

/// Lines that are kept: the fifteen days that CloudWatch has, twice over. One takes about a kilobyte.
const LINES_MAX: usize = 50_000;

/// The cases of all files, in their order.
pub fn read(paths: &[PathBuf]) -> io::Result<Result<Vec<Case>, Nothing>> {
    let (mut cases, mut lines) = (Vec::new(), 0);
    for path in paths {
        match read_one(path, &mut cases, &mut lines) {
            Ok(()) => {}
            Err(Wrong::Line(problem)) => {
                let mut said = Vec::new();
                print_problem(path, "", &problem, &mut said)?;
                return Ok(Err((String::from_utf8_lossy(&said).trim_end().to_owned(), Exit::Invalid)));
            }
            Err(Wrong::Io(error)) => return Ok(Err((format!("cannot read {}: {error}", shown(path)), Exit::Io))),
        }
    }
    Ok(Ok(cases))
}

enum Wrong {
    Line(Problem),
    Io(io::Error),
}

fn read_one(path: &Path, cases: &mut Vec<Case>, lines: &mut usize) -> Result<(), Wrong> {
    let before = *lines;
    let mut input = BufReader::new(File::open(path).map_err(Wrong::Io)?);
    let (mut reader, mut text) = (Reader::default(), Vec::new());
    while next_line(&mut input, &mut text).map_err(Wrong::Io)? {
        let read = reader.read(&text).map_err(|refused| Wrong::Line(refused.problem))?;
        let Some(Read { begins, line }) = read else { continue };
        *lines += 1;
        if *lines > LINES_MAX {
            let message = format!("there are more than {LINES_MAX} lines, which are too many to be gone through again");
            return Err(Wrong::Line(Problem::at("", message)));
        }
        if begins {
            cases.push(Case { name: line.case.clone(), lines: Vec::new() });
        }
        if let Some(case) = cases.last_mut() {
            case.lines.push(line);
        }
    }
    if *lines == before {
        return Err(Wrong::Line(Problem::at("", "has no line; a recording has one for each minute")));
    }
    Ok(())
}

/// Writes cases as a recording.
pub fn save(path: &Path, cases: &[Case]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for line in cases.iter().flat_map(|case| &case.lines) {
        serde_json::to_writer(&mut file, line)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}
