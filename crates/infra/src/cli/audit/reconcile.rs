//! `audit reconcile`: this server's chain against a host's.

use std::path::PathBuf;

use clap::Args;

use super::super::{Context, Done, Ended, output};
use super::files;
use crate::hosts::hygiene;
use crate::reconcile::{Report, Subject, reconcile};

/// Compare this server's records with a host's own
#[derive(Debug, Args)]
#[command(after_help = "ssh HOST sudo cat /var/log/pra-run.log | mcp-linux-infra audit reconcile HOST -\n\n\
    Exit codes: 0 nothing was found, 1 something was, 2 usage. docs/AUDIT.md explains each finding.")]
pub(crate) struct Reconcile {
    /// The host, as the inventory names it
    host: String,
    /// Copies of its /var/log/pra-run.log, the oldest first; - is stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Reconcile {
    pub(super) fn run(&self, context: &Context) -> Done {
        let app = context.app()?;
        let host = app.host(&self.host).map_err(Ended::usage)?;
        let store = app.store()?;
        // What is recorded from here on need not be in the files.
        let last = store.audit_tail(1)?;
        let settled = last
            .first()
            .and_then(|line| ledger::Record::read(line.as_bytes()).ok())
            .map_or(u64::MAX, |r| r.seq);
        let theirs = files::read(&self.files)?;
        let ours = store.audit_tail(usize::MAX)?;
        let of = Subject { tenant: &host.tenant, host: host.name.as_str() };
        let report = reconcile(of, ours, settled, files::lines(&theirs))
            .map_err(|e| Ended::usage(format!("{}: {e}: {}", self.named(), self.host)))?;
        if self.json {
            output::json(&report)?;
        } else {
            for line in text(&report) {
                output::line(&line)?;
            }
        }
        if report.ok { Ok(()) } else { Err(Ended::quiet(1)) }
    }

    fn named(&self) -> String {
        self.files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

fn text(report: &Report) -> Vec<String> {
    let (counts, target) = (&report.counts, &report.target);
    let host = hygiene::one_line(&report.host, 80);
    let verdict =
        if report.ok { "ok".to_owned() } else { format!("FOUND {} thing(s)", report.findings.len()) };
    let mut lines = vec![format!(
        "{verdict}: {host}: {} run(s) and {} denial(s) on both sides; {} grant(s) refused there; records {} to {} there, head {}",
        counts.runs,
        counts.denials,
        counts.refusals,
        (target.after + 1).min(target.last),
        target.last,
        target.head
    )];
    for finding in &report.findings {
        let number = |record: Option<u64>| record.map_or_else(|| "-".to_owned(), |n| n.to_string());
        lines.push(format!(
            "{}: {} (record {} here, {} there): {}",
            finding.kind.as_str(),
            finding.proposal.as_deref().unwrap_or("-"),
            number(finding.server_record),
            number(finding.target_record),
            finding.message
        ));
    }
    let notes = [
        (
            counts.before,
            "are from before the first record that was given and were not compared: give the older files first; if there are none, the \
             target's record was replaced",
        ),
        (counts.later, "were recorded here after the copy began: copy again for these"),
        (counts.unread, "could not be compared because a chain is broken"),
        (counts.unanswered, "got no answer, and the target has no record of them: they have not arrived"),
    ];
    let some = notes.into_iter().filter(|(count, _)| *count > 0);
    lines.extend(some.map(|(count, what)| format!("note: {count} {what}")));
    lines
}
