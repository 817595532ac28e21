use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::*;
use crate::hosts::reader::Output;

/// What a host of these tests does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Well,
    /// Its disk is so full, in percent.
    Full(u8),
    /// It never answers.
    Hangs,
    Unreachable,
    /// It answers, but has no program.
    Bare,
}

/// Counts hosts that work at the same time, and those that still do.
#[derive(Default)]
struct Counter {
    now: AtomicUsize,
    most: AtomicUsize,
    started: AtomicUsize,
}

struct Host<'a> {
    kind: Kind,
    counter: &'a Counter,
}

/// Counts itself while it lives.
struct Working<'a>(&'a Counter);

impl<'a> Working<'a> {
    fn begin(counter: &'a Counter) -> Self {
        counter.started.fetch_add(1, Ordering::SeqCst);
        let now = counter.now.fetch_add(1, Ordering::SeqCst) + 1;
        counter.most.fetch_max(now, Ordering::SeqCst);
        Self(counter)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Reader for Host<'_> {
    fn run<'a>(&'a self, argv: &'a [&'a str]) -> BoxFuture<'a, Result<Output, Failure>> {
        async move {
            let _working = Working::begin(self.counter);
            tokio::time::sleep(Duration::from_millis(500)).await;
            let said =
                |stdout: String| Ok(Output { stdout: stdout.into(), exit: Some(0), ..Output::default() });
            match self.kind {
                Kind::Hangs => std::future::pending().await,
                Kind::Unreachable => Err(Failure::Unreachable { cause: "no route to host".into() }),
                Kind::Bare => Ok(Output { exit: Some(1), ..Output::default() }),
                Kind::Well => said(df(argv, 20)),
                Kind::Full(percent) => said(df(argv, u64::from(percent))),
            }
        }
        .boxed()
    }
}

/// What `df` says of one filesystem, so full.
fn df(argv: &[&str], percent: u64) -> String {
    assert_eq!(argv[0], "df");
    let sample = crate::hosts::fake::sample("df.txt");
    let used = percent * 10_000_000;
    let head = sample.lines().next().unwrap();
    format!("{head}\n/dev/vda1 ext4 1000000 100 1000000000 {used} {} /\n", 1_000_000_000 - used)
}

fn bounds(concurrency: usize) -> Bounds {
    Bounds { concurrency, host: Duration::from_secs(10), total: Duration::from_mins(1) }
}

async fn run(
    kinds: &[Kind],
    counter: &Counter,
    bounds: Bounds,
) -> (FleetDiagnosis, Vec<(usize, usize)>, Duration) {
    let hosts = kinds.iter().enumerate().map(|(n, kind)| (format!("h{n:03}"), Host { kind: *kind, counter }));
    let told = Mutex::new(Vec::new());
    let tell = |_: &str, done, total| told.lock().unwrap().push((done, total));
    let start = Instant::now();
    let answer = diagnose_fleet(hosts.collect(), &[Check::Disk], &Remedies::default(), bounds, &tell).await;
    (answer, told.into_inner().unwrap(), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn three_hundred_hosts_of_which_some_hang_and_some_fail_are_one_row_each() {
    let kind = |n: usize| match n {
        n if n % 50 == 7 => Kind::Hangs,
        n if n % 30 == 3 => Kind::Unreachable,
        n if n % 10 == 1 => Kind::Full(92 + u8::try_from(n % 3).unwrap()),
        _ => Kind::Well,
    };
    let kinds: Vec<Kind> = (0..300).map(kind).collect();
    let of = |wanted: fn(Kind) -> bool| kinds.iter().filter(|k| wanted(**k)).count();
    let (hanging, away) = (of(|k| k == Kind::Hangs), of(|k| k == Kind::Unreachable));
    let full = of(|k| matches!(k, Kind::Full(_)));
    let counter = Counter::default();
    let (answer, told, took) = run(&kinds, &counter, bounds(16)).await;
    assert_eq!(counter.most.load(Ordering::SeqCst), 16, "as many at once as the bound says");
    assert_eq!((answer.asked, answer.healthy), (300, 300 - hanging - away - full));
    let codes = |code: &str| answer.absent.iter().filter(|a| a.code == code).count();
    assert_eq!(
        (codes("timed_out"), codes("unreachable"), answer.absent.len()),
        (hanging, away, hanging + away)
    );
    let [finding] = answer.findings.as_slice() else { unreachable!("{:?}", answer.findings) };
    assert_eq!((finding.count, finding.hosts.len(), finding.subject.as_str()), (full, full, "/"));
    assert!(finding.numbers_differ, "{finding:?}");
    assert_eq!(told, (1..=300).map(|n| (n, 300)).collect::<Vec<_>>(), "each host is told once");
    assert!(took < Duration::from_secs(30), "six hanging hosts hold their places, not the others: {took:?}");
    let text = answer.summary();
    assert!(
        text.lines().count() <= 5 && text.contains("NOT diagnosed (unreachable): 10 hosts: h003"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_whole_call_ends_in_time_and_what_was_not_reached_is_a_row() {
    let counter = Counter::default();
    let limits = Bounds { total: Duration::from_secs(25), ..bounds(4) };
    let (answer, told, took) = run(&[Kind::Hangs; 40], &counter, limits).await;
    assert_eq!(took.as_secs(), 25);
    let codes: Vec<&str> = answer.absent.iter().map(|a| a.code.as_str()).collect();
    assert_eq!(codes.iter().filter(|c| **c == "timed_out").count(), 8, "two turns of four");
    assert_eq!(codes.iter().filter(|c| **c == "out_of_time").count(), 32);
    assert_eq!(told.len(), 8);
    assert_eq!(counter.now.load(Ordering::SeqCst), 0, "what ran was stopped");
    assert!(counter.started.load(Ordering::SeqCst) <= 12, "and the rest was never asked");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_stops_all() {
    let counter = Counter::default();
    {
        let work = run(&[Kind::Hangs; 30], &counter, bounds(5));
        assert!(timeout(Duration::from_secs(2), work).await.is_err());
    }
    assert_eq!(counter.now.load(Ordering::SeqCst), 0);
    let started = counter.started.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(counter.started.load(Ordering::SeqCst), started, "nothing goes on behind it");
}

#[tokio::test(start_paused = true)]
async fn what_is_on_more_hosts_comes_first_and_what_was_not_checked_is_not_healthy() {
    let counter = Counter::default();
    let kinds = [Kind::Full(91), Kind::Full(99), Kind::Full(99), Kind::Bare, Kind::Bare, Kind::Well];
    let (answer, ..) = run(&kinds, &counter, bounds(16)).await;
    let order: Vec<_> = answer.findings.iter().map(|f| (f.severity, f.count)).collect();
    assert_eq!(order, [(Severity::Critical, 2), (Severity::Warning, 1)]);
    assert_eq!(answer.healthy, 1);
    let [undone] = answer.undone.as_slice() else { unreachable!("{:?}", answer.undone) };
    assert_eq!((undone.check, undone.count), (Check::Disk, 2));
}

#[test]
fn a_shape_is_a_text_without_its_numbers() {
    assert_eq!(shape("92.5 % used, 1.2 GiB free"), "# % used, # GiB free");
    assert_eq!(shape("exit 1"), shape("exit 255"));
    assert_ne!(shape("exit 1"), shape("exit"));
}
