//! Properties of every verdict, over generated lines.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use policy::{Catalogue, Level, lex};
use proptest::prelude::*;

fn catalogue() -> &'static Catalogue {
    static ONE: std::sync::OnceLock<Catalogue> = std::sync::OnceLock::new();
    ONE.get_or_init(|| Catalogue::builtin().unwrap())
}

/// Lines near the edge: an example of the catalogue with words added, dropped and changed.
fn lines() -> impl Strategy<Value = String> {
    let examples: Vec<String> = catalogue()
        .plugins()
        .iter()
        .flat_map(|p| &p.commands)
        .flat_map(|c| &c.forms)
        .flat_map(|f| f.examples.clone())
        .collect();
    let extra = prop::sample::select(vec![
        "",
        " -f",
        " --help",
        " -H evil",
        " -- -x",
        " /etc/shadow",
        " '*'",
        " é",
        " \u{202e}",
        " --no-pager",
        " -n 5",
        " ''",
        ";id",
        " -rf",
        " ../x",
    ]);
    (prop::sample::select(examples), extra, "[ -~]{0,6}")
        .prop_map(|(line, extra, tail)| format!("{line}{extra}{tail}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gets_a_verdict(line in ".{0,300}") {
        let once = catalogue().judge(&line);
        prop_assert_eq!(&once, &catalogue().judge(&line));
        prop_assert_eq!(once.permit.is_none(), once.verdict == Level::Blocked);
    }

    #[test]
    fn what_is_permitted_is_permitted_again_as_the_same_words(line in lines()) {
        let judged = catalogue().judge(&line);
        if judged.verdict != Level::Blocked {
            let again = catalogue().judge(&lex::quote(&judged.argv));
            prop_assert_eq!(again.verdict, judged.verdict, "{}", lex::quote(&judged.argv));
            prop_assert_eq!(again.argv, judged.argv);
        }
    }

    #[test]
    fn an_option_that_is_not_listed_blocks(line in lines()) {
        let judged = catalogue().judge(&line);
        if judged.verdict != Level::Blocked {
            let mut words = judged.argv.clone();
            words.insert(1, "--an-option-of-nobody".to_owned());
            prop_assert_eq!(catalogue().judge(&lex::quote(&words)).verdict, Level::Blocked, "{:?}", words);
        }
    }

    #[test]
    fn plugin_files_are_read_or_refused(text in ".{0,200}") {
        // Nothing to compare: no text may panic.
        let _ = policy::Plugin::parse("x.toml", &text);
        let _ = policy::action::Action::parse("x.toml", &text);
    }

    #[test]
    fn words_survive_quoting(words in prop::collection::vec("[^\\p{C}]{0,12}", 1..6)) {
        if let Ok(back) = lex::lex(&lex::quote(&words)) {
            prop_assert_eq!(&back[..], &words[..]);
        }
    }
}
