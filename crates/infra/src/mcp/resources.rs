//! What can be read by address: hosts, policy, proposals, the newest audit records, and the tools' whole schemas.
//!
//! Everything here is this server's own knowledge; reading it asks no host. Text that came from elsewhere passes hygiene.

use serde_json::{Value, json};

use crate::hosts::hygiene;

use super::icons::{Icon, MEDIA_TYPE};
use super::toolbox::{Call, Toolbox};
use super::{tools, toolsets};

/// Records of the audit chain in one answer.
const RECORDS: usize = 50;

/// An address that can be listed as it is, or with a name in it.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// The address, or its template.
    pub uri: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// What it holds.
    pub description: &'static str,
    /// Its picture.
    pub icon: Icon,
}

/// The addresses without a name in them.
pub const FIXED: [Known; 3] = [
    Known {
        uri: "infra://hosts",
        name: "hosts",
        title: "Hosts",
        description: "The inventory: names, addresses, tags, tenants.",
        icon: Icon::Fleet,
    },
    Known {
        uri: "infra://policy",
        name: "policy",
        title: "Policy",
        description: "The plugins of the command policy and its digest.",
        icon: Icon::Policy,
    },
    Known {
        uri: "infra://audit/recent",
        name: "audit-recent",
        title: "Newest audit records",
        description: "The last 50 records of the audit chain, secrets redacted.",
        icon: Icon::Audit,
    },
];

/// The addresses with a name in them.
pub const TEMPLATES: [Known; 4] = [
    Known {
        uri: "infra://hosts/{host}",
        name: "host",
        title: "Host",
        description: "One host of the inventory and its open proposals.",
        icon: Icon::Host,
    },
    Known {
        uri: "infra://policy/{plugin}",
        name: "plugin",
        title: "Plugin",
        description: "Every form of one family of commands.",
        icon: Icon::Commands,
    },
    Known {
        uri: "infra://proposals/{id}",
        name: "proposal",
        title: "Proposal",
        description: "One proposal: what it does, who asked, its state and signatures.",
        icon: Icon::Proposal,
    },
    Known {
        uri: "infra://tools/{tool}",
        name: "tool",
        title: "Tool",
        description: "A tool's whole schemas, which tools/list gives in outline.",
        icon: Icon::Tool,
    },
];

/// Why an address gives nothing.
#[derive(Debug)]
pub enum NotRead {
    /// Nothing stands there.
    Unknown,
    /// It could not be read.
    Failed(String),
}

/// Reads an address.
///
/// Errors: an address that nothing stands at; a store that cannot be read.
pub async fn read(call: Call, tools: &Toolbox, uri: &str) -> Result<Value, NotRead> {
    let path = uri.strip_prefix("infra://").ok_or(NotRead::Unknown)?;
    match path.split_once('/') {
        None if path == "hosts" => ask(call, tools, "list_hosts", json!({})).await,
        None if path == "policy" => ask(call, tools, "list_command_plugins", json!({})).await,
        Some(("audit", "recent")) => audit(&call).await,
        Some(("hosts", name)) => host(call, name).await,
        Some(("policy", plugin)) => ask(call, tools, "get_plugin_details", json!({ "plugin": plugin })).await,
        Some(("proposals", id)) => {
            let id = id.to_owned();
            let found = call.app.blocking(move |store| store.proposal(&id)).await;
            found.map(|p| hygiene::clean_json(tools::proposal(&p))).map_err(|_| NotRead::Unknown)
        }
        Some(("tools", name)) => tools.iter().find(|t| t.name == name).map_or(Err(NotRead::Unknown), |t| {
            let groups: Vec<_> = toolsets::groups_of(t.name).collect();
            let icon = groups.first().map_or(Icon::Tool, |set| set.icon);
            let names: Vec<_> = groups.iter().map(|set| set.name).collect();
            Ok(json!({ "name": t.name, "title": t.title, "description": t.description, "toolsets": names,
                       "icons": [{ "src": icon.uri(), "mimeType": MEDIA_TYPE, "sizes": ["any"] }],
                       "inputSchema": *t.input, "outputSchema": *t.output }))
        }),
        _ => Err(NotRead::Unknown),
    }
}

/// What a tool answers; a name that it does not know is an address where nothing stands.
async fn ask(call: Call, tools: &Toolbox, tool: &str, arguments: Value) -> Result<Value, NotRead> {
    let tool = tools.get(tool).ok_or(NotRead::Unknown)?;
    let answer = tool.call(call, arguments).await;
    match answer.structured["error"]["code"].as_str() {
        None => Ok(answer.structured),
        Some("unknown_plugin") => Err(NotRead::Unknown),
        Some(_) => Err(NotRead::Failed(answer.text)),
    }
}

async fn host(call: Call, name: &str) -> Result<Value, NotRead> {
    let host = call.app.host(name).map_err(|_| NotRead::Unknown)?;
    let open = call.app.blocking(|store| store.proposals(true, 200)).await;
    let open = open.map_err(|e| NotRead::Failed(e.to_string()))?;
    let open: Vec<Value> =
        open.iter().filter(|p| p.asked.host == host.name.as_str()).map(tools::proposal).collect();
    Ok(json!({
        "name": host.name.to_string(),
        "address": host.address,
        "port": host.port,
        "groups": host.groups,
        "tags": host.tags,
        "tenant": host.tenant,
        "host_key_pinned": host.host_key.is_some(),
        "open_proposals": hygiene::clean_json(Value::Array(open)),
    }))
}

async fn audit(call: &Call) -> Result<Value, NotRead> {
    let lines = call.app.blocking(|store| store.audit_tail(RECORDS)).await;
    let lines = lines.map_err(|e| NotRead::Failed(e.to_string()))?;
    // The chain keeps lines as they were sent. What is shown here is no longer the chain, and says so by lacking its bytes.
    let records = lines.iter().filter_map(|line| serde_json::from_str(line).ok());
    let records: Vec<Value> = records.map(hygiene::clean_json).collect();
    Ok(
        json!({ "records": records, "note": "cleaned and redacted: mcp-linux-infra audit verify checks the chain itself" }),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::app::App;
    use crate::config::{Config, Environment};
    use crate::mcp::Progress;

    fn call() -> (tempfile::TempDir, Call) {
        let dir = tempfile::tempdir().unwrap();
        let env = Environment::from([("HOME", dir.path().to_str().unwrap())]);
        let path = dir.path().join("c.toml");
        std::fs::write(
            &path,
            "state_dir = \"state\"\n[[hosts]]\nname = \"web01\"\naddress = \"192.0.2.1\"\n",
        )
        .unwrap();
        let app = Arc::new(App::new(Config::load(Some(&path), &env).unwrap()).unwrap());
        (dir, Call { app, caller: "test".into(), progress: Progress::default() })
    }

    #[tokio::test]
    async fn every_fixed_address_gives_an_object() {
        let (_dir, call) = call();
        let tools = Toolbox::new();
        for known in FIXED {
            let value = read(call.clone(), &tools, known.uri).await.unwrap();
            assert!(value.is_object(), "{}: {value}", known.uri);
        }
        for uri in ["infra://hosts/web01", "infra://policy/network", "infra://tools/list_hosts"] {
            assert!(read(call.clone(), &tools, uri).await.unwrap().is_object(), "{uri}");
        }
    }

    #[tokio::test]
    async fn a_tool_shows_its_groups_and_the_picture_of_what_it_is_about() {
        let (_dir, call) = call();
        let tools = Toolbox::new();
        for (name, groups, icon) in [
            ("fetch_logs", json!(["logs", "core"]), Icon::Logs),
            ("propose_pra_action", json!(["recovery", "core"]), Icon::Recovery),
            ("get_dns_config", json!(["network"]), Icon::Network),
        ] {
            let read = read(call.clone(), &tools, &format!("infra://tools/{name}")).await.unwrap();
            assert_eq!(read["toolsets"], groups, "{name}");
            assert_eq!(read["icons"][0]["src"], icon.uri(), "{name}");
        }
        for tool in tools.iter() {
            let group = toolsets::groups_of(tool.name).next().unwrap();
            assert_ne!(group.name, toolsets::CORE, "{}: of what is it?", tool.name);
        }
    }

    #[tokio::test]
    async fn nothing_stands_elsewhere() {
        let (_dir, call) = call();
        let tools = Toolbox::new();
        for uri in [
            "infra://hosts/other",
            "infra://hosts/",
            "infra://policy/none",
            "infra://policy/../../etc/passwd",
            "infra://proposals/none",
            "infra://tools/none",
            "infra://audit/all",
            "infra://",
            "file:///etc/passwd",
            "",
        ] {
            assert!(matches!(read(call.clone(), &tools, uri).await, Err(NotRead::Unknown)), "{uri}");
        }
    }

    #[tokio::test]
    async fn the_newest_records_hold_no_secret() {
        let (_dir, call) = call();
        let host = call.app.host("web01").unwrap();
        call.app.read(host, "psql --password=hunter2 x\u{202e}", "test").await.unwrap_err();
        let text = read(call.clone(), &Toolbox::new(), "infra://audit/recent").await.unwrap().to_string();
        assert!(text.contains("psql") && !text.contains("hunter2") && !text.contains('\u{202e}'), "{text}");
    }
}
