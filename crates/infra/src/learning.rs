//! Learning from blocked commands: the shape of a line, and what an operator may do about shapes that come often.
//!
//! It permits nothing. Any word may be a secret that somebody put in an odd place, so a shape holds only words of fixed
//! lists: programs that the catalogue or the table of risks names, names of options that the catalogue or a list here
//! names, letters of a cluster that the command's own forms list as flags, and subcommands of a list. Everything else is a
//! placeholder. What is advised is what [`analysis`] advises for the program, narrowed here; only an operator who deploys a
//! plugin file changes the policy.

use policy::{Catalogue, Plugin, lex};
use schemars::JsonSchema;
use serde::Serialize;

use crate::analysis::{self, Recommendation};
use crate::hosts::hygiene;
use crate::store::{BlockedCommand, Decision};

/// What stands for a line that only a shell could read.
const SHELL: &str = "(shell syntax)";
/// What stands for a line whose program is in no list: its name may be a secret.
const UNKNOWN: &str = "(unknown program)";
/// What stands for the words behind the [`MOST_WORDS`]th.
const MORE: &str = "MORE";
/// The most words of a shape: longer lines are no form that one would add.
const MOST_WORDS: usize = 16;

const PATH: &str = "PATH";
const NUMBER: &str = "NUMBER";
const WORD: &str = "WORD";
const OPTION: &str = "--OPTION";
/// Behind a short option: what is attached to it.
const VALUE: &str = "VALUE";

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

/// The shape of a line.
pub fn shape(catalogue: &Catalogue, line: &str) -> String {
    seen(catalogue, line).shape
}

/// What may be kept of a blocked line. Pure, total, linear in the line's length.
pub fn seen(catalogue: &Catalogue, line: &str) -> Seen {
    let only = |shape: &str, command: &str| Seen {
        shape: shape.to_owned(),
        command: command.to_owned(),
        example: shape.to_owned(),
    };
    let Ok(words) = lex::lex(line) else {
        let first = line.split_whitespace().next().unwrap_or_default();
        let name = analysis::known_program(catalogue, first).unwrap_or_default();
        return only(format!("{SHELL} {name}").trim_end(), name);
    };
    let Some(program) = analysis::known_program(catalogue, &words[0]) else {
        return only(UNKNOWN, "");
    };
    let mut shape = vec![program.to_owned()];
    let mut example = shape.clone();
    let mut options_end = false;
    for (index, word) in words[1..].iter().enumerate() {
        if shape.len() >= MOST_WORDS {
            shape.push(MORE.to_owned());
            example.push(MORE.to_owned());
            break;
        }
        let (kept, shown) = if !options_end && word == "--" {
            options_end = true;
            (word.clone(), word.clone())
        } else if let Some(name) = option(catalogue, program, word).filter(|_| !options_end) {
            (name.clone(), name)
        } else if index == 0 && is_verb(word) {
            (word.clone(), word.clone())
        } else {
            let class = class(word);
            (class.to_owned(), if class == PATH { folder(word) } else { class.to_owned() })
        };
        if shape.last() != Some(&kept) || !is_placeholder(&kept) {
            shape.push(kept);
        }
        example.push(shown);
    }
    let example = hygiene::clean(example.join(" ").as_bytes()).text;
    Seen { shape: shape.join(" "), command: program.to_owned(), example }
}

/// What stands for a word that may be anything.
fn class(word: &str) -> &'static str {
    if word.starts_with('/') {
        PATH
    } else if !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()) {
        NUMBER
    } else {
        WORD
    }
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

/// Long options that many programs share, beside those that the catalogue lists.
const LONG: &[&str] = &[
    "all",
    "color",
    "config",
    "count",
    "debug",
    "delete",
    "dry-run",
    "file",
    "filter",
    "follow",
    "force",
    "format",
    "full",
    "help",
    "host",
    "human-readable",
    "json",
    "key",
    "limit",
    "lines",
    "list",
    "long",
    "name",
    "no-pager",
    "not-listed",
    "output",
    "pass",
    "passwd",
    "password",
    "path",
    "port",
    "quiet",
    "recursive",
    "secret",
    "size",
    "sort",
    "tail",
    "time",
    "timeout",
    "token",
    "type",
    "user",
    "verbose",
    "version",
    "yes",
];

/// The name of an option with the class of its value, if it has one: `--lines=NUMBER`, `-nNUMBER`, `-pVALUE`.
fn option(catalogue: &Catalogue, program: &str, word: &str) -> Option<String> {
    let forms = || catalogue.plugins().iter().flat_map(|p| &p.commands).flat_map(|c| &c.forms);
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
        let listed = |o: &str| o.strip_prefix("--") == Some(name);
        if !LONG.contains(&name) && !forms().any(|f| f.options().any(|(o, _)| listed(o))) {
            return Some(OPTION.to_owned());
        }
        return Some(value.map_or_else(|| format!("--{name}"), |v| format!("--{name}={}", class(v))));
    }
    let short = word.strip_prefix('-')?;
    let first = short.chars().next().filter(char::is_ascii_alphabetic)?;
    let rest = &short[1..];
    let own = |name: &str, flag: bool| {
        let is = |(o, alone): (&str, bool)| o == name && (alone || !flag);
        forms().filter(|f| f.command == program).any(|f| f.options().any(is))
    };
    // `-la` is two flags only if this program has them; in `-n5` and `-psecret` a value is attached to the first letter.
    if rest.is_empty() || own(word, false) || short.chars().all(|c| own(&format!("-{c}"), true)) {
        return Some(word.to_owned());
    }
    Some(format!("-{first}{}", if class(rest) == NUMBER { NUMBER } else { VALUE }))
}

/// Folders that every system has.
const FOLDERS: &[&str] = &[
    "bin", "boot", "cache", "dev", "etc", "home", "lib", "local", "log", "media", "mnt", "opt", "proc",
    "root", "run", "sbin", "share", "spool", "srv", "sys", "systemd", "tmp", "usr", "var",
];

/// `/var/log/…` of a path: at most two folders, and only such as every system has.
fn folder(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let folders = parts.split_last().map_or(&[][..], |(_, folders)| folders);
    let kept: String =
        folders.iter().take(2).take_while(|p| FOLDERS.contains(p)).map(|p| format!("/{p}")).collect();
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
/// A shape that a person dismissed is not suggested any more.
pub fn suggestions(catalogue: &Catalogue, rows: Vec<BlockedCommand>) -> Vec<Suggestion> {
    let dismissed =
        |row: &BlockedCommand| row.decided.as_ref().is_some_and(|d| d.decision == Decision::Dismissed);
    rows.into_iter().filter(|row| !dismissed(row)).map(|row| suggestion(catalogue, row)).collect()
}

/// What accepting a shape gives; it is not in force before an operator deploys it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptable {
    /// `auto` or `manual`.
    pub level: &'static str,
    /// A plugin file to review.
    pub file: String,
}

/// What accepting a shape gives.
///
/// Errors: nothing is suggested for it, and why.
pub fn acceptable(said: Suggestion) -> Result<Acceptable, String> {
    let level = match said.recommended {
        Recommendation::AddAuto => "auto",
        Recommendation::AddManual => "manual",
        other => {
            return Err(format!("{:?} is {}, nothing is written: {}", said.shape, other.as_str(), said.why));
        }
    };
    let file = said.suggested_plugin.ok_or("no form could be written for it")?;
    Ok(Acceptable { level, file })
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
    if shape.starts_with(UNKNOWN) {
        return (R::Review, "its name is in no list and is not kept: the audit log has the lines", None);
    }
    let words: Vec<&str> = shape.split(' ').collect();
    // The class of a word, or of the value that is part of an option.
    let has = |class: &str| words.iter().any(|w| w.rsplit('=').next() == Some(class));
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
        R::AddAuto if has(WORD) => {
            return (R::Review, "the program only looks, but a person must say what its words may be", None);
        }
        known => known,
    };
    let attached = words.iter().any(|w| w.starts_with('-') && w.ends_with(VALUE));
    if attached || [PATH, OPTION, MORE, "--"].into_iter().any(has) {
        return (R::Review, "a person must say which paths, options or values it may have", None);
    }
    match plugin(&words, level) {
        Some(text) if level == R::AddAuto => {
            (level, "the program is known to look only, and no plugin lists it", Some(text))
        }
        Some(text) => (level, "the program is known to change state, and no plugin lists it", Some(text)),
        None => (R::Review, "no form could be written for it", None),
    }
}

/// Numbers that are counts, sizes or process ids.
const ANY_INT: &str = "{int:0..4194304}";

/// How a form lists an option of a shape, and an example of it. A value is typed by its class; paths do not come here.
fn option_specs(option: &str) -> (Vec<String>, String) {
    if let Some(letter) = option.strip_suffix(NUMBER).filter(|o| !o.starts_with("--")) {
        return (vec![format!("{letter} {ANY_INT}")], format!("{letter}2"));
    }
    match option.split_once('=') {
        Some((name, NUMBER)) => (vec![format!("{name} {ANY_INT}")], format!("{name}=2")),
        Some((name, _)) => (vec![format!("{name} {{name}}")], format!("{name}=example")),
        None if option.starts_with("--") => (vec![option.to_owned()], option.to_owned()),
        None => (option.chars().skip(1).map(|c| format!("-{c}")).collect(), option.to_owned()),
    }
}

/// A plugin file with one form that has just this shape; `None` unless it reads and does what it says.
fn plugin(words: &[&str], level: Recommendation) -> Option<String> {
    // Whatever is not known to look only needs a person each time.
    let level = if level == Recommendation::AddAuto { "auto" } else { "manual" };
    let (name, rest) = words.split_first()?;
    let (mut items, mut options, mut example) = (Vec::new(), Vec::new(), vec![(*name).to_owned()]);
    for word in rest {
        match *word {
            NUMBER => {
                items.push(ANY_INT.to_owned());
                example.push("2".to_owned());
            }
            WORD => {
                // A run of words is one placeholder; such a form is never auto (see `advise`).
                items.push("{name}+".to_owned());
                example.push("example".to_owned());
            }
            option if option.starts_with('-') => {
                let (specs, shown) = option_specs(option);
                options.extend(specs);
                example.push(shown);
            }
            fixed => {
                items.push(fixed.to_owned());
                example.push(fixed.to_owned());
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
        "# Suggested from blocked commands: {}\n# Not in force. Review every word, narrow the values that options and operands take, then deploy.\n\
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
