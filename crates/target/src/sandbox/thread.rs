//! The sandbox of a reading thread: nothing can be opened, started or sent; only what is open already is read, and only its two
//! pipes are written.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::bpf::{self, Condition, Rule};
use super::landlock::Ruleset;
use super::sys::{self, Instruction};
use super::{Kernel, calls};

/// Memory, waiting for other threads, ending.
const CALLS: &[libc::c_long] = &[
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_close,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_sched_yield,
    libc::SYS_clock_gettime,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_sigaltstack,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

const PROT_EXEC: u32 = libc::PROT_EXEC.unsigned_abs();

/// A sandbox for one thread.
pub(crate) struct ThreadSandbox {
    ruleset: Option<Ruleset>,
    filter: Vec<Instruction>,
}

impl ThreadSandbox {
    /// Prepares one in which `read` can be read and `written` written.
    ///
    /// # Errors
    /// The ruleset cannot be made.
    pub(crate) fn prepare(
        kernel: Kernel,
        read: &[BorrowedFd<'_>],
        written: &[BorrowedFd<'_>],
    ) -> Result<Self, String> {
        let ruleset = match kernel.landlock {
            0 => None,
            abi => Some(Ruleset::new(abi, false)?),
        };
        let filter = if kernel.seccomp { filter(&numbers(read), &numbers(written)) } else { Vec::new() };
        Ok(Self { ruleset, filter })
    }

    /// The calling thread enters it, for good.
    ///
    /// # Errors
    /// The kernel refuses; the thread must not go on.
    pub(crate) fn enter(&self) -> io::Result<()> {
        sys::enter_thread(self.ruleset.as_ref().map(Ruleset::fd), &self.filter)
    }
}

/// A sandbox in two steps for a thread that connects and then listens to strangers: first no file, and TCP to one port alone (where
/// Landlock tells ports apart, from ABI 4 on); once connected, before the first byte of a peer, nothing but its sockets and pipes.
pub(crate) struct ConnectSandbox {
    ruleset: Option<Ruleset>,
    seccomp: bool,
    pipes: Vec<u32>,
}

impl ConnectSandbox {
    /// Prepares one for connections to `port`; `pipes` stay writable.
    ///
    /// # Errors
    /// The ruleset cannot be made.
    pub(crate) fn prepare(kernel: Kernel, port: u16, pipes: &[BorrowedFd<'_>]) -> Result<Self, String> {
        let ruleset = match kernel.landlock {
            0 => None,
            abi => {
                let ruleset = Ruleset::new(abi, false)?;
                ruleset.allow_connect(abi, port)?;
                Some(ruleset)
            }
        };
        Ok(Self { ruleset, seccomp: kernel.seccomp, pipes: numbers(pipes) })
    }

    /// The first step.
    ///
    /// # Errors
    /// The kernel refuses; the thread must not go on.
    pub(crate) fn enter(&self) -> io::Result<()> {
        sys::enter_thread(self.ruleset.as_ref().map(Ruleset::fd), &[])
    }

    /// The second step: `sockets` are all that can be read, and with the pipes all that can be written.
    ///
    /// # Errors
    /// The kernel refuses; the thread must not go on.
    pub(crate) fn seal(&self, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        if !self.seccomp {
            return Ok(());
        }
        let sockets = numbers(sockets);
        sys::install(&filter(&sockets, &[sockets.as_slice(), &self.pipes].concat()))
    }
}

fn numbers(fds: &[BorrowedFd<'_>]) -> Vec<u32> {
    fds.iter().map(|fd| fd.as_raw_fd().unsigned_abs()).collect()
}

fn filter(read: &[u32], written: &[u32]) -> Vec<Instruction> {
    let number = |call: libc::c_long| u32::try_from(call).unwrap_or(u32::MAX);
    let mut rules: BTreeMap<u32, Rule> = CALLS.iter().map(|call| (number(*call), Rule::Allow)).collect();
    // Without files there is nothing to read; no descriptor has this number.
    let mut readable = read.to_vec();
    readable.push(u32::MAX);
    for call in [libc::SYS_read, libc::SYS_pread64] {
        rules.insert(number(call), Rule::If(vec![Condition::among(0, &readable)]));
    }
    rules.insert(number(libc::SYS_write), Rule::If(vec![Condition::among(0, written)]));
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(number(call), Rule::If(vec![Condition::clear(2, PROT_EXEC)]));
    }
    bpf::assemble(&rules.into_iter().collect::<Vec<_>>(), calls::LAST)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    use super::*;

    /// What a thread can do once it is inside.
    fn inside<T: Send>(
        read: &[BorrowedFd<'_>],
        written: &[BorrowedFd<'_>],
        work: impl FnOnce() -> T + Send,
    ) -> T {
        let kernel = Kernel::running();
        assert!(kernel.lacks().is_none(), "this test needs Landlock and seccomp: {kernel:?}");
        let sandbox = ThreadSandbox::prepare(kernel, read, written).unwrap();
        std::thread::scope(|scope| {
            scope
                .spawn(move || {
                    sandbox.enter().unwrap();
                    work()
                })
                .join()
                .unwrap()
        })
    }

    #[test]
    fn a_thread_reads_what_is_open_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("named"), "content").unwrap();
        std::fs::write(dir.path().join("other"), "secret").unwrap();
        let (mut named, mut other) =
            (File::open(dir.path().join("named")).unwrap(), File::open(dir.path().join("other")).unwrap());
        let (read, mut write) = io::pipe().unwrap();
        let mut stray = File::create(dir.path().join("stray")).unwrap();
        let new = dir.path().join("new");
        let kernel = Kernel::running();
        assert!(kernel.lacks().is_none(), "this test needs Landlock and seccomp: {kernel:?}");
        let sandbox = ThreadSandbox::prepare(kernel, &[named.as_fd()], &[write.as_fd()]).unwrap();
        let place = dir.path().to_owned();
        let (content, refused) = std::thread::spawn(move || {
            sandbox.enter().unwrap();
            let mut content = String::new();
            named.read_to_string(&mut content).unwrap();
            write.write_all(b"said").unwrap();
            let mut buffer = [0; 8];
            let refused = [
                other.read(&mut buffer).is_err(),
                stray.write(b"x").is_err(),
                File::open(place.join("named")).is_err(),
                File::create(&new).is_err(),
                std::fs::remove_file(place.join("other")).is_err(),
                std::process::Command::new("/usr/bin/true").spawn().is_err(),
                std::net::UdpSocket::bind("127.0.0.1:0").is_err(),
                std::os::unix::net::UnixStream::pair().is_err(),
                std::thread::Builder::new().spawn(|| ()).is_err(),
            ];
            (content, refused)
        })
        .join()
        .unwrap();
        assert_eq!(content, "content");
        assert_eq!(refused, [true; 9]);
        let mut said = String::new();
        (&read).take(4).read_to_string(&mut said).unwrap();
        assert_eq!(said, "said");
        assert!(dir.path().join("other").exists() && !dir.path().join("new").exists());
        assert_eq!(std::fs::read(dir.path().join("stray")).unwrap(), b"");
        // The other threads are as free as before.
        std::fs::write(dir.path().join("free"), "x").unwrap();
        assert!(std::process::Command::new("/usr/bin/true").status().unwrap().success());
    }

    #[test]
    fn a_connecting_thread_reaches_one_port_and_then_nothing() {
        use std::net::{TcpListener, TcpStream, UdpSocket};
        let kernel = Kernel::running();
        assert!(
            kernel.lacks().is_none() && kernel.landlock >= 4,
            "this test needs Landlock's ports: {kernel:?}"
        );
        let (judged, other) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let (to, elsewhere) = (judged.local_addr().unwrap(), other.local_addr().unwrap());
        let (read, mut pipe) = io::pipe().unwrap();
        let sandbox = ConnectSandbox::prepare(kernel, to.port(), &[pipe.as_fd()]).unwrap();
        let (first, then) = std::thread::spawn(move || {
            sandbox.enter().unwrap();
            let first = [
                TcpStream::connect(elsewhere).is_err(),
                TcpListener::bind("127.0.0.1:0").is_err(),
                File::open("/etc/hostname").is_err(),
                std::process::Command::new("/usr/bin/true").spawn().is_err(),
            ];
            let stream = TcpStream::connect(to).unwrap();
            let stray = TcpStream::connect(to).unwrap();
            let (mut stream, mut stray) = (
                File::from(std::os::fd::OwnedFd::from(stream)),
                File::from(std::os::fd::OwnedFd::from(stray)),
            );
            sandbox.seal(&[stream.as_fd()]).unwrap();
            stream.write_all(b"asked").unwrap();
            pipe.write_all(b"said").unwrap();
            let then = [
                stray.write(b"x").is_err(),
                stray.read(&mut [0; 1]).is_err(),
                TcpStream::connect(to).is_err(),
                UdpSocket::bind("127.0.0.1:0").is_err(),
                File::open("/etc/hostname").is_err(),
            ];
            (first, then)
        })
        .join()
        .unwrap();
        assert_eq!((first, then), ([true; 4], [true; 5]));
        let mut said = [0; 5];
        judged.accept().unwrap().0.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"asked");
        (&read).read_exact(&mut said[..4]).unwrap();
        let mut stray = Vec::new();
        judged.accept().unwrap().0.read_to_end(&mut stray).unwrap();
        assert_eq!(stray, b"", "nothing was sent over the connection that was not handed in");
        other.set_nonblocking(true).unwrap();
        assert!(other.accept().is_err(), "nobody connected to the other port");
    }

    #[test]
    fn memory_can_be_had_but_not_executed() {
        let (_read, write) = io::pipe().unwrap();
        let size = inside(&[], &[write.as_fd()], || {
            let much: Vec<u8> = vec![1; 32 << 20];
            much.iter().map(|b| usize::from(*b)).sum::<usize>()
        });
        assert_eq!(size, 32 << 20);
    }
}
