//! Sessions with the target's own code at the other end, through a line that fails in every way.

use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::*;

const PATIENCE: Duration = Duration::from_secs(40);
const BYTES: usize = 300_000;

const PLUGIN: &str = r#"
name = "play"
title = "t"
category = "test"
[[command]]
name = "play"
program = ["/usr/bin/play"]
profile = "proc"
[[command.form]]
name = "act"
level = "auto"
words = ["say|much|hang", "{int:0..9999}"]
lines = 1000000
examples = ["play say 1"]
counter_examples = ["play other 1"]
"#;
const PLAY: &str = "#!/bin/sh\ncase $1 in say) echo \"said $2\"; exit 7;; much) yes | head -c 200000;; hang) echo $$; exec sleep 600;; esac\n";

/// A target that plays `play`.
fn target() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["etc/mcp-linux-infra", "etc/mcp-linux-infra/plugins.d", "usr/bin", "var/log"] {
        std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        mode(&dir.path().join(folder), 0o755);
    }
    let put = |place: &str, text: &str, bits: u32| {
        std::fs::write(dir.path().join(place), text).unwrap();
        mode(&dir.path().join(place), bits);
    };
    put("etc/mcp-linux-infra/plugins.d/play.toml", PLUGIN, 0o644);
    put("usr/bin/play", PLAY, 0o755);
    dir
}

fn mode(path: &Path, bits: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(bits)).unwrap();
}

/// A session of the target in a thread; it ends when the stream does.
fn serve(dir: &tempfile::TempDir) -> (UnixStream, std::thread::JoinHandle<Result<u8, String>>) {
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let paths = target::Paths::beneath(dir.path());
    let thread = std::thread::spawn(move || target::channel::serve(&paths, "test", far.as_fd(), far.as_fd()));
    (UnixStream::from_std(near).unwrap(), thread)
}

/// What the line does to the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Pieces of any size, with pauses between them.
    Pieces,
    /// One byte at a time.
    Bytes,
    /// The line is cut after so many bytes.
    Cut(u64),
    /// One byte is changed.
    Garbage(u64),
    /// From there on nothing passes, and nobody is told.
    Silence(u64),
}

/// Numbers from a seed (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, fault: Fault, seed: u64) {
    let mut numbers = Numbers(seed * 2 + 1);
    let mut chunk = [0_u8; 8 << 10];
    let mut passed = 0_u64;
    while let Ok(size @ 1..) = from.read(&mut chunk).await {
        let mut rest = &mut chunk[..size];
        while !rest.is_empty() {
            let piece = match fault {
                Fault::Bytes => 1,
                _ => usize::try_from(1 + numbers.below(3000)).unwrap().min(rest.len()),
            };
            let (now, later) = rest.split_at_mut(piece);
            let here = passed..passed + piece as u64;
            match fault {
                Fault::Cut(at) if here.contains(&at) => return,
                Fault::Garbage(at) if here.contains(&at) => {
                    now[usize::try_from(at - passed).unwrap()] ^= 1 << numbers.below(8);
                }
                Fault::Silence(at) if here.end > at => std::future::pending().await,
                _ => {}
            }
            if to.write_all(now).await.is_err() {
                return;
            }
            if numbers.below(if piece == 1 { 4000 } else { 16 }) == 0 {
                tokio::time::sleep(Duration::from_micros(numbers.below(500))).await;
            }
            passed = here.end;
            rest = later;
        }
    }
}

/// A line with a fault in each direction; an end in one ends both.
fn line(target: UnixStream, up: Fault, down: Fault, seed: u64) -> UnixStream {
    let (client, near) = UnixStream::pair().unwrap();
    tokio::spawn(async move {
        let ((near_reads, near_writes), (far_reads, far_writes)) = (near.into_split(), target.into_split());
        tokio::select! {
            () = pass(near_reads, far_writes, up, seed) => {}
            () = pass(far_reads, near_writes, down, seed + 1) => {}
        }
    });
    client
}

fn words(n: u64) -> String {
    if n.is_multiple_of(3) { format!("play much {n}") } else { format!("play say {n}") }
}

type Answer = Option<Result<ExecOutput, Failure>>;

/// Twelve calls at once, other ones for each seed, each within a time as in the pool: what each has got.
async fn calls(session: &Session, seed: u64, limit: Duration) -> Vec<(u64, Answer)> {
    let one = |n| async move { (n, tokio::time::timeout(limit, session.call(&words(n), BYTES)).await.ok()) };
    futures::future::join_all((seed * 12..seed * 12 + 12).map(one)).await
}

fn is_right(n: u64, output: &ExecOutput) -> bool {
    if n.is_multiple_of(3) {
        output.exit == Some(0) && output.stdout.len() == 200_000 && !output.truncated
    } else {
        output.exit == Some(7) && output.stdout == format!("said {n}\n").into_bytes()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_and_pauses_change_no_answer() {
    let dir = target();
    for (seed, fault) in (0..6).map(|seed| (seed, if seed == 5 { Fault::Bytes } else { Fault::Pieces })) {
        let (stream, thread) = serve(&dir);
        let session = Session::over(line(stream, fault, fault, seed), PATIENCE).await.unwrap();
        for (n, answer) in calls(&session, seed, PATIENCE).await {
            let output = answer.unwrap().unwrap();
            assert!(is_right(n, &output), "{fault:?} {seed} {n}: {output:?}");
        }
        drop(session);
        assert_eq!(tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap(), Ok(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_line_fails_each_call_that_has_no_answer() {
    let dir = target();
    let (mut failed, mut not_taken) = (0, Vec::new());
    for seed in 0..40 {
        let at = 12 + Numbers(seed * 2 + 1).below(600_000) / (1 + (seed % 7) * 50);
        let (up, down) = if seed % 4 == 0 {
            (Fault::Cut(20 + seed * 8), Fault::Pieces)
        } else {
            (Fault::Pieces, Fault::Cut(at))
        };
        let (stream, thread) = serve(&dir);
        let Ok(session) = Session::over(line(stream, up, down, seed), PATIENCE).await else {
            panic!("seed {seed}: the hello is before the cut");
        };
        for (n, answer) in calls(&session, seed, PATIENCE).await {
            // None would be a call that only its time limit has ended.
            match answer.unwrap_or_else(|| panic!("seed {seed}: call {n} was lost silently")) {
                Ok(output) => assert!(is_right(n, &output), "seed {seed} {n}: {output:?}"),
                Err(Failure::Lost(cause)) => {
                    assert!(!cause.is_empty());
                    failed += 1;
                }
                Err(Failure::NotTaken) => not_taken.push(n),
            }
        }
        if session.is_over() {
            assert_eq!(session.call("play say 1", BYTES).await.unwrap_err(), Failure::NotTaken);
        }
        drop(session);
        let status = tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap();
        assert_eq!(status, Ok(0), "seed {seed}: the target sees the peer go");
    }
    assert!(failed >= 20, "the cuts cut: {failed}");
    let log = std::fs::read_to_string(dir.path().join("var/log/mcp-wrapper.log")).unwrap();
    assert!(log.matches("line=\"play ").count() >= 40, "others have run");
    for n in not_taken {
        assert!(!log.contains(&format!("line=\"{}\"", words(n))), "{n} may be sent again, and has not run");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_and_silence_end_with_an_answer_an_error_or_the_time_limit() {
    let dir = target();
    let limit = Duration::from_millis(1500);
    for seed in 0..24 {
        let at = Numbers(seed * 2 + 1).below(2500);
        let fault = if seed % 4 == 0 { Fault::Silence(at + 20) } else { Fault::Garbage(at) };
        let (up, down) = if seed % 3 == 0 { (fault, Fault::Pieces) } else { (Fault::Pieces, fault) };
        let (stream, thread) = serve(&dir);
        let opened = Session::over(line(stream, up, down, seed), Duration::from_millis(300)).await;
        if let Ok(session) = opened {
            let answers = tokio::time::timeout(limit * 4, calls(&session, seed, limit)).await;
            assert_eq!(answers.expect("no call outlives its limit").len(), 12, "seed {seed}");
            drop(session);
        }
        tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_on_the_target_and_the_session_goes_on() {
    let dir = target();
    let (stream, _thread) = serve(&dir);
    let session = Session::over(stream, PATIENCE).await.unwrap();
    let log = dir.path().join("var/log/mcp-wrapper.log");
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    let begun = async {
        while !read().contains("play hang 1") {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = session.call("play hang 1", BYTES) => panic!("{answer:?}"),
        () = begun => {}
    }
    let gone = async {
        while !read().contains("end=\"Gone\"") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the target has ended it");
    assert_eq!(session.call("play say 2", BYTES).await.unwrap().exit, Some(7));
}

#[tokio::test]
async fn more_output_than_asked_for_is_cut_and_the_session_goes_on() {
    let dir = target();
    let (stream, _thread) = serve(&dir);
    let session = Session::over(stream, PATIENCE).await.unwrap();
    let output = session.call("play much 1", 100_000).await.unwrap();
    assert_eq!((output.stdout.len(), output.truncated, output.exit), (100_000, true, None));
    assert_eq!(session.call("play say 2", BYTES).await.unwrap().exit, Some(7));
}

#[tokio::test]
async fn what_ends_as_idle_has_taken_no_call_and_may_be_sent_again() {
    let (near, far) = UnixStream::pair().unwrap();
    let (mut far_reads, mut far_writes) = far.into_split();
    let mut bytes = Vec::new();
    Frame::Hello(VERSIONS).encode(&mut bytes).unwrap();
    far_writes.write_all(&bytes).await.unwrap();
    let session = Session::over(near, PATIENCE).await.unwrap();
    let target = async {
        // The request is on its way when the target closes.
        let mut seen = Vec::new();
        while !seen.ends_with(b"uptime") {
            far_reads.read_buf(&mut seen).await.unwrap();
        }
        let mut bytes = Vec::new();
        Frame::Close(Closing::Idle).encode(&mut bytes).unwrap();
        far_writes.write_all(&bytes).await.unwrap();
    };
    let (answer, ()) = tokio::join!(session.call("uptime", BYTES), target);
    assert_eq!(answer.unwrap_err(), Failure::NotTaken);
    assert!(session.is_over());
}

#[tokio::test]
async fn a_target_that_does_not_end_what_was_cancelled_is_given_up() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let mut bytes = Vec::new();
    Frame::Hello(VERSIONS).encode(&mut bytes).unwrap();
    far.write_all(&bytes).await.unwrap();
    let patience = Duration::from_millis(50);
    let session = Session::over(near, patience).await.unwrap();
    assert!(tokio::time::timeout(patience, session.call("uptime", BYTES)).await.is_err());
    assert!(!session.is_over(), "it has its time");
    // Time itself is the subject.
    tokio::time::sleep(patience * 2).await;
    assert!(session.is_over());
    assert_eq!(session.call("uptime", BYTES).await.unwrap_err(), Failure::NotTaken);
}

#[tokio::test]
async fn a_target_of_the_next_version_is_spoken_to_in_this_one() {
    let (near, mut far) = UnixStream::pair().unwrap();
    // 1 to 2, and two bytes that this version does not know.
    far.write_all(b"\0\0\0\x0a\x01\0\0\0\0mcps\0\x01\0\x02zz").await.unwrap();
    let session = Session::over(near, PATIENCE).await.unwrap();
    let target = async {
        let mut seen = Vec::new();
        while !seen.ends_with(b"uptime") {
            far.read_buf(&mut seen).await.unwrap();
        }
        let mut bytes = Vec::new();
        Frame::Stdout { id: 1, bytes: b"up\n".to_vec() }.encode(&mut bytes).unwrap();
        Frame::End { id: 1, ending: Ending::Exit(0) }.encode(&mut bytes).unwrap();
        far.write_all(&bytes).await.unwrap();
    };
    let (answer, ()) = tokio::join!(session.call("uptime", BYTES), target);
    let output = answer.unwrap();
    assert_eq!((output.stdout.as_slice(), output.exit), (&b"up\n"[..], Some(0)));
}

#[tokio::test]
async fn what_says_no_hello_is_no_session() {
    for (said, cause) in [
        (&b"mcp-wrapper: blocked: no plugin has the command\n"[..], "hello"),
        (b"", "closed"),
        (
            b"\0\0\0\x08\x01\0\0\0\0mcps\0\x07\0\x09",
            "this side speaks 1 to 1, the other 7 to 9; update the older one",
        ),
    ] {
        let (near, mut far) = UnixStream::pair().unwrap();
        far.write_all(said).await.unwrap();
        far.shutdown().await.unwrap();
        match Session::over(near, PATIENCE).await {
            Err(NoSession::NotSpoken(why)) => assert!(why.contains(cause), "{why}"),
            Err(NoSession::Connection(e)) => panic!("{e}"),
            Ok(_) => panic!("{said:?} is no session"),
        }
    }
    let (near, _silent) = UnixStream::pair().unwrap();
    let none = Session::over(near, Duration::from_millis(50)).await;
    assert!(matches!(none, Err(NoSession::NotSpoken(why)) if why.contains("in time")));
}
