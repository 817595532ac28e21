//! The record of used grants: one file per nonce and per proposal, made exclusively, the highest time ever seen, and the highest
//! count of signatures of each security key. Whoever changes several of them holds the folder's lock.
//!
//! The folder and its `clock` file are made by the installation. When they are missing, everything is refused: without them
//! a used grant would look unused.

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use grant::{Approval, Code, Refusal, Statement};
use rustix::fs::{FlockOperation, flock};

use crate::{Paths, files};

/// The record, known to be there.
pub(super) struct Claims {
    dir: PathBuf,
}

/// What becomes of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Becomes {
    /// It runs, once.
    Used,
    /// It never runs.
    Denied,
    /// Nothing: it has run.
    Reviewed,
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
    ///
    /// The nonce comes first, so that a used grant is called used whatever the counters say; the proposal comes after the
    /// counters, so that it can be approved anew when these refuse.
    pub(super) fn claim(
        &self,
        statement: &Statement,
        approvals: &[Approval],
        seen: i64,
        becomes: Becomes,
    ) -> Result<(), Refusal> {
        let _lock = self.lock()?;
        let text = format!("{} {}\n", statement.proposal, seen);
        let nonce = format!("nonce-{}", statement.nonce);
        self.create(&nonce, &text, Code::NonceSeen, "this grant was used before")?;
        self.count(approvals)?;
        let proposal = format!("proposal-{}", statement.proposal);
        match becomes {
            Becomes::Used => self.create_proposal(&proposal, &text, &denied(statement))?,
            Becomes::Denied => {
                let denied = denied(statement);
                self.create_proposal(&proposal, &format!("{denied}{seen}\n"), &denied)?;
            }
            Becomes::Reviewed => {}
        }
        self.raise_locked(seen)
    }

    fn create_proposal(&self, name: &str, text: &str, denied: &str) -> Result<(), Refusal> {
        let path = self.dir.join(name);
        self.create(name, text, Code::ProposalSeen, "a grant of this proposal was used before").map_err(
            |refusal| match std::fs::read_to_string(path) {
                Ok(there) if refusal.code == Code::ProposalSeen && there.starts_with(denied) => {
                    Refusal::new(Code::Denied, "an approver has denied this proposal")
                }
                _ => refusal,
            },
        )
    }

    /// Held until it is dropped.
    fn lock(&self) -> Result<File, Refusal> {
        let fail = |e: std::io::Error| missing(format!("{}: {e}", self.dir.display()));
        let dir = File::open(&self.dir).map_err(fail)?;
        flock(&dir, FlockOperation::LockExclusive).map_err(|e| fail(e.into()))?;
        Ok(dir)
    }

    /// Checks what each security key counts against the highest count before this grant, and keeps the new ones.
    fn count(&self, approvals: &[Approval]) -> Result<(), Refusal> {
        let mut highest: Vec<(String, u32)> = Vec::new();
        for approval in approvals {
            let Some(counter) = approval.counter else { continue };
            let name = counter_file(&approval.key_fingerprint);
            grant::check_counter(approval, self.counter(&name)?)?;
            match highest.iter_mut().find(|(there, _)| *there == name) {
                Some((_, most)) => *most = counter.max(*most),
                None => highest.push((name, counter)),
            }
        }
        highest
            .iter()
            .filter(|(_, counter)| *counter > 0)
            .try_for_each(|(name, counter)| self.replace(name, &format!("{counter}\n")))
    }

    /// The highest count that was seen of a key; 0 at first.
    fn counter(&self, name: &str) -> Result<u32, Refusal> {
        let path = self.dir.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(|_| missing(format!("{}: not a count", path.display()))),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(0),
            Err(e) => Err(missing(format!("{}: {e}", path.display()))),
        }
    }

    /// What is to be reviewed of this action; none when all is.
    pub(super) fn pending(&self, action: &str) -> Result<Option<String>, Refusal> {
        let path = self.dir.join(review_file(action));
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(missing(format!("{}: {e}", path.display()))),
        }
    }

    /// Notes that something is to be reviewed; refuses when something is already.
    pub(super) fn demand_review(&self, action: &str, text: &str) -> Result<(), Refusal> {
        let message = "what was done last time is to be reviewed first";
        self.create(&review_file(action), text, Code::ReviewPending, message)
    }

    /// Nothing of this action is to be reviewed any more.
    pub(super) fn reviewed(&self, action: &str) -> Result<(), Refusal> {
        let path = self.dir.join(review_file(action));
        std::fs::remove_file(&path)
            .and_then(|()| sync(&self.dir))
            .map_err(|e| missing(format!("{}: {e}", path.display())))
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

    /// Keeps this time when it is the highest.
    pub(super) fn raise(&self, seen: i64) -> Result<(), Refusal> {
        let _lock = self.lock()?;
        self.raise_locked(seen)
    }

    fn raise_locked(&self, seen: i64) -> Result<(), Refusal> {
        // Another grant may have been faster with a later time.
        let highest = self.high_water()?.max(seen);
        self.replace("clock", &format!("{highest}\n"))
    }

    /// Writes a file beside and puts it in place, so that there is always a whole one.
    fn replace(&self, name: &str, text: &str) -> Result<(), Refusal> {
        let path = self.dir.join(name);
        let beside = self.dir.join(format!("{name}.new"));
        let fail = |e: std::io::Error| missing(format!("{}: {e}", path.display()));
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)
            .map_err(fail)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fail)?;
        std::fs::rename(&beside, &path).map_err(fail)?;
        sync(&self.dir).map_err(fail)
    }
}

/// How the file of a denied proposal begins; that of one that ran begins with its name.
fn denied(statement: &Statement) -> String {
    format!("denied {} ", statement.proposal)
}

/// A fingerprint is `SHA256:` and base64, whose `/` and `+` do not belong into a file's name.
fn counter_file(fingerprint: &str) -> String {
    format!("counter-{}", fingerprint.replace(':', "-").replace('/', "_").replace('+', "-"))
}

fn review_file(action: &str) -> String {
    format!("review-{action}")
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
