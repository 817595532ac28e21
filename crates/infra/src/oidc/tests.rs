use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::token::{Claims, Expected, Key, Refused, keys, verify};
use super::*;
use crate::config::{OidcGroup, OidcPerson};

const ISSUER: &str = "https://sso.example.org/realms/ops";
const NOW: i64 = 1_795_700_000;
const EXPECTED: Expected<'_> =
    Expected { issuer: ISSUER, client_id: "dashboard", nonce: "n-0S6", groups_claim: "groups", now_s: NOW };

fn b64(bytes: impl AsRef<[u8]>) -> String {
    Base64UrlUnpadded::encode_string(bytes.as_ref())
}

/// One key of each kind that is taken.
struct Signer {
    p256: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
    rsa: RsaKeyPair,
}

static SIGNER: LazyLock<Signer> = LazyLock::new(|| {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let p256 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    // ring makes no RSA keys.
    let arguments = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    let rsa = Command::new("openssl").args(arguments).output().unwrap();
    assert!(rsa.status.success(), "{}", String::from_utf8_lossy(&rsa.stderr));
    Signer {
        p256: EcdsaKeyPair::from_pkcs8(algorithm, p256.as_ref(), &random).unwrap(),
        ed25519: Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).unwrap(),
        rsa: RsaKeyPair::from_pkcs8(
            PrivatePkcs8KeyDer::from_pem_slice(&rsa.stdout).unwrap().secret_pkcs8_der(),
        )
        .unwrap(),
    }
});

impl Signer {
    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match algorithm {
            "ES256" => self.p256.sign(&random, message).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed25519.sign(message).as_ref().to_vec(),
            _ => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// What the provider publishes, with keys beside them that are of no use here.
    fn set(&self) -> Value {
        let point = self.p256.public_key().as_ref();
        let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        json!({ "keys": [
            { "kty": "oct", "kid": "shared", "k": b64("secret"), "alg": "HS256" },
            { "kty": "EC", "kid": "encrypts", "use": "enc", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..]) },
            { "kty": "EC", "kid": "cut", "crv": "P-256", "x": b64(&point[1..32]), "y": b64(&point[33..]) },
            { "kty": "RSA", "kid": "pss", "alg": "PS256", "n": b64(&n), "e": b64(&e) },
            "no key at all",
            { "kty": "EC", "kid": "e", "use": "sig", "alg": "ES256", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..]) },
            { "kty": "OKP", "kid": "o", "crv": "Ed25519", "x": b64(self.ed25519.public_key()) },
            // With the zero in front that some write.
            { "kty": "RSA", "kid": "r", "alg": "RS256", "use": "sig", "n": b64([vec![0], n.clone()].concat()),
              "e": b64(&e) },
        ] })
    }

    fn keys(&self) -> Vec<Key> {
        keys(self.set().to_string().as_bytes()).unwrap()
    }

    fn token(&self, header: &Value, body: &str) -> String {
        let signed = format!("{}.{}", b64(header.to_string()), b64(body));
        let signature = self.sign(header["alg"].as_str().unwrap_or("RS256"), signed.as_bytes());
        format!("{signed}.{}", b64(signature))
    }
}

fn body() -> Value {
    json!({
        "iss": ISSUER, "sub": "248289761001", "aud": "dashboard", "exp": NOW + 300, "iat": NOW, "nonce": "n-0S6",
        "email": "Alice@example.org", "email_verified": true, "groups": ["on-call", 7, "sre"], "at_hash": "x",
    })
}

fn es256(body: &Value) -> String {
    SIGNER.token(&json!({ "alg": "ES256", "kid": "e" }), &body.to_string())
}

fn refused(token: &str) -> String {
    match verify(token, &SIGNER.keys(), &EXPECTED) {
        Err(Refused::Wrong(cause)) => cause,
        other => panic!("{other:?}: {token}"),
    }
}

#[test]
fn a_token_by_each_kind_of_key_is_taken() {
    assert_eq!(SIGNER.keys().len(), 3, "those that are of no use are left out");
    for (alg, kid) in [("ES256", "e"), ("EdDSA", "o"), ("RS256", "r")] {
        for header in [json!({ "alg": alg, "kid": kid, "typ": "JWT" }), json!({ "alg": alg })] {
            let claims = verify(&SIGNER.token(&header, &body().to_string()), &SIGNER.keys(), &EXPECTED);
            let claims = claims.unwrap_or_else(|e| panic!("{alg}: {e:?}"));
            assert_eq!(claims.subject, "248289761001");
            assert_eq!(claims.email.as_deref(), Some("Alice@example.org"));
            assert_eq!(claims.groups, ["on-call", "sre"]);
        }
    }
}

#[test]
fn the_token_does_not_choose_how_it_is_verified() {
    let text = body().to_string();
    let signed = format!("{}.{}", b64(json!({ "alg": "none" }).to_string()), b64(&text));
    assert!(refused(&format!("{signed}.")).contains("none"));
    // The public key as a shared secret, the oldest trick: there is no HMAC here.
    for alg in ["HS256", "PS256", "ES384", "rs256", "RS1", ""] {
        assert!(refused(&SIGNER.token(&json!({ "alg": alg }), &text)).contains("algorithm"), "{alg}");
    }
    // A key is of one algorithm.
    let crossed =
        verify(&SIGNER.token(&json!({ "alg": "ES256", "kid": "r" }), &text), &SIGNER.keys(), &EXPECTED);
    assert_eq!(crossed, Err(Refused::UnknownKey));
    for kid in ["x", "shared", "encrypts", "cut", "pss"] {
        let alg = if kid == "pss" { "RS256" } else { "ES256" };
        let named =
            verify(&SIGNER.token(&json!({ "alg": alg, "kid": kid }), &text), &SIGNER.keys(), &EXPECTED);
        assert_eq!(named, Err(Refused::UnknownKey), "{kid}");
    }
    assert!(
        refused(&SIGNER.token(&json!({ "alg": "ES256", "kid": "e", "crit": ["b64"], "b64": false }), &text))
            .contains("critical")
    );
    // A key that the token brings along is no key.
    let mut own = SIGNER.set()["keys"][5].clone();
    own["kid"] = json!("mine");
    let brought = SIGNER
        .token(&json!({ "alg": "ES256", "kid": "mine", "jwk": own, "jku": "https://evil.example" }), &text);
    assert_eq!(verify(&brought, &SIGNER.keys(), &EXPECTED), Err(Refused::UnknownKey));
    let twice = [SIGNER.keys(), SIGNER.keys()].concat();
    let ambiguous = verify(&SIGNER.token(&json!({ "alg": "ES256" }), &text), &twice, &EXPECTED);
    assert!(matches!(ambiguous, Err(Refused::Wrong(cause)) if cause.contains("which of several")));
    assert!(keys(br#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#).is_err());
    assert!(keys(b"[]").is_err() && keys(b"<html>").is_err());
}

#[test]
fn a_token_that_is_not_for_this_login_is_refused_and_says_why() {
    for (name, change, cause) in [
        ("iss", json!("https://sso.example.org/realms/other"), "it is by"),
        ("iss", json!("https://sso.example.org/realms/ops/"), "it is by"),
        ("aud", json!("another"), "another client"),
        ("aud", json!([]), "another client"),
        ("aud", json!(["another"]), "another client"),
        ("aud", json!(["dashboard", "another"]), "issued to another"),
        ("azp", json!("another"), "issued to another"),
        ("exp", json!(NOW - 60), "expired"),
        ("exp", json!(0), "expired"),
        ("exp", json!("never"), "body"),
        ("iat", json!(NOW + 61), "future"),
        ("nbf", json!(NOW + 61), "future"),
        ("nonce", json!("another"), "another login"),
        ("nonce", json!(""), "another login"),
        ("sub", json!(""), "subject"),
        ("sub", json!("a\u{0}b"), "subject"),
        ("sub", json!("a".repeat(256)), "subject"),
        ("sub", json!(7), "body"),
    ] {
        let mut body = body();
        body[name] = change.clone();
        let said = refused(&es256(&body));
        assert!(said.contains(cause), "{name} = {change}: {said}");
    }
    for name in ["iss", "sub", "aud", "exp", "iat", "nonce"] {
        let mut body = body();
        body.as_object_mut().unwrap().remove(name);
        refused(&es256(&body));
    }
    // What stands twice could be read in two ways.
    let twice = body().to_string().replacen('{', r#"{"sub":"admin","#, 1);
    assert!(refused(&SIGNER.token(&json!({ "alg": "ES256" }), &twice)).contains("duplicate"));
    assert!(refused(&"a".repeat(40_000)).contains("bytes"));
}

#[test]
fn clocks_may_differ_by_a_minute_and_an_address_counts_once_it_is_verified() {
    let mut fine = body();
    fine["exp"] = json!(NOW - 59);
    fine["iat"] = json!(NOW + 59);
    fine["nbf"] = json!(f64::from(1_795_700_059) + 0.5);
    fine["aud"] = json!(["another", "dashboard"]);
    fine["azp"] = json!("dashboard");
    fine["groups"] = json!("sre");
    let claims = verify(&es256(&fine), &SIGNER.keys(), &EXPECTED).unwrap();
    assert_eq!(claims.groups, ["sre"]);
    for unverified in [json!(false), json!("true"), json!(1), Value::Null] {
        fine["email_verified"] = unverified.clone();
        assert_eq!(verify(&es256(&fine), &SIGNER.keys(), &EXPECTED).unwrap().email, None, "{unverified}");
    }
    fine.as_object_mut().unwrap().remove("email_verified");
    assert_eq!(verify(&es256(&fine), &SIGNER.keys(), &EXPECTED).unwrap().email, None);
}

#[test]
fn a_token_with_any_byte_changed_is_refused() {
    let keys = SIGNER.keys();
    for (alg, kid) in [("ES256", "e"), ("EdDSA", "o"), ("RS256", "r")] {
        let token = SIGNER.token(&json!({ "alg": alg, "kid": kid }), &body().to_string());
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(verify(&changed, &keys, &EXPECTED).is_err(), "{alg}: byte {at}");
        }
        assert!(verify(&token[..token.len() - 1], &keys, &EXPECTED).is_err(), "cut");
        assert!(verify(&format!("{token}="), &keys, &EXPECTED).is_err(), "padded");
        assert!(verify(&format!("{token}.x"), &keys, &EXPECTED).is_err(), "five parts");
    }
}

proptest! {
    #[test]
    fn nothing_but_a_token_is_one(text in ".*", parts in proptest::collection::vec("[A-Za-z0-9_-]*", 0..5)) {
        prop_assert!(verify(&text, &SIGNER.keys(), &EXPECTED).is_err());
        prop_assert!(verify(&parts.join("."), &SIGNER.keys(), &EXPECTED).is_err());
    }

    /// Whatever the provider signs, who comes in is a subject of this issuer, for this client and this login.
    #[test]
    fn what_is_taken_says_what_is_expected(
        header in prop_oneof![Just(json!({ "alg": "ES256", "kid": "e" })), Just(json!({ "alg": "ES256" }))],
        changes in proptest::collection::vec((
            prop_oneof![Just("iss"), Just("sub"), Just("aud"), Just("azp"), Just("exp"), Just("nonce"), Just("email"), Just("groups")],
            prop_oneof![
                Just(json!(ISSUER)), Just(json!("dashboard")), Just(json!("n-0S6")), Just(json!(["dashboard"])), Just(json!(NOW)),
                Just(Value::Null), any::<i64>().prop_map(Value::from), ".{0,8}".prop_map(Value::from),
            ],
        ), 0..4),
    ) {
        let mut body = body();
        for (name, value) in changes {
            body[name] = value;
        }
        if let Ok(claims) = verify(&SIGNER.token(&header, &body.to_string()), &SIGNER.keys(), &EXPECTED) {
            prop_assert_eq!(&body["iss"], ISSUER);
            prop_assert_eq!(&body["nonce"], "n-0S6");
            prop_assert_eq!(&body["sub"], claims.subject.as_str());
            prop_assert!(body["aud"] == "dashboard" || body["aud"] == json!(["dashboard"]));
            prop_assert!(body["azp"].is_null() || body["azp"] == "dashboard");
            prop_assert!(body["exp"].as_f64().unwrap() > f64::from(1_795_700_000) - 60.0);
        }
    }
}

fn settings(persons: &[(&str, &str, &str)], groups: &[(&str, &str)]) -> Oidc {
    let persons = persons.iter().map(|(who, person, role)| {
        let email = who.contains('@').then(|| (*who).to_owned());
        let subject = email.is_none().then(|| (*who).to_owned());
        OidcPerson { subject, email, person: (*person).to_owned(), role: (*role).to_owned() }
    });
    let groups =
        groups.iter().map(|(group, role)| OidcGroup { group: (*group).to_owned(), role: (*role).to_owned() });
    Oidc {
        issuer: ISSUER.to_owned(),
        client_id: "dashboard".to_owned(),
        client_secret_file: None,
        ca_file: None,
        scopes: vec!["email".to_owned()],
        groups_claim: "groups".to_owned(),
        label: None,
        session: Duration::from_hours(1),
        persons: persons.collect(),
        groups: groups.collect(),
    }
}

fn who(subject: &str, email: Option<&str>, groups: &[&str]) -> Claims {
    let groups = groups.iter().map(|g| (*g).to_owned()).collect();
    Claims { subject: subject.to_owned(), email: email.map(str::to_owned), groups }
}

#[test]
fn one_s_own_row_goes_before_the_groups_and_without_any_nobody_comes_in() {
    let mapping = Mapping::new(&settings(
        &[("s1", "alice", "approver"), ("Bob@example.org", "bob", "viewer")],
        &[("on-call", "operator"), ("staff", "viewer")],
    ))
    .unwrap();
    let admit = |claims: &Claims| mapping.admit(ISSUER, claims).map(|a| (a.person, a.role));
    assert_eq!(admit(&who("s1", None, &["on-call"])), Ok(("alice".into(), Role::Approver)));
    assert_eq!(admit(&who("s2", Some("bob@EXAMPLE.org"), &["on-call"])), Ok(("bob".into(), Role::Viewer)));
    assert_eq!(admit(&who("s3", None, &["staff", "on-call"])), Ok(("oidc:s3".into(), Role::Operator)));
    assert_eq!(
        admit(&who("s4", Some("eve <x>@example.org"), &["staff"])),
        Ok(("oidc:eve__x_@example.org".into(), Role::Viewer))
    );
    for nobody in
        [who("s5", Some("eve@example.org"), &["On-call"]), who("alice", None, &[]), who("s2", None, &[])]
    {
        assert!(admit(&nobody).is_err(), "{nobody:?}");
    }
    // A subject that is called like an address is not that address.
    assert!(admit(&who("Bob@example.org", None, &[])).is_err());
    assert!(
        !is_person(&admit(&who("s3", None, &["staff"])).unwrap().0),
        "nobody can be invited by such a name"
    );
}

#[test]
fn an_account_is_its_issuer_s_and_its_subject_s_alone() {
    let ids = [id("a", "bc"), id("ab", "c"), id("a", "b"), id("b", "a")];
    for (at, one) in ids.iter().enumerate() {
        assert!(one.len() == 37 && !ids[..at].contains(one), "{one}");
    }
}

type Change = fn(&mut Oidc);

#[test]
fn a_configuration_that_lets_the_wrong_in_is_refused() {
    let provider = |change: fn(&mut Oidc)| {
        let mut settings = settings(&[("s1", "alice", "approver")], &[("on-call", "operator")]);
        change(&mut settings);
        Provider::new(settings).map(|_| ()).err()
    };
    assert_eq!(provider(|_| {}), None);
    let wrong: [(&str, Change); 13] = [
        ("http is for loopback", |s| s.issuer = "http://sso.example.org".into()),
        ("no ? and no #", |s| s.issuer = "https://sso.example.org/?a".into()),
        ("write https://NAME", |s| s.issuer = "sso".into()),
        ("client_id", |s| s.client_id = String::new()),
        ("scopes", |s| s.scopes = vec!["email groups".into()]),
        ("give subject, or email", |s| s.persons[0].subject = None),
        ("give subject, or email", |s| s.persons[0].email = Some("a@b".into())),
        ("person's name", |s| s.persons[0].person = "oidc:alice".into()),
        ("no role", |s| s.persons[0].role = "root".into()),
        ("there twice", |s| s.persons.push(s.persons[0].clone())),
        ("row of their own", |s| s.groups[0].role = "approver".into()),
        ("there twice", |s| s.groups.push(s.groups[0].clone())),
        ("nobody could log in", |s| {
            s.persons.clear();
            s.groups.clear();
        }),
    ];
    for (cause, change) in wrong {
        let said = provider(change).unwrap_or_default();
        assert!(said.contains(cause), "{cause}: {said}");
    }
}
