//! What inventories of other programs say of hosts, brought into one shape. Pure.
//!
//! Each format has a file of its own that fills a [`Tree`]; the tree knows what a group, a child and a variable mean. Everything is
//! bounded, as a file may be made by a program, and nothing in it is evaluated.

use std::collections::{BTreeMap, BTreeSet};

use super::inventory::HostName;

/// The most bytes of one file.
pub(super) const MAX_BYTES: usize = 4 << 20;
/// The most hosts of one file.
pub(super) const MAX_HOSTS: usize = 10_000;
/// The most groups of one file.
const MAX_GROUPS: usize = 1_000;
/// The most places of hosts in groups of one file, those by way of children included.
const MAX_MEMBERSHIPS: usize = 200_000;

/// What is wrong, and in which line (1-based).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) cause: String,
}

impl Wrong {
    pub(super) fn at(line: usize, cause: impl Into<String>) -> Self {
        Self { line, cause: cause.into() }
    }
}

/// One host of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: HostName,
    /// Where it is first named.
    pub(super) line: usize,
    /// Where it says it is reached; its name when it says nothing.
    pub(super) address: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) groups: BTreeSet<String>,
}

/// The hosts of a file in the order of their names, and what of the file does not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) hosts: Vec<Listed>,
    /// By line.
    pub(super) warnings: Vec<(usize, String)>,
}

/// Groups and hosts as Ansible knows them.
#[derive(Debug, Default)]
pub(super) struct Tree {
    groups: BTreeMap<String, Group>,
    hosts: BTreeMap<String, Draft>,
    warnings: Vec<(usize, String)>,
}

#[derive(Debug, Default)]
struct Group {
    line: usize,
    children: BTreeSet<String>,
}

#[derive(Debug)]
struct Draft {
    line: usize,
    groups: BTreeSet<String>,
    address: Option<String>,
    port: Option<u16>,
    /// Why it cannot be reached from here.
    skipped: Option<(usize, String)>,
}

/// Groups that say nothing, as Ansible puts every host into one of them.
fn is_implicit(group: &str) -> bool {
    matches!(group, "all" | "ungrouped")
}

impl Tree {
    /// Names a group.
    pub(super) fn group(&mut self, name: &str, line: usize) -> Result<(), Wrong> {
        if self.groups.contains_key(name) {
            return Ok(());
        }
        if !is_word(name) {
            return Err(Wrong::at(
                line,
                format!("{} is no group: letters, digits, '.', '_' and '-' only, at most 128", shown(name)),
            ));
        }
        if self.groups.len() >= MAX_GROUPS {
            return Err(Wrong::at(line, format!("more than {MAX_GROUPS} groups")));
        }
        self.groups.insert(name.to_owned(), Group { line, children: BTreeSet::new() });
        Ok(())
    }

    /// Puts a group into another.
    pub(super) fn child(&mut self, parent: &str, child: &str, line: usize) -> Result<(), Wrong> {
        self.group(parent, line)?;
        self.group(child, line)?;
        if let Some(group) = self.groups.get_mut(parent) {
            group.children.insert(child.to_owned());
        }
        Ok(())
    }

    /// Whether the group was named.
    pub(super) fn has_group(&self, name: &str) -> bool {
        is_implicit(name) || self.groups.contains_key(name)
    }

    /// Names a host, by way of a group or of none.
    pub(super) fn host(&mut self, name: &str, group: Option<&str>, line: usize) -> Result<(), Wrong> {
        if let Some(group) = group {
            self.group(group, line)?;
        }
        if !self.hosts.contains_key(name) {
            HostName::parse(name).map_err(|cause| {
                Wrong::at(line, format!("{cause}; give it a name, and its address as ansible_host"))
            })?;
            if self.hosts.len() >= MAX_HOSTS {
                return Err(Wrong::at(line, format!("more than {MAX_HOSTS} hosts")));
            }
        }
        let draft = self.hosts.entry(name.to_owned()).or_insert_with(|| Draft {
            line,
            groups: BTreeSet::new(),
            address: None,
            port: None,
            skipped: None,
        });
        draft.groups.extend(group.map(str::to_owned));
        Ok(())
    }

    /// A variable of a host that was named; `None` is a value that is no text and no number. The last one counts, and what does not
    /// say how to reach the host is passed over.
    pub(super) fn variable(
        &mut self,
        host: &str,
        key: &str,
        value: Option<&str>,
        line: usize,
    ) -> Result<(), Wrong> {
        let Some(draft) = self.hosts.get_mut(host) else { return Ok(()) };
        match key {
            "ansible_host" | "ansible_ssh_host" => {
                draft.address = Some(address(host, key, value, line)?);
            }
            "ansible_port" | "ansible_ssh_port" => {
                draft.port =
                    Some(port(&format!("{key} of {host}"), value.unwrap_or("a list or an object"), line)?);
            }
            "ansible_connection" => {
                let way = value.unwrap_or("a list or an object");
                let name = way.rsplit('.').next().unwrap_or(way);
                draft.skipped = (!matches!(name, "ssh" | "smart" | "paramiko" | "paramiko_ssh")).then(|| {
                    (line, format!("{host} is left out: its connection is {}, not ssh", shown(way)))
                });
            }
            "ansible_ssh_args" | "ansible_ssh_common_args" | "ansible_ssh_extra_args"
                if value.is_some_and(names_a_jump) =>
            {
                draft.skipped = Some((
                    line,
                    format!("{host} is left out: {key} names a jump host, which is not supported"),
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// A variable of a group: not read, and worth a word where a host would be reached otherwise.
    pub(super) fn group_variable(&mut self, group: &str, key: &str, line: usize) {
        let counts = matches!(
            key,
            "ansible_host" | "ansible_ssh_host" | "ansible_port" | "ansible_ssh_port" | "ansible_connection"
        ) || (key.starts_with("ansible_ssh_") && key.ends_with("_args"));
        if counts {
            self.warn(
                line,
                format!(
                    "{key} of the group {} does not count: variables of groups are not read; `ansible-inventory --list` gives them \
                     to each host",
                    shown(group)
                ),
            );
        }
    }

    /// Notes what does not count.
    pub(super) fn warn(&mut self, line: usize, text: String) {
        self.warnings.push((line, text));
    }

    /// The hosts with all their groups, those that hold their groups included.
    pub(super) fn finish(mut self) -> Result<Listing, Wrong> {
        let above = self.above()?;
        let mut hosts = Vec::with_capacity(self.hosts.len());
        let mut memberships = 0;
        for (name, draft) in self.hosts {
            if let Some(warning) = draft.skipped {
                self.warnings.push(warning);
                continue;
            }
            let mut groups = BTreeSet::new();
            for group in draft.groups {
                groups.extend(above.get(&group).into_iter().flatten().cloned());
                groups.insert(group);
            }
            groups.retain(|g| !is_implicit(g));
            memberships += groups.len();
            if memberships > MAX_MEMBERSHIPS {
                return Err(Wrong::at(draft.line, format!("more than {MAX_MEMBERSHIPS} places in groups")));
            }
            let name = HostName::parse(&name).map_err(|cause| Wrong::at(draft.line, cause))?;
            hosts.push(Listed { name, line: draft.line, address: draft.address, port: draft.port, groups });
        }
        self.warnings.sort();
        Ok(Listing { hosts, warnings: self.warnings })
    }

    /// For each group those that it is part of, directly or not. A group that is part of itself is an error.
    fn above(&self) -> Result<BTreeMap<String, BTreeSet<String>>, Wrong> {
        let mut parents: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut waiting: BTreeMap<&str, usize> = self.groups.keys().map(|g| (g.as_str(), 0)).collect();
        for (parent, group) in &self.groups {
            for child in &group.children {
                parents.entry(child).or_default().push(parent);
                *waiting.entry(child).or_default() += 1;
            }
        }
        // Parents first, so that what is above a parent is known when its children are looked at.
        let mut ready: Vec<&str> = waiting.iter().filter(|(_, n)| **n == 0).map(|(g, _)| *g).collect();
        let mut above: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        while let Some(name) = ready.pop() {
            let mut all = BTreeSet::new();
            for parent in parents.get(name).into_iter().flatten() {
                all.extend(above.get(*parent).into_iter().flatten().cloned());
                all.insert((*parent).to_owned());
            }
            above.insert(name.to_owned(), all);
            for child in self.groups.get(name).into_iter().flat_map(|g| &g.children) {
                if let Some(left) = waiting.get_mut(child.as_str()) {
                    *left -= 1;
                    if *left == 0 {
                        ready.push(child);
                    }
                }
            }
        }
        match self.groups.iter().find(|(name, _)| !above.contains_key(*name)) {
            None => Ok(above),
            Some((name, group)) => {
                Err(Wrong::at(group.line, format!("the group {name} is part of itself, or of one that is")))
            }
        }
    }
}

/// Letters, digits, `.`, `_` and `-`, at most 128: what a selector can name.
pub(super) fn is_word(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// A port.
pub(super) fn port(what: &str, value: &str, line: usize) -> Result<u16, Wrong> {
    match value.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ if value.contains("{{") => Err(not_evaluated(what, value, line)),
        _ => Err(Wrong::at(line, format!("{what}: {} is no port (1 to 65535)", shown(value)))),
    }
}

/// Where a host is reached: a DNS name or an IP address.
fn address(host: &str, key: &str, value: Option<&str>, line: usize) -> Result<String, Wrong> {
    let Some(value) = value else {
        return Err(Wrong::at(line, format!("{key} of {host} is no text")));
    };
    if value.contains("{{") || value.contains("{%") {
        return Err(not_evaluated(&format!("{key} of {host}"), value, line));
    }
    if is_address(value) {
        Ok(value.to_owned())
    } else {
        Err(Wrong::at(line, format!("{key} of {host}: {} is no DNS name and no IP address", shown(value))))
    }
}

fn not_evaluated(what: &str, value: &str, line: usize) -> Wrong {
    Wrong::at(
        line,
        format!(
            "{what} is a template, {}, and templates are not evaluated here: write the value, or save what \
             `ansible-inventory --list` prints",
            shown(value)
        ),
    )
}

/// A DNS name or an IP address, without looking further.
pub(super) fn is_address(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:%".contains(&b))
}

/// Whether arguments of ssh send it over another host.
fn names_a_jump(arguments: &str) -> bool {
    let lower = arguments.to_ascii_lowercase();
    lower.contains("proxyjump")
        || lower.contains("proxycommand")
        || arguments.split_whitespace().any(|w| w.starts_with("-J"))
}

/// A piece of a file for a message: quoted, escaped and short.
pub(super) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(60).collect();
    if cut.len() < text.len() { format!("{cut:?}…") } else { format!("{cut:?}") }
}
