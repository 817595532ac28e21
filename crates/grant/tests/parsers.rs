//! Parsers take any bytes without a panic, and any changed byte refuses a grant.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Key, Target, UP, statement};
use grant::{Approvers, Envelope, Kind, PublicKey, SshSig, Statement};
use proptest::prelude::*;

fn keys() -> [Key; 4] {
    [Key::ed25519(1), Key::p256(), Key::sk_ed25519(2, "ssh:", UP), Key::sk_p256("ssh:", UP)]
}

#[test]
fn to_bytes_is_one_line_in_the_order_of_the_fields() {
    let bytes = statement().to_bytes();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(text.ends_with("}\n") && text.matches('\n').count() == 1);
    let mut place = 0;
    for field in [
        "v",
        "proposal",
        "tenant",
        "host",
        "machine_id",
        "kind",
        "action",
        "params",
        "argv",
        "plan",
        "policy",
        "rationale",
        "proposed_by",
        "not_before",
        "expires_at",
        "nonce",
    ] {
        let found = text.find(&format!("\"{field}\":")).unwrap();
        assert!(found > place, "{field}");
        place = found;
    }
    assert_eq!(Statement::parse(&bytes), Ok(statement()));
}

#[test]
fn a_statement_has_every_field_and_one_meaning() {
    let value: serde_json::Value = serde_json::from_slice(&statement().to_bytes()).unwrap();
    for field in value.as_object().unwrap().keys() {
        let mut less = value.clone();
        less.as_object_mut().unwrap().remove(field);
        assert!(Statement::parse(&serde_json::to_vec(&less).unwrap()).is_err(), "{field}");
        for wrong in [serde_json::json!(null), serde_json::json!([1]), serde_json::json!({"action": null})] {
            let mut other = value.clone();
            other[field] = wrong;
            assert!(Statement::parse(&serde_json::to_vec(&other).unwrap()).is_err(), "{field}");
        }
    }
    // serde would take a struct from a list of its fields
    let fields: Vec<_> = value.as_object().unwrap().values().collect();
    assert!(Statement::parse(&serde_json::to_vec(&fields).unwrap()).is_err());
    let twice = [statement().to_bytes(), statement().to_bytes()].concat();
    assert_eq!(Statement::parse(&twice).unwrap_err().code, grant::Code::TrailingData);
}

#[test]
fn a_command_has_words_and_nothing_else() {
    let command = Statement {
        kind: Kind::Command,
        action: String::new(),
        params: std::collections::BTreeMap::new(),
        argv: vec!["systemctl".into(), "restart".into(), "unbound".into()],
        plan: String::new(),
        ..statement()
    };
    assert_eq!(Statement::parse(&command.to_bytes()), Ok(command.clone()));
    for wrong in [
        Statement { argv: Vec::new(), ..command.clone() },
        Statement { argv: vec![String::new()], ..command.clone() },
        Statement { argv: vec!["ls".into(), "a\u{1b}b".into()], ..command.clone() },
        Statement { action: "reboot_system".into(), ..command.clone() },
        Statement { plan: "b2".repeat(32), ..command.clone() },
        Statement { params: statement().params, ..command.clone() },
        Statement { argv: command.argv.clone(), ..statement() },
        Statement { kind: Kind::Procedure, ..command },
    ] {
        assert!(Statement::parse(&wrong.to_bytes()).is_err(), "{wrong:?}");
    }
}

#[test]
fn every_byte_of_the_statement_counts() {
    let bytes = statement().to_bytes();
    let key = Key::ed25519(1);
    let (target, armor) = (Target::trusting(key.line("alice", "")), key.sign(&bytes));
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[place] ^= 1 << bit;
            assert!(target.judge(&changed, &[&armor]).is_err(), "{place} {bit}");
        }
    }
}

#[test]
fn every_byte_of_a_signature_counts() {
    let bytes = statement().to_bytes();
    for key in keys() {
        let (target, armor) = (Target::trusting(key.line("alice", "")), key.sign(&bytes).into_bytes());
        assert!(target.judge(&bytes, &[&armor]).is_ok());
        for place in 0..armor.len() {
            for change in [1, 2, 0x20, 0x80, armor[place] ^ b'\n', armor[place] ^ b'A'] {
                let mut changed = armor.clone();
                changed[place] ^= change;
                assert!(
                    changed == armor || target.judge(&bytes, &[&changed]).is_err(),
                    "{} {place}",
                    key.name
                );
            }
        }
    }
}

#[test]
fn a_cut_signature_is_refused_at_every_length() {
    let bytes = statement().to_bytes();
    for key in keys() {
        let armor = key.sign(&bytes);
        // the last newline may be missing
        for length in 0..armor.len() - 1 {
            assert!(SshSig::parse(&armor.as_bytes()[..length]).is_err(), "{} {length}", key.name);
        }
        assert!(SshSig::parse(armor.trim_end().as_bytes()).is_ok());
        let blob = key.blob();
        for length in 0..blob.len() {
            assert!(PublicKey::from_blob(&blob[..length]).is_err(), "{} {length}", key.name);
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        let _ = Statement::parse(&bytes);
        let _ = SshSig::parse(&bytes);
        let _ = SshSig::from_blob(&bytes);
        let _ = PublicKey::from_blob(&bytes);
        let _ = Envelope::new(&bytes, &[&bytes]);
        let _ = Approvers::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn spoiled_structures_never_panic(
        place in any::<prop::sample::Index>(),
        insert in proptest::collection::vec(any::<u8>(), 0..8),
        remove in 0usize..8,
        which in 0usize..4,
    ) {
        let key = &keys()[which];
        let spoil = |bytes: &[u8]| {
            let place = place.index(bytes.len());
            let end = (place + remove).min(bytes.len());
            [&bytes[..place], &insert, &bytes[end..]].concat()
        };
        let armor = key.sign(b"message");
        let _ = SshSig::parse(&spoil(armor.as_bytes()));
        let _ = SshSig::from_blob(&spoil(&[&b"SSHSIG\0\0\0\x01\0\0\0\x33"[..], &key.blob()].concat()));
        let _ = PublicKey::from_blob(&spoil(&key.blob()));
        let _ = Statement::parse(&spoil(&statement().to_bytes()));
        let _ = Approvers::parse(&String::from_utf8_lossy(&spoil(key.line("alice", "").as_bytes())));
    }

    #[test]
    fn text_that_looks_like_an_approvers_file_never_panics(
        text in r#"([a-z*,!"=# \t\n-]|ssh-ed25519|AAAA|valid-before=|namespaces="|Z){0,60}"#,
    ) {
        let _ = Approvers::parse(&text);
    }

    #[test]
    fn what_is_written_is_read_back(rationale in "[^\\p{C}\\p{Default_Ignorable_Code_Point}\u{2028}\u{2029}]{0,300}", value in "[!-~ ]{0,60}") {
        let mut wanted = Statement { rationale, ..statement() };
        wanted.params.insert("container".into(), value);
        prop_assert_eq!(Statement::parse(&wanted.to_bytes()), Ok(wanted));
    }
}
