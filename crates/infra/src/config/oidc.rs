//! `[dashboard.oidc]`: the provider with which persons may log in to the dashboard, and who of its persons is who here.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// The provider as it is written, its paths resolved. What the words mean is checked by `oidc`.
#[derive(Debug, Clone)]
pub struct Oidc {
    /// Its URL, as its tokens spell it.
    pub issuer: String,
    /// How it knows this dashboard.
    pub client_id: String,
    /// File of the client's secret; a public client has none.
    pub client_secret_file: Option<PathBuf>,
    /// Certificates (PEM) that count instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// The claim that lists a person's groups.
    pub groups_claim: String,
    /// What the login page calls it; the issuer's name otherwise.
    pub label: Option<String>,
    /// How long such a session lasts at most; then the provider is asked again.
    pub session: Duration,
    /// Who is who.
    pub persons: Vec<OidcPerson>,
    /// What members of a group may do.
    pub groups: Vec<OidcGroup>,
}

/// A person of the provider's who is a person here.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcPerson {
    /// The provider's own id of them.
    pub subject: Option<String>,
    /// Or an address that the provider has verified.
    pub email: Option<String>,
    /// Their name here, as the approvers' files have it.
    pub person: String,
    /// viewer, operator, approver or admin.
    pub role: String,
}

/// A group of the provider's.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcGroup {
    /// Its name in the claim.
    pub group: String,
    /// viewer or operator.
    pub role: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OidcFile {
    issuer: String,
    client_id: String,
    client_secret_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default = "usual_claim")]
    groups_claim: String,
    label: Option<String>,
    #[serde(default = "usual_minutes")]
    session_minutes: u64,
    #[serde(default)]
    person: Vec<OidcPerson>,
    #[serde(default)]
    group: Vec<OidcGroup>,
}

fn usual_claim() -> String {
    "groups".to_owned()
}

fn usual_minutes() -> u64 {
    60
}

impl OidcFile {
    /// The error says which value is wrong.
    pub(super) fn checked(self, resolve: impl Fn(PathBuf) -> PathBuf) -> Result<Oidc, String> {
        if !(5..=720).contains(&self.session_minutes) {
            return Err(format!(
                "dashboard.oidc.session_minutes = {}: it must be 5 to 720",
                self.session_minutes
            ));
        }
        Ok(Oidc {
            issuer: self.issuer,
            client_id: self.client_id,
            client_secret_file: self.client_secret_file.map(&resolve),
            ca_file: self.ca_file.map(&resolve),
            scopes: self.scopes,
            groups_claim: self.groups_claim,
            label: self.label,
            session: Duration::from_mins(self.session_minutes),
            persons: self.person,
            groups: self.group,
        })
    }
}
