//! The running server takes a changed plugin folder into force by itself, and nothing of a wrong one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const FORM: &str = "name = \"local\"\ntitle = \"x\"\ncategory = \"local\"\n[[command]]\nname = \"frob\"\n[[command.form]]\nname = \"a\"\n\
                    level = \"auto\"\nexamples = [\"frob\"]\ncounter_examples = [\"frob x\"]\n";

struct Server {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    id: u64,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(dir: &std::path::Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mcp-linux-infra"))
            .arg("--config")
            .arg(dir.join("c.toml"))
            .arg("serve")
            .env_clear()
            .env("HOME", dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut server = Self { child, stdin, lines, id: 0 };
        server.ask(
            "initialize",
            &json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } }),
        );
        writeln!(server.stdin, "{}", json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
            .unwrap();
        server
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.id += 1;
        let asked = json!({ "jsonrpc": "2.0", "id": self.id, "method": method, "params": params });
        writeln!(self.stdin, "{asked}").unwrap();
        loop {
            let line = self.lines.next().expect("the server answers").unwrap();
            let answer: Value = serde_json::from_str(&line).unwrap();
            if answer["id"] == self.id {
                return answer["result"].clone();
            }
        }
    }

    fn tool(&mut self, name: &str, arguments: &Value) -> Value {
        let params = json!({ "name": name, "arguments": arguments });
        self.ask("tools/call", &params)["structuredContent"].clone()
    }

    fn verdict(&mut self) -> Value {
        self.tool("analyze_command", &json!({ "command": "frob" }))["verdict"].clone()
    }

    /// Asks until the answer is this one.
    fn until(&mut self, what: &str, is: impl Fn(&mut Self) -> bool) {
        let started = Instant::now();
        while !is(self) {
            assert!(started.elapsed() < Duration::from_mins(1), "{what} did not come");
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_changed_folder_is_in_force_without_a_restart_and_a_wrong_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let plugins = dir.path().join("plugins.d");
    std::fs::create_dir(&plugins).unwrap();
    std::fs::write(dir.path().join("c.toml"), "state_dir = \"state\"\n[limits]\ncalls_per_minute = 100000\n")
        .unwrap();
    let mut server = Server::start(dir.path());
    assert_eq!(server.verdict(), "blocked");
    std::fs::write(plugins.join("local.toml"), FORM).unwrap();
    server.until("the new form", |s| s.verdict() == "auto");
    std::fs::write(plugins.join("local.toml"), FORM.replace("auto", "always")).unwrap();
    server.until("the problem", |s| {
        let problem = s.tool("list_command_plugins", &json!({}))["problem"].clone();
        problem.as_str().is_some_and(|p| p.contains("local.toml:8"))
    });
    assert_eq!(server.verdict(), "auto", "the policy in force stays");
}
