//! Private keys on disk.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

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

/// The public line and the fingerprint of the private key in a file.
pub fn key_lines(path: &Path) -> Result<(String, String), String> {
    Ok(public_line(load_private_key(path)?.public_key()))
}

/// The file that belongs to a private key by this ending: `new` and `old` while a key is rotated. A link to a key is followed, so that
/// all who use the key find the same file.
pub fn beside(key: &Path, ending: &str) -> PathBuf {
    let key = std::fs::canonicalize(key).unwrap_or_else(|_| key.to_path_buf());
    let mut name = key.into_os_string();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

/// Makes an Ed25519 key without a passphrase in a new file with mode 0600, on disk when this returns; an existing file is replaced whole.
pub fn make_private_key(path: &Path, comment: &str) -> Result<(String, String), String> {
    let failed = |e: &dyn std::fmt::Display| format!("key {}: {e}", path.display());
    let key = NewKey::make(comment).map_err(|e| failed(&e))?;
    let text = key.private_text().map_err(|e| failed(&e))?;
    write_private(path, text.as_bytes()).map_err(|e| failed(&e))?;
    Ok(key.public_line())
}

/// Writes a file that only its owner reads, beside its place, then renames it there: whoever opens it finds it whole.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let fresh = beside(path, "part");
    match std::fs::remove_file(&fresh) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    sync_folder(path)
}

/// A rename is on disk once its folder is.
pub(crate) fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => std::fs::File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_whole_private_and_replaces_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reader");
        std::fs::write(beside(&path, "part"), "left by one that was killed").unwrap();
        let first = make_private_key(&path, "reader").unwrap();
        assert_eq!(key_lines(&path).unwrap(), first);
        assert!(first.0.starts_with("ssh-ed25519 AAAA") && first.1.starts_with("SHA256:"), "{first:?}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let second = make_private_key(&path, "reader").unwrap();
        assert_ne!(first, second);
        assert_eq!(key_lines(&path).unwrap(), second);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_belongs_to_a_link_lies_beside_the_key() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("real")).unwrap();
        let real = dir.path().join("real/reader");
        make_private_key(&real, "x").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(beside(&link, "old"), beside(&real, "old"));
    }
}
