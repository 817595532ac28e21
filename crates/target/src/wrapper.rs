//! `mcp-wrapper`: the login shell and forced command of `mcp-reader`. It judges the client's line, argument by argument, and
//! runs what the policy permits without approval; nothing else.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::config::Policy;
use crate::perform::{NAME, Outcome, Request, fresh_id};
use crate::run::Sink;
use crate::{EXIT_REFUSED, Paths, channel, request};

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

/// Serves one request, or a session of many; the result is the exit status.
pub fn main(paths: &Paths, invocation: &Invocation) -> u8 {
    // What it holds is nobody's to look at or to trace. Without this it runs as before.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let client = invocation.client.as_deref().and_then(|c| c.split(' ').next()).unwrap_or("unknown");
    let line = request::line(&Paths::WRAPPER, &invocation.arguments, invocation.original.clone());
    if line.as_deref() == Ok(session::frame::WORD) {
        crate::sandbox::share_heap();
        return channel::serve(paths, client, std::io::stdin().as_fd(), std::io::stdout().as_fd())
            .unwrap_or_else(|reason| refused(&reason));
    }
    let policy = Policy::Once;
    let request = Request { paths, policy: &policy, client, session: None, id: fresh_id() };
    let outcome = match line {
        Ok(line) => one_shot(&request, &line),
        Err(reason) => Outcome::Refused(request.refuse(&reason)),
    };
    match &outcome {
        Outcome::Refused(reason) => refused(reason),
        Outcome::Ended(_) => outcome.status(),
    }
}

/// One line for the client.
fn refused(reason: &str) -> u8 {
    eprintln!("{NAME}: blocked: {reason}");
    EXIT_REFUSED
}

fn one_shot(request: &Request<'_>, line: &str) -> Outcome {
    let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
    let fds = [stdout.as_fd(), stderr.as_fd()];
    // A peer that does not read must not keep the deadline from being seen.
    let outcome = match fds.into_iter().try_for_each(|fd| blocking(fd, false)) {
        Ok(()) => request.answer(line, &mut Sink::peer(fds[0]), &mut Sink::peer(fds[1])),
        Err(reason) => Outcome::Refused(request.refuse(&reason)),
    };
    for fd in fds {
        // They were set a moment ago, so they can be set back.
        let _ = blocking(fd, true);
    }
    outcome
}

fn blocking(fd: BorrowedFd<'_>, wanted: bool) -> Result<(), String> {
    let flags = fcntl_getfl(fd).map_err(|e| e.to_string())?;
    let flags = if wanted { flags - OFlags::NONBLOCK } else { flags | OFlags::NONBLOCK };
    fcntl_setfl(fd, flags).map_err(|e| e.to_string())
}
