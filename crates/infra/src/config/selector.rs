//! Which hosts: `web01`, `group:web`, `tag:prod`, `all`, joined by `,` (or), `&` (and) and `!` (not). Pure.
//!
//! `!` binds closest, then `&`, then `,`: `web01,group:db&!tag:old` is web01, and every host of the group db without the tag old. A
//! name that does not exist is an error, also behind a `!`: a slip of the pen must not select more than was meant.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use super::foreign::is_word;
use super::inventory::{Host, HostName, Inventory};

/// The most bytes of a selector.
const MAX_BYTES: usize = 1_024;
/// How many names a message lists at most.
const SHOWN: usize = 20;

/// A selector that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// Any of these, in each of them all.
    ways: Vec<Vec<Term>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    not: bool,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    All,
    Name(HostName),
    Group(String),
    Tag(String),
}

/// What is wrong with a selector, with what there is instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// It cannot be read.
    #[error(
        "{0}; a selector is made of host names, group:NAME, tag:NAME and all, with ',' for or, '&' for and, '!' for not"
    )]
    Malformed(String),
    /// It names what does not exist, or no host fits.
    #[error("{0}")]
    Nothing(String),
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        if text.len() > MAX_BYTES {
            return Err(SelectorError::Malformed(format!("the selector has more than {MAX_BYTES} bytes")));
        }
        let ways = text.split(',').map(|way| way.split('&').map(term).collect());
        Ok(Self { ways: ways.collect::<Result<_, _>>()? })
    }
}

fn term(text: &str) -> Result<Term, SelectorError> {
    let malformed = |cause: String| SelectorError::Malformed(cause);
    let text = text.trim();
    let (not, word) = match text.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    };
    let what = match word.split_once(':') {
        _ if word.is_empty() => return Err(malformed("a name is missing".to_owned())),
        None if word == "all" => What::All,
        None => What::Name(HostName::parse(word).map_err(malformed)?),
        Some(("group", name)) if is_word(name) => What::Group(name.to_owned()),
        Some(("tag", name)) if !name.is_empty() && name.len() <= 128 => What::Tag(name.to_owned()),
        Some(_) => return Err(malformed(format!("{word:?} is neither group:NAME nor tag:NAME"))),
    };
    Ok(Term { not, what })
}

impl What {
    fn holds(&self, host: &Host) -> bool {
        match self {
            Self::All => true,
            Self::Name(name) => host.name == *name,
            Self::Group(group) => host.groups.iter().any(|g| g == group),
            Self::Tag(tag) => host.tags.iter().any(|t| t == tag),
        }
    }
}

impl Selector {
    /// The hosts that it means, in the order of their names; at least one.
    pub fn select<'a>(&self, inventory: &'a Inventory) -> Result<Vec<&'a Host>, SelectorError> {
        let there = There { inventory, groups: inventory.groups(), tags: inventory.tags() };
        self.ways.iter().flatten().try_for_each(|term| there.has(&term.what))?;
        let fits = |host: &Host| {
            self.ways.iter().any(|way| way.iter().all(|term| term.what.holds(host) != term.not))
        };
        let chosen: Vec<&Host> = inventory.iter().filter(|host| fits(host)).collect();
        if chosen.is_empty() {
            return Err(SelectorError::Nothing(format!("no host fits the selector; {}", there.in_a_line())));
        }
        Ok(chosen)
    }
}

/// What an inventory has.
struct There<'a> {
    inventory: &'a Inventory,
    groups: BTreeMap<&'a str, usize>,
    tags: BTreeMap<&'a str, usize>,
}

impl There<'_> {
    fn has(&self, what: &What) -> Result<(), SelectorError> {
        let missing = match what {
            What::Name(name) if self.inventory.get(name.as_str()).is_none() => {
                format!("{name} is not in the inventory")
            }
            What::Group(name) if !self.groups.contains_key(name.as_str()) => {
                format!("there is no group {name}")
            }
            What::Tag(name) if !self.tags.contains_key(name.as_str()) => format!("there is no tag {name:?}"),
            _ => return Ok(()),
        };
        Err(SelectorError::Nothing(format!("{missing}; {}", self.in_a_line())))
    }

    fn in_a_line(&self) -> String {
        let hosts = self.inventory.iter().take(SHOWN).map(|h| h.name.as_str()).collect();
        let some = |word: &str, names: Vec<&str>, all: usize| {
            let more =
                if all > names.len() { format!(" and {} more", all - names.len()) } else { String::new() };
            (all > 0).then(|| format!("{word}: {}{more}", names.join(", ")))
        };
        let first = |counts: &BTreeMap<&str, usize>| {
            counts.keys().take(SHOWN).map(|k| (*k).to_owned()).collect::<Vec<_>>()
        };
        let (groups, tags) = (first(&self.groups), first(&self.tags));
        let parts = [
            some("groups", groups.iter().map(String::as_str).collect(), self.groups.len()),
            some("tags", tags.iter().map(String::as_str).collect(), self.tags.len()),
            some("hosts", hosts, self.inventory.len()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() {
            "the inventory is empty".to_owned()
        } else {
            format!("there are {}", parts.join("; "))
        }
    }
}

impl Inventory {
    /// The groups, with their numbers of hosts.
    pub fn groups(&self) -> BTreeMap<&str, usize> {
        count(self.iter().map(|h| &h.groups))
    }

    /// The tags, with their numbers of hosts.
    pub fn tags(&self) -> BTreeMap<&str, usize> {
        count(self.iter().map(|h| &h.tags))
    }
}

fn count<'a>(words: impl Iterator<Item = &'a Vec<String>>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for of_one in words {
        for word in of_one.iter().collect::<BTreeSet<_>>() {
            *counts.entry(word.as_str()).or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment};
    use proptest::prelude::*;

    fn inventory() -> Inventory {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.toml");
        let host = |name: &str, groups: &str, tags: &str| {
            format!("[[hosts]]\nname = \"{name}\"\ngroups = [{groups}]\ntags = [{tags}]\n")
        };
        let text = host("a", "\"web\"", "\"prod\"")
            + &host("b", "\"web\", \"db\"", "")
            + &host("c", "\"db\"", "\"prod\"");
        std::fs::write(&file, text).unwrap();
        Config::load(Some(&file), &Environment::from([("HOME", "/h")])).unwrap().inventory
    }

    fn names(selector: &str) -> Result<String, SelectorError> {
        let inventory = inventory();
        let chosen = selector.parse::<Selector>()?.select(&inventory)?;
        Ok(chosen.iter().map(|h| h.name.as_str()).collect())
    }

    #[test]
    fn or_and_not() {
        for (selector, expected) in [
            ("all", "abc"),
            ("a", "a"),
            (" a , c ", "ac"),
            ("group:web", "ab"),
            ("tag:prod", "ac"),
            ("group:web&group:db", "b"),
            ("group:web & !tag:prod", "b"),
            ("a,group:db&!tag:prod", "ab"),
            ("!a", "bc"),
            ("all&! b", "ac"),
            ("a,a,a", "a"),
        ] {
            assert_eq!(names(selector).unwrap(), expected, "{selector}");
        }
    }

    #[test]
    fn what_does_not_exist_is_an_error_that_says_what_does() {
        for selector in ["d", "group:nope", "tag:nope", "all&!group:nope", "a&c", "all&!all"] {
            let SelectorError::Nothing(message) = names(selector).unwrap_err() else {
                unreachable!("{selector}")
            };
            assert!(message.contains("groups: db, web") && message.contains("hosts: a, b, c"), "{message}");
        }
        for selector in
            ["", ",", "a,", "a&", "!", "!!a", "grp:web", "group:", "tag:", "a b", "-x", "group:a b"]
        {
            assert!(matches!(names(selector), Err(SelectorError::Malformed(_))), "{selector:?}");
        }
        assert!(matches!(names(&"a,".repeat(5_000)), Err(SelectorError::Malformed(_))));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_selects_only_what_is_there(text in "[abcd!,& :gtx]{0,30}|(!?(group:web|tag:prod|all|a|b|c)[,&]?){1,6}") {
            if let Ok(found) = names(&text) {
                prop_assert!(!found.is_empty() && found.len() <= 3);
            }
        }

        #[test]
        fn not_is_the_rest(which in prop::sample::select(vec!["a", "group:web", "tag:prod", "group:db"])) {
            let (with, without) = (names(which).unwrap(), names(&format!("!{which}")).unwrap());
            prop_assert_eq!(with.len() + without.len(), 3);
            prop_assert!(!with.chars().any(|c| without.contains(c)));
        }
    }
}
