//! Private keys on disk.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PublicKey};

/// Loads an unencrypted private key that only its owner can read.
///
/// The error says what is wrong with the file and what to do.
pub fn load_private_key(path: &Path) -> Result<PrivateKey, String> {
    let shown = path.display();
    let meta = std::fs::metadata(path).map_err(|e| format!("key {shown}: {e}"))?;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!(
            "key {shown}: mode {mode:03o} lets others read it (owner uid {}): chmod 600 {shown}",
            meta.uid()
        ));
    }
    let key = PrivateKey::read_openssh_file(path).map_err(|e| format!("key {shown}: {e}"))?;
    if key.is_encrypted() {
        return Err(format!(
            "key {shown} is encrypted: the server cannot ask for a passphrase; use a key without one"
        ));
    }
    Ok(key)
}

/// `ssh-ed25519 AAAA…` and the SHA-256 fingerprint of a public key.
pub fn public_line(key: &PublicKey) -> (String, String) {
    let line = PublicKey::from(key.key_data().clone()).to_openssh().unwrap_or_default();
    (line, key.fingerprint(HashAlg::Sha256).to_string())
}

/// The line and the fingerprint, as [`public_line`] has them, of the text of a public key; the comment is left out.
pub fn read_public(text: &str) -> Result<(String, String), String> {
    PublicKey::from_openssh(text.trim()).map(|key| public_line(&key)).map_err(|e| e.to_string())
}

/// An Ed25519 key that was just made.
#[derive(Debug)]
pub struct NewKey(PrivateKey);

impl NewKey {
    /// Makes one, with a comment for people.
    pub fn make(comment: &str) -> Result<Self, String> {
        let mut key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519)
            .map_err(|e| e.to_string())?;
        key.set_comment(comment);
        Ok(Self(key))
    }

    /// The private key as OpenSSH writes it, without a passphrase.
    pub fn private_text(&self) -> Result<String, String> {
        self.0.to_openssh(LineEnding::LF).map(|text| text.to_string()).map_err(|e| e.to_string())
    }

    /// As [`public_line`].
    pub fn public_line(&self) -> (String, String) {
        public_line(self.0.public_key())
    }
}
