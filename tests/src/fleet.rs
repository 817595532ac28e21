//! Hosts whose keys a test may change: with key files, a config and an administrator of its own. Afterwards they have the lab's again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{Lab, Said, Server, run};

/// The hosts of a test of keys.
pub struct Fleet<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// The names of the hosts.
    pub hosts: Vec<&'static str>,
    dir: tempfile::TempDir,
    config: PathBuf,
}

impl<'a> Fleet<'a> {
    /// These hosts, which the lab has deployed to, with copies of the lab's keys.
    pub fn new(lab: &'a Lab, hosts: &[&'static str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for key in ["reader", "runner"] {
            std::fs::copy(lab.key(key), dir.path().join(key)).unwrap();
            std::fs::copy(lab.key(&format!("{key}.pub")), dir.path().join(format!("{key}.pub"))).unwrap();
        }
        let text = std::fs::read_to_string(lab.file("mcp-linux-infra.toml")).unwrap();
        let listed: String = text
            .split("\n[[hosts]]\n")
            .skip(1)
            .filter(|h| hosts.iter().any(|name| h.starts_with(&format!("name = \"{name}\"\n"))))
            .flat_map(|h| ["\n[[hosts]]\n", h])
            .collect();
        assert_eq!(
            listed.matches("[[hosts]]").count(),
            hosts.len(),
            "LAB_DIRECT=5 lab/up.sh 5; lab/deploy.sh t1 … t5"
        );
        let config = dir.path().join("config.toml");
        let head = format!(
            "known_hosts = \"none\"\napprovers = \"{}\"\n[defaults]\nreader_key = \"reader\"\nrunner_key = \"runner\"\n\
             [admin]\nuser = \"ops\"\nkey = \"{}\"\n[limits]\nconnect_seconds = 5\ncalls_per_minute = 100000\n",
            lab.file("approvers").display(),
            lab.key("ops").display()
        );
        std::fs::write(&config, head + &listed).unwrap();
        Self { lab, hosts: hosts.to_vec(), dir, config }
    }

    /// A server with a state of its own.
    pub fn server(&self) -> Server<'a> {
        Server::with_config(self.lab, self.config.clone())
    }

    /// A key file of the server.
    pub fn key(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What lies beside the key files.
    pub fn files(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// Runs a subcommand with `--json`; its exit status and its answer.
    pub fn ask(&self, server: &Server<'_>, arguments: &[&str]) -> (i32, Value) {
        let said = server.cli(&[arguments, &["--json"]].concat());
        let answer = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"));
        (said.exit, answer)
    }

    /// Whether a host takes a key, by plain OpenSSH.
    pub fn takes(&self, host: &str, user: &str, key: &Path) -> bool {
        let said = self.log_in(host, user, key);
        assert!(said.exit == 126 || said.err.contains("Permission denied"), "{host}: {said:?}");
        said.exit == 126
    }

    fn log_in(&self, host: &str, user: &str, key: &Path) -> Said {
        let mut command = self.lab.inside("ssh");
        let known = format!("UserKnownHostsFile={}", self.lab.file("known_hosts").display());
        command
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", &known, "-i"])
            .arg(key);
        command.args(["-l", user, &self.lab.address(host), "true; true"]);
        run(&mut command, b"")
    }
}

impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab/deploy.sh");
        // All that the lab has: the script writes the lab's config for the hosts that it gets.
        let hosts = std::fs::read_to_string(self.lab.file("run/hosts")).unwrap();
        let hosts = hosts.lines().filter_map(|l| l.split(' ').next()).filter(|h| *h != "bastion");
        let status = Command::new(script).args(hosts).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !std::thread::panicking() {
            assert!(status.unwrap().success(), "the hosts are as they were");
        }
    }
}
