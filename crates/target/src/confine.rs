//! Path operands, opened as the kernel resolves them: beneath the root that permits them, through no symbolic link.
//!
//! Links are followed where only root writes (`/etc`, `/usr`): `/etc/resolv.conf` is one on many systems. The sandbox lets the
//! program read the very objects that were opened here: when a service swaps a folder beneath the root for a link before the
//! program's own open, that open fails.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use policy::PathOperand;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat2};
use rustix::io::Errno;

use crate::Paths;

/// Opens every path operand of a command line, for nothing but naming it. What is not there, or may not be reached, is the
/// program's to say.
pub(crate) fn open_all(
    paths: &Paths,
    argv: &[String],
    operands: &[PathOperand],
) -> Result<Vec<OwnedFd>, String> {
    Ok(open_each(paths, argv, operands)?.into_iter().flatten().collect())
}

/// As [`open_all`], with the kernel's word on each that cannot be opened.
pub(crate) fn open_each(
    paths: &Paths,
    argv: &[String],
    operands: &[PathOperand],
) -> Result<Vec<Result<OwnedFd, Errno>>, String> {
    let mut found = Vec::new();
    for operand in operands {
        let word = argv.get(operand.index).ok_or_else(|| "a path operand is missing".to_owned())?;
        let object = operand
            .roots
            .iter()
            .find_map(|root| beneath(paths, word, root).ok())
            .ok_or_else(|| format!("{word:?} leads out of the permitted folders through a link"))?;
        if let Ok(object) = &object
            && object.is_foreign_link()
        {
            return Err(format!(
                "{word:?} is a file with several names that not everybody may read, in a folder where others than its owner write"
            ));
        }
        found.push(object.map(|object| object.itself));
    }
    Ok(found)
}

/// Folders in which others than root write.
const OTHERS_WRITE: [&str; 6] = ["/var/", "/tmp/", "/run/", "/home/", "/srv/", "/opt/"];

/// What a word names, and the folder that holds it where others than root may have put it there.
struct Object {
    itself: OwnedFd,
    folder: Option<OwnedFd>,
}

impl Object {
    /// Whether it may be somebody else's file under a name that its owner did not give it: who can write in a folder may link
    /// any file into it (unless `fs.protected_hardlinks` forbids), and so show it under a permitted path.
    fn is_foreign_link(&self) -> bool {
        let Some(folder) = &self.folder else { return false };
        let (Ok(file), Ok(folder)) = (fstat(&self.itself), fstat(folder)) else { return true };
        is_foreign_link(&file, &folder)
    }
}

/// Only where its owner or root alone can write, no one else has given a file its second name.
fn is_foreign_link(file: &Stat, folder: &Stat) -> bool {
    let regular = FileType::from_raw_mode(file.st_mode) == FileType::RegularFile;
    let secret = file.st_mode & 0o004 == 0;
    // An access list shows in the bits of the group.
    let others_write = folder.st_mode & 0o022 != 0;
    let trusted = folder.st_uid == 0 || folder.st_uid == file.st_uid;
    regular && secret && file.st_nlink > 1 && (others_write || !trusted)
}

/// The outer error leads out of the root; the inner one is the program's to say.
fn beneath(paths: &Paths, word: &str, root: &str) -> Result<Result<Object, Errno>, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    if paths.system && !OTHERS_WRITE.iter().any(|folder| root.starts_with(folder)) {
        return Ok(open(word, flags, Mode::empty()).map(|itself| Object { itself, folder: None }));
    }
    let (fixed, rest) = split(word, root);
    let base = if paths.system { PathBuf::from(&fixed) } else { paths.at(&fixed) };
    let mut folder = match open(&base, flags, Mode::empty()) {
        Ok(base) => base,
        Err(e) => return Ok(Err(e)),
    };
    if rest.is_empty() {
        return Ok(Ok(Object { itself: folder, folder: None }));
    }
    let within = |folder: &OwnedFd, rest: &str| {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match openat2(folder, rest, flags, Mode::empty(), how) {
            Err(e) if !matches!(e, Errno::NOENT | Errno::ACCESS | Errno::NOTDIR) => Err(e),
            result => Ok(result),
        }
    };
    let mut name = rest.as_str();
    if let Some((folders, last)) = rest.rsplit_once('/') {
        folder = match within(&folder, folders)? {
            Ok(folder) => folder,
            Err(e) => return Ok(Err(e)),
        };
        name = last;
    }
    Ok(within(&folder, name)?.map(|itself| Object { itself, folder: Some(folder) }))
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
    fn hard_links_to_secrets_of_others_are_foreign() {
        let (root, service, victim) = (0, 33, 1000);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "").unwrap();
        let like = |name: &str, owner, mode, links| {
            let object = open(dir.path().join(name), OFlags::PATH, Mode::empty()).unwrap();
            let mut stat = fstat(&object).unwrap();
            stat.st_uid = owner;
            stat.st_mode = stat.st_mode & !0o7777 | mode;
            stat.st_nlink = links;
            stat
        };
        for (folder, folder_mode, file, mode, links, foreign) in [
            (service, 0o755, victim, 0o640, 2, true),
            (service, 0o755, root, 0o640, 2, true),
            (root, 0o1777, victim, 0o600, 2, true),
            (root, 0o775, victim, 0o640, 2, true),
            (root, 0o775, root, 0o640, 2, true),
            (service, 0o777, service, 0o640, 2, true),
            (root, 0o755, victim, 0o640, 2, false),
            (root, 0o755, root, 0o640, 2, false),
            (service, 0o755, service, 0o640, 2, false),
            (service, 0o755, victim, 0o644, 2, false),
            (service, 0o755, victim, 0o640, 1, false),
        ] {
            let found = is_foreign_link(&like("a", file, mode, links), &like(".", folder, folder_mode, 2));
            assert_eq!(
                found, foreign,
                "folder of {folder} {folder_mode:o}, file of {file} {mode:o}, {links}"
            );
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
