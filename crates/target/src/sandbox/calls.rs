//! The system calls that a program which only looks may make. What is not listed fails with EPERM.

use super::bpf::{Condition, Rule, Socket};
use super::sys::OWN_PID;

/// The highest number that this table has judged; newer calls do not exist here.
pub(super) const LAST: u32 = 467;

const ENOSYS: u16 = 38;

/// What the rules depend on, besides the profile.
pub(super) struct Circumstances {
    /// Landlock's ABI; 0 for none.
    pub(super) abi: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Reading, and writing to what is open already (Landlock decides what can be opened for writing).
const FILES: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_lseek,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_newfstatat,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_getxattr,
    libc::SYS_lgetxattr,
    libc::SYS_fgetxattr,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_flistxattr,
    libc::SYS_fadvise64,
    libc::SYS_readahead,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_tee,
    libc::SYS_copy_file_range,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_name_to_handle_at,
    libc::SYS_umask,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
];

/// Waiting for what is open.
const WAITING: &[libc::c_long] = &[
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_signalfd4,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
];

const MEMORY: &[libc::c_long] = &[
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_msync,
    libc::SYS_mincore,
    libc::SYS_membarrier,
    libc::SYS_pkey_alloc,
    libc::SYS_pkey_free,
    libc::SYS_pkey_mprotect,
    libc::SYS_get_mempolicy,
];

/// Processes of its own, within the process group that the wrapper ends: no setsid, no setpgid. A program may restrict itself
/// further. Signals of its own threads; what leaves the sandbox is Landlock's to stop.
const PROCESSES: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getppid,
    libc::SYS_getpgid,
    libc::SYS_getsid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_getgroups,
    libc::SYS_getrusage,
    libc::SYS_times,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_getpriority,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_getattr,
    libc::SYS_ioprio_get,
    libc::SYS_getcpu,
    libc::SYS_set_tid_address,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_rseq,
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_prctl,
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_pidfd_open,
    libc::SYS_seccomp,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_restrict_self,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
    libc::SYS_getrandom,
];

const TIME: &[libc::c_long] = &[
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_getitimer,
    libc::SYS_setitimer,
    libc::SYS_timer_create,
    libc::SYS_timer_settime,
    libc::SYS_timer_gettime,
    libc::SYS_timer_getoverrun,
    libc::SYS_timer_delete,
];

/// On sockets that `socket` has let through; none may wait for a peer to come.
const SOCKETS: &[libc::c_long] = &[
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
];

/// Calls that only this architecture has, beside their successors.
#[cfg(target_arch = "x86_64")]
const OLD: &[libc::c_long] = &[
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_getdents,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_signalfd,
    libc::SYS_inotify_init,
    libc::SYS_alarm,
    libc::SYS_pause,
    libc::SYS_time,
    libc::SYS_getpgrp,
    libc::SYS_getrlimit,
    libc::SYS_setrlimit,
    libc::SYS_arch_prctl,
];
#[cfg(target_arch = "aarch64")]
const OLD: &[libc::c_long] = &[];

/// statmount, listmount, getxattrat, listxattrat: newer than the C library's table; the same numbers everywhere.
const NEW: &[u32] = &[457, 458, 464, 465];

/// Requests of ioctl that change nothing: terminals (not TIOCSTI, TIOCLINUX), pipes, flags of files, addresses of interfaces,
/// neighbours, what ethtool shows, sizes of block devices, the kind of a namespace.
const IOCTLS: &[u32] = &[
    0x5401,
    0x5413,
    0x541b,
    0x5421,
    0x5411,
    0x5450,
    0x5451,
    0x540f,
    0x5429,
    0x8008_6601,
    0x8008_7601,
    0x801c_581f,
    0x8911,
    0x8912,
    0x8910,
    0x8913,
    0x8915,
    0x8917,
    0x8919,
    0x891b,
    0x891d,
    0x8921,
    0x8927,
    0x8933,
    0x8938,
    0x8942,
    0x8954,
    0x8970,
    0x8946,
    0x8947,
    0x1260,
    0x1268,
    0x8008_1272,
    0xb701,
    0xb702,
    0xb703,
    0xb704,
];

/// Reading the kernel's log: all of it, what is unread, its size.
const READ_LOG: &[u32] = &[3, 9, 10];

/// fcntl commands that ask for signals, delegate or mark files: F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_NOTIFY,
/// F_SET_RW_HINT, F_SET_FILE_RW_HINT.
const FCNTL_NOT: &[u32] = &[8, 10, 15, 1024, 1026, 1036, 1038];

/// Every flag of clone that makes a namespace.
#[allow(clippy::cast_sign_loss, reason = "bits, not a number")]
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

const ACCESS_MODE: u32 = 3;
const TRUNCATE: u32 = 0o1000;
const CREATE: u32 = 0o100;
/// `O_TMPFILE` without `O_DIRECTORY`.
const TEMPORARY: u32 = 0o20_000_000;

/// The rules of one profile, in the order of their numbers; each number once.
pub(super) fn rules(sockets: &[Socket], here: &Circumstances) -> Vec<(u32, Rule)> {
    let mut rules = Vec::with_capacity(256);
    for number in [FILES, WAITING, MEMORY, PROCESSES, TIME, SOCKETS, OLD].into_iter().flatten() {
        rules.push((number_of(*number), Rule::Allow));
    }
    rules.extend(NEW.iter().map(|number| (*number, Rule::Allow)));
    let mut set = |number: libc::c_long, rule: Rule| rules.push((number_of(number), rule));

    // Their arguments lie in memory, where a filter cannot look; the C library then uses the older calls.
    set(libc::SYS_clone3, Rule::Fail(ENOSYS));
    set(libc::SYS_openat2, Rule::Fail(ENOSYS));

    set(libc::SYS_clone, Rule::If(vec![Condition::clear(0, NAMESPACES)]));
    set(libc::SYS_openat, Rule::If(opening(2, here.abi)));
    #[cfg(target_arch = "x86_64")]
    set(libc::SYS_open, Rule::If(opening(1, here.abi)));
    set(libc::SYS_ioctl, Rule::If(vec![Condition::among(1, IOCTLS)]));
    set(libc::SYS_fcntl, Rule::If(vec![Condition::not(1, u32::MAX, FCNTL_NOT)]));
    set(libc::SYS_syslog, Rule::If(vec![Condition::among(0, READ_LOG)]));
    set(libc::SYS_prlimit64, Rule::If(vec![Condition::among(0, &[0])]));
    set(libc::SYS_personality, Rule::If(vec![Condition::among(0, &[0, u32::MAX])]));
    // Signals: Landlock keeps them inside from ABI 6 on; before that they go to the program itself (which is how the C library
    // raises one) or, with 0, to its process group.
    for (number, targets) in [(libc::SYS_kill, &[OWN_PID, 0][..]), (libc::SYS_tgkill, &[OWN_PID])] {
        let rule = if here.abi >= 6 { Rule::Allow } else { Rule::If(vec![Condition::among(0, targets)]) };
        set(number, rule);
    }

    // Programs that once had privileges give them up, and fail if they cannot: to what they are already.
    for (number, arguments, id) in [
        (libc::SYS_setuid, 1, here.uid),
        (libc::SYS_setreuid, 2, here.uid),
        (libc::SYS_setresuid, 3, here.uid),
        (libc::SYS_setfsuid, 1, here.uid),
        (libc::SYS_setgid, 1, here.gid),
        (libc::SYS_setregid, 2, here.gid),
        (libc::SYS_setresgid, 3, here.gid),
        (libc::SYS_setfsgid, 1, here.gid),
    ] {
        let unchanged = (0..arguments).map(|index| Condition::among(index, &[id, u32::MAX])).collect();
        set(number, Rule::If(unchanged));
    }

    set(libc::SYS_socket, Rule::Sockets(sockets.to_vec()));
    // A pair is a pipe: it reaches nobody.
    let pair = Socket { family: 1, types: vec![1, 2, 5], protocols: vec![] };
    set(libc::SYS_socketpair, Rule::Sockets(vec![pair]));
    rules.sort_unstable_by_key(|(number, _)| *number);
    rules
}

/// Landlock says what may be opened for writing. Before ABI 3 it did not say what may be truncated: a file that is opened for
/// reading, or for neither, can be. Without Landlock nothing is opened for writing.
fn opening(flags: u8, abi: u32) -> Vec<Condition> {
    if abi == 0 {
        return vec![Condition::clear(flags, ACCESS_MODE | TRUNCATE | CREATE | TEMPORARY)];
    }
    vec![Condition::not(flags, ACCESS_MODE | TRUNCATE, &[TRUNCATE, ACCESS_MODE, ACCESS_MODE | TRUNCATE])]
}

fn number_of(number: libc::c_long) -> u32 {
    // Numbers of calls are small and not negative; a test holds the table below LAST.
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
