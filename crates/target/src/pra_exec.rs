//! `pra-exec`: the login shell and forced command of `pra-runner`. It takes a grant from stdin and hands it to
//! `sudo -n pra-run`; nothing else.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use grant::{Code, Refusal};
use session::envelope::MAX_ENVELOPE;

use crate::wrapper::Invocation;
use crate::{EXIT_REFUSED, Paths, answer, request, syslog};

const NAME: &str = "pra-exec";
/// The only request.
const WORD: &str = "grant";

/// Serves one request: a grant goes to `hand_over`; the result is the exit status.
pub fn main(paths: &Paths, invocation: &Invocation, hand_over: impl FnOnce(&[u8]) -> u8) -> u8 {
    match request(paths, invocation) {
        Ok(envelope) => hand_over(&envelope),
        Err(refusal) => {
            let code = refusal.code.to_string();
            let fields = [("verdict", "blocked"), ("code", &code), ("reason", &refusal.message)];
            let _ = syslog::write(paths, NAME, true, &fields);
            eprintln!("{NAME}: blocked: {}", refusal.message);
            println!("{}", answer::refusal_json(None, &refusal));
            EXIT_REFUSED
        }
    }
}

fn request(paths: &Paths, invocation: &Invocation) -> Result<Vec<u8>, Refusal> {
    let line = request::line(&Paths::PRA_EXEC, &invocation.arguments, invocation.original.clone())
        .map_err(|cause| Refusal::new(Code::Malformed, cause))?;
    if line != WORD {
        return Err(Refusal::new(
            Code::ActionMismatch,
            "the only request is `grant`, with a signed grant on stdin: what runs comes from the grant alone",
        ));
    }
    let client = invocation.client.as_deref().unwrap_or("unknown");
    syslog::write(paths, NAME, false, &[("client", client), ("request", "grant")])
        .map_err(|e| Refusal::new(Code::AuditUnavailable, format!("no log record could be written: {e}")))?;
    let mut envelope = Vec::new();
    let most = u64::try_from(MAX_ENVELOPE).unwrap_or(u64::MAX) + 1;
    std::io::stdin()
        .take(most)
        .read_to_end(&mut envelope)
        .map_err(|e| Refusal::new(Code::Malformed, format!("stdin: {e}")))?;
    if envelope.len() > MAX_ENVELOPE {
        return Err(Refusal::new(Code::TooLarge, format!("a grant has at most {MAX_ENVELOPE} bytes")));
    }
    Ok(envelope)
}

/// Hands a grant to `pra-run` through the one sudo rule; the result is the exit status.
pub fn sudo(paths: &Paths, envelope: &[u8]) -> u8 {
    let failed = |cause: String| {
        eprintln!("{NAME}: {cause}");
        1
    };
    let child = Command::new("/usr/bin/sudo")
        .args(["-n", "--", paths.pra_run()])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(e) => return failed(format!("sudo: {e}")),
    };
    if let Some(mut stdin) = child.stdin.take() {
        // pra-run refuses what it does not get whole.
        let _ = stdin.write_all(envelope);
    }
    match child.wait() {
        Ok(status) => status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1),
        Err(e) => failed(format!("sudo: {e}")),
    }
}
