use super::*;

const GOOD: &str = r#"
name = "restart_container"
title = "t"
description = "d"
risk = "medium"
[params.container]
type = "container"
[params.wait]
type = "int:1..60"
optional = true
[[precheck]]
argv = ["podman", "inspect", "--format", "{{index .Config.Labels \"X\"}}", "{container}"]
capture = { name = "unit", type = "unit", empty = true }
[[run]]
argv = ["systemctl", "restart", "{unit}"]
when = { var = "unit", is = "set" }
[[run]]
argv = ["podman", "restart", "--time={wait}", "{container}"]
when = { var = "unit", is = "empty" }
"#;

fn params(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn values_fill_words_and_templates_of_programs_stay() {
    let action = Action::parse("f", GOOD).unwrap();
    let mut bound = action.bind(&params(&[("container", "web"), ("wait", "5")])).unwrap();
    assert_eq!(bound.argv(&action.precheck[0])[3..], ["{{index .Config.Labels \"X\"}}", "web"]);
    assert!(!bound.applies(&action.run[0]) && bound.applies(&action.run[1]));
    assert_eq!(bound.argv(&action.run[1]), ["podman", "restart", "--time=5", "web"]);
    bound.capture(action.precheck[0].capture.as_ref().unwrap(), "web.service\n").unwrap();
    assert!(bound.applies(&action.run[0]) && !bound.applies(&action.run[1]));
    assert_eq!(bound.argv(&action.run[0]), ["systemctl", "restart", "web.service"]);
}

#[test]
fn a_value_never_becomes_an_option_or_two_words() {
    let action = Action::parse("f", GOOD).unwrap();
    for bad in ["-a", "--all", "a b", "", "a\nb", "../x", "$(id)"] {
        assert!(action.bind(&params(&[("container", bad)])).is_err(), "{bad:?}");
    }
    let mut bound = action.bind(&params(&[("container", "web")])).unwrap();
    for bad in ["-x", "a b", "*"] {
        assert!(bound.capture(action.precheck[0].capture.as_ref().unwrap(), bad).is_err(), "{bad:?}");
    }
}

#[test]
fn missing_and_unknown_parameters_are_named() {
    let action = Action::parse("f", GOOD).unwrap();
    assert!(action.bind(&params(&[])).unwrap_err().to_string().contains("container"));
    assert!(
        action.bind(&params(&[("container", "web"), ("x", "y")])).unwrap_err().to_string().contains("\"x\"")
    );
}

#[test]
fn what_a_person_reads_names_the_capture() {
    let action = Action::parse("f", GOOD).unwrap();
    let lines: Vec<_> = action.bind(&params(&[("container", "web")])).unwrap().lines().collect();
    assert_eq!(lines.len(), 3, "both ways are shown: {lines:?}");
    assert!(lines.contains(&(Phase::Run, vec!["systemctl".into(), "restart".into(), "{unit}".into()])));
}

#[test]
fn wrong_files_are_refused_with_their_line() {
    for (from, to, line) in [
        ("risk = \"medium\"", "risk = \"mild\"", 5),
        ("title = \"t\"", "titel = \"t\"", 3),
        ("argv = [\"systemctl\", \"restart\", \"{unit}\"]", "argv = [\"/bin/sh\", \"-c\", \"x\"]", 15),
        ("\"{container}\"]\nwhen", "\"{other}\"]\nwhen", 18),
    ] {
        let error = Action::parse("f.toml", &GOOD.replace(from, to)).unwrap_err();
        assert_eq!((error.file.as_str(), error.line), ("f.toml", line), "{error}");
    }
    let no_run = GOOD.replace("[[run]]", "[[verify]]");
    assert!(Action::parse("f", &no_run).unwrap_err().cause.contains("[[run]]"));
}

#[test]
fn the_plan_is_the_digest_of_the_bytes() {
    let (a, b) = (Action::parse("f", GOOD).unwrap(), Action::parse("f", &format!("{GOOD} ")).unwrap());
    assert_eq!(a.plan().len(), 64);
    assert_ne!(a.plan(), b.plan());
}

#[test]
fn the_built_in_actions_are_sound() {
    let actions = Actions::builtin().unwrap();
    for name in [
        "restart_unbound",
        "reload_caddy",
        "restart_caddy",
        "flush_dns_cache",
        "restart_container",
        "rotate_logs",
        "reboot_system",
    ] {
        let action = actions.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert!(!action.verify.is_empty(), "{name} does not prove its outcome");
    }
    assert_eq!(actions.get("reboot_system").unwrap().approvals, 2);
}
