//! What a change of the policy would change: lines judged by both, and every verdict that differs.
//!
//! Pure: where the lines come from (the audit chain, the examples of both policies) is the caller's to say.

use std::collections::BTreeMap;

use policy::{Catalogue, Judgement, Level};
use serde::Serialize;

/// A line to judge again, and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The line.
    pub line: String,
    /// How often it was asked for; 0 for an example.
    pub count: u64,
}

/// One line whose verdict, or whose words as they would run, differ.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// The line.
    pub line: String,
    /// How often it was asked for; 0 when it is only an example of a form.
    pub count: u64,
    /// The verdict by the old policy.
    pub old: Level,
    /// The verdict by the new policy.
    pub new: Level,
    /// The old policy's form or reason.
    pub old_form: String,
    /// The new policy's form or reason.
    pub new_form: String,
    /// Whether the new policy permits more: no person where one was needed, or a run where there was none.
    pub wider: bool,
}

/// What two policies say of the same lines.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// Digest of the old policy.
    pub old: String,
    /// Digest of the new policy.
    pub new: String,
    /// How many distinct lines were judged.
    pub lines: usize,
    /// What differs: what is wider first, then by how often it was asked for.
    pub changes: Vec<Change>,
}

/// Judges the recorded lines and the examples and counter-examples of both policies by both.
pub fn difference(
    old: &Catalogue,
    new: &Catalogue,
    recorded: impl IntoIterator<Item = Recorded>,
) -> Difference {
    let mut lines: BTreeMap<String, u64> = BTreeMap::new();
    for catalogue in [old, new] {
        let forms = catalogue.plugins().iter().flat_map(|p| &p.commands).flat_map(|c| &c.forms);
        for line in forms.flat_map(|f| f.examples.iter().chain(&f.counter_examples)) {
            lines.entry(line.clone()).or_default();
        }
    }
    for one in recorded {
        let count = lines.entry(one.line).or_default();
        *count = count.saturating_add(one.count);
    }
    let judged = lines.len();
    let mut changes: Vec<Change> =
        lines.into_iter().filter_map(|(line, count)| compare(old, new, line, count)).collect();
    changes.sort_by(|a, b| (b.wider, b.count).cmp(&(a.wider, a.count)).then_with(|| a.line.cmp(&b.line)));
    Difference { old: old.digest().to_owned(), new: new.digest().to_owned(), lines: judged, changes }
}

fn compare(old: &Catalogue, new: &Catalogue, line: String, count: u64) -> Option<Change> {
    let (before, after) = (old.judge(&line), new.judge(&line));
    if before.verdict == after.verdict && before.argv == after.argv {
        return None;
    }
    let form = |j: &Judgement| j.form.clone().unwrap_or_else(|| j.reason.clone());
    Some(Change {
        old_form: form(&before),
        new_form: form(&after),
        wider: after.verdict < before.verdict,
        old: before.verdict,
        new: after.verdict,
        line,
        count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Catalogue {
        Catalogue::with_plugins([("local.toml".to_owned(), text.to_owned())]).unwrap()
    }

    const HEAD: &str = "name = \"local\"\ntitle = \"x\"\ncategory = \"local\"\n";

    #[test]
    fn what_opens_and_what_closes_is_listed_and_nothing_else() {
        let old = Catalogue::builtin().unwrap();
        let opened = "[[command]]\nname = \"frob\"\n[[command.form]]\nname = \"a\"\nlevel = \"auto\"\nwords = [\"{name}\"]\n\
                      examples = [\"frob x\"]\ncounter_examples = [\"frob\"]\n";
        let closed = "[[command]]\nname = \"uptime\"\n[[command.form]]\nname = \"no\"\nlevel = \"blocked\"\nany = true\nreason = \"no\"\n";
        let new = with(&format!("{HEAD}{opened}{closed}"));
        let asked = [("frob y", 3), ("uptime", 7), ("reboot", 9), ("frob y", 2)];
        let recorded = asked.map(|(line, count)| Recorded { line: line.to_owned(), count });
        let found = difference(&old, &new, recorded);
        assert_ne!(found.old, found.new);
        let rows: Vec<_> =
            found.changes.iter().map(|c| (c.line.as_str(), c.count, c.old, c.new, c.wider)).collect();
        assert_eq!(rows[0], ("frob y", 5, Level::Blocked, Level::Auto, true));
        assert_eq!(rows[1], ("frob x", 0, Level::Blocked, Level::Auto, true));
        assert_eq!(rows[2], ("uptime", 7, Level::Auto, Level::Blocked, false));
        assert!(rows[3..].iter().all(|r| r.0.starts_with("uptime") && !r.4), "{rows:?}");
        assert!(difference(&old, &old, []).changes.is_empty());
    }

    #[test]
    fn other_words_of_the_same_verdict_are_a_change() {
        let form = |force: &str| {
            with(&format!(
                "{HEAD}[[command]]\nname = \"frob\"\n[[command.form]]\nname = \"a\"\nlevel = \"auto\"\noptions = [\"-n {{int:1..9}}\"]\n\
                 force = [\"{force}\"]\nexamples = [\"frob\"]\ncounter_examples = [\"frob x\"]\n"
            ))
        };
        let found = difference(&form("-n 1"), &form("-n 2"), []);
        assert_eq!(found.changes.len(), 1);
        assert_eq!((found.changes[0].line.as_str(), found.changes[0].wider), ("frob", false));
    }
}
