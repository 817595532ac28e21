//! `policy check`, `policy list`, `policy test`, `policy diff`

use std::io::BufRead;
use std::path::Path;

use clap::Subcommand;
use policy::Catalogue;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::analysis;
use crate::app::App;
use crate::difference::{Difference, Recorded, difference};
use crate::hosts::hygiene;
use crate::plugins;

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
        /// Print the tables of docs/CATALOGUE.md
        #[arg(long, conflicts_with = "json")]
        markdown: bool,
    },
    /// Judge recorded commands and all examples by two policies and list every verdict that differs
    Diff {
        /// The policy before: a folder of plugins, one plugin file, `builtin`, or `current` for the one in force here
        old: String,
        /// The policy after, in the same way
        new: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Exit 1 when a verdict differs
        #[arg(long)]
        exit_code: bool,
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
            Self::Check { jsonl: true, .. } => check_lines(&app.catalogue()),
            Self::Check { json, host, line, .. } => {
                if let Some(host) = host {
                    app.host(host).map_err(Ended::usage)?;
                }
                check(&app.catalogue(), &line.join(" "), *json)
            }
            Self::List { markdown: true, .. } => output::line(tables(&app.catalogue()).trim_end()),
            Self::List { json, .. } => list(&app.catalogue(), *json),
            Self::Diff { old, new, json, exit_code } => {
                let (old, new) = (named(&app, old)?, named(&app, new)?);
                let found = difference(&old, &new, recorded(&app));
                show_difference(&found, *json)?;
                if *exit_code && !found.changes.is_empty() { Err(Ended::quiet(1)) } else { Ok(()) }
            }
            Self::Test { json } => test(&app.catalogue(), *json),
        }
    }
}

fn check(catalogue: &Catalogue, line: &str, json: bool) -> Done {
    let said = analysis::analyse(catalogue, line);
    if json {
        output::json(&said)?;
    } else {
        let form = said.form.as_deref().unwrap_or("-");
        output::line(&format!("{}  risk {}  form {form}\n{}", said.verdict, said.risk, said.reason))?;
        for part in said.told_parts() {
            output::line(&format!("  {part}"))?;
        }
        if !said.similar.is_empty() {
            output::line(&format!("permitted and like it: {}", said.similar.join("; ")))?;
        }
        if said.verdict == "blocked" {
            output::line(&format!("recommended: {}", said.recommendation.as_str()))?;
        }
        if let Some(text) = &said.suggested_plugin {
            output::line(&format!("a plugin file to start from, for review:\n\n{text}"))?;
        }
    }
    match said.verdict.as_str() {
        "auto" => Ok(()),
        "manual" => Err(Ended::quiet(3)),
        _ => Err(Ended::quiet(4)),
    }
}

/// A policy by the word or the place that names it.
fn named(app: &App, name: &str) -> Result<Catalogue, Ended> {
    match name {
        "current" => Ok(Catalogue::clone(&app.catalogue())),
        "builtin" => plugins::read(None).map_err(Ended::usage),
        place => plugins::read(Some(Path::new(place))).map_err(Ended::usage),
    }
}

/// The lines of the audit chain that were run or blocked, the newest first of so many.
fn recorded(app: &App) -> Vec<Recorded> {
    const MOST: usize = 100_000;
    let lines = match app.store().and_then(|s| s.audit_tail(MOST)) {
        Ok(lines) => lines,
        Err(e) => {
            eprintln!("mcp-linux-infra: no recorded commands are compared: {e}");
            return Vec::new();
        }
    };
    let asked = |record: &Value| matches!(record["event"].as_str(), Some("command" | "blocked"));
    lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(asked)
        .filter_map(|record: Value| record["data"]["line"].as_str().map(str::to_owned))
        .map(|line| Recorded { line, count: 1 })
        .collect()
}

fn show_difference(found: &Difference, json: bool) -> Done {
    if json {
        return output::json(found);
    }
    for c in &found.changes {
        let mark = if c.wider { "WIDER " } else { "      " };
        let count = if c.count == 0 { "example".to_owned() } else { format!("{}x", c.count) };
        output::line(&format!(
            "{mark}{:<8} {} -> {}  {}",
            count,
            c.old,
            c.new,
            hygiene::clean(c.line.as_bytes()).text
        ))?;
        output::line(&format!("               {} -> {}", c.old_form, c.new_form))?;
    }
    let wider = found.changes.iter().filter(|c| c.wider).count();
    output::line(&format!(
        "{} line(s) judged, {} differ, {wider} of them permit more",
        found.lines,
        found.changes.len()
    ))
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

/// The catalogue as Markdown: one table per plugin.
fn tables(catalogue: &Catalogue) -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let mut text = String::from(
        "# The catalogue of commands\n\nMade by `mcp-linux-infra policy list --markdown` from the files in `catalogue/plugins`; a test compares \
         the two. What is not listed here does not run.\n",
    );
    for plugin in catalogue.plugins() {
        text.push_str(&format!(
            "\n## {}: {}\n\n| level | risk | form | for what, or why not | example |\n|---|---|---|---|---|\n",
            plugin.name, plugin.title
        ));
        for form in plugin.commands.iter().flat_map(|c| &c.forms) {
            let about = if form.reason.is_empty() { &form.title } else { &form.reason };
            let example = form.examples.first().map_or_else(String::new, |e| format!("`{}`", cell(e)));
            text.push_str(&format!(
                "| {} | {} | `{}` | {} | {example} |\n",
                form.level,
                form.risk,
                cell(form.usage()),
                cell(about)
            ));
        }
    }
    text
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_catalogue_is_the_one_in_force() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/CATALOGUE.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        let made = Catalogue::builtin().map(|c| tables(&c)).unwrap_or_default();
        assert!(
            written.trim_end() == made.trim_end(),
            "run: cargo run -p mcp-linux-infra -- policy list --markdown > docs/CATALOGUE.md"
        );
    }
}
