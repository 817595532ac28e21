//! What a request must show before a page sees it, and what every answer says to the browser.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{
    ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_TYPE, COOKIE, HOST, HeaderName, LOCATION, ORIGIN,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::store::Role;

use super::Web;
use super::sessions::Person;
use super::texts::Texts;

/// `__Host-`: the browser takes it from this very origin only, and over a secure connection.
pub(super) const COOKIE_NAME: &str = "__Host-session";
/// Bytes of a request's body.
const BODY: usize = 64 << 10;

const HEADERS: [(HeaderName, &str); 6] = [
    (
        HeaderName::from_static("content-security-policy"),
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
         frame-ancestors 'none'; base-uri 'none'",
    ),
    (HeaderName::from_static("x-content-type-options"), "nosniff"),
    (HeaderName::from_static("referrer-policy"), "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "publickey-credentials-get=(self), publickey-credentials-create=(self), camera=(), microphone=(), geolocation=()",
    ),
];

/// Looks at every request: `Host` is ours, and what changes something comes from a page of ours.
pub(super) async fn check(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let refused = refusal(&web, request.method(), request.headers());
    let mut response = match refused {
        Some((status, cause)) => {
            tracing::warn!(cause, "a request to the dashboard was refused");
            Problem::new(status, cause).into_response()
        }
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn refusal(web: &Web, method: &Method, headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
    if only(headers, &HOST) != Some(web.authority.as_str()) {
        return Some((
            StatusCode::FORBIDDEN,
            "the Host header is not this dashboard's; set `origin` in [dashboard]",
        ));
    }
    match *method {
        Method::POST if only(headers, &ORIGIN) != Some(web.party.origin.as_str()) => {
            Some((StatusCode::FORBIDDEN, "only a page of this dashboard may do that"))
        }
        // No form of another page can send this type.
        Method::POST if only(headers, &CONTENT_TYPE) != Some("application/json") => {
            Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"))
        }
        Method::GET | Method::HEAD | Method::POST => None,
        _ => Some((StatusCode::METHOD_NOT_ALLOWED, "GET or POST")),
    }
}

/// The header's value when there is exactly one.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut given = headers.get_all(name).iter();
    match (given.next(), given.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// The session's token in the request.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    cookie(headers, COOKIE_NAME)
}

pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = only(headers, &COOKIE)?;
    cookies.split("; ").find_map(|c| c.strip_prefix(name)?.strip_prefix('='))
}

pub(super) fn texts(headers: &HeaderMap) -> &'static Texts {
    Texts::choose(headers.get(ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok()).unwrap_or_default())
}

/// Whoever asks for a page and is logged in; everybody else is sent to the login.
#[derive(Debug)]
pub(super) struct Reader(pub(super) Person);

impl FromRequestParts<Arc<Web>> for Reader {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Response> {
        match person(parts, web).await {
            Some(person) => Ok(Self(person)),
            None => Err((StatusCode::SEE_OTHER, [(LOCATION, login_for(parts.uri.path()))]).into_response()),
        }
    }
}

/// The login; from the page of a proposal it leads back there. Only an id travels, so that the address can lead nowhere else.
fn login_for(path: &str) -> String {
    match path.strip_prefix("/proposals/").filter(|id| is_proposal(id)) {
        Some(id) => format!("/login?to={id}"),
        None => "/login".to_owned(),
    }
}

/// Whether this can be the id of a proposal.
pub(super) fn is_proposal(id: &str) -> bool {
    let hex =
        |digits: &str| digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    id.strip_prefix("pr_").is_some_and(hex)
}

/// Whoever does something and is logged in.
#[derive(Debug)]
pub(super) struct Doer(pub(super) Person);

impl Doer {
    /// The person, when their role is enough.
    pub(super) fn at_least(self, role: Role) -> Result<Person, Problem> {
        if self.0.role >= role {
            return Ok(self.0);
        }
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            format!("this takes the role {}; yours is {}", role.as_str(), self.0.role.as_str()),
        ))
    }
}

impl FromRequestParts<Arc<Web>> for Doer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Problem> {
        person(parts, web)
            .await
            .map(Self)
            .ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, "log in first"))
    }
}

/// Whose session it is, while their device counts: one that was revoked elsewhere is out at once.
async fn person(parts: &Parts, web: &Web) -> Option<Person> {
    let person = web.sessions.person(token(&parts.headers)?, Instant::now())?;
    let device = person.device.clone();
    match web.app.blocking(move |store| store.device_counts(&device)).await {
        Ok(true) => Some(person),
        Ok(false) => {
            web.sessions.end_device(&person.device);
            None
        }
        Err(e) => {
            tracing::error!("nobody comes in: {e}");
            None
        }
    }
}

/// A body of JSON, read strictly.
pub(super) async fn read<T: DeserializeOwned>(body: Body) -> Result<T, Problem> {
    let bytes: Bytes = axum::body::to_bytes(body, BODY).await.map_err(|_| {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a request has at most {BODY} bytes"))
    })?;
    serde_json::from_slice(&bytes).map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.to_string()))
}

/// Why something was not done; the answer to a script.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({ "error": crate::hosts::hygiene::escaped(self.message.as_bytes()) }).to_string();
        (self.status, [(CONTENT_TYPE, "application/json")], body).into_response()
    }
}

impl From<crate::store::StoreError> for Problem {
    fn from(e: crate::store::StoreError) -> Self {
        use crate::store::StoreError as E;
        let status = match e {
            E::NoProposal(_) => StatusCode::NOT_FOUND,
            E::WrongState { .. } => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, e.to_string())
    }
}

impl From<crate::recovery::RecoveryError> for Problem {
    fn from(e: crate::recovery::RecoveryError) -> Self {
        match e {
            crate::recovery::RecoveryError::Store(e) => e.into(),
            other => Self::new(StatusCode::CONFLICT, other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::login_for;

    #[test]
    fn a_login_leads_back_to_a_proposal_and_to_nothing_else() {
        assert_eq!(login_for("/proposals/pr_00000000000000a1"), "/login?to=pr_00000000000000a1");
        for other in [
            "/",
            "/people",
            "/proposals/",
            "/proposals/pr_1",
            "/proposals/pr_00000000000000A1",
            "/proposals/pr_00000000000000a1/",
            "/proposals//evil.example",
            "/proposals/pr_00000000000000a1\r\nX: y",
        ] {
            assert_eq!(login_for(other), "/login", "{other:?}");
        }
    }
}
