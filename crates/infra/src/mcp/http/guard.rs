//! What a request must show before the protocol sees it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, ORIGIN, WWW_AUTHENTICATE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::de::IgnoredAny;

use crate::config::Http;

use super::sessions::Sessions;
use super::tokens::{Principal, Tokens};
use crate::listen::{Bound, is_local};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// Nesting of a request's JSON; our own arguments need four.
const DEPTH: usize = 32;
/// Bytes that are read of a body that is too large, so that its sender sees the refusal.
const FORGOTTEN: usize = 16 << 20;
/// For the body of a request.
const BODY: Duration = Duration::from_secs(30);

/// The rules of one listener.
#[derive(Debug)]
pub(super) struct Guard {
    hosts: Vec<String>,
    origins: Vec<String>,
    /// Our port, from which a page on loopback may call.
    port: Option<u16>,
    tokens: Option<Tokens>,
    pub(super) sessions: Sessions,
    body_bytes: usize,
}

impl Guard {
    pub(super) fn new(
        http: &Http,
        address: Option<SocketAddr>,
        tokens: Option<Tokens>,
        sessions: Sessions,
    ) -> Self {
        let mut hosts = http.allowed_hosts.clone();
        hosts.extend(address.filter(|a| !a.ip().is_unspecified()).map(|a| a.ip().to_string()));
        Self {
            hosts,
            origins: http.allowed_origins.clone(),
            port: address.map(|a| a.port()),
            tokens,
            sessions,
            body_bytes: http.body_bytes,
        }
    }

    /// What the person who starts the server should know of its door.
    pub(super) fn advice(&self, bound: &Bound) -> &'static str {
        match (&self.tokens, bound.tcp_address()) {
            (None, None) => "; the socket's mode is 0600",
            (None, Some(_)) => {
                "; without a token every user of this machine can call: set `token_file` in [http] or use unix:/path"
            }
            (Some(_), address) if is_local(address) => "; a bearer token is required",
            (Some(_), _) => "; a bearer token is required, and it travels in clear: put a TLS proxy in front",
        }
    }

    fn host_is_ours(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(HOST).iter();
        let (Some(host), None) = (given.next(), given.next()) else { return false };
        let Some(authority) = host.to_str().ok().and_then(|h| h.parse::<Authority>().ok()) else {
            return false;
        };
        let (name, whole) = (bare(authority.host()), authority.as_str().to_ascii_lowercase());
        is_loopback_name(&name) || self.hosts.iter().any(|h| *h == name || *h == whole)
    }

    /// A request without `Origin` is not from a web page.
    fn origin_is_ours(&self, headers: &HeaderMap) -> bool {
        headers.get_all(ORIGIN).iter().all(|origin| {
            let Ok(origin) = origin.to_str() else { return false };
            let origin = origin.to_ascii_lowercase();
            self.origins.contains(&origin) || self.is_own_page(&origin)
        })
    }

    /// A page that this very listener would have served.
    fn is_own_page(&self, origin: &str) -> bool {
        let authority = origin.strip_prefix("http://").and_then(|a| a.parse::<Authority>().ok());
        authority.is_some_and(|a| {
            is_loopback_name(&bare(a.host())) && self.port == Some(a.port_u16().unwrap_or(80))
        })
    }

    fn principal(&self, headers: &HeaderMap) -> Result<Principal, Box<Response>> {
        let Some(tokens) = &self.tokens else { return Ok(Principal::default()) };
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (Some(header), None) = (given.next(), given.next()) else {
            return Err(unauthorized("", "send the header `Authorization: Bearer TOKEN`"));
        };
        let bearer = header.to_str().ok().and_then(|h| h.split_once(' '));
        bearer
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .and_then(|(_, token)| tokens.principal(token))
            .ok_or_else(|| unauthorized(", error=\"invalid_token\"", "the token is not one of this server's"))
    }

    /// The request with its body read and looked at, and whose it is.
    async fn admit(&self, request: Request) -> Result<(Request, Principal), Box<Response>> {
        let headers = request.headers();
        if !self.host_is_ours(headers) {
            return Err(refused(
                StatusCode::FORBIDDEN,
                "the Host header is not one of this server's; name it in `allowed_hosts` of [http]",
            ));
        }
        if !self.origin_is_ours(headers) {
            return Err(refused(
                StatusCode::FORBIDDEN,
                "web pages of this Origin may not call; name it in `allowed_origins` of [http]",
            ));
        }
        let principal = self.principal(headers)?;
        if let Some(id) = headers.get(SESSION) {
            let id = id.to_str().unwrap_or_default();
            if !self.sessions.is_of(id, &principal).await {
                return Err(refused(StatusCode::NOT_FOUND, "there is no such session; initialize a new one"));
            }
        }
        let (parts, body) = request.into_parts();
        let bytes = self.body(body).await?;
        if parts.method == Method::POST {
            shape(&bytes)?;
        }
        let mut request = Request::from_parts(parts, Body::from(bytes));
        request.extensions_mut().insert(principal.clone());
        Ok((request, principal))
    }

    async fn body(&self, body: Body) -> Result<Bytes, Box<Response>> {
        match tokio::time::timeout(BODY, read(body, self.body_bytes)).await {
            Ok(Ok(Some(bytes))) => Ok(bytes),
            Ok(Ok(None)) => Err(refused(
                StatusCode::PAYLOAD_TOO_LARGE,
                &format!("a request has at most {} bytes", self.body_bytes),
            )),
            Ok(Err(_)) => Err(refused(StatusCode::BAD_REQUEST, "the request could not be read")),
            Err(_) => Err(refused(StatusCode::REQUEST_TIMEOUT, "the request was not sent in time")),
        }
    }
}

/// The body, or `None` when it is larger than `limit`. What is above is read and forgotten, up to a bound: a client
/// that still writes when the connection closes would not see the answer.
async fn read(body: Body, limit: usize) -> Result<Option<Bytes>, axum::Error> {
    let (mut kept, mut size) = (Vec::new(), 0_usize);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        size = size.saturating_add(chunk.len());
        if size <= limit {
            kept.extend_from_slice(&chunk);
        } else if size > limit.saturating_add(FORGOTTEN) {
            break;
        }
    }
    Ok((size <= limit).then(|| kept.into()))
}

/// Looks at every request, whatever its path.
pub(super) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let (request, principal) = match guard.admit(request).await {
        Ok(admitted) => admitted,
        Err(refusal) => {
            tracing::warn!(status = refusal.status().as_u16(), "a request was refused");
            return *refusal;
        }
    };
    let may_begin = request.method() == Method::POST && !request.headers().contains_key(SESSION);
    let ends = request.method() == Method::DELETE;
    let mut response = next.run(request).await;
    if ends && response.status() == StatusCode::ACCEPTED {
        // The session has ended by now; a client that waits for "done" takes "accepted" for a failure.
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    if may_begin && let Some(id) = response.headers().get(SESSION).and_then(|v| v.to_str().ok()) {
        guard.sessions.begun(id, principal);
    }
    if may_begin {
        guard.sessions.trim().await;
    }
    response
}

/// Whether the body is one JSON object of a bearable depth.
fn shape(bytes: &[u8]) -> Result<(), Box<Response>> {
    let invalid = |code: i32, cause: &str| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":null,"error":{{"code":{code},"message":"{cause}"}}}}"#);
        let headers = [(CONTENT_TYPE, "application/json")];
        Box::new((StatusCode::BAD_REQUEST, headers, body).into_response())
    };
    if depth(bytes) > DEPTH {
        return Err(invalid(-32600, "the request is nested too deep"));
    }
    if serde_json::from_slice::<IgnoredAny>(bytes).is_err() {
        return Err(invalid(-32700, "the request is not JSON"));
    }
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(invalid(-32600, "the request must be one JSON object"));
    }
    Ok(())
}

/// The deepest nesting of brackets outside strings.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()
}

fn is_loopback_name(name: &str) -> bool {
    matches!(name, "localhost" | "127.0.0.1" | "::1")
}

#[expect(clippy::unnecessary_box_returns, reason = "a response is too large to be an error by value")]
fn refused(status: StatusCode, cause: &str) -> Box<Response> {
    Box::new((status, format!("{cause}\n")).into_response())
}

/// RFC 6750: no error code when nothing was presented.
#[expect(clippy::unnecessary_box_returns, reason = "a response is too large to be an error by value")]
fn unauthorized(error: &str, cause: &str) -> Box<Response> {
    let challenge = format!("Bearer realm=\"mcp-linux-infra\"{error}");
    Box::new(
        (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge)], format!("{cause}\n")).into_response(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(body: &str) -> Option<StatusCode> {
        shape(body.as_bytes()).err().map(|r| r.status())
    }

    #[test]
    fn mcp_http_05_only_one_shallow_object_passes() {
        assert_eq!(status(r#"{"a":"[[[[\"{{{","b":[1]}"#), None);
        let nested = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        assert_eq!(status(&nested(DEPTH - 1)), None);
        for wrong in [nested(DEPTH), nested(100), "[{}]".into(), "{".into(), String::new(), "7".into()] {
            assert_eq!(status(&wrong), Some(StatusCode::BAD_REQUEST), "{wrong}");
        }
        assert_eq!(status(&"[".repeat(100_000)), Some(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn mcp_http_01_and_02_hosts_and_origins_are_compared_whole() {
        let http = Http {
            token_file: None,
            allowed_hosts: vec!["infra.example.com".into(), "proxy:8443".into()],
            allowed_origins: vec!["https://app.example.com".into()],
            max_sessions: 1,
            session_idle: Duration::from_hours(1),
            body_bytes: 4096,
        };
        let address = Some("127.0.0.1:8080".parse().unwrap());
        let guard = Guard::new(&http, address, None, Sessions::new(1, Duration::from_hours(1)));
        let with = |name: HeaderName, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            headers
        };
        for (host, ours) in [
            ("127.0.0.1:8080", true),
            ("LOCALHOST", true),
            ("[::1]:8080", true),
            ("infra.example.com:1", true),
            ("proxy:8443", true),
            ("proxy", false),
            ("evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("evil.example:8080", false),
            ("0.0.0.0:8080", false),
            ("", false),
        ] {
            assert_eq!(guard.host_is_ours(&with(HOST, host)), ours, "{host}");
        }
        assert!(!guard.host_is_ours(&HeaderMap::new()), "no Host at all");
        for (origin, ours) in [
            ("http://localhost:8080", true),
            ("http://127.0.0.1:8080", true),
            ("https://app.example.com", true),
            ("https://APP.example.com", true),
            ("http://app.example.com", false),
            ("https://app.example.com:8443", false),
            ("https://app.example.com.evil.example", false),
            ("http://localhost:3000", false),
            ("https://evil.example", false),
            ("null", false),
        ] {
            assert_eq!(guard.origin_is_ours(&with(ORIGIN, origin)), ours, "{origin}");
        }
        assert!(guard.origin_is_ours(&HeaderMap::new()));
    }
}
