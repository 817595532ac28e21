//! The rows `grant_signature` of `tests/corpus/protocol.jsonl` that are about passkeys: one test per row, named after its id. Row 23 needs
//! the target's disk and stands in its tests too.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use base64ct::{Base64UrlUnpadded, Encoding};
use common::passkey::{Assertion, ORIGIN, RP_ID, assertion, both, challenge, client_data, trusting};
use common::{Key, OpenSsh, Target, UP, UV, statement};
use grant::sshsig::{Hash, armor, signed_data};
use grant::{Approval, Code, NAMESPACE, Passkeys, PublicKey, Statement, check_counter, webauthn};

/// What a target says of an assertion that was spoiled before it was signed.
fn code(key: &Key, spoil: impl FnOnce(&mut Assertion)) -> Code {
    let bytes = statement().to_bytes();
    let mut assertion = assertion(key, &bytes);
    spoil(&mut assertion);
    trusting(key.line("alice", "")).code(&bytes, &[assertion.armor(key)])
}

/// What a target says of an assertion with this client data, which were signed.
fn client_code(key: &Key, client_data: &str) -> Code {
    code(key, |a| a.client_data = client_data.into())
}

#[test]
fn an_assertion_by_a_passkey_approves() {
    let bytes = statement().to_bytes();
    for key in both() {
        let target = trusting(key.line("alice", "")).asking(1, true);
        let verified = target.judge(&bytes, &[assertion(&key, &bytes).armor(&key)]).unwrap();
        let approval = &verified.approvals[0];
        assert_eq!((&*approval.person, approval.user_verified), ("alice", true));
        assert_eq!((approval.counter, approval.origin.as_deref()), (Some(7), Some(ORIGIN)));
    }
}

#[test]
fn what_browsers_add_does_not_matter() {
    let bytes = statement().to_bytes();
    let start = client_data(&challenge(&bytes));
    let start = start.strip_suffix(r#","crossOrigin":false}"#).unwrap();
    for key in both() {
        for rest in [
            "}",
            r#","crossOrigin":false}"#,
            r#" , "crossOrigin" : false }"#,
            r#","other_keys_can_be_added_here":"do not compare clientDataJSON against a template. See https://goo.gl/yabPex"}"#,
            r#","crossOrigin":false,"x":[{"type":"webauthn.create"},1.5,null]}"#,
        ] {
            let mut made = assertion(&key, &bytes);
            made.client_data = format!("{start}{rest}").into_bytes();
            assert!(trusting(key.line("alice", "")).judge(&bytes, &[made.armor(&key)]).is_ok(), "{rest}");
        }
        // a synchronised passkey, another listed site, extension outputs, no counter
        let mut made = assertion(&key, &bytes);
        made.flags |= 0x08 | 0x10 | 0x80;
        made.extensions = b"\xa1\x63foo\xf5".to_vec();
        made.counter = 0;
        made.origin = "https://ops.infra.example.org:8443".into();
        made.client_data =
            client_data(&challenge(&bytes)).replace(ORIGIN, "https://ops.infra.example.org:8443").into();
        assert!(trusting(key.line("alice", "")).judge(&bytes, &[made.armor(&key)]).is_ok());
    }
}

#[test]
fn grant_signature_17() {
    let bytes = statement().to_bytes();
    for (key, other) in
        both().into_iter().zip([Key::sk_p256("example.org", UP), Key::sk_ed25519(6, "example.org", UP)])
    {
        // the hash is made anew from the listed key's rpId: what was signed for another does not fit
        for rp_id in ["example.org", "evil.infra.example.org", "INFRA.example.org", "", "ssh:"] {
            assert_eq!(code(&key, |a| a.rp_id = rp_id.into()), Code::Signature, "{rp_id}");
        }
        // a passkey that was made for, and lists, another rpId
        let mut made = assertion(&other, &bytes);
        made.rp_id = "example.org".into();
        let target = trusting(other.line("alice", ""));
        assert_eq!(target.code(&bytes, &[made.armor(&other)]), Code::Application);
        // a target without passkeys
        let none = Target::trusting(key.line("alice", ""));
        assert_eq!(none.code(&bytes, &[assertion(&key, &bytes).armor(&key)]), Code::Application);
    }
}

#[test]
fn a_key_signs_in_one_way_only() {
    let bytes = statement().to_bytes();
    for key in both() {
        // a passkey that signs without a browser shows no site
        assert_eq!(trusting(key.line("alice", "")).code(&bytes, &[key.sign(&bytes)]), Code::Application);
    }
    for key in [Key::sk_p256("ssh:", UP), Key::sk_ed25519(5, "ssh:", UP)] {
        let mut made = assertion(&key, &bytes);
        made.rp_id = "ssh:".into();
        assert_eq!(trusting(key.line("alice", "")).code(&bytes, &[made.armor(&key)]), Code::Application);
        assert!(trusting(key.line("alice", "")).judge(&bytes, &[key.sign(&bytes)]).is_ok());
    }
    // keys that no passkey is, and the names of the other kind
    for (key, name) in [
        (Key::ed25519(5), webauthn::ED25519),
        (Key::p256(), webauthn::ECDSA),
        (Key::sk_ed25519(5, RP_ID, UP), webauthn::ECDSA),
        (Key::sk_p256(RP_ID, UP), webauthn::ED25519),
        (Key::sk_ed25519(5, RP_ID, UP), "webauthn-sk-ssh-ed25519@openssh.com"),
    ] {
        let mut made = assertion(&key, &bytes);
        made.algorithm = name.into();
        let target = trusting(key.line("alice", ""));
        assert_eq!(target.code(&bytes, &[made.armor(&key)]), Code::Algorithm, "{} {name}", key.name);
    }
}

#[test]
fn grant_signature_18() {
    let elsewhere = [
        "https://evil.example",
        "https://infra.example.org.evil.example",
        "https://infra.example.org:444",
        "https://infra.example.org/",
        "http://infra.example.org",
        "HTTPS://infra.example.org",
        "https://INFRA.example.org",
        "https://sub.infra.example.org",
        "android:apk-key-hash:AAAA",
        "null",
        "",
    ];
    for key in both() {
        let good = client_data(&challenge(&statement().to_bytes()));
        for origin in elsewhere {
            let data = good.replace(ORIGIN, origin);
            // named the same in both places, and in one of them
            assert_eq!(
                code(&key, |a| (a.origin, a.client_data) = (origin.into(), data.clone().into())),
                Code::Origin
            );
            assert_eq!(code(&key, |a| a.client_data = data.clone().into()), Code::Origin, "{origin}");
            assert_eq!(code(&key, |a| a.origin = origin.into()), Code::Origin, "{origin}");
        }
        // the origin that decides is not the one beside it, nor a second one
        let injected = r#"https://infra.example.org","x":"https://evil.example"#;
        assert_eq!(code(&key, |a| a.origin = injected.into()), Code::Origin);
        for data in [
            good.replace(r#""crossOrigin""#, r#""origin":"https://evil.example","crossOrigin""#),
            good.replace(r#""crossOrigin""#, r#""\u006frigin":"https://evil.example","crossOrigin""#),
            good.replace(r#""crossOrigin""#, &format!(r#""origin":"{ORIGIN}","crossOrigin""#)),
            good.replace(&format!(r#""origin":"{ORIGIN}","#), ""),
            good.replace(ORIGIN, r"https:\/\/infra.example.org"),
        ] {
            assert_eq!(client_code(&key, &data), Code::ClientData, "{data}");
        }
    }
}

#[test]
fn grant_signature_19() {
    let good = client_data(&challenge(&statement().to_bytes()));
    for key in both() {
        for kind in ["webauthn.create", "payment.get", "webauthn.GET", "webauthn.get ", ""] {
            let data = good.replace("webauthn.get", kind);
            assert_eq!(client_code(&key, &data), Code::ClientData, "{kind}");
        }
        for data in [
            good.replace(r#""type":"webauthn.get","#, ""),
            good.replace(r#""type":"webauthn.get""#, r#""type":null"#),
            good.replace(r#""type":"webauthn.get""#, r#""type":"webauthn.create","type":"webauthn.get""#),
            good.replace(r#""crossOrigin""#, r#""type":"webauthn.create","crossOrigin""#),
        ] {
            assert_eq!(client_code(&key, &data), Code::ClientData, "{data}");
        }
        // what a registration signs holds a new key
        assert_eq!(code(&key, |a| a.flags |= 0x40), Code::AuthenticatorData);
    }
}

#[test]
fn grant_signature_20() {
    let bytes = statement().to_bytes();
    let other = Statement { expires_at: statement().expires_at + 1, ..statement() }.to_bytes();
    for key in both() {
        let target = trusting(key.line("alice", ""));
        assert_eq!(target.code(&bytes, &[assertion(&key, &other).armor(&key)]), Code::Challenge);
        assert!(target.judge(&other, &[assertion(&key, &other).armor(&key)]).is_ok());
        let good = challenge(&bytes);
        let of = |data: &[u8]| Base64UrlUnpadded::encode_string(data);
        for wrong in [
            String::new(),
            good[..good.len() - 1].to_owned(),
            format!("{good}A"),
            format!("{good}=="),
            good.to_ascii_lowercase(),
            // the statement's digest alone, and what other purposes and hashes sign
            of(ring::digest::digest(&ring::digest::SHA256, &bytes).as_ref()),
            of(&signed_data("file", Hash::Sha512, &bytes)),
            of(&signed_data(NAMESPACE, Hash::Sha256, &bytes)),
        ] {
            let refused = client_code(&key, &client_data(&wrong));
            assert_eq!(refused, Code::Challenge, "{wrong}");
        }
        // the right one beside a wrong one
        let data = client_data(&challenge(&other))
            .replace(r#""crossOrigin""#, &format!(r#""challenge":"{good}","crossOrigin""#));
        assert_eq!(client_code(&key, &data), Code::ClientData);
        // an assertion under another namespace, relabelled
        let mut made = assertion(&key, &bytes);
        made.client_data = client_data(&of(&signed_data("file", Hash::Sha512, &bytes))).into();
        let file = armor(&key.blob(), "file", Hash::Sha512, &made.blob(&key));
        assert_eq!(target.code(&bytes, &[file]), Code::Namespace);
    }
}

#[test]
fn grant_signature_21() {
    let good = client_data(&challenge(&statement().to_bytes()));
    for key in both() {
        for framed in [
            r#""crossOrigin":true"#,
            r#""crossOrigin":true,"topOrigin":"https://evil.example""#,
            r#""crossOrigin":false,"topOrigin":"https://evil.example""#,
            r#""crossOrigin":false,"topOrigin":null"#,
            r#""crossOrigin":false,"crossOrigin":true"#,
            r#""crossOrigin":true,"crossOrigin":false"#,
            r#""cross\u004frigin":true"#,
            r#""crossOrigin":"false""#,
            r#""crossOrigin":null"#,
            r#""crossOrigin":0"#,
        ] {
            let data = good.replace(r#""crossOrigin":false"#, framed);
            assert_eq!(client_code(&key, &data), Code::ClientData, "{framed}");
        }
    }
}

#[test]
fn grant_signature_22() {
    let bytes = statement().to_bytes();
    for key in both() {
        let mut made = assertion(&key, &bytes);
        made.flags = UP;
        let armors = [made.armor(&key)];
        let target = trusting(key.line("alice", ""));
        assert!(!target.judge(&bytes, &armors).unwrap().approvals[0].user_verified);
        assert_eq!(target.asking(1, true).code(&bytes, &armors), Code::UserVerification);
        // presence is always asked for, even of a verified user
        for flags in [0, UV, UV | 0x08] {
            assert_eq!(code(&key, |a| a.flags = flags), Code::UserPresence, "{flags}");
        }
        // flags are signed: what is set afterwards breaks the signature
        let mut made = assertion(&key, &bytes);
        made.flags = UP;
        let raw = key.raw(&made.signed());
        made.flags = UP | UV;
        let forged = armor(&key.blob(), NAMESPACE, Hash::Sha512, &made.carry(&key, &raw));
        assert_eq!(trusting(key.line("alice", "")).code(&bytes, &[forged]), Code::Signature);
    }
}

#[test]
fn grant_signature_23() {
    let bytes = statement().to_bytes();
    for key in both() {
        let mut made = assertion(&key, &bytes);
        made.counter = 41;
        let verified = trusting(key.line("alice", "")).judge(&bytes, &[made.armor(&key)]).unwrap();
        let approval = &verified.approvals[0];
        assert_eq!(approval.counter, Some(41));
        assert_eq!(check_counter(approval, 40), Ok(()));
        for highest in [41, 42, u32::MAX] {
            let refusal = check_counter(approval, highest).unwrap_err();
            assert_eq!(refusal.code, Code::Counter, "{highest}");
        }
        // a key without a counter always says 0, and one that had a counter keeps it
        let none = Approval { counter: Some(0), ..approval.clone() };
        assert_eq!(check_counter(&none, 0), Ok(()));
        assert_eq!(check_counter(&none, 1).unwrap_err().code, Code::Counter);
        // the counter is signed
        let raw = key.raw(&made.signed());
        made.counter = 99;
        let forged = armor(&key.blob(), NAMESPACE, Hash::Sha512, &made.carry(&key, &raw));
        assert_eq!(trusting(key.line("alice", "")).code(&bytes, &[forged]), Code::Signature);
    }
}

#[test]
fn flags_fit_what_follows_them() {
    for key in both() {
        for (flags, extensions) in [
            (UP | 0x02, &b""[..]),
            (UP | 0x20, b""),
            (UP | 0x40, b""),
            (UP | 0x10, b""),
            (UP | 0x80, b""),
            (UP, b"\xa0"),
            (UP | 0xc0, b"\xa0"),
        ] {
            let refused = code(&key, |a| (a.flags, a.extensions) = (flags, extensions.to_vec()));
            assert_eq!(refused, Code::AuthenticatorData, "{flags:#x}");
        }
        let too_large = code(&key, |a| (a.flags, a.extensions) = (UP | 0x80, vec![0xa0; 513]));
        assert_eq!(too_large, Code::TooLarge);
        let long = format!("{} ", client_data(&challenge(&statement().to_bytes())));
        let long = long.replace(' ', &" ".repeat(2048));
        assert_eq!(client_code(&key, &long), Code::TooLarge);
        // the limits themselves are taken
        let bytes = statement().to_bytes();
        let mut most = assertion(&key, &bytes);
        most.client_data.resize(2048, b' ');
        (most.flags, most.extensions) = (UP | 0x80, vec![0xa0; 512]);
        assert!(trusting(key.line("alice", "")).judge(&bytes, &[most.armor(&key)]).is_ok());
    }
}

#[test]
fn client_data_are_one_json_object_in_utf8() {
    let good = client_data(&challenge(&statement().to_bytes()));
    for key in both() {
        for data in [
            String::new(),
            "{}".into(),
            "null".into(),
            format!("[{good}]"),
            format!("{good}{good}"),
            format!("{good}x"),
            format!(" {good}"),
            format!("\u{feff}{good}"),
            good[..good.len() - 1].to_owned(),
            good.replace(r#""crossOrigin""#, r#""x":1,"x":2,"crossOrigin""#),
            good.replace(r#"{"type""#, r#"{ "type""#),
            good.replace(
                r#""type":"webauthn.get","challenge""#,
                r#""x":1,"type":"webauthn.get","challenge""#,
            ),
            good.replace("webauthn.get", r"webauthn\u002eget"),
            good.replace(r#""crossOrigin""#, &format!(r#""x":{},"crossOrigin""#, "[".repeat(500))),
        ] {
            assert_eq!(client_code(&key, &data), Code::ClientData, "{data}");
        }
        let latin1 = good.replace(r#""crossOrigin""#, r#""x":"E","crossOrigin""#).into_bytes();
        let latin1: Vec<u8> = latin1.into_iter().map(|b| if b == b'E' { 0xe9 } else { b }).collect();
        assert_eq!(code(&key, |a| a.client_data = latin1), Code::ClientData);
    }
}

#[test]
fn a_high_s_is_as_good_as_a_low_one() {
    /// The order of the curve's group.
    const N: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let bytes = statement().to_bytes();
    let key = Key::sk_p256(RP_ID, UP);
    let made = assertion(&key, &bytes);
    let raw = key.raw(&made.signed());
    let mut other = raw;
    let mut borrow = 0;
    for place in (0..32).rev() {
        let rest = i16::from(N[place]) - i16::from(raw[32 + place]) - borrow;
        borrow = i16::from(rest < 0);
        other[32 + place] = u8::try_from(rest.rem_euclid(256)).unwrap();
    }
    assert_ne!(raw, other);
    let wrap = |raw: &[u8; 64]| armor(&key.blob(), NAMESPACE, Hash::Sha512, &made.carry(&key, raw));
    let target = trusting(key.line("alice", ""));
    let ssh = OpenSsh::new();
    for raw in [raw, other] {
        assert!(target.judge(&bytes, &[wrap(&raw)]).is_ok());
        assert!(ssh.verifies(&key.line("alice", ""), "alice", &bytes, wrap(&raw).as_bytes()));
    }
    // r and s of 0 or of the order and more
    for bad in [[0xff; 32], N] {
        for half in [0, 32] {
            let mut spoiled = raw;
            spoiled[half..half + 32].copy_from_slice(&bad);
            assert_eq!(target.code(&bytes, &[wrap(&spoiled)]), Code::Signature);
        }
    }
}

#[test]
fn a_point_that_is_on_no_curve_signs_nothing() {
    let bytes = statement().to_bytes();
    let key = Key::sk_p256(RP_ID, UP);
    let mut blob = key.blob();
    let place = blob.len() - RP_ID.len() - 5;
    blob[place] ^= 1;
    let public = PublicKey::from_blob(&blob).unwrap();
    let target = trusting(format!("alice {}\n", public.to_text()));
    let made = assertion(&key, &bytes);
    let forged = armor(&blob, NAMESPACE, Hash::Sha512, &made.blob(&key));
    assert_eq!(target.code(&bytes, &[forged]), Code::Signature);
}

#[test]
fn a_passkey_and_an_ssh_key_are_two_persons() {
    let bytes = statement().to_bytes();
    for key in both() {
        let bob = Key::ed25519(2);
        let target = trusting(key.line("alice", "") + &bob.line("bob", "")).asking(2, false);
        let by_passkey = assertion(&key, &bytes).armor(&key);
        assert!(target.judge(&bytes, &[by_passkey.clone(), bob.sign(&bytes)]).is_ok());
        assert_eq!(target.code(&bytes, &[by_passkey.clone(), by_passkey.clone()]), Code::TooFewApprovers);
        // one of the two must not depend on what a server shows
        let mut apart = trusting(key.line("alice", "") + &bob.line("bob", ""));
        apart.threshold.outside_browser = 1;
        let armors = [by_passkey.clone(), bob.sign(&bytes)];
        assert!(apart.judge(&bytes, &armors).is_ok());
        assert_eq!(apart.code(&bytes, &armors[..1]), Code::TooFewApprovers);
        apart.threshold.outside_browser = 2;
        assert_eq!(apart.code(&bytes, &armors), Code::TooFewApprovers);
        // where all must verify their user, a plain key does not
        let strict = trusting(key.line("alice", "") + &bob.line("bob", "")).asking(2, true);
        assert_eq!(strict.code(&bytes, &[by_passkey, bob.sign(&bytes)]), Code::UserVerification);
    }
}

#[test]
fn a_passkey_s_line_is_written_and_read() {
    for key in both() {
        let blob = key.blob();
        let public = PublicKey::from_blob(&blob).unwrap();
        let length = if key.name.starts_with("sk-ssh") { 32 } else { 65 };
        let end = blob.len() - RP_ID.len() - 4;
        assert_eq!(PublicKey::passkey(&blob[end - length..end], RP_ID), Ok(public.clone()));
        assert_eq!(public.application(), Some(RP_ID));
    }
    for bad in [&[][..], &[0; 32], &[4; 64], &[2; 65]] {
        assert!(PublicKey::passkey(bad, RP_ID).is_err(), "{bad:?}");
    }
}

#[test]
fn origins_belong_to_the_rp_id() {
    let new = |rp_id: &str, origin: &str| Passkeys::new(rp_id, &[origin.to_owned()]);
    for (rp_id, origin) in [
        ("infra.example.org", "https://infra.example.org"),
        ("example.org", "https://infra.example.org:8443"),
        ("localhost", "http://localhost:8080"),
        ("localhost", "https://localhost"),
    ] {
        let made = new(rp_id, origin).unwrap();
        assert_eq!((made.rp_id(), made.origins()), (rp_id, &[origin.to_owned()][..]));
    }
    for (rp_id, origin) in [
        ("infra.example.org", "https://evil.example"),
        ("infra.example.org", "https://example.org"),
        ("infra.example.org", "https://evilinfra.example.org"),
        ("infra.example.org", "http://infra.example.org"),
        ("infra.example.org", "https://infra.example.org/"),
        ("infra.example.org", "https://-a.infra.example.org"),
        ("infra.example.org", "https://a-.infra.example.org"),
        ("infra.example.org", "https://.infra.example.org"),
        ("infra.example.org", "https://a..infra.example.org"),
        ("infra.example.org", "https://infra.example.org:443"),
        ("infra.example.org", "https://infra.example.org:08443"),
        ("infra.example.org", "https://infra.example.org:0"),
        ("infra.example.org", "https://infra.example.org:"),
        ("infra.example.org", "https://Infra.example.org"),
        ("infra.example.org", "https://infra.example.org\""),
        ("infra.example.org", "https://user@infra.example.org"),
        ("infra.example.org", "infra.example.org"),
        ("infra.example.org", "*"),
        ("infra.example.org", ""),
        ("Infra.example.org", "https://Infra.example.org"),
        ("localhost", "http://localhost:80"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("ssh:", "https://ssh:"),
        ("", "https://"),
    ] {
        assert!(new(rp_id, origin).is_err(), "{rp_id} {origin}");
    }
    assert!(Passkeys::new(RP_ID, &[]).is_err());
    assert!(Passkeys::new(RP_ID, &vec![ORIGIN.to_owned(); 17]).is_err());
}

/// What `navigator.credentials.get` answers becomes the signature that the tests above carry.
#[test]
fn what_a_browser_answers_becomes_a_signature() {
    let bytes = statement().to_bytes();
    for key in both() {
        let public = PublicKey::from_blob(&key.blob()).unwrap();
        let made = assertion(&key, &bytes);
        assert_eq!(challenge(&bytes), Base64UrlUnpadded::encode_string(&webauthn::challenge(&bytes)));
        let signed = made.signed();
        let data = &signed[..signed.len() - 32];
        let raw = key.raw(&signed);
        let der = |raw: &[u8; 64]| {
            let integer = |number: &[u8]| {
                let digits: Vec<u8> = number.iter().copied().skip_while(|b| *b == 0).collect();
                let pad = digits.first().is_some_and(|b| *b > 0x7f);
                let digits = if pad { [vec![0], digits].concat() } else { digits };
                [&[2, u8::try_from(digits.len()).unwrap()], &digits[..]].concat()
            };
            let body = [integer(&raw[..32]), integer(&raw[32..])].concat();
            [&[0x30, u8::try_from(body.len()).unwrap()], &body[..]].concat()
        };
        let signature = if key.name.starts_with("sk-ssh") { raw.to_vec() } else { der(&raw) };
        let armored = webauthn::armor(&public, data, &made.client_data, &signature).unwrap();
        assert_eq!(armored, armor(&key.blob(), NAMESPACE, Hash::Sha512, &made.carry(&key, &raw)));
        assert!(trusting(key.line("alice", "")).judge(&bytes, &[armored]).is_ok());

        let code = |data: &[u8], signature: &[u8]| {
            webauthn::armor(&public, data, &made.client_data, signature).unwrap_err().code
        };
        assert_eq!(code(&data[..36], &signature), Code::AuthenticatorData);
        assert_eq!(code(&[&[0; 32], &data[32..]].concat(), &signature), Code::Application);
        for end in 0..signature.len() {
            assert_eq!(code(data, &signature[..end]), Code::Malformed, "{end}");
        }
        assert_eq!(code(data, &[&signature[..], &[0]].concat()), Code::Malformed);
        let plain = PublicKey::from_blob(&Key::ed25519(1).blob()).unwrap();
        let refused = webauthn::armor(&plain, data, &made.client_data, &signature).unwrap_err();
        assert_eq!(refused.code, Code::Algorithm);
    }
}
