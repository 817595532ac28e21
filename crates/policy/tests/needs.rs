//! What a plugin says that its programs need of the system.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use policy::{Access, Catalogue};

fn plugin(lines: &str) -> String {
    format!(
        "name = \"x\"\ntitle = \"t\"\ncategory = \"c\"\n[[command]]\nname = \"looker\"\n{lines}\n[[command.form]]\nname = \"f\"\nlevel = \"auto\"\n\
         examples = [\"looker\"]\ncounter_examples = [\"looker x\"]\n"
    )
}

fn with(lines: &str) -> Result<Catalogue, String> {
    Catalogue::with_plugins([("x.toml".to_owned(), plugin(lines))]).map_err(|e| e.to_string())
}

#[test]
fn needs_reach_the_permit() {
    let catalogue =
        with("access = \"tree\"\nreads = [\"/etc/x.conf\", \"/var/lib/x/\"]\nhelpers = [\"/usr/bin/y\"]")
            .unwrap();
    let permit = catalogue.judge("looker").permit.unwrap();
    assert_eq!(
        (permit.access, permit.reads.len(), permit.helpers),
        (Access::Tree, 2, vec!["/usr/bin/y".to_owned()])
    );
    let plain = with("").unwrap().judge("looker").permit.unwrap();
    assert_eq!((plain.access, plain.reads.len(), plain.helpers.len()), (Access::Contents, 0, 0));
    assert_ne!(catalogue.digest(), with("").unwrap().digest(), "needs are part of the policy");
}

#[test]
fn wrong_needs_refuse_the_plugin() {
    for lines in [
        "reads = [\"etc/x\"]",
        "reads = [\"/\"]",
        "reads = [\"/etc/../root\"]",
        "helpers = [\"sh\"]",
        "helpers = [\"/usr//bin/sh\"]",
        "access = \"write\"",
        "writes = [\"/tmp/\"]",
    ] {
        let cause = with(lines).unwrap_err();
        assert!(cause.contains("x.toml:"), "{lines}: {cause}");
    }
}

/// What lists names has no reason to read, and nothing reads secrets.
#[test]
fn the_catalogue_asks_for_little() {
    let catalogue = Catalogue::builtin().unwrap();
    let commands: Vec<_> = catalogue.plugins().iter().flat_map(|p| &p.commands).collect();
    for name in ["ls", "stat", "du", "find", "tree", "readlink", "test"] {
        let command = commands.iter().find(|c| c.name == name).unwrap();
        assert_eq!(command.access, Access::Names, "{name}");
    }
    for command in commands {
        for place in &command.reads {
            for secret in [
                "/etc/shadow",
                "/etc/ssh/",
                "/root/",
                "/home/",
                "/etc/sudoers",
                "/etc/ssl/private/",
                "/var/lib/mcp-linux-infra/",
            ] {
                let folder = |p: &str| p.ends_with('/');
                let shows = *place == secret
                    || (folder(place) && secret.starts_with(place.as_str()))
                    || (folder(secret) && place.starts_with(secret));
                assert!(!shows, "{}: {place}", command.name);
            }
        }
    }
}
