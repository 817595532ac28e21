//! Forced options: a plugin cannot force what its form does not permit, and what runs is itself a line with that form.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use policy::{Catalogue, Level, Plugin, lex};

/// A plugin with one command `x` of one form.
fn file(form: &str) -> String {
    format!(
        "name = \"local\"\ntitle = \"t\"\ncategory = \"c\"\n[roots]\nlog = [\"/var/log/\"]\n[[command]]\nname = \"x\"\n\
         [[command.form]]\nname = \"f\"\nlevel = \"auto\"\nexamples = [\"x\"]\ncounter_examples = [\"x -z\"]\n{form}\n"
    )
}

fn of(form: &str) -> Catalogue {
    Catalogue::of([("local.toml".to_owned(), file(form))]).unwrap()
}

#[test]
fn forced_words_are_checked_when_the_file_is_loaded() {
    for good in [
        r#"options = ["-n {int:1..9}"]"#,
        r#"options = ["-n|--lines {int:1..9}"]
           force = ["-n 5"]"#,
        r#"options = ["-n|--lines {int:1..9}"]
           force = ["--lines=5"]"#,
    ] {
        assert!(Plugin::parse("x.toml", &file(good)).is_ok(), "{good}");
    }
    for bad in [
        // no value: it would swallow the next word of the line
        r#"options = ["-n {int:1..9}"]
           force = ["-n"]"#,
        r#"options = ["-n {int:1..9}"]
           force = ["-n 10"]"#,
        r#"options = ["-q"]
           force = ["-q extra"]"#,
        r#"options = ["-q", "-r"]
           force = ["-q -z"]"#,
        r#"options = ["-n {pattern}"]
           force = ["-n a\u202eb"]"#,
        r#"options = ["--\u0007"]
           force = ["--\u0007"]"#,
        r#"options = ["--"]"#,
        r#"force = [""]"#,
    ] {
        let error = Plugin::parse("x.toml", &file(bad)).unwrap_err();
        assert!(error.line == 8 && error.cause.contains("form \"f\""), "{bad}: {error}");
    }
}

#[test]
fn a_forced_option_never_becomes_an_operand() {
    let catalogue = Catalogue::builtin().unwrap();
    assert_eq!(catalogue.judge("docker logs web").argv, ["docker", "logs", "--tail", "1000", "web"]);
    assert_eq!(catalogue.judge("docker logs -- web").verdict, Level::Auto);
    // Behind `--` the subcommand would stand, and behind that the forced option would be a container's name.
    for line in ["docker -- logs web", "podman -- logs web"] {
        let judged = catalogue.judge(line);
        assert!(judged.verdict == Level::Blocked && judged.reason.contains("forced"), "{judged:?}");
    }
}

#[test]
fn a_forced_option_that_must_lead_cannot_stand_behind_the_words() {
    let form = |behind| {
        format!(
            "words = [\"sub\"]\noptions = [\"-q\"]\nleading = [\"-q\"]\nforce = [\"-q\"]\nforce_behind_words = {behind}"
        )
    };
    assert_eq!(of(&form(false)).judge("x sub").argv, ["x", "-q", "sub"]);
    assert_eq!(of(&form(true)).judge("x sub").verdict, Level::Blocked);
}

#[test]
fn no_line_becomes_another_form_by_what_is_forced() {
    let other = "\n[[command.form]]\nname = \"g\"\nlevel = \"blocked\"\nreason = \"r\"\noptions = [\"-q\"]\nrequire = [\"-q\"]";
    let form = format!("options = [\"-q\"]\nforce = [\"-q\"]{other}");
    assert_eq!(of(&form).judge("x").verdict, Level::Blocked);
}

#[test]
fn a_line_whose_argv_is_no_line_is_blocked() {
    let catalogue = of("options = [\"-a\", \"-q\"]\nforce = [\"-q\"]");
    let line = |words: usize| format!("x{}", " -a".repeat(words - 1));
    let judged = catalogue.judge(&line(lex::MAX_WORDS - 1));
    assert_eq!((judged.verdict, judged.argv.len()), (Level::Auto, lex::MAX_WORDS));
    assert_eq!(catalogue.judge(&line(lex::MAX_WORDS)).verdict, Level::Blocked);

    let catalogue = of("words = [\"{pattern}*\"]");
    // Each `\'` has two bytes and needs four when the words are quoted.
    let line = |quotes: usize| format!("x{}", format!(" {}", r"\'".repeat(quotes)).repeat(8));
    assert_eq!(catalogue.judge(&line(200)).verdict, Level::Auto);
    assert!(line(500).len() < lex::MAX_LINE);
    assert_eq!(catalogue.judge(&line(500)).verdict, Level::Blocked);
}
