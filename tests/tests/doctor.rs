//! `doctor` on real hosts: each thing is broken for real, the named check fails with what mends it, and the host is mended again.
//!
//! The clock is the machine's, so no host's can be set: its check is tested on facts alone (`crates/infra/src/doctor/tests.rs`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use e2e::{Lab, Server, run};
use serde_json::Value;

/// The host that these tests break; `.config/nextest.toml` lets no other test of the lab run meanwhile.
const HOST: &str = "t2";

/// A host with something broken, which is mended when this value goes, also when the test fails.
struct Broken<'a> {
    lab: &'a Lab,
    mend: &'static str,
}

impl<'a> Broken<'a> {
    fn new(lab: &'a Lab, harm: &str, mend: &'static str) -> Self {
        let broken = Self { lab, mend };
        lab.must(HOST, harm);
        broken
    }
}

impl Drop for Broken<'_> {
    fn drop(&mut self) {
        let said = self.lab.root(HOST, self.mend);
        if !std::thread::panicking() {
            assert_eq!(said.exit, 0, "{HOST} is as it was: {said:?}");
        }
    }
}

/// The failed checks of the host, with what is to be done.
fn failed(server: &Server<'_>) -> Vec<(String, String, String)> {
    let said = server.cli(&["doctor", HOST, "--json"]);
    let answer: Value = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"));
    let of =
        answer["results"].as_array().unwrap().iter().find(|r| r["of"] == HOST).expect("the host's own row");
    let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let rows: Vec<_> = of["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["ok"] == false)
        .map(|c| (text(c, "check"), text(c, "detail"), text(c, "mend")))
        .collect();
    assert_eq!(said.exit, i32::from(answer["ok"] == false), "{said:?}");
    assert_eq!(answer["ok"] == true, rows.is_empty(), "{answer}");
    rows
}

/// Breaks something, and expects one failed check by this name that says these words and how to mend it; mended, all is well.
fn expect(harm: &str, mend: &'static str, check: &str, cause: &str, remedy: &str) {
    let lab = Lab::get();
    let server = Server::new(&lab);
    {
        let _broken = Broken::new(&lab, harm, mend);
        let rows = failed(&server);
        let names: Vec<&str> = rows.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, [check], "{rows:?}");
        assert!(rows[0].1.contains(cause) && rows[0].2.contains(remedy), "{rows:?}");
    }
    let left = failed(&server);
    assert!(left.is_empty(), "mended: {left:?}");
}

#[test]
fn a_host_as_it_was_installed_is_well_and_every_check_has_its_row() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let said = server.cli(&["doctor", HOST]);
    assert_eq!(said.exit, 0, "{said:?}");
    for check in [
        "reachable",
        "host_key",
        "reader",
        "forced_command",
        "name",
        "version",
        "policy",
        "actions",
        "clock",
        "sandbox",
        "groups",
        "approvers",
        "logs",
        "runner",
        "sudoers",
        "verifier",
    ] {
        assert!(
            said.out.lines().any(|l| l.trim_start().starts_with(&format!("ok   {check} "))),
            "{check}: {}",
            said.out
        );
    }
    assert!(said.err.is_empty(), "progress is for terminals: {}", said.err);
    assert_eq!(server.cli(&["doctor", "nowhere"]).exit, 2);
}

#[test]
fn sshd_stopped() {
    expect(
        "systemctl stop ssh.socket ssh.service 2>/dev/null; ! systemctl is-active -q ssh.service",
        "systemctl start ssh.service && systemctl is-active ssh.service",
        "reachable",
        "refused",
        "systemctl status ssh",
    );
}

#[test]
fn a_changed_host_key() {
    let key = "/etc/ssh/ssh_host_ed25519_key";
    expect(
        &format!(
            "cp -p {key} {key}.pub /root/ && ssh-keygen -q -t ed25519 -N '' -f {key} <<<y >/dev/null && systemctl restart ssh"
        ),
        "mv /root/ssh_host_ed25519_key /root/ssh_host_ed25519_key.pub /etc/ssh/ && systemctl restart ssh",
        "host_key",
        "CHANGED",
        "console",
    );
}

#[test]
fn a_reader_key_that_was_taken_away() {
    expect(
        "mv /etc/ssh/mcp-linux-infra/mcp-reader /root/",
        "mv /root/mcp-reader /etc/ssh/mcp-linux-infra/",
        "reader",
        "mcp-reader was refused",
        "--reader-key",
    );
}

#[test]
fn a_plugin_that_the_server_does_not_have() {
    let plugin = "name = \"local\"\ntitle = \"x\"\ncategory = \"local\"\n[[command]]\nname = \"frob\"\n[[command.form]]\nname = \"a\"\nlevel = \
                  \"auto\"\nexamples = [\"frob\"]\ncounter_examples = [\"frob x\"]\n";
    expect(
        &format!("cat > /etc/mcp-linux-infra/plugins.d/local.toml <<'X'\n{plugin}X"),
        "rm /etc/mcp-linux-infra/plugins.d/local.toml",
        "policy",
        "digest",
        "plugins.d",
    );
}

#[test]
fn a_target_file_that_cannot_be_read() {
    expect(
        "cp -p /etc/mcp-linux-infra/target.toml /root/ && echo 'nonsense = 1' >> /etc/mcp-linux-infra/target.toml",
        "mv /root/target.toml /etc/mcp-linux-infra/target.toml",
        "forced_command",
        "target.toml",
        "target.toml",
    );
}

#[test]
fn an_approvers_file_that_is_missing() {
    expect(
        "mv /etc/mcp-linux-infra/approvers /root/",
        "mv /root/approvers /etc/mcp-linux-infra/",
        "approvers",
        "missing",
        "install -o root",
    );
}

#[test]
fn an_approvers_file_that_is_another_than_the_servers_copy() {
    expect(
        "cp -p /etc/mcp-linux-infra/approvers /root/ && sed -i '$d' /etc/mcp-linux-infra/approvers",
        "mv /root/approvers /etc/mcp-linux-infra/",
        "approvers",
        "1 key(s)",
        "copy",
    );
}

#[test]
fn a_sudo_rule_that_is_missing() {
    expect(
        "mv /etc/sudoers.d/mcp-linux-infra /root/",
        "mv /root/mcp-linux-infra /etc/sudoers.d/",
        "sudoers",
        "sudo",
        "NOPASSWD: /usr/local/sbin/pra-run \"\"",
    );
}

#[test]
fn a_runner_whose_forced_command_was_taken_away() {
    expect(
        "usermod --shell /bin/sh pra-runner && sed -i 's/^restrict,command=\"[^\"]*\" //' /etc/ssh/mcp-linux-infra/pra-runner && \
         sed -i '/ForceCommand .*pra-exec/d' /etc/ssh/sshd_config.d/60-mcp-linux-infra.conf && systemctl reload ssh",
        "usermod --shell /usr/local/bin/pra-exec pra-runner && \
         sed -i 's|^|restrict,command=\"/usr/local/bin/pra-exec\" |' /etc/ssh/mcp-linux-infra/pra-runner && \
         sed -i 's|^Match User pra-runner$|&\\n    ForceCommand /usr/local/bin/pra-exec|' /etc/ssh/sshd_config.d/60-mcp-linux-infra.conf && \
         sshd -t && systemctl reload ssh",
        "runner",
        "did not refuse",
        "install-target.sh",
    );
}

#[test]
fn a_sandbox_that_is_only_an_effort() {
    expect(
        "cp -p /etc/mcp-linux-infra/target.toml /root/ && sed -i '1a sandbox = \"best-effort\"' /etc/mcp-linux-infra/target.toml",
        "mv /root/target.toml /etc/mcp-linux-infra/target.toml",
        "sandbox",
        "best-effort",
        "target.toml",
    );
}

#[test]
fn a_reader_without_the_groups_of_logs() {
    expect(
        "gpasswd -d mcp-reader adm >/dev/null && gpasswd -d mcp-reader systemd-journal >/dev/null",
        "usermod -aG adm,systemd-journal mcp-reader",
        "groups",
        "cannot read the logs",
        "--log-group",
    );
}

#[test]
fn a_ledger_that_is_missing() {
    expect(
        "mv /var/lib/mcp-linux-infra/ledger /root/",
        "mv /root/ledger /var/lib/mcp-linux-infra/",
        "verifier",
        "ledger_missing",
        "install-target.sh",
    );
}

#[test]
fn a_log_that_was_removed() {
    expect(
        "mv /var/log/pra-run.log /root/",
        "mv /root/pra-run.log /var/log/",
        "logs",
        "missing",
        "install -o root",
    );
}

/// The lab's disk is the machine's; a small file system in the place of `/var/log` fills instead.
#[test]
fn a_full_disk_for_logs() {
    expect(
        "mount -t tmpfs -o size=2m,mode=755 lab-full /var/log && touch /var/log/pra-run.log && chmod 640 /var/log/pra-run.log && \
         { dd if=/dev/zero of=/var/log/fill bs=64k 2>/dev/null || true; }",
        "umount -l /var/log && systemctl restart rsyslog",
        "logs",
        "0 MiB (0 %)",
        "rotate_logs",
    );
}

#[test]
fn hosts_are_checked_at_the_same_time_and_one_that_is_away_is_one_row() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let config = std::fs::read_to_string(lab.file("mcp-linux-infra.toml")).unwrap();
    // Port 9 of the namespace's own address: nobody listens there.
    let away: String = (0..4)
        .map(|n| format!("\n[[hosts]]\nname = \"away{n}\"\naddress = \"127.0.0.1\"\nport = 9\n"))
        .collect();
    let file = lab.file("doctor-test.toml");
    std::fs::write(&file, config + &away).unwrap();
    let mut command = lab.inside(Lab::program());
    command.arg("--config").arg(&file).args(["doctor", "--json"]).env("XDG_STATE_HOME", server.dir.path());
    let said = run(&mut command, b"");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(said.exit, 1, "{said:?}");
    let answer: Value = serde_json::from_str(&said.out).unwrap();
    let names: Vec<&str> =
        answer["results"].as_array().unwrap().iter().map(|r| r["of"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["server", "away0", "away1", "away2", "away3", "t1", "t2"],
        "in the order of their names"
    );
    for result in answer["results"].as_array().unwrap() {
        let checks = result["checks"].as_array().unwrap();
        let ill: Vec<&Value> = checks.iter().filter(|c| c["ok"] == false).collect();
        if result["of"].as_str().unwrap().starts_with("away") {
            assert!(
                checks.len() == 1 && ill[0]["check"] == "reachable" && ill[0]["mend"].is_string(),
                "{result}"
            );
        } else {
            assert!(ill.is_empty(), "{result}");
        }
    }
}
