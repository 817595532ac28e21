//! Signatures by passkey and the real `ssh-keygen`: what is taken here it takes too, and any changed byte is refused by both.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::passkey::{Assertion, ORIGIN, RP_ID, assertion, both, challenge, client_data, trusting};
use common::{Key, OpenSsh, UP, UV, statement};
use grant::SshSig;
use grant::sshsig::{Hash, armor};
use proptest::prelude::*;

/// A name, and how an assertion is changed before it is signed.
type Spoil = (&'static str, fn(&mut Assertion));

/// Everything that an authenticator or a browser could be made to sign: who takes it, we and OpenSSH.
const SPOILED: &[(bool, bool, Spoil)] = &[
    (true, true, ("nothing", |_| ())),
    (true, true, ("no counter", |a| a.counter = 0)),
    (true, true, ("a counter", |a| a.counter = u32::MAX)),
    (true, true, ("presence alone", |a| a.flags = UP)),
    (true, true, ("synchronised", |a| a.flags = UP | UV | 0x18)),
    (true, true, ("extension outputs", |a| (a.flags, a.extensions) = (UP | UV | 0x80, b"\xa0".to_vec()))),
    (true, true, ("without crossOrigin", |a| replace(a, r#","crossOrigin":false"#, ""))),
    (true, true, ("another field", |a| replace(a, "false}", r#"false,"x":{"y":[1]}}"#))),
    // OpenSSH leaves these to its caller, or does not look
    (false, true, ("no presence", |a| a.flags = UV)),
    (false, true, ("a reserved flag", |a| a.flags |= 0x02)),
    (false, true, ("another reserved flag", |a| a.flags |= 0x20)),
    (false, true, ("copied and not to be copied", |a| a.flags |= 0x10)),
    (false, true, ("in a frame", |a| replace(a, "false}", "true}"))),
    (
        false,
        true,
        ("in a named frame", |a| replace(a, "false}", r#"false,"topOrigin":"https://evil.example"}"#)),
    ),
    (false, true, ("a second type", |a| replace(a, "false}", r#"false,"type":"webauthn.create"}"#))),
    (false, true, ("a second origin", |a| replace(a, "false}", r#"false,"origin":"https://evil.example"}"#))),
    (false, true, ("no end", |a| replace(a, "false}", "false"))),
    (false, true, ("two objects", |a| replace(a, "false}", "false}{}"))),
    (false, true, ("another site", |a| elsewhere(a, "https://evil.example"))),
    (false, true, ("another port", |a| elsewhere(a, "https://infra.example.org:1"))),
    // both refuse
    (false, false, ("another rpId", |a| a.rp_id = "evil.example".into())),
    (false, false, ("another type", |a| replace(a, "webauthn.get", "webauthn.create"))),
    (false, false, ("another challenge", |a| replace(a, r#""challenge":""#, r#""challenge":"A"#))),
    (false, false, ("a padded challenge", |a| replace(a, r#"","origin"#, r#"==","origin"#))),
    (false, false, ("another origin beside", |a| a.origin = "https://evil.example".into())),
    (false, false, ("a quote in the origin", |a| elsewhere(a, r#"https://infra.example.org","x":""#))),
    (false, false, ("a new key", |a| a.flags |= 0x40)),
    (false, false, ("a flag without extensions", |a| a.flags |= 0x80)),
    (false, false, ("extensions without a flag", |a| a.extensions = b"\xa0".to_vec())),
    (false, false, ("another order", |a| replace(a, r#""type":"webauthn.get","#, ""))),
    (false, false, ("a blank", |a| replace(a, r#"{"type""#, r#"{ "type""#))),
    (false, false, ("an escape", |a| replace(a, "webauthn.get", r"webauthn\u002eget"))),
];

fn replace(assertion: &mut Assertion, from: &str, to: &str) {
    let text = std::str::from_utf8(&assertion.client_data).unwrap();
    assert_eq!(text.matches(from).count(), 1, "{from}");
    assertion.client_data = text.replace(from, to).into_bytes();
}

fn elsewhere(assertion: &mut Assertion, origin: &str) {
    replace(assertion, ORIGIN, origin);
    assertion.origin = origin.into();
}

#[test]
fn what_is_taken_here_is_taken_by_ssh_keygen() {
    let ssh = OpenSsh::new();
    let bytes = statement().to_bytes();
    let key = Key::sk_p256(RP_ID, UP);
    let line = key.line("alice", r#"namespaces="pra-grant@mcp-linux-infra" "#);
    for (ours, openssh, (name, spoil)) in SPOILED {
        let mut made = assertion(&key, &bytes);
        spoil(&mut made);
        let armor = made.armor(&key);
        assert_eq!(trusting(&*line).judge(&bytes, &[&armor]).is_ok(), *ours, "{name}: here");
        assert_eq!(ssh.verifies(&line, "alice", &bytes, armor.as_bytes()), *openssh, "{name}: ssh-keygen");
        assert!(!ssh.verifies(&line, "alice", &bytes[1..], armor.as_bytes()), "{name}: other bytes");
    }
}

/// An Ed25519 passkey has the same rules; OpenSSH does not know the signature's name.
#[test]
fn an_ed25519_passkey_is_judged_by_the_same_rules() {
    let ssh = OpenSsh::new();
    let bytes = statement().to_bytes();
    let key = Key::sk_ed25519(5, RP_ID, UP);
    let line = key.line("alice", "");
    for (ours, _, (name, spoil)) in SPOILED {
        let mut made = assertion(&key, &bytes);
        spoil(&mut made);
        let armor = made.armor(&key);
        assert_eq!(trusting(&*line).judge(&bytes, &[&armor]).is_ok(), *ours, "{name}");
        assert!(!ssh.verifies(&line, "alice", &bytes, armor.as_bytes()), "{name}");
    }
}

/// The armor again, with one byte of the signature blob changed.
fn changed(blob: &[u8], key: &Key, place: prop::sample::Index, bits: u8) -> String {
    let mut blob = blob.to_vec();
    let place = place.index(blob.len());
    blob[place] ^= bits;
    armor(&key.blob(), grant::NAMESPACE, Hash::Sha512, &blob)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_byte_is_refused_here_and_by_ssh_keygen(place: prop::sample::Index, bits in 1_u8..) {
        let ssh = OpenSsh::new();
        let bytes = statement().to_bytes();
        let key = Key::sk_p256(RP_ID, UP);
        let made = changed(&assertion(&key, &bytes).blob(&key), &key, place, bits);
        prop_assert!(trusting(key.line("alice", "")).judge(&bytes, &[&made]).is_err());
        prop_assert!(!ssh.verifies(&key.line("alice", ""), "alice", &bytes, made.as_bytes()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_byte_is_refused(which in 0..2_usize, place: prop::sample::Index, bits in 1_u8..) {
        let bytes = statement().to_bytes();
        let key = &both()[which];
        let made = changed(&assertion(key, &bytes).blob(key), key, place, bits);
        prop_assert!(trusting(key.line("alice", "")).judge(&bytes, &[made]).is_err());
    }

    /// Whatever the browser lets the authenticator sign: what is taken says what an approval says.
    #[test]
    fn client_data_of_any_text_say_what_an_approval_says(
        front in r#"|\{|\{"type":"webauthn.get","challenge":"(C|A)","origin":"(O|https://x)""#,
        rest in r#"([,:{}\[\]" a]|"type":|"origin":|"crossOrigin":|"topOrigin":|"x":|true|false|null|1|"webauthn.get"|\\u006f){0,12}"#,
        end in r"\}?",
    ) {
        let bytes = statement().to_bytes();
        let key = Key::sk_ed25519(5, RP_ID, UP);
        let mut made = assertion(&key, &bytes);
        let text = format!("{front}{rest}{end}")
            .replace(r#"challenge":"C"#, &format!(r#"challenge":"{}"#, challenge(&bytes)))
            .replace(r#"origin":"O"#, &format!(r#"origin":"{ORIGIN}"#));
        made.client_data = text.clone().into_bytes();
        if trusting(key.line("alice", "")).judge(&bytes, &[made.armor(&key)]).is_ok() {
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&value["type"], "webauthn.get");
            prop_assert_eq!(&value["challenge"], &challenge(&bytes));
            prop_assert_eq!(&value["origin"], ORIGIN);
            prop_assert!(value.get("crossOrigin").is_none_or(|v| v == false), "{}", text);
            prop_assert!(value.get("topOrigin").is_none(), "{}", text);
            prop_assert!(text.starts_with(&client_data(&challenge(&bytes))[..60]));
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(insert: Vec<u8>, place: prop::sample::Index, remove in 0..8_usize) {
        let bytes = statement().to_bytes();
        for key in both() {
            let blob = assertion(&key, &bytes).blob(&key);
            let place = place.index(blob.len());
            let end = (place + remove).min(blob.len());
            let spoiled = [&blob[..place], &insert, &blob[end..]].concat();
            let _ = SshSig::parse(armor(&key.blob(), grant::NAMESPACE, Hash::Sha512, &spoiled).as_bytes())
                .map(|read| read.verify(&bytes));
        }
    }
}
