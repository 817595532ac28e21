//! Recovery actions: a named list of steps with typed parameters. The format is described in `docs/ACTIONS.md`.
//!
//! Nothing is run here. [`Action::bind`] checks parameters and gives a [`Bound`], whose steps the target runs and whose
//! [`Bound::lines`] are what a person reads before signing.

mod file;
mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::Risk;
use crate::types::ValueType;
pub use template::Template;

include!(concat!(env!("OUT_DIR"), "/actions.rs"));

/// Values by name: parameters first, captures are added as steps run.
pub type Vars = BTreeMap<String, String>;

/// One action.
#[derive(Debug, Clone)]
pub struct Action {
    /// Its name: lower-case letters, digits and `_`.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// What it does and what that costs.
    pub description: String,
    /// How bad it could be.
    pub risk: Risk,
    /// Distinct persons who must sign, at least 1; a target's policy may ask for more.
    pub approvals: u32,
    /// Units whose failure this action mends.
    pub units: Vec<String>,
    /// Its parameters by name.
    pub params: BTreeMap<String, Param>,
    /// Steps that change nothing; one that fails ends the action before anything has changed.
    pub precheck: Vec<Step>,
    /// Steps that change something.
    pub run: Vec<Step>,
    /// Steps that prove the outcome.
    pub verify: Vec<Step>,
    /// Steps that follow a failed run or verify step.
    pub rollback: Vec<Step>,
    plan: String,
}

/// A parameter.
#[derive(Debug, Clone)]
pub struct Param {
    /// What its values may be.
    pub ty: ValueType,
    /// It may be left out.
    pub optional: bool,
    /// What it means.
    pub description: String,
}

/// Where in an action a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Before anything changes.
    Precheck,
    /// The change.
    Run,
    /// The proof.
    Verify,
    /// After a failure.
    Rollback,
}

impl Phase {
    /// The word for it in results and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Precheck => "precheck",
            Self::Run => "run",
            Self::Verify => "verify",
            Self::Rollback => "rollback",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One program with its arguments, and what its end must look like.
#[derive(Debug, Clone)]
pub struct Step {
    argv: Vec<Template>,
    /// What must be true of its end.
    pub expect: Expect,
    /// Keeps the output under a name.
    pub capture: Option<Capture>,
    /// Runs only if this holds.
    pub when: Option<When>,
    /// Tries again while `expect` does not hold.
    pub retry: Option<Retry>,
    /// A precheck: when it passes, there is nothing to do.
    pub already_ok: bool,
    /// Seconds that one try may take.
    pub timeout_seconds: u64,
}

/// What a step's end must look like. Output is compared without the blanks around it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The exit status.
    #[serde(default)]
    pub exit: i32,
    /// The whole output.
    pub stdout: Option<String>,
    /// A part of the output.
    pub stdout_contains: Option<String>,
    /// The output is not empty and not what was captured under this name.
    pub differs: Option<String>,
}

/// Keeps a step's output.
#[derive(Debug, Clone)]
pub struct Capture {
    /// The name under which later steps use it.
    pub name: String,
    /// What it must be.
    pub ty: ValueType,
    /// It may be empty.
    pub empty: bool,
}

/// When a step runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// A parameter or capture.
    pub var: String,
    /// What it must be.
    pub is: Is,
}

/// A state of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Is {
    /// Given and not empty.
    Set,
    /// Not given, or empty.
    Empty,
}

/// How often to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Seconds after which it has failed; at most 600.
    pub seconds: u64,
    /// Milliseconds between two tries; at least 50.
    pub every_ms: u64,
}

impl Step {
    /// The words to run, with parameters and captures filled in.
    ///
    /// # Errors
    /// A value that is missing or would become an option.
    pub fn argv(&self, vars: &Vars) -> Result<Vec<String>, String> {
        self.argv.iter().map(|word| word.fill(vars)).collect()
    }

    /// The words as a person reads them: what is not known yet stands as `{name}`.
    pub fn show(&self, vars: &Vars) -> Vec<String> {
        self.argv.iter().map(|word| word.show(vars)).collect()
    }

    /// Whether it runs with these values.
    pub fn applies(&self, vars: &Vars) -> bool {
        let set = |var: &str| vars.get(var).is_some_and(|value| !value.is_empty());
        self.when.as_ref().is_none_or(|when| set(&when.var) == (when.is == Is::Set))
    }
}

impl Expect {
    /// Why the end is not as expected; `None` when it is. `exit` is `None` for a step that was killed.
    pub fn misses(&self, exit: Option<i32>, stdout: &str, vars: &Vars) -> Option<String> {
        let found = stdout.trim();
        let brief = || found.chars().take(200).collect::<String>();
        if exit != Some(self.exit) {
            let ended = exit.map_or_else(|| "was killed".to_owned(), |exit| format!("exit {exit}"));
            return Some(format!("{ended}, expected exit {}", self.exit));
        }
        if let Some(text) = self.stdout.as_deref().filter(|text| found != *text) {
            return Some(format!("printed {:?}, expected {text:?}", brief()));
        }
        if let Some(text) = self.stdout_contains.as_deref().filter(|text| !found.contains(*text)) {
            return Some(format!("printed {:?}, expected {text:?} in it", brief()));
        }
        let same = |name: &&str| found.is_empty() || vars.get(*name).is_some_and(|before| before == found);
        self.differs
            .as_deref()
            .filter(same)
            .map(|name| format!("printed {:?}, which must differ from {name}", brief()))
    }
}

impl Action {
    /// Reads an action file.
    ///
    /// # Errors
    /// The first thing that is wrong in it.
    pub fn parse(file: &str, text: &str) -> Result<Self, ActionError> {
        file::parse(file, text)
    }

    /// SHA-256 of the file's exact bytes, 64 hexadecimal digits: what a grant binds.
    pub fn plan(&self) -> &str {
        &self.plan
    }

    /// The steps of a phase.
    pub fn steps(&self, phase: Phase) -> &[Step] {
        match phase {
            Phase::Precheck => &self.precheck,
            Phase::Run => &self.run,
            Phase::Verify => &self.verify,
            Phase::Rollback => &self.rollback,
        }
    }

    /// Checks parameters and binds them.
    ///
    /// # Errors
    /// A parameter that is missing, unknown or not of its type.
    pub fn bind(&self, params: &BTreeMap<String, String>) -> Result<Bound<'_>, ParamError> {
        if let Some(name) = params.keys().find(|name| !self.params.contains_key(*name)) {
            return Err(ParamError::new(name, "there is no such parameter"));
        }
        for (name, param) in &self.params {
            match params.get(name) {
                None if param.optional => {}
                None => return Err(ParamError::new(name, format!("is missing: {}", param.ty))),
                Some(value) if value.starts_with('-') => {
                    return Err(ParamError::new(name, "must not begin with '-'"));
                }
                Some(value) => param.ty.check(value).map_err(|cause| ParamError::new(name, cause))?,
            }
        }
        Ok(Bound { action: self, vars: params.clone() })
    }
}

/// An action with its parameters.
#[derive(Debug, Clone)]
pub struct Bound<'a> {
    /// The action.
    pub action: &'a Action,
    vars: Vars,
}

impl Bound<'_> {
    /// The parameters that were given.
    pub fn vars(&self) -> &Vars {
        &self.vars
    }

    /// Each step with its phase, as a person reads it. Steps that these parameters rule out are left out.
    pub fn lines(&self) -> impl Iterator<Item = (Phase, Vec<String>)> + '_ {
        let phases = [Phase::Precheck, Phase::Run, Phase::Verify, Phase::Rollback];
        phases.into_iter().flat_map(move |phase| {
            let steps = self.action.steps(phase).iter().filter(|step| self.may_apply(step));
            steps.map(move |step| (phase, step.show(&self.vars)))
        })
    }

    /// What depends on a capture may yet run.
    fn may_apply(&self, step: &Step) -> bool {
        let on_param = step.when.as_ref().is_some_and(|when| self.action.params.contains_key(&when.var));
        !on_param || step.applies(&self.vars)
    }
}

/// Why parameters are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamError {
    /// The parameter.
    pub param: String,
    /// What is wrong with it.
    pub cause: String,
}

impl ParamError {
    fn new(param: &str, cause: impl Into<String>) -> Self {
        Self { param: param.to_owned(), cause: cause.into() }
    }
}

impl fmt::Display for ParamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.param.escape_debug(), self.cause)
    }
}

impl std::error::Error for ParamError {}

/// Why an action file is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub cause: String,
}

impl fmt::Display for ActionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.cause)
    }
}

impl std::error::Error for ActionError {}

/// All actions that are in force.
#[derive(Debug, Clone)]
pub struct Actions {
    list: Vec<Action>,
}

impl Actions {
    /// The built-in actions.
    ///
    /// # Errors
    /// A built-in file that is wrong; a test keeps that from happening.
    pub fn builtin() -> Result<Self, ActionError> {
        Self::with_files([])
    }

    /// The built-in actions and others, given as file name and text.
    ///
    /// # Errors
    /// The first wrong file, with its line. Two actions cannot have the same name: what an approver knows under a name
    /// is one thing.
    pub fn with_files(files: impl IntoIterator<Item = (String, String)>) -> Result<Self, ActionError> {
        let builtin = ACTIONS.iter().map(|(name, text)| (format!("builtin/{name}"), (*text).to_owned()));
        let mut list: Vec<Action> = Vec::new();
        for (file, text) in builtin.chain(files) {
            let action = Action::parse(&file, &text)?;
            if list.iter().any(|other| other.name == action.name) {
                let cause = format!("there is an action {} already", action.name);
                return Err(ActionError { file, line: 1, cause });
            }
            list.push(action);
        }
        list.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { list })
    }

    /// The action of this name.
    pub fn get(&self, name: &str) -> Option<&Action> {
        self.list.iter().find(|action| action.name == name)
    }

    /// All actions, by name.
    pub fn iter(&self) -> std::slice::Iter<'_, Action> {
        self.list.iter()
    }
}

impl<'a> IntoIterator for &'a Actions {
    type Item = &'a Action;
    type IntoIter = std::slice::Iter<'a, Action>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
