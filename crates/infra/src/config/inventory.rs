//! The hosts that the server may reach.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use russh::keys::PublicKey;

use super::ConfigError;

/// The name of a host in the inventory: letters, digits, `.`, `_` and `-`, at most 253 characters, not
/// beginning with `-` or `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct HostName(String);

impl HostName {
    /// Checks a name; the error says what a name may hold.
    pub fn parse(text: &str) -> Result<Self, String> {
        let ok = !text.is_empty()
            && text.len() <= 253
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && !text.starts_with(['-', '.']);
        if ok {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "{text:?} is no host name: letters, digits, '.', '_' and '-' only, at most 253, not beginning with '-' or '.'"
            ))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One Linux machine and how to reach it.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name in the inventory.
    pub name: HostName,
    /// DNS name or IP address.
    pub address: String,
    /// TCP port of its sshd.
    pub port: u16,
    /// Its pinned host key; without one, `known_hosts` must know the host.
    pub host_key: Option<PublicKey>,
    /// Free words by which people group hosts.
    pub tags: Vec<String>,
    /// The groups that it is in, those that hold its groups included.
    pub groups: Vec<String>,
    /// Where it comes from: `config`, `environment`, or file and line.
    pub source: String,
    /// The tenant it belongs to.
    pub tenant: String,
    /// Login of the reader account.
    pub reader_user: String,
    /// Login of the runner account.
    pub runner_user: String,
    /// Private key of the reader account.
    pub reader_key: Option<PathBuf>,
    /// Private key of the runner account.
    pub runner_key: Option<PathBuf>,
}

/// All hosts, by name, in the order of their names.
#[derive(Debug, Clone)]
pub struct Inventory {
    hosts: BTreeMap<HostName, Host>,
    /// What a host gets that only the environment names.
    template: Option<Box<Host>>,
}

impl Inventory {
    pub(super) fn new(hosts: Vec<Host>, place: String) -> Result<Self, ConfigError> {
        let mut by_name = BTreeMap::new();
        for host in hosts {
            let name = host.name.clone();
            if by_name.insert(name.clone(), host).is_some() {
                return Err(ConfigError::new(place, format!("the host {name} is listed twice")));
            }
        }
        Ok(Self { hosts: by_name, template: None })
    }

    pub(super) fn with_defaults(mut self, template: Host) -> Self {
        self.template = Some(Box::new(template));
        self
    }

    /// What `[defaults]` says, as a host without a name of its own.
    pub fn defaults(&self) -> Option<&Host> {
        self.template.as_deref()
    }

    /// Whether there is no host at all.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// The number of hosts.
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// All hosts, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    /// A host by name.
    pub fn get(&self, name: &str) -> Option<&Host> {
        self.hosts.get(&HostName(name.to_owned()))
    }

    pub(super) fn set_reader_key(&mut self, key: &Path) {
        for host in self.hosts.values_mut().chain(self.template.as_deref_mut()) {
            host.reader_key = Some(key.to_path_buf());
        }
    }

    pub(super) fn set_runner_key(&mut self, key: &Path) {
        for host in self.hosts.values_mut().chain(self.template.as_deref_mut()) {
            host.runner_key = Some(key.to_path_buf());
        }
    }

    /// Keeps only the hosts of a comma-separated list; a name that no file lists is a host at the address of
    /// that name, whose key `known_hosts` must know.
    pub(super) fn allow_only(&mut self, names: &str) -> Result<(), ConfigError> {
        let mut kept = BTreeMap::new();
        for name in names.split(',').map(str::trim).filter(|n| !n.is_empty()) {
            let name =
                HostName::parse(name).map_err(|cause| ConfigError::new("$LINUX_MCP_ALLOWED_HOSTS", cause))?;
            let host = match (self.hosts.remove(&name), &self.template) {
                (Some(host), _) => host,
                (None, Some(template)) => {
                    let source = "environment".to_owned();
                    Host {
                        address: name.to_string(),
                        name: name.clone(),
                        source,
                        ..template.as_ref().clone()
                    }
                }
                (None, None) => continue,
            };
            kept.insert(name, host);
        }
        self.hosts = kept;
        Ok(())
    }
}
