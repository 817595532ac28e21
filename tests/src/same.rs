//! Whether a program said the same three times: plainly, under the wrapper, plainly again.

use std::collections::BTreeMap;

use crate::Said;

/// How far the wrapper's output agrees with the plain ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agreement {
    /// Byte for byte the same as both, or as one of two that differ.
    Exact,
    /// The same lines but for their numbers; the plain runs differ from each other as well.
    Numbers,
    /// A measurement or a growing log: the same lines but for numbers and for as many as the table allows.
    Within,
}

/// What two runs of one program may differ in by its nature.
#[derive(Debug, Clone, Copy)]
pub struct Varies {
    /// Lines that are left out of all three, as they tell of the run itself.
    pub without: &'static [&'static str],
    /// Of a hundred lines so many may be other ones, and three besides.
    pub percent: usize,
}

/// Compares status, output and errors; `varies` is what the program's row allows. The second plain run is made only where the
/// first one does not settle the matter: an equal one is equal to a run before or after.
///
/// # Errors
/// What differs, for people.
pub fn agree(
    before: &Said,
    wrapped: &Said,
    after: impl FnOnce() -> Said,
    varies: Option<Varies>,
) -> Result<Agreement, String> {
    if wrapped == before {
        return Ok(Agreement::Exact);
    }
    let after = after();
    if wrapped.exit != before.exit && wrapped.exit != after.exit {
        return Err(format!(
            "status {} in the wrapper, {} and {} plainly",
            wrapped.exit, before.exit, after.exit
        ));
    }
    let out = stream(&before.out, &wrapped.out, &after.out, varies).map_err(|e| format!("stdout: {e}"))?;
    let err = stream(&before.err, &wrapped.err, &after.err, varies).map_err(|e| format!("stderr: {e}"))?;
    Ok(out.max(err))
}

fn stream(before: &str, wrapped: &str, after: &str, varies: Option<Varies>) -> Result<Agreement, String> {
    if wrapped == before || wrapped == after {
        return Ok(Agreement::Exact);
    }
    if before == after && varies.is_none() {
        return Err(format!("both plain runs agree, the wrapper does not: {}", difference(before, wrapped)));
    }
    let without = varies.map_or(&[][..], |v| v.without);
    let [before, wrapped, after] = [before, wrapped, after].map(|text| masked(text, without));
    if wrapped == before || wrapped == after {
        return Ok(Agreement::Numbers);
    }
    let allowed = |plain: &BTreeMap<String, usize>| {
        let lines = plain.values().sum::<usize>().max(wrapped.values().sum());
        varies.map_or(0, |v| if v.percent == 0 { 0 } else { 3 + lines * v.percent / 100 })
    };
    let other = |plain: &BTreeMap<String, usize>| foreign(plain, &wrapped).max(foreign(&wrapped, plain));
    if other(&before) <= allowed(&before) || other(&after) <= allowed(&after) {
        return Ok(Agreement::Within);
    }
    let only = |a: &BTreeMap<String, usize>, b: &BTreeMap<String, usize>| -> Vec<String> {
        a.iter().filter(|(l, n)| b.get(*l) != Some(n)).map(|(l, _)| l.clone()).take(8).collect()
    };
    Err(format!(
        "{} lines differ, {} may: only plainly {:?}; only in the wrapper {:?}",
        other(&after),
        allowed(&after),
        only(&after, &wrapped),
        only(&wrapped, &after)
    ))
}

/// How many lines of the second the first does not have.
fn foreign(first: &BTreeMap<String, usize>, second: &BTreeMap<String, usize>) -> usize {
    second.iter().map(|(line, count)| count.saturating_sub(first.get(line).copied().unwrap_or(0))).sum()
}

/// The lines and how often each comes, numbers as `#`, without blanks and rows of dashes.
fn masked(text: &str, without: &[&str]) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for line in text.lines().filter(|l| !without.iter().any(|w| l.contains(w))) {
        let mut masked = mask(line);
        if masked.starts_with("{\"") {
            // The fields of a journal entry come in no order.
            let mut fields: Vec<&str> = masked[2..].trim_end_matches('}').split(",\"").collect();
            fields.sort_unstable();
            masked = fields.join(",");
        }
        if !masked.is_empty() {
            *lines.entry(masked).or_insert(0) += 1;
        }
    }
    lines
}

/// `12.5` and `7,25` and `09:41:00` are one `#` each; columns and units that grow with them leave no trace.
fn mask(line: &str) -> String {
    let mut masked = String::with_capacity(line.len());
    for char in line.chars().filter(|c| !c.is_whitespace()) {
        match char {
            // A unit grows with its number: 1023Mi, 1.0Gi.
            '0'..='9' | '.' | ',' | ':' | 'K' | 'M' | 'G' | 'T' | 'i' | 'B' | 'u' | 'm' | 's'
                if masked.ends_with('#') => {}
            '0'..='9' => masked.push('#'),
            '-' if masked.ends_with('-') => {}
            _ => masked.push(char),
        }
    }
    masked
}

/// The first line that differs.
fn difference(plain: &str, wrapped: &str) -> String {
    let mut lines = plain.lines().zip(wrapped.lines()).enumerate();
    match lines.find(|(_, (a, b))| a != b) {
        Some((number, (a, b))) => format!("line {}: {a:?} plainly, {b:?} in the wrapper", number + 1),
        None => format!(
            "{} lines plainly, {} in the wrapper; plainly it ends {:?}, there {:?}",
            plain.lines().count(),
            wrapped.lines().count(),
            plain.lines().last(),
            wrapped.lines().last()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(out: &str) -> Said {
        Said { out: out.to_owned(), err: String::new(), exit: 0 }
    }

    const LOOSE: Option<Varies> = Some(Varies { without: &["session"], percent: 10 });

    #[test]
    fn equal_plain_runs_bind_the_wrapper() {
        assert_eq!(agree(&said("a 1"), &said("a 1"), || said("a 1"), None), Ok(Agreement::Exact));
        assert!(agree(&said("a 1"), &said("a 2"), || said("a 1"), None).is_err());
        let mut failed = said("a 1");
        failed.exit = 1;
        assert!(agree(&said("a 1"), &failed, || said("a 1"), LOOSE).is_err(), "never another status");
    }

    #[test]
    fn numbers_may_differ_where_they_do_plainly() {
        assert_eq!(
            agree(&said("up 1.5 s"), &said("up  12 s"), || said("up 3 s"), None),
            Ok(Agreement::Numbers)
        );
        assert!(agree(&said("up 1 s"), &said("down 2 s"), || said("up 3 s"), None).is_err());
        assert!(agree(&said("up 1 s"), &said("up 2 s\nx"), || said("up 3 s"), None).is_err());
    }

    #[test]
    fn fields_of_a_journal_entry_come_in_any_order() {
        let (one, other) = (said("{\"a\":\"1\",\"b\":\"x\"}"), said("{\"b\":\"x\",\"a\":\"2\"}"));
        assert_eq!(agree(&one, &other, || one.clone(), LOOSE), Ok(Agreement::Numbers));
        assert!(agree(&one, &said("{\"a\":\"1\",\"b\":\"y\"}"), || said("{}"), None).is_err());
    }

    #[test]
    fn a_row_allows_so_many_lines_and_no_more() {
        let plain: String = (0..20).map(|i| format!("{}\n", "x".repeat(i + 1))).collect();
        let with =
            |more: &str| agree(&said(&plain), &said(&format!("{plain}{more}")), || said(&plain), LOOSE);
        assert_eq!(with("session a\nsession b\nsession c\n"), Ok(Agreement::Numbers));
        assert_eq!(with("a\nb\nc\nd\ne\n"), Ok(Agreement::Within));
        assert!(with("a\nb\nc\nd\ne\nf\n").is_err());
        assert!(agree(&said(&plain), &said(""), || said(&plain), LOOSE).is_err(), "nothing is not the same");
    }
}
