//! 32 calls over eight hosts of which one hangs, beside the same with all eight well, and beside the 28 to the other seven alone:
//! `cargo bench -p mcp-linux-infra --bench hang [-- ROUNDS]`. Timed are the seven.
//!
//! A real server on stdio, with its usual limits but for those of a minute, and played targets behind sshd on loopback: one connection and
//! one session for each host. In each round every condition has its turn, in another order than in the round before, so what else the
//! machine does hits all alike. The calls to the host that hangs are sent first and cancelled after the round. Nothing is asserted: these
//! are figures for a person to read; that the seven's answers come first is a test (`tests/calls.rs`).

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a benchmark stops at what it does not expect, and needs a part of what the tests have"
)]

#[path = "../tests/support/serve.rs"]
mod serve;
#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::Instant;

use serde_json::{Value, json};
use serve::{Piped, initialize};
use support::Sshd;

const SEVEN: usize = 7;
const EACH: usize = 4;

/// What the eighth host does.
#[derive(Clone, Copy)]
enum Eighth {
    /// It answers as the seven do.
    Well,
    /// It is not asked.
    Absent,
    /// It takes connections and says nothing.
    Silent,
    /// Its session stands, and its programs do not end.
    Stuck,
}

const CONDITIONS: [Eighth; 4] = [Eighth::Well, Eighth::Absent, Eighth::Silent, Eighth::Stuck];

struct Bench {
    server: Piped,
    next: u64,
}

impl Bench {
    fn send(&mut self, host: &str, line: &str) -> u64 {
        self.next += 1;
        let arguments = json!({ "host": host, "command": line });
        let params = json!({ "name": "execute_ssh_command", "arguments": arguments });
        let call = json!({ "jsonrpc": "2.0", "id": self.next, "method": "tools/call", "params": params });
        self.server.send(&call.to_string());
        self.next
    }

    /// Milliseconds until the seven have answered all, and of each of their answers.
    fn seven(&mut self, each: usize) -> (f64, Vec<f64>) {
        let started = Instant::now();
        let mut open: BTreeSet<u64> = BTreeSet::new();
        for call in 0..SEVEN * each {
            open.insert(self.send(&format!("h{}", call % SEVEN), "uptime"));
        }
        let mut times = Vec::new();
        while !open.is_empty() {
            let answer = self.server.next();
            // A call that was cancelled may still say so.
            if answer["id"].as_u64().is_some_and(|id| open.remove(&id)) {
                assert_eq!(answer["result"]["structuredContent"]["exit"], 0, "{answer}");
                times.push(started.elapsed().as_secs_f64() * 1000.0);
            }
        }
        (times.last().copied().unwrap_or_default(), times)
    }

    fn round(&mut self, eighth: Eighth) -> (f64, Vec<f64>) {
        let hung: Vec<u64> = match eighth {
            Eighth::Absent => Vec::new(),
            Eighth::Well => (0..EACH).map(|_| self.send("well", "uptime")).collect(),
            Eighth::Silent => (0..EACH).map(|_| self.send("silent", "uptime")).collect(),
            Eighth::Stuck => (0..EACH).map(|n| self.send("stuck", &format!("play slow {n}"))).collect(),
        };
        let took = self.seven(EACH);
        for id in hung {
            let params = json!({ "requestId": id, "reason": "the round is over" });
            let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
            self.server.send(&cancel.to_string());
        }
        // What ending them costs is nobody's round.
        self.seven(1);
        took
    }
}

fn main() {
    let rounds = std::env::args().find_map(|a| a.parse().ok()).unwrap_or(40);
    let sshd = Sshd::with_wrapper(300);
    let stuck = Sshd::with_wrapper(300);
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut config = "[limits]\nconnect_seconds = 120\ncalls_per_minute = 100000\n".to_owned();
    let entry = |sshd: &Sshd, name: &str| sshd.host_entry(name, Some(&sshd.public("host")), "reader");
    for number in 0..SEVEN {
        config.push_str(&entry(&sshd, &format!("h{number}")));
    }
    config.push_str(&entry(&sshd, "well"));
    config.push_str(&entry(&stuck, "stuck"));
    let port = silent.local_addr().unwrap().port();
    let to_silent =
        entry(&sshd, "silent").replace(&format!("port = {}", sshd.port), &format!("port = {port}"));
    config.push_str(&to_silent);
    let dir = serve::folder(&config);
    std::fs::create_dir(dir.path().join("plugins.d")).unwrap();
    std::fs::write(dir.path().join("plugins.d/play.toml"), support::PLUGIN).unwrap();
    let mut bench = Bench { server: Piped::start_in(dir), next: 0 };
    let hello: Value = bench.server.ask(&initialize().to_string());
    assert!(hello["result"].is_object(), "{hello}");
    // The connections of all stand before the first round.
    for eighth in CONDITIONS {
        bench.round(eighth);
    }
    let mut whole: [Vec<f64>; 4] = Default::default();
    let mut single: [Vec<f64>; 4] = Default::default();
    for round in 0..rounds {
        for turn in 0..CONDITIONS.len() {
            let which = (round + turn) % CONDITIONS.len();
            let (all, each) = bench.round(CONDITIONS[which]);
            whole[which].push(all);
            single[which].extend(each);
        }
    }
    println!("{} calls to seven hosts, {rounds} rounds; {EACH} to the eighth", SEVEN * EACH);
    println!(
        "| the eighth host | all 28, median ms | lowest quarter ms | ratio | one answer, median ms | ratio |"
    );
    println!("|---|---:|---:|---:|---:|---:|");
    let names = ["answers", "is not asked", "takes connections and says nothing", "never ends its programs"];
    for (which, name) in names.into_iter().enumerate() {
        // Pair by pair: what slowed one round slowed all its turns.
        let pairs: Vec<f64> = whole[which].iter().zip(&whole[0]).map(|(this, well)| this / well).collect();
        println!(
            "| {name} | {:.1} | {:.1} | {:.3} | {:.1} | {:.3} |",
            at(&whole[which], 0.5),
            at(&whole[which], 0.25),
            at(&pairs, 0.5),
            at(&single[which], 0.5),
            at(&single[which], 0.5) / at(&single[0], 0.5)
        );
    }
}

/// The value at a part of the way from the lowest to the highest.
fn at(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let index = ((sorted.len() - 1) as f64 * part).round() as usize;
    sorted[index]
}
