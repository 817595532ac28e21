//! The rows `grant_signature` of `tests/corpus/protocol.jsonl`: one test per row, named after its id.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use base64ct::{Base64, Encoding};
use common::{
    Key, NOW, OpenSsh, Target, UP, UV, alice, bob, put, signed_code, statement, strings, trusts_alice,
    trusts_both,
};
use grant::sshsig::{Hash, armor, signed_data};
use grant::{Approvers, Code, NAMESPACE, Statement};

#[test]
fn grant_signature_01() {
    let bytes = statement().to_bytes();
    assert_eq!(trusts_alice().code(&bytes, &[bob().sign(&bytes)]), Code::UnknownSigner);
    assert_eq!(Target::trusting("").code(&bytes, &[alice().sign(&bytes)]), Code::UnknownSigner);
    assert_eq!(trusts_alice().code(&bytes, &[] as &[&str]), Code::TooFewApprovers);
    // alice's key with bob's signature
    let data = signed_data(NAMESPACE, Hash::Sha512, &bytes);
    let forged = armor(&alice().blob(), NAMESPACE, Hash::Sha512, &bob().signature("ssh-ed25519", &data));
    assert_eq!(trusts_alice().code(&bytes, &[forged]), Code::Signature);
}

#[test]
fn grant_signature_02() {
    let bytes = statement().to_bytes();
    let armors = [alice().sign(&bytes)];
    assert!(trusts_both().asking(1, false).judge(&bytes, &armors).is_ok());
    let removed = Target::trusting(bob().line("bob", ""));
    assert_eq!(removed.code(&bytes, &armors), Code::UnknownSigner);
    let disabled = Target::trusting(format!("# {}{}", alice().line("alice", ""), bob().line("bob", "")));
    assert_eq!(disabled.code(&bytes, &armors), Code::UnknownSigner);
}

#[test]
fn grant_signature_03() {
    let bytes = statement().to_bytes();
    let armors = [alice().sign(&bytes)];
    let with = |options: &str| Target::trusting(alice().line("alice", options));
    // NOW is 2026-11-24 04:05:00 UTC
    assert_eq!(with(r#"valid-before="20261124040459Z" "#).code(&bytes, &armors), Code::ExpiredKey);
    assert_eq!(with(r#"valid-after="20261124040501Z" "#).code(&bytes, &armors), Code::ExpiredKey);
    assert!(with(r#"valid-after="202611240405Z",valid-before="20261125Z" "#).judge(&bytes, &armors).is_ok());
    // a clock set back revives no key
    let back = with(r#"valid-before="20261124040510Z" "#).at(NOW, NOW + 20);
    assert_eq!(back.code(&bytes, &armors), Code::ExpiredKey);
}

#[test]
fn grant_signature_04() {
    // a target trusts the approvers of its own tenant: those of another do not stand in its file
    let bytes = statement().to_bytes();
    let target = Target::trusting(bob().line("bob@tenant-b", ""));
    assert_eq!(target.code(&bytes, &[alice().sign(&bytes)]), Code::UnknownSigner);
}

#[test]
fn grant_signature_05() {
    let bytes = statement().to_bytes();
    for namespace in ["file", "git", "", "pra-grant@mcp-linux-infra2", "PRA-GRANT@mcp-linux-infra"] {
        let armor = alice().sign_for(namespace, &bytes);
        assert_eq!(trusts_alice().code(&bytes, &[armor]), Code::Namespace, "{namespace}");
    }
    // the namespace is signed: naming the right one beside a signature for another does not help
    let data = signed_data("file", Hash::Sha512, &bytes);
    let relabelled =
        armor(&alice().blob(), NAMESPACE, Hash::Sha512, &alice().signature("ssh-ed25519", &data));
    assert_eq!(trusts_alice().code(&bytes, &[relabelled]), Code::Signature);
    // a key that the file keeps for another purpose
    let other = Target::trusting(alice().line("alice", r#"namespaces="git" "#));
    assert_eq!(other.code(&bytes, &[alice().sign(&bytes)]), Code::Namespace);
}

#[test]
fn grant_signature_06() {
    let bytes = statement().to_bytes();
    let login = strings(&[b"session id", b"alice", b"ssh-connection", b"publickey"]);
    let blob = alice().signature("ssh-ed25519", &login);
    let bare = wrap(&blob);
    let refusal = trusts_alice().refuses(&bytes, &[bare]);
    assert_eq!(refusal.code, Code::Malformed);
    assert!(refusal.message.contains("magic"), "{}", refusal.message);
    // the same in the place where a signature belongs
    let dressed = armor(&alice().blob(), NAMESPACE, Hash::Sha512, &blob);
    assert_eq!(trusts_alice().code(&bytes, &[dressed]), Code::Signature);
}

#[test]
fn grant_signature_07() {
    let bytes = statement().to_bytes();
    let sha1 = with_hash("sha1", &bytes);
    assert_eq!(trusts_alice().code(&bytes, &[sha1]), Code::Algorithm);
    assert!(trusts_alice().judge(&bytes, &[with_hash("sha512", &bytes)]).is_ok());

    let data = signed_data(NAMESPACE, Hash::Sha512, &bytes);
    for name in ["ssh-rsa", "rsa-sha2-512", "ssh-dss", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp256"] {
        let armor = armor(&alice().blob(), NAMESPACE, Hash::Sha512, &alice().signature(name, &data));
        assert_eq!(trusts_alice().code(&bytes, &[armor]), Code::Algorithm, "{name}");
    }
    let ssh = OpenSsh::new();
    let line = ssh.key("rsa", "rsa", "alice");
    let rsa = ssh.sign("rsa", NAMESPACE, &bytes, &[]);
    assert_eq!(trusts_alice().code(&bytes, &[rsa]), Code::Algorithm);
    assert!(Approvers::parse(&line).unwrap_err().cause.contains("ssh-rsa"));
}

#[test]
fn grant_signature_08() {
    let bytes = statement().to_bytes();
    for version in [0_u32, 2, 3, u32::MAX] {
        let mut blob = open(&alice().sign(&bytes));
        blob[6..10].copy_from_slice(&version.to_be_bytes());
        let refusal = trusts_alice().refuses(&bytes, &[wrap(&blob)]);
        assert_eq!(refusal.code, Code::Malformed);
        assert!(refusal.message.contains(&format!("version {version}")), "{}", refusal.message);
    }
}

#[test]
fn grant_signature_09() {
    let bytes = statement().to_bytes();
    let armor = alice().sign(&bytes);
    for after in [&armor, "\n", "x", " ", "\0", "\r\n"] {
        let glued = format!("{armor}{after}");
        assert_eq!(trusts_alice().code(&bytes, &[glued]), Code::TrailingData, "{after:?}");
    }
    // bytes after the fields, inside the armor
    let blob = [open(&armor), vec![0]].concat();
    assert_eq!(trusts_alice().code(&bytes, &[wrap(&blob)]), Code::TrailingData);
}

#[test]
fn grant_signature_10() {
    let ssh = OpenSsh::new();
    ssh.key("ca", "ed25519", "ca");
    let line = ssh.key("mallory", "ed25519", "mallory");
    ssh.must(&["-q", "-s", "ca", "-I", "an identity", "-n", "alice", "mallory.pub"]);
    let bytes = statement().to_bytes();
    let certified = ssh.sign("mallory-cert.pub", NAMESPACE, &bytes, &[]);
    // not even when the certified key itself is an approver's
    for approvers in [line, alice().line("alice", "")] {
        let refusal = Target::trusting(approvers).refuses(&bytes, &[&certified]);
        assert_eq!(refusal.code, Code::Algorithm);
        assert!(refusal.message.contains("certificates do not approve"), "{}", refusal.message);
    }
}

#[test]
fn grant_signature_11() {
    let bytes = statement().to_bytes();
    for flags in [0x00, UV, 0x40, 0x80 | UV] {
        for key in [Key::sk_ed25519(3, "ssh:", flags), Key::sk_p256("ssh:", flags)] {
            let target = Target::trusting(key.line("alice", ""));
            assert_eq!(
                target.code(&bytes, &[key.sign(&bytes)]),
                Code::UserPresence,
                "{} {flags:#x}",
                key.name
            );
        }
    }
    for key in [Key::sk_ed25519(3, "ssh:", UP), Key::sk_p256("ssh:", UP)] {
        let verified = Target::trusting(key.line("alice", "")).judge(&bytes, &[key.sign(&bytes)]).unwrap();
        assert!(!verified.approvals[0].user_verified);
    }
}

#[test]
fn grant_signature_12() {
    let bytes = statement().to_bytes();
    for key in [Key::sk_ed25519(3, "ssh:", UP), Key::sk_p256("ssh:", UP), alice()] {
        let target = Target::trusting(key.line("alice", "")).asking(1, true);
        assert_eq!(target.code(&bytes, &[key.sign(&bytes)]), Code::UserVerification, "{}", key.name);
    }
    for key in [Key::sk_ed25519(3, "ssh:", UP | UV), Key::sk_p256("ssh:", UP | UV)] {
        let target = Target::trusting(key.line("alice", "")).asking(1, true);
        assert!(target.judge(&bytes, &[key.sign(&bytes)]).unwrap().approvals[0].user_verified);
    }
    // one that verified does not speak for another that did not
    let (verified, plain) = (Key::sk_ed25519(3, "ssh:", UP | UV), Key::sk_ed25519(4, "ssh:", UP));
    let target = Target::trusting(verified.line("alice", "") + &plain.line("bob", "")).asking(2, true);
    assert_eq!(target.code(&bytes, &[verified.sign(&bytes), plain.sign(&bytes)]), Code::UserVerification);
    // flags are signed: setting one afterwards breaks the signature
    let mut blob = open(&plain.sign(&bytes));
    let flags = blob.len() - 5;
    blob[flags] |= UV;
    assert_eq!(target.code(&bytes, &[wrap(&blob)]), Code::Signature);
}

#[test]
fn grant_signature_13() {
    let bytes = statement().to_bytes();
    for application in ["ssh:other", "ssh", "SSH:", "", "ssh:\0", "https://example.org"] {
        for key in [Key::sk_ed25519(3, application, UP | UV), Key::sk_p256(application, UP | UV)] {
            let listed = Target::trusting(key.line("alice", ""));
            assert_eq!(listed.code(&bytes, &[key.sign(&bytes)]), Code::Application, "{application}");
        }
    }
    // the application that was signed is not the one that the key names
    let mut key = Key::sk_ed25519(3, "ssh:", UP);
    let (line, blob) = (key.line("alice", ""), key.blob());
    key.application = Some("ssh:other".into());
    let data = signed_data(NAMESPACE, Hash::Sha512, &bytes);
    let mixed = armor(&blob, NAMESPACE, Hash::Sha512, &key.signature(key.name, &data));
    assert_eq!(Target::trusting(line).code(&bytes, &[mixed]), Code::Signature);
    // another application that the target asks for
    let key = Key::sk_ed25519(3, "ssh:pra", UP);
    let mut target = Target::trusting(key.line("alice", ""));
    target.rules.fido.application = "ssh:pra".into();
    assert!(target.judge(&bytes, &[key.sign(&bytes)]).is_ok());
}

#[test]
fn grant_signature_14() {
    /// The order of the group, little end first.
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let bytes = statement().to_bytes();
    let mut raw = alice().raw(&signed_data(NAMESPACE, Hash::Sha512, &bytes));
    let with =
        |raw: &[u8; 64]| armor(&alice().blob(), NAMESPACE, Hash::Sha512, &alice().pack("ssh-ed25519", raw));
    assert!(trusts_alice().judge(&bytes, &[with(&raw)]).is_ok());
    let mut carry = 0;
    for (digit, add) in raw[32..].iter_mut().zip(L) {
        let sum = u16::from(*digit) + u16::from(add) + carry;
        *digit = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    assert_eq!(trusts_alice().code(&bytes, &[with(&raw)]), Code::Signature);
    // R of small order
    raw[..32].fill(0);
    assert_eq!(trusts_alice().code(&bytes, &[with(&raw)]), Code::Signature);
}

#[test]
fn grant_signature_15() {
    let mut points = vec![[0; 32], [0xff; 32]];
    points[0][0] = 1;
    points.push([0; 32]);
    for point in points {
        for (name, application) in [("ssh-ed25519", None), ("sk-ssh-ed25519@openssh.com", Some("ssh:"))] {
            let mut blob = strings(&[name.as_bytes(), &point]);
            if let Some(application) = application {
                put(&mut blob, application.as_bytes());
            }
            let bad = format!("mallory {name} {}\n", Base64::encode_string(&blob));
            let error = Approvers::parse(&(alice().line("alice", "") + &bad)).unwrap_err();
            assert_eq!(error.line, 2);
            assert!(error.cause.contains("a point"), "{error}");
        }
    }
}

#[test]
fn grant_signature_16() {
    for proposer in ["alice", "Alice", "ALICE"] {
        let bytes = Statement { proposed_by: proposer.into(), ..statement() }.to_bytes();
        assert_eq!(signed_code(&bytes), Code::SelfApproval, "{proposer}");
        // a second person does not heal it
        let armors = [alice().sign(&bytes), bob().sign(&bytes)];
        assert_eq!(trusts_both().code(&bytes, &armors), Code::SelfApproval);
        assert!(trusts_both().asking(1, false).judge(&bytes, &armors[1..]).is_ok());
    }
}

/// The bytes inside an armor.
fn open(armor: &str) -> Vec<u8> {
    let lines: Vec<&str> = armor.lines().filter(|line| !line.starts_with("-----")).collect();
    Base64::decode_vec(&lines.concat()).unwrap()
}

/// An armor around any bytes.
fn wrap(blob: &[u8]) -> String {
    let encoded = Base64::encode_string(blob);
    let lines: Vec<&str> =
        encoded.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
}

/// A right signature that says it was made with this hash.
fn with_hash(name: &str, message: &[u8]) -> String {
    let data = signed_data(NAMESPACE, Hash::Sha512, message);
    let mut blob = b"SSHSIG\0\0\0\x01".to_vec();
    let signature = alice().signature("ssh-ed25519", &data);
    blob.extend(strings(&[&alice().blob(), NAMESPACE.as_bytes(), b"", name.as_bytes(), &signature]));
    wrap(&blob)
}
