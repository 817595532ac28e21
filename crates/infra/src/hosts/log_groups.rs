//! Log lines that are alike, brought together: what a log tells many times is one row.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::Row;
use super::ask::Asker;
use super::diagnose::Severity;
use super::hygiene::one_line;
use super::logs::{self, LogLine, LogQuery, MAX_LOG_LINES};
use super::operand::{Priority, Since, Unit};
use super::reader::{Failure, Reader};

/// So many alike are a warning.
const MANY: usize = 10;
/// Longest shape.
const SHAPE_CHARS: usize = 160;

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
pub(super) struct Group<'a> {
    /// What they have in common.
    pub(super) shape: String,
    /// How many.
    pub(super) count: usize,
    pub(super) first: &'a LogLine,
    pub(super) last: &'a LogLine,
    /// What they tell, where that is known.
    pub(super) meaning: Option<&'static str>,
    pub(super) severity: Severity,
}

/// Groups lines, the oldest of which comes first, by unit and shape; what tells the same known cause is one group. The
/// worst group comes first, of equals the largest.
pub(super) fn group(lines: &[LogLine]) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<(&str, String), Group<'_>> = BTreeMap::new();
    for line in lines {
        let low = line.message.to_ascii_lowercase();
        let known = KNOWN.iter().find(|(words, ..)| low.contains(words));
        let meaning = known.map(|(_, _, what)| *what);
        let shape = shape(&line.message);
        let key = (line.unit.as_str(), meaning.map_or_else(|| shape.clone(), str::to_owned));
        let severity = known.map_or(Severity::Info, |(_, severity, _)| *severity);
        let group = groups.entry(key).or_insert(Group {
            shape,
            count: 0,
            first: line,
            last: line,
            meaning,
            severity,
        });
        group.count += 1;
        group.last = line;
    }
    let mut groups: Vec<Group<'_>> = groups.into_values().collect();
    for group in &mut groups {
        if group.meaning.is_none() && group.count >= MANY {
            group.severity = Severity::Warning;
        }
    }
    groups.sort_by_key(|g| (g.severity, std::cmp::Reverse(g.count)));
    groups
}

/// The message without what differs from time to time: numbers and long hexadecimal words.
fn shape(message: &str) -> String {
    let words = message.split_whitespace().take(30).map(|word| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let hex = bare.len() >= 8
            && bare.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
            && bare.bytes().any(|b| b.is_ascii_digit());
        if hex {
            return word.replace(bare, "#");
        }
        let mut out = String::with_capacity(word.len());
        for c in word.chars() {
            // A number is one sign, however long.
            if !c.is_ascii_digit() {
                out.push(c);
            } else if !out.ends_with('#') {
                out.push('#');
            }
        }
        out
    });
    one_line(&words.collect::<Vec<String>>().join(" "), SHAPE_CHARS)
}

/// Errors that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErrorGroup {
    /// How bad it is.
    pub severity: Severity,
    /// Unit, or program.
    pub unit: String,
    /// How many lines.
    pub count: usize,
    /// When it was first logged, UTC.
    pub first: String,
    /// When it was last logged, UTC.
    pub last: String,
    /// The message, `#` where numbers differ.
    pub shape: String,
    /// What it tells, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
    /// The newest of the lines.
    pub sample: String,
}

/// Errors of a time, alike ones together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors {
    /// The worst first.
    pub groups: Vec<ErrorGroup>,
    /// Lines that were looked at.
    pub lines: usize,
    /// Whether older lines of that time were not looked at.
    pub truncated: bool,
    /// What journalctl said beside.
    pub note: Option<String>,
}

/// Asks for errors of a unit, or of all, and groups them. One hour back and priority `err` where nothing is named.
pub async fn analyze_errors(
    reader: &dyn Reader,
    unit: Option<Unit>,
    since: Option<Since>,
    priority: Option<Priority>,
) -> Result<Errors, Failure> {
    let asker = Asker::new(reader);
    let query = LogQuery {
        unit,
        lines: Some(MAX_LOG_LINES),
        since: since.or_else(|| "1h".parse().ok()),
        priority: Some(priority.unwrap_or(Priority::Err)),
        ..LogQuery::default()
    };
    let logs = logs::all(&asker, &query).await?;
    let groups = group(&logs.lines).into_iter().map(|g| ErrorGroup {
        severity: g.severity,
        unit: g.last.unit.clone(),
        count: g.count,
        first: g.first.time.clone(),
        last: g.last.time.clone(),
        shape: g.shape,
        meaning: g.meaning.map(str::to_owned),
        sample: one_line(&g.last.message, 400),
    });
    let lines = logs.lines.len();
    Ok(Errors {
        groups: groups.collect(),
        lines,
        truncated: logs.truncated || lines >= usize::from(MAX_LOG_LINES),
        note: logs.note,
    })
}

impl Row for ErrorGroup {
    fn line(&self) -> String {
        let unit = self.unit.strip_suffix(".service").unwrap_or(&self.unit);
        let clock = |time: &str| time.get(11..19).unwrap_or("?").to_owned();
        let meaning = self.meaning.as_ref().map(|m| format!(" ({m})")).unwrap_or_default();
        format!(
            "{}: {}x {unit} {}..{}{meaning}: {}",
            self.severity.as_str(),
            self.count,
            clock(&self.first),
            clock(&self.last),
            one_line(&self.sample, 200)
        )
    }
}

impl Errors {
    /// One line.
    pub fn head(&self) -> String {
        let mut text = format!("{} lines in {} groups", self.lines, self.groups.len());
        if self.truncated {
            text.push_str("; older ones were not looked at");
        }
        if let Some(note) = &self.note {
            text.push_str(&format!("\nnote: {note}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, answer, block_on};
    use super::*;

    fn record(second: u32, unit: &str, message: &str) -> String {
        format!(
            "{{\"MESSAGE\":\"{message}\",\"PRIORITY\":\"3\",\"_SYSTEMD_UNIT\":\"{unit}\",\"__REALTIME_TIMESTAMP\":\"{second}000000\"}}\n"
        )
    }

    fn analyse(journal: &str) -> Errors {
        block_on(analyze_errors(&Fake::default().with("journalctl", answer(journal)), None, None, None))
            .unwrap()
    }

    #[test]
    fn alike_lines_are_one_group() {
        let mut journal: String = (0..12)
            .map(|i| record(i, "a.service", &format!("worker {i} of pid {} failed", i * 1000)))
            .collect();
        journal.push_str(&record(20, "b.service", "bind: Address already in use"));
        journal.push_str(&record(21, "b.service", "listen 0.0.0.0:80: address already in use"));
        journal.push_str(&record(22, "c.service", "request 9f8e7d6c-0001 failed"));
        journal.push_str(&record(23, "c.service", "request aaaa0002-1111 failed"));
        journal.push_str(&record(24, "d.service", "write: No space left on device"));
        let found = analyse(&journal);
        let lines: Vec<String> = found.groups.iter().map(Row::line).collect();
        assert_eq!(
            lines,
            [
                "critical: 1x d 00:00:24..00:00:24 (a disk is or was full): write: No space left on device",
                "warning: 12x a 00:00:00..00:00:11: worker 11 of pid 11000 failed",
                "warning: 2x b 00:00:20..00:00:21 (a port is taken by another program): listen 0.0.0.0:80: address already in use",
                "info: 2x c 00:00:22..00:00:23: request aaaa0002-1111 failed",
            ]
        );
        assert_eq!(found.groups[1].shape, "worker # of pid # failed");
        assert_eq!(found.head(), "17 lines in 4 groups");
    }

    #[test]
    fn what_is_asked_and_what_is_not_looked_at() {
        let fake = Fake::default().with("journalctl", answer(""));
        block_on(analyze_errors(&fake, Some("x".parse().unwrap()), None, None)).unwrap();
        assert!(
            fake.asked()[0].ends_with("-n 1000 -u x.service -p err --since '1 hours ago'"),
            "{:?}",
            fake.asked()
        );
        let many: String = (0..1000).map(|i| record(i, "a", "x")).collect();
        let found = analyse(&many);
        assert!(found.truncated && found.groups.len() == 1 && found.head().contains("older ones"));
    }

    #[test]
    fn hostile_lines_stay_bounded() {
        let long = "9 ".repeat(2000);
        let journal = record(1, "a\\u001b[31m", &long) + &record(2, "b", "\\u202e\\u202e");
        let found = analyse(&journal);
        assert_eq!(found.groups.len(), 2);
        for group in found.groups {
            assert!(
                group.shape.chars().count() <= SHAPE_CHARS + 1 && !group.unit.contains('\u{1b}'),
                "{group:?}"
            );
            assert!(group.sample.chars().count() <= 401);
        }
        assert_eq!(shape("deadbeef is a word, 12345678 none, (9f8e7d6c)"), "deadbeef is a word, # none, (#)");
    }
}
