//! How long the policy takes to judge a line: `cargo bench -p policy --bench judge`.
//!
//! The peer in the same run is the lexer alone on the same line. Nothing is asserted: these are figures for a person to
//! read.

#![allow(clippy::expect_used, reason = "a benchmark stops at what it does not expect")]

use std::hint::black_box;
use std::time::Instant;

use policy::{Catalogue, lex};

const ROUNDS: usize = 11;

/// Nanoseconds of one call: the median of rounds that last some milliseconds each.
fn time(mut call: impl FnMut()) -> f64 {
    let mut took: Vec<f64> = Vec::new();
    let mut calls = 16u32;
    while took.len() < ROUNDS {
        let start = Instant::now();
        (0..calls).for_each(|_| call());
        let all = start.elapsed();
        if all.as_millis() < 4 {
            calls *= 2;
        } else {
            took.push(all.as_secs_f64() * 1e9 / f64::from(calls));
        }
    }
    took.sort_by(f64::total_cmp);
    took[ROUNDS / 2]
}

fn main() {
    let catalogue = Catalogue::builtin().expect("the built-in plugins");
    let mut lines: Vec<(String, String)> = [
        "uptime",
        "systemctl status unbound",
        "journalctl -u nginx -n 100 --no-pager",
        "ss -tulpn",
        "kubectl get deploy,sts,ds -n prod",
        "find /var/log -type f -newermt 2026-11-22 -size -10M",
        "systemctl stop sshd",
        "ls | sh",
    ]
    .iter()
    .map(|l| ((*l).to_owned(), (*l).to_owned()))
    .collect();
    for kib in [1, 2, 4, 8] {
        let pattern = "x".repeat(400);
        let mut line = "stat".to_owned();
        while line.len() + pattern.len() + 20 < kib * 1024 {
            line.push_str(" /var/log/");
            line.push_str(&pattern);
        }
        lines.push((format!("stat with paths, {kib} KiB"), line));
    }
    let loaded = time(|| drop(black_box(Catalogue::builtin())));
    let part = time(|| drop(black_box(Catalogue::for_line(black_box("systemctl status unbound"), []))));
    println!(
        "all built-in plugins read in {:.2} ms, those of one line in {:.2} ms",
        loaded / 1e6,
        part / 1e6
    );
    println!("{:>10}  {:>10}  {:>6}  line", "judge ns", "lex ns", "ratio");
    for (name, line) in &lines {
        let judged = time(|| drop(black_box(catalogue.judge(black_box(line)))));
        let lexed = time(|| drop(black_box(lex::lex(black_box(line)))));
        println!("{judged:>10.0}  {lexed:>10.0}  {:>6.1}  {name}", judged / lexed);
    }
}
