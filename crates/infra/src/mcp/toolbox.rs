//! The table of tools: what each takes, gives and does.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::hosts::Failure;
use crate::recovery::RecoveryError;
use crate::store::StoreError;

use super::progress::Progress;
use super::{schema, tools};

/// Who calls, and with what.
#[derive(Debug, Clone)]
pub struct Call {
    /// The parts.
    pub app: Arc<App>,
    /// Who calls, for the audit chain: client and person.
    pub caller: String,
    /// Tells who waits how far the call is.
    pub progress: Progress,
}

/// What a tool gives: typed data and a few lines for people and models.
#[derive(Debug)]
pub struct Reply<T> {
    /// The data, by the tool's output schema.
    pub data: T,
    /// The same in short.
    pub text: String,
}

/// Why a tool did not do it. The model sees all of it.
#[derive(Debug)]
pub struct ToolError {
    /// A stable word.
    pub code: String,
    /// The cause and the next step.
    pub message: String,
    /// More for programs.
    pub details: Value,
    /// What the call waits for; the same call does more once that has happened.
    pub waits: Option<Box<Waits>>,
}

/// A proposal that waits for a person's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// Its id.
    pub proposal: String,
    /// Its host.
    pub host: String,
    /// The name of its action, or `command`.
    pub action: String,
    /// The page on which a person decides, when there is a dashboard.
    pub page: Option<String>,
    /// The last moment to approve it, ms since 1970.
    pub expires_ms: i64,
}

impl ToolError {
    /// An error without more for programs.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), details: Value::Null, waits: None }
    }
}

impl From<RecoveryError> for ToolError {
    fn from(e: RecoveryError) -> Self {
        let mut error = Self::new(e.code(), e.to_string());
        if let RecoveryError::ApprovalRequired { proposal, page, .. } = e {
            error.details = json!({ "proposal": proposal.id, "page": page, "expires_at": proposal.asked.expires_ms / 1000 });
            error.waits = Some(Box::new(Waits {
                host: proposal.asked.host,
                action: tools::subject(&proposal.asked.action),
                proposal: proposal.id,
                page,
                expires_ms: proposal.asked.expires_ms,
            }));
        }
        error
    }
}

impl From<StoreError> for ToolError {
    fn from(e: StoreError) -> Self {
        Self::new("store", e.to_string())
    }
}

impl From<Failure> for ToolError {
    fn from(e: Failure) -> Self {
        Self::new(e.code(), e.to_string())
    }
}

/// The answer to a call, ready for any surface.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Data by the output schema, or `{"error": {…}}`.
    pub structured: Value,
    /// The same in a few lines.
    pub text: String,
    /// Whether it failed.
    pub error: bool,
    /// What it waits for, when a person must sign first.
    pub waits: Option<Waits>,
}

impl From<ToolError> for Answer {
    fn from(e: ToolError) -> Self {
        let mut error = json!({ "code": e.code, "message": e.message });
        if !e.details.is_null() {
            error["details"] = e.details;
        }
        let text = format!("{}: {}", e.code, e.message);
        Self { structured: json!({ "error": error }), text, error: true, waits: e.waits.map(|w| *w) }
    }
}

/// Hints to clients; never relied on.
#[derive(Debug, Clone, Copy)]
pub struct Hints {
    /// Changes nothing, whatever the arguments.
    pub read_only: bool,
    /// May change something that is there.
    pub destructive: bool,
    /// A second call does nothing more.
    pub idempotent: bool,
}

/// A tool that only looks.
pub(super) const LOOK: Hints = Hints { read_only: true, destructive: false, idempotent: true };

type Run = Arc<dyn Fn(Call, Value) -> BoxFuture<'static, Result<(Value, String), ToolError>> + Send + Sync>;

/// One tool.
#[derive(Clone)]
pub struct Tool {
    /// Its name: snake case, at most 40 characters.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// What it is for, for the model.
    pub description: &'static str,
    /// What a client may assume.
    pub hints: Hints,
    /// JSON Schema of the arguments.
    pub input: Arc<Map<String, Value>>,
    /// JSON Schema of the data.
    pub output: Arc<Map<String, Value>>,
    run: Run,
}

impl std::fmt::Debug for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tool").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Makes a tool out of a function with typed arguments and a typed answer.
pub(super) fn tool<A, O, Fut>(
    name: &'static str,
    title: &'static str,
    hints: Hints,
    description: &'static str,
    run: impl Fn(Call, A) -> Fut + Send + Sync + 'static,
) -> Tool
where
    A: DeserializeOwned + JsonSchema + Send + 'static,
    O: Serialize + JsonSchema,
    Fut: Future<Output = Result<Reply<O>, ToolError>> + Send + 'static,
{
    let run = Arc::new(run);
    let run: Run = Arc::new(move |call, arguments| {
        let run = Arc::clone(&run);
        async move {
            let typed = serde_json::from_value(arguments).map_err(|e| {
                ToolError::new("bad_arguments", format!("{name}: {e}; see the tool's input schema"))
            })?;
            let reply = run(call, typed).await?;
            let data =
                serde_json::to_value(&reply.data).map_err(|e| ToolError::new("internal", e.to_string()))?;
            Ok((data, reply.text))
        }
        .boxed()
    });
    Tool {
        name,
        title,
        description,
        hints,
        input: Arc::new(schema::of_arguments::<A>()),
        output: Arc::new(schema::of_answer::<O>()),
        run,
    }
}

/// All tools, in the order of their names.
#[derive(Debug, Clone)]
pub struct Toolbox(Vec<Tool>);

impl Toolbox {
    /// The tools of this program.
    pub fn new() -> Self {
        let mut all = tools::all();
        all.sort_by_key(|t| t.name);
        Self(all)
    }

    /// All tools.
    pub fn iter(&self) -> impl Iterator<Item = &Tool> {
        self.0.iter()
    }

    /// Names that are not listed and still lead to a tool, each with that tool's.
    pub fn old_names() -> impl Iterator<Item = (&'static str, &'static str)> {
        tools::aliases::OLD.iter().copied()
    }

    /// A tool by its name, or by an old one that is not listed.
    pub fn get(&self, name: &str) -> Option<&Tool> {
        let name = tools::aliases::current(name);
        self.0.iter().find(|t| t.name == name)
    }
}

impl Default for Toolbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Tool {
    /// Runs the tool. A panic in it is an error answer, not silence.
    pub async fn call(&self, call: Call, arguments: Value) -> Answer {
        let notice = call.app.config().empty_notice();
        answer_of(self.name, notice, async { (self.run)(call, arguments).await }).await
    }
}

/// The answer to work done for the tool of this name, with the notice that every answer carries.
pub(super) async fn answer_of(
    name: &str,
    notice: Option<&str>,
    work: impl Future<Output = Result<(Value, String), ToolError>>,
) -> Answer {
    let result = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(tool = name, "panic in a tool");
        Err(ToolError::new("internal", format!("internal error in {name}: the server's log has more")))
    });
    let mut answer = match result {
        Ok((structured, text)) => Answer { structured, text, error: false, waits: None },
        Err(e) => e.into(),
    };
    if let Some(notice) = notice {
        answer.structured["notice"] = notice.into();
        if !answer.text.contains(notice) {
            answer.text = format!("{}\n{notice}", answer.text.trim_end());
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment};

    #[derive(serde::Deserialize, JsonSchema)]
    #[allow(dead_code)]
    struct NoArguments {}

    fn call() -> (tempfile::TempDir, Call) {
        let dir = tempfile::tempdir().unwrap();
        let env = Environment::from([("HOME", dir.path().to_str().unwrap())]);
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "").unwrap();
        let app = Arc::new(App::new(Config::load(Some(&path), &env).unwrap()).unwrap());
        (dir, Call { app, caller: "test".into(), progress: Progress::default() })
    }

    #[tokio::test]
    async fn a_panic_is_an_error_answer() {
        let broken =
            tool::<NoArguments, Value, _>("broken", "Broken", LOOK, "", |_, _| async { panic!("boom") });
        let answer = broken.call(call().1, json!({})).await;
        assert!(answer.error && answer.text.contains("internal error in broken"), "{answer:?}");
        assert!(!answer.text.contains("boom"));
    }

    #[tokio::test]
    async fn every_tool_says_that_the_inventory_is_empty() {
        let (_dir, call) = call();
        let answer = Toolbox::new().get("list_hosts").unwrap().call(call, json!({})).await;
        assert!(!answer.error && answer.text.contains("No host is configured"), "{answer:?}");
    }

    #[test]
    fn names_and_schemas_are_what_clients_accept() {
        let tools = Toolbox::new();
        let mut last = "";
        for tool in tools.iter() {
            assert!(
                tool.name.len() <= 40 && tool.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{}",
                tool.name
            );
            assert!(last < tool.name, "sorted and unique");
            last = tool.name;
            assert_eq!(tool.input["type"], "object", "{}", tool.name);
            assert_eq!(tool.output["type"], "object", "{}", tool.name);
            let text = serde_json::to_string(&tool.input).unwrap();
            assert!(!text.contains("$schema") && !text.contains("uint") && !text.contains("null"), "{text}");
            assert!(
                tool.hints.read_only != tool.hints.destructive || tool.name.starts_with("propose"),
                "{}",
                tool.name
            );
            assert!(
                !tool.name.contains("approve") && !tool.name.contains("reload"),
                "no tool approves or reconfigures"
            );
        }
    }
}
