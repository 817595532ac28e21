//! How long the server takes to answer `initialize` after it is started, what it weighs after `tools/list`, and how fast it
//! goes when stdin closes: `cargo bench -p mcp-linux-infra --bench startup`.
//!
//! The peer in the same run is a bare server of the protocol library without any tool. Nothing is asserted: these are
//! figures for a person to read.

#![allow(clippy::expect_used, reason = "a benchmark stops at what it does not expect")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rmcp::{ServerHandler, ServiceExt};

const RUNS: usize = 25;
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{}}"#;

struct Bare;
impl ServerHandler for Bare {}

fn main() {
    if std::env::args().any(|a| a == "--bare-server") {
        return bare_server();
    }
    let home = tempfile::tempdir().expect("a temporary folder");
    let own = std::env::current_exe().expect("the path of this program");
    let ours = || start(Path::new(env!("CARGO_BIN_EXE_mcp-linux-infra")), &["serve"], home.path());
    let bare = || start(&own, &["--bare-server"], home.path());
    // One run of each that does not count, then turn by turn, so that both see the same noise.
    let _ = (measure(ours()), measure(bare()));
    let runs: Vec<(Run, Run)> = (0..RUNS).map(|_| (measure(ours()), measure(bare()))).collect();
    println!(
        "median (min to max) of {RUNS} runs, turn by turn; bare = a server of the protocol library without tools"
    );
    row("spawn to initialize answer, ms", &runs, |r| r.initialize.as_secs_f64() * 1000.0);
    row("resident memory after tools/list, MB", &runs, |r| r.resident_kb / 1000.0);
    row("stdin closed to exit, ms", &runs, |r| r.exit.as_secs_f64() * 1000.0);
}

fn bare_server() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        if let Ok(service) = Bare.serve(rmcp::transport::stdio_pipes()).await {
            let _ = service.waiting().await;
        }
    });
    runtime.shutdown_timeout(Duration::from_millis(200));
}

struct Run {
    initialize: Duration,
    resident_kb: f64,
    exit: Duration,
}

fn start(program: &Path, arguments: &[&str], home: &Path) -> (Instant, Child) {
    let started = Instant::now();
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .current_dir(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the server starts");
    (started, child)
}

fn measure((started, mut child): (Instant, Child)) -> Run {
    let mut stdin = child.stdin.take().expect("stdin");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
    writeln!(stdin, "{INITIALIZE}").expect("it reads");
    lines.next().expect("an answer").expect("text");
    let initialize = started.elapsed();
    writeln!(stdin, "{INITIALIZED}\n{LIST}").expect("it reads");
    lines.next().expect("an answer").expect("text");
    let resident_kb = resident_kb(child.id());
    let closed = Instant::now();
    drop(stdin);
    child.wait().expect("it ends");
    Run { initialize, resident_kb, exit: closed.elapsed() }
}

fn resident_kb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

fn row(what: &str, runs: &[(Run, Run)], figure: impl Fn(&Run) -> f64) {
    let stat = |pick: &dyn Fn(&(Run, Run)) -> f64| {
        let mut all: Vec<f64> = runs.iter().map(pick).collect();
        all.sort_by(f64::total_cmp);
        (all[all.len() / 2], all[0], all[all.len() - 1])
    };
    let ours = stat(&|r| figure(&r.0));
    let bare = stat(&|r| figure(&r.1));
    let ratio = stat(&|r| figure(&r.0) / figure(&r.1));
    println!(
        "{what:<40} ours {:.2} ({:.2} to {:.2})   bare {:.2} ({:.2} to {:.2})   ratio {:.2}",
        ours.0, ours.1, ours.2, bare.0, bare.1, bare.2, ratio.0
    );
}
