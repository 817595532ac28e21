//! SSH to the hosts: one connection per host and account, strict host keys, bounded in time and bytes. A reader's commands go
//! through one session per host where the target has it.
//!
//! Nothing above this module knows the SSH library. A command can only be sent with a [receipt](crate::store::Receipt), which
//! [`crate::store`] hands out for a written audit record: no record, no command.

mod exec;
mod hostkey;
mod identity;
mod pool;
mod scan;
mod session;

use std::time::Duration;

pub use exec::ExecOutput;
pub use hostkey::HostKeys;
pub use identity::{NewKey, beside, key_lines, load_private_key, make_private_key, public_line, read_public};
pub(crate) use identity::{sync_folder, write_private};
pub use policy::Account;
pub use pool::Pool;
pub use scan::{ShownKey, shown_key};

use crate::config::HostName;

/// Why a host did not answer; each message names the cause, the place and the next step.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SshError {
    /// No TCP connection, or the SSH protocol failed.
    #[error("{host}: cannot connect to {endpoint}: {cause}")]
    Unreachable {
        /// The host.
        host: HostName,
        /// Address and port.
        endpoint: String,
        /// What the network said.
        cause: String,
    },
    /// The host's key is unknown, changed or revoked.
    #[error("{host}: {cause}")]
    HostKey {
        /// The host.
        host: HostName,
        /// What is wrong with the key, and what to do.
        cause: String,
    },
    /// The account's key is missing, unreadable or refused.
    #[error("{host}: {cause}")]
    Login {
        /// The host.
        host: HostName,
        /// What is wrong, and what to do.
        cause: String,
    },
    /// The command did not end in time; the target ends it too.
    #[error("{host}: no end after {} s: the command was given up; narrow it or raise limits.command_seconds", .limit.as_secs())]
    TimedOut {
        /// The host.
        host: HostName,
        /// The limit that ran out.
        limit: Duration,
    },
    /// The connection was lost while the command ran: its outcome is unknown.
    #[error("{host}: the connection was lost while the command ran: {cause}; its outcome is unknown")]
    Lost {
        /// The host.
        host: HostName,
        /// What happened.
        cause: String,
    },
}

impl SshError {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::HostKey { .. } => "host_key",
            Self::Login { .. } => "login",
            Self::TimedOut { .. } => "timed_out",
            Self::Lost { .. } => "connection_lost",
        }
    }
}
