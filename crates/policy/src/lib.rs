//! Words, forms and verdicts: the pure judge that server and target share.
//!
//! A line is cut into words ([`lex`]), its command is looked up in the [`Catalogue`], and its arguments must have one of
//! the forms that a plugin lists for it. What no form lists is blocked. No I/O, no clock.

pub mod action;
pub mod address;
mod catalogue;
#[cfg(test)]
mod compact;
mod form;
pub mod lex;
pub mod plugin;
mod program;
pub mod types;
mod unicode;
mod values;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use catalogue::{Catalogue, Nearest};
pub use form::Form;
pub use plugin::{Command, Plugin, PluginError};

/// What the policy says of a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Runs at once, as the reader.
    Auto,
    /// Runs with a person's grant, as root.
    Manual,
    /// Never runs.
    Blocked,
}

/// How bad it could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Looks at public state.
    Low,
    /// Interrupts one service, or shows what may be private.
    Medium,
    /// Loses work, or is hard to undo.
    High,
    /// Takes the machine down, or gives it away.
    Critical,
}

/// The account that runs a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Account {
    /// `mcp-reader`
    Reader,
    /// `pra-runner`
    Runner,
}

/// What a program needs of the system; the sandbox follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Reads files that are named on its command line.
    File,
    /// Reads `/proc` and `/sys`.
    Proc,
    /// As `proc`, and asks the kernel over netlink.
    Netlink,
    /// Sends packets.
    Net,
    /// Asks services over D-Bus.
    Dbus,
    /// Reads the journal.
    Journal,
    /// Asks a container engine.
    Container,
    /// Asks a Kubernetes API server.
    Kube,
}

/// What a program may do with the paths on its command line; the sandbox grants no more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// List folders and look at metadata; read no file.
    Names,
    /// Read the named files, list the named folders.
    #[default]
    Contents,
    /// Read everything beneath the named folders.
    Tree,
}

macro_rules! words {
    ($ty:ty { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $ty {
            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
        impl fmt::Display for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words!(Level { Auto => "auto", Manual => "manual", Blocked => "blocked" });
words!(Risk { Low => "low", Medium => "medium", High => "high", Critical => "critical" });
words!(Account { Reader => "reader", Runner => "runner" });
words!(Access { Names => "names", Contents => "contents", Tree => "tree" });
words!(Profile {
    File => "file", Proc => "proc", Netlink => "netlink", Net => "net", Dbus => "dbus", Journal => "journal",
    Container => "container", Kube => "kube",
});

/// Bounds on what one run may give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Lines of stdout.
    pub lines: u64,
    /// Bytes of stdout.
    pub bytes: u64,
    /// Seconds of wall-clock time.
    pub seconds: u64,
}

/// A word that is a path, and the roots beneath which it lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PathOperand {
    /// Index in argv.
    pub index: usize,
    /// A root that ends with `/` is a folder; a component may be `{pid}` or end with `*`.
    pub roots: Vec<String>,
}

/// The verdict on one line, as `policy check --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// The line.
    pub line: String,
    /// The verdict.
    pub verdict: Level,
    /// The risk.
    pub risk: Risk,
    /// The plugin's category, or `unknown`.
    pub category: String,
    /// The plugin that lists the command.
    pub plugin: Option<String>,
    /// The form that the line has.
    pub form: Option<String>,
    /// The words as they will run, forced options included; empty when blocked.
    pub argv: Vec<String>,
    /// The account that would run it.
    pub account: Account,
    /// Why.
    pub reason: String,
    /// What the target needs to run it; `None` when blocked.
    #[serde(skip)]
    pub permit: Option<Permit>,
}

/// A line that may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// Absolute places of the program; the first that exists is run.
    pub program: Vec<String>,
    /// The words, the command's bare name first.
    pub argv: Vec<String>,
    /// What it needs.
    pub profile: Profile,
    /// What it may give.
    pub limits: Limits,
    /// Who runs it.
    pub account: Account,
    /// On whose word.
    pub level: Level,
    /// Which words are paths.
    pub paths: Vec<PathOperand>,
    /// What the program may do with them.
    pub access: Access,
    /// What else it reads of the system, as absolute paths; one that ends with `/` is a folder.
    pub reads: Vec<String>,
    /// Absolute paths of programs that it starts.
    pub helpers: Vec<String>,
    /// The target's own reader that does the same; a target that does not know it runs the program.
    pub native: Option<String>,
}

/// Hex SHA-256.
pub(crate) fn sha256_hex(parts: &[&[u8]]) -> String {
    use std::fmt::Write;
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().iter().fold(String::with_capacity(64), |mut hex, b| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{b:02x}");
        hex
    })
}
