//! The target's own code, with its places beneath a folder instead of `/`.

use std::path::Path;

use target::Paths;
use target::wrapper::Invocation;

/// What `mcp-wrapper` is on a real target; the result is the exit status.
pub fn reader(root: &Path) -> u8 {
    target::wrapper::main(&Paths::beneath(root), &forced())
}

/// What `pra-exec` and `pra-run` are on a real target; the result is the exit status.
pub fn runner(root: &Path) -> u8 {
    let paths = Paths::beneath(root);
    target::pra_exec::main(&paths, &forced(), |grant| target::pra_run::main(&paths, grant))
}

/// Makes the record of used grants and the log, as the installation does.
pub fn initialise(root: &Path) -> std::io::Result<()> {
    target::pra_run::initialise(&Paths::beneath(root))
}

/// As sshd calls a forced command: the client's line in the environment, no arguments of its own.
fn forced() -> Invocation {
    Invocation { arguments: Vec::new(), ..Invocation::of_process() }
}
