//! Makes text of a host safe to hand on: for terminals, for browsers and for models.
//!
//! In this order: lossy UTF-8, terminal escapes and invisible characters out (`controls`), secrets out
//! (`secrets`), markup that would load something from elsewhere defused, then the caps. Secrets go before the
//! caps, so that no cut leaves half of one. Each step is linear in its input.

mod controls;
mod secrets;

use serde_json::Value;

/// Most bytes that [`clean`] leaves: what clients still show to the model in one piece.
pub const MAX_BYTES: usize = 48 << 10;
/// Most lines that [`clean`] leaves.
pub const MAX_LINES: usize = 1000;

/// Text that is safe to hand on, and what was done to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cleaned {
    /// The text.
    pub text: String,
    /// Control and invisible characters that were removed; an escape sequence counts once.
    pub removed_controls: usize,
    /// Secrets that were replaced by `[redacted …]`.
    pub redactions: usize,
    /// Whether text was left out at a cap; its last line then says how much.
    pub truncated: bool,
}

/// What a [`Washer`] leaves of one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Most bytes, the marker left out.
    pub bytes: usize,
    /// Most lines, the marker left out.
    pub lines: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self { bytes: MAX_BYTES, lines: MAX_LINES }
    }
}

/// Cleans texts that belong together, such as the lines of one log, and counts over all of them.
///
/// It remembers a private key that begins in one text and goes on in the next.
#[derive(Debug, Clone, Default)]
pub struct Washer {
    in_key: bool,
    /// Control and invisible characters that were removed so far.
    pub removed_controls: usize,
    /// Secrets that were replaced so far.
    pub redactions: usize,
}

impl Washer {
    /// Cleans one text, within caps. `true` beside it when text was left out.
    pub fn text(&mut self, raw: &[u8], caps: Caps) -> (String, bool) {
        let (visible, removed) = controls::strip(&String::from_utf8_lossy(raw));
        self.removed_controls += removed;
        let (safe, redacted, in_key) = secrets::redact(&visible, self.in_key);
        self.redactions += redacted;
        self.in_key = in_key;
        cap(defuse(safe), caps)
    }

    /// Cleans every string of a JSON value, keys too; each string stands for itself.
    pub fn json(&mut self, value: Value) -> Value {
        match value {
            Value::String(s) => Value::String(self.alone(&s)),
            Value::Array(items) => Value::Array(items.into_iter().map(|v| self.json(v)).collect()),
            Value::Object(map) => {
                let mut clean = serde_json::Map::new();
                for (key, value) in map {
                    let value = self.member(&key, value);
                    clean.insert(self.alone(&key), value);
                }
                Value::Object(clean)
            }
            other => other,
        }
    }

    /// A text that has nothing to do with those before and behind it.
    fn alone(&mut self, text: &str) -> String {
        let cleaned = clean(text.as_bytes());
        self.removed_controls += cleaned.removed_controls;
        self.redactions += cleaned.redactions;
        cleaned.text
    }

    /// In `{"password": "x"}` only the key tells that the value is a secret.
    fn member(&mut self, key: &str, value: Value) -> Value {
        match value {
            Value::String(s) if secrets::names_a_secret(key) && !s.is_empty() => {
                self.redactions += 1;
                Value::String(secrets::MARK.to_owned())
            }
            other => self.json(other),
        }
    }
}

/// Cleans one text, at most [`MAX_BYTES`] and [`MAX_LINES`].
pub fn clean(raw: &[u8]) -> Cleaned {
    clean_within(raw, Caps::default())
}

/// Cleans one text, within caps.
pub fn clean_within(raw: &[u8], caps: Caps) -> Cleaned {
    let mut washer = Washer::default();
    let (text, truncated) = washer.text(raw, caps);
    Cleaned { text, removed_controls: washer.removed_controls, redactions: washer.redactions, truncated }
}

/// Cleans output whose end is missing: the last, partial line is dropped, as it may hold half of a secret.
pub fn clean_cut(raw: &[u8]) -> Cleaned {
    let whole = raw.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
    let mut cleaned = clean(&raw[..whole]);
    if !cleaned.truncated {
        cleaned.text.push_str("[cut here: the output went on]");
        cleaned.truncated = true;
    }
    cleaned
}

/// Cleans every string of a JSON value, keys too.
pub fn clean_json(value: Value) -> Value {
    Washer::default().json(value)
}

/// Shows text exactly, with what is invisible or acts on a terminal written out as `\u{…}`; nothing is removed
/// or redacted. For a person who must see the very bytes before signing them.
pub fn escaped(raw: &[u8]) -> String {
    controls::escape(raw)
}

/// The text on one line of at most `chars` characters.
pub fn one_line(text: &str, chars: usize) -> String {
    let joined = text
        .split(['\n', '\t'])
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" | ");
    match joined.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &joined[..end]),
        None => joined,
    }
}

/// Puts clean text between two lines that only `nonce` makes valid; the text cannot close it, since each
/// occurrence of the nonce in it is taken out. The nonce must be random for each answer.
pub fn fence(text: &str, nonce: &str) -> String {
    let inner = if nonce.is_empty() { text.to_owned() } else { text.replace(nonce, "[fence]") };
    format!("<<<untrusted {nonce}\n{}\nuntrusted {nonce}>>>", inner.trim_end_matches('\n'))
}

/// Breaks `![alt](url)` and `[text](url)`, which a renderer of Markdown would load or offer, and `<img`.
fn defuse(text: String) -> String {
    const MARKS: [&str; 3] = ["](", "![", "<img"];
    if !MARKS.iter().any(|m| text.contains(m)) && !text.to_ascii_lowercase().contains("<img") {
        return text;
    }
    let mut safe = String::with_capacity(text.len() + 64);
    let mut rest = text.as_str();
    while let Some(at) = rest.find(['!', ']', '<']) {
        let (before, from) = rest.split_at(at);
        safe.push_str(before);
        let taken = if from.starts_with("![") && looks_like_image(from) {
            safe.push_str("!\\[");
            2
        } else if from.starts_with("](") && leads_elsewhere(&from[2..]) {
            safe.push_str("]\\(");
            2
        } else if from.get(..4).is_some_and(|tag| tag.eq_ignore_ascii_case("<img")) {
            safe.push_str("&lt;");
            1
        } else {
            safe.push_str(&from[..1]);
            1
        };
        rest = &from[taken..];
    }
    safe.push_str(rest);
    safe
}

/// `![…](` or `![…][`, its text short enough that many of them do not cost quadratic time.
fn looks_like_image(from: &str) -> bool {
    let within = from.as_bytes().get(2..from.len().min(514)).unwrap_or_default();
    let end = within.iter().position(|b| *b == b']' || *b == b'\n');
    end.is_some_and(|end| within[end] == b']' && matches!(within.get(end + 1), Some(b'(' | b'[')))
}

/// A link with a scheme or to another host.
fn leads_elsewhere(target: &str) -> bool {
    let head: String = target.chars().take(24).collect::<String>().to_ascii_lowercase();
    let head = head.trim_start_matches([' ', '<', '\n']);
    head.starts_with("//") || head.split(['/', ')', ' ', '?']).next().is_some_and(|first| first.contains(':'))
}

fn cap(mut text: String, caps: Caps) -> (String, bool) {
    let by_lines =
        text.match_indices('\n').nth(caps.lines.saturating_sub(1)).map_or(text.len(), |(at, _)| at + 1);
    let mut end = by_lines.min(text.len());
    if end > caps.bytes {
        end = caps.bytes;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
    }
    if end >= text.len() {
        return (text, false);
    }
    let left_out = text.len() - end;
    let lines = text[end..].lines().count();
    text.truncate(end);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&format!("[cut here: {lines} more lines, {left_out} bytes]"));
    (text, true)
}

#[cfg(test)]
mod tests;
