//! Path operands, looked at as the kernel resolves them: beneath the root that permits them, through no symbolic link.
//!
//! Links are followed where only root writes (`/etc`, `/usr`): `/etc/resolv.conf` is one on many systems. Between this look
//! and the program's own open a service could still swap a folder beneath the root for a link; the sandbox will close that.

use std::path::PathBuf;

use policy::PathOperand;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;

use crate::Paths;

/// Checks every path operand of a command line.
pub(crate) fn check(paths: &Paths, argv: &[String], operands: &[PathOperand]) -> Result<(), String> {
    for operand in operands {
        let word = argv.get(operand.index).ok_or_else(|| "a path operand is missing".to_owned())?;
        if !operand.roots.iter().any(|root| stays(paths, word, root)) {
            return Err(format!("{word:?} leads out of the permitted folders through a link"));
        }
    }
    Ok(())
}

/// Folders in which others than root write.
const OTHERS_WRITE: [&str; 6] = ["/var/", "/tmp/", "/run/", "/home/", "/srv/", "/opt/"];

fn stays(paths: &Paths, word: &str, root: &str) -> bool {
    if paths.system && !OTHERS_WRITE.iter().any(|folder| root.starts_with(folder)) {
        return true;
    }
    let (fixed, rest) = split(word, root);
    let base = if paths.system { PathBuf::from(&fixed) } else { paths.at(&fixed) };
    let Ok(dir) = open(&base, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else {
        // Not there: the program says so itself.
        return true;
    };
    if rest.is_empty() {
        return true;
    }
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(&dir, rest, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), how) {
        // What is not there or may not be looked at is the program's to say.
        Ok(_) | Err(Errno::NOENT | Errno::ACCESS | Errno::NOTDIR) => true,
        Err(_) => false,
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
            check(
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
