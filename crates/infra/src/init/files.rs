//! Files that are written once: whole, with their mode from the start, and never over another.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{InitError, beside};
use crate::config::{Config, Environment};

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Made {
    /// It was not there.
    Made,
    /// It was there and is as it was.
    Kept,
    /// Something was added to it.
    Extended,
    /// The old one lies beside it as `NAME.replaced`.
    Replaced,
}

/// Not `old`, which is the key before while a rotation is under way.
pub(super) const REPLACED: &str = "replaced";

/// A file to write.
pub(super) struct Write {
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) mode: u32,
    pub(super) state: Made,
}

impl std::fmt::Debug for Write {
    /// Without the text, which may be a private key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Write").field("path", &self.path).field("state", &self.state).finish_non_exhaustive()
    }
}

/// Writes all; `config` is first tried as the server will read it, and put in place last.
pub(super) fn write_all(writes: &[Write], config: &Path, env: &Environment) -> Result<(), InitError> {
    for write in writes {
        if write.state == Made::Replaced && beside(&write.path, REPLACED).exists() {
            return Err(InitError::Usage(format!(
                "{} is there from an earlier replacement: move it away first",
                beside(&write.path, REPLACED).display()
            )));
        }
    }
    let (last, first): (Vec<_>, Vec<_>) = writes.iter().partition(|w| w.path == config);
    let tried = match last.first() {
        Some(write) => Some(New::create(write).map_err(|e| failed(&write.path, &e))?),
        None => None,
    };
    if let Some(tried) = &tried {
        Config::load(Some(&tried.path), env).map_err(|e| {
            InitError::Usage(format!(
                "{} cannot be extended ({}): add the host by hand, see docs/CONFIG.md",
                config.display(),
                e.cause
            ))
        })?;
    }
    for write in first {
        New::create(write).and_then(|new| new.put(write)).map_err(|e| failed(&write.path, &e))?;
    }
    match (tried, last.first()) {
        (Some(tried), Some(write)) => tried.put(write).map_err(|e| failed(&write.path, &e)),
        _ => Ok(()),
    }
}

fn failed(path: &Path, e: &io::Error) -> InitError {
    InitError::Failed(format!("{}: {e}", path.display()))
}

/// A file beside its place. It is removed with the value.
struct New {
    path: PathBuf,
}

impl New {
    fn create(write: &Write) -> io::Result<Self> {
        if let Some(folder) = write.path.parent().filter(|f| !f.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let path = beside(&write.path, &format!("new-{}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(write.mode).open(&path)?;
        let new = Self { path };
        // The umask may have taken bits away from a file that others should read.
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(write.mode))?;
        file.write_all(write.text.as_bytes())?;
        file.sync_all()?;
        Ok(new)
    }

    /// Puts it in its place. What was not there when it was planned must not be there now.
    fn put(self, write: &Write) -> io::Result<()> {
        match write.state {
            Made::Made | Made::Kept => fs::hard_link(&self.path, &write.path),
            Made::Replaced => {
                fs::hard_link(&write.path, beside(&write.path, REPLACED))?;
                fs::rename(&self.path, &write.path)
            }
            Made::Extended => {
                fs::set_permissions(&self.path, fs::metadata(&write.path)?.permissions())?;
                fs::rename(&self.path, &write.path)
            }
        }
    }
}

impl Drop for New {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
