//! The dashboard: where a person sees what is proposed, and approves it with a passkey.
//!
//! It has no power of its own. What it shows comes from the bytes that get signed; the signature is the passkey's, and the target
//! verifies it. A dashboard that lies can mislead a person, and sign nothing.

mod assets;
mod decide;
mod deny;
mod enter;
mod events;
mod guard;
mod health;
mod learn;
mod live;
mod look;
mod passkey;
mod sessions;
mod sso;
mod texts;
mod view;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::app::App;
use crate::listen::Bound;
use crate::oidc::Provider;
use live::Lists;
use passkey::Party;
use sessions::Sessions;

/// Connections at once: each open page holds one for its events and one for what it asks. A service has 1024 descriptors by default.
const CONNECTIONS: usize = 800;
/// For open answers, once the dashboard was told to end.
const CLOSE: Duration = Duration::from_secs(2);

/// What every request may need.
#[derive(Debug)]
struct Web {
    app: Arc<App>,
    party: Party,
    /// What a request's `Host` must be.
    authority: String,
    sessions: Sessions,
    changes: watch::Receiver<u64>,
    lists: Lists,
    /// With which persons may log in too.
    provider: Option<Provider>,
}

/// A dashboard that listens and has not served yet.
#[derive(Debug)]
pub struct Dashboard {
    bound: Bound,
    party: Party,
    authority: String,
}

impl Dashboard {
    /// Listens at `HOST:PORT` or `unix:/path`. `origin` is what people's browsers show, `https://NAME[:PORT]`, or
    /// `http://localhost:PORT`, which is also what is taken when none is given. The error names the cause and the next step.
    pub async fn bind(address: &str, origin: Option<&str>) -> Result<Self, String> {
        // Who may come in is asked of every request, so any address will do; what travels there must be encrypted by a proxy.
        let bound = Bound::bind(address, true).await?;
        let local = bound.tcp_address().map_or_else(|| address.to_owned(), |a| a.to_string());
        let (party, authority) = party(&self::origin(origin, &local)?)?;
        Ok(Self { bound, party, authority })
    }

    /// What the person who started it reads.
    pub fn start_line(&self) -> String {
        format!("dashboard for {} at {}", self.party.origin, self.bound.url("/"))
    }

    /// The origin, without a slash at its end.
    pub fn origin(&self) -> &str {
        &self.party.origin
    }

    /// Serves until SIGTERM or SIGINT; persons may log in with `provider` too.
    pub async fn serve(self, app: Arc<App>, provider: Option<Provider>) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        app.store()?;
        let (sender, changes) = watch::channel(0);
        let watcher = tokio::spawn(events::watch_store(Arc::clone(&app), sender));
        let (sessions, lists) = (Sessions::default(), Lists::default());
        let web =
            Web { app, party: self.party, authority: self.authority, sessions, changes, lists, provider };
        let router = router(Arc::new(web));
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let connections = self.bound.serve(&router, CONNECTIONS, stop).await;
        // Without the watcher the event streams end, so that their connections can.
        watcher.abort();
        self.bound.close();
        let _ = tokio::time::timeout(CLOSE, connections.shutdown()).await;
        Ok(())
    }
}

/// What people's browsers show: as configured, or else the port on this machine.
pub(crate) fn origin(configured: Option<&str>, listen: &str) -> Result<String, String> {
    let local = || {
        listen
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse::<u16>().ok())
            .map(|p| format!("http://localhost:{p}"))
    };
    configured.map(str::to_owned).or_else(local).ok_or_else(|| {
        "a dashboard on a unix socket needs `origin` in [dashboard] of the config: what people's browsers show".to_owned()
    })
}

/// The line of a target's approvers that lets this passkey sign grants. `point` is in hex, as the store has it.
pub(crate) fn approver_line(person: &str, point: &str, origin: &str) -> Result<String, String> {
    let (party, _) = party(origin)?;
    party.approver_line(person, &enter::from_hex(point))
}

/// What a target that takes this dashboard's passkeys asks for.
pub(crate) fn fido(origin: &str) -> Result<grant::Fido, String> {
    party(origin)?.0.fido()
}

/// The origin as browsers spell it, the passkeys' name and the `Host` of its requests.
fn party(origin: &str) -> Result<(Party, String), String> {
    let wrong = |cause: &str| format!("origin {origin:?}: {cause}; write https://NAME or https://NAME:PORT");
    let (scheme, authority) = origin.split_once("://").ok_or_else(|| wrong("there is no scheme"))?;
    let parsed: axum::http::uri::Authority =
        authority.parse().map_err(|_| wrong("there is no name and port alone behind the scheme"))?;
    let name = parsed.host().to_ascii_lowercase();
    if authority.contains('@') || authority != authority.to_ascii_lowercase() {
        return Err(wrong("it must be as a browser shows it"));
    }
    if name.parse::<std::net::IpAddr>().is_ok() || name.starts_with('[') {
        return Err(wrong("passkeys belong to a name, not to an address"));
    }
    match scheme {
        "https" => {}
        "http" if name == "localhost" => {}
        _ => return Err(wrong("browsers offer passkeys on https only (and on http://localhost)")),
    }
    let party = Party { origin: origin.to_owned(), id: name };
    Ok((party, authority.to_owned()))
}

fn router(web: Arc<Web>) -> Router {
    Router::new()
        .route("/", get(look::waiting))
        .route("/history", get(look::history))
        .route("/proposals/{id}", get(decide::show))
        .route("/proposals/{id}/review", post(decide::review))
        .route("/proposals/{id}/keys", post(decide::keys))
        .route("/proposals/{id}/approve", post(decide::approve))
        .route("/proposals/{id}/reject", post(decide::reject))
        .route("/proposals/{id}/deny/begin", post(deny::begin))
        .route("/proposals/{id}/deny", post(deny::finish))
        .route("/proposals/{id}/deliver", post(deny::deliver))
        .route("/proposals/{id}/run", post(decide::run))
        .route("/hosts", get(health::hosts))
        .route("/policy", get(look::policy))
        .route("/learning", get(learn::page))
        .route("/learning/accept", post(learn::accept))
        .route("/learning/dismiss", post(learn::dismiss))
        .route("/audit", get(look::audit))
        .route("/people", get(look::people))
        .route("/devices/revoke", post(enter::revoke))
        .route("/events", get(events::stream))
        .route("/login", get(enter::login_page))
        .route("/login/begin", post(enter::login_begin))
        .route("/login/finish", post(enter::login_finish))
        .route("/login/sso", get(sso::back_page))
        .route("/login/sso/begin", post(sso::begin))
        .route("/login/sso/finish", post(sso::finish))
        .route("/logout", post(enter::logout))
        .route("/enrol", get(enter::enrol_page))
        .route("/enrol/begin", post(enter::enrol_begin))
        .route("/enrol/finish", post(enter::enrol_finish))
        .route("/assets/{name}", get(assets::serve))
        .fallback(look::not_found)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&web), guard::check))
        .with_state(web)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_name_that_browsers_trust() {
        let (party, host) = party("https://approve.example.org:8443").unwrap();
        assert_eq!((party.id.as_str(), host.as_str()), ("approve.example.org", "approve.example.org:8443"));
        assert_eq!(super::party("http://localhost:8090").unwrap().0.id, "localhost");
        for wrong in [
            "approve.example.org",
            "http://approve.example.org",
            "https://approve.example.org/",
            "https://Approve.example.org",
            "https://10.0.0.1",
            "https://[::1]:8443",
            "https://a@b.example.org",
            "http://127.0.0.1:8090",
            "https://",
        ] {
            assert!(super::party(wrong).is_err(), "{wrong}");
        }
    }
}
