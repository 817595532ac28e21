//! What keeps a permitted program harmless whatever it does: Landlock for files, TCP, signals and abstract sockets; a seccomp
//! filter for everything that Landlock does not cover; no privileges, limits, a session of its own.
//!
//! It is prepared for one permitted line (`Sandbox::prepare`) and entered by the child between fork and exec, so that one
//! process can run many programs with different profiles at the same time. The profiles are a table (`profiles`).

mod bpf;
mod calls;
mod landlock;
mod profiles;
mod program;
mod sys;
mod thread;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::Command;

use policy::{Access, Permit, Profile};
use rustix::fs::FileType;

use self::landlock::{EXECUTE, READ_DIR, READ_FILE, RESOLVE_UNIX, Ruleset, WRITE_FILE};
use self::profiles::{Family, Row};
use self::sys::Instruction;
pub(crate) use self::sys::share_heap;
pub(crate) use self::thread::{ConnectSandbox, ThreadSandbox};

/// What the running kernel offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Kernel {
    /// Landlock's ABI; 0 for none.
    pub landlock: u32,
    /// Whether seccomp filters can be installed.
    pub seccomp: bool,
}

impl Kernel {
    /// Asks the kernel.
    pub fn running() -> Self {
        Self { landlock: sys::landlock_abi().unwrap_or(0), seccomp: sys::seccomp_available() }
    }

    /// What the kernel lacks that every profile rests on; `None` when it has all.
    pub fn lacks(&self) -> Option<&'static str> {
        match (self.landlock, self.seccomp) {
            (1.., true) => None,
            (0, true) => Some("Landlock"),
            (1.., false) => Some("seccomp"),
            (0, false) => Some("Landlock and seccomp"),
        }
    }

    /// For each profile what it would restrict and this kernel cannot.
    pub fn gaps(&self) -> BTreeMap<Profile, Vec<&'static str>> {
        profiles::PROFILES.iter().map(|row| (row.profile, self.gaps_of(row))).collect()
    }

    fn gaps_of(self, row: &Row) -> Vec<&'static str> {
        let mut gaps = Vec::new();
        if self.landlock == 0 {
            gaps.push("which files are read and executed (Landlock)");
        }
        if !self.seccomp {
            gaps.push("changes of modes, owners, times and of the system; sockets by family (seccomp)");
        }
        if row.sockets.contains(&Family::Unix) {
            if self.landlock < 6 {
                gaps.push("abstract unix sockets (Landlock ABI 6)");
            }
            if self.landlock < 9 {
                gaps.push("unix sockets by path: their permissions decide (Landlock ABI 9)");
            }
        }
        gaps
    }
}

/// A sandbox for one run.
pub(crate) struct Sandbox {
    ruleset: Option<Ruleset>,
    filter: Vec<Instruction>,
    limits: Vec<(u32, u64)>,
    /// Objects that the rules name, held so that they stay the same objects.
    _held: Vec<OwnedFd>,
}

impl Sandbox {
    /// Prepares one: `operands` are the objects behind the path operands of the line, as they were checked.
    ///
    /// # Errors
    /// The ruleset cannot be made.
    pub(crate) fn prepare(
        kernel: Kernel,
        permit: &Permit,
        program: &Path,
        operands: Vec<OwnedFd>,
    ) -> Result<Self, String> {
        let row = profiles::row(permit.profile);
        let ruleset = match kernel.landlock {
            0 => None,
            abi => Some(files(abi, row, permit, program, &operands)?),
        };
        let filter = if kernel.seccomp { filter(kernel.landlock, row) } else { Vec::new() };
        Ok(Self { ruleset, filter, limits: limits(row, permit, true), _held: operands })
    }

    /// Limits alone, for a played root, whose programs play by writing.
    pub(crate) fn limits_only(permit: &Permit) -> Self {
        let limits = limits(profiles::row(permit.profile), permit, false);
        Self { ruleset: None, filter: Vec::new(), limits, _held: Vec::new() }
    }

    /// Makes the program enter before its first instruction. The sandbox must live until it has been started.
    pub(crate) fn enclose(&self, command: &mut Command) {
        let entry = sys::Entry {
            limits: self.limits.clone(),
            ruleset: self.ruleset.as_ref().map(Ruleset::fd),
            on_self: READ,
            filter: self.filter.clone(),
        };
        sys::enter_before_exec(command, entry);
    }
}

/// Reading files and listing folders.
const READ: u64 = READ_FILE | READ_DIR;

fn files(
    abi: u32,
    row: &Row,
    permit: &Permit,
    program: &Path,
    operands: &[OwnedFd],
) -> Result<Ruleset, String> {
    let rules = Ruleset::new(abi, row.tcp)?;
    // What lies beneath a place of the profile is readable with it: a rule of its own would cost each run, and allow nothing more.
    let apart = profiles::COMMON.iter().filter(|place| !profiles::beneath(place, row.reads));
    for place in apart.chain(row.reads) {
        rules.allow(Path::new(place), READ)?;
    }
    for place in profiles::LISTED {
        rules.allow(Path::new(place), READ_DIR)?;
    }
    for place in profiles::SINKS {
        rules.allow(Path::new(place), READ | WRITE_FILE)?;
    }
    for place in row.services {
        rules.allow(Path::new(place), RESOLVE_UNIX)?;
    }
    // A socket beneath what a plugin names is one of its services; only a profile with unix sockets can use it.
    for place in &permit.reads {
        rules.allow(Path::new(place), READ | RESOLVE_UNIX)?;
    }
    if let Some(folder) = program::settings(program) {
        rules.allow(&folder, READ)?;
    }
    let helpers = permit.helpers.iter().flat_map(|helper| program::executables(Path::new(helper)));
    for place in program::executables(program).into_iter().chain(helpers) {
        rules.allow(&place, EXECUTE | READ_FILE)?;
    }
    for object in operands {
        rules.allow_object(object.as_fd(), operand_rights(permit.access, object)?)?;
    }
    Ok(rules)
}

/// What the program may do with an operand. A pipe or a device that lies among files is nothing to read.
fn operand_rights(access: Access, object: &OwnedFd) -> Result<u64, String> {
    let stat = rustix::fs::fstat(object).map_err(|e| format!("stat: {e}"))?;
    Ok(match (access, FileType::from_raw_mode(stat.st_mode)) {
        (Access::Tree, FileType::Directory) => READ,
        (Access::Names | Access::Contents, FileType::Directory) => READ_DIR,
        (Access::Contents | Access::Tree, FileType::RegularFile) => READ_FILE,
        _ => 0,
    })
}

fn filter(abi: u32, row: &Row) -> Vec<Instruction> {
    let here = calls::Circumstances {
        abi,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
    };
    let sockets: Vec<bpf::Socket> = row.sockets.iter().flat_map(|family| family.sockets()).collect();
    bpf::assemble(&calls::rules(&sockets, &here), calls::LAST)
}

/// No core files, bounded processor time, descriptors, threads and memory; no file grows.
fn limits(row: &Row, permit: &Permit, no_files: bool) -> Vec<(u32, u64)> {
    let mut limits = vec![
        (libc::RLIMIT_CORE, 0),
        (libc::RLIMIT_NOFILE, 1024),
        (libc::RLIMIT_CPU, permit.limits.seconds + 5),
    ];
    if no_files {
        limits.push((libc::RLIMIT_FSIZE, 0));
        // Of the whole account: many requests at once, each with the threads of Go's runtime.
        limits.push((libc::RLIMIT_NPROC, 2048));
    }
    if row.bounded {
        limits.push((libc::RLIMIT_AS, 4 << 30));
    }
    limits
}

#[cfg(test)]
mod tests;
