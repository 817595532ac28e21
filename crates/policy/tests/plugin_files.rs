//! What a plugin file may say, one rule after the other, and that everything else is refused with its line.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use policy::{Catalogue, Plugin, Profile};

const HEAD: &str = "name = \"x\"\ntitle = \"t\"\ncategory = \"c\"\n";
const COMMAND: &str = "[[command]]\nname = \"x\"\n";
const FORM: &str = "[[command.form]]\nname = \"f\"\n";
const AUTO: &str = "level = \"auto\"\nexamples = [\"x\"]\ncounter_examples = [\"x -z\"]\n";

/// The file with something at the end of its one form.
fn with(lines: &str) -> String {
    format!("{HEAD}[roots]\nlog = [\"/var/log/\"]\n{COMMAND}{FORM}{AUTO}{lines}\n")
}

fn refused(text: &str) -> policy::PluginError {
    Plugin::parse("x.toml", text).unwrap_err()
}

#[test]
fn names_of_plugins_are_lower_case() {
    let named = |name: &str| with("").replacen("name = \"x\"", &format!("name = \"{name}\""), 1);
    for good in ["a", "a-1", "1"] {
        assert!(Plugin::parse("x.toml", &named(good)).is_ok(), "{good}");
    }
    for bad in ["", "A", "a b", "a_b", "a/b", "é"] {
        let error = refused(&named(bad));
        assert!(error.line == 1 && error.cause.contains("no plugin name"), "{bad}: {error}");
    }
}

#[test]
fn names_of_commands_are_bare() {
    let named = |name: &str| with("").replacen(COMMAND, &format!("[[command]]\nname = \"{name}\"\n"), 1);
    for good in ["a", "A.b_c-d+e", "7z"] {
        assert!(Plugin::parse("x.toml", &named(good)).is_ok(), "{good}");
    }
    for bad in ["", "-x", ".x", "a b", "/bin/x", "a/b", "é", "a;b", "["] {
        let error = refused(&named(bad));
        assert!(error.line == 6 && error.cause.contains("no bare program name"), "{bad}: {error}");
    }
}

#[test]
fn a_reader_s_name_is_lower_case() {
    let native = |name: &str| with("").replacen(COMMAND, &format!("{COMMAND}native = \"{name}\"\n"), 1);
    assert!(Plugin::parse("x.toml", &native("cat")).is_ok());
    for bad in ["", "Cat", "a b", "a/b", "a1"] {
        assert!(refused(&native(bad)).cause.starts_with("native"), "{bad}");
    }
}

#[test]
fn a_form_has_what_its_level_needs() {
    let form = |lines: &str| format!("{HEAD}{COMMAND}{FORM}{lines}\n");
    let examples = "examples = [\"x\"]\ncounter_examples = [\"x -z\"]\n";
    for good in [
        "level = \"blocked\"\nreason = \"r\"",
        "level = \"blocked\"\nreason = \"r\"\nany = true",
        &format!("level = \"manual\"\n{examples}"),
        &format!("level = \"auto\"\n{examples}"),
    ] {
        assert!(Plugin::parse("x.toml", &form(good)).is_ok(), "{good}");
    }
    for (bad, cause) in [
        ("level = \"blocked\"", "needs a reason"),
        ("level = \"blocked\"\nany = true", "needs a reason"),
        ("level = \"blocked\"\nreason = \"r\"\nany = true\nwords = [\"a\"]", "has no words"),
        (&format!("level = \"auto\"\nany = true\n{examples}"), "only a blocked form"),
        (&format!("level = \"manual\"\nany = true\n{examples}"), "only a blocked form"),
        ("level = \"auto\"\nexamples = [\"x\"]", "examples and counter_examples"),
        ("level = \"manual\"\ncounter_examples = [\"x\"]", "examples and counter_examples"),
        ("level = \"auto\"", "examples and counter_examples"),
    ] {
        let error = refused(&form(bad));
        assert!(error.line == 6 && error.cause.contains(cause), "{bad}: {error}");
    }
    assert!(refused(&format!("{HEAD}{COMMAND}")).cause.contains("no form"));
    assert!(refused(HEAD).cause.contains("no command"));
}

#[test]
fn options_are_written_as_programs_read_them() {
    let double = |option: &str| with(&format!("options = [\"{option}\"]"));
    let single =
        |option: &str| double(option).replacen(COMMAND, &format!("{COMMAND}single_dash = true\n"), 1);
    for good in ["-l", "--long", "-l|--long", "-NUMBER {int:1..9}", "-n {int:1..9}", "--color[{enum:a|b}]"] {
        assert!(Plugin::parse("x.toml", &double(good)).is_ok(), "{good}");
    }
    for bad in [
        "",
        "-",
        "--",
        "ab",
        "l",
        "-ab",
        "+l",
        "(",
        "!",
        "--a=b",
        "--a b",
        "-é",
        "--é",
        "-l|",
        "-n{int:1..9}",
        "-n {int:1..9",
        "-n[{int:1..9}",
        "-n[{int:1..9",
        "-n {nothing}",
        "-n {path:nowhere}",
        "-l|--long|-l",
    ] {
        let error = refused(&double(bad));
        assert!(error.line == 8 && error.cause.contains("form \"f\""), "{bad}: {error}");
    }
    for good in ["-l", "-type", "-type=MX", "(", ")", "!", "+short", "--x"] {
        assert!(Plugin::parse("x.toml", &single(good)).is_ok(), "{good}");
    }
    for bad in ["", "-", "--", "+", "x", "ab", "((", "-é", "-a\\tb", "+a\\u0007"] {
        assert!(refused(&single(bad)).cause.contains("no option name"), "{bad}");
    }
    for key in ["require", "leading", "exclusive", "force"] {
        let error = refused(&with(&format!("options = [\"-l\"]\n{key} = [\"-m\"]")));
        assert!(error.cause.contains("-m is not listed"), "{key}: {error}");
    }
}

#[test]
fn operands_have_a_type_and_a_count() {
    for bad in [
        "",
        "a|",
        "{pattern",
        "{pattern}x",
        "{pattern}**",
        "{nothing}",
        "{path:nowhere}",
        "{path:log|nowhere}",
    ] {
        let error = refused(&with(&format!("words = [\"{bad}\"]")));
        assert!(error.line == 8 && error.cause.contains("form \"f\""), "{bad}: {error}");
    }
    let takes = |word: &str, count: usize| {
        let catalogue =
            Catalogue::of([("x.toml".to_owned(), with(&format!("words = [\"{word}\"]")))]).unwrap();
        catalogue.judge(&format!("x{}", " a".repeat(count))).permit.is_some()
    };
    for (word, counts) in [
        ("{pattern}", 1..=1),
        ("{pattern}?", 0..=1),
        ("{pattern}*", 0..=32),
        ("{pattern}+", 1..=32),
        ("a|b", 1..=1),
        ("{path:log}*", 0..=0),
    ] {
        for count in [0, 1, 2, 32, 33] {
            assert_eq!(takes(word, count), counts.contains(&count), "{word} {count}");
        }
    }
}

#[test]
fn roots_are_absolute() {
    let root = |path: &str| with("").replacen("/var/log/", path, 1);
    for good in ["/var/log/", "/etc/hosts", "/proc/{pid}/stat"] {
        assert!(Plugin::parse("x.toml", &root(good)).is_ok(), "{good}");
    }
    for bad in ["", "var/log/", "/var/../etc/", "/var//log/"] {
        assert!(refused(&root(bad)).cause.starts_with("root"), "{bad}");
        let exclude = with("").replacen("[roots]", &format!("exclude = [\"{bad}\"]\n[roots]"), 1);
        assert!(refused(&exclude).cause.starts_with("root"), "{bad}");
    }
}

#[test]
fn what_a_file_does_not_say_has_a_value() {
    let catalogue = Catalogue::of([("x.toml".to_owned(), with(""))]).unwrap();
    let permit = catalogue.judge("x").permit.unwrap();
    assert_eq!((permit.limits.lines, permit.limits.bytes, permit.limits.seconds), (20_000, 1_048_576, 30));
    assert_eq!(permit.profile, Profile::Proc);
    assert_eq!(permit.program, ["/usr/bin/x", "/usr/sbin/x", "/bin/x", "/sbin/x"]);
}

#[test]
fn a_mistake_has_its_line() {
    assert_eq!(refused(&with("surplus = 1")).to_string().split(": ").next().unwrap(), "x.toml:13");
    assert_eq!(refused("name = ").line, 1);
    // The second of two commands, the second of two forms.
    let text = format!("{}{COMMAND}{FORM}{AUTO}{FORM}level = \"auto\"\n", with(""));
    assert_eq!(refused(&text).line, 21);
}
