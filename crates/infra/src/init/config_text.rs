//! The configuration's text: a new one, and lines added to one that is there.

use std::path::Path;

use super::{InitError, KeyRow, NewHost};

/// A configuration without hosts.
pub(super) fn fresh(folder: &Path, keys: &[KeyRow]) -> Result<String, InitError> {
    let mut text =
        String::from("# Made by `mcp-linux-infra init`. Every key: docs/CONFIG.md\n\n[defaults]\n");
    for key in keys {
        text.push_str(&format!("{}_key = {}\n", key.account, quoted(&relative(folder, &key.path)?)));
    }
    Ok(text)
}

/// A key of the top level can only stand before the first table.
pub(super) fn with_approvers(text: &str, path: &str) -> String {
    let line = format!("approvers = {}\n", quoted(path));
    match text.strip_prefix('#').and_then(|rest| rest.split_once('\n')) {
        Some((comment, rest)) => format!("#{comment}\n{line}{rest}"),
        None => format!("{line}{text}"),
    }
}

/// A host at the end.
pub(super) fn with_host(text: &str, host: &NewHost) -> String {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let mut text = format!("{text}{end}\n[[hosts]]\nname = {}\n", quoted(host.name.as_str()));
    if host.address != host.name.as_str() {
        text.push_str(&format!("address = {}\n", quoted(&host.address)));
    }
    if host.port != 22 {
        text.push_str(&format!("port = {}\n", host.port));
    }
    text.push_str(&format!("host_key = {}\n", quoted(&host.host_key)));
    text
}

/// A path as the configuration in `folder` names it.
pub(super) fn relative(folder: &Path, path: &Path) -> Result<String, InitError> {
    let wrong = || InitError::Usage(format!("{}: a path must be UTF-8", path.display()));
    let path = match path.strip_prefix(folder) {
        Ok(beneath) => beneath.to_path_buf(),
        Err(_) => std::path::absolute(path).map_err(|e| InitError::Failed(e.to_string()))?,
    };
    path.into_os_string().into_string().map_err(|_| wrong())
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HostName;

    #[test]
    fn quotes_end_no_string() {
        for text in ["plain", "a\"b", "a\\", "tab\there", "line\nbreak", "\u{85}"] {
            let table: toml::Table = toml::from_str(&format!("x = {}\n", quoted(text))).unwrap();
            assert_eq!(table["x"].as_str(), Some(text));
        }
    }

    #[test]
    fn what_is_added_to_a_file_stands_where_toml_takes_it() {
        let host = NewHost {
            name: HostName::parse("web01").unwrap(),
            address: "192.0.2.1".to_owned(),
            port: 2222,
            host_key: "ssh-ed25519 AAAA".to_owned(),
        };
        for before in ["", "# c\n[defaults]\nport = 1\n", "[[hosts]]\nname = \"a\"", "log_level = \"info\"\n"]
        {
            let after = with_host(&with_approvers(before, "approvers"), &host);
            let table: toml::Table = toml::from_str(&after).unwrap_or_else(|e| panic!("{e}: {after}"));
            assert_eq!(table["approvers"].as_str(), Some("approvers"), "{after}");
            let last = table["hosts"].as_array().unwrap().last().unwrap();
            assert_eq!(last["address"].as_str(), Some("192.0.2.1"), "{after}");
            assert_eq!(last["port"].as_integer(), Some(2222));
        }
    }
}
