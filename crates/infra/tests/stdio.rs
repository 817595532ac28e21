//! `serve` on stdin and stdout as a process: what a client sees at the edges of the protocol.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

#[path = "support/serve.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod serve;

use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use serve::{Piped, initialize, modern};

#[test]
fn a_client_that_discovers_and_leaves_is_no_failure() {
    let mut server = Piped::start("");
    let discovered = server.ask(&modern("server/discover", json!({})));
    assert!(discovered["result"]["supportedVersions"].to_string().contains("2026-07-28"), "{discovered}");
    assert!(discovered["result"]["ttlMs"].is_number() && discovered["result"]["cacheScope"].is_string());
    drop(server.stdin.take());
    assert_eq!(server.wait(), Some(0));
    let mut silent = Piped::start("");
    drop(silent.stdin.take());
    assert_eq!(silent.wait(), Some(0));
}

#[test]
fn sigterm_ends_it_while_stdin_is_open() {
    for greeted in [false, true] {
        let mut server = Piped::start("");
        // An answer tells that the signal is handled.
        server.ask(&modern("server/discover", json!({})));
        if greeted {
            server.ask(&initialize().to_string());
        }
        let started = Instant::now();
        kill_process(Pid::from_child(&server.child), Signal::TERM).unwrap();
        assert_eq!(server.wait(), Some(0));
        assert!(started.elapsed().as_secs() < 4, "it hangs on stdin");
    }
}

#[test]
fn the_server_says_its_own_name_and_an_old_version_when_it_shakes_hands() {
    let mut server = Piped::start("");
    let mut hello = initialize();
    hello["params"]["protocolVersion"] = "2026-07-28".into();
    let answer = server.ask(&hello.to_string());
    assert_eq!(answer["result"]["serverInfo"]["name"], "mcp-linux-infra", "{answer}");
    assert_eq!(answer["result"]["serverInfo"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(answer["result"]["protocolVersion"], "2025-11-25", "a later one knows no handshake");
}

#[test]
fn both_eras_list_the_same_tools_in_the_same_order() {
    let listed = |mut server: Piped, request: &str| -> Vec<Value> {
        let answer = server.ask(request);
        answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("{answer}")).clone()
    };
    let modern_list = listed(Piped::start(""), &modern("tools/list", json!({})));
    let mut greeted = Piped::start("");
    greeted.ask(&initialize().to_string());
    let legacy = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string();
    assert_eq!(listed(greeted, &legacy), modern_list);
    let names: Vec<&str> = modern_list.iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert!(names.is_sorted() && names.len() > 10, "{names:?}");
}

#[test]
fn garbage_and_an_endless_line_do_not_end_the_service() {
    let mut server = Piped::start("");
    server.ask(&initialize().to_string());
    for garbage in ["garbage", "{", "[]", "\u{0}"] {
        server.send(garbage);
    }
    server.send(&format!("{{\"x\":\"{}\"}}", "x".repeat(17 << 20)));
    let mut answer = server.ask(&json!({ "jsonrpc": "2.0", "id": 9, "method": "ping" }).to_string());
    // A line that is no JSON may be answered with a parse error, which has no id of ours.
    while answer["id"] != 9 {
        answer = server.next();
    }
    assert!(answer["result"].is_object(), "{answer}");
}

#[test]
fn what_is_not_offered_and_what_does_not_exist_are_different_errors() {
    let mut server = Piped::start("");
    server.ask(&initialize().to_string());
    let ask = |server: &mut Piped, method: &str, params: Value| {
        server.ask(&json!({ "jsonrpc": "2.0", "id": 3, "method": method, "params": params }).to_string())
    };
    let level = ask(&mut server, "logging/setLevel", json!({ "level": "info" }));
    assert_eq!(level["error"]["code"], -32601, "{level}");
    let tool = ask(&mut server, "tools/call", json!({ "name": "no_such_tool", "arguments": {} }));
    assert_eq!(tool["error"]["code"], -32602, "{tool}");
    let wrong =
        ask(&mut server, "tools/call", json!({ "name": "list_hosts", "arguments": { "no_such": 1 } }));
    assert_eq!(wrong["result"]["isError"], true, "the model sees what is wrong: {wrong}");
}
