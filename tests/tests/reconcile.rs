//! Two records of one run, on the server and on a real host, compared.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use e2e::mcp::{Client, Era};
use e2e::{Lab, Said, Server, run};
use serde_json::{Value, json};

fn reconcile(server: &Server<'_>, log: &str) -> (Said, Value) {
    let said = run(&mut server.command(&["audit", "reconcile", "t1", "-", "--json"]), log.as_bytes());
    let report = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"));
    (said, report)
}

/// What is found about one proposal.
fn about<'a>(report: &'a Value, id: &str) -> Vec<&'a str> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.filter(|f| f["proposal"] == id).map(|f| f["kind"].as_str().unwrap()).collect()
}

#[test]
fn a_run_stands_in_both_records_and_a_cut_one_is_found() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut client = Client::start(&server, Era::Modern);
    let asked = json!({ "host": "t1", "action": "flush_dns_cache", "rationale": "to be compared" });
    let proposed = client.call("propose_pra_action", &asked);
    let id = proposed["structuredContent"]["proposal"]["id"].as_str().unwrap().to_owned();
    let alice = lab.key("alice").to_str().unwrap().to_owned();
    assert_eq!(server.cli(&["approve", &id, "--key", &alice, "--yes"]).exit, 0);
    let before: usize = lab.must("t1", "cat /var/log/pra-run.log | wc -l").parse().unwrap();
    let execute = json!({ "host": "t1", "action": "flush_dns_cache", "approval_token": id });
    let done = client.call("execute_pra_action", &execute);
    assert!(done["isError"] != true, "{done}");
    let asked = json!({ "host": "t1", "action": "restart_unbound", "rationale": "to be denied" });
    let proposed = client.call("propose_pra_action", &asked);
    let denied = proposed["structuredContent"]["proposal"]["id"].as_str().unwrap().to_owned();
    assert_eq!(server.cli(&["reject", &denied, "--reason", "no", "--key", &alice]).exit, 0);
    assert_eq!(client.end(), 0);

    // The administrator's copy, from the records of before this test on.
    let log = lab.must("t1", &format!("tail -n +{} /var/log/pra-run.log", before + 1)) + "\n";
    let (said, report) = reconcile(&server, &log);
    assert!(said.exit == 0 && report["ok"] == true, "{report}");
    assert_eq!((&report["counts"]["runs"], &report["counts"]["denials"]), (&json!(1), &json!(1)), "{report}");

    // Somebody who is root there takes the end off, behind the start of the run.
    let lines: Vec<&str> = log.lines().collect();
    let start = lines.iter().position(|l| l.contains(&id) && l.contains("\"start\"")).expect("its start");
    let (said, report) = reconcile(&server, &(lines[..=start].join("\n") + "\n"));
    assert_eq!(said.exit, 1, "{said:?}");
    assert_eq!(about(&report, &id), ["outcome_differs", "cut_off"], "{report}");
    assert_eq!(about(&report, &denied), ["cut_off", "denial_lost"], "{report}");
    // A changed record breaks the chain.
    let (said, report) = reconcile(&server, &log.replacen("\"start\"", "\"begin\"", 1));
    assert!(said.exit == 1 && report["findings"][0]["kind"] == "target_chain_broken", "{report}");
    // And it is this host's record alone.
    let other = run(&mut server.command(&["audit", "reconcile", "t2", "-"]), log.as_bytes());
    assert!(other.exit == 2 && other.err.contains("record of t1"), "{other:?}");
}
