//! The policy that is in force on the server: the built-in plugins and those of a folder, read anew when the folder changes.
//!
//! A wrong file changes nothing: the policy that was in force stays, and the cause is told. Whoever swaps the policy records
//! it first; [`Plugins::look`] only finds out what there is to swap.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::SystemTime;

use policy::Catalogue;

use crate::config::ConfigError;

/// What a file looked like: name, bytes, change time, inode.
type Stamp = Vec<(PathBuf, u64, Option<SystemTime>, u64)>;

/// The policy in force, and the folder it is read from.
#[derive(Debug)]
pub struct Plugins {
    dir: Option<PathBuf>,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    catalogue: Arc<Catalogue>,
    /// What was read last, whether it was right or wrong.
    seen: Option<Stamp>,
    problem: Option<String>,
}

/// What a look at the folder found.
#[derive(Debug)]
pub enum Found {
    /// Nothing that changes a verdict.
    Same,
    /// Another policy, to be recorded and then put in force with [`Plugins::swap`].
    Other(Box<Candidate>),
    /// Files that are wrong, for the first time since they changed; the policy in force stays.
    Wrong(String),
}

/// A policy that is not in force yet.
#[derive(Debug)]
pub struct Candidate {
    /// The policy.
    pub catalogue: Catalogue,
    seen: Stamp,
}

impl Plugins {
    /// Reads the folder; a file that is wrong is an error.
    pub fn load(dir: Option<&Path>) -> Result<Self, ConfigError> {
        let seen = dir.and_then(|d| stamp(d).ok());
        let wrong = |cause: String| ConfigError { place: "catalogue".to_owned(), cause };
        let catalogue = read(dir).map_err(wrong)?;
        let state = State { catalogue: Arc::new(catalogue), seen, problem: None };
        Ok(Self { dir: dir.map(Path::to_path_buf), state: RwLock::new(state) })
    }

    /// The policy in force. One call sees one policy: keep the value while it is worked on.
    pub fn current(&self) -> Arc<Catalogue> {
        Arc::clone(&self.state().catalogue)
    }

    /// Why the folder's present files are not in force, if so.
    pub fn problem(&self) -> Option<String> {
        self.state().problem.clone()
    }

    /// The folder.
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// Reads the folder when it has changed since it was read last.
    pub fn look(&self) -> Found {
        let Some(dir) = &self.dir else { return Found::Same };
        let now = match stamp(dir) {
            Ok(now) => now,
            // A folder that is gone may have held forms that forbid: what it said stays in force.
            Err(e) => return self.wrong(None, format!("{}: {e}", dir.display())),
        };
        if self.state().seen.as_ref() == Some(&now) {
            return Found::Same;
        }
        match read(Some(dir)) {
            Err(cause) => self.wrong(Some(now), cause),
            Ok(catalogue) if catalogue.digest() == self.current().digest() => {
                let mut state = self.state_mut();
                state.seen = Some(now);
                state.problem = None;
                Found::Same
            }
            Ok(catalogue) => Found::Other(Box::new(Candidate { catalogue, seen: now })),
        }
    }

    /// Puts a policy in force.
    pub fn swap(&self, candidate: Candidate) {
        let mut state = self.state_mut();
        state.catalogue = Arc::new(candidate.catalogue);
        state.seen = Some(candidate.seen);
        state.problem = None;
    }

    fn wrong(&self, seen: Option<Stamp>, cause: String) -> Found {
        let mut state = self.state_mut();
        state.seen = seen;
        if state.problem.as_ref() == Some(&cause) {
            return Found::Same;
        }
        state.problem = Some(cause.clone());
        Found::Wrong(cause)
    }

    // A thread that panicked while it held the lock left a whole state: each change is one assignment after another of
    // values that are made before.
    fn state(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn state_mut(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The built-in plugins and those of a folder or of one file.
///
/// # Errors
/// The first file that cannot be read or is wrong, with its line.
pub fn read(place: Option<&Path>) -> Result<Catalogue, String> {
    let files = match place {
        Some(file) if file.is_file() => vec![text_of(file).map_err(|e| e.to_string())?],
        dir => toml_files(dir).map_err(|e| e.to_string())?,
    };
    Catalogue::with_plugins(files).map_err(|e| e.to_string())
}

fn stamp(dir: &Path) -> std::io::Result<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let mut stamp = Stamp::new();
    for path in toml_paths(dir)? {
        let meta = std::fs::metadata(&path)?;
        stamp.push((path, meta.len(), meta.modified().ok(), meta.ino()));
    }
    Ok(stamp)
}

fn toml_paths(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|x| x == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The `*.toml` files of a folder in the order of their names, with their text.
pub fn toml_files(dir: Option<&Path>) -> Result<Vec<(String, String)>, ConfigError> {
    let Some(dir) = dir else { return Ok(Vec::new()) };
    let paths = toml_paths(dir)
        .map_err(|e| ConfigError { place: dir.display().to_string(), cause: e.to_string() })?;
    paths.iter().map(|path| text_of(path)).collect()
}

fn text_of(path: &Path) -> Result<(String, String), ConfigError> {
    let place = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|e| ConfigError { place: place.clone(), cause: e.to_string() })?;
    Ok((place, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::Level;

    const FORM: &str = "name = \"local\"\ntitle = \"x\"\ncategory = \"local\"\n[[command]]\nname = \"frob\"\n[[command.form]]\n\
                        name = \"a\"\nlevel = \"auto\"\nexamples = [\"frob\"]\ncounter_examples = [\"frob x\"]\n";

    fn verdict(plugins: &Plugins) -> Level {
        plugins.current().judge("frob").verdict
    }

    #[test]
    fn a_change_is_found_once_and_is_in_force_when_swapped() {
        let dir = tempfile::tempdir().unwrap();
        let plugins = Plugins::load(Some(dir.path())).unwrap();
        assert!(matches!(plugins.look(), Found::Same));
        std::fs::write(dir.path().join("local.toml"), FORM).unwrap();
        let Found::Other(candidate) = plugins.look() else { panic!() };
        assert_eq!(verdict(&plugins), Level::Blocked, "not before it is swapped");
        plugins.swap(*candidate);
        assert_eq!(verdict(&plugins), Level::Auto);
        assert!(matches!(plugins.look(), Found::Same));
        std::fs::remove_file(dir.path().join("local.toml")).unwrap();
        let Found::Other(candidate) = plugins.look() else { panic!() };
        plugins.swap(*candidate);
        assert_eq!(verdict(&plugins), Level::Blocked);
    }

    #[test]
    fn a_wrong_file_changes_nothing_and_is_told_once_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("local.toml");
        std::fs::write(&file, FORM).unwrap();
        let plugins = Plugins::load(Some(dir.path())).unwrap();
        std::fs::write(&file, FORM.replace("level = \"auto\"", "level = \"always\"")).unwrap();
        let Found::Wrong(cause) = plugins.look() else { panic!() };
        assert!(cause.contains("local.toml:8:") && cause.contains("always"), "{cause}");
        assert!(matches!(plugins.look(), Found::Same), "told once");
        assert_eq!((verdict(&plugins), plugins.problem()), (Level::Auto, Some(cause)));
        // Mended to what is in force: nothing to swap, and no problem any more.
        std::fs::write(&file, FORM).unwrap();
        assert!(matches!(plugins.look(), Found::Same) && plugins.problem().is_none());
    }

    #[test]
    fn a_folder_that_is_gone_takes_no_form_away() {
        let dir = tempfile::tempdir().unwrap();
        let plugins_dir = dir.path().join("plugins.d");
        std::fs::create_dir(&plugins_dir).unwrap();
        std::fs::write(plugins_dir.join("local.toml"), FORM).unwrap();
        let plugins = Plugins::load(Some(&plugins_dir)).unwrap();
        std::fs::remove_dir_all(&plugins_dir).unwrap();
        assert!(matches!(plugins.look(), Found::Wrong(_)));
        assert!(matches!(plugins.look(), Found::Same));
        assert_eq!(verdict(&plugins), Level::Auto);
    }
}
