//! The parts of the answers that the protocol library has types for.

use std::sync::Arc;

use rmcp::model::{
    CacheScope, CallToolResult, CompleteResult, CompletionInfo, ContentBlock, ErrorData, GetPromptResult,
    Icon as WireIcon, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
    Prompt as WirePrompt, PromptArgument, PromptMessage, ReadResourceResult, Resource, ResourceContents,
    ResourceTemplate, Role, Tool as WireTool, ToolAnnotations,
};
use serde_json::{Value, json};

use super::icons::MEDIA_TYPE;
use super::prompts::{Prompt, Prompts};
use super::resources::{FIXED, Known, NotRead, TEMPLATES};
use super::toolbox::{Answer, Tool};
use super::{complete, schema};

/// How long a client may keep a list: it does not change while the server runs.
const LIST_TTL_MS: u64 = 300_000;
const JSON: &str = "application/json";
/// A server with a lock: what the program is, in the 24 by 24 pixels that clients show. Percent-encoded, as it must be a URI.
const ICON: &str = "data:image/svg+xml,\
    %3Csvg%20xmlns='http://www.w3.org/2000/svg'%20viewBox='0%200%2024%2024'%20fill='none'%20stroke='%23256'%20stro\
    ke-width='2'%3E%3Crect%20x='3'%20y='3'%20width='18'%20height='7'%20rx='1.5'/%3E%3Cpath%20d='M3%2014h7M3%2014v7\
    h7M7%206.5h.1M7%2017.5h.1M14%2017v-2a2%202%200%200%201%205%200v2'/%3E%3Crect%20x='13'%20y='17'%20width='7'%20h\
    eight='5'%20rx='1'/%3E%3C/svg%3E";

/// The program's icon.
pub(super) fn icons() -> Vec<WireIcon> {
    vec![icon(ICON)]
}

fn icon(uri: impl Into<String>) -> WireIcon {
    WireIcon::new(uri).with_mime_type(MEDIA_TYPE).with_sizes(vec!["any".to_owned()])
}

/// A tool as `tools/list` shows it. Its picture is in `infra://tools/NAME`: here it would cost a model as much as a tool. Hints that say what a client assumes anyway are left out.
pub(super) fn tool(tool: &Tool) -> WireTool {
    let mut hints = ToolAnnotations::new();
    hints.read_only_hint = Some(tool.hints.read_only);
    if !tool.hints.read_only {
        hints.destructive_hint = Some(tool.hints.destructive);
        hints.idempotent_hint = Some(tool.hints.idempotent);
    }
    let mut wire = WireTool::new(tool.name, tool.description, Arc::new(schema::brief(&tool.input)));
    wire.title = Some(tool.title.to_owned());
    wire.output_schema = Some(Arc::new(schema::outline(&tool.output)));
    wire.annotations = Some(hints);
    wire
}

pub(super) fn tools(tools: Vec<WireTool>) -> ListToolsResult {
    ListToolsResult::with_all_items(tools).with_ttl_ms(LIST_TTL_MS).with_cache_scope(CacheScope::Private)
}

pub(super) fn answer(answer: Answer) -> CallToolResult {
    let content = vec![ContentBlock::text(answer.text)];
    let mut result =
        if answer.error { CallToolResult::error(content) } else { CallToolResult::success(content) };
    result.structured_content = Some(answer.structured);
    result
}

pub(super) fn resources() -> ListResourcesResult {
    let row = |known: &Known| {
        Resource::new(known.uri, known.name)
            .with_title(known.title)
            .with_description(known.description)
            .with_mime_type(JSON)
            .with_icons(vec![icon(known.icon.uri())])
    };
    ListResourcesResult::with_all_items(FIXED.iter().map(row).collect())
        .with_ttl_ms(LIST_TTL_MS)
        .with_cache_scope(CacheScope::Private)
}

pub(super) fn templates() -> ListResourceTemplatesResult {
    let row = |known: &Known| {
        ResourceTemplate::new(known.uri, known.name)
            .with_title(known.title)
            .with_description(known.description)
            .with_mime_type(JSON)
            .with_icons(vec![icon(known.icon.uri())])
    };
    ListResourceTemplatesResult::with_all_items(TEMPLATES.iter().map(row).collect())
        .with_ttl_ms(LIST_TTL_MS)
        .with_cache_scope(CacheScope::Private)
}

/// What stands at an address. It may be another thing at once, so no client keeps it.
pub(super) fn content(uri: &str, read: Result<Value, NotRead>) -> Result<ReadResourceResult, ErrorData> {
    match read {
        Ok(value) => {
            let text = ResourceContents::text(value.to_string(), uri).with_mime_type(JSON);
            Ok(ReadResourceResult::new(vec![text]).with_ttl_ms(0).with_cache_scope(CacheScope::Private))
        }
        Err(NotRead::Unknown) => Err(ErrorData::resource_not_found(
            "nothing stands at this address; resources/list and resources/templates/list show what there is",
            Some(json!({ "uri": uri })),
        )),
        Err(NotRead::Failed(cause)) => Err(ErrorData::internal_error(cause, Some(json!({ "uri": uri })))),
    }
}

pub(super) fn prompts(prompts: &Prompts) -> ListPromptsResult {
    let row = |prompt: &Prompt| {
        let arguments = prompt
            .arguments
            .iter()
            .map(|a| PromptArgument::new(&a.name).with_description(&a.description).with_required(a.required))
            .collect();
        WirePrompt::new(&prompt.name, Some(&prompt.description), Some(arguments))
            .with_title(&prompt.title)
            .with_icons(vec![icon(prompt.icon.uri())])
    };
    ListPromptsResult::with_all_items(prompts.iter().map(row).collect())
        .with_ttl_ms(LIST_TTL_MS)
        .with_cache_scope(CacheScope::Private)
}

pub(super) fn prompt(prompt: &Prompt, text: String) -> GetPromptResult {
    GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)])
        .with_description(&prompt.description)
}

/// At most a hundred values, and how many there are.
pub(super) fn completion(mut values: Vec<String>) -> CompleteResult {
    let total = values.len();
    values.truncate(complete::MOST);
    let mut info = CompletionInfo::default();
    info.has_more = Some(total > values.len());
    info.total = u32::try_from(total).ok();
    info.values = values;
    CompleteResult::new(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_has_at_most_a_hundred_values() {
        let many = completion((0..151).map(|n| n.to_string()).collect());
        assert_eq!((many.completion.values.len(), many.completion.total), (100, Some(151)));
        assert_eq!(many.completion.has_more, Some(true));
        assert_eq!(completion(vec!["a".into()]).completion.has_more, Some(false));
    }

    #[test]
    fn the_icon_is_a_uri() {
        let src = icons().remove(0).src;
        assert!(src.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"{}|\\^`".contains(&b)), "{src}");
    }

    #[test]
    fn people_see_pictures_of_prompts_and_resources_and_models_pay_for_none_of_tools() {
        let lists = [
            serde_json::to_value(prompts(&Prompts::new().unwrap())).unwrap()["prompts"].take(),
            serde_json::to_value(resources()).unwrap()["resources"].take(),
            serde_json::to_value(templates()).unwrap()["resourceTemplates"].take(),
        ];
        for row in lists.iter().flat_map(|list| list.as_array().unwrap()) {
            let src = row["icons"][0]["src"].as_str().unwrap();
            assert!(src.starts_with("data:image/svg+xml,"), "{row}");
        }
        assert!(super::super::Toolbox::new().iter().all(|t| tool(t).icons.is_none()));
    }

    #[test]
    fn lists_are_small_and_always_the_same() {
        let list = |choice: &super::super::toolsets::Choice| {
            let all = super::super::Toolbox::new();
            serde_json::to_string(&tools(choice.listed(&all).map(tool).collect())).unwrap()
        };
        let core = super::super::toolsets::Choice::parse(&[]).unwrap();
        let all = super::super::toolsets::Choice::parse(&["all".to_owned()]).unwrap();
        assert!(list(&core).len() <= 9_800, "{}", list(&core).len());
        assert!(list(&all).len() <= 24 << 10, "{}", list(&all).len());
        assert_eq!(list(&core), list(&core));
    }
}
