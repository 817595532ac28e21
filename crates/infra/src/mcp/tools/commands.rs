//! Single commands: what the policy says of them, and running those that it permits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hosts::hygiene;
use crate::mcp::toolbox::{Call, LOOK, Reply, Tool, ToolError, tool};

use super::{FromHost, host, untrusted_text};

pub(super) fn tools() -> Vec<Tool> {
    vec![
        tool(
            "execute_ssh_command",
            "Run a read-only command",
            LOOK,
            "Runs one command line on a host, if the policy permits it without approval. No shell: no pipes, no redirection, no \
             globs, no variables. Prefer the typed tools; use this for what they do not cover. analyze_command says beforehand \
             what the policy thinks of a line.",
            execute_ssh_command,
        ),
        tool(
            "analyze_command",
            "Analyze a command",
            LOOK,
            "Says what the policy thinks of a command line, without running it: auto (runs at once), manual (needs a person's \
             approval), blocked (never), with the reason.",
            analyze_command,
        ),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Execute {
    /// Name of a host from list_hosts.
    host: String,
    /// The command line, for example `systemctl status unbound`.
    command: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct CommandOutput {
    /// The command line as it was sent.
    command: String,
    /// Exit status; absent when the host named none, which is not success.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<i32>,
    stdout: String,
    stderr: String,
    /// Whether output was cut.
    truncated: bool,
    /// Control and invisible characters that were removed.
    removed_controls: usize,
    /// Secrets that were replaced.
    redactions: usize,
    elapsed_ms: u64,
}

async fn execute_ssh_command(
    call: Call,
    arguments: Execute,
) -> Result<Reply<FromHost<CommandOutput>>, ToolError> {
    let host = host(&call, &arguments.host)?;
    let output = call.app.read(host, &arguments.command, &call.caller).await?;
    // A cut last line may hold half of a secret.
    let stdout =
        if output.truncated { hygiene::clean_cut(&output.stdout) } else { hygiene::clean(&output.stdout) };
    let stderr = hygiene::clean(&output.stderr);
    let exit = output.exit.map_or_else(|| "unknown".to_owned(), |e| e.to_string());
    let mut text = format!("exit {exit}\n{}", stdout.text);
    if !stderr.text.is_empty() {
        text.push_str(&format!("\nstderr:\n{}", stderr.text));
    }
    let data = CommandOutput {
        command: arguments.command,
        exit: output.exit,
        truncated: output.truncated || stdout.truncated || stderr.truncated,
        removed_controls: stdout.removed_controls + stderr.removed_controls,
        redactions: stdout.redactions + stderr.redactions,
        stdout: stdout.text,
        stderr: stderr.text,
        elapsed_ms: output.ms,
    };
    Ok(Reply { text: untrusted_text(host, &text), data: FromHost::new(host, data) })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Analyze {
    /// The command line.
    command: String,
    /// Name of a host from list_hosts; today's policy is the same for all.
    #[serde(default)]
    host: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Analysis {
    line: String,
    /// auto, manual or blocked.
    verdict: String,
    /// low, medium, high or critical.
    risk: String,
    category: String,
    /// The family of commands that covers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin: Option<String>,
    /// The permitted shape that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    form: Option<String>,
    /// The words as they would run.
    argv: Vec<String>,
    /// The account that would run it.
    account: String,
    reason: String,
}

async fn analyze_command(call: Call, arguments: Analyze) -> Result<Reply<Analysis>, ToolError> {
    if let Some(name) = &arguments.host {
        host(&call, name)?;
    }
    let judged = call.app.catalogue().judge(&arguments.command);
    let data = Analysis {
        verdict: judged.verdict.to_string(),
        risk: judged.risk.to_string(),
        category: judged.category,
        plugin: judged.plugin,
        form: judged.form,
        argv: judged.argv,
        account: judged.account.to_string(),
        reason: judged.reason,
        line: judged.line,
    };
    let next = match data.verdict.as_str() {
        "auto" => "execute_ssh_command runs it",
        "manual" => "propose_pra_action with `command` proposes it to a person",
        _ => "there is no way to run it",
    };
    Ok(Reply { text: format!("{} ({} risk): {}. {next}.", data.verdict, data.risk, data.reason), data })
}
