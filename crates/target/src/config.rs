//! What the target's root has decided: `target.toml`, the approvers, extra plugins and actions.

mod approval;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use grant::{Approvers, Threshold};
use policy::action::{Action, Actions};
use policy::address;
use policy::lex::lex;
use policy::{Catalogue, Judgement, Level};
use serde::Deserialize;

use crate::{Paths, files};

pub use approval::{ActionApproval, Approval, BreakGlass, COMMAND, Calendar, Rule};
use approval::{RawFreeze, RawWindow, check_actions};

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
    /// What rules may ask for: `prod`, `dns`.
    pub tags: Vec<String>,
    /// Who must approve what.
    pub approval: Approval,
    /// What one person may run where more are asked for; without an entry nothing.
    pub break_glass: Vec<BreakGlass>,
    /// When what may run in a maintenance window only.
    window: Vec<RawWindow>,
    /// When nothing runs.
    freeze: Vec<RawFreeze>,
    /// Windows and freezes, read.
    #[serde(skip)]
    pub calendar: Calendar,
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
    pub allow: Vec<address::Rule>,
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

impl Default for Config {
    fn default() -> Self {
        Self {
            tenant: "default".to_owned(),
            host: None,
            sandbox: Sandbox::Enforce,
            session_idle_seconds: 300,
            tags: Vec::new(),
            approval: Approval::default(),
            break_glass: Vec::new(),
            window: Vec::new(),
            freeze: Vec::new(),
            calendar: Calendar::default(),
            probe: Probe::default(),
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
        let mut config: Self = toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(1, |s| text.bytes().take(s.start).filter(|b| *b == b'\n').count() + 1);
            format!("{}:{line}: {}", path.display(), e.message())
        })?;
        config.complete().map_err(|cause| format!("{}: {cause}", path.display()))?;
        Ok(config)
    }

    /// Reads what TOML has no types for, and checks the rest.
    fn complete(&mut self) -> Result<(), String> {
        if !(1..=86_400).contains(&self.session_idle_seconds) {
            return Err("session_idle_seconds must be 1 to 86400".to_owned());
        }
        self.approval.check()?;
        if self.break_glass.iter().any(|entry| entry.actions.is_empty()) {
            return Err("break_glass.actions: at least one action".to_owned());
        }
        let windows = std::mem::take(&mut self.window).into_iter().map(RawWindow::read);
        self.calendar.windows = windows.collect::<Result<_, _>>()?;
        let freezes = std::mem::take(&mut self.freeze).into_iter().map(RawFreeze::read);
        self.calendar.freezes = freezes.collect::<Result<_, _>>()?;
        self.check_tags()
    }

    /// One spelling of each tag: what is misspelled would be a rule that never applies.
    fn check_tags(&self) -> Result<(), String> {
        let rules = self.approval.rule.iter().flat_map(|r| &r.tags);
        let glass = self.break_glass.iter().flat_map(|b| &b.tags);
        let windows = self.calendar.windows.iter().flat_map(|w| &w.scope.tags);
        let freezes = self.calendar.freezes.iter().flat_map(|f| &f.scope.tags);
        let good = |tag: &String| {
            (1..=64).contains(&tag.len())
                && tag.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        };
        match self.tags.iter().chain(rules).chain(glass).chain(windows).chain(freezes).find(|t| !good(t)) {
            None => Ok(()),
            Some(tag) => Err(format!("{tag:?}: a tag is 1 to 64 of a-z, 0-9, `.`, `_` and `-`")),
        }
    }

    /// Checks that every action that a rule names is one of this target.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check_actions(&self, actions: &Actions) -> Result<(), String> {
        let own: Vec<String> = self.approval.actions.keys().cloned().collect();
        check_actions(&own, actions, "approval.actions")?;
        let rules = self.approval.rule.iter().map(|r| (&r.actions, "approval.rule"));
        let glass = self.break_glass.iter().map(|b| (&b.actions, "break_glass"));
        let windows = self.calendar.windows.iter().map(|w| (&w.scope.actions, "window"));
        let freezes = self.calendar.freezes.iter().map(|f| (&f.scope.actions, "freeze"));
        rules
            .chain(glass)
            .chain(windows)
            .chain(freezes)
            .try_for_each(|(names, place)| check_actions(names, actions, place))
    }

    /// The host's name in the inventory.
    pub fn host_name(&self) -> String {
        let node = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        self.host.clone().unwrap_or_else(node)
    }

    /// How many must sign an action; `None` is a single command.
    pub fn threshold(&self, action: Option<&Action>) -> Threshold {
        self.approval.threshold(action, &self.tags)
    }

    /// What lets one person run this where more are asked for.
    pub(crate) fn glass<'a>(&'a self, action: &'a str) -> impl Iterator<Item = &'a BreakGlass> {
        self.break_glass.iter().filter(move |entry| entry.covers(action, &self.tags))
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
