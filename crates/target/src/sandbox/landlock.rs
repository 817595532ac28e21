//! A Landlock ruleset: everything that the running ABI can restrict is restricted, and only what is named is allowed.

use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;

use super::sys::{self, Handled};

pub(super) const EXECUTE: u64 = 1;
pub(super) const WRITE_FILE: u64 = 1 << 1;
pub(super) const READ_FILE: u64 = 1 << 2;
pub(super) const READ_DIR: u64 = 1 << 3;
/// Connecting to a unix socket by its path; from ABI 9 on.
pub(super) const RESOLVE_UNIX: u64 = 1 << 16;
/// What means something on an object that is no folder: execute, write, read, truncate, ioctl, connect.
const ON_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | 1 << 14 | 1 << 15 | RESOLVE_UNIX;

const BIND_TCP: u64 = 1;
const CONNECT_TCP: u64 = 1 << 1;

/// Every right on files that an ABI knows.
fn fs_rights(abi: u32) -> u64 {
    // Each ABI appends: 13 rights; 2 links and renames between folders; 3 truncating; 5 ioctl of devices; 9 unix sockets.
    let known = match abi {
        0 | 1 => 13,
        2 => 14,
        3 | 4 => 15,
        5..=8 => 16,
        _ => 17,
    };
    (1 << known) - 1
}

/// A ruleset in the making.
pub(super) struct Ruleset {
    fd: OwnedFd,
    fs: u64,
}

impl Ruleset {
    /// Nothing is allowed yet; `tcp`: connections are not restricted. Abstract unix sockets and signals stay inside.
    pub(super) fn new(abi: u32, tcp: bool) -> Result<Self, String> {
        let fs = fs_rights(abi);
        let net = match (abi, tcp) {
            (0..=3, _) => 0,
            (_, true) => BIND_TCP,
            (_, false) => BIND_TCP | CONNECT_TCP,
        };
        let scoped = if abi >= 6 { 3 } else { 0 };
        // An old kernel refuses a longer struct, unless the rest is zero.
        let fd = sys::landlock_create(&Handled { fs, net, scoped }, size_of::<Handled>())
            .map_err(|e| format!("Landlock: {e}"))?;
        if net & BIND_TCP != 0 && tcp {
            // Clients bind before they connect (dig), to a port of the kernel's choice; nobody can listen.
            sys::landlock_allow_port(fd.as_fd(), 0, BIND_TCP).map_err(|e| format!("Landlock: {e}"))?;
        }
        Ok(Self { fd, fs })
    }

    /// Allows connections to this TCP port, where the ABI can tell ports apart.
    pub(super) fn allow_connect(&self, abi: u32, port: u16) -> Result<(), String> {
        if abi < 4 {
            return Ok(());
        }
        sys::landlock_allow_port(self.fd(), port, CONNECT_TCP).map_err(|e| format!("Landlock: {e}"))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Allows rights beneath a place, links followed; what is not there, or cannot be reached, is not needed.
    pub(super) fn allow(&self, place: &Path, rights: u64) -> Result<(), String> {
        match open(place, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
            Ok(object) => self.allow_object(object.as_fd(), rights),
            Err(Errno::NOENT | Errno::ACCESS | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(e) => Err(format!("{}: {e}", place.display())),
        }
    }

    /// Allows rights beneath exactly this object, whatever its path becomes.
    pub(super) fn allow_object(&self, object: BorrowedFd<'_>, rights: u64) -> Result<(), String> {
        let kind = FileType::from_raw_mode(fstat(object).map_err(|e| format!("stat: {e}"))?.st_mode);
        let sensible = if kind == FileType::Directory { self.fs } else { self.fs & ON_FILES };
        let rights = rights & sensible;
        if rights == 0 {
            return Ok(());
        }
        match sys::landlock_allow(self.fd(), object, rights) {
            // Objects of the kernel's own, such as pipes, are not Landlock's.
            Err(e) if e.kind() != ErrorKind::InvalidInput && e.raw_os_error() != Some(77) => {
                Err(format!("Landlock: {e}"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_abi_handles_all_it_knows() {
        assert_eq!(fs_rights(1), 0x1fff);
        assert_eq!(fs_rights(3) & (1 << 14), 1 << 14);
        assert_eq!(fs_rights(7), 0xffff);
        assert_eq!(fs_rights(9) & RESOLVE_UNIX, RESOLVE_UNIX);
        for abi in 1..9 {
            assert_eq!(fs_rights(abi) & !fs_rights(abi + 1), 0);
        }
    }
}
