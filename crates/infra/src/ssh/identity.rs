//! Private keys on disk.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use russh::keys::{HashAlg, PrivateKey, PublicKey};

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
