//! The client's side of `mcp-session`: many calls over one channel, each answered or failed, none silently lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use russh::client::Handle;
use russh::{ChannelMsg, client};
use session::frame::{
    Closing, Decoder, Ending, FIRST_CREDIT, Frame, FrameError, MAX_PAYLOAD, VERSIONS, WORD,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::exec::{ExecOutput, STDERR_BYTES, append, millis};

/// Calls in one session at once; more wait. A target lets 16 run and 112 wait.
const CALLS: usize = 64;

/// Why there is no session.
#[derive(Debug)]
pub(super) enum NoSession {
    /// The host has other words for it, or none: commands go one by one.
    NotSpoken(String),
    /// The connection failed.
    Connection(russh::Error),
}

/// Why a call has no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The target never took it: it may be sent again.
    NotTaken,
    /// The session ended while it ran.
    Lost(String),
}

/// Whether a line fits into a frame.
pub(super) fn fits(line: &str) -> bool {
    line.len() <= MAX_PAYLOAD
}

/// Opens one on a new channel of the connection, within a time.
pub(super) async fn open<H: client::Handler>(
    connection: &Handle<H>,
    patience: Duration,
) -> Result<Session, NoSession> {
    let mut channel = connection.channel_open_session().await.map_err(NoSession::Connection)?;
    channel.exec(true, WORD).await.map_err(NoSession::Connection)?;
    let taken = async {
        loop {
            match channel.wait().await {
                Some(ChannelMsg::Success) => return true,
                Some(ChannelMsg::Failure | ChannelMsg::Close) | None => return false,
                Some(_) => {}
            }
        }
    };
    match tokio::time::timeout(patience, taken).await {
        Ok(true) => Session::over(channel.into_stream(), patience).await,
        Ok(false) => Err(NoSession::NotSpoken("the request was refused".to_owned())),
        Err(_) => Err(NoSession::NotSpoken("no answer in time".to_owned())),
    }
}

/// An open session; it ends with the value.
pub(super) struct Session {
    shared: Arc<Shared>,
    gate: Semaphore,
    /// How long the target may take for a hello, and to end what was cancelled.
    patience: Duration,
    task: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        // Dropping the stream closes the channel; the target then ends what still runs.
        self.task.abort();
    }
}

struct Shared {
    state: Mutex<State>,
    /// Frames to be written. Their number is bounded by that of the calls and by what the target sends.
    frames: mpsc::UnboundedSender<Frame>,
}

#[derive(Default)]
struct State {
    calls: HashMap<u32, Call>,
    /// Requests that were cancelled, when, and have not ended yet.
    cancelled: HashMap<u32, Instant>,
    last: u32,
    over: bool,
}

/// One call that waits for its end.
struct Call {
    output: ExecOutput,
    stdout_bytes: usize,
    /// Bytes that were taken and not yet credited.
    owed: u32,
    started: Instant,
    reply: oneshot::Sender<Result<ExecOutput, Failure>>,
}

impl Call {
    fn finish(mut self, result: Result<(), Failure>) {
        self.output.ms = millis(self.started.elapsed());
        // A caller that has gone needs no answer.
        let _ = self.reply.send(result.map(|()| self.output));
    }
}

impl Session {
    /// Begins one over a stream whose other end is a target.
    async fn over<S>(stream: S, patience: Duration) -> Result<Self, NoSession>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (frames, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { state: Mutex::default(), frames });
        shared.send(Frame::Hello(VERSIONS));
        let (greeted, greeting) = oneshot::channel();
        let (reads, writes) = tokio::io::split(stream);
        let side = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            // Both at once in one task: a peer that does not read must not keep us from reading.
            let ended = tokio::select! {
                ended = follow(reads, &side, greeted) => ended,
                ended = write_out(writes, queue) => ended,
            };
            side.end(&ended);
        });
        let session = Self { shared, gate: Semaphore::new(CALLS), patience, task };
        match tokio::time::timeout(patience, greeting).await {
            Ok(Ok(Ok(()))) => Ok(session),
            Ok(Ok(Err(e))) => Err(NoSession::NotSpoken(e.to_string())),
            Ok(Err(_)) => Err(NoSession::NotSpoken("the channel was closed".to_owned())),
            Err(_) => Err(NoSession::NotSpoken("no hello in time".to_owned())),
        }
    }

    /// Whether it takes no more calls: it has ended, or the target does not do what it is told.
    pub(super) fn is_over(&self) -> bool {
        let mut state = self.shared.lock();
        state.over |= state.cancelled.values().any(|at| at.elapsed() > self.patience);
        state.over
    }

    /// Sends the line and waits for its end. Dropping the call cancels it on the target.
    pub(super) async fn call(&self, line: &str, stdout_bytes: usize) -> Result<ExecOutput, Failure> {
        let started = Instant::now();
        // The gate is never closed.
        let _permit = self.gate.acquire().await.map_err(|_| Failure::NotTaken)?;
        if self.is_over() {
            return Err(Failure::NotTaken);
        }
        let (reply, answer) = oneshot::channel();
        let call = Call { output: ExecOutput::default(), stdout_bytes, owed: 0, started, reply };
        let waiting = self.shared.register(call).ok_or(Failure::NotTaken)?;
        self.shared.send(Frame::Request { id: waiting.id, line: line.as_bytes().to_vec() });
        // A sender is only dropped with the session's task, as when the runtime ends.
        answer.await.unwrap_or_else(|_| Err(Failure::Lost("the session was given up".to_owned())))
    }
}

/// The place of a call; dropping it before the end cancels the call.
struct Waiting<'a> {
    shared: &'a Shared,
    id: u32,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.calls.remove(&self.id).is_some() {
            self.shared.cancel(&mut state, self.id);
        }
    }
}

/// How a session ended.
enum Ended {
    /// Idle: what was under way to the target was not taken.
    Idle,
    Lost(String),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the task has ended nobody writes; the calls are failed then.
    fn send(&self, frame: Frame) {
        let _ = self.frames.send(frame);
    }

    fn register(&self, call: Call) -> Option<Waiting<'_>> {
        let mut state = self.lock();
        if state.over {
            return None;
        }
        // 0 is no request's number. One of 2^32 calls before could still wait.
        loop {
            state.last = state.last.wrapping_add(1).max(1);
            if !state.calls.contains_key(&state.last) && !state.cancelled.contains_key(&state.last) {
                break;
            }
        }
        let id = state.last;
        state.calls.insert(id, call);
        Some(Waiting { shared: self, id })
    }

    /// No call is left without an answer.
    fn end(&self, ended: &Ended) {
        let mut state = self.lock();
        state.over = true;
        for (_, call) in state.calls.drain() {
            let silent = call.output.stdout.is_empty() && call.output.stderr.is_empty();
            call.finish(Err(match ended {
                Ended::Idle if silent => Failure::NotTaken,
                Ended::Idle => Failure::Lost("the target ended the session as idle".to_owned()),
                Ended::Lost(cause) => Failure::Lost(cause.clone()),
            }));
        }
    }

    fn stdout(&self, id: u32, bytes: &[u8]) {
        let mut state = self.lock();
        let Some(call) = state.calls.get_mut(&id) else { return };
        if append(&mut call.output.stdout, bytes, call.stdout_bytes) {
            self.credit(id, call, bytes.len());
        } else {
            call.output.truncated = true;
            if let Some(call) = state.calls.remove(&id) {
                call.finish(Ok(()));
            }
            self.cancel(&mut state, id);
        }
    }

    fn cancel(&self, state: &mut State, id: u32) {
        state.cancelled.insert(id, Instant::now());
        self.send(Frame::Cancel { id });
    }

    fn stderr(&self, id: u32, bytes: &[u8]) {
        let mut state = self.lock();
        let Some(call) = state.calls.get_mut(&id) else { return };
        append(&mut call.output.stderr, bytes, STDERR_BYTES);
        self.credit(id, call, bytes.len());
    }

    /// Gives back what was taken, in halves of the window.
    fn credit(&self, id: u32, call: &mut Call, taken: usize) {
        call.owed = call.owed.saturating_add(u32::try_from(taken).unwrap_or(u32::MAX));
        if call.owed >= FIRST_CREDIT / 2 {
            self.send(Frame::Credit { id, bytes: std::mem::take(&mut call.owed) });
        }
    }

    fn ended(&self, id: u32, ending: &Ending) {
        let mut state = self.lock();
        state.cancelled.remove(&id);
        let Some(mut call) = state.calls.remove(&id) else { return };
        if let Ending::Refused(reason) = ending {
            // As it is told for a one-shot command.
            let text = format!("mcp-wrapper: blocked: {reason}\n");
            append(&mut call.output.stderr, text.as_bytes(), STDERR_BYTES);
        }
        call.output.exit = Some(ending.status().into());
        call.finish(Ok(()));
    }
}

type Greeted = oneshot::Sender<Result<(), FrameError>>;

async fn follow(mut reads: impl AsyncRead + Unpin, shared: &Shared, greeted: Greeted) -> Ended {
    let mut greeted = Some(greeted);
    let mut decoder = Decoder::default();
    let mut chunk = vec![0_u8; 32 << 10];
    loop {
        let size = match reads.read(&mut chunk).await {
            Ok(0) => return Ended::Lost("the session's channel was closed".to_owned()),
            Ok(size) => size,
            Err(e) => return Ended::Lost(e.to_string()),
        };
        let taken = decoder.feed(&chunk[..size]).and_then(|frames| {
            frames.into_iter().find_map(|frame| take(frame, shared, &mut greeted).transpose()).transpose()
        });
        match taken {
            Ok(None) => {}
            Ok(Some(ended)) => return ended,
            Err(error) => {
                let cause = format!("the target sent {error}");
                greeted.map(|greeted| greeted.send(Err(error)));
                return Ended::Lost(cause);
            }
        }
    }
}

/// Takes one frame; what ends the session is the result.
fn take(frame: Frame, shared: &Shared, greeted: &mut Option<Greeted>) -> Result<Option<Ended>, FrameError> {
    match frame {
        Frame::Hello(theirs) => {
            VERSIONS.common(theirs)?;
            greeted.take().map(|greeted| greeted.send(Ok(())));
        }
        Frame::Stdout { id, bytes } => shared.stdout(id, &bytes),
        Frame::Stderr { id, bytes } => shared.stderr(id, &bytes),
        Frame::End { id, ending } => shared.ended(id, &ending),
        Frame::Close(Closing::Idle) => return Ok(Some(Ended::Idle)),
        Frame::Close(Closing::Fault(reason)) => {
            return Ok(Some(Ended::Lost(format!("the target closed the session: {reason}"))));
        }
        Frame::Request { .. } | Frame::Cancel { .. } | Frame::Credit { .. } => {
            return Err(FrameError::Malformed("one that only a client sends"));
        }
    }
    Ok(None)
}

async fn write_out(mut writes: impl AsyncWrite + Unpin, mut queue: mpsc::UnboundedReceiver<Frame>) -> Ended {
    let mut bytes = Vec::new();
    while let Some(frame) = queue.recv().await {
        // Lines that do not fit are not sent through a session.
        let _ = frame.encode(&mut bytes);
        while let Ok(frame) = queue.try_recv() {
            let _ = frame.encode(&mut bytes);
        }
        let written = async {
            writes.write_all(&bytes).await?;
            writes.flush().await
        };
        if let Err(e) = written.await {
            return Ended::Lost(e.to_string());
        }
        bytes.clear();
    }
    Ended::Lost("nobody needs the session any more".to_owned())
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
