//! The one way to a host.

use futures::future::BoxFuture;

/// Runs one command line on one host as the reader; the policy is judged before and on the target.
pub trait Reader: Send + Sync {
    /// Runs `argv`, whose first word is a bare program name. `Err` when there is no outcome to look at.
    fn run<'a>(&'a self, argv: &'a [&'a str]) -> BoxFuture<'a, Result<Output, Failure>>;
}

/// What a command gave back, raw and untrusted.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Exit status; `None` when the target named none: unknown, never success.
    pub exit: Option<i32>,
    /// Whether output was left out.
    pub truncated: bool,
    /// From request to end, in milliseconds.
    pub ms: u64,
}

/// Why there is no answer. Each message names the cause and the next step; text of the host in it is clean.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The policy, here or on the target, does not permit the command.
    #[error("blocked by the policy: {reason}")]
    Blocked {
        /// What the policy says.
        reason: String,
    },
    /// No connection.
    #[error("{cause}")]
    Unreachable {
        /// Where and why, with the next step.
        cause: String,
    },
    /// The host's key is unknown or changed.
    #[error("{cause}")]
    HostKey {
        /// What is wrong and what to do.
        cause: String,
    },
    /// The account could not log in.
    #[error("{cause}")]
    Login {
        /// What is wrong and what to do.
        cause: String,
    },
    /// The command did not end in time and was given up.
    #[error("no end after {seconds} s, given up; narrow the question or raise limits.command_seconds")]
    TimedOut {
        /// The limit; 0 when the target's own limit ended it.
        seconds: u64,
    },
    /// An argument cannot be what it says it is.
    #[error("{what} {value:?}: {cause}")]
    BadOperand {
        /// What was expected, such as `service`.
        what: &'static str,
        /// What was given, clean and short.
        value: String,
        /// Why it is refused.
        cause: &'static str,
    },
    /// The program answered with an error.
    #[error("{program} failed with exit status {exit}: {stderr}")]
    Failed {
        /// The program.
        program: String,
        /// Its exit status.
        exit: i32,
        /// The first lines of its standard error.
        stderr: String,
    },
    /// The target named no exit status, so the outcome is unknown.
    #[error("{program}: the host named no exit status, so the outcome is unknown; ask again")]
    ExitUnknown {
        /// The program.
        program: String,
    },
    /// The program is not installed on the host.
    #[error("{program} is not installed on the host")]
    Missing {
        /// The program.
        program: String,
    },
    /// The output is not what the program documents.
    #[error("{program} gave output that cannot be read: {cause}; execute_ssh_command shows it as it is")]
    Unreadable {
        /// The program.
        program: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Anything else.
    #[error("{cause}")]
    Other {
        /// The cause and the next step.
        cause: String,
    },
}

impl Failure {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Blocked { .. } => "blocked",
            Self::Unreachable { .. } => "unreachable",
            Self::HostKey { .. } => "host_key",
            Self::Login { .. } => "login",
            Self::TimedOut { .. } => "timed_out",
            Self::BadOperand { .. } => "bad_arguments",
            Self::Failed { .. } => "command_failed",
            Self::ExitUnknown { .. } => "exit_unknown",
            Self::Missing { .. } => "program_missing",
            Self::Unreadable { .. } => "unreadable_output",
            Self::Other { .. } => "failed",
        }
    }

    /// Whether it is about the host as a whole, so that asking for more now is useless.
    pub(super) fn is_about_host(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::HostKey { .. } | Self::Login { .. })
    }
}
