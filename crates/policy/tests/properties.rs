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
    let examples = examples(catalogue());
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

/// The built-in plugin files, cut into one command each.
fn pieces() -> Vec<String> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../catalogue/plugins");
    let mut pieces = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let (head, commands) = text.split_once("[[command]]").unwrap();
        pieces.extend(commands.split("[[command]]").map(|c| format!("{head}[[command]]{c}")));
    }
    assert!(pieces.len() > 50);
    pieces
}

fn examples(catalogue: &Catalogue) -> Vec<String> {
    let forms = catalogue.plugins().iter().flat_map(|p| &p.commands).flat_map(|c| &c.forms);
    forms.flat_map(|f| f.examples.iter().chain(&f.counter_examples).cloned()).collect()
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
    fn appended_it_blocks_as_well(line in lines()) {
        let judged = catalogue().judge(&line);
        if judged.verdict != Level::Blocked {
            let mut words = judged.argv.clone();
            words.push("--an-option-of-nobody".to_owned());
            prop_assert_eq!(catalogue().judge(&lex::quote(&words)).verdict, Level::Blocked, "{:?}", words);
        }
    }

    #[test]
    fn what_runs_can_be_seen_and_holds_the_line_s_own_words_in_order(line in lines()) {
        let judged = catalogue().judge(&line);
        if judged.verdict != Level::Blocked {
            let hidden = |c: char| c.is_control() || "\u{ad}\u{200b}\u{202e}\u{2066}\u{feff}\u{e0041}".contains(c);
            prop_assert!(!judged.argv.iter().any(|w| w.contains(hidden)), "{:?}", judged.argv);
            let mut argv = judged.argv.iter();
            for word in lex::lex(&line).unwrap().iter() {
                prop_assert!(argv.any(|w| w == word), "{word:?} is not in {:?}", judged.argv);
            }
            let permit = judged.permit.unwrap();
            prop_assert!(permit.paths.iter().all(|p| judged.argv[p.index].starts_with('/') && !p.roots.is_empty()));
        }
    }

    #[test]
    fn a_plugin_file_is_refused_with_a_line_of_it_or_its_examples_get_verdicts(
        piece in prop::sample::select(pieces()),
        at in any::<prop::sample::Index>(),
        insert in prop::sample::select(vec!["", "\"", "]", "{", "\n", "=", "force = [\"-x\"]\n", "any = true\n", "é", "\u{202e}", "--"]),
        remove in 0_usize..12,
    ) {
        let start = piece.floor_char_boundary(at.index(piece.len()));
        let end = piece.floor_char_boundary((start + remove).min(piece.len())).max(start);
        let text = format!("{}{insert}{}", &piece[..start], &piece[end..]);
        match Catalogue::of([("local.toml".to_owned(), text.clone())]) {
            Err(e) => prop_assert!((1..=text.split('\n').count()).contains(&e.line) && !e.cause.is_empty(), "{e}"),
            Ok(catalogue) => {
                // Whether they are as the file says is check_examples's to tell; each has one verdict, and no panic.
                let _ = catalogue.check_examples();
                for line in examples(&catalogue) {
                    let judged = catalogue.judge(&line);
                    let again = catalogue.judge(&lex::quote(&judged.argv));
                    prop_assert!(judged.permit.is_none() || again.argv == judged.argv, "{line}");
                }
            }
        }
    }

    #[test]
    fn any_text_is_an_action_or_is_refused_with_a_line_of_it(text in "(\\[\\[run\\]\\]\n|argv = |\\[|\\]|\"|[a-z]{1,3}|\n|=|.){0,60}") {
        if let Err(e) = policy::action::Action::parse("x.toml", &text) {
            prop_assert!((1..=text.split('\n').count()).contains(&e.line) && !e.cause.is_empty(), "{e}");
        }
    }

    #[test]
    fn words_survive_quoting(words in prop::collection::vec("[^\\p{C}]{0,12}", 1..6)) {
        if let Ok(back) = lex::lex(&lex::quote(&words)) {
            prop_assert_eq!(&back[..], &words[..]);
        }
    }

    #[test]
    fn printable_words_are_never_refused_once_quoted(words in prop::collection::vec("[ -~]{0,12}", 1..20)) {
        let words = [vec!["x".to_owned()], words].concat();
        let back = lex::lex(&lex::quote(&words)).map(|w| w.to_vec());
        prop_assert_eq!(back, Ok(words));
    }
}

/// What the lexer lets through, a POSIX shell cuts into the same words.
#[test]
fn a_shell_cuts_the_same_words() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    // Few letters, so that a line that a shell would act on could start nothing of this machine.
    let text = "([qé]|[ \t]|['\"\\\\]|[ -/:-@\\[-`{-~]){0,16}";
    let strategy: BoxedStrategy<String> = text.prop_map(|tail: String| format!("qq{tail}")).boxed();
    let mut runner = TestRunner::deterministic();
    let mut cut = Vec::new();
    let mut script = String::from("set -f\n");
    while cut.len() < 2000 {
        let line = strategy.new_tree(&mut runner).unwrap().current();
        if let Ok(words) = lex::lex(&line) {
            script.push_str(&format!("printf '%s\\0' {line}; printf '\\n\\0'\n"));
            cut.extend([words.to_vec(), vec!["\n".to_owned()]].concat());
        }
    }
    let shell = std::process::Command::new("sh").args(["-c", &script]).env_clear().output().unwrap();
    assert!(shell.status.success() && shell.stderr.is_empty(), "{}", String::from_utf8_lossy(&shell.stderr));
    let text = String::from_utf8(shell.stdout).unwrap();
    let found: Vec<&str> = text.split_terminator('\0').collect();
    let first = found.iter().zip(&cut).position(|(a, b)| a != b);
    assert_eq!(first, None, "{:?} and {:?}", first.map(|i| found[i]), first.map(|i| &cut[i]));
    assert_eq!(found.len(), cut.len());
}
