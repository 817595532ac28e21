use super::*;

const WHOLE: &str = r#"
name = "mend"
title = "Mend"
description = "Mends."
risk = "medium"
approvals = 2
timeout_seconds = 5
units = ["demo.service"]
[params.container]
type = "container"
description = "Which."
[params.note]
type = "name"
optional = true
description = "What for."
[[precheck]]
argv = ["podman", "inspect", "--format", "{{.State.Status}}", "{container}"]
expect = { stdout = "running" }
[[precheck]]
argv = ["podman", "inspect", "--format", "{{.Unit}}", "{container}"]
capture = { name = "unit", type = "unit", empty = true }
[[run]]
argv = ["systemctl", "restart", "{unit}"]
when = { var = "unit", is = "set" }
[[run]]
argv = ["podman", "restart", "{container}"]
when = { var = "unit", is = "empty" }
timeout_seconds = 30
[[run]]
argv = ["logger", "--tag=x-{note}"]
when = { var = "note", is = "set" }
[[verify]]
argv = ["podman", "inspect", "{container}"]
retry = { seconds = 20, every_ms = 500 }
"#;

fn params(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn whole() -> Action {
    Action::parse("mend.toml", WHOLE).unwrap()
}

fn words(step: &Step, vars: &Vars) -> String {
    step.argv(vars).unwrap().join(" ")
}

#[test]
fn steps_are_filled_and_braces_stay() {
    let action = whole();
    let bound = action.bind(&params(&[("container", "web")])).unwrap();
    assert_eq!(words(&action.precheck[0], bound.vars()), "podman inspect --format {{.State.Status}} web");
    let mut vars = bound.vars().clone();
    assert!(!action.run[0].applies(&vars) && action.run[1].applies(&vars));
    vars.insert("unit".into(), "web.service".into());
    assert!(action.run[0].applies(&vars) && !action.run[1].applies(&vars));
    assert_eq!(words(&action.run[0], &vars), "systemctl restart web.service");
    assert_eq!((action.run[0].timeout_seconds, action.run[1].timeout_seconds), (5, 30));
}

#[test]
fn a_person_reads_every_step_that_may_run() {
    let action = whole();
    let bound = action.bind(&params(&[("container", "web")])).unwrap();
    let lines: Vec<String> =
        bound.lines().map(|(phase, argv)| format!("{phase}: {}", argv.join(" "))).collect();
    assert_eq!(
        lines[2..],
        ["run: systemctl restart {unit}", "run: podman restart web", "verify: podman inspect web"]
    );
    let bound = action.bind(&params(&[("container", "web"), ("note", "n1")])).unwrap();
    assert!(bound.lines().any(|(_, argv)| argv.join(" ") == "logger --tag=x-n1"));
}

#[test]
fn parameters_are_typed_and_never_options() {
    let action = whole();
    for (pairs, cause) in [
        (vec![], "is missing"),
        (vec![("container", "web"), ("run_as", "root")], "no such parameter"),
        (vec![("container", "-a")], "begin with '-'"),
        (vec![("container", "--all")], "begin with '-'"),
        (vec![("container", "a b")], "container"),
        (vec![("container", "web;id")], "container"),
        (vec![("container", "")], ""),
        (vec![("container", "web"), ("note", "../x")], ""),
    ] {
        let error = action.bind(&params(&pairs)).unwrap_err().to_string();
        assert!(error.contains(cause), "{pairs:?}: {error}");
    }
}

#[test]
fn a_capture_never_becomes_an_option() {
    let action = whole();
    let vars = params(&[("container", "web"), ("unit", "--force")]);
    assert!(action.run[0].argv(&vars).unwrap_err().contains("'-'"));
    assert!(action.run[0].argv(&params(&[("unit", "")])).unwrap_err().contains("not set"));
}

#[test]
fn expectations_say_what_they_miss() {
    let vars = params(&[("before", "abc")]);
    let expect = Expect { stdout: Some("active".into()), ..Expect::default() };
    assert_eq!(expect.misses(Some(0), " active\n", &vars), None);
    assert!(expect.misses(Some(3), "active", &vars).unwrap().contains("exit 3"));
    assert!(expect.misses(None, "active", &vars).unwrap().contains("killed"));
    assert!(expect.misses(Some(0), "inactive", &vars).unwrap().contains("inactive"));
    let expect = Expect { differs: Some("before".into()), ..Expect::default() };
    assert_eq!(expect.misses(Some(0), "xyz\n", &vars), None);
    assert!(
        expect.misses(Some(0), "abc\n", &vars).is_some() && expect.misses(Some(0), "\n", &vars).is_some()
    );
    let expect = Expect { stdout_contains: Some("b".into()), ..Expect::default() };
    assert!(expect.misses(Some(0), "abc", &vars).is_none() && expect.misses(Some(0), "ac", &vars).is_some());
}

#[test]
fn the_plan_is_the_digest_of_the_bytes() {
    assert_eq!(whole().plan().len(), 64);
    assert_ne!(Action::parse("x", &format!("{WHOLE}\n")).unwrap().plan(), whole().plan());
}

#[test]
fn wrong_files_are_refused_with_their_place() {
    for (from, to, line, cause) in [
        ("name = \"mend\"", "name = \"Mend it\"", 1, "action name"),
        ("risk = \"medium\"", "risk = \"mild\"", 5, "mild"),
        ("approvals = 2", "approvals = 0", 1, "approvals"),
        ("approvals = 2", "aprovals = 2", 6, "aprovals"),
        ("type = \"container\"", "type = \"anything\"", 10, "anything"),
        ("\"restart\", \"{unit}\"", "\"restart\", \"{other}\"", 22, "other"),
        ("\"restart\", \"{unit}\"", "\"restart\", \"{\"", 22, "brace"),
        ("[\"podman\", \"restart\"", "[\"/usr/bin/podman\", \"restart\"", 25, "bare program name"),
        ("[\"podman\", \"restart\"", "[\"{container}\", \"restart\"", 25, "bare program name"),
        ("when = { var = \"note\", is = \"set\" }", "", 29, "may be empty"),
        ("retry = { seconds = 20,", "retry = { seconds = 2000,", 32, "retry"),
        ("retry = {", "already_ok = true\nretry = {", 32, "already_ok"),
        ("timeout_seconds = 5", "timeout_seconds = 0", 1, "timeout_seconds"),
        ("units = [\"demo.service\"]", "units = [\"a b\"]", 1, "unit"),
    ] {
        assert!(WHOLE.contains(from), "{from}");
        let error = Action::parse("f.toml", &WHOLE.replacen(from, to, 1)).unwrap_err();
        assert!(error.cause.contains(cause), "{to}: {error}");
        assert!(error.line.abs_diff(line) <= 1, "{to}: {error}, not line {line}");
        assert!(error.to_string().starts_with(&format!("f.toml:{}: ", error.line)));
    }
    let unverified = WHOLE.split("[[verify]]").next().unwrap();
    assert!(Action::parse("f", unverified).unwrap_err().cause.contains("verify"));
}

/// The whole file with one place changed.
fn changed(from: &str, to: &str) -> Result<Action, ActionError> {
    assert!(WHOLE.contains(from), "{from}");
    Action::parse("f.toml", &WHOLE.replacen(from, to, 1))
}

#[test]
fn numbers_of_a_file_have_bounds() {
    for (from, good, bad) in [
        ("approvals = 2", vec!["approvals = 1", "approvals = 8"], vec!["approvals = 9", "approvals = -1"]),
        (
            "timeout_seconds = 5",
            vec!["timeout_seconds = 1", "timeout_seconds = 600"],
            vec!["timeout_seconds = 601", "timeout_seconds = 0"],
        ),
        (
            "timeout_seconds = 30",
            vec!["timeout_seconds = 600"],
            vec!["timeout_seconds = 601", "timeout_seconds = 0"],
        ),
        (
            "{ seconds = 20, every_ms = 500 }",
            vec!["{ seconds = 600, every_ms = 50 }"],
            vec!["{ seconds = 601, every_ms = 50 }", "{ seconds = 600, every_ms = 49 }"],
        ),
    ] {
        for to in good {
            assert!(changed(from, to).is_ok(), "{to}");
        }
        for to in bad {
            assert!(changed(from, to).is_err(), "{to}");
        }
    }
    let plain = changed("approvals = 2\ntimeout_seconds = 5\n", "").unwrap();
    assert_eq!((plain.approvals, plain.run[0].timeout_seconds), (1, 60));
}

#[test]
fn names_stand_for_one_thing_that_is_known_before() {
    for (from, to, cause) in [
        ("[params.note]", "[params.Note]", "no parameter name"),
        ("name = \"unit\", type", "name = \"Unit\", type", "capture"),
        ("name = \"unit\", type", "name = \"note\", type", "something else already"),
        (
            "var = \"unit\", is = \"empty\"",
            "var = \"later\", is = \"empty\"",
            "no parameter and no earlier capture",
        ),
        (
            "expect = { stdout = \"running\" }",
            "expect = { differs = \"unit\" }",
            "no parameter and no earlier capture",
        ),
        (
            "retry = {",
            "capture = { name = \"x\", type = \"name\" }\nretry = {",
            "only a precheck keeps its output",
        ),
        (
            "when = { var = \"unit\", is = \"set\" }",
            "when = { var = \"unit\", is = \"empty\" }",
            "unit may be empty",
        ),
        (
            "when = { var = \"unit\", is = \"set\" }",
            "when = { var = \"note\", is = \"set\" }",
            "unit may be empty",
        ),
        ("argv = [\"podman\", \"inspect\", \"{container}\"]", "argv = []", "at least the program"),
        ("argv = [\"podman\", \"inspect\", \"{container}\"]", "argv = [\"-podman\"]", "no bare program name"),
        ("argv = [\"podman\", \"inspect\", \"{container}\"]", "argv = [\"a b\"]", "no bare program name"),
    ] {
        let error = changed(from, to).unwrap_err();
        assert!(error.cause.contains(cause), "{to}: {error}");
    }
    // What is kept only sometimes may be empty later.
    let sometimes = "capture = { name = \"unit\", type = \"unit\" }";
    let whole = "capture = { name = \"unit\", type = \"unit\", empty = true }";
    assert!(changed(whole, sometimes).is_ok());
    let used = WHOLE.replacen("when = { var = \"unit\", is = \"set\" }", "", 1);
    assert!(Action::parse("f", &used).unwrap_err().cause.contains("unit may be empty"));
    assert!(Action::parse("f", &used.replacen(whole, sometimes, 1)).is_ok());
    let when = format!("{sometimes}\nwhen = {{ var = \"note\", is = \"set\" }}");
    assert!(
        Action::parse("f", &used.replacen(whole, &when, 1)).unwrap_err().cause.contains("unit may be empty")
    );
    assert!(changed("retry = {", "argv2 = 1\nretry = {").is_err());
    let nothing_to_run =
        "name = \"x\"\ntitle = \"x\"\ndescription = \"x\"\nrisk = \"low\"\n[[verify]]\nargv = [\"true\"]\n";
    assert!(Action::parse("f", nothing_to_run).unwrap_err().cause.contains("run step"));
    assert!(changed("timeout_seconds = 30", "timeout_seconds = 30\nalready_ok = true").is_err());
    assert!(changed("expect = {", "already_ok = true\nexpect = {").unwrap().precheck[0].already_ok);
}

#[test]
fn a_word_has_names_in_braces_and_pairs_of_braces() {
    let vars = params(&[("a", "-x"), ("b_1", "y")]);
    for (word, filled) in [
        ("", Ok("")),
        ("plain", Ok("plain")),
        ("{{.A}}", Ok("{{.A}}")),
        ("p{b_1}q{b_1}", Ok("pyqy")),
        ("{b_1}{a}", Ok("y-x")),
        ("p{a}", Ok("p-x")),
        ("{{{b_1}}}", Ok("{{y}}")),
        ("{a}", Err("a begins with '-'")),
        ("{c}", Err("c is not set")),
    ] {
        let filling = Template::parse(word).unwrap().fill(&vars);
        assert_eq!(filling.as_deref().map_err(String::as_str), filled, "{word}");
    }
    assert_eq!(Template::parse("p{b_1}{c}").unwrap().show(&vars), "py{c}");
    let long = "a".repeat(64);
    for name in ["a", "a_1", &long] {
        assert!(Template::parse(&format!("{{{name}}}")).is_ok(), "{name}");
    }
    for word in
        ["{", "}", "{}", "{A}", "{1a}", "{_a}", "{a-b}", "{a b}", "a}", "{a", "{é}", &format!("{{{long}a}}")]
    {
        assert!(Template::parse(word).unwrap_err().contains("brace"), "{word}");
    }
}

#[test]
fn a_step_without_a_condition_applies_and_one_on_a_capture_may() {
    let action = whole();
    let bound = action.bind(&params(&[("container", "web")])).unwrap();
    assert!(action.precheck[0].applies(bound.vars()));
    let phases: Vec<String> =
        bound.lines().map(|(phase, _)| format!("{phase:>8}|{}", phase.as_str())).collect();
    assert_eq!(
        phases,
        ["precheck|precheck", "precheck|precheck", "     run|run", "     run|run", "  verify|verify"]
    );
    let rolled = format!("{WHOLE}[[rollback]]\nargv = [\"podman\", \"start\", \"{{container}}\"]\n");
    let action = Action::parse("f", &rolled).unwrap();
    let bound = action.bind(&params(&[("container", "web")])).unwrap();
    assert_eq!(
        bound.lines().last().unwrap(),
        (Phase::Rollback, "podman start web".split(' ').map(str::to_owned).collect())
    );
}

#[test]
fn the_digest_of_a_plan_is_its_sha_256() {
    let text = "name = \"x\"\ntitle = \"x\"\ndescription = \"x\"\nrisk = \"low\"\n[[run]]\nargv = [\"true\"]\n[[verify]]\nargv = [\"true\"]\n";
    assert_eq!(
        Action::parse("f", text).unwrap().plan(),
        "cf7751546b6bc0e38cf9c0a789fd66b002687f9cd0529d5822d6b5e47c993e53"
    );
}

#[test]
fn built_in_actions_are_whole() {
    let actions = Actions::builtin().unwrap();
    let names: Vec<&str> = actions.iter().map(|action| action.name.as_str()).collect();
    for name in [
        "flush_dns_cache",
        "reboot_system",
        "reload_caddy",
        "restart_caddy",
        "restart_container",
        "restart_unbound",
        "rotate_logs",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    assert_eq!(actions.get("reboot_system").unwrap().approvals, 2);
    assert_eq!((&actions).into_iter().count(), names.len());
    for action in &actions {
        assert!(!action.precheck.is_empty() && !action.description.is_empty(), "{}", action.name);
    }
}

#[test]
fn a_container_of_a_unit_is_restarted_through_its_unit() {
    let actions = Actions::builtin().unwrap();
    let action = actions.get("restart_container").unwrap();
    let run = |unit: &str| -> Vec<String> {
        let vars = params(&[("container", "web"), ("name", "web"), ("unit", unit)]);
        action.run.iter().filter(|step| step.applies(&vars)).map(|step| words(step, &vars)).collect()
    };
    assert_eq!(run(""), ["podman restart web"]);
    assert_eq!(run("container-web.service"), ["systemctl restart container-web.service"]);
}

#[test]
fn two_actions_cannot_share_a_name() {
    let twice = [("a.toml".to_owned(), WHOLE.to_owned()), ("b.toml".to_owned(), WHOLE.to_owned())];
    let error = Actions::with_files(twice).unwrap_err();
    assert_eq!(error.file, "b.toml");
    assert!(error.cause.contains("mend"));
}

#[test]
fn nothing_hidden_is_shown_to_an_approver() {
    let file = |word: &str| {
        format!(
            "name = \"x\"\ntitle = \"x\"\ndescription = \"x\"\nrisk = \"low\"\n[params.p]\ntype = \"pattern\"\n\
             description = \"p\"\n[[run]]\nargv = [\"echo\", \"{word}\", \"{{p}}\"]\n[[verify]]\nargv = [\"true\"]\n"
        )
    };
    for word in [r"\u202e", r"\u200b", r"\u0007", r"\U000e0041"] {
        assert!(Action::parse("x.toml", &file(word)).unwrap_err().cause.starts_with("argv"), "{word}");
    }
    let action = Action::parse("x.toml", &file("é")).unwrap();
    for value in ["a\nb", "\u{1b}[2K", "\u{202e}x", "\u{7f}"] {
        let given = BTreeMap::from([("p".to_owned(), value.to_owned())]);
        assert_eq!(action.bind(&given).unwrap_err().param, "p", "{value:?}");
    }
}
