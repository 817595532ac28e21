mod properties;

use ledger::{Head, Record, seal};
use serde_json::{Value, json};

use super::*;

const OF: Subject<'_> = Subject { tenant: "default", host: "web01" };

/// A chain under construction.
#[derive(Clone)]
struct Chain {
    head: Head,
    time: i64,
    lines: Vec<String>,
}

impl Chain {
    fn new() -> Self {
        Self { head: Head::genesis(), time: 1_000_000, lines: Vec::new() }
    }

    fn add(&mut self, event: &str, data: &Value) -> Head {
        self.time += 1000;
        let (line, head) = seal(&self.head, self.time, event, data);
        self.lines.push(line);
        self.head = head;
        self.head.clone()
    }

    /// The same records after `change`, sealed anew from the first.
    fn rewritten(&self, change: impl FnOnce(&mut Vec<(i64, String, Value)>)) -> Vec<String> {
        let read = |line: &String| {
            let record = Record::read(line.as_bytes()).unwrap();
            (record.time, record.event, record.data)
        };
        let mut records: Vec<_> = self.lines.iter().map(read).collect();
        change(&mut records);
        let mut head = Head::genesis();
        let sealed = records.into_iter().map(|(time, event, data)| {
            let (line, next) = seal(&head, time, &event, &data);
            head = next;
            line
        });
        sealed.collect()
    }
}

fn digest(id: &str) -> String {
    crate::store::sha256_hex(id.as_bytes())
}

/// A server and a host that agree, as the programs write their records.
#[derive(Clone)]
struct Both {
    server: Chain,
    target: Chain,
}

impl Both {
    fn new() -> Self {
        Self { server: Chain::new(), target: Chain::new() }
    }

    fn handed(&mut self, id: &str) {
        let asked = json!({ "tenant": OF.tenant, "host": OF.host });
        self.server.add("proposed", &json!({ "proposal": id, "asked": asked }));
        self.server.add("statement", &json!({ "proposal": id, "sha256": digest(id) }));
        self.server.add("approved", &json!({ "proposal": id, "signer": "alice" }));
        self.server.add("executing", &json!({ "proposal": id, "host": OF.host }));
    }

    fn started(&mut self, id: &str) {
        let approvals = json!([{ "person": "alice@example.org" }]);
        let start = json!({ "proposal": id, "tenant": OF.tenant, "host": OF.host, "approvals": approvals, "statement_sha256": digest(id) });
        self.target.add("start", &start);
    }

    fn result(&mut self, id: &str, outcome: &str, code: &str) -> Head {
        self.target.add("result", &json!({ "proposal": id, "outcome": outcome, "code": code }))
    }

    fn recorded(&mut self, id: &str, state: &str, result: &Value) {
        self.server.add("executed", &json!({ "proposal": id, "state": state, "result": result }));
    }

    /// A run from its proposal to both records of its end.
    fn run(&mut self, id: &str) {
        self.handed(id);
        self.started(id);
        let head = self.result(id, "succeeded", "ok");
        self.recorded(id, "verified", &json!({ "outcome": "succeeded", "code": "ok", "audit": head }));
    }

    fn denied(&mut self, id: &str) {
        self.server.add("denying", &json!({ "proposal": id, "host": OF.host }));
        let head = self.target.add("deny", &json!({ "proposal": id }));
        self.server.add("denial", &json!({ "proposal": id, "told": true, "answer": "", "audit": head }));
    }

    fn report(&self) -> Report {
        report(&self.server.lines, &self.target.lines)
    }
}

fn report(server: &[String], target: &[String]) -> Report {
    reconcile(OF, server, u64::MAX, target).unwrap()
}

fn kinds(report: &Report) -> Vec<(Kind, Option<&str>)> {
    assert_eq!(report.ok, report.findings.is_empty());
    report.findings.iter().map(|f| (f.kind, f.proposal.as_deref())).collect()
}

#[track_caller]
fn clean(report: &Report) -> Counts {
    assert_eq!(kinds(report), [], "{report:?}");
    report.counts.clone()
}

#[test]
fn what_agrees_is_counted() {
    let mut both = Both::new();
    both.run("pr_1");
    both.denied("pr_2");
    both.handed("pr_3");
    both.target.add("refused", &json!({ "proposal": "pr_3", "code": "frozen", "message": "" }));
    both.recorded("pr_3", "failed", &json!({ "outcome": "refused", "code": "frozen", "audit": null }));
    both.handed("pr_4");
    both.recorded("pr_4", "failed", &json!({ "outcome": "unknown", "code": "unreachable" }));
    both.handed("pr_5");
    both.started("pr_5");
    let head = both.result("pr_5", "failed", "verify_failed");
    both.recorded("pr_5", "failed", &json!({ "outcome": "failed", "code": "verify_failed", "audit": head }));
    let report = both.report();
    let expected =
        Counts { runs: 2, denials: 1, refused: 1, refusals: 1, unanswered: 1, ..Counts::default() };
    assert_eq!(clean(&report), expected);
    assert_eq!((report.target.after, report.target.last), (0, 6));
    assert_eq!(report.target.head, both.target.head.hash);
    assert_eq!(clean(&self::report(&[], &[])), Counts::default());
}

#[test]
fn other_hosts_of_the_server_are_not_its_concern() {
    let mut both = Both::new();
    both.run("pr_1");
    let asked = json!({ "tenant": "other", "host": OF.host });
    both.server.add("proposed", &json!({ "proposal": "pr_8", "asked": asked }));
    both.server.add("executing", &json!({ "proposal": "pr_8", "host": OF.host }));
    both.server.add("executing", &json!({ "proposal": "pr_9", "host": "db01" }));
    both.server.add(
        "executed",
        &json!({ "proposal": "pr_9", "state": "verified", "result": { "outcome": "succeeded" } }),
    );
    assert_eq!(clean(&both.report()).runs, 1);
}

#[test]
fn a_broken_chain_is_found_and_read_up_to_the_break() {
    let mut both = Both::new();
    both.run("pr_1");
    both.run("pr_2");
    let mut target = both.target.lines.clone();
    target[2] = target[2].replace("pr_2", "pr_3");
    let found = report(&both.server.lines, &target);
    assert_eq!(kinds(&found), [(Kind::TargetChainBroken, None)]);
    assert_eq!((found.findings[0].target_record, found.counts.runs, found.counts.unread), (Some(3), 1, 1));
    let mut server = both.server.lines.clone();
    server[5] = server[5].replace("pr_2", "pr_3");
    let found = report(&server, &both.target.lines);
    assert_eq!(kinds(&found), [(Kind::ServerChainBroken, None)]);
    assert_eq!((found.findings[0].server_record, found.counts.runs, found.counts.unread), (Some(6), 1, 1));
    // A server's chain has a beginning.
    assert_eq!(
        kinds(&report(&both.server.lines[1..], &both.target.lines))[0],
        (Kind::ServerChainBroken, None)
    );
    clean(&both.report());
}

#[test]
fn a_record_that_was_cut_off_is_found_by_the_head() {
    let mut both = Both::new();
    both.run("pr_1");
    both.run("pr_2");
    let lines = &both.target.lines;
    let found = report(&both.server.lines, &lines[..3]);
    assert_eq!(kinds(&found), [(Kind::OutcomeDiffers, Some("pr_2")), (Kind::CutOff, Some("pr_2"))]);
    let found = report(&both.server.lines, &lines[..2]);
    assert_eq!(kinds(&found), [(Kind::CutOff, Some("pr_2")), (Kind::NotOnTarget, Some("pr_2"))]);
    assert_eq!((found.findings[0].server_record, found.findings[0].target_record), (Some(10), Some(4)));
    // All of it, and an emptied file.
    assert_eq!(report(&both.server.lines, &[]).findings.len(), 4);
    // The beginning taken away and the rest numbered on from a place that never was.
    let (line, _) = seal(&Head { seq: 2, hash: "a".repeat(64) }, 0, "start", &json!({}));
    let found = report(&both.server.lines, &[line]);
    assert!(kinds(&found).contains(&(Kind::CutOff, Some("pr_1"))), "{found:?}");
    clean(&both.report());
    // What came before the files is no finding; nor is what was given in part and holds the head.
    assert_eq!(clean(&report(&both.server.lines, &lines[2..])).before, 1);
    assert_eq!(clean(&report(&both.server.lines, &lines[1..])).before, 1);
    assert_eq!(clean(&report(&both.server.lines, &lines[3..])).before, 2);
}

#[test]
fn a_record_that_begins_behind_all_that_is_known_is_found() {
    let mut both = Both::new();
    both.run("pr_1");
    both.denied("pr_2");
    // Rotated since: the new file goes on from the very head that the server knows.
    let known = both.target.lines.len();
    both.target.add("refused", &json!({ "proposal": null }));
    both.target.add("refused", &json!({ "proposal": null }));
    assert_eq!(clean(&report(&both.server.lines, &both.target.lines[known..])).before, 2);
    // One record further nothing ties it to what the server knows; and so with one that was put in its place.
    let put = seal(&Head { seq: 900, hash: "a".repeat(64) }, 0, "refused", &json!({})).0;
    for lines in [both.target.lines[known + 1..].to_vec(), vec![put]] {
        let found = report(&both.server.lines, &lines);
        assert_eq!(kinds(&found), [(Kind::CutOff, Some("pr_2"))], "{found:?}");
        assert_eq!(found.findings[0].target_record, Some(3), "{found:?}");
    }
    // A server that has heard of nothing knows nothing of it.
    let put = seal(&Head { seq: 900, hash: "a".repeat(64) }, 0, "refused", &json!({})).0;
    clean(&report(&[], &[put]));
}

#[test]
fn what_came_after_the_copy_is_no_finding() {
    let mut both = Both::new();
    both.run("pr_1");
    let settled = both.server.head.seq;
    let copy = both.target.lines.clone();
    both.run("pr_2");
    both.denied("pr_3");
    both.handed("pr_4");
    let found = reconcile(OF, &both.server.lines, settled, &copy).unwrap();
    assert_eq!((clean(&found).runs, found.counts.later), (1, 3));
    let found = reconcile(OF, &both.server.lines, u64::MAX, &copy).unwrap();
    for finding in [
        (Kind::NotOnTarget, Some("pr_2")),
        (Kind::CutOff, Some("pr_2")),
        (Kind::DenialLost, Some("pr_3")),
        (Kind::OutcomeUnknown, Some("pr_4")),
    ] {
        assert!(kinds(&found).contains(&finding), "{finding:?}: {found:?}");
    }
}

#[test]
fn a_run_that_the_target_does_not_have_is_found() {
    let mut both = Both::new();
    both.handed("pr_1");
    // It answered without a head: its log could not be written at the end.
    both.recorded("pr_1", "verified", &json!({ "outcome": "succeeded", "code": "ok", "audit": null }));
    both.target.add("refused", &json!({ "proposal": null }));
    both.target.add("refused", &json!({ "proposal": null }));
    assert_eq!(kinds(&both.report()), [(Kind::NotOnTarget, Some("pr_1"))]);
    // Older than the files, by the time alone.
    let mut older = both.clone();
    older.target.time += 1_000_000;
    older.target.add("refused", &json!({}));
    assert_eq!(clean(&report(&both.server.lines, &older.target.lines[2..])).before, 1);
    // The record is there.
    both.started("pr_1");
    both.result("pr_1", "succeeded", "ok");
    clean(&both.report());
    // A whole record that holds the head and never had a start.
    let mut never = Both::new();
    never.handed("pr_1");
    let head = never.result("pr_1", "succeeded", "ok");
    never.recorded("pr_1", "verified", &json!({ "outcome": "succeeded", "code": "ok", "audit": head }));
    assert_eq!(kinds(&never.report()), [(Kind::NotOnTarget, Some("pr_1"))]);
}

#[test]
fn other_bytes_than_were_signed_are_found() {
    let mut both = Both::new();
    both.run("pr_1");
    for digest in [json!("0".repeat(64)), Value::Null] {
        let target = both.target.rewritten(|records| records[0].2["statement_sha256"] = digest);
        let found = report(&both.server.lines, &target);
        assert!(kinds(&found).contains(&(Kind::StatementDiffers, Some("pr_1"))), "{found:?}");
        assert!(kinds(&found).contains(&(Kind::CutOff, Some("pr_1"))), "{found:?}");
    }
    // A statement that was drafted anew before it was signed: the last one counts.
    let mut again = Both::new();
    again.server.add("statement", &json!({ "proposal": "pr_1", "sha256": digest("older") }));
    again.run("pr_1");
    clean(&again.report());
    again.server.add("statement", &json!({ "proposal": "pr_1", "sha256": digest("later") }));
    clean(&again.report());
}

#[test]
fn an_outcome_that_does_not_follow_is_found() {
    for (state, outcome, code, follows) in [
        ("verified", "succeeded", "ok", true),
        ("succeeded", "succeeded", "ok", true),
        ("succeeded", "already_ok", "already_ok", true),
        ("failed", "failed", "run_failed", true),
        ("failed", "succeeded", "ok", false),
        ("verified", "failed", "run_failed", false),
        ("running", "succeeded", "ok", false),
        ("verified", "exploded", "ok", false),
    ] {
        let mut both = Both::new();
        both.handed("pr_1");
        both.started("pr_1");
        let head = both.result("pr_1", outcome, code);
        both.recorded("pr_1", state, &json!({ "outcome": outcome, "code": code, "audit": head }));
        let found = both.report();
        let expected: &[_] = if follows { &[] } else { &[(Kind::OutcomeDiffers, Some("pr_1"))] };
        assert_eq!(kinds(&found), expected, "{state} {outcome}");
    }
    let mut both = Both::new();
    both.run("pr_1");
    let server = both.server.rewritten(|r| r[4].2["result"]["code"] = json!("already_ok"));
    assert_eq!(kinds(&report(&server, &both.target.lines)), [(Kind::OutcomeDiffers, Some("pr_1"))]);
}

#[test]
fn a_run_that_was_refused_here_and_ran_there_is_found() {
    let mut both = Both::new();
    both.handed("pr_1");
    both.started("pr_1");
    both.result("pr_1", "succeeded", "ok");
    both.recorded("pr_1", "failed", &json!({ "outcome": "refused", "code": "proposal_seen" }));
    assert_eq!(kinds(&both.report()), [(Kind::OutcomeDiffers, Some("pr_1"))]);
}

#[test]
fn an_outcome_that_is_not_known_is_found_with_what_the_target_says() {
    let mut both = Both::new();
    both.handed("pr_1");
    let said = |both: &Both| {
        let report = both.report();
        assert_eq!(kinds(&report), [(Kind::OutcomeUnknown, Some("pr_1"))]);
        report.findings[0].message.clone()
    };
    assert!(said(&both).contains("no record that it began"));
    both.started("pr_1");
    assert!(said(&both).contains("has no result"));
    let head = both.result("pr_1", "succeeded", "ok");
    assert!(said(&both).contains("it ended: succeeded (ok)"));
    let mut lost = both.clone();
    lost.recorded("pr_1", "failed", &json!({ "outcome": "unknown", "code": "timeout" }));
    assert!(said(&lost).contains("it ended: succeeded (ok)"));
    both.recorded("pr_1", "verified", &json!({ "outcome": "succeeded", "code": "ok", "audit": head }));
    clean(&both.report());
}

#[test]
fn what_ran_without_the_server_is_found_with_who_signed() {
    let mut both = Both::new();
    both.run("pr_1");
    both.target.add("break_glass", &json!({ "proposal": "offline-1" }));
    both.started("offline-1");
    both.result("offline-1", "succeeded", "ok");
    both.started("offline-2");
    let found = both.report();
    assert_eq!(
        kinds(&found),
        [(Kind::UnknownToServer, Some("offline-1")), (Kind::UnknownToServer, Some("offline-2"))]
    );
    let said = |i: usize| found.findings[i].message.as_str();
    assert!(said(0).contains("alice@example.org") && said(0).contains("broke the glass"), "{}", said(0));
    assert!(!said(1).contains("glass") && said(1).contains("legitimate"), "{}", said(1));
    // Proposed here, carried by hand.
    let asked = json!({ "tenant": OF.tenant, "host": OF.host });
    both.server.add("proposed", &json!({ "proposal": "offline-2", "asked": asked }));
    assert!(both.report().findings[1].message.contains("was proposed here"));
    // Run a second time.
    let mut twice = Both::new();
    twice.run("pr_1");
    twice.started("pr_1");
    let found = twice.report();
    assert_eq!(kinds(&found), [(Kind::UnknownToServer, Some("pr_1"))]);
    assert!(found.findings[0].message.contains("more than once"));
}

#[test]
fn a_denial_that_was_lost_is_found() {
    let mut both = Both::new();
    both.run("pr_1");
    both.denied("pr_2");
    clean(&both.report());
    let found = report(&both.server.lines, &both.target.lines[..2]);
    assert_eq!(kinds(&found), [(Kind::CutOff, Some("pr_2")), (Kind::DenialLost, Some("pr_2"))]);
    // It ran in spite of it.
    both.started("pr_2");
    let found = both.report();
    assert!(kinds(&found).contains(&(Kind::DenialLost, Some("pr_2"))), "{found:?}");
    // One that came too late, and one that the target was not told of.
    let mut late = Both::new();
    late.run("pr_1");
    late.server.add("denying", &json!({ "proposal": "pr_1", "host": OF.host }));
    late.server.add("denial", &json!({ "proposal": "pr_1", "told": false, "answer": "too late" }));
    clean(&late.report());
}

#[test]
fn the_record_of_another_host_is_named() {
    let mut both = Both::new();
    both.run("pr_1");
    let theirs = Subject { tenant: "default", host: "db01" };
    let refused = reconcile(theirs, &both.server.lines, u64::MAX, &both.target.lines).unwrap_err();
    assert_eq!(refused, AnotherHost { tenant: "default".into(), host: "web01".into() });
    let other = Subject { tenant: "other", host: "web01" };
    assert!(reconcile(other, &both.server.lines, u64::MAX, &both.target.lines).is_err());
    // One record alone that names another does not hide the rest.
    both.run("pr_2");
    let target = both.target.rewritten(|records| records[2].2["host"] = json!("db01"));
    let found = report(&both.server.lines, &target);
    for finding in [Kind::OtherHost, Kind::NotOnTarget, Kind::CutOff] {
        assert!(kinds(&found).contains(&(finding, Some("pr_2"))), "{found:?}");
    }
}

#[test]
fn a_result_too_large_for_a_record_keeps_its_head() {
    let mut both = Both::new();
    both.handed("pr_1");
    both.started("pr_1");
    let head = both.result("pr_1", "succeeded", "ok");
    let big = "x".repeat(ledger::MAX_DATA);
    both.recorded(
        "pr_1",
        "verified",
        &json!({ "outcome": "succeeded", "code": "ok", "audit": head, "steps": [big] }),
    );
    assert!(both.server.lines[4].contains("\"cut\""));
    assert_eq!(clean(&both.report()).runs, 1);
    assert!(
        kinds(&report(&both.server.lines, &both.target.lines[..1])).contains(&(Kind::CutOff, Some("pr_1")))
    );
}

const EVIL: &str = "\u{1b}[2J\u{202e}evil\u{200b}\r\nok: web01\u{7}";

#[test]
fn text_of_the_target_is_harmless() {
    let mut both = Both::new();
    both.run("pr_1");
    let long = EVIL.repeat(300);
    for evil in [EVIL, &long] {
        let mut target = both.target.clone();
        let data = |proposal: &str| {
            json!({ "proposal": proposal, "tenant": OF.tenant, "host": OF.host, "approvals": [{ "person": evil }],
                "statement_sha256": evil, "outcome": evil, "code": evil })
        };
        target.add("break_glass", &data(evil));
        target.add("start", &data(evil));
        target.add("result", &data(evil));
        target.add("deny", &data(evil));
        target.add("start", &data(evil));
        target.add(evil, &json!([evil]));
        target.add("start", &json!({ "proposal": "pr_2", "tenant": evil, "host": evil }));
        target.add("start", &json!({ "proposal": evil, "approvals": evil, "tenant": {}, "host": [] }));
        target.add("start", &json!(evil));
        let own = target.rewritten(|records| {
            records[0].2 = data("pr_1");
            records[1].2 = data("pr_1");
        });
        for lines in [&target.lines, &own] {
            let found = report(&both.server.lines, lines);
            assert!(found.findings.len() >= 5, "{found:?}");
            for finding in &found.findings {
                let shown = format!("{}{}", finding.message, finding.proposal.as_deref().unwrap_or_default());
                let acts = |c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{200b}');
                assert!(!shown.contains(acts) && shown.len() < 2500, "{shown:?}");
            }
        }
        let theirs = target.rewritten(|records| {
            records.retain(|r| r.1 == "start");
            for record in records {
                record.2 = json!({ "proposal": "x", "tenant": evil, "host": evil });
            }
        });
        let refused = reconcile(OF, &both.server.lines, u64::MAX, theirs).unwrap_err().to_string();
        assert!(!refused.contains(|c: char| c.is_control() || c == '\u{202e}') && refused.len() < 500);
    }
    // Two names that look the same are two.
    let mut twin = Both::new();
    twin.run("pr_1");
    twin.started("pr_1\u{200b}");
    assert_eq!(kinds(&twin.report()), [(Kind::UnknownToServer, Some("pr_1"))]);
    // What is no chain at all.
    for line in ["", "{}", "\u{0}", EVIL, "[[[[[["] {
        assert_eq!(kinds(&report(&[], &[line.to_owned()])), [(Kind::TargetChainBroken, None)], "{line:?}");
    }
}
