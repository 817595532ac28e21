//! `approve`, `reject`

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Context, Done, Ended, output};
use crate::recovery::{self, Preview, Signer};

/// Shows what will run, asks, and signs with your key. The server has no key that could do this.
#[derive(Debug, Args)]
pub(super) struct Approve {
    /// Id of the proposal
    id: String,
    /// Your private key, or the .pub of a key in ssh-agent; without it the only key of ssh-agent
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Sign without asking; for scripts that have shown the proposal to you in another way
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Approve {
    pub(super) fn run(&self, context: &Context) -> Done {
        let app = context.app()?;
        Context::block_on(async {
            let signer = match &self.key {
                Some(path) => Signer::from_file(path),
                None => Signer::from_agent().await,
            };
            let signer = signer.map_err(Ended::usage)?;
            let preview = recovery::preview(&app, &self.id).await?;
            if !self.json {
                show(&preview, &signer)?;
            }
            if !self.yes {
                confirm()?;
            }
            let proposal = recovery::sign(&app, &preview, &signer).await?;
            if self.json {
                return output::json(&proposal);
            }
            let missing = proposal
                .asked
                .approvals
                .saturating_sub(u32::try_from(proposal.signatures.len()).unwrap_or(0));
            output::line(&if missing == 0 {
                format!(
                    "Signed. {} is approved until {}.",
                    proposal.id,
                    output::time(preview.statement.expires_at * 1000)
                )
            } else {
                format!(
                    "Signed. {missing} more person(s) must sign before {}.",
                    output::time(preview.statement.expires_at * 1000)
                )
            })
        })
    }
}

/// Everything here is read from the bytes that get signed.
fn show(preview: &Preview, signer: &Signer) -> Done {
    let s = &preview.statement;
    let clean = |text: &str| crate::hosts::hygiene::escaped(text.as_bytes());
    output::line(&format!("Proposal  {}", clean(&s.proposal)))?;
    output::line(&format!(
        "host      {} (tenant {}, machine {})",
        clean(&s.host),
        clean(&s.tenant),
        s.machine_id.get(..16).unwrap_or(&s.machine_id)
    ))?;
    if s.action.is_empty() {
        output::line("action    one exact command, as root")?;
    } else {
        output::line(&format!("action    {}", clean(&s.action)))?;
    }
    for (name, value) in &s.params {
        output::line(&format!("          {} = {}", clean(name), clean(value)))?;
    }
    output::line(&format!(
        "risk      {}, {} person(s) must sign",
        preview.risk, preview.proposal.asked.approvals
    ))?;
    for (phase, argv) in &preview.steps {
        output::line(&format!("{phase:<9} {}", clean(&crate::app::line_of(argv))))?;
    }
    output::line(&format!("asked by  {}", clean(&s.proposed_by)))?;
    output::line(&format!("why       {}   (the asker's words)", clean(&s.rationale)))?;
    output::line(&format!("valid     until {}", output::time(s.expires_at * 1000)))?;
    output::line(&format!("sha256    {}", crate::store::sha256_hex(&preview.bytes)))?;
    output::line(&format!("your key  {}", signer.describe()))
}

fn confirm() -> Done {
    if !std::io::stdin().is_terminal() {
        return Err(Ended::usage(
            "there is no terminal to ask on: review with `proposals show`, then sign with --yes",
        ));
    }
    let mut out = std::io::stdout().lock();
    write!(out, "Sign this? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(Ended { code: 4, message: "not signed".to_owned() })
    }
}

/// Ends a proposal; nobody can approve it any more.
#[derive(Debug, Args)]
pub(super) struct Reject {
    /// Id of the proposal
    id: String,
    /// Why, for the one who asked
    #[arg(long)]
    reason: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Reject {
    pub(super) fn run(&self, context: &Context) -> Done {
        let app = context.app()?;
        let by = std::env::var("USER").unwrap_or_else(|_| "command line".to_owned());
        let proposal = app.store()?.reject(&self.id, &by, &self.reason)?;
        if self.json {
            return output::json(&json!({ "proposal": proposal }));
        }
        output::line(&format!("{} is rejected.", proposal.id))
    }
}
