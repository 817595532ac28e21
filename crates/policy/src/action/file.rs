//! From TOML to an action, with every mistake found when the file is loaded.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::template::is_name;
use super::{Action, ActionError, Capture, Expect, Is, Param, Phase, Retry, Step, Template, When};
use crate::types::ValueType;
use crate::unicode::hidden;
use crate::{Risk, sha256_hex};

/// Seconds that a step may take unless the file says otherwise.
const TIMEOUT: u64 = 60;
/// The most seconds that a step, or its retries, may take.
const MAX_SECONDS: u64 = 600;
/// The most persons that an action may ask for; an envelope holds no more signatures.
const MAX_APPROVALS: u32 = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionFile {
    name: String,
    title: String,
    description: String,
    risk: Risk,
    #[serde(default = "one")]
    approvals: u32,
    timeout_seconds: Option<u64>,
    #[serde(default)]
    units: Vec<String>,
    #[serde(default)]
    params: BTreeMap<String, ParamFile>,
    #[serde(default)]
    precheck: Vec<Spanned<StepFile>>,
    #[serde(default)]
    run: Vec<Spanned<StepFile>>,
    #[serde(default)]
    verify: Vec<Spanned<StepFile>>,
    #[serde(default)]
    rollback: Vec<Spanned<StepFile>>,
}

fn one() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParamFile {
    #[serde(rename = "type")]
    ty: ValueType,
    #[serde(default)]
    optional: bool,
    description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepFile {
    argv: Vec<String>,
    #[serde(default)]
    expect: Expect,
    capture: Option<CaptureFile>,
    when: Option<When>,
    retry: Option<Retry>,
    #[serde(default)]
    already_ok: bool,
    timeout_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaptureFile {
    name: String,
    #[serde(rename = "type")]
    ty: ValueType,
    #[serde(default)]
    empty: bool,
}

pub(super) fn parse(file: &str, text: &str) -> Result<Action, ActionError> {
    let wrong = |at: usize, cause: String| {
        let line = text.bytes().take(at).filter(|b| *b == b'\n').count() + 1;
        ActionError { file: file.to_owned(), line, cause }
    };
    let parsed: ActionFile = toml::from_str(text)
        .map_err(|e| wrong(e.span().map_or(0, |span| span.start), e.message().to_owned()))?;
    check_head(&parsed).map_err(|cause| wrong(0, cause))?;
    let mut known = Known::new(&parsed.params);
    let timeout = parsed.timeout_seconds.unwrap_or(TIMEOUT);
    let mut read = |phase: Phase, steps: Vec<Spanned<StepFile>>| -> Result<Vec<Step>, ActionError> {
        let one = |step: Spanned<StepFile>| {
            let at = step.span().start;
            read_step(phase, step.into_inner(), timeout, &mut known).map_err(|cause| wrong(at, cause))
        };
        steps.into_iter().map(one).collect()
    };
    Ok(Action {
        precheck: read(Phase::Precheck, parsed.precheck)?,
        run: read(Phase::Run, parsed.run)?,
        verify: read(Phase::Verify, parsed.verify)?,
        rollback: read(Phase::Rollback, parsed.rollback)?,
        name: parsed.name,
        title: parsed.title,
        description: parsed.description,
        risk: parsed.risk,
        approvals: parsed.approvals,
        units: parsed.units,
        params: parsed.params.into_iter().map(|(name, param)| (name, read_param(param))).collect(),
        plan: sha256_hex(&[text.as_bytes()]),
    })
}

fn check_head(file: &ActionFile) -> Result<(), String> {
    if !is_name(&file.name) {
        return Err(format!("{:?} is no action name: lower-case letters, digits and '_'", file.name));
    }
    if !(1..=MAX_APPROVALS).contains(&file.approvals) {
        return Err(format!("approvals: 1 to {MAX_APPROVALS} persons"));
    }
    if let Some(name) = file.params.keys().find(|name| !is_name(name)) {
        return Err(format!("{name:?} is no parameter name: lower-case letters, digits and '_'"));
    }
    if let Some(unit) = file.units.iter().find(|unit| ValueType::Unit.check(unit).is_err()) {
        return Err(format!("units: {unit:?} is no unit"));
    }
    if file.run.is_empty() {
        return Err("an action has at least one run step".to_owned());
    }
    if file.verify.is_empty() {
        return Err("an action has at least one verify step: its outcome must be proved".to_owned());
    }
    check_seconds(file.timeout_seconds)
}

fn check_seconds(seconds: Option<u64>) -> Result<(), String> {
    match seconds {
        Some(seconds) if !(1..=MAX_SECONDS).contains(&seconds) => {
            Err(format!("timeout_seconds: 1 to {MAX_SECONDS}"))
        }
        _ => Ok(()),
    }
}

fn read_param(param: ParamFile) -> Param {
    Param { ty: param.ty, optional: param.optional, description: param.description }
}

/// The names that stand before a step, and whether each may be empty.
struct Known(BTreeMap<String, bool>);

impl Known {
    fn new(params: &BTreeMap<String, ParamFile>) -> Self {
        Self(params.iter().map(|(name, param)| (name.clone(), param.optional)).collect())
    }

    fn may_be_empty(&self, name: &str) -> Result<bool, String> {
        self.0.get(name).copied().ok_or_else(|| format!("{name:?} is no parameter and no earlier capture"))
    }
}

fn read_step(phase: Phase, step: StepFile, timeout: u64, known: &mut Known) -> Result<Step, String> {
    let argv = read_argv(&step.argv)?;
    check_seconds(step.timeout_seconds)?;
    if let Some(when) = &step.when {
        known.may_be_empty(&when.var)?;
    }
    for name in argv.iter().flat_map(Template::vars) {
        let sure = step.when.as_ref().is_some_and(|when| when.var == name && when.is == Is::Set);
        if known.may_be_empty(name)? && !sure {
            return Err(format!(
                "{name} may be empty: the step needs when = {{ var = {name:?}, is = \"set\" }}"
            ));
        }
    }
    if let Some(name) = &step.expect.differs {
        known.may_be_empty(name)?;
    }
    if step.already_ok && phase != Phase::Precheck {
        return Err("already_ok: only a precheck may say that there is nothing to do".to_owned());
    }
    if let Some(retry) = step.retry
        && (retry.seconds > MAX_SECONDS || retry.every_ms < 50)
    {
        return Err(format!(
            "retry: at most {MAX_SECONDS} seconds, at least 50 milliseconds between two tries"
        ));
    }
    let capture =
        step.capture.map(|capture| read_capture(phase, capture, step.when.is_some(), known)).transpose()?;
    Ok(Step {
        argv,
        expect: step.expect,
        capture,
        when: step.when,
        retry: step.retry,
        already_ok: step.already_ok,
        timeout_seconds: step.timeout_seconds.unwrap_or(timeout),
    })
}

fn read_argv(words: &[String]) -> Result<Vec<Template>, String> {
    let program = words.first().ok_or("argv: at least the program")?;
    let bare = program.starts_with(|c: char| c.is_ascii_alphanumeric())
        && program.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+".contains(&b));
    if !bare {
        return Err(format!("argv: {program:?} is no bare program name"));
    }
    // An approver reads these words: what is shown must be what is there.
    if let Some(what) = words.iter().flat_map(|word| word.chars()).find_map(hidden) {
        return Err(format!("argv: a word has {what}"));
    }
    words.iter().map(|word| Template::parse(word)).collect()
}

fn read_capture(
    phase: Phase,
    capture: CaptureFile,
    conditional: bool,
    known: &mut Known,
) -> Result<Capture, String> {
    if phase != Phase::Precheck {
        return Err(
            "capture: only a precheck keeps its output, so that all that runs follows from it".to_owned()
        );
    }
    if !is_name(&capture.name) {
        return Err(format!("capture: {:?} is no name: lower-case letters, digits and '_'", capture.name));
    }
    if known.0.insert(capture.name.clone(), capture.empty || conditional).is_some() {
        return Err(format!("capture: {} stands for something else already", capture.name));
    }
    Ok(Capture { name: capture.name, ty: capture.ty, empty: capture.empty })
}
