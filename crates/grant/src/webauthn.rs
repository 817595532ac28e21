//! Signatures by passkey: what a browser lets an authenticator sign (W3C WebAuthn), carried as OpenSSH carries it.
//!
//! A passkey does not sign the data itself. The browser writes *client data*, a JSON object that holds the data as the
//! challenge and the site's origin, and the authenticator signs
//! `sha256(rpId) ‖ flags ‖ counter ‖ extensions ‖ sha256(client data)`. OpenSSH's PROTOCOL.u2f carries this as the signature type
//! [`ECDSA`]; the first hash is made anew from the application of the key, which therefore is the rpId.
//!
//! OpenSSH compares the beginning of the client data with the one text that browsers write. That is done here too, and then
//! the whole of it is parsed.

use std::collections::BTreeSet;
use std::fmt;

use ring::digest::{SHA256, digest};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::sshsig::{self, Hash, signed_data};
use crate::wire::{Reader, put_string};
use crate::{Code, NAMESPACE, PublicKey, Refusal, SshSig, base64};

/// OpenSSH's name of an ECDSA P-256 signature by passkey.
pub const ECDSA: &str = "webauthn-sk-ecdsa-sha2-nistp256@openssh.com";

/// The name of an Ed25519 signature by passkey. OpenSSH has none, so `ssh-keygen` cannot check such a signature; its fields are
/// those of [`ECDSA`], with the 64 bytes of R and S in place of the two numbers.
pub const ED25519: &str = "webauthn-sk-ssh-ed25519@mcp-linux-infra";

/// The most bytes that client data may have; a browser's has about 400.
pub const MAX_CLIENT_DATA: usize = 2 * 1024;

/// The most bytes that an authenticator's extension outputs may have. They are signed, and not read.
pub const MAX_EXTENSIONS: usize = 512;

/// Origins that a target can list, at most.
pub const MAX_ORIGINS: usize = 16;

/// Reserved for later by WebAuthn: what they will mean is not known here.
const RESERVED: u8 = 0x02 | 0x20;
/// The passkey may be copied to other devices.
const BACKUP_ELIGIBLE: u8 = 0x08;
/// The passkey has been copied.
const BACKED_UP: u8 = 0x10;
/// A new key's data follow: never in an assertion.
const ATTESTED: u8 = 0x40;
/// Extension outputs follow.
const EXTENSIONS: u8 = 0x80;

/// What passkeys must have been made for, and on which sites they may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkeys {
    rp_id: String,
    origins: Vec<String>,
}

impl Passkeys {
    /// `rp_id` is a domain in lower case; each origin is spelled as browsers spell it, `https://HOST` or `https://HOST:PORT`, and
    /// its host is the domain or beneath it. `http://` is possible for `localhost` alone.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub fn new(rp_id: &str, origins: &[String]) -> Result<Self, String> {
        if !is_domain(rp_id) {
            return Err(format!("{rp_id:?}: rp_id must be a domain in lower case"));
        }
        if origins.is_empty() || origins.len() > MAX_ORIGINS {
            return Err(format!("1 to {MAX_ORIGINS} origins must be listed"));
        }
        origins.iter().try_for_each(|origin| check_origin(origin, rp_id))?;
        Ok(Self { rp_id: rp_id.to_owned(), origins: origins.to_vec() })
    }

    /// The application of every passkey's line in the approvers file.
    pub fn rp_id(&self) -> &str {
        &self.rp_id
    }

    /// The sites.
    pub fn origins(&self) -> &[String] {
        &self.origins
    }

    /// Whether a passkey may be used on this site.
    pub(crate) fn lists(&self, origin: &str) -> bool {
        self.origins.iter().any(|listed| listed == origin)
    }
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    // the last label of an address is a number, and an address is no rpId
    let address = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= 253 && text.split('.').all(label) && !address
}

fn check_origin(origin: &str, rp_id: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{origin:?}: {what}"));
    let (scheme, rest) = origin.split_once("://").unwrap_or_default();
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let default = match scheme {
        "https" => "443",
        "http" if host == "localhost" => "80",
        _ => return wrong("an origin is https://HOST or https://HOST:PORT; http:// for localhost alone"),
    };
    if !is_domain(host) {
        return wrong("the host must be a domain in lower case, and nothing may follow it but a port");
    }
    if host != rp_id && host.strip_suffix(rp_id).is_none_or(|front| !front.ends_with('.')) {
        return wrong("the host must be rp_id or beneath it");
    }
    // browsers leave out the default port and leading zeros
    let spelled = |port: &str| port.parse::<u16>().is_ok_and(|n| n > 0 && n.to_string() == port);
    if port.is_some_and(|port| port == default || !spelled(port)) {
        return wrong("the port must be a number that is not the default one");
    }
    Ok(())
}

/// What a signature by passkey has besides flags and counter. Nothing is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assertion {
    pub(crate) origin: String,
    pub(crate) client_data: Vec<u8>,
    pub(crate) extensions: Vec<u8>,
}

impl Assertion {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let origin = reader.text()?.to_owned();
        let (client_data, extensions) = (reader.string()?, reader.string()?);
        for (what, bytes, max) in
            [("client data", client_data, MAX_CLIENT_DATA), ("extensions", extensions, MAX_EXTENSIONS)]
        {
            if bytes.len() > max {
                let message = format!("a passkey's {what} have at most {max} bytes");
                return Err(Refusal::new(Code::TooLarge, message));
            }
        }
        Ok(Self { origin, client_data: client_data.to_vec(), extensions: extensions.to_vec() })
    }

    /// The client data say that a person used the passkey on `origin` to sign `data`, and the flags fit the rest.
    ///
    /// # Errors
    /// `authenticator_data`, `client_data`, `challenge`, `origin`.
    pub(crate) fn check(&self, flags: u8, data: &[u8]) -> Result<(), Refusal> {
        check_flags(flags, self.extensions.is_empty())?;
        let client = ClientData::parse(&self.client_data)?;
        let wrong = |message: String| Err(Refusal::new(Code::ClientData, message));
        if client.kind != "webauthn.get" {
            return wrong(format!("the type is {:?}, not \"webauthn.get\"", client.kind));
        }
        let challenge = base64::url(data);
        if client.challenge != challenge {
            return Err(Refusal::new(Code::Challenge, "the passkey was used for other bytes than these"));
        }
        if client.origin != self.origin {
            let message = format!("the passkey was used on {:?}, not on {:?}", client.origin, self.origin);
            return Err(Refusal::new(Code::Origin, message));
        }
        if client.framed {
            return wrong("the passkey was used within a frame of another site".to_owned());
        }
        if self.client_data.starts_with(begin(&challenge, &self.origin).as_bytes()) {
            Ok(())
        } else {
            wrong("they do not begin with type, challenge and origin as browsers write them".to_owned())
        }
    }
}

/// What OpenSSH wants the client data to begin with.
fn begin(challenge: &str, origin: &str) -> String {
    format!(r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"{origin}""#)
}

fn check_flags(flags: u8, no_extensions: bool) -> Result<(), Refusal> {
    let cause = if flags & RESERVED != 0 {
        "a reserved flag is set"
    } else if flags & ATTESTED != 0 {
        "they hold a new key, so this is no approval"
    } else if flags & BACKED_UP != 0 && flags & BACKUP_ELIGIBLE == 0 {
        "a key that cannot be copied says that it was"
    } else if (flags & EXTENSIONS == 0) != no_extensions {
        "the flag for extensions does not fit what follows"
    } else {
        return Ok(());
    };
    Err(Refusal::new(
        Code::AuthenticatorData,
        format!("the authenticator's data: {cause} (flags {flags:#04x})"),
    ))
}

/// The fields of client data that decide something. Others may stand there: browsers add some.
#[derive(Debug, Default)]
struct ClientData {
    kind: String,
    challenge: String,
    origin: String,
    /// `crossOrigin` is true or a `topOrigin` is named.
    framed: bool,
}

impl ClientData {
    fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let wrong = |cause: String| Refusal::new(Code::ClientData, format!("the client data: {cause}"));
        // serde_json does not look at the encoding of what it skips
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("not UTF-8".to_owned()))?;
        serde_json::from_str(text).map_err(|error| wrong(error.to_string()))
    }
}

impl<'de> Deserialize<'de> for ClientData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ClientDataVisitor)
    }
}

struct ClientDataVisitor;

impl<'de> Visitor<'de> for ClientDataVisitor {
    type Value = ClientData;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ClientData, A::Error> {
        let mut data = ClientData::default();
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "type" => data.kind = map.next_value()?,
                "challenge" => data.challenge = map.next_value()?,
                "origin" => data.origin = map.next_value()?,
                "crossOrigin" => data.framed |= map.next_value::<bool>()?,
                "topOrigin" => {
                    map.next_value::<IgnoredAny>()?;
                    data.framed = true;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            if !seen.insert(key) {
                return Err(Error::custom("a field stands twice"));
            }
        }
        match ["type", "challenge", "origin"].into_iter().find(|field| !seen.contains(*field)) {
            None => Ok(data),
            Some(field) => Err(Error::custom(format!("the field {field} is missing"))),
        }
    }
}

/// The challenge with which a passkey approves `statement`: give these bytes to the browser's `navigator.credentials.get`.
pub fn challenge(statement: &[u8]) -> Vec<u8> {
    signed_data(NAMESPACE, Hash::Sha512, statement)
}

/// The armored signature, as a grant carries it, from what `navigator.credentials.get` answers: authenticator data, client data
/// and signature, each as bytes. Nothing is verified but the form; the target does that.
///
/// # Errors
/// `algorithm` for a key that is no passkey, `application` for another rpId, `authenticator_data`, `client_data`, `malformed`.
pub fn armor(
    key: &PublicKey,
    authenticator_data: &[u8],
    client_data: &[u8],
    signature: &[u8],
) -> Result<String, Refusal> {
    let (Some(name), Some(rp_id)) = (key.kind().webauthn(), key.application()) else {
        return Err(Refusal::new(Code::Algorithm, "a passkey is an Ed25519 or ECDSA P-256 key with an rpId"));
    };
    let Some((rp_id_hash, rest)) = authenticator_data.split_first_chunk::<32>().filter(|(_, r)| r.len() >= 5)
    else {
        return Err(Refusal::new(Code::AuthenticatorData, "the authenticator's data are cut"));
    };
    if rp_id_hash != digest(&SHA256, rp_id.as_bytes()).as_ref() {
        return Err(Refusal::new(Code::Application, format!("the assertion is not for {rp_id:?}")));
    }
    let (head, extensions) = rest.split_at(5);
    let origin = ClientData::parse(client_data)?.origin;
    let mut blob = Vec::new();
    put_string(&mut blob, name.as_bytes());
    put_string(&mut blob, &if key.kind().is_ed25519() { signature.to_vec() } else { numbers(signature)? });
    blob.extend_from_slice(head);
    for field in [origin.as_bytes(), client_data, extensions] {
        put_string(&mut blob, field);
    }
    let armored = sshsig::armor(key.blob(), NAMESPACE, Hash::Sha512, &blob);
    SshSig::parse(armored.as_bytes()).map(|_| armored)
}

/// The two numbers of a DER signature, as SSH writes them. An integer's bytes are the same in both.
fn numbers(der: &[u8]) -> Result<Vec<u8>, Refusal> {
    let two = || {
        let (body, []) = field(0x30, der)? else { return None };
        let (r, rest) = field(0x02, body)?;
        let (s, []) = field(0x02, rest)? else { return None };
        Some((r, s))
    };
    let (r, s) = two().ok_or_else(|| Refusal::malformed("the signature is not two numbers in DER"))?;
    let mut out = Vec::new();
    put_string(&mut out, r);
    put_string(&mut out, s);
    Ok(out)
}

/// The content of a DER field and what follows it. Two numbers of at most 33 bytes: every length is one byte.
fn field(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match bytes {
        [found, length @ 0..0x80, rest @ ..] if *found == tag => rest.split_at_checked(usize::from(*length)),
        _ => None,
    }
}
