//! How a person reaches the hosts as their administrator: to deploy and to change keys. The server never does.

use std::path::PathBuf;

use serde::Deserialize;

/// `[admin]`: the administrator's own way to the hosts. What is left out is as the system's `ssh` has it.
#[derive(Debug, Clone, Default)]
pub struct Admin {
    /// Login name on the hosts; it may use sudo without a password.
    pub user: Option<String>,
    /// A host to go through: `[USER@]HOST[:PORT]`.
    pub jump: Option<String>,
    /// Private key; without one those of the agent and of `ssh` itself.
    pub key: Option<PathBuf>,
    /// OpenSSH configuration to use instead of the person's own.
    pub ssh_config: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AdminFile {
    user: Option<String>,
    jump: Option<String>,
    key: Option<PathBuf>,
    ssh_config: Option<PathBuf>,
}

impl AdminFile {
    /// The error says which value is wrong.
    pub(super) fn checked(self, resolve: impl Fn(PathBuf) -> PathBuf) -> Result<Admin, String> {
        if let Some(user) = self.user.as_ref().filter(|u| !is_login(u)) {
            return Err(format!("admin.user = {user:?} is no login name"));
        }
        if let Some(jump) = self.jump.as_ref().filter(|j| !is_jump(j)) {
            return Err(format!("admin.jump = {jump:?}: write [USER@]HOST[:PORT]"));
        }
        Ok(Admin {
            user: self.user,
            jump: self.jump,
            key: self.key.map(&resolve),
            ssh_config: self.ssh_config.map(resolve),
        })
    }
}

/// Whether a text is a login name that no program takes for an option or for more than one word.
pub(crate) fn is_login(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && !text.starts_with(['-', '.'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn is_jump(text: &str) -> bool {
    let (user, place) = text.rsplit_once('@').map_or((None, text), |(user, place)| (Some(user), place));
    user.is_none_or(is_login)
        && (1..=255).contains(&place.len())
        && !place.starts_with(['-', '.'])
        && place.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:[]".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::{is_jump, is_login};

    #[test]
    fn what_could_be_an_option_or_more_than_a_word_is_refused() {
        for good in ["ops", "ops@gate", "ops@gate.example.org:2222", "[::1]:22", "gate"] {
            assert!(is_jump(good), "{good}");
        }
        for bad in ["", "-oProxyCommand=x", "a b", "ops@-x", "-x@gate", "gate,other", "ops@gate;id", "$(id)"]
        {
            assert!(!is_jump(bad), "{bad}");
        }
        assert!(is_login("ops") && !is_login("-l") && !is_login("a b") && !is_login("") && !is_login("a@b"));
    }
}
