//! What the target's root has decided: `target.toml`, the approvers, extra plugins and actions.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use grant::{Approvers, Threshold};
use policy::action::{Action, Actions};
use policy::address::Rule;
use policy::lex::lex;
use policy::{Catalogue, Judgement, Level};
use serde::Deserialize;

use crate::{Paths, files};

/// `/etc/mcp-linux-infra/target.toml`; every key may be left out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The tenant that the host belongs to.
    pub tenant: String,
    /// The host's name in the inventory; the system's host name when left out.
    pub host: Option<String>,
    /// Whether to run what the kernel cannot confine.
    pub sandbox: Sandbox,
    /// How long a reader's session may be idle before it is ended, in seconds; 1 to 86400.
    pub session_idle_seconds: u64,
    /// Who must approve what.
    pub approval: Approval,
    /// What `probe` may connect to.
    pub probe: Probe,
}

/// What `probe` may connect to. Some addresses it never does ([`policy::address::never`]).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Probe {
    /// The host's own addresses, and some ports of its gateways and resolvers.
    pub own: bool,
    /// More: `10.0.0.0/8:443`, `10.0.0.5:8000-8100`, `[fd00::/8]:*`.
    pub allow: Vec<Rule>,
}

impl Default for Probe {
    fn default() -> Self {
        Self { own: true, allow: Vec::new() }
    }
}

/// What to do when the kernel cannot confine a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// Refuse.
    Enforce,
    /// Confine as far as it can.
    BestEffort,
}

/// Who must approve what.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Approval {
    /// Distinct persons for every action, at least.
    pub min: u32,
    /// The longest life of a grant, in seconds; at most 900.
    pub max_lifetime_seconds: i64,
    /// What FIDO2 keys must have been made for.
    pub application: String,
    /// More for some actions; `command` for single commands.
    pub actions: BTreeMap<String, ActionApproval>,
}

/// What one action asks for on this target.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActionApproval {
    /// Distinct persons, at least; the action's own number counts when it is higher.
    pub min: u32,
    /// Every signature must be by a FIDO2 key that verified its user.
    pub verify_required: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tenant: "default".to_owned(),
            host: None,
            sandbox: Sandbox::Enforce,
            session_idle_seconds: 300,
            approval: Approval::default(),
            probe: Probe::default(),
        }
    }
}

impl Default for Approval {
    fn default() -> Self {
        Self {
            min: 1,
            max_lifetime_seconds: 900,
            application: grant::APPLICATION.to_owned(),
            actions: BTreeMap::new(),
        }
    }
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong with it, with file and line.
    pub fn load(paths: &Paths) -> Result<Self, String> {
        let path = paths.config();
        let Some(text) = files::read_trusted(paths, &path)? else { return Ok(Self::default()) };
        let config: Self = toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(1, |s| text.bytes().take(s.start).filter(|b| *b == b'\n').count() + 1);
            format!("{}:{line}: {}", path.display(), e.message())
        })?;
        if !(30..=900).contains(&config.approval.max_lifetime_seconds) {
            return Err(format!("{}: approval.max_lifetime_seconds must be 30 to 900", path.display()));
        }
        if config.approval.min == 0 {
            return Err(format!("{}: approval.min must be at least 1", path.display()));
        }
        if !(1..=86_400).contains(&config.session_idle_seconds) {
            return Err(format!("{}: session_idle_seconds must be 1 to 86400", path.display()));
        }
        Ok(config)
    }

    /// The host's name in the inventory.
    pub fn host_name(&self) -> String {
        let node = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        self.host.clone().unwrap_or_else(node)
    }

    /// How many must sign an action; `None` is a single command.
    pub fn threshold(&self, action: Option<&Action>) -> Threshold {
        let name = action.map_or("command", |a| a.name.as_str());
        let own = self.approval.actions.get(name).copied().unwrap_or_default();
        let min = self.approval.min.max(own.min).max(action.map_or(1, |a| a.approvals));
        Threshold { min, verify_required: own.verify_required }
    }
}

/// The policy in force on this target.
///
/// # Errors
/// The first wrong plugin file; nothing is judged with half a policy.
pub fn catalogue(paths: &Paths) -> Result<Catalogue, String> {
    let extra = files::read_folder(paths, &paths.plugins())?;
    // A target runs nothing as root on the word of a plugin alone: what is added here is added by root.
    Catalogue::with_plugins(extra).map_err(|e| e.to_string())
}

/// The verdict of this target on one line, by no more of the built-in plugins than list its command.
///
/// # Errors
/// The first wrong plugin file; nothing is judged with half a policy.
pub fn judge(paths: &Paths, line: &str) -> Result<Judgement, String> {
    let extra = files::read_folder(paths, &paths.plugins())?;
    Ok(Catalogue::for_line(line, extra).map_err(|e| e.to_string())?.judge(line))
}

/// How a process judges.
#[derive(Debug)]
pub(crate) enum Policy {
    /// One line, and then it ends.
    Once,
    /// Many lines: the plugin files are read for each, and compiled again when one of them has changed.
    Kept(Mutex<Kept>),
}

/// What many lines share: the plugin files, and for each command that was asked for what they and the built-in plugins say of it.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    files: Files,
    commands: HashMap<String, Arc<Catalogue>>,
}

/// Commands that are kept. All built-in plugins would take some MiB; whoever asks for more commands than this waits for each again.
const COMMANDS: usize = 32;

/// Plugin files, name and text.
type Files = Vec<(String, String)>;

impl Policy {
    /// For many lines.
    pub(crate) fn kept() -> Self {
        Self::Kept(Mutex::default())
    }

    /// The verdict by the policy in force now.
    pub(crate) fn judge(&self, paths: &Paths, line: &str) -> Result<Judgement, String> {
        let Self::Kept(kept) = self else { return judge(paths, line) };
        let files = files::read_folder(paths, &paths.plugins())?;
        // What is read for a line depends on its command alone; a line that is none has none.
        let command = lex(line).map(|words| words[0].clone()).unwrap_or_default();
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.files != files {
            *kept = Kept { files: files.clone(), commands: HashMap::new() };
        }
        let catalogue = if let Some(catalogue) = kept.commands.get(&command) {
            Arc::clone(catalogue)
        } else {
            let read = Arc::new(Catalogue::for_line(line, files).map_err(|e| e.to_string())?);
            if kept.commands.len() >= COMMANDS {
                kept.commands.clear();
            }
            kept.commands.insert(command, Arc::clone(&read));
            read
        };
        drop(kept);
        Ok(catalogue.judge(line))
    }
}

/// The actions in force on this target.
///
/// # Errors
/// The first wrong action file.
pub fn actions(paths: &Paths) -> Result<Actions, String> {
    Actions::with_files(files::read_folder(paths, &paths.actions())?).map_err(|e| e.to_string())
}

/// Who may approve; nobody when the file is missing.
///
/// # Errors
/// A wrong file, with its line.
pub fn approvers(paths: &Paths) -> Result<Approvers, String> {
    let path = paths.approvers();
    match files::read_trusted(paths, &path)? {
        None => Ok(Approvers::default()),
        Some(text) => Approvers::parse(&text).map_err(|e| format!("{}: {e}", path.display())),
    }
}

/// Whether a verdict lets the runner run a command.
pub(crate) fn runnable(level: Level) -> bool {
    matches!(level, Level::Manual | Level::Auto)
}
