//! Ways to get a signature out of a person's key: a key file, ssh-agent, or `ssh-keygen` for keys that ask
//! for something (a passphrase, a touch).

use std::path::{Path, PathBuf};
use std::process::Stdio;

use russh::keys::ssh_key::{LineEnding, SshSig};
use russh::keys::{HashAlg, PrivateKey, PublicKey};

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SignerError(String);

/// Where the signature comes from.
#[derive(Debug, Clone)]
pub enum Signer {
    /// A key file without a passphrase.
    File(Box<PrivateKey>, PathBuf),
    /// A key that asks for a passphrase or a touch, or whose private half an agent holds: `ssh-keygen` does it.
    Keygen(PathBuf),
    /// A key in ssh-agent.
    Agent(Box<PublicKey>, String),
}

impl Signer {
    /// The key of `--key FILE`.
    pub fn from_file(path: &Path) -> Result<Self, SignerError> {
        let text =
            std::fs::read_to_string(path).map_err(|e| SignerError(format!("{}: {e}", path.display())))?;
        if PublicKey::from_openssh(&text).is_ok() {
            return Ok(Self::Keygen(path.to_path_buf()));
        }
        let key = PrivateKey::from_openssh(&text).map_err(|e| {
            SignerError(format!("{}: {e}; expected an OpenSSH private key or a .pub file", path.display()))
        })?;
        if key.is_encrypted() || key.algorithm().as_str().starts_with("sk-") {
            return Ok(Self::Keygen(path.to_path_buf()));
        }
        Ok(Self::File(Box::new(key), path.to_path_buf()))
    }

    /// The only key that ssh-agent holds.
    pub async fn from_agent() -> Result<Self, SignerError> {
        use russh::keys::agent::{AgentIdentity, client::AgentClient};
        let hint = "name the key with --key FILE";
        let mut agent = AgentClient::connect_env()
            .await
            .map_err(|e| SignerError(format!("no ssh-agent ({e}): {hint}")))?;
        let mut keys: Vec<(PublicKey, String)> = agent
            .request_identities()
            .await
            .map_err(|e| SignerError(format!("ssh-agent: {e}: {hint}")))?
            .into_iter()
            .filter_map(|identity| match identity {
                AgentIdentity::PublicKey { key, comment } => Some((key, comment)),
                AgentIdentity::Certificate { .. } => None,
            })
            .collect();
        match (keys.pop(), keys.len()) {
            (Some((key, comment)), 0) => Ok(Self::Agent(Box::new(key), comment)),
            (None, _) => Err(SignerError(format!("ssh-agent holds no key: {hint}"))),
            (Some(_), more) => {
                Err(SignerError(format!("ssh-agent holds {} keys: name one with --key FILE.pub", more + 1)))
            }
        }
    }

    /// The public key of an agent's key, as `ssh-ed25519 AAAA…`.
    pub fn agent_line(&self) -> Option<String> {
        match self {
            Self::Agent(key, _) => Some(crate::ssh::public_line(key).0),
            Self::File(..) | Self::Keygen(_) => None,
        }
    }

    /// How the key is called, for people.
    pub fn name(&self) -> &str {
        match self {
            Self::File(key, _) => key.comment().as_str_lossy(),
            Self::Keygen(path) => path.to_str().unwrap_or("key"),
            Self::Agent(_, comment) => comment,
        }
    }

    /// Fingerprint and place of the key, for people.
    pub fn describe(&self) -> String {
        match self {
            Self::File(key, path) => format!("{} ({})", key.fingerprint(HashAlg::Sha256), path.display()),
            Self::Keygen(path) => path.display().to_string(),
            Self::Agent(key, comment) => {
                format!("{} ({comment}, ssh-agent)", key.fingerprint(HashAlg::Sha256))
            }
        }
    }

    /// An armored SSHSIG over `message`.
    pub async fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, SignerError> {
        let fail =
            |e: &dyn std::fmt::Display| SignerError(format!("cannot sign with {}: {e}", self.describe()));
        match self {
            Self::File(key, _) => {
                let sig = key.sign(namespace, HashAlg::Sha512, message).map_err(|e| fail(&e))?;
                sig.to_pem(LineEnding::LF).map_err(|e| fail(&e))
            }
            Self::Agent(key, _) => {
                let mut agent =
                    russh::keys::agent::client::AgentClient::connect_env().await.map_err(|e| fail(&e))?;
                let data = SshSig::signed_data(namespace, HashAlg::Sha512, message).map_err(|e| fail(&e))?;
                let signature = agent.sign_request_signature(key, None, &data).await.map_err(|e| fail(&e))?;
                let sig = SshSig::new(key.key_data().clone(), namespace, HashAlg::Sha512, signature)
                    .map_err(|e| fail(&e))?;
                sig.to_pem(LineEnding::LF).map_err(|e| fail(&e))
            }
            Self::Keygen(path) => keygen(path, namespace, message).await.map_err(|e| fail(&e)),
        }
    }
}

/// `ssh-keygen -Y sign` reads the message on stdin and asks the person on the terminal.
async fn keygen(path: &Path, namespace: &str, message: &[u8]) -> Result<String, String> {
    use tokio::io::AsyncWriteExt;
    let mut child = tokio::process::Command::new("ssh-keygen")
        .args(["-Y", "sign", "-n", namespace, "-f"])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("ssh-keygen: {e}; install openssh-client"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(message).await.map_err(|e| e.to_string())?;
    }
    let output = child.wait_with_output().await.map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(format!("ssh-keygen ended with {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|e| e.to_string())
}
