//! What MCP clients are told: the same as `docs/CLIENTS.md`, with this machine's paths.

use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

/// One client's configuration.
#[derive(Debug, Clone, Serialize)]
pub struct Client {
    /// A word for `--client`.
    pub name: &'static str,
    /// Where it goes.
    pub place: &'static str,
    /// What goes there.
    pub config: Value,
    /// The same by one command, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// The clients that are known by name.
pub fn clients(program: &Path, config: &Path) -> Vec<Client> {
    let (program, config) = (program.display().to_string(), config.display().to_string());
    let args = json!(["--config", config, "serve"]);
    let plain = json!({ "command": program, "args": args });
    let stdio = json!({ "type": "stdio", "command": program, "args": args });
    let servers = |key: &str, entry: &Value| json!({ key: { "linux-infra": entry } });
    let line = format!("claude mcp add linux-infra -- {} --config {} serve", word(&program), word(&config));
    vec![
        Client {
            name: "claude-desktop",
            place: "claude_desktop_config.json (Settings, Developer, Edit Config)",
            config: servers("mcpServers", &plain),
            command: None,
        },
        Client {
            name: "claude-code",
            place: ".mcp.json in the project",
            config: servers("mcpServers", &stdio),
            command: Some(line),
        },
        Client {
            name: "vscode",
            place: ".vscode/mcp.json",
            config: servers("servers", &stdio),
            command: None,
        },
        Client {
            name: "cursor",
            place: "~/.cursor/mcp.json or .cursor/mcp.json",
            config: servers("mcpServers", &plain),
            command: None,
        },
    ]
}

/// A word for a shell.
pub fn word(text: &str) -> String {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+@%:=,".contains(&b)) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_blanks_stay_one_word() {
        let all = clients(Path::new("/opt/my tools/mcp-linux-infra"), Path::new("/home/o'brien/c.toml"));
        let command = all.iter().find_map(|c| c.command.as_deref()).unwrap();
        assert!(
            command.ends_with(r"-- '/opt/my tools/mcp-linux-infra' --config '/home/o'\''brien/c.toml' serve")
        );
        for client in &all {
            let key = if client.name == "vscode" { "servers" } else { "mcpServers" };
            assert_eq!(
                client.config[key]["linux-infra"]["args"][1], "/home/o'brien/c.toml",
                "{}",
                client.name
            );
        }
    }
}
