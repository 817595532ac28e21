//! Statements, signatures and thresholds: what makes an approval, and why one is refused.
//!
//! A *statement* is the exact bytes that a person signs with an SSH key: one JSON object that names the host, the
//! action, its parameters and a short span of time. A *grant* is a statement with one or more signatures.
//! [`verify`] is what the target asks; it does no input or output and takes the clock as a parameter.
//!
//! What needs the target's disk is not here: whether the nonce was used, the highest time seen, the audit record.
//!
//! ```no_run
//! use grant::{Approvers, Envelope, Rules, Threshold};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (statement, armor, approvers_file, machine_id, now, high_water) =
//! #     (&b""[..], "", "", String::new(), 0, 0);
//! let approvers = Approvers::parse(approvers_file)?;
//! let rules = Rules::new("default", "web01", machine_id);
//! let envelope = Envelope::new(statement, &[armor])?;
//! let verified = grant::verify(
//!     &envelope,
//!     &approvers,
//!     &rules,
//!     |statement| {
//!         let min = if statement.action == "reboot_system" { 2 } else { 1 };
//!         Ok(Threshold { min, verify_required: false, outside_browser: 0 })
//!     },
//!     now,
//!     high_water,
//! )?;
//! println!("{} may run", verified.statement.action);
//! # Ok(())
//! # }
//! ```

pub mod approvers;
mod base64;
pub mod calendar;
pub mod key;
mod point;
mod refusal;
pub mod sshsig;
mod statement;
mod text;
mod verify;
pub mod webauthn;
mod wire;

pub use approvers::{ApproverError, Approvers};
pub use calendar::{Freeze, Scope, Window, check_calendar};
pub use key::PublicKey;
pub use refusal::{Code, Refusal};
pub use sshsig::SshSig;
pub use statement::{Kind, MIN_REASON, Statement, VERSION};
pub use verify::{
    Approval, Envelope, Fido, Rules, Threshold, Verified, check_counter, check_target, check_threshold,
    check_time, verify, verify_signatures,
};
pub use webauthn::Passkeys;

/// The SSHSIG namespace of a grant: what `ssh-keygen -Y sign -n` must be given.
pub const NAMESPACE: &str = "pra-grant@mcp-linux-infra";

/// What a FIDO2 key must have been made for: OpenSSH's default.
pub const APPLICATION: &str = "ssh:";

/// The most bytes a statement may have.
pub const MAX_STATEMENT: usize = 16 * 1024;

/// The most signatures that one grant may carry.
pub const MAX_SIGNATURES: usize = 8;
