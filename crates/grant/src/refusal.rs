//! Why a grant is refused: a stable code for programs, a sentence for people.

use std::fmt;
use std::str::FromStr;

macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident = $text:literal,)+) => {
        /// A stable reason. The text of a code never changes its meaning; new codes may be added.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])+ $name,)+
        }

        impl Code {
            /// Every code, in the order in which the target checks.
            pub const ALL: &[Code] = &[$(Code::$name,)+];

            /// The code as it stands in a result: `snake_case`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)+ }
            }
        }
    };
}

codes! {
    /// More bytes than the limit; nothing was parsed.
    TooLarge = "too_large",
    /// Not the shape that is asked for: envelope, armor, JSON or a field.
    Malformed = "malformed",
    /// Something follows what was read whole.
    TrailingData = "trailing_data",
    /// A key, signature or hash type that is not accepted.
    Algorithm = "algorithm",
    /// Signed for another purpose, or by a key that may not sign grants.
    Namespace = "namespace",
    /// A security key's application is not the one the target wants.
    Application = "application",
    /// A passkey was used on a site that the target does not list.
    Origin = "origin",
    /// The key is not in the target's list of approvers.
    UnknownSigner = "unknown_signer",
    /// The approver's key is not valid at this time.
    ExpiredKey = "expired_key",
    /// A passkey's client data are not those of an approval.
    ClientData = "client_data",
    /// A passkey was used to sign other bytes.
    Challenge = "challenge",
    /// A passkey's flags contradict each other or what follows them.
    AuthenticatorData = "authenticator_data",
    /// The signature does not fit the bytes.
    Signature = "signature",
    /// Nobody touched the security key.
    UserPresence = "user_presence",
    /// The security key did not verify its user, and this action asks for it.
    UserVerification = "user_verification",
    /// The person who proposed has also signed.
    SelfApproval = "self_approval",
    /// Fewer distinct persons than the target asks for.
    TooFewApprovers = "too_few_approvers",
    /// Made for another tenant.
    TenantMismatch = "tenant_mismatch",
    /// Made for another host.
    HostMismatch = "host_mismatch",
    /// The span of time is longer than allowed, empty or impossible.
    Lifetime = "lifetime",
    /// The target's clock went back.
    ClockSkew = "clock_skew",
    /// The span of time has not begun.
    NotYetValid = "not_yet_valid",
    /// The span of time is over.
    Expired = "expired",
    /// The target has no such action.
    UnknownAction = "unknown_action",
    /// The request names another action than the grant does.
    ActionMismatch = "action_mismatch",
    /// A parameter is missing, unknown or not of its type.
    BadParams = "bad_params",
    /// The action's definition is not the one that was signed.
    PlanChanged = "plan_changed",
    /// The target's policy is not the one that was signed.
    PolicyChanged = "policy_changed",
    /// The policy never runs this.
    Blocked = "blocked",
    /// A freeze is on.
    Frozen = "frozen",
    /// No maintenance window is open.
    OutsideWindow = "outside_window",
    /// The target does not let this be done with fewer persons than usual, or not by this one.
    BreakGlass = "break_glass",
    /// What was done last time with fewer persons than usual was not reviewed yet.
    ReviewPending = "review_pending",
    /// There is nothing of this name to review, or not by this person.
    NoReview = "no_review",
    /// This grant was used before.
    NonceSeen = "nonce_seen",
    /// A grant of this proposal was used before.
    ProposalSeen = "proposal_seen",
    /// Somebody has denied this proposal.
    Denied = "denied",
    /// A security key's count of signatures did not rise.
    Counter = "counter",
    /// The record of used grants is missing: nothing runs until root makes it anew.
    LedgerMissing = "ledger_missing",
    /// The audit record could not be written: nothing runs.
    AuditUnavailable = "audit_unavailable",
    /// The target's own configuration is wrong.
    Config = "config",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or(UnknownCode)
    }
}

/// The text is no code of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCode;

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a refusal code of this version")
    }
}

impl std::error::Error for UnknownCode {}

/// A refused grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// For people: what is wrong, with the values that show it. May quote the grant; escape it before a terminal.
    pub message: String,
}

impl Refusal {
    /// A refusal with its reason.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new(Code::Malformed, message)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_read_back() {
        for (index, code) in Code::ALL.iter().enumerate() {
            assert_eq!(code.as_str().parse(), Ok(*code));
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
            assert!(!Code::ALL[..index].iter().any(|other| other.as_str() == code.as_str()), "{code}");
        }
        assert_eq!("Signature".parse::<Code>(), Err(UnknownCode));
    }
}
