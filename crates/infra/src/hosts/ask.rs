//! Asking a host: runs a command through the [`Reader`] and hands on what it said, judged by its exit status and
//! cleaned. Nothing raw leaves this file.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::hygiene::{self, Caps, Washer};
use super::reader::{Failure, Output, Reader};

/// What families read at most of one answer; the target has its own, smaller caps.
const READ: Caps = Caps { bytes: 8 << 20, lines: 200_000 };
/// What the wrapper says in front of its own words.
const WRAPPER: &str = "mcp-wrapper: ";
/// What it says of a permitted program that is not there.
const NOT_THERE: &str = " is not installed on this host";
const REFUSED: i32 = 126;
const NOT_FOUND: i32 = 127;
const TIME_LIMIT: i32 = 124;

/// Both streams of an answer in text, clean.
pub(super) struct Streams {
    pub(super) stdout: String,
    pub(super) stderr: String,
    /// Whether the end is missing.
    pub(super) truncated: bool,
}

/// Asks one host, and counts what was cleaned over all its answers.
pub(super) struct Asker<'a> {
    reader: &'a dyn Reader,
    counts: Mutex<Counts>,
}

/// Characters and secrets that were taken out of the answers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) removed_controls: usize,
    pub(super) redactions: usize,
}

/// An answer in text, clean.
pub(super) struct Told {
    pub(super) text: String,
    /// What the program complained about, clean and short.
    pub(super) complaint: String,
    /// Whether the end is missing.
    pub(super) truncated: bool,
}

impl<'a> Asker<'a> {
    pub(super) fn new(reader: &'a dyn Reader) -> Self {
        Self { reader, counts: Mutex::default() }
    }

    pub(super) fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, washer: &Washer) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.removed_controls += washer.removed_controls;
        counts.redactions += washer.redactions;
    }

    /// An answer in text; exit status 0 is required.
    pub(super) async fn text(&self, argv: &[&str]) -> Result<Told, Failure> {
        self.text_or(argv, &[]).await
    }

    /// An answer in text; `fine` lists the exit statuses beside 0 with which the program still answers.
    pub(super) async fn text_or(&self, argv: &[&str], fine: &[i32]) -> Result<Told, Failure> {
        let output = self.judged(argv, fine).await?;
        let mut washer = Washer::default();
        let (text, _) = washer.text(&output.stdout, READ);
        self.count(&washer);
        Ok(Told { text, complaint: complaint(&output), truncated: output.truncated })
    }

    /// Both streams of an answer, for programs that speak on standard error too.
    pub(super) async fn streams(&self, argv: &[&str], fine: &[i32]) -> Result<Streams, Failure> {
        let output = self.judged(argv, fine).await?;
        let clean = |raw: &[u8]| {
            let mut washer = Washer::default();
            let (text, _) = washer.text(raw, READ);
            self.count(&washer);
            text
        };
        Ok(Streams {
            stdout: clean(&output.stdout),
            stderr: clean(&output.stderr),
            truncated: output.truncated,
        })
    }

    /// An answer that is one JSON value. An answer that is cut off cannot be read.
    pub(super) async fn json<T: DeserializeOwned>(&self, argv: &[&str]) -> Result<T, Failure> {
        self.json_or(argv, &[]).await
    }

    /// As `json`; `fine` lists the exit statuses beside 0 with which the program still answers.
    pub(super) async fn json_or<T: DeserializeOwned>(
        &self,
        argv: &[&str],
        fine: &[i32],
    ) -> Result<T, Failure> {
        let output = self.judged(argv, fine).await?;
        // A program that has nothing to list may say nothing at all.
        let bytes = if output.stdout.trim_ascii().is_empty() { b"[]".as_slice() } else { &output.stdout };
        let value: Value = serde_json::from_slice(bytes).map_err(|e| unreadable(argv, &output, &e))?;
        let mut washer = Washer::default();
        let value = washer.json(value);
        self.count(&washer);
        serde_json::from_value(value).map_err(|e| unreadable(argv, &output, &e))
    }

    /// An answer with one record of the journal on each line. Lines that are none are left out and counted as cut.
    pub(super) async fn journal(&self, argv: &[&str]) -> Result<JsonLines, Failure> {
        self.journal_or(argv, &[]).await
    }

    /// As `journal`; `fine` lists the exit statuses beside 0 with which the program still answers.
    pub(super) async fn journal_or(&self, argv: &[&str], fine: &[i32]) -> Result<JsonLines, Failure> {
        let output = self.judged(argv, fine).await?;
        // A program that logs a private key writes one record for each of its lines, between those of others.
        let mut washers: BTreeMap<String, Washer> = BTreeMap::new();
        let mut lines =
            JsonLines { complaint: complaint(&output), truncated: output.truncated, ..JsonLines::default() };
        for line in output.stdout.split(|b| *b == b'\n').filter(|l| !l.trim_ascii().is_empty()) {
            match serde_json::from_slice(line) {
                Ok(object @ Value::Object(_)) => {
                    let object = text_of_bytes(object);
                    let unit = object["_SYSTEMD_UNIT"].as_str().unwrap_or_default().to_owned();
                    lines.values.push(record(object, washers.entry(unit).or_default()));
                }
                _ => lines.truncated = true,
            }
        }
        for washer in washers.values() {
            self.count(washer);
        }
        Ok(lines)
    }

    async fn judged(&self, argv: &[&str], fine: &[i32]) -> Result<Output, Failure> {
        let mut output = self.reader.run(argv).await?;
        let program = argv.first().copied().unwrap_or_default().to_owned();
        let stderr = complaint(&output);
        output.truncated |= stderr.contains("mcp-wrapper: output cut at");
        match output.exit {
            Some(REFUSED) if stderr.contains(WRAPPER) => {
                let reason = stderr.split(WRAPPER).last().unwrap_or_default();
                if reason.ends_with(NOT_THERE) {
                    return Err(Failure::Missing { program });
                }
                Err(Failure::Blocked { reason: reason.trim_start_matches("blocked: ").to_owned() })
            }
            Some(TIME_LIMIT) if stderr.contains(WRAPPER) => Err(Failure::TimedOut { seconds: 0 }),
            Some(NOT_FOUND) => Err(Failure::Missing { program }),
            // The wrapper ends a program at the output cap, so its status says nothing then.
            _ if output.truncated => Ok(output),
            Some(0) => Ok(output),
            Some(exit) if fine.contains(&exit) => Ok(output),
            Some(exit) => Err(Failure::Failed { program, exit, stderr }),
            None => Err(Failure::ExitUnknown { program }),
        }
    }
}

/// JSON objects, clean.
#[derive(Default)]
pub(super) struct JsonLines {
    pub(super) values: Vec<Value>,
    pub(super) complaint: String,
    pub(super) truncated: bool,
}

/// journalctl writes a field that is no text as an array of bytes.
fn text_of_bytes(mut object: Value) -> Value {
    if let Value::Object(map) = &mut object {
        for value in map.values_mut() {
            let Value::Array(items) = &*value else { continue };
            let bytes: Option<Vec<u8>> =
                items.iter().map(|n| n.as_u64().and_then(|n| u8::try_from(n).ok())).collect();
            if let Some(bytes) = bytes {
                *value = Value::String(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
    }
    object
}

/// Cleans a record; its message goes on where the one before it ended.
fn record(mut object: Value, washer: &mut Washer) -> Value {
    let message = object.get_mut("MESSAGE").map(Value::take);
    let mut clean = washer.json(object);
    if let (Some(message), Value::Object(map)) = (message, &mut clean) {
        let message = match message {
            Value::String(text) => Value::String(washer.text(text.as_bytes(), Caps::default()).0),
            other => washer.json(other),
        };
        map.insert("MESSAGE".to_owned(), message);
    }
    clean
}

fn complaint(output: &Output) -> String {
    hygiene::one_line(&hygiene::clean(&output.stderr).text, 300)
}

fn unreadable(argv: &[&str], output: &Output, cause: &serde_json::Error) -> Failure {
    let program = argv.first().copied().unwrap_or_default().to_owned();
    let cause = if output.truncated {
        "its output was too long and cut off".to_owned()
    } else {
        // serde quotes what it read.
        hygiene::one_line(&hygiene::clean(cause.to_string().as_bytes()).text, 160)
    };
    Failure::Unreadable { program, cause }
}

/// An answer that lacks what every such answer has.
pub(super) fn lacking(program: &str, cause: &str) -> Failure {
    Failure::Unreadable { program: program.to_owned(), cause: cause.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, answer, block_on};
    use super::*;

    fn ask(output: Output) -> Result<Told, Failure> {
        let fake = Fake::default().with("df", output);
        block_on(Asker::new(&fake).text(&["df"]))
    }

    #[test]
    fn output_hostile_15_no_exit_status_is_not_success() {
        let failure = ask(Output { stdout: b"fine".to_vec(), ..Output::default() }).err().unwrap();
        assert_eq!(failure.code(), "exit_unknown");
    }

    #[test]
    fn output_hostile_11_stderr_is_clean() {
        let failure = ask(Output {
            stderr: b"\x1b[31mdf: password=hunter2\nmore".to_vec(),
            exit: Some(1),
            ..Output::default()
        });
        assert_eq!(
            failure.err().unwrap().to_string(),
            "df failed with exit status 1: df: password=[redacted] | more"
        );
    }

    #[test]
    fn the_wrapper_is_understood() {
        let with =
            |exit, stderr: &str| ask(Output { stderr: stderr.into(), exit: Some(exit), ..Output::default() });
        assert_eq!(
            with(126, "mcp-wrapper: blocked: no form\n").err().unwrap(),
            Failure::Blocked { reason: "no form".into() }
        );
        assert_eq!(
            with(126, "mcp-wrapper: blocked: /usr/bin/df is not installed on this host\n")
                .err()
                .unwrap()
                .code(),
            "program_missing"
        );
        assert_eq!(with(124, "mcp-wrapper: no end\n").err().unwrap().code(), "timed_out");
        assert_eq!(with(127, "").err().unwrap().code(), "program_missing");
        assert_eq!(with(124, "").err().unwrap().code(), "command_failed", "a program's own 124");
        assert!(with(137, "mcp-wrapper: output cut at 9 bytes\n").unwrap().truncated);
    }

    #[test]
    fn broken_json_names_program_and_cause() {
        for (raw, truncated) in [("{\"a\":", true), ("[1,2", false), ("\u{1b}[0mnope", false), ("5", false)] {
            let fake = Fake::default().with("ip", Output { truncated, ..answer(raw) });
            let failure = block_on(Asker::new(&fake).json::<Vec<String>>(&["ip"])).unwrap_err();
            assert_eq!(failure.code(), "unreadable_output", "{raw}");
        }
        let deep = "[".repeat(100_000);
        let fake = Fake::default().with("ip", answer(&deep));
        assert!(block_on(Asker::new(&fake).json::<Value>(&["ip"])).is_err(), "no stack overflow");
    }
}
