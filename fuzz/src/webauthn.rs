//! Signatures by passkey: an authenticator signs whatever a browser gives it, and what is taken is an approval.

use std::fmt;
use std::sync::OnceLock;

use base64ct::{Base64UrlUnpadded, Encoding};
use grant::{Approvers, Code, Envelope, Fido, NAMESPACE, Passkeys, PublicKey, SshSig, sshsig, webauthn};
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::Value;

/// What is approved.
const MESSAGE: &[u8] = b"a message\n";
const RP_ID: &str = "infra.example.org";
const ORIGIN: &str = "https://infra.example.org";
const NOW: i64 = 1_795_493_100;

/// Takes the bytes as flags, the length of the extension outputs, these, and client data, all of which a passkey signs; and as the
/// authenticator's data.
pub fn check(data: &[u8]) {
    let [flags, length, rest @ ..] = data else { return };
    let (extensions, client_data) = rest.split_at(usize::from(*length).min(rest.len()));
    let mut signed = digest(&SHA256, RP_ID.as_bytes()).as_ref().to_vec();
    signed.push(*flags);
    signed.extend([0, 0, 0, 9]);
    signed.extend(extensions);
    honest(&signed, client_data);
    // nothing that an authenticator says is read past its end
    assert!(webauthn::armor(&key().1, data, client_data, extensions).is_err());
}

/// The passkey signs, whatever it is.
fn honest(authenticator_data: &[u8], client_data: &[u8]) {
    let (pair, public) = key();
    let signed = [authenticator_data, digest(&SHA256, client_data).as_ref()].concat();
    let Ok(armor) = webauthn::armor(public, authenticator_data, client_data, pair.sign(&signed).as_ref())
    else {
        return;
    };
    let read = SshSig::parse(armor.as_bytes()).unwrap_or_else(|e| panic!("{e}: {armor}"));
    assert_eq!(read.counter(), Some(9));
    let envelope = Envelope::new(MESSAGE, &[&armor]).unwrap_or_else(|e| panic!("{e}"));
    match grant::verify_signatures(&envelope, approvers(), fido(), NOW) {
        Ok(approvals) => {
            assert_eq!(approvals.len(), 1);
            assert_eq!(approvals[0].user_verified, authenticator_data[32] & 4 != 0);
            approval(authenticator_data, client_data);
        }
        // the passkey did sign
        Err(refusal) => assert_ne!(refusal.code, Code::Signature, "{refusal}"),
    }
    let other = Envelope::new(b"another message\n", &[&armor]).unwrap_or_else(|e| panic!("{e}"));
    assert!(grant::verify_signatures(&other, approvers(), fido(), NOW).is_err());
}

/// What was taken, read by other means.
fn approval(authenticator_data: &[u8], client_data: &[u8]) {
    let flags = authenticator_data[32];
    assert_eq!(flags & 0b0110_0011, 1, "presence, nothing reserved, no new key: {flags:#x}");
    assert_eq!(flags & 0x80 != 0, authenticator_data.len() > 37, "extension outputs");
    assert!(flags & 0x10 == 0 || flags & 0x08 != 0, "copied and not to be copied");
    let text = std::str::from_utf8(client_data).unwrap_or_else(|e| panic!("{e}"));
    let challenge = challenge();
    let begin = format!(r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"{ORIGIN}""#);
    assert!(text.starts_with(&begin), "OpenSSH would refuse it: {text}");
    let Fields(fields) = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let all = |name: &str| fields.iter().filter(|(n, _)| n == name).map(|(_, v)| v).collect::<Vec<_>>();
    assert_eq!(all("type"), ["webauthn.get"]);
    assert_eq!(all("challenge"), [&*challenge]);
    assert_eq!(all("origin"), [ORIGIN]);
    assert!(matches!(&all("crossOrigin")[..], [] | [Value::Bool(false)]), "{text}");
    assert!(all("topOrigin").is_empty(), "{text}");
    assert!(fields.iter().all(|(name, _)| all(name).len() == 1), "{text}");
}

/// Every field, also one that stands twice.
struct Fields(Vec<(String, Value)>);

impl<'de> serde::Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// A passkey whose seed is a constant: no secret.
fn key() -> &'static (Ed25519KeyPair, PublicKey) {
    static KEY: OnceLock<(Ed25519KeyPair, PublicKey)> = OnceLock::new();
    KEY.get_or_init(|| {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[2; 32]).unwrap_or_else(|e| panic!("{e}"));
        let public = PublicKey::passkey(pair.public_key().as_ref(), RP_ID).unwrap_or_else(|e| panic!("{e}"));
        (pair, public)
    })
}

fn approvers() -> &'static Approvers {
    static APPROVERS: OnceLock<Approvers> = OnceLock::new();
    APPROVERS.get_or_init(|| {
        Approvers::parse(&format!("alice {}", key().1.to_text())).unwrap_or_else(|e| panic!("{e}"))
    })
}

fn fido() -> &'static Fido {
    static FIDO: OnceLock<Fido> = OnceLock::new();
    FIDO.get_or_init(|| {
        let passkeys = Passkeys::new(RP_ID, &[ORIGIN.to_owned()]).unwrap_or_else(|e| panic!("{e}"));
        Fido { passkeys: Some(passkeys), ..Fido::default() }
    })
}

fn challenge() -> String {
    Base64UrlUnpadded::encode_string(&sshsig::signed_data(NAMESPACE, sshsig::Hash::Sha512, MESSAGE))
}

/// Inputs to start from: what browsers write, and near misses.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let begin = format!(r#"{{"type":"webauthn.get","challenge":"{}","origin":"{ORIGIN}""#, challenge());
    let with = |flags: u8, extensions: &[u8], rest: &str| {
        let length = u8::try_from(extensions.len()).unwrap_or(u8::MAX);
        [&[flags, length], extensions, begin.as_bytes(), rest.as_bytes()].concat()
    };
    vec![
        with(5, b"", r#","crossOrigin":false}"#),
        with(1, b"", "}"),
        with(0x1d, b"", r#","crossOrigin":false,"x":"do not compare","y":[{"a":1},null]}"#),
        with(0x85, b"\xa1\x61a\xf5", r#","crossOrigin":false}"#),
        with(5, b"", r#","crossOrigin":true,"topOrigin":"https://evil.example"}"#),
        with(5, b"", r#","origin":"https://evil.example"}"#),
        with(4, b"", r#","type":"webauthn.create"}"#),
    ]
}

/// Pieces that a mutation would hardly find.
pub(crate) const WORDS: &str = r#""type": "challenge": "origin": "crossOrigin": "topOrigin": true} false} null} ,"x":1 \u006f "webauthn.get" "webauthn.create""#;
