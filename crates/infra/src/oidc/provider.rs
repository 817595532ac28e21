//! The provider: what it publishes of itself, and the exchange of a code for an ID token.

use std::time::{Duration, Instant};

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, Semaphore};

use crate::config::Oidc;
use crate::fetch::header::{ACCEPT, CONTENT_TYPE};
use crate::fetch::{self, Answer, Ask, Endpoint};
use crate::hosts::hygiene;

use super::token::{self, Expected, Key, Refused};
use super::{Admitted, Mapping};

/// Bytes of an answer of the provider's.
const MOST: usize = 256 << 10;
/// For all that is asked of the provider in one login.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long what it publishes counts.
const FRESH: Duration = Duration::from_mins(10);
/// Between two looks for a key that is not known: whoever sends tokens must not make us ask at will.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Logins that ask the provider at once.
const AT_ONCE: usize = 8;

/// `OpenID` Connect Discovery 1.0, section 3, as far as it matters here.
#[derive(Debug, Clone, Deserialize)]
struct Published {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

#[derive(Debug, Clone)]
struct Known {
    published: Published,
    token: Endpoint,
    keys: Vec<Key>,
    since: Instant,
}

/// A login that was begun: what the browser is sent to, and what is kept of it.
#[derive(Debug)]
pub(crate) struct Begun {
    /// The provider's page.
    pub(crate) url: String,
    /// What the ID token must repeat.
    pub(crate) nonce: String,
    /// Proves to the provider that who redeems the code has begun the login (PKCE).
    pub(crate) verifier: String,
}

/// What a browser brought back, and what was kept of the login meanwhile.
#[derive(Debug)]
pub(crate) struct Returned<'a> {
    pub(crate) code: &'a str,
    /// Who the answer says it is by (RFC 9207).
    pub(crate) issuer: Option<&'a str>,
    pub(crate) nonce: &'a str,
    pub(crate) verifier: &'a str,
    /// Where the browser was sent back to.
    pub(crate) redirect: &'a str,
}

/// Why somebody does not come in.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The provider cannot be used now.
    Provider(String),
    /// It, or its token, says no.
    Refused(String),
}

/// A provider, with what it has published lately.
#[derive(Debug)]
pub struct Provider {
    settings: Oidc,
    discovery: Endpoint,
    mapping: Mapping,
    known: Mutex<Option<Known>>,
    slots: Semaphore,
}

impl Provider {
    pub(super) fn new(settings: Oidc) -> Result<Self, String> {
        let issuer = Endpoint::parse(&settings.issuer).map_err(|e| format!("issuer: {e}"))?;
        if settings.issuer.contains(['?', '#']) {
            return Err("issuer: it has no ? and no #".to_owned());
        }
        if settings.client_id.is_empty() || settings.client_id.chars().any(char::is_control) {
            return Err("client_id: this is no name".to_owned());
        }
        for scope in &settings.scopes {
            let token = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            if scope.is_empty() || !scope.bytes().all(token) {
                return Err(format!("scopes: {scope:?} is no scope; write one in each text"));
            }
        }
        let mapping = Mapping::new(&settings)?;
        let discovery = issuer.behind("/.well-known/openid-configuration");
        Ok(Self { settings, discovery, mapping, known: Mutex::default(), slots: Semaphore::new(AT_ONCE) })
    }

    /// What the login page calls it.
    pub fn label(&self) -> &str {
        self.settings.label.as_deref().unwrap_or_else(|| self.discovery.host())
    }

    /// Its URL.
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// How long a session lasts that it has begun.
    pub(crate) fn session(&self) -> Duration {
        self.settings.session
    }

    /// Asks the provider what it publishes: how many keys of its can be used.
    ///
    /// Errors: what is wrong with it, or with a file that is needed to talk to it.
    pub async fn look(&self) -> Result<usize, String> {
        self.secret()?;
        let looked = tokio::time::timeout(PATIENCE, self.publish()).await;
        Ok(looked.map_err(|_| self.silent())??.keys.len())
    }

    /// Where a browser is sent. `state` comes back with it.
    pub(crate) async fn begin(&self, state: &str, redirect: &str) -> Result<Begun, Failed> {
        let known = self.in_time(self.known(None)).await?;
        let (nonce, verifier) = (random()?, random()?);
        let challenge = Base64UrlUnpadded::encode_string(digest(&SHA256, verifier.as_bytes()).as_ref());
        let mut scope = "openid".to_owned();
        for more in self.settings.scopes.iter().filter(|s| *s != "openid") {
            scope.push_str(&format!(" {more}"));
        }
        let query = form(&[
            ("response_type", "code"),
            ("client_id", &self.settings.client_id),
            ("redirect_uri", redirect),
            ("scope", &scope),
            ("state", state),
            ("nonce", &nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let page = &known.published.authorization_endpoint;
        let url = format!("{page}{}{query}", if page.contains('?') { '&' } else { '?' });
        Ok(Begun { url, nonce, verifier })
    }

    /// Takes the code to the provider, verifies the ID token that it gives for it, and looks up who that is.
    pub(crate) async fn redeem(&self, returned: &Returned<'_>, now_s: i64) -> Result<Admitted, Failed> {
        let busy = |_| Failed::Provider("too many logins at once: try again".to_owned());
        let _slot = self.slots.try_acquire().map_err(busy)?;
        self.in_time(self.redeem_now(returned, now_s)).await
    }

    async fn redeem_now(&self, returned: &Returned<'_>, now_s: i64) -> Result<Admitted, Failed> {
        let known = self.known(None).await?;
        let said = known.published.authorization_response_iss_parameter_supported;
        if returned.issuer.is_some_and(|i| i != self.settings.issuer) || (said && returned.issuer.is_none()) {
            return Err(Failed::Refused(format!("the browser comes back from {:?}", returned.issuer)));
        }
        let token = self.exchange(&known, returned).await?;
        let expected = Expected {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            nonce: returned.nonce,
            groups_claim: &self.settings.groups_claim,
            now_s,
        };
        let mut verified = token::verify(&token, &known.keys, &expected);
        if verified == Err(Refused::UnknownKey) {
            let newer = self.known(Some(known.since)).await?;
            verified = token::verify(&token, &newer.keys, &expected);
        }
        let claims = verified.map_err(|refused| {
            Failed::Refused(match refused {
                Refused::UnknownKey => "the token names a key that the provider does not publish".to_owned(),
                Refused::Wrong(cause) => format!("the token: {cause}"),
            })
        })?;
        self.mapping.admit(&self.settings.issuer, &claims).map_err(Failed::Refused)
    }

    async fn exchange(&self, known: &Known, returned: &Returned<'_>) -> Result<String, Failed> {
        #[derive(Deserialize)]
        struct Tokens {
            id_token: String,
        }
        #[derive(Deserialize)]
        struct No {
            error: String,
            error_description: Option<String>,
        }
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", returned.code),
            ("redirect_uri", returned.redirect),
            ("code_verifier", returned.verifier),
        ];
        let client = self.settings.client_id.as_str();
        let secret = self.secret().map_err(Failed::Provider)?;
        let authorization = match (&secret, self.way(&known.published)) {
            (None, _) => {
                fields.push(("client_id", client));
                None
            }
            (Some(secret), Ok(Way::Basic)) => {
                let word = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", word(client), word(secret));
                Some(format!("Basic {}", Base64::encode_string(pair.as_bytes())))
            }
            (Some(secret), Ok(Way::Body)) => {
                fields.extend([("client_id", client), ("client_secret", secret)]);
                None
            }
            (Some(_), Err(cause)) => return Err(Failed::Provider(cause)),
        };
        let ask = Ask {
            method: "POST".to_owned(),
            headers: vec![
                (CONTENT_TYPE, "application/x-www-form-urlencoded".to_owned()),
                (ACCEPT, "application/json".to_owned()),
            ],
            authorization,
            body: form(&fields).into_bytes(),
        };
        let answer = fetch::send(&known.token, ask, self.settings.ca_file.as_deref(), MOST)
            .await
            .map_err(|e| Failed::Provider(format!("its token endpoint: {e}")))?;
        if answer.status.is_client_error() {
            let no: No = read(&answer, "its token endpoint").map_err(Failed::Provider)?;
            let said = format!("{} {}", no.error, no.error_description.unwrap_or_default());
            let cause = format!(
                "its token endpoint: {}",
                hygiene::one_line(&hygiene::clean(said.as_bytes()).text, 200)
            );
            // Of all its errors one is the browser's (RFC 6749, section 5.2); the others are of the configuration, and nobody's guess.
            return Err(if no.error == "invalid_grant" {
                Failed::Refused(cause)
            } else {
                Failed::Provider(cause)
            });
        }
        let tokens: Tokens = read(&answer, "its token endpoint").map_err(Failed::Provider)?;
        Ok(tokens.id_token)
    }

    fn secret(&self) -> Result<Option<String>, String> {
        self.settings.client_secret_file.as_deref().map(fetch::secret).transpose()
    }

    fn way(&self, published: &Published) -> Result<Way, String> {
        // None named means basic (Discovery 1.0, section 3).
        let Some(named) = &published.token_endpoint_auth_methods_supported else { return Ok(Way::Basic) };
        let takes = |method: &str| named.iter().any(|m| m == method);
        if takes("client_secret_basic") {
            Ok(Way::Basic)
        } else if takes("client_secret_post") {
            Ok(Way::Body)
        } else {
            Err(format!(
                "it takes no client secret ({}): leave client_secret_file out",
                self.settings.client_id
            ))
        }
    }

    /// What the provider has published, asked again when that is old, or, for a key that was not in it, of `had`.
    async fn known(&self, had: Option<Instant>) -> Result<Known, String> {
        // Who comes meanwhile waits, and then finds it.
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref() {
            let age = known.since.elapsed();
            if age < FRESH && (had != Some(known.since) || age < LOOK_AGAIN) {
                return Ok(known.clone());
            }
        }
        Ok(known.insert(self.publish().await?).clone())
    }

    async fn publish(&self) -> Result<Known, String> {
        let published: Published = self.get(&self.discovery, "what it publishes").await?;
        if published.issuer != self.settings.issuer {
            return Err(format!(
                "it calls itself {:?}, not {:?}: write issuer as it does",
                published.issuer, self.settings.issuer
            ));
        }
        let token = self.endpoint(&published.token_endpoint, "token_endpoint")?;
        let page = &published.authorization_endpoint;
        self.endpoint(page, "authorization_endpoint")?;
        if page.contains('#') {
            return Err("its authorization_endpoint has a #".to_owned());
        }
        let set: serde_json::Value =
            self.get(&self.endpoint(&published.jwks_uri, "jwks_uri")?, "its keys").await?;
        let keys = token::keys(set.to_string().as_bytes())?;
        Ok(Known { published, token, keys, since: Instant::now() })
    }

    /// An address that the provider names. Only a provider on this machine may name one that is not encrypted.
    fn endpoint(&self, url: &str, what: &str) -> Result<Endpoint, String> {
        let endpoint = Endpoint::parse(url).map_err(|e| format!("its {what}: {e}"))?;
        if self.discovery.encrypted() && !endpoint.encrypted() {
            return Err(format!("its {what} is not encrypted"));
        }
        Ok(endpoint)
    }

    async fn get<T: DeserializeOwned>(&self, from: &Endpoint, what: &str) -> Result<T, String> {
        let ask = Ask {
            method: "GET".to_owned(),
            headers: vec![(ACCEPT, "application/json".to_owned())],
            authorization: None,
            body: Vec::new(),
        };
        let answer = fetch::send(from, ask, self.settings.ca_file.as_deref(), MOST).await;
        read(&answer.map_err(|e| format!("{what}: {e}"))?, what)
    }

    async fn in_time<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, Failed>
    where
        Failed: From<E>,
    {
        let done = tokio::time::timeout(PATIENCE, work).await;
        Ok(done.map_err(|_| Failed::Provider(self.silent()))??)
    }

    fn silent(&self) -> String {
        format!("{} does not answer within {} s", self.settings.issuer, PATIENCE.as_secs())
    }
}

impl From<String> for Failed {
    fn from(cause: String) -> Self {
        Self::Provider(cause)
    }
}

/// How the client shows its secret (RFC 6749, section 2.3.1).
enum Way {
    Basic,
    Body,
}

fn read<T: DeserializeOwned>(answer: &Answer, what: &str) -> Result<T, String> {
    if answer.cut {
        return Err(format!("{what}: the answer is cut, or has more than {MOST} bytes"));
    }
    serde_json::from_slice(&answer.body).map_err(|e| {
        let said = hygiene::one_line(&hygiene::clean(&answer.body).text, 100);
        format!("{what}: {}: {e}: {said}", answer.status)
    })
}

fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// 256 bits, as 43 characters: what PKCE asks for (RFC 7636, section 4.1).
fn random() -> Result<String, Failed> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Failed::Provider("the system gives no random bytes".to_owned()))?;
    Ok(Base64UrlUnpadded::encode_string(&bytes))
}
