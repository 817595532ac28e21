//! One request of a reader, from the line to the last byte: judged, confined, logged, run. The same for a one-shot command and
//! for each request of a session.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use policy::{Level, Permit, lex};

use crate::config::{self, Config, Policy};
use crate::probe::{self, Plan};
use crate::readers::{self, Reader, relay};
use crate::run::{End, Program, Sink, run};
use crate::sandbox::{Kernel, Sandbox};
use crate::{EXIT_OUTPUT, EXIT_REFUSED, EXIT_TIME, Paths, confine, describe, hex, programs, syslog};

/// The name in log records and messages.
pub(crate) const NAME: &str = "mcp-wrapper";

/// How long a peer may take for the facts of `mcp-describe`.
const DESCRIBE: Duration = Duration::from_secs(30);

/// Who asks, and under which id it is logged.
pub(crate) struct Request<'a> {
    pub(crate) paths: &'a Paths,
    pub(crate) policy: &'a Policy,
    /// The peer's address.
    pub(crate) client: &'a str,
    /// The session's own id, if the request came through one.
    pub(crate) session: Option<&'a str>,
    pub(crate) id: String,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing ran, for this reason.
    Refused(String),
    /// It ran, and ended so.
    Ended(End),
}

impl Outcome {
    /// The exit status of a one-shot command.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Refused(_) => EXIT_REFUSED,
            Self::Ended(End::Exit(status)) => u8::try_from(*status).unwrap_or(u8::MAX),
            Self::Ended(End::Time | End::Gone) => EXIT_TIME,
            Self::Ended(End::Output) => EXIT_OUTPUT,
        }
    }
}

/// An id that groups the log records of one request or session.
pub(crate) fn fresh_id() -> String {
    let mut random = [0_u8; 6];
    // Without random bytes the id is zeros: it only groups log lines.
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random);
    hex(&random)
}

impl Request<'_> {
    /// Serves the line: its output goes to the two sinks.
    pub(crate) fn answer(&self, line: &str, out: &mut Sink<'_>, err: &mut Sink<'_>) -> Outcome {
        match self.serve(line, out, err) {
            Ok(end) => Outcome::Ended(end),
            Err(reason) => Outcome::Refused(self.refuse(&reason)),
        }
    }

    /// Logs a refusal, as far as the log takes it; the result is the reason in one line.
    pub(crate) fn refuse(&self, reason: &str) -> String {
        let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect();
        let _ = self.log(true, &[("verdict", "blocked"), ("reason", &reason)]);
        reason
    }

    /// Writes one record of this request.
    pub(crate) fn log(&self, refused: bool, fields: &[(&str, &str)]) -> Result<(), String> {
        let mut all = vec![("id", self.id.as_str()), ("client", self.client)];
        all.extend(self.session.map(|id| ("session", id)));
        all.extend(fields);
        syslog::write(self.paths, NAME, refused, &all)
    }

    /// No record, no run.
    pub(crate) fn log_start(&self, fields: &[(&str, &str)]) -> Result<(), String> {
        self.log(false, fields).map_err(|e| format!("no log record could be written: {e}"))
    }

    fn serve(&self, line: &str, out: &mut Sink<'_>, err: &mut Sink<'_>) -> Result<End, String> {
        if line == describe::WORD {
            return self.describe(out);
        }
        let config = Config::load(self.paths)?;
        let judged = self.policy.judge(self.paths, line)?;
        let Some(permit) = judged.permit.filter(|p| p.level == Level::Auto) else {
            let _ = self.log(true, &[("verdict", judged.verdict.as_str()), ("line", line)]);
            return Err(judged.reason);
        };
        let place =
            Place { paths: self.paths, policy: self.policy, probe: &config.probe, wish: config.sandbox };
        let work = place.prepare(&permit)?;
        let form = judged.form.unwrap_or_default();
        self.log_start(&[("verdict", "auto"), ("form", &form), ("line", line)])?;
        let started = Instant::now();
        let end = place.perform(work, &permit, out, err)?;
        let status = Outcome::Ended(end).status().to_string();
        let ms = started.elapsed().as_millis().to_string();
        let _ = self.log(false, &[("exit", &status), ("end", &format!("{end:?}")), ("ms", &ms)]);
        note(end, &permit, err);
        Ok(end)
    }

    fn describe(&self, out: &mut Sink<'_>) -> Result<End, String> {
        self.log_start(&[("verdict", "auto"), ("form", describe::WORD)])?;
        let mut text = serde_json::to_string(&describe::facts(self.paths)?).map_err(|e| e.to_string())?;
        text.push('\n');
        Ok(if out.send(text.as_bytes(), Instant::now() + DESCRIBE) { End::Exit(0) } else { End::Gone })
    }
}

/// What a permitted line is made of, ready to be performed.
enum Work {
    /// A program of the system, confined.
    Program { path: PathBuf, sandbox: Sandbox },
    /// A reader of our own, confined; a line that it hands back is the program's, with the operands that were opened before.
    Reader { reader: Reader, kernel: Option<Kernel>, operands: Vec<OwnedFd> },
    /// A probe, whose addresses are judged when they are known.
    Probe { plan: Plan, kernel: Option<Kernel>, lookup: Option<Box<Lookup>> },
}

/// The program that finds the addresses of a name, confined as any.
struct Lookup {
    permit: Permit,
    path: PathBuf,
    sandbox: Sandbox,
}

/// Where work is done, and how far it must be confined.
#[derive(Clone, Copy)]
struct Place<'a> {
    paths: &'a Paths,
    policy: &'a Policy,
    probe: &'a config::Probe,
    wish: config::Sandbox,
}

/// How long a name may take to be looked up.
const LOOKUP: Duration = Duration::from_secs(5);

impl Place<'_> {
    /// Everything that can still be refused: after it the request is logged, and then performed.
    fn prepare(self, permit: &Permit) -> Result<Work, String> {
        if let Some(plan) = probe::of(permit)? {
            let kernel = self.kernel()?;
            let lookup = plan.name().map(|name| self.lookup(name).map(Box::new)).transpose()?;
            return Ok(Work::Probe { plan, kernel, lookup });
        }
        let operands = confine::open_all(self.paths, &permit.argv, &permit.paths)?;
        match self.reader(permit)? {
            Some((reader, kernel)) => Ok(Work::Reader { reader, kernel, operands }),
            None => self.program(permit, operands),
        }
    }

    /// What the kernel offers for a thread's sandbox; `None` for a played root.
    fn kernel(self) -> Result<Option<Kernel>, String> {
        let kernel = self.paths.system.then(Kernel::running);
        match kernel.and_then(|kernel| kernel.lacks()) {
            Some(missing) if self.wish == config::Sandbox::Enforce => Err(unconfined(missing)),
            _ => Ok(kernel),
        }
    }

    /// Names are looked up as this host does for its programs, by a line that the policy permits.
    fn lookup(self, name: &str) -> Result<Lookup, String> {
        let line = lex::quote(&["getent", "ahosts", name]);
        let judged = self.policy.judge(self.paths, &line)?;
        let permit = judged.permit.filter(|p| p.level == Level::Auto).ok_or(judged.reason)?;
        let path = programs::first(self.paths, &permit.program)?;
        let sandbox = confinement(self.paths, self.wish, &permit, &path, Vec::new())?;
        Ok(Lookup { permit, path, sandbox })
    }

    fn program(self, permit: &Permit, operands: Vec<OwnedFd>) -> Result<Work, String> {
        let path = programs::first(self.paths, &permit.program)?;
        let sandbox = confinement(self.paths, self.wish, permit, &path, operands)?;
        Ok(Work::Program { path, sandbox })
    }

    /// The reader that serves a line in its sandbox, and what the kernel offers for that. A kernel that lacks something is left to
    /// [`confinement`], unless root has said that it does not matter.
    fn reader(self, permit: &Permit) -> Result<Option<(Reader, Option<Kernel>)>, String> {
        let kernel = self.paths.system.then(Kernel::running);
        if self.wish == config::Sandbox::Enforce && kernel.is_some_and(|k| k.lacks().is_some()) {
            return Ok(None);
        }
        Ok(readers::of(self.paths, permit)?.map(|reader| (reader, kernel)))
    }

    /// Turns a permit into output on the two sinks, within the permit's limits.
    fn perform(
        self,
        work: Work,
        permit: &Permit,
        out: &mut Sink<'_>,
        err: &mut Sink<'_>,
    ) -> Result<End, String> {
        match work {
            Work::Reader { reader, kernel, operands } => match reader.run(kernel, permit, out, err)? {
                Some(end) => Ok(end),
                None => self.perform(self.program(permit, operands)?, permit, out, err),
            },
            Work::Program { path, sandbox } => {
                let time = Duration::from_secs(permit.limits.seconds);
                run(&program(permit, &path, &sandbox, time), out, err)
            }
            Work::Probe { plan, kernel, lookup } => {
                let found = lookup.map(|lookup| lookup.run()).transpose()?.unwrap_or_default();
                let talk = plan.judge(self.paths, self.probe, &found)?;
                relay::run(talk, kernel, permit, out, err)?.ok_or_else(|| "the probe has failed".to_owned())
            }
        }
    }
}

impl Lookup {
    /// What it prints; nothing for a name that nobody knows, or not in time.
    fn run(&self) -> Result<String, String> {
        let (mut out, mut err) = (Sink::keep(16 << 10), Sink::keep(1 << 10));
        run(&program(&self.permit, &self.path, &self.sandbox, LOOKUP), &mut out, &mut err)?;
        Ok(out.text())
    }
}

/// A program as its permit says, for so long.
fn program<'a>(permit: &'a Permit, path: &'a Path, sandbox: &'a Sandbox, time: Duration) -> Program<'a> {
    Program {
        path,
        argv: &permit.argv,
        home: programs::READER_HOME,
        sandbox: Some(sandbox),
        time,
        bytes: permit.limits.bytes,
        lines: permit.limits.lines,
    }
}

/// Tells of a limit on stderr, if the peer takes it: it has had its time.
fn note(end: End, permit: &Permit, err: &mut Sink<'_>) {
    let limits = &permit.limits;
    let text = match end {
        End::Time => format!("{NAME}: ended after {} s: the time limit of this form\n", limits.seconds),
        End::Output => format!("{NAME}: output cut at {} bytes or {} lines\n", limits.bytes, limits.lines),
        End::Exit(_) | End::Gone => return,
    };
    err.send(text.as_bytes(), Instant::now());
}

/// The sandbox of one line. What the kernel cannot do is refused, unless root has said otherwise.
fn confinement(
    paths: &Paths,
    wish: config::Sandbox,
    permit: &Permit,
    program: &Path,
    operands: Vec<OwnedFd>,
) -> Result<Sandbox, String> {
    if !paths.system {
        return Ok(Sandbox::limits_only(permit));
    }
    let kernel = Kernel::running();
    match kernel.lacks() {
        Some(missing) if wish == config::Sandbox::Enforce => Err(unconfined(missing)),
        _ => Sandbox::prepare(kernel, permit, program, operands),
    }
}

fn unconfined(missing: &str) -> String {
    format!(
        "this kernel lacks {missing}, so the program cannot be confined; `sandbox = \"best-effort\"` in target.toml runs it all the same"
    )
}
