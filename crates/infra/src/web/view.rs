//! The pages' data, cleaned for people's eyes, and their templates.

use askama::Template;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::hosts::hygiene;
use crate::store::{Proposal, State};

use super::assets::{CSS_INTEGRITY, JS_INTEGRITY};
use super::health::Evidence;
use super::sessions::Person;
use super::texts::Texts;

/// Text that somebody else wrote: escapes, control, bidi and invisible characters shown, not acted on. Markup is the templates'
/// part: they escape everything.
pub(super) fn seen(text: &str) -> String {
    hygiene::escaped(text.as_bytes())
}

/// A moment in UTC, on one line.
pub(super) fn moment(ms: i64) -> String {
    crate::app::utc(ms).replace(' ', "\u{a0}")
}

/// What every page has.
pub(super) struct Page {
    t: &'static Texts,
    person: Option<Person>,
    here: &'static str,
}

impl Page {
    pub(super) fn new(t: &'static Texts, person: Option<Person>, here: &'static str) -> Self {
        Self { t, person, here }
    }

    fn css_integrity(&self) -> &str {
        let _ = self;
        &CSS_INTEGRITY
    }

    fn js_integrity(&self) -> &str {
        let _ = self;
        &JS_INTEGRITY
    }

    fn links(&self) -> [(&'static str, &'static str); 7] {
        let _ = self;
        [
            ("/", "nav_waiting"),
            ("/history", "nav_history"),
            ("/hosts", "nav_hosts"),
            ("/policy", "nav_policy"),
            ("/learning", "nav_learning"),
            ("/audit", "nav_audit"),
            ("/people", "nav_people"),
        ]
    }
}

#[derive(Template)]
#[template(path = "login.html")]
pub(super) struct LoginPage {
    pub(super) page: Page,
    /// What the OIDC provider is called.
    pub(super) provider: Option<String>,
}

#[derive(Template)]
#[template(path = "sso.html")]
pub(super) struct SsoPage {
    pub(super) page: Page,
}

#[derive(Template)]
#[template(path = "enrol.html")]
pub(super) struct EnrolPage {
    pub(super) page: Page,
}

#[derive(Template)]
#[template(path = "error.html")]
pub(super) struct ErrorPage {
    pub(super) page: Page,
    pub(super) status: StatusCode,
    pub(super) message: String,
}

/// One proposal in a list.
pub(super) struct Card {
    id: String,
    subject: String,
    host: String,
    risk: &'static str,
    state: State,
    signed: usize,
    wanted: u32,
    asked_by: String,
    until_ms: i64,
    until: String,
    created: String,
}

impl From<&Proposal> for Card {
    fn from(p: &Proposal) -> Self {
        Self {
            id: p.id.clone(),
            subject: subject(&p.asked.action, &p.asked.argv),
            host: seen(&p.asked.host),
            risk: known_risk(&p.asked.risk),
            state: p.state,
            signed: p.signatures.len(),
            wanted: p.asked.approvals,
            asked_by: seen(&p.asked.proposed_by),
            until_ms: p.asked.expires_ms,
            until: moment(p.asked.expires_ms),
            created: moment(p.created_ms),
        }
    }
}

/// The database is not believed in what becomes part of the markup.
fn known_risk(word: &str) -> &'static str {
    ["low", "medium", "high", "critical"].into_iter().find(|known| *known == word).unwrap_or("unknown")
}

/// An action's name, or the command itself.
pub(super) fn subject(action: &str, argv: &[String]) -> String {
    if action.is_empty() { seen(&crate::app::line_of(argv)) } else { seen(action) }
}

#[derive(Template)]
#[template(path = "proposals.html")]
pub(super) struct ProposalsPage {
    pub(super) page: Page,
    pub(super) heading: &'static str,
    /// Markup of [`Cards`].
    pub(super) cards: std::sync::Arc<str>,
}

/// One proposal whole. What will run is from the bytes that get signed, when they are fixed.
pub(super) struct View {
    pub(super) id: String,
    pub(super) subject: String,
    pub(super) host: String,
    pub(super) tenant: String,
    pub(super) machine_id: String,
    pub(super) params: Vec<(String, String)>,
    pub(super) asked_by: String,
    pub(super) why: String,
    pub(super) risk: String,
    pub(super) steps: Vec<(String, String)>,
    pub(super) state: State,
    pub(super) reason: String,
    pub(super) wanted: u32,
    pub(super) signatures: Vec<(String, String, String)>,
    pub(super) open: bool,
    pub(super) until_ms: i64,
    pub(super) until: String,
    pub(super) fixed: bool,
    pub(super) bytes: String,
    pub(super) sha256: String,
    pub(super) challenge: String,
    pub(super) signed_by_me: bool,
    pub(super) result: Option<Outcome>,
    /// What the host said before it was proposed.
    pub(super) evidence: Option<Evidence>,
}

/// What a rejection means on the target.
pub(super) struct DenialView {
    /// Whether a person may still sign one.
    pub(super) possible: bool,
    /// Rejected, and until when a grant that was signed could still be handed over.
    pub(super) open_until: Option<String>,
    /// Who has signed one, with which key, and when.
    pub(super) signed: Option<(String, String, String)>,
    /// Whether the target knows.
    pub(super) told: bool,
    /// What came of handing it over.
    pub(super) answer: String,
}

#[derive(Template)]
#[template(path = "proposal.html")]
pub(super) struct ProposalPage {
    pub(super) page: Page,
    pub(super) view: View,
    pub(super) denial: DenialView,
    pub(super) may_decide: bool,
    pub(super) may_run: bool,
}

/// What a target answered.
pub(super) struct Outcome {
    word: String,
    code: String,
    message: String,
    steps: Vec<Step>,
}

struct Step {
    phase: String,
    line: String,
    exit: String,
    output: String,
}

impl From<&Value> for Outcome {
    fn from(result: &Value) -> Self {
        let text = |v: &Value| seen(v.as_str().unwrap_or_default());
        let steps = result["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            word: text(&result["outcome"]),
            code: text(&result["code"]),
            message: text(&result["message"]),
            steps: steps
                .iter()
                .map(|s| {
                    let argv: Vec<String> = s["argv"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(|a| a.as_str().map(str::to_owned))
                        .collect();
                    let output =
                        [&s["stdout"], &s["stderr"]].map(|v| lines(v.as_str().unwrap_or_default())).join("");
                    Step {
                        phase: text(&s["phase"]),
                        line: seen(&crate::app::line_of(&argv)),
                        exit: s["exit"].as_i64().map_or_else(|| "?".to_owned(), |e| e.to_string()),
                        output,
                    }
                })
                .collect(),
        }
    }
}

/// Text of several lines, each made harmless.
pub(super) fn lines(text: &str) -> String {
    text.lines().map(|line| seen(line) + "\n").collect()
}

/// One cell of a table.
pub(super) enum Cell {
    Text(String),
    Code(String),
    /// A text of a class of ours: `ok`, `warn`, `bad` or `none`.
    Mark(&'static str, String),
    Revoke(String),
    /// A shape of blocked commands that an administrator may decide about.
    Decide {
        shape: String,
        acceptable: bool,
    },
    /// A file to read, under a line.
    File {
        head: String,
        file: String,
    },
}

#[derive(Template)]
#[template(path = "table.html")]
pub(super) struct TablePage {
    pub(super) page: Page,
    pub(super) heading: &'static str,
    pub(super) note: String,
    pub(super) alarm: bool,
    pub(super) search: Option<String>,
    pub(super) live: bool,
    pub(super) columns: Vec<&'static str>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// The live part of a list of proposals.
#[derive(Template)]
#[template(path = "cards.html")]
pub(super) struct Cards {
    pub(super) t: &'static Texts,
    pub(super) waiting: bool,
    pub(super) more: bool,
    pub(super) rows: Vec<Card>,
}

/// The page, or a plain error: a template that fails is a mistake of ours.
pub(super) fn html(template: &impl Template) -> Response {
    made(template, |text| ([(CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response())
}

/// A page that its script asks for again and again: nothing is sent to one that has it already.
pub(super) fn live_html(headers: &HeaderMap, template: &impl Template) -> Response {
    made(template, |text| super::live::page(headers, text))
}

fn made(template: &impl Template, answer: impl FnOnce(String) -> Response) -> Response {
    match template.render() {
        Ok(text) => answer(text),
        Err(e) => {
            tracing::error!("a page could not be made: {e}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
