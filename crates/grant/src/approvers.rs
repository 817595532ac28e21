//! Who may approve: an OpenSSH `allowed_signers` file, read more strictly than OpenSSH does.
//!
//! ```text
//! alice ssh-ed25519 AAAAC3Nza… alice@laptop
//! bob   valid-before="20271231Z",namespaces="pra-grant@mcp-linux-infra" sk-ssh-ed25519@openssh.com AAAAGnNr…
//! ```
//!
//! One line is one key of one person; a person may have several lines. Whatever could make a line mean more than it
//! seems to (wildcards, lists of persons, certificate authorities, a key on two lines) refuses the whole file. An empty
//! file means that nobody may approve.

mod options;

use std::fmt;

use crate::key::PublicKey;
use crate::{NAMESPACE, Refusal};
use options::Options;

/// The most bytes the file may have.
pub const MAX_FILE: usize = 256 * 1024;

/// The persons who may approve, with their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approvers {
    list: Vec<Approver>,
}

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approver {
    /// The person's name. Names that differ only in case are one person.
    pub person: String,
    /// The key.
    pub key: PublicKey,
    /// Unix seconds; the key does not sign before.
    pub valid_after: Option<i64>,
    /// Unix seconds; the key does not sign after.
    pub valid_before: Option<i64>,
    /// What the key may sign; `None` is everything.
    pub namespaces: Option<Vec<String>>,
    /// Where it stands in the file; the first line is 1.
    pub line: usize,
}

impl Approver {
    /// The key may sign grants.
    pub fn signs_grants(&self) -> bool {
        self.namespaces.as_ref().is_none_or(|names| names.iter().any(|name| name == NAMESPACE))
    }

    /// The key is valid at this time, by OpenSSH's rule: both bounds belong to the span.
    pub fn is_valid_at(&self, now: i64) -> bool {
        self.valid_after.is_none_or(|after| now >= after)
            && self.valid_before.is_none_or(|before| now <= before)
    }
}

/// Why the file is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApproverError {
    /// The first line is 1.
    pub line: usize,
    /// What is wrong there.
    pub cause: String,
}

impl fmt::Display for ApproverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.cause)
    }
}

impl std::error::Error for ApproverError {}

impl Approvers {
    /// Reads the file.
    ///
    /// # Errors
    /// The first line that is wrong, and why; nobody is taken from such a file.
    pub fn parse(text: &str) -> Result<Self, ApproverError> {
        if text.len() > MAX_FILE {
            return Err(ApproverError { line: 1, cause: format!("the file has more than {MAX_FILE} bytes") });
        }
        let mut approvers = Self::default();
        for (index, line) in text.split('\n').enumerate() {
            let line_number = index + 1;
            let wrong = |cause| ApproverError { line: line_number, cause };
            if let Some(approver) = parse_line(line, line_number).map_err(wrong)? {
                approvers.add(approver).map_err(wrong)?;
            }
        }
        Ok(approvers)
    }

    fn add(&mut self, approver: Approver) -> Result<(), String> {
        // two names for one key would be two persons with one hand
        if let Some(other) = self.list.iter().find(|other| other.key.same_point(&approver.key)) {
            return Err(format!("this key stands on line {} already, for {}", other.line, other.person));
        }
        self.list.push(approver);
        Ok(())
    }

    /// Whose key this is.
    pub fn find(&self, key: &PublicKey) -> Option<&Approver> {
        self.list.iter().find(|approver| approver.key.blob() == key.blob())
    }

    /// Every line, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Approver> {
        self.list.iter()
    }

    /// Nobody may approve.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl<'a> IntoIterator for &'a Approvers {
    type Item = &'a Approver;
    type IntoIter = std::slice::Iter<'a, Approver>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// None for an empty line and a comment.
fn parse_line(line: &str, number: usize) -> Result<Option<Approver>, String> {
    if let Some(c) = line.chars().find(|c| c.is_control() && *c != '\t') {
        return Err(format!("control character U+{:04X}", u32::from(c)));
    }
    let line = line.trim_matches([' ', '\t']);
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (person, rest) = cut_word(line);
    check_person(person)?;
    let (options, rest) =
        if options::begin(rest) { options::parse(rest)? } else { (Options::default(), rest) };
    let key = read_key(rest)?;
    let Options { valid_after, valid_before, namespaces } = options;
    Ok(Some(Approver { person: person.to_owned(), key, valid_after, valid_before, namespaces, line: number }))
}

fn cut_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    (word, rest.trim_start_matches([' ', '\t']))
}

fn check_person(person: &str) -> Result<(), String> {
    if person.starts_with(['"', '!']) || person.contains(['*', '?', ',']) {
        return Err("the first field must be one person's name: no list, wildcard, negation or quotes".into());
    }
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._@+-".contains(&b);
    if person.len() <= 128
        && person.bytes().all(good)
        && person.starts_with(|c: char| c.is_ascii_alphanumeric())
    {
        Ok(())
    } else {
        Err("a person's name is 1 to 128 ASCII letters, digits, `.`, `_`, `@`, `+` or `-`".into())
    }
}

fn read_key(rest: &str) -> Result<PublicKey, String> {
    if rest.is_empty() {
        Err("there is no key".into())
    } else {
        PublicKey::from_text(rest).map_err(|Refusal { message, .. }| message)
    }
}
