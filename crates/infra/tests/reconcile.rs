//! `audit export` and `audit reconcile` as a person calls them, on the chains that the demo's server and target have written.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

#[path = "support/demo.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod demo;

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use demo::{Demo, Said};
use serde_json::Value;

fn reconcile(demo: &Demo, stdin: &str, more: &[&str]) -> Said {
    let copy = demo.own("copy.log");
    std::fs::write(&copy, stdin).unwrap();
    let arguments = [&["audit", "reconcile", "demo01", "-"], more].concat();
    demo.cli_with(&demo.config, &arguments, Stdio::from(std::fs::File::open(&copy).unwrap()))
}

fn kinds(said: &Said) -> Vec<String> {
    let report: Value = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"));
    report["findings"].as_array().unwrap().iter().map(|f| f["kind"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn both_records_of_a_run_agree_and_a_cut_one_is_found() {
    let demo = Demo::start();
    let log = demo.at("target/var/log/pra-run.log");
    let id = demo.propose();
    demo.must(&["approve", &id, "--key", &demo.key("alice"), "--yes"]);
    assert_eq!(demo.execute(&id).exit, 0);
    let denied = demo.propose();
    demo.must(&["reject", &denied, "--reason", "not now", "--key", &demo.key("alice")]);
    let text = std::fs::read_to_string(&log).unwrap();
    let clean = reconcile(&demo, &text, &[]);
    assert!(clean.exit == 0 && clean.out.starts_with("ok: demo01: 2 run(s) and 1 denial(s)"), "{clean:?}");
    // In two files, as after a rotation.
    let lines: Vec<&str> = text.lines().collect();
    let (old, new) = (demo.own("pra-run.log.1"), demo.own("pra-run.log"));
    std::fs::write(&old, lines[..2].join("\n")).unwrap();
    std::fs::write(&new, lines[2..].join("\n") + "\n").unwrap();
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    let rotated = demo.cli(&["audit", "reconcile", "demo01", old, new]);
    assert!(rotated.exit == 0 && rotated.out.contains("2 run(s)"), "{rotated:?}");
    let newer = demo.cli(&["audit", "reconcile", "demo01", new]);
    assert!(newer.exit == 0 && newer.out.contains("older files first"), "{newer:?}");
    let turned = demo.cli(&["audit", "reconcile", "demo01", new, old, "--json"]);
    assert!(turned.exit == 1 && kinds(&turned).contains(&"target_chain_broken".to_owned()), "{turned:?}");
    // The denial is the last record.
    let cut = reconcile(&demo, &(lines[..lines.len() - 1].join("\n") + "\n"), &["--json"]);
    assert_eq!((cut.exit, kinds(&cut)), (1, vec!["cut_off".to_owned(), "denial_lost".to_owned()]), "{cut:?}");
    let said = reconcile(&demo, "", &[]);
    assert!(said.exit == 1 && said.out.starts_with("FOUND") && said.out.contains(&id), "{said:?}");
    assert!(said.out.contains("not_on_target: ") && said.out.contains("cut_off: "), "{said:?}");
    for (arguments, cause) in [
        (["audit", "reconcile", "nobody", new], "not in the inventory"),
        (["audit", "reconcile", "demo01", "/nowhere/x"], "/nowhere/x"),
    ] {
        let wrong = demo.cli(&arguments);
        assert!(wrong.exit == 2 && wrong.err.contains(cause) && wrong.out.is_empty(), "{wrong:?}");
    }
    let twice = demo.cli(&["audit", "reconcile", "demo01", "-", "-"]);
    assert!(twice.exit == 2 && twice.err.contains("only one"), "{twice:?}");
    // The record of another host.
    let mut head = ledger::Head::genesis();
    let mut other = String::new();
    for line in &lines {
        let mut record = ledger::Record::read(line.as_bytes()).unwrap();
        if record.event == "start" {
            record.data["host"] = "db01".into();
        }
        let (line, next) = ledger::seal(&head, record.time, &record.event, &record.data);
        (head, other) = (next, other + &line + "\n");
    }
    let other = reconcile(&demo, &other, &[]);
    assert!(other.exit == 2 && other.err.contains("record of db01") && other.out.is_empty(), "{other:?}");
}

#[test]
fn an_export_is_a_piece_of_the_chain_that_can_be_checked() {
    let demo = Demo::start();
    let stored = demo.must(&["audit", "tail", "-n", "100000", "--json"]);
    let file = demo.own("audit.jsonl");
    let out = file.to_str().unwrap();
    let exported = demo.cli(&["audit", "export", "--out", out]);
    assert!(exported.exit == 0 && exported.out.is_empty(), "{exported:?}");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with(&stored), "as stored");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let verified = demo.must(&["audit", "verify", "--file", out]);
    let head = verified.trim().rsplit(' ').next().unwrap();
    assert!(exported.err.contains(head), "{exported:?} {verified}");
    // What is there stays.
    let again = demo.cli(&["audit", "export", "--out", out]);
    assert!(again.exit == 1 && again.err.contains("--force"), "{again:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    demo.must(&["audit", "export", "--out", out, "--force", "--format", "csv"]);
    let csv = std::fs::read_to_string(&file).unwrap();
    assert!(csv.starts_with("\"seq\",\"time\",\"event\"") && csv.lines().count() == text.lines().count() + 1);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // From a moment in between on: the rest goes on after a record that is not given.
    let half = text.lines().nth(text.lines().count() / 2).unwrap();
    let record = ledger::Record::read(half.as_bytes()).unwrap();
    let since = mcp_linux_infra::app::utc(record.time / 1000 * 1000 + 1000)
        .replace(" UTC", "Z")
        .replacen(' ', "T", 1);
    let rest = demo.cli(&["audit", "export", "--since", "2026-01-01", "--until", &since]);
    assert!(rest.exit == 0 && text.starts_with(&rest.out) && rest.out.contains(half), "{rest:?}");
    let part = demo.own("part.jsonl");
    std::fs::write(&part, text.split_inclusive('\n').skip(3).collect::<String>()).unwrap();
    let part = demo.must(&["audit", "verify", "--file", part.to_str().unwrap()]);
    assert!(part.contains("goes on after record 3"), "{part}");
    assert_eq!(demo.cli(&["audit", "export", "--since", "1h"]).out, demo.cli(&["audit", "export"]).out);
    let none = demo.cli(&["audit", "export", "--until", "2000-01-01"]);
    assert!(none.exit == 0 && none.out.is_empty() && none.err.contains("0 records"), "{none:?}");
    for (arguments, cause) in [
        (["--since", "yesteryear"], "2026-11-26T03:00:00Z"),
        (["--until", "2026-02-30"], "--until"),
        (["--out", "/nowhere/x"], "/nowhere/x"),
    ] {
        let wrong = demo.cli(&[["audit", "export"], arguments].concat());
        assert!(wrong.exit > 0 && wrong.err.contains(cause) && wrong.out.is_empty(), "{wrong:?}");
    }
    let turned = demo.cli(&["audit", "export", "--since", "1h", "--until", "2h"]);
    assert!(turned.exit == 2 && turned.err.contains("not before"), "{turned:?}");
    // A chain that somebody has changed is exported as it is, and said.
    let database = demo.database();
    database.execute("UPDATE audit SET line = replace(line, 'web', 'wab') || ' ' WHERE seq = 2", []).unwrap();
    let broken = demo.cli(&["audit", "export"]);
    assert!(
        broken.exit == 1 && broken.err.contains("BROKEN at line 2") && !broken.out.is_empty(),
        "{broken:?}"
    );
}
