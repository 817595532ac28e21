//! `reject`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::fido::FidoFlags;
use super::{Context, Done, Ended, output};
use crate::recovery::{self, Denial, Denied, Signer};
use crate::store::{Proposal, now_ms};

/// Ends a proposal. With your key you sign a denial, and it is handed to the target, which then refuses every grant of the proposal;
/// without a key it ends on this server only.
#[derive(Debug, Args)]
pub(super) struct Reject {
    /// Id of the proposal
    id: String,
    /// Why, for the one who asked
    #[arg(long, required_unless_present = "deliver")]
    reason: Option<String>,
    /// Sign the denial with your private key, or the .pub of a key in ssh-agent
    #[arg(long, value_name = "FILE", conflicts_with = "agent")]
    key: Option<PathBuf>,
    /// Sign the denial with the only key of ssh-agent
    #[arg(long)]
    agent: bool,
    /// Hand the denial that was signed before to the target again
    #[arg(long, conflicts_with_all = ["reason", "key", "agent"])]
    deliver: bool,
    #[command(flatten)]
    fido: FidoFlags,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Reject {
    pub(super) fn run(&self, context: &Context) -> Done {
        let app = context.app()?;
        let Some(reason) = self.reason.as_deref() else {
            return self.ended(&Context::block_on(async { Ok(recovery::deliver(&app, &self.id).await?) })?);
        };
        if self.key.is_none() && !self.agent {
            let by = std::env::var("USER").unwrap_or_else(|_| "command line".to_owned());
            let proposal = app.store()?.reject(&self.id, &by, reason)?;
            return self.here_only(&proposal);
        }
        let fido = self.fido.fido(context)?;
        let denied = Context::block_on(async {
            let signer = match &self.key {
                Some(path) => Signer::from_file(path),
                None => Signer::from_agent().await,
            };
            let signer = signer.map_err(Ended::usage)?;
            let denial = recovery::denial(&app, &self.id, reason).await?;
            if !self.json {
                show(&denial, &signer)?;
            }
            Ok(recovery::sign_denial(&app, &denial, &signer, &fido).await?)
        })?;
        self.ended(&denied)
    }

    fn here_only(&self, proposal: &Proposal) -> Done {
        let notice = here_only(proposal);
        if self.json {
            return output::json(&json!({ "proposal": proposal, "target_told": false, "message": notice }));
        }
        output::line(&format!("{} is rejected on this server. {notice}", proposal.id))
    }

    /// A target that does not know is a failure, though the proposal is rejected here.
    fn ended(&self, denied: &Denied) -> Done {
        let Denied { proposal, told, message } = denied;
        if self.json {
            output::json(&json!({ "proposal": proposal, "target_told": told, "message": message }))?;
            return if *told { Ok(()) } else { Err(Ended::quiet(1)) };
        }
        output::line(&format!("{} is {} on this server.", proposal.id, proposal.state))?;
        if *told { output::line(&format!("{message}.")) } else { Err(Ended::failed(message)) }
    }
}

/// What a rejection without a signature leaves open.
fn here_only(proposal: &Proposal) -> String {
    let host = &proposal.asked.host;
    match proposal.statement_expires_ms.filter(|end| *end > now_ms()) {
        None => format!(
            "{host} does not know of it; no statement of it stands, so nothing signed could be handed over there."
        ),
        Some(until) => format!(
            "{host} DOES NOT KNOW OF IT: a grant that was signed could still be handed over there until {}. To end it there, deny it by \
             signature: mcp-linux-infra reject {} --reason WHY --key FILE",
            output::time(until),
            proposal.id
        ),
    }
}

/// Everything here is read from the bytes that get signed.
fn show(denial: &Denial, signer: &Signer) -> Done {
    let s = &denial.statement;
    let clean = |text: &str| crate::hosts::hygiene::escaped(text.as_bytes());
    output::line(&format!("Denial of  {}", clean(&s.proposal)))?;
    output::line(&format!(
        "host       {} (tenant {}, machine {})",
        clean(&s.host),
        clean(&s.tenant),
        s.machine_id.get(..16).unwrap_or(&s.machine_id)
    ))?;
    output::line(&format!("asked by   {}", clean(&s.proposed_by)))?;
    output::line(&format!("reason     {}", clean(&s.rationale)))?;
    output::line(&format!("valid      until {}", output::time(s.expires_at.saturating_mul(1000))))?;
    output::line(&format!("sha256     {}", crate::store::sha256_hex(&denial.bytes)))?;
    output::line(&format!("your key   {}", signer.describe()))
}
