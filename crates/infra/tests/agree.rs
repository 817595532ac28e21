//! Server and target judge alike: the policy that each loads by its own way from the same plugin files has one digest, and
//! gives one verdict and one argv for every line.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mcp_linux_infra::app::App;
use mcp_linux_infra::config::{Config, Environment};
use policy::{Catalogue, Level, lex};
use target::Paths;

/// Adds a command, a form to a built-in command, and takes a built-in form away.
const LOCAL: &str = r#"
name = "local"
title = "Commands of this place"
category = "local"

[roots]
own = ["/srv/own/"]

[[command]]
name = "ownctl"
program = ["/usr/local/bin/ownctl"]
[[command.form]]
name = "show"
title = "Show"
level = "auto"
words = ["show", "{path:own}*"]
options = ["-n|--lines {int:1..100}", "--quiet"]
force = ["--quiet"]
examples = ["ownctl show", "ownctl show -n 5 /srv/own/a"]
counter_examples = ["ownctl drop", "ownctl show /etc/shadow"]
[[command.form]]
name = "drop"
title = "Drop"
level = "manual"
words = ["drop", "{name}"]
examples = ["ownctl drop x"]
counter_examples = ["ownctl drop"]

[[command]]
name = "uptime"
[[command.form]]
name = "none"
level = "blocked"
any = true
reason = "nobody asks that here"
"#;

fn write(path: &Path, text: &str) {
    let folder = path.parent().unwrap();
    fs::create_dir_all(folder).unwrap();
    // The target trusts no folder that others may write to, whatever this machine's umask is.
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
}

/// What the server judges with, by way of its config file and the folder beside it.
fn server(dir: &Path, plugins: &[(&str, &str)]) -> App {
    let config = dir.join("mcp-linux-infra.toml");
    write(&config, "");
    for (name, text) in plugins {
        write(&dir.join("plugins.d").join(name), text);
    }
    let home = dir.to_string_lossy();
    let env = Environment::from([("HOME", home.as_ref()), ("XDG_STATE_HOME", home.as_ref())]);
    App::new(Config::load(Some(&config), &env).unwrap()).unwrap()
}

/// What the target judges with, by way of its own folder.
fn on_target(root: &Path, plugins: &[(&str, &str)]) -> Catalogue {
    for (name, text) in plugins {
        write(&root.join("etc/mcp-linux-infra/plugins.d").join(name), text);
    }
    target::config::catalogue(&Paths::beneath(root)).unwrap()
}

/// The corpus, the examples and counter-examples, and each of these with one change.
fn lines(catalogue: &Catalogue) -> Vec<String> {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/corpus/commands.jsonl");
    let mut lines: Vec<String> = fs::read_to_string(corpus)
        .unwrap()
        .lines()
        .map(|row| {
            serde_json::from_str::<serde_json::Value>(row).unwrap()["cmd"].as_str().unwrap().to_owned()
        })
        .collect();
    let forms = catalogue.plugins().iter().flat_map(|p| &p.commands).flat_map(|c| &c.forms);
    lines.extend(forms.flat_map(|f| f.examples.iter().chain(&f.counter_examples).cloned()));
    let plain = lines.clone();
    for (number, line) in plain.iter().enumerate() {
        let Ok(words) = lex::lex(line) else { continue };
        for extra in ["-n", "5", "--", "--help", "/srv/own/x", "/etc/shadow", "é"] {
            let mut more = words.to_vec();
            more.insert(1 + number % words.len(), extra.to_owned());
            lines.push(lex::quote(&more));
        }
        let mut less = words.to_vec();
        less.remove(number % words.len());
        lines.push(lex::quote(&less));
        lines.push(format!("{line} | sh"));
        lines.push(format!("  {line}\t"));
    }
    lines
}

/// Both judge every line, and the verdicts are counted by level.
fn compare(plugins: &[(&str, &str)]) -> [usize; 3] {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let app = server(here.path(), plugins);
    let (server, target) = (app.catalogue(), on_target(there.path(), plugins));
    assert_eq!(server.digest(), target.digest());
    let mut counts = [0; 3];
    for line in lines(&server) {
        let (early, last) = (server.judge(&line), target.judge(&line));
        assert_eq!(early, last, "{line:?}");
        if line.len() % 5 == 0 {
            let once = target::config::judge(&Paths::beneath(there.path()), &line).unwrap();
            assert_eq!(early, once, "{line:?}, by the plugins of its command alone");
        }
        counts[early.verdict as usize] += 1;
        if early.verdict != Level::Blocked {
            // A grant carries argv, and the target judges its quoted words.
            assert_eq!(target.judge(&lex::quote(&early.argv)).argv, early.argv, "{line:?}");
        }
    }
    counts
}

#[test]
fn server_and_target_agree_on_the_built_in_policy() {
    let [auto, manual, blocked] = compare(&[]);
    assert!(auto > 1000 && manual > 100 && blocked > 5000, "{auto} {manual} {blocked}");
}

#[test]
fn server_and_target_agree_with_plugins_of_the_user() {
    let more = LOCAL.replace("\"local\"", "\"more\"").replace("ownctl", "morectl");
    let plugins = [("local.toml", LOCAL), ("a-more.toml", more.as_str())];
    let [auto, manual, blocked] = compare(&plugins);
    assert!(auto > 1000 && manual > 100 && blocked > 5000, "{auto} {manual} {blocked}");
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (app, target) = (server(here.path(), &plugins), on_target(there.path(), &plugins));
    for (line, verdict) in
        [("ownctl show", Level::Auto), ("morectl drop x", Level::Manual), ("uptime", Level::Blocked)]
    {
        assert_eq!(app.catalogue().judge(line).verdict, verdict, "{line}");
        assert_eq!(target.judge(line).verdict, verdict, "{line}");
    }
}

/// A file that only one of the two has is told by the digest, before any verdict differs.
#[test]
fn another_plugin_on_one_side_is_another_digest() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let app = server(here.path(), &[("local.toml", LOCAL)]);
    assert_ne!(app.catalogue().digest(), on_target(there.path(), &[]).digest());
}

/// A wrong file is refused by both, with its place; neither judges with the rest.
#[test]
fn a_wrong_plugin_is_refused_by_both() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wrong = LOCAL.replace("level = \"manual\"", "level = \"perhaps\"");
    for text in [wrong.as_str(), "name = "] {
        write(&here.path().join("mcp-linux-infra.toml"), "");
        write(&here.path().join("plugins.d/local.toml"), text);
        write(&there.path().join("etc/mcp-linux-infra/plugins.d/local.toml"), text);
        let home = here.path().to_string_lossy();
        let env = Environment::from([("HOME", home.as_ref()), ("XDG_STATE_HOME", home.as_ref())]);
        let config = Config::load(Some(&here.path().join("mcp-linux-infra.toml")), &env).unwrap();
        let early = App::new(config).err().unwrap().to_string();
        let last = target::config::catalogue(&Paths::beneath(there.path())).unwrap_err();
        let place = |text: &str| text[text.find("local.toml:").unwrap()..].to_owned();
        assert_eq!(place(&early), place(&last));
    }
}
