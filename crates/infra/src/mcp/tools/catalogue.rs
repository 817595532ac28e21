//! The catalogue of commands: its plugins, their forms, and a search over them.

use policy::{Form, Level, Plugin};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mcp::toolbox::{Call, LOOK, Reply, Tool, ToolError, tool};

/// The most forms of one answer.
const MOST: usize = 200;

pub(super) fn tools() -> Vec<Tool> {
    vec![
        tool(
            "list_command_plugins",
            "List the families of commands",
            LOOK,
            "The plugins of the command policy, how many forms each has, and the policy's digest.",
            list_command_plugins,
        ),
        tool(
            "get_plugin_details",
            "Show one family of commands",
            LOOK,
            "Every form of a plugin: usage, level (auto, manual, blocked), risk, an example or the reason.",
            get_plugin_details,
        ),
        tool(
            "search_commands",
            "Search the permitted commands",
            LOOK,
            "Commands by words of their name, title or example, such as `dns`; what runs at once comes first.",
            search_commands,
        ),
        tool(
            "show_command_whitelist",
            "Show what may run at once",
            LOOK,
            "Every form that runs without approval, by plugin. search_commands answers with less.",
            show_command_whitelist,
        ),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Serialize, JsonSchema)]
struct PluginList {
    /// SHA-256 of the policy; a target with the same digest judges the same.
    digest: String,
    /// Why files of the plugin folder are not in force, if some are wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    plugins: Vec<PluginSummary>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct PluginSummary {
    name: String,
    title: String,
    category: String,
    commands: usize,
    /// Forms that run at once.
    auto: usize,
    /// Forms that need a person's approval.
    manual: usize,
    /// Forms that never run.
    blocked: usize,
}

fn forms(plugin: &Plugin) -> impl Iterator<Item = &Form> {
    plugin.commands.iter().flat_map(|c| &c.forms)
}

async fn list_command_plugins(call: Call, _: Nothing) -> Result<Reply<PluginList>, ToolError> {
    let catalogue = call.app.catalogue();
    let of = |plugin: &Plugin, level| forms(plugin).filter(|f| f.level == level).count();
    let plugins: Vec<PluginSummary> = catalogue
        .plugins()
        .iter()
        .map(|p| PluginSummary {
            name: p.name.clone(),
            title: p.title.clone(),
            category: p.category.clone(),
            commands: p.commands.len(),
            auto: of(p, Level::Auto),
            manual: of(p, Level::Manual),
            blocked: of(p, Level::Blocked),
        })
        .collect();
    let text = plugins
        .iter()
        .map(|p| format!("{}: {} ({} commands, {} forms run at once)", p.name, p.title, p.commands, p.auto))
        .collect::<Vec<_>>()
        .join("\n");
    let problem = call.app.plugins().problem();
    Ok(Reply { data: PluginList { digest: catalogue.digest().to_owned(), problem, plugins }, text })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Details {
    /// Name of a plugin from list_command_plugins.
    plugin: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct FormList {
    forms: Vec<FormRow>,
    /// Forms that were left out of a long answer.
    left_out: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
struct FormRow {
    plugin: String,
    /// How it is written.
    usage: String,
    title: String,
    /// auto, manual or blocked.
    level: String,
    /// low, medium, high or critical.
    risk: String,
    /// A line that has this form.
    #[serde(skip_serializing_if = "Option::is_none")]
    example: Option<String>,
    /// For a blocked form: why, and what to do instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl FormRow {
    fn new(plugin: &Plugin, form: &Form) -> Self {
        Self {
            plugin: plugin.name.clone(),
            usage: form.usage().to_owned(),
            title: form.title.clone(),
            level: form.level.to_string(),
            risk: form.risk.to_string(),
            example: form.examples.first().cloned(),
            reason: (!form.reason.is_empty()).then(|| form.reason.clone()),
        }
    }

    fn line(&self) -> String {
        let about = self.reason.as_ref().unwrap_or(&self.title);
        format!("{:<8} {}  {about}", self.level, self.usage)
    }
}

fn answer(mut rows: Vec<FormRow>) -> Reply<FormList> {
    let left_out = rows.len().saturating_sub(MOST);
    rows.truncate(MOST);
    let mut text = rows.iter().map(FormRow::line).collect::<Vec<_>>().join("\n");
    if left_out > 0 {
        text.push_str(&format!("\n{left_out} more: search with a narrower word"));
    }
    Reply { data: FormList { forms: rows, left_out }, text }
}

async fn get_plugin_details(call: Call, arguments: Details) -> Result<Reply<FormList>, ToolError> {
    let catalogue = call.app.catalogue();
    let plugins = catalogue.plugins();
    let Some(plugin) = plugins.iter().find(|p| p.name == arguments.plugin) else {
        let names: Vec<&str> = plugins.iter().map(|p| p.name.as_str()).collect();
        return Err(ToolError::new(
            "unknown_plugin",
            format!("no plugin has that name; there are {}", names.join(", ")),
        ));
    };
    Ok(answer(forms(plugin).map(|f| FormRow::new(plugin, f)).collect()))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Search {
    /// One or more words; a form must have all of them.
    #[schemars(length(min = 1, max = 200))]
    query: String,
}

async fn search_commands(call: Call, arguments: Search) -> Result<Reply<FormList>, ToolError> {
    let query: String = arguments.query.chars().take(200).collect::<String>().to_lowercase();
    let words: Vec<&str> = query.split_whitespace().collect();
    if words.is_empty() {
        return Err(ToolError::new(
            "invalid_arguments",
            "query: it is empty; give a word such as dns or memory",
        ));
    }
    let mut found: Vec<(&Plugin, &Form)> = Vec::new();
    let catalogue = call.app.catalogue();
    for plugin in catalogue.plugins() {
        for form in forms(plugin) {
            let text = format!(
                "{} {} {} {} {}",
                plugin.title,
                plugin.category,
                form.usage(),
                form.title,
                form.examples.join(" ")
            )
            .to_lowercase();
            if words.iter().all(|w| text.contains(w)) {
                found.push((plugin, form));
            }
        }
    }
    found.sort_by_key(|(_, form)| form.level);
    let mut reply = answer(found.into_iter().map(|(p, f)| FormRow::new(p, f)).collect());
    if reply.data.forms.is_empty() {
        "no command has these words; list_command_plugins shows the families".clone_into(&mut reply.text);
    }
    Ok(reply)
}

#[derive(Debug, Serialize, JsonSchema)]
struct Whitelist {
    /// SHA-256 of the policy.
    digest: String,
    plugins: Vec<Permitted>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Permitted {
    plugin: String,
    /// How each form that runs at once is written.
    usages: Vec<String>,
}

async fn show_command_whitelist(call: Call, _: Nothing) -> Result<Reply<Whitelist>, ToolError> {
    let catalogue = call.app.catalogue();
    let plugins: Vec<Permitted> = catalogue
        .plugins()
        .iter()
        .map(|p| Permitted {
            plugin: p.name.clone(),
            usages: forms(p).filter(|f| f.level == Level::Auto).map(|f| f.usage().to_owned()).collect(),
        })
        .collect();
    let text = plugins
        .iter()
        .map(|p| format!("{}:\n  {}", p.plugin, p.usages.join("\n  ")))
        .collect::<Vec<_>>()
        .join("\n");
    Ok(Reply { data: Whitelist { digest: catalogue.digest().to_owned(), plugins }, text })
}
