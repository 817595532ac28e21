//! Whether the server and its hosts are fit for work: named checks, each failed one with its cause and what mends it.

mod facts;
mod probe;
mod server;

use serde::Serialize;

pub use facts::{Here, judge};
pub(crate) use probe::{FOR_A_SHELL, refused_by};
pub use server::{provider, server};

use crate::app::App;
use crate::config::Host;
use crate::hosts::hygiene::clean;
use crate::recovery::{RecoveryError, describe};
use crate::store::now_ms;

/// One check and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked, in one word.
    pub check: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found; the cause when it is not.
    pub detail: String,
    /// What mends it; absent when it is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Check {
    pub(crate) fn well(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, ok: true, detail: detail.into(), mend: None }
    }

    pub(crate) fn ill(check: &'static str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, ok: false, detail: detail.into(), mend: Some(mend.into()) }
    }

    /// Well when `ok`; `mend` counts only when not.
    fn same(check: &'static str, ok: bool, detail: String, mend: String) -> Self {
        if ok { Self::well(check, detail) } else { Self::ill(check, detail, mend) }
    }

    /// Without what a host could have put in: its words are data.
    fn cleaned(mut self) -> Self {
        self.detail = clean(self.detail.as_bytes()).text;
        self.mend = self.mend.map(|m| clean(m.as_bytes()).text);
        self
    }
}

/// The checks of one host, over the network. What cannot be known, as an earlier check failed, has no row.
pub async fn host(app: &App, host: &Host) -> Vec<Check> {
    let mut checks = match describe(app, host).await {
        Err(e) => vec![reached(host, &e)],
        Ok(facts) => {
            let mut checks = vec![
                Check::well("reachable", format!("{}:{}", host.address, host.port)),
                Check::well("host_key", if host.host_key.is_some() { "pinned" } else { "in known_hosts" }),
                Check::well("reader", format!("{} is logged in", host.reader_user)),
            ];
            checks.push(probe::forced_command(app, host).await);
            checks.extend(judge(&facts, host, &Here::of(app), now_ms() / 1000));
            checks.extend(probe::runner(app, host).await);
            checks
        }
    };
    checks = checks.into_iter().map(Check::cleaned).collect();
    checks
}

/// The step of the way to a host that failed. Those before it are not claimed to be well: a key that cannot be read here fails before
/// the host was ever asked.
fn reached(host: &Host, e: &RecoveryError) -> Check {
    let step = match e.code() {
        "host_key" => "host_key",
        "login" => "reader",
        "not_deployed" => "forced_command",
        _ => "reachable",
    };
    Check::ill(step, e.to_string(), mend(host, e))
}

fn mend(host: &Host, e: &RecoveryError) -> String {
    match e.code() {
        "unreachable" => format!(
            "is {0}:{1} up, does sshd run (systemctl status ssh), and is the way there open? Try: nc -vz {0} {1}",
            host.address, host.port
        ),
        "timed_out" | "connection_lost" => {
            format!("look at the load and the network of {}, then try again", host.name)
        }
        "host_key" => {
            "compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host's console before changing host_key or \
             known_hosts"
                .to_owned()
        }
        "login" => {
            "put this account's public key on the host: scripts/install-target.sh --reader-key … --runner-key …".to_owned()
        }
        "not_deployed" => "install the target programs again: scripts/install-target.sh; then read its target.toml and plugins.d for \
                           what the cause names"
            .to_owned(),
        _ => "see the cause; mcp-linux-infra audit tail shows what was asked".to_owned(),
    }
}

#[cfg(test)]
mod tests;
