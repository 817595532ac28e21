//! An MCP client of a few lines, in both protocol eras.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::Server;

/// Which protocol the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// `initialize`, 2025-11-25.
    Legacy,
    /// `_meta` in each request, 2026-07-28.
    Modern,
}

/// A client with its server.
pub struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    era: Era,
    next: u64,
}

impl Client {
    /// Starts `serve` and shakes hands where the era asks for it.
    pub fn start(server: &Server<'_>, era: Era) -> Self {
        let mut child = server
            .command(&["serve"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut client = Self { child, stdin, lines, era, next: 1 };
        if era == Era::Legacy {
            let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "e2e", "version": "1" } });
            let answer = client.request("initialize", hello);
            assert_eq!(answer["result"]["protocolVersion"], "2025-11-25", "{answer}");
            client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        }
        client
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.stdin.as_mut().unwrap(), "{message}").unwrap();
    }

    /// Sends a request without waiting; gives its id.
    pub fn ask(&mut self, method: &str, mut params: Value) -> u64 {
        let id = self.next;
        self.next += 1;
        if self.era == Era::Modern {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": { "name": "e2e", "version": "1" },
            });
        }
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        id
    }

    /// The next answer, whatever it answers.
    pub fn answer(&mut self) -> Value {
        loop {
            let line = self.lines.next().expect("the server is there").unwrap();
            let message: Value = serde_json::from_str(&line).expect("stdout carries nothing but messages");
            if message.get("id").is_some() {
                return message;
            }
        }
    }

    /// Sends a request and waits for its answer.
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params);
        loop {
            let answer = self.answer();
            if answer["id"] == id {
                return answer;
            }
        }
    }

    /// Calls a tool; gives its result.
    pub fn call(&mut self, name: &str, arguments: &Value) -> Value {
        let mut answer = self.request("tools/call", json!({ "name": name, "arguments": arguments }));
        assert!(answer["error"].is_null(), "{name}: {answer}");
        answer["result"].take()
    }

    /// Sends a tool call without waiting.
    pub fn ask_tool(&mut self, name: &str, arguments: &Value) -> u64 {
        self.ask("tools/call", json!({ "name": name, "arguments": arguments }))
    }

    /// Process id of the server.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Closes stdin and waits for the server to go.
    pub fn end(mut self) -> i32 {
        self.stdin = None;
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
