//! `mcp-session`: many requests of a reader over one channel, each as if it were one-shot. `docs/SESSION.md` has the frames.
//!
//! The main thread reads the peer's frames, one thread writes, and each running request has a thread of its own, which waits for
//! nobody but its program: what the peer does not take stays in the program's pipe.

mod hub;

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use session::frame::{Closing, Decoder, Ending, Frame, VERSIONS, WORD};

use self::hub::{Hub, Running};
use crate::config::{Config, Policy};
use crate::perform::{Outcome, Request, fresh_id};
use crate::run::{End, Sink};
use crate::{EXIT_REFUSED, Paths};

pub(crate) use self::hub::Port;

/// Requests that run at the same time: with each of them reading a file the session takes less than 8 MiB.
pub const RUNNING: usize = 16;
/// Requests that wait for their turn; one more is refused.
pub const QUEUED: usize = 112;
/// Of a request's thread: judging parses plugins.
const STACK: usize = 1 << 20;
/// How long ended requests may take to be gone: a record to a log service that hangs takes 5 s.
const ENDING: Duration = Duration::from_secs(10);
/// How long the peer may take to read what is left when the session ends.
const PARTING: Duration = Duration::from_secs(2);

/// Serves a session until the peer leaves, breaks the protocol or is idle for too long; the result is the exit status.
///
/// # Errors
/// The session could not begin.
pub fn serve(
    paths: &Paths,
    client: &str,
    input: BorrowedFd<'_>,
    output: BorrowedFd<'_>,
) -> Result<u8, String> {
    let shared = Arc::new(Shared {
        paths: paths.clone(),
        policy: Policy::kept(),
        client: client.to_owned(),
        id: fresh_id(),
    });
    let own = shared.request(shared.id.clone(), None);
    let started = Config::load(paths).and_then(|config| {
        own.log_start(&[("verdict", "auto"), ("form", WORD)])?;
        let hub = Hub::new()?;
        let out = output.try_clone_to_owned().map_err(|e| e.to_string())?;
        let writer = Arc::clone(&hub);
        thread("writer", move || writer.write_out(&out))?;
        Ok((Duration::from_secs(config.session_idle_seconds), hub))
    });
    let (idle, hub) = started.map_err(|reason| own.refuse(&reason))?;
    hub.send(&Frame::Hello(VERSIONS));
    let mut session = Session {
        shared: Arc::clone(&shared),
        hub: Arc::clone(&hub),
        decoder: Decoder::default(),
        queue: VecDeque::new(),
        quiet_since: Instant::now(),
        idle,
        served: 0,
    };
    let left = session.follow(input, output);
    hub.end_all(ENDING);
    let served = session.served.to_string();
    let (status, end) = match left {
        Left::Peer => (0, "peer"),
        Left::Idle => {
            hub.send(&Frame::Close(Closing::Idle));
            (0, "idle")
        }
        Left::Fault(reason) => {
            let reason = own.refuse(&format!("session: {reason}"));
            hub.send(&Frame::Close(Closing::Fault(reason)));
            (EXIT_REFUSED, "fault")
        }
    };
    hub.finish(PARTING);
    let _ = own.log(false, &[("end", end), ("requests", &served)]);
    Ok(status)
}

/// Why a session ends.
enum Left {
    Peer,
    Idle,
    Fault(String),
}

/// What every request's thread needs.
struct Shared {
    paths: Paths,
    policy: Policy,
    client: String,
    id: String,
}

impl Shared {
    fn request<'a>(&'a self, id: String, session: Option<&'a str>) -> Request<'a> {
        Request { paths: &self.paths, policy: &self.policy, client: &self.client, session, id }
    }

    fn run(&self, line: Vec<u8>, running: &mut Running) {
        let request = self.request(fresh_id(), Some(&self.id));
        let port = Arc::clone(&running.port);
        let (mut out, mut err) = (Sink::session(&port, false), Sink::session(&port, true));
        let outcome = match String::from_utf8(line) {
            Ok(line) => request.answer(&line, &mut out, &mut err),
            Err(_) => Outcome::Refused(request.refuse("the request is not UTF-8")),
        };
        let status = outcome.status();
        running.ending = Some(match outcome {
            Outcome::Refused(reason) => Ending::Refused(reason),
            Outcome::Ended(End::Exit(_)) => Ending::Exit(status),
            Outcome::Ended(End::Time) => Ending::Time,
            Outcome::Ended(End::Output) => Ending::Output,
            Outcome::Ended(End::Gone) => Ending::Cancelled,
        });
    }
}

struct Session {
    shared: Arc<Shared>,
    hub: Arc<Hub>,
    decoder: Decoder,
    /// Requests that wait: their id and line.
    queue: VecDeque<(u32, Vec<u8>)>,
    /// When a request last ran.
    quiet_since: Instant,
    idle: Duration,
    served: u64,
}

impl Session {
    fn follow(&mut self, input: BorrowedFd<'_>, output: BorrowedFd<'_>) -> Left {
        let mut chunk = vec![0_u8; 16 << 10];
        loop {
            self.start_waiting();
            if self.hub.running() > 0 {
                self.quiet_since = Instant::now();
            }
            let left = self.idle.saturating_sub(self.quiet_since.elapsed());
            if left.is_zero() {
                return Left::Idle;
            }
            let Some(readable) = self.wait(left, input, output) else { return Left::Peer };
            if !readable {
                continue;
            }
            let size = match rustix::io::read(input, &mut chunk) {
                Ok(0) => return Left::Peer,
                Ok(size) => size,
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => continue,
                Err(_) => return Left::Peer,
            };
            let taken = self.decoder.feed(&chunk[..size]).map_err(|e| e.to_string());
            let done = taken.and_then(|frames| frames.into_iter().try_for_each(|frame| self.take(frame)));
            if let Err(reason) = done {
                return Left::Fault(reason);
            }
        }
    }

    /// Whether there is something to read; `None` when the peer has gone.
    fn wait(&self, left: Duration, input: BorrowedFd<'_>, output: BorrowedFd<'_>) -> Option<bool> {
        let listens = self.hub.listens();
        let mut fds = [
            PollFd::from_borrowed_fd(input, if listens { PollFlags::IN } else { PollFlags::empty() }),
            PollFd::from_borrowed_fd(self.hub.event.fd(), PollFlags::IN),
            // Without events the kernel still tells when nobody reads any more.
            PollFd::from_borrowed_fd(output, PollFlags::empty()),
        ];
        // An interrupted poll is one more turn of the loop.
        let _ = poll(&mut fds, Timespec::try_from(left).ok().as_ref());
        self.hub.event.hear();
        let lost = PollFlags::HUP | PollFlags::ERR;
        if fds[2].revents().intersects(lost) || self.hub.gone() {
            return None;
        }
        let seen = fds[0].revents();
        if !listens && seen.intersects(lost) {
            return None;
        }
        Some(listens && seen.intersects(PollFlags::IN | lost))
    }

    fn take(&mut self, frame: Frame) -> Result<(), String> {
        match frame {
            Frame::Hello(theirs) => VERSIONS.common(theirs).map(drop).map_err(|e| e.to_string()),
            Frame::Request { id, line } => self.request(id, line),
            Frame::Cancel { id } => {
                let before = self.queue.len();
                self.queue.retain(|(waiting, _)| *waiting != id);
                if self.queue.len() < before {
                    self.hub.send(&Frame::End { id, ending: Ending::Cancelled });
                }
                self.hub.cancel(id);
                Ok(())
            }
            Frame::Credit { id, bytes } => {
                self.hub.credit(id, bytes);
                Ok(())
            }
            Frame::Stdout { .. } | Frame::Stderr { .. } | Frame::End { .. } | Frame::Close(_) => {
                Err("a frame that only the target sends".to_owned())
            }
        }
    }

    fn request(&mut self, id: u32, line: Vec<u8>) -> Result<(), String> {
        if self.hub.runs(id) || self.queue.iter().any(|(waiting, _)| *waiting == id) {
            return Err(format!("request {id} has not ended yet"));
        }
        self.quiet_since = Instant::now();
        self.served += 1;
        if self.queue.len() >= QUEUED {
            let busy = format!("busy: {RUNNING} requests run and {QUEUED} wait in this session");
            let ending =
                Ending::Refused(self.shared.request(fresh_id(), Some(&self.shared.id)).refuse(&busy));
            self.hub.send(&Frame::End { id, ending });
            return Ok(());
        }
        self.queue.push_back((id, line));
        self.start_waiting();
        Ok(())
    }

    fn start_waiting(&mut self) {
        while self.hub.running() < RUNNING {
            let Some((id, line)) = self.queue.pop_front() else { return };
            let shared = Arc::clone(&self.shared);
            match self.hub.begin(id) {
                Ok(mut running) => {
                    // Where no thread can be had `running` is dropped with the closure, and the peer told of the end.
                    let _ = thread("request", move || shared.run(line, &mut running));
                }
                Err(reason) => self.hub.send(&Frame::End { id, ending: Ending::Refused(reason) }),
            }
        }
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let builder = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK);
    builder.spawn(work).map(drop).map_err(|e| format!("no thread: {e}"))
}
