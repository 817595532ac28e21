//! Cuts a command line into words, as a POSIX shell would, without any expansion.
//!
//! Quoting ('…', "…", backslash) is understood; whatever else a shell would act on is refused, with the
//! character and its position.

use std::fmt;
use std::ops::Deref;

use crate::unicode;

/// The most bytes of a line.
pub const MAX_LINE: usize = 8 * 1024;
/// The most words of a line.
pub const MAX_WORDS: usize = 256;

/// The words of a line; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(Vec<String>);

impl Deref for Words {
    type Target = [String];
    fn deref(&self) -> &[String] {
        &self.0
    }
}

/// Why a line is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LexError {
    /// Byte offset in the line.
    pub at: usize,
    /// What is wrong there.
    pub reason: String,
}

impl fmt::Display for LexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.at)
    }
}

impl std::error::Error for LexError {}

fn fail<T>(at: usize, reason: impl Into<String>) -> Result<T, LexError> {
    Err(LexError { at, reason: reason.into() })
}

/// What a shell acts on outside quotes.
const ACTIVE: &str = ";&|<>()$`*?[]{}~#!";

/// Cuts a line into words.
///
/// # Errors
/// The first character that is refused, an unfinished quote, too many bytes or words, or no word at all.
pub fn lex(line: &str) -> Result<Words, LexError> {
    if line.len() > MAX_LINE {
        return fail(line.floor_char_boundary(MAX_LINE), format!("the line has more than {MAX_LINE} bytes"));
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let text = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        None => return fail(at, "a single quote has no end"),
                        Some((_, '\'')) => break,
                        Some((i, c)) => text.push(plain(i, c)?),
                    }
                }
            }
            '"' => {
                let text = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        None => return fail(at, "a double quote has no end"),
                        Some((_, '"')) => break,
                        Some((i, c @ ('$' | '`' | '!'))) => {
                            return fail(i, format!("'{c}' inside double quotes is not data to a shell"));
                        }
                        Some((i, '\\')) => match chars.peek() {
                            Some(&(_, c @ ('"' | '\\' | '$' | '`'))) => {
                                chars.next();
                                text.push(c);
                            }
                            _ => text.push(plain(i, '\\')?),
                        },
                        Some((i, c)) => text.push(plain(i, c)?),
                    }
                }
            }
            '\\' => match chars.next() {
                None => return fail(at, "a backslash ends the line"),
                Some((i, c)) => word.get_or_insert_default().push(plain(i, c)?),
            },
            c if ACTIVE.contains(c) => {
                return fail(
                    at,
                    format!("'{c}' outside quotes: there is no shell here; quote it if it is data"),
                );
            }
            c => word.get_or_insert_default().push(plain(at, c)?),
        }
        if words.len() > MAX_WORDS {
            return fail(at, format!("more than {MAX_WORDS} words"));
        }
    }
    words.extend(word.take());
    if words.len() > MAX_WORDS {
        return fail(line.len(), format!("more than {MAX_WORDS} words"));
    }
    match words.first() {
        None => fail(0, "the line is empty"),
        Some(first) if is_assignment(first) => {
            fail(0, "an assignment before the command: there is no shell here")
        }
        Some(_) => Ok(Words(words)),
    }
}

/// A character that may stand in a word at all.
fn plain(at: usize, c: char) -> Result<char, LexError> {
    match unicode::hidden(c) {
        None => Ok(c),
        Some(what) => fail(at, format!("U+{:04X} ({what})", u32::from(c))),
    }
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    })
}

/// Writes words as one line that [`lex`] reads back as the same words.
pub fn quote<S: AsRef<str>>(words: &[S]) -> String {
    let bare =
        |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./:=,@+%".contains(&b));
    let one = |w: &str| if bare(w) { w.to_owned() } else { format!("'{}'", w.replace('\'', r"'\''")) };
    words.iter().map(|w| one(w.as_ref())).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        lex(line).unwrap().to_vec()
    }

    #[test]
    fn quotes_and_backslashes_as_in_posix() {
        assert_eq!(
            words(r#"a 'b c' "d 'e'" f\ g \( "x\"y\\z\q""#),
            ["a", "b c", "d 'e'", "f g", "(", r#"x"y\z\q"#]
        );
        assert_eq!(words("a '' \"\""), ["a", "", ""]);
        assert_eq!(words("  a\t b  "), ["a", "b"]);
        assert_eq!(words("grep '$x`!*'"), ["grep", "$x`!*"]);
        assert_eq!(words("a'b'\"c\"d"), ["abcd"]);
    }

    #[test]
    fn what_a_shell_acts_on_is_refused_with_its_place() {
        for (line, at) in [
            ("a;b", 1),
            ("a &", 2),
            ("a | b", 2),
            ("a > b", 2),
            ("a < b", 2),
            ("a $(b)", 2),
            ("a `b`", 2),
            ("a *", 2),
            ("a ?", 2),
            ("a [b", 2),
            ("a {b", 2),
            ("a ~", 2),
            ("a #", 2),
            ("a !", 2),
            ("a \"$b\"", 3),
            ("a \"!\"", 3),
            ("a\nb", 1),
            ("a\0", 1),
            ("a\r", 1),
            ("a \u{202e}b", 2),
            ("a 'b", 2),
            ("a \"b", 2),
            ("a\\", 1),
            ("", 0),
            ("  ", 0),
            ("A=b c", 0),
            ("a '\t'", 3),
            ("a \u{e0041}", 2),
            ("a \u{200b}", 2),
            ("a \u{ad}", 2),
            ("a \u{17b4}", 2),
            ("a \u{600}", 2),
            ("a \u{1d173}", 2),
        ] {
            let error = lex(line).unwrap_err();
            assert_eq!(error.at, at, "{line:?}: {error}");
        }
    }

    #[test]
    fn an_assignment_is_a_name_an_equals_sign_and_anything() {
        let refused = "an assignment before the command: there is no shell here at byte 0";
        for line in ["A=b c", "_x1=", "a_B=1=2"] {
            assert_eq!(lex(line).unwrap_err().to_string(), refused, "{line}");
        }
        for line in ["1a=b", "=b", "a-b=c", "ab"] {
            assert!(lex(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn only_what_needs_quotes_is_quoted() {
        assert_eq!(
            quote(&["ls", "-l", "--x=a_b.c:d,e@f+g%h/i", "a b", "", "it's"]),
            r"ls -l --x=a_b.c:d,e@f+g%h/i 'a b' '' 'it'\''s'"
        );
    }

    #[test]
    fn limits() {
        assert!(lex(&"a ".repeat(256)).is_ok());
        assert!(lex(&"a ".repeat(257)).is_err());
        assert!(lex(&"a".repeat(MAX_LINE)).is_ok());
        assert!(lex(&"a".repeat(MAX_LINE + 1)).is_err());
        let line = format!("a{}", "é".repeat(MAX_LINE / 2));
        let at = lex(&line).unwrap_err().at;
        assert!(line.is_char_boundary(at) && at == MAX_LINE - 1, "{at}");
    }
}
