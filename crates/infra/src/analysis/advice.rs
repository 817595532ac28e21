//! What one command of a shell program would do, and what to send instead.

use policy::{Catalogue, Level, Risk, lex};
use tree_sitter::Node;

use super::shell::{Found, PartKind, clip, text};
use super::{Recommendation, advise, bare, is_change, is_never, similar};

/// Programs that only filter what they are given, unless an option says more.
const FILTERS: &[&str] = &[
    "cat", "column", "cut", "egrep", "fgrep", "grep", "head", "nl", "rev", "sort", "tac", "tail", "tr",
    "uniq", "wc",
];
/// Programs that run what they read.
const READS_PROGRAMS: &[&str] = &[
    "sh", "bash", "dash", "zsh", "ksh", "fish", "csh", "tcsh", "python", "python3", "perl", "ruby", "node",
    "php", "lua", "tclsh",
];
/// Programs that run the command that stands behind their name.
const CARRIERS: &[&str] = &[
    "command", "doas", "exec", "nice", "nohup", "setsid", "stdbuf", "sudo", "time", "timeout", "watch",
    "xargs",
];

/// Where a command stands.
struct Place<'a> {
    /// The member before it in a pipeline.
    before: Option<&'a str>,
    /// The member behind it.
    after: Option<&'a str>,
}

/// A command, judged as if it were sent alone.
pub(super) fn command(catalogue: &Catalogue, line: &str, node: Node<'_>) -> Found {
    let place = place(line, node);
    let alone = alone(line, node);
    let judged = catalogue.judge(&alone);
    let words = lex::lex(&alone).ok().map(|w| w.to_vec());
    let name = words
        .as_ref()
        .map_or_else(|| node.child_by_field_name("name").map_or("", |n| text(line, n)), |w| w[0].as_str());
    let filters = place.before.is_some() && words.as_ref().is_some_and(|w| only_filters(w));
    let reads = |w: &str| READS_PROGRAMS.contains(&bare(w));
    let behind = |w: &Vec<String>| CARRIERS.contains(&bare(name)) && w[1..].iter().any(|w| reads(w));
    let fed = place.before.is_some() && (reads(name) || words.as_ref().is_some_and(behind));
    let risk = match judged.verdict {
        _ if fed || is_never(name) => Risk::Critical,
        _ if filters => Risk::Low,
        Level::Auto | Level::Manual => judged.risk,
        Level::Blocked => advise(words.as_ref().map(|w| w[0].as_str()), catalogue, judged.risk).1,
    };
    let suggestion = suggestion(catalogue, &place, &alone, words.as_deref(), judged.verdict);
    Found {
        text: text(line, node).to_owned(),
        kind: if place.before.or(place.after).is_some() {
            PartKind::PipelineMember
        } else {
            PartKind::Command
        },
        would: would(name, &place, words.is_none(), judged.verdict, filters, fed),
        verdict: judged.verdict.as_str(),
        reason: judged.reason,
        risk,
        suggestion,
    }
}

/// The words of a command without assignments and redirections.
fn alone(line: &str, node: Node<'_>) -> String {
    let mut cursor = node.walk();
    let words = node.children(&mut cursor).filter(|c| {
        c.is_named() && !["variable_assignment", "file_redirect", "herestring_redirect"].contains(&c.kind())
    });
    words.map(|w| text(line, w)).collect::<Vec<_>>().join(" ")
}

fn place<'a>(line: &'a str, node: Node<'_>) -> Place<'a> {
    let mut member = node;
    while let Some(parent) = member.parent().filter(|p| p.kind() == "redirected_statement") {
        member = parent;
    }
    if member.parent().is_none_or(|p| p.kind() != "pipeline") {
        return Place { before: None, after: None };
    }
    Place {
        before: member.prev_named_sibling().map(|n| text(line, n)),
        after: member.next_named_sibling().map(|n| text(line, n)),
    }
}

/// Whether a filter has no option that writes or runs.
fn only_filters(words: &[String]) -> bool {
    let name = words[0].as_str();
    // `sort -o FILE` and `uniq IN OUT` write, `sort --compress-program` runs.
    let harmless = |w: &String| match name {
        "sort" => !w.starts_with('-') || !(w.starts_with("--") || w.contains(['o', 'T', 'S'])),
        "uniq" => w.starts_with('-'),
        _ => true,
    };
    FILTERS.contains(&name) && words[1..].iter().all(harmless)
}

fn would(name: &str, place: &Place<'_>, expands: bool, verdict: Level, filters: bool, fed: bool) -> String {
    let shown = clip(name, 40);
    let before = place.before.map(|b| clip(b, 60));
    match before {
        Some(before) if fed => return format!("runs the output of `{before}` as a program, by `{shown}`"),
        Some(before) if filters => return format!("filters the output of `{before}` by `{shown}`"),
        _ => {}
    }
    let mut said = format!("runs `{shown}`");
    if verdict == Level::Auto {
        said.push_str(", which only looks");
    } else if CARRIERS.contains(&bare(name)) {
        said.push_str(", which runs the command behind it");
    } else if is_never(name) {
        said.push_str(", which can run other programs, give rights away, move data or lose it");
    } else if is_change(name) {
        said.push_str(", which can change the machine");
    }
    if expands {
        said.push_str(", with words that a shell would have to make");
    }
    if let Some(before) = before {
        said.push_str(&format!(", on the output of `{before}`"));
    }
    said
}

fn suggestion(
    catalogue: &Catalogue,
    place: &Place<'_>,
    alone: &str,
    words: Option<&[String]>,
    verdict: Level,
) -> Option<String> {
    let Some(words) = words else {
        return Some("write its words out: no pattern, variable or substitution is expanded".to_owned());
    };
    let name = words[0].as_str();
    if let Some(before) = place.before {
        if READS_PROGRAMS.contains(&bare(name)) {
            return Some("nothing runs text that came from elsewhere".to_owned());
        }
        if let Some(one) = merged(catalogue, before, words) {
            return Some(format!("send `{one}` instead of the two"));
        }
        if let Some(then) = leave_out(name) {
            return Some(then.to_owned());
        }
    }
    if name == "cd" || name == "pushd" {
        return Some("name the whole path in the command".to_owned());
    }
    match verdict {
        Level::Auto if place.after.is_some() => Some(format!("send `{alone}` alone and filter the answer")),
        Level::Auto => Some(format!("send `{alone}` alone")),
        Level::Manual => Some(format!("propose `{alone}` alone: propose_pra_action with `command`")),
        Level::Blocked => carried(catalogue, words).or_else(|| {
            let near = similar(catalogue, alone, Some(name));
            let listed = advise(Some(name), catalogue, Risk::High).0 == Recommendation::Review;
            near.first().filter(|_| listed).map(|one| format!("permitted and like it: `{one}`"))
        }),
    }
}

/// The command behind `sudo` and its like, if it is permitted.
fn carried(catalogue: &Catalogue, words: &[String]) -> Option<String> {
    if !CARRIERS.contains(&bare(&words[0])) {
        return None;
    }
    let rest = words.get(1..).filter(|r| !r.is_empty())?;
    let inner = lex::quote(rest);
    match catalogue.judge(&inner).verdict {
        Level::Auto => Some(format!("leave `{}` out: send `{inner}` alone", words[0])),
        Level::Manual => Some(format!("leave `{}` out: propose `{inner}` with propose_pra_action", words[0])),
        Level::Blocked => None,
    }
}

fn leave_out(filter: &str) -> Option<&'static str> {
    Some(match filter {
        "grep" | "egrep" | "fgrep" => {
            "leave it out and look for the pattern in the answer; fetch_logs searches logs itself"
        }
        "head" | "tail" | "less" | "more" => "leave it out: an answer is capped, and says when it is cut",
        "wc" => "leave it out and count in the answer",
        "sort" | "uniq" | "cut" | "awk" | "sed" | "tr" | "column" | "cat" | "jq" | "nl" | "tac" | "rev" => {
            "leave it out and work on the answer"
        }
        "tee" => "leave it out: the output comes back with the answer, and nothing may be written",
        "xargs" => "send the command before it, then one call for each word of its answer",
        _ => return None,
    })
}

/// One permitted command that gives what two members of a pipeline would: tried, never guessed.
fn merged(catalogue: &Catalogue, before: &str, filter: &[String]) -> Option<String> {
    let first = lex::lex(before).ok()?;
    let (name, rest) = filter.split_first()?;
    let mut words: Vec<String>;
    if first[0] == "cat" && first.len() == 2 && !first[1].starts_with('-') {
        words = filter.to_vec();
        words.push(first[1].clone());
    } else {
        words = first.to_vec();
        match (name.as_str(), rest, first[0].as_str()) {
            ("grep", [pattern], "journalctl") if !pattern.starts_with('-') => {
                words.extend(["-g".to_owned(), pattern.clone()]);
            }
            ("tail", [n, lines], "journalctl" | "docker" | "podman") if n == "-n" && has_no_count(&first) => {
                let option = if first[0] == "journalctl" { "-n" } else { "--tail" };
                let at = if first[0] == "journalctl" { words.len() } else { 2.min(words.len()) };
                words.splice(at..at, [option.to_owned(), lines.clone()]);
            }
            _ => return None,
        }
    }
    let line = lex::quote(&words);
    (catalogue.judge(&line).verdict == Level::Auto).then_some(line)
}

fn has_no_count(words: &[String]) -> bool {
    !words.iter().any(|w| w.starts_with("-n") || w.starts_with("--lines") || w.starts_with("--tail"))
}
