//! The shapes of values: what a host, a unit, a size, a path looks like. Pure predicates over text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

pub(crate) fn token(value: &str, extra: &str, max: usize) -> bool {
    value.len() <= max
        && value.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && value.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
}

pub(crate) fn bounded(value: &str, min: i64, max: i64) -> bool {
    let plain = value.bytes().all(|b| b.is_ascii_digit())
        || value.strip_prefix('-').is_some_and(|v| v.bytes().all(|b| b.is_ascii_digit()));
    plain && value.parse().is_ok_and(|n: i64| (min..=max).contains(&n))
}

pub(crate) fn is_unit(value: &str) -> bool {
    token(value, ":_.-@\\", 255)
}

/// Units without which nobody gets in, nothing is recorded or guarded, or the machine goes down.
pub(crate) fn is_vital(value: &str) -> bool {
    const VITAL: [&str; 22] = [
        "ssh",
        "sshd",
        "dbus",
        "dbus-broker",
        "network",
        "networking",
        "NetworkManager",
        "init",
        "cloud-init",
        "wpa_supplicant",
        "polkit", // the firewall, and who records what happens
        "firewalld",
        "ufw",
        "nftables",
        "iptables",
        "netfilter-persistent",
        "apparmor",
        "auditd",
        "rsyslog",
        "syslog",
        "syslog-ng",
        "mcp-linux-infra",
    ];
    let (stem, suffix) = value.rsplit_once('.').unwrap_or((value, "service"));
    let stem = stem.split('@').next().unwrap_or(stem);
    matches!(suffix, "target" | "slice" | "scope" | "mount" | "swap" | "automount" | "device")
        || (stem.starts_with("systemd-") && !matches!(stem, "systemd-resolved" | "systemd-timesyncd"))
        || VITAL.contains(&stem)
}

pub(crate) fn check_path(value: &str) -> Result<(), String> {
    let plain =
        value.starts_with('/') && !value.contains("//") && !value.contains('\\') && !value.contains('%');
    let clean = value.split('/').all(|part| part != ".." && part != ".");
    if plain && clean {
        Ok(())
    } else {
        Err("expected an absolute path without '.', '..', '//', '\\' or '%'".to_owned())
    }
}

pub(crate) fn is_host(value: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && !l.starts_with('-')
    };
    is_address(value) || (value.len() <= 253 && value.trim_end_matches('.').split('.').all(label))
}

pub(crate) fn is_address(value: &str) -> bool {
    IpAddr::from_str(value).is_ok()
}

pub(crate) fn is_ip(value: &str) -> bool {
    let (address, prefix) = value.split_once('/').map_or((value, None), |(a, p)| (a, Some(p)));
    let fits = |max| prefix.is_none_or(|p| bounded(p, 0, max));
    (Ipv4Addr::from_str(address).is_ok() && fits(32)) || (Ipv6Addr::from_str(address).is_ok() && fits(128))
}

/// Words that a DNS client reads as a record type or class, wherever they stand.
pub(crate) fn is_dns_word(value: &str) -> bool {
    const WORDS: [&str; 24] = [
        "a", "aaaa", "any", "axfr", "caa", "ch", "chaos", "cname", "dnskey", "ds", "hs", "in", "ixfr",
        "maila", "mailb", "mx", "none", "ns", "ptr", "soa", "srv", "tsig", "txt", "sig",
    ];
    let value = value.to_ascii_lowercase();
    let numbered = ["type", "class"]
        .iter()
        .filter_map(|w| value.strip_prefix(w))
        .any(|n| n.bytes().all(|b| b.is_ascii_digit()));
    numbered || WORDS.contains(&value.as_str())
}

/// A value of a journal field: a path, a number, a unit.
pub(crate) fn is_match_value(value: &str) -> bool {
    !value.is_empty()
        && value.len() <= 255
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-@:/+\\".contains(&b))
}

/// Where a question about a name may go: not to any address, since a question carries text out.
pub(crate) fn is_resolver(value: &str) -> bool {
    const PUBLIC: [&str; 8] = [
        "1.1.1.1",
        "1.0.0.1",
        "8.8.8.8",
        "8.8.4.4",
        "9.9.9.9",
        "2606:4700:4700::1111",
        "2001:4860:4860::8888",
        "2620:fe::fe",
    ];
    if value == "localhost" || PUBLIC.contains(&value) {
        return true;
    }
    match IpAddr::from_str(value) {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_private(),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unique_local(),
        Err(_) => false,
    }
}

pub(crate) fn is_size(value: &str) -> bool {
    let digits = value.trim_start_matches(['+', '-']).trim_end_matches(|c: char| "bcwkMGTKB".contains(c));
    value.len() <= 20
        && !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
        && value.len() - digits.len() <= 3
}

pub(crate) fn is_duration(value: &str) -> bool {
    let unit = value.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    value.len() <= 12
        && value.starts_with(|c: char| c.is_ascii_digit())
        && matches!(unit, "" | "ms" | "s" | "m" | "h" | "d" | "min")
}

pub(crate) fn is_time(value: &str) -> bool {
    let words = ["today", "yesterday", "now", "boot", "recent", "this-week"];
    let shape = |c: char| c.is_ascii_digit() || "-:. TZ+,/".contains(c);
    let relative = |v: &str| {
        let v = v.strip_suffix(" ago").unwrap_or(v).trim_start_matches('-');
        let number = v.trim_end_matches(|c: char| c.is_ascii_lowercase()).trim_end();
        let unit = v.get(number.len()..).unwrap_or_default().trim();
        let units = [
            "s", "sec", "second", "seconds", "m", "min", "minute", "minutes", "h", "hour", "hours", "d",
            "day", "days", "w", "week", "weeks",
        ];
        !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) && units.contains(&unit)
    };
    value.len() <= 40
        && (words.contains(&value)
            || relative(value)
            || (value.starts_with(|c: char| c.is_ascii_digit()) && value.chars().all(shape)))
}

pub(crate) fn is_priority(value: &str) -> bool {
    const NAMES: [&str; 9] = ["emerg", "alert", "crit", "err", "error", "warning", "notice", "info", "debug"];
    value.splitn(2, "..").all(|p| NAMES.contains(&p) || bounded(p, 0, 7))
}

/// Every directive of the value must be of the list; what stands between is plain text. Words of the list that are no
/// directives are prefixes, of which the value must have one.
pub(crate) fn is_format(value: &str, directives: &[String]) -> bool {
    let prefixes: Vec<&String> = directives.iter().filter(|d| !d.starts_with(['%', '{', '\\'])).collect();
    if value.len() > 512 || (!prefixes.is_empty() && !prefixes.iter().any(|p| value.starts_with(p.as_str())))
    {
        return false;
    }
    let mut rest = value;
    while let Some(at) = rest.find(['%', '{', '\\']) {
        let from = &rest[at..];
        let Some(hit) = directives.iter().filter(|d| from.starts_with(d.as_str())).map(String::len).max()
        else {
            return false;
        };
        rest = &from[hit..];
    }
    !rest.contains('}')
}
