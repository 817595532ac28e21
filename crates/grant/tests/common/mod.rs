//! Signers and a grant that is right, for tests to spoil.

#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

pub(crate) mod passkey;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64ct::{Base64, Encoding};
use grant::sshsig::{Hash, armor, signed_data};
use grant::{Approvers, Code, Envelope, Kind, NAMESPACE, Refusal, Rules, Statement, Threshold, Verified};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

pub(crate) const NOW: i64 = 1_795_493_100;
pub(crate) const UP: u8 = 0x01;
pub(crate) const UV: u8 = 0x04;

pub(crate) fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend_from_slice(bytes);
}

pub(crate) fn strings(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        put(&mut out, part);
    }
    out
}

fn mpint(bytes: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = bytes.iter().copied().skip_while(|b| *b == 0).collect();
    if digits.first().is_some_and(|b| b & 0x80 != 0) { [vec![0], digits].concat() } else { digits }
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

/// A key in memory that signs as OpenSSH does, or as a security key would.
pub(crate) struct Key {
    pair: Pair,
    pub(crate) name: &'static str,
    pub(crate) application: Option<String>,
    pub(crate) flags: u8,
    pub(crate) counter: u32,
}

impl Key {
    pub(crate) fn ed25519(seed: u8) -> Self {
        let pair = Pair::Ed25519(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap());
        Self { pair, name: "ssh-ed25519", application: None, flags: 0, counter: 0 }
    }

    pub(crate) fn p256() -> Self {
        let rng = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &rng).unwrap();
        Self { pair: Pair::P256(pair), name: "ecdsa-sha2-nistp256", application: None, flags: 0, counter: 0 }
    }

    pub(crate) fn sk_ed25519(seed: u8, application: &str, flags: u8) -> Self {
        let application = Some(application.to_owned());
        Self { name: "sk-ssh-ed25519@openssh.com", application, flags, counter: 7, ..Self::ed25519(seed) }
    }

    pub(crate) fn sk_p256(application: &str, flags: u8) -> Self {
        let application = Some(application.to_owned());
        Self { name: "sk-ecdsa-sha2-nistp256@openssh.com", application, flags, counter: 7, ..Self::p256() }
    }

    pub(crate) fn blob(&self) -> Vec<u8> {
        let mut blob = match &self.pair {
            Pair::Ed25519(pair) => strings(&[self.name.as_bytes(), pair.public_key().as_ref()]),
            Pair::P256(pair) => strings(&[self.name.as_bytes(), b"nistp256", pair.public_key().as_ref()]),
        };
        if let Some(application) = &self.application {
            put(&mut blob, application.as_bytes());
        }
        blob
    }

    /// A line of the approvers file.
    pub(crate) fn line(&self, person: &str, options: &str) -> String {
        format!("{person} {options}{} {}\n", self.name, Base64::encode_string(&self.blob()))
    }

    pub(crate) fn raw(&self, data: &[u8]) -> [u8; 64] {
        match &self.pair {
            Pair::Ed25519(pair) => pair.sign(data).as_ref().try_into().unwrap(),
            Pair::P256(pair) => pair.sign(&SystemRandom::new(), data).unwrap().as_ref().try_into().unwrap(),
        }
    }

    /// The signature blob over `data`, under an algorithm name.
    pub(crate) fn signature(&self, algorithm: &str, data: &[u8]) -> Vec<u8> {
        let Some(application) = &self.application else {
            return self.pack(algorithm, &self.raw(data));
        };
        let mut signed = digest(&SHA256, application.as_bytes()).as_ref().to_vec();
        signed.push(self.flags);
        signed.extend_from_slice(&self.counter.to_be_bytes());
        signed.extend_from_slice(digest(&SHA256, data).as_ref());
        let mut blob = self.pack(algorithm, &self.raw(&signed));
        blob.push(self.flags);
        blob.extend_from_slice(&self.counter.to_be_bytes());
        blob
    }

    pub(crate) fn pack(&self, algorithm: &str, raw: &[u8; 64]) -> Vec<u8> {
        match &self.pair {
            Pair::Ed25519(_) => strings(&[algorithm.as_bytes(), raw]),
            Pair::P256(_) => {
                let numbers = strings(&[&mpint(&raw[..32]), &mpint(&raw[32..])]);
                strings(&[algorithm.as_bytes(), &numbers])
            }
        }
    }

    pub(crate) fn sign_for(&self, namespace: &str, message: &[u8]) -> String {
        let data = signed_data(namespace, Hash::Sha512, message);
        armor(&self.blob(), namespace, Hash::Sha512, &self.signature(self.name, &data))
    }

    pub(crate) fn sign(&self, message: &[u8]) -> String {
        self.sign_for(NAMESPACE, message)
    }
}

/// A statement that every check takes at [`NOW`].
pub(crate) fn statement() -> Statement {
    Statement {
        v: 1,
        proposal: "p-0001".into(),
        tenant: "default".into(),
        host: "web01".into(),
        machine_id: "a1".repeat(32),
        kind: Kind::Action,
        action: "restart_container".into(),
        params: BTreeMap::from([("container".into(), "web".into())]),
        argv: Vec::new(),
        plan: "b2".repeat(32),
        policy: "c3".repeat(32),
        rationale: "Le conteneur ne répond plus.\nVoir le journal.".into(),
        proposed_by: "assistant".into(),
        not_before: NOW,
        expires_at: NOW + 300,
        nonce: "d4".repeat(16),
        break_glass: None,
    }
}

pub(crate) fn rules() -> Rules {
    Rules::new("default", "web01", "a1".repeat(32))
}

/// A target: everything that a grant is judged by.
pub(crate) struct Target {
    pub(crate) approvers: String,
    pub(crate) rules: Rules,
    pub(crate) threshold: Threshold,
    pub(crate) now: i64,
    pub(crate) high_water: i64,
}

impl Target {
    pub(crate) fn trusting(approvers: impl Into<String>) -> Self {
        let threshold = Threshold { min: 1, verify_required: false, outside_browser: 0 };
        Self { approvers: approvers.into(), rules: rules(), threshold, now: NOW, high_water: NOW }
    }

    pub(crate) fn asking(mut self, min: u32, verify_required: bool) -> Self {
        self.threshold = Threshold { min, verify_required, outside_browser: 0 };
        self
    }

    pub(crate) fn at(mut self, now: i64, high_water: i64) -> Self {
        (self.now, self.high_water) = (now, high_water);
        self
    }

    pub(crate) fn judge(&self, statement: &[u8], armors: &[impl AsRef<[u8]>]) -> Result<Verified, Refusal> {
        let approvers = Approvers::parse(&self.approvers).unwrap();
        let envelope = Envelope::new(statement, armors)?;
        grant::verify(&envelope, &approvers, &self.rules, |_| Ok(self.threshold), self.now, self.high_water)
    }

    pub(crate) fn refuses(&self, statement: &[u8], armors: &[impl AsRef<[u8]>]) -> Refusal {
        self.judge(statement, armors).unwrap_err()
    }

    pub(crate) fn code(&self, statement: &[u8], armors: &[impl AsRef<[u8]>]) -> Code {
        self.refuses(statement, armors).code
    }
}

pub(crate) fn alice() -> Key {
    Key::ed25519(1)
}

pub(crate) fn bob() -> Key {
    Key::ed25519(2)
}

pub(crate) fn trusts_alice() -> Target {
    Target::trusting(alice().line("alice", ""))
}

pub(crate) fn trusts_both() -> Target {
    Target::trusting(alice().line("alice", "") + &bob().line("bob", "")).asking(2, false)
}

/// What a target that trusts alice says of bytes that alice signed.
pub(crate) fn signed(bytes: &[u8]) -> Result<Verified, Refusal> {
    trusts_alice().judge(bytes, &[alice().sign(bytes)])
}

pub(crate) fn signed_code(bytes: &[u8]) -> Code {
    signed(bytes).unwrap_err().code
}

/// Replaces text that must stand there exactly once.
pub(crate) fn replace(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(bytes).unwrap();
    assert_eq!(text.matches(from).count(), 1, "{from}");
    text.replace(from, to).into_bytes()
}

/// Keys and signatures by the real `ssh-keygen`.
pub(crate) struct OpenSsh {
    folder: tempfile::TempDir,
}

impl OpenSsh {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    pub(crate) fn run(&self, arguments: &[&str], stdin: Option<&Path>) -> std::process::Output {
        let stdin = stdin.map_or_else(Stdio::null, |path| fs::File::open(path).unwrap().into());
        Command::new("ssh-keygen")
            .args(arguments)
            .current_dir(self.folder.path())
            .env("TZ", "UTC")
            .stdin(stdin)
            .output()
            .unwrap_or_else(|error| panic!("ssh-keygen (package openssh-client) is needed: {error}"))
    }

    pub(crate) fn must(&self, arguments: &[&str]) {
        let output = self.run(arguments, None);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Makes a key and returns its line of the approvers file.
    pub(crate) fn key(&self, name: &str, kind: &str, person: &str) -> String {
        self.must(&["-q", "-t", kind, "-N", "", "-C", "made for a test", "-f", name]);
        format!("{person} {}", fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap())
    }

    /// `ssh-keygen -Y sign` over the bytes; the armor.
    pub(crate) fn sign(&self, key: &str, namespace: &str, message: &[u8], more: &[&str]) -> Vec<u8> {
        self.write("grant.json", message);
        let _ = fs::remove_file(self.path("grant.json.sig"));
        self.must(&[&["-q", "-Y", "sign", "-f", key, "-n", namespace], more, &["grant.json"]].concat());
        fs::read(self.path("grant.json.sig")).unwrap()
    }

    /// Whether `ssh-keygen -Y verify` takes the signature.
    pub(crate) fn verifies(&self, approvers: &str, person: &str, message: &[u8], armor: &[u8]) -> bool {
        self.write("approvers", approvers);
        self.write("signature", armor);
        let message = self.write("message", message);
        let arguments = ["-Y", "verify", "-f", "approvers", "-I", person, "-n", NAMESPACE, "-s", "signature"];
        self.run(&arguments, Some(&message)).status.success()
    }
}
