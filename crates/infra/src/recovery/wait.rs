//! Waiting for a person's decision, and where that is made.

use std::time::Duration;

use tokio::time::Instant;

use crate::app::App;
use crate::store::{Proposal, State, now_ms};

use super::RecoveryError;

/// How often a wait looks at the proposal.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Whether a proposal waits for a person: nobody has signed, not enough have, or what they signed has expired.
pub fn waits(proposal: &Proposal) -> bool {
    match proposal.state {
        State::Proposed => true,
        State::Approved => proposal.statement_expires_ms.is_none_or(|end| end <= now_ms()),
        _ => false,
    }
}

/// Waits until a proposal waits for nobody, at most until `end`, and gives it as it then is.
pub async fn wait(app: &App, id: &str, end: Instant) -> Result<Proposal, RecoveryError> {
    loop {
        let wanted = id.to_owned();
        let proposal = app.blocking(move |store| store.proposal(&wanted)).await?;
        if !waits(&proposal) || Instant::now() >= end {
            return Ok(proposal);
        }
        tokio::time::sleep_until(end.min(Instant::now() + LOOK_AGAIN)).await;
    }
}

/// The page on which a person decides; `None` without a dashboard. It asks for a login, and its address holds no secret.
pub fn page(app: &App, id: &str) -> Option<String> {
    app.config().dashboard.origin.as_ref().map(|origin| format!("{origin}/proposals/{id}"))
}

/// Where a person reviews and signs a proposal, for a sentence.
pub fn where_to_sign(app: &App, id: &str) -> String {
    let page = page(app, id).map(|page| format!("at {page} or ")).unwrap_or_default();
    format!("{page}with `mcp-linux-infra approve {id}`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment};
    use crate::store::{Signature, asked};

    /// A program with one proposal, and this in its configuration.
    fn app(config: &str) -> (tempfile::TempDir, App) {
        let dir = tempfile::tempdir().unwrap();
        let env = Environment::from([("HOME", dir.path().to_str().unwrap())]);
        let path = dir.path().join("c.toml");
        std::fs::write(&path, format!("state_dir = \"state\"\n{config}")).unwrap();
        let app = App::new(Config::load(Some(&path), &env).unwrap()).unwrap();
        let asked = asked(now_ms() + 3_600_000, 1);
        app.store().unwrap().propose("pr_1", &asked).unwrap();
        (dir, app)
    }

    fn sign(app: &App, expires_ms: i64) -> Proposal {
        let store = app.store().unwrap();
        let bytes = expires_ms.to_string().into_bytes();
        store.fix_statement("pr_1", &bytes, expires_ms).unwrap();
        let signature = Signature {
            fingerprint: "k".into(),
            signer: "alice".into(),
            armor: "armor".into(),
            signed_ms: now_ms(),
        };
        store.sign("pr_1", &bytes, &signature).unwrap()
    }

    #[tokio::test]
    async fn a_signature_ends_the_wait_and_one_that_has_expired_does_not() {
        let (_dir, app) = app("");
        let soon = || Instant::now() + Duration::from_millis(50);
        assert!(waits(&wait(&app, "pr_1", soon()).await.unwrap()));
        assert!(waits(&sign(&app, now_ms() - 1)), "what was signed counts no more");
        let late = wait(&app, "pr_1", soon()).await.unwrap();
        assert!(late.state == State::Approved && waits(&late), "{late:?}");
        let (decided, ()) =
            tokio::join!(wait(&app, "pr_1", Instant::now() + Duration::from_mins(1)), async {
                sign(&app, now_ms() + 60_000);
            });
        assert!(!waits(&decided.unwrap()));
        app.store().unwrap().reject("pr_1", "bob", "no").unwrap();
        assert!(!waits(&wait(&app, "pr_1", soon()).await.unwrap()));
        assert!(wait(&app, "pr_2", soon()).await.is_err());
    }

    #[test]
    fn a_page_is_named_where_there_is_a_dashboard() {
        let (_dir, without) = app("");
        assert_eq!(page(&without, "pr_1"), None);
        assert_eq!(where_to_sign(&without, "pr_1"), "with `mcp-linux-infra approve pr_1`");
        let (_dir, with) = app("[dashboard]\norigin = \"https://infra.example.org\"\n");
        let named = where_to_sign(&with, "pr_1");
        assert_eq!(
            named,
            "at https://infra.example.org/proposals/pr_1 or with `mcp-linux-infra approve pr_1`"
        );
    }
}
