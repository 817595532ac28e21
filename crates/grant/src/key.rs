//! An approver's public key, in the four kinds that may sign.

use ring::digest::{SHA256, digest};
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};

use crate::sshsig::Signature;
use crate::wire::{Reader, put_string};
use crate::{Code, Refusal, base64, point, webauthn};

/// The flag that a security key sets when somebody touched it.
const USER_PRESENT: u8 = 0x01;
/// The flag that a security key sets when it verified its user, by PIN or fingerprint.
const USER_VERIFIED: u8 = 0x04;

/// The kinds of key that may sign a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// `ssh-ed25519`
    Ed25519,
    /// `ecdsa-sha2-nistp256`
    EcdsaP256,
    /// `sk-ssh-ed25519@openssh.com`: Ed25519 on a FIDO2 security key, or a passkey.
    SkEd25519,
    /// `sk-ecdsa-sha2-nistp256@openssh.com`: ECDSA on a FIDO2 security key, or a passkey.
    SkEcdsaP256,
}

impl KeyType {
    const ALL: [Self; 4] = [Self::Ed25519, Self::EcdsaP256, Self::SkEd25519, Self::SkEcdsaP256];

    /// SSH's name of the kind.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
            Self::SkEd25519 => "sk-ssh-ed25519@openssh.com",
            Self::SkEcdsaP256 => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    /// The name of a passkey's signature by a key of this kind; none for keys that no passkey is.
    pub(crate) const fn webauthn(self) -> Option<&'static str> {
        match self {
            Self::SkEcdsaP256 => Some(webauthn::ECDSA),
            Self::SkEd25519 => Some(webauthn::ED25519),
            Self::Ed25519 | Self::EcdsaP256 => None,
        }
    }

    /// Made by a FIDO2 security key, or a passkey.
    pub const fn is_security_key(self) -> bool {
        matches!(self, Self::SkEd25519 | Self::SkEcdsaP256)
    }

    /// Whether the curve is Ed25519; else it is NIST P-256.
    pub(crate) const fn is_ed25519(self) -> bool {
        matches!(self, Self::Ed25519 | Self::SkEd25519)
    }

    pub(crate) fn parse(name: &str) -> Result<Self, Refusal> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| not_accepted(name))
    }
}

fn not_accepted(name: &str) -> Refusal {
    let name: String = name.chars().take(80).collect();
    let message = if name.contains("-cert-v0") {
        format!("{name:?}: certificates do not approve; the approver's own key must stand in the file")
    } else if name.starts_with("webauthn-") {
        format!(
            "{name:?}: a passkey is listed as a key of type sk-…@openssh.com with the rpId as its application"
        )
    } else {
        format!("{name:?}: only Ed25519 and ECDSA P-256 keys and their FIDO2 kinds approve")
    };
    Refusal::new(Code::Algorithm, message)
}

/// A public key that is well formed and not of small order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    blob: Vec<u8>,
    kind: KeyType,
    point: Vec<u8>,
    application: Option<String>,
}

impl PublicKey {
    /// Reads a key in SSH's wire form: what base64 holds in a `.pub` file.
    ///
    /// # Errors
    /// `algorithm` for other kinds of key, else `malformed` or `trailing_data`.
    pub fn from_blob(blob: &[u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new(blob, "public key");
        let kind = KeyType::parse(reader.text()?)?;
        if !kind.is_ed25519() && reader.string()? != b"nistp256" {
            return Err(Refusal::malformed("public key: the curve must be nistp256"));
        }
        let point = reader.string()?.to_vec();
        let application = if kind.is_security_key() { Some(reader.text()?.to_owned()) } else { None };
        reader.end()?;
        check_point(kind, &point)?;
        Ok(Self { blob: blob.to_vec(), kind, point, application })
    }

    /// A passkey, in the form in which it stands in an approvers file. `point` is the 32 bytes of an Ed25519 key, or the 65 bytes
    /// of an uncompressed point of P-256.
    ///
    /// # Errors
    /// `malformed` for a point that is none.
    pub fn passkey(point: &[u8], rp_id: &str) -> Result<Self, Refusal> {
        let kind = if point.len() == 32 { KeyType::SkEd25519 } else { KeyType::SkEcdsaP256 };
        let mut blob = Vec::new();
        put_string(&mut blob, kind.as_str().as_bytes());
        if !kind.is_ed25519() {
            put_string(&mut blob, b"nistp256");
        }
        put_string(&mut blob, point);
        put_string(&mut blob, rp_id.as_bytes());
        Self::from_blob(&blob)
    }

    /// Reads the two first fields of a `.pub` file, type and base64; what follows is a comment.
    ///
    /// # Errors
    /// As [`PublicKey::from_blob`], and `malformed` when the two fields do not fit each other.
    pub fn from_text(text: &str) -> Result<Self, Refusal> {
        let mut fields = text.split_ascii_whitespace();
        let kind = KeyType::parse(fields.next().unwrap_or_default())?;
        let blob = base64::decode(fields.next().unwrap_or_default())
            .ok_or_else(|| Refusal::malformed("public key: the base64 is wrong"))?;
        let key = Self::from_blob(&blob)?;
        if key.kind == kind {
            Ok(key)
        } else {
            Err(Refusal::malformed("public key: the type does not fit the base64"))
        }
    }

    /// Type and base64, as in a `.pub` file without the comment.
    pub fn to_text(&self) -> String {
        format!("{} {}", self.kind.as_str(), base64::encode(&self.blob))
    }

    /// `SHA256:` and unpadded base64, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", base64::unpadded(digest(&SHA256, &self.blob).as_ref()))
    }

    /// The key in SSH's wire form.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The kind of key.
    pub const fn kind(&self) -> KeyType {
        self.kind
    }

    /// What a security key was made for; OpenSSH's default is `ssh:`, a passkey's is the rpId. None for other keys.
    pub fn application(&self) -> Option<&str> {
        self.application.as_deref()
    }

    /// The same private key would sign for both, whatever the type or application says.
    pub(crate) fn same_point(&self, other: &Self) -> bool {
        self.point == other.point
    }

    /// Checks a signature over `data`, a security key's flags and a passkey's client data, all but which site may be used.
    /// True when the key verified its user.
    pub(crate) fn verify(&self, signature: &Signature, data: &[u8]) -> Result<bool, Refusal> {
        let Some(application) = &self.application else {
            self.verify_maths(signature, data)?;
            return Ok(false);
        };
        let (extensions, data) = match &signature.assertion {
            None => (&[][..], data),
            Some(assertion) => {
                assertion.check(signature.flags, data)?;
                (&*assertion.extensions, &*assertion.client_data)
            }
        };
        let mut signed = digest(&SHA256, application.as_bytes()).as_ref().to_vec();
        signed.push(signature.flags);
        signed.extend_from_slice(&signature.counter.to_be_bytes());
        signed.extend_from_slice(extensions);
        signed.extend_from_slice(digest(&SHA256, data).as_ref());
        self.verify_maths(signature, &signed)?;
        if signature.flags & USER_PRESENT == 0 {
            return Err(Refusal::new(Code::UserPresence, "the security key says that nobody touched it"));
        }
        Ok(signature.flags & USER_VERIFIED != 0)
    }

    fn verify_maths(&self, signature: &Signature, data: &[u8]) -> Result<(), Refusal> {
        let bytes = &signature.bytes;
        let wrong =
            || Refusal::new(Code::Signature, format!("{} did not sign these bytes", self.fingerprint()));
        if !self.kind.is_ed25519() {
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point);
            return key.verify(data, bytes).map_err(|_| wrong());
        }
        let r = bytes.first_chunk::<32>().ok_or_else(wrong)?;
        if let Some(reason) = point::refuse(r) {
            return Err(Refusal::new(Code::Signature, format!("the signature's R is {reason}")));
        }
        UnparsedPublicKey::new(&ED25519, &self.point).verify(data, bytes).map_err(|_| wrong())
    }
}

fn check_point(kind: KeyType, bytes: &[u8]) -> Result<(), Refusal> {
    if !kind.is_ed25519() {
        return match bytes {
            [4, rest @ ..] if rest.len() == 64 => Ok(()),
            _ => Err(Refusal::malformed("public key: a P-256 key is 65 bytes, uncompressed")),
        };
    }
    let point =
        bytes.try_into().map_err(|_| Refusal::malformed("public key: an Ed25519 key has 32 bytes"))?;
    match point::refuse(point) {
        None => Ok(()),
        Some(reason) => Err(Refusal::malformed(format!("public key: {reason}"))),
    }
}
