//! `tool list`, `tool call`

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::{Context, Done, Ended, output};
use crate::mcp::{Call, Progress, Tool, Toolbox};

/// The MCP tools, from the shell.
#[derive(Debug, Subcommand)]
pub(super) enum ToolCommand {
    /// List the tools
    List {
        /// Print JSON with the schemas
        #[arg(long)]
        json: bool,
        /// Print the tables of docs/TOOLS.md
        #[arg(long, conflicts_with = "json")]
        markdown: bool,
    },
    /// Call a tool
    Call {
        /// Name of the tool
        name: String,
        /// An argument, `key=value`; `params.key=value` for a value inside an object, `a,b` for a list
        #[arg(long = "arg", value_name = "KEY=VALUE")]
        arguments: Vec<String>,
        /// Print the structured answer as JSON
        #[arg(long)]
        json: bool,
    },
}

impl ToolCommand {
    pub(super) fn run(&self, context: &Context) -> Done {
        match self {
            Self::List { markdown: true, .. } => output::line(tables(&Toolbox::new()).trim_end()),
            Self::List { json, .. } => list(*json),
            Self::Call { name, arguments, json } => call(context, name, arguments, *json),
        }
    }
}

fn list(json: bool) -> Done {
    let tools = Toolbox::new();
    if json {
        let rows: Vec<Value> = tools
            .iter()
            .map(|t| json!({ "name": t.name, "title": t.title, "description": t.description, "readOnly": t.hints.read_only, "inputSchema": *t.input, "outputSchema": *t.output }))
            .collect();
        return output::json(&json!({ "tools": rows }));
    }
    for tool in tools.iter() {
        output::line(&format!("{:<22} {}", tool.name, tool.title))?;
    }
    Ok(())
}

/// All of docs/TOOLS.md.
fn tables(tools: &Toolbox) -> String {
    let mut text = String::from(
        "# The tools\n\n\
        Made by `mcp-linux-infra tool list --markdown`; a test compares them. `mcp-linux-infra tool call NAME --arg k=v` calls one \
        from the shell, with the same code as over MCP.\n\n\
        * `host` is a name from `list_hosts`. Arguments with `?` may be left out.\n\
        * Each answer has typed data (the columns on the right) and a text of a few lines. What a host said is cleaned, marked \
        `untrusted`, and stands in the text between two lines with a random mark.\n\
        * `limit` is the number of rows on a page, `fields` keeps only these fields of the rows. Where rows are left, `next` is a \
        handle for `get_more`: it belongs to its caller, lasts 10 minutes, and of a handle of somebody else nothing can be told \
        apart from one that does not exist. `truncated` says that rows are missing on all pages.\n\
        * Nothing here approves anything.\n\n\
        | tool | what for | arguments | answer | changes something |\n|---|---|---|---|---|\n",
    );
    for tool in tools.iter() {
        let row = [
            format!("`{}`", tool.name),
            tool.description.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|"),
            arguments(&tool.input),
            answer_fields(&tool.output),
            if tool.hints.read_only { "no" } else { "yes" }.to_owned(),
        ];
        text.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    text.push_str("\nOld names that still work when called: ");
    let old: Vec<String> = Toolbox::old_names().map(|(old, new)| format!("`{old}` (`{new}`)")).collect();
    text.push_str(&old.join(", "));
    text.push_str(".\n");
    text
}

fn arguments(schema: &Map<String, Value>) -> String {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|r| r.iter().any(|n| n == name));
    let mut names: Vec<(bool, String)> = properties(schema)
        .map(|name| {
            (!is_required(name), if is_required(name) { format!("`{name}`") } else { format!("`{name}`?") })
        })
        .collect();
    // What must be there first.
    names.sort_by_key(|(optional, _)| *optional);
    names.into_iter().map(|(_, name)| name).collect::<Vec<_>>().join(", ")
}

fn answer_fields(schema: &Map<String, Value>) -> String {
    let rows = schema.get("properties").and_then(|p| p.get("rows")).and_then(|r| r.get("items"));
    let fields = rows.and_then(Value::as_object).map(|row| properties(row).collect::<Vec<_>>().join(", "));
    let member = |name: &str| match (&fields, name) {
        (Some(fields), "rows") if !fields.is_empty() => format!("rows of {fields}"),
        _ => name.to_owned(),
    };
    let always = |name: &&str| !matches!(*name, "host" | "untrusted");
    properties(schema).filter(always).map(member).collect::<Vec<_>>().join("; ")
}

fn properties(schema: &Map<String, Value>) -> impl Iterator<Item = &str> {
    schema.get("properties").and_then(Value::as_object).into_iter().flat_map(|p| p.keys().map(String::as_str))
}

fn call(context: &Context, name: &str, arguments: &[String], json: bool) -> Done {
    let tools = Toolbox::new();
    let tool = find(&tools, name)?;
    answer(context, name, parse(tool, arguments)?, Progress::default(), json)
}

fn find<'a>(tools: &'a Toolbox, name: &str) -> Result<&'a Tool, Ended> {
    tools.get(name).ok_or_else(|| Ended::usage(format!("there is no tool {name:?}; `tool list` shows all")))
}

/// Calls a tool and prints what it answers.
pub(super) fn answer(
    context: &Context,
    name: &str,
    arguments: Value,
    progress: Progress,
    json: bool,
) -> Done {
    let tools = Toolbox::new();
    let tool = find(&tools, name)?;
    let app = context.app()?;
    let caller = app.config().caller.clone().unwrap_or_else(|| "command-line".to_owned());
    let answer = Context::block_on(async { Ok(tool.call(Call { app, caller, progress }, arguments).await) })?;
    if json {
        output::json(&answer.structured)?;
    } else if !answer.error {
        output::line(&answer.text)?;
    }
    if !answer.error {
        return Ok(());
    }
    let code = match answer.structured["error"]["code"].as_str() {
        Some("approval_required") => 3,
        Some(
            "blocked" | "unknown_action" | "bad_params" | "plan_changed" | "policy_changed" | "host_mismatch"
            | "action_mismatch" | "wrong_state",
        ) => 4,
        Some("bad_arguments" | "unknown_host") => 2,
        _ => 1,
    };
    if json { Err(Ended::quiet(code)) } else { Err(Ended { code, message: answer.text }) }
}

/// Reads `key=value` pairs by the types of the tool's input schema.
fn parse(tool: &Tool, pairs: &[String]) -> Result<Value, Ended> {
    let mut arguments = Map::new();
    for pair in pairs {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| Ended::usage(format!("--arg {pair:?}: expected KEY=VALUE")))?;
        match key.split_once('.') {
            Some((outer, inner)) => {
                let object = arguments.entry(outer).or_insert_with(|| json!({}));
                let Value::Object(object) = object else {
                    return Err(Ended::usage(format!("--arg {pair:?}: {outer} has a value already")));
                };
                object.insert(inner.to_owned(), value.into());
            }
            None => {
                arguments.insert(key.to_owned(), typed(&tool.input, key, value));
            }
        }
    }
    Ok(Value::Object(arguments))
}

fn typed(schema: &Map<String, Value>, key: &str, value: &str) -> Value {
    let kind =
        schema.get("properties").and_then(|p| p.get(key)).and_then(|p| p.get("type")).and_then(Value::as_str);
    match kind {
        Some("string") => value.into(),
        Some("array") if !value.starts_with('[') => {
            value.split(',').filter(|w| !w.is_empty()).map(Value::from).collect::<Vec<_>>().into()
        }
        // The tool itself says what is wrong with a value that is not of its type.
        _ => serde_json::from_str(value).unwrap_or_else(|_| value.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_what_the_program_prints() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/TOOLS.md");
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            tables(&Toolbox::new()),
            "run: cargo run -p mcp-linux-infra -- tool list --markdown > docs/TOOLS.md"
        );
    }

    #[test]
    fn arguments_take_the_types_of_the_schema() {
        let tools = Toolbox::new();
        let parse = |name: &str, pairs: &[&str]| {
            parse(tools.get(name).unwrap(), &pairs.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>())
                .unwrap()
        };
        assert_eq!(
            parse("list_pending_actions", &["all=true", "limit=3"]),
            json!({ "all": true, "limit": 3 })
        );
        assert_eq!(
            parse("propose_pra_action", &["host=123", "params.container=web", "rationale=a=b"]),
            json!({ "host": "123", "params": { "container": "web" }, "rationale": "a=b" })
        );
        assert_eq!(parse("diagnose_system", &["checks=dns,disk"]), json!({ "checks": ["dns", "disk"] }));
    }
}
