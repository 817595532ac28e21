//! Runs one program: no shell, its own process group (in a sandbox: its own session), a deadline, bounded output; nothing of
//! it survives.

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::channel::Port;
use crate::sandbox::Sandbox;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};

/// The most bytes of stderr that are handed on; the rest is read and dropped, so that the program does not hang on it.
const ERRORS: usize = 64 << 10;
/// What stands in the place of the rest.
const CUT: &[u8] = b"\n[stderr cut at 65536 bytes]\n";

/// What to run.
pub(crate) struct Program<'a> {
    pub(crate) path: &'a Path,
    /// The words, the name first.
    pub(crate) argv: &'a [String],
    pub(crate) home: &'a str,
    /// What confines it; `None` for what a person has signed.
    pub(crate) sandbox: Option<&'a Sandbox>,
    pub(crate) time: Duration,
    /// Bytes and lines of stdout.
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, with this status; 128 and the number for a signal.
    Exit(i32),
    /// The deadline ended it.
    Time,
    /// The output cap ended it.
    Output,
    /// The peer went away.
    Gone,
}

/// Where one stream goes.
pub(crate) enum Sink<'a> {
    /// To the peer, as it comes.
    Peer { fd: BorrowedFd<'a>, buffer: Vec<u8> },
    /// To a session's peer, in frames, as far as it gives credit.
    Session { port: &'a Port, error: bool, buffer: Vec<u8> },
    /// Into memory, up to so many bytes; the rest is dropped.
    Keep { text: Vec<u8>, limit: usize },
}

impl<'a> Sink<'a> {
    pub(crate) fn peer(fd: BorrowedFd<'a>) -> Self {
        Self::Peer { fd, buffer: Vec::new() }
    }
    pub(crate) fn session(port: &'a Port, error: bool) -> Self {
        Self::Session { port, error, buffer: Vec::new() }
    }
    pub(crate) fn keep(limit: usize) -> Self {
        Self::Keep { text: Vec::new(), limit }
    }
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Peer { .. } | Self::Session { .. } => String::new(),
            Self::Keep { text, .. } => String::from_utf8_lossy(text).into_owned(),
        }
    }
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        match self {
            Self::Peer { buffer, .. } | Self::Session { buffer, .. } => buffer.extend_from_slice(bytes),
            Self::Keep { text, limit } => {
                let room = limit.saturating_sub(text.len());
                text.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
        }
    }
    fn buffered(&self) -> usize {
        match self {
            Self::Peer { buffer, .. } | Self::Session { buffer, .. } => buffer.len(),
            Self::Keep { .. } => 0,
        }
    }
    pub(crate) fn pending(&self) -> bool {
        self.buffered() > 0
    }
    /// Whether more may be read from the program: a peer that reads slowly slows the program down.
    pub(crate) fn has_room(&self) -> bool {
        match self {
            // Many of them may wait at once: each holds one read and no more.
            Self::Session { buffer, .. } => buffer.is_empty(),
            Self::Peer { .. } | Self::Keep { .. } => self.buffered() < 64 << 10,
        }
    }
    /// Hands over what the peer takes now; `false` when it has gone.
    pub(crate) fn flush(&mut self) -> bool {
        match self {
            Self::Peer { fd, buffer } => write_now(*fd, buffer),
            Self::Session { port, error, buffer } => {
                port.push(*error, buffer);
                !port.stopped()
            }
            Self::Keep { .. } => true,
        }
    }
    /// What to wait for until more can be handed over, or the peer has gone.
    pub(crate) fn poll_fd(&self) -> Option<PollFd<'_>> {
        match self {
            Self::Peer { fd, buffer } => {
                // Without events the kernel still tells when the peer has gone.
                let events = if buffer.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
                Some(PollFd::from_borrowed_fd(*fd, events))
            }
            Self::Session { port, .. } => Some(PollFd::from_borrowed_fd(port.event.fd(), PollFlags::IN)),
            Self::Keep { .. } => None,
        }
    }
    /// After a wait and before the flushes, so that no call for a flush is missed.
    pub(crate) fn hear(&self) {
        if let Self::Session { port, .. } = self {
            port.event.hear();
        }
    }
    /// Hands all of it over, waiting for the peer until then; `false` when it has gone or did not take it in time.
    pub(crate) fn send(&mut self, bytes: &[u8], until: Instant) -> bool {
        self.take(bytes);
        loop {
            if !self.flush() {
                return false;
            }
            if !self.pending() {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let time = rustix::time::Timespec::try_from(left).ok();
            if let Some(fd) = self.poll_fd() {
                // An interrupted or failed poll is one more turn of the loop.
                let _ = poll(&mut [fd], time.as_ref());
            }
            self.hear();
        }
    }
}

/// Writes what fits; `false` when nobody reads.
fn write_now(fd: BorrowedFd<'_>, buffer: &mut Vec<u8>) -> bool {
    while !buffer.is_empty() {
        match rustix::io::write(fd, buffer) {
            Ok(written) => {
                buffer.drain(..written);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return true,
            Err(_) => return false,
        }
    }
    true
}

/// Runs it to its end.
///
/// # Errors
/// It could not be started.
pub(crate) fn run(program: &Program<'_>, out: &mut Sink<'_>, err: &mut Sink<'_>) -> Result<End, String> {
    let started = Instant::now();
    let mut child = spawn(program)?;
    let group = Pid::from_child(&child);
    let end = follow(&mut child, program, started, out, err);
    // Whatever it has started goes with it; an empty group is no error.
    let _ = kill_process_group(group, Signal::KILL);
    let status = child.wait().map_err(|e| format!("{}: {e}", program.path.display()))?;
    Ok(match end? {
        End::Exit(_) => End::Exit(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))),
        other => other,
    })
}

fn spawn(program: &Program<'_>) -> Result<Child, String> {
    let name = program.argv.first().map(String::as_str).unwrap_or_default();
    let mut command = Command::new(program.path);
    command
        .arg0(name)
        .args(program.argv.iter().skip(1))
        .env_clear()
        .envs(crate::programs::environment(program.home))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    match program.sandbox {
        Some(sandbox) => sandbox.enclose(&mut command),
        None => {
            command.process_group(0);
        }
    }
    command.spawn().map_err(|e| format!("{}: {e}", program.path.display()))
}

/// One end of a pipe from the program.
struct Pipe<R> {
    reader: Option<R>,
}

impl<R: Read + AsFd> Pipe<R> {
    fn new(reader: Option<R>) -> Result<Self, String> {
        if let Some(fd) = &reader {
            let flags = fcntl_getfl(fd).map_err(|e| e.to_string())?;
            fcntl_setfl(fd, flags | OFlags::NONBLOCK).map_err(|e| e.to_string())?;
        }
        Ok(Self { reader })
    }
    /// Reads what is there now.
    fn read(&mut self, chunk: &mut [u8]) -> usize {
        let Some(reader) = &mut self.reader else { return 0 };
        match reader.read(chunk) {
            Ok(0) => {
                self.reader = None;
                0
            }
            Ok(size) => size,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Err(_) => {
                self.reader = None;
                0
            }
        }
    }
}

fn follow(
    child: &mut Child,
    program: &Program<'_>,
    started: Instant,
    out: &mut Sink<'_>,
    err: &mut Sink<'_>,
) -> Result<End, String> {
    let exited =
        pidfd_open(Pid::from_child(child), PidfdFlags::empty()).map_err(|e| format!("pidfd: {e}"))?;
    let mut stdout = Pipe::new(child.stdout.take())?;
    let mut stderr = Pipe::new(child.stderr.take())?;
    let mut cap = Cap::new(program.bytes, program.lines);
    let mut chunk = [0_u8; 16 << 10];
    let mut errors = ERRORS;
    let mut cut = false;
    let mut ended = false;
    loop {
        let left = program.time.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Ok(End::Time);
        }
        if (cut || (ended && stdout.reader.is_none() && stderr.reader.is_none()))
            && !out.pending()
            && !err.pending()
        {
            return Ok(if cut { End::Output } else { End::Exit(0) });
        }
        wait(
            left,
            &exited,
            ended,
            [
                (stdout.reader.as_ref().map(AsFd::as_fd), &*out),
                (stderr.reader.as_ref().map(AsFd::as_fd), &*err),
            ],
        );
        if !cut && out.has_room() {
            let size = stdout.read(&mut chunk);
            let kept = cap.admit(&chunk[..size]);
            out.take(&chunk[..kept]);
            cut = kept < size;
        }
        if err.has_room() {
            let size = stderr.read(&mut chunk);
            let kept = size.min(errors);
            err.take(&chunk[..kept]);
            if kept < size && errors > 0 {
                err.take(CUT);
            }
            errors -= kept;
        }
        if !out.flush() || !err.flush() || peer_gone(out) {
            return Ok(End::Gone);
        }
        if !ended && has_ended(child)? {
            ended = true;
            // What it has left running would keep the pipes open.
            let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
        }
    }
}

/// Looks without reaping: until [`run`] has killed the group for the last time, its number must belong to nobody else.
fn has_ended(child: &Child) -> Result<bool, String> {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let found = waitid(WaitId::Pid(Pid::from_child(child)), look).map_err(|e| format!("wait: {e}"))?;
    Ok(found.is_some())
}

/// Waits until something can be done, or the deadline.
fn wait(left: Duration, exited: &impl AsFd, ended: bool, streams: [(Option<BorrowedFd<'_>>, &Sink<'_>); 2]) {
    let mut fds = Vec::with_capacity(5);
    if !ended {
        fds.push(PollFd::new(exited, PollFlags::IN));
    }
    for (pipe, sink) in &streams {
        if let Some(pipe) = pipe.as_ref().filter(|_| sink.has_room()) {
            fds.push(PollFd::from_borrowed_fd(*pipe, PollFlags::IN));
        }
        fds.extend(sink.poll_fd());
    }
    let time = rustix::time::Timespec::try_from(left.min(Duration::from_secs(5))).ok();
    // An interrupted or failed poll is one more turn of the loop.
    let _ = poll(&mut fds, time.as_ref());
    for (_, sink) in streams {
        sink.hear();
    }
}

pub(crate) fn peer_gone(sink: &Sink<'_>) -> bool {
    let Sink::Peer { fd, .. } = sink else { return false };
    let mut fds = [PollFd::from_borrowed_fd(*fd, PollFlags::empty())];
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// What stdout may still give.
pub(crate) struct Cap {
    bytes: u64,
    lines: u64,
}

impl Cap {
    pub(crate) fn new(bytes: u64, lines: u64) -> Self {
        Self { bytes, lines }
    }
    /// How many of these bytes are within the caps.
    pub(crate) fn admit(&mut self, bytes: &[u8]) -> usize {
        let mut kept = usize::try_from(self.bytes).unwrap_or(usize::MAX).min(bytes.len());
        for (index, byte) in bytes[..kept].iter().enumerate() {
            if self.lines == 0 {
                kept = index;
                break;
            }
            if *byte == b'\n' {
                self.lines -= 1;
            }
        }
        self.bytes -= kept as u64;
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_run(argv: &[&str], time: Duration, bytes: u64, lines: u64) -> (End, String, String) {
        let argv: Vec<String> = argv.iter().map(|a| (*a).to_owned()).collect();
        let path = Path::new("/usr/bin").join(&argv[0]);
        let program =
            Program { path: &path, argv: &argv, home: "/nonexistent", sandbox: None, time, bytes, lines };
        let (mut out, mut err) = (Sink::keep(1 << 20), Sink::keep(1 << 20));
        let end = run(&program, &mut out, &mut err).unwrap();
        (end, out.text(), err.text())
    }

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn output_and_status_are_the_programs() {
        assert_eq!(
            try_run(&["sh", "-c", "echo out; echo err >&2; exit 7"], MINUTE, 100, 10),
            (End::Exit(7), "out\n".into(), "err\n".into())
        );
        assert_eq!(try_run(&["sh", "-c", "kill -TERM $$"], MINUTE, 100, 10).0, End::Exit(128 + 15));
        assert_eq!(
            try_run(&["sh", "-c", "exec >&- 2>&-; sleep 0.1; exit 3"], MINUTE, 100, 10).0,
            End::Exit(3)
        );
    }

    #[test]
    fn the_environment_is_clean() {
        let (_, out, _) = try_run(&["env"], MINUTE, 10_000, 100);
        let mut names: Vec<&str> = out.lines().filter_map(|l| l.split('=').next()).collect();
        names.sort_unstable();
        let expected = [
            "ATOPACCT",
            "GIT_ALLOW_PROTOCOL",
            "GIT_CONFIG_COUNT",
            "GIT_CONFIG_GLOBAL",
            "GIT_CONFIG_KEY_0",
            "GIT_CONFIG_KEY_1",
            "GIT_CONFIG_KEY_2",
            "GIT_CONFIG_NOSYSTEM",
            "GIT_CONFIG_VALUE_0",
            "GIT_CONFIG_VALUE_1",
            "GIT_CONFIG_VALUE_2",
            "GIT_NO_LAZY_FETCH",
            "GIT_OPTIONAL_LOCKS",
            "HOME",
            "KUBECONFIG",
            "LANG",
            "LC_ALL",
            "PAGER",
            "PATH",
            "SYSTEMD_COLORS",
            "SYSTEMD_PAGER",
            "SYSTEMD_PAGERSECURE",
            "SYSTEMD_URLIFY",
            "TERM",
        ];
        assert_eq!(names, expected, "{out}");
    }

    #[test]
    fn the_deadline_ends_the_whole_group() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("mark");
        let script = format!("(sleep 1; touch '{}') & sleep 60", mark.display());
        let (end, ..) = try_run(&["sh", "-c", &script], Duration::from_millis(200), 100, 10);
        assert_eq!(end, End::Time);
        // Time itself is the subject: the child that was left behind would have made the mark by then.
        std::thread::sleep(Duration::from_millis(1500));
        assert!(!mark.exists());
    }

    #[test]
    fn a_program_that_leaves_something_behind_does_not_hold_us() {
        let started = Instant::now();
        let (end, out, _) = try_run(&["sh", "-c", "sleep 30 & echo done"], MINUTE, 100, 10);
        assert_eq!((end, out.as_str()), (End::Exit(0), "done\n"));
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn caps_end_the_command() {
        assert_eq!(
            try_run(&["yes"], MINUTE, 10, 1000),
            (End::Output, "y\ny\ny\ny\ny\n".into(), String::new())
        );
        assert_eq!(try_run(&["yes"], MINUTE, 1000, 2), (End::Output, "y\ny\n".into(), String::new()));
        assert_eq!(try_run(&["echo", "ab"], MINUTE, 3, 1).0, End::Exit(0));
    }

    #[test]
    fn errors_are_bounded_too() {
        let script = "yes x >&2 & sleep 2; echo done";
        let argv: Vec<String> = ["sh", "-c", script].iter().map(|a| (*a).to_owned()).collect();
        let (mut out, mut err) = (Sink::keep(1 << 20), Sink::keep(1 << 30));
        let program = Program {
            path: Path::new("/usr/bin/sh"),
            argv: &argv,
            home: "/nonexistent",
            sandbox: None,
            time: MINUTE,
            bytes: 100,
            lines: 10,
        };
        assert_eq!(run(&program, &mut out, &mut err).unwrap(), End::Exit(0));
        assert_eq!(out.text(), "done\n");
        assert!(err.text().len() <= (64 << 10) + 200, "{} bytes", err.text().len());
    }

    #[test]
    fn a_peer_that_goes_away_ends_the_program() {
        let (read, write) = std::io::pipe().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("pid");
        let script = format!("echo $$ > '{}'; exec sleep 60", mark.display());
        let argv: Vec<String> = ["sh".to_owned(), "-c".to_owned(), script].to_vec();
        let program = Program {
            path: Path::new("/usr/bin/sh"),
            argv: &argv,
            home: "/nonexistent",
            sandbox: None,
            time: MINUTE,
            bytes: 100,
            lines: 10,
        };
        let end = std::thread::scope(|scope| {
            let runs = scope.spawn(|| run(&program, &mut Sink::peer(write.as_fd()), &mut Sink::keep(100)));
            while !std::fs::read_to_string(&mark).unwrap_or_default().ends_with('\n') {
                std::thread::yield_now();
            }
            drop(read);
            runs.join().unwrap().unwrap()
        });
        assert_eq!(end, End::Gone);
        let pid = std::fs::read_to_string(&mark).unwrap();
        assert!(!Path::new("/proc").join(pid.trim()).exists());
    }
}
