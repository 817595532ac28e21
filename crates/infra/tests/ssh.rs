//! The connections to hosts, against a real sshd on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

mod support;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use mcp_linux_infra::config::{Config, Environment};
use mcp_linux_infra::ssh::{Account, ExecOutput, Pool, SshError};
use mcp_linux_infra::store::{Audit, Receipt, Store};
use serde_json::json;
use support::Sshd;

/// What the tests need of a server: its configuration, its connections and one audit record.
struct Setup {
    _dir: tempfile::TempDir,
    config: Config,
    pool: Arc<Pool>,
    receipt: Receipt,
}

fn setup(entries: &str) -> Setup {
    setup_with(entries, 10)
}

fn setup_with(entries: &str, connect_seconds: u32) -> Setup {
    setup_limited(entries, connect_seconds, 20)
}

fn setup_limited(entries: &str, connect_seconds: u32, command_seconds: u32) -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    let limits = format!(
        "[limits]\nconnect_seconds = {connect_seconds}\ncommand_seconds = {command_seconds}\noutput_bytes = 100000\n"
    );
    std::fs::write(&file, format!("known_hosts = \"known_hosts\"\n{limits}{entries}")).unwrap();
    let config = Config::load(Some(&file), &Environment::from([("HOME", "/nonexistent")])).unwrap();
    let store = Store::open(&dir.path().join("state")).unwrap();
    let receipt = store.audit(&Audit { event: "test", data: json!({}) }).unwrap();
    Setup { pool: Arc::new(Pool::new(&config)), config, receipt, _dir: dir }
}

impl Setup {
    async fn exec(&self, host: &str, line: &str) -> Result<ExecOutput, SshError> {
        let host = self.config.inventory.get(host).unwrap();
        self.pool.exec(host, Account::Reader, line, None, &self.receipt).await
    }
}

/// The forced command leaves a mark each time it runs.
const MARKED: &str = "echo ran >> ran.log; echo \"out:$SSH_ORIGINAL_COMMAND\"; echo err >&2; exit 7";

#[tokio::test]
async fn the_answer_is_the_commands_own() {
    let sshd = Sshd::start(MARKED);
    let setup = setup(&sshd.host_entry("a", Some(&sshd.public("host")), "reader"));
    let output = setup.exec("a", "uptime 'a b'").await.unwrap();
    assert_eq!(
        (output.stdout.as_slice(), output.stderr.as_slice(), output.exit),
        (&b"out:uptime 'a b'\n"[..], &b"err\n"[..], Some(7))
    );
}

#[tokio::test]
async fn thirty_two_at_once_are_all_answered_under_the_default_max_sessions() {
    let sshd = Sshd::start("sleep 0.2; echo \"$SSH_ORIGINAL_COMMAND\"");
    let setup = setup(&sshd.host_entry("a", Some(&sshd.public("host")), "reader"));
    let lines: Vec<String> = (0..32).map(|i| format!("call {i}")).collect();
    let answers = futures::future::join_all(lines.iter().map(|l| setup.exec("a", l))).await;
    for (line, answer) in lines.iter().zip(answers) {
        assert_eq!(String::from_utf8(answer.unwrap().stdout).unwrap().trim(), line);
    }
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 1, "one connection");
}

#[tokio::test]
async fn an_unknown_or_changed_host_key_is_an_error_and_nothing_runs() {
    let sshd = Sshd::start(MARKED);
    let entries = sshd.host_entry("unknown", None, "reader")
        + &sshd.host_entry("changed", Some(&sshd.public("stranger")), "reader");
    let setup = setup(&entries);
    let unknown = setup.exec("unknown", "uptime").await.unwrap_err();
    assert!(
        matches!(&unknown, SshError::HostKey { .. }) && unknown.to_string().contains(&sshd.public("host")),
        "{unknown}"
    );
    let changed = setup.exec("changed", "uptime").await.unwrap_err();
    assert!(
        matches!(&changed, SshError::HostKey { .. }) && changed.to_string().contains("CHANGED"),
        "{changed}"
    );
    assert!(!sshd.path("ran.log").exists());
}

#[tokio::test]
async fn a_refused_key_says_so_and_nothing_runs() {
    let sshd = Sshd::start(MARKED);
    let setup = setup(&sshd.host_entry("a", Some(&sshd.public("host")), "stranger"));
    let error = setup.exec("a", "uptime").await.unwrap_err();
    assert!(matches!(error, SshError::Login { .. }), "{error}");
    assert!(!sshd.path("ran.log").exists());
}

#[tokio::test]
async fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let sshd = Sshd::start(MARKED);
    std::fs::set_permissions(sshd.path("reader"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let setup = setup(&sshd.host_entry("a", Some(&sshd.public("host")), "reader"));
    let error = setup.exec("a", "uptime").await.unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[tokio::test]
async fn a_hung_host_delays_no_other() {
    let sshd = Sshd::start(MARKED);
    let hung = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = hung.local_addr().unwrap().port();
    let key = sshd.public("host");
    let entry = format!(
        "[[hosts]]\nname = \"hung\"\naddress = \"127.0.0.1\"\nport = {port}\nhost_key = \"{key}\"\nreader_key = \"{}\"\n",
        sshd.path("reader").display()
    );
    // Longer than five answers take on a busy machine.
    let setup = setup_with(&(sshd.host_entry("a", Some(&key), "reader") + &entry), 60);
    let waiting = futures::future::join_all((0..8).map(|_| setup.exec("hung", "uptime")));
    tokio::pin!(waiting);
    // The answers of the host that works come while every call to the other still waits.
    for _ in 0..5 {
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("the hung host answered first"),
            answer = setup.exec("a", "uptime") => assert_eq!(answer.unwrap().exit, Some(7)),
        }
    }
}

#[tokio::test]
async fn a_host_that_says_nothing_is_given_up() {
    let hung = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = hung.local_addr().unwrap().port();
    let sshd = Sshd::start(MARKED);
    let entry = format!(
        "[[hosts]]\nname = \"hung\"\naddress = \"127.0.0.1\"\nport = {port}\nhost_key = \"{}\"\nreader_key = \"{}\"\n",
        sshd.public("host"),
        sshd.path("reader").display()
    );
    let setup = setup_with(&entry, 1);
    assert!(matches!(setup.exec("hung", "uptime").await, Err(SshError::Unreachable { .. })));
}

/// Most memory that this process ever had, in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// Waits until the forced command, which wrote its process id, has ended.
async fn ended(sshd: &Sshd, mark: &str) {
    let pid = std::fs::read_to_string(sshd.path(mark)).unwrap();
    for _ in 0..200 {
        if cmdline(&pid).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} still runs: {}", pid.trim(), cmdline(&pid));
}

#[tokio::test]
async fn output_hostile_07_a_flood_is_cut_and_the_connection_stays_usable() {
    let sshd = Sshd::start(
        "case $SSH_ORIGINAL_COMMAND in flood) echo $$ > flood.pid; exec yes;; *) echo fine;; esac",
    );
    let setup = setup(&sshd.host_entry("a", Some(&sshd.public("host")), "reader"));
    let before = peak_memory();
    // Output without an end is more than any number of bytes.
    let output = setup.exec("a", "flood").await.unwrap();
    assert!(output.truncated && output.stdout.len() == 100_000 && output.exit.is_none());
    assert!(peak_memory() < before + (32 << 10), "memory stays flat: {} KiB", peak_memory() - before);
    ended(&sshd, "flood.pid").await;
    assert_eq!(setup.exec("a", "small").await.unwrap().stdout, b"fine\n");
}

#[tokio::test]
async fn output_hostile_08_a_trickle_ends_at_the_deadline() {
    let sshd = Sshd::start(
        "case $SSH_ORIGINAL_COMMAND in trickle) echo $$ > trickle.pid; while :; do printf x; sleep 0.3; done;; *) echo fine;; esac",
    );
    let setup = setup_limited(&sshd.host_entry("a", Some(&sshd.public("host")), "reader"), 10, 2);
    // Each byte is news, and none of them moves the deadline.
    let ends = tokio::time::timeout(Duration::from_secs(15), setup.exec("a", "trickle")).await;
    assert!(matches!(ends, Ok(Err(SshError::TimedOut { .. }))), "{ends:?}");
    ended(&sshd, "trickle.pid").await;
    assert_eq!(setup.exec("a", "small").await.unwrap().stdout, b"fine\n");
}

#[tokio::test]
async fn a_lost_connection_is_not_success_and_the_next_call_connects_anew() {
    // The forced command kills the sshd process that serves it.
    let sshd = Sshd::start("case $SSH_ORIGINAL_COMMAND in cut) kill -9 $PPID; sleep 5;; *) echo fine;; esac");
    let setup = setup(&sshd.host_entry("a", Some(&sshd.public("host")), "reader"));
    let cut = setup.exec("a", "cut").await;
    assert!(cut.is_err() || cut.as_ref().is_ok_and(|o| o.exit.is_none()), "{cut:?}");
    let again =
        tokio::time::timeout(Duration::from_secs(15), setup.exec("a", "small")).await.unwrap().unwrap();
    assert_eq!(again.stdout, b"fine\n");
}

/// An sshd with the played wrapper, and the connections to it.
fn with_wrapper(idle_seconds: u32) -> (Sshd, Setup) {
    let sshd = Sshd::with_wrapper(idle_seconds);
    let setup = setup(&sshd.host_entry("a", Some(&sshd.public("host")), "reader"));
    (sshd, setup)
}

fn wrapper_log(sshd: &Sshd) -> String {
    std::fs::read_to_string(sshd.path("target/var/log/mcp-wrapper.log")).unwrap_or_default()
}

/// The ids of the sessions through which requests came.
fn sessions(log: &str) -> std::collections::BTreeSet<String> {
    log.lines()
        .filter(|l| l.contains("line=\"play "))
        .map(|l| l.split("session=\"").nth(1).map_or("none", |rest| &rest[..12]).to_owned())
        .collect()
}

/// What a process was started with; nothing when it has ended.
fn cmdline(pid: &str) -> String {
    std::fs::read_to_string(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default()
}

#[tokio::test]
async fn a_hundred_calls_share_one_session() {
    let (sshd, setup) = with_wrapper(300);
    let lines: Vec<String> = (0..100).map(|i| format!("play say {i}")).collect();
    let answers = futures::future::join_all(lines.iter().map(|l| setup.exec("a", l))).await;
    for (i, answer) in answers.into_iter().enumerate() {
        let output = answer.unwrap();
        assert_eq!((output.stdout, output.exit), (format!("said {i}\n").into_bytes(), Some(7)));
    }
    let refused = setup.exec("a", "play other 1; reboot").await.unwrap();
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.exit == Some(126) && told.starts_with("mcp-wrapper: blocked: "), "{told}");
    let log = wrapper_log(&sshd);
    let sessions = sessions(&log);
    assert!(sessions.len() == 1 && !sessions.contains("none"), "{sessions:?}");
    assert_eq!(log.matches("exit=\"7\"").count(), 100, "{log}");
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 1, "one connection");
}

#[tokio::test]
async fn a_killed_session_fails_every_call_in_it_and_the_next_call_opens_another() {
    let (sshd, setup) = with_wrapper(300);
    assert_eq!(setup.exec("a", "play say 1").await.unwrap().exit, Some(7));
    let slow = futures::future::join_all((0..5).map(|i| {
        let setup = &setup;
        async move { setup.exec("a", &format!("play slow {i}")).await }
    }));
    let pid = |i: u32| std::fs::read_to_string(sshd.path(&format!("target/slow.{i}"))).unwrap_or_default();
    let kill = async {
        while !(0..5).all(|i| pid(i).ends_with('\n')) {
            tokio::task::yield_now().await;
        }
        setup.exec("a", "play kill 1").await
    };
    let (slow, kill) = tokio::join!(slow, kill);
    for answer in slow.into_iter().chain([kill]) {
        assert!(matches!(answer, Err(SshError::Lost { .. })), "{answer:?}");
    }
    let gone = async {
        while (0..5).any(|i| cmdline(&pid(i)).contains("sleep")) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("its programs go with it");
    assert_eq!(setup.exec("a", "play say 2").await.unwrap().exit, Some(7));
    assert_eq!(sessions(&wrapper_log(&sshd)).len(), 2);
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 1, "the connection is the same");
}

#[tokio::test]
async fn an_idle_session_ends_and_the_next_call_opens_another() {
    let (sshd, setup) = with_wrapper(1);
    assert_eq!(setup.exec("a", "play say 1").await.unwrap().exit, Some(7));
    let ended = async {
        while !wrapper_log(&sshd).contains("end=\"idle\"") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.expect("it ends by itself");
    assert_eq!(setup.exec("a", "play say 2").await.unwrap().exit, Some(7));
    assert_eq!(sessions(&wrapper_log(&sshd)).len(), 2);
}

#[tokio::test]
async fn an_older_wrapper_is_asked_for_a_session_once_for_each_connection() {
    let sshd = Sshd::start(
        "echo \"$SSH_ORIGINAL_COMMAND\" >> ran.log
         case $SSH_ORIGINAL_COMMAND in
         mcp-session) echo 'mcp-wrapper: blocked: no plugin has the command' >&2; exit 126;;
         *) echo \"$SSH_ORIGINAL_COMMAND\";;
         esac",
    );
    let setup = setup(&sshd.host_entry("a", Some(&sshd.public("host")), "reader"));
    for line in ["one", "two", "three"] {
        assert_eq!(setup.exec("a", line).await.unwrap().stdout, format!("{line}\n").into_bytes());
    }
    let asked = std::fs::read_to_string(sshd.path("ran.log")).unwrap();
    assert_eq!(asked, "mcp-session\none\ntwo\nthree\n");
}

#[tokio::test]
async fn with_a_wrapper_of_no_common_version_each_command_has_its_own_channel() {
    // Its hello: versions 7 to 9.
    let sshd = Sshd::start(
        "echo \"$SSH_ORIGINAL_COMMAND\" >> ran.log
         case $SSH_ORIGINAL_COMMAND in
         mcp-session) printf '\\000\\000\\000\\010\\001\\000\\000\\000\\000mcps\\000\\007\\000\\011'; cat >/dev/null;;
         *) echo \"$SSH_ORIGINAL_COMMAND\";;
         esac",
    );
    let setup = setup(&sshd.host_entry("a", Some(&sshd.public("host")), "reader"));
    for line in ["one", "two"] {
        assert_eq!(setup.exec("a", line).await.unwrap().stdout, format!("{line}\n").into_bytes());
    }
    let asked = std::fs::read_to_string(sshd.path("ran.log")).unwrap();
    assert_eq!(asked, "mcp-session\none\ntwo\n", "it is asked once for a session");
}
