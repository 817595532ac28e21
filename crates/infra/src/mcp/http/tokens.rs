//! The file of bearer tokens: one line for each, `TOKEN` or `NAME TOKEN`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;

/// A token has at least so many characters.
const TOKEN_CHARACTERS: usize = 32;

/// Who calls, by their token; a nameless token, and no token at all, is the person of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(in crate::mcp) struct Principal(pub(in crate::mcp) Option<String>);

struct Entry {
    digest: Vec<u8>,
    principal: Principal,
}

/// The tokens of a file, which is read again when it has changed: a token that was taken out is refused at once.
pub(super) struct Tokens {
    path: PathBuf,
    state: Mutex<State>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("path", &self.path).finish_non_exhaustive()
    }
}

struct State {
    stamp: Option<Stamp>,
    entries: Vec<Entry>,
}

/// What tells one content of a file from another.
#[derive(PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Tokens {
    /// Reads the file. The error names the cause and the next step.
    pub(super) fn open(path: PathBuf) -> Result<Self, String> {
        let (stamp, entries) = read(&path)?;
        Ok(Self { path, state: Mutex::new(State { stamp: Some(stamp), entries }) })
    }

    /// Whose token it is. All are compared, each in constant time.
    pub(super) fn principal(&self, token: &str) -> Option<Principal> {
        let given = digest(&SHA256, token.as_bytes());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh(&mut state);
        let mut found = None;
        for entry in &state.entries {
            if bool::from(entry.digest.ct_eq(given.as_ref())) {
                found = Some(entry.principal.clone());
            }
        }
        found
    }

    fn refresh(&self, state: &mut State) {
        let stamp = fs::metadata(&self.path).ok().map(|m| stamp(&m));
        if stamp.is_some() && stamp == state.stamp {
            return;
        }
        match read(&self.path) {
            Ok((stamp, entries)) => *state = State { stamp: Some(stamp), entries },
            Err(cause) => {
                tracing::error!("no token is valid until the file is mended: {cause}");
                *state = State { stamp: None, entries: Vec::new() };
            }
        }
    }
}

fn stamp(meta: &fs::Metadata) -> Stamp {
    Stamp { inode: meta.ino(), bytes: meta.len(), changed: (meta.ctime(), meta.ctime_nsec()) }
}

fn read(path: &Path) -> Result<(Stamp, Vec<Entry>), String> {
    let wrong = |cause: String| format!("token_file {}: {cause}", path.display());
    let how = "make one with `umask 077; openssl rand -hex 32 > FILE`";
    let meta = fs::metadata(path).map_err(|e| wrong(format!("{e}; {how}")))?;
    if meta.mode() & 0o077 != 0 {
        return Err(wrong(format!(
            "mode {:03o} lets others read it; chmod 600, and change the token if they may have",
            meta.mode() & 0o777
        )));
    }
    let text = fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    let mut entries = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, token) = match words.as_slice() {
            [] => continue,
            [first, ..] if first.starts_with('#') => continue,
            [token] => (None, token),
            [name, token] => (Some(*name), token),
            _ => return Err(wrong(format!("line {}: expected TOKEN or NAME TOKEN", number + 1))),
        };
        // The token itself never stands in a message.
        if token.len() < TOKEN_CHARACTERS || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(wrong(format!(
                "line {}: a token is at least {TOKEN_CHARACTERS} visible ASCII characters; {how}",
                number + 1
            )));
        }
        if name.is_some_and(|n| n.len() > 64 || !n.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(wrong(format!(
                "line {}: the name must be 1 to 64 visible ASCII characters",
                number + 1
            )));
        }
        let principal = Principal(name.map(str::to_owned));
        entries.push(Entry { digest: digest(&SHA256, token.as_bytes()).as_ref().to_vec(), principal });
    }
    if entries.is_empty() {
        return Err(wrong(format!("there is no token in it; {how}")));
    }
    Ok((stamp(&meta), entries))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ALICE: &str = "0123456789abcdef0123456789abcdef";
    const NAMELESS: &str = "fedcba9876543210fedcba9876543210";

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn a_token_is_its_holders() {
        let (_dir, path) = file(&format!("# ours\n\nalice {ALICE}\n{NAMELESS}\n"), 0o600);
        let tokens = Tokens::open(path).unwrap();
        assert_eq!(tokens.principal(ALICE), Some(Principal(Some("alice".into()))));
        assert_eq!(tokens.principal(NAMELESS), Some(Principal(None)));
        for other in ["", "alice", &ALICE[1..], &ALICE.to_uppercase(), &format!("{ALICE} ")] {
            assert_eq!(tokens.principal(other), None, "{other:?}");
        }
    }

    #[test]
    fn mcp_http_03_a_token_that_was_taken_out_is_refused_at_once() {
        let (_dir, path) = file(&format!("alice {ALICE}\nbob {NAMELESS}\n"), 0o600);
        let tokens = Tokens::open(path.clone()).unwrap();
        assert!(tokens.principal(ALICE).is_some());
        fs::write(&path, format!("bob {NAMELESS}\n")).unwrap();
        assert!(tokens.principal(ALICE).is_none() && tokens.principal(NAMELESS).is_some());
        // A file that others may read makes no token valid.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(tokens.principal(NAMELESS).is_none());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(tokens.principal(NAMELESS).is_some());
    }

    #[test]
    fn a_file_that_cannot_mean_what_it_says_is_refused_without_its_tokens() {
        for (text, mode, word) in [
            (ALICE.to_owned(), 0o640, "chmod 600"),
            (String::new(), 0o600, "no token"),
            ("short".to_owned(), 0o600, "line 1"),
            (format!("a b {ALICE}"), 0o600, "NAME TOKEN"),
            (format!("{ALICE}é"), 0o600, "visible ASCII"),
            (format!("{} {ALICE}", "n".repeat(65)), 0o600, "1 to 64"),
        ] {
            let (_dir, path) = file(&text, mode);
            let error = Tokens::open(path).unwrap_err();
            assert!(error.contains(word) && !error.contains(ALICE), "{text}: {error}");
        }
        assert!(Tokens::open("/nonexistent/tokens".into()).unwrap_err().contains("openssl rand"));
    }
}
