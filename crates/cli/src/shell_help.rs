//! `coalmine completions` and `coalmine man`: made from the commands themselves, so that they say the same.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::CommandFactory;

use crate::Exit;
use crate::validate::shown;

/// Print what makes a shell complete commands and options.
///
///   bash        coalmine completions bash > ~/.local/share/bash-completion/completions/coalmine
///   zsh         coalmine completions zsh > a folder of $fpath, as _coalmine
///   fish        coalmine completions fish > ~/.config/fish/completions/coalmine.fish
///   powershell  coalmine completions powershell >> $PROFILE
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct CompletionsArguments {
    /// The shell.
    shell: clap_complete::Shell,
}

/// Write the manual: a page for every command into a folder, or that of `coalmine` to standard output.
#[derive(Debug, clap::Args)]
pub struct ManArguments {
    /// Where the pages go; made if it is not there.
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub fn completions(arguments: &CompletionsArguments, out: &mut impl Write) -> io::Result<Exit> {
    // It panics where it cannot write, as when nobody reads on.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command(), "coalmine", &mut script);
    out.write_all(&script)?;
    Ok(Exit::Fine)
}

pub fn man(arguments: &ManArguments, out: &mut impl Write, err: &mut impl Write) -> io::Result<Exit> {
    let Some(folder) = &arguments.folder else {
        clap_mangen::Man::new(command()).render(out)?;
        return Ok(Exit::Fine);
    };
    let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command(), folder));
    if let Err(error) = written {
        writeln!(err, "cannot write {}: {error}", shown(folder))?;
        return Ok(Exit::Io);
    }
    writeln!(out, "{}", shown(folder))?;
    Ok(Exit::Fine)
}

fn command() -> clap::Command {
    // `coalmine help` is `coalmine --help`, and no page of its own.
    crate::Arguments::command().disable_help_subcommand(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(shell: clap_complete::Shell) -> String {
        let mut out = Vec::new();
        assert_eq!(completions(&CompletionsArguments { shell }, &mut out).unwrap(), Exit::Fine);
        String::from_utf8(out).unwrap()
    }

    fn names() -> Vec<String> {
        command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
    }

    #[test]
    fn every_shell_completes_every_command() {
        use clap_complete::Shell;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
            let script = script(shell);
            for name in names() {
                assert!(script.contains(&name), "{shell}: {name}");
            }
        }
    }

    #[test]
    fn bash_reads_its_script() {
        let path = std::env::temp_dir().join(format!("coalmine-completions-{}", std::process::id()));
        std::fs::write(&path, script(clap_complete::Shell::Bash)).unwrap();
        let read = std::process::Command::new("bash").arg("-n").arg(&path).output().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    }

    #[test]
    fn every_command_has_a_page() {
        let folder = std::env::temp_dir().join(format!("coalmine-man-{}", std::process::id()));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = man(&ManArguments { folder: Some(folder.clone()) }, &mut out, &mut err).unwrap();
        assert_eq!((exit, err.as_slice()), (Exit::Fine, &[][..]));
        for name in names() {
            let page = std::fs::read_to_string(folder.join(format!("coalmine-{name}.1"))).unwrap();
            assert!(page.contains(".SH SYNOPSIS") && page.contains(".SH DESCRIPTION"), "{name}: {page}");
        }
        let whole = std::fs::read_to_string(folder.join("coalmine.1")).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let mut printed = Vec::new();
        assert_eq!(man(&ManArguments { folder: None }, &mut printed, &mut err).unwrap(), Exit::Fine);
        assert_eq!(String::from_utf8(printed).unwrap(), whole);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_said() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let file = std::env::current_exe().unwrap();
        let exit = man(&ManArguments { folder: Some(file.join("man")) }, &mut out, &mut err).unwrap();
        assert!(exit == Exit::Io && String::from_utf8(err).unwrap().starts_with("cannot write "));
    }
}
