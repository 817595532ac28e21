//! A software authenticator with the browser around it.

use base64ct::{Base64UrlUnpadded, Encoding};
use grant::{PublicKey, Statement, webauthn};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

pub(crate) const RP_ID: &str = "infra.example.org";
pub(crate) const ORIGIN: &str = "https://infra.example.org";

/// A passkey, and what the next assertion says.
pub(crate) struct Passkey {
    pair: EcdsaKeyPair,
    pub(crate) public: PublicKey,
    pub(crate) flags: u8,
    pub(crate) counter: u32,
    pub(crate) origin: String,
}

impl Passkey {
    pub(crate) fn new() -> Self {
        let rng = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &rng).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &rng).unwrap();
        let public = PublicKey::passkey(pair.public_key().as_ref(), RP_ID).unwrap();
        Self { pair, public, flags: 0x05, counter: 1, origin: ORIGIN.into() }
    }

    /// The line of the approvers file.
    pub(crate) fn line(&self, person: &str) -> String {
        format!("{person} {}\n", self.public.to_text())
    }

    /// The armored signature over these bytes.
    pub(crate) fn sign(&self, bytes: &[u8]) -> String {
        let client_data = format!(
            r#"{{"type":"webauthn.get","challenge":"{}","origin":"{}","crossOrigin":false}}"#,
            Base64UrlUnpadded::encode_string(&webauthn::challenge(bytes)),
            self.origin
        );
        let mut data = digest(&SHA256, RP_ID.as_bytes()).as_ref().to_vec();
        data.push(self.flags);
        data.extend_from_slice(&self.counter.to_be_bytes());
        let signed = [&data, digest(&SHA256, client_data.as_bytes()).as_ref()].concat();
        let signature = self.pair.sign(&SystemRandom::new(), &signed).unwrap();
        webauthn::armor(&self.public, &data, client_data.as_bytes(), signature.as_ref()).unwrap()
    }

    pub(crate) fn envelope(&self, statement: &Statement) -> Vec<u8> {
        let bytes = statement.to_bytes();
        session::envelope::join(&bytes, &[self.sign(&bytes)])
    }
}
