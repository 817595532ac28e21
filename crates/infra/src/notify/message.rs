//! What is told of a proposal, made harmless for the medium that shows it.
//!
//! The command and its parameters may be a model's, so no value is trusted: secrets go out, what is invisible or breaks a line is
//! written out, links are broken, the length is bounded, and then the kind's own markup is escaped. The rationale is never told: it
//! is the model's free text, and the page shows it, labelled, to whoever decides.

use crate::app::{line_of, utc};
use crate::hosts::hygiene;
use crate::store::{About, Event, Notice};

use super::kinds;

/// Characters of an action with its parameters, or of a command.
const SUBJECT: usize = 200;
/// Characters of any other value.
const WORD: usize = 100;

/// The values of one message, ready for a filter.
#[derive(Debug, Clone)]
pub(super) struct Message {
    values: Vec<(&'static str, String)>,
    numbers: Vec<(&'static str, i64)>,
}

impl Message {
    /// Of a change of a proposal. `origin` is the dashboard's, without a slash at its end; `to` is the channel's one receiver.
    pub(super) fn of(notice: &Notice, origin: &str, to: &str) -> Result<Self, String> {
        let about = &notice.about;
        let event = notice.event.to_string();
        // The id is ours, but the database is not believed in what becomes a link.
        let plain =
            |id: &str| id.starts_with("pr_") && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let link = if plain(&about.proposal) {
            format!("{origin}/proposals/{}", about.proposal)
        } else {
            origin.to_owned()
        };
        let delivery = format!("{}-{}", notice.at_ms, notice.seq);
        Self::build(&event, notice.at_ms, about, link, delivery, to)
    }

    /// A message that says that it is a test.
    pub(super) fn test(origin: &str, to: &str, now_ms: i64) -> Result<Self, String> {
        let about = About {
            proposal: "nothing to approve".to_owned(),
            tenant: "none".to_owned(),
            host: "none".to_owned(),
            action: "none".to_owned(),
            params: std::collections::BTreeMap::new(),
            argv: Vec::new(),
            risk: "low".to_owned(),
            proposed_by: "notify test".to_owned(),
            signed: 0,
            wanted: 0,
            expires_ms: now_ms,
        };
        Self::build("test", now_ms, &about, format!("{origin}/"), format!("{now_ms}-test"), to)
    }

    fn build(
        event: &str,
        at_ms: i64,
        about: &About,
        link: String,
        delivery: String,
        to: &str,
    ) -> Result<Self, String> {
        let saying = kinds::saying(event)?;
        let name = if about.action.is_empty() { "a command" } else { &about.action };
        let priority = match about.risk.as_str() {
            "low" => 2,
            "medium" => 3,
            "high" => 4,
            _ => 5,
        };
        let mut message = Self {
            values: vec![
                ("event", event.to_owned()),
                ("word", saying.word.clone()),
                ("proposal", quoted(&about.proposal, WORD)),
                ("tenant", quoted(&about.tenant, WORD)),
                ("host", quoted(&about.host, WORD)),
                ("name", quoted(name, WORD)),
                ("subject", quoted(&subject(about), SUBJECT)),
                ("risk", quoted(&about.risk, WORD)),
                ("asked_by", quoted(&about.proposed_by, WORD)),
                ("at", utc(at_ms)),
                ("until", utc(about.expires_ms)),
                ("link", link),
                ("delivery", delivery),
                ("to", to.to_owned()),
            ],
            numbers: vec![
                ("signed", i64::try_from(about.signed).unwrap_or(i64::MAX)),
                ("wanted", i64::from(about.wanted)),
                ("priority", if event == Event::Proposed.to_string() { priority } else { priority.min(3) }),
            ],
        };
        let note = fill(&saying.note, &message)?;
        message.values.push(("note", note));
        Ok(message)
    }

    fn value(&self, name: &str) -> Option<String> {
        let text = self.values.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
        text.or_else(|| self.numbers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string()))
    }

    /// What tells a message that comes twice from two messages.
    pub(super) fn delivery(&self) -> &str {
        self.values.iter().find(|(n, _)| *n == "delivery").map_or("", |(_, v)| v)
    }

    /// The number that a template of one placeholder and nothing else stands for.
    pub(super) fn number(&self, template: &str) -> Option<i64> {
        let name = template.strip_prefix("{{")?.strip_suffix("}}")?;
        self.numbers.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }
}

/// The action with its parameters, or the command.
fn subject(about: &About) -> String {
    if about.action.is_empty() {
        return line_of(&about.argv);
    }
    if about.params.is_empty() {
        return about.action.clone();
    }
    let params: Vec<String> = about.params.iter().map(|(k, v)| format!("{k}={v}")).collect();
    format!("{}({})", about.action, params.join(", "))
}

/// Words that somebody else chose, on one line of at most `characters`, without secrets and without links that work.
fn quoted(text: &str, characters: usize) -> String {
    // The secrets first, so that no cut leaves half of one.
    let visible = hygiene::escaped(text.as_bytes()).replace('\n', "\\n").replace('\t', "\\t");
    let safe = hygiene::clean(visible.as_bytes()).text.replace('\n', " ");
    let cut = match safe.char_indices().nth(characters) {
        Some((end, _)) => format!("{}… (cut)", &safe[..end]),
        None => safe,
    };
    cut.replace("://", "[:]//").replace("www.", "www[.]")
}

/// Puts the values into a template's `{{name}}` and `{{name|filter}}`.
pub(super) fn fill(template: &str, message: &Message) -> Result<String, String> {
    let mut out = String::with_capacity(template.len() + 256);
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once("{{") {
        let (inside, after) = behind.split_once("}}").ok_or("a placeholder does not end")?;
        let (name, filter) = inside.split_once('|').map_or((inside, None), |(n, f)| (n, Some(f)));
        let value = message.value(name).ok_or_else(|| format!("there is no value {name}"))?;
        out.push_str(before);
        out.push_str(&filtered(&value, filter)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn filtered(value: &str, filter: Option<&str>) -> Result<String, String> {
    Ok(match filter {
        None => value.to_owned(),
        // Slack's mrkdwn: mentions and links begin with <.
        Some("slack") => value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
        // A code span of Markdown ends at a backtick and nowhere else.
        Some("code") if value.trim().is_empty() => "`-`".to_owned(),
        Some("code") => format!("`{}`", value.replace('`', "'")),
        Some("html") => value
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
            .replace('\'', "&#39;"),
        Some("path") => value.bytes().fold(String::new(), |mut out, b| {
            if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
                out.push(char::from(b));
            } else {
                out.push_str(&format!("%{b:02X}"));
            }
            out
        }),
        Some(other) => return Err(format!("there is no filter {other}")),
    })
}
