//! Pages to look at.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;

use crate::store::{Purpose, Role, Store, StoreError};

use super::guard::{Reader, texts};
use super::live::ROWS;
use super::sessions::Person;
use super::texts::Texts;
use super::view::{Cell, ErrorPage, Page, ProposalsPage, TablePage, html, live_html, moment, seen};
use super::{Web, enter};

/// What the search field sends.
#[derive(Debug, Deserialize)]
pub(super) struct Searched {
    #[serde(default)]
    q: String,
}

impl Searched {
    fn words(&self) -> Vec<String> {
        self.q
            .chars()
            .take(200)
            .collect::<String>()
            .to_lowercase()
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    }
}

/// A page that says what went wrong.
pub(super) fn error_page(
    t: &'static Texts,
    person: Option<Person>,
    status: StatusCode,
    message: &str,
) -> Response {
    let page = Page::new(t, person, "");
    (status, html(&ErrorPage { page, status, message: seen(message) })).into_response()
}

pub(super) fn store_error(t: &'static Texts, person: Option<Person>, e: &StoreError) -> Response {
    let status = match e {
        StoreError::NoProposal(_) => StatusCode::NOT_FOUND,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    error_page(t, person, status, &e.to_string())
}

pub(super) async fn not_found(headers: HeaderMap) -> Response {
    error_page(texts(&headers), None, StatusCode::NOT_FOUND, "there is no such page")
}

pub(super) async fn waiting(
    State(web): State<Arc<Web>>,
    Reader(person): Reader,
    headers: HeaderMap,
) -> Response {
    proposals(&web, person, &headers, true).await
}

pub(super) async fn history(
    State(web): State<Arc<Web>>,
    Reader(person): Reader,
    headers: HeaderMap,
) -> Response {
    proposals(&web, person, &headers, false).await
}

async fn proposals(web: &Web, person: Person, headers: &HeaderMap, waiting: bool) -> Response {
    let t = texts(headers);
    let made = match web.list(t, waiting).await {
        Ok(made) => made,
        Err(e) => return store_error(t, Some(person), &e),
    };
    if let Some(part) = made.part(headers) {
        return part;
    }
    let (here, heading) = if waiting { ("/", "waiting") } else { ("/history", "history") };
    html(&ProposalsPage { page: Page::new(t, Some(person), here), heading, cards: made.html })
}

pub(super) fn table(
    t: &'static Texts,
    person: Person,
    here: &'static str,
    heading: &'static str,
) -> TablePage {
    TablePage {
        page: Page::new(t, Some(person), here),
        heading,
        note: String::new(),
        alarm: false,
        search: None,
        live: false,
        columns: Vec::new(),
        rows: Vec::new(),
    }
}

pub(super) async fn policy(
    State(web): State<Arc<Web>>,
    Reader(person): Reader,
    Query(searched): Query<Searched>,
    headers: HeaderMap,
) -> Response {
    let (catalogue, words, t) = (web.app.catalogue(), searched.words(), texts(&headers));
    let mut rows = Vec::new();
    for plugin in catalogue.plugins() {
        for form in plugin.commands.iter().flat_map(|c| &c.forms) {
            let text =
                format!("{} {} {} {}", plugin.title, form.usage(), form.title, form.examples.join(" "))
                    .to_lowercase();
            if words.iter().all(|w| text.contains(w)) {
                rows.push(vec![
                    Cell::Text(form.level.to_string()),
                    Cell::Text(form.risk.to_string()),
                    Cell::Code(seen(form.usage())),
                    Cell::Text(seen(&form.title)),
                ]);
            }
        }
    }
    rows.truncate(2 * ROWS);
    let note = format!("{}: {}", t.get("policy_digest"), catalogue.digest());
    let page = table(t, person, "/policy", "nav_policy");
    html(&TablePage {
        note,
        search: Some(searched.q),
        columns: vec!["level", "risk", "form", "summary"],
        rows,
        ..page
    })
}

pub(super) async fn audit(
    State(web): State<Arc<Web>>,
    Reader(person): Reader,
    Query(searched): Query<Searched>,
    headers: HeaderMap,
) -> Response {
    let t = texts(&headers);
    let (report, lines) = match web.verified().await {
        Ok(report) => (report, web.app.blocking(|store| store.audit_tail(10 * ROWS)).await),
        Err(e) => return store_error(t, Some(person), &e),
    };
    let lines = match lines {
        Ok(lines) => lines,
        Err(e) => return store_error(t, Some(person), &e),
    };
    let words = searched.words();
    let matching = lines.iter().rev().filter(|line| {
        let line = line.to_lowercase();
        words.iter().all(|w| line.contains(w))
    });
    let rows = matching.take(ROWS).map(|line| audit_row(line)).collect();
    let note = match &report.problem {
        None => format!("{}: {} · {}", t.get("chain_ok"), report.records, report.head),
        Some(problem) => format!("{}: {}", t.get("chain_broken"), seen(problem)),
    };
    let page = table(t, person, "/audit", "nav_audit");
    let columns = vec!["record", "when", "event", "what"];
    live_html(
        &headers,
        &TablePage { note, alarm: !report.ok, search: Some(searched.q), live: true, columns, rows, ..page },
    )
}

fn audit_row(line: &str) -> Vec<Cell> {
    let record: Value = serde_json::from_str(line).unwrap_or(Value::Null);
    vec![
        Cell::Text(record["seq"].to_string()),
        Cell::Text(moment(record["time"].as_i64().unwrap_or(0))),
        Cell::Text(seen(record["event"].as_str().unwrap_or("?"))),
        Cell::Code(seen(&record["data"].to_string())),
    ]
}

pub(super) async fn people(
    State(web): State<Arc<Web>>,
    Reader(person): Reader,
    headers: HeaderMap,
) -> Response {
    let t = texts(&headers);
    let devices = match web.app.blocking(Store::devices).await {
        Ok(devices) => devices,
        Err(e) => return store_error(t, Some(person), &e),
    };
    let rows = devices
        .iter()
        .map(|d| {
            let may_revoke = d.revoked_ms.is_none() && (person.role >= Role::Admin || person.device == d.id);
            let last = match d.revoked_ms {
                Some(ms) => Cell::Text(format!("{} {}", t.get("revoked"), moment(ms))),
                None if may_revoke => Cell::Revoke(d.id.clone()),
                None => Cell::Text(String::new()),
            };
            vec![
                Cell::Text(seen(&d.person)),
                Cell::Text(t.word(d.role.as_str())),
                Cell::Text(d.used_ms.map_or_else(|| "–".to_owned(), moment)),
                Cell::Code(match d.purpose {
                    Purpose::Login | Purpose::Provider => "–".to_owned(),
                    Purpose::Approve => web
                        .party
                        .approver_line(&d.person, &enter::from_hex(&d.point))
                        .map_or_else(|e| e, |line| seen(&line)),
                }),
                last,
            ]
        })
        .collect();
    let note = format!("{} {}: {}", t.get("people_help"), t.get("approvers_known"), approvers(&web));
    let page = table(t, person, "/people", "nav_people");
    let page = TablePage {
        note,
        live: true,
        columns: vec!["person", "role", "last_used", "approvers_line", "device"],
        rows,
        ..page
    };
    live_html(&headers, &page)
}

/// The persons in this server's copy of the approvers' file.
fn approvers(web: &Web) -> String {
    let Some(path) = &web.app.config().approvers else { return "–".to_owned() };
    let parsed = std::fs::read_to_string(path).ok().and_then(|text| grant::Approvers::parse(&text).ok());
    let Some(parsed) = parsed else { return format!("{} ?", seen(&path.display().to_string())) };
    let mut names: Vec<String> = parsed.iter().map(|a| seen(&a.person)).collect();
    names.sort();
    names.dedup();
    names.join(", ")
}
