//! What was often asked for and blocked: what is advised, and what an administrator has decided. Neither decision changes a policy: an
//! accepted form is shown as a plugin file, and an operator reviews and deploys it.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::learning::{self, Acceptable, Suggestion};
use crate::store::{BlockedCommand, Decision, Role, now_ms};

use super::Web;
use super::guard::{Doer, Problem, Reader, read, texts};
use super::live::ROWS;
use super::look::{store_error, table};
use super::texts::Texts;
use super::view::{Cell, TablePage, lines, live_html, moment, seen};

pub(super) async fn page(
    State(web): State<Arc<Web>>,
    Reader(person): Reader,
    headers: HeaderMap,
) -> Response {
    let t = texts(&headers);
    let found = match web.app.blocking(|store| store.blocked_commands(1, 0, now_ms() / 1000)).await {
        Ok(found) => found,
        Err(e) => return store_error(t, Some(person), &e),
    };
    let (catalogue, admin) = (web.app.catalogue(), person.role >= Role::Admin);
    let mut found: Vec<BlockedCommand> = found.into_iter().take(ROWS).collect();
    // What nobody has decided yet comes first; the order by count stays.
    found.sort_by_key(|row| row.decided.is_some());
    let rows = found.into_iter().map(|row| {
        let (last, decided) = (row.last_seen, row.decided.clone());
        let said = learning::suggestion(&catalogue, row);
        let cells = [
            Cell::Text(said.count.to_string()),
            Cell::Code(seen(&said.shape)),
            Cell::Text(seen(&said.hosts.join(", "))),
            Cell::Text(moment(last.saturating_mul(1000))),
            Cell::Text(format!("{}: {}", said.recommended.as_str(), said.why)),
        ];
        let state = match decided {
            None => undecided(t, said, admin),
            Some(d) => {
                let head = format!("{} · {} · {}", t.get(d.decision.as_str()), seen(&d.by), moment(d.at_ms));
                match learning::acceptable(said) {
                    Ok(Acceptable { file, .. }) if d.decision == Decision::Accepted => {
                        Cell::File { head, file: lines(&file) }
                    }
                    _ => Cell::Text(head),
                }
            }
        };
        cells.into_iter().chain([state]).collect()
    });
    let rows = rows.collect();
    let page = table(t, person, "/learning", "nav_learning");
    let note = t.get("learning_help").to_owned();
    let columns = vec!["count", "form", "host", "when", "advice", "decision"];
    live_html(&headers, &TablePage { note, live: true, columns, rows, ..page })
}

fn undecided(t: &Texts, said: Suggestion, admin: bool) -> Cell {
    if !admin {
        return Cell::Text(t.get("undecided").to_owned());
    }
    // The shape goes back as it stands in the database; the template escapes it.
    let shape = said.shape.clone();
    Cell::Decide { shape, acceptable: learning::acceptable(said).is_ok() }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decided {
    shape: String,
}

/// Keeps that a suggested form shall be deployed, and gives its file; nothing is in force by that.
pub(super) async fn accept(
    State(web): State<Arc<Web>>,
    doer: Doer,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let person = doer.at_least(Role::Admin)?;
    let Decided { shape } = read(body).await?;
    let wanted = shape.clone();
    let rows = web.app.blocking(|store| store.blocked_commands(0, 0, i64::MAX)).await?;
    let row = rows.into_iter().find(|r| r.shape == wanted).ok_or_else(no_shape)?;
    let given = learning::acceptable(learning::suggestion(&web.app.catalogue(), row))
        .map_err(|cause| Problem::new(StatusCode::CONFLICT, cause))?;
    decide(&web, shape, Decision::Accepted, person.name).await?;
    Ok(Json(json!({ "level": given.level, "file": given.file })))
}

/// Keeps that a shape stays blocked; it is suggested no more.
pub(super) async fn dismiss(
    State(web): State<Arc<Web>>,
    doer: Doer,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let person = doer.at_least(Role::Admin)?;
    let Decided { shape } = read(body).await?;
    decide(&web, shape, Decision::Dismissed, person.name).await?;
    Ok(Json(json!({})))
}

async fn decide(web: &Web, shape: String, decision: Decision, by: String) -> Result<(), Problem> {
    let there = web.app.blocking(move |store| store.decide(&shape, decision, &by)).await?;
    if there { Ok(()) } else { Err(no_shape()) }
}

fn no_shape() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no blocked command has this shape (any more)")
}
