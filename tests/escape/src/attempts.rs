//! The attempts.

use crate::call::{Errno, call, check, in_child, start, text};

type Attempt = Box<dyn FnOnce() -> Result<(), Errno>>;

const HERE: i32 = libc::AT_FDCWD;
/// A file of the same user, in a folder in which everybody may write.
const OWN: &str = "/srv/escape/open/own";

fn boxed(attempt: impl FnOnce() -> Result<i64, Errno> + 'static) -> Attempt {
    Box::new(|| attempt().map(|_| ()))
}

fn open(path: &str, flags: i32) -> Result<i64, Errno> {
    call!(SYS_openat, HERE, text(path).as_ptr(), flags | libc::O_CLOEXEC, 0o600)
}

fn read(path: &str) -> Attempt {
    let path = path.to_owned();
    boxed(move || {
        let fd = open(&path, libc::O_RDONLY)?;
        let mut byte = [0_u8; 16];
        let size = call!(SYS_read, fd, byte.as_mut_ptr(), byte.len())?;
        if size > 0 { Ok(0) } else { Err(libc::EIO) }
    })
}

fn write(path: &str) -> Attempt {
    let path = path.to_owned();
    boxed(move || open(&path, libc::O_WRONLY))
}

/// A descriptor besides the standard three.
pub(crate) fn left_open() -> Result<i64, Errno> {
    (3..256).find_map(|fd| call!(SYS_fcntl, fd, libc::F_GETFD).ok()).ok_or(libc::EBADF)
}

/// All of them, in the order of the table.
pub(crate) fn all(pid: i32, named: &str, left_open: Result<i64, Errno>) -> Vec<(&'static str, Attempt)> {
    let mut all = vec![("read the file that the command line names", read(named))];
    all.extend(reading(pid, left_open));
    all.extend(changing());
    all.extend(processes(pid));
    all.extend(network());
    all.extend(unix());
    all.extend(programs());
    all.extend(system());
    all
}

fn reading(pid: i32, left_open: Result<i64, Errno>) -> Vec<(&'static str, Attempt)> {
    vec![
        ("read a file beside it", read("/srv/escape/beside")),
        ("read it through a link from the named folder", read("/srv/escape/named.d/link")),
        ("read /etc/shadow", read("/etc/shadow")),
        ("read root's files", read("/root/escape-secret")),
        ("read the host's ssh key", read("/etc/ssh/ssh_host_ed25519_key")),
        ("read another process's environment", read(&format!("/proc/{pid}/environ"))),
        ("read another process's memory", boxed(move || open(&format!("/proc/{pid}/mem"), libc::O_RDONLY))),
        ("list a private folder", boxed(|| open("/srv/escape/folder", libc::O_RDONLY | libc::O_DIRECTORY))),
        ("find a descriptor that was left open", boxed(move || left_open)),
        (
            "see the wrapper's environment",
            boxed(|| std::env::var_os("SSH_CLIENT").map(|_| 0).ok_or(libc::ENOENT)),
        ),
    ]
}

fn changing() -> Vec<(&'static str, Attempt)> {
    let at = |call: fn(*const i8) -> Result<i64, Errno>| boxed(move || call(text(OWN).as_ptr()));
    vec![
        ("open its own file for writing", write(OWN)),
        (
            "create a file",
            boxed(|| open("/srv/escape/open/new", libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL)),
        ),
        ("create a file in /tmp", boxed(|| open("/tmp/escape-new", libc::O_WRONLY | libc::O_CREAT))),
        (
            "create a file without a name",
            boxed(|| open("/srv/escape/open", libc::O_WRONLY | libc::O_TMPFILE)),
        ),
        ("cut a file by opening it", boxed(|| open(OWN, libc::O_RDONLY | libc::O_TRUNC))),
        ("cut a file (truncate)", at(|path| call!(SYS_truncate, path, 1))),
        ("change its mode", at(|path| call!(SYS_fchmodat, HERE, path, 0o644))),
        (
            "change its mode through a descriptor",
            boxed(|| {
                let fd = open("/srv/escape/named", libc::O_RDONLY)?;
                call!(SYS_fchmod, fd, 0o644)
            }),
        ),
        ("change its owner", at(|path| call!(SYS_fchownat, HERE, path, -1, libc::getegid(), 0))),
        ("change its times", at(|path| call!(SYS_utimensat, HERE, path, 0, 0))),
        (
            "set an attribute",
            at(|path| call!(SYS_setxattr, path, text("user.x").as_ptr(), b"x".as_ptr(), 1, 0)),
        ),
        ("remove an attribute", at(|path| call!(SYS_removexattr, path, text("user.x").as_ptr()))),
        (
            "set a flag of the file system (chattr)",
            boxed(|| {
                let fd = open("/srv/escape/named", libc::O_RDONLY)?;
                let flags = 0_i64;
                call!(SYS_ioctl, fd, 0x4008_6602_u64, std::ptr::from_ref(&flags))
            }),
        ),
        (
            "make a folder",
            boxed(|| call!(SYS_mkdirat, HERE, text("/srv/escape/open/folder").as_ptr(), 0o700)),
        ),
        (
            "make a symbolic link",
            boxed(|| {
                call!(SYS_symlinkat, text("/etc").as_ptr(), HERE, text("/srv/escape/open/symbolic").as_ptr())
            }),
        ),
        (
            "make a hard link",
            at(|path| call!(SYS_linkat, HERE, path, HERE, text("/srv/escape/open/hard").as_ptr(), 0)),
        ),
        (
            "make a pipe in the file system",
            boxed(|| {
                call!(SYS_mknodat, HERE, text("/srv/escape/open/pipe").as_ptr(), libc::S_IFIFO | 0o600, 0)
            }),
        ),
        (
            "rename a file",
            boxed(|| {
                call!(
                    SYS_renameat2,
                    HERE,
                    text(OWN).as_ptr(),
                    HERE,
                    text("/srv/escape/open/own2").as_ptr(),
                    0
                )
            }),
        ),
        ("delete a file", boxed(|| call!(SYS_unlinkat, HERE, text("/srv/escape/open/victim").as_ptr(), 0))),
        ("write a kernel setting", write("/proc/sys/kernel/domainname")),
        ("write the kernel's log", write("/dev/kmsg")),
        (
            "leave shared memory behind",
            boxed(|| call!(SYS_shmget, 0x00e5_ca9e, 4096, libc::IPC_CREAT | 0o600)),
        ),
        (
            "leave a message queue behind",
            boxed(|| call!(SYS_mq_open, text("escape").as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600, 0)),
        ),
    ]
}

fn processes(pid: i32) -> Vec<(&'static str, Attempt)> {
    vec![
        ("send a signal (kill)", boxed(move || call!(SYS_kill, pid, libc::SIGCONT))),
        ("send a signal (tgkill)", boxed(move || call!(SYS_tgkill, pid, pid, libc::SIGCONT))),
        (
            "send a signal (pidfd)",
            boxed(move || {
                let fd = call!(SYS_pidfd_open, pid, 0)?;
                call!(SYS_pidfd_send_signal, fd, libc::SIGCONT, 0, 0)
            }),
        ),
        (
            "send a signal to the wrapper",
            boxed(|| {
                let wrapper = call!(SYS_getppid)?;
                call!(SYS_kill, wrapper, 0)
            }),
        ),
        (
            "trace a process",
            boxed(move || {
                call!(SYS_ptrace, libc::PTRACE_ATTACH, pid, 0, 0)?;
                // SAFETY: waits for the process that has just been attached to; without a place for its status.
                check(i64::from(unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) }))?;
                call!(SYS_ptrace, libc::PTRACE_DETACH, pid, 0, 0)
            }),
        ),
        (
            "read memory (process_vm_readv)",
            boxed(move || {
                let mut byte = [0_u8; 1];
                let local = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
                let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(0x1000), iov_len: 1 };
                match call!(
                    SYS_process_vm_readv,
                    pid,
                    std::ptr::from_ref(&local),
                    1_usize,
                    std::ptr::from_ref(&remote),
                    1_usize,
                    0_usize
                ) {
                    // It got as far as the memory, and nothing lies there.
                    Err(libc::EFAULT) => Ok(0),
                    other => other,
                }
            }),
        ),
        (
            "take a process's descriptor",
            boxed(move || {
                let fd = call!(SYS_pidfd_open, pid, 0)?;
                call!(SYS_pidfd_getfd, fd, 0, 0)
            }),
        ),
        (
            "change a process's limits",
            boxed(move || {
                let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                call!(SYS_prlimit64, pid, libc::RLIMIT_CORE, std::ptr::from_ref(&limit), 0)
            }),
        ),
        ("change a process's priority", boxed(move || call!(SYS_setpriority, libc::PRIO_PROCESS, pid, 19))),
        ("leave the process group", Box::new(|| in_child(|| call!(SYS_setpgid, 0, 0)))),
        ("leave the session", Box::new(|| in_child(|| call!(SYS_setsid)))),
        ("become another user", Box::new(|| in_child(|| call!(SYS_setresuid, 65534, 65534, 65534)))),
        (
            "become root",
            Box::new(|| {
                // Only root could already; there it is no gain.
                in_child(|| {
                    if call!(SYS_getuid)? == 0 { Err(libc::EPERM) } else { call!(SYS_setresuid, 0, 0, 0) }
                })
            }),
        ),
    ]
}

/// Connects a socket to an address of the internet family.
fn inet(kind: i32, port: u16) -> Result<i64, Errno> {
    let fd = call!(SYS_socket, libc::AF_INET, kind | libc::SOCK_CLOEXEC, 0)?;
    let address = libc::sockaddr_in {
        sin_family: u16::try_from(libc::AF_INET).unwrap_or(0),
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    call!(SYS_connect, fd, std::ptr::from_ref(&address), size_of::<libc::sockaddr_in>())?;
    Ok(fd)
}

fn network() -> Vec<(&'static str, Attempt)> {
    let socket =
        |family: i32, kind: i32, protocol: i32| boxed(move || call!(SYS_socket, family, kind, protocol));
    vec![
        ("connect over TCP", boxed(|| inet(libc::SOCK_STREAM, 22))),
        (
            "send over UDP",
            boxed(|| {
                let fd = inet(libc::SOCK_DGRAM, 9)?;
                call!(SYS_write, fd, b"x".as_ptr(), 1)
            }),
        ),
        (
            "wait for TCP connections",
            boxed(|| {
                let fd = call!(SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0)?;
                call!(SYS_listen, fd, 1)
            }),
        ),
        (
            "bind a TCP port",
            boxed(|| {
                let fd = call!(SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0)?;
                let address = libc::sockaddr_in {
                    sin_family: u16::try_from(libc::AF_INET).unwrap_or(0),
                    sin_port: 48_011_u16.to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
                    sin_zero: [0; 8],
                };
                call!(SYS_bind, fd, std::ptr::from_ref(&address), size_of::<libc::sockaddr_in>())
            }),
        ),
        ("make a raw socket", socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)),
        ("make a packet socket", socket(libc::AF_PACKET, libc::SOCK_RAW, 0)),
        ("make a socket to the hypervisor", socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0)),
        ("make a crypto socket", socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0)),
        ("ask the kernel over netlink", socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)),
        ("add an address over netlink", boxed(add_address)),
        (
            "listen to device events over netlink",
            socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_KOBJECT_UEVENT),
        ),
    ]
}

/// `RTM_NEWADDR` of 127.9.9.9/32 on the loopback interface, and the kernel's answer.
fn add_address() -> Result<i64, Errno> {
    let fd = call!(SYS_socket, libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
    let mut message = Vec::new();
    message.extend(32_u32.to_ne_bytes());
    message.extend(20_u16.to_ne_bytes());
    // Request, acknowledge, create.
    message.extend(0x405_u16.to_ne_bytes());
    message.extend([0; 8]);
    // IPv4, 32 bits of prefix, scope host, interface 1; then the address.
    message.extend([2, 32, 0, 254, 1, 0, 0, 0]);
    message.extend([8, 0, 2, 0, 127, 9, 9, 9]);
    call!(SYS_write, fd, message.as_ptr(), message.len())?;
    let mut answer = [0_u8; 256];
    call!(SYS_read, fd, answer.as_mut_ptr(), answer.len())?;
    let errno = i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]);
    if errno == 0 || -errno == libc::EEXIST { Ok(0) } else { Err(-errno) }
}

/// The address of a unix socket; a name that begins with `@` is abstract.
fn unix_address(name: &str) -> Vec<u8> {
    let mut address = Vec::from(u16::try_from(libc::AF_UNIX).unwrap_or(0).to_ne_bytes());
    match name.strip_prefix('@') {
        Some(name) => address.extend([0].iter().chain(name.as_bytes())),
        None => address.extend(name.as_bytes()),
    }
    address
}

fn connect_unix(name: &'static str) -> Attempt {
    boxed(move || {
        let fd = call!(SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0)?;
        let address = unix_address(name);
        call!(SYS_connect, fd, address.as_ptr(), address.len())
    })
}

fn unix() -> Vec<(&'static str, Attempt)> {
    vec![
        (
            "write a record into the system's log",
            boxed(|| {
                let fd = call!(SYS_socket, libc::AF_UNIX, libc::SOCK_DGRAM, 0)?;
                let address = unix_address("/dev/log");
                call!(SYS_connect, fd, address.as_ptr(), address.len())?;
                let record = b"<86>escape: forged";
                call!(SYS_write, fd, record.as_ptr(), record.len())
            }),
        ),
        ("connect to D-Bus", connect_unix("/run/dbus/system_bus_socket")),
        ("connect to a unix socket that everybody may", connect_unix("/srv/escape/socket")),
        ("connect to a unix socket of root", connect_unix("/srv/escape/root.socket")),
        ("connect to an abstract unix socket", connect_unix("@escape")),
    ]
}

fn programs() -> Vec<(&'static str, Attempt)> {
    vec![
        ("start another program", Box::new(|| start("/usr/bin/id", "-u"))),
        ("start a shell", Box::new(|| start("/bin/bash", "--version"))),
        ("start a setuid program", Box::new(|| start("/usr/bin/sudo", "-V"))),
        ("start a program of its own", Box::new(|| start("/srv/escape/open/program", ""))),
        (
            "start a program from memory",
            Box::new(|| {
                in_child(|| {
                    let fd = call!(SYS_memfd_create, text("x").as_ptr(), 0)?;
                    let program =
                        std::fs::read("/usr/bin/true").map_err(|e| e.raw_os_error().unwrap_or(libc::EIO))?;
                    call!(SYS_write, fd, program.as_ptr(), program.len())?;
                    call!(
                        SYS_execveat,
                        fd,
                        c"".as_ptr(),
                        [std::ptr::null::<u8>()].as_ptr(),
                        [std::ptr::null::<u8>()].as_ptr(),
                        libc::AT_EMPTY_PATH
                    )
                })
            }),
        ),
        (
            "start a program by descriptor",
            Box::new(|| {
                in_child(|| {
                    let fd = call!(SYS_openat, HERE, text("/usr/bin/true").as_ptr(), libc::O_PATH)?;
                    call!(
                        SYS_execveat,
                        fd,
                        c"".as_ptr(),
                        [std::ptr::null::<u8>()].as_ptr(),
                        [std::ptr::null::<u8>()].as_ptr(),
                        libc::AT_EMPTY_PATH
                    )
                })
            }),
        ),
    ]
}

fn system() -> Vec<(&'static str, Attempt)> {
    let namespace = |flag: i32| -> Attempt { Box::new(move || in_child(|| call!(SYS_unshare, flag))) };
    vec![
        (
            "mount a file system",
            Box::new(|| {
                in_child(|| {
                    call!(
                        SYS_mount,
                        text("none").as_ptr(),
                        text("/srv/escape/mount").as_ptr(),
                        text("tmpfs").as_ptr(),
                        0,
                        0
                    )?;
                    call!(SYS_umount2, text("/srv/escape/mount").as_ptr(), libc::MNT_DETACH)
                })
            }),
        ),
        ("mount by the new calls", boxed(|| call!(SYS_fsopen, text("tmpfs").as_ptr(), 0))),
        ("make a user namespace", namespace(libc::CLONE_NEWUSER)),
        ("make a mount namespace", namespace(libc::CLONE_NEWNS)),
        (
            "make a user namespace with clone",
            Box::new(|| {
                in_child(|| {
                    let child = call!(SYS_clone, libc::CLONE_NEWUSER | libc::SIGCHLD, 0, 0, 0, 0)?;
                    if child == 0 {
                        // SAFETY: ends the grandchild.
                        unsafe { libc::_exit(0) };
                    }
                    Ok(child)
                })
            }),
        ),
        (
            "enter a namespace",
            Box::new(|| {
                in_child(|| {
                    let fd = open("/proc/self/ns/uts", libc::O_RDONLY)?;
                    call!(SYS_setns, fd, 0)
                })
            }),
        ),
        ("change the root folder", Box::new(|| in_child(|| call!(SYS_chroot, text("/srv/escape").as_ptr())))),
        (
            "change the host's name",
            boxed(|| {
                let mut name = [0_u8; 65];
                // SAFETY: the buffer has the length that is said.
                check(i64::from(unsafe { libc::gethostname(name.as_mut_ptr().cast(), 64) }))?;
                let length = name.iter().position(|byte| *byte == 0).unwrap_or(64);
                call!(SYS_sethostname, name.as_ptr(), length)
            }),
        ),
        (
            "use the keyring",
            boxed(|| {
                call!(SYS_add_key, text("user").as_ptr(), text("escape").as_ptr(), b"x".as_ptr(), 1, -3)
            }),
        ),
        (
            "use io_uring",
            boxed(|| {
                let parameters = [0_u8; 120];
                call!(SYS_io_uring_setup, 1, parameters.as_ptr())
            }),
        ),
        (
            "load BPF",
            boxed(|| {
                // BPF_MAP_CREATE of an array of one.
                let attributes: [u32; 32] =
                    std::array::from_fn(|i| [2, 4, 4, 1].get(i).copied().unwrap_or(0));
                call!(SYS_bpf, 0, attributes.as_ptr(), 32)
            }),
        ),
        (
            "count events (perf)",
            boxed(|| {
                // A software clock of this process, user mode only.
                let mut attributes = [0_u64; 16];
                attributes[0] = 1 | (128 << 32);
                attributes[5] = 0x60;
                call!(SYS_perf_event_open, attributes.as_ptr(), 0, -1, -1, 0)
            }),
        ),
        ("handle page faults (userfaultfd)", boxed(|| call!(SYS_userfaultfd, libc::O_CLOEXEC | 1))),
        (
            "push input into a terminal",
            boxed(|| {
                let fd = open("/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY)?;
                call!(SYS_ioctl, fd, 0x5412_u64, b"x".as_ptr())
            }),
        ),
        ("pass a 32-bit call by the filter", Box::new(thirty_two_bits)),
    ]
}

/// Calls getpid by the 32-bit convention; the filter ends a process that does.
#[cfg(target_arch = "x86_64")]
fn thirty_two_bits() -> Result<(), Errno> {
    in_child(|| {
        let result: i64;
        // SAFETY: getpid takes nothing and touches no memory; the registers that the kernel may change are said.
        unsafe {
            std::arch::asm!("int 0x80", inlateout("rax") 20_i64 => result, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
        }
        if result > 0 { Ok(0) } else { Err(libc::ENOSYS) }
    })
}
#[cfg(not(target_arch = "x86_64"))]
fn thirty_two_bits() -> Result<(), Errno> {
    Err(libc::ENOSYS)
}
