//! One request to a webhook. A redirect is an answer like another, and what the server says is only shown to a person who tests.

use std::net::IpAddr;
use std::path::Path;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::send::Failed;
use super::tls;

/// Bytes of an answer that are read.
const ANSWER: usize = 2048;

/// A webhook's URL. Its path may be a secret, so errors and logs name the host only.
#[derive(Clone)]
pub(super) struct Endpoint {
    encrypted: bool,
    host: String,
    port: u16,
    authority: String,
    path: String,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// Whether a name or address is this machine itself.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|a| a.is_loopback())
}

impl Endpoint {
    /// Only https, and http on loopback.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|_| "this is no URL; write https://NAME/PATH".to_owned())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err("write https://NAME/PATH".to_owned());
        };
        if authority.as_str().contains('@') {
            return Err("a name or password does not belong into a URL: use token_file".to_owned());
        }
        let host = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
        let encrypted = match scheme {
            "https" => true,
            "http" if is_loopback(&host) => false,
            "http" => return Err("http is for loopback only: write https://".to_owned()),
            _ => return Err("write https://NAME/PATH".to_owned()),
        };
        Ok(Self {
            encrypted,
            port: authority.port_u16().unwrap_or(if encrypted { 443 } else { 80 }),
            authority: authority.to_string(),
            path: uri.path_and_query().map_or("/", |p| p.as_str()).to_owned(),
            host,
        })
    }

    /// The path and what a kind puts behind it.
    fn target(&self, behind: &str) -> String {
        if behind.is_empty() {
            self.path.clone()
        } else {
            format!("{}{behind}", self.path.trim_end_matches('/'))
        }
    }
}

/// What is sent.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) method: String,
    /// Behind the endpoint's own path.
    pub(super) path: String,
    pub(super) content_type: String,
    pub(super) bearer: Option<String>,
    pub(super) body: Vec<u8>,
}

/// Sends it; gives what the server said. Any status but 2xx is a failure.
pub(super) async fn send(to: &Endpoint, post: Post, ca_file: Option<&Path>) -> Result<String, Failed> {
    let place = format!("{}:{}", to.host, to.port);
    let tcp = TcpStream::connect((to.host.as_str(), to.port)).await.map_err(|e| format!("{place}: {e}"))?;
    let request = request(to, post)?;
    if !to.encrypted {
        return exchange(tcp, request).await;
    }
    let ca_file = ca_file.map(Path::to_path_buf);
    let client = tokio::task::spawn_blocking(move || tls::roots(ca_file.as_deref()).and_then(tls::client));
    let client = client.await.map_err(|e| e.to_string())??;
    let name = ServerName::try_from(to.host.clone()).map_err(|e| format!("{place}: {e}"))?;
    let stream = TlsConnector::from(client).connect(name, tcp).await.map_err(|e| format!("{place}: {e}"))?;
    exchange(stream, request).await
}

fn request(to: &Endpoint, post: Post) -> Result<Request<Full<Bytes>>, String> {
    let method = Method::from_bytes(post.method.as_bytes()).map_err(|e| e.to_string())?;
    let mut builder = Request::builder()
        .method(method)
        .uri(to.target(&post.path))
        .header(HOST, &to.authority)
        .header(USER_AGENT, concat!("mcp-linux-infra/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, post.content_type);
    if let Some(token) = post.bearer {
        let mut value =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| "the token is no header value")?;
        value.set_sensitive(true);
        builder = builder.header(AUTHORIZATION, value);
    }
    // The path may be a secret: no error tells it.
    builder.body(Full::new(Bytes::from(post.body))).map_err(|_| "the URL makes no request".to_owned())
}

async fn exchange<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<String, Failed> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|e| format!("no HTTP: {e}"))?;
    // Ends with this call, however it ends.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(request).await.map_err(|e| format!("no answer: {e}"))?;
    let status = response.status();
    let wait_ms = retry_after(&response);
    let said = read(response).await;
    if status.is_success() {
        return Ok(format!("{status} {said}").trim_end().to_owned());
    }
    let cause = if status.is_redirection() {
        format!("{status}: it points elsewhere, and that is not followed; set the right url")
    } else {
        format!("{status} {said}").trim_end().to_owned()
    };
    Err(Failed { cause, wait_ms: wait_ms.filter(|_| asks_to_wait(status)) })
}

fn asks_to_wait(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

fn retry_after<B>(response: &Response<B>) -> Option<i64> {
    let seconds: i64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(seconds.clamp(0, 86_400) * 1000)
}

/// The beginning of an answer, harmless on a terminal.
async fn read(response: Response<hyper::body::Incoming>) -> String {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while bytes.len() < ANSWER {
        let Some(Ok(frame)) = body.frame().await else { break };
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data[..data.len().min(ANSWER - bytes.len())]);
        }
    }
    crate::hosts::hygiene::one_line(&crate::hosts::hygiene::clean(&bytes).text, 200)
}
