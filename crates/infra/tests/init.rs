//! `init` as a process: with flags, and with a person at a terminal.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

#[allow(dead_code, reason = "each test program uses a part")]
mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use support::Sshd;

/// A folder that is somebody's home, and the config in it.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.at(".config/mcp-linux-infra/config.toml")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-linux-infra"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.0.path())
            .env("PATH", "/usr/bin:/bin")
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs `init --json` with these arguments, which works.
    fn init(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[&["init", "--json"], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs `init` with these arguments, which ends so and changes nothing; the result is what it says.
    fn refused(&self, code: i32, arguments: &[&str]) -> String {
        let before = self.everything();
        let output = self.run(&[&["init"], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        assert_eq!(self.everything(), before, "{arguments:?} changed something");
        assert!(output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Every file: what it holds, its mode, and when it was changed.
    fn everything(&self) -> BTreeMap<PathBuf, (Vec<u8>, u32, i64)> {
        fn walk(dir: &Path, found: &mut BTreeMap<PathBuf, (Vec<u8>, u32, i64)>) {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let meta = std::fs::metadata(&path).unwrap();
                let bytes = if meta.is_dir() { Vec::new() } else { std::fs::read(&path).unwrap() };
                let changed = if meta.is_dir() { 0 } else { meta.mtime_nsec() };
                found.insert(path.clone(), (bytes, meta.permissions().mode() & 0o777, changed));
                if meta.is_dir() {
                    walk(&path, found);
                }
            }
        }
        let mut found = BTreeMap::new();
        walk(self.0.path(), &mut found);
        found
    }

    fn mode(&self, name: &str) -> u32 {
        std::fs::metadata(self.at(name)).unwrap().permissions().mode() & 0o777
    }

    /// Makes a key pair with ssh-keygen; the result is the path of its public half.
    fn keygen(&self, name: &str) -> String {
        let path = self.at(name);
        let status = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&path)
            .status()
            .unwrap();
        assert!(status.success());
        format!("{}.pub", path.display())
    }
}

fn fingerprint(public: &Path) -> String {
    let output = Command::new("ssh-keygen").arg("-lf").arg(public).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').nth(1).unwrap().to_owned()
}

/// A person at a terminal.
struct Person {
    child: Child,
    terminal: File,
    said: ChildStderr,
    heard: String,
}

impl Person {
    fn start(home: &Home, arguments: &[&str]) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
        let other = File::options().read(true).write(true).open(name).unwrap();
        let mut child = home
            .command(&[&["init"], arguments].concat())
            .stdin(other)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = child.stderr.take().unwrap();
        Self { child, terminal: File::from(terminal), said, heard: String::new() }
    }

    /// Waits for a question and answers it.
    fn answer(&mut self, question: &str, answer: &str) -> &mut Self {
        let mut byte = [0];
        while !(self.heard.contains(question) && self.heard.ends_with(": ")) {
            assert_eq!(self.said.read(&mut byte).unwrap(), 1, "no {question:?} in {:?}", self.heard);
            self.heard.push(char::from(byte[0]));
        }
        self.heard.clear();
        self.terminal.write_all(answer.as_bytes()).unwrap();
        self
    }

    fn end(mut self) -> (Option<i32>, String, String) {
        self.said.read_to_string(&mut self.heard).unwrap();
        let mut out = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        (self.child.wait().unwrap().code(), out, self.heard.clone())
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_first_run_makes_everything_and_the_second_nothing() {
    let home = Home::new();
    let approver = home.keygen("alice");
    let host = home.keygen("host");
    let line = std::fs::read_to_string(&host).unwrap();
    let arguments = [
        "--host",
        "web01",
        "--address",
        "192.0.2.1",
        "--host-key",
        line.trim(),
        "--approver",
        "alice@example.org",
        "--approver-key",
        &approver,
    ];
    let made = home.init(&arguments);
    for (place, mode) in [
        (".config/mcp-linux-infra", 0o700),
        (".config/mcp-linux-infra/config.toml", 0o600),
        (".config/mcp-linux-infra/approvers", 0o644),
        (".config/mcp-linux-infra/keys", 0o700),
        (".config/mcp-linux-infra/keys/reader", 0o600),
        (".config/mcp-linux-infra/keys/runner", 0o600),
        (".config/mcp-linux-infra/keys/reader.pub", 0o644),
    ] {
        assert_eq!(home.mode(place), mode, "{place}");
    }
    assert_eq!(made["config"]["state"], "made");
    assert_eq!((&made["host"]["state"], &made["approver"]["state"]), (&"made".into(), &"made".into()));
    // OpenSSH itself takes the private key, the public one beside it is its half, and the approver's line is one.
    for account in ["reader", "runner"] {
        let key = home.at(&format!(".config/mcp-linux-infra/keys/{account}"));
        let derived = Command::new("ssh-keygen").arg("-yf").arg(&key).output().unwrap();
        let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        assert_eq!(String::from_utf8(derived.stdout).unwrap().split(' ').nth(1), public.split(' ').nth(1));
    }
    let principals = Command::new("ssh-keygen")
        .args(["-Y", "match-principals", "-I", "alice@example.org", "-f"])
        .arg(home.at(".config/mcp-linux-infra/approvers"))
        .output()
        .unwrap();
    assert_eq!(principals.stdout, b"alice@example.org\n", "{principals:?}");
    let hosts = home.run(&["hosts", "list", "--json"]);
    let hosts: Value = serde_json::from_slice(&hosts.stdout).unwrap();
    assert_eq!((&hosts["hosts"][0]["name"], &hosts["hosts"][0]["pinned"]), (&"web01".into(), &true.into()));

    let before = home.everything();
    let again = home.init(&arguments);
    assert_eq!(home.everything(), before);
    for state in [
        &again["config"]["state"],
        &again["host"]["state"],
        &again["approver"]["state"],
        &again["keys"][0]["state"],
        &again["keys"][1]["state"],
    ] {
        assert_eq!(state, "kept", "{again}");
    }
}

#[test]
fn without_a_person_no_host_key_is_taken() {
    let (home, sshd) = (Home::new(), Sshd::start("true"));
    let (port, right) = (sshd.port.to_string(), fingerprint(&sshd.path("host.pub")));
    let host = ["--host", "web01", "--address", "127.0.0.1", "--port", &port];
    assert!(home.refused(2, &host).contains("--host-key"));
    let wrong = fingerprint(&sshd.path("stranger.pub"));
    let said = home.refused(4, &[&host[..], &["--host-key", &wrong]].concat());
    assert!(said.contains(&right) && said.contains(&wrong), "{said}");
    assert!(home.everything().is_empty());
    let made = home.init(&[&host[..], &["--host-key", &right]].concat());
    assert_eq!(made["host"]["host_key"], sshd.public("host"));
    // A host that is there already is not asked again, and another key for it is no silent change.
    drop(sshd);
    assert_eq!(home.init(&[&host[..], &["--host-key", &right]].concat())["host"]["state"], "kept");
    assert!(home.refused(2, &[&host[..], &["--host-key", &wrong]].concat()).contains("another host key"));
}

#[test]
fn a_person_compares_the_key_and_only_a_yes_counts() {
    let (home, sshd) = (Home::new(), Sshd::start("true"));
    let (port, right) = (sshd.port.to_string(), fingerprint(&sshd.path("host.pub")));
    let wrong = fingerprint(&sshd.path("stranger.pub"));
    for answer in ["no\n", "\n", "y\n", "YES PLEASE\n", &format!("{wrong}\n")] {
        let mut person = Person::start(&home, &[]);
        person
            .answer("first host", "web01\n")
            .answer("address", "127.0.0.1\n")
            .answer("Port", &format!("{port}\n"));
        person.answer(&right, answer);
        let (code, out, said) = person.end();
        assert_eq!((code, out.as_str()), (Some(4), ""), "{said}");
        assert!(said.contains("nothing was written"), "{said}");
        assert!(home.everything().is_empty(), "{answer:?}");
    }
    for ends_at in ["first host", "address"] {
        let mut person = Person::start(&home, &[]);
        if ends_at == "address" {
            person.answer("first host", "web01\n");
        }
        person.answer(ends_at, "\u{4}");
        assert_eq!(person.end().0, Some(2));
        assert!(home.everything().is_empty());
    }
    let approver = home.keygen("alice");
    let mut person = Person::start(&home, &[]);
    person.answer("first host", "a b\n").answer("no host name", "web01\n").answer("address", "127.0.0.1\n");
    person.answer("Port", &format!("{port}\n")).answer(&right, "yes\n");
    person.answer("Who may approve", "alice@example.org\n").answer("Key", &format!("{approver}\n"));
    let (code, out, said) = person.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(out.contains("claude mcp add linux-infra") && out.contains("doctor web01"), "{out}");
    let text = std::fs::read_to_string(home.config()).unwrap();
    assert!(text.contains(&format!("host_key = \"{}\"", sshd.public("host"))), "{text}");
}

#[test]
fn a_key_that_known_hosts_contradicts_is_not_even_asked_about() {
    let (home, sshd) = (Home::new(), Sshd::start("true"));
    std::fs::create_dir(home.at(".ssh")).unwrap();
    let known = |key: &str| {
        let line = format!("[127.0.0.1]:{} {}\n", sshd.port, sshd.public(key));
        std::fs::write(home.at(".ssh/known_hosts"), line).unwrap();
    };
    let port = sshd.port.to_string();
    let arguments = ["--host", "web01", "--address", "127.0.0.1", "--port", &port];
    known("stranger");
    let (code, _, said) = Person::start(&home, &arguments).end();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("CHANGED") && !home.config().exists(), "{said}");
    known("host");
    let mut person = Person::start(&home, &arguments);
    person.answer("known_hosts has the same key", "yes\n").answer("Who may approve", "\n");
    assert_eq!(person.end().0, Some(0));
}

#[test]
fn approvers_are_people_with_keys_of_their_own() {
    let home = Home::new();
    let (alice, bob) = (home.keygen("alice"), home.keygen("bob"));
    home.init(&[]);
    let file = home.at(".config/mcp-linux-infra/approvers");
    let own = home.at(".config/mcp-linux-infra/keys/runner.pub");
    let own = own.to_str().unwrap();
    let private = alice.trim_end_matches(".pub");
    for (person, key, cause) in [
        ("alice", own, "the server's own runner key"),
        ("alice", private, "private key"),
        ("alice", "/dev/null", "no public key"),
        ("alice", "/nowhere/a.pub", "No such file"),
        ("alice bob", &alice, "name"),
        ("*", &alice, ""),
    ] {
        assert!(
            home.refused(2, &["--approver", person, "--approver-key", key]).contains(cause),
            "{person} {key}"
        );
    }
    assert!(!file.exists());
    assert!(home.refused(2, &["--approver", "alice", "--new-approver-key", "x"]).contains("no terminal"));
    assert!(home.refused(2, &["--approver", "alice", "--agent"]).contains("ssh-agent"));
    let row = |v: &Value| v["approver"]["state"].as_str().unwrap().to_owned();
    assert_eq!(row(&home.init(&["--approver", "alice", "--approver-key", &alice])), "made");
    let text = std::fs::read_to_string(home.config()).unwrap();
    assert!(text.contains("approvers = \"approvers\"\n"), "{text}");
    assert_eq!(row(&home.init(&["--approver", "bob", "--approver-key", &bob])), "extended");
    assert_eq!(row(&home.init(&["--approver", "bob", "--approver-key", &bob])), "kept");
    assert!(home.refused(2, &["--approver", "eve", "--approver-key", &bob]).contains("bob's already"));
    let lines = std::fs::read_to_string(&file).unwrap();
    assert_eq!(lines.lines().count(), 2, "{lines}");
}

#[test]
fn a_configuration_that_is_there_keeps_what_it_says() {
    let home = Home::new();
    let key = std::fs::read_to_string(home.keygen("host")).unwrap();
    let config = home.at("mine.toml");
    let written = "# by hand\nlog_level = \"warn\" # mine\n\n[defaults]\nreader_key = \"a/reader\"\nrunner_key = \"a/runner\"";
    std::fs::write(&config, written).unwrap();
    let place = ["--config", config.to_str().unwrap()];
    let host = ["--host", "web01", "--host-key", key.trim()];
    let output = home.run(&[&place[..], &["init", "--json"], &host].concat());
    assert!(output.status.success(), "{output:?}");
    let after = std::fs::read_to_string(&config).unwrap();
    assert!(
        after.starts_with(written) && after.contains("[[hosts]]\nname = \"web01\"\nhost_key = "),
        "{after}"
    );
    assert_eq!(home.mode("a/reader"), 0o600, "the keys that it names are made");
    assert!(!home.config().exists());

    // What cannot be extended, or not be read, is left alone.
    for text in ["hosts = []\n", "hosts = [\n", "no_such_key = 1\n"] {
        std::fs::write(&config, text).unwrap();
        let before = home.everything();
        let output = home.run(&[&place[..], &["init"], &host].concat());
        assert_eq!(output.status.code(), Some(2), "{text}: {output:?}");
        assert_eq!(home.everything(), before, "{text}");
    }
}

#[test]
fn keys_and_configuration_are_replaced_only_when_told_and_the_old_ones_stay() {
    let home = Home::new();
    let first = home.init(&[]);
    let second = home.init(&["--replace", "keys", "--replace", "config"]);
    assert_eq!(second["keys"][0]["state"], "replaced");
    assert_ne!(first["keys"][0]["fingerprint"], second["keys"][0]["fingerprint"]);
    let old = home.at(".config/mcp-linux-infra/keys/reader.pub.replaced");
    assert_eq!(fingerprint(&old), first["keys"][0]["fingerprint"].as_str().unwrap());
    assert_eq!(home.mode(".config/mcp-linux-infra/keys/reader.replaced"), 0o600);
    assert!(home.at(".config/mcp-linux-infra/config.toml.replaced").exists());
    assert!(home.refused(2, &["--replace", "keys"]).contains("earlier replacement"));
}

#[test]
fn keys_that_do_not_fit_are_refused() {
    let home = Home::new();
    home.keygen("one");
    let one = home.at("one");
    let one = one.to_str().unwrap();
    assert!(home.refused(2, &["--reader-key", one, "--runner-key", one]).contains("different keys"));
    std::fs::set_permissions(one, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(home.refused(2, &["--reader-key", one]).contains("chmod 600"));
    std::fs::set_permissions(one, std::fs::Permissions::from_mode(0o600)).unwrap();
    home.keygen("two");
    std::fs::copy(home.at("two.pub"), home.at("one.pub")).unwrap();
    assert!(home.refused(2, &["--reader-key", one]).contains("not the public half"));
    std::fs::create_dir_all(home.at(".config/mcp-linux-infra/keys")).unwrap();
    std::fs::copy(home.at("two.pub"), home.at(".config/mcp-linux-infra/keys/reader.pub")).unwrap();
    assert!(home.refused(2, &[]).contains("put the private key back"));
}

#[test]
fn wrong_flags_change_nothing() {
    let home = Home::new();
    let key = home.keygen("k");
    for arguments in [
        &["--host", "-web01"][..],
        &["--host", "web 01", "--host-key", "SHA256:x"],
        &["--host", "web01", "--host-key", "SHA256:short"],
        &["--host", "web01", "--port", "0"],
        &["--host", "web01", "--port", "70000"],
        &["--host", "web01", "--address", "-oProxyCommand=true", "--host-key", "SHA256:short"],
        &["--address", "192.0.2.1"],
        &["--host-key", "SHA256:short"],
        &["--approver", "alice"],
        &["--approver-key", &key],
        &["--approver", "alice", "--approver-key", &key, "--agent"],
        &["--replace", "host"],
        &["--client", "emacs"],
    ] {
        assert!(!home.refused(2, arguments).is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_host_that_does_not_answer_leaves_nothing() {
    let home = Home::new();
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let pin = format!("SHA256:{}", "A".repeat(43));
    let said =
        home.refused(1, &["--host", "w", "--address", "127.0.0.1", "--port", &port, "--host-key", &pin]);
    assert!(said.contains("refused") && said.contains("nothing was written"), "{said}");
}

#[test]
fn each_client_alone() {
    let home = Home::new();
    for (name, key) in [
        ("claude-desktop", "mcpServers"),
        ("claude-code", "mcpServers"),
        ("vscode", "servers"),
        ("cursor", "mcpServers"),
    ] {
        let made = home.init(&["--client", name]);
        let clients = made["clients"].as_array().unwrap();
        assert_eq!(clients.len(), 1, "{made}");
        let args = &clients[0]["config"][key]["linux-infra"]["args"];
        assert_eq!(args[1], home.config().to_str().unwrap());
    }
    assert!(home.init(&["--client", "none"])["clients"].as_array().unwrap().is_empty());
}
