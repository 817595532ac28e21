//! Somebody holds the server's whole disk and both SSH keys, and no approver's key: nothing on the target changes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use e2e::grant::{random, sign, statement};
use e2e::mcp::{Client, Era};
use e2e::state::State;
use e2e::{Lab, Server, run};
use serde_json::json;

#[test]
fn the_servers_disk_and_both_keys_change_nothing() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    // A recorded grant that a person once signed, as it lies in the server's database.
    let mut client = Client::start(&server, Era::Legacy);
    let proposed = client.call(
        "propose_pra_action",
        &json!({ "host": "t2", "action": "flush_dns_cache", "rationale": "once" }),
    );
    let id = proposed["structuredContent"]["proposal"]["id"].as_str().unwrap().to_owned();
    assert_eq!(server.cli(&["approve", &id, "--key", lab.key("alice").to_str().unwrap(), "--yes"]).exit, 0);
    let used = client.call(
        "execute_pra_action",
        &json!({ "host": "t2", "action": "flush_dns_cache", "approval_token": id }),
    );
    assert!(used["isError"] != true, "{used}");
    let recorded = server.cli(&["proposals", "show", &id, "--grant"]).out;
    assert!(recorded.contains("BEGIN SSH SIGNATURE"));
    let waiting = client
        .call("propose_pra_action", &json!({ "host": "t2", "action": "restart_caddy", "rationale": "x" }));
    let waiting = waiting["structuredContent"]["proposal"]["id"].as_str().unwrap().to_owned();
    drop(client);

    let before = State::look(&lab, "t2");
    let ledger = lab.must("t2", "ls /var/lib/mcp-linux-infra/ledger | wc -l");

    // With the reader's key: commands, shells, files, every line of the corpus that must not run.
    let corpus =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/commands.jsonl")).unwrap();
    let hostile: Vec<String> = corpus
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap())
        .filter(|r| r["expect"] != "allow")
        .map(|r| r["cmd"].as_str().unwrap().to_owned())
        .filter(|c| !c.contains('\0'))
        .step_by(6)
        .collect();
    assert!(hostile.len() > 40);
    for line in &hostile {
        assert_eq!(lab.read("t2", line).exit, 126, "{line}");
    }
    for line in [
        "tee /etc/cron.d/x",
        "systemctl restart caddy",
        "pra-run",
        "sudo -n /usr/local/sbin/pra-run",
        "logger forged",
        "mcp-session systemctl restart caddy",
    ] {
        assert_eq!(lab.read("t2", line).exit, 126, "{line}");
    }
    // A session takes frames and no text; what its frames may ask for is what a line may.
    let said = run(lab.ssh("mcp-reader", "t2", &[]).arg("mcp-session"), b"systemctl restart caddy\n");
    assert!(said.exit == 126 && said.out.contains("a session begins with one hello"), "{said:?}");

    // With the runner's key: replays, changed grants, own signatures, other requests.
    let mut forged = vec![
        recorded.clone().into_bytes(),
        recorded.replace("flush_dns_cache", "restart_caddy").into_bytes(),
    ];
    let nonce = recorded.split("\"nonce\":\"").nth(1).unwrap()[..32].to_owned();
    forged.push(recorded.replace(&nonce, &random(32)).into_bytes());
    let statement = statement(&lab, "t2", "restart_caddy", &[]);
    for key in ["runner", "reader", "mallory"] {
        forged.push(sign(&lab, &statement, &[key]));
    }
    let signature = recorded.find("-----BEGIN").unwrap();
    forged.push(format!("{statement}\n{}", &recorded[signature..]).into_bytes());
    forged.push(format!("{statement}\n").into_bytes());
    for envelope in &forged {
        let said = lab.hand_over("t2", envelope);
        assert_eq!(said.exit, 126, "{said:?}");
    }
    for line in ["restart_caddy", "grant; reboot", "grant restart_caddy", "sudo -n reboot", "bash"] {
        assert_eq!(run(lab.ssh("pra-runner", "t2", &[]).arg(line), b"").exit, 126, "{line}");
    }

    // With the server's database: a proposal declared approved, and the server asked to run it.
    let db = server.dir.path().join("mcp-linux-infra/state.db");
    let script = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute(\"update proposals set state='approved', statement=(select statement from proposals where id=?), statement_expires_ms=99999999999999 where id=?\", (sys.argv[2], sys.argv[3])); c.execute(\"insert into signatures select ?, fingerprint, signer, armor, signed_ms from signatures where proposal=?\", (sys.argv[3], sys.argv[2])); c.commit()";
    let tampered =
        run(std::process::Command::new("python3").args(["-c", script]).arg(&db).args([&id, &waiting]), b"");
    assert_eq!(tampered.exit, 0, "{tampered:?}");
    let mut client = Client::start(&server, Era::Legacy);
    let refused = client.call(
        "execute_pra_action",
        &json!({ "host": "t2", "action": "restart_caddy", "approval_token": waiting }),
    );
    assert_eq!(refused["isError"], true, "{refused}");
    // Its connections would still be there.
    drop(client);

    assert_eq!(lab.must("t2", "ls /var/lib/mcp-linux-infra/ledger | wc -l"), ledger, "no grant was claimed");
    let after = State::look(&lab, "t2");
    let changes = before.changes(&after);
    assert!(before.len() > 5000 && changes.is_empty(), "the target changed: {changes:?}");
}
