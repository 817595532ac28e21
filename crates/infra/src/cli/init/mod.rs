//! `init`

mod ask;
mod host;
mod person;
mod report;

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;

use super::{Context, Done, Ended};
use crate::config::{Config, Environment};
use crate::init::{InitError, Plan, Present, Wanted};
use ask::Ask;

/// Makes the server's keys, its configuration with a first host, and the list of approvers; asks for what no flag says.
///
/// Safe to run again: what is there is kept, and a host or an approver that is new is added.
#[derive(Debug, Args)]
pub(super) struct Init {
    /// Ask nothing, also on a terminal; a host then needs --host-key
    #[arg(long)]
    batch: bool,
    #[command(flatten)]
    host: host::HostFlags,
    #[command(flatten)]
    person: person::PersonFlags,
    /// A private key that is there already, for the account that reads; default: keys/reader beside the config, made if missing
    #[arg(long, value_name = "FILE")]
    reader_key: Option<PathBuf>,
    /// The same for the account that hands over grants; default: keys/runner
    #[arg(long, value_name = "FILE")]
    runner_key: Option<PathBuf>,
    /// Make anew what is there already; the old one stays beside it as NAME.replaced
    #[arg(long, value_name = "WHAT", value_enum)]
    replace: Vec<Replace>,
    /// Print the configuration of this client alone
    #[arg(long, value_name = "CLIENT", value_parser = ["claude-desktop", "claude-code", "vscode", "cursor", "none"])]
    client: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Replace {
    /// Both keys of the server
    Keys,
    /// The configuration file
    Config,
}

impl From<InitError> for Ended {
    fn from(e: InitError) -> Self {
        match e {
            InitError::Failed(_) => Self::failed(e),
            InitError::Usage(_) | InitError::Config(_) => Self::usage(e),
        }
    }
}

impl Init {
    pub(super) fn run(&self, context: &Context) -> Done {
        let env = Environment::of_process();
        let place = Config::place(context.config.as_deref(), &env)?;
        let config = std::path::absolute(place)?;
        let replace_config = self.replace.contains(&Replace::Config);
        let present = Present::read(&config, replace_config, &env)?;
        let mut ask = (!self.batch && std::io::stdin().is_terminal()).then(Ask::on_terminal);
        if let Some(ask) = &mut ask {
            ask.say(&format!("Configuration: {}", config.display()));
            if present.config.is_some() {
                ask.say("It is there already and is kept; a new host or approver is added.");
            }
        }
        let host = self.host.resolve(ask.as_mut(), &present, &env)?;
        let approver = self.person.resolve(ask.as_mut(), &env)?;
        let absolute = |path: &Option<PathBuf>| path.as_ref().map(std::path::absolute).transpose();
        let wanted = Wanted {
            config,
            reader_key: absolute(&self.reader_key)?,
            runner_key: absolute(&self.runner_key)?,
            replace_keys: self.replace.contains(&Replace::Keys),
            replace_config,
            host,
            approver,
        };
        let plan = Plan::make(&wanted, &present)?;
        plan.write(&env)?;
        let usual = Config::place(None, &env).ok().and_then(|p| std::path::absolute(p).ok());
        report::print(&plan, usual.as_deref(), self.client.as_deref(), self.json)
    }
}
