//! Reads the inventories of other programs and joins them with the hosts of the config. Files are read; none is ever run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::foreign::{Listed, Listing, MAX_BYTES, Wrong};
use super::inventory::{Host, HostName};
use super::{ConfigError, ansible_ini, ansible_json, ansible_yaml, ssh_config};

/// The most hosts of all sources.
const MAX_HOSTS: usize = 20_000;

/// A host of the config, and what of it the config says itself.
pub(super) struct Stated {
    pub(super) host: Host,
    pub(super) address: bool,
    pub(super) port: bool,
}

/// A format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Ansible,
    SshConfig,
}

/// A host of another source, and where each of its values stands.
struct Merged {
    host: Host,
    address: Option<String>,
    port: Option<String>,
}

/// Joins the files with the config's hosts, which win. `template` is what a host gets that only a file names.
///
/// # Errors
/// A file that cannot be read or used; two files that reach one host at different places, unless the config says where.
pub(super) fn join(
    stated: Vec<Stated>,
    files: &[(Format, PathBuf)],
    template: &Host,
) -> Result<(Vec<Host>, Vec<String>), ConfigError> {
    let mut warnings = Vec::new();
    let mut merged: BTreeMap<HostName, Merged> = BTreeMap::new();
    let own: BTreeMap<&HostName, &Stated> = stated.iter().map(|s| (&s.host.name, s)).collect();
    for (format, path) in files {
        let listing = load(*format, path, &mut warnings)?;
        for listed in listing.hosts {
            let place = format!("{}:{}", path.display(), listed.line);
            let own = own.get(&listed.name).copied();
            add(&mut merged, listed, &place, own, template)?;
        }
    }
    if merged.len() > MAX_HOSTS {
        return Err(ConfigError::new("inventory", format!("more than {MAX_HOSTS} hosts in all files")));
    }
    let mut hosts = Vec::with_capacity(stated.len() + merged.len());
    for Stated { mut host, address, port } in stated {
        if let Some(found) = merged.remove(&host.name) {
            if !address && found.address.is_some() {
                host.address = found.host.address;
            }
            if !port && found.port.is_some() {
                host.port = found.host.port;
            }
            host.groups.extend(found.host.groups);
            host.groups.sort();
            host.groups.dedup();
        }
        hosts.push(host);
    }
    hosts.extend(merged.into_values().map(|m| m.host));
    Ok((hosts, warnings))
}

fn add(
    merged: &mut BTreeMap<HostName, Merged>,
    listed: Listed,
    place: &str,
    own: Option<&Stated>,
    template: &Host,
) -> Result<(), ConfigError> {
    let entry = merged.entry(listed.name.clone()).or_insert_with(|| Merged {
        host: Host {
            address: listed.name.to_string(),
            source: place.to_owned(),
            name: listed.name.clone(),
            ..template.clone()
        },
        address: None,
        port: None,
    });
    let conflict = |what: &str, here: &str, there: &str, other: &str| {
        ConfigError::new(
            place,
            format!(
                "{} has the {what} {here} here and {there} in {other}: name it once, or say which in [[hosts]] of the config",
                listed.name
            ),
        )
    };
    if let Some(address) = listed.address {
        match &entry.address {
            Some(other) if entry.host.address != address && !own.is_some_and(|s| s.address) => {
                return Err(conflict("address", &address, &entry.host.address, other));
            }
            _ => (entry.host.address, entry.address) = (address, Some(place.to_owned())),
        }
    }
    if let Some(port) = listed.port {
        match &entry.port {
            Some(other) if entry.host.port != port && !own.is_some_and(|s| s.port) => {
                return Err(conflict("port", &port.to_string(), &entry.host.port.to_string(), other));
            }
            _ => (entry.host.port, entry.port) = (port, Some(place.to_owned())),
        }
    }
    entry.host.groups.extend(listed.groups);
    entry.host.groups.sort();
    entry.host.groups.dedup();
    Ok(())
}

fn load(format: Format, path: &Path, warnings: &mut Vec<String>) -> Result<Listing, ConfigError> {
    let shown = path.display();
    let text = read(format, path).map_err(|cause| ConfigError::new(shown.to_string(), cause))?;
    let extension = path.extension().and_then(|x| x.to_str()).unwrap_or_default();
    let listing = match (format, extension) {
        (Format::SshConfig, _) => ssh_config::parse(&text),
        (Format::Ansible, "json") => ansible_json::parse(&text),
        (Format::Ansible, "yml" | "yaml") => ansible_yaml::parse(&text),
        (Format::Ansible, _) => ansible_ini::parse(&text),
    };
    let listing =
        listing.map_err(|Wrong { line, cause }| ConfigError::new(format!("{shown}:{line}"), cause))?;
    warnings.extend(listing.warnings.iter().map(|(line, text)| format!("{shown}:{line}: {text}")));
    if format == Format::Ansible {
        let beside = path.parent().unwrap_or(Path::new("."));
        for folder in ["host_vars", "group_vars"].into_iter().filter(|f| beside.join(f).is_dir()) {
            warnings.push(format!(
                "{}: not read; if hosts have their address or port there, name what `ansible-inventory -i {shown} --list` prints \
                 instead",
                beside.join(folder).display()
            ));
        }
    }
    Ok(listing)
}

/// Reads a regular file of bounded size that Ansible would not run.
fn read(format: Format, path: &Path) -> Result<String, String> {
    let save =
        "nothing is run here: save what `ansible-inventory --list` prints to a .json file, and name that";
    // A pipe would keep a plain open waiting for its other end.
    let no_wait = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(no_wait).open(path).map_err(|e| e.to_string())?;
    let meta = file.metadata().map_err(|e| e.to_string())?;
    if meta.is_dir() {
        return Err("a folder: name the files in it".to_owned());
    }
    if !meta.is_file() {
        return Err("not a regular file".to_owned());
    }
    if format == Format::Ansible && meta.permissions().mode() & 0o111 != 0 {
        return Err(format!(
            "it is executable, so Ansible would run it; {save}. If it is no script, chmod a-x it"
        ));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() > MAX_BYTES {
        return Err(format!("more than {MAX_BYTES} bytes"));
    }
    if format == Format::Ansible && bytes.starts_with(b"#!") {
        return Err(format!("it is a script; {save}"));
    }
    if bytes.starts_with(b"$ANSIBLE_VAULT") {
        return Err(format!("it is encrypted with ansible-vault; {save}"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}
