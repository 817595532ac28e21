//! The playbooks, run against lab hosts as an administrator runs them: `ansible-playbook` on the controller, the account `ops` with sudo
//! on the hosts.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::{Lab, Said, run};

/// A controller with an inventory of its own.
pub struct Controller<'a> {
    lab: &'a Lab,
    hosts: Vec<&'a str>,
    home: tempfile::TempDir,
    programs: PathBuf,
    /// Variables of all hosts.
    pub vars: Value,
}

/// What the recap says of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recap {
    /// Tasks that changed something.
    pub changed: u32,
    /// Tasks that failed.
    pub failed: u32,
    /// Whether the host was not reached.
    pub unreachable: u32,
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

impl<'a> Controller<'a> {
    /// For these hosts, with the lab's keys, which are made where they are missing.
    pub fn new(lab: &'a Lab, hosts: &[&'a str]) -> Self {
        for key in ["reader", "runner", "alice", "bob"] {
            make_key(&lab.key(key));
        }
        let home = tempfile::tempdir().unwrap();
        let public = |name: &str| std::fs::read_to_string(lab.key(name).with_extension("pub")).unwrap();
        let approvers: String = ["alice", "bob"]
            .iter()
            .map(|p| {
                let key: Vec<String> = public(p).split(' ').take(2).map(str::to_owned).collect();
                format!("{p}@example.org {}\n", key.join(" "))
            })
            .collect();
        std::fs::write(home.path().join("approvers"), &approvers).unwrap();
        let vars = json!({
            "ansible_user": "ops",
            "ansible_ssh_common_args": format!("-F \"{}\"", lab.file("ssh_config").display()),
            "mcp_infra_reader_keys": [public("reader")],
            "mcp_infra_runner_keys": [{ "key": public("runner") }],
            "mcp_infra_approvers": approvers,
            "mcp_infra_verify_reader_identity": lab.key("reader"),
            "mcp_infra_verify_runner_identity": lab.key("runner"),
            "mcp_infra_log_group": true,
        });
        let said = run(&mut Command::new(top().join("scripts/ansible-venv.sh")), b"");
        assert_eq!(said.exit, 0, "{said:?}");
        Self { lab, hosts: hosts.to_vec(), home, programs: said.out.trim().into(), vars }
    }

    /// Its folder: `approvers` is there, and what a test puts there.
    pub fn folder(&self) -> &Path {
        self.home.path()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.lab.inside(self.programs.join(program));
        let inventory = json!({ "mcp_targets": {
            "hosts": self.hosts.iter().map(|h| ((*h).to_owned(), json!({}))).collect::<serde_json::Map<_, _>>(),
            "vars": self.vars,
        }});
        let file = self.folder().join("inventory.json");
        std::fs::write(&file, inventory.to_string()).unwrap();
        command
            .current_dir(top().join("ansible"))
            .env("ANSIBLE_CONFIG", top().join("ansible/ansible.cfg"))
            .env("HOME", self.folder())
            .env("LC_ALL", "C.UTF-8")
            // A host of the lab answers at once, or not at all.
            .env("ANSIBLE_TIMEOUT", "5")
            .env("ANSIBLE_SSH_RETRIES", "0")
            .arg("-i")
            .arg(file);
        command
    }

    /// Runs a playbook with more variables.
    pub fn play(&self, playbook: &str, extra: &Value, arguments: &[&str]) -> Said {
        let mut command = self.command("ansible-playbook");
        command.arg(format!("playbooks/{playbook}.yml")).args(arguments).arg("-e").arg(extra.to_string());
        run(&mut command, b"")
    }

    /// As [`Controller::play`] for the deployment; it must succeed. What changed on the first host.
    pub fn deploy(&self, arguments: &[&str]) -> u32 {
        let said = self.play("deploy-mcp-infra", &json!({}), arguments);
        assert_eq!(said.exit, 0, "{said:?}");
        recap(&said, self.hosts[0]).changed
    }

    /// What Ansible says of the example inventory and all playbooks, without running any.
    pub fn syntax(&self) -> Said {
        let mut command = Command::new(self.programs.join("ansible-playbook"));
        command.current_dir(top().join("ansible")).env("HOME", self.folder()).env("LC_ALL", "C.UTF-8");
        command.arg("--list-hosts");
        for playbook in ["deploy-mcp-infra", "rotate-keys", "revoke", "uninstall"] {
            command.arg(format!("playbooks/{playbook}.yml"));
        }
        run(&mut command, b"")
    }

    /// One module on one host.
    pub fn module(&self, host: &str, module: &str, arguments: &str, vars: &Value) -> Said {
        let mut command = self.command("ansible");
        command.args([host, "-b", "-m", module, "-a", arguments, "-e"]).arg(vars.to_string());
        run(&mut command, b"")
    }
}

impl Drop for Controller<'_> {
    fn drop(&mut self) {
        self.disconnect();
    }
}

impl Controller<'_> {
    /// Ends the connections that Ansible keeps for a minute, each by its own socket.
    pub fn disconnect(&self) {
        let Ok(sockets) = std::fs::read_dir(self.folder().join(".ansible/cp")) else { return };
        for socket in sockets.flatten() {
            let mut exit = Command::new("ssh");
            exit.args(["-F", "none", "-O", "exit", "-S"]).arg(socket.path()).arg("host");
            run(&mut exit, b"");
        }
    }
}

/// Makes a key pair where there is none.
pub fn make_key(path: &Path) {
    if !path.exists() {
        let mut keygen = Command::new("ssh-keygen");
        let said = run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path), b"");
        assert_eq!(said.exit, 0, "{said:?}");
    }
}

/// The recap's line of a host.
pub fn recap(said: &Said, host: &str) -> Recap {
    let recap = said.out.split("PLAY RECAP").nth(1).unwrap_or_else(|| panic!("no recap: {said:?}"));
    let line = recap
        .lines()
        .find(|l| l.split(' ').next() == Some(host))
        .unwrap_or_else(|| panic!("no line of {host}: {said:?}"));
    let number = |name: &str| {
        let word = line.split_whitespace().find_map(|w| w.strip_prefix(name)?.strip_prefix('='));
        word.and_then(|w| w.parse().ok()).unwrap_or_else(|| panic!("no {name}: {line}"))
    };
    Recap { changed: number("changed"), failed: number("failed"), unreachable: number("unreachable") }
}
