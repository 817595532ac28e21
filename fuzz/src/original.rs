//! The way of a client's line through a forced command: it is taken byte for byte or not at all, and then judged.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use target::Paths;
use target::request::line;

/// Takes the first byte as the way in which sshd calls; then an argument up to a zero byte, and `SSH_ORIGINAL_COMMAND`.
pub fn check(data: &[u8]) {
    let Some((way, rest)) = data.split_first() else { return };
    let mut parts = rest.splitn(2, |b| *b == 0);
    let (argument, original) = (parts.next().unwrap_or_default(), parts.next());
    // The program may lie in either of its places.
    let own = Paths::WRAPPER[usize::from(way / 5 % 2)].as_bytes();
    let arguments: &[&[u8]] = match way % 5 {
        0 => &[],
        1 => &[b"-c", own],
        2 => &[b"-c", argument],
        3 => &[argument],
        _ => &[b"-c", argument, argument],
    };
    let words: Vec<OsString> = arguments.iter().map(|a| OsStr::from_bytes(a).to_owned()).collect();
    let ask = || line(&Paths::WRAPPER, &words, original.map(|o| OsStr::from_bytes(o).to_owned()));
    let said = ask();
    assert_eq!(said, ask());
    match said {
        Err(reason) => assert!(!reason.is_empty() && !reason.contains(char::is_control)),
        Ok(text) => {
            let is_own = |word: &[u8]| Paths::WRAPPER.iter().any(|place| place.as_bytes() == word);
            let by_shell = matches!(arguments, [flag, word] if *flag == b"-c" && !is_own(word));
            let source = if by_shell { Some(argument) } else { original };
            assert_eq!(Some(text.as_bytes()), source, "not a byte more or less than was asked");
            assert!(way % 5 < 3, "only sshd's ways");
            crate::judge::check(text.as_bytes());
        }
    }
}
