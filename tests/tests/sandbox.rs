//! What the wrapper does when the kernel or the log service lacks what it rests on: nothing runs. And what its records look like.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use e2e::{Lab, Said};
use serde_json::Value;

const HOST: &str = "t2";

/// Runs the wrapper as the reader where systemd's own filter refuses one system call, with this target.toml.
fn without(lab: &Lab, call: &str, config: &str) -> Said {
    let script = format!(
        "printf '{config}' > /run/sandbox-test.toml; systemd-run -q --wait --pipe --uid mcp-reader -p BindReadOnlyPaths=/run/sandbox-test.toml:/etc/mcp-linux-infra/target.toml \
         -p 'SystemCallFilter=~{call}' -p SystemCallErrorNumber=EPERM /usr/local/bin/mcp-wrapper -c uptime </dev/null; s=$?; rm -f /run/sandbox-test.toml; exit $s"
    );
    lab.root(HOST, &script)
}

#[test]
fn what_the_kernel_cannot_confine_does_not_run() {
    let lab = Lab::get();
    let config = r#"host = "t2"\n"#;
    for (call, missing) in [("landlock_create_ruleset", "Landlock"), ("seccomp", "seccomp")] {
        let said = without(&lab, call, config);
        assert_eq!(said.exit, 126, "{call}: {said:?}");
        assert!(
            said.err.contains(&format!("this kernel lacks {missing}, so the program cannot be confined")),
            "{said:?}"
        );
        assert!(!said.out.contains("load average"), "{said:?}");
        let said = without(&lab, call, r#"host = "t2"\nsandbox = "best-effort"\n"#);
        assert!(said.exit == 0 && said.out.contains("load average"), "{call}, best effort: {said:?}");
    }
    // The calls by which a program enters: refused one by one, nothing starts.
    for call in ["landlock_restrict_self", "landlock_add_rule", "close_range", "capset"] {
        let said = without(&lab, call, config);
        assert!(said.exit == 126 && !said.out.contains("load average"), "{call}: {said:?}");
    }
}

#[test]
fn the_host_says_how_far_it_confines() {
    let lab = Lab::get();
    let facts: Value = serde_json::from_str(&lab.read(HOST, "mcp-describe").out).unwrap();
    assert_eq!(facts["sandbox"], "enforce");
    assert!(
        facts["kernel"]["landlock"].as_u64().unwrap() >= 1 && facts["kernel"]["seccomp"] == true,
        "{facts}"
    );
    assert_eq!(facts["gaps"].as_object().unwrap().len(), 8, "{facts}");
    assert_eq!(facts["gaps"]["file"], serde_json::json!([]));
}

#[test]
fn without_a_record_nothing_runs() {
    let lab = Lab::get();
    // The log socket is replaced for this process alone.
    let with_log = |service: &str, account: &str, program: &str| {
        lab.root(
            HOST,
            &format!(
                "exec unshare -m bash -c \"mount --make-rprivate / && mount -t tmpfs none /run/systemd/journal && {service} && \
                 exec setpriv --reuid {account} --regid {account} --init-groups env -i {program}\" </dev/null"
            ),
        )
    };
    let bind = "import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind('/run/systemd/journal/dev-log')";
    let full = format!(
        "(python3 -c \\\"{bind}; import os, time; os.chmod('/run/systemd/journal/dev-log', 0o666); kept = []; sent = 1
# Until a fresh sender cannot send: then it is the queue that is full, not what one sender may have under way.
while sent:
    f = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); f.setblocking(False); kept.append(f); sent = 0
    try:
        while True: f.sendto(b'x', '/run/systemd/journal/dev-log'); sent += 1
    except BlockingIOError: pass
open('/run/systemd/journal/full', 'w').close(); time.sleep(60)\\\" >/dev/null 2>&1 & ) && until [ -e /run/systemd/journal/full ]; do sleep .05; done"
    );
    let left = format!("python3 -c \\\"{bind}\\\" && chmod 666 /run/systemd/journal/dev-log");
    for (what, service) in
        [("missing", "true"), ("left behind", left.as_str()), ("not reading", full.as_str())]
    {
        let said = with_log(service, "mcp-reader", "/usr/local/bin/mcp-wrapper -c uptime");
        assert_eq!(said.exit, 126, "{what}: {said:?}");
        assert!(
            said.err.contains("no log record could be written") && said.out.is_empty(),
            "{what}: {said:?}"
        );
        let said = with_log(service, "pra-runner", "/usr/local/bin/pra-exec -c grant");
        assert_eq!(said.exit, 126, "{what}: {said:?}");
        assert!(said.out.contains("audit_unavailable"), "{what}: {said:?}");
    }
    lab.root(HOST, "for p in $(pgrep -f 'python3 -c import socket'); do kill $p; done");
}

#[test]
fn records_have_fields_that_nobody_can_forge() {
    let lab = Lab::get();
    let mark = format!("mark{}", std::process::id());
    let lines = [
        format!("cat /etc/hostname {mark}\n<86>mcp-wrapper[1]: [x verdict=\"auto\"]"),
        format!("grep '{mark}\" verdict=\"auto\"] \\x' /etc/hostname"),
    ];
    for line in &lines {
        lab.read(HOST, line);
    }
    let journal =
        lab.must(HOST, &format!("journalctl -q -t mcp-wrapper -o json --since -5min | grep {mark}"));
    let uid = lab.must(HOST, "id -u mcp-reader");
    let records: Vec<Value> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 2, "{journal}");
    for record in &records {
        // Whose process it was is the kernel's word, not the sender's.
        assert_eq!(
            (&record["SYSLOG_FACILITY"], &record["_UID"]),
            (&"10".into(), &uid.as_str().into()),
            "{record}"
        );
        let text = record["MESSAGE"].as_str().unwrap();
        assert!(text.starts_with("[mcp-linux-infra@32473 id=\"") && text.ends_with("\"]"), "{text}");
        assert!(text.contains(" client=\"10."), "{text}");
        assert_eq!(text.matches(" verdict=\"").count(), 1, "{text}");
        assert_eq!(text.lines().count(), 1);
    }
}
