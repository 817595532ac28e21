//! A chain in a file: one line per record, written whole and synced before anybody may act on it.
//!
//! Each write takes the file's lock (`flock`), reads the last line anew, and appends with one `write` and one `fsync`, so
//! several programs may share a chain. After a crash the last line may lack its end; the next write cuts it off and puts
//! a record in its place that says so and quotes it. Nothing else is ever healed: a broken chain takes no more records.
//!
//! A file may be rotated by renaming it to `FILE.1` and making an empty `FILE`, as logrotate does with `create`: who had the
//! old one open goes over to the new one at the next write, and an empty file goes on where `FILE.1` ends, so that both
//! together are one chain. `FILE.1` must therefore not be compressed before the next rotation (`delaycompress`).

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Deref;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ring::digest::{SHA256, digest};
use rustix::fs::OFlags;
use serde_json::{Value, json};

use crate::chain::{MAX_LINE, hex};
use crate::{Broken, Cause, Head, Record, Report, Verifier, seal};

/// The event of the record that takes a torn line's place.
pub const HEALED: &str = "ledger_healed";

/// How long a write waits for another one.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How long a reader waits for a write to end.
const READ_WAIT: Duration = Duration::from_millis(250);
const LOCK_POLL: Duration = Duration::from_millis(5);

/// Why a chain's file cannot be used.
#[derive(Debug)]
pub enum Error {
    /// The system refused.
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The path does not lead to a regular file.
    NotAFile(PathBuf),
    /// Another program holds the file.
    Locked(PathBuf),
    /// The chain is broken.
    Broken {
        /// The file.
        path: PathBuf,
        /// Where and how. Of a write only the last line is known: its index is then 0 and its number 0.
        broken: Broken,
    },
}

impl Error {
    /// There is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, what, source } => write!(f, "{}: {what}: {source}", path.display()),
            Self::NotAFile(path) => write!(f, "{}: not a regular file", path.display()),
            Self::Locked(path) => write!(f, "{}: another program holds this ledger", path.display()),
            Self::Broken { path, broken } => write!(f, "{}: {broken}", path.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Broken { broken, .. } => Some(broken),
            Self::NotAFile(_) | Self::Locked(_) => None,
        }
    }
}

/// A chain's file, open for writing.
#[derive(Debug)]
pub struct FileLedger {
    path: PathBuf,
    /// `flock` keeps programs apart, the mutex the threads that share this file.
    file: Mutex<File>,
    exclusive: bool,
}

impl FileLedger {
    /// Opens a chain that several programs may write to, and checks its last line. Makes an empty file, mode 0640, if
    /// there is none; who must notice that a chain was removed asks whether the file is there before.
    ///
    /// # Errors
    /// Symbolic links and other files than regular ones are refused, and so is a chain whose last line is broken.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let ledger = Self::open_file(path.as_ref())?;
        ledger.head()?;
        Ok(ledger)
    }

    /// As [`FileLedger::open`], for the only program that may write: a second one gets [`Error::Locked`] at once.
    ///
    /// # Errors
    /// As [`FileLedger::open`], and `Locked`.
    pub fn open_exclusive(path: impl AsRef<Path>) -> Result<Self, Error> {
        let mut ledger = Self::open_file(path.as_ref())?;
        ledger.exclusive = true;
        let lock = ledger.threads();
        if !try_lock(&lock, &ledger.path)? {
            return Err(Error::Locked(ledger.path.clone()));
        }
        ledger.tail(&lock)?;
        drop(lock);
        Ok(ledger)
    }

    fn open_file(path: &Path) -> Result<Self, Error> {
        let mut options = careful();
        options.write(true).mode(0o640);
        let (file, new) = match options.clone().create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (options.open(path), false),
            other => (other, true),
        };
        let file = file.map_err(io_error(path, "open"))?;
        length(&file, path)?;
        if new {
            sync_folder(path)?;
        }
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), exclusive: false })
    }

    /// Writes one record and syncs it. When this returns, the record is on the disk.
    ///
    /// `now_ms` is in unix milliseconds.
    ///
    /// # Errors
    /// Nothing was written, as far as the system allows to say: what must be audited must not be done.
    pub fn append(&self, event: &str, data: &Value, now_ms: i64) -> Result<Head, Error> {
        let lock = self.lock()?;
        let tail = self.tail(&lock)?;
        let mut text = String::new();
        let mut head = tail.head.clone();
        if !tail.torn.is_empty() {
            head = add(&mut text, &head, HEALED, &describe_torn(&tail.torn), now_ms);
        }
        head = add(&mut text, &head, event, data, now_ms);
        if let Some((older, end)) = &tail.cut {
            older
                .set_len(*end)
                .and_then(|()| older.sync_data())
                .map_err(io_error(&rotated_path(&self.path), "cut the torn line"))?;
        }
        self.write(&lock, text.as_bytes(), &tail).inspect_err(|_| {
            // if this fails too, the next write heals it
            let _ = lock.set_len(tail.end);
        })?;
        Ok(head)
    }

    fn write(&self, file: &File, bytes: &[u8], tail: &Tail) -> Result<(), Error> {
        file.write_all_at(bytes, tail.end).map_err(io_error(&self.path, "write"))?;
        if tail.torn.len() > bytes.len() {
            let end = tail.end + bytes.len() as u64;
            file.set_len(end).map_err(io_error(&self.path, "cut the torn line"))?;
        }
        file.sync_data().map_err(io_error(&self.path, "sync"))
    }

    /// The chain's end as it is on the disk now.
    ///
    /// # Errors
    /// As [`FileLedger::open`].
    pub fn head(&self) -> Result<Head, Error> {
        let lock = self.lock()?;
        Ok(self.tail(&lock)?.head)
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn threads(&self) -> MutexGuard<'_, File> {
        // a file is no worse for a panic while it was locked
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> Result<Lock<'_>, Error> {
        let mut file = self.threads();
        if self.exclusive {
            return Ok(Lock { file, unlock: false });
        }
        loop {
            wait_for_lock(&file, &self.path)?;
            match self.successor(&file)? {
                // this unlocks the old one
                Some(new) => *file = new,
                None => return Ok(Lock { file, unlock: true }),
            }
        }
    }

    /// The file that stands at the path now, when that is another one. When none does, the old one still takes records: a
    /// rotation may be half done, and what was begun must be accounted for.
    fn successor(&self, file: &File) -> Result<Option<File>, Error> {
        let failed = |source| io_error(&self.path, "stat")(source);
        let ours = file.metadata().map_err(failed)?;
        let there = match std::fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            there => there.map_err(failed)?,
        };
        if (ours.dev(), ours.ino()) == (there.dev(), there.ino()) {
            return Ok(None);
        }
        let new = careful().write(true).open(&self.path).map_err(io_error(&self.path, "open"))?;
        length(&new, &self.path)?;
        Ok(Some(new))
    }

    fn tail(&self, file: &File) -> Result<Tail, Error> {
        let tail = read_tail(file, &self.path)?;
        if tail.end > 0 { Ok(tail) } else { self.rotated(tail) }
    }

    /// Where a chain stands whose file has no record yet: at the end of the file before it, if there is one.
    fn rotated(&self, mut tail: Tail) -> Result<Tail, Error> {
        let older = rotated_path(&self.path);
        let file = match careful().write(true).open(&older) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(tail),
            file => file.map_err(io_error(&older, "open"))?,
        };
        // A write to it that was begun before it was renamed ends first.
        wait_for_lock(&file, &older)?;
        let last = read_tail(&file, &older)?;
        if !last.torn.is_empty() {
            tail.cut = Some((file, last.end));
            if tail.torn.is_empty() {
                tail.torn = last.torn;
            }
        }
        tail.head = last.head;
        Ok(tail)
    }
}

/// The name under which a rotation leaves the file before: `FILE.1`.
fn rotated_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

/// A new file survives a power cut only when its folder is synced too.
fn sync_folder(path: &Path) -> Result<(), Error> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error(folder, "sync"))
}

fn wait_for_lock(file: &File, path: &Path) -> Result<(), Error> {
    let deadline = Instant::now() + LOCK_WAIT;
    while !try_lock(file, path)? {
        if Instant::now() >= deadline {
            return Err(Error::Locked(path.to_owned()));
        }
        thread::sleep(LOCK_POLL);
    }
    Ok(())
}

fn try_lock(file: &File, path: &Path) -> Result<bool, Error> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(source)) => Err(io_error(path, "lock")(source)),
    }
}

fn read_tail(file: &File, path: &Path) -> Result<Tail, Error> {
    let broken = |cause| Error::Broken { path: path.to_owned(), broken: Broken { index: 0, seq: 0, cause } };
    let (start, window) = last_bytes(file, path)?;
    let Some(newline) = window.iter().rposition(|b| *b == b'\n') else {
        return if start == 0 {
            Ok(Tail { head: Head::genesis(), end: 0, torn: window, cut: None })
        } else {
            Err(broken(Cause::TooLong))
        };
    };
    let torn = window[newline + 1..].to_vec();
    let begin = window[..newline].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let record = Record::read(&window[begin..newline]).map_err(broken)?;
    let end = start + newline as u64 + 1;
    Ok(Tail { head: record.head(), end, torn, cut: None })
}

/// Enough of the file's end to hold one whole line and one torn one; and where that begins.
fn last_bytes(file: &File, path: &Path) -> Result<(u64, Vec<u8>), Error> {
    let failed = |source| io_error(path, "read")(source);
    let length = length(file, path)?;
    let start = length.saturating_sub(2 * (MAX_LINE as u64 + 1));
    let mut reader = file;
    let mut window = Vec::new();
    reader.seek(SeekFrom::Start(start)).map_err(failed)?;
    reader.take(length - start).read_to_end(&mut window).map_err(failed)?;
    Ok((start, window))
}

/// The end of a file: the last whole record, where it ends, and what stands after it.
struct Tail {
    head: Head,
    end: u64,
    torn: Vec<u8>,
    /// The file before this one, when it is that one which has a torn line, and where its last whole line ends.
    cut: Option<(File, u64)>,
}

/// The locked file; unlocks it when dropped.
struct Lock<'a> {
    file: MutexGuard<'a, File>,
    unlock: bool,
}

impl Deref for Lock<'_> {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        if self.unlock {
            // an unlock that fails is made up for when the file is closed
            let _ = self.file.unlock();
        }
    }
}

fn add(text: &mut String, head: &Head, event: &str, data: &Value, now_ms: i64) -> Head {
    let (line, head) = seal(head, now_ms, event, data);
    text.push_str(&line);
    text.push('\n');
    head
}

fn describe_torn(torn: &[u8]) -> Value {
    json!({
        "reason": "the last line was not complete; a write was cut short",
        "bytes": torn.len(),
        "sha256": hex(digest(&SHA256, torn).as_ref()),
        "text": String::from_utf8_lossy(torn),
    })
}

fn io_error(path: &Path, what: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Io { path: path.to_owned(), what, source }
}

/// Checks a chain's file from its first line to its last.
///
/// # Errors
/// The first place where it is broken; `Torn` when the last line has no newline.
pub fn verify(path: impl AsRef<Path>) -> Result<Report, Error> {
    read(path, Verifier::default(), |_| ())
}

/// Checks a chain's file and that it still holds the record that `known` names.
///
/// # Errors
/// As [`verify`], `Shorter` and `OtherHistory`.
pub fn verify_against(path: impl AsRef<Path>, known: &Head) -> Result<Report, Error> {
    read(path, Verifier::against(known), |_| ())
}

/// Checks a chain's file and hands over each record as it is checked.
///
/// # Errors
/// As [`verify`]; the records before the broken place were handed over.
pub fn read(
    path: impl AsRef<Path>,
    mut verifier: Verifier,
    mut each: impl FnMut(Record),
) -> Result<Report, Error> {
    let path = path.as_ref();
    let file = careful().open(path).map_err(io_error(path, "open"))?;
    let broken = |broken| Error::Broken { path: path.to_owned(), broken };
    let mut rest = BufReader::new((&file).take(settled_length(&file, path)?));
    loop {
        let mut line = Vec::new();
        (&mut rest).take(MAX_LINE as u64 + 2).read_until(b'\n', &mut line).map_err(io_error(path, "read"))?;
        match line.strip_suffix(b"\n") {
            Some(line) => each(verifier.push(line).map_err(broken)?),
            None if line.is_empty() => return verifier.finish().map_err(broken),
            None if line.len() > MAX_LINE => return Err(broken(verifier.broken(Cause::TooLong))),
            None => return Err(broken(verifier.broken(Cause::Torn))),
        }
    }
}

/// The length between two writes: what another program appends meanwhile is not read.
fn settled_length(file: &File, path: &Path) -> Result<u64, Error> {
    let deadline = Instant::now() + READ_WAIT;
    // a writer that keeps the lock for its life writes whole lines too, so after a while go on without
    while matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) && Instant::now() < deadline {
        thread::sleep(LOCK_POLL);
    }
    let length = length(file, path);
    let _ = file.unlock();
    length
}

/// Never through a symbolic link, and never waiting for the other end of a FIFO.
fn careful() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
}

fn length(file: &File, path: &Path) -> Result<u64, Error> {
    let metadata = file.metadata().map_err(io_error(path, "stat"))?;
    if metadata.is_file() { Ok(metadata.len()) } else { Err(Error::NotAFile(path.to_owned())) }
}
