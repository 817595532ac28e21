//! The key that a host shows, for a person to compare: what `ssh-keyscan` does.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use russh::client;
use russh::keys::{PublicKey, PublicKeyOrCertificate};

use super::hostkey::{HostKeys, Opinion};
use super::pool::{client_config, plain};
use super::public_line;
use crate::config::Host;

/// A key that a host has shown. Nobody has vouched for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownKey {
    /// `ssh-ed25519 AAAA…`
    pub line: String,
    /// `SHA256:…`
    pub fingerprint: String,
    /// `known_hosts` has this key for the host.
    pub known: bool,
    /// Why not to take it, when `known_hosts` has another key for the host.
    pub against: Option<String>,
}

/// Asks a host for its key, ends the connection at once and logs in nowhere.
///
/// The error says why there is none; a key that `known_hosts` revokes is an error too.
pub async fn shown_key(host: &Host, known_hosts: &[PathBuf], limit: Duration) -> Result<ShownKey, String> {
    let keys = HostKeys::of(host, known_hosts)?;
    let shown = Arc::new(OnceLock::new());
    let config = Arc::new(client_config(&keys, limit));
    let handler = Look { shown: Arc::clone(&shown) };
    let attempt = client::connect(config, (host.address.as_str(), host.port), handler);
    let cause = match tokio::time::timeout(limit, attempt).await {
        Ok(Ok(_)) => "the host showed no key".to_owned(),
        Ok(Err(e)) => plain(&e),
        Err(_) => format!("no answer within {} s", limit.as_secs()),
    };
    let key: &PublicKey = shown.get().ok_or_else(|| format!("{}:{}: {cause}", host.address, host.port))?;
    let (line, fingerprint) = public_line(key);
    let (known, against) = match keys.opinion(key) {
        Opinion::Same => (true, None),
        Opinion::Unknown => (false, None),
        Opinion::Other(cause) => (false, Some(cause)),
        Opinion::Revoked(cause) => return Err(cause),
    };
    Ok(ShownKey { line, fingerprint, known, against })
}

struct Look {
    shown: Arc<OnceLock<PublicKey>>,
}

impl client::Handler for Look {
    type Error = russh::Error;

    /// Keeps the key and refuses it: what comes after is of no use here.
    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        if let PublicKeyOrCertificate::PublicKey { key, .. } = shown {
            let _ = self.shown.set(key.clone());
        }
        Ok(false)
    }
}
