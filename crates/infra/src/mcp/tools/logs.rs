//! The logs of a host.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Host;
use crate::hosts::{
    self, Count, ErrorGroup, FileLine, FileQuery, LogLine, LogMatch, LogQuery, Logs, Priority, SearchQuery,
    Unit,
};
use crate::mcp::toolbox::{Call, LOOK, Reply, Tool, ToolError, tool};

use super::rows::{Listing, Order, Show, Told, list};
use super::{FromHost, host};

/// Rows on a page of a log; its bytes are bounded too.
const PAGE_ROWS: u16 = 500;

pub(super) fn tools() -> Vec<Tool> {
    vec![
        tool(
            "fetch_logs",
            "Fetch logs",
            LOOK,
            "The newest journal lines, oldest first; by service, priority, time.",
            fetch_logs,
        ),
        tool(
            "get_journal_logs",
            "Journal",
            LOOK,
            "Journal lines by unit, boot, priority, time span and pattern.",
            get_journal_logs,
        ),
        tool(
            "read_log_file",
            "Read a log file",
            LOOK,
            "The last lines of a log file, or lines from a number on.",
            read_log_file,
        ),
        tool(
            "search_logs",
            "Search logs",
            LOOK,
            "Lines with a text or regex in the journal or a log file, newest first.",
            search_logs,
        ),
        tool(
            "analyze_errors",
            "Analyze errors",
            LOOK,
            "Errors of the journal, alike ones together: count, first, last, unit, severity.",
            analyze_errors,
        ),
    ]
}

/// What was done to the text.
#[derive(Debug, Serialize, JsonSchema)]
struct Cleaning {
    /// Control and invisible characters removed.
    removed_controls: usize,
    /// Secrets replaced.
    redactions: usize,
    /// What the program said beside.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

type LogReply = Reply<FromHost<Listing<LogLine, Cleaning>>>;

fn journal(call: &Call, host: &Host, tool: &str, logs: Logs) -> Result<LogReply, ToolError> {
    let head = logs.head();
    let beside =
        Cleaning { removed_controls: logs.removed_controls, redactions: logs.redactions, note: logs.note };
    let told = Told { rows: logs.lines, truncated: logs.truncated, beside, head };
    list(call, host, tool, told, &Show { limit: Some(PAGE_ROWS), fields: &[], order: Order::FromEnd })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FetchLogs {
    /// Host name.
    host: String,
    /// Unit.
    #[serde(default, alias = "service_name", alias = "unit")]
    service: Option<String>,
    /// 1 to 1000, else 100.
    #[serde(default)]
    lines: Option<u16>,
    /// `15min`, `2h`, `today`, `2026-11-24 04:30`.
    #[serde(default)]
    since: Option<String>,
    /// And more important ones.
    #[serde(default)]
    #[schemars(with = "Priority")]
    priority: Option<Priority>,
}

async fn fetch_logs(call: Call, a: FetchLogs) -> Result<LogReply, ToolError> {
    let query = LogQuery {
        unit: a.service.as_deref().map(str::parse).transpose()?,
        lines: a.lines,
        since: a.since.as_deref().map(str::parse).transpose()?,
        priority: a.priority,
        ..LogQuery::default()
    };
    let host = host(&call, &a.host)?;
    let logs = hosts::get_journal_logs(&call.app.reader(host, &call.caller), &query).await?;
    journal(&call, host, "fetch_logs", logs)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct JournalLogs {
    /// Host name.
    host: String,
    #[serde(default, alias = "service")]
    unit: Option<String>,
    /// 1 to 1000, else 100.
    #[serde(default, alias = "limit")]
    lines: Option<u16>,
    #[serde(default)]
    #[schemars(with = "Priority")]
    priority: Option<Priority>,
    #[serde(default)]
    since: Option<String>,
    #[serde(default)]
    until: Option<String>,
    /// PCRE.
    #[serde(default)]
    grep: Option<String>,
    /// 0 is this boot, -1 the last.
    #[serde(default)]
    boot: Option<i8>,
}

async fn get_journal_logs(call: Call, a: JournalLogs) -> Result<LogReply, ToolError> {
    let query = LogQuery {
        unit: a.unit.as_deref().map(str::parse).transpose()?,
        lines: a.lines,
        since: a.since.as_deref().map(str::parse).transpose()?,
        until: a.until.as_deref().map(str::parse).transpose()?,
        priority: a.priority,
        grep: a.grep.filter(|g| !g.is_empty()),
        boot: a.boot,
    };
    let host = host(&call, &a.host)?;
    let logs = hosts::get_journal_logs(&call.app.reader(host, &call.caller), &query).await?;
    journal(&call, host, "get_journal_logs", logs)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReadLogFile {
    /// Host name.
    host: String,
    /// E.g. `/var/log/syslog`.
    #[serde(alias = "log_path")]
    path: String,
    /// 1 to 2000, else 100.
    #[serde(default, alias = "limit")]
    lines: Option<u16>,
    /// Number of the first line; else the last lines.
    #[serde(default)]
    start: Option<u32>,
}

async fn read_log_file(
    call: Call,
    a: ReadLogFile,
) -> Result<Reply<FromHost<Listing<FileLine, Cleaning>>>, ToolError> {
    let query = FileQuery { path: a.path.parse()?, lines: a.lines, start: a.start };
    let host = host(&call, &a.host)?;
    let found = hosts::read_log_file(&call.app.reader(host, &call.caller), &query).await?;
    let head = format!("{} lines of {}", found.lines.len(), query.path.as_str());
    let beside =
        Cleaning { removed_controls: found.removed_controls, redactions: found.redactions, note: None };
    let told = Told { rows: found.lines, truncated: found.truncated, beside, head };
    let order = if a.start.is_some() { Order::FromStart } else { Order::FromEnd };
    list(&call, host, "read_log_file", told, &Show { limit: Some(PAGE_ROWS), fields: &[], order })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SearchLogs {
    /// Host name.
    host: String,
    pattern: String,
    #[serde(default)]
    regex: bool,
    /// Log file; else the journal.
    #[serde(default, alias = "log_path")]
    path: Option<String>,
    /// Units.
    #[serde(default)]
    services: Option<Vec<String>>,
    #[serde(default)]
    since: Option<String>,
    #[serde(default, alias = "lines")]
    limit: Option<u16>,
}

/// Where matches are.
#[derive(Debug, Serialize, JsonSchema)]
struct Found {
    by_unit: Vec<Count>,
    #[serde(flatten)]
    cleaning: Cleaning,
}

async fn search_logs(
    call: Call,
    a: SearchLogs,
) -> Result<Reply<FromHost<Listing<LogMatch, Found>>>, ToolError> {
    let units = a.services.unwrap_or_default();
    let query = SearchQuery {
        pattern: a.pattern,
        regex: a.regex,
        path: a.path.as_deref().map(str::parse).transpose()?,
        units: units.iter().map(|u| u.parse()).collect::<Result<Vec<Unit>, _>>()?,
        since: a.since.as_deref().map(str::parse).transpose()?,
    };
    let host = host(&call, &a.host)?;
    let found = hosts::search_logs(&call.app.reader(host, &call.caller), &query).await?;
    let head = found.head();
    let cleaning =
        Cleaning { removed_controls: found.removed_controls, redactions: found.redactions, note: found.note };
    let beside = Found { by_unit: found.by_unit, cleaning };
    let told = Told { rows: found.matches, truncated: found.truncated, beside, head };
    list(&call, host, "search_logs", told, &Show { limit: a.limit, fields: &[], order: Order::FromStart })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AnalyzeErrors {
    /// Host name.
    host: String,
    #[serde(default, alias = "unit", alias = "service_name")]
    service: Option<String>,
    /// Else `1h`.
    #[serde(default)]
    since: Option<String>,
    /// Else err.
    #[serde(default)]
    #[schemars(with = "Priority")]
    priority: Option<Priority>,
    #[serde(default)]
    limit: Option<u16>,
}

/// What was looked at.
#[derive(Debug, Serialize, JsonSchema)]
struct Looked {
    /// Lines that were grouped.
    lines: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

async fn analyze_errors(
    call: Call,
    a: AnalyzeErrors,
) -> Result<Reply<FromHost<Listing<ErrorGroup, Looked>>>, ToolError> {
    let unit = a.service.as_deref().map(str::parse).transpose()?;
    let since = a.since.as_deref().map(str::parse).transpose()?;
    let host = host(&call, &a.host)?;
    let reader = call.app.reader(host, &call.caller);
    let found = hosts::analyze_errors(&reader, unit, since, a.priority).await?;
    let head = found.head();
    let beside = Looked { lines: found.lines, note: found.note };
    let told = Told { rows: found.groups, truncated: found.truncated, beside, head };
    list(&call, host, "analyze_errors", told, &Show { limit: a.limit, fields: &[], order: Order::FromStart })
}
