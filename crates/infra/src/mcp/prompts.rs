//! Prompts: pieces of work that a person starts from the client. Their texts are rows of `prompts.toml`.
//!
//! What a person types into an argument becomes part of what the model reads, so an argument is of its kind or refused.

use serde::Deserialize;

use crate::hosts::{Unit, hygiene};

use super::icons::Icon;
use super::toolbox::{Call, ToolError};

/// Characters of a free text.
const MOST_TEXT: usize = 2000;

/// One prompt.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// Its name.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// What it is for.
    pub description: String,
    /// Its picture.
    pub icon: Icon,
    text: String,
    /// What it takes.
    #[serde(rename = "argument")]
    pub arguments: Vec<Argument>,
}

/// What a prompt takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Whether it must be given.
    #[serde(default)]
    pub required: bool,
    /// What it is, for people.
    pub description: String,
}

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A host of the inventory.
    Host,
    /// A systemd unit.
    Service,
    /// The id of a proposal.
    Proposal,
    /// Anything, cleaned and bounded.
    Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    prompt: Vec<Prompt>,
}

/// The prompts of this program.
#[derive(Debug)]
pub struct Prompts(Vec<Prompt>);

impl Prompts {
    /// Reads the rows that are compiled in.
    ///
    /// Errors: rows that are none, which the tests of this file rule out.
    pub fn new() -> Result<Self, toml::de::Error> {
        toml::from_str::<File>(include_str!("prompts.toml")).map(|file| Self(file.prompt))
    }

    /// All prompts.
    pub fn iter(&self) -> impl Iterator<Item = &Prompt> {
        self.0.iter()
    }

    /// A prompt by its name.
    pub fn get(&self, name: &str) -> Option<&Prompt> {
        self.0.iter().find(|p| p.name == name)
    }
}

impl Prompt {
    /// The text with its arguments in place.
    ///
    /// Errors: an argument that is missing, unknown, or not of its kind.
    pub async fn text(
        &self,
        call: &Call,
        given: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<String, ToolError> {
        let wrong = |cause: String| ToolError::new("bad_arguments", format!("{}: {cause}", self.name));
        if let Some(unknown) = given.keys().find(|k| !self.arguments.iter().any(|a| a.name == **k)) {
            let names: Vec<&str> = self.arguments.iter().map(|a| a.name.as_str()).collect();
            return Err(wrong(format!("there is no argument {unknown:?}; there are {}", names.join(", "))));
        }
        // Put together in one pass: what an argument holds is never looked at for places of others.
        let mut text = String::with_capacity(self.text.len());
        let mut rest = self.text.trim();
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else { break };
            text.push_str(before);
            if let Some(argument) = self.arguments.iter().find(|a| a.name == name) {
                let value = match given.get(name) {
                    Some(serde_json::Value::String(value)) => value.trim(),
                    None => "",
                    Some(_) => return Err(wrong(format!("{name} must be a string"))),
                };
                if value.is_empty() && argument.required {
                    return Err(wrong(format!("{name} is missing: {}", argument.description)));
                }
                text.push_str(&argument.kind.checked(call, value).await?);
            }
            rest = after;
        }
        text.push_str(rest);
        Ok(text)
    }
}

impl Kind {
    async fn checked(self, call: &Call, value: &str) -> Result<String, ToolError> {
        match self {
            Self::Host => match call.app.host(value) {
                Ok(host) => Ok(host.name.to_string()),
                Err(message) => Err(ToolError::new("unknown_host", message)),
            },
            Self::Service => Ok(value.parse::<Unit>()?.to_string()),
            Self::Proposal => {
                let id = value.to_owned();
                Ok(call.app.blocking(move |store| store.proposal(&id)).await?.id)
            }
            Self::Text if value.is_empty() => Ok(String::new()),
            Self::Text => {
                let bounded: String = value.chars().take(MOST_TEXT).collect();
                Ok(hygiene::clean(bounded.as_bytes()).text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::app::App;
    use crate::config::{Config, Environment};
    use crate::mcp::Progress;
    use crate::mcp::Toolbox;

    fn call() -> (tempfile::TempDir, Call) {
        let dir = tempfile::tempdir().unwrap();
        let env = Environment::from([("HOME", dir.path().to_str().unwrap())]);
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "state_dir = \"state\"\n[[hosts]]\nname = \"web01\"\n").unwrap();
        let app = Arc::new(App::new(Config::load(Some(&path), &env).unwrap()).unwrap());
        (dir, Call { app, caller: "test".into(), progress: Progress::default() })
    }

    async fn ask(name: &str, arguments: Value) -> Result<String, ToolError> {
        let (_dir, call) = call();
        let prompts = Prompts::new().unwrap();
        prompts.get(name).unwrap().text(&call, arguments.as_object().unwrap()).await
    }

    #[tokio::test]
    async fn arguments_stand_in_their_places() {
        let text = ask("recover-service", json!({"host": "web01", "service": "nginx"})).await.unwrap();
        assert!(text.contains("Service nginx.service on host web01"), "{text}");
        assert!(!text.contains('{') && !text.contains('}'), "{text}");
    }

    #[tokio::test]
    async fn an_argument_that_is_not_of_its_kind_is_refused() {
        for (name, arguments, code) in [
            ("recover-service", json!({"host": "web02", "service": "nginx"}), "unknown_host"),
            ("recover-service", json!({"host": "web01", "service": "--now\nignore"}), "bad_arguments"),
            ("recover-service", json!({"host": "web01"}), "bad_arguments"),
            ("recover-service", json!({"host": "web01", "service": 1}), "bad_arguments"),
            ("diagnose-host", json!({"host": "web01", "other": "x"}), "bad_arguments"),
            ("triage-incident", json!({"description": "  "}), "bad_arguments"),
        ] {
            assert_eq!(ask(name, arguments.clone()).await.unwrap_err().code, code, "{name} {arguments}");
        }
        assert!(ask("write-postmortem", json!({"proposal": "none"})).await.is_err());
    }

    #[tokio::test]
    async fn a_text_is_clean_bounded_and_no_template() {
        let long = format!("see {{host}}\u{1b}[31m\u{202e} password=hunter2 {}", "x".repeat(9000));
        let text = ask("triage-incident", json!({ "description": long })).await.unwrap();
        assert!(
            text.contains("see {host}") && !text.contains("hunter2") && !text.contains('\u{1b}'),
            "{text}"
        );
        assert!(text.len() < 2000 + 2000);
    }

    #[test]
    fn texts_name_tools_that_exist_and_arguments_that_are_there() {
        let tools = Toolbox::new();
        for prompt in Prompts::new().unwrap().iter() {
            assert!(prompt.description.len() <= 100, "{}", prompt.name);
            for argument in &prompt.arguments {
                assert!(prompt.text.contains(&format!("{{{}}}", argument.name)), "{}", argument.name);
            }
            for word in prompt.text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
                if word.contains('_') && word != "diagnose_fleet" {
                    assert!(tools.get(word).is_some(), "{}: {word}", prompt.name);
                }
            }
        }
    }
}
