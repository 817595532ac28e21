//! `grant show`, `grant verify`

use std::path::{Path, PathBuf};

use clap::Subcommand;
use grant::{Approvers, Envelope, Statement};
use serde_json::{Value, json};

use super::fido::{FidoFlags, json_of_key, of_key};
use super::{Context, Done, Ended, output};
use crate::store::now_ms;

/// Grant files: statements with their signatures.
#[derive(Debug, Subcommand)]
pub(super) enum GrantCommand {
    /// Show what a grant or a bare statement says, without checking signatures
    Show {
        /// The file
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check the signatures of a grant against an allowed-signers file, as the target does
    Verify {
        /// The file
        file: PathBuf,
        /// The allowed-signers file; else `approvers` of the config
        #[arg(long, value_name = "FILE")]
        approvers: Option<PathBuf>,
        #[command(flatten)]
        fido: FidoFlags,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl GrantCommand {
    pub(super) fn run(&self, context: &Context) -> Done {
        match self {
            Self::Show { file, json } => show(file, *json),
            Self::Verify { file, approvers, fido, json } => {
                let approvers = match approvers {
                    Some(path) => path.clone(),
                    None => context
                        .config()?
                        .approvers
                        .ok_or_else(|| Ended::usage("name the allowed-signers file with --approvers FILE, or set `approvers` in the config"))?,
                };
                verify(file, &approvers, &fido.fido(context)?, *json)
            }
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Ended> {
    std::fs::read(file).map_err(|e| Ended::usage(format!("{}: {e}", file.display())))
}

fn refused(e: impl std::fmt::Display) -> Ended {
    Ended { code: 4, message: e.to_string() }
}

fn show(file: &Path, json: bool) -> Done {
    let bytes = read(file)?;
    let (statement, signatures) = match session::envelope::split(&bytes) {
        Ok(parts) => {
            let envelope = Envelope::new(parts.statement, &parts.armors).map_err(refused)?;
            let keys: Vec<String> = envelope.signatures.iter().map(|s| s.key.fingerprint()).collect();
            (Statement::parse(parts.statement).map_err(refused)?, keys)
        }
        // A statement that nobody has signed yet.
        Err(_) => (Statement::parse(&bytes).map_err(refused)?, Vec::new()),
    };
    let value = serde_json::to_value(&statement).map_err(Ended::failed)?;
    if json {
        return output::json(&json!({ "statement": value, "signed_by_keys": signatures }));
    }
    if let Value::Object(fields) = &value {
        for (key, field) in fields {
            let text = field.as_str().map_or_else(|| field.to_string(), str::to_owned);
            output::line(&format!("{key:<12} {}", crate::hosts::hygiene::escaped(text.as_bytes())))?;
        }
    }
    output::line(&format!(
        "{:<12} {}",
        "valid",
        format_args!(
            "{} to {}",
            output::time(statement.not_before.saturating_mul(1000)),
            output::time(statement.expires_at.saturating_mul(1000))
        )
    ))?;
    if signatures.is_empty() {
        return output::line("unsigned");
    }
    signatures.iter().try_for_each(|key| {
        output::line(&format!("{:<12} {key} (not checked; see grant verify)", "signature"))
    })
}

fn verify(file: &Path, approvers: &Path, fido: &grant::Fido, json: bool) -> Done {
    let bytes = read(file)?;
    let text = String::from_utf8(read(approvers)?)
        .map_err(|e| Ended::usage(format!("{}: {e}", approvers.display())))?;
    let trusted =
        Approvers::parse(&text).map_err(|e| Ended::usage(format!("{}: {e}", approvers.display())))?;
    let parts = session::envelope::split(&bytes).map_err(refused)?;
    let envelope = Envelope::new(parts.statement, &parts.armors).map_err(refused)?;
    let now = now_ms() / 1000;
    let approvals = grant::verify_signatures(&envelope, &trusted, fido, now).map_err(refused)?;
    let statement = Statement::parse(parts.statement).map_err(refused)?;
    let live = statement.not_before <= now + 30 && now < statement.expires_at;
    let signed = || approvals.iter().zip(&envelope.signatures);
    let rows: Vec<Value> = signed()
        .map(|(a, signature)| {
            let mut row = json_of_key(signature, a.user_verified);
            row["person"] = json!(a.person);
            row["key"] = json!(a.key_fingerprint);
            row
        })
        .collect();
    if json {
        output::json(
            &json!({ "ok": true, "in_time": live, "proposal": statement.proposal, "host": statement.host, "approvals": rows }),
        )?;
    } else {
        for (a, signature) in signed() {
            let key = of_key(signature, a.user_verified);
            output::line(&format!("good signature of {} with {} ({key})", a.person, a.key_fingerprint))?;
        }
        output::line(&format!(
            "proposal {} for {}: {}",
            statement.proposal,
            statement.host,
            if live { "in time" } else { "NOT in its time window now" }
        ))?;
    }
    Ok(())
}
