//! Arguments that become operands of programs on the host: types whose constructor checks that they cannot be
//! anything else, above all not an option.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hygiene;
use super::reader::Failure;

/// Longest unit name that systemd accepts.
const UNIT_BYTES: usize = 255;

const UNIT_SUFFIXES: [&str; 11] = [
    "service",
    "socket",
    "timer",
    "mount",
    "automount",
    "path",
    "target",
    "slice",
    "scope",
    "swap",
    "device",
];

/// Name of a systemd unit, with its suffix: `unbound` is read as `unbound.service`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit(String);

impl Unit {
    /// The full name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as people say it: without `.service`.
    pub fn short(&self) -> &str {
        self.0.strip_suffix(".service").unwrap_or(&self.0)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Unit {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let refuse = |cause| Err(bad("service", text, cause));
        if text.is_empty() {
            return refuse("the name is empty");
        }
        if text.starts_with('-') {
            return refuse("a name does not begin with `-`");
        }
        let named = |b: u8| b.is_ascii_alphanumeric() || b":_.@\\-".contains(&b);
        if !text.bytes().all(named) {
            return refuse("a unit name holds only letters, digits and : _ . @ \\ -");
        }
        let suffixed =
            text.rsplit_once('.').is_some_and(|(stem, end)| !stem.is_empty() && UNIT_SUFFIXES.contains(&end));
        let full = if suffixed { text.to_owned() } else { format!("{text}.service") };
        if full.starts_with('.') || full.starts_with('@') {
            return refuse("the name is missing in front of the suffix");
        }
        if full.len() > UNIT_BYTES {
            return refuse("a unit name has at most 255 bytes");
        }
        Ok(Self(full))
    }
}

/// A point in time in the past that `journalctl --since` understands; relative spans are written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since(String);

impl Since {
    /// As journalctl takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As podman and docker take it: a span in Go's units, or a date.
    pub(super) fn for_containers(&self) -> Result<String, Failure> {
        let span = || {
            let (number, unit) = self.0.strip_suffix(" ago")?.split_once(' ')?;
            let number: u64 = number.parse().ok()?;
            Some(match unit {
                "seconds" => format!("{number}s"),
                "minutes" => format!("{number}m"),
                "hours" => format!("{number}h"),
                "days" => format!("{}h", number * 24),
                _ => format!("{}h", number * 168),
            })
        };
        match span() {
            Some(span) => Ok(span),
            None if word(&self.0).is_some() => Err(bad(
                "since",
                &self.0,
                "for a container say for example `15min`, `2h` or `2026-11-24 04:30`",
            )),
            None if self.0.len() == 16 => Ok(format!("{}:00", self.0.replacen(' ', "T", 1))),
            None => Ok(self.0.replacen(' ', "T", 1)),
        }
    }
}

impl FromStr for Since {
    type Err = Failure;

    /// Takes `15min`, `2h`, `-1d`, `3 hours ago`, `today`, `yesterday`, `2026-11-24`, `2026-11-24 04:30[:00]`.
    fn from_str(text: &str) -> Result<Self, Failure> {
        let plain = text.trim();
        let read = word(plain).or_else(|| span(plain)).or_else(|| date(plain));
        read.map(Self)
            .ok_or_else(|| bad("since", text, "say for example `15min`, `2h`, `today` or `2026-11-24 04:30`"))
    }
}

fn word(text: &str) -> Option<String> {
    matches!(text, "today" | "yesterday").then(|| text.to_owned())
}

fn span(text: &str) -> Option<String> {
    let text = text.strip_suffix(" ago").unwrap_or(text);
    let text = text.strip_prefix('-').unwrap_or(text).trim();
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() || digits.len() > 6 {
        return None;
    }
    let unit = match unit.trim() {
        "s" | "sec" | "secs" | "second" | "seconds" => "seconds",
        "m" | "min" | "mins" | "minute" | "minutes" => "minutes",
        "h" | "hr" | "hrs" | "hour" | "hours" => "hours",
        "d" | "day" | "days" => "days",
        "w" | "week" | "weeks" => "weeks",
        _ => return None,
    };
    Some(format!("{} {unit} ago", digits.parse::<u32>().ok()?))
}

fn date(text: &str) -> Option<String> {
    const FULL: &[u8] = b"dddd-dd-dd dd:dd:dd";
    let text = text.replacen('T', " ", 1);
    let shaped = matches!(text.len(), 10 | 16 | 19)
        && text
            .bytes()
            .zip(FULL)
            .all(|(b, want)| if *want == b'd' { b.is_ascii_digit() } else { b == *want });
    shaped.then_some(text)
}

/// Absolute path of a file. Which files may be read is the policy's to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath(String);

impl FilePath {
    /// As the program takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FilePath {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        if !text.starts_with('/') {
            return Err(bad("path", text, "a path begins with `/`"));
        }
        if text.len() > 1024 || text.chars().any(char::is_control) {
            return Err(bad("path", text, "a path has at most 1024 bytes and no control characters"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Name or id of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerName(String);

impl ContainerName {
    /// As the program takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerName {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let named = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        let begins = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if !begins || text.len() > 128 || !text.bytes().all(named) {
            return Err(bad(
                "container",
                text,
                "a name holds at most 128 letters, digits and _ . - and begins with one of the first two",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Importance of a log line, as syslog names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = crate::hosts::words_alone)]
pub enum Priority {
    /// 0
    Emerg,
    /// 1
    Alert,
    /// 2
    Crit,
    /// 3
    Err,
    /// 4
    Warning,
    /// 5
    Notice,
    /// 6
    Info,
    /// 7
    Debug,
}

impl Priority {
    const ALL: [Self; 8] = [
        Self::Emerg,
        Self::Alert,
        Self::Crit,
        Self::Err,
        Self::Warning,
        Self::Notice,
        Self::Info,
        Self::Debug,
    ];

    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Emerg => "emerg",
            Self::Alert => "alert",
            Self::Crit => "crit",
            Self::Err => "err",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// By the number in a log record.
    pub(super) fn of_number(text: &str) -> Option<Self> {
        Self::ALL.get(text.parse::<usize>().ok()?).copied()
    }
}

fn bad(what: &'static str, value: &str, cause: &'static str) -> Failure {
    Failure::BadOperand { what, value: hygiene::one_line(&hygiene::clean(value.as_bytes()).text, 80), cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_gets_its_suffix() {
        for (given, full) in [
            ("unbound", "unbound.service"),
            ("unbound.service", "unbound.service"),
            ("getty@tty1", "getty@tty1.service"),
            ("logrotate.timer", "logrotate.timer"),
            ("php8.2-fpm", "php8.2-fpm.service"),
            ("dev-disk-by\\x2duuid.swap", "dev-disk-by\\x2duuid.swap"),
        ] {
            assert_eq!(given.parse::<Unit>().unwrap().as_str(), full);
        }
    }

    #[test]
    fn what_could_be_an_option_or_a_pattern_is_refused() {
        let long = "x".repeat(300);
        for given in [
            "",
            "-",
            "--host=root@attacker",
            "-Hroot@evil",
            "a b",
            "a\tb",
            "a\nb",
            "*",
            "ssh*",
            "a/b",
            "../x",
            ".service",
            "@.service",
            "a;b",
            "$(id)",
            "a\u{202e}b",
            "ünbound",
            "\u{0}",
            &long,
        ] {
            let refused = given.parse::<Unit>().unwrap_err();
            assert_eq!(refused.code(), "bad_arguments", "{given:?}");
            assert!(!refused.to_string().contains(['\n', '\u{202e}']), "{refused}");
        }
    }

    #[test]
    fn containers_have_their_own_times() {
        for (given, read) in [
            ("15min", "15m"),
            ("3 d", "72h"),
            ("1w", "168h"),
            ("2026-11-24 04:30", "2026-11-24T04:30:00"),
            ("2026-11-24", "2026-11-24"),
        ] {
            assert_eq!(given.parse::<Since>().unwrap().for_containers().unwrap(), read);
        }
        assert!("today".parse::<Since>().unwrap().for_containers().is_err());
    }

    #[test]
    fn paths_and_containers_are_never_options() {
        for given in ["", "-f", "var/log/x", "~/x", "/a\nb", &format!("/{}", "x".repeat(1024))] {
            assert_eq!(given.parse::<FilePath>().unwrap_err().code(), "bad_arguments", "{given:?}");
        }
        for given in ["", "-f", "--help", ".x", "a b", "a/b", "a;b", "ü", &"x".repeat(129)] {
            assert_eq!(given.parse::<ContainerName>().unwrap_err().code(), "bad_arguments", "{given:?}");
        }
        assert_eq!("/var/log/a b.log".parse::<FilePath>().unwrap().as_str(), "/var/log/a b.log");
        assert_eq!("web_1.x-y".parse::<ContainerName>().unwrap().as_str(), "web_1.x-y");
    }

    #[test]
    fn spans_and_dates_are_read() {
        for (given, read) in [
            ("15min", "15 minutes ago"),
            ("-2h", "2 hours ago"),
            ("3 hours ago", "3 hours ago"),
            ("1 d", "1 days ago"),
            ("today", "today"),
            ("2026-11-24", "2026-11-24"),
            ("2026-11-24T04:30", "2026-11-24 04:30"),
            ("2026-11-24 04:30:01", "2026-11-24 04:30:01"),
        ] {
            assert_eq!(given.parse::<Since>().unwrap().as_str(), read);
        }
        for given in [
            "",
            "-",
            "--since",
            "now; id",
            "1",
            "h",
            "9999999h",
            "2026-1-2",
            "2026-11-24 04",
            "@0",
            "1 hour ago --file=x",
        ] {
            assert!(given.parse::<Since>().is_err(), "{given:?}");
        }
    }
}
