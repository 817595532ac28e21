//! Ansible's YAML inventory: groups with `hosts`, `children` and `vars`. Pure.

use super::foreign::{Listing, Tree, Wrong, port, shown};
use super::ranges;
use super::yaml::{self, Entry, Node, Value};

/// How deep groups may lie in each other.
const MAX_DEPTH: usize = 20;

/// Reads the text of a file.
pub(super) fn parse(text: &str) -> Result<Listing, Wrong> {
    let mut tree = Tree::default();
    let Some(root) = yaml::read(text)? else { return tree.finish() };
    let groups = entries(&root, "an inventory has groups at its top")?;
    if let Some(plugin) = groups.iter().find(|e| e.key == "plugin") {
        return Err(Wrong::at(
            plugin.line,
            "this configures an inventory plugin, which would have to be run: save what `ansible-inventory --list` prints, and name \
             that file",
        ));
    }
    for group in groups {
        add_group(&mut tree, None, group, 0)?;
    }
    tree.finish()
}

fn add_group(tree: &mut Tree, parent: Option<&str>, group: &Entry, depth: usize) -> Result<(), Wrong> {
    if depth > MAX_DEPTH {
        return Err(Wrong::at(group.line, format!("groups lie more than {MAX_DEPTH} deep in each other")));
    }
    let name = group.key.as_str();
    tree.group(name, group.line)?;
    if let Some(parent) = parent {
        tree.child(parent, name, group.line)?;
    }
    for part in entries(&group.value, "a group has the keys hosts, children and vars")? {
        match part.key.as_str() {
            "hosts" => {
                for host in names(part)? {
                    add_hosts(tree, name, &host)?;
                }
            }
            "children" => {
                for child in names(part)? {
                    add_group(tree, Some(name), &child, depth + 1)?;
                }
            }
            "vars" => {
                for variable in entries(&part.value, "vars has keys and values")? {
                    tree.group_variable(name, &variable.key, variable.line);
                }
            }
            other => tree.warn(
                part.line,
                format!(
                    "{} of the group {name} does not count: a group has hosts, children and vars",
                    shown(other)
                ),
            ),
        }
    }
    Ok(())
}

/// A key of `hosts`, which may be a range, and the variables below it.
fn add_hosts(tree: &mut Tree, group: &str, host: &Entry) -> Result<(), Wrong> {
    let (names, behind) = ranges::expand(&host.key).map_err(|cause| Wrong::at(host.line, cause))?;
    if let Some(behind) = behind {
        port(&host.key, behind, host.line)?;
    }
    let variables = entries(&host.value, "a host has variables, or nothing")?;
    for name in &names {
        tree.host(name, Some(group), host.line)?;
        if let Some(behind) = behind {
            tree.variable(name, "ansible_port", Some(behind), host.line)?;
        }
        for variable in variables {
            let text = match &variable.value.value {
                Value::Text(text) => Some(text.as_str()),
                _ => None,
            };
            tree.variable(name, &variable.key, text, variable.value.line)?;
        }
    }
    Ok(())
}

/// The keys of a map; nothing has none.
fn entries<'a>(node: &'a Node, expected: &str) -> Result<&'a [Entry], Wrong> {
    match &node.value {
        Value::Map(entries) => Ok(entries),
        Value::Null => Ok(&[]),
        Value::Text(_) | Value::List(_) => Err(Wrong::at(node.line, expected.to_owned())),
    }
}

/// The keys of a map, or the one name that stands in its place, as Ansible takes it.
fn names(part: &Entry) -> Result<Vec<Entry>, Wrong> {
    if let Value::Text(name) = &part.value.value {
        let nothing = yaml::nothing(part.value.line);
        return Ok(vec![Entry { key: name.clone(), line: part.value.line, value: nothing }]);
    }
    let expected = format!("{} is a map of names: write 'NAME:' without a dash", part.key);
    Ok(entries(&part.value, &expected)?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::foreign::MAX_HOSTS;
    use proptest::prelude::*;

    const SAMPLE: &str = "\
all:
  hosts:
    bare: {ansible_host: 192.0.2.1}
  children:
    prod:
      children:
        web:
          hosts:
            web[01:02].example.com:
              ansible_port: 2222
              secret: !vault |
                $ANSIBLE_VAULT;1.1;AES256
                3031
        db:
          hosts: db-a
      vars:
        ntp: pool
";

    #[test]
    fn groups_children_ranges_and_variables() {
        let listing = parse(SAMPLE).unwrap();
        let rows: Vec<_> = listing
            .hosts
            .iter()
            .map(|h| {
                let groups = h.groups.iter().map(String::as_str).collect::<Vec<_>>().join(",");
                (h.name.as_str(), h.line, h.address.as_deref(), h.port, groups)
            })
            .collect();
        assert_eq!(
            rows,
            [
                ("bare", 3, Some("192.0.2.1"), None, String::new()),
                ("db-a", 15, None, None, "db,prod".to_owned()),
                ("web01.example.com", 9, None, Some(2222), "prod,web".to_owned()),
                ("web02.example.com", 9, None, Some(2222), "prod,web".to_owned()),
            ]
        );
        assert!(listing.warnings.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, line, expected) in [
            ("- a\n", 1, "groups at its top"),
            ("plugin: amazon.aws.aws_ec2\n", 1, "plugin"),
            ("all:\n  hosts:\n    - a\n", 3, "without a dash"),
            ("all:\n  hosts:\n    a:\n      ansible_host: \"{{ x }}\"\n", 4, "not evaluated"),
            ("all:\n  hosts:\n    a:\n      ansible_host: [1]\n", 4, "no text"),
            ("all:\n  hosts:\n    a: {ansible_port: x}\n", 3, "no port"),
            ("all:\n  hosts:\n    a: 5\n", 3, "variables, or nothing"),
            ("all:\n  hosts:\n    'a b':\n", 3, "no host name"),
            ("all:\n  hosts:\n    a:\n    a:\n", 4, "twice"),
            ("a: {children: {b: {children: {a: }}}}\n", 1, "part of itself"),
            ("all:\n  hosts: [\n", 2, ""),
        ] {
            let wrong = parse(text).unwrap_err();
            assert!(
                wrong.line.abs_diff(line) <= usize::from(expected.is_empty())
                    && wrong.cause.contains(expected),
                "{text:?}: {wrong:?}"
            );
        }
    }

    #[test]
    fn what_does_not_count_is_said() {
        let text =
            "web:\n  hostz: {}\n  vars: {ansible_port: 22}\n  hosts: {w: {ansible_connection: local}}\n";
        let listing = parse(text).unwrap();
        assert!(listing.hosts.is_empty());
        assert_eq!(listing.warnings.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3, 4]);
    }

    proptest! {
        #[test]
        fn any_tree_is_read_or_refused(
            lines in prop::collection::vec("( ){0,6}(all|hosts|children|vars|web|a\\[0:[0-9]{1,5}\\]|ansible_host|ansible_port|<<|- x)(:|: x|: \\{\\}|: &a|: \\*a)?", 0..25)
        ) {
            if let Ok(listing) = parse(&lines.join("\n")) {
                prop_assert!(listing.hosts.len() <= MAX_HOSTS);
            }
        }
    }
}
