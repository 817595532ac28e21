//! `notify test`, `notify list`

use clap::Subcommand;
use serde_json::json;

use super::{Context, Done, Ended, output};
use crate::hosts::hygiene;
use crate::notify::Channels;
use crate::store::Outgoing;

/// The channels that tell people of proposals: try them, and see what was not delivered
#[derive(Debug, Subcommand)]
pub(super) enum NotifyCommand {
    /// Send a message that says it is a test, and print what the channel answered
    Test {
        /// The channel; all when none is given
        name: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the messages that wait or were given up, newest first
    List {
        /// Also those that were sent, as long as their rows are kept
        #[arg(long)]
        all: bool,
        /// At most this many
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl NotifyCommand {
    pub(super) fn run(&self, context: &Context) -> Done {
        match self {
            Self::Test { name, json } => test(context, name.as_deref(), *json),
            Self::List { all, limit, json } => list(context, *all, *limit, *json),
        }
    }
}

fn test(context: &Context, name: Option<&str>, json: bool) -> Done {
    let channels = Channels::new(&context.config()?)?;
    let answers = Context::block_on(async { channels.test(name).await.map_err(Ended::usage) })?;
    let well = answers.iter().all(|(_, answered)| answered.is_ok());
    if json {
        let rows: Vec<_> = answers
            .iter()
            .map(|(channel, answered)| match answered {
                Ok(answer) => json!({ "channel": channel, "sent": true, "answer": answer }),
                Err(cause) => json!({ "channel": channel, "sent": false, "error": cause }),
            })
            .collect();
        output::json(&json!({ "ok": well, "results": rows }))?;
    } else {
        for (channel, answered) in &answers {
            output::line(&match answered {
                Ok(answer) => format!("ok   {channel:<16} {answer}"),
                Err(cause) => format!("FAIL {channel:<16} {cause}"),
            })?;
        }
    }
    if well { Ok(()) } else { Err(Ended::quiet(1)) }
}

fn list(context: &Context, all: bool, limit: usize, json: bool) -> Done {
    let rows = context.app()?.store()?.outbox(!all, limit)?;
    if json {
        return output::json(&json!({ "messages": rows }));
    }
    if rows.is_empty() {
        return output::line(if all {
            "No message."
        } else {
            "Nothing waits and nothing was given up; --all shows what was sent."
        });
    }
    rows.iter().try_for_each(|r| output::line(&row(r)))
}

fn row(r: &Outgoing) -> String {
    let error =
        r.error.as_deref().map(|e| format!("  {}", hygiene::escaped(e.as_bytes()))).unwrap_or_default();
    format!(
        "{:>5}  {:<8} {:<16} {:<9} {}  {}  {} tried{error}",
        r.seq,
        r.state,
        r.channel,
        r.event,
        r.proposal,
        output::time(r.created_ms),
        r.attempts,
    )
}
