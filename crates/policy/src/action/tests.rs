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
