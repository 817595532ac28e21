//! Streamable HTTP at `/mcp`, on TCP or a unix socket.
//!
//! Every request passes the guard first: `Host`, `Origin`, bearer token, whose session it is, size and shape of
//! the body. The protocol library behind it serves both eras.

mod guard;
mod sessions;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rmcp::ServerHandler;
use rmcp::transport::streamable_http_server::StreamableHttpServerConfig;
use rmcp::transport::streamable_http_server::tower::StreamableHttpService;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::listen::Bound;

use super::server::{McpServer, watch_plugins};
use guard::Guard;
use sessions::Sessions;
pub(super) use tokens::Principal;

/// The path of the endpoint.
const PATH: &str = "/mcp";
/// Connections at once.
const CONNECTIONS: usize = 256;
/// For running calls, once the server was told to end.
const DRAIN: Duration = Duration::from_secs(5);
/// For the last answers, once the calls have ended, and then for open streams.
const CLOSE: Duration = Duration::from_millis(500);

/// Where to listen was checked and is ours: everything that can be wrong about the address or the token file was
/// found by now.
#[derive(Debug)]
pub struct HttpServer {
    bound: Bound,
    guard: Arc<Guard>,
}

impl HttpServer {
    /// Listens at `HOST:PORT` or `unix:/path`. The error names the cause and the next step.
    pub async fn bind(app: &App, address: &str) -> Result<Self, String> {
        let http = &app.config().http;
        let tokens = http.token_file.clone().map(tokens::Tokens::open).transpose()?;
        let bound = Bound::bind(address, tokens.is_some()).await.map_err(|e| format!("--http {e}"))?;
        let sessions = Sessions::new(http.max_sessions, http.session_idle);
        let guard = Arc::new(Guard::new(http, bound.tcp_address(), tokens, sessions));
        Ok(Self { bound, guard })
    }

    /// What the person who started the server reads: where it serves, and what they should know.
    pub fn start_line(&self) -> String {
        format!("serving MCP at {}{}", self.bound.url(PATH), self.guard.advice(&self.bound))
    }

    /// Serves until SIGTERM or SIGINT; running calls then have five seconds.
    pub async fn serve(self, app: Arc<App>) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let watch = tokio::spawn(watch_plugins(Arc::clone(&app), signal(SignalKind::hangup())?));
        let server = McpServer::new(app)?;
        let streams = CancellationToken::new();
        #[cfg(not(feature = "conformance-fixtures"))]
        let handler = {
            let server = server.clone();
            move || server.clone()
        };
        #[cfg(feature = "conformance-fixtures")]
        let handler = {
            let fixtures = super::fixtures::Fixtures::beside(server.clone())?;
            move || fixtures.session()
        };
        let router = self.router(handler, streams.clone());
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let connections = self.bound.serve(&router, CONNECTIONS, stop).await;
        watch.abort();
        self.bound.close();
        let closed = connections.shutdown();
        tokio::pin!(closed);
        tokio::select! {
            () = &mut closed => return Ok(()),
            () = server.drain(DRAIN) => {}
        }
        // The last answers are still being written; only then are open streams cut.
        if tokio::time::timeout(CLOSE, &mut closed).await.is_err() {
            streams.cancel();
            let _ = tokio::time::timeout(CLOSE, closed).await;
        }
        Ok(())
    }

    fn router<H: ServerHandler>(
        &self,
        handler: impl Fn() -> H + Send + Sync + 'static,
        streams: CancellationToken,
    ) -> Router {
        // The guard has checked Host, Origin and size before.
        let config = StreamableHttpServerConfig::default()
            .disable_allowed_hosts()
            .disable_allowed_origins()
            .with_cancellation_token(streams);
        let service =
            StreamableHttpService::new(move || Ok(handler()), self.guard.sessions.manager(), config);
        Router::new()
            .route_service(PATH, service)
            .layer(axum::middleware::from_fn_with_state(Arc::clone(&self.guard), guard::check))
    }
}
