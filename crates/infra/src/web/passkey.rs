//! What a browser says of a passkey, read strictly: enrolment and login (WebAuthn level 3, sections 7.1 and 7.2).
//!
//! Only ES256 (ECDSA on P-256 with SHA-256) is taken, as OpenSSH knows no other WebAuthn key. Attestation is not asked for:
//! whose key it is, the invitation says, and what it may approve, root on the target does.

use grant::{Fido, Passkeys, PublicKey};
use ring::digest::{SHA256, digest};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::Deserialize;

/// User present, user verified, attested credential data.
const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const ATTESTED: u8 = 0x40;
/// RP id's digest, flags, counter.
const HEAD: usize = 32 + 1 + 4;
/// AAGUID in front of the credential's id.
const AAGUID: usize = 16;
/// The longest credential id that WebAuthn allows.
const MAX_ID: usize = 1023;
/// An ES256 key in CTAP2's canonical CBOR is always these bytes, with x and y in the two gaps.
const COSE_BEFORE_X: &[u8] = &[0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20];
const COSE_BEFORE_Y: &[u8] = &[0x22, 0x58, 0x20];

/// Whose pages may use a passkey, and under which name.
#[derive(Debug, Clone)]
pub(super) struct Party {
    /// `https://approve.example.org`
    pub(super) origin: String,
    /// `approve.example.org`
    pub(super) id: String,
}

/// A new passkey.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Enrolled {
    /// The credential's id.
    pub(super) id: Vec<u8>,
    /// The point, uncompressed: 0x04, x, y.
    pub(super) point: Vec<u8>,
    pub(super) counter: u32,
}

#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(rename = "crossOrigin", default)]
    cross_origin: bool,
}

impl Party {
    /// Checks an enrolment; `challenge` is ours, base64url.
    pub(super) fn enrolled(
        &self,
        challenge: &str,
        client_data: &[u8],
        authenticator: &[u8],
    ) -> Result<Enrolled, String> {
        self.client_data(client_data, "webauthn.create", challenge)?;
        let (flags, counter) = self.head(authenticator)?;
        if flags & ATTESTED == 0 {
            return Err("there is no key in it".to_owned());
        }
        let rest = authenticator.get(HEAD + AAGUID..).unwrap_or_default();
        let (length, rest) = rest.split_at_checked(2).ok_or("the credential is cut")?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let (id, key) = rest.split_at_checked(length).ok_or("the credential is cut")?;
        if id.is_empty() || length > MAX_ID {
            return Err("the credential's id has no usable length".to_owned());
        }
        Ok(Enrolled { id: id.to_vec(), point: point(key).ok_or("the key is not ES256")?, counter })
    }

    /// Checks an assertion by the key; the counter it carries.
    pub(super) fn asserted(
        &self,
        challenge: &str,
        point: &[u8],
        client_data: &[u8],
        authenticator: &[u8],
        signature: &[u8],
    ) -> Result<u32, String> {
        self.client_data(client_data, "webauthn.get", challenge)?;
        let (_, counter) = self.head(authenticator)?;
        let mut signed = authenticator.to_vec();
        signed.extend_from_slice(digest(&SHA256, client_data).as_ref());
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
            .verify(&signed, signature)
            .map_err(|_| "the signature is not by this passkey".to_owned())?;
        Ok(counter)
    }

    fn client_data(&self, bytes: &[u8], kind: &str, challenge: &str) -> Result<(), String> {
        let data: ClientData = serde_json::from_slice(bytes).map_err(|e| format!("client data: {e}"))?;
        if data.kind != kind {
            return Err(format!("client data: its type is {:?}, not {kind}", data.kind));
        }
        if data.challenge != challenge {
            return Err("client data: it answers another challenge".to_owned());
        }
        if data.origin != self.origin || data.cross_origin {
            return Err(format!("client data: made on a page of {:?}, not of {}", data.origin, self.origin));
        }
        Ok(())
    }

    /// Flags and counter, once the passkey is ours and its user was there and verified.
    fn head(&self, authenticator: &[u8]) -> Result<(u8, u32), String> {
        let head: &[u8; HEAD] = authenticator.first_chunk().ok_or("authenticator data: too short")?;
        if head[..32] != *digest(&SHA256, self.id.as_bytes()).as_ref() {
            return Err(format!("authenticator data: not a passkey of {}", self.id));
        }
        let flags = head[32];
        if flags & PRESENT == 0 || flags & VERIFIED == 0 {
            return Err("authenticator data: the user was not verified (PIN, fingerprint or face)".to_owned());
        }
        Ok((flags, u32::from_be_bytes([head[33], head[34], head[35], head[36]])))
    }
}

/// The point of an ES256 key. What follows it are extensions, which nothing here acts on.
fn point(cose: &[u8]) -> Option<Vec<u8>> {
    let (x, rest) = cose.strip_prefix(COSE_BEFORE_X)?.split_first_chunk::<32>()?;
    let (y, _) = rest.strip_prefix(COSE_BEFORE_Y)?.split_first_chunk::<32>()?;
    Some([&[4], x.as_slice(), y.as_slice()].concat())
}

impl Party {
    /// The passkey as OpenSSH and the targets know it.
    pub(super) fn key(&self, point: &[u8]) -> Result<PublicKey, String> {
        PublicKey::passkey(point, &self.id).map_err(|e| e.to_string())
    }

    /// The line of a target's approvers that lets this passkey sign grants.
    pub(super) fn approver_line(&self, person: &str, point: &[u8]) -> Result<String, String> {
        Ok(format!("{person} namespaces=\"{}\" {}", grant::NAMESPACE, self.key(point)?.to_text()))
    }

    /// What a target that takes this dashboard's passkeys asks for.
    pub(super) fn fido(&self) -> Result<Fido, String> {
        let passkeys = Passkeys::new(&self.id, std::slice::from_ref(&self.origin))?;
        Ok(Fido { passkeys: Some(passkeys), ..Fido::default() })
    }
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

    use super::*;

    fn party() -> Party {
        Party { origin: "https://approve.example.org".to_owned(), id: "approve.example.org".to_owned() }
    }

    fn key() -> EcdsaKeyPair {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap()
    }

    fn client_data(kind: &str, challenge: &str, origin: &str) -> Vec<u8> {
        format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}","crossOrigin":false}}"#)
            .into_bytes()
    }

    fn head(id: &str, flags: u8, counter: u32) -> Vec<u8> {
        let mut bytes = digest(&SHA256, id.as_bytes()).as_ref().to_vec();
        bytes.push(flags);
        bytes.extend_from_slice(&counter.to_be_bytes());
        bytes
    }

    fn new_credential(key: &EcdsaKeyPair) -> Vec<u8> {
        let mut bytes = head("approve.example.org", 0x45, 7);
        bytes.extend_from_slice(&[0; AAGUID]);
        bytes.extend_from_slice(&[0, 3, 1, 2, 3]);
        let point = key.public_key().as_ref();
        for part in [COSE_BEFORE_X, &point[1..33], COSE_BEFORE_Y, &point[33..]] {
            bytes.extend_from_slice(part);
        }
        bytes
    }

    #[test]
    fn an_enrolment_gives_id_point_and_counter() {
        let key = key();
        let made = client_data("webauthn.create", "abc", "https://approve.example.org");
        let enrolled = party().enrolled("abc", &made, &new_credential(&key)).unwrap();
        assert_eq!((enrolled.id, enrolled.counter), (vec![1, 2, 3], 7));
        assert_eq!(enrolled.point, key.public_key().as_ref());
    }

    #[test]
    fn an_enrolment_cut_anywhere_is_refused() {
        let made = client_data("webauthn.create", "abc", "https://approve.example.org");
        let whole = new_credential(&key());
        for end in 0..whole.len() {
            assert!(party().enrolled("abc", &made, &whole[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn an_assertion_counts_only_as_it_was_made() {
        let key = key();
        let point = key.public_key().as_ref();
        let sign = |client: &[u8], authenticator: &[u8]| {
            let signed = [authenticator, digest(&SHA256, client).as_ref()].concat();
            key.sign(&SystemRandom::new(), &signed).unwrap().as_ref().to_vec()
        };
        let good = (
            client_data("webauthn.get", "abc", "https://approve.example.org"),
            head("approve.example.org", 5, 9),
        );
        let signature = sign(&good.0, &good.1);
        assert_eq!(party().asserted("abc", point, &good.0, &good.1, &signature), Ok(9));
        let other = self::key();
        assert!(party().asserted("abc", other.public_key().as_ref(), &good.0, &good.1, &signature).is_err());
        assert!(party().asserted("abd", point, &good.0, &good.1, &signature).is_err());
        // each signed anew, so that only the field decides
        for (what, client, authenticator) in [
            ("type", client_data("webauthn.create", "abc", "https://approve.example.org"), good.1.clone()),
            ("origin", client_data("webauthn.get", "abc", "https://evil.example.org"), good.1.clone()),
            (
                "plain origin",
                client_data("webauthn.get", "abc", "http://approve.example.org"),
                good.1.clone(),
            ),
            ("rp id", good.0.clone(), head("evil.example.org", 5, 9)),
            ("presence", good.0.clone(), head("approve.example.org", 4, 9)),
            ("verification", good.0.clone(), head("approve.example.org", 1, 9)),
        ] {
            let signature = sign(&client, &authenticator);
            assert!(party().asserted("abc", point, &client, &authenticator, &signature).is_err(), "{what}");
        }
        let framed = String::from_utf8(good.0.clone()).unwrap().replace("false", "true").into_bytes();
        assert!(party().asserted("abc", point, &framed, &good.1, &sign(&framed, &good.1)).is_err(), "framed");
    }
}
