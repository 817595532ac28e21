//! Comparing this server's audit chain with the one of a host: what each says of the same runs, denials and heads.
//!
//! Pure: lines in, report out. Both chains are verified while they are read. The host's is untrusted text: whoever is root there
//! can write it anew; what they cannot do is to make it agree with the heads that this server has recorded.

mod chain;
mod compare;
mod ours;
mod theirs;
mod words;

use serde::Serialize;

use chain::Ends;
use ours::Server;
use theirs::Target;

/// Whose chains are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The tenant that the host belongs to.
    pub tenant: &'a str,
    /// The host's name in the inventory.
    pub host: &'a str,
}

/// What both chains say together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing was found.
    pub ok: bool,
    /// The host.
    pub host: String,
    /// What was compared, and what could not be.
    pub counts: Counts,
    /// The part of the server's chain that could be read.
    pub server: Extent,
    /// The part of the target's chain that was given and could be read.
    pub target: Extent,
    /// What does not agree: the broken chains first, then by the server's record, then by the target's.
    pub findings: Vec<Finding>,
}

/// How far a chain could be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Extent {
    /// Number of the last record before the first that was read; 0 for a chain from its beginning.
    pub after: u64,
    /// Number of the last record that was read; as `after` when there was none.
    pub last: u64,
    /// Hash of that record.
    pub head: String,
}

/// How many of each there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Runs of which both sides say the same.
    pub runs: u64,
    /// Denials that both sides hold.
    pub denials: u64,
    /// Grants that the server handed over and, as both sides say, the target did not run.
    pub refused: u64,
    /// Refusals in the target's record, whoever handed over.
    pub refusals: u64,
    /// Grants that got no answer and of which the target has no record: they have not arrived, as far as the records go.
    pub unanswered: u64,
    /// What the server knows from before the first record that was given.
    pub before: u64,
    /// What the server has recorded after the target's record may have been copied.
    pub later: u64,
    /// What could not be compared because a chain is broken.
    pub unread: u64,
}

/// One thing that does not agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What, in one word.
    pub kind: Kind,
    /// The proposal that it is about.
    pub proposal: Option<String>,
    /// The record of the server's chain.
    pub server_record: Option<u64>,
    /// The record of the target's chain.
    pub target_record: Option<u64>,
    /// Cause and next step, in one sentence.
    pub message: String,
}

/// What does not agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The server's chain was changed.
    ServerChainBroken,
    /// The target's chain was changed.
    TargetChainBroken,
    /// The target's chain does not hold a head that the server got from it.
    CutOff,
    /// The target has no record of a run that it has answered for.
    NotOnTarget,
    /// The target ran other bytes than the server had signed.
    StatementDiffers,
    /// The target says of a run's end something else than the server.
    OutcomeDiffers,
    /// The server does not know how a run ended.
    OutcomeUnknown,
    /// The target ran what this server did not hand over.
    UnknownToServer,
    /// A denial is gone, or something ran in spite of it.
    DenialLost,
    /// A record names another host than the rest.
    OtherHost,
}

impl Kind {
    /// The word that stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServerChainBroken => "server_chain_broken",
            Self::TargetChainBroken => "target_chain_broken",
            Self::CutOff => "cut_off",
            Self::NotOnTarget => "not_on_target",
            Self::StatementDiffers => "statement_differs",
            Self::OutcomeDiffers => "outcome_differs",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::UnknownToServer => "unknown_to_server",
            Self::DenialLost => "denial_lost",
            Self::OtherHost => "other_host",
        }
    }
}

/// The record is of another host altogether.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is the record of {host} (tenant {tenant}), as it says itself: give that of the host that is asked about"
)]
pub struct AnotherHost {
    /// Its tenant, cleaned.
    pub tenant: String,
    /// Its name, cleaned.
    pub host: String,
}

/// Compares the server's chain from its first record with what is left of a host's, both one record a line and oldest first.
///
/// `settled` is the number of the server's last record when the target's was copied, or earlier: what the server recorded after
/// that need not be in the copy.
///
/// # Errors
/// Each run in the target's record names another host.
pub fn reconcile<S: AsRef<[u8]>, T: AsRef<[u8]>>(
    of: Subject<'_>,
    server: impl IntoIterator<Item = S>,
    settled: u64,
    target: impl IntoIterator<Item = T>,
) -> Result<Report, AnotherHost> {
    let target = Target::read(of, target)?;
    let server = Server::read(of, server);
    let (counts, mut findings) = compare::compare(&server, &target, settled);
    let chain = |f: &Finding| !matches!(f.kind, Kind::ServerChainBroken | Kind::TargetChainBroken);
    let place = |record: Option<u64>| record.unwrap_or(u64::MAX);
    findings.sort_by_key(|f| (chain(f), place(f.server_record), place(f.target_record), f.kind));
    Ok(Report {
        ok: findings.is_empty(),
        host: of.host.to_owned(),
        counts,
        server: extent(&server.ends),
        target: extent(&target.ends),
        findings,
    })
}

fn extent(ends: &Ends) -> Extent {
    Extent { after: ends.start.seq, last: ends.head.seq, head: ends.head.hash.clone() }
}

#[cfg(test)]
mod tests;
