//! `completions`, `man`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Done};

/// Prints a completion script.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) {
        clap_complete::generate(self.shell, &mut Cli::command(), "mcp-linux-infra", &mut std::io::stdout());
    }
}

/// Prints the manual page.
pub(super) fn man() -> Done {
    Ok(clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout())?)
}
