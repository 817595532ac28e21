//! Many hosts at once, and inventories of other programs, on real hosts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use std::path::PathBuf;

use e2e::{Lab, Said, Server, run};
use serde_json::Value;

/// A config whose hosts stand in an Ansible inventory and an ssh_config, and only their keys in the config.
struct Elsewhere<'a> {
    server: Server<'a>,
    file: PathBuf,
}

impl<'a> Elsewhere<'a> {
    fn new(lab: &'a Lab) -> Self {
        let server = Server::new(lab);
        let at = |name: &str| server.dir.path().join(name);
        let inventory = format!(
            "[web]\nt1 ansible_host={}\n[away]\ngone ansible_host=127.0.0.1 ansible_port=9\n[prod:children]\nweb\naway\n",
            lab.address("t1")
        );
        std::fs::write(at("hosts.ini"), inventory).unwrap();
        std::fs::write(at("ssh_config"), format!("Host t2\n  HostName {}\n  User root\n", lab.address("t2")))
            .unwrap();
        let config = format!(
            "known_hosts = \"{}\"\n[defaults]\nreader_key = \"{}\"\n[inventory]\nansible = [\"hosts.ini\"]\nssh_config = \"ssh_config\"\n\
             [[hosts]]\nname = \"t2\"\ntags = [\"second\"]\n",
            lab.file("known_hosts").display(),
            lab.key("reader").display()
        );
        let file = at("c.toml");
        std::fs::write(&file, config).unwrap();
        Self { server, file }
    }

    fn cli(&self, arguments: &[&str]) -> Said {
        let mut command = self.server.lab.inside(Lab::program());
        command.arg("--config").arg(&self.file).args(arguments).env("XDG_STATE_HOME", self.server.dir.path());
        run(&mut command, b"")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let said = self.cli(arguments);
        assert_eq!(said.exit, 0, "{said:?}");
        serde_json::from_str(&said.out).unwrap()
    }
}

/// Starts a unit again when the test ends, however it ends.
struct Stopped<'a>(&'a Lab, &'static str);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        let said = self.0.root(self.1, "systemctl start caddy");
        if !std::thread::panicking() {
            assert_eq!(said.exit, 0, "{said:?}");
        }
    }
}

#[test]
fn two_hosts_share_a_finding_and_one_that_is_away_is_a_row() {
    let lab = Lab::get();
    let elsewhere = Elsewhere::new(&lab);
    let _stopped = [Stopped(&lab, "t1"), Stopped(&lab, "t2")];
    for host in ["t1", "t2"] {
        lab.must(host, "systemctl stop caddy");
    }
    let answer =
        elsewhere.json(&["diagnose", "group:prod,tag:second", "--checks", "services,disk", "--json"]);
    assert_eq!((&answer["asked"], &answer["untrusted"]), (&Value::from(3), &Value::from(true)), "{answer}");
    let caddy = |f: &&Value| f["subject"].as_str().unwrap().contains("caddy");
    let finding = answer["findings"].as_array().unwrap().iter().find(caddy).expect("the stopped service");
    assert_eq!(
        (&finding["count"], finding["hosts"].to_string().as_str()),
        (&Value::from(2), "[\"t1\",\"t2\"]")
    );
    let [away] = answer["absent"].as_array().unwrap().as_slice() else { panic!("{answer}") };
    assert_eq!((away["host"].as_str(), away["code"].as_str()), (Some("gone"), Some("unreachable")));
    let text = elsewhere.cli(&["diagnose", "all", "--checks", "services"]);
    assert_eq!(text.exit, 0, "{text:?}");
    assert!(text.out.contains("3 host(s) asked") && text.out.contains("-> t1, t2"), "{}", text.out);
    assert!(text.out.contains("NOT diagnosed (unreachable): gone"), "{}", text.out);
    assert!(text.err.is_empty(), "progress is for terminals: {}", text.err);
}

#[test]
fn hosts_of_every_source_are_listed_selected_and_reached_by_known_keys_only() {
    let lab = Lab::get();
    let elsewhere = Elsewhere::new(&lab);
    let listed = elsewhere.cli(&["hosts", "list"]);
    let first = |l: &str| l.split_whitespace().next().unwrap_or_default().to_owned();
    assert_eq!(listed.out.lines().map(first).collect::<Vec<_>>(), ["gone", "t1", "t2"], "{listed:?}");
    let chosen = elsewhere.cli(&["hosts", "list", "group:prod&!gone"]);
    assert!(
        chosen.out.starts_with("t1  ")
            && chosen.out.contains("group:prod")
            && chosen.out.lines().count() == 1,
        "{chosen:?}"
    );
    for wrong in ["group:nope", "gone&!gone", "a b"] {
        for command in [&["hosts", "list", wrong][..], &["diagnose", wrong]] {
            let said = elsewhere.cli(command);
            assert!(said.exit == 2 && said.out.is_empty() && !said.err.is_empty(), "{wrong}: {said:?}");
        }
    }
    let reached = elsewhere.cli(&["tool", "call", "get_system_info", "--arg", "host=t2"]);
    assert!(reached.exit == 0 && reached.out.contains("Debian"), "{reached:?}");
    // Whoever names a host gives no key: without a known one it is not reached.
    let text = std::fs::read_to_string(&elsewhere.file).unwrap();
    let blind = text.replace(&format!("{:?}", lab.file("known_hosts")), "\"/nonexistent/known_hosts\"");
    std::fs::write(&elsewhere.file, blind).unwrap();
    let refused = elsewhere.cli(&["tool", "call", "get_system_info", "--arg", "host=t2"]);
    assert!(refused.exit == 1 && refused.err.contains("host key is unknown"), "{refused:?}");
}
