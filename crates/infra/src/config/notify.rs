//! `[[notify]]`: where people are told of proposals. What each kind needs is checked by `notify`, which knows the kinds.

use std::path::PathBuf;

use serde::Deserialize;

use super::ConfigError;

/// One `[[notify]]` entry as it is written, its paths resolved.
#[derive(Debug, Clone)]
pub struct Notify {
    /// File and line, for errors.
    pub place: String,
    /// The channel's name.
    pub name: String,
    /// Which row of the table of kinds.
    pub kind: String,
    /// Where to; for mail `HOST:PORT`.
    pub url: Option<String>,
    /// File that holds the URL, where the URL itself is the secret.
    pub url_file: Option<PathBuf>,
    /// Room, topic or addresses.
    pub to: Vec<String>,
    /// File of the bearer token, or of the password for mail.
    pub secret_file: Option<PathBuf>,
    /// Certificates (PEM) that count instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The sender's address of mail.
    pub from: Option<String>,
    /// The login name for mail.
    pub username: Option<String>,
    /// For mail: `tls`, `starttls` or `none`.
    pub tls: Option<String>,
    /// Words of events; none means all.
    pub events: Option<Vec<String>>,
    /// `low` to `critical`.
    pub min_risk: Option<String>,
    /// A selector of hosts.
    pub hosts: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NotifyFile {
    name: toml::Spanned<String>,
    kind: String,
    url: Option<String>,
    url_file: Option<PathBuf>,
    #[serde(default)]
    to: OneOrMore,
    token_file: Option<PathBuf>,
    password_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    from: Option<String>,
    username: Option<String>,
    tls: Option<String>,
    events: Option<Vec<String>>,
    min_risk: Option<String>,
    hosts: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "to must be a text or a list of texts")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl Default for OneOrMore {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

impl NotifyFile {
    /// Where the entry begins, in bytes.
    pub(super) fn offset(&self) -> usize {
        self.name.span().start
    }

    /// The error says which value is wrong.
    pub(super) fn checked(
        self,
        place: String,
        resolve: impl Fn(PathBuf) -> PathBuf,
    ) -> Result<Notify, String> {
        let name = self.name.into_inner();
        if !(1..=64).contains(&name.len())
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        {
            return Err(format!(
                "notify.name = {name:?}: it must be 1 to 64 ASCII letters, digits, '.', '_' and '-'"
            ));
        }
        if self.token_file.is_some() && self.password_file.is_some() {
            return Err(format!("notify {name}: token_file or password_file, not both"));
        }
        Ok(Notify {
            place,
            name,
            kind: self.kind,
            url: self.url,
            url_file: self.url_file.map(&resolve),
            to: match self.to {
                OneOrMore::One(one) => vec![one],
                OneOrMore::More(more) => more,
            },
            secret_file: self.token_file.or(self.password_file).map(&resolve),
            ca_file: self.ca_file.map(&resolve),
            from: self.from,
            username: self.username,
            tls: self.tls,
            events: self.events,
            min_risk: self.min_risk,
            hosts: self.hosts,
        })
    }
}

/// Two channels of one name could not be told apart.
pub(super) fn distinct(entries: &[Notify]) -> Result<(), ConfigError> {
    let same = |(at, n): &(usize, &Notify)| entries.iter().take(*at).any(|m| m.name == n.name);
    match entries.iter().enumerate().find(same) {
        Some((_, second)) => {
            Err(ConfigError::new(&second.place, format!("notify {} is there twice", second.name)))
        }
        None => Ok(()),
    }
}
