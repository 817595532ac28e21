//! End-to-end tests: the real programs on real hosts.
//!
//! The lab (`lab/up.sh`, `lab/deploy.sh`) must be up; `scripts/test.sh` does that. Every command that talks to a host starts in
//! the lab's own network namespace, which has no route out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

pub mod ansible;
pub mod attacks;
pub mod channels;
pub mod fixture;
pub mod fleet;
pub mod grant;
pub mod incidents;
pub mod kube;
pub mod mcp;
pub mod plain;
pub mod same;
pub mod state;
pub mod tree;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What a command gave back, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// Exit status; -1 for a signal.
    pub exit: i32,
}

impl From<Output> for Said {
    fn from(o: Output) -> Self {
        Self {
            out: String::from_utf8_lossy(&o.stdout).into_owned(),
            err: String::from_utf8_lossy(&o.stderr).into_owned(),
            exit: o.status.code().unwrap_or(-1),
        }
    }
}

/// Runs a command to its end with this input.
pub fn run(command: &mut Command, stdin: &[u8]) -> Said {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // A program that refuses need not read.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap().into()
}

/// The running lab.
pub struct Lab {
    home: PathBuf,
    name: String,
}

impl Lab {
    /// The lab that `scripts/test.sh` brought up, with hosts that are targets.
    pub fn get() -> Self {
        let lab = Self::bare();
        assert!(
            lab.home.join("mcp-linux-infra.toml").exists(),
            "the lab has no targets: lab/deploy.sh t1 t2, or run scripts/test.sh"
        );
        lab
    }

    /// The lab, whatever its hosts are.
    pub fn bare() -> Self {
        let name = std::env::var("LAB_NAME").unwrap_or_else(|_| "mcplab".into());
        let home =
            std::env::var("LAB_HOME").map_or_else(|_| Path::new("/var/tmp").join(&name), PathBuf::from);
        assert!(
            home.join("run").exists(),
            "the lab is not up: LAB_DIRECT=2 lab/up.sh 2, or run scripts/test.sh"
        );
        Self { home, name }
    }

    /// A file of the lab.
    pub fn file(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// A private key of the lab.
    pub fn key(&self, name: &str) -> PathBuf {
        self.home.join("keys").join(name)
    }

    /// A command that starts in the lab's namespace.
    pub fn inside(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}-ctl", self.name)]).arg(program);
        command
    }

    /// Address of a host.
    pub fn address(&self, host: &str) -> String {
        let hosts = std::fs::read_to_string(self.home.join("run/hosts")).unwrap();
        let line = hosts.lines().find(|l| l.split(' ').next() == Some(host)).expect("the host is up");
        line.split(' ').nth(1).unwrap().to_owned()
    }

    /// Plain OpenSSH as an account of a host.
    pub fn ssh(&self, account: &str, host: &str, options: &[&str]) -> Command {
        let key = if account == "mcp-reader" { "reader" } else { "runner" };
        let mut command = self.inside("ssh");
        command
            .args([
                "-F",
                "none",
                "-o",
                "BatchMode=yes",
                "-o",
                "IdentitiesOnly=yes",
                "-o",
                "StrictHostKeyChecking=yes",
                "-o",
                "ConnectTimeout=10",
            ])
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", self.file("known_hosts").display()))
            .arg("-i")
            .arg(self.key(key))
            .args(options)
            .arg(format!("{account}@{}", self.address(host)));
        command
    }

    /// A line as the reader.
    pub fn read(&self, host: &str, line: &str) -> Said {
        run(self.ssh("mcp-reader", host, &[]).arg(line), b"")
    }

    /// A session of the administrator that stays: then there is one to list, whoever looks.
    pub fn session(&self, host: &str) -> Session {
        let mut command = self.inside("ssh");
        command.arg("-F").arg(self.file("ssh_config")).args(["-T", "-o", "BatchMode=yes", host, "cat"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        // What comes back tells that the session is there.
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        Session(child)
    }

    /// An envelope to the runner.
    pub fn hand_over(&self, host: &str, envelope: &[u8]) -> Said {
        run(self.ssh("pra-runner", host, &[]).arg("grant"), envelope)
    }

    /// A shell line as root in a host, without ssh.
    pub fn root(&self, host: &str, line: &str) -> Said {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab/host.sh");
        run(Command::new(script).args(["exec", host, "/bin/bash", "-c", line]), b"")
    }

    /// As [`Lab::root`]; it must succeed.
    pub fn must(&self, host: &str, line: &str) -> String {
        let said = self.root(host, line);
        assert_eq!(said.exit, 0, "{line}: {said:?}");
        said.out.trim().to_owned()
    }

    /// The server's program.
    pub fn program() -> PathBuf {
        let target = std::env::var("CARGO_TARGET_DIR")
            .map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
        let program = target.join("debug/mcp-linux-infra");
        assert!(program.exists(), "{} is missing: cargo build -p mcp-linux-infra", program.display());
        program
    }
}

/// A session that ends with this value.
pub struct Session(std::process::Child);

impl Drop for Session {
    fn drop(&mut self) {
        // cat ends with its input.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// A server's state of its own, so that tests do not see each other's proposals.
pub struct Server<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// Its folder.
    pub dir: tempfile::TempDir,
    config: PathBuf,
}

impl<'a> Server<'a> {
    /// A fresh state folder over the lab's configuration.
    pub fn new(lab: &'a Lab) -> Self {
        Self::with_config(lab, lab.file("mcp-linux-infra.toml"))
    }

    /// A fresh state folder over another configuration in the lab's folder, which its paths are relative to.
    pub fn with_config(lab: &'a Lab, config: PathBuf) -> Self {
        Self { lab, dir: tempfile::tempdir().unwrap(), config }
    }

    /// A command line of the server's program.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.lab.inside(Lab::program());
        command
            .arg("--config")
            .arg(&self.config)
            .args(arguments)
            .env("XDG_STATE_HOME", self.dir.path())
            .env_remove("LINUX_MCP_CONFIG");
        command
    }

    /// Runs a subcommand.
    pub fn cli(&self, arguments: &[&str]) -> Said {
        run(&mut self.command(arguments), b"")
    }
}
