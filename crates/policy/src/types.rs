//! What a value may be: the types of options and operands in forms, and of parameters in actions.
//!
//! In TOML a type is one string: a name, and after a colon what bounds it (`int:1..1000`, `enum:json|short`,
//! `path:log`).

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::address::{Endpoint, HttpUrl};
use crate::values::{
    bounded, check_path, is_dns_word, is_duration, is_format, is_host, is_ip, is_match_value, is_priority,
    is_resolver, is_size, is_time, is_unit, is_vital, token,
};
use crate::{program, unicode};

/// The type of a value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ValueType {
    /// A systemd unit, with or without its suffix. Never a pattern.
    Unit,
    /// As unit, but not one that people need to get back in: sshd, network, dbus, systemd's own.
    SafeUnit,
    /// A container's name or id.
    Container,
    /// An absolute path beneath one of the named roots of the plugin.
    Path(Vec<String>),
    /// A host name or an IP address.
    Host,
    /// An IP address, with an optional prefix length.
    Ip,
    /// 1 to 65535.
    Port,
    /// A network interface.
    Interface,
    /// A process id above 1.
    Pid,
    /// A user or group name.
    User,
    /// A whole number in a range, both ends included.
    Int(i64, i64),
    /// A whole number with an optional sign and unit, for `find -size` and the like.
    Size,
    /// A number of seconds, or a number with a unit.
    Duration,
    /// A moment: a date with an optional time, `today`, `yesterday`, `now`, `-1h`, `10m`, `1 hour ago`.
    Time,
    /// A syslog priority or a range of two.
    Priority,
    /// Text to search for or to match names with.
    Pattern,
    /// One name: letters, digits, `.`, `_`, `-`, `@`, `+`, `:`.
    Name,
    /// Some names separated by commas, each one of the list.
    Set(Vec<String>),
    /// One word of the list.
    Enum(Vec<String>),
    /// A port of this host: `localhost:PORT` or `127.0.0.1:PORT`. Other hosts are not the reader's to reach.
    LocalEndpoint,
    /// `HOST:PORT` of a connection that the target judges by its address policy ([`crate::address`]).
    Endpoint,
    /// `http://HOST[:PORT][/PATH]`, as endpoint.
    HttpUrl,
    /// A Kubernetes object, `KIND/NAME`, of these kinds.
    Object(Vec<String>),
    /// One of these names, `=` and a value: a match of the journal.
    Field(Vec<String>),
    /// `@` and the address of a name server: loopback, private, or a public resolver that everybody knows.
    Resolver,
    /// As resolver, without the `@`.
    NameServer,
    /// A host name that a DNS client does not take for a record type or class.
    Domain,
    /// A port and `/tcp` or `/udp`.
    PortProtocol,
    /// A number of this range, which `+` may precede: from this line on.
    Count(i64, i64),
    /// Permission bits in octal, which `-` or `/` may precede.
    Mode,
    /// One printable ASCII character, to part fields.
    Char,
    /// Numbers and ranges of numbers separated by commas: `1,3-5,7-`.
    Ranges,
    /// A key of `sort -k`: `2,2n`.
    SortKey,
    /// A one-command sed program that can only print, delete, number, quit or replace.
    Sed,
    /// A one-rule awk program that can only print fields.
    Awk,
    /// A format for output, of these directives only (`%n`, `{{.Names}}`).
    Format(Vec<String>),
    /// As format, with one directive at least: a plain word would be the name of a format that somebody else has defined.
    Template(Vec<String>),
}

impl ValueType {
    /// Checks a value.
    ///
    /// # Errors
    /// What is expected. Paths are checked by their shape only: whether one lies beneath a root is the plugin's to say.
    pub fn check(&self, value: &str) -> Result<(), String> {
        unicode::check_operand(value)?;
        if value.is_empty() || value.len() > 4096 {
            return Err("it is empty or too long".to_owned());
        }
        let ok = match self {
            Self::Unit => is_unit(value),
            Self::SafeUnit => is_unit(value) && !is_vital(value),
            Self::Container => token(value, "_.-", 128),
            Self::Path(_) => return check_path(value),
            Self::Host => is_host(value),
            Self::Ip => is_ip(value),
            Self::Port => bounded(value, 1, 65535),
            Self::Interface => token(value, "_.-@:", 15),
            Self::Pid => bounded(value, 2, 1 << 22),
            Self::User => token(value, "_.-", 64),
            Self::Int(min, max) => bounded(value, *min, *max),
            Self::Size => is_size(value),
            Self::Duration => is_duration(value),
            Self::Time => is_time(value),
            Self::Priority => is_priority(value),
            Self::Pattern => value.chars().count() <= 512 && !value.starts_with('-'),
            Self::Name => token(value, "._-@+:", 128),
            Self::Set(words) => value.split(',').all(|w| words.iter().any(|x| x == w)),
            Self::Enum(words) => words.iter().any(|w| w == value),
            Self::Format(directives) => is_format(value, directives),
            Self::Template(directives) => {
                is_format(value, directives) && directives.iter().any(|d| value.contains(d.as_str()))
            }
            Self::LocalEndpoint => value.split_once(':').is_some_and(|(host, port)| {
                matches!(host, "localhost" | "127.0.0.1") && bounded(port, 1, 65535)
            }),
            Self::Endpoint => return value.parse::<Endpoint>().map(|_| ()),
            Self::HttpUrl => return value.parse::<HttpUrl>().map(|_| ()),
            Self::Object(kinds) => value
                .split_once('/')
                .is_some_and(|(kind, name)| kinds.iter().any(|k| k == kind) && token(name, "._-", 253)),
            Self::Field(names) => value
                .split_once('=')
                .is_some_and(|(name, v)| names.iter().any(|n| n == name) && is_match_value(v)),
            Self::Resolver => value.strip_prefix('@').is_some_and(is_resolver),
            Self::NameServer => is_resolver(value),
            Self::Domain => is_host(value) && !is_dns_word(value),
            Self::Count(min, max) => bounded(value.strip_prefix('+').unwrap_or(value), *min, *max),
            Self::Mode => {
                let digits = value.strip_prefix(['-', '/']).unwrap_or(value);
                (1..=4).contains(&digits.len()) && digits.bytes().all(|b| (b'0'..=b'7').contains(&b))
            }
            Self::PortProtocol => value
                .split_once('/')
                .is_some_and(|(port, protocol)| matches!(protocol, "tcp" | "udp") && bounded(port, 1, 65535)),
            Self::Char => value.len() == 1 && value.bytes().all(|b| b == b' ' || b.is_ascii_graphic()),
            Self::Ranges => program::is_ranges(value),
            Self::SortKey => program::is_sort_key(value),
            Self::Sed => program::is_sed(value),
            Self::Awk => program::is_awk(value),
        };
        if ok { Ok(()) } else { Err(format!("expected {self}")) }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit => f.write_str("a unit"),
            Self::SafeUnit => f.write_str("a unit that is not vital"),
            Self::Container => f.write_str("a container"),
            Self::Path(roots) => write!(f, "an absolute path beneath {}", roots.join(" or ")),
            Self::Host | Self::Domain => f.write_str("a host name or address"),
            Self::Ip => f.write_str("an IP address"),
            Self::Port => f.write_str("a port"),
            Self::Interface => f.write_str("a network interface"),
            Self::Pid => f.write_str("a process id above 1"),
            Self::User => f.write_str("a user"),
            Self::Int(min, max) => write!(f, "a number from {min} to {max}"),
            Self::Size => f.write_str("a size"),
            Self::Duration => f.write_str("a duration"),
            Self::Time => f.write_str("a time"),
            Self::Priority => f.write_str("a syslog priority"),
            Self::Pattern => f.write_str("a pattern that does not begin with '-'"),
            Self::Name => f.write_str("a name"),
            Self::Set(words) => write!(f, "some of {}", words.join(",")),
            Self::Enum(words) => write!(f, "one of {}", words.join(", ")),
            Self::LocalEndpoint => f.write_str("a port of this host, localhost:PORT or 127.0.0.1:PORT"),
            Self::Endpoint => f.write_str("HOST:PORT"),
            Self::HttpUrl => f.write_str("http://HOST[:PORT][/PATH]"),
            Self::Object(kinds) => write!(f, "KIND/NAME of a kind {}", kinds.join(", ")),
            Self::Field(names) => write!(f, "NAME=VALUE with a NAME of {}", names.join(", ")),
            Self::Resolver => f.write_str("'@' and a loopback, private or well-known resolver's IP address"),
            Self::NameServer => f.write_str("a loopback, private or well-known resolver's IP address"),
            Self::Count(min, max) => write!(f, "a number from {min} to {max}, or + and such a number"),
            Self::Mode => f.write_str("permission bits such as -4000"),
            Self::PortProtocol => f.write_str("a port such as 80/tcp"),
            Self::Char => f.write_str("one character"),
            Self::Ranges => f.write_str("numbers or ranges such as 1,3-5"),
            Self::SortKey => f.write_str("a sort key such as 2,2n"),
            Self::Sed => f.write_str(
                "one sed command of p, d, q, = for all lines, an address or a range of two, or s/old/new/ with g, p, I or a number",
            ),
            Self::Awk => f.write_str(
                "an awk program of one optional pattern (/text/, comparisons of NR or a field, END) and one {print} of fields",
            ),
            Self::Format(directives) | Self::Template(directives) => {
                write!(f, "a format of {}", directives.join(" "))
            }
        }
    }
}

impl TryFrom<String> for ValueType {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for ValueType {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, bounds) = text.split_once(':').map_or((text, None), |(n, b)| (n, Some(b)));
        let list = || -> Result<Vec<String>, String> {
            let words: Vec<String> = bounds.unwrap_or_default().split('|').map(str::to_owned).collect();
            if words.iter().any(String::is_empty) {
                Err(format!("{name}: words separated by '|' must follow"))
            } else {
                Ok(words)
            }
        };
        let bare = |ty: Self| if bounds.is_none() { Ok(ty) } else { Err(format!("{name} takes no bounds")) };
        match name {
            "unit" => bare(Self::Unit),
            "safe-unit" => bare(Self::SafeUnit),
            "container" => bare(Self::Container),
            "path" => list().map(Self::Path),
            "host" => bare(Self::Host),
            "ip" => bare(Self::Ip),
            "port" => bare(Self::Port),
            "interface" => bare(Self::Interface),
            "pid" => bare(Self::Pid),
            "user" => bare(Self::User),
            "int" => range(name, bounds).map(|(min, max)| Self::Int(min, max)),
            "count" => range(name, bounds).map(|(min, max)| Self::Count(min, max)),
            "mode" => bare(Self::Mode),
            "name-server" => bare(Self::NameServer),
            "domain" => bare(Self::Domain),
            "size" => bare(Self::Size),
            "duration" => bare(Self::Duration),
            "time" => bare(Self::Time),
            "priority" => bare(Self::Priority),
            "pattern" => bare(Self::Pattern),
            "name" => bare(Self::Name),
            "set" => list().map(Self::Set),
            "enum" => list().map(Self::Enum),
            "local-endpoint" => bare(Self::LocalEndpoint),
            "endpoint" => bare(Self::Endpoint),
            "http-url" => bare(Self::HttpUrl),
            "object" => list().map(Self::Object),
            "field" => list().map(Self::Field),
            "resolver" => bare(Self::Resolver),
            "port-protocol" => bare(Self::PortProtocol),
            "char" => bare(Self::Char),
            "ranges" => bare(Self::Ranges),
            "sort-key" => bare(Self::SortKey),
            "sed" => bare(Self::Sed),
            "awk" => bare(Self::Awk),
            "format" => list().map(Self::Format),
            "template" => list().map(Self::Template),
            _ => Err(format!("{name:?} is no type")),
        }
    }
}

/// `MIN..MAX`
fn range(name: &str, bounds: Option<&str>) -> Result<(i64, i64), String> {
    let (min, max) =
        bounds.and_then(|b| b.split_once("..")).ok_or_else(|| format!("{name}: MIN..MAX must follow"))?;
    let number = |n: &str| n.parse::<i64>().map_err(|_| format!("{name}: {n:?} is no number"));
    let (min, max) = (number(min)?, number(max)?);
    if min <= max { Ok((min, max)) } else { Err(format!("{name}: the range is empty")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ty: &str, value: &str) -> bool {
        ty.parse::<ValueType>().unwrap().check(value).is_ok()
    }

    #[test]
    fn values_that_are_permitted() {
        for (ty, value) in [
            ("unit", "nginx.service"),
            ("unit", "getty@tty1"),
            ("unit", "dev-sda1.device"),
            ("safe-unit", "nginx"),
            ("container", "web_1"),
            ("path:log", "/var/log/nginx/"),
            ("host", "example.com"),
            ("host", "2001:db8::1"),
            ("ip", "10.0.0.0/8"),
            ("port", "443"),
            ("interface", "eth0.5"),
            ("pid", "1234"),
            ("int:-10..10", "-1"),
            ("size", "+100M"),
            ("duration", "0.5"),
            ("duration", "10m"),
            ("time", "1 hour ago"),
            ("time", "2026-11-22 10:00"),
            ("time", "-1h"),
            ("time", "10m"),
            ("priority", "err"),
            ("priority", "0..3"),
            ("pattern", "échec"),
            ("set:a|b", "a,b"),
            ("enum:json|short", "json"),
            ("format:%n|%s", "%n: %s"),
            ("format:{{.Names}}", "{{.Names}} x"),
            ("template:%h|%s", "x %h"),
            ("local-endpoint", "localhost:443"),
            ("local-endpoint", "127.0.0.1:8443"),
            ("object:deploy|pod", "deploy/web"),
            ("field:_PID|_SYSTEMD_UNIT", "_SYSTEMD_UNIT=nginx.service"),
            ("field:_EXE", "_EXE=/usr/sbin/sshd"),
            ("resolver", "@127.0.0.53"),
            ("resolver", "@10.0.0.53"),
            ("resolver", "@fd00::53"),
            ("resolver", "@8.8.8.8"),
            ("port-protocol", "443/tcp"),
            ("name-server", "10.0.0.53"),
            ("domain", "web01"),
            ("domain", "axfr.example.com"),
            ("count:1..100", "+50"),
            ("count:1..100", "50"),
            ("mode", "-4000"),
            ("mode", "/6000"),
            ("safe-unit", "systemd-resolved"),
            ("format:+|%Y", "+%Y"),
            ("format:name=|id=", "name=web"),
            ("user", "_apt"),
            ("char", "x"),
            ("char", " "),
            ("mode", "0"),
            ("pid", "2"),
            ("name-server", "localhost"),
            ("port-protocol", "53/udp"),
            ("set:a|b", "b"),
            ("ranges", "1,3-5"),
            ("sort-key", "2,2n"),
            ("sed", "1p"),
            ("awk", "{print $1}"),
        ] {
            assert!(check(ty, value), "{ty} {value}");
        }
    }

    #[test]
    fn values_that_are_not() {
        for (ty, value) in [
            ("unit", "--host=root@evil"),
            ("unit", "*.service"),
            ("unit", "/etc/x.service"),
            ("safe-unit", "sshd"),
            ("safe-unit", "ssh.service"),
            ("safe-unit", "poweroff.target"),
            ("safe-unit", "systemd-journald"),
            ("safe-unit", "sshd@1"),
            ("container", "-a"),
            ("path:log", "/var/log/../x"),
            ("path:log", "var/log"),
            ("path:log", "/var/log/..%2f"),
            ("path:log", "/var/./log"),
            ("path:log", "/var//log"),
            ("host", "-x"),
            ("host", "a b"),
            ("pid", "1"),
            ("pid", "-1"),
            ("pid", "0"),
            ("port", "0"),
            ("int:1..10", "11"),
            ("int:1..10", "+1"),
            ("int:1..10", "1e1"),
            ("size", "-delete"),
            ("time", "-delete"),
            ("priority", "x"),
            ("pattern", "-f"),
            ("set:a|b", "a,c"),
            ("enum:a", "ab"),
            ("format:%n", "%n%s"),
            ("format:{{.Names}}", "{{.Config.Env}}"),
            ("format:%n", "\\n"),
            ("template:%h", "oneline"),
            ("template:%h", "%GG %h"),
            ("format:+|%Y", "01010000"),
            ("format:+|%Y", "%Y"),
            ("local-endpoint", "localhost"),
            ("local-endpoint", "example.com:443"),
            ("local-endpoint", "127.0.0.1.evil.example:443"),
            ("local-endpoint", "localhost:0"),
            ("local-endpoint", "/run/x:1"),
            ("local-endpoint", "::1:443"),
            ("field:_PID", "_EXE=/bin/sh"),
            ("field:_PID", "_PID="),
            ("field:_PID", "_PID"),
            ("field:_PID", "_PID=1 2"),
            ("resolver", "@203.0.113.9"),
            ("resolver", "@evil.example"),
            ("resolver", "@169.254.169.254"),
            ("resolver", "@::ffff:203.0.113.9"),
            ("resolver", "10.0.0.53"),
            ("resolver", "@"),
            ("name-server", "evil.example"),
            ("domain", "AXFR"),
            ("domain", "ixfr"),
            ("domain", "TYPE252"),
            ("domain", "-f"),
            ("count:1..100", "+500"),
            ("count:1..100", "++5"),
            ("count:1..100", "+"),
            ("mode", "-8000"),
            ("mode", "-exec"),
            ("mode", "-"),
            ("safe-unit", "systemd-logind"),
            ("safe-unit", "auditd"),
            ("safe-unit", "rsyslog.service"),
            ("safe-unit", "systemd-networkd"),
            ("port-protocol", "443"),
            ("port-protocol", "0/tcp"),
            ("port-protocol", "443/sctp"),
            ("object:deploy", "secret/x"),
            ("object:deploy", "deploy"),
            ("object:deploy", "deploy/x/y"),
            ("user", "-root"),
            ("unit", ""),
            ("name", "a b"),
            ("pattern", ""),
            ("enum:a", ""),
            ("char", "ab"),
            ("char", "é"),
            ("mode", "-77777"),
            ("mode", "--7"),
            ("domain", "a b"),
            ("object:deploy", "deploy/-x"),
            ("template:%h", "%"),
            ("set:a|b", ""),
            ("set:a|b", "a,"),
            ("interface", "eth0123456789012"),
            ("ranges", "x"),
            ("sort-key", "x"),
            ("sed", "w x"),
            ("awk", "BEGIN"),
        ] {
            assert!(!check(ty, value), "{ty} {value}");
        }
    }

    #[test]
    fn values_are_bounded() {
        let path = |n: usize| format!("/{}", "a".repeat(n - 1));
        assert!(check("path:log", &path(4096)) && !check("path:log", &path(4097)));
        let text = |n: usize| "é".repeat(n);
        assert!(check("pattern", &text(512)) && !check("pattern", &text(513)));
    }

    #[test]
    fn a_refusal_says_what_is_expected() {
        for (ty, cause) in [
            ("unit", "expected a unit"),
            ("int:1..9", "expected a number from 1 to 9"),
            ("enum:a|b", "expected one of a, b"),
            ("object:pod|svc", "expected KIND/NAME of a kind pod, svc"),
        ] {
            assert_eq!(ty.parse::<ValueType>().unwrap().check("*").unwrap_err(), cause);
        }
    }

    #[test]
    fn wrong_types_are_errors() {
        for ty in [
            "",
            "nothing",
            "int",
            "int:5..1",
            "int:a..b",
            "unit:x",
            "enum",
            "enum:",
            "enum:a||b",
            "path",
            "int:1..x",
        ] {
            assert!(ty.parse::<ValueType>().is_err(), "{ty}");
        }
    }
}
