//! Terminal escapes, control characters and characters that nobody sees.

use std::iter::Peekable;
use std::str::Chars;

/// A control string such as an OSC that does not end is taken out up to here, the rest is shown.
const LONGEST_STRING: usize = 4096;

/// Takes out what acts on a terminal and what is invisible; newline and tab stay. Gives the number of removals,
/// an escape sequence counting once.
pub(super) fn strip(text: &str) -> (String, usize) {
    if text.bytes().all(|b| matches!(b, b'\n' | b'\t' | b' '..=b'~')) {
        return (text.to_owned(), 0);
    }
    let mut out = String::with_capacity(text.len());
    let mut removed = 0;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' | '\t' => out.push(c),
            '\r' => {
                // The end of a DOS line is a newline; alone it would draw over what stands there.
                if chars.peek() != Some(&'\n') {
                    out.push('\n');
                    removed += 1;
                }
            }
            '\u{2028}' | '\u{2029}' | '\u{85}' => {
                out.push('\n');
                removed += 1;
            }
            '\u{1b}' => {
                escape_sequence(&mut chars);
                removed += 1;
            }
            '\u{9b}' => {
                control_sequence(&mut chars);
                removed += 1;
            }
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => {
                control_string(&mut chars);
                removed += 1;
            }
            c if is_hidden(c) => removed += 1,
            c => out.push(c),
        }
    }
    (out, removed)
}

/// Writes out what [`strip`] would take away.
pub(super) fn escape(raw: &[u8]) -> String {
    let mut out = String::with_capacity(raw.len());
    for chunk in raw.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c != '\n' && c != '\t' && (is_hidden(c) || matches!(c, '\u{2028}' | '\u{2029}')) {
                out.extend(c.escape_unicode());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// After ESC.
fn escape_sequence(chars: &mut Peekable<Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            control_sequence(chars);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            chars.next();
            control_string(chars);
        }
        _ => {
            while chars.next_if(|c| matches!(c, ' '..='/')).is_some() {}
            chars.next_if(|c| matches!(c, '0'..='~'));
        }
    }
}

/// CSI: parameters, intermediates, one final character.
fn control_sequence(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
    chars.next_if(|c| matches!(c, '@'..='~'));
}

/// OSC, DCS and their like: up to BEL or ST. Also up to a newline, so that one byte does not hide a whole log.
fn control_string(chars: &mut Peekable<Chars<'_>>) {
    for _ in 0..LONGEST_STRING {
        match chars.peek() {
            None | Some('\n') => return,
            Some('\u{7}' | '\u{9c}') => {
                chars.next();
                return;
            }
            Some('\u{1b}') => {
                chars.next();
                chars.next_if_eq(&'\\');
                return;
            }
            Some(_) => {
                chars.next();
            }
        }
    }
}

/// Characters without a picture: controls, bidi, zero-width, fillers, variation selectors, tags, private use,
/// non-characters.
fn is_hidden(c: char) -> bool {
    if c.is_control() {
        return true;
    }
    matches!(u32::from(c),
        0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f | 0x202a..=0x202e
        | 0x2060..=0x206f | 0x3164 | 0xe000..=0xf8ff | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb
        | 0xfdd0..=0xfdef | 0x1_d173..=0x1_d17a | 0xe_0000..=0xe_0fff | 0xf_0000..=0x10_ffff)
        || u32::from(c) & 0xfffe == 0xfffe
}
