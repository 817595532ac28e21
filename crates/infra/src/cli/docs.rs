//! `completions`, `man`

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, Done, Ended};

const MANUAL: &str = "mcp-linux-infra manual";

/// Prints a completion script.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> Done {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "mcp-linux-infra", &mut script);
        print(&script)
    }
}

/// Prints the manual page in roff, or writes the pages of all subcommands into a folder.
#[derive(Debug, Args)]
pub(super) struct Manual {
    /// Write one page for each subcommand into this folder, made if it is not there, and print their paths
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Manual {
    pub(super) fn run(&self) -> Done {
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        let Some(folder) = &self.out else {
            return print(&page(&command)?);
        };
        let failed = |e: std::io::Error| Ended::failed(format!("{}: {e}", folder.display()));
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut files = Vec::new();
        for command in all(&command) {
            let file = folder.join(format!("{}.1", name(command)));
            std::fs::write(&file, page(command)?).map_err(failed)?;
            files.push(file.display().to_string());
        }
        super::output::line(&files.join("\n"))
    }
}

/// A command and all beneath it that are for people.
fn all(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().filter(|c| !c.is_hide_set()).flat_map(all);
    std::iter::once(command).chain(below).collect()
}

/// `mcp-linux-infra-policy-check`
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command) -> Result<Vec<u8>, Ended> {
    let mut roff = Vec::new();
    let version = concat!("mcp-linux-infra ", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone()).manual(MANUAL).source(version).render(&mut roff)?;
    Ok(roff)
}

/// A reader that has gone away (`| head`) is no error.
fn print(bytes: &[u8]) -> Done {
    match std::io::stdout().lock().write_all(bytes) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}
