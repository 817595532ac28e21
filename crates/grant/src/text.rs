//! Which text may stand in a statement.

use crate::Refusal;

/// A name: ASCII letters, digits, `.`, `_` and `-`, beginning with a letter, a digit or `_`.
///
/// Names become file names and words in logs, so nothing else is let in.
pub(crate) fn name(field: &str, value: &str, max: usize) -> Result<(), Refusal> {
    let first = value.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    let rest = value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if first && rest && value.len() <= max {
        Ok(())
    } else {
        Err(Refusal::malformed(format!(
            "{field}: must be 1 to {max} ASCII letters, digits, `.`, `_` or `-`, and begin with a letter or digit"
        )))
    }
}

/// Who a person is: visible ASCII without blanks.
pub(crate) fn person(field: &str, value: &str) -> Result<(), Refusal> {
    if (1..=128).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(Refusal::malformed(format!("{field}: must be 1 to 128 visible ASCII characters")))
    }
}

/// Lower-case hexadecimal of one length, so that one value has one spelling.
pub(crate) fn hex(field: &str, value: &str, digits: usize) -> Result<(), Refusal> {
    if value.len() == digits && value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        Ok(())
    } else {
        Err(Refusal::malformed(format!("{field}: must be {digits} lower-case hexadecimal digits")))
    }
}

/// Text that a person reads before signing: what is shown must be what is there.
pub(crate) fn readable(field: &str, value: &str, lines: bool) -> Result<(), Refusal> {
    match value.chars().find(|c| !(lines && matches!(c, '\n' | '\t')) && hidden(*c)) {
        None => Ok(()),
        Some(c) => Err(Refusal::malformed(format!(
            "{field}: U+{:04X} is a control or invisible character",
            u32::from(c)
        ))),
    }
}

/// Control, format, bidirectional, zero-width, line separator and tag characters, and letters without a shape. Variation
/// selectors, which emoji need, may stand.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xad | 0x34f | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x890 | 0x891 | 0x8e2 | 0x115f | 0x1160 | 0x17b4
            | 0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfeff | 0xffa0
            | 0xfff9..=0xfffb | 0x110bd | 0x110cd | 0x13430..=0x1343f | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a
            | 0xe0000..=0xe0fff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_a_folder_or_become_an_option() {
        for good in ["a", "web01", "restart_unbound", "0b", "_x", "web01.example.org"] {
            assert!(name("f", good, 64).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "-x", "a/b", "a b", "é", "e\u{301}", "a\0", "a\n", &"a".repeat(65)] {
            assert!(name("f", bad, 64).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn readable_text_has_nothing_that_cannot_be_seen() {
        assert!(readable("f", "Unbound ne répond plus.\n\tVoir #12", true).is_ok());
        assert!(readable("f", "a\nb", false).is_err());
        for bad in [
            "\0",
            "\u{1b}[2K",
            "\u{9b}2K",
            "\u{202e}txt",
            "a\u{200b}b",
            "\u{e0041}",
            "\u{feff}",
            "\r",
            "a\u{3164}b",
            "a\u{1d173}b",
            "a\u{e0100}b",
        ] {
            assert!(readable("f", bad, true).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn hex_has_one_spelling() {
        assert!(hex("f", "00ff", 4).is_ok());
        for bad in ["00FF", "00f", "00fff", "00fg", ""] {
            assert!(hex("f", bad, 4).is_err(), "{bad}");
        }
    }
}
