//! Our client for `scripts/bench-ssh.sh`, which compares it with others: `client CONFIG` runs what it is told on the host `bench`,
//! through the server's pool. `COUNT COMMAND` on stdin, `NANOSECONDS OK FAILED BYTES` on stdout; with the word `alone` in front of the
//! count each command has a channel of its own.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark stops at what it does not expect")]

use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use mcp_linux_infra::config::{Config, Environment, Host};
use mcp_linux_infra::ssh::{Account, Pool};
use mcp_linux_infra::store::{Audit, Receipt, Store};
use serde_json::json;

struct Client {
    pool: Pool,
    host: Host,
    receipt: Receipt,
}

impl Client {
    /// Whether it ended well, and how much it said.
    async fn one(&self, command: &str, alone: bool) -> (bool, usize) {
        // With a standard input, be it empty, a command goes through no session.
        let stdin = alone.then_some(&b""[..]);
        match self.pool.exec(&self.host, Account::Reader, command, stdin, &self.receipt).await {
            Ok(output) => (output.exit == Some(0), output.stdout.len()),
            Err(_) => (false, 0),
        }
    }

    async fn run(&self, line: &str) {
        let (alone, line) = line.strip_prefix("alone ").map_or((false, line), |rest| (true, rest));
        let (count, command) = line.split_once(' ').expect("a count and a command");
        let count: usize = count.parse().expect("a count");
        let started = Instant::now();
        let all = futures::future::join_all((0..count).map(|_| self.one(command, alone))).await;
        let took = started.elapsed().as_nanos();
        let ok = all.iter().filter(|(good, _)| *good).count();
        println!("{took} {ok} {} {}", count - ok, all.iter().map(|(_, size)| size).sum::<usize>());
    }
}

#[tokio::main]
async fn main() {
    // `cargo bench` without arguments of its own starts every benchmark: this one is nothing by itself.
    let Some(file) = std::env::args().nth(1).filter(|a| !a.starts_with('-')) else { return };
    let config = Config::load(Some(Path::new(&file)), &Environment::from([("HOME", "/nonexistent")]))
        .expect("a config");
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(&dir.path().join("state")).expect("a store");
    let receipt = store.audit(&Audit { event: "bench", data: json!({}) }).expect("a receipt");
    let host = config.inventory.get("bench").expect("the host").clone();
    let client = Client { pool: Pool::new(&config), host, receipt };
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        client.run(&line.expect("a line")).await;
    }
}
