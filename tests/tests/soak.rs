//! Many calls on one server: memory, descriptors and the programs on the host are afterwards as they were.
//!
//! `SOAK_CALLS` says how many, else 20,000; `docs/MCP.md` has figures.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use std::time::Instant;

use e2e::mcp::{Client, Era};
use e2e::{Lab, Server};
use serde_json::json;

const HOST: &str = "t1";
/// Calls that wait for their answers at the same time.
const IN_FLIGHT: usize = 32;
/// Until caches and pools have what they keep.
const WARM_UP: usize = 1000;
/// Memory that may be in use more, in KiB: what an allocator keeps differs from run to run.
const SLACK_KIB: u64 = 8 << 10;

/// What must not grow.
#[derive(Debug, PartialEq, Eq)]
struct Use {
    memory_kib: u64,
    descriptors: usize,
    remote: usize,
}

fn used(lab: &Lab, client: &Client) -> Use {
    let pid = client.pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let memory = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    let remote = lab.must(
        HOST,
        "ps -u mcp-reader --no-headers -o comm | sort | uniq -c | awk '{ n += $1 } END { print n + 0 }'",
    );
    Use {
        memory_kib: memory.trim().trim_end_matches(" kB").parse().unwrap(),
        descriptors: std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(),
        remote: remote.parse().unwrap(),
    }
}

/// Calls of several kinds, so many at a time; each must be answered, and well.
fn calls(client: &mut Client, count: usize) {
    let kinds = [
        ("execute_ssh_command", json!({ "host": HOST, "command": "uptime" })),
        ("get_memory_info", json!({ "host": HOST })),
        ("execute_ssh_command", json!({ "host": HOST, "command": "head -n 3 /etc/passwd" })),
        ("list_hosts", json!({})),
        ("analyze_command", json!({ "command": "systemctl stop sshd; rm -rf /" })),
    ];
    let mut asked = 0;
    let mut answered = 0;
    while answered < count {
        while asked < count && asked - answered < IN_FLIGHT {
            let (tool, arguments) = &kinds[asked % kinds.len()];
            client.ask_tool(tool, arguments);
            asked += 1;
        }
        let answer = client.answer();
        assert!(answer["error"].is_null() && answer["result"]["isError"] != true, "{answer}");
        answered += 1;
    }
}

#[test]
fn many_calls_leave_nothing_behind() {
    let count: usize =
        std::env::var("SOAK_CALLS").map_or(20_000, |n| n.parse().expect("SOAK_CALLS is a number"));
    let lab = Lab::get();
    let config = lab.file("soak.toml");
    let plain = std::fs::read_to_string(lab.file("mcp-linux-infra.toml")).unwrap();
    std::fs::write(&config, format!("{plain}\n[limits]\ncalls_per_minute = 100000\n")).unwrap();
    let server = Server::with_config(&lab, config);
    let mut client = Client::start(&server, Era::Modern);
    calls(&mut client, WARM_UP);
    let before = used(&lab, &client);
    let started = Instant::now();
    calls(&mut client, count);
    let after = used(&lab, &client);
    println!("{count} calls in {} s: {before:?}, then {after:?}", started.elapsed().as_secs());
    assert!(after.memory_kib <= before.memory_kib + SLACK_KIB, "{before:?}, then {after:?}");
    assert_eq!((after.descriptors, after.remote), (before.descriptors, before.remote));
    assert_eq!(client.end(), 0);
}
