//! What one command of a reader costs through the pool on a loopback sshd, one-shot and in a session:
//! `cargo bench -p mcp-linux-infra --bench session`.
//!
//! Both ways run the same target code in the same run, turn by turn. The target is a played root, so nothing is confined, and its
//! program is this package's own, which is larger than `mcp-wrapper`. With `MCP_WRAPPER=PLACE` it is that program instead, confined as on a
//! host; it then needs a log service on `/dev/log`. Nothing is asserted: these are figures for a person to read.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    dead_code,
    reason = "a benchmark stops at what it does not expect, and needs a part of what the tests have"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use mcp_linux_infra::config::{Config, Environment, Host};
use mcp_linux_infra::ssh::{Account, Pool};
use mcp_linux_infra::store::{Audit, Receipt, Store};
use serde_json::json;
use support::Sshd;

const RUNS: usize = 100;
const PARALLEL: usize = 64;
const LINE: &str = "uptime";

struct Bench {
    pool: Pool,
    host: Host,
    receipt: Receipt,
}

impl Bench {
    /// One command; with an empty stdin the pool gives it a channel of its own.
    async fn once(&self, session: bool) -> Duration {
        let started = Instant::now();
        let stdin = (!session).then_some(&b""[..]);
        let output =
            self.pool.exec(&self.host, Account::Reader, LINE, stdin, &self.receipt).await.expect("an answer");
        assert_eq!(output.exit, Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        started.elapsed()
    }

    async fn parallel(&self, session: bool) -> Duration {
        let started = Instant::now();
        futures::future::join_all((0..PARALLEL).map(|_| self.once(session))).await;
        started.elapsed()
    }
}

#[tokio::main]
async fn main() {
    let sshd = Sshd::start(&match std::env::var("MCP_WRAPPER") {
        Ok(place) => format!("exec '{place}'"),
        Err(_) => format!(
            "mkdir -p target/var/log target/etc; exec '{}' demo-target reader \"$PWD/target\"",
            env!("CARGO_BIN_EXE_mcp-linux-infra")
        ),
    });
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("c.toml");
    std::fs::write(&file, sshd.host_entry("a", Some(&sshd.public("host")), "reader")).expect("a file");
    let config = Config::load(Some(&file), &Environment::from([("HOME", "/nonexistent")])).expect("a config");
    let store = Store::open(&dir.path().join("state")).expect("a store");
    let receipt = store.audit(&Audit { event: "bench", data: json!({}) }).expect("a receipt");
    let host = config.inventory.get("a").expect("the host").clone();
    let bench = Bench { pool: Pool::new(&config), host, receipt };
    for session in [true, false] {
        bench.once(session).await;
    }
    let (mut one_shot, mut in_session) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        one_shot.push(bench.once(false).await);
        in_session.push(bench.once(true).await);
    }
    row(&format!("`{LINE}`, one after another, {RUNS} runs"), one_shot, in_session);
    let (mut one_shot, mut in_session) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        one_shot.push(bench.parallel(false).await);
        in_session.push(bench.parallel(true).await);
    }
    row(&format!("{PARALLEL} at once, 3 runs, all of them"), one_shot, in_session);
}

fn row(what: &str, mut one_shot: Vec<Duration>, mut in_session: Vec<Duration>) {
    let figures = |all: &mut Vec<Duration>| {
        all.sort();
        let ms = |d: Duration| d.as_secs_f64() * 1000.0;
        (ms(all[all.len() / 2]), ms(all[0]), ms(all[all.len() - 1]))
    };
    let (one, session) = (figures(&mut one_shot), figures(&mut in_session));
    println!(
        "{what:<42} one-shot {:.2} ms ({:.2} to {:.2})   session {:.2} ms ({:.2} to {:.2})   ratio {:.2}",
        one.0,
        one.1,
        one.2,
        session.0,
        session.1,
        session.2,
        session.0 / one.0
    );
}
