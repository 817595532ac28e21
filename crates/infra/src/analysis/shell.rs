//! Takes a shell program apart, to say what each part would do. Nothing of it runs, and no part is permitted by it.
//!
//! The grammar is tree-sitter's for bash: table-driven, without recursion and without backtracking. Its repair of
//! wrong input is quadratic, so [`bounds`] keeps what it is given short, and a program that is wrong is given up.

use std::ops::ControlFlow;

use policy::lex::MAX_LINE;
use policy::{Catalogue, Risk};
use schemars::JsonSchema;
use serde::Serialize;
use tree_sitter::{Node, ParseOptions, ParseState, Parser, Tree};

use super::advice;

/// The most parts that are told.
pub const MOST_PARTS: usize = 32;
/// The most characters of a part's text and of each sentence on it.
pub const MOST_TEXT: usize = 160;
/// The most operators, quotes, blanks and other characters that a shell may act on.
const MOST_MARKS: usize = 96;
/// The most steps of the parser, in its own unit of a hundred or so; programs within the bounds need under twenty.
const MOST_STEPS: usize = 64;

/// What a part of a shell program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// A command that stands alone or in a list.
    Command,
    /// A command whose input or output is another's.
    PipelineMember,
    /// A program whose output becomes words or a file.
    Substitution,
    /// Input or output that is not the caller's.
    Redirection,
    /// A variable.
    Assignment,
    /// A condition, a loop, a function, a group, or something in the background.
    Control,
}

/// One part of a shell program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Part {
    /// Its text, cut when long.
    pub text: String,
    /// What it is.
    pub kind: PartKind,
    /// What it would do.
    pub would: String,
    /// What the policy says of it, sent alone: auto, manual or blocked. What is no command is blocked.
    pub verdict: String,
    /// Why.
    pub reason: String,
    /// low, medium, high or critical.
    pub risk: String,
    /// What to do instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

/// A shell program in parts.
#[derive(Debug, Default)]
pub(super) struct Apart {
    /// The parts in their order, [`MOST_PARTS`] at most.
    pub(super) parts: Vec<Part>,
    /// Why there are none, or not all.
    pub(super) note: Option<String>,
    /// The risk of the worst part.
    pub(super) worst: Option<Risk>,
}

/// Takes a line apart that the policy's lexer refused. Pure, total, bounded in time by [`bounds`].
pub(super) fn take_apart(catalogue: &Catalogue, line: &str) -> Apart {
    let nothing = |note: &str| Apart { note: Some(format!("not taken apart: {note}")), ..Apart::default() };
    if let Err(note) = bounds(line) {
        return nothing(note);
    }
    let Some(tree) = parse(line) else {
        return nothing("no shell could run it as it stands");
    };
    let mut apart = Apart::default();
    for node in nodes(&tree) {
        let Some(found) = part(catalogue, line, node) else { continue };
        apart.worst = apart.worst.max(Some(found.risk));
        if apart.parts.len() == MOST_PARTS {
            apart.note = Some(format!("only the first {MOST_PARTS} parts are told"));
            break;
        }
        apart.parts.push(found.told());
    }
    apart
}

/// What the parser may be given: a linear look at the text, before any parsing.
fn bounds(line: &str) -> Result<(), &'static str> {
    if line.trim().is_empty() {
        return Err("it is empty");
    }
    if line.len() > MAX_LINE {
        return Err("it is too large (more than 8 KiB)");
    }
    if line.contains("<<") {
        return Err("here-documents and here-strings are not looked into");
    }
    let (mut marks, mut blank) = (0, false);
    for c in line.chars() {
        if !(c.is_alphanumeric() || c.is_ascii_graphic() || [' ', '\t', '\n'].contains(&c)) {
            return Err("it holds a control character or a hidden one");
        }
        let free = c.is_ascii_alphanumeric() || "-/._".contains(c) || (c == ' ' && blank);
        marks += usize::from(!free);
        blank = c == ' ';
    }
    if marks > MOST_MARKS {
        return Err("it is too large or too deep (more than 96 operators, quotes and words)");
    }
    Ok(())
}

/// The syntax tree; `None` for what is no whole program.
fn parse(line: &str) -> Option<Tree> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_bash::LANGUAGE.into()).ok()?;
    let mut steps = 0;
    let mut fence = |state: &ParseState| {
        steps += 1;
        if steps > MOST_STEPS || state.has_error() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let options = ParseOptions::new().progress_callback(&mut fence);
    let rest = |at: usize, _| line.as_bytes().get(at..).unwrap_or_default();
    let tree = parser.parse_with_options(&mut { rest }, None, Some(options))?;
    (!tree.root_node().has_error()).then_some(tree)
}

/// All nodes, each before those in it; without recursion, as the nesting is the caller's.
fn nodes(tree: &Tree) -> impl Iterator<Item = Node<'_>> {
    let mut cursor = tree.walk();
    let mut more = true;
    std::iter::from_fn(move || {
        if !more {
            return None;
        }
        let node = cursor.node();
        more = cursor.goto_first_child() || cursor.goto_next_sibling() || {
            loop {
                if !cursor.goto_parent() {
                    break false;
                }
                if cursor.goto_next_sibling() {
                    break true;
                }
            }
        };
        Some(node)
    })
}

/// A part before its sentences are cut.
pub(super) struct Found {
    pub(super) text: String,
    pub(super) kind: PartKind,
    pub(super) would: String,
    pub(super) verdict: &'static str,
    pub(super) reason: String,
    pub(super) risk: Risk,
    pub(super) suggestion: Option<String>,
}

impl Found {
    /// A part that is no command.
    fn other(text: &str, kind: PartKind, risk: Risk, would: String, suggestion: &str) -> Self {
        let reason = "there is no shell here".to_owned();
        let suggestion = (!suggestion.is_empty()).then(|| suggestion.to_owned());
        Self { text: text.to_owned(), kind, would, verdict: "blocked", reason, risk, suggestion }
    }

    fn told(self) -> Part {
        Part {
            text: clip(&self.text, MOST_TEXT),
            kind: self.kind,
            would: clip(&self.would, MOST_TEXT),
            verdict: self.verdict.to_owned(),
            reason: clip(&self.reason, MOST_TEXT),
            risk: self.risk.to_string(),
            suggestion: self.suggestion.map(|s| clip(&s, MOST_TEXT)),
        }
    }
}

/// At most `most` characters, on one line.
pub(super) fn clip(text: &str, most: usize) -> String {
    let mut short: String = text.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(most).is_some() {
        short.pop();
        short.push('…');
    }
    short
}

/// The text of a node.
pub(super) fn text<'a>(line: &'a str, node: Node<'_>) -> &'a str {
    line.get(node.byte_range()).unwrap_or_default()
}

const BACK: &str = "send each command as a call of its own";

fn part(catalogue: &Catalogue, line: &str, node: Node<'_>) -> Option<Found> {
    let whole = text(line, node);
    let control = |would: &str, suggestion| {
        Found::other(whole, PartKind::Control, Risk::Medium, would.to_owned(), suggestion)
    };
    Some(match node.kind() {
        "command" => advice::command(catalogue, line, node),
        "file_redirect" => redirection(catalogue, line, node),
        "command_substitution" => {
            let (risk, would, then) = if in_command_name(node) {
                (
                    Risk::Critical,
                    "runs a program, and then runs what it prints as a command",
                    "nothing runs the output of another command",
                )
            } else {
                (
                    Risk::High,
                    "runs a program and makes words of its output",
                    "send the inner command first, and put what it answers into the next line",
                )
            };
            Found::other(whole, PartKind::Substitution, risk, would.to_owned(), then)
        }
        "process_substitution" => Found::other(
            whole,
            PartKind::Substitution,
            Risk::High,
            "runs a program beside the command and lends its output or input as a file".to_owned(),
            "send the inner command alone, and compare the answers",
        ),
        "variable_assignment" => assignment(line, node),
        "if_statement" => control("runs commands if another one succeeds", BACK),
        "while_statement" => control("runs commands again and again", BACK),
        "for_statement" | "c_style_for_statement" => {
            control("runs commands once for each of several words", "make one call for each word")
        }
        "case_statement" => control("runs commands by what a word looks like", BACK),
        "function_definition" => function(line, node),
        "subshell" => control("runs commands in a shell of their own", BACK),
        "compound_statement" => control("runs commands as a group", BACK),
        "negated_command" => {
            control("turns success and failure round", "look at the exit status in the answer")
        }
        "test_command" => control("tests something", "ask for what it tests: `stat` and `ls` tell of files"),
        "declaration_command" | "unset_command" => {
            control("changes the variables of the shell", "leave it out: there is no shell to change")
        }
        "&" if !node.is_named() && node.parent().is_some_and(|p| p.kind() != "binary_expression") => control(
            "leaves the command before it running in the background",
            "each call waits for its answer",
        ),
        _ => return None,
    })
}

fn function(line: &str, node: Node<'_>) -> Found {
    let field = |name| node.child_by_field_name(name).map_or("", |n| text(line, n));
    let (risk, would) = if field("body").contains(field("name")) {
        (Risk::Critical, "defines a command that calls itself, which may never end")
    } else {
        (Risk::High, "defines a command")
    };
    Found::other(text(line, node), PartKind::Control, risk, would.to_owned(), BACK)
}

fn in_command_name(node: Node<'_>) -> bool {
    std::iter::successors(Some(node), Node::parent).take(4).any(|n| n.kind() == "command_name")
}

fn assignment(line: &str, node: Node<'_>) -> Found {
    let name = node.child_by_field_name("name").map_or("", |n| text(line, n));
    let loads = name.starts_with("LD_")
        || ["PATH", "IFS", "ENV", "BASH_ENV", "PS4", "PROMPT_COMMAND"].contains(&name);
    let (risk, why) = if loads {
        (Risk::Critical, ", which decides what programs run or load")
    } else {
        (Risk::Medium, "")
    };
    let would = format!("sets the variable {}{why}", clip(name, 32));
    let then = "leave it out: a command runs in a fixed environment";
    Found::other(text(line, node), PartKind::Assignment, risk, would, then)
}

/// Folders where a write takes the machine over.
const VITAL: &[&str] =
    &["/etc", "/dev", "/boot", "/proc", "/sys", "/root", "/usr", "/bin", "/sbin", "/lib", "/var/spool/cron"];

fn redirection(catalogue: &Catalogue, line: &str, node: Node<'_>) -> Found {
    let whole = text(line, node);
    let operator = (0..node.child_count())
        .filter_map(|i| node.child(i))
        .find(|c| !c.is_named())
        .map_or("", |c| text(line, c));
    let to = node.child_by_field_name("destination").map_or("", |n| text(line, n));
    let said =
        |risk, would: String, then: &str| Found::other(whole, PartKind::Redirection, risk, would, then);
    let shown = clip(to, 80);
    let fd = to == "-" || (!to.is_empty() && to.bytes().all(|b| b.is_ascii_digit()));
    if operator.ends_with('&') && fd {
        return said(
            Risk::Low,
            format!("joins an output with descriptor {shown}, or closes it"),
            "leave it out: stdout and stderr come back apart",
        );
    }
    if operator.starts_with('<') {
        let cat = format!("cat {to}");
        let judged = catalogue.judge(&cat);
        return if judged.verdict == policy::Level::Auto {
            said(Risk::Low, format!("reads {shown}"), &format!("send `{cat}` alone"))
        } else {
            let mut found = said(judged.risk.max(Risk::Medium), format!("reads {shown}"), "");
            found.reason = judged.reason;
            found
        };
    }
    if to == "/dev/null" {
        let then = "leave it out: stdout and stderr come back apart";
        return said(Risk::Low, "throws output away".to_owned(), then);
    }
    let vital = VITAL.iter().any(|v| to.strip_prefix(v).is_some_and(|r| r.is_empty() || r.starts_with('/')))
        || to.contains("..")
        || !to.starts_with('/');
    let how = if operator.contains(">>") { "appends to" } else { "writes to" };
    said(
        if vital { Risk::Critical } else { Risk::High },
        format!("{how} {shown}"),
        "leave it out: the output comes back with the answer, and nothing may be written",
    )
}

#[cfg(test)]
#[path = "shell_tests.rs"]
mod tests;
