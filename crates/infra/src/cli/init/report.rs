//! What was done, what a client is told, and what comes next.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::{Done, output};
use crate::init::{Client, Made, Plan, clients, word};

/// Prints the outcome; `usual` is where the configuration is found without being named.
pub(super) fn print(plan: &Plan, usual: Option<&Path>, client: Option<&str>, as_json: bool) -> Done {
    let program = std::env::current_exe()?;
    let mut shown = clients(&program, &plan.config.0);
    shown.retain(|c| client.is_none_or(|name| name == c.name));
    let program_words = match usual {
        Some(usual) if usual == plan.config.0 => "mcp-linux-infra".to_owned(),
        _ => format!("mcp-linux-infra --config {}", word(&plan.config.0.display().to_string())),
    };
    let next = next(plan, &program_words);
    if as_json {
        return output::json(&json!({
            "config": { "path": plan.config.0, "state": plan.config.1 },
            "keys": plan.keys,
            "host": plan.host.as_ref().map(|(h, state)| json!({
                "name": h.name, "address": h.address, "port": h.port, "host_key": h.host_key, "state": state
            })),
            "approver": plan.approver.as_ref().map(|(a, file, state)| json!({
                "person": a.person, "fingerprint": a.fingerprint, "file": file, "state": state
            })),
            "notes": plan.notes,
            "clients": shown,
            "next": next,
        }));
    }
    done(plan)?;
    for client in &shown {
        print_client(client)?;
    }
    output::line("\nNext:")?;
    for (number, step) in next.iter().enumerate() {
        output::line(&format!("  {}. {}", number + 1, step["what"].as_str().unwrap_or_default()))?;
        for command in step["run"].as_array().into_iter().flatten() {
            output::line(&format!("     {}", command.as_str().unwrap_or_default()))?;
        }
    }
    Ok(())
}

fn became(state: Made) -> &'static str {
    match state {
        Made::Made => "made    ",
        Made::Kept => "kept    ",
        Made::Extended => "extended",
        Made::Replaced => "replaced",
    }
}

fn done(plan: &Plan) -> Done {
    for key in &plan.keys {
        output::line(&format!(
            "{} {}  {} key, {}",
            became(key.state),
            key.path.display(),
            key.account,
            key.fingerprint
        ))?;
    }
    if let Some((approver, file, state)) = &plan.approver {
        let who = format!("{} may approve with {}", approver.person, approver.fingerprint);
        output::line(&format!("{} {}  {who}", became(*state), file.display()))?;
    }
    output::line(&format!("{} {}", became(plan.config.1), plan.config.0.display()))?;
    if let Some((host, state)) = &plan.host {
        let state = if *state == Made::Kept { became(Made::Kept) } else { "added   " };
        output::line(&format!("{state} host {} at {}, port {}", host.name, host.address, host.port))?;
    }
    for note in &plan.notes {
        output::line(&format!("note: {note}"))?;
    }
    Ok(())
}

fn print_client(client: &Client) -> Done {
    output::line(&format!("\n{}: {}", client.name, client.place))?;
    output::line(&serde_json::to_string_pretty(&client.config).unwrap_or_default())?;
    match &client.command {
        Some(command) => output::line(&format!("or: {command}")),
        None => Ok(()),
    }
}

/// What is left to do, in order.
fn next(plan: &Plan, program: &str) -> Vec<Value> {
    let step = |what: String, run: Vec<String>| json!({ "what": what, "run": run });
    let Some((host, _)) = &plan.host else {
        let add = format!("{program} init --host NAME --address ADDRESS");
        return vec![step("Add a host:".to_owned(), vec![add])];
    };
    let name = &host.name;
    let first = if plan.approver.is_some() {
        step(
            format!("Make {name} a target, with your own ssh access and sudo there (docs/DEPLOY.md):"),
            vec![format!("{program} deploy {name}")],
        )
    } else {
        step(
            "Say who may approve; no host is made a target without:".to_owned(),
            vec![format!("{program} init --approver PERSON --approver-key FILE.pub")],
        )
    };
    vec![
        first,
        step("See that it works:".to_owned(), vec![format!("{program} doctor {name}")]),
        step("Configure a client as shown above, or see docs/CLIENTS.md.".to_owned(), Vec::new()),
    ]
}
