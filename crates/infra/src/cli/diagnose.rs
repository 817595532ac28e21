//! `diagnose`

use std::io::{IsTerminal, Write};

use clap::Args;
use serde_json::json;

use super::{Context, Done, tool};
use crate::mcp::Progress;

/// Says what is wrong on many hosts: findings with the hosts that share them, the worst first
///
/// SELECTOR is made of host names, group:NAME, tag:NAME and all, with ',' for or, '&' for and, '!' for not. Exit 0 also when
/// something is wrong: the answer says what.
#[derive(Debug, Args)]
pub(super) struct Diagnose {
    /// Which hosts
    selector: String,
    /// What to check; all when left out
    #[arg(long, value_delimiter = ',', value_name = "CHECK,…")]
    checks: Vec<String>,
    /// Print the structured answer as JSON
    #[arg(long)]
    json: bool,
}

impl Diagnose {
    pub(super) fn run(&self, context: &Context) -> Done {
        let arguments = json!({ "selector": self.selector, "checks": self.checks });
        tool::answer(context, "diagnose_fleet", arguments, progress(), self.json)
    }
}

/// One line on stderr that is written over, where somebody sees it.
pub(super) fn progress() -> Progress {
    if !std::io::stderr().is_terminal() {
        return Progress::default();
    }
    Progress::to(|step| {
        let end = if step.done >= step.total { "\r\x1b[K" } else { "" };
        let mut stderr = std::io::stderr().lock();
        // A terminal that has gone away is no reason to stop.
        let _ = write!(stderr, "\r\x1b[K{}/{} {}{end}", step.done, step.total, step.message);
        let _ = stderr.flush();
    })
}
