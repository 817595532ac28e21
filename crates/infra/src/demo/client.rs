//! A small MCP client, as an assistant would be: it starts the server and speaks over its stdin and stdout.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A client with its server.
pub(super) struct Client {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    next: u64,
}

impl Client {
    /// Starts `serve` with this config and shakes hands.
    pub(super) async fn start(program: &Path, config: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .arg("--config")
            .arg(config)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the server")?;
        let stdin = child.stdin.take().context("no stdin")?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut client = Self { child, stdin, lines: BufReader::new(stdout).lines(), next: 1 };
        let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "demo", "version": "1" } });
        client.request("initialize", hello).await?;
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await?;
        Ok(client)
    }

    async fn send(&mut self, message: &Value) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.stdin.write_all(&line).await?;
        Ok(self.stdin.flush().await?)
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn request(&mut self, method: &str, params: Value) -> anyhow::Result<Value> {
        let id = self.next;
        self.next += 1;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await?;
        while let Some(line) = self.lines.next_line().await? {
            let mut message: Value =
                serde_json::from_str(&line).context("the server wrote something that is not JSON")?;
            if message["id"] == id {
                if !message["error"].is_null() {
                    bail!("{method}: {}", message["error"]["message"]);
                }
                return Ok(message["result"].take());
            }
        }
        bail!("the server went away")
    }

    /// Calls a tool.
    pub(super) async fn call(&mut self, name: &str, arguments: Value) -> anyhow::Result<Value> {
        self.request("tools/call", json!({ "name": name, "arguments": arguments })).await
    }

    /// Closes stdin and waits for the server to go.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        drop(self.stdin);
        self.child.wait().await?;
        Ok(())
    }
}
