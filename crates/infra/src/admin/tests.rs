use std::ffi::OsStr;

use super::*;
use crate::config::{Config, Environment};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOljkCftKgei6ZQI8g+SWFtgKQY3ua/XZxZSI5Nty8Rx";

fn app(dir: &tempfile::TempDir, more: &str) -> App {
    let file = dir.path().join("c.toml");
    std::fs::write(&file, format!("state_dir = \"state\"\n{more}")).unwrap();
    let env = Environment::from([("HOME", "/nonexistent")]);
    App::new(Config::load(Some(&file), &env).unwrap()).unwrap()
}

fn host_text() -> String {
    format!("[[hosts]]\nname = \"Web01\"\naddress = \"192.0.2.7\"\nport = 2222\nhost_key = \"{KEY}\"\n")
}

fn arguments(command: &Command) -> Vec<String> {
    command.as_std().get_args().map(OsStr::to_string_lossy).map(String::from).collect()
}

#[test]
fn ssh_asks_nobody_and_trusts_what_the_server_trusts() {
    let dir = tempfile::tempdir().unwrap();
    let text =
        format!("[admin]\nuser = \"ops\"\njump = \"jump@gate:2200\"\nkey = \"it's 5%\"\n{}", host_text());
    let app = app(&dir, &text);
    let channel = Channel::new(&app, None).unwrap();
    let said = arguments(&channel.command(app.host("Web01").unwrap(), Path::new("/tmp/k h")));
    for option in [
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "HostKeyAlias=web01",
        "UserKnownHostsFile=\"/tmp/k h\"",
    ] {
        assert!(said.contains(&option.to_owned()), "{option}: {said:?}");
    }
    let jump = said.iter().find(|a| a.starts_with("ProxyCommand=")).unwrap();
    assert!(jump.contains("StrictHostKeyChecking=yes") && jump.contains("BatchMode=yes"), "{jump}");
    assert!(
        jump.contains(r"it'\''s 5%%'") && jump.ends_with("-W '[%h]:%p' -- 'ssh://jump@gate:2200'"),
        "{jump}"
    );
    assert_eq!(said[said.len() - 3..], ["--", "192.0.2.7", bundle::REMOTE]);
    let at = |option: &str| said.iter().position(|a| a == option).map(|i| said[i + 1].clone());
    assert_eq!((at("-l"), at("-p")), (Some("ops".to_owned()), Some("2222".to_owned())));
    let other = Channel::new(&app, Some("root")).unwrap();
    let said = arguments(&other.command(app.host("Web01").unwrap(), Path::new("/k")));
    assert!(said.windows(2).any(|w| w == ["-l", "root"]), "{said:?}");
    assert!(Channel::new(&app, Some("-oProxyCommand=x")).is_err());
}

#[test]
fn who_failed_is_told_apart() {
    let said = |exit, err: &str| judged(Said { exit, out: String::new(), err: err.into() });
    let unreachable = said(Some(255), "ssh: connect to host x port 22: Connection refused\n");
    assert!(matches!(unreachable, Err(AdminError::Unreachable(cause)) if cause.ends_with("refused")));
    assert!(matches!(said(Some(255), "…\nHost key verification failed.\n"), Err(AdminError::HostKey(_))));
    assert!(matches!(said(Some(1), "sudo: a password is required\n"), Err(AdminError::Sudo(_))));
    assert!(matches!(said(None, ""), Err(AdminError::Failed { exit: None, .. })));
    assert!(said(Some(1), "install-target: no\n").is_ok(), "the script's own word");
    let told = failed(&Said {
        exit: Some(1),
        out: String::new(),
        err: "a\ninstall-target: \u{1b}[2Jno sudo\n\n".into(),
    });
    assert_eq!(told.to_string(), "install-target.sh: no sudo (exit Some(1))");
}

#[tokio::test]
async fn without_a_known_host_key_or_a_record_nothing_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(&dir, &format!("known_hosts = \"none\"\n{}[[hosts]]\nname = \"web02\"\n", host_text()));
    let channel = Channel::new(&app, None).unwrap();
    let bundle = Bundle::new(&["--check"]).unwrap();
    let refused = channel.run(app.host("web02").unwrap(), &bundle).await.unwrap_err();
    assert!(matches!(&refused, AdminError::HostKey(cause) if cause.contains("unknown")), "{refused}");
    assert_eq!(app.store().unwrap().audit_tail(9).unwrap().len(), 0);
    app.audit(&Audit { event: "x", data: json!({}) }).await.unwrap();
    let database = rusqlite::Connection::open(app.store().unwrap().path()).unwrap();
    database.execute("UPDATE audit SET line = 'x'", []).unwrap();
    let refused = channel.run(app.host("Web01").unwrap(), &bundle).await.unwrap_err();
    assert!(matches!(refused, AdminError::Audit(_)), "{refused}");
}
