//! The first host, and its key: shown and confirmed, never taken silently.

use std::time::Duration;

use clap::Args;

use super::ask::Ask;
use crate::cli::{Context, Ended};
use crate::config::{Environment, Host, HostName};
use crate::init::{self, NewHost, Present, ShownKey};

const LIMIT: Duration = Duration::from_secs(10);
const COMPARE: &str = "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub";

#[derive(Debug, Args)]
pub(super) struct HostFlags {
    /// Add a host under this name
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Its DNS name or IP address; default: its name
    #[arg(long, requires = "host")]
    address: Option<String>,
    /// TCP port of its sshd
    #[arg(long, requires = "host", default_value_t = 22, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Its host key: 'ssh-ed25519 AAAA…', or SHA256:… of the key that it must show
    #[arg(long, requires = "host", value_name = "KEY")]
    host_key: Option<String>,
}

/// A host before its key is known.
struct Asked {
    name: HostName,
    address: String,
    port: u16,
}

/// What the person has said that the key is.
enum Pin {
    Line(String),
    Fingerprint(String),
}

impl HostFlags {
    /// The host that is wanted, if any, with the key that was confirmed.
    pub(super) fn resolve(
        &self,
        ask: Option<&mut Ask>,
        present: &Present,
        env: &Environment,
    ) -> Result<Option<NewHost>, Ended> {
        let pin = self.host_key.as_deref().map(pin).transpose().map_err(Ended::usage)?;
        let (wanted, ask) = match (&self.host, ask) {
            (Some(name), ask) => (self.stated(name)?, ask),
            (None, Some(ask)) => match asked(ask, present)? {
                Some(wanted) => (wanted, Some(ask)),
                None => return Ok(None),
            },
            (None, None) => return Ok(None),
        };
        if let Some(there) = present.host(&wanted.name) {
            return Ok(Some(wanted.with(kept_key(there, pin.as_ref()))));
        }
        let key = match pin {
            Some(Pin::Line(line)) => line,
            Some(Pin::Fingerprint(pinned)) => {
                let shown = look(&wanted, present, env)?;
                if shown.fingerprint != pinned {
                    return Err(refused(format!(
                        "{} shows {}, not {pinned}; nothing was written",
                        wanted.name, shown.fingerprint
                    )));
                }
                shown.line
            }
            None => {
                let ask = ask.ok_or_else(|| {
                    Ended::usage(format!(
                        "a host needs --host-key when nobody can be asked: `{COMPARE}` on {} prints it; nothing was written",
                        wanted.name
                    ))
                })?;
                let shown = look(&wanted, present, env)?;
                confirm(ask, &wanted, &shown)?;
                shown.line
            }
        };
        Ok(Some(wanted.with(key)))
    }

    fn stated(&self, name: &str) -> Result<Asked, Ended> {
        let name = HostName::parse(name).map_err(Ended::usage)?;
        let stated = self.address.as_deref().unwrap_or(name.as_str());
        let address = address(stated).map_err(Ended::usage)?;
        Ok(Asked { address, port: self.port, name })
    }
}

impl Asked {
    fn with(self, host_key: String) -> NewHost {
        NewHost { name: self.name, address: self.address, port: self.port, host_key }
    }
}

/// The key that the configuration has, unless another one was named: then the plan says that they differ.
fn kept_key(there: &Host, pin: Option<&Pin>) -> String {
    match pin {
        Some(Pin::Line(key) | Pin::Fingerprint(key)) => key.clone(),
        None => there.host_key.as_ref().map(|k| init::public_line(k).0).unwrap_or_default(),
    }
}

fn asked(ask: &mut Ask, present: &Present) -> Result<Option<Asked>, Ended> {
    let first = present.config.as_ref().is_none_or(|c| c.inventory.is_empty());
    let question =
        if first { "Name of the first host (empty: none)" } else { "Name of a host to add (empty: none)" };
    let name =
        ask.until(
            question,
            None,
            |text| {
                if text.is_empty() { Ok(None) } else { HostName::parse(text).map(Some) }
            },
        )?;
    let Some(name) = name else { return Ok(None) };
    let address = ask.until("Its DNS name or IP address", Some(name.as_str()), address)?;
    let port = ask.until("Port of its sshd", Some("22"), |text| match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("a port is between 1 and 65535".to_owned()),
    })?;
    Ok(Some(Asked { name, address, port }))
}

fn address(text: &str) -> Result<String, String> {
    let ok = !text.is_empty()
        && text.len() <= 253
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:%".contains(&b));
    if ok { Ok(text.to_owned()) } else { Err(format!("{text:?} is no DNS name and no IP address")) }
}

fn pin(text: &str) -> Result<Pin, String> {
    let text = text.trim();
    if text.starts_with("SHA256:") {
        return fingerprint(text).map(Pin::Fingerprint);
    }
    let wrong = |e| format!("--host-key: {e}; expected 'ssh-ed25519 AAAA…' or SHA256:…");
    let (line, _) = init::read_public(text).map_err(wrong)?;
    if line.starts_with("ssh-rsa ") {
        return Err("--host-key: RSA host keys are not supported".to_owned());
    }
    Ok(Pin::Line(line))
}

fn fingerprint(text: &str) -> Result<String, String> {
    let hash = text.strip_prefix("SHA256:").unwrap_or_default();
    if hash.len() == 43 && hash.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(&b)) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no fingerprint: SHA256: and 43 characters, as ssh-keygen -l prints it"))
    }
}

fn look(wanted: &Asked, present: &Present, env: &Environment) -> Result<ShownKey, Ended> {
    let known_hosts = present.known_hosts(env);
    let host = Host {
        name: wanted.name.clone(),
        address: wanted.address.clone(),
        port: wanted.port,
        host_key: None,
        tags: Vec::new(),
        groups: Vec::new(),
        source: "init".to_owned(),
        tenant: String::new(),
        reader_user: String::new(),
        runner_user: String::new(),
        reader_key: None,
        runner_key: None,
    };
    Context::block_on(async {
        init::shown_key(&host, &known_hosts, LIMIT)
            .await
            .map_err(|cause| Ended::failed(format!("{cause}; nothing was written")))
    })
}

fn confirm(ask: &mut Ask, wanted: &Asked, shown: &ShownKey) -> Result<(), Ended> {
    if let Some(cause) = &shown.against {
        return Err(refused(format!("{}: {cause}; nothing was written", wanted.name)));
    }
    let kind = shown.line.split(' ').next().unwrap_or_default();
    ask.say(&format!("{}, port {}, shows this {kind} key:", wanted.address, wanted.port));
    ask.say(&format!("  {}", shown.fingerprint));
    ask.say(if shown.known {
        "known_hosts has the same key for it."
    } else {
        "Nobody has vouched for it. Compare it on the host's console with:"
    });
    if !shown.known {
        ask.say(&format!("  {COMPARE}"));
    }
    let answer = ask.ask("Is that the host's key? Type yes, or the fingerprint that the host has")?;
    if answer == "yes" || answer == shown.fingerprint {
        return Ok(());
    }
    Err(refused(format!("the key of {} was not confirmed; nothing was written", wanted.name)))
}

fn refused(message: String) -> Ended {
    Ended { code: 4, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_pins() {
        for good in ["web01", "192.0.2.1", "fe80::1%eth0", "a.example.org"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in ["", "-oProxyCommand=x", "a b", "a\"b", "a\n", "[::1]"] {
            assert!(address(bad).is_err(), "{bad:?}");
        }
        let print = format!("SHA256:{}", "A".repeat(43));
        assert!(matches!(pin(&print), Ok(Pin::Fingerprint(p)) if p == print));
        for bad in ["", "SHA256:", "SHA256:short", "MD5:aa", "ssh-ed25519", "ssh-ed25519 AAAA"] {
            assert!(pin(bad).is_err(), "{bad:?}");
        }
    }
}
