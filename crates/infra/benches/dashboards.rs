//! Open dashboards under load: `cargo bench -p mcp-linux-infra --bench dashboards -- [PAGES [PER_SECOND [SECONDS]]]`, by default 200 pages,
//! 10 proposals a second, 60 seconds.
//!
//! The dashboard is a process of its own; each page has its own login by a passkey in software, its stream of events and its connection
//! for the list, and asks as the script of the page does. Proposals are written by this process, with their audit records, synced. Latency is
//! from the call that stores a proposal to the moment at which a page has received a list with it. Exit 1 when a page never showed one.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a benchmark stops at what it does not expect, and needs a part of what the tests have"
)]

#[path = "../tests/support/dashboard.rs"]
mod dashboard;
#[path = "../tests/support/serve.rs"]
mod serve;
#[path = "../tests/support/viewer.rs"]
mod viewer;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use dashboard::{Dashboard, asked};
use tokio::sync::Semaphore;
use viewer::{Asked, Viewer};

/// For the last proposal to show everywhere.
const AFTER: Duration = Duration::from_secs(20);

/// What one page has seen.
struct Watched {
    latencies: Vec<Duration>,
    asked: Option<Asked>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let given: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let number = |index: usize, usual: u64| given.get(index).copied().unwrap_or(usual);
    let (pages, per_second, seconds) = (number(0, 200), number(1, 10), number(2, 60));
    let total = per_second * seconds;
    let dashboard = Dashboard::start("");
    let person = dashboard.enrol("bench@example.org", "viewer");
    let cookies: Vec<String> = (0..pages).map(|_| dashboard.login(&person)).collect();
    let begun: Arc<Vec<OnceLock<Instant>>> = Arc::new((0..=total).map(|_| OnceLock::new()).collect());
    let open = Arc::new(Semaphore::new(0));
    let end = Duration::from_secs(seconds) + 2 * AFTER;
    let watching: Vec<_> = cookies
        .into_iter()
        .map(|cookie| {
            let viewer = Viewer { port: dashboard.port, cookie };
            tokio::spawn(watch(viewer, Arc::clone(&open), Arc::clone(&begun), end))
        })
        .collect();
    let all = open.acquire_many(u32::try_from(pages).unwrap());
    tokio::time::timeout(AFTER, all).await.expect("all pages are open").unwrap().forget();
    let cpu_before = cpu_seconds(dashboard.pid());
    let (store, proposal) = (dashboard.store(), asked(&dashboard.app()));
    let started = Instant::now();
    let marks = Arc::clone(&begun);
    tokio::task::spawn_blocking(move || {
        for number in 1..=total {
            let due = started + Duration::from_secs(number - 1) / u32::try_from(per_second).unwrap();
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let index = usize::try_from(number).unwrap();
            marks[index].set(Instant::now()).unwrap();
            store.propose(&format!("pr_{number:016x}"), &proposal).unwrap();
        }
    })
    .await
    .unwrap();
    let wrote = started.elapsed();
    let (mut latencies, mut sums) = (Vec::new(), Asked::default());
    for page in watching {
        let watched = page.await.unwrap();
        latencies.extend(watched.latencies);
        if let Some(a) = watched.asked {
            sums.requests += a.requests;
            sums.unchanged += a.unchanged;
            sums.bytes += a.bytes;
        }
    }
    let cpu = cpu_seconds(dashboard.pid()) - cpu_before;
    report(pages, total, wrote, latencies, sums, cpu)
}

async fn watch(
    viewer: Viewer,
    open: Arc<Semaphore>,
    begun: Arc<Vec<OnceLock<Instant>>>,
    end: Duration,
) -> Watched {
    let mut seen = vec![false; begun.len()];
    let mut latencies = Vec::with_capacity(begun.len());
    let watched = viewer.watch(
        || open.add_permits(1),
        |id| {
            let index = usize::try_from(id).unwrap();
            if let Some(at) = begun.get(index).and_then(OnceLock::get)
                && !std::mem::replace(&mut seen[index], true)
            {
                latencies.push(at.elapsed());
            }
            latencies.len() + 1 < begun.len()
        },
    );
    let asked = tokio::time::timeout(end, watched).await.ok();
    Watched { latencies, asked }
}

fn report(
    pages: u64,
    total: u64,
    wrote: Duration,
    mut latencies: Vec<Duration>,
    sums: Asked,
    cpu: f64,
) -> ExitCode {
    latencies.sort_unstable();
    let wanted = usize::try_from(pages * total).unwrap();
    let lost = wanted - latencies.len();
    let at = |permille: usize| {
        latencies.get((latencies.len() * permille / 1000).min(latencies.len().saturating_sub(1)))
    };
    let ms = |d: Option<&Duration>| d.map_or(f64::NAN, |d| d.as_secs_f64() * 1000.0);
    println!(
        "{pages} open dashboards, {total} proposals in {:.1} s: {wanted} to be seen, {lost} lost",
        wrote.as_secs_f64()
    );
    println!(
        "from proposal to visible: p50 {:.0} ms, p95 {:.0} ms, p99 {:.0} ms, longest {:.0} ms",
        ms(at(500)),
        ms(at(950)),
        ms(at(990)),
        ms(latencies.last())
    );
    println!(
        "{} lists asked for, {} of them unchanged, {} MB; the dashboard used {cpu:.1} s of a processor",
        sums.requests,
        sums.unchanged,
        sums.bytes / 1_000_000
    );
    if lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// User and system time of a process.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks: f64 = after_name.split(' ').skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum();
    // USER_HZ is 100 on Linux, whatever the kernel's own.
    ticks / 100.0
}
