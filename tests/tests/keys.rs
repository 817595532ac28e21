//! Keys on real hosts: rotated under load and cut off at every step, revoked at once; hosts deployed from bare, and audited.
//!
//! Five hosts: `LAB_DIRECT=5 lab/up.sh 5 && lab/deploy.sh t1 t2 t3 t4 t5`. They have the lab's own keys again at the end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use e2e::fleet::Fleet;
use e2e::mcp::{Client, Era};
use e2e::{Lab, Server, run};
use serde_json::{Value, json};

const FIVE: [&str; 5] = ["t1", "t2", "t3", "t4", "t5"];
const ROTATE: [&str; 4] = ["keys", "rotate", "--account", "reader"];
const RESUME: [&str; 5] = ["keys", "rotate", "--account", "reader", "--resume"];

/// Calls on one long-lived server, to every host in turn, until told to stop. Counts them; each must work.
fn calls(server: &Server<'_>, stop: &AtomicBool, count: &AtomicUsize) {
    let mut client = Client::start(server, Era::Modern);
    while !stop.load(Ordering::Relaxed) {
        for host in FIVE {
            client.ask_tool("execute_ssh_command", &json!({ "host": host, "command": "uptime" }));
        }
        for _ in FIVE {
            let answer = client.answer();
            assert!(answer["error"].is_null() && answer["result"]["isError"] != true, "{answer}");
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Calls that each log in anew.
fn logins(server: &Server<'_>, stop: &AtomicBool, count: &AtomicUsize) {
    for host in FIVE.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let host = format!("host={host}");
        let said =
            server.cli(&["tool", "call", "execute_ssh_command", "--arg", &host, "--arg", "command=uptime"]);
        assert_eq!(said.exit, 0, "{host}: {said:?}");
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn five_hosts_are_rotated_under_load_without_a_failed_call() {
    let lab = Lab::get();
    let fleet = Fleet::new(&lab, &FIVE);
    std::fs::copy(fleet.key("reader"), fleet.key("before")).unwrap();
    let server = fleet.server();
    let stop = AtomicBool::new(false);
    let (long, short) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (one, two) = (fleet.server(), fleet.server());
    let (exit, answer) = std::thread::scope(|scope| {
        let workers =
            [scope.spawn(|| calls(&one, &stop, &long)), scope.spawn(|| logins(&two, &stop, &short))];
        let rotated = fleet.ask(&server, &ROTATE);
        // The key is a new one also for who logs in afterwards: once more on every host.
        let (before, until) = (short.load(Ordering::Relaxed), Instant::now() + Duration::from_secs(100));
        while short.load(Ordering::Relaxed) < before + FIVE.len() && Instant::now() < until {
            if workers.iter().any(std::thread::ScopedJoinHandle::is_finished) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().expect("no call has failed");
        }
        rotated
    });
    println!("{long:?} calls in sessions, {short:?} with a login of their own");
    assert!(long.into_inner() >= 20 && short.into_inner() > FIVE.len());
    assert_eq!((exit, &answer["ok"]), (0, &json!(true)), "{answer}");
    assert!(
        answer["keys"][0]["hosts"].as_array().unwrap().iter().all(|r| r["step"] == "refused"),
        "{answer}"
    );
    for host in FIVE {
        assert!(fleet.takes(host, "mcp-reader", &fleet.key("reader")), "{host}: the new key");
        assert!(!fleet.takes(host, "mcp-reader", &fleet.key("before")), "{host}: the old key");
    }
    assert_eq!(fleet.files(), ["before", "config.toml", "reader", "reader.pub", "runner", "runner.pub"]);
    let audit = server.cli(&["audit", "tail", "-n", "1000", "--json"]).out;
    for step in ["begun", "switched", "done"] {
        assert!(audit.contains(&format!("\"step\":\"{step}\"")), "{step}");
    }
    assert_eq!(server.cli(&["audit", "verify"]).exit, 0);
}

/// Starts a rotation and kills it when it has said so many lines; `false` when it had fewer to say.
fn killed_at(server: &Server<'_>, line: usize) -> bool {
    let mut command = server.command(&ROTATE);
    // `ip netns exec` becomes the program: its process id is the program's.
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(child.stderr.take().unwrap()).lines().take(line).count();
    child.kill().unwrap();
    child.wait().unwrap();
    said == line
}

#[test]
fn killed_at_each_step_it_goes_on_where_it_was() {
    let lab = Lab::get();
    let fleet = Fleet::new(&lab, &["t4", "t5"]);
    let server = fleet.server();
    // Two lines for all, four for each host: begun, added, verified; switched, removed, refused.
    for line in 1..=9 {
        std::fs::copy(fleet.key("reader"), fleet.key("before")).unwrap();
        assert!(killed_at(&server, line), "it says less than {line} lines");
        // Whatever was cut off: the server gets in.
        for host in &fleet.hosts {
            let said = server.cli(&[
                "tool",
                "call",
                "execute_ssh_command",
                "--arg",
                &format!("host={host}"),
                "--arg",
                "command=uptime",
            ]);
            assert_eq!(said.exit, 0, "killed at line {line}: {said:?}");
        }
        assert_eq!(server.cli(&ROTATE).exit, 1, "it is not begun anew");
        let (exit, answer) = fleet.ask(&server, &RESUME);
        assert_eq!((exit, &answer["ok"]), (0, &json!(true)), "killed at line {line}: {answer}");
        for host in &fleet.hosts {
            assert!(fleet.takes(host, "mcp-reader", &fleet.key("reader")), "{host} after line {line}");
            assert!(
                !fleet.takes(host, "mcp-reader", &fleet.key("before")),
                "{host} after line {line}: the old key"
            );
            assert_eq!(
                lab.must(host, "wc -l < /etc/ssh/mcp-linux-infra/mcp-reader"),
                "1",
                "{host} after line {line}"
            );
        }
        assert_eq!(fleet.files(), ["before", "config.toml", "reader", "reader.pub", "runner", "runner.pub"]);
    }
    let (exit, answer) = fleet.ask(&server, &RESUME);
    assert_eq!((exit, &answer["keys"]), (0, &json!([])), "nothing is under way: {answer}");
}

/// A pulled cable that is plugged in again, also when the test fails.
struct Cut<'a>(&'a str);

impl<'a> Cut<'a> {
    fn new(host: &'a str) -> Self {
        Self::host("cut", host);
        Self(host)
    }

    fn host(what: &str, host: &str) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/host.sh");
        assert!(std::process::Command::new(script).args([what, host]).status().unwrap().success());
    }
}

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        Self::host("join", self.0);
    }
}

#[test]
fn a_host_that_is_away_stays_behind_and_is_not_cut_off_from_the_server() {
    let lab = Lab::get();
    let fleet = Fleet::new(&lab, &["t4", "t5"]);
    std::fs::copy(fleet.key("reader"), fleet.key("before")).unwrap();
    let server = fleet.server();
    {
        let _cut = Cut::new("t5");
        let (exit, answer) = fleet.ask(&server, &ROTATE);
        assert_eq!(exit, 1, "{answer}");
        let rows = answer["keys"][0]["hosts"].as_array().unwrap();
        assert_eq!((&rows[0]["step"], &rows[1]["step"]), (&json!("refused"), &json!("waiting")), "{answer}");
        assert!(rows[1]["error"].as_str().unwrap().contains("no way in"), "{answer}");
    }
    let said =
        server.cli(&["tool", "call", "execute_ssh_command", "--arg", "host=t5", "--arg", "command=uptime"]);
    assert_eq!(said.exit, 0, "the old key is good there, and the server still has it: {said:?}");
    assert!(
        !fleet.takes("t4", "mcp-reader", &fleet.key("before"))
            && fleet.takes("t5", "mcp-reader", &fleet.key("before"))
    );
    let (exit, answer) = fleet.ask(&server, &RESUME);
    assert_eq!(exit, 0, "{answer}");
    assert!(!fleet.takes("t5", "mcp-reader", &fleet.key("before")));
}

#[test]
fn a_revoked_account_is_out_everywhere_at_once_and_its_sessions_end() {
    let lab = Lab::get();
    let fleet = Fleet::new(&lab, &FIVE);
    let server = fleet.server();
    let mut open = lab.ssh("mcp-reader", "t1", &[]);
    let mut open = open
        .arg("mcp-session")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while lab.root("t1", "pgrep -u mcp-reader -x mcp-wrapper").exit != 0 {
        assert!(Instant::now() < until, "the session is open");
        std::thread::sleep(Duration::from_millis(50));
    }
    let cut = Cut::new("t5");
    let started = Instant::now();
    let (exit, answer) = fleet.ask(&server, &["keys", "revoke", "--account", "reader"]);
    println!("revoke, with one host away: {} ms; {answer}", started.elapsed().as_millis());
    assert_eq!(exit, 1, "{answer}");
    let rows = answer["results"].as_array().unwrap();
    for row in &rows[..4] {
        assert_eq!((&row["ok"], &row["refused"]), (&json!(true), &json!(true)), "{row}");
    }
    assert!(
        rows[4]["ok"] == false && rows[4]["error"].as_str().unwrap().contains("no way in"),
        "{}",
        rows[4]
    );
    assert_ne!(open.wait().unwrap().code(), Some(0));
    for host in &FIVE[..4] {
        assert!(!fleet.takes(host, "mcp-reader", &fleet.key("reader")), "{host}");
        assert!(fleet.takes(host, "pra-runner", &fleet.key("runner")), "{host}: the other account");
        assert_eq!(lab.root(host, "pgrep -u mcp-reader").exit, 1, "{host}: nothing of it runs");
    }
    drop(cut);
    let (exit, answer) = fleet.ask(&server, &["keys", "revoke", "--account", "reader", "--hosts", "t5"]);
    assert_eq!(exit, 0, "{answer}");
    // A new key, laid by the same way, opens them again.
    let (exit, answer) = fleet.ask(&server, &ROTATE);
    assert_eq!(exit, 0, "{answer}");
}

#[test]
fn a_key_or_an_approver_is_taken_away_by_its_name() {
    let lab = Lab::get();
    let fleet = Fleet::new(&lab, &["t4", "t5"]);
    let server = fleet.server();
    let print = |key: &std::path::Path| {
        let said = run(std::process::Command::new("ssh-keygen").arg("-lf").arg(key), b"").out;
        said.split(' ').nth(1).unwrap().to_owned()
    };
    let (exit, answer) = fleet.ask(&server, &["keys", "revoke", "--key", &print(&fleet.key("runner.pub"))]);
    assert_eq!(exit, 0, "{answer}");
    assert!(answer["results"].as_array().unwrap().iter().all(|r| r["refused"] == true), "{answer}");
    assert!(!fleet.takes("t4", "pra-runner", &fleet.key("runner")));
    assert!(fleet.takes("t4", "mcp-reader", &fleet.key("reader")));
    let (exit, answer) = fleet.ask(&server, &["keys", "revoke", "--key", &print(&lab.key("bob.pub"))]);
    assert_eq!(exit, 0, "{answer}");
    assert_eq!(lab.must("t4", "cut -d' ' -f1 /etc/mcp-linux-infra/approvers"), "alice@example.org");
    let (exit, answer) = fleet.ask(&server, &["keys", "revoke", "--approver", "alice@example.org"]);
    assert_eq!(exit, 0, "{answer}");
    assert_eq!(lab.must("t5", "cat /etc/mcp-linux-infra/approvers"), "");
    for wrong in ["nonsense", "SHA256:x;id", "--approver"] {
        assert_eq!(server.cli(&["keys", "revoke", "--key", wrong]).exit, 2, "{wrong}");
    }
}

#[test]
fn a_bare_host_becomes_a_target_by_one_command_with_and_without_the_program() {
    let lab = Lab::get();
    let fleet = Fleet::new(&lab, &["t5"]);
    let server = fleet.server();
    let top = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let programs = format!("{top}/target/dist");
    let bare = || {
        lab.must("t5", "cd /root/deploy && ./install-target.sh --uninstall && ! id mcp-reader 2>/dev/null")
    };
    bare();
    let (exit, answer) = fleet.ask(&server, &["deploy", "t5", "--programs", &programs, "--log-group"]);
    assert_eq!((exit, &answer["ok"]), (0, &json!(true)), "{answer}");
    let (exit, answer) =
        fleet.ask(&server, &["deploy", "t5", "--programs", &programs, "--log-group", "--check"]);
    assert_eq!(exit, 0, "{answer}");
    bare();
    let (exit, answer) = fleet.ask(&server, &["deploy", "t5", "--programs", &programs, "--check"]);
    assert!(exit == 1 && answer["results"][0]["drifts"].as_array().unwrap().len() > 10, "{answer}");
    assert_ne!(lab.root("t5", "id mcp-reader").exit, 0, "--check has changed nothing");
    let mut command = lab.inside(format!("{top}/scripts/deploy-manual.sh"));
    command.args([
        "t5",
        "--ssh",
        &format!("-F {}", lab.file("ssh_config").display()),
        "--programs",
        &programs,
        "--log-group",
    ]);
    for key in ["reader", "runner"] {
        command.arg(format!("--{key}-key")).arg(fleet.key(key));
    }
    let said = run(command.arg("--approvers").arg(lab.file("approvers")), b"");
    assert_eq!(said.exit, 0, "{said:?}");
    assert!(said.out.contains("mcp-reader logs in") && said.out.contains("pra-runner logs in"), "{said:?}");
    let (exit, answer) =
        fleet.ask(&server, &["deploy", "t5", "--programs", &programs, "--log-group", "--check"]);
    assert_eq!(exit, 0, "both lay the same: {answer}");
}

#[test]
fn keys_are_good_only_from_where_and_until_when_it_was_said() {
    let lab = Lab::get();
    let fleet = Fleet::new(&lab, &["t5"]);
    let server = fleet.server();
    let lay = |from: &str, expires: &str| {
        let line = format!(
            "cd /root/deploy && ./install-target.sh --reader-key reader.pub --runner-key runner.pub --from {from} --expires {expires}"
        );
        lab.must("t5", &line);
        fleet.takes("t5", "mcp-reader", &fleet.key("reader"))
    };
    let here = format!("{}/16", lab.address("t5").rsplitn(3, '.').last().unwrap().to_owned() + ".0.0");
    assert!(lay(&here, "209912312359Z"));
    assert!(!lay(&here, "202001010000Z"), "it has expired");
    assert!(!lay("192.0.2.0/24,2001:db8::/32", "209912312359Z"), "it comes from elsewhere");
    assert!(lay(&format!("192.0.2.0/24,{here}"), "209912312359Z"));
    // A new key is good from where the old one was.
    let (exit, answer) = fleet.ask(&server, &ROTATE);
    assert_eq!(exit, 0, "{answer}");
    let line = lab.must("t5", "cat /etc/ssh/mcp-linux-infra/mcp-reader");
    assert!(line.contains(&format!("from=\"192.0.2.0/24,{here}\"")) && !line.contains("expiry"), "{line}");
}

/// Breaks something on a host; expects exactly this to be found by `doctor --harden`, and its cause named; mends it.
fn drifts(fleet: &Fleet<'_>, server: &Server<'_>) -> Vec<(String, String)> {
    let (exit, answer) = fleet.ask(server, &["doctor", "--harden"]);
    let rows = answer["results"][0]["checks"].as_array().unwrap();
    let ill: Vec<&Value> = rows.iter().filter(|c| c["ok"] == false).collect();
    assert_eq!(exit, i32::from(!ill.is_empty()), "{answer}");
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    ill.iter().map(|c| (text(&c["detail"]), text(&c["mend"]))).collect()
}

#[test]
fn each_thing_that_drifted_is_found_with_its_cause() {
    let lab = Lab::get();
    let fleet = Fleet::new(&lab, &["t4"]);
    let server = fleet.server();
    assert_eq!(drifts(&fleet, &server), [], "as it was laid");
    let early = "/etc/ssh/sshd_config.d/10-early.conf";
    let keys = "/etc/ssh/mcp-linux-infra/mcp-reader";
    let cases: &[(&str, &str, &str, &str)] = &[
        (
            "printf 'Match User mcp-reader\\nPermitTTY yes\\nMatch all\\n' > EARLY",
            "rm EARLY",
            "sshd: sshd gives mcp-reader 'permittty yes'",
            "10-early.conf:2",
        ),
        (
            "printf 'Match Address 10.1.0.0/16\\nDisableForwarding no\\nForceCommand none\\nMatch all\\n' > EARLY",
            "rm EARLY",
            "sshd: ",
            "addr=10.1.0.0",
        ),
        (
            "echo 'AllowUsers ops mcp-reader jump' > EARLY",
            "rm EARLY",
            "login: allowusers of sshd keeps pra-runner out",
            "10-early.conf:1",
        ),
        (
            "echo 'DenyGroups adm' > EARLY",
            "rm EARLY",
            "login: denygroups of sshd keeps mcp-reader out",
            "10-early.conf:1",
        ),
        (
            "echo 'LogLevel QUIET' > EARLY",
            "rm EARLY",
            "sshd: sshd gives mcp-reader 'loglevel ",
            "10-early.conf:1",
        ),
        (
            "sed -i 's/MaxSessions 10/MaxSessions 100/' OURS",
            "LAY",
            "sshd: /etc/ssh/sshd_config.d/60",
            "MaxSessions 100",
        ),
        (
            "sed -i '/^Include/d' /etc/ssh/sshd_config",
            "sed -i '1i Include /etc/ssh/sshd_config.d/*.conf' /etc/ssh/sshd_config",
            "sshd: ",
            "does not include",
        ),
        (
            "echo 'pra-runner ALL=(ALL) NOPASSWD: /usr/bin/id' > /etc/sudoers.d/zz",
            "rm /etc/sudoers.d/zz",
            "sudoers: sudo lets pra-runner run",
            "/usr/bin/id",
        ),
        (
            "echo 'mcp-reader ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/zz",
            "rm /etc/sudoers.d/zz",
            "sudoers: sudo lets mcp-reader run",
            "ALL",
        ),
        (
            "echo 'Defaults !env_reset' > /etc/sudoers.d/zz",
            "rm /etc/sudoers.d/zz",
            "sudoers: sudo's defaults",
            "environment",
        ),
        (
            "chmod u+w /etc/sudoers.d/mcp-linux-infra",
            "chmod 440 /etc/sudoers.d/mcp-linux-infra",
            "sudoers: ",
            "640",
        ),
        (
            "usermod -aG shadow mcp-reader",
            "gpasswd -d mcp-reader shadow",
            "groups: mcp-reader is in group shadow",
            "",
        ),
        (
            "usermod --shell /bin/bash pra-runner",
            "usermod --shell /usr/local/bin/pra-exec pra-runner",
            "account: the login shell of pra-runner",
            "/bin/bash",
        ),
        (
            "echo pra-runner:x | chpasswd",
            "usermod --password '*' pra-runner",
            "account: pra-runner has a password",
            "",
        ),
        (
            "cp /etc/ssh/ssh_host_ed25519_key.pub /tmp/k && cat /tmp/k >> KEYS",
            "sed -i '$d' KEYS",
            "keys: ",
            "was not laid so",
        ),
        (
            "sed 's/AAAAIA.../AAAAIBBB/;s/AAAAI[C-Z].../AAAAIBBB/' KEYS > /tmp/k; cat /tmp/k >> KEYS",
            "sed -i '$d' KEYS",
            "keys: ",
            "not the server's",
        ),
        ("chmod 666 KEYS", "chmod 644 KEYS", "keys: ", "666"),
        (
            "mkdir -p /var/lib/mcp-linux-infra/home/.ssh",
            "rmdir /var/lib/mcp-linux-infra/home/.ssh",
            "files: /var/lib/mcp-linux-infra/home is not empty",
            ".ssh",
        ),
        (
            "touch /etc/mcp-linux-infra/plugins.d/x.toml && chown mcp-reader /etc/mcp-linux-infra/plugins.d/x.toml",
            "rm /etc/mcp-linux-infra/plugins.d/x.toml",
            "files: ",
            "mcp-reader",
        ),
        ("chmod 4755 /usr/local/sbin/pra-run", "chmod 755 /usr/local/sbin/pra-run", "programs: ", "4755"),
        (
            "chmod 777 /usr/local/bin",
            "chmod 755 /usr/local/bin",
            "programs: /usr/local/bin can be written",
            "",
        ),
        ("chmod 644 /var/log/pra-run.log", "chmod 640 /var/log/pra-run.log", "log: ", "644"),
        (
            "sed -i 's/compress/copytruncate/' /etc/logrotate.d/mcp-linux-infra",
            "LAY",
            "logrotate: ",
            "copytruncate",
        ),
        (
            "mkdir -p /etc/systemd/journald.conf.d && printf '[Journal]\\nStorage=none\\n' > /etc/systemd/journald.conf.d/z.conf && systemctl -q stop rsyslog syslog.socket",
            "rm /etc/systemd/journald.conf.d/z.conf; systemctl start syslog.socket rsyslog",
            "log: journald keeps nothing",
            "Storage=none",
        ),
        (
            "mv /var/lib/mcp-linux-infra/ledger/clock /root/",
            "mv /root/clock /var/lib/mcp-linux-infra/ledger/",
            "ledger: ",
            "is missing",
        ),
        ("sed -i '$d' /etc/mcp-linux-infra/approvers", "LAY", "approvers: ", "reviewed"),
        (
            "sysctl -qw net.ipv4.ping_group_range='1 0'",
            "sysctl -qp /etc/sysctl.d/60-mcp-linux-infra.conf",
            "sysctl: ",
            "cannot ping",
        ),
    ];
    let words = |line: &str| {
        let lay = "cd /root/deploy && ./install-target.sh --reader-key reader.pub --runner-key runner.pub --approvers approvers >/dev/null";
        line.replace("EARLY", early)
            .replace("KEYS", keys)
            .replace("OURS", "/etc/ssh/sshd_config.d/60-mcp-linux-infra.conf")
            .replace("LAY", lay)
    };
    for (harm, mend, what, cause) in cases {
        lab.must("t4", &words(harm));
        let found = drifts(&fleet, &server);
        lab.must("t4", &words(mend));
        let fitting =
            found.iter().filter(|(detail, _)| detail.starts_with(what) && detail.contains(cause)).count();
        assert!(
            fitting >= 1
                && found.iter().all(|(detail, mend)| detail.starts_with(&what[..4]) && !mend.is_empty()),
            "{harm}: {found:?}"
        );
        // One thing is one row for each account; a Match block may change several settings.
        let rows = if harm.contains("Match Address") { 9 } else { 2 };
        assert!(found.len() <= rows, "{harm}: {found:?}");
    }
    assert_eq!(drifts(&fleet, &server), [], "everything was mended");
}
