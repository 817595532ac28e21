//! Coming in: invitation, enrolment of a passkey, login, logout; and taking a device out again.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::recovery::fresh_id;
use crate::store::{NewPasskey, Purpose, Role, sha256_hex};

use super::Web;
use super::guard::{COOKIE_NAME, Doer, Problem, read, texts, token};
use super::sessions::{ABSOLUTE, Person, Trier};
use super::view::{EnrolPage, LoginPage, Page, html, seen};

/// Bytes of a challenge; WebAuthn wants at least 16.
const CHALLENGE: usize = 32;

pub(super) async fn login_page(State(web): State<Arc<Web>>, headers: HeaderMap) -> Response {
    let provider = web.provider.as_ref().map(|p| seen(p.label()));
    html(&LoginPage { page: Page::new(texts(&headers), None, "/login"), provider })
}

pub(super) async fn enrol_page(headers: HeaderMap) -> Response {
    html(&EnrolPage { page: Page::new(texts(&headers), None, "/enrol") })
}

impl Web {
    /// A challenge that counts once.
    fn fresh_challenge(&self) -> Result<String, Problem> {
        let challenge = random()?;
        self.sessions.challenge(&challenge, Instant::now());
        Ok(challenge)
    }

    /// The challenge that a browser says to answer, if it is one of ours.
    fn taken_challenge(&self, client_data: &[u8]) -> Result<String, Problem> {
        #[derive(Deserialize)]
        struct Named {
            challenge: String,
        }
        let named: Named =
            serde_json::from_slice(client_data).map_err(|e| Problem::bad(format!("client data: {e}")))?;
        if self.sessions.take(&named.challenge, Instant::now()) {
            Ok(named.challenge)
        } else {
            Err(Problem::bad("that took too long, or was sent twice: begin anew"))
        }
    }

    pub(super) fn may_try(&self, who: &Trier) -> Result<(), Problem> {
        if self.sessions.may_try(who, Instant::now()) {
            return Ok(());
        }
        Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many tries that failed: wait five minutes"))
    }

    /// Counts a failure; why it was one, only the log tells, and not without end.
    pub(super) fn failed(&self, who: Trier, what: &str, cause: &str) -> Problem {
        if let Err(enough) = self.may_try(&who) {
            return enough;
        }
        self.sessions.failed(who, Instant::now());
        tracing::warn!("{what} refused: {cause}");
        Problem::new(StatusCode::FORBIDDEN, format!("{what} refused"))
    }
}

/// For one new passkey. The user's id is a new one each time: a person may have several.
fn new_user(web: &Web, name: &str) -> Result<Value, Problem> {
    Ok(json!({ "name": name, "user_id": random()?, "challenge": web.fresh_challenge()? }))
}

pub(super) fn random() -> Result<String, Problem> {
    let hex = fresh_id("", CHALLENGE).map_err(Problem::from)?;
    Ok(encode(hex.as_bytes()))
}

/// Base64url without padding, as WebAuthn writes it.
pub(super) fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// Reads what [`encode`] writes.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, Problem> {
    Base64UrlUnpadded::decode_vec(text).map_err(|_| Problem::bad("not base64url"))
}

pub(super) async fn login_begin(State(web): State<Arc<Web>>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "challenge": web.fresh_challenge()?, "rp_id": web.party.id })))
}

/// What a browser gives for a passkey, each field in base64url.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Assertion {
    pub(super) id: String,
    pub(super) client_data: String,
    pub(super) authenticator_data: String,
    pub(super) signature: String,
}

pub(super) async fn login_finish(State(web): State<Arc<Web>>, body: Body) -> Result<Response, Problem> {
    let given: Assertion = read(body).await?;
    let client_data = decode(&given.client_data)?;
    let challenge = web.taken_challenge(&client_data)?;
    let id = given.id.clone();
    let device = web.app.blocking(move |store| store.device(&id)).await?;
    let Some(device) = device.filter(|d| d.revoked_ms.is_none() && d.purpose == Purpose::Login) else {
        return Err(web.failed(
            Trier::Stranger,
            "login",
            "the passkey is unknown, revoked or not for logging in",
        ));
    };
    let who = Trier::Passkey(device.id.clone());
    web.may_try(&who)?;
    let point = from_hex(&device.point);
    let authenticator = decode(&given.authenticator_data)?;
    let signature = decode(&given.signature)?;
    let counter = web
        .party
        .asserted(&challenge, &point, &client_data, &authenticator, &signature)
        .map_err(|cause| web.failed(who.clone(), "login", &cause))?;
    let id = given.id.clone();
    if !web.app.blocking(move |store| store.logged_in(&id, counter)).await? {
        return Err(web.failed(who, "login", "the passkey's counter went back: there may be two of it"));
    }
    let secret = random()?;
    let person = Person { name: device.person, role: device.role, device: device.id };
    let answer = Json(json!({ "person": person.name }));
    web.sessions.begin(&secret, person, ABSOLUTE, Instant::now());
    Ok(([(SET_COOKIE, session_cookie(&secret))], answer).into_response())
}

pub(super) fn session_cookie(secret: &str) -> String {
    format!("{COOKIE_NAME}={secret}; Path=/; Secure; HttpOnly; SameSite=Strict")
}

pub(super) async fn logout(State(web): State<Arc<Web>>, headers: HeaderMap) -> Response {
    if let Some(token) = token(&headers) {
        web.sessions.end(token);
    }
    let cookie = format!("{COOKIE_NAME}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    ([(SET_COOKIE, cookie)], Json(json!({}))).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Invited {
    token: String,
}

pub(super) async fn enrol_begin(State(web): State<Arc<Web>>, body: Body) -> Result<Json<Value>, Problem> {
    let invited: Invited = read(body).await?;
    let digest = sha256_hex(invited.token.as_bytes());
    let Some((person, _)) = web.app.blocking(move |store| store.invitation(&digest)).await? else {
        return Err(web.failed(Trier::Stranger, "enrolment", "the invitation is unknown, used or too old"));
    };
    Ok(Json(json!({
        "rp_id": web.party.id,
        "person": person,
        "login": new_user(&web, &format!("{person} (log in)"))?,
        // The browser's own prompt shows the name: who is asked for this one while logging in is being deceived.
        "approve": new_user(&web, &format!("{person} (APPROVE)"))?,
    })))
}

/// What a browser gives for a new passkey, in base64url.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Made {
    client_data: String,
    authenticator_data: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Enrolment {
    token: String,
    /// Two passkeys: what logs in must not be able to approve, as the challenge of a login is whatever a server says.
    login: Made,
    approve: Made,
}

impl Web {
    fn new_passkey(&self, made: &Made) -> Result<(NewPasskey, Vec<u8>), Problem> {
        let client_data = decode(&made.client_data)?;
        let challenge = self.taken_challenge(&client_data)?;
        let enrolled = self
            .party
            .enrolled(&challenge, &client_data, &decode(&made.authenticator_data)?)
            .map_err(|cause| self.failed(Trier::Stranger, "enrolment", &cause))?;
        let new = NewPasskey {
            id: encode(&enrolled.id),
            point: to_hex(&enrolled.point),
            counter: enrolled.counter,
        };
        Ok((new, enrolled.point))
    }
}

pub(super) async fn enrol_finish(State(web): State<Arc<Web>>, body: Body) -> Result<Json<Value>, Problem> {
    let given: Enrolment = read(body).await?;
    let (login, first) = web.new_passkey(&given.login)?;
    let (approve, point) = web.new_passkey(&given.approve)?;
    if first == point || login.id == approve.id {
        return Err(web.failed(Trier::Stranger, "enrolment", "one passkey was given twice"));
    }
    let token = sha256_hex(given.token.as_bytes());
    let Some(person) = web.app.blocking(move |store| store.enrol(&token, &login, &approve)).await? else {
        return Err(web.failed(Trier::Stranger, "enrolment", "the invitation is unknown, used or too old"));
    };
    let line = web.party.approver_line(&person, &point).map_err(Problem::bad)?;
    Ok(Json(json!({ "person": person, "line": line })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoked {
    id: String,
}

pub(super) async fn revoke(
    State(web): State<Arc<Web>>,
    doer: Doer,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let given: Revoked = read(body).await?;
    // One's own device, or an administrator any.
    let person = if doer.0.device == given.id { doer.0 } else { doer.at_least(Role::Admin)? };
    let id = given.id.clone();
    let revoked = web.app.blocking(move |store| store.revoke_device(&id, &person.name)).await?;
    web.sessions.end_device(&given.id);
    match revoked {
        Some(device) => Ok(Json(json!({ "device": device }))),
        None => Err(Problem::new(StatusCode::NOT_FOUND, "there is no such device, or it is revoked already")),
    }
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// What is not hex gives nothing, and no key is empty.
pub(super) fn from_hex(text: &str) -> Vec<u8> {
    let digits = text
        .as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()));
    digits.collect::<Option<Vec<u8>>>().unwrap_or_default()
}
