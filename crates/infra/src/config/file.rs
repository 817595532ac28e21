//! The config file as it is written, and its way into [`Config`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::inventory::{Host, HostName, Inventory};
use super::sources::{self, Format, Stated};
use super::{Config, ConfigError, Environment, GrantTimes, Http, Limits};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConfigFile {
    state_dir: Option<PathBuf>,
    known_hosts: Option<PathBuf>,
    plugins_dir: Option<PathBuf>,
    actions_dir: Option<PathBuf>,
    approvers: Option<PathBuf>,
    log_level: Option<String>,
    log_dir: Option<PathBuf>,
    caller: Option<String>,
    toolsets: Vec<String>,
    defaults: HostDefaults,
    limits: LimitsFile,
    grant: GrantFile,
    http: HttpFile,
    dashboard: DashboardFile,
    admin: super::admin::AdminFile,
    notify: Vec<super::notify::NotifyFile>,
    hosts: Vec<HostFile>,
    inventory: InventoryFile,
}

/// Hosts that other programs' files name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct InventoryFile {
    ansible: Vec<PathBuf>,
    ssh_config: Option<SshConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "ssh_config must be true, false or the path of a file")]
enum SshConfig {
    Usual(bool),
    File(PathBuf),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HostDefaults {
    reader_key: Option<PathBuf>,
    runner_key: Option<PathBuf>,
    reader_user: String,
    runner_user: String,
    port: u16,
    tenant: String,
}

impl Default for HostDefaults {
    fn default() -> Self {
        Self {
            reader_key: None,
            runner_key: None,
            reader_user: "mcp-reader".to_owned(),
            runner_user: "pra-runner".to_owned(),
            port: 22,
            tenant: "default".to_owned(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HostFile {
    name: toml::Spanned<String>,
    address: Option<String>,
    port: Option<u16>,
    host_key: Option<toml::Spanned<String>>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    groups: Vec<String>,
    tenant: Option<String>,
    reader_key: Option<PathBuf>,
    runner_key: Option<PathBuf>,
    reader_user: Option<String>,
    runner_user: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsFile {
    connect_seconds: u64,
    command_seconds: u64,
    action_seconds: u64,
    channels_per_host: usize,
    output_bytes: usize,
    concurrent_calls: usize,
    fleet_concurrency: usize,
    fleet_host_seconds: u64,
    fleet_seconds: u64,
    calls_per_caller: usize,
    calls_per_host: usize,
    calls_per_minute: usize,
    wait_seconds: u64,
}

impl Default for LimitsFile {
    fn default() -> Self {
        Self {
            connect_seconds: 10,
            command_seconds: 60,
            action_seconds: 300,
            channels_per_host: 8,
            output_bytes: 1 << 20,
            concurrent_calls: 64,
            fleet_concurrency: 16,
            fleet_host_seconds: 30,
            fleet_seconds: 120,
            calls_per_caller: 32,
            calls_per_host: 16,
            calls_per_minute: 600,
            wait_seconds: 30,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HttpFile {
    token_file: Option<PathBuf>,
    allowed_hosts: Vec<String>,
    allowed_origins: Vec<String>,
    max_sessions: usize,
    session_idle_seconds: u64,
    body_bytes: usize,
}

impl Default for HttpFile {
    fn default() -> Self {
        Self {
            token_file: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            max_sessions: 64,
            // Many clients of the older protocol do not begin anew when theirs has gone.
            session_idle_seconds: 8 * 3600,
            body_bytes: 1 << 20,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DashboardFile {
    listen: String,
    origin: Option<String>,
    oidc: Option<toml::Spanned<super::oidc::OidcFile>>,
}

impl Default for DashboardFile {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8090".to_owned(), origin: None, oidc: None }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GrantFile {
    lifetime_seconds: u64,
    proposal_ttl_seconds: u64,
}

impl Default for GrantFile {
    fn default() -> Self {
        Self { lifetime_seconds: 300, proposal_ttl_seconds: 3600 }
    }
}

/// Reads and parses `path`; errors name its line.
pub(super) fn read(path: &Path) -> Result<ConfigFile, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| ConfigError::new(path.display().to_string(), e.to_string()))?;
    toml::from_str(&text).map_err(|e| {
        let line = e.span().map_or(1, |s| line_of(&text, s.start));
        ConfigError::new(format!("{}:{line}", path.display()), e.message().to_owned())
    })
}

/// The 1-based line of a byte offset.
fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
}

impl ConfigFile {
    pub(super) fn into_config(self, path: Option<PathBuf>, env: &Environment) -> Result<Config, ConfigError> {
        let place = Place::of(path.as_deref());
        let resolve = |p: PathBuf| place.resolve(p, env);
        let limits = self.limits.checked(&place)?;
        let grant = self.grant.checked(&place)?;
        let http = self.http.checked(&place, env)?;
        let admin = self.admin.checked(resolve).map_err(|cause| ConfigError::new(place.name(), cause))?;
        let notify = self.notify.into_iter().map(|n| {
            let at = place.at(n.offset());
            n.checked(at.clone(), resolve).map_err(|cause| ConfigError::new(at, cause))
        });
        let notify = notify.collect::<Result<Vec<_>, _>>()?;
        super::notify::distinct(&notify)?;
        let oidc = self.dashboard.oidc.map(|o| {
            let at = place.at(o.span().start);
            o.into_inner().checked(resolve).map_err(|cause| ConfigError::new(at, cause))
        });
        let oidc = oidc.transpose()?;
        let state_dir = match self.state_dir {
            Some(dir) => resolve(dir),
            None => default_state_dir(env)?,
        };
        let mut stated = Vec::with_capacity(self.hosts.len());
        for host in self.hosts {
            let (address, port) = (host.address.is_some(), host.port.is_some());
            stated.push(Stated { host: host.into_host(&self.defaults, &place, env)?, address, port });
        }
        let template = Host {
            name: HostName::parse("unnamed").map_err(|cause| ConfigError::new(place.name(), cause))?,
            address: String::new(),
            port: self.defaults.port,
            host_key: None,
            tags: Vec::new(),
            groups: Vec::new(),
            source: "config".to_owned(),
            tenant: self.defaults.tenant,
            reader_user: self.defaults.reader_user,
            runner_user: self.defaults.runner_user,
            reader_key: self.defaults.reader_key.map(resolve),
            runner_key: self.defaults.runner_key.map(resolve),
        };
        let files = self.inventory.files(&place, env)?;
        let (hosts, warnings) = sources::join(stated, &files, &template)?;
        let known_hosts = match self.known_hosts {
            Some(file) => vec![resolve(file)],
            None => Config::usual_known_hosts(env),
        };
        Ok(Config {
            inventory: Inventory::new(hosts, place.name())?.with_defaults(template),
            state_dir,
            known_hosts,
            plugins_dir: folder(self.plugins_dir, "plugins.d", &place, env)?,
            actions_dir: folder(self.actions_dir, "actions.d", &place, env)?,
            approvers: self.approvers.map(resolve),
            log_level: self.log_level.unwrap_or_else(|| "info".to_owned()),
            log_dir: self.log_dir.map(resolve),
            caller: self.caller.map(|c| person(c, &place)).transpose()?,
            toolsets: self.toolsets,
            limits,
            grant,
            warnings,
            http,
            dashboard: super::Dashboard {
                listen: self.dashboard.listen,
                origin: self.dashboard.origin,
                oidc,
            },
            admin,
            notify,
            path,
        })
    }
}

impl InventoryFile {
    fn files(self, place: &Place, env: &Environment) -> Result<Vec<(Format, PathBuf)>, ConfigError> {
        const MAX_FILES: usize = 64;
        if self.ansible.len() > MAX_FILES {
            return Err(ConfigError::new(
                place.name(),
                format!("inventory.ansible names more than {MAX_FILES} files"),
            ));
        }
        let mut files: Vec<_> =
            self.ansible.into_iter().map(|f| (Format::Ansible, place.resolve(f, env))).collect();
        match self.ssh_config {
            None | Some(SshConfig::Usual(false)) => {}
            Some(SshConfig::Usual(true)) => {
                let home = env.path("HOME").ok_or_else(|| {
                    ConfigError::new("environment", "inventory.ssh_config = true, but $HOME is not set")
                })?;
                files.push((Format::SshConfig, home.join(".ssh/config")));
            }
            Some(SshConfig::File(file)) => files.push((Format::SshConfig, place.resolve(file, env))),
        }
        Ok(files)
    }
}

/// A name that may stand in a statement.
fn person(name: String, place: &Place) -> Result<String, ConfigError> {
    if (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(name)
    } else {
        Err(ConfigError::new(
            place.name(),
            format!("caller = {name:?}: it must be 1 to 64 visible ASCII characters without blanks"),
        ))
    }
}

/// A folder that was named must exist; the default one beside the config file is used if it does.
fn folder(
    named: Option<PathBuf>,
    default: &str,
    place: &Place,
    env: &Environment,
) -> Result<Option<PathBuf>, ConfigError> {
    if let Some(dir) = named {
        let dir = place.resolve(dir, env);
        if !dir.is_dir() {
            return Err(ConfigError::new(
                place.name(),
                format!("the folder {} does not exist", dir.display()),
            ));
        }
        return Ok(Some(dir));
    }
    let beside = place.folder.as_ref().map(|f| f.join(default));
    Ok(beside.filter(|d| d.is_dir()))
}

fn default_state_dir(env: &Environment) -> Result<PathBuf, ConfigError> {
    env.path("XDG_STATE_HOME")
        .or_else(|| env.path("HOME").map(|h| h.join(".local/state")))
        .map(|base| base.join("mcp-linux-infra"))
        .ok_or_else(|| {
            ConfigError::new(
                "environment",
                "neither state_dir, $XDG_STATE_HOME nor $HOME says where to keep state",
            )
        })
}

impl HostFile {
    fn into_host(
        self,
        defaults: &HostDefaults,
        place: &Place,
        env: &Environment,
    ) -> Result<Host, ConfigError> {
        let at = |offset: usize| place.at(offset);
        let name = HostName::parse(self.name.get_ref())
            .map_err(|cause| ConfigError::new(at(self.name.span().start), cause))?;
        let host_key = match self.host_key {
            None => None,
            Some(text) => Some(
                russh::keys::PublicKey::from_openssh(text.get_ref())
                    .map_err(|e| e.to_string())
                    .and_then(|key| {
                        if key.algorithm().is_rsa() {
                            Err("RSA host keys are not supported".to_owned())
                        } else {
                            Ok(key)
                        }
                    })
                    .map_err(|e| {
                        ConfigError::new(
                            at(text.span().start),
                            format!("host_key of {name}: {e}; expected a line such as 'ssh-ed25519 AAAA…'"),
                        )
                    })?,
            ),
        };
        let resolve = |p: PathBuf| place.resolve(p, env);
        if let Some(group) = self.groups.iter().find(|g| !super::foreign::is_word(g)) {
            return Err(ConfigError::new(
                at(self.name.span().start),
                format!("groups of {name}: {group:?}: letters, digits, '.', '_' and '-' only, at most 128"),
            ));
        }
        Ok(Host {
            address: self.address.unwrap_or_else(|| name.to_string()),
            port: self.port.unwrap_or(defaults.port),
            host_key,
            tags: self.tags,
            groups: self.groups,
            source: "config".to_owned(),
            tenant: self.tenant.unwrap_or_else(|| defaults.tenant.clone()),
            reader_user: self.reader_user.unwrap_or_else(|| defaults.reader_user.clone()),
            runner_user: self.runner_user.unwrap_or_else(|| defaults.runner_user.clone()),
            reader_key: self.reader_key.or_else(|| defaults.reader_key.clone()).map(resolve),
            runner_key: self.runner_key.or_else(|| defaults.runner_key.clone()).map(resolve),
            name,
        })
    }
}

impl LimitsFile {
    fn checked(&self, place: &Place) -> Result<Limits, ConfigError> {
        let seconds = |key: &str, value: u64, max: u64| {
            if (1..=max).contains(&value) {
                Ok(Duration::from_secs(value))
            } else {
                Err(ConfigError::new(
                    place.name(),
                    format!("limits.{key} = {value}: it must be between 1 and {max}"),
                ))
            }
        };
        let count = |key: &str, value: usize, max: usize| {
            if (1..=max).contains(&value) {
                Ok(value)
            } else {
                Err(ConfigError::new(
                    place.name(),
                    format!("limits.{key} = {value}: it must be between 1 and {max}"),
                ))
            }
        };
        Ok(Limits {
            connect: seconds("connect_seconds", self.connect_seconds, 120)?,
            command: seconds("command_seconds", self.command_seconds, 3600)?,
            action: seconds("action_seconds", self.action_seconds, 3600)?,
            channels_per_host: count("channels_per_host", self.channels_per_host, 64)?,
            output_bytes: count("output_bytes", self.output_bytes, 16 << 20)?,
            concurrent_calls: count("concurrent_calls", self.concurrent_calls, 1024)?,
            fleet_concurrency: count("fleet_concurrency", self.fleet_concurrency, 128)?,
            fleet_host: seconds("fleet_host_seconds", self.fleet_host_seconds, 3600)?,
            fleet: seconds("fleet_seconds", self.fleet_seconds, 3600)?,
            calls_per_caller: count("calls_per_caller", self.calls_per_caller, 1024)?,
            calls_per_host: count("calls_per_host", self.calls_per_host, 1024)?,
            calls_per_minute: count("calls_per_minute", self.calls_per_minute, 100_000)?,
            wait: seconds("wait_seconds", self.wait_seconds, 600)?,
        })
    }
}

impl HttpFile {
    fn checked(self, place: &Place, env: &Environment) -> Result<Http, ConfigError> {
        let wrong = |cause: String| Err(ConfigError::new(place.name(), cause));
        if !(1..=1024).contains(&self.max_sessions) {
            return wrong(format!(
                "http.max_sessions = {}: it must be between 1 and 1024",
                self.max_sessions
            ));
        }
        if !(3600..=604_800).contains(&self.session_idle_seconds) {
            return wrong(format!(
                "http.session_idle_seconds = {}: it must be between 3600 and 604800",
                self.session_idle_seconds
            ));
        }
        if !(4096..=16 << 20).contains(&self.body_bytes) {
            return wrong(format!(
                "http.body_bytes = {}: it must be between 4096 and 16777216",
                self.body_bytes
            ));
        }
        let is_origin = |o: &String| {
            let host = o.strip_prefix("https://").or_else(|| o.strip_prefix("http://"));
            host.is_some_and(|h| !h.is_empty() && !h.contains(['/', '*', ' ']))
        };
        if let Some(origin) = self.allowed_origins.iter().find(|o| !is_origin(o)) {
            return wrong(format!(
                "http.allowed_origins: {origin:?} is no origin; write it as `https://app.example.com` or with `:port`, without a path"
            ));
        }
        let is_name = |h: &String| !h.is_empty() && !h.contains(['/', '*', ' ', '@']);
        if let Some(host) = self.allowed_hosts.iter().find(|h| !is_name(h)) {
            return wrong(format!(
                "http.allowed_hosts: {host:?} is no host name; write `infra.example.com` or with `:port`"
            ));
        }
        let lower = |names: Vec<String>| names.iter().map(|n| n.to_ascii_lowercase()).collect();
        Ok(Http {
            token_file: self.token_file.map(|f| place.resolve(f, env)),
            allowed_hosts: lower(self.allowed_hosts),
            allowed_origins: lower(self.allowed_origins),
            max_sessions: self.max_sessions,
            session_idle: Duration::from_secs(self.session_idle_seconds),
            body_bytes: self.body_bytes,
        })
    }
}

impl GrantFile {
    fn checked(&self, place: &Place) -> Result<GrantTimes, ConfigError> {
        let bounded = |key: &str, value: u64, min: u64, max: u64| {
            if (min..=max).contains(&value) {
                Ok(Duration::from_secs(value))
            } else {
                Err(ConfigError::new(
                    place.name(),
                    format!("grant.{key} = {value}: it must be between {min} and {max}"),
                ))
            }
        };
        Ok(GrantTimes {
            lifetime: bounded("lifetime_seconds", self.lifetime_seconds, 30, 900)?,
            proposal_ttl: bounded("proposal_ttl_seconds", self.proposal_ttl_seconds, 60, 86_400)?,
        })
    }
}

/// Where the config came from: names it in errors and anchors relative paths.
struct Place {
    file: Option<PathBuf>,
    folder: Option<PathBuf>,
    text: String,
}

impl Place {
    fn of(path: Option<&Path>) -> Self {
        let folder = path.map(|p| match p.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        });
        let text = path.and_then(|p| std::fs::read_to_string(p).ok()).unwrap_or_default();
        Self { file: path.map(Path::to_path_buf), folder, text }
    }

    fn name(&self) -> String {
        self.file.as_ref().map_or_else(|| "configuration".to_owned(), |f| f.display().to_string())
    }

    fn at(&self, offset: usize) -> String {
        format!("{}:{}", self.name(), line_of(&self.text, offset))
    }

    /// `~/` is the home folder; a relative path is beside the config file.
    fn resolve(&self, path: PathBuf, env: &Environment) -> PathBuf {
        if let (Ok(rest), Some(home)) = (path.strip_prefix("~"), env.path("HOME")) {
            return home.join(rest);
        }
        match &self.folder {
            Some(folder) if path.is_relative() => folder.join(path),
            _ => path,
        }
    }
}
