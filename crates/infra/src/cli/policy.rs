//! `policy check`, `policy list`, `policy test`

use std::io::BufRead;

use clap::Subcommand;
use policy::{Catalogue, Judgement, Level};
use serde::Deserialize;
use serde_json::json;

use super::{Context, Done, Ended, output};

/// The command policy.
#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Say what the policy thinks of a command line; exit 0 auto, 3 manual, 4 blocked
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Read one JSON object {"cmd":…} per line from stdin, write one verdict per line
        #[arg(long, conflicts_with_all = ["json", "line"])]
        jsonl: bool,
        /// A host of the inventory that the line is for
        #[arg(long, value_name = "HOST")]
        host: Option<String>,
        /// The command line; several words are taken as they stand, joined by blanks
        #[arg(last = true, required_unless_present = "jsonl")]
        line: Vec<String>,
    },
    /// List the plugins, their commands and forms
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check that every example of every form is permitted and every counter-example is not
    Test {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl PolicyCommand {
    pub(super) fn run(&self, context: &Context) -> Done {
        let app = context.app()?;
        match self {
            Self::Check { jsonl: true, .. } => check_lines(app.catalogue()),
            Self::Check { json, host, line, .. } => {
                if let Some(host) = host {
                    app.host(host).map_err(Ended::usage)?;
                }
                check(&app.catalogue().judge(&line.join(" ")), *json)
            }
            Self::List { json } => list(app.catalogue(), *json),
            Self::Test { json } => test(app.catalogue(), *json),
        }
    }
}

fn check(judged: &Judgement, json: bool) -> Done {
    if json {
        output::json(judged)?;
    } else {
        let form = judged.form.as_deref().unwrap_or("-");
        output::line(&format!("{}  risk {}  form {form}\n{}", judged.verdict, judged.risk, judged.reason))?;
    }
    match judged.verdict {
        Level::Auto => Ok(()),
        Level::Manual => Err(Ended::quiet(3)),
        Level::Blocked => Err(Ended::quiet(4)),
    }
}

#[derive(Deserialize)]
struct Row {
    cmd: String,
}

fn check_lines(catalogue: &Catalogue) -> Done {
    for (index, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let row: Row = serde_json::from_str(&line)
            .map_err(|e| Ended::usage(format!("stdin line {}: {e}", index + 1)))?;
        output::json(&catalogue.judge(&row.cmd))?;
    }
    Ok(())
}

fn list(catalogue: &Catalogue, json: bool) -> Done {
    if json {
        return output::json(&catalogue.listing());
    }
    for plugin in catalogue.plugins() {
        output::line(&format!("{} - {}", plugin.name, plugin.title))?;
        for command in &plugin.commands {
            for form in &command.forms {
                output::line(&format!("  {:<8} {}", form.level, form.usage()))?;
            }
        }
    }
    output::line(&format!("digest {}", catalogue.digest()))
}

fn test(catalogue: &Catalogue, json: bool) -> Done {
    let problems = catalogue.check_examples();
    let forms: usize = catalogue.plugins().iter().flat_map(|p| &p.commands).map(|c| c.forms.len()).sum();
    if json {
        output::json(&json!({ "ok": problems.is_empty(), "forms": forms, "problems": problems }))?;
    } else {
        for problem in &problems {
            output::line(problem)?;
        }
        output::line(&format!("{forms} forms, {} problem(s)", problems.len()))?;
    }
    if problems.is_empty() { Ok(()) } else { Err(Ended::quiet(1)) }
}
