//! Running what was approved, step by step.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use policy::Permit;
use policy::action::{Bound, Capture, Phase, Retry, Step, Vars};

use crate::answer::StepResult;
use crate::run::{End, Program, Sink, run};
use crate::{EXIT_OUTPUT, EXIT_TIME, Paths, programs};

/// Kept of each stream of a step.
const KEPT: usize = 16 << 10;

/// All steps.
pub(super) struct Outcome {
    pub(super) word: &'static str,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) steps: Vec<StepResult>,
}

struct Runner<'a> {
    paths: &'a Paths,
    steps: Vec<StepResult>,
    /// Parameters and what prechecks have captured.
    vars: Vars,
}

/// Runs an action: prechecks, the change, its proof; the way back when either of these failed.
pub(super) fn run_action(paths: &Paths, bound: &Bound<'_>) -> Outcome {
    let action = bound.action;
    let mut runner = Runner { paths, steps: Vec::new(), vars: bound.vars().clone() };
    for step in &action.precheck {
        if !step.applies(&runner.vars) {
            continue;
        }
        let found = runner.attempt(Phase::Precheck, step);
        if step.already_ok {
            if found.is_ok() {
                return runner.end("already_ok", "already_ok", "nothing had to be done".to_owned());
            }
            continue;
        }
        if let Err(message) = found {
            return runner.end("failed", "precheck_failed", format!("nothing was changed: {message}"));
        }
    }
    for (phase, code) in [(Phase::Run, "run_failed"), (Phase::Verify, "verify_failed")] {
        if let Err(message) = runner.all(phase, action.steps(phase)) {
            let back = runner.all(Phase::Rollback, &action.rollback);
            let message = match back {
                Err(e) => format!("{message}; the way back failed too: {e}"),
                Ok(()) if action.rollback.is_empty() => message,
                Ok(()) => format!("{message}; it was rolled back"),
            };
            return runner.end("failed", code, message);
        }
    }
    runner.end("succeeded", "ok", String::new())
}

/// Runs one exact command.
pub(super) fn run_command(paths: &Paths, permit: &Permit) -> Outcome {
    let mut runner = Runner { paths, steps: Vec::new(), vars: Vars::new() };
    let program = programs::first(paths, &permit.program);
    let result =
        Runner::once(Phase::Run, &permit.argv, program, Duration::from_secs(permit.limits.seconds.max(60)));
    let exit = result.exit;
    runner.steps.push(result);
    if exit == 0 {
        runner.end("succeeded", "ok", String::new())
    } else {
        runner.end("failed", "run_failed", format!("it ended with {exit}"))
    }
}

impl Runner<'_> {
    fn end(self, outcome: &'static str, code: &'static str, message: String) -> Outcome {
        Outcome { word: outcome, code, message, steps: self.steps }
    }

    fn all(&mut self, phase: Phase, steps: &[Step]) -> Result<(), String> {
        for step in steps {
            if step.applies(&self.vars) {
                self.attempt(phase, step)?;
            }
        }
        Ok(())
    }

    /// Runs a step until it is as expected or its retries are over, and keeps what it captures.
    fn attempt(&mut self, phase: Phase, step: &Step) -> Result<(), String> {
        let argv = step.argv(&self.vars)?;
        let time = Duration::from_secs(step.timeout_seconds);
        let retry = step.retry.unwrap_or(Retry { seconds: 0, every_ms: 50 });
        let until = Instant::now() + Duration::from_secs(retry.seconds);
        loop {
            let program = programs::by_name(self.paths, argv.first().map(String::as_str).unwrap_or_default());
            let result = Self::once(phase, &argv, program, time);
            let missed = step.expect.misses(Some(result.exit), &result.stdout, &self.vars);
            let stdout = result.stdout.trim().to_owned();
            match missed {
                None => {
                    self.steps.push(result);
                    return step.capture.as_ref().map_or(Ok(()), |capture| self.capture(capture, stdout));
                }
                Some(cause) if Instant::now() >= until => {
                    let message = describe(&result, &cause);
                    self.steps.push(result);
                    return Err(message);
                }
                Some(_) => std::thread::sleep(Duration::from_millis(retry.every_ms)),
            }
        }
    }

    /// A value that a program printed is as untrusted as a parameter.
    fn capture(&mut self, capture: &Capture, value: String) -> Result<(), String> {
        if !(value.is_empty() && capture.empty) {
            capture.ty.check(&value).map_err(|cause| format!("{}: {value:?}: {cause}", capture.name))?;
        }
        self.vars.insert(capture.name.clone(), value);
        Ok(())
    }

    fn once(phase: Phase, argv: &[String], program: Result<PathBuf, String>, time: Duration) -> StepResult {
        let started = Instant::now();
        let (mut out, mut err) = (Sink::keep(KEPT), Sink::keep(KEPT));
        let end = program.and_then(|path| {
            // Output beyond what is kept is dropped, not an end: the change must not be cut in the middle.
            let program = Program {
                path: &path,
                argv,
                home: programs::ROOT_HOME,
                sandbox: None,
                time,
                bytes: u64::MAX,
                lines: u64::MAX,
            };
            run(&program, &mut out, &mut err)
        });
        let (exit, stderr) = match end {
            Ok(End::Exit(status)) => (status, err.text()),
            Ok(End::Time) => {
                (i32::from(EXIT_TIME), format!("{}\nended after {} s", err.text(), time.as_secs()))
            }
            Ok(End::Output | End::Gone) => (i32::from(EXIT_OUTPUT), err.text()),
            Err(cause) => (127, cause),
        };
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        StepResult { phase: phase.as_str(), argv: argv.to_vec(), exit, stdout: out.text(), stderr, ms }
    }
}

fn describe(result: &StepResult, cause: &str) -> String {
    let line = policy::lex::quote(&result.argv);
    let said =
        [result.stderr.trim(), result.stdout.trim()].into_iter().find(|t| !t.is_empty()).unwrap_or_default();
    let said: String = said.chars().take(300).collect();
    format!("{}: `{line}`: {cause}: {said}", result.phase)
}
