//! Tells people elsewhere that a proposal has changed: in a chat, by mail, by webhook.
//!
//! A message carries a link to a page behind the login, and no power: nothing that comes back from a channel is acted on. The change
//! itself puts the message into the outbox of the store; the sender takes it from there, so nobody waits for a channel.

mod http;
mod kinds;
mod message;
mod send;
mod smtp;

use std::path::PathBuf;

use crate::config::{Config, ConfigError, Notify};

use crate::fetch::{self, Endpoint};
use kinds::{Kind, Secret, To, Via};
pub use send::{Sending, start};

/// The channels of a config, checked.
#[derive(Debug, Clone)]
pub struct Channels {
    channels: Vec<Channel>,
    /// The dashboard's origin, without a slash at its end.
    origin: String,
}

/// One `[[notify]]`.
#[derive(Debug, Clone)]
struct Channel {
    name: String,
    kind: &'static Kind,
    to: Vec<String>,
    secret_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    way: Way,
}

/// Where a channel's messages go.
#[derive(Debug, Clone)]
enum Way {
    Url(Endpoint),
    /// The URL is the secret.
    UrlFile(PathBuf),
    Mail(smtp::Server),
}

impl Channels {
    /// Checks every `[[notify]]` of the config; the error names the entry's line.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let channels = config.notify.iter().map(|n| {
            channel(n).map_err(|cause| ConfigError::new(&n.place, format!("notify {}: {cause}", n.name)))
        });
        let channels = channels.collect::<Result<Vec<_>, _>>()?;
        let origin = match config.notify.first() {
            None => String::new(),
            Some(first) => origin(config).map_err(|cause| ConfigError::new(&first.place, cause))?,
        };
        Ok(Self { channels, origin })
    }

    /// Their names, in the order of the config.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.channels.iter().map(|c| c.name.as_str())
    }

    /// What keeps a channel from sending that can be seen here, such as a secret that others may read: channel and cause.
    pub fn problems(&self) -> Vec<(String, String)> {
        let wrong = |c: &Channel| c.problem().err().map(|cause| (c.name.clone(), cause));
        self.channels.iter().filter_map(wrong).collect()
    }
}

/// What people's browsers show, as the dashboard takes it.
fn origin(config: &Config) -> Result<String, String> {
    let dashboard = &config.dashboard;
    let local = || {
        let port = dashboard.listen.rsplit_once(':').and_then(|(_, p)| p.parse::<u16>().ok())?;
        Some(format!("http://localhost:{port}"))
    };
    let origin = dashboard.origin.clone().or_else(local).ok_or(
        "[[notify]] needs `origin` in [dashboard]: the messages carry a link to a page of the dashboard",
    )?;
    let behind = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let plain =
        |h: &str| !h.is_empty() && h.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b));
    if behind.is_some_and(plain) {
        Ok(origin)
    } else {
        Err(format!("dashboard.origin = {origin:?}: write https://NAME or https://NAME:PORT"))
    }
}

fn channel(entry: &Notify) -> Result<Channel, String> {
    let kind = kinds::kind(&entry.kind)?;
    match (kind.to, entry.to.len()) {
        (To::None, 0) | (To::One, 1) | (To::Some, 1..=32) => {}
        (To::None, _) => return Err(format!("{} takes no `to`: the URL says where to", kind.name)),
        (To::One, _) => return Err(format!("{} needs `to`: {}", kind.name, kind.of)),
        (To::Some, _) => return Err(format!("{} needs `to`: 1 to 32 {}", kind.name, kind.of)),
    }
    match (kind.secret, &entry.secret_file) {
        (Secret::Refused, Some(_)) => {
            return Err(format!("{} takes no token: its URL is the secret, see url_file", kind.name));
        }
        (Secret::Needed, None) => return Err(format!("{} needs token_file", kind.name)),
        _ => {}
    }
    Ok(Channel {
        name: entry.name.clone(),
        kind,
        to: entry.to.clone(),
        secret_file: entry.secret_file.clone(),
        ca_file: entry.ca_file.clone(),
        way: way(kind, entry)?,
    })
}

fn way(kind: &Kind, entry: &Notify) -> Result<Way, String> {
    if kind.via == Via::Smtp {
        if entry.url_file.is_some() {
            return Err("mail has `url = \"HOST:PORT\"`, not url_file".to_owned());
        }
        return smtp::Server::of(entry).map(Way::Mail);
    }
    if entry.from.is_some() || entry.username.is_some() || entry.tls.is_some() {
        return Err("from, username and tls belong to mail".to_owned());
    }
    match (&entry.url, &entry.url_file) {
        (Some(url), None) => Endpoint::parse(url).map(Way::Url).map_err(|e| format!("url: {e}")),
        (None, Some(file)) => Ok(Way::UrlFile(file.clone())),
        _ => Err("needs url, or url_file, and not both".to_owned()),
    }
}

impl Channel {
    /// The one receiver; empty where the URL says it.
    fn receiver(&self) -> &str {
        self.to.first().map_or("", String::as_str)
    }

    /// The URL, read anew where a file holds it.
    fn endpoint(&self) -> Result<Endpoint, String> {
        match &self.way {
            Way::Url(endpoint) => Ok(endpoint.clone()),
            Way::UrlFile(file) => {
                let url = fetch::secret(file)?;
                Endpoint::parse(&url).map_err(|e| format!("url_file {}: {e}", file.display()))
            }
            Way::Mail(_) => Err("mail has no URL".to_owned()),
        }
    }

    fn secret(&self) -> Result<Option<String>, String> {
        self.secret_file.as_deref().map(fetch::secret).transpose()
    }

    fn problem(&self) -> Result<(), String> {
        if !matches!(self.way, Way::Mail(_)) {
            self.endpoint()?;
        }
        self.secret()?;
        match &self.ca_file {
            Some(file) => fetch::roots(Some(file)).map(drop),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
