//! `serve --http` as a process: its door, its sessions, both protocol eras.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

#[path = "support/serve.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod serve;

use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;

use serde_json::{Value, json};
use serve::{Served, folder, initialize, over_unix, private, refused};

const ALICE: &str = "alice-0123456789abcdef0123456789abcdef";
const BOB: &str = "bob-0123456789abcdef0123456789abcdef";

fn list_tools() -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} })
}

/// A server that asks for the tokens of alice and bob.
fn with_tokens(more: &str) -> Served {
    let dir = folder(&format!("[http]\ntoken_file = \"tokens\"\n{more}"));
    private(dir.path().join("tokens"), &format!("alice {ALICE}\nbob {BOB}\n"));
    Served::start_in(dir, "127.0.0.1:0")
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn mcp_http_01_a_foreign_host_is_refused() {
    let server = Served::start("");
    for host in ["evil.example", "127.0.0.1.evil.example", "evil.example:80"] {
        let answer = server.post(&[("Host", host)], &initialize());
        assert_eq!((answer.status, answer.header("mcp-session-id")), (403, None), "{host}");
    }
    assert_eq!(server.post(&[("Host", "localhost:1")], &initialize()).status, 200);
}

#[test]
fn mcp_http_02_a_foreign_origin_is_refused_and_a_listed_one_is_not() {
    let server = Served::start("[http]\nallowed_origins = [\"https://app.example.com\"]\n");
    let own = format!("http://localhost:{}", server.port());
    for (origin, status) in [
        ("https://evil.example", 403),
        ("null", 403),
        ("http://localhost:1", 403),
        ("https://app.example.com", 200),
        (own.as_str(), 200),
    ] {
        let answer = server.post(&[("Origin", origin)], &initialize());
        assert_eq!(answer.status, status, "{origin}");
        assert_eq!(answer.header("mcp-session-id").is_some(), status == 200);
    }
}

#[test]
fn mcp_http_03_no_token_and_a_wrong_one_are_refused() {
    let server = with_tokens("");
    let none = server.post(&[], &initialize());
    assert_eq!(none.status, 401);
    assert_eq!(none.header("www-authenticate"), Some("Bearer realm=\"mcp-linux-infra\""));
    let basic = format!("Basic {ALICE}");
    let wrong = [bearer("no-such-token-0123456789abcdef01234567"), bearer(""), bearer("alice"), basic];
    for header in &wrong {
        let answer = server.post(&[("Authorization", header)], &initialize());
        assert_eq!((answer.status, answer.header("mcp-session-id")), (401, None), "{header}");
        assert!(answer.header("www-authenticate").unwrap().contains("invalid_token"));
    }
    for path in [format!("/mcp?access_token={ALICE}"), format!("/mcp?token={ALICE}")] {
        let answer = server.http("POST", &path, &[], &initialize().to_string());
        assert_eq!(answer.status, 401, "a token in the query is none");
    }
    assert_eq!(server.http("GET", "/elsewhere", &[], "").status, 401, "nothing is told without one");
    assert_eq!(server.post(&[("authorization", &bearer(ALICE))], &initialize()).status, 200);
    // One that was taken out of the file is refused in the session that it opened.
    let id = server.session(&[("Authorization", &bearer(BOB))]);
    private(server.dir.path().join("tokens"), &format!("alice {ALICE}\n"));
    let late = [("Authorization", bearer(BOB)), ("Mcp-Session-Id", id)];
    let late: Vec<(&str, &str)> = late.iter().map(|(n, v)| (*n, v.as_str())).collect();
    assert_eq!(server.post(&late, &list_tools()).status, 401);
}

#[test]
fn mcp_http_04_a_session_that_is_guessed_or_of_another_is_not_found() {
    let server = with_tokens("");
    let (alice, bob) = (bearer(ALICE), bearer(BOB));
    let id = server.session(&[("Authorization", &alice)]);
    let guess = "00000000-0000-4000-8000-000000000000";
    for (token, session) in [(&bob, id.as_str()), (&alice, guess), (&alice, "")] {
        let headers = [("Authorization", token.as_str()), ("Mcp-Session-Id", session)];
        assert_eq!(server.post(&headers, &list_tools()).status, 404, "{session}");
        assert_eq!(server.http("GET", "/mcp", &headers, "").status, 404);
        assert_eq!(server.http("DELETE", "/mcp", &headers, "").status, 404);
    }
    let own = [("Authorization", alice.as_str()), ("Mcp-Session-Id", id.as_str())];
    assert!(server.post(&own, &list_tools()).message()["result"]["tools"].is_array(), "it lives on");
    assert_eq!(server.http("DELETE", "/mcp", &own, "").status, 204);
    assert_eq!(server.post(&own, &list_tools()).status, 404, "it has ended");
}

#[test]
fn mcp_http_05_a_body_that_is_too_large_too_deep_or_no_json_is_refused() {
    let server = Served::start("");
    let post = |body: &str| server.http("POST", "/mcp", &[], body).status;
    let with = |arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"list_hosts","arguments":{{"a":{arguments}}}}}}}"#
        )
    };
    assert_eq!(post(&with(&format!("\"{}\"", "x".repeat(10 << 20)))), 413);
    assert_eq!(post(&with(&format!("[0{}]", ",0".repeat(999_999)))), 413);
    assert_eq!(post(&with(&format!("{}{}", "[".repeat(100), "]".repeat(100)))), 400);
    for wrong in ["", "{", "[]", "null", "\u{0}", "{\"jsonrpc\":\"2.0\""] {
        assert_eq!(post(wrong), 400, "{wrong:?}");
    }
    assert_eq!(server.post(&[], &initialize()).status, 200, "it serves on");
}

#[test]
fn mcp_http_06_no_tool_approves() {
    let server = Served::start("");
    let listed = server.modern(&[], "tools/list", json!({})).message();
    let names = listed["result"]["tools"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap());
    let names: Vec<&str> = names.collect();
    assert!(names.contains(&"propose_pra_action"), "{names:?}");
    for word in ["approve", "sign", "reject", "reload", "grant"] {
        assert!(!names.iter().any(|n| n.contains(word)), "{word}: {names:?}");
    }
    for name in ["approve", "approve_pra_action", "approve_proposal"] {
        let answer =
            server.modern(&[], "tools/call", json!({ "name": name, "arguments": { "id": "x" } })).message();
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    }
}

#[test]
fn both_eras_are_served_at_the_same_address() {
    let server = Served::start("");
    let discovered = server.modern(&[], "server/discover", json!({})).message();
    let result = &discovered["result"];
    let versions = result["supportedVersions"].to_string();
    assert!(versions.contains("2026-07-28") && versions.contains("2025-11-25"), "{discovered}");
    assert!(result["ttlMs"].is_number() && result["cacheScope"].is_string(), "{discovered}");
    assert!(result["instructions"].as_str().unwrap().len() < 2000);
    let modern = server.modern(&[], "tools/list", json!({}));
    assert_eq!(modern.header("mcp-session-id"), None);
    let modern = modern.message();
    assert!(modern["result"]["ttlMs"].as_u64().unwrap() > 0);
    assert_eq!(modern["result"]["cacheScope"], "private");
    let id = server.session(&[]);
    let legacy = server.post(&[("Mcp-Session-Id", &id)], &list_tools()).message();
    assert_eq!(legacy["result"]["tools"], modern["result"]["tools"]);
    // Neither era's request passes as the other's.
    assert_eq!(server.post(&[], &list_tools()).status, 400, "no session");
    assert_eq!(server.post(&[("MCP-Protocol-Version", "2026-07-28")], &list_tools()).status, 400);
    let unknown =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "logging/setLevel", "params": { "level": "info" } });
    let unknown = server.post(&[("Mcp-Session-Id", &id)], &unknown).message();
    assert_eq!(unknown["error"]["code"], -32601, "what was not offered is not there");
}

#[test]
fn the_caller_in_the_record_is_the_client_for_the_holder_of_the_token() {
    let server = with_tokens("[[hosts]]\nname = \"a\"\n");
    let call = json!({ "name": "execute_ssh_command", "arguments": { "host": "a", "command": "rm -rf /" } });
    let answer = server.modern(&[("Authorization", &bearer(BOB))], "tools/call", call.clone()).message();
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    let id = server.session(&[("Authorization", &bearer(ALICE))]);
    let legacy = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call });
    server.post(&[("Authorization", &bearer(ALICE)), ("Mcp-Session-Id", &id)], &legacy).message();
    let tail = serve::command(server.dir.path(), &["audit", "tail"]).output().unwrap();
    let records = String::from_utf8(tail.stdout).unwrap();
    for caller in ["assistant:test:for:bob", "assistant:test:for:alice"] {
        assert!(records.contains(caller), "{caller}: {records}");
    }
    assert!(!records.contains(ALICE) && !records.contains(BOB), "no token is recorded");
}

#[test]
fn calls_beyond_the_rate_are_refused_whatever_the_client_calls_itself() {
    let server = Served::start("[limits]\ncalls_per_minute = 2\n");
    let call = |client: &str| {
        let mut body: Value = serde_json::from_str(&serve::modern(
            "tools/call",
            json!({ "name": "list_hosts", "arguments": {} }),
        ))
        .unwrap();
        body["params"]["_meta"]["io.modelcontextprotocol/clientInfo"]["name"] = client.into();
        let headers = [
            ("MCP-Protocol-Version", "2026-07-28"),
            ("Mcp-Method", "tools/call"),
            ("Mcp-Name", "list_hosts"),
        ];
        server.post(&headers, &body).message()["result"].take()
    };
    assert!(call("a")["isError"] != true && call("b")["isError"] != true);
    let refused = call("c");
    let error = &refused["structuredContent"]["error"];
    assert_eq!((&refused["isError"], &error["code"]), (&json!(true), &json!("rate_limited")), "{refused}");
    assert!(error["details"]["retry_after_seconds"].as_f64().unwrap() >= 1.0);
}

#[test]
fn the_session_unused_longest_ends_when_there_are_too_many() {
    let server = Served::start("[http]\nmax_sessions = 2\n");
    let (first, second) = (server.session(&[]), server.session(&[]));
    let status = |id: &str| server.post(&[("Mcp-Session-Id", id)], &list_tools()).status;
    assert_eq!((status(&second), status(&first)), (200, 200));
    let third = server.session(&[]);
    assert_eq!((status(&first), status(&second), status(&third)), (200, 404, 200));
}

#[test]
fn a_client_that_asked_is_told_how_far_a_call_is() {
    // Nobody listens at this address: each check fails at once, and is told.
    let server = Served::start("[[hosts]]\nname = \"a\"\naddress = \"127.0.0.1\"\nport = 1\n");
    let arguments = json!({ "host": "a", "checks": ["disk", "dns", "load"] });
    let params = json!({ "name": "diagnose_system", "arguments": arguments });
    let mut asked = params.clone();
    asked["_meta"]["progressToken"] = "p".into();
    let told: Vec<Value> = server.modern(&[], "tools/call", asked).messages();
    let steps: Vec<_> =
        told.iter().filter(|m| m["method"] == "notifications/progress").map(|m| &m["params"]).collect();
    let counts: Vec<_> = steps.iter().map(|p| (p["progress"].as_f64(), p["total"].as_f64())).collect();
    assert_eq!(counts, [(Some(1.0), Some(3.0)), (Some(2.0), Some(3.0)), (Some(3.0), Some(3.0))], "{told:?}");
    assert!(steps.iter().all(|p| p["progressToken"] == "p"));
    assert_eq!(told.last().unwrap()["id"], 1, "the answer comes last");
    let silent = server.modern(&[], "tools/call", params).messages();
    assert_eq!(silent.len(), 1, "{silent:?}");
}

#[test]
fn sigterm_ends_it_with_an_open_stream_and_an_open_connection() {
    let mut server = Served::start("");
    let id = server.session(&[]);
    let mut stream = server.connect();
    let get = serve::request("GET", "/mcp", &[("Mcp-Session-Id", &id), ("Connection", "keep-alive")], "");
    stream.write_all(get.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 15]).unwrap();
    let _idle = server.connect();
    assert_eq!(server.end(), Some(0));
}

#[test]
fn a_wrong_address_names_the_cause_and_the_next_step() {
    for (address, word) in [
        ("127.0.0.1", "HOST:PORT"),
        ("nonsense", "HOST:PORT"),
        ("192.0.2.1:8080", "token_file"),
        ("0.0.0.0:0", "token_file"),
        ("[::]:0", "token_file"),
        ("unix:relative.sock", "absolute"),
        ("unix:/nonexistent/folder/mcp.sock", "must exist"),
    ] {
        let told = stderr(&refused("", address));
        assert!(
            told.contains(word) && told.contains("--http") && !told.contains("serving"),
            "{address}: {told}"
        );
    }
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let told = stderr(&refused("", &taken.local_addr().unwrap().to_string()));
    assert!(told.contains("another program listens there"), "{told}");
    let told = stderr(&refused("[http]\ntoken_file = \"/nonexistent/tokens\"\n", "127.0.0.1:0"));
    assert!(told.contains("token_file") && told.contains("openssl rand"), "{told}");
}

#[test]
fn the_start_line_says_what_the_door_is() {
    let open = Served::start("");
    assert!(
        open.start_line.contains("/mcp; without a token every user of this machine"),
        "{}",
        open.start_line
    );
    let closed = with_tokens("");
    assert!(closed.start_line.contains("bearer token is required") && !closed.start_line.contains("clear"));
    let dir = folder("[http]\ntoken_file = \"tokens\"\n");
    private(dir.path().join("tokens"), ALICE);
    let wide = Served::start_in(dir, "0.0.0.0:0");
    assert!(wide.start_line.contains("TLS proxy"), "{}", wide.start_line);
}

#[test]
fn a_unix_socket_is_private_and_goes_with_the_server() {
    let dir = folder("");
    let path = dir.path().join("mcp.sock");
    let address = format!("unix:{}", path.display());
    // What a killed server leaves.
    drop(UnixListener::bind(&path).unwrap());
    let mut server = Served::start_in(dir, &address);
    let meta = std::fs::symlink_metadata(&path).unwrap();
    assert!(meta.file_type().is_socket() && meta.permissions().mode() & 0o777 == 0o600);
    assert_eq!(over_unix(&path, &[], &initialize()).status, 200);
    assert_eq!(over_unix(&path, &[("Host", "evil.example")], &initialize()).status, 403);
    let told = stderr(&refused("", &address));
    assert!(told.contains("another server listens there"), "{told}");
    assert_eq!(over_unix(&path, &[], &initialize()).status, 200, "the first one serves on");
    assert_eq!(server.end(), Some(0));
    assert!(!path.exists());
}

#[test]
fn a_file_at_the_place_of_the_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (file, link) = (dir.path().join("file"), dir.path().join("link"));
    std::fs::write(&file, "precious").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for path in [&file, &link] {
        let told = stderr(&refused("", &format!("unix:{}", path.display())));
        assert!(told.contains("no socket"), "{told}");
    }
    assert_eq!(std::fs::read_to_string(&link).unwrap(), "precious");
}
