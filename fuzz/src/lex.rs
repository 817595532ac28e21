//! The lexer: total, deterministic, and undone by quoting.

use policy::lex::{MAX_LINE, MAX_WORDS, lex, quote};

use crate::text::assert_visible;

/// Takes the bytes as a line, and its lines as words.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    line(text);
    let words: Vec<&str> = text.split('\n').collect();
    survive(&words);
}

fn line(line: &str) {
    let once = lex(line);
    assert_eq!(once, lex(line));
    match once {
        Err(error) => {
            assert!(line.is_char_boundary(error.at), "{error} is no place in {line:?}");
            assert!(!error.reason.is_empty());
        }
        Ok(words) => {
            assert!(line.len() <= MAX_LINE && (1..=MAX_WORDS).contains(&words.len()));
            for word in words.iter() {
                assert_visible(word, "a word");
            }
            let quoted = quote(&words);
            if quoted.len() <= MAX_LINE {
                assert_eq!(lex(&quoted).as_deref(), Ok(&words[..]), "{quoted}");
            }
        }
    }
}

/// Printable ASCII words come back from their quoted line, unless the first one would be an assignment.
fn survive(words: &[&str]) {
    let printable = |w: &&str| w.bytes().all(|b| (b' '..=b'~').contains(&b));
    let quoted = quote(words);
    let fits = quoted.len() <= MAX_LINE && words.len() <= MAX_WORDS;
    if fits && words.iter().all(printable) && !words[0].contains('=') {
        assert_eq!(
            lex(&quoted).as_deref(),
            Ok(&words.iter().map(ToString::to_string).collect::<Vec<_>>()[..])
        );
    }
}
