//! A server that people reach with tokens, before a played target that counts the runs of its one action.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::serve::{self, Served, command, private};
use crate::support::Sshd;

/// The name of the target's action.
pub(crate) const ACTION: &str = "count_up";
const PLAN: &str = r#"
name = "count_up"
title = "Count up"
description = "Writes a line."
risk = "medium"
approvals = 1
timeout_seconds = 20
[[run]]
argv = ["systemctl", "restart", "count.service"]
expect = { exit = 0 }
[[verify]]
argv = ["systemctl", "is-active", "count.service"]
expect = { exit = 0, stdout = "active" }
"#;
const SYSTEMCTL: &str = "#!/bin/sh\nroot=${0%/usr/bin/systemctl}\n\
    case $1 in restart) echo ran >> \"$root/runs\";; is-active) echo active;; esac\n";
const DASHBOARD: &str = "[dashboard]\norigin = \"https://infra.example.org\"\n";

pub(crate) struct Played {
    sshd: Sshd,
    served: Served,
}

impl Played {
    /// With a dashboard, whose page nobody opens here.
    pub(crate) fn start(config: &str) -> Self {
        Self::with(&format!("{config}{DASHBOARD}"))
    }

    pub(crate) fn without_dashboard() -> Self {
        Self::with("")
    }

    fn with(config: &str) -> Self {
        let program = env!("CARGO_BIN_EXE_mcp-linux-infra");
        let sshd = Sshd::start(&format!(
            "case $SSH_ORIGINAL_COMMAND in grant) account=runner;; *) account=reader;; esac\n\
             exec '{program}' demo-target $account \"$PWD/target\""
        ));
        let dir = serve::folder("");
        let key = dir.path().join("alice.key");
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(made.unwrap().success());
        let alice = std::fs::read_to_string(dir.path().join("alice.key.pub")).unwrap();
        fill(&sshd.path("target"), &sshd.public("host"), &alice);
        let entry = sshd.host_entry("a", Some(&sshd.public("host")), "reader");
        let runner =
            format!("runner_user = \"{}\"\nrunner_key = \"{}\"\n", sshd.user, sshd.path("reader").display());
        let actions = sshd.path("target/etc/mcp-linux-infra/actions.d");
        let text = format!(
            "known_hosts = \"known_hosts\"\nactions_dir = \"{}\"\n{config}[http]\ntoken_file = \"tokens\"\n{entry}{runner}",
            actions.display()
        );
        std::fs::write(dir.path().join("c.toml"), text).unwrap();
        private(dir.path().join("tokens"), &format!("alice {}\nbob {}\n", token("alice"), token("bob")));
        Self { sshd, served: Served::start_in(dir, "127.0.0.1:0") }
    }

    /// Ends the server and starts it anew over the same state.
    pub(crate) fn restart(&mut self) {
        let dir = std::mem::replace(&mut self.served.dir, tempfile::tempdir().unwrap());
        assert_eq!(self.served.end(), Some(0));
        self.served = Served::start_in(dir, "127.0.0.1:0");
    }

    /// A folder for a server of its own on stdio, over the same state.
    pub(crate) fn stdio(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let own = self.served.dir.path();
        let text = std::fs::read_to_string(own.join("c.toml")).unwrap();
        let state = own.join("state/mcp-linux-infra");
        std::fs::write(dir.path().join("c.toml"), format!("state_dir = \"{}\"\n{text}", state.display()))
            .unwrap();
        dir
    }

    /// How often the action has run on the target.
    pub(crate) fn runs(&self) -> usize {
        std::fs::read_to_string(self.sshd.path("target/runs")).unwrap_or_default().lines().count()
    }

    /// A request of the 2026-07-28 protocol by a client that declares this.
    pub(crate) fn ask(&self, owner: &str, capabilities: &Value, method: &str, mut params: Value) -> Value {
        for (key, value) in [
            ("protocolVersion", json!("2026-07-28")),
            ("clientCapabilities", capabilities.clone()),
            ("clientInfo", json!({ "name": "test", "version": "1" })),
        ] {
            params["_meta"][format!("io.modelcontextprotocol/{key}")] = value;
        }
        let name = params["name"].as_str().or(params["taskId"].as_str()).map(str::to_owned);
        let bearer = format!("Bearer {}", token(owner));
        let mut headers = vec![
            ("MCP-Protocol-Version", "2026-07-28"),
            ("Mcp-Method", method),
            ("Authorization", bearer.as_str()),
        ];
        headers.extend(name.as_deref().map(|name| ("Mcp-Name", name)));
        self.served
            .post(&headers, &json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }))
            .message()
    }

    pub(crate) fn call(&self, owner: &str, capabilities: &Value, tool: &str, arguments: &Value) -> Value {
        self.ask(owner, capabilities, "tools/call", json!({ "name": tool, "arguments": arguments }))
    }

    /// A request about a task, by a client that knows tasks.
    pub(crate) fn task(&self, owner: &str, method: &str, id: &str) -> Value {
        let capabilities = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
        let mut params = json!({ "taskId": id });
        if method == "tasks/update" {
            params["inputResponses"] = json!({ "approval_page": { "action": "accept" } });
        }
        self.ask(owner, &capabilities, method, params)
    }

    /// Proposes the action; gives the proposal's id.
    pub(crate) fn propose(&self, owner: &str, rationale: &str) -> String {
        let arguments = json!({ "host": "a", "action": ACTION, "rationale": rationale });
        let answer = self.call(owner, &json!({}), "propose_pra_action", &arguments);
        let id = answer["result"]["structuredContent"]["proposal"]["id"].as_str();
        id.unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// A person signs with a key that the server does not have.
    pub(crate) fn approve(&self, id: &str) {
        let key = self.served.dir.path().join("alice.key");
        self.cli(&["approve", id, "--key", key.to_str().unwrap(), "--yes"]);
    }

    pub(crate) fn cli(&self, arguments: &[&str]) {
        let output = command(self.served.dir.path(), arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

/// The arguments that execute a proposal.
pub(crate) fn execute(id: &str) -> Value {
    json!({ "host": "a", "action": ACTION, "approval_token": id })
}

fn token(owner: &str) -> String {
    format!("{owner}-0123456789abcdef0123456789abcdef")
}

/// Makes a target's root beneath a folder.
fn fill(root: &Path, host_key: &str, approver: &str) {
    for folder in [
        "etc/mcp-linux-infra/actions.d",
        "etc/mcp-linux-infra/plugins.d",
        "etc/ssh",
        "var/lib",
        "var/log",
        "usr/bin",
        "run",
    ] {
        let folder: PathBuf = root.join(folder);
        std::fs::create_dir_all(folder).unwrap();
    }
    let etc = root.join("etc/mcp-linux-infra");
    let approver: Vec<&str> = approver.split(' ').take(2).collect();
    for (place, text) in [
        (etc.join("target.toml"), "host = \"a\"\ntenant = \"default\"\n".to_owned()),
        (etc.join("approvers"), format!("alice@example.org {}\n", approver.join(" "))),
        (etc.join("actions.d/count_up.toml"), PLAN.to_owned()),
        (root.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n".to_owned()),
        (root.join("etc/ssh/ssh_host_ed25519_key.pub"), format!("{host_key}\n")),
        (root.join("usr/bin/systemctl"), SYSTEMCTL.to_owned()),
    ] {
        private(place, &text);
    }
    let program = root.join("usr/bin/systemctl");
    std::fs::set_permissions(program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    mcp_linux_infra::demo::target::initialise(root).unwrap();
}
