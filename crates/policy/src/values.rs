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
    is_address(value) || (value.len() <= 253 && value.trim_end_matches('.').split('.').all(is_label))
}

/// One label of a host name.
pub(crate) fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 63
        && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        && !label.starts_with('-')
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a predicate takes, what it does not, and the longest value that it takes: a byte more is too much.
    fn holds(what: &str, is: impl Fn(&str) -> bool, good: &[&str], bad: &[&str], longest: Option<String>) {
        for value in good {
            assert!(is(value), "{what} {value:?}");
        }
        for value in bad {
            assert!(!is(value), "{what} {value:?}");
        }
        if let Some(longest) = longest {
            assert!(is(&longest) && !is(&format!("{longest}0")), "{what} of {} bytes", longest.len());
        }
    }

    #[test]
    fn tokens_begin_with_a_letter_a_digit_or_an_underscore() {
        let is = |v: &str| token(v, "_.-", 8);
        holds(
            "token",
            is,
            &["a", "_", "0", "a.-0"],
            &["", ".a", "-a", "a@", "a b", "é"],
            Some("a".repeat(8)),
        );
        holds("unit", is_unit, &["a@b\\x2d:c_d.service"], &["a*", "a/b"], Some("a".repeat(255)));
    }

    #[test]
    fn numbers_have_a_range_and_no_plus() {
        let is = |v: &str| bounded(v, -3, 12);
        holds(
            "number",
            is,
            &["0", "-3", "12", "007"],
            &["", "-", "--1", "+1", "-4", "13", "1.0", "99999999999999999999"],
            None,
        );
    }

    #[test]
    fn units_that_people_need_are_vital_and_others_are_not() {
        let good = &[
            "ssh",
            "sshd.service",
            "ssh@1.socket",
            "dbus.socket",
            "systemd-udevd",
            "x.target",
            "x.slice",
            "x.scope",
            "x.mount",
            "x.swap",
            "x.automount",
            "x.device",
            "nftables",
        ];
        let bad = &[
            "nginx",
            "nginx.service",
            "sshx",
            "systemd-resolved.service",
            "systemd-timesyncd",
            "a@ssh.timer",
        ];
        holds("vital", is_vital, good, bad, None);
    }

    #[test]
    fn paths_are_absolute_and_plain() {
        let good = &["/", "/a/b/", "/a/..b/.c"];
        let bad = &["", "a", "./a", "/a//b", "/a/../b", "/a/.", "/a/..", "/a\\b", "/a%2fb", "//"];
        holds("path", |v| check_path(v).is_ok(), good, bad, None);
    }

    #[test]
    fn hosts_have_labels() {
        let good = &["a", "a-b_c.d", "a.b.", "::1", "10.0.0.1", &"a".repeat(63)];
        let bad = &["", ".", "a..b", "-a", "a.-b", "a b", "a/b", "é", &"a".repeat(64)];
        // Four labels of 49 letters and more, 253 bytes with the dots.
        holds("host", is_host, good, bad, Some(format!("{}{}", "a.".repeat(100), "a".repeat(53))));
    }

    #[test]
    fn addresses_have_prefixes_of_their_family() {
        let good = &["10.0.0.1", "10.0.0.0/0", "10.0.0.0/32", "::1", "fd00::/8", "::1/128"];
        let bad = &[
            "x",
            "x/8",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/",
            "10.0.0.0/8/8",
            "::1/129",
            "::1/x",
            "10.0.0",
        ];
        holds("ip", is_ip, good, bad, None);
    }

    #[test]
    fn words_of_dns_are_types_and_classes() {
        holds(
            "word",
            is_dns_word,
            &["mx", "TXT", "type1", "CLASS255", "type"],
            &["web", "type1x", "mxa", "classy"],
            None,
        );
    }

    #[test]
    fn values_of_a_journal_field_have_no_blanks() {
        let good = &["1", "/usr/bin/x", "a_b.c-d@e:f+g\\x2d"];
        holds("match", is_match_value, good, &["", "a b", "a=b", "*", "é"], Some("a".repeat(255)));
    }

    #[test]
    fn resolvers_are_near_or_known() {
        let good = &["localhost", "127.0.0.1", "192.168.1.1", "::1", "fd00::53", "9.9.9.9", "2620:fe::fe"];
        let bad = &["", "localhost.evil.example", "203.0.113.9", "2001:db8::1", "fe80::1", "0.0.0.0", "::"];
        holds("resolver", is_resolver, good, bad, None);
    }

    #[test]
    fn sizes_have_a_sign_a_number_and_a_unit() {
        let good = &["0", "+1kB", "-100M", "1G"];
        let bad = &["", "+", "kB", "+kB", "1x", "1k1", "++1kB", "++10MB", "+1kBB", "1 k"];
        holds("size", is_size, good, bad, Some("1".repeat(20)));
    }

    #[test]
    fn durations_begin_with_a_digit() {
        let good = &["0", "0.5", "10ms", "1.5h", "2d", "3min"];
        holds(
            "duration",
            is_duration,
            good,
            &["", "s", ".5", "-1", "10x", "1 s", "1hh", "1h1"],
            Some("1".repeat(12)),
        );
    }

    #[test]
    fn times_are_words_dates_or_numbers_with_a_unit() {
        let good = &[
            "today",
            "yesterday",
            "now",
            "boot",
            "10:00",
            "2026-11-22T10:00:00Z",
            "1h",
            "-1h",
            "1 hour ago",
            "2 weeks",
        ];
        let bad = &[
            "", "tomorrow", "hour", "hour ago", "1 parsec", "1parsec", "x1h", "-", "-:", "T10", "1x2",
            "10:00;", "ago", "-x",
        ];
        holds("time", is_time, good, bad, Some("1".repeat(40)));
    }

    #[test]
    fn priorities_are_one_or_a_range_of_two() {
        let good = &["0", "7", "err", "emerg..err", "0..debug"];
        holds(
            "priority",
            is_priority,
            good,
            &["", "8", "-1", "error..x", "x..err", "0..8", "0..1..2", ".."],
            None,
        );
    }

    #[test]
    fn formats_have_listed_directives_and_prefixes_alone() {
        let list = |words: &[&str]| -> Vec<String> { words.iter().map(|w| (*w).to_owned()).collect() };
        let (free, prefixed) = (list(&["%n", "%nn", "{{.A}}", "\\t"]), list(&["+", "name=", "%Y"]));
        let good = &["", "x", "%n", "%nn%n", "a %n{{.A}}\\t b"];
        let bad = &["%", "%m", "{", "}", "x}", "{{.B}}", "\\n", "\\"];
        holds("format", |v| is_format(v, &free), good, bad, Some(format!("%n{}", "x".repeat(510))));
        let bad = &["", "%Y", "x+%Y", "+%d"];
        holds("format", |v| is_format(v, &prefixed), &["+", "+%Y", "name=x"], bad, Some("+".repeat(512)));
    }
}
