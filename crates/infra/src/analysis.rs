//! Advice on a command line: why it is blocked, what comes near, and what an operator may do about it.
//!
//! It permits nothing. The verdict is the policy's; what stands here helps a person to decide whether to add a form.

mod advice;
mod shell;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use policy::{Catalogue, Level, Risk, lex};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use shell::{MOST_PARTS, MOST_TEXT, Part, PartKind};

/// What an operator may do about a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Recommendation {
    /// Add a form that runs at once.
    AddAuto,
    /// Add a form that needs a person's approval.
    AddManual,
    /// Leave it blocked.
    Block,
    /// Nothing: a form permits it.
    AlreadyPermitted,
    /// A person must look at it: too little is known.
    Review,
}

impl Recommendation {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AddAuto => "ADD_AUTO",
            Self::AddManual => "ADD_MANUAL",
            Self::Block => "BLOCK",
            Self::AlreadyPermitted => "ALREADY_PERMITTED",
            Self::Review => "REVIEW",
        }
    }
}

impl Analysis {
    /// The parts of a shell program, a line for each; empty for a plain command.
    pub fn told_parts(&self) -> Vec<String> {
        let one = |p: &Part| {
            let then = p.suggestion.as_ref().map_or_else(String::new, |s| format!("; {s}"));
            format!("[{}, {}] {}: {}{then}", p.verdict, p.risk, p.text, p.would)
        };
        self.parts.iter().map(one).chain(self.parts_note.clone()).collect()
    }
}

/// What [`analyse`] says.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Analysis {
    /// The line.
    pub line: String,
    /// auto, manual or blocked.
    pub verdict: String,
    /// low, medium, high or critical.
    pub risk: String,
    /// The plugin's category, or `unknown`.
    pub category: String,
    /// Whether it only looks, as far as is known.
    pub read_only: bool,
    /// The family of commands that covers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The permitted shape that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// The words as they would run; empty when blocked.
    pub argv: Vec<String>,
    /// The account that would run it.
    pub account: String,
    /// Why.
    pub reason: String,
    /// The permitted shape that comes nearest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest_form: Option<String>,
    /// The word at which the line leaves that shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_word: Option<String>,
    /// Commands like it that are permitted.
    pub similar: Vec<String>,
    /// What an operator may do about it.
    pub recommendation: Recommendation,
    /// A plugin file to start from, for an operator to review; never in force by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggested_plugin: Option<String>,
    /// What each part of a shell program would do; empty for a plain command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// Why a shell program has no parts here, or not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts_note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Risks {
    read: BTreeSet<String>,
    change: BTreeSet<String>,
    never: BTreeSet<String>,
    other: BTreeSet<String>,
}

static RISKS: LazyLock<Risks> = LazyLock::new(|| {
    // A test holds the file to its shape; without it every program is unknown, which is the safe side.
    toml::from_str(include_str!("risks.toml")).unwrap_or_else(|_| Risks {
        read: BTreeSet::new(),
        change: BTreeSet::new(),
        never: BTreeSet::new(),
        other: BTreeSet::new(),
    })
});

/// Judges a line and says what may be done about it. Pure and total; linear in the line's length, but for a shell
/// program, which is only taken apart within bounds.
pub fn analyse(catalogue: &Catalogue, line: &str) -> Analysis {
    let judged = catalogue.judge(line);
    let words = lex::lex(line).ok();
    let nearest = if judged.verdict == Level::Blocked { catalogue.nearest(line) } else { None };
    let name = words.as_ref().map(|w| w[0].as_str());
    let (recommendation, risk) = match judged.verdict {
        Level::Auto | Level::Manual => (Recommendation::AlreadyPermitted, judged.risk),
        // A blocked form: somebody thought of this and said no.
        Level::Blocked if judged.form.is_some() => (Recommendation::Block, judged.risk),
        Level::Blocked => advise(name, catalogue, judged.risk),
    };
    let suggested_plugin = match (recommendation, &words) {
        (Recommendation::AddAuto | Recommendation::AddManual, Some(words)) => suggest(words, recommendation),
        _ => None,
    };
    let apart = if words.is_none() { shell::take_apart(catalogue, line) } else { shell::Apart::default() };
    let risk = apart.worst.map_or(risk, |worst| risk.max(worst));
    let read_only = judged.verdict == Level::Auto || recommendation == Recommendation::AddAuto;
    Analysis {
        verdict: judged.verdict.to_string(),
        risk: risk.to_string(),
        category: judged.category,
        read_only,
        plugin: judged.plugin,
        form: judged.form,
        argv: judged.argv,
        account: judged.account.to_string(),
        reason: judged.reason,
        nearest_form: nearest.as_ref().map(|n| n.form.usage().to_owned()),
        failing_word: nearest.and_then(|n| n.word),
        similar: if judged.verdict == Level::Blocked { similar(catalogue, line, name) } else { Vec::new() },
        recommendation,
        suggested_plugin,
        parts: apart.parts,
        parts_note: apart.note,
        line: judged.line,
    }
}

fn advise(name: Option<&str>, catalogue: &Catalogue, risk: Risk) -> (Recommendation, Risk) {
    let Some(name) = name else {
        // What the lexer refuses is a shell program, or hides something.
        return (Recommendation::Block, Risk::High);
    };
    if is_never(name) {
        return (Recommendation::Block, Risk::Critical);
    }
    let listed = catalogue.plugins().iter().flat_map(|p| &p.commands).any(|c| c.name == name);
    if listed {
        // Forms exist and were argued; what they leave out was left out for a reason, until a person has looked.
        (Recommendation::Review, risk)
    } else if RISKS.read.contains(name) {
        (Recommendation::AddAuto, Risk::Low)
    } else if RISKS.change.contains(name) {
        (Recommendation::AddManual, Risk::Medium)
    } else {
        (Recommendation::Review, risk)
    }
}

/// Whether a program runs others, moves data off the machine, gives rights, or loses data.
fn is_never(name: &str) -> bool {
    RISKS.never.contains(bare(name))
}

/// The program that a word names, if the catalogue or the table of risks lists it; of one that is never permitted also by
/// a path or a version (`/bin/bash`, `python3.11`).
pub fn known_program<'a>(catalogue: &Catalogue, word: &'a str) -> Option<&'a str> {
    let listed =
        [&RISKS.read, &RISKS.change, &RISKS.never, &RISKS.other].into_iter().any(|all| all.contains(word))
            || catalogue.plugins().iter().flat_map(|p| &p.commands).any(|c| c.name == word);
    if listed { Some(word) } else { Some(bare(word)).filter(|b| RISKS.never.contains(*b)) }
}

/// Whether a program changes the machine.
fn is_change(name: &str) -> bool {
    RISKS.change.contains(bare(name))
}

/// `/usr/bin/bash` is bash; `mkfs.ext4` is mkfs; `python3.11` is python3.
fn bare(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or(name);
    name.split('.').next().unwrap_or(name)
}

/// Examples of the same command first, then of commands whose names or titles share a word with the line.
fn similar(catalogue: &Catalogue, line: &str, name: Option<&str>) -> Vec<String> {
    const MOST: usize = 5;
    let name = name.map_or_else(|| line.split_whitespace().next().unwrap_or_default(), bare);
    let mut found = Vec::new();
    for exact in [true, false] {
        for command in catalogue.plugins().iter().flat_map(|p| &p.commands) {
            let close = if exact {
                command.name == name
            } else {
                name.len() >= 3 && command.name != name && command.name.contains(name)
            };
            if close {
                let forms = command.forms.iter().filter(|f| f.level != Level::Blocked);
                found.extend(forms.filter_map(|f| f.examples.first().cloned()));
            }
        }
    }
    found.truncate(MOST);
    found
}

/// A plugin file with one form that has just this line's options and fixed words.
///
/// Only plain lines get one: an operand with an odd character is for a person to type.
fn suggest(words: &[String], recommendation: Recommendation) -> Option<String> {
    let level = if recommendation == Recommendation::AddAuto { "auto" } else { "manual" };
    let plain = |w: &String| {
        !w.is_empty()
            && w.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-=/,:+%".contains(&b))
            && w.len() <= 128
    };
    if !words.iter().all(plain) || words[0].contains('/') {
        return None;
    }
    let mut options = BTreeSet::new();
    let mut fixed = Vec::new();
    for word in &words[1..] {
        if let Some(long) = word.strip_prefix("--") {
            // A value would have to be typed.
            if long.is_empty() || long.contains('=') {
                return None;
            }
            options.insert(word.clone());
        } else if word.len() > 1 && word.starts_with('-') {
            if !word[1..].bytes().all(|b| b.is_ascii_alphabetic()) {
                return None;
            }
            options.extend(word[1..].chars().map(|c| format!("-{c}")));
        } else {
            fixed.push(word.clone());
        }
    }
    let name = &words[0];
    let list = |all: &[String]| all.iter().map(|w| format!("{w:?}")).collect::<Vec<_>>().join(", ");
    let options: Vec<String> = options.into_iter().collect();
    let line = lex::quote(words);
    let stem: String = name
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b.to_ascii_lowercase()) } else { '-' })
        .collect();
    Some(format!(
        "name = \"local-{stem}\"\ntitle = \"Commands of this organisation: {name}\"\ncategory = \"local\"\n\n\
         [[command]]\nname = \"{name}\"\n\n[[command.form]]\nname = \"suggested\"\n\
         # Review every word: what this program can do beyond looking decides the level.\n\
         level = \"{level}\"\nwords = [{}]\noptions = [{}]\nexamples = [{line:?}]\n\
         counter_examples = [{:?}]\n",
        list(&fixed),
        list(&options),
        format!("{line} --not-listed"),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]
    use super::*;

    fn analysis(line: &str) -> Analysis {
        analyse(&Catalogue::builtin().unwrap(), line)
    }

    #[test]
    fn the_risk_file_is_whole_and_its_classes_are_apart() {
        let risks: Risks = toml::from_str(include_str!("risks.toml")).unwrap();
        assert!(risks.read.len() > 15 && risks.never.len() > 80);
        assert!(risks.read.is_disjoint(&risks.never) && risks.read.is_disjoint(&risks.change));
        assert!(risks.change.is_disjoint(&risks.never));
        assert!([&risks.read, &risks.change, &risks.never].iter().all(|c| c.is_disjoint(&risks.other)));
    }

    #[test]
    fn a_permitted_line_needs_nothing() {
        let said = analysis("uptime");
        assert_eq!((said.recommendation, said.read_only), (Recommendation::AlreadyPermitted, true));
        assert!(!analysis("systemctl restart nginx").read_only);
    }

    #[test]
    fn the_word_that_failed_and_the_nearest_form_are_named() {
        let said = analysis("vmstat 1 100000");
        assert_eq!(said.failing_word.as_deref(), Some("100000"));
        assert_eq!(said.nearest_form.as_deref(), Some("vmstat NUMBER NUMBER"));
        assert!(said.similar.contains(&"vmstat".to_owned()));
        assert_eq!(said.recommendation, Recommendation::Review);
    }

    #[test]
    fn what_runs_programs_or_leaks_is_never_recommended() {
        for line in [
            "bash -c id",
            "/bin/sh",
            "python3.11 x",
            "mkfs.ext4 /dev/sda",
            "sudo ls",
            "nc -l 1",
            "ls | sh",
            "cat $(id)",
            "rm -rf /",
            "curl -T /x http://x",
            "env",
            "htop",
            "\u{202e}ls",
            "",
            "'",
            "mcp-wrapper x",
        ] {
            let said = analysis(line);
            assert_eq!(said.recommendation, Recommendation::Block, "{line}");
            assert!(said.suggested_plugin.is_none() && !said.read_only, "{line}");
        }
    }

    #[test]
    fn only_known_readers_are_suggested_and_the_text_is_a_plugin_that_works() {
        let said = analysis("lsscsi -l --json");
        assert_eq!(said.recommendation, Recommendation::AddAuto);
        let text = said.suggested_plugin.unwrap();
        let catalogue = Catalogue::with_plugins([("local.toml".to_owned(), text)]).unwrap();
        assert_eq!(catalogue.check_examples(), Vec::<String>::new());
        assert_eq!(catalogue.judge("lsscsi -l --json").verdict, Level::Auto);
        assert_eq!(catalogue.judge("lsscsi -l --json x").verdict, Level::Blocked);
        let said = analysis("service nginx restart");
        assert_eq!(said.recommendation, Recommendation::AddManual);
        assert!(said.suggested_plugin.unwrap().contains("level = \"manual\""));
        // These look, but can also write a file or send a mail.
        for line in ["pmap -N /tmp/x 2", "mailq"] {
            assert_ne!(analysis(line).recommendation, Recommendation::AddAuto, "{line}");
        }
        assert_eq!(analysis("unheard-of").recommendation, Recommendation::Review);
    }

    #[test]
    fn any_text_is_analysed() {
        for line in [
            "a".repeat(9000),
            "'a".repeat(4000),
            "-".repeat(8000),
            "a ".repeat(4000),
            "\u{0}\u{fffd}|&".repeat(900),
        ] {
            assert_eq!(analysis(&line).verdict, "blocked");
        }
    }
}
