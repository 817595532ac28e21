//! Which host key is right: pinned in the inventory, or in an OpenSSH `known_hosts` file.
//!
//! There is no trust on first use. `@revoked` lines are honoured, `@cert-authority` lines are passed over
//! (host certificates are not offered to the server in the key exchange).

use std::path::{Path, PathBuf};

use ring::hmac;
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, KnownHosts, Marker};
use russh::keys::{Algorithm, PublicKey};

use crate::config::{Host, glob};

use super::public_line;

/// What is known of a key that a host shows.
pub(super) enum Opinion {
    /// It is the host's.
    Same,
    /// Nobody knows any key of this host.
    Unknown,
    /// The host's key is another one; why, and what to do.
    Other(String),
    /// It must not be used.
    Revoked(String),
}

/// The keys that a host may show.
#[derive(Debug, Clone)]
pub struct HostKeys {
    trusted: Vec<PublicKey>,
    revoked: Vec<PublicKey>,
    /// Where they were looked up, for messages.
    source: String,
    name: String,
    lookup: String,
}

impl HostKeys {
    /// Looks the host up: the pinned key alone if there is one, else the `known_hosts` files.
    pub fn of(host: &Host, known_hosts: &[PathBuf]) -> Result<Self, String> {
        let lookup =
            if host.port == 22 { host.address.clone() } else { format!("[{}]:{}", host.address, host.port) };
        let mut keys = Self {
            trusted: Vec::new(),
            revoked: Vec::new(),
            source: String::new(),
            name: host.name.to_string(),
            lookup,
        };
        for file in known_hosts {
            keys.read_file(file)?;
        }
        if let Some(pinned) = &host.host_key {
            keys.trusted = vec![pinned.clone()];
            keys.source = String::from("the inventory");
        } else {
            keys.source = known_hosts.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ");
        }
        Ok(keys)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), String> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(format!("{}: {e}", path.display())),
        };
        // A line that this parser does not know (an old key type) cannot make another host trusted.
        for entry in KnownHosts::new(&text).flatten() {
            if !matches_host(&entry, &self.lookup) {
                continue;
            }
            match entry.marker() {
                // RSA host keys are not supported: the host is asked for another, which then is unknown.
                None if entry.public_key().algorithm().is_rsa() => {}
                None => self.trusted.push(entry.public_key().clone()),
                Some(Marker::Revoked) => self.revoked.push(entry.public_key().clone()),
                Some(Marker::CertAuthority) => {}
            }
        }
        Ok(())
    }

    /// The same trust as lines of a `known_hosts` file, under another name; without a trusted key the error says what to do.
    pub fn known_hosts(&self, name: &str) -> Result<String, String> {
        if self.trusted.is_empty() {
            return Err(format!(
                "the host key is unknown: set host_key for {} in the config, or add a line for {} to known_hosts",
                self.name, self.lookup
            ));
        }
        let line = |mark: &str, key: &PublicKey| format!("{mark}{name} {}\n", public_line(key).0);
        let trusted = self.trusted.iter().map(|k| line("", k));
        Ok(trusted.chain(self.revoked.iter().map(|k| line("@revoked ", k))).collect())
    }

    /// The algorithms to ask for, so that the host shows a key that we know.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let mut algorithms: Vec<Algorithm> = Vec::new();
        for key in &self.trusted {
            if !algorithms.contains(&key.algorithm()) {
                algorithms.push(key.algorithm());
            }
        }
        algorithms
    }

    /// Says whether `shown` is right; the error names the key, the place and the next step.
    pub fn check(&self, shown: &PublicKey) -> Result<(), String> {
        match self.opinion(shown) {
            Opinion::Same => Ok(()),
            Opinion::Revoked(cause) | Opinion::Other(cause) => Err(cause),
            Opinion::Unknown => {
                let (line, fingerprint) = public_line(shown);
                Err(format!(
                    "the host key is unknown ({fingerprint}); compare it with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the \
                     host, then set host_key = \"{line}\" for {} in the config, or add '{} {line}' to known_hosts",
                    self.name, self.lookup
                ))
            }
        }
    }

    /// What is known of `shown`.
    pub(super) fn opinion(&self, shown: &PublicKey) -> Opinion {
        let same = |k: &PublicKey| k.key_data() == shown.key_data();
        let (_, fingerprint) = public_line(shown);
        if self.revoked.iter().any(same) {
            return Opinion::Revoked(format!(
                "the host key {fingerprint} is marked @revoked: do not connect; find out who answers there"
            ));
        }
        if self.trusted.iter().any(same) {
            return Opinion::Same;
        }
        if self.trusted.is_empty() {
            return Opinion::Unknown;
        }
        Opinion::Other(format!(
            "the host key CHANGED: it shows {fingerprint}, which is not what {} has; somebody may be in the middle. If the host was \
             really made anew, compare the fingerprint on its console and replace the old key there",
            self.source
        ))
    }
}

fn matches_host(entry: &Entry, lookup: &str) -> bool {
    match entry.host_patterns() {
        HostPatterns::Patterns(patterns) => {
            let hit = |p: &str| glob(p.as_bytes(), lookup.as_bytes());
            patterns.iter().any(|p| !p.starts_with('!') && hit(p))
                && !patterns.iter().any(|p| p.strip_prefix('!').is_some_and(hit))
        }
        HostPatterns::HashedName { salt, hash } => {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
            hmac::verify(&key, lookup.as_bytes(), hash).is_ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment};
    use russh::keys::PrivateKey;

    fn key() -> PublicKey {
        PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519)
            .unwrap()
            .public_key()
            .clone()
    }

    fn host(extra: &str) -> Host {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, format!("[[hosts]]\nname = \"web01\"\naddress = \"192.0.2.7\"\n{extra}"))
            .unwrap();
        Config::load(Some(&path), &Environment::from([("HOME", "/h")]))
            .unwrap()
            .inventory
            .get("web01")
            .unwrap()
            .clone()
    }

    fn known(lines: &str) -> (tempfile::TempDir, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known_hosts");
        std::fs::write(&file, lines).unwrap();
        (dir, vec![file])
    }

    #[test]
    fn an_unknown_key_is_refused_and_the_message_gives_the_line_to_add() {
        let shown = key();
        let error = HostKeys::of(&host(""), &[]).unwrap().check(&shown).unwrap_err();
        assert!(error.contains("unknown") && error.contains(&public_line(&shown).0), "{error}");
        assert!(HostKeys::of(&host(""), &[]).unwrap().known_hosts("web01").unwrap_err().contains("unknown"));
    }

    #[test]
    fn a_changed_key_is_refused_also_when_the_new_one_is_of_another_type() {
        let (_dir, files) = known(&format!("192.0.2.7 {}\n", public_line(&key()).0));
        let error = HostKeys::of(&host(""), &files).unwrap().check(&key()).unwrap_err();
        assert!(error.contains("CHANGED"), "{error}");
    }

    #[test]
    fn revoked_beats_pinned() {
        let shown = key();
        let line = public_line(&shown).0;
        let (_dir, files) = known(&format!("@revoked * {line}\n"));
        let host = host(&format!("host_key = \"{line}\"\n"));
        assert!(HostKeys::of(&host, &files).unwrap().check(&shown).unwrap_err().contains("revoked"));
        assert!(HostKeys::of(&host, &[]).unwrap().check(&shown).is_ok());
        let told = HostKeys::of(&host, &files).unwrap().known_hosts("web01").unwrap();
        assert_eq!(told, format!("web01 {line}\n@revoked web01 {line}\n"));
    }

    #[test]
    fn a_pinned_key_makes_known_hosts_irrelevant() {
        let (pinned, other) = (key(), key());
        let (_dir, files) = known(&format!("192.0.2.7 {}\n", public_line(&other).0));
        let keys =
            HostKeys::of(&host(&format!("host_key = \"{}\"\n", public_line(&pinned).0)), &files).unwrap();
        assert!(keys.check(&pinned).is_ok() && keys.check(&other).is_err());
    }

    #[test]
    fn ports_hashes_patterns_and_authorities() {
        let shown = key();
        let line = public_line(&shown).0;
        let at = |lines: &str, extra: &str| {
            let (_dir, files) = known(lines);
            HostKeys::of(&host(extra), &files).unwrap().check(&shown).is_ok()
        };
        assert!(at(&format!("[192.0.2.7]:2222 {line}\n"), "port = 2222\n"));
        assert!(!at(&format!("192.0.2.7 {line}\n"), "port = 2222\n"));
        assert!(at(&format!("192.0.2.* {line}\n"), ""));
        assert!(!at(&format!("192.0.2.*,!192.0.2.7 {line}\n"), ""));
        assert!(!at(&format!("@cert-authority * {line}\n"), ""));
    }
}
