//! The server's configuration: a TOML file and a few environment variables, parsed once into types.
//!
//! A wrong key or value is one [`ConfigError`] that names the file, the line and the cause. Only what the inventories of other
//! programs say, and this one cannot follow, is left out with a warning.

mod admin;
mod ansible_ini;
mod ansible_json;
mod ansible_yaml;
mod file;
mod foreign;
mod inventory;
mod notify;
mod oidc;
mod ranges;
mod selector;
mod sources;
mod ssh_config;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use admin::Admin;
pub(crate) use admin::is_login;
pub use inventory::{Host, HostName, Inventory};
pub use notify::Notify;
pub use oidc::{Oidc, OidcGroup, OidcPerson};
pub use selector::{Selector, SelectorError};
pub(crate) use ssh_config::glob;

/// Environment variable that names the config file when `--config` is absent.
pub const CONFIG_VARIABLE: &str = "LINUX_MCP_CONFIG";

/// What is wrong with the configuration, where, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {cause}")]
pub struct ConfigError {
    /// File and line, or the name of the environment variable.
    pub place: String,
    /// What is wrong there.
    pub cause: String,
}

impl ConfigError {
    pub(crate) fn new(place: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { place: place.into(), cause: cause.into() }
    }
}

/// Everything the server was told, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that was read; `None` when the server runs without one.
    pub path: Option<PathBuf>,
    /// Where the database and other state live.
    pub state_dir: PathBuf,
    /// The hosts, by name.
    pub inventory: Inventory,
    /// OpenSSH `known_hosts` files, asked for hosts whose key is not pinned.
    pub known_hosts: Vec<PathBuf>,
    /// Folder of extra plugin files, if it exists.
    pub plugins_dir: Option<PathBuf>,
    /// Folder of extra action files, if it exists.
    pub actions_dir: Option<PathBuf>,
    /// Allowed-signers file by which the server names approvers early; the target's own file decides.
    pub approvers: Option<PathBuf>,
    /// Level of the log on stderr, in `tracing`'s syntax.
    pub log_level: String,
    /// Folder for a log file, besides stderr.
    pub log_dir: Option<PathBuf>,
    /// The person on whose behalf this server runs; stands in `proposed_by`.
    pub caller: Option<String>,
    /// Groups of tools that clients are shown; none means `core`, with every tool callable.
    pub toolsets: Vec<String>,
    /// Bounds on what one call may cost.
    pub limits: Limits,
    /// How long approvals live.
    pub grant: GrantTimes,
    /// What in the inventory's files does not count, with file and line.
    pub warnings: Vec<String>,
    /// `serve --http`.
    pub http: Http,
    /// The dashboard.
    pub dashboard: Dashboard,
    /// The administrator's own way to the hosts.
    pub admin: Admin,
    /// Where people are told of proposals.
    pub notify: Vec<Notify>,
}

/// Bounds on what one call may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// TCP connect, key exchange and login together.
    pub connect: Duration,
    /// One command, from the request to its exit status.
    pub command: Duration,
    /// One action, with its checks and its verification.
    pub action: Duration,
    /// Channels open at once on one connection; sshd's `MaxSessions` is 10 by default.
    pub channels_per_host: usize,
    /// Bytes of stdout kept of one command.
    pub output_bytes: usize,
    /// Tool calls worked on at once; more wait.
    pub concurrent_calls: usize,
    /// Hosts that one call asks at once.
    pub fleet_concurrency: usize,
    /// One host of a call to many, from its turn to its last answer.
    pub fleet_host: Duration,
    /// A call to many hosts.
    pub fleet: Duration,
    /// Of these, calls of one caller.
    pub calls_per_caller: usize,
    /// Of these, calls to one host.
    pub calls_per_host: usize,
    /// Calls that one caller may begin in a minute, evenly; a minute's worth may come at once.
    pub calls_per_minute: usize,
    /// How long a call waits for its turn before it is refused as `busy`.
    pub wait: Duration,
}

/// The HTTP face.
#[derive(Debug, Clone)]
pub struct Http {
    /// File of bearer tokens; without one only loopback and unix sockets are served.
    pub token_file: Option<PathBuf>,
    /// Names, with or without a port, that `Host` may hold besides loopback ones.
    pub allowed_hosts: Vec<String>,
    /// Origins, such as `https://app.example.com`, of web pages that may call.
    pub allowed_origins: Vec<String>,
    /// Sessions of clients that speak a protocol before 2026-07-28; the one unused longest goes first.
    pub max_sessions: usize,
    /// How long such a session lives without a request.
    pub session_idle: Duration,
    /// Bytes of one request.
    pub body_bytes: usize,
}

/// The dashboard.
#[derive(Debug, Clone)]
pub struct Dashboard {
    /// `HOST:PORT` or `unix:/path`.
    pub listen: String,
    /// What people's browsers show, without a slash at its end; the passkeys are bound to its name.
    pub origin: Option<String>,
    /// The provider with which persons may log in.
    pub oidc: Option<Oidc>,
}

/// How long approvals live.
#[derive(Debug, Clone, Copy)]
pub struct GrantTimes {
    /// From the first signature to the grant's expiry; at most 15 minutes.
    pub lifetime: Duration,
    /// From the proposal to the last moment at which it can be approved.
    pub proposal_ttl: Duration,
}

impl Config {
    /// Finds and reads the configuration.
    ///
    /// The order is `--config`, `$LINUX_MCP_CONFIG`, `./mcp-linux-infra.toml`,
    /// `$XDG_CONFIG_HOME/mcp-linux-infra/config.toml`. A file that was named must exist; without any file the
    /// inventory is empty.
    pub fn load(flag: Option<&Path>, env: &Environment) -> Result<Self, ConfigError> {
        let path = match flag.map(Path::to_path_buf).or_else(|| env.path(CONFIG_VARIABLE)) {
            Some(named) => Some(named),
            None => Self::default_places(env).into_iter().find(|p| p.is_file()),
        };
        let parsed = match &path {
            Some(path) => file::read(path)?,
            None => file::ConfigFile::default(),
        };
        let mut config = parsed.into_config(path, env)?;
        config.apply_environment(env)?;
        Ok(config)
    }

    /// The file that [`Self::load`] would read; without one, where it would look last.
    pub fn place(flag: Option<&Path>, env: &Environment) -> Result<PathBuf, ConfigError> {
        if let Some(named) = flag.map(Path::to_path_buf).or_else(|| env.path(CONFIG_VARIABLE)) {
            return Ok(named);
        }
        let mut places = Self::default_places(env);
        let last = if places.len() > 1 { places.pop() } else { None };
        places.into_iter().find(|p| p.is_file()).or(last).ok_or_else(|| {
            ConfigError::new(
                "environment",
                "neither --config, $XDG_CONFIG_HOME nor $HOME says where the config is",
            )
        })
    }

    /// The `known_hosts` files of the person and of the system.
    pub fn usual_known_hosts(env: &Environment) -> Vec<PathBuf> {
        let own = env.path("HOME").map(|h| h.join(".ssh/known_hosts"));
        own.into_iter().chain(["/etc/ssh/ssh_known_hosts".into()]).collect()
    }

    fn default_places(env: &Environment) -> Vec<PathBuf> {
        let mut places = vec![PathBuf::from("mcp-linux-infra.toml")];
        if let Some(base) =
            env.path("XDG_CONFIG_HOME").or_else(|| env.path("HOME").map(|h| h.join(".config")))
        {
            places.push(base.join("mcp-linux-infra").join("config.toml"));
        }
        places
    }

    fn apply_environment(&mut self, env: &Environment) -> Result<(), ConfigError> {
        if let Some(key) = env.path("LINUX_MCP_SSH_KEY_PATH") {
            self.inventory.set_reader_key(&key);
        }
        if let Some(key) = env.path("LINUX_MCP_PRA_KEY_PATH") {
            self.inventory.set_runner_key(&key);
        }
        if let Some(level) = env.get("LINUX_MCP_LOG_LEVEL") {
            self.log_level = level.to_ascii_lowercase();
        }
        if let Some(dir) = env.path("LINUX_MCP_LOG_DIR") {
            self.log_dir = Some(dir);
        }
        if let Some(names) = env.get("LINUX_MCP_ALLOWED_HOSTS") {
            self.inventory.allow_only(names)?;
        }
        Ok(())
    }

    /// What each answer says while the inventory is empty; `None` otherwise.
    pub fn empty_notice(&self) -> Option<&'static str> {
        self.inventory.is_empty().then_some(
            "No host is configured: write a config file with [[hosts]] entries and name it with --config or \
             $LINUX_MCP_CONFIG, then start the server again.",
        )
    }
}

/// The environment variables that the program looks at; a value, so that tests do not change the process.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The process's own environment; variables that are not UTF-8 are left out.
    pub fn of_process() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
        )
    }

    /// A value that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// As [`Self::get`], as a path.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }
}

#[cfg(test)]
mod tests;
