//! The demo's target, left up by `demo --keep`: a real sshd or the embedded one, and the real `pra-run` beneath a folder.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mcp-linux-infra");

/// A running demo whose story is over and whose service is stopped; it ends with the value.
pub(crate) struct Demo {
    child: Child,
    dir: tempfile::TempDir,
    pub(crate) config: PathBuf,
}

/// How a program ended and what it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) exit: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            exit: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

impl Demo {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(PROGRAM)
            .args(["demo", "--keep"])
            .env("TMPDIR", dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.by_ref().map_while(Result::ok).find(|line| line.contains("approve with: "));
        let Some(ready) = ready else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the demo did not come up");
        };
        // What it says later must not fill a pipe that nobody reads.
        std::thread::spawn(move || lines.for_each(drop));
        let config = ready.split("--config ").nth(1).unwrap().split(' ').next().unwrap().into();
        let demo = Self { child, dir, config };
        assert_eq!(demo.systemctl("stop").exit, 0);
        assert!(!demo.service_runs());
        demo
    }

    /// A path in a folder of the test's own.
    pub(crate) fn own(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A path in the demo's folder.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.config.with_file_name(name)
    }

    pub(crate) fn key(&self, name: &str) -> String {
        self.at(&format!("{name}.key")).display().to_string()
    }

    fn systemctl(&self, verb: &str) -> Said {
        let mut command = Command::new(PROGRAM);
        command.args(["demo-target", "systemctl"]).arg(self.at("target")).args([verb, "demo-dns"]);
        command.output().unwrap().into()
    }

    pub(crate) fn service_runs(&self) -> bool {
        self.systemctl("is-active").exit == 0
    }

    /// A subcommand with another config.
    pub(crate) fn cli_with(&self, config: &Path, arguments: &[&str], stdin: Stdio) -> Said {
        let mut command = Command::new(PROGRAM);
        command.arg("--config").arg(config).args(arguments).current_dir(self.dir.path()).stdin(stdin);
        command.env_remove("SSH_AUTH_SOCK").output().unwrap().into()
    }

    pub(crate) fn cli(&self, arguments: &[&str]) -> Said {
        self.cli_with(&self.config, arguments, Stdio::null())
    }

    /// A subcommand that must work; what it prints.
    pub(crate) fn must(&self, arguments: &[&str]) -> String {
        let said = self.cli(arguments);
        assert_eq!(said.exit, 0, "{arguments:?}: {said:?}");
        said.out
    }

    /// A new proposal to restart the service; its id.
    pub(crate) fn propose(&self) -> String {
        let said = self.must(&[
            "tool",
            "call",
            "propose_pra_action",
            "--arg",
            "host=demo01",
            "--arg",
            "action=restart_demo_dns",
            "--arg",
            "rationale=names do not resolve",
            "--json",
        ]);
        let at = said.find("pr_").unwrap_or_else(|| panic!("no proposal: {said}"));
        said[at..at + 19].to_owned()
    }

    pub(crate) fn proposal(&self, id: &str) -> serde_json::Value {
        serde_json::from_str(&self.must(&["proposals", "show", id, "--json"])).unwrap()
    }

    pub(crate) fn state(&self, id: &str) -> String {
        self.proposal(id)["state"].as_str().unwrap().to_owned()
    }

    /// Has the server hand the grant over, as the assistant does.
    pub(crate) fn execute(&self, id: &str) -> Said {
        let token = format!("approval_token={id}");
        self.cli(&[
            "tool",
            "call",
            "execute_pra_action",
            "--arg",
            "host=demo01",
            "--arg",
            "action=restart_demo_dns",
            "--arg",
            &token,
            "--json",
        ])
    }

    /// Hands an envelope to the target without the server; the target's answer.
    pub(crate) fn hand_over(&self, envelope: &[u8]) -> serde_json::Value {
        let file = self.own("envelope");
        std::fs::write(&file, envelope).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["demo-target", "runner"]).arg(self.at("target")).env("SSH_ORIGINAL_COMMAND", "grant");
        let output = command.stdin(std::fs::File::open(file).unwrap()).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
    }

    /// The server's database, as somebody who took the server over has it.
    pub(crate) fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.at("state").join("state.db")).unwrap()
    }

    /// A key of `ssh-keygen`; its path.
    pub(crate) fn keygen(&self, name: &str) -> String {
        let path = self.own(name).display().to_string();
        let status =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &path]).status().unwrap();
        assert!(status.success());
        path
    }
}

/// Signs a file with `ssh-keygen`; the signature's path.
pub(crate) fn sign(key: &str, namespace: &str, file: &Path) -> String {
    let signature = format!("{}.sig", file.display());
    let _ = std::fs::remove_file(&signature);
    let mut command = Command::new("ssh-keygen");
    let output = command.args(["-q", "-Y", "sign", "-n", namespace, "-f", key]).arg(file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    signature
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It removes its folder and its programs by itself.
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
