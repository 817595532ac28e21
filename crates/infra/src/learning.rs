//! Learning from blocked commands: the shape of a line, and what an operator may do about shapes that come often.
//!
//! It permits nothing. A shape holds placeholders for operands, as any operand may be a secret: what stands in the database
//! is the program, the names of options, and subcommands of a fixed list. What cannot be told apart stays: a secret in
//! the program's own place, and letters attached to a short option when they look like flags (`-abc`). What is advised is what [`analysis`] advises for the
//! program, narrowed here; only an operator who deploys a plugin file changes the policy.

use policy::{Catalogue, Plugin, lex};
use schemars::JsonSchema;
use serde::Serialize;

use crate::analysis::{self, Recommendation};
use crate::hosts::hygiene;
use crate::store::BlockedCommand;

/// What stands for a line that only a shell could read.
const SHELL: &str = "(shell syntax)";
/// What stands for the words behind the [`MOST_WORDS`]th.
const MORE: &str = "MORE";
/// The most words of a shape: longer lines are no form that one would add.
const MOST_WORDS: usize = 16;

const PATH: &str = "PATH";
const NUMBER: &str = "NUMBER";
const WORD: &str = "WORD";
const OPTION: &str = "--OPTION";

/// What is kept of a blocked line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The line without its operands.
    pub shape: String,
    /// The program.
    pub command: String,
    /// As the shape, with each operand in its place and the folders in which paths lie.
    pub example: String,
}

/// The shape of a line; `None` when its program has no bare name, so that nothing of it may be kept.
pub fn shape(line: &str) -> Option<String> {
    seen(line).map(|s| s.shape)
}

/// What may be kept of a blocked line. Pure, total, linear in the line's length.
pub fn seen(line: &str) -> Option<Seen> {
    let Ok(words) = lex::lex(line) else {
        // The text may hold anything; at most the first word's name is kept.
        let name = line.split_whitespace().next().filter(|w| is_program(w)).unwrap_or_default();
        let shape = format!("{SHELL} {name}").trim_end().to_owned();
        return Some(Seen { example: shape.clone(), shape, command: name.to_owned() });
    };
    let (program, rest) = words.split_first()?;
    if !is_program(program) {
        return None;
    }
    let mut shape = vec![program.clone()];
    let mut example = shape.clone();
    let mut options_end = false;
    for (index, word) in rest.iter().enumerate() {
        if shape.len() >= MOST_WORDS {
            shape.push(MORE.to_owned());
            example.push(MORE.to_owned());
            break;
        }
        let (kept, shown) = if !options_end && word == "--" {
            options_end = true;
            (word.clone(), word.clone())
        } else if let Some(name) = option(word).filter(|_| !options_end) {
            (name.clone(), name)
        } else if index == 0 && is_verb(word) {
            (word.clone(), word.clone())
        } else if word.starts_with('/') {
            (PATH.to_owned(), folder(word))
        } else if !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()) {
            (NUMBER.to_owned(), NUMBER.to_owned())
        } else {
            (WORD.to_owned(), WORD.to_owned())
        };
        if shape.last() != Some(&kept) || !is_placeholder(&kept) {
            shape.push(kept);
        }
        example.push(shown);
    }
    let example = hygiene::clean(example.join(" ").as_bytes()).text;
    Some(Seen { shape: shape.join(" "), command: program.clone(), example })
}

/// A bare program name that is no pasted key.
fn is_program(word: &str) -> bool {
    word.len() <= 32
        && word.starts_with(|c: char| c.is_ascii_alphanumeric())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+".contains(&b))
        && hygiene::clean(word.as_bytes()).redactions == 0
}

/// Subcommands that many programs share. Any other word behind a program may be an operand, and so a secret.
const VERBS: &[&str] = &[
    "add", "apply", "check", "clean", "config", "create", "delete", "describe", "disable", "enable",
    "events", "exec", "flush", "get", "history", "images", "info", "inspect", "install", "list", "logs",
    "ls", "network", "ps", "purge", "reload", "remove", "restart", "rm", "run", "search", "set", "show",
    "start", "stats", "status", "stop", "test", "top", "update", "upgrade", "version", "volume",
];

/// A subcommand: `status` in `systemctl status`.
fn is_verb(word: &str) -> bool {
    VERBS.contains(&word)
}

fn is_placeholder(word: &str) -> bool {
    [PATH, NUMBER, WORD].contains(&word)
}

/// The name of an option without its value.
fn option(word: &str) -> Option<String> {
    if let Some(long) = word.strip_prefix("--") {
        let name = long.split('=').next().unwrap_or_default();
        // Names have few digits; keys have many.
        let plain = !name.is_empty()
            && name.len() <= 30
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && name.bytes().filter(u8::is_ascii_digit).count() <= 3;
        return Some(if plain { format!("--{name}") } else { OPTION.to_owned() });
    }
    let short = word.strip_prefix('-')?;
    let first = short.chars().next().filter(char::is_ascii_alphabetic)?;
    // `-la` is two flags; in `-n5` and `-psecret` a value is attached to the first letter.
    let flags = short.len() <= 4 && short.bytes().all(|b| b.is_ascii_alphabetic());
    Some(if flags { word.to_owned() } else { format!("-{first}") })
}

/// `/var/log/…` of a path: at most two folders, and only such as have the names of system folders.
fn folder(path: &str) -> String {
    let plain =
        |part: &&str| !part.is_empty() && part.len() <= 12 && part.bytes().all(|b| b.is_ascii_lowercase());
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let folders = parts.split_last().map_or(&[][..], |(_, folders)| folders);
    let kept: String = folders.iter().take(2).take_while(|p| plain(p)).map(|p| format!("/{p}")).collect();
    format!("{kept}/{PATH}")
}

/// What an operator may do about one shape.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Suggestion {
    /// The line without its operands.
    pub shape: String,
    /// How often it was blocked.
    pub count: i64,
    /// Hosts that it was meant for, sixteen at most.
    pub hosts: Vec<String>,
    /// Callers that asked, sixteen at most.
    pub callers: Vec<String>,
    /// When first, in seconds since 1970.
    pub first_seen: i64,
    /// When last, in seconds since 1970.
    pub last_seen: i64,
    /// The newest line of this shape, its operands masked.
    pub example: String,
    /// ADD_AUTO, ADD_MANUAL, BLOCK or REVIEW.
    pub recommended: Recommendation,
    /// Why.
    pub why: String,
    /// A plugin file to start from, for an operator to review; never in force by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggested_plugin: Option<String>,
}

/// What an operator may do about shapes, in their order. [`crate::store::Store::blocked_commands`] keeps those that
/// came often enough and long enough.
pub fn suggestions(catalogue: &Catalogue, rows: Vec<BlockedCommand>) -> Vec<Suggestion> {
    rows.into_iter().map(|row| suggestion(catalogue, row)).collect()
}

/// What an operator may do about one shape.
pub fn suggestion(catalogue: &Catalogue, row: BlockedCommand) -> Suggestion {
    let (recommended, why, suggested_plugin) = advise(catalogue, &row.shape);
    Suggestion {
        shape: row.shape,
        count: row.count,
        hosts: row.hosts,
        callers: row.callers,
        first_seen: row.first_seen,
        last_seen: row.last_seen,
        example: row.example,
        recommended,
        why: why.to_owned(),
        suggested_plugin,
    }
}

fn advise(catalogue: &Catalogue, shape: &str) -> (Recommendation, &'static str, Option<String>) {
    use Recommendation as R;
    if shape.starts_with(SHELL) {
        return (R::Block, "it needs a shell, and there is none: ask for one plain command", None);
    }
    let words: Vec<&str> = shape.split(' ').collect();
    let level = match analysis::analyse(catalogue, shape).recommendation {
        R::Block => {
            return (R::Block, "a form blocks it, or the program runs others, moves or loses data", None);
        }
        R::AlreadyPermitted => {
            return (R::Review, "lines of this shape are permitted: their operands were refused", None);
        }
        R::Review => {
            return (
                R::Review,
                "the program is unknown, or its forms leave this out: a person must look",
                None,
            );
        }
        R::AddAuto if words.contains(&WORD) => {
            return (R::Review, "the program only looks, but a person must say what its words may be", None);
        }
        known => known,
    };
    let odd = |w: &&str| [PATH, OPTION, MORE, "--"].contains(w);
    if words.iter().any(odd) {
        return (R::Review, "a person must say which paths or options it may have", None);
    }
    match plugin(&words, level) {
        Some(text) if level == R::AddAuto => {
            (level, "the program is known to look only, and no plugin lists it", Some(text))
        }
        Some(text) => (level, "the program is known to change state, and no plugin lists it", Some(text)),
        None => (R::Review, "no form could be written for it", None),
    }
}

/// A plugin file with one form that has just this shape; `None` unless it reads and does what it says.
fn plugin(words: &[&str], level: Recommendation) -> Option<String> {
    // Whatever is not known to look only needs a person each time.
    let level = if level == Recommendation::AddAuto { "auto" } else { "manual" };
    let (name, rest) = words.split_first()?;
    let (mut items, mut options, mut example) = (Vec::new(), Vec::new(), vec![*name]);
    for word in rest {
        match *word {
            NUMBER => {
                items.push("{int:0..4194304}".to_owned());
                example.push("2");
            }
            WORD => {
                // A run of words is one placeholder; such a form is never auto (see `advise`).
                items.push("{name}+".to_owned());
                example.push("example");
            }
            long if long.starts_with("--") => {
                options.push(long.to_owned());
                example.push(long);
            }
            short if short.starts_with('-') => {
                options.extend(short.chars().skip(1).map(|c| format!("-{c}")));
                example.push(short);
            }
            fixed => {
                items.push(fixed.to_owned());
                example.push(fixed);
            }
        }
    }
    options.sort_unstable();
    options.dedup();
    let stem: String = words
        .join("-")
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(48)
        .collect();
    let list = |all: &[String]| all.iter().map(|w| format!("{w:?}")).collect::<Vec<_>>().join(", ");
    let line = example.join(" ");
    let text = format!(
        "# Suggested from blocked commands: {}\n# Not in force. Review every word, add the values that options take, then deploy.\n\
         name = \"local-{stem}\"\ntitle = \"Commands of this organisation: {name}\"\ncategory = \"local\"\n\n\
         [[command]]\nname = \"{name}\"\n\n[[command.form]]\nname = \"suggested\"\nlevel = \"{level}\"\n\
         words = [{}]\noptions = [{}]\nexamples = [{line:?}]\ncounter_examples = [{:?}]\n",
        words.join(" "),
        list(&items),
        list(&options),
        format!("{line} --not-listed"),
    );
    Plugin::parse("suggested.toml", &text).ok()?;
    let with = Catalogue::with_plugins([("suggested.toml".to_owned(), text.clone())]).ok()?;
    with.check_examples().is_empty().then_some(text)
}

#[cfg(test)]
mod tests;
