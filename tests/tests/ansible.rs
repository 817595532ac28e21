//! The Ansible role on bare lab hosts: from nothing to a verified target and back, attacks on what it makes, rotation and revocation of
//! keys, and what it refuses. `LAB_DIRECT=5 lab/up.sh 5` must have brought the hosts up, without `lab/deploy.sh`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use std::path::Path;
use std::process::{Command, Stdio};

use e2e::ansible::{Controller, Recap, make_key, recap};
use e2e::tree::Tree;
use e2e::{Lab, Said, attacks, channels, run};
use serde_json::{Value, json};

const DEPLOY: &str = "deploy-mcp-infra";

/// A host that is no target, whatever an earlier run has left on it.
fn bare(lab: &Lab, host: &str) {
    let script = include_str!("../../scripts/install-target.sh");
    let place = lab.file(&format!("run/{host}/root/root/install-target.sh"));
    std::fs::write(&place, script).unwrap();
    lab.must(
        host,
        "if [ -e /etc/mcp-linux-infra ]; then bash /root/install-target.sh --uninstall; fi; rm -f /root/install-target.sh /var/log/pra-run.log*",
    );
}

fn unchanged(lab: &Lab, host: &str, before: &Tree, what: &str) {
    let changes = before.changes(&Tree::look(lab, host));
    assert!(changes.is_empty(), "{what}: {changes:#?}");
}

/// Runs scripts/install-target.sh with what the controller's variables say: it makes the host a target, or with `--check` audits it.
fn by_script(lab: &Lab, controller: &Controller<'_>, host: &str, option: &str) {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = lab.file(&format!("run/{host}/root/root/deploy"));
    std::fs::create_dir_all(&folder).unwrap();
    for program in ["mcp-wrapper", "pra-exec", "pra-run"] {
        std::fs::copy(top.join("target/dist").join(program), folder.join(program)).unwrap();
    }
    std::fs::copy(top.join("scripts/install-target.sh"), folder.join("install-target.sh")).unwrap();
    for key in ["reader.pub", "runner.pub"] {
        std::fs::copy(lab.key(key), folder.join(key)).unwrap();
    }
    std::fs::copy(controller.folder().join("approvers"), folder.join("approvers")).unwrap();
    lab.must(
        host,
        &format!(
            "cd /root/deploy && ./install-target.sh --programs . --reader-key reader.pub --runner-key runner.pub --approvers approvers \
             --host {host} --log-group {option} && cd / && rm -r /root/deploy"
        ),
    );
}

#[test]
fn from_a_bare_host_to_a_verified_target_that_withstands_attacks() {
    let (lab, host) = (Lab::bare(), "t1");
    bare(&lab, host);
    let controller = Controller::new(&lab, &[host]);
    let before = Tree::look(&lab, host);

    // A check of a bare host fails nowhere, tells what would be done, and does nothing.
    let check = controller.play(DEPLOY, &json!({}), &["--check", "--diff"]);
    assert_eq!(check.exit, 0, "{check:?}");
    assert!(recap(&check, host).changed > 10, "{check:?}");
    for shown in ["+restrict,command=\"/usr/local/bin/mcp-wrapper\" ssh-ed25519 ", "+Match User mcp-reader"] {
        assert!(check.out.contains(shown), "{shown}: {check:?}");
    }
    unchanged(&lab, host, &before, "a check");

    assert!(controller.deploy(&["--diff"]) > 10);
    let deployed = Tree::look(&lab, host);
    by_script(&lab, &controller, host, "--check");
    let second = controller.play(DEPLOY, &json!({}), &["--diff"]);
    assert_eq!(second.exit, 0, "{second:?}");
    assert_eq!(recap(&second, host), Recap { changed: 0, failed: 0, unreachable: 0 }, "{second:?}");
    assert_eq!(controller.deploy(&["--check", "--diff"]), 0);
    unchanged(&lab, host, &deployed, "a second run");
    // What a diff shows may lie in a log: nothing of a private key, no hash of a password.
    for said in [&check, &second] {
        let all = format!("{}{}", said.out, said.err);
        assert!(!all.contains("PRIVATE KEY") && !all.contains("b3BlbnNzaC1rZXktdjE") && !all.contains("$y$"));
    }

    channels::no_shell_no_terminal_and_no_subsystem(&lab, host);
    channels::files_are_not_copied(&lab, host);
    channels::nothing_is_forwarded(&lab, host);
    channels::no_agent_no_display_and_no_environment_arrive(&lab, host);
    channels::as_a_login_shell_it_takes_one_line_or_refuses(&lab, host);
    attacks::all(&lab, host);
    // The highest time seen is what refused grants leave.
    lab.must(host, "echo 0 > /var/lib/mcp-linux-infra/ledger/clock");
    unchanged(&lab, host, &deployed, "the attacks");
}

#[test]
fn uninstalled_it_is_as_before_and_the_script_lays_the_same() {
    let (lab, host) = (Lab::bare(), "t5");
    bare(&lab, host);
    let controller = Controller::new(&lab, &[host]);
    let before = Tree::look(&lab, host);
    assert!(controller.deploy(&[]) > 10);
    let deployed = Tree::look(&lab, host);

    // With a session of the server still open, as it is when a host is taken out.
    let mut session = lab.ssh("mcp-reader", host, &[]);
    session.arg("mcp-session").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut session = session.spawn().unwrap();
    lab.must(
        host,
        "for i in $(seq 200); do pgrep -u mcp-reader mcp-wrapper && exit 0; sleep 0.05; done; exit 1",
    );
    lab.must(host, "echo record > /var/log/pra-run.log");
    let uninstalled = controller.play("uninstall", &json!({}), &[]);
    let ended = session.wait().unwrap();
    assert!(!ended.success(), "the session has ended");
    assert_eq!(uninstalled.exit, 0, "{uninstalled:?}");
    unchanged(&lab, host, &before, "installed and uninstalled");
    assert_eq!(lab.must(host, "cat /proc/sys/net/ipv4/ping_group_range"), "1\t0");
    assert_eq!(lab.must(host, "cat /var/log/pra-run.log"), "record", "the record is kept");
    let again = controller.play("uninstall", &json!({ "mcp_infra_uninstall_log": true }), &[]);
    assert_eq!((again.exit, recap(&again, host).changed), (0, 1), "only the record went: {again:?}");
    assert_eq!(lab.root(host, "ls /var/log/pra-run.log*").exit, 2);

    // Both ways of installing leave the same, also of accounts and groups.
    by_script(&lab, &controller, host, "");
    unchanged(&lab, host, &deployed, "the script's files, compared with the role's");
    assert_eq!(controller.deploy(&["--check", "--diff"]), 0, "the role finds nothing to do after the script");
    bare(&lab, host);
    unchanged(&lab, host, &before, "uninstalled by the script");
}

/// One login; whether the account's program answered.
fn login(lab: &Lab, account: &str, host: &str, key: &Path) -> Said {
    let mut ssh = lab.inside("ssh");
    ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o"])
        .arg(format!("UserKnownHostsFile={}", lab.file("known_hosts").display()))
        .arg("-i")
        .arg(key)
        .arg(format!("{account}@{}", lab.address(host)))
        .arg("uptime");
    run(&mut ssh, b"")
}

fn enters(lab: &Lab, host: &str, key: &Path) -> bool {
    let said = login(lab, "mcp-reader", host, key);
    assert!(said.exit == 0 || said.err.contains("Permission denied (publickey)"), "{said:?}");
    said.exit == 0
}

/// Pulls the cable of a host; it is back in when this value goes.
struct Cut<'a>(&'a str);

impl<'a> Cut<'a> {
    fn new(host: &'a str) -> Self {
        cable("cut", host);
        Self(host)
    }
}

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        cable("join", self.0);
    }
}

fn cable(what: &str, host: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab/host.sh");
    let said = run(Command::new(script).args([what, host]), b"");
    assert_eq!(said.exit, 0, "{said:?}");
}

#[test]
fn keys_are_rotated_and_revoked() {
    let lab = Lab::bare();
    for host in ["t2", "t3"] {
        bare(&lab, host);
    }
    let mut controller = Controller::new(&lab, &["t2", "t3"]);
    // The runner's key from the lab's own network alone, and not for ever.
    let net = lab.address("t2").rsplit_once('.').unwrap().0.to_owned() + ".0/24";
    controller.vars["mcp_infra_runner_keys"][0]["from"] = json!([net, "2001:db8::/64"]);
    controller.vars["mcp_infra_runner_keys"][0]["expires"] = json!("209912312359Z");
    controller.deploy(&[]);
    let line = lab.must("t3", "cat /etc/ssh/mcp-linux-infra/pra-runner");
    let limits = format!(
        "restrict,command=\"/usr/local/bin/pra-exec\",from=\"{net},2001:db8::/64\",expiry-time=\"209912312359Z\" ssh-ed25519 "
    );
    assert!(line.starts_with(&limits), "{line}");

    // Rotation, with one host away.
    let (old, new) = (lab.key("reader"), controller.folder().join("new"));
    make_key(&new);
    let public = std::fs::read_to_string(new.with_extension("pub")).unwrap();
    controller.vars["mcp_infra_reader_keys"] = json!([public]);
    controller.vars["mcp_infra_verify_reader_identity"] = json!(new);
    let switched = controller.folder().join("switched");
    let with = json!({
        "mcp_infra_account": "reader", "mcp_infra_new_identity": new, "mcp_infra_old_identity": old,
        "mcp_infra_switch_command": format!("echo x >> {}", switched.display()),
    });
    controller.disconnect();
    let away = Cut::new("t3");
    let said = controller.play("rotate-keys", &with, &[]);
    drop(away);
    assert_ne!(said.exit, 0, "{said:?}");
    assert!(said.out.contains("ready: 1 of 2; stragglers: t3"), "{said:?}");
    assert!(!switched.exists(), "nothing is switched while a host lags behind");
    assert!(enters(&lab, "t2", &old) && enters(&lab, "t2", &new), "both are valid meanwhile");
    assert!(enters(&lab, "t3", &old) && !enters(&lab, "t3", &new));
    // It is back: the same command goes on where it was.
    let said = controller.play("rotate-keys", &with, &[]);
    assert_eq!(said.exit, 0, "{said:?}");
    assert_eq!(std::fs::read_to_string(&switched).unwrap(), "x\n");
    for host in ["t2", "t3"] {
        assert!(enters(&lab, host, &new) && !enters(&lab, host, &old), "{host}");
        assert_eq!(lab.must(host, "wc -l < /etc/ssh/mcp-linux-infra/mcp-reader"), "1");
    }
    // All is done: nothing changes any more, and the deployment agrees.
    let mut done = with.clone();
    done["mcp_infra_switched"] = json!(true);
    let said = controller.play("rotate-keys", &done, &[]);
    assert_eq!((said.exit, recap(&said, "t2").changed, recap(&said, "t3").changed), (0, 0, 0), "{said:?}");
    assert_eq!(controller.deploy(&["--check"]), 0);

    revoked(&lab, &controller, &new);
}

/// The key that is in use is revoked while a session with it is open, with one host away; then an approver.
fn revoked(lab: &Lab, controller: &Controller<'_>, key: &Path) {
    let keygen = run(Command::new("ssh-keygen").arg("-lf").arg(key), b"");
    let fingerprint = keygen.out.split(' ').nth(1).unwrap().to_owned();
    let mut session = lab.inside("ssh");
    session
        .args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o"])
        .arg(format!("UserKnownHostsFile={}", lab.file("known_hosts").display()))
        .arg("-i")
        .arg(key)
        .arg(format!("mcp-reader@{}", lab.address("t2")))
        .arg("mcp-session")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut session = session.spawn().unwrap();
    lab.must(
        "t2",
        "for i in $(seq 200); do pgrep -u mcp-reader mcp-wrapper && exit 0; sleep 0.05; done; exit 1",
    );
    let revoke = json!({ "mcp_infra_revoke_key": fingerprint });
    controller.disconnect();
    let away = Cut::new("t3");
    let said = controller.play("revoke", &revoke, &[]);
    drop(away);
    assert!(!session.wait().unwrap().success(), "the open session has ended");
    assert_ne!(said.exit, 0, "{said:?}");
    assert!(said.out.contains("NOT REVOKED on t3: still valid there"), "{said:?}");
    let taken = said.out.split("\"t2: ").nth(1).unwrap_or_else(|| panic!("no time of t2: {said:?}"));
    assert!(taken.contains(" s, taken out of mcp-reader"), "{said:?}");
    assert!(!enters(lab, "t2", key) && enters(lab, "t3", key));
    let said = controller.play("revoke", &revoke, &[]);
    assert_eq!(said.exit, 0, "{said:?}");
    println!("{}", said.out);
    assert!(!enters(lab, "t3", key));
    assert_eq!(recap(&said, "t2").changed, 0, "{said:?}");

    let said = controller.play("revoke", &json!({ "mcp_infra_revoke_approver": "bob@example.org" }), &[]);
    assert_eq!(said.exit, 0, "{said:?}");
    for host in ["t2", "t3"] {
        let approvers = lab.must(host, "cut -d' ' -f1 /etc/mcp-linux-infra/approvers");
        assert_eq!(approvers, "alice@example.org", "{host}");
    }
    let said = controller.play("revoke", &json!({ "mcp_infra_revoke_key": "bob" }), &[]);
    assert!(
        said.exit != 0 && said.out.contains("neither a fingerprint") && recap(&said, "t2").changed == 0,
        "{said:?}"
    );
}

#[test]
fn the_example_inventory_and_every_playbook_are_read() {
    let lab = Lab::bare();
    let said = Controller::new(&lab, &[]).syntax();
    assert_eq!(said.exit, 0, "{said:?}");
    assert_eq!(said.out.matches("web01.infra.example").count(), 5, "each play of each playbook: {said:?}");
    assert!(!said.err.contains("[WARNING]"), "{said:?}");
}

fn fails(controller: &Controller<'_>, vars: &Value, with: &str) {
    let said = controller.play(DEPLOY, vars, &[]);
    assert!(said.exit != 0 && said.out.contains(with), "{with}: {said:?}");
}

#[test]
fn what_is_wrong_is_refused_before_it_lands() {
    let (lab, host) = (Lab::bare(), "t4");
    bare(&lab, host);
    let mut controller = Controller::new(&lab, &[host]);
    let before = Tree::look(&lab, host);
    let reader = controller.vars["mcp_infra_reader_keys"].clone();
    fails(&controller, &json!({ "mcp_infra_runner_keys": reader }), "must have different keys");
    let damaged = json!([{ "key": "ssh-ed25519 AAAAB3NzaC1lZDI1NTE5 x", "from": ["a\"b"] }]);
    fails(&controller, &json!({ "mcp_infra_reader_keys": damaged }), "is damaged");
    // A program that is not the one that its sums name.
    let dist = controller.folder().join("dist");
    std::fs::create_dir(&dist).unwrap();
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/dist");
    for program in ["mcp-wrapper", "pra-exec", "pra-run"] {
        std::fs::copy(built.join(program), dist.join(program)).unwrap();
    }
    let from = json!({ "mcp_infra_programs_dir": dist });
    fails(&controller, &from, "and SHA256SUMS if it is not the target/dist");
    let sums = run(
        Command::new("sha256sum").arg("mcp-wrapper").arg("pra-exec").arg("pra-run").current_dir(&dist),
        b"",
    );
    std::fs::write(dist.join("SHA256SUMS"), &sums.out).unwrap();
    std::fs::copy(dist.join("pra-exec"), dist.join("pra-run")).unwrap();
    fails(&controller, &from, "pra-run is not the program");
    unchanged(&lab, host, &before, "refused");
    std::fs::copy(built.join("pra-run"), dist.join("pra-run")).unwrap();
    controller.vars["mcp_infra_programs_dir"] = json!(dist);

    // sshd refuses what it was given together with the rest: a stand-in says so, for that file alone.
    lab.must(host, r#"mv /usr/sbin/sshd /usr/sbin/sshd.real; printf '#!/bin/sh\n[ "$*" != -t ] || [ ! -e /etc/ssh/sshd_config.d/60-mcp-linux-infra.conf ] || { echo "no such directive" >&2; exit 255; }\nexec /usr/sbin/sshd.real "$@"\n' > /usr/sbin/sshd; chmod 755 /usr/sbin/sshd"#);
    let said = controller.play(DEPLOY, &json!({}), &[]);
    // The daemon was reloaded meanwhile: it shall no longer run from the other name.
    lab.must(host, "mv -f /usr/sbin/sshd.real /usr/sbin/sshd && systemctl restart ssh");
    assert!(said.exit != 0 && said.out.contains("it was taken back. no such directive"), "{said:?}");
    assert_eq!(lab.root(host, "test -e /etc/ssh/sshd_config.d/60-mcp-linux-infra.conf").exit, 1);
    let denied = login(&lab, "mcp-reader", host, &lab.key("reader"));
    assert!(denied.exit == 255 && denied.err.contains("Permission denied"), "{denied:?}");

    the_catalogue_is_what_it_says(&lab, &mut controller, host);

    // Another file of sshd's says otherwise for these accounts.
    lab.must(host, r"printf 'Match User mcp-reader\n    PermitTTY yes\nMatch all\n' > /etc/ssh/sshd_config.d/05-other.conf");
    let said = controller.play(DEPLOY, &json!({}), &["--tags", "verify"]);
    lab.must(host, "rm /etc/ssh/sshd_config.d/05-other.conf");
    assert!(said.exit != 0 && said.out.contains("would not hold to: permittty no"), "{said:?}");
    // Approvals that somebody asked for by hand are not dropped in silence.
    lab.must(host, r"printf '[approval]\nmin = 2\n' >> /etc/mcp-linux-infra/target.toml");
    fails(&controller, &json!({}), "asks for approvals in its own way");
    let settings = "[approval]\nmin = 2\n";
    controller.vars["mcp_infra_target_settings"] = json!(settings);
    assert_eq!(controller.deploy(&["--check"]), 0, "now the inventory says the same");

    for profile in ["mcp-wrapper", "pra-run"] {
        let template = format!(
            "src=roles/mcp_infra/templates/apparmor.{profile}.j2 dest=/root/profile mode=0644 validate='apparmor_parser -Q -K %s'"
        );
        let vars = json!({ "mcp_infra_etc": "/etc/mcp-linux-infra", "mcp_infra_lib": "/var/lib/mcp-linux-infra",
            "mcp_infra_log": "/var/log/pra-run.log", "mcp_infra_apparmor": "enforce",
            "mcp_infra_program_path": { "mcp-wrapper": "/usr/local/bin/mcp-wrapper", "pra-run": "/usr/local/sbin/pra-run" } });
        let said = controller.module(host, "template", &template, &vars);
        assert_eq!(said.exit, 0, "{profile}: {said:?}");
    }
    lab.must(host, "rm -f /root/profile");
}

/// The folders of plugins and actions hold what the controller's hold, and nothing else.
fn the_catalogue_is_what_it_says(lab: &Lab, controller: &mut Controller<'_>, host: &str) {
    let plugins = controller.folder().join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    let plugin = "name = \"organisation\"\ntitle = \"Of the organisation\"\ncategory = \"system\"\n\n[[command]]\nname = \"hostid\"\n\
        profile = \"file\"\n\n[[command.form]]\nname = \"id\"\ntitle = \"Number of the host\"\nlevel = \"auto\"\nrisk = \"low\"\n\
        words = []\nexamples = [\"hostid\"]\n";
    controller.vars["mcp_infra_plugins_dir"] = json!(plugins);
    // A plugin that the target does not take: the logins at the end tell, with file, line and cause.
    std::fs::write(plugins.join("organisation.toml"), plugin).unwrap();
    fails(
        controller,
        &json!({}),
        "plugins.d/organisation.toml:9: form \\\"id\\\": it needs examples and counter_examples",
    );
    let plugin = format!("{plugin}counter_examples = [\"hostid --help\"]\n");
    std::fs::write(plugins.join("organisation.toml"), plugin).unwrap();
    assert_eq!(controller.deploy(&["--tags", "policy,verify"]), 1);
    assert_eq!(lab.read(host, "hostid").exit, 0);
    lab.must(host, "echo wrong > /etc/mcp-linux-infra/plugins.d/stray.toml");
    assert_eq!(lab.read(host, "hostid").exit, 126, "a wrong plugin refuses all");
    assert_eq!(controller.deploy(&["--tags", "policy"]), 1);
    assert_eq!(lab.must(host, "ls /etc/mcp-linux-infra/plugins.d"), "organisation.toml");
    assert_eq!(lab.read(host, "hostid").exit, 0);
}
