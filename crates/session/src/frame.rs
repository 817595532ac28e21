//! The frames of `mcp-session`: many requests over one channel.
//!
//! A frame is a header of [`HEADER`] bytes and a payload: payload length (u32), type (u8), request id (u32), all big-endian.
//! Each side's first frame is [`Frame::Hello`]; see `docs/SESSION.md` for who sends what when. Nothing here reads or writes.

use std::fmt;

/// The reader's request that opens a session.
pub const WORD: &str = "mcp-session";
/// Bytes of a frame's header.
pub const HEADER: usize = 9;
/// The most bytes of a frame, header included.
pub const MAX_FRAME: usize = 64 << 10;
/// The most bytes of a payload.
pub const MAX_PAYLOAD: usize = MAX_FRAME - HEADER;
/// Bytes of output that the target may send for a request before any credit came.
pub const FIRST_CREDIT: u32 = 64 << 10;
/// The version that this code speaks, and the oldest that it still does.
pub const VERSIONS: Versions = Versions { lowest: 1, highest: 1 };

/// Begins each hello, so that nothing else is taken for one.
const MAGIC: &[u8; 4] = b"mcps";

/// The versions that one side speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The oldest.
    pub lowest: u16,
    /// The newest.
    pub highest: u16,
}

impl Versions {
    /// The newest version that both sides speak.
    ///
    /// # Errors
    /// There is none.
    pub fn common(self, other: Self) -> Result<u16, FrameError> {
        let best = self.highest.min(other.highest);
        if best >= self.lowest && best >= other.lowest {
            Ok(best)
        } else {
            Err(FrameError::Version { ours: self, theirs: other })
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The command ended by itself, with this status.
    Exit(u8),
    /// The form's time limit ended it.
    Time,
    /// The form's output cap ended it.
    Output,
    /// It did not run, for this reason.
    Refused(String),
    /// The client's cancel ended it.
    Cancelled,
}

/// Why the target closes a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closing {
    /// No request for too long: whatever the client has sent since has not run.
    Idle,
    /// The client broke the protocol.
    Fault(String),
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Each side's first: what it speaks.
    Hello(Versions),
    /// Client: run this line.
    Request {
        /// A number that no other running request of the session has; never 0.
        id: u32,
        /// The command line, as in a one-shot request.
        line: Vec<u8>,
    },
    /// Client: end this request. One that has ended already is no error.
    Cancel {
        /// Which.
        id: u32,
    },
    /// Client: this many more bytes of output may come.
    Credit {
        /// For which request.
        id: u32,
        /// How many, stdout and stderr together.
        bytes: u32,
    },
    /// Target: standard output.
    Stdout {
        /// Of which request.
        id: u32,
        /// At least one byte.
        bytes: Vec<u8>,
    },
    /// Target: standard error.
    Stderr {
        /// Of which request.
        id: u32,
        /// At least one byte.
        bytes: Vec<u8>,
    },
    /// Target: the request is over, and nothing more comes for it.
    End {
        /// Which.
        id: u32,
        /// How.
        ending: Ending,
    },
    /// Target: the session is over; the last frame.
    Close(Closing),
}

/// Why bytes are no session. It ends the session: where the next frame begins is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameError {
    /// A frame with more than [`MAX_PAYLOAD`] bytes of payload.
    TooLarge(u64),
    /// A type that no frame has.
    UnknownType(u8),
    /// A payload that its type does not have.
    Malformed(&'static str),
    /// The first frame was no hello, or a later one was.
    Hello,
    /// The two sides speak no common version.
    Version {
        /// What this side speaks.
        ours: Versions,
        /// What the other side speaks.
        theirs: Versions,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(bytes) => write!(f, "a frame of {bytes} bytes; the most is {MAX_PAYLOAD}"),
            Self::UnknownType(kind) => write!(f, "a frame of the unknown type {kind}"),
            Self::Malformed(what) => write!(f, "a malformed frame: {what}"),
            Self::Hello => f.write_str("a session begins with one hello"),
            Self::Version { ours, theirs } => write!(
                f,
                "no common version: this side speaks {} to {}, the other {} to {}; update the older one",
                ours.lowest, ours.highest, theirs.lowest, theirs.highest
            ),
        }
    }
}

impl std::error::Error for FrameError {}

const HELLO: u8 = 1;
const REQUEST: u8 = 2;
const CANCEL: u8 = 3;
const CREDIT: u8 = 4;
const STDOUT: u8 = 5;
const STDERR: u8 = 6;
const END: u8 = 7;
const CLOSE: u8 = 8;

impl Frame {
    /// Appends the frame's bytes.
    ///
    /// # Errors
    /// The payload is too large; nothing was appended. A reason is cut instead.
    pub fn encode(&self, to: &mut Vec<u8>) -> Result<(), FrameError> {
        match self {
            Self::Hello(versions) => {
                let [a, b] = versions.lowest.to_be_bytes();
                let [c, d] = versions.highest.to_be_bytes();
                put(to, HELLO, 0, &[MAGIC.as_slice(), &[a, b, c, d]].concat())
            }
            Self::Request { id, line } => put(to, REQUEST, *id, line),
            Self::Cancel { id } => put(to, CANCEL, *id, &[]),
            Self::Credit { id, bytes } => put(to, CREDIT, *id, &bytes.to_be_bytes()),
            Self::Stdout { id, bytes } => put(to, STDOUT, *id, bytes),
            Self::Stderr { id, bytes } => put(to, STDERR, *id, bytes),
            Self::End { id, ending } => put(to, END, *id, &ending.payload()),
            Self::Close(Closing::Idle) => put(to, CLOSE, 0, &[0]),
            Self::Close(Closing::Fault(reason)) => put(to, CLOSE, 0, &with_reason(1, reason)),
        }
    }

    fn decode(kind: u8, id: u32, payload: &[u8]) -> Result<Self, FrameError> {
        let bare = matches!(kind, HELLO | CLOSE);
        if bare != (id == 0) {
            return Err(FrameError::Malformed("its request id"));
        }
        Ok(match kind {
            HELLO => Self::Hello(versions(payload)?),
            REQUEST => Self::Request { id, line: payload.to_vec() },
            CANCEL if payload.is_empty() => Self::Cancel { id },
            CREDIT => {
                let bytes = payload.try_into().map_err(|_| FrameError::Malformed("a credit"))?;
                Self::Credit { id, bytes: u32::from_be_bytes(bytes) }
            }
            STDOUT if !payload.is_empty() => Self::Stdout { id, bytes: payload.to_vec() },
            STDERR if !payload.is_empty() => Self::Stderr { id, bytes: payload.to_vec() },
            END => Self::End { id, ending: Ending::parse(payload)? },
            CLOSE => Self::Close(closing(payload)?),
            _ => return Err(FrameError::Malformed("its length")),
        })
    }
}

fn put(to: &mut Vec<u8>, kind: u8, id: u32, payload: &[u8]) -> Result<(), FrameError> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    if payload.len() > MAX_PAYLOAD {
        return Err(FrameError::TooLarge(length.into()));
    }
    to.extend_from_slice(&length.to_be_bytes());
    to.push(kind);
    to.extend_from_slice(&id.to_be_bytes());
    to.extend_from_slice(payload);
    Ok(())
}

fn versions(payload: &[u8]) -> Result<Versions, FrameError> {
    // A later version may say more behind these.
    let Some([a, b, c, d, ..]) = payload.strip_prefix(MAGIC.as_slice()) else {
        return Err(FrameError::Hello);
    };
    let found = Versions { lowest: u16::from_be_bytes([*a, *b]), highest: u16::from_be_bytes([*c, *d]) };
    if found.lowest > found.highest { Err(FrameError::Malformed("its versions")) } else { Ok(found) }
}

impl Ending {
    /// The exit status that a one-shot command would have had.
    pub fn status(&self) -> u8 {
        match self {
            Self::Exit(status) => *status,
            Self::Time | Self::Cancelled => 124,
            Self::Output => 125,
            Self::Refused(_) => 126,
        }
    }

    fn payload(&self) -> Vec<u8> {
        match self {
            Self::Exit(status) => vec![0, *status],
            Self::Time => vec![1],
            Self::Output => vec![2],
            Self::Refused(reason) => with_reason(3, reason),
            Self::Cancelled => vec![4],
        }
    }

    fn parse(payload: &[u8]) -> Result<Self, FrameError> {
        Ok(match payload {
            [0, status] => Self::Exit(*status),
            [1] => Self::Time,
            [2] => Self::Output,
            [3, reason @ ..] => Self::Refused(text(reason)?),
            [4] => Self::Cancelled,
            _ => return Err(FrameError::Malformed("an end")),
        })
    }
}

fn closing(payload: &[u8]) -> Result<Closing, FrameError> {
    Ok(match payload {
        [0] => Closing::Idle,
        [1, reason @ ..] => Closing::Fault(text(reason)?),
        _ => return Err(FrameError::Malformed("a close")),
    })
}

fn text(bytes: &[u8]) -> Result<String, FrameError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| FrameError::Malformed("a reason that is not UTF-8"))
}

/// A reason of at most 4 KiB.
fn with_reason(code: u8, reason: &str) -> Vec<u8> {
    let end = reason.floor_char_boundary(4096);
    [&[code], &reason.as_bytes()[..end]].concat()
}

/// Cuts a stream of bytes into frames, however it arrives. It holds at most one unfinished frame.
#[derive(Debug, Default)]
pub struct Decoder {
    unfinished: Vec<u8>,
    greeted: bool,
    failed: Option<FrameError>,
}

impl Decoder {
    /// The frames that these bytes complete, in order.
    ///
    /// The first frame of a stream is a hello, and no later one is.
    ///
    /// # Errors
    /// What is wrong with the stream, now and from then on; frames before the wrong one are lost with it. A header is judged
    /// before its payload comes.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let found = self.cut(bytes);
        if let Err(error) = &found {
            self.failed = Some(error.clone());
            self.unfinished = Vec::new();
        }
        found
    }

    fn cut(&mut self, mut bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
        let mut frames = Vec::new();
        loop {
            self.fill(HEADER, &mut bytes);
            let Some((length, kind, id)) = header(&self.unfinished) else { return Ok(frames) };
            self.judge(length, kind)?;
            let whole = HEADER + length;
            self.fill(whole, &mut bytes);
            if self.unfinished.len() < whole {
                return Ok(frames);
            }
            let frame = Frame::decode(kind, id, &self.unfinished[HEADER..])?;
            self.greeted = true;
            self.unfinished.clear();
            frames.push(frame);
        }
    }

    /// Takes from `bytes` until so many are there.
    fn fill(&mut self, wanted: usize, bytes: &mut &[u8]) {
        let missing = wanted.saturating_sub(self.unfinished.len());
        let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
        self.unfinished.extend_from_slice(taken);
        *bytes = rest;
    }

    fn judge(&self, length: usize, kind: u8) -> Result<(), FrameError> {
        if (kind == HELLO) == self.greeted {
            return Err(FrameError::Hello);
        }
        if !(HELLO..=CLOSE).contains(&kind) {
            return Err(FrameError::UnknownType(kind));
        }
        if length > MAX_PAYLOAD {
            return Err(FrameError::TooLarge(length as u64));
        }
        Ok(())
    }

    /// Bytes held of an unfinished frame.
    pub fn held(&self) -> usize {
        self.unfinished.len()
    }
}

fn header(bytes: &[u8]) -> Option<(usize, u8, u32)> {
    let [l0, l1, l2, l3, kind, i0, i1, i2, i3, ..] = bytes else { return None };
    let length = usize::try_from(u32::from_be_bytes([*l0, *l1, *l2, *l3])).unwrap_or(usize::MAX);
    Some((length, *kind, u32::from_be_bytes([*i0, *i1, *i2, *i3])))
}
