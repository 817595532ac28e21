//! The command line: one file per subcommand.
//!
//! Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 needs approval, 4 blocked or refused.

mod approve;
mod audit;
mod bundle;
mod dashboard;
mod demo;
mod deploy;
mod diagnose;
mod docs;
mod doctor;
mod fido;
mod grant;
mod hosts;
mod init;
mod keys;
mod learn;
mod notify;
mod output;
mod policy;
mod proposals;
mod reject;
mod serve;
mod tool;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::app::App;
use crate::config::{Config, Environment};

/// Look at Linux hosts over SSH, and change nothing that a person has not signed.
#[derive(Debug, Parser)]
#[command(name = "mcp-linux-infra", version, about, max_term_width = 100)]
pub struct Cli {
    /// Config file (TOML); else $LINUX_MCP_CONFIG, ./mcp-linux-infra.toml, $XDG_CONFIG_HOME/mcp-linux-infra/config.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve an MCP client on stdin and stdout, or many over HTTP
    Serve(serve::Serve),
    Dashboard(dashboard::Dashboard),
    /// Show the whole chain on this machine, in under a minute: diagnose, propose, sign, run, verify
    Demo(demo::DemoArgs),
    Init(Box<init::Init>),
    /// The hosts of the inventory
    #[command(subcommand)]
    Hosts(hosts::Hosts),
    Diagnose(diagnose::Diagnose),
    /// Whether the server and its hosts are fit for work, and what mends what is not
    Doctor(doctor::Doctor),
    Deploy(deploy::Deploy),
    #[command(subcommand)]
    Keys(keys::Keys),
    /// The MCP tools, from the shell
    #[command(subcommand)]
    Tool(tool::ToolCommand),
    /// The command policy
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// What callers asked for and the policy blocked
    #[command(subcommand)]
    Learn(learn::LearnCommand),
    #[command(subcommand)]
    Notify(notify::NotifyCommand),
    /// What was proposed and what became of it
    #[command(subcommand)]
    Proposals(proposals::Proposals),
    /// Review a proposal and sign it with your own key
    Approve(approve::Approve),
    /// Say no to a proposal
    Reject(reject::Reject),
    /// Grant files: statements with their signatures
    #[command(subcommand)]
    Grant(grant::GrantCommand),
    /// The audit chain
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Print a completion script for a shell
    Completions(docs::Completions),
    /// Print the manual page (roff), or write all of them
    Man(docs::Manual),
    /// The parts of the demo's loopback target; not for people
    #[command(hide = true)]
    DemoTarget(demo::DemoTarget),
}

/// How a subcommand ended when it did not simply work.
#[derive(Debug)]
pub(crate) struct Ended {
    code: u8,
    message: String,
}

impl Ended {
    fn failed(message: impl std::fmt::Display) -> Self {
        Self { code: 1, message: message.to_string() }
    }
    fn usage(message: impl std::fmt::Display) -> Self {
        Self { code: 2, message: message.to_string() }
    }
    fn quiet(code: u8) -> Self {
        Self { code, message: String::new() }
    }
}

impl From<anyhow::Error> for Ended {
    fn from(e: anyhow::Error) -> Self {
        Self::failed(format!("{e:#}"))
    }
}

impl From<std::io::Error> for Ended {
    fn from(e: std::io::Error) -> Self {
        Self::failed(e)
    }
}

impl From<crate::store::StoreError> for Ended {
    fn from(e: crate::store::StoreError) -> Self {
        Self::failed(e)
    }
}

impl From<crate::config::ConfigError> for Ended {
    fn from(e: crate::config::ConfigError) -> Self {
        Self::usage(format!("configuration: {e}"))
    }
}

impl From<crate::recovery::RecoveryError> for Ended {
    fn from(e: crate::recovery::RecoveryError) -> Self {
        use crate::recovery::RecoveryError as E;
        let code = match e {
            E::ApprovalRequired { .. } => 3,
            E::Refused { .. } => 4,
            _ => 1,
        };
        Self { code, message: e.to_string() }
    }
}

type Done = Result<(), Ended>;

/// Parses the command line and runs it.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ended) => {
            if !ended.message.is_empty() {
                eprintln!("mcp-linux-infra: {}", ended.message);
            }
            ExitCode::from(ended.code)
        }
    }
}

fn run(cli: Cli) -> Done {
    #[cfg(feature = "conformance-fixtures")]
    if !matches!(cli.command, Command::Serve(_)) {
        return Err(Ended::usage(crate::mcp::fixtures::door::nothing_else()));
    }
    let context = Context { config: cli.config };
    match cli.command {
        Command::Serve(c) => serve::run(&context, &c),
        Command::Dashboard(c) => c.run(&context),
        Command::Demo(c) => c.run(),
        Command::DemoTarget(c) => c.run(),
        Command::Init(c) => c.run(&context),
        Command::Hosts(c) => c.run(&context),
        Command::Diagnose(c) => c.run(&context),
        Command::Doctor(c) => c.run(&context),
        Command::Deploy(c) => c.run(&context),
        Command::Keys(c) => c.run(&context),
        Command::Tool(c) => c.run(&context),
        Command::Policy(c) => c.run(&context),
        Command::Learn(c) => c.run(&context),
        Command::Notify(c) => c.run(&context),
        Command::Proposals(c) => c.run(&context),
        Command::Approve(c) => c.run(&context),
        Command::Reject(c) => c.run(&context),
        Command::Grant(c) => c.run(&context),
        Command::Audit(c) => c.run(&context),
        Command::Completions(c) => c.run(),
        Command::Man(c) => c.run(),
    }
}

/// What every subcommand may need.
struct Context {
    config: Option<PathBuf>,
}

impl Context {
    fn config(&self) -> Result<Config, Ended> {
        Ok(Config::load(self.config.as_deref(), &Environment::of_process())?)
    }

    fn app(&self) -> Result<Arc<App>, Ended> {
        Ok(Arc::new(App::new(self.config()?)?))
    }

    /// Runs async work to its end.
    fn block_on<T>(work: impl Future<Output = Result<T, Ended>>) -> Result<T, Ended> {
        runtime()?.block_on(work)
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Ended> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
