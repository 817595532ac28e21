//! Recovery actions: what a TOML file of the catalogue says, and the steps that it becomes once its parameters are
//! bound. The format is described in `docs/ACTIONS.md`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::plugin::line_of;
use crate::types::ValueType;
use crate::{PluginError, Risk, sha256_hex};

include!(concat!(env!("OUT_DIR"), "/actions.rs"));

/// The most distinct persons that an action may ask for.
const MAX_APPROVALS: u32 = 8;
/// The longest that one step may take, in seconds.
const MAX_SECONDS: u64 = 3600;

/// A named recovery.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// Its name: lower-case letters, digits and `_`.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// What it does.
    pub description: String,
    /// How bad it could be.
    pub risk: Risk,
    /// Distinct persons who must sign, at least.
    #[serde(default = "one")]
    pub approvals: u32,
    /// Time for each step, in seconds.
    #[serde(default = "a_minute")]
    pub timeout_seconds: u64,
    /// Units whose failure this action mends.
    #[serde(default)]
    pub units: Vec<String>,
    /// Its parameters.
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
    /// What must hold before anything changes.
    #[serde(default)]
    pub precheck: Vec<Step>,
    /// What changes something.
    #[serde(default)]
    pub run: Vec<Step>,
    /// What proves the outcome.
    #[serde(default)]
    pub verify: Vec<Step>,
    /// What is done when a run or verify step failed.
    #[serde(default)]
    pub rollback: Vec<Step>,
    #[serde(skip)]
    plan: String,
}

fn one() -> u32 {
    1
}

fn a_minute() -> u64 {
    60
}

/// A parameter.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// What its value may be.
    #[serde(rename = "type")]
    pub ty: ValueType,
    /// Whether it may be left out.
    #[serde(default)]
    pub optional: bool,
    /// What it means.
    #[serde(default)]
    pub description: String,
}

/// One program that an action runs. There is no shell.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The words; `{name}` is a parameter or a capture.
    pub argv: Vec<String>,
    /// What its result must be.
    #[serde(default)]
    pub expect: Expect,
    /// Keeps its output for later steps.
    #[serde(default)]
    pub capture: Option<Capture>,
    /// Runs only under this condition.
    #[serde(default)]
    pub when: Option<When>,
    /// Tries again until it is as expected.
    #[serde(default)]
    pub retry: Option<Retry>,
    /// On a precheck: when it is as expected, nothing needs to run.
    #[serde(default)]
    pub already_ok: bool,
    /// Time for this step, in seconds, instead of the action's.
    #[serde(default)]
    pub timeout_seconds: Option<u64>,
}

/// What a step's result must be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Exit status; 0 when left out.
    #[serde(default)]
    pub exit: i32,
    /// All of stdout, blanks at its ends left out.
    #[serde(default)]
    pub stdout: Option<String>,
    /// A part of stdout.
    #[serde(default)]
    pub stdout_contains: Option<String>,
}

impl Expect {
    /// Whether a result is as expected.
    pub fn holds(&self, exit: i32, stdout: &str) -> bool {
        exit == self.exit
            && self.stdout.as_ref().is_none_or(|s| stdout.trim() == s)
            && self.stdout_contains.as_ref().is_none_or(|s| stdout.contains(s))
    }
}

/// Keeps a step's output.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    /// By which name.
    pub name: String,
    /// What it must be, blanks at its ends left out.
    #[serde(rename = "type")]
    pub ty: ValueType,
    /// Whether it may be empty.
    #[serde(default)]
    pub empty: bool,
}

/// A condition on a parameter or capture.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Its name.
    pub var: String,
    /// What it must be.
    pub is: Presence,
}

/// Whether a value is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It has a value.
    Set,
    /// It has none.
    Empty,
}

/// How often to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// For how long, in seconds.
    pub seconds: u64,
    /// How often, in milliseconds.
    pub every_ms: u64,
}

/// The part of an action that a step belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Before anything changes.
    Precheck,
    /// The change.
    Run,
    /// The proof.
    Verify,
    /// The way back.
    Rollback,
}

impl Phase {
    /// The word for it.
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

/// Why parameters do not fit an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamError(String);

impl fmt::Display for ParamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParamError {}

impl Action {
    /// Reads an action file.
    ///
    /// # Errors
    /// What is wrong, with its line; nothing of a wrong file is used.
    pub fn parse(file: &str, text: &str) -> Result<Self, PluginError> {
        let wrong = |line: usize, cause: String| PluginError { file: file.to_owned(), line, cause };
        let mut action: Self = toml::from_str(text)
            .map_err(|e| wrong(e.span().map_or(1, |s| line_of(text, s.start)), e.message().to_owned()))?;
        action.check().map_err(|(word, cause)| {
            let at = text.find(&word).unwrap_or(0);
            wrong(line_of(text, at), cause)
        })?;
        action.plan = sha256_hex(&[text.as_bytes()]);
        Ok(action)
    }

    /// SHA-256 of the file's exact bytes.
    pub fn plan(&self) -> &str {
        &self.plan
    }

    /// The steps with their phases, in the order in which they are written.
    pub fn steps(&self) -> impl Iterator<Item = (Phase, &Step)> {
        let of = |phase| move |step| (phase, step);
        let before = self.precheck.iter().map(of(Phase::Precheck)).chain(self.run.iter().map(of(Phase::Run)));
        before
            .chain(self.verify.iter().map(of(Phase::Verify)))
            .chain(self.rollback.iter().map(of(Phase::Rollback)))
    }

    /// What is wrong, with a word of the file near which it is.
    fn check(&self) -> Result<(), (String, String)> {
        let fail = |word: &str, cause: String| Err((word.to_owned(), cause));
        if !is_word(&self.name) {
            return fail(
                &self.name,
                format!("{:?} is no action name: lower-case letters, digits and '_'", self.name),
            );
        }
        if !(1..=MAX_APPROVALS).contains(&self.approvals) {
            return fail("approvals", format!("approvals must be 1 to {MAX_APPROVALS}"));
        }
        if self.run.is_empty() {
            return fail(&self.name, "it has no [[run]] step".to_owned());
        }
        let mut known: Vec<&str> = self.params.keys().map(String::as_str).collect();
        if let Some(bad) = known.iter().find(|n| !is_word(n)) {
            return fail(bad, format!("{bad:?} is no parameter name"));
        }
        for (phase, step) in self.steps() {
            let first = step.argv.first().map(String::as_str).unwrap_or_default();
            if first.is_empty() || first.contains(['/', '{', ' ']) || first.starts_with('-') {
                return fail(
                    first,
                    format!("{phase}: argv must begin with a bare program name, not {first:?}"),
                );
            }
            if !(1..=MAX_SECONDS).contains(&step.timeout_seconds.unwrap_or(self.timeout_seconds)) {
                return fail("timeout_seconds", format!("timeout_seconds must be 1 to {MAX_SECONDS}"));
            }
            if step.already_ok && phase != Phase::Precheck {
                return fail("already_ok", "already_ok belongs to a precheck".to_owned());
            }
            if let Some(bad) =
                step.retry.filter(|r| r.seconds > MAX_SECONDS || !(50..=60_000).contains(&r.every_ms))
            {
                return fail(
                    "retry",
                    format!("retry every {} ms for {} s is out of range", bad.every_ms, bad.seconds),
                );
            }
            for name in
                step.argv.iter().flat_map(|w| names(w)).chain(step.when.as_ref().map(|w| w.var.as_str()))
            {
                if !known.contains(&name) {
                    return fail(
                        name,
                        format!("{phase}: {name:?} is neither a parameter nor an earlier capture"),
                    );
                }
            }
            if let Some(capture) = &step.capture {
                if phase != Phase::Precheck
                    || !is_word(&capture.name)
                    || known.contains(&capture.name.as_str())
                {
                    return fail(
                        &capture.name,
                        format!("capture {:?}: a new name, in a precheck", capture.name),
                    );
                }
                known.push(&capture.name);
            }
        }
        Ok(())
    }

    /// Checks parameters by their types.
    ///
    /// # Errors
    /// A parameter that is missing, unknown or not of its type.
    pub fn bind(&self, params: &BTreeMap<String, String>) -> Result<Bound<'_>, ParamError> {
        for (name, value) in params {
            let param = self.params.get(name).ok_or_else(|| {
                let known: Vec<_> = self.params.keys().map(String::as_str).collect();
                ParamError(format!("there is no parameter {name:?}; there are: {}", known.join(", ")))
            })?;
            param.ty.check(value).map_err(|cause| ParamError(format!("{name} = {value:?}: {cause}")))?;
            if value.starts_with('-') {
                return Err(ParamError(format!("{name} = {value:?}: a value must not begin with '-'")));
            }
        }
        if let Some((name, _)) = self.params.iter().find(|(n, p)| !p.optional && !params.contains_key(*n)) {
            return Err(ParamError(format!("the parameter {name:?} is missing")));
        }
        Ok(Bound { action: self, values: params.clone() })
    }
}

/// An action with its values.
#[derive(Debug, Clone)]
pub struct Bound<'a> {
    action: &'a Action,
    values: BTreeMap<String, String>,
}

impl<'a> Bound<'a> {
    /// The action.
    pub fn action(&self) -> &'a Action {
        self.action
    }

    /// Keeps what a precheck has found.
    ///
    /// # Errors
    /// A value that is not of the capture's type.
    pub fn capture(&mut self, capture: &Capture, output: &str) -> Result<(), ParamError> {
        let value = output.trim();
        if value.is_empty() && capture.empty {
            return Ok(());
        }
        if value.starts_with('-') {
            return Err(ParamError(format!("{}: {value:?} begins with '-'", capture.name)));
        }
        capture
            .ty
            .check(value)
            .map_err(|cause| ParamError(format!("{}: {value:?}: {cause}", capture.name)))?;
        self.values.insert(capture.name.clone(), value.to_owned());
        Ok(())
    }

    /// Whether a step's condition holds.
    pub fn applies(&self, step: &Step) -> bool {
        step.when.as_ref().is_none_or(|when| {
            let set = self.values.contains_key(&when.var);
            set == (when.is == Presence::Set)
        })
    }

    /// The words of a step. A name without a value gives an empty text; conditions keep such steps from running.
    pub fn argv(&self, step: &Step) -> Vec<String> {
        step.argv.iter().map(|word| fill(word, &self.values)).collect()
    }

    /// All steps as a person should read them before signing: names of captures stay as they are written.
    pub fn lines(&self) -> impl Iterator<Item = (Phase, Vec<String>)> + use<'a> {
        let mut shown = self.values.clone();
        let captures: Vec<&Capture> =
            self.action.precheck.iter().filter_map(|s| s.capture.as_ref()).collect();
        for capture in &captures {
            shown.entry(capture.name.clone()).or_insert_with(|| format!("{{{}}}", capture.name));
        }
        let optional = |when: &When| self.values.contains_key(&when.var) == (when.is == Presence::Set);
        let known = |when: &When| captures.iter().all(|c| c.name != when.var);
        let steps: Vec<(Phase, Vec<String>)> = self
            .action
            .steps()
            .filter(|(_, s)| s.when.as_ref().is_none_or(|w| !known(w) || optional(w)))
            .map(|(phase, step)| (phase, step.argv.iter().map(|w| fill(w, &shown)).collect()))
            .collect();
        steps.into_iter()
    }
}

fn is_word(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Splits a word into plain text and `{name}`; `{{` and whatever is no name stay as they are.
fn parts(word: &str) -> Vec<(&str, Option<&str>)> {
    let mut found = Vec::new();
    let mut from = 0;
    let mut at = 0;
    while let Some(open) = word[at..].find('{').map(|i| at + i) {
        let rest = &word[open + 1..];
        if rest.starts_with('{') {
            // A template of the program's own, up to its end.
            at = rest.find("}}").map_or(word.len(), |i| open + 1 + i + 2);
            continue;
        }
        match rest.split_once('}').filter(|(name, _)| is_word(name)) {
            Some((name, _)) => {
                found.push((&word[from..open], Some(name)));
                from = open + name.len() + 2;
                at = from;
            }
            None => at = open + 1,
        }
    }
    found.push((&word[from..], None));
    found
}

fn names(word: &str) -> impl Iterator<Item = &str> {
    parts(word).into_iter().filter_map(|(_, name)| name)
}

fn fill(word: &str, values: &BTreeMap<String, String>) -> String {
    parts(word).into_iter().fold(String::new(), |mut text, (plain, name)| {
        text.push_str(plain);
        text.push_str(name.and_then(|n| values.get(n)).map_or("", String::as_str));
        text
    })
}

/// All actions that are in force, by name.
#[derive(Debug, Clone)]
pub struct Actions(BTreeMap<String, Action>);

impl Actions {
    /// The built-in actions alone.
    ///
    /// # Errors
    /// A built-in file that is wrong; a test keeps that from happening.
    pub fn builtin() -> Result<Self, PluginError> {
        Self::with_files([])
    }

    /// The built-in actions and others, given as file name and text.
    ///
    /// # Errors
    /// The first wrong file with its line, or a name that is taken.
    pub fn with_files(files: impl IntoIterator<Item = (String, String)>) -> Result<Self, PluginError> {
        let builtin = ACTIONS.iter().map(|(name, text)| (format!("builtin/{name}"), (*text).to_owned()));
        let mut all = BTreeMap::new();
        for (file, text) in builtin.chain(files) {
            let action = Action::parse(&file, &text)?;
            let name = action.name.clone();
            if all.insert(name.clone(), action).is_some() {
                return Err(PluginError {
                    file,
                    line: 1,
                    cause: format!("the action {name} is defined already"),
                });
            }
        }
        Ok(Self(all))
    }

    /// An action by its name.
    pub fn get(&self, name: &str) -> Option<&Action> {
        self.0.get(name)
    }

    /// All actions, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Action> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests;
