//! The demo's SSH server: a real `sshd` as the calling user where one is installed, else an embedded one that
//! enforces the same forced commands.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::process::{Child, Command};

use super::embedded;
use super::place::{Place, quote, write};

/// A running SSH server.
pub(super) struct Server {
    pub(super) port: u16,
    /// What it is, for the person who watches.
    pub(super) what: &'static str,
    sshd: Option<Child>,
}

impl Server {
    /// Starts one on a free port of 127.0.0.1.
    pub(super) async fn start(place: &Place, user: &str) -> anyhow::Result<Self> {
        if let Some(program) = find_sshd() {
            match start_sshd(&program, place, user).await {
                Ok(server) => return Ok(server),
                Err(e) => eprintln!(
                    "  (sshd at {} does not serve an ordinary user here: {e:#}; using the embedded server)",
                    program.display()
                ),
            }
        }
        let port = embedded::start(place).await?;
        Ok(Self { port, what: "an embedded SSH server with the same forced commands", sshd: None })
    }

    /// Process id of sshd, if it is one.
    pub(super) fn pid(&self) -> Option<u32> {
        self.sshd.as_ref().and_then(Child::id)
    }

    /// Ends it; the embedded one ends with the program.
    pub(super) async fn stop(mut self) {
        if let Some(child) = &mut self.sshd {
            // It may be gone already.
            let _ = child.kill().await;
        }
    }
}

fn find_sshd() -> Option<PathBuf> {
    ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"].iter().map(PathBuf::from).find(|p| p.is_file())
}

async fn start_sshd(program: &Path, place: &Place, user: &str) -> anyhow::Result<Server> {
    let mut keys = String::new();
    for account in ["reader", "runner"] {
        let command = format!("{} demo-target {account} {}", quote(&place.program), quote(&place.root()));
        let escaped = command.replace('\\', "\\\\").replace('"', "\\\"");
        keys.push_str(&format!("restrict,command=\"{escaped}\" {}\n", place.public_key(account)?));
    }
    write(&place.path("authorized_keys"), keys.as_bytes(), 0o600)?;
    // The port is free at this moment; if another program takes it first, sshd fails and the embedded server serves.
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey \"{key}\"\nPidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nAuthorizedKeysFile \"{keys}\"\nDisableForwarding yes\nPermitUserRC no\n\
         AllowUsers {user}\n",
        key = place.path("host.key").display(),
        keys = place.path("authorized_keys").display(),
    );
    let file = place.path("sshd_config");
    write(&file, config.as_bytes(), 0o600)?;
    let log = std::fs::File::create(place.path("sshd.log"))?;
    let mut child = Command::new(program)
        .args(["-D", "-e", "-f"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .context("cannot start it")?;
    match usable(&mut child, port, place, user).await {
        Ok(()) => Ok(Server { port, what: "a real sshd, with forced commands", sshd: Some(child) }),
        Err(e) => {
            let _ = child.kill().await;
            let log = std::fs::read_to_string(place.path("sshd.log")).unwrap_or_default();
            Err(e.context(log.lines().last().unwrap_or_default().to_owned()))
        }
    }
}

/// Waits until a login with the reader's key gets an answer.
async fn usable(child: &mut Child, port: u16, place: &Place, user: &str) -> anyhow::Result<()> {
    let config = place.write_config(port, user)?;
    for _ in 0..50 {
        if let Some(status) = child.try_wait()? {
            anyhow::bail!("it ended with {status}");
        }
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            let probe = Command::new(&place.program)
                .arg("--config")
                .arg(&config)
                .args(["hosts", "check"])
                .output()
                .await?;
            anyhow::ensure!(probe.status.success(), "{}", String::from_utf8_lossy(&probe.stdout).trim());
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("it does not listen")
}
