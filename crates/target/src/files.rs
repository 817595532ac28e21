//! Reading files that decide something: only what root alone could have written.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::Paths;

/// The most bytes of a configuration file.
const MAX_BYTES: u64 = 1 << 20;

/// Reads a text file that nobody but its trusted owner can have changed. `None` when it is not there.
pub(crate) fn read_trusted(paths: &Paths, path: &Path) -> Result<Option<String>, String> {
    let shown = path.display();
    let folder = path.parent().ok_or_else(|| format!("{shown}: no folder"))?;
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).map_err(|e| e.to_string())?;
    let file = match File::options().read(true).custom_flags(no_follow).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(format!("{shown}: {e}")),
    };
    check_owner(
        paths,
        folder,
        &std::fs::metadata(folder).map_err(|e| format!("{}: {e}", folder.display()))?,
    )?;
    let meta = file.metadata().map_err(|e| format!("{shown}: {e}"))?;
    if !meta.is_file() {
        return Err(format!("{shown}: not a regular file"));
    }
    check_owner(paths, path, &meta)?;
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|e| format!("{shown}: {e}"))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("{shown}: more than {MAX_BYTES} bytes"));
    }
    Ok(Some(text))
}

/// Refuses what somebody else owns or may write.
pub(crate) fn check_owner(paths: &Paths, path: &Path, meta: &std::fs::Metadata) -> Result<(), String> {
    let shown = path.display();
    if !paths.owners.contains(&meta.uid()) {
        return Err(format!("{shown}: owned by uid {}, not by root: chown root {shown}", meta.uid()));
    }
    if meta.mode() & 0o022 != 0 {
        return Err(format!(
            "{shown}: mode {:03o} lets others write it: chmod go-w {shown}",
            meta.mode() & 0o7777
        ));
    }
    Ok(())
}

/// The `*.toml` files of a folder in the order of their names, name and text. A folder that is not there has none.
pub(crate) fn read_folder(paths: &Paths, dir: &Path) -> Result<Vec<(String, String)>, String> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(format!("{}: {e}", dir.display())),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| format!("{}: {e}", dir.display()))?.path();
        if path.extension().is_some_and(|x| x == "toml") {
            found.push(path);
        }
    }
    found.sort();
    let mut files = Vec::new();
    for path in found {
        let text = read_trusted(paths, &path)?.ok_or_else(|| format!("{}: it went away", path.display()))?;
        files.push((path.display().to_string(), text));
    }
    Ok(files)
}
