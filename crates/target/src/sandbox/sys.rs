//! The system calls of the sandbox: the only unsafe code of the target programs.
//!
//! Everything here is a thin shape over one call. What is decided is decided by the callers, which are safe.
#![allow(unsafe_code, reason = "Landlock, seccomp and the step between fork and exec have no safe interface")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// `struct landlock_ruleset_attr` of ABI 6; an older kernel takes the part of it that it knows.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Handled {
    pub(super) fs: u64,
    pub(super) net: u64,
    pub(super) scoped: u64,
}

/// `struct landlock_path_beneath_attr`
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

/// `struct landlock_net_port_attr`
#[repr(C)]
struct NetPort {
    allowed: u64,
    port: u64,
}

const RULE_PATH_BENEATH: libc::c_int = 1;
const RULE_NET_PORT: libc::c_int = 2;
const CREATE_RULESET_VERSION: libc::c_ulong = 1;

/// One instruction of the classic BPF machine, as the kernel takes it (`struct sock_filter`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) code: u16,
    pub(super) jump_true: u8,
    pub(super) jump_false: u8,
    pub(super) value: u32,
}

/// `struct sock_fprog`
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

/// `struct __user_cap_header_struct` and the two `__user_cap_data_struct` of version 3.
#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}
const CAP_VERSION_3: u32 = 0x2008_0522;

/// Stands in a filter for the number of the process that the filter is for, which nobody knows before it has been made.
pub(super) const OWN_PID: u32 = 0x5eed_5e1f;

fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// One heap for all threads: a session's many short threads would each leave a part of one behind. What is large, such as the window
/// of a decoder, is given back when it is freed. Without it more memory is used.
pub(crate) fn share_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: calls on two integers, before the session has started a thread.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        // Otherwise both grow with the first large piece that is freed, and later ones stay in the heap.
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 128 << 10);
    }
}

/// Landlock's ABI; `None` when the kernel has no Landlock, has it switched off, or a filter forbids it.
pub(super) fn landlock_abi() -> Option<u32> {
    // SAFETY: with this flag the kernel reads neither pointer nor size; both are the documented null and 0.
    let result = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<Handled>(),
            0_usize,
            CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(result).ok().filter(|abi| *abi > 0)
}

/// A new ruleset that handles these rights. `size` bytes of `handled` are what the kernel's ABI knows.
pub(super) fn landlock_create(handled: &Handled, size: usize) -> io::Result<OwnedFd> {
    let size = size.min(size_of::<Handled>());
    // SAFETY: `handled` is a live struct of at least `size` bytes, which the kernel only reads.
    let fd = checked(unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::from_ref(handled), size, 0_usize)
    })?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the call has just made this descriptor, and nobody else has its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Allows `rights` beneath an object.
pub(super) fn landlock_allow(ruleset: BorrowedFd<'_>, object: BorrowedFd<'_>, rights: u64) -> io::Result<()> {
    let rule = PathBeneath { allowed: rights, parent: object.as_raw_fd() };
    // SAFETY: `rule` has the kernel's layout and lives through the call; both descriptors are borrowed and so open.
    checked(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            RULE_PATH_BENEATH,
            std::ptr::from_ref(&rule),
            0_usize,
        )
    })?;
    Ok(())
}

/// Allows `rights` on a TCP port; 0 stands for whichever the kernel chooses.
pub(super) fn landlock_allow_port(ruleset: BorrowedFd<'_>, port: u16, rights: u64) -> io::Result<()> {
    let rule = NetPort { allowed: rights, port: u64::from(port) };
    // SAFETY: `rule` has the kernel's layout and lives through the call; the descriptor is borrowed and so open.
    checked(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            RULE_NET_PORT,
            std::ptr::from_ref(&rule),
            0_usize,
        )
    })?;
    Ok(())
}

/// Whether the kernel takes filters that answer with an error number.
pub(super) fn seccomp_available() -> bool {
    let action: u32 = libc::SECCOMP_RET_ERRNO;
    // SAFETY: the kernel reads four bytes behind the pointer, which `action` has.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0_usize, std::ptr::from_ref(&action))
    };
    result == 0
}

/// What the child does to itself between fork and exec.
pub(super) struct Entry<'a> {
    /// Resource and the value of both its limits.
    pub(super) limits: Vec<(u32, u64)>,
    /// Landlock.
    pub(super) ruleset: Option<BorrowedFd<'a>>,
    /// What the program may do beneath `/proc/self`, a place that nobody else can name for it; `/proc/net` and `/proc/mounts`
    /// lie there too.
    pub(super) on_self: u64,
    /// seccomp; empty for none.
    pub(super) filter: Vec<Instruction>,
}

/// Makes the program enter the sandbox before its first instruction: a session and process group of its own, no descriptors but
/// the standard three, limits, no capabilities, no new privileges, Landlock, and at last the filter. If one of it fails, the
/// program does not start.
///
/// The caller keeps the ruleset open until the program has been started.
pub(super) fn enter_before_exec(command: &mut Command, entry: Entry<'_>) {
    let Entry { limits, ruleset, on_self, mut filter } = entry;
    let ruleset = ruleset.map(|fd| fd.as_raw_fd());
    let step = move || {
        new_session()?;
        for (resource, value) in &limits {
            limit(*resource, *value)?;
        }
        drop_privileges()?;
        if let Some(ruleset) = ruleset {
            allow_self(ruleset, on_self)?;
            // SAFETY: a system call on two integers; it restricts the calling thread, the only one after fork.
            checked(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0_usize) })?;
        }
        if !filter.is_empty() {
            let own = std::process::id();
            filter.iter_mut().filter(|i| i.value == OWN_PID).for_each(|i| i.value = own);
            install(&filter)?;
        }
        Ok(())
    };
    // SAFETY: the closure runs after fork in a copy of a process that may have had other threads, so it must call nothing that
    // takes a lock or allocates. It makes system calls only, on memory that was prepared before the fork; its errors are plain
    // numbers (and std::process::id is getpid), and `limits` and `filter` are dropped by nobody, since exec or _exit follows.
    unsafe { command.pre_exec(step) };
}

fn new_session() -> io::Result<()> {
    // SAFETY: four system calls on integers. `CLOSE_RANGE_CLOEXEC` closes nothing before exec, so the pipe by which the
    // standard library reports a failed start stays open until then.
    unsafe {
        checked(libc::c_long::from(libc::setsid()))?;
        // A wrapper that is killed leaves no program behind.
        checked(libc::c_long::from(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0)))?;
        libc::umask(0o077);
        let first = 3_usize;
        checked(libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX as usize,
            libc::CLOSE_RANGE_CLOEXEC as usize,
        ))?;
    }
    Ok(())
}

fn limit(resource: u32, value: u64) -> io::Result<()> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `now` is a live struct of the layout that both calls take.
    unsafe {
        checked(libc::c_long::from(libc::getrlimit(resource, &raw mut now)))?;
        let value = value.min(now.rlim_max);
        let new = libc::rlimit { rlim_cur: value, rlim_max: value };
        checked(libc::c_long::from(libc::setrlimit(resource, &raw const new)))?;
    }
    Ok(())
}

/// With no_new_privs no later exec gives capabilities back, not to root either.
fn drop_privileges() -> io::Result<()> {
    let header = CapHeader { version: CAP_VERSION_3, pid: 0 };
    let none = [0_u32; 6];
    // SAFETY: `header` and the 24 bytes of `none` have the layout of version 3 and are only read; prctl takes integers.
    unsafe {
        checked(libc::syscall(libc::SYS_capset, std::ptr::from_ref(&header), none.as_ptr()))?;
        checked(libc::c_long::from(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)))?;
    }
    Ok(())
}

fn allow_self(ruleset: i32, rights: u64) -> io::Result<()> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the path is a literal with its zero byte; the rule has the kernel's layout and lives through the call. The
    // descriptor is the child's alone and is closed by exec.
    unsafe {
        let own = libc::open(c"/proc/self".as_ptr(), flags);
        if own < 0 {
            // Without /proc there is nothing to read in it.
            return Ok(());
        }
        let rule = PathBeneath { allowed: rights, parent: own };
        checked(libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset,
            RULE_PATH_BENEATH,
            std::ptr::from_ref(&rule),
            0_usize,
        ))?;
    }
    Ok(())
}

/// The calling thread, which has no new privileges, is under the filter from now on.
pub(super) fn install(filter: &[Instruction]) -> io::Result<()> {
    // More than the kernel takes at all: it refuses the wrong length.
    let length = u16::try_from(filter.len()).unwrap_or(u16::MAX);
    let program = Program { length, instructions: filter.as_ptr() };
    // SAFETY: `program` points to `length` live instructions of the kernel's layout, which it copies.
    checked(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0_usize, std::ptr::from_ref(&program))
    })?;
    Ok(())
}

/// The calling thread enters: no capabilities, no new privileges, Landlock, the filter. Other threads stay as they are.
pub(super) fn enter_thread(ruleset: Option<BorrowedFd<'_>>, filter: &[Instruction]) -> io::Result<()> {
    drop_privileges()?;
    if let Some(ruleset) = ruleset {
        // SAFETY: a system call on two integers, of which the descriptor is borrowed and so open; it restricts this thread.
        checked(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_usize) })?;
    }
    if filter.is_empty() { Ok(()) } else { install(filter) }
}
