//! The matcher: what every verdict must be, whatever the line.

use std::sync::OnceLock;

use policy::{Account, Catalogue, Judgement, Level, lex};

use crate::text::assert_visible;

/// The first byte of an input that is a list of edits of an example.
const EDITS: u8 = 0x80;
/// An option that no form lists.
const UNKNOWN: &str = "--an-option-of-nobody";

/// Words that have been trouble elsewhere.
const TROUBLE: [&str; 28] = [
    "--",
    "-",
    "",
    "-f",
    "-rf",
    "--help",
    "--no-pager",
    "-n",
    "-n5",
    "5",
    "-1",
    "--output=/tmp/x",
    "-o",
    "/etc/shadow",
    "/var/log/../../etc/shadow",
    "/var/log/syslog",
    "/proc/self/environ",
    "*",
    "$(id)",
    "a=b",
    "é",
    "-é",
    "@/x",
    "%n",
    "{{.Names}}",
    "localhost:443",
    "10.0.0.1",
    "nginx",
];

/// What the judge may have got its words from.
struct Sources {
    catalogue: Catalogue,
    examples: Vec<Vec<String>>,
    words: Vec<String>,
}

fn sources() -> &'static Sources {
    static ONE: OnceLock<Sources> = OnceLock::new();
    ONE.get_or_init(|| {
        let catalogue = Catalogue::builtin().unwrap_or_else(|e| panic!("{e}"));
        let lines = examples(&catalogue);
        let examples: Vec<Vec<String>> =
            lines.iter().filter_map(|l| lex::lex(l).ok()).map(|words| words.to_vec()).collect();
        let mut words: Vec<String> = examples.iter().flatten().cloned().collect();
        words.extend(TROUBLE.map(str::to_owned));
        words.sort_unstable();
        words.dedup();
        Sources { catalogue, examples, words }
    })
}

/// All examples and counter-examples of a policy.
pub(crate) fn examples(catalogue: &Catalogue) -> Vec<String> {
    let forms = catalogue.plugins().iter().flat_map(|p| &p.commands).flat_map(|c| &c.forms);
    forms.flat_map(|f| f.examples.iter().chain(&f.counter_examples).cloned()).collect()
}

/// Takes the bytes as a line, or as edits of an example.
pub fn check(data: &[u8]) {
    let sources = sources();
    if let Some((&(EDITS..), edits)) = data.split_first() {
        let words = edited(sources, edits);
        verdict(&sources.catalogue, &lex::quote(&words));
        verdict(&sources.catalogue, &words.join(" "));
    } else if let Ok(line) = std::str::from_utf8(data) {
        verdict(&sources.catalogue, line);
    }
}

/// The example that the first two bytes name, changed by what four bytes each say: what, where, and (two) with which word.
fn edited(sources: &Sources, bytes: &[u8]) -> Vec<String> {
    let number = |bytes: &[u8]| bytes.iter().fold(0_usize, |n, b| n << 8 | usize::from(*b));
    let (head, edits) = bytes.split_at(bytes.len().min(2));
    let mut words = sources.examples[number(head) % sources.examples.len()].clone();
    for edit in edits.chunks_exact(4) {
        let at = usize::from(edit[1]) % (words.len() + 1);
        let choice = number(&edit[2..4]);
        let word = match edit[0] {
            0x80.. => TROUBLE[choice % TROUBLE.len()].to_owned(),
            _ => sources.words[choice % sources.words.len()].clone(),
        };
        match edit[0] % 9 {
            0 | 1 => words.insert(at, word),
            2 if at < words.len() => words[at] = word,
            3 if at < words.len() => drop(words.remove(at)),
            4 if at < words.len() => words.insert(at, words[at].clone()),
            5 if at < words.len() => words[at].push_str(&word),
            6 if at < words.len() => words[at].insert_str(0, &word),
            7 if at + 1 < words.len() => words.swap(at, at + 1),
            8 => words.insert(at, "--".to_owned()),
            _ => {}
        }
    }
    words
}

/// Asserts what is true of every verdict.
pub(crate) fn verdict(catalogue: &Catalogue, line: &str) {
    let judged = catalogue.judge(line);
    assert_eq!(judged, catalogue.judge(line));
    assert_eq!(judged.line, line);
    assert!(!judged.reason.is_empty());
    let Some(permit) = &judged.permit else {
        assert!(judged.verdict == Level::Blocked && judged.argv.is_empty(), "{judged:?}");
        // Nothing to compare: it must only end.
        let _ = catalogue.nearest(line);
        return;
    };
    assert!(judged.verdict != Level::Blocked);
    assert_eq!((&permit.argv, permit.level, permit.account), (&judged.argv, judged.verdict, judged.account));
    assert_eq!(judged.account == Account::Reader, judged.verdict == Level::Auto);
    assert!(permit.program.iter().all(|p| p.starts_with('/') && !p.contains("..")));
    for word in &judged.argv {
        assert_visible(word, "a permitted word");
    }
    for path in &permit.paths {
        let word = &judged.argv[path.index];
        assert!(word.starts_with('/') && !word.split('/').any(|part| part == ".."), "{judged:?}");
        assert!(!path.roots.is_empty());
    }
    keeps_the_words(&judged);
    let again = catalogue.judge(&lex::quote(&judged.argv));
    assert_eq!((again.verdict, &again.argv), (judged.verdict, &judged.argv), "{line:?}: {}", again.reason);
    assert_eq!((&again.form, &again.permit), (&judged.form, &judged.permit), "{line:?}");
    for at in [1, judged.argv.len()] {
        let mut words = judged.argv.clone();
        words.insert(at, UNKNOWN.to_owned());
        let with = catalogue.judge(&lex::quote(&words));
        assert_eq!(with.verdict, Level::Blocked, "{words:?}");
    }
}

/// The words of the line stand in argv, in their order; only forced options stand between them.
fn keeps_the_words(judged: &Judgement) {
    let mut argv = judged.argv.iter();
    let words = lex::lex(&judged.line).unwrap_or_else(|e| panic!("a permitted line has no words: {e}"));
    assert!(words.iter().all(|word| argv.any(|w| w == word)), "{judged:?}");
    assert_eq!(judged.argv[0], words[0]);
}
