//! Writing: from a head and an event to a line and the next head.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The most bytes that `data` may take in a line. What is larger, or nested deeper than 64 levels, is replaced by
/// `{"cut":{"bytes":…,"sha256":"…","excerpt":"…"}}` with its size, digest and first 1024 characters.
pub const MAX_DATA: usize = 64 * 1024;
/// The most characters of an event's name; the rest is cut.
pub const MAX_EVENT: usize = 64;
/// The most bytes a line may have, its newline not counted.
pub const MAX_LINE: usize = MAX_DATA + 1024;
/// How deep `data` may be nested; a JSON reader may refuse more than 128 levels.
const MAX_DEPTH: usize = 64;
/// Characters kept of data that is too large.
const EXCERPT: usize = 1024;

/// The end of a chain: everything before it follows from the hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The last record's number; the first record is 1.
    pub seq: u64,
    /// The last record's hash: 64 lower-case hexadecimal digits.
    pub hash: String,
}

impl Head {
    /// Before the first record: number 0, a hash of zeros.
    pub fn genesis() -> Self {
        Self { seq: 0, hash: "0".repeat(64) }
    }
}

/// Makes the record that follows `head`: its line, without a newline, and the new head.
///
/// `time_ms` is in unix milliseconds. Whatever `event` and `data` hold, the line is one line, and every character that a
/// terminal could act on or not show is escaped.
pub fn seal(head: &Head, time_ms: i64, event: &str, data: &Value) -> (String, Head) {
    let seq = head.seq.saturating_add(1);
    let event: String = event.chars().take(MAX_EVENT).collect();
    let mut line = prefix(seq, time_ms, &head.hash);
    line.push_str(&escape(&Value::from(event).to_string()));
    line.push_str(",\"data\":");
    line.push_str(&bounded(data));
    let hash = hex(digest(&SHA256, line.as_bytes()).as_ref());
    line.push_str(&suffix(&hash));
    (line, Head { seq, hash })
}

/// What a line begins with: all up to the event's name.
pub(crate) fn prefix(seq: u64, time_ms: i64, prev: &str) -> String {
    format!("{{\"seq\":{seq},\"time\":{time_ms},\"prev\":\"{prev}\",\"event\":")
}

/// What a line ends with.
pub(crate) fn suffix(hash: &str) -> String {
    format!(",\"hash\":\"{hash}\"}}")
}

fn bounded(data: &Value) -> String {
    let text = escape(&data.to_string());
    if text.len() <= MAX_DATA && is_flat(data, MAX_DEPTH) {
        return text;
    }
    let excerpt: String = text.chars().take(EXCERPT).collect();
    let digest = hex(digest(&SHA256, text.as_bytes()).as_ref());
    json!({ "cut": { "bytes": text.len(), "sha256": digest, "excerpt": excerpt } }).to_string()
}

fn is_flat(data: &Value, depth: usize) -> bool {
    match data {
        Value::Array(list) => depth > 0 && list.iter().all(|value| is_flat(value, depth - 1)),
        Value::Object(map) => depth > 0 && map.values().all(|value| is_flat(value, depth - 1)),
        _ => true,
    }
}

/// Escapes what JSON lets through but a terminal acts on or hides. Outside strings JSON has no such characters.
fn escape(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // writing to a String cannot fail
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Control, bidirectional, zero-width, line separator and tag characters.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
