//! The rows `audit_tamper` of `tests/corpus/protocol.jsonl` that a hash chain decides: one test per row, named after its
//! id. Rows 06 to 08 need signed checkpoints and a witness.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use ledger::file::{self, Error, FileLedger, HEALED};
use ledger::{Broken, Cause, Head, MAX_DATA, MAX_EVENT, MAX_LINE, Record, Verifier, seal};
use ledger::{verify_against, verify_lines, verify_report};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A chain of this many records, one second apart.
fn chain(records: i64) -> Vec<String> {
    let mut head = Head::genesis();
    let record = |number: i64| {
        let (line, next) =
            seal(&head, number * 1000, "request", &json!({ "number": number, "host": "web01" }));
        head = next;
        line
    };
    (0..records).map(record).collect()
}

fn broken(lines: &[String]) -> Broken {
    verify_lines(lines.iter()).unwrap_err()
}

fn text(lines: &[String]) -> String {
    lines.join("\n") + if lines.is_empty() { "" } else { "\n" }
}

#[test]
fn a_whole_chain_gives_its_head() {
    let lines = chain(5);
    let head = verify_lines(lines.iter()).unwrap();
    assert_eq!(head.seq, 5);
    assert!(lines[4].ends_with(&format!(r#","hash":"{}"}}"#, head.hash)));
    assert!(lines[0].starts_with(&format!(
        r#"{{"seq":1,"time":0,"prev":"{}","event":"request","data":{{"#,
        "0".repeat(64)
    )));
    assert_eq!(verify_lines(std::iter::empty::<&str>()), Ok(Head::genesis()));
}

#[test]
fn audit_tamper_01() {
    for index in 0..4 {
        let mut lines = chain(5);
        lines.remove(index);
        let broken = broken(&lines);
        assert_eq!(broken.index, index as u64);
        assert_eq!(broken.cause, Cause::Seq { found: index as u64 + 2 });
    }
}

#[test]
fn audit_tamper_02() {
    let lines = chain(3);
    for index in 0..3 {
        for place in 0..lines[index].len() {
            let mut changed: Vec<Vec<u8>> = lines.iter().map(|line| line.clone().into_bytes()).collect();
            changed[index][place] ^= 1;
            let broken = verify_lines(changed.iter()).unwrap_err();
            assert_eq!(broken.index, index as u64, "byte {place}");
        }
    }
}

#[test]
fn audit_tamper_03() {
    for (a, b) in [(0, 1), (1, 3), (3, 4), (0, 4)] {
        let mut lines = chain(5);
        lines.swap(a, b);
        let broken = broken(&lines);
        assert_eq!((broken.index, broken.cause), (a as u64, Cause::Seq { found: b as u64 + 1 }));
    }
}

#[test]
fn audit_tamper_04() {
    for index in 0..=5 {
        let mut lines = chain(5);
        // a copy of another record, and one that is well made but stands where it does not belong
        let (forged, _) = seal(&Head { seq: index as u64, hash: "e5".repeat(32) }, 0, "request", &json!({}));
        for (extra, cause) in [(lines[2].clone(), None), (forged, Some(Cause::Prev))] {
            lines.insert(index, extra);
            // a copy before the record itself is noticed when the record comes
            let broken = broken(&lines);
            assert!(broken.index >= index as u64 && broken.index <= index as u64 + 1, "{index}: {broken:?}");
            assert!(cause.is_none_or(|cause| broken.cause == cause), "{index}: {broken:?}");
            lines.remove(index);
        }
    }
}

#[test]
fn audit_tamper_04_with_links_made_anew() {
    // whoever adds a record and links the next one to it must write all that follow anew
    let mut lines = chain(5);
    let head = verify_lines(lines[..2].iter()).unwrap();
    let (forged, next) = seal(&head, 2000, "request", &json!({ "number": "forged" }));
    let (relinked, _) = seal(&next, 2000, "request", &json!({ "number": 2, "host": "web01" }));
    lines.splice(2..3, [forged, relinked]);
    assert_eq!(broken(&lines).index, 4);
}

#[test]
fn audit_tamper_05() {
    let lines = chain(5);
    let newest = verify_lines(lines.iter()).unwrap();
    assert_eq!(verify_against(lines.iter(), &newest).unwrap().head, newest);
    for kept in 0..5 {
        let broken = verify_against(lines[..kept].iter(), &newest).unwrap_err();
        assert_eq!((broken.index, broken.cause), (kept as u64, Cause::Shorter { expected: 5 }));
    }
    // growth since is no harm
    let older = verify_lines(lines[..3].iter()).unwrap();
    assert_eq!(verify_against(lines.iter(), &older).unwrap().head, newest);
    assert!(verify_against(lines.iter(), &Head::genesis()).is_ok());
}

#[test]
fn a_chain_written_anew_is_not_the_known_one() {
    let known = verify_lines(chain(5)[..4].iter()).unwrap();
    let mut head = Head::genesis();
    let forged: Vec<String> = (0..9)
        .map(|_| {
            let (line, next) = seal(&head, 0, "request", &json!({}));
            head = next;
            line
        })
        .collect();
    assert!(verify_lines(forged.iter()).is_ok());
    let broken = verify_against(forged.iter(), &known).unwrap_err();
    assert_eq!((broken.index, broken.cause), (3, Cause::OtherHistory));
}

#[test]
fn audit_tamper_09() {
    let forged = format!("x\"}},\"hash\":\"{}\"}}\n{}", "0".repeat(64), chain(1)[0]);
    let data = json!({ "rationale": forged, "key\n": ["\u{2028}", "\r\n"] });
    let (line, head) = seal(&Head::genesis(), 1, "event\n{}", &data);
    assert!(!line.chars().any(char::is_control) && !line.contains('\u{2028}'));
    assert_eq!(verify_lines([&line].into_iter()), Ok(head));
    let record = Record::read(line.as_bytes()).unwrap();
    assert_eq!((record.data, record.event), (data, "event\n{}".to_owned()));
}

#[test]
fn audit_tamper_10() {
    let nasty = "\u{1b}[2J\u{9b}31m\u{7f}\u{202e}\u{200b}\u{feff}\u{e0041}\u{0}";
    let data = json!({ "stdout": nasty, nasty: "né en août" });
    let (line, head) = seal(&Head::genesis(), 1, nasty, &data);
    let shown = |c: char| c.is_ascii_graphic() || " éû".contains(c);
    assert!(line.chars().all(shown), "{line}");
    assert_eq!(verify_lines([&line].into_iter()), Ok(head));
    assert_eq!(Record::read(line.as_bytes()).unwrap().data, data);
}

#[test]
fn audit_tamper_11() {
    let mut head = Head::genesis();
    let mut lines = Vec::new();
    for time in [1000, 3000, 2000, 2000, 5000, i64::MIN, i64::MAX] {
        let (line, next) = seal(&head, time, "request", &json!({}));
        lines.push(line);
        head = next;
    }
    let report = verify_report(lines.iter()).unwrap();
    assert_eq!((report.head, report.time_back), (head, vec![2, 5]));
}

#[test]
fn audit_tamper_12() {
    let whole = text(&chain(3));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let third = whole.trim_end().rfind('\n').unwrap() + 1;
    // a crash leaves any part of the last line
    for length in third + 1..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(
            matches!(file::verify(&path), Err(Error::Broken { broken, .. }) if broken.cause == Cause::Torn)
        );
        let ledger = FileLedger::open(&path).unwrap();
        assert_eq!(ledger.head().unwrap().seq, 2);
        let head = ledger.append("request", &json!({ "number": 2 }), 9000).unwrap();
        assert_eq!(head.seq, 4);
        let records = read(&path);
        assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(records[2].event, HEALED);
        assert_eq!(records[2].data["text"], Value::from(&whole[third..length]));
        assert_eq!(records[2].data["bytes"], Value::from(length - third));
    }
}

#[test]
fn a_torn_first_line_and_a_long_torn_line_are_healed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    for torn in [&b"x"[..], &[0; 4096], &vec![b'a'; MAX_LINE], &chain(1)[0].as_bytes()[..20]] {
        for before in [String::new(), text(&chain(2))] {
            fs::write(&path, [before.as_bytes(), torn].concat()).unwrap();
            let head = FileLedger::open(&path).unwrap().append("request", &json!({}), 9000).unwrap();
            let records = read(&path);
            assert_eq!(records.last().unwrap().head(), head);
            assert_eq!(records[records.len() - 2].event, HEALED);
        }
    }
}

/// What the child of `audit_tamper_13` ends with when all went as it must.
const REFUSED: i32 = 77;
const CHILD: &str = "LEDGER_TEST_FULL_DISK";

#[test]
fn audit_tamper_13() {
    if let Some(path) = std::env::var_os(CHILD) {
        let ledger = FileLedger::open(path).unwrap();
        let error = ledger.append("request", &json!({ "text": "x".repeat(4096) }), 9000).unwrap_err();
        assert!(matches!(error, Error::Io { what: "write", .. }), "{error}");
        std::process::exit(REFUSED);
    }
    // this test again as a child whose files may not grow; SIGXFSZ is ignored, so a write fails as on a full disk
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let before = text(&chain(4));
    fs::write(&path, &before).unwrap();
    let status = Command::new("/bin/sh")
        .args(["-c", r#"ulimit -f 2; trap "" XFSZ; exec "$0" --exact audit_tamper_13"#])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, &path)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(REFUSED));
    assert_eq!(fs::read_to_string(&path).unwrap(), before, "what was written in part is taken back");
    assert!(FileLedger::open(&path).unwrap().append("request", &json!({}), 9000).is_ok());
    assert!(file::verify(&path).is_ok());
}

#[test]
fn audit_tamper_14() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let first = FileLedger::open_exclusive(&path).unwrap();
    assert!(matches!(FileLedger::open_exclusive(&path), Err(Error::Locked(_))));
    first.append("request", &json!({}), 1).unwrap();
    assert_eq!(file::verify(&path).unwrap().head.seq, 1);
    drop(first);
    assert!(FileLedger::open_exclusive(&path).is_ok());
}

#[test]
fn programs_that_share_a_chain_do_not_break_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let ledger = FileLedger::open(&path).unwrap();
            scope.spawn(move || {
                for number in 0..25 {
                    ledger.append("request", &json!({ "writer": writer, "number": number }), 1).unwrap();
                }
            });
        }
    });
    assert_eq!(file::verify(&path).unwrap().head.seq, 100);
    // and so do the threads of one program, also of one that holds the chain alone
    for exclusive in [false, true] {
        let open = if exclusive { FileLedger::open_exclusive } else { FileLedger::open };
        let ledger = open(&path).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..25).for_each(|n| drop(ledger.append("request", &json!(n), 1).unwrap())));
            }
        });
    }
    assert_eq!(file::verify(&path).unwrap().head.seq, 300);
}

#[test]
fn audit_tamper_15() {
    let text = "ligne à ligne\n".repeat(10_000);
    let (line, head) = seal(&Head::genesis(), 1, "request", &json!({ "stdout": text }));
    assert!(line.len() < 8 * 1024);
    let cut = &Record::read(line.as_bytes()).unwrap().data["cut"];
    assert!(cut["bytes"].as_u64().unwrap() > text.len() as u64);
    assert_eq!(cut["sha256"].as_str().unwrap().len(), 64);
    assert!(cut["excerpt"].as_str().unwrap().contains("ligne à ligne"));
    assert_eq!(verify_lines([&line].into_iter()), Ok(head));
}

#[test]
fn limits_are_exact() {
    let event = "\u{e0041}".repeat(MAX_EVENT + 1);
    let sized = |bytes: usize| json!("x".repeat(bytes - 2));
    let last = Head { seq: u64::MAX - 1, hash: "0".repeat(64) };
    let (line, _) = seal(&last, i64::MIN, &event, &sized(MAX_DATA));
    assert!(line.len() > MAX_DATA && line.len() <= MAX_LINE, "{}", line.len());
    assert_eq!(Record::read(line.as_bytes()).unwrap().data, sized(MAX_DATA));
    let (line, _) = seal(&Head::genesis(), 1, &event, &sized(MAX_DATA + 1));
    assert!(line.len() < 4096);
    assert_eq!(Record::read(&vec![b' '; MAX_LINE + 1]), Err(Cause::TooLong));

    let mut deep = json!(0);
    for _ in 0..200 {
        deep = json!([deep]);
    }
    let (line, head) = seal(&Head::genesis(), 1, "request", &deep);
    assert_eq!(verify_lines([line].iter()), Ok(head));
}

#[test]
fn a_record_has_one_spelling() {
    // well hashed lines that are no records, or that another reader might read in another way
    let zeros = "0".repeat(64);
    for body in [
        String::new(),
        "{}".to_owned(),
        format!(r#"{{"seq": 1,"time":0,"prev":"{zeros}","event":"e","data":{{}}"#),
        format!(r#"{{"time":0,"seq":1,"prev":"{zeros}","event":"e","data":{{}}"#),
        format!(r#"{{"seq":1,"time":0,"prev":"{zeros}","event":"e","data":{{}},"more":1"#),
        format!(r#"{{"seq":1,"time":0,"prev":"{zeros}","event":"e","event":"f","data":{{}}"#),
        format!(r#"{{"seq":1,"time":0,"prev":"{zeros}","event":"e""#),
        format!(r#"{{"seq":1.0,"time":0,"prev":"{zeros}","event":"e","data":{{}}"#),
    ] {
        let line = format!("{body},\"hash\":\"{}\"}}", sha256(&body));
        assert_eq!(Record::read(line.as_bytes()), Err(Cause::NotARecord), "{line}");
    }
}

#[test]
fn a_broken_chain_takes_no_more_records() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let whole = text(&chain(3));
    let ledger = FileLedger::open(&path).unwrap();
    for spoiled in [
        whole.replace("\"number\":2", "\"number\":3"),
        format!("{whole}\n"),
        format!("{whole}x\n"),
        format!("{whole}{}", "x".repeat(3 * MAX_LINE)),
    ] {
        fs::write(&path, &spoiled).unwrap();
        assert!(matches!(ledger.append("request", &json!({}), 1), Err(Error::Broken { .. })));
        assert!(matches!(FileLedger::open(&path), Err(Error::Broken { .. })));
        assert!(matches!(file::verify(&path), Err(Error::Broken { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), spoiled);
    }
}

#[test]
fn only_regular_files_are_written_and_no_link_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (log, link, fifo) =
        (folder.path().join("log"), folder.path().join("link"), folder.path().join("fifo"));
    fs::write(&log, "").unwrap();
    std::os::unix::fs::symlink(&log, &link).unwrap();
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for path in [&link, &fifo, &folder.path().to_owned()] {
        assert!(FileLedger::open(path).is_err(), "{path:?}");
        assert!(file::verify(path).is_err(), "{path:?}");
    }
    assert!(file::verify(folder.path().join("none")).unwrap_err().is_missing());
    assert!(FileLedger::open(folder.path().join("none/log")).unwrap_err().is_missing());
}

#[test]
fn a_file_is_verified_with_its_places() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let ledger = FileLedger::open(&path).unwrap();
    assert_eq!(ledger.head().unwrap(), Head::genesis());
    let heads: Vec<Head> =
        (0..4).map(|number| ledger.append("request", &json!({ "n": number }), number).unwrap()).collect();
    assert_eq!(file::verify(&path).unwrap().head, heads[3]);
    assert!(file::verify_against(&path, &heads[1]).is_ok());
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replace(r#""n":2"#, r#""n":7"#)).unwrap();
    let error = file::verify(&path).unwrap_err();
    assert!(error.to_string().contains("line 3 (record 3): changed"), "{error}");
    let two: String = whole.split_inclusive('\n').take(2).collect();
    fs::write(&path, two).unwrap();
    assert!(file::verify(&path).is_ok());
    let error = file::verify_against(&path, &heads[3]).unwrap_err();
    assert!(error.to_string().contains("record 4 was in it"), "{error}");
}

/// As logrotate does with `create`.
fn rotate(log: &Path) {
    fs::rename(log, log.with_extension("log.1")).unwrap();
    fs::write(log, "").unwrap();
}

#[test]
fn a_rotated_chain_goes_on_in_the_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("pra-run.log");
    let held = FileLedger::open(&log).unwrap();
    held.append("a", &json!({}), 1).unwrap();
    let old = held.append("b", &json!({}), 2).unwrap();
    rotate(&log);
    // one that was open all the time, and one that comes after
    held.append("c", &json!({}), 3).unwrap();
    FileLedger::open(&log).unwrap().append("d", &json!({}), 4).unwrap();
    let older = file::verify(log.with_extension("log.1")).unwrap();
    assert_eq!(older.head, old);
    let report = file::read(&log, Verifier::continuing(), |_| ()).unwrap();
    assert_eq!((report.start, report.head.seq), (old, 4));
    // taken alone it is no whole chain, and both together are one
    assert!(file::verify(&log).is_err());
    let both = [fs::read(log.with_extension("log.1")).unwrap(), fs::read(&log).unwrap()].concat();
    assert_eq!(verify_lines(both.split(|b| *b == b'\n').filter(|l| !l.is_empty())).unwrap().seq, 4);
}

#[test]
fn a_line_torn_before_a_rotation_is_told_in_the_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("pra-run.log");
    FileLedger::open(&log).unwrap().append("a", &json!({}), 1).unwrap();
    let mut torn = fs::read(&log).unwrap();
    torn.extend_from_slice(b"{\"seq\":2,");
    fs::write(&log, torn).unwrap();
    rotate(&log);
    FileLedger::open(&log).unwrap().append("b", &json!({}), 2).unwrap();
    assert_eq!(file::verify(log.with_extension("log.1")).unwrap().head.seq, 1);
    let mut events = Vec::new();
    file::read(&log, Verifier::continuing(), |record| events.push(record.event)).unwrap();
    assert_eq!(events, [HEALED, "b"]);
}

#[test]
fn an_older_file_whose_end_was_changed_takes_no_successor() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("pra-run.log");
    FileLedger::open(&log).unwrap().append("a", &json!({"x": 1}), 1).unwrap();
    rotate(&log);
    let older = log.with_extension("log.1");
    fs::write(&older, fs::read_to_string(&older).unwrap().replace("\"x\":1", "\"x\":2")).unwrap();
    assert!(matches!(FileLedger::open(&log), Err(Error::Broken { path, .. }) if path == older));
    assert_eq!(fs::read(&log).unwrap(), b"");
}

#[test]
fn programs_that_write_while_the_file_is_rotated_keep_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("pra-run.log");
    FileLedger::open(&log).unwrap().append("first", &json!({}), 0).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let log = &log;
            scope.spawn(move || {
                let ledger = FileLedger::open(log).unwrap();
                for n in 0..50 {
                    ledger.append("work", &json!({"writer": writer, "n": n}), n).unwrap();
                }
            });
        }
        // rotated somewhere in the middle, wherever that falls
        while fs::read(&log).unwrap().iter().filter(|b| **b == b'\n').count() < 20 {
            std::thread::yield_now();
        }
        rotate(&log);
    });
    let both = [fs::read(log.with_extension("log.1")).unwrap(), fs::read(&log).unwrap()].concat();
    let head = verify_lines(both.split(|b| *b == b'\n').filter(|l| !l.is_empty())).unwrap();
    assert_eq!(head.seq, 201);
}

fn read(path: &Path) -> Vec<Record> {
    let mut records = Vec::new();
    file::read(path, Verifier::default(), |record| records.push(record)).unwrap();
    records
}

fn sha256(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_changed_byte_of_a_file_is_found_at_its_line(place in any::<prop::sample::Index>(), change in 1u8..=255) {
        let whole = text(&chain(6)).into_bytes();
        let place = place.index(whole.len());
        let mut changed = whole.clone();
        changed[place] ^= change;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, &changed).unwrap();
        let line = whole[..place].split(|b| *b == b'\n').count() as u64 - 1;
        match file::verify(&path) {
            Err(Error::Broken { broken, .. }) => prop_assert_eq!(broken.index, line),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn whatever_is_sealed_verifies_and_reads_back(
        event in "\\PC{0,40}", key in ".{0,20}", value in ".{0,200}", time in any::<i64>(),
    ) {
        let data = json!({ key: value });
        let (line, head) = seal(&Head::genesis(), time, &event, &data);
        prop_assert!(!line.chars().any(char::is_control));
        prop_assert_eq!(verify_lines([&line].into_iter()), Ok(head));
        let record = Record::read(line.as_bytes()).unwrap();
        prop_assert_eq!((record.time, record.event, record.data), (time, event, data));
    }

    #[test]
    fn arbitrary_lines_never_panic(line in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Record::read(&line).is_err());
    }
}
