//! A rotation on disk: the key files beside each other, and how far each host is. Whatever is cut off, at whatever moment, the next
//! run finds out from these files where it was.
//!
//! | file | is |
//! |---|---|
//! | `KEY` | what the server logs in with |
//! | `KEY.new` | the new key, until it takes the place of `KEY` by one rename |
//! | `KEY.old` | the old key, from the rename until no host takes it; the server offers it where `KEY` is refused |
//! | `KEY.rotation` | the state, JSON; there is one as long as the rotation is not done |

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ssh::{beside, key_lines, make_private_key, write_private};

/// How far a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Nothing was done yet.
    Waiting,
    /// The new key stands beside the old.
    Added,
    /// A login with the new key has worked.
    Verified,
    /// The old key was taken away.
    Removed,
    /// A login with the old key was refused: done.
    Refused,
}

/// What is written down.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    pub(super) account: String,
    /// Fingerprint of the old key.
    pub(super) old: String,
    /// Fingerprint of the new key.
    pub(super) new: String,
    /// The new public key.
    pub(super) line: String,
    pub(super) hosts: BTreeMap<String, Step>,
}

/// A rotation under way. The value holds a lock: one at a time for a key.
#[derive(Debug)]
pub(super) struct Rotation {
    key: PathBuf,
    pub(super) state: State,
    _lock: File,
}

impl Rotation {
    /// Begins one, or goes on with the one that was begun. `Ok(None)`: there is nothing to go on with.
    pub(super) fn open(
        key: &Path,
        account: &str,
        hosts: &[&str],
        resume: bool,
    ) -> Result<Option<Self>, String> {
        let lock = lock(key)?;
        let key = key.to_path_buf();
        let file = beside(&key, "rotation");
        match (std::fs::read(&file), resume) {
            (Ok(text), true) => {
                let mut state: State =
                    serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", file.display()))?;
                if state.account != account {
                    return Err(format!("{} is a rotation of {}", file.display(), state.account));
                }
                // A host that has left the inventory holds nobody up; one that has joined since has the old key alone.
                state.hosts.retain(|host, _| hosts.contains(&host.as_str()));
                for host in hosts {
                    state.hosts.entry((*host).to_owned()).or_insert(Step::Waiting);
                }
                Ok(Some(Self { key, state, _lock: lock }))
            }
            (Ok(_), false) => Err(format!(
                "a rotation of {} is not done yet ({}): go on with --resume",
                key.display(),
                file.display()
            )),
            (Err(e), true) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            (Err(e), false) if e.kind() == std::io::ErrorKind::NotFound => {
                Self::begin(key, account, hosts, lock).map(Some)
            }
            (Err(e), _) => Err(format!("{}: {e}", file.display())),
        }
    }

    fn begin(key: PathBuf, account: &str, hosts: &[&str], lock: File) -> Result<Self, String> {
        let (_, old) = key_lines(&key)?;
        // One that lies there without a state went to no host.
        let (line, new) = make_private_key(&beside(&key, "new"), &format!("mcp-linux-infra {account}"))?;
        let hosts = hosts.iter().map(|h| ((*h).to_owned(), Step::Waiting)).collect();
        let state = State { account: account.to_owned(), old, new, line, hosts };
        let rotation = Self { key, state, _lock: lock };
        rotation.save()?;
        Ok(rotation)
    }

    /// Notes how far a host is; on disk when this returns.
    pub(super) fn note(&mut self, host: &str, step: Step) -> Result<(), String> {
        self.state.hosts.insert(host.to_owned(), step);
        self.save()
    }

    fn save(&self) -> Result<(), String> {
        let file = beside(&self.key, "rotation");
        let text = serde_json::to_vec_pretty(&self.state).map_err(|e| e.to_string())?;
        write_private(&file, &text).map_err(|e| format!("{}: {e}", file.display()))
    }

    /// Whether the server logs in with the new key already.
    pub(super) fn switched(&self) -> Result<bool, String> {
        Ok(key_lines(&self.key)?.1 == self.state.new)
    }

    /// The file of the new key.
    pub(super) fn new_key(&self) -> Result<PathBuf, String> {
        Ok(if self.switched()? { self.key.clone() } else { beside(&self.key, "new") })
    }

    /// The file of the old key.
    pub(super) fn old_key(&self) -> Result<PathBuf, String> {
        Ok(if self.switched()? { beside(&self.key, "old") } else { self.key.clone() })
    }

    /// Puts the new key into the place of the old by one rename. Sessions that are open go on; the server reads the file for each new one.
    pub(super) fn switch(&self) -> Result<(), String> {
        if self.switched()? {
            return self.public_half();
        }
        let real = std::fs::canonicalize(&self.key).map_err(|e| self.wrong(&e))?;
        let bytes = std::fs::read(&real).map_err(|e| self.wrong(&e))?;
        write_private(&beside(&self.key, "old"), &bytes).map_err(|e| self.wrong(&e))?;
        std::fs::rename(beside(&self.key, "new"), &real).map_err(|e| self.wrong(&e))?;
        crate::ssh::sync_folder(&real).map_err(|e| self.wrong(&e))?;
        self.public_half()
    }

    /// `KEY.pub`, where there is one, is the key's.
    fn public_half(&self) -> Result<(), String> {
        let public = beside(&self.key, "pub");
        if !public.exists() {
            return Ok(());
        }
        let text = format!("{} mcp-linux-infra {}\n", self.state.line, self.state.account);
        write_private(&public, text.as_bytes()).map_err(|e| self.wrong(&e))?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(&public, readable).map_err(|e| self.wrong(&e))
    }

    /// Whether every host is done.
    pub(super) fn done(&self) -> bool {
        self.state.hosts.values().all(|step| *step == Step::Refused)
    }

    /// Takes the old key and the state away. The state goes last.
    pub(super) fn finish(self) -> Result<(), String> {
        for ending in ["old", "rotation"] {
            let file = beside(&self.key, ending);
            match std::fs::remove_file(&file) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(self.wrong(&e)),
                _ => {}
            }
        }
        Ok(())
    }

    fn wrong(&self, e: &std::io::Error) -> String {
        format!("key {}: {e}", self.key.display())
    }
}

/// The key's folder is locked: a file of its own would be one more thing to leave behind.
fn lock(key: &Path) -> Result<File, String> {
    let real = std::fs::canonicalize(key).map_err(|e| format!("key {}: {e}", key.display()))?;
    let folder = real.parent().unwrap_or(Path::new("/"));
    let lock = File::open(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    lock.try_lock().map_err(|_| format!("another rotation is at work in {}", folder.display()))?;
    Ok(lock)
}
