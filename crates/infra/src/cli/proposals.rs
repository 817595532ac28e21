//! `proposals list`, `proposals show`

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::{Context, Done, Ended, output};
use crate::recovery;
use crate::store::{Proposal, SignedDenial};

/// What was proposed and what became of it.
#[derive(Debug, Subcommand)]
pub(super) enum Proposals {
    /// List proposals, newest first
    List {
        /// Also those that are over
        #[arg(long)]
        all: bool,
        /// At most this many
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one proposal
    Show {
        /// Its id
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Print the grant: the signed statement with its signatures, as the target takes it
        #[arg(long, conflicts_with = "json")]
        grant: bool,
        /// Write what a person needs to read and sign it on another machine with OpenSSH alone: a folder, a .tar, or - for tar on stdout;
        /// without PATH the folder ID.bundle. The bytes are fixed by it and stand for `lifetime_seconds` of [grant], 15 minutes at most
        #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = ".", conflicts_with_all = ["json", "grant"])]
        bundle: Option<PathBuf>,
    },
}

impl Proposals {
    pub(super) fn run(&self, context: &Context) -> Done {
        let app = context.app()?;
        let store = app.store()?;
        match self {
            Self::List { all, limit, json } => {
                let rows = store.proposals(!all, *limit)?;
                if *json {
                    return output::json(&json!({ "proposals": rows }));
                }
                if rows.is_empty() {
                    return output::line(if *all {
                        "No proposal."
                    } else {
                        "No proposal waits; --all shows those that are over."
                    });
                }
                rows.iter().try_for_each(|p| output::line(&row(p)))
            }
            Self::Show { id, bundle: Some(to), .. } => {
                let preview = Context::block_on(async { Ok(recovery::preview(&app, id).await?) })?;
                super::bundle::write(&preview, to)
            }
            Self::Show { id, json, grant, bundle: None } => {
                let proposal = store.proposal(id)?;
                if *grant {
                    return print_grant(&proposal);
                }
                let denial = store.denial(id)?;
                if !*json {
                    return show(&proposal, denial.as_ref());
                }
                let mut value = serde_json::to_value(&proposal).map_err(Ended::failed)?;
                value["denial"] = json!(denial);
                output::json(&value)
            }
        }
    }
}

fn row(p: &Proposal) -> String {
    format!(
        "{}  {:<9} {:<12} {}  {}  {}/{} signed",
        p.id,
        p.state.to_string(),
        p.asked.host,
        subject(p),
        output::time(p.created_ms),
        p.signatures.len(),
        p.asked.approvals
    )
}

/// The action with its parameters, or the command.
fn subject(p: &Proposal) -> String {
    if p.asked.action.is_empty() {
        return crate::app::line_of(&p.asked.argv);
    }
    let params: Vec<String> = p.asked.params.iter().map(|(k, v)| format!("{k}={v}")).collect();
    format!("{}({})", p.asked.action, params.join(", "))
}

/// What others wrote is shown harmless.
fn show(p: &Proposal, denial: Option<&SignedDenial>) -> Done {
    let clean = |text: &str| crate::hosts::hygiene::escaped(text.as_bytes());
    output::line(&row(p))?;
    output::line(&format!(
        "risk       {}\nasked by   {}\nrationale  {}",
        clean(&p.asked.risk),
        clean(&p.asked.proposed_by),
        clean(&p.asked.rationale)
    ))?;
    output::line(&format!("expires    {}", output::time(p.asked.expires_ms)))?;
    for signature in &p.signatures {
        output::line(&format!(
            "signed     {} {} {}",
            output::time(signature.signed_ms),
            clean(&signature.signer),
            clean(&signature.fingerprint)
        ))?;
    }
    if let Some(reason) = &p.reason {
        output::line(&format!("reason     {}", clean(reason)))?;
    }
    if let Some(d) = denial {
        let told = d.told_ms.map_or_else(
            || {
                format!(
                    "the target does NOT know: {}",
                    clean(d.answer.as_deref().unwrap_or("not handed over"))
                )
            },
            |ms| format!("the target knows since {}", output::time(ms)),
        );
        output::line(&format!(
            "denied     {} {} {}; {told}",
            output::time(d.signed_ms),
            clean(&d.signer),
            clean(&d.fingerprint)
        ))?;
    }
    if let Some(result) = &p.result {
        let text = serde_json::to_string_pretty(result).map_err(Ended::failed)?;
        output::line(&format!("result     {text}"))?;
    }
    Ok(())
}

fn print_grant(p: &Proposal) -> Done {
    use std::io::Write;
    let (Some(statement), false) = (&p.statement, p.signatures.is_empty()) else {
        return Err(Ended {
            code: 3,
            message: format!("{} is not signed yet: mcp-linux-infra approve {}", p.id, p.id),
        });
    };
    let armors: Vec<&[u8]> = p.signatures.iter().map(|s| s.armor.as_bytes()).collect();
    Ok(std::io::stdout().lock().write_all(&session::envelope::join(statement, &armors))?)
}
