//! Which file a program's name stands for, and the environment that it gets.

use std::path::{Path, PathBuf};

use crate::{Paths, files};

/// The folders in which actions find their programs.
const FOLDERS: [&str; 4] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// The first of some absolute places that exists and that nobody but root can have changed.
pub(crate) fn first(paths: &Paths, places: &[String]) -> Result<PathBuf, String> {
    for place in places {
        let own = paths.at(place);
        if own.exists() {
            return trusted(paths, &own);
        }
        // A played root has only the programs that it plays; the others are the system's.
        if !paths.system && Path::new(place).exists() {
            return trusted(paths, Path::new(place));
        }
    }
    Err(format!("{} is not installed on this host", places.first().map_or("the program", String::as_str)))
}

/// A bare name in the fixed folders.
pub(crate) fn by_name(paths: &Paths, name: &str) -> Result<PathBuf, String> {
    let places: Vec<String> = FOLDERS.iter().map(|f| format!("{f}/{name}")).collect();
    first(paths, &places)
}

fn trusted(paths: &Paths, place: &Path) -> Result<PathBuf, String> {
    let real = place.canonicalize().map_err(|e| format!("{}: {e}", place.display()))?;
    let meta = std::fs::metadata(&real).map_err(|e| format!("{}: {e}", real.display()))?;
    if !meta.is_file() {
        return Err(format!("{}: not a program", real.display()));
    }
    files::check_owner(paths, &real, &meta)?;
    // As it was named: some programs do what their name says.
    Ok(place.to_path_buf())
}

/// All that a program finds in its environment.
pub(crate) fn environment(home: &str) -> Vec<(&'static str, String)> {
    [
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        ("LANG", "C.UTF-8"),
        ("LC_ALL", "C.UTF-8"),
        ("TERM", "dumb"),
        ("PAGER", "cat"),
        ("SYSTEMD_PAGER", "cat"),
        ("SYSTEMD_PAGERSECURE", "1"),
        ("SYSTEMD_COLORS", "0"),
        ("SYSTEMD_URLIFY", "0"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("HOME", home),
    ]
    .into_iter()
    .map(|(k, v)| (k, v.to_owned()))
    .collect()
}
