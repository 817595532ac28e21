//! Calls under way: cancelled, many at once, and beside a host that hangs; against a real sshd on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]
#![allow(dead_code, reason = "each test program uses a part of the support")]

#[path = "support/serve.rs"]
mod serve;
mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use serve::{PATIENCE, Piped, Served, initialize, modern_call, read_answer};
use support::Sshd;

fn host(sshd: &Sshd, name: &str) -> String {
    sshd.host_entry(name, Some(&sshd.public("host")), "reader")
}

fn command(host: &str, line: &str) -> Value {
    json!({ "name": "execute_ssh_command", "arguments": { "host": host, "command": line } })
}

fn legacy_call(id: u64, host: &str, line: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": command(host, line) })
}

/// A played target whose command waits, and the configuration of a server that knows the command.
fn slow_target() -> (Sshd, tempfile::TempDir) {
    let sshd = Sshd::with_wrapper(300);
    let dir = serve::folder(&host(&sshd, "a"));
    std::fs::create_dir(dir.path().join("plugins.d")).unwrap();
    std::fs::write(dir.path().join("plugins.d/play.toml"), support::PLUGIN).unwrap();
    (sshd, dir)
}

const SLOW: &str = "play slow 1";

fn wait_for(what: &str, done: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The process of the remote program, once it runs.
fn remote(sshd: &Sshd) -> String {
    let pids = sshd.path("target/slow.1");
    let read = || std::fs::read_to_string(&pids).unwrap_or_default();
    wait_for("the start of the remote program", || read().ends_with('\n'));
    let pid = read().trim().to_owned();
    wait_for("the wait of the remote program", || is_sleep(&pid));
    pid
}

fn is_sleep(pid: &str) -> bool {
    let cmdline = std::fs::read_to_string(Path::new("/proc").join(pid).join("cmdline"));
    cmdline.unwrap_or_default().contains("sleep")
}

fn ends(pid: &str) {
    wait_for("the end of the remote program", || !is_sleep(pid));
}

#[test]
fn a_call_that_is_cancelled_over_stdio_ends_the_remote_program() {
    let (sshd, dir) = slow_target();
    let mut server = Piped::start_in(dir);
    server.ask(&initialize().to_string());
    server.send(&legacy_call(7, "a", SLOW).to_string());
    let pid = remote(&sshd);
    server.send(
        &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } })
            .to_string(),
    );
    ends(&pid);
    let ping = server.ask(&json!({ "jsonrpc": "2.0", "id": 8, "method": "ping" }).to_string());
    assert_eq!(ping["id"], 8, "what was cancelled has no answer: {ping}");
}

#[test]
fn a_client_that_leaves_stdio_ends_its_remote_program() {
    let (sshd, dir) = slow_target();
    let mut server = Piped::start_in(dir);
    server.ask(&initialize().to_string());
    server.send(&legacy_call(7, "a", SLOW).to_string());
    let pid = remote(&sshd);
    drop(server.stdin.take());
    assert_eq!(server.wait(), Some(0));
    ends(&pid);
}

#[test]
fn a_modern_client_that_hangs_up_ends_its_remote_program() {
    let (sshd, dir) = slow_target();
    let server = Served::start_in(dir, "127.0.0.1:0");
    let mut connection = server.connect();
    connection.write_all(modern_call(&[], &command("a", SLOW)).as_bytes()).unwrap();
    let pid = remote(&sshd);
    drop(connection);
    ends(&pid);
}

#[test]
fn a_call_in_a_session_outlives_its_connection_and_ends_when_it_is_cancelled() {
    let (sshd, dir) = slow_target();
    let server = Served::start_in(dir, "127.0.0.1:0");
    let id = server.session(&[]);
    let in_session = [("Mcp-Session-Id", id.as_str())];
    let mut connection = server.connect();
    let call = serve::request("POST", "/mcp", &in_session, &legacy_call(7, "a", SLOW).to_string());
    connection.write_all(call.as_bytes()).unwrap();
    let pid = remote(&sshd);
    drop(connection);
    // Such a stream can be resumed: the protocol says that hanging up is no cancellation.
    let ping = json!({ "jsonrpc": "2.0", "id": 8, "method": "ping" });
    assert_eq!(server.post(&in_session, &ping).status, 200);
    assert!(is_sleep(&pid));
    let cancel =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } });
    assert_eq!(server.post(&in_session, &cancel).status, 202);
    ends(&pid);
}

#[test]
fn a_session_that_is_deleted_ends_its_remote_programs() {
    let (sshd, dir) = slow_target();
    let server = Served::start_in(dir, "127.0.0.1:0");
    let id = server.session(&[]);
    let in_session = [("Mcp-Session-Id", id.as_str())];
    let mut connection = server.connect();
    let call = serve::request("POST", "/mcp", &in_session, &legacy_call(7, "a", SLOW).to_string());
    connection.write_all(call.as_bytes()).unwrap();
    let pid = remote(&sshd);
    assert!(server.http("DELETE", "/mcp", &in_session, "").status < 300);
    ends(&pid);
}

#[test]
fn sigterm_gives_a_running_call_its_time_and_then_ends_the_remote_program() {
    let (sshd, dir) = slow_target();
    let mut server = Served::start_in(dir, "127.0.0.1:0");
    let mut connection = server.connect();
    connection.write_all(modern_call(&[], &command("a", SLOW)).as_bytes()).unwrap();
    let pid = remote(&sshd);
    assert_eq!(server.end(), Some(0));
    ends(&pid);
}

#[test]
fn sigterm_lets_a_running_call_answer() {
    let sshd = Sshd::start(
        "case $SSH_ORIGINAL_COMMAND in mcp-session) exit 126;; esac; echo $$ >> pids; sleep 2; echo late",
    );
    let mut server = Served::start(&host(&sshd, "a"));
    let mut connection = server.connect();
    connection.write_all(modern_call(&[], &command("a", "uptime")).as_bytes()).unwrap();
    wait_for("the start of the remote program", || sshd.path("pids").exists());
    let answer = std::thread::spawn(move || read_answer(connection));
    assert_eq!(server.end(), Some(0));
    let answer = answer.join().unwrap();
    assert!(answer.body.contains("late"), "{answer:?}");
}

/// 32 calls over eight hosts, of which the last hangs: it takes connections and says nothing.
#[test]
fn a_host_that_hangs_does_not_slow_the_other_seven() {
    let sshd = Sshd::start("case $SSH_ORIGINAL_COMMAND in mcp-session) exit 126;; esac; echo fine");
    let hung = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = hung.local_addr().unwrap().port();
    let key = sshd.public("host");
    // Fewer places in all than calls to the host that hangs: if one of those held a place, the others would wait.
    let mut config =
        "[limits]\nconnect_seconds = 120\nwait_seconds = 300\ncalls_per_host = 2\nconcurrent_calls = 8\n"
            .to_owned();
    for number in 0..7 {
        config.push_str(&host(&sshd, &format!("h{number}")));
    }
    config.push_str(&format!(
        "[[hosts]]\nname = \"hung\"\naddress = \"127.0.0.1\"\nport = {port}\nhost_key = \"{key}\"\nreader_key = \"{}\"\n",
        sshd.path("reader").display()
    ));
    let mut server = Piped::start(&config);
    server.ask(&initialize().to_string());
    let mut round = |first: u64, hung: u64| {
        for id in first..first + hung {
            server.send(&legacy_call(id, "hung", "uptime").to_string());
        }
        let fine: BTreeSet<u64> = (first + hung..first + hung + 28).collect();
        let started = Instant::now();
        for id in &fine {
            server.send(&legacy_call(*id, &format!("h{}", id % 7), "uptime").to_string());
        }
        // The first 28 answers are those of the seven, while every call to the other waits.
        let answered: BTreeSet<u64> = (0..28)
            .map(|_| {
                let answer = server.next();
                assert_eq!(answer["result"]["structuredContent"]["exit"], 0, "{answer}");
                answer["id"].as_u64().unwrap()
            })
            .collect();
        assert_eq!(answered, fine);
        started.elapsed()
    };
    let (cold, without, with) = (round(1000, 0), round(2000, 0), round(3000, 32));
    println!("28 calls: first {cold:?}, without the hung host {without:?}, beside 32 calls to it {with:?}");
}
