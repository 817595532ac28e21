//! Signatures and keys: one spelling each, and nothing verifies but what was signed.

use std::sync::OnceLock;

use base64ct::{Base64, Encoding};
use grant::sshsig::{Hash, armor, signed_data};
use grant::{NAMESPACE, PublicKey, SshSig};
use ring::signature::{Ed25519KeyPair, KeyPair};

/// What the signatures among the seeds are over.
const MESSAGE: &[u8] = b"a message\n";

/// Takes the bytes as an armored signature, as its inside, as a key's wire form and as a key's line.
pub fn check(data: &[u8]) {
    let armored = SshSig::parse(data);
    if let Ok(read) = &armored {
        // The armor adds nothing: the inside alone reads the same.
        let text = std::str::from_utf8(data).unwrap_or_default();
        let inside: String = text.lines().filter(|l| !l.starts_with('-')).collect();
        let blob = Base64::decode_vec(&inside).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!(SshSig::from_blob(&blob).as_ref(), Ok(read));
        signature(read);
    }
    if let Ok(read) = SshSig::from_blob(data) {
        signature(&read);
    }
    if let Ok(read) = PublicKey::from_blob(data) {
        assert_eq!(read.blob(), data);
        key(&read);
    }
    if let Ok(read) =
        std::str::from_utf8(data).map_err(|_| ()).and_then(|t| PublicKey::from_text(t).map_err(|_| ()))
    {
        key(&read);
    }
}

fn key(key: &PublicKey) {
    assert_eq!(PublicKey::from_blob(key.blob()).as_ref(), Ok(key));
    assert_eq!(PublicKey::from_text(&key.to_text()).as_ref(), Ok(key));
    assert_eq!(key.kind().is_security_key(), key.application().is_some());
    assert!(key.fingerprint().starts_with("SHA256:"));
}

fn signature(read: &SshSig) {
    key(&read.key);
    if read.verify(MESSAGE).is_ok() {
        // Without the private key no other signature can be found than those that it made.
        assert!(
            genuine().iter().any(|armor| SshSig::parse(armor.as_bytes()).as_ref() == Ok(read)),
            "{read:?}"
        );
    }
}

/// Signatures over [`MESSAGE`] by a key whose seed is a constant: no secret.
fn genuine() -> &'static [String; 2] {
    static ALL: OnceLock<[String; 2]> = OnceLock::new();
    ALL.get_or_init(|| [Hash::Sha256, Hash::Sha512].map(sign))
}

fn sign(hash: Hash) -> String {
    let pair = pair();
    let signed = pair.sign(&signed_data(NAMESPACE, hash, MESSAGE));
    armor(&public(), NAMESPACE, hash, &strings(&[b"ssh-ed25519", signed.as_ref()]))
}

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap_or_else(|e| panic!("{e}"))
}

/// The public key in SSH's wire form.
fn public() -> Vec<u8> {
    strings(&[b"ssh-ed25519", pair().public_key().as_ref()])
}

fn strings(parts: &[&[u8]]) -> Vec<u8> {
    let field =
        |part: &&[u8]| [&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes()[..], part].concat();
    parts.iter().flat_map(field).collect()
}

/// A security key's wire form, made of a plain key: its point is good, and that is all a parser asks.
fn security_key() -> Vec<u8> {
    strings(&[b"sk-ssh-ed25519@openssh.com", pair().public_key().as_ref(), b"ssh:"])
}

/// A P-256 key's wire form: the curve's generator.
fn p256() -> Vec<u8> {
    const G: &str =
        "BGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfU=";
    let point = Base64::decode_vec(G).unwrap_or_else(|e| panic!("{e}"));
    strings(&[b"ecdsa-sha2-nistp256", b"nistp256", &point])
}

/// Public keys as they stand in files.
pub(crate) fn key_lines() -> Vec<String> {
    let line =
        |blob: Vec<u8>| PublicKey::from_blob(&blob).map_or_else(|e| panic!("{e:?}"), |key| key.to_text());
    [public(), security_key(), p256()].map(line).to_vec()
}

/// Armored signatures, one of each kind.
pub(crate) fn armors() -> Vec<String> {
    let tail = |kind: &[u8], body: &[u8], end: &[u8]| [strings(&[kind, body]), end.to_vec()].concat();
    let scalars = strings(&[&[1; 32], &[2; 32]]);
    let of_key = tail(b"sk-ssh-ed25519@openssh.com", &[1; 64], &[5, 0, 0, 0, 7]);
    let of_p256 = tail(b"ecdsa-sha2-nistp256", &scalars, b"");
    let mut all = genuine().to_vec();
    all.push(armor(&security_key(), NAMESPACE, Hash::Sha512, &of_key));
    all.push(armor(&p256(), NAMESPACE, Hash::Sha512, &of_p256));
    all
}

/// Inputs to start from.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![public(), security_key(), p256()];
    for text in armors() {
        let inside: String = text.lines().filter(|l| !l.starts_with('-')).collect();
        all.push(Base64::decode_vec(&inside).unwrap_or_default());
        all.push(text.into_bytes());
    }
    all.extend(key_lines().into_iter().map(String::into_bytes));
    all
}
