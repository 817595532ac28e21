//! What `ansible-inventory --list` prints. Pure; the variables of groups are in it already, given to each host.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::foreign::{Listing, Tree, Wrong};

/// Names with values that are read when they are needed.
type Raw<'a> = BTreeMap<String, &'a RawValue>;

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default)]
    hostvars: Raw<'a>,
}

#[derive(Deserialize, Default)]
struct Group {
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    children: Vec<String>,
    #[serde(default)]
    vars: serde_json::Map<String, Value>,
}

/// Reads the text of a file.
pub(super) fn parse(text: &str) -> Result<Listing, Wrong> {
    let mut top: Raw<'_> = serde_json::from_str(text).map_err(|e| {
        Wrong::at(e.line().max(1), format!("this is not what `ansible-inventory --list` prints: {e}"))
    })?;
    let lines = Lines::new(text);
    let meta = top.remove("_meta");
    let mut tree = Tree::default();
    for (name, raw) in &top {
        add_group(&mut tree, name, raw, lines.of(raw))?;
    }
    let Some(meta) = meta else { return tree.finish() };
    let shape = |e: serde_json::Error| Wrong::at(lines.of(meta), format!("_meta: {e}"));
    let meta: Meta<'_> = serde_json::from_str(meta.get()).map_err(shape)?;
    for (name, raw) in &meta.hostvars {
        add_host(&mut tree, name, raw, lines.of(raw))?;
    }
    tree.finish()
}

fn add_group(tree: &mut Tree, name: &str, raw: &RawValue, line: usize) -> Result<(), Wrong> {
    let group: Group = serde_json::from_str(raw.get()).map_err(|e| {
        Wrong::at(
            line + e.line().saturating_sub(1),
            format!(
                "the group {name:?}: {e}; `ansible-inventory --list` has lists in hosts and children: if this is the YAML format written \
                 as JSON, name the file .yaml"
            ),
        )
    })?;
    tree.group(name, line)?;
    for child in &group.children {
        tree.child(name, child, line)?;
    }
    for host in &group.hosts {
        tree.host(host, Some(name), line)?;
    }
    for key in group.vars.keys() {
        tree.group_variable(name, key, line);
    }
    Ok(())
}

fn add_host(tree: &mut Tree, name: &str, raw: &RawValue, line: usize) -> Result<(), Wrong> {
    let variables: BTreeMap<String, Value> = serde_json::from_str(raw.get())
        .map_err(|e| Wrong::at(line, format!("the variables of {name:?}: {e}")))?;
    tree.host(name, None, line)?;
    for (key, value) in &variables {
        let text = match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        tree.variable(name, key, text.as_deref(), line)?;
    }
    Ok(())
}

/// Where pieces of a text lie in it.
struct Lines {
    start: usize,
    /// Offsets of the line feeds.
    ends: Vec<usize>,
}

impl Lines {
    fn new(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at).collect();
        Self { start: text.as_ptr().addr(), ends }
    }

    /// The line in which a piece of this very text begins.
    fn of(&self, raw: &RawValue) -> usize {
        let offset = raw.get().as_ptr().addr().saturating_sub(self.start);
        self.ends.partition_point(|end| *end < offset) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::foreign::MAX_HOSTS;
    use proptest::prelude::*;

    const SAMPLE: &str = r#"{
  "_meta": {
    "hostvars": {
      "web01": {"ansible_host": "192.0.2.1", "ansible_port": 2222, "facts": {"a": [1]}},
      "lone": {}
    }
  },
  "all": {"children": ["ungrouped", "prod"]},
  "prod": {"children": ["web"]},
  "web": {"hosts": ["web01", "web02"]},
  "ungrouped": {"hosts": ["lone"]}
}"#;

    #[test]
    fn groups_children_and_variables() {
        let listing = parse(SAMPLE).unwrap();
        let rows: Vec<_> = listing
            .hosts
            .iter()
            .map(|h| {
                (
                    h.name.as_str(),
                    h.address.as_deref(),
                    h.port,
                    h.groups.iter().cloned().collect::<Vec<_>>().join(","),
                )
            })
            .collect();
        assert_eq!(
            rows,
            [
                ("lone", None, None, String::new()),
                ("web01", Some("192.0.2.1"), Some(2222), "prod,web".to_owned()),
                ("web02", None, None, "prod,web".to_owned()),
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, line, expected) in [
            ("{\n", 2, "EOF"),
            ("[]", 1, "ansible-inventory"),
            ("{\n\"web\": {\"hosts\": {\"a\": {}}}}", 2, ".yaml"),
            ("{\"_meta\": {\"hostvars\": {\n\"a\": {\"ansible_host\": \"{{ x }}\"}}}}", 2, "not evaluated"),
            (
                "{\"_meta\": {\"hostvars\": {\n\n\"a\": {\"ansible_host\": {\"__ansible_vault\": \"x\"}}}}}",
                3,
                "no text",
            ),
            ("{\"_meta\": {\"hostvars\": {\"a\": {\"ansible_port\": -1}}}}", 1, "no port"),
            ("{\"web\": {\"hosts\": [\"a b\"]}}", 1, "no host name"),
            ("{\"a\": {\"children\": [\"b\"]}, \"b\": {\"children\": [\"a\"]}}", 1, "part of itself"),
        ] {
            let wrong = parse(text).unwrap_err();
            assert!(
                wrong.line.abs_diff(line) <= usize::from(expected == "EOF") && wrong.cause.contains(expected),
                "{text:?}: {wrong:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-c:\\[\\]{},\" 0-9é\n-]{0,60}") {
            let lines = text.lines().count() + 1;
            if let Err(wrong) = parse(&text) {
                prop_assert!((1..=lines).contains(&wrong.line), "{:?}", wrong);
            }
        }

        #[test]
        fn a_cut_or_changed_listing_is_read_or_refused(at in 0usize..300, byte in any::<char>(), cut in any::<bool>()) {
            let at = (0..=at.min(SAMPLE.len())).rev().find(|n| SAMPLE.is_char_boundary(*n)).unwrap();
            let text = if cut { SAMPLE[..at].to_owned() } else { format!("{}{byte}{}", &SAMPLE[..at], &SAMPLE[at..]) };
            if let Ok(listing) = parse(&text) {
                prop_assert!(listing.hosts.len() <= MAX_HOSTS);
            }
        }
    }
}
