//! What the threads of a session share: the way out to the peer, and the requests that run.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;
use session::frame::{Ending, FIRST_CREDIT, Frame, MAX_PAYLOAD};

/// Bytes of output that wait for the peer, of all requests together: more stays in the programs' pipes.
const OUTBOX: usize = 128 << 10;
/// The most bytes that may wait before nothing more is read from the peer.
const FULL: usize = OUTBOX + (64 << 10);

/// A wake-up call for a thread that polls.
pub(crate) struct Event(OwnedFd);

impl Event {
    fn new() -> Result<Self, String> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        eventfd(0, flags).map(Self).map_err(|e| format!("eventfd: {e}"))
    }
    /// A full counter is a call already.
    fn call(&self) {
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
    /// Calls until now are heard.
    pub(crate) fn hear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
    }
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// One running request, as the other threads see it.
pub(crate) struct Port {
    id: u32,
    hub: Arc<Hub>,
    credit: AtomicU64,
    stopped: AtomicBool,
    pub(crate) event: Event,
}

impl Port {
    /// Whether nobody waits for the request any more.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.event.call();
    }

    /// Hands over what credit and outbox permit now; the event calls when more can go.
    pub(crate) fn push(&self, error: bool, buffer: &mut Vec<u8>) {
        let mut state = self.hub.lock();
        while !buffer.is_empty() {
            let credit = usize::try_from(self.credit.load(Ordering::Acquire)).unwrap_or(usize::MAX);
            let room = OUTBOX.saturating_sub(state.waiting());
            state.starved |= room == 0;
            let size = buffer.len().min(credit).min(room).min(MAX_PAYLOAD);
            if size == 0 {
                return;
            }
            let (id, bytes) = (self.id, buffer.drain(..size).collect());
            let frame = if error { Frame::Stderr { id, bytes } } else { Frame::Stdout { id, bytes } };
            self.credit.fetch_sub(size as u64, Ordering::AcqRel);
            self.hub.put(&mut state, &frame);
        }
    }
}

/// The shared part.
pub(crate) struct Hub {
    state: Mutex<State>,
    /// Something is to be written, was written, or has ended.
    changed: Condvar,
    /// Calls the main thread.
    pub(crate) event: Event,
}

#[derive(Default)]
struct State {
    /// Frames to be written.
    outbox: Vec<u8>,
    /// How many bytes the writer has in hand.
    writing: usize,
    /// A request waits for room.
    starved: bool,
    /// The peer reads no more.
    gone: bool,
    /// The writer is to end.
    over: bool,
    ports: HashMap<u32, Arc<Port>>,
}

impl State {
    fn waiting(&self) -> usize {
        self.outbox.len() + self.writing
    }
}

impl Hub {
    pub(super) fn new() -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self { state: Mutex::default(), changed: Condvar::new(), event: Event::new()? }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, state: &mut State, frame: &Frame) {
        // Everything that the target sends was cut to a frame's size; nothing is written to a peer that has gone.
        if !state.gone && frame.encode(&mut state.outbox).is_ok() {
            self.changed.notify_all();
        }
    }

    /// Sends a frame that needs no credit. Their number is bounded: the main thread reads no request while the outbox is full.
    pub(super) fn send(&self, frame: &Frame) {
        self.put(&mut self.lock(), frame);
    }

    /// Whether the peer may ask for more.
    pub(super) fn listens(&self) -> bool {
        let mut state = self.lock();
        let full = state.waiting() >= FULL;
        state.starved |= full;
        !full
    }

    pub(super) fn gone(&self) -> bool {
        self.lock().gone
    }

    pub(super) fn running(&self) -> usize {
        self.lock().ports.len()
    }

    pub(super) fn runs(&self, id: u32) -> bool {
        self.lock().ports.contains_key(&id)
    }

    /// Makes room for a request under this id.
    pub(super) fn begin(self: &Arc<Self>, id: u32) -> Result<Running, String> {
        let port = Arc::new(Port {
            id,
            hub: Arc::clone(self),
            credit: AtomicU64::new(FIRST_CREDIT.into()),
            stopped: AtomicBool::new(false),
            event: Event::new()?,
        });
        self.lock().ports.insert(id, Arc::clone(&port));
        Ok(Running { port, ending: None })
    }

    pub(super) fn cancel(&self, id: u32) {
        if let Some(port) = self.lock().ports.get(&id) {
            port.stop();
        }
    }

    pub(super) fn credit(&self, id: u32, bytes: u32) {
        if let Some(port) = self.lock().ports.get(&id) {
            let more = |now: u64| Some(now.saturating_add(bytes.into()).min(u32::MAX.into()));
            let _ = port.credit.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
            port.event.call();
        }
    }

    /// Ends every request and waits until their programs are gone.
    pub(super) fn end_all(&self, patience: Duration) {
        let mut state = self.lock();
        state.ports.values().for_each(|port| port.stop());
        let until = Instant::now() + patience;
        while !state.ports.is_empty() && Instant::now() < until {
            state = self.wait(state, until);
        }
    }

    /// Lets the writer finish, within a time.
    pub(super) fn finish(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        while state.waiting() > 0 && !state.gone && Instant::now() < until {
            state = self.wait(state, until);
        }
        state.over = true;
        self.changed.notify_all();
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, until: Instant) -> MutexGuard<'a, State> {
        let left = until.saturating_duration_since(Instant::now());
        self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
    }

    /// The writer's thread: it alone waits for the peer to read.
    pub(super) fn write_out(&self, output: &OwnedFd) {
        loop {
            let mut state = self.lock();
            while state.outbox.is_empty() && !state.over {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let chunk = std::mem::take(&mut state.outbox);
            state.writing = chunk.len();
            drop(state);
            if chunk.is_empty() {
                return;
            }
            let written = write_all(output, &chunk);
            let mut state = self.lock();
            state.writing = 0;
            if written.is_err() {
                state.gone = true;
                state.outbox = Vec::new();
                state.ports.values().for_each(|port| port.stop());
            }
            if std::mem::take(&mut state.starved) || state.gone {
                state.ports.values().for_each(|port| port.event.call());
                self.event.call();
            }
            self.changed.notify_all();
            if state.gone {
                return;
            }
        }
    }
}

fn write_all(output: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(output, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(output, PollFlags::OUT)], None)?;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// A request that was begun. Whatever becomes of its thread, the peer is told of its end.
pub(super) struct Running {
    pub(super) port: Arc<Port>,
    pub(super) ending: Option<Ending>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let failed = || Ending::Refused("the wrapper failed on this request".to_owned());
        let ending = self.ending.take().unwrap_or_else(failed);
        let hub = &self.port.hub;
        let mut state = hub.lock();
        state.ports.remove(&self.port.id);
        hub.put(&mut state, &Frame::End { id: self.port.id, ending });
        drop(state);
        hub.changed.notify_all();
        hub.event.call();
    }
}
