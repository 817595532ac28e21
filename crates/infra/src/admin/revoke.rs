//! `keys revoke`: takes a key, an account's keys or an approver away from every host, at once.

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;
use serde_json::json;

use super::rotate::{takes, word};
use super::{Bundle, Channel, each};
use crate::config::Host;
use crate::ssh::{Account, beside, key_lines};
use crate::store::Audit;

/// Hosts at once: one that is down must not delay those that are not.
const AT_ONCE: usize = 128;

/// What is taken away.
#[derive(Debug, Clone)]
pub enum What {
    /// One key, wherever it stands: an account's or an approver's.
    Key(String),
    /// Every key of an account.
    Account(Account),
    /// A person who may approve.
    Approver(String),
}

/// What became of it on one host.
#[derive(Debug, Clone, Serialize)]
pub struct Revoked {
    /// Its name.
    pub host: String,
    /// Whether it is gone and, where this server has the key, a login with it is refused.
    pub ok: bool,
    /// From the command to the end of the script on this host: it is gone there, and sessions are ended.
    pub ms: u64,
    /// Whether a login with the key was tried, and refused.
    pub refused: Option<bool>,
    /// Why it is not gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl What {
    fn arguments(&self) -> Vec<&str> {
        match self {
            Self::Key(fingerprint) => vec!["--revoke", fingerprint],
            Self::Account(account) => vec!["--remove-key", word(*account), "all", "--end-sessions"],
            Self::Approver(name) => vec!["--remove-approver", name],
        }
    }

    /// The key files of this server that must be refused afterwards.
    fn files(&self, host: &Host) -> Vec<(Account, PathBuf)> {
        let all = [(Account::Reader, &host.reader_key), (Account::Runner, &host.runner_key)];
        let files = all.into_iter().flat_map(|(account, key)| {
            let with_neighbours = |k: &PathBuf| [k.clone(), beside(k, "new"), beside(k, "old")];
            key.iter().flat_map(with_neighbours).map(move |file| (account, file)).collect::<Vec<_>>()
        });
        let meant = |account: Account, file: &PathBuf| match (self, key_lines(file)) {
            (Self::Key(fingerprint), Ok((_, print))) => print == *fingerprint,
            (Self::Account(which), Ok(_)) => *which == account,
            _ => false,
        };
        files.filter(|(account, file)| meant(*account, file)).collect()
    }
}

/// Takes it away from all these hosts; the answers come in the order of the hosts.
pub async fn revoke(channel: &Channel<'_>, what: &What, hosts: &[&Host]) -> Result<Vec<Revoked>, String> {
    let bundle = Bundle::new(&what.arguments())?;
    let begun = Instant::now();
    Ok(each(hosts, AT_ONCE, |host| one(channel, what, host, &bundle, begun)).await)
}

async fn one(channel: &Channel<'_>, what: &What, host: &Host, bundle: &Bundle, begun: Instant) -> Revoked {
    let ran = channel.run(host, bundle).await.map_err(|e| e.to_string());
    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut row = Revoked { host: host.name.to_string(), ok: false, ms, refused: None, error: None };
    let verified = match ran {
        Ok(_) => verify(channel, what, host, &mut row).await,
        Err(e) => Err(e),
    };
    row.ok = verified.is_ok();
    row.error = verified.err();
    let data = json!({ "host": host.name, "what": what.arguments(), "ok": row.ok, "refused": row.refused, "ms": ms });
    // It is done already: a record that fails changes only what is said of it.
    if let Err(e) = channel.app().audit(&Audit { event: "key_revoked", data }).await {
        row.ok = false;
        row.error = Some(format!("no audit record could be written: {e}"));
    }
    row
}

async fn verify(channel: &Channel<'_>, what: &What, host: &Host, row: &mut Revoked) -> Result<(), String> {
    for (account, file) in what.files(host) {
        let taken = takes(channel, host, account, &file).await?;
        row.refused = Some(!taken && row.refused != Some(false));
        if taken {
            return Err(format!(
                "the key of {} was taken away, and is still good: sshd finds it elsewhere; doctor --harden says where",
                file.display()
            ));
        }
    }
    Ok(())
}
