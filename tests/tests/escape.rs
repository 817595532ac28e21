//! The escape harness: a program that tries to get out, inside each profile, through the real wrapper on a real host. What it
//! achieves is compared with what the profile names, and with the table in `docs/SANDBOX.md`
//! (`UPDATE_DOCS=1` writes that table).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::Lab;

const HOST: &str = "t2";
const PROFILES: [&str; 8] = ["file", "proc", "netlink", "net", "dbus", "journal", "container", "kube"];
/// Profiles that are tried as root too: those that reach no service that would act for root.
const AS_ROOT: [&str; 3] = ["file", "proc", "journal"];

/// What each profile names; nothing else may work. Every profile may read what its command line names.
fn named(profile: &str) -> &'static [&'static str] {
    match profile {
        // What devices come and go: lsusb's library does not start without it. To listen is all that who is not root can.
        "netlink" => &["ask the kernel over netlink", "listen to device events over netlink"],
        // A route socket too, as the resolver asks which addresses there are.
        "net" => &["connect over TCP", "send over UDP", "ask the kernel over netlink"],
        "kube" => &["connect over TCP", "send over UDP"],
        "dbus" => &[
            "connect to D-Bus",
            "connect to a unix socket that everybody may",
            "ask the kernel over netlink",
        ],
        "container" => &["connect to D-Bus", "connect to a unix socket that everybody may"],
        _ => &[],
    }
}

/// Processes of its own and its own memory are not outside.
const ALWAYS: [&str; 1] = ["read the file that the command line names"];

/// The program, static, so that it runs on any host.
fn build() -> PathBuf {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let dir = top.join("target/escape");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "-p", "escape", "--target", &triple, "--target-dir"])
        .arg(&dir)
        .current_dir(&top)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .status()
        .unwrap();
    assert!(status.success());
    dir.join(triple).join("debug/escape")
}

/// What stands ready on the host; it is taken away again, also after a failure.
struct Stage {
    lab: Lab,
}

const SET_UP: &str = r#"
set -eu
mkdir -p /srv/escape/open /srv/escape/folder /srv/escape/mount /srv/escape/named.d /srv/escape/plugins.d
chmod 1777 /srv/escape/open
for f in named beside; do echo content > /srv/escape/$f; done
ln -sf /srv/escape/beside /srv/escape/named.d/link
echo secret > /root/escape-secret; chmod 600 /root/escape-secret
cp /bin/true /srv/escape/open/program
: > /srv/escape/plugins.d/escape.toml
printf 'name = "escape"\ntitle = "t"\ncategory = "test"\n[roots]\nnamed = ["/srv/escape/named"]\n' > /srv/escape/plugins.d/escape.toml
for p in file proc netlink net dbus journal container kube; do
  printf '[[command]]\nname = "escape-%s"\nprogram = ["/usr/local/libexec/escape"]\nprofile = "%s"\n[[command.form]]\nname = "try"\nlevel = "auto"\nwords = ["{int:2..4194304}", "{path:named}"]\nexamples = ["escape-%s 9 /srv/escape/named"]\ncounter_examples = ["escape-%s"]\n' $p $p $p $p >> /srv/escape/plugins.d/escape.toml
done
systemd-run -q --unit escape-victim --uid mcp-reader sleep 900
systemd-run -q --unit escape-victim-root sleep 900
cat > /srv/escape/listen.py <<'X'
import os, select, socket
made = []
for name, mode in (("/srv/escape/socket", 0o666), ("/srv/escape/root.socket", 0o600), ("\0escape", None)):
    s = socket.socket(socket.AF_UNIX)
    s.bind(name)
    s.listen(64)
    if mode is not None: os.chmod(name, mode)
    made.append(s)
open("/srv/escape/ready", "w").close()
while True:
    for s in select.select(made, [], [])[0]: s.accept()[0].close()
X
systemd-run -q --unit escape-listener python3 /srv/escape/listen.py
for i in $(seq 100); do [ -e /srv/escape/ready ] && break; sleep .05; done
test -e /srv/escape/ready
"#;

const TEAR_DOWN: &str = "systemctl stop escape-victim escape-victim-root escape-listener; rm -rf /srv/escape /root/escape-secret \
                         /usr/local/libexec/escape /tmp/escape-new /dev/mqueue/escape; ip addr del 127.9.9.9/32 dev lo; ipcrm -M 0x00e5ca9e; true";

impl Stage {
    fn set() -> Self {
        let stage = Self { lab: Lab::get() };
        let program = build();
        stage.lab.root(HOST, TEAR_DOWN);
        stage.lab.must(HOST, "mkdir -p /usr/local/libexec");
        let place = stage.lab.file(&format!("run/{HOST}/root/usr/local/libexec/escape"));
        std::fs::copy(program, place).unwrap();
        stage.lab.must(HOST, SET_UP);
        stage
    }

    /// Every attempt and its result. `account` is `mcp-reader` or `root`; `profile` is none for a run without the wrapper.
    fn attempts(&self, account: &str, profile: Option<&str>) -> Vec<(String, String)> {
        let victim = if account == "root" { "escape-victim-root" } else { "escape-victim" };
        let pid = self.lab.must(HOST, &format!("systemctl show {victim} -p MainPID --value"));
        // What an attempt of an earlier run without the sandbox has changed.
        self.lab.must(
            HOST,
            &format!(
                "cd /srv/escape/open; rm -rf new folder symbolic hard pipe own2; for f in own victim; do echo text > $f; setfattr -n user.x -v y $f; chown {account}: $f; done; rm -f /tmp/escape-new /dev/mqueue/escape; ip addr del 127.9.9.9/32 dev lo 2>/dev/null; ipcrm -M 0x00e5ca9e 2>/dev/null; true"
            ),
        );
        let run = match profile {
            Some(profile) => {
                format!("/usr/local/bin/mcp-wrapper -c 'escape-{profile} {pid} /srv/escape/named'")
            }
            None => format!("/usr/local/libexec/escape {pid} /srv/escape/named"),
        };
        // The plugin is there for this process alone, so that the host's policy stays what other tests expect. Descriptor 7 is
        // left open on purpose: what else this test inherits differs between machines.
        let script = format!(
            "exec unshare -m bash -c \"mount --make-rprivate / && mount --bind /srv/escape/plugins.d /etc/mcp-linux-infra/plugins.d && \
             exec 7</srv/escape/beside && exec setpriv --reuid {account} --regid {account} --init-groups env -i SSH_CLIENT='192.0.2.1 1 22' {run}\" </dev/null"
        );
        let said = self.lab.root(HOST, &script);
        let results: Vec<(String, String)> = said
            .out
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(name, result)| (name.to_owned(), result.to_owned()))
            .collect();
        assert!(results.len() > 80, "{account} {profile:?}: {said:?}");
        results
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.lab.root(HOST, TEAR_DOWN);
    }
}

#[test]
fn nothing_works_that_the_profile_does_not_name() {
    let stage = Stage::set();
    let mut columns: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let free = stage.attempts("root", None);
    let order: Vec<String> = free.iter().map(|(name, _)| name.clone()).collect();
    columns.push(("root, no sandbox".into(), free.into_iter().collect()));
    columns.push(("reader, no sandbox".into(), stage.attempts("mcp-reader", None).into_iter().collect()));
    for profile in PROFILES {
        columns.push((profile.to_owned(), stage.attempts("mcp-reader", Some(profile)).into_iter().collect()));
    }
    for profile in AS_ROOT {
        columns.push((
            format!("{profile}, as root"),
            stage.attempts("root", Some(profile)).into_iter().collect(),
        ));
    }
    let mut wrong = Vec::new();
    for (column, results) in &columns[2..] {
        let profile = column.split(',').next().unwrap();
        for name in &order {
            let works = results.get(name).is_none_or(|result| result == "yes");
            let may = named(profile).contains(&name.as_str()) || ALWAYS.contains(&name.as_str());
            if works != may {
                wrong.push(format!(
                    "{column}: {name}: {:?}, expected {}",
                    results.get(name),
                    if may { "yes" } else { "no" }
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The harness can do what it tries: otherwise a refusal would say nothing.
    let possible = order.iter().filter(|name| columns[0].1[*name] == "yes").count();
    assert!(
        possible * 10 >= order.len() * 7,
        "only {possible} of {} attempts work for root without a sandbox",
        order.len()
    );
    compare(&order, &columns);
}

/// The table in the docs is the one that was measured.
fn compare(order: &[String], columns: &[(String, BTreeMap<String, String>)]) {
    const START: &str = "<!-- attempts: made by tests/tests/escape.rs -->\n";
    const END: &str = "<!-- end of attempts -->";
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let mut table = format!("| attempt | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for name in order {
        let cells: Vec<&str> = columns
            .iter()
            .map(|(_, results)| match results.get(name).map(String::as_str) {
                Some("yes") => "**yes**",
                _ => "no",
            })
            .collect();
        table.push_str(&format!("| {name} | {} |\n", cells.join(" | ")));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/SANDBOX.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(START).expect("the start of the table");
    let (_, after) = rest.split_once(END).expect("the end of the table");
    let made = format!("{before}{START}{table}{END}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, made).unwrap();
    } else {
        assert!(text == made, "docs/SANDBOX.md is not what was measured: UPDATE_DOCS=1 writes it\n{table}");
    }
}
