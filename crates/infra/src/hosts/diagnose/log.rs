//! Errors of the last hour, alike ones together.

use std::collections::BTreeMap;

use super::{Check, Checked, Finding, Ground, Severity};
use crate::hosts::hygiene::one_line;
use crate::hosts::logs::{self, LogLine, LogQuery};
use crate::hosts::operand::Priority;
use crate::hosts::reader::Failure;

/// Lines that are looked at.
const LINES: u16 = 300;
/// Groups in the answer.
const GROUPS: usize = 5;
/// So many alike are a warning.
const MANY: usize = 10;

/// Words that tell a cause whoever says them, the worst first.
const KNOWN: [(&str, Severity, &str); 14] = [
    ("out of memory: killed process", Severity::Critical, "the kernel killed processes for lack of memory"),
    ("killed by the oom killer", Severity::Critical, "the kernel killed processes for lack of memory"),
    ("no space left on device", Severity::Critical, "a disk is or was full"),
    ("read-only file system", Severity::Critical, "a file system cannot be written"),
    ("i/o error", Severity::Critical, "a device gives input/output errors"),
    ("medium error", Severity::Critical, "a disk has unreadable blocks"),
    ("certificate has expired", Severity::Critical, "a certificate has expired"),
    ("certificate expired", Severity::Critical, "a certificate has expired"),
    ("address already in use", Severity::Warning, "a port is taken by another program"),
    ("too many open files", Severity::Warning, "a program has too many files open"),
    ("blocked for more than", Severity::Warning, "processes hang, often on a disk or a network file system"),
    ("soft lockup", Severity::Warning, "a processor hangs in the kernel"),
    ("segfault at", Severity::Warning, "a program crashed"),
    ("temperature above threshold", Severity::Warning, "the processor is too hot"),
];

/// Lines that are alike.
struct Group<'a> {
    count: usize,
    last: &'a LogLine,
    known: Option<(Severity, &'static str)>,
}

pub(super) async fn check(ground: Ground<'_>) -> Result<Checked, Failure> {
    let query =
        LogQuery { unit: None, lines: Some(LINES), since: "1h".parse().ok(), priority: Some(Priority::Err) };
    let logs = logs::ask(ground.asker, &query).await?;
    let mut groups: Vec<Group<'_>> = group(&logs.lines).into_values().collect();
    let severity = |g: &Group<'_>| match g.known {
        Some((severity, _)) => severity,
        None if g.count >= MANY => Severity::Warning,
        None => Severity::Info,
    };
    groups.sort_by_key(|g| (severity(g), std::cmp::Reverse(g.count)));
    let findings = groups.iter().take(GROUPS).map(|g| Finding {
        severity: severity(g),
        check: Check::Logs,
        subject: if g.last.unit.is_empty() { "log".to_owned() } else { g.last.unit.clone() },
        what: match g.known {
            Some((_, what)) => format!("{what} ({} in the last hour)", lines(g.count)),
            None => format!("{} of error in the last hour", lines(g.count)),
        },
        evidence: vec![g.last.line(240)],
        suggestion: None,
    });
    Ok(Checked { findings: findings.collect(), errors: logs.note.into_iter().collect() })
}

fn lines(count: usize) -> String {
    if count == 1 { "1 line".to_owned() } else { format!("{count} lines") }
}

/// By unit and shape; what tells the same known cause is one group.
fn group(lines: &[LogLine]) -> BTreeMap<(String, String), Group<'_>> {
    let mut groups: BTreeMap<(String, String), Group<'_>> = BTreeMap::new();
    for line in lines {
        let low = line.message.to_ascii_lowercase();
        let known = KNOWN
            .iter()
            .find(|(words, ..)| low.contains(words))
            .map(|(_, severity, what)| (*severity, *what));
        let shape = known.map_or_else(|| shape(&line.message), |(_, what)| what.to_owned());
        let group = groups.entry((line.unit.clone(), shape)).or_insert(Group { count: 0, last: line, known });
        group.count += 1;
        // Lines come oldest first.
        group.last = line;
    }
    groups
}

/// The message without what differs from time to time: numbers and long hexadecimal words.
fn shape(message: &str) -> String {
    let words = message.split_whitespace().take(30).map(|word| {
        let hex = word.len() >= 8 && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        if hex {
            "#".to_owned()
        } else {
            word.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect()
        }
    });
    one_line(&words.collect::<Vec<String>>().join(" ").replace("##", "#"), 160)
}
