//! The record of used grants: one file per nonce and per proposal, made exclusively, and the highest time ever seen.
//!
//! The folder and its `clock` file are made by the installation. When they are missing, everything is refused: without them
//! a used grant would look unused.

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use grant::{Code, Refusal, Statement};

use crate::{Paths, files};

/// The record, known to be there.
pub(super) struct Claims {
    dir: PathBuf,
}

fn missing(cause: impl Into<String>) -> Refusal {
    Refusal::new(Code::LedgerMissing, cause)
}

impl Claims {
    pub(super) fn open(paths: &Paths) -> Result<Self, Refusal> {
        let dir = paths.ledger();
        let shown = dir.display();
        let meta = std::fs::symlink_metadata(&dir).map_err(|e| {
            missing(format!("{shown}: {e}: the record of used grants is missing; root makes it anew with install-target.sh"))
        })?;
        if !meta.is_dir() {
            return Err(missing(format!("{shown}: not a folder")));
        }
        files::check_owner(paths, &dir, &meta).map_err(|e| Refusal::new(Code::Config, e))?;
        Ok(Self { dir })
    }

    /// The highest time that this target has ever seen, unix seconds.
    pub(super) fn high_water(&self) -> Result<i64, Refusal> {
        let path = self.dir.join("clock");
        let text = std::fs::read_to_string(&path).map_err(|e| missing(format!("{}: {e}", path.display())))?;
        text.trim().parse().map_err(|_| missing(format!("{}: not a time", path.display())))
    }

    /// Refuses what is from before the record was made anew: its nonce may have been used. The `epoch` file, unix seconds,
    /// is written by the installation when it makes a record on a host that has run grants before.
    pub(super) fn check_epoch(&self, statement: &Statement) -> Result<(), Refusal> {
        let path = self.dir.join("epoch");
        let shown = path.display();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(missing(format!("{shown}: {e}"))),
        };
        let epoch: i64 = text.trim().parse().map_err(|_| missing(format!("{shown}: not a time")))?;
        if statement.not_before >= epoch {
            return Ok(());
        }
        let from = statement.not_before;
        Err(missing(format!(
            "the record of used grants was made anew at {epoch}; whether this grant, valid from {from}, was used before \
             cannot be known: make a new one"
        )))
    }

    /// Claims the grant: whoever comes second finds it used. `seen` becomes the highest time.
    pub(super) fn claim(&self, statement: &Statement, seen: i64) -> Result<(), Refusal> {
        let text = format!("{} {}\n", statement.proposal, seen);
        let nonce = format!("nonce-{}", statement.nonce);
        self.create(&nonce, &text, Code::NonceSeen, "this grant was used before")?;
        let proposal = format!("proposal-{}", statement.proposal);
        self.create(&proposal, &text, Code::ProposalSeen, "a grant of this proposal was used before")?;
        self.raise(seen)
    }

    fn create(&self, name: &str, text: &str, code: Code, message: &str) -> Result<(), Refusal> {
        let path = self.dir.join(name);
        let fail = |e: std::io::Error| missing(format!("{}: {e}", path.display()));
        let mut file = match File::options().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::AlreadyExists => return Err(Refusal::new(code, message)),
            Err(e) => return Err(fail(e)),
        };
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fail)?;
        sync(&self.dir).map_err(fail)
    }

    /// Writes the highest time beside and puts it in place, so that there is always a whole one.
    pub(super) fn raise(&self, seen: i64) -> Result<(), Refusal> {
        let path = self.dir.join("clock");
        let beside = self.dir.join(format!("clock.{}", std::process::id()));
        let fail = |e: std::io::Error| missing(format!("{}: {e}", path.display()));
        // Another grant may have been faster with a later time.
        let highest = self.high_water()?.max(seen);
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)
            .map_err(fail)?;
        file.write_all(format!("{highest}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(fail)?;
        std::fs::rename(&beside, &path).map_err(fail)?;
        sync(&self.dir).map_err(fail)
    }
}

fn sync(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes an empty record; for installations of the demo and for tests.
///
/// # Errors
/// The file system's.
pub fn initialise(paths: &Paths) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    DirBuilder::new().recursive(true).mode(0o700).create(paths.ledger())?;
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(paths.ledger().join("clock"))?
        .write_all(b"0\n")?;
    File::options().append(true).create(true).mode(0o640).open(paths.pra_log())?;
    Ok(())
}
