//! Tells open pages that something has changed; what, they ask for themselves, with their own session.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures::stream;
use tokio::sync::watch;

use crate::app::App;
use crate::store::Store;

use super::Web;
use super::guard::{Reader, token};

/// How often the database is asked whether another process (or this one) has changed it: a read of one number.
const LOOK: Duration = Duration::from_millis(50);
/// How many looks lie between two for proposals whose time is over: a second's.
const LOOKS_PER_END: u32 = 20;
/// Keeps proxies from closing a silent stream, and finds browsers that have gone.
const BEAT: Duration = Duration::from_secs(15);

/// Counts changes of the database, and records proposals that have ended, for as long as somebody listens: no page does, as a GET
/// changes nothing.
pub(super) async fn watch_store(app: Arc<App>, sender: watch::Sender<u64>) {
    let (mut known, mut looks) = (None, 0);
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if looks % LOOKS_PER_END == 0
            && let Err(e) = app.expire().await
        {
            tracing::warn!("whether a proposal has ended could not be recorded: {e}");
        }
        looks = looks.wrapping_add(1);
        match app.blocking(Store::changes).await {
            Ok(version) if known != Some(version) => {
                known = Some(version);
                sender.send_modify(|n| *n += 1);
            }
            Ok(_) => {}
            Err(e) => tracing::warn!("the database cannot be watched: {e}"),
        }
    }
}

/// One event per change, `change`, and a comment now and then, for as long as the session lasts.
pub(super) async fn stream(State(web): State<Arc<Web>>, Reader(_): Reader, headers: HeaderMap) -> Response {
    let token = token(&headers).unwrap_or_default().to_owned();
    let mut changes = web.changes.clone();
    changes.mark_unchanged();
    // What changed between the page and this stream is not missed: the first event comes at once.
    let first = stream::once(async {
        Ok::<_, Infallible>(Bytes::from_static(b"retry: 1000\nevent: change\ndata: \n\n"))
    });
    let rest = stream::unfold((web, token, changes), |(web, token, mut changes)| async move {
        let chunk: &'static [u8] = match tokio::time::timeout(BEAT, changes.changed()).await {
            Ok(Ok(())) => b"event: change\ndata: \n\n",
            Ok(Err(_)) => return None,
            Err(_) => b": \n\n",
        };
        // The browser asks anew, is sent to the login, and the page follows.
        web.sessions
            .lasts(&token, Instant::now())
            .then_some((Ok(Bytes::from_static(chunk)), (web, token, changes)))
    });
    let body = Body::from_stream(futures::StreamExt::chain(first, rest));
    ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
}
