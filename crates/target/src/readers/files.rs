//! The files of a line, opened before anything of them is read.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;

use super::decode::{Format, Source};

/// One path operand.
pub(super) struct Input {
    /// As it stands in the line.
    pub(super) name: String,
    pub(super) found: Found,
}

pub(super) enum Found {
    File(Opened),
    Folder,
    /// It cannot be opened.
    Error(std::io::Error),
}

/// A regular file that is open for reading.
pub(super) struct Opened {
    pub(super) file: Arc<File>,
    /// Its bytes on disk; 0 for what the kernel makes up.
    pub(super) size: u64,
    pub(super) block: u64,
    pub(super) format: Format,
}

impl Input {
    /// Opens the very object that was checked, for reading. `None` if it is neither file nor folder: not for a reader.
    pub(super) fn open(name: &str, object: Result<OwnedFd, Errno>) -> Option<Self> {
        let object = match object {
            Ok(object) => object,
            Err(e) => return Some(Self { name: name.to_owned(), found: Found::Error(e.into()) }),
        };
        let found = match FileType::from_raw_mode(fstat(&object).ok()?.st_mode) {
            FileType::Directory => Found::Folder,
            FileType::RegularFile if name.ends_with('/') => Found::Error(Errno::NOTDIR.into()),
            FileType::RegularFile => match reopen(&object) {
                Ok(opened) => Found::File(opened),
                Err(e) => Found::Error(e),
            },
            _ => return None,
        };
        Some(Self { name: name.to_owned(), found })
    }

    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.found {
            Found::File(opened) => Some(opened.file.as_fd()),
            _ => None,
        }
    }
}

fn reopen(object: &OwnedFd) -> Result<Opened, std::io::Error> {
    // This process's own descriptor, so that it is the same object whatever its path has become.
    let own = format!("/proc/self/fd/{}", object.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(open(own, flags, Mode::empty())?);
    let meta = file.metadata()?;
    Ok(Opened { size: meta.size(), block: meta.blksize(), file: Arc::new(file), format: Format::Plain })
}

impl Opened {
    /// Looks at the first bytes; to be done inside the sandbox.
    pub(super) fn look(&mut self) -> std::io::Result<()> {
        let mut start = [0; 6];
        let mut have = 0;
        while have < start.len() {
            match self.file.read_at(&mut start[have..], have as u64)? {
                0 => break,
                more => have += more,
            }
        }
        self.format = Format::of(&start[..have]);
        Ok(())
    }

    pub(super) fn is_plain(&self) -> bool {
        self.format == Format::Plain
    }

    /// What it holds, from its start.
    pub(super) fn source(&self, stop: &Arc<AtomicBool>) -> Source {
        Source::new(Arc::clone(&self.file), self.format, Arc::clone(stop))
    }
}
