//! A software authenticator with the browser around it, for tests to spoil.

use base64ct::{Base64UrlUnpadded, Encoding};
use grant::sshsig::{Hash, armor, signed_data};
use grant::{NAMESPACE, Passkeys, webauthn};
use ring::digest::{SHA256, digest};

use super::{Key, Target, UP, UV, put};

pub(crate) const RP_ID: &str = "infra.example.org";
pub(crate) const ORIGIN: &str = "https://infra.example.org";

/// Passkeys as the tests' targets take them.
pub(crate) fn passkeys() -> Passkeys {
    Passkeys::new(RP_ID, &[ORIGIN.into(), "https://ops.infra.example.org:8443".into()]).unwrap()
}

/// A target that takes passkeys.
pub(crate) fn trusting(approvers: impl Into<String>) -> Target {
    let mut target = Target::trusting(approvers);
    target.rules.fido.passkeys = Some(passkeys());
    target
}

/// Everything that an assertion consists of. What is signed and what is carried can be made to differ.
pub(crate) struct Assertion {
    pub(crate) rp_id: String,
    pub(crate) algorithm: String,
    pub(crate) flags: u8,
    pub(crate) counter: u32,
    pub(crate) origin: String,
    pub(crate) client_data: Vec<u8>,
    pub(crate) extensions: Vec<u8>,
}

/// One that a target takes: made on [`ORIGIN`], by a verified user.
pub(crate) fn assertion(key: &Key, message: &[u8]) -> Assertion {
    let algorithm = if key.name.starts_with("sk-ssh-ed25519") { webauthn::ED25519 } else { webauthn::ECDSA };
    Assertion {
        rp_id: RP_ID.into(),
        algorithm: algorithm.into(),
        flags: UP | UV,
        counter: 7,
        origin: ORIGIN.into(),
        client_data: client_data(&challenge(message)).into_bytes(),
        extensions: Vec::new(),
    }
}

pub(crate) fn challenge(message: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(&signed_data(NAMESPACE, Hash::Sha512, message))
}

/// As Chromium writes it.
pub(crate) fn client_data(challenge: &str) -> String {
    format!(r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"{ORIGIN}","crossOrigin":false}}"#)
}

impl Assertion {
    /// What the authenticator signs.
    pub(crate) fn signed(&self) -> Vec<u8> {
        let mut data = digest(&SHA256, self.rp_id.as_bytes()).as_ref().to_vec();
        data.push(self.flags);
        data.extend_from_slice(&self.counter.to_be_bytes());
        data.extend_from_slice(&self.extensions);
        data.extend_from_slice(digest(&SHA256, &self.client_data).as_ref());
        data
    }

    /// The signature blob around these 64 bytes.
    pub(crate) fn carry(&self, key: &Key, raw: &[u8; 64]) -> Vec<u8> {
        let mut blob = key.pack(&self.algorithm, raw);
        blob.push(self.flags);
        blob.extend_from_slice(&self.counter.to_be_bytes());
        for field in [self.origin.as_bytes(), &self.client_data, &self.extensions] {
            put(&mut blob, field);
        }
        blob
    }

    pub(crate) fn blob(&self, key: &Key) -> Vec<u8> {
        self.carry(key, &key.raw(&self.signed()))
    }

    pub(crate) fn armor(&self, key: &Key) -> String {
        armor(&key.blob(), NAMESPACE, Hash::Sha512, &self.blob(key))
    }
}

/// Passkeys of both kinds.
pub(crate) fn both() -> [Key; 2] {
    [Key::sk_p256(RP_ID, UP), Key::sk_ed25519(5, RP_ID, UP)]
}
