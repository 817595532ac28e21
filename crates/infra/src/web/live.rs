//! The lists that many pages show at once: made once for each change of the database, however many ask.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::Mutex;

use crate::store::{AuditReport, Store, StoreError, sha256_hex};

use super::Web;
use super::texts::Texts;
use super::view::{Card, Cards};

/// Rows of a list; more are not shown, and that is said.
pub(super) const ROWS: usize = 200;
/// With it a page's script asks for the live part alone.
const LIVE: HeaderName = HeaderName::from_static("x-live");

/// A live part as it was at one moment of the database.
#[derive(Debug, Clone)]
pub(super) struct Made {
    /// [`Store::changes`] before it was read.
    changes: (i64, i64),
    pub(super) html: Arc<str>,
    tag: String,
}

/// The newest of each list, by whether it is of what waits and by language, and the last check of the audit chain with the moment
/// of the database that it is of.
#[derive(Debug, Default)]
pub(super) struct Lists {
    made: Mutex<HashMap<(bool, &'static str), Made>>,
    verified: Mutex<Option<((i64, i64), AuditReport)>>,
}

impl Web {
    /// The list of proposals as the database has it now, in one language.
    pub(super) async fn list(&self, t: &'static Texts, waiting: bool) -> Result<Made, StoreError> {
        let key = (waiting, t.language);
        let now = self.app.blocking(Store::changes).await?;
        let mut lists = self.lists.made.lock().await;
        if let Some(made) = lists.get(&key).filter(|m| m.changes == now) {
            return Ok(made.clone());
        }
        // While this one waited for its turn, another may have made what it wants.
        let now = self.app.blocking(Store::changes).await?;
        if let Some(made) = lists.get(&key).filter(|m| m.changes == now) {
            return Ok(made.clone());
        }
        // Its number is read before its rows: what changes between the two makes it anew.
        let made = self
            .app
            .blocking(move |store| {
                let changes = store.changes()?;
                let mut rows = store.proposals(waiting, ROWS + 1)?;
                let more = rows.len() > ROWS;
                rows.truncate(ROWS);
                let cards = Cards { t, waiting, more, rows: rows.iter().map(Card::from).collect() };
                let html = cards.render().map_err(|e| StoreError::Unusable {
                    place: "the list of proposals".to_owned(),
                    cause: e.to_string(),
                })?;
                let tag = tag(&html);
                Ok(Made { changes, html: html.into(), tag })
            })
            .await?;
        lists.insert(key, made.clone());
        Ok(made)
    }

    /// Whether the audit chain is whole: it is read once for each change, however many pages show it.
    pub(super) async fn verified(&self) -> Result<AuditReport, StoreError> {
        let mut verified = self.lists.verified.lock().await;
        let now = self.app.blocking(Store::changes).await?;
        if let Some((_, report)) = verified.as_ref().filter(|(at, _)| *at == now) {
            return Ok(report.clone());
        }
        let fresh = self.app.blocking(|store| Ok((store.changes()?, store.audit_verify()?))).await?;
        Ok(verified.insert(fresh).1.clone())
    }
}

/// Quoted, as an `ETag` is.
fn tag(html: &str) -> String {
    format!("\"{}\"", &sha256_hex(html.as_bytes())[..32])
}

impl Made {
    /// The answer to a page's script that wants this part alone; nothing when it has just this already. `None` when a whole page is
    /// asked for.
    pub(super) fn part(&self, headers: &HeaderMap) -> Option<Response> {
        headers.contains_key(LIVE).then(|| {
            fresh(headers, &self.tag, || {
                // One copy for all that ask, as long as it is the newest.
                Bytes::from_owner(Shared(Arc::clone(&self.html)))
            })
        })
    }
}

/// A whole page that its script asks for again and again.
pub(super) fn page(headers: &HeaderMap, html: String) -> Response {
    let tag = tag(&html);
    fresh(headers, &tag, || Bytes::from(html))
}

fn fresh(headers: &HeaderMap, tag: &str, body: impl FnOnce() -> Bytes) -> Response {
    let tagged = [(ETAG, tag.to_owned())];
    if headers.get(IF_NONE_MATCH).is_some_and(|had| had.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, tagged).into_response();
    }
    (tagged, [(CONTENT_TYPE, "text/html; charset=utf-8")], body()).into_response()
}

struct Shared(Arc<str>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}
