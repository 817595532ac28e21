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

    /// The wrapper itself: from the installation script, or from a package.
    pub const WRAPPER: [&str; 2] = ["/usr/local/bin/mcp-wrapper", "/usr/bin/mcp-wrapper"];
    /// The runner's forced command, likewise.
    pub const PRA_EXEC: [&str; 2] = ["/usr/local/bin/pra-exec", "/usr/bin/pra-exec"];
    /// What the runner's sudo line permits, likewise.
    const PRA_RUN: [&str; 2] = ["/usr/local/sbin/pra-run", "/usr/sbin/pra-run"];

    /// Where `pra-run` is: in `/usr/local/sbin` if it is there, else where a package puts it. Under the other one the sudo rule
    /// does not fit, and nothing runs.
    pub fn pra_run(&self) -> &'static str {
        let [script, package] = Self::PRA_RUN;
        if self.at(script).is_file() { script } else { package }
    }

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

#[cfg(test)]
mod tests {
    use super::Paths;

    #[test]
    fn pra_run_is_the_one_of_the_script_if_it_is_there_else_that_of_the_package() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::beneath(root.path());
        let place = |folder: &str| {
            let folder = root.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            folder.join("pra-run")
        };
        assert_eq!(paths.pra_run(), "/usr/sbin/pra-run");
        std::fs::write(place("usr/sbin"), "").unwrap();
        std::fs::create_dir_all(place("usr/local/sbin")).unwrap();
        assert_eq!(paths.pra_run(), "/usr/sbin/pra-run", "a folder of that name is no program");
        std::fs::remove_dir(place("usr/local/sbin")).unwrap();
        std::fs::write(place("usr/local/sbin"), "").unwrap();
        assert_eq!(paths.pra_run(), "/usr/local/sbin/pra-run");
    }
}
