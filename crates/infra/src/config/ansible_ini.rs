//! Ansible's INI inventory. Pure: a script or a plugin configuration is somebody else's matter.

use super::foreign::{Listing, Tree, Wrong, port, shown};
use super::ranges;

/// What the lines of a section are.
enum Section {
    Hosts(Option<String>),
    Children(String),
    Variables(String),
}

/// Reads the text of a file.
pub(super) fn parse(text: &str) -> Result<Listing, Wrong> {
    let mut tree = Tree::default();
    let mut section = Section::Hosts(None);
    // A child may be described further down, but somewhere.
    let mut children = Vec::new();
    for (number, raw) in text.lines().enumerate() {
        let number = number + 1;
        let line = raw.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with('[')
            && let Some(header) = header(line, number)?
        {
            if let Section::Hosts(Some(group)) = &header {
                tree.group(group, number)?;
            }
            section = header;
            continue;
        }
        match &section {
            Section::Hosts(group) => host(&mut tree, group.as_deref(), line, number)?,
            Section::Children(parent) => {
                let child = line.split('#').next().unwrap_or_default().trim();
                if child.contains(char::is_whitespace) {
                    return Err(Wrong::at(
                        number,
                        format!("one group in each line of [{parent}:children], not {}", shown(line)),
                    ));
                }
                children.push((parent.clone(), child.to_owned(), number));
            }
            Section::Variables(group) => {
                let (key, _) = line.split_once('=').ok_or_else(|| {
                    Wrong::at(number, format!("[{group}:vars] has lines KEY=VALUE, not {}", shown(line)))
                })?;
                tree.group_variable(group, key.trim(), number);
            }
        }
    }
    let sections: Vec<&String> = children.iter().map(|(parent, ..)| parent).collect();
    for (_, child, number) in &children {
        if !tree.has_group(child) && !sections.contains(&child) {
            return Err(Wrong::at(*number, format!("there is no group {} in this file", shown(child))));
        }
    }
    for (parent, child, number) in &children {
        tree.child(parent, child, *number)?;
    }
    tree.finish()
}

/// `[group]`, `[group:children]`, `[group:vars]`; `None` for a host whose name begins with a range.
fn header(line: &str, number: usize) -> Result<Option<Section>, Wrong> {
    let Some((inside, rest)) = line[1..].split_once(']') else {
        return Err(Wrong::at(number, format!("{} has no ']'", shown(line))));
    };
    let rest = rest.trim_start();
    if !(rest.is_empty() || rest.starts_with('#')) {
        return Ok(None);
    }
    let (group, kind) = inside.split_once(':').unwrap_or((inside, "hosts"));
    Ok(Some(match kind {
        "hosts" => Section::Hosts(Some(group.to_owned())),
        "children" => Section::Children(group.to_owned()),
        "vars" => Section::Variables(group.to_owned()),
        _ => {
            return Err(Wrong::at(
                number,
                format!("{} is no section: [GROUP], [GROUP:children] or [GROUP:vars]", shown(line)),
            ));
        }
    }))
}

/// A line that names hosts, and variables of theirs.
fn host(tree: &mut Tree, group: Option<&str>, line: &str, number: usize) -> Result<(), Wrong> {
    let words = words(line).map_err(|cause| Wrong::at(number, cause))?;
    let Some((pattern, variables)) = words.split_first() else { return Ok(()) };
    if pattern.contains("{{") {
        return Err(Wrong::at(
            number,
            format!("the host {} is a template, and templates are not evaluated here", shown(pattern)),
        ));
    }
    let (names, behind) = ranges::expand(pattern).map_err(|cause| Wrong::at(number, cause))?;
    if let Some(behind) = behind {
        port(pattern, behind, number)?;
    }
    for name in &names {
        tree.host(name, group, number)?;
        if let Some(behind) = behind {
            tree.variable(name, "ansible_port", Some(behind), number)?;
        }
        for variable in variables {
            let (key, value) = variable.split_once('=').ok_or_else(|| {
                Wrong::at(number, format!("expected KEY=VALUE behind the host, not {}", shown(variable)))
            })?;
            tree.variable(name, key, Some(value), number)?;
        }
    }
    Ok(())
}

/// Words as Python's shlex splits them, with comments.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"'), '\\') => {
                let next = characters.next().ok_or("a backslash with nothing behind it")?;
                let word = word.get_or_insert_default();
                if !matches!(next, '"' | '\\') {
                    word.push('\\');
                }
                word.push(next);
            }
            (None, '#') => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, '\\') => {
                let next = characters.next().ok_or("a backslash with nothing behind it")?;
                word.get_or_insert_default().push(next);
            }
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            // Inside quotes every other character is itself.
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote that does not end in its line".to_owned());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::foreign::MAX_HOSTS;
    use proptest::prelude::*;

    const SAMPLE: &str = "\
# a comment
bare ansible_host=192.0.2.1   # another
[web]
web[01:02].example.com ansible_port=2222 note='a b'
web03:2022 ansible_host=\"192.0.2.3\"
[db]
db-a
; a third
[prod:children]
web
db
[prod:vars]
ntp = pool
[site:children]
prod
";

    fn rows(text: &str) -> Vec<String> {
        let listing = parse(text).unwrap();
        let row = |h: &crate::config::foreign::Listed| {
            format!(
                "{} {} {} {}",
                h.name,
                h.address.as_deref().unwrap_or("-"),
                h.port.unwrap_or_default(),
                h.groups.iter().cloned().collect::<Vec<_>>().join(",")
            )
        };
        listing.hosts.iter().map(row).collect()
    }

    #[test]
    fn groups_children_ranges_and_variables() {
        assert_eq!(
            rows(SAMPLE),
            [
                "bare 192.0.2.1 0 ",
                "db-a - 0 db,prod,site",
                "web01.example.com - 2222 prod,site,web",
                "web02.example.com - 2222 prod,site,web",
                "web03 192.0.2.3 2022 prod,site,web",
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, line, expected) in [
            ("a\n[web\nb\n", 2, "']'"),
            ("[web:hosts2]\n", 1, "no section"),
            ("[x:children]\nnobody\n", 2, "nobody"),
            ("[a:children]\nb\n[b:children]\na\n", 2, "part of itself"),
            ("a b\n", 1, "KEY=VALUE"),
            ("[x:vars]\nnothing\n", 2, "KEY=VALUE"),
            ("\na ansible_host={{x}}\n", 2, "template"),
            ("a ansible_host='{{ lookup(\"pipe\", \"id\") }}'\n", 1, "not evaluated"),
            ("a ansible_port={{p}}\n", 1, "not evaluated"),
            ("a ansible_port=0\n", 1, "no port"),
            ("a:99999\n", 1, "no port"),
            ("a ansible_host=-oProxyCommand=x\n", 1, "no DNS name"),
            ("-oProxyCommand=x\n", 1, "no host name"),
            ("user@web\n", 1, "no host name"),
            ("a note='open\n", 1, "quote"),
            ("[a b]\nx\n", 1, "no group"),
            ("h[0:9999]\ng\n", 2, "more than 10000 hosts"),
        ] {
            let wrong = parse(text).unwrap_err();
            assert!(wrong.line == line && wrong.cause.contains(expected), "{text:?}: {wrong:?}");
        }
    }

    #[test]
    fn what_is_not_reached_by_ssh_alone_is_left_out_with_a_warning() {
        let text = "localhost ansible_connection=local\nwin ansible_connection=winrm\nfar ansible_ssh_common_args='-o ProxyJump=gate'\n\
                    near ansible_connection=ssh ansible_ssh_common_args='-o Ciphers=x'\n[all:vars]\nansible_port=2222\n";
        let listing = parse(text).unwrap();
        assert_eq!(listing.hosts.iter().map(|h| h.name.as_str()).collect::<Vec<_>>(), ["near"]);
        let lines: Vec<usize> = listing.warnings.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 3, 6], "{:?}", listing.warnings);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_with_a_line_of_it(
            lines in prop::collection::vec("[a-z\\[\\]:=#'\"{} 0-9\\\\é-]{0,24}|\\[[a-c](:children|:vars)?\\]|[a-c]|h\\[0:[0-9]{1,6}\\]", 0..30)
        ) {
            let text = lines.join("\n");
            match parse(&text) {
                Ok(listing) => prop_assert!(listing.hosts.len() <= MAX_HOSTS),
                Err(wrong) => prop_assert!((1..=lines.len()).contains(&wrong.line), "{:?}", wrong),
            }
        }
    }
}
