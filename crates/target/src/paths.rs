//! Where everything lies.

use std::path::{Path, PathBuf};

/// Where the wrapper's log lines go.
#[derive(Debug, Clone)]
pub enum Log {
    /// The system's log socket.
    Syslog(PathBuf),
    /// A file, for targets that are no systems.
    File(PathBuf),
}

/// Every fixed place of the target programs.
#[derive(Debug, Clone)]
pub struct Paths {
    /// `/`, or the folder that plays it.
    root: PathBuf,
    /// Owners whose files are trusted: root, and for a played root the calling user.
    pub(crate) owners: Vec<u32>,
    /// Whether this is the system itself.
    pub(crate) system: bool,
    /// Where the wrapper's log lines go.
    pub log: Log,
}

impl Paths {
    /// The places of the installed programs.
    pub fn system() -> Self {
        Self { root: "/".into(), owners: vec![0], system: true, log: Log::Syslog("/dev/log".into()) }
    }

    /// A folder that plays `/` for the calling user: for the demo and for tests. Programs that are not found beneath it are
    /// taken from the system.
    pub fn beneath(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let me = rustix::process::geteuid().as_raw();
        Self {
            log: Log::File(root.join("var/log/mcp-wrapper.log")),
            root,
            owners: vec![0, me],
            system: false,
        }
    }

    /// A place of the system beneath the root.
    pub(crate) fn at(&self, place: &str) -> PathBuf {
        self.root.join(place.trim_start_matches('/'))
    }

    /// The wrapper itself.
    pub const WRAPPER: &str = "/usr/local/bin/mcp-wrapper";
    /// The runner's forced command.
    pub const PRA_EXEC: &str = "/usr/local/bin/pra-exec";
    /// What the runner's sudo line permits.
    pub const PRA_RUN: &str = "/usr/local/sbin/pra-run";

    /// Configuration of the target.
    pub(crate) fn config(&self) -> PathBuf {
        self.at("/etc/mcp-linux-infra/target.toml")
    }
    /// Who may approve.
    pub(crate) fn approvers(&self) -> PathBuf {
        self.at("/etc/mcp-linux-infra/approvers")
    }
    /// Extra plugins.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.at("/etc/mcp-linux-infra/plugins.d")
    }
    /// Extra actions.
    pub(crate) fn actions(&self) -> PathBuf {
        self.at("/etc/mcp-linux-infra/actions.d")
    }
    /// Used grants.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.at("/var/lib/mcp-linux-infra/ledger")
    }
    /// The chained log.
    pub(crate) fn pra_log(&self) -> PathBuf {
        self.at("/var/log/pra-run.log")
    }

    /// The root folder.
    pub fn root(&self) -> &Path {
        &self.root
    }
}
