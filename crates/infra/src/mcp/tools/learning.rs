//! What was asked for and blocked, by shape; for the operator, who alone can add a form.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::learning::{self, Suggestion};
use crate::mcp::toolbox::{Call, LOOK, Reply, Tool, ToolError, tool};
use crate::store::{LearningStats, now_ms};

/// The most shapes of one answer.
const MOST: usize = 50;

pub(super) fn tools() -> Vec<Tool> {
    vec![
        tool(
            "get_learning_suggestions",
            "Show what is often blocked",
            LOOK,
            "What the policy blocked often, and what an operator may do about it. Changes nothing.",
            get_learning_suggestions,
        ),
        tool(
            "get_learning_stats",
            "Count what was blocked",
            LOOK,
            "Counts blocked commands by shape and by program.",
            get_learning_stats,
        ),
    ]
}

fn five() -> u32 {
    5
}

fn day() -> u32 {
    24
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ask {
    /// Only shapes that were blocked at least this often.
    #[serde(default = "five")]
    min_count: u32,
    /// Only shapes that were first blocked at least this many hours ago.
    #[serde(default = "day")]
    min_age_hours: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Suggestions {
    suggestions: Vec<Suggestion>,
    /// Shapes that were left out of a long answer.
    left_out: usize,
}

async fn get_learning_suggestions(call: Call, arguments: Ask) -> Result<Reply<Suggestions>, ToolError> {
    let (count, age) = (i64::from(arguments.min_count), i64::from(arguments.min_age_hours) * 3600);
    let mut rows =
        call.app.blocking(move |store| store.blocked_commands(count, age, now_ms() / 1000)).await?;
    let left_out = rows.len().saturating_sub(MOST);
    rows.truncate(MOST);
    let suggestions = learning::suggestions(&call.app.catalogue(), rows);
    let mut text = suggestions
        .iter()
        .map(|s| format!("{:<10} {:>5}x  {}  ({})", s.recommended.as_str(), s.count, s.shape, s.why))
        .collect::<Vec<_>>()
        .join("\n");
    if text.is_empty() {
        "No blocked command came so often for so long.".clone_into(&mut text);
    }
    if left_out > 0 {
        text.push_str(&format!("\n{left_out} more: ask with a higher min_count"));
    }
    Ok(Reply { data: Suggestions { suggestions, left_out }, text })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

async fn get_learning_stats(call: Call, _: Nothing) -> Result<Reply<LearningStats>, ToolError> {
    let data = call.app.blocking(crate::store::Store::learning_stats).await?;
    let mut text =
        format!("{} blocked line(s) of {} shape(s), of {} at most", data.blocked, data.shapes, data.capacity);
    for command in &data.commands {
        let name = if command.command.is_empty() { "(no name)" } else { &command.command };
        text.push_str(&format!("\n{:>6}x  {name} ({} shapes)", command.count, command.shapes));
    }
    Ok(Reply { data, text })
}
