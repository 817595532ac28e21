//! Searching logs: the journal or a file, the newest match first.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::Row;
use super::ask::Asker;
use super::hygiene::one_line;
use super::log_file::unpacker;
use super::logs::{self, LogQuery, MAX_LOG_LINES};
use super::network::Count;
use super::operand::{FilePath, Since, Unit};
use super::reader::{Failure, Reader};

/// Longest pattern.
const PATTERN_CHARS: usize = 200;
/// A longer line is cut.
const LINE_CHARS: usize = 2000;
/// Units in the counts.
const SOURCES: usize = 20;
/// How the wrapper's own records begin. Each names the line that it ran, so a search would find itself.
const OWN_RECORD: &str = "[mcp-linux-infra@32473 ";

/// What to look for, and where.
#[derive(Debug, Clone, Default)]
pub struct SearchQuery {
    /// Text, or a regular expression; small and large letters are alike.
    pub pattern: String,
    /// Whether it is a regular expression: of PCRE2 for the journal, POSIX extended for a file.
    pub regex: bool,
    /// In this file instead of the journal.
    pub path: Option<FilePath>,
    /// Only of these units; all when empty.
    pub units: Vec<Unit>,
    /// Only from here on (journal).
    pub since: Option<Since>,
}

/// A line with a match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LogMatch {
    /// When it was logged, UTC (journal).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Unit, or program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Number of the line (file).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The line.
    pub message: String,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matches {
    /// The matches, the newest first.
    pub matches: Vec<LogMatch>,
    /// How many in which unit (journal).
    pub by_unit: Vec<Count>,
    /// Whether older matches are missing.
    pub truncated: bool,
    /// Control and invisible characters that were removed.
    pub removed_controls: usize,
    /// Secrets that were replaced.
    pub redactions: usize,
    /// What the program said beside.
    pub note: Option<String>,
}

/// Searches the journal, or a file.
pub async fn search_logs(reader: &dyn Reader, query: &SearchQuery) -> Result<Matches, Failure> {
    let refuse = |cause| {
        let value = one_line(&query.pattern, 60);
        Err(Failure::BadOperand { what: "pattern", value, cause })
    };
    if query.pattern.is_empty() || query.pattern.chars().count() > PATTERN_CHARS {
        return refuse("a pattern has 1 to 200 characters");
    }
    if query.pattern.chars().any(char::is_control) {
        return refuse("a pattern is one line without control characters");
    }
    if query.path.is_some() && (!query.units.is_empty() || query.since.is_some()) {
        return refuse("a file has no units and no times: leave them out, or the path");
    }
    let asker = Asker::new(reader);
    let mut found = match &query.path {
        Some(path) => file(&asker, query, path.as_str()).await?,
        None => journal(&asker, query).await?,
    };
    let counts = asker.counts();
    found.removed_controls = counts.removed_controls;
    found.redactions = counts.redactions;
    Ok(found)
}

async fn journal(asker: &Asker<'_>, query: &SearchQuery) -> Result<Matches, Failure> {
    let pattern = if query.regex { query.pattern.clone() } else { literal(&query.pattern) };
    let ask = |unit: Option<Unit>| LogQuery {
        unit,
        lines: Some(MAX_LOG_LINES),
        since: query.since.clone(),
        grep: Some(pattern.clone()),
        ..LogQuery::default()
    };
    let questions: Vec<LogQuery> = if query.units.is_empty() {
        vec![ask(None)]
    } else {
        query.units.iter().map(|unit| ask(Some(unit.clone()))).collect()
    };
    let answers = futures::future::try_join_all(questions.iter().map(|q| logs::all(asker, q))).await?;
    let mut truncated = false;
    let mut note = None;
    let mut lines = Vec::new();
    for answer in answers {
        truncated |= answer.truncated || answer.lines.len() >= usize::from(MAX_LOG_LINES);
        note = note.or(answer.note);
        lines.extend(answer.lines.into_iter().filter(|l| !l.message.starts_with(OWN_RECORD)));
    }
    // Each answer is in order; those of several units are brought together.
    lines.sort_by(|a, b| a.time.cmp(&b.time));
    lines.reverse();
    let by_unit = by_unit(lines.iter().map(|l| l.unit.as_str()));
    let matches = lines.into_iter().map(|l| LogMatch {
        time: Some(l.time),
        unit: Some(l.unit),
        number: None,
        message: l.message,
    });
    Ok(Matches { matches: matches.collect(), by_unit, truncated, removed_controls: 0, redactions: 0, note })
}

/// Written so that every character stands for itself.
fn literal(pattern: &str) -> String {
    let mut quoted = String::new();
    for c in pattern.chars() {
        if c.is_ascii_punctuation() {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

fn by_unit<'a>(units: impl Iterator<Item = &'a str>) -> Vec<Count> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for unit in units {
        *counts.entry(unit).or_default() += 1;
    }
    let mut counts: Vec<Count> =
        counts.into_iter().map(|(unit, count)| Count { name: unit.to_owned(), count }).collect();
    counts.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    counts.truncate(SOURCES);
    counts
}

async fn file(asker: &Asker<'_>, query: &SearchQuery, path: &str) -> Result<Matches, Failure> {
    let kind = if query.regex { "-E" } else { "-F" };
    let program = if unpacker(path) == Some("zcat") { "zgrep" } else { "grep" };
    // 1: nothing matches.
    let told = asker.text_or(&[program, "-n", "-i", kind, "--", &query.pattern, path], &[1]).await?;
    let row = |line: &str| {
        let (number, text) = line.split_once(':')?;
        let number = number.parse().ok()?;
        Some(LogMatch { time: None, unit: None, number: Some(number), message: one_line(text, LINE_CHARS) })
    };
    let mut matches: Vec<LogMatch> = told.text.lines().filter_map(row).collect();
    matches.reverse();
    Ok(Matches {
        matches,
        by_unit: Vec::new(),
        truncated: told.truncated,
        removed_controls: 0,
        redactions: 0,
        note: Some(told.complaint).filter(|c| !c.is_empty()),
    })
}

impl Row for LogMatch {
    fn line(&self) -> String {
        match (&self.time, &self.unit, self.number) {
            (Some(time), Some(unit), _) => {
                let unit = unit.strip_suffix(".service").unwrap_or(unit);
                format!("{time} {unit}: {}", one_line(&self.message, LINE_CHARS))
            }
            (_, _, Some(number)) => format!("{number}: {}", self.message),
            _ => self.message.clone(),
        }
    }
}

impl Matches {
    /// How many, and where.
    pub fn head(&self) -> String {
        let mut text = format!("{} matches, the newest first", self.matches.len());
        if !self.by_unit.is_empty() {
            let each: Vec<String> =
                self.by_unit.iter().take(8).map(|c| format!("{} {}", c.count, c.name)).collect();
            text.push_str(&format!(": {}", each.join(", ")));
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
    use super::super::reader::Output;
    use super::*;

    const JOURNAL: &str = concat!(
        "{\"MESSAGE\":\"bind: address in use\",\"_SYSTEMD_UNIT\":\"a.service\",\"__REALTIME_TIMESTAMP\":\"1000000\"}\n",
        "{\"MESSAGE\":\"[mcp-linux-infra@32473 id=\\\"1\\\" line=\\\"journalctl --grep bind\\\"]\",\"__REALTIME_TIMESTAMP\":\"2000000\"}\n",
        "{\"MESSAGE\":\"bind again\\u001b[31m\",\"_SYSTEMD_UNIT\":\"a.service\",\"__REALTIME_TIMESTAMP\":\"3000000\"}\n",
    );

    fn search(fake: &Fake, query: &SearchQuery) -> Result<Matches, Failure> {
        block_on(search_logs(fake, query))
    }

    fn text(pattern: &str) -> SearchQuery {
        SearchQuery { pattern: pattern.into(), ..SearchQuery::default() }
    }

    #[test]
    fn the_newest_match_is_first_and_the_search_does_not_find_itself() {
        let fake = Fake::default().with("journalctl", answer(JOURNAL));
        let found = search(&fake, &text("bind")).unwrap();
        let lines: Vec<String> = found.matches.iter().map(Row::line).collect();
        assert_eq!(
            lines,
            ["1970-01-01T00:00:03Z a: bind again", "1970-01-01T00:00:01Z a: bind: address in use"]
        );
        assert_eq!(found.by_unit, [Count { name: "a.service".into(), count: 2 }]);
        assert_eq!((found.truncated, found.removed_controls), (false, 1));
        assert!(found.head().starts_with("2 matches, the newest first: 2 a.service"), "{}", found.head());
    }

    #[test]
    fn a_text_is_no_expression() {
        let fake = Fake::default().with("journalctl", answer(""));
        search(&fake, &text("a.b (x) -y")).unwrap();
        search(
            &fake,
            &SearchQuery {
                regex: true,
                units: vec!["a".parse().unwrap(), "b".parse().unwrap()],
                ..text("a.b")
            },
        )
        .unwrap();
        let asked = fake.asked();
        assert!(asked[0].ends_with(r"--grep 'a\.b \(x\) \-y'"), "{asked:?}");
        assert!(asked[1].contains("-u a.service") && asked[2].contains("-u b.service"), "{asked:?}");
        assert!(asked[1].ends_with("--grep a.b"), "{asked:?}");
    }

    #[test]
    fn files_are_searched_by_number() {
        let fake = Fake::default()
            .with("grep -n -i -F -- -v /var/log/a", answer("3:first -v\n9:second: -v\n"))
            .with("zgrep -n -i -E -- x|y /var/log/a.gz", answer("1:x\n"));
        let path = |p: &str| Some(p.parse().unwrap());
        let found = search(&fake, &SearchQuery { path: path("/var/log/a"), ..text("-v") }).unwrap();
        assert_eq!(found.matches.iter().map(Row::line).collect::<Vec<_>>(), ["9: second: -v", "3: first -v"]);
        let packed = SearchQuery { regex: true, path: path("/var/log/a.gz"), ..text("x|y") };
        assert_eq!(search(&fake, &packed).unwrap().matches.len(), 1);
        let none = Fake::default().with("grep", Output { exit: Some(1), ..answer("") });
        assert!(
            search(&none, &SearchQuery { path: path("/var/log/a"), ..text("x") }).unwrap().matches.is_empty()
        );
        let gone = Output { exit: Some(2), stderr: b"grep: /var/log/a: No such file".to_vec(), ..answer("") };
        let failure = search(
            &Fake::default().with("grep", gone),
            &SearchQuery { path: path("/var/log/a"), ..text("x") },
        );
        assert_eq!(failure.unwrap_err().code(), "command_failed", "no file is not no match");
    }

    #[test]
    fn wrong_patterns_ask_nothing() {
        let fake = Fake::default();
        let unit =
            SearchQuery { path: Some("/x".parse().unwrap()), units: vec!["a".parse().unwrap()], ..text("x") };
        for query in [text(""), text("a\nb"), text(&"x".repeat(201)), unit] {
            assert_eq!(search(&fake, &query).unwrap_err().code(), "bad_arguments");
        }
        assert!(fake.asked().is_empty());
    }
}
