//! Ansible's host patterns: `web[01:20].example.com`, `db[a:f]`, `n[0:10:2]`, and a port behind a colon. Pure.

use super::foreign::{MAX_HOSTS, shown};

/// The most ranges in one pattern.
const MAX_RANGES: usize = 8;
/// The most bytes of a pattern.
const MAX_PATTERN: usize = 1_000;

/// The names that a pattern stands for, at most [`MAX_HOSTS`], and the port behind it as it is written.
pub(super) fn expand(pattern: &str) -> Result<(Vec<String>, Option<&str>), String> {
    let (names, port) = split_port(pattern);
    if names.len() > MAX_PATTERN {
        return Err(format!("{} has more than {MAX_PATTERN} bytes", shown(pattern)));
    }
    if names.matches('[').count() > MAX_RANGES {
        return Err(format!("{} has more than {MAX_RANGES} ranges", shown(pattern)));
    }
    let mut done = vec![String::new()];
    let mut rest = names;
    while let Some((head, tail)) = rest.split_once('[') {
        let (range, tail) =
            tail.split_once(']').ok_or_else(|| format!("{}: a range without its ']'", shown(pattern)))?;
        let values = values(range).map_err(|cause| format!("{}: {cause}", shown(pattern)))?;
        if done.len().saturating_mul(values.len()) > MAX_HOSTS {
            return Err(format!("{} stands for more than {MAX_HOSTS} hosts", shown(pattern)));
        }
        done = done
            .iter()
            .flat_map(|begin| values.iter().map(move |value| format!("{begin}{head}{value}")))
            .collect();
        rest = tail;
    }
    for name in &mut done {
        name.push_str(rest);
    }
    Ok((done, port))
}

/// A single colon outside brackets, with digits behind it, is a port.
fn split_port(pattern: &str) -> (&str, Option<&str>) {
    let outside = pattern.rfind(']').map_or(0, |at| at + 1);
    let Some((_, port)) = pattern[outside..].split_once(':') else { return (pattern, None) };
    if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
        return (pattern, None);
    }
    (&pattern[..pattern.len() - port.len() - 1], Some(port))
}

/// The values of what stands between the brackets.
fn values(range: &str) -> Result<Vec<String>, String> {
    let parts: Vec<&str> = range.split(':').collect();
    let (begin, end, step) = match parts.as_slice() {
        [begin, end] => (*begin, *end, "1"),
        [begin, end, step] => (*begin, *end, *step),
        _ => return Err(format!("[{range}] is no range: [BEGIN:END] or [BEGIN:END:STEP]")),
    };
    let step: usize = match step.parse() {
        Ok(step) if step > 0 => step,
        _ => return Err(format!("[{range}]: the step must be a number from 1 on")),
    };
    let begin = if begin.is_empty() { "0" } else { begin };
    if let (Some(first), Some(last)) = (letter(begin), letter(end)) {
        return bounded(range, first, last, step, |n| letter_at(n).to_string());
    }
    let number = |text: &str| -> Result<usize, String> {
        let digits = text.bytes().all(|b| b.is_ascii_digit()) && text.len() <= 12;
        text.parse()
            .ok()
            .filter(|_| digits)
            .ok_or_else(|| format!("[{range}]: begin and end must be two numbers or two letters"))
    };
    let (first, last) = (number(begin)?, number(end)?);
    let width = if begin.len() > 1 && begin.starts_with('0') { begin.len() } else { 0 };
    if width > 0 && width != end.len() {
        return Err(format!(
            "[{range}]: begin and end must have the same length when begin has leading zeros"
        ));
    }
    bounded(range, first, last, step, |n| format!("{n:0width$}"))
}

fn bounded(
    range: &str,
    first: usize,
    last: usize,
    step: usize,
    write: impl Fn(usize) -> String,
) -> Result<Vec<String>, String> {
    if first > last {
        return Err(format!("[{range}]: the begin lies behind the end"));
    }
    if (last - first) / step >= MAX_HOSTS {
        return Err(format!("[{range}] has more than {MAX_HOSTS} values"));
    }
    Ok((first..=last).step_by(step).map(write).collect())
}

/// Position of a single letter in Ansible's order: a to z, then A to Z.
fn letter(text: &str) -> Option<usize> {
    match text.as_bytes() {
        [c @ b'a'..=b'z'] => Some(usize::from(c - b'a')),
        [c @ b'A'..=b'Z'] => Some(usize::from(c - b'A') + 26),
        _ => None,
    }
}

fn letter_at(position: usize) -> char {
    const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char::from(LETTERS[position % LETTERS.len()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(pattern: &str) -> Vec<String> {
        expand(pattern).unwrap().0
    }

    #[test]
    fn ranges_are_ansibles() {
        assert_eq!(
            names("web[08:10].example.com"),
            ["web08.example.com", "web09.example.com", "web10.example.com"]
        );
        assert_eq!(names("db-[a:c]"), ["db-a", "db-b", "db-c"]);
        assert_eq!(names("n[0:6:3]"), ["n0", "n3", "n6"]);
        assert_eq!(names("r[1:2]n[:1]"), ["r1n0", "r1n1", "r2n0", "r2n1"]);
        assert_eq!(names("plain"), ["plain"]);
        assert_eq!(
            expand("web[1:2]:2222").unwrap(),
            (vec!["web1".to_owned(), "web2".to_owned()], Some("2222"))
        );
        assert_eq!(expand("web1:22").unwrap(), (vec!["web1".to_owned()], Some("22")));
        // An IPv6 address: no name of a host, which the tree says.
        assert_eq!(expand("2001:db8::1").unwrap(), (vec!["2001:db8::1".to_owned()], None));
    }

    #[test]
    fn wrong_ranges_say_why_and_none_is_larger_than_the_bound() {
        for (pattern, expected) in [
            ("a[1", "without its"),
            ("a[1:2:3:4]", "is no range"),
            ("a[]", "is no range"),
            ("a[1:]", "two numbers"),
            ("a[2:1]", "behind"),
            ("a[1:9:0]", "step"),
            ("a[01:100]", "same length"),
            ("a[a:9]", "two numbers"),
            ("a[0:10000]", "more than"),
            ("a[0:200]b[0:200]", "more than"),
            ("a[0:99999999999999999999]", "two numbers"),
            ("[1:2][1:2][1:2][1:2][1:2][1:2][1:2][1:2][1:2]", "ranges"),
        ] {
            let cause = expand(pattern).unwrap_err();
            assert!(cause.contains(expected), "{pattern}: {cause}");
        }
        assert_eq!(names("a[0:9999]").len(), MAX_HOSTS);
    }

    proptest! {
        #[test]
        fn any_text_is_expanded_or_refused(pattern in "[a-c0-9\\[\\]:.{}é]{0,40}") {
            if let Ok((names, _)) = expand(&pattern) {
                prop_assert!((1..=MAX_HOSTS).contains(&names.len()));
            }
        }

        #[test]
        fn a_range_has_as_many_names_as_its_bounds_say(first in 0usize..500, more in 0usize..500, step in 1usize..7) {
            let last = first + more;
            let names = names(&format!("h[{first}:{last}:{step}]"));
            prop_assert_eq!(names.len(), more / step + 1);
            prop_assert_eq!(&names[0], &format!("h{first}"));
        }
    }
}
