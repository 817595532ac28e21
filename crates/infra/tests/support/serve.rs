//! A running `serve` and a client of a few lines for it, over HTTP and stdio.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Long enough for a busy machine, short enough for a test that hangs.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

pub(crate) fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-linux-infra"));
    command
        .arg("--config")
        .arg(dir.join("c.toml"))
        .args(arguments)
        .env_clear()
        .env("HOME", dir)
        .env("XDG_STATE_HOME", dir.join("state"));
    command
}

pub(crate) fn folder(config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("c.toml"), format!("known_hosts = \"known_hosts\"\n{config}")).unwrap();
    dir
}

/// Runs `serve --http ADDRESS` where it must not start.
pub(crate) fn refused(config: &str, address: &str) -> Output {
    let dir = folder(config);
    let output = command(dir.path(), &["serve", "--http", address]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    output
}

/// A server on HTTP; it ends with the value.
pub(crate) struct Served {
    child: Child,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) start_line: String,
}

impl Served {
    pub(crate) fn start(config: &str) -> Self {
        Self::start_in(folder(config), "127.0.0.1:0")
    }

    pub(crate) fn start_in(dir: tempfile::TempDir, address: &str) -> Self {
        let mut child = command(dir.path(), &["serve", "--http", address])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut start_line = String::new();
        lines.read_line(&mut start_line).unwrap();
        assert!(start_line.contains("serving MCP at"), "{start_line}");
        // What it logs must not fill a pipe that nobody reads.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self { child, dir, start_line }
    }

    pub(crate) fn port(&self) -> u16 {
        let address = self.start_line.split("http://127.0.0.1:").nth(1).unwrap();
        address.split('/').next().unwrap().parse().unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends a request and reads the whole answer.
    pub(crate) fn http(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        exchange(self.connect(), method, path, headers, body)
    }

    pub(crate) fn post(&self, headers: &[(&str, &str)], message: &Value) -> Answer {
        self.http("POST", "/mcp", headers, &message.to_string())
    }

    /// A request of the 2026-07-28 protocol.
    #[allow(clippy::needless_pass_by_value, reason = "calls read better without &")]
    pub(crate) fn modern(&self, headers: &[(&str, &str)], method: &str, params: Value) -> Answer {
        exchange(
            self.connect(),
            "POST",
            "/mcp",
            &modern_headers(headers, method, &params),
            &modern(method, params.clone()),
        )
    }

    /// Shakes hands as a client of the 2025-11-25 protocol; gives the session's id.
    pub(crate) fn session(&self, headers: &[(&str, &str)]) -> String {
        let answer = self.post(headers, &initialize());
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.message()["result"]["protocolVersion"], "2025-11-25", "{answer:?}");
        answer.header("mcp-session-id").expect("a session").to_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it as a service manager does; gives its exit status.
    pub(crate) fn end(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn initialize() -> Value {
    json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } })
}

pub(crate) fn modern(method: &str, mut params: Value) -> String {
    for (key, value) in [
        ("protocolVersion", json!("2026-07-28")),
        ("clientCapabilities", json!({})),
        ("clientInfo", json!({ "name": "test", "version": "1" })),
    ] {
        params["_meta"][format!("io.modelcontextprotocol/{key}")] = value;
    }
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
}

fn modern_headers<'a>(
    headers: &[(&'a str, &'a str)],
    method: &'a str,
    params: &'a Value,
) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", method)];
    all.extend(params["name"].as_str().map(|name| ("Mcp-Name", name)));
    all.extend_from_slice(headers);
    all
}

/// Writes a request's bytes.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    let usual = [
        ("Host", "localhost"),
        ("Accept", "application/json, text/event-stream"),
        ("Content-Type", "application/json"),
        ("Connection", "close"),
    ];
    let given = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    for (name, value) in usual.iter().filter(|(n, _)| !given(n)).chain(headers) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    text
}

/// As [`request`], of a modern tool call.
pub(crate) fn modern_call(headers: &[(&str, &str)], params: &Value) -> String {
    let all = modern_headers(headers, "tools/call", params);
    request("POST", "/mcp", &all, &modern("tools/call", params.clone()))
}

pub(crate) fn over_unix(path: &Path, headers: &[(&str, &str)], message: &Value) -> Answer {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(stream, "POST", "/mcp", headers, &message.to_string())
}

fn exchange(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    // A server that refuses need not read the body.
    let _ = stream.write_all(request(method, path, headers, body).as_bytes());
    read_answer(stream)
}

/// Reads an answer until the connection closes.
pub(crate) fn read_answer(mut stream: impl Read) -> Answer {
    let mut bytes = Vec::new();
    // It may be reset once everything was said.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { dechunk(body) } else { body.to_owned() };
    Answer { status, head: head.to_owned(), body }
}

fn dechunk(mut rest: &str) -> String {
    let mut whole = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        whole.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
    whole
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|l| l.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)))
            .map(|(_, v)| v)
    }

    /// The values of a header that may stand several times.
    pub(crate) fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let lines = self.head.lines().filter_map(|l| l.split_once(": "));
        lines.filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// All messages, from JSON or an event stream.
    pub(crate) fn messages(&self) -> Vec<Value> {
        if let Ok(one) = serde_json::from_str(&self.body) {
            return vec![one];
        }
        let data = self.body.lines().filter_map(|l| l.strip_prefix("data:"));
        data.filter_map(|d| serde_json::from_str(d.trim()).ok()).collect()
    }

    /// The answer to the request.
    pub(crate) fn message(&self) -> Value {
        self.messages().pop().unwrap_or_else(|| panic!("no message: {self:?}"))
    }
}

/// A server on stdio; it ends with the value.
pub(crate) struct Piped {
    pub(crate) child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    _dir: tempfile::TempDir,
}

impl Piped {
    pub(crate) fn start(config: &str) -> Self {
        Self::start_in(folder(config))
    }

    pub(crate) fn start_in(dir: tempfile::TempDir) -> Self {
        let mut child = command(dir.path(), &["serve"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { stdin: child.stdin.take(), child, lines, _dir: dir }
    }

    pub(crate) fn send(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub(crate) fn next(&mut self) -> Value {
        let line = self.lines.next().expect("the server is there").unwrap();
        serde_json::from_str(&line).expect("stdout carries nothing but messages")
    }

    pub(crate) fn ask(&mut self, line: &str) -> Value {
        self.send(line);
        self.next()
    }

    /// Waits for its end; gives its exit status.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file that only its owner reads.
pub(crate) fn private(path: PathBuf, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
