//! One HTTP request to another server: https only, the system's certificates or a file of them, no redirect followed, no more read than
//! was asked for. What comes back is that server's word, for the caller to judge.

mod secret;
mod tls;

use std::net::IpAddr;
use std::path::Path;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

pub(crate) use hyper::StatusCode;
pub(crate) use hyper::header;
pub(crate) use secret::read as secret;
pub(crate) use tls::roots;

/// A server and a path on it. The path may be a secret, so errors and logs name the host only.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
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
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|a| a.is_loopback())
}

impl Endpoint {
    /// Only https, and http on loopback.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
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

    /// The same server, and behind its path `more`.
    pub(crate) fn behind(mut self, more: &str) -> Self {
        if !more.is_empty() {
            self.path = format!("{}{more}", self.path.trim_end_matches('/'));
        }
        self
    }

    /// Whether what travels there is encrypted; else it stays on this machine.
    pub(crate) fn encrypted(&self) -> bool {
        self.encrypted
    }

    /// Its name.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

/// What is sent.
#[derive(Debug)]
pub(crate) struct Ask {
    /// GET, POST, PUT.
    pub(crate) method: String,
    /// Beside `Host` and `User-Agent`.
    pub(crate) headers: Vec<(HeaderName, String)>,
    /// The value of `Authorization`.
    pub(crate) authorization: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Its first bytes.
    pub(crate) body: Vec<u8>,
    /// Whether there was more.
    pub(crate) cut: bool,
}

/// Sends it, and reads at most `most` bytes of the answer's body. How long that may take is the caller's to limit.
pub(crate) async fn send(
    to: &Endpoint,
    ask: Ask,
    ca_file: Option<&Path>,
    most: usize,
) -> Result<Answer, String> {
    let place = format!("{}:{}", to.host, to.port);
    let tcp = TcpStream::connect((to.host.as_str(), to.port)).await.map_err(|e| format!("{place}: {e}"))?;
    let request = request(to, ask)?;
    if !to.encrypted {
        return exchange(tcp, request, most).await;
    }
    let ca_file = ca_file.map(Path::to_path_buf);
    let client = tokio::task::spawn_blocking(move || roots(ca_file.as_deref()).and_then(tls::client));
    let client = client.await.map_err(|e| e.to_string())??;
    let name = ServerName::try_from(to.host.clone()).map_err(|e| format!("{place}: {e}"))?;
    let stream = TlsConnector::from(client).connect(name, tcp).await.map_err(|e| format!("{place}: {e}"))?;
    exchange(stream, request, most).await
}

fn request(to: &Endpoint, ask: Ask) -> Result<hyper::Request<Full<Bytes>>, String> {
    let method = Method::from_bytes(ask.method.as_bytes()).map_err(|e| e.to_string())?;
    let mut builder = hyper::Request::builder()
        .method(method)
        .uri(&to.path)
        .header(HOST, &to.authority)
        .header(USER_AGENT, concat!("mcp-linux-infra/", env!("CARGO_PKG_VERSION")));
    for (name, value) in ask.headers {
        builder = builder.header(name, value);
    }
    if let Some(value) = ask.authorization {
        let mut value = HeaderValue::try_from(value).map_err(|_| "the token is no header value")?;
        value.set_sensitive(true);
        builder = builder.header(AUTHORIZATION, value);
    }
    // The path may be a secret: no error tells it.
    builder.body(Full::new(Bytes::from(ask.body))).map_err(|_| "the URL makes no request".to_owned())
}

async fn exchange<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    request: hyper::Request<Full<Bytes>>,
    most: usize,
) -> Result<Answer, String> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|e| format!("no HTTP: {e}"))?;
    // Ends with this call, however it ends.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(request).await.map_err(|e| format!("no answer: {e}"))?;
    let (head, mut rest) = response.into_parts();
    let (mut body, mut cut) = (Vec::new(), false);
    while !cut {
        let Some(frame) = rest.frame().await else { break };
        let Ok(frame) = frame else {
            cut = true;
            break;
        };
        if let Ok(data) = frame.into_data() {
            let room = most.saturating_sub(body.len());
            body.extend_from_slice(&data[..data.len().min(room)]);
            cut = data.len() > room;
        }
    }
    Ok(Answer { status: head.status, headers: head.headers, body, cut })
}
