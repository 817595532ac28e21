//! The server between an MCP client and real hosts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use std::time::Instant;

use e2e::mcp::{Client, Era};
use e2e::{Lab, Server};
use serde_json::json;

fn text(result: &serde_json::Value) -> &str {
    result["content"][0]["text"].as_str().unwrap()
}

/// The main job: found, proposed, refused without a signature, approved, run, verified, recorded.
fn recover_unbound(era: Era) {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut client = Client::start(&server, era);
    lab.must("t1", "systemctl stop unbound");
    let diagnosis = client.call("diagnose_system", &json!({ "host": "t1", "checks": ["services"] }));
    let findings = diagnosis["structuredContent"]["findings"].to_string();
    assert!(findings.contains("unbound.service") && findings.contains("restart_unbound"), "{findings}");
    let proposed = client.call(
        "propose_pra_action",
        &json!({ "host": "t1", "action": "restart_unbound", "rationale": "unbound is stopped" }),
    );
    let id = proposed["structuredContent"]["proposal"]["id"].as_str().unwrap().to_owned();
    let execute = json!({ "host": "t1", "action": "restart_unbound", "approval_token": id });
    for token in [id.as_str(), "user_approved_xyz"] {
        let refused = client.call(
            "execute_pra_action",
            &json!({ "host": "t1", "action": "restart_unbound", "approval_token": token }),
        );
        assert_eq!(refused["isError"], true, "{refused}");
    }
    assert_eq!(lab.root("t1", "systemctl is-active unbound").out.trim(), "inactive", "nothing ran");
    let key = lab.key("alice");
    let stranger = server.cli(&["approve", &id, "--key", lab.key("mallory").to_str().unwrap(), "--yes"]);
    assert_eq!(stranger.exit, 4, "{stranger:?}");
    let approved = server.cli(&["approve", &id, "--key", key.to_str().unwrap(), "--yes"]);
    assert_eq!(approved.exit, 0, "{approved:?}");
    assert!(approved.out.contains("systemctl restart unbound.service"), "{}", approved.out);
    let done = client.call("execute_pra_action", &execute);
    assert!(
        done["isError"] != true && done["structuredContent"]["proposal"]["state"] == "verified",
        "{done}"
    );
    assert_eq!(lab.must("t1", "systemctl is-active unbound"), "active");
    let pid = lab.must("t1", "systemctl show unbound -p MainPID --value");
    let again = client.call("execute_pra_action", &execute);
    assert_eq!(again["structuredContent"]["executed_now"], false, "{again}");
    assert_eq!(lab.must("t1", "systemctl show unbound -p MainPID --value"), pid, "it never runs twice");
    let healthy = client.call("verify_service", &json!({ "host": "t1", "service": "unbound" }));
    assert!(healthy["isError"] != true && text(&healthy).contains("healthy"), "{healthy}");
    assert_eq!(client.end(), 0);
    let verified = server.cli(&["audit", "verify"]);
    assert_eq!(verified.exit, 0, "{verified:?}");
    let log = server.dir.path().join("pra-run.log");
    std::fs::write(&log, lab.must("t1", "cat /var/log/pra-run.log") + "\n").unwrap();
    let theirs = server.cli(&["audit", "verify", "--file", log.to_str().unwrap()]);
    assert_eq!(theirs.exit, 0, "{theirs:?}");
}

#[test]
fn unbound_is_recovered_over_the_legacy_protocol() {
    recover_unbound(Era::Legacy);
}

#[test]
fn unbound_is_recovered_over_the_modern_protocol() {
    recover_unbound(Era::Modern);
}

/// What the approver reads is made from the bytes that get signed: their hash stands beside it, and it is that of the grant.
#[test]
fn toctou_06_the_hash_shown_to_the_approver_is_that_of_the_grant() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut client = Client::start(&server, Era::Legacy);
    let asked = json!({ "host": "t2", "action": "flush_dns_cache", "rationale": "to see what is signed" });
    let proposed = client.call("propose_pra_action", &asked);
    let id = proposed["structuredContent"]["proposal"]["id"].as_str().unwrap().to_owned();
    let key = lab.key("alice");
    let key = key.to_str().unwrap();
    let hash = |shown: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix("sha256")).expect("a hash is shown");
        line.trim().to_owned()
    };
    // Without a terminal it is shown, and not signed.
    let shown = server.cli(&["approve", &id, "--key", key]);
    assert!(shown.exit == 2 && shown.out.contains("flush_dns_cache"), "{shown:?}");
    assert_eq!(
        server.cli(&["proposals", "show", &id, "--grant"]).out.matches("BEGIN SSH SIGNATURE").count(),
        0
    );
    let signed = server.cli(&["approve", &id, "--key", key, "--yes"]);
    assert_eq!(signed.exit, 0, "{signed:?}");
    let grant = server.cli(&["proposals", "show", &id, "--grant"]).out;
    // The newline at the statement's end is signed with it.
    let signature = grant.find("-----BEGIN SSH SIGNATURE-----").expect("a signed grant");
    let statement = &grant[..signature];
    let file = server.dir.path().join("statement");
    std::fs::write(&file, statement).unwrap();
    let own = e2e::run(std::process::Command::new("sha256sum").arg(&file), b"");
    assert_eq!(own.out.split(' ').next(), Some(hash(&signed.out).as_str()), "{signed:?}\n{grant}");
    // And the target records the hash of the bytes that it has run.
    let done = client.call(
        "execute_pra_action",
        &json!({ "host": "t2", "action": "flush_dns_cache", "approval_token": id }),
    );
    assert!(done["isError"] != true, "{done}");
    let log = lab.must("t2", "cat /var/log/pra-run.log");
    let record =
        log.lines().find(|line| line.contains(&id) && line.contains("\"start\"")).expect("its record");
    assert!(record.contains(&hash(&signed.out)), "{record}");
}

#[test]
fn a_manual_command_is_proposed_signed_and_run_exactly() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut client = Client::start(&server, Era::Legacy);
    let before = lab.must("t1", "systemctl show caddy -p MainPID --value");
    let refused =
        client.call("execute_ssh_command", &json!({ "host": "t1", "command": "systemctl restart caddy" }));
    // It is proposed instead of run, and the answer names the proposal.
    let error = &refused["structuredContent"]["error"];
    assert_eq!(error["code"], "approval_required", "{refused}");
    let id = error["details"]["proposal"].as_str().unwrap().to_owned();
    assert_eq!(lab.must("t1", "systemctl show caddy -p MainPID --value"), before, "nothing has run");
    assert_eq!(server.cli(&["approve", &id, "--key", lab.key("bob").to_str().unwrap(), "--yes"]).exit, 0);
    let done = client
        .call("execute_pra_action", &json!({ "host": "t1", "action": "command", "approval_token": id }));
    assert!(done["isError"] != true, "{done}");
    assert_ne!(lab.must("t1", "systemctl show caddy -p MainPID --value"), before);
    let never = client
        .call("propose_pra_action", &json!({ "host": "t1", "command": "rm -rf /", "rationale": "test" }));
    assert_eq!(never["structuredContent"]["error"]["code"], "blocked");
}

#[test]
fn a_denial_that_was_signed_here_holds_on_the_target() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut client = Client::start(&server, Era::Modern);
    let asked = json!({ "host": "t1", "action": "restart_unbound", "rationale": "to be denied" });
    let proposed = client.call("propose_pra_action", &asked);
    let id = proposed["structuredContent"]["proposal"]["id"].as_str().unwrap().to_owned();
    let before = lab.must("t1", "systemctl show unbound -p MainPID --value");
    let key = |name: &str| lab.key(name).to_str().unwrap().to_owned();
    assert_eq!(server.cli(&["approve", &id, "--key", &key("alice"), "--yes"]).exit, 0);
    let grant = server.cli(&["proposals", "show", &id, "--grant"]).out;
    let stranger = server.cli(&["reject", &id, "--reason", "no", "--key", &key("mallory")]);
    assert_eq!(stranger.exit, 4, "{stranger:?}");
    let denied = server.cli(&["reject", &id, "--reason", "not today", "--key", &key("bob")]);
    assert!(denied.exit == 0 && denied.out.contains("t1 knows"), "{denied:?}");
    // Whoever took the server over kept the complete grant.
    let said = lab.hand_over("t1", grant.as_bytes());
    assert!(said.exit == 126 && said.out.contains("\"code\":\"denied\""), "{said:?}");
    let execute = json!({ "host": "t1", "action": "restart_unbound", "approval_token": id });
    assert_eq!(client.call("execute_pra_action", &execute)["isError"], true);
    assert_eq!(lab.must("t1", "systemctl show unbound -p MainPID --value"), before, "nothing has run");
}

#[test]
fn every_looking_tool_answers_on_a_real_host() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut client = Client::start(&server, Era::Modern);
    for (tool, arguments, expected) in [
        ("list_hosts", json!({}), "t1"),
        ("get_system_info", json!({ "host": "t1" }), "Debian"),
        ("get_memory_info", json!({ "host": "t1" }), "used"),
        ("get_disk_usage", json!({ "host": "t1" }), "%"),
        ("list_services", json!({ "host": "t1", "state": "running" }), "caddy"),
        ("get_service_status", json!({ "host": "t1", "service": "caddy" }), "active"),
        ("fetch_logs", json!({ "host": "t1", "service": "caddy", "lines": 5 }), "lines"),
        ("verify_service", json!({ "host": "t1", "service": "caddy" }), "healthy"),
        ("execute_ssh_command", json!({ "host": "t1", "command": "uptime" }), "load average"),
        ("analyze_command", json!({ "command": "systemctl stop sshd" }), "blocked"),
        ("list_command_plugins", json!({}), "monitoring"),
        ("get_plugin_details", json!({ "plugin": "posix-text" }), "it writes files"),
        ("search_commands", json!({ "query": "memory" }), "free"),
        ("show_command_whitelist", json!({}), "uptime"),
        ("get_learning_suggestions", json!({}), "No blocked command"),
        ("get_learning_stats", json!({}), "shape"),
        ("list_pra_actions", json!({}), "restart_unbound"),
        ("list_pending_actions", json!({}), "No proposal"),
    ] {
        let result = client.call(tool, &arguments);
        assert!(result["isError"] != true && text(&result).contains(expected), "{tool}: {result}");
        assert!(result["structuredContent"].is_object(), "{tool}");
    }
    for service in ["--host=root@attacker", "-H", "a b", "*"] {
        let refused = client.call("get_service_status", &json!({ "host": "t1", "service": service }));
        assert_eq!(refused["isError"], true, "{service}: {refused}");
    }
    let unknown = client.call("get_system_info", &json!({ "host": "nowhere" }));
    assert_eq!(unknown["structuredContent"]["error"]["code"], "unknown_host");
}

#[test]
fn thirty_two_calls_at_once_are_all_answered() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut client = Client::start(&server, Era::Legacy);
    let mut ids: Vec<u64> = (0..32)
        .map(|_| client.ask_tool("execute_ssh_command", &json!({ "host": "t1", "command": "uptime" })))
        .collect();
    for _ in 0..32 {
        let answer = client.answer();
        assert!(
            answer["result"]["isError"] != true && answer["result"]["structuredContent"]["exit"] == 0,
            "{answer}"
        );
        ids.retain(|id| answer["id"] != *id);
    }
    assert!(ids.is_empty());
}

#[test]
fn a_host_that_is_cut_off_delays_no_other() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut client = Client::start(&server, Era::Legacy);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/host.sh");
    assert!(std::process::Command::new(script).args(["cut", "t2"]).status().unwrap().success());
    let cut = client.ask_tool("get_system_info", &json!({ "host": "t2" }));
    let mut order = Vec::new();
    for _ in 0..3 {
        let fine = client.ask_tool("get_memory_info", &json!({ "host": "t1" }));
        let answer = client.answer();
        order.push(answer["id"] == fine);
        assert!(answer["result"]["isError"] != true, "{answer}");
    }
    let answer = client.answer();
    assert!(std::process::Command::new(script).args(["join", "t2"]).status().unwrap().success());
    assert!(order.iter().all(|first| *first), "the other host answered first each time");
    assert_eq!(
        (&answer["id"], &answer["result"]["structuredContent"]["error"]["code"]),
        (&json!(cut), &json!("unreachable")),
        "{answer}"
    );
}

#[test]
fn an_unknown_host_key_is_an_error_that_says_what_to_do() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let config = std::fs::read_to_string(lab.file("mcp-linux-infra.toml")).unwrap();
    let unpinned: String =
        config.lines().filter(|l| !l.starts_with("host_key")).map(|l| format!("{l}\n")).collect();
    let file = server.dir.path().join("c.toml");
    let keys = lab.file("keys");
    std::fs::write(
        &file,
        unpinned
            .replace("\"keys/", &format!("\"{}/", keys.display()))
            .replace("approvers = \"approvers\"", ""),
    )
    .unwrap();
    let said = server.cli(&[
        "--config",
        file.to_str().unwrap(),
        "tool",
        "call",
        "get_system_info",
        "--arg",
        "host=t1",
    ]);
    assert!(
        said.exit != 0
            && (said.err.contains("host key is unknown") || said.err.contains("used multiple times")),
        "{said:?}"
    );
    let mut direct = lab.inside(Lab::program());
    direct
        .arg("--config")
        .arg(&file)
        .args(["tool", "call", "get_system_info", "--arg", "host=t1"])
        .env("XDG_STATE_HOME", server.dir.path());
    let said = e2e::run(&mut direct, b"");
    assert!(
        said.exit == 1 && said.err.contains("host key is unknown") && said.err.contains("ssh-ed25519"),
        "{said:?}"
    );
}

#[test]
fn the_server_goes_when_stdin_closes() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    for era in [Era::Legacy, Era::Modern] {
        let client = Client::start(&server, era);
        let started = Instant::now();
        assert_eq!(client.end(), 0);
        assert!(started.elapsed().as_secs() < 5, "it hangs");
    }
}
