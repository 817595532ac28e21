//! An ID token, verified: `OpenID` Connect Core 1.0, sections 2 and 3.1.3.7, with the lessons of RFC 8725. Pure: no I/O, no clock.
//!
//! Which algorithm counts, the key says and not the token: a token cannot choose a weaker one, `none`, or a shared secret.

use base64ct::{Base64UrlUnpadded, Encoding};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Seconds by which the provider's clock and ours may differ.
const SKEW_S: f64 = 60.0;
/// Bytes of a token.
const MOST: usize = 32 << 10;
/// Keys of a provider that are looked at.
const KEYS: usize = 100;
/// Bytes of a subject (the specification's limit) and of an address.
const NAME: usize = 255;
/// Groups that are looked at.
const GROUPS: usize = 1000;

/// A public key of the provider with which it signs ID tokens.
#[derive(Debug, Clone)]
pub(super) struct Key {
    id: Option<String>,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// RS256.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// ES256: the point, uncompressed.
    P256(Vec<u8>),
    /// `EdDSA`.
    Ed25519(Vec<u8>),
}

/// A JWK (RFC 7517, RFC 7518 section 6, RFC 8037), as far as it matters here.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Kind {
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RS256",
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self {
            Self::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
        };
        verified.is_ok()
    }
}

impl Jwk {
    /// The key, if it is one that signs in a way that is taken here.
    fn key(self) -> Option<Key> {
        if self.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        let curve = self.crv.as_deref();
        let kind = match self.kty.as_str() {
            // Leading zeros are no part of the number (RFC 7518, section 6.3.1.1), but some write them.
            "RSA" => Kind::Rsa { n: number(&self.n?)?, e: number(&self.e?)? },
            "EC" if curve == Some("P-256") => {
                let (x, y) = (decode(&self.x?)?, decode(&self.y?)?);
                (x.len() == 32 && y.len() == 32).then(|| Kind::P256([&[4], x.as_slice(), &y].concat()))?
            }
            "OKP" if curve == Some("Ed25519") => Kind::Ed25519(decode(&self.x?)?),
            _ => return None,
        };
        let named = self.alg.as_deref().is_none_or(|alg| alg == kind.algorithm());
        named.then_some(Key { id: self.kid, kind })
    }
}

/// The keys of a JWK set that sign in a way that is taken here; of others nothing is said (RFC 7517, section 5).
pub(super) fn keys(set: &[u8]) -> Result<Vec<Key>, String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set = serde_json::from_slice(set).map_err(|e| format!("its keys: {e}"))?;
    let keys: Vec<Key> = set
        .keys
        .into_iter()
        .take(KEYS)
        .filter_map(|key| serde_json::from_value::<Jwk>(key).ok()?.key())
        .collect();
    if keys.is_empty() {
        return Err("it has no key for RS256, ES256 or EdDSA".to_owned());
    }
    Ok(keys)
}

/// What the token must say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    /// Where the provider writes groups.
    pub(super) groups_claim: &'a str,
    /// Seconds since 1970.
    pub(super) now_s: i64,
}

/// Who somebody is, as the provider says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claims {
    /// Never given to another person by this provider.
    pub(super) subject: String,
    /// Only one that the provider has verified.
    pub(super) email: Option<String>,
    pub(super) groups: Vec<String>,
}

/// Why a token does not count.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// None of the keys is the one that it names; there may be newer ones.
    UnknownKey,
    Wrong(String),
}

impl From<String> for Refused {
    fn from(cause: String) -> Self {
        Self::Wrong(cause)
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Body {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: f64,
    iat: f64,
    nbf: Option<f64>,
    nonce: Option<String>,
    email: Option<String>,
    email_verified: Option<Value>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    More(Vec<String>),
}

/// Verifies a token in the compact form and gives what it says.
pub(super) fn verify(token: &str, keys: &[Key], expected: &Expected<'_>) -> Result<Claims, Refused> {
    if token.len() > MOST {
        return Err(format!("the token has more than {MOST} bytes").into());
    }
    let (signed, signature) = token.rsplit_once('.').ok_or_else(|| "this is no token".to_owned())?;
    let (header, body) = signed.split_once('.').ok_or_else(|| "this is no token".to_owned())?;
    let part = |text: &str, what: &str| decode(text).ok_or_else(|| format!("its {what} is not base64url"));
    let header: Header = json(&part(header, "header")?, "header")?;
    if header.crit.is_some() {
        return Err("its header has critical extensions".to_owned().into());
    }
    let key = choose(keys, &header)?;
    if !key.kind.verify(signed.as_bytes(), &part(signature, "signature")?) {
        return Err("its signature is not by the provider's key".to_owned().into());
    }
    // Nothing of it is looked at before.
    let body: Body = json(&part(body, "body")?, "body")?;
    body.check(expected)?;
    Ok(body.claims(expected.groups_claim))
}

/// The key that the header names; without a name the only one of its kind.
fn choose<'a>(keys: &'a [Key], header: &Header) -> Result<&'a Key, Refused> {
    let fits =
        |key: &&Key| key.kind.algorithm() == header.alg && (header.kid.is_none() || key.id == header.kid);
    let mut fitting = keys.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => Err("it does not say which of several keys has signed it".to_owned().into()),
        (None, _) if ["RS256", "ES256", "EdDSA"].contains(&header.alg.as_str()) => Err(Refused::UnknownKey),
        (None, _) => Err(format!("its algorithm is {:?}, not RS256, ES256 or EdDSA", header.alg).into()),
    }
}

impl Body {
    fn check(&self, expected: &Expected<'_>) -> Result<(), String> {
        if self.iss != expected.issuer {
            return Err(format!("it is by {:?}, not by {}", self.iss, expected.issuer));
        }
        let (ours, others) = match &self.aud {
            Audience::One(one) => (one == expected.client_id, 0),
            Audience::More(all) => (
                all.iter().any(|a| a == expected.client_id),
                all.iter().filter(|a| *a != expected.client_id).count(),
            ),
        };
        if !ours {
            return Err("it is for another client".to_owned());
        }
        let party = self.azp.as_deref();
        if party.is_some_and(|azp| azp != expected.client_id) || (others > 0 && party.is_none()) {
            return Err("it was issued to another client".to_owned());
        }
        #[expect(clippy::cast_precision_loss, reason = "a moment in seconds is far below 2^52")]
        let now = expected.now_s as f64;
        if now >= self.exp + SKEW_S {
            return Err("it has expired".to_owned());
        }
        if self.iat > now + SKEW_S || self.nbf.is_some_and(|nbf| nbf > now + SKEW_S) {
            return Err("it is of the future: is a clock wrong?".to_owned());
        }
        if self.nonce.as_deref() != Some(expected.nonce) {
            return Err("it answers another login".to_owned());
        }
        if self.sub.is_empty() || self.sub.len() > NAME || self.sub.chars().any(char::is_control) {
            return Err("its subject is no name".to_owned());
        }
        Ok(())
    }

    fn claims(mut self, groups_claim: &str) -> Claims {
        let verified = self.email_verified == Some(Value::Bool(true));
        let groups = match self.others.remove(groups_claim) {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all
                .into_iter()
                .filter_map(|group| match group {
                    Value::String(name) => Some(name),
                    _ => None,
                })
                .take(GROUPS)
                .collect(),
            _ => Vec::new(),
        };
        let email = self.email.filter(|e| verified && !e.is_empty() && e.len() <= NAME);
        Claims { subject: self.sub, email, groups }
    }
}

fn json<T: serde::de::DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|e| format!("its {what}: {e}"))
}

fn decode(text: &str) -> Option<Vec<u8>> {
    Base64UrlUnpadded::decode_vec(text).ok()
}

fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = decode(text)?;
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    Some(bytes[zeros..].to_vec())
}
