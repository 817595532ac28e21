//! Somebody who may approve, as a line of the allowed-signers file.

use grant::Approvers;
use serde::Serialize;

use crate::ssh::read_public;

/// A person and their public key.
#[derive(Debug, Clone, Serialize)]
pub struct Approver {
    /// The name that stands in grants and records.
    pub person: String,
    /// `ssh-ed25519 AAAA…`
    pub key: String,
    /// `SHA256:…`
    pub fingerprint: String,
}

impl Approver {
    /// Checks both; the error says what is wrong.
    pub fn new(person: &str, public: &str) -> Result<Self, String> {
        let word = |b: u8| b.is_ascii_graphic() && !b"\"#,*?!\\".contains(&b);
        if person.is_empty() || person.len() > 64 || !person.bytes().all(word) {
            return Err(format!(
                "{person:?} is no name for a person: one word such as alice@example.org, at most 64 characters"
            ));
        }
        if public.contains("PRIVATE KEY") {
            return Err("this is a private key: give the .pub file".to_owned());
        }
        let (key, fingerprint) = read_public(public).map_err(|e| format!("no public key: {e}"))?;
        let approver = Self { person: person.to_owned(), key, fingerprint };
        let file = Approvers::parse(&approver.line()).map_err(|e| e.cause)?;
        match file.iter().next() {
            Some(read) if read.person == person && read.signs_grants() => Ok(approver),
            _ => Err(format!("{person:?} is no name for a person")),
        }
    }

    /// The file with this line, or `None` if it has it already.
    pub(super) fn added_to(&self, file: &str) -> Result<Option<String>, String> {
        let before = Approvers::parse(file).map_err(|e| e.to_string())?;
        let this = Approvers::parse(&self.line()).map_err(|e| e.to_string())?;
        if let Some(other) = this.iter().next().and_then(|this| before.find(&this.key)) {
            if other.person == self.person {
                return Ok(None);
            }
            return Err(format!("line {}: this key is {}'s already", other.line, other.person));
        }
        let end = if file.is_empty() || file.ends_with('\n') { "" } else { "\n" };
        let after = format!("{file}{end}{}", self.line());
        Approvers::parse(&after).map_err(|e| e.to_string())?;
        Ok(Some(after))
    }

    /// Good for grants and for nothing else that the same file may be used for.
    fn line(&self) -> String {
        format!("{} namespaces=\"{}\" {}\n", self.person, grant::NAMESPACE, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::NewKey;

    fn key() -> String {
        NewKey::make("a comment").unwrap().public_line().0
    }

    #[test]
    fn a_name_is_one_word_for_one_person() {
        let key = key();
        assert!(Approver::new("alice@example.org", &format!("{key} alice@laptop")).is_ok());
        for name in ["", "alice bob", "alice,bob", "*", "#alice", "alice\nbob", "\"alice\"", "!alice"] {
            assert!(Approver::new(name, &key).is_err(), "{name:?}");
        }
        assert!(Approver::new("alice", "ssh-ed25519 AAAA").is_err());
        let private = NewKey::make("").unwrap().private_text().unwrap();
        assert!(Approver::new("alice", &private).unwrap_err().contains("private key"));
    }

    #[test]
    fn a_key_stands_once_and_other_lines_stay() {
        let alice = Approver::new("alice", &key()).unwrap();
        let one = alice.added_to("# ours").unwrap().unwrap();
        assert!(
            one.starts_with("# ours\nalice namespaces=\"pra-grant@mcp-linux-infra\" ssh-ed25519 "),
            "{one}"
        );
        assert_eq!(alice.added_to(&one).unwrap(), None);
        let stolen = Approver::new("mallory", &alice.key).unwrap();
        assert!(stolen.added_to(&one).unwrap_err().contains("alice's already"));
        let two = Approver::new("bob", &key()).unwrap().added_to(&one).unwrap().unwrap();
        assert!(two.starts_with(&one) && two.lines().count() == 3);
    }
}
