//! Hosts of an OpenSSH client configuration: their names, `HostName` and `Port`. Pure.
//!
//! As in ssh_config(5) the first value that a matching `Host` block gives counts, so `Host *` at the end gives defaults. Nothing is
//! run and no other file is read: `Match` and `Include` do not count. Accounts and keys are the server's own.

use std::collections::BTreeSet;

use super::foreign::{Listed, Listing, MAX_HOSTS, Wrong, is_address, port, shown};
use super::inventory::HostName;

/// The most blocks of one file.
const MAX_BLOCKS: usize = 10_000;
/// The most patterns that are compared in all: names times patterns.
const MAX_MATCHES: usize = 20_000_000;

/// One `Host` block; the lines in front of the first one are a block for all.
#[derive(Debug, Default)]
struct Block {
    patterns: Vec<String>,
    address: Option<(usize, String)>,
    port: Option<(usize, String)>,
    jump: Option<(usize, &'static str, String)>,
    /// A block of `Match`, whose conditions are not looked at.
    passed_over: bool,
}

/// Reads the text of a file.
pub(super) fn parse(text: &str) -> Result<Listing, Wrong> {
    let mut listing = Listing::default();
    let mut blocks = vec![Block { patterns: vec!["*".to_owned()], ..Block::default() }];
    let mut names: Vec<(String, usize)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let Some((keyword, values)) = words(line).map_err(|cause| Wrong::at(number, cause))? else {
            continue;
        };
        let first = values.first().cloned().unwrap_or_default();
        match keyword.as_str() {
            "host" => {
                if blocks.len() >= MAX_BLOCKS {
                    return Err(Wrong::at(number, format!("more than {MAX_BLOCKS} blocks")));
                }
                let plain = values.iter().filter(|p| !p.contains(['*', '?', '!']));
                names.extend(plain.map(|p| (p.clone(), number)));
                blocks.push(Block { patterns: values, ..Block::default() });
            }
            "match" => {
                listing
                    .warnings
                    .push((number, "Match does not count: its conditions are not looked at".to_owned()));
                blocks.push(Block { passed_over: true, ..Block::default() });
            }
            "include" => {
                let warning =
                    format!("Include {} does not count: name that file in the config", shown(&first));
                listing.warnings.push((number, warning));
            }
            _ => {
                if let Some(block) = blocks.last_mut() {
                    block.set(&keyword, first, number);
                }
            }
        }
    }
    let patterns: usize = blocks.iter().map(|b| b.patterns.len()).sum();
    if patterns.saturating_mul(names.len()) > MAX_MATCHES {
        return Err(Wrong::at(1, "more Host patterns than are compared here"));
    }
    add_hosts(&blocks, names, &mut listing)?;
    listing.warnings.sort();
    Ok(listing)
}

impl Block {
    /// The first value counts.
    fn set(&mut self, keyword: &str, value: String, line: usize) {
        match keyword {
            "hostname" => _ = self.address.get_or_insert((line, value)),
            "port" => _ = self.port.get_or_insert((line, value)),
            "proxyjump" => _ = self.jump.get_or_insert((line, "ProxyJump", value)),
            "proxycommand" => _ = self.jump.get_or_insert((line, "ProxyCommand", value)),
            _ => {}
        }
    }

    fn is_for(&self, name: &str) -> bool {
        let hit = |p: &str| glob(p.as_bytes(), name.as_bytes());
        !self.passed_over
            && self.patterns.iter().any(|p| !p.starts_with('!') && hit(p))
            && !self.patterns.iter().any(|p| p.strip_prefix('!').is_some_and(hit))
    }
}

fn add_hosts(blocks: &[Block], names: Vec<(String, usize)>, listing: &mut Listing) -> Result<(), Wrong> {
    let mut seen = BTreeSet::new();
    for (name, line) in names {
        if !seen.insert(name.clone()) {
            continue;
        }
        let parsed = HostName::parse(&name).map_err(|cause| Wrong::at(line, cause))?;
        let mine: Vec<&Block> = blocks.iter().filter(|b| b.is_for(&name)).collect();
        if let Some((at, keyword, _)) = mine
            .iter()
            .find_map(|b| b.jump.as_ref())
            .filter(|(_, _, value)| !value.eq_ignore_ascii_case("none"))
        {
            listing
                .warnings
                .push((line, format!("{name} is left out: {keyword} (line {at}) is not supported")));
            continue;
        }
        let address = match mine.iter().find_map(|b| b.address.as_ref()) {
            None => None,
            Some((at, written)) => Some(address(&name, written).map_err(|cause| Wrong::at(*at, cause))?),
        };
        let port = match mine.iter().find_map(|b| b.port.as_ref()) {
            None => None,
            Some((at, written)) => Some(port(&format!("Port of {name}"), written, *at)?),
        };
        if listing.hosts.len() >= MAX_HOSTS {
            return Err(Wrong::at(line, format!("more than {MAX_HOSTS} hosts")));
        }
        listing.hosts.push(Listed { name: parsed, line, address, port, groups: BTreeSet::new() });
    }
    listing.hosts.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(())
}

/// `HostName` with its tokens: `%h` is the name, `%%` a percent sign.
fn address(name: &str, written: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut characters = written.chars();
    while let Some(c) = characters.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        match characters.next() {
            Some('h') => text.push_str(name),
            Some('%') => text.push('%'),
            _ => return Err(format!("HostName of {name}: {}: only %h and %% are known", shown(written))),
        }
    }
    if is_address(&text) {
        Ok(text)
    } else {
        Err(format!("HostName of {name}: {} is no DNS name and no IP address", shown(&text)))
    }
}

/// A line's keyword in lower case, and its values; nothing for a comment.
fn words(line: &str) -> Result<Option<(String, Vec<String>)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    // One '=' may stand between the keyword and its value.
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    let mut values = Vec::new();
    let mut value: Option<String> = None;
    let mut quoted = false;
    for c in rest.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                value.get_or_insert_default();
            }
            '#' if !quoted && value.is_none() => break,
            c if c.is_whitespace() && !quoted => values.extend(value.take()),
            c => value.get_or_insert_default().push(c),
        }
    }
    if quoted {
        return Err("a quote that does not end in its line".to_owned());
    }
    values.extend(value);
    Ok(Some((keyword.to_ascii_lowercase(), values)))
}

/// `*` and `?` as ssh_config(5) and sshd(8) give them for host patterns; ASCII case does not count.
pub(crate) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || c.eq_ignore_ascii_case(&text[t]) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((sp, st)) => {
                    p = sp + 1;
                    t = st + 1;
                    star = Some((sp, st + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAMPLE: &str = "\
# mine
Host web01 web02 !web03 *.lab
    HostName %h.example.com
    User root
    IdentityFile ~/.ssh/id
Host=db
  hostname \"192.0.2.9\"   # the old one
  Port 2222
Host behind
  ProxyJump gate
Host direct
  ProxyJump none
Match exec \"touch /tmp/owned\"
  Port 1
Include config.d/*
Host *
  Port 2200
  HostName never-reached.example.com
";

    #[test]
    fn the_first_value_of_a_matching_block_counts() {
        let listing = parse(SAMPLE).unwrap();
        let rows: Vec<_> =
            listing.hosts.iter().map(|h| (h.name.as_str(), h.address.as_deref().unwrap(), h.port)).collect();
        assert_eq!(
            rows,
            [
                ("db", "192.0.2.9", Some(2222)),
                ("direct", "never-reached.example.com", Some(2200)),
                ("web01", "web01.example.com", Some(2200)),
                ("web02", "web02.example.com", Some(2200)),
            ]
        );
        let warned: Vec<_> =
            listing.warnings.iter().map(|(line, text)| (*line, text.split(' ').next().unwrap())).collect();
        assert_eq!(warned, [(9, "behind"), (13, "Match"), (15, "Include")]);
        assert!(!std::path::Path::new("/tmp/owned").exists(), "nothing is run");
    }

    #[test]
    fn negated_patterns_take_a_host_out() {
        let listing = parse("Host a b\nHost * !b\n Port 22\nHost *\n Port 23\n").unwrap();
        assert_eq!(listing.hosts.iter().map(|h| h.port).collect::<Vec<_>>(), [Some(22), Some(23)]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, line, expected) in [
            ("Host a\nPort x\n", 2, "no port"),
            ("Host a\nHostName $(id)\n", 2, "no DNS name"),
            ("Host a\nHostName %d\n", 2, "%h"),
            ("Host a\nHostName -oProxyCommand=x\n", 2, "no DNS name"),
            ("\nHost -x\n", 2, "no host name"),
            ("Host \"a\n", 1, "quote"),
        ] {
            let wrong = parse(text).unwrap_err();
            assert!(wrong.line == line && wrong.cause.contains(expected), "{text:?}: {wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(
            lines in prop::collection::vec("( )?(Host|HostName|Port|Match|Include|ProxyJump|User)?[ =]?[a-c*?!%h\"#0-9é -]{0,12}", 0..30)
        ) {
            match parse(&lines.join("\n")) {
                Ok(listing) => prop_assert!(listing.hosts.iter().all(|h| h.address.as_deref().is_none_or(is_address))),
                Err(wrong) => prop_assert!((1..=lines.len()).contains(&wrong.line), "{:?}", wrong),
            }
        }
    }
}
