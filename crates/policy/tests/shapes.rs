//! How the words of a line are given to the options and operands of a form, case by case.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use policy::{Catalogue, Judgement, Level};

/// A command `x` with one form; `head` stands in the command, `form` in its form.
fn of(head: &str, form: &str) -> Catalogue {
    let text = format!(
        "name = \"local\"\ntitle = \"t\"\ncategory = \"c\"\nexclude = [\"/var/log/private/\"]\n\
         [roots]\nlog = [\"/var/log/\"]\nproc = [\"/proc/{{pid}}/stat\", \"/proc/{{pid}}/task/\"]\nname = [\"/etc/host*\"]\n\
         top = [\"/\"]\n[[command]]\nname = \"x\"\n{head}\n[[command.form]]\nname = \"f\"\nlevel = \"auto\"\n\
         examples = [\"x\"]\ncounter_examples = [\"x -z\"]\n{form}\n"
    );
    Catalogue::of([("local.toml".to_owned(), text)]).unwrap()
}

fn takes(catalogue: &Catalogue, good: &[&str], bad: &[&str]) {
    for line in good {
        let judged = catalogue.judge(line);
        assert_eq!(judged.verdict, Level::Auto, "{line}: {}", judged.reason);
    }
    for line in bad {
        let judged = catalogue.judge(line);
        assert!(judged.verdict == Level::Blocked && judged.permit.is_none(), "{line}");
    }
}

fn usage(form: &str) -> String {
    of("", form).plugins()[0].commands[0].forms[0].usage().to_owned()
}

#[test]
fn options_are_long_short_clustered_and_attached() {
    let catalogue = of(
        "",
        r#"options = ["-a|--all", "-b", "-n|--lines|-NUMBER {int:1..99}", "-c|--color[{enum:auto|never}]"]"#,
    );
    let good = [
        "x",
        "x -a",
        "x -ab",
        "x -ba --all",
        "x -n5",
        "x -n 5",
        "x -abn5",
        "x -abn 5",
        "x --lines=5",
        "x --lines 5",
        "x -5",
        "x -55 -a",
        "x -c",
        "x -cauto",
        "x -ac",
        "x -acnever",
        "x --color",
        "x --color=auto",
        "x -a --",
        "x --color -a",
    ];
    let bad = [
        "x -",
        "x -z",
        "x -az",
        "x -za",
        "x -l",
        "x -n",
        "x -an",
        "x --lines",
        "x --lines=",
        "x --lines=0",
        "x -n0",
        "x -n 0",
        "x -n5a",
        "x -100",
        "x -5a",
        "x -a5",
        "x --all=",
        "x --all=yes",
        "x --al",
        "x -all",
        "x --color auto",
        "x -c auto",
        "x -cmaybe",
        "x --color=",
        "x -a -- -b",
        "x -é",
        "x --é",
        "x -n -5",
        "x -NUMBER",
        "x -NUMBER 5",
        "x --a",
        "x -n 5 5",
    ];
    takes(&catalogue, &good, &bad);
}

#[test]
fn a_letter_is_no_end_of_a_long_name() {
    takes(
        &of("", r#"options = ["--all"]"#),
        &["x --all"],
        &["x -l", "x -a", "x -all", "x -al", "x -", "x - --all"],
    );
}

#[test]
fn with_single_dashes_an_option_is_a_whole_word() {
    let catalogue = of(
        "single_dash = true",
        r#"options = ["-type {enum:f|d}", "-q=MX", "(", "+short", "-l", "-s"]
           words = ["{path:log}?"]"#,
    );
    takes(
        &catalogue,
        &["x -type f", "x -q=MX", "x '('", "x +short -l", "x /var/log/a -l", "x -s -l"],
        &[
            "x -type",
            "x -type=f",
            "x -q=A",
            "x -q",
            "x ')'",
            "x +x",
            "x -ls",
            "x --",
            "x -- -l",
            "x -typ f",
            "x -é",
            "x -",
        ],
    );
}

#[test]
fn what_must_be_given_must_be_given() {
    let catalogue = of("", "options = [\"-a|--all\", \"-b\"]\nrequire = [\"--all\"]");
    takes(&catalogue, &["x -a", "x -ba", "x --all -b"], &["x", "x -b"]);
    let judged = catalogue.judge("x -b");
    assert!(judged.reason.starts_with("-a is required"), "{}", judged.reason);
    assert_eq!(catalogue.nearest("x -b").unwrap().word, None);
}

#[test]
fn leading_options_lead_and_exclusive_ones_stand_alone() {
    let catalogue = of(
        "",
        "options = [\"-a\", \"-b\", \"-c\", \"-d\"]\nwords = [\"{name}?\"]\nleading = [\"-a\"]\nexclusive = [\"-b\", \"-c\"]",
    );
    takes(
        &catalogue,
        &["x -a web", "x -d -a web", "x web -d", "x -b", "x -c web", "x -d -d -b"],
        &["x web -a", "x -b -c", "x -bc", "x -b -b", "x -cdc"],
    );
}

#[test]
fn operands_go_to_the_items_in_order() {
    takes(
        &of("", r#"words = ["a|b", "c"]"#),
        &["x a c", "x b c"],
        &["x", "x a", "x c", "x c a", "x a b c", "x a c c", "x a -c"],
    );
    // The last item has its share before the one in front takes more.
    let catalogue = of("", r#"words = ["{enum:a|b}*", "{enum:b}", "end"]"#);
    takes(
        &catalogue,
        &["x b end", "x a b end", "x a b b b end"],
        &["x end", "x a end", "x b", "x a b", "x b end end"],
    );
    let catalogue = of("", r#"words = ["{enum:a}?", "{enum:b}+"]"#);
    takes(&catalogue, &["x b", "x a b", "x a b b"], &["x", "x a", "x a a b", "x b a"]);
    let catalogue = of("", r#"words = ["{enum:a}+", "{enum:b}?", "{enum:c}*"]"#);
    takes(&catalogue, &["x a", "x a a"], &["x", "x b", "x c"]);
}

#[test]
fn a_pattern_may_have_a_dash_behind_two_dashes_and_nothing_else() {
    let one = of("", r#"words = ["{pattern}"]"#);
    takes(
        &one,
        &["x -- -a", "x -- --a", "x a", "x -- a"],
        &["x -a", "x --a", "x -- -", "x -- --", "x -", "x a --b", "x --", "x -- -a -b"],
    );
    takes(&of("", r#"words = ["{pattern}+"]"#), &["x -- a", "x a b"], &["x -- -a", "x -- a -b"]);
    takes(&of("", r#"words = ["{pattern}?"]"#), &["x -- a"], &["x -- -a"]);
    takes(&of("", r#"words = ["{name}"]"#), &["x -- a"], &["x -- -a", "x -- --a"]);
    takes(
        &of("", r#"words = ["sub", "{pattern}"]"#),
        &["x sub -- -a", "x -- sub -a"],
        &["x sub -a", "x -- -sub a"],
    );
}

#[test]
fn paths_are_whole_words_beneath_their_roots() {
    let catalogue = of(
        "",
        r#"options = ["-f|--file {path:log}"]
        words = ["{path:log|proc|name}*"]"#,
    );
    takes(
        &catalogue,
        &[
            "x /var/log",
            "x /var/log/",
            "x /var/log/a/b",
            "x /proc/12/stat",
            "x /proc/1/task/2",
            "x /etc/hosts",
            "x /etc/host",
            "x -f /var/log/a",
            "x --file /var/log/a",
            "x /var/log/privately",
        ],
        &[
            "x /",
            "x /var",
            "x /var/logs",
            "x /var/log/private",
            "x /var/log/private/a",
            "x /proc/self/stat",
            "x /proc//stat",
            "x /proc/12",
            "x /proc/12/stat/a",
            "x /proc/12/maps",
            "x /proc/a/stat",
            "x /etc/hosts/a",
            "x /etc/hos",
            "x /etc/shadow",
            "x -f/var/log/a",
            "x --file=/var/log/a",
            "x -f /etc/hosts",
            "x var/log",
            "x /var/log/../a",
        ],
    );
    let top = of("", r#"words = ["{path:top}"]"#);
    takes(&top, &["x /"], &["x /etc", "x /etc/", "x //"]);
}

fn places(judged: &Judgement) -> Vec<(usize, Vec<String>)> {
    judged.permit.as_ref().unwrap().paths.iter().map(|p| (p.index, p.roots.clone())).collect()
}

#[test]
fn the_paths_of_a_permit_are_those_words_of_what_runs() {
    let form =
        |rest: &str| of("", &format!("options = [\"-f {{path:log}}\", \"-q\", \"-n {{int:1..9}}\"]\n{rest}"));
    let log = || vec!["/var/log/".to_owned()];
    let plain = form("words = [\"sub\", \"{path:log}\"]").judge("x -f /var/log/a sub /var/log/b");
    assert_eq!(places(&plain), [(2, log()), (4, log())]);
    // Two words of two forced options in front, or behind the subcommand.
    let in_front = form("words = [\"sub\", \"{path:log}\"]\nforce = [\"-q\", \"-n 5\"]");
    let judged = in_front.judge("x -f /var/log/a sub /var/log/b");
    assert_eq!(judged.argv.join(" "), "x -q -n 5 -f /var/log/a sub /var/log/b");
    assert_eq!(places(&judged), [(5, log()), (7, log())]);
    let behind =
        form("words = [\"sub\", \"{path:log}\"]\nforce = [\"-q\", \"-n 5\"]\nforce_behind_words = true");
    let judged = behind.judge("x -f /var/log/a sub /var/log/b");
    assert_eq!(judged.argv.join(" "), "x -f /var/log/a sub -q -n 5 /var/log/b");
    assert_eq!(places(&judged), [(2, log()), (7, log())]);
    // What is given is not forced again.
    let judged = behind.judge("x sub -n 3 /var/log/b -q");
    assert_eq!(
        (judged.argv.join(" "), places(&judged)),
        ("x sub -n 3 /var/log/b -q".to_owned(), vec![(4, log())])
    );
    let judged = behind.judge("x -q sub /var/log/b");
    assert_eq!(
        (judged.argv.join(" "), places(&judged)),
        ("x -q sub -n 5 /var/log/b".to_owned(), vec![(5, log())])
    );
}

#[test]
fn forced_options_stand_behind_all_leading_words_and_no_later_one() {
    let form = "options = [\"-q\"]\nwords = [\"a\", \"b\", \"{name}\", \"c\"]\nforce = [\"-q\"]\nforce_behind_words = true";
    assert_eq!(of("", form).judge("x a b web c").argv.join(" "), "x a b -q web c");
}

#[test]
fn a_forced_option_names_no_path_and_is_one() {
    for (force, cause) in [
        ("-f /var/log/a", "one option that names no path"),
        ("-q a", "one option that names no path"),
        ("-q -r", "one option that names no path"),
        ("-q --", "one option that names no path"),
        ("-n", "a value must follow"),
        ("-n 0", "expected a number"),
    ] {
        let text = format!(
            "name = \"l\"\ntitle = \"t\"\ncategory = \"c\"\n[roots]\nlog = [\"/var/log/\"]\n[[command]]\nname = \"x\"\n\
             [[command.form]]\nname = \"f\"\nlevel = \"auto\"\nexamples = [\"x\"]\ncounter_examples = [\"x -z\"]\n\
             options = [\"-f {{path:log}}\", \"-q\", \"-r\", \"-n {{int:1..9}}\"]\nforce = [\"{force}\"]\n"
        );
        let error = policy::Plugin::parse("l.toml", &text).unwrap_err();
        assert!(error.cause.contains("force") && error.cause.contains(cause), "{force}: {error}");
    }
}

#[test]
fn the_usage_shows_the_form() {
    for (form, shown) in [
        (r#"words = ["a|b", "{unit}", "{pid}?", "{host}*"]"#, "x a|b UNIT [PID] [HOST...]"),
        (r#"words = ["{path:log}+"]"#, "x PATH..."),
        (
            "options = [\"-q\", \"-n|--lines {int:1..9}\", \"-c[{enum:a}]\"]\nrequire = [\"--lines\", \"-c\"]",
            "x -n NUMBER -c",
        ),
        (r#"words = ["{set:a|b|c|d|e|f|g|h}"]"#, "x a|b|c|d|e|f|g|h"),
        (r#"words = ["{enum:a|b|c|d|e|f|g|h|i}"]"#, "x a|b|c|d|e|f|g|h|…"),
        (r#"words = ["{field:_PID|_UID}", "{object:pod}"]"#, "x _PID=VALUE KIND/NAME"),
    ] {
        assert_eq!(usage(form), shown);
    }
    let any = "name = \"l\"\ntitle = \"t\"\ncategory = \"c\"\n[[command]]\nname = \"x\"\n[[command.form]]\nname = \"f\"\n\
               level = \"blocked\"\nreason = \"r\"\nany = true\n";
    let catalogue = Catalogue::of([("l.toml".to_owned(), any.to_owned())]).unwrap();
    assert_eq!(catalogue.plugins()[0].commands[0].forms[0].usage(), "x ...");
    assert_eq!(catalogue.judge("x -whatever /etc/shadow").form.as_deref(), Some("x/f"));
}

#[test]
fn the_options_of_a_form_are_told_with_whether_they_stand_alone() {
    let catalogue = of("", r#"options = ["-q|--quiet", "-n {int:1..9}", "--color[{enum:a}]"]"#);
    let options: Vec<(&str, bool)> = catalogue.plugins()[0].commands[0].forms[0].options().collect();
    assert_eq!(options, [("-q", true), ("--quiet", true), ("-n", false), ("--color", true)]);
}

#[test]
fn a_refusal_names_the_word_and_what_is_wrong_with_it() {
    let catalogue = of("", "options = [\"-n {int:1..9}\", \"-q|--quiet\"]\nwords = [\"sub\", \"{unit}\"]");
    for (line, cause, word) in [
        ("x sub", "\"the end\": a unit is missing", None),
        ("x", "\"the end\": sub is missing", None),
        ("x other web", "\"other\": expected sub", Some("other")),
        ("x sub web more", "\"more\": nothing more may stand here", Some("more")),
        ("x -n 10 sub web", "\"10\": expected a number from 1 to 9", Some("10")),
        ("x sub web -n", "\"-n\": a value must follow", Some("-n")),
        ("x -z sub web", "\"-z\": the option -z is not permitted here", Some("-z")),
        ("x --quiet=1 sub web", "\"--quiet=1\": this option takes no value", Some("--quiet=1")),
        ("x sub -- -web", "\"-web\": an operand must not begin with '-'", Some("-web")),
    ] {
        let nearest = catalogue.nearest(line).unwrap();
        assert_eq!((nearest.cause.as_str(), nearest.word.as_deref()), (cause, word), "{line}");
    }
}
