//! Login with the OIDC provider: a passkey's session in all but how it begins. It signs nothing: approving still takes a passkey.
//!
//! The provider sends the browser back with a GET of another site, which changes nothing and carries no session; the page's script
//! then sends what it brought, from this origin.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use crate::oidc::{self, Failed, Provider};
use crate::store::{now_ms, sha256_hex};

use super::Web;
use super::enter::{random, session_cookie};
use super::guard::{Problem, cookie, is_proposal, read, texts};
use super::sessions::{Pending, Person, Trier};
use super::view::{Page, SsoPage, html};

/// Binds a login to the browser that has begun it. Lax, as it must come along when the provider sends the browser back.
const COOKIE: &str = "__Host-sso";
const PATH: &str = "/login/sso";

/// Where the provider sends the browser back to.
pub(super) async fn back_page(headers: HeaderMap) -> Response {
    html(&SsoPage { page: Page::new(texts(&headers), None, PATH) })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// The proposal that the person wants to see.
    #[serde(default)]
    to: Option<String>,
}

impl Web {
    fn provider(&self) -> Result<&Provider, Problem> {
        self.provider.as_ref().ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no provider is configured"))
    }

    fn back(&self) -> String {
        format!("{}{PATH}", self.party.origin)
    }

    fn sso_failed(&self, failed: Failed) -> Problem {
        match failed {
            Failed::Refused(cause) => self.failed(Trier::Provider, "login", &cause),
            // Nobody's guess was wrong.
            Failed::Provider(cause) => {
                tracing::error!("login with the provider: {cause}");
                Problem::new(
                    StatusCode::BAD_GATEWAY,
                    "the provider cannot be used now; the dashboard's log says why",
                )
            }
        }
    }
}

pub(super) async fn begin(State(web): State<Arc<Web>>, body: Body) -> Result<Response, Problem> {
    web.may_try(&Trier::Provider)?;
    let wanted: Wanted = read(body).await?;
    let (state, bound) = (random()?, random()?);
    let begun = web.provider()?.begin(&state, &web.back()).await.map_err(|f| web.sso_failed(f))?;
    let pending = Pending {
        bound: sha256_hex(bound.as_bytes()),
        nonce: begun.nonce,
        verifier: begun.verifier,
        to: wanted.to.filter(|id| is_proposal(id)),
    };
    web.sessions.leave(&state, pending, Instant::now());
    let cookie = format!("{COOKIE}={bound}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600");
    Ok(([(SET_COOKIE, cookie)], Json(json!({ "url": begun.url }))).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Brought {
    state: String,
    code: String,
    /// RFC 9207.
    #[serde(default)]
    iss: Option<String>,
}

pub(super) async fn finish(
    State(web): State<Arc<Web>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    web.may_try(&Trier::Provider)?;
    let given: Brought = read(body).await?;
    let bound = sha256_hex(cookie(&headers, COOKIE).unwrap_or_default().as_bytes());
    // Not counted as a failed try: no guess leads here, and anybody's old link would lock the dashboard.
    let Some(pending) = web.sessions.come_back(&given.state, &bound, Instant::now()) else {
        return Err(Problem::bad(
            "that took too long, was sent twice, or was begun in another browser: begin anew",
        ));
    };
    let provider = web.provider()?;
    let returned = oidc::Returned {
        code: &given.code,
        issuer: given.iss.as_deref(),
        nonce: &pending.nonce,
        verifier: &pending.verifier,
        redirect: &web.back(),
    };
    let admitted = provider.redeem(&returned, now_ms() / 1000).await.map_err(|f| web.sso_failed(f))?;
    let (record, issuer) = (admitted.clone(), provider.issuer().to_owned());
    let came_in =
        web.app.blocking(move |s| s.came_in(&record.id, &record.person, record.role, &issuer)).await?;
    if !came_in {
        return Err(web.failed(
            Trier::Provider,
            "login",
            &format!("the account {} was revoked here", admitted.id),
        ));
    }
    let secret = random()?;
    let answer = Json(json!({ "person": admitted.person, "to": pending.to }));
    let person = Person { name: admitted.person, role: admitted.role, device: admitted.id };
    web.sessions.begin(&secret, person, provider.session(), Instant::now());
    let used = format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
    Ok((AppendHeaders([(SET_COOKIE, session_cookie(&secret)), (SET_COOKIE, used)]), answer).into_response())
}
