//! Login with an `OpenID` Connect provider: the authorization code flow with PKCE (`OpenID` Connect Core 1.0, RFC 6749, RFC 7636,
//! RFC 9700).
//!
//! The provider says who somebody is; the configuration says what that person may do on the dashboard. No provider can approve: that
//! takes a passkey or a key whose public half root on the target has laid down.

mod provider;
mod token;

use ring::digest::{SHA256, digest};

use crate::config::{Config, Oidc};
use crate::store::{Role, is_person};

pub use provider::Provider;
pub(crate) use provider::{Failed, Returned};
use token::Claims;

/// Before the name of somebody whom only a group lets in. No invitation can be for such a name, so it never approves.
const BY_GROUP: &str = "oidc:";

/// Who comes in, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// Of the provider's person, for good: a digest of issuer and subject.
    pub(crate) id: String,
    /// Their name here.
    pub(crate) person: String,
    pub(crate) role: Role,
}

/// Who of the provider's persons is who here.
#[derive(Debug)]
struct Mapping {
    persons: Vec<(Who, String, Role)>,
    groups: Vec<(String, Role)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Who {
    Subject(String),
    Email(String),
}

impl Mapping {
    fn new(oidc: &Oidc) -> Result<Self, String> {
        let mut persons: Vec<(Who, String, Role)> = Vec::new();
        for row in &oidc.persons {
            let wrong = |cause: &str| format!("person {:?}: {cause}", row.person);
            let who = match (&row.subject, &row.email) {
                (Some(subject), None) if !subject.is_empty() => Who::Subject(subject.clone()),
                (None, Some(email)) if !email.is_empty() => Who::Email(email.to_ascii_lowercase()),
                _ => return Err(wrong("give subject, or email, and not both")),
            };
            if !is_person(&row.person) {
                return Err(wrong("a person's name has 1 to 128 letters, digits and @ . _ + -"));
            }
            if persons.iter().any(|(other, ..)| *other == who) {
                return Err(wrong("its subject or email is there twice"));
            }
            persons.push((who, row.person.clone(), row.role.parse().map_err(|e: String| wrong(&e))?));
        }
        let mut groups: Vec<(String, Role)> = Vec::new();
        for row in &oidc.groups {
            let wrong = |cause: &str| format!("group {:?}: {cause}", row.group);
            let role: Role = row.role.parse().map_err(|e: String| wrong(&e))?;
            if role > Role::Operator {
                return Err(wrong(
                    "a group makes viewers and operators; approvers and admins have a row of their own each",
                ));
            }
            if row.group.is_empty() || groups.iter().any(|(name, _)| *name == row.group) {
                return Err(wrong("it has no name, or is there twice"));
            }
            groups.push((row.group.clone(), role));
        }
        if persons.is_empty() && groups.is_empty() {
            return Err(
                "nobody could log in: add [[dashboard.oidc.person]] or [[dashboard.oidc.group]]".to_owned()
            );
        }
        Ok(Self { persons, groups })
    }

    /// A row of one's own goes before the groups; of several groups the one that may most counts.
    fn admit(&self, issuer: &str, claims: &Claims) -> Result<Admitted, String> {
        let id = id(issuer, &claims.subject);
        let by = |wanted: &Who| self.persons.iter().find(|(who, ..)| who == wanted);
        let own = by(&Who::Subject(claims.subject.clone()))
            .or_else(|| by(&Who::Email(claims.email.as_ref()?.to_ascii_lowercase())));
        if let Some((_, person, role)) = own {
            return Ok(Admitted { id, person: person.clone(), role: *role });
        }
        let roles =
            self.groups.iter().filter(|(group, _)| claims.groups.contains(group)).map(|(_, role)| *role);
        let Some(role) = roles.max() else {
            return Err(format!(
                "{:?} (email {:?}, groups {:?}) has no row in [dashboard.oidc]",
                claims.subject, claims.email, claims.groups
            ));
        };
        let name = claims.email.as_ref().unwrap_or(&claims.subject);
        let plain = |c: char| if c.is_ascii_alphanumeric() || "@._+-".contains(c) { c } else { '_' };
        let person = BY_GROUP.chars().chain(name.chars().map(plain)).take(128).collect();
        Ok(Admitted { id, person, role })
    }
}

/// Both are names of the provider's choice, so each is digested by itself before they are joined.
fn id(issuer: &str, subject: &str) -> String {
    let joined =
        [digest(&SHA256, issuer.as_bytes()).as_ref(), digest(&SHA256, subject.as_bytes()).as_ref()].concat();
    let hex: String = digest(&SHA256, &joined).as_ref().iter().take(16).map(|b| format!("{b:02x}")).collect();
    format!("oidc-{hex}")
}

/// The provider of the configuration, if there is one. Reads no file and asks nobody.
///
/// Errors: a value that is wrong, with its place.
pub fn configured(config: &Config) -> Result<Option<Provider>, String> {
    let Some(oidc) = &config.dashboard.oidc else { return Ok(None) };
    Provider::new(oidc.clone()).map(Some).map_err(|cause| format!("dashboard.oidc: {cause}"))
}

#[cfg(test)]
mod tests;
