//! `demo`, and the hidden parts that its loopback target is made of

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Done, Ended, runtime};
use crate::demo;

/// Shows the whole chain on this machine: diagnose, propose, sign, run, verify, replay refused.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Leave the target up and print a client configuration to paste
    #[arg(long)]
    keep: bool,
}

impl DemoArgs {
    pub(super) fn run(&self) -> Done {
        let runtime = runtime()?;
        Ok(runtime.block_on(demo::run(self.keep))?)
    }
}

/// The parts of the demo's loopback target.
#[derive(Debug, Args)]
pub(super) struct DemoTarget {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// What mcp-wrapper is on a real target
    Reader { root: PathBuf },
    /// What pra-exec is on a real target
    Runner { root: PathBuf },
    /// The demo's systemctl
    Systemctl {
        root: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The demo's service
    Dns { root: PathBuf },
}

impl DemoTarget {
    pub(super) fn run(&self) -> Done {
        let code = match &self.part {
            Part::Reader { root } => demo::target::reader(root),
            Part::Runner { root } => demo::target::runner(root),
            Part::Systemctl { root, arguments } => demo::systemctl::run(root, arguments),
            Part::Dns { root } => demo::systemctl::serve_dns(root),
        };
        // The target's own exit codes pass through.
        if code == 0 { Ok(()) } else { Err(Ended::quiet(code)) }
    }
}
