//! An OIDC provider of our own, as honest or not as a test wants it. What a real one signs is tried in scripts/browser.sh.
//!
//! `support/sink.rs` must be beside it as `sink`.

use std::collections::HashMap;
use std::io::{BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use base64ct::{Base64UrlUnpadded, Encoding};
use mcp_linux_infra::store::now_ms;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use super::sink::{Certificate, read_request};

/// The secret of the client `dashboard`, with what a form must not send as it is.
pub(crate) const SECRET: &str = "s3cret:+ /&=";

type Change = Box<dyn Fn(&mut Value) + Send>;

struct Inner {
    base: String,
    key: EcdsaKeyPair,
    kid: String,
    /// What it says of itself instead.
    published: Change,
    /// What it signs instead.
    claims: Change,
    /// What its token endpoint answers instead of a token: status line and body.
    instead: Option<(String, String)>,
    /// Of those who were let in and have not redeemed it: by code, what the dashboard had asked for, and the subject.
    codes: HashMap<String, (HashMap<String, String>, String)>,
    /// Lines of requests.
    got: Vec<String>,
}

/// It answers on loopback until the test's process ends.
pub(crate) struct Provider {
    pub(crate) port: u16,
    inner: Arc<Mutex<Inner>>,
}

impl Provider {
    pub(crate) fn start(tls: Option<&Certificate>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let inner = Arc::new(Mutex::new(Inner {
            base: format!("{scheme}://localhost:{port}/realms/ops"),
            key: key(),
            kid: "first".to_owned(),
            published: Box::new(|_| ()),
            claims: Box::new(|_| ()),
            instead: None,
            codes: HashMap::new(),
            got: Vec::new(),
        }));
        let (kept, tls) = (Arc::clone(&inner), tls.map(Certificate::server));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                match &tls {
                    None => answer(stream, &kept),
                    Some(config) => {
                        let connection = rustls::ServerConnection::new(Arc::clone(config)).unwrap();
                        answer(rustls::StreamOwned::new(connection, stream), &kept);
                    }
                }
            }
        });
        Self { port, inner }
    }

    pub(crate) fn issuer(&self) -> String {
        self.inner.lock().unwrap().base.clone()
    }

    /// From now on it says this of itself.
    pub(crate) fn publishes(&self, change: impl Fn(&mut Value) + Send + 'static) {
        self.inner.lock().unwrap().published = Box::new(change);
    }

    /// From now on it signs this.
    pub(crate) fn signs(&self, change: impl Fn(&mut Value) + Send + 'static) {
        self.inner.lock().unwrap().claims = Box::new(change);
    }

    /// From now on this is what its token endpoint answers.
    pub(crate) fn answers(&self, instead: Option<(&str, &str)>) {
        self.inner.lock().unwrap().instead = instead.map(|(status, body)| (status.into(), body.into()));
    }

    /// Has a new key under a new name from now on.
    pub(crate) fn new_key(&self) {
        let mut inner = self.inner.lock().unwrap();
        (inner.key, inner.kid) = (key(), "second".to_owned());
    }

    /// How many requests had a line that begins so.
    pub(crate) fn count(&self, begin: &str) -> usize {
        self.inner.lock().unwrap().got.iter().filter(|line| line.starts_with(begin)).count()
    }

    /// What happens on its login page: `subject` is let in, and the browser goes back with a code. Gives code and state.
    pub(crate) fn let_in(&self, url: &str, subject: &str) -> (String, String) {
        let mut inner = self.inner.lock().unwrap();
        let (page, query) = url.split_once('?').unwrap();
        assert_eq!(page, format!("{}/authorize", inner.base));
        let asked: HashMap<String, String> =
            form_urlencoded::parse(query.as_bytes()).map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
        assert_eq!(asked["response_type"], "code");
        assert_eq!(asked["client_id"], "dashboard");
        assert_eq!(asked["code_challenge_method"], "S256");
        assert_eq!(asked["scope"], "openid email");
        for name in ["nonce", "state", "code_challenge"] {
            assert!(asked[name].len() >= 43, "{name}: {url}");
        }
        let (code, state) = (format!("code-{}", inner.got.len() + inner.codes.len()), asked["state"].clone());
        inner.codes.insert(code.clone(), (asked, subject.to_owned()));
        (code, state)
    }
}

fn key() -> EcdsaKeyPair {
    let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap()
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    Base64UrlUnpadded::encode_string(bytes.as_ref())
}

fn answer(stream: impl Read + Write, inner: &Mutex<Inner>) {
    let mut reader = BufReader::new(stream);
    let Some(got) = read_request(&mut reader) else { return };
    let mut inner = inner.lock().unwrap();
    inner.got.push(got.line.clone());
    let (status, said) = match got.line.split(' ').nth(1).unwrap() {
        "/realms/ops/.well-known/openid-configuration" => ("200 OK".to_owned(), inner.publish().to_string()),
        "/realms/ops/keys" => ("200 OK".to_owned(), inner.keys().to_string()),
        "/realms/ops/token" => inner.token(got.header("authorization"), got.body.as_bytes()),
        _ => ("404 Not Found".to_owned(), "<html>".to_owned()),
    };
    let length = said.len();
    let _ = write!(
        reader.get_mut(),
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{said}"
    );
    let _ = reader.get_mut().flush();
}

impl Inner {
    fn publish(&self) -> Value {
        let base = &self.base;
        let mut said = json!({
            "issuer": base,
            "authorization_endpoint": format!("{base}/authorize"),
            "token_endpoint": format!("{base}/token"),
            "jwks_uri": format!("{base}/keys"),
        });
        (self.published)(&mut said);
        said
    }

    fn keys(&self) -> Value {
        let point = self.key.public_key().as_ref();
        json!({ "keys": [
            { "kty": "EC", "kid": self.kid, "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..]) }
        ] })
    }

    /// A code is worth one token, to the client that has asked for it, and to the browser's very login (RFC 7636).
    fn token(&mut self, authorization: Option<&str>, body: &[u8]) -> (String, String) {
        let given: HashMap<_, _> = form_urlencoded::parse(body).into_owned().collect();
        if let Some(instead) = &self.instead {
            return instead.clone();
        }
        let no = |error: &str| {
            let said = json!({ "error": error, "error_description": "no \u{1b}[31mcode" });
            ("400 Bad Request".to_owned(), said.to_string())
        };
        let secret: String = form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
        let expected = base64ct::Base64::encode_string(format!("dashboard:{secret}").as_bytes());
        if authorization != Some(&format!("Basic {expected}")) {
            return no("invalid_client");
        }
        let Some((asked, subject)) = self.codes.remove(&given["code"]) else { return no("invalid_grant") };
        let proof = b64(digest(&SHA256, given["code_verifier"].as_bytes()));
        if given["grant_type"] != "authorization_code"
            || given["redirect_uri"] != asked["redirect_uri"]
            || proof != asked["code_challenge"]
        {
            return no("invalid_grant");
        }
        let now = now_ms() / 1000;
        let mut claims = json!({
            "iss": self.base, "sub": subject, "aud": "dashboard", "iat": now, "exp": now + 300, "nonce": asked["nonce"],
        });
        (self.claims)(&mut claims);
        let header = json!({ "alg": "ES256", "kid": self.kid });
        let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        let token = format!("{signed}.{}", b64(signature));
        (
            "200 OK".to_owned(),
            json!({ "id_token": token, "access_token": "a", "token_type": "Bearer" }).to_string(),
        )
    }
}
