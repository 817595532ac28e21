//! Sessions of clients that speak a protocol before 2026-07-28: bounded in number, each its caller's own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rmcp::transport::streamable_http_server::session::SessionManager;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;

use super::tokens::Principal;

/// The sessions and whose they are.
#[derive(Debug)]
pub(super) struct Sessions {
    manager: Arc<LocalSessionManager>,
    most: usize,
    owners: Mutex<HashMap<String, Owner>>,
}

#[derive(Debug)]
struct Owner {
    principal: Principal,
    used: Instant,
}

impl Sessions {
    pub(super) fn new(most: usize, idle: Duration) -> Self {
        let mut manager = LocalSessionManager::default();
        manager.session_config.keep_alive = Some(idle);
        Self { manager: Arc::new(manager), most, owners: Mutex::default() }
    }

    pub(super) fn manager(&self) -> Arc<LocalSessionManager> {
        Arc::clone(&self.manager)
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<String, Owner>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the session exists and is this caller's; it counts as used now.
    pub(super) async fn is_of(&self, id: &str, principal: &Principal) -> bool {
        if !self.manager.sessions.read().await.contains_key(id) {
            self.owners().remove(id);
            return false;
        }
        let mut owners = self.owners();
        let Some(owner) = owners.get_mut(id).filter(|o| o.principal == *principal) else { return false };
        owner.used = Instant::now();
        true
    }

    /// Notes whose a new session is.
    pub(super) fn begun(&self, id: &str, principal: Principal) {
        self.owners().insert(id.to_owned(), Owner { principal, used: Instant::now() });
    }

    /// Ends those above the bound: first what nobody owns, then what was unused the longest.
    pub(super) async fn trim(&self) {
        let live: Vec<_> = self.manager.sessions.read().await.keys().cloned().collect();
        let Some(excess) = live.len().checked_sub(self.most).filter(|n| *n > 0) else { return };
        let mut by_age: Vec<_> = {
            let mut owners = self.owners();
            owners.retain(|id, _| live.iter().any(|l| l.as_ref() == id));
            live.into_iter().map(|id| (owners.get(id.as_ref()).map(|o| o.used), id)).collect()
        };
        by_age.sort();
        for (_, id) in by_age.into_iter().take(excess) {
            tracing::info!("more than {} sessions: the one unused longest was ended", self.most);
            self.owners().remove(id.as_ref());
            if let Err(e) = self.manager.close_session(&id).await {
                tracing::warn!("a session could not be ended: {e}");
            }
        }
    }
}
