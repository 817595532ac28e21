//! Between the thread that reads and the peer: two pipes, the caps, the deadline. What [`crate::run`] does for a program.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use policy::Permit;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use super::io::{Io, Stop};
use crate::run::{Cap, End, Sink, peer_gone};
use crate::sandbox::Kernel;

/// Enough for every decoder; none recurses.
const STACK: usize = 1 << 20;

/// So many threads at most. What nobody waits for any more may still be inside one long line.
pub(super) const THREADS: usize = 64;

/// What a thread of its own does, in its own sandbox.
pub(crate) trait Task: Send + Sized + 'static {
    /// What it needs to enter its sandbox.
    type Sandbox: Send + 'static;

    /// There is no program that does the same: it is never handed back.
    fn alone(&self) -> bool;

    /// Prepares the sandbox; `pipes` are the two that it writes.
    ///
    /// # Errors
    /// It cannot be made.
    fn sandbox(&self, kernel: Kernel, pipes: [BorrowedFd<'_>; 2]) -> Result<Self::Sandbox, String>;

    /// In the thread: enters the sandbox, if there is one, and works; the result is an exit status.
    ///
    /// # Errors
    /// Why it stops before its end.
    fn work(self, sandbox: Option<Self::Sandbox>, io: &mut Io) -> Result<u8, Stop>;
}

/// A thread that is alive.
pub(super) struct Alive(&'static AtomicUsize);

impl Alive {
    /// `None` when there are enough.
    pub(super) fn count(all: &'static AtomicUsize) -> Option<Self> {
        let more = |now| (now < THREADS).then_some(now + 1);
        all.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok().then(|| Self(all))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One thread at work.
struct Work {
    thread: JoinHandle<Result<u8, Stop>>,
    stop: Arc<AtomicBool>,
    /// The ends of its pipes; `None` behind their end.
    pipes: [Option<File>; 2],
}

/// Does the task within the permit's limits; `None` when it handed the line back.
///
/// # Errors
/// The thread or its sandbox could not be made, or it died.
pub(crate) fn run<T: Task>(
    task: T,
    kernel: Option<Kernel>,
    permit: &Permit,
    out: &mut Sink<'_>,
    err: &mut Sink<'_>,
) -> Result<Option<End>, String> {
    static ALL: AtomicUsize = AtomicUsize::new(0);
    among(&ALL, task, kernel, permit, out, err)
}

/// One of the threads that are counted there.
pub(super) fn among<T: Task>(
    all: &'static AtomicUsize,
    task: T,
    kernel: Option<Kernel>,
    permit: &Permit,
    out: &mut Sink<'_>,
    err: &mut Sink<'_>,
) -> Result<Option<End>, String> {
    let Some(alive) = Alive::count(all) else {
        // A program can be ended from outside.
        return if task.alone() {
            Err("too many reads are still at work: try again".to_owned())
        } else {
            Ok(None)
        };
    };
    let started = Instant::now();
    let time = Duration::from_secs(permit.limits.seconds);
    let mut work = start(task, kernel, alive)?;
    let mut cap = Cap::new(permit.limits.bytes, permit.limits.lines);
    let end = work.follow(started + time, &mut cap, out, err);
    work.stop.store(true, Ordering::Relaxed);
    let Work { thread, pipes, .. } = work;
    drop(pipes);
    let Some(end) = end else {
        // Both pipes are at their end: the thread is at its own, or has died.
        return match thread.join() {
            Ok(Ok(status)) => Ok(Some(End::Exit(status.into()))),
            Ok(Err(Stop::Decline)) => Ok(None),
            Ok(Err(Stop::Gone)) | Err(_) => Err("the reader has failed".to_owned()),
        };
    };
    // It sees that nobody reads on, at its next block at the latest; nobody waits for it.
    Ok(Some(end))
}

fn start<T: Task>(task: T, kernel: Option<Kernel>, alive: Alive) -> Result<Work, String> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|e| format!("pipe: {e}"));
    let ((out_read, out_write), (err_read, err_write)) = (pipe()?, pipe()?);
    let sandbox = match kernel {
        None => None,
        Some(kernel) => Some(task.sandbox(kernel, [out_write.as_fd(), err_write.as_fd()])?),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let mut io = Io::new(out_write.into(), err_write.into(), Arc::clone(&stop));
    let work = move || {
        let _alive = alive;
        task.work(sandbox, &mut io)
    };
    let thread =
        std::thread::Builder::new().stack_size(STACK).spawn(work).map_err(|e| format!("thread: {e}"))?;
    let end = |fd: OwnedFd| Some(File::from(fd));
    Ok(Work { thread, stop, pipes: [end(out_read), end(err_read)] })
}

impl Work {
    /// Hands on what comes, until both pipes end (`None`) or something ends the work before.
    fn follow(
        &mut self,
        deadline: Instant,
        cap: &mut Cap,
        out: &mut Sink<'_>,
        err: &mut Sink<'_>,
    ) -> Option<End> {
        let mut chunk = [0_u8; 16 << 10];
        let mut cut = false;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(End::Time);
            }
            let ended = self.pipes.iter().all(Option::is_none);
            if (cut || ended) && !out.pending() && !err.pending() {
                return cut.then_some(End::Output);
            }
            let ready = self.wait(left, cut, [&*out, &*err]);
            if ready[0] && !cut {
                let size = read(&mut self.pipes[0], &mut chunk);
                let kept = cap.admit(&chunk[..size]);
                out.take(&chunk[..kept]);
                cut = kept < size;
            }
            if ready[1] {
                // A reader says one line for each file at most.
                let size = read(&mut self.pipes[1], &mut chunk);
                err.take(&chunk[..size]);
            }
            if !out.flush() || !err.flush() || peer_gone(out) {
                return Some(End::Gone);
            }
        }
    }

    /// Waits until something can be done; which pipes can be read.
    fn wait(&self, left: Duration, cut: bool, sinks: [&Sink<'_>; 2]) -> [bool; 2] {
        let mut fds = Vec::with_capacity(4);
        let mut places = [None; 2];
        for (index, (pipe, sink)) in self.pipes.iter().zip(sinks).enumerate() {
            if let Some(pipe) = pipe.as_ref().filter(|_| sink.has_room() && !(cut && index == 0)) {
                places[index] = Some(fds.len());
                fds.push(PollFd::new(pipe, PollFlags::IN));
            }
        }
        for sink in sinks {
            fds.extend(sink.poll_fd());
        }
        let time = rustix::time::Timespec::try_from(left.min(Duration::from_secs(5))).ok();
        // An interrupted or failed poll is one more turn of the loop.
        let _ = poll(&mut fds, time.as_ref());
        for sink in sinks {
            sink.hear();
        }
        places.map(|place| place.is_some_and(|at: usize| !fds[at].revents().is_empty()))
    }
}

/// What is there now; at its end the pipe is gone.
fn read(pipe: &mut Option<File>, chunk: &mut [u8]) -> usize {
    let size = pipe.as_mut().map_or(0, |pipe| pipe.read(chunk).unwrap_or(0));
    if size == 0 {
        *pipe = None;
    }
    size
}
