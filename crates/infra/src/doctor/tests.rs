use serde_json::json;

use super::*;
use crate::config::{Config, Environment};
use crate::recovery::TargetFacts;
use crate::ssh::SshError as E;
use crate::store::Audit;

fn app(dir: &tempfile::TempDir, text: &str) -> App {
    let env = Environment::from([("HOME", dir.path().to_str().unwrap())]);
    let file = dir.path().join("c.toml");
    std::fs::write(&file, text).unwrap();
    App::new(Config::load(Some(&file), &env).unwrap()).unwrap()
}

fn ill(checks: &[Check]) -> Vec<&str> {
    checks.iter().filter(|c| !c.ok).map(|c| c.check).collect()
}

fn facts() -> TargetFacts {
    serde_json::from_value(json!({
        "host": "web01", "tenant": "default", "machine_id": "", "version": env!("CARGO_PKG_VERSION"), "policy": "abc",
        "plans": {"restart": "p1"}, "approvals": {}, "now": 1000, "sandbox": "enforce", "kernel": {"landlock": 7, "seccomp": true},
        "gaps": {"dbus": ["unix sockets by path"]}, "groups": ["mcp-reader", "adm"],
        "approvers": {"sha256": "d1", "keys": 2, "problem": null},
        "logs": {"bytes": 1u64 << 40, "bytes_free": 1u64 << 39, "inodes": 0, "inodes_free": 0, "pra_run": 5},
    }))
    .unwrap()
}

/// One change of what a host says, and the checks that then fail.
/// Makes one thing of the facts wrong.
type Break = fn(&mut TargetFacts);

#[test]
fn what_a_host_says_is_held_against_this_server() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(&dir, "[[hosts]]\nname = \"web01\"\n");
    let host = app.host("web01").unwrap();
    let here = Here { policy: "abc".into(), plans: facts().plans, approvers: Some("d1".into()) };
    let cases: [(&str, Break); 24] = [
        ("", |_| {}),
        ("policy", |f| f.policy = "other".into()),
        ("version", |f| f.version = "0.0.1".into()),
        ("name", |f| f.tenant = "other".into()),
        ("name", |f| f.host = "web02".into()),
        ("clock", |f| f.now = 1031),
        ("", |f| f.now = 970),
        ("clock", |f| f.now = i64::MIN),
        ("actions", |f| f.plans.clear()),
        ("actions", |f| _ = f.plans.insert("restart".into(), "p2".into())),
        ("actions", |f| _ = f.plans.insert("more".into(), "p3".into())),
        ("sandbox", |f| f.sandbox = Some("best-effort".into())),
        ("sandbox", |f| f.kernel.as_mut().unwrap().landlock = 0),
        ("sandbox", |f| f.kernel.as_mut().unwrap().seccomp = false),
        ("groups", |f| f.groups = Some(vec!["mcp-reader".into()])),
        ("groups", |f| f.groups.as_mut().unwrap().push("sudo".into())),
        ("approvers", |f| f.approvers.as_mut().unwrap().sha256 = Some("d2".into())),
        ("approvers", |f| f.approvers.as_mut().unwrap().problem = Some("it is missing".into())),
        ("logs", |f| f.logs.as_mut().unwrap().pra_run = None),
        ("logs", |f| f.logs.as_mut().unwrap().bytes_free = 1 << 20),
        ("logs", |f| f.logs.as_mut().unwrap().bytes = 0),
        ("logs", |f| f.logs.as_mut().unwrap().inodes = 1000),
        // A small file system that is nearly empty is well.
        ("", |f| {
            *f.logs.as_mut().unwrap() = crate::recovery::LogsFact {
                bytes: 64 << 20,
                bytes_free: 60 << 20,
                inodes: 9,
                inodes_free: 9,
                pra_run: Some(0),
            }
        }),
        // Older programs say less; that they are older is another check.
        ("", |f| (f.sandbox, f.groups, f.approvers, f.logs) = (None, None, None, None)),
    ];
    for (expected, change) in cases {
        let mut facts = facts();
        change(&mut facts);
        let checks = judge(&facts, host, &here, 1000);
        let wanted: Vec<&str> = Some(expected).into_iter().filter(|e| !e.is_empty()).collect();
        assert_eq!(ill(&checks), wanted, "{checks:?}");
        assert!(checks.iter().all(|c| c.ok == c.mend.is_none() && !c.detail.is_empty()), "{checks:?}");
    }
    let alone = Here { approvers: None, ..here };
    assert_eq!(ill(&judge(&facts(), host, &alone, 1000)), [""; 0], "no copy is the server's own check");
}

#[test]
fn the_side_that_is_behind_is_named_with_both_versions_and_what_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(&dir, "[[hosts]]\nname = \"web01\"\n");
    let host = app.host("web01").unwrap();
    let here = Here::of(&app);
    let ours = env!("CARGO_PKG_VERSION");
    for (theirs, detail, mend) in [
        ("0.0.9", "its programs are of version 0.0.9, behind this server's", "install-target.sh"),
        ("0.0.10-rc1", "behind this server's", "build-target.sh"),
        ("99.0.0", "behind the target's 99.0.0", "upgrade mcp-linux-infra on this machine to 99.0.0"),
        ("\u{1b}[2J", "say that they are of version", "install-target.sh"),
    ] {
        let facts = TargetFacts { version: theirs.to_owned(), ..facts() };
        let checks = judge(&facts, host, &here, 1000);
        let check = checks.iter().find(|c| c.check == "version").unwrap();
        assert!(!check.ok && check.detail.contains(detail) && check.detail.contains(ours), "{check:?}");
        assert!(check.mend.as_ref().unwrap().contains(mend), "{check:?}");
    }
}

#[test]
fn a_database_of_a_newer_program_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let old = app(&dir, "[[hosts]]\nname = \"web01\"\n");
    let path = old.store().unwrap().path().to_owned();
    drop(old);
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let app = app(&dir, "[[hosts]]\nname = \"web01\"\n");
    let checks = server(&app);
    assert_eq!(ill(&checks), ["approvers", "database", "audit"]);
    let database = checks.iter().find(|c| c.check == "database").unwrap();
    assert!(
        database.detail.contains("of version 99") && database.detail.contains("versions up to "),
        "{database:?}"
    );
    assert!(database.mend.as_ref().unwrap().contains("install the newer"), "{database:?}");
}

#[test]
fn the_answer_to_an_empty_grant_names_what_is_broken() {
    let refused = |code: &str| json!({ "outcome": "refused", "code": code, "message": "why" });
    let of = |answer, said| {
        let checks = probe::verifier(&answer, Some(1), said);
        assert!(checks.iter().all(|c| c.ok == c.mend.is_none()), "{checks:?}");
        checks.iter().map(|c| (c.check, c.ok)).collect::<Vec<_>>()
    };
    for code in ["malformed", "too_few_approvers"] {
        assert_eq!(of(refused(code), ""), [("sudoers", true), ("verifier", true)], "{code}");
    }
    for code in ["ledger_missing", "config", "audit_unavailable", "whatever"] {
        assert_eq!(of(refused(code), ""), [("sudoers", true), ("verifier", false)], "{code}");
    }
    assert_eq!(of(json!(null), "sudo: a password is required"), [("sudoers", false)]);
    assert_eq!(of(json!({ "outcome": "succeeded" }), ""), [("sudoers", false)]);
}

#[test]
fn the_step_that_failed_on_the_way_to_a_host_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(&dir, "[[hosts]]\nname = \"web01\"\n");
    let host = app.host("web01").unwrap();
    let name = || host.name.clone();
    let limit = std::time::Duration::from_secs(1);
    for (error, expected) in [
        (E::Unreachable { host: name(), endpoint: "x".into(), cause: "refused".into() }, "reachable"),
        (E::TimedOut { host: name(), limit }, "reachable"),
        (E::HostKey { host: name(), cause: "CHANGED".into() }, "host_key"),
        (E::Login { host: name(), cause: "refused".into() }, "reader"),
    ] {
        let check = reached(host, &RecoveryError::Ssh(error));
        assert!(check.check == expected && !check.ok && check.mend.is_some(), "{check:?}");
    }
    let bare = reached(host, &RecoveryError::refused("not_deployed", "exit 127"));
    assert_eq!((bare.check, bare.ok), ("forced_command", false));
}

#[test]
fn what_a_host_puts_into_a_check_is_made_harmless() {
    let check = Check::ill("name", "it calls itself \u{1b}[2Jweb\u{202e}01", "x").cleaned();
    assert!(!check.detail.contains(['\u{1b}', '\u{202e}']), "{check:?}");
}

#[test]
fn a_server_without_hosts_approvers_or_an_unbroken_chain_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let bare = app(&dir, "");
    assert_eq!(ill(&server(&bare)), ["config", "approvers"]);
    let receipt = bare.store().unwrap().audit(&Audit { event: "x", data: json!({}) }).unwrap();
    assert_eq!(receipt.seq(), 1);
    let database = rusqlite::Connection::open(bare.store().unwrap().path()).unwrap();
    database.execute("UPDATE audit SET line = replace(line, '\"x\"', '\"y\"')", []).unwrap();
    assert_eq!(ill(&server(&bare)), ["config", "approvers", "audit"]);
}

#[tokio::test]
async fn a_host_that_is_not_there_is_one_failed_check_that_says_what_to_look_at() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("k");
    std::fs::write(&key, "no key").unwrap();
    // Port 1 of this machine: nobody listens there.
    let app = app(
        &dir,
        "[[hosts]]\nname = \"web01\"\naddress = \"127.0.0.1\"\nport = 1\n[defaults]\nreader_key = \"k\"\n",
    );
    let checks = host(&app, app.host("web01").unwrap()).await;
    assert_eq!(ill(&checks), ["reader"], "the key is none");
    assert!(checks[0].mend.is_some(), "{checks:?}");
}
