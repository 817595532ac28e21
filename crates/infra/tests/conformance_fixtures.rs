//! The program that people install has none of the fixtures of the conformance suite. That a build with them serves nothing else is
//! checked by `scripts/conformance.sh`, which makes one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

#[path = "support/serve.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod serve;

use serde_json::{Value, json};
use serve::Served;

fn offered() -> Value {
    serde_json::from_str(include_str!("../src/mcp/fixtures/offered.json")).unwrap()
}

/// What is listed, and what the fixtures would add, by one field.
fn names(rows: &Value, field: &str) -> Vec<String> {
    rows.as_array().unwrap().iter().map(|row| row[field].as_str().unwrap().to_owned()).collect()
}

#[test]
fn no_list_has_one() {
    let server = Served::start("toolsets = [\"all\"]\n");
    let offered = offered();
    for (method, list, rows, field) in [
        ("tools/list", "tools", "tools", "name"),
        ("prompts/list", "prompts", "prompts", "name"),
        ("resources/list", "resources", "resources", "uri"),
        ("resources/templates/list", "resourceTemplates", "templates", "uriTemplate"),
    ] {
        let answer = server.modern(&[], method, json!({})).message();
        let listed = names(&answer["result"][list], field);
        let fixtures = names(&offered[rows], field);
        assert!(!listed.is_empty() && !fixtures.is_empty(), "{method}: {answer}");
        for name in fixtures {
            assert!(!listed.contains(&name), "{method}: {name}");
        }
    }
}

#[test]
fn none_answers() {
    let server = Served::start("");
    let offered = offered();
    for name in names(&offered["tools"], "name") {
        let answer = server.modern(&[], "tools/call", json!({ "name": name, "arguments": {} })).message();
        assert_eq!(answer["error"]["code"], -32602, "{name}: {answer}");
    }
    for name in names(&offered["prompts"], "name") {
        let answer = server.modern(&[], "prompts/get", json!({ "name": name })).message();
        assert_eq!(answer["error"]["code"], -32602, "{name}: {answer}");
    }
    let uris = names(&offered["resources"], "uri").into_iter().chain(["test://template/1/data".to_owned()]);
    for uri in uris {
        let answer = server.modern(&[("Mcp-Name", &uri)], "resources/read", json!({ "uri": uri })).message();
        assert_eq!(answer["error"]["code"], -32602, "{uri}: {answer}");
    }
}

#[test]
fn what_only_they_offer_is_not_offered() {
    let server = Served::start("");
    let answer = server.modern(&[], "server/discover", json!({})).message();
    let capabilities = &answer["result"]["capabilities"];
    assert!(capabilities["tools"].is_object(), "{answer}");
    assert!(capabilities["logging"].is_null(), "{answer}");
    assert!(capabilities["resources"]["subscribe"].is_null(), "{answer}");
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    let answer = server.modern(&[("Mcp-Name", "1")], "subscriptions/listen", listen).message();
    assert_eq!(answer["error"]["code"], -32601, "{answer}");
    let session = server.session(&[]);
    for (method, params) in [
        ("logging/setLevel", json!({ "level": "debug" })),
        ("resources/subscribe", json!({ "uri": "test://watched-resource" })),
    ] {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = server.post(&[("Mcp-Session-Id", &session)], &message).message();
        assert_eq!(answer["error"]["code"], -32601, "{method}: {answer}");
    }
}
