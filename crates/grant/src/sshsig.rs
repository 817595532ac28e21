//! OpenSSH's signatures of files (PROTOCOL.sshsig), read strictly and written for who signs.

use ring::digest::{SHA256, SHA512, digest};

use crate::key::{KeyType, PublicKey};
use crate::webauthn::Assertion;
use crate::wire::{Reader, put_string};
use crate::{Code, Refusal, base64};

const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----\n";
const END: &str = "-----END SSH SIGNATURE-----";
/// OpenSSH's line length.
const WIDTH: usize = 70;
/// The longest line that is read (PEM's and MIME's).
const MAX_WIDTH: usize = 76;

/// The most bytes an armored signature may have; one by a security key has about 500.
pub const MAX_ARMOR: usize = 8 * 1024;

/// How the message is digested before it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// `sha256`
    Sha256,
    /// `sha512`: what `ssh-keygen` uses.
    Sha512,
}

impl Hash {
    /// The name in the signature.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn parse(name: &[u8]) -> Result<Self, Refusal> {
        match name {
            b"sha256" => Ok(Self::Sha256),
            b"sha512" => Ok(Self::Sha512),
            _ => Err(Refusal::new(Code::Algorithm, "the signature's hash must be sha256 or sha512")),
        }
    }

    fn digest(self, message: &[u8]) -> ring::digest::Digest {
        match self {
            Self::Sha256 => digest(&SHA256, message),
            Self::Sha512 => digest(&SHA512, message),
        }
    }
}

/// One signature as it was read. Nothing is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshSig {
    /// Who says to have signed.
    pub key: PublicKey,
    /// What for.
    pub namespace: String,
    /// How the message was digested.
    pub hash: Hash,
    pub(crate) signature: Signature,
}

/// The signature proper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    /// Ed25519: R and S; ECDSA: r and s.
    pub(crate) bytes: [u8; 64],
    /// A security key's flags; 0 for other keys.
    pub(crate) flags: u8,
    /// A security key's count of signatures; 0 for other keys.
    pub(crate) counter: u32,
    /// Made by passkey, on a site.
    pub(crate) assertion: Option<Assertion>,
}

impl SshSig {
    /// Reads one armored signature. A final newline may be there, nothing else after the last line.
    ///
    /// # Errors
    /// `too_large`, `malformed`, `trailing_data` or `algorithm`.
    pub fn parse(armor: &[u8]) -> Result<Self, Refusal> {
        if armor.len() > MAX_ARMOR {
            return Err(Refusal::new(
                Code::TooLarge,
                format!("an armored signature has at most {MAX_ARMOR} bytes"),
            ));
        }
        Self::from_blob(&unarmor(armor)?)
    }

    /// Reads the bytes inside the armor.
    ///
    /// # Errors
    /// `malformed`, `trailing_data` or `algorithm`.
    pub fn from_blob(blob: &[u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new(blob, "SSH signature");
        if reader.bytes(MAGIC.len())? != MAGIC {
            return Err(Refusal::malformed("SSH signature: the magic word is missing"));
        }
        let version = reader.u32()?;
        if version != VERSION {
            return Err(Refusal::malformed(format!("SSH signature: version {version} is not known")));
        }
        let key = PublicKey::from_blob(reader.string()?)?;
        let namespace = reader.text()?.to_owned();
        if !reader.string()?.is_empty() {
            return Err(Refusal::malformed("SSH signature: the reserved field must be empty"));
        }
        let hash = Hash::parse(reader.string()?)?;
        let signature = Signature::parse(reader.string()?, key.kind())?;
        reader.end()?;
        Ok(Self { key, namespace, hash, signature })
    }

    /// The site on which a passkey says to have been used; none for other signatures.
    pub fn origin(&self) -> Option<&str> {
        self.signature.assertion.as_ref().map(|assertion| assertion.origin.as_str())
    }

    /// How many signatures a security key or passkey says to have made; none for other keys.
    pub fn counter(&self) -> Option<u32> {
        self.key.kind().is_security_key().then_some(self.signature.counter)
    }

    /// Checks the signature over the message; true when a security key verified its user.
    ///
    /// Who the signer is, and whether namespace, application and origin are the right ones, is not asked here.
    ///
    /// # Errors
    /// `signature`, `user_presence`; of a passkey also `authenticator_data`, `client_data`, `challenge`, `origin`.
    pub fn verify(&self, message: &[u8]) -> Result<bool, Refusal> {
        self.key.verify(&self.signature, &signed_data(&self.namespace, self.hash, message))
    }
}

impl Signature {
    fn parse(blob: &[u8], kind: KeyType) -> Result<Self, Refusal> {
        let mut reader = Reader::new(blob, "signature");
        let algorithm = reader.text()?;
        let by_passkey = kind.webauthn() == Some(algorithm);
        if !by_passkey && KeyType::parse(algorithm)? != kind {
            return Err(Refusal::new(Code::Algorithm, "the signature's algorithm does not fit its key"));
        }
        let body = reader.string()?;
        let bytes = if kind.is_ed25519() {
            body.try_into().map_err(|_| Refusal::malformed("an Ed25519 signature has 64 bytes"))?
        } else {
            read_ecdsa(body)?
        };
        let (flags, counter) = if kind.is_security_key() { (reader.byte()?, reader.u32()?) } else { (0, 0) };
        let assertion = if by_passkey { Some(Assertion::read(&mut reader)?) } else { None };
        reader.end()?;
        Ok(Self { bytes, flags, counter, assertion })
    }
}

fn read_ecdsa(body: &[u8]) -> Result<[u8; 64], Refusal> {
    let mut reader = Reader::new(body, "ECDSA signature");
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&reader.scalar()?);
    bytes[32..].copy_from_slice(&reader.scalar()?);
    reader.end()?;
    Ok(bytes)
}

fn unarmor(armor: &[u8]) -> Result<Vec<u8>, Refusal> {
    let text = std::str::from_utf8(armor).map_err(|_| Refusal::malformed("the armor is not text"))?;
    let body = text.strip_prefix(BEGIN).ok_or_else(|| {
        Refusal::malformed("an armored signature begins with `-----BEGIN SSH SIGNATURE-----`")
    })?;
    let (body, after) =
        body.split_once(END).ok_or_else(|| Refusal::malformed("the armored signature has no end"))?;
    if !matches!(after, "" | "\n") {
        return Err(Refusal::new(Code::TrailingData, "something follows the armored signature"));
    }
    let body =
        body.strip_suffix('\n').ok_or_else(|| Refusal::malformed("the armor's last line is not a line"))?;
    if body.split('\n').any(|line| line.is_empty() || line.len() > MAX_WIDTH) {
        return Err(Refusal::malformed(format!("a line of the armor has 1 to {MAX_WIDTH} characters")));
    }
    base64::decode(&body.replace('\n', "")).ok_or_else(|| Refusal::malformed("the armor's base64 is wrong"))
}

/// The bytes that a key or an agent signs to approve `message`.
pub fn signed_data(namespace: &str, hash: Hash, message: &[u8]) -> Vec<u8> {
    let mut data = MAGIC.to_vec();
    put_string(&mut data, namespace.as_bytes());
    put_string(&mut data, b"");
    put_string(&mut data, hash.as_str().as_bytes());
    put_string(&mut data, hash.digest(message).as_ref());
    data
}

/// The armored signature, as `ssh-keygen -Y sign` writes it.
///
/// `public_key` and `signature` are in SSH's wire form: what an agent lists and what it answers.
pub fn armor(public_key: &[u8], namespace: &str, hash: Hash, signature: &[u8]) -> String {
    let mut blob = MAGIC.to_vec();
    blob.extend_from_slice(&VERSION.to_be_bytes());
    for field in [public_key, namespace.as_bytes(), b"", hash.as_str().as_bytes(), signature] {
        put_string(&mut blob, field);
    }
    let encoded = base64::encode(&blob);
    let mut text = BEGIN.to_owned();
    for (index, character) in encoded.chars().enumerate() {
        if index > 0 && index % WIDTH == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push('\n');
    text.push_str(END);
    text.push('\n');
    text
}
