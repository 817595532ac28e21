//! Where a server of ours listens: TCP, on loopback unless a token is asked for, or a unix socket of our own.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// For the head of a request.
const HEAD: Duration = Duration::from_secs(10);

/// A connection of either kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Bound(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener, SocketAddr),
    Unix {
        listener: UnixListener,
        path: PathBuf,
        /// Device and inode of our socket: another one at its place is not ours to remove.
        id: (u64, u64),
    },
}

impl Bound {
    /// Listens at `HOST:PORT` or `unix:/path`.
    pub(crate) async fn bind(address: &str, has_token: bool) -> Result<Self, String> {
        match address.strip_prefix("unix:") {
            Some(path) => unix(Path::new(path)).await,
            None => tcp(address, has_token).await,
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match &self.0 {
            Kind::Tcp(listener, _) => {
                let (stream, _) = listener.accept().await?;
                // A small answer must not wait for the peer's delayed ACK.
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Kind::Unix { listener, .. } => Ok(Box::new(listener.accept().await?.0)),
        }
    }

    /// Serves the router until `stop`, at most `most` connections at once: more wait to be accepted. Those that are still open at the
    /// end are the answer.
    pub(crate) async fn serve(
        &self,
        router: &Router,
        most: usize,
        stop: impl Future<Output = ()>,
    ) -> GracefulShutdown {
        let connections = GracefulShutdown::new();
        let room = Arc::new(Semaphore::new(most));
        tokio::pin!(stop);
        loop {
            // The semaphore is never closed.
            let accepted = async { (Arc::clone(&room).acquire_owned().await, self.accept().await) };
            let (place, stream) = tokio::select! {
                accepted = accepted => accepted,
                () = &mut stop => return connections,
            };
            let stream = match stream {
                Ok(stream) => stream,
                Err(e) => {
                    // Out of descriptors: the ones that end make room.
                    tracing::warn!("a connection could not be accepted: {e}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
            let connection = connections.watch(connection);
            tokio::spawn(async move {
                // A peer that goes in the middle is no failure of ours.
                if let Err(e) = connection.await {
                    tracing::debug!("connection: {e}");
                }
                drop(place);
            });
        }
    }

    /// The address on TCP.
    pub(crate) fn tcp_address(&self) -> Option<SocketAddr> {
        match &self.0 {
            Kind::Tcp(_, address) => Some(*address),
            Kind::Unix { .. } => None,
        }
    }

    /// For people, and for the configuration of a client.
    pub(crate) fn url(&self, endpoint: &str) -> String {
        match &self.0 {
            Kind::Tcp(_, address) => format!("http://{address}{endpoint}"),
            Kind::Unix { path, .. } => format!("unix:{} (http://localhost{endpoint})", path.display()),
        }
    }

    /// Removes a unix socket.
    pub(crate) fn close(&self) {
        if let Kind::Unix { path, id, .. } = &self.0
            && fs::symlink_metadata(path).is_ok_and(|m| (m.dev(), m.ino()) == *id)
        {
            let _ = fs::remove_file(path);
        }
    }
}

async fn tcp(address: &str, has_token: bool) -> Result<Bound, String> {
    const FORM: &str = "write HOST:PORT with a port, such as 127.0.0.1:8080, or unix:/path";
    let mut found = tokio::net::lookup_host(address)
        .await
        .map_err(|e| format!("{address:?} is no address: {e}; {FORM}"))?;
    let wanted = found.next().ok_or_else(|| format!("{address:?} is no address; {FORM}"))?;
    if !wanted.ip().is_loopback() && !has_token {
        return Err(format!(
            "{address}: {} is not a loopback address, so everybody who reaches it could call; name a file of \
             bearer tokens as `token_file` in [http] of the config, or listen on 127.0.0.1 or unix:/path",
            wanted.ip()
        ));
    }
    let listener = TcpListener::bind(wanted).await.map_err(|e| {
        let next = match e.kind() {
            ErrorKind::AddrInUse => {
                "another program listens there: choose another port (port 0 takes a free one) or end that program"
            }
            ErrorKind::PermissionDenied => "ports below 1024 are for root: choose a higher one",
            ErrorKind::AddrNotAvailable => "this machine has no such address: `ip addr` shows those it has",
            _ => FORM,
        };
        format!("{address}: {e}; {next}")
    })?;
    let bound = listener.local_addr().map_err(|e| format!("{address}: {e}"))?;
    Ok(Bound(Kind::Tcp(listener, bound)))
}

async fn unix(path: &Path) -> Result<Bound, String> {
    let wrong = |cause: String| format!("unix:{}: {cause}", path.display());
    if !path.is_absolute() {
        return Err(wrong("the path must be absolute, such as unix:/run/user/1000/mcp.sock".to_owned()));
    }
    remove_stale(path).await.map_err(wrong)?;
    let listener = bind_private(path).map_err(|e| {
        wrong(format!("{e}; the folder must exist and be writable, and the path have at most 107 bytes"))
    })?;
    let meta = fs::symlink_metadata(path).map_err(|e| wrong(e.to_string()))?;
    Ok(Bound(Kind::Unix { listener, path: path.to_owned(), id: (meta.dev(), meta.ino()) }))
}

/// Binds so that at no moment anybody else may connect.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = bound?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Removes a socket that a server of ours has left; anything else at the path is an error.
async fn remove_stale(path: &Path) -> Result<(), String> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e.to_string()),
    };
    if !meta.file_type().is_socket() {
        return Err("there is something that is no socket; choose another path or remove it".to_owned());
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(format!("the socket there belongs to user {}; choose another path", meta.uid()));
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err("another server listens there; end it or choose another path".to_owned()),
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|e| format!("the stale socket cannot be removed: {e}"))
        }
        Err(e) => Err(format!("whether another server listens there is unknown: {e}; choose another path")),
    }
}

/// Whether only this machine reaches it.
pub(crate) fn is_local(address: Option<SocketAddr>) -> bool {
    address.is_none_or(|a| is_loopback(a.ip()))
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}
