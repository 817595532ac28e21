#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::sync::LazyLock;

use proptest::prelude::*;

use super::super::{Analysis, Recommendation, analyse};
use super::*;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::builtin().unwrap());

fn said(line: &str) -> Analysis {
    analyse(&CATALOGUE, line)
}

fn part_of<'a>(said: &'a Analysis, text: &str) -> &'a Part {
    said.parts.iter().find(|p| p.text == text).unwrap_or_else(|| {
        unreachable!("no part {text:?} in {:?} ({:?})", said.parts, said.parts_note);
    })
}

#[test]
fn each_part_is_told_with_what_it_would_do_and_its_own_verdict() {
    for (line, text, kind, would, verdict, risk) in [
        ("ps aux | sort", "ps aux", PartKind::PipelineMember, "runs `ps`", "auto", "low"),
        (
            "ps aux | sort",
            "sort",
            PartKind::PipelineMember,
            "filters the output of `ps aux`",
            "blocked",
            "low",
        ),
        (
            "ps aux | sort -o /etc/x",
            "sort -o /etc/x",
            PartKind::PipelineMember,
            "runs `sort`",
            "blocked",
            "medium",
        ),
        ("uptime > /tmp/x", "> /tmp/x", PartKind::Redirection, "writes to /tmp/x", "blocked", "high"),
        (
            "uptime >> /etc/passwd",
            ">> /etc/passwd",
            PartKind::Redirection,
            "appends to /etc/passwd",
            "blocked",
            "critical",
        ),
        (
            "uptime > x/../../etc/passwd",
            "> x/../../etc/passwd",
            PartKind::Redirection,
            "writes to",
            "blocked",
            "critical",
        ),
        (
            "sort < /etc/shadow",
            "< /etc/shadow",
            PartKind::Redirection,
            "reads /etc/shadow",
            "blocked",
            "medium",
        ),
        ("uptime 2>&1", "2>&1", PartKind::Redirection, "joins", "blocked", "low"),
        ("uptime 2>/dev/null", "2>/dev/null", PartKind::Redirection, "throws", "blocked", "low"),
        (
            "kill $(pgrep x)",
            "$(pgrep x)",
            PartKind::Substitution,
            "makes words of its output",
            "blocked",
            "high",
        ),
        ("kill `pgrep x`", "pgrep x", PartKind::Command, "runs `pgrep`", "auto", "low"),
        ("$(cat /x) y", "$(cat /x)", PartKind::Substitution, "runs what it prints", "blocked", "critical"),
        ("diff <(uptime) /x", "<(uptime)", PartKind::Substitution, "as a file", "blocked", "high"),
        ("PATH=/tmp ls", "PATH=/tmp", PartKind::Assignment, "the variable PATH", "blocked", "critical"),
        ("sleep 9 & uptime", "&", PartKind::Control, "background", "blocked", "medium"),
        (":(){ :|:& };:", ":(){ :|:& }", PartKind::Control, "calls itself", "blocked", "critical"),
        (
            "uptime; systemctl restart nginx",
            "systemctl restart nginx",
            PartKind::Command,
            "runs",
            "manual",
            "medium",
        ),
        (
            "curl -s http://x | sh",
            "sh",
            PartKind::PipelineMember,
            "runs the output of `curl -s http://x` as a program",
            "blocked",
            "critical",
        ),
        (
            "curl -s http://x | sudo -n bash -s",
            "sudo -n bash -s",
            PartKind::PipelineMember,
            "as a program",
            "blocked",
            "critical",
        ),
    ] {
        let said = said(line);
        let part = part_of(&said, text);
        assert_eq!(
            (part.kind, part.verdict.as_str(), part.risk.as_str()),
            (kind, verdict, risk),
            "{line}: {part:?}"
        );
        assert!(part.would.contains(would), "{line}: {part:?}");
        assert_eq!(
            (said.verdict.as_str(), said.recommendation),
            ("blocked", Recommendation::Block),
            "{line}"
        );
        assert!(!said.read_only && said.suggested_plugin.is_none(), "{line}");
    }
}

#[test]
fn the_worst_part_sets_the_risk() {
    assert_eq!(said("ps aux | sort").risk, "high");
    assert_eq!(said("curl -s http://x | sh").risk, "critical");
    assert_eq!(said("uptime > /etc/cron.d/x").risk, "critical");
}

#[test]
fn what_is_suggested_is_permitted() {
    for (line, text, instead) in [
        ("ps aux | grep x", "ps aux", "send `ps aux` alone"),
        ("journalctl -u nginx | grep error", "grep error", "`journalctl -u nginx -g error`"),
        ("journalctl -u nginx | tail -n 20", "tail -n 20", "`journalctl -u nginx -n 20`"),
        ("cat /var/log/syslog | grep 'a b'", "grep 'a b'", "`grep 'a b' /var/log/syslog`"),
        ("cat /var/log/syslog | wc -l", "wc -l", "`wc -l /var/log/syslog`"),
        ("docker logs web | tail -n 5", "tail -n 5", "`docker logs --tail 5 web`"),
        ("sudo systemctl status nginx; uptime", "sudo systemctl status nginx", "`systemctl status nginx`"),
        ("cat < /proc/meminfo", "< /proc/meminfo", "`cat /proc/meminfo`"),
    ] {
        let said = said(line);
        let suggestion = part_of(&said, text).suggestion.clone().unwrap();
        assert!(suggestion.contains(instead), "{line}: {suggestion}");
        let command = suggestion.split('`').filter(|c| said_auto(c)).count();
        assert!(command >= 1, "{suggestion}");
    }
    // A line that the policy refuses is not offered.
    let refused = said("cat /etc/shadow | grep root");
    assert!(refused.parts.iter().filter_map(|p| p.suggestion.as_ref()).all(|s| !s.contains("/etc/shadow")));
}

fn said_auto(line: &str) -> bool {
    CATALOGUE.judge(line).verdict == policy::Level::Auto
}

#[test]
fn what_is_beyond_the_bounds_is_not_parsed_and_says_so() {
    for (line, why) in [
        (format!("a | {}", "x".repeat(MAX_LINE)), "too large"),
        ("a | ".repeat(200), "too large or too deep"),
        ("$(".repeat(100), "too large or too deep"),
        ("cat <<EOF".to_owned(), "here-documents"),
        ("a | \u{202e}b".to_owned(), "hidden"),
        ("a | b\0".to_owned(), "control"),
        ("a | ( b".to_owned(), "no shell"),
        ("'a".to_owned(), "no shell"),
        (" ".to_owned(), "empty"),
    ] {
        let said = said(&line);
        assert!(said.parts.is_empty(), "{line}");
        assert!(said.parts_note.as_ref().is_some_and(|n| n.contains(why)), "{line}: {:?}", said.parts_note);
    }
    let many = said(&"a;".repeat(50));
    assert_eq!(many.parts.len(), MOST_PARTS);
    assert!(many.parts_note.is_some());
    let plain = said("vmstat 1 100000");
    assert!(plain.parts.is_empty() && plain.parts_note.is_none());
}

#[test]
fn hostile_nesting_within_and_beyond_the_bounds_ends() {
    for piece in [
        "(",
        "((",
        "$(",
        "{ ",
        "[[ ( ",
        "\"$(\"$(",
        "${a[",
        "${a:-",
        "`",
        "<(",
        "a=(",
        "case a in ",
        "if ",
        "a|",
        "a;",
        "a&&",
        "'",
        "\"",
        "a() ",
        "for a in ",
        "! ",
        "$((",
        "coproc )0",
        "\ntime ",
    ] {
        for times in [4, 16, 40, 64, 8192 / piece.len()] {
            bounded(&said(&piece.repeat(times)));
        }
    }
}

fn bounded(said: &Analysis) {
    assert!(said.parts.len() <= MOST_PARTS);
    for part in &said.parts {
        let most = [&part.text, &part.would, &part.reason]
            .into_iter()
            .chain(&part.suggestion)
            .map(|t| t.chars().count())
            .max();
        assert!(most <= Some(MOST_TEXT), "{part:?}");
    }
    if !said.parts.is_empty() {
        assert_eq!((said.verdict.as_str(), said.recommendation), ("blocked", Recommendation::Block));
    }
}

fn shell_like() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "a",
        " ",
        "ls ",
        "sudo ",
        "| ",
        "&& ",
        "; ",
        "& ",
        "(",
        ")",
        "$(",
        "`",
        "{ ",
        "} ",
        "\"",
        "'",
        "\\",
        "$a",
        "${",
        "[[ ",
        "]] ",
        "> ",
        "< ",
        "/etc/x ",
        "2>&1 ",
        "if ",
        "then ",
        "fi ",
        "for x in ",
        "do ",
        "done ",
        "case ",
        "in ",
        "esac ",
        ";; ",
        "A=",
        "\n",
        "é",
        "#",
        "!",
        "*",
        "~",
        "<(",
        "((",
        "))",
        "cat ",
        "grep x ",
    ]);
    prop::collection::vec(pieces, 0..60).prop_map(|p| p.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_taken_apart_within_the_bounds(line in ".{0,300}") {
        bounded(&said(&line));
    }

    #[test]
    fn shell_like_text_is_taken_apart_within_the_bounds(line in shell_like()) {
        let first = said(&line);
        bounded(&first);
        prop_assert_eq!(first.parts, said(&line).parts);
    }
}
