//! Recovery: propose, have persons sign, hand the grant to the target, read what it did.
//!
//! Nothing here can make a grant by itself: a statement is worth nothing without signatures by keys that this
//! program does not hold, and the target checks them again.

mod approve;
mod deny;
mod describe;
mod execute;
mod propose;
mod signature;
mod signer;
mod wait;

pub use approve::{Preview, Steps, add_signature, look, preview, sign};
pub use deny::{Denial, Denied, deliver, denial, deny, read_denial, sign_denial};
pub use describe::{ApproversFact, KernelFact, LogsFact, TargetFacts, describe};
pub use execute::{Executed, execute};
pub(crate) use propose::fresh_id;
pub use propose::{Ask, Proposed, propose};
pub use signer::{Signer, SignerError};
pub use wait::{page, wait, waits, where_to_sign};

use crate::ssh::SshError;
use crate::store::{Proposal, StoreError};

/// Why a recovery step did not happen; messages name the cause and the next step.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The host did not answer.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was asked for cannot be done.
    #[error("{message}")]
    Refused {
        /// A stable word.
        code: &'static str,
        /// The cause and the next step.
        message: String,
    },
    /// A person must sign first.
    #[error("approval required: nothing was run. {next}")]
    ApprovalRequired {
        /// What the person does.
        next: String,
        /// The proposal that waits.
        proposal: Box<Proposal>,
        /// The page on which they do, when there is a dashboard.
        page: Option<String>,
    },
}

impl RecoveryError {
    pub(crate) fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self::Refused { code, message: message.into() }
    }

    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ssh(e) => e.code(),
            Self::Store(StoreError::NoProposal(_)) => "unknown_proposal",
            Self::Store(StoreError::WrongState { .. }) => "wrong_state",
            Self::Store(StoreError::TaskCancelled(_)) => "cancelled",
            Self::Store(_) => "store",
            Self::Refused { code, .. } => code,
            Self::ApprovalRequired { .. } => "approval_required",
        }
    }
}
