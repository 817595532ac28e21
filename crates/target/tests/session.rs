//! A reader's session against peers of every kind. The target is a played root with one command, `play`; the session runs in a
//! thread of the test, over a socket as sshd would give it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use session::frame::{Closing, Decoder, Ending, FIRST_CREDIT, Frame, VERSIONS, Versions};
use target::channel::{QUEUED, RUNNING};
use target::{Log, Paths};

const PLAY: &str = r#"#!/bin/sh
case $1 in
    say) echo "said $2"; echo "err $2" >&2; exit 7;;
    flood|brief) exec yes;;
    hang) sleep 600 & echo $$ $!; exec sleep 600;;
    nap) sleep 2;;
    mark) : > "MARKS/$2";;
esac
"#;

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
words = ["say|flood|hang|nap|mark", "{int:0..9999}"]
seconds = 60
bytes = 500000
lines = 1000000
examples = ["play say 1"]
counter_examples = ["play other 1"]
[[command.form]]
name = "brief"
level = "auto"
words = ["brief", "{int:0..9999}"]
seconds = 1
lines = 1000000
examples = ["play brief 1"]
counter_examples = ["play brief x"]
"#;

struct Played {
    dir: tempfile::TempDir,
}

impl Played {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let played = Self { dir };
        for folder in ["etc/mcp-linux-infra/plugins.d", "usr/bin", "var/log", "marks"] {
            std::fs::create_dir_all(played.at(folder)).unwrap();
            // The target trusts no folder that others may write to, whatever this machine's umask is.
            std::fs::set_permissions(played.at(folder), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        std::fs::set_permissions(played.at("etc/mcp-linux-infra"), std::fs::Permissions::from_mode(0o755))
            .unwrap();
        let script = PLAY.replace("MARKS", played.at("marks").to_str().unwrap());
        std::fs::write(played.at("usr/bin/play"), script).unwrap();
        std::fs::set_permissions(played.at("usr/bin/play"), std::fs::Permissions::from_mode(0o755)).unwrap();
        played.plugin(PLUGIN);
        played
    }

    fn at(&self, place: &str) -> PathBuf {
        self.dir.path().join(place)
    }

    fn plugin(&self, text: &str) {
        let place = self.at("etc/mcp-linux-infra/plugins.d/play.toml");
        std::fs::write(&place, text).unwrap();
        std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o644)).unwrap();
    }

    fn config(&self, text: &str) {
        let place = self.at("etc/mcp-linux-infra/target.toml");
        std::fs::write(&place, text).unwrap();
        std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o644)).unwrap();
    }

    fn paths(&self) -> Paths {
        Paths::beneath(self.dir.path())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.at("var/log/mcp-wrapper.log")).unwrap_or_default()
    }

    /// A session whose peer has not said anything yet.
    fn connect(&self) -> Peer {
        let (near, far) = UnixStream::pair().unwrap();
        let paths = self.paths();
        let target =
            std::thread::spawn(move || target::channel::serve(&paths, "192.0.2.1", far.as_fd(), far.as_fd()));
        for set in [UnixStream::set_read_timeout, UnixStream::set_write_timeout] {
            set(&near, Some(Duration::from_mins(1))).unwrap();
        }
        Peer { stream: near, target, decoder: Decoder::default(), frames: Vec::new().into_iter() }
    }

    fn open(&self) -> Peer {
        let mut peer = self.connect();
        peer.send(&Frame::Hello(VERSIONS));
        assert_eq!(peer.next(), Some(Frame::Hello(VERSIONS)));
        peer
    }
}

struct Peer {
    stream: UnixStream,
    target: JoinHandle<Result<u8, String>>,
    decoder: Decoder,
    frames: std::vec::IntoIter<Frame>,
}

/// What came for one request.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Got {
    out: Vec<u8>,
    err: Vec<u8>,
    ending: Option<Ending>,
}

impl Peer {
    fn send(&mut self, frame: &Frame) {
        self.send_at_once(&[frame]);
    }

    /// Several in one write: the other end may hang up after the first.
    fn send_at_once(&mut self, frames: &[&Frame]) {
        let mut bytes = Vec::new();
        for frame in frames {
            frame.encode(&mut bytes).unwrap();
        }
        self.stream.write_all(&bytes).unwrap();
    }

    fn ask(&mut self, id: u32, line: &str) {
        self.send(&Frame::Request { id, line: line.as_bytes().to_vec() });
    }

    /// The next frame; `None` at the end.
    fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.frames.next() {
                return Some(frame);
            }
            let mut chunk = [0; 16 << 10];
            let size = match self.stream.read(&mut chunk) {
                // hung up on what was not read: nothing else comes
                Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
                size => size.unwrap(),
            };
            if size == 0 {
                return None;
            }
            self.frames = self.decoder.feed(&chunk[..size]).unwrap().into_iter();
        }
    }

    /// Reads until so many requests have ended.
    fn until_ended(&mut self, wanted: usize) -> HashMap<u32, Got> {
        let mut got: HashMap<u32, Got> = HashMap::new();
        while got.values().filter(|g| g.ending.is_some()).count() < wanted {
            match self.next().expect("the session goes on") {
                Frame::Stdout { id, bytes } => got.entry(id).or_default().out.extend(bytes),
                Frame::Stderr { id, bytes } => got.entry(id).or_default().err.extend(bytes),
                Frame::End { id, ending } => {
                    assert_eq!(got.entry(id).or_default().ending.replace(ending), None, "one end each");
                }
                other => panic!("{other:?}"),
            }
        }
        got
    }

    /// Begins a command that hangs, and waits until it runs: its process and the one that it has started.
    fn hang(&mut self, id: u32) -> Vec<PathBuf> {
        self.ask(id, "play hang 0");
        let Some(Frame::Stdout { bytes, .. }) = self.next() else { panic!("it runs") };
        let text = String::from_utf8(bytes).unwrap();
        let places: Vec<PathBuf> = text.split_whitespace().map(|pid| Path::new("/proc").join(pid)).collect();
        assert!(places.len() == 2 && places.iter().all(|place| place.exists()), "{text}");
        places
    }

    /// Leaves; the exit status of the session.
    fn leave(self) -> u8 {
        drop(self.stream);
        self.target.join().unwrap().unwrap()
    }

    /// Reads to the end: the last frame and the exit status.
    fn last(mut self) -> (Option<Frame>, u8) {
        let mut last = None;
        while let Some(frame) = self.next() {
            last = Some(frame);
        }
        (last, self.target.join().unwrap().unwrap())
    }
}

/// A killed process may stay for its parent's look: the one that a program left behind belongs to nobody here.
fn runs(place: &Path) -> bool {
    let stat = std::fs::read_to_string(place.join("stat")).unwrap_or_default();
    !stat.is_empty() && !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z')
}

fn ended(place: &Path) -> bool {
    for _ in 0..1_000_000 {
        if !runs(place) {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[test]
fn many_at_once_each_with_its_own_output_status_and_record() {
    let played = Played::new();
    let mut peer = played.open();
    for id in 1..=40 {
        peer.ask(id, &format!("play say {id}"));
    }
    let got = peer.until_ended(40);
    for id in 1..=40 {
        let expected = Got {
            out: format!("said {id}\n").into_bytes(),
            err: format!("err {id}\n").into_bytes(),
            ending: Some(Ending::Exit(7)),
        };
        assert_eq!(got[&id], expected);
    }
    assert_eq!(peer.leave(), 0);
    let log = played.log();
    let field = |line: &str, name: &str| {
        line.split_once(&format!(" {name}=\""))
            .and_then(|(_, rest)| rest.split('"').next().map(str::to_owned))
    };
    let begun: Vec<&str> = log.lines().filter(|l| l.contains("line=\"play say")).collect();
    let ids: std::collections::BTreeSet<_> = begun.iter().map(|l| field(l, "id")).collect();
    let sessions: std::collections::BTreeSet<_> = begun.iter().map(|l| field(l, "session")).collect();
    assert_eq!((begun.len(), ids.len(), sessions.len()), (40, 40, 1), "{log}");
    assert_eq!(log.matches("exit=\"7\"").count(), 40, "{log}");
    assert!(log.contains("requests=\"40\""), "{log}");
}

#[test]
fn a_refused_line_runs_nothing_and_ends_nothing_else() {
    let played = Played::new();
    let mut peer = played.open();
    peer.ask(1, "play mark 1; id");
    peer.ask(2, "reboot");
    peer.ask(3, "mcp-session");
    peer.send(&Frame::Request { id: 4, line: vec![0xff, 0xfe] });
    peer.ask(5, "play say 5");
    let got = peer.until_ended(5);
    for id in 1..=4 {
        assert!(matches!(&got[&id].ending, Some(Ending::Refused(reason)) if !reason.is_empty()), "{got:?}");
    }
    assert_eq!(got[&5].ending, Some(Ending::Exit(7)));
    assert!(!played.at("marks/1").exists());
    // The mark works: a permitted line makes it.
    peer.ask(6, "play mark 1");
    assert_eq!(peer.until_ended(1)[&6].ending, Some(Ending::Exit(0)));
    assert!(played.at("marks/1").exists());
    assert_eq!(peer.leave(), 0);
}

#[test]
fn without_a_record_nothing_runs() {
    let played = Played::new();
    let mut peer = played.open();
    let log = played.at("var/log/mcp-wrapper.log");
    std::fs::remove_file(&log).unwrap();
    std::fs::create_dir(&log).unwrap();
    peer.ask(1, "play mark 1");
    let got = peer.until_ended(1);
    assert!(
        matches!(&got[&1].ending, Some(Ending::Refused(reason)) if reason.contains("log record")),
        "{got:?}"
    );
    assert!(!played.at("marks/1").exists());
    peer.leave();
    let mut paths = played.paths();
    paths.log = Log::File(log);
    let (_near, far) = UnixStream::pair().unwrap();
    assert!(target::channel::serve(&paths, "x", far.as_fd(), far.as_fd()).is_err(), "no record, no session");
}

#[test]
fn a_cancel_ends_the_whole_group_of_its_request_alone() {
    let played = Played::new();
    let mut peer = played.open();
    let first = peer.hang(1);
    let second = peer.hang(2);
    peer.send(&Frame::Cancel { id: 1 });
    peer.send(&Frame::Cancel { id: 77 });
    assert_eq!(peer.next(), Some(Frame::End { id: 1, ending: Ending::Cancelled }));
    assert!(first.iter().all(|p| ended(p)) && second.iter().all(|p| runs(p)));
    // Its number is free again.
    peer.ask(1, "play say 1");
    assert_eq!(peer.until_ended(1)[&1].ending, Some(Ending::Exit(7)));
    assert_eq!(peer.leave(), 0);
    assert!(second.iter().all(|p| ended(p)));
}

#[test]
fn a_slow_reader_of_one_request_slows_no_other() {
    let played = Played::new();
    let mut peer = played.open();
    peer.ask(1, "play flood 1");
    let mut flood = 0;
    while flood < FIRST_CREDIT as usize {
        let Some(Frame::Stdout { id: 1, bytes }) = peer.next() else { panic!("the flood") };
        flood += bytes.len();
    }
    assert_eq!(flood, FIRST_CREDIT as usize, "not a byte more than the credit");
    for id in 2..=9 {
        peer.ask(id, &format!("play say {id}"));
    }
    let got = peer.until_ended(8);
    assert!(!got.contains_key(&1) && got.values().all(|g| g.ending == Some(Ending::Exit(7))));
    peer.send(&Frame::Credit { id: 1, bytes: 1 << 20 });
    let rest = peer.until_ended(1);
    assert_eq!((flood + rest[&1].out.len(), &rest[&1].ending), (500_000, &Some(Ending::Output)));
    assert!(String::from_utf8_lossy(&rest[&1].err).contains("output cut at 500000 bytes"));
    assert_eq!(peer.leave(), 0);
}

#[test]
fn no_peer_holds_a_request_beyond_its_deadline() {
    let played = Played::new();
    let mut peer = played.open();
    // Never any credit: the program stands still with what it would say.
    peer.ask(1, "play brief 1");
    let got = peer.until_ended(1);
    assert_eq!((got[&1].out.len(), &got[&1].ending), (FIRST_CREDIT as usize, &Some(Ending::Time)));
    assert_eq!(peer.leave(), 0);
}

#[test]
fn a_peer_that_asks_and_never_reads_is_not_listened_to_for_ever() {
    let played = Played::new();
    let peer = played.open();
    peer.stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut stream = &peer.stream;
    // Ends at the latest when a million requests were taken without one answer having been read.
    let stopped = (1..=1_000_000).any(|id| {
        let mut bytes = Vec::new();
        Frame::Request { id, line: b"reboot now".to_vec() }.encode(&mut bytes).unwrap();
        stream.write_all(&bytes).is_err()
    });
    assert!(stopped, "back-pressure reaches the peer");
    assert_eq!(peer.leave(), 0);
}

#[test]
fn a_peer_that_leaves_takes_everything_with_it() {
    let played = Played::new();
    let mut peer = played.open();
    let mut programs = Vec::new();
    for id in 1..=5 {
        programs.extend(peer.hang(id));
    }
    assert_eq!(peer.leave(), 0);
    assert!(programs.iter().all(|p| ended(p)));
}

#[test]
fn half_a_farewell_is_one() {
    let played = Played::new();
    let mut peer = played.open();
    let programs = peer.hang(1);
    peer.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(peer.last(), (Some(Frame::End { id: 1, ending: Ending::Cancelled }), 0));
    assert!(programs.iter().all(|p| ended(p)));
}

#[test]
fn what_is_no_frame_ends_the_session_with_a_reason() {
    let hello = Frame::Hello(VERSIONS);
    let frame = |frame: &Frame| {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes).unwrap();
        bytes
    };
    let played = Played::new();
    for (what, bytes) in [
        ("the most is 65527", vec![0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 9]),
        ("unknown", vec![0, 0, 0, 1, 99, 0, 0, 0, 9, 0]),
        ("malformed", vec![0, 0, 0, 3, 4, 0, 0, 0, 9, 0, 0, 0]),
        ("one hello", frame(&hello)),
        ("only the target", frame(&Frame::Stdout { id: 9, bytes: vec![1] })),
        ("not ended yet", frame(&Frame::Request { id: 1, line: b"play say 1".to_vec() })),
    ] {
        let mut peer = played.open();
        let programs = peer.hang(1);
        peer.stream.write_all(&bytes).unwrap();
        let (last, status) = peer.last();
        assert_eq!(status, 126, "{what}");
        assert!(
            matches!(&last, Some(Frame::Close(Closing::Fault(r))) if r.contains(what)),
            "{what}: {last:?}"
        );
        assert!(programs.iter().all(|p| ended(p)), "{what}");
    }
    assert!(played.log().contains("reason=\"session: "));
}

#[test]
fn a_session_begins_with_a_hello_of_a_common_version() {
    let played = Played::new();
    for first in [
        Frame::Hello(Versions { lowest: 900, highest: 901 }),
        Frame::Request { id: 1, line: b"play mark 1".to_vec() },
    ] {
        let mut peer = played.connect();
        peer.send_at_once(&[&first, &Frame::Request { id: 2, line: b"play mark 2".to_vec() }]);
        let (last, status) = peer.last();
        assert_eq!(status, 126);
        let Some(Frame::Close(Closing::Fault(reason))) = last else { panic!("{last:?}") };
        let why = "no common version: this side speaks 1 to 1, the other 900 to 901; update the older one";
        assert!(reason.contains("begins with one hello") || reason.contains(why), "{reason}");
    }
    assert!(played.log().contains("the other 900 to 901"), "the target's log says it too: {}", played.log());
    assert!(!played.at("marks/1").exists() && !played.at("marks/2").exists());
}

#[test]
fn a_client_of_the_next_version_is_served_in_this_one() {
    let played = Played::new();
    let mut peer = played.connect();
    let mut hello = Vec::new();
    let theirs = Versions { lowest: VERSIONS.highest, highest: VERSIONS.highest + 1 };
    Frame::Hello(theirs).encode(&mut hello).unwrap();
    // It says more in its hello than this version knows; its length is the header's first word.
    hello.extend(b"zz");
    hello[3] += 2;
    peer.stream.write_all(&hello).unwrap();
    assert_eq!(peer.next(), Some(Frame::Hello(VERSIONS)));
    peer.ask(1, "play say 1");
    assert_eq!(peer.until_ended(1)[&1].out, b"said 1\n");
    assert_eq!(peer.leave(), 0);
}

#[test]
fn idle_time_ends_a_session_but_no_request() {
    let played = Played::new();
    played.config("session_idle_seconds = 1\n");
    let mut peer = played.open();
    peer.ask(1, "play nap 1");
    assert_eq!(peer.until_ended(1)[&1].ending, Some(Ending::Exit(0)));
    assert_eq!(peer.last(), (Some(Frame::Close(Closing::Idle)), 0));
    assert_eq!(
        played.connect().last(),
        (Some(Frame::Close(Closing::Idle)), 0),
        "nor does a silent peer stay"
    );
    played.config("session_idle_seconds = 0\n");
    let (_near, far) = UnixStream::pair().unwrap();
    let error = target::channel::serve(&played.paths(), "x", far.as_fd(), far.as_fd()).unwrap_err();
    assert!(error.contains("session_idle_seconds"), "{error}");
}

#[test]
fn more_than_can_run_wait_and_more_than_can_wait_are_refused() {
    let played = Played::new();
    let mut peer = played.open();
    let (running, queued) = (u32::try_from(RUNNING).unwrap(), u32::try_from(QUEUED).unwrap());
    let programs: Vec<PathBuf> = (1..=running).flat_map(|id| peer.hang(id)).collect();
    for id in running + 1..=running + queued {
        peer.ask(id, &format!("play mark {id}"));
    }
    let last = running + queued + 1;
    peer.ask(last, "play mark 0");
    let got = peer.until_ended(1);
    assert!(matches!(&got[&last].ending, Some(Ending::Refused(r)) if r.contains("busy")), "{got:?}");
    // One that waits is cancelled without having run; one that ends makes room for the next.
    peer.send(&Frame::Cancel { id: running + 1 });
    assert_eq!(peer.until_ended(1)[&(running + 1)].ending, Some(Ending::Cancelled));
    peer.send(&Frame::Cancel { id: 1 });
    let got = peer.until_ended(queued as usize);
    assert_eq!(got.values().filter(|g| g.ending == Some(Ending::Exit(0))).count(), QUEUED - 1);
    let marks = std::fs::read_dir(played.at("marks")).unwrap().count();
    assert_eq!(marks, QUEUED - 1, "neither the refused nor the cancelled one ran");
    assert_eq!(peer.leave(), 0);
    assert!(programs.iter().all(|p| ended(p)));
}

#[test]
fn a_changed_plugin_counts_for_the_next_request() {
    let played = Played::new();
    let mut peer = played.open();
    peer.ask(1, "play mark 1");
    assert_eq!(peer.until_ended(1)[&1].ending, Some(Ending::Exit(0)));
    // As long as before, and within the same tick of the clock.
    played.plugin(&PLUGIN.replace("say|flood|hang|nap|mark", "say|flood|hang|nap|mare"));
    peer.ask(2, "play mark 2");
    assert!(matches!(peer.until_ended(1)[&2].ending, Some(Ending::Refused(_))));
    assert!(!played.at("marks/2").exists());
    played.plugin("wrong");
    peer.ask(3, "play say 3");
    let got = peer.until_ended(1);
    assert!(matches!(&got[&3].ending, Some(Ending::Refused(r)) if r.contains("play.toml")), "{got:?}");
    assert_eq!(peer.leave(), 0);
}

#[test]
fn one_byte_at_a_time_is_a_session_too() {
    let played = Played::new();
    let mut peer = played.connect();
    let mut bytes = Vec::new();
    Frame::Hello(VERSIONS).encode(&mut bytes).unwrap();
    Frame::Request { id: 3, line: b"play say 3".to_vec() }.encode(&mut bytes).unwrap();
    for byte in bytes {
        peer.stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(peer.next(), Some(Frame::Hello(VERSIONS)));
    assert_eq!(peer.until_ended(1)[&3].ending, Some(Ending::Exit(7)));
    assert_eq!(peer.leave(), 0);
}

#[test]
fn the_facts_of_the_target_come_through_a_session() {
    let played = Played::new();
    std::fs::create_dir_all(played.at("etc/ssh")).unwrap();
    std::fs::write(played.at("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
    std::fs::write(played.at("etc/ssh/ssh_host_ed25519_key.pub"), "ssh-ed25519 AAAA x\n").unwrap();
    let mut peer = played.open();
    peer.ask(1, "mcp-describe");
    let got = peer.until_ended(1);
    let facts: serde_json::Value = serde_json::from_slice(&got[&1].out).unwrap();
    assert_eq!((&got[&1].ending, &facts["tenant"]), (&Some(Ending::Exit(0)), &"default".into()));
    assert_eq!(peer.leave(), 0);
}
