//! `audit tail`, `audit verify`

use clap::Subcommand;
use serde_json::Value;

use super::{Context, Done, Ended, output};

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
        /// Check a chain in a file instead, such as a copy of /var/log/pra-run.log
        #[arg(long, value_name = "FILE")]
        file: Option<std::path::PathBuf>,
    },
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
            Self::Verify { json, file } => {
                let report = match file {
                    None => context.app()?.store()?.audit_verify()?,
                    Some(path) => {
                        let text = std::fs::read(path)
                            .map_err(|e| Ended::usage(format!("{}: {e}", path.display())))?;
                        crate::store::verify_chain(text.split(|b| *b == b'\n').filter(|l| !l.is_empty()))
                    }
                };
                if *json {
                    output::json(&report)?;
                } else if report.ok {
                    output::line(&format!("ok: {} record(s), head {}", report.records, report.head))?;
                } else {
                    output::line(&format!("BROKEN: {}", report.problem.as_deref().unwrap_or("unknown")))?;
                }
                if report.ok { Ok(()) } else { Err(Ended::quiet(1)) }
            }
        }
    }
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
