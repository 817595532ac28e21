//! Path operands, opened as the kernel resolves them: beneath the root that permits them, through no symbolic link.
//!
//! Links are followed where only root writes (`/etc`, `/usr`): `/etc/resolv.conf` is one on many systems. The sandbox lets the
//! program read the very objects that were opened here: when a service swaps a folder beneath the root for a link before the
//! program's own open, that open fails.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use policy::PathOperand;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;

use crate::Paths;

/// Opens every path operand of a command line, for nothing but naming it. What is not there, or may not be reached, is the
/// program's to say.
pub(crate) fn open_all(
    paths: &Paths,
    argv: &[String],
    operands: &[PathOperand],
) -> Result<Vec<OwnedFd>, String> {
    let mut found = Vec::new();
    for operand in operands {
        let word = argv.get(operand.index).ok_or_else(|| "a path operand is missing".to_owned())?;
        let object = operand
            .roots
            .iter()
            .find_map(|root| beneath(paths, word, root).ok())
            .ok_or_else(|| format!("{word:?} leads out of the permitted folders through a link"))?;
        found.extend(object);
    }
    Ok(found)
}

/// Folders in which others than root write.
const OTHERS_WRITE: [&str; 6] = ["/var/", "/tmp/", "/run/", "/home/", "/srv/", "/opt/"];

fn beneath(paths: &Paths, word: &str, root: &str) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    if paths.system && !OTHERS_WRITE.iter().any(|folder| root.starts_with(folder)) {
        return Ok(open(word, flags, Mode::empty()).ok());
    }
    let (fixed, rest) = split(word, root);
    let base = if paths.system { PathBuf::from(&fixed) } else { paths.at(&fixed) };
    let Ok(dir) = open(&base, flags, Mode::empty()) else { return Ok(None) };
    if rest.is_empty() {
        return Ok(Some(dir));
    }
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(&dir, rest, flags, Mode::empty(), how) {
        Ok(object) => Ok(Some(object)),
        Err(Errno::NOENT | Errno::ACCESS | Errno::NOTDIR) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The part of the word that the root itself names, and the rest.
fn split(word: &str, root: &str) -> (String, String) {
    let word = word.trim_end_matches('/');
    let depth = if root == "/" { 1 } else { root.trim_end_matches('/').split('/').count() };
    // A file that a root names by itself is opened beneath its folder, so that it is no link either.
    let depth = if root.ends_with('/') || root == "/" { depth } else { depth - 1 };
    let parts: Vec<&str> = word.split('/').collect();
    let (fixed, rest) = parts.split_at(depth.min(parts.len()));
    let fixed = if fixed.len() <= 1 { "/".to_owned() } else { fixed.join("/") };
    (fixed, rest.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitting_at_the_root() {
        for (word, root, fixed, rest) in [
            ("/var/log/a/b", "/var/log/", "/var/log", "a/b"),
            ("/var/log/", "/var/log/", "/var/log", ""),
            ("/etc/hosts", "/etc/hosts", "/etc", "hosts"),
            ("/proc/1/status", "/proc/{pid}/status", "/proc/1", "status"),
            ("/", "/", "/", ""),
        ] {
            assert_eq!(split(word, root), (fixed.to_owned(), rest.to_owned()), "{word}");
        }
    }

    #[test]
    fn links_do_not_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::beneath(dir.path());
        let log = dir.path().join("played/log");
        std::fs::create_dir_all(log.join("sub")).unwrap();
        std::fs::write(log.join("sub/file"), "x").unwrap();
        std::os::unix::fs::symlink("/etc", log.join("out")).unwrap();
        let root = "/played/log/".to_owned();
        let ok = |word: &str| {
            open_all(
                &paths,
                &["cat".into(), word.into()],
                &[PathOperand { index: 1, roots: vec![root.clone()] }],
            )
            .is_ok()
        };
        assert!(ok("/played/log/sub/file") && ok("/played/log/sub/"));
        assert!(!ok("/played/log/out/passwd") && !ok("/played/log/out"));
        assert!(ok("/played/log/missing"), "the program says so itself");
    }
}
