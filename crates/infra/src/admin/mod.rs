//! What a person does to hosts as their administrator: deploy, audit, rotate and revoke keys.
//!
//! It goes over that person's own `ssh` and sudo, never over the server's keys, which can do none of it; and only subcommands come
//! here: the server has no way to this module, and `tests/arrows.rs` holds it to that. What is done on a host is always
//! `scripts/install-target.sh`.

mod bundle;
mod deploy;
mod harden;
mod revoke;
mod rotate;
mod rotation;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

pub use bundle::{Bundle, archive};
pub use deploy::{Plan, deploy};
pub use harden::{Drift, harden};
pub use revoke::{Revoked, What, revoke};
pub use rotate::{Outcome, Row, rotate};
pub use rotation::Step;

use crate::app::App;
use crate::config::{Admin, Host, is_login};
use crate::hosts::hygiene::clean;
use crate::ssh::HostKeys;
use crate::store::{Audit, StoreError};

/// Bytes kept of what a run says, of each stream.
const SAID_BYTES: usize = 1 << 20;

/// Why a run on a host did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// `ssh` cannot be started, or its files not be written.
    #[error("ssh: {0}")]
    Ssh(String),
    /// The host's key is not known.
    #[error("{0}")]
    HostKey(String),
    /// No connection or no login: nothing was done.
    #[error("no way in as the administrator: {0}")]
    Unreachable(String),
    /// The administrator may not use sudo without a password: nothing was done.
    #[error("{0}: this needs sudo without a password; scripts/deploy-manual.sh can be run with one")]
    Sudo(String),
    /// It did not end in time; it may go on.
    #[error("no end after {} s: it may still be at work there", .0.as_secs())]
    TimedOut(Duration),
    /// The script refused or failed.
    #[error("install-target.sh: {cause} (exit {exit:?})")]
    Failed {
        /// Its exit status.
        exit: Option<i32>,
        /// Its last words.
        cause: String,
    },
    /// No record, no run.
    #[error("no audit record could be written, so nothing was done: {0}")]
    Audit(#[from] StoreError),
    /// What would be sent is wrong.
    #[error("{0}")]
    Bundle(String),
}

/// What a run said.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// Its exit status.
    pub exit: Option<i32>,
    /// Standard output; untrusted.
    pub out: String,
    /// Standard error; untrusted.
    pub err: String,
}

/// The administrator's way to the hosts, for one subcommand.
#[derive(Debug)]
pub struct Channel<'a> {
    app: &'a App,
    admin: Admin,
    /// One `known_hosts` file a host.
    dir: tempfile::TempDir,
}

impl<'a> Channel<'a> {
    /// By the config's `[admin]`, and another login name if one is given.
    pub fn new(app: &'a App, user: Option<&str>) -> Result<Self, AdminError> {
        let mut admin = app.config().admin.clone();
        if let Some(user) = user {
            if !is_login(user) {
                return Err(AdminError::Ssh(format!("{user:?} is no login name")));
            }
            admin.user = Some(user.to_owned());
        }
        let dir = tempfile::tempdir().map_err(|e| AdminError::Ssh(e.to_string()))?;
        Ok(Self { app, admin, dir })
    }

    /// The server's parts.
    pub fn app(&self) -> &'a App {
        self.app
    }

    /// Runs the script as root on a host, and records that before and after. Any exit status but 0 is an error.
    pub async fn run(&self, host: &Host, bundle: &Bundle) -> Result<Said, AdminError> {
        let said = self.ask(host, bundle).await?;
        if said.exit == Some(0) { Ok(said) } else { Err(failed(&said)) }
    }

    /// As [`Self::run`]; an exit status of the script's own is no error.
    pub async fn ask(&self, host: &Host, bundle: &Bundle) -> Result<Said, AdminError> {
        let trusted = HostKeys::of(host, &self.app.config().known_hosts)
            .and_then(|keys| keys.known_hosts(&alias(host)))
            .map_err(AdminError::HostKey)?;
        let data = json!({ "host": host.name, "arguments": bundle.arguments() });
        let receipt = self.app.audit(&Audit { event: "admin", data }).await?;
        let started = Instant::now();
        let known = self.dir.path().join(host.name.as_str());
        let result = match std::fs::write(&known, trusted) {
            Err(e) => Err(AdminError::Ssh(e.to_string())),
            Ok(()) => self.through_ssh(host, &known, &bundle.tar()).await.and_then(judged),
        };
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let data = match &result {
            Ok(said) => json!({ "admin": receipt.seq(), "exit": said.exit, "ms": ms }),
            Err(e) => json!({ "admin": receipt.seq(), "error": e.to_string(), "ms": ms }),
        };
        self.app.audit(&Audit { event: "admin_end", data }).await?;
        result
    }

    async fn through_ssh(&self, host: &Host, known: &Path, input: &[u8]) -> Result<Said, AdminError> {
        let wrong = |e: std::io::Error| AdminError::Ssh(e.to_string());
        let limit = self.app.config().limits.action;
        let mut child = self.command(host, known).spawn().map_err(wrong)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // Who ends before it has read everything says why.
                let _ = stdin.write_all(input).await;
            }
        };
        let work = async {
            let ((), out, err, status) = tokio::join!(feed, kept(stdout), kept(stderr), child.wait());
            status.map(|status| Said { exit: status.code(), out, err }).map_err(wrong)
        };
        tokio::time::timeout(limit, work).await.map_err(|_| AdminError::TimedOut(limit))?
    }

    /// The system's `ssh`, which asks nobody anything and trusts the keys that the server trusts.
    fn command(&self, host: &Host, known: &Path) -> Command {
        let mut command = Command::new("ssh");
        if let Some(config) = &self.admin.ssh_config {
            command.arg("-F").arg(config);
        }
        command.args(["-T", "-x", "-a", "-p", &host.port.to_string()]);
        for option in STRICT {
            command.args(["-o", option]);
        }
        let seconds = self.app.config().limits.connect.as_secs();
        command.args([
            "-o",
            &format!("ConnectTimeout={seconds}"),
            "-o",
            &format!("HostKeyAlias={}", alias(host)),
        ]);
        command.args(["-o", &format!("UserKnownHostsFile=\"{}\"", known.display())]);
        if let Some(user) = &self.admin.user {
            command.args(["-l", user]);
        }
        if let Some(key) = &self.admin.key {
            command.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(key);
        }
        if let Some(jump) = &self.admin.jump {
            command.arg("-o").arg(format!("ProxyCommand={}", self.through(jump)));
        }
        command.args(["--", &host.address, bundle::REMOTE]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// What `ssh -J` does, but as strict: the options of the command line are not those of the jump. A shell reads this.
    fn through(&self, jump: &str) -> String {
        let quoted = |path: &Path| {
            format!("'{}'", path.display().to_string().replace('\'', r"'\''").replace('%', "%%"))
        };
        let mut words = String::from("exec ssh -T -x -a -o BatchMode=yes -o StrictHostKeyChecking=yes");
        if let Some(config) = &self.admin.ssh_config {
            words.push_str(&format!(" -F {}", quoted(config)));
        }
        if let Some(key) = &self.admin.key {
            words.push_str(&format!(" -o IdentitiesOnly=yes -i {}", quoted(key)));
        }
        format!("{words} -W '[%h]:%p' -- 'ssh://{jump}'")
    }
}

const STRICT: [&str; 10] = [
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=none",
    "UpdateHostKeys=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "ControlMaster=no",
    "ControlPath=none",
    "ServerAliveInterval=15",
];

/// The name by which `ssh` looks the host's key up; it does so in small letters.
fn alias(host: &Host) -> String {
    host.name.as_str().to_ascii_lowercase()
}

/// Reads to the end and keeps the beginning.
async fn kept(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let (mut kept, mut chunk) = (Vec::new(), vec![0_u8; 16 << 10]);
    // A stream that fails has ended.
    while let Ok(size @ 1..) = stream.read(&mut chunk).await {
        let room = SAID_BYTES.saturating_sub(kept.len());
        kept.extend_from_slice(&chunk[..size.min(room)]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Tells ssh's and sudo's failures from the script's. ssh ends with 255 and the script never does.
fn judged(said: Said) -> Result<Said, AdminError> {
    let last = || last_line(&said.err);
    match said.exit {
        Some(255) if said.err.contains("Host key verification failed") || said.err.contains("REVOKED") => {
            Err(AdminError::HostKey(format!("{}: the host's key is not the one that is pinned", last())))
        }
        Some(255) => Err(AdminError::Unreachable(last())),
        Some(1) if said.err.starts_with("sudo: ") => Err(AdminError::Sudo(last())),
        Some(_) => Ok(said),
        None => Err(failed(&said)),
    }
}

fn failed(said: &Said) -> AdminError {
    let cause = last_line(&said.err);
    AdminError::Failed { exit: said.exit, cause: cause.trim_start_matches("install-target: ").to_owned() }
}

fn last_line(text: &str) -> String {
    let line = text.lines().map(str::trim).rfind(|l| !l.is_empty()).unwrap_or("it said nothing");
    clean(line.as_bytes()).text
}

/// Does the work on every host, at most `at_once` at a time; the answers come in the order of the hosts.
pub(crate) async fn each<'h, T, F: Future<Output = T>>(
    hosts: &[&'h Host],
    at_once: usize,
    work: impl Fn(&'h Host) -> F,
) -> Vec<T> {
    let jobs: Vec<_> = hosts.iter().map(|host| work(host)).collect();
    futures::stream::iter(jobs).buffered(at_once.max(1)).collect().await
}

#[cfg(test)]
mod tests;
