//! What was done, what a client is told, and what comes next.

use serde_json::{Value, json};

use crate::cli::{Done, output};
use crate::init::{Client, Made, Plan, clients};

pub(super) fn print(plan: &Plan, client: Option<&str>, as_json: bool) -> Done {
    let program = std::env::current_exe()?;
    let mut shown = clients(&program, &plan.config.0);
    shown.retain(|c| client.is_none_or(|name| name == c.name));
    let next = next(plan);
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

fn word(state: Made) -> &'static str {
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
            word(key.state),
            key.path.display(),
            key.account,
            key.fingerprint
        ))?;
    }
    if let Some((approver, file, state)) = &plan.approver {
        let who = format!("{} may approve with {}", approver.person, approver.fingerprint);
        output::line(&format!("{} {}  {who}", word(*state), file.display()))?;
    }
    output::line(&format!("{} {}", word(plan.config.1), plan.config.0.display()))?;
    if let Some((host, state)) = &plan.host {
        let word = if *state == Made::Kept { word(Made::Kept) } else { "added   " };
        output::line(&format!("{word} host {} at {}, port {}", host.name, host.address, host.port))?;
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
fn next(plan: &Plan) -> Vec<Value> {
    let step = |what: String, run: Vec<String>| json!({ "what": what, "run": run });
    let mut steps = Vec::new();
    let Some((host, _)) = &plan.host else {
        steps.push(step(
            "Add a host:".to_owned(),
            vec!["mcp-linux-infra init --host NAME --address ADDRESS".to_owned()],
        ));
        return steps;
    };
    let name = &host.name;
    if let Some((_, approvers, _)) = &plan.approver {
        let publics: Vec<String> = plan.keys.iter().map(|k| k.public.display().to_string()).collect();
        steps.push(step(
            format!("Make {name} a target, as an administrator of it (package mcp-linux-infra-target, or scripts/install-target.sh):"),
            vec![
                format!("scp {} {} ADMIN@{}:", publics.join(" "), approvers.display(), host.address),
                format!(
                    "ssh ADMIN@{} sudo mcp-linux-infra-setup-target --reader-key reader.pub --runner-key runner.pub --approvers approvers --host {name}",
                    host.address
                ),
            ],
        ));
    } else {
        steps.push(step(
            "Say who may approve; a host is not made a target without:".to_owned(),
            vec!["mcp-linux-infra init --approver PERSON --approver-key FILE.pub".to_owned()],
        ));
    }
    steps.push(step("See that it works:".to_owned(), vec![format!("mcp-linux-infra doctor {name}")]));
    steps.push(step("Configure a client as shown above, or see docs/CLIENTS.md.".to_owned(), Vec::new()));
    steps
}
