//! What hosts have said: how each of them is, and what one said before something was proposed for it. Read from the database alone: no
//! page asks a host.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;

use crate::store::{Diagnosed, HostHealth, Store, now_ms};

use super::Web;
use super::guard::{Reader, texts};
use super::look::{store_error, table};
use super::texts::Texts;
use super::view::{Cell, TablePage, live_html, moment, seen};

/// Findings that a page shows, and lines of each: as many as are kept.
const FINDINGS: usize = 8;
const LINES: usize = 3;

pub(super) async fn hosts(
    State(web): State<Arc<Web>>,
    Reader(person): Reader,
    headers: HeaderMap,
) -> Response {
    let t = texts(&headers);
    let known = match web.app.blocking(Store::host_health).await {
        Ok(known) => known,
        Err(e) => return store_error(t, Some(person), &e),
    };
    let known: HashMap<&str, &HostHealth> = known.iter().map(|h| (h.host.as_str(), h)).collect();
    let now = now_ms();
    let rows = web.app.config().inventory.iter().map(|h| {
        let health = known.get(h.name.as_str()).copied();
        vec![
            Cell::Text(seen(h.name.as_str())),
            Cell::Code(seen(&format!("{}:{}", h.address, h.port))),
            Cell::Text(seen(&h.tenant)),
            Cell::Text(seen(&[h.groups.as_slice(), h.tags.as_slice()].concat().join(", "))),
            answers(t, health),
            Cell::Text(
                health.and_then(|h| h.reached_ms).map_or_else(|| "–".to_owned(), |ms| when(t, ms, now)),
            ),
            worst(t, health.and_then(|h| h.diagnosis.as_ref()), now),
        ]
    });
    let rows = rows.collect();
    let page = table(t, person, "/hosts", "nav_hosts");
    let columns = vec!["host", "address", "tenant", "tags", "health", "last_contact", "worst_finding"];
    let note = t.get("hosts_help").to_owned();
    live_html(&headers, &TablePage { note, live: true, columns, rows, ..page })
}

fn answers(t: &Texts, health: Option<&HostHealth>) -> Cell {
    match health.and_then(HostHealth::answers) {
        None => Cell::Text(t.get("never_asked").to_owned()),
        Some(true) => Cell::Mark("ok", t.get("answers").to_owned()),
        Some(false) => {
            let failed = health.and_then(|h| h.failed_ms.zip(h.failure.as_deref()));
            let (at, cause) = failed.map_or_else(Default::default, |(ms, f)| (moment(ms), seen(f)));
            Cell::Mark("bad", format!("{} ({at}): {cause}", t.get("no_answer")))
        }
    }
}

fn worst(t: &Texts, diagnosis: Option<&Diagnosed>, now: i64) -> Cell {
    let Some(diagnosis) = diagnosis else { return Cell::Text("–".to_owned()) };
    let at = when(t, diagnosis.at_ms, now);
    match Evidence::read(t, diagnosis, None).found.into_iter().next() {
        None => Cell::Mark("ok", format!("{} · {at}", t.get("nothing_found"))),
        Some(f) => Cell::Mark(f.mark, format!("{}: {}: {} · {at}", t.word(f.severity), f.subject, f.what)),
    }
}

/// A moment, and how long ago it is.
fn when(t: &Texts, ms: i64, now: i64) -> String {
    format!("{} ({})", moment(ms), t.get("ago").replace("{}", &span(t, now.saturating_sub(ms))))
}

/// A time in its largest unit.
fn span(t: &Texts, ms: i64) -> String {
    let minutes = ms.max(0) / 60_000;
    match minutes {
        0 => "< 1 min".to_owned(),
        1..60 => format!("{minutes} min"),
        60..2880 => format!("{} h", minutes / 60),
        _ => format!("{} {}", minutes / 1440, t.get("days")),
    }
}

/// What a host said when it was diagnosed, made harmless.
pub(super) struct Evidence {
    pub(super) when: String,
    /// How long before the proposal.
    pub(super) before: String,
    pub(super) checked: String,
    pub(super) undone: String,
    pub(super) more: bool,
    pub(super) found: Vec<Found>,
}

/// One finding.
pub(super) struct Found {
    /// A word of ours.
    pub(super) severity: &'static str,
    pub(super) mark: &'static str,
    pub(super) check: String,
    pub(super) subject: String,
    pub(super) what: String,
    pub(super) lines: String,
}

impl Evidence {
    /// Nothing of what the database holds is believed to have a length or a form.
    pub(super) fn read(t: &Texts, diagnosis: &Diagnosed, proposed_ms: Option<i64>) -> Self {
        let data = &diagnosis.data;
        let all = |key: &str| data[key].as_array().map(Vec::as_slice).unwrap_or_default();
        let names = |key: &str| {
            let names = all(key).iter().filter_map(Value::as_str).take(20).map(seen);
            names.collect::<Vec<_>>().join(", ")
        };
        let span = |at: i64| span(t, at.saturating_sub(diagnosis.at_ms));
        Self {
            when: moment(diagnosis.at_ms),
            before: proposed_ms.map(span).unwrap_or_default(),
            checked: names("checked"),
            undone: names("undone"),
            more: data["more"] == true,
            found: all("findings").iter().take(FINDINGS).map(Found::read).collect(),
        }
    }
}

impl Found {
    fn read(finding: &Value) -> Self {
        let text = |key: &str| seen(finding[key].as_str().unwrap_or_default());
        let (severity, mark) = match finding["severity"].as_str() {
            Some("critical") => ("critical", "bad"),
            Some("warning") => ("warning", "warn"),
            Some("info") => ("info", "none"),
            _ => ("unknown", "none"),
        };
        let lines = finding["evidence"].as_array().map(Vec::as_slice).unwrap_or_default();
        let lines = lines.iter().filter_map(Value::as_str).take(LINES).map(|line| seen(line) + "\n");
        Self {
            severity,
            mark,
            check: text("check"),
            subject: text("subject"),
            what: text("what"),
            lines: lines.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn evidence(data: Value) -> Evidence {
        Evidence::read(Texts::choose("en"), &Diagnosed { at_ms: 0, data }, Some(3 * 60_000))
    }

    #[test]
    fn what_a_host_said_is_shown_without_what_acts_on_eyes() {
        let hostile = "\u{1b}[31m\u{202e}gnp.exe\u{200b}";
        let shown = evidence(
            json!({ "findings": [{ "severity": hostile, "check": hostile, "subject": hostile, "what": hostile,
            "evidence": [hostile, 7, "b", "c", "d"] }], "checked": [hostile], "undone": [hostile], "more": true }),
        );
        let [found] = shown.found.as_slice() else { panic!("one finding") };
        assert_eq!((found.severity, found.mark, shown.before.as_str()), ("unknown", "none", "3 min"));
        let all = [&found.check, &found.subject, &found.what, &found.lines, &shown.checked, &shown.undone];
        for text in all {
            assert!(
                text.contains("gnp.exe") && !text.contains(['\u{1b}', '\u{202e}', '\u{200b}']),
                "{text:?}"
            );
        }
        assert_eq!(found.lines.lines().count(), 3);
    }

    #[test]
    fn what_somebody_spoiled_is_no_finding() {
        for data in [Value::Null, json!([]), json!("x"), json!({ "findings": "x", "checked": 1 })] {
            let shown = evidence(data);
            assert!(shown.found.is_empty() && shown.checked.is_empty() && !shown.more);
        }
        let many = evidence(json!({ "findings": vec![json!({}); 99] }));
        assert_eq!(many.found.len(), FINDINGS);
    }

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        let t = Texts::choose("fr");
        let ages = [
            (-5, "< 1 min"),
            (59_999, "< 1 min"),
            (60_000, "1 min"),
            (7_200_000, "2 h"),
            (172_800_000, "2 j"),
        ];
        for (ms, said) in ages {
            assert_eq!(span(t, ms), said);
        }
    }
}
