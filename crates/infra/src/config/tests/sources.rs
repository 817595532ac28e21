//! Hosts from several files at once.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// A folder with a config and other files in it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Self(dir)
    }

    fn load(&self, config: &str) -> Result<Config, ConfigError> {
        let file = self.0.path().join("c.toml");
        std::fs::write(&file, config).unwrap();
        Config::load(Some(&file), &Environment::from([("HOME", self.0.path().to_str().unwrap())]))
    }
}

fn rows(config: &Config) -> Vec<String> {
    let row =
        |h: &Host| format!("{} {}:{} {} {}", h.name, h.address, h.port, h.groups.join(","), h.tags.join(","));
    config.inventory.iter().map(row).collect()
}

#[test]
fn every_source_gives_hosts_and_the_config_wins() {
    let folder = Folder::new(&[
        (
            "inv/prod.ini",
            "[web]\nweb01 ansible_host=192.0.2.1\nweb02\nweb03 ansible_host=192.0.2.3 ansible_port=2203\n",
        ),
        ("inv/prod.yaml", "prod: {hosts: {web01: {ansible_host: 192.0.2.1}, db01: }}\n"),
        (
            "inv/prod.json",
            "{\"_meta\": {\"hostvars\": {\"db01\": {\"ansible_port\": 2222}}}, \"db\": {\"hosts\": [\"db01\"]}}",
        ),
        (".ssh/config", "Host alias\n HostName 192.0.2.9\n"),
    ]);
    let config = folder
        .load(
            "[defaults]\nport = 22\nreader_key = \"k\"\n[inventory]\nansible = [\"inv/prod.ini\", \"inv/prod.yaml\", \"inv/prod.json\"]\n\
             ssh_config = true\n[[hosts]]\nname = \"web03\"\naddress = \"198.51.100.3\"\ntags = [\"mine\"]\n[[hosts]]\nname = \"web01\"\n",
        )
        .unwrap();
    assert_eq!(
        rows(&config),
        [
            "alias 192.0.2.9:22  ",
            "db01 db01:2222 db,prod ",
            "web01 192.0.2.1:22 prod,web ",
            "web02 web02:22 web ",
            "web03 198.51.100.3:2203 web mine",
        ]
    );
    let host = |name: &str| config.inventory.get(name).unwrap();
    assert!(host("db01").reader_key.as_ref().unwrap().ends_with("k"), "keys are the config's");
    assert!(host("web02").source.ends_with("prod.ini:3") && host("web03").source == "config");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn two_files_that_disagree_are_an_error_with_both_places() {
    let folder = Folder::new(&[
        ("a.ini", "\nweb01 ansible_host=192.0.2.1\n"),
        ("b.ini", "web01 ansible_host=192.0.2.2\n"),
        ("c.ini", "web01 ansible_port=1\n"),
        ("d.ini", "web01 ansible_port=2\n"),
    ]);
    let wrong = folder.load("[inventory]\nansible = [\"a.ini\", \"b.ini\"]\n").unwrap_err();
    assert!(
        wrong.place.ends_with("b.ini:1")
            && wrong.cause.contains("a.ini:2")
            && wrong.cause.contains("192.0.2.1"),
        "{wrong}"
    );
    let wrong = folder.load("[inventory]\nansible = [\"c.ini\", \"d.ini\"]\n").unwrap_err();
    assert!(wrong.place.ends_with("d.ini:1") && wrong.cause.contains("c.ini:1"), "{wrong}");
    let settled = "[inventory]\nansible = [\"a.ini\", \"b.ini\"]\n[[hosts]]\nname = \"web01\"\naddress = \"192.0.2.7\"\n";
    assert_eq!(rows(&folder.load(settled).unwrap()), ["web01 192.0.2.7:22  "]);
    let settled = "[inventory]\nansible = [\"a.ini\", \"b.ini\"]\n[[hosts]]\nname = \"web01\"\n";
    assert!(folder.load(settled).is_err(), "the config does not say which");
}

#[test]
fn a_file_that_ansible_would_run_is_not_run_and_refused() {
    let folder = Folder::new(&[
        ("list", "#!/bin/sh\ntouch \"$(dirname \"$0\")/owned\"\necho '{}'\n"),
        ("plain", "web01\n"),
    ]);
    let path = |name: &str| folder.0.path().join(name);
    for name in ["list", "plain"] {
        std::fs::set_permissions(path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        let wrong = folder.load(&format!("[inventory]\nansible = [\"{name}\"]\n")).unwrap_err();
        assert!(wrong.cause.contains("executable") && wrong.cause.contains("--list"), "{wrong}");
    }
    std::fs::set_permissions(path("list"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let wrong = folder.load("[inventory]\nansible = [\"list\"]\n").unwrap_err();
    assert!(wrong.cause.contains("script"), "{wrong}");
    assert!(!path("owned").exists(), "nothing was run");
}

#[test]
fn what_is_no_file_of_reasonable_size_is_refused_at_once() {
    let folder = Folder::new(&[
        ("large", &"#".repeat((4 << 20) + 1)),
        ("inv/hosts", "a\n"),
        ("vault", "$ANSIBLE_VAULT;1.1\n"),
    ]);
    std::fs::write(folder.0.path().join("latin1"), b"web\xe9\n").unwrap();
    assert!(
        std::process::Command::new("mkfifo").arg(folder.0.path().join("pipe")).status().unwrap().success()
    );
    for (name, expected) in [
        ("large", "more than"),
        ("inv", "folder"),
        ("pipe", "regular"),
        ("latin1", "UTF-8"),
        ("vault", "encrypted"),
        ("absent", "No such file"),
    ] {
        let wrong = folder.load(&format!("[inventory]\nansible = [\"{name}\"]\n")).unwrap_err();
        assert!(wrong.place.ends_with(name) && wrong.cause.contains(expected), "{wrong}");
    }
    let wrong = folder.load("[inventory]\nssh_config = 5\n").unwrap_err();
    assert!(wrong.place.ends_with("c.toml:2") && wrong.cause.contains("true, false or the path"), "{wrong}");
    assert!(
        folder.load("[inventory]\nssh_config = true\n").is_err(),
        "a file that was asked for must be there"
    );
    assert!(folder.load("[inventory]\nssh_config = false\n").unwrap().inventory.is_empty());
}

#[test]
fn what_does_not_count_is_told_with_its_place() {
    let folder = Folder::new(&[
        ("hosts", "localhost ansible_connection=local\nweb01\n"),
        ("group_vars/all.yml", "a: 1\n"),
    ]);
    let config = folder.load("[inventory]\nansible = [\"hosts\"]\n").unwrap();
    let [local, vars] = config.warnings.as_slice() else { unreachable!("{:?}", config.warnings) };
    assert!(local.contains("hosts:1: localhost is left out"), "{local}");
    assert!(vars.contains("group_vars") && vars.contains("--list"), "{vars}");
    assert_eq!(rows(&config), ["web01 web01:22  "]);
}

/// Samples, and what the real `ansible-inventory --list` printed of them (`scripts/ansible-inventory.sh` makes it anew).
#[test]
fn the_three_formats_give_what_ansible_itself_gives() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ansible");
    let folder = Folder::new(&[]);
    let read = |name: &str| {
        let file = samples.join(name);
        let config =
            folder.load(&format!("[inventory]\nansible = [{:?}]\n", file.display().to_string())).unwrap();
        assert!(config.inventory.len() >= 10, "{name}");
        rows(&config)
    };
    assert_eq!(read("sample.ini"), read("sample.ini.json"));
    assert_eq!(read("sample.yaml"), read("sample.yaml.json"));
    assert_eq!(read("sample.ini"), read("sample.yaml"));
}
