//! In the thread: connects to the judged addresses, enters the second step of its sandbox, and asks.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;

use super::{Question, http, tls};
use crate::readers::io::{Io, Stop, words};
use crate::readers::relay::Task;
use crate::sandbox::{ConnectSandbox, Kernel};

/// To connect to one address, and after that for its answer.
const ONE: Duration = Duration::from_secs(5);
/// The same for all of them.
const ALL: Duration = Duration::from_secs(10);
/// How long one read waits before it looks whether anybody still waits for it.
const TICK: Duration = Duration::from_millis(250);

/// A probe whose addresses were judged.
#[derive(Debug)]
pub(crate) struct Talk {
    question: Question,
    target: String,
    to: Vec<SocketAddr>,
    others: Vec<IpAddr>,
}

/// What is printed: one line of JSON.
#[derive(Debug, Serialize)]
struct Report<'a> {
    target: &'a str,
    attempts: Vec<Attempt>,
    /// Addresses of the name that were not tried: not permitted, or too many.
    #[serde(skip_serializing_if = "<[IpAddr]>::is_empty")]
    not_tried: &'a [IpAddr],
    /// Why there is no attempt at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// One address.
#[derive(Debug, Serialize)]
struct Attempt {
    address: IpAddr,
    connected: bool,
    /// From the first packet until the connection stood, or failed.
    connect_ms: f64,
    /// From the question to the end of the head.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<http::Head>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<tls::Answer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Talk {
    pub(super) fn new(question: Question, target: String, to: Vec<SocketAddr>, others: Vec<IpAddr>) -> Self {
        Self { question, target, to, others }
    }

    /// Where it will connect to.
    #[cfg(test)]
    pub(super) fn to(&self) -> &[SocketAddr] {
        &self.to
    }

    /// One connection after the other, to the judged addresses and nowhere else.
    fn connect(&self, io: &Io) -> Vec<(Attempt, Option<File>)> {
        let until = Instant::now() + ALL;
        let one = |to: &SocketAddr| {
            let started = Instant::now();
            let left = until.saturating_duration_since(started).min(ONE);
            let result = if left.is_zero() || io.stop.load(Ordering::Relaxed) {
                Err("no time was left for it".to_owned())
            } else {
                TcpStream::connect_timeout(to, left).and_then(prepared).map_err(|e| words(&e))
            };
            let connect_ms = millis(started);
            let (socket, error) = match result {
                Ok(socket) => (Some(socket), None),
                Err(cause) => (None, Some(cause)),
            };
            let (connected, address) = (socket.is_some(), to.ip());
            (
                Attempt { address, connected, connect_ms, answer_ms: None, http: None, tls: None, error },
                socket,
            )
        };
        self.to.iter().map(one).collect()
    }

    /// Asks over one connection; what is wrong with the answer is the attempt's to tell.
    fn ask(&self, attempt: &mut Attempt, socket: &mut File, io: &Io, until: Instant) -> Result<(), String> {
        let (question, most): (Vec<u8>, usize) = match &self.question {
            Question::Tcp => return Ok(()),
            Question::Tls(name) => {
                let mut random = [0; 96];
                SystemRandom::new().fill(&mut random).map_err(|_| "no random bytes".to_owned())?;
                (tls::hello(name.as_deref(), &random), tls::MAX_HELLO)
            }
            Question::Http { host, path, get } => (http::request(host, path, *get), http::MAX_HEAD),
        };
        let started = Instant::now();
        let until = until.min(started + ONE);
        socket.write_all(&question).map_err(|e| words(&e))?;
        let mut got = Vec::new();
        loop {
            let done = if matches!(self.question, Question::Http { .. }) {
                attempt.http = http::read(&got)?;
                attempt.http.is_some()
            } else {
                attempt.tls = tls::read(&got)?;
                attempt.tls.is_some()
            };
            if done {
                attempt.answer_ms = Some(millis(started));
                return Ok(());
            }
            if Instant::now() >= until || io.stop.load(Ordering::Relaxed) {
                return Err("it did not answer in time".to_owned());
            }
            let mut chunk = [0; 2048];
            let room = chunk.len().min(most - got.len());
            match socket.read(&mut chunk[..room]) {
                Ok(0) => return Err("it closed the connection before it answered".to_owned()),
                Ok(size) => got.extend_from_slice(&chunk[..size]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(e) => return Err(words(&e)),
            }
        }
    }
}

/// Plain reads and writes that do not wait for long.
fn prepared(stream: TcpStream) -> std::io::Result<File> {
    stream.set_read_timeout(Some(TICK))?;
    stream.set_write_timeout(Some(TICK))?;
    Ok(File::from(OwnedFd::from(stream)))
}

/// Rounded to a microsecond.
fn millis(since: Instant) -> f64 {
    let micros = u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX);
    f64::from(micros) / 1000.0
}

impl Task for Talk {
    type Sandbox = ConnectSandbox;

    fn alone(&self) -> bool {
        true
    }

    fn sandbox(&self, kernel: Kernel, pipes: [BorrowedFd<'_>; 2]) -> Result<ConnectSandbox, String> {
        let port = self.to.first().map_or(0, SocketAddr::port);
        ConnectSandbox::prepare(kernel, port, &pipes)
    }

    fn work(self, sandbox: Option<ConnectSandbox>, io: &mut Io) -> Result<u8, Stop> {
        io.name = "probe";
        io.alone = true;
        if sandbox.as_ref().is_some_and(|sandbox| sandbox.enter().is_err()) {
            return Err(Stop::Gone);
        }
        let mut attempts = self.connect(io);
        let sockets: Vec<_> = attempts.iter().filter_map(|(_, s)| s.as_ref().map(AsFd::as_fd)).collect();
        if sandbox.is_some_and(|sandbox| sandbox.seal(&sockets).is_err()) {
            return Err(Stop::Gone);
        }
        let until = Instant::now() + ALL;
        for (attempt, socket) in &mut attempts {
            if let Some(socket) = socket
                && let Err(cause) = self.ask(attempt, socket, io, until)
            {
                attempt.error = Some(cause);
            }
        }
        let attempts: Vec<Attempt> = attempts.into_iter().map(|(attempt, _)| attempt).collect();
        let answered = attempts.iter().any(|attempt| attempt.connected && attempt.error.is_none());
        let error = attempts.is_empty().then_some("the name has no address on this host, or none in time");
        let report = Report { target: &self.target, attempts, not_tried: &self.others, error };
        let mut line = serde_json::to_string(&report).map_err(|_| Stop::Gone)?;
        line.push('\n');
        io.write(line.as_bytes())?;
        io.flush()?;
        Ok(u8::from(!answered))
    }
}
