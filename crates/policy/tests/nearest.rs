//! What is said of a line that no form has, and what the examples of a plugin that is wrong are found to be.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use policy::lex::{MAX_LINE, MAX_WORDS};
use policy::{Catalogue, Level};

fn of(forms: &str) -> Catalogue {
    let text =
        format!("name = \"local\"\ntitle = \"t\"\ncategory = \"c\"\n[[command]]\nname = \"x\"\n{forms}");
    Catalogue::of([("local.toml".to_owned(), text)]).unwrap()
}

fn form(name: &str, level: &str, rest: &str) -> String {
    format!("[[command.form]]\nname = \"{name}\"\nlevel = \"{level}\"\nreason = \"r\"\n{rest}\n")
}

const EXAMPLES: &str = "examples = [\"x\"]\ncounter_examples = [\"x -z\"]";

#[test]
fn the_form_that_most_words_fit_is_the_nearest_and_the_word_that_failed_is_named() {
    let forms = [
        form("one", "auto", &format!("words = [\"a\"]\n{EXAMPLES}")),
        form("two", "auto", &format!("words = [\"a\", \"b\", \"c\"]\n{EXAMPLES}")),
        form("three", "auto", &format!("words = [\"z\"]\n{EXAMPLES}")),
    ];
    let catalogue = of(&forms.concat());
    let nearest = catalogue.nearest("x a b d").unwrap();
    assert_eq!((nearest.form.name.as_str(), nearest.word.as_deref()), ("two", Some("d")));
    assert!(nearest.cause.contains("expected c"), "{}", nearest.cause);
    assert_eq!(nearest.plugin.name, "local");
    // Something is missing: there is no word to name.
    assert_eq!(catalogue.nearest("x a b").unwrap().word, None);
    let reason = catalogue.judge("x a b d").reason;
    assert!(reason.contains("\"d\": expected c") && reason.ends_with("x a b c"), "{reason}");
    assert!(catalogue.nearest("unheard-of").is_none() && catalogue.nearest("'").is_none());
}

#[test]
fn of_equally_near_forms_it_is_the_one_that_needs_no_person_and_never_a_blocked_one() {
    let manual = form("by-hand", "manual", &format!("words = [\"a\"]\n{EXAMPLES}"));
    let auto = form("at-once", "auto", &format!("words = [\"b\"]\n{EXAMPLES}"));
    let blocked = form("never", "blocked", "words = [\"c\", \"d\"]");
    for forms in [[&manual, &auto, &blocked], [&auto, &manual, &blocked], [&blocked, &manual, &auto]] {
        let catalogue = of(&forms.map(String::as_str).concat());
        assert_eq!(catalogue.nearest("x z").unwrap().form.name, "at-once");
        assert_eq!(catalogue.nearest("x c z").unwrap().form.name, "at-once");
    }
    assert!(of(&blocked).nearest("x c z").is_none());
    // The first of two of the same level.
    let other = form("also-at-once", "auto", &format!("words = [\"c\"]\n{EXAMPLES}"));
    assert_eq!(of(&[auto.as_str(), &other].concat()).nearest("x z").unwrap().form.name, "at-once");
}

#[test]
fn wrong_examples_are_found() {
    let right = form("f", "auto", "words = [\"a\"]\nexamples = [\"x a\"]\ncounter_examples = [\"x b\"]");
    assert_eq!(of(&right).check_examples(), Vec::<String>::new());
    let of_another = form("g", "auto", "words = [\"b\"]\nexamples = [\"x a\"]\ncounter_examples = [\"x c\"]");
    let problems = of(&[right.as_str(), &of_another].concat()).check_examples();
    // "x a" is no example of g, and "x b" is permitted now.
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("x/f: counter-example \"x b\" is auto"), "{problems:?}");
    assert!(problems[1].contains("x/g: example \"x a\" is auto"), "{problems:?}");
    let wrong_level =
        form("m", "manual", "words = [\"a\"]\nexamples = [\"x b\"]\ncounter_examples = [\"x c\"]");
    let problems = of(&wrong_level).check_examples();
    assert!(problems.len() == 1 && problems[0].contains("is blocked"), "{problems:?}");
    // What needs a person is a counter-example of what runs at once; what runs at once is none of what needs a person.
    let auto = form("a", "auto", "words = [\"a\"]\nexamples = [\"x a\"]\ncounter_examples = [\"x m\"]");
    let manual = form("m", "manual", "words = [\"m\"]\nexamples = [\"x m\"]\ncounter_examples = [\"x a\"]");
    let problems = of(&[auto.as_str(), &manual].concat()).check_examples();
    assert!(
        problems.len() == 1 && problems[0].contains("x/m: counter-example \"x a\" is auto"),
        "{problems:?}"
    );
}

#[test]
fn a_line_may_have_as_many_words_and_bytes_as_the_lexer_takes_and_no_more_by_what_is_forced() {
    let plain = format!("words = [\"{{pattern}}*\"]\n{EXAMPLES}");
    let forced = format!(
        "words = [\"{{pattern}}*\", \"{{pattern}}*\"]\noptions = [\"-q\"]\nforce = [\"-q\"]\n{EXAMPLES}"
    );
    let words = |n: usize| format!("x{}", " a".repeat(n));
    // An operand takes 32 words at most, so that many operands are needed for so many words.
    let many = "{pattern}*\", \"".repeat(8);
    let wide =
        |rest: &str| of(&form("f", "auto", &format!("words = [\"{many}{{pattern}}*\"]\n{rest}\n{EXAMPLES}")));
    assert_eq!(wide("").judge(&words(MAX_WORDS - 1)).verdict, Level::Auto);
    let quiet = wide("options = [\"-q\"]\nforce = [\"-q\"]");
    assert_eq!(quiet.judge(&words(MAX_WORDS - 2)).verdict, Level::Auto);
    assert_eq!(quiet.judge(&words(MAX_WORDS - 1)).verdict, Level::Blocked);
    // As long as the lexer takes it; quoted, the forced option makes it three bytes longer.
    let long = |n: usize| {
        let mut line = "x".to_owned();
        while line.len() + 401 < n {
            line.push(' ');
            line.push_str(&"a".repeat(400));
        }
        line.push(' ');
        let left = n - line.len();
        line.push_str(&"a".repeat(left));
        line
    };
    assert_eq!(of(&form("f", "auto", &plain)).judge(&long(MAX_LINE)).verdict, Level::Auto);
    let quiet = of(&form("f", "auto", &forced));
    assert_eq!(quiet.judge(&long(MAX_LINE - 3)).verdict, Level::Auto);
    assert_eq!(quiet.judge(&long(MAX_LINE - 2)).verdict, Level::Blocked);
}
