//! Every row of `tests/corpus/protocol.jsonl` that pure code decides: one test per row, named after its id.
//!
//! Those of the class `grant_signature` stand in `protocol_signature.rs`, and in `protocol_webauthn.rs` where they are about
//! passkeys. The rows in [`TARGET`] need the target's disk or its command line and are its tests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;

use common::{
    NOW, Target, alice, bob, replace, rules, signed, signed_code, statement, trusts_alice, trusts_both,
};
use grant::{Approvers, Code, Statement};

/// Rows that are tests of the target.
const TARGET: [&str; 6] = [
    "grant_replay-01",
    "grant_replay-02",
    "grant_replay-04",
    "grant_replay-05",
    "grant_binding-03",
    "grant_binding-05",
];

#[test]
fn every_row_is_a_test() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let corpus = std::fs::read_to_string(format!("{root}/tests/corpus/protocol.jsonl")).unwrap();
    let tests = concat!(
        include_str!("protocol.rs"),
        include_str!("protocol_signature.rs"),
        include_str!("protocol_webauthn.rs")
    );
    let mut missing = BTreeSet::new();
    let mut rows = 0;
    for line in corpus.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let (id, class) = (row["id"].as_str().unwrap(), row["class"].as_str().unwrap());
        if !["grant_replay", "grant_binding", "grant_signature", "two_person", "time"].contains(&class) {
            continue;
        }
        rows += 1;
        if !tests.contains(&format!("fn {}()", id.replace('-', "_"))) {
            missing.insert(id.to_owned());
        }
    }
    assert_eq!(rows, 54);
    assert_eq!(missing, TARGET.into_iter().map(str::to_owned).collect());
}

/// What a target says of a statement with this span of time.
fn timed(not_before: i64, expires_at: i64, now: i64, high_water: i64) -> Result<(), grant::Refusal> {
    let bytes = Statement { not_before, expires_at, ..statement() }.to_bytes();
    trusts_alice().at(now, high_water).judge(&bytes, &[alice().sign(&bytes)]).map(|_| ())
}

#[test]
fn the_grant_that_the_rows_spoil_is_right() {
    let verified = signed(&statement().to_bytes()).unwrap();
    assert_eq!(verified.statement, statement());
    assert_eq!(verified.approvals.len(), 1);
    assert_eq!(verified.approvals[0].person, "alice");
}

#[test]
fn grant_replay_03() {
    let bytes = statement().to_bytes();
    let mut second = trusts_alice();
    second.rules.machine_id = "a2".repeat(32);
    second.rules.host = "web02".into();
    assert_eq!(second.code(&bytes, &[alice().sign(&bytes)]), Code::HostMismatch);
    // a clone that took the name but has its own machine id
    second.rules.host = "web01".into();
    assert_eq!(second.code(&bytes, &[alice().sign(&bytes)]), Code::HostMismatch);
}

#[test]
fn grant_replay_06() {
    let expired = NOW + 301;
    assert_eq!(timed(NOW, NOW + 300, NOW, expired).unwrap_err().code, Code::ClockSkew);
    // within the skew the later of the two clocks decides
    assert_eq!(timed(NOW, NOW + 300, NOW + 290, expired).unwrap_err().code, Code::Expired);
}

#[test]
fn grant_binding_01() {
    let armor = alice().sign(&statement().to_bytes());
    let bytes = Statement { action: "restart_caddy".into(), ..statement() }.to_bytes();
    assert_eq!(trusts_alice().code(&bytes, &[armor]), Code::Signature);
}

#[test]
fn grant_binding_02() {
    let bytes = statement().to_bytes();
    let armor = alice().sign(&bytes);
    let changed = replace(&bytes, r#""container":"web""#, r#""container":"db""#);
    assert_eq!(trusts_alice().code(&changed, &[armor]), Code::Signature);
}

#[test]
fn grant_binding_04() {
    let bytes = statement().to_bytes();
    let mut target = trusts_alice();
    target.rules.tenant = "other".into();
    assert_eq!(target.code(&bytes, &[alice().sign(&bytes)]), Code::TenantMismatch);
    target.rules = rules();
    target.rules.machine_id = "00".repeat(32);
    assert_eq!(target.code(&bytes, &[alice().sign(&bytes)]), Code::HostMismatch);
}

#[test]
fn grant_binding_06() {
    let bytes = statement().to_bytes();
    let action = r#""action":"restart_container""#;
    for twice in [
        format!(r#"{action},"action":"restart_caddy""#),
        format!("{action},{action}"),
        format!(r#"{action},"\u0061ction":"restart_caddy""#),
    ] {
        assert_eq!(signed_code(&replace(&bytes, action, &twice)), Code::Malformed, "{twice}");
    }
    let param = r#""container":"web""#;
    let twice = format!(r#"{param},"container":"db""#);
    assert_eq!(signed_code(&replace(&bytes, param, &twice)), Code::Malformed);
}

#[test]
fn grant_binding_07() {
    let bytes = replace(&statement().to_bytes(), r#""v":1,"#, r#""v":1,"run_as":"root","#);
    let refusal = signed(&bytes).unwrap_err();
    assert_eq!(refusal.code, Code::Malformed);
    assert!(refusal.message.contains("run_as"), "{}", refusal.message);
}

#[test]
fn grant_binding_08() {
    let bytes = statement().to_bytes();
    let armor = alice().sign(&bytes);
    let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let spellings = [
        serde_json::to_vec(&value).unwrap(),
        serde_json::to_vec_pretty(&value).unwrap(),
        replace(&bytes, r#""v":1,"#, r#""v": 1,"#),
        bytes[..bytes.len() - 1].to_vec(),
        [&bytes[..], b"\n"].concat(),
        [&b"\xef\xbb\xbf"[..], &bytes].concat(),
    ];
    for spelling in spellings {
        assert_ne!(spelling, bytes);
        assert_eq!(trusts_alice().code(&spelling, &[&armor]), Code::Signature);
    }
}

#[test]
fn grant_binding_09() {
    let bytes = statement().to_bytes();
    let expires = format!(r#""expires_at":{}"#, NOW + 300);
    for number in [
        "1e0",
        "1.0",
        "-0",
        "1795493400.0",
        "0x1",
        "01",
        "+1",
        "99999999999999999999",
        "\"1\"",
        "null",
        "true",
    ] {
        let spoiled = replace(&bytes, &expires, &format!(r#""expires_at":{number}"#));
        assert_eq!(signed_code(&spoiled), Code::Malformed, "{number}");
        let spoiled = replace(&bytes, r#""v":1,"#, &format!(r#""v":{number},"#));
        assert_eq!(signed_code(&spoiled), Code::Malformed, "{number}");
    }
}

#[test]
fn grant_binding_10() {
    let bytes = statement().to_bytes();
    for value in
        [r"we\u0000b", r"we\ud800b", r"we\udc00b", r"we\ud800\u0041b", r"we\u202eb", "we\u{200b}b", r"we\nb"]
    {
        let spoiled = replace(&bytes, r#""container":"web""#, &format!(r#""container":"{value}""#));
        assert_eq!(signed_code(&spoiled), Code::Malformed, "{value}");
    }
    for name in ["restart\u{e9}", "restarte\u{301}", r"restart\u0301", r"restart\u0000", "ｒestart", ""] {
        let spoiled = replace(&bytes, r#""action":"restart_container""#, &format!(r#""action":"{name}""#));
        assert_eq!(signed_code(&spoiled), Code::Malformed, "{name}");
    }
    let mut latin1 = bytes;
    let place = latin1.iter().position(|b| *b == 0xc3).unwrap();
    latin1[place] = b'e';
    assert_eq!(signed_code(&latin1), Code::Malformed);
}

#[test]
fn grant_binding_11() {
    let empty = Statement { rationale: String::new(), ..statement() }.to_bytes().len();
    let sized = |bytes: usize| Statement { rationale: "x".repeat(bytes - empty), ..statement() }.to_bytes();
    assert!(signed(&sized(16 * 1024)).is_ok());
    assert_eq!(signed_code(&sized(16 * 1024 + 1)), Code::TooLarge);
    assert_eq!(Statement::parse(&vec![b'x'; 16 * 1024 + 1]).unwrap_err().code, Code::TooLarge);
}

#[test]
fn grant_binding_12() {
    let deep = "[".repeat(10_000);
    assert_eq!(signed_code(deep.as_bytes()), Code::Malformed);
    let bytes = statement().to_bytes();
    for (field, value) in [("argv", "[]"), ("params", r#"{"container":"web"}"#)] {
        let spoiled = replace(&bytes, &format!(r#""{field}":{value}"#), &format!(r#""{field}":{deep}"#));
        assert_eq!(signed_code(&spoiled), Code::Malformed, "{field}");
    }
    let unknown = replace(&bytes, r#""v":1,"#, &format!(r#""v":1,"x":{deep}"#));
    assert_eq!(signed_code(&unknown), Code::Malformed);
}

#[test]
fn grant_binding_13() {
    let bytes = Statement { host: "other".into(), ..statement() }.to_bytes();
    assert_eq!(signed_code(&bytes), Code::HostMismatch);
    // a host that takes another's name is still another machine
    let mut impostor = trusts_alice();
    impostor.rules.machine_id = "ff".repeat(32);
    let bytes = statement().to_bytes();
    assert_eq!(impostor.code(&bytes, &[alice().sign(&bytes)]), Code::HostMismatch);
}

#[test]
fn two_person_01() {
    let bytes = statement().to_bytes();
    let twice = [alice().sign(&bytes), alice().sign(&bytes)];
    let refusal = trusts_both().refuses(&bytes, &twice);
    assert_eq!(refusal.code, Code::TooFewApprovers);
    assert!(refusal.message.contains("1 of 2"), "{}", refusal.message);
    assert!(trusts_both().judge(&bytes, &[alice().sign(&bytes), bob().sign(&bytes)]).is_ok());
}

#[test]
fn two_person_02() {
    let bytes = statement().to_bytes();
    let armors = [alice().sign(&bytes), bob().sign(&bytes)];
    for second in ["alice", "ALICE"] {
        let target = Target::trusting(alice().line("alice", "") + &bob().line(second, "")).asking(2, false);
        assert_eq!(target.code(&bytes, &armors), Code::TooFewApprovers);
    }
    // nor can one key be two persons
    let error = Approvers::parse(&(alice().line("alice", "") + &alice().line("bob", ""))).unwrap_err();
    assert_eq!(error.line, 2);
}

#[test]
fn two_person_03() {
    let bytes = statement().to_bytes();
    let armors = [alice().sign(&bytes), bob().sign(&bytes)];
    let approvers = alice().line("alice", "") + &bob().line("bob", r#"valid-before="20261124Z" "#);
    assert_eq!(Target::trusting(approvers).asking(2, false).code(&bytes, &armors), Code::ExpiredKey);
}

#[test]
fn two_person_04() {
    let bytes = statement().to_bytes();
    let other = Statement { expires_at: NOW + 301, ..statement() }.to_bytes();
    let armors = [alice().sign(&bytes), bob().sign(&other)];
    assert_eq!(trusts_both().code(&bytes, &armors), Code::Signature);
    assert_eq!(trusts_both().code(&other, &armors), Code::Signature);
    // a wrong signature refuses even where the right one would be enough
    assert_eq!(trusts_both().asking(1, false).code(&bytes, &armors), Code::Signature);
}

#[test]
fn two_person_05() {
    // no policy of this version lets one person break the glass: nothing in a grant asks for it
    let bytes = statement().to_bytes();
    assert_eq!(trusts_both().code(&bytes, &[alice().sign(&bytes)]), Code::TooFewApprovers);
    let asking = replace(&bytes, r#""v":1,"#, r#""v":1,"break_glass":true,"#);
    assert_eq!(trusts_both().code(&asking, &[alice().sign(&asking)]), Code::Malformed);
}

#[test]
fn two_person_06() {
    let bytes = statement().to_bytes();
    for field in [r#""threshold":1"#, r#""min":1"#, r#""approvals":1"#] {
        let asking = replace(&bytes, r#""v":1,"#, &format!(r#""v":1,{field},"#));
        assert_eq!(trusts_both().code(&asking, &[alice().sign(&asking)]), Code::Malformed, "{field}");
    }
    let param = replace(&bytes, r#""container":"web""#, r#""container":"web","threshold":"1""#);
    assert_eq!(trusts_both().code(&param, &[alice().sign(&param)]), Code::TooFewApprovers);
    // a policy that asks for nobody still asks for one
    assert!(trusts_both().asking(0, false).judge(&bytes, &[alice().sign(&bytes)]).is_ok());
    assert_eq!(trusts_both().asking(0, false).code(&bytes, &[] as &[&str]), Code::TooFewApprovers);
}

#[test]
fn time_01() {
    assert_eq!(timed(NOW + 10, NOW + 310, NOW, NOW), Ok(()));
    assert_eq!(timed(NOW + 30, NOW + 330, NOW, NOW), Ok(()));
}

#[test]
fn time_02() {
    assert_eq!(timed(NOW + 31, NOW + 331, NOW, NOW).unwrap_err().code, Code::NotYetValid);
}

#[test]
fn time_03() {
    assert_eq!(timed(NOW - 300, NOW - 1, NOW, NOW).unwrap_err().code, Code::Expired);
    assert_eq!(timed(NOW - 300, NOW, NOW, NOW).unwrap_err().code, Code::Expired);
    assert_eq!(timed(NOW - 299, NOW + 1, NOW, NOW), Ok(()));
}

#[test]
fn time_04() {
    assert_eq!(timed(NOW, NOW + 900, NOW, NOW), Ok(()));
    assert_eq!(timed(NOW, NOW + 901, NOW, NOW).unwrap_err().code, Code::Lifetime);
}

#[test]
fn time_05() {
    for (not_before, expires_at) in [
        (NOW, i64::MAX),
        (i64::MIN, i64::MAX),
        (i64::MAX, i64::MAX),
        (i64::MAX, i64::MIN),
        (NOW, -1),
        (-10, -1),
        (-10, 10),
        (NOW, NOW),
        (NOW, NOW - 1),
    ] {
        let refusal = timed(not_before, expires_at, NOW, NOW).unwrap_err();
        assert_eq!(refusal.code, Code::Lifetime, "{not_before} {expires_at}");
    }
    // no clock makes the sums overflow
    for (now, high_water) in
        [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (i64::MIN, i64::MIN), (i64::MAX, i64::MAX)]
    {
        assert!(timed(NOW, NOW + 300, now, high_water).is_err());
    }
}

#[test]
fn time_06() {
    let fresh = timed(NOW, NOW + 300, NOW - 600, NOW - 600).unwrap_err();
    assert_eq!(fresh.code, Code::NotYetValid);
    assert!(fresh.message.contains("600 s") && fresh.message.contains("30 s"), "{}", fresh.message);
    let known = timed(NOW, NOW + 300, NOW - 600, NOW).unwrap_err();
    assert_eq!(known.code, Code::ClockSkew);
    assert!(known.message.contains("600 s") && known.message.contains("30 s"), "{}", known.message);
}
