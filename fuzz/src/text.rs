//! Characters that must reach no program and no approver, written apart from the code under test.

/// Panics if a text has a control, bidi, zero-width or tag character.
pub(crate) fn assert_visible(text: &str, what: &str) {
    if let Some(c) = text.chars().find(|c| is_hidden(*c)) {
        panic!("{what} has U+{:04X}: {text:?}", u32::from(c));
    }
}

/// Unicode's general categories Cc and Cf, the separators of lines, and the letters without a shape.
fn is_hidden(c: char) -> bool {
    matches!(u32::from(c),
        0x00..=0x1f | 0x7f..=0x9f | 0xad | 0x34f | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x890 | 0x891 | 0x8e2
        | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f
        | 0x3164 | 0xfeff | 0xffa0 | 0xfff9..=0xfffb | 0x110bd | 0x110cd | 0x13430..=0x1343f | 0x1bca0..=0x1bca3
        | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}
