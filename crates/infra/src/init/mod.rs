//! The first files of a server: its two keys, its configuration, the list of approvers.
//!
//! A [`Plan`] is made from what is wanted and what is there, without a change to anything; then it is written. What is there is
//! kept, unless its replacement was asked for: then it stays beside the new one as `NAME.replaced`.

mod approver;
mod clients;
mod config_text;
mod files;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use approver::Approver;
pub use clients::{Client, clients, word};
pub use files::Made;

pub use crate::ssh::{ShownKey, public_line, read_public, shown_key};

use crate::config::{Config, ConfigError, Environment, Host, HostName};
use crate::ssh::{NewKey, load_private_key};
use files::Write;

/// Why there is no plan, or why it was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// What was asked for does not go together with what is there, or is wrong.
    #[error("{0}")]
    Usage(String),
    /// The existing configuration.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// A file could not be written; those before it are.
    #[error("{0}")]
    Failed(String),
}

/// A host to add, with the key that a person has confirmed.
#[derive(Debug, Clone)]
pub struct NewHost {
    /// Its name in the inventory.
    pub name: HostName,
    /// DNS name or IP address.
    pub address: String,
    /// TCP port of its sshd.
    pub port: u16,
    /// `ssh-ed25519 AAAA…`
    pub host_key: String,
}

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The configuration file.
    pub config: PathBuf,
    /// A key that is there already, for the reader account.
    pub reader_key: Option<PathBuf>,
    /// A key that is there already, for the runner account.
    pub runner_key: Option<PathBuf>,
    /// Make new keys where there are some.
    pub replace_keys: bool,
    /// Make a new configuration where there is one.
    pub replace_config: bool,
    /// The first, or the next, host.
    pub host: Option<NewHost>,
    /// Somebody who may approve.
    pub approver: Option<Approver>,
}

/// A key of the server.
#[derive(Debug, Clone, Serialize)]
pub struct KeyRow {
    /// `reader` or `runner`
    pub account: &'static str,
    /// The private key.
    pub path: PathBuf,
    /// The public key.
    pub public: PathBuf,
    /// `SHA256:…`
    pub fingerprint: String,
    /// What became of it.
    pub state: Made,
}

/// What will be written, and what is kept.
#[derive(Debug)]
pub struct Plan {
    writes: Vec<Write>,
    /// The two keys.
    pub keys: Vec<KeyRow>,
    /// The configuration file.
    pub config: (PathBuf, Made),
    /// The host that was asked for.
    pub host: Option<(NewHost, Made)>,
    /// The approver that was asked for, and the file in which they stand.
    pub approver: Option<(Approver, PathBuf, Made)>,
    /// What the person should know.
    pub notes: Vec<String>,
}

/// What is there before.
#[derive(Debug)]
pub struct Present {
    /// The configuration, if its file is there and is to stay.
    pub config: Option<Config>,
    folder: PathBuf,
    text: String,
}

impl Present {
    /// Reads the configuration at `path`, if it is there and `replace` does not put it aside.
    pub fn read(path: &Path, replace: bool, env: &Environment) -> Result<Self, InitError> {
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        // What root makes in another account's folder that account cannot read.
        let me = rustix::process::geteuid();
        match std::fs::metadata(&folder) {
            Ok(meta) if me.is_root() && meta.uid() != me.as_raw() => {
                return Err(InitError::Usage(format!(
                    "{} belongs to uid {}: run init as that account, with sudo -u '#{}'",
                    folder.display(),
                    meta.uid(),
                    meta.uid()
                )));
            }
            _ => {}
        }
        let read = path.exists() && !replace;
        let config = if read { Some(Config::load(Some(path), env)?) } else { None };
        let failed = |e: std::io::Error| InitError::Usage(format!("{}: {e}", path.display()));
        let text = if read { std::fs::read_to_string(path).map_err(failed)? } else { String::new() };
        Ok(Self { config, folder, text })
    }

    /// A host of this name.
    pub fn host(&self, name: &HostName) -> Option<&Host> {
        self.config.as_ref().and_then(|c| c.inventory.get(name.as_str()))
    }

    /// Where the keys of hosts may stand.
    pub fn known_hosts(&self, env: &Environment) -> Vec<PathBuf> {
        self.config.as_ref().map_or_else(|| Config::usual_known_hosts(env), |c| c.known_hosts.clone())
    }

    fn key(&self, account: &str) -> Option<PathBuf> {
        let defaults = self.config.as_ref()?.inventory.defaults()?;
        let key = if account == "reader" { &defaults.reader_key } else { &defaults.runner_key };
        key.clone()
    }
}

impl Plan {
    /// Decides what to write. Nothing is changed.
    pub fn make(wanted: &Wanted, present: &Present) -> Result<Self, InitError> {
        let mut plan = Self {
            writes: Vec::new(),
            keys: Vec::new(),
            config: (wanted.config.clone(), Made::Kept),
            host: None,
            approver: None,
            notes: Vec::new(),
        };
        plan.key("reader", wanted.reader_key.as_deref(), wanted, present)?;
        plan.key("runner", wanted.runner_key.as_deref(), wanted, present)?;
        if plan.keys[0].fingerprint == plan.keys[1].fingerprint {
            return Err(InitError::Usage("reader and runner must have different keys".to_owned()));
        }
        let approvers = present
            .config
            .as_ref()
            .and_then(|c| c.approvers.clone())
            .unwrap_or_else(|| present.folder.join("approvers"));
        plan.approver(wanted, &approvers)?;
        plan.configuration(wanted, present, &approvers)?;
        Ok(plan)
    }

    /// One of the server's two keys: the one that was named, the one that the configuration names, or a new one.
    fn key(
        &mut self,
        account: &'static str,
        named: Option<&Path>,
        wanted: &Wanted,
        present: &Present,
    ) -> Result<(), InitError> {
        let stated = present.key(account);
        if let (Some(named), Some(stated)) = (named, &stated)
            && named != stated.as_path()
        {
            return Err(InitError::Usage(format!(
                "{} names {} as the {account}'s key: change it there, or leave --{account}-key out",
                wanted.config.display(),
                stated.display()
            )));
        }
        let path = named
            .map(Path::to_path_buf)
            .or(stated)
            .unwrap_or_else(|| present.folder.join("keys").join(account));
        let public = beside(&path, "pub");
        let replace = wanted.replace_keys && named.is_none();
        let (line, fingerprint, state) = if named.is_some() || (path.exists() && !replace) {
            let key = load_private_key(&path).map_err(InitError::Usage)?;
            let (line, fingerprint) = public_line(key.public_key());
            (line, fingerprint, Made::Kept)
        } else {
            if public.exists() && !replace {
                let (public, path) = (public.display(), path.display());
                return Err(InitError::Usage(format!(
                    "{public} is there, but {path} is not: put the private key back, or move the public one away"
                )));
            }
            let state = if path.exists() { Made::Replaced } else { Made::Made };
            let key = NewKey::make(&format!("mcp-linux-infra {account}")).map_err(InitError::Failed)?;
            let text = key.private_text().map_err(InitError::Failed)?;
            self.writes.push(Write { path: path.clone(), text, mode: 0o600, state });
            let (line, fingerprint) = key.public_line();
            (line, fingerprint, state)
        };
        self.public_key(&public, &format!("{line} mcp-linux-infra {account}\n"), state, &fingerprint)?;
        if state == Made::Replaced {
            self.notes.push(format!(
                "the {account}'s old key is kept as {}: no host lets the new one in before it is deployed (`keys rotate` changes keys without a gap)",
                beside(&path, files::REPLACED).display()
            ));
        }
        self.keys.push(KeyRow { account, path, public, fingerprint, state });
        Ok(())
    }

    /// The public half is what targets get; it must be there and be the right one.
    fn public_key(
        &mut self,
        path: &Path,
        text: &str,
        state: Made,
        fingerprint: &str,
    ) -> Result<(), InitError> {
        if state != Made::Kept || !path.exists() {
            let state = if path.exists() { Made::Replaced } else { Made::Made };
            self.writes.push(Write { path: path.to_path_buf(), text: text.to_owned(), mode: 0o644, state });
            return Ok(());
        }
        let wrong = |cause: String| InitError::Usage(format!("{}: {cause}", path.display()));
        let there = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
        let (_, other) = read_public(&there).map_err(wrong)?;
        if other != fingerprint {
            return Err(wrong(format!("it is not the public half of the key beside it ({fingerprint})")));
        }
        Ok(())
    }

    fn approver(&mut self, wanted: &Wanted, file: &Path) -> Result<(), InitError> {
        let Some(approver) = &wanted.approver else { return Ok(()) };
        if let Some(key) = self.keys.iter().find(|k| k.fingerprint == approver.fingerprint) {
            return Err(InitError::Usage(format!(
                "this is the server's own {} key: an approver's key must not be the server's",
                key.account
            )));
        }
        let before = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(InitError::Usage(format!("{}: {e}", file.display()))),
        };
        let state = match approver
            .added_to(&before)
            .map_err(|cause| InitError::Usage(format!("{}: {cause}", file.display())))?
        {
            None => Made::Kept,
            Some(text) => {
                let state = if file.exists() { Made::Extended } else { Made::Made };
                self.writes.push(Write { path: file.to_path_buf(), text, mode: 0o644, state });
                state
            }
        };
        self.approver = Some((approver.clone(), file.to_path_buf(), state));
        Ok(())
    }

    fn configuration(
        &mut self,
        wanted: &Wanted,
        present: &Present,
        approvers: &Path,
    ) -> Result<(), InitError> {
        let there = wanted.config.exists();
        let mut text = if present.config.is_some() {
            present.text.clone()
        } else {
            config_text::fresh(&present.folder, &self.keys)?
        };
        let named = present.config.as_ref().is_some_and(|c| c.approvers.is_some());
        let fresh_beside_list = present.config.is_none() && approvers.exists();
        if (self.approver.is_some() || fresh_beside_list) && !named {
            text = config_text::with_approvers(&text, &config_text::relative(&present.folder, approvers)?);
        }
        if let Some(host) = &wanted.host {
            let state = if let Some(other) = present.host(&host.name) {
                same_host(other, host, &wanted.config)?
            } else {
                text = config_text::with_host(&text, host);
                Made::Made
            };
            self.host = Some((host.clone(), state));
        }
        if present.config.is_some() {
            for account in ["reader", "runner"].into_iter().filter(|a| present.key(a).is_none()) {
                self.notes.push(format!(
                    "{} does not say which key the {account} has: add {account}_key to its [defaults]",
                    wanted.config.display()
                ));
            }
        }
        if present.config.is_some() && text == present.text {
            return Ok(());
        }
        let state = match (&present.config, there) {
            (Some(_), _) => Made::Extended,
            (None, true) => Made::Replaced,
            (None, false) => Made::Made,
        };
        self.config.1 = state;
        self.writes.push(Write { path: wanted.config.clone(), text, mode: 0o600, state });
        Ok(())
    }

    /// Writes what is planned: the configuration last, after it was read back as the server will read it.
    pub fn write(&self, env: &Environment) -> Result<(), InitError> {
        files::write_all(&self.writes, &self.config.0, env)
    }
}

fn same_host(other: &Host, host: &NewHost, config: &Path) -> Result<Made, InitError> {
    let differs = |what: &str| {
        Err(InitError::Usage(format!(
            "{} has a host {} with another {what}: if that is out of date, change it there",
            config.display(),
            host.name
        )))
    };
    if (other.address.as_str(), other.port) != (host.address.as_str(), host.port) {
        return differs("address");
    }
    match &other.host_key {
        Some(key) if public_line(key).0 != host.host_key && public_line(key).1 != host.host_key => {
            differs("host key")
        }
        _ => Ok(Made::Kept),
    }
}

/// `NAME.suffix`
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}
