//! How a call that waits for a person's signature goes on, by what its client declared.
//!
//! No way here approves: whatever a client answers, the call only looks at the store again, and what stands there only runs
//! with signatures that the target verifies itself. A form is never shown: a program can fill one in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    CallToolResponse, ClientResult, CreateTaskResult, ElicitRequest, ElicitRequestParams, ElicitationAction,
    ErrorData, InputRequest, InputRequests, InputRequiredResult, InputResponses, ProtocolVersion,
    ServerRequest,
};
use rmcp::service::{Peer, PeerRequestOptions, RequestContext, RoleServer};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::app::App;
use crate::recovery;
use crate::store::now_ms;

use super::progress::Progress;
use super::seal::Seal;
use super::tasks;
use super::toolbox::Waits;

/// How long a call that the client makes again waits before it answers.
const AGAIN_WAIT: Duration = Duration::from_secs(20);
/// How long a call waits that shows the page while it runs; clients give a call up after 30 to 60 seconds.
const PAGE_WAIT: Duration = Duration::from_secs(25);
/// Between two notices of progress.
const TELL: Duration = Duration::from_secs(5);
/// So often a client is asked to call again; many stop by themselves at ten.
const ROUNDS: u32 = 9;
/// How long after a proposal's end the state of a call is known: such a call still learns that it ended.
const KNOWN_AFTER_MS: i64 = 3_600_000;
/// The name of the one thing that a client is asked.
const PAGE: &str = "approval_page";

/// How a client can wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// It leaves the call with the server and asks how it went.
    Task,
    /// It shows this page and makes the call again (2026-07-28).
    Again(String),
    /// It shows this page while the call runs (2025-11-25).
    Page(String),
    /// It is told that a person must sign.
    Told,
}

impl Way {
    /// By the protocol of the request and what its client declared; `page` is where a person decides.
    pub(super) fn of(context: &RequestContext<RoleServer>, page: Option<&str>) -> Self {
        let version = context.protocol_version().unwrap_or_default();
        let modern = version >= ProtocolVersion::V_2026_07_28;
        let client = context.client_capabilities().unwrap_or_default();
        if modern && client.supports_tasks() {
            return Self::Task;
        }
        let shows_pages = client.elicitation.is_some_and(|e| e.url.is_some());
        match page {
            Some(page) if shows_pages && modern => Self::Again(page.to_owned()),
            Some(page) if shows_pages && version >= ProtocolVersion::V_2025_11_25 => {
                Self::Page(page.to_owned())
            }
            _ => Self::Told,
        }
    }
}

/// What comes next for a call that waits.
#[derive(Debug)]
pub(super) enum Next {
    /// Its client is answered this, and comes back.
    Respond(Box<CallToolResponse>),
    /// A person has decided, or something failed: the same call says it.
    Decided,
    /// It waits, and its answer says so.
    Told,
}

/// How often a call was made already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Round {
    number: u32,
    /// Whether the client said that it shows the page.
    shown: bool,
}

/// What a call is and says, beside the tool's arguments.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// Who makes it.
    pub(super) owner: &'a str,
    /// What its state is bound to.
    pub(super) subject: &'a str,
    /// Its round, when it is made again.
    pub(super) round: Option<Round>,
    /// What the client answered to what it was asked.
    pub(super) given: Option<&'a InputResponses>,
    /// The client.
    pub(super) peer: &'a Peer<RoleServer>,
    /// Told while it waits.
    pub(super) progress: &'a Progress,
}

/// Calls that wait.
#[derive(Debug)]
pub(super) struct Waiting {
    app: Arc<App>,
    seal: Seal,
}

/// What the state of a call is bound to: who calls, which tool, and all of its arguments.
pub(super) fn subject(owner: &str, tool: &str, arguments: &Value) -> String {
    let sorted: BTreeMap<&String, &Value> = arguments.as_object().into_iter().flatten().collect();
    crate::store::sha256_hex(json!([owner, tool, sorted]).to_string().as_bytes())
}

impl Waiting {
    pub(super) fn new(app: Arc<App>) -> anyhow::Result<Self> {
        Ok(Self { app, seal: Seal::new()? })
    }

    /// The round that a client's state says, if it sent one.
    ///
    /// Errors: a state that this process did not make for this very call, or whose time is over (-32602).
    pub(super) fn round(&self, state: Option<&str>, subject: &str) -> Result<Option<Round>, ErrorData> {
        let Some(state) = state else { return Ok(None) };
        let read = || {
            let (bound, rest) = self.seal.open(state)?.split_once(':')?;
            let mut parts = rest.split(':');
            let number = parts.next()?.parse().ok()?;
            let shown = parts.next()? == "shown";
            let until: i64 = parts.next()?.parse().ok()?;
            (bound == subject && until > now_ms()).then_some(Round { number, shown })
        };
        let wrong = || {
            let cause = "requestState is not one that this server made for this call: call without it";
            ErrorData::invalid_params(cause, None)
        };
        read().map(Some).ok_or_else(wrong)
    }

    fn state(&self, round: Round, subject: &str, until_ms: i64) -> String {
        let shown = if round.shown { "shown" } else { "asked" };
        self.seal.close(&format!("{subject}:{}:{shown}:{until_ms}", round.number))
    }

    /// Goes on with a call that waits.
    pub(super) async fn go_on(&self, waits: &Waits, way: Way, asked: Asked<'_>) -> Result<Next, ErrorData> {
        match way {
            Way::Task => {
                let task = tasks::keep(&self.app, waits, asked.owner).await?;
                Ok(Next::Respond(Box::new(CreateTaskResult::new(task).into())))
            }
            Way::Again(page) => Ok(self.again(waits, &page, &asked).await),
            Way::Page(page) => Ok(self.page(waits, page, &asked).await),
            Way::Told => Ok(Next::Told),
        }
    }

    /// The client shows the page, then makes the call again, which waits.
    async fn again(&self, waits: &Waits, page: &str, asked: &Asked<'_>) -> Next {
        let Some(round) = asked.round else {
            return self.ask(waits, Some(page), Round { number: 1, shown: false }, asked);
        };
        let said = asked.given.and_then(|g| g.get(PAGE)).and_then(|answer| answer["action"].as_str());
        if matches!(said, Some("decline" | "cancel")) {
            return Next::Told;
        }
        if self.wait(waits, AGAIN_WAIT, asked.progress).await {
            return Next::Decided;
        }
        if round.number >= ROUNDS {
            return Next::Told;
        }
        let shown = round.shown || said == Some("accept");
        let next = Round { number: round.number + 1, shown };
        // A person who has the page open is not asked again to open it.
        self.ask(waits, (!shown).then_some(page), next, asked)
    }

    fn ask(&self, waits: &Waits, page: Option<&str>, round: Round, asked: &Asked<'_>) -> Next {
        let until_ms = waits.expires_ms.saturating_add(KNOWN_AFTER_MS);
        let state = self.state(round, asked.subject, until_ms);
        let requests = page.map(|page| {
            let request = InputRequest::Elicitation(elicit(waits, page.to_owned(), String::new()));
            InputRequests::from([(PAGE.to_owned(), request)])
        });
        Next::Respond(Box::new(InputRequiredResult::new(requests, Some(state)).into()))
    }

    /// The client is asked to show the page while the call waits. Its answer only says whether it does.
    async fn page(&self, waits: &Waits, page: String, asked: &Asked<'_>) -> Next {
        let Ok(id) = recovery::fresh_id("el_", 16) else { return Next::Told };
        let request = ServerRequest::ElicitRequest(elicit(waits, page, id));
        let options = PeerRequestOptions::no_options();
        let mut handle = match asked.peer.send_cancellable_request(request, options).await {
            Ok(handle) => handle,
            Err(e) => {
                tracing::debug!("the client was not asked to show the page: {e}");
                return Next::Told;
            }
        };
        let wait = self.wait(waits, PAGE_WAIT, asked.progress);
        tokio::pin!(wait);
        let answered = tokio::select! {
            decided = &mut wait => Err(decided),
            answer = &mut handle.rx => Ok(answer),
        };
        let decided = match answered {
            Ok(Ok(Ok(ClientResult::ElicitResult(said)))) if said.action == ElicitationAction::Accept => {
                wait.await
            }
            Ok(_) => return Next::Told,
            Err(decided) => {
                // What it still shows is of no use any more.
                let _ = handle.cancel(Some("the call waits no more".to_owned())).await;
                decided
            }
        };
        if decided { Next::Decided } else { Next::Told }
    }

    /// Waits at most so long; whether there is something to say then.
    async fn wait(&self, waits: &Waits, at_most: Duration, progress: &Progress) -> bool {
        let begin = Instant::now();
        let end = begin + at_most;
        let seconds = |d: Duration| usize::try_from(d.as_secs()).unwrap_or(usize::MAX);
        loop {
            let slice = end.min(Instant::now() + TELL);
            match recovery::wait(&self.app, &waits.proposal, slice).await {
                Ok(proposal) if recovery::waits(&proposal) => {}
                _ => return true,
            }
            if Instant::now() >= end {
                return false;
            }
            let message = format!("{} waits for a person's signature", waits.proposal);
            progress.report(seconds(begin.elapsed()), seconds(at_most), message);
        }
    }
}

/// Asks for the page to be shown. It says nothing that a model wrote.
fn elicit(waits: &Waits, page: String, id: String) -> ElicitRequest {
    ElicitRequest::new(ElicitRequestParams::UrlElicitationParams {
        meta: None,
        message: format!(
            "Proposal {} ({} on {}) waits for a person's signature. The page asks for a login; opening it approves nothing.",
            waits.proposal, waits.action, waits.host
        ),
        url: page,
        elicitation_id: id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment};

    fn waiting() -> (tempfile::TempDir, Waiting) {
        let dir = tempfile::tempdir().unwrap();
        let env = Environment::from([("HOME", dir.path().to_str().unwrap())]);
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "").unwrap();
        let app = Arc::new(App::new(Config::load(Some(&path), &env).unwrap()).unwrap());
        (dir, Waiting::new(app).unwrap())
    }

    #[test]
    fn a_state_counts_for_its_own_call_and_its_time_and_as_it_was_made() {
        let (_dir, waiting) = waiting();
        let call = |owner: &str, tool: &str, host: &str| {
            subject(owner, tool, &json!({ "host": host, "action": "a", "approval_token": "pr_1" }))
        };
        let own = call("alice", "execute_pra_action", "web01");
        let round = Round { number: 3, shown: true };
        let state = waiting.state(round, &own, now_ms() + 60_000);
        assert_eq!(waiting.round(Some(&state), &own).unwrap(), Some(round));
        assert_eq!(waiting.round(None, &own).unwrap(), None);
        let others = [
            call("bob", "execute_pra_action", "web01"),
            call("alice", "execute_pra_action", "web02"),
            call("alice", "propose_pra_action", "web01"),
        ];
        for other in others {
            assert!(waiting.round(Some(&state), &other).is_err());
        }
        let late = waiting.state(round, &own, now_ms() - 1);
        let more = state.replacen(":3:", ":1:", 1);
        assert_ne!(more, state);
        let foreign = Seal::new().unwrap().close(&format!("{own}:3:shown:{}", i64::MAX));
        for wrong in [late.as_str(), more.as_str(), foreign.as_str(), "", ".", &state[1..], "a:1:shown:9.00"]
        {
            let error = waiting.round(Some(wrong), &own).unwrap_err();
            assert_eq!(error.code.0, -32602, "{wrong}");
        }
    }

    #[test]
    fn a_subject_does_not_depend_on_the_order_of_the_arguments() {
        let (one, other) = (json!({ "a": 1, "b": 2 }), json!({ "b": 2, "a": 1 }));
        assert_eq!(subject("x", "t", &one), subject("x", "t", &other));
    }
}
