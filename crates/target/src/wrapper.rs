//! `mcp-wrapper`: the login shell and forced command of `mcp-reader`. It judges the client's line, argument by argument, and
//! runs what the policy permits without approval; nothing else.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use policy::{Level, Permit};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::readers::{self, Reader};
use crate::run::{End, Program, Sink, run};
use crate::sandbox::{Kernel, Sandbox};
use crate::syslog;
use crate::{EXIT_OUTPUT, EXIT_REFUSED, EXIT_TIME, Paths, config, confine, describe, hex, programs, request};

const NAME: &str = "mcp-wrapper";

/// What sshd gives a forced command.
#[derive(Debug, Clone, Default)]
pub struct Invocation {
    /// The arguments, without the program's name.
    pub arguments: Vec<OsString>,
    /// `SSH_ORIGINAL_COMMAND`
    pub original: Option<OsString>,
    /// `SSH_CLIENT`
    pub client: Option<String>,
}

impl Invocation {
    /// This process's own.
    pub fn of_process() -> Self {
        Self {
            arguments: std::env::args_os().skip(1).collect(),
            original: std::env::var_os("SSH_ORIGINAL_COMMAND"),
            client: std::env::var("SSH_CLIENT").ok(),
        }
    }
}

/// Serves one request; the result is the exit status.
pub fn main(paths: &Paths, invocation: &Invocation) -> u8 {
    // What it holds is nobody's to look at or to trace. Without this it runs as before.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let request = Request::new(paths, invocation);
    match request.serve(invocation) {
        Ok(status) => status,
        Err(reason) => request.refuse(&reason),
    }
}

struct Request<'a> {
    paths: &'a Paths,
    id: String,
    client: String,
}

impl<'a> Request<'a> {
    fn new(paths: &'a Paths, invocation: &Invocation) -> Self {
        let mut random = [0_u8; 6];
        // Without random bytes the id is zeros: it only groups log lines.
        let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random);
        let client =
            invocation.client.as_deref().and_then(|c| c.split(' ').next()).unwrap_or("unknown").to_owned();
        Self { paths, id: hex(&random), client }
    }

    fn log(&self, refused: bool, fields: &[(&str, &str)]) -> Result<(), String> {
        let mut all = vec![("id", self.id.as_str()), ("client", self.client.as_str())];
        all.extend(fields);
        syslog::write(self.paths, NAME, refused, &all)
    }

    /// One line for the client; the same for the log, as far as it takes it.
    fn refuse(&self, reason: &str) -> u8 {
        let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect();
        let _ = self.log(true, &[("verdict", "blocked"), ("reason", &reason)]);
        eprintln!("{NAME}: blocked: {reason}");
        EXIT_REFUSED
    }

    fn serve(&self, invocation: &Invocation) -> Result<u8, String> {
        let line = request::line(Paths::WRAPPER, &invocation.arguments, invocation.original.clone())?;
        if line == describe::WORD {
            return self.describe();
        }
        let config = config::Config::load(self.paths)?;
        let judged = config::catalogue(self.paths)?.judge(&line);
        let Some(permit) = judged.permit.filter(|p| p.level == Level::Auto) else {
            let _ = self.log(true, &[("verdict", judged.verdict.as_str()), ("line", &line)]);
            return Err(judged.reason);
        };
        let operands = confine::open_all(self.paths, &permit.argv, &permit.paths)?;
        let confined = |operands| {
            let program = programs::first(self.paths, &permit.program)?;
            let sandbox = confinement(self.paths, config.sandbox, &permit, &program, operands)?;
            Ok::<_, String>((program, sandbox))
        };
        let reader = reader(self.paths, config.sandbox, &permit)?;
        // A reader needs no program, unless it hands the line back.
        let (ready, operands) = match reader {
            Some(_) => (None, operands),
            None => (Some(confined(operands)?), Vec::new()),
        };
        // No record, no run.
        let form = judged.form.unwrap_or_default();
        self.log(false, &[("verdict", "auto"), ("form", &form), ("line", &line)])
            .map_err(|e| format!("no log record could be written: {e}"))?;
        let started = Instant::now();
        let read = match reader {
            Some((reader, kernel)) => to_peer(|out, err| reader.run(kernel, &permit, out, err))?,
            None => None,
        };
        let end = if let Some(end) = read {
            end
        } else {
            let (program, sandbox) = ready.map_or_else(|| confined(operands), Ok)?;
            Self::forward(&program, &permit, &sandbox)?
        };
        let status = Self::status(end, &permit);
        let (exit, ms) = (status.to_string(), started.elapsed().as_millis().to_string());
        let _ = self.log(false, &[("exit", &exit), ("end", &format!("{end:?}")), ("ms", &ms)]);
        Ok(status)
    }

    fn describe(&self) -> Result<u8, String> {
        self.log(false, &[("verdict", "auto"), ("form", "mcp-describe")])
            .map_err(|e| format!("no log record could be written: {e}"))?;
        let text = serde_json::to_string(&describe::facts(self.paths)?).map_err(|e| e.to_string())?;
        println!("{text}");
        Ok(0)
    }

    fn forward(program: &Path, permit: &Permit, sandbox: &Sandbox) -> Result<End, String> {
        let program = Program {
            path: program,
            argv: &permit.argv,
            home: programs::READER_HOME,
            sandbox: Some(sandbox),
            time: Duration::from_secs(permit.limits.seconds),
            bytes: permit.limits.bytes,
            lines: permit.limits.lines,
        };
        to_peer(|out, err| run(&program, out, err))
    }

    fn status(end: End, permit: &Permit) -> u8 {
        match end {
            End::Exit(status) => u8::try_from(status).unwrap_or(u8::MAX),
            End::Time => {
                eprintln!("{NAME}: ended after {} s: the time limit of this form", permit.limits.seconds);
                EXIT_TIME
            }
            End::Output => {
                eprintln!(
                    "{NAME}: output cut at {} bytes or {} lines",
                    permit.limits.bytes, permit.limits.lines
                );
                EXIT_OUTPUT
            }
            End::Gone => EXIT_TIME,
        }
    }
}

/// Runs something whose output goes to the peer.
fn to_peer<T>(work: impl FnOnce(&mut Sink<'_>, &mut Sink<'_>) -> Result<T, String>) -> Result<T, String> {
    let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
    for fd in [stdout.as_fd(), stderr.as_fd()] {
        // A peer that does not read must not keep the deadline from being seen.
        let flags = fcntl_getfl(fd).map_err(|e| e.to_string())?;
        fcntl_setfl(fd, flags | OFlags::NONBLOCK).map_err(|e| e.to_string())?;
    }
    let result = work(&mut Sink::peer(stdout.as_fd()), &mut Sink::peer(stderr.as_fd()));
    for fd in [stdout.as_fd(), stderr.as_fd()] {
        let flags = fcntl_getfl(fd).map_err(|e| e.to_string())?;
        fcntl_setfl(fd, flags - OFlags::NONBLOCK).map_err(|e| e.to_string())?;
    }
    result
}

/// The reader that serves a line in its sandbox, and what the kernel offers for that. A kernel that lacks something is left to
/// [`confinement`], unless root has said that it does not matter.
fn reader(
    paths: &Paths,
    wish: config::Sandbox,
    permit: &Permit,
) -> Result<Option<(Reader, Option<Kernel>)>, String> {
    let kernel = paths.system.then(Kernel::running);
    let lacking = kernel.is_some_and(|kernel| kernel.lacks().is_some());
    if lacking && wish == config::Sandbox::Enforce {
        return Ok(None);
    }
    Ok(readers::of(paths, permit)?.map(|reader| (reader, kernel)))
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
        Some(missing) if wish == config::Sandbox::Enforce => Err(format!(
            "this kernel lacks {missing}, so the program cannot be confined; `sandbox = \"best-effort\"` in target.toml runs it all the same"
        )),
        _ => Sandbox::prepare(kernel, permit, program, operands),
    }
}
