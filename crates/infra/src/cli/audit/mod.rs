//! `audit tail`, `audit verify`, `audit export`, `audit reconcile`

mod export;
mod files;
mod moment;
mod reconcile;

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;

use super::{Context, Done, Ended, output};
use crate::store::AuditReport;

/// The audit chain.
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Show the last records
    Tail {
        /// How many
        #[arg(short = 'n', long, default_value_t = 20)]
        lines: usize,
        /// Print the records as they are stored, one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Check that no record was changed, removed or put in between
    Verify {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Check a chain in a file instead, such as a copy of /var/log/pra-run.log (- is stdin); once for each file of a rotated
        /// log, the oldest first
        #[arg(long, value_name = "FILE")]
        file: Vec<PathBuf>,
    },
    Export(export::Export),
    Reconcile(reconcile::Reconcile),
}

impl AuditCommand {
    pub(super) fn run(&self, context: &Context) -> Done {
        match self {
            Self::Tail { lines, json } => {
                for line in context.app()?.store()?.audit_tail(*lines)? {
                    if *json { output::line(&line)? } else { show(&line)? }
                }
                Ok(())
            }
            Self::Export(export) => export.run(context),
            Self::Reconcile(reconcile) => reconcile.run(context),
            Self::Verify { json, file } => {
                let report = if file.is_empty() {
                    context.app()?.store()?.audit_verify()?
                } else {
                    verify_files(file)?
                };
                if *json {
                    output::json(&report)?;
                } else if report.ok {
                    output::line(&format!("ok: {} record(s), head {}", report.records, report.head))?;
                    if let Some(seq) = report.continues_after {
                        output::line(&format!(
                            "it goes on after record {seq} of an older file, which was not checked: give that one first"
                        ))?;
                    }
                } else {
                    output::line(&format!("BROKEN: {}", report.problem.as_deref().unwrap_or("unknown")))?;
                }
                if report.ok { Ok(()) } else { Err(Ended::quiet(1)) }
            }
        }
    }
}

/// Reads the files as one chain.
fn verify_files(paths: &[PathBuf]) -> Result<AuditReport, Ended> {
    Ok(crate::store::verify_files(files::lines(&files::read(paths)?)))
}

fn show(line: &str) -> Done {
    let record: Value = serde_json::from_str(line).unwrap_or(Value::Null);
    let hash = record["hash"].as_str().and_then(|h| h.get(..12)).unwrap_or("unreadable");
    output::line(&format!(
        "{:>6}  {}  {hash}  {:<12} {}",
        record["seq"],
        output::time(record["time"].as_i64().unwrap_or(0)),
        record["event"].as_str().unwrap_or("?"),
        crate::hosts::hygiene::clean(record["data"].to_string().as_bytes()).text
    ))
}
