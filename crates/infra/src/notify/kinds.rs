//! The table of kinds: how a message looks and travels, read once from `kinds.toml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use super::message::{Message, fill};

/// What is said of one event.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Saying {
    /// In a word or two.
    pub(super) word: String,
    /// In a sentence, with placeholders.
    pub(super) note: String,
}

/// How a kind's messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Via {
    Http,
    Smtp,
}

/// How many receivers `to` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum To {
    None,
    One,
    Some,
}

/// Whether a kind takes a secret file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Secret {
    Refused,
    Optional,
    Needed,
}

/// One row.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kind {
    pub(super) name: String,
    pub(super) via: Via,
    pub(super) to: To,
    /// What `to` is, for errors.
    #[serde(default)]
    pub(super) of: String,
    pub(super) secret: Secret,
    #[serde(default)]
    pub(super) method: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    pub(super) content_type: String,
    #[serde(default)]
    subject: String,
    body: String,
}

impl Kind {
    /// What stands behind the channel's URL.
    pub(super) fn path(&self, message: &Message) -> Result<String, String> {
        fill(&self.path, message)
    }

    /// The subject of a mail.
    pub(super) fn subject(&self, message: &Message) -> Result<String, String> {
        fill(&self.subject, message)
    }

    /// The text of a mail.
    pub(super) fn text(&self, message: &Message) -> Result<String, String> {
        fill(self.body.trim_start(), message)
    }

    /// The JSON of a request. Values are put into strings that are strings already.
    pub(super) fn json(&self, message: &Message) -> Result<Vec<u8>, String> {
        let mut body: Value =
            serde_json::from_str(&self.body).map_err(|e| format!("the body of {}: {e}", self.name))?;
        fill_all(&mut body, message)?;
        Ok(body.to_string().into_bytes())
    }
}

fn fill_all(value: &mut Value, message: &Message) -> Result<(), String> {
    match value {
        Value::String(text) => {
            // A number that stands alone stays one.
            *value = match message.number(text) {
                Some(number) => Value::from(number),
                None => Value::from(fill(text, message)?),
            };
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|v| fill_all(v, message)),
        Value::Object(map) => map.values_mut().try_for_each(|v| fill_all(v, message)),
        _ => Ok(()),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    events: BTreeMap<String, Saying>,
    kind: Vec<Kind>,
}

static TABLE: LazyLock<Result<Table, String>> =
    LazyLock::new(|| toml::from_str(include_str!("kinds.toml")).map_err(|e| format!("kinds.toml: {e}")));

fn table() -> Result<&'static Table, String> {
    TABLE.as_ref().map_err(Clone::clone)
}

/// The row of this name; the error lists those that exist.
pub(super) fn kind(name: &str) -> Result<&'static Kind, String> {
    let kinds = &table()?.kind;
    kinds.iter().find(|k| k.name == name).ok_or_else(|| {
        let known: Vec<&str> = kinds.iter().map(|k| k.name.as_str()).collect();
        format!("kind = {name:?}: there are: {}", known.join(", "))
    })
}

/// What is said of an event.
pub(super) fn saying(event: &str) -> Result<&'static Saying, String> {
    table()?.events.get(event).ok_or_else(|| format!("kinds.toml says nothing of {event}"))
}

#[cfg(test)]
#[path = "kinds_tests.rs"]
mod tests;
